//! The gateway of a test log: its ports, its place in the profiles, and whether it serves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::children::Process;
use super::edits::Edits;
use super::{DevError, system};
use crate::init::PROFILE_FILE;
use crate::init::gateway::{self, CONFIG_FILE, GatewayPlan};

/// The profiles of a test log that name its gateway.
pub(super) const PROFILES: [&str; 2] = [PROFILE_FILE, "authority.toml"];
const PROGRAM: &str = "sillage-gateway";
/// Of the answer to whether it serves.
const ANSWER_BYTES_MAX: u64 = 16 << 10;

/// A gateway to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gateway {
    /// `DIR/gateway`.
    pub dir: PathBuf,
    /// `host:port` of plain HTTP.
    pub address: String,
    /// `host:port` of mutual TLS.
    pub tls_address: String,
}

impl Gateway {
    /// As a process to keep.
    pub(super) fn process(&self) -> Result<Process, DevError> {
        let own = std::env::current_exe().map_err(system("can't find the own program"))?;
        let program = own.with_file_name(PROGRAM);
        if !program.is_file() {
            return Err(DevError::Mismatch(format!(
                "{PROGRAM} isn't beside {}: build it with `cargo build -p sillage-gateway`",
                own.display()
            )));
        }
        Ok(Process {
            name: "the gateway".to_owned(),
            program,
            command: "serve",
            config: self.dir.join(CONFIG_FILE),
            args: &[],
            log: self.dir.join("log.txt"),
            pid: self.dir.join("pid"),
        })
    }
}

/// The gateway, where this log is to have one: it is asked for, or the profile names it already.
pub(super) fn open(dir: &Path, asked: bool, edits: &mut Edits) -> Result<Option<Gateway>, DevError> {
    let folder = gateway::folder(dir);
    let config = folder.join(CONFIG_FILE);
    let mut is_named = false;
    edits.edit_profile(&dir.join(PROFILE_FILE), |profile| is_named = profile.gateway.is_some())?;
    if !asked && !is_named {
        return Ok(None);
    }
    if !config.exists() {
        return Err(DevError::Mismatch(format!(
            "{} was made without a gateway: leave out --gateway, or choose another --dir",
            dir.display()
        )));
    }
    let what = config.display().to_string();
    let text = edits.text(&config)?;
    let wrong = |message: String| DevError::System { what: what.clone(), message };
    let table: toml::Table = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let address = |table: Option<&toml::Table>| {
        let listen = table.and_then(|table| table.get("listen")).and_then(toml::Value::as_str);
        listen.map(str::to_owned).ok_or_else(|| wrong("no `listen` in it".to_owned()))
    };
    let gateway = Gateway {
        address: address(Some(&table))?,
        tls_address: address(table.get("tls").and_then(toml::Value::as_table))?,
        dir: folder,
    };
    for name in PROFILES {
        edits.edit_profile(&dir.join(name), |profile| profile.gateway = Some(format!("http://{}", gateway.address)))?;
    }
    Ok(Some(gateway))
}

/// Writes other ports into the gateway's configuration, and other nodes into its profile.
pub(super) fn move_ports(
    dir: &Path,
    plan: &GatewayPlan,
    endpoints: &[String],
    edits: &mut Edits,
) -> Result<(), DevError> {
    let folder = gateway::folder(dir);
    let config = folder.join(CONFIG_FILE);
    if !config.exists() {
        return Ok(());
    }
    edits.edit(&config, |text| {
        let mut table: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
        table.insert("listen".to_owned(), plan.address().into());
        if let Some(tls) = table.get_mut("tls").and_then(toml::Value::as_table_mut) {
            tls.insert("listen".to_owned(), plan.tls_address().into());
        }
        toml::to_string(&table).map_err(|error| error.to_string())
    })?;
    edits.edit_profile(&folder.join(gateway::PROFILE_FILE), |profile| profile.endpoints = endpoints.to_vec())?;
    for name in PROFILES {
        edits.edit_profile(&dir.join(name), |profile| {
            if profile.gateway.is_some() {
                profile.gateway = Some(plan.url());
            }
        })?;
    }
    Ok(())
}

/// Waits until the gateway gives a checkpoint.
pub(super) async fn wait(gateway: &Gateway, wait: Duration) -> Result<(), DevError> {
    let deadline = Instant::now() + wait;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if timeout(left, ask(&gateway.address)).await.is_ok_and(|answer| answer.unwrap_or(false)) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let what = format!("the gateway gives no checkpoint on {}", gateway.address);
            return Err(DevError::NotReady { wait, what });
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Tells whether `/healthz` is answered with 200.
async fn ask(address: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200 "))
}
