//! What a patient records and what a doctor asks.

use crate::load::asker::{Question, TwoTags};
use prost::Message;
use serde_json::{Value, json};
use sillage_proto::v1::{Actor, Authentication, DecisionRequest, Item};
use sillage_rules::consent::name::{PATIENT_ID, PATIENT_SYSTEM, PROFESSIONAL_SYSTEM};
use sillage_rules::decide::request::REQUEST_VERSION;
use sillage_rules::kind::Kind;
use sillage_rules::record::new_message;
use std::time::{SystemTime, UNIX_EPOCH};

/// A patient's tag.
pub type Tag = [u8; 32];

/// Now, milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The doctor with this number.
pub fn doctor(number: usize) -> Actor {
    Actor {
        system: PROFESSIONAL_SYSTEM.to_owned(),
        id: format!("{:011}", 10_000_000_000_usize + number),
        role: "physician".to_owned(),
        organisation: "750000001".to_owned(),
        label: String::new(),
    }
}

/// An actor as records name them: `system|id`.
pub fn name(actor: &Actor) -> String {
    format!("{}|{}", actor.system, actor.id)
}

/// The patient lets a doctor read, from now on; as canonical bytes.
pub fn grant(tag: &Tag, id: &str, to: &Actor) -> Vec<u8> {
    let grantee = json!({ "professional": name(to) });
    let details = json!({ "id": id, "effect": "permit", "grantee": grantee, "actions": ["read"] });
    by_patient(Kind::CONSENT_DIRECTIVE, tag, &details)
}

/// The patient takes that back.
pub fn revoke(tag: &Tag, id: &str) -> Vec<u8> {
    by_patient(Kind::CONSENT_REVOKED, tag, &json!({ "consent": id }))
}

fn by_patient(kind: Kind, tag: &Tag, details: &Value) -> Vec<u8> {
    let mut record = new_message(kind, Some(tag), now_ms());
    record.actor = Some(Actor { system: PATIENT_SYSTEM.to_owned(), id: PATIENT_ID.to_owned(), ..Actor::default() });
    record.auth = Some(Authentication {
        issuer: "FranceConnect+".to_owned(),
        method: "mobile".to_owned(),
        eidas_level: "substantial".to_owned(),
    });
    record.details = details.to_string();
    record.encode_to_vec()
}

/// A doctor asks to read these documents.
pub fn request(patient: &TwoTags, by: &Actor, items: &[&str], nonce: [u8; 16]) -> Question {
    let item = |id: &&str| Item { id: (*id).to_owned(), category: "REPORT".to_owned(), ..Item::default() };
    let request = DecisionRequest {
        version: REQUEST_VERSION,
        tag: patient.open.to_vec(),
        secret_tag: patient.secret.to_vec(),
        actor: Some(by.clone()),
        auth: None,
        action: "read".to_owned(),
        purpose: "TREAT".to_owned(),
        items: items.iter().map(item).collect(),
        requested_at_ms: now_ms(),
        nonce: nonce.to_vec(),
        correlation: None,
    };
    (request, patient.pairing.clone())
}
