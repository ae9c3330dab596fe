//! Reading segments back: which frames are sound, where the end is, and what the records add up to.

use std::collections::BTreeMap;

use raft::eraftpb::{Entry, HardState};

use super::LogError;
use super::frame::{FRAME_HEADER, Kind, SEGMENT_HEADER, aligned, frame_header, payload};
use super::record::Record;
use crate::core::{Install, Members, MembersAt};

/// Where the sound part of a segment ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// Offset after the last sound data frame.
    pub offset: usize,
    /// Number of the next frame.
    pub next_frame: u64,
    /// Nonzero bytes after `offset` that a crash left behind; they must be zeroed.
    pub torn_bytes: u64,
}

/// Calls `on_payload` with every sound data frame from the start, and finds the end.
///
/// # Errors
/// [`LogError::Damaged`] when a frame is broken although it was synced: one after it is sound.
pub(crate) fn read_segment<'a>(
    bytes: &'a [u8],
    segment: u64,
    first_frame: u64,
    mut on_payload: impl FnMut(&'a [u8]) -> Result<(), LogError>,
) -> Result<End, LogError> {
    let mut offset = SEGMENT_HEADER;
    let mut next_frame = first_frame;
    let mut sealed = false;
    while let Some(header) = frame_header(bytes, segment, offset) {
        if header.number != next_frame {
            return Err(damaged(segment, offset, "has a frame out of order"));
        }
        if header.kind == Kind::Seal {
            sealed = true;
            break;
        }
        let Some(body) = payload(bytes, offset, &header) else {
            break;
        };
        on_payload(body)?;
        offset += FRAME_HEADER + aligned(header.payload_len);
        next_frame += 1;
    }
    let rest = bytes.get(offset..).unwrap_or_default();
    let after_seal = if sealed { FRAME_HEADER } else { 0 };
    let torn = &rest[after_seal..];
    let last_nonzero = torn.iter().rposition(|&byte| byte != 0);
    let Some(last_nonzero) = last_nonzero else {
        return Ok(End { offset, next_frame, torn_bytes: 0 });
    };
    let scan_end = offset + after_seal + last_nonzero;
    // A sound frame after the end shows that more was synced than can be read.
    let mut at = offset + 8;
    while at <= scan_end {
        if frame_header(bytes, segment, at).is_some() {
            return Err(damaged(segment, offset, "has a broken frame before a sound one"));
        }
        at += 8;
    }
    Ok(End { offset, next_frame, torn_bytes: last_nonzero as u64 + 1 })
}

pub(crate) fn damaged(segment: u64, offset: usize, what: &str) -> LogError {
    LogError::Damaged(format!("segment {segment} {what} at byte {offset}"))
}

/// The sum of the records so far.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    pub hard_state: HardState,
    pub members: Option<MembersAt>,
    pub mark: (u64, u64),
    pub install: Option<Install>,
    pub notes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Index of the first of `entries`.
    first: u64,
    entries: Vec<Entry>,
}

impl Replay {
    /// Applies the records of one frame; returns the highest entry index in it.
    pub(crate) fn payload(&mut self, mut bytes: &[u8]) -> Result<u64, LogError> {
        let mut last_index = 0;
        while !bytes.is_empty() {
            let record = Record::decode(&mut bytes)
                .ok_or_else(|| LogError::Damaged("it has a record that this version can't read".into()))?;
            if let Record::Entry(entry) = record {
                last_index = last_index.max(entry.index);
                self.entry(entry)?;
            } else {
                self.meta(record);
            }
        }
        Ok(last_index)
    }

    /// Applies a record that is not an entry.
    pub(crate) fn meta(&mut self, record: Record) {
        match record {
            Record::Entry(_) => unreachable!("entries go the other way"),
            Record::HardState(state) => self.hard_state = state,
            Record::Members(at) => self.members = Some(at),
            Record::Mark { index, term } => {
                self.mark = (index, term);
                self.drop_to(index);
            }
            Record::InstallBegun(install) => self.install = Some(install),
            Record::InstallGivenUp => self.install = None,
            Record::InstallDone(install) => {
                self.mark = (install.index, install.term);
                let mut at = MembersAt::new(install.index, Members::from(&install.conf_state));
                at.highest_id = at.highest_id.max(self.members.take().map_or(0, |before| before.highest_id));
                self.members = Some(at);
                self.install = None;
                self.entries.clear();
            }
            Record::Note { key, value } => {
                self.notes.insert(key, value);
            }
        }
    }

    /// Later entries replace earlier ones from their index on. Segments before the oldest one left may have held
    /// entries that a later mark drops, so a gap at the front is judged at the end.
    fn entry(&mut self, entry: Entry) -> Result<(), LogError> {
        if entry.index < self.first {
            self.entries.clear();
        }
        if self.entries.is_empty() {
            self.first = entry.index;
        }
        let at = usize::try_from(entry.index - self.first).unwrap_or(usize::MAX);
        if at > self.entries.len() {
            return Err(LogError::Damaged(format!("entries before {} are missing", entry.index)));
        }
        self.entries.truncate(at);
        self.entries.push(entry);
        Ok(())
    }

    fn drop_to(&mut self, index: u64) {
        if let Some(count) = (index + 1).checked_sub(self.first) {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            self.entries.drain(..count.min(self.entries.len()));
            self.first = index + 1;
        }
    }

    /// The entries after the mark.
    pub(crate) fn take_entries(&mut self) -> Result<Vec<Entry>, LogError> {
        self.drop_to(self.mark.0);
        if !self.entries.is_empty() && self.first != self.mark.0 + 1 {
            return Err(LogError::Damaged(format!("entries {} to {} are missing", self.mark.0 + 1, self.first - 1)));
        }
        Ok(std::mem::take(&mut self.entries))
    }

    /// The records that a new segment begins with, so that older ones can go.
    pub(crate) fn preamble(&self) -> Vec<u8> {
        let mut out = Vec::new();
        Record::HardState(self.hard_state.clone()).encode(&mut out);
        if let Some(at) = &self.members {
            Record::Members(at.clone()).encode(&mut out);
        }
        let (index, term) = self.mark;
        Record::Mark { index, term }.encode(&mut out);
        if let Some(install) = &self.install {
            Record::InstallBegun(install.clone()).encode(&mut out);
        }
        for (key, value) in &self.notes {
            let (key, value) = (key.clone(), value.clone());
            Record::Note { key, value }.encode(&mut out);
        }
        out
    }
}
