//! The server's side of TLS. Every connection shows its certificate anew: nothing is resumed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sillage_proof::hash::sha256;
use tokio_rustls::TlsAcceptor;

/// SHA-256 of a certificate's public key (SubjectPublicKeyInfo).
pub type Spki = [u8; 32];

/// Certificates that can't be used: the file, the reason.
#[derive(Debug, thiserror::Error)]
#[error("the certificates can't be used: {0}")]
pub struct TlsError(String);

/// The certificate that a caller shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallerCertificate {
    /// None is asked for.
    NotAsked,
    /// A caller may show one that a certificate of this file (PEM) has signed.
    Optional(PathBuf),
    /// A caller that shows none is let go.
    Required(PathBuf),
}

/// The versions of TLS that a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// 1.3 alone.
    Tls13,
    /// 1.3 and 1.2, which software of hospitals still speaks.
    Tls12AndTls13,
}

/// How a server speaks TLS.
#[derive(Debug, Clone)]
pub struct Tls<'a> {
    /// Its certificate chain (PEM).
    pub cert: &'a Path,
    /// Its private key (PEM).
    pub key: &'a Path,
    /// The certificates of callers.
    pub callers: CallerCertificate,
    /// Versions.
    pub versions: Versions,
    /// Protocols in the order of preference, such as `h2` and `http/1.1` (ALPN); empty where only one is spoken.
    pub protocols: &'a [&'a str],
}

impl Tls<'_> {
    /// Reads the files.
    ///
    /// # Errors
    /// When one can't be read, or certificate and key don't go together.
    pub fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let wrong = |error: rustls::Error| TlsError(error.to_string());
        let key = PrivateKeyDer::from_pem_file(self.key).map_err(|error| in_file(self.key, &error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions: &[&SupportedProtocolVersion] = match self.versions {
            Versions::Tls13 => &[&rustls::version::TLS13],
            Versions::Tls12AndTls13 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions);
        let builder = builder.map_err(wrong)?;
        let verifier = |ca: &Path| {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(ca)? {
                roots.add(certificate).map_err(|error| in_file(ca, &error))?;
            }
            Ok::<_, TlsError>(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider))
        };
        let builder = match &self.callers {
            CallerCertificate::NotAsked => builder.with_no_client_auth(),
            CallerCertificate::Optional(ca) => {
                let verifier = verifier(ca)?.allow_unauthenticated().build().map_err(|error| in_file(ca, &error))?;
                builder.with_client_cert_verifier(verifier)
            }
            CallerCertificate::Required(ca) => {
                builder.with_client_cert_verifier(verifier(ca)?.build().map_err(|error| in_file(ca, &error))?)
            }
        };
        let mut config = builder.with_single_cert(certificates(self.cert)?, key).map_err(wrong)?;
        config.alpn_protocols = self.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn in_file(path: &Path, why: &dyn std::fmt::Display) -> TlsError {
    TlsError(format!("{}: {why}", path.display()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(in_file(path, &"no certificate in it")),
        Err(error) => Err(in_file(path, &error)),
    }
}

/// The hash of the public key of a certificate (DER); `None` when it isn't a certificate.
pub fn spki_sha256(certificate: &[u8]) -> Option<Spki> {
    let (rest, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    rest.is_empty().then(|| sha256(&[parsed.public_key().raw]).to_bytes())
}

/// The hash of the public key that the other end of a connection has shown, after TLS has verified it.
pub fn caller_of<S>(stream: &tokio_rustls::server::TlsStream<S>) -> Option<Spki> {
    stream.get_ref().1.peer_certificates().and_then(<[_]>::first).and_then(|own| spki_sha256(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_has_no_key() {
        assert_eq!(spki_sha256(b"not a certificate"), None);
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let missing = Tls {
            cert: Path::new("/nowhere/a.pem"),
            key: Path::new("/nowhere/a.key"),
            callers: CallerCertificate::Required("/nowhere/ca.pem".into()),
            versions: Versions::Tls13,
            protocols: &["http/1.1"],
        };
        assert!(missing.acceptor().err().is_some_and(|error| error.to_string().contains("/nowhere/a.key")));
    }
}
