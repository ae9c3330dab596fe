//! `ct-merkle`, an independent implementation of RFC 6962, agrees on every tree of up to 1,000 entries.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof};
use proptest::prelude::*;
use sha2::Sha256;
use sillage_proof::hash::{Hash, leaf_hash};
use sillage_proof::merkle;

const SIZES: u64 = 1_000;

fn entry(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|index| leaf_hash(&entry(index))).collect()
}

fn digests(bytes: &[u8]) -> Vec<Hash> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    assert!(rest.is_empty());
    hashes.iter().map(|hash| Hash::from(*hash)).collect()
}

fn concat(proof: &[Hash]) -> Vec<u8> {
    proof.iter().flat_map(|hash| hash.to_bytes()).collect()
}

#[test]
fn roots_inclusion_and_consistency_agree_for_every_size() {
    let all = leaves(SIZES);
    let mut oracle = MemoryBackedTree::<Sha256, [u8; 8]>::new();
    let mut old_roots = vec![oracle.root()];
    for size in 1..=SIZES {
        oracle.push(entry(size - 1));
        let (root, known) = (merkle::root_of(&all[..size as usize]), oracle.root());
        old_roots.push(known.clone());
        assert_eq!(root.as_bytes()[..], known.as_bytes()[..], "size {size}");
        // The ends, the last power of two and a wandering index.
        let sampled = [0, size - 1, size / 2, (1 << size.ilog2()) - 1, size * 7919 % size.max(3)];
        for index in sampled.map(|index| index.min(size - 1)) {
            let ours = merkle::inclusion_proof(&all[..size as usize], index.into(), size.into());
            let ours = ours.expect("index below size");
            let theirs = oracle.prove_inclusion(index as usize);
            assert_eq!(ours, digests(theirs.as_bytes()), "{index} in {size}");
            let leaf = &all[index as usize];
            let verdict = merkle::verify_inclusion(leaf, index.into(), size.into(), &ours, &root);
            assert_eq!(verdict, Ok(()), "{index} in {size}");
            let passed = InclusionProof::try_from_bytes(concat(&ours)).expect("whole hashes");
            assert!(known.verify_inclusion(&entry(index), index, &passed).is_ok());

            let old = index + 1;
            let ours = merkle::consistency_proof(&all[..size as usize], old.into(), size.into());
            let ours = ours.expect("old size below new size");
            let theirs = oracle.prove_consistency((size - old) as usize);
            assert_eq!(ours, digests(theirs.as_bytes()), "{old} to {size}");
            let old_root = merkle::root_of(&all[..old as usize]);
            let verdict = merkle::verify_consistency(old.into(), size.into(), &ours, &old_root, &root);
            assert_eq!(verdict, Ok(()), "{old} to {size}");
            let passed = ConsistencyProof::try_from_bytes(concat(&ours)).expect("whole hashes");
            let old_known = &old_roots[old as usize];
            assert!(known.verify_consistency(old_known, &passed).is_ok());
        }
    }
}

/// Changes one bit of one hash among `hashes`.
fn flip(hashes: &mut [Hash], bit: usize) {
    let hash = &mut hashes[bit / 256];
    let mut bytes = hash.to_bytes();
    bytes[bit % 256 / 8] ^= 1 << (bit % 8);
    *hash = bytes.into();
}

proptest! {
    #[test]
    fn a_changed_inclusion_proof_is_refused(
        size in 1_u64..600,
        index in any::<prop::sample::Index>(),
        bit in any::<prop::sample::Index>(),
    ) {
        let all = leaves(size);
        let index = index.index(size as usize);
        let mut proof = merkle::inclusion_proof(&all[..], (index as u64).into(), size.into())
            .expect("index below size");
        proof.extend([all[index], merkle::root_of(&all)]);
        let verify = |hashes: &[Hash], index: u64, size: u64| {
            let (path, ends) = hashes.split_at(hashes.len() - 2);
            merkle::verify_inclusion(&ends[0], index.into(), size.into(), path, &ends[1])
        };
        let at = index as u64;
        prop_assert_eq!(verify(&proof, at, size), Ok(()));
        let mut longer = proof.clone();
        longer.insert(0, all[0]);
        prop_assert!(verify(&longer, at, size).is_err());
        prop_assert!(verify(&proof, at + 1, size).is_err() || size == 1);
        flip(&mut proof, bit.index(256 * longer.len() - 256));
        prop_assert!(verify(&proof, at, size).is_err());
    }

    #[test]
    fn a_changed_consistency_proof_is_refused(
        new in 2_u64..600,
        old in any::<prop::sample::Index>(),
        bit in any::<prop::sample::Index>(),
    ) {
        let all = leaves(new);
        let old = old.index(new as usize - 1) as u64 + 1;
        let mut proof = merkle::consistency_proof(&all[..], old.into(), new.into()).expect("old below new");
        let old_root = merkle::root_of(&all[..old as usize]);
        let new_root = merkle::root_of(&all);
        let verify = |proof: &[Hash], old: u64, new: u64| {
            merkle::verify_consistency(old.into(), new.into(), proof, &old_root, &new_root)
        };
        prop_assert_eq!(verify(&proof, old, new), Ok(()));
        let mut longer = proof.clone();
        longer.push(all[0]);
        prop_assert!(verify(&longer, old, new).is_err());
        prop_assert!(verify(&proof[1..], old, new).is_err());
        for (old_root, new_root) in [(all[0], new_root), (old_root, all[0]), (new_root, old_root)] {
            // The root of a single entry is its leaf hash, which is then the right one.
            let verdict = merkle::verify_consistency(old.into(), new.into(), &proof, &old_root, &new_root);
            prop_assert_eq!(verdict.is_ok(), old == 1 && old_root == all[0] && new_root == merkle::root_of(&all));
        }
        prop_assert!(verify(&proof, new, old).is_err());
        let bits = 256 * proof.len();
        flip(&mut proof, bit.index(bits));
        prop_assert!(verify(&proof, old, new).is_err());
    }

    #[test]
    fn arbitrary_proofs_are_answered(
        a in any::<u64>(), b in any::<u64>(), shift in 0_u32..64,
        proof in prop::collection::vec(any::<[u8; 32]>(), 0..70),
    ) {
        let proof: Vec<Hash> = proof.into_iter().map(Hash::from).collect();
        let (a, b, zero) = (a >> shift, b >> (63 - shift), Hash::default());
        let one = Hash::from([1; 32]);
        prop_assert!(merkle::verify_inclusion(&zero, a.into(), b.into(), &proof, &one).is_err());
        let verdict = merkle::verify_consistency(a.into(), b.into(), &proof, &zero, &zero);
        prop_assert_eq!(verdict.is_ok(), proof.is_empty() && a == b && a > 0);
    }
}
