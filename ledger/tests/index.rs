//! Index commits, the keys that sign them, and what no longer fits when someone altered the database.

mod common;

use std::path::Path;

use common::*;
use prost::Message;
use rocksdb::{DB, Options as DbOptions};
use sillage_ledger::{BatchFault, CommandOutcome, Ledger, OpenError, Options};
use sillage_proof::hash::{LeafIndex, LedgerTimeMs, leaf_hash};
use sillage_proof::merkle;
use sillage_proto::internal::v1::{Command, SealedRecord};
use sillage_rules::act::Act;
use sillage_rules::codes::Code;
use sillage_rules::entry::{Entry, Flags};
use sillage_rules::kind::Kind;
use sillage_rules::record::{ParsedRecord, erasure_message};

fn records(from: u64, count: u64) -> Vec<SealedRecord> {
    (from..from + count).map(|n| record(n, tag((n % 5) as u8), 1)).collect()
}

fn entries(ledger: &Ledger) -> Vec<Vec<u8>> {
    let reader = ledger.entry_reader();
    reader.entries(LeafIndex(0), u64::MAX).expect("readable")
}

fn committed(outcome: &CommandOutcome) -> LeafIndex {
    match outcome {
        CommandOutcome::IndexCommitted { index, .. } => *index,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_gets_an_index_commit_even_without_patients_and_no_second_one_for_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open(dir.path());
    let reader = ledger.entry_reader();
    assert!(reader.pending_since_commit() && reader.last_index_commit().is_none());
    assert_eq!(
        commit(&mut ledger),
        CommandOutcome::IndexCommitted { index: LeafIndex(1), time_ms: LedgerTimeMs(START_MS + 1_000) }
    );
    assert!(!reader.pending_since_commit());
    assert_eq!(commit(&mut ledger), CommandOutcome::NothingNew);
    assert_eq!(ledger.reader().tree_size().get(), 2);
    let (index, last) = reader.last_index_commit().expect("one");
    assert_eq!((index.get(), last.patients, last.depth), (1, 0, naive::DEPTH));
    naive::check_proof(&reader, &entries(&ledger), &tag(1));
}

#[test]
fn the_index_commit_comes_last_and_covers_its_own_command() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open(dir.path());
    let data = command2(vec![batch(2, "s", 1, records(0, 7))], vec![consulted(1), consulted(2)], true);
    let outcomes = ledger.apply(1, 1, START_MS, &data).expect("applied");
    let kinds: Vec<bool> = vec![
        matches!(outcomes[0], CommandOutcome::Done { .. }),
        outcomes[1] == CommandOutcome::LedgerRecord { index: LeafIndex(9) },
        outcomes[2] == CommandOutcome::LedgerRecord { index: LeafIndex(10) },
        committed(&outcomes[3]) == LeafIndex(11),
    ];
    assert_eq!(kinds, [true; 4]);
    let reader = ledger.entry_reader();
    assert_eq!(reader.last_index_commit().map(|(_, commit)| commit.patients), Some(5));
    assert_eq!(reader.changed_patients(), 0);
    let own = reader.record_of(LeafIndex(9)).expect("readable").expect("a record");
    assert!(own.1.is_none() && own.0.flags == Flags::LEDGER && own.0.kind == Kind::LOG_CONSULTED);
    assert_eq!(reader.header_of(LeafIndex(9)).expect("readable"), None);
    let payload = reader.payload(LeafIndex(9)).expect("readable").expect("kept");
    assert_eq!(payload, [&consulted(1).salt[..], &consulted(1).record].concat(), "it isn't sealed");
    for patient in 0..6 {
        naive::check_proof(&reader, &entries(&ledger), &tag(patient));
    }
}

#[test]
fn an_erasure_is_a_line_of_its_patients_trace_and_the_erased_entries_stay_in_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open(dir.path());
    apply_one(&mut ledger, batch(2, "s", 1, records(0, 10)));
    commit(&mut ledger);
    let act = Act::Erased { indices: Vec::new(), ground: "ORDER".into() };
    let message = erasure_message(&act, &tag(1), START_MS);
    let parsed = ParsedRecord::from_message(message).expect("a valid act");
    let payload = [&[7; 16], parsed.bytes()].concat();
    let record = SealedRecord {
        kind: u32::from(parsed.kind().code()),
        tag: tag(1).to_vec().into(),
        record_hash: leaf_hash(&payload).as_bytes().to_vec().into(),
        payload: payload.into(),
        occurred_at_ms: START_MS,
        facts: 0,
    };
    assert_eq!(code(&apply_one(&mut ledger, batch(1, "acts", 1, vec![record]))), None);
    commit(&mut ledger);
    let reader = ledger.entry_reader();
    naive::check_proof(&reader, &entries(&ledger), &tag(1));
    assert_eq!(reader.prove_patient(&tag(1)).expect("readable").map(|proof| proof.count), Some(3));
}

#[test]
fn the_ledger_records_only_what_is_public_by_nature() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open(dir.path());
    let good = consulted(1);
    let altered = |change: &dyn Fn(&mut sillage_proto::internal::v1::LedgerRecord)| {
        let mut record = good.clone();
        change(&mut record);
        record
    };
    let bad = [
        altered(&|record| record.kind = u32::from(Kind::ACCESS_READ.code())),
        altered(&|record| record.salt.truncate(15)),
        altered(&|record| record.record.push(0)),
        altered(&|record| {
            // Who a person is stands sealed, or nowhere.
            let mut message = sillage_proto::v1::Record::decode(&record.record[..]).expect("own record");
            message.purpose = "TREAT".into();
            record.record = message.encode_to_vec();
        }),
    ];
    let data = command2(Vec::new(), bad.into_iter().chain([good.clone()]).collect(), false);
    let outcomes = ledger.apply(1, 1, START_MS, &data).expect("applied");
    let codes: Vec<Option<Code>> = outcomes.iter().map(code).collect();
    let expected = [Code::KindReserved, Code::MalformedRequest, Code::MalformedRecord, Code::MalformedRecord];
    assert_eq!(codes, expected.map(Some).into_iter().chain([None]).collect::<Vec<_>>());
    let early = ledger.entry_reader().check_ledger_record(&good, 0);
    assert_eq!(early, Ok(()), "the ledger's own time counts");
    // More than a command holds are refused, and the others recorded.
    let many = (0..1_026).map(consulted).collect();
    let outcomes = ledger.apply(2, 1, START_MS, &command2(Vec::new(), many, false)).expect("applied");
    let refused: Vec<usize> = (0..outcomes.len()).filter(|at| code(&outcomes[*at]).is_some()).collect();
    assert_eq!(refused, [1_024, 1_025]);
    // Version 1 has batches only.
    let old = Command { version: 1, index_commit: true, ledger_records: vec![good], ..Command::default() };
    assert_eq!(ledger.apply(3, 1, START_MS, &old.encode_to_vec()).expect("applied"), []);
}

#[test]
fn a_new_key_signs_from_the_second_index_commit_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open(dir.path());
    let first = committed(&commit(&mut ledger));
    let rotate = |node_id, seed: u8| Act::NodeKeyRotated { node_id, key: key(seed).public_key() };
    let act_of = |seq, content: &Act| batch(1, "acts", seq, vec![act(content)]);
    assert_eq!(code(&apply_one(&mut ledger, act_of(1, &rotate(2, 60)))), None);
    let log_key = Act::LogKeyRotated { key: key(61).public_key() };
    // In one command with the index commit that covers it.
    let data = command2(vec![act_of(2, &log_key)], Vec::new(), true);
    let outcomes = ledger.apply(3, 1, START_MS, &data).expect("applied");
    let second = committed(&outcomes[1]);
    let keys = |ledger: &Ledger, commit| {
        let reader = ledger.entry_reader();
        let node = |id| reader.node_key_at(id, commit).expect("readable").map(|key| key.to_bytes());
        (node(1), node(2), reader.log_key_at(commit).expect("readable").to_bytes(), node(9))
    };
    let bytes = |seed: u8| key(seed).public_key().to_bytes();
    let old = (Some(bytes(101)), Some(bytes(102)), bytes(99), None);
    let new = (Some(bytes(101)), Some(bytes(60)), bytes(61), None);
    assert_eq!(keys(&ledger, first), old);
    assert_eq!(keys(&ledger, second), old, "the checkpoint that covers the acts is signed with the old keys");
    assert_eq!(keys(&ledger, LeafIndex(second.get() + 1)), new, "the next one with the new keys");
    // An act that no index commit covers yet changes nothing.
    assert_eq!(code(&apply_one(&mut ledger, act_of(3, &rotate(2, 62)))), None);
    assert_eq!(keys(&ledger, LeafIndex(u64::MAX)), new);
    for (seq, content) in [(4, rotate(9, 63)), (4, rotate(1, 60)), (4, rotate(1, 99)), (4, rotate(1, 2))] {
        assert_eq!(code(&apply_one(&mut ledger, act_of(seq, &content))), Some(Code::ActRefused), "{content:?}");
    }
    let by_author = batch(2, "s", 1, vec![act(&rotate(1, 64))]);
    assert_eq!(code(&apply_one(&mut ledger, by_author)), Some(Code::NotEntitled));
    let third = committed(&commit(&mut ledger));
    assert_eq!((keys(&ledger, second), keys(&ledger, third)), (old, new));
    ledger.flush().expect("writable");
    drop(ledger);
    let ledger = open(dir.path());
    assert_eq!(keys(&ledger, third), new);
    assert_eq!(keys(&ledger, LeafIndex(third.get() + 5)).1, Some(bytes(62)));
}

#[test]
fn batches_in_the_log_are_those_that_were_signed() {
    let dir = tempfile::tempdir().expect("a folder");
    // As it would be in a log of nodes that let it in.
    let options = Options { verify_at_apply: false, ..quiet() };
    let mut ledger = Ledger::open(dir.path(), &genesis(), keks(), options).expect("a ledger");
    apply_one(&mut ledger, batch(2, "s", 1, records(0, 9)));
    commit(&mut ledger);
    let mut forged = batch(3, "t", 1, records(20, 3));
    forged.signature[5] ^= 1;
    let data = command2(vec![forged, batch(3, "t", 2, records(30, 1))], vec![consulted(1)], true);
    ledger.apply(3, 1, START_MS, &data).expect("applied");
    let reader = ledger.entry_reader();
    let headers: Vec<_> =
        reader.headers(LeafIndex(0), LeafIndex(u64::MAX)).map(|header| header.expect("readable")).collect();
    assert_eq!(
        headers.iter().map(|header| (header.index.get(), header.count)).collect::<Vec<_>>(),
        [(1, 9), (12, 3), (16, 1)]
    );
    let mut verifier = reader.batch_verifier();
    assert_eq!(verifier.verify_batch_at(LeafIndex(1)), Ok(()));
    assert_eq!(
        verifier.verify_batch_at(LeafIndex(12)),
        Err(BatchFault::Signature(LeafIndex(12))),
        "apply took it on trust"
    );
    assert_eq!(verifier.verify(&headers[2]), Ok(()));
    assert_eq!(verifier.verify_batch_at(LeafIndex(2)), Err(BatchFault::NoHeader(LeafIndex(2))));
    let mut other = headers[0].clone();
    other.stream_id = headers[2].stream_id;
    assert_eq!(verifier.verify(&other), Err(BatchFault::Key(LeafIndex(1))));
    let indices: Vec<LeafIndex> = [2, 10, 5, 13, 17, 18].map(LeafIndex).to_vec();
    for (index, found) in indices.iter().zip(reader.batch_paths(&indices).expect("records")) {
        let (record, header) = reader.record_of(*index).expect("readable").expect("a record");
        assert_eq!(found.header, header.as_ref().map(|header| header.index));
        if let Some(header) = header {
            let (at, size) = (u64::from(record.position).into(), u64::from(header.count).into());
            let verdict = merkle::verify_inclusion(&record.batch_leaf().hash(), at, size, &found.path, &header.root);
            assert_eq!(verdict, Ok(()), "entry {index}");
        }
    }
    assert!(reader.batch_paths(&[LeafIndex(1)]).is_err(), "a header is no record");
}

/// Changes one value of the closed database in `dir`.
fn alter(dir: &Path, family: &str, key: &[u8], change: impl Fn(&mut Vec<u8>) -> bool) {
    let path = dir.join("db-1");
    let options = DbOptions::default();
    let families = DB::list_cf(&options, &path).expect("a database");
    let db = DB::open_cf(&options, &path, families).expect("a database");
    let handle = db.cf_handle(family).expect("a family");
    let mut value = db.get_cf(handle, key).expect("readable").expect("there");
    match change(&mut value) {
        true => db.put_cf(handle, key, value).expect("writable"),
        false => db.delete_cf(handle, key).expect("writable"),
    }
    db.flush_cf(handle).expect("writable");
}

#[test]
fn a_row_altered_in_the_database_is_found_when_it_is_opened() {
    let origin = tempfile::tempdir().expect("a folder");
    let mut ledger = open(origin.path());
    apply_one(&mut ledger, batch(2, "s", 1, records(0, 23)));
    let at = committed(&commit(&mut ledger));
    apply_one(&mut ledger, batch(2, "s", 2, records(40, 3)));
    ledger.flush().expect("writable");
    drop(ledger);
    let row = sillage_rules::index::ikey(&tag(1)).to_bytes();
    type Change = fn(&mut Vec<u8>) -> bool;
    let plants: [(&str, &str, &[u8], Change); 6] = [
        ("the hash of a row", "index", &row, |value| {
            value[3] ^= 1;
            true
        }),
        ("the count of a row", "index", &row, |value| {
            value[39] ^= 0x80;
            value.extend([7; 32]);
            true
        }),
        ("the tree of a row", "index", &row, |value| {
            value[50] ^= 1;
            true
        }),
        ("a row is gone", "index", &row, |_| false),
        ("the index commit", "entries", &at.get().to_be_bytes(), |value| {
            value[60] ^= 1;
            true
        }),
        ("which index commit is the last", "meta", b"head", |value| {
            value[71] = 0;
            true
        }),
    ];
    for (what, family, key, change) in plants {
        let dir = tempfile::tempdir().expect("a folder");
        copy_dir(origin.path(), dir.path());
        drop(open(dir.path()));
        alter(dir.path(), family, key, change);
        let error =
            Ledger::open(dir.path(), &genesis(), keks(), quiet()).err().unwrap_or_else(|| panic!("{what}: not found"));
        assert!(matches!(error, OpenError::Corrupt { .. }), "{what}: {error}");
    }
}

#[test]
fn a_snapshot_with_an_altered_row_is_not_installed() {
    let (one, two) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut ledger = open(one.path());
    apply_one(&mut ledger, batch(2, "s", 1, records(0, 23)));
    commit(&mut ledger);
    let files = two.path().join("db-1");
    ledger.checkpoint(&files).expect("writable");
    let row = sillage_rules::index::ikey(&tag(1)).to_bytes();
    alter(two.path(), "index", &row, |value| {
        value[3] ^= 1;
        true
    });
    let place = tempfile::tempdir().expect("a folder");
    let mut other = open(place.path());
    assert!(other.install(&files).is_err());
    assert_eq!(other.applied(), (0, 0));
    assert_eq!(code(&apply_one(&mut other, batch(2, "s", 1, records(0, 2)))), None, "it goes on as before");
    committed(&commit(&mut other));
    naive::check_proof(&other.entry_reader(), &entries(&other), &tag(1));
}

#[test]
fn entries_come_in_a_row_up_to_the_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open(dir.path());
    apply_one(&mut ledger, batch(2, "s", 1, records(0, 300)));
    let reader = ledger.entry_reader();
    let some = reader.entries(LeafIndex(250), 10).expect("readable");
    assert_eq!(some.len(), 10);
    for (index, bytes) in (250_u64..).zip(&some) {
        assert_eq!(Entry::decode(bytes).map(|entry| entry.index()), Ok(LeafIndex(index)));
    }
    assert_eq!(reader.entries(LeafIndex(300), 10).expect("readable").len(), 2);
    assert!(reader.entries(LeafIndex(302), 10).expect("readable").is_empty());
    assert!(reader.entries(LeafIndex(u64::MAX), u64::MAX).expect("readable").is_empty());
}
