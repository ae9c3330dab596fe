use super::*;
use sillage_proof::hash::{LeafIndex, LedgerTimeMs};
use sillage_proof::keys::KeyId;
use sillage_rules::entry::{Flags, batch_leaf};
use sillage_rules::kind::Kind;
use std::time::{Duration, Instant};

fn stream() -> StreamId {
    StreamId::from_bytes([9; 32])
}

fn hashes(seed: u8, count: u8) -> Vec<Hash> {
    (0..count).map(|i| leaf_hash(&[seed, i])).collect()
}

/// The entries of one batch, from `index` on.
fn batch(index: u64, seq: u64, records: &[Hash]) -> Vec<Vec<u8>> {
    let leaf = |hash: &Hash| batch_leaf(Kind::ACCESS_READ, Flags::BASIS, [2; 32], *hash);
    let header = Entry::BatchHeader(BatchHeader {
        index: LeafIndex(index),
        time: LedgerTimeMs(1_000 + seq),
        key_id: KeyId::from_bytes([1; 32]),
        stream_id: stream(),
        seq,
        count: u32::try_from(records.len()).expect("few"),
        root: batch_root(&records.iter().map(leaf).collect::<Vec<_>>()),
        signature: [0; 64],
    });
    let records = records.iter().zip(0_u32..).map(|(hash, position)| {
        Entry::Record(RecordEntry {
            index: LeafIndex(index + 1 + u64::from(position)),
            time: LedgerTimeMs(1_000 + seq),
            flags: Flags::BASIS,
            kind: Kind::ACCESS_READ,
            tag: [2; 32],
            record_hash: *hash,
            position,
        })
    });
    std::iter::once(header).chain(records).map(|entry| entry.encode()).collect()
}

fn book(entries: &[Vec<u8>]) -> Result<Book, Finding> {
    let mut book = Book::new();
    entries.iter().try_for_each(|entry| book.add(entry))?;
    Ok(book)
}

fn acked(seq: u64, first_index: u64, records: &[Hash]) -> Acked {
    let (latency, at) = (Duration::ZERO, Instant::now());
    Acked { stream_id: stream(), seq, first_index, records: records.to_vec(), latency, at, repeated: false }
}

#[test]
fn what_was_acknowledged_is_found_where_it_was() {
    let (one, two) = (hashes(1, 3), hashes(2, 2));
    let entries = [batch(0, 1, &one), batch(4, 2, &two)].concat();
    let book = book(&entries).expect("a good log");
    assert_eq!((book.size(), book.records(), book.batches()), (7, 5, 2));
    book.holds(&acked(1, 1, &one)).expect("there");
    book.holds(&acked(2, 5, &two)).expect("there");
    let leaves: Vec<Hash> = entries.iter().map(|e| leaf_hash(e)).collect();
    book.has_root(5, &merkle::root_of(&leaves[..5])).expect("the root of the first five");
    assert!(book.has_root(6, &merkle::root_of(&leaves[..5])).is_err());
    assert!(book.root_at(8).is_err());
}

#[test]
fn what_was_lost_moved_or_altered_is_a_finding() {
    let (one, two) = (hashes(1, 3), hashes(2, 2));
    let book = book(&batch(0, 1, &one)).expect("a good log");
    assert!(book.holds(&acked(2, 5, &two)).expect_err("lost").0.contains("not in the log"));
    assert!(book.holds(&acked(1, 2, &one)).expect_err("moved").0.contains("receipt for"));
    assert!(book.holds(&acked(1, 1, &hashes(3, 3))).expect_err("altered").0.contains("entry 1"));
}

#[test]
fn what_stands_twice_is_a_finding() {
    let one = hashes(1, 3);
    let twice = [batch(0, 1, &one), batch(4, 1, &one)].concat();
    assert!(book(&twice).expect_err("the same number twice").0.contains("follows"));
    let again = [batch(0, 1, &one), batch(4, 2, &one)].concat();
    assert!(book(&again).expect_err("the same records twice").0.contains("second time"));
}

#[test]
fn a_gap_a_wrong_place_and_a_wrong_root_are_findings() {
    let one = hashes(1, 3);
    assert!(book(&batch(0, 2, &one)).expect_err("a gap").0.contains("follows"));
    assert!(book(&batch(5, 1, &one)).expect_err("a wrong index").0.contains("says that it is"));
    let mut altered = batch(0, 1, &one);
    altered[2] = batch(0, 1, &hashes(4, 3))[2].clone();
    assert!(book(&altered).expect_err("an altered record").0.contains("root their author signed"));
    let mut refiled = batch(0, 1, &one);
    // Byte 22 is the first of the tag.
    refiled[2][22] ^= 1;
    assert!(book(&refiled).expect_err("another patient's").0.contains("filed otherwise"));
    let mut shortened = batch(0, 1, &one);
    shortened.truncate(3);
    let next = [shortened, batch(3, 2, &one)].concat();
    assert!(book(&next).expect_err("an unfinished batch").0.contains("before batch 1 is whole"));
}

#[test]
fn the_tree_has_the_root_of_every_size() {
    let leaves: Vec<Hash> = (0_u8..70).map(|number| leaf_hash(&[number])).collect();
    let mut nodes = Nodes::default();
    for size in 0..leaves.len() {
        for old in 0..=size {
            let root = merkle::root(&nodes, TreeSize(old as u64)).expect("it was read");
            assert_eq!(root, merkle::root_of(&leaves[..old]));
        }
        assert!(merkle::root(&nodes, TreeSize(size as u64 + 1)).is_err(), "it wasn't read yet");
        nodes.push(leaves[size]);
    }
}
