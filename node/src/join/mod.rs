//! How a new node begins: a folder without the group's keys and without data, and a token that says so.
//!
//! `sillage cluster member add` and `replace` make the folder: the node's own key and certificate, the genesis entry,
//! whom to ask. Once the act that names the node is applied there, a member gives it the keyring, the log's key and the
//! VRF key ([`fetch_keys`]), [`sealed`] to a key that its node key signed. Then it begins with an empty ledger, and its
//! first entries come with a snapshot: it never replays what was sealed under keys that are destroyed.
//!
//! The token `data/JOIN` permits to begin from nothing. It goes as soon as the ledger here names this node: from then
//! on an empty disk is a lost disk.

pub mod sealed;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message as _;
use sillage_ledger::GenesisInfo;
use sillage_proof::keys::SigningKey;
use sillage_proof::vrf::VrfSecretKey;
use sillage_proto::internal::v1::{GiveKeysRequest, NodeKeys};
use tokio::time::{Instant, sleep, timeout};
use zeroize::Zeroizing;

use crate::config::{NodeConfig, PeerConfig};
use crate::init::files::{self, FileError};
use crate::peer::links;
use crate::secrets::{self, SecretsError};
use crate::tls::{self, Identity, SpkiSha256, TlsError};
use sealed::{Asking, SealedError};

/// Name of the token, in the data folder.
const TOKEN: &str = "JOIN";
/// For one call to a member.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two rounds of asking.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Between two lines that say what is waited for.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Why a new node doesn't begin.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The token is another folder's.
    #[error("{path} isn't the token of node {id} of {origin}: use the folder that `sillage cluster member add` made")]
    Token {
        /// Which file.
        path: PathBuf,
        /// This node.
        id: u64,
        /// Of the log.
        origin: String,
    },
    /// A file of the folder.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key file can't be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The node's own secrets.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The node's certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No randomness.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// Nobody to ask.
    #[error("node.toml names no other node under [[peers]]: a new node needs one to ask for the keys")]
    Nobody,
    /// A copy that calls nobody has nobody to get keys from.
    #[error(
        "this folder is a new node's, without keys and without data: there is nothing to look at with --isolated. Start it \
         without, once no other node runs from it"
    )]
    Isolated,
}

/// Where the token is.
fn token_path(config: &NodeConfig) -> PathBuf {
    config.data_dir.join(TOKEN)
}

/// The text of the token.
fn token_of(config: &NodeConfig, genesis: &GenesisInfo) -> String {
    format!("node {} of {}\n", config.id, genesis.origin)
}

/// Tells whether this node may begin from nothing, as a new member.
///
/// # Errors
/// When the token is there and is another node's.
pub fn has_token(config: &NodeConfig, genesis: &GenesisInfo) -> Result<bool, JoinError> {
    let path = token_path(config);
    match std::fs::read_to_string(&path) {
        Ok(text) if text == token_of(config, genesis) => Ok(true),
        Ok(_) => Err(JoinError::Token { path, id: config.id, origin: genesis.origin.to_string() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(JoinError::Io { path, source }),
    }
}

/// Gives the token up: the ledger here names this node. Nothing happens where there is none.
///
/// # Errors
/// When the folder can't be written.
pub fn give_token_up(config: &NodeConfig) -> Result<(), JoinError> {
    let path = token_path(config);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        removed => removed.map_err(|source| JoinError::Io { path, source })?,
    }
    sync_folder(&config.data_dir)
}

fn sync_folder(path: &Path) -> Result<(), JoinError> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(|source| JoinError::Io { path: path.to_owned(), source })
}

/// The certificate that a peer must show before the ledger here says so: what node.toml names, or the genesis entry.
pub fn first_pin(peer: &PeerConfig, genesis: &GenesisInfo) -> Option<SpkiSha256> {
    let named = peer.tls_spki_sha256.as_deref().map(|text| {
        let mut pin = [0; 32];
        hex::decode_to_slice(text, &mut pin).map(|()| pin).ok()
    });
    named.unwrap_or_else(|| genesis.node(peer.id).map(|node| node.tls_spki_sha256))
}

/// Asks the members for the group's keys until one gives them, and writes them into the files that `config` names.
/// Returns at once where the keyring is there already.
///
/// # Errors
/// When this node's own files can't be used or written. Members that refuse or don't answer are asked again for ever:
/// the act that names this node may still be on its way.
pub async fn fetch_keys(config: &NodeConfig, genesis: &GenesisInfo) -> Result<(), JoinError> {
    if config.keyring.exists() {
        return Ok(());
    }
    let identity = Identity::load(&config.tls)?;
    let node_key = SigningKey::from_seed(&*secrets::seed(&config.node_key)?);
    if config.other_peers().next().is_none() {
        return Err(JoinError::Nobody);
    }
    tracing::info!(node = config.id, "a new member: asking the others for the group's keys");
    let mut said: Option<Instant> = None;
    loop {
        let mut reasons = Vec::new();
        for peer in config.other_peers() {
            let Some(pin) = first_pin(peer, genesis) else {
                reasons
                    .push(format!("node {}: neither node.toml nor the genesis entry names its certificate", peer.id));
                continue;
            };
            match ask(config, genesis, &identity, &node_key, (peer, pin)).await {
                Ok(keys) => match check(config, genesis, &keys) {
                    Ok(()) => {
                        write(config, &keys)?;
                        tracing::info!(node = config.id, giver = peer.id, "the group's keys are here");
                        return Ok(());
                    }
                    Err(reason) => reasons.push(format!("node {}: {reason}", peer.id)),
                },
                Err(reason) => reasons.push(format!("node {}: {reason}", peer.id)),
            }
        }
        if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            said = Some(Instant::now());
            tracing::warn!(reasons = reasons.join("; "), "no member gives the group's keys yet: asking on");
        }
        sleep(ASK_EVERY).await;
    }
}

async fn ask(
    config: &NodeConfig,
    genesis: &GenesisInfo,
    identity: &Identity,
    node_key: &SigningKey,
    (peer, pin): (&PeerConfig, SpkiSha256),
) -> Result<NodeKeys, String> {
    let tls = tls::client_config(identity, Some(pin)).map_err(|error| error.to_string())?;
    let name = format!("node-{}", peer.id);
    let bytes_max = config.limits.peer_message_bytes_max;
    let mut client = links::client(&peer.address, &name, &tls, bytes_max).map_err(|error| error.to_string())?;
    let asking = Asking::new(&genesis.origin, config.id, node_key).map_err(|error| error.to_string())?;
    let request = GiveKeysRequest {
        node: config.id,
        public_key: asking.public_key().to_vec(),
        signature: asking.signature().to_vec(),
    };
    let call = timeout(CALL_TIMEOUT, client.give_keys(request)).await;
    let answer = call.map_err(|_| "no answer".to_owned())?;
    let answer = answer.map_err(|status| status.message().to_owned())?.into_inner();
    let text = asking.open(&answer.public_key, &answer.sealed).map_err(|error| error.to_string())?;
    NodeKeys::decode(&text[..]).map_err(|_| "what it sealed isn't keys".to_owned())
}

/// Tells whether these are keys of this log, as far as the genesis entry tells.
fn check(config: &NodeConfig, genesis: &GenesisInfo, keys: &NodeKeys) -> Result<(), String> {
    if !sillage_ledger::seal::Keyring::is_whole(&keys.keyring) {
        return Err("its keyring is damaged".to_owned());
    }
    if keys.log_keys.is_empty() || keys.log_keys.iter().any(|seed| seed.len() != 32) {
        return Err("it doesn't hold the log's key".to_owned());
    }
    if config.vrf_key.is_none() {
        return Ok(());
    }
    let seed = <[u8; 32]>::try_from(&keys.vrf_key[..]).map(Zeroizing::new);
    let seed = seed.map_err(|_| "it doesn't hold the VRF key".to_owned())?;
    match VrfSecretKey::from_seed(*seed).public_key().as_bytes() == &genesis.vrf_public_key {
        true => Ok(()),
        false => Err("its VRF key is another log's".to_owned()),
    }
}

/// The keyring comes last: where it is, all is.
fn write(config: &NodeConfig, keys: &NodeKeys) -> Result<(), JoinError> {
    if let Some(path) = &config.log_key {
        for (at, seed) in keys.log_keys.iter().enumerate() {
            let seed = <[u8; 32]>::try_from(&seed[..]).expect("it was checked");
            let key = SigningKey::from_seed(&Zeroizing::new(seed));
            let path = if at == 0 { path.clone() } else { secrets::beside(path, &key.public_key()) };
            remove(&path)?;
            files::seed(&path, &key)?;
        }
    }
    if let Some(path) = &config.vrf_key {
        remove(path)?;
        files::secret_hex(path, &keys.vrf_key)?;
    }
    let new = config.keyring.with_extension("coming");
    remove(&new)?;
    files::secret(&new, &keys.keyring)?;
    std::fs::rename(&new, &config.keyring).map_err(|source| JoinError::Io { path: config.keyring.clone(), source })?;
    let paths = [Some(&config.keyring), config.log_key.as_ref(), config.vrf_key.as_ref()];
    let folders: std::collections::BTreeSet<_> = paths.into_iter().flatten().filter_map(|path| path.parent()).collect();
    folders.into_iter().try_for_each(sync_folder)
}

/// Removes a file that a fetch has left that was cut short.
fn remove(path: &Path) -> Result<(), JoinError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(JoinError::Io { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::authorities::AuthoritiesPlan;
    use crate::init::genesis::LogTerms;
    use crate::init::{NodePlan, Plan, create, node_dir};
    use sillage_ledger::seal::Keyring;

    /// Node 1 of a new log as a folder on disk, and its genesis.
    fn folder(dir: &Path) -> (NodeConfig, GenesisInfo) {
        let plan = Plan {
            dir: dir.to_owned(),
            terms: LogTerms::test("log.example/join"),
            nodes: vec!["1=127.0.0.1:7400:7401".parse::<NodePlan>().unwrap()],
            listen: None,
            authority: "authority".to_owned(),
            authorities: AuthoritiesPlan::made(1, 1),
            valid_years: 1,
            with_profile: false,
            limits: crate::config::LimitsConfig::default(),
            gateway: None,
            witnesses: Vec::new(),
        };
        create(&plan).unwrap();
        let config = NodeConfig::load(&node_dir(dir, 1).join("node.toml")).unwrap();
        let genesis = GenesisInfo::parse(&std::fs::read(&config.genesis).unwrap()).unwrap();
        (config, genesis)
    }

    fn keys(config: &NodeConfig) -> NodeKeys {
        NodeKeys {
            keyring: std::fs::read(&config.keyring).unwrap(),
            log_keys: vec![vec![7; 32], vec![8; 32]],
            vrf_key: secrets::seed(config.vrf_key.as_ref().unwrap()).unwrap().to_vec(),
        }
    }

    #[test]
    fn a_token_is_one_nodes_and_is_given_up_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let (config, genesis) = folder(dir.path());
        assert!(!has_token(&config, &genesis).unwrap());
        std::fs::write(token_path(&config), token_of(&config, &genesis)).unwrap();
        assert!(has_token(&config, &genesis).unwrap());
        let other = NodeConfig { id: 2, ..config.clone() };
        assert!(matches!(has_token(&other, &genesis), Err(JoinError::Token { id: 2, .. })));
        give_token_up(&config).unwrap();
        give_token_up(&config).unwrap();
        assert!(!has_token(&config, &genesis).unwrap());
    }

    #[test]
    fn keys_of_another_log_or_damaged_ones_are_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let (config, genesis) = folder(dir.path());
        let good = keys(&config);
        assert_eq!(check(&config, &genesis, &good), Ok(()));
        let foreign = NodeKeys { vrf_key: vec![9; 32], ..good.clone() };
        assert!(check(&config, &genesis, &foreign).unwrap_err().contains("another log's"));
        let mut damaged = good.clone();
        damaged.keyring[100] ^= 1;
        assert!(check(&config, &genesis, &damaged).unwrap_err().contains("damaged"));
        assert!(check(&config, &genesis, &NodeKeys { log_keys: Vec::new(), ..good }).is_err());
    }

    #[test]
    fn what_was_given_is_written_for_its_owner_and_found_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let (config, genesis) = folder(dir.path());
        let given = keys(&config);
        std::fs::remove_file(&config.keyring).unwrap();
        // Files of a fetch that was cut short give way.
        write(&config, &given).unwrap();
        assert!(Keyring::is_whole(&std::fs::read(&config.keyring).unwrap()));
        let loaded = secrets::Secrets::load_joining(&config, &genesis).unwrap();
        let held: Vec<_> = loaded.log_keys.iter().map(|key| key.to_seed()[0]).collect();
        assert_eq!(held, [7, 8], "the one in force first, the others beside it");
    }
}
