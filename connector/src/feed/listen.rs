//! Connections of a feed: over mutual TLS, or plain on loopback; bounded in number, for each address too.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sillage_web::accept::{Room, accept};
use sillage_web::tls::{Spki, caller_of};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// A feed's port.
pub struct Port {
    /// Mutual TLS; none on loopback.
    pub tls: Option<TlsAcceptor>,
    /// Names of senders by the SHA-256 of their certificate's public key. Where it is empty, every certificate that the
    /// authority has signed may send, and is named by the hash.
    pub senders: BTreeMap<Spki, String>,
    /// The number of its connections.
    pub room: Room,
    /// A handshake that takes longer is dropped, milliseconds.
    pub handshake_ms: u64,
    /// Turns true when the connector stops.
    pub stop: watch::Receiver<bool>,
}

/// Serves connections until the connector stops, and ends when all of them have: `converse` gets each with the name of its sender.
pub async fn run<F, Fut>(listener: TcpListener, port: Port, converse: F)
where
    F: Fn(Box<dyn AnyStream>, String) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (room, stop) = (port.room, port.stop.clone());
    let port = Arc::new(port);
    accept(listener, room, stop, move |stream, from| {
        let (port, converse) = (Arc::clone(&port), converse.clone());
        async move {
            if let Some((stream, sender)) = admit(&port, stream, from).await {
                converse(stream, sender).await;
            }
        }
    })
    .await;
}

/// A connection of any kind.
pub trait AnyStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> AnyStream for S {}

/// The encrypted stream, and the name of its sender.
async fn admit(port: &Port, stream: TcpStream, from: SocketAddr) -> Option<(Box<dyn AnyStream>, String)> {
    let Some(tls) = &port.tls else {
        return Some((Box::new(stream), "loopback".to_owned()));
    };
    let stream = match timeout(Duration::from_millis(port.handshake_ms), tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::warn!(%from, %error, "a sender's TLS handshake failed");
            return None;
        }
        Err(_) => return None,
    };
    let hash = caller_of(&stream)?;
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
