//! The two processes: configuration, ports, and a stop that lets requests finish.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sillage_client::ClientError;
use sillage_web::listen;
use sillage_web::process::{self, ProcessError};
use sillage_web::tls::TlsError;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{ConfigError, Limits, LoginConfig, PortalConfig, TlsConfig};
use crate::handlers::{self, Portal};
use crate::login::{self, Login};
use crate::web::{OnPort, Site};

/// Why a process doesn't serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file that the configuration names.
    #[error(transparent)]
    Client(#[from] ClientError),
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
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// Runs the page process of `config_file` until it is told to stop.
///
/// # Errors
/// When it can't start.
pub fn pages(config_file: &Path) -> Result<(), ServeError> {
    let config = PortalConfig::load(config_file)?;
    let portal = Arc::new(Portal::new(config.clone())?);
    run(async move {
        let mut ports = Ports::new(&config.limits);
        ports.open(config.listen, config.tls.as_ref(), handlers::Browsers(portal)).await?;
        ports.until_told().await
    })
}

/// Runs the login process of `config_file` until it is told to stop.
///
/// # Errors
/// When it can't start.
pub fn logins(config_file: &Path) -> Result<(), ServeError> {
    let config = LoginConfig::load(config_file)?;
    let login = Arc::new(Login::new(config.clone())?);
    run(async move {
        let mut ports = Ports::new(&config.limits);
        ports.open(config.listen, config.tls.as_ref(), login::Browsers(Arc::clone(&login))).await?;
        ports.open(config.back.listen, config.back.tls.as_ref(), login::Pages(login)).await?;
        ports.until_told().await
    })
}

fn run(serve: impl Future<Output = Result<(), ServeError>>) -> Result<(), ServeError> {
    let runtime = process::start("portal")?;
    let served = runtime.block_on(serve);
    // Connections that outlived the grace end here. What was signed is in the outbox.
    runtime.shutdown_timeout(Duration::from_millis(200));
    served
}

/// The ports of one process.
struct Ports {
    limits: Limits,
    stop: watch::Sender<bool>,
    open: JoinSet<()>,
}

impl Ports {
    fn new(limits: &Limits) -> Self {
        Self { limits: limits.clone(), stop: watch::channel(false).0, open: JoinSet::new() }
    }

    async fn open<S: Site>(&mut self, address: SocketAddr, tls: Option<&TlsConfig>, site: S) -> Result<(), ServeError> {
        let acceptor = tls.map(TlsConfig::acceptor).transpose()?;
        let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
        let body_timeout = Duration::from_millis(self.limits.body_timeout_ms);
        let handler = OnPort { site: Arc::new(site), body_timeout, is_tls: tls.is_some() };
        let (bounds, stop) = (self.limits.bounds(), self.stop.subscribe());
        self.open.spawn(listen::run(listener, Arc::new(handler), acceptor, bounds, stop));
        tracing::info!(listen = %address, tls = tls.is_some(), "serving");
        Ok(())
    }

    async fn until_told(mut self) -> Result<(), ServeError> {
        process::stop_signal()?.await;
        tracing::info!("stopping");
        let _nobody_listens = self.stop.send(true);
        let all_closed = async { while self.open.join_next().await.is_some() {} };
        let _grace = tokio::time::timeout(Duration::from_millis(self.limits.shutdown_grace_ms), all_closed).await;
        Ok(())
    }
}
