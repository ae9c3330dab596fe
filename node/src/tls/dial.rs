//! The way to another node: a lazily connected gRPC channel over mutual TLS.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use super::TlsError;

/// Connects, proves who it is, checks who answers.
#[derive(Clone)]
struct Connector {
    address: Arc<str>,
    name: ServerName<'static>,
    tls: TlsConnector,
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let stream = TcpStream::connect(&*this.address).await?;
            stream.set_nodelay(true)?;
            let stream = this.tls.connect(this.name, stream).await?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// A channel to `address` (`host:port`), whose certificate must carry `server_name`. Connects when first used, and
/// again after a loss; a connection that stays silent is given up after about ten seconds.
///
/// # Errors
/// When the address or the name isn't one.
pub fn channel(address: &str, server_name: &str, tls: Arc<ClientConfig>) -> Result<Channel, TlsError> {
    let wrong = || TlsError::Address { address: address.to_owned() };
    let connector = Connector {
        address: address.into(),
        name: ServerName::try_from(server_name.to_owned()).map_err(|_| wrong())?,
        tls: TlsConnector::from(tls),
    };
    // The scheme is tonic's: `https` would ask for its own TLS, below which ours is.
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_| wrong())?
        .connect_timeout(Duration::from_secs(3))
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(16 << 20)
        .tcp_nodelay(true);
    Ok(endpoint.connect_with_connector_lazy(connector))
}
