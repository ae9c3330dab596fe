//! Faults that stay when the others have ended: the group must go on all the same, and only then are they healed too.

use rand::RngExt;
use sillage_cluster::core::Members;

use super::Plant;
use super::replica::Down;
use super::world::World;

/// A part that stays broken for a while.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Limp {
    /// Nothing.
    #[default]
    None,
    /// Nodes are down.
    Dead(Vec<u64>),
    /// A node hears the others and is not heard.
    Mute(u64),
    /// A node is heard and hears nobody.
    Deaf(u64),
    /// Two nodes: the second doesn't hear the first.
    OneWay(u64, u64),
    /// Two nodes don't hear each other.
    Apart(u64, u64),
}

impl Limp {
    pub(crate) fn is_down(&self, node: u64) -> bool {
        matches!(self, Limp::Dead(nodes) if nodes.contains(&node))
    }
}

impl World {
    /// Leaves something broken that a majority can do without.
    pub(crate) fn begin_limp(&mut self) {
        let node = self.rng.random_range(1..=self.report.nodes);
        let other = self.rng.random_range(1..=self.report.nodes);
        let mut limp = match self.rng.random_range(0..8) {
            0 | 1 => Limp::Dead(vec![node]),
            2 => Limp::Dead(vec![node, other]),
            3 => Limp::Mute(node),
            4 => Limp::Deaf(node),
            5 => Limp::OneWay(node, other),
            6 => Limp::Apart(node, other),
            _ => Limp::None,
        };
        // A change that stands in a log and isn't applied may be decided at any time, and ask for another majority.
        let mut running = self.replicas.values().filter_map(|replica| replica.running.as_ref());
        if running.any(|running| running.core.has_change_ahead()) {
            return;
        }
        let gone = self.gone();
        if matches!(limp, Limp::Dead(_)) && !self.can_do_without(&[node, other], &gone) {
            limp = Limp::Dead(vec![node]);
        }
        if self.unseen || limp == Limp::None || node == other || !self.can_do_without(&[node], &gone) {
            return;
        }
        self.note(|| format!("but for {limp:?}"));
        self.report.limped = 1;
        let nodes = 1..=self.report.nodes;
        match &limp {
            Limp::Dead(dead) => dead.iter().for_each(|&node| self.crash(node, Down::Power)),
            Limp::Mute(node) => self.network.cut.extend(nodes.map(|to| (*node, to))),
            Limp::Deaf(node) => self.network.cut.extend(nodes.map(|from| (from, *node))),
            Limp::OneWay(from, to) => self.network.cut.extend([(*from, *to)]),
            Limp::Apart(one, two) => self.network.cut.extend([(*one, *two), (*two, *one)]),
            Limp::None => {}
        }
        self.faults.limp = limp;
    }

    /// One clock may be wrong, whatever else is: clocks have no say in who leads and what is kept.
    pub(crate) fn wrong_clock(&mut self) {
        if self.rng.random_bool(0.7) {
            let node = self.rng.random_range(1..=self.report.nodes);
            let offset_us = self.rng.random_range(-3_600_000_000..3_600_000_000);
            self.note(|| format!("the clock of node {node} is wrong"));
            self.set_clock(node, offset_us);
        }
    }

    /// Tells whether every founder that is sound has a log: before that it must not vote until it has met all others, and meets them
    /// anew after each start, so that all of them are needed.
    fn is_founded(&self) -> bool {
        let founders = self.settings.founders().voters;
        founders
            .iter()
            .map(|id| &self.replicas[id])
            .filter(|replica| !replica.is_unsound())
            .all(|replica| replica.ledger.applied().0 > 0 || self.plant == Some(Plant::NoIdentity))
    }

    /// Tells whether the others are a majority, whichever members are in force: those of any node may be, up or down, but for
    /// these that are `gone`.
    pub(crate) fn can_do_without(&self, nodes: &[u64], gone: &[u64]) -> bool {
        let works = |id: &&u64| !nodes.contains(id) && !self.replicas[*id].is_unsound();
        let majority = |voters: &[u64]| 2 * voters.iter().filter(works).count() > voters.len();
        let enough = |members: &Members| {
            majority(&members.voters) && (members.voters_outgoing.is_empty() || majority(&members.voters_outgoing))
        };
        self.is_founded()
            && self.replicas.values().filter(|replica| !gone.contains(&replica.id)).all(|replica| {
                let going_by = replica.running.as_ref().map(|running| &running.core.members().members);
                enough(replica.ledger.members()) && going_by.is_none_or(enough)
            })
    }
}
