//! Attacks that an operator could try, with every check and proof that it can compute made to fit. Each must fail, at its
//! part.

use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::hash::Hash;
use sillage_proof::note::{KeyKind, SignerKey};
use sillage_proof::policy::Policy;
use sillage_proto::v1;
use sillage_rules::bundle::{
    Bundle, BundleError, EntryProblem, Freshness, Options, Payload, Problem, Report, Section, State,
};
use sillage_rules::entry::{Flags, UnjustifiedReason};
use sillage_rules::kind::Kind;

use crate::story::{Story, erasure, founded, record};
use crate::world::{Refile, World, genesis, log_key, node_key, origin, policy, policy_text, tag};

/// Verified as a stranger does: from the bytes of the file.
fn check(bundle: &Bundle, policy: &Policy, options: &Options) -> Result<Report, BundleError> {
    Bundle::parse(&bundle.encode())?.verify(policy, options)
}

fn refused(bundle: &Bundle) -> (u8, String) {
    let error = check(bundle, &policy(), &Options::default()).expect_err("refused");
    (error.section().expect("a section").id(), error.to_string())
}

fn line_problem(bundle: &Bundle) -> EntryProblem {
    match check(bundle, &policy(), &Options::default()).expect_err("refused") {
        BundleError::Section { section: Section::Entries, problem: Problem::Line { problem, .. } } => problem,
        other => panic!("{other}"),
    }
}

/// The story's bundle after a change.
fn changed(change: impl FnOnce(&mut Bundle)) -> Bundle {
    let mut bundle = Story::new().whole();
    change(&mut bundle);
    bundle
}

#[test]
fn a_shorter_trace_another_order_or_a_repetition_is_not_the_one_in_the_index() {
    let shorter = changed(|bundle| {
        bundle.entries.pop();
        bundle.range.b = 5;
        bundle.range.n = 5;
    });
    assert_eq!(refused(&shorter).0, 6);
    let tail_hidden = changed(|bundle| drop(bundle.entries.pop()));
    assert_eq!(refused(&tail_hidden).0, 6);
    assert_eq!(refused(&changed(|bundle| bundle.entries.swap(0, 1))).0, 6);
    let twice = changed(|bundle| bundle.entries[1] = bundle.entries[0].clone());
    assert_eq!(refused(&twice).0, 6);
    let more = changed(|bundle| {
        bundle.entries.push(bundle.entries[0].clone());
        bundle.range.b = 7;
        bundle.range.n = 7;
    });
    assert_eq!(refused(&more).0, 6);
}

#[test]
fn ranges_that_cannot_be_are_refused() {
    for (n, a, b) in [(6, 1, 6), (6, 0, 7), (6, 3, 2), (u64::MAX, 0, 6), (u64::MAX, u64::MAX - 6, u64::MAX), (0, 0, 6)]
    {
        let bundle = changed(|bundle| (bundle.range.n, bundle.range.a, bundle.range.b) = (n, a, b));
        let section = refused(&bundle).0;
        assert!(matches!(section, 5 | 6), "{n} {a} {b}: section {section}");
    }
    let more = changed(|bundle| bundle.range.before.push(Hash::default()));
    assert_eq!(refused(&more).0, 6);
}

#[test]
fn absence_is_not_shown_of_who_is_there_nor_presence_of_who_is_not() {
    let story = Story::new();
    let hidden = changed(|bundle| {
        *bundle = Bundle { authors: vec![], batches: vec![], entries: vec![], ..bundle.clone() };
        bundle.range = sillage_rules::bundle::Range::empty();
    });
    assert_eq!(refused(&hidden).0, 5);
    // The bucket of someone else's, where this patient has no row: another half of the index.
    let elsewhere = Bundle { bucket: story.absence().bucket, ..hidden };
    let same_bucket = story.absence().bucket == story.whole().bucket;
    assert!(same_bucket || refused(&elsewhere).0 == 5);
    let claimed = Bundle { range: story.whole().range, entries: story.whole().entries, ..story.absence() };
    assert_eq!(refused(&claimed).0, 5);
}

/// A story whose index lies about patient 0, as a majority that colludes could make it.
fn lying(listed: impl Fn(&World) -> Vec<crate::world::Line>, erased: &[u64]) -> Bundle {
    let truth = Story::new();
    let lie = listed(&truth.world);
    let count = lie.len();
    let mut world = World::new(&genesis());
    let read = |patient| record(Kind::ACCESS_READ, patient, "810101234567");
    world.batch("dmp", vec![read(0), read(1), record(Kind::ACCESS_WRITE, 0, "810101234567")]);
    world.batch("messagerie", vec![record(Kind::ACCESS_DOWNLOAD, 0, "899700218896")]);
    world.lies.insert(tag(0), lie);
    let size = world.commit();
    world.batches = truth.world.batches;
    world.bundle(0, size, 0..count, erased)
}

#[test]
fn an_index_that_lies_is_caught_by_the_entries_themselves() {
    let pick = |places: &'static [usize]| {
        move |world: &World| places.iter().map(|place| world.lines[*place].clone()).collect::<Vec<_>>()
    };
    assert!(check(&lying(pick(&[0, 2, 3]), &[]), &policy(), &Options::default()).is_ok(), "the truth");
    assert_eq!(line_problem(&lying(pick(&[0, 2, 2, 3]), &[])), EntryProblem::Order);
    assert_eq!(line_problem(&lying(pick(&[2, 0, 3]), &[])), EntryProblem::Order);
    assert_eq!(line_problem(&lying(pick(&[0, 1, 2, 3]), &[])), EntryProblem::OtherTag);
    // Line 5 is the erasure: it comes after the commit.
    assert_eq!(line_problem(&lying(pick(&[0, 2, 3, 5]), &[])), EntryProblem::BeyondCommit);
}

#[test]
fn a_batch_that_was_replayed_is_one_batch() {
    let mut world = World::new(&genesis());
    let read = |patient| record(Kind::ACCESS_READ, patient, "810101234567");
    world.batch("dmp", vec![read(0), read(1)]);
    world.replay_first_batch();
    let size = world.commit();
    let mut bundle = world.bundle(0, size, 0..2, &[]);
    assert!(matches!(line_problem(&bundle), EntryProblem::Batch(_)));
    bundle.batches.push(bundle.batches[0].clone());
    bundle.entries[1].batch = Some(1);
    assert_eq!(refused(&bundle).0, 8);
}

/// A batch of two records of patient 0 and one of patient 1, with the last entry made otherwise by the node that admitted
/// it, and its record shown or erased; every proof that a node can compute fits.
fn filed(change: Refile, erase: bool) -> Bundle {
    let mut world = World::new(&genesis());
    world.filed = Some((4, change));
    let read = || record(Kind::ACCESS_READ, 0, "810101234567");
    world.batch("dmp", vec![read(), read(), founded(Kind::ACCESS_READ, 1, "810101234567")]);
    world.batch("authority", vec![erasure(0, vec![4], "ORDER")]);
    let patient = usize::from(world.lines[2].tag() != tag(0));
    let size = world.commit();
    let gone: &[u64] = if erase { &[4] } else { &[] };
    world.bundle(patient, size, 0..if patient == 0 { 4 } else { 1 }, gone)
}

#[test]
fn what_the_author_stated_of_a_record_cannot_be_filed_otherwise() {
    assert!(check(&filed(|_| (), false), &policy(), &Options::default()).is_ok(), "the truth");
    // Under another tag, which that patient finds: by the record, and where it was erased, by the author's signature.
    let refiled: Refile = |entry| entry.tag = tag(0);
    assert_eq!(line_problem(&filed(refiled, false)), EntryProblem::KindOrTag);
    assert!(matches!(line_problem(&filed(refiled, true)), EntryProblem::Path(_)));
    // As another kind, or without what the author stated: the same, under its own tag.
    let kind: Refile = |entry| entry.kind = Kind::ACCESS_PRINT;
    assert_eq!(line_problem(&filed(kind, false)), EntryProblem::KindOrTag);
    let prompt: Refile = |entry| entry.flags = Flags::LATE | Flags::BASIS;
    assert_eq!(line_problem(&filed(prompt, false)), EntryProblem::Flags);
    // What isn't stated but found is held against the record.
    let in_time: Refile = |entry| entry.flags = Flags::DEFERRED | Flags::BASIS;
    assert_eq!(line_problem(&filed(in_time, false)), EntryProblem::Flags);
    let unfounded: Refile = |entry| entry.flags = entry.flags | Flags::UNJUSTIFIED;
    assert_eq!(line_problem(&filed(unfounded, false)), EntryProblem::Flags);
    // A fault of a decision that it points to may be one.
    let beyond: Refile = |entry| entry.flags = entry.flags | Flags::unjustified(UnjustifiedReason::Beyond);
    let report = check(&filed(beyond, false), &policy(), &Options::default()).expect("may be so");
    assert_eq!(report.entries[0].unjustified_reason, Some(UnjustifiedReason::Beyond));
}

/// An entry whose record is gone, as a node made it otherwise.
fn gone(change: Refile) -> EntryProblem {
    let mut world = World::new(&genesis());
    world.filed = Some((2, change));
    world.batch("dmp", vec![founded(Kind::ACCESS_READ, 0, "810101234567")]);
    world.batch("authority", vec![erasure(0, vec![2], "ORDER")]);
    let size = world.commit();
    line_problem(&world.bundle(0, size, 0..2, &[2]))
}

#[test]
fn an_erased_record_leaves_nothing_to_restate() {
    assert!(matches!(gone(|entry| entry.kind = Kind::ACCESS_PRINT), EntryProblem::Path(_)));
    assert!(matches!(gone(|entry| entry.flags = Flags::LATE | Flags::BASIS), EntryProblem::Path(_)));
    assert!(matches!(gone(|entry| entry.flags = Flags::UNJUSTIFIED | Flags::DEFERRED), EntryProblem::Path(_)));
    assert_eq!(
        gone(|entry| entry.flags = Flags::DEFERRED),
        EntryProblem::Flags,
        "an access without basis is unjustified"
    );
    assert_eq!(gone(|entry| entry.flags = Flags::UNJUSTIFIED | Flags::BASIS), EntryProblem::Flags);
}

#[test]
fn a_checkpoint_of_another_log_or_a_genesis_of_another_is_refused() {
    // Another log's checkpoint, whose key the policy knows too.
    let name = "other.example/log";
    let other = SignerKey::new(name, KeyKind::Ed25519, sillage_proof::keys::SigningKey::from_seed(&[7; 32]));
    let other = other.expect("a key");
    let both =
        Policy::parse(format!("log {}\nlog {}\nquorum none\n", log_key().verifier(), other.verifier()).as_bytes());
    let both = both.expect("a policy");
    let story = Story::new();
    let Checkpoint { size, root, .. } = story.world.checkpoint(story.new);
    let moved = Checkpoint { origin: name.parse().expect("a name"), size, root };
    let bundle = Bundle { note: moved.sign(&[&other], 0).expect("signed"), ..story.whole() };
    let error = check(&bundle, &both, &Options::default()).expect_err("refused");
    assert!(matches!(error, BundleError::Section { section: Section::Genesis, problem: Problem::OtherOrigin(_) }));
    // A genesis of another name, VRF key or range under this log's name.
    let with = |change: fn(&mut v1::Genesis)| {
        let mut other = genesis();
        change(&mut other);
        let mut world = World::new(&other);
        world.batch("dmp", vec![record(Kind::ACCESS_READ, 0, "810101234567")]);
        let size = world.commit();
        refused(&world.bundle(0, size, 0..1, &[])).0
    };
    assert_eq!(with(|genesis| genesis.origin = "other.example/log".to_owned()), 2);
    assert_eq!(with(|genesis| genesis.version = 2), 2);
    assert_eq!(with(|genesis| genesis.vrf_public_key.clear()), 2);
    assert_eq!(with(|genesis| genesis.index_depth = 9), 3);
    assert_eq!(with(|genesis| genesis.tag_last = vec![0; 32]), 4);
    assert_eq!(with(|genesis| genesis.vrf_public_key = genesis.log_public_key.clone()), 4);
    let not_the_first = changed(|bundle| bundle.genesis = bundle.index_commit.clone());
    assert_eq!(refused(&not_the_first).0, 2);
    let not_a_commit = changed(|bundle| bundle.index_commit = bundle.genesis.clone());
    assert_eq!(refused(&not_a_commit).0, 3);
}

#[test]
fn a_log_key_alone_or_a_minority_of_nodes_is_not_enough() {
    let story = Story::new();
    let nodes = Policy::parse(policy_text("nodes").as_bytes()).expect("a policy");
    let signed = |keys: &[&SignerKey]| {
        let note = story.world.checkpoint(story.new).sign(keys, 1_790_000_000).expect("signed");
        check(&Bundle { note, ..story.whole() }, &nodes, &Options::default())
    };
    let (log, one, two) = (log_key(), node_key(1), node_key(2));
    let report = signed(&[&log, &one, &two]).expect("a majority");
    assert_eq!((report.cosigners.nodes.len(), report.cosigners.auditors.len()), (2, 0));
    for keys in [vec![&log], vec![&log, &one], vec![&one, &two]] {
        let error = signed(&keys).expect_err("refused");
        assert_eq!(error.section(), Some(Section::Checkpoint));
    }
}

/// The part of a decision that is shown.
struct Shown<'a> {
    salts: &'a mut [[u8; 16]; 2],
    actor: &'a mut Vec<u8>,
    private: &'a mut Vec<u8>,
}

#[test]
fn a_decision_is_shown_as_it_was_made_and_as_nothing_else() {
    let of = |change: fn(&mut Shown<'_>)| {
        let bundle = changed(|bundle| match &mut bundle.entries[5].payload {
            Some(Payload::Decision { salts, actor, private }) => change(&mut Shown { salts, actor, private }),
            _ => panic!("a decision is shown"),
        });
        line_problem(&bundle)
    };
    assert_eq!(of(|shown| shown.salts.swap(0, 1)), EntryProblem::OtherRecord);
    assert_eq!(of(|shown| std::mem::swap(shown.actor, shown.private)), EntryProblem::OtherRecord);
    assert_eq!(of(|shown| shown.actor[40] ^= 1), EntryProblem::OtherRecord);
    assert_eq!(of(|shown| shown.private.truncate(20)), EntryProblem::OtherRecord);
    // As a record; and withheld, with no erasure that says so.
    let as_record = changed(|bundle| {
        let Some(Payload::Decision { salts, actor, .. }) = bundle.entries[5].payload.clone() else { panic!("shown") };
        bundle.entries[5].payload = Some(Payload::Record { salt: salts[0], record: actor });
    });
    assert_eq!(line_problem(&as_record), EntryProblem::OtherRecord);
    assert_eq!(line_problem(&changed(|bundle| bundle.entries[5].payload = None)), EntryProblem::Withheld);
    // And a record as a decision.
    let as_decision = changed(|bundle| {
        let Some(Payload::Record { salt, record }) = bundle.entries[0].payload.clone() else { panic!("shown") };
        bundle.entries[0].payload =
            Some(Payload::Decision { salts: [salt; 2], actor: record.clone(), private: record });
    });
    assert_eq!(line_problem(&as_decision), EntryProblem::OtherRecord);
}

#[test]
fn an_old_checkpoint_is_not_fresh() {
    let bundle = Story::new().whole();
    let at = |now_s, age_s_max| check(&bundle, &policy(), &Options { fresh: Some(Freshness { now_s, age_s_max }) });
    let signed_s = 1_790_000_000 + Story::new().new;
    assert!(at(signed_s + 300, 300).is_ok());
    for (now_s, age_s_max) in [(signed_s + 301, 300), (signed_s - 301, 300)] {
        assert_eq!(at(now_s, age_s_max).expect_err("refused").section(), Some(Section::Checkpoint));
    }
    // A checkpoint that is cosigned anew, over an index commit that is not its last entry.
    let story = Story::new();
    let old_commit = story.world.bundle_at(0, story.old, story.new, 0..3);
    let fresh = Options { fresh: Some(Freshness { now_s: signed_s, age_s_max: 9 }) };
    let report = check(&old_commit, &policy(), &Options::default()).expect("good as of then");
    assert!(!report.current && report.commit_index.get() + 1 == story.old);
    assert_eq!(check(&old_commit, &policy(), &fresh).expect_err("old").section(), Some(Section::IndexCommit));
}

#[test]
fn who_signed_cannot_be_changed() {
    let swapped = changed(|bundle| bundle.authors.swap(0, 1));
    assert_eq!(refused(&swapped).0, 8);
    let unused = changed(|bundle| bundle.authors.push(bundle.authors[0].clone()));
    assert_eq!(refused(&unused).0, 7);
    let unused = changed(|bundle| bundle.batches.push(bundle.batches[0].clone()));
    assert_eq!(refused(&unused).0, 8);
    let out_of_range = changed(|bundle| bundle.entries[0].batch = Some(9));
    assert!(matches!(line_problem(&out_of_range), EntryProblem::Batch(_)));
    let disowned = changed(|bundle| bundle.entries[0].batch = None);
    assert!(matches!(line_problem(&disowned), EntryProblem::Batch(_)));
    let claimed = changed(|bundle| bundle.entries[4].batch = Some(0));
    assert!(matches!(line_problem(&claimed), EntryProblem::Batch(_)));
    let count = changed(|bundle| bundle.batches[0].count = 4_097);
    assert!(matches!(refused(&count).0, 8 | 9));
}

#[test]
fn a_record_is_gone_only_where_an_erasure_says_so() {
    let withheld = Story::new().world.bundle(0, Story::new().new, 0..6, &[Story::new().erased, 2]);
    assert_eq!(line_problem(&withheld), EntryProblem::Withheld);
    let act = changed(|bundle| bundle.entries[3].payload = None);
    assert_eq!(line_problem(&act), EntryProblem::ActWithheld);
    let page = check(&Story::new().page(), &policy(), &Options::default()).expect("a page");
    assert_eq!(page.entries[1].state, State::Withheld, "the erasure stands behind the page, and that is said");
    // Of the whole patient: all before it, nothing after it.
    let mut world = World::new(&genesis());
    let read = || record(Kind::ACCESS_READ, 0, "810101234567");
    world.batch("dmp", vec![read(), read()]);
    world.batch("authority", vec![erasure(0, vec![], "REQUEST")]);
    let after = world.batch("messagerie", vec![read()]);
    let size = world.commit();
    let report = check(&world.bundle(0, size, 0..4, &[2, 3]), &policy(), &Options::default()).expect("erased");
    let grounds =
        report.entries.iter().filter(|entry| matches!(&entry.state, State::Erased(by) if by.ground == "REQUEST"));
    assert_eq!(grounds.count(), 2);
    assert_eq!(line_problem(&world.bundle(0, size, 0..4, &[2, 3, after])), EntryProblem::Withheld);
    // An erasure that names others' records, or later ones, explains nothing.
    for named in [vec![4], vec![9]] {
        let mut world = World::new(&genesis());
        let gone = world.batch("dmp", vec![read()]);
        world.batch("authority", vec![erasure(0, named, "ORDER")]);
        let size = world.commit();
        assert_eq!(line_problem(&world.bundle(0, size, 0..2, &[gone])), EntryProblem::Withheld);
    }
}

#[test]
fn a_delta_that_does_not_continue_is_refused() {
    let delta = |change: fn(&mut sillage_rules::bundle::Since)| {
        let mut bundle = Story::new().delta();
        change(bundle.since.as_mut().expect("a delta"));
        refused(&bundle).0
    };
    assert_eq!(delta(|since| since.size = 0), 10);
    assert_eq!(delta(|since| since.size = u64::MAX), 10);
    assert_eq!(delta(|since| since.a = 2), 10);
    assert_eq!(delta(|since| since.path.truncate(since.path.len() - 1)), 10);
    assert_eq!(delta(|since| since.root = Hash::default()), 10);
    let page = Bundle { since: Story::new().delta().since, ..Story::new().page() };
    assert_eq!(refused(&page).0, 10, "a delta goes to the end");
    assert_eq!(origin().as_str(), "sillage.example/vectors");
}
