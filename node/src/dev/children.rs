//! The processes of a test log: started, watched, stopped.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout_at};

use super::{DevError, system, tail};
use crate::pid;

/// Above the nodes' own grace for requests in work.
const STOP_GRACE: Duration = Duration::from_secs(12);

/// A process to keep: `<program> <command> --config <config>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    /// As it is called in messages.
    pub name: String,
    /// The program that is run.
    pub program: PathBuf,
    /// Its command: `serve`, as a rule.
    pub command: &'static str,
    /// Its configuration.
    pub config: PathBuf,
    /// More arguments.
    pub args: &'static [&'static str],
    /// Where it writes.
    pub log: PathBuf,
    /// Where it says its process id, if it does.
    pub pid: PathBuf,
}

/// The processes; `None` where one ended.
pub(super) struct Children(Vec<(Process, Option<Child>)>);

fn spawn(process: &Process) -> Result<Child, DevError> {
    let log = process.log.display().to_string();
    let out = OpenOptions::new().create(true).append(true).open(&process.log);
    let out = out.map_err(system(log.clone()))?;
    let err = out.try_clone().map_err(system(log))?;
    Command::new(&process.program)
        .arg(process.command)
        .arg("--config")
        .arg(&process.config)
        .args(process.args)
        .env(pid::PARENT_VARIABLE, std::process::id().to_string())
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        // Ctrl-C in a terminal is for the keeper, which then stops what it started.
        .process_group(0)
        .spawn()
        .map_err(system(format!("can't start {}", process.name)))
}

impl Children {
    /// Starts all.
    pub(super) fn start(processes: Vec<Process>) -> Result<Self, DevError> {
        let start = |process: Process| spawn(&process).map(|child| (process, Some(child)));
        processes.into_iter().map(start).collect::<Result<_, _>>().map(Self)
    }

    /// Starts more of them.
    pub(super) fn add(&mut self, processes: Vec<Process>) -> Result<(), DevError> {
        let more = Self::start(processes)?;
        self.0.extend(more.0);
        Ok(())
    }

    /// Waits for the end of one, whichever; for ever where none is left.
    pub(super) async fn next_end(&mut self) -> (Process, ExitStatus) {
        loop {
            for (process, child) in &mut self.0 {
                let ended = child.as_mut().map(Child::try_wait);
                if let Some(Ok(Some(status))) = ended {
                    *child = None;
                    return (process.clone(), status);
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for the end of one as something that must not be yet.
    pub(super) async fn first_end(&mut self) -> DevError {
        let (process, status) = self.next_end().await;
        let tail = tail(&process.log);
        DevError::Ended { name: process.name, status: status.to_string(), log: process.log, tail }
    }

    /// Starts a process again, unless someone else did.
    pub(super) fn restart(&mut self, ended: &Process) -> Result<(), DevError> {
        for (process, child) in &mut self.0 {
            let taken = || pid::read(&process.pid).is_some_and(|pid| pid::serves(pid, &process.config));
            if process == ended && child.is_none() && !taken() {
                *child = Some(spawn(process)?);
            }
        }
        Ok(())
    }

    /// Stops one, and keeps it no longer.
    pub(super) async fn let_go(&mut self, process: &Process) {
        let (gone, kept) = std::mem::take(&mut self.0).into_iter().partition(|(known, _)| known == process);
        self.0 = kept;
        Self(gone).stop().await;
    }

    /// Stops all: those that we started and those that a script started again. A process that doesn't stop is killed.
    pub(super) async fn stop(&mut self) {
        let mut adopted = Vec::new();
        for (process, child) in &self.0 {
            let own = child.as_ref().and_then(Child::id);
            let own = own.and_then(|pid| i32::try_from(pid).ok());
            if let Some(pid) = own {
                pid::send(pid, Signal::TERM);
            }
            let other = pid::read(&process.pid).filter(|pid| Some(*pid) != own);
            if let Some(pid) = other.filter(|pid| pid::serves(*pid, &process.config)) {
                pid::send(pid, Signal::TERM);
                adopted.push((process.config.clone(), pid));
            }
        }
        let deadline = Instant::now() + STOP_GRACE;
        for (process, child) in &mut self.0 {
            if let Some(mut child) = child.take()
                && timeout_at(deadline, child.wait()).await.is_err()
            {
                eprintln!("sillage-node dev: {} doesn't stop: killed", process.name);
                let _ended_meanwhile = child.kill().await;
            }
        }
        for (config, pid) in adopted {
            while pid::serves(pid, &config) {
                if Instant::now() >= deadline {
                    pid::send(pid, Signal::KILL);
                    break;
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
