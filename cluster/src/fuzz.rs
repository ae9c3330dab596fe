//! Fuzz targets: what comes from a peer or from a disk that a crash or rot was at. None may panic, and what is accepted
//! reads the same again.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft::eraftpb::Entry;

use crate::config::LogConfig;
use crate::core::{sender_of, wire};
use crate::log::frame::{Kind, NUMBER_MAX, SEGMENT_HEADER, SegmentHeader, encode_frame};
use crate::log::record::Record;
use crate::log::{Batch, Disk, DiskFile, FoundLog, LogError, LogStore as _, SegmentedLog};
use crate::snapshot::Manifest;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target with its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("peer_message", fuzz_peer_message),
    ("manifest", fuzz_manifest),
    ("log_records", fuzz_log_records),
    ("log_segment", fuzz_log_segment),
    ("log_frames", fuzz_log_frames),
];

const NODE: u64 = 1;
const MESSAGE_BYTES_MAX: usize = 4_096;
const CONFIG: LogConfig = LogConfig { segment_bytes: 1_024 };

/// Messages of peers: the transport and the core agree on who sent one.
pub fn fuzz_peer_message(data: &[u8]) {
    let sender = sender_of(data);
    match wire::decode(data, MESSAGE_BYTES_MAX) {
        Ok(wire::Wire::Raft(message)) => assert_eq!(sender, Some(message.from)),
        Ok(wire::Wire::SnapshotStatus { from, index, state }) => {
            assert_eq!(sender, Some(from));
            assert_eq!(wire::encode_status(from, index, state), data);
        }
        Ok(wire::Wire::Disowned { from, known }) => {
            assert_eq!(sender, Some(from));
            assert_eq!(wire::encode_disowned(from, &known), data);
        }
        Ok(wire::Wire::Stored { from, run }) => {
            assert_eq!(sender, Some(from));
            assert_eq!(wire::encode_stored(from, &run), data);
        }
        Ok(wire::Wire::Standing(standing)) => {
            assert_eq!(sender, Some(standing.from));
            assert_eq!(wire::encode_standing(&standing), data);
        }
        Ok(wire::Wire::Split { from, split }) => {
            assert_eq!(sender, Some(from));
            assert_eq!(wire::encode_split(from, &split), data);
        }
        Err(_) => {}
    }
}

/// Manifests of snapshots.
pub fn fuzz_manifest(data: &[u8]) {
    if let Ok(manifest) = Manifest::decode(data) {
        assert_eq!(manifest.encode(), data);
        assert!(manifest.files.iter().all(|file| file.size <= manifest.total_bytes()));
        assert!(!manifest.dir_name().contains('/'));
    }
}

/// Records of the log: what is read survives the way there and back.
pub fn fuzz_log_records(mut data: &[u8]) {
    while let Some(record) = Record::decode(&mut data) {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        assert_eq!(Record::decode(&mut &bytes[..]), Some(record));
    }
}

/// A whole segment file, in front of one that says of itself that it follows, and alone.
pub fn fuzz_log_segment(data: &[u8]) {
    let header = SegmentHeader::decode(data);
    if let Some(header) = header {
        assert_eq!(SegmentHeader::decode(&header.encode()), Some(header));
    }
    let segment = header.map_or(1, |header| header.segment);
    open_twice(&[(segment, data)]);
    let next = SegmentHeader {
        segment: segment.wrapping_add(1),
        node: NODE,
        previous_len: data.len() as u64,
        first_frame: header.map_or(1, |header| header.first_frame),
    };
    open_twice(&[(segment, data), (next.segment, &next.encode())]);
}

/// Frames whose checksums fit, around arbitrary payloads: bytes 0 and 1 say how long they are.
pub fn fuzz_log_frames(data: &[u8]) {
    let Some(([first, second], payloads)) = data.split_first_chunk::<2>() else {
        return;
    };
    let header = SegmentHeader { segment: 1, node: NODE, previous_len: 0, first_frame: 1 };
    let mut bytes = header.encode().to_vec();
    assert_eq!(bytes.len(), SEGMENT_HEADER);
    let (one, rest) = payloads.split_at(payloads.len().min(usize::from(*first)));
    let (two, three) = rest.split_at(rest.len().min(usize::from(*second)));
    for (payload, number) in [one, two, three].into_iter().zip(1..) {
        let offset = bytes.len() as u64;
        encode_frame(&mut bytes, Kind::Data, payload, number, 1, offset);
    }
    bytes.resize(bytes.len() + 64, 0);
    open_twice(&[(1, &bytes)]);
}

/// Opens the log, writes to it and opens it again: what was found is still there, and what was written is.
fn open_twice(segments: &[(u64, &[u8])]) {
    let disk = MemoryDisk::default();
    for (segment, bytes) in segments {
        disk.files().insert(format!("raft-{segment:016x}.log"), bytes.to_vec());
    }
    let Ok((mut log, found)) = open(&disk) else {
        return;
    };
    let last = found.recovered.entries.last().map_or(found.recovered.mark.0, |entry| entry.index);
    let index = last + 1;
    if index > NUMBER_MAX {
        return;
    }
    let entry = Entry { index, term: 1, data: vec![7; 9], ..Entry::default() };
    let mut batch = Batch::default();
    batch.entries(std::slice::from_ref(&entry));
    let notes = log.notes().clone();
    if log.append(&batch).is_err() {
        return;
    }
    drop(log);
    let (again, found_again) = open(&disk).expect("a log that was written to");
    assert_eq!(again.notes(), &notes);
    assert_eq!(found_again.torn_bytes, 0);
    let (before, mut after) = (found.recovered, found_again.recovered);
    assert_eq!(after.entries.pop(), Some(entry));
    assert_eq!(after.entries, before.entries);
    assert_eq!((after.hard_state, after.mark), (before.hard_state, before.mark));
    assert_eq!(after.members, before.members);
}

fn open(disk: &MemoryDisk) -> Result<(SegmentedLog<MemoryDisk>, FoundLog), LogError> {
    SegmentedLog::open(disk.clone(), NODE, CONFIG, (0, 0))
}

/// A disk of this process' memory.
#[derive(Clone, Default)]
struct MemoryDisk(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl MemoryDisk {
    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, name: &str) -> MemoryFile {
        MemoryFile { disk: self.clone(), name: name.to_owned() }
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    name: String,
}

impl Disk for MemoryDisk {
    type File = MemoryFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files().keys().cloned().collect())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<MemoryFile> {
        let bytes = usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.files().insert(name.to_owned(), vec![0; bytes]);
        Ok(self.file(name))
    }

    fn open(&self, name: &str) -> io::Result<MemoryFile> {
        match self.files().contains_key(name) {
            true => Ok(self.file(name)),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files();
        let bytes = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }
}

impl MemoryFile {
    fn with<T>(&self, work: impl FnOnce(&mut Vec<u8>) -> T) -> io::Result<T> {
        self.disk.files().get_mut(&self.name).map(work).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl DiskFile for MemoryFile {
    fn read_all(&self) -> io::Result<Vec<u8>> {
        self.with(|bytes| bytes.clone())
    }

    fn write_at(&mut self, offset: u64, written: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = offset + written.len();
        self.with(|bytes| {
            bytes.resize(bytes.len().max(end), 0);
            bytes[offset..end].copy_from_slice(written);
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Well-formed inputs for the targets of what isn't public: records of the log, alone and as payloads of frames.
pub fn record_seeds() -> Vec<Vec<u8>> {
    let mut batch = Batch::default();
    let entry = |index| Entry { index, term: 1, data: vec![1; 20], ..Entry::default() };
    let members = raft::eraftpb::ConfState { voters: vec![1, 2, 3], ..Default::default() };
    let install = crate::core::Install { index: 9, term: 2, conf_state: members.clone() };
    batch.hard_state(&raft::eraftpb::HardState { term: 1, vote: 2, commit: 1 });
    batch.members(&crate::core::MembersAt::new(3, crate::core::Members::from(&members)));
    batch.note(b"key", b"value");
    batch.entries(&[entry(1), entry(2), entry(3)]);
    let entries = batch.bytes.clone();
    batch.compact(2, 1);
    let compacted = batch.bytes.clone();
    batch.install_begun(&install);
    let mut done = batch.bytes.clone();
    Record::InstallDone(install).encode(&mut done);
    let mut far = Vec::new();
    Record::Mark { index: u64::MAX, term: 1 }.encode(&mut far);
    let records = [entries, compacted, batch.bytes, done, far];
    let framed = records.iter().map(|bytes| [&[40, 90][..], bytes].concat());
    let message = raft::eraftpb::Message { from: 3, to: 1, entries: vec![entry(1)], ..Default::default() };
    let mut seeds = vec![wire::encode_raft(&message), wire::encode_status(2, 77, wire::Transfer::Running)];
    seeds.extend(framed);
    seeds.extend(records);
    seeds
}
