//! An entry with its record, opened and compared: what is served is what was signed, or nothing.

use std::sync::Arc;

use prost::Message as _;
use sillage_ledger::seal::{self, SealError, Sealer};
use sillage_ledger::{EntryReader, Refusal};
use sillage_proof::LeafIndex;
use sillage_proof::keys::{AuthorId, KeyId};
use sillage_proto::v1::{Erasure, Record, TraceLine, Voiding};
use sillage_rules::codes::Code;
use sillage_rules::decide::record::DecisionRecord;
use sillage_rules::entry::{Entry, RecordEntry};
use sillage_rules::kind::Kind;
use sillage_rules::record::record_hash;

use crate::core::voided::voiding_of;
use crate::refusals::{from_read, refuse, unavailable};

/// Opens entries.
#[derive(Clone)]
pub(super) struct Opener {
    entries: EntryReader,
    sealer: Arc<Sealer>,
}

/// An entry as it may be shown.
#[derive(Debug, Default)]
pub(super) struct OpenedEntry {
    /// The entry's bytes.
    pub(super) entry: Vec<u8>,
    /// Of the record, 16 bytes; of a decision, those of both parts; empty where there is none or it was erased.
    pub(super) salt: Vec<u8>,
    /// The record's bytes; of a decision, `u32 length ‖ actor part ‖ private part`; empty where there is none or it was
    /// erased.
    pub(super) bytes: Vec<u8>,
    /// The record.
    pub(super) record: Option<Record>,
    /// The two parts of a decision.
    pub(super) decision: Option<DecisionRecord>,
    /// The party whose batch it belongs to.
    pub(super) author_id: Option<AuthorId>,
    /// The name of that service.
    pub(super) author: String,
    /// Of a record entry.
    pub(super) tag: Option<[u8; 32]>,
    /// The act that erased the record.
    pub(super) erased: Option<Erasure>,
    /// The act that voided it.
    pub(super) voided: Option<Voiding>,
}

fn corrupt(index: LeafIndex, what: &str) -> Refusal {
    tracing::error!(%index, what, "a stored entry is damaged: not served");
    refuse(Code::Corrupt)
}

impl OpenedEntry {
    /// As it stands in an answer.
    pub(super) fn into_line(self, index: LeafIndex) -> TraceLine {
        TraceLine {
            index: index.get(),
            entry: self.entry,
            salt: self.salt,
            record: self.bytes,
            author: self.author,
            author_id: self.author_id.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
            erased: self.erased,
            voided: self.voided,
        }
    }
}

impl Opener {
    /// Opens what `entries` reads with the keys of `sealer`.
    pub(super) fn new(entries: EntryReader, sealer: Arc<Sealer>) -> Self {
        Self { entries, sealer }
    }

    pub(super) fn entries(&self) -> &EntryReader {
        &self.entries
    }

    /// The entry at `index`, with its record.
    ///
    /// # Errors
    /// `UNKNOWN_INDEX` beyond the log; `CORRUPT` when the payload isn't the one that the entry commits to.
    pub(super) fn open_index(&self, index: LeafIndex) -> Result<OpenedEntry, Refusal> {
        let bytes = self.entries.entry(index).map_err(|error| from_read(&error))?;
        let bytes = bytes.ok_or_else(|| refuse(Code::UnknownIndex))?;
        let entry = Entry::decode(&bytes).map_err(|_| corrupt(index, "entry"))?;
        let mut opened = OpenedEntry { entry: bytes, ..OpenedEntry::default() };
        match entry {
            Entry::IndexCommit(_) | Entry::LedgerEvent(_) => {}
            Entry::BatchHeader(header) => self.name_author(&header.key_id, &mut opened)?,
            Entry::Record(entry) => self.open_record(&entry, &mut opened)?,
        }
        Ok(opened)
    }

    /// The same as in a log of `size` entries: what was voided later counted then.
    ///
    /// # Errors
    /// As for [`Opener::open_index`].
    pub(super) fn open_index_at(&self, index: LeafIndex, size: u64) -> Result<OpenedEntry, Refusal> {
        let voided = voiding_of(&self.entries, index, size)?;
        Ok(OpenedEntry { voided, ..self.open_index(index)? })
    }

    fn open_record(&self, entry: &RecordEntry, opened: &mut OpenedEntry) -> Result<(), Refusal> {
        opened.tag = Some(entry.tag);
        let found = self.entries.record_of(entry.index);
        let found = found.map_err(|error| from_read(&error))?;
        let (_, header) = found.ok_or_else(|| corrupt(entry.index, "batch header"))?;
        if let Some(header) = header {
            self.name_author(&header.key_id, opened)?;
        }
        opened.voided = voiding_of(&self.entries, entry.index, u64::MAX)?;
        let Some(payload) = self.payload(entry.index)? else {
            let erasure = self.entries.erasure_of(&entry.tag, entry.index).map_err(|error| from_read(&error))?;
            // Gone without a record that says so.
            let erasure = erasure.ok_or_else(|| corrupt(entry.index, "payload"))?;
            let (index, time_ms) = (erasure.index.get(), erasure.time_ms.get());
            opened.erased = Some(Erasure { index, time_ms, ground: erasure.ground });
            return Ok(());
        };
        if entry.kind == Kind::DECISION_MADE {
            let decision = DecisionRecord::parse(&[&payload.salt[..], &payload.record[..]].concat());
            let decision = decision.map_err(|_| corrupt(entry.index, "decision"))?;
            if !decision.is_under(&entry.tag) || decision.record_hash() != entry.record_hash {
                return Err(corrupt(entry.index, "decision"));
            }
            (opened.salt, opened.bytes, opened.decision) = (payload.salt, payload.record, Some(decision));
            return Ok(());
        }
        let salt = payload.salt[..].try_into().map_err(|_| corrupt(entry.index, "salt"))?;
        if record_hash(&salt, &payload.record) != entry.record_hash {
            return Err(corrupt(entry.index, "payload"));
        }
        let record = Record::decode(&payload.record[..]);
        let record = record.map_err(|_| corrupt(entry.index, "record"))?;
        let same_tag = record.tag == entry.tag || (record.tag.is_empty() && entry.tag == [0; 32]);
        if record.kind != u32::from(entry.kind.code()) || !same_tag {
            return Err(corrupt(entry.index, "kind or tag"));
        }
        opened.salt = payload.salt;
        opened.bytes = payload.record;
        opened.record = Some(record);
        Ok(())
    }

    /// `None` when the payload or the key to it was erased.
    fn payload(&self, index: LeafIndex) -> Result<Option<seal::OpenedEntry>, Refusal> {
        match self.entries.open(&self.sealer, index) {
            Ok(opened) => Ok(opened),
            Err(SealError::NoDataKey(_)) => Ok(None),
            Err(SealError::Read(error)) => Err(from_read(&error)),
            Err(error @ SealError::Kek(_)) => {
                tracing::error!(%index, %error, "a payload can't be opened");
                Err(unavailable("this node can't use a key that it needs: ask another one"))
            }
            Err(error) => Err(corrupt(index, &error.to_string())),
        }
    }

    fn name_author(&self, key_id: &KeyId, opened: &mut OpenedEntry) -> Result<(), Refusal> {
        let party = self.entries.party_by_key(key_id);
        if let Some(party) = party.map_err(|error| from_read(&error))? {
            opened.author_id = Some(party.author_id);
            opened.author = party.name;
        }
        Ok(())
    }
}
