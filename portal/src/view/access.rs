//! « Qui peut accéder ? »: rights as of a day.

use jiff::civil::Date;

use super::{FieldError, Text};

/// Everybody's rights, now or as of a day.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AccessView {
    /// The day that is asked for, as it was typed; empty: now.
    pub typed: String,
    /// The day, where one is asked for and can be shown.
    pub day: Option<Date>,
    /// The error in what was typed.
    pub error: Option<FieldError>,
    /// Moment as of which the answer holds, in words.
    pub as_of: Text,
    /// The space is closed or opposed: a sentence; none while it is open.
    pub space: Option<Text>,
    /// Those who may, each with what and why: sentences of `consent effective`, without its bullet.
    pub may: Vec<Text>,
    /// Those who may not, each with why.
    pub may_not: Vec<Text>,
    /// Limits of the answer.
    pub notes: Vec<Text>,
}
