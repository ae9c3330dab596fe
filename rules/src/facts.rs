//! What the ledger flags on an entry, from what it may know of a record without opening it; and how others check it.

use sillage_proto::v1;

use crate::entry::{Flags, RecordEntry, UnjustifiedReason};
use crate::kind::Kind;
use crate::record::ParsedRecord;

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

/// The flags of a record's entry (`docs/formats.md` §5): nothing else makes them. `fault` is what was found about the
/// basis that an access states; one that states none is without justification whatever it is. Times in milliseconds;
/// unknown facts change nothing.
pub fn flags_for(
    kind: Kind,
    facts: u32,
    fault: Option<UnjustifiedReason>,
    occurred_at_ms: u64,
    ledger_time_ms: u64,
    late_after_ms: u64,
) -> Flags {
    let mut flags = stated(facts);
    let fault = if flags.contains(Flags::BASIS) { fault } else { Some(UnjustifiedReason::NoBasis) };
    if let Some(reason) = fault.filter(|_| kind.is_access()) {
        flags = flags | Flags::unjustified(reason);
    }
    let age_ms = ledger_time_ms.saturating_sub(occurred_at_ms);
    if (kind.is_access() || kind.is_movement()) && age_ms > late_after_ms {
        flags = flags | Flags::LATE;
    }
    flags
}

/// Whether an entry's flags are the right ones, as far as can be said without the rest of the log. `record` is the one
/// that it commits to, or none where it is sealed or gone. What the ledger makes is flagged as the ledger's own alone.
pub fn flags_hold(entry: &RecordEntry, record: Option<&ParsedRecord>, late_after_ms: u64) -> bool {
    match record {
        _ if entry.flags.contains(Flags::LEDGER) => entry.flags == Flags::LEDGER,
        Some(record) => flags_fit(entry, record, late_after_ms),
        None => flags_can_be(entry),
    }
}

/// Whether the flags are those of this record: what the record states, when it came, and
/// a fault only of a basis that points to a decision or a break-glass. Whether that fault is a true one takes the log.
fn flags_fit(entry: &RecordEntry, record: &ParsedRecord, late_after_ms: u64) -> bool {
    let (facts, at_ms) = (facts_of(record), record.occurred_at_ms());
    let cites = facts & CITES != 0;
    let fault = entry.flags.unjustified_reason().filter(|reason| cites && *reason != UnjustifiedReason::NoBasis);
    entry.flags == flags_for(entry.kind, facts, fault, at_ms, entry.time.get(), late_after_ms)
}

/// Whether the flags of an entry can be those of some author's record of its kind: what can be said without the record.
fn flags_can_be(entry: &RecordEntry) -> bool {
    let (kind, flags) = (entry.kind, entry.flags);
    let has_basis = flags.contains(Flags::BASIS);
    let justified = match flags.unjustified_reason() {
        None => has_basis || !kind.is_access(),
        Some(UnjustifiedReason::NoBasis) => !has_basis && kind.is_access(),
        Some(_) => flags.contains(Flags::CITES) && kind.is_access(),
    };
    let late = !flags.contains(Flags::LATE) || kind.is_access() || kind.is_movement();
    justified && late
}

#[cfg(test)]
mod tests {
    use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs};

    use super::*;
    use crate::record::new_message;

    const DAY_MS: u64 = 86_400_000;

    #[test]
    fn an_access_without_basis_is_unjustified_and_a_consent_is_not() {
        let flags = |kind, facts| flags_for(kind, facts, None, 5, 5, DAY_MS);
        assert_eq!(flags(Kind::ACCESS_READ, 0), Flags::UNJUSTIFIED);
        assert_eq!(flags(Kind::ACCESS_READ, HAS_BASIS), Flags::BASIS);
        assert_eq!(flags(Kind::CONSENT_REVOKED, 0), Flags::NONE);
        assert_eq!(flags(Kind::MOVEMENT_SNDS, 0), Flags::NONE);
    }

    #[test]
    fn a_basis_that_does_not_hold_is_flagged_with_its_reason() {
        let flags = |kind, facts, fault| flags_for(kind, facts, Some(fault), 5, 5, DAY_MS);
        let expired = flags(Kind::ACCESS_READ, HAS_BASIS, UnjustifiedReason::Expired);
        assert_eq!(expired, Flags::unjustified(UnjustifiedReason::Expired) | Flags::BASIS);
        // Who states none has none that could have expired; and only accesses are justified or not.
        assert_eq!(flags(Kind::ACCESS_READ, 0, UnjustifiedReason::Expired), Flags::UNJUSTIFIED);
        assert_eq!(flags(Kind::MOVEMENT_SNDS, HAS_BASIS, UnjustifiedReason::Expired), Flags::BASIS);
    }

    #[test]
    fn late_begins_after_the_limit_and_only_for_accesses_and_movements() {
        let flags = |kind, age_ms| flags_for(kind, HAS_BASIS, None, 1_000, 1_000 + age_ms, DAY_MS);
        assert_eq!(flags(Kind::ACCESS_READ, DAY_MS), Flags::BASIS);
        assert_eq!(flags(Kind::ACCESS_READ, DAY_MS + 1), Flags::LATE | Flags::BASIS);
        assert_eq!(flags(Kind::MOVEMENT_APP_SYNC, DAY_MS + 1), Flags::LATE | Flags::BASIS);
        assert_eq!(flags(Kind::SPACE_OPENED, DAY_MS + 1), Flags::BASIS);
        // A time ahead of the ledger's (up to five minutes is accepted) isn't late.
        assert_eq!(flags_for(Kind::ACCESS_READ, HAS_BASIS, None, 2_000, 1_000, 0), Flags::BASIS);
    }

    #[test]
    fn deferred_is_what_the_record_says() {
        let flags = flags_for(Kind::ACCESS_READ, IS_DEFERRED, None, 0, 2 * DAY_MS, DAY_MS);
        assert_eq!(flags, Flags::UNJUSTIFIED | Flags::LATE | Flags::DEFERRED);
    }

    fn record(basis: Option<v1::BasisKind>, deferred: bool) -> ParsedRecord {
        let basis = basis.map(|kind| v1::Basis { kind: kind.into(), r#ref: "7".to_owned() });
        let reason = "the network was down".to_owned();
        let deferred = deferred.then_some(v1::Deferred { reason });
        let actor = Some(v1::Actor { id: "1".to_owned(), ..v1::Actor::default() });
        let message = new_message(Kind::ACCESS_READ, Some(&[7; 32]), 1_000);
        ParsedRecord::from_message(v1::Record { actor, basis, deferred, ..message }).expect("a record")
    }

    fn entry(record: &ParsedRecord, flags: Flags, time_ms: u64) -> RecordEntry {
        RecordEntry {
            index: LeafIndex(1),
            time: LedgerTimeMs(time_ms),
            flags,
            kind: record.kind(),
            tag: record.entry_tag(),
            record_hash: Hash::default(),
            position: 0,
        }
    }

    #[test]
    fn the_flags_of_an_entry_are_held_against_its_record() {
        let fit =
            |record: &ParsedRecord, flags, time_ms| flags_hold(&entry(record, flags, time_ms), Some(record), DAY_MS);
        let (late_ms, expired) = (2_000 + DAY_MS, Flags::unjustified(UnjustifiedReason::Expired));
        let none = record(None, false);
        assert!(fit(&none, Flags::UNJUSTIFIED, 2_000));
        assert!(fit(&none, Flags::UNJUSTIFIED | Flags::LATE, late_ms));
        for wrong in [Flags::NONE, Flags::BASIS, Flags::UNJUSTIFIED | Flags::DEFERRED, expired, expired | Flags::BASIS]
        {
            assert!(!fit(&none, wrong, 2_000), "{wrong:?}");
        }
        assert!(!fit(&none, Flags::UNJUSTIFIED, late_ms) && !fit(&none, Flags::UNJUSTIFIED | Flags::LATE, 2_000));
        let deferred = record(Some(v1::BasisKind::CareTeam), true);
        assert!(fit(&deferred, Flags::BASIS | Flags::DEFERRED, 2_000));
        for wrong in [Flags::BASIS, Flags::DEFERRED, Flags::BASIS | Flags::DEFERRED | expired] {
            assert!(!fit(&deferred, wrong, 2_000), "{wrong:?}");
        }
        for kind in [v1::BasisKind::Decision, v1::BasisKind::Breakglass] {
            let (pointed, cites) = (record(Some(kind), false), Flags::BASIS | Flags::CITES);
            assert!(fit(&pointed, cites, 2_000) && fit(&pointed, cites | expired, 2_000));
            assert!(!fit(&pointed, Flags::BASIS, 2_000), "nobody would have looked it up");
            assert!(!fit(&pointed, cites | Flags::UNJUSTIFIED, 2_000), "it states one");
        }
    }

    #[test]
    fn without_the_record_flags_still_have_to_agree_with_each_other() {
        let access = record(None, false);
        let consent = |flags| RecordEntry { kind: Kind::CONSENT_REVOKED, ..entry(&access, flags, 9) };
        let consent = |flags| flags_hold(&consent(flags), None, DAY_MS);
        let expired = Flags::unjustified(UnjustifiedReason::Expired);
        let cites = Flags::BASIS | Flags::CITES;
        for flags in [Flags::BASIS, Flags::UNJUSTIFIED, cites, cites | expired, Flags::BASIS | Flags::LATE] {
            assert!(flags_hold(&entry(&access, flags, 9), None, DAY_MS), "{flags:?}");
        }
        let unlooked = Flags::BASIS | expired;
        for flags in [Flags::NONE, expired, unlooked, Flags::UNJUSTIFIED | Flags::BASIS, Flags::BASIS | Flags::LEDGER] {
            assert!(!flags_hold(&entry(&access, flags, 9), None, DAY_MS), "{flags:?}");
        }
        assert!(consent(Flags::NONE) && consent(Flags::BASIS | Flags::DEFERRED) && consent(Flags::LEDGER));
        assert!(!consent(Flags::LATE));
    }

    #[test]
    fn a_record_and_its_entry_have_one_leaf() {
        let record = record(Some(v1::BasisKind::Decision), true);
        let fault = Some(UnjustifiedReason::OtherActor);
        let flags = flags_for(record.kind(), facts_of(&record), fault, 1_000, 2 * DAY_MS, DAY_MS);
        let entry = RecordEntry { record_hash: record.record_hash(&[3; 16]), ..entry(&record, flags, 2 * DAY_MS) };
        // What the ledger finds isn't the author's to state; what the author states isn't the ledger's to change.
        assert_eq!(entry.batch_leaf(), record.batch_leaf(record.record_hash(&[3; 16])));
        for flags in [flags | Flags::LEDGER, Flags::BASIS | Flags::CITES | Flags::DEFERRED] {
            assert_eq!(RecordEntry { flags, ..entry.clone() }.batch_leaf(), entry.batch_leaf());
        }
        for flags in [Flags::NONE, Flags::BASIS, Flags::DEFERRED, Flags::BASIS | Flags::DEFERRED] {
            assert_ne!(RecordEntry { flags, ..entry.clone() }.batch_leaf(), entry.batch_leaf());
        }
    }
}
