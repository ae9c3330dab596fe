//! The set of nodes as acts of the authority change it: when a set counts, what is refused, and that every node has the
//! same afterwards.

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::*;
use prost::Message as _;
use rocksdb::{DB, Options as DbOptions};
use sillage_ledger::seal::TagPrefix;
use sillage_ledger::{CommandOutcome, Ledger};
use sillage_proof::hash::LeafIndex;
use sillage_proto::internal::v1::{Command, RetireKek, Rewrap, SealedBatch};
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::codes::Code;
use sillage_rules::node_set::{NodeSet, NodeSetChange, SetNode};
use sillage_rules::roles::Roles;

/// A ledger whose group knows acts on nodes.
fn open_new(dir: &Path) -> Ledger {
    open_at(dir, 2)
}

/// A ledger of a group at this feature level.
fn open_at(dir: &Path, level: u32) -> Ledger {
    let mut ledger = open(dir);
    ledger.flush().expect("writable");
    drop(ledger);
    let (path, options) = (dir.join("db-1"), DbOptions::default());
    let families = DB::list_cf(&options, &path).expect("a database");
    let db = DB::open_cf(&options, &path, families).expect("a database");
    let meta = db.cf_handle("meta").expect("a family");
    db.put_cf(meta, b"level", level.to_be_bytes()).expect("writable");
    db.flush_cf(meta).expect("writable");
    drop(db);
    open(dir)
}

fn node(id: u8) -> SetNode {
    SetNode {
        id: id.into(),
        name: format!("node-{id}"),
        key: key(100 + id).public_key(),
        tls_spki_sha256: [100 + id; 32],
        client_address: format!("node-{id}.example:7400"),
        peer_address: format!("node-{id}.example:7500"),
    }
}

/// The acts of the authority, one batch after the other.
struct Acts(u64);

impl Acts {
    fn next(&mut self, content: Act) -> SealedBatch {
        self.0 += 1;
        batch(1, "acts", self.0, vec![act(&content)])
    }

    fn done(&mut self, ledger: &mut Ledger, change: NodeSetChange) {
        let outcome = apply_one(ledger, self.next(Act::NodeSetChanged(change)));
        assert_eq!(code(&outcome), None, "{outcome:?}");
    }

    /// Tries an act that is refused: its number isn't used up.
    fn refused(&mut self, ledger: &mut Ledger, content: Act) -> (Option<Code>, String) {
        let outcome = apply_one(ledger, self.next(content));
        self.0 -= 1;
        match outcome {
            CommandOutcome::Refused(refusal) => (Some(refusal.code), refusal.message),
            other => panic!("{other:?}"),
        }
    }
}

fn present(ledger: &Ledger) -> NodeSet {
    ledger.reader().node_set().expect("readable")
}

fn committed(ledger: &mut Ledger) -> LeafIndex {
    match commit(ledger) {
        CommandOutcome::IndexCommitted { index, .. } => index,
        other => panic!("{other:?}"),
    }
}

fn voters_at(ledger: &Ledger, commit: LeafIndex) -> Vec<u64> {
    ledger.reader().node_set_at(commit).expect("readable").voters().ids()
}

/// 3 nodes become 4, then 5, then 3 others; each change is covered by an index commit, which is given.
fn grown_and_shrunk(ledger: &mut Ledger) -> Vec<LeafIndex> {
    let (mut acts, mut commits) = (Acts(0), vec![committed(ledger)]);
    let mut step = |ledger: &mut Ledger, change: &dyn Fn(&NodeSet) -> NodeSetChange| {
        let change = change(&present(ledger));
        acts.done(ledger, change);
        commits.push(committed(ledger));
    };
    let fits = "a change that fits";
    step(ledger, &|set| set.adding(node(4)).expect(fits));
    step(ledger, &|set| set.with_voters(&[1, 2, 3, 4], &[]).expect(fits));
    step(ledger, &|set| set.adding(node(5)).expect(fits));
    step(ledger, &|set| set.with_voters(&[1, 2, 3, 4, 5], &[]).expect(fits));
    step(ledger, &|set| set.with_voters(&[1, 4, 5], &[]).expect(fits));
    step(ledger, &|set| set.leaving_joint(&[2, 3]).expect(fits));
    commits
}

#[test]
fn a_new_set_counts_from_the_second_index_commit_after_its_act_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open_new(dir.path());
    let commits = grown_and_shrunk(&mut ledger);
    let counting: Vec<Vec<u64>> = commits.iter().map(|commit| voters_at(&ledger, *commit)).collect();
    let expected: [&[u64]; 7] =
        [&[1, 2, 3], &[1, 2, 3], &[1, 2, 3], &[1, 2, 3, 4], &[1, 2, 3, 4], &[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5]];
    assert_eq!(counting, expected, "the checkpoint that covers an act is judged by the set before it");
    let next = LeafIndex(ledger.reader().tree_size().get());
    assert_eq!(voters_at(&ledger, next), [1, 4, 5]);
    // The last but one is a joint step: the checkpoint that covers its end needs a majority of both.
    assert!(ledger.reader().node_set_at(commits[6]).expect("readable").is_joint());
    let sets = ledger.reader().node_sets().expect("readable");
    assert_eq!(sets.iter().map(|one| one.set.epoch).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(
        sets.iter().map(|one| one.covered_by).collect::<Vec<_>>(),
        commits[1..].iter().copied().map(Some).collect::<Vec<_>>()
    );
}

#[test]
fn the_keys_of_new_nodes_are_found_and_rotated_like_those_of_the_first() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open_new(dir.path());
    let commits = grown_and_shrunk(&mut ledger);
    let bytes = |seed: u8| Some(key(seed).public_key().to_bytes());
    let key_at = |ledger: &Ledger, id, commit| {
        ledger.reader().node_key_at(id, commit).expect("readable").map(|key| key.to_bytes())
    };
    assert_eq!(key_at(&ledger, 4, commits[1]), None, "it isn't proven yet");
    assert_eq!(key_at(&ledger, 4, LeafIndex(commits[1].get() + 1)), bytes(104));
    assert_eq!(key_at(&ledger, 2, LeafIndex(u64::MAX)), bytes(102), "of a node that is gone: its last");
    let mut acts = Acts(6);
    let rotate = |node_id, seed: u8| Act::NodeKeyRotated { node_id, key: key(seed).public_key() };
    assert_eq!(code(&apply_one(&mut ledger, acts.next(rotate(4, 60)))), None);
    let covering = committed(&mut ledger);
    assert_eq!(key_at(&ledger, 4, covering), bytes(104));
    assert_eq!(key_at(&ledger, 4, LeafIndex(covering.get() + 1)), bytes(60));
    for gone in [2, 9] {
        assert_eq!(acts.refused(&mut ledger, rotate(gone, 61)).0, Some(Code::ActRefused));
    }
    assert_eq!(acts.refused(&mut ledger, rotate(1, 105)).0, Some(Code::ActRefused), "node 5 came with it");
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open_new(dir.path());
    grown_and_shrunk(&mut ledger);
    let (set, mut acts) = (present(&ledger), Acts(6));
    assert_eq!(code(&apply_one(&mut ledger, acts.next(Act::LogKeyRotated { key: key(70).public_key() }))), None);
    let before = (ledger.reader().root(), ledger.reader().node_sets().expect("readable"));
    let good = set.adding(node(6)).expect("a change that fits");
    let with = |alter: &dyn Fn(&mut NodeSetChange)| {
        let mut change = good.clone();
        alter(&mut change);
        change
    };
    let to = |voters: &[u64], outgoing: &[u64], removed: &[u64]| NodeSetChange {
        epoch: 7,
        voters: voters.to_vec(),
        voters_outgoing: outgoing.to_vec(),
        removed: removed.to_vec(),
        ..NodeSetChange::default()
    };
    let refusals = [
        (with(&|change| change.epoch = 8), "so the next has 7"),
        (with(&|change| change.epoch = 6), "so the next has 7"),
        (with(&|change| (change.added[0].id, change.learners) = (2, vec![2])), "the id 2 was used before"),
        (with(&|change| change.added[0].key = key(1).public_key()), "key was used before"),
        (with(&|change| change.added[0].key = key(99).public_key()), "key was used before"),
        (with(&|change| change.added[0].key = key(70).public_key()), "key was used before"),
        (with(&|change| change.added[0].key = key(102).public_key()), "key was used before"),
        (with(&|change| change.added[0].key = key(105).public_key()), "key was used before"),
        (with(&|change| change.added[0].tls_spki_sha256 = [103; 32]), "certificate of node 6 was used before"),
        (with(&|change| change.added[0].tls_spki_sha256 = [2; 32]), "certificate of node 6 was used before"),
        (to(&[1, 4, 5, 9], &[], &[]), "no node 9"),
        (to(&[1, 4, 5], &[], &[2]), "no node 2"),
        (to(&[1, 4], &[], &[]), "node 5 would be neither"),
        (to(&[1], &[], &[4, 5]), "two are the fewest"),
        (to(&[1, 4, 5], &[], &[]), "changes nothing"),
        (to(&[1, 4], &[1, 4, 5], &[]), "leave `voters_outgoing` empty"),
    ];
    for (change, why) in refusals {
        let (code, said) = acts.refused(&mut ledger, Act::NodeSetChanged(change.clone()));
        assert_eq!(code, Some(Code::ActRefused), "{change:?}");
        assert!(said.contains(why), "{said}");
    }
    let by_author = batch(2, "s", 1, vec![act(&Act::NodeSetChanged(good.clone()))]);
    assert_eq!(code(&apply_one(&mut ledger, by_author)), Some(Code::NotEntitled), "only the authority may");
    // Two acts of one batch see each other; the second doesn't fit, so neither stays.
    let twice = vec![act(&Act::NodeSetChanged(good.clone())), act(&Act::NodeSetChanged(good.clone()))];
    assert_eq!(code(&apply_one(&mut ledger, batch(1, "acts", acts.0 + 1, twice))), Some(Code::ActRefused));
    assert_eq!((ledger.reader().root(), ledger.reader().node_sets().expect("readable")), before);
    acts.done(&mut ledger, good);
}

fn registered(key_of: u8, certificate: u8) -> Act {
    let party = PartyRegistration { tls_spki_sha256: vec![[certificate; 32]], ..registration(key_of, Roles::READER) };
    Act::Registered(party)
}

fn replaced(key_of: u8, certificate: u8) -> Act {
    let (author_id, tls_spki_sha256) = (author_id(2), vec![[certificate; 32]]);
    Act::Rotated { author_id, key: key(key_of).public_key(), tls_spki_sha256 }
}

/// Keys and certificates of the log, of a first node, of one that came, of one that is gone, and of one after its rotation.
const OF_NODES: [(u8, u8, &str); 7] = [
    (99, 50, "key is or was"),
    (101, 50, "key is or was"),
    (102, 50, "key is or was"),
    (104, 50, "key is or was"),
    (60, 50, "key is or was"),
    (50, 103, "certificate is or was"),
    (50, 104, "certificate is or was"),
];

/// Node 4 came, node 2 is gone, node 1 has another key.
fn changed_at(dir: &Path, level: u32) -> (Ledger, Acts) {
    let mut ledger = open_at(dir, level);
    grown_and_shrunk(&mut ledger);
    let mut acts = Acts(6);
    let rotate = Act::NodeKeyRotated { node_id: 1, key: key(60).public_key() };
    assert_eq!(code(&apply_one(&mut ledger, acts.next(rotate))), None);
    (ledger, acts)
}

#[test]
fn no_party_has_a_key_or_certificate_that_a_node_ever_had() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut ledger, mut acts) = changed_at(dir.path(), 3);
    let before = ledger.reader().root();
    for (key_of, certificate, why) in OF_NODES {
        for act in [registered(key_of, certificate), replaced(key_of, certificate)] {
            let (code, said) = acts.refused(&mut ledger, act);
            assert_eq!(code, Some(Code::ActRefused), "{key_of} {certificate}");
            assert!(said.contains(why), "{said}");
        }
    }
    assert_eq!(ledger.reader().root(), before);
    // A node and a party of one batch see each other.
    let adds = Act::NodeSetChanged(present(&ledger).adding(node(6)).expect("a change that fits"));
    let both = vec![act(&adds), act(&registered(106, 50))];
    assert_eq!(code(&apply_one(&mut ledger, batch(1, "acts", acts.0 + 1, both))), Some(Code::ActRefused));
    assert_eq!(code(&apply_one(&mut ledger, acts.next(registered(50, 50)))), None);
    // The other way round: what a party has, no node comes with.
    for (key_of, certificate, why) in [(50, 106, "key was used"), (106, 50, "certificate of node 6 was used")] {
        let node = SetNode { key: key(key_of).public_key(), tls_spki_sha256: [certificate; 32], ..node(6) };
        let change = present(&ledger).adding(node).expect("a change that fits the set");
        let (code, said) = acts.refused(&mut ledger, Act::NodeSetChanged(change));
        assert_eq!(code, Some(Code::ActRefused));
        assert!(said.contains(why), "{said}");
    }
    let rotate = Act::NodeKeyRotated { node_id: 1, key: key(50).public_key() };
    assert_eq!(acts.refused(&mut ledger, rotate).0, Some(Code::ActRefused));
    // Of another log: to this one it is a new key.
    assert_eq!(code(&apply_one(&mut ledger, acts.next(registered(51, 51)))), None);
}

#[test]
fn below_the_level_of_roles_a_party_is_taken_as_before() {
    for (key_of, certificate, _) in OF_NODES {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut ledger, mut acts) = changed_at(dir.path(), 2);
        assert_eq!(code(&apply_one(&mut ledger, acts.next(registered(key_of, certificate)))), None, "{key_of}");
    }
}

#[test]
fn one_of_two_nodes_and_the_last_one_stay() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open_new(dir.path());
    let mut acts = Acts(0);
    let two = present(&ledger).with_voters(&[1, 2], &[3]).expect("a change that fits");
    acts.done(&mut ledger, two);
    let one = NodeSetChange { epoch: 2, voters: vec![1], removed: vec![2], ..NodeSetChange::default() };
    let (code, said) = acts.refused(&mut ledger, Act::NodeSetChanged(one));
    assert_eq!(code, Some(Code::ActRefused));
    assert!(said.contains("2 voters can't become 1"), "{said}");
}

#[test]
fn until_every_node_knows_them_acts_on_nodes_are_as_unknown_as_they_were() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open(dir.path());
    let before = ledger.reader().root();
    let change = present(&ledger).adding(node(4)).expect("a change that fits");
    let (code, said) = Acts(0).refused(&mut ledger, Act::NodeSetChanged(change));
    assert_eq!(code, Some(Code::UnknownKind));
    assert!(said.contains("update all of them"), "{said}");
    assert_eq!(ledger.reader().root(), before);
}

#[test]
fn every_node_has_the_same_sets_by_replay_by_snapshot_and_after_a_restart() {
    let [first, second, third, files] = std::array::from_fn(|_| tempfile::tempdir().expect("a folder"));
    let mut ledger = open_new(first.path());
    grown_and_shrunk(&mut ledger);
    let mut replayed = open_new(second.path());
    grown_and_shrunk(&mut replayed);
    let all = |ledger: &Ledger| (ledger.reader().root(), ledger.reader().node_sets().expect("readable"));
    assert_eq!(all(&ledger), all(&replayed));
    let snapshot = files.path().join("snapshot");
    ledger.checkpoint(&snapshot).expect("written");
    let mut behind = open(third.path());
    behind.install(&snapshot).expect("a snapshot of this log");
    assert_eq!(all(&behind), all(&ledger));
    assert_eq!(present(&behind), present(&ledger));
    let expected = all(&ledger);
    ledger.flush().expect("writable");
    drop(ledger);
    assert_eq!(all(&open(first.path())), expected);
}

/// Performs a command of the leader about keys.
fn change_keys(ledger: &mut Ledger, command: Command) {
    let index = ledger.applied().0 + 1;
    let bytes = Command { version: 2, ..command }.encode_to_vec();
    let outcomes = ledger.apply(index, 1, START_MS + 1_000 * index, &bytes).expect("applicable");
    assert_eq!(outcomes.iter().find_map(code), None, "{outcomes:?}");
}

#[test]
fn when_a_node_is_removed_every_prefix_waits_for_a_key_that_it_does_not_hold() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut ledger = open_new(dir.path());
    let mut acts = Acts(0);
    let waiting = |ledger: &Ledger| ledger.reader().open_erasures(10_000).expect("readable");
    let without = present(&ledger).with_voters(&[1, 2], &[3]).expect("a change that fits");

    // A batch that is refused leaves nothing, although its first act would do.
    let twice = [1, 2].map(|_| act(&Act::NodeSetChanged(without.clone()))).to_vec();
    let outcome = apply_one(&mut ledger, batch(1, "acts", 1, twice));
    assert_eq!(code(&outcome), Some(Code::ActRefused));
    assert!(waiting(&ledger).is_empty());

    acts.done(&mut ledger, without);
    let open = waiting(&ledger);
    assert_eq!(open.len(), usize::from(TagPrefix::COUNT));
    assert!(open.iter().all(|open| open.is_renewal() && open.keys_gone && open.epoch == 1));
    let prefixes: BTreeSet<TagPrefix> = open.iter().map(|open| TagPrefix::of(&open.tag)).collect();
    assert_eq!(prefixes.len(), open.len());

    let prefix = TagPrefix::new(7).expect("below 4,096");
    change_keys(
        &mut ledger,
        Command { rewrap: Some(Rewrap { keys: Vec::new(), prefix: 7, epoch: 2 }), ..Command::default() },
    );
    change_keys(&mut ledger, Command { retire_kek: Some(RetireKek { prefix: 7, epoch: 1 }), ..Command::default() });
    assert_eq!(waiting(&ledger).len(), open.len() - 1);
    let epochs = ledger.reader().kek_epochs(prefix).expect("readable");
    assert_eq!((epochs.current, epochs.retired, epochs.erasures), (2, 1, 0), "no erasure waited for it");
}
