//! The log's certificate authority and the certificates that it signs: ECDSA P-256, which every TLS stack speaks.
//!
//! A certificate only opens the door; what its holder may do is in the ledger, under the hash of its public key.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType, date_time_ymd,
};
use sillage_proof::hash::sha256;

use crate::tls::{SERVER_NAME, SpkiSha256};

/// A certificate can't be made.
#[derive(Debug, thiserror::Error)]
#[error("a certificate can't be made: {0}")]
pub struct PkiError(#[from] rcgen::Error);

/// A certificate and its private key.
pub struct Certified {
    /// The certificate, PEM.
    pub cert_pem: String,
    /// The private key, PEM. Secret.
    pub key_pem: zeroize::Zeroizing<String>,
    /// The hash by which the ledger knows the holder.
    pub spki_sha256: SpkiSha256,
}

/// The authority, able to sign.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub own: Certified,
    valid_for: Duration,
}

/// Clocks of other machines may be behind.
const CLOCK_SKEW: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 86_400 + 86_400 / 4);

impl Ca {
    /// A new authority for the log called `origin`; it and all that it signs are valid for `years` from an hour ago.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn new(origin: &str, years: u32) -> Result<Self, PkiError> {
        let valid_for = YEAR * years;
        let mut params = params(&format!("Sillage CA of {origin}"), valid_for)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let cert_pem = params.self_signed(&key)?.pem();
        let own = certified(cert_pem, &key);
        Ok(Self { issuer: Issuer::new(params, key), own, valid_for })
    }

    /// The certificate of node `id`, good for serving under the common name, `node-<id>`, localhost and `hosts`, and
    /// for calling the other nodes.
    ///
    /// # Errors
    /// When a host is neither an address nor a DNS name.
    pub fn node(&self, id: u64, hosts: &[String]) -> Result<Certified, PkiError> {
        let own = format!("node-{id}");
        self.server(&own, &[SERVER_NAME, &own, "localhost", "127.0.0.1"], hosts)
    }

    /// The certificate of a gateway, good for serving under `name`, localhost and `hosts`, and for calling nodes. It
    /// doesn't carry the nodes' common name: nobody may take a gateway for a node.
    ///
    /// # Errors
    /// As [`Ca::node`].
    pub fn gateway(&self, name: &str, hosts: &[String]) -> Result<Certified, PkiError> {
        self.server(name, &["localhost", "127.0.0.1"], hosts)
    }

    fn server(&self, name: &str, fixed: &[&str], hosts: &[String]) -> Result<Certified, PkiError> {
        let mut params = params(name, self.valid_for)?;
        for host in fixed.iter().copied().chain(hosts.iter().map(String::as_str)) {
            let san = match host.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(host.try_into()?),
            };
            if !params.subject_alt_names.contains(&san) {
                params.subject_alt_names.push(san);
            }
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    /// The certificate of a caller.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn caller(&self, name: &str) -> Result<Certified, PkiError> {
        let mut params = params(name, self.valid_for)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> Result<Certified, PkiError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let cert_pem = params.signed_by(&key, &self.issuer)?.pem();
        Ok(certified(cert_pem, &key))
    }
}

fn certified(cert_pem: String, key: &KeyPair) -> Certified {
    Certified {
        cert_pem,
        key_pem: key.serialize_pem().into(),
        spki_sha256: sha256(&[&key.subject_public_key_info()]).to_bytes(),
    }
}

fn params(common_name: &str, valid_for: Duration) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, common_name);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let begin = date_time_ymd(1970, 1, 1) + now.saturating_sub(CLOCK_SKEW);
    params.not_before = begin;
    params.not_after = begin + valid_for;
    Ok(params)
}
