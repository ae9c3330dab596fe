//! The patients' index: one row a patient, a tree over buckets of rows, its root in every index commit
//! (`docs/formats.md` §9).
//!
//! - Rows are stored, and written together with the index commit that they belong to ([`row`], [`bucket`]).
//! - The tree over the buckets lives in memory, and is made again when the ledger is opened ([`rebuild`]).
//! - What is recorded between two index commits is hashed by a thread beside applying ([`worker`]), so that the commit
//!   itself finds rows and frontiers ready.
//!
//! The rows of the database and the tree here always belong to one index commit: both change under one lock.

pub(crate) mod bucket;
pub(crate) mod rebuild;
pub(crate) mod row;
pub(crate) mod worker;

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs};
use sillage_rules::entry::IndexCommit;
use sillage_rules::index::BucketTree;

pub(crate) use self::worker::{Changes, RecordedEntry, Worker};

/// The index of one database, as of its last index commit.
pub(crate) struct Index {
    depth: u8,
    state: RwLock<State>,
    /// Patients with entries since the last index commit, as far as the worker has come.
    changed: AtomicU64,
}

/// The state of one index commit.
pub(crate) struct State {
    tree: BucketTree,
    patients: u64,
    commit: Option<IndexCommit>,
}

impl Index {
    pub(crate) fn new(depth: u8, tree: BucketTree, patients: u64, commit: Option<IndexCommit>) -> Self {
        Self { depth, state: RwLock::new(State { tree, patients, commit }), changed: AtomicU64::new(0) }
    }

    /// The index has 2^this buckets.
    pub(crate) fn depth(&self) -> u8 {
        self.depth
    }

    /// Held only for moments: an index commit waits for it.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    /// Held from the change of the tree until the rows are written.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write()
    }

    pub(crate) fn changed(&self) -> u64 {
        self.changed.load(Ordering::Relaxed)
    }

    fn set_changed(&self, patients: usize) {
        self.changed.store(patients as u64, Ordering::Relaxed);
    }
}

impl State {
    /// Takes what changed since the last index commit into the tree; returns the next one.
    pub(crate) fn commit(&mut self, changes: &Changes, depth: u8, index: LeafIndex, time: LedgerTimeMs) -> IndexCommit {
        self.tree.update(&changes.buckets);
        self.patients += changes.added;
        let commit = IndexCommit { index, time, depth, patients: self.patients, root: self.tree.root() };
        self.commit = Some(commit.clone());
        commit
    }

    pub(crate) fn last(&self) -> Option<&IndexCommit> {
        self.commit.as_ref()
    }

    /// Siblings from the bucket up.
    pub(crate) fn path(&self, bucket: u64) -> Vec<Hash> {
        self.tree.path(bucket)
    }
}
