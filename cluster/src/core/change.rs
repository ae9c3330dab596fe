//! Changes of the members: proposed, taken in when they are committed, and what a newcomer needs.

use prost_011::Message as _;
use raft::eraftpb::{ConfChange, ConfChangeSingle, ConfChangeV2, Entry, EntryType, Message, MessageType};
use raft::{ProgressState, StateRole};

use super::actions::Outgoing;
use super::members::{Known, MemberChange, Members, MembersAt, MembersRefused, plan};
use super::wire::{self, Transfer};
use super::{Core, CoreError, PeerProgress, ProposalId};

impl Known for Core {
    fn leader(&self) -> u64 {
        self.config.id
    }

    fn behind_bytes(&self, id: u64) -> u64 {
        let Some(progress) = self.raw.raft.prs().get(id) else {
            return u64::MAX;
        };
        match progress.state {
            ProgressState::Snapshot => u64::MAX,
            _ => self.raw.store().bytes_after(progress.matched),
        }
    }

    fn is_lively(&self, id: u64) -> bool {
        let patience = 2 * self.config.election_ticks as u64;
        self.heard_at.get(&id).is_some_and(|&tick| self.ticks <= tick + patience)
    }
}

/// The change in an entry that holds one.
pub(super) fn change_of(entry: &Entry) -> Result<Option<ConfChangeV2>, CoreError> {
    let unreadable =
        |error: prost_011::DecodeError| CoreError::Members { index: entry.index, reason: error.to_string() };
    match entry.get_entry_type() {
        EntryType::EntryNormal => Ok(None),
        EntryType::EntryConfChange => {
            let change = ConfChange::decode(entry.data.as_slice()).map_err(unreadable)?;
            let mut single = ConfChangeSingle { node_id: change.node_id, ..ConfChangeSingle::default() };
            single.set_change_type(change.get_change_type());
            Ok(Some(ConfChangeV2 { changes: vec![single], ..ConfChangeV2::default() }))
        }
        EntryType::EntryConfChangeV2 => {
            let change = ConfChangeV2::decode(entry.data.as_slice()).map_err(unreadable)?;
            Ok(Some(change))
        }
    }
}

impl Core {
    /// Proposes a change of the members. One at a time; a change of several members takes two steps, of which the
    /// second, [`MemberChange::Leave`], is proposed by whoever proposed the first once it is applied. Returns the
    /// (term, index) as [`Core::propose`] does; the outcome comes as [`super::CommittedEntry::members`] with its
    /// proposal, or in [`super::Actions::superseded`].
    ///
    /// # Errors
    /// Why it was refused; nothing was proposed then.
    pub fn propose_members(&mut self, id: ProposalId, change: &MemberChange) -> Result<(u64, u64), MembersRefused> {
        let raft = &self.raw.raft;
        if raft.state != StateRole::Leader {
            return Err(MembersRefused::NotLeader { leader: Core::leader(self) });
        }
        if raft.lead_transferee.is_some() {
            return Err(MembersRefused::Busy);
        }
        if raft.has_pending_conf() {
            return Err(MembersRefused::UnderWay);
        }
        let change = plan(change, self.members.now(), self.config.promote_lag_bytes_max, self)?;
        self.raw.propose_conf_change(Vec::new(), change).map_err(|_| MembersRefused::Busy)?;
        let place = (self.raw.raft.term, self.raw.raft.raft_log.last_index());
        assert!(self.raw.raft.has_pending_conf(), "the proposal stands as a change in the log");
        self.proposals.insert(place.1, (place.0, id));
        self.settle();
        Ok(place)
    }

    /// Brings the members from where they are on record up to what the state machine has applied. The entries in
    /// between are in the log: they are dropped only with the members as of the last one dropped.
    pub(super) fn replay_members(&mut self, applied: u64) -> Result<(), CoreError> {
        #[cfg(feature = "plants")]
        if self.config.plants.members_forgotten {
            return Ok(());
        }
        let since = self.members.now().index;
        if since > applied {
            let reason = format!("the members on record are as of {since}, and {applied} is applied");
            return Err(CoreError::Members { index: since, reason });
        }
        for index in since.max(self.raw.store().first() - 1) + 1..=applied {
            let entry = self.raw.store().entry(index).expect("checked to be in the log");
            if let Some(change) = change_of(entry)? {
                self.apply_members(index, &change)?;
            }
        }
        Ok(())
    }

    /// A change is committed, and in force from now on.
    pub(super) fn apply_members(&mut self, index: u64, change: &ConfChangeV2) -> Result<&Members, CoreError> {
        if self.raw.raft.state == StateRole::Leader {
            // Whoever leaves is told that it is decided while it is still told anything.
            self.raw.ping();
        }
        let state = self
            .raw
            .apply_conf_change(change)
            .map_err(|error| CoreError::Members { index, reason: error.to_string() })?;
        self.members.changed(index, Members::from(&state));
        let is_voter = self.members.now().members.is_voter(self.config.id);
        if self.raw.raft.state == StateRole::Leader && !is_voter {
            let term = self.raw.raft.term;
            self.raw.raft.become_follower(term, raft::INVALID_ID);
        }
        self.transfers.retain(|peer, _| self.raw.raft.prs().get(*peer).is_some());
        Ok(&self.members.now().members)
    }

    /// Tells whether a message may be from a member. One that this node doesn't know may be newer than what it knows, if
    /// its id is; and who is no member, or not yet, can't tell.
    pub(super) fn may_be_member(&self, id: u64) -> bool {
        let members = self.members.now();
        members.members.contains(id) || id > members.highest_id || !members.members.contains(self.config.id)
    }

    /// Tells whether this node is new: no member as far as it knows, and with nothing in its log. It begins with a
    /// snapshot, never with the first entry: what early entries hold may be sealed under keys that are destroyed.
    pub(super) fn joins(&self) -> bool {
        self.raw.raft.raft_log.last_index() == 0 && !self.members.now().members.contains(self.config.id)
    }

    /// A newcomer asks for a snapshot in place of the entries that it was sent.
    pub(super) fn ask_for_snapshot(&mut self, leader: u64) {
        if self.fetching.is_none() && self.installing.is_none() {
            self.tell_transfer(leader, 0, Transfer::Wanted);
        }
    }

    /// A peer without a log wants a snapshot, whatever this node's log still holds.
    pub(super) fn give_snapshot(&mut self, peer: u64) {
        if self.raw.raft.state != StateRole::Leader {
            return;
        }
        let applied = self.raw.raft.raft_log.applied.max(1);
        let Some(progress) = self.raw.raft.mut_prs().get_mut(peer) else {
            return;
        };
        if progress.matched > 0 || progress.state == ProgressState::Snapshot {
            return;
        }
        if progress.pending_request_snapshot == raft::INVALID_INDEX {
            // As of now or later, so that the newcomer is among its members.
            progress.pending_request_snapshot = applied;
        }
        progress.recent_active = true;
        progress.resume();
        self.raw.raft.send_append(peer);
    }

    /// Notes what a leader hears of a peer.
    pub(super) fn note_heard(&mut self, message: &Message) {
        self.heard_at.insert(message.from, self.ticks);
        let has_log = message.get_msg_type() == MessageType::MsgAppendResponse && !message.reject && message.index > 0;
        if has_log && let Some(progress) = self.raw.raft.mut_prs().get_mut(message.from) {
            // It has what it asked for; raft-rs would send another one.
            progress.pending_request_snapshot = raft::INVALID_INDEX;
        }
    }

    /// How far each peer is, as the leader sees it; empty elsewhere.
    pub(super) fn peers(&self) -> Vec<PeerProgress> {
        if self.raw.raft.state != StateRole::Leader {
            return Vec::new();
        }
        let peers = self.raw.raft.prs().iter().filter(|(id, _)| **id != self.config.id);
        let mut out: Vec<PeerProgress> = peers
            .map(|(&id, progress)| PeerProgress {
                id,
                matched: progress.matched,
                behind_bytes: self.behind_bytes(id),
                lively: self.is_lively(id),
                snapshot: (progress.state == ProgressState::Snapshot).then_some(progress.pending_snapshot),
            })
            .collect();
        out.sort_unstable_by_key(|peer| peer.id);
        out
    }

    /// The members in force here, with the index since when.
    pub fn members(&self) -> &MembersAt {
        self.members.now()
    }

    /// Tells whether this node's log holds a change of the members that isn't applied here: it may be in force elsewhere.
    pub fn has_change_ahead(&self) -> bool {
        let log = &self.raw.raft.raft_log;
        let first = log.applied.max(self.members.now().index).max(self.raw.store().first() - 1) + 1;
        (first..=log.last_index())
            .filter_map(|index| self.raw.store().entry(index))
            .any(|entry| !matches!(change_of(entry), Ok(None)))
    }

    pub(super) fn tell_transfer(&mut self, to: u64, index: u64, state: Transfer) {
        self.pending.messages.push(Outgoing { to, message: wire::encode_status(self.config.id, index, state) });
    }
}
