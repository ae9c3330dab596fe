//! The part of the Raft log that is not compacted, in memory: what raft-rs reads while the disk lags behind.
//!
//! The disk log mirrors it. Everything here is owned by the Raft thread.

use std::cell::Cell;
use std::collections::VecDeque;

use prost_011::Message as _;
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Result, Storage, StorageError};

use super::members::Members;

/// Entries from [`MemLog::first_index`] on, and the snapshot offered to followers that need older ones.
#[derive(Debug, Default)]
pub(crate) struct MemLog {
    /// The state at start; raft-rs reads it once, and the members too.
    hard_state: HardState,
    conf_state: ConfState,
    /// (index, term) of the entry just before the first one held.
    mark: (u64, u64),
    entries: VecDeque<Entry>,
    /// For each entry the bytes of all entries up to and including it, since some time before the first.
    ends: VecDeque<u64>,
    /// The same for the mark.
    begin: u64,
    /// The last snapshot made on this node, if any.
    snapshot: Option<Snapshot>,
    /// A follower needs a snapshot that isn't there: raft-rs asked in vain.
    wanted: Cell<bool>,
    /// Bytes of committed entries that may be handed out now.
    room: Cell<u64>,
}

impl MemLog {
    pub(crate) fn new(hard_state: HardState, conf_state: ConfState, mark: (u64, u64), entries: Vec<Entry>) -> Self {
        let mut log = MemLog { hard_state, conf_state, mark, ..MemLog::default() };
        log.extend(entries);
        log
    }

    pub(crate) fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
    }

    pub(crate) fn first(&self) -> u64 {
        self.mark.0 + 1
    }

    pub(crate) fn last(&self) -> u64 {
        self.mark.0 + self.entries.len() as u64
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.end_of(self.last()) - self.begin
    }

    fn end_of(&self, index: u64) -> u64 {
        match index.checked_sub(self.first()) {
            Some(at) => self.ends[usize::try_from(at).expect("what is in memory can be counted")],
            None => self.begin,
        }
    }

    /// Bytes of the entries after `index` up to and including `to`, as far as they are held.
    pub(crate) fn bytes_between(&self, index: u64, to: u64) -> u64 {
        let last = self.last();
        self.end_of(to.min(last)).saturating_sub(self.end_of(index.min(last)))
    }

    /// Bytes of the entries after `index`; `u64::MAX` when not all of them are held.
    pub(crate) fn bytes_after(&self, index: u64) -> u64 {
        if index < self.mark.0 { u64::MAX } else { self.bytes_between(index, self.last()) }
    }

    fn extend(&mut self, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            let end = self.ends.back().unwrap_or(&self.begin) + entry_bytes(&entry);
            self.ends.push_back(end);
            self.entries.push_back(entry);
        }
    }

    /// The term of the entry at `index`, if it is known here.
    pub(crate) fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.mark.0 {
            return Some(self.mark.1);
        }
        self.entry(index).map(|entry| entry.term)
    }

    pub(crate) fn entry(&self, index: u64) -> Option<&Entry> {
        let at = index.checked_sub(self.first())?;
        self.entries.get(usize::try_from(at).ok()?)
    }

    /// Adds entries; one that is already there under the same index, and all after it, give way.
    pub(crate) fn append(&mut self, entries: &[Entry]) {
        let Some(start) = entries.first().map(|entry| entry.index) else {
            return;
        };
        assert!(
            start >= self.first() && start <= self.last() + 1,
            "append at {start} to a log of {}..={}",
            self.first(),
            self.last()
        );
        while self.last() >= start {
            self.entries.pop_back().expect("last() counts entries");
            self.ends.pop_back();
        }
        self.extend(entries.iter().cloned());
    }

    /// Forgets all entries; the next one is `index + 1`.
    pub(crate) fn reset(&mut self, index: u64, term: u64) {
        self.mark = (index, term);
        self.entries.clear();
        self.ends.clear();
        self.begin = 0;
        self.snapshot = None;
    }

    /// The highest index to compact up to so that at least `keep_bytes` of entries up to `limit` stay; `None` when
    /// that would free nothing.
    pub(crate) fn compactable(&self, limit: u64, keep_bytes: u64) -> Option<u64> {
        let mut kept = 0;
        let mut index = limit.min(self.last());
        while index >= self.first() {
            kept += entry_bytes(self.entry(index)?);
            if kept > keep_bytes {
                return Some(index);
            }
            index -= 1;
        }
        None
    }

    /// Forgets entries up to and including `index`; returns the new mark.
    pub(crate) fn compact(&mut self, index: u64) -> (u64, u64) {
        let term = self.term_at(index).expect("compacts what it holds");
        while self.mark.0 < index {
            let dropped = self.entries.pop_front().expect("compacts what it holds");
            self.begin = self.ends.pop_front().expect("one for each entry");
            self.mark = (dropped.index, dropped.term);
        }
        assert_eq!(self.mark, (index, term), "compaction ends where it should");
        if self.snapshot.as_ref().is_some_and(|snapshot| snapshot.get_metadata().index < index) {
            self.snapshot = None;
        }
        self.mark
    }

    /// Says how many bytes of committed entries raft-rs may hand out from now on; the last one may go beyond.
    pub(crate) fn set_room(&self, bytes: u64) {
        self.room.set(bytes);
    }

    /// Offers a snapshot to followers.
    pub(crate) fn offer(&mut self, snapshot: Snapshot) {
        self.snapshot = Some(snapshot);
    }

    /// Offers none any more.
    pub(crate) fn withdraw(&mut self) {
        self.snapshot = None;
    }

    /// The snapshot on offer.
    pub(crate) fn offered(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// Tells whether a snapshot has been asked for since the last call.
    pub(crate) fn take_wanted(&self) -> bool {
        self.wanted.take()
    }
}

/// Memory and disk that an entry takes, in bytes, about.
pub(crate) fn entry_bytes(entry: &Entry) -> u64 {
    entry.encoded_len() as u64 + 16
}

/// The leader's stamp: `Entry.context` is a big-endian u64 of milliseconds, or empty.
pub(crate) fn entry_time_ms(entry: &Entry) -> u64 {
    <[u8; 8]>::try_from(entry.context.as_slice()).map_or(0, u64::from_be_bytes)
}

/// An entry without what it holds.
fn kind_of(entry: &Entry) -> Entry {
    Entry { entry_type: entry.entry_type, term: entry.term, index: entry.index, ..Entry::default() }
}

impl Storage for MemLog {
    fn initial_state(&self) -> Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.conf_state.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        if low < self.first() {
            return Err(Error::Store(StorageError::Compacted));
        }
        assert!(high <= self.last() + 1, "entries up to {high} of {}", self.last());
        let max_size = max_size.into().unwrap_or(u64::MAX);
        let to_send = context.can_async();
        if !to_send && max_size == u64::MAX {
            // A candidate counts the changes of members that are not applied yet, and looks at nothing else.
            let kinds = (low..high).map(|index| self.entry(index).map(kind_of));
            return kinds.collect::<Option<_>>().ok_or(Error::Store(StorageError::Unavailable));
        }
        let max_size = match self.room.get() {
            _ if to_send => max_size,
            0 => return Ok(Vec::new()),
            room => max_size.min(room),
        };
        let mut out = Vec::new();
        let mut size = 0;
        for index in low..high {
            let entry = self.entry(index).ok_or(Error::Store(StorageError::Unavailable))?;
            size += entry.encoded_len() as u64;
            if size > max_size && !out.is_empty() {
                break;
            }
            out.push(entry.clone());
        }
        Ok(out)
    }

    fn term(&self, index: u64) -> Result<u64> {
        if index < self.mark.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        self.term_at(index).ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> Result<Snapshot> {
        match &self.snapshot {
            // Who is not among its members would not take it.
            Some(snapshot)
                if snapshot.get_metadata().index >= request_index.max(self.mark.0)
                    && Members::from(snapshot.get_metadata().get_conf_state()).contains(to) =>
            {
                Ok(snapshot.clone())
            }
            _ => {
                self.wanted.set(true);
                Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
            }
        }
    }
}
