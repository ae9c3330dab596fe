use super::acts::{Tag, doctor, grant, name, request, revoke};
use super::*;
use crate::load::asker::TwoTags;
use prost::Message as _;
use sillage_proof::batch::Origin;
use sillage_proof::hash::{LedgerTimeMs, TreeSize, leaf_hash};
use sillage_proof::keys::SigningKey;
use sillage_proto::v1::{DecisionRequest, TagPairing};
use sillage_rules::consent::{Catalogue, Env, Event, Matrix, Meta, PatientState, Policy};
use sillage_rules::decide::message::DecisionMessage;
use sillage_rules::decide::record::{DecisionRecord, Moment, SignedRequest, WhichTag};
use sillage_rules::decide::{ItemFacts, ParsedRequest, Request, decide};
use sillage_rules::record::ParsedRecord;

const TAG: Tag = [5; 32];
const NOW: u64 = 1_772_442_000_000;

/// A ledger of one patient. It decides as it should, or on another state than its own.
#[derive(Default)]
struct Made {
    lines: Vec<Line>,
    state: PatientState,
}

impl Made {
    fn next(&self) -> (LeafIndex, LedgerTimeMs) {
        let index = self.lines.len() as u64 * 3;
        (LeafIndex(index), LedgerTimeMs(NOW + index))
    }

    fn records(&mut self, record: &[u8]) -> LeafIndex {
        let (index, at) = self.next();
        let record = ParsedRecord::parse(record).expect("a good record");
        let event = Event::of(&record).expect("good details").expect("it decides");
        let meta = Meta::of(&record, index, at, false, false).expect("a signer");
        self.state.apply(&event, &meta);
        let what = What::Rule(Box::new((event, meta)));
        self.lines.push(Line { index, record_hash: leaf_hash(&index.get().to_be_bytes()), what });
        index
    }

    fn decides(&mut self, nonce: u8) -> (ParsedRequest, Receipt) {
        let state = self.state.clone();
        self.decides_on(&state, nonce)
    }

    fn decides_on(&mut self, state: &PatientState, nonce: u8) -> (ParsedRequest, Receipt) {
        self.decides_as(state, nonce, WhichTag::Open)
    }

    fn decides_as(&mut self, state: &PatientState, nonce: u8, which_tag: WhichTag) -> (ParsedRequest, Receipt) {
        let (index, at) = self.next();
        let patient = TwoTags { open: TAG, secret: [6; 32], pairing: TagPairing::default() };
        let (message, _) = request(&patient, &doctor(1), &["d1"], [nonce; 16]);
        let message = DecisionRequest { requested_at_ms: NOW, ..message };
        let asked = ParsedRequest::from_message(message).expect("a request");
        let facts = |item| ItemFacts::of(item, state, None, false);
        let wanted = Request {
            actor: asked.actor().clone(),
            action: asked.action(),
            purpose: asked.purpose().to_owned(),
            at,
            items: asked.items().iter().map(facts).collect(),
            word_of: None,
        };
        let (policy, matrix, catalogue) = (Policy::default(), Matrix::default(), Catalogue::default());
        let env = Env {
            policy: &policy,
            matrix: &matrix,
            catalogue: &catalogue,
            revoked: &|_| false,
            claims: true,
            across_servers: true,
        };
        let decision = decide(&env, state, None, &wanted);
        let key = SigningKey::from_seed(&[9; 32]);
        let signed = SignedRequest { key_id: key.key_id(), signature: [0; 64], position: 0, count: 1, path: vec![] };
        let moment = Moment { at, valid_s: 300, as_of: TreeSize(index.get()) };
        let record = DecisionRecord::new(&asked, &signed, which_tag, &decision, moment, [[1; 16], [2; 16]]);
        let (record_hash, view) = (record.record_hash(), record.for_actor());
        let origin = Origin::new("test/log").expect("a name");
        let message = DecisionMessage { key_id: key.key_id(), origin, index, time: at, tag: TAG, record_hash };
        let signature = message.sign(&key);
        self.lines.push(Line { index, record_hash, what: What::Decision(Box::new(record)) });
        (asked, Receipt { message, view, signature })
    }
}

/// Asks, and keeps what was asked and answered.
fn keep(account: &mut Account, sent: u64, (request, receipt): (ParsedRequest, Receipt)) {
    account.requests.insert(request.hash(), request);
    account.asked.push(Asked { sent, answered: sent + 1, actor: name(&doctor(1)), receipts: vec![receipt] });
}

/// Granted at 0, permitted at 2, revoked at 4 to 5, refused at 7.
fn day() -> (Made, Account, PatientState) {
    let (mut made, mut account) = (Made::default(), Account::default());
    let directive = made.records(&grant(&TAG, "c1", &doctor(1)).encode_to_vec());
    keep(&mut account, 2, made.decides(1));
    let before = made.state.clone();
    made.records(&revoke(&TAG, "c1").encode_to_vec());
    let consent = Consent { grantee: name(&doctor(1)), granted: 0, revoking: Some(4), revoked: Some(5) };
    account.consents.insert(directive, consent);
    keep(&mut account, 7, made.decides(2));
    (made, account, before)
}

fn finding(made: &Made, account: &Account) -> String {
    account.judge(&made.lines).expect_err("something must not be").0
}

#[test]
fn a_day_on_which_all_is_right() {
    let (made, account, _) = day();
    assert_eq!(account.judge(&made.lines), Ok(2));
    assert!(account.asked[0].is_permitted() && !account.asked[1].is_permitted());
}

#[test]
fn a_decision_on_revoked_consent_is_found() {
    let (mut made, mut account, before) = day();
    keep(&mut account, 9, made.decides_on(&before, 3));
    assert!(finding(&made, &account).contains("does not follow from the records before it"));
}

#[test]
fn a_revocation_that_the_trace_hides_is_found_by_who_sent_it() {
    let (mut made, mut account, before) = day();
    // The ledger forgot the revocation, so that its trace is right in itself.
    made.lines.retain(|line| !matches!(&line.what, What::Rule(told) if matches!(told.0, Event::Revoked { .. })));
    made.lines.pop();
    account.asked.pop();
    made.state = before;
    made.lines.push(Line { index: LeafIndex(8), record_hash: leaf_hash(b"other"), what: What::Other });
    keep(&mut account, 7, made.decides(3));
    assert!(finding(&made, &account).contains("revoked and acknowledged before it was asked"));
    // Asked before the acknowledgement came, the same is no violation.
    account.asked[1].sent = 4;
    assert_eq!(account.judge(&made.lines), Ok(2));
}

#[test]
fn a_consent_that_holds_and_is_not_heeded_is_found() {
    let (mut made, mut account) = (Made::default(), Account::default());
    keep(&mut account, 3, made.decides(1));
    let directive = made.records(&grant(&TAG, "c1", &doctor(1)).encode_to_vec());
    let consent = Consent { grantee: name(&doctor(1)), granted: 1, revoking: None, revoked: None };
    account.consents.insert(directive, consent);
    assert!(finding(&made, &account).contains("refuses although a consent"));
}

#[test]
fn a_decision_that_is_lost_altered_or_there_twice_is_found() {
    let (mut made, account, _) = day();
    let lost = made.lines.pop().expect("the last decision");
    assert!(finding(&made, &account).contains("is not in the trace"));
    made.lines.push(Line { record_hash: leaf_hash(b"another"), ..lost.clone() });
    assert!(finding(&made, &account).contains("another decision than the one acknowledged"));
    made.lines.pop();
    made.lines.push(lost);
    made.decides(2);
    let again = finding(&made, &account);
    assert!(again.contains("decided twice"), "{again}");
}

#[test]
fn a_decision_that_nobody_asked_for_or_that_shows_the_request_is_found() {
    let (mut made, mut account, _) = day();
    made.decides(3);
    assert!(finding(&made, &account).contains("on a request that nobody sent"));
    made.lines.pop();
    let state = made.state.clone();
    keep(&mut account, 9, made.decides_as(&state, 3, WhichTag::Secret));
    assert!(finding(&made, &account).contains("shows representatives a request"));
}
