//! Signatures that this process has verified, of authors and of logins: what was admitted here, or applied before, isn't
//! verified again.
//!
//! It only saves time. A signature is good or bad whoever looks at it and whenever, so what is found here is what verifying
//! would say, and a command does the same on a node that has seen everything and on one that has seen nothing.

use std::collections::{HashMap, HashSet, VecDeque};

use parking_lot::Mutex;
use sillage_proof::hash::{Hash, sha256};
use sillage_proof::keys::{KeyError, PublicKey};
use sillage_rules::will::KnownSignatures;

use crate::rows::KeyInfo;

/// Signatures remembered: 64 bytes each, some seconds of a busy log.
const SIGNATURES_MAX: usize = 100_000;

/// Authors' keys kept ready: to make one ready is a good part of verifying with it.
const KEYS_MAX: usize = 4_096;

/// See the module. Only good signatures are in it.
#[derive(Debug, Default)]
pub struct Verified {
    recent: Mutex<Recent>,
    /// By their bytes, from which they follow.
    keys: Mutex<HashMap<[u8; 32], PublicKey>>,
}

#[derive(Debug, Default)]
struct Recent {
    known: HashSet<Hash>,
    order: VecDeque<Hash>,
}

impl Verified {
    /// Remembers a signature that was verified over a message. The message names the key that signed, by its hash.
    pub fn add(&self, message: &[u8], signature: &[u8]) {
        let name = name(message, signature);
        let mut recent = self.recent.lock();
        if !recent.known.insert(name) {
            return;
        }
        recent.order.push_back(name);
        if recent.order.len() > SIGNATURES_MAX
            && let Some(oldest) = recent.order.pop_front()
        {
            recent.known.remove(&oldest);
        }
    }

    /// Tells whether this very signature over this very message was verified. `false` says nothing.
    pub fn has(&self, message: &[u8], signature: &[u8]) -> bool {
        self.recent.lock().known.contains(&name(message, signature))
    }

    /// Tells whether a signature is good: seen before, or by `verify`, and then remembered.
    pub(crate) fn or_verify(&self, message: &[u8], signature: &[u8], verify: impl FnOnce() -> bool) -> bool {
        if self.has(message, signature) {
            return true;
        }
        let good = verify();
        if good {
            self.add(message, signature);
        }
        good
    }

    /// Tokens of logins, which an admitting node, the one that leads and apply each look at.
    pub(crate) fn tokens(&self) -> &dyn KnownSignatures {
        self
    }

    /// A registered key, ready to verify with.
    pub(crate) fn key(&self, key: &KeyInfo) -> Result<PublicKey, KeyError> {
        if let Some(known) = self.keys.lock().get(&key.public_key) {
            return Ok(*known);
        }
        let ready = key.verifier()?;
        let mut keys = self.keys.lock();
        if keys.len() >= KEYS_MAX {
            keys.clear();
        }
        keys.insert(key.public_key, ready);
        Ok(ready)
    }
}

impl KnownSignatures for Verified {
    fn or_verify(&self, message: &[u8], signature: &[u8], verify: &dyn Fn() -> bool) -> bool {
        Self::or_verify(self, message, signature, verify)
    }
}

/// All that was verified, in one hash. Messages of different sorts begin differently, and say how long they are or have
/// signatures of one length.
fn name(message: &[u8], signature: &[u8]) -> Hash {
    sha256(&[message, signature])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_known_by_all_that_was_signed_and_old_ones_make_room() {
        let verified = Verified::default();
        let message = |n: usize| n.to_be_bytes();
        verified.add(&message(0), &[5; 64]);
        assert!(verified.has(&message(0), &[5; 64]));
        assert!(!verified.has(&message(0), &[6; 64]) && !verified.has(&message(1), &[5; 64]));
        for n in 1..=SIGNATURES_MAX {
            verified.add(&message(n), &[5; 64]);
        }
        assert!(!verified.has(&message(0), &[5; 64]));
        assert_eq!(verified.recent.lock().known.len(), SIGNATURES_MAX);
    }

    #[test]
    fn a_key_is_ready_the_second_time_and_what_is_none_never() {
        use sillage_proof::keys::{AuthorId, SigningKey};

        use crate::rows::KeyState;

        let (verified, public) = (Verified::default(), SigningKey::from_seed(&[7; 32]).public_key());
        let (author_id, since) = (AuthorId::of_first_key(&public), 0.into());
        let state = KeyState::Active;
        let key = KeyInfo { key_id: public.key_id(), author_id, public_key: public.to_bytes(), state, since };
        assert_eq!((verified.key(&key), verified.key(&key)), (Ok(public), Ok(public)));
        let none = KeyInfo { public_key: [0; 32], ..key };
        assert!(verified.key(&none).is_err() && verified.key(&none).is_err());
        assert_eq!(verified.keys.lock().len(), 1);
    }

    #[test]
    fn a_bad_signature_is_never_remembered() {
        let verified = Verified::default();
        assert!(!verified.or_verify(b"message", &[5; 64], || false));
        assert!(!verified.has(b"message", &[5; 64]));
        assert!(verified.or_verify(b"message", &[5; 64], || true));
        assert!(verified.or_verify(b"message", &[5; 64], || panic!("known by now")));
    }
}
