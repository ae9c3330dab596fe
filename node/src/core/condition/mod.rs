//! Condition: whether this node can be trusted, whether it can go on, and what it says of itself.
//!
//! Where to start reading: [`lookout`] for what is looked at all the time, [`alarms`] for what is said of it; [`corrupt`] and
//! [`trust`] for what stops a node for good; [`room`] and [`rot`] for its disk; [`status`] for what operators see.

pub mod alarms;
pub mod corrupt;
pub(in crate::core) mod lookout;
pub mod room;
pub mod rot;
mod status;
pub(in crate::core) mod trust;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use sillage_cluster::runtime::FsyncStats;
use sillage_ledger::Refusal;

use super::Core;
use super::checkpointing::cosign::Notes;
use crate::disk::FileMarker;
use corrupt::Corruption;
use room::DiskRoom;

/// The node's own condition, as far as it is known. Its fields are used in this folder alone.
///
/// Locks: `fsyncs_shown`, held while the histogram is brought up to the replica's counters.
pub(super) struct Condition {
    /// Why nothing that this node says can be trusted.
    corruption: Corruption,
    /// Which disk this is, kept outside the data folder.
    marker: Arc<FileMarker>,
    /// Of the disk.
    room: DiskRoom,
    /// Nothing more is applied here.
    halted: Arc<AtomicBool>,
    /// When the first of this node's certificates ends, in seconds since 1970.
    certificates_end_s: u64,
    /// How many log writes of each bucket the histogram has seen.
    fsyncs_shown: Mutex<[u64; FsyncStats::BUCKETS]>,
    /// It was told to stop, and may still serve.
    leaving: AtomicBool,
    stopping: AtomicBool,
}

impl Condition {
    pub(super) fn new(
        corruption: Corruption,
        (marker, room): (Arc<FileMarker>, DiskRoom),
        halted: Arc<AtomicBool>,
        certificates_end_s: u64,
    ) -> Self {
        let (leaving, stopping) = (AtomicBool::new(false), AtomicBool::new(false));
        let fsyncs_shown = Mutex::default();
        Self { corruption, marker, room, halted, certificates_end_s, fsyncs_shown, leaving, stopping }
    }

    /// Takes up a verdict that an earlier run left on disk; whether there was one.
    pub(super) fn resume(&self, notes: &dyn Notes) -> bool {
        self.corruption.resume(notes)
    }

    /// It is stopping from here on.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }
}

impl Core {
    /// Tells whether this node serves, and if not, why.
    ///
    /// # Errors
    /// `CORRUPT`.
    pub fn check_sound(&self) -> Result<(), Refusal> {
        self.condition.corruption.check()
    }

    /// Tells whether this node was told to stop.
    fn is_leaving(&self) -> bool {
        self.condition.leaving.load(Ordering::Acquire) || self.is_stopping()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.condition.stopping.load(Ordering::Acquire)
    }
}
