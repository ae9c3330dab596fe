//! Keys of the group, sealed for one newcomer: X25519, HKDF-SHA256, AES-256-GCM.
//!
//! ```text
//! signed  = "sillage/give-keys/v1\0" ‖ u8 len ‖ origin ‖ u64 newcomer ‖ newcomer's X25519 key[32]
//! key     = HKDF-SHA256(salt = "sillage/give-keys/v1\0", shared secret,
//!           info = u8 len ‖ origin ‖ u64 newcomer ‖ newcomer's key[32] ‖ giver's key[32])
//! sealed  = AES-256-GCM(key, nonce of zeros, no associated data)
//! ```
//!
//! Both X25519 keys are made for one exchange, so the AES key seals once and its nonce may be zero. The TLS below is
//! mutual already; this keeps the keys closed to whoever sees inside of it.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::hkdf;
use ring::rand::SystemRandom;
use sillage_proof::batch::Origin;
use sillage_proof::keys::{PublicKey, SigningKey};
use zeroize::Zeroizing;

const LABEL: &[u8] = b"sillage/give-keys/v1\0";
/// Length of an X25519 key, in bytes.
const KEY_LEN: usize = 32;

/// An exchange can't be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealedError {
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Randomness,
    /// The other side's key isn't one.
    #[error("this isn't an X25519 key of 32 bytes")]
    Key,
    /// Not signed with the node key on record.
    #[error("the request isn't signed with the node key that the ledger names")]
    Signature,
    /// The answer was sealed for somebody else, or altered.
    #[error("what came can't be opened: it was sealed for another request")]
    Closed,
}

fn signed_message(origin: &Origin, newcomer: u64, public_key: &[u8]) -> Vec<u8> {
    let origin = origin.as_str().as_bytes();
    let len = u8::try_from(origin.len()).expect("an origin has at most 255 bytes");
    [LABEL, &[len], origin, &newcomer.to_be_bytes(), public_key].concat()
}

struct KeyLen;

impl hkdf::KeyType for KeyLen {
    fn len(&self) -> usize {
        KEY_LEN
    }
}

/// The parties of the one exchange that a key is good for.
struct Exchange<'a> {
    origin: &'a Origin,
    newcomer: u64,
    newcomer_key: &'a [u8],
    giver_key: &'a [u8],
}

impl Exchange<'_> {
    fn key(&self, shared: &[u8]) -> LessSafeKey {
        let origin = self.origin.as_str().as_bytes();
        let len = u8::try_from(origin.len()).expect("an origin has at most 255 bytes");
        let newcomer = self.newcomer.to_be_bytes();
        let info: [&[u8]; 5] = [&[len], origin, &newcomer, self.newcomer_key, self.giver_key];
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, LABEL).extract(shared);
        let expanded = extracted.expand(&info, KeyLen).expect("32 bytes are within what HKDF gives");
        let mut key = Zeroizing::new([0; KEY_LEN]);
        expanded.fill(&mut key[..]).expect("as long as was asked for");
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key[..]).expect("32 bytes"))
    }
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// A newcomer's side of one exchange.
pub struct Asking {
    origin: Origin,
    newcomer: u64,
    private: EphemeralPrivateKey,
    public: Vec<u8>,
    signature: Vec<u8>,
}

impl Asking {
    /// Begins an exchange as node `newcomer`, whose node key the ledger names.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new(origin: &Origin, newcomer: u64, node_key: &SigningKey) -> Result<Self, SealedError> {
        let private =
            EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).map_err(|_| SealedError::Randomness)?;
        let public = private.compute_public_key().map_err(|_| SealedError::Randomness)?.as_ref().to_vec();
        let signature = node_key.sign(&signed_message(origin, newcomer, &public)).to_vec();
        Ok(Self { origin: origin.clone(), newcomer, private, public, signature })
    }

    /// Its X25519 key.
    pub fn public_key(&self) -> &[u8] {
        &self.public
    }

    /// Over that key, by the node key.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Opens the answer.
    ///
    /// # Errors
    /// When it wasn't sealed for this request.
    pub fn open(self, giver_key: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealedError> {
        let giver = UnparsedPublicKey::new(&X25519, giver_key);
        let exchange =
            Exchange { origin: &self.origin, newcomer: self.newcomer, newcomer_key: &self.public, giver_key };
        let key = agree_ephemeral(self.private, &giver, |shared| exchange.key(shared)).map_err(|_| SealedError::Key)?;
        let mut text = Zeroizing::new(sealed.to_vec());
        let open = key.open_in_place(nonce(), Aad::empty(), &mut text).map_err(|_| SealedError::Closed)?;
        let len = open.len();
        text.truncate(len);
        Ok(text)
    }
}

/// A giver's answer: its X25519 key, and the sealed keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedAnswer {
    /// Its X25519 key, of this one answer.
    pub public_key: Vec<u8>,
    /// The text, and a tag of 16 bytes.
    pub sealed: Vec<u8>,
}

/// Seals `text` for node `newcomer`, which asked with this X25519 key under this signature.
///
/// # Errors
/// When the request isn't the newcomer's own, or its key isn't one.
pub fn seal(
    origin: &Origin,
    (newcomer, node_key): (u64, &PublicKey),
    (newcomer_key, signature): (&[u8], &[u8]),
    text: &[u8],
) -> Result<SealedAnswer, SealedError> {
    let message = signed_message(origin, newcomer, newcomer_key);
    node_key.verify(&message, signature).map_err(|_| SealedError::Signature)?;
    let private = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).map_err(|_| SealedError::Randomness)?;
    let public_key = private.compute_public_key().map_err(|_| SealedError::Randomness)?.as_ref().to_vec();
    let exchange = Exchange { origin, newcomer, newcomer_key, giver_key: &public_key };
    let peer = UnparsedPublicKey::new(&X25519, newcomer_key);
    let key = agree_ephemeral(private, &peer, |shared| exchange.key(shared)).map_err(|_| SealedError::Key)?;
    // Room for the tag at once: growing would leave a copy of the keys behind.
    let mut sealed = Vec::with_capacity(text.len() + AES_256_GCM.tag_len());
    sealed.extend_from_slice(text);
    key.seal_in_place_append_tag(nonce(), Aad::empty(), &mut sealed).map_err(|_| SealedError::Key)?;
    Ok(SealedAnswer { public_key, sealed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(name: &str) -> Origin {
        Origin::new(name.to_owned()).unwrap()
    }

    fn node(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn exchanged(asked: &Asking, as_node: u64, log: &str, key: &SigningKey) -> Result<SealedAnswer, SealedError> {
        let request = (asked.public_key(), asked.signature());
        seal(&origin(log), (as_node, &key.public_key()), request, b"the keys")
    }

    #[test]
    fn keys_reach_the_node_that_asked_and_nobody_else() {
        let asking = Asking::new(&origin("a.example/log"), 4, &node(4)).unwrap();
        let answer = exchanged(&asking, 4, "a.example/log", &node(4)).unwrap();
        assert!(!answer.sealed.windows(8).any(|part| part == b"the keys"));
        let other = Asking::new(&origin("a.example/log"), 4, &node(4)).unwrap();
        assert_eq!(other.open(&answer.public_key, &answer.sealed).unwrap_err(), SealedError::Closed);
        assert_eq!(&asking.open(&answer.public_key, &answer.sealed).unwrap()[..], b"the keys");
    }

    #[test]
    fn a_request_is_good_for_one_node_key_id_and_log() {
        let asking = Asking::new(&origin("a.example/log"), 4, &node(4)).unwrap();
        for (id, log, key) in [(4, "a.example/log", 5), (5, "a.example/log", 4), (4, "b.example/log", 4)] {
            assert_eq!(exchanged(&asking, id, log, &node(key)), Err(SealedError::Signature), "{id} {log} {key}");
        }
    }

    #[test]
    fn an_altered_answer_is_not_opened() {
        let asking = Asking::new(&origin("a.example/log"), 4, &node(4)).unwrap();
        let mut answer = exchanged(&asking, 4, "a.example/log", &node(4)).unwrap();
        answer.sealed[0] ^= 1;
        assert_eq!(asking.open(&answer.public_key, &answer.sealed).unwrap_err(), SealedError::Closed);
        let asking = Asking::new(&origin("a.example/log"), 4, &node(4)).unwrap();
        assert_eq!(asking.open(&[0; 32], &answer.sealed).unwrap_err(), SealedError::Key);
    }
}
