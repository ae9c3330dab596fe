//! Datatypes: <https://hl7.org/fhir/R4/datatypes.html>.

use super::*;

pub(super) static CODING: Schema = Schema {
    name: "Coding",
    sort: Sort::Datatype,
    elements: &[
        one("system", Kind::Uri),
        one("version", Kind::Text),
        one("code", Kind::Code),
        one("display", Kind::Text),
        one("userSelected", Kind::Boolean),
    ],
};

pub(super) static CODEABLE_CONCEPT: Schema = Schema {
    name: "CodeableConcept",
    sort: Sort::Datatype,
    elements: &[many("coding", Kind::Complex(&CODING)), one("text", Kind::Text)],
};

pub(super) static PERIOD: Schema = Schema {
    name: "Period",
    sort: Sort::Datatype,
    elements: &[one("start", Kind::DateTime), one("end", Kind::DateTime)],
};

pub(super) static IDENTIFIER: Schema = Schema {
    name: "Identifier",
    sort: Sort::Datatype,
    elements: &[
        one("use", Kind::OneOf(&["usual", "official", "temp", "secondary", "old"])),
        one("type", Kind::Complex(&CODEABLE_CONCEPT)),
        one("system", Kind::Uri),
        one("value", Kind::Text),
        one("period", Kind::Complex(&PERIOD)),
        one("assigner", Kind::Complex(&REFERENCE)),
    ],
};

pub(super) static REFERENCE: Schema = Schema {
    name: "Reference",
    sort: Sort::Datatype,
    elements: &[
        one("reference", Kind::Text),
        one("type", Kind::Uri),
        one("identifier", Kind::Complex(&IDENTIFIER)),
        one("display", Kind::Text),
    ],
};

pub(super) static META: Schema = Schema {
    name: "Meta",
    sort: Sort::Datatype,
    elements: &[
        one("versionId", Kind::Id),
        one("lastUpdated", Kind::Instant),
        one("source", Kind::Uri),
        many("profile", Kind::Uri),
        many("security", Kind::Complex(&CODING)),
        many("tag", Kind::Complex(&CODING)),
    ],
};

pub(super) static NARRATIVE: Schema = Schema {
    name: "Narrative",
    sort: Sort::Datatype,
    elements: &[
        must("status", Kind::OneOf(&["generated", "extensions", "additional", "empty"])),
        must("div", Kind::Text),
    ],
};

pub(super) static ATTACHMENT: Schema = Schema {
    name: "Attachment",
    sort: Sort::Datatype,
    elements: &[
        one("contentType", Kind::Code),
        one("language", Kind::Code),
        one("data", Kind::Base64),
        one("url", Kind::Uri),
        one("size", Kind::UnsignedInt),
        one("hash", Kind::Base64),
        one("title", Kind::Text),
        one("creation", Kind::DateTime),
    ],
};
