//! Whether a JSON document is an AuditEvent or a Consent of FHIR R4, and if not, where.
//!
//! Strict on purpose: a resource of another version, read as R4, would go on record with a wrong meaning. So unknown
//! elements, wrong datatypes and codes outside of a required binding are refused, and `modifierExtension` too: it may
//! turn the meaning of what we read (<https://hl7.org/fhir/R4/extensibility.html#modifierExtension>). One is understood, and
//! accepted where our own export puts it: `rule`, on a Consent with an identifier of such rules.

use base64::Engine;
use serde_json::{Map, Value};

use super::FhirError;
use super::consent::{EXTENSION_RULE, SYSTEM_RULE};
use super::dates::{instant_ms, is_date_time};
use super::schema::{AUDIT_EVENT, CONSENT, DETAIL, ENTITY, Element, Kind, Schema, Sort};

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
    Ok(resource)
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
            "modifierExtension" if schema.sort != Sort::Datatype => {
                let why = "a modifierExtension may change the meaning, and this one is not known here";
                return Err(FhirError::new(at, why));
            }
            "fhir_comments" => return Err(FhirError::new(at, "comments are not part of FHIR R4")),
            _ => element(name, value, schema, &at, depth)?,
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

fn element(name: &str, value: &Value, schema: &Schema, at: &str, depth: usize) -> Result<(), FhirError> {
    let find = |name: &str| schema.elements.iter().find(|e| e.name == name);
    if let Some(expected) = find(name) {
        return values(value, expected, at, depth);
    }
    let sibling = name.strip_prefix('_').and_then(find).filter(|e| e.kind.is_primitive());
    match sibling {
        Some(expected) => primitive_extension(value, expected.many, at, depth),
        None => {
            let why = format!("{name} is not an element of {} in FHIR R4", schema.name);
            Err(FhirError::new(at, why))
        }
    }
}

fn values(value: &Value, expected: &Element, at: &str, depth: usize) -> Result<(), FhirError> {
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
        if item.is_null() && expected.kind.is_primitive() {
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
        (kind, value) => primitive(value, kind, at),
    }
}

fn extensions(value: &Value, at: &str, depth: usize) -> Result<(), FhirError> {
    if depth > DEPTH_MAX {
        return Err(FhirError::new(at, "extensions nested too deeply"));
    }
    let Value::Array(items) = value else {
        return Err(FhirError::new(at, "this element repeats: expected a JSON array"));
    };
    for (i, item) in items.iter().enumerate() {
        let at = format!("{at}[{i}]");
        let Value::Object(object) = item else {
            return Err(FhirError::new(at, "expected an object of type Extension"));
        };
        match object.get("url") {
            Some(url) => primitive(url, Kind::Uri, &format!("{at}.url"))?,
            None => return Err(FhirError::new(format!("{at}.url"), "required in FHIR R4 and missing")),
        }
        let mut has_value = false;
        for (name, value) in object {
            let at = format!("{at}.{name}");
            let base = name.strip_prefix('_').unwrap_or(name);
            let typed = base.strip_prefix("value").and_then(|rest| rest.chars().next());
            match (name.as_str(), typed) {
                ("url" | "id", _) => {}
                ("extension", _) => extensions(value, &at, depth + 1)?,
                (_, Some('A'..='Z')) if value.is_null() => return Err(FhirError::new(at, "a null value")),
                (_, Some('A'..='Z')) => has_value = true,
                _ => {
                    let why = format!("{name} is not an element of Extension in FHIR R4");
                    return Err(FhirError::new(at, why));
                }
            }
        }
        if has_value == object.contains_key("extension") {
            return Err(FhirError::new(at, "an extension has either a value or extensions (ext-1)"));
        }
    }
    Ok(())
}

fn primitive_extension(value: &Value, many: bool, at: &str, depth: usize) -> Result<(), FhirError> {
    let items = match value {
        Value::Array(items) if many => items.as_slice(),
        _ => std::slice::from_ref(value),
    };
    for item in items {
        let object = match item {
            Value::Object(object) => object,
            Value::Null if many => continue,
            _ => return Err(FhirError::new(at, "expected an object with id and extension")),
        };
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
    if let Kind::UnsignedInt = kind {
        let fits = value.as_u64().is_some_and(|number| number <= 2_147_483_647);
        return if fits { Ok(()) } else { wrong("a whole number, 0 to 2147483647") };
    }
    let Value::String(text) = value else {
        return wrong("a JSON string");
    };
    if text.trim().is_empty() {
        return wrong("a value: FHIR leaves empty strings out");
    }
    match kind {
        Kind::Id if text.len() > 64 || !text.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c)) => {
            wrong("an id: 1 to 64 of A-Z a-z 0-9 - .")
        }
        Kind::Uri if text.contains(char::is_whitespace) => wrong("a URI without spaces"),
        Kind::Code if text.trim() != text => wrong("a code without spaces around it"),
        Kind::OneOf(codes) if !codes.contains(&text.as_str()) => wrong(&format!("one of {}", codes.join(", "))),
        Kind::Instant if instant_ms(text).is_none() => {
            wrong("an instant with seconds and a time zone, such as 2026-03-02T09:00:00Z")
        }
        Kind::DateTime if !is_date_time(text) => wrong("a dateTime, such as 2026-03-02 or 2026-03-02T09:00:00Z"),
        Kind::Base64 if base64(text).is_none() => wrong("base64"),
        _ => Ok(()),
    }
}

/// Decodes base64 as FHIR writes it: white space may stand in it.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let dense: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    base64::engine::general_purpose::STANDARD.decode(dense).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn good() -> Value {
        json!({
            "resourceType": "AuditEvent",
            "meta": {"security": [{"system": "http://x", "code": "HTEST"}]},
            "contained": [{"resourceType": "Patient", "id": "p"}],
            "type": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "110112"},
            "action": "E", "_action": {"id": "a1"},
            "period": {"start": "2020-04-29", "end": "2020-04-29T09:49:00+02:00"},
            "recorded": "2020-04-29T09:49:00.000Z",
            "agent": [{
                "extension": [{"url": "urn:x", "valueString": "y"}, {"url": "urn:z", "extension": [
                    {"url": "a", "valueBoolean": false}]}],
                "policy": ["urn:token", null], "_policy": [null, {"extension": [{"url": "u", "valueCode": "unknown"}]}],
                "requestor": true
            }],
            "source": {"observer": {"display": "x"}},
            "entity": [{"query": "R0VU", "detail": [{"type": "t", "valueBase64Binary": "AA=="}]}]
        })
    }

    fn path_of(edit: impl FnOnce(&mut Value)) -> String {
        let mut document = good();
        edit(&mut document);
        check(&document).expect_err("refused").path
    }

    #[test]
    fn everything_r4_allows_is_accepted() {
        assert_eq!(check(&good()), Ok(Resource::AuditEvent));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        type Edit = fn(&mut Value);
        let cases: [(&str, Edit); 16] = [
            ("AuditEvent.agent[0].userId", |d| d["agent"][0]["userId"] = json!({"value": "x"})),
            ("AuditEvent.recorded", |d| d["recorded"] = json!("2020-04-29")),
            ("AuditEvent.recorded", |d| drop(d.as_object_mut().expect("object").remove("recorded"))),
            ("AuditEvent.agent", |d| d["agent"] = json!({"requestor": true})),
            ("AuditEvent.agent", |d| d["agent"] = json!([])),
            ("AuditEvent.agent[0].requestor", |d| d["agent"][0]["requestor"] = json!("true")),
            ("AuditEvent.source.observer", |d| d["source"] = json!({"site": "x"})),
            ("AuditEvent.outcome", |d| d["outcome"] = json!("1")),
            ("AuditEvent.action", |d| d["action"] = json!("X")),
            ("AuditEvent.severity", |d| d["severity"] = json!("info")),
            ("AuditEvent.entity[0].query", |d| d["entity"][0]["query"] = json!("%%%")),
            ("AuditEvent.entity[0]", |d| d["entity"][0]["name"] = json!("both")),
            ("AuditEvent.entity[0].detail[0].value[x]", |d| d["entity"][0]["detail"][0]["valueString"] = json!("x")),
            ("AuditEvent.agent[0].modifierExtension", |d| {
                d["agent"][0]["modifierExtension"] = json!([{"url": "u", "valueCode": "x"}]);
            }),
            ("AuditEvent.agent[0].extension[0]", |d| {
                drop(d["agent"][0]["extension"][0].as_object_mut().expect("object").remove("valueString"))
            }),
            ("resourceType", |d| d["resourceType"] = json!("Patient")),
        ];
        for (path, edit) in cases {
            assert_eq!(path_of(edit), path);
        }
    }

    /// Any JSON, with FHIR's own words often enough to get deep.
    pub(crate) fn any_json() -> impl Strategy<Value = Value> {
        let words = [
            "resourceType",
            "AuditEvent",
            "agent",
            "type",
            "coding",
            "who",
            "extension",
            "url",
            "entity",
            "recorded",
            "2020-04-29T09:49:00.000Z",
            "_recorded",
            "valueString",
            "source",
            "observer",
            "requestor",
        ];
        let word = proptest::sample::select(words.to_vec()).prop_map(str::to_owned);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            word.clone().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 64, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(word.clone(), inner, 0..6)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_is_answered(mut document in any_json()) {
            let _ = check(&document);
            for name in ["AuditEvent", "Consent"] {
                if let Value::Object(object) = &mut document {
                    object.insert("resourceType".into(), json!(name));
                    let _ = check(&document);
                }
            }
        }
    }
}
