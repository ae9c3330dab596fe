//! A connector's process beside the nodes: started, killed, started again, copied; and a plain HTTP client for it.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sillage_chaos::process::{free_ports, program};

use crate::lines::OID;

/// A connector that doesn't serve after this won't.
const READY_MAX: Duration = Duration::from_secs(60);

/// A connector in a folder of its own.
pub struct Connector {
    dir: PathBuf,
    address: String,
    token: String,
    child: Option<Child>,
}

/// An answer.
#[derive(Debug)]
pub struct Got {
    /// The status.
    pub code: u16,
    /// Its headers, names in small letters.
    pub headers: HashMap<String, String>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Got {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it isn't.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.code, String::from_utf8_lossy(&self.body)))
    }

    /// A header.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

impl Connector {
    /// Makes the folder of a connector for this profile, with a token for development. Nothing runs yet.
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

    /// The connector whose folder this is.
    ///
    /// # Panics
    /// When it isn't one.
    pub fn at(dir: &Path) -> Self {
        let text = std::fs::read_to_string(dir.join("connector.toml")).expect("a configuration");
        let table: toml::Table = text.parse().expect("TOML");
        let field = |name: &str| table["fhir"][name].as_str().expect("a text").to_owned();
        Self { dir: dir.to_owned(), address: field("listen"), token: field("token"), child: None }
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
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

    /// Starts it, and waits until it serves.
    ///
    /// # Panics
    /// When it ends, or doesn't serve.
    pub fn start(&mut self) {
        self.start_unwatched();
        let deadline = Instant::now() + READY_MAX;
        while self.ask("GET", "/fhir/metadata", &[], b"").is_none_or(|got| got.code != 200) {
            let child = self.child.as_mut().expect("it was started");
            let ended = child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "the connector ended: {}", self.log());
            assert!(Instant::now() < deadline, "the connector doesn't serve: {}", self.log());
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

    /// The end of its log.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.dir.join("log.txt")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    /// A request with the token; none where nobody answers.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Got> {
        ask(&self.address, &self.token, method, path, headers, body).ok()
    }

    /// `GET`, which must be answered.
    ///
    /// # Panics
    /// When it isn't.
    pub fn get(&self, path: &str) -> Got {
        self.ask("GET", path, &[], b"").unwrap_or_else(|| panic!("no answer to {path}: {}", self.log()))
    }

    /// `POST` of JSON; none where nobody answers.
    pub fn post(&self, path: &str, resource: &Value) -> Option<Got> {
        let body = serde_json::to_vec(resource).expect("JSON");
        self.ask("POST", path, &[("Content-Type", "application/fhir+json")], &body)
    }

    /// A way to it that another thread can have.
    pub fn caller(&self) -> Caller {
        Caller { address: self.address.clone(), token: self.token.clone() }
    }

    /// Runs one of its commands.
    ///
    /// # Panics
    /// When it can't be run.
    pub fn run(&self, args: &[&str]) -> crate::world::Run {
        let mut command = connector();
        command.arg(args[0]).arg("--config").arg(self.dir.join("connector.toml")).args(&args[1..]);
        crate::world::run(&mut command, b"")
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _gone = child.kill();
            let _gone = child.wait();
        }
        if thread::panicking() {
            eprintln!("-- connector\n{}", self.log());
        }
    }
}

/// Posts to a connector, whatever becomes of its process.
#[derive(Clone)]
pub struct Caller {
    address: String,
    token: String,
}

impl Caller {
    /// `POST` of JSON; none where nobody answers.
    pub fn post(&self, path: &str, resource: &Value) -> Option<Got> {
        let body = serde_json::to_vec(resource).expect("JSON");
        let headers = [("Content-Type", "application/fhir+json")];
        ask(&self.address, &self.token, "POST", path, &headers, &body).ok()
    }
}

fn connector() -> Command {
    let mut command = Command::new(program("sillage-connector").unwrap_or_else(|error| panic!("{error}")));
    command.env_remove("SILLAGE_LOG");
    command
}

fn ask(
    address: &str,
    token: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Got> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n{more}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let broken = || std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "half an answer");
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(broken)?;
    let text = String::from_utf8_lossy(&answer[..head]).into_owned();
    let code = text.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(broken)?;
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: HashMap<String, String> = text.lines().skip(1).filter_map(header).collect();
    let body = answer[head + 4..].to_vec();
    let length: Option<usize> = headers.get("content-length").and_then(|length| length.parse().ok());
    match length.is_none_or(|length| length == body.len()) {
        true => Ok(Got { code, headers, body }),
        false => Err(broken()),
    }
}

/// An AuditEvent: a physician read the document `document` of the patient with this INS.
pub fn event(ins: &str, document: &str) -> Value {
    let mut event = crate::lines::audit_event("x", document);
    event["entity"][0]["what"] = json!({"identifier": {"system": format!("urn:oid:{OID}"), "value": ins}});
    event
}
