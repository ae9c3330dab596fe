//! One replica: the real core and the real log store, and what the threads around them do, step by step.

mod applying;

use std::collections::{BTreeMap, VecDeque};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sillage_cluster::LogConfig;
use sillage_cluster::begin::{BeginError, begin_run};
use sillage_cluster::config::CoreConfig;
use sillage_cluster::core::{
    Actions, CommittedEntry, CompactWish, Compaction, Core, Install, Members, Outgoing, ProposalId, ReadId,
    SnapshotMade, State, WriteTask, open_stamp_of,
};
use sillage_cluster::identity::{STARTS_NOTE, peer_note};
use sillage_cluster::log::{Batch, FoundLog, Gathered, LogError, LogStore, SegmentedLog, WriteGroup};
use sillage_cluster::{DiskClaim, DiskRun};
use sillage_rules::clock::CLOCK_LEAD_MS_MAX;

use super::Plant;
use super::clients::{Outcome, Waiting};
use super::clock::{Offsets, Told, latest_time_ms};
use super::disk::SimDisk;
use super::disks::{Kept, SimMarker};
use super::ledger::{self, Applied, Copy, Ledger, entry_hash};
use super::world::{Event, TICK_US, World};
use crate::check::Violation;

/// Wall clock at the beginning of a run, in milliseconds since the Unix epoch.
pub(crate) const EPOCH_MS: i64 = 1_780_000_000_000;
/// Applying some entries takes this long at most, on a node that isn't slow.
pub(crate) const APPLY_DELAY_US: u64 = 3_000;
/// No proposal of a client is longer.
const PROPOSAL_BYTES_MAX: u64 = 1_000;
/// Checkpoints are looked at each time the log has grown by this many records.
const CHECKPOINT_EVERY: u64 = 8;
/// A leader asks for the root to be cosigned each time the log has grown by this many: often, as a leader whose state differs
/// is soon found out.
const COSIGNED_EVERY: u64 = 2;

/// The parts that all replicas of a run have in common.
pub(crate) struct Settings {
    core: CoreConfig,
    log: LogConfig,
    ledger: ledger::Kind,
    seed: u64,
}

impl Settings {
    pub(crate) fn draw(rng: &mut ChaCha8Rng, size: u64, ledger: ledger::Kind, seed: u64) -> Self {
        let mut core = CoreConfig::new(1, (1..=size).collect());
        core.max_size_per_msg = 1 << rng.random_range(9..14);
        core.max_inflight_msgs = rng.random_range(2..16);
        core.max_committed_size_per_ready = 1 << rng.random_range(10..16);
        core.log_keep_bytes = 1 << rng.random_range(10..18);
        core.log_max_bytes = core.log_keep_bytes * 2;
        core.snapshot_timeout_ticks = 100;
        core.snapshot_stall_ticks = 300;
        core.read_timeout_ticks = 40;
        core.max_unapplied_bytes = 1 << rng.random_range(11..15);
        core.promote_lag_bytes_max = 1 << rng.random_range(9..14);
        let log = LogConfig { segment_bytes: 1 << rng.random_range(12..16) };
        Settings { core, log, ledger, seed }
    }

    /// A node that lags gets entries: a snapshot doesn't tell who applied them right.
    pub(crate) fn keep_all(&mut self) {
        self.core.log_keep_bytes = 1 << 30;
        self.core.log_max_bytes = 1 << 31;
    }

    pub(crate) fn founders(&self) -> Members {
        Members::of_voters(&self.core.voters)
    }
}

/// Work for the disk, in order.
#[derive(Debug)]
enum Job {
    Write(Box<WriteTask>),
    Compact(Compaction),
    /// The highest run seen of a peer.
    Note(u64, DiskRun),
    Starts(DiskClaim),
}

/// A node, up or down.
pub(crate) struct Replica {
    pub id: u64,
    /// Number of its starts and crashes.
    pub life: u64,
    pub disk: SimDisk,
    pub ledger: Ledger,
    pub running: Option<Running>,
    pub clock: Offsets,
    /// It says its clock is a year ahead, and stamps so.
    pub lies: bool,
    /// When it lied last.
    pub lied_us: Option<u64>,
    pub disk_delay_us: u64,
    pub apply_delay_us: u64,
    /// Goes down in the middle of its next write.
    pub doomed: Option<Down>,
    /// A bit of its log was flipped: it may refuse to start, and then never does again.
    pub rotten: bool,
    pub retired: bool,
    /// True if its disk's promises may be lost, or its state differs: it may be refused at a start, or be out.
    pub suffered: bool,
    pub marker: SimMarker,
    /// Somebody said that a node begins here.
    pub may_begin: bool,
    /// Its stored notes on its peers.
    pub knows: BTreeMap<u64, DiskRun>,
    /// A copy of its data, to be put back.
    pub kept: Option<Kept>,
    plant: Option<Plant>,
    core: CoreConfig,
    log: LogConfig,
    kind: ledger::Kind,
    seed: u64,
}

/// The part that a crash takes away.
pub(crate) struct Running {
    pub core: Core,
    pub claim: Option<DiskClaim>,
    log: SegmentedLog<SimDisk>,
    group: WriteGroup,
    jobs: VecDeque<Job>,
    writing: bool,
    unapplied: VecDeque<CommittedEntry>,
    applying: bool,
    /// Snapshots made here, which peers may fetch.
    made: Vec<Copy>,
    /// A snapshot fetched, to be installed.
    staged: Option<Copy>,
    pub proposals: BTreeMap<ProposalId, Waiting>,
    pub reads: BTreeMap<ReadId, Waiting>,
    /// While it leads: what the others' clocks showed.
    pub told: BTreeMap<u64, Told>,
    ticks: u64,
    /// For a planted bug: the latest stamp that it took.
    stamp_ms: u64,
}

impl Replica {
    pub(crate) fn new_ledger(&self, founders: Members) -> Ledger {
        Ledger::new(&self.kind, founders, self.plant, self.seed ^ (self.id << 32) ^ (self.life << 40))
    }

    pub(crate) fn new(id: u64, settings: &Settings, plant: Option<Plant>) -> Self {
        let mut core = settings.core.clone();
        core.id = id;
        let ledger = Ledger::new(&settings.ledger, settings.founders(), plant, settings.seed ^ (id << 32));
        core.plants.members_forgotten = plant == Some(Plant::MembersForgotten);
        core.plants.unapplied_unbounded = plant == Some(Plant::UnappliedUnbounded);
        Replica {
            id,
            life: 0,
            disk: SimDisk::default(),
            ledger,
            running: None,
            clock: Offsets::right(),
            lies: false,
            lied_us: None,
            disk_delay_us: 500,
            apply_delay_us: APPLY_DELAY_US,
            doomed: None,
            rotten: false,
            retired: false,
            suffered: false,
            marker: SimMarker::default(),
            may_begin: true,
            knows: BTreeMap::new(),
            kept: None,
            plant,
            core,
            log: settings.log,
            kind: settings.ledger.clone(),
            seed: settings.seed,
        }
    }

    /// It ends, perhaps in the middle of a write.
    fn crash(&mut self, down: Down, rng: &mut ChaCha8Rng) {
        if let Some(mut running) = self.running.take()
            && running.writing
            && rng.random_bool(0.7)
        {
            running.half_written(self, rng);
        }
        match down {
            Down::Power => self.disk.crash(rng),
            Down::Killed => self.disk.kill(),
            Down::SyncFailed => {
                self.disk.fail_writeback(rng);
                self.disk.kill();
            }
        }
        // What the state machine had not flushed is gone either way: it keeps no log of its own.
        let (id, opened) = (self.id, self.ledger.crash(rng));
        opened.unwrap_or_else(|error| panic!("the ledger of node {id} doesn't open after a crash: {error}"));
        self.life += 1;
    }

    fn open_log(&self) -> Result<(SegmentedLog<SimDisk>, FoundLog), LogError> {
        let open = match self.plant {
            Some(Plant::UnsyncedTailTrusted) => SegmentedLog::open_trusting_the_tail,
            _ => SegmentedLog::open,
        };
        open(self.disk.clone(), self.id, self.log, self.ledger.applied())
    }
}

/// How a node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Down {
    /// Power fails: unsynced writes may be lost.
    Power,
    /// The process is killed: they stay in the page cache, for now.
    Killed,
    /// A sync fails and the process ends: they stay in the page cache, and some never reach the disk.
    SyncFailed,
}

impl Down {
    pub(crate) const ALL: [Down; 3] = [Down::Power, Down::Killed, Down::SyncFailed];
}

impl Running {
    /// Carries out a part of what was to be written.
    fn half_written(&mut self, replica: &mut Replica, rng: &mut ChaCha8Rng) {
        let jobs = rng.random_range(1..=self.jobs.len().max(1));
        for job in self.jobs.drain(..).take(jobs) {
            match job {
                Job::Compact(compaction) => self.group.compact(&compaction),
                Job::Note(peer, run) => self.group.note(&peer_note(peer), &run.encode()),
                Job::Starts(claim) => self.group.note(STARTS_NOTE, &claim.encode_starts()),
                Job::Write(task) => {
                    if let Some(install) = &task.install {
                        let mut begun = Batch::default();
                        begun.install_begun(install);
                        let written = self.log.append(&begun).is_ok();
                        if written && rng.random_bool(0.5) {
                            let copy = self.staged.take().expect("fetched before");
                            // It ends here in any case. A refusal comes again when the snapshot does, and is judged there.
                            if replica.ledger.install(&copy).is_err() {
                                break;
                            }
                            self.group.installed(install);
                        } else {
                            break;
                        }
                    }
                    self.group.add(*task);
                }
            }
        }
        // A new segment takes three syncs: any of them may be the first that fails.
        replica.disk.fail_syncs_after([0, 0, 1, 2][rng.random_range(0..4)]);
        // The error is the crash.
        let _ = self.log.append(&self.group.take().batch);
    }
}

impl World {
    pub(crate) fn replica(&mut self, node: u64) -> &mut Replica {
        self.replicas.get_mut(&node).expect("a node of the group")
    }

    pub(crate) fn running(&mut self, node: u64) -> &mut Running {
        let replica = self.replica(node);
        replica.running.as_mut().expect("the node is up")
    }

    pub(crate) fn wall_clock_ms(&self, node: u64) -> u64 {
        let since_us = i64::try_from(self.now_us).expect("a run is short");
        let ms = EPOCH_MS + (since_us + self.replicas[&node].clock.now_us()) / 1000;
        u64::try_from(ms).expect("after the epoch")
    }

    /// A node starts on what its disk holds.
    pub(crate) fn start(&mut self, node: u64) -> Result<(), Violation> {
        let seed = self.rng.random();
        let first_tick = self.rng.random_range(0..TICK_US);
        let ends = self.rng.random_bool(0.03);
        let unseen = self.unseen;
        let replica = self.replica(node);
        replica.life += 1;
        let stopped = |reason: String| Violation::Stopped { node, reason };
        let applied = replica.ledger.applied();
        let may_fall = replica.suffered || unseen;
        let (mut log, found) = match replica.open_log() {
            Ok(opened) => opened,
            Err(LogError::Damaged(_)) if replica.rotten => {
                replica.retired = true;
                self.report.retired += 1;
                self.note(|| format!("node {node} found rot and stays down"));
                return Ok(());
            }
            Err(error) if may_fall => return self.refuse(node, &error.to_string()),
            Err(error) => return Err(stopped(error.to_string())),
        };
        let torn = u64::from(found.torn_bytes > 0);
        let mut config = replica.core.clone();
        if replica.plant != Some(Plant::NoIdentity) {
            let mut names = ChaCha8Rng::seed_from_u64(seed);
            let mut random = || names.random();
            replica.marker.fail_next(ends);
            match begin_run(&mut log, &found, applied.0, &replica.marker, replica.may_begin, &mut random) {
                Ok(claim) => config.disk = Some(claim),
                Err(BeginError::Disk(error)) if may_fall && !ends => return self.refuse(node, &error.to_string()),
                Err(_) if ends => {
                    // It ended after the data folder was written, and before the marker was.
                    self.crash_and_restart(node, Down::Killed);
                    return Ok(());
                }
                Err(error) => return Err(stopped(error.to_string())),
            }
            replica.marker.fail_next(false);
            // A folder that was begun isn't begun again.
            replica.may_begin = false;
        }
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let core = match Core::new(&config, seed, found.recovered, applied, &logger) {
            Ok(core) => core,
            Err(error) if may_fall => return self.refuse(node, &error.to_string()),
            Err(error) => return Err(stopped(error.to_string())),
        };
        let members = core.members().members.clone();
        replica.running = Some(Running {
            core,
            claim: config.disk,
            log,
            group: WriteGroup::default(),
            jobs: VecDeque::new(),
            writing: false,
            unapplied: VecDeque::new(),
            applying: false,
            made: Vec::new(),
            staged: None,
            proposals: BTreeMap::new(),
            reads: BTreeMap::new(),
            told: BTreeMap::new(),
            ticks: 0,
            stamp_ms: 0,
        });
        let life = replica.life;
        self.report.torn_writes += torn;
        self.checks.saw_members_at(node, applied.0, &members)?;
        self.tell_state(node);
        self.after(first_tick, Event::Tick { node, life });
        self.pump(node)
    }

    /// A node that suffered must not take part: it stays down.
    pub(crate) fn refuse(&mut self, node: u64, why: &str) -> Result<(), Violation> {
        self.note(|| format!("node {node} is refused: {why}"));
        let replica = self.replica(node);
        replica.running = None;
        replica.life += 1;
        replica.retired = true;
        self.report.refused += 1;
        Ok(())
    }

    /// The core compares it with the others'.
    fn tell_state(&mut self, node: u64) {
        if self.plant == Some(Plant::DivergenceUnseen) {
            return;
        }
        let replica = self.replica(node);
        let ((index, term), root) = (replica.ledger.applied(), replica.ledger.checkpoint().root);
        if let Some(running) = &mut replica.running {
            running.core.saw_state(State { index, term, digest: *root.as_bytes() });
        }
    }

    pub(crate) fn crash(&mut self, node: u64, down: Down) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.rng.random());
        let replica = self.replica(node);
        if replica.running.is_some() {
            replica.crash(down, &mut rng);
            match down {
                Down::Power => self.report.crashes += 1,
                Down::Killed | Down::SyncFailed => self.report.kills += 1,
            }
        } else if down == Down::Power {
            // It is down already; what its last process left in the page cache goes too.
            replica.disk.crash(&mut rng);
        }
    }

    pub(crate) fn transfer(&mut self, node: u64) -> Result<(), Violation> {
        let up: Vec<u64> = self.replicas.values().filter(|replica| replica.running.is_some()).map(|r| r.id).collect();
        for leader in up {
            self.running(leader).core.transfer_leader(node);
            self.pump(leader)?;
        }
        Ok(())
    }

    pub(crate) fn tick(&mut self, node: u64) -> Result<(), Violation> {
        let life = self.replicas[&node].life;
        self.after(TICK_US, Event::Tick { node, life });
        let running = self.running(node);
        running.core.tick();
        running.ticks += 1;
        let ticks = running.ticks;
        self.ask_clocks(node, ticks);
        self.pump(node)
    }

    pub(crate) fn deliver(&mut self, node: u64, claim: Option<&DiskClaim>, message: &[u8]) -> Result<(), Violation> {
        let (now_ms, refuses) = (self.wall_clock_ms(node), self.plant == Some(Plant::ClockWedge));
        let Some(running) = &mut self.replica(node).running else {
            return Ok(());
        };
        if refuses && let Some(stamp_ms) = open_stamp_of(message) {
            if stamp_ms > now_ms + CLOCK_LEAD_MS_MAX && stamp_ms > running.stamp_ms {
                return Ok(());
            }
            running.stamp_ms = running.stamp_ms.max(stamp_ms);
        }
        // A refusal is the replica's to count.
        let _ = running.core.step_from(claim, message);
        self.pump(node)
    }

    /// Does what the core asks for.
    pub(crate) fn pump(&mut self, node: u64) -> Result<(), Violation> {
        loop {
            let Some(running) = &mut self.replica(node).running else {
                return Ok(());
            };
            let actions = running.core.take_actions();
            if actions.is_empty() {
                return Ok(());
            }
            self.act(node, actions)?;
        }
    }

    fn act(&mut self, node: u64, actions: Actions) -> Result<(), Violation> {
        let life = self.replicas[&node].life;
        if let Some(error) = actions.fatal {
            if self.replicas[&node].suffered || self.unseen {
                return self.refuse(node, &error.to_string());
            }
            return Err(Violation::Stopped { node, reason: error.to_string() });
        }
        self.send_all(node, actions.messages);
        if let Some(task) = actions.write {
            self.queue_write(node, task);
        }
        for (peer, run) in actions.store_peers {
            self.running(node).jobs.push_back(Job::Note(peer, run));
            self.schedule_write(node);
        }
        if let Some(claim) = actions.store_starts {
            self.running(node).claim = Some(claim.clone());
            self.running(node).jobs.push_back(Job::Starts(claim));
            self.schedule_write(node);
        }
        if !actions.committed.is_empty() {
            self.running(node).unapplied.extend(actions.committed);
            self.check_unapplied(node)?;
            self.schedule_apply(node);
        }
        for id in actions.superseded {
            if let Some(waiting) = self.running(node).proposals.remove(&id) {
                self.answer(waiting, Outcome::Again { leader: None });
            }
        }
        for (id, _) in actions.reads_ready {
            let size = self.replicas[&node].ledger.size();
            if let Some(waiting) = self.running(node).reads.remove(&id) {
                self.served(node, waiting, size)?;
            }
        }
        for id in actions.reads_failed {
            if let Some(waiting) = self.running(node).reads.remove(&id) {
                self.answer(waiting, Outcome::Again { leader: None });
            }
        }
        if let Some(wish) = actions.compact {
            self.compact(node, wish);
        }
        if actions.make_snapshot {
            let delay = self.rng.random_range(1_000..50_000);
            self.after(delay, Event::SnapshotMade { node, life });
        }
        if !actions.release_snapshots.is_empty() {
            let released = actions.release_snapshots;
            self.running(node).made.retain(|copy| !released.contains(&copy.applied()));
        }
        if let Some(fetch) = actions.fetch_snapshot {
            let delay = self.rng.random_range(1_000..200_000);
            let (from, index, term) = (fetch.from, fetch.index, fetch.term);
            self.after(delay, Event::SnapshotFetched { node, life, from, index, term });
        }
        Ok(())
    }

    /// Entries that wait to be applied are bounded; the last entry handed out may go beyond.
    fn check_unapplied(&self, node: u64) -> Result<(), Violation> {
        let replica = &self.replicas[&node];
        let waiting = replica.running.iter().flat_map(|running| &running.unapplied);
        let bytes: u64 = waiting.map(|entry| entry.data.len() as u64).sum();
        if bytes > replica.core.max_unapplied_bytes + PROPOSAL_BYTES_MAX {
            return Err(Violation::Unbounded { node, bytes });
        }
        Ok(())
    }

    fn send_all(&mut self, node: u64, messages: Vec<Outgoing>) {
        for outgoing in messages {
            self.send(node, outgoing.to, outgoing.message);
        }
    }

    fn queue_write(&mut self, node: u64, mut task: WriteTask) {
        match self.plant {
            Some(Plant::AckBeforeSync) if task.install.is_none() => {
                self.running(node).core.on_persisted(task.number);
                let messages = std::mem::take(&mut task.messages);
                self.send_all(node, messages);
            }
            Some(Plant::VoteForgotten) => task.hard_state = None,
            _ => {}
        }
        self.running(node).jobs.push_back(Job::Write(Box::new(task)));
        self.schedule_write(node);
    }

    fn schedule_write(&mut self, node: u64) {
        let life = self.replicas[&node].life;
        let slowest = self.replicas[&node].disk_delay_us;
        let running = self.running(node);
        if running.writing || running.jobs.is_empty() {
            return;
        }
        running.writing = true;
        let delay = self.rng.random_range(slowest / 4..=slowest);
        self.after(delay, Event::WriteDone { node, life });
    }

    /// The write that was under way is durable.
    pub(crate) fn write_done(&mut self, node: u64) -> Result<(), Violation> {
        if let Some(down) = self.replica(node).doomed.take() {
            self.crash_and_restart(node, down);
            return Ok(());
        }
        let most = self.rng.random_range(1..20);
        let mut stored = Vec::new();
        for _ in 0..most {
            let Some(job) = self.running(node).jobs.pop_front() else {
                break;
            };
            match job {
                Job::Compact(compaction) => self.running(node).group.compact(&compaction),
                Job::Note(peer, run) => {
                    self.running(node).group.note(&peer_note(peer), &run.encode());
                    stored.push((peer, run));
                }
                Job::Starts(claim) => self.running(node).group.note(STARTS_NOTE, &claim.encode_starts()),
                Job::Write(task) => {
                    if let Some(install) = &task.install {
                        self.install(node, install)?;
                        if self.replicas[&node].running.is_none() {
                            return Ok(());
                        }
                    }
                    self.running(node).group.add(*task);
                }
            }
        }
        self.write_group(node)?;
        for (peer, run) in stored {
            self.replica(node).knows.insert(peer, run);
            self.running(node).core.on_peer_stored(peer, run);
        }
        let seal = self.rng.random_bool(0.5);
        let running = self.running(node);
        running.writing = false;
        if seal && running.jobs.is_empty() {
            running.log.seal().map_err(|error| Violation::Stopped { node, reason: error.to_string() })?;
        }
        self.schedule_write(node);
        self.pump(node)
    }

    /// One write, one sync, then the core hears of it, then the messages leave.
    fn write_group(&mut self, node: u64) -> Result<(), Violation> {
        let running = self.running(node);
        let Gathered { batch, number, messages } = running.group.take();
        append(node, running, &batch)?;
        if let Some(number) = number {
            running.core.on_persisted(number);
        }
        self.send_all(node, messages);
        Ok(())
    }

    /// As in the real replica: note the beginning, finish applying, replace the state, note the end.
    fn install(&mut self, node: u64, install: &Install) -> Result<(), Violation> {
        self.write_group(node)?;
        let mut begun = Batch::default();
        begun.install_begun(install);
        append(node, self.running(node), &begun)?;
        while self.apply_one(node)? {}
        let replica = self.replica(node);
        let Some(running) = replica.running.as_mut() else {
            return Ok(());
        };
        let copy = running.staged.take().expect("fetched before");
        assert_eq!(copy.applied(), (install.index, install.term));
        if let Err(reason) = replica.ledger.install(&copy) {
            return match replica.suffered || self.unseen {
                true => self.refuse(node, &reason),
                false => Err(Violation::Stopped { node, reason }),
            };
        }
        running.group.installed(install);
        self.tell_state(node);
        self.report.installs += 1;
        self.checks.saw_members_at(node, install.index, &Members::from(&install.conf_state))?;
        self.look_at_checkpoint(node)
    }
}

fn append(node: u64, running: &mut Running, batch: &Batch) -> Result<(), Violation> {
    running.log.append(batch).map_err(|error| Violation::Stopped { node, reason: error.to_string() })
}
