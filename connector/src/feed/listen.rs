//! Connections of a feed: over mutual TLS, or plain on loopback; bounded in number, for each address too.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sillage_proof::hash::sha256;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// The certificates of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain (PEM).
    pub cert: PathBuf,
    /// Private key (PEM).
    pub key: PathBuf,
    /// Certificates that sign senders (PEM).
    pub client_ca: PathBuf,
}

/// Why certificates can't be used.
#[derive(Debug, thiserror::Error)]
#[error("the certificates of the feed can't be used: {0}")]
pub struct TlsError(String);

/// Bounds of a feed's connections.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections at once.
    pub connections_max: usize,
    /// The same from one address.
    pub per_address_max: usize,
    /// A handshake that takes longer is dropped, milliseconds.
    pub handshake_ms: u64,
}

/// A feed's port.
pub struct Port {
    /// Mutual TLS; none on loopback.
    pub tls: Option<TlsAcceptor>,
    /// Names of senders by the SHA-256 of their certificate's public key. Where it is empty, every certificate that the
    /// authority has signed may send, and is named by the hash.
    pub senders: BTreeMap<[u8; 32], String>,
    /// Bounds.
    pub bounds: Bounds,
    /// Turns true when the connector stops.
    pub stop: watch::Receiver<bool>,
}

/// Serves connections until the connector stops, and ends when all of them have: `converse` gets each with the name of its sender.
pub async fn run<F, Fut>(listener: TcpListener, port: Port, converse: F)
where
    F: Fn(Box<dyn AnyStream>, String) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(port.bounds.connections_max));
    let by_address: Arc<Mutex<HashMap<IpAddr, usize>>> = Arc::default();
    let mut stop = port.stop.clone();
    let port = Arc::new(port);
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let Ok(held) = Arc::clone(&room).try_acquire_owned() else {
            tracing::warn!(%from, "no room for another connection of this feed");
            continue;
        };
        let Some(place) = Place::take(&by_address, from.ip(), port.bounds.per_address_max) else {
            tracing::warn!(%from, "too many connections from this address");
            continue;
        };
        let (port, converse) = (Arc::clone(&port), converse.clone());
        open.spawn(async move {
            let _held = (held, place);
            let _nagle_stays = stream.set_nodelay(true);
            if let Some((stream, sender)) = admit(&port, stream, from).await {
                converse(stream, sender).await;
            }
        });
    }
    // What was read is brought to its end.
    while open.join_next().await.is_some() {}
}

/// A connection of any kind.
pub trait AnyStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> AnyStream for S {}

/// The encrypted stream, and the name of its sender.
async fn admit(port: &Port, stream: TcpStream, from: SocketAddr) -> Option<(Box<dyn AnyStream>, String)> {
    let Some(tls) = &port.tls else {
        return Some((Box::new(stream), "loopback".to_owned()));
    };
    let stream = match timeout(Duration::from_millis(port.bounds.handshake_ms), tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::warn!(%from, %error, "a sender's TLS handshake failed");
            return None;
        }
        Err(_) => return None,
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first)?;
    let hash = key_hash(certificate)?;
    let named = port.senders.get(&hash).cloned();
    let sender = match named {
        Some(name) => name,
        None if port.senders.is_empty() => format!("certificate-{}", hex::encode(&hash[..8])),
        None => {
            tracing::warn!(%from, key_sha256 = hex::encode(hash), "a sender that the configuration doesn't name: add it to `senders`");
            return None;
        }
    };
    Some((Box::new(stream), sender))
}

/// SHA-256 of a certificate's public key (SubjectPublicKeyInfo).
fn key_hash(certificate: &[u8]) -> Option<[u8; 32]> {
    let (rest, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    rest.is_empty().then(|| sha256(&[parsed.public_key().raw]).to_bytes())
}

/// A connection's place among those of its address; given back on drop.
struct Place {
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Place {
    fn take(by_address: &Arc<Mutex<HashMap<IpAddr, usize>>>, address: IpAddr, max: usize) -> Option<Self> {
        let address = address.to_canonical();
        let mut open = by_address.lock();
        let own = open.entry(address).or_default();
        if *own >= max {
            return None;
        }
        *own += 1;
        drop(open);
        Some(Self { by_address: Arc::clone(by_address), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.by_address.lock();
        if let Some(own) = open.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.address);
            }
        }
    }
}

/// The listener's side of mutual TLS: 1.3, and 1.2, which senders of hospitals still speak.
///
/// # Errors
/// When a file can't be read, or certificate and key don't go together.
pub fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
    let wrong = |error: &dyn std::fmt::Display| TlsError(error.to_string());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.client_ca)? {
        roots.add(certificate).map_err(|error| TlsError(format!("{}: {error}", files.client_ca.display())))?;
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| TlsError(format!("{}: {error}", files.key.display())))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let senders = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?
        .with_client_cert_verifier(senders.build().map_err(|error| wrong(&error))?)
        .with_single_cert(certificates(&files.cert)?, key)
        .map_err(|error| wrong(&error))?;
    // Every connection shows its certificate anew: no resumption.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(TlsError(format!("{}: no certificate in it", path.display()))),
        Err(error) => Err(TlsError(format!("{}: {error}", path.display()))),
    }
}
