use super::*;
use crate::emergency_mode::log::{DecidedItem, LocalEvent};
use sillage_proof::batch::Origin;
use sillage_proof::keys::SigningKey;
use sillage_rules::line::{ActorLine, PatientLine};

const INS: &str = "279035121518989";
const TEST_OID: &str = "1.2.250.1.213.1.4.10";

fn line(json: &str) -> RecordLine {
    RecordLine::parse(json.as_bytes()).expect("a record line")
}

fn access() -> RecordLine {
    line(&format!(
        r#"{{"kind":"access.read","patient":{{"ins":"{INS}","oid":"{TEST_OID}"}},"actor":{{"system":"urn:oid:1.2.250.1.71.4.2.1","id":"10100534436","role":"physician"}},"items":[{{"id":"d1"}}],"occurred_at":"2026-03-02T09:00:00Z","purpose":"BTG","basis":{{"kind":"breakglass","ref":"bg1"}}}}"#
    ))
}

fn opened() -> RecordLine {
    line(&format!(
        r#"{{"kind":"breakglass.opened","patient":{{"ins":"{INS}","oid":"{TEST_OID}"}},"actor":{{"system":"urn:oid:1.2.250.1.71.4.2.1","id":"10100534436","role":"physician"}},"occurred_at":"2026-03-02T08:59:00Z","details":{{"id":"bg1","case":"INCAPACITY","reason":"coma","expires":"2026-03-02T12:00:00Z","search":"INS","no_position":"INDOORS"}}}}"#
    ))
}

fn decided() -> Decided {
    let item = |id: &str, permit: bool, reason: &str| DecidedItem {
        item: sillage_rules::line::ItemLine { id: id.into(), ..Default::default() },
        permit,
        reason: reason.into(),
        secret: false,
    };
    Decided {
        patient: PatientLine { ins: INS.into(), oid: TEST_OID.into() },
        actor: ActorLine {
            system: "urn:oid:1.2.250.1.71.4.2.1".into(),
            id: "10100534436".into(),
            ..Default::default()
        },
        action: "read".into(),
        purpose: "BTG".into(),
        items: vec![item("d1", true, "BREAK_GLASS"), item("d2", false, "MASKED")],
        known_to: None,
    }
}

fn log(dir: &tempfile::TempDir) -> EmergencyLog {
    let origin = Origin::new("test/log").expect("a name");
    let key = SigningKey::from_seed(&[7; 32]);
    let dir = dir.path().join("e");
    let mut log = EmergencyLog::start(&dir, origin, key, "fibre cut", "", TimeMs(1_000)).expect("started");
    for event in [
        LocalEvent::Recorded(Box::new(opened())),
        LocalEvent::Decided(Box::new(decided())),
        LocalEvent::Recorded(Box::new(access())),
    ] {
        log.append(&event, TimeMs(2_000)).expect("written");
    }
    log
}

#[test]
fn every_line_becomes_a_deferred_record_that_leads_back_to_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = log(&dir);
    let records = records(&log).expect("records");
    let kinds: Vec<(u64, u32)> = records.iter().map(|(seq, new)| (*seq, new.record.kind)).collect();
    let read = u32::from(Kind::ACCESS_READ.code());
    assert_eq!(kinds, [(1, u32::from(Kind::BREAKGLASS_OPENED.code())), (2, read), (2, read), (3, read)]);
    for (seq, new) in &records {
        assert_eq!(new.record.deferred.as_ref().map(|d| d.reason.as_str()), Some("fibre cut"));
        let ids = &new.record.correlation.as_ref().expect("one").ids;
        assert_eq!(ids, &[format!("emergency:{}:{seq}", log.id())]);
        assert!(new.patient.is_some());
    }
    assert!(records[1].1.record.details.contains(r#""authorisation":"permit""#));
    assert!(records[2].1.record.details.contains(r#""authorisation":"deny""#));
    assert!(records[2].1.record.details.contains("MASKED"), "the patient reads why");
}

#[test]
fn what_is_kept_from_representatives_goes_on_record_apart() {
    let mut decided = decided();
    decided.items[1].secret = true;
    let lines = decided_lines(&decided, TimeMs(2_000));
    let told: Vec<_> = lines.iter().map(|line| (line.secret, line.items[0].id.as_str(), line.items.len())).collect();
    assert_eq!(told, [(false, "d1", 1), (true, "d2", 1)]);
    let details = lines[0].details.as_ref().expect("what was decided").as_str();
    assert!(!details.contains("d2") && details.contains("d1"), "{details}");
}

#[test]
fn the_same_log_gives_the_same_records_and_one_sum() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = log(&dir);
    let bytes =
        || records(&log).expect("records").into_iter().map(|(_, new)| prost::Message::encode_to_vec(&new.record));
    assert_eq!(bytes().collect::<Vec<_>>(), bytes().collect::<Vec<_>>());
    let summary = Summary::of(&log);
    assert_eq!((summary.accesses, summary.patients, summary.breakglasses, summary.unjustified), (1, 1, 1, 1));
    assert_eq!((summary.decided, summary.refused_items), (1, 1));
    let sum = summing_up(&log, &summary);
    assert_eq!(sum, summing_up(&log, &summary));
    assert!(sum.details.contains(&log.head().to_string()));
    let encoded = crate::author::encode(sum, 0).expect("an author may submit it");
    assert!(!encoded.is_empty());
}

#[test]
fn only_what_was_done_may_stand_in_the_log() {
    let mut consent = line(&format!(
        r#"{{"kind":"space.closed","patient":{{"ins":"{INS}","oid":"{TEST_OID}"}},"actor":{{"system":"urn:sillage:patient","id":"self"}},"occurred_at":"2026-03-02T09:00:00Z"}}"#
    ));
    assert_eq!(check_line(&mut consent, true).expect_err("waits for the ledger").exit_code(), 2);
    assert_eq!(check_line(&mut access(), false).expect_err("a test identity").exit_code(), 4);
    check_line(&mut access(), true).expect("good");
    let mut odd = opened();
    odd.details = Details::parse(r#"{"id":"bg1","colour":"red"}"#).ok();
    assert!(check_line(&mut odd, true).expect_err("unknown field").to_string().contains("details"));
}

#[test]
fn a_refusal_takes_out_one_line_where_the_others_can_go_without_it() {
    let waiting = [
        Waiting { seq: 1, key: DocumentKey::new(b"1", b"", 0), kind: Kind::BREAKGLASS_OPENED, record: vec![] },
        Waiting { seq: 2, key: DocumentKey::new(b"2", b"", 0), kind: Kind::ACCESS_READ, record: vec![] },
    ];
    let at = |code: Code, position| {
        let rejection = Rejection { code: code.into(), message: String::new(), expected_seq: 0, position };
        one_line(&rejection, &waiting, 2)
    };
    assert_eq!(at(Code::EmptyPeriod, 0), Some(0));
    assert_eq!(at(Code::NotEntitled, 1), None, "the caller's role: nothing can go");
    assert_eq!(at(Code::TimeAhead, 1), Some(1));
    assert_eq!(at(Code::UnknownKey, 0), None);
    assert_eq!(at(Code::TimeAhead, 7), None);
}
