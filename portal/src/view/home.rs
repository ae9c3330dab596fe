//! The first page after the login, and the one before it.

use super::Text;

/// The first page after the login.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HomeView {
    /// Accesses that were recorded since the patient last looked; none where that isn't known.
    pub news: Option<u32>,
    /// Time of the last visit, in words.
    pub last_visit: Option<Text>,
    /// Things that want attention, most urgent first.
    pub notices: Vec<Notice>,
    /// Questions that wait for an answer.
    pub questions_open: u32,
    /// Tells whether there are people whom the patient represents, or who represent the patient.
    pub has_family: bool,
    /// Tells whether the login's level suffices to decide; where not, the page says so.
    pub may_decide: bool,
}

/// Something that wants attention, with the page that tells more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// An emergency access that nobody justified in time.
    EmergencyOverdue(u32),
    /// Emergency accesses since the last visit.
    Emergency(u32),
    /// Accesses without a justification since the last visit.
    Unjustified(u32),
    /// Answers since the last visit.
    Answered(u32),
    /// Questions whose answer is overdue.
    AnswerOverdue(u32),
    /// Sources that have recorded nothing for long.
    SilentSources(u32),
    /// The trace could not be held against the log.
    NotProven,
}

/// The page before the login.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WelcomeView {
    /// Name of the login, such as `FranceConnect+`.
    pub login: Text,
    /// Path that a login leads back to; empty: the first page. A path of this site.
    pub next: String,
}
