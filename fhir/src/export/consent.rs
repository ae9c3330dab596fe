//! A directive as a Consent.
//!
//! An exception counts only where its directive matches; in FHIR an inner provision may reach beyond its outer one. So
//! every inner provision says that it doesn't, as `modifierExtension`, and what FHIR has no word for stands in extensions beside the word that
//! says it most nearly. `sillage import --fhir` reads both.

use serde_json::{Value, json};
use sillage_proof::hash::LeafIndex;
use sillage_proto::v1;
use sillage_rules::consent::directive::Collected;
use sillage_rules::consent::state::DirectiveEntry;
use sillage_rules::consent::{Action, Effect, Grantee, Provision};
use sillage_rules::time::TimeMs;

use super::audit_event::{authentication, of_software};
use super::history::History;
use super::{Trace, coding, concept, extension, extension_of, names, object, part, profiles};
use crate::import::consent::codes::{self, label_system, purpose_coding};
use crate::import::consent::{ACTIONS_ASSUMED, SYSTEM_DIRECTIVE, SYSTEM_LOG};

/// The base policy of every directive: the decision procedure of `docs/consent.md`.
const POLICY: &str = "https://sillage.example/fhir/policy/decision-procedure";
/// System of the identifiers that name the entry of a directive.
const SYSTEM_ENTRY: &str = "urn:sillage:entry";

/// A reference to the Consent of the directive that stands at `index`.
pub(super) fn reference(index: u64) -> String {
    format!("Consent/{}", id_of(index))
}

fn id_of(index: u64) -> String {
    format!("d{index}")
}

/// The Consent of a directive; none where it ended before it began. `is_there`: whether an earlier directive with this id is
/// exported too.
pub fn consent(history: &History<'_>, trace: &Trace, is_there: &dyn Fn(&str) -> bool) -> Option<Value> {
    let (entry, message) = (history.entry, history.record.message());
    let directive = &entry.directive;
    // Revoked or superseded: until then it was in force, and a reader who knows no more must see that.
    let ended = entry.ended_by.map(|by| (by, entry.period.until));
    if never_held(entry) {
        return None;
    }
    let mut extensions = vec![entry_extension(entry.stamp.index, entry.stamp.time.get(), history.secret)];
    if let Some((by, _)) = ended {
        extensions.push(extension_of("ended", vec![part("index", "String", by.get().to_string())]));
    }
    // What it replaced and isn't here (it never held, or is forgotten) can't be replaced elsewhere.
    if let Some(before) = directive.supersedes.as_ref().filter(|before| is_there(before)) {
        extensions.push(extension("supersedes", "String", before.clone()));
    }
    extensions.extend(directive.collected.as_ref().map(collected));
    extensions.extend(message.auth.as_ref().and_then(authentication));
    let until = ended.map_or(directive.provision.until, |(_, until)| Some(TimeMs(until.get())));
    let outer = Provision { until, ..directive.provision.clone() };
    let mut provision = provision(&outer, Some(entry.period.from.get()), trace);
    if !directive.except.is_empty() {
        let inner = directive.except.iter().map(|except| self::provision(except, None, trace));
        provision["provision"] = inner.collect();
    }
    let mut consent = frame(Frame {
        id: id_of(entry.stamp.index.get()),
        extensions,
        modifiers: Vec::new(),
        identifier: (SYSTEM_DIRECTIVE, directive.id.clone()),
        // What ends later is in force until then.
        is_active: ended.is_none_or(|(_, until)| trace.read_at_ms < until.get()),
        given_ms: message.occurred_at_ms,
        signer: &signer(message),
        index: entry.stamp.index,
        provision,
        trace,
    });
    let claimed = profiles::consent(&consent);
    if !claimed.is_empty() {
        consent["meta"] = json!({"profile": claimed});
    }
    Some(consent)
}

/// Tells whether a directive ended before it began.
pub(super) fn never_held(entry: &DirectiveEntry) -> bool {
    entry.ended_by.is_some() && entry.period.until <= entry.period.from
}

/// The parts that the Consents of an export have in common, and those that each has of its own.
pub(super) struct Frame<'a> {
    pub id: String,
    pub extensions: Vec<Value>,
    pub modifiers: Vec<Value>,
    pub identifier: (&'static str, String),
    pub is_active: bool,
    pub given_ms: u64,
    pub signer: &'a v1::Actor,
    /// The record that it is of.
    pub index: LeafIndex,
    pub provision: Value,
    pub trace: &'a Trace,
}

pub(super) fn frame(frame: Frame<'_>) -> Value {
    let trace = frame.trace;
    let (system, value) = frame.identifier;
    object(vec![
        ("resourceType", json!("Consent")),
        ("id", json!(frame.id)),
        ("extension", json!(frame.extensions)),
        ("modifierExtension", json!(frame.modifiers)),
        ("identifier", json!([{"system": system, "value": value}])),
        ("status", json!(if frame.is_active { "active" } else { "inactive" })),
        ("scope", concept(coding(codes::SCOPES, "patient-privacy", "Privacy Consent"))),
        ("category", json!([concept(coding("http://loinc.org", "59284-0", "Consent"))])),
        ("patient", trace.subject.reference()),
        ("dateTime", json!(TimeMs(frame.given_ms).to_string())),
        ("performer", json!([performer(frame.signer, trace)])),
        (
            "organization",
            json!([{"identifier": {"system": SYSTEM_LOG, "value": trace.origin}, "display": trace.origin}]),
        ),
        ("sourceReference", source(frame.index.get(), trace)),
        ("policy", json!([{"uri": POLICY}])),
        ("provision", frame.provision),
    ])
}

/// Where it is on record.
pub(super) fn entry_extension(index: LeafIndex, recorded_ms: u64, secret: bool) -> Value {
    let mut parts = vec![
        part("index", "String", index.get().to_string()),
        part("recorded", "DateTime", TimeMs(recorded_ms).to_string()),
    ];
    if secret {
        parts.push(part("kept-from-representatives", "Boolean", true));
    }
    extension_of("entry", parts)
}

/// The signer: the actor, else the software that acted on its own.
pub(super) fn signer(message: &v1::Record) -> v1::Actor {
    message.actor.clone().or_else(|| of_software(message)).unwrap_or_default()
}

/// The signer, written so that an importer finds the same name.
fn performer(actor: &v1::Actor, trace: &Trace) -> Value {
    let reference = names::actor(actor, &trace.subject);
    let target = reference["reference"].as_str();
    if actor.id.is_empty()
        || reference.get("identifier").is_some()
        || target.is_some_and(|target| !target.starts_with('#'))
    {
        return reference;
    }
    object(vec![
        ("identifier", object(vec![("system", json!(actor.system)), ("value", json!(actor.id))])),
        ("display", json!(actor.label)),
    ])
}

/// The signed record.
fn source(index: u64, trace: &Trace) -> Value {
    let system = format!("{SYSTEM_ENTRY}:{}", trace.origin);
    json!({"identifier": {"system": system, "value": index.to_string()}, "display": "record in the ledger"})
}

fn collected(collected: &Collected) -> Value {
    extension_of(
        "collected",
        vec![
            part("collector", "String", collected.collector.to_string()),
            part("capacity", "String", collected.capacity.clone()),
            part("method", "String", collected.method.clone()),
            part("evidence-sha256", "String", collected.evidence_sha256.to_string()),
        ],
    )
}

/// One provision. `from_ms`: of the outer one, since when it holds.
fn provision(said: &Provision, from_ms: Option<u64>, trace: &Trace) -> Value {
    let mut extensions = Vec::new();
    let mut left_out = |name: &str| extensions.push(extension("left-out", "Code", name));
    let is_outer = from_ms.is_some();
    let permits = said.effect == Effect::Permit;
    let start = said.from.map(|from| from.0).or_else(|| from_ms.inspect(|_| left_out("period.start")));
    let purposes = match (&said.purposes, &said.grantee) {
        (Some(purposes), _) => purposes.clone(),
        (None, Some(grantee)) if permits && is_outer => {
            left_out("purpose");
            vec![grantee.default_purpose().to_owned()]
        }
        (None, _) => Vec::new(),
    };
    // IHE PCF has no actions: without any, a permit is to read and to search.
    let actions = match &said.actions {
        Some(actions) if permits && is_outer && *actions == ACTIONS_ASSUMED => Vec::new(),
        Some(actions) => actions.iter().map(|action| self::action(*action)).collect(),
        None => Vec::new(),
    };
    if said.grantee.is_none() && is_outer {
        left_out("actor");
    }
    if said.grantee == Some(Grantee::Anyone) {
        extensions.push(extension("anyone", "Boolean", true));
    }
    // Who doesn't know it may not act on the exception: in FHIR it would reach beyond its outer provision.
    let modifiers = if is_outer { Value::Null } else { json!([extension("counts-inside-only", "Boolean", true)]) };
    let actors = match &said.grantee {
        Some(grantee @ Grantee::Keys(_)) => json!([actor(grantee, trace)]),
        _ => Value::Null,
    };
    let coded = |values: &Option<Vec<String>>, one: fn(&str) -> Value| {
        values.iter().flatten().map(|value| one(value)).collect::<Value>()
    };
    let end = said.until.map(last_ms_before);
    object(vec![
        ("extension", json!(extensions)),
        ("modifierExtension", modifiers),
        ("type", json!(said.effect.as_str())),
        ("period", object(vec![("start", json!(start.map(|ms| TimeMs(ms).to_string()))), ("end", json!(end))])),
        ("actor", actors),
        ("action", json!(actions)),
        ("securityLabel", coded(&said.labels, |label| coding(label_system(label), label, ""))),
        ("purpose", purposes.iter().map(|purpose| purpose_coding(purpose)).collect()),
        ("class", coded(&said.categories, |category| coding(codes::category_system(category), category, ""))),
        ("data", coded(&said.items, |item| json!({"meaning": "instance", "reference": names::item(item)}))),
    ])
}

/// The end of a period: included, and exactly one millisecond wide.
pub(super) fn last_ms_before(until: TimeMs) -> String {
    let text = TimeMs(until.0.saturating_sub(1)).to_string();
    if text.contains('.') { text } else { text.replace('Z', ".000Z") }
}

pub(super) fn action(action: Action) -> Value {
    let mut codings = vec![coding(codes::OUR_ACTIONS, action.as_str(), "")];
    codings.extend(codes::nearest_action(action).map(|code| coding(codes::ACTIONS, code, "")));
    json!({"coding": codings})
}

fn actor(grantee: &Grantee, trace: &Trace) -> Value {
    let keys: Value = serde_json::to_value(grantee).unwrap_or_default();
    let parts = keys.as_object().into_iter().flatten();
    let parts = parts.map(|(name, value)| part(name, "String", value.clone())).collect();
    let mut entry = actor_entry(names::grantee(grantee, &trace.subject));
    entry["extension"] = json!([extension_of("grantee", parts)]);
    entry
}

/// Someone who is permitted or denied.
pub(super) fn actor_entry(reference: Value) -> Value {
    json!({"role": concept(coding(codes::PARTS, "IRCP", "information recipient")), "reference": reference})
}
