//! The answer to whoever asked for a decision.

use std::fmt;

use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs};
use sillage_rules::decide::record::DecisionRecord;
use sillage_rules::limits::SALT_BYTES;
use sillage_rules::record::{part_hash, two_part_hash};

use crate::schema::TAG_LEN;

/// The decisions on one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Under the open tag; then, where items under the secret tag were asked for, under that one's. The actor may
    /// learn of the second only when it permits something. Where nothing else was asked for it stands alone, and where it
    /// permits nothing its receipt is of the open tag, as if what was asked for weren't there.
    pub decisions: Vec<MadeDecision>,
    /// It was decided before: these are the original decisions.
    pub repeated: bool,
}

/// A decision on record: all that a receipt needs. Holds who asked for what: never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct MadeDecision {
    /// Its entry.
    pub index: LeafIndex,
    /// Its ledger time.
    pub time_ms: LedgerTimeMs,
    /// The tag that the actor's part names.
    pub tag: [u8; TAG_LEN],
    /// The salt of the actor's part.
    pub salt: [u8; SALT_BYTES],
    /// The actor's part (`sillage.v1.DecisionActorPart`).
    pub actor_part: Vec<u8>,
    /// The hash of the other part.
    pub private_hash: Hash,
    /// The hash of both, as it stands in the entry.
    pub record_hash: Hash,
    /// The items that the actor may use.
    pub permitted: Vec<String>,
    /// The items that the actor may know of.
    pub told: Vec<String>,
    /// The actor's obligations for it.
    pub obligations: Vec<String>,
}

impl fmt::Debug for MadeDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MadeDecision(entry {})", self.index)
    }
}

impl MadeDecision {
    /// From the record of a decision and its payload in clear.
    pub(super) fn of(index: LeafIndex, record: &DecisionRecord, payload: &[u8]) -> Self {
        let part = record.actor_part();
        let (salt_a, rest) = payload.split_first_chunk::<SALT_BYTES>().expect("begins with two salts");
        let (salt_p, rest) = rest.split_first_chunk::<SALT_BYTES>().expect("begins with two salts");
        let (len, rest) = rest.split_first_chunk::<4>().expect("and the length of the actor's part");
        let (actor, private) = rest.split_at(u32::from_be_bytes(*len) as usize);
        let private_hash = part_hash(salt_p, private);
        Self {
            index,
            time_ms: LedgerTimeMs(part.decided_at_ms),
            tag: part.tag[..].try_into().expect("checked when it was made or read"),
            salt: *salt_a,
            actor_part: actor.to_vec(),
            private_hash,
            record_hash: two_part_hash(&part_hash(salt_a, actor), &private_hash),
            permitted: part.permitted.clone(),
            told: part.told.clone(),
            obligations: part.obligations.clone(),
        }
    }
}
