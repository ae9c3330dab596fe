//! Erasing: what the authority ordered is sealed anew without it, and the keys that open older copies are given up.
//!
//! Where to start reading: [`erase`] for what the leader does; [`epochs`] for how a key-encryption key is replaced; [`survivors`] for
//! what is checked before one is destroyed; [`new_keys`] for all keys at once, after a node was removed.

pub(in crate::core) mod epochs;
pub(in crate::core) mod erase;
mod new_keys;
pub mod survivors;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use sillage_ledger::seal::{KekFile, Sealer};
use tokio::sync::Notify;
use tokio::time::Instant;

use survivors::HeldBack;

/// The tools of erasing. Its fields are used in this folder alone.
///
/// Locks: `notes`, `oldest`, `held_back` and `asked_for_log_key` are each held for one look or one change. The keyring locks itself, and writes its file under that lock: it is called on blocking threads alone.
pub(super) struct Erasing {
    /// The keyring.
    keks: Arc<KekFile>,
    sealer: Arc<Sealer>,
    /// Someone asked not to wait for the interval.
    now: AtomicBool,
    wake: Arc<Notify>,
    /// The obstacle of the last round, in plain words.
    notes: Mutex<Vec<String>>,
    /// The last word of the other nodes: the oldest epoch that they hold of each prefix. It only rises.
    oldest: Mutex<BTreeMap<u64, Vec<u32>>>,
    /// Old keys that this node mustn't destroy.
    held_back: Mutex<Vec<HeldBack>>,
    /// When the others were last asked for a key of the log that isn't here.
    asked_for_log_key: Mutex<Option<Instant>>,
}

impl Erasing {
    pub(super) fn new(keks: Arc<KekFile>, sealer: Arc<Sealer>) -> Self {
        let (notes, oldest, held_back, asked_for_log_key) = Default::default();
        let (now, wake) = (AtomicBool::new(false), Arc::default());
        Self { keks, sealer, now, wake, notes, oldest, held_back, asked_for_log_key }
    }

    /// The keyring, for who gives it on to another node of the group.
    pub(super) fn keks(&self) -> &KekFile {
        &self.keks
    }
}
