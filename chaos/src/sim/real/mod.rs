//! The ledger itself under a simulated replica: real RocksDB, real snapshots, real restarts.
//!
//! The database lies in memory (`/dev/shm`, where there is one). Only a flush writes; after each one the folder is copied,
//! by hard links where files don't change any more. A crash throws the database away and opens that copy. In some
//! crashes a flush is under way: then its files are there, and a part of what it wrote to RocksDB's manifest.

mod kit;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sillage_cluster::core::{CommittedEntry, Members};
use sillage_ledger::seal::Sealer;
use sillage_ledger::{CLOCKS, COMMAND_VERSION, CommandOutcome, EntryReader, Ledger, Options, Plants};
use sillage_proof::hash::{Hash, LeafIndex, TreeSize, leaf_hash};
use sillage_proof::merkle::root_of;
use sillage_proto::internal::v1::Command;
use tempfile::TempDir;

pub(crate) use kit::Kit;
use kit::{Dice, Keys};

use super::Plant;
use super::clock::Evidence;
use super::ledger::Applied;
use crate::check::{Checkpoint, RecordId};

/// How often a crash comes in the middle of a flush.
const HALF_FLUSHED: f64 = 0.4;
/// Data keys that a node keeps for sealing.
const KEYS_KEPT: usize = 64;

/// A node's ledger and its folder.
pub(crate) struct Real {
    kit: Arc<Kit>,
    plants: Plants,
    folder: TempDir,
    /// Numbers the copies in the folder.
    copies: u64,
    /// The part that a crash leaves.
    flushed: PathBuf,
    /// The members as of the last flush.
    flushed_members: Members,
    members: Members,
    has_other_keys: bool,
    dice: Arc<Mutex<ChaCha8Rng>>,
    /// `None` only while one database takes the place of another.
    open: Option<Open>,
}

struct Open {
    // The reader and what seals hold the database open, too.
    sealer: Sealer,
    reader: EntryReader,
    ledger: Ledger,
    dir: PathBuf,
}

/// A snapshot.
pub(crate) struct RealCopy {
    folder: TempDir,
    pub applied: (u64, u64),
    members: Members,
}

/// A copy of what is on a node's disk.
pub(crate) struct RealStored {
    folder: TempDir,
    members: Members,
}

fn folder() -> TempDir {
    let in_memory = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    builder.prefix("sillage-sim-");
    let made = if in_memory.is_dir() { builder.tempdir_in(in_memory) } else { builder.tempdir() };
    made.expect("a folder for a ledger")
}

fn options(plants: Plants) -> Options {
    Options {
        block_cache_bytes: 256 << 10,
        index_cache_bytes: 256 << 10,
        flush_bytes: 4 << 20,
        background_flush: false,
        flush_on_close: false,
        index_thread: false,
        auto_compaction: false,
        background_jobs: 1,
        plants,
        ..Options::default()
    }
}

/// Copies a folder as it is now. Tables never change once they are written: those are linked.
fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("writable");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let (path, name) = (entry.path(), entry.file_name());
        let text = name.to_string_lossy();
        if path.is_dir() {
            copy_tree(&path, &to.join(&name));
        } else if text.ends_with(".sst") {
            fs::hard_link(&path, to.join(&name)).expect("on the same file system");
        } else if !text.starts_with("LOG") && text != "LOCK" {
            fs::copy(&path, to.join(&name)).expect("writable");
        }
    }
}

/// The manifests in a folder, with their lengths.
fn manifests(dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(manifests(&path));
        } else if entry.file_name().to_string_lossy().starts_with("MANIFEST") {
            found.push((path, entry.metadata().expect("readable").len()));
        }
    }
    found.sort();
    found
}

impl Real {
    /// An empty ledger of this log; `seed` is where its data keys come from.
    pub(crate) fn new(kit: Arc<Kit>, members: Members, plant: Option<Plant>, seed: u64) -> Self {
        let plants =
            Plants { flushed_apart: plant == Some(Plant::FlushedApart), no_dedupe: plant == Some(Plant::NoDedupe) };
        let folder = folder();
        let mut real = Real {
            kit,
            plants,
            copies: 0,
            flushed: folder.path().join("flushed-0"),
            folder,
            flushed_members: members.clone(),
            members,
            has_other_keys: false,
            dice: Arc::new(Mutex::new(ChaCha8Rng::seed_from_u64(seed))),
            open: None,
        };
        real.start(real.folder.path().join("live-0")).expect("a new ledger");
        real.keep_flushed();
        real
    }

    fn place(&mut self, name: &str) -> PathBuf {
        self.copies += 1;
        self.folder.path().join(format!("{name}-{}", self.copies))
    }

    fn start(&mut self, dir: PathBuf) -> Result<(), String> {
        let keys = Arc::new(Keys::new(!self.has_other_keys));
        let ledger = Ledger::open(&dir, &self.kit.genesis, keys.clone(), options(self.plants));
        let ledger = ledger.map_err(|error| error.to_string())?;
        let dice = Box::new(Dice(self.dice.clone()));
        let sealer = Sealer::with_randomness(ledger.reader(), keys, KEYS_KEPT, dice);
        self.open = Some(Open { reader: ledger.entry_reader(), sealer, ledger, dir });
        Ok(())
    }

    fn open(&self) -> &Open {
        self.open.as_ref().expect("a node's ledger is open")
    }

    /// A crash leaves the bytes that are on disk now.
    fn keep_flushed(&mut self) {
        let to = self.place("flushed");
        copy_tree(&self.open().dir, &to);
        let old = std::mem::replace(&mut self.flushed, to);
        let _ = fs::remove_dir_all(old);
        self.flushed_members = self.members.clone();
    }

    pub(crate) fn applied(&self) -> (u64, u64) {
        self.open().ledger.applied()
    }

    pub(crate) fn flushed(&self) -> u64 {
        self.open().reader.flushed()
    }

    pub(crate) fn members(&self) -> &Members {
        &self.members
    }

    pub(crate) fn set_members(&mut self, members: &Members) {
        self.members = members.clone();
    }

    /// It opens with another log's keys from its next start on.
    pub(crate) fn mix_up_keys(&mut self) {
        self.has_other_keys = true;
    }

    pub(crate) fn has_other_keys(&self) -> bool {
        self.has_other_keys
    }

    /// Clocks count from the first command on.
    pub(crate) fn first_proposal(&self) -> Option<Vec<u8>> {
        let raise = Command { version: COMMAND_VERSION, feature_level: CLOCKS, ..Command::default() };
        (self.open().reader.feature_level() < CLOCKS).then(|| raise.encode_to_vec())
    }

    /// As an admitting leader does: sealed, verified, and checked against what it has applied.
    pub(crate) fn proposal(&self, record: RecordId, evidence: &Evidence) -> Option<Vec<u8>> {
        let Open { sealer, reader, .. } = self.open();
        let batch = self.kit.batch(record, sealer).ok()?;
        reader.verify(&batch).ok()?;
        reader.check(&batch, evidence.stamp_ms).ok()?;
        Some(self.kit.command(batch, reader.feature_level(), evidence))
    }

    pub(crate) fn apply(&mut self, entry: &CommittedEntry) -> Result<Applied, String> {
        let open = self.open.as_mut().expect("a node's ledger is open");
        let before = open.reader.head();
        let level = open.reader.feature_level();
        let outcomes = open.ledger.apply(entry.index, entry.term, entry.time_ms, &entry.data);
        let outcomes = outcomes.map_err(|error| error.to_string())?;
        let after = open.reader.head();
        let record = outcomes.iter().find_map(|outcome| match outcome {
            CommandOutcome::Done { stream_id, seq, count, first_index, .. } => {
                let stream = *self.kit.streams.get(stream_id)?;
                let last = first_index.get() + u64::from(*count) - 1;
                Some((RecordId { stream, sequence: *seq }, last))
            }
            _ => None,
        });
        let (before_ms, time_ms) = (before.time_ms.get(), after.time_ms.get());
        let cut = level >= CLOCKS && !entry.data.is_empty() && entry.time_ms > time_ms;
        Ok(Applied { record, before_ms, time_ms, cut })
    }

    pub(crate) fn flush(&mut self) -> u64 {
        let open = self.open.as_mut().expect("a node's ledger is open");
        let before = open.reader.flushed();
        let flushed = open.ledger.flush().expect("memory can be written");
        if flushed > before {
            self.keep_flushed();
        }
        flushed
    }

    /// It ends, sometimes in the middle of a flush, and opens what that left.
    pub(crate) fn crash(&mut self, rng: &mut ChaCha8Rng) -> Result<(), String> {
        let is_flushing = rng.random_bool(HALF_FLUSHED);
        let done: f64 = rng.random();
        let mut open = self.open.take().expect("a node's ledger is open");
        let applied = open.ledger.applied();
        if is_flushing && open.reader.flushed() < applied.0 {
            let before = manifests(&open.dir);
            open.ledger.flush().map_err(|error| error.to_string())?;
            let half = self.place("half");
            copy_tree(&open.dir, &half);
            for ((path, new), (_, old)) in manifests(&half).into_iter().zip(before) {
                // How much of it reached the disk.
                let len = old + (done * (new - old) as f64) as u64;
                let file = fs::OpenOptions::new().write(true).open(path).expect("ours");
                file.set_len(len).expect("writable");
            }
            let old = std::mem::replace(&mut self.flushed, half);
            let _ = fs::remove_dir_all(old);
        }
        let dir = open.dir.clone();
        drop(open);
        let _ = fs::remove_dir_all(dir);
        // Where it lies is another place in each run.
        let place = self.folder.path().display().to_string();
        self.open_flushed().map_err(|error| error.replace(&place, ""))?;
        if self.applied() == applied {
            self.flushed_members = self.members.clone();
        } else {
            self.members = self.flushed_members.clone();
        }
        Ok(())
    }

    fn open_flushed(&mut self) -> Result<(), String> {
        let live = self.place("live");
        copy_tree(&self.flushed, &live);
        self.start(live)
    }

    pub(crate) fn copy(&mut self) -> RealCopy {
        self.flush();
        let folder = folder();
        let open = self.open.as_mut().expect("a node's ledger is open");
        let applied = open.ledger.checkpoint(&folder.path().join("copy")).expect("memory can be written");
        RealCopy { folder, applied, members: self.members.clone() }
    }

    pub(crate) fn install(&mut self, copy: &RealCopy) -> Result<(), String> {
        let fetched = self.place("fetched");
        copy_tree(&copy.folder.path().join("copy"), &fetched);
        let open = self.open.as_mut().expect("a node's ledger is open");
        open.ledger.install(&fetched).map_err(|error| error.to_string())?;
        assert_eq!(open.ledger.applied(), copy.applied, "the snapshot is as of what it says");
        self.members = copy.members.clone();
        self.keep_flushed();
        Ok(())
    }

    pub(crate) fn stored(&self) -> RealStored {
        let folder = folder();
        copy_tree(&self.flushed, &folder.path().join("stored"));
        RealStored { folder, members: self.flushed_members.clone() }
    }

    pub(crate) fn put_back(&mut self, stored: &RealStored) {
        let open = self.open.take().expect("a node's ledger is open");
        let dir = open.dir.clone();
        drop(open);
        let _ = fs::remove_dir_all(dir);
        let to = self.place("flushed");
        copy_tree(&stored.folder.path().join("stored"), &to);
        let old = std::mem::replace(&mut self.flushed, to);
        let _ = fs::remove_dir_all(old);
        (self.flushed_members, self.members) = (stored.members.clone(), stored.members.clone());
        self.open_flushed().expect("it was open before");
    }

    pub(crate) fn size(&self) -> u64 {
        self.open().reader.tree_size().get()
    }

    /// Each batch by its name, and the place of its last record.
    pub(crate) fn records(&self) -> Vec<(RecordId, u64)> {
        let reader = &self.open().reader;
        let headers = reader.headers(LeafIndex(0), LeafIndex(self.size()));
        headers
            .map(|header| {
                let header = header.expect("readable");
                let stream = self.kit.streams[&header.stream_id];
                (RecordId { stream, sequence: header.seq }, header.index.get() + u64::from(header.count))
            })
            .collect()
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        let head = self.open().reader.head();
        Checkpoint { size: head.size.get(), root: head.root }
    }

    pub(crate) fn root_at(&self, size: u64) -> Option<Hash> {
        (size <= self.size()).then(|| self.open().reader.root_at(TreeSize(size)).expect("readable"))
    }

    pub(crate) fn prove(&self, old: u64) -> Vec<Hash> {
        self.open().reader.consistency_proof(TreeSize(old), TreeSize(self.size())).unwrap_or_default()
    }

    /// The root follows from the entries, every signature holds, and every payload opens.
    pub(crate) fn audit(&self) -> Result<(), String> {
        let Open { reader, sealer, .. } = self.open();
        let size = self.size();
        let entries = reader.entries(LeafIndex(0), size).map_err(|error| error.to_string())?;
        let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        if leaves.len() as u64 != size || root_of(&leaves) != reader.root() {
            return Err(format!("the root over {size} entries isn't that of its {} entries", leaves.len()));
        }
        let mut batches = reader.batch_verifier();
        for header in reader.headers(LeafIndex(0), LeafIndex(size)) {
            let header = header.map_err(|error| error.to_string())?;
            batches.verify(&header).map_err(|fault| fault.to_string())?;
            for index in header.index.get() + 1..=header.index.get() + u64::from(header.count) {
                let opened = reader.open(sealer, LeafIndex(index)).map_err(|error| error.to_string())?;
                if opened.is_none() {
                    return Err(format!("the payload of entry {index} is gone"));
                }
            }
        }
        Ok(())
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // Before its folder goes.
        self.open = None;
    }
}
