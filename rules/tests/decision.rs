//! Requests, decisions and their messages: recomputes `docs/vectors/decision.json`, whose numbers were made by a program
//! that shares no code with this one, and shows that every changed byte is found.

use serde_json::Value;
use sillage_proof::batch::{MessageError, Origin};
use sillage_proof::hash::Hash;
use sillage_proof::keys::{PublicKey, SigningKey};
use sillage_rules::consent::ActorName;
use sillage_rules::decide::ParsedRequest;
use sillage_rules::decide::message::{AuthorizeMessage, DecisionMessage};
use sillage_rules::decide::record::{ActorView, DecisionError, DecisionRecord};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../docs/vectors/decision.json")).expect("JSON")
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("a text")).expect("hexadecimal")
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().expect("the right length")
}

fn hash(value: &Value) -> Hash {
    Hash::from_bytes(array(value))
}

fn key(of: &Value) -> (SigningKey, PublicKey) {
    let key = SigningKey::from_seed(&array(&of["seed"]));
    assert_eq!(key.public_key().to_bytes(), array(&of["public_key"]));
    assert_eq!(key.key_id(), array(&of["key_id"]).into());
    let public = key.public_key();
    (key, public)
}

fn origin() -> Origin {
    Origin::new(vectors()["origin"].as_str().expect("a text")).expect("an origin")
}

fn requests() -> Vec<ParsedRequest> {
    let vectors = vectors();
    let requests = vectors["requests"].as_array().expect("requests").iter();
    requests.map(|request| ParsedRequest::parse(&bytes(&request["bytes"])).expect("a request")).collect()
}

#[test]
fn requests_and_what_is_signed_of_them() {
    let vectors = vectors();
    let requests = requests();
    for (request, vector) in requests.iter().zip(vectors["requests"].as_array().expect("requests")) {
        assert_eq!(request.hash(), hash(&vector["request_hash"]));
        assert_eq!(ParsedRequest::from_message(request.message().clone()).as_ref(), Ok(request));
    }
    assert!(!requests[0].is_authenticated() && requests[1].is_authenticated());
    let (requester, public) = key(&vectors["requester"]);
    let vector = &vectors["authorize"];
    let hashes: Vec<Hash> = requests.iter().map(ParsedRequest::hash).collect();
    let message = AuthorizeMessage::new(requester.key_id(), origin(), &hashes).expect("two of them");
    assert_eq!(message.root, hash(&vector["root"]));
    assert_eq!(message.encode(), bytes(&vector["message"]));
    assert_eq!(AuthorizeMessage::decode(&message.encode()), Ok(message.clone()));
    assert_eq!(message.sign(&requester), array(&vector["signature"]));
    assert_eq!(message.verify(&public, &bytes(&vector["signature"])), Ok(()));
}

#[test]
fn requests_that_are_refused() {
    for vector in vectors()["refused_requests"].as_array().expect("requests") {
        let error = ParsedRequest::parse(&bytes(&vector["bytes"])).expect_err("refused");
        assert_eq!(Some(error.code.as_str()), vector["code"].as_str(), "{}: {error}", vector["name"]);
    }
}

#[test]
fn a_request_is_fresh_for_five_minutes() {
    let request = &requests()[0];
    let signed = request.message().requested_at_ms;
    let code = |now| request.check_time(now).map_err(|error| error.code.as_str());
    assert_eq!(code(signed + 300_000), Ok(()));
    assert_eq!(code(signed + 300_001), Err("STALE_REQUEST"));
    assert_eq!(code(signed - 300_000), Ok(()));
    assert_eq!(code(signed - 300_001), Err("TIME_AHEAD"));
}

#[test]
fn a_decision_says_how_it_was_established_who_asked() {
    let vectors = vectors();
    let decision =
        |number: usize| DecisionRecord::parse(&bytes(&vectors["decisions"][number]["payload"])).expect("a decision");
    let (before, said) = (decision(0), decision(3));
    let asker = said.private_part().asker.clone();
    assert_eq!(asker.as_ref().map(|asker| asker.issuer.as_str()), Some("https://idp.example"));
    assert_eq!(asker.as_ref().map(|asker| asker.eidas_level.as_str()), Some("substantial"));
    assert_eq!(before.private_part().asker, None);
    assert_eq!(before.actor_part(), said.actor_part(), "the actor isn't told");
    assert_eq!(before.with_asker(asker), said);
}

#[test]
fn decisions_and_their_receipts() {
    let vectors = vectors();
    let (_, requester) = key(&vectors["requester"]);
    let (node, public) = key(&vectors["node"]);
    for vector in vectors["decisions"].as_array().expect("decisions") {
        let record = DecisionRecord::parse(&bytes(&vector["payload"])).expect("a decision");
        assert_eq!(record.payload(), bytes(&vector["payload"]), "{}", vector["name"]);
        assert_eq!(record.record_hash(), hash(&vector["record_hash"]), "{}", vector["name"]);
        assert_eq!(record.verify_request(&requester, &origin()), Ok(()), "{}", vector["name"]);
        assert!(record.verify_request(&public, &origin()).is_err(), "another key");
        let view = record.for_actor();
        assert_eq!(view.private_hash, hash(&vector["private_hash"]));
        let shown = ActorView::parse(&bytes(&vector["actor_part"]), array(&vector["salt_a"]), view.private_hash);
        assert_eq!(shown.as_ref(), Ok(&view));
        let message = DecisionMessage {
            key_id: node.key_id(),
            origin: origin(),
            index: vector["index"].as_u64().expect("a number").into(),
            time: vector["time_ms"].as_u64().expect("a number").into(),
            tag: array(&vector["tag"]),
            record_hash: record.record_hash(),
        };
        assert_eq!(message.encode(), bytes(&vector["message"]));
        assert_eq!(DecisionMessage::decode(&message.encode()).as_ref(), Ok(&message));
        assert_eq!(message.sign(&node), array(&vector["signature"]));
        assert_eq!(view.verify(&message, &public, &bytes(&vector["signature"])), Ok(()));
    }
    let first = DecisionRecord::parse(&bytes(&vectors["decisions"][0]["payload"])).expect("a decision").for_actor();
    let expires = first.actor.expires_at_ms;
    assert!(first.permits("doc1", (expires - 1).into()) && !first.permits("doc1", expires.into()));
    assert!(!first.permits("doc2", (expires - 1).into()));
}

#[test]
fn a_request_that_names_the_second_tag_is_not_shown_under_the_open_one() {
    let vectors = vectors();
    let part = |number: usize| {
        DecisionRecord::parse(&bytes(&vectors["decisions"][number]["payload"]))
            .expect("a decision")
            .private_part()
            .clone()
    };
    assert!(part(1).request.is_empty() && !part(2).request.is_empty());
    let open = bytes(&vectors["decisions"][1]["payload"]);
    for hidden in [&b"doc3"[..], &[8; 32]] {
        assert!(!open.windows(hidden.len()).any(|window| window == hidden));
    }
}

/// Whatever bit is turned: the payload isn't read, or its hash is another, or it contradicts the requester's signature.
#[test]
fn every_changed_bit_of_a_decision_is_found() {
    let vectors = vectors();
    let payload = bytes(&vectors["decisions"][0]["payload"]);
    let right = DecisionRecord::parse(&payload).expect("a decision").record_hash();
    for bit in 0..8 * payload.len() {
        let mut changed = payload.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let hash = DecisionRecord::parse(&changed).map(|record| record.record_hash());
        assert_ne!(hash, Ok(right), "bit {bit}");
    }
    for end in 0..payload.len() {
        assert_ne!(DecisionRecord::parse(&payload[..end]).map(|record| record.record_hash()), Ok(right));
    }
    assert!(DecisionRecord::parse(&[&payload[..], &[0]].concat()).is_err());
}

#[test]
fn every_changed_bit_of_a_message_is_found() {
    let vectors = vectors();
    let (_, requester) = key(&vectors["requester"]);
    let (_, node) = key(&vectors["node"]);
    let (asked, answered) = (&vectors["authorize"], &vectors["decisions"][0]);
    let turn = |message: &[u8], bit: usize| {
        let mut changed = message.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    };
    let message = bytes(&asked["message"]);
    for bit in 0..8 * message.len() {
        let verdict = AuthorizeMessage::decode(&turn(&message, bit));
        let verdict = verdict.map(|message| message.verify(&requester, &bytes(&asked["signature"])));
        assert!(!matches!(verdict, Ok(Ok(()))), "bit {bit}");
    }
    let message = bytes(&answered["message"]);
    for bit in 0..8 * message.len() {
        let verdict = DecisionMessage::decode(&turn(&message, bit));
        let verdict = verdict.map(|message| message.verify(&node, &bytes(&answered["signature"])));
        assert!(!matches!(verdict, Ok(Ok(()))), "bit {bit}");
    }
    let long = [&message[..], &[0]].concat();
    assert_eq!(DecisionMessage::decode(&long), Err(MessageError::Length));
    let many = vec![Hash::from_bytes([1; 32]); 65];
    for requests in [&many[..0], &many[..]] {
        let message = AuthorizeMessage::new(requester.key_id(), origin(), requests);
        assert!(matches!(message, Err(MessageError::Count(_))));
    }
    assert!(AuthorizeMessage::new(requester.key_id(), origin(), &many[..64]).is_ok());
}

/// A receipt over one decision doesn't vouch for another: not with another time, tag or part.
#[test]
fn a_receipt_vouches_for_its_decision_alone() {
    let vectors = vectors();
    let (node, public) = key(&vectors["node"]);
    let record =
        |number: usize| DecisionRecord::parse(&bytes(&vectors["decisions"][number]["payload"])).expect("a decision");
    let view = record(0).for_actor();
    let good = DecisionMessage::decode(&bytes(&vectors["decisions"][0]["message"])).expect("a message");
    let verify = |message: DecisionMessage| view.verify(&message, &public, &message.sign(&node));
    assert_eq!(verify(good.clone()), Ok(()));
    for wrong in [
        DecisionMessage { record_hash: record(1).record_hash(), ..good.clone() },
        DecisionMessage { tag: [9; 32], ..good.clone() },
        DecisionMessage { time: (good.time.get() + 1).into(), ..good.clone() },
    ] {
        assert_eq!(verify(wrong), Err(DecisionError::Hash));
    }
    let mut longer = view.clone();
    longer.actor.permitted.push("doc2".to_owned());
    assert_eq!(longer.verify(&good, &public, &good.sign(&node)), Err(DecisionError::Hash));
}

#[test]
fn what_stands_for_an_actor() {
    let vectors = vectors();
    let name: ActorName = vectors["actor"]["name"].as_str().expect("a text").parse().expect("a name");
    assert_eq!(name.hash(), hash(&vectors["actor"]["actor_hash"]));
}

#[test]
fn a_decision_stands_under_one_tag_alone() {
    use sillage_rules::decide::record::{Moment, SignedRequest, WhichTag};
    use sillage_rules::decide::{Decision, ItemDecision, Reason, Versions};

    let (open, secret) = ([1; 32], [2; 32]);
    let message = sillage_proto::v1::DecisionRequest { tag: open.to_vec(), ..requests()[0].message().clone() };
    let asked = |secret_tag: &[u8]| {
        let message = sillage_proto::v1::DecisionRequest { secret_tag: secret_tag.to_vec(), ..message.clone() };
        ParsedRequest::from_message(message).expect("a request")
    };
    let key_id = sillage_proof::keys::KeyId::from([3; 32]);
    let signed = SignedRequest { key_id, signature: [4; 64], position: 0, count: 1, path: Vec::new() };
    let record = |request: &ParsedRequest, which_tag, reason: Reason| {
        let item = ItemDecision {
            id: "doc1".into(),
            permit: reason.permits(),
            reason,
            consulted: Vec::new(),
            contradicted: false,
        };
        let versions = Versions { policy: "p".into(), matrix: "m".into(), catalogue: "c".into() };
        let decision = Decision { items: vec![item], obligations: Vec::new(), versions };
        let moment = Moment { at: 1.into(), valid_s: 300, as_of: 0.into() };
        DecisionRecord::new(request, &signed, which_tag, &decision, moment, [[5; 16], [6; 16]])
    };
    let (both, one) = (asked(&secret), asked(&[]));
    for reason in [Reason::ConsentGrant, Reason::NoConsent] {
        for request in [&both, &one] {
            let record = record(request, WhichTag::Open, reason);
            assert_eq!((record.is_under(&open), record.is_under(&secret)), (true, false), "{reason:?}");
        }
        let kept = record(&both, WhichTag::Secret, reason);
        assert_eq!((kept.is_under(&open), kept.is_under(&secret)), (false, true), "{reason:?}");
        let named = if reason.permits() { secret } else { open };
        assert_eq!(kept.actor_part().tag, named, "{reason:?}");
        // Filed as if it were the other kind, it is found.
        let mut actor = kept.actor_part().clone();
        actor.tag = if reason.permits() { open } else { secret }.to_vec();
        let [actor, private] =
            [prost::Message::encode_to_vec(&actor), prost::Message::encode_to_vec(kept.private_part())];
        let filed = DecisionRecord::from_parts([[5; 16], [6; 16]], &actor, &private).expect("a decision");
        assert!(!filed.is_under(&open) && !filed.is_under(&secret), "{reason:?}");
    }
}
