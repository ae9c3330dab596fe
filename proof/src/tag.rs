//! Patient tags: the only name that a patient has in the log.
//!
//! A tag is the first 32 bytes of the VRF output over the patient's identity. It can't be computed without the VRF key,
//! and whoever gets the VRF proof can check that an identity has this tag and no other.

use zeroize::Zeroizing;

use crate::hash::hex32;
use crate::vrf::{VrfError, VrfProof, VrfPublicKey, VrfSecretKey};

/// Length of an INS with its key, in characters.
const INS_LEN: usize = 15;
/// Longest OID accepted, in characters.
const OID_LEN_MAX: usize = 64;
/// The end of the input of the secret tag.
const SECRET_SUFFIX: &[u8] = b"secret";

/// A patient's pseudonym in the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PatientTag([u8; 32]);
hex32!(PatientTag);

/// Which of a patient's two tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WhichTag {
    /// The open tag: representatives read under it too.
    Open,
    /// The secret tag: for a minor's secrets from representatives.
    Secret,
}

/// An identity or a tag is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// Not 15 characters of an INS with its key.
    #[error("an INS with its key is 15 characters: digits, or A or B for Corsica")]
    Ins,
    /// Not an OID.
    #[error("an OID is digits and dots, at most 64 characters")]
    Oid,
    /// The proof is for another tag.
    #[error("the VRF proof is for another tag")]
    OtherTag,
    /// The proof doesn't hold.
    #[error(transparent)]
    Vrf(#[from] VrfError),
}

/// A patient's identity as it is hashed: the INS with its key, and the OID of its kind. Wiped on drop, never printed.
#[derive(Clone)]
pub struct Identity(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(..)")
    }
}

impl Identity {
    /// Takes 15 characters of an INS with its key, without spaces, and an OID such as `1.2.250.1.213.1.4.8`. Only the
    /// form that makes the hashed bytes unambiguous is checked here, not the INS's own key.
    ///
    /// # Errors
    /// When either has another form.
    pub fn new(ins: &str, oid: &str) -> Result<Self, TagError> {
        let ins_fits = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'A' | b'B');
        if ins.len() != INS_LEN || !ins.bytes().all(ins_fits) {
            return Err(TagError::Ins);
        }
        let arcs = |arc: &str| !arc.is_empty() && arc.bytes().all(|byte| byte.is_ascii_digit());
        if oid.len() > OID_LEN_MAX || !oid.split('.').all(arcs) {
            return Err(TagError::Oid);
        }
        let bytes = [ins.as_bytes(), oid.as_bytes()].concat();
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// The VRF input: the INS with its key ‖ the OID, and for the secret tag ‖ `secret`.
    pub fn alpha(&self, which_tag: WhichTag) -> Zeroizing<Vec<u8>> {
        let suffix = match which_tag {
            WhichTag::Open => &[][..],
            WhichTag::Secret => SECRET_SUFFIX,
        };
        Zeroizing::new([&self.0[..], suffix].concat())
    }
}

impl PatientTag {
    /// The tag of a VRF output.
    pub fn from_output(output: &[u8; 64]) -> Self {
        let (tag, _) = output.split_first_chunk().expect("64 bytes");
        Self(*tag)
    }

    /// Computes a tag and its proof: for the holder of the VRF key alone.
    pub fn resolve(key: &VrfSecretKey, identity: &Identity, which_tag: WhichTag) -> (Self, VrfProof) {
        let (proof, output) = key.prove(&identity.alpha(which_tag));
        (Self::from_output(&output), proof)
    }

    /// Verifies that this is the tag of `identity` under the log's VRF key.
    ///
    /// # Errors
    /// When the proof doesn't hold, or is for another tag.
    pub fn verify(
        &self,
        key: &VrfPublicKey,
        identity: &Identity,
        which_tag: WhichTag,
        proof: &VrfProof,
    ) -> Result<(), TagError> {
        let output = key.verify(&identity.alpha(which_tag), proof)?;
        match Self::from_output(&output) == *self {
            true => Ok(()),
            false => Err(TagError::OtherTag),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INS: &str = "255069910100157";
    const OID: &str = "1.2.250.1.213.1.4.8";

    #[test]
    fn a_patient_has_one_open_and_one_secret_tag() {
        let key = VrfSecretKey::from_seed([1; 32]);
        let identity = Identity::new(INS, OID).expect("well formed");
        let alpha = identity.alpha(WhichTag::Secret);
        assert_eq!(&alpha[..], b"2550699101001571.2.250.1.213.1.4.8secret");
        let (open, open_proof) = PatientTag::resolve(&key, &identity, WhichTag::Open);
        let (secret, _) = PatientTag::resolve(&key, &identity, WhichTag::Secret);
        assert_ne!(open, secret);
        let check = |tag: PatientTag, which_tag| tag.verify(key.public_key(), &identity, which_tag, &open_proof);
        assert_eq!(check(open, WhichTag::Open), Ok(()));
        assert_eq!(check(secret, WhichTag::Open), Err(TagError::OtherTag));
        assert!(check(open, WhichTag::Secret).is_err());
        let other = Identity::new(INS, "1.2.250.1.213.1.4.9").expect("well formed");
        let verdict = open.verify(key.public_key(), &other, WhichTag::Open, &open_proof);
        assert_eq!(verdict, Err(TagError::Vrf(VrfError::Invalid)));
    }

    #[test]
    fn identities_of_another_form_are_refused_and_never_printed() {
        assert!(Identity::new("2A5069910100157", OID).is_ok());
        for ins in ["", "25506991010015", "2550699101001570", "25506991010015 ", "25506991010015a"] {
            assert_eq!(Identity::new(ins, OID).err(), Some(TagError::Ins), "{ins}");
        }
        for oid in ["", ".1", "1..2", "1.", "1.a", "secret", &"1".repeat(65)] {
            assert_eq!(Identity::new(INS, oid).err(), Some(TagError::Oid), "{oid}");
        }
        let identity = Identity::new(INS, OID).expect("well formed");
        assert!(!format!("{identity:?}").contains("2550"));
    }
}
