//! Recomputes `docs/vectors/rules.json`. Its numbers were made by a program that shares no code with this one.

use serde_json::Value;
use sillage_proof::batch::Origin;
use sillage_proof::hash::{Hash, LeafIndex, leaf_hash};
use sillage_proof::keys::{AuthorId, KeyId, PublicKey, SigningKey};
use sillage_rules::act::Act;
use sillage_rules::authority::{CosignMessage, GuardedActs, Held, Rule, content_hash};
use sillage_rules::clock::ClockMessage;
use sillage_rules::decide::ParsedRequest;
use sillage_rules::device::{DeviceRegistered, commitment, half};
use sillage_rules::entry::{BatchHeader, Entry, Flags, LedgerEvent, RecordEntry};
use sillage_rules::kind::Kind;
use sillage_rules::line::RecordLine;
use sillage_rules::record::{ParsedRecord, act_message, part_hash, record_hash, two_part_hash};
use sillage_rules::voiding::{Notice, Voiding, Whose};
use sillage_rules::will::binding;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../docs/vectors/rules.json")).expect("JSON")
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("a text")).expect("hexadecimal")
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().expect("the right length")
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

#[test]
fn records() {
    for vector in vectors()["records"].as_array().expect("records") {
        let record = ParsedRecord::parse(&bytes(&vector["bytes"])).expect("a record");
        let line = RecordLine::parse(vector["line"].to_string().as_bytes()).expect("a line");
        let tag = (!vector["tag"].is_null()).then(|| array(&vector["tag"]));
        assert_eq!(line.to_record(tag.as_ref()).as_ref(), Ok(&record), "{}", vector["name"]);
        let salt = array(&vector["salt"]);
        assert_eq!(record.record_hash(&salt), Hash::from_bytes(array(&vector["record_hash"])));
        assert_eq!(record_hash(&salt, record.bytes()), record.record_hash(&salt));
    }
}

#[test]
fn the_binding_of_a_will() {
    let vector = &vectors()["will"];
    let origin = Origin::new(vector["origin"].as_str().expect("a name")).expect("a name");
    let record = ParsedRecord::parse(&bytes(&vector["record"])).expect("a record");
    let digest = binding::record_digest(record.message());
    assert_eq!(digest, Hash::from_bytes(array(&vector["record_digest"])));
    let session = SigningKey::from_seed(&array(&vector["session_seed"]));
    let key = session.public_key().to_bytes();
    assert_eq!(key, array(&vector["session_key"]));
    assert_eq!(binding::session_nonce(&origin, &key), vector["session_nonce"]);
    let message = binding::session_message(&origin, &key, &record.entry_tag(), &digest);
    assert_eq!(
        (message.clone(), session.sign(&message).to_vec()),
        (bytes(&vector["message"]), bytes(&vector["signature"]))
    );
    assert_eq!(binding::record_nonce(&origin, &array(&vector["blind"]), &digest), vector["record_nonce"]);
    let decided = ParsedRecord::parse(&bytes(&vector["with_will"])).expect("a record");
    assert_eq!(binding::record_digest(decided.message()), digest, "the will itself isn't part of what is decided");
}

#[test]
fn a_patients_own_device() {
    let vectors = vectors();
    let vector = &vectors["device"];
    let key = PublicKey::from_bytes(&array::<32>(&vector["key"])).expect("a key");
    let party = AuthorId::of_first_key(&key);
    assert_eq!(party, AuthorId::from_bytes(array(&vector["author_id"])));
    let committed = Hash::from_bytes(array(&vector["commitment"]));
    let halves = [0, 1].map(|at| half(&array(&vector["salts"][at]), &array(&vector["tags"][at])));
    assert_eq!(commitment(&halves[0], &halves[1]), committed);
    for at in [0, 1] {
        assert_eq!(halves[at], Hash::from_bytes(array(&vector["halves"][at])));
        let (salt, tag) = (vector["salts"][at].as_str().expect("a text").to_owned(), array(&vector["tags"][at]));
        let (name, authority) = ("Téléphone".to_owned(), "autorité".to_owned());
        let line = DeviceRegistered { party, name, authority, salt, other: halves[1 - at] };
        assert!(line.opens(&tag, &committed));
        assert_eq!(line.reading_mark(&tag), Hash::from_bytes(array(&vector["readings"][at])));
    }
    let named = vectors["records"].as_array().expect("records").iter();
    let registered = named.filter(|record| record["name"] == "a patient's own device");
    let registered: Vec<ParsedRecord> =
        registered.map(|record| ParsedRecord::parse(&bytes(&record["bytes"])).expect("a record")).collect();
    assert!(matches!(registered[0].act(), Some(Act::Registered(act)) if act.patient_commitment == Some(committed)));
}

#[test]
fn the_binding_of_a_request_to_a_login() {
    let vector = &vectors()["will"];
    let origin = Origin::new(vector["origin"].as_str().expect("a name")).expect("a name");
    let request = ParsedRequest::parse(&bytes(&vector["request"])).expect("a request");
    let key_id = KeyId::from_bytes(array(&vector["request_key_id"]));
    let digest = binding::request_digest(request.message(), &key_id);
    assert_eq!(digest, Hash::from_bytes(array(&vector["request_digest"])));
    let session = SigningKey::from_seed(&array(&vector["session_seed"]));
    let message = binding::session_message(&origin, &session.public_key().to_bytes(), request.tag(), &digest);
    assert_eq!(message, bytes(&vector["request_message"]));
    assert_eq!(binding::record_nonce(&origin, &array(&vector["blind"]), &digest), vector["request_nonce"]);
    let (token, no_proof) = ("a.b.c".to_owned(), Vec::new());
    let will = binding::sign_request_in_session(&origin, (request.message(), &key_id), &session, token, no_proof);
    assert_eq!(will.signature, bytes(&vector["request_signature"]));
    let asked = ParsedRequest::parse(&bytes(&vector["request_with_will"])).expect("a request");
    assert_eq!(asked.message().will, Some(will));
    assert_eq!(
        binding::request_digest(asked.message(), &key_id),
        digest,
        "the will itself isn't part of what is asked"
    );
}

#[test]
fn a_record_in_two_parts() {
    let vector = &vectors()["two_parts"];
    let actor = part_hash(&array(&vector["salt_a"]), &bytes(&vector["actor_part"]));
    let private = part_hash(&array(&vector["salt_p"]), &bytes(&vector["private_part"]));
    assert_eq!(actor, Hash::from_bytes(array(&vector["actor_part_hash"])));
    assert_eq!(private, Hash::from_bytes(array(&vector["private_part_hash"])));
    assert_eq!(two_part_hash(&actor, &private), Hash::from_bytes(array(&vector["record_hash"])));
}

fn entry(vector: &Value) -> Entry {
    let (index, time) = (number(&vector["index"]).into(), number(&vector["time_ms"]).into());
    let kind = |vector: &Value| Kind::from_token(vector["kind"].as_str().expect("a token")).expect("a kind");
    match number(&vector["type"]) {
        1 => Entry::BatchHeader(BatchHeader {
            index,
            time,
            key_id: array(&vector["key_id"]).into(),
            stream_id: array(&vector["stream_id"]).into(),
            seq: number(&vector["seq"]),
            count: number(&vector["count"]).try_into().expect("a count"),
            root: array(&vector["root"]).into(),
            signature: array(&vector["signature"]),
        }),
        2 => Entry::Record(RecordEntry {
            index,
            time,
            flags: Flags::from_bits(number(&vector["flags"]).try_into().expect("16 bits")).expect("flags"),
            kind: kind(vector),
            tag: array(&vector["tag"]),
            record_hash: array(&vector["record_hash"]).into(),
            position: number(&vector["position"]).try_into().expect("a position"),
        }),
        _ => Entry::LedgerEvent(LedgerEvent { index, time, kind: kind(vector), body: bytes(&vector["body"]) }),
    }
}

#[test]
fn entries() {
    let vectors = vectors();
    let vectors = vectors["entries"].as_array().expect("entries");
    let mut types = Vec::new();
    for vector in vectors {
        let (entry, encoded) = (entry(vector), bytes(&vector["bytes"]));
        assert_eq!(entry.encode(), encoded, "{}", vector["name"]);
        assert_eq!(Entry::decode(&encoded), Ok(entry.clone()), "{}", vector["name"]);
        let leaf = Hash::from_bytes(array(&vector["leaf_hash"]));
        assert_eq!((entry.leaf_hash(), leaf_hash(&encoded)), (leaf, leaf), "{}", vector["name"]);
        if let Entry::Record(record) = &entry {
            let leaf = Hash::from_bytes(array(&vector["batch_leaf"]));
            assert_eq!(record.batch_leaf().hash(), leaf, "{}", vector["name"]);
        }
        types.push(number(&vector["type"]));
    }
    types.dedup();
    assert_eq!(types, [1, 2, 4], "an entry of every type");
}

#[test]
fn refused_bytes() {
    let vectors = vectors();
    for vector in vectors["refused_records"].as_array().expect("records") {
        let error = ParsedRecord::parse(&bytes(&vector["bytes"])).expect_err("refused");
        assert_eq!(Some(error.code().as_str()), vector["code"].as_str(), "{}", vector["name"]);
    }
    for vector in vectors["refused_entries"].as_array().expect("entries") {
        assert!(Entry::decode(&bytes(&vector["bytes"])).is_err(), "{}", vector["name"]);
    }
}

#[test]
fn an_attested_clock() {
    let vector = &vectors()["clock"];
    let key = PublicKey::from_bytes(&array::<32>(&vector["public_key"])).expect("a key");
    let message = ClockMessage {
        key_id: key.key_id(),
        origin: Origin::new(vector["origin"].as_str().expect("a text")).expect("an origin"),
        node: number(&vector["node"]),
        term: number(&vector["term"]),
        clock_ms: number(&vector["clock_ms"]),
    };
    assert_eq!(message.encode(), bytes(&vector["message"]));
    assert!(message.verify(&key, &bytes(&vector["signature"])).is_ok());
    assert_eq!(message.sign(&SigningKey::from_seed(&array::<32>(&vector["seed"])))[..], bytes(&vector["signature"]));
}

#[test]
fn an_act_that_voids_its_second_signature_and_what_a_patient_is_told() {
    let vector = &vectors()["voiding"];
    let text = |name: &str| vector[name].as_str().expect("a text").to_owned();
    let act = Act::RecordsVoided(Voiding::Void {
        whose: Whose::Key(array(&vector["key_id"]).into()),
        from: LeafIndex(number(&vector["from_index"])),
        until: None,
        reason: text("reason"),
    });
    let mut record = act_message(&act, number(&vector["occurred_at_ms"]));
    let content = ParsedRecord::from_message(record.clone()).expect("an act");
    assert_eq!(content.bytes(), bytes(&vector["content_record"]));
    let key = SigningKey::from_seed(&array::<32>(&vector["seed"]));
    let message = CosignMessage {
        key_id: key.key_id(),
        origin: Origin::new(text("origin")).expect("an origin"),
        expires_ms: number(&vector["expires_ms"]),
        content: content_hash(&record),
    };
    assert_eq!(
        (message.content.as_bytes()[..].to_vec(), message.encode()),
        (bytes(&vector["content"]), bytes(&vector["message"]))
    );
    record.signatures.push(message.sign(&key));
    assert_eq!(record.signatures[0].signature, bytes(&vector["signature"]));
    assert_eq!(ParsedRecord::from_message(record).expect("an act").bytes(), bytes(&vector["record"]));
    let told = &vector["notice"];
    let records = told["records"].as_array().expect("a list").iter().map(number).collect();
    let notice = Notice { act: number(&told["act"]), records, reinstates: None };
    let (tag, index) = (array(&told["tag"]), LeafIndex(number(&told["index"])));
    let record = notice.to_record(&tag, number(&vector["occurred_at_ms"]));
    assert_eq!(record.bytes(), bytes(&told["record"]));
    let salt = Notice::salt(index, &tag);
    assert_eq!(
        (salt, record.record_hash(&salt)),
        (array(&told["salt"]), Hash::from_bytes(array(&told["record_hash"])))
    );
}

/// The verdict on an act, by the functions that apply and the auditor use.
fn refusal_of(vector: &Value, case: &Value) -> Option<&'static str> {
    let Ok(record) = ParsedRecord::parse(&bytes(&case["record"])) else { return Some("MALFORMED_RECORD") };
    let content = content_hash(record.message());
    assert_eq!(content, Hash::from_bytes(array(&case["content"])), "{}", case["name"]);
    let origin = Origin::new(vector["origin"].as_str().expect("a name")).expect("a name");
    let parties = vector["parties"].as_array().expect("parties");
    let is_authority = |party: &Value| number(&party["roles"]) & 64 != 0;
    let mut signers = vec![vector["signer"].clone()];
    for one in &record.message().signatures {
        let party =
            parties.iter().find(|party| bytes(&party["key_id"]) == one.key_id).filter(|party| is_authority(party));
        let Some(party) = party else { return Some("BAD_SIGNATURE") };
        let key = PublicKey::from_bytes(&bytes(&party["key"])).expect("a key");
        let message =
            CosignMessage { key_id: key.key_id(), origin: origin.clone(), expires_ms: one.expires_ms, content };
        let unexpired = number(&vector["time_ms"]) < one.expires_ms;
        if !unexpired || !message.is_signed_by(&key, &one.signature) || signers.contains(&party["author_id"]) {
            return Some("BAD_SIGNATURE");
        }
        signers.push(party["author_id"].clone());
    }
    let rule = &vector["rule"];
    let authorities = rule["authorities"].as_array().expect("ids");
    let ids = authorities.iter().map(|id| AuthorId::from_bytes(array(id)));
    let acts = GuardedActs::from_bits(u32::try_from(number(&rule["acts"])).expect("bits")).expect("bits");
    let needed = u32::try_from(number(&rule["needed"])).expect("few");
    let of_rule = Rule { needed, authorities: ids.collect(), acts };
    let guarded = of_rule.guards(record.act().expect("an act"), |_| Held::default(), false, 0);
    let counting = signers.iter().filter(|id| authorities.contains(id)).count();
    (guarded && counting < needed as usize).then_some("SIGNATURES_MISSING")
}

#[test]
fn acts_that_several_authorities_sign() {
    let vector: Value = serde_json::from_str(include_str!("../../docs/vectors/authority.json")).expect("JSON");
    for case in vector["cases"].as_array().expect("cases") {
        assert_eq!(refusal_of(&vector, case), case["code"].as_str(), "{}", case["name"]);
    }
}
