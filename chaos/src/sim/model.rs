//! A small model of a ledger, for runs of many events: a log under an RFC 6962 tree, with records exactly once.

use std::collections::BTreeMap;

use sillage_proof::hash::{Hash, TreeSize, leaf_hash};
use sillage_proof::merkle::{consistency_proof, empty_root};
use sillage_proof::tile::TreeBuilder;

use sillage_cluster::core::Members;
use sillage_proof::hash::LedgerTimeMs;
use sillage_rules::clock::ledger_time;

use super::clock::{Evidence, majority_of_both_ms};
use super::ledger::Applied;
use crate::check::{Checkpoint, RecordId};

/// Length of a record's header in a proposal.
const HEADER: usize = 16;

/// State that a snapshot carries and a flush makes durable.
#[derive(Clone)]
struct State {
    applied: (u64, u64),
    records: Vec<RecordId>,
    leaves: Vec<Hash>,
    /// The root over the first n records, for each n: nodes compare roots at every entry.
    roots: Vec<Hash>,
    places: BTreeMap<RecordId, u64>,
    tree: TreeBuilder,
    time: LedgerTimeMs,
    members: Members,
    differs: bool,
}

/// A node's state machine.
#[derive(Clone)]
pub struct Model {
    now: State,
    durable: State,
    /// A planted bug: a record that comes again is recorded again.
    pub forgets_duplicates: bool,
    /// A planted bug: time is what the leader stamps.
    pub believes_stamps: bool,
    /// It works with other keys: it refuses every second record.
    pub refuses_seconds: bool,
}

/// A copy of the state, to install elsewhere.
#[derive(Clone)]
pub struct Copy(State);

impl Copy {
    /// (index, term) it is as of.
    pub fn applied(&self) -> (u64, u64) {
        self.0.applied
    }
}

/// The bytes of a proposal: the record's name, what says the time, then `size` bytes that follow from the name.
pub(crate) fn proposal(record: RecordId, evidence: &Evidence, size: usize) -> Vec<u8> {
    let mut out = record.stream.to_be_bytes().to_vec();
    out.extend_from_slice(&record.sequence.to_be_bytes());
    evidence.encode_into(&mut out);
    out.resize(out.len() + size, (record.sequence % 251) as u8);
    out
}

fn record_of(data: &[u8]) -> Option<RecordId> {
    let word = |at: usize| Some(u64::from_be_bytes(data.get(at..at + 8)?.try_into().ok()?));
    Some(RecordId { stream: word(0)?, sequence: word(8)? })
}

impl Model {
    /// An empty one.
    pub fn new(members: Members) -> Self {
        let empty = State {
            applied: (0, 0),
            records: Vec::new(),
            leaves: Vec::new(),
            roots: vec![empty_root()],
            places: BTreeMap::new(),
            tree: TreeBuilder::new(),
            time: LedgerTimeMs(0),
            members,
            differs: false,
        };
        Model {
            durable: empty.clone(),
            now: empty,
            forgets_duplicates: false,
            believes_stamps: false,
            refuses_seconds: false,
        }
    }

    /// The last applied (index, term).
    pub fn applied(&self) -> (u64, u64) {
        self.now.applied
    }

    /// The highest applied index that survives a crash.
    pub fn flushed(&self) -> u64 {
        self.durable.applied.0
    }

    /// Applies an entry.
    pub fn apply(&mut self, index: u64, term: u64, data: &[u8]) -> Applied {
        assert_eq!(index, self.now.applied.0 + 1, "entries come in order");
        self.now.applied = (index, term);
        let before = self.now.time;
        let evidence = data.get(HEADER..).and_then(Evidence::decode);
        if let Some(evidence) = &evidence {
            let majority_ms = majority_of_both_ms(&self.now.members, |node| evidence.clock_of(node, term));
            self.now.time = match self.believes_stamps {
                true => before.max(LedgerTimeMs(evidence.stamp_ms)),
                false => ledger_time(before, evidence.stamp_ms, majority_ms),
            };
        }
        let time_ms = self.now.time.get();
        let cut = evidence.is_some_and(|evidence| evidence.stamp_ms > time_ms);
        Applied { record: self.record(data), before_ms: before.get(), time_ms, cut }
    }

    fn record(&mut self, data: &[u8]) -> Option<(RecordId, u64)> {
        let record = record_of(data)?;
        if let Some(&place) = self.now.places.get(&record)
            && !self.forgets_duplicates
        {
            return Some((record, place));
        }
        if self.refuses_seconds && record.sequence.is_multiple_of(2) {
            self.now.differs = true;
            return None;
        }
        let place = self.now.records.len() as u64;
        let leaf = leaf_hash(data);
        self.now.tree.append(&[leaf]);
        self.now.leaves.push(leaf);
        self.now.roots.push(self.now.tree.root());
        self.now.records.push(record);
        self.now.places.insert(record, place);
        Some((record, place))
    }

    /// Tells whether it has refused what others took.
    pub fn differs(&self) -> bool {
        self.now.differs
    }

    /// The nodes whose clocks count for the next entry.
    pub fn members(&self) -> &Members {
        &self.now.members
    }

    /// From the next entry on the clocks of these count.
    pub fn set_members(&mut self, members: &Members) {
        self.now.members = members.clone();
    }

    /// Makes all that is applied durable.
    pub fn flush(&mut self) -> u64 {
        self.durable = self.now.clone();
        self.flushed()
    }

    /// Falls back to what is durable.
    pub fn crash(&mut self) {
        self.now = self.durable.clone();
    }

    /// Copies the state.
    pub fn copy(&self) -> Copy {
        Copy(self.now.clone())
    }

    /// Replaces the state, durably, by one that has every record of this one.
    ///
    /// # Errors
    /// Its first records are others.
    pub fn install(&mut self, copy: &Copy) -> Result<(), String> {
        let own = self.checkpoint();
        if copy.0.roots.get(self.now.records.len()) != Some(&own.root) {
            return Err(format!("the snapshot has others than these {} records", own.size));
        }
        self.now = copy.0.clone();
        self.flush();
        Ok(())
    }

    /// Number of records.
    pub fn size(&self) -> u64 {
        self.now.records.len() as u64
    }

    /// The records with their places, in order.
    pub fn records(&self) -> Vec<(RecordId, u64)> {
        self.now.records.iter().copied().zip(0..).collect()
    }

    /// The root over the first `size` records; `None`: there are fewer.
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        self.now.roots.get(usize::try_from(size).ok()?).copied()
    }

    /// The root as of now.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { size: self.size(), root: *self.now.roots.last().expect("one more than there are records") }
    }

    /// Consistency proof from `old` records to now.
    pub fn prove(&self, old: u64) -> Vec<Hash> {
        consistency_proof(self.now.leaves.as_slice(), TreeSize(old), TreeSize(self.size())).unwrap_or_default()
    }
}
