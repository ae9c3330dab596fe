//! The content of the logs of level 3 and 4: records of every kind, and the login of its patient.

use serde_json::{Value, json};
use sillage_proof::batch::Origin;
use sillage_proof::keys::SigningKey;
use sillage_proof::tag::{Identity, PatientTag, WhichTag};
use sillage_proto::v1;
use sillage_rules::kind::{Group, Kind};
use sillage_rules::will::Level;
use sillage_rules::will::test_issuer::{Means, Subject, TestIssuer};

use crate::common::world::*;
use crate::common::*;

const OID: &str = "1.2.250.1.213.1.4.10";

/// The patient whose device is a party, and who logs in: INS, tag, proof of the tag.
pub fn a_patient() -> (String, [u8; 32], Vec<u8>) {
    let mut numbers = (0..).map(|n| format!("2790351215{n:05}"));
    let found = numbers.find_map(|ins| {
        let identity = Identity::new(&ins, OID).expect("an identity");
        let (tag, proof) = PatientTag::resolve(&vrf_key(), &identity, WhichTag::Open);
        (0x10..=0x7f).contains(&tag.as_bytes()[0]).then(|| (ins, tag.to_bytes(), proof.to_bytes().to_vec()))
    });
    found.expect("nearly every second one is")
}

pub fn issuer() -> TestIssuer {
    TestIssuer::new(SigningKey::from_seed(&[77; 32]), Origin::new(ORIGIN).expect("a name"))
}

/// The record, with the login of its patient at this time.
pub fn proven(record: v1::Record, at_ms: u64) -> v1::Record {
    let (ins, _, proof) = a_patient();
    let means = Means { idp: "pro-sante-connect".into(), method: "card".into(), level: Level::Substantial };
    let subject = Subject::Patient { ins, oid: OID.into() };
    let session = SigningKey::from_seed(&[78; 32]);
    let will = issuer().decide(&record, &session, (&subject, &means), proof, at_ms);
    v1::Record { will: Some(will), ..record }
}

pub fn dr() -> v1::Actor {
    doctor(1, "physician")
}

/// A record of this kind, with details that it takes.
pub fn any(kind: Kind, tag: [u8; 32], by: &v1::Actor, now: u64) -> v1::Record {
    let until = rfc3339(now + HOUR_MS);
    let to = name(&doctor(3, "nurse"));
    let organisation = dr().organisation;
    let details = match kind {
        Kind::CONSENT_DIRECTIVE => {
            json!({"id": format!("c{}", now % 97), "effect": "permit", "grantee": {"professional": to}, "actions": ["read"]})
        }
        Kind::CONSENT_REVOKED => json!({"consent": "c1"}),
        Kind::EMERGENCY_OPPOSITION | Kind::EMERGENCY_OPPOSITION_LIFTED => json!({"cases": ["SAMU"]}),
        Kind::PROFESSIONAL_BLOCKED
        | Kind::PROFESSIONAL_UNBLOCKED
        | Kind::CARETEAM_LEFT
        | Kind::ATTENDING_DECLARED
        | Kind::ATTENDING_ENDED => json!({"professional": to}),
        Kind::ITEM_EMBARGOED => json!({"until": until}),
        Kind::FEED_OPPOSED | Kind::FEED_OPPOSITION_LIFTED => json!({"source": to, "category": "LAB"}),
        Kind::REPRESENTATION_REGISTERED => {
            json!({"representative": "urn:sillage:person|p1", "relation": "PARENT", "until": until})
        }
        Kind::REPRESENTATION_ENDED => json!({"representative": "urn:sillage:person|p1"}),
        Kind::CARETEAM_JOINED => json!({"professional": to, "until": until, "organisation": organisation}),
        Kind::BREAKGLASS_OPENED => json!({
            "id": format!("bg{}", now % 89), "case": "INCAPACITY", "reason": "coma", "expires": until,
            "no_position": "INDOORS",
        }),
        Kind::BREAKGLASS_JUSTIFIED => json!({"breakglass": "bg1", "text": "was unconscious"}),
        Kind::BREAKGLASS_CLOSED => json!({"breakglass": "bg1"}),
        Kind::BREAKGLASS_REVIEWED => json!({"breakglass": "bg1", "verdict": "JUSTIFIED"}),
        Kind::POLICY_PUBLISHED => json!({"version": "1", "justification_due_s": 3_600}),
        Kind::MATRIX_PUBLISHED => json!({"version": "1", "deny": []}),
        Kind::CATALOGUE_PUBLISHED => json!({"version": "1", "apps": []}),
        _ => Value::Null,
    };
    let record = says(kind, kind.has_patient().then_some(tag), by.clone(), &details);
    let items = match kind.group() {
        Group::Access | Group::Movement => vec![report("d1", &["PSY"])],
        _ if kind.token().starts_with("item.") || kind.token().starts_with("minor.") => vec![item("d1")],
        _ => Vec::new(),
    };
    v1::Record { items, occurred_at_ms: now, ..record }
}
