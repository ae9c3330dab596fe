//! A patient's trace as FHIR R4: every line as an AuditEvent, every directive and whatever else decides as a Consent, in one
//! Bundle.
//!
//! [`bundle`] is the way in. [`audit_event`] says what became of one line, [`decision`] of a decision, [`consent`] of a
//! directive, [`rule`] of what decides beside directives; [`shape`] has the codes of each kind of record, [`names`] who and what is referred to, [`profiles`] whether a
//! resource is what an IHE profile asks for: a profile is claimed where it is. `docs/fhir.md` has the tables.
//!
//! Whatever FHIR has no element for stands in extensions under [`crate::import::OURS`]. A Consent that was exported comes back
//! through `sillage import --fhir` as the same record ([`crate::import::consent`]): what was exported and imported elsewhere is
//! decided there as it was here.

pub mod audit_event;
pub mod consent;
pub mod decision;
mod history;
mod names;
pub mod profiles;
pub mod rule;
mod shape;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sillage_proto::v1;
use sillage_rules::decide::record::DecisionRecord;
use sillage_rules::entry::Flags;
use sillage_rules::kind::Kind;
use sillage_rules::parts;
use sillage_rules::record::ParsedRecord;
use sillage_rules::time::TimeMs;

pub use history::{Directives, History};

use crate::import::OURS;

/// The subject of the trace.
#[derive(Clone, PartialEq, Eq)]
pub struct Subject {
    /// The INS, 15 characters.
    pub ins: String,
    /// Its OID.
    pub oid: String,
}

impl Subject {
    /// A logical reference to the patient: no server is needed to know who is meant.
    pub(crate) fn reference(&self) -> Value {
        let system = format!("urn:oid:{}", self.oid);
        json!({"type": "Patient", "identifier": {"system": system, "value": self.ins}})
    }
}

/// One line of a trace.
#[derive(Debug, Clone)]
pub struct Line {
    /// Place in the log.
    pub index: u64,
    /// Ledger time, ms.
    pub recorded_at_ms: u64,
    /// Its flags.
    pub flags: Flags,
    /// Its content.
    pub kind: Kind,
    /// The record; none where its content was erased, or it is a decision.
    pub record: Option<ParsedRecord>,
    /// The decision, where the ledger made one.
    pub decision: Option<DecisionRecord>,
    /// The act that erased it.
    pub erased: Option<v1::Erasure>,
    /// The act that voided it: it counts for nothing.
    pub voided_by: Option<u64>,
    /// Name of the service that signed it.
    pub author: String,
    /// Kept from representatives.
    pub secret: bool,
}

/// A whole trace, oldest line first.
#[derive(Clone)]
pub struct Trace {
    /// The subject.
    pub subject: Subject,
    /// The log it is from.
    pub origin: String,
    /// When it was read, ms.
    pub read_at_ms: u64,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// An event of a trace: one line, or all parts of a large access.
#[derive(Debug, Clone)]
pub struct Access<'a> {
    /// The line that stands for all.
    pub line: &'a Line,
    /// Its content, with the items of all parts.
    pub record: Option<v1::Record>,
    /// Where all parts stand, where there are several.
    pub parts: Vec<u64>,
}

impl<'a> Access<'a> {
    /// A line alone.
    pub fn of(line: &'a Line) -> Self {
        let record = line.record.as_ref().map(|record| record.message().clone());
        Self { line, record, parts: Vec::new() }
    }
}

/// The events of a trace, oldest first: a large access is one, where all of its parts are there.
pub fn accesses(lines: &[Line]) -> Vec<Access<'_>> {
    let said: Vec<parts::Line<'_>> = lines.iter().map(said).collect();
    let mut out: Vec<(usize, Access<'_>)> = Vec::new();
    for group in parts::together(&said) {
        let first = said[group[0]].record.and_then(|record| parts::Part::of(&record.details));
        match first.filter(|part| part.parts == group.len() as u64 && group.len() > 1) {
            Some(_) => {
                let record = parts::whole(group.iter().filter_map(|at| said[*at].record));
                let places = group.iter().map(|at| lines[*at].index).collect();
                out.push((group[0], Access { line: &lines[group[0]], record, parts: places }));
            }
            None => out.extend(group.iter().map(|at| (*at, Access::of(&lines[*at])))),
        }
    }
    out.sort_by_key(|(at, _)| *at);
    out.into_iter().map(|(_, access)| access).collect()
}

fn said(line: &Line) -> parts::Line<'_> {
    let Line { index, recorded_at_ms, flags, author, voided_by, secret, .. } = line;
    let record = line.record.as_ref().map(ParsedRecord::message);
    let (index, time_ms) = (*index, *recorded_at_ms);
    parts::Line { index, time_ms, record, flags: *flags, author, voided: *voided_by, secret: *secret }
}

/// The Bundle (collection) of a trace: the AuditEvents, oldest first; then the Consents, representatives before what they
/// may have signed, else oldest first. Imported in this order, each finds what it rests on.
pub fn bundle(trace: &Trace) -> Value {
    let directives = Directives::of(&trace.lines);
    let all = accesses(&trace.lines);
    let events = all.iter().map(|access| audit_event::audit_event(access, trace, &directives));
    // The first directive of each id that held, of either trace.
    let mut first = BTreeMap::new();
    for History { entry, secret, .. } in directives.iter().filter(|history| !consent::never_held(history.entry)) {
        first.entry((secret, entry.directive.id.as_str())).or_insert(entry.stamp.index);
    }
    let mut consents: Vec<_> = rule::held(&directives, trace)
        .iter()
        .map(|held| (held.order(), rule::consent(held, trace)))
        .chain(directives.iter().filter_map(|history| {
            let index = history.entry.stamp.index;
            let is_there = |id: &str| first.get(&(history.secret, id)).is_some_and(|first| *first < index);
            Some(((2, index), consent::consent(&history, trace, &is_there)?))
        }))
        .collect();
    consents.sort_by_key(|(order, _)| *order);
    let consents = consents.into_iter().map(|(_, consent)| consent);
    let entry = |resource: Value| {
        let text = |name: &str| resource[name].as_str().unwrap_or_default().to_owned();
        let url = format!("{OURS}/log/{}/{}/{}", trace.origin, text("resourceType"), text("id"));
        json!({"fullUrl": url, "resource": resource})
    };
    json!({
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": TimeMs(trace.read_at_ms).to_string(),
        "entry": events.chain(consents).map(entry).collect::<Vec<_>>(),
    })
}

/// An extension of ours with a value: `kind` is the FHIR type, as `String`.
pub(crate) fn extension(name: &str, kind: &str, value: impl Into<Value>) -> Value {
    let url = format!("{OURS}/StructureDefinition/{name}");
    json!({"url": url, (format!("value{kind}")): value.into()})
}

/// An extension of ours with parts.
pub(crate) fn extension_of(name: &str, parts: Vec<Value>) -> Value {
    json!({"url": format!("{OURS}/StructureDefinition/{name}"), "extension": parts})
}

/// A part of an extension of ours: a name alone, as FHIR names parts.
pub(crate) fn part(name: &str, kind: &str, value: impl Into<Value>) -> Value {
    json!({"url": name, (format!("value{kind}")): value.into()})
}

/// A coding with a display.
pub(crate) fn coding(system: &str, code: &str, display: &str) -> Value {
    let mut out = json!({"system": system, "code": code});
    if !display.is_empty() {
        out["display"] = json!(display);
    }
    out
}

/// A concept of one coding.
pub(crate) fn concept(coding: Value) -> Value {
    json!({"coding": [coding]})
}

/// An object of the members that say something: FHIR leaves the others out.
pub(crate) fn object(members: Vec<(&str, Value)>) -> Value {
    let says = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(object) => !object.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    };
    members.into_iter().filter(|(_, value)| says(value)).map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod large_tests;
#[cfg(test)]
mod same_decisions_tests;
#[cfg(test)]
mod tests;
