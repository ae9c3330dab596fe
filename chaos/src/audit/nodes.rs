//! The tree over the entries that were read, with every complete subtree, so that a root costs as much as a path.

use sillage_proof::hash::{Hash, node_hash};
use sillage_proof::merkle::{NodeId, NodeReader, ProofError};

/// Hashes by level: the leaves first, then the subtrees of two, of four, ...
#[derive(Debug, Default)]
pub(super) struct Nodes(Vec<Vec<Hash>>);

impl Nodes {
    /// How many leaves there are.
    pub(super) fn len(&self) -> u64 {
        self.0.first().map_or(0, |leaves| leaves.len() as u64)
    }

    pub(super) fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        for level in 0.. {
            if self.0.len() == level {
                self.0.push(Vec::new());
            }
            self.0[level].push(node);
            let [.., left, right] = self.0[level].as_slice() else { return };
            if self.0[level].len() % 2 == 1 {
                return;
            }
            node = node_hash(left, right);
        }
    }
}

impl NodeReader for Nodes {
    type Error = ProofError;

    fn read_nodes(&self, ids: &[NodeId], out: &mut Vec<Hash>) -> Result<(), ProofError> {
        for id in ids {
            let level = self.0.get(usize::from(id.level));
            let node = usize::try_from(id.index).ok().and_then(|index| level?.get(index));
            out.push(*node.ok_or(ProofError::IndexBeyondSize { index: id.index, size: self.len() })?);
        }
        Ok(())
    }
}
