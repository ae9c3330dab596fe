//! Consent, as records state it: from a parsed record to a patient's state.
//!
//! Where to start reading:
//!
//! - [`event`]: what a record means for decisions; [`token`], [`name`], [`directive`], [`people`]: what it is made of;
//! - [`state`]: what is in force for one patient (`glass`: its broken glass; `by_item`: what is said of single items);
//!   [`apply`]: how a record changes it;
//! - [`in_force`]: what of a record still holds;
//! - [`admit`]: who may sign what, and what is refused with which code; [`caps`]: how many records one tag may have;
//! - [`env`]: policy, habilitation matrix, catalogue.
//!
//! The outcome is asked in [`crate::decide`]. `docs/consent.md` is the same for people.
//!
//! ```text
//! ParsedRecord ──Event::of──▶ Event ──PatientState::admit──▶ refused with a code
//!                                └──PatientState::apply──▶ PatientState ──decide──▶ Decision
//! ```

pub mod admit;
pub mod apply;
mod by_item;
pub mod caps;
pub(crate) mod details;
pub mod directive;
pub mod env;
pub mod event;
mod glass;
pub mod in_force;
pub mod name;
pub mod people;
pub mod spelling;
pub mod state;
pub mod token;

use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs};
use sillage_proof::keys::AuthorId;
use sillage_proto::v1;

pub use admit::RuleRefusal;
pub use directive::{Directive, Grantee, Provision};
pub use env::{Catalogue, Env, Matrix, Policy, ProvableBasis};
pub use event::{Event, opens_at_apply};
pub use name::{Actor, ActorKind, ActorName};
pub use people::{BreakGlass, DepositedItem, Feed, Membership, Representation};
pub use spelling::{Spell, Spelled};
pub use state::PatientState;
pub use token::{Action, Case, Effect, Power, Relation};

pub(crate) use token::tokens;

use crate::error::RecordError;
use crate::login::binding::record_digest;
use crate::record::ParsedRecord;

/// The ledger's own knowledge of a record, beside the record's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Its entry.
    pub index: LeafIndex,
    /// Its ledger time.
    pub time: LedgerTimeMs,
    /// The signer: the record's actor; the service that signs the batch vouches for them.
    pub signer: Actor,
    /// The batch is signed by a party with the role authority.
    pub authority: bool,
    /// The batch is signed by a party with the role patient of the record's tag.
    pub patient_key: bool,
    /// The record says how the actor proved who they are, at a sufficient level: [`is_authenticated`]; in a log that takes
    /// no will on a service's word, that is proven ([`crate::will`]).
    pub authenticated: bool,
    /// The record carries a proof of its will: what it decides, so that it is decided once.
    pub will: Option<Hash>,
    /// The party that signs the batch, where it is known: what nobody but that party says opens nothing to it
    /// ([`crate::decide::Request::word_of`]).
    pub party: Option<AuthorId>,
    /// The FHIR server that the record is from: of a Consent that was imported, as its `place.observer` says. None where that is no
    /// URL.
    pub server: Option<String>,
}

impl Meta {
    /// Of a record that decides something.
    ///
    /// # Errors
    /// When the record names no signer. Accesses never do: who can't be named is software without a name, and no rule
    /// is about it.
    pub fn of(
        record: &ParsedRecord,
        index: LeafIndex,
        time: LedgerTimeMs,
        authority: bool,
        patient_key: bool,
    ) -> Result<Self, RecordError> {
        let message = record.message();
        let happened = record.kind().is_access() || record.kind().is_movement();
        let signer = match Actor::of(message) {
            Err(_) if happened => Actor::nobody(),
            signer => signer?,
        };
        let authenticated = is_authenticated(message.auth.as_ref());
        let will = message.will.as_ref().map(|_| record_digest(message));
        let observer = message.place.as_ref().map(|place| place.observer.as_str());
        let server = observer.filter(|observer| observer.contains("://")).map(str::to_owned);
        Ok(Self { index, time, signer, authority, patient_key, authenticated, will, party: None, server })
    }
}

/// Tells whether it is said who established the identity, how, and at a sufficient level (eIDAS substantial or high).
pub fn is_authenticated(auth: Option<&v1::Authentication>) -> bool {
    auth.is_some_and(|auth| {
        let sufficient = matches!(auth.eidas_level.as_str(), "substantial" | "high");
        sufficient && !auth.issuer.is_empty() && !auth.method.is_empty()
    })
}
