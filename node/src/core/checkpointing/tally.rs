//! Counts roots: the log's key signs only over a majority of nodes that computed the same one.

use std::collections::BTreeMap;

use sillage_proof::Hash;
use sillage_proof::note::NoteSignature;
use sillage_rules::node_set::Voters;

/// A node's vote that was verified: its own root, cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The root that it computed.
    pub root: Hash,
    /// Its cosignature over the checkpoint with that root.
    pub line: NoteSignature,
}

/// A majority of the nodes that count cosigned one root. Made by [`Tally`] alone: whoever holds it may sign with the log's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Majority {
    size: u64,
    root: Hash,
    lines: Vec<NoteSignature>,
}

impl Majority {
    /// Size of the checkpoint.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root that they agree on.
    pub fn root(&self) -> Hash {
        self.root
    }

    /// Their cosignatures, in the order of the nodes' ids.
    pub fn lines(&self) -> &[NoteSignature] {
        &self.lines
    }
}

/// The votes on one size.
#[derive(Debug)]
pub struct Tally {
    size: u64,
    voters: Voters,
    votes: BTreeMap<u64, Vote>,
}

impl Tally {
    /// Of those whose signature counts for this size.
    pub fn new(size: u64, voters: Voters) -> Self {
        Self { size, voters, votes: BTreeMap::new() }
    }

    /// Takes the vote of a node; its first one stays, and one that doesn't count is left out.
    pub fn add(&mut self, node: u64, vote: Vote) {
        if self.voters.contains(node) {
            self.votes.entry(node).or_insert(vote);
        }
    }

    /// Tells whether everyone who counts has voted.
    pub fn is_full(&self) -> bool {
        self.votes.len() >= self.voters.ids().len()
    }

    /// The root that a majority computed: in a joint step, of both sets.
    pub fn majority(&self) -> Option<Majority> {
        let agrees = |root: &Hash, id| self.votes.get(&id).is_some_and(|vote| vote.root == *root);
        let mut roots = self.votes.values().map(|vote| vote.root);
        let root = roots.find(|root| self.voters.is_majority(|id| agrees(root, id)))?;
        let agree = self.votes.values().filter(|vote| vote.root == root);
        let lines = agree.map(|vote| vote.line.clone()).collect();
        Some(Majority { size: self.size, root, lines })
    }

    /// Nodes whose root isn't `root`.
    pub fn differing(&self, root: &Hash) -> Vec<u64> {
        let others = self.votes.iter().filter(|(_, vote)| vote.root != *root);
        others.map(|(node, _)| *node).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(byte: u8) -> Vote {
        let line = NoteSignature { name: "node".to_owned(), key_id: byte.into(), signature: vec![byte] };
        Vote { root: Hash::from([byte; 32]), line }
    }

    fn of(nodes: u64) -> Voters {
        Voters::new((1..=nodes).collect(), Vec::new())
    }

    #[test]
    fn half_is_not_a_majority_and_equal_roots_alone_count() {
        let mut tally = Tally::new(10, of(4));
        tally.add(1, vote(1));
        tally.add(2, vote(1));
        tally.add(2, vote(1));
        assert_eq!(tally.majority(), None, "two of four, however often they say it");
        tally.add(3, vote(2));
        assert_eq!(tally.majority(), None);
        tally.add(4, vote(1));
        let majority = tally.majority().expect("three of four");
        assert_eq!((majority.size(), majority.root(), majority.lines().len()), (10, vote(1).root, 3));
        assert_eq!(tally.differing(&majority.root()), [3]);
        assert!(tally.is_full());
    }

    #[test]
    fn a_node_that_changes_its_mind_counts_as_it_first_said() {
        let mut tally = Tally::new(10, of(3));
        tally.add(1, vote(1));
        tally.add(1, vote(2));
        tally.add(2, vote(2));
        assert_eq!(tally.majority(), None);
        tally.add(3, vote(2));
        assert_eq!(tally.majority().expect("two of three").root(), vote(2).root);
    }

    #[test]
    fn a_group_of_one_agrees_with_itself() {
        let mut tally = Tally::new(2, of(1));
        assert_eq!(tally.majority(), None);
        tally.add(1, vote(1));
        assert!(tally.majority().is_some());
    }

    #[test]
    fn in_a_joint_step_both_sets_agree_and_nobody_else_counts() {
        let mut tally = Tally::new(10, Voters::new(vec![1, 4, 5], vec![1, 2, 3]));
        for node in [1, 4, 5, 6] {
            tally.add(node, vote(1));
        }
        assert_eq!(tally.majority(), None, "one of the old set");
        tally.add(2, vote(2));
        assert_eq!(tally.majority(), None, "with another root");
        tally.add(3, vote(1));
        let majority = tally.majority().expect("three of the new and two of the old");
        assert_eq!(majority.lines().len(), 4, "node 6 is in neither");
        assert!(tally.is_full());
    }
}
