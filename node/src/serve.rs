//! The start and the stop of a node.
//!
//! Start: configuration, telemetry, secrets, both listeners (so that a taken port is said before the database opens),
//! the core, then serving. Stop, on SIGTERM or SIGINT: a leader lets another node lead, no new connections, requests in work finish within a grace, the
//! core flushes and stops. A process that can't go on (a failed fsync, a state that contradicts itself) ends at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sillage_ledger::GenesisInfo;
use sillage_rules::roles::Roles;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::transport::Server;

use crate::config::{ConfigError, LimitsConfig, NodeConfig};
use crate::core::Core;
use crate::http::{self, Backend};
use crate::join::{self, JoinError};
use crate::metrics::Metrics;
use crate::place::{self, PlaceError, Said};
use crate::secrets::{Secrets, SecretsError};
use crate::tls::accept::{AcceptLimits, Incoming, accept, accept_with};
use crate::tls::reserve::Reserve;
use crate::tls::{self, TlsError};
use crate::{folder_lock, pid, service, telemetry};

/// Why a node doesn't run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Telemetry can't be started.
    #[error("{0}")]
    Telemetry(String),
    /// The genesis file can't be read.
    #[error("can't read {path}: {message}")]
    Genesis {
        /// Which.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// The folder isn't where it was.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The secrets can't be used.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// A new member can't begin.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The certificates can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A port can't be had.
    #[error("can't listen on {address} ({source}): stop what uses it, or change `{key}` in node.toml")]
    Listen {
        /// `host:port`.
        address: String,
        /// Of the configuration.
        key: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has the data folder.
    #[error("{data} is in use by another process{}: stop it first; nothing was changed", running.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Held {
        /// The data folder.
        data: PathBuf,
        /// The process, as the pid file says.
        running: Option<i32>,
    },
    /// The core doesn't start.
    #[error("the node can't start: {0}")]
    Core(String),
    /// The process can't be set up.
    #[error("{what}: {source}")]
    System {
        /// The attempt.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A port stopped.
    #[error("a port stopped serving: {0}")]
    Transport(#[from] tonic::transport::Error),
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> ServeError {
    move |source| ServeError::System { what, source }
}

/// Runs the node of `config_file` until it is told to stop. `said`: what a folder is that isn't where it was.
///
/// # Errors
/// When it can't start, or a port fails.
pub fn run(config_file: &Path, said: Said) -> Result<(), ServeError> {
    let mut config = NodeConfig::load(config_file)?;
    config.isolated = said.isolated;
    telemetry::start(&config.log).map_err(ServeError::Telemetry)?;
    pid::die_with_parent().map_err(system("can't follow the parent process"))?;
    pid::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("net")
        .build()
        .map_err(system("can't start the network threads"))?;
    let served = runtime.block_on(serve(config, said));
    // Connections that outlived the grace end here.
    runtime.shutdown_timeout(Duration::from_millis(500));
    served
}

async fn serve(config: NodeConfig, said: Said) -> Result<(), ServeError> {
    let genesis = read_genesis(&config.genesis)?;
    // Before anything is written: a second process on the same folder leaves the first one's files alone.
    let _data = hold_data(&config).await?;
    let unnoted = place::check(&config, said)?;
    let secrets = match join::has_token(&config, &genesis)? {
        true => {
            if config.isolated && !config.keyring.exists() {
                return Err(JoinError::Isolated.into());
            }
            join::fetch_keys(&config, &genesis).await?;
            Secrets::load_joining(&config, &genesis)?
        }
        false => Secrets::load(&config, &genesis)?,
    };
    say_who_signs(&genesis);
    let client_tls = tls::server_config(&secrets.identity, None)?;
    let client_port = listen(&config.listen_client, "listen_client").await?;
    // A copy that is only looked at isn't there for peers.
    let peer_port = match config.isolated {
        true => None,
        false => Some(listen(&config.listen_peer, "listen_peer").await?),
    };
    let health_port = match &config.listen_health {
        Some(address) => Some(listen(address, "listen_health").await?),
        None => None,
    };
    if let Some(port) = &health_port
        && port.local_addr().is_ok_and(|address| !address.ip().is_loopback())
    {
        let listen_health = config.listen_health.as_deref();
        tracing::warn!(listen_health, "other machines reach the port for load balancers: keep strangers off it");
    }
    // A start that failed before here changes nothing.
    if let Some(place) = unnoted {
        place.note(&config.keyring)?;
    }
    let stop = stop_signal()?;

    let metrics = Metrics::new(config.id);
    let pid_file = config.pid_file.as_deref().map(pid::PidFile::write);
    let pid_file = pid_file.transpose().map_err(system("can't write the pid file"))?;
    let core = Core::start(&config, secrets, &genesis.bytes, metrics.clone())
        .map_err(|error| ServeError::Core(error.to_string()))?;

    let stop = once_stepped_down(&core, stop);

    let limits = &config.limits;
    let through = accept_limits(limits, limits.peer_connections_max);
    let through = AcceptLimits { per_caller_max: limits.peer_connections_max, ..through };
    let mut beside = Vec::new();
    if let Some(peer_port) = peer_port {
        let incoming = accept(peer_port, core.peer_tls()?, through, "peer", metrics.clone());
        let peers = peer_server(limits).add_routes(service::peer_routes(Arc::clone(&core)));
        let peers = peers.serve_with_incoming_shutdown(incoming, stopped(stop.clone()));
        beside.push(tokio::spawn(async move { drop(peers.await) }));
    }
    if let Some(port) = health_port {
        let backend = Arc::clone(&core) as Arc<dyn Backend>;
        beside.push(tokio::spawn(http::serve_health(port, backend, stopped(stop.clone()))));
    }

    let through = accept_limits(limits, limits.connections_max);
    let reserve = Reserve::new(limits.monitoring_connections, core.alarms().clone());
    let incoming = accept_with(client_port, client_tls, through, Some(reserve), "client", metrics.clone());
    tracing::info!(
        node = config.id,
        client = %config.listen_client,
        peer = %config.listen_peer,
        origin = genesis.origin.as_str(),
        "serving"
    );
    let clients = serve_clients(limits, Arc::clone(&core), metrics, incoming, stop.clone());
    let grace = Duration::from_millis(limits.shutdown_grace_ms);
    let served = with_grace(clients, stop.clone(), grace).await;
    tracing::info!(node = config.id, "stopping");
    // The peers are let go last: until here they had a part in what was finishing.
    beside.iter().for_each(tokio::task::JoinHandle::abort);
    core.shutdown().await;
    drop(pid_file);
    tracing::info!(node = config.id, "stopped");
    served
}

/// Says at the start how many authorities the log began with, and how many of them sign.
fn say_who_signs(genesis: &GenesisInfo) {
    let founders = genesis.parties.iter().filter(|party| party.roles.contains(Roles::AUTHORITY)).count();
    match &genesis.rule {
        Some(rule) => {
            let (needed, of) = (rule.needed, rule.authorities.len());
            tracing::info!(
                founders,
                needed,
                of,
                "the log began with a rule: so many authorities sign what touches many"
            );
        }
        None => tracing::warn!(
            founders,
            "the log began without a rule: one authority's key alone does everything, until `sillage authority rule` says otherwise"
        ),
    }
}

/// Turns true once the node was told to stop and another one leads, or none takes over.
fn once_stepped_down(core: &Arc<Core>, asked: watch::Receiver<bool>) -> watch::Receiver<bool> {
    let (sender, stop) = watch::channel(false);
    let core = Arc::clone(core);
    tokio::spawn(async move {
        stopped(asked).await;
        core.step_down().await;
        let _ = sender.send(true);
    });
    stop
}

/// Both gRPC and the pages, on the client port.
async fn serve_clients(
    limits: &LimitsConfig,
    core: Arc<Core>,
    metrics: Metrics,
    incoming: Incoming,
    stop: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    let pages = http::routes(Arc::clone(&core) as Arc<dyn Backend>, metrics);
    let router = service::routes(core).into_axum_router().merge(pages);
    let router = router.layer(axum::middleware::from_fn(http::keep_to_monitoring));
    let ping = Duration::from_millis(limits.idle_ping_ms);
    let at_once = limits.requests_per_connection_max;
    let server = Server::builder()
        .accept_http1(true)
        .timeout(Duration::from_millis(limits.request_timeout_ms))
        .concurrency_limit_per_connection(at_once as usize)
        .max_concurrent_streams(at_once)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .http2_max_header_list_size(16 << 10)
        .http2_keepalive_interval(Some(ping))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .add_routes(Routes::from(router));
    let served = server.serve_with_incoming_shutdown(incoming, stopped(stop));
    Ok(served.await?)
}

/// The peer port: few connections, long streams, large messages.
fn peer_server(limits: &LimitsConfig) -> Server {
    Server::builder()
        .max_concurrent_streams(256)
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(16 << 20)
        .http2_max_header_list_size(16 << 10)
        .http2_keepalive_interval(Some(Duration::from_millis(limits.idle_ping_ms)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
}

fn accept_limits(limits: &LimitsConfig, connections_max: usize) -> AcceptLimits {
    AcceptLimits {
        connections_max,
        per_caller_max: limits.connections_per_caller_max,
        handshakes_max: limits.handshakes_at_once_max,
        handshake_timeout: Duration::from_millis(limits.handshake_timeout_ms),
        // HTTP/2 pings within this; what doesn't even answer a ping is gone.
        silence_max: Duration::from_millis(limits.idle_ping_ms) + Duration::from_secs(15),
    }
}

/// The genesis entry of this file.
pub(crate) fn read_genesis(path: &Path) -> Result<GenesisInfo, ServeError> {
    let wrong = |message: String| ServeError::Genesis { path: path.to_owned(), message };
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    GenesisInfo::parse(&bytes).map_err(|error| wrong(error.to_string()))
}

/// How long a port that is still taken is asked for again.
const BIND_RETRIES: u32 = 20;
const BIND_RETRY: Duration = Duration::from_millis(100);

/// Keeps other processes off the data folder. Where there is none, the core says so.
async fn hold_data(config: &NodeConfig) -> Result<Option<std::fs::File>, ServeError> {
    for tried in 0..=BIND_RETRIES {
        if tried > 0 {
            tokio::time::sleep(BIND_RETRY).await;
        }
        match folder_lock::hold(&config.data_dir) {
            Ok(Some(held)) => return Ok(Some(held)),
            // As with ports: a process that was killed holds it until it is reaped.
            Ok(None) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(system("can't open the data folder")(error)),
        }
    }
    let running = config.pid_file.as_deref().and_then(pid::read);
    Err(ServeError::Held { data: config.data_dir.clone(), running })
}

async fn listen(address: &str, key: &'static str) -> Result<TcpListener, ServeError> {
    let mut tries = 0;
    loop {
        match TcpListener::bind(address).await {
            // A process that was killed holds its ports until it is reaped: a script that restarts it may be quicker.
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && tries < BIND_RETRIES => {
                tries += 1;
                tokio::time::sleep(BIND_RETRY).await;
            }
            bound => {
                return bound.map_err(|source| ServeError::Listen { address: address.to_owned(), key, source });
            }
        }
    }
}

/// Turns true at the first SIGTERM or SIGINT; at the second, the process ends.
fn stop_signal() -> Result<watch::Receiver<bool>, ServeError> {
    let wrong = system("can't listen for signals");
    let signals =
        signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?))).map_err(wrong)?;
    let (mut term, mut interrupt) = signals;
    let (tell, told) = watch::channel(false);
    tokio::spawn(async move {
        for said_before in [false, true] {
            tokio::select! {
                _ = term.recv() => {}
                _ = interrupt.recv() => {}
            }
            if said_before {
                tracing::warn!("told to stop twice: ending at once");
                std::process::exit(130);
            }
            let _nobody_waits = tell.send(true);
        }
    });
    Ok(told)
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is an end as well.
    let _end = stop.wait_for(|stop| *stop).await;
}

/// Waits for `work`, but after the stop not longer than `grace`.
async fn with_grace(
    work: impl Future<Output = Result<(), ServeError>>,
    stop: watch::Receiver<bool>,
    grace: Duration,
) -> Result<(), ServeError> {
    let deadline = async {
        stopped(stop).await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        done = work => done,
        () = deadline => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::authorities::AuthoritiesPlan;
    use crate::init::genesis::LogTerms;
    use crate::init::{self, Plan};

    /// The configuration of the first node of a new log: its own client port, and the second one's peer port.
    fn made(dir: &Path, client: u16, other_peer: u16) -> NodeConfig {
        let nodes = [format!("1=127.0.0.1:{client}:2"), format!("2=127.0.0.1:3:{other_peer}")];
        let nodes = nodes.map(|node| node.parse().unwrap());
        let plan = Plan {
            dir: dir.to_owned(),
            terms: LogTerms::test("log.example/one"),
            nodes: nodes.into(),
            listen: None,
            authority: "DNS".to_owned(),
            authorities: AuthoritiesPlan::made(1, 1),
            valid_years: 1,
            with_profile: true,
            limits: LimitsConfig::default(),
            gateway: None,
            witnesses: Vec::new(),
        };
        init::create(&plan).unwrap();
        NodeConfig::load(&dir.join("node-1/node.toml")).unwrap()
    }

    #[tokio::test]
    async fn a_start_that_fails_notes_no_place() {
        let temp = tempfile::tempdir().unwrap();
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let config = made(temp.path(), taken.local_addr().unwrap().port(), 4);
        let note = place::file(&config.keyring);
        let failed = serve(config.clone(), Said::default()).await;
        assert!(matches!(failed, Err(ServeError::Listen { .. })), "{failed:?}");
        assert!(!note.exists(), "the port was taken");
    }

    #[tokio::test]
    async fn an_isolated_copy_asks_nobody_for_keys() {
        let temp = tempfile::tempdir().unwrap();
        let peer = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = made(temp.path(), 1, peer.local_addr().unwrap().port());
        std::fs::remove_file(&config.keyring).unwrap();
        std::fs::write(config.data_dir.join("JOIN"), "node 1 of log.example/one\n").unwrap();
        config.isolated = true;
        let said = Said { isolated: true, moved: false };
        let refused = tokio::time::timeout(Duration::from_secs(20), serve(config, said)).await;
        let refused = refused.expect("it ends").unwrap_err().to_string();
        assert!(refused.contains("--isolated"), "{refused}");
        peer.set_nonblocking(true).unwrap();
        assert!(peer.accept().is_err(), "nobody was called");
    }
}
