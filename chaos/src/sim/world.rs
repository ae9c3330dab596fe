//! Time, the queue of events, and the network.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sillage_cluster::DiskClaim;
use sillage_cluster::core::{Members, Role};

use super::clients::{Client, Reply, Request};
use super::cosign::{Answer, Cosigning, Question};
use super::faults::{Faults, Phase};
use super::ledger;
use super::real::Kit;
use super::replica::{Replica, Settings};
use super::{Options, Plant, Report};
use crate::check::{Checks, Violation};

/// Length of a tick in microseconds.
pub(crate) const TICK_US: u64 = 10_000;
/// How long recovery may take after all was healed.
const RECOVERY_US: u64 = 60_000_000;
/// How long it may take until records get through again once faults have ended, all healed or not.
const LIMP_US: u64 = 60_000_000;
/// Events kept for a failure.
const KEPT_EVENTS: usize = 120;

/// Something that happens at a time. `life` counts the starts of a node: what was due for an earlier one is void.
#[derive(Debug)]
pub(crate) enum Event {
    Tick {
        node: u64,
        life: u64,
    },
    Deliver {
        from: u64,
        to: u64,
        /// The sender's, when it was sent.
        claim: Option<DiskClaim>,
        message: Vec<u8>,
    },
    WriteDone {
        node: u64,
        life: u64,
    },
    Apply {
        node: u64,
        life: u64,
    },
    SnapshotMade {
        node: u64,
        life: u64,
    },
    SnapshotFetched {
        node: u64,
        life: u64,
        from: u64,
        index: u64,
        term: u64,
    },
    Start {
        node: u64,
        life: u64,
    },
    Client {
        client: usize,
        attempt: u64,
    },
    Request {
        node: u64,
        request: Request,
    },
    Reply {
        reply: Reply,
    },
    Ask {
        from: u64,
        to: u64,
        term: u64,
    },
    Told {
        from: u64,
        to: u64,
        term: u64,
        clock_ms: u64,
    },
    Fault,
    Limp,
    /// The operator has a look.
    Operator,
    /// They look whether a disk is lost.
    Replace,
    Cosign(Question),
    Cosigned(Answer),
}

/// One run.
pub(crate) struct World {
    pub now_us: u64,
    pub rng: ChaCha8Rng,
    pub plant: Option<Plant>,
    queue: BTreeMap<(u64, u64), Event>,
    queued: u64,
    pub replicas: BTreeMap<u64, Replica>,
    pub clients: Vec<Client>,
    pub checks: Checks,
    pub settings: Settings,
    pub network: Network,
    pub faults: Faults,
    pub report: Report,
    /// A node was put back so that nothing at its start could tell.
    pub unseen: bool,
    /// (term, index) of what was proposed → what each clock may have shown for it, in milliseconds.
    pub clocks: BTreeMap<(u64, u64), BTreeMap<u64, u64>>,
    pub cosigning: Cosigning,
    /// The node that is to take the place of a node whose disk is lost.
    pub newcomer: Option<u64>,
    events: Option<VecDeque<String>>,
}

/// How messages travel.
#[derive(Debug)]
pub(crate) struct Network {
    /// (from, to) pairs that are cut.
    pub cut: BTreeSet<(u64, u64)>,
    pub loss: f64,
    pub repeat: f64,
    pub delay_us: (u64, u64),
}

impl Network {
    pub(crate) fn healthy() -> Self {
        Network { cut: BTreeSet::new(), loss: 0.0, repeat: 0.0, delay_us: (100, 2_000) }
    }
}

impl World {
    pub(crate) fn new(seed: u64, options: &Options, keep_events: bool) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let size = if rng.random_bool(0.7) { 3 } else { 5 };
        let is_real = options.ledger || options.plant == Some(Plant::FlushedApart);
        let ledger = match is_real {
            true => ledger::Kind::Real(Arc::new(Kit::new(size))),
            false => ledger::Kind::Model,
        };
        let mut settings = Settings::draw(&mut rng, size, ledger, seed);
        let mut faults = Faults::draw(&mut rng, is_real);
        // Drawn by itself: whether nodes are replaced changes nothing of the other runs.
        faults.replaces = !is_real && faults.loses_disks() && ChaCha8Rng::seed_from_u64(seed).random_bool(0.5);
        if faults.mixes_up_keys() {
            settings.keep_all();
        }
        let replicas = (1..=size).map(|id| (id, Replica::new(id, &settings, options.plant))).collect();
        let mut checks = Checks::default();
        checks.founded_by(&Members::of_voters(&(1..=size).collect::<Vec<_>>()));
        let clients = (0..4).map(Client::new).collect();
        let mut world = World {
            now_us: 0,
            rng,
            plant: options.plant,
            queue: BTreeMap::new(),
            queued: 0,
            replicas,
            clients,
            checks,
            settings,
            network: Network::healthy(),
            faults,
            unseen: false,
            clocks: BTreeMap::new(),
            cosigning: Cosigning::new(seed),
            newcomer: None,
            report: Report { nodes: size, ..Report::default() },
            events: keep_events.then(VecDeque::new),
        };
        for node in 1..=size {
            world.at(0, Event::Start { node, life: 0 });
        }
        for client in 0..world.clients.len() {
            world.at(500_000, Event::Client { client, attempt: 0 });
        }
        world.at(1_000_000, Event::Fault);
        world.at(options.faults_ms * 1000, Event::Limp);
        if world.faults.replaces {
            world.at(1_000_000, Event::Replace);
        }
        world
    }

    /// Runs to the end.
    pub(crate) fn run(&mut self) -> Result<(), Violation> {
        while let Some(((time, _), event)) = self.queue.pop_first() {
            self.now_us = time;
            self.report.events += 1;
            if self.events.is_some() {
                let text = describe(&event);
                self.note(|| text);
            }
            let node = self.handle(event)?;
            if let Some(node) = node {
                self.observe(node)?;
            }
            match self.faults.phase {
                Phase::Faults => {}
                Phase::Limping { since_us } => {
                    if self.moved_on(since_us + LIMP_US)? {
                        self.heal()?;
                    }
                }
                Phase::Healed { since_us } => {
                    if self.recovered(since_us + RECOVERY_US)? {
                        return self.finish();
                    }
                }
            }
        }
        Err(Violation::NoProgress("nothing is left to happen".into()))
    }

    /// Schedules an event.
    pub(crate) fn at(&mut self, time_us: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((time_us, self.queued), event);
    }

    pub(crate) fn after(&mut self, delay_us: u64, event: Event) {
        self.at(self.now_us + delay_us, event);
    }

    /// Writes an event down, if this run keeps them.
    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        let now_us = self.now_us;
        if let Some(events) = &mut self.events {
            if events.len() == KEPT_EVENTS {
                events.pop_front();
            }
            events.push_back(format!("{:>10.3} ms  {}", now_us as f64 / 1000.0, text()));
        }
    }

    pub(crate) fn last_events(&self) -> Vec<String> {
        self.events.iter().flatten().cloned().collect()
    }

    pub(crate) fn report(self) -> Report {
        self.report
    }

    /// Sends between nodes.
    pub(crate) fn send(&mut self, from: u64, to: u64, message: Vec<u8>) {
        if self.network.cut.contains(&(from, to)) || self.rng.random_bool(self.network.loss) {
            return;
        }
        let claim = self.replicas[&from].running.as_ref().and_then(|running| running.claim.clone());
        if self.rng.random_bool(self.network.repeat) {
            let delay = self.delay();
            let (claim, message) = (claim.clone(), message.clone());
            self.after(delay, Event::Deliver { from, to, claim, message });
        }
        let delay = self.delay();
        self.after(delay, Event::Deliver { from, to, claim, message });
    }

    /// A call between nodes, which may be lost.
    pub(crate) fn call(&mut self, from: u64, to: u64, event: Event) {
        if !self.network.cut.contains(&(from, to)) && !self.rng.random_bool(self.network.loss) {
            let delay = self.delay();
            self.after(delay, event);
        }
    }

    pub(crate) fn delay(&mut self) -> u64 {
        let (low, high) = self.network.delay_us;
        self.rng.random_range(low..=high)
    }

    /// Handles an event; returns the node it happened on.
    fn handle(&mut self, event: Event) -> Result<Option<u64>, Violation> {
        let (node, life) = match event {
            Event::Deliver { from, to, claim, message } => {
                if !self.network.cut.contains(&(from, to)) {
                    self.deliver(to, claim.as_ref(), &message)?;
                }
                return Ok(Some(to));
            }
            Event::Request { node, request } => {
                self.take_request(node, request)?;
                return Ok(Some(node));
            }
            Event::Reply { reply } => {
                self.take_reply(reply);
                return Ok(None);
            }
            Event::Client { client, attempt } => {
                self.client_turn(client, attempt);
                return Ok(None);
            }
            Event::Fault => {
                self.fault()?;
                return Ok(None);
            }
            Event::Limp => {
                self.limp()?;
                return Ok(None);
            }
            Event::Ask { from, to, term } => {
                self.take_ask(from, to, term);
                return Ok(None);
            }
            Event::Told { from, to, term, clock_ms } => {
                self.take_told(from, to, term, clock_ms);
                return Ok(None);
            }
            Event::Operator => {
                self.operator_turn()?;
                return Ok(None);
            }
            Event::Replace => {
                self.replace_turn()?;
                return Ok(None);
            }
            Event::Cosign(question) => {
                self.take_question(question);
                return Ok(None);
            }
            Event::Cosigned(answer) => {
                self.take_answer(answer)?;
                return Ok(None);
            }
            Event::Start { node, life } => {
                let replica = &self.replicas[&node];
                if replica.life == life
                    && replica.running.is_none()
                    && !replica.retired
                    && !self.faults.limp.is_down(node)
                {
                    self.start(node)?;
                }
                return Ok(Some(node));
            }
            Event::Tick { node, life }
            | Event::WriteDone { node, life }
            | Event::Apply { node, life }
            | Event::SnapshotMade { node, life }
            | Event::SnapshotFetched { node, life, .. } => (node, life),
        };
        if self.replicas[&node].life != life || self.replicas[&node].running.is_none() {
            return Ok(None);
        }
        match event {
            Event::Tick { .. } => self.tick(node)?,
            Event::WriteDone { .. } => self.write_done(node)?,
            Event::Apply { .. } => self.apply_some(node)?,
            Event::SnapshotMade { .. } => self.snapshot_made(node)?,
            Event::SnapshotFetched { from, index, term, .. } => {
                self.snapshot_fetched(node, from, index, term)?;
            }
            _ => unreachable!("handled above"),
        }
        Ok(Some(node))
    }

    /// The part that every observer may see of a node at any time.
    fn observe(&mut self, node: u64) -> Result<(), Violation> {
        let replica = &self.replicas[&node];
        if let Some(running) = &replica.running {
            let (role, term) = running.core.role();
            if role == Role::Leader {
                self.checks.saw_leader(term, node)?;
            }
        }
        Ok(())
    }

    /// Tells whether all clients moved on.
    fn moved_on(&self, until_us: u64) -> Result<bool, Violation> {
        let waiting = self.clients.iter().filter(|client| !client.is_done()).count();
        if self.unseen {
            // Who is out takes nothing: that is as it should be.
            return Ok(waiting == 0 || self.now_us > until_us);
        }
        if waiting > 0 && self.now_us > until_us {
            return Err(Violation::NoProgress(format!("{waiting} clients wait; {}", self.standing())));
        }
        Ok(waiting == 0)
    }

    /// After the healing: whether all clients moved on and all nodes agree.
    fn recovered(&mut self, until_us: u64) -> Result<bool, Violation> {
        if !self.moved_on(until_us)? {
            return Ok(false);
        }
        let late = self.now_us > until_us;
        if self.unseen {
            return Ok(self.now_us > until_us.saturating_sub(RECOVERY_US / 2));
        }
        let members = self.members_at_end();
        let member = |replica: &&Replica| members.contains(&replica.id) && replica.counts();
        let applied: BTreeSet<u64> =
            self.replicas.values().filter(member).map(|replica| replica.ledger.applied().0).collect();
        let down = self.replicas.values().filter(member).any(|replica| replica.running.is_none());
        // One that was replaced takes no part, whatever it has.
        let unnoticed = self.replicas.values().filter(member).find(|replica| replica.ledger.differs());
        if let Some(replica) = unnoticed.filter(|_| late) {
            return Err(Violation::Unnoticed { node: replica.id });
        }
        let settled = applied.len() == 1 && !down && unnoticed.is_none();
        if late && !settled {
            return Err(Violation::NoProgress(format!("nodes differ; {}", self.standing())));
        }
        Ok(settled)
    }

    fn standing(&self) -> String {
        let nodes = self.replicas.values().map(|replica| {
            let status = replica.running.as_ref().map(|running| running.core.status());
            format!("node {}: {status:?}", replica.id)
        });
        nodes.collect::<Vec<_>>().join("; ")
    }

    fn finish(&mut self) -> Result<(), Violation> {
        self.report.acknowledged = self.checks.acknowledged_count() as u64;
        self.report.leaders = self.checks.terms() as u64;
        self.report.cosigned = self.cosigning.count();
        self.report.replaced = self.replaced();
        if self.unseen {
            return self.end_bound();
        }
        let members = self.members_at_end();
        for replica in self.replicas.values().filter(|replica| members.contains(&replica.id) && replica.counts()) {
            let ledger = &replica.ledger;
            self.checks.saw_log(replica.id, &ledger.records())?;
            ledger.audit().map_err(|reason| Violation::NotWhole { node: replica.id, reason })?;
            self.check_cosigned(replica.id)?;
            let seen = ledger.checkpoint();
            self.checks.saw_checkpoint(replica.id, seen, |old| ledger.prove(old))?;
            self.report.root = seen.root;
        }
        Ok(())
    }
}

fn describe(event: &Event) -> String {
    match event {
        Event::Deliver { from, to, message, .. } => format!("message {from} -> {to}, {} bytes", message.len()),
        other => format!("{other:?}"),
    }
}
