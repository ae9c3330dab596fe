//! From an audit message to an AuditEvent of FHIR R4.
//!
//! | audit message | AuditEvent |
//! | --- | --- |
//! | `EventID`, `EventTypeCode` | `type`, `subtype` |
//! | `EventActionCode`, `EventOutcomeIndicator`, `EventOutcomeDescription`, `PurposeOfUse` | `action`, `outcome`, `outcomeDesc`, `purposeOfEvent` |
//! | `EventDateTime` | `period.start`: when it happened, as its author says. Never replaced by another time |
//! | time of the syslog header | `recorded`; without one, `EventDateTime` |
//! | `ActiveParticipant` | `agent`: `UserID` in `who.identifier`, `AlternativeUserID` (else `UserID`) in `altId` |
//! | `AuditSourceIdentification` | `source` |
//! | `ParticipantObjectIdentification` | `entity` |
//!
//! DICOM writes `csd-code` and `originalText`, RFC 3881 `code` and `displayName`; senders mix them, so all are read.
//!
//! **Whose.** An access must never end in nobody's trace. A patient is an object of the role Patient (1), and one whose identifier
//! is of a type that only patients have (medical record number, patient number). It becomes a reference of the type Patient, so
//! the import refuses the event where no INS is known for it. A message that speaks of a patient and has no such object is refused
//! here ([`speaks_of_patient`]).

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use sillage_fhir::xml::tree::Element;
use sillage_rules::ident::spelling::{STRUCTURES, organisation_of};

use crate::identifiers::{self, Named};

/// Facts that an operator says of a sender, because its messages don't.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The system of a `UserID` that names none: the directory of the sender's accounts, with which the party is registered.
    pub user_system: Option<String>,
    /// The structure for which senders act: its FINESS, or another id as the party was registered with it. Audit messages name
    /// none, and a professional acts for one.
    pub organisation: Option<String>,
    /// The zone of an `EventDateTime` that names none. Without it, such a message is refused.
    pub zone: Option<TimeZone>,
}

/// Why a message isn't taken: its part, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct Unread {
    /// The part, as `AuditMessage.EventIdentification.EventDateTime`.
    pub path: String,
    /// One sentence, without anything that the message says.
    pub reason: String,
}

impl Unread {
    pub(crate) fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into() }
    }
}

/// Maps a message; `sent` is the time of its syslog header.
///
/// # Errors
/// When a part that FHIR asks for is missing or isn't understood, or it speaks of a patient whom no object names.
pub fn map(message: &Element<'_>, sent: Option<&str>, settings: &Settings) -> Result<Value, Unread> {
    let missing = |name: &str| Unread::new(format!("AuditMessage.{name}"), "it is missing");
    let event = message.named("EventIdentification").next().ok_or_else(|| missing("EventIdentification"))?;
    let source =
        message.named("AuditSourceIdentification").next().ok_or_else(|| missing("AuditSourceIdentification"))?;
    let at = "AuditMessage.EventIdentification";
    let kind = event.named("EventID").next().and_then(coding);
    let kind = kind.ok_or_else(|| Unread::new(format!("{at}.EventID"), "it is missing, or has no code"))?;
    let happened = moment(attribute(event, "EventDateTime").unwrap_or_default(), settings.zone.as_ref())
        .ok_or_else(|| Unread::new(format!("{at}.EventDateTime"), TIME))?;
    let sent = sent.and_then(|sent| moment(sent, None));
    let mut out = Map::new();
    out.insert("resourceType".into(), "AuditEvent".into());
    out.insert("type".into(), kind.clone());
    put_list(&mut out, "subtype", event.named("EventTypeCode").filter_map(coding).collect());
    match attribute(event, "EventActionCode") {
        None => {}
        Some(code) if matches!(code, "C" | "R" | "U" | "D" | "E") => put(&mut out, "action", code.into()),
        Some(_) => return Err(Unread::new(format!("{at}.EventActionCode"), "expected C, R, U, D or E")),
    }
    put(&mut out, "period", json!({ "start": happened }));
    put(&mut out, "recorded", sent.unwrap_or(happened).into());
    match attribute(event, "EventOutcomeIndicator") {
        None => {}
        Some(code) if matches!(code, "0" | "4" | "8" | "12") => put(&mut out, "outcome", code.into()),
        Some(_) => return Err(Unread::new(format!("{at}.EventOutcomeIndicator"), "expected 0, 4, 8 or 12")),
    }
    if let Some(text) = event.named("EventOutcomeDescription").find_map(text_in) {
        put(&mut out, "outcomeDesc", text.into());
    }
    let purposes = event.named("PurposeOfUse").filter_map(coding).map(|coding| json!({ "coding": [coding] }));
    put_list(&mut out, "purposeOfEvent", purposes.collect());
    let agents: Vec<Value> = message.named("ActiveParticipant").map(|agent| participant(agent, settings)).collect();
    if agents.is_empty() {
        return Err(missing("ActiveParticipant"));
    }
    put_list(&mut out, "agent", agents);
    put(&mut out, "source", source_of(source));
    let mut entities = Vec::new();
    let mut has_patient = false;
    for (i, object) in message.named("ParticipantObjectIdentification").enumerate() {
        let path = format!("AuditMessage.ParticipantObjectIdentification[{i}]");
        let is_patient = is_patient(object);
        has_patient |= is_patient;
        entities.push(entity(object, is_patient, &path)?);
    }
    if !has_patient && let Some(path) = speaks_of_patient(&kind, message) {
        return Err(Unread::new(path, UNNAMED));
    }
    put_list(&mut out, "entity", entities);
    Ok(Value::Object(out))
}

const TIME: &str = "expected a time with its zone, as 2026-03-02T09:00:00+01:00; where a sender writes none, say its zone in the configuration";
const UNNAMED: &str = "it speaks of a patient, and no ParticipantObjectIdentification names them (ParticipantObjectTypeCode 1, \
                       ParticipantObjectTypeCodeRole 1, ParticipantObjectID with the INS): an access would end in nobody's trace";

/// A time as FHIR writes an instant, with the text of its author where that is one.
fn moment<'a>(said: &'a str, zone: Option<&TimeZone>) -> Option<std::borrow::Cow<'a, str>> {
    let said = said.trim();
    let is_shaped = said.len() >= 20 && said.as_bytes()[10] == b'T' && said.is_ascii();
    if is_shaped
        && said.parse::<Timestamp>().is_ok()
        && (said.ends_with('Z') || said.as_bytes()[said.len() - 3] == b':')
    {
        return Some(said.into());
    }
    let local: DateTime = said.parse().ok().filter(|_| said.len() >= 19 && said.as_bytes().get(10) == Some(&b'T'))?;
    // A zone that is written in another way is none that can be trusted.
    if said.bytes().skip(19).any(|b| !b.is_ascii_digit() && b != b'.') {
        return None;
    }
    let time = zone?.to_ambiguous_timestamp(local).unambiguous().ok()?;
    Some(time.to_string().into())
}

/// How many objects of a message are patients.
pub(super) fn patients(message: &Element<'_>) -> usize {
    message.named("ParticipantObjectIdentification").filter(|object| is_patient(object)).count()
}

/// Types of identifiers that only a patient has: medical record number, patient number (RFC 3881).
const PATIENT_ID_TYPES: [&str; 2] = ["1", "2"];

/// Whether an object is a patient, by its role or by the type of its identifier.
fn is_patient(object: &Element<'_>) -> bool {
    let role = attribute(object, "ParticipantObjectTypeCodeRole");
    let of_type = object.named("ParticipantObjectIDTypeCode").any(|code| {
        let system = attribute(code, "codeSystemName").unwrap_or_default();
        let is_rfc = system.is_empty() || system.to_ascii_uppercase().replace([' ', '-'], "").contains("RFC3881");
        is_rfc && code_of(code).is_some_and(|code| PATIENT_ID_TYPES.contains(&code))
    });
    role == Some("1") || of_type
}

/// Events of DICOM that are about somebody's data: transfers, accesses, deletions, exports and imports of instances and
/// studies, orders, patient and procedure records.
const ABOUT_PATIENTS: [&str; 9] =
    ["110102", "110103", "110104", "110105", "110106", "110107", "110109", "110110", "110111"];
/// Words of a query for a patient, small: those of XDS, PIX, PDQ and FHIR, of HL7 v2 and of DICOM.
const ASKS_FOR_PATIENTS: [&str; 10] =
    ["patient", "livingsubject", "@pid", "pid|", "qpd|", "|pid", "0010,00", "00100010", "00100020", "&iso"];

/// The part of a message without a patient that speaks of one; none where it speaks of none.
fn speaks_of_patient(kind: &Value, message: &Element<'_>) -> Option<String> {
    let code = kind["code"].as_str().unwrap_or_default();
    if ABOUT_PATIENTS.contains(&code) {
        return Some("AuditMessage.EventIdentification.EventID".to_owned());
    }
    for (i, object) in message.named("ParticipantObjectIdentification").enumerate() {
        let path = format!("AuditMessage.ParticipantObjectIdentification[{i}]");
        let id = attribute(object, "ParticipantObjectID").unwrap_or_default();
        let is_user = attribute(object, "ParticipantObjectTypeCodeRole").is_some_and(|role| role != "1");
        if attribute(object, "ParticipantObjectTypeCode") == Some("1") && !is_user || is_of_patient(id) {
            return Some(format!("{path}.ParticipantObjectID"));
        }
        let queries =
            object.named("ParticipantObjectQuery").filter_map(text_in).map(|said| (said, "ParticipantObjectQuery"));
        let details = object.named("ParticipantObjectDetail");
        let details =
            details.filter_map(|detail| Some((attribute(detail, "value")?.to_owned(), "ParticipantObjectDetail")));
        for (said, part) in queries.chain(details) {
            // What can't be decoded may say anything.
            let Some(decoded) = decoded(&said) else { return Some(format!("{path}.{part}")) };
            let decoded = String::from_utf8_lossy(&decoded).to_ascii_lowercase();
            if ASKS_FOR_PATIENTS.iter().any(|word| decoded.contains(word)) {
                return Some(format!("{path}.{part}"));
            }
        }
    }
    None
}

/// Whether an identifier is one of a patient: of an INS system, or a reference to a Patient.
fn is_of_patient(id: &str) -> bool {
    id.contains("1.2.250.1.213.1.4.") || id.split(['/', '?']).any(|part| part == "Patient")
}

fn participant(agent: &Element<'_>, settings: &Settings) -> Value {
    let user = attribute(agent, "UserID").unwrap_or_default();
    let mut out = Map::new();
    let roles: Vec<Value> = agent.named("RoleIDCode").filter_map(coding).collect();
    // DICOM's parts in an event (110150 to 110155) say how one took part; anything else what one is.
    let is_part = |role: &Value| {
        matches!(role["code"].as_str(), Some("110150" | "110151" | "110152" | "110153" | "110154" | "110155"))
    };
    if let Some(part) = roles.iter().find(|role| is_part(role)) {
        put(&mut out, "type", json!({ "coding": [part] }));
    }
    let others = roles.iter().filter(|role| !is_part(role)).map(|role| json!({ "coding": [role] }));
    put_list(&mut out, "role", others.collect());
    let mut named = identifiers::parse(user);
    if let Named::Identifier { system, .. } = &mut named
        && system.is_empty()
        && let Some(own) = &settings.user_system
        && attribute(agent, "UserIsRequestor") != Some("false")
    {
        system.clone_from(own);
    }
    if !user.is_empty() {
        let mut who = named.reference(None);
        if let Some(structure) = &settings.organisation
            && who["identifier"].is_object()
            && attribute(agent, "UserIsRequestor") != Some("false")
        {
            who["identifier"]["assigner"] = match organisation_of(STRUCTURES, structure) {
                Ok(finess) => json!({ "identifier": { "system": STRUCTURES, "value": finess } }),
                Err(_) => json!({ "display": structure }),
            };
        }
        put(&mut out, "who", who);
    }
    let alternative = attribute(agent, "AlternativeUserID").or(Some(user).filter(|user| !user.is_empty()));
    if let Some(alternative) = alternative {
        put(&mut out, "altId", alternative.into());
    }
    if let Some(name) = attribute(agent, "UserName") {
        put(&mut out, "name", name.into());
    }
    // Both schemas: true unless it says otherwise.
    put(&mut out, "requestor", (attribute(agent, "UserIsRequestor") != Some("false")).into());
    if let Some(media) = agent.named("MediaIdentifier").flat_map(|media| media.named("MediaType")).find_map(coding) {
        put(&mut out, "media", media);
    }
    if let Some(address) = attribute(agent, "NetworkAccessPointID") {
        let mut network = json!({ "address": address });
        if let Some(code @ ("1" | "2" | "3" | "4" | "5")) = attribute(agent, "NetworkAccessPointTypeCode") {
            network["type"] = code.into();
        }
        put(&mut out, "network", network);
    }
    Value::Object(out)
}

fn source_of(source: &Element<'_>) -> Value {
    let mut out = Map::new();
    if let Some(site) = attribute(source, "AuditEnterpriseSiteID") {
        put(&mut out, "site", site.into());
    }
    let id = attribute(source, "AuditSourceID").unwrap_or("unknown");
    put(&mut out, "observer", json!({ "identifier": { "value": id }, "display": id }));
    let codes = source.named("AuditSourceTypeCode").chain(std::iter::once(source)).filter_map(|code| {
        let code = attribute(code, "csd-code").or_else(|| attribute(code, "code"))?;
        let is_known = matches!(code.as_bytes(), [b'1'..=b'9']);
        is_known
            .then(|| json!({ "system": "http://terminology.hl7.org/CodeSystem/security-source-type", "code": code }))
    });
    put_list(&mut out, "type", codes.collect());
    Value::Object(out)
}

fn entity(object: &Element<'_>, is_patient: bool, path: &str) -> Result<Value, Unread> {
    let mut out = Map::new();
    let id = attribute(object, "ParticipantObjectID");
    match id {
        Some(id) => put(&mut out, "what", identifiers::parse(id).reference(is_patient.then_some("Patient"))),
        None if is_patient => {
            return Err(Unread::new(format!("{path}.ParticipantObjectID"), "a patient without an identifier"));
        }
        None => {}
    }
    for (name, attribute_name, system, max) in [
        ("type", "ParticipantObjectTypeCode", "http://terminology.hl7.org/CodeSystem/audit-entity-type", 4),
        ("role", "ParticipantObjectTypeCodeRole", "http://terminology.hl7.org/CodeSystem/object-role", 24),
        (
            "lifecycle",
            "ParticipantObjectDataLifeCycle",
            "http://terminology.hl7.org/CodeSystem/dicom-audit-lifecycle",
            15,
        ),
    ] {
        let Some(code) = attribute(object, attribute_name) else { continue };
        let number = code.parse::<u8>().ok().filter(|number| (1..=max).contains(number));
        let number =
            number.ok_or_else(|| Unread::new(format!("{path}.{attribute_name}"), "a code that isn't known"))?;
        put(&mut out, name, json!({ "system": system, "code": number.to_string() }));
    }
    if let Some(label) = attribute(object, "ParticipantObjectSensitivity") {
        put(&mut out, "securityLabel", json!([{ "display": label }]));
    }
    let name = object.named("ParticipantObjectName").find_map(text_in);
    let query = object.named("ParticipantObjectQuery").find_map(text_in);
    if let Some(description) = object.named("ParticipantObjectDescription").find_map(text_in) {
        put(&mut out, "description", description.into());
    }
    match (query, name) {
        (Some(query), name) => {
            let dense: String = query.split_ascii_whitespace().collect();
            if decoded(&dense).is_none() {
                return Err(Unread::new(format!("{path}.ParticipantObjectQuery"), "expected base64"));
            }
            put(&mut out, "query", dense.into());
            // FHIR has either a name or a query (sev-1).
            if let Some(name) = name {
                out.entry("description").or_insert(name.into());
            }
        }
        (None, Some(name)) => put(&mut out, "name", name.into()),
        (None, None) => {}
    }
    let mut details = Vec::new();
    for (i, detail) in object.named("ParticipantObjectDetail").enumerate() {
        let (Some(kind), Some(value)) = (attribute(detail, "type"), attribute(detail, "value")) else { continue };
        let value: String = value.split_ascii_whitespace().collect();
        if decoded(&value).is_none() {
            return Err(Unread::new(format!("{path}.ParticipantObjectDetail[{i}]"), "expected base64"));
        }
        details.push(json!({ "type": kind, "valueBase64Binary": value }));
    }
    if let Some(code) = object.named("ParticipantObjectIDTypeCode").find_map(code_of) {
        details.push(json!({ "type": "ParticipantObjectIDTypeCode", "valueString": code }));
    }
    let described = object.named("ParticipantObjectDescription").flat_map(|description| &description.children);
    for part in described.chain(object.children.iter().filter(|child| child.name != "ParticipantObjectDetail")) {
        let uid = attribute(part, "UID").or_else(|| attribute(part, "Number"));
        if let Some(uid) = uid {
            let count = attribute(part, "NumberOfInstances").map(|count| format!(" ({count})")).unwrap_or_default();
            details.push(json!({ "type": part.name, "valueString": format!("{uid}{count}") }));
        }
    }
    put_list(&mut out, "detail", details);
    if out.is_empty() {
        return Err(Unread::new(path, "an object of which nothing is said"));
    }
    Ok(Value::Object(out))
}

/// A code with its system and what people read for it.
fn coding(element: &Element<'_>) -> Option<Value> {
    let code = code_of(element)?;
    let mut out = Map::new();
    let named = attribute(element, "codeSystemName").or_else(|| attribute(element, "codeSystem"));
    if let Some(system) = named.map(system_of) {
        put(&mut out, "system", system.into());
    }
    put(&mut out, "code", code.split_ascii_whitespace().collect::<Vec<_>>().join(" ").into());
    // Senders write one of the two in the place of the other.
    if let Some(display) = ["displayName", "originalText"].into_iter().find_map(|name| attribute(element, name)) {
        put(&mut out, "display", display.into());
    }
    Some(Value::Object(out))
}

fn code_of<'a>(element: &'a Element<'_>) -> Option<&'a str> {
    attribute(element, "csd-code").or_else(|| attribute(element, "code"))
}

/// The URI of a code system, which audit messages name in words.
fn system_of(name: &str) -> String {
    let dense = name.to_ascii_uppercase().replace([' ', '-', '_'], "");
    match dense.as_str() {
        "DCM" => "http://dicom.nema.org/resources/ontology/DCM".to_owned(),
        "IHETRANSACTIONS" => "urn:ihe:event-type-code".to_owned(),
        "RFC3881" => "urn:ietf:rfc:3881".to_owned(),
        _ if is_oid(name) => format!("urn:oid:{name}"),
        _ if name.contains(':') && !name.contains(char::is_whitespace) => name.to_owned(),
        _ => {
            let word: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
            format!("urn:sillage:fhir:code-system:{word}")
        }
    }
}

fn is_oid(text: &str) -> bool {
    text.contains('.') && text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// An attribute that says something: senders write empty ones, and the word of their language for none.
fn attribute<'a>(element: &'a Element<'_>, name: &str) -> Option<&'a str> {
    element.attribute(name).map(str::trim).filter(|value| !matches!(*value, "" | "null" | "undefined"))
}

fn text_in(element: &Element<'_>) -> Option<String> {
    let text = element.text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn decoded(said: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let dense: String = said.split_ascii_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(dense).ok()
}

fn put(out: &mut Map<String, Value>, name: &str, value: Value) {
    out.insert(name.to_owned(), value);
}

fn put_list(out: &mut Map<String, Value>, name: &str, values: Vec<Value>) {
    if !values.is_empty() {
        put(out, name, Value::Array(values));
    }
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
