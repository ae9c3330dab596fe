//! The settings of a replica and why they have their values.

use std::path::PathBuf;
use std::sync::Arc;

use crate::identity::{DiskClaim, Marker};

/// Most bytes of committed entries that wait to be applied on a node; the last entry may go beyond.
pub const UNAPPLIED_BYTES_MAX: u64 = 64 << 20;
/// The part that compaction leaves of the Raft log for a follower that was away for a moment, in bytes.
pub const LOG_KEEP_BYTES: u64 = 64 << 20;
/// Above this many bytes of Raft log the state machine is flushed, so that the log can be cut.
pub const LOG_BYTES_MAX: u64 = 256 << 20;
/// Size of a segment file of the Raft log, in bytes.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// Largest message between two nodes, in bytes: a follower's missing entries in one append, or the largest entry.
pub const MESSAGE_BYTES_MAX: usize = 80 << 20;

/// Settings of the algorithm. Times are in ticks; a tick is [`NodeConfig::tick_ms`].
#[derive(Clone, Debug)]
pub struct CoreConfig {
    /// This node's id, not 0, never given to another disk.
    pub id: u64,
    /// The disk and the start of it, as peers are told; `None`: they are told nothing.
    pub disk: Option<DiskClaim>,
    /// The first members of the group, the same list on every node. Only read when the log is empty. A node that isn't
    /// among them joins: it begins with a snapshot from whoever leads, once it was added as a learner.
    pub voters: Vec<u64>,
    /// A leader shows itself this often. Two ticks: one lost heartbeat in five must not cause an election.
    pub heartbeat_ticks: usize,
    /// A follower campaigns after this to twice this many ticks without a leader (drawn at random). Ten ticks of 50 ms
    /// sit well above an fsync hiccup (100 ms) and replace a dead leader in about a second.
    pub election_ticks: usize,
    /// Most bytes of entries in one append message; raft-rs' own default of 0 means one entry per message.
    pub max_size_per_msg: u64,
    /// Most bytes proposed but not committed before proposals are refused as [`crate::ProposeError::Busy`].
    pub max_uncommitted_size: u64,
    /// Most bytes of committed entries handed out at once.
    pub max_committed_size_per_ready: u64,
    /// Most bytes of committed entries that wait to be applied, on any node: no more are handed out, and a follower takes
    /// no further entries until it has applied some.
    pub max_unapplied_bytes: u64,
    /// Most append messages in flight to one follower; times `max_size_per_msg` it bounds what a slow one holds up.
    pub max_inflight_msgs: usize,
    /// Largest message taken from a peer, in bytes.
    pub max_message_bytes: usize,
    /// Compaction keeps at least this many bytes of entries that the state machine already holds, so that a follower
    /// that was away for a moment needs no snapshot.
    pub log_keep_bytes: u64,
    /// Above this many bytes of log the state machine is asked to flush, so that the log can be compacted.
    pub log_max_bytes: u64,
    /// A read that got no answer is asked again after this many ticks (raft-rs drops it silently without a leader).
    pub read_retry_ticks: u64,
    /// A read fails after this many ticks.
    pub read_timeout_ticks: u64,
    /// A learner is not made a voter while more than this many bytes of the log are missing on it.
    pub promote_lag_bytes_max: u64,
    /// A snapshot transfer that says nothing for this many ticks is considered failed and sent again. A snapshot that
    /// nobody has asked for during as many ticks is released.
    pub snapshot_timeout_ticks: u64,
    /// The log is kept for a peer that needs a snapshot until it has made no progress for this many ticks.
    pub snapshot_stall_ticks: u64,
    /// Bugs to plant.
    #[cfg(feature = "plants")]
    pub plants: Plants,
}

/// Bugs that the simulator must find; none by default.
#[cfg(feature = "plants")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Plants {
    /// A start takes the members on record, and not the changes that were applied since.
    pub members_forgotten: bool,
    /// Committed entries are handed out, and taken by a follower, however many wait to be applied.
    pub unapplied_unbounded: bool,
}

impl CoreConfig {
    /// The defaults for node `id` of a group of `voters`.
    pub fn new(id: u64, voters: Vec<u64>) -> Self {
        CoreConfig {
            id,
            disk: None,
            voters,
            heartbeat_ticks: 2,
            election_ticks: 10,
            max_size_per_msg: 1 << 20,
            max_uncommitted_size: 64 << 20,
            max_committed_size_per_ready: 16 << 20,
            max_unapplied_bytes: UNAPPLIED_BYTES_MAX,
            max_inflight_msgs: 64,
            max_message_bytes: MESSAGE_BYTES_MAX,
            log_keep_bytes: LOG_KEEP_BYTES,
            log_max_bytes: LOG_BYTES_MAX,
            read_retry_ticks: 4,
            read_timeout_ticks: 60,
            promote_lag_bytes_max: 1 << 20,
            snapshot_timeout_ticks: 600,
            snapshot_stall_ticks: 2400,
            #[cfg(feature = "plants")]
            plants: Plants::default(),
        }
    }
}

/// Settings of the log store.
#[derive(Clone, Copy, Debug)]
pub struct LogConfig {
    /// Size of a segment file, in bytes, allocated when it is made so that an fsync has no size to write.
    pub segment_bytes: u64,
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig { segment_bytes: SEGMENT_BYTES }
    }
}

/// Settings of a running replica.
#[derive(Clone)]
pub struct NodeConfig {
    /// The algorithm's.
    pub core: CoreConfig,
    /// The log store's.
    pub log: LogConfig,
    /// Directory of the Raft log; made when missing, locked while in use.
    pub log_dir: PathBuf,
    /// Directory of snapshots, made and received, on the same file system as the state machine's files (hard links).
    /// Emptied at start, except for files received and the newest snapshot made: both sides go on with them.
    pub snapshot_dir: PathBuf,
    /// Length of a tick in milliseconds.
    pub tick_ms: u64,
    /// Most proposals waiting for the Raft thread; beyond it callers get [`crate::ProposeError::Busy`].
    pub max_waiting_proposals: usize,
    /// Most messages from peers waiting for the Raft thread; beyond it they are dropped, as a network would.
    pub max_waiting_messages: usize,
    /// The log writer gathers what is waiting up to this many bytes into one write and one fsync.
    pub max_write_bytes: usize,
    /// Keeps which disk this is, outside the data folder; `None`: nobody asks which disk it is.
    pub marker: Option<Arc<dyn Marker>>,
    /// True if a log, or a new member, may begin on an empty disk here.
    pub may_begin: bool,
}

impl NodeConfig {
    /// The defaults for node `id` of `voters`, with its data under `dir` (`raft/` and `snapshots/`).
    pub fn new(id: u64, voters: Vec<u64>, dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        NodeConfig {
            core: CoreConfig::new(id, voters),
            log: LogConfig::default(),
            log_dir: dir.join("raft"),
            snapshot_dir: dir.join("snapshots"),
            tick_ms: 50,
            max_waiting_proposals: 1024,
            max_waiting_messages: 512,
            max_write_bytes: 1 << 20,
            marker: None,
            may_begin: true,
        }
    }
}
