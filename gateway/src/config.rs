//! A gateway's configuration, `docs/reference/gateway-toml.md`. Paths in the file are relative to the folder that it is in.
//!
//! ```toml
//! profile = "profile.toml"          # who the gateway is for the nodes: a profile of the command line
//! listen = "127.0.0.1:7406"         # plain HTTP: what is public
//!
//! [tls]                             # optional: mutual TLS, for auditors
//! listen = "127.0.0.1:7407"
//! cert = "tls/gateway.pem"
//! key = "tls/gateway.key"
//! ca = "tls/ca.pem"                 # signs the auditors' certificates
//! ```

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sillage_web::config::{self, ConfigError};
use sillage_web::listen::Bounds;

/// `gateway.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// The profile with which the nodes are called. Its party needs the role auditor only where `tls` is given.
    pub profile: PathBuf,
    /// Where to serve plain HTTP.
    pub listen: SocketAddr,
    /// Mutual TLS, for auditors.
    pub tls: Option<TlsConfig>,
    /// The bounds at which a node holds back, drops or refuses.
    #[serde(default)]
    pub limits: Limits,
}

/// The listener for auditors.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Where to serve.
    pub listen: SocketAddr,
    /// The gateway's certificate chain (PEM).
    pub cert: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
    /// Certificates that sign callers (PEM).
    pub ca: PathBuf,
}

/// Bounds on what strangers can make a gateway do at once. Times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Most connections of a listener, handshakes included.
    pub connections_max: usize,
    /// Most connections from one address, or from one IPv6 network of 64 bits; a proxy in front counts as one. Never more than a
    /// quarter of `connections_max`.
    pub connections_per_address_max: usize,
    /// A handshake that takes longer is dropped.
    pub handshake_timeout_ms: u64,
    /// The headers of a request, or the next request of a connection, come within this or the connection is closed.
    pub header_timeout_ms: u64,
    /// Most bytes of a request's first line and headers.
    pub header_bytes_max: usize,
    /// Most headers of a request.
    pub headers_max: usize,
    /// No connection lasts longer: slow readers are let go too.
    pub connection_ms_max: u64,
    /// Most questions to the nodes at once; more are answered 503.
    pub questions_max: usize,
    /// Full hash tiles kept in memory, of 8 KiB each.
    pub tiles_cached: usize,
    /// A checkpoint younger than this is given again without asking a node.
    pub checkpoint_ms: u64,
    /// How long a stopping gateway lets requests finish.
    pub shutdown_grace_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            connections_per_address_max: 256,
            handshake_timeout_ms: 5_000,
            header_timeout_ms: 15_000,
            header_bytes_max: 16 << 10,
            headers_max: 64,
            connection_ms_max: 300_000,
            questions_max: 64,
            tiles_cached: 4_096,
            checkpoint_ms: 500,
            shutdown_grace_ms: 3_000,
        }
    }
}

impl Limits {
    /// The bounds on a port.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            connections_max: self.connections_max,
            connections_per_address_max: self.connections_per_address_max,
            handshake_timeout_ms: self.handshake_timeout_ms,
            header_timeout_ms: self.header_timeout_ms,
            header_bytes_max: self.header_bytes_max,
            headers_max: self.headers_max,
            connection_ms_max: self.connection_ms_max,
            shutdown_grace_ms: self.shutdown_grace_ms,
        }
    }
}

/// The least that HTTP needs for a request line and headers.
const HEADER_BYTES_MIN: usize = 8 << 10;

impl GatewayConfig {
    /// Reads a file, resolves its paths, and checks what can be checked without opening anything else.
    ///
    /// # Errors
    /// When the file can't be read, isn't understood, or says what can't be.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = config::read(path, "give the gateway's configuration with --config FILE")?;
        config.check().map_err(|message| ConfigError::invalid(path, message))?;
        let base = config::folder_of(path);
        config.profile = base.join(&config.profile);
        if let Some(tls) = &mut config.tls {
            for file in [&mut tls.cert, &mut tls.key, &mut tls.ca] {
                *file = base.join(&file);
            }
        }
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let limits = &self.limits;
        config::check_positive([
            ("connections_max", limits.connections_max as u64),
            ("connections_per_address_max", limits.connections_per_address_max as u64),
            ("handshake_timeout_ms", limits.handshake_timeout_ms),
            ("header_timeout_ms", limits.header_timeout_ms),
            ("headers_max", limits.headers_max as u64),
            ("connection_ms_max", limits.connection_ms_max),
            ("questions_max", limits.questions_max as u64),
            ("tiles_cached", limits.tiles_cached as u64),
        ])?;
        match limits.header_bytes_max >= HEADER_BYTES_MIN {
            true => Ok(()),
            false => Err(format!("limits.header_bytes_max is at least {HEADER_BYTES_MIN}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<GatewayConfig, ConfigError> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("gateway.toml");
        std::fs::write(&path, text).expect("written");
        let mut config = GatewayConfig::load(&path)?;
        config.profile = config.profile.strip_prefix(dir.path()).expect("relative to the file").to_owned();
        Ok(config)
    }

    const EXAMPLE: &str = "profile = \"p.toml\"\nlisten = \"127.0.0.1:80\"\n";

    #[test]
    fn a_file_says_what_it_must_and_nothing_unknown() {
        let config = load(EXAMPLE).expect("a configuration");
        assert_eq!(config.profile, Path::new("p.toml"));
        assert_eq!((config.tls, config.limits), (None, Limits::default()));
        assert!(matches!(load("listen = \"127.0.0.1:80\""), Err(ConfigError::Parse { .. })));
        let unknown = format!("{EXAMPLE}colour = 1\n");
        assert!(matches!(load(&unknown), Err(ConfigError::Parse { .. })));
        assert!(matches!(GatewayConfig::load(Path::new("/nowhere")), Err(ConfigError::Read { .. })));
    }

    #[test]
    fn limits_that_serve_nothing_are_refused() {
        let zero = load(&format!("{EXAMPLE}[limits]\nquestions_max = 0\n")).unwrap_err().to_string();
        assert!(zero.contains("questions_max"), "{zero}");
        let small = load(&format!("{EXAMPLE}[limits]\nheader_bytes_max = 100\n")).unwrap_err().to_string();
        assert!(small.contains("8192"), "{small}");
    }

    const REFERENCE: &str = include_str!("../../docs/reference/gateway-toml.md");

    /// The public fields of a structure of this file that a configuration may hold, but for tables.
    fn fields(name: &str, prefix: &str) -> Vec<String> {
        let (_, rest) = include_str!("config.rs").split_once(&format!("pub struct {name} {{")).expect("it is there");
        let (body, _) = rest.split_once("\n}").expect("it ends");
        let fields = body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "));
        let fields = fields.filter(|(_, kind)| !kind.contains("Config") && *kind != "Limits,");
        fields.map(|(field, _)| format!("{prefix}{field}")).collect()
    }

    #[test]
    fn the_reference_has_every_field_and_no_other_and_the_defaults_of_the_code() {
        let rows = REFERENCE.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        let rows: Vec<(&str, &str)> = rows.collect();
        let parts = [("GatewayConfig", ""), ("TlsConfig", "tls."), ("Limits", "limits.")];
        let expected: Vec<String> = parts.iter().flat_map(|(name, prefix)| fields(name, prefix)).collect();
        assert_eq!(rows.iter().map(|(name, _)| *name).collect::<Vec<_>>(), expected);

        let defaults = rows.iter().filter_map(|(name, rest)| {
            let default = rest.split(" | ").nth(1)?.replace(',', "");
            Some(format!("{} = {default}\n", name.strip_prefix("limits.")?))
        });
        let told = load(&format!("{EXAMPLE}[limits]\n{}", defaults.collect::<String>())).expect("a configuration");
        assert_eq!(told.limits, Limits::default());
    }

    #[test]
    fn the_example_of_the_reference_is_a_configuration() {
        let (_, rest) = REFERENCE.split_once("```toml\n").expect("an example");
        let (text, _) = rest.split_once("```").expect("it ends");
        let config = load(text).expect("it can be used");
        assert!(config.tls.is_some_and(|tls| tls.ca.ends_with("tls/ca.pem")));
    }
}
