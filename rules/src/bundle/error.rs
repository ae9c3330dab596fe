//! Faults of a bundle, each with the part where it is.

use std::fmt;

use sillage_proof::checkpoint::CheckpointError;
use sillage_proof::keys::KeyError;
use sillage_proof::merkle::ProofError;
use sillage_proof::note::NoteError;
use sillage_proof::policy::PolicyError;
use sillage_proof::tag::TagError;

use crate::decide::record::DecisionError;
use crate::entry::EntryError;
use crate::error::RecordError;
use crate::index::IndexError;
use crate::limits::ERASED_INDICES_MAX;

/// A part of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Section {
    /// The signed note.
    Checkpoint = 1,
    /// Entry 0.
    Genesis = 2,
    /// The index commit.
    IndexCommit = 3,
    /// The patient's identity.
    Identity = 4,
    /// The bucket of the patient index.
    Bucket = 5,
    /// Which entries.
    Range = 6,
    /// The signer.
    Authors = 7,
    /// The batches that the authors signed.
    Batches = 8,
    /// The entries.
    Entries = 9,
    /// The bundle that a delta continues.
    Since = 10,
}

impl Section {
    /// Every section, in the order of the file.
    pub const ALL: [Self; 10] = [
        Self::Checkpoint,
        Self::Genesis,
        Self::IndexCommit,
        Self::Identity,
        Self::Bucket,
        Self::Range,
        Self::Authors,
        Self::Batches,
        Self::Entries,
        Self::Since,
    ];

    /// The number in the file.
    pub const fn id(self) -> u8 {
        self as u8
    }

    /// The name in the document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Genesis => "genesis",
            Self::IndexCommit => "index commit",
            Self::Identity => "identity",
            Self::Bucket => "bucket",
            Self::Range => "range",
            Self::Authors => "authors",
            Self::Batches => "batches",
            Self::Entries => "entries",
            Self::Since => "since",
        }
    }

    pub(super) fn err(self, problem: impl Into<Problem>) -> BundleError {
        BundleError::Section { section: self, problem: problem.into() }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "section {} ({})", self.id(), self.name())
    }
}

/// A bundle can't be read, or doesn't prove what it claims. Keep it as evidence, and ask another node for a new one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Another kind of file, or a later version.
    #[error("the first line is not that of a patient bundle (sillage-trace/v1)")]
    Header,
    /// One of its sections.
    #[error("{section}: {problem}")]
    Section {
        /// Which.
        section: Section,
        /// The fault.
        problem: Problem,
    },
}

impl BundleError {
    /// The part that is wrong; `None` for the first line.
    pub fn section(&self) -> Option<Section> {
        match self {
            Self::Header => None,
            Self::Section { section, .. } => Some(*section),
        }
    }
}

/// The fault of a section.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file ends before it.
    #[error("missing")]
    Missing,
    /// Another number stands at its place.
    #[error("expected here, but the number {0} stands in its place")]
    OtherId(u8),
    /// The file ends within it.
    #[error("cut short")]
    CutShort,
    /// Its bytes aren't those that were written.
    #[error("damaged: its bytes do not match its check")]
    Damaged,
    /// Bytes behind its last field.
    #[error("bytes are left over")]
    LeftOver,
    /// A field that can't be read.
    #[error("{0}")]
    Malformed(&'static str),
    /// A signature line that can't be read.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The policy isn't satisfied.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The note's text isn't a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Too old for the caller.
    #[error("its newest quorum of cosignatures is {age_s} s old, more than the {age_s_max} s asked for")]
    Stale {
        /// Its age in seconds.
        age_s: u64,
        /// The most that the caller accepts.
        age_s_max: u64,
    },
    /// Nobody has said when.
    #[error("its age is unknown: the policy asks for no cosignature, or they are from the future")]
    NoTime,
    /// The index commit is older than the checkpoint, and too old for the caller.
    #[error("the trace is as of {age_s} s ago, more than the {age_s_max} s asked for")]
    OldCommit {
        /// Its age in seconds.
        age_s: u64,
        /// The most that the caller accepts.
        age_s_max: u64,
    },
    /// An entry that can't be read.
    #[error("its entry cannot be read: {0}")]
    Entry(#[from] EntryError),
    /// Another entry than the one expected.
    #[error("its entry is not {0}")]
    OtherEntry(&'static str),
    /// The genesis of another log.
    #[error("the genesis of another log ({0}) than the checkpoint's")]
    OtherOrigin(String),
    /// The index has another depth than the genesis says.
    #[error("an index of depth {found}, where the genesis says {expected}")]
    Depth {
        /// The number in the entry.
        found: u8,
        /// The number in the genesis.
        expected: u32,
    },
    /// A proof that leads elsewhere.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The tag isn't the identity's.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// The log isn't for this patient.
    #[error("the log is not for this tag: another log has this patient's trace")]
    TagRange,
    /// The bucket isn't in the index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The index has no row of this patient, but the range is not empty; or the reverse.
    #[error("the bucket {0}")]
    Row(&'static str),
    /// A public key that can't be used.
    #[error("author {at}: {error}")]
    Key {
        /// Its place in the section, from 0.
        at: usize,
        /// The fault.
        error: KeyError,
    },
    /// Something of a list that is repeated, unused or out of order.
    #[error("item {at} {what}")]
    Item {
        /// Its place in the section, from 0.
        at: usize,
        /// The fault.
        what: &'static str,
    },
    /// The author didn't sign it.
    #[error("batch {at}: the author's signature does not match")]
    Signature {
        /// Its place in the section, from 0.
        at: usize,
    },
    /// One of the entries.
    #[error("item {at}{}: {problem}", index.map(|index| format!(" (entry {index} of the log)")).unwrap_or_default())]
    Line {
        /// Its place in the section, from 0.
        at: usize,
        /// Its index in the log, where it could be read.
        index: Option<u64>,
        /// The fault.
        problem: EntryProblem,
    },
}

/// The fault of one of the patient's entries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryProblem {
    /// It can't be read.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// Not a record entry.
    #[error("not a record entry")]
    NotRecord,
    /// Another patient's.
    #[error("of another tag")]
    OtherTag,
    /// Not above the one before.
    #[error("out of order, or twice")]
    Order,
    /// The index commit doesn't cover it.
    #[error("not below the index commit")]
    BeyondCommit,
    /// Another record than the one committed to.
    #[error("the record is not the one that the entry commits to")]
    OtherRecord,
    /// A record that breaks the rules.
    #[error("the record breaks the rules: {0}")]
    Record(#[from] RecordError),
    /// A decision that breaks the rules.
    #[error(transparent)]
    Decision(#[from] DecisionError),
    /// Entry and record say different things.
    #[error("the record's kind or tag is not the entry's")]
    KindOrTag,
    /// Entry and record say different things at a glance.
    #[error("its flags are not those of its record")]
    Flags,
    /// A batch where none can be, or none where one must be.
    #[error("{0}")]
    Batch(&'static str),
    /// The path to the author's signature leads elsewhere.
    #[error("its path in the batch: {0}")]
    Path(#[from] ProofError),
    /// A record that isn't sealed is never erased.
    #[error("the record of an act of the authority is missing, though such records are never erased")]
    ActWithheld,
    /// Nothing shows why the record is missing.
    #[error(
        "content withheld, no erasure on record shows why (an erasure names its records, at most {ERASED_INDICES_MAX}, or the patient)"
    )]
    Withheld,
}
