//! Emergencies, each as one story; and questions to establishments, each with its due date.

use jiff::civil::Date;

use super::{FieldError, Text};

/// All emergency accesses, newest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EmergenciesView {
    /// The stories.
    pub stories: Vec<Emergency>,
}

/// One emergency access, from its opening to its review.
#[derive(Debug, Clone, PartialEq)]
pub struct Emergency {
    /// The one who opened it, with profession and structure.
    pub who: Text,
    /// Its time, in words.
    pub when: Text,
    /// The reason that they gave, in their words.
    pub reason: Text,
    /// Its state.
    pub state: EmergencyState,
    /// Its steps, oldest first.
    pub steps: Vec<Step>,
    /// Path of the form that asks why; none where that can't be asked.
    pub ask: Option<String>,
}

/// State of an emergency access.
#[derive(Debug, Clone, PartialEq)]
pub enum EmergencyState {
    /// Still open.
    Open {
        /// By when it has to be justified.
        due: Text,
    },
    /// Over, and to be justified.
    Waiting {
        /// By when.
        due: Text,
    },
    /// Nobody justified it in time.
    Overdue {
        /// Since when.
        due: Text,
    },
    /// Justified, and not reviewed yet.
    Justified,
    /// Reviewed: in order.
    Accepted,
    /// Reviewed: not in order.
    Rejected,
}

/// One step of a story.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its time, in words.
    pub when: Text,
    /// The event.
    pub sentence: Text,
    /// Somebody's own words.
    pub quote: Option<Text>,
    /// Its line of the trace; none for a step that hasn't come.
    pub index: Option<u64>,
    /// Tells whether it is missing: a due date that nobody met.
    pub missing: bool,
}

/// All questions, newest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ContestsView {
    /// The questions.
    pub contests: Vec<Contest>,
    /// Tells whether this page follows on a question that was just asked: its number.
    pub asked: Option<u64>,
}

/// One question about a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Contest {
    /// Number of the record that asks.
    pub index: u64,
    /// Number of the line.
    pub about: u64,
    /// Its sentence.
    pub line: Text,
    /// The question.
    pub question: Text,
    /// The addressee.
    pub to: Text,
    /// On which day it was asked.
    pub asked: Date,
    /// By which day it must be answered.
    pub due: Date,
    /// Its state.
    pub state: ContestState,
    /// Its answers, oldest first.
    pub answers: Vec<Answer>,
    /// Opaque value with which the patient closes it; none where it can't be closed.
    pub close: Option<String>,
}

/// State of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContestState {
    /// It waits for an answer, in time.
    Waiting,
    /// No answer came in time.
    Overdue,
    /// Answered in time.
    Answered,
    /// Answered too late.
    AnsweredLate,
    /// Closed by the patient.
    Closed,
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The one who answered.
    pub by: Text,
    /// On which day.
    pub day: Date,
    /// In their words.
    pub text: Text,
    /// Number of its record.
    pub index: u64,
}

/// The form that asks why.
#[derive(Debug, Clone, PartialEq)]
pub struct AskView {
    /// Number of the line.
    pub about: u64,
    /// Its sentence.
    pub line: Text,
    /// The addressee, in words.
    pub to: Text,
    /// Id of the record, so that whoever sends twice asks once.
    pub record: String,
    /// The text that was typed before.
    pub typed: String,
    /// Errors in it.
    pub errors: Vec<FieldError>,
}

/// Bytes that a question may have.
pub const QUESTION_BYTES_MAX: usize = 4096;
