//! A source of the authority's list, as JSON.

use serde::{Deserialize, Serialize};
use sillage_proof::keys::AuthorId;

use super::is_default;
use crate::doors::sources::{ListedSource, SourcesChange};
use crate::error::RecordError;
use crate::time::TimeMs;

/// Changes of the list: also the file that `sillage sources publish` reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourcesLine {
    /// Sources that are new, or stand in the place of the one of the same id. In any order.
    #[serde(default, skip_serializing_if = "is_default")]
    pub listed: Vec<SourceLine>,
    /// Ids of sources that are on the list no more. In any order.
    #[serde(default, skip_serializing_if = "is_default")]
    pub removed: Vec<String>,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceLine {
    /// Its name in heartbeats: 1 to 64 of `a-z 0-9 . _ -`.
    pub id: String,
    /// As a person reads it, in French.
    pub name_fr: String,
    /// In English; left out: as in French.
    #[serde(default, skip_serializing_if = "is_default")]
    pub name_en: String,
    /// The structure that it belongs to: FINESS or another id.
    pub structure: String,
    /// The party that records for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author_id: Option<AuthorId>,
    /// The party that answers contests about the structure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<AuthorId>,
    /// From when on it records.
    #[serde(default, skip_serializing_if = "is_default")]
    pub since: TimeMs,
    /// How long it may be silent, seconds: 3,600 to 2,678,400.
    pub silent_after_s: u32,
}

impl SourcesLine {
    /// The change, in the order that an act has, checked.
    ///
    /// # Errors
    /// As [`SourcesChange::parse`].
    pub fn to_change(&self) -> Result<SourcesChange, RecordError> {
        let listed = self.listed.iter().cloned().map(ListedSource::from).collect();
        let mut change = SourcesChange { listed, removed: self.removed.clone() };
        change.listed.sort_by(|one, other| one.id.cmp(&other.id));
        change.removed.sort();
        SourcesChange::parse(&change.to_message())
    }
}

impl From<&SourcesChange> for SourcesLine {
    fn from(change: &SourcesChange) -> Self {
        Self { listed: change.listed.iter().map(SourceLine::from).collect(), removed: change.removed.clone() }
    }
}

impl From<SourceLine> for ListedSource {
    fn from(line: SourceLine) -> Self {
        let SourceLine { id, name_fr, name_en, structure, author_id, answers, since, silent_after_s } = line;
        Self { id, name_fr, name_en, structure, author_id, answers, since_ms: since.0, silent_after_s }
    }
}

impl From<&ListedSource> for SourceLine {
    fn from(source: &ListedSource) -> Self {
        let ListedSource { id, name_fr, name_en, structure, author_id, answers, since_ms, silent_after_s } =
            source.clone();
        Self { id, name_fr, name_en, structure, author_id, answers, since: TimeMs(since_ms), silent_after_s }
    }
}
