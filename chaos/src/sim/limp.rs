//! What stays broken when the rest is healed: the group must go on all the same, and only then is that healed too.

use rand::RngExt;

use super::replica::Down;
use super::world::{Network, World};
use crate::check::Violation;

/// What stays broken for a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Limp {
    /// Nothing.
    #[default]
    None,
    /// A node is down.
    Dead(u64),
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
    pub(crate) fn is_down(self, node: u64) -> bool {
        self == Limp::Dead(node)
    }
}

impl World {
    /// Leaves something broken that a majority can do without.
    pub(crate) fn begin_limp(&mut self) {
        let node = self.rng.random_range(1..=self.report.nodes);
        let other = self.rng.random_range(1..=self.report.nodes);
        let limp = match self.rng.random_range(0..7) {
            0 | 1 => Limp::Dead(node),
            2 => Limp::Mute(node),
            3 => Limp::Deaf(node),
            4 => Limp::OneWay(node, other),
            5 => Limp::Apart(node, other),
            _ => Limp::None,
        };
        let possible = self.faults.may_limp && node != other && self.can_do_without(node);
        if limp == Limp::None || !possible {
            return;
        }
        self.note(|| format!("but for {limp:?}"));
        self.faults.limp = limp;
        self.report.limped = 1;
        let nodes = 1..=self.report.nodes;
        match limp {
            Limp::Dead(node) => self.crash(node, Down::Power),
            Limp::Mute(node) => self.network.cut.extend(nodes.map(|to| (node, to))),
            Limp::Deaf(node) => self.network.cut.extend(nodes.map(|from| (from, node))),
            Limp::OneWay(from, to) => self.network.cut.extend([(from, to)]),
            Limp::Apart(one, two) => self.network.cut.extend([(one, two), (two, one)]),
            Limp::None => {}
        }
    }

    /// Whether the others are a majority, whichever members are in force: those of any node may be.
    fn can_do_without(&self, node: u64) -> bool {
        let sets = self.replicas.values().filter_map(|replica| replica.running.as_ref());
        let works = |id: &&u64| **id != node && !self.replicas[*id].rotten;
        sets.map(|running| &running.core.members().members).all(|members| {
            [&members.voters, &members.voters_outgoing]
                .into_iter()
                .filter(|voters| !voters.is_empty())
                .all(|voters| 2 * voters.iter().filter(works).count() > voters.len())
        })
    }

    /// The group went on: now everything works.
    pub(crate) fn end_limp(&mut self) -> Result<(), Violation> {
        self.note(|| "ALL HEALED".into());
        self.faults.limp = Limp::None;
        self.faults.until_us = self.now_us;
        self.network = Network::healthy();
        self.start_all()?;
        for client in &mut self.clients {
            client.expect_progress();
        }
        // Who gave up has to be waited for no more.
        for client in 0..self.clients.len() {
            let attempt = self.clients[client].attempt();
            self.after(0, super::world::Event::Client { client, attempt });
        }
        Ok(())
    }
}
