//! Stories of disks that aren't what they were, and of states that differ.

use std::collections::BTreeMap;

use raft::eraftpb::ConfState;

use super::*;
use crate::identity::{DiskClaim, DiskRun, Start};

const NOW_MS: u64 = 1_000_000;

/// A replica whose disk is memory, and that applies at once.
struct Node {
    core: Core,
    run: DiskRun,
    claim: DiskClaim,
    disk: Recovered,
    applied: (u64, u64),
    /// Makes its digest differ from its peers'.
    spoilt: bool,
    acknowledged: Vec<ProposalId>,
    /// Runs of peers that wait to be durable.
    storing: Vec<(u64, DiskRun)>,
    hold_stores: bool,
}

fn run_of(id: u64, start: u64) -> DiskRun {
    DiskRun { disk: [id as u8; 16], start, run: id * 1_000 + start }
}

impl Node {
    fn start(id: u64, run: DiskRun, disk: Recovered, applied: (u64, u64)) -> Node {
        Self::start_as(id, run.into(), disk, applied)
    }

    fn start_as(id: u64, claim: DiskClaim, disk: Recovered, applied: (u64, u64)) -> Node {
        let run = claim.run;
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let config = CoreConfig { disk: Some(claim.clone()), ..CoreConfig::new(id, vec![1, 2, 3]) };
        let core = Core::new(&config, run.run, disk.clone(), applied, &logger).unwrap();
        let (acknowledged, storing) = (Vec::new(), Vec::new());
        Node { core, run, claim, disk, applied, spoilt: false, acknowledged, storing, hold_stores: false }
    }

    /// Carries out what there is to do; gives what is to be sent.
    fn act(&mut self) -> Vec<Outgoing> {
        let mut out = Vec::new();
        loop {
            let actions = self.core.take_actions();
            if actions.is_empty() {
                return out;
            }
            out.extend(actions.messages);
            if let Some(task) = actions.write {
                for entry in task.entries {
                    self.disk.entries.truncate(entry.index as usize - 1);
                    self.disk.entries.push(entry);
                }
                if let Some(state) = task.hard_state {
                    self.disk.hard_state = state;
                }
                self.core.on_persisted(task.number);
                out.extend(task.messages);
            }
            for entry in actions.committed {
                self.applied = (entry.index, entry.term);
                self.core.on_applied(entry.index);
                let digest = [entry.index as u8 + u8::from(self.spoilt) * 100; 32];
                self.core.saw_state(State { index: entry.index, term: entry.term, digest });
                if !self.core.is_in_doubt() {
                    self.acknowledged.extend(entry.proposal);
                }
            }
            if let Some(claim) = actions.store_starts {
                self.claim = claim;
            }
            self.storing.extend(actions.store_peers);
            if !self.hold_stores {
                for (peer, run) in std::mem::take(&mut self.storing) {
                    self.disk.peers.insert(peer, run);
                    self.core.on_peer_stored(peer, run);
                }
            }
        }
    }
}

struct Group {
    nodes: BTreeMap<u64, Node>,
    /// (from, to) pairs that lose everything.
    unheard: Vec<(u64, u64)>,
}

impl Group {
    fn new() -> Self {
        let mut group = Self::of([1, 2, 3]);
        group.ticks(1);
        group
    }

    fn of(ids: impl IntoIterator<Item = u64>) -> Self {
        let node = |id| (id, Node::start(id, run_of(id, 1), Recovered::default(), (0, 0)));
        Group { nodes: ids.into_iter().map(node).collect(), unheard: Vec::new() }
    }

    fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    /// Takes a node away; its disk and what it has applied stay for a later start.
    fn stop(&mut self, id: u64) -> Node {
        self.nodes.remove(&id).unwrap()
    }

    fn start(&mut self, id: u64, run: DiskRun, disk: Recovered, applied: (u64, u64)) {
        self.nodes.insert(id, Node::start(id, run, disk, applied));
    }

    /// Messages travel until nothing moves.
    fn settle(&mut self) {
        for _ in 0..200 {
            let mut sent = Vec::new();
            for (&from, node) in &mut self.nodes {
                let outgoing = node.act();
                sent.extend(outgoing.into_iter().map(|outgoing| (from, node.claim.clone(), outgoing)));
            }
            if sent.is_empty() {
                return;
            }
            for (from, claim, Outgoing { to, message }) in sent {
                let is_heard = !self.unheard.contains(&(from, to));
                if let Some(node) = self.nodes.get_mut(&to).filter(|_| is_heard) {
                    let _ = node.core.step_from(Some(&claim), &message);
                }
            }
        }
    }

    fn ticks(&mut self, count: usize) {
        for _ in 0..count {
            self.nodes.values_mut().for_each(|node| node.core.tick());
            self.settle();
        }
    }

    fn lead(&mut self, id: u64) {
        self.node(id).core.campaign();
        self.settle();
        assert_eq!(self.node(id).core.role().0, Role::Leader);
    }

    fn propose(&mut self, id: u64, number: u64) -> bool {
        let proposed = self.node(id).core.propose(ProposalId(number), b"record".to_vec(), NOW_MS);
        self.settle();
        proposed.is_ok() && self.node(id).acknowledged.contains(&ProposalId(number))
    }

    fn leader(&self) -> Option<u64> {
        let mut leading = self.nodes.iter().filter(|(_, node)| node.core.role().0 == Role::Leader);
        leading.next().map(|(&id, _)| id)
    }
}

#[test]
fn an_emptied_disk_under_a_known_id_does_not_vote() {
    let mut group = Group::new();
    group.lead(1);
    group.propose(1, 1);
    // Node 3 is away while 1 and 2 acknowledge; then 1 is away and node 2 comes back empty, as somebody new.
    let third = group.stop(3);
    assert!(group.propose(1, 2));
    let first = group.stop(1);
    group.stop(2);
    group.start(2, DiskRun { disk: [9; 16], start: 1, run: 9 }, Recovered::default(), (0, 0));
    group.start(3, DiskRun { start: 2, run: 32, ..third.run }, third.disk, third.applied);
    group.ticks(100);
    assert_eq!(group.leader(), None, "node 3 alone is no majority");
    assert!(group.node(2).core.status().disowned.is_some_and(|disowned| disowned.by == 3));
    assert!(matches!(group.node(3).core.status().strangers[..], [(2, PeerFault::OtherDisk { .. })]));
    // With node 1 back the two whole disks go on, and nothing is lost.
    group.start(1, DiskRun { start: 2, run: 12, ..first.run }, first.disk, first.applied);
    group.ticks(100);
    let leader = group.leader().expect("two of three disks are whole");
    assert!(group.propose(leader, 3));
    let applied = group.node(1).applied;
    assert_eq!(group.node(3).applied, applied);
}

#[test]
fn a_disk_put_back_to_an_earlier_start_does_not_acknowledge() {
    let mut group = Group::new();
    group.lead(1);
    group.propose(1, 1);
    let old = group.stop(2);
    group.start(2, DiskRun { start: 2, run: 22, ..old.run }, old.disk.clone(), old.applied);
    group.ticks(5);
    group.stop(3);
    assert!(group.propose(1, 2));
    group.stop(2);
    // Put back as it was before its second start: it starts a second time, as another run of the same number.
    group.start(2, DiskRun { start: 2, run: 99, ..old.run }, old.disk, old.applied);
    assert!(!group.propose(1, 3), "nothing that it says counts");
    assert!(matches!(group.node(1).core.status().strangers[..], [(2, PeerFault::OldStart { came: 2, known: 2 })]));
    group.ticks(30);
    assert!(group.node(2).core.is_out());
}

#[test]
fn a_disk_put_back_and_started_often_without_being_heard_does_not_vote() {
    let starts = |runs: &[(u64, u64)]| {
        let starts: Vec<Start> = runs.iter().map(|&(number, run)| Start { number, run }).collect();
        let last = starts.last().unwrap();
        let run = DiskRun { disk: [2; 16], start: last.number, run: last.run };
        DiskClaim { run, starts }
    };
    let start = |group: &mut Group, claim: DiskClaim, old: &Node| {
        group.nodes.insert(2, Node::start_as(2, claim, old.disk.clone(), old.applied));
    };
    let mut group = Group::new();
    group.lead(1);
    group.propose(1, 1);
    let old = group.stop(2);
    start(&mut group, starts(&[(1, 2_001), (2, 22)]), &old);
    group.ticks(40);
    assert_eq!(
        group.node(2).claim,
        starts(&[(1, 2_001), (2, 22)]),
        "the last starts are remembered, even where a peer has stored a later one"
    );
    group.stop(3);
    assert!(group.propose(1, 2));
    group.stop(2);
    // Put back as it was before its second start. It starts twice and nobody hears it: its number is higher than the one seen.
    start(&mut group, starts(&[(1, 2_001), (2, 23), (3, 33)]), &old);
    assert!(!group.propose(1, 3), "nothing that it says counts");
    assert!(matches!(group.node(1).core.status().strangers[..], [(2, PeerFault::OtherStarts { came: 3, known: 2 })]));
    group.ticks(30);
    assert!(group.node(2).core.is_out(), "it was told");
}

#[test]
fn a_vote_counts_once_the_voters_start_is_durable() {
    let mut group = Group::new();
    group.lead(1);
    group.propose(1, 1);
    let [second, third] = [2, 3].map(|id| group.stop(id));
    group.node(1).hold_stores = true;
    group.start(2, DiskRun { start: 2, run: 22, ..second.run }, second.disk, second.applied);
    group.start(3, DiskRun { start: 2, run: 32, ..third.run }, third.disk, third.applied);
    group.ticks(30);
    assert!(!group.propose(1, 2));
    group.node(1).hold_stores = false;
    group.ticks(60);
    let leader = group.leader().expect("their starts are durable now");
    assert!(group.propose(leader, 3));
}

#[test]
fn a_log_is_founded_by_all_of_its_first_nodes_together() {
    let mut group = Group::of([1, 2]);
    group.ticks(100);
    assert_eq!(group.leader(), None);
    assert!(!group.node(1).core.status().unmet.is_empty());
    group.start(3, run_of(3, 1), Recovered::default(), (0, 0));
    group.ticks(100);
    assert!(group.leader().is_some());
    assert!(group.node(1).core.status().unmet.is_empty());
}

/// Of a node that says which starts it remembers.
fn saying(id: u64) -> DiskClaim {
    let run = run_of(id, 1);
    DiskClaim { run, starts: vec![Start { number: run.start, run: run.run }] }
}

fn saying_group() -> Group {
    let node = |id| (id, Node::start_as(id, saying(id), Recovered::default(), (0, 0)));
    Group { nodes: [1, 2, 3].into_iter().map(node).collect(), unheard: Vec::new() }
}

#[test]
fn only_a_peer_that_says_its_starts_is_told_which_one_is_stored() {
    let mut group = Group::of([1, 2]);
    group.nodes.insert(3, Node::start_as(3, saying(3), Recovered::default(), (0, 0)));
    group.ticks(3);
    let mut sent = Vec::new();
    for _ in 0..30 {
        group.node(1).core.tick();
        sent.extend(group.node(1).act());
    }
    let told = sent.iter().filter(|outgoing| outgoing.message[0] == 5).map(|outgoing| outgoing.to);
    assert_eq!(told.collect::<std::collections::BTreeSet<_>>(), [3].into());
}

#[test]
fn a_founder_that_hears_nobody_is_not_met() {
    let mut group = saying_group();
    group.unheard = vec![(1, 3), (2, 3)];
    group.ticks(100);
    assert_eq!(group.leader(), None);
    assert_eq!(group.node(1).core.status().unmet, [3]);
    group.unheard.clear();
    group.ticks(100);
    assert!(group.leader().is_some());
}

#[test]
fn empty_logs_found_nothing_where_a_founder_has_committed() {
    let mut group = saying_group();
    group.ticks(3);
    assert!(group.node(1).core.status().unmet.is_empty());
    let standing =
        standing::Standing { from: 3, term: 1, commit: 1, state: State { index: 0, term: 0, digest: [0; 32] } };
    let third = group.stop(3);
    group.node(1).core.step_from(Some(&third.claim), &wire::encode_standing(&standing)).unwrap();
    group.ticks(100);
    assert_eq!(group.leader(), None, "node 1 neither campaigns nor votes for node 2");
    let mut disk = third.disk;
    disk.entries = vec![Entry { index: 1, term: 1, ..Entry::default() }];
    disk.hard_state.term = 1;
    let mut starts = third.claim.starts;
    let run = DiskRun { start: 2, run: 32, ..third.run };
    starts.push(Start { number: 2, run: 32 });
    group.nodes.insert(3, Node::start_as(3, DiskClaim { run, starts }, disk, (0, 0)));
    group.ticks(200);
    assert_eq!(group.leader(), Some(3), "the log is there");
    assert!(group.propose(3, 1));
}

#[test]
fn a_log_longer_than_the_leaders_is_found_and_both_stop() {
    let mut group = Group::new();
    group.lead(1);
    group.propose(1, 1);
    let third = group.stop(3);
    for number in 2..6 {
        assert!(group.propose(1, number));
    }
    // The whole of node 2 is put back, within one run, and nobody is there who could tell: the bound of what is seen before.
    let first = group.stop(1);
    let second = group.stop(2);
    let (mut disk, mut applied) = (second.disk, second.applied);
    disk.entries.truncate(2);
    disk.hard_state.commit = 2;
    applied.0 = 2;
    group.start(2, DiskRun { start: 2, run: 22, ..second.run }, disk, applied);
    group.start(3, DiskRun { start: 2, run: 32, ..third.run }, third.disk, third.applied);
    group.ticks(60);
    let leader = group.leader().expect("nobody could tell");
    assert!(group.propose(leader, 9));
    let committed = first.applied.0;
    group.start(1, DiskRun { start: 2, run: 12, ..first.run }, first.disk, first.applied);
    group.ticks(60);
    for id in [leader, 1] {
        let split = group.node(id).core.status().split.unwrap_or_else(|| panic!("node {id} can tell"));
        assert!(split.from <= committed, "{split:?}");
        assert!(group.node(id).core.is_out());
    }
    assert!(!group.propose(leader, 10));
}

#[test]
fn the_minority_with_another_state_stops_and_the_majority_goes_on() {
    let mut group = Group::new();
    group.node(3).spoilt = true;
    group.lead(1);
    group.propose(1, 1);
    group.ticks(25);
    assert!(group.node(3).core.is_out());
    assert_eq!(group.node(1).core.status().divergence.verdict, Verdict::Theirs);
    assert!(group.propose(1, 2));
}

#[test]
fn a_leader_with_another_state_stops_acknowledging() {
    let mut group = Group::new();
    group.node(1).spoilt = true;
    group.lead(1);
    group.propose(1, 1);
    group.ticks(60);
    assert!(group.node(1).core.is_out());
    assert!(!group.propose(1, 2));
    let leader = group.leader().expect("the others go on");
    assert_ne!(leader, 1);
    assert!(group.propose(leader, 3));
}

#[test]
fn where_nobody_knows_who_is_right_nobody_acknowledges() {
    let mut group = Group::new();
    group.node(1).spoilt = true;
    group.lead(1);
    group.stop(3);
    group.propose(1, 1);
    group.ticks(25);
    for id in [1, 2] {
        assert_eq!(group.node(id).core.status().divergence.verdict, Verdict::Unknown);
        assert!(group.node(id).core.is_in_doubt());
    }
    assert!(!group.propose(1, 2));
}

#[test]
fn a_leader_in_doubt_lets_whoever_the_third_node_hears_lead() {
    let mut group = Group::new();
    group.lead(1);
    // From here on node 3 hears node 2 alone: it gets no entries while node 1 leads, and so can't tell who is right.
    group.unheard.push((1, 3));
    group.node(1).spoilt = true;
    assert!(group.propose(1, 1));
    group.ticks(15);
    assert_eq!(group.node(1).core.status().divergence.verdict, Verdict::Unknown);
    group.ticks(100);
    assert!(group.node(1).core.is_out(), "two agree, and it isn't one of them");
    let leader = group.leader().expect("two agree");
    assert!(group.propose(leader, 2));
}

#[test]
fn a_leader_in_doubt_whom_nobody_can_follow_steps_down_and_may_lead_again() {
    let mut group = Group::new();
    group.node(1).spoilt = true;
    group.lead(1);
    group.stop(3);
    group.propose(1, 1);
    let mut led = std::collections::BTreeSet::new();
    for _ in 0..20 {
        group.ticks(25);
        led.extend(group.leader());
    }
    assert_eq!(led.into_iter().collect::<Vec<_>>(), [1, 2], "each leads for a while");
    assert!(!group.propose(1, 2) && !group.propose(2, 2));
}

/// Tells whether a node offers a snapshot of its state now, made as of what it has applied.
fn offers(group: &mut Group, id: u64) -> bool {
    let node = group.node(id);
    let (index, term) = node.applied;
    node.core.on_snapshot_made(Some(SnapshotMade { index, term, manifest: Vec::new() }));
    node.core.raw.store().offered().is_some()
}

#[test]
fn a_node_in_doubt_gives_nobody_its_state() {
    let mut group = Group::new();
    group.node(1).spoilt = true;
    group.lead(1);
    group.propose(1, 1);
    group.ticks(1);
    // Made before anybody knows that the states differ: node 2 answers, and hasn't said what it has.
    let third = group.stop(3);
    assert!(!offers(&mut group, 1), "nobody confirmed it");
    group.ticks(25);
    assert_eq!(group.node(1).core.status().divergence.verdict, Verdict::Unknown);
    assert!(!offers(&mut group, 1) && !offers(&mut group, 2));
    // The third agrees with node 2: the doubt is over, and who is right gives its state again.
    let (index, term) = third.applied;
    group.start(3, DiskRun { start: 2, run: 32, ..third.run }, third.disk, third.applied);
    group.node(3).core.saw_state(State { index, term, digest: [index as u8; 32] });
    group.ticks(60);
    assert!(group.node(1).core.is_out());
    let leader = group.leader().expect("two agree");
    assert!(group.propose(leader, 5));
    group.ticks(25);
    assert!(offers(&mut group, leader));
}

#[test]
fn a_snapshot_is_offered_once_the_others_have_confirmed_it() {
    let mut group = Group::new();
    group.lead(1);
    group.propose(1, 1);
    group.stop(3);
    assert!(!offers(&mut group, 1), "node 2 answers and hasn't said what it has");
    group.ticks(15);
    assert!(group.node(1).core.raw.store().offered().is_some());
}

#[test]
fn a_node_in_doubt_keeps_its_own_state() {
    let mut group = Group::new();
    group.node(1).spoilt = true;
    group.lead(1);
    group.stop(3);
    group.propose(1, 1);
    group.ticks(25);
    assert!(group.node(2).core.is_in_doubt());
    let mut offer = Message { from: 1, to: 2, term: 9, ..Message::default() };
    offer.set_msg_type(MessageType::MsgSnapshot);
    let mut metadata = raft::eraftpb::SnapshotMetadata { index: 50, term: 9, ..Default::default() };
    metadata.set_conf_state(ConfState { voters: vec![1, 2, 3], ..ConfState::default() });
    offer.mut_snapshot().set_metadata(metadata);
    let claim = group.node(1).claim.clone();
    group.node(2).core.step_from(Some(&claim), &wire::encode_raft(&offer)).unwrap();
    assert!(group.node(2).core.take_actions().fetch_snapshot.is_none());
}

#[test]
fn nobody_speaks_for_another_node() {
    let mut group = Group::new();
    group.lead(1);
    // A read that was meant for a leader, at a node that follows one: raft-rs would pass it on.
    let mut read =
        Message { from: 3, to: 2, entries: vec![Entry { data: vec![1], ..Entry::default() }], ..Message::default() };
    read.set_msg_type(MessageType::MsgReadIndex);
    let run = group.node(3).run;
    group.node(2).core.step_from(Some(&run.into()), &wire::encode_raft(&read)).unwrap();
    let sent = group.node(2).act();
    assert!(sent.iter().all(|outgoing| sender_of(&outgoing.message) == Some(2)));
}
