//! This node's knowledge of the clocks of its group. No clock is read here: the moment comes with the call.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sillage_ledger::ClockVoters;
use sillage_proof::keys::PublicKey;
use sillage_proto::internal::v1::{ClockAttestation, ClockEvidence};
use sillage_rules::clock::CLOCK_LEAD_MS_MAX;

/// A node's word counts for so long.
const FRESH: Duration = Duration::from_secs(5);
/// An answer that took longer says too little of when the clock was read to call a clock wrong by it.
const SURE: Duration = Duration::from_millis(300);

/// The answer of a node to a leader.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    /// The term that the clock was attested in.
    pub term: u64,
    pub attestation: ClockAttestation,
    /// The key that signed it.
    pub key: PublicKey,
    pub asked: Instant,
    pub answered: Instant,
}

impl Heard {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.answered) <= FRESH
    }

    /// The time that its clock shows now, about.
    fn now_ms(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.answered) + self.took() / 2;
        self.attestation.clock_ms.saturating_add(whole_ms(since))
    }

    fn took(&self) -> Duration {
        self.answered.saturating_duration_since(self.asked)
    }
}

/// The word of the leader to this node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub group_ms: u64,
    pub latest_ms: u64,
    pub at: Instant,
}

/// The time of the group, as far as it is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    /// The time that a majority has reached.
    pub ms: u64,
    /// The latest clock.
    pub latest_ms: u64,
}

/// The clocks of others, against which a leader holds its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Others {
    /// The two in the middle; the same one twice where their number is odd.
    pub middle_ms: (u64, u64),
    /// How many are within the lead of the middle.
    pub agree: usize,
    /// The node that is nearest to it.
    pub nearest: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub heard: BTreeMap<u64, Heard>,
    /// The feature levels that nodes said they know, and when.
    pub levels: BTreeMap<u64, (u32, Instant)>,
    pub told: Option<Told>,
}

impl Known {
    /// For a leader whose own clock shows `own.1`: the time of the group; `None` while no majority has said anything.
    pub(super) fn group(&self, voters: &ClockVoters, own: (u64, u64), now: Instant) -> Option<Group> {
        let mut clocks: BTreeMap<u64, u64> = self.fresh(now).map(|(node, heard)| (node, heard.now_ms(now))).collect();
        clocks.insert(own.0, own.1);
        let ms = voters.majority_ms(|node| clocks.get(&node).copied())?;
        let latest_ms = clocks.into_values().max().expect("the own one");
        Some(Group { ms, latest_ms })
    }

    /// For a follower: the time of the group, as the leader said.
    pub(super) fn told(&self, now: Instant) -> Option<Group> {
        let told = self.told.filter(|told| told.group_ms != 0 && now.saturating_duration_since(told.at) <= FRESH)?;
        let since_ms = whole_ms(now.saturating_duration_since(told.at));
        let later = |ms: u64| ms.saturating_add(since_ms);
        Some(Group { ms: later(told.group_ms), latest_ms: later(told.latest_ms) })
    }

    /// The attestations that a leader of `term` puts beside a proposal, its own attestation included: the latest clocks of a majority,
    /// which are all that count. `None` while there is no majority.
    pub(super) fn evidence(
        &self,
        voters: &ClockVoters,
        term: u64,
        own: (PublicKey, &ClockAttestation),
        now: Instant,
    ) -> Option<Vec<ClockAttestation>> {
        let of_term = self.fresh(now).filter(|(node, heard)| {
            // A key that was replaced meanwhile attests nothing any more.
            heard.term == term && voters.key(*node) == Some(&heard.key)
        });
        let mut said: Vec<ClockAttestation> = of_term.map(|(_, heard)| heard.attestation.clone()).collect();
        if voters.key(own.1.node) == Some(&own.0) {
            said.push(own.1.clone());
        }
        let reached = voters.majority_ms(|node| {
            let of_node = said.iter().find(|said| said.node == node);
            of_node.map(|said| said.clock_ms)
        })?;
        // Those that haven't reached what a majority has change nothing.
        said.retain(|said| said.clock_ms >= reached);
        Some(said)
    }

    /// The clocks of the other voters that are known well enough to judge by.
    pub(super) fn others(&self, voters: &ClockVoters, now: Instant) -> Option<Others> {
        let sure = self.fresh(now).filter(|(node, heard)| heard.took() <= SURE && voters.key(*node).is_some());
        let mut clocks: Vec<(u64, u64)> = sure.map(|(node, heard)| (heard.now_ms(now), node)).collect();
        clocks.sort_unstable();
        let (low, high) = (clocks.get(clocks.len().checked_sub(1)? / 2)?.0, clocks.get(clocks.len() / 2)?.0);
        let middle = low.midpoint(high);
        let near = |ms: u64| ms.abs_diff(middle);
        let agree = clocks.iter().filter(|(ms, _)| near(*ms) <= CLOCK_LEAD_MS_MAX).count();
        let nearest = clocks.iter().min_by_key(|(ms, _)| near(*ms))?.1;
        Some(Others { middle_ms: (low, high), agree, nearest })
    }

    /// The highest feature level that all `nodes` have said they know, lately; 1 where one hasn't said anything.
    pub(super) fn level_of_all(&self, mut nodes: impl Iterator<Item = u64>, own: (u64, u32), now: Instant) -> u32 {
        let level_of = |node: u64| match self.levels.get(&node) {
            _ if node == own.0 => own.1,
            Some((level, at)) if now.saturating_duration_since(*at) <= FRESH => *level,
            _ => 1,
        };
        nodes.try_fold(own.1, |least, node| Some(least.min(level_of(node)))).unwrap_or(1)
    }

    fn fresh(&self, now: Instant) -> impl Iterator<Item = (u64, &Heard)> {
        self.heard.iter().filter(move |(_, heard)| heard.is_fresh(now)).map(|(node, heard)| (*node, heard))
    }
}

fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The evidence as it travels.
pub(super) fn to_message(stamp_ms: u64, attestations: Vec<ClockAttestation>) -> ClockEvidence {
    ClockEvidence { stamp_ms, attestations }
}

#[cfg(test)]
mod tests {
    use sillage_proof::keys::SigningKey;

    use super::*;

    const T_MS: u64 = 1_780_000_000_000;

    fn key(node: u64) -> PublicKey {
        SigningKey::from_seed(&[u8::try_from(node).expect("few"); 32]).public_key()
    }

    fn voters(count: u64) -> ClockVoters {
        ClockVoters::new((1..=count).map(|node| (node, key(node))).collect())
    }

    fn said(node: u64, clock_ms: u64) -> ClockAttestation {
        ClockAttestation { node, clock_ms, signature: vec![9] }
    }

    fn known(at: Instant, clocks: &[(u64, u64)]) -> Known {
        let heard = clocks.iter().map(|(node, clock_ms)| {
            let attestation = said(*node, *clock_ms);
            (*node, Heard { term: 7, attestation, key: key(*node), asked: at, answered: at })
        });
        Known { heard: heard.collect(), ..Known::default() }
    }

    #[test]
    fn a_leader_takes_the_time_from_a_majority() {
        let now = Instant::now();
        let hour_ms = 3_600_000;
        let group = |clocks: &[(u64, u64)], own_ms| known(now, clocks).group(&voters(3), (1, own_ms), now);
        assert_eq!(group(&[], T_MS), None, "alone it knows nothing");
        let fast = group(&[(2, T_MS), (3, T_MS + 10)], T_MS + hour_ms).expect("all are there");
        assert_eq!((fast.ms, fast.latest_ms), (T_MS + 10, T_MS + hour_ms));
        let slow = group(&[(2, T_MS), (3, T_MS + 10)], T_MS - hour_ms).expect("all are there");
        assert_eq!(slow.ms, T_MS);
        let later = now + Duration::from_secs(2);
        let aged = known(now, &[(2, T_MS)]).group(&voters(3), (1, T_MS + 2_000), later).expect("two of three");
        assert_eq!(aged.ms, T_MS + 2_000, "a clock goes on after it was read");
        let old = known(now, &[(2, T_MS)]).group(&voters(3), (1, T_MS), now + 2 * FRESH);
        assert_eq!(old, None);
    }

    #[test]
    fn evidence_is_what_counts_of_one_term_by_keys_in_force() {
        let now = Instant::now();
        let mut known = known(now, &[(2, T_MS), (3, T_MS - 90)]);
        let nodes = |said: Option<Vec<ClockAttestation>>| {
            said.map(|said| said.into_iter().map(|said| said.node).collect::<Vec<_>>())
        };
        let own = said(1, T_MS + 1);
        let evidence = |known: &Known, term, own_key| known.evidence(&voters(3), term, (own_key, &own), now);
        assert_eq!(nodes(evidence(&known, 7, key(1))), Some(vec![2, 1]), "the third changes nothing");
        assert_eq!(nodes(evidence(&known, 7, key(9))), Some(vec![2, 3]), "the own key isn't in force");
        assert_eq!(nodes(evidence(&known, 8, key(1))), None, "of another term");
        known.heard.get_mut(&2).expect("heard").key = key(8);
        assert_eq!(nodes(evidence(&known, 7, key(1))), Some(vec![3, 1]), "the other's key was replaced");
        assert_eq!(nodes(Known::default().evidence(&voters(1), 7, (key(1), &own), now)), Some(vec![1]));
    }

    #[test]
    fn a_clock_is_judged_by_the_middle_of_the_others_if_they_answer_soon() {
        let now = Instant::now();
        let mut known = known(now, &[(2, T_MS), (3, T_MS + 40), (4, T_MS + 9_000), (5, T_MS + 60)]);
        let others = known.others(&voters(5), now).expect("four");
        assert_eq!(others, Others { middle_ms: (T_MS + 40, T_MS + 60), agree: 3, nearest: 3 });
        for heard in known.heard.values_mut() {
            heard.asked = now.checked_sub(2 * SURE).expect("the machine runs for a while");
        }
        assert_eq!(known.others(&voters(5), now), None);
    }

    #[test]
    fn a_level_is_what_every_node_said_lately() {
        let now = Instant::now();
        let mut known = Known::default();
        let all = |known: &Known, now| known.level_of_all([1, 2, 3].into_iter(), (1, 4), now);
        assert_eq!(all(&known, now), 1);
        known.levels.extend([(2, (3, now)), (3, (4, now))]);
        assert_eq!(all(&known, now), 3);
        assert_eq!(all(&known, now + 2 * FRESH), 1, "a node may have been put back to an older program");
    }

    #[test]
    fn a_follower_keeps_what_it_was_told_for_a_while() {
        let now = Instant::now();
        let told = |group_ms| Known { told: Some(Told { group_ms, latest_ms: T_MS + 5, at: now }), ..Known::default() };
        let later = now + Duration::from_millis(100);
        assert_eq!(told(T_MS).told(later), Some(Group { ms: T_MS + 100, latest_ms: T_MS + 105 }));
        assert_eq!(told(T_MS).told(now + 2 * FRESH), None);
        assert_eq!(told(0).told(now), None, "the leader couldn't tell");
    }
}
