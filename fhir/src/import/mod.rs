//! FHIR R4 in: from documents to records.
//!
//! [`source`] finds the documents of a file (one resource, a Bundle, NDJSON) and keeps their bytes; `check` says whether one is
//! an AuditEvent or a Consent of R4; [`audit_event`] and [`consent`] map them (start reading there; `docs/fhir.md` has the
//! tables); [`patients`] turns references into identities.

pub mod audit_event;
mod check;
pub mod consent;
mod dates;
pub mod french;
pub mod history;
pub mod patients;
mod read;
pub mod references;
mod schema;
pub mod source;
mod spoken;
mod subjects;

use serde_json::Value;
use sillage_proto::v1;
use sillage_rules::consent::ActorName;
use sillage_rules::json::check_names;
use sillage_rules::kind::{Group, Kind};

pub(crate) use check::is_code;
pub use check::{Resource, check};
pub use patients::PatientMap;
pub use references::Neighbours;

/// Where our own extensions and code systems are named. The pages need not exist: a URL is a name.
pub const OURS: &str = "https://sillage.example/fhir";

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
    /// A refusal of the element at `path`, with its reason.
    pub fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        let error = Self { path: path.into(), reason: reason.into() };
        // A code of the ledger begins what is said beside this module.
        #[cfg(test)]
        assert!(
            error.french(&french::is_coded).is_some(),
            "fhir/src/import/french.rs doesn't say in French: {}",
            error.reason
        );
        error
    }

    /// The reason in French, where it is known ([`french`]). `of_code` says in French what a text means that begins with a
    /// code of the ledger, as `NOT_ENTITLED: ...`.
    pub fn french(&self, of_code: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        french::french(&self.reason, of_code)
    }
}

/// A record to be, without its tag.
#[derive(Debug, Clone, PartialEq)]
pub struct MappedRecord {
    /// The patient: INS and OID. None for a `system.event`.
    pub patient: Option<v1::PatientIdentity>,
    /// The record; its `tag` is empty until the identity is resolved.
    pub record: v1::Record,
    /// The element that its time is from.
    pub time_path: &'static str,
    /// Of a Consent: the directive.
    pub directive: Option<DirectiveNote>,
    /// For the trace that is kept from representatives: our own export says so.
    pub secret: bool,
    /// Which part of an access that one record couldn't hold.
    pub part: Part,
    /// Of a Consent: the server that it is from, by which it is told from others of the same id; empty where it isn't known, and
    /// of our own export, whose ids are of one log.
    pub server: String,
    /// The record that the versions before made of it, which gave a relative reference no server; none where it is the same. Earlier imports
    /// are known by it.
    pub as_written: Option<Box<AsWritten>>,
}

/// A record with relative references as they stand in its document.
#[derive(Debug, Clone, PartialEq)]
pub struct AsWritten {
    /// The record; its `tag` is empty.
    pub record: v1::Record,
    /// How many parts the access had.
    pub parts: usize,
}

/// A record of several that are one access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// From 0.
    pub n: usize,
    /// How many there are.
    pub count: usize,
}

impl Part {
    /// All of it.
    pub const WHOLE: Self = Self { n: 0, count: 1 };
}

impl MappedRecord {
    /// Of a Consent of our own export that carries what decides beside directives: the kind of its record.
    pub fn rule(&self) -> Option<Kind> {
        let kind = Kind::from_code(self.record.kind).ok();
        kind.filter(|kind| matches!(kind.group(), Group::Space | Group::Limits | Group::People))
    }

    /// Tells whether it is of a Consent: what is one Consent is on record as a whole or not at all.
    pub fn is_of_consent(&self) -> bool {
        self.directive.is_some() || self.rule().is_some()
    }

    /// The record by which a document is known: without servers, as the versions before recorded it.
    pub fn bare(&self) -> &v1::Record {
        self.as_written.as_ref().map_or(&self.record, |written| &written.record)
    }

    /// The same with its record changed, as it is written too.
    #[must_use]
    pub(super) fn edited(&self, edit: impl Fn(&mut v1::Record)) -> Self {
        let mut out = self.clone();
        edit(&mut out.record);
        out.as_written.iter_mut().for_each(|written| edit(&mut written.record));
        out
    }

    /// Tells whether what goes on record says more than [`Self::bare`].
    pub fn has_servers(&self) -> bool {
        self.as_written.is_some() || !self.server.is_empty()
    }

    /// The record as it goes on record: of a Consent, with the server that it is from.
    pub fn signed(&self) -> v1::Record {
        let place = match self.server.as_str() {
            "" => self.record.place.clone(),
            server => Some(v1::Place { observer: server.to_owned(), ..self.record.place.clone().unwrap_or_default() }),
        };
        v1::Record { place, ..self.record.clone() }
    }

    /// Of a Consent: when the directive ends.
    pub fn ends(&self) -> Option<Ends> {
        self.directive.as_ref().map(|note| note.ends)
    }
}

/// The note of an importer on a directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectiveNote {
    /// Its id.
    pub id: String,
    /// When it ends.
    pub ends: Ends,
    /// The collector of its Consent, where that tells it from others of the same id.
    pub collector: Option<ActorName>,
}

/// When a directive ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// It says no end.
    Open,
    /// At this time, milliseconds since 1970.
    At(u64),
    /// With this record.
    Revoked,
}

/// Maps the JSON of one AuditEvent or Consent. No record: it says nothing that would be one.
///
/// # Errors
/// [`FhirError`] when it isn't JSON, isn't one of the two in R4, a patient has no INS that is known, or it says what a
/// record can't say.
pub fn map(original: &[u8], patients: &PatientMap) -> Result<Vec<MappedRecord>, FhirError> {
    map_among(original, patients, &Neighbours::default())
}

/// The same of a resource of a Bundle, whose references may mean what came `around` it.
///
/// # Errors
/// As for [`map`].
pub fn map_among(original: &[u8], patients: &PatientMap, around: &Neighbours) -> Result<Vec<MappedRecord>, FhirError> {
    let document: Value =
        serde_json::from_slice(original).map_err(|error| FhirError::new("", format!("not JSON: {error}")))?;
    let text = std::str::from_utf8(original).map_err(|_| FhirError::new("", "not UTF-8"))?;
    check_names(text).map_err(|error| FhirError::new("", error.to_string()))?;
    let resource = check(&document)?;
    let name = match resource {
        Resource::AuditEvent => "AuditEvent",
        Resource::Consent => "Consent",
    };
    references::check_contained(&document, name)?;
    around.check(&document, name)?;
    let mapped = |around: &Neighbours| match resource {
        Resource::AuditEvent => audit_event::map(&document, original, patients, around),
        Resource::Consent => consent::map(&document, original, patients, around),
    };
    let mut records = mapped(around)?;
    if !around.is_as_written() {
        note_as_written(&mut records, &mapped(&around.as_written()).unwrap_or_default());
    }
    Ok(records)
}

/// Takes note of what the versions before made of each record.
fn note_as_written(records: &mut [MappedRecord], before: &[MappedRecord]) {
    let is_one_for_each = records.len() == before.len();
    for (at, mapped) in records.iter_mut().enumerate() {
        // Longer names may have made one part more.
        let of_part = |old: &&MappedRecord| old.patient == mapped.patient && old.part.n == mapped.part.n;
        let same = if is_one_for_each { before.get(at) } else { before.iter().find(of_part) };
        let parts = before.iter().find(|old| old.patient == mapped.patient).map_or(1, |old| old.part.count);
        let record = same.map_or(&mapped.record, |old| &old.record);
        if *record != mapped.record || parts != mapped.part.count {
            mapped.as_written = Some(Box::new(AsWritten { record: record.clone(), parts }));
        }
    }
}

/// The records that the version before made of an AuditEvent; none of anything else, and of what it refused.
pub fn map_as_before(original: &[u8], patients: &PatientMap, around: &Neighbours) -> Vec<MappedRecord> {
    let document: Value = serde_json::from_slice(original).unwrap_or_default();
    let before = match check(&document) {
        Ok(Resource::AuditEvent) => audit_event::map_as_before(&document, original, patients, around),
        _ => return Vec::new(),
    };
    before.unwrap_or_default()
}

#[cfg(test)]
mod changes;
#[cfg(test)]
mod published_tests;
#[cfg(test)]
mod servers_tests;

/// The folder of the published examples: in `SILLAGE_FIXTURES`, or beside the workspace.
#[cfg(test)]
pub(crate) fn fixtures() -> Option<std::path::PathBuf> {
    use std::path::{Path, PathBuf};
    let default = || {
        Path::new(&std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is"))
            .join("../../shared/fixtures")
    };
    let dir = std::env::var_os("SILLAGE_FIXTURES").map_or_else(default, PathBuf::from).join("fhir");
    if dir.is_dir() {
        return Some(dir);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs the fixtures: set SILLAGE_FIXTURES");
    println!("skipped: no fixtures at {}", dir.display());
    None
}

/// The published examples, in the order of names.
#[cfg(test)]
pub(crate) fn fixture_files() -> Option<Vec<std::path::PathBuf>> {
    let entries = std::fs::read_dir(fixtures()?).expect("a folder that can be read");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    Some(files)
}
