//! Checks a JSON document against FHIR R4: an AuditEvent or a Consent, or the element that makes it none.
//!
//! Strict on purpose: a resource of another version, read as R4, would go on record with a wrong meaning. So unknown
//! elements, wrong datatypes and codes outside of a required binding are refused, and `modifierExtension` too: it may
//! turn the meaning of what we read (<https://hl7.org/fhir/R4/extensibility.html#modifierExtension>). Two are understood, and
//! accepted where our own export puts them: `rule`, on a Consent with an identifier of such rules, and `counts-inside-only`, on
//! an inner provision.
//!
//! **Half of a resource is none.** A summary (tag SUBSETTED) leaves out what narrows or turns what it keeps. So does a Consent
//! that says of an element that it has none to give (data-absent-reason).

use base64::Engine;
use serde_json::{Map, Value};

use super::FhirError;
use super::consent::{EXTENSION_INSIDE, EXTENSION_RULE, SYSTEM_RULE};
use super::dates::{instant_ms, is_date_time};
use super::schema::{AUDIT_EVENT, CONSENT, DETAIL, ENTITY, Element, Kind, Schema, Sort, extension_value};

/// Deepest nesting of elements and extensions that is looked at.
const DEPTH_MAX: usize = 32;

/// A resource that is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Something happened.
    AuditEvent,
    /// A patient permits or denies.
    Consent,
}

/// Checks a whole document, and says what it is.
///
/// # Errors
/// The first thing that is wrong, with its path, such as `AuditEvent.agent[0].userId`.
pub fn check(document: &Value) -> Result<Resource, FhirError> {
    let Value::Object(object) = document else {
        return Err(FhirError::new("", "expected a JSON object"));
    };
    let (resource, schema) = match object.get("resourceType") {
        Some(Value::String(name)) if name == "AuditEvent" => (Resource::AuditEvent, &AUDIT_EVENT),
        Some(Value::String(name)) if name == "Consent" => (Resource::Consent, &CONSENT),
        Some(Value::String(name)) => {
            let why = format!("resourceType {name} is not imported: AuditEvent and Consent are");
            return Err(FhirError::new("resourceType", why));
        }
        _ => return Err(FhirError::new("resourceType", "not a FHIR resource: resourceType is missing")),
    };
    complex(object, schema, schema.name, 0)?;
    whole(document, schema.name)?;
    Ok(resource)
}

/// Tells whether a resource is all of it.
fn whole(document: &Value, name: &str) -> Result<(), FhirError> {
    if let Some(i) = subsetted(document) {
        let why = "SUBSETTED: a summary or a part of the resource, which may say something else: ask the server for the whole \
                   (without _summary and _elements)";
        return Err(FhirError::new(format!("{name}.meta.tag[{i}]"), why));
    }
    if name != "Consent" {
        return Ok(());
    }
    // What isn't read for what is permitted and denied may be unknown.
    let says_nothing_of_it = [
        "meta",
        "language",
        "text",
        "contained",
        "identifier",
        "category",
        "sourceAttachment",
        "sourceReference",
        "verification",
    ];
    let decides = |member: &str| !says_nothing_of_it.contains(&member);
    let members = document.as_object().into_iter().flatten().filter(|(member, _)| decides(member));
    let absent = members.into_iter().find_map(|(member, value)| absent_in(value, &format!("{name}.{member}")));
    match absent {
        Some(path) => Err(FhirError::new(path, "said to be absent: what it would permit or deny isn't known")),
        None => Ok(()),
    }
}

/// The position of the tag by which a resource says that it isn't whole.
pub(super) fn subsetted(resource: &Value) -> Option<usize> {
    resource["meta"]["tag"].as_array()?.iter().position(|tag| tag["code"] == "SUBSETTED")
}

/// Where something says that it is absent.
pub(super) fn absent_in(value: &Value, path: &str) -> Option<String> {
    const ABSENT: [&str; 2] = [
        "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
        "http://hl7.org/fhir/StructureDefinition/iso21090-nullFlavor",
    ];
    match value {
        Value::Object(members) => match members.get("url").and_then(Value::as_str) {
            Some(url) if ABSENT.contains(&url) => Some(path.to_owned()),
            _ => members.iter().find_map(|(name, value)| absent_in(value, &format!("{path}.{name}"))),
        },
        Value::Array(items) => items.iter().enumerate().find_map(|(i, item)| absent_in(item, &format!("{path}[{i}]"))),
        _ => None,
    }
}

fn complex(object: &Map<String, Value>, schema: &Schema, path: &str, depth: usize) -> Result<(), FhirError> {
    if object.is_empty() {
        return Err(FhirError::new(path, "an empty object: FHIR leaves absent elements out"));
    }
    if depth > DEPTH_MAX {
        return Err(FhirError::new(path, "nested too deeply"));
    }
    let resource = schema.sort == Sort::Resource;
    for (name, value) in object {
        let at = format!("{path}.{name}");
        match name.as_str() {
            "resourceType" if resource => continue,
            "id" if resource => primitive(value, Kind::Id, &at)?,
            "id" => primitive(value, Kind::Text, &at)?,
            "extension" => extensions(value, &at, depth)?,
            "modifierExtension" if depth == 0 && is_own_rule(object, schema, value) => extensions(value, &at, depth)?,
            "modifierExtension" if counts_inside(path, value) => extensions(value, &at, depth)?,
            "modifierExtension" if schema.sort != Sort::Datatype => {
                let why = "a modifierExtension may change the meaning, and this one is not known here";
                return Err(FhirError::new(at, why));
            }
            "fhir_comments" => return Err(FhirError::new(at, "comments are not part of FHIR R4")),
            _ => element(name, value, (object, schema), &at, depth)?,
        }
    }
    for expected in schema.elements.iter().filter(|e| e.required) {
        if !object.contains_key(expected.name) {
            let at = format!("{path}.{}", expected.name);
            return Err(FhirError::new(at, "required in FHIR R4 and missing"));
        }
    }
    invariants(object, schema, path)
}

/// The one `modifierExtension` that is known here, alone, on a Consent of our own export.
fn is_own_rule(object: &Map<String, Value>, schema: &Schema, value: &Value) -> bool {
    let identifiers = object.get("identifier").and_then(Value::as_array);
    let is_own = identifiers.is_some_and(|all| all.iter().any(|identifier| identifier["system"] == SYSTEM_RULE));
    let is_rule = value.as_array().is_some_and(|all| all.len() == 1 && all[0]["url"] == EXTENSION_RULE);
    std::ptr::eq(schema, &CONSENT) && is_own && is_rule
}

/// The extension by which our own export marks an inner provision, and nothing else: it counts only where the outer one matches.
fn counts_inside(path: &str, value: &Value) -> bool {
    let is_known = value.as_array().is_some_and(|all| all.len() == 1 && all[0]["url"] == EXTENSION_INSIDE);
    is_known && path.starts_with("Consent.provision.provision[")
}

fn invariants(object: &Map<String, Value>, schema: &Schema, path: &str) -> Result<(), FhirError> {
    if std::ptr::eq(schema, &ENTITY) && object.contains_key("name") && object.contains_key("query") {
        return Err(FhirError::new(path, "either a name or a query, not both (sev-1)"));
    }
    if std::ptr::eq(schema, &CONSENT) {
        consent_invariants(object)?;
    }
    if std::ptr::eq(schema, &DETAIL) {
        let values =
            usize::from(object.contains_key("valueString")) + usize::from(object.contains_key("valueBase64Binary"));
        if values != 1 {
            let at = format!("{path}.value[x]");
            return Err(FhirError::new(at, "exactly one of valueString and valueBase64Binary"));
        }
    }
    Ok(())
}

fn consent_invariants(object: &Map<String, Value>) -> Result<(), FhirError> {
    if object.contains_key("sourceAttachment") && object.contains_key("sourceReference") {
        return Err(FhirError::new("Consent.source[x]", "either an attachment or a reference, not both"));
    }
    if !object.contains_key("policy") && !object.contains_key("policyRule") {
        return Err(FhirError::new("Consent.policy", "either a policy or a policyRule (ppc-1)"));
    }
    Ok(())
}

fn element(
    name: &str,
    value: &Value,
    (object, schema): (&Map<String, Value>, &Schema),
    at: &str,
    depth: usize,
) -> Result<(), FhirError> {
    let find = |name: &str| schema.elements.iter().find(|e| e.name == name);
    if let Some(expected) = find(name) {
        return values(value, object.get(&format!("_{name}")), expected, at, depth);
    }
    let sibling = name.strip_prefix('_').and_then(find).filter(|e| e.kind.is_primitive());
    match sibling {
        Some(expected) => primitive_extension(value, object.get(expected.name), expected.many, at, depth),
        None => {
            let why = format!("{name} is not an element of {} in FHIR R4", schema.name);
            Err(FhirError::new(at, why))
        }
    }
}

/// `sibling`: what stands in `_name` of a primitive element.
fn values(value: &Value, sibling: Option<&Value>, expected: &Element, at: &str, depth: usize) -> Result<(), FhirError> {
    if !expected.many {
        return single(value, expected.kind, at, depth);
    }
    let Value::Array(items) = value else {
        return Err(FhirError::new(at, "this element repeats: expected a JSON array"));
    };
    if items.is_empty() {
        return Err(FhirError::new(at, "an empty array: FHIR leaves absent elements out"));
    }
    for (i, item) in items.iter().enumerate() {
        // In an array of primitives, null keeps the place of one that has only extensions.
        let is_extended = || sibling.and_then(|sibling| sibling.get(i)).is_some_and(Value::is_object);
        if item.is_null() && expected.kind.is_primitive() && is_extended() {
            continue;
        }
        single(item, expected.kind, &format!("{at}[{i}]"), depth)?;
    }
    Ok(())
}

fn single(value: &Value, kind: Kind, at: &str, depth: usize) -> Result<(), FhirError> {
    match (kind, value) {
        (Kind::Complex(schema), Value::Object(object)) => complex(object, schema, at, depth + 1),
        (Kind::Complex(schema), _) => Err(FhirError::new(at, format!("expected an object of type {}", schema.name))),
        (Kind::Contained, Value::Object(object)) if object.get("resourceType").is_some_and(Value::is_string) => Ok(()),
        (Kind::Contained, _) => Err(FhirError::new(at, "expected a resource with its resourceType")),
        (Kind::Any, Value::Object(object)) if !object.is_empty() => well_formed(value, at, depth),
        (Kind::Any, _) => Err(FhirError::new(at, "expected an object")),
        (kind, value) => primitive(value, kind, at),
    }
}

/// Refuses whatever JSON of FHIR has nowhere, in a datatype that isn't read here.
fn well_formed(value: &Value, at: &str, depth: usize) -> Result<(), FhirError> {
    if depth > DEPTH_MAX {
        return Err(FhirError::new(at, "nested too deeply"));
    }
    match value {
        Value::Object(object) if object.is_empty() => {
            Err(FhirError::new(at, "an empty object: FHIR leaves absent elements out"))
        }
        Value::Object(object) => object.iter().try_for_each(|(name, value)| match name.as_str() {
            "extension" => extensions(value, &format!("{at}.{name}"), depth + 1),
            _ => well_formed(value, &format!("{at}.{name}"), depth + 1),
        }),
        Value::Array(items) if items.is_empty() => {
            Err(FhirError::new(at, "an empty array: FHIR leaves absent elements out"))
        }
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(i, item)| well_formed(item, &format!("{at}[{i}]"), depth + 1))
        }
        Value::String(_) => primitive(value, Kind::Text, at),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn extensions(value: &Value, at: &str, depth: usize) -> Result<(), FhirError> {
    if depth > DEPTH_MAX {
        return Err(FhirError::new(at, "extensions nested too deeply"));
    }
    let Value::Array(items) = value else {
        return Err(FhirError::new(at, "this element repeats: expected a JSON array"));
    };
    if items.is_empty() {
        return Err(FhirError::new(at, "an empty array: FHIR leaves absent elements out"));
    }
    for (i, item) in items.iter().enumerate() {
        let at = format!("{at}[{i}]");
        let Value::Object(object) = item else {
            return Err(FhirError::new(at, "expected an object of type Extension"));
        };
        match object.get("url") {
            Some(url) => primitive(url, Kind::Uri, &format!("{at}.url"))?,
            None => return Err(FhirError::new(format!("{at}.url"), "required in FHIR R4 and missing")),
        }
        let mut typed = std::collections::BTreeSet::new();
        for (name, value) in object {
            let at = format!("{at}.{name}");
            let (base, is_sibling) = name.strip_prefix('_').map_or((name.as_str(), false), |base| (base, true));
            let kind = base.strip_prefix("value").and_then(extension_value);
            match (name.as_str(), kind) {
                ("url", _) => {}
                ("id", _) => primitive(value, Kind::Text, &at)?,
                ("extension", _) => extensions(value, &at, depth + 1)?,
                (_, Some(kind)) if is_sibling && kind.is_primitive() => {
                    typed.insert(base);
                    primitive_extension(value, object.get(base), false, &at, depth)?;
                }
                (_, Some(kind)) if !is_sibling => {
                    typed.insert(base);
                    single(value, kind, &at, depth + 1)?;
                }
                _ => {
                    let why = format!("{name} is not an element of Extension in FHIR R4");
                    return Err(FhirError::new(at, why));
                }
            }
        }
        if typed.len() > 1 {
            return Err(FhirError::new(at, "an extension has one value"));
        }
        if (typed.len() == 1) == object.contains_key("extension") {
            return Err(FhirError::new(at, "an extension has either a value or extensions (ext-1)"));
        }
    }
    Ok(())
}

/// `said`: the value that it stands beside.
fn primitive_extension(
    value: &Value,
    said: Option<&Value>,
    many: bool,
    at: &str,
    depth: usize,
) -> Result<(), FhirError> {
    let items = match value {
        Value::Array(items) if many => items.as_slice(),
        _ if many => return Err(FhirError::new(at, "this element repeats: expected a JSON array")),
        _ => std::slice::from_ref(value),
    };
    if many && said.is_some_and(|said| said.as_array().is_none_or(|said| said.len() != items.len())) {
        return Err(FhirError::new(at, "one place for each value, null where nothing is said of it"));
    }
    for (i, item) in items.iter().enumerate() {
        let beside = match many {
            true => said.and_then(|said| said.get(i)),
            false => said,
        };
        let is_valued = beside.is_some_and(|value| !value.is_null());
        let object = match item {
            Value::Object(object) => object,
            Value::Null if many && is_valued => continue,
            _ => return Err(FhirError::new(at, "expected an object with id and extension")),
        };
        if object.is_empty() || !is_valued && !object.contains_key("extension") {
            return Err(FhirError::new(
                at,
                "neither a value nor an extension: FHIR leaves absent elements out (ele-1)",
            ));
        }
        for (name, value) in object {
            let at = format!("{at}.{name}");
            match name.as_str() {
                "id" => primitive(value, Kind::Text, &at)?,
                "extension" => extensions(value, &at, depth + 1)?,
                _ => return Err(FhirError::new(at, "expected id and extension only")),
            }
        }
    }
    Ok(())
}

fn primitive(value: &Value, kind: Kind, at: &str) -> Result<(), FhirError> {
    let wrong = |what: &str| Err(FhirError::new(at, format!("expected {what}")));
    if let Kind::Boolean = kind {
        return if value.is_boolean() { Ok(()) } else { wrong("true or false") };
    }
    if let Kind::Number { whole } = kind {
        let is_whole = || value.as_i64().is_some_and(|number| i32::try_from(number).is_ok());
        let fits = value.is_number() && (!whole || is_whole());
        return if fits { Ok(()) } else { wrong(if whole { "a whole number" } else { "a number" }) };
    }
    if let Kind::UnsignedInt | Kind::PositiveInt = kind {
        let is_positive = matches!(kind, Kind::PositiveInt);
        let fits = value.as_u64().is_some_and(|number| number >= u64::from(is_positive) && number <= 2_147_483_647);
        let why = if is_positive { "a whole number, 1 to 2147483647" } else { "a whole number, 0 to 2147483647" };
        return if fits { Ok(()) } else { wrong(why) };
    }
    let Value::String(text) = value else {
        return wrong("a JSON string");
    };
    if text.trim().is_empty() {
        return wrong("a value: FHIR leaves empty strings out");
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return wrong("text without control characters");
    }
    match kind {
        Kind::Id if text.len() > 64 || !text.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c)) => {
            wrong("an id: 1 to 64 of A-Z a-z 0-9 - .")
        }
        Kind::Uri if text.contains(char::is_whitespace) => wrong("a URI without spaces"),
        Kind::Code if !is_code(text) => wrong("a code: no spaces around it, and one between its words"),
        Kind::OneOf(codes) if !codes.contains(&text.as_str()) => wrong(&format!("one of {}", codes.join(", "))),
        Kind::Instant if instant_ms(text).is_none() => {
            wrong("an instant with seconds and a time zone, such as 2026-03-02T09:00:00Z")
        }
        Kind::DateTime if !is_date_time(text) => wrong("a dateTime, such as 2026-03-02 or 2026-03-02T09:00:00Z"),
        Kind::Date if text.contains('T') || !is_date_time(text) => wrong("a date, such as 2026-03-02"),
        Kind::Time if !is_time(text) => wrong("a time, such as 09:00:00"),
        Kind::Base64 if base64(text).is_none() => wrong("base64"),
        _ => Ok(()),
    }
}

/// Tells whether a text is a `code`: words with one space between them.
pub(crate) fn is_code(text: &str) -> bool {
    !text.is_empty()
        && !text.chars().any(char::is_control)
        && text.split(' ').all(|word| !word.is_empty() && !word.contains(char::is_whitespace))
}

/// Tells whether a text is a `time`: hh:mm:ss, also with parts of a second.
fn is_time(text: &str) -> bool {
    let (clock, rest) = text.split_at_checked(8).unwrap_or_default();
    let part = |at: usize, max: u8| {
        let digits = clock.get(at..at + 2).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        digits.and_then(|digits| digits.parse::<u8>().ok()).is_some_and(|number| number <= max)
    };
    let fraction = rest
        .strip_prefix('.')
        .map_or(rest.is_empty(), |rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
    part(0, 23)
        && part(3, 59)
        && part(6, 60)
        && clock.get(2..3) == Some(":")
        && clock.get(5..6) == Some(":")
        && fraction
}

/// Decodes base64 as FHIR writes it: white space may stand in it.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let dense: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    base64::engine::general_purpose::STANDARD.decode(dense).ok()
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
