//! Which two tags are one patient's, as a request proves it.
//!
//! A request that names the secret tag brings the patient's identity and the VRF proofs of both tags, which its sender
//! got when it resolved the patient. A node that decides checks them before it believes that these two belong together:
//! no author can tie a patient to another's secret tag. The proofs are no part of the signed bytes, and are kept
//! nowhere.

use std::fmt;

use prost::Message as _;
use sillage_proof::tag::{Identity, PatientTag, WhichTag};
use sillage_proof::vrf::{PROOF_LEN, VrfProof, VrfPublicKey};
use sillage_proto::v1;
use zeroize::Zeroizing;

use crate::codes::Code;
use crate::consent::RuleRefusal;

/// Largest encoding of a pairing, in bytes: an identity, two proofs, and room.
pub const PAIRING_BYTES_MAX: usize = 512;

/// An identity with the proofs of its two tags. Names a patient: never printed.
#[derive(Clone)]
pub struct TagPairing {
    identity: Identity,
    proof: [u8; PROOF_LEN],
    secret_proof: [u8; PROOF_LEN],
    bytes: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for TagPairing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TagPairing(..)")
    }
}

fn refuse(what: &str) -> RuleRefusal {
    RuleRefusal { code: Code::MalformedRequest, message: what.to_owned() }
}

impl TagPairing {
    /// Takes it as it comes with a request; nothing is proven yet.
    ///
    /// # Errors
    /// `MALFORMED_REQUEST`, without what it says.
    pub fn from_message(message: &v1::TagPairing) -> Result<Self, RuleRefusal> {
        let patient = message.patient.as_ref();
        let identity = patient.and_then(|patient| Identity::new(&patient.ins, &patient.oid).ok());
        let identity = identity.ok_or_else(|| refuse("what proves two tags names no INS and OID"))?;
        let proof = |bytes: &[u8]| bytes.try_into().map_err(|_| refuse("a VRF proof is 80 bytes"));
        let bytes = Zeroizing::new(message.encode_to_vec());
        if bytes.len() > PAIRING_BYTES_MAX {
            return Err(refuse("what proves two tags has at most 512 bytes"));
        }
        Ok(Self { identity, proof: proof(&message.proof)?, secret_proof: proof(&message.secret_proof)?, bytes })
    }

    /// Reads it back.
    ///
    /// # Errors
    /// `MALFORMED_REQUEST`.
    pub fn parse(bytes: &[u8]) -> Result<Self, RuleRefusal> {
        if bytes.len() > PAIRING_BYTES_MAX {
            return Err(refuse("what proves two tags has at most 512 bytes"));
        }
        let message = v1::TagPairing::decode(bytes).map_err(|_| refuse("what proves two tags can't be read"))?;
        Self::from_message(&message)
    }

    /// As it is sealed with the request.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The claim about two tags, in bytes, to remember that it was verified.
    pub fn claim(&self, open: &[u8; 32], secret: &[u8; 32]) -> Zeroizing<Vec<u8>> {
        let alpha = self.identity.alpha(WhichTag::Open);
        let parts = [&b"sillage/pairing/v1\0"[..], open, secret, &self.proof[..], &self.secret_proof[..], &alpha[..]];
        Zeroizing::new(parts.concat())
    }

    /// Tells whether these are the open and the secret tag of this patient under the log's VRF key.
    pub fn proves(&self, key: &VrfPublicKey, open: &[u8; 32], secret: &[u8; 32]) -> bool {
        let holds = |tag: &[u8; 32], which_tag, proof: &[u8; PROOF_LEN]| {
            let tag = PatientTag::from_bytes(*tag);
            let proof = VrfProof::from_bytes(proof);
            proof.is_ok_and(|proof| tag.verify(key, &self.identity, which_tag, &proof).is_ok())
        };
        holds(open, WhichTag::Open, &self.proof) && holds(secret, WhichTag::Secret, &self.secret_proof)
    }
}

#[cfg(test)]
mod tests {
    use sillage_proof::vrf::VrfSecretKey;

    use super::*;

    const OID: &str = "1.2.250.1.213.1.4.10";

    fn message(ins: &str, key: &VrfSecretKey) -> (PatientTag, PatientTag, v1::TagPairing) {
        let identity = Identity::new(ins, OID).expect("well formed");
        let (open, proof) = PatientTag::resolve(key, &identity, WhichTag::Open);
        let (secret, secret_proof) = PatientTag::resolve(key, &identity, WhichTag::Secret);
        let message = v1::TagPairing {
            patient: Some(v1::PatientIdentity { ins: ins.into(), oid: OID.into() }),
            proof: proof.to_bytes().to_vec(),
            secret_proof: secret_proof.to_bytes().to_vec(),
        };
        (open, secret, message)
    }

    #[test]
    fn it_proves_the_two_tags_of_one_patient_and_no_others() {
        let key = VrfSecretKey::from_seed([1; 32]);
        let (open, secret, sent) = message("279035121518989", &key);
        let (other, other_secret, others) = message("279035121518988", &key);
        let pairing = TagPairing::from_message(&sent).expect("well formed");
        let again = TagPairing::parse(pairing.bytes()).expect("as written");
        let proves =
            |open: PatientTag, secret: PatientTag| again.proves(key.public_key(), &open.to_bytes(), &secret.to_bytes());
        assert!(proves(open, secret));
        for (one, two) in [(open, other_secret), (other, secret), (secret, open), (open, open), (other, other_secret)] {
            assert!(!proves(one, two));
        }
        let mixed = v1::TagPairing { secret_proof: others.secret_proof, ..sent };
        let mixed = TagPairing::from_message(&mixed).expect("well formed");
        assert!(!mixed.proves(key.public_key(), &open.to_bytes(), &other_secret.to_bytes()));
        let foreign = VrfSecretKey::from_seed([2; 32]);
        assert!(!again.proves(foreign.public_key(), &open.to_bytes(), &secret.to_bytes()));
    }

    #[test]
    fn what_is_no_pairing_is_refused_and_nothing_of_it_printed() {
        let key = VrfSecretKey::from_seed([1; 32]);
        let (.., good) = message("279035121518989", &key);
        let pairing = TagPairing::from_message(&good).expect("well formed");
        assert_eq!(format!("{pairing:?}"), "TagPairing(..)");
        let none = v1::TagPairing { patient: None, ..good.clone() };
        let short = v1::TagPairing { proof: vec![1; 79], ..good.clone() };
        let patient = Some(v1::PatientIdentity { ins: "27903512151898X".into(), oid: OID.into() });
        let other = v1::TagPairing { patient, ..good };
        for bad in [none, short, other] {
            let refusal = TagPairing::from_message(&bad).expect_err("no pairing");
            assert_eq!(refusal.code, Code::MalformedRequest);
            assert!(!refusal.message.contains("27903512151898"));
        }
        assert!(TagPairing::parse(&[0xff; 20]).is_err() && TagPairing::parse(&[0; PAIRING_BYTES_MAX + 1]).is_err());
    }
}
