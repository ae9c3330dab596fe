//! Drives every fuzz target for a moment.

use sillage_cluster::fuzz::{TARGETS, record_seeds};
use sillage_cluster::log::{Batch, LogStore as _, RealDisk, SegmentedLog};
use sillage_cluster::snapshot::{Manifest, SnapshotFile};
use sillage_cluster::{LogConfig, core::eraftpb::Entry};
use sillage_proof::fuzz::drive;

/// The segment files of a log that was written, sealed, rotated and compacted.
fn segments() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = RealDisk::open(dir.path()).expect("a disk");
    let config = LogConfig { segment_bytes: 1_024 };
    let (mut log, _) = SegmentedLog::open(disk, 1, config, (0, 0)).expect("a new log");
    for index in 1..=8 {
        let mut batch = Batch::default();
        batch.entries(&[Entry { index, term: 1, data: vec![index as u8; 150], ..Entry::default() }]);
        if index == 4 {
            batch.compact(3, 1);
        }
        log.append(&batch).expect("room");
    }
    log.seal().expect("room");
    let files = std::fs::read_dir(dir.path()).expect("readable").map(|entry| entry.expect("readable").path());
    files.map(|path| std::fs::read(path).expect("readable")).filter(|bytes| !bytes.is_empty()).collect()
}

fn seeds() -> Vec<Vec<u8>> {
    let file = |name: &str, size| SnapshotFile { name: name.to_owned(), size, hash: Some([7; 32]) };
    let manifest = Manifest { index: 7, term: 3, files: vec![file("a/x", 5), file("b", 6)] };
    let mut seeds = vec![manifest.encode()];
    seeds.extend(record_seeds());
    seeds.extend(segments());
    assert!(seeds.len() > 10, "{} seeds", seeds.len());
    seeds
}

#[test]
fn no_target_falls_over() {
    drive(TARGETS, &seeds(), 300_000);
}
