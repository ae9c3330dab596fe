//! Tests of the entry layouts.

use proptest::prelude::*;

use super::*;

fn entries() -> impl Strategy<Value = Entry> {
    let bytes = || any::<[u8; 32]>();
    let signature = proptest::collection::vec(any::<u8>(), SIGNATURE_LEN);
    let numbers = (any::<u64>(), any::<u64>(), 1..=u64::MAX, 1..=4_096_u32);
    let header = (numbers, bytes(), bytes(), bytes(), signature).prop_map(
        |((index, time, seq, count), key, stream, root, signature)| {
            Entry::BatchHeader(BatchHeader {
                index: index.into(),
                time: time.into(),
                key_id: key.into(),
                stream_id: stream.into(),
                seq,
                count,
                root: root.into(),
                signature: signature.try_into().expect("64 bytes"),
            })
        },
    );
    let kind = proptest::sample::select(Kind::ALL);
    let reason = proptest::sample::select(&UnjustifiedReason::ALL[..]);
    let numbers = (any::<u64>(), any::<u64>(), 0..32_u16, 0..4_096_u32);
    let record = (numbers, reason, kind, bytes(), bytes()).prop_map(
        |((index, time, flags, position), reason, kind, tag, record_hash)| {
            let flags = Flags::from_bits(flags & !u16::from(!kind.is_access())).expect("five flags");
            let is_unjustified = flags.contains(Flags::UNJUSTIFIED);
            let reason = match (is_unjustified, reason) {
                (false, _) => Flags::NONE,
                (true, UnjustifiedReason::Unproven) => Flags::unjustified(reason) | Flags::BASIS | Flags::CLAIMED,
                (true, _) => Flags::unjustified(reason),
            };
            Entry::Record(RecordEntry {
                index: index.into(),
                time: time.into(),
                flags: flags | reason,
                kind,
                tag,
                record_hash: record_hash.into(),
                position,
            })
        },
    );
    let made: Vec<Kind> = Kind::ALL.iter().copied().filter(|kind| kind.made_by_ledger()).collect();
    let body = proptest::collection::vec(any::<u8>(), 0..100);
    let event =
        (any::<u64>(), any::<u64>(), proptest::sample::select(made), body).prop_map(|(index, time, kind, body)| {
            let (index, time) = (index.into(), time.into());
            Entry::LedgerEvent(LedgerEvent { index, time, kind, body })
        });
    let commit = (any::<u64>(), any::<u64>(), 0..=INDEX_DEPTH_MAX, any::<u64>(), bytes()).prop_map(
        |(index, time, depth, patients, root)| {
            let (index, time, root) = (index.into(), time.into(), root.into());
            Entry::IndexCommit(IndexCommit { index, time, depth, patients, root })
        },
    );
    prop_oneof![header, record, commit, event]
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_itself(entry in entries()) {
        prop_assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
    }

    #[test]
    fn a_changed_length_is_refused(entry in entries(), cut in 1..100_usize) {
        let mut bytes = entry.encode();
        bytes.push(0);
        prop_assert!(Entry::decode(&bytes).is_err());
        bytes.truncate(bytes.len().saturating_sub(1 + cut));
        prop_assert!(Entry::decode(&bytes).is_err());
    }

    #[test]
    fn a_changed_bit_never_decodes_to_the_same_entry(entry in entries(), bit in any::<usize>()) {
        let mut bytes = entry.encode();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = Entry::decode(&bytes) {
            prop_assert_ne!(&other, &entry);
            prop_assert_eq!(other.encode(), bytes);
        }
    }
}

fn record() -> RecordEntry {
    RecordEntry {
        index: LeafIndex(9),
        time: LedgerTimeMs(1_000),
        flags: Flags::UNJUSTIFIED,
        kind: Kind::ACCESS_READ,
        tag: [7; 32],
        record_hash: Hash::from_bytes([8; 32]),
        position: 3,
    }
}

#[test]
fn the_layout_of_a_record_is_the_documented_one() {
    let bytes = Entry::Record(record()).encode();
    let mut expected = vec![1, 2, 0, 1];
    expected.extend([0, 0, 0, 0, 0, 0, 0, 9]);
    expected.extend([0, 0, 0, 0, 0, 0, 3, 0xe8]);
    expected.extend([6, 1]);
    expected.extend([7; 32]);
    expected.extend([8; 32]);
    expected.extend([0, 0, 0, 3]);
    assert_eq!(bytes, expected);
}

#[test]
fn a_reason_stands_in_the_high_byte_of_the_flags() {
    let flags = Flags::unjustified(UnjustifiedReason::Expired) | Flags::BASIS;
    let bytes = Entry::Record(RecordEntry { flags, ..record() }).encode();
    assert_eq!(bytes[2..4], [4, 0x11]);
    let without = Flags::from_bits(0x0410);
    assert_eq!(without, Err(UnknownFlags(0x0410)), "a reason why what isn't flagged is");
}

#[test]
fn the_layout_of_an_index_commit_is_the_documented_one() {
    let root = Hash::from_bytes([9; 32]);
    let commit = IndexCommit { index: LeafIndex(9), time: LedgerTimeMs(1_000), depth: 16, patients: 2, root };
    let mut expected = vec![1, 3, 0, 8];
    expected.extend([0, 0, 0, 0, 0, 0, 0, 9]);
    expected.extend([0, 0, 0, 0, 0, 0, 3, 0xe8]);
    expected.extend([16, 0, 0, 0, 0, 0, 0, 0, 2]);
    expected.extend([9; 32]);
    assert_eq!(Entry::IndexCommit(commit).encode(), expected);
    expected[20] = INDEX_DEPTH_MAX + 1;
    assert_eq!(Entry::decode(&expected), Err(EntryError::Range("depth")));
    expected[3] = 0;
    assert_eq!(Entry::decode(&expected), Err(EntryError::Flags(0)));
}

#[test]
fn each_wrong_field_is_named() {
    let good = Entry::Record(record()).encode();
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        Entry::decode(&bytes).expect_err("one byte is wrong")
    };
    assert_eq!(with(0, 2), EntryError::Version(2));
    assert_eq!(with(1, 5), EntryError::Type(5));
    assert_eq!(with(1, 0), EntryError::Type(0));
    assert_eq!(with(3, 32), EntryError::Flags(32));
    assert_eq!(with(2, 5), EntryError::Flags(0x0501), "there are four reasons, and none");
    assert_eq!(with(2, 0x10), EntryError::Flags(0x1001));
    assert_eq!(with(20, 7), EntryError::Flags(1), "a movement isn't unjustified");
    assert_eq!(with(21, 0xff), EntryError::Kind(0x06ff));
    assert_eq!(with(good.len() - 2, 0x10), EntryError::Range("position"));
    assert_eq!(Entry::decode(&[]), Err(EntryError::Length));
}

#[test]
fn the_header_of_a_record_stands_before_its_batch() {
    assert_eq!(record().header_index(), Some(LeafIndex(5)));
    let early = RecordEntry { index: LeafIndex(2), ..record() };
    assert_eq!(early.header_index(), None, "no header can stand before the log");
    let own = RecordEntry { flags: Flags::LEDGER, ..record() };
    assert_eq!(own.header_index(), None);
}
