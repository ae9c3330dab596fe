//! The nodes whose clocks count for ledger time.

use std::collections::BTreeMap;

use sillage_proof::hash::LeafIndex;
use sillage_proof::keys::PublicKey;
use sillage_rules::clock::majority_clock_ms;

use super::{set_at, signing};
use crate::error::ReadError;
use crate::genesis::GenesisInfo;
use crate::store::Store;

/// The nodes whose clocks count, and the keys that attest them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockVoters {
    keys: BTreeMap<u64, PublicKey>,
    /// The voters; two groups in a joint step.
    groups: Vec<Vec<u64>>,
}

impl ClockVoters {
    /// One group of nodes with their keys.
    pub fn new(keys: BTreeMap<u64, PublicKey>) -> Self {
        let groups = vec![keys.keys().copied().collect()];
        Self { keys, groups }
    }

    /// As of the log's next entry. It changes with index commits alone, which bring new keys into force.
    pub(crate) fn read(store: &Store, genesis: &GenesisInfo, next: LeafIndex) -> Result<Self, ReadError> {
        let set = set_at(store, genesis, next)?;
        let voters = set.voters();
        let mut keys = BTreeMap::new();
        for node in set.nodes.iter().filter(|node| voters.contains(node.id)) {
            let replaced = signing::key_at(store, node.id, next)?;
            keys.insert(node.id, replaced.unwrap_or(node.key));
        }
        Ok(Self { keys, groups: voters.groups().map(<[u64]>::to_vec).collect() })
    }

    /// The key that attests a node's clock; `None`: its clock doesn't count.
    pub fn key(&self, node: u64) -> Option<&PublicKey> {
        self.keys.get(&node)
    }

    /// How many nodes there are.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Their ids, ascending.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.keys.keys().copied()
    }

    /// The latest time that a majority has reached, of both groups in a joint step. See [`majority_clock_ms`].
    pub fn majority_ms(&self, clock_of: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        let groups = self.groups.iter().map(|group| majority_clock_ms(group, &clock_of));
        groups.collect::<Option<Vec<u64>>>()?.into_iter().min()
    }
}
