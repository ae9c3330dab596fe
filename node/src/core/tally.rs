//! Counts roots: the log's key signs only over a majority of nodes that computed the same one.

use std::collections::BTreeMap;

use sillage_proof::Hash;
use sillage_proof::note::NoteSignature;

/// A node's vote that was verified: its own root, cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The root that it computed.
    pub root: Hash,
    /// Its cosignature over the checkpoint with that root.
    pub line: NoteSignature,
}

/// More than half of all nodes cosigned one root. Made by [`Tally`] alone: whoever holds it may sign with the log's key.
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
    nodes: usize,
    votes: BTreeMap<u64, Vote>,
}

impl Tally {
    /// Of a group of `nodes` nodes.
    pub fn new(size: u64, nodes: usize) -> Self {
        Self { size, nodes, votes: BTreeMap::new() }
    }

    /// Counts the vote of a node; its first one stays.
    pub fn add(&mut self, node: u64, vote: Vote) {
        self.votes.entry(node).or_insert(vote);
    }

    /// Whether every node has voted.
    pub fn is_full(&self) -> bool {
        self.votes.len() >= self.nodes
    }

    /// The root that more than half of all nodes computed.
    pub fn majority(&self) -> Option<Majority> {
        let roots = self.votes.values().map(|vote| vote.root);
        let root = roots.into_iter().find(|root| 2 * self.voters(root) > self.nodes)?;
        let agree = self.votes.values().filter(|vote| vote.root == root);
        let lines = agree.map(|vote| vote.line.clone()).collect();
        Some(Majority { size: self.size, root, lines })
    }

    /// Nodes whose root isn't `root`.
    pub fn differing(&self, root: &Hash) -> Vec<u64> {
        let others = self.votes.iter().filter(|(_, vote)| vote.root != *root);
        others.map(|(node, _)| *node).collect()
    }

    fn voters(&self, root: &Hash) -> usize {
        self.votes.values().filter(|vote| vote.root == *root).count()
    }
}

/// Votes that make a majority of `nodes` nodes.
pub fn majority_of(nodes: usize) -> usize {
    nodes / 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(byte: u8) -> Vote {
        let line = NoteSignature { name: "node".to_owned(), key_id: byte.into(), signature: vec![byte] };
        Vote { root: Hash::from([byte; 32]), line }
    }

    #[test]
    fn half_is_not_a_majority_and_equal_roots_alone_count() {
        let mut tally = Tally::new(10, 4);
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
        let mut tally = Tally::new(10, 3);
        tally.add(1, vote(1));
        tally.add(1, vote(2));
        tally.add(2, vote(2));
        assert_eq!(tally.majority(), None);
        tally.add(3, vote(2));
        assert_eq!(tally.majority().expect("two of three").root(), vote(2).root);
    }

    #[test]
    fn a_group_of_one_agrees_with_itself() {
        let mut tally = Tally::new(2, 1);
        assert_eq!(tally.majority(), None);
        tally.add(1, vote(1));
        assert!(tally.majority().is_some());
        assert_eq!([1, 2, 3, 4, 5].map(majority_of), [1, 2, 2, 3, 3]);
    }
}
