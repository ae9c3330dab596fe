//! Records of a patient and questions of a doctor.

use crate::load::asker::{Question, TwoTags};
use prost::Message;
use serde_json::{Value, json};
use sillage_client::author::TagRequest;
use sillage_client::will::Logins;
use sillage_proto::v1::{Actor, Authentication, DecisionRequest, Item, Record};
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

/// The patient lets a doctor read, from now on.
pub fn grant(tag: &Tag, id: &str, to: &Actor) -> Record {
    let grantee = json!({ "professional": name(to) });
    let details = json!({ "id": id, "effect": "permit", "grantee": grantee, "actions": ["read"] });
    by_patient(Kind::CONSENT_DIRECTIVE, tag, &details)
}

/// The same, on paper: of a patient whom nobody can log in, as nobody knows who has this tag.
pub fn grant_on_paper(tag: &Tag, id: &str, to: &Actor) -> Record {
    let collected = json!({
        "collector": name(to), "capacity": "physician", "method": "paper", "evidence_sha256": "01".repeat(32),
    });
    let grantee = json!({ "professional": name(to) });
    let details =
        json!({ "id": id, "effect": "permit", "grantee": grantee, "actions": ["read"], "collected": collected });
    Record { auth: None, ..by_patient(Kind::CONSENT_DIRECTIVE, tag, &details) }
}

/// The patient takes that back.
pub fn revoke(tag: &Tag, id: &str) -> Record {
    by_patient(Kind::CONSENT_REVOKED, tag, &json!({ "consent": id }))
}

/// The canonical bytes of a record that a patient decided, with the login that proves it.
///
/// # Panics
/// When the system has no randomness to give.
pub fn proven(logins: Option<&Logins>, patient: &TwoTags, mut record: Record) -> Vec<u8> {
    if let (Some(logins), Some(identity)) = (logins, &patient.pairing.patient) {
        let request = TagRequest { ins: identity.ins.clone(), oid: identity.oid.clone(), secret: false };
        logins.prove(&mut record, (Some(&request), &patient.pairing.proof), now_ms()).expect("randomness");
    }
    record.encode_to_vec()
}

fn by_patient(kind: Kind, tag: &Tag, details: &Value) -> Record {
    let mut record = new_message(kind, Some(tag), now_ms());
    record.actor = Some(Actor { system: PATIENT_SYSTEM.to_owned(), id: PATIENT_ID.to_owned(), ..Actor::default() });
    record.auth = Some(Authentication {
        issuer: "FranceConnect+".to_owned(),
        method: "mobile".to_owned(),
        eidas_level: "substantial".to_owned(),
    });
    record.details = details.to_string();
    record
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
        will: None,
    };
    (request, patient.pairing.clone())
}
