use sillage_proof::Hash;
use sillage_proof::batch::Origin;
use sillage_proof::hash::{LeafIndex, leaf_hash};
use sillage_proof::keys::{PublicKey, SigningKey};
use sillage_proof::merkle::inclusion_proof;
use sillage_proof::note::{KeyKind, SignerKey};
use sillage_proto::v1::KeyRotation;
use sillage_rules::act::Act;
use sillage_rules::chain::Unproven;
use sillage_rules::node_set::{NodeSet, NodeSetChange, NodeSetError, SetNode};

use crate::made::{Made, ORIGIN, authority, stream};
use sillage_client::error::ClientError;
use sillage_client::trust::Trust;
use sillage_client::trust::rotation::*;

fn origin() -> Origin {
    ORIGIN.parse().expect("a name")
}

fn log_signer(seed: u8) -> SignerKey {
    SignerKey::new(ORIGIN, KeyKind::Ed25519, SigningKey::from_seed(&[seed; 32])).expect("a key")
}

fn node_signer(id: u64, seed: u8) -> SignerKey {
    let name = sillage_rules::cosigner::node_name(&origin(), id);
    SignerKey::new(&name, KeyKind::CosignatureV1, SigningKey::from_seed(&[seed; 32])).expect("a key")
}

fn public(seed: u8) -> PublicKey {
    SigningKey::from_seed(&[seed; 32]).public_key()
}

/// The signers of the genesis.
fn first() -> Vec<SignerKey> {
    vec![log_signer(9), node_signer(1, 11), node_signer(2, 12), node_signer(3, 13)]
}

/// As the first, with a new key of the log.
fn second() -> Vec<SignerKey> {
    vec![log_signer(40), node_signer(1, 11), node_signer(2, 12), node_signer(3, 13)]
}

fn note(made: &Made, signers: &[SignerKey]) -> String {
    let signers: Vec<&SignerKey> = signers.iter().collect();
    made.checkpoint().sign(&signers, 77).expect("signed").to_string()
}

/// The proof that a ledger gives for the act at `index`, where the log is `made` and ends with the checkpoint that proves
/// it.
fn rotation(made: &Made, index: u64, signers: &[SignerKey]) -> KeyRotation {
    let leaves: Vec<Hash> = made.entries.iter().map(|entry| leaf_hash(&entry.entry)).collect();
    let path = inclusion_proof(&leaves[..], LeafIndex(index), made.checkpoint().size).expect("in the log");
    let given = &made.entries[usize::try_from(index).expect("small")];
    KeyRotation {
        entry: given.entry.clone(),
        salt: given.salt.clone(),
        record: given.record.clone(),
        path: path.iter().map(|hash| hash.to_bytes().to_vec()).collect(),
        note: note(made, signers),
    }
}

fn act(made: &mut Made, seq: u64, act: &Act) -> u64 {
    made.act(&authority(), stream(&authority()), seq, act, None);
    made.entries.len() as u64 - 1
}

fn chain(made: &Made) -> Chain {
    Chain::new(origin(), Trust::first(&origin(), &made.genesis).expect("keys"))
}

/// A log whose key is replaced, then that of node 2: both rotations, and the checkpoint after them under the newest keys.
fn twice() -> (Made, [KeyRotation; 2], Vec<SignerKey>) {
    let mut made = Made::new();
    let log = act(&mut made, 1, &Act::LogKeyRotated { key: public(40) });
    made.commit();
    let one = rotation(&made, log, &first());
    let node = act(&mut made, 2, &Act::NodeKeyRotated { node_id: 2, key: public(42) });
    made.commit();
    let two = rotation(&made, node, &second());
    made.consulted([0; 32]);
    made.commit();
    let newest = vec![log_signer(40), node_signer(1, 11), node_signer(2, 42), node_signer(3, 13)];
    (made, [one, two], newest)
}

fn why(result: Result<(), Unproven>) -> String {
    let error = ClientError::from(result.expect_err("refused"));
    assert_eq!(error.exit_code(), 1, "{error}");
    error.to_string()
}

#[test]
fn new_keys_follow_from_those_before_them() {
    let (made, rotations, newest) = twice();
    let mut chain = chain(&made);
    let after = note(&made, &newest);
    assert!(chain.newest().check(&after).is_err(), "its keys aren't known yet");
    for given in &rotations {
        chain.add(given).expect("proven");
    }
    let size = made.checkpoint().size.get();
    chain.at(size).check(&after).expect("signed with the newest keys");
    let sizes: Vec<u64> = chain.rotations().iter().map(|one| one.proven_by).collect();
    // Each of the older checkpoints stays what it was, under the keys of its time.
    for (given, size) in rotations.iter().zip(&sizes) {
        chain.at(*size).check(&given.note).expect("under the keys before");
        assert!(chain.newest().check(&given.note).is_err() || *size == sizes[1]);
    }
    assert!(chain.newest().check(&rotations[0].note).is_err());
    assert_eq!((chain.since(Holder::Log), chain.since(Holder::Node(2)), chain.since(Holder::Node(1))), (2, 5, 0));
    assert!(
        chain.log_keys().contains(log_signer(9).verifier()) && chain.log_keys().contains(log_signer(40).verifier())
    );
    assert!(chain.node_keys().contains(node_signer(2, 42).verifier()));
}

#[test]
fn one_checkpoint_may_prove_two_rotations() {
    let mut made = Made::new();
    let acts = [Act::LogKeyRotated { key: public(40) }, Act::NodeKeyRotated { node_id: 2, key: public(42) }];
    let indices: Vec<u64> = (1..).zip(&acts).map(|(seq, one)| act(&mut made, seq, one)).collect();
    made.commit();
    let given: Vec<KeyRotation> = indices.iter().map(|index| rotation(&made, *index, &first())).collect();
    let mut chain = chain(&made);
    given.iter().for_each(|given| chain.add(given).expect("proven under the keys before both"));
    assert_eq!(chain.newest().log, *log_signer(40).verifier());
    assert!(chain.newest().every_key().any(|key| key == node_signer(2, 42).verifier()));
    assert_eq!(chain.at(made.checkpoint().size.get()).log, *log_signer(9).verifier());
    assert!(why(chain.add(&given[1])).contains("twice"), "and each only once");
}

#[test]
fn a_forged_act_is_refused() {
    let (made, [good, _], _) = twice();
    let forged = |change: fn(&mut KeyRotation)| {
        let mut bad = good.clone();
        change(&mut bad);
        why(chain(&made).add(&bad))
    };
    assert!(forged(|bad| bad.record = rotation_record(&public(66))).contains("not the one that the log holds"));
    assert!(forged(|bad| bad.salt = vec![6; 16]).contains("not the one that the log holds"));
    assert!(forged(|bad| bad.salt.clear()).contains("no salt"));
    assert!(forged(|bad| bad.record.clear()).contains("breaks the rules"));
    // An entry of its own for the forged act isn't under the checkpoint.
    let forged_entry = forged(|bad| {
        let mut other = Made::new();
        act(&mut other, 1, &Act::LogKeyRotated { key: public(66) });
        (bad.entry, bad.record) = (other.entries[2].entry.clone(), other.entries[2].record.clone());
    });
    assert!(forged_entry.contains("does not cover the act"), "{forged_entry}");
    // Another kind of entry, or another act.
    let header = forged(|bad| bad.entry = Made::new().entries[0].entry.clone());
    assert!(header.contains("no record"), "{header}");
    let mut made = Made::new();
    let revoked = Act::Revoked { key_id: authority().key_id(), reason: "lost".to_owned() };
    let index = act(&mut made, 1, &revoked);
    made.commit();
    assert!(
        why(chain(&made).add(&rotation(&made, index, &first()))).contains("no act of the authority on keys or nodes")
    );
}

fn rotation_record(key: &PublicKey) -> Vec<u8> {
    let mut made = Made::new();
    act(&mut made, 1, &Act::LogKeyRotated { key: *key });
    made.entries[2].record.clone()
}

#[test]
fn a_note_that_does_not_cover_the_act_proves_nothing() {
    let mut made = Made::new();
    made.commit();
    let early = note(&made, &first());
    let index = act(&mut made, 1, &Act::LogKeyRotated { key: public(40) });
    made.commit();
    let mut bad = rotation(&made, index, &first());
    bad.note = early;
    assert!(why(chain(&made).add(&bad)).contains("does not cover the act"));
}

#[test]
fn a_note_of_the_new_keys_alone_or_of_too_few_proves_nothing() {
    let mut made = Made::new();
    let index = act(&mut made, 1, &Act::LogKeyRotated { key: public(40) });
    made.commit();
    let [log, one, two, three] = <[SignerKey; 4]>::try_from(first()).expect("four");
    for signers in [second(), vec![log.clone(), one.clone()], vec![one, two.clone(), three], vec![log, two]] {
        let said = why(chain(&made).add(&rotation(&made, index, &signers)));
        assert!(said.contains("not proven"), "{said}");
    }
}

#[test]
fn rotations_come_in_the_order_of_the_log() {
    let (made, [one, two], _) = twice();
    let mut swapped = chain(&made);
    assert!(why(swapped.add(&two)).contains("not proven"), "its note needs the key that the first brings");
    swapped.add(&one).expect("proven");
    swapped.add(&two).expect("proven");
    assert!(why(swapped.add(&one)).contains("not proven") || why(swapped.add(&one)).contains("order"));

    // A later note for an act that an earlier checkpoint has proven already.
    let mut made = Made::new();
    let node = act(&mut made, 1, &Act::NodeKeyRotated { node_id: 1, key: public(41) });
    let log = act(&mut made, 2, &Act::LogKeyRotated { key: public(40) });
    made.commit();
    let first_one = rotation(&made, node, &first());
    made.consulted([0; 32]);
    made.commit();
    let newer = vec![log_signer(9), node_signer(1, 41), node_signer(2, 12), node_signer(3, 13)];
    let late = rotation(&made, log, &newer);
    let mut chain = chain(&made);
    chain.add(&first_one).expect("proven");
    assert!(why(chain.add(&late)).contains("out of order"));
}

fn new_node(id: u8) -> SetNode {
    SetNode {
        id: id.into(),
        name: format!("node-{id}"),
        key: public(10 + id),
        tls_spki_sha256: [10 + id; 32],
        client_address: format!("node-{id}.example:7400"),
        peer_address: format!("node-{id}.example:7500"),
    }
}

/// Those of the nodes, each with the key that it came with, and the log's.
fn of(ids: &[u8]) -> Vec<SignerKey> {
    let nodes = ids.iter().map(|id| node_signer((*id).into(), 10 + id));
    std::iter::once(log_signer(9)).chain(nodes).collect()
}

/// A log as its set of nodes changes, and who has followed it.
struct Followed {
    made: Made,
    chain: Chain,
    seq: u64,
}

impl Followed {
    fn new() -> Self {
        let made = Made::new();
        Self { chain: chain(&made), made, seq: 0 }
    }

    /// Records a change of the present set, and what `signers` make of the checkpoint that covers it.
    fn given(&mut self, change: NodeSetChange, signers: &[u8]) -> KeyRotation {
        self.seq += 1;
        let index = act(&mut self.made, self.seq, &Act::NodeSetChanged(change));
        self.made.commit();
        rotation(&self.made, index, &of(signers))
    }

    fn step(
        &mut self,
        change: impl Fn(&NodeSet) -> Result<NodeSetChange, NodeSetError>,
        signers: &[u8],
    ) -> Result<(), Unproven> {
        let change = change(self.chain.newest().set()).expect("a change that fits");
        let given = self.given(change, signers);
        self.chain.add(&given)
    }
}

#[test]
fn nodes_follow_from_those_before_them_from_three_to_five_and_three_others() {
    let mut log = Followed::new();
    log.step(|set| set.adding(new_node(4)), &[1, 3]).expect("proven");
    log.step(|set| set.with_voters(&[1, 2, 3, 4], &[]), &[2, 3]).expect("proven by two of three");
    log.step(|set| set.adding(new_node(5)), &[1, 2, 4]).expect("proven by three of four");
    log.step(|set| set.with_voters(&[1, 2, 3, 4, 5], &[]), &[1, 2, 4]).expect("proven");
    log.step(|set| set.with_voters(&[1, 4, 5], &[]), &[1, 2, 4]).expect("proven by three of five");
    log.step(|set| set.leaving_joint(&[2, 3]), &[1, 2, 4]).expect("proven by three of five and two of three");
    log.made.consulted([0; 32]);
    log.made.commit();
    let newest = note(&log.made, &of(&[4, 5]));
    log.chain.at(log.made.checkpoint().size.get()).check(&newest).expect("two of the present three");
    let ids = |trust: &Trust| trust.nodes().iter().map(|(id, _)| *id).collect::<Vec<_>>();
    assert_eq!(ids(log.chain.newest()), [1, 4, 5]);
    assert_eq!(ids(log.chain.at(1)), [1, 2, 3], "what was signed before is judged as it was");
    assert_eq!((log.chain.since(Holder::Node(4)), log.chain.since(Holder::Node(1))), (2, 0));
    assert!(log.chain.node_keys().iter().any(|key| key.name().ends_with("node-2")), "its receipts stay good");
    // A node that is gone signs nothing any more.
    let gone = note(&log.made, &of(&[1, 2, 3]));
    assert!(log.chain.newest().check(&gone).is_err());
}

#[test]
fn a_set_of_nodes_is_proven_by_the_set_before_it_alone() {
    for signers in [&[4_u8, 1][..], &[1], &[4], &[1, 5]] {
        let mut log = Followed::new();
        log.step(|set| set.adding(new_node(4)), &[1, 2]).expect("proven");
        let said = why(log.step(|set| set.with_voters(&[1, 2, 3, 4], &[]), signers));
        assert!(said.contains("not proven"), "{signers:?}: {said}");
    }
    // The end of a joint step is proven by both sets.
    for (signers, proves) in [(&[1_u8, 2][..], true), (&[1, 3, 4], true), (&[1, 3], false), (&[1, 4], false)] {
        let mut log = Followed::new();
        log.step(|set| set.adding(new_node(4)), &[1, 2]).expect("proven");
        log.step(|set| set.with_voters(&[1, 2, 4], &[]), &[1, 3]).expect("proven by the old set");
        let ended = log.step(|set| set.leaving_joint(&[3]), signers);
        assert_eq!(ended.is_ok(), proves, "{signers:?}");
    }
}

#[test]
fn a_set_of_nodes_that_cannot_follow_is_refused() {
    let forged = |alter: fn(&mut NodeSetChange)| {
        let mut log = Followed::new();
        let mut change = log.chain.newest().set().adding(new_node(4)).expect("a change that fits");
        alter(&mut change);
        let given = log.given(change, &[1, 2, 3]);
        let said = why(log.chain.add(&given));
        assert_eq!(log.chain.newest().set().epoch, 0, "the chain is as before");
        said
    };
    assert!(forged(|change| change.epoch = 2).contains("so the next has 1"));
    let used = forged(|change| {
        (change.added[0].id, change.learners, change.voters) = (2, vec![2], vec![1, 3]);
    });
    assert!(used.contains("used before"), "{used}");
    assert!(forged(|change| change.added[0].key = public(11)).contains("the key of node 1"));
    assert!(
        forged(|change| (change.voters, change.learners) = (vec![4], vec![1, 2, 3])).contains("two are the fewest")
    );
    // Twice the same act.
    let mut log = Followed::new();
    let change = log.chain.newest().set().adding(new_node(4)).expect("a change that fits");
    let given = log.given(change, &[1, 2, 3]);
    log.chain.add(&given).expect("proven");
    assert!(why(log.chain.add(&given)).contains("twice"));
}

#[test]
fn a_node_that_the_log_lacks_gets_no_key() {
    let mut made = Made::new();
    let index = act(&mut made, 1, &Act::NodeKeyRotated { node_id: 9, key: public(40) });
    made.commit();
    assert!(why(chain(&made).add(&rotation(&made, index, &first()))).contains("node 9"));
}
