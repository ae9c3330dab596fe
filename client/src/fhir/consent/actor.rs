//! Who: references of a Consent as the names that the ledger decides by.
//!
//! | reference to | becomes |
//! | --- | --- |
//! | Practitioner, PractitionerRole | `professional` |
//! | PractitionerRole contained, with its practitioner and organisation | `professional` and `organisation`: both must match |
//! | Organization | `organisation` |
//! | Patient, RelatedPerson | `person` |
//! | Device | `app` |
//! | CareTeam | `team`: the active members whose joining names it as its origin |
//! | Group contained, with its members | each member |
//! | anything else | refused |
//!
//! A name is the identifier on the reference or on the resource that it contains, else the reference itself under
//! `urn:sillage:fhir:reference`: as an imported AuditEvent names its actor.

use serde_json::Value;
use sillage_rules::ident::{self, PROFESSIONAL_OID, STRUCTURE_OID};
use sillage_rules::limits::ID_BYTES_MAX;

use super::super::FhirError;
use super::super::audit_event::SYSTEM_REFERENCE;
use super::super::read::{codings, list, text};
use super::super::references::References;
use super::rule::Grantee;
use super::{EXTENSION_GRANTEE, codes, extensions};

/// The patient of the record, as the ledger names it.
pub(super) const SYSTEM_PATIENT: &str = "urn:sillage:patient";
/// Applications of the catalogue.
const SYSTEM_APP: &str = "urn:sillage:app";
/// The keys of a grantee.
const KEYS: [&str; 7] = ["app", "organisation", "person", "profession", "professional", "project", "team"];

/// The references of one Consent.
pub(super) struct Actors<'a> {
    references: References<'a>,
    patient: &'a Value,
}

/// Who a reference names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub system: String,
    pub id: String,
}

impl<'a> Actors<'a> {
    pub fn of(consent: &'a Value) -> Self {
        Self { references: References::of(consent), patient: &consent["patient"] }
    }

    /// The grantees that `provision.actor` names: any of them.
    pub fn grantees(&self, actor: &Value, path: &str) -> Result<Vec<Grantee>, FhirError> {
        if let Some(ours) = extensions(actor, EXTENSION_GRANTEE).next() {
            return Ok(vec![of_extension(ours, path)?]);
        }
        let recipient = |c: &Value| text(c, "system") == codes::PARTS && matches!(text(c, "code"), "IRCP" | "PRCP");
        if !codings(&actor["role"]).any(recipient) {
            let why = "only who receives the data (v3-ParticipationType IRCP, PRCP) can be permitted or denied";
            return Err(FhirError::new(format!("{path}.role"), why));
        }
        self.referenced(&actor["reference"], &format!("{path}.reference"))
    }

    fn referenced(&self, reference: &Value, path: &str) -> Result<Vec<Grantee>, FhirError> {
        let contained = self.references.contained(reference);
        let refused = |why: &str| Err(FhirError::new(path, why));
        let grantee = match self.sort(reference) {
            "Practitioner" => Grantee::from([("professional", self.joined(reference, path)?)]),
            "PractitionerRole" => match contained {
                Some(role) if role.get("practitioner").is_some() => self.role(role, path)?,
                _ => Grantee::from([("professional", self.joined(reference, path)?)]),
            },
            "Organization" => Grantee::from([("organisation", self.organisation(reference, path)?)]),
            "Patient" if self.is_patient(reference) => Grantee::from([("person", format!("{SYSTEM_PATIENT}|self"))]),
            "Patient" | "RelatedPerson" => Grantee::from([("person", self.joined(reference, path)?)]),
            "Device" => Grantee::from([("app", self.joined(reference, path)?)]),
            "CareTeam" => Grantee::from([("team", self.organisation(reference, path)?)]),
            "Group" => return self.members(contained, path),
            "" => return refused("nothing says what this refers to: give its type"),
            other => return refused(&format!("a {other} can't be permitted or denied")),
        };
        Ok(vec![grantee])
    }

    /// What a reference means: by its type, else by the system of its identifier.
    fn sort<'b>(&'b self, reference: &'b Value) -> &'b str {
        match self.references.target_type(reference) {
            "" => {
                let system = text(&reference["identifier"], "system");
                match system.strip_prefix("urn:oid:").unwrap_or(system) {
                    PROFESSIONAL_OID => "Practitioner",
                    STRUCTURE_OID => "Organization",
                    SYSTEM_APP => "Device",
                    _ => "",
                }
            }
            known => known,
        }
    }

    fn role(&self, role: &Value, path: &str) -> Result<Grantee, FhirError> {
        let mut grantee = Grantee::from([("professional", self.joined(&role["practitioner"], path)?)]);
        if role.get("organization").is_some() {
            grantee.insert("organisation", self.organisation(&role["organization"], path)?);
        }
        Ok(grantee)
    }

    fn members(&self, group: Option<&Value>, path: &str) -> Result<Vec<Grantee>, FhirError> {
        let members = group.map(|group| list(group, "member")).unwrap_or_default();
        let conditional = group.is_some_and(|group| group.get("characteristic").is_some());
        if members.is_empty() || conditional {
            let why = "who is in this Group isn't known here: name its members, or contain the Group with them";
            return Err(FhirError::new(path, why));
        }
        let mut out = Vec::new();
        for member in members {
            let entity = &member["entity"];
            if member["inactive"] == Value::Bool(true) || member.get("period").is_some() {
                return Err(FhirError::new(path, "a member of this Group is one for a time only: name the members"));
            }
            if self.sort(entity) == "Group" {
                return Err(FhirError::new(path, "a Group in a Group: name the members"));
            }
            out.extend(self.referenced(entity, path)?);
        }
        Ok(out)
    }

    /// Whether a reference means the Consent's own patient.
    pub fn is_patient(&self, reference: &Value) -> bool {
        let (own, theirs) = (self.references.named(self.patient), self.references.named(reference));
        let same_text = !own.0.is_empty() && own.0 == theirs.0;
        same_text || own.1.iter().any(|identifier| theirs.1.contains(identifier))
    }

    /// The name of whoever a reference means.
    pub fn name(&self, reference: &Value, path: &str) -> Result<Name, FhirError> {
        let (target, identifiers) = self.references.named(reference);
        let named = identifiers.into_iter().find(|(system, _)| !system.is_empty());
        let (system, id) = match named {
            Some(named) => named,
            // What a resource contains has no name outside of it.
            None if !target.is_empty() && !target.starts_with('#') => (SYSTEM_REFERENCE.to_owned(), target),
            None => return Err(FhirError::new(path, "neither a reference nor an identifier with its system")),
        };
        // As for audit events: published examples have ids that aren't of the system they name.
        let id = ident::normalise_actor(&system, &id).unwrap_or(id);
        let fits = |text: &str| !text.is_empty() && text.len() <= ID_BYTES_MAX && !text.contains(char::is_control);
        if !fits(&system) || !fits(&id) || system.contains('|') {
            return Err(FhirError::new(path, "this identifier can't be the name of an actor"));
        }
        Ok(Name { system, id })
    }

    fn joined(&self, reference: &Value, path: &str) -> Result<String, FhirError> {
        let Name { system, id } = self.name(reference, path)?;
        Ok(format!("{system}|{id}"))
    }

    /// A structure or a team: its identifier without the system, as a record names the organisation of an actor.
    pub fn organisation(&self, reference: &Value, path: &str) -> Result<String, FhirError> {
        Ok(self.name(reference, path)?.id)
    }

    /// The id of an item, as an imported AuditEvent names it.
    pub fn item(&self, reference: &Value, path: &str) -> Result<String, FhirError> {
        let target = text(reference, "reference");
        let id = if target.is_empty() { text(&reference["identifier"], "value") } else { target };
        match id {
            "" => Err(FhirError::new(path, "neither a reference nor an identifier")),
            id if id.starts_with('#') => {
                Err(FhirError::new(path, "what a Consent contains is no item of a record store"))
            }
            id if id.len() > ID_BYTES_MAX || id.contains(char::is_control) => {
                Err(FhirError::new(path, format!("the id of an item has at most {ID_BYTES_MAX} bytes")))
            }
            id => Ok(id.to_owned()),
        }
    }
}

/// Our own extension: a grantee key by key.
fn of_extension(extension: &Value, path: &str) -> Result<Grantee, FhirError> {
    let mut grantee = Grantee::new();
    for part in list(extension, "extension") {
        let key = KEYS.into_iter().find(|key| *key == text(part, "url"));
        let value = text(part, "valueString");
        match key {
            Some(key) if !value.is_empty() && grantee.insert(key, value.to_owned()).is_none() => {}
            _ => return Err(FhirError::new(format!("{path}.extension"), "not a grantee as docs/fhir.md describes it")),
        }
    }
    match grantee.is_empty() {
        true => Err(FhirError::new(format!("{path}.extension"), "a grantee without a key")),
        false => Ok(grantee),
    }
}
