//! The snapshot worker: names what the state machine wrote, fetches what a leader offers, removes what nobody needs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::Queues;
use super::raft_thread::Event;
use crate::core::{FetchSnapshot, SnapshotMade};
use crate::log::sync_dir;
use crate::machine::Transport;
use crate::snapshot::{Manifest, Progress, SnapshotError, made_dir_name, made_in};

pub(crate) enum Task {
    /// The state as of (index, term) is in [`making_dir`].
    Made {
        index: u64,
        term: u64,
        /// Its files are hashed before it is offered.
        hash_first: bool,
    },
    /// Nobody needs the snapshot as of (index, term) any more.
    Release {
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

/// Makes the snapshot directory. Of what is in it two things outlive a process: files received from a leader, as the
/// next fetch begins with those that are still wanted, unless `applied` is as far; and the newest snapshot made here, as a peer may have come far with
/// it. Gives that one.
pub(crate) fn prepare_dir(root: &Path, applied: u64, keeps_made: bool) -> io::Result<Option<SnapshotMade>> {
    std::fs::create_dir_all(root)?;
    let mut made = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        match entry.file_type()?.is_dir() {
            true if is_received(&entry.path()) && !is_installed(&entry.path(), applied) => {}
            true => match name.to_str().and_then(made_in).filter(|_| keeps_made) {
                Some(of) => made.push(of),
                None => std::fs::remove_dir_all(entry.path())?,
            },
            false => std::fs::remove_file(entry.path())?,
        }
    }
    made.sort_unstable();
    let newest = made.pop();
    for (index, term) in made {
        std::fs::remove_dir_all(root.join(made_dir_name(index, term)))?;
    }
    let Some((index, term)) = newest else { return Ok(None) };
    let dir = root.join(made_dir_name(index, term));
    match Manifest::list_dir(&dir, index, term) {
        Ok(manifest) => Ok(Some(SnapshotMade { index, term, manifest: manifest.encode() })),
        Err(error) => {
            tracing::warn!(%error, index, "a snapshot of an earlier run can't be listed, and is removed");
            std::fs::remove_dir_all(&dir)?;
            Ok(None)
        }
    }
}

fn is_received(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with("received-"))
}

/// Tells whether a received folder is of a state that the state machine has reached since: nobody would take it away.
fn is_installed(path: &Path, applied: u64) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let index = name.and_then(|name| name.strip_prefix("received-")?.split('-').next());
    index.and_then(|index| u64::from_str_radix(index, 16).ok()).is_some_and(|index| index <= applied)
}

/// Makes `dir` out of the files of an earlier fetch that `manifest` names too. Most files of a database never change: so
/// a fetch that was cut short, or that took so long that the leader had to offer a newer snapshot, was not in vain, and
/// the next is shorter. Whether their content is the same is found when they are fetched.
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
    progress: Arc<Progress>,
    tasks: Receiver<Task>,
    events: Sender<Event>,
}

impl Worker {
    pub(crate) fn new<R>(
        root: PathBuf,
        transport: Arc<dyn Transport>,
        progress: Arc<Progress>,
        queues: &Queues<R>,
    ) -> Self {
        Worker { root, transport, progress, tasks: queues.snapshots.1.clone(), events: queues.events.0.clone() }
    }

    pub(crate) fn run(self) {
        while let Ok(task) = self.tasks.recv() {
            let event = match task {
                Task::Made { index, term, hash_first } => Event::SnapshotMade(self.made(index, term, hash_first)),
                Task::Fetch(fetch) => Event::SnapshotFetched { index: fetch.index, fetched: self.fetch(&fetch) },
                Task::Release { index, term } => {
                    self.release(index, term);
                    continue;
                }
                Task::Stop => return,
            };
            // If nobody listens, the node is stopping.
            let _ = self.events.send(event);
        }
    }

    fn made(&self, index: u64, term: u64, hash_first: bool) -> Option<SnapshotMade> {
        match self.try_made(index, term, hash_first) {
            Ok(manifest) => Some(SnapshotMade { index, term, manifest: manifest.encode() }),
            Err(error) => {
                tracing::error!(%error, index, "could not make a snapshot; it will be tried again");
                None
            }
        }
    }

    fn try_made(&self, index: u64, term: u64, hash_first: bool) -> Result<Manifest, SnapshotError> {
        let making = making_dir(&self.root);
        let manifest = match hash_first {
            true => Manifest::of_dir(&making, index, term)?,
            false => Manifest::list_dir(&making, index, term)?,
        };
        let dir = self.root.join(manifest.dir_name());
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        std::fs::rename(&making, &dir)?;
        sync_dir(&self.root)?;
        tracing::info!(index, bytes = manifest.total_bytes(), "made a snapshot");
        Ok(manifest)
    }

    /// Its hard links go: they kept files on disk that the database has replaced.
    fn release(&self, index: u64, term: u64) {
        let dir = self.root.join(made_dir_name(index, term));
        match std::fs::remove_dir_all(&dir) {
            Ok(()) => tracing::info!(index, "a snapshot was released"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, index, "a snapshot can't be removed; it takes up room until the next start");
            }
        }
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
        let fetched = self.transport.fetch_snapshot(fetch.from, &manifest, &dir, &self.progress);
        let fetched = fetched.map_err(io::Error::other)?;
        if !manifest.agrees_with(&fetched) {
            return Err(SnapshotError::Malformed);
        }
        fetched.verify_dir(&dir, &self.progress)?;
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
        let manifest = Manifest::list_dir(&root.join("wanted"), 9, 2).unwrap();
        put(&received_dir(root, 7, 2), &[("2.sst", "two")]);
        // A whole file, one cut short, one that is no longer wanted, one that is too long, and what a process left.
        put(&received_dir(root, 8, 2), &[("1.sst", "one"), ("sub/3.sst", "thr"), ("0.sst", "zero"), ("LIST", "aa")]);
        put(root, &[("making/x", "x"), ("made-01-01/x", "x"), ("stray", "x")]);
        std::fs::rename(root.join("wanted"), root.join("received-wanted")).unwrap();
        put(&received_dir(root, 5, 2), &[("1.sst", "one")]);
        assert_eq!(prepare_dir(root, 5, true).unwrap(), None);
        assert!(!received_dir(root, 5, 2).exists(), "that state was reached");
        assert!(received_dir(root, 7, 2).exists() && received_dir(root, 8, 2).exists());
        std::fs::remove_dir_all(root.join("received-wanted")).unwrap();
        let dir = received_dir(root, 9, 2);
        begin_with_received(root, &dir, &manifest).unwrap();
        assert_eq!(names(&dir), ["1.sst", "sub/3.sst"]);
        assert_eq!(std::fs::read_dir(root).unwrap().count(), 1, "nothing else is left");
        begin_with_received(root, &dir, &manifest).unwrap();
        assert_eq!(names(&dir), ["1.sst", "sub/3.sst"], "the same snapshot again");
    }

    #[test]
    fn the_first_fetch_begins_with_nothing() {
        let root = tempfile::tempdir().unwrap();
        prepare_dir(root.path(), 0, true).unwrap();
        let dir = received_dir(root.path(), 9, 2);
        let manifest = Manifest { index: 9, term: 2, files: Vec::new() };
        begin_with_received(root.path(), &dir, &manifest).unwrap();
        assert!(names(&dir).is_empty());
    }

    #[test]
    fn the_newest_snapshot_made_here_stands_after_a_restart() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for (index, term) in [(7, 3), (9, 2)] {
            put(&root.join(made_dir_name(index, term)), &[("1.sst", "one")]);
        }
        let made = prepare_dir(root, 0, true).unwrap().expect("the newest");
        assert_eq!((made.index, made.term), (9, 2));
        let manifest = Manifest::decode(&made.manifest).unwrap();
        assert_eq!((manifest.files.len(), manifest.is_hashed()), (1, false));
        assert!(!root.join(made_dir_name(7, 3)).exists());
        assert_eq!(prepare_dir(root, 0, false).unwrap(), None);
        assert!(!root.join(made_dir_name(9, 2)).exists());
    }
}
