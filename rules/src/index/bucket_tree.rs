//! The complete binary tree over the buckets, in memory.

use sillage_proof::hash::{Hash, hash_nodes};

use super::bucket_hash;
use crate::limits::INDEX_DEPTH_MAX;

/// The tree over 2^depth buckets. Every level is dense: 64 bytes for each bucket in all (512 MiB at depth 23).
#[derive(Debug, Clone)]
pub struct BucketTree {
    /// The buckets first, the root last.
    levels: Vec<Vec<Hash>>,
}

impl BucketTree {
    /// The tree whose buckets are all empty.
    ///
    /// # Panics
    /// When the depth is over [`INDEX_DEPTH_MAX`].
    pub fn new(depth: u8) -> Self {
        assert!(depth <= INDEX_DEPTH_MAX, "a depth that a genesis may name");
        let mut empty = bucket_hash(&[]);
        let mut levels = Vec::with_capacity(usize::from(depth) + 1);
        for level in (0..=depth).rev() {
            levels.push(vec![empty; 1 << level]);
            let mut above = Vec::with_capacity(1);
            hash_nodes(&[[empty, empty]], &mut above);
            empty = above[0];
        }
        Self { levels }
    }

    /// How many levels stand above the buckets.
    pub fn depth(&self) -> u8 {
        u8::try_from(self.levels.len() - 1).expect("at most INDEX_DEPTH_MAX")
    }

    /// Puts new hashes of buckets in place, and computes what stands above them, a level in one batch.
    ///
    /// # Panics
    /// When the numbers of the buckets aren't strictly ascending, or one doesn't exist.
    pub fn update(&mut self, changed: &[(u64, Hash)]) {
        assert!(changed.is_sorted_by(|left, right| left.0 < right.0), "changed buckets ascend");
        let mut places: Vec<usize> = Vec::with_capacity(changed.len());
        let mut hashes: Vec<Hash> = Vec::with_capacity(changed.len());
        for (bucket, hash) in changed {
            places.push(usize::try_from(*bucket).expect("a bucket of this tree"));
            hashes.push(*hash);
        }
        let mut pairs = Vec::with_capacity(changed.len());
        for level in &mut self.levels {
            for (place, hash) in places.iter().zip(&hashes) {
                *level.get_mut(*place).expect("a bucket of this tree") = *hash;
            }
            places.iter_mut().for_each(|place| *place /= 2);
            places.dedup();
            pairs.clear();
            if level.len() > 1 {
                pairs.extend(places.iter().map(|place| [level[2 * place], level[2 * place + 1]]));
            }
            hashes.clear();
            hash_nodes(&pairs, &mut hashes);
        }
    }

    /// The root: what an index commit holds.
    pub fn root(&self) -> Hash {
        self.levels.last().expect("at least the root")[0]
    }

    /// The siblings of a bucket, from it to the root.
    ///
    /// # Panics
    /// When the bucket doesn't exist.
    pub fn path(&self, bucket: u64) -> Vec<Hash> {
        let mut place = usize::try_from(bucket).expect("a bucket of this tree");
        let below = &self.levels[..self.levels.len() - 1];
        let siblings = below.iter().map(|level| {
            let sibling = *level.get(place ^ 1).expect("a bucket of this tree");
            place /= 2;
            sibling
        });
        siblings.collect()
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
        fn updates_in_any_pieces_give_the_root_over_all_buckets(
            depth in 0..7_u8,
            rounds in proptest::collection::vec(proptest::collection::btree_map(0..64_u64, any::<u16>(), 0..20), 0..4),
        ) {
            let mut tree = BucketTree::new(depth);
            let mut flat = vec![bucket_hash(&[]); 1 << depth];
            for round in rounds {
                let fits = round.into_iter().filter(|(bucket, _)| *bucket < 1 << depth);
                let changed: Vec<(u64, Hash)> = fits.map(|(at, x)| (at, leaf_hash(&x.to_be_bytes()))).collect();
                tree.update(&changed);
                for (at, hash) in &changed {
                    flat[*at as usize] = *hash;
                }
                prop_assert_eq!(tree.root(), root_of(&flat));
            }
            prop_assert_eq!(tree.root(), root_of(&flat));
            prop_assert_eq!(tree.depth(), depth);
            prop_assert_eq!(tree.path(0).len(), usize::from(depth));
        }
    }
}
