//! A node's configuration: what stands in `node.toml`, and the secrets that it points to.
//!
//! Paths in the file are relative to the folder that the file is in; [`NodeConfig::load`] resolves them. Sizes and
//! times have defaults that suit a small deployment; what a file doesn't know is refused rather than ignored.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sillage_cluster::config::{LOG_BYTES_MAX, LOG_KEEP_BYTES, MESSAGE_BYTES_MAX, SEGMENT_BYTES};
use sillage_proof::note::{KeyKind, VerifierKey};

/// Most witnesses of a log.
const WITNESSES_MAX: usize = 32;

/// A minute: verifiers look for cosignatures of the last five.
pub fn recosign_interval_ms() -> u64 {
    60_000
}

/// Six hours: erasures come together, and none waits for a day.
pub fn erase_interval_ms() -> u64 {
    6 * 3_600_000
}
/// Most of it: what was erased is gone everywhere within 24 hours.
const ERASE_INTERVAL_MS_MAX: u64 = 20 * 3_600_000;

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read {path}: {source}; give the node's configuration with --config FILE")]
    Read {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It isn't TOML, or says something that we don't know.
    #[error("{path}: {message}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and what, as the TOML parser says it.
        message: String,
    },
    /// It is understood, but can't be.
    #[error("{path}: {message}")]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// The contradiction, and the way out.
        message: String,
    },
}

/// `node.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// This node's id in the node set, from 1. Never given to another disk.
    pub id: u64,
    /// As it is called in the node set and in the logs.
    pub name: String,
    /// The database, the Raft log and the snapshots live under it.
    pub data_dir: PathBuf,
    /// `host:port` for services, patients, auditors and operators: gRPC, `/metrics`, `/healthz`.
    pub listen_client: String,
    /// `host:port` for the other nodes.
    pub listen_peer: String,
    /// `host:port` for load balancers, without TLS and without a certificate: `/healthz` alone, which says whether the node
    /// serves and nothing else. Absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen_health: Option<String>,
    /// The genesis entry's body (`sillage.v1.Genesis`), the same file on every node.
    pub genesis: PathBuf,
    /// Ed25519 seed that signs receipts.
    pub node_key: PathBuf,
    /// The next one: signs as soon as the log says that it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_key_next: Option<PathBuf>,
    /// Ed25519 seed that signs checkpoints; absent where this node must not sign them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_key: Option<PathBuf>,
    /// The next one: signs as soon as the log says that it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_key_next: Option<PathBuf>,
    /// VRF seed; absent where this node doesn't resolve tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrf_key: Option<PathBuf>,
    /// Key-encryption keys, the same on every node.
    pub keyring: PathBuf,
    /// Where the process writes its id while it runs; absent: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_file: Option<PathBuf>,
    /// When nothing comes, the newest checkpoint is cosigned again this often, so that its freshness can be checked.
    #[serde(default = "recosign_interval_ms")]
    pub recosign_interval_ms: u64,
    /// How long erasures are gathered before old keys are given up; at most 20 hours.
    #[serde(default = "erase_interval_ms")]
    pub erase_interval_ms: u64,
    /// Certificates.
    pub tls: TlsConfig,
    /// Where the other nodes are found, as far as the ledger doesn't say. This node's own line may be there, it is not
    /// dialled.
    #[serde(default)]
    pub peers: Vec<PeerConfig>,
    /// The witnesses, which cosign checkpoints, too: the same on every node, so that each can verify what another one got.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witnesses: Vec<WitnessConfig>,
    /// The bounds at which a node holds back, drops or refuses.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// The consensus.
    #[serde(default)]
    pub raft: RaftConfig,
    /// Logs and metrics of the process.
    #[serde(default)]
    pub log: LogConfig,
    /// True if it is a copy that is only looked at (`serve --isolated`): no witness, no peers, read only.
    #[serde(skip)]
    pub isolated: bool,
}

/// A witness (c2sp.org/tlog-witness).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessConfig {
    /// Its submission prefix, without `/add-checkpoint`: `https://…`, or `http://…` where the way to it is trusted.
    pub url: String,
    /// Its key as a line of kind `cosignature/v1`.
    pub vkey: String,
}

impl WitnessConfig {
    /// The key.
    ///
    /// # Errors
    /// The fault.
    pub fn key(&self) -> Result<VerifierKey, String> {
        let key: VerifierKey = self.vkey.parse().map_err(|error| format!("witness {}: {error}", self.url))?;
        match key.kind() {
            KeyKind::CosignatureV1 => Ok(key),
            KeyKind::Ed25519 => Err(format!("witness {}: its key isn't of the kind cosignature/v1", self.url)),
        }
    }

    /// Tells whether it can be.
    ///
    /// # Errors
    /// The fault.
    pub fn check(&self) -> Result<(), String> {
        let uri: http::Uri = self.url.parse().map_err(|error| format!("witness {}: {error}", self.url))?;
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        if !known || uri.host().is_none() || uri.query().is_some() {
            return Err(format!("witness {}: expected https://HOST/PATH or http://HOST/PATH", self.url));
        }
        self.key().map(drop)
    }
}

/// One certificate for both ports; the peer port takes only the certificates of the present node set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificate of the CA (PEM), which signs the certificates of callers and nodes.
    pub ca: PathBuf,
    /// This node's certificate chain (PEM).
    pub cert: PathBuf,
    /// Its private key (PEM, mode 0600).
    pub key: PathBuf,
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// Its id in the node set.
    pub id: u64,
    /// `host:port` of its peer port.
    pub address: String,
    /// `host:port` of its client port, shown to operators.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client_address: String,
    /// SHA-256 of its certificate's SubjectPublicKeyInfo (hex), for a new node that doesn't know the ledger yet; absent:
    /// as the genesis entry says. Once the ledger here names this node, the ledger says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_spki_sha256: Option<String>,
}

/// Bounds on what strangers and friends can make a node do at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Most connections on the client port, handshakes included.
    pub connections_max: usize,
    /// Most connections of one certificate.
    pub connections_per_caller_max: usize,
    /// Connections beyond these on the client port, for monitoring: they may ask how the node is and nothing else.
    pub monitoring_connections: usize,
    /// Most connections on the peer port, handshakes included.
    pub peer_connections_max: usize,
    /// Most TLS handshakes at once on a port; more wait in the system's queue.
    pub handshakes_at_once_max: usize,
    /// A handshake that takes longer is dropped.
    pub handshake_timeout_ms: u64,
    /// A connection that says nothing for this long is asked, and closed if it stays silent.
    pub idle_ping_ms: u64,
    /// Most requests at once on one connection.
    pub requests_per_connection_max: u32,
    /// A request that takes longer is answered `TIMEOUT`.
    pub request_timeout_ms: u64,
    /// Largest request on the client port: a batch of 8 MiB and its framing.
    pub request_bytes_max: usize,
    /// Largest message on the peer port.
    pub peer_message_bytes_max: usize,
    /// Most bytes of batches being worked on at once; more are answered `BUSY`.
    pub inflight_bytes_max: usize,
    /// Most readings of one party that are worked on at once; more wait for their turn.
    pub reads_per_caller_max: usize,
    /// Most batches and calls for decisions of one party that are worked on at once; more wait.
    pub writes_per_caller_max: usize,
    /// Most calls of one party that wait, of either sort; more are answered `BUSY`.
    pub waiting_per_caller_max: usize,
    /// Most identities that one caller may resolve to tags in a second, at all nodes together: each grants an equal share.
    pub resolve_per_s: u32,
    /// Most entries that one caller may have opened and proven in a second, at all nodes together: lines of a trace, entries of
    /// a patient, and whatever else is looked at to find them.
    pub opened_per_s: u32,
    /// Most streams of entries that one caller may have at once; each keeps about 1 MiB.
    pub entry_streams_per_caller_max: usize,
    /// How long a stopping node lets requests finish.
    pub shutdown_grace_ms: u64,
    /// With less than this free where the data is, a node takes nothing new and lets another one lead; it goes on when there
    /// is more again. At least `raft.segment_bytes` and 16 MiB, which the Raft log may take at once.
    pub disk_reserve_bytes: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            connections_per_caller_max: 128,
            monitoring_connections: 16,
            peer_connections_max: 64,
            handshakes_at_once_max: 64,
            handshake_timeout_ms: 5_000,
            idle_ping_ms: 30_000,
            requests_per_connection_max: 256,
            request_timeout_ms: 30_000,
            request_bytes_max: 9 << 20,
            peer_message_bytes_max: MESSAGE_BYTES_MAX,
            inflight_bytes_max: 256 << 20,
            reads_per_caller_max: 8,
            writes_per_caller_max: 256,
            waiting_per_caller_max: 256,
            resolve_per_s: 2_000,
            opened_per_s: 20_000,
            entry_streams_per_caller_max: 4,
            shutdown_grace_ms: 5_000,
            disk_reserve_bytes: 128 << 20,
        }
    }
}

/// The consensus. Times in ticks of `tick_ms`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RaftConfig {
    /// Length of a tick.
    pub tick_ms: u64,
    /// A follower campaigns after this to twice this many ticks without a leader.
    pub election_ticks: usize,
    /// A leader shows itself this often.
    pub heartbeat_ticks: usize,
    /// Above this the database is flushed so that the Raft log can be cut.
    pub log_bytes_max: u64,
    /// The part that the cut leaves for a follower that was away for a moment.
    pub log_keep_bytes: u64,
    /// Size of a segment file of the Raft log.
    pub segment_bytes: u64,
}

impl Default for RaftConfig {
    fn default() -> Self {
        Self {
            tick_ms: 50,
            election_ticks: 10,
            heartbeat_ticks: 2,
            log_bytes_max: LOG_BYTES_MAX,
            log_keep_bytes: LOG_KEEP_BYTES,
            segment_bytes: SEGMENT_BYTES,
        }
    }
}

/// How a process writes what happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Text for people, JSON for collectors.
    pub format: LogFormat,
    /// As `tracing_subscriber::EnvFilter` reads it; `SILLAGE_LOG` in the environment goes before it.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

/// See [`LogConfig::format`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One line an event.
    Text,
    /// One JSON object a line.
    Json,
}

impl NodeConfig {
    /// Reads a file, resolves its paths, and checks what can be checked without opening anything else.
    ///
    /// # Errors
    /// When the file can't be read, isn't understood, or says what can't be.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config = Self::load_unresolved(path)?;
        config.resolve(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// Reads and checks a file, and leaves its paths as they are written.
    ///
    /// # Errors
    /// As [`NodeConfig::load`].
    pub fn load_unresolved(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Reads and checks the text of the file at `path`, and leaves its paths as they are written.
    ///
    /// # Errors
    /// When the text isn't understood, or says what can't be.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)
            .map_err(|error| ConfigError::Parse { path: path.to_owned(), message: error.to_string() })?;
        config.check().map_err(|message| ConfigError::Invalid { path: path.to_owned(), message })?;
        Ok(config)
    }

    /// The text of a file that says this.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("invariant: every field of a configuration has a TOML form")
    }

    /// The nodes to dial: all but this one.
    pub fn other_peers(&self) -> impl Iterator<Item = &PeerConfig> {
        self.peers.iter().filter(|peer| peer.id != self.id)
    }

    /// Makes the paths that are relative to `base` whole.
    pub(crate) fn resolve(&mut self, base: &Path) {
        let paths = [
            &mut self.data_dir,
            &mut self.genesis,
            &mut self.node_key,
            &mut self.keyring,
            &mut self.tls.ca,
            &mut self.tls.cert,
            &mut self.tls.key,
        ];
        let optional = [
            self.node_key_next.as_mut(),
            self.log_key.as_mut(),
            self.log_key_next.as_mut(),
            self.vrf_key.as_mut(),
            self.pid_file.as_mut(),
        ];
        for path in paths.into_iter().chain(optional.into_iter().flatten()) {
            *path = base.join(&*path);
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.id == 0 {
            return Err("`id` is 0; node ids begin at 1".to_owned());
        }
        let mut ids: Vec<u64> = self.peers.iter().map(|peer| peer.id).collect();
        ids.sort_unstable();
        if ids.first() == Some(&0) || ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("the ids in [[peers]] must be different and not 0".to_owned());
        }
        let pins = self.peers.iter().filter_map(|peer| peer.tls_spki_sha256.as_deref());
        if let Some(bad) = pins.into_iter().find(|pin| pin.len() != 64 || hex::decode(pin).is_err()) {
            return Err(format!("[[peers]]: tls_spki_sha256 = {bad:?} isn't 64 hexadecimal characters"));
        }
        if self.erase_interval_ms > ERASE_INTERVAL_MS_MAX {
            return Err(format!("erase_interval_ms is at most {ERASE_INTERVAL_MS_MAX}: 20 hours"));
        }
        let limits = &self.limits;
        let positive = [
            ("limits.connections_max", limits.connections_max as u64),
            ("limits.connections_per_caller_max", limits.connections_per_caller_max as u64),
            ("limits.monitoring_connections", limits.monitoring_connections as u64),
            ("limits.peer_connections_max", limits.peer_connections_max as u64),
            ("limits.handshakes_at_once_max", limits.handshakes_at_once_max as u64),
            ("limits.handshake_timeout_ms", limits.handshake_timeout_ms),
            ("limits.request_timeout_ms", limits.request_timeout_ms),
            ("limits.idle_ping_ms", limits.idle_ping_ms),
            ("limits.requests_per_connection_max", u64::from(limits.requests_per_connection_max)),
            ("limits.request_bytes_max", limits.request_bytes_max as u64),
            ("limits.peer_message_bytes_max", limits.peer_message_bytes_max as u64),
            ("recosign_interval_ms", self.recosign_interval_ms),
            ("erase_interval_ms", self.erase_interval_ms),
            ("raft.tick_ms", self.raft.tick_ms),
            ("raft.heartbeat_ticks", self.raft.heartbeat_ticks as u64),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("`{name}` is 0; leave it out for the default"));
        }
        if self.witnesses.len() > WITNESSES_MAX {
            return Err(format!("a log has at most {WITNESSES_MAX} witnesses"));
        }
        self.witnesses.iter().try_for_each(WitnessConfig::check)?;
        if self.raft.election_ticks <= self.raft.heartbeat_ticks {
            return Err("`raft.election_ticks` must be above `raft.heartbeat_ticks`".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn vkey(kind: KeyKind) -> String {
        let key = sillage_proof::keys::SigningKey::from_seed(&[4; 32]).public_key();
        VerifierKey::new("witness.example/w1", kind, key).expect("a name").to_string()
    }

    pub(crate) fn example() -> NodeConfig {
        NodeConfig {
            id: 2,
            name: "node-2".to_owned(),
            data_dir: "data".into(),
            listen_client: "127.0.0.1:7402".to_owned(),
            listen_peer: "127.0.0.1:7403".to_owned(),
            listen_health: None,
            genesis: "../genesis.bin".into(),
            node_key: "keys/node.key".into(),
            node_key_next: None,
            log_key: Some("keys/log.key".into()),
            log_key_next: None,
            vrf_key: None,
            keyring: "keys/keyring".into(),
            pid_file: Some("pid".into()),
            recosign_interval_ms: 60_000,
            erase_interval_ms: erase_interval_ms(),
            tls: TlsConfig { ca: "../tls/ca.pem".into(), cert: "tls/node.pem".into(), key: "tls/node.key".into() },
            peers: vec![
                PeerConfig {
                    id: 1,
                    address: "127.0.0.1:7401".to_owned(),
                    client_address: "127.0.0.1:7400".to_owned(),
                    tls_spki_sha256: None,
                },
                PeerConfig {
                    id: 2,
                    address: "127.0.0.1:7403".to_owned(),
                    client_address: String::new(),
                    tls_spki_sha256: None,
                },
            ],
            witnesses: vec![WitnessConfig {
                url: "https://witness.example/w1".to_owned(),
                vkey: vkey(KeyKind::CosignatureV1),
            }],
            limits: LimitsConfig::default(),
            raft: RaftConfig::default(),
            log: LogConfig::default(),
            isolated: false,
        }
    }

    fn load(text: &str) -> Result<NodeConfig, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        std::fs::write(&path, text).unwrap();
        NodeConfig::load_unresolved(&path)
    }

    #[test]
    fn a_configuration_survives_its_file() {
        let config = example();
        assert_eq!(load(&config.to_toml()).unwrap(), config);
        let others: Vec<u64> = config.other_peers().map(|peer| peer.id).collect();
        assert_eq!(others, [1]);
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        std::fs::write(&path, example().to_toml()).unwrap();
        let config = NodeConfig::load(&path).unwrap();
        assert_eq!(config.data_dir, dir.path().join("data"));
        assert_eq!(config.tls.ca, dir.path().join("../tls/ca.pem"));
        assert_eq!(config.log_key, Some(dir.path().join("keys/log.key")));
    }

    #[test]
    fn what_is_unknown_or_impossible_is_refused() {
        let unknown = format!("colour = 'red'\n{}", example().to_toml());
        assert!(matches!(load(&unknown), Err(ConfigError::Parse { .. })));
        let zero = example().to_toml().replace("id = 2\nname", "id = 0\nname");
        assert!(matches!(load(&zero), Err(ConfigError::Invalid { .. })));
        let mut twice = example();
        twice.peers[1].id = 1;
        let error = load(&twice.to_toml()).unwrap_err();
        assert!(error.to_string().contains("different"), "{error}");
        for (url, kind) in [
            ("ftp://witness.example", KeyKind::CosignatureV1),
            ("witness.example", KeyKind::CosignatureV1),
            ("https://witness.example/?q", KeyKind::CosignatureV1),
            ("https://witness.example", KeyKind::Ed25519),
        ] {
            let mut strange = example();
            strange.witnesses = vec![WitnessConfig { url: url.to_owned(), vkey: vkey(kind) }];
            let error = load(&strange.to_toml()).unwrap_err();
            assert!(error.to_string().contains("witness"), "{error}");
        }
        let mut no_time = example();
        no_time.limits.handshake_timeout_ms = 0;
        let error = load(&no_time.to_toml()).unwrap_err();
        assert!(error.to_string().contains("handshake_timeout_ms"));
    }
}
