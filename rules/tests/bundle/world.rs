//! A log in memory, from fixed keys: a naive second implementation of what nodes do, to make bundles from.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use sillage_proof::batch::{BatchLeaf, BatchMessage, BatchTree, Origin};
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::hash::{Hash, leaf_hash};
use sillage_proof::keys::{AuthorId, SigningKey, StreamId};
use sillage_proof::merkle;
use sillage_proof::note::{KeyKind, SignedNote, SignerKey};
use sillage_proof::policy::Policy;
use sillage_proof::range::range_proof;
use sillage_proof::tag::{Identity, PatientTag, WhichTag};
use sillage_proof::vrf::VrfSecretKey;
use sillage_proto::v1;
use sillage_rules::bundle::{
    Bundle, BundleAuthor, BundleBatch, BundleEntry, BundleIdentity, IncludedEntry, Payload, Range, Since,
};
use sillage_rules::cosigner::{auditor_name, node_name};
use sillage_rules::decide::message::AuthorizeMessage;
use sillage_rules::decide::record::{DecisionRecord, Moment, SignedRequest, WhichTag as DecisionSide};
use sillage_rules::decide::request::REQUEST_VERSION;
use sillage_rules::decide::{Decision, ItemDecision, ParsedRequest, Reason, Versions};
use sillage_rules::entry::{BatchHeader, Entry, Flags, IndexCommit, LedgerEvent, RecordEntry};
use sillage_rules::facts::{Finding, Lateness, facts_of, flags_for};
use sillage_rules::index::{BucketProof, BucketTree, bucket_hash, bucket_of, ikey, patient_leaves, row};
use sillage_rules::kind::Kind;
use sillage_rules::record::ParsedRecord;

pub const OID: &str = "1.2.250.1.213.1.4.10";
/// The patient of the bundles, a neighbour, and one who has no entry.
pub const INS: [&str; 3] = ["255069910100157", "180019910100244", "299079910100366"];
pub const DEPTH: u8 = 1;
const START_MS: u64 = 1_790_000_000_000;
const LATE_AFTER_MS: u64 = 86_400_000;

pub fn origin() -> Origin {
    Origin::new("sillage.example/vectors").expect("an origin")
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn signer(name: &str, kind: KeyKind, seed: u8) -> SignerKey {
    SignerKey::new(name, kind, key(seed)).expect("a name")
}

pub fn log_key() -> SignerKey {
    signer(origin().as_str(), KeyKind::Ed25519, 1)
}

/// Another key under the log's name.
pub fn other_log() -> SignerKey {
    signer(origin().as_str(), KeyKind::Ed25519, 2)
}

pub fn node_key(id: u8) -> SignerKey {
    signer(&node_name(&origin(), id.into()), KeyKind::CosignatureV1, 10 + id)
}

pub fn witness_key() -> SignerKey {
    signer("witness.example/w1", KeyKind::CosignatureV1, 20)
}

pub fn auditor_key() -> SignerKey {
    let author = AuthorId::of_first_key(&key(30).public_key());
    signer(&auditor_name(&origin(), &author), KeyKind::CosignatureV1, 30)
}

/// The policy of the vectors; `quorum` is the name of a group.
pub fn policy_text(quorum: &str) -> String {
    let mut text = format!("log {}\n", log_key().verifier());
    for id in 1..=3 {
        text += &format!("witness node-{id} {}\n", node_key(id).verifier());
    }
    text +=
        &format!("witness witness-1 {}\nwitness auditor-1 {}\n", witness_key().verifier(), auditor_key().verifier());
    text += "group nodes 2 node-1 node-2 node-3\ngroup witnesses any witness-1\ngroup auditors any auditor-1\n";
    text += "group everyone all nodes witnesses auditors\n";
    text + &format!("quorum {quorum}\n")
}

pub fn policy() -> Policy {
    Policy::parse(policy_text("everyone").as_bytes()).expect("a policy")
}

/// A change that a node makes to an entry, in the place of the fields that were signed.
pub type Refile = fn(&mut RecordEntry);

/// One record of the log, with what opens it.
#[derive(Clone)]
pub struct Line {
    pub index: u64,
    tag: [u8; 32],
    entry: Vec<u8>,
    record_hash: Hash,
    payload: Payload,
    batch: Option<(usize, Vec<Hash>)>,
}

impl Line {
    pub fn tag(&self) -> [u8; 32] {
        self.tag
    }
}

/// The log.
pub struct World {
    pub entries: Vec<Vec<u8>>,
    pub lines: Vec<Line>,
    /// The lines of the index about a patient, in place of the true ones.
    pub lies: BTreeMap<[u8; 32], Vec<Line>>,
    pub batches: Vec<(&'static str, BundleBatch)>,
    time_ms: u64,
    /// Which entry the admitting node makes otherwise than its author signed it, and how.
    pub filed: Option<(u64, Refile)>,
}

/// The seed of an author's key.
fn seed(author: &str) -> u8 {
    match author {
        "authority" => 40,
        "dmp" => 41,
        "messagerie" => 42,
        other => panic!("no author {other}"),
    }
}

fn vrf() -> VrfSecretKey {
    VrfSecretKey::from_seed([5; 32])
}

pub fn identity(patient: usize) -> BundleIdentity {
    let identity = Identity::new(INS[patient], OID).expect("an identity");
    let (tag, proof) = PatientTag::resolve(&vrf(), &identity, WhichTag::Open);
    let (ins, oid) = (INS[patient].to_owned(), OID.to_owned());
    BundleIdentity { ins, oid, which_tag: WhichTag::Open, proof: proof.to_bytes(), tag }
}

pub fn tag(patient: usize) -> [u8; 32] {
    identity(patient).tag.to_bytes()
}

pub fn genesis() -> v1::Genesis {
    let public = |seed: u8| Some(v1::PublicKey { alg: 1, key: key(seed).public_key().as_bytes().to_vec() });
    let nodes = (1..=3_u8).map(|id| v1::NodeIdentity {
        id: id.into(),
        name: format!("node-{id}"),
        key: public(10 + id),
        tls_spki_sha256: vec![id; 32],
    });
    let authority = v1::PartyRegistered {
        key: public(40),
        name: "authority".to_owned(),
        roles: 64,
        tls_spki_sha256: vec![vec![40; 32]],
        ..v1::PartyRegistered::default()
    };
    v1::Genesis {
        version: 1,
        origin: origin().to_string(),
        created_ms: START_MS,
        log_public_key: key(1).public_key().as_bytes().to_vec(),
        vrf_public_key: vrf().public_key().as_bytes().to_vec(),
        tag_first: vec![0; 32],
        tag_last: vec![0xff; 32],
        test_log: true,
        late_after_ms: LATE_AFTER_MS,
        index_depth: DEPTH.into(),
        quota_events_per_s: 1_000,
        nodes: nodes.collect(),
        parties: vec![authority],
        nonce: vec![9; 32],
        feature_level: 0,
        issuers: vec![],
        rule: None,
    }
}

impl World {
    /// A log with its genesis alone.
    pub fn new(genesis: &v1::Genesis) -> Self {
        let (entries, lines, batches, lies) = (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
        let mut world = Self { entries, lines, lies, batches, time_ms: START_MS, filed: None };
        let (index, time) = world.next();
        let body = genesis.encode_to_vec();
        world.push(Entry::LedgerEvent(LedgerEvent { index, time, kind: Kind::GENESIS, body }));
        world
    }

    fn next(&mut self) -> (sillage_proof::LeafIndex, sillage_proof::LedgerTimeMs) {
        self.time_ms += 1_000;
        ((self.entries.len() as u64).into(), self.time_ms.into())
    }

    fn push(&mut self, entry: Entry) -> u64 {
        self.entries.push(entry.encode());
        self.entries.len() as u64 - 1
    }

    /// A batch of an author; gives the index of its first record.
    pub fn batch(&mut self, author: &'static str, records: Vec<ParsedRecord>) -> u64 {
        let key = key(seed(author));
        let place = self.batches.len();
        let salts: Vec<[u8; 16]> = (0..records.len()).map(|at| [(16 * place + at) as u8; 16]).collect();
        let leaf = |(record, salt): (&ParsedRecord, _)| record.batch_leaf(record.record_hash(salt));
        let leaves: Vec<BatchLeaf> = records.iter().zip(&salts).map(leaf).collect();
        let tree = BatchTree::new(&leaves).expect("a batch");
        let before = self.batches.iter().filter(|(other, _)| *other == author).count() as u64;
        let stream_id = StreamId::new(&AuthorId::of_first_key(&key.public_key()), "main");
        let message = BatchMessage {
            key_id: key.key_id(),
            origin: origin(),
            stream_id,
            seq: before + 1,
            count: tree.count(),
            root: tree.root(),
        };
        let (seq, count, root, signature) = (message.seq, message.count, message.root, message.sign(&key));
        let (index, time) = self.next();
        let key_id = key.key_id();
        self.push(Entry::BatchHeader(BatchHeader { index, time, key_id, stream_id, seq, count, root, signature }));
        self.batches.push((author, BundleBatch { author: 0, stream_id, seq, count, root, signature }));
        for (at, (record, salt)) in records.into_iter().zip(salts).enumerate() {
            let position = at as u32;
            let path = tree.audit_path(position).expect("in the batch");
            let filed = self.filed.as_ref().filter(|(at, _)| *at == self.entries.len() as u64);
            let change = filed.map(|(_, change)| *change);
            let (facts, occurred_ms) = (facts_of(&record), record.occurred_at_ms());
            let flags = {
                let late = Lateness { after_ms: LATE_AFTER_MS, of_every_kind: false };
                flags_for(record.kind(), facts, Finding::default(), (occurred_ms, self.time_ms), late)
            };
            self.record(record, salt, flags, position, Some((place, path)), change);
        }
        index.get() + 1
    }

    /// The first batch once more, at another place: as if its records had happened twice. Both are one batch.
    pub fn replay_first_batch(&mut self) {
        let (index, _) = self.next();
        let again: Vec<Line> = self.lines.iter().filter(|line| matches!(line.batch, Some((0, _)))).cloned().collect();
        let mut moved = vec![self.entries[1].clone()];
        moved.extend(again.iter().map(|line| line.entry.clone()));
        for (at, mut entry) in (index.get()..).zip(moved) {
            // The index stands behind version, type and flags.
            entry[4..12].copy_from_slice(&at.to_be_bytes());
            self.entries.push(entry);
        }
        for (at, line) in (index.get() + 1..).zip(again) {
            let entry = self.entries[at as usize].clone();
            self.lines.push(Line { index: at, entry, ..line });
        }
    }

    /// A record that the ledger makes itself.
    pub fn ledger_record(&mut self, record: ParsedRecord) -> u64 {
        self.next();
        self.record(record, [0xee; 16], Flags::LEDGER, 0, None, None)
    }

    /// A decision that the ledger makes on what `dmp` asked: a patient's item, permitted, and another one, denied.
    pub fn decision(&mut self, patient: usize) -> u64 {
        let (index, time) = self.next();
        let actor =
            v1::Actor { system: "urn:oid:1.2.250.1.71.4.2.1".into(), id: "10100534436".into(), ..Default::default() };
        let item = |id: &str| v1::Item { id: id.to_owned(), category: "REPORT".to_owned(), ..Default::default() };
        let request = ParsedRequest::from_message(v1::DecisionRequest {
            version: REQUEST_VERSION,
            tag: tag(patient).to_vec(),
            actor: Some(v1::Actor { role: "physician".into(), ..actor }),
            action: "read".to_owned(),
            purpose: "TREAT".to_owned(),
            items: vec![item("d1"), item("d2")],
            requested_at_ms: self.time_ms,
            nonce: vec![7; 16],
            ..Default::default()
        });
        let (request, key) = (request.expect("a request"), key(seed("dmp")));
        let message = AuthorizeMessage::new(key.key_id(), origin(), &[request.hash()]).expect("one request");
        let (key_id, signature, path) = (key.key_id(), message.sign(&key), Vec::new());
        let signed = SignedRequest { key_id, signature, position: 0, count: 1, path };
        let of = |id: &str, reason: Reason, consulted: &[u64]| ItemDecision {
            id: id.to_owned(),
            permit: reason.permits(),
            reason,
            contradicted: false,
            consulted: consulted.iter().map(|index| (*index).into()).collect(),
        };
        let decision = Decision {
            items: vec![of("d1", Reason::ConsentGrant, &[2]), of("d2", Reason::Masked, &[])],
            obligations: Vec::new(),
            versions: Versions { policy: "default".into(), matrix: "default".into(), catalogue: "default".into() },
        };
        let moment = Moment { at: time, valid_s: 300, as_of: index.get().into() };
        let salts = [[0xea; 16], [0xeb; 16]];
        let record = DecisionRecord::new(&request, &signed, DecisionSide::Open, &decision, moment, salts);
        let (actor, private) = (record.actor_part().encode_to_vec(), record.private_part().encode_to_vec());
        let (kind, tag, record_hash) = (Kind::DECISION_MADE, tag(patient), record.record_hash());
        let flags = Flags::LEDGER;
        let index = self.push(Entry::Record(RecordEntry { index, time, flags, kind, tag, record_hash, position: 0 }));
        let (entry, payload) = (self.entries[index as usize].clone(), Payload::Decision { salts, actor, private });
        self.lines.push(Line { index, tag, entry, record_hash, payload, batch: None });
        index
    }

    fn record(
        &mut self,
        record: ParsedRecord,
        salt: [u8; 16],
        flags: Flags,
        position: u32,
        batch: Option<(usize, Vec<Hash>)>,
        change: Option<Refile>,
    ) -> u64 {
        let (kind, tag, record_hash) = (record.kind(), record.entry_tag(), record.record_hash(&salt));
        let (index, time) = ((self.entries.len() as u64).into(), self.time_ms.into());
        let mut entry = RecordEntry { index, time, flags, kind, tag, record_hash, position };
        if let Some(change) = change {
            change(&mut entry);
        }
        let tag = entry.tag;
        let index = self.push(Entry::Record(entry));
        let payload = Payload::Record { salt, record: record.into_bytes() };
        let entry = self.entries[index as usize].clone();
        self.lines.push(Line { index, tag, entry, record_hash, payload, batch });
        index
    }

    /// The lines of a patient below `size`, or what the index says instead.
    fn listed(&self, tag: &[u8; 32], size: u64) -> Vec<Line> {
        let lines = self.lines.iter().filter(|line| line.tag == *tag && line.index < size);
        self.lies.get(tag).cloned().unwrap_or_else(|| lines.cloned().collect())
    }

    /// The rows of the index over the first `size` entries, by bucket.
    fn buckets(&self, size: u64) -> Vec<Vec<(Hash, Hash)>> {
        let tags: BTreeSet<[u8; 32]> =
            self.lines.iter().filter(|line| line.index < size).map(|line| line.tag).collect();
        let tags = tags.into_iter().filter(|tag| *tag != [0; 32]);
        let patients = tags.map(|tag| (tag, self.listed(&tag, size).iter().map(patient_leaf).collect::<Vec<_>>()));
        let mut buckets = vec![Vec::new(); 1 << DEPTH];
        for (tag, leaves) in patients {
            let key = ikey(&tag);
            let row = row(&key, leaves.len() as u64, &merkle::root_of(&leaves));
            buckets[bucket_of(&key, DEPTH) as usize].push((key, row));
        }
        buckets.iter_mut().for_each(|rows| rows.sort());
        buckets
    }

    fn index_tree(&self, size: u64) -> BucketTree {
        let mut tree = BucketTree::new(DEPTH);
        let hashes = self.buckets(size).iter().map(|rows| bucket_hash(rows)).collect::<Vec<_>>();
        tree.update(&(0..).zip(hashes).collect::<Vec<_>>());
        tree
    }

    /// An index commit over everything before; gives the size of the log then.
    pub fn commit(&mut self) -> u64 {
        let (index, time) = self.next();
        let root = self.index_tree(index.get()).root();
        let patients = self.buckets(index.get()).iter().map(Vec::len).sum::<usize>() as u64;
        self.push(Entry::IndexCommit(IndexCommit { index, time, depth: DEPTH, patients, root })) + 1
    }

    fn leaves(&self, size: u64) -> Vec<Hash> {
        self.entries[..size as usize].iter().map(|entry| leaf_hash(entry)).collect()
    }

    pub fn checkpoint(&self, size: u64) -> Checkpoint {
        Checkpoint { origin: origin(), size: size.into(), root: merkle::root_of(&self.leaves(size)) }
    }

    /// The checkpoint of `size`, signed by the log, two nodes, the witness and the auditor.
    pub fn note(&self, size: u64) -> SignedNote {
        let keys = [log_key(), node_key(1), node_key(3), witness_key(), auditor_key()];
        let keys: Vec<&SignerKey> = keys.iter().collect();
        self.checkpoint(size).sign(&keys, START_MS / 1_000 + size).expect("signed")
    }

    fn included(&self, index: u64, size: u64) -> IncludedEntry {
        let path = merkle::inclusion_proof(&self.leaves(size)[..], index.into(), size.into());
        IncludedEntry { entry: self.entries[index as usize].clone(), path: path.expect("in the log") }
    }

    /// The entries `range` of a patient under the commit that ends the log of `size`; `erased` are gone.
    pub fn bundle(&self, patient: usize, size: u64, range: std::ops::Range<usize>, erased: &[u64]) -> Bundle {
        let bundle = self.bundle_at(patient, size, size, range.clone());
        let mut bundle = Bundle { authors: vec![], batches: vec![], entries: vec![], ..bundle };
        let lines = self.listed(bundle.identity.tag.as_bytes(), size - 1);
        self.fill(&mut bundle, &lines[range], &erased.iter().copied().collect());
        bundle
    }

    /// The same with nothing erased, under the checkpoint of `size` and the commit that ended the log of `as_of`.
    pub fn bundle_at(&self, patient: usize, as_of: u64, size: u64, range: std::ops::Range<usize>) -> Bundle {
        let commit = as_of - 1;
        let identity = identity(patient);
        let tag = identity.tag.to_bytes();
        let key = ikey(&tag);
        let bucket = bucket_of(&key, DEPTH);
        let lines = self.listed(&tag, commit);
        let leaves: Vec<Hash> = lines.iter().map(patient_leaf).collect();
        let (before, after) = range_proof(&leaves, range.start, range.end);
        let mut bundle = Bundle {
            note: self.note(size),
            genesis: self.included(0, size),
            index_commit: self.included(commit, size),
            identity,
            bucket: BucketProof {
                rows: self.buckets(commit)[bucket as usize].clone(),
                path: self.index_tree(commit).path(bucket),
            },
            range: Range {
                n: leaves.len() as u64,
                a: range.start as u64,
                b: range.end as u64,
                mth: merkle::root_of(&leaves),
                before,
                after,
            },
            authors: Vec::new(),
            batches: Vec::new(),
            entries: Vec::new(),
            since: None,
        };
        self.fill(&mut bundle, &lines[range], &BTreeSet::new());
        bundle
    }

    fn fill(&self, bundle: &mut Bundle, lines: &[Line], erased: &BTreeSet<u64>) {
        let (mut authors, mut batches): (Vec<&str>, Vec<usize>) = (Vec::new(), Vec::new());
        for line in lines {
            let batch = line.batch.as_ref().map(|(place, _)| {
                let known = batches.iter().position(|known| known == place);
                known.unwrap_or_else(|| {
                    let (name, batch) = &self.batches[*place];
                    let author = authors.iter().position(|known| known == name).unwrap_or_else(|| {
                        let key = key(seed(name)).public_key();
                        bundle.authors.push(BundleAuthor { key, name: (*name).to_owned() });
                        authors.push(name);
                        authors.len() - 1
                    });
                    bundle.batches.push(BundleBatch { author: author as u32, ..batch.clone() });
                    batches.push(*place);
                    batches.len() - 1
                }) as u32
            });
            bundle.entries.push(BundleEntry {
                entry: line.entry.clone(),
                payload: Some(line.payload.clone()).filter(|_| !erased.contains(&line.index)),
                batch,
                path: line.batch.as_ref().map(|(_, path)| path.clone()).unwrap_or_default(),
            });
        }
    }

    /// The field that makes a bundle of `new` a delta after one of `old` with `a` entries.
    pub fn since(&self, old: u64, new: u64, a: u64) -> Since {
        let path = merkle::consistency_proof(&self.leaves(new)[..], old.into(), new.into()).expect("a proof");
        Since { size: old, root: self.checkpoint(old).root, a, path }
    }
}

fn patient_leaf(line: &Line) -> Hash {
    let mut out = Vec::new();
    patient_leaves(&[(leaf_hash(&line.entry), line.record_hash)], &mut out);
    out[0]
}
