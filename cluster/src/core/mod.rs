//! The algorithm without I/O: inputs are method calls, outputs are [`Actions`].
//!
//! A driver (the threads of [`crate::runtime`], or the simulator) calls inputs, then takes actions until there are
//! none. It must do what they say in the order they came; [`WriteTask`] states what has to wait for the disk.
//!
//! Architecture invariant: the same inputs from the same seed give the same actions. raft-rs draws its election
//! timeouts from the thread's generator; [`Core`] overrides each draw with one of its own.

mod actions;
mod change;
mod errors;
mod members;
mod memlog;
mod offers;
mod peers;
mod reads;
mod standing;
#[cfg(test)]
mod tests;
mod trust;
#[cfg(test)]
mod trust_tests;
mod watch;
pub(crate) mod wire;

use std::collections::{BTreeMap, HashMap};

use raft::eraftpb::{ConfState, Entry, HardState, Message, MessageType};
use raft::{RawNode, Ready, StateRole};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub use actions::{
    Actions, CommittedEntry, CompactWish, Compaction, CoreStatus, FetchSnapshot, Install, Outgoing, PeerProgress,
    ProposalId, ReadId, Role, SnapshotMade, WriteTask,
};
use errors::checked_hard_state;
pub use errors::{CoreError, NotProposed, StepError};
use members::MemberBook;
pub use members::{MemberChange, Members, MembersAt, MembersRefused};
pub use raft::eraftpb;

use crate::config::CoreConfig;
use crate::identity::DiskRun;
use memlog::{MemLog, entry_time_ms};
use offers::{FetchWatch, Offers};
use peers::Peers;
pub use peers::{Disowned, PeerFault};
use reads::Reads;
use standing::Standings;
pub use standing::{Digest, Divergence, Split, State, Verdict};
use wire::Transfer;
pub use wire::{open_stamp_of, sender_of};

/// Upper end of raft-rs' own draw of an election timeout, so far away that its draws are never mistaken for ours.
const FOREIGN_DRAW: usize = 1 << 40;

/// The log is cut even where a lively peer still needs it when it is this many times above its cap.
const LOG_HARD_MAX: u64 = 4;

/// The content of the disk log at start.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// Term, vote and commit as last written.
    pub hard_state: HardState,
    /// Members, if the log has any on record; changes after their index are among the entries.
    pub members: Option<MembersAt>,
    /// (index, term) of the entry before the first one.
    pub mark: (u64, u64),
    /// All entries after the mark.
    pub entries: Vec<Entry>,
    /// The highest run seen of each peer.
    pub peers: BTreeMap<u64, DiskRun>,
}

/// One replica's share of the algorithm.
pub struct Core {
    raw: RawNode<MemLog>,
    config: CoreConfig,
    rng: ChaCha8Rng,
    /// Our last draw of the election timeout.
    election_timeout: usize,
    ticks: u64,
    /// Index of the last committed entry that was handed out.
    handed_out: u64,
    reads: Reads,
    /// This node's proposals that are not committed: index → (term, id).
    proposals: BTreeMap<u64, (u64, ProposalId)>,
    /// True if a leader has sent entries or a snapshot since the start, or since the last fetch ended.
    heard: bool,
    /// True if a peer has said that something is committed.
    log_exists: bool,
    forgot: bool,
    /// The offer of a snapshot that is being fetched.
    fetching: Option<Box<Message>>,
    /// How that goes.
    fetch: FetchWatch,
    /// The bytes that the driver counted of it.
    fetch_bytes: u64,
    /// A snapshot being installed. Until it is, this node must not campaign: raft-rs would look for the entries between
    /// the applied index and the snapshot's, which are gone.
    installing: Option<Installing>,
    /// The driver is making a snapshot, of this index or a later one.
    making: Option<u64>,
    /// Snapshots made here.
    offers: Offers,
    /// True if the driver owes an answer to a [`CompactWish`].
    compacting: bool,
    /// Peers in snapshot state.
    transfers: HashMap<u64, Sending>,
    /// The members of the group, as of each index that a snapshot or the log's mark may have.
    members: MemberBook,
    /// Members to write with the next task.
    found: Option<MembersAt>,
    /// Peer → tick when it was heard of last.
    heard_at: HashMap<u64, u64>,
    /// The peers, and which of their messages count.
    peers: Peers,
    /// How this node's state stands beside its peers'.
    standings: Standings,
    disowned: Option<Disowned>,
    divergence: Divergence,
    /// The tick since when this node leads in doubt.
    in_doubt_since: Option<u64>,
    split: Option<Split>,
    /// The work that inputs left besides raft-rs' own.
    pending: Actions,
}

/// A snapshot on its way to a peer.
#[derive(Clone, Copy, Debug)]
struct Sending {
    index: u64,
    /// Tick of the last progress.
    tick: u64,
}

/// See [`Core::installing`].
#[derive(Clone, Copy, Debug)]
struct Installing {
    /// Number of the write task.
    task: u64,
    index: u64,
    /// Tick at which it began.
    since: u64,
}

impl Core {
    /// Starts from what the disk holds. `applied` is the state machine's (index, term); `seed` feeds the election
    /// timeouts and must differ between nodes and starts.
    ///
    /// # Errors
    /// When log and state machine don't fit each other; see [`CoreError`].
    pub fn new(
        config: &CoreConfig,
        seed: u64,
        recovered: Recovered,
        applied: (u64, u64),
        logger: &slog::Logger,
    ) -> Result<Self, CoreError> {
        let found = recovered.members.is_none();
        let members = recovered.members.unwrap_or_else(|| founders(config));
        let conf_state = ConfState::from(&members.members);
        let mut log = MemLog::new(HardState::default(), conf_state, recovered.mark, recovered.entries);
        let hard_state = checked_hard_state(&log, recovered.hard_state, applied)?;
        log.set_hard_state(hard_state);
        let raft_config = raft::Config {
            id: config.id,
            election_tick: config.election_ticks,
            heartbeat_tick: config.heartbeat_ticks,
            min_election_tick: config.election_ticks,
            max_election_tick: FOREIGN_DRAW,
            applied: applied.0,
            max_size_per_msg: config.max_size_per_msg,
            max_inflight_msgs: config.max_inflight_msgs,
            max_uncommitted_size: config.max_uncommitted_size,
            max_committed_size_per_ready: config.max_committed_size_per_ready,
            check_quorum: true,
            pre_vote: true,
            read_only_option: raft::ReadOnlyOption::Safe,
            ..raft::Config::default()
        };
        let raw = RawNode::new(&raft_config, log, logger).map_err(|error| CoreError::Config(error.to_string()))?;
        let mut core = Core {
            raw,
            config: config.clone(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            election_timeout: 0,
            ticks: 0,
            handed_out: applied.0,
            reads: Reads::new(config.id, seed),
            proposals: BTreeMap::new(),
            heard: false,
            log_exists: false,
            forgot: false,
            fetching: None,
            fetch: FetchWatch::default(),
            fetch_bytes: 0,
            installing: None,
            making: None,
            offers: Offers::default(),
            compacting: false,
            transfers: HashMap::new(),
            found: found.then(|| members.clone()),
            members: MemberBook::new(members),
            heard_at: HashMap::new(),
            peers: Peers::new(recovered.peers),
            standings: Standings::default(),
            disowned: None,
            divergence: Divergence::default(),
            in_doubt_since: None,
            split: None,
            pending: Actions::default(),
        };
        core.replay_members(applied.0)?;
        core.settle();
        Ok(core)
    }

    /// A tick of the clock passed.
    pub fn tick(&mut self) {
        self.ticks += 1;
        if self.is_out() {
            let failed = self.reads.on_tick(self.ticks, self.config.read_retry_ticks, self.config.read_timeout_ticks);
            self.pending.reads_failed.extend(failed);
            self.watch_snapshots();
            return self.settle();
        }
        let founding = self.is_founding();
        if self.installing.is_none() && !founding {
            match self.waits_for_log() {
                true => self.tick_without_campaign(),
                false => drop(self.raw.tick()),
            }
        }
        self.hand_over_in_doubt();
        self.watch_transfers();
        self.watch_snapshots();
        if self.ticks.is_multiple_of(self.config.election_ticks as u64) {
            self.tell_progress();
            self.tell_standing();
        } else if founding {
            self.tell_standing();
        }
        let failed = self.reads.on_tick(self.ticks, self.config.read_retry_ticks, self.config.read_timeout_ticks);
        self.pending.reads_failed.extend(failed);
        self.wish_compaction();
        self.settle();
    }

    /// A message came from a peer. No clock has a say in what is taken: the last argument is not looked at.
    ///
    /// # Errors
    /// When the message is not taken. That is never this node's fault, and never fatal: count it and go on.
    pub fn step(&mut self, message: &[u8], _now_ms: u64) -> Result<(), StepError> {
        self.step_from(None, message)
    }

    /// Proposes `data` (not empty), stamped with `time_ms`: it travels with the entry, and nothing here looks at it.
    /// Returns the (term, index) it will have if it is committed; the outcome comes as
    /// [`CommittedEntry::proposal`] or [`Actions::superseded`].
    ///
    /// # Errors
    /// When this node can't take it; nothing was proposed then.
    pub fn propose(&mut self, id: ProposalId, data: Vec<u8>, time_ms: u64) -> Result<(u64, u64), NotProposed> {
        assert!(!data.is_empty(), "empty entries are the algorithm's own");
        if self.raw.raft.state != StateRole::Leader {
            return Err(NotProposed::NotLeader { leader: self.leader() });
        }
        if self.is_in_doubt() {
            return Err(NotProposed::Busy);
        }
        self.raw.propose(time_ms.to_be_bytes().to_vec(), data).map_err(|_| NotProposed::Busy)?;
        let place = (self.raw.raft.term, self.raw.raft.raft_log.last_index());
        self.proposals.insert(place.1, (place.0, id));
        self.settle();
        Ok(place)
    }

    /// Asks for a read: the state applied when the answer comes holds all that was committed when this was called,
    /// on any node.
    pub fn read(&mut self, id: ReadId) {
        self.reads.add(id, self.ticks);
    }

    /// The write task `number` and all before it are durable.
    pub fn on_persisted(&mut self, number: u64) {
        self.raw.on_persist_ready(number);
        if let Some(done) = self.installing.take_if(|installing| number >= installing.task) {
            self.on_applied(done.index);
        }
        self.settle();
    }

    /// The state machine has applied everything up to `index`.
    pub fn on_applied(&mut self, index: u64) {
        if index > self.raw.raft.raft_log.applied {
            self.raw.advance_apply_to(index);
        }
        let ready = self.reads.ready(self.raw.raft.raft_log.applied);
        self.pending.reads_ready.extend(ready);
        self.settle();
    }

    /// The files asked for by [`Actions::fetch_snapshot`] are here, checked and durable; or not.
    pub fn on_snapshot_fetched(&mut self, index: u64, fetched: bool) {
        let Some(offer) = self.fetching.take_if(|offer| offer.get_snapshot().get_metadata().index == index) else {
            return;
        };
        // A leader that came meanwhile may wait for its own offer.
        self.heard = false;
        self.fetch_ends();
        // In doubt, this node keeps its own state: it may be the right one.
        if fetched && !self.is_in_doubt() {
            // A refusal only means that the leader is gone; a new one offers again.
            let _ = self.raw.step(*offer);
        } else {
            self.tell_transfer(offer.from, index, Transfer::Failed);
        }
        self.settle();
    }

    /// A message to `peer` could not be sent.
    pub fn report_unreachable(&mut self, peer: u64) {
        self.raw.report_unreachable(peer);
        self.settle();
    }

    /// Starts an election now.
    pub fn campaign(&mut self) {
        let may = !self.is_out() && !self.is_founding() && !self.waits_for_log();
        if self.installing.is_none() && self.raw.raft.promotable() && may {
            let _ = self.raw.campaign();
        }
        self.settle();
    }

    /// Hands leadership to `peer`, if this node leads and the peer keeps up; otherwise nothing happens.
    pub fn transfer_leader(&mut self, peer: u64) {
        if self.raw.raft.state == StateRole::Leader {
            self.raw.transfer_leader(peer);
            self.settle();
        }
    }

    /// Answers [`Actions::compact`]: drops entries that the state machine has flushed, keeping a tail. Returns up to
    /// where the disk log may be dropped too.
    pub fn compact(&mut self, flushed: u64) -> Option<Compaction> {
        self.compacting = false;
        let mut limit = flushed.min(self.raw.raft.raft_log.applied);
        let bytes = self.raw.store().bytes();
        if let Some(needed) = self.needed_by_peers()
            && bytes <= self.config.log_max_bytes.saturating_mul(LOG_HARD_MAX)
        {
            limit = limit.min(needed);
        }
        let keep = self.config.log_keep_bytes;
        let index = self.raw.store().compactable(limit, keep)?;
        let (index, term) = self.raw.mut_store().compact(index);
        self.members.forget_before(index);
        Some(Compaction { index, term, members: self.members.as_of(index).clone() })
    }

    /// Takes what there is to do; call it until [`Actions::is_empty`].
    pub fn take_actions(&mut self) -> Actions {
        if self.reads.has_waiting() && self.leader().is_some() {
            let context = self.reads.ask(self.ticks);
            self.raw.read_index(context);
        }
        self.withdraw_in_doubt();
        let mut actions = std::mem::take(&mut self.pending);
        self.raw.store().set_room(self.room());
        if self.raw.has_ready() {
            let ready = self.raw.ready();
            self.take_ready(ready, &mut actions);
        }
        if self.raw.store().take_wanted() && self.should_make_snapshot() {
            self.see_needs();
            self.making = Some(self.raw.raft.raft_log.applied);
            actions.make_snapshot = true;
        }
        actions
    }

    /// How things stand.
    pub fn status(&self) -> CoreStatus {
        let raft = &self.raw.raft;
        let MembersAt { index, highest_id, members } = self.members.now().clone();
        CoreStatus {
            id: self.config.id,
            leader: self.leader(),
            role: self.role().0,
            term: raft.term,
            commit: raft.raft_log.committed,
            applied: raft.raft_log.applied,
            log_first: self.raw.store().first(),
            log_last: raft.raft_log.last_index(),
            log_bytes: self.raw.store().bytes(),
            forgot: self.forgot,
            voters: members.voters,
            voters_outgoing: members.voters_outgoing,
            learners: members.learners,
            learners_next: members.learners_next,
            members_index: index,
            highest_id,
            peers: self.peers(),
            disowned: self.disowned,
            strangers: self.peers.faults(),
            divergence: self.divergence.clone(),
            split: self.split,
            unmet: self.unmet(),
        }
    }

    /// Role and term.
    pub fn role(&self) -> (Role, u64) {
        let role = match self.raw.raft.state {
            StateRole::Follower => Role::Follower,
            StateRole::PreCandidate => Role::PreCandidate,
            StateRole::Candidate => Role::Candidate,
            StateRole::Leader => Role::Leader,
        };
        (role, self.raw.raft.term)
    }

    /// The leader that this node knows of.
    pub fn leader(&self) -> Option<u64> {
        Some(self.raw.raft.leader_id).filter(|&id| id != raft::INVALID_ID)
    }

    fn step_raft(&mut self, message: Box<Message>) -> Result<(), StepError> {
        if message.to != self.config.id || message.from == self.config.id || !self.may_be_member(message.from) {
            return Err(StepError::WrongPeer { from: message.from, to: message.to });
        }
        self.note_heard(&message);
        self.check_room(&message)?;
        self.heard |= matches!(message.get_msg_type(), MessageType::MsgAppend | MessageType::MsgSnapshot);
        if message.get_msg_type() == MessageType::MsgSnapshot && self.wants_files(&message) {
            return Ok(());
        }
        if message.get_msg_type() == MessageType::MsgAppend && self.joins() {
            self.ask_for_snapshot(message.from);
            return Ok(());
        }
        if message.get_msg_type() == MessageType::MsgTimeoutNow && self.installing.is_some() {
            return Err(StepError::Refused("a snapshot is being installed".into()));
        }
        // A heartbeat never goes beyond what its receiver has acknowledged; raft-rs would panic.
        let last_index = self.raw.raft.raft_log.last_index();
        let heartbeat = message.get_msg_type() == MessageType::MsgHeartbeat && message.term >= self.raw.raft.term;
        if heartbeat && message.commit > last_index {
            self.forgot = true;
            let reason = format!("it acknowledged entry {} and has {last_index}: entries were lost", message.commit);
            return Err(StepError::Refused(reason));
        }
        self.raw.step(*message).map_err(|error| StepError::Refused(error.to_string()))
    }

    /// After every input: our own election timeout in place of raft-rs', and no promise kept for lost leadership.
    fn settle(&mut self) {
        if self.raw.raft.randomized_election_timeout() != self.election_timeout {
            let base = self.config.election_ticks;
            self.election_timeout = self.rng.random_range(base..2 * base);
            self.raw.raft.set_randomized_election_timeout(self.election_timeout);
        }
        let term = self.raw.raft.term;
        let leads = self.raw.raft.state == StateRole::Leader;
        if !self.proposals.is_empty() {
            let superseded = &mut self.pending.superseded;
            self.proposals.retain(|_, &mut (proposed, id)| {
                let keep = leads && proposed == term;
                if !keep {
                    superseded.push(id);
                }
                keep
            });
        }
    }

    fn take_ready(&mut self, mut ready: Ready, actions: &mut Actions) {
        let mut messages = ready.take_messages();
        if self.is_in_doubt() {
            messages.retain(|message| message.get_msg_type() != MessageType::MsgSnapshot);
        }
        actions.messages.extend(outgoing(self.config.id, messages));
        let mut task = WriteTask {
            number: ready.number(),
            hard_state: ready.hs().cloned(),
            must_sync: ready.must_sync(),
            messages: outgoing(self.config.id, ready.take_persisted_messages()),
            ..WriteTask::default()
        };
        if !ready.snapshot().is_empty() {
            let metadata = ready.snapshot().get_metadata();
            let (index, term) = (metadata.index, metadata.term);
            let conf_state = metadata.get_conf_state().clone();
            self.raw.mut_store().reset(index, term);
            self.members.reset(index, Members::from(&conf_state));
            self.handed_out = index;
            self.installing = Some(Installing { task: ready.number(), index, since: self.ticks });
            task.install = Some(Install { index, term, conf_state });
        }
        task.entries = ready.take_entries();
        self.raw.mut_store().append(&task.entries);
        for state in ready.take_read_states() {
            self.reads.answered(&state.request_ctx, state.index);
        }
        let committed = ready.take_committed_entries();
        self.raw.advance_append_async(ready);
        for entry in committed {
            match self.take_committed(entry) {
                Ok(entry) => {
                    self.handed_out = entry.index;
                    actions.committed.push(entry);
                }
                Err(error) => {
                    actions.fatal = Some(error);
                    break;
                }
            }
        }
        if task.must_sync {
            task.members = self.found.take();
        }
        if task.must_sync || task.hard_state.is_some() || !task.messages.is_empty() {
            actions.write = Some(task);
        }
        let applied = self.raw.raft.raft_log.applied;
        actions.reads_ready.extend(self.reads.ready(applied));
    }

    fn take_committed(&mut self, entry: Entry) -> Result<CommittedEntry, CoreError> {
        let mut out = CommittedEntry {
            index: entry.index,
            term: entry.term,
            time_ms: entry_time_ms(&entry),
            data: Vec::new(),
            proposal: None,
            members: None,
        };
        match change::change_of(&entry)? {
            None => out.data = entry.data,
            Some(change) => out.members = Some(self.apply_members(entry.index, &change)?.clone()),
        }
        if let Some((term, id)) = self.proposals.remove(&entry.index) {
            if term == entry.term {
                out.proposal = Some(id);
            } else {
                self.pending.superseded.push(id);
            }
        }
        Ok(out)
    }
}

/// The members before anything is in the log. A node that isn't among the first knows of none: who they are by now
/// comes with its first snapshot.
fn founders(config: &CoreConfig) -> MembersAt {
    let founds = config.voters.contains(&config.id);
    let voters = if founds { &config.voters[..] } else { &[] };
    MembersAt::new(0, Members::of_voters(voters))
}

/// The messages that node `id` sends. raft-rs passes a peer's read on to the leader in the peer's name: but a message counts as of the disk
/// that it comes from, so nobody speaks for another. The peer asks again itself.
fn outgoing(id: u64, messages: Vec<Message>) -> Vec<Outgoing> {
    let own = messages.iter().filter(|message| message.from == id);
    own.map(|message| Outgoing { to: message.to, message: wire::encode_raft(message) }).collect()
}
