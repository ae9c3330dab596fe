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

pub(super) static QUANTITY: Schema = Schema {
    name: "Quantity",
    sort: Sort::Datatype,
    elements: &[
        one("value", Kind::Number { whole: false }),
        one("comparator", Kind::OneOf(&["<", "<=", ">=", ">"])),
        one("unit", Kind::Text),
        one("system", Kind::Uri),
        one("code", Kind::Code),
    ],
};

pub(super) static MONEY: Schema = Schema {
    name: "Money",
    sort: Sort::Datatype,
    elements: &[one("value", Kind::Number { whole: false }), one("currency", Kind::Code)],
};

pub(super) static RANGE: Schema = Schema {
    name: "Range",
    sort: Sort::Datatype,
    elements: &[one("low", Kind::Complex(&QUANTITY)), one("high", Kind::Complex(&QUANTITY))],
};

pub(super) static RATIO: Schema = Schema {
    name: "Ratio",
    sort: Sort::Datatype,
    elements: &[one("numerator", Kind::Complex(&QUANTITY)), one("denominator", Kind::Complex(&QUANTITY))],
};

pub(super) static HUMAN_NAME: Schema = Schema {
    name: "HumanName",
    sort: Sort::Datatype,
    elements: &[
        one("use", Kind::OneOf(&["usual", "official", "temp", "nickname", "anonymous", "old", "maiden"])),
        one("text", Kind::Text),
        one("family", Kind::Text),
        many("given", Kind::Text),
        many("prefix", Kind::Text),
        many("suffix", Kind::Text),
        one("period", Kind::Complex(&PERIOD)),
    ],
};

pub(super) static ADDRESS: Schema = Schema {
    name: "Address",
    sort: Sort::Datatype,
    elements: &[
        one("use", Kind::OneOf(&["home", "work", "temp", "old", "billing"])),
        one("type", Kind::OneOf(&["postal", "physical", "both"])),
        one("text", Kind::Text),
        many("line", Kind::Text),
        one("city", Kind::Text),
        one("district", Kind::Text),
        one("state", Kind::Text),
        one("postalCode", Kind::Text),
        one("country", Kind::Text),
        one("period", Kind::Complex(&PERIOD)),
    ],
};

pub(super) static CONTACT_POINT: Schema = Schema {
    name: "ContactPoint",
    sort: Sort::Datatype,
    elements: &[
        one("system", Kind::OneOf(&["phone", "fax", "email", "pager", "url", "sms", "other"])),
        one("value", Kind::Text),
        one("use", Kind::OneOf(&["home", "work", "temp", "old", "mobile"])),
        one("rank", Kind::PositiveInt),
        one("period", Kind::Complex(&PERIOD)),
    ],
};

pub(super) static CONTACT_DETAIL: Schema = Schema {
    name: "ContactDetail",
    sort: Sort::Datatype,
    elements: &[one("name", Kind::Text), many("telecom", Kind::Complex(&CONTACT_POINT))],
};

pub(super) static ANNOTATION: Schema = Schema {
    name: "Annotation",
    sort: Sort::Datatype,
    elements: &[
        one("authorReference", Kind::Complex(&REFERENCE)),
        one("authorString", Kind::Text),
        one("time", Kind::DateTime),
        must("text", Kind::Text),
    ],
};

pub(super) static EXPRESSION: Schema = Schema {
    name: "Expression",
    sort: Sort::Datatype,
    elements: &[
        one("description", Kind::Text),
        one("name", Kind::Id),
        must("language", Kind::Code),
        one("expression", Kind::Text),
        one("reference", Kind::Uri),
    ],
};
