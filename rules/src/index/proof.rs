//! The proof that a patient's row is in the index, or that there is none: the whole bucket, and the path above it.

use sillage_proof::hash::{Hash, node_hash};

use super::{bucket_hash, bucket_of};
use crate::limits::{BUCKET_ROWS_MAX, INDEX_DEPTH_MAX};

/// A bucket and its path. Presence and absence look alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketProof {
    /// The (ikey, row) pairs of the bucket, strictly ascending by ikey.
    pub rows: Vec<(Hash, Hash)>,
    /// The siblings, from the bucket to the root.
    pub path: Vec<Hash>,
}

/// The proof doesn't hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// A depth that no log has.
    #[error("an index of depth {0} doesn't exist")]
    Depth(u8),
    /// Too many rows.
    #[error("the bucket has more than {BUCKET_ROWS_MAX} rows")]
    TooManyRows,
    /// Rows out of order, or one twice.
    #[error("row {0} of the bucket is not above the one before")]
    Order(usize),
    /// A row of another bucket.
    #[error("row {0} does not belong to this bucket")]
    OtherBucket(usize),
    /// Too many or too few siblings.
    #[error("the path has {got} hashes, expected {want}")]
    PathLength {
        /// How many it has.
        got: usize,
        /// How many the depth asks for.
        want: usize,
    },
    /// The path leads elsewhere.
    #[error("the bucket's path leads to another root")]
    RootMismatch,
}

impl BucketProof {
    /// The row of `ikey` in the index with `root`, or `None` when the patient has no entry in it.
    ///
    /// # Errors
    /// [`IndexError`] says what doesn't fit.
    pub fn verify(&self, ikey: &Hash, depth: u8, root: &Hash) -> Result<Option<Hash>, IndexError> {
        if depth > INDEX_DEPTH_MAX {
            return Err(IndexError::Depth(depth));
        }
        if self.rows.len() > BUCKET_ROWS_MAX {
            return Err(IndexError::TooManyRows);
        }
        let bucket = bucket_of(ikey, depth);
        let mut last: Option<&Hash> = None;
        for (at, (key, _)) in self.rows.iter().enumerate() {
            if last.is_some_and(|last| last >= key) {
                return Err(IndexError::Order(at));
            }
            if bucket_of(key, depth) != bucket {
                return Err(IndexError::OtherBucket(at));
            }
            last = Some(key);
        }
        let (got, want) = (self.path.len(), usize::from(depth));
        if got != want {
            return Err(IndexError::PathLength { got, want });
        }
        let climb = |node: Hash, (level, sibling): (u8, &Hash)| match (bucket >> level) & 1 {
            0 => node_hash(&node, sibling),
            _ => node_hash(sibling, &node),
        };
        if (0_u8..).zip(&self.path).fold(bucket_hash(&self.rows), climb) != *root {
            return Err(IndexError::RootMismatch);
        }
        let found = self.rows.binary_search_by(|(key, _)| key.cmp(ikey));
        Ok(found.ok().and_then(|at| self.rows.get(at)).map(|(_, row)| *row))
    }
}

#[cfg(test)]
mod tests {
    use sillage_proof::hash::leaf_hash;

    use super::*;
    use crate::index::{BucketTree, ikey, row};

    const DEPTH: u8 = 4;

    fn sample() -> (BucketTree, Vec<Vec<(Hash, Hash)>>) {
        let mut buckets = vec![Vec::new(); 1 << DEPTH];
        for patient in 0..60_u8 {
            let key = ikey(&[patient; 32]);
            let mth = leaf_hash(&[patient]);
            buckets[bucket_of(&key, DEPTH) as usize].push((key, row(&key, 1, &mth)));
        }
        buckets.iter_mut().for_each(|rows| rows.sort());
        let hashes: Vec<(u64, Hash)> = (0..).zip(buckets.iter().map(|rows| bucket_hash(rows))).collect();
        let mut tree = BucketTree::new(DEPTH);
        tree.update(&hashes);
        (tree, buckets)
    }

    fn proof(tree: &BucketTree, buckets: &[Vec<(Hash, Hash)>], key: &Hash) -> BucketProof {
        let bucket = bucket_of(key, DEPTH);
        BucketProof { rows: buckets[bucket as usize].clone(), path: tree.path(bucket) }
    }

    #[test]
    fn presence_and_absence_are_shown_by_the_same_proof() {
        let (tree, buckets) = sample();
        for patient in 0..60_u8 {
            let key = ikey(&[patient; 32]);
            let shown = proof(&tree, &buckets, &key).verify(&key, DEPTH, &tree.root());
            assert_eq!(shown, Ok(Some(row(&key, 1, &leaf_hash(&[patient])))));
        }
        let stranger = ikey(&[200; 32]);
        assert_eq!(proof(&tree, &buckets, &stranger).verify(&stranger, DEPTH, &tree.root()), Ok(None));
    }

    #[test]
    fn a_bucket_that_was_changed_is_refused() {
        let (tree, buckets) = sample();
        let key = ikey(&[0; 32]);
        let good = proof(&tree, &buckets, &key);
        assert!(good.rows.len() > 1, "a bucket with neighbours");
        let check = |change: &dyn Fn(&mut BucketProof)| {
            let mut bad = good.clone();
            change(&mut bad);
            bad.verify(&key, DEPTH, &tree.root())
        };
        assert_eq!(check(&|bad| bad.rows.truncate(bad.rows.len() - 1)), Err(IndexError::RootMismatch));
        assert_eq!(check(&|bad| bad.rows.swap(0, 1)), Err(IndexError::Order(1)));
        assert_eq!(check(&|bad| bad.rows.insert(1, bad.rows[0])), Err(IndexError::Order(1)));
        assert_eq!(check(&|bad| bad.path.truncate(3)), Err(IndexError::PathLength { got: 3, want: 4 }));
        assert_eq!(check(&|bad| bad.path[2] = Hash::default()), Err(IndexError::RootMismatch));
        let elsewhere = (0..=255_u8).map(|x| ikey(&[x; 32])).filter(|k| bucket_of(k, DEPTH) > bucket_of(&key, DEPTH));
        let other = elsewhere.max().expect("a key of a later bucket");
        let last = good.rows.len();
        assert_eq!(check(&|bad| bad.rows.push((other, other))), Err(IndexError::OtherBucket(last)));
        assert_eq!(good.verify(&other, DEPTH, &tree.root()), Err(IndexError::OtherBucket(0)));
        assert_eq!(good.verify(&key, 41, &tree.root()), Err(IndexError::Depth(41)));
        assert_eq!(good.verify(&key, DEPTH, &Hash::default()), Err(IndexError::RootMismatch));
    }
}
