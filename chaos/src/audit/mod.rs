//! The audit: reads every entry of the log and compares it with what was acknowledged.
//!
//! [`Book`] is the pure half: it takes the entries one after the other, rebuilds every batch, every leaf hash and every
//! root from their bytes, and answers whether a batch is there exactly once. [`read`] is the other half: it fetches the
//! entries as an auditor does, many calls at a time. An error of either is a finding, worded as a sentence.

mod nodes;
pub mod read;

use self::nodes::Nodes;
use crate::load::Acked;
use sillage_proof::batch::{BatchLeaf, batch_root};
use sillage_proof::hash::{Hash, TreeSize, leaf_hash};
use sillage_proof::keys::StreamId;
use sillage_proof::merkle;
use sillage_rules::entry::{BatchHeader, Entry, Flags, RecordEntry};
use sillage_rules::kind::Kind;
use std::collections::{HashMap, HashSet};

/// The finding of an audit: something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Finding(pub String);

/// A batch as the log has it.
#[derive(Debug, Clone, Copy)]
struct Batch {
    first_index: u64,
    count: u32,
}

/// The log, as rebuilt from its entries.
#[derive(Debug, Default)]
pub struct Book {
    nodes: Nodes,
    /// The record hash at each index that holds a record.
    records: HashMap<u64, Hash>,
    /// The same for what the ledger made itself: decisions, and who read entries.
    made: HashMap<u64, (Kind, Hash)>,
    seen: HashSet<Hash>,
    batches: HashMap<(StreamId, u64), Batch>,
    last_seq: HashMap<StreamId, u64>,
    time_ms: u64,
    /// The batch whose records are being read, and what its author signed of them so far.
    open: Option<(BatchHeader, Vec<BatchLeaf>)>,
}

impl Book {
    /// An empty book.
    pub fn new() -> Self {
        Self::default()
    }

    /// Entries taken up so far: the index that comes next.
    pub fn size(&self) -> u64 {
        self.nodes.len()
    }

    /// Time of the newest entry, milliseconds since 1970.
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// Records among them.
    pub fn records(&self) -> usize {
        self.records.len()
    }

    /// Batches among them.
    pub fn batches(&self) -> usize {
        self.batches.len()
    }

    /// Takes up the next entry.
    ///
    /// # Errors
    /// When it does not decode, stands at a wrong place, or does not continue its batch or its stream.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), Finding> {
        let index = self.size();
        let entry = Entry::decode(bytes).map_err(|e| Finding(format!("entry {index} does not decode: {e}")))?;
        if entry.index().get() != index {
            return Err(Finding(format!("entry {index} says that it is entry {}", entry.index())));
        }
        if entry.time().get() < self.time_ms {
            return Err(Finding(format!("time goes back at entry {index}")));
        }
        self.time_ms = entry.time().get();
        match entry {
            Entry::BatchHeader(header) => self.header(index, header)?,
            Entry::Record(record) => self.record(index, &record)?,
            Entry::IndexCommit(_) | Entry::LedgerEvent(_) if self.open.is_some() => {
                return Err(Finding(format!("entry {index} stands between the records of a batch")));
            }
            Entry::IndexCommit(_) | Entry::LedgerEvent(_) => {}
        }
        self.nodes.push(leaf_hash(bytes));
        Ok(())
    }

    fn header(&mut self, index: u64, header: BatchHeader) -> Result<(), Finding> {
        if let Some((open, _)) = &self.open {
            return Err(Finding(format!("entry {index} begins a batch before batch {} is whole", open.seq)));
        }
        let last = self.last_seq.entry(header.stream_id).or_default();
        if header.seq != *last + 1 {
            return Err(Finding(format!(
                "stream {}: batch {} follows batch {last} at entry {index}",
                header.stream_id, header.seq
            )));
        }
        *last = header.seq;
        let batch = Batch { first_index: index + 1, count: header.count };
        self.batches.insert((header.stream_id, header.seq), batch);
        self.open = Some((header, Vec::new()));
        Ok(())
    }

    fn record(&mut self, index: u64, record: &RecordEntry) -> Result<(), Finding> {
        if record.flags.contains(Flags::LEDGER) {
            return match &self.open {
                None => {
                    self.made.insert(index, (record.kind, record.record_hash));
                    Ok(())
                }
                Some((open, _)) => Err(Finding(format!("entry {index} stands within batch {}", open.seq))),
            };
        }
        let Some((header, leaves)) = &mut self.open else {
            return Err(Finding(format!("record entry {index} has no batch header")));
        };
        if record.position as usize != leaves.len() {
            return Err(Finding(format!(
                "record entry {index} says position {}, it is at {}",
                record.position,
                leaves.len()
            )));
        }
        leaves.push(record.batch_leaf());
        if leaves.len() == header.count as usize {
            let root = batch_root(leaves);
            if root != header.root {
                return Err(Finding(format!(
                    "the records before entry {index} do not lead to the root their author signed: altered, or filed otherwise"
                )));
            }
            self.open = None;
        }
        if !self.seen.insert(record.record_hash) {
            return Err(Finding(format!(
                "record {} is in the log a second time, at entry {index}",
                record.record_hash
            )));
        }
        self.records.insert(index, record.record_hash);
        Ok(())
    }

    /// Tells whether an acknowledged batch is in the log, once, where its receipt says, with the records that were signed.
    ///
    /// # Errors
    /// The entries that are missing or different.
    pub fn holds(&self, acked: &Acked) -> Result<(), Finding> {
        let name = format!("acknowledged batch {} of stream {}", acked.seq, acked.stream_id);
        let Some(batch) = self.batches.get(&(acked.stream_id, acked.seq)) else {
            return Err(Finding(format!("{name} is not in the log")));
        };
        if batch.first_index != acked.first_index || batch.count as usize != acked.records.len() {
            let is = format!("{} records at {}", batch.count, batch.first_index);
            return Err(Finding(format!(
                "{name}: receipt for {} at {}, in the log {is}",
                acked.records.len(),
                acked.first_index
            )));
        }
        for (record, index) in acked.records.iter().zip(acked.first_index..) {
            if self.records.get(&index) != Some(record) {
                return Err(Finding(format!("{name}: entry {index} is not the record that was acknowledged there")));
            }
        }
        Ok(())
    }

    /// How many records of this kind the ledger made itself.
    pub fn made_of(&self, kind: Kind) -> usize {
        self.made.values().filter(|(made, _)| *made == kind).count()
    }

    /// Tells whether a decision is where its receipt says.
    ///
    /// # Errors
    /// When another entry is there.
    pub fn made(&self, index: u64, record: &Hash) -> Result<(), Finding> {
        match self.made.get(&index) == Some(&(Kind::DECISION_MADE, *record)) {
            true => Ok(()),
            false => Err(Finding(format!("entry {index} is not the decision that was acknowledged there"))),
        }
    }

    /// The root of the first `size` entries, recomputed from their bytes.
    ///
    /// # Errors
    /// When the book does not go that far.
    pub fn root_at(&self, size: u64) -> Result<Hash, Finding> {
        merkle::root(&self.nodes, TreeSize(size))
            .map_err(|_| Finding(format!("size {size} is beyond the {} entries read", self.size())))
    }

    /// The consistency proof between two sizes, made from the entries that were read.
    ///
    /// # Panics
    /// When the book does not go that far.
    pub fn consistency(&self, old: TreeSize, new: TreeSize) -> Vec<Hash> {
        merkle::consistency_proof(&self.nodes, old, new).expect("both sizes were read")
    }

    /// The indexes of a stream's records, in order.
    pub fn entries_of(&self, stream: &StreamId) -> Vec<u64> {
        let own = self.batches.iter().filter(|((of, _), _)| of == stream);
        let mut all: Vec<u64> =
            own.flat_map(|(_, batch)| batch.first_index..batch.first_index + u64::from(batch.count)).collect();
        all.sort_unstable();
        all
    }

    /// Tells whether the log had this root at this size.
    ///
    /// # Errors
    /// When the recomputed root is another one.
    pub fn has_root(&self, size: u64, root: &Hash) -> Result<(), Finding> {
        match self.root_at(size)? {
            own if own == *root => Ok(()),
            own => Err(Finding(format!("at size {size} the ledger says root {root}, its entries lead to {own}"))),
        }
    }
}

#[cfg(test)]
mod tests;
