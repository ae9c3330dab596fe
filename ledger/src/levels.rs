//! The tree of a batch, or of requests under one signature, kept whole so that every path can be read from it.

use sillage_proof::hash::{Hash, hash_nodes};
use sillage_proof::merkle;

/// The tree of a batch, or of requests under one signature, level by level.
pub(crate) struct Levels(Vec<Vec<Hash>>);

impl Levels {
    pub(crate) fn over(leaves: Vec<Hash>) -> Self {
        let mut levels = vec![leaves];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            let (pairs, odd) = level.as_chunks::<2>();
            let mut above = Vec::with_capacity(level.len().div_ceil(2));
            hash_nodes(pairs, &mut above);
            // RFC 6962: what has no sibling is the same node one level up.
            above.extend_from_slice(odd);
            levels.push(above);
        }
        Self(levels)
    }

    /// The root; of no leaves, the empty tree's.
    pub(crate) fn root(&self) -> Hash {
        self.0.last().and_then(|level| level.first()).copied().unwrap_or_else(merkle::empty_root)
    }

    pub(crate) fn path(&self, position: u32) -> Vec<Hash> {
        let mut place = position as usize;
        let siblings = self.0.iter().filter_map(|level| {
            let sibling = level.get(place ^ 1).copied();
            place /= 2;
            sibling
        });
        siblings.collect()
    }
}

#[cfg(test)]
mod tests {
    use sillage_proof::hash::leaf_hash;

    use super::*;

    #[test]
    fn paths_lead_to_the_root_for_every_size() {
        for count in 1..40_u64 {
            let leaves: Vec<Hash> = (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect();
            let root = merkle::root_of(&leaves);
            let levels = Levels::over(leaves.clone());
            assert_eq!(levels.root(), root);
            for (position, leaf) in (0_u32..).zip(&leaves) {
                let path = levels.path(position);
                let verdict = merkle::verify_inclusion(leaf, u64::from(position).into(), count.into(), &path, &root);
                assert_eq!(verdict, Ok(()), "{position} of {count}");
            }
        }
    }
}
