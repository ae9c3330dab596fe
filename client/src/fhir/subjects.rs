//! Whose an AuditEvent is: every patient of whom it speaks, in whatever element.
//!
//! An access must never end in nobody's trace because its patient wasn't recognised. So "no patient" is a finding, reached
//! when nothing in the event names one, and not what is left when one element didn't. What names a patient and can't be
//! filed under that patient is refused with its element.

use std::collections::BTreeSet;

use serde_json::Value;
use sillage_proto::v1::PatientIdentity;

use super::FhirError;
use super::check::base64;
use super::patients::{PatientMap, PatientName};
use super::read::{has_role, list, own, text};
use super::references::{References, is_of_patient, speaks_of_patient};

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

/// Reads whose an event is.
pub(super) struct Subjects<'a> {
    pub root: &'a Value,
    pub references: References<'a>,
}

impl Subjects<'_> {
    /// Whether an event of our own export: there every entity says by its role what it is.
    fn is_ours(&self) -> bool {
        own(self.root, "entry").is_some()
    }

    /// Whether an entity is a patient. Of our own export, an item that is a Patient resource is none.
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
        for Mention { name, path, entity } in mentions {
            let identity = patients.resolve(&name).map_err(|why| FhirError::new(path.clone(), why))?;
            match found.iter().position(|subject| subject.identity == identity) {
                Some(known) => found[known].entities.extend(entity),
                None if entity.is_none() && !found.is_empty() => {
                    let why = "another patient than the one that the event concerns: of an event that concerns several, each is an entity";
                    return Err(FhirError::new(path, why));
                }
                None => found.push(Subject { name, identity, entities: entity.into_iter().collect() }),
            }
        }
        if found.is_empty() && !self.is_ours() {
            self.check_nobody()?;
        }
        Ok(found)
    }

    /// The patient who acts, if it is one who is known.
    pub fn acting(&self, patients: &PatientMap, acts: usize) -> Option<PatientIdentity> {
        let agents = self.agents();
        let (_, mention) = agents.into_iter().find(|(at, _)| *at == acts)?;
        patients.resolve(&mention.name).ok()
    }

    /// What is known of a patient: its reference, and the identifiers on it or on the resource that it means.
    fn name(&self, what: &Value, holder: &Value) -> PatientName {
        let (reference, identifiers) = self.references.named(what);
        let display = [text(what, "display"), text(holder, "name")].into_iter().find(|t| !t.is_empty());
        PatientName { reference, identifiers, display: display.unwrap_or_default().to_owned() }
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

    /// Whether an entity or an agent is this contained resource: it is read there.
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

    /// Nothing names a patient: so nothing may speak of one.
    fn check_nobody(&self) -> Result<(), FhirError> {
        for (at, entity) in list(self.root, "entity").iter().enumerate() {
            let (coding, path) = (&entity["type"], format!("AuditEvent.entity[{at}]"));
            let of_resources = text(coding, "system").trim_end_matches('/').ends_with("/resource-types");
            let kind = text(coding, "code");
            if of_resources && kind == "Patient" || has_role(entity, "1") && matches!(kind, "1" | "Patient" | "") {
                let why = "a patient whom nothing names: give entity.what, a reference or an identifier";
                return Err(FhirError::new(path, why));
            }
            let target = self.references.target_type(&entity["what"]);
            let unsaid = text(&entity["role"], "code").is_empty() && target.is_empty();
            let is_professional = self
                .references
                .named(&entity["what"])
                .1
                .iter()
                .any(|(system, _)| sillage_rules::ident::spelling::is_national(system));
            if kind == "1" && unsaid && !is_professional && entity.get("what").is_some() {
                let why = "a person, and nothing says whether a patient: give entity.role or the type in entity.what";
                return Err(FhirError::new(path, why));
            }
            let query = text(entity, "query");
            let query = base64(query).and_then(|query| String::from_utf8(query).ok()).unwrap_or_default();
            let asks = ["patient=", "patient:", "subject=Patient", "subject:Patient"];
            if asks.iter().any(|asks| query.contains(asks)) || speaks_of_patient(&query.replace(['&', '?'], " ")) {
                let why = "the query asks about a patient, and no entity names them: add them as an entity";
                return Err(FhirError::new(format!("{path}.query"), why));
            }
        }
        match self
            .root
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| *name != "text")
            .find_map(|(name, value)| spoken_of(value, &format!("AuditEvent.{name}")))
        {
            Some(path) => {
                let why = "this speaks of a patient, and nothing names them so that the event could be filed: add them as an entity";
                Err(FhirError::new(path, why))
            }
            None => Ok(()),
        }
    }
}

/// Where text speaks of a patient.
fn spoken_of(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::String(said) => speaks_of_patient(said).then(|| path.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(at, item)| spoken_of(item, &format!("{path}[{at}]")))
        }
        // URLs and systems are names of definitions.
        Value::Object(members) => {
            let members = members.iter().filter(|(name, _)| !matches!(name.as_str(), "url" | "system" | "profile"));
            members.into_iter().find_map(|(name, value)| spoken_of(value, &format!("{path}.{name}")))
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "subjects_tests.rs"]
mod tests;
