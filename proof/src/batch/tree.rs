//! The author's batch tree, over `rs_merkle` with an RFC 6962 hasher.
//!
//! `rs_merkle` 1.5.0 has no domain separation by default and, when a multi-proof repeats an index, checks only one of
//! the hashes given for it: the other can be anything. This wrapper admits strictly increasing indices within the batch
//! and the one canonical proof length, and nothing else.

use rs_merkle::{Hasher, MerkleProof, MerkleTree};

use super::BATCH_RECORDS_MAX;
use super::leaf::{BatchLeaf, hash_batch_leaves};
use crate::hash::{Hash, hash_leaves, node_hash};
use crate::merkle::{self, GenerateError};

/// RFC 6962 hashing for `rs_merkle`.
#[derive(Clone)]
struct Rfc6962;

impl Hasher for Rfc6962 {
    type Hash = [u8; 32];

    fn hash(data: &[u8]) -> [u8; 32] {
        let mut out = Vec::with_capacity(1);
        hash_leaves(&[data], &mut out);
        out[0].to_bytes()
    }

    fn concat_and_hash(left: &[u8; 32], right: Option<&[u8; 32]>) -> [u8; 32] {
        match right {
            Some(right) => node_hash(&Hash::from(*left), &Hash::from(*right)).to_bytes(),
            None => *left,
        }
    }
}

/// A batch tree can't be built, or a batch proof doesn't hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchProofError {
    /// A batch has 1 to 4,096 records.
    #[error("a batch of {count} records: send 1 to {BATCH_RECORDS_MAX}")]
    Count { count: usize },
    /// A proof of nothing.
    #[error("no record is named: give at least one index")]
    NoIndex,
    /// Indices must be strictly increasing and in the batch; a repeated index is a known forgery.
    #[error("index {index} is repeated, out of order or not below {count}")]
    Index { index: u32, count: u32 },
    /// The proof has too many or too few bytes.
    #[error("the proof has {got} bytes, expected {want}")]
    WrongLength { got: usize, want: usize },
    /// The proof leads to another root.
    #[error("the proof leads to another root")]
    RootMismatch,
}

/// The tree over the leaves of one batch.
pub struct BatchTree {
    leaves: Vec<Hash>,
    tree: MerkleTree<Rfc6962>,
}

impl BatchTree {
    /// Builds the tree over the leaves of 1 to 4,096 records; their hashes stand in it as they are.
    ///
    /// # Errors
    /// [`BatchProofError::Count`] for no record or too many.
    pub fn new(records: &[BatchLeaf]) -> Result<Self, BatchProofError> {
        let count = records.len();
        if count == 0 || count > BATCH_RECORDS_MAX as usize {
            return Err(BatchProofError::Count { count });
        }
        let mut leaves = Vec::with_capacity(count);
        hash_batch_leaves(records, &mut leaves);
        let bytes: Vec<[u8; 32]> = leaves.iter().map(|hash| hash.to_bytes()).collect();
        Ok(Self { leaves, tree: MerkleTree::from_leaves(&bytes) })
    }

    /// Number of records.
    pub fn count(&self) -> u32 {
        u32::try_from(self.leaves.len()).expect("a batch has at most 4,096 records")
    }

    /// The leaf hashes, in order.
    pub fn leaves(&self) -> &[Hash] {
        &self.leaves
    }

    /// The root that the author signs; equal to [`super::batch_root`].
    pub fn root(&self) -> Hash {
        let root = self.tree.root();
        root.expect("a batch tree has at least one leaf").into()
    }

    /// Multi-proof of the records at `indices`: sibling hashes, level by level from the leaves, left to right.
    ///
    /// # Errors
    /// When `indices` is empty, not strictly increasing or not within the batch.
    pub fn prove(&self, indices: &[u32]) -> Result<Vec<u8>, BatchProofError> {
        let indices = checked_indices(indices.iter().copied(), self.count())?;
        Ok(self.tree.proof(&indices).to_bytes())
    }

    /// Audit path of one record, in the form of RFC 6962 §2.1.1; check it with [`merkle::verify_inclusion`].
    ///
    /// # Errors
    /// When `index` isn't within the batch.
    pub fn audit_path(&self, index: u32) -> Result<Vec<Hash>, BatchProofError> {
        let count = self.count();
        let (leaf, size) = (u64::from(index).into(), u64::from(count).into());
        merkle::inclusion_proof(&self.leaves[..], leaf, size).map_err(|error| match error {
            GenerateError::IndexBeyondSize { .. } | GenerateError::SizesReversed { .. } | GenerateError::Read(_) => {
                BatchProofError::Index { index, count }
            }
        })
    }
}

/// Verifies that each `(index, leaf)` of `records` stands in the batch of `count` records with `root`.
///
/// # Errors
/// [`BatchProofError`] says what doesn't fit; indices must be strictly increasing.
pub fn verify_batch_proof(
    root: &Hash,
    count: u32,
    records: &[(u32, BatchLeaf)],
    proof: &[u8],
) -> Result<(), BatchProofError> {
    if count == 0 || count > BATCH_RECORDS_MAX {
        let count = count as usize;
        return Err(BatchProofError::Count { count });
    }
    let indices = checked_indices(records.iter().map(|(index, _)| *index), count)?;
    let want = Hash::LEN * sibling_count(indices.clone(), count as usize);
    let wrong_length = BatchProofError::WrongLength { got: proof.len(), want };
    if proof.len() != want {
        return Err(wrong_length);
    }
    let proof = MerkleProof::<Rfc6962>::from_bytes(proof).map_err(|_| wrong_length)?;
    let leaves: Vec<BatchLeaf> = records.iter().map(|(_, leaf)| *leaf).collect();
    let mut hashes = Vec::with_capacity(leaves.len());
    hash_batch_leaves(&leaves, &mut hashes);
    let hashes: Vec<[u8; 32]> = hashes.iter().map(|hash| hash.to_bytes()).collect();
    let reached = proof.root(&indices, &hashes, count as usize);
    match reached.is_ok_and(|reached| reached == root.to_bytes()) {
        true => Ok(()),
        false => Err(BatchProofError::RootMismatch),
    }
}

fn checked_indices(indices: impl Iterator<Item = u32>, count: u32) -> Result<Vec<usize>, BatchProofError> {
    let mut out: Vec<usize> = Vec::new();
    for index in indices {
        let increasing = out.last().is_none_or(|last| *last < index as usize);
        if !increasing || index >= count {
            return Err(BatchProofError::Index { index, count });
        }
        out.push(index as usize);
    }
    match out.is_empty() {
        true => Err(BatchProofError::NoIndex),
        false => Ok(out),
    }
}

/// How many sibling hashes a multi-proof has: at each level, nodes whose sibling exists and isn't known already.
fn sibling_count(mut nodes: Vec<usize>, mut width: usize) -> usize {
    let mut siblings = 0;
    while width > 1 {
        let mut parents: Vec<usize> = Vec::with_capacity(nodes.len());
        let mut alone = 0;
        for node in &nodes {
            if parents.last() == Some(&(node / 2)) {
                alone -= 1;
            } else {
                parents.push(node / 2);
                alone += usize::from(node ^ 1 < width);
            }
        }
        siblings += alone;
        nodes = parents;
        width = width.div_ceil(2);
    }
    siblings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;
    use proptest::prelude::*;

    fn records(count: usize) -> Vec<BatchLeaf> {
        (0..count).map(|i| leaf(&(i as u64).to_be_bytes())).collect()
    }

    fn leaf(record: &[u8]) -> BatchLeaf {
        BatchLeaf { kind: 0x0601, stated: 0x0010, tag: [7; 32], record_hash: leaf_hash(record) }
    }

    /// Changes one bit of what a leaf states: kind, flags, tag and record hash, 68 bytes in all.
    fn flip_bit(leaf: &mut BatchLeaf, at: usize, bit: u8) {
        match at {
            0..2 => leaf.kind ^= u16::from(bit) << (8 * at),
            2..4 => leaf.stated ^= u16::from(bit) << (8 * (at - 2)),
            4..36 => leaf.tag[at - 4] ^= bit,
            _ => {
                let mut bytes = leaf.record_hash.to_bytes();
                bytes[at - 36] ^= bit;
                leaf.record_hash = bytes.into();
            }
        }
    }

    #[test]
    fn the_repeated_index_forgery_passes_rs_merkle_and_not_us() {
        let real = records(2);
        let tree = BatchTree::new(&real).expect("two records");
        let (root, forged) = (tree.root(), leaf(b"never in the batch"));
        // The forger names index 1 twice: its parent is computed from the first two hashes, the third is never used.
        let claims = [(0, real[0]), (1, real[1]), (1, forged)];
        let indices: Vec<usize> = claims.iter().map(|(index, _)| *index as usize).collect();
        let hashes: Vec<[u8; 32]> = claims.iter().map(|(_, leaf)| leaf.hash().to_bytes()).collect();
        let raw = MerkleProof::<Rfc6962>::new(Vec::new());
        assert!(raw.verify(root.to_bytes(), &indices, &hashes, 2));
        assert_eq!(verify_batch_proof(&root, 2, &claims, &[]), Err(BatchProofError::Index { index: 1, count: 2 }));
    }

    #[test]
    fn the_root_is_rfc_6962_for_every_count_to_300_and_the_largest() {
        for count in (1..=300).chain([4095, 4096]) {
            let records = records(count);
            let hashes: Vec<Hash> = records.iter().map(BatchLeaf::hash).collect();
            let tree = BatchTree::new(&records).expect("within bounds");
            assert_eq!(tree.root(), merkle::root_of(&hashes), "{count} records");
            assert_eq!(tree.root(), crate::batch::batch_root(&records), "{count} records");
        }
        let count = 4097;
        let error = BatchTree::new(&records(count)).err();
        assert_eq!(error, Some(BatchProofError::Count { count }));
        let error = BatchTree::new(&[]).err();
        assert_eq!(error, Some(BatchProofError::Count { count: 0 }));
    }

    #[test]
    fn every_single_audit_path_verifies() {
        for count in 1..40_u32 {
            let tree = BatchTree::new(&records(count as usize)).expect("within bounds");
            for index in 0..count {
                let path = tree.audit_path(index).expect("in the batch");
                let leaf = &tree.leaves()[index as usize];
                let (at, size) = (u64::from(index).into(), u64::from(count).into());
                let verdict = merkle::verify_inclusion(leaf, at, size, &path, &tree.root());
                assert_eq!(verdict, Ok(()), "{index} of {count}");
                let alone = tree.prove(&[index]).expect("in the batch");
                assert_eq!(alone, path.iter().flat_map(|h| h.to_bytes()).collect::<Vec<u8>>());
            }
            assert!(tree.audit_path(count).is_err());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn a_made_proof_verifies_and_any_change_is_refused(
            count in 1_usize..200,
            picks in proptest::collection::btree_set(0_usize..200, 1..20),
            flip in any::<proptest::sample::Index>(),
        ) {
            let records = records(count);
            let tree = BatchTree::new(&records).expect("within bounds");
            let picks: Vec<u32> = picks.iter().filter(|i| **i < count).map(|i| *i as u32).collect();
            prop_assume!(!picks.is_empty());
            let mut proof = tree.prove(&picks).expect("valid indices");
            let mut claims: Vec<(u32, BatchLeaf)> =
                picks.iter().map(|i| (*i, records[*i as usize])).collect();
            let (root, count) = (tree.root(), tree.count());
            prop_assert_eq!(verify_batch_proof(&root, count, &claims, &proof), Ok(()));
            proof.extend([0; 32]);
            prop_assert!(verify_batch_proof(&root, count, &claims, &proof).is_err());
            proof.truncate(proof.len() - 32);
            let bit = flip.index(8 * (proof.len() + 68 * claims.len()));
            match proof.get_mut(bit / 8) {
                Some(byte) => *byte ^= 1 << (bit % 8),
                None => {
                    let at = bit / 8 - proof.len();
                    flip_bit(&mut claims[at / 68].1, at % 68, 1 << (bit % 8));
                }
            }
            prop_assert!(verify_batch_proof(&root, count, &claims, &proof).is_err());
        }

        #[test]
        fn arbitrary_input_is_answered(
            count in any::<u32>(),
            claims in proptest::collection::vec((0_u32..64, any::<[u8; 32]>()), 0..8),
            proof in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let claims: Vec<(u32, BatchLeaf)> = claims.into_iter().map(|(i, h)| (i, leaf(&h))).collect();
            for count in [count, count % 70] {
                prop_assert!(verify_batch_proof(&Hash::default(), count, &claims, &proof).is_err());
            }
        }
    }
}
