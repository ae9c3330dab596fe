//! What a resource is found by: the R4 search parameters of AuditEvent and Consent, each value as a name.
//!
//! A token is found by its code, by `system|code`, by `|code` where it has no system, and by `system|`. A reference is found by its
//! spelling, and by type and id. An identifier is found as a token. A patient is found by the INS, however the resource names it.

use std::collections::BTreeSet;

use serde_json::Value;
use sillage_fhir::import::MappedRecord;

use crate::spool::seal::{Name, NameKey};

/// A search parameter. The numbers stand on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Term {
    /// `patient.identifier`, `patient`: an INS, or a reference.
    Patient = 1,
    /// `agent.identifier`, `agent`, `actor` of a Consent.
    Agent = 2,
    /// `agent-name`: exact, without regard to case.
    AgentName = 3,
    /// `agent-role`.
    AgentRole = 4,
    /// `altid`.
    AltId = 5,
    /// `address`.
    Address = 6,
    /// `policy`.
    Policy = 7,
    /// `entity.identifier`, `entity`, `data` of a Consent.
    Entity = 8,
    /// `entity-name`: exact, without regard to case.
    EntityName = 9,
    /// `entity-role`.
    EntityRole = 10,
    /// `entity-type`.
    EntityType = 11,
    /// `type`; `category` of a Consent.
    Type = 12,
    /// `subtype`; `scope` of a Consent.
    Subtype = 13,
    /// `action`.
    Action = 14,
    /// `outcome`; `status` of a Consent.
    Outcome = 15,
    /// `source.identifier`, `source`.
    Source = 16,
    /// `site`.
    Site = 17,
    /// `purpose`.
    Purpose = 18,
    /// `identifier` of a Consent.
    Identifier = 19,
    /// `organization` of a Consent.
    Organization = 20,
}

/// Terms of one resource are bounded: a list of a thousand documents is found by its first ones.
const TERMS_MAX: usize = 512;

/// The name under which a value of a parameter stands in the index. `value` is as in a URL: `system|code`, `code`,
/// `Patient/1`.
pub fn name(names: &NameKey, term: Term, value: &str) -> Name {
    names.name(&[b"term", &[term as u8], spelled(term, value).as_bytes()])
}

/// One spelling of a value.
fn spelled(term: Term, value: &str) -> String {
    match term {
        Term::AgentName | Term::EntityName | Term::Site | Term::Address => value.trim().to_lowercase(),
        _ => value.trim().to_owned(),
    }
}

/// By what a resource is found. `mapped` are the records that were made of it.
pub fn terms(names: &NameKey, resource: &Value, mapped: &[MappedRecord]) -> Vec<(Term, Name)> {
    let mut values = Values::default();
    for patient in mapped.iter().filter_map(|mapped| mapped.patient.as_ref()) {
        values.add(Term::Patient, &patient.ins);
        values.add(Term::Patient, &format!("{}|{}", patient.oid, patient.ins));
        values.add(Term::Patient, &format!("urn:oid:{}|{}", patient.oid, patient.ins));
    }
    match resource["resourceType"].as_str() {
        Some("AuditEvent") => audit_event(resource, &mut values),
        Some("Consent") => consent(resource, &mut values),
        _ => {}
    }
    values.0.into_iter().take(TERMS_MAX).map(|(term, value)| (term, name(names, term, &value))).collect()
}

#[derive(Default)]
struct Values(BTreeSet<(Term, String)>);

/// The items of a list; one item where there is none, as `Value::Null`, is none.
fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

impl Values {
    fn add(&mut self, term: Term, value: &str) {
        if !value.is_empty() {
            self.0.insert((term, spelled(term, value)));
        }
    }

    fn text(&mut self, term: Term, value: &Value) {
        self.add(term, value.as_str().unwrap_or_default());
    }

    /// A Coding, or an Identifier, whose code is called `value`.
    fn token(&mut self, term: Term, coding: &Value) {
        let text = |name: &str| coding[name].as_str().unwrap_or_default();
        let (system, code) = (text("system"), if coding["code"].is_string() { text("code") } else { text("value") });
        if code.is_empty() {
            return;
        }
        self.add(term, code);
        self.add(term, &format!("{system}|{code}"));
        if !system.is_empty() {
            self.add(term, &format!("{system}|"));
        }
    }

    fn concept(&mut self, term: Term, concept: &Value) {
        items(&concept["coding"]).for_each(|coding| self.token(term, coding));
    }

    fn reference(&mut self, term: Term, reference: &Value) {
        self.token(term, &reference["identifier"]);
        let Some(text) = reference["reference"].as_str() else { return };
        self.add(term, text);
        // An absolute one is found by type and id too, without its version.
        let bare = text.split("/_history/").next().unwrap_or_default();
        let mut parts = bare.rsplit('/');
        if let (Some(id), Some(kind)) = (parts.next(), parts.next())
            && kind.starts_with(|c: char| c.is_ascii_uppercase())
        {
            self.add(term, &format!("{kind}/{id}"));
        }
    }
}

fn audit_event(event: &Value, values: &mut Values) {
    values.token(Term::Type, &event["type"]);
    items(&event["subtype"]).for_each(|coding| values.token(Term::Subtype, coding));
    values.text(Term::Action, &event["action"]);
    values.text(Term::Outcome, &event["outcome"]);
    items(&event["purposeOfEvent"]).for_each(|concept| values.concept(Term::Purpose, concept));
    for agent in items(&event["agent"]) {
        values.reference(Term::Agent, &agent["who"]);
        values.text(Term::AgentName, &agent["name"]);
        values.text(Term::AgentName, &agent["who"]["display"]);
        items(&agent["role"]).for_each(|role| values.concept(Term::AgentRole, role));
        values.text(Term::AltId, &agent["altId"]);
        values.text(Term::Address, &agent["network"]["address"]);
        items(&agent["policy"]).for_each(|policy| values.text(Term::Policy, policy));
        items(&agent["purposeOfUse"]).for_each(|concept| values.concept(Term::Purpose, concept));
    }
    values.reference(Term::Source, &event["source"]["observer"]);
    values.text(Term::Site, &event["source"]["site"]);
    for entity in items(&event["entity"]) {
        values.reference(Term::Entity, &entity["what"]);
        values.text(Term::EntityName, &entity["name"]);
        values.token(Term::EntityRole, &entity["role"]);
        values.token(Term::EntityType, &entity["type"]);
        let is_patient = |kind: &Value| kind["code"].as_str() == Some("1");
        if is_patient(&entity["type"]) && is_patient(&entity["role"]) {
            values.reference(Term::Patient, &entity["what"]);
        }
    }
    for agent in items(&event["agent"]) {
        let text = agent["who"]["reference"].as_str().unwrap_or_default();
        if text.starts_with("Patient/") || text.contains("/Patient/") {
            values.reference(Term::Patient, &agent["who"]);
        }
    }
}

fn consent(consent: &Value, values: &mut Values) {
    values.reference(Term::Patient, &consent["patient"]);
    values.text(Term::Outcome, &consent["status"]);
    values.concept(Term::Subtype, &consent["scope"]);
    items(&consent["category"]).for_each(|concept| values.concept(Term::Type, concept));
    items(&consent["identifier"]).for_each(|identifier| values.token(Term::Identifier, identifier));
    items(&consent["organization"]).for_each(|reference| values.reference(Term::Organization, reference));
    items(&consent["policy"]).for_each(|policy| values.text(Term::Policy, &policy["uri"]));
    let mut provisions = vec![&consent["provision"]];
    while let Some(provision) = provisions.pop() {
        for actor in items(&provision["actor"]) {
            values.reference(Term::Agent, &actor["reference"]);
        }
        items(&provision["action"]).for_each(|concept| values.concept(Term::Action, concept));
        items(&provision["purpose"]).for_each(|coding| values.token(Term::Purpose, coding));
        items(&provision["data"]).for_each(|data| values.reference(Term::Entity, &data["reference"]));
        provisions.extend(items(&provision["provision"]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::seal::Key;
    use serde_json::json;

    #[test]
    fn a_resource_is_found_by_every_spelling_of_a_value_and_by_no_other() {
        let names = Key::from_bytes([1; 32]).names();
        let event = json!({
            "resourceType": "AuditEvent",
            "type": {"system": "http://a.example", "code": "rest"},
            "subtype": [{"code": "read"}],
            "action": "R",
            "agent": [
                {"who": {"reference": "https://b.example/fhir/Practitioner/7/_history/2", "display": "Dr Claire Dubois"}},
                {"who": {"identifier": {"system": "urn:oid:1.2", "value": "810"}}}
            ],
            "entity": [{"what": {"reference": "Patient/1"}, "type": {"code": "1"}, "role": {"code": "1"}}]
        });
        let found = terms(&names, &event, &[]);
        let has = |term, value: &str| found.contains(&(term, name(&names, term, value)));
        for (term, value) in [
            (Term::Type, "rest"),
            (Term::Type, "http://a.example|rest"),
            (Term::Type, "http://a.example|"),
            (Term::Subtype, "|read"),
            (Term::Action, "R"),
            (Term::Agent, "Practitioner/7"),
            (Term::Agent, "https://b.example/fhir/Practitioner/7/_history/2"),
            (Term::Agent, "urn:oid:1.2|810"),
            (Term::AgentName, "DR CLAIRE DUBOIS"),
            (Term::Patient, "Patient/1"),
            (Term::Entity, "Patient/1"),
        ] {
            assert!(has(term, value), "{term:?} {value}");
        }
        for (term, value) in [
            (Term::Type, "|rest"),
            (Term::Type, "http://b.example|rest"),
            (Term::Subtype, "rest"),
            (Term::Agent, "Practitioner/8"),
            (Term::Patient, "Practitioner/7"),
        ] {
            assert!(!has(term, value), "{term:?} {value}");
        }
        let other = Key::from_bytes([2; 32]).names();
        assert!(!found.contains(&(Term::Action, name(&other, Term::Action, "R"))), "only the key tells what it is");
    }
}
