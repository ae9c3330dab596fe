//! The ledger against a naive model in memory, over random commands, power failures and replays.

mod common;

use std::collections::BTreeMap;

use common::*;
use proptest::prelude::*;
use sillage_ledger::{CommandOutcome, Ledger};
use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs, leaf_hash};
use sillage_proof::keys::{KeyId, StreamId};
use sillage_proof::merkle;
use sillage_proto::internal::v1::{LedgerRecord, SealedBatch};
use sillage_rules::act::Act;
use sillage_rules::codes::Code;
use sillage_rules::entry::{BatchHeader, Entry, Flags, IndexCommit, LedgerEvent, RecordEntry};
use sillage_rules::kind::Kind;
use sillage_rules::roles::Roles;

/// The next step of a test. Numbers choose among what exists.
#[derive(Debug, Clone)]
enum Step {
    /// The next batch of a stream, of so many records.
    Next { author: u8, stream: u8, records: u8 },
    /// A batch of the stream that was sent before, again.
    Retry { author: u8, stream: u8, back: u64 },
    /// Other content under a number that is used.
    Reuse { author: u8, stream: u8 },
    /// A number too far.
    Gap { author: u8, stream: u8 },
    /// A root that isn't that of the records.
    Altered { author: u8, stream: u8 },
    /// The authority registers party 10 + n.
    Register { party: u8 },
    /// The authority revokes the key of party 10 + n.
    Revoke { party: u8 },
    /// The ledger records itself that entries were read.
    Consulted,
    /// An index commit, with what waits or alone.
    Commit { alone: bool },
    /// Another node takes a snapshot and goes on instead.
    Snapshot,
    /// Several of the next batches come in one command.
    Together { more: u8 },
    /// Everything so far becomes durable.
    Flush,
    /// The power fails; what wasn't flushed is applied again.
    PowerFailure,
}

fn step() -> impl Strategy<Value = Step> {
    let author = prop_oneof![Just(2_u8), Just(3), Just(10), Just(11)];
    let who = || (author.clone(), 0_u8..2);
    prop_oneof![
        8 => (who(), 1_u8..80).prop_map(|((author, stream), records)| Step::Next { author, stream, records }),
        2 => (who(), 0_u64..3).prop_map(|((author, stream), back)| Step::Retry { author, stream, back }),
        1 => who().prop_map(|(author, stream)| Step::Reuse { author, stream }),
        1 => who().prop_map(|(author, stream)| Step::Gap { author, stream }),
        1 => who().prop_map(|(author, stream)| Step::Altered { author, stream }),
        2 => (0_u8..2).prop_map(|party| Step::Register { party }),
        1 => (0_u8..2).prop_map(|party| Step::Revoke { party }),
        1 => Just(Step::Consulted),
        3 => any::<bool>().prop_map(|alone| Step::Commit { alone }),
        1 => Just(Step::Snapshot),
        2 => (2_u8..4).prop_map(|more| Step::Together { more }),
        1 => Just(Step::Flush),
        1 => Just(Step::PowerFailure),
    ]
}

/// The simplest thing that could be right.
#[derive(Default)]
struct Model {
    entries: Vec<Vec<u8>>,
    /// Known keys, and whether they sign.
    keys: BTreeMap<KeyId, bool>,
    /// Batches on record: root, index of the first record.
    streams: BTreeMap<StreamId, Vec<(Hash, u64)>>,
}

impl Model {
    fn new() -> Self {
        let mut model = Self::default();
        model.entries.push(
            Entry::LedgerEvent(LedgerEvent {
                index: LeafIndex(0),
                time: LedgerTimeMs(START_MS),
                kind: Kind::GENESIS,
                body: genesis(),
            })
            .encode(),
        );
        for party in 1..=3 {
            model.keys.insert(key(party).key_id(), true);
        }
        model
    }

    /// Expected: index of the first record and whether it is a repetition, or the code.
    fn apply(&mut self, sent: &Sent, time: u64) -> Result<(u64, bool), Code> {
        let root = Hash::from_slice(&sent.batch.root).expect("32 bytes");
        if root != root_of(&sent.batch.records) {
            return Err(Code::RootMismatch);
        }
        let signs = *self.keys.get(&key(sent.author).key_id()).ok_or(Code::UnknownKey)?;
        let stream_id = StreamId::new(&author_id(sent.author), &sent.batch.stream_label);
        let stream = self.streams.entry(stream_id).or_default();
        if let Some((known, first)) = stream.get(sent.batch.seq as usize - 1) {
            return if *known == root { Ok((*first, true)) } else { Err(Code::SequenceReused) };
        }
        if !signs {
            return Err(Code::RevokedKey);
        }
        if sent.batch.seq != stream.len() as u64 + 1 {
            return Err(Code::OutOfOrder);
        }
        match sent.act {
            Some(Does::Register(party)) if self.keys.contains_key(&key(party).key_id()) => {
                return Err(Code::ActRefused);
            }
            Some(Does::Revoke(party)) if self.keys.get(&key(party).key_id()) != Some(&true) => {
                return Err(Code::ActRefused);
            }
            Some(Does::Register(party)) => drop(self.keys.insert(key(party).key_id(), true)),
            Some(Does::Revoke(party)) => drop(self.keys.insert(key(party).key_id(), false)),
            None => {}
        }
        let first = self.entries.len() as u64 + 1;
        stream.push((root, first));
        self.record(sent, stream_id, root, LedgerTimeMs(time));
        Ok((first, false))
    }

    fn record(&mut self, sent: &Sent, stream_id: StreamId, root: Hash, time: LedgerTimeMs) {
        let header = BatchHeader {
            index: LeafIndex(self.entries.len() as u64),
            time,
            key_id: key(sent.author).key_id(),
            stream_id,
            seq: sent.batch.seq,
            count: sent.batch.records.len() as u32,
            root,
            signature: sent.batch.signature[..].try_into().expect("64 bytes"),
        };
        self.entries.push(Entry::BatchHeader(header).encode());
        for (position, record) in (0..).zip(&sent.batch.records) {
            let entry = RecordEntry {
                index: LeafIndex(self.entries.len() as u64),
                time,
                flags: if record.facts == 1 { Flags::BASIS } else { Flags::NONE },
                kind: Kind::from_code(record.kind).expect("known"),
                tag: record.tag[..].try_into().expect("32 bytes"),
                record_hash: Hash::from_slice(&record.record_hash).expect("32 bytes"),
                position,
            };
            self.entries.push(Entry::Record(entry).encode());
        }
    }

    /// A record of the ledger itself is on record at once, under no header.
    fn consulted(&mut self, record: &LedgerRecord, time: LedgerTimeMs) -> LeafIndex {
        let index = LeafIndex(self.entries.len() as u64);
        let entry = RecordEntry {
            index,
            time,
            flags: Flags::LEDGER,
            kind: Kind::LOG_CONSULTED,
            tag: [0; 32],
            record_hash: leaf_hash(&[&record.salt[..], &record.record].concat()),
            position: 0,
        };
        self.entries.push(Entry::Record(entry).encode());
        index
    }

    /// Expected: where the index commit stands; `None` when nothing came since the last one.
    fn commit(&mut self, time: LedgerTimeMs) -> Option<LeafIndex> {
        let last = Entry::decode(self.entries.last().expect("the genesis")).expect("own entry");
        if matches!(last, Entry::IndexCommit(_)) {
            return None;
        }
        let index = LeafIndex(self.entries.len() as u64);
        let all = naive::patients(&self.entries);
        let (patients, root) = (all.len() as u64, naive::root(&all));
        self.entries
            .push(Entry::IndexCommit(IndexCommit { index, time, depth: naive::DEPTH, patients, root }).encode());
        Some(index)
    }

    fn root(&self) -> Hash {
        let leaves: Vec<Hash> = self.entries.iter().map(|entry| leaf_hash(entry)).collect();
        merkle::root_of(&leaves)
    }
}

#[derive(Debug, Clone, Copy)]
enum Does {
    Register(u8),
    Revoke(u8),
}

#[derive(Debug, Clone)]
struct Sent {
    author: u8,
    batch: SealedBatch,
    act: Option<Does>,
}

/// The ledger, its model, and everything that was applied since the beginning.
struct Run {
    dirs: Vec<tempfile::TempDir>,
    ledger: Option<Ledger>,
    model: Model,
    sent: BTreeMap<(u8, u8), Vec<Sent>>,
    acts: u64,
    records: u64,
    flushed: u64,
    history: Vec<(Vec<u8>, Vec<CommandOutcome>)>,
    waiting: Vec<Sent>,
    together: u8,
    consulted: Vec<LedgerRecord>,
    commit: bool,
}

impl Run {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        Self {
            ledger: Some(open(dir.path())),
            dirs: vec![dir],
            model: Model::new(),
            sent: BTreeMap::new(),
            acts: 0,
            records: 0,
            flushed: 0,
            history: Vec::new(),
            waiting: Vec::new(),
            together: 0,
            consulted: Vec::new(),
            commit: false,
        }
    }

    fn ledger(&mut self) -> &mut Ledger {
        self.ledger.as_mut().expect("open between steps")
    }

    fn new_batch(&mut self, author: u8, stream: u8, seq: u64, records: u8) -> Sent {
        let records = (0..records).map(|n| {
            self.records += 1;
            record(self.records, tag(n % 7), n % 3)
        });
        let records: Vec<_> = records.collect();
        let batch = batch(author, &format!("s{stream}"), seq, records);
        Sent { author, batch, act: None }
    }

    fn act(&mut self, does: Does) -> Sent {
        let (Does::Register(party) | Does::Revoke(party)) = does;
        let content = match does {
            Does::Register(_) => Act::Registered(registration(party, Roles::AUTHOR)),
            Does::Revoke(_) => Act::Revoked { key_id: key(party).key_id(), reason: "test".into() },
        };
        let batch = batch(1, "acts", self.acts + 1, vec![act(&content)]);
        Sent { author: 1, batch, act: Some(does) }
    }

    fn step(&mut self, step: &Step) {
        let at = |author: &u8, stream: &u8| (*author, *stream);
        let sent = match step {
            Step::Next { author, stream, records } => {
                let seq = self.next_seq(*author, *stream);
                let sent = self.new_batch(*author, *stream, seq, *records);
                self.sent.entry(at(author, stream)).or_default().push(sent.clone());
                sent
            }
            Step::Retry { author, stream, back } => {
                let known = self.sent.get(&at(author, stream));
                let known = known.and_then(|known| known.iter().rev().nth(*back as usize));
                let Some(sent) = known else { return };
                sent.clone()
            }
            Step::Reuse { author, stream } => {
                let seq = self.next_seq(*author, *stream).max(2) - 1;
                self.new_batch(*author, *stream, seq, 1)
            }
            Step::Gap { author, stream } => {
                let seq = self.next_seq(*author, *stream) + 3;
                self.new_batch(*author, *stream, seq, 1)
            }
            Step::Altered { author, stream } => {
                let seq = self.next_seq(*author, *stream);
                let mut sent = self.new_batch(*author, *stream, seq, 2);
                sent.batch.root[0] ^= 1;
                sent
            }
            Step::Register { party } => self.act(Does::Register(10 + party)),
            Step::Revoke { party } => self.act(Does::Revoke(10 + party)),
            Step::Consulted => {
                self.records += 1;
                return self.consulted.push(consulted(self.records));
            }
            Step::Commit { alone } => {
                if *alone {
                    self.apply_waiting();
                }
                self.commit = true;
                return self.apply_waiting();
            }
            Step::Snapshot => {
                self.apply_waiting();
                return self.snapshot();
            }
            Step::Together { more } => {
                self.together = *more;
                return;
            }
            Step::Flush => {
                self.apply_waiting();
                self.flushed = self.ledger().flush().expect("writable");
                assert_eq!(self.flushed, self.history.len() as u64);
                return;
            }
            Step::PowerFailure => {
                self.apply_waiting();
                return self.power_failure();
            }
        };
        self.waiting.push(sent);
        // Acts take the next number of their stream, which is known only once they are applied.
        let act_waits = self.waiting.iter().any(|sent| sent.act.is_some());
        if act_waits || self.waiting.len() >= usize::from(self.together.max(1)) {
            self.together = 0;
            self.apply_waiting();
        }
    }

    fn next_seq(&self, author: u8, stream: u8) -> u64 {
        let stream_id = StreamId::new(&author_id(author), &format!("s{stream}"));
        let on_record = self.model.streams.get(&stream_id).map_or(0, Vec::len) as u64;
        let waiting = self.waiting.iter();
        let waiting = waiting.filter(|sent| sent.author == author && sent.batch.stream_label == format!("s{stream}"));
        waiting.map(|sent| sent.batch.seq).max().unwrap_or(0).max(on_record) + 1
    }

    fn apply_waiting(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let (consulted, commit) = (std::mem::take(&mut self.consulted), std::mem::take(&mut self.commit));
        if waiting.is_empty() && consulted.is_empty() && !commit {
            return;
        }
        let index = self.history.len() as u64 + 1;
        let time = START_MS + 1_000 * index;
        let batches = waiting.iter().map(|sent| sent.batch.clone()).collect();
        let data = match consulted.is_empty() && !commit {
            true => command(batches),
            false => command2(batches, consulted.clone(), commit),
        };
        let outcomes = self.ledger().apply(index, 1, time, &data).expect("applied");
        assert_eq!(outcomes.len(), waiting.len() + consulted.len() + usize::from(commit));
        for (sent, outcome) in waiting.iter().zip(&outcomes) {
            let expected = self.model.apply(sent, time);
            if sent.act.is_some() && expected.is_ok() {
                self.acts += 1;
            }
            let got = match outcome {
                CommandOutcome::Done { first_index, repeated, .. } => Ok((first_index.get(), *repeated)),
                CommandOutcome::Refused(refusal) => Err(refusal.code),
                other => panic!("{other:?}"),
            };
            assert_eq!(got, expected, "{:?}", sent.batch.stream_label);
        }
        let time = LedgerTimeMs(time);
        for (record, outcome) in consulted.iter().zip(&outcomes[waiting.len()..]) {
            assert_eq!(*outcome, CommandOutcome::LedgerRecord { index: self.model.consulted(record, time) });
        }
        if commit {
            let expected = match self.model.commit(time) {
                Some(index) => CommandOutcome::IndexCommitted { index, time_ms: time },
                None => CommandOutcome::NothingNew,
            };
            assert_eq!(outcomes.last(), Some(&expected));
        }
        self.history.push((data, outcomes));
    }

    fn dir(&self) -> std::path::PathBuf {
        let dir = self.dirs.last().expect("one").path();
        let of_snapshot = dir.join("ledger");
        if of_snapshot.exists() { of_snapshot } else { dir.to_owned() }
    }

    /// Whatever wasn't flushed is lost and applied again: the same outcomes, bytes and root.
    fn power_failure(&mut self) {
        let old = self.dir();
        let new = tempfile::tempdir().expect("a folder");
        copy_dir(&old, new.path());
        self.ledger = None;
        let mut ledger = open(new.path());
        assert_eq!(ledger.applied().0, self.flushed, "exactly what was flushed survives");
        assert_eq!(ledger.flushed().expect("fresh"), self.flushed);
        for (index, (data, outcomes)) in (1..).zip(&self.history) {
            if index > self.flushed {
                let again = ledger.apply(index, 1, START_MS + 1_000 * index, data);
                assert_eq!(again.expect("applied"), *outcomes);
            }
        }
        self.ledger = Some(ledger);
        self.dirs.push(new);
        self.check();
    }

    fn snapshot(&mut self) {
        let new = tempfile::tempdir().expect("a folder");
        let files = new.path().join("files");
        self.flushed = self.history.len() as u64;
        self.ledger().checkpoint(&files).expect("writable");
        let mut other = open(&new.path().join("ledger"));
        other.install(&files).expect("a snapshot of this log");
        self.ledger = Some(other);
        self.dirs.push(new);
        self.check();
    }

    fn check(&mut self) {
        let (entries, root) = (self.model.entries.clone(), self.model.root());
        let reader = self.ledger().entry_reader();
        assert_eq!(reader.tree_size().get(), entries.len() as u64);
        assert_eq!(reader.root(), root);
        for (index, entry) in (0_u64..).zip(&entries) {
            let stored = reader.entry(index.into()).expect("readable");
            assert_eq!(stored.as_ref(), Some(entry), "entry {index}");
        }
        let traced: usize = (0..7).map(|patient| reader.trace_scan(&tag(patient), None).count()).sum();
        let decoded = entries.iter().map(|entry| Entry::decode(entry).expect("own entry"));
        let concerning = decoded.filter(|entry| matches!(entry, Entry::Record(entry) if entry.tag != [0; 32]));
        assert_eq!(traced, concerning.count(), "every record is in its patient's trace, once");
        let last = entries.last().expect("the genesis");
        let committed = matches!(Entry::decode(last), Ok(Entry::IndexCommit(_)));
        assert_eq!(reader.pending_since_commit(), !committed);
        // Patient 7 never has an entry.
        for patient in 0..8 {
            naive::check_proof(&reader, &entries, &tag(patient));
        }
    }

    /// Proofs for a few sizes verify against the model's roots.
    fn check_proofs(&mut self) {
        let leaves: Vec<Hash> = self.model.entries.iter().map(|entry| leaf_hash(entry)).collect();
        let reader = self.ledger().entry_reader();
        let size = leaves.len() as u64;
        let new_root = merkle::root_of(&leaves);
        for old in [1, size / 3 + 1, size / 2 + 1, size] {
            let old_root = merkle::root_of(&leaves[..old as usize]);
            assert_eq!(reader.root_at(old.into()).expect("reached"), old_root);
            let proof = reader.consistency_proof(old.into(), size.into()).expect("reached");
            let verdict = merkle::verify_consistency(old.into(), size.into(), &proof, &old_root, &new_root);
            assert_eq!(verdict, Ok(()), "{old} to {size}");
            let index = old - 1;
            let proof = reader.inclusion_proof(index.into(), size.into()).expect("reached");
            let leaf = &leaves[index as usize];
            let verdict = merkle::verify_inclusion(leaf, index.into(), size.into(), &proof, &new_root);
            assert_eq!(verdict, Ok(()), "{index} in {size}");
        }
        assert!(reader.inclusion_proof(0.into(), (size + 1).into()).is_err());
        assert!(reader.consistency_proof(size.into(), (size - 1).into()).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn the_ledger_does_what_the_model_does(steps in proptest::collection::vec(step(), 1..60)) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        run.apply_waiting();
        run.check();
        run.check_proofs();
        run.power_failure();
    }
}
