use super::*;
use crate::consent::change::Change;
use crate::consent::testing::{DR, OTHER, deposit, doctor, item, known, patient};
use sillage_proof::batch::Origin;
use sillage_proof::keys::SigningKey;
use sillage_rules::kind::Kind;

/// 2026-03-02T09:30:00Z.
const NOW: TimeMs = TimeMs(1_772_443_800_000);

fn patient_line() -> PatientLine {
    PatientLine { ins: "279035121518989".into(), oid: "1.2.250.1.213.1.4.10".into() }
}

fn log(dir: &tempfile::TempDir) -> EmergencyLog {
    let origin = Origin::new("test/log").expect("a name");
    let key = SigningKey::from_seed(&[7; 32]);
    EmergencyLog::start(&dir.path().join("e"), origin, key, "fibre cut", "", NOW).expect("started")
}

fn opened(actor: &str) -> RecordLine {
    let (system, id) = actor.split_once('|').expect("a name");
    let json = format!(
        r#"{{"kind":"breakglass.opened","patient":{{"ins":"279035121518989","oid":"1.2.250.1.213.1.4.10"}},"actor":{{"system":"{system}","id":"{id}","role":"physician"}},"occurred_at":"2026-03-02T09:29:00Z","details":{{"id":"bg1","case":"INCAPACITY","reason":"coma","expires":"2026-03-02T12:00:00Z","search":"INS","no_position":"INDOORS"}}}}"#
    );
    RecordLine::parse(json.as_bytes()).expect("a record line")
}

fn ask(purpose: &str) -> LocalAsk {
    let (system, id) = DR.split_once('|').expect("a name");
    let actor = ActorLine { system: system.into(), id: id.into(), role: "physician".into(), ..ActorLine::default() };
    LocalAsk {
        patient: patient_line(),
        actor,
        action: "read".into(),
        purpose: purpose.into(),
        items: vec![item("d1", "LAB"), item("d2", "LAB")],
        secret: false,
    }
}

fn outcome(log: &EmergencyLog, rules: &LocalRules, known: Option<&LastKnown>, ask: &LocalAsk) -> Vec<(bool, String)> {
    let decided = decide_locally(log, rules, known, ask, NOW).expect("decided");
    decided.items.into_iter().map(|item| (item.permit, item.reason)).collect()
}

fn yes(reason: &str) -> (bool, String) {
    (true, reason.to_owned())
}

fn no(reason: &str) -> (bool, String) {
    (false, reason.to_owned())
}

#[test]
fn without_a_ledger_only_broken_glass_opens() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut log, rules) = (log(&dir), LocalRules::default());
    assert_eq!(outcome(&log, &rules, None, &ask("BTG")), [no(UNREACHABLE), no(UNREACHABLE)], "none was opened");
    admit(&log, None, &opened(DR), NOW).expect("a physician may");
    log.append(&LocalEvent::Recorded(Box::new(opened(DR))), NOW).expect("written");
    assert_eq!(outcome(&log, &rules, None, &ask("BTG")), [yes("BREAK_GLASS"), yes("BREAK_GLASS")]);
    assert_eq!(outcome(&log, &rules, None, &ask("TREAT")), [no(UNREACHABLE), no(UNREACHABLE)]);
    let later = TimeMs(NOW.0 + 3 * 3_600_000);
    let decided = decide_locally(&log, &rules, None, &ask("BTG"), later).expect("decided");
    assert!(decided.items.iter().all(|item| !item.permit), "it has expired");
}

#[test]
fn what_was_last_known_denies_and_permits_no_more_than_the_rules_say() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut log = log(&dir);
    log.append(&LocalEvent::Recorded(Box::new(opened(DR))), NOW).expect("written");
    let joined = serde_json::json!({"professional": DR, "until": "2026-03-09T09:00:00Z"});
    let last = LastKnown {
        known: known(&[
            (deposit(&[("d1", "LAB"), ("d2", "LAB")]), doctor(OTHER)),
            (Change::of_items(Kind::ITEM_MASKED, vec![item("d2", "")]), patient()),
            (Change::with(Kind::CARETEAM_JOINED, joined), doctor(DR)),
        ]),
    };
    let strict = LocalRules::default();
    assert_eq!(outcome(&log, &strict, Some(&last), &ask("BTG")), [yes("BREAK_GLASS"), no("MASKED")]);
    assert_eq!(outcome(&log, &strict, Some(&last), &ask("TREAT")), [no(UNREACHABLE), no("MASKED")]);
    let wide = LocalRules::parse("permit_with_state = [\"CARE_TEAM\"]\nstate_age_h_max = 1").expect("rules");
    assert_eq!(outcome(&log, &wide, Some(&last), &ask("TREAT")), [yes("CARE_TEAM"), no("MASKED")]);
    let old = LastKnown {
        known: {
            let mut k = last.known.clone();
            k.as_of_ms -= 2 * 3_600_000;
            k
        },
    };
    assert_eq!(outcome(&log, &wide, Some(&old), &ask("TREAT")), [no(UNREACHABLE), no("MASKED")], "too old");
}

#[test]
fn what_is_kept_from_representatives_is_decided_apart() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut log = log(&dir);
    let kept = r#"{"kind":"access.write","patient":{"ins":"279035121518989","oid":"1.2.250.1.213.1.4.10"},"secret":true,"actor":{"system":"urn:oid:1.2.250.1.71.4.2.1","id":"10100534436","role":"physician"},"items":[{"id":"d2","category":"LAB"}],"occurred_at":"2026-03-02T09:29:00Z","basis":{"kind":"legal","ref":"L1111-15"}}"#;
    log.append(&LocalEvent::Recorded(Box::new(RecordLine::parse(kept.as_bytes()).expect("a line"))), NOW)
        .expect("written");
    let rules = LocalRules::default();
    let apart = |ask: &LocalAsk| -> Vec<bool> {
        let decided = decide_locally(&log, &rules, None, ask, NOW).expect("decided");
        decided.items.iter().map(|item| item.secret).collect()
    };
    assert_eq!(apart(&ask("TREAT")), [false, true], "deposited so since");
    assert_eq!(apart(&LocalAsk { secret: true, ..ask("TREAT") }), [true, true], "the store says so");
    let mother = ActorLine { system: "urn:sillage:person".into(), id: "mere".into(), ..ActorLine::default() };
    let decided =
        decide_locally(&log, &rules, None, &LocalAsk { actor: mother, ..ask("FAMRQT") }, NOW).expect("decided");
    assert!(decided.items.iter().all(|item| !item.permit), "{decided:?}");
}

#[test]
fn who_may_not_break_the_glass_there_may_not_here() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = log(&dir);
    let person = opened("urn:sillage:person|p7");
    let ClientError::Rejected(rejection) = admit(&log, None, &person, NOW).expect_err("no professional") else {
        panic!("refused");
    };
    assert_eq!(rejection.code.as_str(), "NOT_ENTITLED");
}

#[test]
fn rules_that_cannot_be_meant_are_refused() {
    for bad in ["permit = [\"MASKED\"]", "permit = [\"EVERYTHING\"]", "allow = []", "permit = 3"] {
        assert_eq!(LocalRules::parse(bad).expect_err(bad).exit_code(), 2);
    }
    assert_eq!(LocalRules::parse("").expect("the default"), LocalRules::default());
}
