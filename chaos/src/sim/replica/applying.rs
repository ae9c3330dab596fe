//! The applying of a simulated replica, and its snapshots.

use super::*;

impl World {
    pub(super) fn schedule_apply(&mut self, node: u64) {
        let life = self.replicas[&node].life;
        let running = self.running(node);
        if running.applying || running.unapplied.is_empty() {
            return;
        }
        running.applying = true;
        let slowest = self.replicas[&node].apply_delay_us;
        let delay = self.rng.random_range(10..slowest);
        self.after(delay, Event::Apply { node, life });
    }

    pub(crate) fn apply_some(&mut self, node: u64) -> Result<(), Violation> {
        for _ in 0..self.rng.random_range(1..30) {
            if !self.apply_one(node)? {
                break;
            }
        }
        if self.replicas[&node].running.is_none() {
            return Ok(());
        }
        let applied = self.replicas[&node].ledger.applied().0;
        let running = self.running(node);
        running.applying = false;
        running.core.on_applied(applied);
        self.schedule_apply(node);
        self.pump(node)
    }

    pub(super) fn apply_one(&mut self, node: u64) -> Result<bool, Violation> {
        let replica = self.replica(node);
        let running = replica.running.as_mut().expect("the node is up");
        let Some(entry) = running.unapplied.pop_front() else {
            return Ok(false);
        };
        let before = replica.ledger.size();
        let members = replica.ledger.members().clone();
        let applied = match replica.ledger.apply(&entry) {
            Ok(applied) => applied,
            Err(reason) if replica.suffered => {
                self.refuse(node, &reason)?;
                return Ok(false);
            }
            Err(reason) => return Err(Violation::Stopped { node, reason }),
        };
        if let Some(members) = &entry.members {
            replica.ledger.set_members(members);
            self.checks.saw_members(node, entry.index, members)?;
            self.report.member_changes += u64::from(entry.proposal.is_some());
        }
        let replica = self.replicas.get_mut(&node).expect("a node of the group");
        let running = replica.running.as_mut().expect("the node is up");
        let waiting = entry.proposal.and_then(|id| running.proposals.remove(&id));
        let (seen, hash) = (replica.ledger.checkpoint(), entry_hash(entry.term, &entry.data));
        self.tell_state(node);
        let is_due = |every: u64| seen.size / every > before / every;
        if is_due(COSIGNED_EVERY) {
            self.ask_to_cosign(node);
        }
        if self.replicas[&node].ledger.differs() {
            // No other node cosigns what it has, so nobody takes its word.
            return Ok(true);
        }
        self.checks.saw_applied(node, entry.index, hash, seen.root)?;
        self.check_time(node, &entry, &members, applied)?;
        if is_due(CHECKPOINT_EVERY) {
            self.look_at_checkpoint(node)?;
        }
        if let (Some(waiting), Some((record, place))) = (waiting, applied.record) {
            self.checks.saw_acknowledged(record, place)?;
            self.answer(waiting, Outcome::Done);
        }
        Ok(true)
    }

    fn check_time(
        &mut self,
        node: u64,
        entry: &CommittedEntry,
        members: &Members,
        applied: Applied,
    ) -> Result<(), Violation> {
        let place = (entry.term, entry.index);
        if let Some(clocks) = self.clocks.get(&place) {
            self.checks.saw_proposed(place, latest_time_ms(members, clocks));
        }
        self.checks.saw_time(node, place, (applied.before_ms, applied.time_ms))?;
        self.report.stamps_cut += u64::from(applied.cut);
        Ok(())
    }

    pub(super) fn look_at_checkpoint(&mut self, node: u64) -> Result<(), Violation> {
        if self.replicas[&node].ledger.differs() {
            return Ok(());
        }
        let ledger = &self.replicas[&node].ledger;
        self.checks.saw_checkpoint(node, ledger.checkpoint(), |old| ledger.prove(old))
    }

    pub(super) fn compact(&mut self, node: u64, wish: CompactWish) {
        let replica = self.replica(node);
        if wish == CompactWish::Flush {
            replica.ledger.flush();
        }
        let flushed = replica.ledger.flushed();
        let running = replica.running.as_mut().expect("the node is up");
        if let Some(compaction) = running.core.compact(flushed) {
            running.jobs.push_back(Job::Compact(compaction));
            self.schedule_write(node);
        }
    }

    pub(crate) fn snapshot_made(&mut self, node: u64) -> Result<(), Violation> {
        let replica = self.replica(node);
        let copy = replica.ledger.copy();
        let running = replica.running.as_mut().expect("the node is up");
        if replica.ledger.differs() {
            // What it would hand on is no other's state.
            running.core.on_snapshot_made(None);
            return self.pump(node);
        }
        let (index, term) = copy.applied();
        running.made.retain(|made| made.applied() != (index, term));
        running.made.push(copy);
        running.core.on_snapshot_made(Some(SnapshotMade { index, term, manifest: Vec::new() }));
        self.pump(node)
    }

    /// The files arrived, if the peer still has them and can be reached.
    pub(crate) fn snapshot_fetched(&mut self, node: u64, from: u64, index: u64, term: u64) -> Result<(), Violation> {
        let cut = self.network.cut.contains(&(from, node)) || self.network.cut.contains(&(node, from));
        let copy = self.replicas[&from]
            .running
            .as_ref()
            .filter(|peer| !cut && !peer.core.is_in_doubt())
            .and_then(|peer| peer.made.iter().find(|copy| copy.applied() == (index, term)))
            .cloned();
        let running = self.running(node);
        let fetched = copy.is_some();
        if fetched {
            running.staged = copy;
        }
        running.core.on_snapshot_fetched(index, fetched);
        self.pump(node)
    }
}
