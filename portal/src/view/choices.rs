//! « Mes choix »: what holds, the form of each sort of choice, its preview, its confirmation.

use std::collections::BTreeMap;

use super::{Choice, Fact, FieldError, Hidden, Text};

/// A sort of choice; each has a form of its own, at `/choix/{slug}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sort {
    /// Permit somebody, for a time or until withdrawn.
    Permit,
    /// Deny somebody.
    Deny,
    /// Hide documents.
    Mask,
    /// Shut one person out.
    Block,
    /// Refuse a source of documents.
    OpposeFeed,
    /// Refuse emergency accesses.
    OpposeEmergency,
    /// Name the attending doctor.
    Attending,
    /// Add somebody to the care team.
    Team,
    /// Name a trusted person.
    Trusted,
    /// Withdraw a choice that holds: lift, show again, let in again, end.
    Withdraw,
    /// Close the space.
    Close,
}

impl Sort {
    /// Every sort.
    pub const ALL: [Self; 11] = [
        Self::Permit,
        Self::Deny,
        Self::Mask,
        Self::Block,
        Self::OpposeFeed,
        Self::OpposeEmergency,
        Self::Attending,
        Self::Team,
        Self::Trusted,
        Self::Withdraw,
        Self::Close,
    ];

    /// Its word in paths and forms.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Permit => "autoriser",
            Self::Deny => "refuser",
            Self::Mask => "masquer",
            Self::Block => "bloquer",
            Self::OpposeFeed => "alimentation",
            Self::OpposeEmergency => "urgence",
            Self::Attending => "medecin",
            Self::Team => "equipe",
            Self::Trusted => "confiance",
            Self::Withdraw => "retirer",
            Self::Close => "fermer",
        }
    }

    /// The sort that a path or a form names.
    pub fn of_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sort| sort.slug() == slug)
    }

    /// Tells whether the choice takes something away from people who care: the preview then carries the warning of EHDS art. 8.
    pub fn may_harm_care(self) -> bool {
        matches!(self, Self::Deny | Self::Mask | Self::Block | Self::OpposeFeed | Self::OpposeEmergency | Self::Close)
    }
}

/// Choices that hold, by sort.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChoicesView {
    /// Choices that hold, newest first.
    pub held: Vec<Held>,
    /// The reason why the patient can't decide now, such as: the login's level is too low; none: they can.
    pub unavailable: Option<Text>,
}

/// One choice that holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// Under which head it stands.
    pub sort: Sort,
    /// Its sentence.
    pub sentence: Text,
    /// Since when, until when, by whom: short words.
    pub notes: Vec<Text>,
    /// Kept from representatives.
    pub secret: bool,
    /// Path of the form that withdraws it; none where it can't be.
    pub withdraw: Option<String>,
    /// Its line of the trace.
    pub index: u64,
}

/// The form of one sort of choice.
#[derive(Debug, Clone, PartialEq)]
pub struct FormView {
    /// Its sort.
    pub sort: Sort,
    /// Lists to choose from.
    pub offered: Offered,
    /// Values that were typed and chosen before, by name of field.
    pub values: Values,
    /// Errors in it.
    pub errors: Vec<FieldError>,
    /// Fields that the form carries on, such as the line that it began at.
    pub hidden: Vec<Hidden>,
    /// Tells whether the choice can be kept from representatives, and the patient must know first what that means.
    pub may_hide: bool,
    /// Of [`Sort::Withdraw`]: the choice that is withdrawn.
    pub rule: Option<Text>,
}

/// Lists that a form offers. Those that its sort has no use for stay empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Offered {
    /// Professionals who are known from the trace and from choices.
    pub people: Vec<Choice>,
    /// Structures.
    pub structures: Vec<Choice>,
    /// Documents.
    pub documents: Vec<Choice>,
    /// Categories of documents.
    pub categories: Vec<Choice>,
    /// Sources of documents.
    pub feeds: Vec<Choice>,
    /// Cases of an emergency.
    pub cases: Vec<Choice>,
}

/// Values of a form, by name of field; a field may come several times.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Values(pub BTreeMap<String, Vec<String>>);

impl Values {
    /// The first value of a field; empty where there is none.
    pub fn one(&self, field: &str) -> &str {
        self.0.get(field).and_then(|values| values.first()).map_or("", String::as_str)
    }

    /// Tells whether a field has this value among its own.
    pub fn has(&self, field: &str, value: &str) -> bool {
        self.0.get(field).is_some_and(|values| values.iter().any(|one| one == value))
    }

    /// Adds a value.
    pub fn add(&mut self, field: &str, value: impl Into<String>) {
        self.0.entry(field.to_owned()).or_default().push(value.into());
    }
}

/// The effect of a choice before it is on record. Nothing is signed yet.
#[derive(Debug, Clone, PartialEq)]
pub struct PreviewView {
    /// Its sort.
    pub sort: Sort,
    /// The choice, by name.
    pub chosen: Vec<Fact>,
    /// Time from which it holds, in words, where that is later.
    pub later: Option<Text>,
    /// Gains: sentences of the preview, without its sign.
    pub gains: Vec<Text>,
    /// Losses.
    pub losses: Vec<Text>,
    /// Things that hold all the same.
    pub stays: Vec<Text>,
    /// Tells whether the choice will be kept from representatives.
    pub secret: bool,
    /// Tells whether representatives will see it, where there are some.
    pub seen_by_representatives: bool,
    /// Tells whether the patient has to log in again before it can be recorded.
    pub login_again: bool,
    /// Fields that the form carries: all values, and the record's id.
    pub hidden: Vec<Hidden>,
}

/// A choice that is on record.
#[derive(Debug, Clone, PartialEq)]
pub struct DoneView {
    /// Its sort.
    pub sort: Sort,
    /// Its sentence.
    pub sentence: Text,
    /// Its number: its place in the log.
    pub index: u64,
    /// Time of recording, in words.
    pub recorded: Text,
    /// The receipt: who signed that it is on disk, by name.
    pub receipt: Vec<Fact>,
    /// Path of the receipt as a file; none where it isn't offered.
    pub download: Option<String>,
    /// Path of the form that takes it back; none where it can't be.
    pub undo: Option<String>,
    /// Tells whether it was on record before: the form came twice.
    pub again: bool,
}
