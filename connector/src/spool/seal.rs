//! The keys of a connector: one seals what waits in the spool, the other names things in the index.
//!
//! Each segment has a key of its own, from its salt: `HKDF-SHA-256(key, salt, "sillage/spool/1 segment")`. An arrival is sealed with
//! AES-256-GCM; nonce and associated data are its number.

use std::path::Path;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::{hkdf, hmac};
use sillage_client::ClientError;
use sillage_client::profile::{read, write_private};
use zeroize::Zeroizing;

/// The key of a connector.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; 32]>);

/// The key of one segment.
pub struct SegmentKey(LessSafeKey);

/// The key that names things in the index.
#[derive(Clone)]
pub struct NameKey(hmac::Key);

/// A name in the index: nobody without the key can tell of what.
pub type Name = [u8; 16];

impl Key {
    /// Of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Makes a key and writes it to a new file, mode 0600.
    ///
    /// # Errors
    /// When the file is there, or can't be written.
    pub fn create(path: &Path) -> Result<Self, ClientError> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|error| ClientError::writing(path, error))?;
        let text = Zeroizing::new(format!("{}\n", hex::encode(bytes.as_slice())));
        write_private(path, text.as_bytes())?;
        Ok(Self(bytes))
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// When it can't be read, isn't one, or others may read it.
    pub fn load(path: &Path) -> Result<Self, ClientError> {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path).map_err(|e| ClientError::reading(path, e))?.permissions().mode();
        if mode & 0o077 != 0 {
            let why = "other users of this machine may read this key: chmod 600 it";
            return Err(ClientError::reading(path, why));
        }
        let text = Zeroizing::new(read(path)?);
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim_ascii(), bytes.as_mut_slice())
            .map_err(|_| ClientError::reading(path, "expected 64 hexadecimal characters"))?;
        Ok(Self(bytes))
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        *self.0
    }

    fn derive(&self, salt: &[u8], label: &[u8]) -> Zeroizing<[u8; 32]> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, salt);
        let mut out = Zeroizing::new([0; 32]);
        let label = [label];
        let extracted = salt.extract(self.0.as_slice());
        let okm = extracted.expand(&label, hkdf::HKDF_SHA256).expect("32 bytes can be had");
        okm.fill(out.as_mut_slice()).expect("32 bytes can be had");
        out
    }

    /// The key of the segment with this salt.
    pub fn segment(&self, salt: &[u8; 32]) -> SegmentKey {
        let key = self.derive(salt, b"sillage/spool/1 segment");
        SegmentKey(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_slice()).expect("32 bytes are a key")))
    }

    /// The key of the index.
    pub fn names(&self) -> NameKey {
        let key = self.derive(b"", b"sillage/spool/1 names");
        NameKey(hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()))
    }

    /// A key for what is kept beside the spool, such as quarantined bytes; `label` says for what.
    pub fn beside(&self, label: &str) -> Self {
        Self(self.derive(label.as_bytes(), b"sillage/spool/1 beside"))
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

impl SegmentKey {
    /// Seals what has this number.
    pub fn seal(&self, number: u64, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        let aad = Aad::from(number.to_be_bytes());
        self.0.seal_in_place_append_tag(nonce(number), aad, &mut out).expect("an arrival is far below 64 GiB");
        out
    }

    /// Opens it; `None` where it isn't what was sealed.
    pub fn open(&self, number: u64, mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let len = self.0.open_in_place(nonce(number), Aad::from(number.to_be_bytes()), &mut sealed).ok()?.len();
        sealed.truncate(len);
        Some(sealed)
    }
}

impl NameKey {
    /// The name of these parts: no two lists of parts have the same bytes under the MAC.
    pub fn name(&self, parts: &[&[u8]]) -> Name {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let tag = context.sign();
        std::array::from_fn(|at| tag.as_ref()[at])
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}
