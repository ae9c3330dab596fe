use sillage_proof::keys::SigningKey;

use super::super::change::NodeAddresses;
use super::*;

fn node(id: u64) -> SetNode {
    let byte = u8::try_from(id).expect("a small id");
    SetNode {
        id,
        name: format!("node-{id}"),
        key: SigningKey::from_seed(&[byte; 32]).public_key(),
        tls_spki_sha256: [byte; 32],
        client_address: format!("node-{id}.example:7400"),
        peer_address: format!("node-{id}.example:7500"),
    }
}

fn of(ids: &[u64]) -> NodeSet {
    NodeSet::of_genesis(ids.iter().copied().map(node).collect())
}

fn added(set: &NodeSet, ids: &[u64]) -> NodeSet {
    ids.iter().fold(set.clone(), |set, id| {
        let change = set.adding(node(*id)).expect("a new node");
        set.after(&change).expect("checked")
    })
}

fn voting(set: &NodeSet, voters: &[u64], removed: &[u64]) -> NodeSet {
    set.after(&set.with_voters(voters, removed).expect("a good change")).expect("checked")
}

#[test]
fn three_nodes_become_five_and_three_again() {
    let three = of(&[1, 2, 3]);
    let with_learners = added(&three, &[4, 5]);
    assert_eq!((with_learners.voters.clone(), with_learners.learners.clone()), (vec![1, 2, 3], vec![4, 5]));
    let joint = voting(&with_learners, &[1, 2, 3, 4, 5], &[]);
    assert_eq!((joint.voters_outgoing.clone(), joint.is_joint()), (vec![1, 2, 3], true));
    let five = joint.after(&joint.leaving_joint(&[]).expect("the end")).expect("checked");
    assert_eq!((five.epoch, five.voters().ids(), five.is_joint()), (4, vec![1, 2, 3, 4, 5], false));
    let joint = voting(&five, &[1, 4, 5], &[]);
    let three = joint.after(&joint.leaving_joint(&[2, 3]).expect("the end")).expect("checked");
    assert_eq!(three.nodes.iter().map(|node| node.id).collect::<Vec<_>>(), [1, 4, 5]);
    assert_eq!((three.next_id(), three.learners.len()), (6, 0));
}

#[test]
fn one_voter_at_a_time_needs_no_joint_step() {
    let four = voting(&added(&of(&[1, 2, 3]), &[4]), &[1, 2, 3, 4], &[]);
    assert!(!four.is_joint());
    let replaced = voting(&four, &[1, 3, 4], &[2]);
    assert_eq!((replaced.voters.clone(), replaced.node(2)), (vec![1, 3, 4], None));
    let two = voting(&of(&[1, 2, 3]), &[1, 2], &[3]);
    assert_eq!(two.voters, [1, 2]);
}

#[test]
fn a_joint_step_ends_with_either_set_and_nothing_else() {
    let joint = voting(&added(&of(&[1, 2, 3]), &[4]), &[1, 2, 4], &[]);
    let back = joint.with_voters(&[1, 2, 3], &[4]).expect("back to where it was");
    assert_eq!(joint.after(&back).expect("checked").voters, [1, 2, 3]);
    for other in [joint.with_voters(&[1, 2], &[]), joint.with_voters(&[1, 2, 3, 4], &[]), joint.adding(node(5))] {
        assert_eq!(other, Err(NodeSetError::JointUnderWay));
    }
    assert_eq!(of(&[1]).leaving_joint(&[]), Err(NodeSetError::Nothing));
}

#[test]
fn an_id_never_comes_back() {
    let gone = voting(&added(&of(&[1, 2, 3]), &[7]), &[1, 2, 3], &[7]);
    assert_eq!(gone.adding(node(7)), Err(NodeSetError::UsedId { id: 7, next: 8 }));
    assert_eq!(gone.adding(node(5)), Err(NodeSetError::UsedId { id: 5, next: 8 }), "nor one that was skipped");
    assert_eq!(gone.adding(SetNode { id: 2, ..node(9) }), Err(NodeSetError::UsedId { id: 2, next: 8 }));
    assert!(gone.adding(node(8)).is_ok());
}

#[test]
fn a_key_or_a_certificate_belongs_to_one_node() {
    let set = of(&[1, 2, 3]);
    let key = SetNode { key: node(2).key, ..node(4) };
    assert_eq!(set.adding(key), Err(NodeSetError::UsedKey { id: 4, of: 2 }));
    let certificate = SetNode { tls_spki_sha256: node(3).tls_spki_sha256, ..node(4) };
    assert_eq!(set.adding(certificate), Err(NodeSetError::UsedCertificate { id: 4, of: 3 }));
    // Nor does it pass on to who takes the place of a node that goes with the same change.
    let heir = SetNode { key: node(3).key, ..node(4) };
    let change = NodeSetChange { added: vec![heir], removed: vec![3], learners: vec![4], ..to(&[1, 2], &[]) };
    assert_eq!(set.after(&change), Err(NodeSetError::UsedKey { id: 4, of: 3 }));
    // Two new nodes with one key.
    let twins = vec![node(4), SetNode { key: node(4).key, ..node(5) }];
    let change = NodeSetChange { added: twins, learners: vec![4, 5], ..to(&[1, 2, 3], &[]) };
    assert_eq!(set.after(&change), Err(NodeSetError::UsedKey { id: 5, of: 4 }));
}

fn to(voters: &[u64], outgoing: &[u64]) -> NodeSetChange {
    NodeSetChange { epoch: 1, voters: voters.to_vec(), voters_outgoing: outgoing.to_vec(), ..NodeSetChange::default() }
}

#[test]
fn the_epoch_is_the_next() {
    let set = of(&[1, 2, 3]);
    for got in [0, 1, 3] {
        let change = NodeSetChange { epoch: got, removed: vec![3], ..to(&[1, 2], &[]) };
        let expected = NodeSetError::Epoch { present: 0, got };
        assert_eq!(set.after(&change).err(), (got != 1).then_some(expected));
    }
}

#[test]
fn the_last_voter_stays_and_one_of_two_does() {
    assert_eq!(of(&[1]).after(&to(&[], &[])), Err(NodeSetError::NoPart(1)));
    let last = NodeSetChange { removed: vec![1], ..to(&[], &[]) };
    assert_eq!(of(&[1]).after(&last), Err(NodeSetError::NoVoter));
    let too_few = |present| Err(NodeSetError::TooFew { present, left: 1 });
    assert_eq!(of(&[1, 2]).with_voters(&[1], &[2]), too_few(2));
    assert_eq!(of(&[1, 2, 3]).with_voters(&[1], &[]), too_few(3));
    // A single node may grow.
    assert!(voting(&added(&of(&[1]), &[2]), &[1, 2], &[]).voters().contains(2));
}

#[test]
fn two_voters_change_in_a_joint_step_alone() {
    let set = added(&of(&[1, 2, 3]), &[4, 5]);
    let direct = NodeSetChange { epoch: 3, ..to(&[1, 2, 3, 4, 5], &[]) };
    assert_eq!(set.after(&direct), Err(NodeSetError::NotJoint { changed: 2 }));
    let needless = NodeSetChange { epoch: 3, learners: vec![5], ..to(&[1, 2, 3, 4], &[1, 2, 3]) };
    assert_eq!(set.after(&needless), Err(NodeSetError::NeedlessJoint));
    let other = NodeSetChange { epoch: 3, ..to(&[1, 2, 3, 4, 5], &[1, 2]) };
    assert_eq!(set.after(&other), Err(NodeSetError::Outgoing));
    // Two of three replaced at once leave no majority of the voters before.
    let most = set.with_voters(&[1, 4, 5], &[]);
    assert_eq!(most, Err(NodeSetError::NoMajorityKept { kept: 1, present: 3 }));
}

#[test]
fn every_list_names_nodes_that_are_there_and_every_node_has_a_part() {
    let set = of(&[1, 2, 3]);
    let unknown = |change: NodeSetChange| assert_eq!(set.after(&change), Err(NodeSetError::Unknown(9)));
    unknown(to(&[1, 2, 3, 9], &[]));
    unknown(to(&[1, 2, 3], &[9]));
    unknown(NodeSetChange { learners: vec![9], ..to(&[1, 2, 3], &[]) });
    unknown(NodeSetChange { removed: vec![9], ..to(&[1, 2, 3], &[]) });
    let moved = NodeAddresses { id: 9, client_address: "a:1".to_owned(), peer_address: "a:2".to_owned() };
    unknown(NodeSetChange { moved: vec![moved], ..to(&[1, 2, 3], &[]) });
    assert_eq!(set.after(&to(&[1, 2], &[])), Err(NodeSetError::NoPart(3)));
    let gone = NodeSetChange { removed: vec![3], ..to(&[1, 2, 3], &[]) };
    assert_eq!(set.after(&gone), Err(NodeSetError::Unknown(3)), "a voter that goes");
    assert_eq!(set.after(&to(&[1, 2, 3], &[])), Err(NodeSetError::Nothing));
}

#[test]
fn a_node_moves_and_nothing_else_changes() {
    let set = of(&[1, 2, 3]);
    let there =
        NodeAddresses { id: 2, client_address: "b.example:1".to_owned(), peer_address: "b.example:2".to_owned() };
    let next = set.after(&NodeSetChange { moved: vec![there], ..to(&[1, 2, 3], &[]) }).expect("moved");
    let moved = next.node(2).expect("there");
    assert_eq!((moved.client_address.as_str(), moved.peer_address.as_str()), ("b.example:1", "b.example:2"));
    assert_eq!((&next.voters, next.node(1)), (&set.voters, set.node(1)));
}

#[test]
fn a_log_has_so_many_nodes_and_no_more() {
    let most: Vec<u64> = (1..=NODES_MAX as u64).collect();
    assert_eq!(of(&most).adding(node(NODES_MAX as u64 + 1)), Err(NodeSetError::TooMany(NODES_MAX + 1)));
}
