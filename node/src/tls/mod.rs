//! Connections, who may make them and how many: mutual TLS 1.3 on both ports.
//!
//! A caller without a certificate of the log's authority gets no further than the handshake. On the peer port only the
//! certificates of the present node set do. Start with [`server_config`]; the loop that accepts connections and keeps to
//! the limits is in [`accept`], the way to another node in [`dial`], the pinned certificates in [`pin`].

pub mod accept;
pub mod dial;
pub mod pin;
pub mod reserve;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sillage_proof::hash::sha256;

use crate::config::TlsConfig;

/// SHA-256 of a certificate's SubjectPublicKeyInfo: what the ledger knows callers by.
pub type SpkiSha256 = [u8; 32];

/// The name that every node's certificate carries, beside its own `node-<id>`.
pub const SERVER_NAME: &str = "sillage-node";

/// The other end of a connection: in the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Of the certificate that it proved to hold the key of.
    pub spki_sha256: SpkiSha256,
    /// Where from.
    pub address: SocketAddr,
    /// It may ask how the node is, and nothing else: its connection is one of the reserve.
    pub monitoring_only: bool,
}

/// Why certificates can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file isn't there, or isn't PEM.
    #[error("{path}: {message}; `sillage-node init` writes the certificates that a node needs")]
    File {
        /// Which file.
        path: PathBuf,
        /// The fault.
        message: String,
    },
    /// The pieces don't go together.
    #[error("the certificates don't go together: {0}")]
    Config(String),
    /// `host:port` isn't one.
    #[error("{address:?} isn't an address: write host:port")]
    Address {
        /// As it was given.
        address: String,
    },
}

/// The algorithms, chosen here and not by what else is linked into the process.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The SPKI hash of a certificate (DER); `None` when it isn't a certificate.
pub fn spki_sha256(certificate: &[u8]) -> Option<SpkiSha256> {
    let (rest, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    rest.is_empty().then(|| sha256(&[parsed.public_key().raw]).to_bytes())
}

/// A PEM file's certificates and key, read once.
pub struct Identity {
    roots: Arc<RootCertStore>,
    /// When the first of the certificates ends, in seconds since 1970.
    ends_s: u64,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads the three files.
    ///
    /// # Errors
    /// When one is missing or holds nothing of the kind.
    pub fn load(files: &TlsConfig) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let chain = certificates(&files.cert)?;
        let authority = certificates(&files.ca)?;
        for (path, certificates) in [(&files.cert, &chain), (&files.ca, &authority)] {
            if certificates.iter().any(|one| is_old(one)) {
                let message =
                    "a certificate of X.509 version 1, which TLS doesn't take here: make it anew in version 3";
                return Err(TlsError::File { path: path.clone(), message: message.to_owned() });
            }
        }
        let ends_s = chain.iter().chain(&authority).filter_map(|certificate| end_s(certificate)).min();
        for certificate in authority {
            roots
                .add(certificate)
                .map_err(|error| TlsError::File { path: files.ca.clone(), message: error.to_string() })?;
        }
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| TlsError::File {
            path: files.key.clone(),
            message: format!("no private key in it ({error})"),
        })?;
        Ok(Self { roots: Arc::new(roots), ends_s: ends_s.unwrap_or(u64::MAX), chain, key })
    }

    /// When the first of the node's and its authority's certificates ends, in seconds since 1970.
    pub fn ends_s(&self) -> u64 {
        self.ends_s
    }

    /// The SPKI hash of the own certificate.
    ///
    /// # Errors
    /// When it isn't an X.509 certificate.
    pub fn spki_sha256(&self) -> Result<SpkiSha256, TlsError> {
        self.chain
            .first()
            .and_then(|own| spki_sha256(own))
            .ok_or_else(|| TlsError::Config("the own certificate can't be read".to_owned()))
    }
}

/// Tells whether it is a certificate of X.509 version 1 or 2.
fn is_old(certificate: &[u8]) -> bool {
    let parsed = x509_parser::parse_x509_certificate(certificate);
    parsed.is_ok_and(|(_, parsed)| parsed.version() != x509_parser::x509::X509Version::V3)
}

/// When a certificate (DER) ends; `None` when it isn't one.
fn end_s(certificate: &[u8]) -> Option<u64> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    u64::try_from(parsed.validity().not_after.timestamp()).ok()
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |message: String| TlsError::File { path: path.to_owned(), message };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(format!("no certificate in it ({error})")))?;
    if found.is_empty() {
        return Err(wrong("no certificate in it".to_owned()));
    }
    Ok(found)
}

/// A listener's side. `only`: the nodes that may connect, as of each handshake; `None` for all that the authority
/// certified.
///
/// # Errors
/// When the certificate and the key don't go together.
pub fn server_config(identity: &Identity, only: Option<pin::Pins>) -> Result<Arc<ServerConfig>, TlsError> {
    let wrong = |error: &dyn std::fmt::Display| TlsError::Config(error.to_string());
    let chain_verifier = WebPkiClientVerifier::builder_with_provider(identity.roots.clone(), provider())
        .build()
        .map_err(|error| wrong(&error))?;
    let verifier = match only {
        None => chain_verifier,
        Some(pins) => Arc::new(pin::PinnedClients::new(chain_verifier, pins)),
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| wrong(&error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain.clone(), identity.key.clone_key())
        .map_err(|error| wrong(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Every connection shows its certificate anew: no resumption.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// A dialler's side. `pin`: the only SPKI hash that the server may show.
///
/// # Errors
/// When the certificate and the key don't go together.
pub fn client_config(identity: &Identity, pin: Option<SpkiSha256>) -> Result<Arc<ClientConfig>, TlsError> {
    let wrong = |error: &dyn std::fmt::Display| TlsError::Config(error.to_string());
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| wrong(&error))?;
    let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(identity.roots.clone(), provider())
        .build()
        .map_err(|error| wrong(&error))?;
    let builder = match pin {
        None => builder.with_webpki_verifier(verifier),
        Some(pin) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(pin::PinnedServer::new(verifier, pin)))
        }
    };
    let mut config = builder
        .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
        .map_err(|error| wrong(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;
