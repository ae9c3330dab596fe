use super::*;
use std::os::unix::fs::PermissionsExt;

fn origin() -> Origin {
    Origin::new("test/log").expect("a name")
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn started(dir: &Path) -> EmergencyLog {
    EmergencyLog::start(dir, origin(), key(), "fibre cut", "", TimeMs(1_000)).expect("started")
}

fn read_line() -> LocalEvent {
    let line = br#"{"kind":"access.read","patient":{"ins":"279035121518989","oid":"1.2.250.1.213.1.4.10"},
        "actor":{"system":"urn:oid:1.2.250.1.71.4.2.1","id":"10100534436"},"details":{"a": [1]},
        "occurred_at":"2026-03-02T09:00:00Z"}"#;
    let line: Vec<u8> = line.iter().copied().filter(|b| *b != b'\n').collect();
    LocalEvent::Recorded(Box::new(RecordLine::parse(&line).expect("a record line")))
}

#[test]
fn what_was_written_is_there_again_and_only_its_owner_may_read_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("emergency");
    let mut log = started(&path);
    assert_eq!(log.append(&read_line(), TimeMs(2_000)).expect("written"), 1);
    let (id, head) = (log.id(), log.head());
    drop(log);
    let log = EmergencyLog::open(&path, origin(), key()).expect("opened");
    assert_eq!((log.id(), log.head(), log.reason()), (id, head, "fibre cut"));
    assert_eq!(log.events()[1].event, read_line());
    for (file, mode) in [("log", 0o600), ("rules.toml", 0o600), ("lock", 0o600), ("", 0o700)] {
        let found = std::fs::metadata(path.join(file)).expect("there").permissions().mode();
        assert_eq!(found & 0o777, mode, "{file}");
    }
    assert!(EmergencyLog::open(&path, origin(), key()).is_err(), "one process at a time");
}

#[test]
fn a_torn_line_is_cut_and_a_changed_one_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("emergency");
    let mut log = started(&path);
    log.append(&read_line(), TimeMs(2_000)).expect("written");
    drop(log);
    let file = path.join("log");
    let good = std::fs::read_to_string(&file).expect("there");
    std::fs::write(&file, good.clone() + "{\"seq\":2,").expect("torn");
    let mut log = EmergencyLog::open(&path, origin(), key()).expect("opened");
    assert_eq!(log.append(&read_line(), TimeMs(3_000)).expect("written"), 2);
    drop(log);
    assert_eq!(EmergencyLog::open(&path, origin(), key()).expect("whole").events().len(), 3);
    std::fs::write(&file, good.replace("10100534436", "10100534437")).expect("changed");
    assert_eq!(EmergencyLog::open(&path, origin(), key()).expect_err("changed").exit_code(), 1);
    std::fs::write(&file, &good).expect("restored");
    std::fs::write(path.join("rules.toml"), "permit = [\"SELF\"]").expect("other rules");
    assert_eq!(EmergencyLog::open(&path, origin(), key()).expect_err("other rules").exit_code(), 1);
}

#[test]
fn an_emergency_begins_once_with_a_reason_and_ends_when_it_was_handed_in() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("emergency");
    assert!(EmergencyLog::open(&path, origin(), key()).is_err(), "none was begun");
    assert!(EmergencyLog::start(&path, origin(), key(), " ", "", TimeMs(1)).is_err(), "without a reason");
    let mut log = started(&path);
    let again = EmergencyLog::start(&path, origin(), key(), "x", "", TimeMs(1)).expect_err("begun already");
    assert_eq!(again.exit_code(), 2);
    log.append(&LocalEvent::HandedIn { records: 0, refused: vec![], index: 7 }, TimeMs(5_000)).expect("written");
    assert!(log.is_handed_in());
    let error = log.append(&read_line(), TimeMs(6_000)).expect_err("handed in");
    assert!(error.to_string().contains("new one"), "{error}");
}
