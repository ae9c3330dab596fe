//! The leaf of the batch tree: what an author's signature covers of one record.
//!
//! ```text
//! batch_leaf = H(0x06 ‖ u16 kind ‖ u16 stated ‖ tag[32] ‖ record_hash[32])
//! ```
//!
//! The record itself is salted and sealed. The part that a log shows in the open (its kind, whose trace it stands in,
//! what is flagged because the author says so) is part of the leaf, so that the node that copies it into an entry can't
//! change it.

use crate::hash::{Hash, hash_many};
use crate::merkle;

/// Prefix of a batch leaf's preimage; 0x00 to 0x05 are other things' (`docs/formats.md`).
const BATCH_LEAF_PREFIX: u8 = 0x06;
/// Length of a batch leaf's preimage, in bytes.
const BATCH_LEAF_LEN: usize = 69;

/// The statements of an author about one record, beside its salted hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLeaf {
    /// The code of the record's kind.
    pub kind: u16,
    /// The flags of the entry that the author states.
    pub stated: u16,
    /// The patient's tag; 32 zero bytes where no patient is concerned.
    pub tag: [u8; 32],
    /// The salted hash of the record.
    pub record_hash: Hash,
}

impl BatchLeaf {
    /// The bytes that are hashed.
    fn preimage(&self) -> [u8; BATCH_LEAF_LEN] {
        let mut block = [0; BATCH_LEAF_LEN];
        block[0] = BATCH_LEAF_PREFIX;
        block[1..3].copy_from_slice(&self.kind.to_be_bytes());
        block[3..5].copy_from_slice(&self.stated.to_be_bytes());
        block[5..37].copy_from_slice(&self.tag);
        block[37..].copy_from_slice(self.record_hash.as_bytes());
        block
    }

    /// The leaf hash, as it stands in the batch tree. Of many, [`hash_batch_leaves`] makes them in one call.
    pub fn hash(&self) -> Hash {
        let mut out = Vec::with_capacity(1);
        hash_batch_leaves(std::slice::from_ref(self), &mut out);
        out[0]
    }
}

/// Hashes many batch leaves: appends the hash of each of `leaves` to `out`, in order.
pub fn hash_batch_leaves(leaves: &[BatchLeaf], out: &mut Vec<Hash>) {
    let blocks: Vec<[u8; BATCH_LEAF_LEN]> = leaves.iter().map(BatchLeaf::preimage).collect();
    let inputs: Vec<&[u8]> = blocks.iter().map(<[u8; BATCH_LEAF_LEN]>::as_slice).collect();
    hash_many(&inputs, out);
}

/// The root that an author signs over these leaves; equal to [`super::BatchTree::root`] where a batch can have as many.
pub fn batch_root(leaves: &[BatchLeaf]) -> Hash {
    let mut hashes = Vec::with_capacity(leaves.len());
    hash_batch_leaves(leaves, &mut hashes);
    merkle::root_of(&hashes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{leaf_hash, sha256};

    fn leaf() -> BatchLeaf {
        BatchLeaf { kind: 0x0601, stated: 0x0014, tag: [7; 32], record_hash: leaf_hash(b"salt and record") }
    }

    #[test]
    fn a_leaf_is_hashed_as_documented() {
        let leaf = leaf();
        let expected = sha256(&[&[6, 6, 1, 0, 0x14], &[7; 32], leaf.record_hash.as_ref()]);
        assert_eq!(leaf.hash(), expected);
        let other = BatchLeaf { kind: 0x0602, ..leaf };
        let mut both = Vec::new();
        hash_batch_leaves(&[leaf, other], &mut both);
        assert_eq!(both, [leaf.hash(), other.hash()]);
        assert_eq!(batch_root(&[leaf, other]), merkle::root_of(&both));
    }

    #[test]
    fn whatever_is_stated_otherwise_is_another_leaf() {
        let leaf = leaf();
        let changed = [
            BatchLeaf { kind: 0x0602, ..leaf },
            BatchLeaf { stated: 0x0004, ..leaf },
            BatchLeaf { tag: [8; 32], ..leaf },
            BatchLeaf { record_hash: leaf_hash(b"other"), ..leaf },
        ];
        assert!(changed.iter().all(|other| other.hash() != leaf.hash()));
        assert_ne!(leaf.hash(), leaf.record_hash);
    }
}
