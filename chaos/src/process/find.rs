//! Where the programs are, and which ports are free.

use super::ProcessError;
use parking_lot::Mutex;
use rustix::fs::FlockOperation;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

/// A program of this workspace, built beside the running one (`target/debug`, also from `target/debug/deps`).
///
/// # Errors
/// When it is not there.
pub fn program(name: &str) -> Result<PathBuf, ProcessError> {
    let here = std::env::current_exe().map_err(ProcessError::io("cannot find this program's own path"))?;
    let folders: Vec<PathBuf> = here.ancestors().skip(1).take(2).map(PathBuf::from).collect();
    let found = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| ProcessError::NoProgram {
        name: name.to_owned(),
        looked_in: folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", "),
    })
}

/// Whether a program is on the PATH.
pub fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// Ports are claimed in blocks of this many.
const BLOCK: u16 = 16;
/// Blocks lie below the range from which the system gives ports to outgoing connections.
const BLOCKS: std::ops::Range<u16> = 750..1_937;

/// The first of `count` ports of this machine that are free one after another. They stay this process' until it ends: a program that asks
/// meanwhile gets others, whether it asks here or in another worktree.
///
/// # Errors
/// When there are no such ports.
pub fn free_ports(count: u16) -> Result<u16, ProcessError> {
    /// Locked files: the system unlocks them when this process ends, however it ends.
    static CLAIMED: Mutex<Vec<File>> = Mutex::new(Vec::new());

    let folder = std::env::temp_dir().join("sillage-ports");
    std::fs::create_dir_all(&folder).map_err(ProcessError::io(format!("cannot create {}", folder.display())))?;
    // Programs that look at the same time begin at different places.
    let middle = BLOCKS.start + u16::try_from(std::process::id() % 1_000).expect("below 1,000");
    let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    for block in (middle..BLOCKS.end).chain(BLOCKS.start..middle) {
        let blocks = block..(block + count.div_ceil(BLOCK)).min(BLOCKS.end);
        let first = block * BLOCK;
        if blocks.len() < usize::from(count.div_ceil(BLOCK)) {
            continue;
        }
        let Some(claims) = blocks.map(|block| claim(&folder, block)).collect::<Option<Vec<_>>>() else { continue };
        if (first..first + count).all(free) {
            CLAIMED.lock().extend(claims);
            return Ok(first);
        }
    }
    let none = std::io::Error::new(std::io::ErrorKind::AddrInUse, "no free ports below 32768");
    Err(ProcessError::io("cannot choose ports")(none))
}

/// The lock of a block; none where another program has it.
fn claim(folder: &Path, block: u16) -> Option<File> {
    let file = File::options().create(true).truncate(false).write(true).open(folder.join(block.to_string())).ok()?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_given_out_once() {
        let first = free_ports(20).expect("free ports");
        let other = free_ports(20).expect("free ports");
        assert!(first.abs_diff(other) >= 2 * BLOCK, "{first} {other}");
        assert!(claim(&std::env::temp_dir().join("sillage-ports"), first / BLOCK + 1).is_none());
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = program("sillage-nothing").expect_err("there is none");
        assert!(error.to_string().contains("cargo build"), "{error}");
    }
}
