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

/// Makes the snapshot directory, empty: nothing in it outlives a process.
pub(crate) fn prepare_dir(root: &Path) -> io::Result<()> {
    if root.exists() {
        std::fs::remove_dir_all(root)?;
    }
    std::fs::create_dir_all(root)
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
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        std::fs::create_dir(&dir)?;
        self.transport.fetch_snapshot(fetch.from, &fetch.manifest, &dir).map_err(io::Error::other)?;
        manifest.verify_dir(&dir)?;
        Ok(manifest.total_bytes())
    }
}
