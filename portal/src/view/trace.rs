//! « Qui a accédé ? »: the days of a trace, and one line of it.

use jiff::civil::{Date, Time};

use super::stories::Contest;
use super::{Choice, Fact, FieldError, Text};

/// One page of a trace, newest day first.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceView {
    /// Days on which something was recorded.
    pub days: Vec<Day>,
    /// Filters that narrow the page.
    pub filters: Filters,
    /// Link to what is older, and to what is newer: a path with query.
    pub older: Option<String>,
    /// See `older`.
    pub newer: Option<String>,
    /// Lines on this page.
    pub total_shown: usize,
    /// The check of the lines against the log; none where they couldn't be.
    pub checked: Option<Checked>,
    /// Path of the unfiltered trace's page that is shown: forms and « tout afficher » lead there. As a rule `/trace`.
    pub path: String,
}

/// One day, by the time of recording, in Paris.
#[derive(Debug, Clone, PartialEq)]
pub struct Day {
    /// The day.
    pub date: Date,
    /// Its episodes, newest first.
    pub episodes: Vec<Episode>,
}

/// Lines of one day that belong together: one access, or several of one person that say the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    /// Name of who did it, set in bold before the sentence; none: the sentence names them.
    pub who: Option<Text>,
    /// Their doing, without day and time, which stand beside it: « a consulté 12 documents ». With `who` it goes on from that
    /// name, without it it is a whole sentence. Not read where the episode has one line: that line's sentence is.
    pub sentence: Text,
    /// Badges of the whole.
    pub badges: Vec<Badge>,
    /// Its lines, newest first; at least one.
    pub lines: Vec<Line>,
    /// Tells whether a program did it by itself, as a reading of the trace that the ledger put on record: such episodes of a day are
    /// folded into one.
    pub automatic: bool,
}

/// One line of a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its place in the log; its page is `/trace/{index}`.
    pub index: u64,
    /// Time of recording, in Paris; the day is that of its [`Day`].
    pub time: Time,
    /// Name of who did it, in bold before the sentence; none: the sentence names them.
    pub who: Option<Text>,
    /// The event, without the time of recording. With `who` it goes on from that name.
    pub sentence: Text,
    /// Time of the event, in words, where that is another day than that of recording.
    pub happened: Option<Text>,
    /// Depositor of the documents, in words; none where that isn't known.
    pub origin: Option<Text>,
    /// Badges.
    pub badges: Vec<Badge>,
}

/// A remark on a line that catches the eye.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Badge {
    /// Recorded since the patient last looked.
    New,
    /// Neither in the care team nor permitted by name.
    OutsideTeam,
    /// By break-glass.
    Emergency,
    /// The ledger or the service said no.
    Refused,
    /// Without a justification that holds.
    Unjustified,
    /// Recorded more than a day after it happened.
    RecordedLate,
    /// Voided since: it counts for nothing.
    Voided,
    /// Kept from representatives.
    Secret,
}

impl Badge {
    /// Every badge.
    pub const ALL: [Self; 8] = [
        Self::New,
        Self::OutsideTeam,
        Self::Emergency,
        Self::Refused,
        Self::Unjustified,
        Self::RecordedLate,
        Self::Voided,
        Self::Secret,
    ];
}

/// Filters of a trace, as they were asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filters {
    /// First day, as it was typed.
    pub from: String,
    /// Last day, as it was typed.
    pub to: String,
    /// People to choose from.
    pub people: Vec<Choice>,
    /// Structures to choose from.
    pub structures: Vec<Choice>,
    /// Kinds of events to choose from: tokens of groups or kinds with their words.
    pub kinds: Vec<Choice>,
    /// Only emergencies.
    pub emergencies: bool,
    /// Only accesses without a justification.
    pub unjustified: bool,
    /// Errors in what was typed; the page then shows the unfiltered trace.
    pub errors: Vec<FieldError>,
}

impl Filters {
    /// Tells whether the page is narrowed at all.
    pub fn any(&self) -> bool {
        let chosen = |list: &[Choice]| list.iter().any(|choice| choice.chosen && !choice.value.is_empty());
        let typed = !self.from.is_empty() || !self.to.is_empty();
        typed
            || self.emergencies
            || self.unjustified
            || [&self.people, &self.structures, &self.kinds].into_iter().any(|list| chosen(list))
    }
}

/// The check of lines against the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// Lines whose proof of inclusion holds.
    pub lines: usize,
    /// Size of the checkpoint, in entries.
    pub size: u64,
    /// Time of the check, in words: the portal's own clock.
    pub as_of: Text,
}

/// The page of one line.
#[derive(Debug, Clone, PartialEq)]
pub struct LineView {
    /// The day of recording.
    pub date: Date,
    /// The line.
    pub line: Line,
    /// All that is on record of it, by name: who, structure, documents with their origin, purpose, time of recording.
    pub facts: Vec<Fact>,
    /// The reason why it was possible; none where it isn't an access.
    pub why: Option<Why>,
    /// Proof that it stands in the log.
    pub proof: Proof,
    /// Steps that the patient can take.
    pub actions: Actions,
    /// Questions that were asked about it.
    pub contests: Vec<Contest>,
    /// Path of the page of the trace to go back to, with its query.
    pub back: String,
}

/// The reason why an access was possible.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Why {
    /// The directive, the team or the law, in words.
    pub reasons: Vec<Text>,
    /// Statements of the party, which nobody checked, in words.
    pub claimed: Vec<Text>,
    /// Steps that would have stopped it, in words.
    pub stoppers: Vec<Text>,
}

/// The proof of a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Proof {
    /// Tells whether the proof of inclusion holds; where it doesn't, the page says so first of all.
    pub holds: bool,
    /// The log's name.
    pub log: Text,
    /// Its size at the checkpoint.
    pub size: u64,
    /// Its root, as hexadecimal.
    pub root: Text,
    /// Time of the check, in words: the portal's own clock.
    pub as_of: Text,
    /// Signers of it beside the log: nodes, auditors and witnesses, by name.
    pub cosigners: Vec<Text>,
    /// The service that signed the line.
    pub signed_by: Text,
    /// Hash of the line's leaf, as hexadecimal.
    pub leaf: Text,
    /// Path of a `.tlog-proof` file; none where it isn't offered.
    pub download: Option<String>,
}

/// Steps that the patient can take about a line. Each is a path, or none where it makes no sense or isn't permitted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Actions {
    /// Form that blocks the person.
    pub block: Option<String>,
    /// Form that masks the documents.
    pub mask: Option<String>,
    /// Form that asks why.
    pub ask: Option<String>,
    /// The reason why nothing can be done now, such as: the login's level is too low.
    pub unavailable: Option<Text>,
}
