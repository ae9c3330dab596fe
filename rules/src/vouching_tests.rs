use sillage_proof::hash::{LeafIndex, LedgerTimeMs};

use super::*;
use crate::consent::Meta;
use crate::consent::name::{APP_SYSTEM, PROFESSIONAL_SYSTEM};
use crate::kind::Kind;
use crate::limits::{VOUCHED_BYTES_MAX, VOUCHED_STRUCTURES_MAX};
use crate::record::new_message;

const DAY_MS: u64 = 86_400_000;
const NOW_MS: u64 = 1_700_000_000_000;

fn actor(system: &str, id: &str, organisation: &str) -> v1::Actor {
    let (system, id, organisation) = (system.to_owned(), id.to_owned(), organisation.to_owned());
    v1::Actor { system, id, organisation, ..v1::Actor::default() }
}

fn doctor(organisation: &str) -> v1::Actor {
    actor(PROFESSIONAL_SYSTEM, "10100000012", organisation)
}

fn record(kind: Kind, actor: Option<v1::Actor>, details: &str) -> ParsedRecord {
    let mut message = v1::Record { actor, details: details.to_owned(), ..new_message(kind, Some(&[7; 32]), NOW_MS) };
    if message.actor.is_none() {
        message.automated = Some(v1::Automated { software: "archive".to_owned(), version: "1".to_owned() });
    }
    ParsedRecord::from_message(message).expect("a record")
}

/// The claims of a record, as `field: name`.
fn claimed(record: &ParsedRecord) -> Vec<String> {
    let event = Event::of(record).expect("understood");
    let claims = claims_of_record(record, event.as_ref());
    claims.iter().map(|claim| format!("{}: {}", claim.path, claim.name)).collect()
}

#[test]
fn a_professional_acts_for_a_structure_of_the_party() {
    let system = format!("actor.system: {PROFESSIONAL_SYSTEM}");
    let read = |organisation| claimed(&record(Kind::ACCESS_READ, Some(doctor(organisation)), ""));
    assert_eq!(read("690000120"), [system.clone(), "actor.organisation: 690000120".to_owned()]);
    assert_eq!(read(""), [system, "actor.organisation: ".to_owned()], "a structure is missing");
    let app = claimed(&record(Kind::ACCESS_READ, Some(actor(APP_SYSTEM, "poids@2", "")), ""));
    assert_eq!(app, [format!("actor.system: {APP_SYSTEM}")], "an application acts for none");
}

#[test]
fn the_patient_and_persons_are_known_by_their_login_alone() {
    let patient = v1::Actor { system: PATIENT_SYSTEM.to_owned(), id: "self".to_owned(), ..v1::Actor::default() };
    let auth = |issuer: &str| v1::Authentication {
        issuer: issuer.to_owned(),
        method: "app".to_owned(),
        eidas_level: "high".to_owned(),
    };
    let mut message = new_message(Kind::SPACE_CLOSED, Some(&[7; 32]), NOW_MS);
    message.actor = Some(patient);
    assert!(claimed(&ParsedRecord::from_message(message.clone()).expect("a record")).is_empty());
    message.auth = Some(auth("urn:franceconnect"));
    let record = ParsedRecord::from_message(message.clone()).expect("a record");
    assert_eq!(claimed(&record), ["auth.issuer: urn:franceconnect"]);
    message.auth = Some(auth(""));
    let record = ParsedRecord::from_message(message).expect("a record");
    assert_eq!(claimed(&record), ["auth.issuer: "], "an issuer is missing");
}

#[test]
fn nobody_is_named_who_nothing_proves() {
    let of = |system: &str| Some(actor(system, "self", ""));
    let missing = ["auth: ".to_owned()];
    for kind in [Kind::ACCESS_READ, Kind::ACCESS_WRITE, Kind::MOVEMENT_THIRD_PARTY, Kind::LOG_CONSULTED] {
        assert_eq!(claimed(&record(kind, of(PATIENT_SYSTEM), "")), missing, "{kind}: the patient without a login");
        assert_eq!(claimed(&record(kind, of(PERSON_SYSTEM), "")), missing, "{kind}: a person without a login");
    }
    let label = v1::Actor { label: "Dr Martin".to_owned(), ..v1::Actor::default() };
    assert_eq!(claimed(&record(Kind::ACCESS_READ, Some(label), "")), ["actor.system: "], "a label alone");
    // A party that vouches for everybody vouches for these too; who vouches for an empty name would have none.
    assert!(Vouching::parse(&[], &[String::new()], &[String::new()]).is_err());
}

#[test]
fn a_depositor_is_named_by_a_system_of_the_party() {
    let deposited = |depositor: &str, by: Option<v1::Actor>| {
        let item = v1::Item { id: "d1".to_owned(), depositor: depositor.to_owned(), ..v1::Item::default() };
        let mut message = record(Kind::ACCESS_WRITE, by, "").message().clone();
        message.items = vec![item];
        claimed(&ParsedRecord::from_message(message).expect("a record"))
    };
    let by = || Some(doctor("1"));
    let own = deposited("", by());
    assert_eq!(deposited(&format!("{PROFESSIONAL_SYSTEM}|10100000020"), by()), own, "of the actor's system");
    let other = deposited("urn:oid:1.2.3|7", by());
    assert_eq!(other[own.len()..], ["items.depositor: urn:oid:1.2.3".to_owned()]);
    assert_eq!(deposited("urn:oid:1.2.3|7", None), ["items.depositor: urn:oid:1.2.3".to_owned()], "by software");
    assert!(deposited("", None).is_empty());
}

#[test]
fn what_has_no_actor_counts_as_software_where_it_decides() {
    assert!(claimed(&record(Kind::ACCESS_READ, None, "")).is_empty(), "it happened");
    let closed = claimed(&record(Kind::BREAKGLASS_CLOSED, None, r#"{"breakglass":"b"}"#));
    assert_eq!(closed, [format!("actor: {SOFTWARE_SYSTEM}")]);
}

#[test]
fn who_breaks_the_glass_for_another_vouches_for_them_too() {
    let details = format!(
        r#"{{"id":"b","actor":"{PROFESSIONAL_SYSTEM}|10100000020","organisation":"2","no_position":"INDOORS"}}"#
    );
    let claims = claimed(&record(Kind::BREAKGLASS_OPENED, Some(doctor("1")), &details));
    assert_eq!(claims[2..], [format!("details.actor: {PROFESSIONAL_SYSTEM}"), "details.organisation: 2".to_owned()]);
}

#[test]
fn nobody_joins_a_care_team_on_their_own_word() {
    let until = crate::time::TimeMs(NOW_MS + DAY_MS);
    let until = serde_json::to_value(until).expect("a time");
    let joined = |member: &str, signer: v1::Actor| {
        let details = serde_json::json!({"professional": member, "until": until, "organisation": "1"}).to_string();
        let record = record(Kind::CARETEAM_JOINED, Some(signer), &details);
        let meta = Meta::of(&record, LeafIndex(1), LedgerTimeMs(NOW_MS), false, false).expect("a signer");
        let event = Event::of(&record).expect("understood").expect("it decides");
        check_own_word(&event, &meta.signer.name).map_err(|error| error.code)
    };
    let member = format!("{PROFESSIONAL_SYSTEM}|10100000012");
    assert_eq!(joined(&member, doctor("1")), Err(Code::NotEntitled));
    assert_eq!(
        joined(&member, actor(PROFESSIONAL_SYSTEM, "810100000012", "1")),
        Err(Code::NotEntitled),
        "the same card"
    );
    assert_eq!(joined(&member, actor(PROFESSIONAL_SYSTEM, "10100000020", "1")), Ok(()), "a colleague");
    assert_eq!(joined(&member, actor(PATIENT_SYSTEM, "self", "")), Ok(()), "the patient");
}

#[test]
fn lists_are_ascending_bounded_and_of_names() {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let parsed = |list: &[String]| Vouching::parse(list, &[], &[]).map_err(|error| (error.code, error.path));
    assert!(parsed(&names(&["1", "2"])).is_ok());
    let wrong = Err((Code::MalformedRecord, "structures".to_owned()));
    for list in [&["2", "1"][..], &["1", "1"], &[""], &[" 1"], &["a\u{7}"], &[&"x".repeat(VOUCHED_BYTES_MAX + 1)]] {
        assert_eq!(parsed(&names(list)), wrong, "{list:?}");
    }
    let many: Vec<String> = (0..=VOUCHED_STRUCTURES_MAX).map(|n| format!("{n:08}")).collect();
    assert!(parsed(&many[1..]).is_ok());
    assert_eq!(parsed(&many), wrong);
    assert!(Vouching::any().has_any() && !Vouching::default().has_any());
}
