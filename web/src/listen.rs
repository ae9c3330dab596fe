//! HTTP on a port: plain, or over TLS; HTTP/1.1, and HTTP/2 where TLS has agreed on it. Each connection is bounded in headers and time.
//!
//! A server implements [`Handler`], makes [`Bounds`] of its configuration, and calls [`run`] for each of its ports:
//!
//! ```no_run
//! # use std::sync::Arc;
//! use axum::body::Body;
//! use axum::http::{Request, Response};
//! use hyper::body::Incoming;
//! use sillage_web::listen::{Bounds, Handler, Peer, run};
//!
//! struct Hello;
//!
//! impl Handler for Hello {
//!     async fn answer(&self, _: Request<Incoming>, _: Peer) -> Response<Body> {
//!         Response::new(Body::from("hello"))
//!     }
//!
//!     fn refuse(&self, why: &'static str) -> Response<Body> {
//!         Response::builder().status(400).body(Body::from(why)).expect("a status and a text")
//!     }
//! }
//!
//! # async fn serve(stopped: tokio::sync::watch::Receiver<bool>) -> std::io::Result<()> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! run(listener, Arc::new(Hello), None, Bounds::default(), stopped).await;
//! # Ok(())
//! # }
//! ```

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, Version, header};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::accept::{Room, accept};
use crate::lines::StrictLines;
use crate::tls::{Spki, caller_of};

/// Requests of one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 64;

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address: that of a proxy, where one stands in front.
    pub address: IpAddr,
    /// SHA-256 of the public key of its certificate, which TLS has verified; none where it showed none.
    pub certificate: Option<Spki>,
}

/// The server's answers.
pub trait Handler: Send + Sync + 'static {
    /// Answers a request; never fails.
    fn answer(&self, request: Request<Incoming>, peer: Peer) -> impl Future<Output = Response<Body>> + Send;

    /// Answers a request that isn't one: status 400, and the reason in the server's own form.
    fn refuse(&self, why: &'static str) -> Response<Body>;
}

/// Bounds on a port. Times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most connections, handshakes included. One more is closed at once.
    pub connections_max: usize,
    /// Most connections from one address; never more than a quarter of all.
    pub connections_per_address_max: usize,
    /// A TLS handshake that takes longer is dropped.
    pub handshake_timeout_ms: u64,
    /// The headers of a request, or the next request of a connection, come within this.
    pub header_timeout_ms: u64,
    /// Most bytes of a request's first line and headers; at least 8,192.
    pub header_bytes_max: usize,
    /// Most headers of a request.
    pub headers_max: usize,
    /// No connection lasts longer: a slow reader is let go too.
    pub connection_ms_max: u64,
    /// A connection that has to end may finish its requests within this.
    pub shutdown_grace_ms: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            connections_per_address_max: 256,
            handshake_timeout_ms: 5_000,
            header_timeout_ms: 15_000,
            header_bytes_max: 16 << 10,
            headers_max: 64,
            connection_ms_max: 300_000,
            shutdown_grace_ms: 3_000,
        }
    }
}

/// Serves connections until `stop` turns true, and returns when those that were open have ended.
pub async fn run<H: Handler>(
    listener: TcpListener,
    handler: Arc<H>,
    tls: Option<TlsAcceptor>,
    bounds: Bounds,
    stop: watch::Receiver<bool>,
) {
    let room = Room::new(bounds.connections_max, bounds.connections_per_address_max);
    let port = Arc::new(Port { handler, tls, bounds, stop: stop.clone() });
    accept(listener, room, stop, move |stream, from| {
        let port = Arc::clone(&port);
        async move { serve(&port, stream, from).await }
    })
    .await;
}

/// The parts of a port that its connections share.
struct Port<H> {
    handler: Arc<H>,
    tls: Option<TlsAcceptor>,
    bounds: Bounds,
    stop: watch::Receiver<bool>,
}

async fn serve<H: Handler>(port: &Port<H>, stream: TcpStream, from: SocketAddr) {
    let address = from.ip().to_canonical();
    let Some(tls) = &port.tls else {
        return converse(port, stream, Peer { address, certificate: None }, false).await;
    };
    let handshake = timeout(Duration::from_millis(port.bounds.handshake_timeout_ms), tls.accept(stream));
    let Ok(Ok(stream)) = handshake.await else {
        return;
    };
    let certificate = caller_of(&stream);
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    converse(port, stream, Peer { address, certificate }, is_http2).await;
}

async fn converse<H: Handler>(
    port: &Port<H>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    is_http2: bool,
) {
    let bounds = &port.bounds;
    let handler = Arc::clone(&port.handler);
    let service = service_fn(move |request: Request<Incoming>| {
        let handler = Arc::clone(&handler);
        async move { Ok::<_, Infallible>(respond(&*handler, request, peer).await) }
    });
    let mut stop = port.stop.clone();
    let header_timeout = Duration::from_millis(bounds.header_timeout_ms);
    let lifetime = Duration::from_millis(bounds.connection_ms_max);
    let grace = Duration::from_millis(bounds.shutdown_grace_ms);
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
            .max_header_list_size(u32::try_from(bounds.header_bytes_max).unwrap_or(u32::MAX))
            .keep_alive_interval(header_timeout)
            .keep_alive_timeout(header_timeout);
        until_the_end!(builder.serve_connection(TokioIo::new(stream), service));
    } else {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_buf_size(bounds.header_bytes_max)
            .max_headers(bounds.headers_max);
        until_the_end!(builder.serve_connection(TokioIo::new(StrictLines::new(stream)), service));
    }
}

/// A request of HTTP/1.1 has one host (RFC 9112 §3.2): a proxy and a server that differ on it can be played off against each other.
async fn respond<H: Handler>(handler: &H, request: Request<Incoming>, peer: Peer) -> Response<Body> {
    let is_http2 = request.version() == Version::HTTP_2;
    if !is_http2 && request.headers().get_all(header::HOST).iter().count() != 1 {
        return handler.refuse("a request has one Host header (RFC 9112, section 3.2)");
    }
    handler.answer(request, peer).await
}

#[cfg(test)]
#[path = "listen_tests.rs"]
mod tests;
