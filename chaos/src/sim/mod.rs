//! A whole group of replicas in one thread, from one seed.
//!
//! The real core and the real log store of `sillage-cluster` run here over a simulated network (loss, delay,
//! reordering, repetition, partitions of both kinds), simulated disks (unsynced writes lost or torn at a crash, slow
//! fsyncs) and simulated clocks (skew, jumps, lies). The state machine falls back to its last flush at a crash and replays
//! the Raft log. [`crate::check`] watches all the time.
//!
//! After the faults a run limps for a while: a minority is dead and one clock may be wrong, and records must get through all
//! the same. Only then everything is healed.
//!
//! [`run`] replays exactly: the same seed and options give the same run, so a failing seed is run once more with its
//! events written down. Where to start reading: `world` (events and time), then `replica` (what the threads of a real
//! replica do, here step by step), `faults`, `clients`.

mod clients;
mod clock;
mod disk;
mod faults;
mod ledger;
mod replica;
#[cfg(test)]
mod tests;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use disk::{SimDisk, SimFile};

use crate::check::Violation;
use sillage_proof::hash::Hash;
use world::World;

/// A bug to plant in the simulated driver, to see whether it is found. None of them exists in the replica itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// Messages leave, and entries count as durable, before they are.
    AckBeforeSync,
    /// Term and vote are not written.
    VoteForgotten,
    /// A record that its author sends again is recorded again.
    NoDedupe,
    /// Any node answers reads from what it has applied.
    StaleRead,
    /// A follower drops what is stamped ahead of its own clock, until it is committed.
    ClockWedge,
    /// Ledger time is what the leader stamps.
    StampBelieved,
}

impl Plant {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Plant); 6] = [
        ("ack-before-sync", Plant::AckBeforeSync),
        ("vote-forgotten", Plant::VoteForgotten),
        ("no-dedupe", Plant::NoDedupe),
        ("stale-read", Plant::StaleRead),
        ("clock-wedge", Plant::ClockWedge),
        ("stamp-believed", Plant::StampBelieved),
    ];
}

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long faults happen, in simulated milliseconds; then the group limps, then all is healed and must recover.
    pub faults_ms: u64,
    /// A bug to plant.
    pub plant: Option<Plant>,
}

impl Default for Options {
    fn default() -> Self {
        Options { faults_ms: 10_000, plant: None }
    }
}

/// What happened in a run without a violation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Replicas in the group.
    pub nodes: u64,
    /// Events handled.
    pub events: u64,
    /// Records acknowledged.
    pub acknowledged: u64,
    /// Reads served.
    pub reads: u64,
    /// Crashes.
    pub crashes: u64,
    /// Writes that a crash tore, seen at the next start.
    pub torn_writes: u64,
    /// Snapshots installed.
    pub installs: u64,
    /// Terms that had a leader.
    pub leaders: u64,
    /// Applied entries whose stamp was later than a majority of clocks allowed.
    pub stamps_cut: u64,
    /// Root of the log at the end; equal for equal seeds.
    pub root: Hash,
}

/// A run that broke a rule.
#[derive(Debug, thiserror::Error)]
#[error("seed {seed}: {what}\nlast events:\n{}", .events.join("\n"))]
pub struct Failure {
    /// Run it again with this.
    pub seed: u64,
    /// The rule, or the panic.
    pub what: String,
    /// The last events before it, oldest first.
    pub events: Vec<String>,
}

/// Runs one seed.
///
/// # Errors
/// The first violation, with the events that led to it.
pub fn run(seed: u64, options: &Options) -> Result<Report, Box<Failure>> {
    let mut world = World::new(seed, options, false);
    let Err(first) = attempt(&mut world) else {
        return Ok(world.report());
    };
    let mut again = World::new(seed, options, true);
    let what = match attempt(&mut again) {
        Err(second) if second == first => first,
        second => format!("{first} (and the second run of the same seed ended otherwise: {second:?})"),
    };
    Err(Box::new(Failure { seed, what, events: again.last_events() }))
}

fn attempt(world: &mut World) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(|| world.run())) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(violation)) => Err(Violation::to_string(&violation)),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Err(format!("a replica panicked: {}", text.unwrap_or_default()))
        }
    }
}
