//! The folder of a new node, made by the authority: its own key and certificate, the genesis entry, whom to ask, and the
//! token to begin from nothing.
//!
//! It holds no key of the group: the node gets those from a member, sealed to its own key, once the act that names it is
//! applied there.
//!
//! ```text
//! node.toml  genesis.bin  tls/{ca.pem,node.pem,node.key}  keys/node.key  data/JOIN
//! ```

use std::path::Path;

use sillage_client::error::ClientError;
use sillage_client::profile::{Profile, read, write_private, write_seed};
use sillage_proof::keys::SigningKey;
use sillage_proto::v1;
use sillage_rules::node_set::SetNode;

use crate::certificate::{Holder, issue};
use crate::commands::cluster::member::NodeAddress;

/// A node to be.
pub struct NodePlan<'a> {
    /// A new one.
    pub id: u64,
    /// As it is called in the ledger.
    pub name: String,
    /// Where it will be.
    pub address: &'a NodeAddress,
    /// The nodes that are there.
    pub members: &'a v1::MembersResponse,
}

/// Tells whether a folder can be made in `dir`: before anything goes on record.
///
/// # Errors
/// When there is something, or the profile can't issue certificates.
pub fn check(profile: &Profile, dir: &Path) -> Result<(), ClientError> {
    if profile.ca_key.is_none() {
        let why = "this profile has no `ca_key`: it cannot issue the new node's certificate, use the authority's";
        return Err(ClientError::Usage(why.to_owned()));
    }
    match std::fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
        Ok(true) => Err(ClientError::Usage(format!("{} isn't empty: name a new folder with --out", dir.display()))),
        Ok(false) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(ClientError::reading(dir, error)),
    }
}

/// Makes the folder; gives what the ledger is to say of the node. `node.toml` comes last: where it is, all is.
///
/// # Errors
/// When a file can't be written, or the CA's key can't sign.
pub fn make(profile: &Profile, dir: &Path, plan: &NodePlan<'_>) -> Result<SetNode, ClientError> {
    check(profile, dir)?;
    let text = |path: &Path| String::from_utf8(read(path)?).map_err(|error| ClientError::reading(path, error));
    let ca_key = profile.ca_key.as_deref().expect("it was checked");
    let (ca_pem, ca_key_pem) = (text(&profile.ca)?, zeroize::Zeroizing::new(text(ca_key)?));
    for folder in ["tls", "keys", "data"].map(|name| dir.join(name)) {
        std::fs::create_dir_all(&folder).map_err(|error| ClientError::writing(&folder, error))?;
    }
    let holder = Holder::Node { id: plan.id, host: &plan.address.host, server_name: &profile.server_name };
    let issued = issue(&ca_pem, &ca_key_pem, holder)
        .map_err(|error| ClientError::reading(ca_key, format!("cannot issue a certificate: {error}")))?;
    let key = SigningKey::generate().map_err(|error| ClientError::Usage(format!("no randomness: {error}")))?;
    write_private(&dir.join("tls/node.key"), issued.key_pem.as_bytes())?;
    write_seed(&dir.join("keys/node.key"), &key)?;
    let (genesis, token) = (read(&profile.genesis)?, format!("node {} of {}\n", plan.id, profile.origin));
    let config = config(plan);
    let files: [(&str, &[u8]); 5] = [
        ("tls/ca.pem", ca_pem.as_bytes()),
        ("tls/node.pem", issued.cert_pem.as_bytes()),
        ("genesis.bin", &genesis),
        ("data/JOIN", token.as_bytes()),
        ("node.toml", config.as_bytes()),
    ];
    for (file, bytes) in files {
        let path = dir.join(file);
        std::fs::write(&path, bytes).map_err(|error| ClientError::writing(&path, error))?;
    }
    Ok(SetNode {
        id: plan.id,
        name: plan.name.clone(),
        key: key.public_key(),
        tls_spki_sha256: issued.spki_sha256,
        client_address: plan.address.client(),
        peer_address: plan.address.peer(),
    })
}

/// As `sillage-node init` writes it, without what has a default.
fn config(plan: &NodePlan<'_>) -> String {
    let (listen_client, listen_peer) = plan.address.listens();
    let mut table = toml::Table::new();
    let mut put = |name: &str, value: toml::Value| drop(table.insert(name.to_owned(), value));
    put("id", toml::Value::Integer(i64::try_from(plan.id).unwrap_or(i64::MAX)));
    let strings = [
        ("name", plan.name.as_str()),
        ("data_dir", "data"),
        ("listen_client", &listen_client),
        ("listen_peer", &listen_peer),
        ("genesis", "genesis.bin"),
        ("node_key", "keys/node.key"),
        ("log_key", "keys/log.key"),
        ("vrf_key", "keys/vrf.key"),
        ("keyring", "keys/keyring"),
        ("pid_file", "pid"),
    ];
    for (name, value) in strings {
        put(name, value.into());
    }
    let tls = [("ca", "tls/ca.pem"), ("cert", "tls/node.pem"), ("key", "tls/node.key")];
    put("tls", table_of(&tls));
    let peers = plan.members.members.iter().filter(|member| !member.peer_address.is_empty()).map(|member| {
        let pin = hex::encode(&member.tls_spki_sha256);
        let strings =
            [("address", member.peer_address.as_str()), ("client_address", &member.address), ("tls_spki_sha256", &pin)];
        let mut peer = table_of(&strings);
        if let Some(table) = peer.as_table_mut() {
            table.insert("id".to_owned(), toml::Value::Integer(i64::try_from(member.id).unwrap_or(i64::MAX)));
        }
        peer
    });
    put("peers", toml::Value::Array(peers.collect()));
    let witnesses = plan.members.witnesses.iter();
    let witnesses = witnesses.map(|one| table_of(&[("url", one.url.as_str()), ("vkey", &one.vkey)]));
    put("witnesses", toml::Value::Array(witnesses.collect()));
    toml::to_string(&table).expect("a table of strings and numbers has a TOML form")
}

fn table_of(strings: &[(&str, &str)]) -> toml::Value {
    let rows = strings.iter().map(|(name, value)| ((*name).to_owned(), toml::Value::from(*value)));
    toml::Value::Table(rows.collect())
}
