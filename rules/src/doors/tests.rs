use serde_json::{Value, json};

use super::*;
use crate::codes::Code;
use crate::record::new_message;

/// 2026-03-02T09:00:00Z
const NOW: u64 = 1_772_442_000_000;

fn read(kind: Kind, details: &Value) -> Result<Option<DoorRecord>, RecordError> {
    let mut message = new_message(kind, kind.has_patient().then_some(&[7; 32]), NOW);
    let software = sillage_proto::v1::Automated { software: "connector".to_owned(), ..Default::default() };
    let actor = sillage_proto::v1::Actor { id: "someone".to_owned(), ..Default::default() };
    match kind {
        Kind::SOURCE_HEARTBEAT => message.automated = Some(software),
        _ => message.actor = Some(actor),
    }
    message.details = details.to_string();
    DoorRecord::of(&ParsedRecord::from_message(message).expect("a record"))
}

fn heartbeat() -> Value {
    json!({"source": "radiology.pacs", "structure": "750712184", "day": "2026-03-02", "received": 120, "recorded": 117,
        "waiting": 2, "refused": 1, "streams": [{"stream": "a", "seq": 41}, {"stream": "b", "seq": 0}]})
}

#[test]
fn a_heartbeat_is_read_as_it_is_written() {
    let Ok(Some(DoorRecord::Heartbeat(read))) = read(Kind::SOURCE_HEARTBEAT, &heartbeat()) else { panic!("one") };
    assert_eq!(serde_json::to_value(&read).expect("JSON"), heartbeat());
    let again = ParsedRecord::from_message(read.to_message(("connector", "1"), NOW)).expect("a record");
    assert_eq!(DoorRecord::of(&again), Ok(Some(DoorRecord::Heartbeat(read))));
}

#[test]
fn a_heartbeat_out_of_its_bounds_names_the_field() {
    let cases = [
        ("source", json!("Radiology"), "details.source"),
        ("source", json!(""), "details.source"),
        ("structure", json!(" 75"), "details.structure"),
        ("day", json!("2026-02-28"), "details.day"),
        ("day", json!("2026-03-03"), "details.day"),
        ("day", json!("2026-3-2"), "details.day"),
        ("received", json!(119), "details.received"),
        ("received", json!(9_007_199_254_740_992_u64), "details.received"),
        ("waiting", json!(-1), "details.waiting"),
        ("streams", json!([{"stream": "b", "seq": 1}, {"stream": "a", "seq": 1}]), "details.streams"),
        ("streams", json!([{"stream": "A", "seq": 1}]), "details.streams[0].stream"),
        ("extra", json!(1), "details.extra"),
    ];
    for (field, value, path) in cases {
        let mut details = heartbeat();
        details[field] = value.clone();
        let error = read(Kind::SOURCE_HEARTBEAT, &details).expect_err(field);
        assert_eq!((error.code, error.path.as_str()), (Code::MalformedRecord, path), "{value}");
    }
    let many: Vec<Value> = (0..17).map(|n| json!({"stream": format!("s{n:02}"), "seq": 1})).collect();
    let mut details = heartbeat();
    details["streams"] = many.into();
    assert!(read(Kind::SOURCE_HEARTBEAT, &details).is_err());
}

#[test]
fn the_last_heartbeat_of_a_day_may_come_after_midnight() {
    let mut details = heartbeat();
    details["day"] = json!("2026-03-01");
    assert!(read(Kind::SOURCE_HEARTBEAT, &details).is_ok());
}

#[test]
fn a_contest_says_something() {
    let opened = json!({"id": "q1", "about": 7, "question": "Pourquoi ?"});
    assert!(matches!(read(Kind::CONTEST_OPENED, &opened), Ok(Some(DoorRecord::ContestOpened(_)))));
    for (kind, details, path) in [
        (Kind::CONTEST_OPENED, json!({"id": "", "about": 7, "question": "x"}), "details.id"),
        (Kind::CONTEST_OPENED, json!({"id": "q", "about": 7, "question": " \n"}), "details.question"),
        (Kind::CONTEST_OPENED, json!({"id": "q", "about": 7, "question": "x".repeat(4_097)}), "details.question"),
        (Kind::CONTEST_OPENED, json!({"id": "q", "about": "7", "question": "x"}), "details.about"),
        (Kind::CONTEST_ANSWERED, json!({"contest": "q", "answer": ""}), "details.answer"),
        (Kind::CONTEST_ANSWERED, json!({"answer": "x"}), "details"),
        (Kind::CONTEST_CLOSED, json!({"contest": "q", "text": ""}), "details.text"),
    ] {
        let error = read(kind, &details).expect_err(path);
        assert_eq!((error.code, error.path.trim_end_matches('.')), (Code::MalformedRecord, path), "{details}");
    }
    assert!(read(Kind::CONTEST_CLOSED, &json!({"contest": "q"})).is_ok());
}

#[test]
fn a_session_is_opened_by_a_login_alone() {
    let details = json!({"portal": "11".repeat(32)});
    assert_eq!(read(Kind::SESSION_OPENED, &details).expect_err("no login").code, Code::AuthenticationMissing);
    let half = json!({"portal": "11".repeat(32), "open_tag": "22".repeat(32)});
    assert_eq!(read(Kind::SESSION_OPENED, &half).expect_err("no proof").path, "details.open_tag");
    let closed = json!({"session": "33".repeat(32)});
    assert!(matches!(read(Kind::SESSION_CLOSED, &closed), Ok(Some(DoorRecord::SessionClosed(_)))));
}

#[test]
fn other_kinds_are_no_records_of_the_doors() {
    for kind in Kind::ALL.iter().filter(|kind| !KINDS.contains(kind) && !kind.is_act()) {
        let mut message = new_message(*kind, kind.has_patient().then_some(&[7; 32]), NOW);
        message.actor = Some(sillage_proto::v1::Actor { id: "someone".to_owned(), ..Default::default() });
        let record = ParsedRecord::from_message(message).expect("a record");
        assert_eq!(DoorRecord::of(&record), Ok(None), "{kind}");
    }
    assert!(KINDS.is_sorted());
}

mod list {
    use sillage_proto::v1;

    use super::super::sources::*;
    use crate::time::{ParisDay, TimeMs};

    fn entry(id: &str) -> v1::ListedSource {
        v1::ListedSource {
            id: id.to_owned(),
            name_fr: "Radiologie".to_owned(),
            structure: "750712184".to_owned(),
            silent_after_s: 7_200,
            ..v1::ListedSource::default()
        }
    }

    fn read(listed: Vec<v1::ListedSource>, removed: &[&str]) -> Result<SourcesChange, String> {
        let removed = removed.iter().map(|id| (*id).to_owned()).collect();
        SourcesChange::parse(&v1::SourcesListed { listed, removed }).map_err(|error| error.path)
    }

    #[test]
    fn a_change_is_read_as_it_is_written() {
        let full = v1::ListedSource {
            name_en: "Radiology".to_owned(),
            author_id: vec![1; 32],
            answers: vec![2; 32],
            since_ms: 5,
            ..entry("a")
        };
        let change = read(vec![full.clone(), entry("b")], &["c"]).expect("a change");
        let removed = vec!["c".to_owned()];
        assert_eq!(change.to_message(), v1::SourcesListed { listed: vec![full, entry("b")], removed });
    }

    #[test]
    fn a_change_out_of_its_bounds_is_refused() {
        let with = |edit: fn(&mut v1::ListedSource)| {
            let mut source = entry("a");
            edit(&mut source);
            read(vec![source], &[])
        };
        assert_eq!(read(Vec::new(), &[]), Err(String::new()));
        assert_eq!(read(vec![entry("b"), entry("a")], &[]), Err("listed".to_owned()));
        assert_eq!(read(vec![entry("a"), entry("a")], &[]), Err("listed".to_owned()));
        assert_eq!(read(vec![entry("a")], &["a"]), Err("removed".to_owned()));
        assert_eq!(read(Vec::new(), &["b", "a"]), Err("removed".to_owned()));
        assert_eq!(read(Vec::new(), &["A"]), Err("removed".to_owned()));
        assert_eq!(with(|source| source.id = "A".to_owned()), Err("listed[0].id".to_owned()));
        assert_eq!(with(|source| source.name_fr.clear()), Err("listed[0].name_fr".to_owned()));
        assert_eq!(with(|source| source.name_en = "a\nb".to_owned()), Err("listed[0].name_en".to_owned()));
        assert_eq!(with(|source| source.structure.clear()), Err("listed[0].structure".to_owned()));
        assert_eq!(with(|source| source.silent_after_s = 3_599), Err("listed[0].silent_after_s".to_owned()));
        assert_eq!(with(|source| source.silent_after_s = 2_678_401), Err("listed[0].silent_after_s".to_owned()));
        assert_eq!(with(|source| source.author_id = vec![1; 31]), Err("listed[0].author_id".to_owned()));
        assert_eq!(with(|source| source.since_ms = u64::MAX), Err("listed[0].since_ms".to_owned()));
        let many = (0..257).map(|n| entry(&format!("s{n:03}"))).collect();
        assert_eq!(read(many, &[]), Err("listed".to_owned()));
    }

    #[test]
    fn a_day_is_shown_once_it_is_over() {
        // 2026-03-02T22:59Z is the last minute of 2 March in Paris.
        let (evening, midnight) = (1_772_492_340_000, 1_772_492_400_000);
        let days = [1_772_442_000_000, 1_772_355_600_000].map(|ms| ParisDay::of(TimeMs(ms)));
        let [today, yesterday] = days;
        assert_eq!(SourcesChange::shown(evening, Some(today), Some(yesterday)), Some(yesterday));
        assert_eq!(SourcesChange::shown(midnight, Some(today), Some(yesterday)), Some(today));
        assert_eq!(SourcesChange::shown(evening, Some(today), None), None);
    }

    #[test]
    fn a_source_is_silent_after_its_own_time() {
        let mut source = ListedSource::parse(&entry("a")).expect("an entry");
        source.since_ms = 1_000;
        assert!(!source.is_silent(7_201_000, None, None) && source.is_silent(7_201_001, None, None));
        assert!(!source.is_silent(9_000_000, Some(2_000_000), None));
        let day = ParisDay::of(TimeMs(0));
        assert!(!source.is_silent(day.end().0 + 7_200_000, None, Some(day)));
        assert!(source.is_silent(day.end().0 + 7_200_001, None, Some(day)));
    }
}
