//! A node as it works: records are sealed as an admitting node seals them, applied, and opened again.
#![allow(dead_code)] // each test file uses its own part

use std::collections::BTreeMap;

use prost::Message;
use serde_json::{Value, json};
use sillage_ledger::seal::{Plain, Sealer};
use sillage_ledger::{CommandOutcome, Decided, EntryReader, Ledger, Options, Refusal};
use sillage_proof::batch::Origin;
use sillage_proof::hash::{Hash, LeafIndex, leaf_hash};
use sillage_proof::keys::StreamId;
use sillage_proto::internal::v1::{
    ClockAttestation, ClockEvidence, Command, SealedBatch, SealedDecision, SealedRecord,
};
use sillage_proto::v1;
use sillage_rules::act::Act;
use sillage_rules::clock::ClockMessage;
use sillage_rules::codes::Code;
use sillage_rules::decide::message::AuthorizeMessage;
use sillage_rules::decide::{ParsedRequest, TagPairing};
use sillage_rules::facts;
use sillage_rules::kind::Kind;
use sillage_rules::record::{ParsedRecord, erasure_message, new_message};

use super::{ORIGIN, START_MS, act, batch, genesis, keks, key, quiet};

pub const RPPS: &str = "urn:oid:1.2.250.1.71.4.2.1";
pub const HOUR_MS: u64 = 3_600_000;

/// The patient themselves.
pub fn patient() -> v1::Actor {
    v1::Actor { system: "urn:sillage:patient".into(), id: "self".into(), ..v1::Actor::default() }
}

/// A doctor; `number` below 100.
pub fn doctor(number: u8, profession: &str) -> v1::Actor {
    v1::Actor {
        system: RPPS.into(),
        id: format!("101000000{number:02}"),
        role: profession.into(),
        organisation: format!("75000{number:04}"),
        label: format!("Dr {number}"),
    }
}

/// `system|id`
pub fn name(actor: &v1::Actor) -> String {
    format!("{}|{}", actor.system, actor.id)
}

pub fn person(id: &str) -> v1::Actor {
    v1::Actor { system: "urn:sillage:person".into(), id: id.into(), ..v1::Actor::default() }
}

pub fn item(id: &str) -> v1::Item {
    v1::Item { id: id.into(), ..v1::Item::default() }
}

pub fn report(id: &str, labels: &[&str]) -> v1::Item {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    v1::Item { category: "REPORT".into(), labels, ..item(id) }
}

/// How a time is written in details.
pub fn rfc3339(time_ms: u64) -> String {
    sillage_rules::time::TimeMs(time_ms).to_string()
}

/// A record with details, at `START_MS`.
pub fn says(kind: Kind, tag: Option<[u8; 32]>, actor: v1::Actor, details: &Value) -> v1::Record {
    let mut record = new_message(kind, tag.as_ref(), START_MS);
    let level = "substantial".to_owned();
    record.auth =
        Some(v1::Authentication { issuer: "pro-sante-connect".into(), method: "card".into(), eidas_level: level });
    record.actor = Some(actor);
    record.details = if details.is_null() { String::new() } else { details.to_string() };
    record
}

/// A directive of the patient that permits reading.
pub fn permit(tag: [u8; 32], id: &str, to: &v1::Actor) -> v1::Record {
    let details = json!({
        "id": id, "effect": "permit", "grantee": {"professional": name(to)}, "actions": ["read", "search", "download"],
    });
    says(Kind::CONSENT_DIRECTIVE, Some(tag), patient(), &details)
}

pub fn deny(tag: [u8; 32], id: &str, label: &str) -> v1::Record {
    let details = json!({"id": id, "effect": "deny", "grantee": "anyone", "labels": [label]});
    says(Kind::CONSENT_DIRECTIVE, Some(tag), patient(), &details)
}

pub fn revoke(tag: [u8; 32], id: &str) -> v1::Record {
    says(Kind::CONSENT_REVOKED, Some(tag), patient(), &json!({"consent": id}))
}

/// A deposit by the actor.
pub fn deposit(tag: [u8; 32], actor: v1::Actor, items: &[v1::Item]) -> v1::Record {
    v1::Record { items: items.to_vec(), ..says(Kind::ACCESS_WRITE, Some(tag), actor, &Value::Null) }
}

pub fn break_glass(tag: Option<[u8; 32]>, id: &str, actor: v1::Actor, expires_ms: u64) -> v1::Record {
    let details = json!({
        "id": id, "case": "INCAPACITY", "reason": "immediate risk", "expires": rfc3339(expires_ms),
        "search": "TRAITS", "no_position": "INDOORS",
    });
    says(Kind::BREAKGLASS_OPENED, tag, actor, &details)
}

/// An access with a basis.
pub fn access(
    kind: Kind,
    tag: [u8; 32],
    actor: v1::Actor,
    items: &[v1::Item],
    basis: (v1::BasisKind, &str),
) -> v1::Record {
    let basis = v1::Basis { kind: basis.0.into(), r#ref: basis.1.to_owned() };
    let record = says(kind, Some(tag), actor, &Value::Null);
    v1::Record { items: items.to_vec(), basis: Some(basis), ..record }
}

/// May this actor read these items?
pub fn may_read(tag: [u8; 32], actor: v1::Actor, items: &[v1::Item]) -> v1::DecisionRequest {
    v1::DecisionRequest {
        version: 1,
        tag: tag.to_vec(),
        actor: Some(actor),
        action: "read".into(),
        purpose: "TREAT".into(),
        items: items.to_vec(),
        requested_at_ms: START_MS,
        ..v1::DecisionRequest::default()
    }
}

/// One node: its ledger, and what seals for it.
pub struct World {
    pub dir: tempfile::TempDir,
    pub ledger: Option<Ledger>,
    pub sealer: Sealer,
    pub options: Options,
    /// Ledger time of the next command.
    pub now: u64,
    /// Every command so far: its stamp, its bytes, and what became of it.
    pub tape: Vec<(u64, Vec<u8>, Vec<CommandOutcome>, Hash)>,
    seqs: BTreeMap<(u8, String), u64>,
    nonce: u64,
}

impl World {
    pub fn new() -> Self {
        Self::with(quiet())
    }

    pub fn with(options: Options) -> Self {
        Self::of(&genesis(), options)
    }

    /// With another genesis.
    pub fn of(genesis: &[u8], options: Options) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let ledger = Ledger::open(dir.path(), genesis, keks(), options.clone()).expect("a ledger");
        let sealer = Sealer::new(ledger.reader(), keks(), 1_000);
        Self {
            dir,
            ledger: Some(ledger),
            sealer,
            options,
            now: START_MS,
            tape: Vec::new(),
            seqs: BTreeMap::new(),
            nonce: 0,
        }
    }

    pub fn ledger(&mut self) -> &mut Ledger {
        self.ledger.as_mut().expect("open")
    }

    pub fn reader(&self) -> EntryReader {
        self.ledger.as_ref().expect("open").entry_reader()
    }

    /// Opens the ledger again: nothing is left but what is on disk.
    pub fn reopen(&mut self) {
        self.reopen_with(&genesis());
    }

    /// The same of a log with another genesis.
    pub fn reopen_with(&mut self, genesis: &[u8]) {
        self.ledger().flush().expect("writable");
        self.ledger = None;
        let other = tempfile::tempdir().expect("a folder");
        let other = Ledger::open(other.path(), genesis, keks(), quiet()).expect("a ledger");
        // The readers hold the database open.
        self.sealer = Sealer::new(other.reader(), keks(), 1);
        let ledger = Ledger::open(self.dir.path(), genesis, keks(), self.options.clone()).expect("a ledger");
        self.sealer = Sealer::new(ledger.reader(), keks(), 1_000);
        self.ledger = Some(ledger);
    }

    /// The next batch of an author, sealed.
    pub fn sealed(&mut self, author: u8, records: &[v1::Record]) -> SealedBatch {
        let seq = self.seqs.entry((author, "s".into())).or_default();
        *seq += 1;
        let seq = *seq;
        self.sealed_as(author, ("s", seq), records)
    }

    /// A batch with this number of this stream.
    pub fn sealed_as(&mut self, author: u8, (label, seq): (&str, u64), records: &[v1::Record]) -> SealedBatch {
        let stream_id = StreamId::new(&super::author_id(author), label);
        let parsed: Vec<ParsedRecord> = records.iter().map(parsed).collect();
        let salt = |at: usize| [at as u8 ^ 0x5a; 16];
        let salts: Vec<[u8; 16]> = (0..parsed.len()).map(salt).collect();
        let plain = parsed.iter().zip(&salts);
        let plain: Vec<Plain<'_>> =
            plain.map(|(record, salt)| Plain { tag: record.entry_tag(), salt, record: record.bytes() }).collect();
        let sealed = self.sealer.seal_batch(stream_id, seq, &plain).expect("keys are there");
        let records = parsed.iter().zip(&salts).zip(sealed.payloads).map(|((record, salt), payload)| SealedRecord {
            kind: record.kind().code().into(),
            tag: record.entry_tag().to_vec().into(),
            record_hash: record.record_hash(salt).as_bytes().to_vec().into(),
            payload,
            occurred_at_ms: record.occurred_at_ms(),
            facts: facts::facts_of(record),
        });
        let mut batch = batch(author, label, seq, records.collect());
        batch.new_keys = sealed.new_keys;
        batch
    }

    /// A number that was refused is used by the next batch.
    pub fn give_back(&mut self, author: u8) {
        *self.seqs.get_mut(&(author, "s".into())).expect("used") -= 1;
    }

    /// Requests under the signature of party 2.
    pub fn asks(&mut self, requests: &[v1::DecisionRequest]) -> SealedDecision {
        let requests: Vec<ParsedRequest> = requests.iter().map(|request| self.request(request.clone())).collect();
        self.seal_requests(&requests)
    }

    /// A request as it is signed: now, with a nonce of its own unless it has one.
    pub fn request(&mut self, mut request: v1::DecisionRequest) -> ParsedRequest {
        if request.nonce.is_empty() {
            self.nonce += 1;
            request.nonce = [self.nonce.to_be_bytes(), [7; 8]].concat();
            request.requested_at_ms = self.now;
        }
        ParsedRequest::from_message(request).expect("a request")
    }

    /// As a client seals that sends no proof of tags along.
    pub fn seal_without_proof(&self, requests: &[ParsedRequest]) -> SealedDecision {
        self.seal_with(2, requests, |_| None)
    }

    pub fn seal_requests(&self, requests: &[ParsedRequest]) -> SealedDecision {
        self.seal_as(2, requests)
    }

    fn seal_as(&self, asker: u8, requests: &[ParsedRequest]) -> SealedDecision {
        self.seal_with(asker, requests, |request| request.secret_tag().and_then(|_| super::pairing_of(request.tag())))
    }

    fn seal_with(
        &self,
        asker: u8,
        requests: &[ParsedRequest],
        proof: impl Fn(&ParsedRequest) -> Option<TagPairing>,
    ) -> SealedDecision {
        self.seal_requests_by(asker, requests, proof)
    }

    /// Requests under the signature of a party, with what proves the tags of each.
    pub fn seal_requests_by(
        &self,
        party: u8,
        requests: &[ParsedRequest],
        proof: impl Fn(&ParsedRequest) -> Option<TagPairing>,
    ) -> SealedDecision {
        let hashes: Vec<_> = requests.iter().map(ParsedRequest::hash).collect();
        let origin = Origin::new(ORIGIN).expect("an origin");
        let message = AuthorizeMessage::new(key(party).key_id(), origin, &hashes).expect("few");
        let signature = message.sign(&key(party));
        let requests: Vec<_> = requests.iter().map(|request| (request.clone(), proof(request))).collect();
        self.sealer.seal_decision(&key(party).key_id(), &signature, &requests).expect("keys are there")
    }

    /// Applies a command at the present time.
    pub fn apply(&mut self, command: Command) -> Vec<CommandOutcome> {
        self.apply_as_it_is(&Command { version: 3, ..command })
    }

    /// Applies a command of whatever version it says.
    pub fn apply_as_it_is(&mut self, command: &Command) -> Vec<CommandOutcome> {
        let (index, _) = self.ledger().applied();
        let (now, data) = (self.now, command.encode_to_vec());
        let outcomes = self.ledger().apply(index + 1, 1, now, &data).expect("never by the fault of the input");
        let root = self.reader().root();
        self.tape.push((now, data, outcomes.clone(), root));
        outcomes
    }

    /// Ledger time goes on, by the clocks of all nodes; from feature level 2 on nothing else moves it.
    pub fn pass(&mut self, ms: u64) {
        self.now += ms;
        let now = self.now;
        let attest = |node: u8| {
            let (key, origin) = (key(100 + node), Origin::new(ORIGIN).expect("a name"));
            let node = u64::from(node);
            let message = ClockMessage { key_id: key.key_id(), origin, node, term: 1, clock_ms: now };
            ClockAttestation { node, clock_ms: now, signature: message.sign(&key).to_vec() }
        };
        let time = Some(ClockEvidence { stamp_ms: now, attestations: (1..=3).map(attest).collect() });
        self.apply_as_it_is(&Command { version: 6, time, ..Command::default() });
        assert_eq!(self.reader().head().time_ms.get(), now, "the clocks count");
    }

    /// The group reaches a feature level.
    pub fn raise(&mut self, feature_level: u32) {
        let outcomes = self.apply_as_it_is(&Command { version: 6, feature_level, ..Command::default() });
        assert_eq!(outcomes, [CommandOutcome::FeatureLevel(feature_level)]);
    }

    /// Applies one batch of party 2.
    pub fn try_record(&mut self, records: &[v1::Record]) -> Result<LeafIndex, Refusal> {
        self.try_record_by(2, records)
    }

    pub fn try_record_by(&mut self, author: u8, records: &[v1::Record]) -> Result<LeafIndex, Refusal> {
        let batch = self.sealed(author, records);
        let checked = self.reader().check(&batch, self.now);
        let outcome = self.apply(Command { batches: vec![batch], ..Command::default() }).remove(0);
        match outcome {
            CommandOutcome::Done { first_index, .. } => {
                assert_eq!(checked, Ok(()), "the leader says what applying does");
                Ok(first_index)
            }
            CommandOutcome::Refused(refusal) => {
                assert_eq!(checked, Err(refusal.clone()), "the leader says what applying does");
                self.give_back(author);
                Err(refusal)
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn record(&mut self, records: &[v1::Record]) -> LeafIndex {
        self.try_record(records).expect("accepted")
    }

    /// The code with which one record is refused.
    pub fn refused(&mut self, record: v1::Record) -> Code {
        let refusal = self.try_record(&[record]).expect_err("refused");
        assert_eq!(refusal.position, Some(0));
        refusal.code
    }

    /// The next batch with an act of the authority.
    pub fn act_batch(&mut self, content: &Act) -> SealedBatch {
        self.batch_of_act(act(content))
    }

    /// Applies an act of the authority.
    pub fn act(&mut self, content: &Act) -> CommandOutcome {
        let batch = self.act_batch(content);
        self.act_of(batch)
    }

    /// The next batch with an erasure of records, or (none named) of the patient.
    pub fn erasing_batch(&mut self, tag: [u8; 32], indices: &[LeafIndex]) -> SealedBatch {
        let erased = Act::Erased { indices: indices.to_vec(), ground: "ORDER 17".into() };
        let record = ParsedRecord::from_message(erasure_message(&erased, &tag, START_MS)).expect("an act");
        let payload = [&[7; 16][..], record.bytes()].concat();
        self.batch_of_act(SealedRecord {
            kind: record.kind().code().into(),
            tag: tag.to_vec().into(),
            record_hash: leaf_hash(&payload).as_bytes().to_vec().into(),
            payload: payload.into(),
            occurred_at_ms: START_MS,
            facts: 0,
        })
    }

    /// Erases records, or (none named) the patient.
    pub fn erase(&mut self, tag: [u8; 32], indices: &[LeafIndex]) -> Result<(), Code> {
        let batch = self.erasing_batch(tag, indices);
        match self.act_of(batch) {
            CommandOutcome::Done { .. } => Ok(()),
            CommandOutcome::Refused(refusal) => Err(refusal.code),
            other => panic!("{other:?}"),
        }
    }

    fn batch_of_act(&mut self, record: SealedRecord) -> SealedBatch {
        let seq = self.seqs.entry((1, "acts".into())).or_default();
        *seq += 1;
        batch(1, "acts", *seq, vec![record])
    }

    /// The number of a refused act is used by the next one.
    pub fn give_back_act(&mut self) {
        *self.seqs.get_mut(&(1, "acts".into())).expect("used") -= 1;
    }

    fn act_of(&mut self, batch: SealedBatch) -> CommandOutcome {
        let outcome = self.apply(Command { batches: vec![batch], ..Command::default() }).remove(0);
        if matches!(outcome, CommandOutcome::Refused(_)) {
            self.give_back_act();
        }
        outcome
    }

    /// Asks one thing, and looks at it as the leader does before.
    pub fn ask(&mut self, request: v1::DecisionRequest) -> Result<Decided, Refusal> {
        self.ask_by(2, request)
    }

    /// The same, under the signature of another party.
    pub fn ask_by(&mut self, asker: u8, request: v1::DecisionRequest) -> Result<Decided, Refusal> {
        let request = self.request(request);
        let sealed = self.seal_as(asker, &[request]);
        let checked = self.reader().check_decision(&sealed, self.now);
        let outcome = self.apply(Command { decisions: vec![sealed], ..Command::default() }).remove(0);
        match outcome {
            CommandOutcome::Decided(mut decided) => {
                let decided = decided.remove(0);
                let checked = checked.expect("the leader says what applying does").remove(0);
                assert_eq!(checked.err(), decided.as_ref().err().cloned(), "the leader says what applying does");
                decided
            }
            CommandOutcome::Refused(refusal) => {
                assert_eq!(checked, Err(refusal.clone()), "the leader says what applying does");
                Err(refusal)
            }
            other => panic!("{other:?}"),
        }
    }

    /// The items that are permitted, under both tags.
    pub fn permitted(&mut self, request: v1::DecisionRequest) -> Vec<String> {
        let decided = self.ask(request).expect("decided");
        decided.decisions.into_iter().flat_map(|made| made.permitted).collect()
    }

    /// The reason on record for the first item of a decision.
    pub fn reason(&mut self, request: v1::DecisionRequest) -> String {
        let decided = self.ask(request).expect("decided");
        let index = decided.decisions[0].index;
        let private = self.decision(index).private_part().clone();
        private.outcomes[0].reason.clone()
    }

    /// A decision, opened as a reader opens it.
    pub fn decision(&self, index: LeafIndex) -> sillage_rules::decide::record::DecisionRecord {
        let opened = self.reader().open(&self.sealer, index).expect("openable").expect("on record");
        assert_eq!(opened.salt.len(), 32);
        let payload = [opened.salt, opened.record].concat();
        sillage_rules::decide::record::DecisionRecord::parse(&payload).expect("a decision")
    }
}

pub fn parsed(record: &v1::Record) -> ParsedRecord {
    ParsedRecord::from_message(record.clone()).expect("a record")
}

/// Every byte that a node has stored of its log: entries and payloads.
pub fn stored(reader: &EntryReader) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let size = reader.tree_size().get();
    let one = |index: u64| {
        let entry = reader.entry(index.into()).expect("readable").expect("below the size");
        (entry, reader.payload(index.into()).expect("readable"))
    };
    (0..size).map(one).collect()
}
