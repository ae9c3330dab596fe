//! The checks that requests for decisions pass on the node that takes them, before anyone else hears of them.
//!
//! As for batches, the cheapest checks come first, and the signature before everything that costs. A fault of the call
//! refuses the call. A fault of one request (it is stale, it names another patient's tag) is for the ledger to tell of
//! that request alone, as all of them stand under one signature.

use prost::Message as _;
use sillage_ledger::{CLAIMS, Party, ROLES, Refusal};
use sillage_proof::hash::{Hash, leaf_hash};
use sillage_proof::keys::{ALG_ED25519, KeyId, SIGNATURE_LEN};
use sillage_proto::internal::v1::SealedDecision;
use sillage_proto::v1::{self, AuthorizeRequest};
use sillage_rules::codes::Code;
use sillage_rules::consent::ActorKind;
use sillage_rules::decide::message::{AUTHORIZE_REQUESTS_MAX, AuthorizeMessage};
use sillage_rules::decide::pairing::PAIRING_BYTES_MAX;
use sillage_rules::decide::{ParsedRequest, TagPairing};
use sillage_rules::limits::RECORD_BYTES_MAX;
use sillage_rules::roles::Roles;
use sillage_rules::vouching::claims_of_request;

use super::admission::{Admission, OwnTag, VouchedNames, check_key_state};
use crate::core::disclose::devices::is_patient_itself;
use crate::core::disclose::trace::PURPOSE_BREAK_GLASS;
use crate::refusals::refuse;

/// Largest call: every request of the greatest size, and the framing.
pub const AUTHORIZE_BYTES_MAX: usize =
    AUTHORIZE_REQUESTS_MAX as usize * (RECORD_BYTES_MAX + PAIRING_BYTES_MAX + 16) + 1_024;

/// Requests that may go to the leader.
#[derive(Debug)]
pub struct AdmittedRequests {
    /// As they will stand in the Raft log.
    pub decision: SealedDecision,
    /// True if the glass is broken in one of them.
    pub urgent: bool,
    /// Their share of the requester's quota.
    pub events: u32,
}

impl Admission {
    /// Checks and seals what `caller` asks.
    ///
    /// # Errors
    /// The fault. Nothing was decided, and of the quota only what the caller's own signature proved.
    pub fn admit_requests(&self, caller: &Party, asked: &AuthorizeRequest) -> Result<AdmittedRequests, Refusal> {
        let (key_id, signature) = check_shape(asked)?;
        let (key, party) = self.signer(&key_id)?;
        if party.author_id != caller.author_id {
            let message = "the requests are signed by another party than the one that calls: each asks for itself";
            return Err(Refusal::new(Code::NotEntitled, message));
        }
        check_key_state(&key)?;
        if !party.roles.intersects(Roles::ASKING) {
            let message = "only parties with the role decider ask for decisions: ask the authority for it";
            return Err(Refusal::new(Code::NotEntitled, message));
        }
        let hashes: Vec<Hash> = asked.requests.iter().map(|request| leaf_hash(request)).collect();
        let message = AuthorizeMessage::new(key_id, self.reader.genesis().origin.clone(), &hashes);
        let message = message.map_err(|error| Refusal::new(Code::MalformedRequest, error.to_string()))?;
        message.verify(&self.verifier(&key)?, &signature).map_err(|_| refuse(Code::BadSignature))?;
        self.reader.verified().add(&message.encode(), &signature);
        self.take_quota(&party, asked.requests.len())?;
        let spelled = self.reader.feature_level() >= ROLES;
        let requests: Result<Vec<_>, _> =
            (0..).zip(&asked.requests).map(|(at, request)| proven(asked, at, request, spelled)).collect();
        let requests = requests?;
        for (at, (request, _)) in (0_u32..).zip(&requests) {
            self.reader.check_asker(request, &key_id).map_err(|refusal| refusal.at(at))?;
        }
        if party.roles.is_bound() {
            let (mut vouched, mut own) = (VouchedNames::default(), OwnTag::default());
            let claims = self.reader.feature_level() >= CLAIMS;
            for (at, (request, _)) in (0_u32..).zip(&requests) {
                // The device of a patient, which asks for them, needs nobody's word.
                let by_patient = claims && request.actor().kind == ActorKind::Patient;
                if by_patient {
                    // Of each tag that it names: their trace tells of the device there.
                    let mut is_own = true;
                    for tag in [Some(request.tag()), request.secret_tag()].into_iter().flatten() {
                        let party = own.of(self, &party, Some(tag)).map_err(|refusal| refusal.at(at))?;
                        is_own &= is_patient_itself(&party, tag);
                    }
                    if is_own {
                        continue;
                    }
                }
                self.check_claims(&party, &claims_of_request(request), &mut vouched)
                    .map_err(|refusal| refusal.at(at))?;
            }
        }
        let items: usize = requests.iter().map(|(request, _)| request.items().len()).sum();
        // A request for nothing but a search has no item, and counts as one event all the same.
        let beyond = items.saturating_sub(requests.len());
        self.charge_quota(&party, beyond);
        let breaks_glass = requests.iter().any(|(request, _)| request.purpose() == PURPOSE_BREAK_GLASS);
        let decision = self.sealer.seal_decision(&key_id, &signature, &requests).map_err(|error| {
            tracing::error!(%error, "sealing failed");
            refuse(Code::Internal)
        })?;
        let events = u32::try_from(requests.len() + beyond).unwrap_or(u32::MAX);
        Ok(AdmittedRequests { decision, urgent: asked.urgent && breaks_glass, events })
    }
}

/// One request, parsed, with what proves its two tags. Decided without the second one, nothing that a minor keeps from
/// representatives would count. Whether the proofs hold is for the ledger to say, which knows the pairs on record.
fn proven(
    asked: &AuthorizeRequest,
    position: u32,
    request: &[u8],
    spelled: bool,
) -> Result<(ParsedRequest, Option<TagPairing>), Refusal> {
    let refused = |code, what: &str| Refusal::new(code, format!("request {position}: {what}")).at(position);
    let parsed = ParsedRequest::parse(request).map_err(|error| refused(error.code, &error.to_string()))?;
    if spelled {
        parsed.check_spelling().map_err(|error| refused(error.code, &error.to_string()))?;
    }
    let pairing = asked.pairings.get(position as usize).filter(|sent| **sent != v1::TagPairing::default());
    let Some((pairing, _)) = pairing.zip(parsed.secret_tag()) else {
        let what =
            if pairing.is_some() { "the patient's secret tag is missing" } else { "nothing proves the two tags" };
        let message = format!("{what}: resolve the patient, and name both tags with their proofs");
        return Err(refused(Code::MalformedRequest, &message));
    };
    let pairing = TagPairing::from_message(pairing).map_err(|error| refused(error.code, &error.to_string()))?;
    Ok((parsed, Some(pairing)))
}

/// Checks that need no look-up.
fn check_shape(asked: &AuthorizeRequest) -> Result<(KeyId, [u8; SIGNATURE_LEN]), Refusal> {
    let malformed = |what: &str| Refusal::new(Code::MalformedRequest, what.to_owned());
    if asked.alg != u32::from(ALG_ED25519) {
        return Err(malformed("the signature algorithm isn't known: 1 is Ed25519"));
    }
    let count = u32::try_from(asked.requests.len()).unwrap_or(u32::MAX);
    if !(1..=AUTHORIZE_REQUESTS_MAX).contains(&count) {
        return Err(malformed("one signature covers 1 to 64 requests"));
    }
    if ![0, asked.requests.len()].contains(&asked.pairings.len()) {
        // None at all is told with the request that is meant.
        return Err(malformed("the proofs of tags come one for each request, in their order"));
    }
    for (request, position) in asked.requests.iter().zip(0..) {
        if request.len() > RECORD_BYTES_MAX {
            return Err(malformed("a request has at most 61,440 bytes").at(position));
        }
    }
    let key_id = KeyId::from_slice(&asked.key_id).map_err(|_| malformed("a key id is 32 bytes"))?;
    let signature = asked.signature[..].try_into().map_err(|_| malformed("a signature is 64 bytes"))?;
    Ok((key_id, signature))
}

/// Length of requests in the Raft log, in bytes.
pub fn encoded_len(decision: &SealedDecision) -> usize {
    decision.encoded_len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_bounds_is_told_before_anything_is_looked_up() {
        let asked = |requests: Vec<Vec<u8>>| AuthorizeRequest {
            alg: 1,
            key_id: vec![1; 32],
            signature: vec![2; 64],
            requests,
            urgent: false,
            pairings: Vec::new(),
        };
        assert!(check_shape(&asked(vec![vec![3; RECORD_BYTES_MAX]; 64])).is_ok());
        let refused = |asked: AuthorizeRequest| {
            let refusal = check_shape(&asked).expect_err("out of bounds");
            assert_eq!(refusal.code, Code::MalformedRequest);
            refusal.position
        };
        assert_eq!(refused(asked(Vec::new())), None);
        assert_eq!(refused(asked(vec![Vec::new(); 65])), None);
        assert_eq!(refused(asked(vec![Vec::new(), vec![0; RECORD_BYTES_MAX + 1]])), Some(1));
        assert_eq!(refused(AuthorizeRequest { alg: 2, ..asked(vec![Vec::new()]) }), None);
        assert_eq!(refused(AuthorizeRequest { key_id: vec![1; 31], ..asked(vec![Vec::new()]) }), None);
        let pairings = vec![v1::TagPairing::default(); 2];
        assert_eq!(refused(AuthorizeRequest { pairings, ..asked(vec![Vec::new()]) }), None);
        assert_eq!(refused(AuthorizeRequest { signature: Vec::new(), ..asked(vec![Vec::new()]) }), None);
    }
}
