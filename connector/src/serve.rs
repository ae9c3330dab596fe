//! A running connector: configuration, doors, and a stop that lets requests finish.

use std::path::Path;
use std::time::Duration;

use sillage_client::process::{keep_memory_out_of_swap, keep_memory_private};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::config::{Config, ConfigError};
use crate::connector::{Base, Connector, ConnectorError};
use crate::doors::{self, DoorError};
use crate::parent;

/// Why a connector doesn't serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its parts.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// A door.
    #[error(transparent)]
    Door(#[from] DoorError),
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

/// Runs the connector of `config_file` until it is told to stop.
///
/// # Errors
/// When it can't start.
pub fn run(config_file: &Path) -> Result<(), ServeError> {
    let config = Config::load(config_file)?;
    let filter = EnvFilter::try_from_env("SILLAGE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // A second start in one process keeps the first subscriber.
    let _already = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    keep_memory_private().map_err(system("can't keep the keys in memory private"))?;
    if let Some(what_to_do) = keep_memory_out_of_swap() {
        tracing::warn!("{what_to_do}");
    }
    parent::die_with_parent().map_err(system("can't follow the parent process"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("connector").build();
    let runtime = runtime.map_err(system("can't start the network threads"))?;
    let served = runtime.block_on(serve(config));
    // What was taken is durable: whatever is cut short here goes on at the next start.
    runtime.shutdown_timeout(Duration::from_millis(200));
    served
}

async fn serve(config: Config) -> Result<(), ServeError> {
    let base = Base::load(&config)?;
    let quarantine = doors::quarantine(&config, &base.key).map_err(DoorError::from)?;
    let grace = Duration::from_millis(config.limits.shutdown_grace_ms);
    let keys = doors::Keys::of(&base.key);
    let connector = Connector::begin(config, base, quarantine.clone())?;
    let (stop, stopped) = watch::channel(false);
    let told = stop_signal()?;
    let mut open = doors::open(&connector, &keys, quarantine, stopped).await?;
    tracing::info!(doors = ?open.names(), "serving");
    told.await;
    tracing::info!("stopping");
    let _nobody_listens = stop.send(true);
    let _grace = tokio::time::timeout(grace, open.closed()).await;
    Ok(())
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
