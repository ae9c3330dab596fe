//! Requests on the gateway's ports: plain HTTP/1.1, or over mutual TLS.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use sillage_web::listen::{Handler, Peer};
use sillage_web::tls::{CallerCertificate, Tls, TlsError, Versions};
use tokio_rustls::TlsAcceptor;

use crate::answer::{Via, answer};
use crate::config::TlsConfig;
use crate::log::Log;
use crate::respond::sentence;

/// The public answers of a log.
pub struct Edge<L> {
    /// The log that is served.
    pub log: Arc<L>,
}

impl<L: Log> Handler for Edge<L> {
    /// A target such as `http://host/checkpoint` or `*` has no path of ours in front, and a question mark says nothing here.
    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let via = peer.certificate.map_or(Via::Plain, Via::Certificate);
        answer(&*self.log, request.method(), request.uri().path(), request.headers(), via).await
    }

    fn refuse(&self, why: &'static str) -> Response<Body> {
        sentence(StatusCode::BAD_REQUEST, why)
    }
}

/// The listener's side of mutual TLS 1.3.
///
/// # Errors
/// When a file can't be read, or certificate and key don't go together.
pub fn acceptor(files: &TlsConfig) -> Result<TlsAcceptor, TlsError> {
    let tls = Tls {
        cert: &files.cert,
        key: &files.key,
        callers: CallerCertificate::Required(files.ca.clone()),
        versions: Versions::Tls13,
        protocols: &["http/1.1"],
    };
    tls.acceptor()
}

#[cfg(test)]
#[path = "listen_tests.rs"]
mod tests;
