//! Families: whom one represents, and by whom one is represented.

use super::Text;

/// Representations of one person, in both directions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FamilyView {
    /// People whose pages one may look at, oneself first.
    pub people: Vec<Represented>,
    /// People who represent the one who is logged in.
    pub representatives: Vec<Representative>,
    /// Identifier by which somebody else names the one who is logged in, as trusted person for example; none: not shown.
    pub own_id: Option<Text>,
    /// Tells whether the patient may keep things from their representatives: a minor.
    pub is_minor: bool,
}

/// Somebody whose pages one may look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Represented {
    /// Their name.
    pub name: Text,
    /// Opaque value that the form sends, as field [`super::fields::PERSON`].
    pub value: String,
    /// Tells whether it is oneself.
    pub oneself: bool,
    /// Tells whether the pages show them now.
    pub current: bool,
    /// Powers that one has for them, in words.
    pub powers: Vec<Text>,
    /// Its end, in words; none: until it is ended.
    pub until: Option<Text>,
}

/// Somebody who represents the patient.
#[derive(Debug, Clone, PartialEq)]
pub struct Representative {
    /// Their name.
    pub name: Text,
    /// Their powers, in words.
    pub powers: Vec<Text>,
    /// Its end, in words; none: until it is ended.
    pub until: Option<Text>,
    /// Line of the trace that registered it.
    pub index: u64,
}
