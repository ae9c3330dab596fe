//! The patients' index as the formats describe it, made anew from all entries each time; and what readers say of it.
//! [`consent`]: what decides, in the same manner.
#![allow(dead_code)] // each test file uses its own part

pub mod consent;

use std::collections::BTreeMap;

use sillage_ledger::EntryReader;
use sillage_proof::hash::{Hash, LeafIndex, leaf_hash, sha256};
use sillage_proof::{merkle, range};
use sillage_rules::entry::{Entry, IndexCommit};
use sillage_rules::index::{BucketProof, bucket_of};

/// Depth of the index of the log to test with.
pub const DEPTH: u8 = 12;

/// Knowledge of the patients: where their entries stand, and the leaves of its tree.
pub type Patients = BTreeMap<[u8; 32], Vec<(LeafIndex, Hash)>>;

fn ikey(tag: &[u8; 32]) -> Hash {
    sha256(&[b"sillage/ikey/v1\0", tag])
}

/// Every patient of these entries, which begin with the genesis.
pub fn patients(entries: &[Vec<u8>]) -> Patients {
    let mut patients = Patients::new();
    for bytes in entries {
        if let Entry::Record(entry) = Entry::decode(bytes).expect("an entry")
            && entry.tag != [0; 32]
        {
            let leaf = sha256(&[&[2], leaf_hash(bytes).as_ref(), entry.record_hash.as_ref()]);
            patients.entry(entry.tag).or_default().push((entry.index, leaf));
        }
    }
    patients
}

fn mth(leaves: &[(LeafIndex, Hash)]) -> Hash {
    merkle::root_of(&leaves.iter().map(|(_, leaf)| *leaf).collect::<Vec<_>>())
}

fn row(tag: &[u8; 32], leaves: &[(LeafIndex, Hash)]) -> Hash {
    let count = (leaves.len() as u64).to_be_bytes();
    sha256(&[&[3], ikey(tag).as_ref(), &count, mth(leaves).as_ref()])
}

/// The root over all buckets.
pub fn root(patients: &Patients) -> Hash {
    let mut buckets: Vec<BTreeMap<Hash, Hash>> = vec![BTreeMap::new(); 1 << DEPTH];
    for (tag, leaves) in patients {
        let ikey = ikey(tag);
        buckets[bucket_of(&ikey, DEPTH) as usize].insert(ikey, row(tag, leaves));
    }
    let hashes = buckets.iter().map(|rows| {
        let mut bytes = vec![4];
        bytes.extend((rows.len() as u32).to_be_bytes());
        for (ikey, row) in rows {
            bytes.extend(ikey.as_bytes());
            bytes.extend(row.as_bytes());
        }
        sha256(&[&bytes])
    });
    merkle::root_of(&hashes.collect::<Vec<_>>())
}

/// Checks that a reader's proof of `tag` holds against the entries up to the last index commit, and only that.
pub fn check_proof(reader: &EntryReader, entries: &[Vec<u8>], tag: &[u8; 32]) {
    let Some((index, commit)) = reader.last_index_commit() else {
        assert_eq!(reader.prove_patient(tag).expect("readable"), None);
        return;
    };
    let all = patients(&entries[..index.get() as usize]);
    let none = Vec::new();
    let leaves = all.get(tag).unwrap_or(&none);
    let proof = reader.prove_patient(tag).expect("readable").expect("after a commit");
    assert_eq!(proof.commit_entry, entries[index.get() as usize]);
    let stored = Entry::decode(&proof.commit_entry).expect("an entry");
    assert_eq!(
        stored,
        Entry::IndexCommit(IndexCommit { index, patients: all.len() as u64, root: root(&all), ..commit })
    );
    assert_eq!(proof.commit, commit);
    let (rows, path) = (proof.rows.clone(), proof.path.clone());
    let found = BucketProof { rows, path }.verify(&ikey(tag), DEPTH, &commit.root).expect("a proof that holds");
    assert_eq!(found, (!leaves.is_empty()).then(|| row(tag, leaves)));
    let count = leaves.len() as u64;
    assert_eq!(proof.count, count);
    for (from, to) in [(0, count), (count / 3, count / 2), (count / 2, count), (count, count)] {
        let inside = &leaves[from as usize..to as usize];
        let indices = reader.patient_entries(tag, from, to, count).expect("within");
        assert_eq!(indices, inside.iter().map(|(index, _)| *index).collect::<Vec<_>>());
        let (before, after) = reader.patient_range(tag, from, to, count).expect("within");
        let inside: Vec<Hash> = inside.iter().map(|(_, leaf)| *leaf).collect();
        assert_eq!(range::root_from_range(count, from, &inside, &before, &after), Ok(mth(leaves)));
    }
    assert!(reader.patient_entries(tag, 0, count + 1, count).is_err());
    assert!(reader.patient_range(tag, 1, 0, count).is_err());
}
