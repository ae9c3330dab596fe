//! The log over segment files.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use super::frame::{FRAME_HEADER, Kind, SEGMENT_HEADER, SegmentHeader, aligned, encode_frame};
use super::peers::peers_in;
use super::record::{Batch, Record};
use super::replay::{End, Replay, damaged, read_segment};
use super::{Disk, DiskFile, FoundLog, LogError, LogStore};
use crate::config::LogConfig;
use crate::core::Recovered;

/// A segment that is no longer written.
#[derive(Debug)]
struct Closed {
    segment: u64,
    /// Highest entry index in it; it can go when all of those are dropped.
    last_index: u64,
}

/// The segment that is written.
struct Active<F> {
    file: F,
    segment: u64,
    bytes: u64,
    offset: u64,
    last_index: u64,
}

/// The durable log as segment files `raft-<number>.log`; see [`super::frame`] for their bytes.
pub struct SegmentedLog<D: Disk> {
    disk: D,
    node: u64,
    config: LogConfig,
    closed: VecDeque<Closed>,
    active: Active<D::File>,
    next_frame: u64,
    /// State for preambles; holds no entries.
    books: Replay,
    sealed: bool,
    poisoned: bool,
    buffer: Vec<u8>,
}

fn file_name(segment: u64) -> String {
    format!("raft-{segment:016x}.log")
}

fn segment_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("raft-")?.strip_suffix(".log")?;
    u64::from_str_radix(digits, 16).ok()
}

const TEMPORARY: &str = "raft-new.tmp";

impl<D: Disk> SegmentedLog<D> {
    /// Opens or begins the log of `node` and reads all of it. `applied` is the (index, term) of the state machine: it
    /// tells whether a snapshot whose installation a crash interrupted is in place.
    ///
    /// Bytes that can be read need not be on the disk: a process that was killed between its write and its sync leaves a
    /// frame in the page cache, and after a failed sync the kernel may show bytes that it will never write. So the
    /// segment that is written next is written anew, byte by byte the same, and synced, with the names, before this
    /// returns. Older segments were synced before the one after them was named.
    ///
    /// # Errors
    /// When it can't be read, or must not be used; see [`LogError`].
    pub fn open(disk: D, node: u64, config: LogConfig, applied: (u64, u64)) -> Result<(Self, FoundLog), LogError> {
        Self::open_as(disk, node, config, applied, Tail::WrittenAnew)
    }

    /// A planted bug: trusts what it reads.
    ///
    /// # Errors
    /// As [`SegmentedLog::open`].
    #[cfg(feature = "plants")]
    pub fn open_trusting_the_tail(
        disk: D,
        node: u64,
        config: LogConfig,
        applied: (u64, u64),
    ) -> Result<(Self, FoundLog), LogError> {
        Self::open_as(disk, node, config, applied, Tail::Trusted)
    }

    fn open_as(
        disk: D,
        node: u64,
        config: LogConfig,
        applied: (u64, u64),
        tail: Tail,
    ) -> Result<(Self, FoundLog), LogError> {
        let mut segments = Vec::new();
        for name in disk.list()? {
            if name == TEMPORARY {
                disk.remove(&name)?;
            } else if let Some(segment) = segment_of(&name) {
                segments.push(segment);
            }
        }
        segments.sort_unstable();
        let mut log = match segments.split_last() {
            None => OpenedLog { log: Self::begin(disk, node, config)?, found: FoundLog::default() },
            Some((&last, closed)) => Self::reopen(disk, node, config, closed, last, tail)?,
        };
        log.settle_install(applied)?;
        log.found.recovered.hard_state = log.log.books.hard_state.clone();
        log.found.recovered.members = log.log.books.members.clone();
        log.found.recovered.mark = log.log.books.mark;
        log.found.recovered.peers = peers_in(&log.log.books.notes)?;
        Ok((log.log, log.found))
    }

    fn begin(disk: D, node: u64, config: LogConfig) -> Result<Self, LogError> {
        let books = Replay::default();
        let header = SegmentHeader { segment: 1, node, previous_len: 0, first_frame: 1 };
        let active = create_segment(&disk, &config, header, &books.preamble(), 0)?;
        Ok(SegmentedLog {
            disk,
            node,
            config,
            closed: VecDeque::new(),
            active,
            next_frame: 2,
            books,
            sealed: false,
            poisoned: false,
            buffer: Vec::new(),
        })
    }

    fn reopen(
        disk: D,
        node: u64,
        config: LogConfig,
        older: &[u64],
        last: u64,
        tail: Tail,
    ) -> Result<OpenedLog<D>, LogError> {
        let mut books = Replay::default();
        let mut closed = VecDeque::new();
        let mut previous: Option<(u64, End)> = None;
        for &segment in older {
            let mut file = disk.open(&file_name(segment))?;
            if tail == Tail::WrittenAnew {
                // A version that trusted its tail may have closed it unsynced.
                file.sync()?;
            }
            let (last_index, end) = load(&file.read_all()?, node, segment, previous, &mut books)?;
            closed.push_back(Closed { segment, last_index });
            previous = Some((segment, end));
        }
        let mut file = disk.open(&file_name(last))?;
        let mut bytes = file.read_all()?;
        let (last_index, end) = load(&bytes, node, last, previous, &mut books)?;
        // A file that was cut within the padding of its last frame.
        bytes.resize(bytes.len().max(end.offset), 0);
        let len = bytes.len();
        settle_tail(&disk, &mut file, bytes, &end, tail)?;
        let found = FoundLog {
            recovered: Recovered { entries: books.take_entries()?, ..Recovered::default() },
            torn_bytes: end.torn_bytes,
        };
        let active = Active { file, segment: last, bytes: len as u64, offset: end.offset as u64, last_index };
        let log = SegmentedLog {
            disk,
            node,
            config,
            closed,
            active,
            next_frame: end.next_frame,
            books,
            sealed: false,
            poisoned: false,
            buffer: Vec::new(),
        };
        Ok(OpenedLog { log, found })
    }

    fn write(&mut self, batch: &Batch) -> Result<(), LogError> {
        let frame_len = (FRAME_HEADER + aligned(batch.bytes.len())) as u64;
        // A log that begins anew does so in a segment of its own: what follows in the same batch must stay when the
        // segments before go.
        let begins_anew = batch.meta.iter().any(|record| matches!(record, Record::InstallDone(_)));
        if begins_anew || self.active.offset + frame_len > self.active.bytes {
            self.rotate(frame_len)?;
        }
        self.buffer.clear();
        encode_frame(
            &mut self.buffer,
            Kind::Data,
            &batch.bytes,
            self.next_frame,
            self.active.segment,
            self.active.offset,
        );
        assert_eq!(self.buffer.len() as u64, frame_len, "frame length");
        self.active.file.write_at(self.active.offset, &self.buffer)?;
        self.active.file.sync()?;
        self.active.offset += frame_len;
        self.active.last_index = self.active.last_index.max(batch.last_index);
        self.next_frame += 1;
        self.sealed = false;
        for record in &batch.meta {
            self.books.meta(record.clone());
        }
        if begins_anew {
            self.remove_while(|_| true)?;
        } else if !batch.meta.is_empty() {
            let mark = self.books.mark.0;
            self.remove_while(|closed| closed.last_index <= mark)?;
        }
        Ok(())
    }

    /// Begins a new segment with room for a frame of `frame_len` bytes.
    fn rotate(&mut self, frame_len: u64) -> Result<(), LogError> {
        let header = SegmentHeader {
            segment: self.active.segment + 1,
            node: self.node,
            previous_len: self.active.offset,
            first_frame: self.next_frame,
        };
        let preamble = self.books.preamble();
        let next = create_segment(&self.disk, &self.config, header, &preamble, frame_len)?;
        let old = std::mem::replace(&mut self.active, next);
        self.closed.push_back(Closed { segment: old.segment, last_index: old.last_index });
        self.next_frame += 1;
        Ok(())
    }

    /// Removes the oldest segments, in order, so that what is left after a crash has no gap.
    fn remove_while(&mut self, may_go: impl Fn(&Closed) -> bool) -> Result<(), LogError> {
        while self.closed.front().is_some_and(&may_go) {
            let gone = self.closed.pop_front().expect("there is a front");
            self.disk.remove(&file_name(gone.segment))?;
            self.disk.sync_dir()?;
        }
        Ok(())
    }

    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> Result<(), LogError>) -> Result<(), LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned);
        }
        let result = work(self);
        self.poisoned = result.is_err();
        result
    }
}

struct OpenedLog<D: Disk> {
    log: SegmentedLog<D>,
    found: FoundLog,
}

impl<D: Disk> OpenedLog<D> {
    /// A crash between the beginning and the end of an installation leaves the old state or the new one.
    fn settle_install(&mut self, applied: (u64, u64)) -> Result<(), LogError> {
        let Some(install) = self.log.books.install.clone() else {
            return Ok(());
        };
        let mut batch = Batch::default();
        if (install.index, install.term) == applied {
            batch.install_done(&install);
            self.found.recovered.entries.clear();
        } else {
            batch.meta(Record::InstallGivenUp);
        }
        self.log.append(&batch)
    }
}

/// The treatment, at a start, of the end of the segment that is written next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// Writes it again and syncs it.
    WrittenAnew,
    /// Takes it as it is. Only the planted bug does so.
    #[cfg_attr(not(feature = "plants"), allow(dead_code))]
    Trusted,
}

/// Makes durable what was read of a segment, and what a crash left behind its end zero. A crash in the middle loses
/// nothing: what was durable is written over with the same bytes.
fn settle_tail<D: Disk>(
    disk: &D,
    file: &mut D::File,
    mut bytes: Vec<u8>,
    end: &End,
    tail: Tail,
) -> Result<(), LogError> {
    bytes[end.offset..].fill(0);
    match tail {
        Tail::WrittenAnew => {
            let written = if end.torn_bytes > 0 { bytes.len() } else { end.offset };
            file.write_at(0, &bytes[..written])?;
            file.sync()?;
            disk.sync_dir()?;
        }
        Tail::Trusted if end.torn_bytes > 0 => {
            file.write_at(end.offset as u64, &bytes[end.offset..])?;
            file.sync()?;
        }
        Tail::Trusted => {}
    }
    Ok(())
}

/// Makes a segment whose header and preamble are durable before its name is.
fn create_segment<D: Disk>(
    disk: &D,
    config: &LogConfig,
    header: SegmentHeader,
    preamble: &[u8],
    room: u64,
) -> Result<Active<D::File>, LogError> {
    let mut bytes = header.encode().to_vec();
    encode_frame(&mut bytes, Kind::Data, preamble, header.first_frame, header.segment, SEGMENT_HEADER as u64);
    let size = config.segment_bytes.max(bytes.len() as u64 + room);
    let mut file = disk.create(TEMPORARY, size)?;
    file.write_at(0, &bytes)?;
    file.sync()?;
    disk.rename(TEMPORARY, &file_name(header.segment))?;
    disk.sync_dir()?;
    Ok(Active { file, segment: header.segment, bytes: size, offset: bytes.len() as u64, last_index: 0 })
}

/// Replays one segment into `books`; returns the highest entry index in it and its end.
fn load(
    bytes: &[u8],
    node: u64,
    segment: u64,
    previous: Option<(u64, End)>,
    books: &mut Replay,
) -> Result<(u64, End), LogError> {
    let header = SegmentHeader::decode(bytes).ok_or_else(|| damaged(segment, 0, "has no sound header"))?;
    if header.node != node {
        return Err(LogError::WrongNode { found: header.node, wanted: node });
    }
    if header.segment != segment {
        return Err(damaged(segment, 0, "is another segment's file"));
    }
    if let Some((before, end)) = previous {
        let follows =
            before + 1 == segment && end.offset as u64 == header.previous_len && end.next_frame == header.first_frame;
        if !follows {
            return Err(damaged(before, end.offset, "ends too early"));
        }
    }
    let mut last_index = 0;
    let end = read_segment(bytes, segment, header.first_frame, |payload| {
        last_index = last_index.max(books.payload(payload)?);
        Ok(())
    })?;
    if end.next_frame == header.first_frame {
        return Err(damaged(segment, SEGMENT_HEADER, "has no sound beginning"));
    }
    Ok((last_index, end))
}

impl<D: Disk> LogStore for SegmentedLog<D> {
    fn append(&mut self, batch: &Batch) -> Result<(), LogError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.guarded(|log| log.write(batch))
    }

    fn seal(&mut self) -> Result<(), LogError> {
        let full = self.active.offset + FRAME_HEADER as u64 > self.active.bytes;
        if self.sealed || full {
            return Ok(());
        }
        self.guarded(|log| {
            let mut frame = Vec::new();
            encode_frame(&mut frame, Kind::Seal, &[], log.next_frame, log.active.segment, log.active.offset);
            log.active.file.write_at(log.active.offset, &frame)?;
            log.sealed = true;
            Ok(())
        })
    }

    fn notes(&self) -> &BTreeMap<Vec<u8>, Vec<u8>> {
        &self.books.notes
    }
}

impl From<LogError> for io::Error {
    fn from(error: LogError) -> Self {
        io::Error::other(error)
    }
}
