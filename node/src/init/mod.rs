//! The files of a deployment, made once: keys, certificates, the genesis entry, a folder per node, profiles.
//!
//! Start with [`create`]. Nothing is overwritten; what a half-done run left has to be removed by hand. The folder of a
//! node is complete in itself, so that it can be carried to its machine:
//!
//! ```text
//! genesis.bin  policy.txt  log.vkey  authority.toml  [sillage.toml]  [gateway/]
//! tls/   ca.pem  ca.key  authority.pem  authority.key  [profile.pem  profile.key]
//! keys/  authority.key  [profile.key]  [test-issuer.key]
//! authority-<n>/  of each further authority, from 2 on: see `authorities`
//! node-<id>/  node.toml  genesis.bin  tls/{ca.pem,node.pem,node.key}  keys/{node.key,log.key,vrf.key,keyring}  data/
//! ```

pub mod authorities;
pub mod files;
pub mod gateway;
pub mod genesis;
pub mod pki;
pub mod profile;

use std::path::{Path, PathBuf};

use prost::Message;
use sillage_ledger::seal::Keyring;
use sillage_proof::batch::Origin;
use sillage_proof::keys::SigningKey;
use sillage_proof::note::{KeyKind, VerifierKey};
use sillage_proof::vrf::VrfSecretKey;
use sillage_rules::authority::RuleChange;
use sillage_rules::cosigner;
use sillage_rules::roles::Roles;
use sillage_rules::vouching::Vouching;
use sillage_rules::will::issuer::Issuer;
use sillage_rules::will::test_issuer::TestIssuer;

use self::authorities::AuthoritiesPlan;
use self::gateway::GatewayPlan;
use self::genesis::{LogTerms, NodeTerms, PartyTerms};
use self::pki::{Ca, Certified};
use self::profile::Profile;
use crate::config::{
    LimitsConfig, LogConfig, NodeConfig, PeerConfig, RaftConfig, TlsConfig, WitnessConfig, erase_interval_ms,
    recosign_interval_ms,
};
use crate::disk;

/// Why a deployment can't be made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is something already.
    #[error("{path} is there already and is never overwritten: choose another --dir, or remove it")]
    Exists {
        /// The file in the way.
        path: PathBuf,
    },
    /// The options contradict each other.
    #[error("{0}")]
    Invalid(String),
    /// A file can't be written.
    #[error(transparent)]
    File(#[from] files::FileError),
    /// A certificate can't be made.
    #[error(transparent)]
    Pki(#[from] pki::PkiError),
    /// No randomness.
    #[error("the operating system has no randomness to give: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The keyring can't be made.
    #[error("the keyring can't be made: {0}")]
    Keyring(String),
}

/// A node to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePlan {
    /// From 1.
    pub id: u64,
    /// Where services and the other nodes find it.
    pub host: String,
    /// Its port for services.
    pub client_port: u16,
    /// Its port for the other nodes.
    pub peer_port: u16,
}

impl NodePlan {
    /// `host:port` of the client port.
    pub fn client_address(&self) -> String {
        join(&self.host, self.client_port)
    }

    /// `host:port` of the peer port.
    pub fn peer_address(&self) -> String {
        join(&self.host, self.peer_port)
    }
}

impl std::str::FromStr for NodePlan {
    type Err = String;

    /// `id=host:clientport:peerport`; an IPv6 address stands in brackets.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} isn't a node: write id=host:clientport:peerport");
        let (id, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (rest, peer) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let (host, client) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let plan = Self {
            id: id.parse().map_err(|_| wrong())?,
            host: host.to_owned(),
            client_port: client.parse().map_err(|_| wrong())?,
            peer_port: peer.parse().map_err(|_| wrong())?,
        };
        let ports = plan.client_port != 0 && plan.peer_port != 0;
        match plan.id != 0 && !host.is_empty() && ports && plan.client_port != plan.peer_port {
            true => Ok(plan),
            false => Err(wrong()),
        }
    }
}

fn join(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// A deployment to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where its files go.
    pub dir: PathBuf,
    /// The terms of the log.
    pub terms: LogTerms,
    /// Its nodes.
    pub nodes: Vec<NodePlan>,
    /// Address that the nodes listen on; `None`: their host where it is an IP address, else all addresses.
    pub listen: Option<String>,
    /// Name of the authority party; further ones have their number behind it.
    pub authority: String,
    /// How many authorities there are, and how many of them sign.
    pub authorities: AuthoritiesPlan,
    /// How long certificates are valid.
    pub valid_years: u32,
    /// Also a party with every role but the authority's, and its profile `sillage.toml`.
    pub with_profile: bool,
    /// Written into every node's configuration.
    pub limits: LimitsConfig,
    /// Also a gateway: its party and its folder.
    pub gateway: Option<GatewayPlan>,
    /// The witnesses, which cosign checkpoints, too.
    pub witnesses: Vec<WitnessConfig>,
}

/// The keys of the log itself.
struct LogKeys {
    origin: Origin,
    log: SigningKey,
    vrf: VrfSecretKey,
    keyring: Keyring,
    vkey: String,
}

/// Makes all files of a deployment.
///
/// # Errors
/// When something is there already, can't be as asked, or can't be written.
pub fn create(plan: &Plan) -> Result<(), InitError> {
    check(plan)?;
    let log_key = SigningKey::generate()?;
    let origin = &plan.terms.origin;
    let vkey = VerifierKey::new(origin, KeyKind::Ed25519, log_key.public_key())
        .map_err(|error| InitError::Invalid(format!("--origin {origin}: {error}")))?;
    let keys = LogKeys {
        origin: Origin::new(origin).map_err(|error| InitError::Invalid(format!("--origin {origin}: {error}")))?,
        vkey: vkey.to_string(),
        log: log_key,
        vrf: VrfSecretKey::generate()?,
        keyring: Keyring::generate().map_err(|error| InitError::Keyring(error.to_string()))?,
    };
    let ca = Ca::new(origin, plan.valid_years)?;
    files::public(&plan.dir.join("tls/ca.pem"), &ca.own.cert_pem)?;
    files::secret(&plan.dir.join("tls/ca.key"), ca.own.key_pem.as_bytes())?;

    let mut parties = Vec::new();
    for (number, given) in (1..).zip(&plan.authorities.founders.0) {
        parties.push(authorities::party(&plan.dir, &ca, (number, &plan.authority), given.as_ref())?);
    }
    let rule = plan.authorities.rule(&parties.iter().map(|party| party.key).collect::<Vec<_>>());
    if plan.with_profile {
        // In a real log the authority says whom it vouches for: `sillage keys vouching`.
        let vouching = if plan.terms.test_log { Vouching::any() } else { Vouching::default() };
        parties.push(party(plan, &ca, ("profile", "profile"), (profile_roles(), vouching))?);
    }
    if let Some(gateway) = &plan.gateway {
        parties.push(gateway::party(&plan.dir, gateway, &ca)?);
    }
    let mut nodes = Vec::new();
    let mut certified = Vec::new();
    for node in &plan.nodes {
        let key = SigningKey::generate()?;
        let certificate = ca.node(node.id, std::slice::from_ref(&node.host))?;
        nodes.push(NodeTerms {
            id: node.id,
            name: format!("node-{}", node.id),
            key: key.public_key(),
            spki_sha256: certificate.spki_sha256,
        });
        certified.push((node, key, certificate));
    }
    let issuers = test_issuer(plan, &keys.origin)?;
    let (log_key, vrf_key) = (keys.log.public_key(), keys.vrf.public_key());
    let mut genesis = genesis::genesis(&plan.terms, &log_key, vrf_key, &nodes, &parties, &issuers)?;
    genesis.rule = rule.map(|rule| RuleChange::Rule(rule).to_message());
    let genesis = genesis.encode_to_vec();
    for (node, key, certificate) in &certified {
        write_node(plan, node, key, certificate, &ca, &keys, &genesis)?;
    }
    let vkey = |node: &NodeTerms| {
        let name = cosigner::node_name(&keys.origin, node.id);
        let vkey = VerifierKey::new(&name, KeyKind::CosignatureV1, node.key);
        (node.id, vkey.expect("a name that begins like the log's").to_string())
    };
    let vkeys: Vec<(u64, String)> = nodes.iter().map(vkey).collect();
    write_common(plan, &keys, &vkeys, (&ca.own.cert_pem, &genesis))
}

/// The roles of a profile that isn't the authority's: all of them, but neither the authority nor one certain patient.
pub fn profile_roles() -> Roles {
    let signs = Roles::RECORDER | Roles::EMERGENCY | Roles::REVIEWER | Roles::CONSENT_DESK | Roles::IDENTITY;
    signs | Roles::DECIDER | Roles::TAG | Roles::READER | Roles::AUDITOR | Roles::OPERATOR
}

/// The roles of the authority: it registers parties, and resolves the tags of those that are patients.
fn authority_roles() -> Roles {
    Roles::AUTHORITY | Roles::OPERATOR | Roles::TAG
}

/// Tells whether a deployment can be made as planned, where nothing of it is yet.
pub(crate) fn check(plan: &Plan) -> Result<(), InitError> {
    let invalid = |why: &str| Err(InitError::Invalid(why.to_owned()));
    let mut ids: Vec<u64> = plan.nodes.iter().map(|node| node.id).collect();
    ids.sort_unstable();
    if ids.is_empty() || ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return invalid("--nodes: name at least one node, each with another id");
    }
    let nodes = plan.nodes.iter().flat_map(|node| [node.client_address(), node.peer_address()]);
    let gateway = plan.gateway.iter().flat_map(|gateway| [gateway.address(), gateway.tls_address()]);
    let mut addresses: Vec<String> = nodes.chain(gateway).collect();
    addresses.sort_unstable();
    if addresses.windows(2).any(|pair| pair[0] == pair[1]) {
        return invalid("--nodes, --with-gateway: two ports of one host are the same");
    }
    plan.authorities.check().map_err(InitError::Invalid)?;
    if plan.terms.test_issuer && !plan.terms.test_log {
        return invalid("an issuer for tests is for a test log alone");
    }
    if plan.terms.tag_first > plan.terms.tag_last {
        return invalid("--tag-first is beyond --tag-last");
    }
    let (bytes, years) = (plan.terms.origin.len(), plan.valid_years);
    if bytes == 0 || bytes > 255 || !(1..=100).contains(&years) {
        return invalid("--origin is 1 to 255 bytes, --valid-years 1 to 100");
    }
    let nodes = plan.nodes.iter().map(|node| node_dir(&plan.dir, node.id));
    let fixed = ["genesis.bin", "tls", "keys", "authority.toml", "sillage.toml", gateway::NAME];
    let fixed = fixed.map(|name| plan.dir.join(name));
    let further = (2..=plan.authorities.founders.0.len()).map(|number| authorities::folder(&plan.dir, number));
    match fixed.into_iter().chain(nodes).chain(further).find(|path| path.exists()) {
        Some(path) => Err(InitError::Exists { path }),
        None => Ok(()),
    }
}

/// The folder of node `id`.
pub fn node_dir(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("node-{id}"))
}

/// A test log has an issuer of its own, which logs in whoever is named: whoever holds its key decides for any patient of it.
fn test_issuer(plan: &Plan, origin: &Origin) -> Result<Vec<Issuer>, InitError> {
    if !plan.terms.test_issuer {
        return Ok(Vec::new());
    }
    let key = SigningKey::generate()?;
    files::seed(&plan.dir.join(TEST_ISSUER_KEY), &key)?;
    Ok(vec![TestIssuer::new(key, origin.clone()).published()])
}

/// A party's key and certificate, in files called `file`.
fn party(
    plan: &Plan,
    ca: &Ca,
    (file, name): (&str, &str),
    (roles, vouching): (Roles, Vouching),
) -> Result<PartyTerms, InitError> {
    let key = SigningKey::generate()?;
    let certificate = ca.caller(name)?;
    let tls = plan.dir.join("tls");
    files::seed(&plan.dir.join(format!("keys/{file}.key")), &key)?;
    files::public(&tls.join(format!("{file}.pem")), &certificate.cert_pem)?;
    files::secret(&tls.join(format!("{file}.key")), certificate.key_pem.as_bytes())?;
    let spki_sha256 = certificate.spki_sha256;
    Ok(PartyTerms { name: name.to_owned(), key: key.public_key(), roles, spki_sha256, vouching })
}

fn write_node(
    plan: &Plan,
    node: &NodePlan,
    key: &SigningKey,
    certificate: &Certified,
    ca: &Ca,
    keys: &LogKeys,
    genesis: &[u8],
) -> Result<(), InitError> {
    let dir = node_dir(&plan.dir, node.id);
    files::folder(&dir.join("data"))?;
    files::public(&dir.join("data").join(disk::FOUND), disk::founding_text(&plan.terms.origin, node.id))?;
    files::public(&dir.join("genesis.bin"), genesis)?;
    files::public(&dir.join("tls/ca.pem"), &ca.own.cert_pem)?;
    files::public(&dir.join("tls/node.pem"), &certificate.cert_pem)?;
    files::secret(&dir.join("tls/node.key"), certificate.key_pem.as_bytes())?;
    files::seed(&dir.join("keys/node.key"), key)?;
    files::seed(&dir.join("keys/log.key"), &keys.log)?;
    files::secret_hex(&dir.join("keys/vrf.key"), keys.vrf.to_seed().as_slice())?;
    keys.keyring.save(&dir.join("keys/keyring")).map_err(|error| InitError::Keyring(error.to_string()))?;
    files::public(&dir.join("node.toml"), node_config(plan, node).to_toml().as_bytes())?;
    Ok(())
}

/// The configuration of one node, with paths relative to its folder.
fn node_config(plan: &Plan, node: &NodePlan) -> NodeConfig {
    let listen = |port| {
        let is_address = node.host.parse::<std::net::IpAddr>().is_ok();
        let host = match &plan.listen {
            Some(listen) => listen,
            None if is_address => &node.host,
            None => "0.0.0.0",
        };
        join(host, port)
    };
    let peer = |node: &NodePlan| PeerConfig {
        id: node.id,
        address: node.peer_address(),
        client_address: node.client_address(),
        tls_spki_sha256: None,
    };
    NodeConfig {
        id: node.id,
        name: format!("node-{}", node.id),
        data_dir: "data".into(),
        listen_client: listen(node.client_port),
        listen_peer: listen(node.peer_port),
        listen_health: None,
        genesis: "genesis.bin".into(),
        node_key: "keys/node.key".into(),
        node_key_next: None,
        log_key: Some("keys/log.key".into()),
        log_key_next: None,
        vrf_key: Some("keys/vrf.key".into()),
        keyring: "keys/keyring".into(),
        recosign_interval_ms: recosign_interval_ms(),
        erase_interval_ms: erase_interval_ms(),
        witnesses: plan.witnesses.clone(),
        pid_file: Some("pid".into()),
        tls: TlsConfig { ca: "tls/ca.pem".into(), cert: "tls/node.pem".into(), key: "tls/node.key".into() },
        peers: plan.nodes.iter().map(peer).collect(),
        limits: plan.limits.clone(),
        raft: RaftConfig::default(),
        log: LogConfig::default(),
        isolated: false,
    }
}

/// The files that are not a node's. A profile is written last: it says that all else is there.
fn write_common(
    plan: &Plan,
    keys: &LogKeys,
    nodes: &[(u64, String)],
    (ca_pem, genesis): (&str, &[u8]),
) -> Result<(), InitError> {
    let policy = profile::policy(&keys.vkey, nodes, &plan.witnesses);
    files::public(&plan.dir.join("genesis.bin"), genesis)?;
    files::public(&plan.dir.join("log.vkey"), format!("{}\n", keys.vkey))?;
    files::public(&plan.dir.join("policy.txt"), &policy)?;
    let endpoints = plan.nodes.iter().map(|node| format!("https://{}", node.client_address())).collect();
    let authority = Profile {
        origin: plan.terms.origin.clone(),
        endpoints,
        server_name: crate::tls::SERVER_NAME.to_owned(),
        ca: "tls/ca.pem".to_owned(),
        cert: "tls/authority.pem".to_owned(),
        key: "tls/authority.key".to_owned(),
        log_vkey: keys.vkey.clone(),
        vrf_public_key: hex::encode(keys.vrf.public_key().as_bytes()),
        genesis: "genesis.bin".to_owned(),
        author_key: Some("keys/authority.key".to_owned()),
        stream: Some("cli".to_owned()),
        authority_key: Some("keys/authority.key".to_owned()),
        authority_cert: None,
        authority_cert_key: None,
        cosign_keys: plan.authorities.cosign_keys(),
        ca_key: Some("tls/ca.key".to_owned()),
        gateway: plan.gateway.as_ref().filter(|gateway| gateway.in_profiles).map(GatewayPlan::url),
        fhir: None,
        fhir_token: None,
        portal: None,
        test_issuer: plan.terms.test_issuer.then(|| TEST_ISSUER_KEY.to_owned()),
    };
    if let Some(gateway) = &plan.gateway {
        gateway::write(&plan.dir, gateway, &authority, genesis)?;
    }
    for number in 2..=plan.authorities.founders.0.len() {
        authorities::write(&plan.dir, number, &authority, (ca_pem, genesis, &policy))?;
    }
    files::public(&plan.dir.join("authority.toml"), authority.to_toml())?;
    if plan.with_profile {
        let profile = Profile {
            cert: "tls/profile.pem".to_owned(),
            key: "tls/profile.key".to_owned(),
            author_key: Some("keys/profile.key".to_owned()),
            authority_cert: Some(authority.cert.clone()),
            authority_cert_key: Some(authority.key.clone()),
            ..authority
        };
        files::public(&plan.dir.join(PROFILE_FILE), profile.to_toml())?;
    }
    Ok(())
}

/// The key of a test log's own issuer of logins.
const TEST_ISSUER_KEY: &str = "keys/test-issuer.key";

/// The profile of the party with every role.
pub const PROFILE_FILE: &str = "sillage.toml";

#[cfg(test)]
mod tests;
