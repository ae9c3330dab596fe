//! The spool: arrivals on this machine's disk, from before their sender is answered until they are on record and indexed.
//!
//! ```text
//! DIR/
//!   lock              held while a process works on the spool
//!   <number>.seg      a segment: arrivals from this number on (20 digits, from 1)
//! ```
//!
//! What is assumed of the disk: after `fsync` returned, what was written is there whatever happens; before, any part of it may be.
//!
//! - One write and one `fsync` make a **group** of arrivals durable ([`Spool::append`]). Only then is any of them answered.
//! - A process never writes into a segment that it hasn't made. So the end of an older segment that a crash cut short is cut away
//!   once, and no key seals two things under one number, even where two copies of a folder go on apart.
//! - A torn group at the end of the last segment was never answered: it is cut away. If a whole group stands after a damaged one,
//!   the disk has lost what was promised: the spool doesn't open ([`SpoolError::Damaged`]).
//! - A segment is deleted when every arrival in it was released, that is, on record or in quarantine, and the index says so on disk
//!   ([`Spool::delete_released`]).
//! - A full spool refuses and changes nothing ([`SpoolError::Full`]). If the disk fails in a way that leaves open what is on it, the
//!   spool takes nothing until the process starts again ([`SpoolError::Broken`]).
//!
//! [`segment`] has the bytes, [`seal`] the keys.

pub mod seal;
pub mod segment;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::arrival::SpoolNumber;
use seal::{Key, SegmentKey};
use segment::{HEADER_BYTES, Header};

/// Why the spool doesn't do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process has it.
    #[error("another process works on the spool {}: stop it first", .0.display())]
    Held(PathBuf),
    /// It has no room, by its bound or on the disk. Nothing was changed.
    #[error("the spool is full")]
    Full,
    /// What was promised to be there isn't. Nothing was changed.
    #[error(
        "the spool's segment {} is damaged at byte {at} ({why}): restore it from a copy; the connector does not start, because \
         arrivals that were acknowledged would be lost", path.display()
    )]
    Damaged {
        /// Which segment.
        path: PathBuf,
        /// Where.
        at: u64,
        /// How.
        why: &'static str,
    },
    /// An earlier failure of the disk left open what is on it.
    #[error("the spool's disk failed: start the connector again, and it finds out what is there")]
    Broken,
    /// The disk.
    #[error("{}: {source}", path.display())]
    Disk {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    let path = path.to_owned();
    move |source| SpoolError::Disk { path, source }
}

/// Bounds of a spool.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Most bytes of all segments.
    pub bytes_max: u64,
    /// A segment that has grown beyond this is followed by a new one.
    pub segment_bytes: u64,
}

impl Bounds {
    /// Segments of 64 MiB, or an eighth of a small spool.
    pub fn of(bytes_max: u64) -> Self {
        Self { bytes_max, segment_bytes: (bytes_max / 8).min(64 << 20) }
    }
}

/// The end of a spool that takes arrivals; owned by one thread.
pub struct Spool {
    dir: PathBuf,
    key: Key,
    bounds: Bounds,
    /// First number of the segment that is written.
    current: u64,
    /// Bytes of it that are durable.
    current_bytes: u64,
    /// Number of the next arrival.
    next: u64,
    is_broken: bool,
    shelves: Arc<RwLock<Segments>>,
    _lock: File,
}

/// The other end: reads and releases. Cheap to clone.
#[derive(Clone)]
pub struct SpoolReader {
    shelves: Arc<RwLock<Segments>>,
}

#[derive(Default)]
struct Segments(BTreeMap<u64, Segment>);

struct Segment {
    path: PathBuf,
    file: Arc<File>,
    key: Arc<SegmentKey>,
    bytes: u64,
    /// Where each arrival stands: offset and length of its sealed bytes.
    places: Vec<(u64, u32)>,
    /// Which of them were released.
    released: Vec<bool>,
    waiting: usize,
}

impl Segment {
    fn add(&mut self, places: &[(u64, u32)], bytes: u64) {
        self.places.extend(places);
        self.released.resize(self.places.len(), false);
        self.waiting += places.len();
        self.bytes = bytes;
    }
}

impl Segments {
    /// The segment that has an arrival, and its position there.
    fn find(&self, number: SpoolNumber) -> Option<(u64, usize)> {
        let (first, segment) = self.0.range(..=number.0).next_back()?;
        let at = usize::try_from(number.0 - first).ok()?;
        (at < segment.places.len()).then_some((*first, at))
    }

    fn bytes(&self) -> u64 {
        self.0.values().map(|segment| segment.bytes).sum()
    }
}

impl Spool {
    /// Opens the spool in `dir`, or makes it. Cuts away what a crash left unfinished at its end. `after`: the highest number that is
    /// known of elsewhere (in the index); numbers go on above it.
    ///
    /// # Errors
    /// When another process has it, a file can't be used, or an acknowledged arrival is damaged.
    pub fn open(dir: &Path, key: Key, bounds: Bounds, after: u64) -> Result<Self, SpoolError> {
        make_private_dir(dir).map_err(disk(dir))?;
        let lock = hold(&dir.join("lock"))?.ok_or_else(|| SpoolError::Held(dir.to_owned()))?;
        let mut segments = Segments::default();
        let mut next = after + 1;
        let firsts = firsts(dir)?;
        for first in &firsts {
            let path = path_of(dir, *first);
            let is_last = Some(first) == firsts.last();
            let segment = read_segment(&path, &key, *first, is_last)?;
            let end = first + segment.places.len() as u64;
            let before = segments.0.range(..first).next_back().map_or(1, |(at, s)| at + s.places.len() as u64);
            if *first < before {
                return Err(SpoolError::Damaged { path, at: 0, why: "it begins before the segment before it ends" });
            }
            next = next.max(end);
            segments.0.insert(*first, segment);
        }
        // One that holds nothing has served its purpose: to keep the number.
        let empty: Vec<u64> = segments.0.iter().filter(|(_, s)| s.places.is_empty()).map(|(first, _)| *first).collect();
        let mut spool = Self {
            dir: dir.to_owned(),
            key,
            bounds,
            current: 0,
            current_bytes: 0,
            next,
            is_broken: false,
            shelves: Arc::new(RwLock::new(segments)),
            _lock: lock,
        };
        if empty.contains(&next) {
            // It has the name of the one to be made, and holds nothing.
            spool.shelves.write().0.remove(&next);
        }
        spool.begin_segment()?;
        for first in empty.into_iter().filter(|first| *first != next) {
            spool.delete(first)?;
        }
        Ok(spool)
    }

    /// The end that reads.
    pub fn reader(&self) -> SpoolReader {
        SpoolReader { shelves: Arc::clone(&self.shelves) }
    }

    /// Its bounds.
    pub const fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// The number that the next arrival gets.
    pub fn next(&self) -> SpoolNumber {
        SpoolNumber(self.next)
    }

    /// Makes arrivals durable, all or none. They get the numbers from [`Spool::next`] on, in their order.
    ///
    /// # Errors
    /// [`SpoolError::Full`]: nothing was kept, and the spool goes on. [`SpoolError::Broken`]: it is open which of them are kept.
    pub fn append(&mut self, arrivals: &[Vec<u8>]) -> Result<(), SpoolError> {
        if self.is_broken {
            return Err(SpoolError::Broken);
        }
        assert!(!arrivals.is_empty() && arrivals.len() <= segment::GROUP_MAX, "a group has a bounded size");
        self.roll()?;
        let (file, key, path) = {
            let shelves = self.shelves.read();
            let segment = &shelves.0[&self.current];
            (Arc::clone(&segment.file), Arc::clone(&segment.key), segment.path.clone())
        };
        let sealed = arrivals.iter().zip(self.next..).map(|(bytes, number)| key.seal(number, bytes));
        let (frame, places) = segment::frame(&sealed.collect::<Vec<_>>());
        assert!(frame.len() <= segment::FRAME_BYTES_MAX, "a group has a bounded size");
        let bytes = self.current_bytes + frame.len() as u64;
        if self.shelves.read().bytes() + frame.len() as u64 > self.bounds.bytes_max {
            return Err(SpoolError::Full);
        }
        if let Err(error) = file.write_all_at(&frame, self.current_bytes) {
            tracing::error!(%error, "the spool's disk takes no more");
            // What stands there of it was never acknowledged.
            return match file.set_len(self.current_bytes) {
                Ok(()) => Err(SpoolError::Full),
                Err(_) => Err(self.broken()),
            };
        }
        if let Err(error) = file.sync_data() {
            // Afterwards nobody can say what is on the disk: only a new start reads it.
            tracing::error!(%error, path = %path.display(), "the spool's disk failed");
            return Err(self.broken());
        }
        let places: Vec<(u64, u32)> = places.into_iter().map(|(at, len)| (self.current_bytes + at, len)).collect();
        let mut shelves = self.shelves.write();
        let segment = shelves.0.get_mut(&self.current).expect("the current segment is there");
        segment.add(&places, bytes);
        self.current_bytes = bytes;
        self.next += arrivals.len() as u64;
        Ok(())
    }

    fn broken(&mut self) -> SpoolError {
        self.is_broken = true;
        SpoolError::Broken
    }

    /// Begins a new segment where this one is large enough, or where nothing waits in a large part of one.
    fn roll(&mut self) -> Result<(), SpoolError> {
        let idle_bytes = self.bounds.segment_bytes / 16;
        let is_idle = || self.shelves.read().0[&self.current].waiting == 0;
        let is_large = self.current_bytes >= self.bounds.segment_bytes;
        if self.current_bytes > HEADER_BYTES as u64 && (is_large || self.current_bytes >= idle_bytes && is_idle()) {
            self.begin_segment()?;
        }
        Ok(())
    }

    fn begin_segment(&mut self) -> Result<(), SpoolError> {
        let path = path_of(&self.dir, self.next);
        let header = Header::new(self.next).map_err(disk(&path))?;
        let part = path.with_extension("part");
        let made = (|| {
            let file = private_file(&part)?;
            file.set_len(0)?;
            file.write_all_at(&header.encode(), 0)?;
            file.sync_all()?;
            std::fs::rename(&part, &path)?;
            sync_dir(&self.dir)?;
            Ok(file)
        })();
        let file = match made {
            Ok(file) => file,
            Err(error) => {
                let _nothing_of_it_counts = std::fs::remove_file(&part);
                tracing::error!(%error, "the spool can't begin a segment");
                return match self.current {
                    0 => Err(disk(&path)(error)),
                    _ => Err(SpoolError::Full),
                };
            }
        };
        let segment = Segment {
            path,
            file: Arc::new(file),
            key: Arc::new(self.key.segment(&header.salt)),
            bytes: HEADER_BYTES as u64,
            places: Vec::new(),
            released: Vec::new(),
            waiting: 0,
        };
        self.shelves.write().0.insert(self.next, segment);
        (self.current, self.current_bytes) = (self.next, HEADER_BYTES as u64);
        Ok(())
    }

    /// Whether a segment could be deleted.
    pub fn has_released(&self) -> bool {
        self.shelves.read().0.iter().any(|(first, segment)| *first != self.current && segment.waiting == 0)
    }

    /// Deletes the segments of which every arrival was released. The index must be on disk before, as far as it says so of them.
    ///
    /// # Errors
    /// When the disk refuses: a segment that stays costs room and nothing else.
    pub fn delete_released(&mut self) -> Result<(), SpoolError> {
        let done: Vec<u64> = {
            let shelves = self.shelves.read();
            let done = shelves.0.iter().filter(|(first, segment)| **first != self.current && segment.waiting == 0);
            done.map(|(first, _)| *first).collect()
        };
        done.into_iter().try_for_each(|first| self.delete(first))
    }

    fn delete(&mut self, first: u64) -> Result<(), SpoolError> {
        let path = path_of(&self.dir, first);
        std::fs::remove_file(&path).map_err(disk(&path))?;
        sync_dir(&self.dir).map_err(disk(&self.dir))?;
        self.shelves.write().0.remove(&first);
        Ok(())
    }
}

impl SpoolReader {
    /// An arrival's bytes; `None` where the spool doesn't have it any more.
    ///
    /// # Errors
    /// When it can't be read as it was written.
    pub fn read(&self, number: SpoolNumber) -> Result<Option<Vec<u8>>, SpoolError> {
        let (file, key, path, (at, len)) = {
            let shelves = self.shelves.read();
            let Some((first, place)) = shelves.find(number) else { return Ok(None) };
            let segment = &shelves.0[&first];
            (Arc::clone(&segment.file), Arc::clone(&segment.key), segment.path.clone(), segment.places[place])
        };
        let mut sealed = vec![0; len as usize];
        file.read_exact_at(&mut sealed, at).map_err(disk(&path))?;
        let why = "an arrival can't be opened";
        let opened = key.open(number.0, sealed).ok_or(SpoolError::Damaged { path, at, why })?;
        Ok(Some(opened))
    }

    /// The numbers of all arrivals that weren't released, in order.
    pub fn waiting(&self) -> Vec<SpoolNumber> {
        let shelves = self.shelves.read();
        let mut out = Vec::new();
        for (first, segment) in &shelves.0 {
            let waiting = segment.released.iter().zip(*first..).filter(|(released, _)| !**released);
            out.extend(waiting.map(|(_, number)| SpoolNumber(number)));
        }
        out
    }

    /// The segment that holds an arrival; none where it is gone.
    pub fn file_of(&self, number: SpoolNumber) -> Option<PathBuf> {
        let shelves = self.shelves.read();
        let (first, _) = shelves.find(number)?;
        Some(shelves.0[&first].path.clone())
    }

    /// How many arrivals weren't released.
    pub fn waiting_count(&self) -> usize {
        self.shelves.read().0.values().map(|segment| segment.waiting).sum()
    }

    /// Lets an arrival go: it is on record, or in quarantine.
    pub fn release(&self, number: SpoolNumber) {
        let mut shelves = self.shelves.write();
        let Some((first, at)) = shelves.find(number) else { return };
        let segment = shelves.0.get_mut(&first).expect("it was found");
        if !std::mem::replace(&mut segment.released[at], true) {
            segment.waiting -= 1;
        }
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.shelves.read().bytes()
    }
}

/// Numbers of the segments of a folder, ascending.
fn firsts(dir: &Path) -> Result<Vec<u64>, SpoolError> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(disk(dir))? {
        let path = entry.map_err(disk(dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(".part") {
            // A segment that was never begun.
            std::fs::remove_file(&path).map_err(disk(&path))?;
        } else if let Some(first) = name.strip_suffix(".seg").and_then(|name| name.parse().ok()) {
            out.push(first);
        }
    }
    out.sort_unstable();
    Ok(out)
}

fn path_of(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.seg"))
}

/// Reads a segment. The last one may end with a group that was never acknowledged, which is cut away.
fn read_segment(path: &Path, key: &Key, first: u64, is_last: bool) -> Result<Segment, SpoolError> {
    let file = File::options().read(true).write(true).open(path).map_err(disk(path))?;
    let bytes = std::fs::read(path).map_err(disk(path))?;
    let damaged = |at: usize, why| SpoolError::Damaged { path: path.to_owned(), at: at as u64, why };
    let header = Header::decode(&bytes).ok_or_else(|| damaged(0, "its header"))?;
    if header.first != first {
        return Err(damaged(0, "it has another number than its name"));
    }
    let (places, whole) = segment::read_frames(&bytes);
    if whole < bytes.len() {
        if !is_last {
            return Err(damaged(whole, "a group of arrivals"));
        }
        if segment::has_frame_after(&bytes, whole) {
            return Err(damaged(whole, "a group of arrivals, and a later one is whole"));
        }
        tracing::warn!(path = %path.display(), at = whole, "cut away what was never acknowledged");
        file.set_len(whole as u64).and_then(|()| file.sync_all()).map_err(disk(path))?;
    }
    let mut segment = Segment {
        path: path.to_owned(),
        file: Arc::new(file),
        key: Arc::new(key.segment(&header.salt)),
        bytes: whole as u64,
        places: Vec::new(),
        released: Vec::new(),
        waiting: 0,
    };
    segment.add(&places, whole as u64);
    // A wrong key is found before anything is promised.
    if let Some((at, len)) = places.first() {
        let at = usize::try_from(*at).expect("within the file");
        let sealed = bytes[at..at + *len as usize].to_vec();
        segment.key.open(first, sealed).ok_or_else(|| damaged(at, "it was sealed under another key: restore `key`"))?;
    }
    Ok(segment)
}

fn make_private_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    dir.parent().map_or(Ok(()), sync_dir)
}

fn private_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().create(true).read(true).write(true).truncate(false).mode(0o600).open(path)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Takes the lock; `None` where another process has it.
fn hold(path: &Path) -> Result<Option<File>, SpoolError> {
    use rustix::fs::{FlockOperation, flock};
    let file = private_file(path).map_err(disk(path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(disk(path)(error.into())),
    }
}

#[cfg(test)]
#[path = "spool_tests.rs"]
mod tests;
