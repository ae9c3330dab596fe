//! Sealing: payloads under data keys of their patient, data keys under key-encryption keys outside the database.
//!
//! [`Sealer`] seals a batch before it is proposed and opens payloads for whoever may read them. [`KekProvider`] is
//! where the key-encryption keys live; [`KekFile`] keeps them in a file, a key management service can take its place.
//! [`layout`] holds the byte layouts of `docs/formats.md` §8.

pub(crate) mod cipher;
mod fingerprint;
mod kek_file;
mod keyring;
pub mod layout;
mod request;
mod reseal;
mod sealer;
pub(crate) mod vault;
pub(crate) mod wrapped;

pub use fingerprint::{Fingerprints, KekFingerprint};
pub use kek_file::{HeldEpochs, Judge, KekFile};
pub use keyring::{Keyring, KeyringError};
pub use sealer::{
    DATA_KEYS_CACHED, Opened, Place, Plain, Randomness, SealError, SealedPayloads, Sealer, SystemRandomness,
};
pub(crate) use sealer::{is_sealed, split_plain};

use zeroize::Zeroizing;

/// A data key in clear: 32 bytes of AES-256, wiped when dropped.
pub type DataKeyBytes = Zeroizing<[u8; 32]>;

/// The first 12 bits of a tag: which key-encryption key is in charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagPrefix(u16);

impl TagPrefix {
    /// Number of prefixes.
    pub const COUNT: u16 = 4_096;

    /// The prefix of this number, below 4,096.
    pub fn new(number: u16) -> Option<Self> {
        (number < Self::COUNT).then_some(Self(number))
    }

    /// The prefix of a tag.
    pub fn of(tag: &[u8; 32]) -> Self {
        Self(u16::from_be_bytes([tag[0], tag[1]]) >> 4)
    }

    /// The number, below 4,096.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// A key-encryption key can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KekError {
    /// There is no such key.
    #[error("no key-encryption key for prefix {prefix:#05x}, epoch {epoch}: give this node the keyring of the group")]
    Missing {
        /// The prefix.
        prefix: u16,
        /// The epoch; 0: any.
        epoch: u32,
    },
    /// What is wrapped isn't what was wrapped, or under another key.
    #[error("a data key can't be unwrapped: it was altered, or this node's keyring isn't the group's")]
    Refused,
    /// This node's key isn't the group's.
    #[error(
        "this node's key-encryption key of prefix {prefix:#05x}, epoch {epoch} isn't the group's: give this node the keyring of its own log"
    )]
    Differs {
        /// The prefix.
        prefix: u16,
        /// The epoch.
        epoch: u32,
    },
    /// The service that holds the keys doesn't answer.
    #[error("the key service failed: {0}; try again")]
    Service(String),
}

/// Where key-encryption keys live: a file, a key management service, a hardware module. They need not leave it.
pub trait KekProvider: Send + Sync {
    /// AES-256-GCM of a data key: ciphertext and tag.
    ///
    /// # Errors
    /// When there is no such key or the service fails.
    fn wrap(
        &self,
        kek: (TagPrefix, u32),
        nonce: &[u8; 12],
        aad: &[u8],
        data_key: &[u8; 32],
    ) -> Result<[u8; 48], KekError>;

    /// The reverse of [`KekProvider::wrap`].
    ///
    /// # Errors
    /// When there is no such key, the service fails, or the bytes were altered.
    fn unwrap(
        &self,
        kek: (TagPrefix, u32),
        nonce: &[u8; 12],
        aad: &[u8],
        wrapped: &[u8; 48],
    ) -> Result<DataKeyBytes, KekError>;

    /// Whether this node's key is the one that the group holds: asked when a command brings or names a data key that can't
    /// be unwrapped here under an epoch that every node holds. `Ok`: then no node can unwrap it, and all refuse it. May wait
    /// for the other nodes. Who has nobody to ask takes its own key for the group's.
    ///
    /// What a command says of itself can't decide this: whoever made it could stop every node with it.
    ///
    /// # Errors
    /// [`KekError::Differs`] when it isn't, [`KekError::Service`] when nobody can tell: this node must not go on then.
    fn check_is_groups(&self, _kek: (TagPrefix, u32)) -> Result<(), KekError> {
        Ok(())
    }
}
