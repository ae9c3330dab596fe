//! Checkpoints: a leader asks the voters to cosign the root of a size, and a majority's word makes one.
//!
//! Each says the root that its own log has at that size, once it has come so far. So a checkpoint that a majority has
//! cosigned is what the log has for ever; [`World::check_cosigned`] looks whether it is.

use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sillage_cluster::core::Role;
use sillage_proof::hash::Hash;

use super::Plant;
use super::world::{Event, World};
use crate::check::Violation;

/// How often a node looks whether it has applied as much as it is asked for.
const LOOKS_MAX: u32 = 20;
/// Between two looks, in microseconds.
const LOOK_US: u64 = 25_000;

/// A leader's question, on its way or waiting to be answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub from: u64,
    pub to: u64,
    pub size: u64,
    pub root: Hash,
    looks: u32,
}

/// A node's answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub from: u64,
    pub to: u64,
    pub size: u64,
    /// The root of the one who answers.
    pub root: Hash,
}

/// Questions and answers.
pub(crate) struct Cosigning {
    /// Of its own: what is cosigned changes nothing else of a run.
    rng: ChaCha8Rng,
    /// (who asks, size) → the root, and who said the same.
    asked: BTreeMap<(u64, u64), (Hash, BTreeSet<u64>)>,
    /// Cosigned by a majority.
    done: BTreeMap<u64, Hash>,
}

impl Cosigning {
    pub(crate) fn new(seed: u64) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(!seed);
        Cosigning { rng, asked: BTreeMap::new(), done: BTreeMap::new() }
    }

    pub(crate) fn count(&self) -> u64 {
        self.done.len() as u64
    }

    fn delay(&mut self) -> u64 {
        self.rng.random_range(200..20_000)
    }
}

impl World {
    /// A node that leads asks all voters for the root of what it has applied.
    pub(crate) fn ask_to_cosign(&mut self, node: u64) {
        let seen = self.replicas[&node].ledger.checkpoint();
        let running = self.running(node);
        if running.core.role().0 != Role::Leader {
            return;
        }
        let voters = running.core.members().members.voters.clone();
        self.cosigning.asked.insert((node, seen.size), (seen.root, BTreeSet::from([node])));
        for to in voters.into_iter().filter(|to| *to != node) {
            let delay = self.cosigning.delay();
            let question = Question { from: node, to, size: seen.size, root: seen.root, looks: 0 };
            self.after(delay, Event::Cosign(question));
        }
    }

    /// A node is asked: it answers when it has applied as much.
    pub(crate) fn take_question(&mut self, question: Question) {
        let Question { from, to, size, root, looks } = question;
        let replica = &self.replicas[&to];
        let Some(running) = &replica.running else { return };
        if looks == 0 && self.network.cut.contains(&(from, to)) || running.core.is_out() {
            return;
        }
        let own = match self.plant {
            // It signs what it is asked for.
            Some(Plant::CosignBeforeApply) => Some(root),
            _ => replica.ledger.root_at(size),
        };
        match own {
            Some(root) => {
                let delay = self.cosigning.delay();
                self.after(delay, Event::Cosigned(Answer { from: to, to: from, size, root }));
            }
            None if looks < LOOKS_MAX => {
                self.after(LOOK_US, Event::Cosign(Question { looks: looks + 1, ..question }));
            }
            None => {}
        }
    }

    /// An answer: one more of a majority, if it is the same root.
    pub(crate) fn take_answer(&mut self, answer: Answer) -> Result<(), Violation> {
        let Answer { from, to, size, root } = answer;
        let Some(running) = &self.replicas[&to].running else { return Ok(()) };
        let members = &running.core.members().members;
        let Some((asked, by)) = self.cosigning.asked.get_mut(&(to, size)) else { return Ok(()) };
        if *asked != root || self.network.cut.contains(&(from, to)) {
            return Ok(());
        }
        by.insert(from);
        let is_majority = |voters: &[u64]| 2 * voters.iter().filter(|id| by.contains(id)).count() > voters.len();
        let outgoing = &members.voters_outgoing;
        if !is_majority(&members.voters) || !(outgoing.is_empty() || is_majority(outgoing)) {
            return Ok(());
        }
        let first = *self.cosigning.done.entry(size).or_insert(root);
        if first == root || self.unseen { Ok(()) } else { Err(Violation::RootDiffers { node: to, size }) }
    }

    /// Tells whether a node that has caught up has every root that a majority cosigned.
    pub(crate) fn check_cosigned(&self, node: u64) -> Result<(), Violation> {
        let ledger = &self.replicas[&node].ledger;
        let wrong = self.cosigning.done.iter().find(|(size, root)| ledger.root_at(**size) != Some(**root));
        wrong.map_or(Ok(()), |(size, _)| Err(Violation::NotCosigned { node, size: *size }))
    }
}
