//! `docs/vectors/doors.json`: the records of docs/formats-doors.md, for other implementations. `WRITE_VECTORS=1` writes it anew.

use prost::Message as _;
use serde_json::{Value, json};
use sillage_proof::batch::Origin;
use sillage_proof::hash::LedgerTimeMs;
use sillage_proof::keys::{AuthorId, SigningKey};
use sillage_proof::tag::{Identity, PatientTag, WhichTag};
use sillage_proof::vrf::VrfSecretKey;
use sillage_proto::v1;
use sillage_rules::act::Act;
use sillage_rules::doors::DoorRecord;
use sillage_rules::doors::sources::{ListedSource, SourcesChange};
use sillage_rules::kind::Kind;
use sillage_rules::record::{ParsedRecord, act_message, new_message};
use sillage_rules::time::{ParisDay, TimeMs};
use sillage_rules::will::test_issuer::{Means, Subject, TestIssuer};
use sillage_rules::will::{self, Level, Log, Will, binding};

/// 2026-03-02T09:00:00Z
const NOW_MS: u64 = 1_772_442_000_000;
const INS: &str = "279035121518989";
const OID: &str = "1.2.250.1.213.1.4.10";
const ORIGIN: &str = "example.org/doors";

fn vrf() -> VrfSecretKey {
    VrfSecretKey::from_seed([9; 32])
}

fn author(seed: u8) -> AuthorId {
    AuthorId::of_first_key(&SigningKey::from_seed(&[seed; 32]).public_key())
}

/// The patient's tag, with its proof.
fn tag(which: WhichTag) -> ([u8; 32], Vec<u8>) {
    let identity = Identity::new(INS, OID).expect("an identity");
    let (tag, proof) = PatientTag::resolve(&vrf(), &identity, which);
    (tag.to_bytes(), proof.to_bytes().to_vec())
}

fn origin() -> Origin {
    Origin::new(ORIGIN).expect("a name")
}

fn issuer() -> TestIssuer {
    TestIssuer::new(SigningKey::from_seed(&[7; 32]), origin())
}

fn session() -> SigningKey {
    SigningKey::from_seed(&[8; 32])
}

fn patient() -> v1::Actor {
    v1::Actor { system: "urn:sillage:patient".to_owned(), id: "self".to_owned(), ..v1::Actor::default() }
}

/// A record, decided in the session where it is the patient's.
fn record(kind: Kind, which: WhichTag, details: &Value, by_patient: bool) -> v1::Record {
    let (tag, proof) = tag(which);
    let mut record = new_message(kind, kind.has_patient().then_some(&tag), NOW_MS);
    record.details = details.to_string();
    match kind {
        Kind::SOURCE_HEARTBEAT => {
            let software = "sillage-connector".to_owned();
            record.automated = Some(v1::Automated { software, version: "1.0".to_owned() });
        }
        Kind::CONTEST_ANSWERED => {
            record.actor = Some(v1::Actor {
                system: "urn:oid:1.2.250.1.71.4.2.1".to_owned(),
                id: "10100534436".to_owned(),
                role: "physician".to_owned(),
                organisation: "750712184".to_owned(),
                ..v1::Actor::default()
            });
        }
        _ => record.actor = Some(patient()),
    }
    if by_patient {
        let subject = Subject::Patient { ins: INS.to_owned(), oid: OID.to_owned() };
        let means = Means { idp: "FranceConnect+".to_owned(), method: "app".to_owned(), level: Level::Substantial };
        let will = issuer().decide(&record, &session(), (&subject, &means), proof, NOW_MS);
        record.will = Some(will);
    }
    record
}

/// Each record of the page, by its name.
fn records() -> Vec<(&'static str, v1::Record)> {
    let (open, open_proof) = tag(WhichTag::Open);
    let key = session().public_key();
    let heartbeat = json!({"source": "radiology.pacs", "structure": "750712184", "day": "2026-03-02", "received": 120,
        "recorded": 117, "waiting": 2, "refused": 1, "streams": [{"stream": "connector.1", "seq": 41}]});
    let opened = json!({"portal": author(3), "open_tag": hex::encode(open), "open_proof": hex::encode(open_proof)});
    let closed = json!({"session": hex::encode(key.as_bytes())});
    let asked = json!({"id": "q-1", "about": 4711, "question": "Pourquoi cet accès ?"});
    let answered = json!({"contest": "q-1", "answer": "Le Dr Martin remplaçait votre médecin."});
    let source = ListedSource {
        id: "radiology.pacs".to_owned(),
        name_fr: "Radiologie de l'hôpital".to_owned(),
        name_en: "The hospital's radiology".to_owned(),
        structure: "750712184".to_owned(),
        author_id: Some(author(1)),
        answers: Some(author(2)),
        since_ms: NOW_MS,
        silent_after_s: 90_000,
    };
    let change = SourcesChange { listed: vec![source], removed: vec!["radiology.old".to_owned()] };
    let (secret_part, open_part) = (WhichTag::Secret, WhichTag::Open);
    vec![
        ("sources.listed", act_message(&Act::SourcesListed(change), NOW_MS)),
        ("source.heartbeat", record(Kind::SOURCE_HEARTBEAT, open_part, &heartbeat, false)),
        ("session.opened", record(Kind::SESSION_OPENED, secret_part, &opened, true)),
        ("session.closed", record(Kind::SESSION_CLOSED, secret_part, &closed, false)),
        ("contest.opened", record(Kind::CONTEST_OPENED, open_part, &asked, true)),
        ("contest.answered", record(Kind::CONTEST_ANSWERED, open_part, &answered, false)),
        ("contest.closed", record(Kind::CONTEST_CLOSED, open_part, &json!({"contest": "q-1"}), true)),
    ]
}

#[test]
fn the_vectors_hold_each_record_of_the_page() {
    let salt = [5; 16];
    let cases: Vec<Value> = records()
        .into_iter()
        .map(|(name, message)| {
            let parsed = ParsedRecord::from_message(message).expect(name);
            assert_eq!(parsed.kind().token(), name);
            assert!(parsed.act().is_some() || DoorRecord::of(&parsed).expect(name).is_some(), "{name}");
            let hash = parsed.record_hash(&salt);
            let digest = parsed.message().will.is_some().then(|| binding::record_digest(parsed.message()));
            json!({
                "name": name, "record": hex::encode(parsed.bytes()), "details": parsed.message().details,
                "record_hash": hash, "record_digest": digest,
            })
        })
        .collect();
    let days = [
        "1970-01-01T00:00:00Z",
        "2026-03-02T22:59:59.999Z",
        "2026-03-02T23:00:00Z",
        "2026-03-29T00:59:59Z",
        "2026-03-29T22:00:00Z",
        "2026-10-24T22:00:00Z",
        "2026-10-25T22:59:59Z",
        "2026-10-25T23:00:00Z",
    ];
    let days: Vec<Value> = days
        .into_iter()
        .map(|at| {
            let time: TimeMs = at.parse().expect("a time");
            json!({"ms": time.0, "day": ParisDay::of(time), "end_ms": ParisDay::of(time).end().0})
        })
        .collect();
    let (open, open_proof) = tag(WhichTag::Open);
    let (secret, secret_proof) = tag(WhichTag::Secret);
    let about = "Test vectors of docs/formats-doors.md. Bytes are hexadecimal. The records that carry a will were decided in the session with the key `session_key`, by the patient of the two tags, at the test issuer `issuer` (sillage.v1.IssuerPublished). `days`: the day in Paris of a time, and when that day ends.";
    let vector = json!({
        "about": about, "origin": ORIGIN, "salt": hex::encode(salt), "records": cases, "days": days,
        "vrf_public_key": hex::encode(vrf().public_key().as_bytes()), "ins": INS, "oid": OID,
        "open_tag": hex::encode(open), "open_proof": hex::encode(open_proof), "secret_tag": hex::encode(secret),
        "secret_proof": hex::encode(secret_proof), "session_key": hex::encode(session().public_key().as_bytes()),
        "session_nonce": binding::session_nonce(&origin(), session().public_key().as_bytes()),
        "issuer": hex::encode(issuer().published().to_message().encode_to_vec()),
    });
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/vectors/doors.json");
    if std::env::var_os("WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&vector).expect("JSON") + "\n";
        std::fs::write(path, text).expect("the file of vectors");
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("the vectors")).expect("JSON");
    assert!(kept == vector, "docs/vectors/doors.json says something else: write it anew with WRITE_VECTORS=1");
}

fn verdict(message: v1::Record) -> Result<Will, sillage_rules::codes::Code> {
    let record = ParsedRecord::from_message(message).expect("a record");
    let (origin, vrf) = (origin(), *vrf().public_key().as_bytes());
    let log = Log { origin: &origin, vrf_public_key: &vrf, test_log: true, known: None };
    will::of(&record, Some(&issuer().published()), &log, LedgerTimeMs(NOW_MS)).map_err(|error| error.code)
}

#[test]
fn the_wills_of_the_vectors_are_proven() {
    for (name, message) in records().into_iter().filter(|(_, message)| message.will.is_some()) {
        assert!(verdict(message).is_ok_and(|will| will.suffices()), "{name}");
    }
}

#[test]
fn a_patient_opens_a_session_under_the_secret_tag_and_proves_the_open_one() {
    let (open, proof) = tag(WhichTag::Open);
    let wrong_subject = Err(sillage_rules::codes::Code::LoginSubject);
    let good = json!({"portal": author(3), "open_tag": hex::encode(open), "open_proof": hex::encode(&proof)});
    assert!(verdict(record(Kind::SESSION_OPENED, WhichTag::Secret, &good, true)).is_ok());
    assert_eq!(verdict(record(Kind::SESSION_OPENED, WhichTag::Open, &good, true)), wrong_subject);
    let bare = json!({"portal": author(3)});
    assert_eq!(verdict(record(Kind::SESSION_OPENED, WhichTag::Secret, &bare, true)), wrong_subject);
    let (secret, secret_proof) = tag(WhichTag::Secret);
    let twice = json!({"portal": author(3), "open_tag": hex::encode(secret), "open_proof": hex::encode(secret_proof)});
    assert_eq!(verdict(record(Kind::SESSION_OPENED, WhichTag::Secret, &twice, true)), wrong_subject);
}
