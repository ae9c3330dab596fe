//! Authors that record and readers that read, over the same bad network, and retry until they know.

use rand::RngExt;
use sillage_cluster::core::{NotProposed, ProposalId, ReadId, Role};

use super::Plant;
use super::world::{Event, World};
use crate::check::{RecordId, Violation};

/// Records that each client must still get through, while the group limps and again after the healing.
const MORE: u64 = 5;

/// One author. It numbers its records, and goes on to the next only when one is acknowledged.
#[derive(Debug)]
pub(crate) struct Client {
    id: u64,
    sequence: u64,
    reading: bool,
    /// Counts its requests; what belongs to an earlier one is void.
    attempt: u64,
    target: u64,
    /// It waits for an answer; when it has waited in vain, it asks another node.
    waits: bool,
    /// Set when the faults end: the sequence to get to.
    goal: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub client: usize,
    pub attempt: u64,
    /// `None` is a read.
    pub record: Option<RecordId>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    pub client: usize,
    pub attempt: u64,
    pub outcome: Outcome,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    Done,
    Again { leader: Option<u64> },
}

/// The client that waits for a proposal or a read on a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub client: usize,
    pub attempt: u64,
    /// For a read: what it must see.
    pub floor: u64,
}

impl Client {
    pub(crate) fn new(id: u64) -> Self {
        Client { id, sequence: 1, reading: false, attempt: 0, target: 1, waits: false, goal: None }
    }

    pub(crate) fn expect_progress(&mut self) {
        self.goal = Some(self.sequence + MORE);
    }

    /// It goes on, whether it was done or not.
    pub(crate) fn attempt(&self) -> u64 {
        self.attempt
    }

    pub(crate) fn is_done(&self) -> bool {
        self.goal.is_some_and(|goal| self.sequence >= goal)
    }
}

impl World {
    /// A client begins, or gave up waiting for `attempt`.
    pub(crate) fn client_turn(&mut self, at: usize, attempt: u64) {
        let client = &mut self.clients[at];
        if client.attempt != attempt || client.is_done() {
            return;
        }
        client.attempt += 1;
        let unanswered = std::mem::replace(&mut client.waits, true);
        let request = Request {
            client: at,
            attempt: client.attempt,
            record: (!client.reading).then_some(RecordId { stream: client.id, sequence: client.sequence }),
        };
        let (attempt, mut node) = (client.attempt, client.target);
        let any = request.record.is_none() || self.rng.random_bool(0.2);
        if any || unanswered {
            node = self.rng.random_range(1..=self.report.nodes);
        }
        let patience = self.rng.random_range(100_000..600_000);
        self.after(patience, Event::Client { client: at, attempt });
        if !self.rng.random_bool(self.network.loss) {
            let delay = self.delay();
            self.after(delay, Event::Request { node, request });
        }
    }

    /// A node got a request.
    pub(crate) fn take_request(&mut self, node: u64, request: Request) -> Result<(), Violation> {
        let id = self.report.events;
        let (evidence, clocks) = (self.evidence(node), self.furthest_clocks_ms());
        let waiting =
            Waiting { client: request.client, attempt: request.attempt, floor: self.checks.acknowledged_size() };
        let replica = self.replicas.get_mut(&node).expect("a node of the group");
        let Some(running) = &mut replica.running else {
            return Ok(());
        };
        let Some(record) = request.record else {
            if self.plant == Some(Plant::StaleRead) {
                let size = replica.ledger.size();
                return self.served(node, waiting, size);
            }
            running.reads.insert(ReadId(id), waiting);
            running.core.read(ReadId(id));
            return self.pump(node);
        };
        let leads = running.core.role().0 == Role::Leader;
        if leads && evidence.is_none() {
            // It has just begun to lead: time would stand still.
            self.answer(waiting, Outcome::Again { leader: None });
            return Ok(());
        }
        if leads && replica.ledger.has_other_keys() {
            return self.refuse(node, "the keyring isn't the group's");
        }
        if leads && let Some(data) = replica.ledger.first_proposal() {
            let _ = running.core.propose(ProposalId(id), data, 0);
            self.answer(waiting, Outcome::Again { leader: None });
            return self.pump(node);
        }
        let evidence = evidence.unwrap_or_default();
        let data = match leads || !replica.ledger.is_real() {
            true => replica.ledger.proposal(record, &evidence),
            // It is refused all the same.
            false => Some(vec![0]),
        };
        let Some(data) = data else {
            self.answer(waiting, Outcome::Again { leader: None });
            return Ok(());
        };
        match running.core.propose(ProposalId(id), data, evidence.stamp_ms) {
            Ok(place) => {
                self.clocks.insert(place, clocks);
                running.proposals.insert(ProposalId(id), waiting);
                self.pump(node)
            }
            Err(error) => {
                let leader = match error {
                    NotProposed::NotLeader { leader } => leader,
                    NotProposed::Busy => None,
                };
                self.answer(waiting, Outcome::Again { leader });
                Ok(())
            }
        }
    }

    /// A read is served on a node that shows `size` records.
    pub(crate) fn served(&mut self, node: u64, waiting: Waiting, size: u64) -> Result<(), Violation> {
        if self.replicas[&node].ledger.differs() {
            // No other node cosigns what it shows.
            return Ok(());
        }
        self.checks.saw_read(node, waiting.floor, size)?;
        self.report.reads += 1;
        self.answer(waiting, Outcome::Done);
        Ok(())
    }

    /// Sends a reply, which may be lost.
    pub(crate) fn answer(&mut self, waiting: Waiting, outcome: Outcome) {
        if self.rng.random_bool(self.network.loss) {
            return;
        }
        let reply = Reply { client: waiting.client, attempt: waiting.attempt, outcome };
        let delay = self.delay();
        self.after(delay, Event::Reply { reply });
    }

    /// A client got a reply.
    pub(crate) fn take_reply(&mut self, reply: Reply) {
        let wants_read = self.rng.random_bool(0.25);
        let pause = self.rng.random_range(1_000..40_000);
        let nodes = self.report.nodes;
        let next = self.rng.random_range(1..=nodes);
        let client = &mut self.clients[reply.client];
        if client.attempt != reply.attempt {
            return;
        }
        match reply.outcome {
            Outcome::Done => {
                if !client.reading {
                    client.sequence += 1;
                }
                client.reading = wants_read;
            }
            Outcome::Again { leader } => client.target = leader.unwrap_or(next),
        }
        client.attempt += 1;
        client.waits = false;
        let attempt = client.attempt;
        let client = reply.client;
        self.after(pause, Event::Client { client, attempt });
    }
}
