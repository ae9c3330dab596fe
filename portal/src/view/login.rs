//! Logins: the choice of a demonstration patient, and why a login failed.

use super::{Choice, Hidden, Text};

/// Demonstration patients of a test log.
#[derive(Debug, Clone, PartialEq)]
pub struct ChooseView {
    /// The patients.
    pub patients: Vec<Choice>,
    /// Path that the form is sent to.
    pub action: String,
    /// Fields that the form carries on.
    pub hidden: Vec<Hidden>,
}

/// An INS that was found by the traits of whoever logged in: they confirm once that it is theirs.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfirmView {
    /// The person, as the provider knows them.
    pub name: Text,
    /// Their day of birth, `YYYY-MM-DD`.
    pub birthdate: Text,
    /// The last characters of the INS.
    pub ending: Text,
    /// Path that the form is sent to.
    pub action: String,
    /// What the form carries on.
    pub hidden: Vec<Hidden>,
    /// Path that begins another login.
    pub again: String,
}

/// The reason why a login failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginProblem {
    /// The person broke it off.
    Cancelled,
    /// The login's eIDAS level is too low.
    LevelTooLow,
    /// No INS was found for the identity.
    NotFound,
    /// Several INS fit the identity.
    Several,
    /// It took too long, or it came from another window.
    Expired,
    /// The identity provider doesn't answer.
    ProviderAway,
    /// The provider's answer doesn't hold.
    Refused,
    /// Too many logins at once.
    TooMany,
}

impl LoginProblem {
    /// Every problem.
    pub const ALL: [Self; 8] = [
        Self::Cancelled,
        Self::LevelTooLow,
        Self::NotFound,
        Self::Several,
        Self::Expired,
        Self::ProviderAway,
        Self::Refused,
        Self::TooMany,
    ];
}

/// A login that failed.
#[derive(Debug, Clone, PartialEq)]
pub struct LoginFailedView {
    /// The reason.
    pub problem: LoginProblem,
    /// Path that begins another login.
    pub again: String,
    /// Number under which helpers find it in their logs; it names nobody.
    pub reference: Option<Text>,
}
