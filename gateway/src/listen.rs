//! Connections: HTTP/1.1, plain or over mutual TLS, each bounded in number, headers and time.
//!
//! Callers are told apart by their address: an IPv6 network of 64 bits counts as one, as a single household has that many
//! addresses.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sillage_proof::hash::sha256;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::answer::{Via, answer};
use crate::config::{Limits, TlsConfig};
use crate::lines::StrictLines;
use crate::log::{Log, Spki};
use crate::respond::sentence;

/// Why certificates can't be used.
#[derive(Debug, thiserror::Error)]
#[error("the gateway's certificates can't be used: {0}")]
pub struct TlsError(String);

/// A port of the gateway.
pub struct Port<L> {
    /// The log that is served.
    pub log: Arc<L>,
    /// Mutual TLS, or plain HTTP.
    pub tls: Option<TlsAcceptor>,
    /// The limits on callers.
    pub limits: Limits,
    /// Turns true when the gateway stops.
    pub stop: watch::Receiver<bool>,
    /// Held by every connection: when all are dropped, nothing is in work any more.
    pub working: mpsc::Sender<Infallible>,
}

/// The state that the ports of a gateway share with their connections.
struct Door<L> {
    port: Port<L>,
    room: Arc<Semaphore>,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
    per_address_max: usize,
}

/// The share that one address may have of all places of a listener.
const SHARE: usize = 4;

/// Takes connections until the gateway stops.
pub async fn run<L: Log>(listener: TcpListener, port: Port<L>) {
    let room = Arc::new(Semaphore::new(port.limits.connections_max));
    let mut stop = port.stop.clone();
    let limits = &port.limits;
    let per_address_max = limits.connections_per_address_max.min((limits.connections_max / SHARE).max(1));
    let door = Arc::new(Door { port, room, by_address: Arc::default(), per_address_max });
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => admit(&door, stream, from),
            Err(error) => {
                // Out of file descriptors, or the caller was gone before it was accepted. Neither ends the port.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

fn admit<L: Log>(door: &Arc<Door<L>>, stream: TcpStream, from: SocketAddr) {
    let Ok(room) = Arc::clone(&door.room).try_acquire_owned() else {
        return;
    };
    let Some(place) = Place::take(&door.by_address, caller_of(from.ip()), door.per_address_max) else {
        return;
    };
    let door = Arc::clone(door);
    tokio::spawn(async move {
        let _held = (room, place, door.port.working.clone());
        serve(&door.port, stream).await;
    });
}

/// An address as far as it tells one caller from another.
fn caller_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

/// A connection's place among those of its address; given back on drop.
struct Place {
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Place {
    fn take(by_address: &Arc<Mutex<HashMap<IpAddr, usize>>>, address: IpAddr, max: usize) -> Option<Self> {
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

async fn serve<L: Log>(port: &Port<L>, stream: TcpStream) {
    let _nagle_stays = stream.set_nodelay(true);
    let Some(tls) = &port.tls else {
        return converse(port, stream, Via::Plain).await;
    };
    let handshake = timeout(Duration::from_millis(port.limits.handshake_timeout_ms), tls.accept(stream));
    let Ok(Ok(stream)) = handshake.await else {
        return;
    };
    let certificate = stream.get_ref().1.peer_certificates();
    if let Some(caller) = certificate.and_then(<[_]>::first).and_then(|own| spki_sha256(own)) {
        converse(port, stream, Via::Certificate(caller)).await;
    }
}

async fn converse<L: Log>(port: &Port<L>, stream: impl AsyncRead + AsyncWrite + Unpin + Send, via: Via) {
    let limits = &port.limits;
    let log = Arc::clone(&port.log);
    let service = service_fn(move |request: Request<Incoming>| {
        let log = Arc::clone(&log);
        async move { Ok::<Response<Body>, Infallible>(respond(&*log, &request, via).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.header_timeout_ms))
        .max_buf_size(limits.header_bytes_max)
        .max_headers(limits.headers_max)
        .serve_connection(TokioIo::new(StrictLines::new(stream)), service);
    let mut connection = std::pin::pin!(connection);
    let mut stop = port.stop.clone();
    let lifetime = tokio::time::sleep(Duration::from_millis(limits.connection_ms_max));
    tokio::select! {
        // What goes wrong on a connection is its caller's affair.
        _ended = connection.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => {}
        () = lifetime => {}
    }
    connection.as_mut().graceful_shutdown();
    let grace = Duration::from_millis(limits.shutdown_grace_ms);
    let _ended = timeout(grace, connection).await;
}

/// Tells whether a request names one host, as HTTP/1.1 asks of every request (RFC 9112 §3.2). A proxy and a server that
/// differ on it can be played off against each other.
fn names_one_host(request: &Request<Incoming>) -> bool {
    request.headers().get_all(header::HOST).iter().count() == 1
}

/// A target such as `http://host/checkpoint` or `*` has no path of ours in front, and a question mark says nothing here.
async fn respond(log: &impl Log, request: &Request<Incoming>, via: Via) -> Response<Body> {
    if !names_one_host(request) {
        return sentence(StatusCode::BAD_REQUEST, "a request has one Host header (RFC 9112, section 3.2)");
    }
    answer(log, request.method(), request.uri().path(), request.headers(), via).await
}

/// The SPKI hash of a certificate (DER); `None` when it isn't a certificate.
fn spki_sha256(certificate: &[u8]) -> Option<Spki> {
    let (rest, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    rest.is_empty().then(|| sha256(&[parsed.public_key().raw]).to_bytes())
}

/// The listener's side of mutual TLS 1.3.
///
/// # Errors
/// When a file can't be read, or certificate and key don't go together.
pub fn acceptor(files: &TlsConfig) -> Result<TlsAcceptor, TlsError> {
    let wrong = |error: &dyn std::fmt::Display| TlsError(error.to_string());
    let in_file = |path: &std::path::Path, why: &dyn std::fmt::Display| TlsError(format!("{}: {why}", path.display()));
    let certificates = |path: &std::path::Path| -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            Ok(_) => Err(in_file(path, &"no certificate in it")),
            Err(error) => Err(in_file(path, &error)),
        }
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.ca)? {
        roots.add(certificate).map_err(|error| in_file(&files.ca, &error))?;
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| in_file(&files.key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let callers = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| wrong(&error))?
        .with_client_cert_verifier(callers.build().map_err(|error| wrong(&error))?)
        .with_single_cert(certificates(&files.cert)?, key)
        .map_err(|error| wrong(&error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Every connection shows its certificate anew: no resumption.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
#[path = "listen_tests.rs"]
mod tests;
