//! A process of the portal that `sillage-node dev` started doesn't outlive it.

use std::io;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// In the environment of a child that must not outlive its parent: the parent's process id.
const PARENT_VARIABLE: &str = "SILLAGE_PARENT_PID";

/// Where the environment says so, asks to be killed when the parent dies, however it dies.
///
/// # Errors
/// When the system refuses, or the parent is dead already.
pub(crate) fn die_with_parent() -> io::Result<()> {
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
