//! Room and turns for requests on the client port, before anything of them is read.

use std::sync::Arc;

use super::Core;
use super::bodies::Bodies;
use super::turns::Turns;
use crate::config::LimitsConfig;

/// Bounds what callers may keep in work. Each of the two has one lock, held for one look or one change; neither is taken under
/// the other.
pub(super) struct Intake {
    bodies: Arc<Bodies>,
    turns: Arc<Turns>,
}

impl Intake {
    /// One caller takes at most a quarter of the room, but its largest batch always fits.
    pub(super) fn new(limits: &LimitsConfig) -> Self {
        let one_batch = limits.request_bytes_max + (1 << 10);
        let room = limits.inflight_bytes_max;
        let (reads, writes) = (limits.reads_per_caller_max, limits.writes_per_caller_max);
        Self {
            bodies: Bodies::new(room.max(one_batch), (room / 4).max(one_batch)),
            turns: Turns::new(reads, writes, limits.waiting_per_caller_max),
        }
    }
}

impl Core {
    /// The room for requests on the client port.
    pub fn bodies(&self) -> &Arc<Bodies> {
        &self.intake.bodies
    }

    /// The turns of each caller's calls.
    pub fn turns(&self) -> &Arc<Turns> {
        &self.intake.turns
    }
}
