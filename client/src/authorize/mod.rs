//! "May I?": a service asks, the ledger decides in the order of its log, and a node signs the answer.
//!
//! - [`Authorizer`] asks, and believes only what it has verified; [`authorize`] is the same in one call;
//! - [`receipt`]: the answer as a file, `.sillage-receipt` (`docs/formats.md`), and what it proves without network;
//! - [`said`]: what a receipt says, in words;
//! - [`release`]: what a record store asks of a receipt before it gives anything out. No receipt, no data.
//!
//! ```no_run
//! # async fn example(session: &sillage_client::session::Session, ask: sillage_client::authorize::Ask)
//! # -> Result<(), sillage_client::ClientError> {
//! use sillage_client::authorize::authorize;
//!
//! for answer in authorize(session, vec![ask]).await? {
//!     let granted = answer.map_err(sillage_client::ClientError::Rejected)?;
//!     println!("{:?} may be shown, until {:?}", granted.permitted, granted.expires_at_ms());
//! }
//! # Ok(())
//! # }
//! ```

pub mod receipt;
pub mod release;
pub mod said;

use sillage_proof::hash::Hash;
use sillage_proof::keys::{ALG_ED25519, PublicKey, SigningKey};
use sillage_proof::tag::PatientTag;
use sillage_proto::v1;
use sillage_rules::consent::{is_authenticated, spelling};
use sillage_rules::decide::ParsedRequest;
use sillage_rules::decide::message::{AUTHORIZE_REQUESTS_MAX, AuthorizeMessage};
use sillage_rules::decide::request::REQUEST_VERSION;
use sillage_rules::record::RecordError;
use sillage_rules::will::REQUESTS_FROM_LEVEL;

use crate::author::{Signer, TagRequest, Tags, tags_of};
use crate::checks::failed;
use crate::error::{ClientError, Rejection};
use crate::session::Session;
use crate::will::Logins;
use receipt::Receipt;

/// The purpose of a break-glass.
pub const BREAK_GLASS: &str = "BTG";

/// One question: may this actor do this with these documents of this patient?
#[derive(Debug, Clone)]
pub struct Ask {
    /// The patient whose documents they are: the INS and its OID.
    pub patient: v1::PatientIdentity,
    /// The actor.
    pub actor: v1::Actor,
    /// How the actor proved who they are; the session's login proves it, where it has one.
    pub auth: Option<v1::Authentication>,
    /// read, search, write, update, download, print, export or delete.
    pub action: String,
    /// Why: a code of v3-PurposeOfUse.
    pub purpose: String,
    /// With what: 1 to 256, each with an id; category, labels and depositor where no deposit is on record.
    pub items: Vec<v1::Item>,
    /// Ids that join it to other logs.
    pub correlation: Option<v1::Correlation>,
}

/// An answer that was verified: signed by a node of the log, and about what was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Granted {
    /// The decisions on record: under the open tag and, where documents under the secret tag were permitted, under that one.
    pub receipts: Vec<Receipt>,
    /// Ids of the documents that the actor may use.
    pub permitted: Vec<String>,
    /// Ids of the documents that the actor may know of. All others are to look as if they weren't there.
    pub told: Vec<String>,
    /// The actor's obligations: `JUSTIFY`, `NOTIFY_PATIENT`, `NOTIFY_ATTENDING`, `REVIEW`.
    pub obligations: Vec<String>,
}

impl Granted {
    /// Until when it stands, excluded, ms since 1970: the first of its receipts to end.
    pub fn expires_at_ms(&self) -> Option<u64> {
        self.receipts.iter().map(|receipt| receipt.view.actor.expires_at_ms).min()
    }
}

/// Asks on behalf of one service, many times.
pub struct Authorizer<'a> {
    session: &'a Session,
    signer: Signer,
    tags: Tags,
}

/// Asks once. Gives one answer for each question, in their order: one that was refused doesn't stop the others.
///
/// # Errors
/// As for [`Authorizer::authorize`].
pub async fn authorize(session: &Session, asks: Vec<Ask>) -> Result<Vec<Result<Granted, Rejection>>, ClientError> {
    Authorizer::open(session).await?.authorize(asks).await
}

impl<'a> Authorizer<'a> {
    /// Asks with the profile's author key.
    ///
    /// # Errors
    /// When the profile has none, or its party can't be found.
    pub async fn open(session: &'a Session) -> Result<Self, ClientError> {
        let signer = session.signer(session.profile.author_signing_key()?).await?;
        Ok(Self { session, signer, tags: tags_of(session) })
    }

    /// Asks 1 to 64 questions under one signature, as for a ward round. When it returns, the decisions are on record.
    ///
    /// # Errors
    /// `MALFORMED_REQUEST` before anything is sent; [`ClientError::Check`] when an answer can't be believed.
    pub async fn authorize(&self, asks: Vec<Ask>) -> Result<Vec<Result<Granted, Rejection>>, ClientError> {
        let identities: Vec<v1::PatientIdentity> = asks.iter().map(|ask| ask.patient.clone()).collect();
        let resolved = self.tags.proven(&identities).await?;
        let now_ms = crate::clock::now_ms();
        let mut requests = Vec::with_capacity(asks.len());
        let mut pairings = Vec::with_capacity(asks.len());
        let logins = self.logins(&asks).await?;
        for (position, (ask, resolved)) in asks.into_iter().zip(resolved).enumerate() {
            let v1::PatientIdentity { ins, oid } = ask.patient.clone();
            let pairing = resolved.pairing.unwrap_or_default();
            let mut message = message(ask, resolved.tags, now_ms, position)?;
            if let Some(logins) = &logins {
                let patient = TagRequest { ins, oid, secret: false };
                let key_id = self.signer.key.key_id();
                logins.prove_asker(&mut message, &key_id, (&patient, &pairing.proof), now_ms)?;
            }
            requests.push(parsed(message, position)?);
            pairings.push(pairing);
        }
        let urgent = requests.iter().any(|request| request.purpose() == BREAK_GLASS);
        let call = v1::AuthorizeRequest { pairings, ..sign(&self.signer, &requests, urgent)? };
        let answer = self
            .session
            .client
            .call_soon(|mut rpc| {
                let call = call.clone();
                async move { rpc.authorize(call).await }
            })
            .await?;
        if answer.decisions.len() != requests.len() {
            return Err(failed("the ledger answered another number of requests than it was asked: ask another node"));
        }
        let mut out = Vec::with_capacity(requests.len());
        for (request, answer) in requests.iter().zip(answer.decisions) {
            out.push(self.believe(request, answer).await?);
        }
        Ok(out)
    }

    /// The logins that prove who asks: where somebody is said to have logged in, and every node of the log knows such proofs.
    async fn logins(&self, asks: &[Ask]) -> Result<Option<&Logins>, ClientError> {
        let Some(logins) = self.session.logins.as_deref() else { return Ok(None) };
        if !asks.iter().any(|ask| is_authenticated(ask.auth.as_ref())) {
            return Ok(None);
        }
        let mut level = self.session.caller.feature_level;
        if level < REQUESTS_FROM_LEVEL {
            // It may have been raised since.
            let client = &self.session.client;
            let log = client.call(|mut rpc| async move { rpc.get_log(v1::GetLogRequest::default()).await }).await?;
            level = log.feature_level;
        }
        Ok(Some(logins).filter(|_| level >= REQUESTS_FROM_LEVEL))
    }

    async fn believe(
        &self,
        request: &ParsedRequest,
        answer: v1::Authorized,
    ) -> Result<Result<Granted, Rejection>, ClientError> {
        let keys = self.session.keys.node_keys();
        match checked(request, answer.clone(), &self.signer, &keys) {
            Err(ClientError::Check(_)) => {
                // A node's key may be newer than what is known here.
                self.session.keys.refresh(&self.session.client).await?;
                checked(request, answer, &self.signer, &self.session.keys.node_keys())
            }
            other => other,
        }
    }
}

fn refused(error: RecordError, position: usize) -> ClientError {
    ClientError::Rejected(Rejection {
        code: error.code.into(),
        message: error.to_string(),
        expected_seq: 0,
        position: u32::try_from(position).unwrap_or(u32::MAX),
    })
}

/// The request as it is signed.
fn parsed(message: v1::DecisionRequest, position: usize) -> Result<ParsedRequest, ClientError> {
    ParsedRequest::from_message(message).map_err(|error| refused(error, position))
}

/// The request, without the proof of who asks.
fn message(
    mut ask: Ask,
    (open, secret): (PatientTag, Option<PatientTag>),
    now_ms: u64,
    position: usize,
) -> Result<v1::DecisionRequest, ClientError> {
    let mut nonce = vec![0; 16];
    getrandom::fill(&mut nonce).map_err(|error| ClientError::Usage(format!("no randomness: {error}")))?;
    let refused = |error: RecordError| refused(error, position);
    spelling::spell_actor(&mut ask.actor).map_err(|error| refused(error.within("actor")))?;
    for (at, item) in ask.items.iter_mut().enumerate() {
        spelling::spell_item(item).map_err(|error| refused(error.within(&format!("items[{at}]"))))?;
    }
    Ok(v1::DecisionRequest {
        version: REQUEST_VERSION,
        tag: open.to_bytes().to_vec(),
        secret_tag: secret.map(|tag| tag.to_bytes().to_vec()).unwrap_or_default(),
        actor: Some(ask.actor),
        auth: ask.auth,
        action: ask.action,
        purpose: ask.purpose,
        items: ask.items,
        requested_at_ms: now_ms,
        nonce,
        correlation: ask.correlation,
        will: None,
    })
}

/// Puts one signature over all requests.
fn sign(signer: &Signer, requests: &[ParsedRequest], urgent: bool) -> Result<v1::AuthorizeRequest, ClientError> {
    let hashes: Vec<Hash> = requests.iter().map(ParsedRequest::hash).collect();
    let key: &SigningKey = &signer.key;
    let message = AuthorizeMessage::new(key.key_id(), signer.origin.clone(), &hashes).map_err(|_| {
        ClientError::Usage(format!("{} requests at once: ask 1 to {AUTHORIZE_REQUESTS_MAX}", requests.len()))
    })?;
    Ok(v1::AuthorizeRequest {
        alg: ALG_ED25519.into(),
        key_id: message.key_id.to_bytes().to_vec(),
        requests: requests.iter().map(|request| request.bytes().to_vec()).collect(),
        signature: message.sign(key).to_vec(),
        urgent,
        pairings: Vec::new(),
    })
}

/// Believes an answer only where a node signed that exactly this was decided on exactly this request.
fn checked(
    request: &ParsedRequest,
    answer: v1::Authorized,
    signer: &Signer,
    keys: &[PublicKey],
) -> Result<Result<Granted, Rejection>, ClientError> {
    if let Some(error) = answer.error {
        let refused = answer.receipts.is_empty() && answer.permitted.is_empty() && answer.told.is_empty();
        return match refused {
            true => Ok(Err(Rejection {
                code: error.code.into(),
                message: error.message,
                expected_seq: error.expected_seq,
                position: error.position,
            })),
            false => Err(failed("the ledger refused a request and permitted it at once: ask another node")),
        };
    }
    let mut receipts = Vec::with_capacity(answer.receipts.len());
    for receipt in answer.receipts {
        let receipt = Receipt::from_answer(receipt, &signer.origin)?;
        receipt.verify(keys)?;
        receipt.is_about(request)?;
        receipts.push(receipt);
    }
    let joined = |of: fn(&Receipt) -> &Vec<String>| {
        let mut all: Vec<String> = receipts.iter().flat_map(|receipt| of(receipt).clone()).collect();
        all.sort_unstable();
        all
    };
    let (mut permitted, mut told) = (answer.permitted.clone(), answer.told.clone());
    permitted.sort_unstable();
    told.sort_unstable();
    let same = permitted == joined(|r| &r.view.actor.permitted) && told == joined(|r| &r.view.actor.told);
    if !same || receipts.is_empty() {
        return Err(failed("the ledger says something else than what its node signed: keep the answer as evidence"));
    }
    let (permitted, told, obligations) = (answer.permitted, answer.told, answer.obligations);
    Ok(Ok(Granted { receipts, permitted, told, obligations }))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
