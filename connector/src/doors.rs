//! The doors of a connector, opened as its configuration says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use jiff::tz::TimeZone;
use sillage_web::accept::Room;
use sillage_web::tls::{CallerCertificate, Tls, Versions};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::adt;
use crate::config::{Config, FeedConfig, TlsConfig};
use crate::connector::Connector;
use crate::feed::Feed;
use crate::feed::listen as feeds;
use crate::quarantine::{Bounds, Quarantine, QuarantineError};
use crate::rest;
use crate::retry::Retry;
use crate::spool::seal::Key;
use crate::syslog;

/// A message that doesn't end as one does is taken when nothing followed for this long, milliseconds.
const SETTLE_MS: u64 = 1_000;

/// Why a door can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// Its certificates, its mapping, or what doesn't fit.
    #[error("{door}: {why}")]
    Unusable {
        /// Which door, as the configuration calls it.
        door: &'static str,
        /// Why, and the way out.
        why: String,
    },
    /// Its port.
    #[error("{address} can't be listened on ({source}): stop what uses it, or give another {door}.listen")]
    Listen {
        /// Which door.
        door: &'static str,
        /// Which address.
        address: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The quarantine.
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
}

/// Keys of what stands beside the spool.
pub struct Keys {
    /// Seals the cursors of searches.
    pub cursor: [u8; 32],
}

impl Keys {
    /// Of the connector's key.
    pub fn of(key: &Key) -> Self {
        Self { cursor: key.beside("cursor").to_bytes() }
    }
}

/// The doors that are open.
pub struct Open {
    names: Vec<&'static str>,
    tasks: JoinSet<()>,
}

impl Open {
    /// Which ones.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// Ends when all of them have let their callers go.
    pub async fn closed(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// The quarantine of a connector.
///
/// # Errors
/// When its folder can't be used.
pub fn quarantine(config: &Config, key: &Key) -> Result<Arc<Quarantine>, QuarantineError> {
    let dir = config.spool.dir.join("quarantine");
    Ok(Arc::new(Quarantine::open(&dir, key.beside("quarantine").to_bytes(), Bounds::default())?))
}

/// Opens the doors that the configuration names.
///
/// # Errors
/// The first one that can't be opened, and why.
pub async fn open(
    connector: &Connector,
    keys: &Keys,
    quarantine: Arc<Quarantine>,
    stop: watch::Receiver<bool>,
) -> Result<Open, DoorError> {
    let config = &connector.config;
    let mut open = Open { names: Vec::new(), tasks: JoinSet::new() };
    // Before anything arrives.
    quarantine.recover()?;
    let mapping = config.adt.as_ref().map(|adt| adt::Mapping::load(&adt.mapping)).transpose();
    let mapping = mapping.map_err(|error| DoorError::Unusable { door: "adt", why: error.to_string() })?;
    if config.fhir.is_some() {
        let parts = rest::Parts {
            intake: connector.intake.clone(),
            index: Arc::clone(&connector.index),
            ledger: Arc::clone(&connector.ledger),
            emergency: Arc::clone(&connector.emergency),
            adt: mapping.clone(),
            health: health(connector),
            cursor_key: keys.cursor,
            test_log: connector.test_log,
        };
        let served = rest::open(config, parts, stop.clone()).await;
        open.tasks.spawn(served.map_err(|why| DoorError::Unusable { door: "fhir", why })?);
        open.names.push("fhir");
    }
    let feed = Arc::new(Feed { take: connector.intake.clone(), quarantine });
    let settings = config.syslog.as_ref().map(settings).transpose()?.unwrap_or_default();
    let retry = Retry { feed: Arc::clone(&feed), syslog: settings.clone(), adt: mapping.clone() };
    open.tasks.spawn(retry.run(stop.clone()));
    if let Some(syslog) = &config.syslog {
        let listener = bind("syslog", syslog.listen).await?;
        let port = port("syslog", config, syslog.tls.as_ref(), &syslog.senders, stop.clone())?;
        let (resync, message_ms) = (syslog.resync, config.limits.body_timeout_ms);
        let reading = syslog::listen::Reading { resync, message_ms, settle_ms: SETTLE_MS, settings };
        open.tasks.spawn(syslog::listen::serve(listener, port, Arc::clone(&feed), reading));
        open.names.push("syslog");
    }
    let adt = config.adt.as_ref().and_then(|adt| Some((adt, adt.listen?)));
    if let Some(((adt, listen), mapping)) = adt.zip(mapping) {
        let listener = bind("adt", listen).await?;
        let port = port("adt", config, adt.tls.as_ref(), &adt.senders, stop.clone())?;
        let (message_ms, admitted) = (config.limits.body_timeout_ms, Some(connector.emergency.admitted()));
        let reading = adt::listen::Reading { mapping, message_ms, admitted };
        open.tasks.spawn(adt::listen::serve(listener, port, Arc::clone(&feed), reading));
        open.names.push("adt");
    }
    Ok(open)
}

/// What the configuration says of senders of syslog.
fn settings(syslog: &FeedConfig) -> Result<syslog::Settings, DoorError> {
    let unknown = |zone: &String| DoorError::Unusable {
        door: "syslog",
        why: format!("syslog.zone: {zone} isn't known, as Europe/Paris is"),
    };
    let zone = syslog.zone.as_ref().map(|zone| TimeZone::get(zone).map_err(|_| unknown(zone))).transpose()?;
    let (user_system, organisation) = (syslog.user_system.clone(), syslog.organisation.clone());
    Ok(syslog::Settings { user_system, organisation, zone })
}

/// How the connector is, as JSON.
fn health(connector: &Connector) -> Arc<dyn Fn() -> serde_json::Value + Send + Sync> {
    let connector = connector.clone();
    Arc::new(move || serde_json::to_value(connector.health()).unwrap_or_default())
}

async fn bind(door: &'static str, address: SocketAddr) -> Result<TcpListener, DoorError> {
    TcpListener::bind(address).await.map_err(|source| DoorError::Listen { door, address, source })
}

/// The port of a feed.
fn port(
    door: &'static str,
    config: &Config,
    tls: Option<&TlsConfig>,
    senders: &BTreeMap<String, String>,
    stop: watch::Receiver<bool>,
) -> Result<feeds::Port, DoorError> {
    let unusable = |why: String| DoorError::Unusable { door, why };
    let tls = match tls {
        None => None,
        Some(TlsConfig { cert, key, client_ca }) => {
            let missing = || unusable(format!("[{door}.tls] names no client_ca: senders show a certificate"));
            let callers = CallerCertificate::Required(client_ca.clone().ok_or_else(missing)?);
            // Senders of hospitals still speak 1.2.
            let tls = Tls { cert, key, callers, versions: Versions::Tls12AndTls13, protocols: &[] };
            Some(tls.acceptor().map_err(|error| unusable(error.to_string()))?)
        }
    };
    let mut names = BTreeMap::new();
    for (name, hash) in senders {
        let mut spki = [0; 32];
        hex::decode_to_slice(hash, &mut spki)
            .map_err(|_| unusable(format!("{door}.senders.{name} is 64 hexadecimal characters")))?;
        names.insert(spki, name.clone());
    }
    let limits = &config.limits;
    let room = Room::new(limits.connections_max, limits.connections_per_address_max);
    let handshake_ms = limits.handshake_timeout_ms;
    Ok(feeds::Port { tls, senders: names, room, handshake_ms, stop })
}
