//! Properties that must hold, whatever happens.
//!
//! A harness reports what it observes, in the order it observes it; the first observation that breaks a rule gets a
//! [`Violation`]. The rules: one leader a term; an acknowledged record exists exactly once and never moves; equal
//! applied index means equal bytes and equal root on all nodes; every checkpoint extends every earlier one; a read
//! shows all that was acknowledged before it; ledger time never goes back, and never further than a majority of clocks
//! allows.

use std::collections::BTreeMap;

use sillage_cluster::core::Members;
use sillage_proof::hash::{Hash, TreeSize};
use sillage_proof::merkle::{empty_root, verify_consistency};

/// A record as its author numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// The author's stream.
    pub stream: u64,
    /// Its number in the stream, from 1.
    pub sequence: u64,
}

/// A broken rule.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Violation {
    /// Two leaders in one term.
    #[error("nodes {first} and {second} both led term {term}")]
    TwoLeaders {
        /// The term.
        term: u64,
        /// Seen first.
        first: u64,
        /// Seen second.
        second: u64,
    },
    /// Nodes applied different entries at one index.
    #[error("node {node} applied other bytes at index {index} than another node, or than before")]
    Diverged {
        /// The node that differs.
        node: u64,
        /// Raft index.
        index: u64,
    },
    /// Nodes have different roots at one index or size.
    #[error("node {node} has another root at size {size} than another node, or than before")]
    RootDiffers {
        /// The node that differs.
        node: u64,
        /// Tree size.
        size: u64,
    },
    /// A record was acknowledged at two places.
    #[error("record {record:?} was acknowledged at {first}, then at {second}")]
    Moved {
        /// The record.
        record: RecordId,
        /// Place acknowledged first.
        first: u64,
        /// Place acknowledged later.
        second: u64,
    },
    /// An acknowledged record is not where it was.
    #[error("record {record:?}, acknowledged at {place}, is gone from node {node}")]
    Lost {
        /// The record.
        record: RecordId,
        /// Where it was.
        place: u64,
        /// Where it is missing.
        node: u64,
    },
    /// A record is in the log twice.
    #[error("record {record:?} is on node {node} twice, at {first} and {second}")]
    Twice {
        /// The record.
        record: RecordId,
        /// The node.
        node: u64,
        /// Its first place.
        first: u64,
        /// Its second place.
        second: u64,
    },
    /// A checkpoint does not extend an earlier one.
    #[error("the checkpoint at size {new} does not extend the one at size {old}: {reason}")]
    Inconsistent {
        /// Size of the earlier one.
        old: u64,
        /// Size of the later one.
        new: u64,
        /// The verifier's finding.
        reason: String,
    },
    /// A read missed what was acknowledged before it began.
    #[error("a read on node {node} saw {size} records, but {floor} were acknowledged before it")]
    StaleRead {
        /// The node.
        node: u64,
        /// The value that it saw.
        size: u64,
        /// The value that it had to see.
        floor: u64,
    },
    /// Ledger time went back.
    #[error("ledger time on node {node} went back from {before_ms} to {time_ms} ms at index {index}")]
    TimeWentBack {
        /// The node.
        node: u64,
        /// Raft index.
        index: u64,
        /// Before it.
        before_ms: u64,
        /// With it.
        time_ms: u64,
    },
    /// Ledger time went further than the clocks of a majority allowed when it was proposed.
    #[error(
        "ledger time on node {node} leapt to {time_ms} ms at index {index}: a majority of clocks allowed {latest_ms}"
    )]
    TimeLeapt {
        /// The node.
        node: u64,
        /// Raft index.
        index: u64,
        /// With it.
        time_ms: u64,
        /// The number that was allowed; 0: nothing was proposed there.
        latest_ms: u64,
    },
    /// Nothing moves although a majority could.
    #[error("no progress though faults have ended: {0}")]
    NoProgress(String),
    /// A node has other members than the log says.
    #[error("node {node} has the members {found:?} as of index {index}, not {wanted:?}")]
    MembersDiffer {
        /// The node.
        node: u64,
        /// Raft index.
        index: u64,
        /// Its own value.
        found: Box<Members>,
        /// The value that others applied.
        wanted: Box<Members>,
    },
    /// More waits on a node than may.
    #[error("{bytes} bytes wait to be applied on node {node}, more than its bound")]
    Unbounded {
        /// The node.
        node: u64,
        /// The entries that wait.
        bytes: u64,
    },
    /// A majority cosigned a root that isn't the log's.
    #[error("a majority cosigned another root at size {size} than node {node} has")]
    NotCosigned {
        /// The node, which has caught up.
        node: u64,
        /// Tree size.
        size: u64,
    },
    /// The log of a node isn't whole.
    #[error("the log of node {node} isn't whole: {reason}")]
    NotWhole {
        /// The node.
        node: u64,
        /// The finding of the audit.
        reason: String,
    },
    /// A node's state differs, and neither it nor another noticed.
    #[error("the state of node {node} differs from the others', and it takes part all the same")]
    Unnoticed {
        /// The node.
        node: u64,
    },
    /// A node stopped that should not have.
    #[error("node {node} stopped: {reason}")]
    Stopped {
        /// The node.
        node: u64,
        /// Its last words.
        reason: String,
    },
}

/// A Merkle root over the first `size` records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Records under it.
    pub size: u64,
    /// The root.
    pub root: Hash,
}

/// All observations so far.
#[derive(Debug, Default)]
pub struct Checks {
    leaders: BTreeMap<u64, u64>,
    applied: BTreeMap<u64, (Hash, Hash)>,
    acknowledged: BTreeMap<RecordId, u64>,
    acknowledged_size: u64,
    roots: BTreeMap<u64, Hash>,
    /// (term, index) of what was proposed → the latest ledger time that it may bring, in milliseconds.
    latest_ms: BTreeMap<(u64, u64), u64>,
    /// Nothing is judged any more.
    stopped: bool,
    /// Index of each change of the members → what they are from then on.
    members: BTreeMap<u64, Members>,
}

impl Checks {
    /// From now on what is acknowledged is still noted down, and nothing is judged.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// A node said that it leads a term.
    ///
    /// # Errors
    /// [`Violation::TwoLeaders`].
    pub fn saw_leader(&mut self, term: u64, node: u64) -> Result<(), Violation> {
        if self.stopped {
            return Ok(());
        }
        let first = *self.leaders.entry(term).or_insert(node);
        if first == node {
            return Ok(());
        }
        Err(Violation::TwoLeaders { term, first, second: node })
    }

    /// The members before any change.
    pub fn founded_by(&mut self, members: &Members) {
        self.members.insert(0, members.clone());
    }

    /// A node applied a change of the members at a Raft index.
    ///
    /// # Errors
    /// [`Violation::MembersDiffer`].
    pub fn saw_members(&mut self, node: u64, index: u64, members: &Members) -> Result<(), Violation> {
        if self.stopped {
            return Ok(());
        }
        let wanted = self.members.entry(index).or_insert_with(|| members.clone());
        same_members(node, index, members, wanted)
    }

    /// A node goes by these members, with everything up to a Raft index applied. A newcomer, which has applied
    /// nothing, knows of none.
    ///
    /// # Errors
    /// [`Violation::MembersDiffer`].
    pub fn saw_members_at(&self, node: u64, index: u64, members: &Members) -> Result<(), Violation> {
        if self.stopped {
            return Ok(());
        }
        match self.members.range(..=index).next_back() {
            Some((_, wanted)) if index > 0 => same_members(node, index, members, wanted),
            _ => Ok(()),
        }
    }

    /// How many terms had a leader.
    pub fn terms(&self) -> usize {
        self.leaders.len()
    }

    /// A node applied the entry with hash `entry` at a Raft index, and had `root` after it.
    ///
    /// # Errors
    /// [`Violation::Diverged`].
    pub fn saw_applied(&mut self, node: u64, index: u64, entry: Hash, root: Hash) -> Result<(), Violation> {
        if self.stopped {
            return Ok(());
        }
        let first = *self.applied.entry(index).or_insert((entry, root));
        if first == (entry, root) { Ok(()) } else { Err(Violation::Diverged { node, index }) }
    }

    /// Something was proposed at (term, index) when the clocks of a majority allowed ledger time to be `latest_ms`.
    pub fn saw_proposed(&mut self, place: (u64, u64), latest_ms: u64) {
        self.latest_ms.insert(place, latest_ms);
    }

    /// A node applied the entry at `place` (term, index), and its ledger time was (before, after) in milliseconds.
    ///
    /// # Errors
    /// [`Violation::TimeWentBack`], [`Violation::TimeLeapt`].
    pub fn saw_time(&self, node: u64, place: (u64, u64), (before_ms, time_ms): (u64, u64)) -> Result<(), Violation> {
        if self.stopped {
            return Ok(());
        }
        let index = place.1;
        if time_ms < before_ms {
            return Err(Violation::TimeWentBack { node, index, before_ms, time_ms });
        }
        let latest_ms = self.latest_ms.get(&place).copied().unwrap_or(0);
        if time_ms > before_ms && time_ms > latest_ms {
            return Err(Violation::TimeLeapt { node, index, time_ms, latest_ms });
        }
        Ok(())
    }

    /// An author was told that its record is at `place` (from 0).
    ///
    /// # Errors
    /// [`Violation::Moved`].
    pub fn saw_acknowledged(&mut self, record: RecordId, place: u64) -> Result<(), Violation> {
        let first = *self.acknowledged.entry(record).or_insert(place);
        self.acknowledged_size = self.acknowledged_size.max(place + 1);
        if first == place || self.stopped {
            return Ok(());
        }
        Err(Violation::Moved { record, first, second: place })
    }

    /// How many records a read that begins now must see at least.
    pub fn acknowledged_size(&self) -> u64 {
        self.acknowledged_size
    }

    /// How many records were acknowledged.
    pub fn acknowledged_count(&self) -> usize {
        self.acknowledged.len()
    }

    /// A read that began when [`Checks::acknowledged_size`] was `floor` saw `size` records.
    ///
    /// # Errors
    /// [`Violation::StaleRead`].
    pub fn saw_read(&self, node: u64, floor: u64, size: u64) -> Result<(), Violation> {
        if self.stopped {
            return Ok(());
        }
        if size >= floor {
            return Ok(());
        }
        Err(Violation::StaleRead { node, size, floor })
    }

    /// A node showed a checkpoint. `prove` gives its consistency proof from an older size.
    ///
    /// # Errors
    /// [`Violation::RootDiffers`], [`Violation::Inconsistent`].
    pub fn saw_checkpoint(
        &mut self,
        node: u64,
        seen: Checkpoint,
        prove: impl Fn(u64) -> Vec<Hash>,
    ) -> Result<(), Violation> {
        if self.stopped {
            return Ok(());
        }
        let Checkpoint { size, root } = seen;
        if let Some(first) = self.roots.get(&size) {
            if *first == root {
                return Ok(());
            }
            return Err(Violation::RootDiffers { node, size });
        }
        if size == 0 && root != empty_root() {
            return Err(Violation::RootDiffers { node, size });
        }
        // Consistency is transitive: the neighbours below stand for all before them. Every log extends the empty one, and no
        // proof says so.
        if let Some((&old, old_root)) = self.roots.range(1..size.max(1)).next_back() {
            let proof = prove(old);
            verify_consistency(TreeSize(old), TreeSize(size), &proof, old_root, &root)
                .map_err(|error| Violation::Inconsistent { old, new: size, reason: error.to_string() })?;
        }
        self.roots.insert(size, root);
        Ok(())
    }

    /// The whole log of a node that has caught up, records with their places: every acknowledged one is there, once, at its
    /// place.
    ///
    /// # Errors
    /// [`Violation::Twice`], [`Violation::Lost`].
    pub fn saw_log(&self, node: u64, records: &[(RecordId, u64)]) -> Result<(), Violation> {
        let mut places = BTreeMap::new();
        for &(record, place) in records {
            if let Some(first) = places.insert(record, place) {
                return Err(Violation::Twice { record, node, first, second: place });
            }
        }
        for (&record, &place) in &self.acknowledged {
            if places.get(&record) != Some(&place) {
                return Err(Violation::Lost { record, place, node });
            }
        }
        Ok(())
    }
}

fn same_members(node: u64, index: u64, found: &Members, wanted: &Members) -> Result<(), Violation> {
    if found == wanted {
        return Ok(());
    }
    Err(Violation::MembersDiffer { node, index, found: Box::new(found.clone()), wanted: Box::new(wanted.clone()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::hash::leaf_hash;
    use sillage_proof::merkle::{consistency_proof, root_of};

    fn record(sequence: u64) -> RecordId {
        RecordId { stream: 1, sequence }
    }

    #[test]
    fn two_leaders_of_a_term_are_noticed() {
        let mut checks = Checks::default();
        checks.saw_leader(3, 1).unwrap();
        checks.saw_leader(3, 1).unwrap();
        checks.saw_leader(4, 2).unwrap();
        assert!(matches!(checks.saw_leader(3, 2), Err(Violation::TwoLeaders { term: 3, .. })));
    }

    #[test]
    fn a_lost_a_moved_and_a_repeated_record_are_noticed() {
        let mut checks = Checks::default();
        checks.saw_acknowledged(record(1), 0).unwrap();
        checks.saw_acknowledged(record(2), 1).unwrap();
        checks.saw_acknowledged(record(2), 1).unwrap();
        assert!(matches!(checks.saw_acknowledged(record(2), 2), Err(Violation::Moved { .. })));
        let at = |sequences: &[u64]| sequences.iter().map(|&n| record(n)).zip(0..).collect::<Vec<_>>();
        checks.saw_log(1, &at(&[1, 2, 3])).unwrap();
        assert!(matches!(checks.saw_log(1, &at(&[1])), Err(Violation::Lost { .. })));
        assert!(matches!(checks.saw_log(1, &at(&[2, 1])), Err(Violation::Lost { .. })));
        assert!(matches!(checks.saw_log(1, &at(&[1, 2, 1])), Err(Violation::Twice { .. })));
    }

    #[test]
    fn a_stale_read_is_noticed() {
        let mut checks = Checks::default();
        checks.saw_acknowledged(record(1), 7).unwrap();
        let floor = checks.acknowledged_size();
        checks.saw_read(1, floor, 8).unwrap();
        assert!(matches!(checks.saw_read(1, floor, 7), Err(Violation::StaleRead { .. })));
    }

    #[test]
    fn ledger_time_that_goes_back_or_too_far_is_noticed() {
        let mut checks = Checks::default();
        checks.saw_proposed((2, 7), 1_500);
        checks.saw_time(1, (2, 7), (1_000, 1_500)).unwrap();
        checks.saw_time(1, (2, 8), (1_500, 1_500)).unwrap();
        assert!(matches!(checks.saw_time(1, (2, 7), (1_000, 1_501)), Err(Violation::TimeLeapt { .. })));
        assert!(matches!(checks.saw_time(1, (2, 8), (1_500, 1_501)), Err(Violation::TimeLeapt { .. })));
        assert!(matches!(checks.saw_time(1, (2, 7), (1_000, 999)), Err(Violation::TimeWentBack { .. })));
    }

    #[test]
    fn a_checkpoint_of_the_empty_log_needs_no_proof_and_has_the_empty_root() {
        let leaves: Vec<Hash> = (0..8u8).map(|i| leaf_hash(&[i])).collect();
        let mut checks = Checks::default();
        let other = Checkpoint { size: 0, root: leaves[0] };
        assert!(matches!(checks.saw_checkpoint(1, other, |_| Vec::new()), Err(Violation::RootDiffers { .. })));
        checks.saw_checkpoint(1, Checkpoint { size: 0, root: empty_root() }, |_| Vec::new()).unwrap();
        checks.saw_checkpoint(1, Checkpoint { size: 8, root: root_of(&leaves) }, |_| Vec::new()).unwrap();
    }

    #[test]
    fn divergence_and_an_inconsistent_checkpoint_are_noticed() {
        let leaves: Vec<Hash> = (0..10u8).map(|i| leaf_hash(&[i])).collect();
        let mut other = leaves.clone();
        other[2] = leaf_hash(b"other");
        let mut checks = Checks::default();
        let at = |leaves: &[Hash], size: usize| Checkpoint { size: size as u64, root: root_of(&leaves[..size]) };
        let prove =
            |leaves: &[Hash], old: u64, new: u64| consistency_proof(leaves, TreeSize(old), TreeSize(new)).unwrap();
        checks.saw_applied(1, 1, leaves[0], leaves[1]).unwrap();
        assert!(checks.saw_applied(2, 1, leaves[0], leaves[2]).is_err());
        checks.saw_checkpoint(1, at(&leaves, 4), |_| Vec::new()).unwrap();
        checks.saw_checkpoint(2, at(&leaves, 4), |_| Vec::new()).unwrap();
        assert!(matches!(checks.saw_checkpoint(2, at(&other, 4), |_| Vec::new()), Err(Violation::RootDiffers { .. })));
        checks.saw_checkpoint(1, at(&leaves, 9), |old| prove(&leaves, old, 9)).unwrap();
        assert!(matches!(
            checks.saw_checkpoint(1, at(&other, 10), |old| prove(&other, old, 10)),
            Err(Violation::Inconsistent { .. })
        ));
    }
}
