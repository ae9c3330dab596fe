//! The facts of a record that travel beside its sealed payload, and that its author states in the flags of the entry.

use sillage_proto::v1;

use super::ParsedRecord;
use crate::entry::Flags;

/// The record says by what right it happened.
pub const HAS_BASIS: u32 = 1;
/// The record was handed in after an establishment's emergency mode.
pub const IS_DEFERRED: u32 = 2;
/// The right is a decision or a break-glass on record, which the ledger looks up.
pub const CITES: u32 = 4;
/// Every fact that is known.
pub const ALL: u32 = HAS_BASIS | IS_DEFERRED | CITES;

/// The facts of a record that travel beside its sealed payload, as bits.
pub fn facts_of(record: &ParsedRecord) -> u32 {
    let message = record.message();
    let basis = if message.basis.is_some() { HAS_BASIS } else { 0 };
    let deferred = if message.deferred.is_some() { IS_DEFERRED } else { 0 };
    let kind = message.basis.as_ref().map(v1::Basis::kind);
    let cites = match kind {
        Some(v1::BasisKind::Decision | v1::BasisKind::Breakglass) => CITES,
        _ => 0,
    };
    basis | deferred | cites
}

/// The flags that the author states with these facts: the batch leaf covers them.
pub fn stated(facts: u32) -> Flags {
    let basis = if facts & HAS_BASIS == 0 { Flags::NONE } else { Flags::BASIS };
    let deferred = if facts & IS_DEFERRED == 0 { Flags::NONE } else { Flags::DEFERRED };
    let cites = if facts & CITES == 0 { Flags::NONE } else { Flags::CITES };
    basis | deferred | cites
}
