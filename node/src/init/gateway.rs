//! The folder of a gateway, complete in itself so that it can be carried to its machine.
//!
//! ```text
//! gateway/  gateway.toml  profile.toml  genesis.bin  tls/{ca.pem,gateway.pem,gateway.key}
//! ```

use std::path::{Path, PathBuf};

use serde::Serialize;
use sillage_proof::keys::SigningKey;
use sillage_rules::roles::Roles;
use sillage_rules::vouching::Vouching;

use super::genesis::PartyTerms;
use super::pki::Ca;
use super::profile::Profile;
use super::{InitError, files, join};

/// The folder, the party and the certificate are called so.
pub const NAME: &str = "gateway";
/// The gateway's configuration, in its folder.
pub const CONFIG_FILE: &str = "gateway.toml";
/// The gateway's profile, in its folder.
pub const PROFILE_FILE: &str = "profile.toml";

/// A gateway to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayPlan {
    /// Where callers find it.
    pub host: String,
    /// Its port for plain HTTP.
    pub port: u16,
    /// Its port for mutual TLS.
    pub tls_port: u16,
    /// True if profiles name it.
    pub in_profiles: bool,
}

impl GatewayPlan {
    /// `host:port` of plain HTTP.
    pub fn address(&self) -> String {
        join(&self.host, self.port)
    }

    /// As profiles name it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// `host:port` of mutual TLS.
    pub fn tls_address(&self) -> String {
        join(&self.host, self.tls_port)
    }
}

impl std::str::FromStr for GatewayPlan {
    type Err = String;

    /// `host:port:tlsport`; an IPv6 address stands in brackets.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} isn't a gateway: write host:port:tlsport");
        let (rest, tls_port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let (host, port) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let plan = Self {
            host,
            port: port.parse().map_err(|_| wrong())?,
            tls_port: tls_port.parse().map_err(|_| wrong())?,
            in_profiles: true,
        };
        let ports = plan.port != 0 && plan.tls_port != 0 && plan.port != plan.tls_port;
        if ports && !plan.host.is_empty() { Ok(plan) } else { Err(wrong()) }
    }
}

/// `gateway.toml`, as `sillage-gateway` reads it.
#[derive(Serialize)]
struct ConfigFile {
    profile: String,
    listen: String,
    tls: TlsFile,
}

#[derive(Serialize)]
struct TlsFile {
    listen: String,
    cert: String,
    key: String,
    ca: String,
}

/// The folder of the gateway.
pub fn folder(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

/// Makes the certificate, and the party to register: an auditor, since it hands entries on to auditors. It signs
/// nothing, so the private half of its first key is kept nowhere.
pub(super) fn party(dir: &Path, plan: &GatewayPlan, ca: &Ca) -> Result<PartyTerms, InitError> {
    let certificate = ca.gateway(NAME, std::slice::from_ref(&plan.host))?;
    let tls = folder(dir).join("tls");
    files::public(&tls.join("ca.pem"), &ca.own.cert_pem)?;
    files::public(&tls.join("gateway.pem"), &certificate.cert_pem)?;
    files::secret(&tls.join("gateway.key"), certificate.key_pem.as_bytes())?;
    Ok(PartyTerms {
        name: NAME.to_owned(),
        key: SigningKey::generate()?.public_key(),
        roles: Roles::AUDITOR,
        spki_sha256: certificate.spki_sha256,
        vouching: Vouching::default(),
    })
}

/// Writes what the gateway starts with; `profile` is anyone's of this log.
pub(super) fn write(dir: &Path, plan: &GatewayPlan, profile: &Profile, genesis: &[u8]) -> Result<(), InitError> {
    let folder = folder(dir);
    // Another machine's address can't be listened on by its name.
    let listen = |port| match plan.host.parse::<std::net::IpAddr>() {
        Ok(_) => join(&plan.host, port),
        Err(_) => join("0.0.0.0", port),
    };
    let config = ConfigFile {
        profile: PROFILE_FILE.to_owned(),
        listen: listen(plan.port),
        tls: TlsFile {
            listen: listen(plan.tls_port),
            cert: "tls/gateway.pem".to_owned(),
            key: "tls/gateway.key".to_owned(),
            ca: "tls/ca.pem".to_owned(),
        },
    };
    let own = Profile {
        cert: config.tls.cert.clone(),
        key: config.tls.key.clone(),
        author_key: None,
        stream: None,
        authority_key: None,
        ca_key: None,
        cosign_keys: Vec::new(),
        gateway: None,
        fhir: None,
        fhir_token: None,
        portal: None,
        test_issuer: None,
        ..profile.clone()
    };
    let config = toml::to_string(&config).expect("invariant: every field has a TOML form");
    files::public(&folder.join("genesis.bin"), genesis)?;
    files::public(&folder.join(PROFILE_FILE), own.to_toml())?;
    files::public(&folder.join(CONFIG_FILE), config)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_a_host_and_two_ports() {
        let plan: GatewayPlan = "[::1]:80:443".parse().expect("a gateway");
        assert_eq!((plan.address().as_str(), plan.tls_address().as_str()), ("[::1]:80", "[::1]:443"));
        for wrong in ["", "host", "host:80", "host:80:80", "host:0:443", ":80:443", "host:a:443"] {
            assert!(wrong.parse::<GatewayPlan>().is_err(), "{wrong}");
        }
    }
}
