//! A record line with what the ledger says about it.

use serde::Serialize;

use super::{PatientLine, RecordLine};
use crate::entry::{Entry, UnjustifiedReason};
use crate::kind::Kind;
use crate::record::ParsedRecord;
use crate::time::TimeMs;

/// What erased a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErasedLine {
    /// The entry of the log that says so, of kind `payload.erased`.
    pub index: u64,
    /// When the ledger took it.
    pub time: TimeMs,
    /// Why.
    pub ground: String,
}

/// One line of `sillage trace --json`: the fields of the record line, and `index`, `recorded_at`, `flags`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TraceLineJson {
    /// Its place in the log.
    pub index: u64,
    /// When the ledger took it.
    pub recorded_at: TimeMs,
    /// What is said of it at a glance: `UNJUSTIFIED`, `LATE`, `DEFERRED`, `LEDGER`, `BASIS`.
    pub flags: Vec<&'static str>,
    /// Why it is `UNJUSTIFIED`, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unjustified_reason: Option<UnjustifiedReason>,
    /// The service that signed it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// What it says; only where the rest is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// What erased the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erased: Option<ErasedLine>,
    /// The record.
    #[serde(flatten)]
    pub record: Option<RecordLine>,
}

impl TraceLineJson {
    /// The line of an entry. `record` is none where the payload was `erased`, or the caller may not open it; `patient` and `secret` are what the reader
    /// knows of the patient.
    pub fn new(
        entry: &Entry,
        author: &str,
        record: Option<&ParsedRecord>,
        erased: Option<ErasedLine>,
        patient: Option<PatientLine>,
        secret: bool,
    ) -> Self {
        Self {
            index: entry.index().get(),
            recorded_at: TimeMs(entry.time().get()),
            flags: entry.flags().names().collect(),
            unjustified_reason: entry.flags().unjustified_reason(),
            author: author.to_owned(),
            kind: if record.is_none() { entry.kind() } else { None },
            erased,
            record: record.map(|record| RecordLine::from_record(record, patient, secret)),
        }
    }

    /// The line as it is printed, without a line break.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a trace line has string keys only")
    }
}
