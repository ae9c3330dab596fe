//! A disk in memory that loses unsynced writes at a crash.
//!
//! Each sector of an unsynced write survives or not, by itself. Of the changes to names since the last directory
//! sync, the first few survive. What was synced survives always.

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
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

impl FileState {
    fn current(&self) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for (offset, write) in &self.unsynced {
            put(&mut bytes, *offset, write);
        }
        bytes
    }
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<u64, FileState>,
    next_file: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    changes: Vec<NameChange>,
    fail_syncs: bool,
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

    /// From now on until the crash, syncs fail: the machine is on its way down.
    pub fn fail_syncs(&self) {
        self.state().fail_syncs = true;
    }

    /// Power fails.
    pub fn crash(&self, rng: &mut ChaCha8Rng) {
        let mut state = self.state();
        state.fail_syncs = false;
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
        }
        let kept: Vec<u64> = state.names.values().copied().collect();
        state.files.retain(|id, _| kept.contains(id));
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<SimFile> {
        let mut state = self.state();
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.next_file += 1;
        let id = state.next_file;
        let file =
            FileState { durable: vec![0; usize::try_from(bytes).map_err(io::Error::other)?], unsynced: Vec::new() };
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
        if state.fail_syncs {
            return Err(io::Error::other("power failure"));
        }
        state.durable_names = state.names.clone();
        state.changes.clear();
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn read_all(&self) -> io::Result<Vec<u8>> {
        let state = self.disk.state();
        let file = state.files.get(&self.id).ok_or(io::ErrorKind::NotFound)?;
        Ok(file.current())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let file = state.files.get_mut(&self.id).ok_or(io::ErrorKind::NotFound)?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        file.unsynced.push((offset, bytes.to_vec()));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.fail_syncs {
            return Err(io::Error::other("power failure"));
        }
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
}
