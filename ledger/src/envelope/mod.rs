//! Envelope encryption: payloads under data keys of their patient, data keys under key-encryption keys outside the database.
//!
//! [`KekProvider`] is where the key-encryption keys live; [`KekFile`] keeps them in a file, a key management service can
//! take its place. [`layout`] holds the byte layouts of `docs/formats.md` §8, `cipher` seals and opens under one data key,
//! and `vault` does so while a command is applied. What seals batches before they are proposed is [`crate::seal`].

pub(crate) mod cipher;
mod fingerprint;
mod kek_file;
mod keyring;
pub mod layout;
mod place;
pub(crate) mod vault;
pub(crate) mod wrapped;

pub use fingerprint::{Fingerprints, KekFingerprint};
pub use kek_file::{HeldEpochs, Judge, KekFile};
pub use keyring::{Keyring, KeyringError};
pub use place::Place;
pub(crate) use place::{is_sealed, split_plain};

use zeroize::Zeroizing;

use crate::error::KekError;
use crate::schema::TagPrefix;

/// A data key in clear: 32 bytes of AES-256, wiped when dropped.
pub type DataKeyBytes = Zeroizing<[u8; 32]>;

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

    /// Tells whether this node's key is the one that the group holds: asked when a command brings or names a data key that
    /// can't be unwrapped here under an epoch that every node holds. `Ok`: then no node can unwrap it, and all refuse
    /// it. May wait for the other nodes. A node that has nobody to ask takes its own key for the group's.
    ///
    /// A command's own statement can't decide this: whoever made it could stop every node with it.
    ///
    /// # Errors
    /// [`KekError::Differs`] when it isn't, [`KekError::Service`] when nobody can tell: this node must not go on then.
    fn check_is_groups(&self, _kek: (TagPrefix, u32)) -> Result<(), KekError> {
        Ok(())
    }
}
