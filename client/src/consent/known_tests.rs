use super::*;
use crate::consent::change::Change;
use crate::consent::who::Acting;
use sillage_proof::hash::LeafIndex;
use sillage_rules::consent::name::ActorName;
use sillage_rules::entry::{Entry, Flags, RecordEntry};
use sillage_rules::kind::Kind;

const DAY_MS: u64 = 86_400_000;

fn tag() -> PatientTag {
    PatientTag::from_slice(&[5; 32]).expect("a tag")
}

fn line(index: u64, change: &Change) -> v1::TraceLine {
    let patient = Acting::new(&ActorName::patient(), "", "", "");
    let (record, _) = change.check(&patient, 1_000, Some(&[5; 32])).expect("a record");
    let salt = [9; 16];
    let entry = RecordEntry {
        index: LeafIndex(index),
        time: LedgerTimeMs(2_000 + index),
        flags: Flags::NONE,
        kind: change.kind,
        tag: [5; 32],
        record_hash: record.record_hash(&salt),
        position: 0,
    };
    v1::TraceLine {
        index,
        entry: Entry::Record(entry).encode(),
        salt: salt.to_vec(),
        record: record.into_bytes(),
        ..v1::TraceLine::default()
    }
}

fn masked(id: &str) -> Change {
    Change::of_items(Kind::ITEM_MASKED, vec![v1::Item { id: id.into(), ..v1::Item::default() }])
}

#[test]
fn records_fold_to_what_holds() {
    let side =
        fold(&tag(), vec![line(7, &masked("d1")), line(9, &Change::bare(Kind::SPACE_CLOSED))], DAY_MS).expect("folded");
    assert_eq!(side.state.masks("d1"), Some(LeafIndex(7)));
    assert_eq!(side.records.len(), 2);
    let mut erased = line(7, &masked("d1"));
    erased.record.clear();
    let side = fold(&tag(), vec![erased], DAY_MS).expect("folded");
    assert_eq!(side.state, PatientState::default(), "what was erased has no effect");
    assert!(side.records[0].event.is_none());
}

#[test]
fn records_that_come_twice_or_contradict_themselves_are_not_believed() {
    let twice = vec![line(7, &masked("d1")), line(7, &masked("d1"))];
    assert_eq!(fold(&tag(), twice, DAY_MS).expect_err("twice").exit_code(), 1);
    let mut changed = line(7, &masked("d1"));
    changed.record = line(7, &masked("d2")).record;
    assert_eq!(fold(&tag(), vec![changed], DAY_MS).expect_err("changed").exit_code(), 1);
    let other = PatientTag::from_slice(&[6; 32]).expect("a tag");
    assert!(fold(&other, vec![line(7, &masked("d1"))], DAY_MS).is_err(), "another patient's");
}

#[test]
fn as_of_is_a_size_or_a_time() {
    assert_eq!(AsOf::parse(None).expect("now"), AsOf::Now);
    assert_eq!(AsOf::parse(Some("17")).expect("a size"), AsOf::Size(17));
    assert_eq!(AsOf::parse(Some("2026-03-02T09:00:00Z")).expect("a time"), AsOf::Time(1_772_442_000_000));
    for bad in ["", "0", "99999999999999999999", "hier"] {
        assert_eq!(AsOf::parse(Some(bad)).expect_err(bad).exit_code(), 2);
    }
}

#[test]
fn what_is_kept_is_read_back_and_damage_is_seen() {
    let open = v1::RuleRecordsResponse { records: vec![line(7, &masked("d1"))], as_of_size: 8, ..Default::default() };
    let secret = PatientTag::from_slice(&[6; 32]).expect("a tag");
    for second in [None, Some((secret, v1::RuleRecordsResponse::default()))] {
        let (tag2, secret) = second.unzip();
        let fetched = Fetched { tags: (tag(), tag2), at_ms: 9_000, open: open.clone(), secret };
        let bytes = fetched.to_bytes();
        assert_eq!(Fetched::from_bytes(&bytes).expect("whole"), fetched);
        let known = fetched.fold(DAY_MS).expect("folded");
        assert_eq!((known.as_of_size, known.as_of_ms), (8, 9_000));
        assert_eq!(known.secret.is_some(), tag2.is_some());
        assert!(Fetched::from_bytes(&bytes[..40]).is_err() && Fetched::from_bytes(b"").is_err());
    }
}
