//! FHIR R4 (4.0.1) as tables: AuditEvent, Consent and the datatypes they are made of.
//!
//! Sources: <https://hl7.org/fhir/R4/auditevent.html>, <https://hl7.org/fhir/R4/consent.html> and
//! <https://hl7.org/fhir/R4/datatypes.html>. [`super::check`] walks a JSON document along these tables; `id`, `extension`
//! and (for resources and backbone elements) `modifierExtension` are common to all and not repeated here.

mod audit_event;
mod consent;
mod datatypes;

pub(super) use audit_event::{AUDIT_EVENT, DETAIL, ENTITY};
pub(super) use consent::CONSENT;

/// One complex type: a resource, a datatype or a backbone element.
pub(super) struct Schema {
    /// As FHIR names it, such as `AuditEvent.agent`.
    pub name: &'static str,
    pub sort: Sort,
    /// Its elements.
    pub elements: &'static [Element],
}

/// The elements that a complex type may carry besides its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// `resourceType`, an `id` of the form of ids, `modifierExtension`.
    Resource,
    /// `modifierExtension`.
    Backbone,
    /// Neither.
    Datatype,
}

/// One element of a complex type.
pub(super) struct Element {
    pub name: &'static str,
    pub kind: Kind,
    /// Minimum cardinality 1.
    pub required: bool,
    /// Maximum cardinality `*`: a JSON array.
    pub many: bool,
}

/// The content of an element.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// `id`: 1 to 64 of `A-Z a-z 0-9 - .`
    Id,
    /// `string` (also `markdown` and `xhtml`).
    Text,
    /// `uri`, `url` and `canonical`: no white space.
    Uri,
    /// `code`, free.
    Code,
    /// `code` under a required binding.
    OneOf(&'static [&'static str]),
    Boolean,
    /// `decimal` or a whole number of any sort.
    Number {
        whole: bool,
    },
    /// Of a datatype that isn't read here: an object.
    Any,
    /// `unsignedInt`: a JSON number, 0 to 2,147,483,647.
    UnsignedInt,
    /// `positiveInt`: the same without 0.
    PositiveInt,
    Instant,
    DateTime,
    /// `date`: a dateTime without a time.
    Date,
    /// `time`: hours, minutes and seconds.
    Time,
    Base64,
    Complex(&'static Schema),
    /// A resource inside the resource.
    Contained,
}

impl Kind {
    /// Primitive elements may have a sibling `_name` with their id and extensions.
    pub fn is_primitive(self) -> bool {
        !matches!(self, Self::Complex(_) | Self::Contained | Self::Any)
    }
}

/// The content of `value` and the name of a datatype in an extension (<https://hl7.org/fhir/R4/datatypes.html#open>); none: there is
/// no such datatype.
pub(super) fn extension_value(datatype: &str) -> Option<Kind> {
    use datatypes::*;
    Some(match datatype {
        "String" | "Markdown" => Kind::Text,
        "Code" => Kind::Code,
        "Id" => Kind::Id,
        "Uri" | "Url" | "Canonical" | "Oid" | "Uuid" => Kind::Uri,
        "Boolean" => Kind::Boolean,
        "Decimal" => Kind::Number { whole: false },
        "Integer" => Kind::Number { whole: true },
        "UnsignedInt" => Kind::UnsignedInt,
        "PositiveInt" => Kind::PositiveInt,
        "Instant" => Kind::Instant,
        "DateTime" => Kind::DateTime,
        "Date" => Kind::Date,
        "Time" => Kind::Time,
        "Base64Binary" => Kind::Base64,
        "Coding" => Kind::Complex(&CODING),
        "CodeableConcept" => Kind::Complex(&CODEABLE_CONCEPT),
        "Identifier" => Kind::Complex(&IDENTIFIER),
        "Reference" => Kind::Complex(&REFERENCE),
        "Period" => Kind::Complex(&PERIOD),
        "Attachment" => Kind::Complex(&ATTACHMENT),
        "Meta" => Kind::Complex(&META),
        "Quantity" | "Age" | "Count" | "Distance" | "Duration" => Kind::Complex(&QUANTITY),
        "Money" => Kind::Complex(&MONEY),
        "Range" => Kind::Complex(&RANGE),
        "Ratio" => Kind::Complex(&RATIO),
        "HumanName" => Kind::Complex(&HUMAN_NAME),
        "Address" => Kind::Complex(&ADDRESS),
        "ContactPoint" => Kind::Complex(&CONTACT_POINT),
        "ContactDetail" => Kind::Complex(&CONTACT_DETAIL),
        "Annotation" => Kind::Complex(&ANNOTATION),
        "Expression" => Kind::Complex(&EXPRESSION),
        "SampledData"
        | "Signature"
        | "Timing"
        | "Contributor"
        | "DataRequirement"
        | "ParameterDefinition"
        | "RelatedArtifact"
        | "TriggerDefinition"
        | "UsageContext"
        | "Dosage" => Kind::Any,
        _ => return None,
    })
}

const fn one(name: &'static str, kind: Kind) -> Element {
    Element { name, kind, required: false, many: false }
}

const fn must(name: &'static str, kind: Kind) -> Element {
    Element { name, kind, required: true, many: false }
}

const fn many(name: &'static str, kind: Kind) -> Element {
    Element { name, kind, required: false, many: true }
}

const fn some(name: &'static str, kind: Kind) -> Element {
    Element { name, kind, required: true, many: true }
}
