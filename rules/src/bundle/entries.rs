//! The checks of sections 7 to 9: each entry, its record, and the path to its author's signature; then, which records
//! are gone, and by which erasure.

use std::collections::{BTreeMap, HashSet};

use sillage_proof::batch::{BATCH_RECORDS_MAX, BatchMessage};
use sillage_proof::hash::{LeafIndex, TreeSize};
use sillage_proof::keys::StreamId;
use sillage_proof::merkle::verify_inclusion;

use super::error::{BundleError, EntryProblem, Problem, Section};
use super::report::{EntryReport, ErasedBy, State};
use super::verify::Terms;
use super::{Bundle, BundleBatch, BundleEntry, Payload};
use crate::act::Act;
use crate::decide::record::DecisionRecord;
use crate::entry::{Entry, Flags, IndexCommit, RecordEntry};
use crate::facts::flags_hold;
use crate::kind::Kind;
use crate::record::{ParsedRecord, part_hash, record_hash, two_part_hash};
use crate::voiding::{Notice, VoidedRecords};

/// The findings in the entries.
pub(super) struct Checked {
    pub(super) entries: Vec<EntryReport>,
}

/// The erasures that the bundle holds, each with what it says.
#[derive(Default)]
struct Erasures {
    /// By single records: of each, the first that names it.
    records: BTreeMap<LeafIndex, ErasedBy>,
    /// Of the whole patient, in the order of the log.
    patient: Vec<ErasedBy>,
}

impl Erasures {
    fn note(&mut self, record: Option<&ParsedRecord>, report: &EntryReport) {
        let Some(Act::Erased { indices, ground }) = record.and_then(ParsedRecord::act) else {
            return;
        };
        let by = ErasedBy { index: report.index, time_ms: report.time_ms, ground: ground.clone() };
        for index in indices.iter().filter(|index| **index < by.index) {
            self.records.entry(*index).or_insert_with(|| by.clone());
        }
        if indices.is_empty() {
            self.patient.push(by);
        }
    }

    /// The erasure of the record of this entry: the first one that names it.
    fn of(&self, index: LeafIndex) -> Option<&ErasedBy> {
        let after = self.patient.partition_point(|by| by.index <= index);
        let all = self.patient.get(after);
        let one = self.records.get(&index);
        all.into_iter().chain(one).min_by_key(|by| by.index)
    }
}

/// Checks authors, batches and entries.
pub(super) fn check_entries(bundle: &Bundle, terms: &Terms, commit: &IndexCommit) -> Result<Checked, BundleError> {
    let mut walk = Walk::new(bundle, terms);
    let mut reports = Vec::with_capacity(bundle.entries.len());
    let mut erasures = Erasures::default();
    let mut voided = VoidedRecords::default();
    for (at, item) in bundle.entries.iter().enumerate() {
        let (report, record) = walk.entry(at, item, commit)?;
        erasures.note(record.as_ref(), &report);
        record.as_ref().and_then(Notice::of).iter().for_each(|notice| voided.note(notice));
        reports.push(report);
    }
    walk.all_used()?;
    let to_the_end = bundle.range.b == bundle.range.n;
    for (at, report) in reports.iter_mut().enumerate().filter(|(_, report)| report.state == State::Withheld) {
        match erasures.of(report.index) {
            Some(by) => report.state = State::Erased(by.clone()),
            None if to_the_end => return Err(line(at, Some(report.index), EntryProblem::Withheld)),
            None => {}
        }
    }
    for report in &mut reports {
        report.voided_by = voided.act_of(report.index.get()).map(LeafIndex);
    }
    Ok(Checked { entries: reports })
}

fn line(at: usize, index: Option<LeafIndex>, problem: impl Into<EntryProblem>) -> BundleError {
    Section::Entries.err(Problem::Line { at, index: index.map(LeafIndex::get), problem: problem.into() })
}

/// The state of the walk over the entries, in order.
struct Walk<'a> {
    bundle: &'a Bundle,
    terms: &'a Terms,
    /// For each batch used so far, where its header stands: its signature was verified.
    headers: Vec<LeafIndex>,
    /// How many authors were used so far: they stand in the order of their first use.
    authors_used: usize,
    last: Option<LeafIndex>,
    /// Batches and keys that were used, to find one that is there twice.
    batches_seen: HashSet<(StreamId, u64)>,
    keys_seen: HashSet<[u8; 32]>,
}

impl<'a> Walk<'a> {
    fn new(bundle: &'a Bundle, terms: &'a Terms) -> Self {
        let (batches_seen, keys_seen) = (HashSet::new(), HashSet::new());
        Self { bundle, terms, headers: Vec::new(), authors_used: 0, last: None, batches_seen, keys_seen }
    }

    fn entry(
        &mut self,
        at: usize,
        item: &BundleEntry,
        commit: &IndexCommit,
    ) -> Result<(EntryReport, Option<ParsedRecord>), BundleError> {
        let entry = match Entry::decode(&item.entry).map_err(|error| line(at, None, error))? {
            Entry::Record(entry) => entry,
            other => return Err(line(at, Some(other.index()), EntryProblem::NotRecord)),
        };
        let wrong = |problem: EntryProblem| line(at, Some(entry.index), problem);
        self.check_place(&entry, commit).map_err(wrong)?;
        let shown = check_shown(item, &entry).map_err(wrong)?;
        let state = if matches!(shown, Shown::Nothing) { State::Withheld } else { State::Shown };
        let record = match shown {
            Shown::Record(record) => Some(*record),
            Shown::Nothing | Shown::Decision => None,
        };
        if !flags_hold(&entry, record.as_ref(), self.terms.late_after_ms) {
            return Err(wrong(EntryProblem::Flags));
        }
        let batch = self.batch_of(at, item, &entry)?;
        let author = batch.and_then(|batch| self.bundle.authors.get(batch.author as usize));
        let report = EntryReport {
            index: entry.index,
            time_ms: entry.time,
            kind: entry.kind.token(),
            flags: entry.flags.names().collect(),
            unjustified_reason: entry.flags.unjustified_reason(),
            key_id: author.map(|author| author.key.key_id()),
            author: author.map(|author| author.name.clone()),
            state,
            voided_by: None,
        };
        Ok((report, record))
    }

    fn check_place(&mut self, entry: &RecordEntry, commit: &IndexCommit) -> Result<(), EntryProblem> {
        if entry.tag != *self.bundle.identity.tag.as_bytes() {
            return Err(EntryProblem::OtherTag);
        }
        if self.last.is_some_and(|last| last >= entry.index) {
            return Err(EntryProblem::Order);
        }
        if entry.index >= commit.index {
            return Err(EntryProblem::BeyondCommit);
        }
        self.last = Some(entry.index);
        Ok(())
    }

    /// The batch that the author signed, with the entry's path to it; `None` for what the ledger made itself.
    fn batch_of(
        &mut self,
        at: usize,
        item: &BundleEntry,
        entry: &RecordEntry,
    ) -> Result<Option<&'a BundleBatch>, BundleError> {
        let wrong = |problem: EntryProblem| line(at, Some(entry.index), problem);
        let made_by_ledger = entry.flags.contains(Flags::LEDGER);
        let place = match item.batch {
            None if !made_by_ledger => return Err(wrong(EntryProblem::Batch("no batch shows who signed it"))),
            None if entry.position != 0 || !item.path.is_empty() => {
                return Err(wrong(EntryProblem::Batch("made by the ledger, and has a place in a batch")));
            }
            None => return Ok(None),
            Some(_) if made_by_ledger => {
                return Err(wrong(EntryProblem::Batch("made by the ledger, and has a batch")));
            }
            Some(place) => place as usize,
        };
        let batch = self.bundle.batches.get(place).filter(|_| place <= self.headers.len());
        let batch = batch
            .ok_or_else(|| wrong(EntryProblem::Batch("its batch is not there, or not in the order of first use")))?;
        let header = entry.header_index().ok_or_else(|| wrong(EntryProblem::Batch("no header can stand before it")))?;
        let (leaf, size) = (LeafIndex(entry.position.into()), TreeSize(batch.count.into()));
        verify_inclusion(&entry.batch_leaf().hash(), leaf, size, &item.path, &batch.root)
            .map_err(|error| wrong(error.into()))?;
        match self.headers.get(place) {
            None => {
                self.check_batch(place, batch)?;
                self.headers.push(header);
            }
            // One batch stands in one place: the same signed record can't be shown as two.
            Some(known) if *known != header => {
                return Err(wrong(EntryProblem::Batch("its batch stands elsewhere in the log")));
            }
            Some(_) => {}
        }
        Ok(Some(batch))
    }

    /// The first use of a batch: its author's signature, and that it isn't there twice.
    fn check_batch(&mut self, place: usize, batch: &BundleBatch) -> Result<(), BundleError> {
        let item = |what| Section::Batches.err(Problem::Item { at: place, what });
        if !self.batches_seen.insert((batch.stream_id, batch.seq)) {
            return Err(item("is there twice"));
        }
        if batch.seq == 0 || batch.count == 0 || batch.count > BATCH_RECORDS_MAX {
            return Err(item("is of no possible number or length"));
        }
        let author = self.bundle.authors.get(batch.author as usize);
        let author = author.filter(|_| batch.author as usize <= self.authors_used);
        let author =
            author.ok_or_else(|| item("names an author that is not there, or not in the order of first use"))?;
        if batch.author as usize == self.authors_used {
            if !self.keys_seen.insert(author.key.to_bytes()) {
                let at = self.authors_used;
                return Err(Section::Authors.err(Problem::Item { at, what: "is there twice" }));
            }
            self.authors_used += 1;
        }
        let message = BatchMessage {
            key_id: author.key.key_id(),
            origin: self.terms.origin.clone(),
            stream_id: batch.stream_id,
            seq: batch.seq,
            count: batch.count,
            root: batch.root,
        };
        let verdict = message.verify(&author.key, &batch.signature);
        verdict.map_err(|_| Section::Batches.err(Problem::Signature { at: place }))
    }

    fn all_used(&self) -> Result<(), BundleError> {
        let unused = |section: Section, at| section.err(Problem::Item { at, what: "is used by no entry" });
        if self.authors_used < self.bundle.authors.len() {
            return Err(unused(Section::Authors, self.authors_used));
        }
        match self.headers.len() < self.bundle.batches.len() {
            true => Err(unused(Section::Batches, self.headers.len())),
            false => Ok(()),
        }
    }
}

/// The part of an entry that is shown.
enum Shown {
    Nothing,
    Record(Box<ParsedRecord>),
    Decision,
}

/// The shown record is the one that the entry commits to.
fn check_shown(item: &BundleEntry, entry: &RecordEntry) -> Result<Shown, EntryProblem> {
    match &item.payload {
        None if entry.kind.is_act() => Err(EntryProblem::ActWithheld),
        None => Ok(Shown::Nothing),
        Some(Payload::Record { salt, record }) => {
            if record_hash(salt, record) != entry.record_hash {
                return Err(EntryProblem::OtherRecord);
            }
            let record = ParsedRecord::parse(record)?;
            match record.kind() == entry.kind && record.entry_tag() == entry.tag {
                true => Ok(Shown::Record(Box::new(record))),
                false => Err(EntryProblem::KindOrTag),
            }
        }
        Some(Payload::Decision { salts: [salt_a, salt_p], actor, private }) => {
            if two_part_hash(&part_hash(salt_a, actor), &part_hash(salt_p, private)) != entry.record_hash {
                return Err(EntryProblem::OtherRecord);
            }
            let decision = DecisionRecord::from_parts([*salt_a, *salt_p], actor, private)?;
            let is_its_own = decision.is_under(&entry.tag) && decision.actor_part().decided_at_ms == entry.time.get();
            match entry.kind == Kind::DECISION_MADE && entry.flags.contains(Flags::LEDGER) && is_its_own {
                true => Ok(Shown::Decision),
                false => Err(EntryProblem::KindOrTag),
            }
        }
    }
}
