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
    line_by(index, change, &Acting::new(&ActorName::patient(), "", "", ""))
}

fn line_by(index: u64, change: &Change, by: &Acting) -> v1::TraceLine {
    let (record, _) = change.check(by, 1_000, Some(&[5; 32])).expect("a record");
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

/// The lines of a tag, folded.
fn fold(tag: &PatientTag, records: Vec<v1::TraceLine>, late_after_ms: u64) -> Result<Side, ClientError> {
    super::fold(tag, &mut v1::RuleRecordsResponse { records, ..Default::default() }, late_after_ms)
}

#[test]
fn nothing_before_the_erasure_of_a_patient_holds_and_the_space_is_closed_for_ever() {
    let mut gone = line(7, &masked("d1"));
    gone.record.clear();
    // A node that still gives something isn't followed.
    let records =
        vec![gone, line(8, &masked("d2")), line(12, &masked("d3")), line(13, &Change::bare(Kind::SPACE_OPENED))];
    let mut answer = v1::RuleRecordsResponse { records, erased_index: 10, ..Default::default() };
    let side = super::fold(&tag(), &mut answer, DAY_MS).expect("folded");
    let mut state = PatientState::erased();
    for record in side.records.iter().filter_map(|record| record.event.as_ref()) {
        state.apply(&record.0, &record.1);
    }
    assert_eq!(side.state, state);
    assert_eq!(side.state.space().0, sillage_rules::consent::state::Space::Closed);
    assert_eq!(side.state.masked().map(|(item, _)| item).collect::<Vec<_>>(), ["d3"]);
}

#[test]
fn a_break_glass_ends_when_the_ledger_says_that_it_does() {
    let doctor: ActorName = "urn:oid:1.2.250.1.71.4.2.1|10100534436".parse().expect("a name");
    let details = serde_json::json!({"id": "bg", "case": "INCAPACITY", "reason": "coma", "no_position": "INDOORS",
        "expires": "2026-03-02T11:00:00Z"});
    let change = Change::with(Kind::BREAKGLASS_OPENED, details);
    let opened = line_by(7, &change, &Acting::new(&doctor, "physician", "", ""));
    for (ends_ms, expected) in [(1_772_442_000_000, 1_772_442_000_000), (u64::MAX, 1_772_449_200_000)] {
        let breakglass_ends = vec![v1::BreakGlassEnd { index: 7, ends_ms }];
        let mut answer =
            v1::RuleRecordsResponse { records: vec![opened.clone()], breakglass_ends, ..Default::default() };
        let side = super::fold(&tag(), &mut answer, DAY_MS).expect("folded");
        assert_eq!(side.state.breakglass("bg").expect("on record").period.until.get(), expected);
    }
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
