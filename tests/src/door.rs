//! A connector beside the nodes, and requests to its REST door, well formed or not.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sillage_chaos::process::{free_ports, program};

use crate::world::World;

/// The development token of a connector that a test starts.
pub const TOKEN: &str = "a-token-of-the-tests-and-of-nothing-else";
/// A connector that doesn't answer after this won't.
const START_MAX: Duration = Duration::from_secs(60);
/// An answer that takes longer hangs.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A running connector. Dropping it ends it.
pub struct Door {
    child: Child,
    /// Its folder.
    pub dir: PathBuf,
    /// Its port on loopback.
    pub port: u16,
}

/// How a connector is set up.
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

impl Door {
    /// Starts a connector of the party of `profile`.
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
        let mut door = Self { child: start(&dir), dir, port };
        door.wait();
        door
    }

    /// Ends the process and starts it again on the same folder.
    ///
    /// # Panics
    /// When it doesn't start.
    pub fn restart(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
        self.child = start(&self.dir);
        self.wait();
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + START_MAX;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                panic!("the connector ended with {status}:\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "the connector doesn't listen:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// The base of its REST door.
    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}/fhir", self.port)
    }

    /// Sends a request with the development token. `path` is below the base.
    ///
    /// # Panics
    /// When no answer comes.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let auth = format!("Bearer {TOKEN}");
        let mut all = vec![("Authorization", auth.as_str())];
        all.extend(headers);
        self.send_bare(method, path, &all, body)
    }

    /// The same without a token.
    ///
    /// # Panics
    /// When no answer comes.
    pub fn send_bare(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut stream = self.connect();
        let mut head = format!("{method} /fhir{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        if !body.is_empty() || method == "POST" {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        stream.write_all(head.as_bytes()).expect("the head is taken");
        // A refused body is cut: the answer is there all the same.
        let _cut = stream.write_all(body);
        Reply::read(&mut stream)
    }

    /// A connection of its own.
    ///
    /// # Panics
    /// When none is taken.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the connector listens");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a timeout");
        stream
    }

    /// `GET`.
    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"")
    }

    /// `POST` of a resource.
    pub fn post(&self, path: &str, resource: &Value) -> Reply {
        self.send("POST", path, &[("Content-Type", "application/fhir+json")], resource.to_string().as_bytes())
    }

    /// How many events a search finds.
    pub fn count(&self, query: &str) -> usize {
        let found = self.get(&format!("/AuditEvent?_count=500{query}")).expect(200).json();
        let is_event = |entry: &&Value| entry["resource"]["resourceType"] == "AuditEvent";
        found["entry"].as_array().map_or(0, |entries| entries.iter().filter(is_event).count())
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

fn start(dir: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).expect("a log file");
    let mut command = Command::new(program("sillage-connector").unwrap_or_else(|error| panic!("{error}")));
    command.args(["serve", "--config"]).arg(dir.join("connector.toml"));
    command.env("SILLAGE_LOG", "info,sillage_connector=debug").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().expect("the connector starts")
}

fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = std::fs::File::options().create(true).write(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("a private file");
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its headers, names in small letters.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads an answer to the end of the connection.
    ///
    /// # Panics
    /// When none comes.
    pub fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        Self::parse(&bytes).unwrap_or_else(|| panic!("no answer: {read:?} {}", String::from_utf8_lossy(&bytes)))
    }

    /// Reads the bytes of an answer; none where they are none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Some(Self { status, headers, body: bytes[end + 4..].to_vec() })
    }

    /// The same, where its status is this one.
    ///
    /// # Panics
    /// When it is another one.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Its body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Its body as JSON.
    ///
    /// # Panics
    /// When it isn't.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The id in its `Location`.
    ///
    /// # Panics
    /// When it has none.
    pub fn id(&self) -> String {
        let location = self.header("location").unwrap_or_else(|| panic!("no Location: {}", self.text()));
        let path = location.split("/_history").next().expect("a first part");
        path.rsplit('/').next().expect("a last part").to_owned()
    }

    /// Its first issue: code, text and element.
    ///
    /// # Panics
    /// When it is no OperationOutcome with a text.
    pub fn issue(&self) -> (String, String, String) {
        let outcome = self.json();
        assert_eq!(outcome["resourceType"], "OperationOutcome", "{outcome}");
        let issue = &outcome["issue"][0];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let said = text(&issue["details"]["text"]);
        assert!(!said.is_empty() && issue["severity"].is_string(), "{outcome}");
        (text(&issue["code"]), said, text(&issue["expression"][0]))
    }
}
