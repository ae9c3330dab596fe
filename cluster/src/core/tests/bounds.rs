//! Entries that wait to be applied are bounded, on a leader and on a follower.

use super::*;

/// A group whose node 3 applies nothing from now on.
fn with_a_slow_node() -> Group {
    let mut group = Group::new(1 << 20);
    group.elect(1);
    for node in group.nodes.values_mut() {
        node.core.config.max_unapplied_bytes = 5_000;
    }
    group.tick(5);
    group.node(3).hold_applying = true;
    group
}

fn waiting(group: &Group, id: u64) -> usize {
    group.nodes[&id].unapplied.iter().map(|entry| entry.data.len()).sum()
}

#[test]
fn a_follower_that_applies_slowly_lags_and_holds_up_nobody() {
    let mut group = with_a_slow_node();
    for i in 0..100 {
        group.propose(1, i, &[7; 1_000]);
        group.tick(1);
    }
    assert_eq!(group.data(1).len(), 100);
    assert_eq!(group.data(2).len(), 100);
    let held = group.node(3).core.status().log_bytes;
    assert!(waiting(&group, 3) <= 6_000, "{} bytes wait", waiting(&group, 3));
    assert!(held < 20_000, "{held} bytes are in its log");
    assert_eq!(group.node(3).core.role().0, Role::Follower, "it hears its leader all the same");
    group.node(3).hold_applying = false;
    group.tick(200);
    assert_eq!(group.data(3).len(), 100);
}

#[test]
fn a_candidate_that_is_behind_counts_changes_of_members_without_copying_what_waits() {
    let mut group = with_a_slow_node();
    for i in 0..20 {
        group.propose(1, i, &[7; 1_000]);
        group.tick(1);
    }
    let core = &mut group.node(3).core;
    let (applied, commit) = (core.status().applied, core.status().commit);
    let context = raft::GetEntriesContext::empty(false);
    let seen = raft::Storage::entries(core.raw.store(), applied + 1, commit + 1, None, context).unwrap();
    assert_eq!(seen.len() as u64, commit - applied);
    assert!(seen.iter().all(|entry| entry.data.is_empty()));
    group.isolate(1);
    group.tick(100);
    assert!((2..=3).any(|id| group.nodes[&id].core.role().0 == Role::Leader));
}
