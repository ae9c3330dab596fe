//! A folder that one process at a time may use: the folder itself is locked, so no file has to be made for it.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// Locks a folder until the file is dropped, or the process ends however it ends. None where another process has it.
///
/// # Errors
/// When the folder isn't there or can't be opened.
pub fn hold(folder: &Path) -> io::Result<Option<File>> {
    let file = File::open(folder)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_once_until_it_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let held = hold(dir.path()).unwrap().expect("free");
        assert!(hold(dir.path()).unwrap().is_none());
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "no file is made");
        drop(held);
        assert!(hold(dir.path()).unwrap().is_some());
        assert!(hold(&dir.path().join("missing")).is_err());
    }
}
