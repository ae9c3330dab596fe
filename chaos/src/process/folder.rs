//! The ways in which people change the data folder of a stopped node: delete it, put an older copy in its place, take
//! another node's.
//!
//! The folder that is really the node's is never destroyed: it is kept beside, and comes back with [`Folders::restore`].

use super::ProcessError;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The data folders of a log's nodes.
#[derive(Debug)]
pub struct Folders {
    dir: PathBuf,
    /// Node → its own folder, moved away while something else is in its place.
    own: BTreeMap<u64, PathBuf>,
    copies: u32,
}

impl Folders {
    /// Those of the log in `dir`, with nodes in `dir/node-<id>`.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), own: BTreeMap::new(), copies: 0 }
    }

    /// Where node `id` looks for its data.
    pub fn data(&self, id: u64) -> PathBuf {
        self.dir.join(format!("node-{id}/data"))
    }

    /// Copies the folder of a node that is stopped: the copy of a while ago, later.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub fn copy(&mut self, id: u64) -> Result<PathBuf, ProcessError> {
        self.copies += 1;
        let copy = self.dir.join(format!("node-{id}/copy-{}", self.copies));
        let mut cp = Command::new("cp");
        // Space that was allocated and never written stays a hole.
        cp.args(["-a", "--sparse=always"]).arg(self.data(id)).arg(&copy);
        let done = cp.output().map_err(ProcessError::io("cannot run cp"))?;
        match done.status.success() {
            true => Ok(copy),
            false => {
                let log = String::from_utf8_lossy(&done.stderr).into_owned();
                Err(ProcessError::Failed { what: format!("cannot copy the data of node {id}"), log })
            }
        }
    }

    /// Deletes a node's folder, as far as the node can tell; `leave_empty` leaves an empty one.
    ///
    /// # Errors
    /// When it can't be moved.
    pub fn wipe(&mut self, id: u64, leave_empty: bool) -> Result<(), ProcessError> {
        self.take_away(id)?;
        if leave_empty {
            let data = self.data(id);
            fs::create_dir(&data).map_err(ProcessError::io(format!("cannot create {}", data.display())))?;
        }
        Ok(())
    }

    /// Puts a copy in the place of a node's folder. The copy is used up.
    ///
    /// # Errors
    /// When folders can't be moved.
    pub fn put_back(&mut self, id: u64, copy: &Path) -> Result<(), ProcessError> {
        self.take_away(id)?;
        rename(copy, &self.data(id))
    }

    /// Gives each of two nodes a copy of the other's folder.
    ///
    /// # Errors
    /// When folders can't be copied or moved.
    pub fn swap(&mut self, a: u64, b: u64) -> Result<(), ProcessError> {
        let (of_a, of_b) = (self.copy(a)?, self.copy(b)?);
        self.put_back(a, &of_b)?;
        self.put_back(b, &of_a)
    }

    /// Brings a node's own folder back; what was in its place goes.
    ///
    /// # Errors
    /// When folders can't be moved or removed.
    pub fn restore(&mut self, id: u64) -> Result<(), ProcessError> {
        let Some(own) = self.own.remove(&id) else { return Ok(()) };
        let data = self.data(id);
        if data.exists() {
            fs::remove_dir_all(&data).map_err(ProcessError::io(format!("cannot remove {}", data.display())))?;
        }
        rename(&own, &data)
    }

    fn take_away(&mut self, id: u64) -> Result<(), ProcessError> {
        assert!(!self.own.contains_key(&id), "node {id} has something else in the place of its folder already");
        let own = self.dir.join(format!("node-{id}/own-data"));
        rename(&self.data(id), &own)?;
        self.own.insert(id, own);
        Ok(())
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), ProcessError> {
    fs::rename(from, to).map_err(ProcessError::io(format!("cannot move {} to {}", from.display(), to.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(folders: &Folders, id: u64) -> Option<String> {
        fs::read_to_string(folders.data(id).join("file")).ok()
    }

    #[test]
    fn whatever_took_its_place_a_nodes_own_folder_comes_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut folders = Folders::new(dir.path());
        let write = |folders: &Folders, id, content: &str| {
            fs::create_dir_all(folders.data(id)).expect("a folder");
            fs::write(folders.data(id).join("file"), content).expect("a file");
        };
        write(&folders, 1, "one");
        write(&folders, 2, "two");

        folders.wipe(1, true).expect("wiped");
        assert!(folders.data(1).is_dir() && text(&folders, 1).is_none());
        write(&folders, 1, "made by the node meanwhile");
        folders.restore(1).expect("restored");
        assert_eq!(text(&folders, 1).as_deref(), Some("one"));

        let old = folders.copy(1).expect("copied");
        write(&folders, 1, "one, later");
        folders.put_back(1, &old).expect("put back");
        assert_eq!(text(&folders, 1).as_deref(), Some("one"));
        folders.restore(1).expect("restored");
        assert_eq!(text(&folders, 1).as_deref(), Some("one, later"));

        folders.swap(1, 2).expect("swapped");
        assert_eq!((text(&folders, 1).as_deref(), text(&folders, 2).as_deref()), (Some("two"), Some("one, later")));
        for id in [1, 2] {
            folders.restore(id).expect("restored");
        }
        assert_eq!((text(&folders, 1).as_deref(), text(&folders, 2).as_deref()), (Some("one, later"), Some("two")));
        assert_eq!(fs::read_dir(dir.path().join("node-1")).expect("a folder").count(), 1, "nothing is left over");
    }
}
