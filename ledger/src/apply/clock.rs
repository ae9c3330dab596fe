//! The ledger time of a command, and the feature level of the group.
//!
//! From feature level [`CLOCKS`] on, time comes from the clocks that a majority of nodes attest (`docs/formats.md` §15);
//! before, it is the leader's stamp. Whatever else is new at apply asks for the level as well: until every node knows it,
//! all of them do what the oldest one would.

use std::collections::BTreeMap;
use std::sync::Arc;

use sillage_proof::hash::{LeafIndex, LedgerTimeMs};
use sillage_proof::keys::PublicKey;
use sillage_proto::internal::v1::{ClockEvidence, Command};
use sillage_rules::clock::{ClockMessage, ledger_time, majority_clock_ms};
use sillage_rules::codes::Code;

use super::signing;
use super::{BatchOutcome, COMMAND_VERSION_CLOCKS};
use crate::consent::caches::Caches;
use crate::error::{Fatal, ReadError, Refusal};
use crate::genesis::GenesisInfo;
use crate::node_sets;
use crate::schema::HeadRow;
use crate::shared::Shared;
use crate::store::Store;

/// Newest feature level that this program knows. 1: before there were levels; 2: time by clocks, sets of nodes; 3: roles as
/// small as the job; 4: claims of persons are proven.
pub const FEATURE_LEVEL: u32 = 4;
/// From this level on, ledger time is what a majority of clocks attests.
pub const CLOCKS: u32 = 2;

/// Whose clocks count, and the keys that attest them.
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
        let set = node_sets::set_at(store, genesis, next)?;
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

/// Where a command stands.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The state before it.
    pub head: &'a HeadRow,
    /// The feature level before it.
    pub level: u32,
    /// The term of its leader.
    pub term: u64,
    /// The leader's stamp beside it, which counts below level [`CLOCKS`].
    pub stamp_ms: u64,
}

/// Ledger time from a command on. What isn't a command brings no evidence.
pub(crate) fn time(
    shared: &Shared,
    caches: &mut Caches,
    store: &Store,
    at: Place<'_>,
    command: Option<&Command>,
) -> Result<LedgerTimeMs, ReadError> {
    let before = at.head.time;
    if at.level < CLOCKS {
        return Ok(before.max(LedgerTimeMs(at.stamp_ms)));
    }
    let command = command.filter(|command| command.version >= COMMAND_VERSION_CLOCKS);
    let Some(evidence) = command.and_then(|command| command.time.as_ref()) else {
        return Ok(before);
    };
    let voters = in_force(caches, store, &shared.genesis, at.head)?;
    let clocks = attested(shared, &voters, at.term, evidence);
    let majority_ms = voters.majority_ms(|node| clocks.get(&node).copied());
    Ok(ledger_time(before, evidence.stamp_ms, majority_ms))
}

/// The voters, read again after each index commit.
fn in_force(
    caches: &mut Caches,
    store: &Store,
    genesis: &GenesisInfo,
    head: &HeadRow,
) -> Result<Arc<ClockVoters>, ReadError> {
    match &caches.clock_voters {
        Some((voters, commit)) if *commit == head.commit => Ok(Arc::clone(voters)),
        _ => {
            let voters = Arc::new(ClockVoters::read(store, genesis, LeafIndex(head.size))?);
            caches.clock_voters = Some((Arc::clone(&voters), head.commit));
            Ok(voters)
        }
    }
}

/// The clocks whose attestations are valid. The same ones come with many commands, and are verified once.
fn attested(shared: &Shared, voters: &ClockVoters, term: u64, evidence: &ClockEvidence) -> BTreeMap<u64, u64> {
    let mut clocks = BTreeMap::new();
    if evidence.attestations.len() > voters.count() {
        // No leader that keeps to the rules sends more, and each costs the check of a signature.
        return clocks;
    }
    for said in &evidence.attestations {
        let Some(key) = voters.key(said.node) else {
            continue;
        };
        let message = ClockMessage {
            key_id: key.key_id(),
            origin: shared.genesis.origin.clone(),
            node: said.node,
            term,
            clock_ms: said.clock_ms,
        };
        let verify = || message.verify(key, &said.signature).is_ok();
        let good = match shared.to_verify() {
            Some(verified) => verified.or_verify(&message.encode(), &said.signature, verify),
            None => true,
        };
        if good {
            clocks.entry(said.node).or_insert(said.clock_ms);
        }
    }
    clocks
}

/// Raises the feature level from `present`; the new one counts from the next command on.
pub(super) fn raise(present: u32, wanted: u32) -> Result<(BatchOutcome, Option<u32>), Fatal> {
    if wanted > FEATURE_LEVEL {
        return Err(Fatal::FeatureLevel { found: wanted, known: FEATURE_LEVEL });
    }
    if wanted <= present {
        let what = format!("the feature level is {present}: it is only ever raised");
        return Ok((BatchOutcome::Refused(Refusal::new(Code::ActRefused, what)), None));
    }
    Ok((BatchOutcome::FeatureLevel(wanted), Some(wanted)))
}
