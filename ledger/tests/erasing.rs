//! Erasing, from the act to the death of every copy.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::*;
use proptest::prelude::*;
use prost::Message;
use sillage_ledger::seal::{KekFile, Keyring, Plain, SealError, Sealer, TagPrefix};
use sillage_ledger::{CommandOutcome, Ledger, LedgerReader, Options};
use sillage_proof::hash::{LeafIndex, leaf_hash, leaf_hash2};
use sillage_proof::keys::StreamId;
use sillage_proto::internal::v1::{Command, RetireKek, Rewrap, SealedBatch, SealedRecord, WrappedKey};
use sillage_rules::act::Act;
use sillage_rules::codes::Code;
use sillage_rules::kind::Kind;
use sillage_rules::limits::ERASE_RETENTION_MIN_MS;
use sillage_rules::record::{ParsedRecord, erasure_message};

const SALT: [u8; 16] = [3; 16];
const MARKER: &[u8] = b"PLANTED-MARKER-Claire-Dubois";

/// One node: its ledger, its keyring, and the sequence numbers of its two authors.
struct World {
    dir: tempfile::TempDir,
    ledger: Option<Ledger>,
    /// Applies the same, and keeps nothing of data keys in memory.
    forgetful: Option<Ledger>,
    keks: Arc<KekFile>,
    sealer: Sealer,
    seqs: [u64; 2],
    /// The content of the log of commands: sealed payloads by what they hold, and data keys as they were wrapped.
    payloads: Vec<(Vec<u8>, [u8; 16])>,
    wrapped: Vec<WrappedKey>,
}

fn keks_in(dir: &Path) -> Arc<KekFile> {
    Arc::new(KekFile::open(&dir.join("keyring")).expect("a keyring"))
}

fn sealer_of(ledger: &Ledger, keks: &Arc<KekFile>) -> Sealer {
    Sealer::new(ledger.reader(), keks.clone(), 100)
}

fn prefix() -> TagPrefix {
    TagPrefix::of(&tag(0))
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        Keyring::generate().expect("randomness").save(&dir.path().join("keyring")).expect("writable");
        let keks = keks_in(dir.path());
        let ledger = open_with(&dir.path().join("data"), keks.clone());
        let sealer = sealer_of(&ledger, &keks);
        let (payloads, wrapped) = Default::default();
        Self { dir, ledger: Some(ledger), forgetful: None, keks, sealer, seqs: [0; 2], payloads, wrapped }
    }

    /// Beside another ledger that keeps no data key in memory, and says the same.
    fn beside_a_forgetful_one() -> Self {
        let mut world = Self::new();
        let options = Options { data_keys_cached: 0, wrapped_keys_cached: 0, ..quiet() };
        let other = Ledger::open(&world.dir.path().join("other"), &genesis(), world.keks.clone(), options);
        world.forgetful = Some(other.expect("a ledger"));
        world
    }

    fn apply(&mut self, data: &[u8]) -> CommandOutcome {
        let (index, _) = self.ledger().applied();
        let time = START_MS + 1_000 * (index + 1);
        let mut outcomes = self.ledger().apply(index + 1, 1, time, data).expect("never by the fault of the input");
        assert_eq!(outcomes.len(), 1);
        if let Some(other) = &mut self.forgetful {
            assert_eq!(other.apply(index + 1, 1, time, data).expect("the same"), outcomes);
            let (one, other) = (self.ledger.as_ref().expect("open").entry_reader(), other.entry_reader());
            assert_eq!(one.root(), other.root());
            let keys = |reader: &LedgerReader| reader.data_keys_of(prefix(), None, 1_000).expect("readable");
            assert_eq!(keys(&one), keys(&other));
        }
        outcomes.remove(0)
    }

    fn ledger(&mut self) -> &mut Ledger {
        self.ledger.as_mut().expect("open")
    }

    /// As after a restart: only what is on disk is left.
    fn restart(&mut self) {
        self.ledger().flush().expect("writable");
        self.ledger = None;
        // The readers hold the database open.
        self.sealer = {
            let other = tempfile::tempdir().expect("a folder");
            sealer_of(&open(other.path()), &self.keks)
        };
        self.keks = keks_in(self.dir.path());
        let ledger = open_with(&self.dir.path().join("data"), self.keks.clone());
        self.sealer = sealer_of(&ledger, &self.keks);
        self.ledger = Some(ledger);
    }

    /// The next batch of party 2, sealed now and not applied yet.
    fn sealed(&mut self, records: &[([u8; 32], &[u8])]) -> SealedBatch {
        self.seqs[1] += 1;
        sealed(&self.sealer, self.seqs[1], records)
    }

    /// Applies a batch of party 2 whose only record is this one.
    fn arrive(&mut self, record: &[u8], batch: SealedBatch) -> CommandOutcome {
        self.note(record, &batch.records[0].payload);
        self.wrapped.extend(batch.new_keys.clone());
        self.apply_batch(batch)
    }

    fn apply_batch(&mut self, batch: SealedBatch) -> CommandOutcome {
        self.apply(&Command { version: 1, batches: vec![batch], ..Command::default() }.encode_to_vec())
    }

    fn note(&mut self, record: &[u8], payload: &[u8]) {
        let id = sillage_ledger::seal::layout::data_key_id(payload).expect("sealed");
        self.payloads.push((record.to_vec(), id));
    }

    /// Tells whether the log of commands and the keyring together still yield a record.
    fn is_in_the_log(&self, record: &[u8]) -> bool {
        let copies = self.payloads.iter().filter(|(of, _)| of == record);
        let mut keys = copies.flat_map(|(_, id)| self.wrapped.iter().filter(move |key| key.data_key_id == *id));
        keys.any(|key| {
            let tag = key.tag[..].try_into().expect("32 bytes");
            self.keks.key(TagPrefix::of(&tag), epoch(&key.wrapped)).is_some()
        })
    }

    fn record(&mut self, records: &[([u8; 32], &[u8])]) -> LeafIndex {
        let batch = self.sealed(records);
        match self.apply_batch(batch) {
            CommandOutcome::Done { first_index, .. } => first_index,
            other => panic!("{other:?}"),
        }
    }

    fn erase(&mut self, tag: [u8; 32], indices: &[LeafIndex], ground: &str) -> Option<Code> {
        let record = erasure(tag, indices, ground);
        let batch = batch(1, "acts", self.seqs[0] + 1, vec![record]);
        let refused = code(&self.apply_batch(batch));
        self.seqs[0] += u64::from(refused.is_none());
        refused
    }

    fn change(&mut self, command: Command) -> Option<Code> {
        if let Some(reseal) = &command.reseal {
            self.wrapped.extend(reseal.new_keys.clone());
        }
        if let Some(rewrap) = &command.rewrap {
            self.wrapped.extend(rewrap.keys.clone());
        }
        let data = Command { version: 2, ..command }.encode_to_vec();
        code(&self.apply(&data))
    }

    /// The next command that the leader would propose; `None`: all keys are given up.
    fn next_command(&mut self, bytes_max: usize) -> Option<Command> {
        let reader = self.ledger().entry_reader();
        let open = reader.open_erasures(100).expect("readable");
        let first = open.first()?;
        if let Some(open) = open.iter().find(|open| !open.keys_gone) {
            let reseal = self.sealer.reseal(&open.tag, bytes_max).expect("openable");
            return Some(Command { reseal, ..Command::default() });
        }
        let prefix = TagPrefix::of(&first.tag);
        let epochs = reader.kek_epochs(prefix).expect("readable");
        let target = open.iter().map(|open| open.epoch).max()? + 1;
        if self.keks.key(prefix, target).is_none() {
            self.keks.make(prefix, target).expect("writable");
        }
        let keys = reader.data_keys_of(prefix, None, 1_000).expect("readable");
        let old: Vec<_> = keys.iter().filter(|(_, wrapped)| epoch(wrapped) < target).take(1).collect();
        let prefix = u32::from(prefix.get());
        if epochs.current == target && old.is_empty() {
            let retire_kek = Some(RetireKek { prefix, epoch: target - 1 });
            return Some(Command { retire_kek, ..Command::default() });
        }
        let keys = old.iter().map(|(name, wrapped)| self.sealer.rewrap(name, wrapped, target).expect("openable"));
        let rewrap = Some(Rewrap { keys: keys.collect(), prefix, epoch: target });
        Some(Command { rewrap, ..Command::default() })
    }

    fn finish(&mut self) {
        while let Some(command) = self.next_command(64) {
            assert_eq!(self.change(command), None);
        }
        self.destroy();
    }

    fn destroy(&mut self) {
        self.ledger().flush().expect("writable");
        let retired = self.ledger().reader().changed_keks().expect("readable");
        let retired: Vec<_> = retired.iter().map(|(prefix, epochs)| (*prefix, epochs.retired)).collect();
        self.keks.destroy(&retired).expect("writable");
    }

    fn opened(&self, index: LeafIndex) -> Option<Vec<u8>> {
        self.ledger
            .as_ref()
            .expect("open")
            .entry_reader()
            .open(&self.sealer, index)
            .expect("openable")
            .map(|opened| opened.record)
    }
}

fn epoch(wrapped: &[u8]) -> u32 {
    sillage_ledger::seal::layout::epoch_of(wrapped).expect("as written")
}

fn sealed(sealer: &Sealer, seq: u64, records: &[([u8; 32], &[u8])]) -> SealedBatch {
    let stream_id = StreamId::new(&author_id(2), "s");
    let plain: Vec<_> = records.iter().map(|(tag, record)| Plain { tag: *tag, salt: &SALT, record }).collect();
    let sealed = sealer.seal_batch(stream_id, seq, &plain).expect("keys are there");
    let records = records.iter().zip(&sealed.payloads).map(|((tag, record), payload)| SealedRecord {
        kind: u32::from(Kind::ACCESS_READ.code()),
        tag: tag.to_vec().into(),
        record_hash: leaf_hash2(&SALT, record).as_bytes().to_vec().into(),
        payload: payload.clone(),
        occurred_at_ms: START_MS,
        facts: 1,
    });
    let mut batch = batch(2, "s", seq, records.collect());
    batch.new_keys = sealed.new_keys;
    batch
}

fn erasure(tag: [u8; 32], indices: &[LeafIndex], ground: &str) -> SealedRecord {
    let act = Act::Erased { indices: indices.to_vec(), ground: ground.into() };
    let record = ParsedRecord::from_message(erasure_message(&act, &tag, START_MS)).expect("a valid act");
    let mut payload = SALT.to_vec();
    payload.extend_from_slice(record.bytes());
    SealedRecord {
        kind: u32::from(record.kind().code()),
        tag: tag.to_vec().into(),
        record_hash: leaf_hash(&payload).as_bytes().to_vec().into(),
        payload: payload.into(),
        occurred_at_ms: START_MS,
        facts: sillage_rules::facts::facts_of(&record),
    }
}

fn holds(dir: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(dir).expect("readable").any(|entry| {
        let path = entry.expect("readable").path();
        match path.is_dir() {
            true => holds(&path, needle),
            false => std::fs::read(&path).expect("readable").windows(needle.len()).any(|part| part == needle),
        }
    })
}

#[test]
fn afterwards_neither_the_live_folder_nor_an_older_copy_yields_the_record() {
    for whole_patient in [false, true] {
        let mut world = World::new();
        let first = world.record(&[(tag(1), MARKER), (tag(2), b"another patient"), (tag(1), b"the same patient")]);
        let (other, same) = (LeafIndex(first.get() + 1), LeafIndex(first.get() + 2));
        world.ledger().flush().expect("writable");
        let copies = tempfile::tempdir().expect("a folder");
        copy_dir(&world.dir.path().join("data"), &copies.path().join("before"));
        let (leaves_before, root) = (leaves(world.ledger()), world.ledger().reader().root());

        let indices: &[_] = if whole_patient { &[] } else { &[first] };
        assert_eq!(world.erase(tag(1), indices, "ORDER of the court"), None);
        copy_dir(&world.dir.path().join("data"), &copies.path().join("between"));
        let reader = world.ledger().entry_reader();
        let erasure = reader.erasure_of(&tag(1), first).expect("readable").expect("erased");
        assert_eq!((erasure.index.get(), &erasure.ground[..]), (same.get() + 2, "ORDER of the court"));
        assert_eq!(reader.erasure_of(&tag(2), other).expect("readable"), None);
        assert_eq!(reader.patient_erasure(&tag(1)).expect("readable").is_some(), whole_patient);
        drop(reader);
        world.finish();
        let survives = |world: &World| {
            assert_eq!(world.opened(first), None);
            assert_eq!(world.opened(other).as_deref(), Some(&b"another patient"[..]));
            let expected = (!whole_patient).then_some(&b"the same patient"[..]);
            assert_eq!(world.opened(same).as_deref(), expected);
        };
        survives(&world);
        world.restart();
        survives(&world);
        // What was recorded before is what it was.
        assert_eq!(leaves(world.ledger())[..leaves_before.len()], leaves_before);
        let old_root = world.ledger().reader().root_at((leaves_before.len() as u64).into()).expect("within");
        assert_eq!(old_root, root);
        for copy in ["before", "between"] {
            let copy = open(&copies.path().join(copy));
            let there = sealer_of(&copy, &world.keks);
            for index in [first, other, same] {
                assert!(
                    matches!(copy.entry_reader().open(&there, index), Err(SealError::Kek(_))),
                    "no copy opens anything any more"
                );
            }
        }
        assert!(!holds(world.dir.path(), MARKER) && !holds(copies.path(), MARKER));
    }
}

#[test]
fn what_cannot_be_erased_is_refused_and_leaves_nothing() {
    let mut world = World::new();
    let first = world.record(&[(tag(1), b"one"), (tag(2), b"two")]);
    let next = LeafIndex(first.get() + 1);
    let header = LeafIndex(first.get() - 1);
    assert_eq!(world.erase(tag(1), &[LeafIndex(99)], "ORDER"), Some(Code::UnknownIndex));
    assert_eq!(world.erase(tag(1), &[next], "ORDER"), Some(Code::NotErasable), "another patient's");
    assert_eq!(world.erase(tag(1), &[header], "ORDER"), Some(Code::NotErasable), "no record");
    assert_eq!(world.erase(tag(3), &[], "ORDER"), Some(Code::NotErasable), "nothing of this patient");
    assert_eq!(world.erase(tag(1), &[first], "RETENTION"), Some(Code::RetentionTooEarly));
    assert_eq!(world.erase(tag(1), &[], "RETENTION: 10 years"), Some(Code::RetentionTooEarly));
    let by_author = batch(2, "acts", 1, vec![erasure(tag(1), &[first], "ORDER")]);
    assert_eq!(code(&apply_one(world.ledger(), by_author)), Some(Code::NotEntitled));
    let twice = vec![erasure(tag(1), &[first], "ORDER"), erasure(tag(1), &[first], "ORDER")];
    let twice = batch(1, "acts", 1, twice);
    assert_eq!(code(&apply_one(world.ledger(), twice)), Some(Code::NotErasable));
    assert_eq!(world.opened(first).as_deref(), Some(&b"one"[..]), "nothing happened so far");
    assert!(world.ledger().reader().open_erasures(1).expect("readable").is_empty());

    assert_eq!(world.erase(tag(1), &[first], "ORDER"), None);
    assert_eq!(world.erase(tag(1), &[first], "ORDER"), Some(Code::NotErasable), "erased already");
    assert_eq!(world.erase(tag(1), &[], "ORDER"), Some(Code::NotErasable), "nothing is left");
    let act = LeafIndex(world.ledger().reader().tree_size().get() - 1);
    assert_eq!(world.erase(tag(1), &[act], "ORDER"), Some(Code::NotErasable), "an act");
    let act = world.ledger().entry_reader().open(&world.sealer, act).expect("in clear").expect("acts stay");
    assert_eq!(act.entry.tag, tag(1));
}

#[test]
fn what_was_kept_for_three_years_may_go() {
    let mut world = World::new();
    let first = world.record(&[(tag(1), b"old")]);
    let (index, _) = world.ledger().applied();
    let record = erasure(tag(1), &[first], "RETENTION: ten years");
    let commands = command(vec![batch(1, "acts", 1, vec![record])]);
    let time = START_MS + ERASE_RETENTION_MIN_MS + 1_000_000;
    let outcomes = world.ledger().apply(index + 1, 1, time, &commands).expect("applied");
    assert_eq!(code(&outcomes[0]), None);
}

#[test]
fn a_batch_under_a_key_that_is_gone_is_sealed_again() {
    let mut world = World::new();
    world.record(&[(tag(1), MARKER)]);
    let under_way = world.sealed(&[(tag(1), b"under way")]);
    assert!(under_way.new_keys.is_empty());
    assert_eq!(world.erase(tag(1), &[], "ORDER"), None);
    assert_eq!(code(&apply_one(world.ledger(), under_way.clone())), Some(Code::DataKeyGone));
    // A key that was given up doesn't come back with a batch that still carries it.
    let mut carrying = under_way;
    let wrapped = wrapped(tag(1), 0);
    let id = sillage_ledger::seal::layout::data_key_id(&carrying.records[0].payload).expect("sealed");
    carrying.new_keys = vec![WrappedKey { data_key_id: id.to_vec(), ..wrapped }];
    assert_eq!(code(&apply_one(world.ledger(), carrying)), Some(Code::DataKeyGone));
    let again = sealed(&world.sealer, 2, &[(tag(1), b"under way")]);
    assert_eq!(again.new_keys.len(), 1, "the sealer forgot the key");
    assert_eq!(code(&apply_one(world.ledger(), again)), None);
    // Sealed before an epoch was given up, arriving after.
    let late = world.sealed(&[(tag(9), b"first of a patient")]);
    world.finish();
    assert_eq!(code(&apply_one(world.ledger(), late)), Some(Code::DataKeyGone));
    let again = sealed(&world.sealer, 3, &[(tag(9), b"first of a patient")]);
    assert_eq!(epoch(&again.new_keys[0].wrapped), 2);
    assert_eq!(code(&apply_one(world.ledger(), again)), None);
}

#[test]
fn a_data_key_that_is_kept_in_memory_goes_with_its_patient_and_with_a_snapshot() {
    let mut world = World::beside_a_forgetful_one();
    for record in [&b"brings the key"[..], b"asks for it too"] {
        world.record(&[(tag(1), record), (tag(2), record)]);
    }
    let late = world.sealed(&[(tag(1), b"under way")]);
    assert_eq!(world.erase(tag(1), &[], "ORDER"), None);
    assert_eq!(code(&world.apply_batch(late)), Some(Code::DataKeyGone));
    world.seqs[1] -= 1;
    world.record(&[(tag(2), b"asks again")]);
    let late = world.sealed(&[(tag(2), b"under way")]);
    // The other ledger is ahead by an erasure.
    let mut ahead = world.forgetful.take().expect("open");
    let erasure = batch(1, "acts", world.seqs[0] + 1, vec![erasure(tag(2), &[], "ORDER")]);
    assert_eq!(code(&apply_one(&mut ahead, erasure)), None);
    let files = world.dir.path().join("files");
    ahead.checkpoint(&files).expect("writable");
    world.ledger().install(&files).expect("a snapshot of this log");
    assert_eq!(code(&world.apply_batch(late)), Some(Code::DataKeyGone));
}

#[test]
fn a_job_cut_short_anywhere_goes_on_after_a_restart() {
    let mut world = World::new();
    let records: Vec<Vec<u8>> = (0..6).map(|n| format!("record {n} of the patient").into_bytes()).collect();
    let lines: Vec<_> = records.iter().map(|record| (tag(1), &record[..])).collect();
    let first = world.record(&lines);
    world.record(&[(tag(2), b"another patient")]);
    assert_eq!(world.erase(tag(1), &[first], "ORDER"), None);
    let mut commands = 0;
    while let Some(command) = world.next_command(64) {
        // Prepared and lost, then prepared again.
        world.restart();
        let again = world.next_command(64).expect("nothing was applied");
        drop(command);
        assert_eq!(world.change(again), None);
        world.restart();
        commands += 1;
    }
    assert!(commands > 5, "{commands}");
    world.destroy();
    assert_eq!(world.opened(first), None);
    for (n, record) in records.iter().enumerate().skip(1) {
        assert_eq!(world.opened(LeafIndex(first.get() + n as u64)).as_ref(), Some(record));
    }
    let held = world.keks.held_of(prefix());
    assert_eq!((held.oldest, held.newest), (2, 2));
}

#[derive(Debug, Clone)]
enum Step {
    Record(u8),
    /// Sealed now, applied by a later `Arrive`.
    Seal(u8),
    Arrive,
    EraseOne(usize),
    ErasePatient(u8),
    /// Prepares a command and applies it.
    Job,
    /// Prepares a command now, to be applied by a later `Deliver`.
    Prepare,
    Deliver,
    Destroy,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1..4_u8).prop_map(Step::Record),
        2 => (1..4_u8).prop_map(Step::Seal),
        2 => Just(Step::Arrive),
        2 => (0..20_usize).prop_map(Step::EraseOne),
        1 => (1..4_u8).prop_map(Step::ErasePatient),
        4 => Just(Step::Job),
        2 => Just(Step::Prepare),
        2 => Just(Step::Deliver),
        1 => Just(Step::Destroy),
    ];
    prop::collection::vec(step, 1..60)
}

type Recorded = (u8, LeafIndex, Vec<u8>, bool);

fn note_resealed(world: &mut World, records: &[Recorded], command: &Command) {
    for payload in command.reseal.iter().flat_map(|reseal| &reseal.payloads) {
        let (_, _, record, _) = records.iter().find(|(_, index, ..)| index.get() == payload.index).expect("known");
        world.note(record, &payload.payload);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn in_whatever_order_nothing_becomes_unreadable_that_was_not_erased(steps in steps()) {
        let mut world = World::beside_a_forgetful_one();
        let mut records: Vec<Recorded> = Vec::new();
        let (mut under_way, mut prepared) = (None::<(u8, Vec<u8>, SealedBatch)>, None);
        let mut made = 0;
        let mut text = || { made += 1; format!("record {made}").into_bytes() };
        for step in steps {
            // Only one batch of the stream may be under way.
            if matches!(step, Step::Record(_) | Step::Seal(_)) && under_way.is_some() { continue; }
            match step {
                Step::Record(patient) => {
                    let record = text();
                    let batch = world.sealed(&[(tag(patient), &record)]);
                    let CommandOutcome::Done { first_index: index, .. } = world.arrive(&record, batch) else { panic!() };
                    records.push((patient, index, record, false));
                }
                Step::Seal(patient) => {
                    let record = text();
                    let batch = world.sealed(&[(tag(patient), &record)]);
                    under_way = Some((patient, record, batch));
                }
                Step::Arrive => if let Some((patient, record, batch)) = under_way.take() {
                    let mut outcome = world.arrive(&record, batch);
                    if let Some(code) = code(&outcome) {
                        prop_assert_eq!(code, Code::DataKeyGone);
                        let again = sealed(&world.sealer, world.seqs[1], &[(tag(patient), &record)]);
                        outcome = world.arrive(&record, again);
                    }
                    let CommandOutcome::Done { first_index, .. } = outcome else { panic!("{outcome:?}") };
                    records.push((patient, first_index, record, false));
                },
                Step::EraseOne(at) => if let Some((patient, index, _, erased)) = records.get_mut(at) {
                    let refused = world.erase(tag(*patient), &[*index], "ORDER");
                    prop_assert_eq!(refused.is_some(), *erased);
                    *erased = true;
                },
                Step::ErasePatient(patient) => {
                    world.erase(tag(patient), &[], "ORDER");
                    records.iter_mut().filter(|record| record.0 == patient).for_each(|record| record.3 = true);
                }
                Step::Job => if let Some(command) = world.next_command(64) {
                    note_resealed(&mut world, &records, &command);
                    world.change(command);
                },
                Step::Prepare => prepared = world.next_command(200),
                Step::Deliver => if let Some(command) = prepared.take() {
                    note_resealed(&mut world, &records, &command);
                    world.change(command);
                },
                Step::Destroy => world.destroy(),
            }
            for (_, index, record, erased) in &records {
                prop_assert_eq!(world.opened(*index), (!erased).then(|| record.clone()));
            }
        }
        while let Some(command) = world.next_command(64) {
            note_resealed(&mut world, &records, &command);
            prop_assert_eq!(world.change(command), None);
        }
        world.destroy();
        for (_, index, record, erased) in &records {
            prop_assert_eq!(world.opened(*index), (!erased).then(|| record.clone()));
            prop_assert!(!erased || !world.is_in_the_log(record), "a copy of {index} can still be opened");
        }
    }
}
