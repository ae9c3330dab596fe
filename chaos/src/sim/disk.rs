//! A disk in memory, behind a page cache.
//!
//! When power fails ([`SimDisk::crash`]) each sector of an unsynced write survives or not, by itself. Of the changes to
//! names since the last directory sync, the first few survive. What was synced survives always. When only the process
//! ends ([`SimDisk::kill`]), the page cache stays: the next start sees what was written, and a later power failure may
//! still take it. After a failed sync ([`SimDisk::fail_writeback`]) the cache shows bytes that no later sync writes,
//! as Linux does: only writing them again does.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use sillage_cluster::log::{Disk, DiskFile};

/// Sizes of what is written whole or not at all, in bytes; the small ones are harsher than any disk.
const SECTORS: [usize; 3] = [16, 64, 512];

#[derive(Clone, Debug)]
enum NameChange {
    Create(String, u64),
    Rename(String, String),
    Remove(String),
}

#[derive(Debug, Default)]
struct FileState {
    /// On the disk.
    durable: Vec<u8>,
    /// In the page cache.
    visible: Vec<u8>,
    /// The bytes that a sync has yet to bring from the cache to the disk.
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<u64, FileState>,
    next_file: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    changes: Vec<NameChange>,
    /// How many more syncs succeed, if they are to fail.
    syncs_left: Option<u32>,
    /// True if that ends with the process.
    for_this_process: bool,
}

impl State {
    fn sync_or_fail(&mut self) -> io::Result<()> {
        match &mut self.syncs_left {
            Some(0) => Err(io::Error::other("the machine goes down")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// A node's disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

/// An open file of a [`SimDisk`].
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    id: u64,
}

fn put(bytes: &mut Vec<u8>, offset: usize, write: &[u8]) {
    let end = offset + write.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(write);
}

fn change(names: &mut BTreeMap<String, u64>, change: &NameChange) {
    match change {
        NameChange::Create(name, id) => {
            names.insert(name.clone(), *id);
        }
        NameChange::Rename(from, to) => {
            if let Some(id) = names.remove(from) {
                names.insert(to.clone(), id);
            }
        }
        NameChange::Remove(name) => {
            names.remove(name);
        }
    }
}

impl SimDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("one thread")
    }

    /// No sync of the process that has it open completes any more: it is on its way down. The next one, which begins
    /// by listing the files, can sync again.
    pub fn fail_syncs(&self) {
        let mut state = self.state();
        state.syncs_left = Some(0);
        state.for_this_process = true;
    }

    /// Once `syncs` more have succeeded, syncs fail until the crash or kill: the machine is on its way down.
    pub fn fail_syncs_after(&self, syncs: u32) {
        let mut state = self.state();
        state.syncs_left = Some(syncs);
        state.for_this_process = false;
    }

    /// The process is killed: what it wrote stays in the page cache.
    pub fn kill(&self) {
        self.state().syncs_left = None;
    }

    /// A sync failed: the pages count as clean from now on, and some of them never reached the disk.
    pub fn fail_writeback(&self, rng: &mut ChaCha8Rng) {
        for file in self.state().files.values_mut() {
            for (offset, write) in std::mem::take(&mut file.unsynced) {
                if rng.random_bool(0.5) {
                    put(&mut file.durable, offset, &write);
                }
            }
        }
    }

    /// A copy of what is on the disk.
    pub fn copy(&self) -> SimDisk {
        let state = self.state();
        let file = |file: &FileState| FileState {
            durable: file.durable.clone(),
            visible: file.durable.clone(),
            unsynced: Vec::new(),
        };
        let kept = state.durable_names.values().filter_map(|id| Some((*id, file(state.files.get(id)?))));
        let copy = State {
            files: kept.collect(),
            next_file: state.next_file,
            names: state.durable_names.clone(),
            durable_names: state.durable_names.clone(),
            ..State::default()
        };
        SimDisk(Arc::new(Mutex::new(copy)))
    }

    /// Rot: flips one bit of what is on the disk, in a log segment and before its last frame. Says where; `None` when
    /// there is no such place.
    pub fn rot(&self, rng: &mut ChaCha8Rng) -> Option<String> {
        let mut state = self.state();
        let names: Vec<(String, u64)> = state
            .names
            .iter()
            .filter(|(name, _)| name.ends_with(".log"))
            .map(|(name, &id)| (name.clone(), id))
            .collect();
        if names.is_empty() {
            return None;
        }
        let (name, id) = names[rng.random_range(0..names.len())].clone();
        let file = state.files.get_mut(&id)?;
        // A frame begins with "SLGF". What is broken in the last one can't be told from a write that a crash cut short.
        let frames: Vec<usize> = (64..file.durable.len().saturating_sub(4))
            .step_by(8)
            .filter(|&at| file.durable[at..].starts_with(b"SLGF"))
            .collect();
        let end = frames.iter().rev().nth(1).copied().unwrap_or(64);
        let (at, bit) = (rng.random_range(0..end), rng.random_range(0..8));
        file.durable[at] ^= 1 << bit;
        if at < file.visible.len() {
            file.visible[at] ^= 1 << bit;
        }
        Some(format!("{name}, byte {at}, bit {bit}"))
    }

    /// Power fails.
    pub fn crash(&self, rng: &mut ChaCha8Rng) {
        let mut state = self.state();
        state.syncs_left = None;
        let sector_bytes = SECTORS[rng.random_range(0..SECTORS.len())];
        let survive = rng.random_range(0..=state.changes.len());
        let changes: Vec<NameChange> = state.changes.drain(..).take(survive).collect();
        for item in &changes {
            change(&mut state.durable_names, item);
        }
        state.names = state.durable_names.clone();
        for file in state.files.values_mut() {
            for (offset, write) in std::mem::take(&mut file.unsynced) {
                let style = rng.random_range(0..3);
                for (i, sector) in write.chunks(sector_bytes).enumerate() {
                    let survives = match style {
                        0 => false,
                        1 => true,
                        _ => rng.random_bool(0.5),
                    };
                    if survives {
                        put(&mut file.durable, offset + i * sector_bytes, sector);
                    }
                }
            }
            file.visible = file.durable.clone();
        }
        let kept: Vec<u64> = state.names.values().copied().collect();
        state.files.retain(|id, _| kept.contains(id));
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.state();
        if state.for_this_process {
            state.syncs_left = None;
        }
        Ok(state.names.keys().cloned().collect())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<SimFile> {
        let mut state = self.state();
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.next_file += 1;
        let id = state.next_file;
        let zeros = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
        let file = FileState { durable: zeros.clone(), visible: zeros, unsynced: Vec::new() };
        state.files.insert(id, file);
        let created = NameChange::Create(name.to_string(), id);
        change(&mut state.names, &created);
        state.changes.push(created);
        Ok(SimFile { disk: self.clone(), id })
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let id = *self.state().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(SimFile { disk: self.clone(), id })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let renamed = NameChange::Rename(from.to_string(), to.to_string());
        change(&mut state.names, &renamed);
        state.changes.push(renamed);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        let removed = NameChange::Remove(name.to_string());
        change(&mut state.names, &removed);
        state.changes.push(removed);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        state.sync_or_fail()?;
        state.durable_names = state.names.clone();
        state.changes.clear();
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn read_all(&self) -> io::Result<Vec<u8>> {
        let state = self.disk.state();
        let file = state.files.get(&self.id).ok_or(io::ErrorKind::NotFound)?;
        Ok(file.visible.clone())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let file = state.files.get_mut(&self.id).ok_or(io::ErrorKind::NotFound)?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        put(&mut file.visible, offset, bytes);
        file.unsynced.push((offset, bytes.to_vec()));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.sync_or_fail()?;
        let file = state.files.get_mut(&self.id).ok_or(io::ErrorKind::NotFound)?;
        for (offset, write) in std::mem::take(&mut file.unsynced) {
            put(&mut file.durable, offset, &write);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn what_was_synced_survives_and_what_was_not_may_not() {
        let mut lost = 0;
        for seed in 0..20 {
            let disk = SimDisk::default();
            let mut file = disk.create("a", 2048).unwrap();
            file.write_at(0, &[1; 1024]).unwrap();
            file.sync().unwrap();
            disk.sync_dir().unwrap();
            file.write_at(0, &[2; 2048]).unwrap();
            disk.create("b", 10).unwrap();
            disk.crash(&mut ChaCha8Rng::seed_from_u64(seed));
            let bytes = disk.open("a").unwrap().read_all().unwrap();
            assert_eq!(bytes.len(), 2048);
            assert!(bytes[..1024].iter().all(|&byte| byte == 1 || byte == 2));
            lost += usize::from(bytes[0] == 1) + usize::from(disk.open("b").is_err());
        }
        assert!(lost > 0);
    }

    #[test]
    fn a_process_that_ends_leaves_its_writes_to_be_seen_and_lost_later() {
        let (mut seen, mut lost) = (0, 0);
        for seed in 0..20 {
            let disk = SimDisk::default();
            let mut file = disk.create("a", 64).unwrap();
            disk.sync_dir().unwrap();
            file.write_at(0, &[2; 64]).unwrap();
            disk.kill();
            seen += usize::from(disk.open("a").unwrap().read_all().unwrap()[0] == 2);
            disk.crash(&mut ChaCha8Rng::seed_from_u64(seed));
            lost += usize::from(disk.open("a").unwrap().read_all().unwrap()[0] != 2);
        }
        assert_eq!(seen, 20);
        assert!(lost > 0);
    }

    #[test]
    fn after_a_failed_sync_only_writing_again_brings_bytes_to_the_disk() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut lost = 0;
        for _ in 0..20 {
            let disk = SimDisk::default();
            let mut file = disk.create("a", 64).unwrap();
            disk.sync_dir().unwrap();
            file.write_at(0, &[2; 64]).unwrap();
            disk.fail_writeback(&mut rng);
            file.sync().unwrap();
            assert_eq!(file.read_all().unwrap()[0], 2, "the cache shows it");
            disk.crash(&mut rng);
            lost += usize::from(file.read_all().unwrap()[0] == 0);
            file.write_at(0, &[2; 64]).unwrap();
            file.sync().unwrap();
            disk.crash(&mut rng);
            assert_eq!(file.read_all().unwrap()[0], 2);
        }
        assert!(lost > 0);
    }
}
