//! Reading of what concerns someone: entries, payloads, and the rows that lead to them.
//!
//! An [`EntryReader`] is a right, passed on by hand: only the owner of a [`crate::Ledger`] can make one, and nothing makes one from a
//! [`LedgerReader`]. So a program that keeps its only one in one place has one place where entries are read. A
//! [`LedgerReader`] tells the state of the log, its registry and its proofs, and of entries only what is public by nature.
//!
//! ```no_run
//! # use sillage_ledger::{EntryReader, Ledger};
//! fn of_the_owner(ledger: &Ledger) -> EntryReader {
//!     ledger.entry_reader()
//! }
//! ```
//! ```compile_fail,E0624
//! # use sillage_ledger::{EntryReader, LedgerReader};
//! fn of_anybody(reader: LedgerReader) -> EntryReader {
//!     EntryReader::new(reader)
//! }
//! ```
//! ```compile_fail,E0624
//! # use sillage_ledger::LedgerReader;
//! # use sillage_proof::hash::LeafIndex;
//! fn past_the_door(reader: &LedgerReader) -> Option<Vec<u8>> {
//!     reader.entry(LeafIndex(0)).ok().flatten()
//! }
//! ```

use std::ops::Deref;

use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs, leaf_hash};
use sillage_proof::keys::AuthorId;
use sillage_rules::entry::{BatchHeader, Entry, RecordEntry};
use sillage_rules::voiding::Whose;

use crate::consent::BreakGlass;
use crate::error::ReadError;
use crate::reader::{
    BatchPath, ContestsPage, GlassFilter, Headers, LedgerReader, PatientProof, RuleRow, TraceScan, VoidingPart,
};
use crate::schema::TAG_LEN;
use crate::seal::{OpenedEntry, SealError, Sealer};

/// Reads entries and payloads, and all that a [`LedgerReader`] reads. Cheap to clone.
#[derive(Clone)]
pub struct EntryReader(LedgerReader);

impl Deref for EntryReader {
    type Target = LedgerReader;

    fn deref(&self) -> &LedgerReader {
        &self.0
    }
}

impl From<EntryReader> for LedgerReader {
    fn from(reader: EntryReader) -> Self {
        reader.0
    }
}

impl EntryReader {
    pub(crate) fn new(reader: LedgerReader) -> Self {
        Self(reader)
    }

    /// The bytes of an entry; `None` beyond the end.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn entry(&self, index: LeafIndex) -> Result<Option<Vec<u8>>, ReadError> {
        self.0.entry(index)
    }

    /// An entry, decoded; `None` beyond the end.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn decoded_entry(&self, index: LeafIndex) -> Result<Option<Entry>, ReadError> {
        self.0.decoded_entry(index)
    }

    /// Entries from `first` on, at most `count`, ending at the end of the log.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn entries(&self, first: LeafIndex, count: u64) -> Result<Vec<Vec<u8>>, ReadError> {
        self.0.entries(first, count)
    }

    /// The batch headers from entry `from` on and below `to`. Records are skipped: each header costs one read.
    pub fn headers(&self, from: LeafIndex, to: LeafIndex) -> Headers {
        self.0.headers(from, to)
    }

    /// A record entry and the header of its batch; `None` beyond the end or where another kind of entry stands, or one
    /// that has no header because the ledger made it itself.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn header_of(&self, index: LeafIndex) -> Result<Option<(RecordEntry, BatchHeader)>, ReadError> {
        self.0.header_of(index)
    }

    /// A record entry, and the header of its batch unless the ledger made it itself; `None` beyond the end or where
    /// another kind of entry stands.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn record_of(&self, index: LeafIndex) -> Result<Option<(RecordEntry, Option<BatchHeader>)>, ReadError> {
        self.0.record_of(index)
    }

    /// The sealed payload of a record entry (`docs/formats.md` §8), or salt and record of an act of the authority or of
    /// what the ledger recorded itself. `None` where there is none.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn payload(&self, index: LeafIndex) -> Result<Option<Vec<u8>>, ReadError> {
        self.0.payload(index)
    }

    /// Opens the payload of a record entry with the keys of `sealer`, which reads the same ledger; `None` beyond the end of
    /// the log or where the payload was erased. What comes back hashes to the entry's record hash.
    ///
    /// # Errors
    /// When the entry isn't a record, or its payload can't be opened.
    pub fn open(&self, sealer: &Sealer, index: LeafIndex) -> Result<Option<OpenedEntry>, SealError> {
        sealer.open(index)
    }

    /// The records that an act would void that names `whose` entries from `from` to `until`: the part that begins at `next`, 0 for the
    /// first one. It tells who signed which entries, and under which tags.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn preview_voiding(
        &self,
        whose: &Whose,
        within: (LeafIndex, Option<LeafIndex>),
        next: u64,
    ) -> Result<VoidingPart, ReadError> {
        self.0.preview_voiding(whose, within, next)
    }

    /// The contests that go to a party, opened after entry `after`, oldest first, at most `limit`. A part may be short or
    /// empty and still have a next one: it ends once it has looked at a thousand.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn contests(
        &self,
        party: &AuthorId,
        waiting_only: bool,
        within: (LeafIndex, usize),
    ) -> Result<ContestsPage, ReadError> {
        self.0.contests(party, waiting_only, within)
    }

    /// The entries that concern a patient, newest first; only those below `before`, where given.
    pub fn trace_scan(&self, tag: &[u8; TAG_LEN], before: Option<LeafIndex>) -> TraceScan {
        self.0.trace_scan(tag, before)
    }

    /// For each of the record entries at `indices`, its path in its batch tree. Each batch is read once when its entries
    /// stand next to each other.
    ///
    /// # Errors
    /// [`ReadError::Beyond`] for what isn't a record entry, and when the store can't be read.
    pub fn batch_paths(&self, indices: &[LeafIndex]) -> Result<Vec<BatchPath>, ReadError> {
        self.0.batch_paths(indices)
    }

    /// Tells whether the first `count` entries of a patient are in memory, so that [`EntryReader::patient_entries`] reads none.
    pub fn keeps_entries(&self, tag: &[u8; TAG_LEN], count: u64) -> bool {
        self.0.keeps_entries(tag, count)
    }

    /// The patient's row, or its absence, as of the last index commit; `None` before the first one.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn prove_patient(&self, tag: &[u8; TAG_LEN]) -> Result<Option<PatientProof>, ReadError> {
        self.0.prove_patient(tag)
    }

    /// Indices of the patient's entries `from` to `to` (exclusive) among its first `count`, by ordinal from 0.
    ///
    /// # Errors
    /// [`ReadError::Beyond`] when the patient has fewer than `count` entries or the range isn't within them.
    pub fn patient_entries(
        &self,
        tag: &[u8; TAG_LEN],
        from: u64,
        to: u64,
        count: u64,
    ) -> Result<Vec<LeafIndex>, ReadError> {
        self.0.patient_entries(tag, from, to, count)
    }

    /// Range proof (`before`, `after`) of the patient's leaves `from` to `to` (exclusive) in the tree over its first
    /// `count`. Reads all of them once; the next pages of the same patient are cheap.
    ///
    /// # Errors
    /// As [`EntryReader::patient_entries`].
    pub fn patient_range(
        &self,
        tag: &[u8; TAG_LEN],
        from: u64,
        to: u64,
        count: u64,
    ) -> Result<(Vec<Hash>, Vec<Hash>), ReadError> {
        self.0.patient_range(tag, from, to, count)
    }

    /// The records that decide for a patient, in the order of the log, as in a log of `size` entries: after the entry `after`,
    /// at most `limit`.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn rule_rows(
        &self,
        tag: &[u8; TAG_LEN],
        after: LeafIndex,
        size: u64,
        limit: usize,
    ) -> Result<Vec<RuleRow>, ReadError> {
        self.0.rule_rows(tag, after, size, limit)
    }

    /// Rows of the register of broken glass after the entry `after`, at most `limit`, and whether there are more.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn break_glasses(
        &self,
        filter: GlassFilter,
        after: LeafIndex,
        limit: usize,
    ) -> Result<(Vec<BreakGlass>, bool), ReadError> {
        self.0.break_glasses(filter, after, limit)
    }

    /// The same, with how many rows were looked at.
    ///
    /// # Errors
    /// As [`EntryReader::break_glasses`].
    pub fn break_glasses_counted(
        &self,
        filter: GlassFilter,
        after: LeafIndex,
        limit: usize,
    ) -> Result<(Vec<BreakGlass>, bool, u64), ReadError> {
        self.0.break_glasses_counted(filter, after, limit)
    }

    /// The records that say under this tag which devices act for its patient, in log order. [`EntryReader::open`] opens them;
    /// an erased one gives none.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn device_records(&self, tag: &[u8; TAG_LEN]) -> Result<Vec<LeafIndex>, ReadError> {
        self.0.device_records(tag)
    }
}

/// An entry that is public by nature: it names nobody but parties of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicEntry {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The content.
    pub entry: Entry,
    /// Of an act of the authority: salt (16 bytes) and record. `None` where there is none.
    pub payload: Option<Vec<u8>>,
}

impl LedgerReader {
    /// An index commit, an event of the ledger or an act of the authority; `None` beyond the end or where something else
    /// stands.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn public_entry(&self, index: LeafIndex) -> Result<Option<PublicEntry>, ReadError> {
        let Some(bytes) = self.entry(index)? else { return Ok(None) };
        let entry = Entry::decode(&bytes).map_err(|error| ReadError::Damaged(format!("entry {index}: {error}")))?;
        let payload = match &entry {
            Entry::IndexCommit(_) | Entry::LedgerEvent(_) => None,
            Entry::Record(record) if record.kind.is_act() && record.tag == [0; TAG_LEN] => self.payload(index)?,
            Entry::Record(_) | Entry::BatchHeader(_) => return Ok(None),
        };
        Ok(Some(PublicEntry { bytes, entry, payload }))
    }

    /// The hash of an entry in the tree; `None` beyond the end.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn leaf_hash(&self, index: LeafIndex) -> Result<Option<Hash>, ReadError> {
        Ok(self.entry(index)?.map(|bytes| leaf_hash(&bytes)))
    }

    /// When an entry came on record, by ledger time; `None` beyond the end.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn entry_time(&self, index: LeafIndex) -> Result<Option<LedgerTimeMs>, ReadError> {
        Ok(self.decoded_entry(index)?.map(|entry| entry.time()))
    }
}
