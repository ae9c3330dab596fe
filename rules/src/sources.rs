//! The authority's list of sources (`docs/formats-doors.md` §23): which systems should record, and who answers for a structure.

use sillage_proof::keys::AuthorId;
use sillage_proto::v1;

use crate::check::{at_most, line, required};
use crate::error::RecordError;
use crate::limits::{OCCURRED_AT_MS_MAX, PARTY_NAME_BYTES_MAX, VOUCHED_BYTES_MAX};
use crate::message_keys::bytes32;
use crate::stream::StreamLabel;
use crate::time::{ParisDay, TimeMs};

/// Entries and ids in one act; the size of a record bounds it, too.
pub const CHANGES_MAX: usize = 256;
/// Entries of a log's list.
pub const SOURCES_MAX: usize = 16_384;
/// The name of a structure.
pub const STRUCTURE_BYTES_MAX: usize = VOUCHED_BYTES_MAX;
/// How long a source may be silent at least and at most, in seconds: an hour, 31 days.
pub const SILENT_AFTER_S: std::ops::RangeInclusive<u32> = 3_600..=31 * 86_400;

/// A source that should record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSource {
    /// Its name in heartbeats, a label.
    pub id: String,
    /// Its name as a person reads it, in French.
    pub name_fr: String,
    /// The same in English; empty: as in French.
    pub name_en: String,
    /// The structure that it belongs to.
    pub structure: String,
    /// The party that records for it; none: none is registered yet.
    pub author_id: Option<AuthorId>,
    /// The party that answers contests about its structure; none: who signed the line does.
    pub answers: Option<AuthorId>,
    /// From when on it records, ledger time, ms.
    pub since_ms: u64,
    /// How long it may be silent, seconds.
    pub silent_after_s: u32,
}

/// The content of the act.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourcesChange {
    /// Entries that are new, or stand in the place of the one of the same id.
    pub listed: Vec<ListedSource>,
    /// Ids whose entries end.
    pub removed: Vec<String>,
}

impl ListedSource {
    /// Parses an entry.
    ///
    /// # Errors
    /// A field that is missing, too long or out of bounds.
    pub fn parse(message: &v1::ListedSource) -> Result<Self, RecordError> {
        label("id", &message.id)?;
        required("name_fr", &message.name_fr)?;
        line("name_fr", &message.name_fr, PARTY_NAME_BYTES_MAX)?;
        line("name_en", &message.name_en, PARTY_NAME_BYTES_MAX)?;
        structure("structure", &message.structure)?;
        if message.since_ms > OCCURRED_AT_MS_MAX {
            return Err(RecordError::malformed("since_ms", "not a time: milliseconds since 1970"));
        }
        if !SILENT_AFTER_S.contains(&message.silent_after_s) {
            let why = "a source may be silent for an hour to 31 days: 3,600 to 2,678,400 seconds";
            return Err(RecordError::malformed("silent_after_s", why));
        }
        let party = |path: &str, id: &[u8]| match id {
            [] => Ok(None),
            id => bytes32(path, id).map(|id| Some(AuthorId::from(id))),
        };
        Ok(Self {
            id: message.id.clone(),
            name_fr: message.name_fr.clone(),
            name_en: message.name_en.clone(),
            structure: message.structure.clone(),
            author_id: party("author_id", &message.author_id)?,
            answers: party("answers", &message.answers)?,
            since_ms: message.since_ms,
            silent_after_s: message.silent_after_s,
        })
    }

    /// As it stands in an act.
    pub fn to_message(&self) -> v1::ListedSource {
        let id = |id: &Option<AuthorId>| id.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
        v1::ListedSource {
            id: self.id.clone(),
            name_fr: self.name_fr.clone(),
            name_en: self.name_en.clone(),
            structure: self.structure.clone(),
            author_id: id(&self.author_id),
            answers: id(&self.answers),
            since_ms: self.since_ms,
            silent_after_s: self.silent_after_s,
        }
    }

    /// Tells whether it is silent at this time, beyond its own: `heartbeat_ms` is the ledger time of its newest heartbeat,
    /// `recorded` the last day that is shown for its party. All in milliseconds since 1970.
    pub fn is_silent(&self, now_ms: u64, heartbeat_ms: Option<u64>, recorded: Option<ParisDay>) -> bool {
        let recorded_ms = recorded.map(|day| day.end().0).unwrap_or_default();
        let heard_ms = self.since_ms.max(heartbeat_ms.unwrap_or_default()).max(recorded_ms);
        now_ms.saturating_sub(heard_ms) > u64::from(self.silent_after_s) * 1_000
    }
}

impl SourcesChange {
    /// Parses the act.
    ///
    /// # Errors
    /// An entry that can't be understood, lists out of order, an id twice, too many of them, or none.
    pub fn parse(message: &v1::SourcesListed) -> Result<Self, RecordError> {
        let (listed, removed) = (&message.listed, &message.removed);
        at_most("listed", listed.len() + removed.len(), CHANGES_MAX)?;
        if listed.is_empty() && removed.is_empty() {
            return Err(RecordError::malformed("", "says nothing: list a source or remove one"));
        }
        let parsed = listed
            .iter()
            .enumerate()
            .map(|(at, source)| ListedSource::parse(source).map_err(|error| error.within(&format!("listed[{at}]"))));
        let parsed = parsed.collect::<Result<Vec<_>, _>>()?;
        if parsed.windows(2).any(|pair| pair[0].id >= pair[1].id) {
            return Err(RecordError::malformed("listed", "must be strictly ascending by `id`"));
        }
        for id in removed {
            label("removed", id)?;
        }
        if removed.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(RecordError::malformed("removed", "must be strictly ascending"));
        }
        if removed.iter().any(|id| parsed.binary_search_by(|source| source.id.cmp(id)).is_ok()) {
            return Err(RecordError::malformed("removed", "the same source is listed and removed"));
        }
        Ok(Self { listed: parsed, removed: removed.clone() })
    }

    /// As it stands in a record.
    pub fn to_message(&self) -> v1::SourcesListed {
        v1::SourcesListed {
            listed: self.listed.iter().map(ListedSource::to_message).collect(),
            removed: self.removed.clone(),
        }
    }

    /// The day on which a party last recorded, as it is shown: today once it is over. `last` and `before` are the last two days
    /// on which it did.
    pub fn shown(now_ms: u64, last: Option<ParisDay>, before: Option<ParisDay>) -> Option<ParisDay> {
        let today = ParisDay::of(TimeMs(now_ms));
        last.filter(|day| *day < today).or(before.filter(|day| *day < today))
    }
}

/// The name of a source or of a stream.
pub(crate) fn label(path: &str, text: &str) -> Result<(), RecordError> {
    StreamLabel::parse(text)
        .map(drop)
        .map_err(|_| RecordError::malformed(path, "1 to 64 characters of a-z, 0-9, '.', '_' and '-'"))
}

/// The name of a structure.
pub(crate) fn structure(path: &str, text: &str) -> Result<(), RecordError> {
    required(path, text)?;
    line(path, text, STRUCTURE_BYTES_MAX)?;
    match text.trim() == text {
        true => Ok(()),
        false => Err(RecordError::malformed(path, "has spaces around it")),
    }
}
