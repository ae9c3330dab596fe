//! Changes of the members: what they come to on every node, over restarts and snapshots.

use super::*;

use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, EntryType};

impl Group {
    /// A node that isn't among the first ones.
    fn newcomer(&mut self, id: u64) {
        self.start(id, Recovered::default(), Vec::new(), (0, 0));
    }

    fn change(&mut self, id: u64, change: MemberChange) -> Result<(), MembersRefused> {
        let result = self.node(id).core.propose_members(ProposalId(1000), &change);
        self.settle();
        result.map(|_| ())
    }

    fn voters(&self, id: u64) -> Vec<u64> {
        self.nodes[&id].core.status().voters
    }

    /// Starts a node again with all its state, as a state machine that had flushed would be.
    fn restart_flushed(&mut self, id: u64) {
        let node = self.nodes.remove(&id).unwrap();
        self.start(id, node.disk, node.applied, node.at);
    }

    fn hand_over(&mut self, from: u64, to: u64) {
        self.node(from).core.transfer_leader(to);
        self.settle();
        self.tick(5);
        assert_eq!(self.node(to).core.role().0, Role::Leader);
    }

    /// Adds `id` as a learner and brings it up.
    fn add(&mut self, leader: u64, id: u64) {
        self.newcomer(id);
        self.change(leader, MemberChange::AddLearner(id)).unwrap();
        self.tick(30);
        assert_eq!(self.nodes[&id].core.status().learners, [id]);
    }
}

#[test]
fn a_newcomer_begins_with_a_snapshot_and_is_promoted_when_it_has_caught_up() {
    let mut group = Group::new(1 << 20);
    group.elect(1);
    for i in 0..20 {
        group.propose(1, i, &[7; 1000]);
    }
    group.node(1).core.config.promote_lag_bytes_max = 10_000;
    group.newcomer(4);
    group.tick(60);
    assert_eq!(group.node(4).core.role().0, Role::Follower, "nobody makes itself a member");
    group.isolate(4);
    group.change(1, MemberChange::AddLearner(4)).unwrap();
    group.tick(5);
    let refused = group.change(1, MemberChange::Promote(vec![4]));
    assert!(matches!(refused, Err(MembersRefused::Lags { id: 4, .. })), "{refused:?}");
    group.cut.clear();
    group.tick(60);
    assert!(group.node(4).core.status().log_first > 20, "it never saw the first entries");
    assert_eq!(group.data(4).len(), 20);
    group.change(1, MemberChange::Promote(vec![4])).unwrap();
    group.tick(5);
    for id in 1..=4 {
        assert_eq!(group.voters(id), [1, 2, 3, 4], "node {id}");
    }
    assert_eq!(group.node(1).changes.last().unwrap().voters, [1, 2, 3, 4]);
    group.hand_over(1, 4);
    group.propose(4, 100, b"after");
    group.tick(5);
    for id in 1..=4 {
        assert_eq!(group.data(id).len(), 21, "node {id}");
    }
}

#[test]
fn a_change_that_is_applied_is_not_forgotten_by_a_restart() {
    let mut group = Group::new(1 << 20);
    group.elect(1);
    group.add(1, 4);
    group.change(1, MemberChange::Promote(vec![4])).unwrap();
    group.tick(5);
    for id in 1..=4 {
        group.restart_flushed(id);
        assert_eq!(group.voters(id), [1, 2, 3, 4], "node {id}");
    }
    group.restart(2);
    assert_eq!(group.voters(2), [1, 2, 3], "nothing is applied yet");
    group.tick(60);
    assert_eq!(group.voters(2), [1, 2, 3, 4], "and then it is");
}

#[test]
fn members_are_kept_when_the_entries_that_changed_them_are_dropped() {
    let mut group = Group::new(500);
    group.elect(1);
    group.add(1, 4);
    group.change(1, MemberChange::Promote(vec![4])).unwrap();
    let changed_at = group.node(1).core.members().index;
    for i in 0..100 {
        group.propose(1, i, b"so much that the log is cut");
        group.tick(1);
    }
    for id in 1..=4 {
        assert!(group.node(id).disk.mark.0 > changed_at, "node {id}");
        group.restart_flushed(id);
        assert_eq!(group.voters(id), [1, 2, 3, 4], "node {id}");
        assert_eq!(group.node(id).core.members().highest_id, 4);
    }
}

#[test]
fn a_snapshot_says_who_the_members_were_as_of_its_index() {
    let mut group = Group::new(1 << 20);
    group.elect(1);
    group.propose(1, 1, b"early");
    let (index, term) = group.node(1).at;
    group.add(1, 4);
    let core = &mut group.node(1).core;
    core.on_snapshot_made(Some(SnapshotMade { index, term, manifest: Vec::new() }));
    let offered = core.raw.store().offered().unwrap().get_metadata().clone();
    assert_eq!((offered.index, offered.get_conf_state().learners.len()), (index, 0));
    assert!(raft::Storage::snapshot(core.raw.store(), 0, 2).is_ok());
    assert!(raft::Storage::snapshot(core.raw.store(), 0, 4).is_err(), "node 4 would not find itself in it");
}

#[test]
fn several_members_change_in_two_steps_and_the_second_is_asked_for() {
    let mut group = Group::new(1 << 20);
    group.elect(1);
    group.add(1, 4);
    group.change(1, MemberChange::Set { voters: vec![1, 2, 4], learners: vec![] }).unwrap();
    let status = group.node(1).core.status();
    assert_eq!((status.voters, status.voters_outgoing), (vec![1, 2, 4], vec![1, 2, 3]));
    assert_eq!(group.change(1, MemberChange::AddLearner(5)), Err(MembersRefused::Joint));
    // Both halves count: with 3 and 2 away, the old voters have no majority.
    group.isolate(3);
    group.isolate(2);
    group.propose(1, 7, b"between");
    assert!(!group.node(1).acknowledged.contains(&ProposalId(7)));
    group.cut.clear();
    group.tick(10);
    assert!(group.node(1).acknowledged.contains(&ProposalId(7)));
    group.restart_flushed(4);
    assert_eq!(group.voters(4), [1, 2, 4]);
    assert!(group.nodes[&4].core.members().members.is_joint());
    group.change(1, MemberChange::Leave).unwrap();
    group.tick(60);
    for id in [1, 2, 3, 4] {
        assert_eq!(group.voters(id), [1, 2, 4], "node {id}: node 3 was told too");
        assert!(!group.nodes[&id].core.members().members.is_joint(), "node {id}");
    }
    group.isolate(1);
    group.tick(100);
    assert_eq!(group.node(3).core.role().0, Role::Follower, "who was removed doesn't campaign");
    group.node(3).core.campaign();
    assert_eq!(group.node(3).core.role().0, Role::Follower, "not even when asked to");
}

#[test]
fn a_leader_that_is_removed_steps_down_and_the_others_go_on() {
    let mut group = Group::new(1 << 20);
    group.elect(1);
    assert_eq!(group.change(1, MemberChange::Remove(vec![1])), Err(MembersRefused::Leads(1)));
    // As a leader of before would have proposed it.
    let single = |id| {
        let mut single = ConfChangeSingle { node_id: id, ..Default::default() };
        single.set_change_type(ConfChangeType::RemoveNode);
        single
    };
    let change = ConfChangeV2 { changes: vec![single(1)], ..Default::default() };
    group.node(1).core.raw.propose_conf_change(Vec::new(), change).unwrap();
    group.settle();
    assert_eq!(group.node(1).core.role().0, Role::Follower);
    group.tick(60);
    let next = (2..=3).find(|&id| group.node(id).core.role().0 == Role::Leader).unwrap();
    assert_eq!(group.voters(next), [2, 3]);
    group.propose(next, 9, b"on");
    assert!(group.node(next).acknowledged.contains(&ProposalId(9)));
    let mut stale = raft::eraftpb::Message { from: 1, to: next, term: 99, ..Default::default() };
    stale.set_msg_type(raft::eraftpb::MessageType::MsgRequestVote);
    let refused = group.node(next).core.step(&super::super::wire::encode_raft(&stale), NOW_MS);
    assert_eq!(refused, Err(StepError::WrongPeer { from: 1, to: next }));
}

#[test]
fn who_was_away_during_a_change_takes_the_log_from_a_leader_it_does_not_know() {
    let mut group = Group::new(1 << 20);
    group.elect(1);
    group.isolate(3);
    group.add(1, 4);
    group.change(1, MemberChange::Promote(vec![4])).unwrap();
    group.hand_over(1, 4);
    group.isolate(1);
    for other in [2, 3] {
        group.cut.retain(|&(from, to)| (from, to) != (4, other) && (from, to) != (other, 4));
    }
    group.cut.retain(|&cut| cut != (2, 3) && cut != (3, 2));
    group.propose(4, 5, b"by a stranger");
    group.tick(60);
    assert_eq!(group.data(3), [b"by a stranger"]);
    assert_eq!(group.voters(3), [1, 2, 3, 4]);
}

#[test]
fn one_change_at_a_time_and_a_lost_one_is_told() {
    let mut group = Group::new(1 << 20);
    group.elect(1);
    group.isolate(1);
    group.change(1, MemberChange::AddLearner(4)).unwrap();
    assert_eq!(group.change(1, MemberChange::AddLearner(5)), Err(MembersRefused::UnderWay));
    group.tick(60);
    assert_eq!(group.node(1).superseded, [ProposalId(1000)]);
    let refused = group.change(1, MemberChange::AddLearner(4));
    assert_eq!(refused, Err(MembersRefused::NotLeader { leader: None }));
}

#[test]
fn a_change_that_can_not_be_read_stops_the_node() {
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let mut bad = Entry { index: 1, term: 1, data: vec![0xff; 5], ..Entry::default() };
    bad.set_entry_type(EntryType::EntryConfChangeV2);
    let log = Recovered { entries: vec![bad], ..Recovered::default() };
    let started = Core::new(&config(1, 1), 1, log.clone(), (1, 1), &logger);
    assert!(matches!(started.err(), Some(CoreError::Members { index: 1, .. })));
    // Not applied yet: it is found when it is.
    let committed = Recovered { hard_state: HardState { term: 1, vote: 0, commit: 1 }, ..log };
    let mut core = Core::new(&config(1, 1), 1, committed, (0, 0), &logger).unwrap();
    let actions = core.take_actions();
    assert!(matches!(actions.fatal, Some(CoreError::Members { index: 1, .. })));
    assert!(actions.committed.is_empty());
}
