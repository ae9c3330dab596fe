//! « Emporter et vérifier », the printed trace, the verification in the browser; and « Qui alimente ma trace ? ».

use jiff::civil::Date;

use super::Text;
use super::trace::Day;

/// Things that the patient can take along.
#[derive(Debug, Clone, PartialEq)]
pub struct TakeView {
    /// Files.
    pub files: Vec<File>,
    /// Path of the page for printing.
    pub print: String,
    /// Lines of the trace.
    pub lines: usize,
    /// The log as of which the files are made.
    pub log: LogFacts,
}

/// A file to download.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// `.sillage-trace`: the trace with its proof.
    Bundle,
    /// The same of the secret trace, which representatives don't read.
    SecretBundle,
    /// FHIR R4, a Bundle of AuditEvents, as JSON.
    Fhir,
    /// A table.
    Csv,
}

/// A file to download.
#[derive(Debug, Clone, PartialEq)]
pub struct File {
    /// Its kind.
    pub kind: FileKind,
    /// Its path.
    pub path: String,
    /// Its size in bytes, where that is known before.
    pub bytes: Option<u64>,
}

/// The log, as paper and files name it.
#[derive(Debug, Clone, PartialEq)]
pub struct LogFacts {
    /// Its name.
    pub log: Text,
    /// Its size, in entries.
    pub size: u64,
    /// Its root, as hexadecimal.
    pub root: Text,
    /// Time of the check, in words: the portal's own clock.
    pub as_of: Text,
    /// Fingerprint of the policy of signatures, as hexadecimal.
    pub policy: Text,
    /// Other places where that fingerprint is published.
    pub published: Vec<Text>,
}

/// The trace on paper.
#[derive(Debug, Clone, PartialEq)]
pub struct PrintView {
    /// Name of the patient.
    pub name: Text,
    /// Time of printing, in words.
    pub printed: Text,
    /// The days, every line, nothing folded.
    pub days: Vec<Day>,
    /// Lines.
    pub lines: usize,
    /// The log.
    pub log: LogFacts,
}

/// The page that verifies in the browser.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifyView {
    /// Paths of the bundles of who is logged in: of the open trace, and of the secret one where it is theirs. None: nobody is logged in, and
    /// files are chosen.
    pub bundles: Vec<String>,
    /// Path of the policy of signatures.
    pub policy: String,
    /// The log.
    pub log: LogFacts,
}

/// The coverage of the trace: who records into this log.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SourcesView {
    /// As of which day, in words.
    pub as_of: Text,
    /// Sources that the authority lists, then others.
    pub sources: Vec<Source>,
    /// Time of the list's signature, in words; none: there is no list, and nobody can say what is missing.
    pub listed: Option<Text>,
}

/// One source.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The system, such as `Radiologie`.
    pub name: Text,
    /// The structure that it belongs to.
    pub structure: Text,
    /// On which day it last recorded something; never a time.
    pub last_day: Option<Date>,
    /// Its state.
    pub state: SourceState,
    /// Tells whether its batches are numbered without a gap; none where that isn't known.
    pub gapless: Option<bool>,
}

/// State of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceState {
    /// It records.
    Recording,
    /// It hasn't been heard of for longer than the list permits.
    Silent,
    /// The list names it, and it has never recorded.
    Never,
    /// It records, and no list names it.
    Unlisted,
}
