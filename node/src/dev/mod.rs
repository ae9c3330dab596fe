//! A whole test log in one command: `sillage-node dev --dir DIR`.
//!
//! Makes or reopens the files ([`open`]), starts each node as its own process, and says `ready` on the standard output
//! when a leader is elected and every node answers ([`ready`]), and the [`gateway`], the [`connector`] and the [`portal`] where there is one. SIGINT, SIGTERM and SIGHUP stop all. A node that dies
//! is reported and stays dead, unless `--restart` was given: scripts kill nodes and start them again with
//! `sillage-node serve --config DIR/node-<i>/node.toml`. Nodes die with this process, however it dies.

mod children;
mod connector;
mod edits;
mod gateway;
mod open;
mod portal;
mod ready;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use self::children::{Children, Process};
use self::connector::Connector;
use self::gateway::Gateway;
use self::portal::Portal;
use crate::config::WitnessConfig;
use crate::init::{self, InitError};
use crate::pid;
use crate::place::{PlaceError, Said};

/// The options of `dev`.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the files are or go.
    pub dir: PathBuf,
    /// How many nodes; `None`: as many as there are, one where there are none.
    pub nodes: Option<u16>,
    /// Node `i` has client port `base + 2(i − 1)` and the next one for its peers; `None`: as they are, 7400 at first.
    pub base_port: Option<u16>,
    /// Name of a new log; `None`: made from the folder's name.
    pub origin: Option<String>,
    /// How many authorities a new log has; `None`: one, whose key alone does everything. Of several, two sign.
    pub authorities: Option<usize>,
    /// Start nodes again that die.
    pub restart: bool,
    /// Also run the gateway, on the two ports after the nodes'; a log that had one keeps it.
    pub gateway: bool,
    /// Also run a connector, on the port after the gateway's; a log that had one keeps it.
    pub connector: bool,
    /// Also run a portal, on the three ports after the connector's; a log that had one keeps it.
    pub portal: bool,
    /// The witnesses, which cosign checkpoints, too: in place of those that were named before, unless there is none here.
    pub witnesses: Vec<WitnessConfig>,
    /// The reason why the folder isn't where its nodes ran.
    pub said: Said,
    /// How long to wait for the nodes to serve.
    pub wait: Duration,
}

/// Why there is no test log.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The files can't be made.
    #[error(transparent)]
    Init(#[from] InitError),
    /// The options don't fit the existing files.
    #[error("{0}")]
    Mismatch(String),
    /// A port is taken.
    #[error(
        "port {port} ({what} of {name}) can't be had ({source}): \
         stop what uses it, or choose other ports with --base-port N"
    )]
    Port {
        /// Which.
        port: u16,
        /// `client port` or `peer port`.
        what: &'static str,
        /// Of which process.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// A node's process is there already.
    #[error("node {node} of {dir} runs already (process {pid}): stop it first")]
    Running {
        /// Which.
        node: u64,
        /// Of which folder.
        dir: PathBuf,
        /// Its process.
        pid: i32,
    },
    /// The folder isn't where its nodes ran.
    #[error("node {node}: {source}; nothing was changed")]
    Place {
        /// Which.
        node: u64,
        /// Where it ran, and where it is.
        source: Box<PlaceError>,
    },
    /// Another `dev` runs on this folder.
    #[error("another `sillage-node dev` runs on {dir}: stop it first, or choose another --dir; nothing was changed")]
    Kept {
        /// The folder.
        dir: PathBuf,
    },
    /// A process has the data of a node.
    #[error("a process runs node {node} on {data}: stop it first; nothing was changed")]
    Held {
        /// Which.
        node: u64,
        /// Its data folder.
        data: PathBuf,
    },
    /// A process ended before it served.
    #[error("{name} ended before it served ({status}); {log} ends with:\n{tail}")]
    Ended {
        /// Which.
        name: String,
        /// How.
        status: String,
        /// Where it wrote.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The nodes run, but don't serve.
    #[error("the nodes don't serve after {} s ({what}): see the log.txt of each", wait.as_secs())]
    NotReady {
        /// How long we waited.
        wait: Duration,
        /// The missing part.
        what: String,
    },
    /// A file or a process.
    #[error("{what}: {message}")]
    System {
        /// The attempt.
        what: String,
        /// Why it failed.
        message: String,
    },
}

fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> DevError {
    move |error| DevError::System { what: what.into(), message: error.to_string() }
}

/// A node of the log, as the processes' keeper needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    id: u64,
    /// `DIR/node-<id>`.
    dir: PathBuf,
    /// `host:port`.
    client_address: String,
    peer_address: String,
}

impl Node {
    fn config(&self) -> PathBuf {
        self.dir.join("node.toml")
    }

    fn pid(&self) -> PathBuf {
        self.dir.join("pid")
    }

    fn process(&self) -> Result<Process, DevError> {
        Ok(Process {
            name: format!("node {}", self.id),
            program: std::env::current_exe().map_err(system("can't find the own program"))?,
            command: "serve",
            config: self.config(),
            args: &[],
            log: self.dir.join("log.txt"),
            pid: self.pid(),
        })
    }
}

/// The parts of a test log.
struct Parts {
    nodes: Vec<Node>,
    gateway: Option<Gateway>,
    connector: Option<Connector>,
    portal: Option<Portal>,
    /// How many nodes the log began with.
    founders: u64,
}

impl Parts {
    /// Tells whether a node joined since the log was founded, so that one of these may be gone from it.
    fn may_have_changed(&self) -> bool {
        self.nodes.iter().any(|node| node.id > self.founders)
    }
}

/// Runs a test log until a signal stops it.
///
/// # Errors
/// When it can't be made or started.
pub fn run(options: &Options) -> Result<(), DevError> {
    pid::die_with_parent().map_err(system("can't follow the parent process"))?;
    let (parts, _lock) = open::open(options)?;
    // One thread, the main one: a child is told of the death of the thread that started it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system("can't start"))?;
    runtime.block_on(keep(options, &parts))
}

async fn keep(options: &Options, parts: &Parts) -> Result<(), DevError> {
    let mut signals = Signals::new().map_err(system("can't listen for signals"))?;
    let args: &[&str] = if options.said.isolated { &["--isolated"] } else { &[] };
    let nodes = parts.nodes.iter().map(|node| Ok(Process { args, ..node.process()? }));
    let edges = parts.gateway.iter().map(Gateway::process).chain(parts.connector.iter().map(Connector::process));
    let processes: Result<Vec<Process>, _> = nodes.chain(edges).collect();
    let mut children = Children::start(processes?)?;
    let present = {
        let ready = ready(options, parts);
        tokio::pin!(ready);
        let mut ended = None;
        loop {
            tokio::select! {
                present = &mut ready => break present.map_err(|error| ended.unwrap_or(error)),
                end = children.first_end() => match parts.may_have_changed() {
                    // It may be one that was replaced: the others say whether the log still has it.
                    true => drop(ended.get_or_insert(end)),
                    false => break Err(end),
                },
                () = signals.any() => {
                    children.stop().await;
                    return Ok(());
                }
            }
        }
    };
    let present = match present {
        Ok(present) => present,
        Err(error) => {
            children.stop().await;
            return Err(error);
        }
    };
    for node in parts.nodes.iter().filter(|node| !present.contains(&node.id)) {
        children.let_go(&node.process()?).await;
        let (id, dir) = (node.id, node.dir.display());
        eprintln!("sillage-node dev: node {id} was removed from this log and isn't run: destroy its folder {dir}");
    }
    if let Some(portal) = &parts.portal {
        // Its parties are registered by a log that serves.
        let begun = tokio::select! {
            begun = begin(portal, &mut children, options.wait) => Some(begun),
            () = signals.any() => None,
        };
        if !matches!(begun, Some(Ok(()))) {
            children.stop().await;
            return begun.unwrap_or(Ok(()));
        }
    }
    say_ready().map_err(system("can't write to the standard output"))?;
    loop {
        tokio::select! {
            () = signals.any() => break,
            (process, status) = children.next_end() => {
                let name = &process.name;
                eprintln!("sillage-node dev: {name} ended ({status})");
                if options.restart {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    children.restart(&process)?;
                    eprintln!("sillage-node dev: {name} was started again");
                }
            }
        }
    }
    children.stop().await;
    Ok(())
}

/// Starts a portal, and waits until it serves.
async fn begin(portal: &Portal, children: &mut Children, wait: Duration) -> Result<(), DevError> {
    portal.prepare().await?;
    children.add(portal.processes()?)?;
    portal.wait(wait).await
}

/// Waits until all parts serve; gives the ids of the log's nodes.
async fn ready(options: &Options, parts: &Parts) -> Result<Vec<u64>, DevError> {
    let profile = options.dir.join(init::PROFILE_FILE);
    let present = ready::wait(&profile, &parts.nodes, options.wait, options.said.isolated).await?;
    if let Some(gateway) = &parts.gateway {
        gateway::wait(gateway, options.wait).await?;
    }
    if let Some(connector) = &parts.connector {
        connector::wait(connector, options.wait).await?;
    }
    Ok(present)
}

/// The one line that scripts wait for.
fn say_ready() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready")?;
    out.flush()
}

struct Signals([Signal; 3]);

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?]))
    }

    async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// The end of a text file, for an error message.
fn tail(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}
