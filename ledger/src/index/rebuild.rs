//! The tree over the buckets, made again from the stored rows when a ledger is opened, on all cores.
//!
//! Every row is checked against its frontier, and the root against the last index commit, so that a row altered on disk
//! is found before anything is served.

use std::thread;

use sillage_proof::hash::{Hash, LeafIndex, TreeSize, leaf_hash};
use sillage_proof::merkle;
use sillage_proof::tile::{TreeBuilder, TreeView};
use sillage_rules::entry::{Entry, IndexCommit};
use sillage_rules::index::{self, BucketTree, bucket_of};

use super::row::Row;
use super::worker::{RecordedEntry, Worker};
use super::{Index, bucket};
use crate::error::ReadError;
use crate::schema::{self, Family, HeadRow, NO_PATIENT};
use crate::store::Store;

/// Rows hashed at once.
const CHUNK_ROWS: usize = 4_096;
/// Entries given to the worker at once.
const CHUNK_ENTRIES: usize = 4_096;
/// More threads than this would wait for the disk.
const THREADS_MAX: usize = 8;

/// Makes the index of a database again and compares it with the last index commit.
pub(crate) fn open(store: &Store, head: &HeadRow, tree: &TreeBuilder, depth: u8) -> Result<Index, ReadError> {
    let (buckets, patients) = all_buckets(store, depth)?;
    let mut bucket_tree = BucketTree::new(depth);
    bucket_tree.update(&buckets);
    let Some(at) = head.commit else {
        if patients > 0 {
            return Err(ReadError::Damaged("the patients' index has rows before any index commit".into()));
        }
        return Ok(Index::new(depth, bucket_tree, 0, None));
    };
    let commit = stored_commit(store, head, tree, at)?;
    let found = IndexCommit { index: at, time: commit.time, depth, patients, root: bucket_tree.root() };
    if found != commit {
        return Err(ReadError::Damaged(format!(
            "the rows of the patients' index come to root {} over {patients} patients, but the index commit at {at} \
             says {} over {}",
            found.root, commit.root, commit.patients
        )));
    }
    Ok(Index::new(depth, bucket_tree, patients, Some(commit)))
}

/// The last index commit, which must be in the log tree.
fn stored_commit(store: &Store, head: &HeadRow, tree: &TreeBuilder, at: LeafIndex) -> Result<IndexCommit, ReadError> {
    let damaged = || ReadError::Damaged(format!("entry {at} isn't the last index commit"));
    let bytes = store.get(Family::Entries, &schema::index_key(at.get()))?.ok_or_else(damaged)?;
    let Ok(Entry::IndexCommit(commit)) = Entry::decode(&bytes) else {
        return Err(damaged());
    };
    let size = TreeSize(head.size);
    let path = merkle::inclusion_proof(&TreeView::new(tree, store), at, size).map_err(|_| damaged())?;
    merkle::verify_inclusion(&leaf_hash(&bytes), at, size, &path, &head.root).map_err(|_| damaged())?;
    Ok(commit)
}

/// Number and hash of every bucket that isn't empty, sorted; and the number of patients.
fn all_buckets(store: &Store, depth: u8) -> Result<(Vec<(u64, Hash)>, u64), ReadError> {
    let cores = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let count = 1_u64 << depth;
    let parts = count.min(cores as u64);
    let border = |part: u64| u64::try_from(u128::from(count) * u128::from(part) / u128::from(parts)).unwrap_or(count);
    let done: Vec<Result<Part, ReadError>> = thread::scope(|scope| {
        let parts = (0..parts).map(|part| scope.spawn(move || read_part(store, depth, border(part), border(part + 1))));
        let parts: Vec<_> = parts.collect();
        parts.into_iter().map(|part| part.join().expect("reading rows doesn't panic")).collect()
    });
    let (mut buckets, mut patients) = (Vec::new(), 0);
    for part in done {
        let part = part?;
        buckets.extend(part.buckets);
        patients += part.patients;
    }
    Ok((buckets, patients))
}

/// Some consecutive buckets, as they are read.
#[derive(Default)]
struct Part {
    buckets: Vec<(u64, Hash)>,
    patients: u64,
    /// Rows not hashed yet: whole buckets, but for the last one.
    rows: Vec<(Hash, Hash)>,
    /// For each of them, what the row is the hash of.
    items: Vec<(Hash, u64, Hash)>,
    /// Buckets of `rows`, and where each begins.
    starts: Vec<(u64, usize)>,
}

fn read_part(store: &Store, depth: u8, from: u64, to: u64) -> Result<Part, ReadError> {
    let mut options = bucket::range(from, to, depth);
    options.fill_cache(false);
    options.set_readahead_size(2 << 20);
    let mut rows = store.db().raw_iterator_cf_opt(store.family(Family::Index), options);
    rows.seek_to_first();
    let mut part = Part::default();
    while let Some((key, value)) = rows.item() {
        let row = Row::decode(key, value)?;
        let number = bucket_of(&row.ikey, depth);
        if part.starts.last().is_none_or(|(last, _)| *last != number) {
            if part.rows.len() >= CHUNK_ROWS {
                part.hash()?;
            }
            part.starts.push((number, part.rows.len()));
        }
        part.rows.push((row.ikey, row.hash));
        part.items.push((row.ikey, row.frontier.count(), row.frontier.root()));
        rows.next();
    }
    rows.status()?;
    part.hash()?;
    Ok(part)
}

impl Part {
    fn hash(&mut self) -> Result<(), ReadError> {
        let mut hashes = Vec::with_capacity(self.items.len());
        index::rows(&self.items, &mut hashes);
        if let Some(((ikey, _), _)) = self.rows.iter().zip(&hashes).find(|((_, stored), made)| stored != *made) {
            return Err(ReadError::Damaged(format!("the row {ikey} of the patients' index isn't the one of its tree")));
        }
        let ends = self.starts.iter().skip(1).map(|(_, start)| *start).chain([self.rows.len()]);
        let slices: Vec<&[(Hash, Hash)]> =
            self.starts.iter().zip(ends).map(|((_, start), end)| &self.rows[*start..end]).collect();
        let mut hashes = Vec::with_capacity(slices.len());
        index::buckets(&slices, &mut hashes);
        self.buckets.extend(self.starts.iter().map(|(number, _)| *number).zip(hashes));
        self.patients += self.rows.len() as u64;
        self.rows.clear();
        self.items.clear();
        self.starts.clear();
        Ok(())
    }
}

/// Gives the worker what was recorded after the last index commit.
pub(crate) fn hand_pending(store: &Store, head: &HeadRow, worker: &Worker) -> Result<(), ReadError> {
    let from = head.commit.map_or(0, |at| at.get() + 1);
    let mut recorded = Vec::new();
    for entry in store.entries(from, head.size) {
        let (index, bytes) = entry?;
        let entry = Entry::decode(&bytes);
        let entry = entry.map_err(|error| ReadError::Damaged(format!("entry {index}: {error}")))?;
        if let Entry::Record(entry) = entry
            && entry.tag != NO_PATIENT
        {
            recorded.push(RecordedEntry { tag: entry.tag, leaf: leaf_hash(&bytes), record: entry.record_hash });
        }
        if recorded.len() >= CHUNK_ENTRIES {
            worker.hand(std::mem::take(&mut recorded));
        }
    }
    worker.hand(recorded);
    Ok(())
}
