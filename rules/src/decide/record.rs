//! The record of a decision: two parts, each under a salt of its own, so that the actor can be shown theirs and nothing
//! else (`docs/formats.md` §13).

use prost::Message;
use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs, TreeSize};
use sillage_proof::keys::{KeyId, PublicKey, SIGNATURE_LEN, SignatureError};
use sillage_proof::merkle::{ProofError, verify_inclusion};
use sillage_proto::v1;

use super::message::{AUTHORIZE_REQUESTS_MAX, AuthorizeMessage, DecisionMessage};
use super::{Decision, Obligation, ParsedRequest, Reason};
use crate::limits::SALT_BYTES;
use crate::record::{part_hash, two_part_hash};

/// The version of both parts.
pub const DECISION_VERSION: u32 = 1;
/// The longest payload of a decision: the request twice over, and the outcomes.
pub const DECISION_BYTES_MAX: usize = 1 << 20;

/// A decision can't be read or doesn't prove what it claims.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecisionError {
    /// Too long, cut short, or bytes left over.
    #[error("the decision is cut short, too long or has bytes left over")]
    Length,
    /// A part isn't the canonical encoding of its message.
    #[error("the {0} part of the decision isn't in canonical encoding")]
    Encoding(&'static str),
    /// A field is out of its bounds or contradicts another one.
    #[error("the decision's {0} can't be understood")]
    Field(&'static str),
    /// The hashes don't match.
    #[error("the decision's hash isn't the one on record")]
    Hash,
    /// The signature doesn't match.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The request isn't under the requester's signature.
    #[error("the request isn't among those that the requester signed: {0}")]
    Path(#[from] ProofError),
}

/// The requester's signature, and where the request stands under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRequest {
    /// The requester's key.
    pub key_id: KeyId,
    /// Over the authorize message.
    pub signature: [u8; SIGNATURE_LEN],
    /// Position of the request, from 0.
    pub position: u32,
    /// Number of requests.
    pub count: u32,
    /// From the request's hash to the root.
    pub path: Vec<Hash>,
}

/// Which of the patient's tags a decision is recorded under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichTag {
    /// The open tag: representatives may read it.
    Open,
    /// The secret tag.
    Secret,
}

/// When a decision is made, and on what state of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Ledger time.
    pub at: LedgerTimeMs,
    /// For how long it stands, in seconds: the policy's `decision_valid_s`.
    pub valid_s: u64,
    /// The size of the log before it.
    pub as_of: TreeSize,
}

/// A decision with its salts, as it stands in a payload.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionRecord {
    actor: v1::DecisionActorPart,
    private: v1::DecisionPrivatePart,
    salt_a: [u8; SALT_BYTES],
    salt_p: [u8; SALT_BYTES],
}

impl DecisionRecord {
    /// Puts a decision on the items under one tag on record. `salts` are the actor part's and the private part's.
    ///
    /// Under the open tag, a request that names the second one is left out: representatives read that trace. Its hash
    /// stands in the actor's part, and the signature can be checked with it. Under the secret tag, the actor's part names
    /// that one only where something is permitted: refused, the actor isn't told of the items, nor that they are kept there.
    pub fn new(
        request: &ParsedRequest,
        signed: &SignedRequest,
        which_tag: WhichTag,
        decision: &Decision,
        moment: Moment,
        salts: [[u8; SALT_BYTES]; 2],
    ) -> Self {
        let (asked, owned) = (request.message(), |ids: Vec<&str>| ids.into_iter().map(str::to_owned).collect());
        let (tag, shown) = match which_tag {
            WhichTag::Open => (request.tag(), request.secret_tag().is_none()),
            WhichTag::Secret if decision.permitted().is_empty() => (request.tag(), true),
            WhichTag::Secret => (request.secret_tag().unwrap_or(request.tag()), true),
        };
        let outcomes = decision.items.iter().map(|item| v1::ItemOutcome {
            id: item.id.clone(),
            permit: item.permit,
            reason: item.reason.as_str().to_owned(),
            consulted: item.consulted.iter().map(|index| index.get()).collect(),
        });
        let told = if tag == request.tag() && which_tag == WhichTag::Secret { Vec::new() } else { decision.told() };
        let actor = v1::DecisionActorPart {
            version: DECISION_VERSION,
            tag: tag.to_vec(),
            request_hash: request.hash().as_bytes().to_vec(),
            actor: asked.actor.clone(),
            action: asked.action.clone(),
            purpose: asked.purpose.clone(),
            permitted: owned(decision.permitted()),
            told: owned(told),
            obligations: decision.obligations.iter().map(|obligation| obligation.as_str().to_owned()).collect(),
            decided_at_ms: moment.at.get(),
            expires_at_ms: moment.at.get().saturating_add(moment.valid_s.saturating_mul(1_000)),
        };
        let private = v1::DecisionPrivatePart {
            version: DECISION_VERSION,
            request: if shown { request.bytes().to_vec() } else { Vec::new() },
            key_id: signed.key_id.as_bytes().to_vec(),
            signature: signed.signature.to_vec(),
            position: signed.position,
            count: signed.count,
            path: signed.path.iter().map(|hash| hash.as_bytes().to_vec()).collect(),
            outcomes: outcomes.collect(),
            policy_version: decision.versions.policy.clone(),
            matrix_version: decision.versions.matrix.clone(),
            catalogue_version: decision.versions.catalogue.clone(),
            as_of_index: moment.as_of.get(),
            asker: None,
        };
        let [salt_a, salt_p] = salts;
        Self { actor, private, salt_a, salt_p }
    }

    /// The same, saying how it was established who asked.
    #[must_use]
    pub fn with_asker(mut self, asker: Option<v1::DecisionAsker>) -> Self {
        self.private.asker = asker;
        self
    }

    /// The part that the actor may know.
    pub const fn actor_part(&self) -> &v1::DecisionActorPart {
        &self.actor
    }

    /// The part that the patient and auditors may know.
    pub const fn private_part(&self) -> &v1::DecisionPrivatePart {
        &self.private
    }

    /// The hash that stands in the decision's entry.
    pub fn record_hash(&self) -> Hash {
        let actor = part_hash(&self.salt_a, &self.actor.encode_to_vec());
        two_part_hash(&actor, &self.private_hash())
    }

    fn private_hash(&self) -> Hash {
        part_hash(&self.salt_p, &self.private.encode_to_vec())
    }

    /// The part for the actor: their part, and the hash of the other.
    pub fn for_actor(&self) -> ActorView {
        ActorView { actor: self.actor.clone(), salt_a: self.salt_a, private_hash: self.private_hash() }
    }

    /// The payload that is sealed: `salt_a[16] ‖ salt_p[16] ‖ u32 length ‖ actor part ‖ private part`.
    pub fn payload(&self) -> Vec<u8> {
        let (actor, private) = (self.actor.encode_to_vec(), self.private.encode_to_vec());
        let length = u32::try_from(actor.len()).expect("a part is far below 4 GiB");
        [&self.salt_a[..], &self.salt_p, &length.to_be_bytes(), &actor, &private].concat()
    }

    /// How long [`DecisionRecord::payload`] is.
    pub fn consulted(&self) -> Vec<LeafIndex> {
        let outcomes = self.private_part().outcomes.iter();
        let all: std::collections::BTreeSet<LeafIndex> = outcomes.flat_map(consulted).collect();
        all.into_iter().collect()
    }

    /// The length of [`DecisionRecord::payload`].
    pub fn payload_len(&self) -> usize {
        2 * SALT_BYTES + 4 + self.actor.encoded_len() + self.private.encoded_len()
    }

    /// Reads exactly what [`DecisionRecord::payload`] writes.
    ///
    /// # Errors
    /// When it is anything else, or contradicts itself.
    pub fn parse(payload: &[u8]) -> Result<Self, DecisionError> {
        if payload.len() > DECISION_BYTES_MAX {
            return Err(DecisionError::Length);
        }
        let mut rest = payload;
        let (salt_a, salt_p) = (take(&mut rest)?, take(&mut rest)?);
        let length = usize::try_from(u32::from_be_bytes(take(&mut rest)?)).map_err(|_| DecisionError::Length)?;
        let (actor, private) = rest.split_at_checked(length).ok_or(DecisionError::Length)?;
        Self::from_parts([salt_a, salt_p], actor, private)
    }

    /// The same from its parts and their salts, each on its own.
    ///
    /// # Errors
    /// As for [`DecisionRecord::parse`].
    pub fn from_parts(
        [salt_a, salt_p]: [[u8; SALT_BYTES]; 2],
        actor: &[u8],
        private: &[u8],
    ) -> Result<Self, DecisionError> {
        let record = Self { actor: parse_actor(actor)?, private: parse_private(private)?, salt_a, salt_p };
        record.check()?;
        Ok(record)
    }

    /// Checks that the actor is told what follows from the outcomes, and that a request that is shown is the one that was
    /// hashed.
    fn check(&self) -> Result<(), DecisionError> {
        let mut permitted = self.private.outcomes.iter().filter(|outcome| outcome.permit).map(|outcome| &outcome.id);
        if !permitted.by_ref().eq(&self.actor.permitted) {
            return Err(DecisionError::Field("permitted items"));
        }
        let request = match self.private.request.is_empty() {
            true => None,
            false => Some(ParsedRequest::parse(&self.private.request).map_err(|_| DecisionError::Field("request"))?),
        };
        if request.as_ref().is_some_and(|request| request.hash().as_bytes()[..] != self.actor.request_hash) {
            return Err(DecisionError::Field("request hash"));
        }
        let is_kept = request.is_some_and(|request| request.secret_tag().is_some());
        let hides = is_kept && self.actor.permitted.is_empty();
        let is_told =
            |outcome: &&v1::ItemOutcome| !hides && Reason::from_token(&outcome.reason).is_some_and(Reason::is_told);
        match self.private.outcomes.iter().filter(is_told).map(|outcome| &outcome.id).eq(&self.actor.told) {
            true => Ok(()),
            false => Err(DecisionError::Field("told items")),
        }
    }

    /// Tells whether this is what the ledger puts on record under this tag: the one that the actor's part names, or, where
    /// a request is refused for items of the secret tag, that one.
    pub fn is_under(&self, tag: &[u8]) -> bool {
        let request = ParsedRequest::parse(&self.private.request).ok();
        let kept = request.as_ref().and_then(|request| Some((request.tag(), request.secret_tag()?)));
        match kept {
            None => self.actor.tag == tag,
            Some((open, secret)) => {
                let named = if self.actor.permitted.is_empty() { open } else { secret };
                secret[..] == *tag && self.actor.tag == named
            }
        }
    }

    /// Verifies that the requester signed the request: `key` is the one that [`DecisionRecord::private_part`] names.
    ///
    /// # Errors
    /// When it isn't under the signature.
    pub fn verify_request(&self, key: &PublicKey, origin: &sillage_proof::batch::Origin) -> Result<(), DecisionError> {
        let (private, leaf) = (&self.private, hash32(&self.actor.request_hash).ok_or(DecisionError::Hash)?);
        let path: Option<Vec<Hash>> = private.path.iter().map(|hash| hash32(hash)).collect();
        let path = path.ok_or(DecisionError::Field("path"))?;
        let (index, size) = (u64::from(private.position).into(), u64::from(private.count).into());
        let root = sillage_proof::merkle::root_from_inclusion(&leaf, index, size, &path)?;
        verify_inclusion(&leaf, index, size, &path, &root)?;
        let key_id = hash32(&private.key_id).ok_or(DecisionError::Field("key id"))?;
        let message = AuthorizeMessage {
            key_id: KeyId::from(key_id.to_bytes()),
            origin: origin.clone(),
            count: private.count,
            root,
        };
        Ok(message.verify(key, &private.signature)?)
    }
}

/// The actor's copy of a decision. With the node's signed [`DecisionMessage`] it proves, offline, what they may do.
#[derive(Debug, Clone, PartialEq)]
pub struct ActorView {
    /// Their part.
    pub actor: v1::DecisionActorPart,
    /// Its salt.
    pub salt_a: [u8; SALT_BYTES],
    /// The hash of the other part.
    pub private_hash: Hash,
}

impl ActorView {
    /// Parses an actor's part that came with its salt and the other part's hash.
    ///
    /// # Errors
    /// When it isn't one.
    pub fn parse(actor: &[u8], salt_a: [u8; SALT_BYTES], private_hash: Hash) -> Result<Self, DecisionError> {
        Ok(Self { actor: parse_actor(actor)?, salt_a, private_hash })
    }

    /// The hash that must stand in the decision's entry.
    pub fn record_hash(&self) -> Hash {
        two_part_hash(&part_hash(&self.salt_a, &self.actor.encode_to_vec()), &self.private_hash)
    }

    /// Verifies the node's receipt over this decision. Whether it still stands is for the caller to compare with
    /// `expires_at_ms`.
    ///
    /// # Errors
    /// When the message is about another decision, or isn't signed by `key`.
    pub fn verify(&self, message: &DecisionMessage, key: &PublicKey, signature: &[u8]) -> Result<(), DecisionError> {
        let same = message.record_hash == self.record_hash()
            && message.tag[..] == self.actor.tag
            && message.time.get() == self.actor.decided_at_ms;
        if !same {
            return Err(DecisionError::Hash);
        }
        Ok(message.verify(key, signature)?)
    }

    /// Tells whether the actor may use this item at this moment.
    pub fn permits(&self, item: &str, at: LedgerTimeMs) -> bool {
        at.get() < self.actor.expires_at_ms && self.actor.permitted.iter().any(|id| id == item)
    }
}

fn parse_actor(bytes: &[u8]) -> Result<v1::DecisionActorPart, DecisionError> {
    let part: v1::DecisionActorPart = canonical("actor", bytes)?;
    let field = |good: bool, name| if good { Ok(()) } else { Err(DecisionError::Field(name)) };
    field(part.version == DECISION_VERSION, "version")?;
    field(hash32(&part.tag).is_some(), "tag")?;
    field(hash32(&part.request_hash).is_some(), "request hash")?;
    field(part.actor.is_some(), "actor")?;
    field(part.obligations.iter().all(|token| Obligation::from_token(token).is_some()), "obligations")?;
    field(part.permitted.iter().all(|id| part.told.contains(id)), "told items")?;
    field(part.decided_at_ms <= part.expires_at_ms, "time")?;
    Ok(part)
}

fn parse_private(bytes: &[u8]) -> Result<v1::DecisionPrivatePart, DecisionError> {
    let part: v1::DecisionPrivatePart = canonical("private", bytes)?;
    let field = |good: bool, name| if good { Ok(()) } else { Err(DecisionError::Field(name)) };
    field(part.version == DECISION_VERSION, "version")?;
    field(hash32(&part.key_id).is_some(), "key id")?;
    field(part.signature.len() == SIGNATURE_LEN, "signature")?;
    field((1..=AUTHORIZE_REQUESTS_MAX).contains(&part.count) && part.position < part.count, "position")?;
    field(part.path.len() <= 6 && part.path.iter().all(|hash| hash32(hash).is_some()), "path")?;
    let fits = |outcome: &v1::ItemOutcome| {
        let ascending = outcome.consulted.windows(2).all(|pair| pair[0] < pair[1]);
        ascending && Reason::from_token(&outcome.reason).is_some_and(|reason| reason.permits() == outcome.permit)
    };
    field(part.outcomes.iter().all(fits), "outcomes")?;
    Ok(part)
}

fn canonical<M: Message + Default>(part: &'static str, bytes: &[u8]) -> Result<M, DecisionError> {
    let message = M::decode(bytes).map_err(|_| DecisionError::Encoding(part))?;
    match message.encode_to_vec() == bytes {
        true => Ok(message),
        false => Err(DecisionError::Encoding(part)),
    }
}

fn hash32(bytes: &[u8]) -> Option<Hash> {
    Hash::from_slice(bytes).ok()
}

/// The records that decided on an item, as indices.
pub fn consulted(outcome: &v1::ItemOutcome) -> impl Iterator<Item = LeafIndex> {
    outcome.consulted.iter().copied().map(LeafIndex)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], DecisionError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(DecisionError::Length)?;
    *rest = tail;
    Ok(*head)
}
