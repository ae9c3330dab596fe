//! A running connector: configuration, doors, and a stop that lets requests finish.

use std::path::Path;
use std::time::Duration;

use sillage_web::config::ConfigError;
use sillage_web::process::{self, ProcessError};
use tokio::sync::watch;

use crate::config::Config;
use crate::connector::{Base, Connector, ConnectorError};
use crate::doors::{self, DoorError};

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
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// Runs the connector of `config_file` until it is told to stop.
///
/// # Errors
/// When it can't start.
pub fn run(config_file: &Path) -> Result<(), ServeError> {
    let config = Config::load(config_file)?;
    let runtime = process::start("connector")?;
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
    let told = process::stop_signal()?;
    let mut open = doors::open(&connector, &keys, quarantine, stopped).await?;
    tracing::info!(doors = ?open.names(), "serving");
    told.await;
    tracing::info!("stopping");
    let _nobody_listens = stop.send(true);
    let _grace = tokio::time::timeout(grace, open.closed()).await;
    Ok(())
}
