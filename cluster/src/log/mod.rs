//! The durable Raft log.
//!
//! [`SegmentedLog`] keeps it in CRC'd, append-only segment files over a [`Disk`]; [`frame`] has the byte layout. The
//! assumption about the disk: after [`DiskFile::sync`] returns, the bytes written before it survive a power failure;
//! before that, any of them may or may not. The promise: bytes for which [`LogStore::append`] returned are there after
//! any crash; a write cut short by a crash is dropped whole; anything else wrong stops the node with an error that says
//! so. No error is retried: after one the log refuses every call, and the process ends.
//!
//! Architecture invariant: [`LogStore`] is all the rest of the crate knows of it, so another store can take its place.

mod disk;
pub(crate) mod frame;
mod group;
mod peers;
pub(crate) mod record;
mod replay;
mod segments;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;

pub(crate) use disk::sync_dir;
pub use disk::{Disk, DiskFile, RealDisk, RealFile};
pub use group::{Gathered, WriteGroup};
pub use record::Batch;
pub use segments::SegmentedLog;

use crate::core::Recovered;

/// A durable log.
pub trait LogStore: Send + 'static {
    /// Writes the batch and makes it durable: one write, one fsync.
    ///
    /// # Errors
    /// After any, the caller must end the process: what the disk holds is unknown.
    fn append(&mut self, batch: &Batch) -> Result<(), LogError>;

    /// Notes that there is nothing to do for now, without waiting for the disk.
    ///
    /// # Errors
    /// As [`LogStore::append`].
    fn seal(&mut self) -> Result<(), LogError>;

    /// The notes kept with [`Batch::note`].
    fn notes(&self) -> &BTreeMap<Vec<u8>, Vec<u8>>;
}

/// Why the log can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk failed.
    #[error(
        "the Raft log's disk failed ({0}); check the disk, then restart; if it can't be read, replace this node (`sillage cluster member replace ID`)"
    )]
    Io(#[from] io::Error),
    /// Another process has it open.
    #[error("the Raft log is in use by another process; stop that one first")]
    Locked,
    /// Something other than a write cut short by a crash is wrong.
    #[error(
        "the Raft log is damaged: {0}; votes may be lost, so replace this node (`sillage cluster member replace ID`)"
    )]
    Damaged(String),
    /// The files are another node's.
    #[error("the Raft log belongs to node {found}, not {wanted}; check the data directory")]
    WrongNode {
        /// Node id in the files.
        found: u64,
        /// Node id in the configuration.
        wanted: u64,
    },
    /// A call after an error.
    #[error("the Raft log failed before; the process must end")]
    Poisoned,
}

/// The findings of [`SegmentedLog::open`].
#[derive(Debug, Default)]
pub struct FoundLog {
    /// For [`crate::core::Core::new`].
    pub recovered: Recovered,
    /// Bytes of a write that a crash cut short, now dropped.
    pub torn_bytes: u64,
}
