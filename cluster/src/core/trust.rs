//! Trust: whether what a peer says counts, and whether this node may go on.

use raft::eraftpb::{Message, MessageType};
use raft::{INVALID_ID, StateRole};

use super::actions::Outgoing;
use super::peers::{Disowned, Judgement, PeerFault};
use super::standing::{Compared, Split, Standing, State, Verdict};
use super::wire::{self, Wire};
use super::{Core, StepError};
use crate::identity::{DiskClaim, DiskRun};

impl Wire {
    /// The claimed sender.
    fn from(&self) -> u64 {
        match self {
            Wire::Raft(message) => message.from,
            Wire::Standing(standing) => standing.from,
            Wire::SnapshotStatus { from, .. }
            | Wire::Disowned { from, .. }
            | Wire::Stored { from, .. }
            | Wire::Split { from, .. } => *from,
        }
    }
}

impl Core {
    /// As [`Core::step`], with what the sender says of its disk; `None`: it says nothing.
    ///
    /// # Errors
    /// As [`Core::step`].
    pub fn step_from(&mut self, claim: Option<&DiskClaim>, message: &[u8]) -> Result<(), StepError> {
        if self.is_out() {
            return Err(StepError::Out);
        }
        let wire = wire::decode(message, self.config.max_message_bytes)?;
        let result = match self.admit(&wire, claim, message) {
            Ok(true) => self.take(wire),
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        self.settle();
        result
    }

    /// The run of a peer, asked for by [`super::Actions::store_peers`], is durable here. Messages that waited for it
    /// are taken.
    pub fn on_peer_stored(&mut self, peer: u64, run: DiskRun) {
        let held = self.peers.stored(peer, run);
        self.tell_stored(peer);
        for message in held {
            if self.is_out() {
                break;
            }
            // A refusal is the sender's business, as in `step`.
            if let Ok(wire) = wire::decode(&message, self.config.max_message_bytes) {
                let _ = self.take(wire);
            }
        }
        self.settle();
    }

    /// The state machine's digest after the entry at `index`.
    pub fn saw_state(&mut self, state: State) {
        for (peer, theirs, compared) in self.standings.saw_own(state) {
            self.judge_state(peer, theirs, compared);
        }
        self.settle();
    }

    /// Tells whether this node takes no part any more.
    pub fn is_out(&self) -> bool {
        self.forgot || self.disowned.is_some() || self.split.is_some() || self.divergence.verdict == Verdict::Own
    }

    /// Tells whether nothing that this node has applied may be acknowledged: it takes no part any more, or its state differs from
    /// a peer's and nobody knows who is right.
    pub fn is_in_doubt(&self) -> bool {
        self.is_out() || self.divergence.verdict == Verdict::Unknown
    }

    /// A leader in doubt lets the others lead, one after the other, and steps down where none can: the node that could tell
    /// who is right may hear them and not this one. Nothing is acknowledged meanwhile, so that nobody waits longer for it.
    pub(super) fn hand_over_in_doubt(&mut self) {
        if self.raw.raft.state != StateRole::Leader || self.divergence.verdict != Verdict::Unknown {
            self.in_doubt_since = None;
            return;
        }
        let patience = 2 * self.config.election_ticks as u64;
        let waited = self.ticks - *self.in_doubt_since.get_or_insert(self.ticks);
        if waited == 0 || !waited.is_multiple_of(patience) {
            return;
        }
        let own = self.config.id;
        let voters = self.members.now().members.voters.iter().copied().filter(|&id| id != own);
        match voters.collect::<Vec<_>>().get((waited / patience) as usize - 1) {
            Some(&next) => self.raw.transfer_leader(next),
            None => self.step_out(),
        }
    }

    /// Tells whether this node may not vote yet: its log is empty, and it hasn't met all founders. A log is founded by
    /// all of its first nodes together, so that each of them would know it if another one came back on an emptied disk to
    /// found it again.
    pub(super) fn is_founding(&self) -> bool {
        !self.unmet().is_empty()
    }

    /// The founders that this node hasn't met, while its log is empty: they and it must know each other's disks.
    pub(super) fn unmet(&self) -> Vec<u64> {
        if self.config.disk.is_none() || self.raw.raft.raft_log.last_index() > 0 {
            return Vec::new();
        }
        let knows = |id: &u64| *id == self.config.id || self.peers.is_met(*id);
        self.members.now().members.voters.iter().copied().filter(|id| !knows(id)).collect()
    }

    /// Tells whether this node must wait for the log that others have: its own is empty, and a peer has said that something is
    /// committed. An empty log that it helped to found now would be a second history.
    pub(super) fn waits_for_log(&self) -> bool {
        self.config.disk.is_some() && self.log_exists && self.raw.raft.raft_log.last_index() == 0
    }

    /// A tick for raft-rs, without the campaign that may come with it. It gives up a leader that went silent all the same, as
    /// a follower ignores candidates while it has one.
    pub(super) fn tick_without_campaign(&mut self) {
        let raft = &mut self.raw.raft;
        if raft.leader_id == INVALID_ID {
            return;
        }
        if raft.election_elapsed + 1 < self.election_timeout {
            self.raw.tick();
        } else {
            let term = raft.term;
            raft.become_follower(term, INVALID_ID);
        }
    }

    /// Tells whether a message counts now (`true`), waits (`false`) or never counts.
    fn admit(&mut self, wire: &Wire, claim: Option<&DiskClaim>, message: &[u8]) -> Result<bool, StepError> {
        let from = wire.from();
        if from == self.config.id || !self.may_be_member(from) {
            return Err(StepError::WrongPeer { from, to: self.config.id });
        }
        let (judgement, is_new) = self.peers.judge(from, claim, message);
        if let (true, Some(claim)) = (is_new, claim) {
            self.pending.store_peers.push((from, claim.run));
        }
        match judgement {
            Judgement::Take => Ok(true),
            Judgement::Hold => Ok(false),
            Judgement::Refuse(fault) => {
                self.tell_stranger(from, fault);
                Err(StepError::Stranger { from, fault })
            }
        }
    }

    fn take(&mut self, wire: Wire) -> Result<(), StepError> {
        match wire {
            Wire::Raft(message) => {
                let asks =
                    matches!(message.get_msg_type(), MessageType::MsgRequestVote | MessageType::MsgRequestPreVote);
                if asks && self.is_founding() {
                    return Err(StepError::Refused("this node hasn't met all founders yet".into()));
                }
                if asks && message.index == 0 && self.waits_for_log() {
                    return Err(StepError::Refused("there is a log, and the candidate doesn't have it".into()));
                }
                self.check_history(&message)?;
                self.step_raft(message)?;
            }
            Wire::SnapshotStatus { from, index, state } => self.step_transfer(from, index, state),
            Wire::Disowned { from, known } => self.hear_of_own_disk(from, known),
            Wire::Stored { from, run } => self.hear_of_stored(from, &run),
            Wire::Standing(standing) => self.compare(standing),
            Wire::Split { from, split } => self.hear_of_split(from, split),
        }
        Ok(())
    }

    fn tell_stranger(&mut self, peer: u64, fault: PeerFault) {
        let every = self.config.election_ticks as u64;
        if let (fault, Some(known)) = (fault, self.peers.known(peer))
            && !matches!(fault, PeerFault::Silent(_))
            && self.peers.is_to_be_told(peer, self.ticks, every)
        {
            let message = wire::encode_disowned(self.config.id, &known);
            self.pending.messages.push(Outgoing { to: peer, message });
        }
    }

    /// A peer has seen another run of this node.
    fn hear_of_own_disk(&mut self, by: u64, known: DiskRun) {
        let Some(own) = &self.config.disk else { return };
        if known != own.run && !own.follows(&known) {
            self.disowned.get_or_insert(Disowned { by, known });
            self.step_out();
        }
    }

    /// A peer has stored this run of this node.
    fn hear_of_stored(&mut self, by: u64, stored: &DiskRun) {
        let Some(own) = &mut self.config.disk else { return };
        if own.run == *stored {
            self.peers.has_stored(by);
        }
        if own.confirm(stored) {
            self.pending.store_starts = Some(own.clone());
        }
    }

    /// Tells a peer which run of it is stored here, where it knows this kind of message.
    fn tell_stored(&mut self, peer: u64) {
        if let Some(run) = self.peers.known(peer)
            && self.peers.says_starts(peer)
        {
            let message = wire::encode_stored(self.config.id, &run);
            self.pending.messages.push(Outgoing { to: peer, message });
        }
    }

    /// Tells the peers how far this node is, and which runs of them are stored here.
    pub(super) fn tell_standing(&mut self) {
        let raft = &self.raw.raft;
        let standing = Standing {
            from: self.config.id,
            term: raft.term,
            commit: raft.raft_log.committed,
            state: self.standings.newest(),
        };
        self.tell_all(&wire::encode_standing(&standing));
        self.peer_ids().into_iter().for_each(|peer| self.tell_stored(peer));
    }

    fn peer_ids(&self) -> Vec<u64> {
        let own = self.config.id;
        let mut peers: Vec<u64> = self.raw.raft.prs().iter().map(|(&id, _)| id).filter(|&id| id != own).collect();
        peers.sort_unstable();
        peers
    }

    fn tell_all(&mut self, message: &[u8]) {
        let messages = self.peer_ids().into_iter().map(|to| Outgoing { to, message: message.to_vec() });
        self.pending.messages.extend(messages);
    }

    fn compare(&mut self, standing: Standing) {
        let Standing { from, term, commit, state } = standing;
        self.log_exists |= commit > 0;
        if self.waits_for_log() && self.raw.raft.state != StateRole::Follower {
            self.step_out();
        }
        let raft = &self.raw.raft;
        let last = raft.raft_log.last_index();
        // A leader's log holds all that was committed in its term and before: what it lacks is lost.
        if raft.state == StateRole::Leader && term <= raft.term && commit > last {
            return self.found_split(Split { peer: from, from: last + 1, to: commit });
        }
        if let Some(compared) = self.standings.saw_peer(from, state) {
            self.judge_state(from, state, compared);
        }
        self.saw_told(from, state.index);
        self.offer_if_shared();
    }

    fn judge_state(&mut self, peer: u64, theirs: State, compared: Compared) {
        if compared == Compared::Term {
            return self.found_split(Split { peer, from: theirs.index, to: theirs.index });
        }
        let voters = self.members.now().members.voters.clone();
        let before = self.divergence.verdict;
        self.divergence = self.standings.divergence(self.config.id, &voters);
        if self.divergence.verdict == Verdict::Own && before != Verdict::Own {
            self.step_out();
        }
    }

    /// Refuses what no peer can say that holds all that was committed. raft-rs would panic.
    fn check_history(&mut self, message: &Message) -> Result<(), StepError> {
        let raft = &self.raw.raft;
        if message.term < raft.term {
            return Ok(());
        }
        let (last, committed) = (raft.raft_log.last_index(), raft.raft_log.committed);
        let split = match message.get_msg_type() {
            MessageType::MsgAppend => {
                let own = |index: u64| if index <= committed { self.raw.store().term_at(index) } else { None };
                let before = (message.index, message.log_term);
                let entries = message.entries.iter().map(|entry| (entry.index, entry.term));
                let mut told = std::iter::once(before).chain(entries);
                told.find(|&(index, term)| own(index).is_some_and(|own| own != term))
                    .map(|(index, _)| (index, committed))
            }
            MessageType::MsgAppendResponse if raft.state == StateRole::Leader && message.term == raft.term => {
                (!message.reject && message.index > last).then_some((last + 1, message.index))
            }
            _ => None,
        };
        match split {
            None => Ok(()),
            Some((from, to)) => {
                self.found_split(Split { peer: message.from, from, to });
                Err(StepError::Out)
            }
        }
    }

    /// Every node that can tell stops: nobody knows any more which acknowledged entries are lost.
    fn found_split(&mut self, split: Split) {
        if self.split.is_none() {
            self.split = Some(split);
            let message = wire::encode_split(self.config.id, &split);
            self.tell_all(&message);
            self.step_out();
        }
    }

    /// A peer says that its log lacks what was committed. That counts where this node has committed it.
    fn hear_of_split(&mut self, from: u64, told: Split) {
        let committed = self.raw.raft.raft_log.committed;
        if told.from <= committed && told.from > 0 && self.split.is_none() {
            self.found_split(Split { peer: from, from: told.from, to: committed });
        }
    }

    fn step_out(&mut self) {
        let term = self.raw.raft.term;
        self.raw.raft.become_follower(term, INVALID_ID);
    }
}
