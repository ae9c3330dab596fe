//! AuditEvent: <https://hl7.org/fhir/R4/auditevent.html>.

use super::datatypes::*;
use super::*;

static NETWORK: Schema = Schema {
    name: "AuditEvent.agent.network",
    sort: Sort::Backbone,
    elements: &[one("address", Kind::Text), one("type", Kind::OneOf(&["1", "2", "3", "4", "5"]))],
};

static AGENT: Schema = Schema {
    name: "AuditEvent.agent",
    sort: Sort::Backbone,
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
    sort: Sort::Backbone,
    elements: &[
        one("site", Kind::Text),
        must("observer", Kind::Complex(&REFERENCE)),
        many("type", Kind::Complex(&CODING)),
    ],
};

pub(in crate::import) static DETAIL: Schema = Schema {
    name: "AuditEvent.entity.detail",
    sort: Sort::Backbone,
    elements: &[must("type", Kind::Text), one("valueString", Kind::Text), one("valueBase64Binary", Kind::Base64)],
};

pub(in crate::import) static ENTITY: Schema = Schema {
    name: "AuditEvent.entity",
    sort: Sort::Backbone,
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
pub(in crate::import) static AUDIT_EVENT: Schema = Schema {
    name: "AuditEvent",
    sort: Sort::Resource,
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
