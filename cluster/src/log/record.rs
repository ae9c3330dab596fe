//! The payload of a frame: records, one after the other.
//!
//! `u8 kind ‖ u32 length ‖ body`, big-endian. Bodies: 1 entry (protobuf); 2 hard state: term, vote, commit as u64; 3
//! members (protobuf); 4 mark: u64 index, u64 term, all up to it is dropped; 5 install begun: u64 index, u64 term ‖
//! members; 6 install done, likewise: the log begins anew after index; 7 install given up, empty; 8 note: u16 key
//! length ‖ key ‖ value; 9 members as of an index: u64 index, u64 highest id ‖ members. Logs begun by earlier versions
//! have kind 3, which says no index: it holds the first members.

use prost_011::Message as _;
use raft::eraftpb::{ConfState, Entry, HardState};

use super::frame::{NUMBER_MAX, u32_at, u64_at};
use crate::core::{Install, Members, MembersAt};

/// One record of the log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    Entry(Entry),
    HardState(HardState),
    Members(MembersAt),
    Mark { index: u64, term: u64 },
    InstallBegun(Install),
    InstallDone(Install),
    InstallGivenUp,
    Note { key: Vec<u8>, value: Vec<u8> },
}

fn put(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let len = u32::try_from(out.len() - at - 4).expect("a record holds less than 4 GiB");
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

fn put_message(out: &mut Vec<u8>, message: &impl prost_011::Message) {
    message.encode(out).expect("a Vec takes any number of bytes");
}

fn put_install(out: &mut Vec<u8>, install: &Install) {
    out.extend_from_slice(&install.index.to_be_bytes());
    out.extend_from_slice(&install.term.to_be_bytes());
    put_message(out, &install.conf_state);
}

/// Appends an entry without taking it.
pub(crate) fn encode_entry(out: &mut Vec<u8>, entry: &Entry) {
    put(out, 1, |out| put_message(out, entry));
}

impl Record {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Record::Entry(entry) => encode_entry(out, entry),
            Record::HardState(state) => put(out, 2, |out| {
                for word in [state.term, state.vote, state.commit] {
                    out.extend_from_slice(&word.to_be_bytes());
                }
            }),
            Record::Members(at) => put(out, 9, |out| {
                out.extend_from_slice(&at.index.to_be_bytes());
                out.extend_from_slice(&at.highest_id.to_be_bytes());
                put_message(out, &ConfState::from(&at.members));
            }),
            Record::Mark { index, term } => put(out, 4, |out| {
                out.extend_from_slice(&index.to_be_bytes());
                out.extend_from_slice(&term.to_be_bytes());
            }),
            Record::InstallBegun(install) => put(out, 5, |out| put_install(out, install)),
            Record::InstallDone(install) => put(out, 6, |out| put_install(out, install)),
            Record::InstallGivenUp => put(out, 7, |_| {}),
            Record::Note { key, value } => put(out, 8, |out| {
                let len = u16::try_from(key.len()).expect("note keys are short");
                out.extend_from_slice(&len.to_be_bytes());
                out.extend_from_slice(key);
                out.extend_from_slice(value);
            }),
        }
    }

    /// Takes the first record off `bytes`.
    pub(crate) fn decode(bytes: &mut &[u8]) -> Option<Record> {
        let kind = *bytes.first()?;
        let len = u32_at(bytes, 1)? as usize;
        let body = bytes.get(5..5usize.checked_add(len)?)?;
        *bytes = &bytes[5 + len..];
        let record = match kind {
            1 => Record::Entry(Entry::decode(body).ok()?),
            2 if len == 24 => Record::HardState(HardState {
                term: u64_at(body, 0)?,
                vote: u64_at(body, 8)?,
                commit: u64_at(body, 16)?,
            }),
            3 => Record::Members(MembersAt::new(0, Members::from(&ConfState::decode(body).ok()?))),
            4 if len == 16 => Record::Mark { index: u64_at(body, 0)?, term: u64_at(body, 8)? },
            5 => Record::InstallBegun(decode_install(body)?),
            6 => Record::InstallDone(decode_install(body)?),
            7 if len == 0 => Record::InstallGivenUp,
            8 => {
                let split = 2 + usize::from(u16::from_be_bytes(body.get(..2)?.try_into().ok()?));
                Record::Note { key: body.get(2..split)?.to_vec(), value: body.get(split..)?.to_vec() }
            }
            9 => Record::Members(MembersAt {
                index: u64_at(body, 0)?,
                highest_id: u64_at(body, 8)?,
                members: Members::from(&ConfState::decode(body.get(16..)?).ok()?),
            }),
            _ => return None,
        };
        (record.index() <= NUMBER_MAX).then_some(record)
    }

    /// The index that it names; 0 for none.
    fn index(&self) -> u64 {
        match self {
            Record::Entry(entry) => entry.index,
            Record::Mark { index, .. } => *index,
            Record::InstallBegun(install) | Record::InstallDone(install) => install.index,
            Record::Members(at) => at.index,
            Record::HardState(_) | Record::InstallGivenUp | Record::Note { .. } => 0,
        }
    }
}

fn decode_install(body: &[u8]) -> Option<Install> {
    Some(Install {
        index: u64_at(body, 0)?,
        term: u64_at(body, 8)?,
        conf_state: ConfState::decode(body.get(16..)?).ok()?,
    })
}

/// Records that are written together, durable together or not at all.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) bytes: Vec<u8>,
    /// Everything but entries, for the log's own books.
    pub(crate) meta: Vec<Record>,
    /// Highest index among the entries.
    pub(crate) last_index: u64,
}

impl Batch {
    /// Tells whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds entries; they replace what the log holds from the first one's index on.
    pub fn entries(&mut self, entries: &[Entry]) {
        for entry in entries {
            encode_entry(&mut self.bytes, entry);
            self.last_index = self.last_index.max(entry.index);
        }
    }

    /// Adds term, vote and commit.
    pub fn hard_state(&mut self, state: &HardState) {
        self.meta(Record::HardState(state.clone()));
    }

    /// Adds the members.
    pub fn members(&mut self, at: &MembersAt) {
        self.meta(Record::Members(at.clone()));
    }

    /// Drops all entries up to `index`, whose term is `term`. Where a change of the members may be among them, the
    /// members go into the same batch.
    pub fn compact(&mut self, index: u64, term: u64) {
        self.meta(Record::Mark { index, term });
    }

    /// The state machine is about to be replaced by a snapshot.
    pub fn install_begun(&mut self, install: &Install) {
        self.meta(Record::InstallBegun(install.clone()));
    }

    /// The state machine is the snapshot: the log begins anew after it.
    pub fn install_done(&mut self, install: &Install) {
        self.meta(Record::InstallDone(install.clone()));
    }

    /// Sets a small value that the driver keeps here, such as what this node has signed.
    pub fn note(&mut self, key: &[u8], value: &[u8]) {
        self.meta(Record::Note { key: key.to_vec(), value: value.to_vec() });
    }

    pub(crate) fn meta(&mut self, record: Record) {
        record.encode(&mut self.bytes);
        self.meta.push(record);
    }
}
