//! A node's secrets: read once at the start, compared with what the genesis entry says of them, wiped on drop.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sillage_ledger::seal::Keyring;
use sillage_ledger::{GenesisError, GenesisInfo};
use sillage_proof::keys::SigningKey;
use sillage_proof::vrf::VrfSecretKey;
use zeroize::Zeroizing;

use crate::config::NodeConfig;
use crate::tls::{Identity, TlsError};

/// Why the secrets can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// A file can't be read.
    #[error("can't read {path}: {message}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// Others may read it.
    #[error("{path} can be read by others than its owner: `chmod 600` it")]
    Open {
        /// Which.
        path: PathBuf,
    },
    /// It isn't 64 hexadecimal characters.
    #[error("{path} isn't a key file: expected 64 hexadecimal characters")]
    Seed {
        /// Which.
        path: PathBuf,
    },
    /// It belongs to another node or another log.
    #[error("{path} isn't the {what} that the genesis entry names: is it of another node or log?")]
    Other {
        /// Which.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
    },
    /// The configuration names a node that the log doesn't have.
    #[error("node {0} isn't in the genesis entry: `id` in node.toml must be one of its nodes")]
    NoSuchNode(u64),
    /// The genesis file isn't one.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The certificates can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What a node must not show.
pub struct Secrets {
    /// Signs receipts.
    pub node_key: SigningKey,
    /// Signs checkpoints, where this node may.
    pub log_key: Option<SigningKey>,
    /// Resolves identities to tags, where this node does.
    pub vrf_key: Option<VrfSecretKey>,
    /// Key-encryption keys.
    pub keyring: Keyring,
    /// Certificate and key of both ports.
    pub identity: Identity,
}

impl Secrets {
    /// Reads the files that `config` names.
    ///
    /// # Errors
    /// When one is missing, readable by others, malformed, or not the one of `genesis`.
    pub fn load(config: &NodeConfig, genesis: &GenesisInfo) -> Result<Self, SecretsError> {
        let own = genesis.node(config.id);
        let own = own.ok_or(SecretsError::NoSuchNode(config.id))?;
        let other = |path: &Path, what| SecretsError::Other { path: path.to_owned(), what };

        let node_key = SigningKey::from_seed(&*seed(&config.node_key)?);
        if node_key.public_key() != own.key {
            return Err(other(&config.node_key, "node key"));
        }
        let mut log_key = None;
        if let Some(path) = &config.log_key {
            let key = SigningKey::from_seed(&*seed(path)?);
            if key.public_key() != genesis.log_public_key {
                return Err(other(path, "log key"));
            }
            log_key = Some(key);
        }
        let mut vrf_key = None;
        if let Some(path) = &config.vrf_key {
            let key = VrfSecretKey::from_seed(*seed(path)?);
            if key.public_key().as_bytes() != &genesis.vrf_public_key {
                return Err(other(path, "VRF key"));
            }
            vrf_key = Some(key);
        }
        owner_only(&config.tls.key)?;
        let identity = Identity::load(&config.tls)?;
        if identity.spki_sha256()? != own.tls_spki_sha256 {
            return Err(other(&config.tls.cert, "certificate"));
        }
        owner_only(&config.keyring)?;
        let keyring = Keyring::load(&config.keyring)
            .map_err(|error| SecretsError::Read { path: config.keyring.clone(), message: error.to_string() })?;
        Ok(Self { node_key, log_key, vrf_key, keyring, identity })
    }
}

fn owner_only(path: &Path) -> Result<(), SecretsError> {
    let metadata = std::fs::metadata(path)
        .map_err(|error| SecretsError::Read { path: path.to_owned(), message: error.to_string() })?;
    match metadata.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => Err(SecretsError::Open { path: path.to_owned() }),
    }
}

/// The 32 bytes of a key file: 64 hexadecimal characters and a newline.
fn seed(path: &Path) -> Result<Zeroizing<[u8; 32]>, SecretsError> {
    owner_only(path)?;
    let text = std::fs::read(path).map(Zeroizing::new);
    let text = text.map_err(|error| SecretsError::Read { path: path.to_owned(), message: error.to_string() })?;
    let mut bytes = Zeroizing::new([0_u8; 32]);
    hex::decode_to_slice(text.trim_ascii(), bytes.as_mut_slice())
        .map_err(|_| SecretsError::Seed { path: path.to_owned() })?;
    Ok(bytes)
}
