//! Errors, one type for each boundary.

use std::fmt;
use std::path::PathBuf;

use sillage_rules::codes::Code;

/// A batch is not recorded. Nothing of it is written; the same refusal is given on every node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// One sentence with what was wrong and what to do.
    pub message: String,
    /// `OUT_OF_ORDER`: the sequence number that would be taken.
    pub expected_seq: Option<u64>,
    /// The record that is meant, from 0, where it is one record's fault.
    pub position: Option<u32>,
    /// The message of this node's disk, for this node's alarms: never sent to anybody.
    pub local: Option<Box<str>>,
    /// Over a quota: when the same request would pass, if nothing else is asked for.
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    /// A refusal of the batch as a whole.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), expected_seq: None, position: None, local: None, retry_after_ms: None }
    }

    /// The same, by the fault of the record at `position`.
    #[must_use]
    pub fn at(mut self, position: u32) -> Self {
        self.position = Some(position);
        self
    }

    /// The same, with the time after which the request would pass.
    #[must_use]
    pub fn after_ms(mut self, wait_ms: u64) -> Self {
        self.retry_after_ms = Some(wait_ms);
        self
    }

    /// The same, with the sequence number that would be taken.
    #[must_use]
    pub fn expecting(mut self, seq: u64) -> Self {
        self.expected_seq = Some(seq);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

/// Why a batch isn't recorded.
pub(crate) enum Stop {
    /// By its own fault.
    Refused(Refusal),
    /// The store can't be read.
    Failed(ReadError),
    /// This node lacks a key that the group has.
    Kek(KekError),
}

impl Stop {
    /// The same, by the fault of the record or request at `position`.
    pub(crate) fn at(self, position: u32) -> Self {
        match self {
            Self::Refused(refusal) => Self::Refused(refusal.at(position)),
            other => other,
        }
    }

    /// The refusal; or why the process has to stop.
    pub(crate) fn refusal(self) -> Result<Refusal, Fatal> {
        match self {
            Self::Refused(refusal) => Ok(refusal),
            Self::Failed(error) => Err(error.into()),
            Self::Kek(error) => Err(Fatal::Kek(error)),
        }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::Failed(error)
    }
}

/// A key-encryption key can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KekError {
    /// There is no such key.
    #[error("no key-encryption key for prefix {prefix:#05x}, epoch {epoch}: give this node the keyring of the group")]
    Missing {
        /// The prefix.
        prefix: u16,
        /// The epoch; 0: any.
        epoch: u32,
    },
    /// The wrapped key was altered, or is under another key.
    #[error("a data key can't be unwrapped: it was altered, or this node's keyring isn't the group's")]
    Refused,
    /// This node's key isn't the group's.
    #[error(
        "this node's key-encryption key of prefix {prefix:#05x}, epoch {epoch} isn't the group's: give this node the keyring of its own log"
    )]
    Differs {
        /// The prefix.
        prefix: u16,
        /// The epoch.
        epoch: u32,
    },
    /// The service that holds the keys doesn't answer.
    #[error("the key service failed: {0}; try again")]
    Service(String),
}

/// The ledger can't go on: the process must stop rather than guess. After a restart the commands since the last flush
/// are applied again.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The database failed to read or write.
    #[error("the ledger's database failed: {0}; check the disk, then restart")]
    Store(#[from] rocksdb::Error),
    /// A file operation failed.
    #[error("{what}: {source}; check the disk and its permissions, then restart")]
    Io {
        /// The work that was being done, with the path.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Commands came in another order than one by one.
    #[error("command {got} came after {applied}: the caller must apply every index once and in order")]
    Order {
        /// Index of the last command applied.
        applied: u64,
        /// Index that came.
        got: u64,
    },
    /// A newer program proposed a command that this one can't apply.
    #[error("the group has a command of version {found}, this program knows {known}: upgrade this node, then restart")]
    Version {
        /// Version of the command.
        found: u32,
        /// Newest version known here.
        known: u32,
    },
    /// The group does what this program doesn't know.
    #[error("the group is at feature level {found}, this program knows {known}: upgrade this node, then restart")]
    FeatureLevel {
        /// The group's.
        found: u32,
        /// Highest level known here.
        known: u32,
    },
    /// The stored data contradicts itself.
    #[error(
        "the stored ledger is damaged: {0}; replace this node (`sillage cluster member replace ID --address HOST:PORT:PEERPORT --out DIR`)"
    )]
    Damaged(String),
    /// A record that decides can't be opened by this node, and can by others.
    #[error("a record that decides can't be opened: {0}; then restart")]
    Kek(KekError),
    /// A snapshot to install isn't one of this log.
    #[error("the snapshot can't be installed: {0}; the present state is kept")]
    Snapshot(String),
}

impl Fatal {
    pub(crate) fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }
}

/// A stored value can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The database failed to read.
    #[error("the ledger's database failed to read: {0}; check the disk")]
    Store(String),
    /// The stored bytes aren't those that were written.
    #[error(
        "the stored ledger is damaged: {0}; replace this node (`sillage cluster member replace ID --address HOST:PORT:PEERPORT --out DIR`)"
    )]
    Damaged(String),
    /// Asked beyond what exists.
    #[error("the log has {size} entries: ask for an index or a size within it")]
    Beyond {
        /// Entries in the log now.
        size: u64,
    },
    /// Two sizes were given in the wrong order.
    #[error("the older size {old} is larger than the newer one {new}: exchange them")]
    Reversed {
        /// The size given as the older.
        old: u64,
        /// The size given as the newer.
        new: u64,
    },
}

impl From<rocksdb::Error> for ReadError {
    fn from(error: rocksdb::Error) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<ReadError> for Fatal {
    fn from(error: ReadError) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// The bytes aren't a genesis that a log can begin with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the genesis isn't valid: {0}; make one with `sillage-node init`")]
pub struct GenesisError(pub String);

/// The ledger can't be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The genesis given isn't one.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The folder holds another log.
    #[error("{} holds another log: its genesis entry differs from the one given; use the genesis of this log, or another folder", .0.display())]
    OtherLog(PathBuf),
    /// The folder was written by a version with another layout.
    #[error("{} has layout {found}, this version reads {known}: use the version that wrote it, or replace this node (`sillage cluster member replace ID --address HOST:PORT:PEERPORT --out DIR`)", dir.display())]
    Layout {
        /// The data folder.
        dir: PathBuf,
        /// Layout found.
        found: u32,
        /// Layout known.
        known: u32,
    },
    /// The folder is of a group that does what this program doesn't know.
    #[error("{} is at feature level {found}, this version knows {known}: use a newer version", dir.display())]
    FeatureLevel {
        /// The data folder.
        dir: PathBuf,
        /// The ledger's.
        found: u32,
        /// Highest level known here.
        known: u32,
    },
    /// The stored data contradicts itself.
    #[error("{} is damaged: {what}; don't repair it by hand, replace this node (`sillage cluster member replace ID --address HOST:PORT:PEERPORT --out DIR`)", dir.display())]
    Corrupt {
        /// The data folder.
        dir: PathBuf,
        /// The part that doesn't fit.
        what: String,
    },
    /// The database can't be opened.
    #[error("{} can't be opened: {source}; is another process using it?", dir.display())]
    Store {
        /// The data folder.
        dir: PathBuf,
        /// RocksDB's reason.
        source: rocksdb::Error,
    },
    /// A file operation failed.
    #[error("{}: {source}; check that it exists and that this user may write it", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
}
