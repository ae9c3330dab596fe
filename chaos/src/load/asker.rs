//! Questions to a real ledger: signed once, asked until they are answered, and believed only with a good receipt.

use super::{Link, LoadError};
use sillage_client::author::Resolved;
use sillage_client::authorize::receipt::Receipt;
use sillage_client::error::ClientError;
use sillage_proof::hash::Hash;
use sillage_proof::keys::{ALG_ED25519, PublicKey};
use sillage_proto::v1::{AuthorizeRequest, Authorized, DecisionRequest, ErrorInfo, PatientIdentity, TagPairing};
use sillage_rules::decide::ParsedRequest;
use sillage_rules::decide::message::AuthorizeMessage;
use std::time::{Duration, Instant};

/// The answer to one request: the receipts of what is on record, or why it was refused.
pub type Answer = Result<Vec<Receipt>, ErrorInfo>;

/// A request, and what proves its two tags.
pub type Question = (DecisionRequest, TagPairing);

/// A patient with both tags, as a service resolves them.
#[derive(Clone, Debug)]
pub struct TwoTags {
    /// The one that representatives know too.
    pub open: [u8; 32],
    /// The second one.
    pub secret: [u8; 32],
    /// The proof that both are this patient's.
    pub pairing: TagPairing,
}

impl TwoTags {
    /// Resolves patients, in their order.
    ///
    /// # Errors
    /// When the ledger can't be asked, or gives this service no secret tags.
    pub async fn resolve(link: &Link, patients: &[PatientIdentity]) -> Result<Vec<Self>, LoadError> {
        let both = |resolved: Resolved| {
            let ((open, secret), pairing) = (resolved.tags, resolved.pairing?);
            Some(Self { open: open.to_bytes(), secret: secret?.to_bytes(), pairing })
        };
        let all: Option<Vec<Self>> = link.tags()?.proven(patients).await?.into_iter().map(both).collect();
        let why = "the ledger gives this profile no secret tags: it needs the role decider, or one that signs";
        all.ok_or_else(|| LoadError::Wrong(why.to_owned()))
    }
}

/// Asks as one service.
#[derive(Clone)]
pub struct Asker {
    link: Link,
    keys: Vec<PublicKey>,
}

impl Asker {
    /// Asks on this way to the ledger.
    pub fn new(link: Link) -> Self {
        let keys = link.nodes().iter().filter_map(|node| PublicKey::from_bytes(&node.key.as_ref()?.key).ok()).collect();
        Self { link, keys }
    }

    /// Signs the requests together, and sends the same bytes until they are answered: one answer for each request. Each
    /// comes with what proves its two tags.
    ///
    /// # Errors
    /// When all are refused at once, a receipt is not right, or the ledger stays out of reach for `patience`.
    pub async fn ask(&self, asked: Vec<Question>, patience: Duration) -> Result<Vec<Answer>, LoadError> {
        let (requests, pairings): (Vec<DecisionRequest>, Vec<TagPairing>) = asked.into_iter().unzip();
        let parsed: Result<Vec<ParsedRequest>, _> = requests.into_iter().map(ParsedRequest::from_message).collect();
        let parsed = parsed.map_err(|e| LoadError::Wrong(format!("a request is no good: {e}")))?;
        let call = AuthorizeRequest { pairings, ..self.sign(&parsed)? };
        let (began, mut last) = (Instant::now(), String::new());
        while began.elapsed() < patience {
            let answer = self.link.client.call_soon(|mut rpc| {
                let call = call.clone();
                async move { rpc.authorize(call).await }
            });
            match answer.await {
                Ok(answer) => return self.believe(&parsed, answer.decisions),
                Err(ClientError::Unavailable(why) | ClientError::Quota(why)) => last = why,
                Err(error) => return Err(error.into()),
            }
        }
        Err(LoadError::Wrong(format!("{} requests not answered for {} s: {last}", parsed.len(), patience.as_secs())))
    }

    fn sign(&self, requests: &[ParsedRequest]) -> Result<AuthorizeRequest, LoadError> {
        let hashes: Vec<Hash> = requests.iter().map(ParsedRequest::hash).collect();
        let key = &self.link.signer.key;
        let message = AuthorizeMessage::new(key.key_id(), self.link.signer.origin.clone(), &hashes)
            .map_err(|_| LoadError::Wrong(format!("{} requests at once: 1 to 64", requests.len())))?;
        Ok(AuthorizeRequest {
            alg: ALG_ED25519.into(),
            key_id: message.key_id.to_bytes().to_vec(),
            requests: requests.iter().map(|request| request.bytes().to_vec()).collect(),
            signature: message.sign(key).to_vec(),
            urgent: false,
            pairings: Vec::new(),
        })
    }

    fn believe(&self, asked: &[ParsedRequest], answers: Vec<Authorized>) -> Result<Vec<Answer>, LoadError> {
        if answers.len() != asked.len() {
            return Err(LoadError::Wrong(format!("{} requests got {} answers", asked.len(), answers.len())));
        }
        asked.iter().zip(answers).map(|(request, answer)| self.believe_one(request, answer)).collect()
    }

    fn believe_one(&self, request: &ParsedRequest, answer: Authorized) -> Result<Answer, LoadError> {
        if let Some(error) = answer.error {
            return Ok(Err(error));
        }
        if answer.receipts.is_empty() {
            return Err(LoadError::Wrong("an answer without a receipt".to_owned()));
        }
        let receipts = answer.receipts.into_iter().map(|receipt| {
            let receipt = Receipt::from_answer(receipt, &self.link.signer.origin)?;
            receipt.verify(&self.keys)?;
            receipt.is_about(request)?;
            Ok(receipt)
        });
        Ok(Ok(receipts.collect::<Result<_, LoadError>>()?))
    }
}
