//! What people read: sentences and a table, in French or English, times in Paris.
//!
//! [`words`] holds every word of both languages, [`sentence`] makes one sentence of one event, [`decided`] its half on what
//! was decided, [`phrase`] the parts of that; [`table`] is the overview, [`time`] reads and writes times.

pub mod decided;
pub mod decision;
pub mod errors;
pub mod fold;
pub mod phrase;
pub mod sentence;
pub mod table;
pub mod time;
pub mod words;

use sillage_proto::v1;

pub use decision::Decision;
use sillage_rules::entry::Flags;
use sillage_rules::kind::Kind;

/// Language of what people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Lang {
    /// French.
    Fr,
    /// English.
    En,
}

impl Lang {
    /// The language of results where `--lang` says nothing: English where the environment asks for it, else French.
    pub fn of_environment() -> Self {
        if locale().starts_with("en") { Self::En } else { Self::Fr }
    }

    /// The language of errors and remarks: the one of `--lang`, else the environment's. Where neither says one, English.
    pub fn of_remarks() -> Self {
        let words: Vec<String> = std::env::args().collect();
        Self::said(&words).unwrap_or(if locale().starts_with("fr") { Self::Fr } else { Self::En })
    }

    /// What `--lang` says among the words of a command.
    fn said(words: &[String]) -> Option<Self> {
        let at = words.iter().position(|word| word == "--lang" || word.starts_with("--lang="))?;
        let said = words[at].strip_prefix("--lang=").or(words.get(at + 1).map(String::as_str))?;
        <Self as clap::ValueEnum>::from_str(said, true).ok()
    }
}

/// The locale of messages, as POSIX orders the variables.
fn locale() -> String {
    let mut said = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok());
    said.find(|value| !value.is_empty()).unwrap_or_default()
}

/// One event of a trace, ready to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its place in the log.
    pub index: u64,
    /// What the ledger flagged.
    pub flags: Flags,
    /// What happened.
    pub kind: Kind,
    /// When it was recorded, ms.
    pub recorded_at_ms: u64,
    /// The record; none where its content was erased, or may not be opened, or it is a decision.
    pub record: Option<v1::Record>,
    /// The decision, where the ledger made one.
    pub decision: Option<Decision>,
    /// What erased it.
    pub erased: Option<v1::Erasure>,
    /// What voided it: it counts for nothing.
    pub voided: Option<v1::Voiding>,
    /// Name of the service that signed it.
    pub author: String,
    /// From the trace that is kept from representatives.
    pub secret: bool,
}

/// A record that came so long after what it tells of is late, whatever its kind and whatever the ledger of then flagged, ms.
const LATE_AFTER_MS: u64 = 86_400_000;

impl Event {
    /// What a reader should know of it: what the ledger flagged, and that it came late, which before feature level 4 was
    /// flagged of accesses and movements alone.
    pub fn flags(&self) -> Flags {
        let happened = self.record.as_ref().map(|record| record.occurred_at_ms);
        let late = happened.is_some_and(|at| self.recorded_at_ms.saturating_sub(at) > LATE_AFTER_MS);
        let by_ledger = self.flags.contains(Flags::LEDGER);
        if late && !by_ledger { self.flags | Flags::LATE } else { self.flags }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_of_remarks_is_the_one_that_was_asked_for() {
        let said = |line: &str| Lang::said(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(said("sillage trace --lang fr --patient 1"), Some(Lang::Fr));
        assert_eq!(said("sillage trace --lang=en"), Some(Lang::En));
        assert_eq!(said("sillage trace --lang"), None);
        assert_eq!(said("sillage trace --lang xx"), None);
        assert_eq!(said("sillage trace"), None);
    }
}
