//! Checkpointing: signatures over the log, by a majority of its nodes, and what is proven with them.
//!
//! Where to start reading: [`commits`] for the entry that a checkpoint ends with; [`rounds`] for how a checkpoint comes about and
//! [`cosign`] for what a node signs; [`share`] for how the others learn of it; [`rotations`] for the checkpoints that prove new keys;
//! [`feeder`] for witnesses; [`prove`] and [`tiles`] for what callers ask.

pub mod checkpoints;
pub mod commits;
pub mod cosign;
pub mod cosigners;
pub mod feeder;
mod prove;
pub(in crate::core) mod rotations;
pub(in crate::core) mod rounds;
pub(in crate::core) mod share;
pub mod tally;
mod tiles;
pub mod witness;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use checkpoints::{Checkpoints, Signed};
use cosign::{Cosigned, Notes};
use cosigners::Cosigners;
use feeder::WitnessAnswers;

/// The tools of checkpointing. Its fields are used in this folder alone.
///
/// Locks, in the order in which they are taken:
///
/// 1. `cosigned`: held from before a root is computed until the signed size is on disk, so that a node cosigns one size at a
///    time;
/// 2. `heard_from`, and under it the newest set of nodes that was proven ([`super::membership`]);
/// 3. `cosigned_last`, `remembered_at` and the list in [`Checkpoints`]: each held for one look or one change.
pub(super) struct Checkpointing {
    /// The newest checkpoints.
    kept: Checkpoints,
    /// The keys whose signatures count.
    cosigners: Cosigners,
    /// The checkpoints that this node has cosigned; held while it cosigns.
    cosigned: tokio::sync::Mutex<Cosigned>,
    /// The same, for a look.
    cosigned_last: Mutex<Cosigned>,
    /// Where it is kept for good.
    notes: Arc<dyn Notes>,
    /// The size up to which the proofs of rotations are on disk.
    proved: AtomicU64,
    /// When a checkpoint was last written to disk.
    remembered_at: Mutex<Option<tokio::time::Instant>>,
    /// Checkpoints of peers that are being taken in.
    learning: Arc<Semaphore>,
    /// Peers that said what they know of this node.
    heard_from: Mutex<BTreeSet<u64>>,
    /// Those were enough.
    known: AtomicBool,
    /// The largest checkpoint that this node has given out; it has applied as much.
    covered: AtomicU64,
    /// The knowledge of the witnesses, before this log grows.
    asked: WitnessAnswers,
}

impl Checkpointing {
    pub(super) fn new(cosigners: Cosigners, cosigned: Cosigned, notes: Arc<dyn Notes>, asked: WitnessAnswers) -> Self {
        Self {
            kept: Checkpoints::default(),
            cosigners,
            cosigned: tokio::sync::Mutex::new(cosigned),
            cosigned_last: Mutex::new(cosigned),
            notes,
            proved: AtomicU64::new(0),
            remembered_at: Mutex::default(),
            learning: Arc::new(Semaphore::new(share::LEARNING_MAX)),
            heard_from: Mutex::default(),
            known: AtomicBool::new(false),
            covered: AtomicU64::new(0),
            asked,
        }
    }

    /// The newest checkpoint.
    pub(super) fn newest(&self) -> Option<Arc<Signed>> {
        self.kept.newest()
    }

    /// The files that are kept beside the Raft log.
    pub(super) fn notes(&self) -> &dyn Notes {
        &*self.notes
    }

    /// The knowledge of the witnesses, before this log grows.
    pub(super) fn asked(&self) -> &WitnessAnswers {
        &self.asked
    }
}
