//! The bytes that a service signs to ask, and that a node signs in answer. Integers are big-endian.
//!
//! ```text
//! authorize "sillage/authorize/v1\0" ‖ u8 alg ‖ key_id[32] ‖ u8 len ‖ origin ‖ u32 count ‖ root[32]
//! decision  "sillage/decision/v1\0"  ‖ u8 alg ‖ key_id[32] ‖ u8 len ‖ origin ‖ u64 index ‖ u64 time_ms ‖ tag[32] ‖ record_hash[32]
//! ```

use sillage_proof::batch::{MessageError, Origin, OriginError};
use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs};
use sillage_proof::keys::{ALG_ED25519, KeyId, PublicKey, SIGNATURE_LEN, SignatureError, SigningKey};
use sillage_proof::merkle::root_of;

const AUTHORIZE_MAGIC: &[u8] = b"sillage/authorize/v1\0";
const DECISION_MAGIC: &[u8] = b"sillage/decision/v1\0";

/// Most requests under one signature: a ward round.
pub const AUTHORIZE_REQUESTS_MAX: u32 = 64;

/// The message that a service signs: these are my requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizeMessage {
    /// The requester's key that signs.
    pub key_id: KeyId,
    /// The log it is for.
    pub origin: Origin,
    /// Number of requests, 1 to 64.
    pub count: u32,
    /// Root of the RFC 6962 tree over the requests' hashes, `H(0x00 ‖ request)`.
    pub root: Hash,
}

impl AuthorizeMessage {
    /// The message over these requests' hashes ([`super::ParsedRequest::hash`]), in their order.
    ///
    /// # Errors
    /// When there is none, or more than 64.
    pub fn new(key_id: KeyId, origin: Origin, requests: &[Hash]) -> Result<Self, MessageError> {
        let count = u32::try_from(requests.len()).unwrap_or(u32::MAX);
        check_count(count)?;
        Ok(Self { key_id, origin, count, root: root_of(requests) })
    }

    /// The bytes to sign.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = begin(AUTHORIZE_MAGIC, &self.key_id, &self.origin);
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(self.root.as_bytes());
        out
    }

    /// Reads exactly what [`AuthorizeMessage::encode`] writes.
    ///
    /// # Errors
    /// [`MessageError`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let (key_id, origin, mut rest) = read_begin(AUTHORIZE_MAGIC, bytes)?;
        let count = u32::from_be_bytes(take(&mut rest)?);
        let root = take::<32>(&mut rest)?.into();
        check_count(count)?;
        match rest.is_empty() {
            true => Ok(Self { key_id, origin, count, root }),
            false => Err(MessageError::Length),
        }
    }

    /// Signs. The message must name `key`.
    ///
    /// # Panics
    /// When `key_id` is another key's: such a signature could never verify.
    pub fn sign(&self, key: &SigningKey) -> [u8; SIGNATURE_LEN] {
        assert_eq!(self.key_id, key.key_id(), "the message names its signer");
        key.sign(&self.encode())
    }

    /// Verifies a requester's signature.
    ///
    /// # Errors
    /// When `key` isn't the one named, or the signature doesn't match.
    pub fn verify(&self, key: &PublicKey, signature: &[u8]) -> Result<(), SignatureError> {
        if self.key_id != key.key_id() {
            return Err(SignatureError);
        }
        key.verify(&self.encode(), signature)
    }
}

/// The message that a node signs in answer: this decision is on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionMessage {
    /// The node's key that signs.
    pub key_id: KeyId,
    /// The log.
    pub origin: Origin,
    /// The entry of the decision.
    pub index: LeafIndex,
    /// Its ledger time.
    pub time: LedgerTimeMs,
    /// The tag that it is recorded under.
    pub tag: [u8; 32],
    /// The hash of both parts.
    pub record_hash: Hash,
}

impl DecisionMessage {
    /// The bytes to sign.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = begin(DECISION_MAGIC, &self.key_id, &self.origin);
        out.extend_from_slice(&self.index.0.to_be_bytes());
        out.extend_from_slice(&self.time.0.to_be_bytes());
        out.extend_from_slice(&self.tag);
        out.extend_from_slice(self.record_hash.as_bytes());
        out
    }

    /// Reads exactly what [`DecisionMessage::encode`] writes.
    ///
    /// # Errors
    /// [`MessageError`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let (key_id, origin, mut rest) = read_begin(DECISION_MAGIC, bytes)?;
        let message = Self {
            key_id,
            origin,
            index: u64::from_be_bytes(take(&mut rest)?).into(),
            time: u64::from_be_bytes(take(&mut rest)?).into(),
            tag: take(&mut rest)?,
            record_hash: take::<32>(&mut rest)?.into(),
        };
        match rest.is_empty() {
            true => Ok(message),
            false => Err(MessageError::Length),
        }
    }

    /// Signs. The message must name `key`.
    ///
    /// # Panics
    /// When `key_id` is another key's: such a signature could never verify.
    pub fn sign(&self, key: &SigningKey) -> [u8; SIGNATURE_LEN] {
        assert_eq!(self.key_id, key.key_id(), "the message names its signer");
        key.sign(&self.encode())
    }

    /// Verifies a node's signature.
    ///
    /// # Errors
    /// When `key` isn't the one named, or the signature doesn't match.
    pub fn verify(&self, key: &PublicKey, signature: &[u8]) -> Result<(), SignatureError> {
        if self.key_id != key.key_id() {
            return Err(SignatureError);
        }
        key.verify(&self.encode(), signature)
    }
}

fn check_count(count: u32) -> Result<(), MessageError> {
    match (1..=AUTHORIZE_REQUESTS_MAX).contains(&count) {
        true => Ok(()),
        false => Err(MessageError::Count(count)),
    }
}

pub(crate) fn begin(magic: &[u8], key_id: &KeyId, origin: &Origin) -> Vec<u8> {
    let origin = origin.as_str().as_bytes();
    let mut out = Vec::with_capacity(magic.len() + 34 + origin.len() + 80);
    out.extend_from_slice(magic);
    out.push(ALG_ED25519);
    out.extend_from_slice(key_id.as_bytes());
    out.push(u8::try_from(origin.len()).expect("an origin is at most 255 bytes"));
    out.extend_from_slice(origin);
    out
}

fn read_begin<'a>(magic: &[u8], bytes: &'a [u8]) -> Result<(KeyId, Origin, &'a [u8]), MessageError> {
    let mut rest = bytes.strip_prefix(magic).ok_or(MessageError::Magic)?;
    let [alg] = take::<1>(&mut rest)?;
    if alg != ALG_ED25519 {
        return Err(MessageError::Algorithm(alg));
    }
    let key_id = KeyId::from(take::<32>(&mut rest)?);
    let [len] = take::<1>(&mut rest)?;
    let (origin, rest) = rest.split_at_checked(usize::from(len)).ok_or(MessageError::Length)?;
    let origin = Origin::new(std::str::from_utf8(origin).map_err(|_| OriginError)?)?;
    Ok((key_id, origin, rest))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], MessageError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(MessageError::Length)?;
    *rest = tail;
    Ok(*head)
}
