//! Connections: plain HTTP/1.1 on loopback, or TLS, each bounded in number, headers and time.
//!
//! Callers are told apart by their address: an IPv6 network of 64 bits counts as one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::answer::{self, Answer};
use super::{Asked, Unreadable};
use crate::config::{Limits, TlsConfig};

/// Bytes and number of the headers of a request: a session's cookies are up to 12 kB.
const HEADER_BYTES_MAX: usize = 32 << 10;
const HEADERS_MAX: usize = 64;
/// The share that one address may have of all places of a listener.
const SHARE: usize = 4;

/// What answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one; never fails.
    fn answer(&self, asked: Asked) -> impl Future<Output = Answer> + Send;
}

/// Why certificates can't be used.
#[derive(Debug, thiserror::Error)]
#[error("the certificates can't be used: {0}")]
pub struct TlsError(String);

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
        return converse(door, stream).await;
    };
    let handshake = timeout(Duration::from_millis(door.limits.handshake_timeout_ms), tls.accept(stream));
    if let Ok(Ok(stream)) = handshake.await {
        converse(door, stream).await;
    }
}

async fn converse<H: Handler>(door: &Arc<Door<H>>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let limits = &door.limits;
    let (handler, body_ms, is_tls) = (Arc::clone(&door.handler), limits.body_timeout_ms, door.tls.is_some());
    let service = service_fn(move |request: Request<Incoming>| {
        let handler = Arc::clone(&handler);
        async move {
            let mut answer = respond(&*handler, request, Duration::from_millis(body_ms)).await;
            if is_tls {
                answer::add(&mut answer, header::STRICT_TRANSPORT_SECURITY, "max-age=63072000");
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.header_timeout_ms))
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut stop = door.stop.clone();
    tokio::select! {
        // A fault on a connection is its caller's affair.
        _ended = connection.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => {}
        () = tokio::time::sleep(Duration::from_millis(limits.connection_ms_max)) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ended = timeout(Duration::from_millis(limits.shutdown_grace_ms), connection).await;
}

/// A request of HTTP/1.1 has one host (RFC 9112 §3.2): a proxy and a server that differ on it can be played off against each
/// other.
async fn respond<H: Handler>(handler: &H, request: Request<Incoming>, body_time: Duration) -> Answer {
    if request.headers().get_all(header::HOST).iter().count() != 1 {
        return answer::text(StatusCode::BAD_REQUEST, "a request has one Host header (RFC 9112, section 3.2)");
    }
    match timeout(body_time, Asked::read(request)).await {
        Ok(Ok(asked)) => handler.answer(asked).await,
        Ok(Err(error @ Unreadable::TooLarge)) => answer::text(StatusCode::PAYLOAD_TOO_LARGE, &error.to_string()),
        Ok(Err(error @ Unreadable::Malformed)) => answer::text(StatusCode::BAD_REQUEST, &error.to_string()),
        Err(_) => answer::text(StatusCode::REQUEST_TIMEOUT, "the body didn't come in time"),
    }
}

/// Our side of TLS 1.2 and 1.3. With `client_ca`, a caller shows a certificate of it.
///
/// # Errors
/// When a file can't be read, or certificate and key don't go together.
pub fn acceptor(files: &TlsConfig) -> Result<TlsAcceptor, TlsError> {
    let wrong = |error: &dyn std::fmt::Display| TlsError(error.to_string());
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| TlsError(format!("{}: {error}", files.key.display())))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let callers = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), provider);
            builder.with_client_cert_verifier(callers.build().map_err(|error| wrong(&error))?)
        }
    };
    let mut config = builder.with_single_cert(certificates(&files.cert)?, key).map_err(|error| wrong(&error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The certificates in a file.
///
/// # Errors
/// When there is none, or one can't be read.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let in_file = |why: &dyn std::fmt::Display| TlsError(format!("{}: {why}", path.display()));
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(in_file(&"no certificate in it")),
        Err(error) => Err(in_file(&error)),
    }
}

/// The certificates in a file, as those that sign others.
///
/// # Errors
/// As for [`certificates`].
pub fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| TlsError(format!("{}: {error}", path.display())))?;
    }
    Ok(roots)
}
