//! Which nodes there are, and whose signatures count.

use sillage_proof::hash::LeafIndex;
use sillage_rules::node_set::NodeSet;

use super::LedgerReader;
use crate::error::ReadError;
use crate::feature::{NODE_SETS, is_reached};
use crate::nodes::{NodeSetRecord, present, set_at};
use crate::rows::NodeSetRow;

impl LedgerReader {
    /// Tells whether acts may change the set of nodes: every node has said that it knows them.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn may_change_nodes(&self) -> Result<bool, ReadError> {
        is_reached(&self.view().store, NODE_SETS)
    }

    /// The set of nodes after the last act that is applied, one that no index commit covers yet too: whom this node
    /// talks to. [`LedgerReader::node_set_at`] says whose signatures count for a checkpoint.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn node_set(&self) -> Result<NodeSet, ReadError> {
        present(self.view().store.node_sets()?, self.genesis())
    }

    /// The set of nodes that counts for the checkpoint whose last entry is the index commit at `commit`, or, for an index to
    /// come, that would if it were the next (`docs/formats.md` §12).
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn node_set_at(&self, commit: LeafIndex) -> Result<NodeSet, ReadError> {
        set_at(&self.view().store, self.genesis(), commit)
    }

    /// Every set that an act made, in the order of the log. That of the genesis is [`GenesisInfo::node_set`].
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn node_sets(&self) -> Result<Vec<NodeSetRecord>, ReadError> {
        let record = |row: NodeSetRow| {
            let (index, covered_by) = (LeafIndex(row.index), row.covered_by());
            Ok(NodeSetRecord { set: row.set()?, index, covered_by })
        };
        self.view().store.node_sets()?.into_iter().map(record).collect()
    }
}
