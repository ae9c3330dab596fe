//! The Raft thread: the only owner of the core. It does no I/O and waits for no other thread.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Select, Sender, bounded};

use super::apply::{ApplyTask, Entry};
use super::handle::{FromPeer, MembersError, ProposeError, ReadError, Shared, empty};
use super::log_writer::{InstallTurn, LogTask};
use super::outbox::Outbox;
use super::{Queues, fatal, snapshots};
use crate::config::NodeConfig;
use crate::core::{
    Actions, CommittedEntry, CompactWish, Core, MemberChange, Members, NotProposed, ProposalId, ReadId, SnapshotMade,
    State, WriteTask,
};
use crate::identity::{DiskRun, STARTS_NOTE, peer_note};
use crate::machine::Transport;
use crate::runtime::status::Status;

type Callback<T, E> = Box<dyn FnOnce(Result<T, E>) + Send>;

/// A callback that is called exactly once: with an error if it is dropped before.
pub(crate) struct ReplyOnce<T, E: Copy> {
    call: Option<Callback<T, E>>,
    if_dropped: E,
}

impl<T, E: Copy> ReplyOnce<T, E> {
    pub(crate) fn new(call: Callback<T, E>, if_dropped: E) -> Self {
        ReplyOnce { call: Some(call), if_dropped }
    }

    pub(crate) fn finish(mut self, result: Result<T, E>) {
        if let Some(call) = self.call.take() {
            call(result);
        }
    }
}

impl<T, E: Copy> Drop for ReplyOnce<T, E> {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            call(Err(self.if_dropped));
        }
    }
}

pub(crate) type Reply<R> = ReplyOnce<R, ProposeError>;
pub(crate) type MembersReply = ReplyOnce<Members, MembersError>;

/// Waits for a place in the log.
pub(crate) struct Proposal<R> {
    pub data: Vec<u8>,
    pub time_ms: u64,
    pub done: Reply<R>,
}

/// A request of a handle.
pub(crate) enum Command {
    Read(ReplyOnce<u64, ReadError>),
    Unreachable(u64),
    TransferLeader(u64),
    Members(MemberChange, MembersReply),
    Campaign,
    Wake,
}

/// A report of another thread.
pub(crate) enum Event {
    /// The write task of this number and all before it are durable.
    Persisted(u64),
    /// Applied up to `index`, with the state after each entry; `bytes` of entries less wait.
    Applied { index: u64, bytes: u64, states: Vec<State> },
    /// The state is a snapshot's.
    Installed(State),
    /// The highest run seen of a peer is durable.
    PeerStored(u64, DiskRun),
    /// The index up to which the state machine would keep its state at a crash.
    Flushed(u64),
    /// A state was written to a directory, to be named.
    Checkpointed { index: u64, term: u64, hash_first: bool },
    /// A snapshot can be offered, or could not be made.
    SnapshotMade(Option<SnapshotMade>),
    /// A snapshot's files are here and checked, or not.
    SnapshotFetched { index: u64, fetched: bool },
}

/// Most inputs of one kind taken before the outputs are looked at.
const ROUND: usize = 256;
/// Bytes of messages after which the outputs are looked at: what was taken counts in no bound before.
const ROUND_BYTES: usize = 4 << 20;

pub(crate) struct RaftThread<R> {
    core: Core,
    config: NodeConfig,
    shared: Arc<Shared>,
    transport: Arc<dyn Transport>,
    proposals: Receiver<Proposal<R>>,
    messages: Receiver<FromPeer>,
    commands: Receiver<Command>,
    events: Receiver<Event>,
    /// For what other threads are asked to report.
    events_in: Sender<Event>,
    log: Outbox<LogTask>,
    apply: Outbox<ApplyTask<R>>,
    snapshots: Outbox<snapshots::Task>,
    next_id: u64,
    replies: HashMap<ProposalId, Reply<R>>,
    members_replies: HashMap<ProposalId, MembersReply>,
    reads: HashMap<ReadId, ReplyOnce<u64, ReadError>>,
    unapplied_bytes: u64,
    messages_refused: u64,
    next_tick: Instant,
}

impl<R: Send + 'static> RaftThread<R> {
    pub(crate) fn new(
        core: Core,
        config: NodeConfig,
        shared: Arc<Shared>,
        transport: Arc<dyn Transport>,
        queues: &Queues<R>,
    ) -> Self {
        let tick = Duration::from_millis(config.tick_ms);
        RaftThread {
            core,
            config,
            shared,
            transport,
            proposals: queues.proposals.1.clone(),
            messages: queues.messages.1.clone(),
            commands: queues.commands.1.clone(),
            events: queues.events.1.clone(),
            events_in: queues.events.0.clone(),
            log: Outbox::new(queues.log.0.clone()),
            apply: Outbox::new(queues.apply.0.clone()),
            snapshots: Outbox::new(queues.snapshots.0.clone()),
            next_id: 0,
            replies: HashMap::new(),
            members_replies: HashMap::new(),
            reads: HashMap::new(),
            unapplied_bytes: 0,
            messages_refused: 0,
            next_tick: Instant::now() + tick,
        }
    }

    pub(crate) fn run(mut self) {
        while !self.shared.stopping.load(Ordering::Acquire) {
            self.wait();
            self.tick_if_due();
            self.take_inputs();
            self.put_outputs();
            self.publish();
        }
        self.stop();
    }

    /// Waits until there is something to do: an input, room in a queue that was full, or a tick.
    fn wait(&self) {
        let mut select = Select::new();
        select.recv(&self.events);
        select.recv(&self.messages);
        select.recv(&self.commands);
        if self.takes_proposals() {
            select.recv(&self.proposals);
        }
        if self.log.is_behind() {
            select.send(self.log.queue());
        }
        if self.apply.is_behind() {
            select.send(self.apply.queue());
        }
        if self.snapshots.is_behind() {
            select.send(self.snapshots.queue());
        }
        // A timeout is the tick.
        let _ = select.ready_deadline(self.next_tick);
    }

    fn tick_if_due(&mut self) {
        let now = Instant::now();
        if now < self.next_tick {
            return;
        }
        self.core.on_fetch_progress(self.shared.fetched.bytes());
        self.core.tick();
        // After a pause (a stopped process, a suspended machine) the missed ticks are not made up for: messages that
        // came meanwhile are to be seen before an election is called.
        self.next_tick = now + Duration::from_millis(self.config.tick_ms);
    }

    fn takes_proposals(&self) -> bool {
        let room = self.unapplied_bytes < self.config.core.max_unapplied_bytes;
        room && !self.log.is_behind() && !self.apply.is_behind()
    }

    fn take_inputs(&mut self) {
        self.log.flush();
        self.apply.flush();
        self.snapshots.flush();
        self.take_events();
        let mut bytes = 0;
        for _ in 0..ROUND {
            if bytes > ROUND_BYTES {
                break;
            }
            let Ok(FromPeer { claim, message }) = self.messages.try_recv() else {
                break;
            };
            bytes += message.len();
            // What this node said is on disk comes before a peer's answer to it.
            self.take_events();
            if let Err(error) = self.core.step_from(claim.as_ref(), &message) {
                self.messages_refused += 1;
                tracing::debug!(%error, "message refused");
            }
        }
        for _ in 0..ROUND {
            let Ok(command) = self.commands.try_recv() else {
                break;
            };
            self.take_command(command);
        }
        for _ in 0..ROUND {
            if !self.takes_proposals() {
                break;
            }
            let Ok(proposal) = self.proposals.try_recv() else {
                break;
            };
            self.take_proposal(proposal);
        }
    }

    fn take_events(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Persisted(number) => self.core.on_persisted(number),
                Event::Applied { index, bytes, states } => {
                    self.unapplied_bytes -= bytes;
                    self.core.on_applied(index);
                    states.into_iter().for_each(|state| self.core.saw_state(state));
                    self.show_doubt();
                }
                Event::Installed(state) => self.core.saw_state(state),
                Event::PeerStored(peer, run) => self.core.on_peer_stored(peer, run),
                Event::Flushed(index) => {
                    if let Some(compaction) = self.core.compact(index) {
                        self.log.push(LogTask::Compact(Box::new(compaction)));
                    }
                }
                Event::Checkpointed { index, term, hash_first } => {
                    self.snapshots.push(snapshots::Task::Made { index, term, hash_first });
                }
                Event::SnapshotMade(made) => self.core.on_snapshot_made(made),
                Event::SnapshotFetched { index, fetched } => {
                    self.core.on_fetch_progress(self.shared.fetched.bytes());
                    self.core.on_snapshot_fetched(index, fetched);
                }
            }
        }
    }

    fn take_command(&mut self, command: Command) {
        match command {
            Command::Read(done) => {
                let id = ReadId(self.fresh_id());
                self.reads.insert(id, done);
                self.core.read(id);
            }
            Command::Unreachable(peer) => self.core.report_unreachable(peer),
            Command::TransferLeader(peer) => self.core.transfer_leader(peer),
            Command::Members(change, done) => self.take_change(&change, done),
            Command::Campaign => self.core.campaign(),
            Command::Wake => {}
        }
    }

    fn take_proposal(&mut self, proposal: Proposal<R>) {
        let id = ProposalId(self.fresh_id());
        let done = proposal.done;
        match self.core.propose(id, proposal.data, proposal.time_ms) {
            Ok(_) => {
                self.replies.insert(id, done);
            }
            Err(NotProposed::NotLeader { leader }) => {
                done.finish(Err(ProposeError::NotLeader { leader }));
            }
            Err(NotProposed::Busy) => done.finish(Err(ProposeError::Busy)),
        }
    }

    /// The apply thread must know at once.
    fn show_doubt(&self) {
        self.shared.in_doubt.store(self.core.is_in_doubt(), Ordering::Release);
    }

    fn take_change(&mut self, change: &MemberChange, done: MembersReply) {
        let id = ProposalId(self.fresh_id());
        match self.core.propose_members(id, change) {
            Ok(_) => {
                self.members_replies.insert(id, done);
            }
            Err(refused) => done.finish(Err(refused.into())),
        }
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn put_outputs(&mut self) {
        loop {
            let actions = self.core.take_actions();
            if actions.is_empty() {
                return;
            }
            self.put(actions);
        }
    }

    fn put(&mut self, actions: Actions) {
        if let Some(error) = actions.fatal {
            fatal(&error.to_string());
        }
        for outgoing in actions.messages {
            self.transport.send(outgoing.to, outgoing.message);
        }
        if let Some(task) = actions.write {
            self.put_write(task);
        }
        if !actions.committed.is_empty() {
            self.put_committed(actions.committed);
        }
        for id in actions.superseded {
            if let Some(done) = self.replies.remove(&id) {
                done.finish(Err(ProposeError::Superseded));
            }
            if let Some(done) = self.members_replies.remove(&id) {
                done.finish(Err(MembersError::Superseded));
            }
        }
        for (id, index) in actions.reads_ready {
            if let Some(done) = self.reads.remove(&id) {
                done.finish(Ok(index));
            }
        }
        for id in actions.reads_failed {
            if let Some(done) = self.reads.remove(&id) {
                done.finish(Err(ReadError::NoLeader));
            }
        }
        if let Some(wish) = actions.compact {
            let force = wish == CompactWish::Flush;
            self.apply.push(ApplyTask::Flush { force });
        }
        if actions.make_snapshot {
            let dir = snapshots::making_dir(&self.config.snapshot_dir);
            self.apply.push(ApplyTask::Checkpoint { dir });
        }
        for (peer, run) in actions.store_peers {
            let events = self.events_in.clone();
            // If nobody listens, the node is stopping.
            let done = Box::new(move || drop(events.send(Event::PeerStored(peer, run))));
            self.log.push(LogTask::Note { key: peer_note(peer), value: run.encode().to_vec(), done });
        }
        if let Some(claim) = actions.store_starts {
            let value = claim.encode_starts();
            self.log.push(LogTask::Note { key: STARTS_NOTE.to_vec(), value, done: Box::new(|| ()) });
            self.transport.introduce(claim);
        }
        for (index, term) in actions.release_snapshots {
            self.snapshots.push(snapshots::Task::Release { index, term });
        }
        if let Some(fetch) = actions.fetch_snapshot {
            self.snapshots.push(snapshots::Task::Fetch(fetch));
        }
    }

    /// An installation meets in two queues: the log writer notes that it begins, then the apply thread replaces the
    /// state (after all that was committed before), then the log begins anew.
    fn put_write(&mut self, task: WriteTask) {
        let turn = task.install.as_ref().map(|install| {
            let (go, wait) = bounded(1);
            let (installed, wait_installed) = bounded(1);
            let dir: PathBuf = snapshots::received_dir(&self.config.snapshot_dir, install.index, install.term);
            self.apply.push(ApplyTask::Install { dir, expect: (install.index, install.term), go: wait, installed });
            InstallTurn { go, installed: wait_installed }
        });
        self.log.push(LogTask::Write { task: Box::new(task), turn });
    }

    fn put_committed(&mut self, committed: Vec<CommittedEntry>) {
        let entries: Vec<Entry<R>> = committed
            .into_iter()
            .map(|entry| Entry {
                reply: entry.proposal.and_then(|id| self.replies.remove(&id)),
                members_reply: entry.proposal.and_then(|id| self.members_replies.remove(&id)),
                entry,
            })
            .collect();
        self.unapplied_bytes += entries.iter().map(Entry::bytes).sum::<u64>();
        self.apply.push(ApplyTask::Entries(entries));
    }

    fn publish(&self) {
        self.show_doubt();
        let status = Status {
            core: self.core.status(),
            messages_refused: self.messages_refused,
            unapplied_bytes: self.unapplied_bytes,
            proposals_pending: self.replies.len() as u64,
            reads_pending: self.reads.len() as u64,
        };
        if **self.shared.status.load() != status {
            self.shared.status.store(Arc::new(status));
        }
    }

    /// Lets go of everything, then tells the others to end. Callbacks that are dropped say so themselves.
    fn stop(self) {
        let RaftThread { events, log, apply, snapshots, proposals, commands, .. } = self;
        // Nobody may wait for this thread any more, nor for what it kept: the log writer may, for an installation.
        drop(events);
        let (log, apply, snapshots) = (log.close(), apply.close(), snapshots.close());
        let _ = log.send(LogTask::Stop);
        let _ = apply.send(ApplyTask::Stop);
        let _ = snapshots.send(snapshots::Task::Stop);
        empty(&proposals);
        empty(&commands);
    }
}
