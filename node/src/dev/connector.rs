//! The connector of a test log: FHIR on loopback, with a token for development that `sillage.toml` names.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::children::Process;
use super::edits::Edits;
use super::{DevError, system};
use crate::init::PROFILE_FILE;

const NAME: &str = "connector";
const CONFIG_FILE: &str = "connector.toml";
const PROGRAM: &str = "sillage-connector";
/// Of the answer to whether it serves.
const ANSWER_BYTES_MAX: u64 = 256 << 10;

/// A connector to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Connector {
    /// `DIR/connector`.
    pub dir: PathBuf,
    /// `host:port` of HTTP.
    pub address: String,
}

/// The program beside this one.
fn program() -> Result<PathBuf, DevError> {
    let own = std::env::current_exe().map_err(system("can't find the own program"))?;
    let program = own.with_file_name(PROGRAM);
    match program.is_file() {
        true => Ok(program),
        false => Err(DevError::Mismatch(format!(
            "{PROGRAM} isn't beside {}: build it with `cargo build -p {PROGRAM}`",
            own.display()
        ))),
    }
}

impl Connector {
    /// As a process to keep.
    pub(super) fn process(&self) -> Result<Process, DevError> {
        Ok(Process {
            name: "the connector".to_owned(),
            program: program()?,
            command: "serve",
            config: self.dir.join(CONFIG_FILE),
            args: &[],
            log: self.dir.join("log.txt"),
            pid: self.dir.join("pid"),
        })
    }
}

/// The connector, where this log is to have one: it is asked for, or the profile names it already. A new one listens on `port`; one
/// that is there moves to it where the nodes' ports are moved.
pub(super) fn open(
    dir: &Path,
    asked: bool,
    port: impl FnOnce() -> Result<u16, DevError>,
    moved: bool,
    edits: &mut Edits,
) -> Result<Option<Connector>, DevError> {
    let mut is_named = false;
    edits.edit_profile(&dir.join(PROFILE_FILE), |profile| is_named = profile.fhir.is_some())?;
    if !asked && !is_named {
        return Ok(None);
    }
    let folder = dir.join(NAME);
    let config = folder.join(CONFIG_FILE);
    let address = format!("127.0.0.1:{}", port()?);
    if !config.exists() {
        init(dir, &folder, &address)?;
    }
    let what = config.display().to_string();
    let wrong = |message: String| DevError::System { what: what.clone(), message };
    let mut table: toml::Table = toml::from_str(&edits.text(&config)?).map_err(|error| wrong(error.to_string()))?;
    let fhir = table.get_mut("fhir").and_then(toml::Value::as_table_mut);
    let fhir = fhir.ok_or_else(|| wrong("no [fhir] in it".to_owned()))?;
    if moved {
        fhir.insert("listen".to_owned(), address.clone().into());
        fhir.insert("base".to_owned(), format!("http://{address}/fhir").into());
    }
    let text = |name: &str| fhir.get(name).and_then(toml::Value::as_str).map(str::to_owned);
    let (listen, base, token) = (text("listen"), text("base"), text("token"));
    let listen = listen.ok_or_else(|| wrong("no fhir.listen in it".to_owned()))?;
    if moved {
        let text = toml::to_string(&table).map_err(|error| wrong(error.to_string()))?;
        edits.put(&config, text);
    }
    edits.edit_profile(&dir.join(PROFILE_FILE), |profile| {
        profile.fhir = base;
        profile.fhir_token = token;
    })?;
    Ok(Some(Connector { dir: folder, address: listen }))
}

/// Lets the connector's own program make its folder.
fn init(dir: &Path, folder: &Path, address: &str) -> Result<(), DevError> {
    let made = Command::new(program()?)
        .args(["init", "--dev", "--listen", address])
        .arg("--dir")
        .arg(folder)
        .arg("--profile")
        .arg(dir.join(PROFILE_FILE))
        .stdin(Stdio::null())
        .output()
        .map_err(system(format!("can't run {PROGRAM}")))?;
    match made.status.success() {
        true => Ok(()),
        false => {
            let message = String::from_utf8_lossy(&made.stderr).trim().to_owned();
            Err(DevError::System { what: format!("{PROGRAM} init"), message })
        }
    }
}

/// Waits until the connector says what it can do.
pub(super) async fn wait(connector: &Connector, wait: Duration) -> Result<(), DevError> {
    let deadline = Instant::now() + wait;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if timeout(left, ask(&connector.address)).await.is_ok_and(|answer| answer.unwrap_or(false)) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let what = format!("the connector doesn't serve on {}", connector.address);
            return Err(DevError::NotReady { wait, what });
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Tells whether `/fhir/metadata` is answered with 200.
async fn ask(address: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /fhir/metadata HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200 "))
}
