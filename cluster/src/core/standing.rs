//! Where nodes compare what they hold: states that differ, and committed entries that the group has lost.
//!
//! Every node tells its peers now and then how far it is: its commit, and the digest of its state as of an index. Two facts
//! must never be seen, and both are found at the next contact:
//!
//! - **Divergence**: equal index and term, another digest. The same entries came to different states: a state machine isn't
//!   deterministic, or a node works with other keys. A majority that agrees goes on; the others stop. Where nobody knows
//!   who is right, nobody acknowledges.
//! - **Split**: a node has committed what the leader's log doesn't hold, or two entries were committed at one index.
//!   Acknowledged entries are lost: disks that voted had forgotten what they promised. Every node that can tell stops.

use std::collections::{BTreeMap, VecDeque};

/// A state machine's digest; all zero: it has none.
pub type Digest = [u8; 32];

/// States kept to compare with.
const STATES_MAX: usize = 16_384;

/// The state after an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Index of the entry.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The digest of the state machine.
    pub digest: Digest,
}

/// The standing that a node tells its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub from: u64,
    pub term: u64,
    pub commit: u64,
    pub state: State,
}

/// The verdict on the node that is wrong where digests differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing differs.
    #[default]
    Agreed,
    /// A majority has this node's state; these peers have another one.
    Theirs,
    /// A majority has another state than this node.
    Own,
    /// Nobody has a majority: no node may acknowledge.
    Unknown,
}

/// A difference between digests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Divergence {
    /// The node that is wrong.
    pub verdict: Verdict,
    /// The peers whose state differs from this node's.
    pub peers: Vec<u64>,
    /// The first index at which that was seen.
    pub index: u64,
}

/// Entries that were committed and are not in the group's log, as seen here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// The other node.
    pub peer: u64,
    /// The first index that differs or is missing, as far as it is known.
    pub from: u64,
    /// The last index that one of both had committed.
    pub to: u64,
}

/// The relation of two states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    Same,
    /// As [`Divergence`].
    Digest,
    /// As [`Split`].
    Term,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Standings {
    states: VecDeque<State>,
    /// Of peers that are ahead: to be compared when this node is there.
    ahead: BTreeMap<u64, State>,
    agree: BTreeMap<u64, u64>,
    differ: BTreeMap<u64, u64>,
}

impl Standings {
    /// The newest state of this node.
    pub(super) fn newest(&self) -> State {
        self.states.back().copied().unwrap_or_default()
    }

    /// This node's state after an entry. Gives the peers whose state, told before, can be compared now.
    pub(super) fn saw_own(&mut self, state: State) -> Vec<(u64, State, Compared)> {
        if state.digest == Digest::default() {
            return Vec::new();
        }
        // A snapshot was installed: what was before it is of another way to the same state.
        if self.states.back().is_some_and(|last| last.index + 1 != state.index) {
            self.states.clear();
        }
        self.states.push_back(state);
        if self.states.len() > STATES_MAX {
            self.states.pop_front();
        }
        let due: Vec<u64> =
            self.ahead.iter().filter(|(_, theirs)| theirs.index <= state.index).map(|(&peer, _)| peer).collect();
        let due = due.into_iter().filter_map(|peer| {
            let theirs = self.ahead.remove(&peer)?;
            Some((peer, theirs, self.compare(peer, theirs)?))
        });
        due.collect::<Vec<_>>()
    }

    /// A peer's state. `None` where it can't be compared, or not yet.
    pub(super) fn saw_peer(&mut self, peer: u64, theirs: State) -> Option<Compared> {
        if theirs.digest == Digest::default() {
            return None;
        }
        if theirs.index > self.newest().index {
            self.ahead.insert(peer, theirs);
            return None;
        }
        self.compare(peer, theirs)
    }

    fn compare(&mut self, peer: u64, theirs: State) -> Option<Compared> {
        let first = self.states.front()?.index;
        let at = usize::try_from(theirs.index.checked_sub(first)?).ok()?;
        let own = *self.states.get(at)?;
        assert_eq!(own.index, theirs.index, "states are kept without a gap");
        if own.term != theirs.term {
            return Some(Compared::Term);
        }
        if own.digest != theirs.digest {
            self.differ.entry(peer).or_insert(theirs.index);
            return Some(Compared::Digest);
        }
        self.agree.insert(peer, theirs.index);
        Some(Compared::Same)
    }

    /// Tells whether the state as of `index` is the group's as far as anybody can tell now: a majority of `voters` has it, or
    /// every other voter of which `can_tell` holds. A state machine without digests has nothing to compare.
    pub(super) fn is_shared(&self, own_id: u64, voters: &[u64], index: u64, can_tell: impl Fn(u64) -> bool) -> bool {
        if self.states.is_empty() {
            return true;
        }
        let agrees = |id: &u64| {
            *id == own_id || (!self.differ.contains_key(id) && self.agree.get(id).is_some_and(|&at| at >= index))
        };
        let agreeing = voters.iter().filter(|id| agrees(id)).count();
        agreeing > voters.len() / 2 || voters.iter().all(|id| agrees(id) || !can_tell(*id))
    }

    /// How this node stands among `voters`, itself included.
    pub(super) fn divergence(&self, own_id: u64, voters: &[u64]) -> Divergence {
        let differs: Vec<u64> = self.differ.keys().copied().collect();
        let Some(index) = self.differ.values().min().copied() else {
            return Divergence::default();
        };
        let majority = voters.len() / 2 + 1;
        let agrees = |id: &&u64| {
            **id == own_id || (!self.differ.contains_key(id) && self.agree.get(id).is_some_and(|&at| at >= index))
        };
        let agreeing = voters.iter().filter(agrees).count();
        let differing = voters.iter().filter(|id| self.differ.contains_key(id)).count();
        let verdict = if agreeing >= majority {
            Verdict::Theirs
        } else if differing >= majority {
            Verdict::Own
        } else {
            Verdict::Unknown
        };
        Divergence { verdict, peers: differs, index }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(index: u64, term: u64, digest: u8) -> State {
        State { index, term, digest: [digest; 32] }
    }

    fn of(states: &[State]) -> Standings {
        let mut standings = Standings::default();
        for &state in states {
            assert!(standings.saw_own(state).is_empty());
        }
        standings
    }

    #[test]
    fn equal_states_agree_and_others_are_judged_by_the_majority() {
        let mut standings = of(&[state(4, 1, 4), state(5, 1, 5), state(6, 2, 6)]);
        assert_eq!(standings.saw_peer(2, state(5, 1, 5)), Some(Compared::Same));
        assert_eq!(standings.divergence(1, &[1, 2, 3]), Divergence::default());
        assert_eq!(standings.saw_peer(3, state(6, 2, 7)), Some(Compared::Digest));
        let unknown = Divergence { verdict: Verdict::Unknown, peers: vec![3], index: 6 };
        assert_eq!(standings.divergence(1, &[1, 2, 3]), unknown, "node 2 was seen before it");
        assert_eq!(standings.saw_peer(2, state(6, 2, 6)), Some(Compared::Same));
        assert_eq!(standings.divergence(1, &[1, 2, 3]).verdict, Verdict::Theirs);
        let mut minority = of(&[state(6, 2, 7)]);
        minority.saw_peer(1, state(6, 2, 6));
        minority.saw_peer(2, state(6, 2, 6));
        assert_eq!(minority.divergence(3, &[1, 2, 3]).verdict, Verdict::Own);
    }

    #[test]
    fn a_peer_that_is_ahead_is_compared_when_this_node_is_there() {
        let mut standings = of(&[state(4, 1, 4)]);
        assert_eq!(standings.saw_peer(2, state(6, 2, 9)), None);
        assert!(standings.saw_own(state(5, 2, 5)).is_empty());
        assert_eq!(standings.saw_own(state(6, 2, 6)), [(2, state(6, 2, 9), Compared::Digest)]);
    }

    #[test]
    fn two_terms_at_one_index_are_two_histories() {
        let mut standings = of(&[state(4, 1, 4)]);
        assert_eq!(standings.saw_peer(2, state(4, 2, 4)), Some(Compared::Term));
    }

    #[test]
    fn a_state_is_shared_once_those_who_can_tell_have_it() {
        let mut standings = of(&[state(4, 1, 4), state(5, 1, 5), state(6, 2, 6)]);
        let voters = [1, 2, 3, 4, 5];
        assert!(!standings.is_shared(1, &voters, 5, |id| id == 2), "node 2 hasn't said yet");
        assert!(standings.is_shared(1, &voters, 5, |_| false), "nobody answers");
        standings.saw_peer(2, state(4, 1, 4));
        assert!(!standings.is_shared(1, &voters, 5, |id| id == 2), "what it has is older");
        standings.saw_peer(2, state(5, 1, 5));
        assert!(standings.is_shared(1, &voters, 5, |id| id == 2));
        assert!(!standings.is_shared(1, &voters, 5, |id| id <= 3));
        standings.saw_peer(4, state(6, 2, 6));
        assert!(standings.is_shared(1, &voters, 5, |_| true), "a majority");
        assert!(Standings::default().is_shared(1, &voters, 5, |_| true), "without digests");
    }

    #[test]
    fn what_is_too_old_or_has_no_digest_is_not_compared() {
        let mut standings = of(&[state(4, 1, 4)]);
        assert_eq!(standings.saw_peer(2, state(3, 1, 9)), None);
        assert_eq!(standings.saw_peer(2, state(4, 1, 0)), None);
        standings.saw_own(state(9, 3, 9));
        assert_eq!(standings.saw_peer(2, state(4, 1, 9)), None, "a snapshot lies between");
    }
}
