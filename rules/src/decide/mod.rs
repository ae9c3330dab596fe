//! The decision procedure: may this actor do this with these items of this patient, now?
//!
//! One pure function, [`decide`], walks the table [`steps::STEPS`] for each item; the first decisive step wins. The same
//! function decides at apply, in `sillage policy test`, and in whatever explains a decision afterwards.
//!
//! Where to start reading:
//!
//! - [`steps`]: the table, with the reasons and the articles of law beside each step; [`reason`]: the words;
//! - [`facts`]: what is known of an item; [`request`]: a request as it is signed;
//! - [`record`]: what is put on record of a decision, in two parts; [`message`]: what is signed;
//! - [`pairing`]: which two tags are one patient's.

pub mod facts;
mod matching;
pub mod message;
pub mod pairing;
pub mod reason;
pub mod record;
pub mod request;
pub mod steps;

use sillage_proof::hash::{LeafIndex, LedgerTimeMs};
use sillage_proof::keys::AuthorId;

pub use facts::{ItemFacts, check_contradictions};
pub use pairing::TagPairing;
pub use reason::{Obligation, Reason};
pub use request::ParsedRequest;

use crate::consent::{Action, Actor, ActorKind, Env, PatientState};

/// The question that is decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The actor that asks.
    pub actor: Actor,
    /// The action that it wants to do.
    pub action: Action,
    /// The purpose.
    pub purpose: String,
    /// When: ledger time.
    pub at: LedgerTimeMs,
    /// With what.
    pub items: Vec<ItemFacts>,
    /// The party on whose word alone it is the actor who asks: rights that name a person count only within the structure for
    /// which that person acts, and what nobody but this party says counts for nothing. None where the actor's own login is
    /// proven, or the log takes such words.
    pub word_of: Option<AuthorId>,
}

impl Request {
    /// Tells whether a right counts that names the actor as a person, given within `structure`. Applications, projects and
    /// software have no login.
    fn counts_for_person(&self, structure: Option<&str>) -> bool {
        let is_person = matches!(self.actor.kind, ActorKind::Professional | ActorKind::Person);
        self.word_of.is_none() || !is_person || self.actor.is_of(structure)
    }
}

/// The decision on one item, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemDecision {
    /// The item.
    pub id: String,
    /// True if the actor may use it.
    pub permit: bool,
    /// Why: for the patient and auditors, never for the actor.
    pub reason: Reason,
    /// The records that decided, ascending.
    pub consulted: Vec<LeafIndex>,
    /// The request says of the item what isn't so, and the actor may know of the item.
    pub contradicted: bool,
}

/// The versions of what holds for all patients.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Versions {
    /// Of the policy.
    pub policy: String,
    /// Of the habilitation matrix.
    pub matrix: String,
    /// Of the catalogue of applications.
    pub catalogue: String,
}

/// The decision on a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Per item, in the order of the request.
    pub items: Vec<ItemDecision>,
    /// The actor's obligations, for the items that it may use.
    pub obligations: Vec<Obligation>,
    /// The versions of the rules by which it was decided.
    pub versions: Versions,
}

impl Decision {
    /// The items that the actor may use.
    pub fn permitted(&self) -> Vec<&str> {
        self.items.iter().filter(|item| item.permit).map(|item| item.id.as_str()).collect()
    }

    /// The items that the actor is told of: those permitted, and those that are somebody else's to change. All others
    /// look as if they weren't there.
    pub fn told(&self) -> Vec<&str> {
        self.items.iter().filter(|item| item.reason.is_told()).map(|item| item.id.as_str()).collect()
    }
}

/// Decides. `state` is that of the patient's open tag, `secret` that of the second one where the requester has it; both
/// as of now in log order.
///
/// Rules of the secret tag count for the items that are kept there alone: what is decided on the others reads as if there
/// were no secret tag.
pub fn decide(env: &Env<'_>, state: &PatientState, secret: Option<&PatientState>, request: &Request) -> Decision {
    let asking = steps::RequestCase::new(env, state, secret, request);
    let items: Vec<ItemDecision> = request.items.iter().map(|item| asking.decide(item)).collect();
    let breaks_glass = items.iter().any(|item| item.reason == Reason::BreakGlass);
    let versions = Versions {
        policy: env.policy.version.clone(),
        matrix: env.matrix.version.clone(),
        catalogue: env.catalogue.version.clone(),
    };
    let obligations = if breaks_glass { Obligation::ALL.to_vec() } else { Vec::new() };
    Decision { items, obligations, versions }
}

/// Tells whether an item is kept from representatives: deposited under the secret tag, or marked as a minor's secret. Such
/// items of a request are decided and put on record apart, so that the open tag doesn't tell of them.
/// `across_servers`: [`Env::across_servers`].
pub fn is_secret(item: &ItemFacts, open: &PatientState, secret: Option<&PatientState>, across_servers: bool) -> bool {
    let marked = |state: &PatientState| state.secrets_of(&item.id, across_servers).next().is_some();
    item.secret || marked(open) || secret.is_some_and(marked)
}
