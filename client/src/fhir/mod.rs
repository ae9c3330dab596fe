//! FHIR R4 audit events in: from files to records.
//!
//! [`source`] finds the documents (files, folders, Bundles, NDJSON) and keeps their bytes; `check` says whether one is
//! an AuditEvent of R4; [`audit_event`] maps it (start reading there); [`patients`] turns references into identities.

pub mod audit_event;
mod check;
pub mod patients;
mod read;
mod schema;
pub mod source;

pub use audit_event::{MappedRecord, map};
pub use check::check;
pub use patients::PatientMap;

/// Why a document was refused, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{reason}", path, if path.is_empty() { "" } else { ": " })]
pub struct FhirError {
    /// JSON path, such as `AuditEvent.agent[0].userId`; empty where the whole document is meant.
    pub path: String,
    /// One sentence.
    pub reason: String,
}

impl FhirError {
    pub(crate) fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into() }
    }
}
