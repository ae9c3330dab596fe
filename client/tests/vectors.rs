//! `docs/vectors/client.json`: the receipt file and the emergency log of docs/formats.md §13 and §14, recomputed.

use serde_json::{Value, json, value::RawValue};
use sillage_client::authorize::receipt::{Receipt, ReceiptFile};
use sillage_client::emergency_mode::chain::{Line, verify};
use sillage_proof::batch::Origin;
use sillage_proof::hash::{Hash, LedgerTimeMs};
use sillage_proof::keys::SigningKey;
use sillage_proto::v1;
use sillage_rules::decide::message::DecisionMessage;
use sillage_rules::decide::record::ActorView;
use sillage_rules::time::TimeMs;

fn origin() -> Origin {
    Origin::new("test/log").expect("a name")
}

fn receipt_file(node: &SigningKey) -> ReceiptFile {
    let actor = v1::DecisionActorPart {
        version: 1,
        tag: vec![5; 32],
        request_hash: vec![6; 32],
        actor: Some(v1::Actor {
            system: "urn:oid:1.2.250.1.71.4.2.1".into(),
            id: "10100534436".into(),
            role: "physician".into(),
            ..v1::Actor::default()
        }),
        action: "read".into(),
        purpose: "TREAT".into(),
        permitted: vec!["d1".into()],
        told: vec!["d1".into()],
        obligations: vec![],
        decided_at_ms: 1_772_442_000_000,
        expires_at_ms: 1_772_442_300_000,
    };
    let view = ActorView { actor, salt_a: [1; 16], private_hash: Hash::from_bytes([7; 32]) };
    let message = DecisionMessage {
        key_id: node.key_id(),
        origin: origin(),
        index: 41.into(),
        time: LedgerTimeMs(1_772_442_000_000),
        tag: [5; 32],
        record_hash: view.record_hash(),
    };
    let signature = message.sign(node);
    ReceiptFile { origin: origin(), receipts: vec![Receipt { message, view, signature }] }
}

fn emergency_log(key: &SigningKey) -> (String, Hash) {
    let event = |text: &str| RawValue::from_string(text.to_owned()).expect("JSON");
    let first = Line::sign(&origin(), key, None, TimeMs(1_772_442_000_000), event(r#"{"started": "panne"}"#));
    let head = first.head(&origin());
    let second = Line::sign(&origin(), key, Some((&first, head)), TimeMs(1_772_442_060_000), event("{}"));
    (first.to_text() + &second.to_text(), second.head(&origin()))
}

fn vectors() -> Value {
    let (node, author) = (SigningKey::from_seed(&[9; 32]), SigningKey::from_seed(&[7; 32]));
    let file = receipt_file(&node);
    let (log, head) = emergency_log(&author);
    json!({
        "origin": "test/log",
        "receipt": {
            "node_public_key": node.public_key().to_string(),
            "message": hex::encode(file.receipts[0].message.encode()),
            "file": hex::encode(file.encode()),
        },
        "emergency_log": {"public_key": author.public_key().to_string(), "log": log, "head": head},
    })
}

#[test]
fn the_vectors_are_what_this_version_makes() {
    let documented: Value = serde_json::from_str(include_str!("../../docs/vectors/client.json")).expect("JSON");
    assert_eq!(documented, vectors(), "{:#}", vectors());
}

#[test]
fn the_vectors_verify() {
    let documented: Value = serde_json::from_str(include_str!("../../docs/vectors/client.json")).expect("JSON");
    let text = |path: &str| documented.pointer(path).and_then(Value::as_str).expect(path).to_owned();
    let bytes = hex::decode(text("/receipt/file")).expect("hex");
    let node = text("/receipt/node_public_key").parse().expect("a key");
    ReceiptFile::parse(&bytes).expect("a receipt file").verify(&[node]).expect("verified");
    let key = text("/emergency_log/public_key").parse().expect("a key");
    let lines = verify(&text("/emergency_log/log"), &origin(), &key).expect("whole");
    assert_eq!(lines.last().expect("lines").head(&origin()).to_string(), text("/emergency_log/head"));
}
