use sillage_proof::hash::{Hash, LeafIndex, leaf_hash};
use sillage_proof::keys::SigningKey;
use sillage_proof::merkle::inclusion_proof;
use sillage_proof::note::{KeyKind, SignerKey};
use sillage_rules::act::Act;
use sillage_rules::node_set::{NodeSet, NodeSetChange, NodeSetError, SetNode};

use super::*;
use sillage_audit::made::{Made, ORIGIN, authority, stream};
use sillage_client::trust::Trust;
use sillage_client::trust::rotation::Chain;

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
    follow(policy, &origin(), chain.at(0), chain.rotations(), &given)
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
    follow(policy(9, 12), &origin(), chain.at(0), chain.rotations(), &given).expect_err("out of order");
}

/// The sets of nodes of a log, each change covered by a checkpoint that those who counted before it have signed.
struct Nodes {
    made: Made,
    chain: Chain,
    given: Vec<v1::KeyRotation>,
    /// Notes that prove the changes.
    notes: Vec<String>,
}

impl Nodes {
    fn new() -> Self {
        let made = Made::new();
        let chain = Chain::new(origin(), Trust::first(&origin(), &made.genesis).expect("keys"));
        Self { made, chain, given: Vec::new(), notes: Vec::new() }
    }

    /// Records an act, and proves it by the signatures of these nodes; of those that count, where none are named.
    fn step(&mut self, act: &Act, signers: Option<&[u64]>) {
        let seq = self.given.len() as u64 + 1;
        self.made.act(&authority(), stream(&authority()), seq, act, None);
        let entry = self.made.entries.last().expect("an act").clone();
        let index = LeafIndex(self.made.entries.len() as u64 - 1);
        self.made.commit();
        let checkpoint = self.made.checkpoint();
        let leaves: Vec<Hash> = self.made.entries.iter().map(|entry| leaf_hash(&entry.entry)).collect();
        let path = inclusion_proof(&leaves[..], index, checkpoint.size).expect("in the log");
        let counting = self.chain.newest().set().voters().ids();
        let ids = signers.unwrap_or(&counting).iter();
        let keys: Vec<SignerKey> = std::iter::once(log(9)).chain(ids.map(|id| node(*id, seed(*id)))).collect();
        let note = checkpoint.sign(&keys.iter().collect::<Vec<_>>(), 5).expect("signed").to_string();
        let path = path.iter().map(|hash| hash.to_bytes().to_vec()).collect();
        self.notes.push(note.clone());
        self.given.push(v1::KeyRotation { entry: entry.entry, salt: entry.salt, record: entry.record, path, note });
        self.chain.add(self.given.last().expect("one")).expect("proven");
    }

    fn change(&mut self, change: impl Fn(&NodeSet) -> Result<NodeSetChange, NodeSetError>) {
        let change = change(self.chain.newest().set()).expect("a change that fits");
        self.step(&Act::NodeSetChanged(change), None);
    }

    fn follow(&self, policy: Vec<u8>) -> Result<Followed, ClientError> {
        follow(policy, &origin(), self.chain.at(0), self.chain.rotations(), &self.given)
    }
}

fn seed(id: u64) -> u8 {
    10 + u8::try_from(id).expect("a small id")
}

fn new_node(id: u64) -> SetNode {
    SetNode {
        id,
        name: format!("node-{id}"),
        key: SigningKey::from_seed(&[seed(id); 32]).public_key(),
        tls_spki_sha256: [seed(id); 32],
        client_address: format!("node-{id}.example:7400"),
        peer_address: format!("node-{id}.example:7500"),
    }
}

/// A policy of these nodes, in the words of its reader.
fn of_nodes(ids: &[u64], threshold: &str) -> Vec<u8> {
    let mut text = format!("# of the court, 2026\nlog\t{} https://ledger.example/\n\n", log(9).verifier());
    for id in ids {
        text += &format!("witness node-{id} {}\n", node(*id, seed(*id)).verifier());
    }
    let names: Vec<String> = ids.iter().map(|id| format!("node-{id}")).collect();
    text += &format!("group nodes {threshold} {}\nquorum nodes\n", names.join(" "));
    text.into_bytes()
}

/// 3 nodes become 4, 5 and 3 others.
fn three_four_five_three() -> Nodes {
    let mut nodes = Nodes::new();
    nodes.change(|set| set.adding(new_node(4)));
    nodes.change(|set| set.with_voters(&[1, 2, 3, 4], &[]));
    nodes.change(|set| set.adding(new_node(5)));
    nodes.change(|set| set.with_voters(&[1, 2, 3, 4, 5], &[]));
    nodes.change(|set| set.with_voters(&[1, 4, 5], &[]));
    nodes.change(|set| set.leaving_joint(&[2, 3]));
    nodes
}

fn text(policy: Vec<u8>) -> String {
    String::from_utf8(policy).expect("UTF-8")
}

#[test]
fn a_policy_follows_three_nodes_to_five_and_three_others() {
    let nodes = three_four_five_three();
    let done = nodes.follow(of_nodes(&[1, 2, 3], "2")).expect("proven");
    assert_eq!(text(done.policy), text(of_nodes(&[1, 4, 5], "2")));
    // Learners change nothing of whom the policy trusts: the first act was known from the beginning.
    assert_eq!((done.proven.len(), done.known, done.is_joint), (5, 1, false));
    // From where it stands in between.
    let between = nodes.follow(of_nodes(&[1, 2, 3, 4, 5], "3")).expect("proven");
    assert_eq!((text(between.policy), between.known), (text(of_nodes(&[1, 4, 5], "2")), 4));
    let done = nodes.follow(of_nodes(&[1, 4, 5], "2")).expect("nothing to prove");
    assert_eq!((text(done.policy), done.proven.len()), (text(of_nodes(&[1, 4, 5], "2")), 0));
}

#[test]
fn what_was_proven_before_a_change_of_nodes_verifies_under_the_old_policy_still() {
    let nodes = three_four_five_three();
    let verifies = |policy: Vec<u8>, note: &str| {
        let note = SignedNote::parse(note.as_bytes()).expect("a note");
        Policy::parse(&policy).expect("a policy").verify(&note).is_ok()
    };
    assert!(verifies(of_nodes(&[1, 2, 3], "2"), &nodes.notes[0]));
    assert!(verifies(of_nodes(&[1, 2, 3], "2"), &nodes.notes[1]), "the one that proves the first change");
    assert!(!verifies(of_nodes(&[1, 4, 5], "2"), &nodes.notes[1]));
}

#[test]
fn a_node_is_replaced_in_a_joint_step_that_both_sets_sign() {
    let mut nodes = Nodes::new();
    nodes.change(|set| set.adding(new_node(4)));
    nodes.change(|set| set.with_voters(&[1, 2, 4], &[]));
    let under_way = nodes.follow(of_nodes(&[1, 2, 3], "2")).expect("proven");
    assert_eq!((text(under_way.policy), under_way.is_joint), (text(of_nodes(&[1, 2, 3], "2")), true));
    let end = nodes.chain.newest().set().leaving_joint(&[3]).expect("a change that fits");
    // Node 3 is gone for good: one and two are a majority of both.
    nodes.step(&Act::NodeSetChanged(end), Some(&[1, 2]));
    let done = nodes.follow(of_nodes(&[1, 2, 3], "2")).expect("proven");
    assert_eq!((text(done.policy), done.is_joint), (text(of_nodes(&[1, 2, 4], "2")), false));
}

#[test]
fn a_joint_step_goes_back_and_leaves_the_policy_as_it_was() {
    let mut nodes = Nodes::new();
    nodes.change(|set| set.adding(new_node(4)));
    nodes.change(|set| set.with_voters(&[1, 2, 4], &[]));
    nodes.change(|set| set.with_voters(&[1, 2, 3], &[4]));
    let done = nodes.follow(of_nodes(&[1, 2, 3], "2")).expect("nothing to prove");
    assert_eq!(text(done.policy), text(of_nodes(&[1, 2, 3], "2")));
}

#[test]
fn keys_and_nodes_follow_each_other_in_the_order_of_the_log() {
    let mut nodes = Nodes::new();
    nodes.change(|set| set.adding(new_node(4)));
    nodes.change(|set| set.with_voters(&[1, 2, 3, 4], &[]));
    let key = SigningKey::from_seed(&[60; 32]).public_key();
    nodes.step(&Act::NodeKeyRotated { node_id: 4, key }, None);
    let done = nodes.follow(of_nodes(&[1, 2, 3], "2")).expect("proven");
    let expected = text(of_nodes(&[1, 2, 3, 4], "3"));
    let (old, new) = (node(4, seed(4)), node(4, 60));
    let expected = expected.replace(&old.verifier().to_string(), &new.verifier().to_string());
    assert_eq!(text(done.policy), expected);
}

#[test]
fn a_threshold_of_its_own_stays_and_a_group_of_the_nodes_is_found_by_its_members() {
    let nodes = three_four_five_three();
    let policy =
        |ids: &[u64], threshold: &str| text(of_nodes(ids, threshold)).replace(" nodes", " quorate").into_bytes();
    let done = nodes.follow(policy(&[1, 2, 3], "all")).expect("proven");
    assert_eq!(text(done.policy), text(policy(&[1, 4, 5], "all")));
    let done = nodes.follow(policy(&[1, 2, 3], "1")).expect("proven");
    assert_eq!(text(done.policy), text(policy(&[1, 4, 5], "1")));
}

#[test]
fn a_set_that_the_new_nodes_alone_have_signed_is_refused_under_the_policy() {
    let mut nodes = three_four_five_three();
    // The fifth act, the joint step to the last three nodes, proven by those alone.
    let note = SignedNote::parse(nodes.notes[4].as_bytes()).expect("a note");
    let checkpoint = Checkpoint::parse(note.text()).expect("a checkpoint");
    let signers = [log(9), node(4, seed(4)), node(5, seed(5))];
    nodes.given[4].note = checkpoint.sign(&signers.iter().collect::<Vec<_>>(), 5).expect("signed").to_string();
    let why = nodes.follow(of_nodes(&[1, 2, 3], "2")).expect_err("two of five").to_string();
    assert!(why.contains("does not satisfy the policy"), "{why}");
}
