//! The patients of an AuditEvent: all of whom it speaks, in whatever element.
//!
//! An access must never end in nobody's trace because its patient wasn't recognised. So "no patient" is a finding,
//! reached when nothing in the event names one, and not what is left when one element didn't. An element that names a
//! patient and can't be filed under that patient is refused.

use std::collections::BTreeSet;

use serde_json::Value;
use sillage_proto::v1::PatientIdentity;

use super::FhirError;
use super::check::base64;
use super::patients::{PatientMap, PatientName};
use super::read::{has_role, list, own, text};
use super::references::{References, bare, is_of_patient};
use super::spoken::{Spoken, spoken};

/// A patient that an event concerns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Subject {
    /// How the event names them.
    pub name: PatientName,
    /// INS and OID.
    pub identity: PatientIdentity,
    /// The positions of the entities that are this patient.
    pub entities: BTreeSet<usize>,
}

/// An element that names a patient.
struct Mention {
    name: PatientName,
    path: String,
    entity: Option<usize>,
}

/// Whoever an event names: it may speak of them.
struct Known {
    /// None of somebody who acts and has no INS that is known.
    identity: Option<PatientIdentity>,
    names: Vec<PatientName>,
    /// It is who acts, and nobody whom the event concerns.
    acts: bool,
}

/// Reads whose an event is.
pub(super) struct Subjects<'a> {
    pub root: &'a Value,
    pub references: References<'a>,
}

impl Subjects<'_> {
    /// Tells whether an event of our own export: there every entity says by its role what it is.
    fn is_ours(&self) -> bool {
        own(self.root, "entry").is_some()
    }

    /// Tells whether an entity is a patient. Of our own export, an item that is a Patient resource is none.
    pub fn is_patient(&self, entity: &Value) -> bool {
        let what = &entity["what"];
        let coding = &entity["type"];
        let of_resources = text(coding, "system").trim_end_matches('/').ends_with("/resource-types");
        let (kind, role) = (text(coding, "code"), has_role(entity, "1"));
        let target = self.references.target_type(what);
        let typed = of_resources && kind == "Patient" && matches!(target.as_str(), "" | "Patient");
        let is_one = self.references.is_patient(what)
            || entity.get("what").is_some() && (typed || role && matches!(kind, "1" | "Patient" | ""));
        is_one && !(self.is_ours() && has_role(entity, "4"))
    }

    /// Every patient, with their identity; none where the event speaks of none.
    ///
    /// # Errors
    /// With the element that speaks of a patient under whom the event can't be filed.
    pub fn find(&self, patients: &PatientMap, acts: usize) -> Result<Vec<Subject>, FhirError> {
        let mut found: Vec<Subject> = Vec::new();
        let mut mentions = self.entities();
        let agents = self.agents();
        let is_named = !mentions.is_empty();
        // Who acts is on record as who acts. Where nobody else is concerned, it is about them too.
        mentions.extend(agents.into_iter().filter(|(at, _)| !is_named || *at != acts).map(|(_, mention)| mention));
        if !self.is_ours() {
            let elsewhere = self.elsewhere();
            mentions.extend(elsewhere);
        }
        let mut known: Vec<Known> = Vec::new();
        for Mention { name, path, entity } in mentions {
            let identity = patients.resolve(&name).map_err(|why| FhirError::new(path.clone(), why))?;
            note(&mut known, &identity, &name);
            match found.iter().position(|subject| subject.identity == identity) {
                Some(at) => found[at].entities.extend(entity),
                None if entity.is_none() && !found.is_empty() => {
                    let why = "another patient than the one that the event concerns: of an event that concerns several, each is an entity";
                    return Err(FhirError::new(path, why));
                }
                None => found.push(Subject { name, identity, entities: entity.into_iter().collect() }),
            }
        }
        if !self.is_ours() {
            // Who acts is named, and on record as who acts.
            let acting = self.agents().into_iter().find(|(at, _)| *at == acts).map(|(_, mention)| mention.name);
            if let Some(name) = acting {
                match patients.resolve(&name).ok() {
                    Some(identity) if known.iter().any(|one| one.identity.as_ref() == Some(&identity)) => {
                        note(&mut known, &identity, &name);
                    }
                    identity => known.push(Known { identity, names: vec![name], acts: true }),
                }
            }
            self.check_spoken(patients, &known, found.is_empty())?;
        }
        Ok(found)
    }

    /// The patient who acts, if it is one who is known.
    pub fn acting(&self, patients: &PatientMap, acts: usize) -> Option<PatientIdentity> {
        let agents = self.agents();
        let (_, mention) = agents.into_iter().find(|(at, _)| *at == acts)?;
        patients.resolve(&mention.name).ok()
    }

    /// The name of a patient: its reference, and the identifiers on it or on the resource that it means.
    fn name(&self, what: &Value, holder: &Value) -> PatientName {
        let (reference, identifiers) = self.references.named(what);
        let display = [text(what, "display"), text(holder, "name")].into_iter().find(|t| !t.is_empty());
        let base = self.references.base().to_owned();
        PatientName { reference, base, identifiers, display: display.unwrap_or_default().to_owned() }
    }

    fn entities(&self) -> Vec<Mention> {
        let entities = list(self.root, "entity").iter().enumerate().filter(|(_, entity)| self.is_patient(entity));
        let mention = |(at, entity): (usize, &Value)| Mention {
            name: self.name(&entity["what"], entity),
            path: format!("AuditEvent.entity[{at}].what"),
            entity: Some(at),
        };
        entities.map(mention).collect()
    }

    fn agents(&self) -> Vec<(usize, Mention)> {
        let agents = list(self.root, "agent").iter().enumerate();
        let patients = agents.filter(|(_, agent)| self.references.is_patient(&agent["who"]));
        let mention = |(at, agent): (usize, &Value)| {
            let path = format!("AuditEvent.agent[{at}].who");
            (at, Mention { name: self.name(&agent["who"], agent), path, entity: None })
        };
        patients.map(mention).collect()
    }

    /// Wherever else a patient is named: extensions, details, contained resources, observers, places.
    fn elsewhere(&self) -> Vec<Mention> {
        let mut out = Vec::new();
        for (name, value) in self.root.as_object().into_iter().flatten() {
            let path = format!("AuditEvent.{name}");
            match name.as_str() {
                "text" | "contained" => {}
                "entity" | "agent" => {
                    let is_entity = name == "entity";
                    for (at, part) in value.as_array().into_iter().flatten().enumerate() {
                        for (inner, value) in part.as_object().into_iter().flatten() {
                            let path = format!("{path}[{at}].{inner}");
                            let read = match is_entity {
                                true => inner == "what" && self.is_patient(part),
                                false => inner == "who" && self.references.is_patient(value),
                            };
                            if read {
                                // Its own extensions may name somebody else.
                                self.walk(&value["extension"], &format!("{path}.extension"), &mut out);
                            } else {
                                self.walk(value, &path, &mut out);
                            }
                        }
                    }
                }
                _ => self.walk(value, &path, &mut out),
            }
        }
        for (at, resource) in list(self.root, "contained").iter().enumerate() {
            let path = format!("AuditEvent.contained[{at}]");
            let reference = format!("#{}", text(resource, "id"));
            if text(resource, "resourceType") == "Patient" {
                if !self.is_referred_to(&reference) {
                    let named = serde_json::json!({ "reference": reference });
                    out.push(Mention { name: self.name(&named, resource), path, entity: None });
                }
                continue;
            }
            for (name, value) in resource.as_object().into_iter().flatten().filter(|(name, _)| *name != "text") {
                self.walk(value, &format!("{path}.{name}"), &mut out);
            }
        }
        out
    }

    /// Tells whether an entity or an agent is this contained resource: it is read there.
    fn is_referred_to(&self, reference: &str) -> bool {
        let entities = list(self.root, "entity").iter().map(|entity| &entity["what"]);
        let agents = list(self.root, "agent").iter().map(|agent| &agent["who"]);
        entities.chain(agents).any(|what| text(what, "reference").trim() == reference)
    }

    fn walk(&self, value: &Value, path: &str, out: &mut Vec<Mention>) {
        match value {
            Value::Object(members) => {
                let is_reference = value["reference"].is_string() || value["identifier"].is_object();
                if is_reference && self.references.is_patient(value) {
                    out.push(Mention { name: self.name(value, &Value::Null), path: path.to_owned(), entity: None });
                } else if is_of_patient(value) {
                    let named = serde_json::json!({ "identifier": value });
                    out.push(Mention { name: self.name(&named, &Value::Null), path: path.to_owned(), entity: None });
                } else {
                    members.iter().for_each(|(name, value)| self.walk(value, &format!("{path}.{name}"), out));
                }
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(at, item)| self.walk(item, &format!("{path}[{at}]"), out));
            }
            _ => {}
        }
    }

    /// Nothing may speak of a patient under whom the event isn't filed.
    fn check_spoken(&self, patients: &PatientMap, known: &[Known], is_nobodys: bool) -> Result<(), FhirError> {
        for (at, entity) in list(self.root, "entity").iter().enumerate().filter(|(_, entity)| !self.is_patient(entity))
        {
            let (coding, path) = (&entity["type"], format!("AuditEvent.entity[{at}]"));
            let of_resources = text(coding, "system").trim_end_matches('/').ends_with("/resource-types");
            let kind = text(coding, "code");
            if of_resources && kind == "Patient" || has_role(entity, "1") && matches!(kind, "1" | "Patient" | "") {
                let why = "a patient whom nothing names: give entity.what, a reference or an identifier";
                return Err(FhirError::new(path, why));
            }
            let target = self.references.target_type(&entity["what"]);
            // A Person may be the one behind a patient, a practitioner or anybody.
            let is_person = kind == "1" && target.is_empty() || target == "Person";
            let unsaid = text(&entity["role"], "code").is_empty();
            let is_professional = self
                .references
                .named(&entity["what"])
                .1
                .iter()
                .any(|(system, _)| sillage_rules::ident::spelling::is_national(system));
            if is_person && unsaid && !is_professional && entity.get("what").is_some() {
                let why = "a person, and nothing says whether a patient: give entity.role or the type in entity.what";
                return Err(FhirError::new(path, why));
            }
        }
        let is_stranger = |said: &Spoken| is_nobodys || self.is_stranger(said, patients, known);
        let place = |(name, value): (&String, &Value)| stranger_in(value, &format!("AuditEvent.{name}"), &is_stranger);
        let members = self.root.as_object().into_iter().flatten().filter(|(name, _)| *name != "text");
        let why = match members.into_iter().find_map(place) {
            None => return Ok(()),
            Some((path, is_query)) => match (is_nobodys, is_query) {
                (true, true) => {
                    (path, "the query asks about a patient, and no entity names them: add them as an entity")
                }
                (true, false) => (
                    path,
                    "this speaks of a patient, and nothing names them so that the event could be filed: add them as an entity",
                ),
                (false, _) => (
                    path,
                    "this speaks of another patient than those whom the event names, who wouldn't have it in their trace: add them as an entity",
                ),
            },
        };
        Err(FhirError::new(why.0, why.1))
    }

    /// Tells whether text speaks of somebody who is certainly none of those whom the event names.
    fn is_stranger(&self, said: &Spoken, patients: &PatientMap, known: &[Known]) -> bool {
        let name = match said {
            Spoken::Ins(ins) => {
                let dense = |value: &str| value.chars().filter(|c| !c.is_whitespace()).collect::<String>();
                let is_theirs = |one: &Known| {
                    let mut identifiers = one.names.iter().flat_map(|name| &name.identifiers);
                    one.identity.as_ref().is_some_and(|identity| identity.ins == *ins)
                        || identifiers.any(|(_, value)| dense(value).eq_ignore_ascii_case(ins))
                };
                return !known.iter().any(is_theirs);
            }
            // The event says who it was.
            Spoken::Somebody => return false,
            Spoken::Named(reference, identifiers) => {
                let what = serde_json::json!({ "reference": reference });
                let (reference, mut all) = self.references.named(&what);
                all.extend(identifiers.iter().cloned());
                let base = self.references.base().to_owned();
                PatientName { reference, base, identifiers: all, display: String::new() }
            }
        };
        let identity = patients.resolve(&name).ok();
        let is_known = |one: &Known| identity.is_some() && one.identity == identity;
        if known.iter().any(|one| is_known(one) || self.is_same(one, &name) == Some(true)) {
            return false;
        }
        let mut concerned = known.iter().filter(|one| !one.acts);
        patients.is_known(&name) || concerned.all(|one| self.is_same(one, &name) == Some(false))
    }

    /// Tells whether a name is that of somebody who is known; none where it may be: not by an id on the same server, nor in the same system.
    fn is_same(&self, known: &Known, name: &PatientName) -> Option<bool> {
        let mut said = None;
        for other in &known.names {
            if let Some((own, others)) = self.place(&name.reference).zip(self.place(&other.reference))
                && (own.0 == others.0 || own.0.is_empty() || others.0.is_empty())
            {
                said = said.max(Some(own.1 == others.1));
            }
            for (system, value) in &name.identifiers {
                let of_system = other.identifiers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(system));
                of_system.for_each(|(_, others)| said = said.max(Some(others == value)));
            }
        }
        said
    }

    /// The server of a Patient, and their id there.
    fn place(&self, reference: &str) -> Option<(String, String)> {
        let target = bare(reference);
        let at = target.text.rfind("Patient/").filter(|_| target.is_patient_by_id())?;
        let (base, id) = target.text.split_at(at);
        let base = if base.is_empty() { self.references.base() } else { base.trim_end_matches('/') };
        Some((base.to_ascii_lowercase(), id.to_owned()))
    }
}

/// Takes note of a name of somebody.
fn note(known: &mut Vec<Known>, identity: &PatientIdentity, name: &PatientName) {
    match known.iter_mut().find(|one| one.identity.as_ref() == Some(identity)) {
        Some(one) => one.names.push(name.clone()),
        None => known.push(Known { identity: Some(identity.clone()), names: vec![name.clone()], acts: false }),
    }
}

/// Where something speaks of a stranger, and whether it is a query.
fn stranger_in(value: &Value, path: &str, is_stranger: &dyn Fn(&Spoken) -> bool) -> Option<(String, bool)> {
    let speaks = |said: &str, is_asked: bool| spoken(said, is_asked).iter().any(is_stranger);
    match value {
        Value::String(said) => speaks(said, path.contains(".detail[")).then(|| (path.to_owned(), false)),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(at, item)| stranger_in(item, &format!("{path}[{at}]"), is_stranger))
        }
        Value::Object(members) => members.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            match name.as_str() {
                // URLs and systems are names of definitions; a narrative is made from what stands beside it.
                "url" | "system" | "profile" | "div" => None,
                "query" | "valueBase64Binary" => {
                    let bytes = value.as_str().and_then(base64).unwrap_or_default();
                    let is_query = name == "query";
                    speaks(&String::from_utf8_lossy(&bytes), true).then_some((path, is_query))
                }
                _ => stranger_in(value, &path, is_stranger),
            }
        }),
        _ => None,
    }
}

#[cfg(test)]
#[path = "subjects_tests.rs"]
mod tests;
