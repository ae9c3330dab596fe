//! Where the time of applying goes, for benchmarks and metrics. Measures only: nothing is decided by it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Counters since the ledger was opened, shared by every reader.
#[derive(Debug, Default)]
pub struct ApplyStats {
    commands: AtomicU64,
    batches: AtomicU64,
    refused: AtomicU64,
    repeated: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    flushes: AtomicU64,
    decode_ns: AtomicU64,
    check_ns: AtomicU64,
    encode_ns: AtomicU64,
    hash_ns: AtomicU64,
    index_ns: AtomicU64,
    write_ns: AtomicU64,
    index_commits: AtomicU64,
    decisions: AtomicU64,
    decide_ns: AtomicU64,
    folded: AtomicU64,
}

/// The counters at one moment. Times are nanoseconds of the applying thread.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct StageTimes {
    /// Commands applied, empty ones included.
    pub commands: u64,
    /// Batches recorded.
    pub batches: u64,
    /// Batches and requests refused.
    pub refused: u64,
    /// Batches that were on record already, and requests that were decided before.
    pub repeated: u64,
    /// Records recorded.
    pub records: u64,
    /// Bytes given to the database.
    pub bytes: u64,
    /// Flushes done.
    pub flushes: u64,
    /// Decoding commands.
    pub decode_ns: u64,
    /// Checking batches, their roots included.
    pub check_ns: u64,
    /// Encoding entries and rows.
    pub encode_ns: u64,
    /// Hashing entries and the log tree.
    pub hash_ns: u64,
    /// Index commits, and waiting for what they hash.
    pub index_ns: u64,
    /// Writing to the database.
    pub write_ns: u64,
    /// Index commits made.
    pub index_commits: u64,
    /// Decisions recorded.
    pub decisions: u64,
    /// Opening requests, deciding, sealing decisions.
    pub decide_ns: u64,
    /// Records opened again to fold what isn't in memory, by applying and by checking.
    pub folded: u64,
}

/// A stage of applying.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage {
    Decode,
    Check,
    Encode,
    Hash,
    Index,
    Write,
    Decide,
}

impl ApplyStats {
    /// The counters now.
    pub fn times(&self) -> StageTimes {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StageTimes {
            commands: get(&self.commands),
            batches: get(&self.batches),
            refused: get(&self.refused),
            repeated: get(&self.repeated),
            records: get(&self.records),
            bytes: get(&self.bytes),
            flushes: get(&self.flushes),
            decode_ns: get(&self.decode_ns),
            check_ns: get(&self.check_ns),
            encode_ns: get(&self.encode_ns),
            hash_ns: get(&self.hash_ns),
            index_ns: get(&self.index_ns),
            write_ns: get(&self.write_ns),
            index_commits: get(&self.index_commits),
            decisions: get(&self.decisions),
            decide_ns: get(&self.decide_ns),
            folded: get(&self.folded),
        }
    }

    /// Runs `work` and adds its time to `stage`.
    pub(crate) fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let out = work();
        let ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let counter = match stage {
            Stage::Decode => &self.decode_ns,
            Stage::Check => &self.check_ns,
            Stage::Encode => &self.encode_ns,
            Stage::Hash => &self.hash_ns,
            Stage::Index => &self.index_ns,
            Stage::Write => &self.write_ns,
            Stage::Decide => &self.decide_ns,
        };
        counter.fetch_add(ns, Ordering::Relaxed);
        out
    }

    pub(crate) fn command(&self, bytes: u64) {
        self.commands.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn recorded(&self, records: u64) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(records, Ordering::Relaxed);
    }

    pub(crate) fn decided(&self, decisions: u64) {
        self.decisions.fetch_add(decisions, Ordering::Relaxed);
    }

    pub(crate) fn folded(&self) {
        self.folded.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn repeated(&self) {
        self.repeated.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn index_committed(&self) {
        self.index_commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn flushed(&self) {
        self.flushes.fetch_add(1, Ordering::Relaxed);
    }
}
