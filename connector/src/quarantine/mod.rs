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
//! One sender doesn't fill it for the others: the doors put in a tenth of its bounds for each source, and three quarters in all. The
//! rest is for what was taken already and the ledger refused.
//!
//! Where to start reading: [`Quarantine`]; [`command`] for the command line.

pub mod command;
mod item;
mod journal;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
    /// The doors have put in what they may.
    #[error(
        "the quarantine holds what the doors may put in for {0}, or in all: look at it with `sillage-connector quarantine list`, \
         then retry or drop what is there"
    )]
    NoShare(String),
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

impl Held {
    fn add(&mut self, bytes: u64) {
        self.items += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, bytes: u64) {
        self.items = self.items.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn has_room(self, more: u64, bounds: Bounds) -> bool {
        self.items < bounds.items_max && self.bytes.saturating_add(more) <= bounds.bytes_max
    }
}

impl Bounds {
    /// Of what the doors put in for one source.
    fn of_source(self) -> Self {
        Self { items_max: (self.items_max / 10).max(1), bytes_max: self.bytes_max / 10 }
    }

    /// Of what is there when a door puts something in.
    fn of_doors(self) -> Self {
        Self { items_max: (self.items_max / 4 * 3).max(1), bytes_max: self.bytes_max / 4 * 3 }
    }
}

/// Who puts something in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Door,
    Recorder,
}

/// What lies there, as it was counted and as it changed since.
struct Counted {
    all: Held,
    by_source: HashMap<String, Held>,
    /// When it was counted, and how long that took.
    at: Instant,
    took: Duration,
}

impl Counted {
    fn add(&mut self, source: &str, bytes: u64) {
        self.all.add(bytes);
        self.by_source.entry(source.to_owned()).or_default().add(bytes);
    }

    /// Counting takes long where much lies there, and those who find no room come often.
    fn may_be_old(&self) -> bool {
        self.took < Duration::from_millis(5) || self.at.elapsed() >= self.took * 20
    }
}

/// The folder.
pub struct Quarantine {
    dir: PathBuf,
    key: Zeroizing<[u8; 32]>,
    bounds: Bounds,
    journal: Journal,
    held: Mutex<Counted>,
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
        let held = Mutex::new(count(dir, &journal)?);
        Ok(Self { dir: dir.to_owned(), key: Zeroizing::new(key), bounds, journal, held })
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
        // The source of each is known now.
        *self.held.lock() = count(&self.dir, &self.journal)?;
        Ok(())
    }

    /// Keeps something; when this returns, it is on disk. All the room counts.
    ///
    /// # Errors
    /// When there is no room, or the disk refuses: then nothing was kept.
    pub fn keep(&self, new: &New) -> Result<String, QuarantineError> {
        self.keep_by(By::Recorder, new)
    }

    /// The same for a door, in the share that its source has.
    ///
    /// # Errors
    /// As for [`Quarantine::keep`].
    pub fn keep_at_door(&self, new: &New) -> Result<String, QuarantineError> {
        self.keep_by(By::Door, new)
    }

    fn keep_by(&self, by: By, new: &New) -> Result<String, QuarantineError> {
        let mut held = self.held.lock();
        if let Err(error) = self.has_room(&held, by, new) {
            if !held.may_be_old() {
                return Err(error);
            }
            // Another process may have made room.
            *held = count(&self.dir, &self.journal)?;
            self.has_room(&held, by, new)?;
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
            // The one or the other is there.
            let _gone = fs::remove_file(&beside);
            let _gone = fs::remove_file(&path);
            return Err(disk(&path)(error));
        }
        held.add(&new.source, bytes.len() as u64);
        drop(held);
        // It is kept, whatever the journal says: at the next start it gets its line.
        if let Err(error) = self.journal.write(Event::Kept, &id, new.door, &new.source) {
            tracing::error!(id, %error, "an item of the quarantine has no line in the journal: the day's report counts it after the next start");
        }
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
        held.all.remove(bytes);
        held.by_source.entry(item.source).or_default().remove(bytes);
        Ok(())
    }

    /// How much lies there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn held(&self) -> Result<Held, QuarantineError> {
        Ok(count(&self.dir, &self.journal)?.all)
    }

    /// Numbers of what arrived on a day (UTC, as 2026-03-02) and was put here, by source.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn day(&self, day: &str) -> Result<BTreeMap<String, DayCounts>, QuarantineError> {
        self.journal.day(day).map_err(disk(&self.dir))
    }

    fn has_room(&self, held: &Counted, by: By, new: &New) -> Result<(), QuarantineError> {
        let more = new.raw.len() as u64;
        if !held.all.has_room(more, self.bounds) {
            return Err(QuarantineError::Full);
        }
        let own = held.by_source.get(&new.source).copied().unwrap_or_default();
        let has_share = held.all.has_room(more, self.bounds.of_doors()) && own.has_room(more, self.bounds.of_source());
        match has_share || by == By::Recorder {
            true => Ok(()),
            false => Err(QuarantineError::NoShare(new.source.clone())),
        }
    }

    fn path(&self, id: &str, ending: &str) -> PathBuf {
        path_in(&self.dir, id, ending)
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

    fn ids(&self) -> Result<Vec<(String, bool)>, QuarantineError> {
        ids(&self.dir)
    }

    fn keep_refused(&self, by: By, arrival: &Arrival, refusal: &Refusal) -> io::Result<()> {
        let resource = (arrival.door == Door::Rest
            && serde_json::from_slice::<Value>(&arrival.raw).ok().as_ref() != Some(&arrival.resource))
        .then(|| arrival.resource.clone());
        let kept = self.keep_by(
            by,
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

impl RefusedArrivals for Quarantine {
    fn keep(&self, arrival: &Arrival, refusal: &Refusal) -> io::Result<()> {
        self.keep_refused(By::Door, arrival, refusal)
    }

    fn keep_taken(&self, arrival: &Arrival, refusal: &Refusal) -> io::Result<()> {
        self.keep_refused(By::Recorder, arrival, refusal)
    }
}

fn path_in(dir: &Path, id: &str, ending: &str) -> PathBuf {
    dir.join(format!("{id}.{ending}"))
}

/// Ids of a folder, oldest first, each with whether it is to be handed in again.
fn ids(dir: &Path) -> Result<Vec<(String, bool)>, QuarantineError> {
    let mut out = Vec::new();
    for entry in fs::read_dir(dir).map_err(disk(dir))? {
        let name = entry.map_err(disk(dir))?.file_name().to_string_lossy().into_owned();
        match name.split_once('.') {
            Some((id, ending @ (HELD | RETRY))) if item::is_id(id) => out.push((id.to_owned(), ending == RETRY)),
            _ => {}
        }
    }
    out.sort();
    Ok(out)
}

/// Counts what lies in a folder. The journal says whose each item is: the items are sealed.
fn count(dir: &Path, journal: &Journal) -> Result<Counted, QuarantineError> {
    let at = Instant::now();
    let mut counted = Counted { all: Held::default(), by_source: HashMap::new(), at, took: Duration::ZERO };
    let (mut day, mut sources) = (None, HashMap::new());
    // In the order of their days.
    for (id, retry) in ids(dir)? {
        let meta = fs::metadata(path_in(dir, &id, if retry { RETRY } else { HELD }));
        let own = journal::day_of_id(&id);
        if own != day {
            sources = own.as_deref().map_or(Ok(HashMap::new()), |own| journal.sources(own)).map_err(disk(dir))?;
            day = own;
        }
        let source = sources.get(&id).map_or("", String::as_str);
        counted.add(source, meta.map(|meta| meta.len()).unwrap_or_default());
    }
    counted.at = Instant::now();
    counted.took = counted.at - at;
    Ok(counted)
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
