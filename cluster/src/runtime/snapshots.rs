//! The snapshot worker: hashes what the state machine wrote, fetches what a leader offers, removes what is old.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::Queues;
use super::raft_thread::Event;
use crate::core::{FetchSnapshot, SnapshotMade};
use crate::machine::Transport;
use crate::snapshot::{Manifest, SnapshotError};

/// Snapshots kept of those made here: the newest, and the one before, which a peer may still be fetching.
const KEPT: usize = 2;

pub(crate) enum Task {
    /// The state as of (index, term) is in [`making_dir`].
    Hash {
        index: u64,
        term: u64,
    },
    Fetch(FetchSnapshot),
    Stop,
}

/// Where a snapshot is written before it has a name.
pub(crate) fn making_dir(root: &Path) -> PathBuf {
    root.join("making")
}

/// Where a snapshot from a leader is gathered.
pub(crate) fn received_dir(root: &Path, index: u64, term: u64) -> PathBuf {
    root.join(format!("received-{index:016x}-{term:016x}"))
}

/// Makes the snapshot directory. Of what is in it only files received from a leader outlive a process: the next
/// fetch begins with those that are still wanted.
pub(crate) fn prepare_dir(root: &Path) -> io::Result<()> {
    std::fs::create_dir_all(root)?;
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true if is_received(&entry.path()) => {}
            true => std::fs::remove_dir_all(entry.path())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

fn is_received(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with("received-"))
}

/// Makes `dir` out of the files of an earlier fetch that `manifest` names too, byte by byte. Most files of a database
/// never change: so a fetch that was cut short, or that took so long that the leader had to offer a newer snapshot,
/// was not in vain, and the next is shorter.
fn begin_with_received(root: &Path, dir: &Path, manifest: &Manifest) -> io::Result<()> {
    let mut earlier = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let path = entry?.path();
        if is_received(&path) {
            earlier.push(path);
        }
    }
    // The one of the same name, else the newest, goes on; names sort as their indices.
    earlier.sort_by_key(|path| (path == dir, path.clone()));
    match earlier.pop() {
        Some(path) if path == dir => {}
        Some(path) => std::fs::rename(path, dir)?,
        None => std::fs::create_dir(dir)?,
    }
    earlier.iter().try_for_each(std::fs::remove_dir_all)?;
    manifest.keep_only_own(dir)
}

pub(crate) struct Worker {
    root: PathBuf,
    transport: Arc<dyn Transport>,
    tasks: Receiver<Task>,
    events: Sender<Event>,
}

impl Worker {
    pub(crate) fn new<R>(root: PathBuf, transport: Arc<dyn Transport>, queues: &Queues<R>) -> Self {
        Worker { root, transport, tasks: queues.snapshots.1.clone(), events: queues.events.0.clone() }
    }

    pub(crate) fn run(self) {
        while let Ok(task) = self.tasks.recv() {
            let event = match task {
                Task::Hash { index, term } => Event::SnapshotMade(self.hash(index, term)),
                Task::Fetch(fetch) => Event::SnapshotFetched { index: fetch.index, fetched: self.fetch(&fetch) },
                Task::Stop => return,
            };
            // If nobody listens, the node is stopping.
            let _ = self.events.send(event);
        }
    }

    fn hash(&self, index: u64, term: u64) -> Option<SnapshotMade> {
        match self.try_hash(index, term) {
            Ok(manifest) => Some(SnapshotMade { index, term, manifest: manifest.encode() }),
            Err(error) => {
                tracing::error!(%error, index, "could not make a snapshot; it will be tried again");
                None
            }
        }
    }

    fn try_hash(&self, index: u64, term: u64) -> Result<Manifest, SnapshotError> {
        let making = making_dir(&self.root);
        let manifest = Manifest::of_dir(&making, index, term)?;
        let dir = self.root.join(manifest.dir_name());
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        std::fs::rename(&making, &dir)?;
        self.remove_old()?;
        tracing::info!(index, bytes = manifest.total_bytes(), "made a snapshot");
        Ok(manifest)
    }

    fn remove_old(&self) -> io::Result<()> {
        let mut made = Vec::new();
        for entry in std::fs::read_dir(&self.root)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| name.starts_with("made-")) {
                made.push(path);
            }
        }
        // Fixed-width hexadecimal: the order of names is the order of indices.
        made.sort();
        made.truncate(made.len().saturating_sub(KEPT));
        made.iter().try_for_each(std::fs::remove_dir_all)
    }

    fn fetch(&self, fetch: &FetchSnapshot) -> bool {
        match self.try_fetch(fetch) {
            Ok(bytes) => {
                tracing::info!(index = fetch.index, bytes, from = fetch.from, "fetched a snapshot");
                true
            }
            Err(error) => {
                tracing::warn!(%error, index = fetch.index, from = fetch.from, "could not fetch a snapshot");
                false
            }
        }
    }

    fn try_fetch(&self, fetch: &FetchSnapshot) -> Result<u64, SnapshotError> {
        let manifest = Manifest::decode(&fetch.manifest)?;
        if (manifest.index, manifest.term) != (fetch.index, fetch.term) {
            return Err(SnapshotError::Malformed);
        }
        let dir = received_dir(&self.root, fetch.index, fetch.term);
        begin_with_received(&self.root, &dir, &manifest)?;
        self.transport.fetch_snapshot(fetch.from, &fetch.manifest, &dir).map_err(io::Error::other)?;
        manifest.verify_dir(&dir)?;
        Ok(manifest.total_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(dir: &Path, files: &[(&str, &str)]) {
        for (name, content) in files {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
    }

    fn names(dir: &Path) -> Vec<String> {
        Manifest::of_dir(dir, 1, 1).unwrap().files.into_iter().map(|file| file.name).collect()
    }

    #[test]
    fn a_fetch_begins_with_what_earlier_ones_brought() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        put(
            root,
            &[("wanted/1.sst", "one"), ("wanted/2.sst", "two"), ("wanted/sub/3.sst", "three"), ("wanted/LIST", "b")],
        );
        let manifest = Manifest::of_dir(&root.join("wanted"), 9, 2).unwrap();
        put(&received_dir(root, 7, 2), &[("2.sst", "two")]);
        // A file cut short, one that is no longer wanted, one that changed, and what a process left.
        put(&received_dir(root, 8, 2), &[("1.sst", "one"), ("sub/3.sst", "thr"), ("0.sst", "zero"), ("LIST", "a")]);
        put(root, &[("making/x", "x"), ("made-01-01/x", "x"), ("stray", "x")]);
        std::fs::rename(root.join("wanted"), root.join("received-wanted")).unwrap();
        prepare_dir(root).unwrap();
        std::fs::remove_dir_all(root.join("received-wanted")).unwrap();
        let dir = received_dir(root, 9, 2);
        begin_with_received(root, &dir, &manifest).unwrap();
        assert_eq!(names(&dir), ["1.sst"]);
        assert_eq!(std::fs::read_dir(root).unwrap().count(), 1, "nothing else is left");
        put(&dir, &[("2.sst", "tw")]);
        begin_with_received(root, &dir, &manifest).unwrap();
        assert_eq!(names(&dir), ["1.sst"], "the same snapshot again");
    }

    #[test]
    fn the_first_fetch_begins_with_nothing() {
        let root = tempfile::tempdir().unwrap();
        prepare_dir(root.path()).unwrap();
        let dir = received_dir(root.path(), 9, 2);
        let manifest = Manifest { index: 9, term: 2, files: Vec::new() };
        begin_with_received(root.path(), &dir, &manifest).unwrap();
        assert!(names(&dir).is_empty());
    }
}
