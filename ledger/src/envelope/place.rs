//! Where a sealed payload belongs, and what stands in it.

use sillage_proof::hash::{LeafIndex, leaf_hash2};
use sillage_proof::keys::StreamId;
use sillage_rules::entry::{BatchHeader, Flags, RecordEntry};
use sillage_rules::kind::Kind;
use sillage_rules::limits::SALT_BYTES;
use sillage_rules::record::{part_hash, two_part_hash};

/// Where a payload belongs; it can't be opened anywhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The patient's tag; zero where none is concerned.
    pub tag: [u8; 32],
    /// The author's stream; zero for what the ledger made.
    pub stream_id: StreamId,
    /// The batch in its stream; for what the ledger made, the index of its entry.
    pub seq: u64,
    /// The record in its batch, from 0.
    pub position: u32,
}

impl Place {
    /// Of the payload of a record entry, given the header of its batch where it has one; `None` where it isn't sealed.
    pub fn of(entry: &RecordEntry, header: Option<&BatchHeader>) -> Option<Self> {
        if !is_sealed(entry.kind, entry.flags) {
            return None;
        }
        let (tag, position) = (entry.tag, entry.position);
        Some(match header {
            Some(header) => Self { tag, stream_id: header.stream_id, seq: header.seq, position },
            None => Self::of_ledger(tag, entry.index),
        })
    }

    /// Of what the ledger made itself.
    pub fn of_ledger(tag: [u8; 32], index: LeafIndex) -> Self {
        Self { tag, stream_id: StreamId::from_bytes([0; 32]), seq: index.get(), position: 0 }
    }
}

/// Tells whether the payload of such an entry is sealed. Acts of the authority and readings of the log are public by nature.
pub(crate) fn is_sealed(kind: Kind, flags: Flags) -> bool {
    !kind.is_act() && (kind == Kind::DECISION_MADE || !flags.contains(Flags::LEDGER))
}

/// Salt (of a decision: both) and record in the payload of an entry; `None` when they don't hash to its record hash.
pub(crate) fn split_plain<'p>(entry: &RecordEntry, plain: &'p [u8]) -> Option<(&'p [u8], &'p [u8])> {
    let (salt, record) = plain.split_first_chunk::<SALT_BYTES>()?;
    if entry.kind != Kind::DECISION_MADE {
        return (leaf_hash2(salt, record) == entry.record_hash).then_some((salt, record));
    }
    let (salt_p, record) = record.split_first_chunk::<SALT_BYTES>()?;
    let (len, parts) = record.split_first_chunk::<4>()?;
    let (actor, private) = parts.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
    let hash = two_part_hash(&part_hash(salt, actor), &part_hash(salt_p, private));
    (hash == entry.record_hash).then(|| plain.split_at(2 * SALT_BYTES))
}
