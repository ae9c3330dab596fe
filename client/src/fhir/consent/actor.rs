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
use sillage_rules::consent::directive::GranteeKeys;
use sillage_rules::consent::name::APP_SYSTEM;
use sillage_rules::consent::{ActorName, Grantee};
use sillage_rules::ident::spelling;
use sillage_rules::limits::{ID_BYTES_MAX, TOKEN_BYTES_MAX};

use super::super::FhirError;
use super::super::audit_event::SYSTEM_REFERENCE;
use super::super::check::{absent_in, subsetted};
use super::super::read::{codings, list, text};
use super::super::references::{References, bare, counting};
use super::{EXTENSION_GRANTEE, SYSTEM_DIRECTIVE, codes, extensions};

/// The references of one Consent.
pub(super) struct Actors<'a> {
    references: References<'a>,
    patient: &'a Value,
    /// Of our own export: items are named as they are on record.
    is_ours: bool,
}

impl<'a> Actors<'a> {
    pub fn of(consent: &'a Value, references: References<'a>) -> Self {
        let is_ours = list(consent, "identifier").iter().any(|i| text(i, "system") == SYSTEM_DIRECTIVE);
        Self { references, patient: &consent["patient"], is_ours }
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
        if contained.is_some_and(|found| subsetted(found).is_some() || absent_in(found, path).is_some()) {
            return refused(
                "what this refers to isn't whole (SUBSETTED, or said to be absent): who is meant isn't known",
            );
        }
        let name = || self.name(reference, path).map(Some);
        let none = GranteeKeys::default();
        let keys = match self.sort(reference).as_str() {
            "PractitionerRole" if contained.is_some_and(|role| role.get("practitioner").is_some()) => {
                self.role(contained.unwrap_or(&Value::Null), path)?
            }
            "Practitioner" | "PractitionerRole" => GranteeKeys { professional: name()?, ..none },
            "Organization" => GranteeKeys { organisation: Some(self.organisation(reference, path)?), ..none },
            "Patient" if self.is_patient(reference) => GranteeKeys { person: Some(ActorName::patient()), ..none },
            "Patient" | "RelatedPerson" => GranteeKeys { person: name()?, ..none },
            "Device" => GranteeKeys { app: name()?, ..none },
            "CareTeam" => GranteeKeys { team: Some(self.team(reference, path)?), ..none },
            "Group" => return self.members(contained, path),
            "" => return refused("nothing says what this refers to: give its type"),
            other => return refused(&format!("a {other} can't be permitted or denied")),
        };
        Ok(vec![Grantee::Keys(Box::new(keys))])
    }

    /// What a reference means: by its type, else by the system of its identifier.
    fn sort(&self, reference: &Value) -> String {
        let found = self.references.target_type(reference);
        if !found.is_empty() {
            return found;
        }
        let system = text(&reference["identifier"], "system");
        let system = spelling::system(system).unwrap_or_else(|_| format!("urn:oid:{system}"));
        let sort = match system.as_str() {
            spelling::PROFESSIONALS | "https://rpps.esante.gouv.fr" | "https://adeli.esante.gouv.fr" => "Practitioner",
            spelling::STRUCTURES | "https://finess.esante.gouv.fr" | "https://sirene.fr" => "Organization",
            APP_SYSTEM => "Device",
            _ => "",
        };
        sort.to_owned()
    }

    /// A professional as one of a structure: both must match.
    fn role(&self, role: &Value, path: &str) -> Result<GranteeKeys, FhirError> {
        let professional = Some(self.name(&role["practitioner"], path)?);
        let organisation = match role.get("organization") {
            Some(organisation) => Some(self.organisation(organisation, path)?),
            None => None,
        };
        Ok(GranteeKeys { professional, organisation, ..GranteeKeys::default() })
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
    pub fn name(&self, reference: &Value, path: &str) -> Result<ActorName, FhirError> {
        let (system, id) = self.identified(reference, path)?;
        ActorName::spelled(&system, &id).map_err(|error| FhirError::new(path, error.message))
    }

    /// System and id of whatever a reference means.
    fn identified(&self, reference: &Value, path: &str) -> Result<(String, String), FhirError> {
        let (target, identifiers) = self.references.named(reference);
        match counting(&identifiers) {
            Some(named) => Ok(named.clone()),
            // What a resource contains has no name outside of it.
            None if !target.is_empty() && !target.starts_with('#') => Ok((SYSTEM_REFERENCE.to_owned(), target)),
            None => Err(FhirError::new(path, "neither a reference nor an identifier with its system")),
        }
    }

    /// A structure: its identifier without the system, as a record names the organisation of an actor.
    fn organisation(&self, reference: &Value, path: &str) -> Result<String, FhirError> {
        let (system, id) = self.identified(reference, path)?;
        let id = spelling::organisation_of(&system, &id).map_err(|error| FhirError::new(path, error.to_string()))?;
        fitting(id, ID_BYTES_MAX, path)
    }

    /// The structure of `Consent.organization`.
    pub fn structure(&self, reference: &Value, path: &str) -> Result<Grantee, FhirError> {
        let organisation = Some(self.organisation(reference, path)?);
        Ok(Grantee::Keys(Box::new(GranteeKeys { organisation, ..GranteeKeys::default() })))
    }

    /// A care team: the origin that its memberships name.
    fn team(&self, reference: &Value, path: &str) -> Result<String, FhirError> {
        let (_, id) = self.identified(reference, path)?;
        fitting(id, TOKEN_BYTES_MAX, path)
    }

    /// The id of an item, as an imported AuditEvent names it.
    pub fn item(&self, reference: &Value, path: &str) -> Result<String, FhirError> {
        let target = match (self.is_ours, text(reference, "reference")) {
            (true, target) => target.to_owned(),
            (false, target) => bare(target).text,
        };
        match (target.as_str(), text(&reference["identifier"], "value")) {
            ("", "") => Err(FhirError::new(path, "neither a reference nor an identifier")),
            ("", id) => fitting(id.to_owned(), ID_BYTES_MAX, path),
            (target, _) if target.starts_with('#') => {
                Err(FhirError::new(path, "what a Consent contains is no item of a record store"))
            }
            (target, _) => fitting(target.to_owned(), ID_BYTES_MAX, path),
        }
    }
}

/// One line, not too long.
fn fitting(id: String, bytes_max: usize, path: &str) -> Result<String, FhirError> {
    let fits = id.len() <= bytes_max && !id.contains(char::is_control) && id.trim() == id;
    match fits {
        true => spelling::text(&id).map_err(|error| FhirError::new(path, error.to_string())),
        false => Err(FhirError::new(path, format!("this has to be one line of at most {bytes_max} bytes"))),
    }
}

/// Our own extension: a grantee key by key.
fn of_extension(extension: &Value, path: &str) -> Result<Grantee, FhirError> {
    let wrong = || FhirError::new(format!("{path}.extension"), "not a grantee as docs/fhir.md describes it");
    let mut keys = serde_json::Map::new();
    for part in list(extension, "extension") {
        let before = keys.insert(text(part, "url").to_owned(), part["valueString"].clone());
        if before.is_some() {
            return Err(wrong());
        }
    }
    let keys: GranteeKeys = serde_json::from_value(keys.into()).map_err(|_| wrong())?;
    match keys == GranteeKeys::default() {
        true => Err(wrong()),
        false => Ok(Grantee::Keys(Box::new(keys))),
    }
}
