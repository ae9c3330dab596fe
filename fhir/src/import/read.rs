//! Small readers of an AuditEvent's parts: what a code means, what an entity is, texts within a record's bounds.

use serde_json::Value;
use sillage_proof::hash::Hash;
use sillage_proto::v1;
use sillage_rules::ident::spelling;
use sillage_rules::kind::Kind;
use sillage_rules::limits;

use super::references::{self, References};
use super::{FhirError, OURS};

/// The code system of RESTful interactions.
pub(super) const SYSTEM_REST: &str = "http://hl7.org/fhir/restful-interaction";
/// The code system of record life cycle events (ISO 21089).
pub(super) const SYSTEM_LIFECYCLE: &str = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle";

/// The kind that one code says, if it says one.
pub(super) fn kind_of_code(system: &str, code: &str) -> Option<Kind> {
    let kind = match (system, code) {
        (SYSTEM_REST, "read" | "vread") => Kind::ACCESS_READ,
        (SYSTEM_REST, code) if code.starts_with("history") => Kind::ACCESS_READ,
        (SYSTEM_REST, code) if code.starts_with("search") => Kind::ACCESS_SEARCH,
        (SYSTEM_REST, "create") => Kind::ACCESS_WRITE,
        (SYSTEM_REST, "update" | "patch") => Kind::ACCESS_UPDATE,
        (SYSTEM_REST, "delete") => Kind::ACCESS_DELETE,
        (SYSTEM_LIFECYCLE, "access" | "report") => Kind::ACCESS_READ,
        (SYSTEM_LIFECYCLE, "originate" | "receive") => Kind::ACCESS_WRITE,
        (SYSTEM_LIFECYCLE, "amend") => Kind::ACCESS_UPDATE,
        (SYSTEM_LIFECYCLE, "destroy") => Kind::ACCESS_DELETE,
        (SYSTEM_LIFECYCLE, "extract") => Kind::ACCESS_EXPORT,
        (_, "110112") => Kind::ACCESS_SEARCH,
        (_, "110106") => Kind::ACCESS_EXPORT,
        (_, "110107") => Kind::ACCESS_WRITE,
        (_, "110104") => Kind::MOVEMENT_THIRD_PARTY,
        (_, "110105") => Kind::ACCESS_DELETE,
        _ => return None,
    };
    Some(kind)
}

/// `AuditEvent.outcome`.
pub(super) fn outcome(code: &str) -> v1::Outcome {
    match code {
        "4" => v1::Outcome::MinorFailure,
        "8" => v1::Outcome::SeriousFailure,
        "12" => v1::Outcome::MajorFailure,
        "0" => v1::Outcome::Success,
        // R4 leaves the outcome optional.
        _ => v1::Outcome::Unspecified,
    }
}

/// How the requestor proved who it is: the sort of token that IHE names, and its issuer.
pub(super) fn authentication(requestor: &Value) -> Option<v1::Authentication> {
    let codes: Vec<&str> = codings(&requestor["type"]).map(|c| text(c, "code")).collect();
    let method = ["UserSamlAgent", "UserOauthAgent"].into_iter().find(|m| codes.contains(m))?;
    let issuer = cut(text(&requestor["who"]["identifier"], "system"), limits::ID_BYTES_MAX);
    Some(v1::Authentication { issuer, method: method.to_owned(), eidas_level: String::new() })
}

/// Tells whether an entity has this role.
pub(super) fn has_role(entity: &Value, code: &str) -> bool {
    text(&entity["role"], "code") == code
}

/// An entity that is a query.
pub(super) fn is_query(entity: &Value) -> bool {
    entity.get("query").is_some() || text(&entity["role"], "code") == "24"
}

/// An entity that is a request id (IHE BALP).
pub(super) fn is_request_id(entity: &Value) -> bool {
    text(&entity["type"], "code") == "XrequestId"
}

/// The sort of thing that an entity is: its resource type where one is known (`target`), else the name of its role.
pub(super) fn category(entity: &Value, target: &str) -> String {
    let coding = &entity["type"];
    let by_type = (text(coding, "system").ends_with("/resource-types")).then(|| text(coding, "code"));
    let candidates = [
        target,
        by_type.unwrap_or_default(),
        text(&entity["role"], "display"),
        text(coding, "display"),
        text(coding, "code"),
    ];
    candidates.into_iter().find(|t| !t.is_empty()).unwrap_or("other").to_owned()
}

/// A structure, as the organisation of an actor is recorded: the identifier that counts, else the reference, else its name.
pub(super) fn organisation_named(references: References<'_>, reference: &Value) -> String {
    let (target, identifiers) = references.named_outside(reference);
    let counting = references::counting(&identifiers).or_else(|| identifiers.first());
    let spelled = counting.and_then(|(system, value)| spelling::organisation_of(system, value).ok());
    let target = if target.starts_with('#') { "" } else { target.as_str() };
    let found = [spelled.as_deref().unwrap_or_default(), target, text(reference, "display")];
    let found = found.into_iter().find(|t| !t.is_empty()).unwrap_or_default();
    spelling::organisation_on_record(found)
}

/// The name of an item by its reference: that of a contained resource is nobody else's.
pub(super) fn item_named(references: References<'_>, what: &Value, digest: &Hash) -> String {
    let (target, identifiers) = references.named_outside(what);
    match target.strip_prefix('#') {
        None => target,
        Some(id) => identifiers.first().map_or_else(|| format!("{digest}#{id}"), |(_, value)| value.clone()),
    }
}

/// As [`cut`], a word that is compared with other people's words.
pub(super) fn word(text: &str, max: usize) -> String {
    cut(&spelling::word_on_record(&cut(text, max)), max)
}

/// As [`cut`], composed and without what nobody sees: by this text other people's texts are compared.
pub(super) fn composed(text: &str, max: usize) -> String {
    cut(&spelling::text_on_record(&cut(text, max)), max)
}

/// A string member; empty where there is none.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The members of an array; none where there is no array.
pub(super) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The codings of a CodeableConcept.
pub(super) fn codings(concept: &Value) -> impl Iterator<Item = &Value> {
    list(concept, "coding").iter()
}

/// The text of an extension of our own.
pub(super) fn own_text<'a>(element: &'a Value, name: &str) -> Option<&'a str> {
    own(element, name).map(|extension| text(extension, "valueString"))
}

/// An extension of our own.
pub(super) fn own<'a>(element: &'a Value, name: &str) -> Option<&'a Value> {
    let ours = |extension: &&Value| {
        text(extension, "url").strip_prefix(super::OURS).and_then(|rest| rest.strip_prefix("/StructureDefinition/"))
            == Some(name)
    };
    list(element, "extension").iter().find(ours)
}

/// Of a resource of our own export: whether it is kept from representatives. None of any other resource.
///
/// # Errors
/// Where that can't be told for sure: what is kept must not be recorded where representatives read.
pub(super) fn own_entry(resource: &Value, name: &str) -> Result<Option<bool>, FhirError> {
    let url = format!("{OURS}/StructureDefinition/entry");
    let mut entries = list(resource, "extension").iter().enumerate().filter(|(_, e)| text(e, "url") == url);
    let Some((i, entry)) = entries.next() else { return Ok(None) };
    let path = format!("{name}.extension[{i}]");
    if let Some((i, _)) = entries.next() {
        return Err(FhirError::new(format!("{name}.extension[{i}]"), "a second entry: which one is meant?"));
    }
    let mut kept = list(entry, "extension").iter().filter(|part| text(part, "url") == "kept-from-representatives");
    match (kept.next().map(|part| &part["valueBoolean"]), kept.next()) {
        (None, _) => Ok(Some(false)),
        (Some(Value::Bool(kept)), None) => Ok(Some(*kept)),
        _ => Err(FhirError::new(path, "kept-from-representatives stands there once, with a valueBoolean")),
    }
}

/// Of our own export, without the extension that says what is kept from representatives.
pub(super) fn without_entry(name: &str) -> FhirError {
    let why = "of a ledger's own export, and without its extension `entry`: whether it is kept from representatives isn't known";
    FhirError::new(format!("{name}.extension"), why)
}

/// Refuses the extensions of our own export in what isn't one: they would say more than the document does.
pub(super) fn no_extension_of_ours(resource: &Value, path: &str) -> Result<(), FhirError> {
    match resource {
        Value::Object(members) => members.iter().try_for_each(|(name, value)| {
            let at = format!("{path}.{name}");
            let listed = value.as_array().filter(|_| name == "extension" || name == "modifierExtension");
            let is_ours = |extension: &Value| text(extension, "url").starts_with(OURS);
            match listed.and_then(|listed| listed.iter().position(is_ours)) {
                Some(i) => {
                    let why = "an extension of a ledger's own export, in a document that isn't one: docs/fhir.md says which are";
                    Err(FhirError::new(format!("{at}[{i}]"), why))
                }
                None => no_extension_of_ours(value, &at),
            }
        }),
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(i, item)| no_extension_of_ours(item, &format!("{path}[{i}]")))
        }
        _ => Ok(()),
    }
}

/// A statement of our own extension, yes or no: absent is no.
pub(super) fn own_flag<'a>(mut extensions: impl Iterator<Item = &'a Value>, path: &str) -> Result<bool, FhirError> {
    match (extensions.next().map(|extension| &extension["valueBoolean"]), extensions.next()) {
        (None, _) => Ok(false),
        (Some(Value::Bool(said)), None) => Ok(*said),
        _ => Err(FhirError::new(format!("{path}.extension"), "this stands there once, with a valueBoolean")),
    }
}

/// The record without the document that it was made from, where both don't fit: a document of our own export only, whose
/// signed record is in the log that it is from.
pub(super) fn without_what_does_not_fit(mut record: v1::Record) -> v1::Record {
    const TAG_BYTES: usize = 64;
    if prost::Message::encoded_len(&record) + TAG_BYTES > limits::RECORD_BYTES_MAX {
        record.original = None;
    }
    record
}

/// At most `max` bytes, whole characters, no control characters: what a record's field can hold. The original has it all.
pub(super) fn cut(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for c in text.trim().chars() {
        let c = if c.is_control() { ' ' } else { c };
        if out.len() + c.len_utf8() > max {
            break;
        }
        out.push(c);
    }
    out
}

/// A code as a record holds it: visible ASCII without spaces.
pub(super) fn token(text: &str) -> String {
    let visible = text.trim().chars().map(|c| if c.is_ascii_graphic() { c } else { '-' }).collect::<String>();
    cut(&visible, limits::TOKEN_BYTES_MAX)
}
