//! The patient index: every patient's entries as a tree of their own, and all of these trees under one root
//! (`docs/formats.md` §9).
//!
//! Where to start reading: the hashes below, each for many inputs a call; [`Frontier`], a patient's tree as it grows;
//! [`BucketTree`], the tree over the buckets; [`BucketProof`], what a stranger checks.

mod bucket_tree;
mod frontier;
mod proof;

pub use bucket_tree::BucketTree;
pub use frontier::Frontier;
pub use proof::{BucketProof, IndexError};

use sillage_proof::hash::{Hash, hash_many, sha256};

const IKEY_MAGIC: &[u8] = b"sillage/ikey/v1\0";
const LEAF_PREFIX: u8 = 0x02;
const ROW_PREFIX: u8 = 0x03;
const BUCKET_PREFIX: u8 = 0x04;

/// Length of a patient leaf's preimage: prefix, leaf hash, record hash.
const LEAF_LEN: usize = 1 + 2 * Hash::LEN;
/// Length of a row's preimage: prefix, ikey, count, root.
const ROW_LEN: usize = 1 + Hash::LEN + 8 + Hash::LEN;

/// The key of a patient in the index: `H("sillage/ikey/v1\0" ‖ tag)`.
pub fn ikey(tag: &[u8; 32]) -> Hash {
    sha256(&[IKEY_MAGIC, tag])
}

/// Appends to `out` one leaf of a patient's tree for each pair of (leaf hash in the log tree, record hash), in order:
/// `H(0x02 ‖ leaf hash ‖ record hash)`.
pub fn patient_leaves(pairs: &[(Hash, Hash)], out: &mut Vec<Hash>) {
    let mut bytes = Vec::with_capacity(pairs.len() * LEAF_LEN);
    for (leaf_hash, record_hash) in pairs {
        bytes.push(LEAF_PREFIX);
        bytes.extend_from_slice(leaf_hash.as_bytes());
        bytes.extend_from_slice(record_hash.as_bytes());
    }
    let (messages, _) = bytes.as_chunks::<LEAF_LEN>();
    hash_all(messages, out);
}

/// Appends to `out` one row for each patient's (ikey, number of entries, root of its tree), in order:
/// `H(0x03 ‖ ikey ‖ u64 n ‖ MTH)`.
pub fn rows(items: &[(Hash, u64, Hash)], out: &mut Vec<Hash>) {
    let mut bytes = Vec::with_capacity(items.len() * ROW_LEN);
    for (ikey, n, mth) in items {
        bytes.push(ROW_PREFIX);
        bytes.extend_from_slice(ikey.as_bytes());
        bytes.extend_from_slice(&n.to_be_bytes());
        bytes.extend_from_slice(mth.as_bytes());
    }
    let (messages, _) = bytes.as_chunks::<ROW_LEN>();
    hash_all(messages, out);
}

/// One row, as [`rows`].
pub fn row(ikey: &Hash, n: u64, mth: &Hash) -> Hash {
    let mut out = Vec::with_capacity(1);
    rows(&[(*ikey, n, *mth)], &mut out);
    out[0]
}

/// The hash of one bucket over its (ikey, row) pairs: `H(0x04 ‖ u32 rows ‖ (ikey ‖ row)*)`.
///
/// # Panics
/// When the pairs aren't strictly ascending by ikey.
pub fn bucket_hash(rows: &[(Hash, Hash)]) -> Hash {
    let mut out = Vec::with_capacity(1);
    buckets(&[rows], &mut out);
    out[0]
}

/// Appends to `out` the hash of each bucket, in order; as [`bucket_hash`].
///
/// # Panics
/// When the pairs of a bucket aren't strictly ascending by ikey.
pub fn buckets(buckets: &[&[(Hash, Hash)]], out: &mut Vec<Hash>) {
    let mut bytes = Vec::new();
    let mut ends = Vec::with_capacity(buckets.len());
    for rows in buckets {
        assert!(rows.is_sorted_by(|left, right| left.0 < right.0), "rows of a bucket ascend by ikey");
        let count = u32::try_from(rows.len()).expect("a bucket of fewer than 2^32 patients");
        bytes.push(BUCKET_PREFIX);
        bytes.extend_from_slice(&count.to_be_bytes());
        for (ikey, row) in *rows {
            bytes.extend_from_slice(ikey.as_bytes());
            bytes.extend_from_slice(row.as_bytes());
        }
        ends.push(bytes.len());
    }
    let mut start = 0;
    let messages: Vec<&[u8]> = ends
        .into_iter()
        .map(|end| {
            let message = &bytes[start..end];
            start = end;
            message
        })
        .collect();
    hash_many(&messages, out);
}

/// The number of the bucket of a patient: the first `depth` bits of the ikey. At most 64 of them exist.
pub fn bucket_of(ikey: &Hash, depth: u8) -> u64 {
    let (head, _) = ikey.as_bytes().split_first_chunk().expect("32 bytes");
    let head = u64::from_be_bytes(*head);
    head.checked_shr(64_u32.saturating_sub(depth.into())).unwrap_or(0)
}

fn hash_all<const N: usize>(messages: &[[u8; N]], out: &mut Vec<Hash>) {
    let messages: Vec<&[u8]> = messages.iter().map(|message| &message[..]).collect();
    hash_many(&messages, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn h(byte: u8) -> Hash {
        Hash::from_bytes([byte; 32])
    }

    #[test]
    fn the_hashes_are_the_documented_ones() {
        assert_eq!(ikey(&[7; 32]), sha256(&[b"sillage/ikey/v1\0", &[7; 32]]));
        let mut out = Vec::new();
        patient_leaves(&[(h(1), h(2)), (h(3), h(4))], &mut out);
        let leaf = |a: u8, b: u8| sha256(&[&[2], &[a; 32], &[b; 32]]);
        assert_eq!(out, [leaf(1, 2), leaf(3, 4)]);
        assert_eq!(row(&h(1), 5, &h(2)), sha256(&[&[3], &[1; 32], &[0, 0, 0, 0, 0, 0, 0, 5], &[2; 32]]));
        assert_eq!(bucket_hash(&[]), sha256(&[&[4, 0, 0, 0, 0]]));
        let two = sha256(&[&[4, 0, 0, 0, 2], &[1; 32], &[8; 32], &[2; 32], &[9; 32]]);
        let mut out = Vec::new();
        buckets(&[&[(h(1), h(8)), (h(2), h(9))], &[]], &mut out);
        assert_eq!(out, [two, bucket_hash(&[])]);
    }

    #[test]
    fn a_bucket_is_the_first_bits_of_the_key() {
        let mut bytes = [0; 32];
        bytes[..3].copy_from_slice(&[0b1010_0000, 0xff, 1]);
        let key = Hash::from_bytes(bytes);
        assert_eq!(bucket_of(&key, 0), 0);
        assert_eq!(bucket_of(&key, 1), 1);
        assert_eq!(bucket_of(&key, 3), 0b101);
        assert_eq!(bucket_of(&key, 23), 0xa0_ff01 >> 1);
        assert_eq!(bucket_of(&key, 64), 0xa0ff_0100_0000_0000);
    }

    #[test]
    #[should_panic(expected = "ascend by ikey")]
    fn a_bucket_never_has_a_patient_twice() {
        bucket_hash(&[(h(1), h(8)), (h(1), h(9))]);
    }
}
