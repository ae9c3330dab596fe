//! Connections: plain HTTP/1.1 on loopback, or TLS with HTTP/1.1 and HTTP/2, each bounded in number, headers and time.
//!
//! Who connects is told by the address: an IPv6 network of 64 bits counts as one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
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

use super::answer::Answer;
use super::auth::Peer;
use super::format::Format;
use crate::config::{Limits, TlsConfig};

/// Bytes and number of the headers of a request.
const HEADER_BYTES_MAX: usize = 32 * 1_024;
const HEADERS_MAX: usize = 64;
/// Requests of one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 64;
/// The share that one address may have of all places of the door.
const SHARE: usize = 4;

/// What answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one; never fails.
    fn answer(&self, request: Request<Incoming>, peer: Peer) -> impl Future<Output = Response<Full<Bytes>>> + Send;
}

/// Why certificates can't be used.
#[derive(Debug, thiserror::Error)]
#[error("the certificates of the FHIR door can't be used: {0}")]
pub struct TlsError(String);

/// A port, and what its connections share.
struct Door<H> {
    handler: Arc<H>,
    tls: Option<TlsAcceptor>,
    limits: Limits,
    stop: watch::Receiver<bool>,
    /// Held by every connection: when all are dropped, nothing is in work any more.
    working: mpsc::Sender<Infallible>,
    room: Arc<Semaphore>,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// Takes connections until `stop` turns true, and returns when those that were open have ended.
pub async fn run<H: Handler>(
    listener: TcpListener,
    handler: Arc<H>,
    tls: Option<TlsAcceptor>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let (working, mut ended) = mpsc::channel(1);
    let room = Arc::new(Semaphore::new(limits.connections_max));
    let door = Arc::new(Door { handler, tls, limits, stop: stop.clone(), working, room, by_address: Arc::default() });
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
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
    drop((listener, door));
    let _all_ended = ended.recv().await;
}

fn admit<H: Handler>(door: &Arc<Door<H>>, stream: TcpStream, from: SocketAddr) {
    let Ok(room) = Arc::clone(&door.room).try_acquire_owned() else {
        return;
    };
    let limits = &door.limits;
    let max = limits.connections_per_address_max.min((limits.connections_max / SHARE).max(1));
    let Some(place) = Place::take(&door.by_address, caller_of(from.ip()), max) else {
        return;
    };
    let door = Arc::clone(door);
    tokio::spawn(async move {
        let _held = (room, place, door.working.clone());
        serve(&door, stream).await;
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

async fn serve<H: Handler>(door: &Arc<Door<H>>, stream: TcpStream) {
    let _nagle_stays = stream.set_nodelay(true);
    let Some(tls) = &door.tls else {
        return converse(door, stream, Peer { certificate: None }, false).await;
    };
    let handshake = timeout(Duration::from_millis(door.limits.handshake_timeout_ms), tls.accept(stream));
    let Ok(Ok(stream)) = handshake.await else {
        return;
    };
    let connection = stream.get_ref().1;
    let certificate = connection.peer_certificates().and_then(<[_]>::first).and_then(|own| spki_sha256(own));
    let is_http2 = connection.alpn_protocol() == Some(b"h2");
    converse(door, stream, Peer { certificate }, is_http2).await;
}

async fn converse<H: Handler>(
    door: &Arc<Door<H>>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    is_http2: bool,
) {
    let limits = &door.limits;
    let handler = Arc::clone(&door.handler);
    let service = service_fn(move |request: Request<Incoming>| {
        let handler = Arc::clone(&handler);
        async move { Ok::<_, Infallible>(respond(&*handler, request, peer).await) }
    });
    let mut stop = door.stop.clone();
    let lifetime = Duration::from_millis(limits.connection_ms_max);
    let grace = Duration::from_millis(limits.shutdown_grace_ms);
    // The two kinds of connection are two types with the same three steps.
    macro_rules! until_the_end {
        ($connection:expr) => {{
            let mut connection = std::pin::pin!($connection);
            tokio::select! {
                // A fault on a connection is its caller's affair.
                _ended = connection.as_mut() => return,
                _ = stop.wait_for(|stop| *stop) => {}
                () = tokio::time::sleep(lifetime) => {}
            }
            connection.as_mut().graceful_shutdown();
            let _ended = timeout(grace, connection).await;
        }};
    }
    if is_http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX))
            .keep_alive_interval(Duration::from_millis(limits.header_timeout_ms))
            .keep_alive_timeout(Duration::from_millis(limits.header_timeout_ms));
        until_the_end!(builder.serve_connection(TokioIo::new(stream), service));
    } else {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(limits.header_timeout_ms))
            .max_buf_size(HEADER_BYTES_MAX)
            .max_headers(HEADERS_MAX);
        until_the_end!(builder.serve_connection(TokioIo::new(stream), service));
    }
}

/// A request of HTTP/1.1 has one host (RFC 9112 §3.2): a proxy and a server that differ on it can be played off against each
/// other.
async fn respond<H: Handler>(handler: &H, request: Request<Incoming>, peer: Peer) -> Response<Full<Bytes>> {
    let is_http2 = request.version() == axum::http::Version::HTTP_2;
    if !is_http2 && request.headers().get_all(header::HOST).iter().count() != 1 {
        let mut answer = Answer::bad("structure", "a request has one Host header (RFC 9112, section 3.2)");
        answer.status = StatusCode::BAD_REQUEST;
        return answer.write(Format::Json, false, false);
    }
    handler.answer(request, peer).await
}

/// The SPKI hash of a certificate (DER); `None` when it isn't a certificate.
fn spki_sha256(certificate: &[u8]) -> Option<[u8; 32]> {
    let (rest, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    rest.is_empty().then(|| sha256(&[parsed.public_key().raw]).to_bytes())
}

/// The door's side of TLS 1.2 and 1.3. With `client_ca`, a client may show a certificate of it; one that shows none brings a
/// token.
///
/// # Errors
/// When a file can't be read, or certificate and key don't go together.
pub fn acceptor(files: &TlsConfig) -> Result<TlsAcceptor, TlsError> {
    let wrong = |error: &dyn std::fmt::Display| TlsError(error.to_string());
    let in_file = |path: &Path, why: &dyn std::fmt::Display| TlsError(format!("{}: {why}", path.display()));
    let certificates = |path: &Path| -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            Ok(_) => Err(in_file(path, &"no certificate in it")),
            Err(error) => Err(in_file(path, &error)),
        }
    };
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| in_file(&files.key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(ca)? {
                roots.add(certificate).map_err(|error| in_file(ca, &error))?;
            }
            let callers = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(callers.allow_unauthenticated().build().map_err(|error| wrong(&error))?)
        }
    };
    let mut config = builder.with_single_cert(certificates(&files.cert)?, key).map_err(|error| wrong(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Every connection shows its certificate anew: no resumption.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
