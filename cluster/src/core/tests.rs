//! The core over a network of messages in a list, where tests choose what is lost.

use std::collections::{BTreeMap, VecDeque};

use super::*;

mod bounds;
mod members;
mod snapshots;

const NOW_MS: u64 = 1_000_000;

/// One replica that writes and applies at once, to memory.
struct Node {
    core: Core,
    /// The content of the disk.
    disk: Recovered,
    applied: Vec<(u64, Vec<u8>)>,
    /// (index, term) applied; the state is `applied`.
    at: (u64, u64),
    reads: Vec<(ReadId, u64)>,
    acknowledged: Vec<ProposalId>,
    /// Changes of the members that were applied.
    changes: Vec<Members>,
    superseded: Vec<ProposalId>,
    /// Keep installations until this is unset, and what comes after them.
    hold_installs: bool,
    held: Vec<WriteTask>,
    /// Apply nothing until this is unset.
    hold_applying: bool,
    unapplied: VecDeque<CommittedEntry>,
    /// Don't answer to the offer of a snapshot.
    hold_fetches: bool,
    /// The one that waits.
    fetching: Option<FetchSnapshot>,
    installs: usize,
    /// Makes no snapshots.
    makes_none: bool,
    released: Vec<(u64, u64)>,
}

struct Group {
    nodes: BTreeMap<u64, Node>,
    wire: VecDeque<(u64, Outgoing)>,
    /// (from, to) pairs that lose everything.
    cut: Vec<(u64, u64)>,
    keep_bytes: u64,
    seed: u64,
}

fn config(id: u64, keep_bytes: u64) -> CoreConfig {
    let mut config = CoreConfig::new(id, vec![1, 2, 3]);
    config.log_keep_bytes = keep_bytes;
    config.log_max_bytes = keep_bytes;
    config
}

impl Group {
    fn new(keep_bytes: u64) -> Self {
        let mut group = Group { nodes: BTreeMap::new(), wire: VecDeque::new(), cut: Vec::new(), keep_bytes, seed: 0 };
        for id in 1..=3 {
            group.start(id, Recovered::default(), Vec::new(), (0, 0));
        }
        group
    }

    fn start(&mut self, id: u64, disk: Recovered, applied: Vec<(u64, Vec<u8>)>, at: (u64, u64)) {
        self.seed += 1;
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let config = config(id, self.keep_bytes);
        let core = Core::new(&config, self.seed, disk.clone(), at, &logger).unwrap();
        let node = Node {
            core,
            disk,
            applied,
            at,
            reads: Vec::new(),
            acknowledged: Vec::new(),
            changes: Vec::new(),
            superseded: Vec::new(),
            hold_installs: false,
            held: Vec::new(),
            hold_applying: false,
            unapplied: VecDeque::new(),
            hold_fetches: false,
            fetching: None,
            installs: 0,
            makes_none: false,
            released: Vec::new(),
        };
        self.nodes.insert(id, node);
    }

    /// Stops a node and starts it from its disk, with the state machine empty again unless the log is compacted.
    fn restart(&mut self, id: u64) {
        let node = self.nodes.remove(&id).unwrap();
        if node.disk.mark.0 > 0 {
            self.start(id, node.disk, node.applied, node.at);
        } else {
            self.start(id, node.disk, Vec::new(), (0, 0));
        }
    }

    fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    fn isolate(&mut self, id: u64) {
        let others: Vec<u64> = self.nodes.keys().copied().filter(|&other| other != id).collect();
        for other in others {
            self.cut.extend([(id, other), (other, id)]);
        }
    }

    /// Carries out all actions and delivers all messages until nothing moves.
    fn settle(&mut self) {
        loop {
            let ids: Vec<u64> = self.nodes.keys().copied().collect();
            for id in ids {
                self.act(id);
            }
            let Some((from, outgoing)) = self.wire.pop_front() else {
                return;
            };
            if !self.cut.contains(&(from, outgoing.to))
                && let Some(node) = self.nodes.get_mut(&outgoing.to)
            {
                let _ = node.core.step(&outgoing.message, NOW_MS);
            }
        }
    }

    fn act(&mut self, id: u64) {
        loop {
            let node = self.nodes.get_mut(&id).unwrap();
            let actions = node.core.take_actions();
            if actions.is_empty() && (node.unapplied.is_empty() || node.hold_applying) {
                return;
            }
            assert!(actions.fatal.is_none(), "{:?}", actions.fatal);
            let mut messages = actions.messages;
            if let Some(task) = actions.write {
                if node.hold_installs && (task.install.is_some() || !node.held.is_empty()) {
                    node.held.push(task);
                } else {
                    messages.extend(write(node, task));
                }
            }
            node.unapplied.extend(actions.committed);
            while !node.hold_applying
                && let Some(entry) = node.unapplied.pop_front()
            {
                assert_eq!(entry.index, node.at.0 + 1);
                node.at = (entry.index, entry.term);
                node.applied.push((entry.index, entry.data));
                node.acknowledged.extend(entry.proposal);
                node.changes.extend(entry.members);
                node.core.on_applied(entry.index);
            }
            node.reads.extend(actions.reads_ready);
            node.superseded.extend(actions.superseded);
            if actions.compact.is_some()
                && let Some(compaction) = node.core.compact(node.at.0)
            {
                node.disk.entries.retain(|entry| entry.index > compaction.index);
                node.disk.mark = (compaction.index, compaction.term);
                node.disk.members = Some(compaction.members);
            }
            node.released.extend(actions.release_snapshots);
            let at = node.at;
            if actions.make_snapshot {
                let made = SnapshotMade { index: at.0, term: at.1, manifest: b"files".to_vec() };
                node.core.on_snapshot_made(Some(made).filter(|_| !node.makes_none));
            }
            if let Some(fetch) = actions.fetch_snapshot {
                assert_eq!(fetch.manifest, b"files");
                node.fetching = Some(fetch);
                if !node.hold_fetches {
                    self.end_fetch(id);
                }
            }
            self.wire.extend(messages.into_iter().map(|message| (id, message)));
        }
    }

    /// All files that a node fetches are there.
    fn end_fetch(&mut self, id: u64) {
        let fetch = self.node(id).fetching.take().expect("it fetches");
        let state = self.nodes[&fetch.from].applied.clone();
        let node = self.node(id);
        node.applied = state.into_iter().filter(|(index, _)| *index <= fetch.index).collect();
        node.core.on_snapshot_fetched(fetch.index, true);
    }

    fn tick(&mut self, ticks: usize) {
        for _ in 0..ticks {
            for node in self.nodes.values_mut() {
                node.core.tick();
            }
            self.settle();
        }
    }

    fn elect(&mut self, id: u64) {
        self.node(id).core.campaign();
        self.settle();
        assert_eq!(self.node(id).core.role().0, Role::Leader);
    }

    fn propose(&mut self, id: u64, proposal: u64, data: &[u8]) {
        self.node(id).core.propose(ProposalId(proposal), data.to_vec(), NOW_MS).unwrap();
        self.settle();
    }

    /// The proposals on a node, without the algorithm's own entries.
    fn data(&self, id: u64) -> Vec<Vec<u8>> {
        let applied = self.nodes[&id].applied.iter();
        applied.map(|(_, data)| data.clone()).filter(|data| !data.is_empty()).collect()
    }
}

fn write(node: &mut Node, task: WriteTask) -> Vec<Outgoing> {
    if let Some(install) = &task.install {
        node.installs += 1;
        node.disk.mark = (install.index, install.term);
        node.disk.entries.clear();
        node.disk.members = Some(MembersAt::new(install.index, Members::from(&install.conf_state)));
        node.at = node.disk.mark;
    }
    if let Some(first) = task.entries.first() {
        node.disk.entries.retain(|entry| entry.index < first.index);
    }
    node.disk.entries.extend(task.entries);
    if let Some(state) = task.hard_state {
        node.disk.hard_state = state;
    }
    if let Some(members) = task.members {
        node.disk.members = Some(members);
    }
    node.core.on_persisted(task.number);
    task.messages
}

#[test]
fn a_leader_is_elected_and_its_proposals_are_applied_everywhere() {
    let mut group = Group::new(1 << 20);
    group.tick(100);
    let leaders: Vec<u64> = (1..=3).filter(|&id| group.node(id).core.role().0 == Role::Leader).collect();
    assert_eq!(leaders.len(), 1);
    group.propose(leaders[0], 1, b"one");
    group.propose(leaders[0], 2, b"two");
    group.tick(3);
    for id in 1..=3 {
        assert_eq!(group.data(id), [b"one", b"two"], "node {id}");
    }
    assert_eq!(group.node(leaders[0]).acknowledged, [ProposalId(1), ProposalId(2)]);
    let follower = leaders[0] % 3 + 1;
    let refused = group.node(follower).core.propose(ProposalId(3), b"x".to_vec(), NOW_MS);
    assert_eq!(refused, Err(NotProposed::NotLeader { leader: Some(leaders[0]) }));
}

#[test]
fn the_next_leader_replaces_what_the_last_one_could_not_commit() {
    let mut group = Group::new(1 << 20);
    group.elect(1);
    group.propose(1, 1, b"kept");
    group.isolate(1);
    group.propose(1, 2, b"lost");
    assert_eq!(group.node(1).acknowledged, [ProposalId(1)]);
    group.tick(60);
    assert_eq!(group.node(1).superseded, [ProposalId(2)], "a leader without a majority lets go");
    let next = (2..=3).find(|&id| group.node(id).core.role().0 == Role::Leader).unwrap();
    group.propose(next, 3, b"other");
    group.cut.clear();
    group.tick(60);
    for id in 1..=3 {
        assert_eq!(group.data(id), [&b"kept"[..], b"other"], "node {id}");
    }
    group.restart(1);
    group.tick(60);
    assert_eq!(group.data(1), [&b"kept"[..], b"other"], "the disk log was overwritten too");
}

#[test]
fn a_lagging_follower_is_brought_up_by_a_snapshot() {
    let mut group = Group::new(500);
    group.elect(1);
    group.isolate(3);
    for i in 0..100 {
        group.propose(1, i, format!("entry {i}").as_bytes());
        group.tick(1);
    }
    assert!(group.node(1).core.status().log_first > 50);
    group.cut.clear();
    group.tick(60);
    assert_eq!(group.data(3).len(), 100);
    assert!(group.node(3).core.status().log_first > 50);
    let leader = group.node(3).core.leader().unwrap();
    group.propose(leader, 100, b"after");
    group.tick(5);
    assert_eq!(group.data(3).len(), 101);
    group.restart(3);
    group.tick(60);
    assert_eq!(group.data(3).len(), 101);
}

#[test]
fn a_node_does_not_campaign_while_it_installs_a_snapshot() {
    let mut group = Group::new(500);
    group.elect(1);
    group.isolate(3);
    for i in 0..100 {
        group.propose(1, i, format!("entry {i}").as_bytes());
        group.tick(1);
    }
    group.cut.clear();
    group.node(3).hold_installs = true;
    group.tick(60);
    assert!(!group.node(3).held.is_empty(), "the installation waits");
    group.isolate(3);
    group.node(3).core.campaign();
    group.tick(60);
    assert_eq!(group.node(3).core.role().0, Role::Follower);
    let node = group.node(3);
    node.hold_installs = false;
    for task in std::mem::take(&mut node.held) {
        write(node, task);
    }
    group.cut.clear();
    group.tick(60);
    assert_eq!(group.data(3).len(), 100);
}

#[test]
fn a_follower_that_starts_again_in_the_middle_of_a_transfer_is_offered_the_next_at_once() {
    let mut group = Group::new(500);
    group.elect(1);
    group.isolate(3);
    for i in 0..100 {
        group.propose(1, i, format!("entry {i}").as_bytes());
        group.tick(1);
    }
    group.cut.clear();
    group.node(3).hold_fetches = true;
    group.tick(60);
    assert_eq!(group.data(3).len(), 0, "the transfer is under way");
    group.restart(3);
    let patience = group.node(1).core.config.snapshot_timeout_ticks as usize;
    group.tick(patience / 10);
    assert_eq!(group.data(3).len(), 100);
}

#[test]
fn a_heartbeat_beyond_what_a_replica_holds_shows_that_it_forgot() {
    let mut group = Group::new(1 << 20);
    group.elect(1);
    group.propose(1, 1, b"known");
    let status = group.node(3).core.status();
    assert!(!status.forgot);
    let mut heartbeat = raft::eraftpb::Message { from: 1, to: 3, term: status.term, ..Default::default() };
    heartbeat.set_msg_type(raft::eraftpb::MessageType::MsgHeartbeat);
    heartbeat.commit = status.log_last;
    group.node(3).core.step(&super::wire::encode_raft(&heartbeat), NOW_MS).expect("as much as it has");
    heartbeat.commit += 1;
    group.node(3).core.step(&super::wire::encode_raft(&heartbeat), NOW_MS).expect_err("more than it has");
    assert!(group.node(3).core.status().forgot);
}

#[test]
fn an_entry_stamped_an_hour_ahead_stops_nobody_while_a_node_is_down() {
    let mut group = Group::new(1 << 20);
    group.elect(1);
    group.isolate(3);
    let hour_ms = 3_600_000;
    group.node(1).core.propose(ProposalId(1), b"an hour ahead".to_vec(), NOW_MS + hour_ms).unwrap();
    group.settle();
    assert_eq!(group.data(2), [b"an hour ahead"], "its stamp is the state machine's to judge");
    group.propose(1, 2, b"now");
    group.tick(10);
    for id in 1..=2 {
        assert_eq!(group.data(id), [&b"an hour ahead"[..], b"now"], "node {id}");
    }
}

#[test]
fn an_uncommitted_entry_stamped_ahead_is_committed_by_whoever_leads_next() {
    let mut group = Group::new(1 << 20);
    group.elect(1);
    group.cut.extend([(2, 1), (3, 1)]);
    let hour_ms = 3_600_000;
    group.node(1).core.propose(ProposalId(1), b"an hour ahead".to_vec(), NOW_MS + hour_ms).unwrap();
    group.settle();
    assert!(group.data(1).is_empty(), "no answer reached the leader");
    group.cut.clear();
    group.isolate(1);
    group.tick(60);
    let next = (2..=3).find(|&id| group.node(id).core.role().0 == Role::Leader).unwrap();
    group.propose(next, 2, b"now");
    group.tick(10);
    for id in 2..=3 {
        assert_eq!(group.data(id), [&b"an hour ahead"[..], b"now"], "node {id}");
    }
}

#[test]
fn a_stamp_far_ahead_does_not_stay_for_those_after_it() {
    let mut group = Group::new(1 << 20);
    group.elect(1);
    let hour_ms = 3_600_000;
    for (id, stamp_ms) in [(1, NOW_MS + hour_ms), (2, NOW_MS)] {
        group.node(1).core.propose(ProposalId(id), vec![1], stamp_ms).unwrap();
        group.settle();
    }
    let stamps: Vec<u64> = group.node(2).disk.entries.iter().map(super::memlog::entry_time_ms).collect();
    assert_eq!(stamps, [0, NOW_MS + hour_ms, NOW_MS], "the leader's own entry has none");
}

#[test]
fn a_follower_reads_what_was_acknowledged_before() {
    let mut group = Group::new(1 << 20);
    group.elect(1);
    group.propose(1, 1, b"one");
    group.node(2).core.read(ReadId(7));
    group.settle();
    let index = group.node(1).core.status().commit;
    assert_eq!(group.node(2).reads, [(ReadId(7), index)]);
    assert!(group.node(2).at.0 >= index);
}

#[test]
fn a_read_is_asked_again_and_fails_in_the_end() {
    let mut group = Group::new(1 << 20);
    group.elect(1);
    group.isolate(2);
    group.node(2).core.read(ReadId(1));
    group.tick(8);
    assert!(group.node(2).reads.is_empty());
    group.cut.clear();
    group.tick(20);
    assert_eq!(group.node(2).reads.len(), 1, "the first request was lost");
    group.isolate(2);
    let node = group.node(2);
    node.core.read(ReadId(2));
    let mut failed = Vec::new();
    for _ in 0..100 {
        node.core.tick();
        loop {
            let actions = node.core.take_actions();
            if actions.is_empty() {
                break;
            }
            failed.extend(actions.reads_failed.clone());
            if let Some(task) = actions.write {
                write(node, task);
            }
        }
    }
    assert_eq!(failed, [ReadId(2)]);
}

#[test]
fn a_state_machine_and_a_log_that_do_not_fit_are_refused() {
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    let start = |recovered: Recovered, applied| Core::new(&config(1, 1), 1, recovered, applied, &logger).err();
    let entry = Entry { index: 5, term: 2, ..Entry::default() };
    let log = Recovered { mark: (4, 1), entries: vec![entry], ..Recovered::default() };
    assert!(start(log.clone(), (5, 2)).is_none());
    assert!(start(log.clone(), (4, 1)).is_none());
    assert!(matches!(start(log.clone(), (6, 2)), Some(CoreError::LogBehind { .. })));
    assert!(matches!(start(log.clone(), (3, 1)), Some(CoreError::StateBehind { .. })));
    assert!(matches!(start(log.clone(), (5, 3)), Some(CoreError::Diverged { .. })));
    let promised = Recovered { hard_state: HardState { term: 2, vote: 1, commit: 9 }, ..log };
    assert!(matches!(start(promised, (5, 2)), Some(CoreError::LogBehind { .. })));
}
