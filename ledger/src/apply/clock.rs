//! The ledger time of a command, and the feature level of the group.
//!
//! From feature level [`CLOCKS`] on, time comes from the clocks that a majority of nodes attest (`docs/formats.md`
//! §15); before, it is the leader's stamp. Every other new rule of apply asks for the level as well: until every node
//! knows it, all of them do what the oldest one would.

use std::collections::BTreeMap;
use std::sync::Arc;

use sillage_proof::hash::{LeafIndex, LedgerTimeMs};
use sillage_proto::internal::v1::{ClockEvidence, Command};
use sillage_rules::clock::{ClockMessage, ledger_time};
use sillage_rules::codes::Code;

use super::{COMMAND_VERSION_CLOCKS, CommandOutcome};
use crate::consent::caches::Caches;
use crate::error::{Fatal, ReadError, Refusal};
use crate::feature::{CLOCKS, FEATURE_LEVEL};
use crate::genesis::GenesisInfo;
use crate::nodes::ClockVoters;
use crate::schema::HeadRow;
use crate::shared::Shared;
use crate::store::Store;

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
pub(super) fn raise(present: u32, wanted: u32) -> Result<(CommandOutcome, Option<u32>), Fatal> {
    if wanted > FEATURE_LEVEL {
        return Err(Fatal::FeatureLevel { found: wanted, known: FEATURE_LEVEL });
    }
    if wanted <= present {
        let what = format!("the feature level is {present}: it is only ever raised");
        return Ok((CommandOutcome::Refused(Refusal::new(Code::ActRefused, what)), None));
    }
    Ok((CommandOutcome::FeatureLevel(wanted), Some(wanted)))
}
