use sillage_proof::hash::{Hash, LeafIndex, leaf_hash};
use sillage_proof::keys::SigningKey;
use sillage_proof::merkle::inclusion_proof;
use sillage_proof::note::{KeyKind, SignerKey};
use sillage_rules::act::Act;

use super::*;
use crate::audit::made::{Made, ORIGIN, authority, stream};
use crate::audit::rotation::Chain;
use crate::audit::trust::Trust;

fn origin() -> Origin {
    ORIGIN.parse().expect("a name")
}

fn log(seed: u8) -> SignerKey {
    SignerKey::new(ORIGIN, KeyKind::Ed25519, SigningKey::from_seed(&[seed; 32])).expect("a key")
}

fn node(id: u64, seed: u8) -> SignerKey {
    let name = node_name(&origin(), id);
    SignerKey::new(&name, KeyKind::CosignatureV1, SigningKey::from_seed(&[seed; 32])).expect("a key")
}

/// As an operator hands it out, with words of its reader.
fn policy(log_seed: u8, node_seed: u8) -> Vec<u8> {
    let (log, one, two, three) = (log(log_seed), node(1, 11), node(2, node_seed), node(3, 13));
    let (log, one, two, three) = (log.verifier(), one.verifier(), two.verifier(), three.verifier());
    format!(
        "# of the court, 2026\nlog\t{log} https://ledger.example/\n\nwitness node-1 {one}\nwitness  node-2 {two}\nwitness node-3 {three}\n# a majority\ngroup nodes 2 node-1 node-2 node-3\nquorum nodes\n"
    )
    .into_bytes()
}

/// The key of node 2 is replaced, then the log's.
fn rotated() -> (Chain, Vec<v1::KeyRotation>) {
    let mut made = Made::new();
    let mut chain = Chain::new(origin(), Trust::first(&origin(), &made.genesis).expect("keys"));
    let key = |seed: u8| SigningKey::from_seed(&[seed; 32]).public_key();
    let acts = [Act::NodeKeyRotated { node_id: 2, key: key(42) }, Act::LogKeyRotated { key: key(40) }];
    let signers = [[log(9), node(1, 11), node(2, 12)], [log(9), node(2, 42), node(3, 13)]];
    let mut given = Vec::new();
    for ((seq, act), signers) in (1..).zip(&acts).zip(&signers) {
        made.act(&authority(), stream(&authority()), seq, act, None);
        let entry = made.entries.last().expect("an act").clone();
        let index = LeafIndex(made.entries.len() as u64 - 1);
        made.commit();
        let checkpoint = made.checkpoint();
        let leaves: Vec<Hash> = made.entries.iter().map(|entry| leaf_hash(&entry.entry)).collect();
        let path = inclusion_proof(&leaves[..], index, checkpoint.size).expect("in the log");
        let note = checkpoint.sign(&signers.iter().collect::<Vec<_>>(), 5).expect("signed").to_string();
        let path = path.iter().map(|hash| hash.to_bytes().to_vec()).collect();
        given.push(v1::KeyRotation { entry: entry.entry, salt: entry.salt, record: entry.record, path, note });
        chain.add(given.last().expect("one")).expect("proven");
    }
    (chain, given)
}

fn followed(policy: Vec<u8>) -> Result<Followed, ClientError> {
    let (chain, given) = rotated();
    follow(policy, &origin(), &chain.log_keys(), chain.rotations(), &given)
}

#[test]
fn new_keys_take_the_places_of_the_old_ones_and_nothing_else_changes() {
    let done = followed(policy(9, 12)).expect("proven");
    assert_eq!(String::from_utf8(done.policy), String::from_utf8(policy(40, 42)));
    assert_eq!((done.proven.len(), done.known), (2, 0));
}

#[test]
fn a_policy_that_has_some_of_the_new_keys_is_followed_from_there() {
    let done = followed(policy(9, 42)).expect("proven");
    assert_eq!((done.policy, done.proven.len(), done.known), (policy(40, 42), 1, 1));
    let done = followed(policy(40, 42)).expect("nothing to prove");
    assert_eq!((done.policy, done.proven.len(), done.known), (policy(40, 42), 0, 2));
}

#[test]
fn what_the_policy_does_not_bear_out_is_refused() {
    // A node of the policy that never signed: of those who did, too few are in it.
    let other = followed(policy(9, 99)).expect_err("no majority").to_string();
    assert!(other.contains("does not satisfy the policy"), "{other}");
    let stranger = followed(policy(77, 12)).expect_err("another log").to_string();
    assert!(stranger.contains("another log"), "{stranger}");
    let (chain, mut given) = rotated();
    given.swap(0, 1);
    follow(policy(9, 12), &origin(), &chain.log_keys(), chain.rotations(), &given).expect_err("out of order");
}
