//! Certificates that the log's authority issues from the command line, with the CA key of its profile.

use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use sillage_client::clock::now_ms;
use zeroize::Zeroizing;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);
/// Clocks of other machines may be behind.
const CLOCK_SKEW: Duration = Duration::from_secs(3_600);

/// The owner of the certificate.
#[derive(Debug, Clone, Copy)]
pub enum Holder<'a> {
    /// A party that calls.
    Caller {
        /// Common name.
        name: &'a str,
    },
    /// A node, which serves and calls.
    Node {
        /// Its id.
        id: u64,
        /// Where others find it.
        host: &'a str,
        /// The name that every node's certificate carries.
        server_name: &'a str,
    },
}

/// A certificate and its private key.
pub struct Issued {
    /// The certificate, PEM.
    pub cert_pem: String,
    /// The private key, PEM. Secret.
    pub key_pem: Zeroizing<String>,
    /// SHA-256 of the SubjectPublicKeyInfo: how the ledger knows the holder.
    pub spki_sha256: [u8; 32],
}

/// Issues a certificate: a caller's for three years, a node's for ten.
///
/// # Errors
/// When the CA's files don't go together, or a host is neither an address nor a DNS name.
pub fn issue(ca_pem: &str, ca_key_pem: &str, holder: Holder<'_>) -> Result<Issued, rcgen::Error> {
    let issuer = Issuer::from_ca_cert_pem(ca_pem, KeyPair::from_pem(ca_key_pem)?)?;
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    let (name, years) = match holder {
        Holder::Caller { name } => (name.to_owned(), 3),
        Holder::Node { id, .. } => (format!("node-{id}"), 10),
    };
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name.as_str());
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if let Holder::Node { host, server_name, .. } = holder {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        for host in [server_name, &name, "localhost", "127.0.0.1", host] {
            let san = match host.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(host.try_into()?),
            };
            if !params.subject_alt_names.contains(&san) {
                params.subject_alt_names.push(san);
            }
        }
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let begin = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_millis(now_ms()).saturating_sub(CLOCK_SKEW);
    params.not_before = begin;
    params.not_after = begin + YEAR * years;
    let key = KeyPair::generate()?;
    let cert = params.signed_by(&key, &issuer)?;
    let spki = sillage_proof::hash::sha256(&[&key.subject_public_key_info()]);
    Ok(Issued { cert_pem: cert.pem(), key_pem: key.serialize_pem().into(), spki_sha256: spki.to_bytes() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_client::profile::spki_sha256;

    #[test]
    fn an_issued_certificate_is_known_by_its_key() {
        let ca_key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("params");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = params.self_signed(&ca_key).expect("a CA");
        let holders =
            [Holder::Caller { name: "dmp" }, Holder::Node { id: 4, host: "10.0.0.4", server_name: "sillage-node" }];
        for holder in holders {
            let issued = issue(&ca.pem(), &ca_key.serialize_pem(), holder).expect("issued");
            let dir = tempfile::tempdir().expect("a temporary folder");
            let path = dir.path().join("cert.pem");
            std::fs::write(&path, &issued.cert_pem).expect("written");
            assert_eq!(spki_sha256(&path).expect("a certificate").to_bytes(), issued.spki_sha256);
        }
    }
}
