//! The process of a server: how it starts, whom it follows, when it stops.

use std::io;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use sillage_client::process::{keep_memory_out_of_swap, keep_memory_private};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// In the environment of a child that must not outlive its parent: the parent's process id.
const PARENT_VARIABLE: &str = "SILLAGE_PARENT_PID";

/// A process that can't be set up.
#[derive(Debug, thiserror::Error)]
#[error("{attempt}: {source}")]
pub struct ProcessError {
    attempt: &'static str,
    source: io::Error,
}

fn failed(attempt: &'static str) -> impl FnOnce(io::Error) -> ProcessError {
    move |source| ProcessError { attempt, source }
}

/// Sets the process up, in this order: log lines go to the standard error, as `SILLAGE_LOG` says (`info` without it); keys in memory
/// stay private; the process ends with its parent where `SILLAGE_PARENT_PID` names it. Returns the threads on which it serves.
///
/// # Errors
/// When the system refuses one of them.
pub fn start(thread_name: &str) -> Result<Runtime, ProcessError> {
    let filter = EnvFilter::try_from_env("SILLAGE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // A second start in one process keeps the first subscriber.
    let _already = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).try_init();
    keep_memory_private().map_err(failed("can't keep the keys in memory private"))?;
    if let Some(what_to_do) = keep_memory_out_of_swap() {
        tracing::warn!("{what_to_do}");
    }
    die_with_parent().map_err(failed("can't follow the parent process"))?;
    let runtime = Builder::new_multi_thread().enable_all().thread_name(thread_name).build();
    runtime.map_err(failed("can't start the network threads"))
}

/// Where the environment says so, asks to be killed when the parent dies, however it dies.
fn die_with_parent() -> io::Result<()> {
    let Ok(parent) = std::env::var(PARENT_VARIABLE) else {
        return Ok(());
    };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before we asked.
    let now = getppid().map(|pid| pid.as_raw_nonzero().get().to_string());
    match now == Some(parent) {
        true => Ok(()),
        false => Err(io::Error::other("it is gone")),
    }
}

/// Ends at the first SIGTERM or SIGINT after this call. Call it within the runtime.
///
/// # Errors
/// When the system refuses.
pub fn stop_signal() -> Result<impl Future<Output = ()>, ProcessError> {
    let signals = signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
    let (mut term, mut interrupt) = signals.map_err(failed("can't listen for signals"))?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
