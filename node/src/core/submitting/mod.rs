//! Submitting: from what a party sends to what is on record, through whichever node leads.
//!
//! Where to start reading: [`submit`] for a batch's way, [`authorize`] for that of a question, [`proposal`] for what both share: who
//! leads, and when to try again; [`again`] for what an author gets who may sign nothing any more; [`admission`] and [`requests`] for the checks before anyone else hears of it; [`packer`] for how
//! Raft entries are made of what waits in the [`lanes`].

pub mod admission;
mod again;
mod authorize;
pub mod inflight;
pub mod lanes;
pub mod lines;
pub mod packer;
pub(in crate::core) mod proposal;
pub mod requests;
mod submit;

use std::sync::Arc;

use sillage_ledger::{Party, Refusal};

use super::cpu::Cpu;
use admission::Admission;
use inflight::Inflight;
use lanes::Lanes;
use lines::Lines;

/// The tools of submitting. Its fields are used in this folder alone.
///
/// Locks, in the order in which they are taken:
///
/// 1. the place of one line in [`Lines`]: held from before a reading is pushed until its line is made;
/// 2. the map of those places; the state of the [`Lanes`], which the packer's thread takes as well; the quotas and the known keys
///    of [`Admission`]. Each is held for one look or one change.
pub(super) struct Submitting {
    /// Checks and seals what comes in.
    admission: Arc<Admission>,
    /// In front of the packer.
    lanes: Arc<Lanes>,
    /// Which lines of readings stand for a minute.
    lines: Lines,
    /// The bytes in work.
    inflight: Arc<Inflight>,
    /// For batches that come in.
    writing: Cpu,
}

impl Submitting {
    pub(super) fn new(admission: Admission, lanes: Arc<Lanes>, inflight: Arc<Inflight>, writing: Cpu) -> Self {
        Self { admission: Arc::new(admission), lanes, lines: Lines::default(), inflight, writing }
    }

    /// Counts events of a party.
    ///
    /// # Errors
    /// `QUOTA_EXCEEDED`: nothing was counted.
    pub(super) fn take_quota(&self, party: &Party, events: usize) -> Result<(), Refusal> {
        self.admission.take_quota(party, events)
    }

    /// Counts events that can't be refused any more: the party pays them off before it has others.
    pub(super) fn charge_quota(&self, party: &Party, events: usize) {
        self.admission.charge_quota(party, events);
    }

    /// How much waits for the packer.
    pub(super) fn waiting(&self) -> usize {
        self.lanes.len()
    }

    /// Tells whether anything that was taken on has no answer yet.
    pub(super) fn is_busy(&self) -> bool {
        self.inflight.bytes() > 0
    }

    /// Ends the packer once what waits is packed.
    pub(super) fn close(&self) {
        self.lanes.close();
    }
}
