//! The connector's process, and connections to its doors.

use super::Error;
use super::events::Events;
use serde_json::Value;
use sillage_chaos::process::{free_ports, program};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// A connector that doesn't answer after this won't.
const READY_MAX: Duration = Duration::from_secs(60);

/// A request waits so long for the ledger, while the nodes are there.
const ANSWER_WITHIN_MS: u64 = 60_000;

/// A running connector. Dropping it ends it.
pub struct Door {
    config: PathBuf,
    port: u16,
    syslog_port: u16,
    token: String,
    child: Option<Child>,
}

impl Door {
    /// Makes a connector of the party of `profile`, and starts it.
    ///
    /// # Errors
    /// When it can't be made or doesn't answer.
    pub async fn start(dir: &Path, profile: &Path) -> Result<Self, Error> {
        let port = free_ports(2)?;
        let listen = format!("127.0.0.1:{port}");
        let mut init = Command::new(program("sillage-connector")?);
        init.args(["init", "--dev", "--listen", &listen, "--dir"]).arg(dir).arg("--profile").arg(profile);
        let made = init.output().await?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).into_owned().into());
        }
        let config = dir.join("connector.toml");
        let text = fs::read_to_string(&config)?;
        let token = text.lines().find_map(|line| line.strip_prefix("token = \"")?.strip_suffix('"'));
        let token = token.ok_or("the connector has no token")?.to_owned();
        let syslog_port = port + 1;
        let structure = Events::structure();
        let syslog = format!("\n[syslog]\nlisten = \"127.0.0.1:{syslog_port}\"\norganisation = \"{structure}\"\n");
        // A busy machine is told by latencies, not by answers of another sort.
        let text = text.replacen("[fhir]\n", &format!("[fhir]\nanswer_within_ms = {ANSWER_WITHIN_MS}\n"), 1);
        fs::write(&config, text + &syslog)?;
        let mut door = Self { config, port, syslog_port, token, child: None };
        door.begin().await?;
        Ok(door)
    }

    /// Starts the process, and waits until it answers.
    ///
    /// # Errors
    /// When it doesn't.
    pub async fn begin(&mut self) -> Result<(), Error> {
        let log = OpenOptions::new().create(true).append(true).open(self.config.with_file_name("log.txt"))?;
        let mut command = Command::new(program("sillage-connector")?);
        command.args(["serve", "--config"]).arg(&self.config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.env("SILLAGE_PARENT_PID", std::process::id().to_string()).env("SILLAGE_LOG", "warn").kill_on_drop(true);
        self.child = Some(command.spawn()?);
        let deadline = Instant::now() + READY_MAX;
        while self.health().await.is_err() {
            if Instant::now() > deadline {
                let log = fs::read_to_string(self.config.with_file_name("log.txt")).unwrap_or_default();
                return Err(format!("the connector doesn't answer:\n{log}").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Stops it, lets it answer requests after `answer_within_ms`, and starts it again.
    ///
    /// # Errors
    /// When it doesn't answer any more.
    pub async fn answer_within(&mut self, answer_within_ms: u64) -> Result<(), Error> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        let text = fs::read_to_string(&self.config)?;
        let line = |ms: u64| format!("answer_within_ms = {ms}\n");
        fs::write(&self.config, text.replacen(&line(ANSWER_WITHIN_MS), &line(answer_within_ms), 1))?;
        self.begin().await
    }

    /// The id of its process.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// A connection to the REST door.
    ///
    /// # Errors
    /// When none is taken.
    pub async fn http(&self) -> Result<Http, Error> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        Ok(Http { stream, token: self.token.clone(), buffer: Vec::new() })
    }

    /// A connection to the syslog door.
    ///
    /// # Errors
    /// When none is taken.
    pub async fn syslog(&self) -> Result<TcpStream, Error> {
        Ok(TcpStream::connect(("127.0.0.1", self.syslog_port)).await?)
    }

    /// Arrivals that wait for the ledger.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub async fn waiting(&self) -> Result<u64, Error> {
        self.health().await?["waiting"].as_u64().ok_or_else(|| "the health says no number".into())
    }

    async fn health(&self) -> Result<Value, Error> {
        let (_, body) = self.http().await?.ask("GET", "/healthz", "").await?;
        Ok(serde_json::from_slice(&body)?)
    }

    /// Waits until nothing waits any more, and gives the moment.
    ///
    /// # Errors
    /// When fewer and fewer don't become none within `patience` without progress.
    pub async fn drained(&self, patience: Duration) -> Result<Instant, Error> {
        let (mut least, mut since) = (u64::MAX, Instant::now());
        loop {
            let waiting = self.waiting().await?;
            if waiting == 0 {
                return Ok(Instant::now());
            }
            if waiting < least {
                (least, since) = (waiting, Instant::now());
            } else if since.elapsed() > patience {
                return Err(format!("{waiting} events still wait").into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The connector's own account of today, all sources together: recorded, waiting and refused, and arrivals that are missing.
    ///
    /// # Errors
    /// When it gives none.
    pub async fn report(&self) -> Result<super::report::Day, Error> {
        let mut command = Command::new(program("sillage-connector")?);
        let out = command.args(["report", "--json", "--config"]).arg(&self.config).output().await?;
        let signed: Value = serde_json::from_slice(&out.stdout)?;
        let sources = signed["report"]["sources"].as_array().cloned().unwrap_or_default();
        let sum = |name: &str| sources.iter().filter_map(|source| source[name].as_u64()).sum();
        Ok(super::report::Day {
            recorded: sum("recorded"),
            waiting: sum("waiting"),
            refused: sum("refused"),
            repeated: sum("repeated"),
            gaps: signed["report"]["gaps"].as_u64().ok_or("the report has no gaps")?,
        })
    }
}

/// A connection over HTTP/1.1 that stays open.
pub struct Http {
    stream: TcpStream,
    token: String,
    buffer: Vec<u8>,
}

impl Http {
    /// Sends a request, and gives the status and the body of its answer.
    ///
    /// # Errors
    /// When no answer comes, or one without a length.
    pub async fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<(u16, Vec<u8>), Error> {
        let (token, length) = (&self.token, body.len());
        let request = format!(
            "{method} /fhir{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: \
             application/fhir+json\r\nPrefer: return=minimal\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(request.as_bytes()).await?;
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.read().await?;
        };
        let head = std::str::from_utf8(&self.buffer[..end])?.to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("no status")?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(Ok(0), str::parse)?;
        while self.buffer.len() < end + length {
            self.read().await?;
        }
        let rest = self.buffer.split_off(end + length);
        let answer = std::mem::replace(&mut self.buffer, rest);
        Ok((status, answer[end..].to_vec()))
    }

    async fn read(&mut self) -> Result<(), Error> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err("the connector closed the connection".into()),
            _ => Ok(()),
        }
    }
}
