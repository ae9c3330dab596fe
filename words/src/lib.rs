//! The words that people read: sentences in French or English, times in Paris.
//!
//! [`vocabulary`] holds the word of each token in both languages, and [`words`] those of the parts of a record. [`sentence`] makes
//! one sentence of one event, [`decided`] its half on what was decided, [`phrase`] the parts of that. [`codes`] explains a
//! refusal; [`time`] reads and writes times.

pub mod clean;
pub mod codes;
pub mod decided;
pub mod decision;
pub mod fold;
pub mod names;
pub mod phrase;
pub mod sentence;
pub mod time;
pub mod vocabulary;
pub mod words;

use sillage_proto::v1;

pub use decision::Decision;
use sillage_rules::entry::Flags;
use sillage_rules::kind::Kind;

/// Language of what people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lang {
    /// French.
    Fr,
    /// English.
    En,
}

impl Lang {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::Fr, Self::En];

    /// Its name on the command line and in files: `fr` or `en`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fr => "fr",
            Self::En => "en",
        }
    }
}

impl std::fmt::Display for Lang {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One event of a trace, ready to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its place in the log.
    pub index: u64,
    /// The ledger's flags.
    pub flags: Flags,
    /// The kind of event.
    pub kind: Kind,
    /// When it was recorded, ms.
    pub recorded_at_ms: u64,
    /// The record; none where its content was erased, or may not be opened, or it is a decision.
    pub record: Option<v1::Record>,
    /// The decision, where the ledger made one.
    pub decision: Option<Decision>,
    /// The act that erased it.
    pub erased: Option<v1::Erasure>,
    /// The act that voided it: it counts for nothing.
    pub voided: Option<v1::Voiding>,
    /// Name of the service that signed it.
    pub author: String,
    /// From the trace that is kept from representatives.
    pub secret: bool,
}

/// A record that came so long after what it tells of is late, whatever its kind and whatever the ledger of then flagged, ms.
const LATE_AFTER_MS: u64 = 86_400_000;

impl Event {
    /// The flags that a reader should know of: those of the ledger, and that it came late, which before feature level 4 was
    /// flagged of accesses and movements alone.
    pub fn flags(&self) -> Flags {
        let happened = self.record.as_ref().map(|record| record.occurred_at_ms);
        let late = happened.is_some_and(|at| self.recorded_at_ms.saturating_sub(at) > LATE_AFTER_MS);
        let by_ledger = self.flags.contains(Flags::LEDGER);
        if late && !by_ledger { self.flags | Flags::LATE } else { self.flags }
    }
}
