//! A running gateway: configuration, ports, and a stop that lets requests finish.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sillage_client::ClientError;
use sillage_client::process::{keep_memory_out_of_swap, keep_memory_private};
use sillage_client::profile::Profile;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, GatewayConfig};
use crate::listen::{self, Port, TlsError};
use crate::log::Nodes;
use crate::parent;

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
    #[error(transparent)]
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
    #[error("{what}: {source}")]
    System {
        /// The attempt.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> ServeError {
    move |source| ServeError::System { what, source }
}

/// Runs the gateway of `config_file` until it is told to stop.
///
/// # Errors
/// When it can't start.
pub fn run(config_file: &Path) -> Result<(), ServeError> {
    let config = GatewayConfig::load(config_file)?;
    let filter = EnvFilter::try_from_env("SILLAGE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // A second start in one process keeps the first subscriber.
    let _already = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    keep_memory_private().map_err(system("can't keep the keys in memory private"))?;
    if let Some(what_to_do) = keep_memory_out_of_swap() {
        tracing::warn!("{what_to_do}");
    }
    parent::die_with_parent().map_err(system("can't follow the parent process"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("gateway").build();
    let runtime = runtime.map_err(system("can't start the network threads"))?;
    let served = runtime.block_on(serve(config));
    // Connections that outlived the grace end here.
    runtime.shutdown_timeout(Duration::from_millis(100));
    served
}

async fn serve(config: GatewayConfig) -> Result<(), ServeError> {
    let limits = &config.limits;
    let log = Arc::new(Nodes::new(Profile::load(&config.profile)?, limits));
    let (stop, stopped) = watch::channel(false);
    let (held, mut working) = mpsc::channel(1);
    let port =
        |tls| Port { log: Arc::clone(&log), tls, limits: limits.clone(), stop: stopped.clone(), working: held.clone() };
    let mut ports = vec![(bind(config.listen).await?, port(None))];
    if let Some(tls) = &config.tls {
        ports.push((bind(tls.listen).await?, port(Some(listen::acceptor(tls)?))));
    }
    let told = stop_signal()?;
    for (listener, port) in ports {
        tokio::spawn(listen::run(listener, port));
    }
    drop(held);
    let tls = config.tls.as_ref().map(|tls| tls.listen);
    tracing::info!(listen = %config.listen, ?tls, "serving");
    told.await;
    tracing::info!("stopping");
    let _nobody_listens = stop.send(true);
    // Ends when the last connection is gone.
    let _grace = tokio::time::timeout(Duration::from_millis(limits.shutdown_grace_ms), working.recv()).await;
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}

/// Ends at the first SIGTERM or SIGINT.
fn stop_signal() -> Result<impl Future<Output = ()>, ServeError> {
    let wrong = system("can't listen for signals");
    let signals = signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
    let (mut term, mut interrupt) = signals.map_err(wrong)?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
