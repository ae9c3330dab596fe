//! Parts that every page has: language, who is logged in, and how long the session lasts.

use jiff::civil::Time;

use super::{Lang, Text};

/// Frame of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Chrome {
    /// Language of the page.
    pub lang: Lang,
    /// The person who is logged in; none on pages without a session.
    pub user: Option<User>,
    /// Token of the forms of this page, bound to the session; empty where there is no session.
    pub csrf: String,
    /// Path and query of this page, which the change of language leads back to. A page that answers a POST gives the path of
    /// its form.
    pub path: String,
    /// Tells whether the page is shown on a device of many, as in an entrance hall.
    pub kiosk: bool,
    /// Tells whether the log is a test log: each page then says so.
    pub test_log: bool,
    /// Telephone or address of people who help; none where nobody set one.
    pub help: Option<Text>,
}

/// The one who is logged in.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// Their name.
    pub name: Text,
    /// The represented person, where the pages show that person's data.
    pub acting_for: Option<Text>,
    /// Tells whether they have the choice of several people, themselves included.
    pub may_switch: bool,
    /// By what they logged in, such as `FranceConnect+`.
    pub login: Text,
    /// End of the session, in Paris.
    pub until: Time,
    /// The time that is left of it.
    pub ending: Ending,
}

/// Time that is left of a session when its page is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// Whole minutes, rounded down.
    pub minutes_left: u8,
}

/// A session's page warns when so many minutes are left.
pub const WARNED_MINUTES: u8 = 3;

/// No session is longer: half an hour from the login on (docs/formats.md §20).
pub const SESSION_MINUTES_MAX: u8 = 30;
