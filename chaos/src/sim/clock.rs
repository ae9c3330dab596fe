//! Time: the nodes' clocks, the leader's knowledge of them, and the ledger's time.
//!
//! The rule is the real one, `sillage_rules::clock`. Signatures are left out: a node says what its own clock shows, and
//! nobody else can say it for it.

use std::collections::BTreeMap;

use sillage_cluster::core::{Members, Role};
use sillage_rules::clock::{CLOCK_LEAD_MS_MAX, majority_clock_ms};

use super::world::{Event, World};

/// A leader asks its peers' clocks this often, in ticks.
const ASK_TICKS: u64 = 20;
/// The same, while it doesn't know a majority's.
const ASK_SOON_TICKS: u64 = 5;
/// An honest leader uses what it was told for so long, in microseconds.
const FRESH_US: u64 = 3_000_000;
/// For how long what a clock showed may still count when something is proposed: so old, and on its way.
const COUNTS_US: u64 = FRESH_US + 600_000;
/// By how much a liar is ahead, in milliseconds: a year.
const LIE_MS: u64 = 365 * 86_400_000;

/// Beside every record: the leader's stamp, and the clocks of a majority in its term.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Evidence {
    pub term: u64,
    pub stamp_ms: u64,
    /// Node and clock, each node once.
    pub clocks: Vec<(u64, u64)>,
}

impl Evidence {
    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        for word in [self.term, self.stamp_ms, self.clocks.len() as u64] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        for (node, clock_ms) in &self.clocks {
            out.extend_from_slice(&node.to_be_bytes());
            out.extend_from_slice(&clock_ms.to_be_bytes());
        }
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut word = || {
            let (word, rest) = bytes.split_first_chunk()?;
            bytes = rest;
            Some(u64::from_be_bytes(*word))
        };
        let (term, stamp_ms, count) = (word()?, word()?, word()?);
        let clocks = (0..count).map(|_| Some((word()?, word()?)));
        Some(Evidence { term, stamp_ms, clocks: clocks.collect::<Option<_>>()? })
    }

    /// The clock that a node attested for a command of `term`.
    pub(crate) fn clock_of(&self, node: u64, term: u64) -> Option<u64> {
        let said = self.clocks.iter().find(|(id, _)| *id == node)?;
        (self.term == term).then_some(said.1)
    }
}

/// The clocks that a leader was told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    term: u64,
    clock_ms: u64,
    at_us: u64,
}

/// How far a clock is off, and since when.
#[derive(Clone, Debug)]
pub(crate) struct Offsets(Vec<(u64, i64)>);

impl Offsets {
    pub(crate) fn right() -> Self {
        Offsets(vec![(0, 0)])
    }

    pub(crate) fn now_us(&self) -> i64 {
        self.0.last().expect("there is always one").1
    }

    pub(crate) fn set(&mut self, now_us: u64, offset_us: i64) {
        self.0.push((now_us, offset_us));
    }

    /// The furthest ahead that it was since `since_us`.
    fn furthest_us(&self, since_us: u64) -> i64 {
        let ends = self.0.iter().skip(1).map(|(from_us, _)| *from_us).chain([u64::MAX]);
        let lately = self.0.iter().zip(ends).filter(|(_, end_us)| *end_us >= since_us);
        lately.map(|((_, offset_us), _)| *offset_us).max().expect("the last one")
    }
}

impl World {
    /// The statement of a node about its clock.
    pub(crate) fn said_clock_ms(&self, node: u64) -> u64 {
        let lie_ms = if self.replicas[&node].lies { LIE_MS } else { 0 };
        self.wall_clock_ms(node) + lie_ms
    }

    /// While a node leads, it asks the others now and then. `ticks` counts those of its life.
    pub(crate) fn ask_clocks(&mut self, node: u64, ticks: u64) {
        let running = self.running(node);
        let (role, term) = running.core.role();
        if role != Role::Leader {
            return;
        }
        let pause = if self.evidence(node).is_some() { ASK_TICKS } else { ASK_SOON_TICKS };
        if !ticks.is_multiple_of(pause) {
            return;
        }
        for peer in (1..=self.report.nodes).filter(|peer| *peer != node) {
            self.call(node, peer, Event::Ask { from: node, to: peer, term });
        }
    }

    /// A node is asked for its clock: it answers who leads the term that it is in.
    pub(crate) fn take_ask(&mut self, from: u64, to: u64, term: u64) {
        let replica = &self.replicas[&to];
        if replica.running.as_ref().is_none_or(|running| running.core.role().1 != term) {
            return;
        }
        let clock_ms = self.said_clock_ms(to);
        self.call(to, from, Event::Told { from: to, to: from, term, clock_ms });
    }

    /// The answer.
    pub(crate) fn take_told(&mut self, from: u64, to: u64, term: u64, clock_ms: u64) {
        let at_us = self.now_us;
        if let Some(running) = &mut self.replica(to).running {
            running.told.insert(from, Told { term, clock_ms, at_us });
        }
    }

    /// The clocks that a leader puts beside its proposal now; `None` while it doesn't know the clocks of a majority.
    pub(crate) fn evidence(&self, node: u64) -> Option<Evidence> {
        let running = self.replicas[&node].running.as_ref()?;
        let term = running.core.role().1;
        let stamp_ms = self.said_clock_ms(node);
        let fresh = running.told.iter().filter(|(_, told)| told.term == term && told.at_us + FRESH_US >= self.now_us);
        let mut clocks: Vec<(u64, u64)> = fresh.map(|(peer, told)| (*peer, told.clock_ms)).collect();
        clocks.push((node, stamp_ms));
        let evidence = Evidence { term, stamp_ms, clocks };
        let members = &running.core.members().members;
        majority_of_both_ms(members, |node| evidence.clock_of(node, term)).map(|_| evidence)
    }

    /// The furthest that each clock may have been when what is proposed now was attested.
    pub(crate) fn furthest_clocks_ms(&self) -> BTreeMap<u64, u64> {
        let since_us = self.now_us.saturating_sub(COUNTS_US);
        let furthest_ms = |node: u64| {
            let replica = &self.replicas[&node];
            let ahead_us = replica.clock.furthest_us(since_us) - replica.clock.now_us();
            let ahead_ms = u64::try_from(ahead_us).expect("the present is among them").div_ceil(1_000);
            let lied_ms = if replica.lied_us.is_some_and(|at_us| at_us >= since_us) { LIE_MS } else { 0 };
            self.wall_clock_ms(node) + ahead_ms + lied_ms
        };
        self.replicas.keys().map(|&node| (node, furthest_ms(node))).collect()
    }
}

/// The time that a majority of the voters' clocks has reached; in a joint step, a majority of both sets.
pub(crate) fn majority_of_both_ms(members: &Members, clock_ms: impl Fn(u64) -> Option<u64>) -> Option<u64> {
    let now_ms = majority_clock_ms(&members.voters, &clock_ms)?;
    match &members.voters_outgoing[..] {
        [] => Some(now_ms),
        outgoing => majority_clock_ms(outgoing, &clock_ms).map(|before_ms| before_ms.min(now_ms)),
    }
}

/// The latest that ledger time may be by what was proposed when the clocks showed at most this: no honest clock of the
/// last moments may be left behind by more than the lead, unless a majority was wrong.
pub(crate) fn latest_time_ms(members: &Members, clocks: &BTreeMap<u64, u64>) -> u64 {
    let majority_ms = majority_of_both_ms(members, |node| clocks.get(&node).copied());
    majority_ms.map_or(0, |majority_ms| majority_ms + CLOCK_LEAD_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_read_as_written_and_counts_for_its_term_alone() {
        let evidence = Evidence { term: 3, stamp_ms: 7, clocks: vec![(1, 8), (2, 9)] };
        let mut bytes = Vec::new();
        evidence.encode_into(&mut bytes);
        assert_eq!(Evidence::decode(&bytes), Some(evidence.clone()));
        assert_eq!(Evidence::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!((evidence.clock_of(2, 3), evidence.clock_of(2, 4), evidence.clock_of(3, 3)), (Some(9), None, None));
    }

    #[test]
    fn a_clock_that_was_wrong_counts_for_a_while() {
        let mut clock = Offsets::right();
        clock.set(10, 500);
        clock.set(20, -5);
        assert_eq!((clock.now_us(), clock.furthest_us(20), clock.furthest_us(21)), (-5, 500, -5));
        assert_eq!(clock.furthest_us(5), 500);
    }
}
