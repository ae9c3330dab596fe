//! Applies one command: every batch in it is checked and recorded, or refused, in order; then requests are decided;
//! then come the records that the ledger makes itself.
//!
//! [`check`] says what is checked, [`acts`] what acts of the authority do, [`authority`] which of them several authorities sign,
//! [`voiding`] how records are voided, [`daily`] how often a day access may be taken away, [`rule`] what records that decide do, [`basis`]
//! whether an access has the right that it cites, [`decide`] how requests are decided, [`stale`] when their names are
//! forgotten, [`will`] how it is proven that the patient decided, [`clock`] what time it is, [`signing`] which keys sign checkpoints, [`nodes`] whose count, [`own`] what the ledger
//! records itself, [`vouching`] for whom a party vouches, [`doors`] heartbeats, sessions and contests, [`crate::overlay`] how batches of
//! one command see each other. [`command`] puts it together and returns everything to write at once.

pub(crate) mod acts;
mod asker;
mod authority;
mod basis;
pub(crate) mod check;
pub(crate) mod clock;
pub(crate) mod daily;
pub(crate) mod decide;
mod decided;
pub(crate) mod devices;
mod doors;
pub(crate) mod erase;
mod erase_keys;
pub(crate) mod feature;
mod nodes;
pub(crate) mod own;
mod rule;
pub(crate) mod signing;
mod stale;
mod voiding;
pub(crate) mod vouching;
pub(crate) mod will;

use prost::Message;
use prost::bytes::Bytes;
use rocksdb::{ColumnFamily, WriteBatch};
use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs, hash_leaves};
use sillage_proof::keys::StreamId;
use sillage_proto::internal::v1::{Command, SealedBatch};
use sillage_rules::act::Act;
use sillage_rules::codes::Code;
use sillage_rules::entry::{BatchHeader, Entry, RecordEntry};
use sillage_rules::facts::{self, Finding, Lateness};
use sillage_rules::kind::Kind;

use self::acts::Actor;
use self::check::{Content, Record, Shape, Signer};
pub use self::decided::{Decided, MadeDecision};
use self::feature::{CLAIMS, DOORS};
use self::rule::StagedRecords;
use crate::consent::Rules;
use crate::consent::caches::Caches;
use crate::error::{Fatal, ReadError, Refusal, Stop};
use crate::genesis::GenesisInfo;
use crate::index::RecordedEntry;
use crate::overlay::Overlay;
use crate::rows::{NodeSetRow, StreamInfo};
use crate::schema::{self, Family, NO_PATIENT, SigningName, SigningRow};
use crate::shared::Shared;
use crate::stats::{ApplyStats, Stage};
use crate::store::Store;
use crate::verified::Verified;

/// Newest version of commands that this program applies: 1 has batches only, 3 has decisions too, 6 says the time. A leader
/// proposes none that needs a higher feature level than the group has ([`command_version_max`]).
pub const COMMAND_VERSION: u32 = COMMAND_VERSION_CLOCKS;
/// From this version on a command may carry the time, or raise the feature level.
pub const COMMAND_VERSION_CLOCKS: u32 = 6;

/// Newest version of commands that every node of a group of this feature level applies.
pub const fn command_version_max(level: u32) -> u32 {
    if level >= crate::feature::CLOCKS { COMMAND_VERSION_CLOCKS } else { 5 }
}

/// The outcome of one part of a command. A command has one outcome for each of its batches, then one for each of its
/// decisions, then one for each record of the ledger itself, then one for the index commit if it asks for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandOutcome {
    /// It is on record.
    Done {
        /// The author's stream.
        stream_id: StreamId,
        /// The number of the batch in its stream.
        seq: u64,
        /// Number of records.
        count: u32,
        /// Root of the batch tree.
        root: Hash,
        /// Index of the first record entry; the header's is one less.
        first_index: LeafIndex,
        /// Ledger time of the entries.
        time_ms: LedgerTimeMs,
        /// It was on record before: this is the original answer.
        repeated: bool,
    },
    /// The requests are decided, one by one in their order, and the decisions are on record. A request may be refused
    /// by itself.
    Decided(Vec<Result<Decided, Refusal>>),
    /// A record of the ledger itself is on record.
    LedgerRecord {
        /// Index of its entry.
        index: LeafIndex,
    },
    /// The index commit was made.
    IndexCommitted {
        /// Index of its entry, the last one: a checkpoint may have the size of one more.
        index: LeafIndex,
        /// Its ledger time.
        time_ms: LedgerTimeMs,
    },
    /// No index commit was made: nothing came since the last one.
    NothingNew,
    /// Data keys or epochs were changed as the command says.
    KeysChanged,
    /// The feature level is this from the next command on.
    FeatureLevel(u32),
    /// Nothing of it is recorded.
    Refused(Refusal),
}

/// Everything that a command changes, to be written at once.
#[derive(Default)]
pub(crate) struct Effects {
    /// Ledger time from it on.
    pub time: LedgerTimeMs,
    /// The feature level, where it is raised.
    pub level: Option<u32>,
    pub outcomes: Vec<CommandOutcome>,
    pub writes: WriteBatch,
    /// Leaf hashes of the new entries.
    pub leaves: Vec<Hash>,
    /// New record entries with a patient, in order.
    pub recorded: Vec<RecordedEntry>,
    /// The command asks for an index commit; every change of who signs that none covers yet.
    pub index_commit: Option<UncoveredChanges>,
    /// True if the data keys that readers keep are outdated.
    pub keys_changed: bool,
}

/// Changes of who signs checkpoints, until an index commit covers them.
#[derive(Default)]
pub(crate) struct UncoveredChanges {
    pub keys: Vec<(SigningName, SigningRow)>,
    pub node_sets: Vec<NodeSetRow>,
}

impl UncoveredChanges {
    fn of(overlay: &Overlay<'_>) -> Result<Self, ReadError> {
        let (mut keys, mut node_sets) = (overlay.signing()?, overlay.node_sets()?);
        keys.retain(|(_, row)| row.covered_by.is_none());
        node_sets.retain(|row| row.covered_by().is_none());
        Ok(Self { keys, node_sets })
    }

    /// All of them, covered by this index commit.
    pub(crate) fn cover(self, store: &Store, commit: LeafIndex, writes: &mut WriteBatch) {
        let signing = store.family(Family::Signing);
        for (name, row) in self.keys {
            let row = SigningRow { covered_by: Some(commit), ..row };
            writes.put_cf(signing, name.encode(), row.encode());
        }
        let meta = store.family(Family::Meta);
        for row in self.node_sets {
            let key = schema::node_set_key(row.epoch);
            writes.put_cf(meta, key, row.covered(commit).encode_to_vec());
        }
    }
}

/// One command, applied on top of what is stored.
struct Applier<'a> {
    store: &'a Store,
    genesis: &'a GenesisInfo,
    stats: &'a ApplyStats,
    /// Where signatures are verified: those that are known to be good.
    verify: Option<&'a Verified>,
    time: LedgerTimeMs,
    /// Size of the log before the command.
    size: u64,
    overlay: Overlay<'a>,
    rules: Rules<'a>,
    writes: WriteBatch,
    families: Families<'a>,
    /// New entries, one after the other.
    entries: Vec<u8>,
    /// Where each new entry ends in `entries`.
    ends: Vec<usize>,
    /// New record entries with a patient: place among the new entries, tag, record hash.
    concerning: Vec<(usize, [u8; 32], Hash)>,
    /// New rows of the patients' index.
    patients: Vec<([u8; schema::TAG_LEN + 8], [u8; 4])>,
    index_commit: bool,
    /// The feature level before the command, and from it on where it is raised.
    level: (u32, Option<u32>),
    /// A planted bug: a batch whose number is used is recorded again.
    records_again: bool,
}

/// The families that every record is written to.
struct Families<'a> {
    entries: &'a ColumnFamily,
    payloads: &'a ColumnFamily,
    patients: &'a ColumnFamily,
}

impl<'a> Families<'a> {
    fn of(store: &'a Store) -> Self {
        let [entries, payloads, patients] =
            [Family::Entries, Family::Payload, Family::Patient].map(|family| store.family(family));
        Self { entries, payloads, patients }
    }
}

/// Applies one command at its place; no data at all is none.
///
/// Bytes that aren't a command are answered by one refusal: they must not stop the group.
pub(crate) fn command<'a>(
    shared: &'a Shared,
    caches: &'a mut Caches,
    store: &'a Store,
    at: clock::Place<'_>,
    data: &[u8],
) -> Result<Effects, Fatal> {
    let stats = &shared.stats;
    if data.is_empty() {
        let time = clock::time(shared, caches, store, at, None)?;
        return Ok(Effects { time, ..Effects::default() });
    }
    let command = stats.time(Stage::Decode, || Command::decode(Bytes::copy_from_slice(data)));
    let time = clock::time(shared, caches, store, at, command.as_ref().ok())?;
    let size = at.head.size;
    let overlay = Overlay::new(store);
    let mut applier = Applier {
        store,
        genesis: &shared.genesis,
        stats,
        verify: shared.to_verify(),
        time,
        size,
        overlay,
        rules: Rules::new(caches, stats, size, true).at_level(at.level),
        writes: WriteBatch::with_capacity_bytes(data.len() * 2),
        families: Families::of(store),
        entries: Vec::new(),
        ends: Vec::new(),
        concerning: Vec::new(),
        patients: Vec::new(),
        index_commit: false,
        level: (at.level, None),
        records_again: shared.records_again(),
    };
    let outcomes = match command {
        Ok(command) if (1..=COMMAND_VERSION).contains(&command.version) => applier.all(&command)?,
        // Nodes that know it apply it: to skip it here would be to hold another log than theirs.
        Ok(command) if command.version > COMMAND_VERSION => {
            return Err(Fatal::Version { found: command.version, known: COMMAND_VERSION });
        }
        _ => {
            stats.refused();
            let what = "these bytes aren't a command: nothing of them is recorded";
            vec![CommandOutcome::Refused(Refusal::new(Code::MalformedRequest, what))]
        }
    };
    applier.finish(outcomes)
}

/// The refusal that [`command`] would give to this batch, its place in the stream and keys of what isn't opened aside. `time` is the
/// ledger's.
pub(crate) fn check_only(
    shared: &Shared,
    caches: &mut Caches,
    store: &Store,
    (size, time): (u64, LedgerTimeMs),
    batch: &SealedBatch,
) -> Result<(), Stop> {
    let mut overlay = Overlay::new(store);
    let shape = Shape::of(batch)?;
    feature::check_known(store, &shape)?;
    let mut signer = shape.signer(&overlay)?;
    let stream = overlay.stream(&signer.stream_id)?;
    if stream.is_some_and(|stream| batch.seq <= stream.last_seq) {
        // Applying gives the original answer, or finds the reuse.
        return Ok(());
    }
    let mut rules = Rules::of_check(caches, &shared.stats, size, &overlay)?;
    let found = signer.find_patient(&overlay, &mut rules, &shape);
    let genesis = (&*shared.genesis, shared.to_verify());
    let checked = found
        .and_then(|()| Ok(shape.check_rights(&signer, store.feature_level()?)?))
        .and_then(|()| Ok(shape.check_records(&shared.genesis, time)?))
        .and_then(|()| perform(&mut overlay, &mut rules, genesis, (&shape, &signer), (size + 1, time)));
    rules.finish(size);
    checked.map(drop)
}

/// Performs the acts of a batch whose first record entry is at `first`, and admits what decides.
fn perform(
    overlay: &mut Overlay<'_>,
    rules: &mut Rules<'_>,
    (genesis, verify): (&GenesisInfo, Option<&Verified>),
    (shape, signer): (&Shape<'_>, &Signer),
    (first, time): (u64, LedgerTimeMs),
) -> Result<StagedRecords, Stop> {
    let actor = Actor { author: signer.key.author_id, roles: signer.roles };
    let mut staged = StagedRecords::default();
    for (position, record) in (0_u32..).zip(&shape.records) {
        let at = (LeafIndex(first + u64::from(position)), time);
        let done = match &record.content {
            Content::Act(act) => {
                let cosigned = record.cosigned.as_ref().expect("an act was read with its signatures");
                authority::check(overlay, genesis, verify, (&actor, act), cosigned, at).and_then(|()| match &**act {
                    Act::Erased { .. } => erase::plan(overlay, rules, shape, record, signer.roles, at),
                    act => acts::perform(overlay, genesis, &actor, act, (shape, at)),
                })
            }
            Content::Sealed(_) if rule::is_opened(record, rules) || will::opens(overlay, genesis, record)? => {
                let known = (genesis, verify);
                rule::stage(overlay, rules, known, &mut staged, (shape, signer), (position, record), at).map(|()| {
                    overlay.registry.contents.extend(staged.cosigned.drain(..));
                })
            }
            Content::Sealed(_) => Ok(()),
        };
        done.map_err(|stop| stop.at(position))?;
    }
    Ok(staged)
}

impl Applier<'_> {
    fn all(&mut self, command: &Command) -> Result<Vec<CommandOutcome>, Fatal> {
        if command.version >= COMMAND_VERSION_CLOCKS && command.feature_level != 0 {
            // It does nothing else.
            let (outcome, raised) = clock::raise(self.level.0, command.feature_level)?;
            self.level.1 = raised;
            return Ok(vec![outcome]);
        }
        if command.version >= 2 && erase_keys::is_about_keys(command) {
            return Ok(vec![self.change_keys(command)?]);
        }
        let batches = command.batches.iter();
        let mut outcomes: Vec<_> = batches.map(|batch| self.outcome(batch)).collect::<Result<_, _>>()?;
        if command.version >= 3 {
            let stats = self.stats;
            for decision in &command.decisions {
                outcomes.push(stats.time(Stage::Decide, || self.decision(decision))?);
            }
            self.forget_stale(command.decisions.iter().map(|decision| decision.requests.len()).sum())?;
        }
        if command.version >= 2 {
            let records = command.ledger_records.iter().enumerate();
            outcomes.extend(records.map(|(at, record)| self.own_record(at, record)));
            self.tell_of_voided()?;
            self.index_commit = command.index_commit;
        }
        Ok(outcomes)
    }

    fn outcome(&mut self, batch: &SealedBatch) -> Result<CommandOutcome, Fatal> {
        match self.batch(batch) {
            Ok(done) => Ok(done),
            Err(stop) => {
                self.stats.refused();
                Ok(CommandOutcome::Refused(stop.refusal()?))
            }
        }
    }

    fn batch(&mut self, batch: &SealedBatch) -> Result<CommandOutcome, Stop> {
        let stats = self.stats;
        let (shape, mut signer) = stats.time(Stage::Check, || {
            let shape = Shape::of(batch)?;
            feature::check_known(self.store, &shape)?;
            let signer = shape.signer(&self.overlay)?;
            Ok::<_, Stop>((shape, signer))
        })?;
        let stream = self.overlay.stream(&signer.stream_id)?;
        let last_seq = stream.map_or(0, |stream| stream.last_seq);
        if batch.seq <= last_seq && !self.records_again {
            return self.answer_again(&shape, &signer);
        }
        signer.find_patient(&self.overlay, &mut self.rules, &shape)?;
        let staged = stats.time(Stage::Check, || self.check(&shape, &signer, last_seq))?;
        stats.time(Stage::Encode, || self.record(&shape, &signer, staged))
    }

    /// A number that is used: the original answer if it is the same batch. Asked before the rights of the key, so that
    /// an author whose key was revoked since still learns that its batch is on record.
    fn answer_again(&self, shape: &Shape<'_>, signer: &Signer) -> Result<CommandOutcome, Stop> {
        let seq = shape.batch.seq;
        let row = self.overlay.batch(&signer.stream_id, seq)?;
        let row = row.ok_or_else(|| ReadError::Damaged(format!("batch {seq} of a stream is missing")))?;
        if row.root != shape.root {
            let code = Code::SequenceReused;
            return Err(Refusal::new(code, code.way_out()).into());
        }
        self.stats.repeated();
        Ok(CommandOutcome::Done {
            stream_id: signer.stream_id,
            seq,
            count: row.count,
            root: row.root,
            first_index: row.first_index,
            time_ms: row.time,
            repeated: true,
        })
    }

    fn check(&mut self, shape: &Shape<'_>, signer: &Signer, last_seq: u64) -> Result<StagedRecords, Stop> {
        shape.check_rights(signer, self.level.0)?;
        if let Some(verified) = self.verify {
            shape.verify(self.genesis, signer, verified)?;
        }
        // Only numbers above the last one come here, so the last one isn't the largest there is.
        let expected = last_seq + 1;
        if shape.batch.seq != expected && !(self.records_again && shape.batch.seq < expected) {
            let message = format!(
                "the batch has number {} but {expected} is the next of its stream: send that one first",
                shape.batch.seq
            );
            return Err(Refusal::new(Code::OutOfOrder, message).expecting(expected).into());
        }
        shape.check_records(self.genesis, self.time)?;
        shape.check_data_keys(&self.overlay, self.rules.caches)?;
        let first = self.next_index() + 1;
        let rules = &self.rules;
        let looked_at = |record: &Record<'_>| {
            record.kind.is_act() || rule::is_opened(record, rules) || record.kind == Kind::CONTEST_OPENED
        };
        if !shape.records.iter().any(looked_at) {
            return Ok(StagedRecords::default());
        }
        let before = self.overlay.registry.clone();
        let (overlay, rules) = (&mut self.overlay, &mut self.rules);
        let done = perform(overlay, rules, (self.genesis, self.verify), (shape, signer), (first, self.time));
        if done.is_err() {
            // A refused batch leaves nothing, the acts before the refused one neither.
            self.overlay.registry = before;
        }
        done
    }

    /// Index of the next entry.
    fn next_index(&self) -> u64 {
        self.size + self.ends.len() as u64
    }

    /// Adds the header and the records of a checked batch.
    fn record(&mut self, shape: &Shape<'_>, signer: &Signer, staged: StagedRecords) -> Result<CommandOutcome, Stop> {
        let header = LeafIndex(self.next_index());
        self.push(&Entry::BatchHeader(BatchHeader {
            index: header,
            time: self.time,
            key_id: shape.key_id,
            stream_id: signer.stream_id,
            seq: shape.batch.seq,
            count: shape.count(),
            root: shape.root,
            signature: shape.signature,
        }));
        let first_index = LeafIndex(self.next_index());
        let late = self.lateness()?;
        for (position, record) in (0_u32..).zip(&shape.records) {
            let found = staged.records.get(&position).map(|named| named.found).unwrap_or_default();
            self.put_record(record, position, found, late);
        }
        for (name, wrapped) in &shape.new_keys {
            self.overlay.take_new_key(*name, wrapped)?;
        }
        for record in &shape.records {
            if let Content::Act(act) = &record.content
                && let Act::Registered(party) = &**act
            {
                acts::pair_tags(&mut self.overlay, party)?;
            }
        }
        let signed = first_index.get()..self.next_index();
        self.overlay.signed.push((signed, (shape.key_id, signer.key.author_id)));
        if staged.limited > 0 {
            self.overlay.count_limited(signer, staged.limited, self.time)?;
        }
        if self.level.0 >= DOORS {
            doors::note_day(&mut self.overlay, (signer, shape), self.time)?;
        }
        self.take_effect(staged)?;
        self.erase_planned()?;
        self.void_planned()?;
        let stream = StreamInfo {
            stream_id: signer.stream_id,
            author_id: signer.key.author_id,
            label: shape.label.as_str().to_owned(),
            last_seq: shape.batch.seq,
            last_root: shape.root,
            last_first_index: first_index,
            last_count: shape.count(),
            last_time_ms: self.time,
        };
        self.overlay.put_batch(stream);
        self.stats.recorded(u64::from(shape.count()));
        Ok(CommandOutcome::Done {
            stream_id: signer.stream_id,
            seq: shape.batch.seq,
            count: shape.count(),
            root: shape.root,
            first_index,
            time_ms: self.time,
            repeated: false,
        })
    }

    /// When a record is late, by the policy in force before the batch.
    fn lateness(&mut self) -> Result<Lateness, Stop> {
        let (of_genesis_ms, of_every_kind) = (self.genesis.late_after_ms, self.level.0 >= CLAIMS);
        let after_ms = match of_every_kind {
            true => self.rules.documents(&self.overlay)?.policy.late_after_ms(of_genesis_ms),
            false => of_genesis_ms,
        };
        Ok(Lateness { after_ms, of_every_kind })
    }

    /// Adds a record entry, its payload and its row in the patients' index.
    fn put_record(&mut self, record: &Record<'_>, position: u32, found: Finding, late: Lateness) {
        let index = self.next_index();
        let times = (record.sealed.occurred_at_ms, self.time.get());
        let flags = facts::flags_for(record.kind, record.sealed.facts, found, times, late);
        self.put_entry(&RecordEntry {
            index: LeafIndex(index),
            time: self.time,
            flags,
            kind: record.kind,
            tag: record.tag,
            record_hash: record.hash,
            position,
        });
        self.writes.put_cf(self.families.payloads, schema::index_key(index), &record.sealed.payload);
    }

    /// Adds a record entry, and its row in the patients' index.
    fn put_entry(&mut self, entry: &RecordEntry) {
        self.push(&Entry::Record(entry.clone()));
        if entry.tag != NO_PATIENT {
            self.concerning.push((self.ends.len() - 1, entry.tag, entry.record_hash));
            let row = schema::patient_row(entry.kind.code(), entry.flags.bits());
            self.patients.push((schema::patient_key(&entry.tag, entry.index.get()), row));
        }
    }

    /// Adds one entry at [`Applier::next_index`].
    fn push(&mut self, entry: &Entry) {
        assert_eq!(entry.index().get(), self.next_index(), "entries follow each other");
        entry.encode_into(&mut self.entries);
        self.ends.push(self.entries.len());
    }

    /// The new entries, in order.
    fn new_entries(&self) -> impl Iterator<Item = &[u8]> {
        let mut begin = 0;
        self.ends.iter().map(move |end| &self.entries[std::mem::replace(&mut begin, *end)..*end])
    }

    /// Writes entries and rows, family by family and in the order of their keys: where one belongs, the next isn't far.
    fn write_rows(&mut self) {
        let mut writes = std::mem::take(&mut self.writes);
        for (index, entry) in (self.size..).zip(self.new_entries()) {
            writes.put_cf(self.families.entries, schema::index_key(index), entry);
        }
        self.patients.sort_unstable();
        for (key, row) in &self.patients {
            writes.put_cf(self.families.patients, key, row);
        }
        self.overlay.write_into(&mut writes);
        self.writes = writes;
    }

    fn finish(mut self, outcomes: Vec<CommandOutcome>) -> Result<Effects, Fatal> {
        let stats = self.stats;
        let size = self.next_index();
        stats.time(Stage::Encode, || self.write_rows());
        let leaves = stats.time(Stage::Hash, || {
            let inputs: Vec<&[u8]> = self.new_entries().collect();
            let mut leaves = Vec::with_capacity(inputs.len());
            hash_leaves(&inputs, &mut leaves);
            leaves
        });
        self.rules.finish(size);
        // Each place was taken when its entry was added.
        let recorded = self.concerning.iter();
        let recorded =
            recorded.map(|(at, tag, record)| RecordedEntry { tag: *tag, leaf: leaves[*at], record: *record });
        let index_commit = match self.index_commit {
            true => Some(UncoveredChanges::of(&self.overlay)?),
            false => None,
        };
        Ok(Effects {
            time: self.time,
            level: self.level.1,
            outcomes,
            recorded: recorded.collect(),
            index_commit,
            // What readers keep was folded with what is voided by now.
            keys_changed: self.overlay.keys_changed || self.overlay.voids_changed,
            writes: self.writes,
            leaves,
        })
    }
}
