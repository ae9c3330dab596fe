//! A record line with what the ledger says about it.

use serde::Serialize;
use sillage_proof::keys::{AuthorId, KeyId};
use sillage_proto::v1;

use super::decision::{DecisionLine, record_line};
use super::{PatientLine, RecordLine};
use crate::decide::record::DecisionRecord;
use crate::entry::{Entry, UnjustifiedReason};
use crate::kind::Kind;
use crate::record::ParsedRecord;
use crate::time::TimeMs;

/// The erasure of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErasedLine {
    /// The entry of the log that says so, of kind `payload.erased`.
    pub index: u64,
    /// When the ledger took it.
    pub time: TimeMs,
    /// Why.
    pub ground: String,
}

/// Which act voided a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VoidedLine {
    /// Its entry.
    pub index: u64,
    /// When.
    pub time: TimeMs,
    /// Why.
    pub reason: String,
}

/// A further authority that signed an act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActSignatureLine {
    /// Its key.
    pub key_id: KeyId,
    /// Until when its signature could be used.
    pub expires: TimeMs,
}

impl ActSignatureLine {
    /// Those of a record.
    pub fn of(record: &ParsedRecord) -> Vec<Self> {
        let signatures = record.message().signatures.iter();
        let line = |one: &v1::ActSignature| {
            let key_id = KeyId::from_slice(&one.key_id).ok()?;
            Some(Self { key_id, expires: TimeMs(one.expires_ms) })
        };
        signatures.filter_map(line).collect()
    }
}

/// One line of `sillage trace --json`: the fields of the record line, and `index`, `recorded_at`, `flags`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TraceLineJson {
    /// Its place in the log.
    pub index: u64,
    /// When the ledger took it.
    pub recorded_at: TimeMs,
    /// Its flags: `UNJUSTIFIED`, `LATE`, `DEFERRED`, `LEDGER`, `CLAIMED`. A basis is in the record.
    pub flags: Vec<&'static str>,
    /// Why it is `UNJUSTIFIED`, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unjustified_reason: Option<UnjustifiedReason>,
    /// The name of the service that signed it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// Its author id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author_id: Option<AuthorId>,
    /// Its kind; only where the rest is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The act that erased the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erased: Option<ErasedLine>,
    /// The act that voided the record: it counts for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voided: Option<VoidedLine>,
    /// Of an act, who signed it beside the party of its batch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<ActSignatureLine>,
    /// The record; of a decision, what it shares with one.
    #[serde(flatten)]
    pub record: Option<RecordLine>,
    /// The outcome of a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionLine>,
}

/// The content of an entry, for whoever may read it.
#[derive(Debug, Clone, Copy)]
pub enum OpenedContent<'a> {
    /// Nothing: it was erased, or may not be opened.
    Nothing,
    /// A record that an author signed, or `log.consulted`.
    Record(&'a ParsedRecord),
    /// A decision of the ledger.
    Decision(&'a DecisionRecord),
}

impl TraceLineJson {
    /// The line of an entry. `patient` and `secret` are what the reader knows of the patient.
    pub fn new(
        entry: &Entry,
        author: &str,
        opened: OpenedContent<'_>,
        erased: Option<ErasedLine>,
        patient: Option<PatientLine>,
        secret: bool,
    ) -> Self {
        let (record, decision) = match opened {
            OpenedContent::Nothing => (None, None),
            OpenedContent::Record(record) => (Some(RecordLine::from_record(record, patient, secret)), None),
            OpenedContent::Decision(decision) => (Some(record_line(decision, patient, secret)), Some(decision.into())),
        };
        Self {
            index: entry.index().get(),
            recorded_at: TimeMs(entry.time().get()),
            flags: entry.flags().names().collect(),
            unjustified_reason: entry.flags().unjustified_reason(),
            author: author.to_owned(),
            author_id: None,
            kind: if record.is_none() { entry.kind() } else { None },
            erased,
            voided: None,
            signatures: match opened {
                OpenedContent::Record(record) => ActSignatureLine::of(record),
                OpenedContent::Nothing | OpenedContent::Decision(_) => Vec::new(),
            },
            record,
            decision,
        }
    }

    /// The line as it is printed, without a line break.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a trace line has string keys only")
    }
}
