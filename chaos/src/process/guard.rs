//! Leaving nothing behind: only processes that belong to our folder are ever signalled, and each wait is bounded.

use super::send;
use rustix::process::Signal;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

/// How long a process may take to stop when asked: longer than `sillage-node dev` gives its nodes.
const STOP_MAX: Duration = Duration::from_secs(15);

/// Tells whether `pid` is a live process with `dir` on its command line: a process id alone may since be someone else's.
pub(super) fn runs_in(pid: u32, dir: &Path) -> bool {
    let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    String::from_utf8_lossy(&line).contains(&*dir.to_string_lossy())
}

/// Tells whether there is a process `pid`, be it a dead one that nobody has asked for yet.
pub(super) fn is_there(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

/// Asks a child to stop as Ctrl-C does; kills it when it takes too long.
pub(super) fn ask_then_kill(child: &mut Child) {
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    send(child.id(), Signal::INT);
    let deadline = Instant::now() + STOP_MAX;
    while Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Returns when this program is asked to stop (Ctrl-C, or SIGTERM), so that it can stop what it started.
pub async fn stop_asked() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}
