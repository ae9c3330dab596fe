//! The outcome of a batch: recorded once, answered again, or refused with its code and without a trace.

mod common;

use common::*;
use proptest::prelude::*;
use prost::Message as _;
use sillage_ledger::{COMMAND_VERSION, CommandOutcome, Fatal, KeyState, Ledger};
use sillage_proof::keys::StreamId;
use sillage_proto::internal::v1::{Command, SealedBatch, SealedRecord, WrappedKey};
use sillage_rules::act::Act;
use sillage_rules::codes::Code;
use sillage_rules::entry::{Entry, Flags};
use sillage_rules::kind::Kind;
use sillage_rules::roles::Roles;

fn ledger() -> (tempfile::TempDir, Ledger) {
    let dir = tempfile::tempdir().expect("a folder");
    let ledger = open(dir.path());
    (dir, ledger)
}

#[test]
fn a_batch_becomes_a_header_and_its_records() {
    let (_dir, mut ledger) = ledger();
    let sent = batch(2, "dmp", 1, vec![record(1, tag(1), 1), record(2, tag(2), 2)]);
    let outcome = apply_one(&mut ledger, sent.clone());
    let CommandOutcome::Done { first_index, time_ms, repeated, count, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!((first_index.get(), time_ms.get(), repeated, count), (2, START_MS + 1_000, false, 2));
    let reader = ledger.entry_reader();
    assert_eq!(reader.tree_size().get(), 4, "genesis, header, two records");
    let (entry, header) = reader.header_of(3.into()).expect("readable").expect("a record");
    assert_eq!((entry.tag, entry.position, entry.flags), (tag(2), 1, Flags::BASIS));
    assert_eq!(header.signature.to_vec(), sent.signature);
    assert_eq!(header.stream_id, StreamId::new(&author_id(2), "dmp"));
    let payload = reader.payload(3.into()).expect("readable");
    assert_eq!(payload.as_deref(), Some(&sent.records[1].payload[..]));
    assert!(reader.has_data_key(&tag(1), &[1; 16]).expect("readable"));
    assert_eq!(reader.data_keys(&tag(1)).expect("readable").len(), 1);
    let rows: Vec<_> = reader.trace_scan(&tag(2), None).map(|row| row.expect("readable")).collect();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].index.get(), rows[0].kind), (3, Kind::ACCESS_READ));
    assert_eq!(reader.root(), sillage_proof::merkle::root_of(&leaves(&ledger)));
}

#[test]
fn the_same_batch_again_gets_the_original_answer_even_in_one_command() {
    let (_dir, mut ledger) = ledger();
    let first = batch(2, "s", 1, vec![record(1, tag(1), 1)]);
    let second = batch(2, "s", 2, vec![record(2, tag(1), 1)]);
    let outcomes = apply(&mut ledger, vec![first.clone(), first.clone(), second]);
    let again = apply_one(&mut ledger, first);
    let original = |outcome: &CommandOutcome| match outcome {
        CommandOutcome::Done { first_index, time_ms, repeated, .. } => (*first_index, *time_ms, *repeated),
        other => panic!("{other:?}"),
    };
    let (index, time, _) = original(&outcomes[0]);
    assert_eq!(original(&outcomes[1]), (index, time, true));
    assert_eq!(original(&again), (index, time, true));
    assert_eq!(ledger.reader().tree_size().get(), 5);
    let other = batch(2, "s", 1, vec![record(3, tag(1), 1)]);
    assert_eq!(code(&apply_one(&mut ledger, other)), Some(Code::SequenceReused));
    let gap = apply_one(&mut ledger, batch(2, "s", 4, vec![record(4, tag(1), 1)]));
    let CommandOutcome::Refused(refusal) = gap else { panic!("{gap:?}") };
    assert_eq!((refusal.code, refusal.expected_seq), (Code::OutOfOrder, Some(3)));
    let streams = ledger.reader().streams_of(&author_id(2), None, 10).expect("readable");
    assert_eq!((streams.len(), streams[0].last_seq), (1, 2));
}

/// Changes the last record of a batch as a node could that hands it on, its data key with it: all but what is signed fits.
fn refile(batch: &mut SealedBatch, change: impl FnOnce(&mut SealedRecord)) {
    let (record, key) = (batch.records.last_mut().expect("a record"), batch.new_keys.last_mut().expect("a key"));
    change(record);
    key.tag = record.tag.to_vec();
}

#[test]
fn what_is_wrong_with_a_batch_is_named_and_leaves_nothing() {
    let (_dir, mut ledger) = ledger();
    let good = || batch(2, "s", 1, vec![record(1, tag(1), 1), record(2, tag(2), 2)]);
    type Change = fn(&mut SealedBatch);
    let cases: [(Code, Option<u32>, Change); 22] = [
        (Code::MalformedRequest, None, |b| b.alg = 2),
        (Code::MalformedRequest, None, |b| b.seq = 0),
        (Code::MalformedRequest, None, |b| b.signature.truncate(63)),
        (Code::MalformedRequest, None, |b| b.key_id.push(0)),
        (Code::InvalidStreamLabel, None, |b| b.stream_label = "A".into()),
        (Code::EmptyBatch, None, |b| b.records.clear()),
        (Code::RootMismatch, None, |b| b.root[0] ^= 1),
        (Code::RootMismatch, None, |b| b.records[1].record_hash = vec![1; 32].into()),
        // Well formed each, but not as the author signed them: another patient's, another kind, another statement.
        (Code::RootMismatch, None, |b| refile(b, |record| record.tag = tag(3).to_vec().into())),
        (Code::RootMismatch, None, |b| b.records[1].kind = u32::from(Kind::ACCESS_PRINT.code())),
        (Code::RootMismatch, None, |b| b.records[1].facts = 0),
        (Code::RootMismatch, None, |b| b.records[1].facts |= 2),
        (Code::UnknownKey, None, |b| b.key_id = vec![1; 32]),
        (Code::UnknownKind, Some(1), |b| b.records[1].kind = 0x0699),
        (Code::KindReserved, Some(0), |b| b.records[0].kind = u32::from(Kind::DECISION_MADE.code())),
        (Code::TagOutOfRange, Some(1), |b| {
            b.records[1].tag = vec![0x80; 32].into();
            *b = batch(2, "s", 1, b.records.clone());
        }),
        (Code::TimeAhead, Some(1), |b| b.records[1].occurred_at_ms = START_MS + 400_000),
        (Code::MalformedRecord, Some(0), |b| b.records[0].tag = vec![0; 32].into()),
        (Code::RootMismatch, None, |b| b.records[0].facts |= 4),
        (Code::MalformedRequest, Some(0), |b| b.records[0].facts = 4),
        (Code::MalformedRequest, Some(0), |b| b.records[0].facts = 8),
        (Code::MalformedRequest, Some(0), |b| b.new_keys.clear()),
    ];
    let root = ledger.reader().root();
    for (expected, position, change) in cases {
        let mut bad = good();
        change(&mut bad);
        let outcome = apply_one(&mut ledger, bad);
        let CommandOutcome::Refused(refusal) = outcome else { panic!("{expected}: {outcome:?}") };
        assert_eq!((refusal.code, refusal.position), (expected, position), "{refusal}");
    }
    assert_eq!(ledger.reader().root(), root);
    assert_eq!(ledger.reader().data_keys(&tag(1)).expect("readable"), []);
    assert_eq!(code(&apply_one(&mut ledger, good())), None);
}

#[test]
fn flags_follow_from_the_facts_and_the_times() {
    let (_dir, mut ledger) = ledger();
    let mut late = record(1, tag(1), 1);
    (late.facts, late.occurred_at_ms) = (2, START_MS - 2 * DAY_MS);
    apply_one(&mut ledger, batch(2, "s", 1, vec![late]));
    let row = ledger.entry_reader().trace_scan(&tag(1), None).next().expect("one").expect("readable");
    assert_eq!(row.flags, Flags::UNJUSTIFIED | Flags::LATE | Flags::DEFERRED);
}

#[test]
fn ledger_time_never_goes_back() {
    let (_dir, mut ledger) = ledger();
    ledger.apply(1, 1, START_MS + 9_000, &[]).expect("empty");
    let data = command(vec![batch(2, "s", 1, vec![record(1, tag(1), 1)])]);
    let outcome = ledger.apply(2, 1, START_MS + 5, &data).expect("applied").remove(0);
    let CommandOutcome::Done { time_ms, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(time_ms.get(), START_MS + 9_000);
    assert!(ledger.apply(2, 1, 0, &[]).is_err(), "an index is applied once");
    assert!(ledger.apply(4, 1, 0, &[]).is_err(), "and none is left out");
}

#[test]
fn the_authority_registers_replaces_and_revokes() {
    let (_dir, mut ledger) = ledger();
    let register = act(&Act::Registered(registration(10, Roles::AUTHOR)));
    let by_new = || batch(10, "s", 1, vec![record(1, tag(1), 1)]);
    assert_eq!(code(&apply_one(&mut ledger, by_new())), Some(Code::UnknownKey));
    // Not by an author; then by the authority, and used in the same command.
    let attempt = apply_one(&mut ledger, batch(2, "acts", 1, vec![register.clone()]));
    assert_eq!(code(&attempt), Some(Code::NotEntitled));
    let outcomes = apply(&mut ledger, vec![batch(1, "acts", 1, vec![register.clone()]), by_new()]);
    assert_eq!((code(&outcomes[0]), code(&outcomes[1])), (None, None));
    let again = apply_one(&mut ledger, batch(1, "acts", 2, vec![register]));
    assert_eq!(code(&again), Some(Code::ActRefused), "one party, one registration");
    let reader = ledger.entry_reader();
    let party = reader.party_by_tls_spki(&[10; 32]).expect("readable").expect("registered");
    assert_eq!((party.author_id, party.roles), (author_id(10), Roles::AUTHOR));
    // It replaces its own key; its stream goes on under the new one.
    let rotate =
        act(&Act::Rotated { author_id: author_id(10), key: key(11).public_key(), tls_spki_sha256: vec![[11; 32]] });
    assert_eq!(code(&apply_one(&mut ledger, batch(10, "s", 2, vec![rotate]))), None);
    let old = batch(10, "s", 3, vec![record(3, tag(1), 1)]);
    assert_eq!(code(&apply_one(&mut ledger, old)), Some(Code::RevokedKey));
    let new = batch_by(10, &key(11), "s", 3, vec![record(3, tag(1), 1)]);
    assert_eq!(code(&apply_one(&mut ledger, new.clone())), None);
    // Revoked: nothing new, but what is on record is still answered.
    let revoke = act(&Act::Revoked { key_id: key(11).key_id(), reason: "lost".into() });
    assert_eq!(code(&apply_one(&mut ledger, batch(1, "acts", 2, vec![revoke]))), None);
    let info = reader.key(&key(11).key_id()).expect("readable").expect("registered");
    assert_eq!(info.state, KeyState::Revoked);
    let next = batch_by(10, &key(11), "s", 4, vec![record(4, tag(1), 1)]);
    assert_eq!(code(&apply_one(&mut ledger, next)), Some(Code::RevokedKey));
    assert!(matches!(apply_one(&mut ledger, new), CommandOutcome::Done { repeated: true, .. }));
}

#[test]
fn a_refused_batch_of_acts_leaves_none_of_them() {
    let (_dir, mut ledger) = ledger();
    let register = |seed| act(&Act::Registered(registration(seed, Roles::AUTHOR)));
    let own = Act::Revoked { key_id: key(1).key_id(), reason: "mistake".into() };
    let outcome = apply_one(&mut ledger, batch(1, "acts", 1, vec![register(10), act(&own)]));
    let CommandOutcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
    assert_eq!((refusal.code, refusal.position), (Code::ActRefused, Some(1)), "an authority keeps its key");
    assert_eq!(ledger.reader().party(&author_id(10)).expect("readable"), None);
    let roles = Act::RolesChanged { author_id: author_id(1), roles: Roles::AUTHOR, quota_events_per_s: 0 };
    let outcome = apply_one(&mut ledger, batch(1, "acts", 1, vec![act(&roles)]));
    assert_eq!(code(&outcome), Some(Code::ActRefused), "and its role");
    let ended = Act::RolesChanged { author_id: author_id(2), roles: Roles::NONE, quota_events_per_s: 0 };
    assert_eq!(code(&apply_one(&mut ledger, batch(1, "acts", 1, vec![act(&ended)]))), None);
    let by_ended = batch(2, "s", 1, vec![record(1, tag(1), 1)]);
    assert_eq!(code(&apply_one(&mut ledger, by_ended)), Some(Code::RevokedKey));
    let parties = ledger.reader().parties(None, 10).expect("readable");
    assert_eq!(parties.len(), 3);
    let rest = ledger.reader().parties(Some(&parties[0].author_id), 10).expect("readable");
    assert_eq!(rest, parties[1..]);
}

#[test]
fn an_altered_act_is_refused() {
    let (_dir, mut ledger) = ledger();
    let mut altered = act(&Act::Registered(registration(10, Roles::AUTHOR)));
    let mut payload = altered.payload.to_vec();
    *payload.last_mut().expect("not empty") ^= 1;
    altered.payload = payload.into();
    let outcome = apply_one(&mut ledger, batch(1, "acts", 1, vec![altered]));
    assert_eq!(code(&outcome), Some(Code::RootMismatch));
}

#[test]
fn a_data_key_that_no_node_can_unwrap_is_not_taken() {
    let (_dir, mut ledger) = ledger();
    let good = batch(2, "s", 1, vec![record(1, tag(1), 1)]);
    let planted: [&dyn Fn(&mut WrappedKey); 3] = [
        &|key| *key.wrapped.last_mut().expect("66 bytes") ^= 1,
        // Another patient's, or of an epoch that not every node has.
        &|key| *key = WrappedKey { data_key_id: vec![1; 16], tag: tag(1).to_vec(), ..wrapped(tag(2), 1) },
        &|key| key.wrapped[5] = 2,
    ];
    for change in planted {
        let mut batch = good.clone();
        change(&mut batch.new_keys[0]);
        assert_eq!(code(&apply_one(&mut ledger, batch)), Some(Code::MalformedRequest));
    }
    assert_eq!(code(&apply_one(&mut ledger, good)), None);
}

#[test]
fn what_its_author_did_not_sign_is_refused() {
    let (_dir, mut ledger) = ledger();
    let mut bad = batch(2, "s", 1, vec![record(1, tag(1), 1)]);
    bad.signature[0] ^= 1;
    assert_eq!(code(&apply_one(&mut ledger, bad)), Some(Code::BadSignature));
    let good = batch(2, "s", 1, vec![record(1, tag(1), 1)]);
    assert_eq!(code(&apply_one(&mut ledger, good)), None);
}

#[test]
fn the_leaders_check_refuses_what_applying_refuses() {
    let (_dir, mut ledger) = ledger();
    let reader = ledger.entry_reader();
    let good = batch(2, "s", 1, vec![record(1, tag(1), 1)]);
    assert_eq!(reader.check(&good, START_MS), Ok(()));
    let mut ahead = good.clone();
    ahead.records[0].occurred_at_ms = START_MS + 300_001;
    assert_eq!(reader.check(&ahead, START_MS).map_err(|r| r.code), Err(Code::TimeAhead));
    assert_eq!(reader.check(&ahead, START_MS + 1), Ok(()));
    let unknown = batch(42, "s", 1, vec![record(1, tag(1), 1)]);
    assert_eq!(reader.check(&unknown, START_MS).map_err(|r| r.code), Err(Code::UnknownKey));
    apply_one(&mut ledger, good.clone());
    assert_eq!(reader.check(&good, START_MS), Ok(()), "a retry goes through to its answer");
}

#[test]
fn a_long_trace_is_read_newest_first_and_from_any_point() {
    let (_dir, mut ledger) = ledger();
    for seq in 1..=4 {
        let records = (0..200).map(|n| record(seq * 1_000 + n, tag((n % 2) as u8), 1));
        assert_eq!(code(&apply_one(&mut ledger, batch(2, "s", seq, records.collect()))), None);
    }
    let reader = ledger.entry_reader();
    let all: Vec<u64> = reader.trace_scan(&tag(1), None).map(|row| row.expect("readable").index.get()).collect();
    assert_eq!(all.len(), 400);
    assert!(all.windows(2).all(|pair| pair[0] > pair[1]));
    let rest: Vec<u64> =
        reader.trace_scan(&tag(1), Some(all[299].into())).map(|row| row.expect("readable").index.get()).collect();
    assert_eq!(rest, all[300..]);
    for index in &all {
        let Some(Entry::Record(entry)) = reader.decoded_entry((*index).into()).expect("readable") else {
            panic!("a record");
        };
        assert_eq!(entry.tag, tag(1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn no_bytes_stop_the_ledger(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..100),
        cut in any::<prop::sample::Index>(),
        noise in proptest::collection::vec(any::<u8>(), 1..300),
    ) {
        let (_dir, mut ledger) = ledger();
        let register = act(&Act::Registered(registration(10, Roles::AUTHOR)));
        let batches = vec![
            batch(2, "s", 1, vec![record(1, tag(1), 1), record(2, tag(2), 2)]),
            batch(1, "acts", 1, vec![register]),
        ];
        let good = command(batches);
        let mut index = 0;
        let mut next = |ledger: &mut Ledger, data: &[u8]| {
            if Command::decode(data).is_ok_and(|command| command.version > 1) {
                // A newer command, whatever it says, stops the node on purpose.
                assert!(matches!(ledger.apply(index + 1, 1, START_MS, data), Err(Fatal::Version { .. })));
                return Vec::new();
            }
            index += 1;
            ledger.apply(index, 1, START_MS, data).expect("never by the fault of the input")
        };
        for (at, value) in &flips {
            let mut bad = good.clone();
            bad[at.index(good.len())] = *value;
            next(&mut ledger, &bad);
        }
        next(&mut ledger, &good[..cut.index(good.len()).max(1)]);
        next(&mut ledger, &noise);
        prop_assert_eq!(ledger.applied().0, index);
        prop_assert_eq!(ledger.reader().root(), sillage_proof::merkle::root_of(&leaves(&ledger)));
    }
}

#[test]
fn what_is_no_command_records_nothing_but_a_newer_command_stops_the_node() {
    let (_dir, mut ledger) = ledger();
    apply_one(&mut ledger, batch(2, "s", 1, vec![record(1, tag(1), 1)]));
    let (index, term) = ledger.applied();
    let outcomes = ledger.apply(index + 1, term, START_MS, b"\xff no command").expect("the group goes on");
    assert_eq!(outcomes.iter().map(code).collect::<Vec<_>>(), [Some(Code::MalformedRequest)]);
    let size = ledger.reader().tree_size();
    // Nodes that know the next version apply it: this one would hold another log if it went on.
    let next = COMMAND_VERSION + 1;
    let newer =
        Command { version: next, batches: vec![batch(2, "s", 2, vec![record(2, tag(1), 1)])], ..Command::default() };
    let stopped = ledger.apply(index + 2, term, START_MS, &newer.encode_to_vec());
    assert!(matches!(stopped, Err(Fatal::Version { found, known: COMMAND_VERSION }) if found == next), "{stopped:?}");
    assert_eq!((ledger.applied().0, ledger.reader().tree_size()), (index + 1, size), "it is not skipped");
}
