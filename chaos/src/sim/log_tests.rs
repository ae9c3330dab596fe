//! The log store on the simulated disk: what a process that ended left in the page cache.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sillage_cluster::LogConfig;
use sillage_cluster::core::eraftpb::Entry;
use sillage_cluster::log::{Batch, FoundLog, LogError, LogStore, SegmentedLog};

use super::SimDisk;

type Open = fn(SimDisk, u64, LogConfig, (u64, u64)) -> Result<(SegmentedLog<SimDisk>, FoundLog), LogError>;

const CONFIG: LogConfig = LogConfig { segment_bytes: 4096 };

fn batch(index: u64) -> Batch {
    let mut batch = Batch::default();
    batch.entries(&[Entry { index, term: 1, data: vec![7; 300], ..Entry::default() }]);
    batch
}

fn last(found: &FoundLog) -> u64 {
    found.recovered.entries.last().map_or(0, |entry| entry.index)
}

/// Three entries are written and synced, the sync of a fourth doesn't come to its end, the process starts again and
/// sees it, and then power fails. How often is the fourth gone, of twenty times?
fn lost(open: Open, sync_fails: bool) -> u64 {
    let mut lost = 0;
    for seed in 0..20 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let disk = SimDisk::default();
        let (mut log, _) = open(disk.clone(), 1, CONFIG, (0, 0)).unwrap();
        for index in 1..=3 {
            log.append(&batch(index)).unwrap();
        }
        disk.fail_syncs();
        log.append(&batch(4)).unwrap_err();
        if sync_fails {
            disk.fail_writeback(&mut rng);
        }
        disk.kill();
        let (_log, found) = open(disk.clone(), 1, CONFIG, (0, 0)).unwrap();
        assert_eq!(last(&found), 4, "the next process sees it, and will acknowledge it");
        disk.crash(&mut rng);
        let (_log, found) = open(disk, 1, CONFIG, (0, 0)).unwrap();
        assert!(last(&found) >= 3, "what was synced stays");
        lost += u64::from(last(&found) < 4);
    }
    lost
}

#[test]
fn what_a_start_read_survives_the_next_power_failure() {
    assert_eq!(lost(SegmentedLog::open, false), 0, "after a kill");
    assert_eq!(lost(SegmentedLog::open, true), 0, "after a failed sync");
}

#[test]
fn a_start_that_trusts_what_it_reads_loses_it() {
    assert!(lost(SegmentedLog::open_trusting_the_tail, false) > 0);
    assert!(lost(SegmentedLog::open_trusting_the_tail, true) > 0);
}

#[test]
fn a_power_failure_while_the_tail_is_written_anew_loses_nothing() {
    for seed in 0..20 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let disk = SimDisk::default();
        let (mut log, _) = SegmentedLog::open(disk.clone(), 1, CONFIG, (0, 0)).unwrap();
        for index in 1..=9 {
            log.append(&batch(index)).unwrap();
        }
        drop(log);
        disk.fail_syncs_after(u32::try_from(seed).unwrap() % 3);
        let _ = SegmentedLog::open(disk.clone(), 1, CONFIG, (0, 0));
        disk.crash(&mut rng);
        let (_log, found) = SegmentedLog::open(disk, 1, CONFIG, (0, 0)).unwrap();
        assert_eq!(last(&found), 9, "seed {seed}");
    }
}
