//! Snapshots of this node's state: when one may be offered, how long its files stand, and what of the log is kept for who
//! needs one.
//!
//! A snapshot is taken for the group's state by whoever installs it. So a node offers one only while it isn't in doubt of its
//! own state, and once those that can tell have the same: a majority of the voters, or all voters that answer and have a state
//! to compare. A voter that answers and applies nothing for a while can't tell: it must not keep the others from going on
//! without it. The files stand while somebody needs them and makes progress; the log after them is kept as long.

use std::collections::BTreeMap;

use raft::eraftpb::{ConfState, Snapshot};
use raft::{Progress, ProgressState, StateRole};

use super::Core;
use super::actions::SnapshotMade;
use super::members::Known;

/// Attempts at one snapshot that may bring nothing new before they count as no progress.
const FRUITLESS_MAX: u32 = 3;
/// A replica may install for this many times [`crate::CoreConfig::snapshot_timeout_ticks`].
const INSTALL_TIMEOUTS: u64 = 20;

#[derive(Clone, Copy, Debug)]
struct OfferState {
    /// Tick of the last use.
    used: u64,
    /// A peer has all of it, or nobody can begin with it any more.
    done: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Offers {
    /// Made, and not offered yet.
    waiting: Option<SnapshotMade>,
    /// Tick at which that was made.
    waits_since: u64,
    /// Peer → index of the state that it told last, and the tick since which that is its state.
    told: BTreeMap<u64, (u64, u64)>,
    /// Those whose files are on disk, by (index, term).
    standing: BTreeMap<(u64, u64), OfferState>,
    /// Peers that need a snapshot → tick of the last progress with it.
    needs: BTreeMap<u64, u64>,
}

/// How a replica fares with the snapshot that it fetches.
#[derive(Debug, Default)]
pub(super) struct FetchWatch {
    index: u64,
    /// The bytes that the driver had counted when this attempt began.
    begun: u64,
    /// Bytes of this attempt that the leader was told of.
    told: u64,
    /// Most bytes of an attempt that is over.
    best: u64,
    fruitless: u32,
}

impl FetchWatch {
    fn begin(&mut self, index: u64, counted: u64) {
        if self.index != index {
            *self = FetchWatch { index, ..FetchWatch::default() };
        }
        (self.begun, self.told) = (counted, 0);
    }

    fn end(&mut self, counted: u64) {
        let bytes = counted - self.begun;
        self.fruitless = if bytes > self.best { 0 } else { self.fruitless + 1 };
        self.best = self.best.max(bytes);
    }

    /// Tells whether there is progress to tell of. Bytes that are compared again after a broken fetch count too, but not for
    /// ever.
    fn advanced(&mut self, counted: u64) -> bool {
        let bytes = counted - self.begun;
        let more = bytes > self.told;
        self.told = bytes;
        more && (bytes > self.best || self.fruitless < FRUITLESS_MAX)
    }
}

impl Core {
    /// The snapshot asked for by [`super::Actions::make_snapshot`] is there, or could not be made.
    pub fn on_snapshot_made(&mut self, made: Option<SnapshotMade>) {
        self.making = None;
        if let Some(made) = made {
            self.on_snapshot_found(made);
        }
    }

    /// The files of a snapshot of an earlier run are there: a peer may go on with it.
    pub fn on_snapshot_found(&mut self, made: SnapshotMade) {
        let place = (made.index, made.term);
        // Compacted meanwhile: the followers' next request asks for a newer one.
        let usable = self.raw.store().term_at(made.index) == Some(made.term);
        self.offers.standing.insert(place, OfferState { used: self.ticks, done: !usable });
        if usable {
            let now = self.ticks;
            self.offers.needs.values_mut().for_each(|progress| *progress = now);
            self.offers.waiting = Some(made);
            self.offers.waits_since = now;
            self.offer_if_shared();
        }
    }

    /// Offers what waits, once those that can tell have the same state.
    pub(super) fn offer_if_shared(&mut self) {
        let Some(made) = &self.offers.waiting else { return };
        if self.raw.store().term_at(made.index) != Some(made.term) {
            self.offers.waiting = None;
            return;
        }
        if self.is_in_doubt() || !self.is_shared(made.index) {
            return;
        }
        let Some(made) = self.offers.waiting.take() else { return };
        let mut snapshot = Snapshot { data: made.manifest, ..Snapshot::default() };
        let metadata = snapshot.mut_metadata();
        metadata.index = made.index;
        metadata.term = made.term;
        metadata.set_conf_state(ConfState::from(&self.members.as_of(made.index).members));
        self.raw.mut_store().offer(snapshot);
    }

    fn is_shared(&self, index: u64) -> bool {
        let can_tell = |id: u64| self.is_lively(id) && !self.needs_snapshot(id) && self.comes_on(id);
        self.standings.is_shared(self.config.id, &self.members.now().members.voters, index, can_tell)
    }

    /// A peer has told its state as of `index`.
    pub(super) fn saw_told(&mut self, peer: u64, index: u64) {
        let now = self.ticks;
        let told = self.offers.told.entry(peer).or_insert((index, now));
        if told.0 != index {
            *told = (index, now);
        }
    }

    /// Tells whether a peer has told another state not long ago, or has still time to.
    fn comes_on(&self, peer: u64) -> bool {
        let told = self.offers.told.get(&peer).map_or(0, |&(_, tick)| tick);
        self.ticks < told.max(self.offers.waits_since) + self.config.snapshot_timeout_ticks
    }

    /// A node that may be wrong gives its state to nobody.
    pub(super) fn withdraw_in_doubt(&mut self) {
        if self.is_in_doubt() {
            self.offers.waiting = None;
            self.raw.mut_store().withdraw();
        }
    }

    /// Tells whether a snapshot should be made now that a peer has asked for one in vain.
    pub(super) fn should_make_snapshot(&self) -> bool {
        self.making.is_none() && self.offers.waiting.is_none() && !self.is_in_doubt()
    }

    fn progress_needs_snapshot(&self, progress: &Progress) -> bool {
        progress.state == ProgressState::Snapshot
            || progress.next_idx < self.raw.store().first()
            || progress.pending_request_snapshot != raft::INVALID_INDEX
    }

    /// Tells whether `peer` can't go on with what the log holds, as its leader sees it.
    fn needs_snapshot(&self, peer: u64) -> bool {
        self.raw.raft.state == StateRole::Leader
            && self.raw.raft.prs().get(peer).is_some_and(|progress| self.progress_needs_snapshot(progress))
    }

    /// Tells whether files and log are kept for a peer that needs a snapshot: as long as it makes progress.
    fn is_waited_for(&self, peer: u64) -> bool {
        self.offers.needs.get(&peer).is_none_or(|&tick| self.ticks < tick + self.config.snapshot_stall_ticks)
    }

    pub(super) fn transfer_advanced(&mut self, peer: u64) {
        if let Some(tick) = self.offers.needs.get_mut(&peer) {
            *tick = self.ticks;
        }
    }

    /// Sees who needs a snapshot now, and who has got one since.
    pub(super) fn see_needs(&mut self) {
        let own = self.config.id;
        let mut needing: Vec<u64> = Vec::new();
        if self.raw.raft.state == StateRole::Leader {
            let peers = self.raw.raft.prs().iter().filter(|(id, _)| **id != own);
            needing.extend(peers.filter(|(_, progress)| self.progress_needs_snapshot(progress)).map(|(&id, _)| id));
        }
        let served = self.offers.needs.keys().filter(|peer| !needing.contains(peer));
        let matched = served.filter_map(|peer| self.raw.raft.prs().get(*peer)).map(|progress| progress.matched).max();
        if let Some(matched) = matched {
            let have_it = self.offers.standing.iter_mut().filter(|((index, _), _)| *index <= matched);
            have_it.for_each(|(_, standing)| standing.done = true);
        }
        self.offers.needs.retain(|peer, _| needing.contains(peer));
        for peer in needing {
            self.offers.needs.entry(peer).or_insert(self.ticks);
        }
    }

    /// Offers what may be offered by now, and lets go of what nobody needs.
    pub(super) fn watch_snapshots(&mut self) {
        self.see_needs();
        self.offer_if_shared();
        self.release_snapshots();
    }

    fn release_snapshots(&mut self) {
        // A new one may be of the same place.
        if self.making.is_some() {
            return;
        }
        let doubt = self.is_in_doubt();
        let stalled = self.offers.needs.keys().any(|peer| !self.is_waited_for(*peer));
        let places: Vec<(u64, u64)> = self.offers.standing.keys().copied().collect();
        for place in places {
            let is_used = !doubt && self.is_used(place);
            let (ticks, patience) = (self.ticks, self.config.snapshot_timeout_ticks);
            let Some(standing) = self.offers.standing.get_mut(&place) else { continue };
            if is_used {
                standing.used = ticks;
                continue;
            }
            if doubt || stalled || standing.done || ticks >= standing.used + patience {
                self.offers.standing.remove(&place);
                self.offers.waiting.take_if(|made| (made.index, made.term) == place);
                if self.raw.store().offered().is_some_and(|offered| offered.get_metadata().index == place.0) {
                    self.raw.mut_store().withdraw();
                }
                self.pending.release_snapshots.push(place);
            }
        }
    }

    fn is_used(&self, (index, term): (u64, u64)) -> bool {
        let waits = self.offers.waiting.as_ref().is_some_and(|made| (made.index, made.term) == (index, term));
        let is_offer = waits || self.raw.store().offered().is_some_and(|offer| offer.get_metadata().index == index);
        let uses = |peer: &u64| {
            let progress = self.raw.raft.prs().get(*peer);
            is_offer || progress.is_some_and(|progress| progress.pending_snapshot == index)
        };
        self.offers.needs.keys().any(|peer| self.is_waited_for(*peer) && uses(peer))
    }

    /// The index up to which the leader's peers need nothing of its log: what the slowest has, or the snapshot that one
    /// begins with. A peer counts while it is lively, and one that needs a snapshot while it makes progress.
    pub(super) fn needed_by_peers(&self) -> Option<u64> {
        if self.raw.raft.state != StateRole::Leader {
            return None;
        }
        let offered = self.raw.store().offered().map(|offer| offer.get_metadata().index);
        let begins = offered.or(self.offers.waiting.as_ref().map(|made| made.index)).or(self.making);
        let needed = |(&id, progress): (&u64, &Progress)| {
            if id == self.config.id {
                None
            } else if !self.progress_needs_snapshot(progress) {
                (progress.recent_active || self.is_lively(id)).then_some(progress.matched)
            } else if !self.is_waited_for(id) {
                None
            } else if progress.state == ProgressState::Snapshot {
                Some(progress.pending_snapshot)
            } else {
                begins
            }
        };
        self.raw.raft.prs().iter().filter_map(needed).min()
    }

    /// The driver has received or compared so many bytes of snapshots since the start.
    pub fn on_fetch_progress(&mut self, bytes: u64) {
        self.fetch_bytes = bytes;
    }

    pub(super) fn fetch_begins(&mut self, index: u64) {
        self.fetch.begin(index, self.fetch_bytes);
    }

    pub(super) fn fetch_ends(&mut self) {
        self.fetch.end(self.fetch_bytes);
    }

    pub(super) fn fetch_advanced(&mut self) -> bool {
        self.fetch.advanced(self.fetch_bytes)
    }

    /// Tells whether the installation that began at tick `since` may still be told as progress.
    pub(super) fn may_still_install(&self, since: u64) -> bool {
        self.ticks < since + INSTALL_TIMEOUTS * self.config.snapshot_timeout_ticks
    }
}
