//! The session of a patient at a portal (`docs/formats-doors.md` §25): one login, under which a portal reads this patient, and signs
//! what they decide, with the session's own key.
//!
//! Two processes take part. One logs the person in and records that the session begins ([`opening`]); the other one has the
//! session's key, and with it a [`PatientSession`]:
//!
//! ```no_run
//! # async fn example(ledger: sillage_client::session::Session, patient: sillage_client::patient_session::PatientSession)
//! #     -> Result<(), sillage_client::ClientError> {
//! use sillage_client::consent::{change::Change, known::AsOf};
//! use sillage_proto::v1::TraceRequest;
//! use sillage_rules::kind::Kind;
//!
//! let page = patient.trace(&ledger, &TraceRequest::default(), None, 50).await?;
//! let rules = patient.known(&ledger, AsOf::Now).await?;
//! let record = patient.sign(&ledger.origin, patient.record_of(&Change::bare(Kind::SPACE_CLOSED), 0, false)?)?;
//! # let _ = (page, rules, record);
//! # Ok(())
//! # }
//! ```
//!
//! `ledger` is the session of the portal's party with the log: its certificate opens the connection, and the ledger looks at each call
//! whether this patient's session is open.

pub mod opening;

use std::time::Instant;

use sillage_proof::batch::Origin;
use sillage_proof::policy::Policy;
use sillage_proof::tag::{Identity, PatientTag, WhichTag};
use sillage_proof::vrf::{VrfProof, VrfPublicKey};
use sillage_proto::v1;
use sillage_rules::bundle::{Bundle, BundleIdentity, Report};
use sillage_rules::consent::name::PATIENT_SYSTEM;
use sillage_rules::will::binding::record_digest;

use crate::author::{TagPair, encode};
use crate::bundle::{Wanted, fetch_of};
use crate::consent::change::Change;
use crate::consent::known::{AsOf, Known};
use crate::consent::who::Acting;
use crate::error::ClientError;
use crate::session::Session;
use crate::trace::{Page, read_page};
use crate::will;

/// Length of a VRF proof, bytes.
pub const PROOF_BYTES: usize = 80;

/// A tag with the VRF proof that it is the tag of one identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenTag {
    /// The tag.
    pub tag: PatientTag,
    /// Its proof (`docs/formats.md` §7).
    pub proof: [u8; PROOF_BYTES],
}

/// The patient of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// INS, 15 characters.
    pub ins: String,
    /// The OID of the INS.
    pub oid: String,
    /// The open tag.
    pub open: ProvenTag,
    /// The tag that is kept from representatives: in the patient's own session alone.
    pub secret: Option<ProvenTag>,
}

impl Subject {
    /// Checks that the tags are those of the identity. Nothing is read or signed under tags that somebody only said.
    ///
    /// # Errors
    /// [`ClientError::Check`] when a proof doesn't hold.
    pub fn check(&self, key: &VrfPublicKey) -> Result<(), ClientError> {
        let wrong = || ClientError::Check("a tag of this session is not proven to be the patient's".to_owned());
        let identity = Identity::new(&self.ins, &self.oid).map_err(|_| wrong())?;
        let sides = std::iter::once((&self.open, WhichTag::Open));
        for (own, which) in sides.chain(self.secret.iter().map(|own| (own, WhichTag::Secret))) {
            let proof = VrfProof::from_bytes(&own.proof).map_err(|_| wrong())?;
            own.tag.verify(key, &identity, which, &proof).map_err(|_| wrong())?;
        }
        Ok(())
    }

    /// The tag of the open or of the secret trace.
    ///
    /// # Errors
    /// `NOT_ENTITLED` where this session has no secret one.
    pub fn side(&self, secret: bool) -> Result<&ProvenTag, ClientError> {
        match secret {
            false => Ok(&self.open),
            true => self.secret.as_ref().ok_or_else(|| {
                ClientError::rejected("NOT_ENTITLED", "a representative's session has no part in the secret trace")
            }),
        }
    }

    /// Both tags, as readings take them.
    pub fn tags(&self) -> TagPair {
        (self.open.tag, self.secret.as_ref().map(|own| own.tag))
    }
}

/// An open session: who, for whom, and the key that signs.
pub struct PatientSession {
    /// The session's key, and the login that names it.
    pub login: will::Session,
    /// The patient.
    pub subject: Subject,
    /// The actor: the patient, or who represents them; and how they logged in.
    pub acting: Acting,
    /// When the session ends, by ledger time in ms.
    pub until_ms: u64,
}

impl PatientSession {
    /// Tells whether the patient acts, and nobody for them.
    pub fn is_own(&self) -> bool {
        self.acting.actor.system == PATIENT_SYSTEM
    }

    /// Tells whether it is over at this time, ms.
    pub fn is_over(&self, now_ms: u64) -> bool {
        now_ms >= self.until_ms
    }

    /// A page of the trace: of the open one, and of the secret one where the patient reads. Each line was checked.
    ///
    /// # Errors
    /// As for [`read_page`]; `NOT_ENTITLED` once the session is over.
    pub async fn trace(
        &self,
        ledger: &Session,
        filters: &v1::TraceRequest,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page, ClientError> {
        let (open, secret) = self.subject.tags();
        read_page(ledger, filters, &open, secret.as_ref(), cursor, limit).await
    }

    /// The rules that hold for the patient, folded here: effective rights and previews are made of it.
    ///
    /// # Errors
    /// As for [`Known::fetch`].
    pub async fn known(&self, ledger: &Session, as_of: AsOf) -> Result<Known, ClientError> {
        Known::fetch(ledger, self.subject.tags(), as_of).await
    }

    /// The patient's bundle (`docs/formats.md` §10) of one of the two traces, verified.
    ///
    /// # Errors
    /// As for [`crate::bundle::fetch`].
    pub async fn bundle(
        &self,
        ledger: &Session,
        secret: bool,
        policy: Option<&Policy>,
        deadline: Instant,
    ) -> Result<(Bundle, Report), ClientError> {
        let Subject { ins, oid, .. } = &self.subject;
        let own = self.subject.side(secret)?;
        let which_tag = if secret { WhichTag::Secret } else { WhichTag::Open };
        let identity = BundleIdentity { ins: ins.clone(), oid: oid.clone(), which_tag, proof: own.proof, tag: own.tag };
        let patient = v1::PatientIdentity { ins: ins.clone(), oid: oid.clone() };
        let wanted = Wanted { identity: patient, which_tag, from: 0, to: None, since: None };
        fetch_of(ledger, &wanted, &identity, policy, deadline).await
    }

    /// The record of a change, under the patient's tag. The same record may be signed again: its digest stays.
    ///
    /// # Errors
    /// With the fault of the change in itself; `NOT_ENTITLED` for the secret trace in a representative's session.
    pub fn record_of(&self, change: &Change, at_ms: u64, secret: bool) -> Result<v1::Record, ClientError> {
        let tag = self.subject.side(secret)?.tag;
        let record = change.to_message(&self.acting, at_ms);
        Ok(v1::Record { tag: tag.to_bytes().to_vec(), ..record })
    }

    /// Signs a record with the session's key: the canonical bytes for a batch of the portal's party.
    ///
    /// # Errors
    /// When the record isn't this patient's, isn't by who acts here, or breaks a rule of its kind.
    pub fn sign(&self, origin: &Origin, record: v1::Record) -> Result<Vec<u8>, ClientError> {
        let sides = [Some(&self.subject.open), self.subject.secret.as_ref()];
        let own = sides.into_iter().flatten().find(|own| own.tag.as_bytes()[..] == record.tag[..]);
        let own = own.ok_or_else(|| {
            ClientError::rejected("NOT_ENTITLED", "this record is of another patient than the session: begin again")
        })?;
        if record.actor.as_ref() != Some(&self.acting.actor) || record.auth != self.acting.auth {
            let why = "this record is by somebody else, or of another login, than the session: begin again";
            return Err(ClientError::rejected("NOT_ENTITLED", why));
        }
        let proof = if self.is_own() { own.proof.to_vec() } else { Vec::new() };
        let will = self.login.decide(origin, &record, proof);
        encode(v1::Record { will: Some(will), ..record }, 0)
    }

    /// The record that ends the session. Its kind carries no will.
    ///
    /// # Errors
    /// When the details can't be written.
    pub fn closing(&self, at_ms: u64) -> Result<Vec<u8>, ClientError> {
        encode(opening::closed(&self.subject, &self.acting, &self.login.key.public_key(), at_ms), 0)
    }
}

/// Where a record of this digest stands among what decides on a patient, if it is on record: a form that comes twice is answered with it.
/// Nodes refuse the second one (`LOGIN_REPLAYED`, `docs/formats.md` §20), whichever instance sends it.
pub fn on_record(known: &Known, record: &v1::Record) -> Option<(u64, u64)> {
    let wanted = record_digest(record);
    let lines = known.sides().flat_map(|(side, _)| &side.records).map(|decided| &decided.line);
    let is_it = |line: &&crate::checks::CheckedLine| {
        line.record.as_ref().is_some_and(|own| record_digest(own.message()) == wanted)
    };
    lines.into_iter().find(is_it).map(|line| (line.entry.index.get(), line.entry.time.get()))
}

#[cfg(test)]
mod tests;
