//! The configurations of the two processes, `docs/reference/portal-toml.md`. Paths in a file are relative to the folder that it is in.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
pub use sillage_web::config::ConfigError;
use sillage_web::config::{check_positive, folder_of, read};
use sillage_web::listen::Bounds;
use sillage_web::tls::{CallerCertificate, Tls, TlsError, Versions};
use tokio_rustls::TlsAcceptor;

use crate::{identity, oidc};

/// `portal.toml`: the page process.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortalConfig {
    /// The profile of its party, of the role `portal`.
    pub profile: PathBuf,
    /// The key that seals cookies and forms: the same for all instances.
    #[serde(default = "default_cookie_key")]
    pub cookie_key: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The origin by which browsers know it, such as `https://trace.example`.
    pub base: String,
    /// Batches on their way at once.
    #[serde(default = "default_streams")]
    pub streams: usize,
    /// The login process.
    pub login: LoginLink,
    /// Certificates; without them, it listens on loopback alone.
    pub tls: Option<TlsConfig>,
    /// The bounds on what callers can cause.
    #[serde(default)]
    pub limits: Limits,
}

/// How the page process reaches the login process.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginLink {
    /// The origin to which browsers are sent.
    pub base: String,
    /// The origin of the back channel: `http` on loopback alone.
    pub back: String,
    /// The certificates that sign that of the back channel; with `https`.
    pub ca: Option<PathBuf>,
    /// The page process' own certificate, which the login process asks for.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
}

/// `login.toml`: the login process.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginConfig {
    /// The profile of its party, of the role `login`.
    pub profile: PathBuf,
    /// Where browsers come.
    pub listen: SocketAddr,
    /// The origin by which browsers know it.
    pub base: String,
    /// The origin of the pages, to which browsers are sent back.
    pub portal: String,
    /// The id of the party that may use the sessions.
    pub portal_author: String,
    /// Certificates of `listen`; without them, it listens on loopback alone.
    pub tls: Option<TlsConfig>,
    /// The back channel.
    pub back: BackConfig,
    /// The login for development: test logs and loopback alone.
    pub dev: Option<DevConfig>,
    /// The provider at which people log in, `docs/login-oidc.md`.
    pub oidc: Option<oidc::Settings>,
    /// Who says whose INS a login belongs to; with `[oidc]`.
    pub identity: Option<identity::Settings>,
    /// Where the provider's tokens name no patient: this process signs that by itself.
    pub statement: Option<StatementConfig>,
    /// The bounds on what callers can cause.
    #[serde(default)]
    pub limits: Limits,
}

/// The issuer in whose name the login process signs whose INS a login belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatementConfig {
    /// The claim `iss`, as the authorities publish it.
    pub issuer: String,
    /// A private JWKS with a key that signs, mode 0600.
    pub keys: PathBuf,
}

/// Where the page process fetches what a session's key is to sign.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Certificates, with `client_ca`; without them, it listens on loopback alone.
    pub tls: Option<TlsConfig>,
}

/// The login for development.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevConfig {
    /// The seed of the test log's issuer.
    pub test_issuer: PathBuf,
    /// The patients to choose from.
    #[serde(default, rename = "patient")]
    pub patients: Vec<DemoPatient>,
}

/// A patient of the login for development.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemoPatient {
    /// As pages show them.
    pub name: String,
    /// INS, 15 characters.
    pub ins: String,
    /// The OID of the INS.
    pub oid: String,
    /// Who logs in for them, `system|id`: a representative. Without it, the patient.
    pub represented_by: Option<String>,
}

/// A listener's certificates.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate chain (PEM).
    pub cert: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
    /// Certificates that sign callers (PEM): of the back channel.
    pub client_ca: Option<PathBuf>,
}

/// Bounds on what strangers can make a process do at once. Times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Most connections of a listener, handshakes included.
    pub connections_max: usize,
    /// Most connections from one address, or from one IPv6 network of 64 bits; a proxy in front counts as one.
    pub connections_per_address_max: usize,
    /// A handshake that takes longer is dropped.
    pub handshake_timeout_ms: u64,
    /// The headers of a request, or the next request of a connection, come within this.
    pub header_timeout_ms: u64,
    /// The body of a request comes within this.
    pub body_timeout_ms: u64,
    /// No connection lasts longer.
    pub connection_ms_max: u64,
    /// Most requests that are answered at once; more are answered 503.
    pub requests_max: usize,
    /// How long the ledger may take for one call.
    pub ledger_timeout_ms: u64,
    /// Most logins that begin in a minute.
    pub logins_per_minute_max: usize,
    /// How long a stopping process lets requests finish.
    pub shutdown_grace_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            connections_per_address_max: 256,
            handshake_timeout_ms: 5_000,
            header_timeout_ms: 15_000,
            body_timeout_ms: 15_000,
            connection_ms_max: 300_000,
            requests_max: 256,
            ledger_timeout_ms: 10_000,
            logins_per_minute_max: 600,
            shutdown_grace_ms: 3_000,
        }
    }
}

const STREAMS_MAX: usize = 16;

fn default_cookie_key() -> PathBuf {
    "cookie.key".into()
}

const fn default_streams() -> usize {
    4
}

/// Where a configuration comes from.
const WAY_OUT: &str = "`sillage-portal init` writes one for development; give it with --config FILE";
/// A session's cookies are up to 16 kB.
const HEADER_BYTES_MAX: usize = 32 << 10;

/// An origin is a scheme and a host, and maybe a port: no path, and no slash at its end.
fn check_origin(field: &str, text: &str) -> Result<(), String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-:[]".contains(c);
    match host.is_some_and(|host| !host.is_empty() && host.chars().all(is_plain)) {
        true => Ok(()),
        false => Err(format!("{field} is an origin, such as https://trace.example or http://127.0.0.1:7410")),
    }
}

/// Whether an origin is this machine's own, reached without leaving it.
fn is_loopback(origin: &str) -> bool {
    ["http://127.0.0.1", "http://[::1]"]
        .iter()
        .any(|near| origin.strip_prefix(near).is_some_and(|rest| rest.is_empty() || rest.starts_with(':')))
}

fn check_listen(field: &str, listen: SocketAddr, tls: Option<&TlsConfig>) -> Result<(), String> {
    match tls.is_some() || listen.ip().is_loopback() {
        true => Ok(()),
        false => Err(format!(
            "{field} is an address that others reach, so it needs certificates: give them, or listen on loopback behind a proxy that speaks TLS"
        )),
    }
}

impl Limits {
    fn check(&self) -> Result<(), String> {
        check_positive([
            ("connections_max", self.connections_max as u64),
            ("connections_per_address_max", self.connections_per_address_max as u64),
            ("handshake_timeout_ms", self.handshake_timeout_ms),
            ("header_timeout_ms", self.header_timeout_ms),
            ("body_timeout_ms", self.body_timeout_ms),
            ("connection_ms_max", self.connection_ms_max),
            ("requests_max", self.requests_max as u64),
            ("ledger_timeout_ms", self.ledger_timeout_ms),
            ("logins_per_minute_max", self.logins_per_minute_max as u64),
        ])
    }

    /// The bounds of a port.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            connections_max: self.connections_max,
            connections_per_address_max: self.connections_per_address_max,
            handshake_timeout_ms: self.handshake_timeout_ms,
            header_timeout_ms: self.header_timeout_ms,
            header_bytes_max: HEADER_BYTES_MAX,
            connection_ms_max: self.connection_ms_max,
            shutdown_grace_ms: self.shutdown_grace_ms,
            ..Bounds::default()
        }
    }
}

impl TlsConfig {
    /// Our side of TLS. With `client_ca`, a caller shows a certificate of it.
    ///
    /// # Errors
    /// When a file can't be read, or certificate and key don't go together.
    pub fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let callers = match &self.client_ca {
            Some(ca) => CallerCertificate::Required(ca.clone()),
            None => CallerCertificate::NotAsked,
        };
        let versions = Versions::Tls12AndTls13;
        Tls { cert: &self.cert, key: &self.key, callers, versions, protocols: &["http/1.1"] }.acceptor()
    }

    fn resolve(&mut self, base: &Path) {
        for file in [&mut self.cert, &mut self.key].into_iter().chain(&mut self.client_ca) {
            *file = base.join(&file);
        }
    }
}

impl PortalConfig {
    /// Reads a file, resolves its paths, and checks what can be checked without opening anything else.
    ///
    /// # Errors
    /// When the file can't be read, isn't understood, or says what can't be.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = read(path, WAY_OUT)?;
        config.check().map_err(|message| ConfigError::invalid(path, message))?;
        let base = folder_of(path);
        let base = base.as_path();
        config.profile = base.join(&config.profile);
        config.cookie_key = base.join(&config.cookie_key);
        if let Some(tls) = &mut config.tls {
            tls.resolve(base);
        }
        let LoginLink { ca, cert, key, .. } = &mut config.login;
        for file in [ca, cert, key].into_iter().flatten() {
            *file = base.join(&file);
        }
        Ok(config)
    }

    /// Whether browsers come over HTTPS.
    pub fn is_secure(&self) -> bool {
        self.base.starts_with("https://")
    }

    fn check(&self) -> Result<(), String> {
        self.limits.check()?;
        check_origin("base", &self.base)?;
        check_origin("login.base", &self.login.base)?;
        check_origin("login.back", &self.login.back)?;
        check_listen("listen", self.listen, self.tls.as_ref())?;
        if !self.is_secure() && !is_loopback(&self.base) {
            return Err("base begins with https:// for everybody who isn't on this machine: cookies need it".to_owned());
        }
        let LoginLink { back, ca, cert, key, .. } = &self.login;
        let certificates = [ca, cert, key].iter().filter(|file| file.is_some()).count();
        let fits =
            if back.starts_with("https://") { certificates == 3 } else { certificates == 0 && is_loopback(back) };
        if !fits {
            return Err(
                "login.back is https:// with login.ca, login.cert and login.key, or http:// on this machine without them"
                    .to_owned(),
            );
        }
        match (1..=STREAMS_MAX).contains(&self.streams) {
            true => Ok(()),
            false => Err(format!("streams is 1 to {STREAMS_MAX}")),
        }
    }
}

impl LoginConfig {
    /// Reads a file, resolves its paths, and checks what can be checked without opening anything else.
    ///
    /// # Errors
    /// When the file can't be read, isn't understood, or says what can't be.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = read(path, WAY_OUT)?;
        config.check().map_err(|message| ConfigError::invalid(path, message))?;
        let base = folder_of(path);
        let base = base.as_path();
        config.profile = base.join(&config.profile);
        for tls in [&mut config.tls, &mut config.back.tls].into_iter().flatten() {
            tls.resolve(base);
        }
        if let Some(dev) = &mut config.dev {
            dev.test_issuer = base.join(&dev.test_issuer);
        }
        if let Some(settings) = &mut config.oidc {
            settings.resolve(base);
        }
        if let Some(settings) = &mut config.identity {
            settings.resolve(base);
        }
        if let Some(statement) = &mut config.statement {
            statement.keys = base.join(&statement.keys);
        }
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        self.limits.check()?;
        check_origin("base", &self.base)?;
        check_origin("portal", &self.portal)?;
        check_listen("listen", self.listen, self.tls.as_ref())?;
        check_listen("back.listen", self.back.listen, self.back.tls.as_ref())?;
        if self.back.tls.as_ref().is_some_and(|tls| tls.client_ca.is_none()) {
            return Err("back.tls needs client_ca: the page process alone may call".to_owned());
        }
        match (&self.oidc, &self.identity, &self.statement, &self.dev) {
            (Some(_), Some(_), _, None) | (None, None, None, Some(_)) => {}
            (Some(_), None, ..) => {
                return Err(
                    "[oidc] needs [identity]: the provider knows an account, and somebody whose INS it is".to_owned()
                );
            }
            (None, None, None, None) => return Err("nobody can log in: give [oidc] and [identity]".to_owned()),
            _ => return Err("[oidc] with [identity], or [dev]: one of both".to_owned()),
        }
        if self.dev.is_some()
            && !(self.listen.ip().is_loopback() && is_loopback(&self.base) && is_loopback(&self.portal))
        {
            return Err(
                "[dev] logs in whoever is named: it is for this machine alone. Leave it out, or listen on loopback, with base and portal there, too"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
