//! The state that the ledger and its readers share: the newest view, and how far the disk has come.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex, RwLock};
use sillage_proof::hash::{Hash, LeafIndex};
use sillage_proof::tile::TreeBuilder;
use sillage_rules::entry::IndexCommit;

use crate::consent::caches::Caches;
use crate::error::Fatal;
use crate::genesis::GenesisInfo;
use crate::index::Index;
use crate::options::Options;
use crate::schema::{HeadRow, TAG_LEN};
use crate::stats::ApplyStats;
use crate::store::Store;
use crate::verified::Verified;

/// The state after one command. Immutable: a reader keeps one as long as it needs it.
pub(crate) struct View {
    /// Rises with each installed snapshot.
    pub generation: u64,
    pub store: Arc<Store>,
    pub head: HeadRow,
    /// The feature level.
    pub level: u32,
    pub tree: TreeBuilder,
    /// The patients' index of this generation.
    pub index: Arc<Index>,
    /// The last index commit, `head.commit`.
    pub commit: Option<IndexCommit>,
}

/// How far the disk has come, in one generation.
#[derive(Debug, Clone, Copy)]
struct Flushed {
    generation: u64,
    index: u64,
}

/// Why the background flusher should wake up.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    pub due: bool,
    pub stop: bool,
}

/// The first entries of a patient, with the leaves of their tree.
pub(crate) struct Leaves {
    pub tag: [u8; TAG_LEN],
    pub generation: u64,
    pub indices: Vec<LeafIndex>,
    pub leaves: Vec<Hash>,
}

/// The leaves of patients that were read last, the newest first.
pub(crate) type KeptLeaves = VecDeque<Arc<Leaves>>;

pub(crate) struct Shared {
    pub genesis: Arc<GenesisInfo>,
    pub options: Options,
    pub stats: ApplyStats,
    /// Of patients whose trace is being proven.
    pub kept_leaves: Mutex<KeptLeaves>,
    /// Signatures that needn't be verified again.
    pub verified: Arc<Verified>,
    /// Caches of checking before a command is proposed.
    pub checking: Mutex<Caches>,
    view: RwLock<Arc<View>>,
    flushed: Mutex<Flushed>,
    /// One flush at a time.
    flushing: Mutex<()>,
    /// Bytes written since the last flush began.
    unflushed_bytes: AtomicU64,
    /// Rises whenever what readers keep of data keys is outdated.
    pub keys_version: AtomicU64,
    pub signal: Mutex<Signal>,
    pub wake: Condvar,
    /// Why the database can't be written since a flush failed.
    failure: Mutex<Option<rocksdb::Error>>,
    /// Told when it can be written again.
    writable: Condvar,
}

impl Shared {
    /// The means by which applying verifies signatures, where it does.
    pub(crate) fn to_verify(&self) -> Option<&Verified> {
        self.options.verify_at_apply.then_some(&self.verified)
    }

    /// A planted bug, never in a program that is built without them.
    pub(crate) fn records_again(&self) -> bool {
        #[cfg(feature = "plants")]
        return self.options.plants.no_dedupe;
        #[cfg(not(feature = "plants"))]
        false
    }

    /// `view` is what was found on disk, so all of it is flushed.
    pub(crate) fn new(
        genesis: Arc<GenesisInfo>,
        options: Options,
        (checking, verified): (Caches, Arc<Verified>),
        view: View,
    ) -> Self {
        let flushed = Flushed { generation: view.generation, index: view.head.applied_index };
        Self {
            genesis,
            options,
            stats: ApplyStats::default(),
            kept_leaves: Mutex::default(),
            verified,
            checking: Mutex::new(checking),
            view: RwLock::new(Arc::new(view)),
            flushed: Mutex::new(flushed),
            flushing: Mutex::new(()),
            unflushed_bytes: AtomicU64::new(0),
            keys_version: AtomicU64::new(0),
            signal: Mutex::default(),
            wake: Condvar::new(),
            failure: Mutex::new(None),
            writable: Condvar::new(),
        }
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.view.read().clone()
    }

    /// Shows readers the state after a command. `bytes` were written for it.
    pub(crate) fn publish(&self, view: View, bytes: u64) {
        *self.view.write() = Arc::new(view);
        let unflushed = self.unflushed_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if unflushed >= self.options.flush_bytes {
            self.signal.lock().due = true;
            self.wake.notify_one();
        }
    }

    /// Shows readers an installed snapshot, whose files are durable.
    pub(crate) fn switch(&self, view: View) {
        let flushed = Flushed { generation: view.generation, index: view.head.applied_index };
        let old = std::mem::replace(&mut *self.view.write(), Arc::new(view));
        *self.flushed.lock() = flushed;
        self.unflushed_bytes.store(0, Ordering::Relaxed);
        self.keys_version.fetch_add(1, Ordering::Release);
        old.store.remove_when_done();
    }

    /// The highest applied index that would survive a power failure now. A flush that failed takes nothing away from it.
    pub(crate) fn flushed(&self) -> u64 {
        self.flushed.lock().index
    }

    /// Why the database can't be written.
    pub(crate) fn failure(&self) -> Option<rocksdb::Error> {
        self.failure.lock().clone()
    }

    pub(crate) fn check_writable(&self) -> Result<(), Fatal> {
        self.failure().map_or(Ok(()), |error| Err(Fatal::Store(error)))
    }

    /// Waits while the database can't be written.
    pub(crate) fn wait_writable(&self) {
        let mut failure = self.failure.lock();
        while failure.is_some() {
            self.writable.wait(&mut failure);
        }
    }

    /// Makes durable what is applied when this begins. RocksDB may write memory out on its own before: that makes more
    /// durable than is claimed here, never less.
    pub(crate) fn flush(&self) -> Result<u64, Fatal> {
        self.check_writable()?;
        self.flush_again()
    }

    /// The same, also after one failed: when it succeeds, all that was in memory is on disk, and the database can be written
    /// again.
    pub(crate) fn flush_again(&self) -> Result<u64, Fatal> {
        let _one = self.flushing.lock();
        // The view is published after its write, so all of it is in memory or on disk when the flush begins.
        let view = self.view();
        if self.flushed() >= view.head.applied_index {
            return Ok(self.flushed());
        }
        self.unflushed_bytes.store(0, Ordering::Relaxed);
        if let Err(error) = view.store.flush() {
            self.failure.lock().get_or_insert_with(|| error.clone());
            return Err(Fatal::Store(error));
        }
        if self.failure.lock().take().is_some() {
            self.writable.notify_all();
        }
        self.stats.flushed();
        let mut flushed = self.flushed.lock();
        // A snapshot may have been installed meanwhile: then this says nothing about the new database.
        if flushed.generation == view.generation {
            flushed.index = flushed.index.max(view.head.applied_index);
        }
        Ok(flushed.index)
    }
}
