//! Flags that the ledger sets on an entry, from what it may know of a record without opening it; and how others check them.

pub use crate::record::stated::{ALL, CITES, HAS_BASIS, IS_DEFERRED, facts_of, stated};

use crate::entry::{Flags, RecordEntry, UnjustifiedReason};
use crate::kind::Kind;
use crate::record::ParsedRecord;

/// The shortest time after which a policy may call a record late, in milliseconds.
pub const LATE_AFTER_MS_MIN: u64 = 60_000;

/// The ledger's finding about the basis of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Finding {
    /// Why an access has no basis that holds; one that states none is without justification whatever this says.
    pub fault: Option<UnjustifiedReason>,
    /// Nothing on record supports it.
    pub is_claimed: bool,
}

/// When a record is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lateness {
    /// After so many milliseconds: the genesis's, or fewer where the policy says so.
    pub after_ms: u64,
    /// Records of every kind, not of accesses and movements alone: from feature level 4 on.
    pub of_every_kind: bool,
}

/// The flags of a record's entry (`docs/formats.md` §5): nothing else makes them. Times in milliseconds; unknown facts change
/// nothing.
pub fn flags_for(
    kind: Kind,
    facts: u32,
    found: Finding,
    (occurred_at_ms, ledger_time_ms): (u64, u64),
    late: Lateness,
) -> Flags {
    let mut flags = stated(facts);
    let has_basis = flags.contains(Flags::BASIS);
    let fault = if has_basis { found.fault } else { Some(UnjustifiedReason::NoBasis) };
    if let Some(reason) = fault.filter(|_| kind.is_access()) {
        flags = flags | Flags::unjustified(reason);
    }
    if found.is_claimed && can_be_claimed(kind, flags) {
        flags = flags | Flags::CLAIMED;
    }
    let can_be_late = late.of_every_kind || kind.is_access() || kind.is_movement();
    if can_be_late && ledger_time_ms.saturating_sub(occurred_at_ms) > late.after_ms {
        flags = flags | Flags::LATE;
    }
    flags
}

/// Tells whether the ledger looks for what supports the basis of such a record: it isn't a decision or a break-glass.
fn can_be_claimed(kind: Kind, flags: Flags) -> bool {
    (kind.is_access() || kind.is_movement()) && flags.contains(Flags::BASIS) && !flags.contains(Flags::CITES)
}

/// Tells whether an entry's flags are the right ones, as far as can be said without the rest of the log. `record` is the
/// one that it commits to, or none where it is sealed or gone. A record of the ledger is flagged as its own, and nothing
/// else.
pub fn flags_hold(entry: &RecordEntry, record: Option<&ParsedRecord>, late_after_ms: u64) -> bool {
    match record {
        _ if entry.flags.contains(Flags::LEDGER) => entry.flags == Flags::LEDGER,
        Some(record) => flags_fit(entry, record, late_after_ms),
        None => basis_can_be(entry),
    }
}

/// Tells whether the flags are those of this record: what the record states, when it came, and a fault only of a basis that
/// the ledger looked at. Whether that fault is a true one takes the log, and so does from when on a policy calls a record
/// late before the genesis does.
fn flags_fit(entry: &RecordEntry, record: &ParsedRecord, late_after_ms: u64) -> bool {
    let flags = entry.flags;
    if flags.stated() != stated(facts_of(record)) || !basis_can_be(entry) {
        return false;
    }
    let (kind, age_ms) = (entry.kind, entry.time.get().saturating_sub(record.occurred_at_ms()));
    match flags.contains(Flags::LATE) {
        true => age_ms > late_after_ms.min(LATE_AFTER_MS_MIN),
        false => age_ms <= late_after_ms || !(kind.is_access() || kind.is_movement()),
    }
}

/// Tells whether what the flags say of the basis fits together: what can be said without the record.
fn basis_can_be(entry: &RecordEntry) -> bool {
    let (kind, flags) = (entry.kind, entry.flags);
    let has_basis = flags.contains(Flags::BASIS);
    let claimed = flags.contains(Flags::CLAIMED);
    let justified = match flags.unjustified_reason() {
        None => has_basis || !kind.is_access(),
        Some(UnjustifiedReason::NoBasis) => !has_basis && kind.is_access(),
        Some(UnjustifiedReason::Unproven) => claimed && kind.is_access(),
        Some(_) => flags.contains(Flags::CITES) && kind.is_access(),
    };
    justified && (!claimed || can_be_claimed(kind, flags))
}

#[cfg(test)]
mod tests {
    use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs};
    use sillage_proto::v1;

    use super::*;
    use crate::record::new_message;

    const DAY_MS: u64 = 86_400_000;
    const DAY: Lateness = Lateness { after_ms: DAY_MS, of_every_kind: false };

    fn faulty(reason: UnjustifiedReason) -> Finding {
        Finding { fault: Some(reason), is_claimed: false }
    }

    #[test]
    fn an_access_without_basis_is_unjustified_and_a_consent_is_not() {
        let flags = |kind, facts| flags_for(kind, facts, Finding::default(), (5, 5), DAY);
        assert_eq!(flags(Kind::ACCESS_READ, 0), Flags::UNJUSTIFIED);
        assert_eq!(flags(Kind::ACCESS_READ, HAS_BASIS), Flags::BASIS);
        assert_eq!(flags(Kind::CONSENT_REVOKED, 0), Flags::NONE);
        assert_eq!(flags(Kind::MOVEMENT_SNDS, 0), Flags::NONE);
    }

    #[test]
    fn a_basis_that_does_not_hold_is_flagged_with_its_reason() {
        let flags = |kind, facts, fault| flags_for(kind, facts, faulty(fault), (5, 5), DAY);
        let expired = flags(Kind::ACCESS_READ, HAS_BASIS, UnjustifiedReason::Expired);
        assert_eq!(expired, Flags::unjustified(UnjustifiedReason::Expired) | Flags::BASIS);
        // Who states none has none that could have expired; and only accesses are justified or not.
        assert_eq!(flags(Kind::ACCESS_READ, 0, UnjustifiedReason::Expired), Flags::UNJUSTIFIED);
        assert_eq!(flags(Kind::MOVEMENT_SNDS, HAS_BASIS, UnjustifiedReason::Expired), Flags::BASIS);
    }

    #[test]
    fn late_begins_after_the_limit_and_only_for_accesses_and_movements() {
        let flags = |kind, age_ms| flags_for(kind, HAS_BASIS, Finding::default(), (1_000, 1_000 + age_ms), DAY);
        assert_eq!(flags(Kind::ACCESS_READ, DAY_MS), Flags::BASIS);
        assert_eq!(flags(Kind::ACCESS_READ, DAY_MS + 1), Flags::LATE | Flags::BASIS);
        assert_eq!(flags(Kind::MOVEMENT_APP_SYNC, DAY_MS + 1), Flags::LATE | Flags::BASIS);
        assert_eq!(flags(Kind::SPACE_OPENED, DAY_MS + 1), Flags::BASIS);
        // A time ahead of the ledger's (up to five minutes is accepted) isn't late.
        let at_once = Lateness { after_ms: 0, of_every_kind: true };
        let ahead = flags_for(Kind::ACCESS_READ, HAS_BASIS, Finding::default(), (2_000, 1_000), at_once);
        assert_eq!(ahead, Flags::BASIS);
        // From level 4 on, every kind.
        let every = Lateness { of_every_kind: true, ..DAY };
        let late = |kind| flags_for(kind, 0, Finding::default(), (0, DAY_MS + 1), every);
        assert_eq!(late(Kind::SPACE_OPENED), Flags::LATE);
        assert_eq!(late(Kind::ACCESS_READ), Flags::UNJUSTIFIED | Flags::LATE);
    }

    #[test]
    fn deferred_is_what_the_record_says() {
        let flags = flags_for(Kind::ACCESS_READ, IS_DEFERRED, Finding::default(), (0, 2 * DAY_MS), DAY);
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
        assert!(consent(Flags::LATE), "recorded late: of every kind from level 4 on");
        assert!(!consent(Flags::BASIS | Flags::CLAIMED), "its basis is nothing that is looked for");
        let unproven = Flags::BASIS | Flags::CLAIMED | Flags::unjustified(UnjustifiedReason::Unproven);
        for flags in [Flags::BASIS | Flags::CLAIMED, unproven] {
            assert!(flags_hold(&entry(&access, flags, 9), None, DAY_MS), "{flags:?}");
        }
    }

    #[test]
    fn what_nothing_supports_is_claimed_and_unproven_only_where_it_is() {
        let claimed = Finding { fault: Some(UnjustifiedReason::Unproven), is_claimed: true };
        let flags = |kind, facts| flags_for(kind, facts, claimed, (5, 5), DAY);
        let unproven = Flags::BASIS | Flags::CLAIMED | Flags::unjustified(UnjustifiedReason::Unproven);
        assert_eq!(flags(Kind::ACCESS_READ, HAS_BASIS), unproven);
        assert_eq!(flags(Kind::MOVEMENT_RESEARCH, HAS_BASIS), Flags::BASIS | Flags::CLAIMED);
        assert_eq!(flags(Kind::CONSENT_REVOKED, HAS_BASIS), Flags::BASIS);
        let team = record(Some(v1::BasisKind::CareTeam), false);
        let fit = |flags, time_ms| flags_hold(&entry(&team, flags, time_ms), Some(&team), DAY_MS);
        assert!(fit(Flags::BASIS, 2_000) && fit(Flags::BASIS | Flags::CLAIMED, 2_000) && fit(unproven, 2_000));
        // A policy may call it late before the genesis does; never at once.
        assert!(fit(Flags::BASIS | Flags::LATE, 1_001 + LATE_AFTER_MS_MIN));
        assert!(!fit(Flags::BASIS | Flags::LATE, 1_000 + LATE_AFTER_MS_MIN) && !fit(Flags::BASIS, 2_000 + DAY_MS));
        let cites = record(Some(v1::BasisKind::Decision), false);
        let flags = Flags::BASIS | Flags::CITES;
        assert!(!flags_hold(&entry(&cites, flags | Flags::CLAIMED, 2_000), Some(&cites), DAY_MS));
    }

    #[test]
    fn a_record_and_its_entry_have_one_leaf() {
        let record = record(Some(v1::BasisKind::Decision), true);
        let fault = faulty(UnjustifiedReason::OtherActor);
        let flags = flags_for(record.kind(), facts_of(&record), fault, (1_000, 2 * DAY_MS), DAY);
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
