//! Real nodes as processes: started, killed, stopped, restarted, and never left behind.
//!
//! [`Cluster::start`] runs `sillage-node dev` in a folder of its own and waits until it is ready; [`Cluster::signal`]
//! and [`Cluster::restart`] do to one node what a machine room does. Every wait is bounded. Dropping a [`Cluster`] ends
//! every process that it started, by its id, and nothing else.
//!
//! The surroundings of a node can be broken too, once the nodes have been moved there ([`Cluster::move_into`]): its network
//! ([`net`]), its disk ([`disk`]), its clock ([`clock`]); and what it finds at its start ([`folder`], [`keyring`]).

pub mod clock;
pub mod disk;
pub mod find;
pub mod folder;
mod guard;
pub mod keyring;
pub mod net;
mod surroundings;
pub mod usage;

pub use find::{free_ports, program};
pub use guard::stop_asked;
pub use surroundings::Surroundings;

use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long nodes may take to make their keys, elect a leader and serve.
const READY_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);
/// How long all nodes may take to stop when asked.
const STOP_ALL_MAX: Duration = Duration::from_secs(15);

/// Why a process did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program is not beside this one.
    #[error(
        "{name} is not beside this program (looked in {looked_in}); build it with `cargo build --workspace --bins`"
    )]
    NoProgram {
        /// Which one.
        name: String,
        /// Where.
        looked_in: String,
    },
    /// The system refused.
    #[error("{what}: {source}")]
    Io {
        /// The attempt.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// It took too long, or ended early.
    #[error("{what}; the end of its log:\n{log}")]
    Failed {
        /// The awaited event.
        what: String,
        /// Last lines of the logs.
        log: String,
    },
}

impl ProcessError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// How nodes are started.
#[derive(Clone, Debug)]
pub struct Options {
    /// 1 or 3.
    pub nodes: u64,
    /// Also a gateway, on the two ports after the nodes'.
    pub gateway: bool,
    /// Also a portal, behind the ports of a gateway and a connector; the profile says where.
    pub portal: bool,
    /// Authorities of the log: one acts alone; of several two sign, and the profiles have the keys of both.
    pub authorities: u32,
    /// The level of the nodes' logs, as `SILLAGE_LOG` reads it.
    pub log_filter: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { nodes: 3, gateway: false, portal: false, authorities: 1, log_filter: "info".to_owned() }
    }
}

/// Nodes of one log on this machine.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    logs: PathBuf,
    options: Options,
    /// `sillage-node dev`; the nodes are its children, unless they were moved.
    dev: Child,
    /// Nodes that were started here after they had been killed; the last one of each id is the live one.
    restarted: Vec<Started>,
    restarts: u32,
    /// Where a node is started, if not like any other process.
    surroundings: BTreeMap<u64, Surroundings>,
}

/// A node's process that was started here.
#[derive(Debug)]
struct Started {
    id: u64,
    child: Child,
    /// Of its files of output.
    name: String,
}

/// How a node's process ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Its exit code, or the signal.
    pub status: ExitStatus,
    /// The last lines that it wrote to its standard error.
    pub said: String,
}

impl Cluster {
    /// Creates or reopens a log in `dir/ledger` and waits until it serves. Logs of the processes go to `dir/logs`.
    ///
    /// # Errors
    /// When the programs are missing, or the nodes are not ready within a minute.
    pub async fn start(dir: &Path, options: Options) -> Result<Self, ProcessError> {
        let node = program("sillage-node")?;
        let (ledger, logs) = (dir.join("ledger"), dir.join("logs"));
        for folder in [&ledger, &logs] {
            fs::create_dir_all(folder).map_err(ProcessError::io(format!("cannot create {}", folder.display())))?;
        }
        let pairs = options.nodes + u64::from(options.gateway);
        // `sillage-node dev` leaves room for a gateway and a connector before the three ports of a portal.
        let ports = if options.portal { 2 * options.nodes + 6 } else { 2 * pairs };
        let base_port = free_ports(u16::try_from(ports).expect("a few nodes"))?;
        let mut command = Command::new(node);
        command.arg("dev").arg("--dir").arg(&ledger);
        command.args(["--nodes", &options.nodes.to_string(), "--base-port", &base_port.to_string()]);
        if options.gateway {
            program("sillage-gateway")?;
            command.arg("--gateway");
        }
        if options.portal {
            program("sillage-portal")?;
            program("sillage")?;
            command.arg("--portal");
        }
        if options.authorities > 1 {
            command.args(["--authorities", &options.authorities.to_string()]);
        }
        let dev = spawn(&mut command, &logs, "dev", &options.log_filter)?;
        let (restarted, surroundings) = (Vec::new(), BTreeMap::new());
        let mut cluster = Self { dir: ledger, logs, options, dev, restarted, restarts: 0, surroundings };
        cluster.wait_ready().await?;
        Ok(cluster)
    }

    async fn wait_ready(&mut self) -> Result<(), ProcessError> {
        let deadline = Instant::now() + READY_MAX;
        loop {
            let out = fs::read_to_string(self.logs.join("dev.out")).unwrap_or_default();
            if out.lines().any(|line| line == "ready") {
                return Ok(());
            }
            let ended = self.dev.try_wait().map_err(ProcessError::io("cannot wait for sillage-node dev"))?;
            if let Some(status) = ended {
                return Err(self.failed(format!("sillage-node dev ended with {status} before it was ready")));
            }
            if Instant::now() > deadline {
                return Err(self.failed(format!("sillage-node dev was not ready after {} s", READY_MAX.as_secs())));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The ids of its nodes.
    pub fn ids(&self) -> std::ops::RangeInclusive<u64> {
        1..=self.options.nodes
    }

    /// The folder that `sillage-node dev` made.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the processes' logs are.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// The profile with all roles.
    pub fn profile(&self) -> PathBuf {
        self.dir.join("sillage.toml")
    }

    /// The folder of one node.
    pub fn node_dir(&self, id: u64) -> PathBuf {
        self.dir.join(format!("node-{id}"))
    }

    /// The process of a node, where it runs.
    pub fn pid(&self, id: u64) -> Option<u32> {
        let own = self.restarted.iter().rev().find(|started| started.id == id).map(|started| started.child.id());
        let pid = own.or_else(|| {
            let text = fs::read_to_string(self.node_dir(id).join("pid")).ok()?;
            text.trim().parse().ok()
        })?;
        guard::runs_in(pid, &self.dir).then_some(pid)
    }

    /// Sends a signal to one node: `KILL`, `STOP`, `CONT`, `TERM`. Says whether there was a process to receive it.
    pub fn signal(&self, id: u64, signal: Signal) -> bool {
        self.pid(id).is_some_and(|pid| send(pid, signal))
    }

    /// Kills a node and waits until its process is gone.
    ///
    /// # Errors
    /// When it still runs after ten seconds.
    pub async fn kill(&mut self, id: u64) -> Result<(), ProcessError> {
        self.end_by(id, Signal::KILL).await?;
        // That end was asked for: it isn't found again where somebody looks how the next process of this node ended.
        self.restarted.retain(|started| started.id != id);
        Ok(())
    }

    /// Ends a node by this signal and waits until its process is gone.
    ///
    /// # Errors
    /// When it still runs after ten seconds.
    pub async fn end_by(&mut self, id: u64, signal: Signal) -> Result<(), ProcessError> {
        let Some(pid) = self.pid(id) else { return Ok(()) };
        send(pid, signal);
        let deadline = Instant::now() + Duration::from_secs(10);
        // Until it is reaped, its threads may still hold its ports and its files.
        while guard::is_there(pid) {
            self.reap();
            if Instant::now() > deadline {
                return Err(self.failed(format!("node {id} (process {pid}) still runs after {signal:?}")));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Starts a node again that was killed. It joins by itself; see [`crate::load::status`] for when it has caught up.
    ///
    /// # Errors
    /// When it still runs, or cannot be started.
    pub fn restart(&mut self, id: u64) -> Result<(), ProcessError> {
        self.start_node(id, &[])
    }

    fn start_node(&mut self, id: u64, more: &[&str]) -> Result<(), ProcessError> {
        self.reap();
        if let Some(pid) = self.pid(id) {
            return Err(self.failed(format!("node {id} is still running as process {pid}; kill it first")));
        }
        let mut command = match self.surroundings.get(&id) {
            Some(surroundings) => surroundings.command(&program("sillage-node")?),
            None => Command::new(program("sillage-node")?),
        };
        command.arg("serve").arg("--config").arg(self.node_dir(id).join("node.toml")).args(more);
        self.restarts += 1;
        let name = format!("node-{id}.restart-{}", self.restarts);
        let child = spawn(&mut command, &self.logs, &name, &self.options.log_filter)?;
        self.restarted.push(Started { id, child, name });
        Ok(())
    }

    /// Starts a node that joins, from the folder that was made for it.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start_newcomer(&mut self, id: u64, dir: &Path) -> Result<(), ProcessError> {
        let mut command = Command::new(program("sillage-node")?);
        command.arg("serve").arg("--config").arg(dir.join("node.toml"));
        let name = format!("node-{id}.new");
        let child = spawn(&mut command, &self.logs, &name, &self.options.log_filter)?;
        self.restarted.push(Started { id, child, name });
        Ok(())
    }

    /// Where node `id` is started from its next start on; `None`: like any other process.
    pub fn surround(&mut self, id: u64, surroundings: Option<Surroundings>) {
        match surroundings {
            Some(surroundings) => self.surroundings.insert(id, surroundings),
            None => self.surroundings.remove(&id),
        };
    }

    /// Stops all nodes in good order and starts each again where [`Cluster::surround`] said, as a child of this program.
    /// With `at`, node `id` is then found at another address: its configuration and the others', and the profiles, say so.
    ///
    /// # Errors
    /// When a file can't be written, or a node can't be started.
    pub async fn move_into(&mut self, at: Option<fn(u64) -> std::net::Ipv4Addr>) -> Result<(), ProcessError> {
        let deadline = Instant::now() + STOP_ALL_MAX;
        for id in self.ids() {
            self.signal(id, Signal::TERM);
        }
        while self.ids().any(|id| self.pid(id).is_some()) {
            self.reap();
            if Instant::now() > deadline {
                return Err(self.failed("the nodes do not stop".to_owned()));
            }
            tokio::time::sleep(POLL).await;
        }
        guard::ask_then_kill(&mut self.dev);
        self.restarted.clear();
        // What it wrote of the nodes' end was asked for.
        let _ = fs::remove_file(self.logs.join("dev.err"));
        if let Some(at) = at {
            surroundings::readdress(&self.dir, self.ids(), at)?;
        }
        // A node at another address than it noted is taken for a copy, unless somebody says that it was moved.
        let moved: &[&str] = if at.is_some() { &["--moved"] } else { &[] };
        self.ids().try_for_each(|id| self.start_node(id, moved))
    }

    /// Waits until the process of node `id` that was started here has ended by itself: how, or `None` where it still runs
    /// after `patience`. An end that was waited for is none of [`Cluster::ended_by_themselves`].
    ///
    /// # Errors
    /// When the system doesn't say.
    pub async fn ended(&mut self, id: u64, patience: Duration) -> Result<Option<Ending>, ProcessError> {
        let deadline = Instant::now() + patience;
        let Some(place) = self.restarted.iter().rposition(|started| started.id == id) else { return Ok(None) };
        loop {
            let started = &mut self.restarted[place];
            let ended = started.child.try_wait().map_err(ProcessError::io(format!("cannot wait for node {id}")))?;
            if let Some(status) = ended {
                let name = self.restarted.remove(place).name;
                let text = fs::read_to_string(self.logs.join(format!("{name}.err"))).unwrap_or_default();
                let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
                return Ok(Some(Ending { status, said: lines[lines.len().saturating_sub(3)..].join("\n") }));
            }
            if Instant::now() > deadline {
                return Ok(None);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Nodes that ended without being killed, as sentences: a node must end only when it is told to.
    pub fn ended_by_themselves(&mut self) -> Vec<String> {
        let mut ended = Vec::new();
        for Started { id, child, .. } in &mut self.restarted {
            if let Ok(Some(status)) = child.try_wait()
                && status.signal() != Some(Signal::KILL.as_raw())
            {
                ended.push(format!("node {id} ended by itself ({status})"));
            }
        }
        let keeper = fs::read_to_string(self.logs.join("dev.err")).unwrap_or_default();
        let ends = keeper.lines().filter(|line| line.contains(" ended (") && !line.contains("signal: 9"));
        ended.extend(ends.map(str::to_owned));
        ended
    }

    /// Stops everything as Ctrl-C does, and waits.
    pub fn stop(mut self) {
        self.end();
    }

    fn reap(&mut self) {
        for started in &mut self.restarted {
            let _ = started.child.try_wait();
        }
        let _ = self.dev.try_wait();
    }

    fn end(&mut self) {
        let nodes: Vec<u32> = self.ids().filter_map(|id| self.pid(id)).collect();
        for pid in &nodes {
            send(*pid, Signal::CONT);
        }
        for started in &mut self.restarted {
            guard::ask_then_kill(&mut started.child);
        }
        guard::ask_then_kill(&mut self.dev);
        for pid in nodes.into_iter().filter(|pid| guard::runs_in(*pid, &self.dir)) {
            send(pid, Signal::KILL);
        }
    }

    fn failed(&self, what: String) -> ProcessError {
        ProcessError::Failed { what, log: self.last_lines(20) }
    }

    /// The last lines of every log.
    pub fn last_lines(&self, count: usize) -> String {
        let mut files: Vec<PathBuf> =
            fs::read_dir(&self.logs).into_iter().flatten().flatten().map(|e| e.path()).collect();
        files.extend(self.ids().map(|id| self.node_dir(id).join("log.txt")));
        files.push(self.dir.join("gateway/log.txt"));
        files.sort();
        let mut out = String::new();
        for file in files {
            let text = fs::read_to_string(&file).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            if !lines.is_empty() {
                out.push_str(&format!("-- {}\n", file.display()));
                out.push_str(&lines[lines.len().saturating_sub(count)..].join("\n"));
                out.push('\n');
            }
        }
        out
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end();
    }
}

fn send(pid: u32, signal: Signal) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
}

/// In the environment of a `sillage-node`: it ends when its parent with this process id does, however that ends.
const PARENT_VARIABLE: &str = "SILLAGE_PARENT_PID";

/// Starts a process that writes to `<logs>/<name>.out` and `.err` and reads nothing.
fn spawn(command: &mut Command, logs: &Path, name: &str, log_filter: &str) -> Result<Child, ProcessError> {
    let file = |end: &str| {
        let path = logs.join(format!("{name}.{end}"));
        File::create(&path).map_err(ProcessError::io(format!("cannot create {}", path.display())))
    };
    command.env("SILLAGE_LOG", log_filter).env(PARENT_VARIABLE, std::process::id().to_string());
    // Ctrl-C in a terminal is for this program, which then stops what it started.
    command.process_group(0).stdin(Stdio::null()).stdout(file("out")?).stderr(file("err")?);
    command.spawn().map_err(ProcessError::io(format!("cannot start {}", command.get_program().display())))
}
