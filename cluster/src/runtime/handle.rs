//! How the rest of a node talks to its replica.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender, TrySendError};
use parking_lot::Mutex;

use super::Queues;
use super::log_writer::LogTask;
use super::raft_thread::{Command, Proposal, ReplyOnce};
use super::status::{FsyncStats, Status};
use crate::core::{MemberChange, Members, MembersRefused};
use crate::identity::DiskClaim;
use crate::snapshot::Progress;

/// Called with the outcome of a proposal.
pub type ProposeDone<R> = Box<dyn FnOnce(Result<R, ProposeError>) + Send>;
/// Called with the outcome of a read.
pub type ReadDone = Box<dyn FnOnce(Result<u64, ReadError>) + Send>;
/// Called with the outcome of a change of the members.
pub type MembersDone = Box<dyn FnOnce(Result<Members, MembersError>) + Send>;
/// Called when a note is durable.
pub type NoteDone = Box<dyn FnOnce() + Send>;

/// Why a proposal has no reply.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProposeError {
    /// Nothing was proposed; ask the leader.
    #[error("this node does not lead; ask {}", leader.map_or("again when there is a leader".to_string(), |id| format!("node {id}")))]
    NotLeader {
        /// The leader, if known.
        leader: Option<u64>,
    },
    /// Leadership was lost before the outcome was known: it may or may not be committed. Propose again; the state
    /// machine must recognise what it has already.
    #[error("leadership changed before the outcome was known; propose it again")]
    Superseded,
    /// Nothing was proposed; try again later.
    #[error("too much is waiting; try again later")]
    Busy,
    /// The node is stopping; it may or may not be committed.
    #[error("the node is stopping; ask another one")]
    ShuttingDown,
}

/// Why a read can't be served here and now.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReadError {
    /// No leader confirmed it in time.
    #[error("no leader answered in time; try again, or ask another node")]
    NoLeader,
    /// Too many reads are waiting.
    #[error("too many reads are waiting; try again later")]
    Busy,
    /// The node is stopping.
    #[error("the node is stopping; ask another one")]
    ShuttingDown,
}

/// Why a change of the members has no outcome, or not the wanted one.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum MembersError {
    /// Nothing changed.
    #[error(transparent)]
    Refused(#[from] MembersRefused),
    /// Leadership was lost before the outcome was known: see [`Handle::status`] for what the members are now.
    #[error("leadership changed before the outcome was known; look at the members, then try again")]
    Superseded,
    /// The node is stopping; it may or may not change.
    #[error("the node is stopping; ask another one")]
    ShuttingDown,
}

/// State that threads and handles share.
pub(crate) struct Shared {
    pub status: ArcSwap<Status>,
    pub fsync: FsyncStats,
    pub notes: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    pub stopping: AtomicBool,
    /// Applied entries must not be acknowledged: see [`crate::core::Core::is_in_doubt`].
    pub in_doubt: AtomicBool,
    pub snapshot_dir: PathBuf,
    /// How far the snapshot worker is with what it fetches.
    pub fetched: Arc<Progress>,
}

/// A message of a peer, and the disk that it is from.
pub(crate) struct FromPeer {
    pub claim: Option<DiskClaim>,
    pub message: Vec<u8>,
}

/// To talk to a running replica; cheap to clone. No method waits.
pub struct Handle<R> {
    shared: Arc<Shared>,
    proposals: Sender<Proposal<R>>,
    messages: Sender<FromPeer>,
    commands: Sender<Command>,
    log: Sender<LogTask>,
    /// The other ends, for what is left when the replica stops.
    left: (Receiver<Proposal<R>>, Receiver<Command>),
}

/// Drops what waits in a queue; callbacks that are dropped say so themselves.
pub(crate) fn empty<T>(queue: &Receiver<T>) {
    while queue.try_recv().is_ok() {}
}

impl<R> Clone for Handle<R> {
    fn clone(&self) -> Self {
        Handle {
            shared: Arc::clone(&self.shared),
            proposals: self.proposals.clone(),
            messages: self.messages.clone(),
            commands: self.commands.clone(),
            log: self.log.clone(),
            left: self.left.clone(),
        }
    }
}

impl<R: Send + 'static> Handle<R> {
    pub(crate) fn new(shared: Arc<Shared>, queues: &Queues<R>) -> Self {
        Handle {
            shared,
            proposals: queues.proposals.0.clone(),
            messages: queues.messages.0.clone(),
            commands: queues.commands.0.clone(),
            log: queues.log.0.clone(),
            left: (queues.proposals.1.clone(), queues.commands.1.clone()),
        }
    }

    /// Proposes `data` (not empty), stamped `time_ms`. `done` is called once, on a thread of the replica and so must
    /// be quick: with the state machine's reply after commit and apply on this node, or with an error.
    pub fn propose(&self, data: Vec<u8>, time_ms: u64, done: ProposeDone<R>) {
        if self.is_stopping() {
            return done(Err(ProposeError::ShuttingDown));
        }
        let done = ReplyOnce::new(done, ProposeError::ShuttingDown);
        let proposal = Proposal { data, time_ms, done };
        match self.proposals.try_send(proposal) {
            Ok(()) => self.answer_if_stopping(),
            Err(TrySendError::Full(proposal)) => proposal.done.finish(Err(ProposeError::Busy)),
            // It is dropped, and says so itself.
            Err(TrySendError::Disconnected(_)) => {}
        }
    }

    /// Asks for a linearizable read on any node. `done` is called once, with the read index when the state machine of
    /// this node has applied at least all that was committed when this was called; quickly, as in [`Handle::propose`].
    pub fn read_index(&self, done: ReadDone) {
        if self.is_stopping() {
            return done(Err(ReadError::ShuttingDown));
        }
        let done = ReplyOnce::new(done, ReadError::ShuttingDown);
        match self.commands.try_send(Command::Read(done)) {
            Err(TrySendError::Full(Command::Read(done))) => done.finish(Err(ReadError::Busy)),
            _ => self.answer_if_stopping(),
        }
    }

    /// Changes the members of the group, if this node leads. `done` is called once: with the members as they are when
    /// the change is committed and applied on this node, or with an error; quickly, as in [`Handle::propose`]. A
    /// change of several members is joint: when its members say so, propose [`MemberChange::Leave`].
    pub fn propose_members(&self, change: MemberChange, done: MembersDone) {
        if self.is_stopping() {
            return done(Err(MembersError::ShuttingDown));
        }
        let done = ReplyOnce::new(done, MembersError::ShuttingDown);
        match self.commands.try_send(Command::Members(change, done)) {
            Err(TrySendError::Full(Command::Members(_, done))) => done.finish(Err(MembersRefused::Busy.into())),
            _ => self.answer_if_stopping(),
        }
    }

    /// A message that enters a queue after the Raft thread has emptied it for the last time would wait for ever.
    fn answer_if_stopping(&self) {
        if self.is_stopping() {
            empty(&self.left.0);
            empty(&self.left.1);
        }
    }

    /// Takes a message that a peer's [`crate::Transport::send`] sent, and that says nothing of the disk it comes from.
    /// `false` when it was dropped because too many are waiting; the algorithm copes.
    pub fn step(&self, message: Vec<u8>) -> bool {
        self.step_from(None, message)
    }

    /// As [`Handle::step`], with what the peer's [`crate::Transport::introduce`] was told.
    pub fn step_from(&self, claim: Option<DiskClaim>, message: Vec<u8>) -> bool {
        self.messages.try_send(FromPeer { claim, message }).is_ok()
    }

    /// The transport could not reach `peer`.
    pub fn report_unreachable(&self, peer: u64) {
        // When it doesn't fit, the next failure to send says it again.
        let _ = self.commands.try_send(Command::Unreachable(peer));
    }

    /// How the replica stands.
    pub fn status(&self) -> Arc<Status> {
        self.shared.status.load_full()
    }

    /// How long log writes take.
    pub fn fsync_stats(&self) -> &FsyncStats {
        &self.shared.fsync
    }

    /// Hands leadership to `peer`, if this node leads; watch [`Handle::status`] for the outcome.
    pub fn transfer_leader(&self, peer: u64) {
        let _ = self.commands.try_send(Command::TransferLeader(peer));
    }

    /// Starts an election now, without waiting for a timeout.
    pub fn campaign(&self) {
        let _ = self.commands.try_send(Command::Campaign);
    }

    /// Keeps a small value in the Raft log store, on this node only, for what must never be forgotten (such as what
    /// it has signed). `done` is called when it is durable. Waits when the log writer is behind.
    pub fn put_note(&self, key: Vec<u8>, value: Vec<u8>, done: NoteDone) {
        let note = LogTask::Note { key, value, done };
        if self.log.send(note).is_err() {
            tracing::warn!("a note came after the replica stopped");
        }
    }

    /// The durable value of a note.
    pub fn note(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.shared.notes.lock().get(key).cloned()
    }

    /// Tells whether this node must not give its state to others: nobody knows whether it is the right one.
    pub fn is_in_doubt(&self) -> bool {
        self.shared.in_doubt.load(Ordering::Acquire)
    }

    /// Where the transport finds a file of a snapshot that a peer asks for; see [`crate::snapshot::served_file`]. It gives
    /// nothing of it while [`Handle::is_in_doubt`].
    pub fn snapshot_file(&self, snapshot: &str, file: &str) -> Option<PathBuf> {
        crate::snapshot::served_file(&self.shared.snapshot_dir, snapshot, file)
    }

    /// Tells whether the replica is stopping.
    pub fn is_stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::Acquire)
    }

    /// Asks the threads to stop; see [`super::Runtime::shutdown`] to wait for them.
    pub fn shutdown(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        let _ = self.commands.try_send(Command::Wake);
    }
}
