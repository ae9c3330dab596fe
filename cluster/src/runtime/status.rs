//! The status of a replica, for others to read without disturbing it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::core::CoreStatus;

/// How a replica stands, as of a moment ago.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The algorithm's part.
    pub core: CoreStatus,
    /// Messages from peers that were refused.
    pub messages_refused: u64,
    /// Committed bytes that wait for the apply thread.
    pub unapplied_bytes: u64,
    /// Proposals waiting for their outcome.
    pub proposals_pending: u64,
    /// Reads waiting for their index.
    pub reads_pending: u64,
}

/// How long the log's write and fsync take. Bucket `i` counts those of less than `2^i` times 64 µs, the last one all
/// others.
#[derive(Debug, Default)]
pub struct FsyncStats {
    buckets: [AtomicU64; FsyncStats::BUCKETS],
    total_us: AtomicU64,
    bytes: AtomicU64,
}

impl FsyncStats {
    /// Number of buckets; the last but one ends at 1 s.
    pub const BUCKETS: usize = 16;

    /// Upper end of bucket `i` in microseconds.
    pub fn bucket_end_us(i: usize) -> u64 {
        64 << i
    }

    pub(crate) fn record(&self, took_us: u64, bytes: u64) {
        let bucket = (0..Self::BUCKETS - 1).find(|&i| took_us < Self::bucket_end_us(i)).unwrap_or(Self::BUCKETS - 1);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.total_us.fetch_add(took_us, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts per bucket.
    pub fn counts(&self) -> [u64; FsyncStats::BUCKETS] {
        std::array::from_fn(|i| self.buckets[i].load(Ordering::Relaxed))
    }

    /// Microseconds of all together.
    pub fn total_us(&self) -> u64 {
        self.total_us.load(Ordering::Relaxed)
    }

    /// Bytes written by all together.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}
