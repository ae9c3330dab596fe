use super::*;
use crate::index::search::{Cursor, Search, Span};

fn key() -> Key {
    Key::from_bytes([1; 32])
}

/// After today: so the tests say when a key runs out.
const LATER: u64 = 4_000_000_000_000;

fn open(dir: &Path) -> Index {
    Index::open(&dir.join("index.sqlite"), &key()).expect("opened")
}

fn row(index: &Index, number: u64, patient: &str) -> NewRow {
    let name = |text: &str| index.names().name(&[text.as_bytes()]);
    NewRow {
        number: SpoolNumber(number),
        source: "ward".to_owned(),
        door: Door::Rest,
        received_ms: LATER + number,
        kind: "AuditEvent",
        logical: None,
        date_ms: Some(1_000 * number),
        keys: Keys {
            body: Some(name(&format!("body {number}"))),
            version: Some(name(&format!("version {number}"))),
            named: None,
        },
        terms: vec![(Term::Patient, terms::name(index.names(), Term::Patient, patient))],
    }
}

fn batch(seq: u64, first_index: u64, numbers: &[u64]) -> Batch {
    Batch {
        stream: [5; 8],
        seq,
        first_index,
        count: u32::try_from(numbers.len()).expect("few"),
        time_ms: 77,
        receipt: vec![1],
        signature: vec![2],
        numbers: numbers.to_vec(),
    }
}

#[test]
fn an_arrival_is_found_from_the_moment_that_it_waits_to_the_place_in_the_log() {
    let dir = tempfile::tempdir().expect("a folder");
    let index = open(dir.path());
    index.add(&[row(&index, 1, "a"), row(&index, 2, "b"), row(&index, 3, "c")]).expect("added");
    assert_eq!(index.last().expect("readable"), 3);
    assert_eq!(index.get(SpoolNumber(2)).expect("readable").expect("there").state, State::Waiting);
    // The second one became two records; a heartbeat stands between.
    let noted = index.recorded(&batch(1, 100, &[1, 0, 2, 2])).expect("noted");
    assert_eq!(noted.len(), 2);
    let second =
        Recorded { place: Place { stream: [5; 8], seq: 1, position: 2 }, first_index: 102, count: 2, time_ms: 77 };
    assert_eq!(index.get(SpoolNumber(2)).expect("readable").expect("there").state, State::Recorded(second));
    assert_eq!(index.at(&second.place).expect("readable").expect("there").number, SpoolNumber(2));
    assert_eq!(index.last_seq(&[5; 8]).expect("readable"), 1);
    // Noted again after a crash, with nothing lost or doubled.
    drop(index);
    let index = open(dir.path());
    index.add(&[row(&index, 2, "b"), row(&index, 3, "c")]).expect("they are there");
    assert_eq!(index.get(SpoolNumber(2)).expect("readable").expect("there").state, State::Recorded(second));
    index.recorded(&batch(1, 100, &[1, 0, 2, 2])).expect("noted again");
    index.sync().expect("durable");
}

#[test]
fn the_same_again_is_known_until_it_runs_out_and_what_was_refused_is_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let index = open(dir.path());
    let first = row(&index, 1, "a");
    index.add(std::slice::from_ref(&first)).expect("added");
    let body = Keys { version: None, ..first.keys.clone() };
    let soon = first.received_ms + RETRY_MS - 1;
    assert_eq!(index.known(&body, soon).expect("readable"), Some(SpoolNumber(1)));
    assert_eq!(index.known(&body, soon + 1).expect("readable"), None, "a day is over");
    assert_eq!(index.known(&first.keys, soon + 1).expect("readable"), Some(SpoolNumber(1)), "a version stays");
    index.forget_old_keys(soon + 1).expect("forgotten");
    assert_eq!(index.known(&body, soon).expect("readable"), None);
    // Another one with the same body takes its place.
    let again = NewRow { number: SpoolNumber(2), keys: body.clone(), ..row(&index, 2, "a") };
    index.add(&[again]).expect("added");
    assert_eq!(index.known(&body, soon).expect("readable"), Some(SpoolNumber(2)));
    index.refused(SpoolNumber(2), &Refusal::coded("AuditEvent", "TIME_AHEAD", "…")).expect("noted");
    assert_eq!(index.known(&body, soon).expect("readable"), None, "it may be sent again");
    let State::Refused(refusal) = index.get(SpoolNumber(2)).expect("readable").expect("there").state else {
        panic!("it was refused");
    };
    assert_eq!((refusal.code.as_str(), refusal.path.as_str()), ("TIME_AHEAD", "AuditEvent"));
}

#[test]
fn a_search_is_paged_newest_first_and_shows_nothing_that_came_meanwhile() {
    let dir = tempfile::tempdir().expect("a folder");
    let index = open(dir.path());
    let all: Vec<NewRow> = (1..=9).map(|n| row(&index, n, if n % 2 == 0 { "even" } else { "odd" })).collect();
    index.add(&all).expect("added");
    index.recorded(&batch(1, 100, &[1, 2, 3, 4, 5, 6, 7, 8])).expect("noted");
    let numbers = |search: &Search| {
        let page = index.search(search).expect("readable");
        (page.rows.iter().map(|row| row.number.0).collect::<Vec<_>>(), page.next)
    };
    let odd = Search { terms: vec![(Term::Patient, vec!["odd".to_owned()])], ..Search::all("AuditEvent", 2) };
    let (first, next) = numbers(&odd);
    assert_eq!(first, [7, 5], "the ninth isn't on record yet");
    index.add(&[row(&index, 11, "odd")]).expect("added");
    index.recorded(&batch(2, 200, &[9, 11])).expect("noted");
    let next: Cursor = next.expect("more").to_string().parse().expect("a cursor");
    assert_eq!(numbers(&Search { after: Some(next), ..odd.clone() }), (vec![3, 1], None));
    assert_eq!(numbers(&Search { count: 10, ..odd.clone() }).0, [11, 9, 7, 5, 3, 1]);
    let spans = |date: Vec<Span>| numbers(&Search { date, ..Search::all("AuditEvent", 100) }).0;
    assert_eq!(spans(vec![Span { from_ms: 3_000, to_ms: 5_001 }]), [5, 4, 3]);
    assert_eq!(spans(vec![Span { from_ms: 0, to_ms: u64::MAX }]).len(), 10);
    let nothing = Search { terms: vec![(Term::Patient, vec![])], ..Search::all("AuditEvent", 2) };
    assert_eq!(numbers(&nothing).0, Vec::<u64>::new(), "no value holds for nothing");
    for bad in ["", "1", "1.", "01.2", "+1.2", "ffffffffffffffff.1", "1.2.3"] {
        assert!(bad.parse::<Cursor>().is_err(), "{bad}");
    }
}

#[test]
fn of_a_consent_only_the_newest_version_is_found() {
    let dir = tempfile::tempdir().expect("a folder");
    let index = open(dir.path());
    let version =
        |number| NewRow { kind: "Consent", logical: Some(index.logical("Consent", "c-1")), ..row(&index, number, "a") };
    index.add(&[version(1), version(2), version(3)]).expect("added");
    index.recorded(&batch(1, 100, &[1, 2])).expect("noted");
    index.refused(SpoolNumber(3), &Refusal::coded("", "ID_TAKEN", "…")).expect("noted");
    assert_eq!(index.versions("Consent", "c-1").expect("readable").len(), 2);
    assert_eq!(index.versions("Consent", "c-2").expect("readable"), []);
    for n in 1..=2 {
        let before = version(n).keys;
        assert_eq!(
            index.known(&before, LATER).expect("readable"),
            None,
            "{n} was replaced: the same again is said anew"
        );
    }
    let found = index.search(&Search::all("Consent", 10)).expect("readable").rows;
    assert_eq!(found.iter().map(|row| row.number.0).collect::<Vec<_>>(), [2]);
}

#[test]
fn what_became_several_records_is_kept_sealed() {
    let dir = tempfile::tempdir().expect("a folder");
    let index = open(dir.path());
    index.keep_whole(SpoolNumber(4), b"279035121518989").expect("kept");
    index.sync().expect("durable");
    assert_eq!(index.whole(SpoolNumber(4)).expect("readable").as_deref(), Some(b"279035121518989".as_slice()));
    assert_eq!(index.whole(SpoolNumber(5)).expect("readable"), None);
    let bytes = std::fs::read(dir.path().join("index.sqlite")).expect("there");
    assert!(!bytes.windows(9).any(|window| window == b"279035121"));
}

#[test]
fn an_index_of_another_key_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(open(dir.path()));
    let other = Index::open(&dir.path().join("index.sqlite"), &Key::from_bytes([2; 32])).map(|_| ());
    assert!(other.expect_err("another key").to_string().contains("another key"));
}

#[test]
fn what_comes_late_out_of_quarantine_is_known_again_for_a_day() {
    let dir = tempfile::tempdir().expect("a folder");
    let index = open(dir.path());
    let late = NewRow { received_ms: 1_000_000, ..row(&index, 1, "a") };
    index.add(std::slice::from_ref(&late)).expect("added");
    let body = Keys { version: None, ..late.keys.clone() };
    assert_eq!(index.known(&body, now_ms() + RETRY_MS / 2).expect("readable"), Some(SpoolNumber(1)));
    assert_eq!(index.known(&body, now_ms() + RETRY_MS).expect("readable"), None);
}

#[test]
fn the_newest_version_of_a_consent_is_known_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let index = open(dir.path());
    let version =
        |number| NewRow { kind: "Consent", logical: Some(index.logical("Consent", "c-1")), ..row(&index, number, "a") };
    index.add(&[version(1)]).expect("added");
    assert_eq!(index.known(&version(1).keys, LATER).expect("readable"), Some(SpoolNumber(1)));
    index.add(&[version(2), row(&index, 3, "b")]).expect("added");
    assert_eq!(index.known(&version(1).keys, LATER).expect("readable"), None);
    assert_eq!(index.known(&version(2).keys, LATER).expect("readable"), Some(SpoolNumber(2)));
    assert_eq!(index.known(&row(&index, 3, "b").keys, LATER).expect("readable"), Some(SpoolNumber(3)));
}

#[test]
fn an_old_event_is_found_by_no_search_and_read_back_by_its_place() {
    let dir = tempfile::tempdir().expect("a folder");
    let index = open(dir.path());
    let logical = Some(index.logical("Consent", "c"));
    let mut rows: Vec<NewRow> = (1..=6).map(|number| row(&index, number, "a")).collect();
    rows[1] = NewRow { kind: "Consent", logical, ..row(&index, 2, "a") };
    index.add(&rows).expect("added");
    index.recorded(&batch(1, 100, &[1, 2, 3, 4])).expect("noted");
    let found = |index: &Index, kind| {
        let search = Search { terms: vec![(Term::Patient, vec!["a".to_owned()])], ..Search::all(kind, 100) };
        index.search(&search).expect("readable").rows.iter().map(|row| row.number.0).collect::<Vec<_>>()
    };
    let names = |index: &Index| {
        let count = "SELECT count(*) FROM term";
        index.reading(|connection| connection.query_row(count, [], |row| row.get::<_, u64>(0))).expect("readable")
    };
    // The fifth waits, and what came after it stays, however old it is.
    assert!(!index.move_forgotten(LATER + 4).expect("written"), "there is no more");
    assert_eq!((index.forgotten(), found(&index, "AuditEvent"), names(&index)), (3, vec![4], 6));
    assert_eq!(index.forget_names(None).expect("written"), None);
    assert_eq!(names(&index), 4, "of the Consent, and of what isn't old");
    index.move_forgotten(u64::MAX >> 1).expect("written");
    assert_eq!((index.forgotten(), found(&index, "AuditEvent"), found(&index, "Consent")), (4, vec![], vec![2]));
    // Read back by its place; an equal body within the day is a retry all the same, and a version of long ago isn't known any more.
    let place = Place { stream: [5; 8], seq: 1, position: 0 };
    assert_eq!(index.at(&place).expect("readable").expect("there").number, SpoolNumber(1));
    let keys = |number: usize| rows[number - 1].keys.clone();
    let body = |number| Keys { version: None, ..keys(number) };
    let version = |number| Keys { body: None, ..keys(number) };
    assert_eq!(index.known(&body(1), LATER).expect("readable"), Some(SpoolNumber(1)));
    assert_eq!(index.known(&version(1), LATER).expect("readable"), None);
    assert_eq!(index.known(&version(2), LATER).expect("readable"), Some(SpoolNumber(2)), "of a Consent");
    assert_eq!(index.known(&version(5), LATER).expect("readable"), Some(SpoolNumber(5)), "it waits");
    // After a restart, too.
    drop(index);
    let index = open(dir.path());
    assert_eq!((index.forgotten(), found(&index, "AuditEvent"), names(&index)), (4, vec![], 4));
}
