//! Arrivals that can't be recorded as they are, each with the reason and its bytes as they came, until somebody decides.
//!
//! ```text
//! DIR/
//!   <id>.held          waits for somebody
//!   <id>.retry         is handed in again by the connector when it runs
//!   days/<day>.ndjson  one line for each thing that became of what arrived on that day (UTC)
//! ```
//!
//! An id is the time of arrival and six letters, as `20260302T090000Z-k3abcd`. A file is new, complete and on disk before its sender
//! is answered: it is written beside, synced, and renamed. Its content is sealed (AES-256-GCM), because it holds health data; the
//! lines of the days hold none. The command line works on the folder while the connector runs: each step is one rename or one
//! removal.
//!
//! Where to start reading: [`Quarantine`]; [`command`] for the command line.

pub mod command;
mod item;
mod journal;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde_json::Value;
use zeroize::Zeroizing;

pub use item::{Item, New};
pub use journal::{DayCounts, Event};

use crate::arrival::{Arrival, Door, Refusal, RefusedArrivals};
use journal::Journal;

/// Bounds of a quarantine.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Items, at most.
    pub items_max: usize,
    /// Bytes of them all, at most.
    pub bytes_max: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { items_max: 100_000, bytes_max: 2 << 30 }
    }
}

/// Why the quarantine doesn't do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// It has no room.
    #[error(
        "the quarantine is full: look at it with `sillage-connector quarantine list`, then retry or drop what is there"
    )]
    Full,
    /// No item has this id.
    #[error("{0} isn't in quarantine: `sillage-connector quarantine list` shows what is")]
    Unknown(String),
    /// An item isn't what was put there.
    #[error("{}: it is damaged, or sealed with another key", .0.display())]
    Damaged(PathBuf),
    /// The disk.
    #[error("{}: {source}", path.display())]
    Disk {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> QuarantineError {
    let path = path.to_owned();
    move |source| QuarantineError::Disk { path, source }
}

/// An item as lists show it: nothing of its content.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// Its door: `rest`, `syslog`, `adt`.
    pub door: String,
    /// Its sender.
    pub source: String,
    /// When it arrived, RFC 3339.
    pub received: String,
    /// The element that the reason is about.
    pub path: String,
    /// Why it is here.
    pub reason: String,
    /// Bytes of its content.
    pub bytes: usize,
    /// Whether it is handed in again when the connector runs.
    pub retry: bool,
}

/// How much lies there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Held {
    /// Items.
    pub items: usize,
    /// Bytes of their files.
    pub bytes: u64,
}

/// The folder.
pub struct Quarantine {
    dir: PathBuf,
    key: Zeroizing<[u8; 32]>,
    bounds: Bounds,
    journal: Journal,
    held: Mutex<Held>,
}

/// Endings of the files.
const HELD: &str = "held";
const RETRY: &str = "retry";

impl Quarantine {
    /// Opens the folder, and makes it where it isn't there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(dir: &Path, key: [u8; 32], bounds: Bounds) -> Result<Self, QuarantineError> {
        let journal = Journal::open(&dir.join("days")).map_err(disk(dir))?;
        private(dir).map_err(disk(dir))?;
        let quarantine =
            Self { dir: dir.to_owned(), key: Zeroizing::new(key), bounds, journal, held: Mutex::default() };
        *quarantine.held.lock() = quarantine.count()?;
        Ok(quarantine)
    }

    /// Mends the folder, once and before anything arrives: files that a crash left half written are removed, and what was
    /// kept without its line in the journal gets one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn recover(&self) -> Result<(), QuarantineError> {
        for entry in fs::read_dir(&self.dir).map_err(disk(&self.dir))? {
            let path = entry.map_err(disk(&self.dir))?.path();
            if path.extension().is_some_and(|extension| extension == "new") {
                fs::remove_file(&path).map_err(disk(&path))?;
            }
        }
        let mut known: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, _) in self.ids()? {
            let Some(day) = journal::day_of_id(&id) else { continue };
            if !known.contains_key(&day) {
                let ids = self.journal.ids(&day).map_err(disk(&self.dir))?;
                known.insert(day.clone(), ids);
            }
            if !known[&day].contains(&id) {
                let item = self.show(&id)?;
                self.journal.write(Event::Kept, &id, item.door, &item.source).map_err(disk(&self.dir))?;
            }
        }
        Ok(())
    }

    /// Keeps something; when this returns, it is on disk.
    ///
    /// # Errors
    /// When there is no room, or the disk refuses: then nothing was kept.
    pub fn keep(&self, new: &New) -> Result<String, QuarantineError> {
        let mut held = self.held.lock();
        if !self.has_room(*held, new) {
            // Another process may have made room.
            *held = self.count()?;
            if !self.has_room(*held, new) {
                return Err(QuarantineError::Full);
            }
        }
        let id = item::new_id(new.received_ms).map_err(disk(&self.dir))?;
        let bytes = item::seal(&self.key, &id, new).map_err(disk(&self.dir))?;
        let (beside, path) = (self.dir.join(format!("{id}.new")), self.path(&id, HELD));
        let written = File::create_new(&beside).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()
        });
        let renamed = written.and_then(|()| fs::rename(&beside, &path)).and_then(|()| sync_dir(&self.dir));
        if let Err(error) = renamed {
            let _gone = fs::remove_file(&beside);
            return Err(disk(&path)(error));
        }
        held.items += 1;
        held.bytes += bytes.len() as u64;
        drop(held);
        self.journal.write(Event::Kept, &id, new.door, &new.source).map_err(disk(&self.dir))?;
        tracing::warn!(id, door = new.door.word(), source = new.source, path = new.path, "ALARM: quarantined");
        Ok(id)
    }

    /// All that is there, oldest first.
    ///
    /// # Errors
    /// When the disk refuses, or an item is damaged.
    pub fn list(&self) -> Result<Vec<Listed>, QuarantineError> {
        self.ids()?.into_iter().map(|(id, retry)| Ok(self.show(&id)?.listed(retry))).collect()
    }

    /// One item, with its content.
    ///
    /// # Errors
    /// When it isn't there, or is damaged.
    pub fn show(&self, id: &str) -> Result<Item, QuarantineError> {
        let path = self.find(id)?;
        let bytes = fs::read(&path).map_err(disk(&path))?;
        item::open(&self.key, id, &bytes).ok_or(QuarantineError::Damaged(path))
    }

    /// Has an item handed in again by the connector, at once if it runs.
    ///
    /// # Errors
    /// When it isn't there.
    pub fn retry(&self, id: &str) -> Result<(), QuarantineError> {
        let from = self.find(id)?;
        let to = self.path(id, RETRY);
        fs::rename(&from, &to).and_then(|()| sync_dir(&self.dir)).map_err(disk(&from))
    }

    /// Takes back that an item is handed in again: nothing changed since it was put here.
    ///
    /// # Errors
    /// When it isn't there.
    pub fn hold(&self, id: &str) -> Result<(), QuarantineError> {
        let from = self.find(id)?;
        let to = self.path(id, HELD);
        fs::rename(&from, &to).and_then(|()| sync_dir(&self.dir)).map_err(disk(&from))
    }

    /// Those that are to be handed in again, oldest first.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn due(&self) -> Result<Vec<String>, QuarantineError> {
        Ok(self.ids()?.into_iter().filter(|(_, retry)| *retry).map(|(id, _)| id).collect())
    }

    /// Takes an item away, and writes down why: it was taken, dropped, or kept anew.
    ///
    /// # Errors
    /// When it isn't there, or the disk refuses.
    pub fn remove(&self, id: &str, why: Event) -> Result<(), QuarantineError> {
        let path = self.find(id)?;
        let item = self.show(id)?;
        // The line first: a crash between the two leaves an item that is counted as gone, and never one that is gone unsaid.
        self.journal.write(why, id, item.door, &item.source).map_err(disk(&self.dir))?;
        let bytes = fs::metadata(&path).map(|meta| meta.len()).unwrap_or_default();
        fs::remove_file(&path).and_then(|()| sync_dir(&self.dir)).map_err(disk(&path))?;
        let mut held = self.held.lock();
        held.items = held.items.saturating_sub(1);
        held.bytes = held.bytes.saturating_sub(bytes);
        Ok(())
    }

    /// How much lies there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn held(&self) -> Result<Held, QuarantineError> {
        self.count()
    }

    /// Numbers of what arrived on a day (UTC, as 2026-03-02) and was put here, by source.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn day(&self, day: &str) -> Result<BTreeMap<String, DayCounts>, QuarantineError> {
        self.journal.day(day).map_err(disk(&self.dir))
    }

    fn has_room(&self, held: Held, new: &New) -> bool {
        held.items < self.bounds.items_max && held.bytes.saturating_add(new.raw.len() as u64) <= self.bounds.bytes_max
    }

    fn path(&self, id: &str, ending: &str) -> PathBuf {
        self.dir.join(format!("{id}.{ending}"))
    }

    fn find(&self, id: &str) -> Result<PathBuf, QuarantineError> {
        let unknown = || QuarantineError::Unknown(id.chars().take(64).collect());
        // An id becomes the name of a file.
        if !item::is_id(id) {
            return Err(unknown());
        }
        let paths = [self.path(id, HELD), self.path(id, RETRY)];
        paths.into_iter().find(|path| path.is_file()).ok_or_else(unknown)
    }

    /// Ids, oldest first, each with whether it is to be handed in again.
    fn ids(&self) -> Result<Vec<(String, bool)>, QuarantineError> {
        let mut out = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(disk(&self.dir))? {
            let name = entry.map_err(disk(&self.dir))?.file_name().to_string_lossy().into_owned();
            match name.split_once('.') {
                Some((id, ending @ (HELD | RETRY))) if item::is_id(id) => out.push((id.to_owned(), ending == RETRY)),
                _ => {}
            }
        }
        out.sort();
        Ok(out)
    }

    fn count(&self) -> Result<Held, QuarantineError> {
        let mut held = Held::default();
        for (id, retry) in self.ids()? {
            let meta = fs::metadata(self.path(&id, if retry { RETRY } else { HELD }));
            held.items += 1;
            held.bytes += meta.map(|meta| meta.len()).unwrap_or_default();
        }
        Ok(held)
    }
}

impl RefusedArrivals for Quarantine {
    fn keep(&self, arrival: &Arrival, refusal: &Refusal) -> io::Result<()> {
        let resource = (arrival.door == Door::Rest
            && serde_json::from_slice::<Value>(&arrival.raw).ok().as_ref() != Some(&arrival.resource))
        .then(|| arrival.resource.clone());
        let kept = Self::keep(
            self,
            &New {
                door: arrival.door,
                source: arrival.source.clone(),
                received_ms: arrival.received_ms,
                path: refusal.path.clone(),
                reason: refusal.reason.clone(),
                raw: arrival.raw.clone(),
                base: arrival.base.clone(),
                resource,
            },
        );
        kept.map(drop).map_err(io::Error::other)
    }
}

/// Makes a folder that its owner alone may read.
fn private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests;
