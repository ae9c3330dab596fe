//! What the ledger flags on an entry, from what it may know of a record without opening it.

use crate::entry::Flags;
use crate::kind::Kind;
use crate::record::ParsedRecord;

/// The record says by what right it happened.
pub const HAS_BASIS: u32 = 1;
/// The record was handed in after an establishment's emergency mode.
pub const IS_DEFERRED: u32 = 2;
/// Every fact that is known.
pub const ALL: u32 = HAS_BASIS | IS_DEFERRED;

/// The facts of a record that travel beside its sealed payload, as bits.
pub fn facts_of(record: &ParsedRecord) -> u32 {
    let message = record.message();
    let basis = if message.basis.is_some() { HAS_BASIS } else { 0 };
    let deferred = if message.deferred.is_some() { IS_DEFERRED } else { 0 };
    basis | deferred
}

/// The flags of a record's entry (`docs/formats.md` §5). Times in milliseconds; unknown facts change nothing.
pub fn flags_for(kind: Kind, facts: u32, occurred_at_ms: u64, ledger_time_ms: u64, late_after_ms: u64) -> Flags {
    let mut flags = Flags::NONE;
    if kind.is_access() && facts & HAS_BASIS == 0 {
        flags = flags | Flags::UNJUSTIFIED;
    }
    let age_ms = ledger_time_ms.saturating_sub(occurred_at_ms);
    if (kind.is_access() || kind.is_movement()) && age_ms > late_after_ms {
        flags = flags | Flags::LATE;
    }
    if facts & IS_DEFERRED != 0 {
        flags = flags | Flags::DEFERRED;
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 86_400_000;

    #[test]
    fn an_access_without_basis_is_unjustified_and_a_consent_is_not() {
        let flags = |kind, facts| flags_for(kind, facts, 5, 5, DAY_MS);
        assert_eq!(flags(Kind::ACCESS_READ, 0), Flags::UNJUSTIFIED);
        assert_eq!(flags(Kind::ACCESS_READ, HAS_BASIS), Flags::NONE);
        assert_eq!(flags(Kind::CONSENT_REVOKED, 0), Flags::NONE);
        assert_eq!(flags(Kind::MOVEMENT_SNDS, 0), Flags::NONE);
    }

    #[test]
    fn late_begins_after_the_limit_and_only_for_accesses_and_movements() {
        let flags = |kind, age_ms| flags_for(kind, HAS_BASIS, 1_000, 1_000 + age_ms, DAY_MS);
        assert_eq!(flags(Kind::ACCESS_READ, DAY_MS), Flags::NONE);
        assert_eq!(flags(Kind::ACCESS_READ, DAY_MS + 1), Flags::LATE);
        assert_eq!(flags(Kind::MOVEMENT_APP_SYNC, DAY_MS + 1), Flags::LATE);
        assert_eq!(flags(Kind::SPACE_OPENED, DAY_MS + 1), Flags::NONE);
        // A time ahead of the ledger's (up to five minutes is accepted) isn't late.
        assert_eq!(flags_for(Kind::ACCESS_READ, HAS_BASIS, 2_000, 1_000, 0), Flags::NONE);
    }

    #[test]
    fn deferred_is_what_the_record_says() {
        let flags = flags_for(Kind::ACCESS_READ, IS_DEFERRED, 0, 2 * DAY_MS, DAY_MS);
        assert_eq!(flags, Flags::UNJUSTIFIED | Flags::LATE | Flags::DEFERRED);
    }
}
