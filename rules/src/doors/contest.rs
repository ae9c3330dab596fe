//! Contests (`docs/formats-doors.md` §26): a patient asks why about one line, and who answers for it answers.

use serde::{Deserialize, Serialize};

use crate::check;
use crate::consent::details;
use crate::error::RecordError;
use crate::kind::{Group, Kind};
use crate::limits::TEXT_BYTES_MAX;

/// How long there is to answer, in milliseconds of ledger time: one month (Regulation (EU) 2016/679, art. 12(3)), counted as 30 days.
pub const DUE_MS: u64 = 30 * 86_400_000;
/// Contests of one tag that are neither answered nor closed.
pub const OPEN_MAX: usize = 100;
/// Answers to one contest.
pub const ANSWERS_MAX: u32 = 16;

/// A patient asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContestOpened {
    /// Its name, which no other contest of the tag has.
    pub id: String,
    /// The entry that it is about.
    pub about: u64,
    /// The question, in the patient's words.
    pub question: String,
}

/// The party that it goes to answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContestAnswered {
    /// The contest.
    pub contest: String,
    /// The answer.
    pub answer: String,
}

/// The patient is done with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContestClosed {
    /// The contest.
    pub contest: String,
    /// Why, where the patient says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Tells whether a patient may ask about a line of this kind: somebody did something.
pub fn is_contestable(kind: Kind) -> bool {
    matches!(kind.group(), Group::Access | Group::Movement | Group::Emergency)
}

impl ContestOpened {
    pub(super) fn parse(text: &str) -> Result<Self, RecordError> {
        let opened: Self = details::parse(text)?;
        details::id("details.id", &opened.id)?;
        words("details.question", &opened.question)?;
        Ok(opened)
    }
}

impl ContestAnswered {
    pub(super) fn parse(text: &str) -> Result<Self, RecordError> {
        let answered: Self = details::parse(text)?;
        details::id("details.contest", &answered.contest)?;
        words("details.answer", &answered.answer)?;
        Ok(answered)
    }
}

impl ContestClosed {
    pub(super) fn parse(text: &str) -> Result<Self, RecordError> {
        let closed: Self = details::parse(text)?;
        details::id("details.contest", &closed.contest)?;
        closed.text.iter().try_for_each(|text| words("details.text", text))?;
        Ok(closed)
    }
}

fn words(path: &str, text: &str) -> Result<(), RecordError> {
    check::required(path, text.trim())?;
    check::text(path, text, TEXT_BYTES_MAX)
}
