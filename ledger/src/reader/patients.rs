//! Proofs of a patient's trace: the row in the index as of one index commit, the patient's entries by ordinal, and
//! range proofs over their leaves (`docs/formats.md` §9).

use std::sync::Arc;

use rocksdb::ReadOptions;
use sillage_proof::hash::{Hash, LeafIndex, hash_leaves};
use sillage_proof::range;
use sillage_rules::entry::{Entry, IndexCommit};
use sillage_rules::index::{self, bucket_of, ikey};

use super::LedgerReader;
use crate::error::ReadError;
use crate::index::bucket;
use crate::schema::{self, Family, TAG_LEN};
use crate::shared::{Leaves, View};

/// Entries read from the database at once.
const CHUNK_ENTRIES: usize = 512;
/// Patients whose leaves are kept, for the next page of the same trace.
const LEAVES_KEPT: usize = 8;
/// A trace longer than this is read again for each page.
const LEAVES_KEPT_MAX: usize = 65_536;

/// That a patient has so many entries in the index, or none: the two look alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatientProof {
    /// The index commit, of which all of this is.
    pub commit: IndexCommit,
    /// Its entry.
    pub commit_entry: Vec<u8>,
    /// Every row of the patient's bucket, (ikey, row), sorted.
    pub rows: Vec<(Hash, Hash)>,
    /// Siblings from the bucket up.
    pub path: Vec<Hash>,
    /// Entries of the patient below the index commit.
    pub count: u64,
}

impl LedgerReader {
    /// Tells whether an entry stands under this tag. One look, whether it does or not.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn is_on_record(&self, tag: &[u8; TAG_LEN]) -> Result<bool, ReadError> {
        let view = self.view();
        let mut options = ReadOptions::default();
        options.set_iterate_range(schema::patient_key(tag, 0).to_vec()..schema::patient_key(tag, u64::MAX).to_vec());
        let mut rows = view.store.db().raw_iterator_cf_opt(view.store.family(Family::Patient), options);
        rows.seek_to_first();
        rows.status()?;
        Ok(rows.valid())
    }

    /// Tells whether the first `count` entries of a patient are in memory, so that [`LedgerReader::patient_entries`] reads none.
    pub(crate) fn keeps_entries(&self, tag: &[u8; TAG_LEN], count: u64) -> bool {
        let generation = self.view().generation;
        let kept = self.kept_leaves().lock();
        let found = kept.iter().find(|kept| kept.tag == *tag && kept.generation == generation);
        found.is_some_and(|kept| kept.leaves.len() as u64 >= count)
    }

    /// The last index commit and where it stands; `None` before the first one.
    pub fn last_index_commit(&self) -> Option<(LeafIndex, IndexCommit)> {
        let commit = self.view().commit.clone();
        commit.map(|commit| (commit.index, commit))
    }

    /// Tells whether entries came since the last index commit, so that another one makes sense. True before the first one.
    pub fn pending_since_commit(&self) -> bool {
        let head = self.view().head;
        head.commit.is_none_or(|last| last.get() + 1 < head.size)
    }

    /// Patients with entries since the last index commit. May lag behind by some commands.
    pub fn changed_patients(&self) -> u64 {
        self.view().index.changed()
    }

    /// The patient's row, or its absence, as of the last index commit; `None` before the first one.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) fn prove_patient(&self, tag: &[u8; TAG_LEN]) -> Result<Option<PatientProof>, ReadError> {
        let view = self.view();
        let depth = view.index.depth();
        let ikey = ikey(tag);
        let number = bucket_of(&ikey, depth);
        let (commit, path, snapshot) = {
            let state = view.index.read();
            let Some(commit) = state.last() else {
                return Ok(None);
            };
            (commit.clone(), state.path(number), view.store.db().snapshot())
        };
        let options = bucket::range(number, number + 1, depth);
        let mut rows = snapshot.raw_iterator_cf_opt(view.store.family(Family::Index), options);
        let bucket = bucket::read(&mut rows, number, depth)?;
        let place = bucket.rows.binary_search_by(|(other, _)| other.cmp(&ikey));
        let count = place.map_or(0, |place| bucket.frontiers[place].count());
        let commit_entry = Entry::IndexCommit(commit.clone()).encode();
        Ok(Some(PatientProof { commit, commit_entry, rows: bucket.rows, path, count }))
    }

    /// Indices of the patient's entries `from` to `to` (exclusive) among its first `count`, by ordinal from 0.
    ///
    /// # Errors
    /// [`ReadError::Beyond`] when the patient has fewer than `count` entries or the range isn't within them.
    pub(crate) fn patient_entries(
        &self,
        tag: &[u8; TAG_LEN],
        from: u64,
        to: u64,
        count: u64,
    ) -> Result<Vec<LeafIndex>, ReadError> {
        let (from, to) = bounds(from, to, count)?;
        let leaves = self.leaves(tag, count)?;
        Ok(leaves.indices[from..to].to_vec())
    }

    /// Range proof (`before`, `after`) of the patient's leaves `from` to `to` (exclusive) in the tree over its first
    /// `count`. Reads all of them once; the next pages of the same patient are cheap.
    ///
    /// # Errors
    /// As [`LedgerReader::patient_entries`].
    pub(crate) fn patient_range(
        &self,
        tag: &[u8; TAG_LEN],
        from: u64,
        to: u64,
        count: u64,
    ) -> Result<(Vec<Hash>, Vec<Hash>), ReadError> {
        let (from, to) = bounds(from, to, count)?;
        let leaves = self.leaves(tag, count)?;
        // What is kept may reach further than was asked.
        let count = usize::try_from(count).map_err(|_| ReadError::Beyond { size: leaves.leaves.len() as u64 })?;
        Ok(range::range_proof(&leaves.leaves[..count], from, to))
    }

    /// The first `count` entries of a patient, or more.
    fn leaves(&self, tag: &[u8; TAG_LEN], count: u64) -> Result<Arc<Leaves>, ReadError> {
        let view = self.view();
        let kept = self.kept_leaves();
        let found = kept.lock().iter().find(|kept| kept.tag == *tag && kept.generation == view.generation).cloned();
        if let Some(found) = found.filter(|found| found.leaves.len() as u64 >= count) {
            return Ok(found);
        }
        let leaves = Arc::new(read_leaves(&view, tag, count)?);
        if leaves.leaves.len() <= LEAVES_KEPT_MAX {
            let mut kept = kept.lock();
            kept.retain(|kept| kept.tag != *tag);
            kept.push_front(leaves.clone());
            kept.truncate(LEAVES_KEPT);
        }
        Ok(leaves)
    }
}

fn bounds(from: u64, to: u64, count: u64) -> Result<(usize, usize), ReadError> {
    let beyond = |_| ReadError::Beyond { size: count };
    if from > to {
        return Err(ReadError::Reversed { old: from, new: to });
    }
    if to > count {
        return Err(ReadError::Beyond { size: count });
    }
    Ok((usize::try_from(from).map_err(beyond)?, usize::try_from(to).map_err(beyond)?))
}

fn read_leaves(view: &View, tag: &[u8; TAG_LEN], count: u64) -> Result<Leaves, ReadError> {
    let store = &view.store;
    let mut options = ReadOptions::default();
    options.set_iterate_range(schema::patient_key(tag, 0).to_vec()..schema::patient_key(tag, view.head.size).to_vec());
    let mut rows = store.db().raw_iterator_cf_opt(store.family(Family::Patient), options);
    rows.seek_to_first();
    let mut indices = Vec::new();
    while (indices.len() as u64) < count
        && let Some(key) = rows.key()
    {
        let index = key.get(TAG_LEN..).and_then(|index| index.try_into().ok());
        let index = index.ok_or_else(|| ReadError::Damaged("a row of the patients' trace can't be read".into()))?;
        indices.push(LeafIndex(u64::from_be_bytes(index)));
        rows.next();
    }
    rows.status()?;
    if (indices.len() as u64) < count {
        return Err(ReadError::Beyond { size: indices.len() as u64 });
    }
    let mut leaves = Vec::with_capacity(indices.len());
    for chunk in indices.chunks(CHUNK_ENTRIES) {
        read_chunk(view, tag, chunk, &mut leaves)?;
    }
    Ok(Leaves { tag: *tag, generation: view.generation, indices, leaves })
}

/// Appends the patient leaves of the entries at `indices`.
fn read_chunk(
    view: &View,
    tag: &[u8; TAG_LEN],
    indices: &[LeafIndex],
    leaves: &mut Vec<Hash>,
) -> Result<(), ReadError> {
    let keys: Vec<[u8; 8]> = indices.iter().map(|index| schema::index_key(index.get())).collect();
    let store = &view.store;
    let found = store.db().batched_multi_get_cf(store.family(Family::Entries), &keys, true);
    let damaged = |index: &LeafIndex| ReadError::Damaged(format!("entry {index} isn't the patient's"));
    let mut entries = Vec::with_capacity(keys.len());
    let mut records = Vec::with_capacity(keys.len());
    for (index, bytes) in indices.iter().zip(found) {
        let bytes = bytes?.ok_or_else(|| damaged(index))?;
        match Entry::decode(&bytes) {
            Ok(Entry::Record(entry)) if entry.tag == *tag => records.push(entry.record_hash),
            _ => return Err(damaged(index)),
        }
        entries.push(bytes);
    }
    let inputs: Vec<&[u8]> = entries.iter().map(|bytes| &bytes[..]).collect();
    let mut hashes = Vec::with_capacity(inputs.len());
    hash_leaves(&inputs, &mut hashes);
    let pairs: Vec<(Hash, Hash)> = hashes.into_iter().zip(records).collect();
    index::patient_leaves(&pairs, leaves);
    Ok(())
}
