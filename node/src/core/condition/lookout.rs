//! Looks at this node again and again, and raises or clears the alarms that nobody else raises. A leader that is unfit lets
//! another node lead.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sillage_proto::v1::ClusterStatusRequest;
use sillage_rules::codes::Code;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::alarms::Alarm;
use crate::core::{Core, now_ms};
use crate::refusals::from_read;

/// Between two looks.
const TICK: Duration = Duration::from_millis(200);
/// Without a checkpoint of what is recorded.
const CHECKPOINT_MAX: Duration = Duration::from_secs(10);
/// Without a leader: an election takes a second or two.
const LEADER_MAX: Duration = Duration::from_secs(15);
/// A certificate that ends within this is told of.
const CERTIFICATE_S: u64 = 30 * 86_400;
/// For a peer to say how it is.
const PEER_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two readings of what was found to be damaged.
const READ_AGAIN_EVERY: Duration = Duration::from_secs(300);
/// Between two attempts to let another node lead.
const HAND_OVER_EVERY: Duration = Duration::from_millis(500);
/// A leader that stops waits for so long until another one leads.
const STEP_DOWN_MAX: Duration = Duration::from_secs(1);

/// How often it is looked whether a party took access away as often as it may.
const LIMITS_EVERY: Duration = Duration::from_secs(2);
/// How often it is looked whether a source is silent. The shortest time that one may be silent is an hour.
const SOURCES_EVERY: Duration = Duration::from_secs(30);
/// Parties and sources that an alarm names.
const PARTIES_NAMED: usize = 8;

/// When what is recorded was last seen to be covered, or a new checkpoint to come.
struct Covered {
    size: u64,
    at: Instant,
}

/// Looks until the node is gone.
pub(in crate::core) async fn run(core: Weak<Core>) {
    let mut covered = Covered { size: 0, at: Instant::now() };
    let mut handed_over = Instant::now();
    let mut read_again: Option<Instant> = None;
    let mut led = Instant::now();
    let mut limits_seen = Instant::now();
    let mut sources_seen: Option<Instant> = None;
    let mut looking: Option<JoinHandle<()>> = None;
    loop {
        {
            let Some(core) = core.upgrade() else { return };
            core.look_at_disk();
            core.look_at_checkpoints(&mut covered);
            core.look_at_leader(&mut led);
            if limits_seen.elapsed() >= LIMITS_EVERY {
                core.look_at_limits();
                limits_seen = Instant::now();
            }
            let is_due = sources_seen.is_none_or(|at| at.elapsed() >= SOURCES_EVERY);
            if is_due && looking.as_ref().is_none_or(JoinHandle::is_finished) {
                // The disk is looked at meanwhile: readings of others may take their time.
                let core = Arc::clone(&core);
                looking = Some(tokio::spawn(async move { core.look_at_sources().await }));
                sources_seen = Some(Instant::now());
            }
            core.alarms.set(Alarm::CertificateEnds, ends_soon(core.condition.certificates_end_s, now_ms() / 1_000));
            if core.alarms.is_raised(Alarm::Rotten) && read_again.is_none_or(|at| at.elapsed() >= READ_AGAIN_EVERY) {
                read_again = Some(Instant::now());
                core.read_again();
            }
            if core.leads() && core.is_unfit() && handed_over.elapsed() >= HAND_OVER_EVERY {
                core.hand_over("this node's disk isn't fit for a leader's").await;
                handed_over = Instant::now();
            }
        }
        sleep(TICK).await;
    }
}

impl Core {
    /// Raises an alarm for parties that took access away as often as they may today, or nearly.
    fn look_at_limits(&self) {
        let near = match self.reader.near_limits(now_ms(), PARTIES_NAMED) {
            Ok(near) => near,
            Err(error) => return tracing::error!(%error, "the records of the day can't be counted"),
        };
        let named = |reached: bool| {
            let parties = near.iter().filter(|party| party.is_reached() == reached);
            let named = parties.map(|party| format!("{} ({} of {})", party.name, party.records, party.limit));
            named.collect::<Vec<_>>().join(", ")
        };
        for (alarm, named) in [(Alarm::LimitReached, named(true)), (Alarm::LimitNear, named(false))] {
            self.alarms.set(alarm, (!named.is_empty()).then_some(named));
        }
    }

    /// Raises an alarm for sources of the authority's list of which nothing was heard for longer than they may be silent.
    async fn look_at_sources(&self) {
        let reader = self.reader.clone();
        // All of them are read: not on a thread that others wait for.
        let find = move || reader.sources_page(now_ms(), "", usize::MAX, |_| false);
        let sources = match self.read(move || find().map_err(|error| from_read(&error))).await {
            Ok(page) => page.rows,
            Err(refusal) if refusal.code == Code::Busy => return,
            Err(refusal) => return tracing::error!(code = refusal.code.as_str(), "the list of sources can't be read"),
        };
        let silent: Vec<String> =
            sources.iter().filter(|source| source.is_silent).map(sillage_ledger::SourceStatus::key).collect();
        self.metrics.sources_silent.set(i64::try_from(silent.len()).unwrap_or(i64::MAX));
        let more = silent.len().saturating_sub(PARTIES_NAMED);
        let more = if more == 0 { String::new() } else { format!(", and {more} more") };
        let named = silent.iter().take(PARTIES_NAMED).cloned().collect::<Vec<_>>().join(", ");
        self.alarms.set(Alarm::SourceSilent, (!silent.is_empty()).then(|| named + &more));
    }

    /// Tells whether nothing more is applied here until a restart, or until a flush succeeds.
    pub(in crate::core) fn is_halted(&self) -> bool {
        self.condition.halted.load(std::sync::atomic::Ordering::Acquire) || self.reader.write_failure().is_some()
    }

    /// Tells whether this node takes nothing from its peers, as its disk could not keep it.
    pub(in crate::core) fn is_out(&self) -> bool {
        self.is_halted() || self.condition.room.is_out()
    }

    /// Tells whether nothing new may come on record through this node.
    pub(in crate::core) fn takes_nothing(&self) -> bool {
        self.condition.room.is_low() || self.config.isolated || self.checkpointing.asked().is_behind()
    }

    /// Tells whether another node would be a better leader.
    fn is_unfit(&self) -> bool {
        self.is_halted() || self.condition.room.is_low() || self.alarms.is_raised(Alarm::Rotten)
    }

    fn look_at_disk(&self) {
        self.alarms.set(Alarm::ReadOnly, self.condition.room.look());
        match self.reader.write_failure() {
            Some(failure) if failure.starts_with("Corruption") => self.alarms.raise(Alarm::Rotten, failure),
            Some(failure) => self.alarms.raise(Alarm::FlushFailed, failure),
            None if !self.is_halted() => self.alarms.clear(Alarm::FlushFailed),
            None => {}
        }
    }

    /// Reads the files again that were found to be damaged; where all can be read, it is over.
    fn read_again(&self) {
        let Some(files) = self.alarms.rot().and_then(|rot| rot.files()) else { return };
        if self.is_halted() {
            return;
        }
        let (reader, alarms, halted) = (self.reader.clone(), self.alarms.clone(), Arc::clone(&self.condition.halted));
        tokio::task::spawn_blocking(move || {
            let read = files.iter().try_for_each(|file| reader.read_file_again(file));
            match read {
                // Something else may have been found meanwhile.
                Ok(()) if alarms.rot().and_then(|rot| rot.files()).as_ref() == Some(&files) => {
                    if !halted.load(std::sync::atomic::Ordering::Acquire) && reader.write_failure().is_none() {
                        alarms.clear(Alarm::Rotten);
                    }
                }
                Ok(()) => {}
                Err(error) => tracing::warn!(%error, "what was found to be damaged still can't be read"),
            }
        });
    }

    fn look_at_checkpoints(&self, covered: &mut Covered) {
        let size = self.checkpointing.newest().map_or(0, |newest| newest.size);
        let committed = self.reader.last_index_commit().map_or(0, |(commit, _)| commit.get() + 1);
        let waits = self.reader.pending_since_commit() || committed > size;
        if !waits || size > covered.size {
            *covered = Covered { size, at: Instant::now() };
        }
        let late = covered.at.elapsed();
        let found = (late >= CHECKPOINT_MAX).then(|| {
            let recorded = self.reader.tree_size().get();
            format!("{recorded} entries are recorded here, {size} are covered, and no more for {} s", late.as_secs())
        });
        self.alarms.set(Alarm::NoCheckpoint, found);
    }

    /// `led`: when a leader was last known.
    fn look_at_leader(&self, led: &mut Instant) {
        let status = self.replica.status();
        let replica = &status.core;
        if replica.leader.is_some() || self.condition.corruption.check().is_err() {
            *led = Instant::now();
        }
        let late = led.elapsed() >= LEADER_MAX;
        let unmet = (late && !replica.unmet.is_empty()).then(|| format!("nodes {:?} weren't met yet", replica.unmet));
        let out_of_touch = (late && unmet.is_none()).then(String::new);
        self.alarms.set(Alarm::NotFounded, unmet);
        self.alarms.set(Alarm::OutOfTouch, out_of_touch);
    }

    /// Lets another node lead before this one stops, so that nobody waits for an election. Where none takes over within a
    /// second after it was chosen, this one stops all the same. From here on it says that it stops: it isn't chosen itself.
    pub async fn step_down(&self) {
        self.condition.leaving.store(true, std::sync::atomic::Ordering::Release);
        if !self.leads() {
            return;
        }
        self.hand_over("this node stops").await;
        // Only now: a dead peer takes as long to be asked as another one has to take over.
        let until = Instant::now() + STEP_DOWN_MAX;
        while self.leader().is_none_or(|leader| leader == self.config.id) && Instant::now() < until {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets the node lead that is well and has applied most.
    async fn hand_over(&self, why: &str) {
        let ask = |link: crate::peer::links::Link| {
            let (id, mut client) = (link.id, link.calls.clone());
            async move {
                let status = timeout(PEER_TIMEOUT, client.status(ClusterStatusRequest { local_only: true })).await;
                let status = status.ok()?.ok()?.into_inner();
                // A leader's own clock or disk is no reason against a node that only warns.
                matches!(status.status.as_str(), "ok" | "warning").then_some((status.applied, id))
            }
        };
        // A learner can't lead.
        let voters = self.raft_members().voters;
        let asked = self.links.iter().filter(|link| voters.contains(&link.id)).map(ask);
        let known = futures::future::join_all(asked).await;
        if let Some((_, id)) = known.into_iter().flatten().max() {
            tracing::warn!(to = id, why, "another node is to lead");
            self.replica.transfer_leader(id);
        }
    }
}

fn ends_soon(end_s: u64, now_s: u64) -> Option<String> {
    let left_s = end_s.saturating_sub(now_s);
    (left_s < CERTIFICATE_S).then(|| match left_s {
        0 => "it has ended".to_owned(),
        _ => format!("it ends in {} days", left_s / 86_400),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_told_of_in_its_last_thirty_days() {
        let day = 86_400;
        assert_eq!(ends_soon(u64::MAX, 5), None);
        assert_eq!(ends_soon(100 * day, 70 * day), None);
        assert_eq!(ends_soon(100 * day, 71 * day).as_deref(), Some("it ends in 29 days"));
        assert_eq!(ends_soon(100 * day, 101 * day).as_deref(), Some("it has ended"));
    }
}
