//! A patient's tree as it grows: the roots of its complete subtrees, no leaf.

use sillage_proof::hash::{Hash, hash_nodes, node_hash};
use sillage_proof::merkle::empty_root;

/// The right border of an RFC 6962 tree over leaf hashes: enough to append to it and to compute its root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    count: u64,
    /// One root for each bit of `count` that is set, the largest subtree first.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// Appends leaf hashes, each level of the tree in one batch.
    ///
    /// # Panics
    /// When the tree would have 2^64 leaves.
    pub fn push_all(&mut self, leaves: &[Hash]) {
        if let [leaf] = leaves {
            return self.push(*leaf);
        }
        let mut count = self.count;
        let mut fresh = leaves.to_vec();
        // From the smallest subtree to the largest; put the right way round at the end.
        let mut peaks = Vec::with_capacity(64);
        while count > 0 || !fresh.is_empty() {
            let mut level = Vec::with_capacity(fresh.len() + 1);
            if count & 1 == 1 {
                level.push(self.peaks.pop().expect("a peak for each bit of the count"));
            }
            level.append(&mut fresh);
            let (pairs, odd) = level.as_chunks::<2>();
            hash_nodes(pairs, &mut fresh);
            peaks.extend_from_slice(odd);
            count >>= 1;
        }
        peaks.reverse();
        self.peaks = peaks;
        self.count = self.count.checked_add(leaves.len() as u64).expect("fewer than 2^64 leaves");
        assert_eq!(self.peaks.len(), self.count.count_ones() as usize, "a peak for each bit of the count");
    }

    /// Most patients have one new entry at a time: without a list for each level.
    fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        for _ in 0..self.count.trailing_ones() {
            let left = self.peaks.pop().expect("a peak for each bit of the count");
            node = node_hash(&left, &node);
        }
        self.peaks.push(node);
        self.count = self.count.checked_add(1).expect("fewer than 2^64 leaves");
        assert_eq!(self.peaks.len(), self.count.count_ones() as usize, "a peak for each bit of the count");
    }

    /// The number of leaves.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        match self.peaks.split_last() {
            None => empty_root(),
            Some((last, left)) => left.iter().rfold(*last, |acc, peak| node_hash(peak, &acc)),
        }
    }

    /// `u64 count ‖ peak[32]*`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + self.peaks.len() * Hash::LEN);
        out.extend_from_slice(&self.count.to_be_bytes());
        for peak in &self.peaks {
            out.extend_from_slice(peak.as_bytes());
        }
        out
    }

    /// Reads what [`Frontier::encode`] wrote; `None` when the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (count, rest) = bytes.split_first_chunk()?;
        let count = u64::from_be_bytes(*count);
        let (peaks, odd) = rest.as_chunks::<{ Hash::LEN }>();
        if !odd.is_empty() || peaks.len() != count.count_ones() as usize {
            return None;
        }
        let peaks = peaks.iter().copied().map(Hash::from_bytes).collect();
        Some(Self { count, peaks })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sillage_proof::hash::leaf_hash;
    use sillage_proof::merkle::root_of;

    use super::*;

    proptest! {
        #[test]
        fn any_pieces_make_the_same_tree(pieces in proptest::collection::vec(0..40_usize, 0..8)) {
            let mut frontier = Frontier::default();
            let mut all = Vec::new();
            for piece in pieces {
                let fresh: Vec<Hash> = (0..piece).map(|i| leaf_hash(&(all.len() + i).to_be_bytes())).collect();
                frontier.push_all(&fresh);
                all.extend(fresh);
                prop_assert_eq!(frontier.count(), all.len() as u64);
                prop_assert_eq!(frontier.root(), root_of(&all));
                let stored = Frontier::decode(&frontier.encode());
                prop_assert_eq!(stored.as_ref(), Some(&frontier));
            }
        }

        #[test]
        fn other_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..140)) {
            if let Some(frontier) = Frontier::decode(&bytes) {
                prop_assert_eq!(frontier.encode(), bytes);
            }
        }
    }
}
