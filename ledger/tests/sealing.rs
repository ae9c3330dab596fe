//! Sealed payloads: opened only where they belong, and nowhere on disk in clear.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::*;
use sillage_ledger::seal::{DATA_KEYS_CACHED, KekProvider as _, Keyring, Plain, SealError, Sealer, TagPrefix, layout};
use sillage_ledger::{CommandOutcome, Ledger};
use sillage_proof::batch::Origin;
use sillage_proof::hash::leaf_hash2;
use sillage_proof::keys::StreamId;
use sillage_proto::internal::v1::{SealedBatch, SealedRecord, WrappedKey};
use sillage_rules::act::Act;
use sillage_rules::kind::Kind;
use sillage_rules::roles::Roles;

const SALT: [u8; 16] = [3; 16];

fn sealer(ledger: &Ledger, keys: &Arc<Keyring>) -> Sealer {
    Sealer::new(ledger.reader(), keys.clone(), DATA_KEYS_CACHED)
}

/// A batch of party 2 whose records are these (tag, bytes), as the admitting node seals it.
fn sealed(sealer: &Sealer, seq: u64, records: &[([u8; 32], &[u8])]) -> SealedBatch {
    let stream_id = StreamId::new(&author_id(2), "s");
    let plain = records.iter().map(|(tag, record)| Plain { tag: *tag, salt: &SALT, record });
    let sealed = sealer.seal_batch(stream_id, seq, &plain.collect::<Vec<_>>()).expect("keys are there");
    let records = records.iter().zip(&sealed.payloads).map(|((tag, record), payload)| {
        let kind = if *tag == [0; 32] { Kind::SYSTEM_EVENT } else { Kind::ACCESS_READ };
        SealedRecord {
            kind: u32::from(kind.code()),
            tag: tag.to_vec().into(),
            record_hash: leaf_hash2(&SALT, record).as_bytes().to_vec().into(),
            payload: payload.clone(),
            occurred_at_ms: START_MS,
            facts: 1,
        }
    });
    let mut batch = batch(2, "s", seq, records.collect());
    batch.new_keys = sealed.new_keys;
    batch
}

fn files_holding(dir: &Path, needle: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(files_holding(&path, needle));
        } else if std::fs::read(&path).expect("readable").windows(needle.len()).any(|part| part == needle) {
            found.push(path);
        }
    }
    found
}

#[test]
fn what_is_sealed_is_opened_by_every_node_and_stands_nowhere_in_clear() {
    let marker = b"PLANTED-MARKER-Claire-Dubois-279035121518989".as_slice();
    let dir = tempfile::tempdir().expect("a folder");
    let keys = Arc::new(Keyring::generate().expect("randomness"));
    let mut ledger = open_with(dir.path(), keys.clone());
    let sealer_here = sealer(&ledger, &keys);
    let first = sealed(&sealer_here, 1, &[(tag(1), marker), (tag(2), b"other"), (tag(1), b"third"), ([0; 32], marker)]);
    assert_eq!(first.new_keys.len(), 3, "one for each patient, and one for no patient");
    assert_eq!(code(&apply_one(&mut ledger, first)), None);
    ledger.flush().expect("writable");
    // Another node has the same keyring and nothing else.
    let sealer_there = sealer(&ledger, &keys);
    for (index, record) in [(2, marker), (3, b"other"), (4, b"third"), (5, marker)] {
        let opened = ledger.entry_reader().open(&sealer_there, index.into()).expect("opens").expect("on record");
        assert_eq!(
            (&opened.salt[..], &opened.record[..], opened.header.map(|header| header.seq)),
            (&SALT[..], record, Some(1))
        );
    }
    assert!(matches!(ledger.entry_reader().open(&sealer_there, 1.into()), Err(SealError::NoRecord(_))));
    assert!(ledger.entry_reader().open(&sealer_there, 6.into()).expect("beyond").is_none());
    assert_eq!(files_holding(dir.path(), marker), Vec::<std::path::PathBuf>::new());
    let author = author_id(2);
    assert_ne!(files_holding(dir.path(), author.as_bytes()).len(), 0, "the search finds what is there in clear");
}

#[test]
fn a_data_key_travels_until_it_is_on_record() {
    let dir = tempfile::tempdir().expect("a folder");
    let keys = Arc::new(Keyring::generate().expect("randomness"));
    let mut ledger = open_with(dir.path(), keys.clone());
    let sealer = sealer(&ledger, &keys);
    let lost = sealed(&sealer, 1, &[(tag(1), b"lost")]);
    let first = sealed(&sealer, 1, &[(tag(1), b"first")]);
    assert_eq!(lost.new_keys, first.new_keys, "the same key, again with the batch");
    assert_eq!(code(&apply_one(&mut ledger, first)), None);
    let second = sealed(&sealer, 2, &[(tag(1), b"second")]);
    assert_eq!(second.new_keys, [], "it is on record now");
    assert_eq!(code(&apply_one(&mut ledger, second)), None);
    assert_eq!(ledger.entry_reader().open(&sealer, 4.into()).expect("opens").expect("on record").record, b"second");
}

#[test]
fn two_nodes_may_make_a_key_at_once_and_a_key_is_never_overwritten() {
    let dir = tempfile::tempdir().expect("a folder");
    let keys = Arc::new(Keyring::generate().expect("randomness"));
    let mut ledger = open_with(dir.path(), keys.clone());
    let (one, two) = (sealer(&ledger, &keys), sealer(&ledger, &keys));
    let first = sealed(&one, 1, &[(tag(1), b"from one")]);
    let mut second = sealed(&two, 2, &[(tag(1), b"from two")]);
    // Even a batch that claims the first key's id with another key changes nothing.
    let id = first.new_keys[0].data_key_id[..].try_into().expect("16 bytes");
    let aad = layout::wrapped_aad(&Origin::new(ORIGIN).expect("valid"), &tag(1), &id, 1);
    let other = keys.wrap((TagPrefix::of(&tag(1)), 1), &[4; 12], &aad, &[9; 32]).expect("its key is there");
    let wrapped = [&[1, 1, 0, 0, 0, 1][..], &[4; 12], &other].concat();
    let mut third = batch(2, "s", 3, first.records.clone());
    third.new_keys = vec![WrappedKey { wrapped, ..first.new_keys[0].clone() }];
    apply_one(&mut ledger, first);
    apply_one(&mut ledger, second.clone());
    assert_eq!(ledger.reader().data_keys(&tag(1)).expect("readable").len(), 2);
    assert!(matches!(apply_one(&mut ledger, third), CommandOutcome::Done { .. }));
    second.new_keys.clear();
    let fresh = sealer(&ledger, &keys);
    assert_eq!(ledger.entry_reader().open(&fresh, 2.into()).expect("opens").expect("on record").record, b"from one");
    assert_eq!(ledger.entry_reader().open(&fresh, 4.into()).expect("opens").expect("on record").record, b"from two");
    // The third batch holds the first's payload: it is bound to its place and opens nowhere else.
    assert!(matches!(ledger.entry_reader().open(&fresh, 6.into()), Err(SealError::Altered)));
}

#[test]
fn another_keyring_opens_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let keys = Arc::new(Keyring::generate().expect("randomness"));
    let mut ledger = open_with(dir.path(), keys.clone());
    let batch = sealed(&sealer(&ledger, &keys), 1, &[(tag(1), b"secret")]);
    apply_one(&mut ledger, batch);
    let other = Arc::new(Keyring::generate().expect("randomness"));
    assert!(matches!(ledger.entry_reader().open(&sealer(&ledger, &other), 2.into()), Err(SealError::Kek(_))));
}

#[test]
fn an_act_is_read_without_a_key() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open(dir.path());
    let register = act(&Act::Registered(registration(10, Roles::AUTHOR)));
    apply_one(&mut ledger, batch(1, "acts", 1, vec![register.clone()]));
    let keys = Arc::new(Keyring::generate().expect("randomness"));
    let opened = ledger.entry_reader().open(&sealer(&ledger, &keys), 2.into()).expect("opens").expect("on record");
    assert_eq!(opened.record, register.payload[16..]);
}
