//! Ledger time by the clocks of a majority, and the feature level that brings it.

mod common;

use common::*;
use prost::Message as _;
use sillage_ledger::{CLOCKS, CommandOutcome, FEATURE_LEVEL, Fatal, Ledger, command_version_max};
use sillage_proof::batch::Origin;
use sillage_proof::keys::SigningKey;
use sillage_proto::internal::v1::{ClockAttestation, ClockEvidence, Command};
use sillage_rules::act::Act;
use sillage_rules::clock::ClockMessage;
use sillage_rules::codes::Code;

const TERM: u64 = 3;
const HOUR_MS: u64 = 3_600_000;
const YEAR_MS: u64 = 365 * DAY_MS;

fn ledger() -> (tempfile::TempDir, Ledger) {
    let dir = tempfile::tempdir().expect("a folder");
    let ledger = open(dir.path());
    (dir, ledger)
}

/// The key of a node of [`genesis`].
fn node_key(node: u64) -> SigningKey {
    key(100 + u8::try_from(node).expect("few"))
}

fn attested(signer: &SigningKey, node: u64, term: u64, clock_ms: u64) -> ClockAttestation {
    let origin = Origin::new(ORIGIN).expect("an origin");
    let message = ClockMessage { key_id: signer.key_id(), origin, node, term, clock_ms };
    ClockAttestation { node, clock_ms, signature: message.sign(signer).to_vec() }
}

/// The attestations of these nodes, each with its own key.
fn clocks(clocks: &[(u64, u64)]) -> Vec<ClockAttestation> {
    clocks.iter().map(|(node, clock_ms)| attested(&node_key(*node), *node, TERM, *clock_ms)).collect()
}

fn put(ledger: &mut Ledger, term: u64, raft_stamp_ms: u64, command: &Command) -> Vec<CommandOutcome> {
    let (index, _) = ledger.applied();
    ledger.apply(index + 1, term, raft_stamp_ms, &command.encode_to_vec()).expect("never by the fault of the input")
}

fn raise(ledger: &mut Ledger, level: u32) -> CommandOutcome {
    let command = Command { version: 6, feature_level: level, ..Command::default() };
    put(ledger, TERM, 0, &command).remove(0)
}

/// Ledger time after a command of this evidence, `stamp_ms` both beside it and in it.
fn time_after(ledger: &mut Ledger, term: u64, stamp_ms: u64, attestations: Vec<ClockAttestation>) -> u64 {
    let time = Some(ClockEvidence { stamp_ms, attestations });
    put(ledger, term, stamp_ms, &Command { version: 6, time, ..Command::default() });
    ledger.reader().head().time_ms.get()
}

#[test]
fn a_level_is_raised_once_kept_and_never_lowered() {
    let (dir, mut ledger) = ledger();
    assert_eq!((ledger.reader().feature_level(), command_version_max(1)), (1, 5));
    assert_eq!(raise(&mut ledger, 2), CommandOutcome::FeatureLevel(2));
    assert_eq!((ledger.reader().feature_level(), command_version_max(2)), (2, 6));
    for lower in [1, 2] {
        assert_eq!(code(&raise(&mut ledger, lower)), Some(Code::ActRefused));
    }
    let root = ledger.reader().root();
    ledger.flush().expect("writable");
    drop(ledger);
    let mut ledger = open(dir.path());
    assert_eq!((ledger.reader().feature_level(), ledger.reader().root()), (2, root), "no entry of the log");
    let (index, _) = ledger.applied();
    let beyond = Command { version: 6, feature_level: FEATURE_LEVEL + 1, ..Command::default() };
    let stopped = ledger.apply(index + 1, TERM, 0, &beyond.encode_to_vec());
    assert!(matches!(stopped, Err(Fatal::FeatureLevel { .. })), "it must not guess what the others do: {stopped:?}");
}

#[test]
fn a_snapshot_carries_the_level() {
    let (_dir, mut ledger) = ledger();
    raise(&mut ledger, CLOCKS);
    let copy = tempfile::tempdir().expect("a folder");
    let snapshot = copy.path().join("snapshot");
    ledger.checkpoint(&snapshot).expect("writable");
    let (_other_dir, mut other) = self::ledger();
    other.install(&snapshot).expect("a ledger of this log");
    assert_eq!(other.reader().feature_level(), CLOCKS);
}

#[test]
fn before_the_level_time_is_the_stamp_whatever_else_a_command_says() {
    let (_dir, mut ledger) = ledger();
    let early = clocks(&[(1, START_MS), (2, START_MS), (3, START_MS)]);
    assert_eq!(time_after(&mut ledger, TERM, START_MS + HOUR_MS, early), START_MS + HOUR_MS);
    assert_eq!(time_after(&mut ledger, TERM, START_MS, Vec::new()), START_MS + HOUR_MS, "never back");
}

#[test]
fn neither_a_wrong_nor_a_lying_leader_moves_time_beyond_the_median() {
    let (_dir, mut ledger) = ledger();
    raise(&mut ledger, CLOCKS);
    let now = START_MS + 10_000;
    // Its stamp and its own clock are a year ahead.
    let lie = clocks(&[(1, now + YEAR_MS), (2, now), (3, now - 20)]);
    assert_eq!(time_after(&mut ledger, TERM, now + YEAR_MS, lie), now + 500);
    let alone = clocks(&[(1, now + YEAR_MS)]);
    assert_eq!(time_after(&mut ledger, TERM, now + YEAR_MS, alone), now + 500, "no majority, no time");
    let made_up = vec![
        attested(&node_key(1), 1, TERM, now + YEAR_MS),
        attested(&node_key(1), 2, TERM, now + YEAR_MS),
        attested(&node_key(1), 1, TERM, now + YEAR_MS),
    ];
    assert_eq!(time_after(&mut ledger, TERM, now + YEAR_MS, made_up), now + 500, "no clock is another's");
    let strangers = vec![attested(&node_key(1), 1, TERM, now + YEAR_MS), attested(&key(4), 4, TERM, now + YEAR_MS)];
    assert_eq!(time_after(&mut ledger, TERM, now + YEAR_MS, strangers), now + 500);
    let of_before =
        vec![attested(&node_key(1), 1, TERM + 1, now + YEAR_MS), attested(&node_key(2), 2, TERM, now + YEAR_MS)];
    let time = time_after(&mut ledger, TERM + 1, now + YEAR_MS, of_before);
    assert_eq!(time, now + 500, "a clock that was wrong in another term isn't quoted");
    let many = vec![attested(&node_key(2), 2, TERM + 1, now + YEAR_MS); 4];
    assert_eq!(time_after(&mut ledger, TERM + 1, now + YEAR_MS, many), now + 500);
}

#[test]
fn time_follows_an_honest_leader_while_a_node_is_away() {
    let (_dir, mut ledger) = ledger();
    raise(&mut ledger, CLOCKS);
    let now = START_MS + 10_000;
    let two = |ms: u64| clocks(&[(1, ms), (3, ms - 150)]);
    assert_eq!(time_after(&mut ledger, TERM, now, two(now)), now);
    assert_eq!(time_after(&mut ledger, TERM, now + 900, two(now + 900)), now + 900);
    put(&mut ledger, TERM, now + HOUR_MS, &Command { version: 2, index_commit: true, ..Command::default() });
    assert_eq!(ledger.reader().head().time_ms.get(), now + 900, "a command without time doesn't move it");
    let (index, _) = ledger.applied();
    ledger.apply(index + 1, TERM + 1, now + HOUR_MS, &[]).expect("a leader's own entry");
    assert_eq!(ledger.reader().head().time_ms.get(), now + 900);
}

#[test]
fn a_record_is_ahead_of_time_by_the_clocks_not_by_the_stamp() {
    let (_dir, mut ledger) = ledger();
    raise(&mut ledger, CLOCKS);
    let now = START_MS + 10_000;
    let mut early = record(1, tag(1), 1);
    early.occurred_at_ms = now + HOUR_MS;
    let time =
        |ms: u64| Some(ClockEvidence { stamp_ms: now + HOUR_MS, attestations: clocks(&[(1, now + HOUR_MS), (2, ms)]) });
    let sent = batch(2, "s", 1, vec![early]);
    let command = |ms: u64| Command { version: 6, batches: vec![sent.clone()], time: time(ms), ..Command::default() };
    assert_eq!(code(&put(&mut ledger, TERM, now + HOUR_MS, &command(now)).remove(0)), Some(Code::TimeAhead));
    assert_eq!(code(&put(&mut ledger, TERM, now, &command(now + HOUR_MS)).remove(0)), None);
}

#[test]
fn a_replaced_key_attests_nothing_once_the_new_one_is_in_force() {
    let (_dir, mut ledger) = ledger();
    raise(&mut ledger, CLOCKS);
    let now = START_MS + 10_000;
    let new = key(77);
    let rotate = batch(1, "acts", 1, vec![act(&Act::NodeKeyRotated { node_id: 2, key: new.public_key() })]);
    let time = Some(ClockEvidence { stamp_ms: now, attestations: clocks(&[(1, now), (2, now)]) });
    let acts = Command { version: 6, batches: vec![rotate], time, ..Command::default() };
    assert_eq!(code(&put(&mut ledger, TERM, 0, &acts).remove(0)), None);
    let by = |signer: &SigningKey, ms: u64| vec![attested(&node_key(1), 1, TERM, ms), attested(signer, 2, TERM, ms)];
    assert_eq!(time_after(&mut ledger, TERM, now + 1, by(&node_key(2), now + 1)), now + 1, "no index commit yet");
    put(&mut ledger, TERM, 0, &Command { version: 6, index_commit: true, ..Command::default() });
    assert_eq!(time_after(&mut ledger, TERM, now + 2, by(&node_key(2), now + 2)), now + 1, "the old key");
    assert_eq!(time_after(&mut ledger, TERM, now + 3, by(&new, now + 3)), now + 3);
}

#[test]
fn a_node_that_verified_and_one_that_did_not_find_the_same_time() {
    let (_dir, mut first) = ledger();
    let (_other_dir, mut second) = ledger();
    let now = START_MS + 10_000;
    let evidence = clocks(&[(1, now), (2, now + 7), (3, now + YEAR_MS)]);
    for ledger in [&mut first, &mut second] {
        raise(ledger, CLOCKS);
    }
    // The one has seen a signature that the other hasn't.
    let message = ClockMessage {
        key_id: node_key(1).key_id(),
        origin: Origin::new(ORIGIN).expect("an origin"),
        node: 1,
        term: TERM,
        clock_ms: now,
    };
    first.reader().verified().add(&message.encode(), &evidence[0].signature);
    let times = [&mut first, &mut second].map(|ledger| time_after(ledger, TERM, now + 400, evidence.clone()));
    assert_eq!(times, [now + 400; 2]);
}
