//! The core's watch over things besides raft-rs: snapshot transfers and the size of the log.

use std::collections::BTreeMap;

use raft::eraftpb::{Message, MessageType};
use raft::{ProgressState, SnapshotStatus, StateRole};

use super::actions::{CompactWish, FetchSnapshot};
use super::wire::Transfer;
use super::{Core, Sending, StepError};

impl Core {
    /// Tells whether the offer has to wait for its files. An offer of what is here already goes to raft-rs at once, which
    /// then tells the leader so.
    pub(super) fn wants_files(&mut self, message: &Message) -> bool {
        let raft = &self.raw.raft;
        let metadata = message.get_snapshot().get_metadata();
        let stale = message.term < raft.term || metadata.index <= raft.raft_log.committed;
        if stale || raft.raft_log.match_term(metadata.index, metadata.term) {
            return false;
        }
        let fetch = FetchSnapshot {
            from: message.from,
            index: metadata.index,
            term: metadata.term,
            manifest: message.get_snapshot().data.clone(),
        };
        if self.fetching.is_some() || self.installing.is_some() {
            // One at a time; the leader tries again.
            self.tell_progress();
            return true;
        }
        if raft.raft_log.unstable_snapshot().is_some() {
            // The installation of another one is about to begin: its folder must stay. The leader tries again.
            return true;
        }
        if self.is_in_doubt() {
            // This node's state may be the right one: it is kept until somebody knows.
            return true;
        }
        self.fetch_begins(fetch.index);
        self.fetching = Some(Box::new(message.clone()));
        self.pending.fetch_snapshot = Some(fetch);
        true
    }

    pub(super) fn step_transfer(&mut self, from: u64, index: u64, state: Transfer) {
        if state == Transfer::Wanted {
            return self.give_snapshot(from);
        }
        let Some(progress) = self.raw.raft.prs().get(from) else {
            return;
        };
        // Index 0: the peer knows of no transfer at all.
        let meant = index == 0 || progress.pending_snapshot == index;
        if progress.state != ProgressState::Snapshot || !meant {
            return;
        }
        match state {
            Transfer::Running => {
                let sending = Sending { index: progress.pending_snapshot, tick: self.ticks };
                self.transfers.insert(from, sending);
                self.transfer_advanced(from);
            }
            Transfer::Failed => {
                self.transfers.remove(&from);
                self.raw.report_snapshot(from, SnapshotStatus::Failure);
            }
            Transfer::Wanted => unreachable!("taken above"),
        }
    }

    /// Gives up on transfers that went silent, so that raft-rs leaves the snapshot state and tries again. Success
    /// needs no report: the follower's next response shows it.
    pub(super) fn watch_transfers(&mut self) {
        let mut running: BTreeMap<u64, u64> = BTreeMap::new();
        if self.raw.raft.state == StateRole::Leader {
            let peers = self.raw.raft.prs().iter();
            let in_snapshot = peers.filter(|(_, progress)| progress.state == ProgressState::Snapshot);
            running.extend(in_snapshot.map(|(&id, progress)| (id, progress.pending_snapshot)));
        }
        self.transfers.retain(|peer, _| running.contains_key(peer));
        for (peer, index) in running {
            let sending = self.transfers.entry(peer).or_insert(Sending { index, tick: self.ticks });
            if sending.index != index {
                *sending = Sending { index, tick: self.ticks };
            }
            if self.ticks >= sending.tick + self.config.snapshot_timeout_ticks {
                self.transfers.remove(&peer);
                self.raw.report_snapshot(peer, SnapshotStatus::Failure);
            }
        }
    }

    /// Bytes of committed entries that may be handed out now.
    pub(super) fn room(&self) -> u64 {
        #[cfg(feature = "plants")]
        if self.config.plants.unapplied_unbounded {
            return u64::MAX;
        }
        let waiting = self.raw.store().bytes_between(self.raw.raft.raft_log.applied, self.handed_out);
        self.config.max_unapplied_bytes.saturating_sub(waiting)
    }

    /// A follower that is behind in applying takes no more entries: it lags, and the others go on without it. Only what
    /// is committed counts, so that entries which have to give way still can.
    pub(super) fn check_room(&self, message: &Message) -> Result<(), StepError> {
        let log = &self.raw.raft.raft_log;
        let waiting = self.raw.store().bytes_between(log.applied, log.committed);
        let full = waiting > self.config.max_unapplied_bytes;
        #[cfg(feature = "plants")]
        let full = full && !self.config.plants.unapplied_unbounded;
        if full && message.get_msg_type() == MessageType::MsgAppend && !message.entries.is_empty() {
            // It says nothing, so the leader sends the same again, once a heartbeat.
            return Err(StepError::Behind(waiting));
        }
        Ok(())
    }

    pub(super) fn wish_compaction(&mut self) {
        let bytes = self.raw.store().bytes();
        // A quarter above what is kept, so that it is not asked for every few entries.
        let worth_asking = self.config.log_keep_bytes + self.config.log_keep_bytes / 4;
        if self.compacting || bytes <= worth_asking {
            return;
        }
        self.compacting = true;
        self.pending.compact =
            Some(if bytes > self.config.log_max_bytes { CompactWish::Flush } else { CompactWish::Ask });
    }

    /// This node is still fetching, and comes on: keeps the leader from giving up. Or it knows of no transfer, having started again
    /// in the middle of one: then the leader need not wait for its end.
    pub(super) fn tell_progress(&mut self) {
        if let Some(offer) = &self.fetching {
            let (to, index) = (offer.from, offer.get_snapshot().get_metadata().index);
            if self.fetch_advanced() {
                self.tell_transfer(to, index, Transfer::Running);
            }
        } else if let Some(installing) = self.installing {
            if let Some(leader) = self.leader()
                && self.may_still_install(installing.since)
            {
                self.tell_transfer(leader, installing.index, Transfer::Running);
            }
        } else if let Some(leader) = self.leader().filter(|&leader| leader != self.config.id)
            && !self.heard
        {
            self.tell_transfer(leader, 0, Transfer::Failed);
        }
    }
}
