//! The patient index, computed again from the entries.

use std::collections::{BTreeSet, HashMap};

use sillage_proof::hash::Hash;
use sillage_rules::index::{BucketTree, Frontier, bucket_of, buckets, rows};

/// Every patient's tree and the tree over them, as of the last index commit, and what came since.
#[derive(Debug, Clone)]
pub(super) struct Patients {
    depth: u8,
    /// By ikey.
    trees: HashMap<Hash, Frontier>,
    /// The rows of each bucket that isn't empty, sorted by ikey.
    buckets: HashMap<u64, Vec<(Hash, Hash)>>,
    tree: BucketTree,
    /// Leaves since the last index commit, by ikey.
    fresh: HashMap<Hash, Vec<Hash>>,
}

impl Patients {
    pub fn new(depth: u8) -> Self {
        Self {
            depth,
            trees: HashMap::new(),
            buckets: HashMap::new(),
            tree: BucketTree::new(depth),
            fresh: HashMap::new(),
        }
    }

    /// Notes one entry of a patient.
    pub fn push(&mut self, ikey: Hash, leaf: Hash) {
        self.fresh.entry(ikey).or_default().push(leaf);
    }

    /// Takes in what came since the last index commit; gives the number of patients and the root.
    pub fn commit(&mut self) -> (u64, Hash) {
        let fresh = std::mem::take(&mut self.fresh);
        let mut changed: Vec<(Hash, u64, Hash)> = Vec::with_capacity(fresh.len());
        for (ikey, leaves) in fresh {
            let tree = self.trees.entry(ikey).or_default();
            tree.push_all(&leaves);
            changed.push((ikey, tree.count(), tree.root()));
        }
        self.put_rows(&changed);
        (self.trees.len() as u64, self.tree.root())
    }

    fn put_rows(&mut self, changed: &[(Hash, u64, Hash)]) {
        let mut hashes = Vec::with_capacity(changed.len());
        rows(changed, &mut hashes);
        let mut touched = BTreeSet::new();
        for ((ikey, ..), row) in changed.iter().zip(hashes) {
            let at = bucket_of(ikey, self.depth);
            let bucket = self.buckets.entry(at).or_default();
            match bucket.binary_search_by_key(ikey, |(key, _)| *key) {
                Ok(place) => bucket[place].1 = row,
                Err(place) => bucket.insert(place, (*ikey, row)),
            }
            touched.insert(at);
        }
        let contents: Vec<&[(Hash, Hash)]> = touched.iter().map(|at| self.buckets[at].as_slice()).collect();
        let mut hashes = Vec::with_capacity(contents.len());
        buckets(&contents, &mut hashes);
        let changed: Vec<(u64, Hash)> = touched.into_iter().zip(hashes).collect();
        self.tree.update(&changed);
    }

    /// The root as of the last index commit.
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// Every patient's tree as of the last index commit, in no order.
    pub fn trees(&self) -> impl ExactSizeIterator<Item = (&Hash, &Frontier)> {
        self.trees.iter()
    }

    /// The index over these trees; `None` when a patient comes twice or has no entry.
    pub fn from_trees(depth: u8, trees: Vec<(Hash, Frontier)>) -> Option<Self> {
        let mut patients = Self::new(depth);
        let changed: Vec<(Hash, u64, Hash)> =
            trees.iter().map(|(ikey, tree)| (*ikey, tree.count(), tree.root())).collect();
        let count = trees.len();
        patients.trees = trees.into_iter().filter(|(_, tree)| tree.count() > 0).collect();
        if patients.trees.len() != count {
            return None;
        }
        patients.put_rows(&changed);
        Some(patients)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sillage_proof::hash::leaf_hash;
    use sillage_proof::merkle::root_of;
    use sillage_rules::index::{bucket_hash, row};
    use std::collections::BTreeMap;

    /// The root, straight from the formula of `docs/formats.md` §9.
    fn naive(depth: u8, entries: &BTreeMap<Hash, Vec<Hash>>) -> Hash {
        let bucket = |at: u64| {
            let mine = entries.iter().filter(|(ikey, _)| bucket_of(ikey, depth) == at);
            let rows: Vec<(Hash, Hash)> =
                mine.map(|(ikey, leaves)| (*ikey, row(ikey, leaves.len() as u64, &root_of(leaves)))).collect();
            bucket_hash(&rows)
        };
        root_of(&(0..1 << depth).map(bucket).collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn commits_in_any_pieces_give_the_root_of_the_formula(
            rounds in proptest::collection::vec(proptest::collection::vec(0..12_u8, 0..20), 1..5),
        ) {
            let (mut patients, mut all) = (Patients::new(3), BTreeMap::<Hash, Vec<Hash>>::new());
            let mut serial = 0_u32;
            for round in rounds {
                for who in round {
                    serial += 1;
                    let (ikey, leaf) = (leaf_hash(&[who]), leaf_hash(&serial.to_be_bytes()));
                    patients.push(ikey, leaf);
                    all.entry(ikey).or_default().push(leaf);
                }
                prop_assert_eq!(patients.commit(), (all.len() as u64, naive(3, &all)));
                let trees = patients.trees().map(|(ikey, tree)| (*ikey, tree.clone())).collect();
                let again = Patients::from_trees(3, trees).expect("the same");
                prop_assert_eq!(again.root(), patients.root());
            }
        }
    }
}
