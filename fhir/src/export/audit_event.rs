//! One line of a trace as an AuditEvent.
//!
//! | element | what |
//! | --- | --- |
//! | `type`, `subtype`, `action` | the kind ([`super::shape`]); the last subtype is the kind itself, in our own code system |
//! | `period.start` | when it happened, by its author's clock |
//! | `recorded` | when the ledger took it |
//! | `outcome`, `outcomeDesc` | as on record; absent where the record doesn't say |
//! | `purposeOfEvent`, `agent.purposeOfUse` | the purpose |
//! | `agent` | the participants on record; who acted; the machine, the server and the structure as far as they are known |
//! | `source` | the system that observed it, else the service that signed it |
//! | `entity` | the items, the patient, the query, request ids, the consent that it relied on |
//! | extensions | place in the log and flags; the right that it relied on; where a glass was broken; everything else |
//!
//! Where FHIR's elements say less than the record, extensions say the rest: an access that was exported and imported
//! elsewhere is the same there. A request that was granted or refused (`details.authorisation`) is no reading, and has the codes of
//! a decision.

use base64::Engine as _;
use serde_json::{Value, json};
use sillage_proto::v1;
use sillage_rules::consent::name::SOFTWARE_SYSTEM;
use sillage_rules::kind::Kind;
use sillage_rules::time::TimeMs;

use super::shape::{PARTICIPATION, ROLE_CLASS, Roles, Shape, asked, part_of, roles, shape};
use super::{
    Access, Directives, Line, Trace, coding, concept, decision, extension, extension_of, names, object, part, profiles,
};
use crate::import::audit_event::is_foreign;
use crate::import::consent::codes::{label_system, purpose_coding};
use crate::import::is_code;

/// The longest query that a record holds in full: a longer one was cut, and is none any more.
const QUERY_CHARS_MAX: usize = 2_000;

/// The AuditEvent of a line, or of all parts of a large access.
pub fn audit_event(access: &Access<'_>, trace: &Trace, directives: &Directives<'_>) -> Value {
    let line = access.line;
    let mut event = match (&access.record, &line.decision) {
        (Some(record), _) => of_record(access, record, trace),
        (None, Some(decided)) => decision::of_decision(line, decided, trace, directives),
        (None, None) => of_what_is_gone(line, trace),
    };
    let claimed = profiles::audit_event(&event);
    if !claimed.is_empty() {
        event["meta"] = json!({"profile": claimed});
    }
    event
}

/// The name of the resource of a line, within a log.
pub(super) fn id_of(index: u64) -> String {
    format!("e{index}")
}

/// The elements with which every event begins.
pub(super) fn begin(line: &Line, trace: &Trace, extensions: Vec<Value>, shape: Shape) -> Vec<(&'static str, Value)> {
    begin_with(line, &[], trace, extensions, shape)
}

/// The same of an event that several records say: `places` of all of them.
fn begin_with(
    line: &Line,
    places: &[u64],
    trace: &Trace,
    extensions: Vec<Value>,
    shape: Shape,
) -> Vec<(&'static str, Value)> {
    let Shape { r#type, subtype, action } = shape;
    let flags = line.flags.names().map(|flag| part("flag", "Code", flag));
    let mut parts = vec![part("index", "String", line.index.to_string()), part("log", "String", trace.origin.clone())];
    if !line.author.is_empty() {
        parts.push(part("author", "String", line.author.clone()));
    }
    parts.extend(flags);
    parts.extend(places.iter().map(|place| part("part", "String", place.to_string())));
    if let Some(act) = line.voided_by {
        parts.push(part("voided-by", "String", act.to_string()));
    }
    if line.secret {
        parts.push(part("kept-from-representatives", "Boolean", true));
    }
    let mut all = vec![extension_of("entry", parts)];
    all.extend(extensions);
    vec![
        ("resourceType", json!("AuditEvent")),
        ("id", json!(id_of(line.index))),
        ("extension", json!(all)),
        ("type", r#type),
        ("subtype", json!(subtype)),
        ("action", json!(action)),
        ("recorded", json!(TimeMs(line.recorded_at_ms).to_string())),
    ]
}

/// The entity that is the patient.
pub(super) fn patient_entity(trace: &Trace) -> Value {
    json!({
        "what": trace.subject.reference(),
        "type": coding("http://terminology.hl7.org/CodeSystem/audit-entity-type", "1", "Person"),
        "role": coding("http://terminology.hl7.org/CodeSystem/object-role", "1", "Patient"),
    })
}

fn of_record(access: &Access<'_>, record: &v1::Record, trace: &Trace) -> Value {
    let (line, message) = (access.line, &whole(access, record));
    let details: Value = serde_json::from_str(&message.details).unwrap_or_default();
    let codes = match details["authorisation"].as_str() {
        Some(_) => asked(line.kind, message.basis.as_ref().is_some_and(|basis| basis.kind() == v1::BasisKind::Consent)),
        None => shape(line.kind, false),
    };
    let extensions = extensions(message, &details, line.kind, &trace.origin);
    let mut event = begin_with(line, &access.parts, trace, extensions, codes);
    event.push(("period", json!({"start": TimeMs(message.occurred_at_ms).to_string()})));
    event.push(("outcome", json!(outcome(message.outcome()))));
    event.push(("outcomeDesc", json!(message.outcome_text)));
    event.push(("purposeOfEvent", purposes(message, &details)));
    event.push(("agent", json!(agents(line, message, trace))));
    event.push(("source", source(line, message)));
    event.push(("entity", json!(entities(message, &details, trace))));
    object(event)
}

/// The record of an access, of which this event is all: no part of it.
fn whole(access: &Access<'_>, record: &v1::Record) -> v1::Record {
    let details = serde_json::from_str(&record.details).ok().filter(|_| !access.parts.is_empty());
    let details = details.map(|mut details: serde_json::Map<String, Value>| {
        details.remove("part");
        Value::Object(details).to_string()
    });
    let details = details.unwrap_or_else(|| record.details.clone());
    v1::Record { details, ..record.clone() }
}

/// An event whose content was erased: that it happened stays.
fn of_what_is_gone(line: &Line, trace: &Trace) -> Value {
    let erased = line.erased.as_ref().map(|by| {
        let parts = vec![
            part("index", "String", by.index.to_string()),
            part("time", "DateTime", TimeMs(by.time_ms).to_string()),
            part("ground", "String", if by.ground.is_empty() { "unknown" } else { &by.ground }),
        ];
        extension_of("erased", parts)
    });
    let mut event = begin(line, trace, erased.into_iter().collect(), shape(line.kind, false));
    let author = if line.author.is_empty() { &trace.origin } else { &line.author };
    event.push(("agent", json!([{"who": {"display": author}, "requestor": false}])));
    event.push(("source", json!({"observer": {"display": author}})));
    event.push(("entity", json!([patient_entity(trace)])));
    object(event)
}

fn extensions(record: &v1::Record, details: &Value, kind: Kind, origin: &str) -> Vec<Value> {
    let mut out = Vec::new();
    if let Some(basis) = &record.basis {
        let mut parts = vec![part("kind", "Code", basis_code(basis.kind()))];
        if !basis.r#ref.is_empty() {
            parts.push(part("reference", "String", basis.r#ref.clone()));
            // An entry of this log, or a glass broken in it.
            let points_here = matches!(basis.kind(), v1::BasisKind::Decision | v1::BasisKind::Breakglass);
            if points_here && !is_foreign(&basis.r#ref) {
                parts.push(part("log", "String", origin));
            }
        }
        out.push(extension_of("legal-basis", parts));
    }
    if let Some(auth) = &record.auth {
        out.extend(authentication(auth));
    }
    if kind == Kind::BREAKGLASS_OPENED {
        out.extend(position(details));
    }
    if let Some(deferred) = &record.deferred {
        out.push(extension("deferred", "String", deferred.reason.clone()));
    }
    if let Some(automated) = &record.automated {
        let mut parts = vec![part("software", "String", automated.software.clone())];
        if !automated.version.is_empty() {
            parts.push(part("version", "String", automated.version.clone()));
        }
        out.push(extension_of("automated", parts));
    }
    if !record.details.is_empty() {
        out.push(extension("details", "String", record.details.clone()));
    }
    if let Some(place) = &record.place {
        let said = [
            ("site", &place.site),
            ("network-address", &place.network_address),
            ("device", &place.device),
            ("observer", &place.observer),
        ];
        out.extend(texts("place", &said));
    }
    let context = record.correlation.as_ref().map(|correlation| &correlation.launch_context);
    if let Some(context) = context.filter(|context| !context.is_empty()) {
        out.push(extension("launch-context", "String", context.clone()));
    }
    out
}

/// An extension of texts; none where nothing is said.
fn texts(name: &str, said: &[(&str, &String)]) -> Option<Value> {
    let said = said.iter().filter(|(_, text)| !text.trim().is_empty());
    let parts: Vec<Value> = said.map(|(name, text)| part(name, "String", (*text).clone())).collect();
    (!parts.is_empty()).then(|| extension_of(name, parts))
}

/// How who acted proved who they are; nothing where nothing is said.
pub(super) fn authentication(auth: &v1::Authentication) -> Option<Value> {
    let said = [("issuer", &auth.issuer), ("method", &auth.method), ("eidas-level", &auth.eidas_level)];
    texts("authentication", &said)
}

/// Where the glass was broken, or why that isn't known.
fn position(details: &Value) -> Option<Value> {
    if let Some(why) = details["no_position"].as_str() {
        return Some(extension("geolocation-absent", "Code", why));
    }
    let position = details.get("position")?;
    let number = |name: &str| position.get(name).filter(|value| value.is_number()).cloned();
    let mut parts: Vec<Value> = [("latitude", "lat"), ("longitude", "lon"), ("accuracy-m", "accuracy_m")]
        .into_iter()
        .filter_map(|(name, field)| Some(part(name, "Decimal", number(field)?)))
        .collect();
    parts.extend(position["source"].as_str().map(|source| part("source", "Code", source)));
    parts.extend(position["at"].as_str().map(|at| part("at", "DateTime", at)));
    (!parts.is_empty()).then(|| extension_of("geolocation", parts))
}

fn basis_code(kind: v1::BasisKind) -> &'static str {
    match kind {
        v1::BasisKind::None => "none",
        v1::BasisKind::Decision => "decision",
        v1::BasisKind::Breakglass => "breakglass",
        v1::BasisKind::CareTeam => "care-team",
        v1::BasisKind::Consent => "consent",
        v1::BasisKind::Self_ => "self",
        v1::BasisKind::Legal => "legal",
    }
}

fn outcome(outcome: v1::Outcome) -> &'static str {
    match outcome {
        v1::Outcome::Unspecified => "",
        v1::Outcome::Success => "0",
        v1::Outcome::MinorFailure => "4",
        v1::Outcome::SeriousFailure => "8",
        v1::Outcome::MajorFailure => "12",
    }
}

fn purposes(record: &v1::Record, details: &Value) -> Value {
    let more = details["purposes"].as_array().map_or(&[][..], Vec::as_slice).iter().filter_map(Value::as_str);
    // Without a first one, the further ones would be read as it.
    let more = more.filter(|purpose| !record.purpose.is_empty() && is_code(purpose));
    let all = std::iter::once(record.purpose.as_str()).chain(more).filter(|purpose| !purpose.is_empty());
    all.map(|purpose| concept(purpose_coding(purpose))).collect()
}

fn agents(line: &Line, record: &v1::Record, trace: &Trace) -> Vec<Value> {
    let Roles { client, server, user } = roles(line.kind);
    let mut out: Vec<Value> = record.agents.iter().map(|agent| participant(agent, trace)).collect();
    let has = |out: &[Value], role: &Value| {
        out.iter().any(|agent| {
            agent["type"]["coding"].as_array().is_some_and(|c| c.iter().any(|c| c["code"] == role["code"]))
        })
    };
    if let Some(actor) = &record.actor {
        let who = names::actor(actor, &trace.subject);
        let acted = match &record.automated {
            None => object(vec![
                ("type", if user.is_null() { Value::Null } else { concept(user) }),
                ("role", role(&actor.role)),
                ("who", who),
                ("name", json!(actor.label)),
                ("requestor", json!(true)),
                ("purposeOfUse", purpose_of_use(&record.purpose)),
            ]),
            // A software is no user.
            Some(_) => {
                let place = record.place.as_ref().map(|place| place.network_address.as_str()).unwrap_or_default();
                let r#type = if has(&out, &client) { Value::Null } else { concept(client.clone()) };
                let network = if r#type.is_null() { Value::Null } else { names::network(place) };
                object(vec![("type", r#type), ("who", who), ("requestor", json!(false)), ("network", network)])
            }
        };
        out.push(named(acted, actor));
    } else if let Some(software) = of_software(record) {
        // No actor is on record: none is said to be.
        out.push(json!({"who": names::actor(&software, &trace.subject), "requestor": false}));
    }
    if let Some(place) = &record.place {
        let machine = [&place.device, &place.network_address].into_iter().find(|text| !text.trim().is_empty());
        if let Some(machine) = machine.filter(|_| !has(&out, &client)) {
            let network = names::network(&place.network_address);
            let agent = vec![
                ("type", concept(client)),
                ("who", json!({"display": machine})),
                ("requestor", json!(false)),
                ("network", network),
            ];
            out.push(object(agent));
        }
        if !place.observer.is_empty() && !has(&out, &server) {
            out.push(json!({"type": concept(server), "who": {"display": place.observer}, "requestor": false}));
        }
    }
    let provider = coding(ROLE_CLASS, "PROV", "healthcare provider");
    let organisation = record.actor.as_ref().map(|actor| actor.organisation.as_str()).unwrap_or_default();
    if !organisation.is_empty() && !has(&out, &provider) {
        out.push(json!({"type": concept(provider), "who": names::organisation(organisation), "requestor": false}));
    }
    if out.is_empty() {
        // R4 asks for one: the service that signed it.
        let software = record.automated.as_ref().map_or(line.author.as_str(), |automated| &automated.software);
        out.push(
            json!({"who": {"display": if software.is_empty() { &trace.origin } else { software }}, "requestor": false}),
        );
    }
    out
}

/// The actor, part by part: their name, and the profession and the structure that rights rest on.
fn named(mut agent: Value, actor: &v1::Actor) -> Value {
    let said = [
        ("system", &actor.system),
        ("id", &actor.id),
        ("role", &actor.role),
        ("organisation", &actor.organisation),
        ("label", &actor.label),
    ];
    if let Some(extension) = texts("actor", &said) {
        agent["extension"] = json!([extension]);
    }
    agent
}

/// The software that acted on its own, where no actor is named, as the ledger names it.
pub(super) fn of_software(record: &v1::Record) -> Option<v1::Actor> {
    let id = record.automated.as_ref()?.software.trim().to_owned();
    (!id.is_empty()).then(|| v1::Actor { system: SOFTWARE_SYSTEM.to_owned(), id, ..v1::Actor::default() })
}

fn participant(agent: &v1::Agent, trace: &Trace) -> Value {
    let who = agent.who.as_ref();
    let nobody = v1::Actor::default();
    let named = who.unwrap_or(&nobody);
    let said = [
        ("type", &agent.r#type),
        ("system", &named.system),
        ("id", &named.id),
        ("role", &named.role),
        ("organisation", &named.organisation),
        ("label", &named.label),
        ("network-address", &agent.network_address),
    ];
    object(vec![
        ("extension", json!(texts("participant", &said).into_iter().collect::<Vec<_>>())),
        ("type", part_of(&agent.r#type)),
        (
            "role",
            who.map(|who| role(&who.role)).filter(|_| who.is_some_and(|w| w.role != agent.r#type)).unwrap_or_default(),
        ),
        ("who", who.map(|who| names::actor(who, &trace.subject)).unwrap_or_default()),
        ("requestor", json!(agent.requestor)),
        ("network", names::network(&agent.network_address)),
    ])
}

/// A profession or a role.
pub(super) fn role(role: &str) -> Value {
    match role {
        "" => Value::Null,
        "IRCP" | "AUT" | "INF" | "CST" => json!([concept(coding(PARTICIPATION, role, ""))]),
        role => json!([{"text": role}]),
    }
}

pub(super) fn purpose_of_use(purpose: &str) -> Value {
    if purpose.is_empty() { Value::Null } else { json!([concept(purpose_coding(purpose))]) }
}

fn source(line: &Line, record: &v1::Record) -> Value {
    let place = record.place.clone().unwrap_or_default();
    let observer =
        [place.observer, line.author.clone(), "unknown".to_owned()].into_iter().find(|name| !name.is_empty());
    object(vec![("site", json!(place.site)), ("observer", json!({"display": observer}))])
}

fn entities(record: &v1::Record, details: &Value, trace: &Trace) -> Vec<Value> {
    let object_type = || coding("http://terminology.hl7.org/CodeSystem/audit-entity-type", "2", "System Object");
    let object_role =
        |code: &str, display: &str| coding("http://terminology.hl7.org/CodeSystem/object-role", code, display);
    let mut out = vec![patient_entity(trace)];
    for item in &record.items {
        let mut extensions = Vec::new();
        if !item.category.is_empty() {
            extensions.push(extension("category", "String", item.category.clone()));
        }
        if !item.depositor.is_empty() {
            extensions.push(extension("depositor", "String", item.depositor.clone()));
        }
        // A word that is no code of FHIR, as it is: then all of them, in their order.
        if !item.labels.iter().all(|label| is_code(label)) {
            extensions.extend(item.labels.iter().map(|label| extension("label", "String", label.clone())));
        }
        let labels = item.labels.iter().filter(|label| is_code(label));
        let labels = labels.map(|label| coding(label_system(label), label, ""));
        let named = match (item.id.is_empty(), item.category.is_empty()) {
            (false, _) => names::item(&item.id),
            (true, false) => json!({"display": item.category}),
            (true, true) => json!({"display": item.label}),
        };
        out.push(object(vec![
            ("extension", json!(extensions)),
            ("what", named),
            ("type", object_type()),
            ("role", object_role("4", "Domain Resource")),
            ("securityLabel", json!(labels.collect::<Vec<_>>())),
            ("name", json!(item.label)),
        ]));
    }
    for query in details["queries"].as_array().map_or(&[][..], Vec::as_slice).iter().filter_map(Value::as_str) {
        if (1..QUERY_CHARS_MAX).contains(&query.chars().count()) {
            let query = base64::engine::general_purpose::STANDARD.encode(query);
            out.push(json!({"type": object_type(), "role": object_role("24", "Query"), "query": query}));
        }
    }
    for id in record.correlation.iter().flat_map(|correlation| &correlation.ids) {
        let system = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType";
        out.push(json!({"what": {"identifier": {"value": id}}, "type": coding(system, "XrequestId", "")}));
    }
    let consent =
        record.basis.as_ref().filter(|basis| basis.kind() == v1::BasisKind::Consent && !basis.r#ref.is_empty());
    if let Some(basis) = consent {
        out.push(consent_entity(names::item(&basis.r#ref)));
    }
    out
}

/// A consent that an event relied on.
pub(super) fn consent_entity(what: Value) -> Value {
    json!({"what": what, "type": coding("http://hl7.org/fhir/resource-types", "Consent", "Consent")})
}
