//! Names of actors, and the statements of a record about them.

use std::fmt;
use std::str::FromStr;

use sillage_proof::hash::{Hash, sha256};
use sillage_proof::keys::AuthorId;
use sillage_proto::v1;

use crate::check;
use crate::codes::Code;
use crate::error::RecordError;
use crate::ident::{self, IdentError, resource, spelling};
use crate::limits::ID_BYTES_MAX;

/// The system of the patient of a record; the id is `self`.
pub const PATIENT_SYSTEM: &str = "urn:sillage:patient";
/// The id of the patient of a record.
pub const PATIENT_ID: &str = "self";
/// The system of persons who are neither the patient nor professionals.
pub const PERSON_SYSTEM: &str = "urn:sillage:person";
/// The system of applications; the id is the application's, or `application@version`.
pub const APP_SYSTEM: &str = "urn:sillage:app";
/// The system of research projects.
pub const PROJECT_SYSTEM: &str = "urn:sillage:project";
/// The system of software that acts on its own.
pub const SOFTWARE_SYSTEM: &str = "urn:sillage:system";
/// The system of the ledger's parties; the id is an author id.
pub const AUTHOR_SYSTEM: &str = "urn:sillage:author";
/// The system of health professionals: RPPS numbers and other national ids.
pub const PROFESSIONAL_SYSTEM: &str = "urn:oid:1.2.250.1.71.4.2.1";

/// The beginning of the systems that this ledger gives out.
const OWN_SYSTEMS: &str = "urn:sillage:";
/// The beginning of the systems of actors whom a FHIR document names without an identifier: by a reference, or a name
/// alone.
const OF_FHIR: &str = "urn:sillage:fhir:";

/// Checks that an author may name the actors of a record as it does, from feature level 4 on: what is the ledger's own, it
/// names itself alone. A party with the role authority may name itself, by its author id and by nothing else.
///
/// # Errors
/// `ACTOR_RESERVED`, with the path.
pub fn check_reserved(record: &v1::Record, author: &AuthorId, authority: bool) -> Result<(), RecordError> {
    let agents = record.agents.iter().filter_map(|agent| agent.who.as_ref());
    let named = record.actor.iter().map(|actor| ("actor", actor)).chain(agents.map(|who| ("agents", who)));
    for (path, actor) in named {
        let system = actor.system.to_ascii_lowercase();
        let free = [PATIENT_SYSTEM, PERSON_SYSTEM, APP_SYSTEM, PROJECT_SYSTEM, SOFTWARE_SYSTEM].contains(&&system[..])
            || system.starts_with(OF_FHIR);
        let itself = authority
            && system == AUTHOR_SYSTEM
            && actor.id == author.to_string()
            && [&actor.label, &actor.role, &actor.organisation].iter().all(|text| text.is_empty());
        if system.starts_with(OWN_SYSTEMS) && !free && !itself {
            let why = "names of this system are the ledger's alone: name the professional, the person or the software that acted";
            return Err(RecordError::new(Code::ActorReserved, path, why));
        }
    }
    Ok(())
}

/// An actor's name: a URI of an identifier system and an id there, written `system|id`. Numbers of health professionals
/// are normalised (`8` and RPPS is the RPPS).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorName {
    system: String,
    id: String,
}

impl ActorName {
    /// Checks and normalises a name.
    ///
    /// # Errors
    /// `UNKNOWN_TOKEN` when the system isn't a URI or the id is empty, `INVALID_IDENTIFIER` when the id has not the form
    /// that its system asks for, `MALFORMED_RECORD` beyond the bounds of an actor.
    pub fn new(system: &str, id: &str) -> Result<Self, RecordError> {
        check::line("system", system, ID_BYTES_MAX)?;
        check::line("id", id, ID_BYTES_MAX)?;
        if !is_uri(system) {
            let why = "not a URI, such as urn:oid:1.2.250.1.71.4.2.1";
            return Err(RecordError::new(Code::UnknownToken, "system", why));
        }
        if id.is_empty() || id.trim() != id {
            let why = "an actor's id is missing, or has spaces around it";
            return Err(RecordError::new(Code::UnknownToken, "id", why));
        }
        let id = ident::normalise_actor(system, id)
            .map_err(|error| RecordError::new(Code::InvalidIdentifier, "id", error.to_string()))?;
        Ok(Self { system: system.to_owned(), id })
    }

    /// A name in its one spelling (`docs/consent.md`, "One spelling").
    ///
    /// # Errors
    /// As for [`ActorName::new`], and `INVALID_SPELLING` where it has none.
    pub fn spelled(system: &str, id: &str) -> Result<Self, RecordError> {
        let (system, id) = spelling::actor(system, id).map_err(|error| {
            let path =
                if matches!(error, IdentError::NoUri | IdentError::System | IdentError::Oid) { "system" } else { "id" };
            RecordError::new(error.code(), path, error.to_string())
        })?;
        Self::new(&system, &id)
    }

    /// The name in its one spelling, as far as one that is on record from before can be brought to it.
    pub fn on_record(&self) -> Self {
        let (system, id) = spelling::actor_on_record(&self.system, &self.id);
        Self::new(&system, &id).unwrap_or_else(|_| self.clone())
    }

    /// The hashes that may stand for a revoked actor: [`ActorName::hash`] of the name, and of what it may have been
    /// called before there was one spelling.
    pub fn hashes(&self) -> impl Iterator<Item = Hash> {
        let older = spelling::older_names(&self.system, &self.id).into_iter();
        let older = older.map(|(system, id)| Self { system, id }.hash());
        std::iter::once(self.hash()).chain(older)
    }

    /// The patient of the record that names them.
    pub fn patient() -> Self {
        Self { system: PATIENT_SYSTEM.to_owned(), id: PATIENT_ID.to_owned() }
    }

    /// The URI of the identifier system.
    pub fn system(&self) -> &str {
        &self.system
    }

    /// The id in that system.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Tells whether it is the patient of the record that names them.
    pub fn is_patient(&self) -> bool {
        self.system == PATIENT_SYSTEM
    }

    /// Tells whether what is said of this name is said of `actor`: the same name, or a version of the application that this
    /// names without one.
    pub fn covers(&self, actor: &Self) -> bool {
        self == actor || actor.without_version().as_ref() == Some(self)
    }

    /// Tells whether both names may mean one actor whom a FHIR document names by a reference: what is said of
    /// `Practitioner/1` may be said of that of any server.
    pub fn may_be(&self, other: &Self) -> bool {
        self == other
            || self.system == other.system
                && self.system.starts_with(OF_FHIR)
                && resource::may_be_one(&self.id, &other.id)
    }

    /// The application without its version; `None` where there is none.
    pub fn without_version(&self) -> Option<Self> {
        let (id, _) = self.id.rsplit_once('@').filter(|_| self.system == APP_SYSTEM)?;
        Some(Self { system: self.system.clone(), id: id.to_owned() })
    }

    /// The hash that stands for it where no identity may stand: `H("sillage/actor/v1\0" ‖ system ‖ "|" ‖ id)`.
    pub fn hash(&self) -> Hash {
        sha256(&[b"sillage/actor/v1\0", self.system.as_bytes(), b"|", self.id.as_bytes()])
    }
}

/// A scheme and a colon, and no character that ends a system in `system|id`.
fn is_uri(system: &str) -> bool {
    let Some((scheme, rest)) = system.split_once(':') else {
        return false;
    };
    let in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte);
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(in_scheme)
        && !rest.is_empty()
        && !system.contains(['|', ' '])
}

impl fmt::Display for ActorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}", self.system, self.id)
    }
}

/// Names of persons don't get into logs by accident.
impl fmt::Debug for ActorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorName({}|..)", self.system)
    }
}

impl FromStr for ActorName {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Self, RecordError> {
        let (system, id) = text.split_once('|').ok_or_else(|| {
            let why = "not an actor: a URI, `|` and an id";
            RecordError::new(Code::UnknownToken, "", why)
        })?;
        Self::new(system, id)
    }
}

impl serde::Serialize for ActorName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ActorName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(|error: RecordError| super::details::coded(&error))
    }
}

/// The kind of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActorKind {
    /// The patient whose record it is.
    Patient,
    /// A person who is neither the patient nor here as a professional.
    Person,
    /// A health professional.
    Professional,
    /// An application.
    App,
    /// A research project.
    Project,
    /// Software of a service, or a party of the ledger.
    System,
}

impl ActorKind {
    /// The kind of an actor of this name, given whether a role is said of it.
    pub fn of(name: &ActorName, has_role: bool) -> Self {
        match name.system() {
            PATIENT_SYSTEM => Self::Patient,
            APP_SYSTEM => Self::App,
            PROJECT_SYSTEM => Self::Project,
            SOFTWARE_SYSTEM | AUTHOR_SYSTEM => Self::System,
            PERSON_SYSTEM => Self::Person,
            PROFESSIONAL_SYSTEM => Self::Professional,
            _ if has_role => Self::Professional,
            _ => Self::Person,
        }
    }
}

/// The actor, as far as decisions need to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The name.
    pub name: ActorName,
    /// The kind of actor; follows from the name's system, and from the role where the system is another's.
    pub kind: ActorKind,
    /// Professionals: the profession, a token.
    pub profession: Option<String>,
    /// The structure it acts for: FINESS or another id.
    pub organisation: Option<String>,
}

impl Actor {
    /// The actor that a record or a request names.
    ///
    /// # Errors
    /// When it has no name that decisions could be about: see [`ActorName::new`].
    pub fn from_record(actor: &v1::Actor) -> Result<Self, RecordError> {
        let name = ActorName::new(&actor.system, &actor.id)?;
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        let (role, organisation) = (given(&actor.role), given(&actor.organisation));
        if name.is_patient() && name.id() != PATIENT_ID {
            let why = "of this system, `self` alone is known: the patient of the record";
            return Err(RecordError::new(Code::UnknownToken, "id", why));
        }
        let kind = ActorKind::of(&name, role.is_some());
        let profession = role.filter(|_| kind == ActorKind::Professional);
        Ok(Self { name, kind, profession, organisation })
    }

    /// The signer of a record: its actor, or the software that acted on its own.
    ///
    /// # Errors
    /// As for [`Actor::from_record`], or when it names neither.
    pub fn of(record: &v1::Record) -> Result<Self, RecordError> {
        if let Some(actor) = &record.actor {
            return Self::from_record(actor).map_err(|error| error.within("actor"));
        }
        let software = record.automated.as_ref().map_or("", |automated| automated.software.as_str());
        let name = ActorName::new(SOFTWARE_SYSTEM, software.trim())
            .map_err(|_| RecordError::malformed("actor", "missing: who signs it"))?;
        Ok(Self { name, kind: ActorKind::System, profession: None, organisation: None })
    }

    /// The patient of the record.
    pub fn patient() -> Self {
        Self { name: ActorName::patient(), kind: ActorKind::Patient, profession: None, organisation: None }
    }

    /// Software without a name, which no rule is about.
    pub(crate) fn nobody() -> Self {
        let name = ActorName { system: SOFTWARE_SYSTEM.to_owned(), id: String::new() };
        Self { name, kind: ActorKind::System, profession: None, organisation: None }
    }

    /// Tells whether the actor is of this structure.
    pub fn is_of(&self, organisation: Option<&str>) -> bool {
        organisation.is_some() && self.organisation.as_deref() == organisation
    }

    /// Tells whether the actor may be of this structure, also under another name of the same FHIR resource.
    pub fn may_be_of(&self, organisation: &str) -> bool {
        self.organisation.as_deref().is_some_and(|own| resource::may_be_one(own, organisation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(system: &str, id: &str, role: &str) -> Result<Actor, Code> {
        let actor = v1::Actor { system: system.into(), id: id.into(), role: role.into(), ..v1::Actor::default() };
        Actor::from_record(&actor).map_err(|error| error.code)
    }

    #[test]
    fn the_system_says_what_an_actor_is() {
        let kind = |system, id, role| actor(system, id, role).expect("an actor").kind;
        assert_eq!(kind(PATIENT_SYSTEM, "self", ""), ActorKind::Patient);
        assert_eq!(kind(PERSON_SYSTEM, "marie", "mother"), ActorKind::Person);
        assert_eq!(kind(APP_SYSTEM, "poids@2", ""), ActorKind::App);
        assert_eq!(kind(PROJECT_SYSTEM, "cohort", ""), ActorKind::Project);
        assert_eq!(kind(SOFTWARE_SYSTEM, "dmp", ""), ActorKind::System);
        assert_eq!(kind(PROFESSIONAL_SYSTEM, "10100000012", ""), ActorKind::Professional);
        assert_eq!(kind("urn:oid:1.2.3", "x", "nurse"), ActorKind::Professional);
        assert_eq!(kind("urn:oid:1.2.3", "x", ""), ActorKind::Person);
    }

    #[test]
    fn a_professional_has_one_name() {
        let card = actor(PROFESSIONAL_SYSTEM, "810100000012", "").expect("an actor");
        assert_eq!(card, actor(PROFESSIONAL_SYSTEM, "10100000012", "").expect("an actor"));
        assert_eq!(card.name.to_string(), "urn:oid:1.2.250.1.71.4.2.1|10100000012");
        assert_eq!(card.name.to_string().parse(), Ok(card.name));
    }

    #[test]
    fn what_names_no_one_is_refused() {
        assert_eq!(actor("RPPS", "10100000012", ""), Err(Code::UnknownToken));
        assert_eq!(actor("urn:a|b", "1", ""), Err(Code::UnknownToken));
        assert_eq!(actor(PERSON_SYSTEM, "", ""), Err(Code::UnknownToken));
        assert_eq!(actor(PERSON_SYSTEM, " ", ""), Err(Code::UnknownToken));
        assert_eq!(actor(PATIENT_SYSTEM, "other", ""), Err(Code::UnknownToken));
        assert_eq!(actor(PROFESSIONAL_SYSTEM, "12", ""), Err(Code::InvalidIdentifier));
        assert_eq!(actor(PERSON_SYSTEM, "a\u{7}", ""), Err(Code::MalformedRecord));
    }

    #[test]
    fn an_application_covers_its_versions_and_a_version_only_itself() {
        let app = |id| actor(APP_SYSTEM, id, "").expect("an actor").name;
        assert!(app("poids").covers(&app("poids")));
        assert!(app("poids").covers(&app("poids@2")));
        assert!(!app("poids@2").covers(&app("poids")));
        assert!(!app("poids@2").covers(&app("poids@3")));
        assert!(!app("poids").covers(&app("poids2")));
        let person = |id| actor(PERSON_SYSTEM, id, "").expect("an actor").name;
        assert!(!person("a").covers(&person("a@b")), "a mail address has no version");
    }
}
