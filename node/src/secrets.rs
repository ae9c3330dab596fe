//! A node's secrets: read once at the start, compared with what the genesis entry says of them, wiped on drop.
//!
//! A node that joined later stands in no genesis entry: its key and certificate are compared with the ledger, once that
//! is open.
//!
//! The log's keys come and go while a node runs: one that was given to it lies beside `log_key`, under the same name
//! with the beginning of its public half ([`beside`]).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sillage_ledger::seal::KekFile;
use sillage_ledger::{GenesisError, GenesisInfo};
use sillage_proof::keys::{PublicKey, SigningKey};
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
        /// The expected value.
        what: &'static str,
    },
    /// The configuration names a node that the log doesn't have.
    #[error(
        "node {0} isn't in the genesis entry: `id` in node.toml must be one of its nodes, or the folder that of a new member (`sillage cluster member add`)"
    )]
    NoSuchNode(u64),
    /// The genesis file isn't one.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The certificates can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The keys that a node must not show.
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
        // Once there is a ledger the keys may have been replaced by acts in it; it is asked when it is open.
        Self::read(config, genesis, !config.data_dir.join("ledger").exists())
    }

    /// The same, of a new member: only its ledger will say what its keys must be.
    ///
    /// # Errors
    /// As [`Secrets::load`].
    pub fn load_joining(config: &NodeConfig, genesis: &GenesisInfo) -> Result<Self, SecretsError> {
        Self::read(config, genesis, false)
    }

    fn read(config: &NodeConfig, genesis: &GenesisInfo, is_new: bool) -> Result<Self, SecretsError> {
        let own = genesis.node(config.id);
        if is_new && own.is_none() {
            return Err(SecretsError::NoSuchNode(config.id));
        }
        let other = |path: &Path, what| SecretsError::Other { path: path.to_owned(), what };

        let node_keys = signing_keys(Some(&config.node_key), config.node_key_next.as_deref())?;
        if is_new && own.is_some_and(|own| node_keys.iter().all(|key| key.public_key() != own.key)) {
            return Err(other(&config.node_key, "node key"));
        }
        let mut log_keys = signing_keys(config.log_key.as_deref(), config.log_key_next.as_deref())?;
        if let Some(path) = &config.log_key {
            for path in all_beside(path)? {
                log_keys.push(SigningKey::from_seed(&*seed(&path)?));
            }
        }
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
        let spki = identity.spki_sha256()?;
        if own.is_some_and(|own| own.tls_spki_sha256 != spki) {
            return Err(other(&config.tls.cert, "certificate"));
        }
        owner_only(&config.keyring)?;
        let keyring = KekFile::open(&config.keyring)
            .map_err(|error| SecretsError::Read { path: config.keyring.clone(), message: error.to_string() })?;
        Ok(Self { node_keys, log_keys, vrf_key, keyring, identity })
    }
}

/// Where a key that was given to a running node is kept, beside the file that its configuration names.
pub fn beside(path: &Path, key: &PublicKey) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(hex::encode(&key.as_bytes()[..8]));
    path.with_file_name(name)
}

/// Every such file, in the order of their names.
fn all_beside(path: &Path) -> Result<Vec<PathBuf>, SecretsError> {
    let wrong = |error: std::io::Error| SecretsError::Read { path: path.to_owned(), message: error.to_string() };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let own = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let name = entry.map_err(wrong)?.file_name();
        let ending = name.to_str().and_then(|name| name.strip_prefix(own)?.strip_prefix('.'));
        if ending.is_some_and(|ending| ending.len() == 16 && ending.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            found.push(folder.join(name));
        }
    }
    found.sort();
    Ok(found)
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
///
/// # Errors
/// When it can't be read, isn't that, or others may read it.
pub(crate) fn seed(path: &Path) -> Result<Zeroizing<[u8; 32]>, SecretsError> {
    owner_only(path)?;
    let text = std::fs::read(path).map(Zeroizing::new);
    let text = text.map_err(|error| SecretsError::Read { path: path.to_owned(), message: error.to_string() })?;
    let mut bytes = Zeroizing::new([0_u8; 32]);
    hex::decode_to_slice(text.trim_ascii(), bytes.as_mut_slice())
        .map_err(|_| SecretsError::Seed { path: path.to_owned() })?;
    Ok(bytes)
}
