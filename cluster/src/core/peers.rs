//! The disk that a message comes from, and what to do if it isn't the disk that this node knows.
//!
//! A vote or an acknowledgement is a promise of a disk. So no message of a peer counts before the run that it names
//! ([`crate::identity`]) is durable here as the highest one seen. A message of another disk, of an earlier start, or of
//! another run of the same start is refused, and its sender is told: it takes no further part.

use std::collections::{BTreeMap, BTreeSet};

use crate::identity::{DiskClaim, DiskRun};

/// Messages of one peer that wait until its run is durable here.
const HELD_MESSAGES_MAX: usize = 64;
/// Their bytes.
const HELD_BYTES_MAX: usize = 8 << 20;

/// Why messages of a peer are refused.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PeerFault {
    /// Another disk under its id.
    #[error("it answers from disk {came}, and was disk {known}")]
    OtherDisk {
        /// That answers.
        came: DiskRun,
        /// That is known.
        known: DiskRun,
    },
    /// A start of its disk that is over.
    #[error("it answers from start {came} of its disk, and start {known} was seen: it was put back to an older state")]
    OldStart {
        /// That answers.
        came: u64,
        /// Seen before.
        known: u64,
    },
    /// A later start of its disk, but of one that doesn't remember the start that was seen.
    #[error(
        "it answers from start {came} of its disk, which doesn't remember start {known} as it was seen: it was put back to an \
         older state"
    )]
    OtherStarts {
        /// That answers.
        came: u64,
        /// Seen before.
        known: u64,
    },
    /// It says nothing of its disk, and did before.
    #[error("it doesn't say which disk it is, and was {0}")]
    Silent(DiskRun),
}

/// Somebody has seen a later start of this node than this one, or another disk under its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disowned {
    /// The peer that says so.
    pub by: u64,
    /// The run of this node that it has seen.
    pub known: DiskRun,
}

/// The fate of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It counts.
    Take,
    /// It waits until the run is durable.
    Hold,
    /// It never counts.
    Refuse(PeerFault),
}

#[derive(Debug)]
struct Waiting {
    run: DiskRun,
    held: Vec<Vec<u8>>,
    bytes: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Peers {
    known: BTreeMap<u64, DiskRun>,
    waiting: BTreeMap<u64, Waiting>,
    faults: BTreeMap<u64, PeerFault>,
    told_at: BTreeMap<u64, u64>,
    /// Of each peer that was heard in this run of ours: true if it says which starts it remembers. A program of before doesn't.
    says_starts: BTreeMap<u64, bool>,
    /// Peers that have stored this run of ours.
    have_stored: BTreeSet<u64>,
}

impl Peers {
    pub(super) fn new(known: BTreeMap<u64, DiskRun>) -> Self {
        Peers {
            known,
            waiting: BTreeMap::new(),
            faults: BTreeMap::new(),
            told_at: BTreeMap::new(),
            says_starts: BTreeMap::new(),
            have_stored: BTreeSet::new(),
        }
    }

    /// Judges a message of `peer`, and keeps it where it has to wait. `true` beside a wait: the run is to be stored.
    pub(super) fn judge(&mut self, peer: u64, claim: Option<&DiskClaim>, message: &[u8]) -> (Judgement, bool) {
        self.says_starts.insert(peer, claim.is_some_and(|claim| !claim.starts.is_empty()));
        let known = self.known.get(&peer).copied();
        let Some(claim) = claim else {
            // A node that was not upgraded yet says nothing.
            return match known {
                None => (Judgement::Take, false),
                Some(known) => (self.refuse(peer, PeerFault::Silent(known)), false),
            };
        };
        let run = claim.run;
        if known == Some(run) {
            self.faults.remove(&peer);
            return (Judgement::Take, false);
        }
        // What waits to be stored counts against others as if it was.
        let highest = self.waiting.get(&peer).map(|waiting| waiting.run).or(known);
        if let Some(highest) = highest.filter(|highest| *highest != run) {
            if highest.disk != run.disk {
                return (self.refuse(peer, PeerFault::OtherDisk { came: run, known: highest }), false);
            }
            if run.start <= highest.start {
                return (self.refuse(peer, PeerFault::OldStart { came: run.start, known: highest.start }), false);
            }
            if !claim.follows(&highest) {
                let fault = PeerFault::OtherStarts { came: run.start, known: highest.start };
                return (self.refuse(peer, fault), false);
            }
        }
        let is_new = self.waiting.get(&peer).is_none_or(|waiting| waiting.run != run);
        if is_new {
            self.waiting.insert(peer, Waiting { run, held: Vec::new(), bytes: 0 });
        }
        let waiting = self.waiting.get_mut(&peer).expect("just put there");
        if waiting.held.len() < HELD_MESSAGES_MAX && waiting.bytes + message.len() <= HELD_BYTES_MAX {
            waiting.bytes += message.len();
            waiting.held.push(message.to_vec());
        }
        (Judgement::Hold, is_new)
    }

    fn refuse(&mut self, peer: u64, fault: PeerFault) -> Judgement {
        self.faults.insert(peer, fault);
        Judgement::Refuse(fault)
    }

    /// The run of `peer` is durable here; gives the messages that waited for it.
    pub(super) fn stored(&mut self, peer: u64, run: DiskRun) -> Vec<Vec<u8>> {
        self.known.insert(peer, run);
        match self.waiting.remove(&peer) {
            Some(waiting) if waiting.run == run => {
                self.faults.remove(&peer);
                waiting.held
            }
            Some(later) => {
                self.waiting.insert(peer, later);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// The highest run seen of `peer`, durable here.
    pub(super) fn known(&self, peer: u64) -> Option<DiskRun> {
        self.known.get(&peer).copied()
    }

    /// Tells whether the last message of `peer` said which starts it remembers. A program of before doesn't, and takes a message
    /// of a kind that it doesn't know for a forged one.
    pub(super) fn says_starts(&self, peer: u64) -> bool {
        self.says_starts.get(&peer) == Some(&true)
    }

    /// `peer` has stored this run of ours.
    pub(super) fn has_stored(&mut self, peer: u64) {
        self.have_stored.insert(peer);
    }

    /// Tells whether this node and `peer` know each other's disks: it was heard in this run of ours, its run is durable here, and it
    /// has said that ours is durable there. A program of before doesn't say that: there it is enough that it was heard.
    pub(super) fn is_met(&self, peer: u64) -> bool {
        let hears_us = match self.says_starts.get(&peer) {
            None => false,
            Some(false) => true,
            Some(true) => self.have_stored.contains(&peer),
        };
        hears_us && self.known.contains_key(&peer)
    }

    /// Tells whether `peer` should be told now that it is refused: not with every message.
    pub(super) fn is_to_be_told(&mut self, peer: u64, tick: u64, every: u64) -> bool {
        let due = self.told_at.get(&peer).is_none_or(|&told| tick >= told + every);
        if due {
            self.told_at.insert(peer, tick);
        }
        due
    }

    /// Peers whose messages are refused, and why.
    pub(super) fn faults(&self) -> Vec<(u64, PeerFault)> {
        self.faults.iter().map(|(&peer, &fault)| (peer, fault)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Start;

    fn run(disk: u8, start: u64, run: u64) -> DiskRun {
        DiskRun { disk: [disk; 16], start, run }
    }

    fn peers() -> Peers {
        Peers::new(BTreeMap::from([(2, run(1, 5, 50))]))
    }

    #[test]
    fn a_new_start_counts_once_it_is_durable() {
        let mut peers = peers();
        assert_eq!(peers.judge(2, Some(&run(1, 5, 50).into()), b"a"), (Judgement::Take, false));
        let next = run(1, 6, 60);
        assert_eq!(peers.judge(2, Some(&next.into()), b"b"), (Judgement::Hold, true));
        assert_eq!(peers.judge(2, Some(&next.into()), b"c"), (Judgement::Hold, false));
        assert_eq!(peers.stored(2, next), [b"b".to_vec(), b"c".to_vec()]);
        assert_eq!(peers.judge(2, Some(&next.into()), b"d"), (Judgement::Take, false));
        assert_eq!(peers.known(2), Some(next));
    }

    #[test]
    fn what_is_older_or_another_is_refused() {
        let mut peers = peers();
        for (came, why) in [
            (Some(run(1, 4, 40)), PeerFault::OldStart { came: 4, known: 5 }),
            (Some(run(1, 5, 51)), PeerFault::OldStart { came: 5, known: 5 }),
            (Some(run(2, 9, 90)), PeerFault::OtherDisk { came: run(2, 9, 90), known: run(1, 5, 50) }),
            (None, PeerFault::Silent(run(1, 5, 50))),
        ] {
            assert_eq!(peers.judge(2, came.map(DiskClaim::from).as_ref(), b"a"), (Judgement::Refuse(why), false));
            assert_eq!(peers.faults(), [(2, why)]);
        }
        assert_eq!(peers.judge(2, Some(&run(1, 5, 50).into()), b"a").0, Judgement::Take);
        assert_eq!(peers.faults(), []);
    }

    #[test]
    fn a_copy_that_caught_up_with_the_number_is_refused() {
        let start = |number, run| Start { number, run };
        let claim = |starts: &[Start]| {
            let last = starts.last().expect("one");
            DiskClaim { run: run(1, last.number, last.run), starts: starts.to_vec() }
        };
        // Seen: start 5, by the name 50.
        let refused = (Judgement::Refuse(PeerFault::OtherStarts { came: 7, known: 5 }), false);
        assert_eq!(
            peers().judge(2, Some(&claim(&[start(4, 40), start(5, 51), start(6, 60), start(7, 70)])), b"a"),
            refused
        );
        assert_eq!(peers().judge(2, Some(&claim(&[start(4, 40), start(6, 60), start(7, 70)])), b"a"), refused);
        // It remembers that start, or one that another peer has seen after it.
        for starts in [&[start(5, 50), start(6, 60), start(7, 70)][..], &[start(6, 60), start(7, 70)]] {
            assert_eq!(peers().judge(2, Some(&claim(starts)), b"a"), (Judgement::Hold, true));
        }
        // A program of before doesn't say.
        assert_eq!(peers().judge(2, Some(&run(1, 7, 70).into()), b"a"), (Judgement::Hold, true));
    }

    #[test]
    fn what_waits_counts_against_others_at_once() {
        let mut peers = Peers::new(BTreeMap::new());
        assert_eq!(peers.judge(3, None, b"a"), (Judgement::Take, false));
        assert_eq!(peers.judge(3, Some(&run(1, 1, 1).into()), b"a"), (Judgement::Hold, true));
        assert!(matches!(peers.judge(3, Some(&run(2, 1, 2).into()), b"a").0, Judgement::Refuse(_)));
        assert_eq!(peers.judge(3, Some(&run(1, 2, 3).into()), b"b"), (Judgement::Hold, true));
        assert!(peers.stored(3, run(1, 1, 1)).is_empty(), "a later start waits");
        assert_eq!(peers.stored(3, run(1, 2, 3)), [b"b".to_vec()]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut peers = Peers::new(BTreeMap::new());
        for _ in 0..2 * HELD_MESSAGES_MAX {
            peers.judge(3, Some(&run(1, 1, 1).into()), b"a");
        }
        assert_eq!(peers.stored(3, run(1, 1, 1)).len(), HELD_MESSAGES_MAX);
    }
}
