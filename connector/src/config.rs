//! A connector's configuration, `docs/reference/connector-toml.md`. Paths in the file are relative to the folder that it is in.
//!
//! `sillage-connector init` writes it; `sillage-node dev --connector` writes one for a test log.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sillage_web::config::{self, ConfigError};
use sillage_web::listen::Bounds;

/// `connector.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The profile of the connector's party: it signs what is recorded.
    pub profile: PathBuf,
    /// The key that seals the spool and keys the index: 64 hexadecimal characters, mode 0600.
    #[serde(default = "default_key")]
    pub key: PathBuf,
    /// Label of the connector's streams: `<stream>.0`, `<stream>.1`, … No other connector of the party has it.
    pub stream: String,
    /// Batches on their way at once.
    #[serde(default = "default_streams")]
    pub streams: usize,
    /// The structure whose events these are, such as a FINESS number: it stands in heartbeats. Without it there are none.
    pub structure: Option<String>,
    /// How often a heartbeat is recorded, seconds; 0: never.
    #[serde(default = "default_heartbeat_s")]
    pub heartbeat_s: u64,
    /// Where arrivals wait.
    #[serde(default)]
    pub spool: SpoolConfig,
    /// How patients are found who are named without an INS.
    #[serde(default)]
    pub patients: PatientsConfig,
    /// The REST door.
    pub fhir: Option<FhirConfig>,
    /// Who may call it.
    #[serde(default, rename = "client")]
    pub clients: Vec<ClientConfig>,
    /// The establishment's server of tokens.
    pub oauth: Option<OauthConfig>,
    /// The syslog door.
    pub syslog: Option<FeedConfig>,
    /// The door for admissions: HL7 v2.
    pub adt: Option<AdtConfig>,
    /// How the connector decides while the ledger is out of reach.
    #[serde(default)]
    pub emergency: EmergencyConfig,
    /// Bounds on the work that callers can cause.
    #[serde(default)]
    pub limits: Limits,
}

fn default_key() -> PathBuf {
    "connector.key".into()
}

const fn default_streams() -> usize {
    4
}

const fn default_heartbeat_s() -> u64 {
    3_600
}

/// Where arrivals wait, and what was recorded of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolConfig {
    /// The folder: spool, index, outbox, quarantine. To move a connector, copy it together with the configuration.
    pub dir: PathBuf,
    /// Most bytes of the spool; beyond, arrivals are refused with 507. At 80 % the connector warns.
    pub bytes_max: u64,
    /// Days for which an event is found by a search, and known again by its id and version; 0: for ever.
    pub index_days: u64,
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self { dir: "spool".into(), bytes_max: 10 << 30, index_days: 400 }
    }
}

/// How patients are found who are named without an INS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PatientsConfig {
    /// A map from references to INS, as `sillage import --patient-map` reads it.
    pub map: Option<PathBuf>,
    /// Make demonstration identities of references; test logs only.
    pub demo: bool,
}

/// The REST door.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FhirConfig {
    /// Where to serve.
    pub listen: SocketAddr,
    /// The address by which clients know it, such as `https://connector.example/fhir`.
    pub base: String,
    /// How long a POST waits for the ledger before it is answered 202, milliseconds.
    #[serde(default = "default_answer_within_ms")]
    pub answer_within_ms: u64,
    /// TLS; without it the door listens on loopback only.
    pub tls: Option<TlsConfig>,
    /// A bearer token for development: on loopback and for test logs only.
    pub token: Option<String>,
}

const fn default_answer_within_ms() -> u64 {
    5_000
}

/// The certificates of a door.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificate chain (PEM).
    pub cert: PathBuf,
    /// Private key (PEM).
    pub key: PathBuf,
    /// Certificates that sign callers (PEM); without it callers show none.
    pub client_ca: Option<PathBuf>,
}

/// A program that may call the REST door.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// As reports name it.
    pub name: String,
    /// SHA-256 of its certificate's public key (SubjectPublicKeyInfo), 64 hexadecimal characters.
    pub certificate_sha256: Option<String>,
    /// Its `client_id` (or `azp`) in tokens of the establishment.
    pub oauth_client: Option<String>,
    /// The `sub` that its tokens carry, where only one may.
    pub oauth_subject: Option<String>,
    /// What it may do, as SMART 2 scopes such as `system/AuditEvent.c`.
    pub scopes: Vec<String>,
    /// Most requests a second.
    #[serde(default = "default_per_second")]
    pub per_second: u32,
    /// It reads and finds what other clients recorded too; by default only what it recorded itself.
    #[serde(default)]
    pub reads_all: bool,
}

const fn default_per_second() -> u32 {
    100
}

/// The establishment's server of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OauthConfig {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The `aud` that they carry for this connector.
    pub audience: String,
    /// Its keys: a file, or an `https://` address.
    pub jwks: String,
    /// Certificates that sign the one of that address (PEM); without it, those that browsers trust.
    pub jwks_ca: Option<PathBuf>,
    /// Where clients get tokens, as `.well-known/smart-configuration` tells them.
    pub token_endpoint: Option<String>,
}

/// The syslog door.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedConfig {
    /// Where to serve.
    pub listen: SocketAddr,
    /// TLS; without it the door listens on loopback only.
    pub tls: Option<TlsConfig>,
    /// Names of senders by the SHA-256 of their certificate's public key: `name = "64 hex"`.
    #[serde(default)]
    pub senders: std::collections::BTreeMap<String, String>,
    /// Find the next `<PRI>1 ` after a wrong length, instead of closing.
    #[serde(default)]
    pub resync: bool,
    /// The system of the accounts of senders, where a `UserID` names none: a URI with which the party was registered.
    pub user_system: Option<String>,
    /// The structure for which senders act: its FINESS, or another id with which the party was registered.
    pub organisation: Option<String>,
    /// The zone of an `EventDateTime` that names none, such as `Europe/Paris`; without it, such a message is refused.
    pub zone: Option<String>,
}

/// Admissions: the port for HL7 v2, and `POST /Encounter` of the REST door.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdtConfig {
    /// Where to serve HL7 v2; without it, Encounters are taken alone.
    pub listen: Option<SocketAddr>,
    /// TLS; without it the door listens on loopback only.
    pub tls: Option<TlsConfig>,
    /// Names of senders by the SHA-256 of their certificate's public key: `name = "64 hex"`.
    #[serde(default)]
    pub senders: std::collections::BTreeMap<String, String>,
    /// The file that says which ward is which care team.
    pub mapping: PathBuf,
}

/// How the connector decides while the ledger is out of reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmergencyConfig {
    /// The rules of the establishment, as `sillage emergency-mode start --rules` reads them.
    pub rules: Option<PathBuf>,
}

/// Bounds on the work that callers can cause, for each door. Times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Most connections of a door, handshakes included.
    pub connections_max: usize,
    /// Most connections from one address. Never more than a quarter of `connections_max`.
    pub connections_per_address_max: usize,
    /// A handshake that takes longer is dropped.
    pub handshake_timeout_ms: u64,
    /// The headers of a request, or the next request of a connection, come within this.
    pub header_timeout_ms: u64,
    /// The body of a request, or the rest of a syslog or HL7 message, comes within this.
    pub body_timeout_ms: u64,
    /// Most bytes of the body of a request, after it was unpacked.
    pub body_bytes_max: usize,
    /// Most bytes of one resource or message.
    pub resource_bytes_max: usize,
    /// No HTTP connection lasts longer.
    pub connection_ms_max: u64,
    /// Most arrivals that wait for the disk or for the ledger at once; more are told to come again.
    pub waiting_max: usize,
    /// How long a stopping connector lets requests finish.
    pub shutdown_grace_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            connections_per_address_max: 256,
            handshake_timeout_ms: 5_000,
            header_timeout_ms: 15_000,
            body_timeout_ms: 30_000,
            body_bytes_max: 20 << 20,
            resource_bytes_max: 1 << 20,
            connection_ms_max: 300_000,
            waiting_max: 10_000,
            shutdown_grace_ms: 8_000,
        }
    }
}

impl Limits {
    /// The bounds on the port of the REST door.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            connections_max: self.connections_max,
            connections_per_address_max: self.connections_per_address_max,
            handshake_timeout_ms: self.handshake_timeout_ms,
            header_timeout_ms: self.header_timeout_ms,
            header_bytes_max: HEADER_BYTES_MAX,
            headers_max: HEADERS_MAX,
            connection_ms_max: self.connection_ms_max,
            shutdown_grace_ms: self.shutdown_grace_ms,
        }
    }
}

const WAY_OUT: &str = "`sillage-connector init --dir DIR --profile FILE` writes one to DIR/connector.toml";
/// Bytes and number of the headers of a request.
const HEADER_BYTES_MAX: usize = 32 << 10;
const HEADERS_MAX: usize = 64;
/// Least room for a spool: four segments.
const SPOOL_BYTES_MIN: u64 = 4 << 20;
/// Streams of one connector.
const STREAMS_MAX: usize = 16;

impl Config {
    /// Reads a file, resolves its paths, and checks what can be checked without opening anything else.
    ///
    /// # Errors
    /// When the file can't be read, isn't understood, or says what can't be.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = config::read(path, WAY_OUT)?;
        config.check().map_err(|message| ConfigError::invalid(path, message))?;
        config.resolve(&config::folder_of(path));
        Ok(config)
    }

    fn resolve(&mut self, base: &Path) {
        let mut files = vec![&mut self.profile, &mut self.key, &mut self.spool.dir];
        files.extend(self.patients.map.as_mut());
        files.extend(self.emergency.rules.as_mut());
        let mut tls = vec![self.fhir.as_mut().and_then(|fhir| fhir.tls.as_mut())];
        tls.push(self.syslog.as_mut().and_then(|syslog| syslog.tls.as_mut()));
        if let Some(adt) = &mut self.adt {
            files.push(&mut adt.mapping);
            tls.push(adt.tls.as_mut());
        }
        for tls in tls.into_iter().flatten() {
            files.extend([&mut tls.cert, &mut tls.key]);
            files.extend(tls.client_ca.as_mut());
        }
        for file in files {
            *file = base.join(&file);
        }
        if let Some(oauth) = &mut self.oauth {
            if !oauth.jwks.contains("://") {
                oauth.jwks = base.join(&oauth.jwks).to_string_lossy().into_owned();
            }
            oauth.jwks_ca.iter_mut().for_each(|file| *file = base.join(&file));
        }
    }

    fn check(&self) -> Result<(), String> {
        let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        if self.stream.is_empty() || self.stream.len() > 60 || !self.stream.chars().all(label) {
            return Err("`stream` is 1 to 60 characters of a-z 0-9 . _ -".to_owned());
        }
        if self.streams == 0 || self.streams > STREAMS_MAX {
            return Err(format!("`streams` is 1 to {STREAMS_MAX}"));
        }
        if self.spool.bytes_max < SPOOL_BYTES_MIN {
            return Err(format!("spool.bytes_max is at least {SPOOL_BYTES_MIN}"));
        }
        if self.spool.index_days == 1 {
            return Err("spool.index_days is at least 2, or 0: an equal body within 24 hours is a retry".to_owned());
        }
        let doors = [
            ("fhir", self.fhir.as_ref().map(|door| (door.listen, door.tls.is_some()))),
            ("syslog", self.syslog.as_ref().map(|door| (door.listen, door.tls.is_some()))),
            ("adt", self.adt.as_ref().and_then(|door| Some((door.listen?, door.tls.is_some())))),
        ];
        for (name, door) in doors {
            if let Some((listen, false)) = door
                && !listen.ip().is_loopback()
            {
                return Err(format!(
                    "{name}.listen is {listen} and [{name}.tls] is missing: give certificates, or listen on 127.0.0.1"
                ));
            }
        }
        if let Some(fhir) = &self.fhir {
            self.check_fhir(fhir)?;
        }
        self.check_clients()?;
        let limits = &self.limits;
        config::check_positive([
            ("connections_max", limits.connections_max as u64),
            ("connections_per_address_max", limits.connections_per_address_max as u64),
            ("handshake_timeout_ms", limits.handshake_timeout_ms),
            ("header_timeout_ms", limits.header_timeout_ms),
            ("body_timeout_ms", limits.body_timeout_ms),
            ("body_bytes_max", limits.body_bytes_max as u64),
            ("resource_bytes_max", limits.resource_bytes_max as u64),
            ("connection_ms_max", limits.connection_ms_max),
            ("waiting_max", limits.waiting_max as u64),
        ])?;
        match limits.resource_bytes_max <= RESOURCE_BYTES_MAX {
            true => Ok(()),
            false => Err(format!("limits.resource_bytes_max is at most {RESOURCE_BYTES_MAX}")),
        }
    }

    fn check_fhir(&self, fhir: &FhirConfig) -> Result<(), String> {
        let is_url = fhir.base.starts_with("https://") || fhir.base.starts_with("http://");
        if !is_url || fhir.base.ends_with('/') || fhir.base.contains(['?', '#', ' ']) {
            return Err(
                "fhir.base is an address such as https://connector.example/fhir, without a slash at its end".to_owned()
            );
        }
        if let Some(token) = &fhir.token {
            if !fhir.listen.ip().is_loopback() {
                return Err(
                    "fhir.token is for development: it is refused on other addresses than loopback; use certificates or [oauth]"
                        .to_owned(),
                );
            }
            if token.len() < 32 {
                return Err("fhir.token has at least 32 characters".to_owned());
            }
        }
        Ok(())
    }

    fn check_clients(&self) -> Result<(), String> {
        let mut names = std::collections::BTreeSet::new();
        for client in &self.clients {
            let name = &client.name;
            let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
                return Err(format!("client `{name}`: a name is 1 to 64 letters, digits or . _ -"));
            }
            if !names.insert(name) {
                return Err(format!("two clients are called `{name}`: give each its own name"));
            }
            match (&client.certificate_sha256, &client.oauth_client) {
                (None, None) => {
                    return Err(format!("client `{name}`: name its certificate_sha256 or its oauth_client"));
                }
                (Some(hash), _) if hex::decode(hash).is_ok_and(|hash| hash.len() == 32) => {}
                (Some(_), _) => {
                    return Err(format!("client `{name}`: certificate_sha256 is 64 hexadecimal characters"));
                }
                (None, Some(_)) if self.oauth.is_none() => {
                    return Err(format!("client `{name}` comes with tokens, and there is no [oauth] to check them by"));
                }
                (None, Some(_)) => {}
            }
        }
        Ok(())
    }
}

/// A record of the spool holds a resource, and the bytes that it came as.
pub(crate) const RESOURCE_BYTES_MAX: usize = 4 << 20;

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
