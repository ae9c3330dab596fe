//! A connector's process beside the nodes: started, killed, started again, copied; and requests to its REST door.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sillage_chaos::process::{free_ports, program};

use crate::http::{Caller, FHIR_JSON, Reply};
use crate::lines::OID;
use crate::world::{Run, World, run};

/// The development token of a connector that [`Connector::open`] starts.
pub const TOKEN: &str = "a-token-of-the-tests-and-of-nothing-else";
/// A connector that doesn't listen after this won't.
const READY_MAX: Duration = Duration::from_secs(60);

/// A connector in a folder of its own. Dropping it ends its process.
pub struct Connector {
    dir: PathBuf,
    port: u16,
    /// Asks it with its development token, if it has one.
    caller: Caller,
    child: Option<Child>,
}

/// The parts of a connector's configuration that a test chooses.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Lines of `[fhir]`, beside `listen` and `base`.
    pub fhir: String,
    /// Further parts of the file.
    pub more: String,
    /// The scheme of its base.
    pub https: bool,
}

impl Setup {
    /// With the development token, and identities made of references.
    pub fn development() -> Self {
        Self { fhir: format!("token = \"{TOKEN}\"\n"), more: "[patients]\ndemo = true\n".to_owned(), https: false }
    }
}

impl Connector {
    /// Makes the folder of a connector for this profile with `sillage-connector init`, with a token for development. Nothing runs yet.
    ///
    /// # Panics
    /// When the program refuses.
    pub fn new(dir: &Path, profile: &Path) -> Self {
        let port = free_ports(1).unwrap_or_else(|error| panic!("{error}"));
        let address = format!("127.0.0.1:{port}");
        let made = connector()
            .args(["init", "--dev", "--listen", &address])
            .arg("--dir")
            .arg(dir)
            .arg("--profile")
            .arg(profile)
            .output();
        let made = made.expect("the program runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self::at(dir)
    }

    /// Starts a connector of the party of `profile`, with a configuration of the test's own, in the world's folder `name`.
    ///
    /// # Panics
    /// When it doesn't start.
    pub fn open(world: &World, name: &str, profile: &Path, setup: &Setup) -> Self {
        let dir = world.path(name);
        std::fs::create_dir_all(&dir).expect("a folder");
        let port = free_ports(1).expect("a free port");
        let key: String = (0..64).map(|at| char::from(b"0123456789abcdef"[at % 16])).collect();
        write_private(&dir.join("connector.key"), &key);
        let scheme = if setup.https { "https" } else { "http" };
        let text = format!(
            "profile = \"{}\"\nstream = \"{name}\"\n\n[fhir]\nlisten = \"127.0.0.1:{port}\"\nbase = \"{scheme}://127.0.0.1:{port}/fhir\"\n{}\n{}",
            profile.display(),
            setup.fhir,
            setup.more
        );
        std::fs::write(dir.join("connector.toml"), text).expect("a configuration");
        let mut connector = Self::at(&dir);
        connector.start();
        connector
    }

    /// The connector whose folder this is.
    ///
    /// # Panics
    /// When it isn't one.
    pub fn at(dir: &Path) -> Self {
        let text = std::fs::read_to_string(dir.join("connector.toml")).expect("a configuration");
        let table: toml::Table = text.parse().expect("TOML");
        let field = |name: &str| table["fhir"].get(name).and_then(|value| value.as_str());
        let port = field("listen").and_then(|listen| listen.rsplit_once(':')?.1.parse().ok()).expect("a port");
        let caller = Caller::new(port, "/fhir", field("token"));
        Self { dir: dir.to_owned(), port, caller, child: None }
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The port of its REST door on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The base of its REST door.
    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}/fhir", self.port)
    }

    /// Changes its configuration: `find` becomes `put`.
    ///
    /// # Panics
    /// When `find` isn't in it.
    pub fn configure(&self, find: &str, put: &str) {
        let path = self.dir.join("connector.toml");
        let text = std::fs::read_to_string(&path).expect("a configuration");
        assert!(text.contains(find), "{find} in {text}");
        std::fs::write(&path, text.replacen(find, put, 1)).expect("written");
    }

    /// Starts it, and waits until it listens.
    ///
    /// # Panics
    /// When it ends, or doesn't listen.
    pub fn start(&mut self) {
        self.start_unwatched();
        let deadline = Instant::now() + READY_MAX;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let child = self.child.as_mut().expect("it was started");
            let ended = child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "the connector ended: {}", self.log());
            assert!(Instant::now() < deadline, "the connector doesn't listen: {}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts it without waiting.
    ///
    /// # Panics
    /// When it runs, or can't be started.
    pub fn start_unwatched(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = OpenOptions::new().create(true).append(true).open(self.dir.join("log.txt")).expect("a log");
        let started = connector()
            .arg("serve")
            .arg("--config")
            .arg(self.dir.join("connector.toml"))
            .env("SILLAGE_LOG", "info,sillage_connector=debug")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn();
        self.child = Some(started.expect("the program runs"));
    }

    /// Waits for its end: it can't serve.
    ///
    /// # Panics
    /// When it goes on.
    pub fn ends(&mut self) -> String {
        let mut child = self.child.take().expect("it was started");
        let deadline = Instant::now() + READY_MAX;
        while child.try_wait().expect("a child can be waited for").is_none() {
            assert!(Instant::now() < deadline, "the connector serves");
            thread::sleep(Duration::from_millis(20));
        }
        self.log()
    }

    /// Kills it with SIGKILL.
    ///
    /// # Panics
    /// When it doesn't run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it is gone");
    }

    /// Kills it, and starts it again on the same folder.
    ///
    /// # Panics
    /// When it doesn't start.
    pub fn restart(&mut self) {
        self.kill();
        self.start();
    }

    /// Its log, of all its starts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log.txt")).unwrap_or_default()
    }

    /// A way to it that another thread can have, and that outlives its process.
    pub fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// A connection to its REST door.
    ///
    /// # Panics
    /// When none is taken.
    pub fn connect(&self) -> TcpStream {
        self.caller.connect()
    }

    /// Sends a request with the token. `path` is below the base.
    ///
    /// # Panics
    /// When no answer comes.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let reply = self.caller.try_send(method, path, headers, body);
        reply.unwrap_or_else(|error| panic!("no answer to {method} {path}: {error}"))
    }

    /// The same without a token.
    ///
    /// # Panics
    /// When no answer comes.
    pub fn send_bare(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let reply = self.caller.try_send_bare(method, path, headers, body);
        reply.unwrap_or_else(|error| panic!("no answer to {method} {path}: {error}"))
    }

    /// `GET`.
    ///
    /// # Panics
    /// When no answer comes.
    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"")
    }

    /// `POST` of a resource.
    ///
    /// # Panics
    /// When no answer comes.
    pub fn post(&self, path: &str, resource: &Value) -> Reply {
        self.send("POST", path, &[FHIR_JSON], resource.to_string().as_bytes())
    }

    /// How many events a search finds.
    pub fn count(&self, query: &str) -> usize {
        let found = self.get(&format!("/AuditEvent?_count=500{query}")).expect(200).json();
        let is_event = |entry: &&Value| entry["resource"]["resourceType"] == "AuditEvent";
        found["entry"].as_array().map_or(0, |entries| entries.iter().filter(is_event).count())
    }

    /// Runs one of its commands.
    ///
    /// # Panics
    /// When it can't be run.
    pub fn run(&self, args: &[&str]) -> Run {
        let mut command = connector();
        command.arg(args[0]).arg("--config").arg(self.dir.join("connector.toml")).args(&args[1..]);
        run(&mut command, b"")
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _gone = child.kill();
            let _gone = child.wait();
        }
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("-- connector\n{}", lines[lines.len().saturating_sub(50)..].join("\n"));
        }
    }
}

fn connector() -> Command {
    let mut command = Command::new(program("sillage-connector").unwrap_or_else(|error| panic!("{error}")));
    command.env_remove("SILLAGE_LOG");
    command
}

fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = std::fs::File::options().create(true).write(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("a private file");
}

/// An AuditEvent: a physician read the document `document` of the patient with this INS.
pub fn event(ins: &str, document: &str) -> Value {
    let mut event = crate::lines::audit_event("x", document);
    event["entity"][0]["what"] = json!({"identifier": {"system": format!("urn:oid:{OID}"), "value": ins}});
    event
}
