//! Keys and the ids derived from them.
//!
//! [`PublicKey::verify`] is the only signature verification of the whole project: strict Ed25519 (RFC 8032 §5.1.7
//! without cofactor, small-order points refused), so that every node and every auditor gives the same verdict.

use std::fmt;

use ed25519_dalek::Signer;
use zeroize::Zeroizing;

use crate::hash::{hex32, sha256};

/// Algorithm id of Ed25519, the only one today. Every signed message carries its algorithm id.
pub const ALG_ED25519: u8 = 1;

/// Length of an Ed25519 signature, in bytes.
pub const SIGNATURE_LEN: usize = 64;

/// Names a public key: `H("sillage/key/v1\0" ‖ u8 alg ‖ public key)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct KeyId([u8; 32]);
hex32!(KeyId);

/// Names an author, whatever key it uses now: `H("sillage/author/v1\0" ‖ first public key)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AuthorId([u8; 32]);
hex32!(AuthorId);

/// Names one of an author's streams: `H("sillage/stream/v1\0" ‖ author_id ‖ label)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamId([u8; 32]);
hex32!(StreamId);

impl KeyId {
    /// The id of a public key.
    pub fn of(key: &PublicKey) -> Self {
        let hash = sha256(&[b"sillage/key/v1\0", &[ALG_ED25519], key.as_bytes()]);
        Self(hash.to_bytes())
    }
}

impl AuthorId {
    /// The id of the author whose first key is `key`.
    pub fn of_first_key(key: &PublicKey) -> Self {
        Self(sha256(&[b"sillage/author/v1\0", key.as_bytes()]).to_bytes())
    }
}

impl StreamId {
    /// The id of `author`'s stream called `label` (any UTF-8).
    pub fn new(author: &AuthorId, label: &str) -> Self {
        let parts = [b"sillage/stream/v1\0", &author.0[..], label.as_bytes()];
        Self(sha256(&parts).to_bytes())
    }
}

/// The signature doesn't match: treat the message as if it had never been signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not match the message and the key")]
pub struct SignatureError;

/// The bytes aren't a public key that may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 32 bytes, or not the canonical encoding of a curve point.
    #[error("not an Ed25519 public key: expected the canonical encoding of a point, 32 bytes")]
    Malformed,
    /// A point of small order: signatures by it prove nothing.
    #[error("a weak Ed25519 public key (small order): make another key")]
    Weak,
}

/// An Ed25519 public key, checked once: canonical and not weak.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

impl PublicKey {
    /// Parses the 32 bytes of RFC 8032 §5.1.5.
    ///
    /// # Errors
    /// When they aren't the canonical encoding of a point, or the point is of small order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: &[u8; 32] = bytes.try_into().map_err(|_| KeyError::Malformed)?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Malformed)?;
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        // A point with two encodings would have two key ids.
        if key.to_edwards().compress().as_bytes() != bytes {
            return Err(KeyError::Malformed);
        }
        Ok(Self(key))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The 32 bytes, by value.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The id under which messages name this key.
    pub fn key_id(&self) -> KeyId {
        KeyId::of(self)
    }

    /// Verifies an Ed25519 signature over `message`, strictly.
    ///
    /// # Errors
    /// When `signature` isn't 64 bytes or doesn't match.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let bytes: &[u8; 64] = signature.try_into().map_err(|_| SignatureError)?;
        let signature = ed25519_dalek::Signature::from_bytes(bytes);
        self.0.verify_strict(message, &signature).map_err(|_| SignatureError)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode(self.as_bytes()))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

impl std::str::FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut bytes = [0_u8; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| KeyError::Malformed)?;
        Self::from_bytes(&bytes)
    }
}

impl serde::Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An Ed25519 private key. Wiped on drop, never printed.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of a 32-byte seed (RFC 8032's private key).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// When the operating system has none to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut seed = Zeroizing::new([0_u8; 32]);
        getrandom::fill(seed.as_mut_slice())?;
        Ok(Self::from_seed(&seed))
    }

    /// The seed, to store in a key file; wiped when dropped.
    pub fn to_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The id of the public half.
    pub fn key_id(&self) -> KeyId {
        self.public_key().key_id()
    }

    /// Signs `message` (Ed25519, deterministic).
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {})", self.public_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_verifies_and_every_flipped_bit_is_refused() {
        let key = SigningKey::from_seed(&[7; 32]);
        let signature = key.sign(b"message");
        assert_eq!(key.public_key().verify(b"message", &signature), Ok(()));
        for bit in 0..512 {
            let mut bad = signature;
            bad[bit / 8] ^= 1 << (bit % 8);
            let verdict = key.public_key().verify(b"message", &bad);
            assert_eq!(verdict, Err(SignatureError), "bit {bit}");
        }
        assert!(key.public_key().verify(b"messagf", &signature).is_err());
        assert!(key.public_key().verify(b"message", &signature[..63]).is_err());
    }

    #[test]
    fn weak_and_non_canonical_keys_are_refused() {
        let mut identity = [0_u8; 32];
        identity[0] = 1;
        assert_eq!(PublicKey::from_bytes(&identity), Err(KeyError::Weak));
        assert_eq!(PublicKey::from_bytes(&[0; 32]), Err(KeyError::Weak));
        // y = p + 3: the second spelling of y = 3, which is a point of large order.
        let mut twice = [0xff_u8; 32];
        twice[0] = 0xf0;
        twice[31] = 0x7f;
        assert_eq!(PublicKey::from_bytes(&twice), Err(KeyError::Malformed));
        assert_eq!(PublicKey::from_bytes(&[1; 31]), Err(KeyError::Malformed));
    }

    #[test]
    fn nothing_secret_is_printed() {
        let key = SigningKey::from_seed(&[7; 32]);
        assert!(!format!("{key:?}").contains("0707"));
        assert_eq!(*key.to_seed(), [7; 32]);
    }
}
