//! Logs made up in memory, for tests and measurements: what a ledger would have written.

use prost::Message;
use sillage_proof::batch::{BatchLeaf, BatchMessage, Origin, batch_root};
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs, TreeSize, leaf_hash};
use sillage_proof::keys::{AuthorId, SigningKey, StreamId};
use sillage_proof::merkle::root_of;
use sillage_proto::v1::{Genesis, LogEntry, NodeIdentity, PublicKey};
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::entry::{BatchHeader, Entry, Flags, IndexCommit, LedgerEvent, RecordEntry, batch_leaf};
use sillage_rules::index::{ikey, patient_leaves};
use sillage_rules::kind::Kind;
use sillage_rules::record::{ParsedRecord, act_message, erasure_message};
use sillage_rules::roles::Roles;
use sillage_rules::vouching::Vouching;

use super::patients::Patients;
use super::replay::Log;

/// Name of every made-up log.
pub const ORIGIN: &str = "made.example/log";
/// Depth of its patient index.
pub const DEPTH: u8 = 8;

/// A change that a node makes to an entry, in the place of the fields that were signed.
pub type Refile = fn(&mut RecordEntry);

/// A log as it grows.
#[derive(Debug, Clone)]
pub struct Made {
    /// Its entries, with the records that are public.
    pub entries: Vec<LogEntry>,
    /// Time of the next entry, in milliseconds since 1970.
    pub now_ms: u64,
    /// Its genesis.
    pub genesis: Genesis,
    /// Which entry the node that admits it makes otherwise than its author signed it, and how.
    pub filed: Option<(u64, Refile)>,
    patients: Patients,
}

/// The authority's key.
pub fn authority() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

/// The key of an author who is registered from the beginning.
pub fn author() -> SigningKey {
    SigningKey::from_seed(&[2; 32])
}

/// The stream that a key's party uses, where it is the party's first key.
pub fn stream(key: &SigningKey) -> StreamId {
    StreamId::new(&AuthorId::of_first_key(&key.public_key()), "main")
}

/// A party for the genesis, or for an act.
pub fn party(key: &SigningKey, name: &str, roles: Roles) -> PartyRegistration {
    PartyRegistration {
        key: key.public_key(),
        name: name.to_owned(),
        roles,
        tls_spki_sha256: vec![],
        quota_events_per_s: 0,
        patient_tag: None,
        patient_secret_tag: None,
        patient_commitment: None,
        vouching: Vouching::default(),
    }
}

fn genesis() -> Genesis {
    let wire = |key: &SigningKey| PublicKey { alg: 1, key: key.public_key().to_bytes().to_vec() };
    let node = |id: u8| NodeIdentity {
        id: id.into(),
        name: format!("node-{id}"),
        key: Some(wire(&SigningKey::from_seed(&[10 + id; 32]))),
        tls_spki_sha256: vec![id; 32],
    };
    let parties = [party(&authority(), "authority", Roles::AUTHORITY), party(&author(), "dmp", Roles::AUTHOR)];
    Genesis {
        version: 1,
        origin: ORIGIN.to_owned(),
        created_ms: 1_000,
        log_public_key: SigningKey::from_seed(&[9; 32]).public_key().to_bytes().to_vec(),
        vrf_public_key: vec![1; 32],
        tag_first: vec![0; 32],
        tag_last: vec![0xff; 32],
        late_after_ms: 86_400_000,
        index_depth: DEPTH.into(),
        nodes: [1, 2, 3].map(node).to_vec(),
        parties: parties.map(|party| party.to_message()).to_vec(),
        nonce: vec![7; 32],
        issuers: vec![],
        ..Genesis::default()
    }
}

impl Default for Made {
    fn default() -> Self {
        Self::new()
    }
}

impl Made {
    /// A log with its genesis entry.
    pub fn new() -> Self {
        let genesis = genesis();
        let body = genesis.encode_to_vec();
        let patients = Patients::new(DEPTH);
        let mut made = Self { entries: Vec::new(), now_ms: 1_000_000, genesis, filed: None, patients };
        let (index, time) = made.place();
        made.push(&Entry::LedgerEvent(LedgerEvent { index, time, kind: Kind::GENESIS, body }));
        made
    }

    /// The terms of the log, as a replay is given them.
    ///
    /// # Panics
    /// Never: the genesis is a good one.
    pub fn log(&self) -> Log {
        Log::new(&self.genesis, self.genesis.encode_to_vec()).expect("a good genesis")
    }

    /// Its checkpoint over everything so far.
    ///
    /// # Panics
    /// Never: the name is a good one.
    pub fn checkpoint(&self) -> Checkpoint {
        let leaves: Vec<Hash> = self.entries.iter().map(|entry| leaf_hash(&entry.entry)).collect();
        let origin = Origin::new(ORIGIN).expect("a name");
        Checkpoint { origin, size: TreeSize(leaves.len() as u64), root: root_of(&leaves) }
    }

    fn place(&self) -> (LeafIndex, LedgerTimeMs) {
        (LeafIndex(self.entries.len() as u64), LedgerTimeMs(self.now_ms))
    }

    fn push(&mut self, entry: &Entry) {
        self.push_opened(entry, Vec::new(), Vec::new());
    }

    fn push_opened(&mut self, entry: &Entry, salt: Vec<u8>, record: Vec<u8>) {
        let bytes = entry.encode();
        if let Entry::Record(of) = entry
            && of.tag != [0; 32]
        {
            let mut leaf = Vec::new();
            patient_leaves(&[(leaf_hash(&bytes), of.record_hash)], &mut leaf);
            leaf.into_iter().for_each(|leaf| self.patients.push(ikey(&of.tag), leaf));
        }
        self.entries.push(LogEntry { entry: bytes, salt, record });
    }

    fn header(&mut self, key: &SigningKey, stream_id: StreamId, seq: u64, leaves: &[BatchLeaf]) {
        let (index, time) = self.place();
        let count = u32::try_from(leaves.len()).expect("a batch");
        let (key_id, root) = (key.key_id(), batch_root(leaves));
        let origin = Origin::new(ORIGIN).expect("a name");
        let signature = BatchMessage { key_id, origin, stream_id, seq, count, root }.sign(key);
        self.push(&Entry::BatchHeader(BatchHeader { index, time, key_id, stream_id, seq, count, root, signature }));
    }

    /// A batch of reads with a basis, one of each of these patients.
    ///
    /// # Panics
    /// When it isn't a batch.
    pub fn batch(&mut self, key: &SigningKey, stream_id: StreamId, seq: u64, tags: &[[u8; 32]]) {
        let hash = |at: usize| leaf_hash(&[stream_id.as_ref(), &seq.to_be_bytes(), &at.to_be_bytes()[..]].concat());
        let hashes: Vec<Hash> = (0..tags.len()).map(hash).collect();
        let (flags, kind) = (Flags::BASIS, Kind::ACCESS_READ);
        let leaf = |(tag, hash): (&[u8; 32], &Hash)| batch_leaf(kind, flags, *tag, *hash);
        let leaves: Vec<BatchLeaf> = tags.iter().zip(&hashes).map(leaf).collect();
        self.header(key, stream_id, seq, &leaves);
        for ((position, tag), record_hash) in (0..).zip(tags.iter().copied()).zip(hashes) {
            let (index, time) = self.place();
            let mut entry = RecordEntry { index, time, flags, kind, tag, record_hash, position };
            match self.filed {
                Some((at, change)) if at == index.get() => change(&mut entry),
                _ => {}
            }
            self.push(&Entry::Record(entry));
        }
    }

    /// A batch of one sealed record without a basis.
    ///
    /// # Panics
    /// Never.
    pub fn sealed(&mut self, key: &SigningKey, stream_id: StreamId, seq: u64, (kind, tag): (Kind, [u8; 32])) {
        let record_hash = leaf_hash(&[stream_id.as_ref(), &seq.to_be_bytes()[..]].concat());
        self.header(key, stream_id, seq, &[batch_leaf(kind, Flags::NONE, tag, record_hash)]);
        let (index, time) = self.place();
        let flags = Flags::NONE;
        self.push(&Entry::Record(RecordEntry { index, time, flags, kind, tag, record_hash, position: 0 }));
    }

    /// A batch of one act.
    ///
    /// # Panics
    /// When the record can't be made.
    pub fn act(&mut self, key: &SigningKey, stream_id: StreamId, seq: u64, act: &Act, tag: Option<[u8; 32]>) {
        let message = match &tag {
            Some(tag) => erasure_message(act, tag, self.now_ms),
            None => act_message(act, self.now_ms),
        };
        let record = ParsedRecord::from_message(message).expect("an act");
        let salt = [5; 16];
        let record_hash = record.record_hash(&salt);
        self.header(key, stream_id, seq, &[record.batch_leaf(record_hash)]);
        let (index, time) = self.place();
        let (flags, kind, tag) = (Flags::NONE, act.kind(), tag.unwrap_or_default());
        let entry = Entry::Record(RecordEntry { index, time, flags, kind, tag, record_hash, position: 0 });
        self.push_opened(&entry, salt.to_vec(), record.into_bytes());
    }

    /// A reading of the log, which the ledger records itself; of nobody's trace, or of this patient's.
    pub fn consulted(&mut self, tag: [u8; 32]) {
        self.by_ledger(Kind::LOG_CONSULTED, tag);
    }

    /// A decision, which is sealed: nobody who replays opens it.
    pub fn decided(&mut self, tag: [u8; 32]) {
        self.by_ledger(Kind::DECISION_MADE, tag);
    }

    fn by_ledger(&mut self, kind: Kind, tag: [u8; 32]) {
        let (index, time) = self.place();
        let (flags, record_hash) = (Flags::LEDGER, leaf_hash(&index.get().to_be_bytes()));
        self.push(&Entry::Record(RecordEntry { index, time, flags, kind, tag, record_hash, position: 0 }));
    }

    /// An index commit.
    pub fn commit(&mut self) {
        let (index, time) = self.place();
        let (patients, root) = self.patients.commit();
        self.push(&Entry::IndexCommit(IndexCommit { index, time, depth: DEPTH, patients, root }));
    }
}
