//! A node's secrets: read once at the start, compared with what the genesis entry says of them, wiped on drop.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sillage_ledger::seal::KekFile;
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
    /// Sign receipts and cosign checkpoints: the node's key, and the next one where it is there already. The ledger
    /// says which is in force.
    pub node_keys: Vec<SigningKey>,
    /// Sign checkpoints for the log, where this node may: the same.
    pub log_keys: Vec<SigningKey>,
    /// Resolves identities to tags, where this node does.
    pub vrf_key: Option<VrfSecretKey>,
    /// Key-encryption keys.
    pub keyring: KekFile,
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

        // Once there is a ledger the keys may have been replaced by acts in it; it is asked when it is open.
        let is_new = !config.data_dir.join("ledger").exists();
        let node_keys = signing_keys(Some(&config.node_key), config.node_key_next.as_deref())?;
        if is_new && !node_keys.iter().any(|key| key.public_key() == own.key) {
            return Err(other(&config.node_key, "node key"));
        }
        let log_keys = signing_keys(config.log_key.as_deref(), config.log_key_next.as_deref())?;
        if let (true, Some(path)) = (is_new, &config.log_key)
            && !log_keys.iter().any(|key| key.public_key() == genesis.log_public_key)
        {
            return Err(other(path, "log key"));
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
        let keyring = KekFile::open(&config.keyring)
            .map_err(|error| SecretsError::Read { path: config.keyring.clone(), message: error.to_string() })?;
        Ok(Self { node_keys, log_keys, vrf_key, keyring, identity })
    }
}

fn signing_keys(now: Option<&Path>, next: Option<&Path>) -> Result<Vec<SigningKey>, SecretsError> {
    let paths = now.into_iter().chain(next);
    paths.map(|path| Ok(SigningKey::from_seed(&*seed(path)?))).collect()
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
