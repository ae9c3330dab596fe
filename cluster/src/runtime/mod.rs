//! The threads around [`crate::core`], and the [`Handle`] to talk to them.
//!
//! ```text
//!   Handle ──▶ RAFT thread (raft_thread): owns the core, no I/O, never waits for another thread
//!                 ├─▶ transport: a leader's appends and heartbeats
//!                 ├─▶ LOG WRITER (log_writer): one write, one fsync, then "persisted", then the messages that promise
//!                 ├─▶ APPLY (apply): the state machine and its replies
//!                 └─▶ SNAPSHOT worker (snapshots): names what was made, fetches what is offered, removes what nobody needs
//! ```
//!
//! Every thread loops over `receive → typed event → handle`. Queues are bounded. The others may wait for the Raft
//! thread; it waits for none of them, so there is no circle: what doesn't fit their queues it keeps, and takes no new
//! proposals meanwhile.

mod apply;
mod handle;
mod log_writer;
mod outbox;
mod raft_thread;
mod snapshots;
mod status;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use crossbeam_channel::bounded;
use parking_lot::Mutex;

pub use handle::{Handle, MembersDone, MembersError, NoteDone, ProposeDone, ProposeError, ReadDone, ReadError};
pub use status::{FsyncStats, Status};

use crate::begin::{BeginError, begin_run};
use crate::config::NodeConfig;
use crate::core::{Core, CoreError, State};
use crate::identity::DiskError;
use crate::log::{LogError, LogStore, RealDisk, SegmentedLog};
use crate::machine::{StateMachine, Transport};
use handle::Shared;

/// Why a replica did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The Raft log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Log and state machine don't fit, or the settings are wrong.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// The disk must not take part.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The snapshot directory or a thread.
    #[error("could not prepare to run: {0}")]
    Io(#[from] io::Error),
}

/// A running replica; ends when dropped or shut down.
pub struct Runtime<R: Send + 'static> {
    handle: Handle<R>,
    threads: Vec<JoinHandle<()>>,
}

impl<R: Send + 'static> Runtime<R> {
    /// To talk to it.
    pub fn handle(&self) -> Handle<R> {
        self.handle.clone()
    }

    /// Stops the threads and waits for them. Committed entries that aren't applied yet are applied after the next
    /// start.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.handle.shutdown();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the replica had panicked");
            }
        }
    }
}

impl<R: Send + 'static> Drop for Runtime<R> {
    fn drop(&mut self) {
        self.stop();
    }
}

impl From<BeginError> for StartError {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Disk(error) => StartError::Disk(error),
            BeginError::Log(error) => StartError::Log(error),
        }
    }
}

/// Starts a replica.
///
/// # Errors
/// When its data can't or must not be used; see [`StartError`].
pub fn start<S: StateMachine, T: Transport>(
    mut config: NodeConfig,
    machine: S,
    transport: Arc<T>,
) -> Result<Runtime<S::Reply>, StartError> {
    let applied = machine.applied().0;
    let standing = snapshots::prepare_dir(&config.snapshot_dir, applied, machine.peers_hash_while_they_fetch())?;
    let disk = RealDisk::open(&config.log_dir).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => LogError::Locked,
        _ => LogError::Io(error),
    })?;
    let (mut log, found) = SegmentedLog::open(disk, config.core.id, config.log, machine.applied())?;
    if let Some(marker) = &config.marker {
        let (applied, may_begin) = (machine.applied().0, config.may_begin);
        let claim = begin_run(&mut log, &found, applied, &**marker, may_begin, &mut rand::random)?;
        tracing::info!(disk = %claim.run, "this disk takes part");
        transport.introduce(claim.clone());
        config.core.disk = Some(claim);
    }
    if found.torn_bytes > 0 {
        tracing::warn!(bytes = found.torn_bytes, "dropped a log write that a crash had cut short");
    }
    let logger = crate::trace::logger();
    let seed = rand::random();
    let (applied, applied_term) = machine.applied();
    let mut core = Core::new(&config.core, seed, found.recovered, (applied, applied_term), &logger)?;
    core.saw_state(State { index: applied, term: applied_term, digest: machine.digest() });
    if let Some(standing) = standing {
        core.on_snapshot_found(standing);
    }
    let queues = Queues::new(&config);
    let shared = Arc::new(Shared {
        status: ArcSwap::from_pointee(Status { core: core.status(), ..Status::default() }),
        fsync: FsyncStats::default(),
        notes: Mutex::new(log.notes().clone()),
        stopping: AtomicBool::new(false),
        in_doubt: AtomicBool::new(false),
        snapshot_dir: config.snapshot_dir.clone(),
        fetched: Arc::default(),
    });
    let handle = Handle::new(Arc::clone(&shared), &queues);
    let transport: Arc<dyn Transport> = transport;
    let threads = vec![
        spawn("raft", {
            let thread = raft_thread::RaftThread::new(
                core,
                config.clone(),
                Arc::clone(&shared),
                Arc::clone(&transport),
                &queues,
            );
            move || thread.run()
        })?,
        spawn("raft-log", {
            let writer = log_writer::LogWriter::new(
                log,
                config.max_write_bytes,
                Arc::clone(&shared),
                Arc::clone(&transport),
                &queues,
            );
            move || writer.run()
        })?,
        spawn("apply", {
            let (tasks, events) = (queues.apply.1.clone(), queues.events.0.clone());
            let shared = Arc::clone(&shared);
            move || apply::run(machine, tasks, events, &shared)
        })?,
        spawn("snapshot", {
            let worker = snapshots::Worker::new(
                config.snapshot_dir.clone(),
                Arc::clone(&transport),
                Arc::clone(&shared.fetched),
                &queues,
            );
            move || worker.run()
        })?,
    ];
    Ok(Runtime { handle, threads })
}

/// Both ends of every queue between the threads.
pub(crate) struct Queues<R> {
    pub proposals: Pair<raft_thread::Proposal<R>>,
    pub messages: Pair<handle::FromPeer>,
    pub commands: Pair<raft_thread::Command>,
    pub events: Pair<raft_thread::Event>,
    pub log: Pair<log_writer::LogTask>,
    pub apply: Pair<apply::ApplyTask<R>>,
    pub snapshots: Pair<snapshots::Task>,
}

pub(crate) type Pair<T> = (crossbeam_channel::Sender<T>, crossbeam_channel::Receiver<T>);

impl<R> Queues<R> {
    fn new(config: &NodeConfig) -> Self {
        Queues {
            proposals: bounded(config.max_waiting_proposals),
            messages: bounded(config.max_waiting_messages),
            commands: bounded(4096),
            events: bounded(256),
            log: bounded(256),
            apply: bounded(64),
            snapshots: bounded(8),
        }
    }
}

/// A thread of a replica: when it panics the process ends, because the others can't go on without it.
fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let name = name.to_string();
    std::thread::Builder::new().name(name.clone()).spawn(move || {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        if outcome.is_err() {
            fatal(&format!("thread {name} panicked"));
        }
    })
}

/// Ends the process at once: going on could break a promise.
pub(crate) fn fatal(reason: &str) -> ! {
    tracing::error!("{reason}; the process stops");
    eprintln!("sillage: {reason}; the process stops");
    std::process::abort()
}
