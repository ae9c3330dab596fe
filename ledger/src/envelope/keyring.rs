//! Key-encryption keys in a file, mode 0600.
//!
//! ```text
//! "sillage/keyring\0" ‖ u8 version = 1 ‖ u32 count ‖ count × (u16 prefix ‖ u32 epoch ‖ key[32]) ‖ SHA-256 of all before
//! ```
//!
//! Sorted by prefix and epoch. All nodes of a group have the same file: payloads are sealed by one and opened by others.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit, Nonce, Tag};
use sillage_proof::hash::sha256;
use zeroize::Zeroizing;

use super::{DataKeyBytes, KekError, KekProvider, TagPrefix};

const MAGIC: &[u8] = b"sillage/keyring\0\x01";
const ENTRY_LEN: usize = 2 + 4 + 32;
/// Epochs of all prefixes for decades; a file that claims more isn't one.
const KEYS_MAX: usize = 1 << 20;

/// The key-encryption keys of a group. Wiped when dropped, never printed.
pub struct Keyring {
    pub(super) keys: BTreeMap<(u16, u32), Zeroizing<[u8; 32]>>,
}

/// The keyring can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// Others may read it.
    #[error("{} has mode {mode:03o}: others may read the keys; run `chmod 600` on it, and replace the keys if it was exposed", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It isn't a keyring, or was altered.
    #[error("{} isn't a keyring or was altered: restore it from the backup of the keys", .0.display())]
    Malformed(PathBuf),
    /// It exists already: its keys must not be lost.
    #[error("{} exists already: a keyring is never overwritten, choose another name", .0.display())]
    Exists(PathBuf),
    /// Another key of this epoch is there.
    #[error("another key of prefix {prefix:#05x}, epoch {epoch} is there: take a newer epoch")]
    Conflict {
        /// The prefix.
        prefix: u16,
        /// The epoch.
        epoch: u32,
    },
    /// It isn't the keyring that this node had.
    #[error("this isn't the keyring that this node had: its key of prefix {prefix:#05x}, epoch {epoch} is missing or another one; give the node the newest keyring of its own log, from another node or from the backup ({} holds the fingerprints)", record.display())]
    Other {
        /// The prefix.
        prefix: u16,
        /// The epoch.
        epoch: u32,
        /// Where the fingerprints are on record.
        record: PathBuf,
    },
    /// The record of the keyring can't be read.
    #[error("{} isn't a record of a keyring or was altered: make sure that the keyring is the one of this log, then remove that file", .0.display())]
    Record(PathBuf),
    /// The operating system gives no randomness.
    #[error("no randomness from the operating system: {0}")]
    Randomness(String),
    /// A file operation failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl Keyring {
    /// New keys: one for each of the 4,096 prefixes, epoch 1.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate() -> Result<Self, KeyringError> {
        let mut keys = BTreeMap::new();
        for prefix in 0..TagPrefix::COUNT {
            let mut key = Zeroizing::new([0; 32]);
            getrandom::fill(&mut key[..]).map_err(|error| KeyringError::Randomness(error.to_string()))?;
            keys.insert((prefix, 1), key);
        }
        Ok(Self { keys })
    }

    /// Reads a keyring.
    ///
    /// # Errors
    /// When it is exposed to others, altered, or can't be read.
    pub fn load(path: &Path) -> Result<Self, KeyringError> {
        let io = |source| KeyringError::Io { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyringError::Exposed { path: path.to_owned(), mode });
        }
        let len = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
        if len > MAGIC.len() + 4 + KEYS_MAX * ENTRY_LEN + 32 {
            return Err(KeyringError::Malformed(path.to_owned()));
        }
        // Room for all of it at once: growing would leave copies of keys behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(len + 1));
        file.read_to_end(&mut bytes).map_err(io)?;
        Self::decode(&bytes).ok_or_else(|| KeyringError::Malformed(path.to_owned()))
    }

    /// Tells whether it has the key of this epoch.
    pub fn holds(&self, prefix: TagPrefix, epoch: u32) -> bool {
        self.keys.contains_key(&(prefix.get(), epoch))
    }

    /// Writes a new keyring, mode 0600, all or nothing.
    ///
    /// # Errors
    /// When the file exists or can't be written.
    pub fn save(&self, path: &Path) -> Result<(), KeyringError> {
        let io = |source| KeyringError::Io { path: path.to_owned(), source };
        let new = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new).map_err(io)?;
        file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(io)?;
        file.write_all(&self.encode()).map_err(io)?;
        file.sync_all().map_err(io)?;
        // A link fails where a rename would overwrite.
        let linked = fs::hard_link(&new, path);
        fs::remove_file(&new).map_err(io)?;
        linked.map_err(|source| match source.kind() {
            std::io::ErrorKind::AlreadyExists => KeyringError::Exists(path.to_owned()),
            _ => io(source),
        })?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new("."))).and_then(|dir| dir.sync_all()).map_err(io)
    }

    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let len = MAGIC.len() + 4 + self.keys.len() * ENTRY_LEN + 32;
        let mut out = Zeroizing::new(Vec::with_capacity(len));
        out.extend_from_slice(MAGIC);
        let count = u32::try_from(self.keys.len()).expect("at most a million keys");
        out.extend_from_slice(&count.to_be_bytes());
        for ((prefix, epoch), key) in &self.keys {
            out.extend_from_slice(&prefix.to_be_bytes());
            out.extend_from_slice(&epoch.to_be_bytes());
            out.extend_from_slice(&key[..]);
        }
        let sum = sha256(&[&out]);
        out.extend_from_slice(sum.as_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<32>()?;
        if sha256(&[body]).as_bytes() != sum {
            return None;
        }
        let (count, entries) = body.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
        let (entries, rest) = entries.as_chunks::<ENTRY_LEN>();
        let count = usize::try_from(u32::from_be_bytes(*count)).ok()?;
        if entries.len() != count || !rest.is_empty() {
            return None;
        }
        let mut keys = BTreeMap::new();
        for entry in entries {
            let (prefix, rest) = entry.split_first_chunk::<2>()?;
            let (epoch, key) = rest.split_first_chunk::<4>()?;
            let at = (u16::from_be_bytes(*prefix), u32::from_be_bytes(*epoch));
            let sorted = keys.last_key_value().is_none_or(|(last, _)| *last < at);
            if at.0 >= TagPrefix::COUNT || !sorted {
                return None;
            }
            keys.insert(at, Zeroizing::new(<[u8; 32]>::try_from(key).ok()?));
        }
        Some(Self { keys })
    }

    /// Tells whether these bytes are a keyring that nobody altered, as one node gives it to another.
    pub fn is_whole(bytes: &[u8]) -> bool {
        Self::decode(bytes).is_some()
    }

    fn cipher(&self, (prefix, epoch): (TagPrefix, u32)) -> Result<Aes256Gcm, KekError> {
        let prefix = prefix.get();
        let key = self.keys.get(&(prefix, epoch));
        let key = key.ok_or(KekError::Missing { prefix, epoch })?;
        Ok(Aes256Gcm::new_from_slice(&key[..]).expect("a key of 32 bytes"))
    }
}

impl KekProvider for Keyring {
    fn wrap(
        &self,
        kek: (TagPrefix, u32),
        nonce: &[u8; 12],
        aad: &[u8],
        data_key: &[u8; 32],
    ) -> Result<[u8; 48], KekError> {
        let cipher = self.cipher(kek)?;
        let mut key = Zeroizing::new(*data_key);
        let tag = cipher
            .encrypt_inout_detached(&Nonce::from(*nonce), aad, InOutBuf::from(&mut key[..]))
            .map_err(|_| KekError::Refused)?;
        let mut out = [0; 48];
        out[..32].copy_from_slice(&key[..]);
        out[32..].copy_from_slice(&tag);
        Ok(out)
    }

    fn unwrap(
        &self,
        kek: (TagPrefix, u32),
        nonce: &[u8; 12],
        aad: &[u8],
        wrapped: &[u8; 48],
    ) -> Result<DataKeyBytes, KekError> {
        let cipher = self.cipher(kek)?;
        let (sealed, tag) = wrapped.split_first_chunk::<32>().expect("48 bytes hold 32");
        let tag = <[u8; 16]>::try_from(tag).expect("and 16");
        let mut key = Zeroizing::new(*sealed);
        let (nonce, tag) = (Nonce::from(*nonce), Tag::from(tag));
        cipher
            .decrypt_inout_detached(&nonce, aad, InOutBuf::from(&mut key[..]), &tag)
            .map_err(|_| KekError::Refused)?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyring_is_read_as_written_and_only_by_its_owner() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("keyring");
        let keyring = Keyring::generate().expect("randomness");
        keyring.save(&path).expect("writable");
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mine");
        let kek = (TagPrefix::of(&[0xff; 32]), 1);
        let wrapped = keyring.wrap(kek, &[1; 12], b"aad", &[7; 32]).expect("there");
        let again = Keyring::load(&path).expect("as written");
        assert_eq!(again.keys.len(), 4_096);
        assert_eq!(*again.unwrap(kek, &[1; 12], b"aad", &wrapped).expect("same key"), [7; 32]);
        assert!(again.unwrap(kek, &[1; 12], b"aaD", &wrapped).is_err());
        assert!(again.unwrap((kek.0, 2), &[1; 12], b"aad", &wrapped).is_err());
        mode(0o640);
        assert!(matches!(Keyring::load(&path), Err(KeyringError::Exposed { mode: 0o640, .. })));
        mode(0o600);
        assert!(matches!(keyring.save(&path), Err(KeyringError::Exists(_))), "keys are never overwritten");
        let mut bytes = fs::read(&path).expect("mine");
        bytes[4_000] ^= 1;
        fs::write(&path, &bytes).expect("mine");
        assert!(matches!(Keyring::load(&path), Err(KeyringError::Malformed(_))));
    }
}
