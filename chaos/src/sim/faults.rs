//! What goes wrong, and the healing of it.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::world::{Event, Network, World};
use crate::check::Violation;

/// The kinds of fault; each run draws which of them it has, so that some runs are bad in one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Crash,
    CrashAll,
    Partition,
    OneWay,
    Lossy,
    Slow,
    ClockJump,
    Lie,
    SlowDisk,
    Flush,
    Transfer,
    NetworkHeals,
}

const KINDS: [Kind; 12] = [
    Kind::Crash,
    Kind::CrashAll,
    Kind::Partition,
    Kind::OneWay,
    Kind::Lossy,
    Kind::Slow,
    Kind::ClockJump,
    Kind::Lie,
    Kind::SlowDisk,
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
}

/// How bad things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Faults happen.
    Faults,
    /// Since then no more happen, but a minority is dead and a clock may be wrong.
    Limping { since_us: u64 },
    /// Since then all is well.
    Healed { since_us: u64 },
}

impl Faults {
    pub(crate) fn draw(rng: &mut ChaCha8Rng) -> Self {
        let kinds = KINDS
            .into_iter()
            .filter(|&kind| matches!(kind, Kind::Flush | Kind::NetworkHeals) || rng.random_bool(0.6))
            .collect();
        Faults { kinds, pause_us: rng.random_range(50_000..500_000), phase: Phase::Faults }
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
            // Half of the crashes come in the middle of the next write.
            Kind::Crash if self.rng.random_bool(0.5) => self.replica(node).doomed = true,
            Kind::Crash => self.crash_and_restart(node),
            Kind::CrashAll => (1..=self.report.nodes).for_each(|node| self.crash_and_restart(node)),
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

    pub(crate) fn crash_and_restart(&mut self, node: u64) {
        let pause = 10_000 << self.rng.random_range(0..9);
        self.crash(node);
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

    fn set_clock(&mut self, node: u64, offset_us: i64) {
        let now_us = self.now_us;
        self.replica(node).clock.set(now_us, offset_us);
    }

    /// No more faults: but a minority stays dead, and one clock may be wrong.
    pub(crate) fn limp(&mut self) -> Result<(), Violation> {
        self.note(|| "LIMPS".into());
        let nodes = self.report.nodes;
        let dead = self.rng.random_range(1..=nodes.div_ceil(2) - 1);
        let first = self.rng.random_range(0..nodes);
        for node in (first..first + dead).map(|at| at % nodes + 1) {
            self.crash(node);
            self.replica(node).dead = true;
        }
        self.mend()?;
        if self.rng.random_bool(0.7) {
            let node = self.rng.random_range(1..=nodes);
            let offset_us = self.rng.random_range(-3_600_000_000..3_600_000_000);
            self.note(|| format!("the clock of node {node} is wrong"));
            self.set_clock(node, offset_us);
        }
        self.faults.phase = Phase::Limping { since_us: self.now_us };
        self.expect_progress();
        Ok(())
    }

    /// Everything works from now on.
    pub(crate) fn heal(&mut self) -> Result<(), Violation> {
        self.note(|| "HEALED".into());
        for replica in self.replicas.values_mut() {
            replica.dead = false;
        }
        self.mend()?;
        self.faults.phase = Phase::Healed { since_us: self.now_us };
        self.expect_progress();
        Ok(())
    }

    /// Network, disks and clocks are well, and who isn't dead is up.
    fn mend(&mut self) -> Result<(), Violation> {
        self.network = Network::healthy();
        for node in 1..=self.report.nodes {
            let offset = self.rng.random_range(-20_000..20_000);
            let now_us = self.now_us;
            self.set_clock(node, offset);
            let replica = self.replica(node);
            if std::mem::take(&mut replica.lies) {
                replica.lied_us = Some(now_us);
            }
            replica.doomed = false;
            replica.disk_delay_us = 200;
            if replica.running.is_none() && !replica.dead {
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
        for client in 0..self.clients.len() {
            let attempt = self.clients[client].attempt();
            self.after(0, Event::Client { client, attempt });
        }
    }
}
