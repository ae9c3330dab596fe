//! Where the programs are, and which ports are free.

use super::ProcessError;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

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

/// Tells whether a program is on the PATH.
pub fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// The first of `count` ports of this machine that are free one after another. Below the range from which the system
/// gives ports to outgoing connections, so that none of them is taken between now and their use.
///
/// # Errors
/// When there are no such ports.
pub fn free_ports(count: u16) -> Result<u16, ProcessError> {
    // Programs that look at the same time begin at different places.
    let first = 12_000 + u16::try_from(std::process::id() % 1_000).expect("below 1,000") * 16;
    let starts = (first..31_000).step_by(16).chain((12_000..first).step_by(16));
    let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    for start in starts {
        if (start..start + count).all(free) {
            return Ok(start);
        }
    }
    let none = std::io::Error::new(std::io::ErrorKind::AddrInUse, "no free ports below 32768");
    Err(ProcessError::io("cannot choose ports")(none))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_that_are_taken_are_passed_over() {
        let start = free_ports(2).expect("free ports");
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, start + 1)).expect("it was free");
        let other = free_ports(2).expect("free ports");
        assert_ne!(start, other);
        drop(taken);
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = program("sillage-nothing").expect_err("there is none");
        assert!(error.to_string().contains("cargo build"), "{error}");
    }
}
