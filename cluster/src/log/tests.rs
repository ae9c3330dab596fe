//! The log against crashes and rot, on real files.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use raft::eraftpb::{ConfState, Entry, HardState};

use super::*;
use crate::config::LogConfig;
use crate::core::{Install, Members, MembersAt};

const NODE: u64 = 7;

fn config() -> LogConfig {
    LogConfig { segment_bytes: 4096 }
}

fn try_open(dir: &Path, applied: (u64, u64)) -> Result<(SegmentedLog<RealDisk>, FoundLog), LogError> {
    SegmentedLog::open(RealDisk::open(dir)?, NODE, config(), applied)
}

fn open(dir: &Path) -> (SegmentedLog<RealDisk>, FoundLog) {
    try_open(dir, (0, 0)).unwrap()
}

fn entry(index: u64, term: u64, size: usize) -> Entry {
    Entry { index, term, data: vec![u8::try_from(index % 251).unwrap() + 1; size], ..Entry::default() }
}

fn hard_state(term: u64, vote: u64, commit: u64) -> HardState {
    HardState { term, vote, commit }
}

fn append(log: &mut SegmentedLog<RealDisk>, entries: &[Entry]) {
    let mut batch = Batch::default();
    batch.entries(entries);
    log.append(&batch).unwrap();
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    paths.sort();
    paths
}

fn indices(found: &FoundLog) -> Vec<(u64, u64)> {
    let entries = found.recovered.entries.iter();
    entries.map(|entry| (entry.index, entry.term)).collect()
}

/// A log with three frames of entries in its only segment; returns the segment's path.
fn three_frames(dir: &Path) -> PathBuf {
    let (mut log, _) = open(dir);
    let mut batch = Batch::default();
    batch.hard_state(&hard_state(1, 2, 0));
    batch.entries(&[entry(1, 1, 20)]);
    log.append(&batch).unwrap();
    append(&mut log, &[entry(2, 1, 20)]);
    append(&mut log, &[entry(3, 1, 20)]);
    drop(log);
    segments(dir).pop().unwrap()
}

/// Offset after the last nonzero byte.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1
}

#[test]
fn what_was_appended_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    three_frames(dir.path());
    let (log, found) = open(dir.path());
    assert_eq!(indices(&found), [(1, 1), (2, 1), (3, 1)]);
    assert_eq!(found.recovered.hard_state, hard_state(1, 2, 0));
    assert_eq!(found.torn_bytes, 0);
    assert!(log.notes().is_empty());
}

#[test]
fn a_write_torn_at_any_byte_is_dropped_whole_and_the_log_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = three_frames(dir.path());
    let whole = fs::read(&path).unwrap();
    let end = used(&whole);
    let start = start_of_last(&whole);
    assert!(end > start + frame::FRAME_HEADER, "the last frame holds an entry");
    for cut in start..end {
        let mut torn = whole.clone();
        torn[cut..].fill(0);
        fs::write(&path, &torn).unwrap();
        let (mut log, found) = open(dir.path());
        assert_eq!(indices(&found), [(1, 1), (2, 1)], "cut at {cut}");
        append(&mut log, &[entry(3, 2, 1)]);
        drop(log);
        assert_eq!(indices(&open(dir.path()).1), [(1, 1), (2, 1), (3, 2)], "cut at {cut}");
    }
}

#[test]
fn a_torn_write_that_lost_its_beginning_is_dropped_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = three_frames(dir.path());
    let whole = fs::read(&path).unwrap();
    for lost in 1..used(&whole) - start_of_last(&whole) {
        let mut torn = whole.clone();
        let start = start_of_last(&whole);
        torn[start..start + lost].fill(0);
        fs::write(&path, &torn).unwrap();
        assert_eq!(indices(&open(dir.path()).1), [(1, 1), (2, 1)], "lost {lost} bytes");
    }
}

/// Offset of the last data frame.
fn start_of_last(bytes: &[u8]) -> usize {
    let mut offset = frame::SEGMENT_HEADER;
    let mut last = offset;
    while let Some(header) = frame::frame_header(bytes, 1, offset) {
        if header.kind == frame::Kind::Seal {
            break;
        }
        last = offset;
        offset += frame::FRAME_HEADER + frame::aligned(header.payload_len);
    }
    last
}

#[test]
fn any_flipped_bit_before_the_last_frame_stops_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let path = three_frames(dir.path());
    let whole = fs::read(&path).unwrap();
    for at in 0..start_of_last(&whole) {
        let mut rotten = whole.clone();
        rotten[at] ^= 1 << (at % 8);
        fs::write(&path, &rotten).unwrap();
        let result = try_open(dir.path(), (0, 0));
        let padding = whole[at] == 0 && result.is_ok();
        if padding {
            // Bytes between a payload and the next frame mean nothing.
            assert_eq!(indices(&result.unwrap().1).len(), 3, "byte {at}");
            continue;
        }
        assert!(matches!(result, Err(LogError::Damaged(_))), "byte {at} was not noticed");
    }
}

#[test]
fn rot_in_the_last_frame_is_told_from_a_torn_write_once_it_is_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let path = three_frames(dir.path());
    let start = start_of_last(&fs::read(&path).unwrap());
    let (mut log, _) = open(dir.path());
    log.seal().unwrap();
    drop(log);
    let whole = fs::read(&path).unwrap();
    assert_eq!(indices(&open(dir.path()).1).len(), 3, "a seal changes nothing");
    let mut rotten = whole;
    rotten[start + frame::FRAME_HEADER + 3] ^= 4;
    fs::write(&path, &rotten).unwrap();
    assert!(matches!(try_open(dir.path(), (0, 0)), Err(LogError::Damaged(_))));
}

#[test]
fn a_frame_after_a_seal_takes_its_place() {
    let dir = tempfile::tempdir().unwrap();
    three_frames(dir.path());
    let (mut log, _) = open(dir.path());
    for index in 4..10 {
        log.seal().unwrap();
        append(&mut log, &[entry(index, 1, 10)]);
    }
    drop(log);
    assert_eq!(indices(&open(dir.path()).1).len(), 9);
}

#[test]
fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _held = open(dir.path());
    let error = RealDisk::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn another_nodes_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    three_frames(dir.path());
    let disk = RealDisk::open(dir.path()).unwrap();
    let result = SegmentedLog::open(disk, NODE + 1, config(), (0, 0));
    assert!(matches!(result, Err(LogError::WrongNode { found: NODE, .. })));
}

#[test]
fn segments_go_when_all_in_them_is_dropped_and_state_survives_them() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    let mut batch = Batch::default();
    batch.note(b"signed", b"42");
    batch.members(&MembersAt::new(7, Members::of_voters(&[1, 2, 3])));
    batch.hard_state(&hard_state(3, 1, 0));
    log.append(&batch).unwrap();
    for index in 1..=50 {
        append(&mut log, &[entry(index, 3, 500)]);
    }
    let before = segments(dir.path()).len();
    assert!(before > 5, "{before} segments");
    let mut batch = Batch::default();
    batch.compact(40, 3);
    log.append(&batch).unwrap();
    drop(log);
    assert!(segments(dir.path()).len() < before - 3);
    let (log, found) = open(dir.path());
    assert_eq!(found.recovered.mark, (40, 3));
    assert_eq!(indices(&found), (41..=50).map(|index| (index, 3)).collect::<Vec<_>>());
    assert_eq!(found.recovered.hard_state, hard_state(3, 1, 0));
    assert_eq!(found.recovered.members, Some(MembersAt::new(7, Members::of_voters(&[1, 2, 3]))));
    assert_eq!(log.notes().get(b"signed".as_slice()).unwrap(), b"42");
}

#[test]
fn a_missing_segment_stops_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    for index in 1..=50 {
        append(&mut log, &[entry(index, 3, 500)]);
    }
    drop(log);
    let paths = segments(dir.path());
    let content = fs::read(&paths[2]).unwrap();
    fs::remove_file(&paths[2]).unwrap();
    assert!(matches!(try_open(dir.path(), (0, 0)), Err(LogError::Damaged(_))));
    fs::write(&paths[2], content).unwrap();
    fs::remove_file(&paths[0]).unwrap();
    assert!(
        matches!(try_open(dir.path(), (0, 0)), Err(LogError::Damaged(_))),
        "entries that no mark drops are missing"
    );
}

#[test]
fn an_interrupted_installation_is_finished_or_given_up_by_what_the_state_machine_holds() {
    for (applied, installed) in [((30, 4), true), ((2, 1), false)] {
        let dir = tempfile::tempdir().unwrap();
        three_frames(dir.path());
        let (mut log, _) = open(dir.path());
        let mut batch = Batch::default();
        batch.install_begun(&Install { index: 30, term: 4, conf_state: ConfState::default() });
        log.append(&batch).unwrap();
        drop(log);
        for _ in 0..2 {
            let (log, found) = try_open(dir.path(), applied).unwrap();
            if installed {
                assert_eq!(found.recovered.mark, (30, 4));
                assert!(found.recovered.entries.is_empty());
            } else {
                assert_eq!(indices(&found), [(1, 1), (2, 1), (3, 1)]);
            }
            drop(log);
        }
    }
}

#[test]
fn what_comes_with_the_end_of_an_installation_stays() {
    let dir = tempfile::tempdir().unwrap();
    three_frames(dir.path());
    let (mut log, _) = open(dir.path());
    let mut batch = Batch::default();
    batch.install_done(&Install { index: 30, term: 4, conf_state: ConfState::default() });
    // A new leader's first entry may come while the snapshot is put in place.
    batch.entries(&[entry(31, 5, 10), entry(32, 5, 10)]);
    batch.hard_state(&hard_state(5, 2, 30));
    log.append(&batch).unwrap();
    drop(log);
    assert_eq!(segments(dir.path()).len(), 1, "all before the snapshot is gone");
    let (_log, found) = open(dir.path());
    assert_eq!(found.recovered.mark, (30, 4));
    assert_eq!(indices(&found), [(31, 5), (32, 5)]);
    assert_eq!(found.recovered.hard_state, hard_state(5, 2, 30));
}

/// The content that the log should have after some operations.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    mark: (u64, u64),
    entries: Vec<(u64, u64)>,
}

#[derive(Clone, Debug)]
enum Op {
    Append { back: u64, count: u64, size: usize },
    Compact { share: u8 },
    Install { ahead: u64, then: u64 },
    Seal,
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0u64..4, 1u64..5, 0usize..1500).prop_map(|(back, count, size)| Op::Append { back, count, size }),
        2 => any::<u8>().prop_map(|share| Op::Compact { share }),
        1 => (1u64..5, 0u64..4).prop_map(|(ahead, then)| Op::Install { ahead, then }),
        2 => Just(Op::Seal),
        2 => Just(Op::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn the_log_holds_what_a_list_would(ops in proptest::collection::vec(op(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path()).0;
        let mut model = Model::default();
        let mut term = 0;
        for op in ops {
            let last = model.mark.0 + model.entries.len() as u64;
            let mut batch = Batch::default();
            match op {
                Op::Append { back, count, size } => {
                    term += 1;
                    let from = (last + 1).saturating_sub(back).max(model.mark.0 + 1);
                    model.entries.truncate(usize::try_from(from - model.mark.0 - 1).unwrap());
                    let new: Vec<Entry> = (from..from + count).map(|index| entry(index, term, size)).collect();
                    model.entries.extend(new.iter().map(|entry| (entry.index, entry.term)));
                    batch.entries(&new);
                }
                Op::Compact { share } => {
                    let count = model.entries.len() * usize::from(share) / 256;
                    if let Some(&(index, term)) = model.entries[..count].last() {
                        model.mark = (index, term);
                        model.entries.drain(..count);
                        batch.compact(index, term);
                    }
                }
                Op::Install { ahead, then } => {
                    term += 1;
                    let install = Install { index: last + ahead, term, conf_state: ConfState::default() };
                    batch.install_done(&install);
                    let new: Vec<Entry> = (1..=then).map(|after| entry(install.index + after, term, 100)).collect();
                    batch.entries(&new);
                    let entries = new.iter().map(|entry| (entry.index, entry.term)).collect();
                    model = Model { mark: (install.index, term), entries };
                }
                Op::Seal => log.seal().unwrap(),
                Op::Reopen => {
                    drop(log);
                    let opened = open(dir.path());
                    log = opened.0;
                    let held = Model { mark: opened.1.recovered.mark, entries: indices(&opened.1) };
                    prop_assert_eq!(held, model.clone());
                }
            }
            log.append(&batch).unwrap();
        }
        drop(log);
        let found = open(dir.path()).1;
        prop_assert_eq!(Model { mark: found.recovered.mark, entries: indices(&found) }, model);
    }
}
