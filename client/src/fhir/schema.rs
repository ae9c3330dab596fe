//! FHIR R4 (4.0.1) as tables: AuditEvent and the datatypes it is made of.
//!
//! Source: <https://hl7.org/fhir/R4/auditevent.html> and <https://hl7.org/fhir/R4/datatypes.html>. [`super::check`] walks
//! a JSON document along these tables; `id`, `extension` and (for backbone elements) `modifierExtension` are common to all
//! and not repeated here.

/// One complex type: a resource, a datatype or a backbone element.
pub(super) struct Schema {
    /// As FHIR names it, such as `AuditEvent.agent`.
    pub name: &'static str,
    /// Backbone elements and resources may carry `modifierExtension`; datatypes may not.
    pub backbone: bool,
    /// Its elements.
    pub elements: &'static [Element],
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

/// What an element holds.
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
    Instant,
    DateTime,
    Base64,
    Complex(&'static Schema),
    /// A resource inside the resource.
    Contained,
}

impl Kind {
    /// Primitive elements may have a sibling `_name` with their id and extensions.
    pub fn is_primitive(self) -> bool {
        !matches!(self, Self::Complex(_) | Self::Contained)
    }
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

static CODING: Schema = Schema {
    name: "Coding",
    backbone: false,
    elements: &[
        one("system", Kind::Uri),
        one("version", Kind::Text),
        one("code", Kind::Code),
        one("display", Kind::Text),
        one("userSelected", Kind::Boolean),
    ],
};

static CODEABLE_CONCEPT: Schema = Schema {
    name: "CodeableConcept",
    backbone: false,
    elements: &[many("coding", Kind::Complex(&CODING)), one("text", Kind::Text)],
};

static PERIOD: Schema =
    Schema { name: "Period", backbone: false, elements: &[one("start", Kind::DateTime), one("end", Kind::DateTime)] };

static IDENTIFIER: Schema = Schema {
    name: "Identifier",
    backbone: false,
    elements: &[
        one("use", Kind::OneOf(&["usual", "official", "temp", "secondary", "old"])),
        one("type", Kind::Complex(&CODEABLE_CONCEPT)),
        one("system", Kind::Uri),
        one("value", Kind::Text),
        one("period", Kind::Complex(&PERIOD)),
        one("assigner", Kind::Complex(&REFERENCE)),
    ],
};

static REFERENCE: Schema = Schema {
    name: "Reference",
    backbone: false,
    elements: &[
        one("reference", Kind::Text),
        one("type", Kind::Uri),
        one("identifier", Kind::Complex(&IDENTIFIER)),
        one("display", Kind::Text),
    ],
};

static META: Schema = Schema {
    name: "Meta",
    backbone: false,
    elements: &[
        one("versionId", Kind::Id),
        one("lastUpdated", Kind::Instant),
        one("source", Kind::Uri),
        many("profile", Kind::Uri),
        many("security", Kind::Complex(&CODING)),
        many("tag", Kind::Complex(&CODING)),
    ],
};

static NARRATIVE: Schema = Schema {
    name: "Narrative",
    backbone: false,
    elements: &[
        must("status", Kind::OneOf(&["generated", "extensions", "additional", "empty"])),
        must("div", Kind::Text),
    ],
};

static NETWORK: Schema = Schema {
    name: "AuditEvent.agent.network",
    backbone: true,
    elements: &[one("address", Kind::Text), one("type", Kind::OneOf(&["1", "2", "3", "4", "5"]))],
};

static AGENT: Schema = Schema {
    name: "AuditEvent.agent",
    backbone: true,
    elements: &[
        one("type", Kind::Complex(&CODEABLE_CONCEPT)),
        many("role", Kind::Complex(&CODEABLE_CONCEPT)),
        one("who", Kind::Complex(&REFERENCE)),
        one("altId", Kind::Text),
        one("name", Kind::Text),
        must("requestor", Kind::Boolean),
        one("location", Kind::Complex(&REFERENCE)),
        many("policy", Kind::Uri),
        one("media", Kind::Complex(&CODING)),
        one("network", Kind::Complex(&NETWORK)),
        many("purposeOfUse", Kind::Complex(&CODEABLE_CONCEPT)),
    ],
};

static SOURCE: Schema = Schema {
    name: "AuditEvent.source",
    backbone: true,
    elements: &[
        one("site", Kind::Text),
        must("observer", Kind::Complex(&REFERENCE)),
        many("type", Kind::Complex(&CODING)),
    ],
};

pub(super) static DETAIL: Schema = Schema {
    name: "AuditEvent.entity.detail",
    backbone: true,
    elements: &[must("type", Kind::Text), one("valueString", Kind::Text), one("valueBase64Binary", Kind::Base64)],
};

pub(super) static ENTITY: Schema = Schema {
    name: "AuditEvent.entity",
    backbone: true,
    elements: &[
        one("what", Kind::Complex(&REFERENCE)),
        one("type", Kind::Complex(&CODING)),
        one("role", Kind::Complex(&CODING)),
        one("lifecycle", Kind::Complex(&CODING)),
        many("securityLabel", Kind::Complex(&CODING)),
        one("name", Kind::Text),
        one("description", Kind::Text),
        one("query", Kind::Base64),
        many("detail", Kind::Complex(&DETAIL)),
    ],
};

/// The resource.
pub(super) static AUDIT_EVENT: Schema = Schema {
    name: "AuditEvent",
    backbone: true,
    elements: &[
        one("meta", Kind::Complex(&META)),
        one("implicitRules", Kind::Uri),
        one("language", Kind::Code),
        one("text", Kind::Complex(&NARRATIVE)),
        many("contained", Kind::Contained),
        must("type", Kind::Complex(&CODING)),
        many("subtype", Kind::Complex(&CODING)),
        one("action", Kind::OneOf(&["C", "R", "U", "D", "E"])),
        one("period", Kind::Complex(&PERIOD)),
        must("recorded", Kind::Instant),
        one("outcome", Kind::OneOf(&["0", "4", "8", "12"])),
        one("outcomeDesc", Kind::Text),
        many("purposeOfEvent", Kind::Complex(&CODEABLE_CONCEPT)),
        some("agent", Kind::Complex(&AGENT)),
        must("source", Kind::Complex(&SOURCE)),
        many("entity", Kind::Complex(&ENTITY)),
    ],
};
