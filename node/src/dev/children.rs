//! The nodes' processes: started, watched, stopped.

use std::fs::OpenOptions;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout_at};

use super::{DevError, Node, system, tail};
use crate::pid;

/// Above the nodes' own grace for requests in work.
const STOP_GRACE: Duration = Duration::from_secs(12);

/// One process per node; `None` where it ended.
pub(super) struct Children(Vec<(Node, Option<Child>)>);

fn spawn(node: &Node) -> Result<Child, DevError> {
    let log = node.log();
    let out = OpenOptions::new().create(true).append(true).open(&log);
    let out = out.map_err(system(log.display().to_string()))?;
    let err = out.try_clone().map_err(system(log.display().to_string()))?;
    let program = std::env::current_exe().map_err(system("can't find the own program"))?;
    Command::new(program)
        .arg("serve")
        .arg("--config")
        .arg(node.config())
        .env(pid::PARENT_VARIABLE, std::process::id().to_string())
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        // Ctrl-C in a terminal is for the keeper, which then stops its nodes.
        .process_group(0)
        .spawn()
        .map_err(system(format!("can't start node {}", node.id)))
}

impl Children {
    /// Starts all.
    pub(super) fn start(nodes: &[Node]) -> Result<Self, DevError> {
        let mut children = Vec::new();
        for node in nodes {
            children.push((node.clone(), Some(spawn(node)?)));
        }
        Ok(Self(children))
    }

    /// Waits for the end of one, whichever; for ever where none is left.
    pub(super) async fn next_end(&mut self) -> (u64, ExitStatus) {
        loop {
            for (node, child) in &mut self.0 {
                let ended = child.as_mut().map(Child::try_wait);
                if let Some(Ok(Some(status))) = ended {
                    *child = None;
                    return (node.id, status);
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for the end of one as something that must not be yet.
    pub(super) async fn first_end(&mut self) -> DevError {
        let (id, status) = self.next_end().await;
        let node = self.0.iter().find(|(node, _)| node.id == id);
        let (node, _) = node.expect("invariant: what ended is one of them");
        DevError::Ended { node: id, status: status.to_string(), log: node.log(), tail: tail(&node.log()) }
    }

    /// Starts a node again, unless someone else did.
    pub(super) fn restart(&mut self, id: u64) -> Result<(), DevError> {
        for (node, child) in &mut self.0 {
            let taken = || pid::read(&node.pid()).is_some_and(|pid| pid::serves(pid, &node.config()));
            if node.id == id && child.is_none() && !taken() {
                *child = Some(spawn(node)?);
            }
        }
        Ok(())
    }

    /// Stops all: those that we started and those that a script started again. What doesn't stop is killed.
    pub(super) async fn stop(&mut self) {
        let mut adopted = Vec::new();
        for (node, child) in &self.0 {
            let own = child.as_ref().and_then(Child::id);
            let own = own.and_then(|pid| i32::try_from(pid).ok());
            if let Some(pid) = own {
                pid::send(pid, Signal::TERM);
            }
            let other = pid::read(&node.pid()).filter(|pid| Some(*pid) != own);
            if let Some(pid) = other.filter(|pid| pid::serves(*pid, &node.config())) {
                pid::send(pid, Signal::TERM);
                adopted.push((node.clone(), pid));
            }
        }
        let deadline = Instant::now() + STOP_GRACE;
        for (node, child) in &mut self.0 {
            if let Some(mut child) = child.take()
                && timeout_at(deadline, child.wait()).await.is_err()
            {
                eprintln!("sillage-node dev: node {} doesn't stop: killed", node.id);
                let _ended_meanwhile = child.kill().await;
            }
        }
        for (node, pid) in adopted {
            let config = node.config();
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
