//! Which nodes there are: the set of nodes as the ledger keeps it, that of the genesis, then one row for each act of the
//! authority; which keys sign checkpoints ([`signing`]), and whose clocks count ([`clocks`]).
//!
//! A row holds the whole set, so that what counts for any checkpoint is one row. Like a new signing key, a new set counts
//! from the second index commit after its act on (`docs/formats.md` §12): the first is still judged by the set before.

mod clocks;
pub(crate) mod signing;

pub use self::clocks::ClockVoters;
pub use self::signing::Rotation;

use sillage_proof::hash::LeafIndex;
use sillage_proof::keys::PublicKey;
use sillage_rules::node_set::NodeSet;

use crate::error::ReadError;
use crate::genesis::GenesisInfo;
use crate::rows::NodeSetRow;
use crate::store::Store;

/// A set of nodes that an act made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSetRecord {
    /// The set.
    pub set: NodeSet,
    /// The act's entry.
    pub index: LeafIndex,
    /// The first index commit after the act, which ends the last checkpoint that the set before answers for; `None`: not
    /// there yet.
    pub covered_by: Option<LeafIndex>,
}

/// The newest of these rows, or the set of the genesis.
pub(crate) fn present(rows: Vec<NodeSetRow>, genesis: &GenesisInfo) -> Result<NodeSet, ReadError> {
    rows.into_iter().next_back().map_or_else(|| Ok(genesis.node_set()), NodeSetRow::set)
}

/// The set that counts for the checkpoint whose last entry is the index commit at `commit`.
pub(crate) fn set_at(store: &Store, genesis: &GenesisInfo, commit: LeafIndex) -> Result<NodeSet, ReadError> {
    let mut rows = store.node_sets()?;
    rows.retain(|row| row.covered_by().is_some_and(|covered| covered < commit));
    present(rows, genesis)
}

/// The key that a node came with; `None`: no set that counts at `commit` or before has it.
pub(crate) fn first_key(
    store: &Store,
    genesis: &GenesisInfo,
    id: u64,
    commit: LeafIndex,
) -> Result<Option<PublicKey>, ReadError> {
    if let Some(node) = genesis.node(id) {
        return Ok(Some(node.key));
    }
    let rows = store.node_sets()?.into_iter();
    let counting = rows.filter(|row| row.covered_by().is_some_and(|covered| covered < commit));
    let found = counting.flat_map(|row| row.nodes).find(|node| node.id == id);
    found
        .map(|node| {
            PublicKey::from_bytes(&node.public_key)
                .map_err(|_| ReadError::Damaged("the row of a set of nodes can't be read".into()))
        })
        .transpose()
}
