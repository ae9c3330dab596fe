//! The answers of an import: what became of each document, and what is worth a remark beside it.

use std::fmt;

use sillage_fhir::import::{DirectiveNote, FhirError};
use sillage_proto::v1::PatientIdentity;
use sillage_rules::kind::Kind;

use super::rules;
use crate::error::ErrorCode;
use crate::outbox::source::DocumentPlace;

/// The outcome of a document, or of one record of it.
///
/// An access has one outcome, in however many records it stands. A Consent that became several directives has one for each, and one
/// for each directive that it ended; they follow each other. A document that was refused has one.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome<F> {
    /// Where the document is from: what the caller said with it.
    pub from: F,
    /// The number of the document in its run: from 1, in the order in which they were handed in.
    pub document: u64,
    /// The outcome.
    pub became: Became,
}

/// The fate of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Became {
    /// It is on record.
    OnRecord(Box<OnRecord>),
    /// Nothing of it is recorded. The same document again is refused again, unless what is on record has changed.
    Refused(Refused),
    /// It says nothing that would be a record.
    Skipped(Skipped),
}

/// A record that is on the disks of a majority of nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct OnRecord {
    /// Index of its first entry in the log.
    pub index: u64,
    /// It was on record before, or an earlier document of this run is the same: nothing was sent for it.
    pub is_repeated: bool,
    /// The batch of the recorder's stream that has it. None where it is on record by something else than an import through this
    /// outbox, and for what a version of this program recorded that kept no such key.
    pub place: Option<DocumentPlace>,
    /// How many records the access is that begins with it: 1, or more where one record couldn't hold it.
    pub parts: usize,
    /// The index of another record of the same source and id with other content. Both stay on record.
    pub differs_from: Option<u64>,
    /// The directive or the rule that it is, of a Consent.
    pub decided: Option<Decided>,
    /// The patient; none where it concerns no patient.
    pub patient: Option<PatientIdentity>,
    /// It stands under the patient's secret tag.
    pub secret: bool,
}

/// The sort of a record that a Consent became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// A directive, or its end.
    Directive(DirectiveNote),
    /// A rule beside directives, from a Consent of our own export: its kind.
    Rule(Kind),
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The element, and one sentence with the way out.
    pub error: FhirError,
    /// The code, where the ledger refused it or would have.
    pub code: Option<ErrorCode>,
}

impl Refused {
    /// With a code of the ledger.
    pub(super) fn coded(error: FhirError, code: impl Into<ErrorCode>) -> Self {
        Self { error, code: Some(code.into()) }
    }
}

impl From<FhirError> for Refused {
    fn from(error: FhirError) -> Self {
        Self { error, code: None }
    }
}

/// Why a document becomes no record. [`fmt::Display`] says it in English, and `sillage_fhir::import::french` in French.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// A history has a newer version of this Consent.
    Superseded,
    /// It is from a ledger's own trace and no access.
    OwnTrace,
    /// A rule whose time has passed since it was exported.
    Over,
}

impl Skipped {
    /// The reason, in one English sentence.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Superseded => "an older version of a Consent: the newest one in this history counts",
            Self::OwnTrace => {
                "exported from a ledger's own trace and no access: the Consents beside it carry what decides"
            }
            Self::Over => rules::OVER,
        }
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something worth saying beside the outcomes. It changes none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark<F> {
    /// The identity of a patient is doubtful: the sentence says why. The document goes on.
    DoubtfulIdentity {
        /// Where the document is from.
        from: F,
        /// One English sentence. It names no identity.
        doubt: String,
    },
    /// A name says nothing of its server, and neither do its document and the run: the same name of another server is taken for the
    /// same one.
    NoServer {
        /// Where the documents are from.
        from: F,
        /// The name, a relative reference such as `Practitioner/1`.
        reference: String,
    },
    /// An event of the same source and id is on record with other content. Both stay on record.
    OtherContent {
        /// Where the document is from.
        from: F,
        /// The index of the other one.
        index: u64,
    },
}
