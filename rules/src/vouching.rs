//! Vouching: a party vouches for the structures for which its actors act, the systems that name them, and the issuers of
//! the logins that it relays.
//!
//! A record and a request name their actor in free text, signed by a party. Their words on the actor count only as far
//! as that party may vouch for them: [`claims_of_record`] and [`claims_of_request`] say what that is. Which names a
//! party has is in the ledger; what is asked of it is one name at a time. Names are compared as they are, byte for
//! byte.

use std::collections::BTreeSet;

use sillage_proto::v1;

pub use crate::vouched::{ANY, Vouched, Vouching};

use crate::codes::Code;
use crate::consent::name::{PATIENT_SYSTEM, PERSON_SYSTEM, SOFTWARE_SYSTEM};
use crate::consent::{ActorKind, ActorName, Event};
use crate::decide::ParsedRequest;
use crate::error::RecordError;
use crate::kind::Kind;
use crate::record::ParsedRecord;
use crate::will::may_carry;

/// A thing for which a party has to vouch, so that something counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim<'r> {
    /// Which field says it.
    pub path: &'static str,
    /// The thing that is named.
    pub what: Vouched,
    /// The name; empty where one is missing: then who vouches for every name does.
    pub name: &'r str,
}

impl Claim<'_> {
    /// Why it doesn't count. Names of structures are no identities of persons, and yet they stand in no refusal.
    pub fn refusal(&self) -> RecordError {
        let what = self.what.text();
        let message = match self.name {
            "" => format!("no {what} is named, and the party that signs has to vouch for one"),
            _ => format!("the party that signs doesn't vouch for this {what}: sillage keys vouching"),
        };
        RecordError { code: Code::NotVouched, path: self.path.to_owned(), message }
    }
}

/// The claims of a record about its actor. `event` is what it means for decisions, where it decides something.
///
/// - The patient and persons prove who they are themselves: whoever relays their login vouches for its issuer alone. Without a
///   login, nothing says that they acted: only where admission asks for none, as of what was `collected`, or where a will
///   proves it, is none claimed.
/// - Everybody else is named by a system of the party; who has a label alone is named by none.
/// - A structure is one of the party; a professional without one is nobody's.
/// - What has no actor was done by software, which counts where the record decides something.
pub fn claims_of_record<'r>(record: &'r ParsedRecord, event: Option<&'r Event>) -> Vec<Claim<'r>> {
    let message = record.message();
    let mut claims = claims_of_actor(message.actor.as_ref(), message.auth.as_ref());
    // Where the patient's side decides, admission says what proves them: a login, a will, evidence that was collected.
    let proven_elsewhere = match event {
        // Whoever opens sessions vouches for the issuer of each login; closing one gives nothing away.
        None if record.kind() == Kind::SESSION_OPENED => false,
        None if record.kind() == Kind::SESSION_CLOSED => true,
        None => may_carry(record.kind()) && message.will.is_some(),
        Some(event) => !matches!(event, Event::Deposit(_) | Event::ItemsDeleted(_)),
    };
    if !proven_elsewhere {
        claims.extend(login_missing(message.actor.as_ref(), message.auth.as_ref()));
    }
    let happened = record.kind().is_access() || record.kind().is_movement();
    if message.actor.is_none() && event.is_some() && !happened {
        claims.push(Claim { path: "actor", what: Vouched::ActorSystem, name: SOFTWARE_SYSTEM });
    }
    let of_patient = message.actor.as_ref().is_some_and(|actor| proves_itself(&actor.system));
    match event {
        Some(Event::BreakGlassOpened(opened)) => {
            if let Some(actor) = &opened.actor {
                claims.push(Claim { path: "details.actor", what: Vouched::ActorSystem, name: actor.system() });
            }
            claims.extend(opened.organisation.as_deref().map(|name| structure("details.organisation", name)));
        }
        Some(Event::Deposit(items)) => {
            let own = message.actor.as_ref().map(|actor| actor.system.as_str());
            let named = items.iter().filter_map(|item| item.depositor.as_ref()).map(ActorName::system);
            let others: BTreeSet<&str> =
                named.filter(|system| !proves_itself(system) && Some(*system) != own).collect();
            let claim = |name| Claim { path: "items.depositor", what: Vouched::ActorSystem, name };
            // Without an actor, software deposited it, which needs nobody's word.
            claims.extend(others.into_iter().filter(|name| own.is_some() || *name != SOFTWARE_SYSTEM).map(claim));
        }
        // Where the patient limits a membership to a structure, it is the patient's choice.
        Some(Event::Joined(membership)) if !of_patient => {
            claims.extend(membership.organisation.as_deref().map(|name| structure("details.organisation", name)));
        }
        _ => {}
    }
    claims
}

/// The claims of a request about its actor.
pub fn claims_of_request(request: &ParsedRequest) -> Vec<Claim<'_>> {
    let message = request.message();
    let mut claims = claims_of_actor(message.actor.as_ref(), message.auth.as_ref());
    claims.extend(login_missing(message.actor.as_ref(), message.auth.as_ref()));
    claims
}

/// Nobody takes a patient into their own hands on their own word: a professional joins a care team when the patient says
/// so, or someone else of the structure.
///
/// # Errors
/// `NOT_ENTITLED`.
pub fn check_own_word(event: &Event, signer: &ActorName) -> Result<(), RecordError> {
    match event {
        Event::Joined(membership) if membership.professional == *signer => {
            let message =
                "nobody joins a care team on their own word: the patient signs it, or another of the structure";
            Err(RecordError { code: Code::NotEntitled, path: "actor".to_owned(), message: message.to_owned() })
        }
        _ => Ok(()),
    }
}

fn structure<'r>(path: &'static str, name: &'r str) -> Claim<'r> {
    Claim { path, what: Vouched::Structure, name }
}

/// Tells whether an actor of this system is established by a login that is relayed, and by nobody's word.
fn proves_itself(system: &str) -> bool {
    matches!(system, PATIENT_SYSTEM | PERSON_SYSTEM)
}

/// An issuer is missing where a patient or a person acts and no login is relayed.
fn login_missing<'r>(actor: Option<&'r v1::Actor>, auth: Option<&'r v1::Authentication>) -> Option<Claim<'r>> {
    let missing = auth.is_none() && actor.is_some_and(|actor| proves_itself(&actor.system));
    missing.then_some(Claim { path: "auth", what: Vouched::Issuer, name: "" })
}

fn claims_of_actor<'r>(actor: Option<&'r v1::Actor>, auth: Option<&'r v1::Authentication>) -> Vec<Claim<'r>> {
    let mut claims = Vec::new();
    if let Some(actor) = actor {
        if !proves_itself(&actor.system) {
            claims.push(Claim { path: "actor.system", what: Vouched::ActorSystem, name: &actor.system });
        }
        let name = ActorName::new(&actor.system, &actor.id);
        let kind = name.map(|name| ActorKind::of(&name, !actor.role.is_empty()));
        // A name that no rule is about stands for nobody.
        let acts_for_one = matches!(kind, Ok(ActorKind::Professional));
        if !actor.organisation.is_empty() || acts_for_one {
            claims.push(structure("actor.organisation", &actor.organisation));
        }
    }
    if let Some(auth) = auth {
        claims.push(Claim { path: "auth.issuer", what: Vouched::Issuer, name: &auth.issuer });
    }
    claims
}

#[cfg(test)]
#[path = "vouching_tests.rs"]
mod tests;
