//! Consent: <https://hl7.org/fhir/R4/consent.html>.

use super::datatypes::*;
use super::*;

static POLICY: Schema = Schema {
    name: "Consent.policy",
    sort: Sort::Backbone,
    elements: &[one("authority", Kind::Uri), one("uri", Kind::Uri)],
};

static VERIFICATION: Schema = Schema {
    name: "Consent.verification",
    sort: Sort::Backbone,
    elements: &[
        must("verified", Kind::Boolean),
        one("verifiedWith", Kind::Complex(&REFERENCE)),
        one("verificationDate", Kind::DateTime),
    ],
};

static ACTOR: Schema = Schema {
    name: "Consent.provision.actor",
    sort: Sort::Backbone,
    elements: &[must("role", Kind::Complex(&CODEABLE_CONCEPT)), must("reference", Kind::Complex(&REFERENCE))],
};

static DATA: Schema = Schema {
    name: "Consent.provision.data",
    sort: Sort::Backbone,
    elements: &[
        must("meaning", Kind::OneOf(&["instance", "related", "dependents", "authoredby"])),
        must("reference", Kind::Complex(&REFERENCE)),
    ],
};

static PROVISION: Schema = Schema {
    name: "Consent.provision",
    sort: Sort::Backbone,
    elements: &[
        one("type", Kind::OneOf(&["deny", "permit"])),
        one("period", Kind::Complex(&PERIOD)),
        many("actor", Kind::Complex(&ACTOR)),
        many("action", Kind::Complex(&CODEABLE_CONCEPT)),
        many("securityLabel", Kind::Complex(&CODING)),
        many("purpose", Kind::Complex(&CODING)),
        many("class", Kind::Complex(&CODING)),
        many("code", Kind::Complex(&CODEABLE_CONCEPT)),
        one("dataPeriod", Kind::Complex(&PERIOD)),
        many("data", Kind::Complex(&DATA)),
        many("provision", Kind::Complex(&PROVISION)),
    ],
};

/// The resource.
pub(in crate::import) static CONSENT: Schema = Schema {
    name: "Consent",
    sort: Sort::Resource,
    elements: &[
        one("meta", Kind::Complex(&META)),
        one("implicitRules", Kind::Uri),
        one("language", Kind::Code),
        one("text", Kind::Complex(&NARRATIVE)),
        many("contained", Kind::Contained),
        many("identifier", Kind::Complex(&IDENTIFIER)),
        must("status", Kind::OneOf(&["draft", "proposed", "active", "rejected", "inactive", "entered-in-error"])),
        must("scope", Kind::Complex(&CODEABLE_CONCEPT)),
        some("category", Kind::Complex(&CODEABLE_CONCEPT)),
        one("patient", Kind::Complex(&REFERENCE)),
        one("dateTime", Kind::DateTime),
        many("performer", Kind::Complex(&REFERENCE)),
        many("organization", Kind::Complex(&REFERENCE)),
        one("sourceAttachment", Kind::Complex(&ATTACHMENT)),
        one("sourceReference", Kind::Complex(&REFERENCE)),
        many("policy", Kind::Complex(&POLICY)),
        one("policyRule", Kind::Complex(&CODEABLE_CONCEPT)),
        many("verification", Kind::Complex(&VERIFICATION)),
        one("provision", Kind::Complex(&PROVISION)),
    ],
};
