//! Identities to tags: VRF proofs on the CPU pool, each made anew.
//!
//! Neither an identity nor a tag is ever logged. Nothing is kept from one call to the next: what one caller asked for must
//! not make another's answer faster, or the time of a call would tell who is a patient. Callers keep what they were given.

use sillage_ledger::Refusal;
use sillage_proof::tag::{Identity, PatientTag, WhichTag};
use sillage_proof::vrf::VrfSecretKey;
use sillage_proto::v1::{PatientIdentity, ResolvedTag};
use sillage_rules::codes::Code;
use sillage_rules::ident::{IdentError, Ins};

use crate::refusals::unavailable;

/// Identities in one call.
pub const IDENTITIES_MAX: usize = 1_000;
/// Resolves identities.
pub struct Tags {
    key: Option<VrfSecretKey>,
    test_log: bool,
}

impl Tags {
    /// `key` is absent on nodes that don't resolve. `test_log`: takes test and demonstration identities.
    pub fn new(key: Option<VrfSecretKey>, test_log: bool) -> Self {
        Self { key, test_log }
    }

    /// The seed of the VRF key, to give it to a new node of the group.
    pub fn seed(&self) -> Option<zeroize::Zeroizing<[u8; 32]>> {
        self.key.as_ref().map(VrfSecretKey::to_seed)
    }

    /// Resolves in order, both tags. Takes up to 400 µs an identity: not for an async task.
    ///
    /// # Errors
    /// The first identity that isn't one, with its position; `UNAVAILABLE` without the VRF key.
    pub fn resolve(&self, identities: &[PatientIdentity]) -> Result<Vec<ResolvedTag>, Refusal> {
        let key = self
            .key
            .as_ref()
            .ok_or_else(|| unavailable("this node doesn't hold the VRF key: ask a node that resolves tags"))?;
        if identities.len() > IDENTITIES_MAX {
            let message = format!("a call resolves at most {IDENTITIES_MAX} identities: split it");
            return Err(Refusal::new(Code::MalformedRequest, message));
        }
        let mut tags = Vec::with_capacity(identities.len());
        for (identity, position) in identities.iter().zip(0..) {
            let tag = self.resolve_one(key, identity);
            tags.push(tag.map_err(|refusal| refusal.at(position))?);
        }
        Ok(tags)
    }

    fn resolve_one(&self, key: &VrfSecretKey, asked: &PatientIdentity) -> Result<ResolvedTag, Refusal> {
        let identity = self.checked(asked)?;
        let (tag, proof) = PatientTag::resolve(key, &identity, WhichTag::Open);
        let (secret_tag, secret_proof) = PatientTag::resolve(key, &identity, WhichTag::Secret);
        Ok(ResolvedTag {
            tag: tag.as_bytes().to_vec(),
            proof: proof.to_bytes().to_vec(),
            secret_tag: secret_tag.as_bytes().to_vec(),
            secret_proof: secret_proof.to_bytes().to_vec(),
        })
    }

    /// The strict form always; the key is the callers' to check, because published examples fail it. Test and
    /// demonstration identities on test logs alone.
    fn checked(&self, asked: &PatientIdentity) -> Result<Identity, Refusal> {
        let refused = |error: IdentError| Refusal::new(error.code(), error.to_string());
        let ins = Ins::parse(&asked.ins, &asked.oid).map_err(refused)?;
        if ins.oid().is_test() && !self.test_log {
            return Err(refused(IdentError::TestIns));
        }
        Identity::new(ins.value(), ins.oid().as_str())
            .map_err(|error| Refusal::new(Code::InvalidIns, error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(ins: &str, oid: &str) -> PatientIdentity {
        PatientIdentity { ins: ins.to_owned(), oid: oid.to_owned() }
    }

    fn tags(test_log: bool) -> Tags {
        let key = VrfSecretKey::from_seed([1; 32]);
        Tags::new(Some(key), test_log)
    }

    const TEST: (&str, &str) = ("279035121518989", "1.2.250.1.213.1.4.10");

    #[test]
    fn an_identity_has_the_same_tags_each_time() {
        let tags = tags(true);
        let asked = [identity(TEST.0, TEST.1)];
        let first = tags.resolve(&asked).expect("a test identity");
        assert_eq!(tags.resolve(&asked), Ok(first.clone()));
        assert_ne!(first[0].tag, first[0].secret_tag);
    }

    #[test]
    fn what_is_no_patient_of_this_log_is_refused_with_its_position() {
        let refused = |tags: &Tags, ins: &str, oid: &str| {
            let asked = [identity(TEST.0, "1.2.250.1.213.1.4.8"), identity(ins, oid)];
            let refusal = tags.resolve(&asked).unwrap_err();
            (refusal.code, refusal.position)
        };
        let real = tags(false);
        assert_eq!(refused(&real, TEST.0, TEST.1), (Code::TestInsRefused, Some(1)));
        assert_eq!(refused(&real, "12", "1.2.250.1.213.1.4.8"), (Code::InvalidIns, Some(1)));
        assert_eq!(refused(&real, TEST.0, "1.2.3"), (Code::InvalidIns, Some(1)));
        let many = vec![identity(TEST.0, TEST.1); IDENTITIES_MAX + 1];
        assert_eq!(real.resolve(&many).unwrap_err().code, Code::MalformedRequest);
        let without = Tags::new(None, true);
        assert_eq!(without.resolve(&[]).unwrap_err().code, Code::Unavailable);
    }
}
