//! A running gateway: configuration, ports, and a stop that lets requests finish.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sillage_client::ClientError;
use sillage_client::profile::Profile;
use sillage_web::config::ConfigError;
use sillage_web::listen::run as listen_on;
use sillage_web::process::{self, ProcessError};
use sillage_web::tls::TlsError;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::GatewayConfig;
use crate::listen::{Edge, acceptor};
use crate::log::Nodes;

/// Why a gateway doesn't serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The profile with which it calls the nodes.
    #[error("the gateway's profile: {0}")]
    Profile(#[from] ClientError),
    /// Its certificates.
    #[error("the gateway: {0}")]
    Tls(#[from] TlsError),
    /// A port.
    #[error("{address} can't be listened on ({source}): stop what uses it, or give another `listen`")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The process can't be set up.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// Runs the gateway of `config_file` until it is told to stop.
///
/// # Errors
/// When it can't start.
pub fn run(config_file: &Path) -> Result<(), ServeError> {
    let config = GatewayConfig::load(config_file)?;
    let runtime = process::start("gateway")?;
    let served = runtime.block_on(serve(config));
    // Connections that outlived the grace end here.
    runtime.shutdown_timeout(Duration::from_millis(100));
    served
}

async fn serve(config: GatewayConfig) -> Result<(), ServeError> {
    let limits = &config.limits;
    let log = Arc::new(Nodes::new(Profile::load(&config.profile)?, limits));
    let (stop, stopped) = watch::channel(false);
    let mut ports = vec![(bind(config.listen).await?, None)];
    if let Some(tls) = &config.tls {
        ports.push((bind(tls.listen).await?, Some(acceptor(tls)?)));
    }
    let told = process::stop_signal()?;
    let mut open = JoinSet::new();
    let edge = Arc::new(Edge { log });
    for (listener, tls) in ports {
        open.spawn(listen_on(listener, Arc::clone(&edge), tls, limits.bounds(), stopped.clone()));
    }
    let tls = config.tls.as_ref().map(|tls| tls.listen);
    tracing::info!(listen = %config.listen, ?tls, "serving");
    told.await;
    tracing::info!("stopping");
    let _nobody_listens = stop.send(true);
    let closed = async { while open.join_next().await.is_some() {} };
    let _grace = tokio::time::timeout(Duration::from_millis(limits.shutdown_grace_ms), closed).await;
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}
