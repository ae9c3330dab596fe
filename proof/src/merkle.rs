//! The RFC 6962 Merkle tree: roots, inclusion and consistency proofs, made and verified.
//!
//! Verification follows RFC 9162 §2.1.3 and §2.1.4 and gives the verdicts of transparency-dev/merkle, proof lengths
//! included. Generation (RFC 6962 §2.1.1, §2.1.2) first lists every complete subtree that it needs and then asks a
//! [`NodeReader`] for all of them in one call.

use crate::hash::{Hash, LeafIndex, TreeSize, hash_nodes, node_hash, sha256};

/// A proof doesn't hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index isn't in the tree.
    #[error("index {index} is not in a tree of {size} entries")]
    IndexBeyondSize { index: u64, size: u64 },
    /// The older tree is larger than the newer one.
    #[error("the older tree ({old} entries) is larger than the newer one ({new})")]
    SizesReversed { old: u64, new: u64 },
    /// The older tree is empty: every tree extends it, so a proof of that proves nothing.
    #[error("the older tree is empty: a proof from it says nothing")]
    FromEmpty,
    /// The proof has too many or too few hashes.
    #[error("the proof has {got} hashes, expected {want}")]
    WrongLength { got: usize, want: usize },
    /// A hash isn't 32 bytes long.
    #[error("a hash is {len} bytes long, expected 32")]
    WrongHashLength { len: usize },
    /// The proof leads to another root: what it claims is not in this tree.
    #[error("the proof leads to another root")]
    RootMismatch,
}

/// A proof can't be made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError<E> {
    /// The index isn't in the tree.
    #[error("index {index} is not in a tree of {size} entries")]
    IndexBeyondSize { index: u64, size: u64 },
    /// The older tree is larger than the newer one.
    #[error("the older tree ({old} entries) is larger than the newer one ({new})")]
    SizesReversed { old: u64, new: u64 },
    /// A node couldn't be read.
    #[error(transparent)]
    Read(#[from] E),
}

/// A complete subtree: the hash over leaves `index · 2^level` to `(index + 1) · 2^level` exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// Height above the leaves: 0 is a leaf hash.
    pub level: u8,
    /// Position in the level, from 0.
    pub index: u64,
}

/// Gives the hashes of complete subtrees. See [`crate::tile`] for the reader over C2SP tiles.
pub trait NodeReader {
    /// Why a node couldn't be read.
    type Error;

    /// Appends to `out` one hash for each of `ids`, in order.
    ///
    /// # Errors
    /// When any node is missing or unreadable.
    fn read_nodes(&self, ids: &[NodeId], out: &mut Vec<Hash>) -> Result<(), Self::Error>;
}

/// A slice of leaf hashes is a (slow, simple) reader.
impl NodeReader for [Hash] {
    type Error = ProofError;

    fn read_nodes(&self, ids: &[NodeId], out: &mut Vec<Hash>) -> Result<(), ProofError> {
        for id in ids {
            let beyond = ProofError::IndexBeyondSize { index: id.index, size: self.len() as u64 };
            let width = 1_usize.checked_shl(id.level.into()).ok_or(beyond)?;
            let index = usize::try_from(id.index).map_err(|_| beyond)?;
            let start = index.checked_mul(width).ok_or(beyond)?;
            let end = start.checked_add(width).ok_or(beyond)?;
            out.push(root_of(self.get(start..end).ok_or(beyond)?));
        }
        Ok(())
    }
}

/// Root of the tree without leaves: `SHA-256("")`.
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// Root over leaf hashes: `MTH` of RFC 6962 §2.1 where `leaves` are the hashes of the entries.
pub fn root_of(leaves: &[Hash]) -> Hash {
    if leaves.is_empty() {
        return empty_root();
    }
    let mut row = leaves.to_vec();
    let mut next = Vec::with_capacity(row.len().div_ceil(2));
    while row.len() > 1 {
        let (pairs, odd) = row.as_chunks::<2>();
        hash_nodes(pairs, &mut next);
        // A last node without sibling moves up as it is: that is RFC 6962's split at the largest power of two.
        next.extend_from_slice(odd);
        std::mem::swap(&mut row, &mut next);
        next.clear();
    }
    row[0]
}

/// Verifies that the entry hashed to `leaf` stands at `index` of the tree of `size` entries with `root`
/// (RFC 9162 §2.1.3.2).
///
/// # Errors
/// [`ProofError`] says what doesn't fit.
pub fn verify_inclusion(
    leaf: &Hash,
    index: LeafIndex,
    size: TreeSize,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    match root_from_inclusion(leaf, index, size, proof)? == *root {
        true => Ok(()),
        false => Err(ProofError::RootMismatch),
    }
}

/// The root that an inclusion proof leads to.
///
/// # Errors
/// When `index` isn't in the tree or the proof's length isn't the one of that position.
pub fn root_from_inclusion(leaf: &Hash, index: LeafIndex, size: TreeSize, proof: &[Hash]) -> Result<Hash, ProofError> {
    let (index, size) = (index.0, size.0);
    if index >= size {
        return Err(ProofError::IndexBeyondSize { index, size });
    }
    let (inner, border) = split_path(index, size);
    let want = inner + border;
    if proof.len() != want {
        let got = proof.len();
        return Err(ProofError::WrongLength { got, want });
    }
    let (inner_proof, border_proof) = proof.split_at(inner);
    let node = chain_inner(*leaf, inner_proof, index);
    Ok(chain_left(node, border_proof))
}

/// Verifies that the tree of `new` entries with `new_root` extends the one of `old` entries with `old_root`
/// (RFC 9162 §2.1.4.2, where 0 < `old`). From the empty tree nothing can be verified, whatever is said of its root: who knows
/// no older tree has none to be consistent with.
///
/// # Errors
/// [`ProofError`] says what doesn't fit.
pub fn verify_consistency(
    old: TreeSize,
    new: TreeSize,
    proof: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), ProofError> {
    if let Some(verdict) = trivial_consistency(old, new, proof.len(), old_root == new_root) {
        return verdict;
    }
    let (old, new) = (old.0, new.0);
    let (path, border) = split_path(old - 1, new);
    let shift = old.trailing_zeros();
    // Since 0 < old < new, the paths of leaves old-1 and new-1 part at or above level `shift`.
    let inner = path - shift as usize;
    let starts_with_old_root = old.is_power_of_two();
    let want = usize::from(!starts_with_old_root) + inner + border;
    if proof.len() != want {
        let got = proof.len();
        return Err(ProofError::WrongLength { got, want });
    }
    let (seed, rest) = match (starts_with_old_root, proof.split_first()) {
        (true, _) => (*old_root, proof),
        (false, Some((first, rest))) => (*first, rest),
        (false, None) => return Err(ProofError::WrongLength { got: 0, want }),
    };
    let (inner_proof, border_proof) = rest.split_at(inner);
    let mask = (old - 1) >> shift;
    let first = chain_left(chain_inner_right(seed, inner_proof, mask), border_proof);
    let second = chain_left(chain_inner(seed, inner_proof, mask), border_proof);
    match first == *old_root && second == *new_root {
        true => Ok(()),
        false => Err(ProofError::RootMismatch),
    }
}

/// The cases that need no hashing, `None` when the proof has to be followed.
fn trivial_consistency(old: TreeSize, new: TreeSize, got: usize, same_root: bool) -> Option<Result<(), ProofError>> {
    if new < old {
        let (old, new) = (old.0, new.0);
        return Some(Err(ProofError::SizesReversed { old, new }));
    }
    if old.0 == 0 {
        return Some(Err(ProofError::FromEmpty));
    }
    if old != new {
        return None;
    }
    if got > 0 {
        return Some(Err(ProofError::WrongLength { got, want: 0 }));
    }
    Some(if same_root { Ok(()) } else { Err(ProofError::RootMismatch) })
}

/// [`verify_inclusion`] over hashes as they come from outside, of any length.
///
/// # Errors
/// As [`verify_inclusion`]; and when a hash isn't 32 bytes.
pub fn verify_inclusion_bytes<H: AsRef<[u8]>>(
    leaf: &[u8],
    index: u64,
    size: u64,
    proof: &[H],
    root: &[u8],
) -> Result<(), ProofError> {
    let (leaf, root) = (hash_from(leaf)?, hash_from(root)?);
    let proof = hashes_from(proof)?;
    verify_inclusion(&leaf, index.into(), size.into(), &proof, &root)
}

/// [`verify_consistency`] over hashes as they come from outside, of any length. Where no hashing is needed (equal
/// sizes), roots are only compared, whatever their length.
///
/// # Errors
/// As [`verify_consistency`]; and when a hash that takes part in hashing isn't 32 bytes.
pub fn verify_consistency_bytes<H: AsRef<[u8]>>(
    old: u64,
    new: u64,
    proof: &[H],
    old_root: &[u8],
    new_root: &[u8],
) -> Result<(), ProofError> {
    let (old, new) = (TreeSize(old), TreeSize(new));
    if let Some(verdict) = trivial_consistency(old, new, proof.len(), old_root == new_root) {
        return verdict;
    }
    let (old_root, new_root) = (hash_from(old_root)?, hash_from(new_root)?);
    verify_consistency(old, new, &hashes_from(proof)?, &old_root, &new_root)
}

fn hash_from(bytes: &[u8]) -> Result<Hash, ProofError> {
    Hash::from_slice(bytes).map_err(|_| ProofError::WrongHashLength { len: bytes.len() })
}

fn hashes_from<H: AsRef<[u8]>>(proof: &[H]) -> Result<Vec<Hash>, ProofError> {
    proof.iter().map(|hash| hash_from(hash.as_ref())).collect()
}

/// Number of hashes of an inclusion proof: below and above the level where the paths of `index` and of the last leaf
/// part. Requires `index < size`.
fn split_path(index: u64, size: u64) -> (usize, usize) {
    let inner = u64::BITS - (index ^ (size - 1)).leading_zeros();
    let border = index.checked_shr(inner).unwrap_or(0).count_ones();
    (inner as usize, border as usize)
}

/// Climbs with siblings on both sides.
fn chain_inner(seed: Hash, proof: &[Hash], index: u64) -> Hash {
    (0..).zip(proof).fold(seed, |node, (level, sibling)| match (index >> level) & 1 {
        0 => node_hash(&node, sibling),
        _ => node_hash(sibling, &node),
    })
}

/// Climbs with the left siblings only: the same subtree as it was when `index` was its last leaf.
fn chain_inner_right(seed: Hash, proof: &[Hash], index: u64) -> Hash {
    (0..).zip(proof).fold(seed, |node, (level, sibling)| match (index >> level) & 1 {
        0 => node,
        _ => node_hash(sibling, &node),
    })
}

/// Climbs the right border of the tree, where every sibling is on the left.
fn chain_left(seed: Hash, proof: &[Hash]) -> Hash {
    proof.iter().fold(seed, |node, sibling| node_hash(sibling, &node))
}

/// Root of the first `size` entries.
///
/// # Errors
/// When the reader can't give a node.
pub fn root<R: NodeReader + ?Sized>(reader: &R, size: TreeSize) -> Result<Hash, R::Error> {
    match size.0 {
        0 => Ok(empty_root()),
        size => Ok(read_ranges(reader, &[(0, size)])?[0]),
    }
}

/// Inclusion proof of entry `index` in the tree of the first `size` entries: `PATH` of RFC 6962 §2.1.1.
///
/// # Errors
/// When `index` isn't below `size`, or the reader can't give a node.
pub fn inclusion_proof<R: NodeReader + ?Sized>(
    reader: &R,
    index: LeafIndex,
    size: TreeSize,
) -> Result<Vec<Hash>, GenerateError<R::Error>> {
    let (index, size) = (index.0, size.0);
    if index >= size {
        return Err(GenerateError::IndexBeyondSize { index, size });
    }
    let mut ranges = Vec::with_capacity(64);
    let (mut begin, mut end) = (0, size);
    while end - begin > 1 {
        let middle = begin + split_point(end - begin);
        if index < middle {
            ranges.push((middle, end));
            end = middle;
        } else {
            ranges.push((begin, middle));
            begin = middle;
        }
    }
    ranges.reverse();
    Ok(read_ranges(reader, &ranges)?)
}

/// Consistency proof between the trees of the first `old` and the first `new` entries: `PROOF` of RFC 6962 §2.1.2.
/// Empty when `old` is 0 or equals `new`.
///
/// # Errors
/// When `old` is larger than `new`, or the reader can't give a node.
pub fn consistency_proof<R: NodeReader + ?Sized>(
    reader: &R,
    old: TreeSize,
    new: TreeSize,
) -> Result<Vec<Hash>, GenerateError<R::Error>> {
    let (old, new) = (old.0, new.0);
    if old > new {
        return Err(GenerateError::SizesReversed { old, new });
    }
    if old == 0 {
        return Ok(Vec::new());
    }
    let mut ranges = Vec::with_capacity(64);
    let (mut begin, mut end) = (0, new);
    while old < end {
        let middle = begin + split_point(end - begin);
        if old <= middle {
            ranges.push((middle, end));
            end = middle;
        } else {
            ranges.push((begin, middle));
            begin = middle;
        }
    }
    // When the old tree itself is a complete subtree, its root is known to the verifier and left out.
    if begin != 0 {
        ranges.push((begin, end));
    }
    ranges.reverse();
    Ok(read_ranges(reader, &ranges)?)
}

/// Largest power of two smaller than `n`, for `n` ≥ 2: where RFC 6962 splits a tree.
pub(crate) fn split_point(n: u64) -> u64 {
    1 << (u64::BITS - 1 - (n - 1).leading_zeros())
}

/// Hashes of subtrees `[begin, end)` of RFC 6962's recursion, all read in one call. None is empty.
fn read_ranges<R: NodeReader + ?Sized>(reader: &R, ranges: &[(u64, u64)]) -> Result<Vec<Hash>, R::Error> {
    let mut ids = Vec::with_capacity(2 * ranges.len());
    let mut counts = Vec::with_capacity(ranges.len());
    for &(begin, end) in ranges {
        let before = ids.len();
        complete_subtrees(begin, end, &mut ids);
        counts.push(ids.len() - before);
    }
    let mut hashes = Vec::with_capacity(ids.len());
    reader.read_nodes(&ids, &mut hashes)?;
    assert_eq!(hashes.len(), ids.len(), "a reader gives a hash for each id");
    let mut rest = &hashes[..];
    let mut out = Vec::with_capacity(ranges.len());
    for count in counts {
        let (range, tail) = rest.split_at(count);
        rest = tail;
        let (last, left) = range.split_last().expect("a range is never empty");
        out.push(left.iter().rfold(*last, |acc, node| node_hash(node, &acc)));
    }
    Ok(out)
}

/// The complete subtrees, from left to right, that make up `[begin, end)`; `begin` is a multiple of the largest one.
fn complete_subtrees(begin: u64, end: u64, out: &mut Vec<NodeId>) {
    let (mut position, count) = (begin, end - begin);
    for level in (0..64_u8).rev().filter(|level| (count >> level) & 1 == 1) {
        let index = position >> level;
        out.push(NodeId { level, index });
        position += 1 << level;
    }
}
