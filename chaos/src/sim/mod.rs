//! A whole group of replicas in one thread, from one seed.
//!
//! The real core and the real log store of `sillage-cluster` run here over a simulated network (loss, delay,
//! reordering, repetition, partitions of both kinds), simulated disks behind a page cache (unsynced writes lost or torn
//! when power fails, seen again when only the process ends; failed syncs, slow ones, rot) and simulated clocks (skew,
//! jumps, lies). Members come and go. The state machine falls back to its last flush at a crash and replays
//! the Raft log. It is a small model, for many events, or the real `sillage-ledger` ([`Options::ledger`]).
//! [`crate::check`] watches all the time.
//!
//! After the faults a run limps for a while: a minority is dead or links stay cut, and one clock may be wrong. Records must
//! get through all the same. Only then everything is healed.
//!
//! [`run`] replays exactly: the same seed and options give the same run, so a failing seed is run once more with its
//! events written down. Where to start reading: `world` (events and time), then `replica` (what the threads of a real
//! replica do, here step by step), `faults`, `limp` (what stays broken while the group must go on), `disks` (what
//! is lost with a disk), `operator` and `replacing` (changes of
//! the members), `clients`; `ledger`, `model` and `real` (what is applied), `cosign` (checkpoints).

mod clients;
mod clock;
mod cosign;
mod disk;
mod disks;
mod faults;
mod ledger;
mod limp;
#[cfg(test)]
mod log_tests;
mod model;
mod operator;
mod real;
mod replacing;
mod replica;
#[cfg(test)]
mod tests;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use disk::{SimDisk, SimFile};

use crate::check::Violation;
use sillage_proof::hash::Hash;
use world::World;

/// A bug to plant, to see whether it is found: in the simulated driver, or in the replica itself behind its feature
/// `plants`.
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
    /// A start takes what it reads of its log for what is on its disk.
    UnsyncedTailTrusted,
    /// A start takes the members on record, and not the changes applied since.
    MembersForgotten,
    /// Nobody says which disk it is, and an emptied one starts anyway.
    NoIdentity,
    /// Nodes don't compare their states.
    DivergenceUnseen,
    /// A node takes and hands out committed entries however many wait to be applied.
    UnappliedUnbounded,
    /// A node cosigns the root that it is asked for, before it has applied as much.
    CosignBeforeApply,
    /// The tables of the ledger are flushed each for itself: the applied index isn't written at one moment with the rest.
    FlushedApart,
}

impl Plant {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Plant); 13] = [
        ("ack-before-sync", Plant::AckBeforeSync),
        ("vote-forgotten", Plant::VoteForgotten),
        ("no-dedupe", Plant::NoDedupe),
        ("stale-read", Plant::StaleRead),
        ("clock-wedge", Plant::ClockWedge),
        ("stamp-believed", Plant::StampBelieved),
        ("unsynced-tail-trusted", Plant::UnsyncedTailTrusted),
        ("members-forgotten", Plant::MembersForgotten),
        ("no-identity", Plant::NoIdentity),
        ("divergence-unseen", Plant::DivergenceUnseen),
        ("unapplied-unbounded", Plant::UnappliedUnbounded),
        ("cosign-before-apply", Plant::CosignBeforeApply),
        ("flushed-apart", Plant::FlushedApart),
    ];
}

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long faults happen, in simulated milliseconds; then the group limps, then all is healed and must recover.
    pub faults_ms: u64,
    /// A bug to plant.
    pub plant: Option<Plant>,
    /// The state machine is `sillage-ledger` itself, not the model.
    pub ledger: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { faults_ms: 10_000, plant: None, ledger: false }
    }
}

/// The events of a run without a violation.
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
    /// Crashes by power failure.
    pub crashes: u64,
    /// Ends of the process alone: killed, or by itself after a failed sync.
    pub kills: u64,
    /// Nodes that found rot in their log and stayed down.
    pub retired: u64,
    /// Nodes whose disk was emptied, put back or swapped, or that worked with other keys.
    pub suffered: u64,
    /// Of those, how many were refused at a start.
    pub refused: u64,
    /// Runs in which a node was put back unseen.
    pub unseen: u64,
    /// Of those, runs in which records were lost, and a node said so.
    pub bound_lost: u64,
    /// Changes of the members that were applied where they were proposed.
    pub member_changes: u64,
    /// Nodes whose disk was lost that another took the place of.
    pub replaced: u64,
    /// Checkpoints that a majority cosigned.
    pub cosigned: u64,
    /// Runs that had to go on with a node down or links cut.
    pub limped: u64,
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
