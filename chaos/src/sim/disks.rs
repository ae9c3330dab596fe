//! Disks that are not what they were: emptied, put back to an older state, swapped; and a node with another's keys.
//!
//! Each replica runs on a disk with an identity, as the real one does (`sillage_cluster::identity`). The promises of
//! its disk are lost with it, so a node that suffered here must be refused at its start, or take no part once it is
//! told. At most a minority of a run suffers: the others must lose nothing, and go on.
//!
//! [`World::put_back_unseen`] is what no identity can see: data and marker of one node put back within one start.
//! Then acknowledged records may be lost, but never in silence.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use rand::RngExt;
use sillage_cluster::identity::{DiskRun, Mark, Marker};

use super::disk::SimDisk;
use super::ledger::Stored;
use super::replica::{Down, Replica};
use super::world::World;
use crate::check::Violation;

/// The file beside the keyring: what is written is durable.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimMarker(Arc<Mutex<Slot>>);

#[derive(Debug, Default)]
struct Slot {
    mark: Option<Mark>,
    /// The next write fails: the node ends before it.
    fails: bool,
}

impl SimMarker {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().expect("one thread")
    }

    pub(crate) fn mark(&self) -> Option<Mark> {
        self.slot().mark
    }

    fn set(&self, mark: Option<Mark>) {
        self.slot().mark = mark;
    }

    pub(crate) fn fail_next(&self, fails: bool) {
        self.slot().fails = fails;
    }
}

impl Marker for SimMarker {
    fn load(&self) -> Result<Option<Mark>, String> {
        Ok(self.mark())
    }

    fn store(&self, mark: &Mark) -> Result<(), String> {
        if std::mem::take(&mut self.slot().fails) {
            return Err("the node ends here".into());
        }
        self.set(Some(*mark));
        Ok(())
    }
}

/// A copy of a node's data, and of its marker.
#[derive(Clone)]
pub(crate) struct Kept {
    disk: SimDisk,
    ledger: Stored,
    mark: Mark,
    knows: BTreeMap<u64, DiskRun>,
}

impl Replica {
    fn kept(&self) -> Option<Kept> {
        let mark = self.marker.mark()?;
        Some(Kept { disk: self.disk.copy(), ledger: self.ledger.stored(), mark, knows: self.knows.clone() })
    }

    fn put_back(&mut self, kept: &Kept) {
        self.disk = kept.disk.copy();
        self.ledger.put_back(&kept.ledger);
        self.knows = kept.knows.clone();
    }

    /// Tells whether it takes part, or should.
    pub(crate) fn counts(&self) -> bool {
        let is_out = self.running.as_ref().is_none_or(|running| running.core.is_out());
        !(self.retired || self.suffered && is_out)
    }

    /// Tells whether its disk's promises may be lost, or its state differs.
    pub(crate) fn is_unsound(&self) -> bool {
        self.rotten || self.suffered
    }
}

impl World {
    /// Something happens to a disk, or a copy of one is made for later.
    pub(crate) fn disks_fault(&mut self, node: u64) {
        let (action, keeps) = (self.rng.random_range(0..10), self.rng.random_bool(0.5));
        let other = self.rng.random_range(1..=self.report.nodes);
        match action {
            0..6 => self.replica(node).kept = self.replicas[&node].kept(),
            6 => self.wipe(node, keeps),
            7 | 8 => self.put_back(node, keeps),
            _ => self.swap(node, other, keeps),
        }
    }

    /// Tells whether these may suffer, too.
    pub(crate) fn may_suffer(&self, nodes: &[u64]) -> bool {
        nodes.iter().all(|node| !self.replicas[node].is_unsound()) && self.can_do_without(nodes, &[])
    }

    fn suffer(&mut self, node: u64, what: &str) {
        self.note(|| format!("DISK of node {node}: {what}"));
        self.crash_and_restart(node, Down::Power);
        self.replica(node).suffered = true;
        self.report.suffered += 1;
    }

    /// Its data is gone: the marker stays, or goes with it, and somebody may say that a node begins here.
    fn wipe(&mut self, node: u64, keeps_marker: bool) {
        if !self.may_suffer(&[node]) {
            return;
        }
        self.suffer(node, "emptied");
        let begins = self.rng.random_bool(0.7);
        let founders = self.settings.founders();
        let replica = self.replica(node);
        replica.disk = SimDisk::default();
        replica.ledger = replica.new_ledger(founders);
        replica.knows.clear();
        if !keeps_marker {
            replica.marker.set(None);
        }
        replica.may_begin = begins;
    }

    /// Its data is put back to an earlier start: the marker stays, or is put back too.
    fn put_back(&mut self, node: u64, keeps_marker: bool) {
        let replica = &self.replicas[&node];
        let Some(kept) = replica.kept.clone() else { return };
        let start = kept.mark.run.start;
        // A peer that has seen no later start can't tell; what it could lose then is the bound, see the module.
        let is_known = match keeps_marker {
            true => replica.marker.mark().is_some_and(|mark| mark.run.start > start),
            false => self
                .replicas
                .values()
                .filter(|peer| peer.id != node && !peer.is_unsound())
                .all(|peer| peer.knows.get(&node).is_some_and(|run| run.start > start)),
        };
        if !is_known || !self.may_suffer(&[node]) {
            return;
        }
        self.suffer(node, "put back");
        let replica = self.replica(node);
        replica.put_back(&kept);
        if !keeps_marker {
            replica.marker.set(Some(kept.mark));
        }
    }

    /// Two nodes get each other's data, perhaps with the markers.
    fn swap(&mut self, node: u64, other: u64, with_markers: bool) {
        if node == other || !self.may_suffer(&[node, other]) {
            return;
        }
        self.suffer(node, "swapped");
        self.suffer(other, "swapped");
        let mut taken = self.replicas.remove(&node).expect("a node of the group");
        let peer = self.replica(other);
        std::mem::swap(&mut taken.disk, &mut peer.disk);
        std::mem::swap(&mut taken.ledger, &mut peer.ledger);
        std::mem::swap(&mut taken.knows, &mut peer.knows);
        if with_markers {
            std::mem::swap(&mut taken.marker, &mut peer.marker);
        }
        self.replicas.insert(node, taken);
    }

    /// A node works with other keys from now on: its state machine refuses what the others take.
    pub(crate) fn mix_up_keys(&mut self, node: u64) {
        if !self.may_suffer(&[node]) {
            return;
        }
        self.note(|| format!("node {node} works with other keys"));
        let replica = self.replica(node);
        replica.suffered = true;
        replica.ledger.mix_up_keys();
        let at_start = replica.ledger.is_real();
        self.report.suffered += 1;
        if at_start {
            self.crash_and_restart(node, Down::Killed);
        }
    }

    /// Data and marker of one node are put back within one start: nothing at its start can tell. From then on
    /// acknowledged records may be lost; [`World::end_bound`] judges how that ends.
    pub(crate) fn put_back_unseen(&mut self, node: u64) {
        let unsound = self.replicas.values().any(Replica::is_unsound);
        if unsound || !self.faults.bound {
            return;
        }
        let replica = &self.replicas[&node];
        let Some(kept) = replica.kept.clone() else {
            let kept = replica.kept();
            self.replica(node).kept = kept;
            return;
        };
        let is_same_start = replica.marker.mark().is_some_and(|mark| mark.run == kept.mark.run);
        if !is_same_start {
            self.replica(node).kept = None;
            return;
        }
        // Which entries are committed is known for certain in memory alone: so whoever knows stays up from here on. After all
        // nodes were down at once, nobody may know yet what was acknowledged before.
        let commit = |replica: &Replica| replica.running.as_ref().map(|running| running.core.status().commit);
        let most = self.replicas.values().filter_map(commit).max();
        let has_all = |peer: &Replica| self.checks.saw_log(peer.id, &peer.ledger.records()).is_ok();
        let knows = |peer: &Replica| peer.id != node && commit(peer) == most && most.is_some() && has_all(peer);
        if !self.replicas.values().any(knows) {
            return;
        }
        self.replicas.values_mut().for_each(|replica| replica.doomed = None);
        self.suffer(node, "put back within one start");
        let replica = self.replica(node);
        replica.put_back(&kept);
        replica.marker.set(Some(kept.mark));
        self.checks.stop();
        self.unseen = true;
        self.report.unseen = 1;
    }

    /// How a run ends in which a node was put back unseen: if anything is lost or differs, some node says so.
    pub(crate) fn end_bound(&mut self) -> Result<(), Violation> {
        let says_so = self.replicas.values().any(|replica| {
            let out =
                replica.running.as_ref().is_none_or(|running| running.core.is_out() || running.core.status().forgot);
            replica.retired || out
        });
        let whole = self.replicas.values().map(|replica| self.checks.saw_log(replica.id, &replica.ledger.records()));
        let missing = whole.filter_map(Result::err).next();
        let roots: std::collections::BTreeSet<_> =
            self.replicas.values().map(|replica| (replica.ledger.size(), replica.ledger.checkpoint().root)).collect();
        self.report.bound_lost = u64::from(missing.is_some() && says_so);
        match missing {
            Some(violation) if !says_so => Err(violation),
            None if roots.len() > 1 && !says_so => {
                Err(Violation::NoProgress("nodes differ after one was put back, and none says so".into()))
            }
            _ => Ok(()),
        }
    }
}
