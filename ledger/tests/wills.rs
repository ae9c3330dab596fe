//! A will that is proven, and one that is only claimed, as every node applies it: below feature level 3, above it, and from
//! the first issuer on.

mod common;

use common::world::*;
use common::*;
use prost::Message as _;
use serde_json::{Value, json};
use sillage_proof::batch::Origin;
use sillage_proof::keys::SigningKey;
use sillage_proof::tag::{Identity, PatientTag, WhichTag};
use sillage_proto::internal::v1::Command;
use sillage_proto::v1;
use sillage_rules::act::Act;
use sillage_rules::codes::Code;
use sillage_rules::kind::Kind;
use sillage_rules::will::test_issuer::{Means, Subject, TestIssuer};
use sillage_rules::will::{Level, REMEMBERED_MS};

const OID: &str = "1.2.250.1.213.1.4.10";

/// A patient of this log's range: INS, tag, proof of the tag.
fn a_patient() -> (String, [u8; 32], Vec<u8>) {
    let mut numbers = (0..).map(|n| format!("2790351215{n:05}"));
    let found = numbers.find_map(|ins| {
        let identity = Identity::new(&ins, OID).expect("an identity");
        let (tag, proof) = PatientTag::resolve(&vrf_key(), &identity, WhichTag::Open);
        (0x10..=0x7f).contains(&tag.as_bytes()[0]).then(|| (ins, tag.to_bytes(), proof.to_bytes().to_vec()))
    });
    found.expect("nearly every second one is")
}

fn issuer() -> TestIssuer {
    TestIssuer::new(SigningKey::from_seed(&[77; 32]), Origin::new(ORIGIN).expect("a name"))
}

/// The record, with the login of its patient at this time.
fn proven(record: v1::Record, at_ms: u64) -> v1::Record {
    let (ins, _, proof) = a_patient();
    let means = Means { idp: "pro-sante-connect".into(), method: "card".into(), level: Level::Substantial };
    let subject = Subject::Patient { ins, oid: OID.into() };
    let session = SigningKey::from_seed(&[78; 32]);
    let will = issuer().decide(&record, &session, (&subject, &means), proof, at_ms);
    v1::Record { will: Some(will), ..record }
}

fn raise(world: &mut World) {
    let (index, _) = world.ledger().applied();
    let data = Command { version: 6, feature_level: 3, ..Command::default() }.encode_to_vec();
    let now = world.now;
    world.ledger().apply(index + 1, 1, now, &data).expect("a level that is known");
    assert_eq!(world.reader().feature_level(), 3);
}

fn publish() -> Act {
    Act::IssuerPublished(Box::new(issuer().published()))
}

#[test]
fn below_its_feature_level_a_will_is_a_field_that_nobody_knows() {
    let mut world = World::new();
    let (_, tag, _) = a_patient();
    let closed = || says(Kind::SPACE_CLOSED, Some(tag), patient(), &Value::Null);
    assert_eq!(world.refused(proven(closed(), START_MS)), Code::MalformedRecord);
    assert_eq!(code(&world.act(&publish())), Some(Code::UnknownKind));
    world.record(&[closed()]);
}

#[test]
fn from_the_first_issuer_on_a_claim_decides_nothing() {
    let mut world = World::new();
    let (_, tag, _) = a_patient();
    raise(&mut world);
    // No issuer is on record: as before, so that nobody is kept from revoking a consent.
    world.record(&[permit(tag, "c1", &doctor(1, "physician"))]);
    assert_eq!(world.refused(proven(revoke(tag, "c1"), START_MS)), Code::LoginIssuer);
    assert_eq!(code(&world.act(&publish())), None);

    let later = |record| v1::Record { occurred_at_ms: START_MS + 1, ..record };
    assert_eq!(world.refused(revoke(tag, "c1")), Code::AuthenticationMissing);
    let contest = |details: Value| says(Kind::CONTEST_OPENED, Some(tag), patient(), &details);
    assert_eq!(world.refused(contest(json!({}))), Code::AuthenticationMissing);
    world.record(&[proven(contest(json!({})), START_MS)]);
    world.record(&[proven(later(revoke(tag, "c1")), START_MS)]);
    // A doctor says that they join the care team: nobody's will but theirs.
    let until = rfc3339(START_MS + 10 * HOUR_MS);
    let details = json!({"professional": name(&doctor(2, "physician")), "until": until});
    world.record(&[says(Kind::CARETEAM_JOINED, Some(tag), doctor(2, "physician"), &details)]);
    // On paper, with evidence.
    let collected = json!({"collector": name(&doctor(2, "physician")), "capacity": "physician", "method": "paper",
        "evidence_sha256": "01".repeat(32)});
    let details = json!({"id": "c2", "effect": "deny", "grantee": "anyone", "collected": collected});
    world.record(&[v1::Record { auth: None, ..says(Kind::CONSENT_DIRECTIVE, Some(tag), patient(), &details) }]);

    let withdrawn = sillage_rules::will::issuer::Issuer { keys: Vec::new(), ..issuer().published() };
    assert_eq!(code(&world.act(&Act::IssuerPublished(Box::new(withdrawn)))), None);
    let masked =
        || v1::Record { items: vec![item("d1")], ..says(Kind::ITEM_MASKED, Some(tag), patient(), &Value::Null) };
    assert_eq!(world.refused(proven(masked(), START_MS)), Code::LoginIssuer);
    assert_eq!(world.refused(masked()), Code::AuthenticationMissing, "withdrawing all issuers brings no claim back");
}

#[test]
fn the_same_decision_is_taken_once_and_a_restart_changes_nothing_of_it() {
    let mut world = World::new();
    let (_, tag, _) = a_patient();
    raise(&mut world);
    world.act(&publish());
    let masked = |kind| v1::Record { items: vec![item("d1")], ..says(kind, Some(tag), patient(), &Value::Null) };
    let mask = proven(masked(Kind::ITEM_MASKED), START_MS);
    world.record(std::slice::from_ref(&mask));
    world.record(&[proven(masked(Kind::ITEM_UNMASKED), START_MS)]);
    assert_eq!(world.refused(mask.clone()), Code::LoginReplayed);
    world.reopen();
    assert_eq!(world.refused(mask), Code::LoginReplayed, "folded anew from what is stored");
    // In another login it is the same decision still. A login is over before what was decided in it is forgotten.
    assert_eq!(world.refused(proven(masked(Kind::ITEM_MASKED), START_MS + 1_000)), Code::LoginReplayed);
    let before = START_MS - REMEMBERED_MS;
    let opposed = || says(Kind::SPACE_OPPOSED, Some(tag), patient(), &Value::Null);
    assert_eq!(world.refused(proven(opposed(), before)), Code::LoginExpired);
    world.record(&[proven(opposed(), START_MS)]);
}
