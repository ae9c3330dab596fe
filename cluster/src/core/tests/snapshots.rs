//! Snapshots: how long they stand, what of the log is kept for them, and who gives none.

use super::*;

/// A leader 1 with follower 2, and node 3 so far behind that it needs a snapshot, whose fetch doesn't end.
fn with_a_transfer(log_max_bytes: u64) -> Group {
    let mut group = Group::new(500);
    for node in group.nodes.values_mut() {
        node.core.config.log_max_bytes = log_max_bytes;
    }
    group.elect(1);
    group.isolate(3);
    for i in 0..100 {
        group.propose(1, i, format!("entry {i}").as_bytes());
        group.tick(1);
    }
    group.cut.clear();
    group.node(3).hold_fetches = true;
    group.tick(30);
    assert!(group.node(3).fetching.is_some(), "the transfer is under way");
    group
}

/// Index of the snapshot that is on its way to node 3.
fn sending(group: &mut Group) -> Option<u64> {
    group.node(1).core.status().peers.iter().find(|peer| peer.id == 3).and_then(|peer| peer.snapshot)
}

fn write_on(group: &mut Group, count: u64) {
    for i in 0..count {
        group.propose(1, 1_000 + i, b"one more entry of some length");
        group.tick(1);
    }
}

#[test]
fn a_snapshot_is_released_when_it_was_sent() {
    let mut group = with_a_transfer(500);
    let index = sending(&mut group).unwrap();
    assert!(group.node(1).released.is_empty());
    group.end_fetch(3);
    group.tick(5);
    assert_eq!(group.data(3).len(), 100);
    assert_eq!(group.node(1).released.iter().map(|place| place.0).collect::<Vec<_>>(), [index]);
    assert!(group.node(1).core.raw.store().offered().is_none());
}

#[test]
fn a_snapshot_that_nobody_wants_is_released() {
    let mut group = with_a_transfer(500);
    let index = sending(&mut group).unwrap();
    group.isolate(1);
    let patience = group.node(1).core.config.snapshot_timeout_ticks as usize;
    group.tick(patience + 60);
    assert_ne!(group.node(1).core.role().0, Role::Leader);
    assert_eq!(group.node(1).released.iter().map(|place| place.0).collect::<Vec<_>>(), [index]);
}

#[test]
fn the_log_is_not_cut_under_a_transfer_that_makes_progress() {
    let mut group = with_a_transfer(1 << 20);
    let index = sending(&mut group).unwrap();
    let timeout = group.node(1).core.config.snapshot_timeout_ticks;
    let mut bytes = 0;
    // Much longer than a transfer that stands still is waited for, with much more written than is kept otherwise.
    for round in 0..8 {
        for _ in 0..timeout {
            if round % 2 == 0 {
                bytes += 10;
            }
            group.node(3).core.on_fetch_progress(bytes);
            group.tick(1);
        }
        write_on(&mut group, 20);
    }
    assert_eq!(sending(&mut group), Some(index));
    assert!(group.node(1).core.status().log_first <= index + 1);
    group.end_fetch(3);
    group.tick(30);
    assert_eq!(group.data(3).len(), 100 + 8 * 20);
    assert_eq!(group.node(3).installs, 1, "one snapshot is enough");
    write_on(&mut group, 40);
    assert!(group.node(1).core.status().log_first > index + 1, "and then the log is cut again");
}

#[test]
fn a_transfer_that_makes_no_progress_holds_the_log_for_a_bounded_time() {
    let mut group = with_a_transfer(1 << 20);
    let index = sending(&mut group).unwrap();
    group.tick(100);
    write_on(&mut group, 60);
    assert!(group.node(1).core.status().log_first <= index + 1, "for a while it is waited for");
    let patience = group.node(1).core.config.snapshot_stall_ticks as usize;
    group.tick(patience);
    write_on(&mut group, 60);
    assert!(group.node(1).core.status().log_first > index + 1);
    assert!(group.node(1).released.iter().any(|place| place.0 == index));
    assert_eq!(group.data(2).len(), 220, "the others went on");
}

#[test]
fn what_is_kept_for_a_transfer_is_bounded_in_bytes() {
    let mut group = with_a_transfer(2_000);
    let index = sending(&mut group).unwrap();
    for round in 0..200 {
        group.node(3).core.on_fetch_progress(round);
        write_on(&mut group, 2);
        assert!(group.node(1).core.status().log_bytes < 9_000, "{}", group.node(1).core.status().log_bytes);
    }
    assert!(group.node(1).core.status().log_first > index + 1);
}

#[test]
fn a_peer_that_falls_silent_for_a_moment_keeps_its_claim() {
    let mut group = with_a_transfer(1 << 20);
    let index = sending(&mut group).unwrap();
    group.isolate(3);
    group.tick(50);
    write_on(&mut group, 60);
    assert!(group.node(1).core.status().log_first <= index + 1);
    group.cut.clear();
    group.end_fetch(3);
    group.tick(30);
    assert_eq!(group.data(3).len(), 160);
    assert_eq!(group.node(3).installs, 1);
}

#[test]
fn a_leader_that_starts_again_offers_the_snapshot_that_stands() {
    let mut group = with_a_transfer(1 << 20);
    let index = sending(&mut group).unwrap();
    let term = group.node(1).core.raw.store().term_at(index).unwrap();
    group.restart(1);
    group.restart(2);
    group.node(1).core.on_snapshot_found(SnapshotMade { index, term, manifest: b"files".to_vec() });
    group.node(1).makes_none = true;
    group.restart(3);
    group.node(3).hold_fetches = true;
    group.elect(1);
    group.tick(100);
    assert_eq!(group.node(3).fetching.as_ref().map(|fetch| fetch.index), Some(index), "the same again");
    group.end_fetch(3);
    group.tick(30);
    assert_eq!(group.data(3).len(), 100);
}

#[test]
fn a_found_snapshot_that_does_not_fit_the_log_goes() {
    let mut group = Group::new(1 << 20);
    group.elect(1);
    group.propose(1, 1, b"one");
    group.node(1).core.on_snapshot_found(SnapshotMade { index: 900, term: 1, manifest: Vec::new() });
    group.tick(2);
    assert_eq!(group.node(1).released, [(900, 1)]);
}

#[test]
fn nothing_is_fetched_between_a_fetch_and_its_installation() {
    let mut group = with_a_transfer(500);
    let fetch = group.node(3).fetching.take().expect("it fetches");
    let node = group.node(3);
    let term = node.core.raw.raft.term;
    node.core.on_snapshot_fetched(fetch.index, true);
    let mut offer = Message { from: fetch.from, to: 3, term, ..Message::default() };
    offer.set_msg_type(MessageType::MsgSnapshot);
    let mut metadata = raft::eraftpb::SnapshotMetadata { index: fetch.index + 50, term, ..Default::default() };
    metadata.set_conf_state(ConfState { voters: vec![1, 2, 3], ..ConfState::default() });
    offer.mut_snapshot().set_metadata(metadata);
    node.core.step(&wire::encode_raft(&offer), NOW_MS).unwrap();
    let actions = node.core.take_actions();
    assert!(actions.fetch_snapshot.is_none(), "a fetch would take the received folder away");
    let install = actions.write.and_then(|task| task.install).expect("the installation begins");
    assert_eq!(install.index, fetch.index);
}

#[test]
fn a_voter_that_applies_nothing_holds_no_snapshot_up() {
    let mut group = Group::new(500);
    group.elect(1);
    // Node 1 has a state to compare. Node 2 answers and holds the log, and never tells how far its state machine has come.
    let term = group.node(1).core.role().1;
    group.node(1).core.saw_state(State { index: 1, term, digest: [1; 32] });
    group.isolate(3);
    for i in 0..100 {
        group.propose(1, i, format!("entry {i}").as_bytes());
        group.tick(1);
    }
    group.cut.clear();
    let patience = group.node(1).core.config.snapshot_timeout_ticks as usize;
    group.tick(patience / 2);
    assert_eq!(group.node(3).installs, 0, "node 2 may still tell");
    group.tick(patience + 60);
    assert_eq!(group.node(3).installs, 1);
    assert_eq!(group.data(3).len(), 100);
}
