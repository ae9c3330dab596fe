//! A cluster, and the command line on it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use sillage_chaos::load::status::Watch;
use sillage_chaos::load::{Link, LoadError};
use sillage_chaos::process::{Cluster, Options, program};
use sillage_client::channel::Timeouts;
use sillage_client::profile::Profile;
use sillage_proto::v1::NodeStatus;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A command that takes longer than this hangs.
const COMMAND_MAX: Duration = Duration::from_secs(90);
/// Nodes that are not level after this won't be.
const SETTLE_MAX: Duration = Duration::from_secs(45);

/// What the calls of a file's stories run on.
///
/// # Panics
/// When the system gives no threads.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("threads")
    })
}

/// Three nodes, a folder to work in, and what is needed to talk to them. Dropping it ends the nodes.
pub struct World {
    cluster: Option<Cluster>,
    folder: TempDir,
    options: Options,
}

impl World {
    /// Three nodes of a new log.
    ///
    /// # Panics
    /// When they don't start; the message holds the end of their logs.
    pub fn begin() -> Self {
        Self::with(Options::default())
    }

    /// As [`World::begin`], with other options.
    ///
    /// # Panics
    /// As there.
    pub fn with(options: Options) -> Self {
        let folder = tempfile::Builder::new().prefix("sillage-tests-").tempdir().expect("a folder to work in");
        let mut world = Self { cluster: None, folder, options };
        world.open();
        world
    }

    /// Starts the nodes, on the data that is there.
    ///
    /// # Panics
    /// When they run, or don't start.
    pub fn open(&mut self) {
        assert!(self.cluster.is_none(), "the nodes run already");
        let started = runtime().block_on(Cluster::start(self.folder.path(), self.options.clone()));
        self.cluster = Some(started.unwrap_or_else(|error| panic!("the nodes do not start: {error}")));
    }

    /// Stops the nodes as Ctrl-C does, and waits until they are gone.
    pub fn close(&mut self) {
        if let Some(cluster) = self.cluster.take() {
            cluster.stop();
        }
    }

    /// The nodes' processes.
    ///
    /// # Panics
    /// When they were stopped.
    pub fn cluster(&mut self) -> &mut Cluster {
        self.cluster.as_mut().expect("the nodes run")
    }

    /// The folder that `sillage-node dev --dir` made.
    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    /// A file of the stories' own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the stories' own.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder");
        std::fs::write(&path, content).expect("a file of the stories");
        path
    }

    /// The profile with every role but the authority's.
    pub fn profile_file(&self) -> PathBuf {
        self.dir().join("sillage.toml")
    }

    /// The authority's.
    pub fn authority_file(&self) -> PathBuf {
        self.dir().join("authority.toml")
    }

    /// The profile, read.
    ///
    /// # Panics
    /// When it can't be used.
    pub fn profile(&self) -> Profile {
        Profile::load(&self.profile_file()).expect("the profile that dev wrote")
    }

    /// Registers a party that vouches for everybody, and gives its profile's file. `roles`: comma-separated.
    ///
    /// # Panics
    /// When the authority may not.
    pub fn register(&self, name: &str, roles: &str) -> PathBuf {
        let folder = self.path(name);
        let out = folder.display().to_string();
        let register = ["keys", "register", "--name", name, "--role", roles, "--vouch-for-all", "--out", &out];
        self.sillage_as(&self.authority_file(), &register).ok();
        folder.join("sillage.toml")
    }

    /// `sillage --profile DIR/sillage.toml ARGS`.
    pub fn sillage(&self, args: &[&str]) -> Run {
        self.sillage_as(&self.profile_file(), args)
    }

    /// `sillage --profile PROFILE ARGS`.
    pub fn sillage_as(&self, profile: &Path, args: &[&str]) -> Run {
        run(sillage().arg("--profile").arg(profile).args(args), b"")
    }

    /// `sillage` with `input` on its standard input.
    pub fn sillage_fed(&self, args: &[&str], input: &str) -> Run {
        run(sillage().arg("--profile").arg(self.profile_file()).args(args), input.as_bytes())
    }

    /// Records lines through the command line, and gives the index of each.
    ///
    /// # Panics
    /// When they are not all recorded.
    pub fn record(&self, lines: &[Value]) -> Vec<u64> {
        let run = self.sillage_fed(&["record", "--file", "-"], &crate::lines::ndjson(lines)).ok();
        let indices: Vec<u64> = run.json_lines().iter().map(|line| line["index"].as_u64().expect("an index")).collect();
        assert_eq!(indices.len(), lines.len(), "one answer to each line");
        indices
    }

    /// Records these lines as one batch. From standard input they may come as several: what is there is sent.
    pub fn record_together(&self, name: &str, lines: &[Value]) -> Vec<u64> {
        let file = self.dir().join(format!("{name}.ndjson"));
        std::fs::write(&file, crate::lines::ndjson(lines)).expect("the world's folder takes a file");
        let run = self.sillage(&["record", "--file", &file.display().to_string()]).ok();
        run.json_lines().iter().map(|line| line["index"].as_u64().expect("an index")).collect()
    }

    /// Waits for a future.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        runtime().block_on(future)
    }

    /// A way to the ledger with the profile's keys, for what the command line doesn't do.
    ///
    /// # Panics
    /// When the profile can't be used.
    pub fn link(&self) -> Link {
        let timeouts = Timeouts { attempt: Duration::from_secs(5), total: Duration::from_secs(40) };
        let _entered = runtime().enter();
        Link::open(&self.profile_file(), timeouts).expect("the profile that dev wrote")
    }

    /// Waits until `count` nodes are level, and gives what they say. Equal roots are checked on the way.
    ///
    /// # Panics
    /// When they don't get there.
    pub fn settled(&self, count: usize) -> Vec<NodeStatus> {
        let (link, watch) = (self.link(), |link: &Link| Watch::new(link));
        let level = self.wait(async { watch(&link)?.settled(count, SETTLE_MAX).await });
        level.unwrap_or_else(|error: LoadError| panic!("{error}\n{}", self.logs()))
    }

    /// The id of the node that leads.
    ///
    /// # Panics
    /// When none does.
    pub fn leader(&self) -> u64 {
        let link = self.link();
        let leader = self.wait(async { Watch::new(&link)?.leader(SETTLE_MAX).await });
        leader.unwrap_or_else(|error: LoadError| panic!("{error}\n{}", self.logs()))
    }

    /// The size of the log, as the first node that answers has it.
    ///
    /// # Panics
    /// When no node answers.
    pub fn tree_size(&self) -> u64 {
        let link = self.link();
        let seen = self.wait(async { Ok::<_, LoadError>(Watch::new(&link)?.ask().await) });
        let seen = seen.unwrap_or_else(|error| panic!("{error}"));
        seen.into_iter().flatten().map(|node| node.tree_size).max().expect("a node answers")
    }

    /// Kills a node with SIGKILL, and waits until it is gone.
    ///
    /// # Panics
    /// When it goes on running.
    pub fn kill(&mut self, id: u64) {
        let cluster = self.cluster.as_mut().expect("the nodes run");
        runtime().block_on(cluster.kill(id)).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Starts a node again that was killed.
    ///
    /// # Panics
    /// When it runs, or can't be started.
    pub fn restart(&mut self, id: u64) {
        let cluster = self.cluster.as_mut().expect("the nodes run");
        let _entered = runtime().enter();
        cluster.restart(id).unwrap_or_else(|error| panic!("{error}"));
    }

    /// The ends of the processes' logs.
    pub fn logs(&self) -> String {
        self.cluster.as_ref().map(|cluster| cluster.last_lines(15)).unwrap_or_default()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.logs());
        }
        self.close();
    }
}

/// What a command did.
#[derive(Debug)]
pub struct Run {
    /// The command, to be read in a failure.
    pub command: String,
    /// Its exit code; `None`: a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said of errors.
    pub stderr: String,
}

impl Run {
    /// Asserts that it succeeded.
    ///
    /// # Panics
    /// When it didn't.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// Asserts that it failed with this exit code, and said why in one sentence.
    ///
    /// # Panics
    /// When it didn't.
    pub fn fails(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        // Beside the error, a command says on whom it acts, and that it is still trying.
        let is_error =
            |line: &&str| !line.starts_with("sillage: patient ") && !line.contains("no node has answered yet");
        assert_eq!(self.stderr.lines().filter(is_error).count(), 1, "one sentence, on one line: {self}");
        self
    }

    /// Asserts that the ledger, or the same rules applied by the command, refused with this code. Beside the sentence a
    /// log line may say where what was refused is kept.
    ///
    /// # Panics
    /// When it didn't.
    pub fn refused(self, code: &str) -> Self {
        assert!(self.code == Some(4) && self.stderr.contains(&format!(" {code}: ")), "expected {code}: {self}");
        self
    }

    /// Asserts that the command could not be understood: exit code 2, and a word about it.
    ///
    /// # Panics
    /// When it was something else.
    pub fn usage(self) {
        assert!(self.code == Some(2) && !self.stderr.is_empty(), "{self}");
    }

    /// What it said of the error.
    pub fn error(&self) -> &str {
        self.stderr.trim()
    }

    /// Asserts that the error names this.
    ///
    /// # Panics
    /// When it doesn't.
    pub fn naming(self, words: &str) -> Self {
        assert!(self.stderr.contains(words), "expected {words:?}: {self}");
        self
    }

    /// Its lines.
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }

    /// Its lines as JSON.
    ///
    /// # Panics
    /// When one isn't.
    pub fn json_lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}: {self}"));
        self.stdout.lines().map(parse).collect()
    }

    /// Its output as one JSON value.
    ///
    /// # Panics
    /// When it isn't.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "`{}` ended with {:?}\n-- stdout\n{}\n-- stderr\n{}",
            self.command, self.code, self.stdout, self.stderr
        )
    }
}

/// The command line's program, without what this process' environment would tell it.
pub fn sillage() -> Command {
    let mut command = Command::new(program("sillage").unwrap_or_else(|error| panic!("{error}")));
    command.env_remove("SILLAGE_PROFILE").env_remove("SILLAGE_LOG").env("COLUMNS", "120");
    command
}

/// Runs a command to its end; kills it when it hangs.
///
/// # Panics
/// When it can't be started, or hangs.
pub fn run(command: &mut Command, input: &[u8]) -> Run {
    let shown: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let shown = format!("{} {}", command.get_program().display(), shown.join(" "));
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("cannot start {shown}: {error}"));
    let (mut stdin, input) = (child.stdin.take().expect("piped"), input.to_vec());
    // A command that ends early closes its input; that is its own affair.
    let feeding = thread::spawn(move || drop(stdin.write_all(&input)));
    let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let (out, err) = (thread::spawn(move || text(out)), thread::spawn(move || text(err)));
    let deadline = Instant::now() + COMMAND_MAX;
    let status = loop {
        match child.try_wait().expect("a child can be waited for") {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                let _ = child.kill();
                let _ = child.wait();
                let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
                panic!("`{shown}` hangs\n-- stdout\n{out}\n-- stderr\n{err}");
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    feeding.join().expect("feeding does not panic");
    let (stdout, stderr) = (out.join().expect("reading"), err.join().expect("reading"));
    Run { command: shown, code: status.code(), stdout, stderr }
}

fn text(mut from: impl std::io::Read) -> String {
    let mut bytes = Vec::new();
    let _ = from.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
