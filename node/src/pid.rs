//! A process among others: its pid file, its parent, its limits.

use std::io;
use std::path::{Path, PathBuf};

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{
    DumpableBehavior, Pid, Resource, Rlimit, Signal, getppid, getrlimit, kill_process, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit, test_kill_process,
};

/// In the environment of a child that must not outlive its parent: the parent's process id.
pub const PARENT_VARIABLE: &str = "SILLAGE_PARENT_PID";

/// A file with the process id, there as long as the process; after a SIGKILL it stays and is stale.
pub struct PidFile(PathBuf);

impl PidFile {
    /// Writes the own process id, over what a dead process left.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write(path: &Path) -> io::Result<Self> {
        let new = path.with_extension("new");
        std::fs::write(&new, format!("{}\n", std::process::id()))?;
        std::fs::rename(&new, path)?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Another process may have taken over; its file stays.
        if read(&self.0) == i32::try_from(std::process::id()).ok() {
            let _gone_already = std::fs::remove_file(&self.0);
        }
    }
}

/// The process id in a pid file.
pub fn read(path: &Path) -> Option<i32> {
    let text = std::fs::read_to_string(path).ok()?;
    text.trim().parse().ok().filter(|pid| *pid > 0)
}

/// Tells whether a process `pid` is there and serves exactly `config`: process ids are used again.
pub fn serves(pid: i32, config: &Path) -> bool {
    let alive = Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid).is_ok());
    let Ok(command) = std::fs::read(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    let wanted = config.canonicalize().ok();
    let mut words = command.split(|byte| *byte == 0);
    alive
        && wanted.is_some()
        && words.any(|word| {
            let word = Path::new(std::str::from_utf8(word).unwrap_or(""));
            word.is_absolute() && word.canonicalize().ok() == wanted || resolve_in_cwd_of(pid, word) == wanted
        })
}

/// A relative path as process `pid` sees it.
fn resolve_in_cwd_of(pid: i32, word: &Path) -> Option<PathBuf> {
    let cwd = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    cwd.join(word).canonicalize().ok()
}

/// Sends a signal; whether there was someone to get it.
pub fn send(pid: i32, signal: Signal) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| kill_process(pid, signal).is_ok())
}

/// Where the environment says so, asks to be killed when the parent dies, however it dies.
///
/// # Errors
/// When the system refuses, or the parent is dead already.
pub fn die_with_parent() -> io::Result<()> {
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

/// Keeps what this process has in memory from other processes of the same user, and from the disk: nobody attaches to it, and
/// when it crashes no image of it is written. Swap is for [`keep_memory_out_of_swap`].
///
/// # Errors
/// When the system refuses.
pub fn keep_memory_private() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Bit of `CapEff` in `/proc/self/status`: this process may lock whatever memory it likes.
const CAP_IPC_LOCK: u32 = 14;

/// Keeps the memory of this process, and so its keys, out of swap. Memory is locked as it is used, and only where the system lets
/// this process lock all of it: under a limit, an allocation beyond that would fail. Says what to do where keys can reach a swap
/// file.
pub fn keep_memory_out_of_swap() -> Option<String> {
    let limit = getrlimit(Resource::Memlock);
    let may = limit.maximum.is_none() || has_capability(CAP_IPC_LOCK);
    let locked = may && {
        let _as_it_is = setrlimit(Resource::Memlock, Rlimit { current: limit.maximum, maximum: limit.maximum });
        mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT).is_ok()
    };
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    // Its first line is the head of the table.
    (!locked && swaps.lines().count() > 1).then(|| {
        "keys in memory can reach the swap of this machine: turn it off, encrypt it, or let the process lock its memory \
         (systemd: LimitMEMLOCK=infinity; a shell: ulimit -l unlimited)"
            .to_owned()
    })
}

fn has_capability(bit: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).is_some_and(|bits| bits >> bit & 1 == 1)
}

/// As many files and sockets as the system lets a process have: a database has many.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_goes_with_its_process_and_only_then() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        std::fs::write(&path, "stale").unwrap();
        let own = PidFile::write(&path).unwrap();
        assert_eq!(read(&path), i32::try_from(std::process::id()).ok());
        drop(own);
        assert!(!path.exists());

        let own = PidFile::write(&path).unwrap();
        std::fs::write(&path, "1\n").unwrap();
        drop(own);
        assert_eq!(read(&path), Some(1), "another's file stays");
    }

    #[test]
    fn a_process_that_serves_something_else_is_not_taken_for_ours() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("node.toml");
        std::fs::write(&config, "").unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(!serves(own, &config));
        assert!(!serves(i32::MAX, &config));
    }
}
