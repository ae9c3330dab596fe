//! Actors: references of a Consent as the names that the ledger decides by.
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
//! `urn:sillage:fhir:reference`: as an imported AuditEvent names its actor. **A denial needs the identifier**: nobody asks for access
//! under a reference, so it would deny nothing.

use serde_json::Value;
use sillage_rules::consent::directive::{Directive, GranteeKeys};
use sillage_rules::consent::name::APP_SYSTEM;
use sillage_rules::consent::{ActorName, Effect, Grantee};
use sillage_rules::ident::spelling;
use sillage_rules::limits::{ID_BYTES_MAX, TOKEN_BYTES_MAX};

use super::super::FhirError;
use super::super::audit_event::SYSTEM_REFERENCE;
use super::super::check::{absent_in, subsetted};
use super::super::read::{codings, list, text};
use super::super::references::{References, bare, counting};
use super::{EXTENSION_GRANTEE, SYSTEM_DIRECTIVE, codes, extensions};

/// The references of one Consent.
#[derive(Clone, Copy)]
pub(super) struct Actors<'a> {
    references: References<'a>,
    patient: &'a Value,
    /// Of our own export: items are named as they are on record.
    is_ours: bool,
}

impl<'a> Actors<'a> {
    /// `is_rule`: it is of our own export, and carries a rule.
    pub fn of(consent: &'a Value, references: References<'a>, is_rule: bool) -> Self {
        let is_ours = list(consent, "identifier").iter().any(|i| text(i, "system") == SYSTEM_DIRECTIVE);
        // Our own export has the names that are on record. Of any other Consent a number that was read as nobody's is mended.
        let references = if is_ours || is_rule { references.as_written() } else { references.with_numbers() };
        Self { references, patient: &consent["patient"], is_ours }
    }

    /// The grantees that `provision.actor` names: any of them.
    pub fn grantees(&self, actor: &Value, path: &str, effect: Effect) -> Result<Vec<Grantee>, FhirError> {
        if let Some(ours) = extensions(actor, EXTENSION_GRANTEE).next() {
            return Ok(vec![of_extension(ours, path)?]);
        }
        let recipient = |c: &Value| text(c, "system") == codes::PARTS && matches!(text(c, "code"), "IRCP" | "PRCP");
        if !codings(&actor["role"]).any(recipient) {
            let why = "only who receives the data (v3-ParticipationType IRCP, PRCP) can be permitted or denied";
            return Err(FhirError::new(format!("{path}.role"), why));
        }
        self.referenced(&actor["reference"], &format!("{path}.reference"), effect)
    }

    fn referenced(&self, reference: &Value, path: &str, effect: Effect) -> Result<Vec<Grantee>, FhirError> {
        let followed = self.references.followed(reference);
        let contained = followed.map(|(found, _)| found);
        let refused = |why: &str| Err(FhirError::new(path, why));
        if let Some(why) = contained.and_then(|found| unclear(found, effect)) {
            return refused(&why);
        }
        let sort = self.sort(reference);
        if effect == Effect::Deny && self.is_nobodys_name(&sort, reference) {
            return Err(matches_nobody(path));
        }
        let role = followed.filter(|(role, _)| role.get("practitioner").is_some());
        let keys = match (sort.as_str(), role) {
            ("PractitionerRole", Some((role, references))) => Self { references, ..*self }.role(role, path, effect)?,
            (sort, _) => return self.keyed(sort, reference, contained, path, effect),
        };
        Ok(vec![Grantee::Keys(Box::new(keys))])
    }

    fn keyed(
        &self,
        sort: &str,
        reference: &Value,
        contained: Option<&Value>,
        path: &str,
        effect: Effect,
    ) -> Result<Vec<Grantee>, FhirError> {
        let refused = |why: &str| Err(FhirError::new(path, why));
        let name = || self.name(reference, path).map(Some);
        let none = GranteeKeys::default();
        let keys = match sort {
            "Practitioner" | "PractitionerRole" => GranteeKeys { professional: name()?, ..none },
            "Organization" => GranteeKeys { organisation: Some(self.organisation(reference, path)?), ..none },
            "Patient" if self.is_patient(reference) => GranteeKeys { person: Some(ActorName::patient()), ..none },
            "Patient" | "RelatedPerson" => GranteeKeys { person: name()?, ..none },
            "Device" => GranteeKeys { app: name()?, ..none },
            "CareTeam" => GranteeKeys { team: Some(self.team(reference, path)?), ..none },
            "Group" => return self.members(contained, path, effect),
            "" => return refused("nothing says what this refers to: give its type"),
            other => return refused(&format!("a {other} can't be permitted or denied")),
        };
        Ok(vec![Grantee::Keys(Box::new(keys))])
    }

    /// The sort of thing that a reference means: by its type, else by the system of its identifier.
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

    /// Tells whether nothing but a reference names whom a denial is for: nobody asks for access under it.
    fn is_nobodys_name(&self, sort: &str, reference: &Value) -> bool {
        let (_, identifiers) = self.references.named_outside(reference);
        let has_practitioner =
            || self.references.contained(reference).is_some_and(|role| role.get("practitioner").is_some());
        match sort {
            // Its own identifier is that of a post, and not of a professional.
            "PractitionerRole" => {
                !has_practitioner() && !identifiers.iter().any(|(system, value)| is_of_professionals(system, value))
            }
            "Patient" if self.is_patient(reference) => false,
            "Practitioner" | "Organization" | "Patient" | "RelatedPerson" | "Device" => {
                counting(&identifiers).is_none()
            }
            _ => false,
        }
    }

    /// A professional as one of a structure: both must match.
    fn role(&self, role: &Value, path: &str, effect: Effect) -> Result<GranteeKeys, FhirError> {
        let sorts = [("practitioner", "Practitioner"), ("organization", "Organization")];
        for (reference, sort) in sorts.iter().filter_map(|(name, sort)| Some((role.get(name)?, *sort))) {
            if let Some(why) = self.references.contained(reference).and_then(|found| unclear(found, effect)) {
                return Err(FhirError::new(path, why));
            }
            if effect == Effect::Deny && self.is_nobodys_name(sort, reference) {
                return Err(matches_nobody(path));
            }
        }
        let professional = Some(self.name(&role["practitioner"], path)?);
        let organisation = match role.get("organization") {
            Some(organisation) => Some(self.organisation(organisation, path)?),
            None => None,
        };
        Ok(GranteeKeys { professional, organisation, ..GranteeKeys::default() })
    }

    fn members(&self, group: Option<&Value>, path: &str, effect: Effect) -> Result<Vec<Grantee>, FhirError> {
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
            out.extend(self.referenced(entity, path, effect)?);
        }
        Ok(out)
    }

    /// Tells whether a reference means the Consent's own patient.
    pub fn is_patient(&self, reference: &Value) -> bool {
        let (own, theirs) = (self.references.named_outside(self.patient), self.references.named_outside(reference));
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
        let (target, identifiers) = self.references.named_outside(reference);
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
        // Memberships name it as the establishment does, which has one server.
        let as_written = Self { references: self.references.as_written(), ..*self };
        let (_, id) = as_written.identified(reference, path)?;
        fitting(id, TOKEN_BYTES_MAX, path)
    }

    /// The id of an item, as an imported AuditEvent names it.
    pub fn item(&self, reference: &Value, path: &str) -> Result<String, FhirError> {
        let target = match (self.is_ours, text(reference, "reference")) {
            (true, target) => target.to_owned(),
            (false, target) => self.references.outside(bare(target).text),
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

    /// Lets a denial name its items as their server does, too: whoever asks there may leave the server out.
    pub fn deny_as_written(&self, directive: &mut Directive) {
        let provisions = std::iter::once(&mut directive.provision).chain(&mut directive.except);
        for items in provisions.filter(|one| one.effect == Effect::Deny).filter_map(|one| one.items.as_mut()) {
            let more: Vec<String> =
                items.iter().filter_map(|item| self.references.inside(item).map(str::to_owned)).collect();
            items.extend(more);
        }
    }
}

/// A denial that names somebody as nobody asks for access.
pub(super) fn matches_nobody(path: &str) -> FhirError {
    let why = "a denial of whom nothing but a reference names would deny nothing: give an identifier with its system (RPPS, FINESS), \
               on the reference or in the resource that it means";
    FhirError::new(path, why)
}

/// Tells whether a grantee has a name that is a reference alone.
pub(super) fn is_a_reference(grantee: &Grantee) -> bool {
    let Grantee::Keys(keys) = grantee else { return false };
    let names = [&keys.professional, &keys.person, &keys.app].into_iter().flatten();
    let organisation = keys.organisation.as_deref().unwrap_or_default();
    let is_reference = organisation.starts_with("Organization/") || organisation.contains("/Organization/");
    names.into_iter().any(|name| name.system() == SYSTEM_REFERENCE)
        || is_reference
        || organisation.starts_with("urn:uuid:")
}

fn is_of_professionals(system: &str, value: &str) -> bool {
    let system = spelling::actor(system, value).map(|(system, _)| system).unwrap_or_default();
    system == spelling::PROFESSIONALS
}

/// Why it isn't known whom a resource means, or when: it isn't whole, or it says what a directive has no word for.
fn unclear(found: &Value, effect: Effect) -> Option<String> {
    if subsetted(found).is_some() || absent_in(found, "").is_some() {
        let why = "what this refers to isn't whole (SUBSETTED, or said to be absent): who is meant isn't known";
        return Some(why.to_owned());
    }
    let says = |what: &str| Some(format!("what this refers to {what}: who is meant isn't known"));
    if found.get("implicitRules").is_some() || has_modifier(found) {
        return says("has a modifierExtension or implicitRules, which may change its meaning");
    }
    if found.get("active").is_some_and(|active| *active != Value::Bool(true)) {
        return says("isn't active");
    }
    let is_list = |name: &str| {
        found.get(name).is_none_or(|listed| listed.as_array().is_some_and(|all| all.iter().all(Value::is_object)))
    };
    let is_object = |name: &str| found.get(name).is_none_or(Value::is_object);
    let is_said = |name: &str| found.get(name).is_none_or(Value::is_boolean);
    let is_member =
        |member: &Value| member["entity"].is_object() && member.get("inactive").is_none_or(Value::is_boolean);
    let has_types = ["identifier", "member", "characteristic"].into_iter().all(is_list)
        && ["practitioner", "organization"].into_iter().all(is_object)
        && is_said("actual")
        && list(found, "identifier")
            .iter()
            .all(|i| ["system", "value"].iter().all(|n| i.get(n).is_none_or(Value::is_string)))
        && list(found, "member").iter().all(is_member);
    if !has_types {
        return says("has elements of another type than FHIR R4 has there");
    }
    if found["actual"] == Value::Bool(false) {
        return says("is a Group of whoever is like this, and not of its members");
    }
    // A denial for whatever time and place covers what is meant; a permit would give more.
    let narrows = ["period", "code", "specialty", "location", "healthcareService", "availableTime", "notAvailable"];
    let of_role = text(found, "resourceType") == "PractitionerRole" && effect == Effect::Permit;
    let narrow = narrows.into_iter().find(|name| of_role && found.get(name).is_some());
    narrow.map(|name| {
        format!(
            "what this refers to says {name}, and a directive permits a professional at a structure: name these alone"
        )
    })
}

fn has_modifier(value: &Value) -> bool {
    match value {
        Value::Object(members) => {
            members.iter().any(|(name, value)| name == "modifierExtension" || has_modifier(value))
        }
        Value::Array(items) => items.iter().any(has_modifier),
        _ => false,
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
