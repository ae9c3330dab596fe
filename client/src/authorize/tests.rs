use super::receipt::{ReceiptFile, is_receipt};
use super::release::{Refused, Wanted, check};
use super::*;
use sillage_proof::batch::Origin;
use sillage_proof::hash::{LedgerTimeMs, TreeSize};
use sillage_proof::keys::AuthorId;
use sillage_rules::consent::{ActorName, Catalogue, Env, Matrix, PatientState, Policy};
use sillage_rules::decide::message::DecisionMessage;
use sillage_rules::decide::record::{DecisionRecord, Moment, SignedRequest, WhichTag};
use sillage_rules::decide::{ItemFacts, Request, decide};

const NOW: u64 = 1_772_442_000_000;
const DR: &str = "urn:oid:1.2.250.1.71.4.2.1|10100534436";

fn tag(byte: u8) -> PatientTag {
    PatientTag::from_slice(&[byte; 32]).expect("a tag")
}

fn ask() -> Ask {
    let item = |id: &str, depositor: &str| v1::Item {
        id: id.into(),
        category: "REPORT".into(),
        depositor: depositor.into(),
        ..v1::Item::default()
    };
    Ask {
        patient: v1::PatientIdentity::default(),
        actor: v1::Actor {
            system: "urn:oid:1.2.250.1.71.4.2.1".into(),
            id: "10100534436".into(),
            role: "physician".into(),
            ..v1::Actor::default()
        },
        auth: None,
        action: "read".into(),
        purpose: "TREAT".into(),
        // The first is the actor's own deposit, the second nobody permits.
        items: vec![item("d1", DR), item("d2", "")],
        correlation: None,
    }
}

fn signer(seed: u8) -> Signer {
    let key = SigningKey::from_seed(&[seed; 32]);
    let author_id = AuthorId::of_first_key(&key.public_key());
    Signer { origin: Origin::new("test/log").expect("a name"), author_id, key }
}

fn node() -> SigningKey {
    SigningKey::from_seed(&[9; 32])
}

fn signed(
    ask: Ask,
    tags: (PatientTag, Option<PatientTag>),
    now_ms: u64,
    position: usize,
) -> Result<ParsedRequest, ClientError> {
    parsed(message(ask, tags, now_ms, position)?, position)
}

fn asked() -> ParsedRequest {
    signed(ask(), (tag(5), None), NOW, 0).expect("a request")
}

/// The answer of a node to a request, by the real procedure.
fn answer(request: &ParsedRequest, key: &SigningKey) -> v1::Authorized {
    let (policy, matrix, catalogue) = (Policy::default(), Matrix::default(), Catalogue::default());
    let env = Env {
        policy: &policy,
        matrix: &matrix,
        catalogue: &catalogue,
        revoked: &|_: &ActorName| false,
        claims: true,
        across_servers: true,
    };
    let state = PatientState::default();
    let items = request.items().iter().map(|item| ItemFacts::of(item, &state, None, false)).collect();
    let wanted = Request {
        actor: request.actor().clone(),
        action: request.action(),
        purpose: request.purpose().to_owned(),
        at: LedgerTimeMs(NOW),
        items,
        word_of: None,
    };
    let decision = decide(&env, &state, None, &wanted);
    let signed = SignedRequest { key_id: key.key_id(), signature: [0; 64], position: 0, count: 1, path: vec![] };
    let moment = Moment { at: LedgerTimeMs(NOW), valid_s: 300, as_of: TreeSize(7) };
    let record = DecisionRecord::new(request, &signed, WhichTag::Open, &decision, moment, [[1; 16], [2; 16]]);
    let view = record.for_actor();
    let message = DecisionMessage {
        key_id: key.key_id(),
        origin: Origin::new("test/log").expect("a name"),
        index: 7.into(),
        time: LedgerTimeMs(NOW),
        tag: *request.tag(),
        record_hash: record.record_hash(),
    };
    let receipt = v1::DecisionReceipt {
        index: 7,
        time_ms: NOW,
        tag: request.tag().to_vec(),
        salt: view.salt_a.to_vec(),
        actor_part: prost::Message::encode_to_vec(&view.actor),
        private_hash: view.private_hash.to_bytes().to_vec(),
        record_hash: record.record_hash().to_bytes().to_vec(),
        key_id: key.key_id().to_bytes().to_vec(),
        signature: message.sign(key).to_vec(),
    };
    v1::Authorized {
        permitted: view.actor.permitted.clone(),
        told: view.actor.told.clone(),
        obligations: view.actor.obligations.clone(),
        receipts: vec![receipt],
        error: None,
    }
}

fn granted() -> Granted {
    let request = asked();
    let answer = answer(&request, &node());
    checked(&request, answer, &signer(3), &[node().public_key()]).expect("believed").expect("not refused")
}

#[test]
fn one_signature_stands_over_a_ward_round() {
    let signer = signer(3);
    let requests: Vec<ParsedRequest> = (1..=3).map(|n| signed(ask(), (tag(n), None), NOW, 0).expect("ok")).collect();
    let call = sign(&signer, &requests, false).expect("signed");
    let hashes: Vec<Hash> = requests.iter().map(ParsedRequest::hash).collect();
    let message = AuthorizeMessage::new(signer.key.key_id(), signer.origin.clone(), &hashes).expect("a message");
    assert_eq!(message.verify(&signer.key.public_key(), &call.signature), Ok(()));
    assert_eq!(call.requests[2], requests[2].bytes());
    assert_ne!(requests[0].message().nonce, requests[1].message().nonce);
    assert_eq!(sign(&signer, &[], false).expect_err("none").exit_code(), 2);
    let many: Vec<ParsedRequest> = std::iter::repeat_n(requests[0].clone(), 65).collect();
    assert_eq!(sign(&signer, &many, false).expect_err("too many").exit_code(), 2);
}

#[test]
fn what_cannot_be_asked_is_refused_before_it_is_sent() {
    let bad = Ask { action: "peek".into(), ..ask() };
    let Err(ClientError::Rejected(rejection)) = signed(bad, (tag(5), None), NOW, 3) else {
        panic!("refused");
    };
    assert_eq!((rejection.code.as_str(), rejection.position), ("MALFORMED_REQUEST", 3));
    assert!(signed(Ask { items: vec![], ..ask() }, (tag(5), None), NOW, 0).is_err());
}

#[test]
fn an_answer_is_believed_only_as_a_node_signed_it_about_this_request() {
    let (request, keys) = (asked(), [node().public_key()]);
    let granted = granted();
    assert_eq!((granted.permitted, granted.told), (vec!["d1".to_owned()], vec!["d1".to_owned()]));
    let good = answer(&request, &node());
    let other = signed(ask(), (tag(5), None), NOW, 0).expect("another nonce");
    assert!(checked(&other, good.clone(), &signer(3), &keys).is_err(), "of another request");
    assert!(checked(&request, good.clone(), &signer(3), &[]).is_err(), "of no known node");
    type Edit = fn(&mut v1::Authorized);
    let edits: [(&str, Edit); 8] = [
        ("more is permitted", |a| a.permitted.push("d2".into())),
        ("more is told", |a| a.told.push("d2".into())),
        ("no receipt", |a| a.receipts.clear()),
        ("another index", |a| a.receipts[0].index += 1),
        ("another tag", |a| a.receipts[0].tag[0] ^= 1),
        ("another salt", |a| a.receipts[0].salt[0] ^= 1),
        ("another part", |a| a.receipts[0].private_hash[0] ^= 1),
        ("permitted and refused", |a| a.error = Some(v1::ErrorInfo::default())),
    ];
    for (what, edit) in edits {
        let mut bad = good.clone();
        edit(&mut bad);
        assert_eq!(checked(&request, bad, &signer(3), &keys).expect_err(what).exit_code(), 1, "{what}");
    }
    let refused = v1::Authorized {
        error: Some(v1::ErrorInfo { code: "STALE_REQUEST".into(), ..v1::ErrorInfo::default() }),
        ..v1::Authorized::default()
    };
    let refused = checked(&request, refused, &signer(3), &keys).expect("an answer").expect_err("refused");
    assert_eq!(refused.code.as_str(), "STALE_REQUEST");
}

fn file() -> ReceiptFile {
    ReceiptFile { origin: Origin::new("test/log").expect("a name"), receipts: granted().receipts }
}

#[test]
fn a_receipt_file_is_checked_without_network_and_every_changed_byte_shows() {
    let file = file();
    let good = file.encode();
    assert!(is_receipt(&good));
    let parsed = ReceiptFile::parse(&good).expect("good");
    assert_eq!(parsed, file);
    parsed.verify(&[node().public_key()]).expect("verified");
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let held = ReceiptFile::parse(&bad).and_then(|file| file.verify(&[node().public_key()]));
        assert!(held.is_err(), "byte {at}");
    }
    for cut in 0..good.len() {
        assert!(ReceiptFile::parse(&good[..cut]).is_err(), "cut at {cut}");
    }
    let mut twice = file;
    let other = signed(ask(), (tag(5), None), NOW, 0).expect("another nonce");
    let other = answer(&other, &node()).receipts.remove(0);
    twice.receipts.push(Receipt::from_answer(other, &twice.origin).expect("a receipt"));
    assert!(twice.verify(&[node().public_key()]).is_err(), "of two requests");
}

#[test]
fn no_receipt_no_data() {
    let (file, dr) = (file(), DR.parse::<ActorName>().expect("a name"));
    let items = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let (d1, both, none) = (items(&["d1"]), items(&["d1", "d2"]), items(&[]));
    let tags = [[5; 32], [6; 32]];
    let good = Wanted { actor: &dr, tags: &tags, action: Some("read"), items: &d1, at_ms: NOW + 1_000 };
    assert_eq!(check(&file, &good), Ok(()));
    let other = "urn:oid:1.2.250.1.71.4.2.1|10100534437".parse::<ActorName>().expect("a name");
    let refused = [
        (Wanted { actor: &other, ..good.clone() }, Refused::Actor),
        (Wanted { tags: &tags[1..], ..good.clone() }, Refused::Patient),
        (Wanted { action: Some("print"), ..good.clone() }, Refused::Action),
        (Wanted { items: &both, ..good.clone() }, Refused::Item(1)),
        (Wanted { items: &none, ..good.clone() }, Refused::Nothing),
        (Wanted { at_ms: NOW + 300_000, ..good.clone() }, Refused::Expired),
        (Wanted { at_ms: NOW - 300_001, ..good.clone() }, Refused::Ahead),
    ];
    for (wanted, why) in refused {
        assert_eq!(check(&file, &wanted), Err(why), "{why}");
    }
}

#[test]
fn a_receipt_says_what_it_opens_and_what_it_does_not() {
    let text = super::said::said(&file(), sillage_words::Lang::Fr).join("\n");
    assert!(text.contains("10100534436 (médecin) peut consulter : d1, pour des soins."), "{text}");
    assert!(text.contains("valable jusqu'au 2 mars 2026 à 10:05:00") && text.contains("Non ouvert"), "{text}");
    assert!(!text.contains("d2"), "of what isn't permitted, nothing");
    assert_eq!(super::said::said_json(&file())["receipts"][0]["permitted"], serde_json::json!(["d1"]));
}
