//! Pages that say why something can't be shown or done, and the way out.

use super::Text;

/// The reason why a page can't be shown, or a form not be taken.
#[derive(Debug, Clone, PartialEq)]
pub enum Problem {
    /// No node answers.
    Away,
    /// The session is over, or its cookie doesn't hold.
    SessionOver,
    /// The form is out of date, forged, or of another session.
    FormOutOfDate,
    /// There is no such page, or no such line in this trace.
    NotFound,
    /// The person may not do it.
    NotPermitted,
    /// Too many requests.
    TooMany,
    /// The request is too long.
    TooLarge,
    /// The ledger refused it: its sentence, in the page's language, and its code.
    Refused {
        /// The sentence.
        sentence: Text,
        /// The code.
        code: Text,
    },
    /// An error of ours.
    Internal,
}

/// A page that says why.
#[derive(Debug, Clone, PartialEq)]
pub struct ProblemView {
    /// The reason.
    pub problem: Problem,
    /// Path of the way out; none: the first page.
    pub way_out: Option<String>,
    /// Time to come back, in words, where that is known.
    pub come_back: Option<Text>,
    /// Tells whether something may have been recorded all the same: the page then says to look at the trace before trying again.
    pub may_be_recorded: bool,
    /// Number under which helpers find it in their logs; it names nobody.
    pub reference: Option<Text>,
}

/// Pages that end a visit, or are about to.
#[derive(Debug, Clone, PartialEq)]
pub enum Farewell {
    /// The person logged out, and the session is over.
    LoggedOut,
    /// The person logged out, and the log couldn't be told: the session ends by itself.
    LeftOpen {
        /// When.
        until: Text,
    },
    /// A kiosk: nothing happened for long. The visit ends in so many seconds unless the person goes on.
    KioskWarning {
        /// Seconds.
        seconds: u16,
    },
    /// A kiosk: the visit is over, and nothing is left on the device.
    KioskEnd,
}
