use super::command::{QuarantineCommand, run};
use super::*;
use crate::arrival::Door;

const KEY: [u8; 32] = [7; 32];
/// 2026-03-02T09:00:00Z
const MARCH: u64 = 1_772_442_000_000;

fn new(source: &str, raw: &[u8]) -> New {
    New::bytes(Door::Syslog, source, MARCH, "AuditMessage", "expected <an> element", raw.to_vec())
}

fn opened(dir: &tempfile::TempDir) -> Quarantine {
    Quarantine::open(&dir.path().join("q"), KEY, Bounds::default()).expect("opened")
}

#[test]
fn what_was_kept_is_there_after_a_restart_and_sealed() {
    let dir = tempfile::tempdir().expect("a folder");
    let secret = b"279035121518989 in clear";
    let id = opened(&dir).keep(&new("pacs", secret)).expect("kept");
    let again = opened(&dir);
    let item = again.show(&id).expect("there");
    assert_eq!((item.raw.as_slice(), item.source.as_str(), item.received_ms), (&secret[..], "pacs", MARCH));
    assert!(id.starts_with("20260302T090000Z-"), "{id}");
    assert_eq!(again.list().expect("listed").len(), 1);
    let file = std::fs::read(dir.path().join(format!("q/{id}.held"))).expect("a file");
    assert!(!file.windows(10).any(|window| secret.windows(10).any(|part| part == window)), "sealed");
    let other = Quarantine::open(&dir.path().join("q"), [8; 32], Bounds::default()).expect("opened");
    assert!(matches!(other.show(&id), Err(QuarantineError::Damaged(_))));
    std::fs::rename(dir.path().join(format!("q/{id}.held")), dir.path().join("q/20260302T090000Z-aaaaaa.held"))
        .expect("renamed");
    assert!(matches!(again.show("20260302T090000Z-aaaaaa"), Err(QuarantineError::Damaged(_))), "the id is bound");
}

#[test]
fn a_day_counts_what_was_kept_taken_and_dropped() {
    let dir = tempfile::tempdir().expect("a folder");
    let quarantine = opened(&dir);
    let ids: Vec<String> =
        (0..5).map(|i| quarantine.keep(&new(if i < 4 { "pacs" } else { "lab" }, b"x")).expect("kept")).collect();
    quarantine.retry(&ids[0]).expect("there");
    assert_eq!(quarantine.due().expect("read"), [ids[0].clone()]);
    quarantine.remove(&ids[0], Event::Taken).expect("there");
    quarantine.remove(&ids[1], Event::Dropped).expect("there");
    quarantine.remove(&ids[2], Event::KeptAnew).expect("there");
    let day = quarantine.day("2026-03-02").expect("read");
    assert_eq!(day["pacs"], DayCounts { kept: 3, taken: 1, dropped: 1, held: 1 });
    assert_eq!(day["lab"], DayCounts { kept: 1, held: 1, ..DayCounts::default() });
    assert!(quarantine.day("2026-03-03").expect("read").is_empty());
    assert_eq!(quarantine.held().expect("read").items, 2);
    assert!(matches!(quarantine.show(&ids[0]), Err(QuarantineError::Unknown(_))));
}

#[test]
fn a_crash_between_file_and_line_and_inside_of_a_file_is_mended() {
    let dir = tempfile::tempdir().expect("a folder");
    let quarantine = opened(&dir);
    quarantine.keep(&new("pacs", b"x")).expect("kept");
    std::fs::remove_file(dir.path().join("q/days/2026-03-02.ndjson")).expect("removed");
    std::fs::write(dir.path().join("q/20260302T090000Z-aaaaaa.new"), b"half").expect("written");
    let again = opened(&dir);
    again.recover().expect("mended");
    again.recover().expect("again");
    assert_eq!(again.day("2026-03-02").expect("read")["pacs"], DayCounts { kept: 1, held: 1, ..DayCounts::default() });
    assert!(!dir.path().join("q/20260302T090000Z-aaaaaa.new").exists());
}

#[test]
fn a_full_quarantine_refuses_and_room_that_another_process_made_is_seen() {
    let dir = tempfile::tempdir().expect("a folder");
    let bounds = Bounds { items_max: 2, bytes_max: 10_000 };
    let quarantine = Quarantine::open(&dir.path().join("q"), KEY, bounds).expect("opened");
    let id = quarantine.keep(&new("pacs", b"x")).expect("kept");
    assert!(matches!(quarantine.keep(&new("pacs", &[0; 10_000])), Err(QuarantineError::Full)));
    quarantine.keep(&new("pacs", b"y")).expect("kept");
    assert!(matches!(quarantine.keep(&new("pacs", b"z")), Err(QuarantineError::Full)));
    opened(&dir).remove(&id, Event::Dropped).expect("dropped");
    quarantine.keep(&new("pacs", b"z")).expect("room again");
}

#[test]
fn one_source_takes_no_room_from_the_others_and_the_doors_none_from_the_recorder() {
    let dir = tempfile::tempdir().expect("a folder");
    let bounds = Bounds { items_max: 20, bytes_max: 1 << 20 };
    let open = || Quarantine::open(&dir.path().join("q"), KEY, bounds).expect("opened");
    let quarantine = open();
    for _ in 0..2 {
        quarantine.keep_at_door(&new("pacs", b"x")).expect("a tenth of 20");
    }
    let error = quarantine.keep_at_door(&new("pacs", b"x")).expect_err("its share is full");
    assert!(error.to_string().contains("for pacs"), "{error}");
    assert!(matches!(quarantine.keep_at_door(&new("lab", &[0; 200_000])), Err(QuarantineError::NoShare(_))));
    quarantine.keep_at_door(&new("lab", b"x")).expect("another source");
    quarantine.keep(&new("pacs", b"x")).expect("the recorder has room");
    // Whose they are is known after a restart, too.
    let quarantine = open();
    assert!(quarantine.keep_at_door(&new("pacs", b"x")).is_err());
    for at in 0..11 {
        quarantine.keep_at_door(&new(&format!("source {at}"), b"x")).expect("to three quarters");
    }
    assert!(matches!(quarantine.keep_at_door(&new("one more", b"x")), Err(QuarantineError::NoShare(_))));
    for _ in 0..5 {
        quarantine.keep(&new("pacs", b"x")).expect("the last quarter is the recorder's");
    }
    assert!(matches!(quarantine.keep(&new("pacs", b"x")), Err(QuarantineError::Full)));
}

#[test]
fn what_is_kept_is_kept_also_where_the_journal_cannot_be_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let quarantine = opened(&dir);
    // A folder stands where the day's file would.
    let day = dir.path().join("q/days/2026-03-02.ndjson");
    std::fs::create_dir(&day).expect("made");
    let id = quarantine.keep(&new("pacs", b"x")).expect("kept");
    assert_eq!(quarantine.show(&id).expect("there").raw, b"x");
    std::fs::remove_dir(&day).expect("removed");
    quarantine.recover().expect("mended");
    assert_eq!(quarantine.day("2026-03-02").expect("read")["pacs"].kept, 1);
}

#[test]
fn the_command_line_lists_shows_and_drops() {
    let dir = tempfile::tempdir().expect("a folder");
    let quarantine = opened(&dir);
    let id = quarantine.keep(&new("pacs", b"a\x1b[31m")).expect("kept");
    let said = |command: &QuarantineCommand| {
        let mut out = Vec::new();
        run(command, &quarantine, &mut out)
            .map(|()| String::from_utf8(out).expect("text"))
            .map_err(|error| error.to_string())
    };
    let list = said(&QuarantineCommand::List { json: false }).expect("listed");
    assert!(list.starts_with(&format!("{id} syslog pacs 6 bytes\n    AuditMessage: expected")), "{list}");
    let json = said(&QuarantineCommand::List { json: true }).expect("listed");
    assert!(json.contains(r#""received":"2026-03-02T09:00:00Z""#), "{json}");
    let shown = said(&QuarantineCommand::Show { id: id.clone(), raw: false }).expect("shown");
    assert!(shown.ends_with("\n\na\\u{1b}[31m\n"), "{shown}");
    assert_eq!(said(&QuarantineCommand::Show { id: id.clone(), raw: true }), Ok("a\u{1b}[31m".to_owned()));
    said(&QuarantineCommand::Retry { ids: Vec::new(), all: true }).expect("marked");
    assert!(said(&QuarantineCommand::List { json: false }).expect("listed").contains("handed in again"));
    said(&QuarantineCommand::Drop { ids: vec![id.clone()] }).expect("dropped");
    for id in [id.as_str(), "../x", ""] {
        let error = said(&QuarantineCommand::Drop { ids: vec![id.to_owned()] }).expect_err("gone");
        assert!(error.contains("isn't in quarantine"), "{error}");
    }
}
