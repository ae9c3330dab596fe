//! Faults, and the healing of them.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::limp::Limp;
use super::replica::{APPLY_DELAY_US, Down};
use super::world::{Event, Network, World};
use crate::check::Violation;

/// The kinds of fault; each run draws which of them it has, so that some runs are bad in one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Crash,
    Kill,
    CrashAll,
    Rot,
    Disks,
    Keys,
    Unseen,
    Members,
    Partition,
    OneWay,
    Lossy,
    Slow,
    ClockJump,
    Lie,
    SlowDisk,
    SlowApply,
    Flush,
    Transfer,
    NetworkHeals,
}

const KINDS: [Kind; 19] = [
    Kind::Crash,
    Kind::Kill,
    Kind::CrashAll,
    Kind::Rot,
    Kind::Disks,
    Kind::Keys,
    Kind::Unseen,
    Kind::Members,
    Kind::Partition,
    Kind::OneWay,
    Kind::Lossy,
    Kind::Slow,
    Kind::ClockJump,
    Kind::Lie,
    Kind::SlowDisk,
    Kind::SlowApply,
    Kind::Flush,
    Kind::Transfer,
    Kind::NetworkHeals,
];

/// The plan of a run.
#[derive(Debug)]
pub(crate) struct Faults {
    kinds: Vec<Kind>,
    /// Mean pause between two faults.
    pause_us: u64,
    pub phase: Phase,
    /// The part that stays broken when faults have ended, for a while.
    pub limp: Limp,
    /// True if a node may be put back so that nothing at its start can tell.
    pub bound: bool,
    /// True if nodes whose disk is lost are replaced.
    pub replaces: bool,
}

/// How bad things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Faults happen.
    Faults,
    /// Since then no more happen, but something stays broken.
    Limping { since_us: u64 },
    /// Since then all is well.
    Healed { since_us: u64 },
}

impl Faults {
    /// `ledger`: the real one, whose clocks are the founders'; so they stay.
    pub(crate) fn draw(rng: &mut ChaCha8Rng, ledger: bool) -> Self {
        let mut kinds: Vec<Kind> = KINDS
            .into_iter()
            .filter(|&kind| match kind {
                Kind::Flush | Kind::NetworkHeals => true,
                Kind::Disks => rng.random_bool(0.5),
                Kind::Keys => rng.random_bool(0.2),
                Kind::Unseen => rng.random_bool(0.05),
                _ => rng.random_bool(0.6),
            })
            .collect();
        let has = |kind: Kind| kinds.contains(&kind);
        let (bound, disks) = (has(Kind::Unseen), has(Kind::Disks) || has(Kind::Keys));
        // Whoever changes the members while disks are lost may leave a group that can't go on. And a group that may lose
        // records is to lose them by the one fault that it is about.
        kinds.retain(|kind| match kind {
            Kind::Members => !disks && !bound && !ledger,
            Kind::Rot | Kind::Disks | Kind::Keys => !bound,
            _ => true,
        });
        let pause_us = rng.random_range(50_000..500_000);
        Faults { kinds, pause_us, phase: Phase::Faults, limp: Limp::default(), bound, replaces: false }
    }
}

impl Faults {
    pub(crate) fn loses_disks(&self) -> bool {
        self.kinds.contains(&Kind::Disks)
    }

    pub(crate) fn mixes_up_keys(&self) -> bool {
        self.kinds.contains(&Kind::Keys)
    }
}

impl World {
    /// One fault, and the next is due later.
    pub(crate) fn fault(&mut self) -> Result<(), Violation> {
        if self.faults.phase != Phase::Faults {
            return Ok(());
        }
        let kind = self.faults.kinds[self.rng.random_range(0..self.faults.kinds.len())];
        let node = self.rng.random_range(1..=self.report.nodes);
        self.note(|| format!("FAULT {kind:?}, node {node}"));
        match kind {
            Kind::Crash | Kind::Kill | Kind::CrashAll if self.unseen => {}
            Kind::Crash => self.end(node, Down::Power),
            Kind::Kill => {
                let down = if self.rng.random_bool(0.7) { Down::Killed } else { Down::SyncFailed };
                self.end(node, down);
            }
            Kind::CrashAll => {
                let down = Down::ALL[self.rng.random_range(0..Down::ALL.len())];
                (1..=self.report.nodes).for_each(|node| self.crash_and_restart(node, down));
            }
            Kind::Rot => self.rot(node),
            Kind::Disks => self.disks_fault(node),
            Kind::Keys => self.mix_up_keys(node),
            Kind::Unseen => self.put_back_unseen(node),
            Kind::Members => self.change_members()?,
            Kind::Partition => self.partition(),
            Kind::OneWay => {
                let other = self.rng.random_range(1..=self.report.nodes);
                self.network.cut.insert((node, other));
            }
            Kind::Lossy => {
                self.network.loss = self.rng.random_range(0.0..0.3);
                self.network.repeat = self.rng.random_range(0.0..0.2);
            }
            Kind::Slow => {
                let high = 1_000 << self.rng.random_range(0..9);
                self.network.delay_us = (100, high);
            }
            Kind::ClockJump => self.clock_jump(node),
            Kind::Lie => {
                let (now_us, lies) = (self.now_us, self.rng.random_bool(0.5));
                let replica = self.replica(node);
                if replica.lies || lies {
                    replica.lied_us = Some(if lies { u64::MAX } else { now_us });
                }
                replica.lies = lies;
            }
            Kind::SlowDisk => {
                let delay = 100 << self.rng.random_range(0..12);
                self.replica(node).disk_delay_us = delay;
            }
            Kind::SlowApply => {
                let delay = 1_000 << self.rng.random_range(0..12);
                self.replica(node).apply_delay_us = delay;
            }
            Kind::Flush => {
                let replica = self.replica(node);
                if replica.running.is_some() {
                    replica.ledger.flush();
                }
            }
            Kind::Transfer => self.transfer(node)?,
            Kind::NetworkHeals => self.network = Network::healthy(),
        }
        let pause = self.rng.random_range(0..2 * self.faults.pause_us);
        self.after(pause, Event::Fault);
        Ok(())
    }

    /// Half of the ends come in the middle of the next write.
    fn end(&mut self, node: u64, down: Down) {
        if self.rng.random_bool(0.5) {
            self.replica(node).doomed = Some(down);
        } else {
            self.crash_and_restart(node, down);
        }
    }

    pub(crate) fn crash_and_restart(&mut self, node: u64, down: Down) {
        let pause = 10_000 << self.rng.random_range(0..9);
        self.crash(node, down);
        let life = self.replicas[&node].life;
        self.after(pause, Event::Start { node, life });
    }

    fn partition(&mut self) {
        self.network.cut.clear();
        let side: Vec<bool> = (0..=self.report.nodes).map(|_| self.rng.random_bool(0.5)).collect();
        for from in 1..=self.report.nodes {
            for to in 1..=self.report.nodes {
                if side[from as usize] != side[to as usize] {
                    self.network.cut.insert((from, to));
                }
            }
        }
    }

    fn clock_jump(&mut self, node: u64) {
        let offset = match self.rng.random_range(0..4) {
            0 => 0,
            1 => self.rng.random_range(-400_000..400_000),
            2 => self.rng.random_range(-3_000_000..3_000_000),
            // Any clock may be anywhere, a majority's too: then they commit entries of a time that is to come, and the
            // group must go on all the same once the clocks are right.
            _ => self.rng.random_range(-3_600_000_000..3_600_000_000),
        };
        self.set_clock(node, offset);
    }

    pub(crate) fn set_clock(&mut self, node: u64, offset_us: i64) {
        let now_us = self.now_us;
        self.replica(node).clock.set(now_us, offset_us);
    }

    /// One disk of a run may rot: the group has the record on the others.
    fn rot(&mut self, node: u64) {
        if self.replicas.values().any(|replica| replica.rotten) || !self.may_suffer(&[node]) {
            return;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.rng.random());
        self.crash_and_restart(node, Down::Power);
        let replica = self.replica(node);
        if let Some(place) = replica.disk.rot(&mut rng) {
            replica.rotten = true;
            self.note(|| format!("rot on node {node}: {place}"));
        }
    }

    /// No more faults; but something stays broken.
    pub(crate) fn limp(&mut self) -> Result<(), Violation> {
        self.note(|| "LIMPS".into());
        self.network = Network::healthy();
        self.begin_limp();
        self.mend()?;
        self.wrong_clock();
        self.faults.phase = Phase::Limping { since_us: self.now_us };
        self.expect_progress();
        self.after(0, Event::Operator);
        Ok(())
    }

    /// Everything works from now on.
    pub(crate) fn heal(&mut self) -> Result<(), Violation> {
        self.note(|| "HEALED".into());
        self.network = Network::healthy();
        self.faults.limp = Limp::default();
        self.mend()?;
        self.faults.phase = Phase::Healed { since_us: self.now_us };
        self.expect_progress();
        Ok(())
    }

    /// Disks and clocks are well, and who can be up is.
    fn mend(&mut self) -> Result<(), Violation> {
        let now_us = self.now_us;
        for node in 1..=self.report.nodes {
            let offset = self.rng.random_range(-20_000..20_000);
            self.set_clock(node, offset);
            let is_down = self.faults.limp.is_down(node);
            let replica = self.replica(node);
            if std::mem::take(&mut replica.lies) {
                replica.lied_us = Some(now_us);
            }
            replica.doomed = None;
            replica.disk_delay_us = 200;
            replica.apply_delay_us = APPLY_DELAY_US;
            if replica.running.is_none() && !replica.retired && !is_down {
                self.start(node)?;
            }
        }
        Ok(())
    }

    /// Each client has to get some records through.
    fn expect_progress(&mut self) {
        for client in &mut self.clients {
            client.expect_progress();
        }
        // Who gave up has to be waited for no more.
        for client in 0..self.clients.len() {
            let attempt = self.clients[client].attempt();
            self.after(0, Event::Client { client, attempt });
        }
    }
}
