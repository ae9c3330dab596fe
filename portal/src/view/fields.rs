//! Fields of forms: their names as a browser sends them, their values, and what is wrong with them.

use super::Text;

/// Token of a form against forgeries from other sites.
pub const CSRF: &str = "jeton";
/// Id of the record that a form will make, chosen at the preview: whoever confirms twice records once.
pub const RECORD: &str = "inscription";
/// Sort of a choice, as [`super::choices::Sort::slug`].
pub const SORT: &str = "sorte";
/// A professional or person out of a list: an opaque value.
pub const PERSON: &str = "personne";
/// Number of a professional who isn't in the list.
pub const NUMBER: &str = "numero";
/// A structure out of a list: an opaque value.
pub const STRUCTURE: &str = "structure";
/// Documents: opaque values, several.
pub const DOCUMENT: &str = "document";
/// Categories of documents: tokens, several.
pub const CATEGORY: &str = "categorie";
/// A source of documents: an opaque value.
pub const FEED: &str = "source";
/// Cases of an emergency: tokens, several.
pub const CASE: &str = "cas";
/// Extent of a permission or a denial: [`WHOLE`] or [`SOME`].
pub const EXTENT: &str = "etendue";
/// Duration of a permission: [`ALWAYS`] or [`UNTIL_DAY`].
pub const DURATION: &str = "duree";
/// The last day of a period, `YYYY-MM-DD`.
pub const UNTIL: &str = "jusqu";
/// The first day of a period, `YYYY-MM-DD`.
pub const FROM: &str = "depuis";
/// To whom a rule applies: [`PERSON`] or [`STRUCTURE`].
pub const GRANTEE: &str = "pour";
/// Identifier of somebody who is no professional, such as a trusted person.
pub const IDENTIFIER: &str = "identifiant";
/// Tells whether a choice is kept from representatives: [`YES`].
pub const SECRET: &str = "secret";
/// An existing rule, to be withdrawn: an opaque value.
pub const RULE: &str = "regle";
/// A line of the trace, by its number.
pub const LINE: &str = "ligne";
/// A question about a line.
pub const QUESTION: &str = "question";
/// A kind of event, in filters.
pub const KIND: &str = "type";
/// Only emergencies: [`YES`].
pub const EMERGENCY: &str = "urgence";
/// Only accesses without a justification: [`YES`].
pub const UNJUSTIFIED: &str = "injustifie";
/// Place at which a page of the trace begins: an opaque value.
pub const PAGE: &str = "page";
/// The day as of which rights are shown, `YYYY-MM-DD`.
pub const AS_OF: &str = "le";
/// The language that is asked for, `fr` or `en`.
pub const LANG: &str = "langue";
/// Path that a change of language leads back to.
pub const BACK: &str = "retour";
/// Path that a login leads back to.
pub const NEXT: &str = "suite";
/// A contest, to be closed: an opaque value.
pub const CONTEST: &str = "demande";

/// Value of a box that is ticked.
pub const YES: &str = "1";
/// All documents.
pub const WHOLE: &str = "tout";
/// Documents of some categories.
pub const SOME: &str = "categories";
/// Until it is withdrawn.
pub const ALWAYS: &str = "toujours";
/// Until the end of a day.
pub const UNTIL_DAY: &str = "date";
/// Value of [`PERSON`] that says: the number that is typed in.
pub const OTHER: &str = "autre";

/// One choice out of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// As the browser sends it; nothing that names somebody where it may stand in a URL.
    pub value: String,
    /// As it is read.
    pub label: Text,
    /// A second line, such as a structure or a date; may be empty.
    pub hint: Text,
    /// Tells whether it is chosen.
    pub chosen: bool,
}

/// A field that a form carries on without showing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    /// Name of the field.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Something that is wrong with a field. The summary at the top of the page links to the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Name of the field, one of this module.
    pub field: &'static str,
    /// The error, and the value to write instead.
    pub text: Text,
}

/// One row of a summary: a name and what is so named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Its name, such as `Document`.
    pub name: Text,
    /// Its value.
    pub value: Text,
}
