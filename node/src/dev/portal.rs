//! The portal of a test log: two processes on loopback, with a login for development; `sillage.toml` names the pages' address.
//!
//! Its two parties are registered once the nodes serve, by the command line as the authority would; then the portal's own program makes
//! its folder. What is there already is kept.

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

const NAME: &str = "portal";
const PROGRAM: &str = "sillage-portal";
const CLI: &str = "sillage";
/// The seed of the test log's issuer of logins, in its folder.
const TEST_ISSUER: &str = "keys/test-issuer.key";
/// The issuer for which the two parties vouch: the name that the login for development gives.
const ISSUER: &str = "urn:sillage:demo-login";
/// Demonstration patients to choose from: test identities of the public examples.
const PATIENTS: [&str; 3] = [
    "Dominique Martin=279035121518989,1.2.250.1.213.1.4.10",
    "Camille Bernard=180017500100104,1.2.250.1.213.1.4.10",
    "Alix Petit=180017500100203,1.2.250.1.213.1.4.10",
];
/// Of the answer to whether it serves.
const ANSWER_BYTES_MAX: u64 = 16 << 10;

/// A portal to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Portal {
    /// The folder of the log.
    log: PathBuf,
    /// `DIR/portal`.
    dir: PathBuf,
    /// `host:port` of the pages.
    pub pages: String,
    /// `host:port` of the login, and of its back channel.
    pub login: [String; 2],
}

/// A program beside this one.
fn beside(name: &str) -> Result<PathBuf, DevError> {
    let own = std::env::current_exe().map_err(system("can't find the own program"))?;
    let program = own.with_file_name(name);
    match program.is_file() {
        true => Ok(program),
        false => Err(DevError::Mismatch(format!(
            "{name} isn't beside {}: build it with `cargo build --workspace --bins`",
            own.display()
        ))),
    }
}

/// The portal, where this log is to have one: it is asked for, or the profile names it already. It has the three ports from `port` on; one
/// that is there moves to them where the nodes' ports are moved.
pub(super) fn open(
    dir: &Path,
    asked: bool,
    port: impl FnOnce() -> Result<u16, DevError>,
    moved: bool,
    edits: &mut Edits,
) -> Result<Option<Portal>, DevError> {
    let mut named = None;
    edits.edit_profile(&dir.join(PROFILE_FILE), |profile| named = profile.portal.clone())?;
    if !asked && named.is_none() {
        return Ok(None);
    }
    [PROGRAM, CLI].into_iter().try_for_each(|name| beside(name).map(drop))?;
    let was = named.as_deref().and_then(|url| url.strip_prefix("http://127.0.0.1:")?.parse::<u16>().ok());
    let first = match was.filter(|_| !moved) {
        Some(port) => port,
        None => port()?,
    };
    let address = |offset: u16| first.checked_add(offset).map(|port| format!("127.0.0.1:{port}"));
    let all = [address(0), address(1), address(2)];
    let [Some(pages), Some(login), Some(back)] = all else {
        let why = "the nodes' ports leave no room for a portal: choose smaller ones with --base-port N";
        return Err(DevError::Mismatch(why.to_owned()));
    };
    let portal = Portal { log: dir.to_owned(), dir: dir.join(NAME), pages, login: [login, back] };
    if moved {
        portal.move_ports(edits)?;
    }
    edits.edit_profile(&dir.join(PROFILE_FILE), |profile| profile.portal = Some(portal.url()))?;
    Ok(Some(portal))
}

impl Portal {
    fn url(&self) -> String {
        format!("http://{}", self.pages)
    }

    fn config(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// As processes to keep: whoever logs in comes first.
    pub(super) fn processes(&self) -> Result<Vec<Process>, DevError> {
        let process = |command: &'static str, config: &str, name: &str| {
            Ok::<_, DevError>(Process {
                name: name.to_owned(),
                program: beside(PROGRAM)?,
                command,
                config: self.config(config),
                args: &[],
                log: self.dir.join(format!("{command}.log.txt")),
                pid: self.dir.join(format!("{command}.pid")),
            })
        };
        Ok(vec![process("login", "login.toml", "the portal's login")?, process("serve", "portal.toml", "the portal")?])
    }

    fn move_ports(&self, edits: &mut Edits) -> Result<(), DevError> {
        if !self.config("portal.toml").exists() {
            return Ok(());
        }
        let http = |address: &str| toml::Value::from(format!("http://{address}"));
        let [login, back] = &self.login;
        edits.edit(&self.config("portal.toml"), |text| {
            let mut table: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
            table.insert("listen".to_owned(), self.pages.as_str().into());
            table.insert("base".to_owned(), http(&self.pages));
            if let Some(link) = table.get_mut("login").and_then(toml::Value::as_table_mut) {
                link.insert("base".to_owned(), http(login));
                link.insert("back".to_owned(), http(back));
            }
            toml::to_string(&table).map_err(|error| error.to_string())
        })?;
        edits.edit(&self.config("login.toml"), |text| {
            let mut table: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
            table.insert("listen".to_owned(), login.as_str().into());
            table.insert("base".to_owned(), http(login));
            table.insert("portal".to_owned(), http(&self.pages));
            if let Some(link) = table.get_mut("back").and_then(toml::Value::as_table_mut) {
                link.insert("listen".to_owned(), back.as_str().into());
            }
            toml::to_string(&table).map_err(|error| error.to_string())
        })
    }

    /// Registers what isn't yet, and makes the folder where it isn't there. The nodes serve.
    pub(super) async fn prepare(&self) -> Result<(), DevError> {
        for role in ["portal", "login"] {
            let folder = self.log.join(format!("{NAME}-{role}"));
            if folder.join(PROFILE_FILE).exists() {
                continue;
            }
            let mut command = Command::new(beside(CLI)?);
            command.arg("--profile").arg(self.log.join("authority.toml"));
            command.args(["keys", "register", "--name", &format!("{NAME}-{role}"), "--role", role, "--issuer", ISSUER]);
            command.arg("--out").arg(&folder);
            run(command, CLI).await?;
        }
        if self.config("portal.toml").exists() {
            return Ok(());
        }
        let profile = |role: &str| self.log.join(format!("{NAME}-{role}")).join(PROFILE_FILE);
        let mut command = Command::new(beside(PROGRAM)?);
        command.arg("init").arg("--dir").arg(&self.dir).arg("--profile").arg(profile("portal"));
        command.arg("--login-profile").arg(profile("login"));
        command.arg("--test-issuer").arg(self.log.join(TEST_ISSUER)).args(["--listen", &self.pages]);
        for patient in PATIENTS {
            command.args(["--patient", patient]);
        }
        run(command, PROGRAM).await
    }

    /// Waits until both processes reach the log.
    pub(super) async fn wait(&self, wait: Duration) -> Result<(), DevError> {
        let deadline = Instant::now() + wait;
        for address in [&self.login[0], &self.pages] {
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                if timeout(left, ask(address)).await.is_ok_and(|answer| answer.unwrap_or(false)) {
                    break;
                }
                if Instant::now() >= deadline {
                    let what = format!("the portal doesn't serve on {address}");
                    return Err(DevError::NotReady { wait, what });
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }
}

/// Runs a program to its end.
async fn run(mut command: Command, name: &'static str) -> Result<(), DevError> {
    command.stdin(Stdio::null());
    let ended = tokio::task::spawn_blocking(move || command.output()).await;
    let made = ended.map_err(|error| DevError::System { what: name.to_owned(), message: error.to_string() })?;
    let made = made.map_err(system(format!("can't run {name}")))?;
    match made.status.success() {
        true => Ok(()),
        false => {
            let message = String::from_utf8_lossy(&made.stderr).trim().to_owned();
            Err(DevError::System { what: format!("{name} for the portal"), message })
        }
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
