//! Fuzz targets of consent and decisions. See [`crate::fuzz`].

use sillage_proof::batch::Origin;
use sillage_proof::hash::{LeafIndex, LedgerTimeMs};
use sillage_proof::keys::SigningKey;
use sillage_proto::v1;

use crate::consent::{Action, Actor, ActorName, Catalogue, Directive, Env, Event, Matrix, Meta, PatientState, Policy};
use crate::decide::message::{AuthorizeMessage, DecisionMessage};
use crate::decide::record::{ActorView, DecisionRecord};
use crate::decide::{ItemFacts, ParsedRequest, Request, decide};
use crate::kind::Kind;
use crate::limits::OCCURRED_AT_MS_MAX;
use crate::record::{ParsedRecord, new_message};

/// Reads the meaning of a record: two bytes of its kind, then its details. Every record that is understood is admitted or
/// refused, takes effect, and something is decided on it.
pub fn fuzz_event(data: &[u8]) {
    let Some((kind, details)) = data.split_first_chunk::<2>() else {
        return;
    };
    let Ok(kind) = Kind::from_code(u16::from_be_bytes(*kind).into()) else {
        return;
    };
    let professional = v1::Actor {
        system: "urn:oid:1.2.250.1.71.4.2.1".to_owned(),
        id: "10100000001".to_owned(),
        role: "physician".to_owned(),
        ..v1::Actor::default()
    };
    let message = v1::Record {
        actor: Some(professional.clone()),
        items: vec![v1::Item { id: "doc1".to_owned(), ..v1::Item::default() }],
        details: String::from_utf8_lossy(details).into_owned(),
        ..new_message(kind, kind.has_patient().then_some(&[7; 32]), 1_772_442_000_000)
    };
    let Ok(record) = ParsedRecord::from_message(message) else {
        return;
    };
    let Ok(Some(event)) = Event::of(&record) else {
        return;
    };
    if let Event::Directive(directive) = &event {
        assert_eq!(Directive::parse(&directive.to_details()).as_ref(), Ok(&**directive));
    }
    for signer in [Actor::patient(), Actor::from_record(&professional).expect("an actor")] {
        put(&event, signer);
    }
}

/// Admits the event and decides on it, at both ends of time.
fn put(event: &Event, signer: Actor) {
    let (policy, matrix, catalogue) = (Policy::default(), Matrix::default(), Catalogue::default());
    let env = Env {
        policy: &policy,
        matrix: &matrix,
        catalogue: &catalogue,
        revoked: &|_| false,
        claims: true,
        across_servers: true,
    };
    let (index, time) = (LeafIndex(5), LedgerTimeMs(1_772_442_000_000));
    let meta = Meta {
        index,
        time,
        signer,
        authority: true,
        patient_key: true,
        authenticated: true,
        will: None,
        party: None,
        server: None,
    };
    let mut state = PatientState::default();
    let admitted = state.admit(event, &meta, &env);
    // What a node once admitted takes effect on every state, whatever else is there.
    state.apply(event, &meta);
    state.apply(event, &meta);
    for at in [LedgerTimeMs(0), time, LedgerTimeMs(OCCURRED_AT_MS_MAX), LedgerTimeMs(u64::MAX)] {
        let item = ItemFacts { id: "doc1".to_owned(), category: "LAB".to_owned(), ..ItemFacts::default() };
        let actor = Actor { profession: Some("nurse".to_owned()), ..meta.signer.clone() };
        let request =
            Request { actor, action: Action::Read, purpose: "TREAT".to_owned(), at, items: vec![item], word_of: None };
        let decision = decide(&env, &state, Some(&state), &request);
        assert_eq!(decision, decide(&env, &state, Some(&state), &request));
        assert!(decision.permitted().len() <= decision.told().len());
        let _ = state.is_in_force(index, at);
    }
    if let Err(refusal) = admitted {
        assert!(!refusal.message.is_empty());
    }
}

/// Requests: what is accepted is canonical.
pub fn fuzz_request(data: &[u8]) {
    let Ok(request) = ParsedRequest::parse(data) else {
        return;
    };
    assert_eq!(request.bytes(), data);
    assert_eq!(ParsedRequest::from_message(request.message().clone()), Ok(request.clone()));
    let state = PatientState::default();
    // Nothing is on deposit that an item could contradict.
    assert!(request.items().iter().all(|item| !ItemFacts::of(item, &state, None, false).contradicted));
    assert!(request.check_time(u64::MAX).is_err());
}

/// Decisions: what is read is written again as it was, and its actor's half stands for it.
pub fn fuzz_decision(data: &[u8]) {
    let Ok(record) = DecisionRecord::parse(data) else {
        return;
    };
    assert_eq!(record.payload(), data);
    let view = record.for_actor();
    assert_eq!(view.record_hash(), record.record_hash());
    let encoded = prost::Message::encode_to_vec(&view.actor);
    assert_eq!(ActorView::parse(&encoded, view.salt_a, view.private_hash), Ok(view));
    let origin = Origin::new("ledger.example/log1").expect("an origin");
    let _ = record.verify_request(&SigningKey::from_seed(&[1; 32]).public_key(), &origin);
}

/// The messages that are signed, and names of actors.
pub fn fuzz_messages(data: &[u8]) {
    if let Ok(message) = AuthorizeMessage::decode(data) {
        assert_eq!(message.encode(), data);
    }
    if let Ok(message) = DecisionMessage::decode(data) {
        assert_eq!(message.encode(), data);
    }
    if let Ok(name) = String::from_utf8_lossy(data).parse::<ActorName>() {
        assert_eq!(name.to_string().parse(), Ok(name.clone()));
        assert!(name.covers(&name));
    }
}
