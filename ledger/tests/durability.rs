//! Restarts, snapshots, and what isn't a ledger of this log.

mod common;

use std::fs;
use std::path::Path;

use common::*;
use prost::Message;
use sillage_ledger::{Fatal, Ledger, OpenError, Options};
use sillage_proto::v1::Genesis;

/// A ledger with `batches` batches of 100 records.
fn filled(dir: &Path, batches: u64) -> Ledger {
    let mut ledger = open(dir);
    for seq in 1..=batches {
        let records = (0..100).map(|n| record(seq * 1_000 + n, tag((n % 5) as u8), 1));
        assert_eq!(code(&apply_one(&mut ledger, batch(2, "s", seq, records.collect()))), None);
    }
    ledger
}

fn other_genesis() -> Vec<u8> {
    let mut genesis = Genesis::decode(&genesis()[..]).expect("own genesis");
    genesis.nonce = vec![2; 32];
    genesis.encode_to_vec()
}

#[test]
fn a_closed_ledger_opens_again_where_it_stood() {
    let dir = tempfile::tempdir().expect("a folder");
    let ledger = filled(dir.path(), 6);
    let head = ledger.reader().head();
    drop(ledger);
    let ledger = open(dir.path());
    assert_eq!(ledger.reader().head(), head);
    assert_eq!(ledger.flushed().expect("fresh"), 6);
    let root = sillage_proof::merkle::root_of(&leaves(&ledger));
    assert_eq!(root, head.root);
}

#[test]
fn another_genesis_is_refused_and_named() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(filled(dir.path(), 1));
    let error = Ledger::open(dir.path(), &other_genesis(), keks(), quiet()).err().expect("refused");
    assert!(matches!(error, OpenError::OtherLog(_)), "{error}");
    let error = Ledger::open(dir.path(), b"nonsense", keks(), quiet()).err().expect("refused");
    assert!(matches!(error, OpenError::Genesis(_)), "{error}");
    drop(open(dir.path()));
}

#[test]
fn a_background_flush_follows_the_bytes_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = Options { flush_bytes: 1, ..Options::default() };
    let mut ledger = Ledger::open(dir.path(), &genesis(), keks(), options).expect("a ledger");
    apply_one(&mut ledger, batch(2, "s", 1, vec![record(1, tag(1), 1)]));
    while ledger.flushed().expect("writable") < 1 {
        std::thread::yield_now();
    }
    assert!(ledger.reader().stats().times().flushes >= 1);
}

#[test]
fn a_flush_that_fails_is_said_and_nothing_more_is_applied() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = filled(dir.path(), 1);
    assert_eq!(ledger.flush().expect("writable"), 1);
    let reader = ledger.entry_reader();
    apply_one(&mut ledger, batch(2, "s", 2, vec![record(1, tag(1), 1)]));
    let (here, away) = (dir.path().join("db-1"), dir.path().join("away"));
    fs::rename(&here, &away).expect("it is ours");
    assert_eq!(reader.write_failure(), None);
    assert!(matches!(ledger.flush(), Err(Fatal::Store(_))));
    assert!(reader.write_failure().is_some());
    assert_eq!(reader.flushed(), 1, "what was flushed before is still on disk");
    assert!(matches!(ledger.flushed(), Err(Fatal::Store(_))));
    assert!(matches!(ledger.apply(3, 1, 1, b""), Err(Fatal::Store(_))), "and nothing more is applied");
    drop((ledger, reader));
    fs::rename(&away, &here).expect("it is ours");
    // What was in memory is applied again from the log of commands.
    assert_eq!(open(dir.path()).applied(), (1, 1));
}

#[test]
fn a_snapshot_replaces_the_state_under_its_readers() {
    let (leader, follower, place) =
        (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"), tempfile::tempdir().expect("c"));
    let mut ahead = filled(leader.path(), 5);
    let mut behind = filled(follower.path(), 1);
    let reader = behind.entry_reader();
    let mut scan = reader.trace_scan(&tag(1), None);
    let newest = scan.next().expect("one").expect("readable");
    let snapshot = place.path().join("snapshot");
    assert_eq!(ahead.checkpoint(&snapshot).expect("writable"), (5, 1));
    // The leader goes on: the snapshot stays what it was.
    let more = batch(2, "s", 6, vec![record(9_999, tag(1), 1)]);
    apply_one(&mut ahead, more.clone());
    behind.install(&snapshot).expect("a snapshot of this log");
    assert_eq!((behind.applied(), behind.flushed().expect("durable")), ((5, 1), 5));
    assert_eq!(reader.tree_size().get(), 1 + 5 * 101, "the same reader sees the new state");
    assert_eq!(scan.count(), 19, "a scan goes on where it was");
    assert_eq!(newest.index.get(), 98);
    apply_one(&mut behind, more);
    assert_eq!(behind.reader().head(), ahead.reader().head());
    drop((behind, reader));
    let again = open(follower.path());
    assert_eq!(again.reader().head(), ahead.reader().head());
    let folders = fs::read_dir(follower.path()).expect("readable").count();
    assert_eq!(folders, 2, "the pointer and one database");
}

#[test]
fn what_is_not_a_newer_state_of_this_log_is_not_installed() {
    let (dir, place) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut ledger = filled(dir.path(), 2);
    let head = ledger.reader().head();
    let refused = |ledger: &mut Ledger, path: &Path| {
        let error = ledger.install(path).expect_err("not installed");
        assert!(matches!(error, Fatal::Snapshot(_)), "{error}");
        assert_eq!(ledger.reader().head(), head, "the state is kept");
    };
    let empty = place.path().join("empty");
    fs::create_dir(&empty).expect("writable");
    refused(&mut ledger, &empty);
    let other_dir = place.path().join("other-log");
    let mut other = Ledger::open(&other_dir, &other_genesis(), keks(), quiet()).expect("a ledger");
    for index in 1..=3 {
        other.apply(index, 1, 0, &[]).expect("empty");
    }
    other.checkpoint(&place.path().join("other")).expect("writable");
    refused(&mut ledger, &place.path().join("other"));
    let old_dir = tempfile::tempdir().expect("a folder");
    filled(old_dir.path(), 1).checkpoint(&place.path().join("old")).expect("writable");
    refused(&mut ledger, &place.path().join("old"));
    drop(ledger);
    assert_eq!(open(dir.path()).reader().head(), head);
}

#[test]
fn a_snapshot_of_a_log_that_has_forked_is_not_installed() {
    let (dir, fork_dir, place) =
        (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"), tempfile::tempdir().expect("c"));
    let fork = |ledger: &mut Ledger, seq: u64, time: u64| {
        let other = batch(2, "s", seq, vec![record(time, tag(1), 1)]);
        assert_eq!(code(&apply_one(ledger, other)), None);
    };
    let mut ledger = filled(dir.path(), 2);
    let mut forked = filled(fork_dir.path(), 2);
    fork(&mut ledger, 3, 77_777);
    fork(&mut forked, 3, 88_888);
    fork(&mut forked, 4, 99_999);
    let head = ledger.reader().head();
    let snapshot = place.path().join("snapshot");
    forked.checkpoint(&snapshot).expect("writable");
    let error = ledger.install(&snapshot).expect_err("it would hide an acknowledged record");
    assert!(error.to_string().contains("forked"), "{error}");
    assert_eq!(ledger.reader().head(), head, "the state is kept");
    drop(ledger);
    let mut ledger = open(dir.path());
    assert_eq!(ledger.reader().head(), head);
    // As many commands, and fewer entries: they are missing too.
    let fewer_dir = tempfile::tempdir().expect("d");
    let mut fewer = filled(fewer_dir.path(), 2);
    for index in [3, 4] {
        fewer.apply(index, 1, 0, &[]).expect("empty");
    }
    let fewer_files = place.path().join("fewer");
    fewer.checkpoint(&fewer_files).expect("writable");
    let error = ledger.install(&fewer_files).expect_err("it would hide an acknowledged record");
    assert!(error.to_string().contains("forked"), "{error}");
}

#[test]
fn a_switch_cut_short_leaves_the_old_state() {
    let dir = tempfile::tempdir().expect("a folder");
    let ledger = filled(dir.path(), 1);
    let head = ledger.reader().head();
    drop(ledger);
    // The snapshot had been moved in, the pointer had not changed.
    fs::create_dir(dir.path().join("db-2")).expect("writable");
    fs::write(dir.path().join("db-2/CURRENT"), "cut short").expect("writable");
    assert_eq!(open(dir.path()).reader().head(), head);
    assert!(!dir.path().join("db-2").exists());
    // A lost pointer beside one database: it is the one.
    fs::remove_file(dir.path().join("CURRENT-DB")).expect("there");
    assert_eq!(open(dir.path()).reader().head(), head);
}

#[test]
fn a_missing_database_is_not_made_anew() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(filled(dir.path(), 1));
    fs::rename(dir.path().join("db-1"), dir.path().join("elsewhere")).expect("movable");
    let error = Ledger::open(dir.path(), &genesis(), keks(), quiet()).err().expect("refused");
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    fs::create_dir(dir.path().join("db-1")).expect("writable");
    let error = Ledger::open(dir.path(), &genesis(), keks(), quiet()).err().expect("refused");
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
}

#[test]
fn a_flipped_bit_in_what_the_tree_is_made_from_is_found_when_opening() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(filled(dir.path(), 6));
    let files = fs::read_dir(dir.path().join("db-1")).expect("readable");
    let tables: Vec<_> = files
        .map(|file| file.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sst"))
        .collect();
    assert!(tables.len() >= 8, "one file or more a family");
    let mut found = 0;
    for table in &tables {
        let bytes = fs::read(table).expect("readable");
        let mut bad = bytes.clone();
        // The first block of data: of the newest entries' table, of the tiles, of the state.
        bad[40] ^= 1;
        fs::write(table, &bad).expect("writable");
        found += usize::from(Ledger::open(dir.path(), &genesis(), keks(), quiet()).is_err());
        fs::write(table, &bytes).expect("writable");
    }
    assert!(found >= 2, "the state's own row and the tiles are always read");
    drop(open(dir.path()));
}
