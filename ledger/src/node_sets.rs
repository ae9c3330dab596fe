//! The set of nodes as the ledger keeps it: that of the genesis, then one row for each act of the authority.
//!
//! A row holds the whole set, so that what counts for any checkpoint is one row. Like a new signing key, a new set counts
//! from the second index commit after its act on (`docs/formats.md` §12): the first is still judged by the set before.

use prost::Message;
use sillage_proof::hash::LeafIndex;
use sillage_proof::keys::PublicKey;
use sillage_rules::node_set::{NodeSet, SetNode};

use crate::apply::feature::{NODE_SETS, is_reached};
use crate::error::ReadError;
use crate::genesis::GenesisInfo;
use crate::reader::LedgerReader;
use crate::schema::{commit_index, commit_number};
use crate::store::Store;

/// Stored state of a set.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct NodeSetRow {
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    /// The entry with the act.
    #[prost(uint64, tag = "2")]
    pub index: u64,
    /// The first index commit after the act; 0: none yet.
    #[prost(uint64, tag = "3")]
    pub covered_by: u64,
    #[prost(message, repeated, tag = "4")]
    pub nodes: Vec<NodeRow>,
    #[prost(uint64, repeated, tag = "5")]
    pub voters: Vec<u64>,
    #[prost(uint64, repeated, tag = "6")]
    pub voters_outgoing: Vec<u64>,
    #[prost(uint64, repeated, tag = "7")]
    pub learners: Vec<u64>,
    #[prost(uint64, tag = "8")]
    pub id_max: u64,
}

/// Stored state of a node in a set.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct NodeRow {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(bytes = "vec", tag = "3")]
    pub public_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub tls_spki_sha256: Vec<u8>,
    #[prost(string, tag = "5")]
    pub client_address: String,
    #[prost(string, tag = "6")]
    pub peer_address: String,
}

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

impl NodeSetRow {
    pub(crate) fn new(set: &NodeSet, index: LeafIndex) -> Self {
        let node = |node: &SetNode| NodeRow {
            id: node.id,
            name: node.name.clone(),
            public_key: node.key.to_bytes().to_vec(),
            tls_spki_sha256: node.tls_spki_sha256.to_vec(),
            client_address: node.client_address.clone(),
            peer_address: node.peer_address.clone(),
        };
        Self {
            epoch: set.epoch,
            index: index.get(),
            covered_by: 0,
            nodes: set.nodes.iter().map(node).collect(),
            voters: set.voters.clone(),
            voters_outgoing: set.voters_outgoing.clone(),
            learners: set.learners.clone(),
            id_max: set.id_max,
        }
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        Self::decode(bytes).map_err(|_| damaged())
    }

    pub(crate) fn covered_by(&self) -> Option<LeafIndex> {
        commit_index(self.covered_by)
    }

    /// The same, covered by this index commit.
    pub(crate) fn covered(self, commit: LeafIndex) -> Self {
        Self { covered_by: commit_number(Some(commit)), ..self }
    }

    pub(crate) fn set(self) -> Result<NodeSet, ReadError> {
        let node = |node: NodeRow| {
            let key = PublicKey::from_bytes(&node.public_key).ok()?;
            let tls_spki_sha256 = node.tls_spki_sha256.try_into().ok()?;
            let NodeRow { id, name, client_address, peer_address, .. } = node;
            Some(SetNode { id, name, key, tls_spki_sha256, client_address, peer_address })
        };
        let nodes: Option<Vec<SetNode>> = self.nodes.into_iter().map(node).collect();
        Ok(NodeSet {
            epoch: self.epoch,
            nodes: nodes.ok_or_else(damaged)?,
            voters: self.voters,
            voters_outgoing: self.voters_outgoing,
            learners: self.learners,
            id_max: self.id_max,
        })
    }
}

fn damaged() -> ReadError {
    ReadError::Damaged("the row of a set of nodes can't be read".into())
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
    found.map(|node| PublicKey::from_bytes(&node.public_key).map_err(|_| damaged())).transpose()
}

impl LedgerReader {
    /// Whether acts may change the set of nodes: every node has said that it knows them.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn may_change_nodes(&self) -> Result<bool, ReadError> {
        is_reached(&self.view().store, NODE_SETS)
    }

    /// The set of nodes after the last act that is applied, one that no index commit covers yet too: whom this node talks
    /// to. Whose signatures count for a checkpoint says [`LedgerReader::node_set_at`].
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
