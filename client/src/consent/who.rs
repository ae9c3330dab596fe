//! The actor, as it is written on a command line and stands in a record.

use sillage_proto::v1;
use sillage_rules::consent::name::{APP_SYSTEM, PERSON_SYSTEM, PROFESSIONAL_SYSTEM, PROJECT_SYSTEM};
use sillage_rules::consent::{ActorName, is_authenticated};
use sillage_rules::ident::{Checks, Rpps, check_actor};

use crate::error::ClientError;

/// The sorts of actor for which an id without a system may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Short {
    /// 11 digits (or `8` and 11 digits): a health professional. `self`: the patient.
    Any,
    /// An application's id, with or without `@version`.
    App,
    /// A research project's id.
    Project,
    /// A person's id.
    Person,
}

/// Reads an actor: `system|id`, or a short form.
///
/// # Errors
/// `UNKNOWN_TOKEN` or `INVALID_IDENTIFIER`, with the forms that are understood.
pub fn parse(text: &str, short: Short) -> Result<ActorName, ClientError> {
    let refused = |error: sillage_rules::record::RecordError| {
        ClientError::rejected(
            error.code.as_str(),
            format!("this isn't an actor ({error}): write `self` for the patient, an RPPS number, or `system|id`"),
        )
    };
    if text == "self" {
        return Ok(ActorName::patient());
    }
    if let Some((system, id)) = text.split_once('|') {
        return ActorName::spelled(system, id).map_err(refused);
    }
    let system = match short {
        Short::App => APP_SYSTEM,
        Short::Project => PROJECT_SYSTEM,
        Short::Any | Short::Person if Rpps::parse(text).is_ok() => PROFESSIONAL_SYSTEM,
        Short::Person => PERSON_SYSTEM,
        Short::Any => return text.parse().map_err(refused),
    };
    ActorName::spelled(system, text).map_err(refused)
}

/// Applies the rules of the log to a name. Gives what is doubtful about it.
///
/// # Errors
/// When the key of an RPPS number doesn't fit and the log is one of real persons.
pub fn check(name: &ActorName, checks: Checks) -> Result<Option<String>, ClientError> {
    let (_, doubt) = check_actor(name.system(), name.id(), checks)
        .map_err(|error| ClientError::rejected(error.code(), error.to_string()))?;
    Ok(doubt.map(|doubt| doubt.to_string()))
}

/// The signer of a record, and how they proved who they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Acting {
    /// The actor of the record.
    pub actor: v1::Actor,
    /// How they proved it; none where nothing is said.
    pub auth: Option<v1::Authentication>,
}

impl Acting {
    /// The actor with this name, and what else is said of them.
    pub fn new(name: &ActorName, profession: &str, organisation: &str, label: &str) -> Self {
        let actor = v1::Actor {
            system: name.system().to_owned(),
            id: name.id().to_owned(),
            role: profession.to_owned(),
            organisation: organisation.to_owned(),
            label: label.to_owned(),
        };
        Self { actor, auth: None }
    }

    /// Tells whether it is said who established the identity, how, and at a sufficient level.
    pub fn is_authenticated(&self) -> bool {
        is_authenticated(self.auth.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str, short: Short) -> String {
        parse(text, short).map_or_else(|error| error.to_string(), |name| name.to_string())
    }

    #[test]
    fn short_forms_stand_for_whole_names() {
        let rpps = "urn:oid:1.2.250.1.71.4.2.1|10100534436";
        assert_eq!(name("10100534436", Short::Any), rpps);
        assert_eq!(name("810100534436", Short::Any), rpps);
        assert_eq!(name(rpps, Short::App), rpps, "a whole name is never another");
        assert_eq!(name("self", Short::Any), "urn:sillage:patient|self");
        assert_eq!(name("poids@2", Short::App), "urn:sillage:app|poids@2");
        assert_eq!(name("cohorte-7", Short::Project), "urn:sillage:project|cohorte-7");
        assert_eq!(name("p7", Short::Person), "urn:sillage:person|p7");
    }

    #[test]
    fn what_is_no_actor_says_what_would_be_one() {
        for text in ["dr-x", "", "RPPS|1", "urn:x|", "123"] {
            let error = parse(text, Short::Any).expect_err(text);
            assert_eq!(error.exit_code(), 4, "{text}");
            assert!(error.to_string().contains("system|id"), "{error}");
        }
    }
}
