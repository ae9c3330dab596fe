//! The parts that a node provides to the cluster: a state machine to apply to, and a transport to send with.

use std::path::Path;

use crate::core::Members;
use crate::identity::DiskClaim;
use crate::snapshot::{Manifest, Progress};

/// A proposal that the group has agreed on, as given to [`StateMachine::apply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed<'a> {
    /// Position in the Raft log; rises by one with every call.
    pub index: u64,
    /// Raft term of the leader that proposed it.
    pub term: u64,
    /// Milliseconds since the Unix epoch, as the leader stamped it; 0 for entries that the algorithm itself adds. Any
    /// leader may stamp anything: what it is worth is the state machine's to say.
    pub time_ms: u64,
    /// The proposal. Empty for entries that the algorithm itself adds (a leader's no-op, a membership change): they
    /// change nothing but must be recorded as applied.
    pub data: &'a [u8],
    /// The members of the group from this entry on, if it changes them; then `data` is empty.
    pub members: Option<&'a Members>,
}

/// The state machine can't go on: the process stops rather than guess.
#[derive(Debug, thiserror::Error)]
#[error("the state machine stopped: {0}")]
pub struct Fatal(pub String);

impl Fatal {
    /// A fatal error from anything that prints.
    pub fn new(reason: impl std::fmt::Display) -> Self {
        Fatal(reason.to_string())
    }
}

/// The replicated state machine. All methods run on the apply thread.
pub trait StateMachine: Send + 'static {
    /// The answer of [`StateMachine::apply`] to the proposer.
    type Reply: Send + 'static;

    /// The last applied (index, term); (0, 0) when empty.
    fn applied(&self) -> (u64, u64);

    /// Applies one entry, atomically with the record of its (index, term). Deterministic: no clock, no randomness, no
    /// map order. Called once per index between two starts; after a crash, again from the last flushed index on.
    ///
    /// # Errors
    /// Only when the process must stop. A proposal that is wrong gets a [`StateMachine::Reply`] that says so.
    fn apply(&mut self, entry: Committed<'_>) -> Result<Self::Reply, Fatal>;

    /// The digest of the whole state after the last applied entry, equal on all nodes: compared between them, see
    /// [`crate::core::Divergence`]. States that are equal here were equal before. All zero: this state machine has none.
    fn digest(&self) -> [u8; 32] {
        [0; 32]
    }

    /// The highest applied index that would survive a power failure now. The Raft log is dropped only below it.
    ///
    /// # Errors
    /// When the store can't tell any more.
    fn flushed(&self) -> Result<u64, Fatal>;

    /// Makes all that is applied durable; returns the new [`StateMachine::flushed`].
    ///
    /// # Errors
    /// When the store can't be written.
    fn flush(&mut self) -> Result<u64, Fatal>;

    /// Writes the files of the state as of [`StateMachine::applied`] into `dir`, which does not exist yet. Should be
    /// quick (hard links): applying waits for it. Returns the (index, term) of the state in `dir`.
    ///
    /// # Errors
    /// When the checkpoint can't be written.
    fn checkpoint(&mut self, dir: &Path) -> Result<(u64, u64), Fatal>;

    /// Tells whether every node of the group runs a version that takes a snapshot whose hashes come with its files. Before,
    /// all files are hashed before the first byte is sent.
    fn peers_hash_while_they_fetch(&self) -> bool {
        true
    }

    /// Replaces the state by the files in `dir` (which it may move away), atomically and durably: after a crash at
    /// any moment the state is the old one or the new one. Afterwards [`StateMachine::applied`] is the snapshot's.
    ///
    /// # Errors
    /// When the files aren't a state, or the store can't be written.
    fn install(&mut self, dir: &Path) -> Result<(), Fatal>;
}

/// Why the files of a snapshot did not arrive; it will be tried again.
#[derive(Debug, thiserror::Error)]
#[error("snapshot files could not be fetched: {0}")]
pub struct FetchError(pub String);

/// How a node reaches its peers.
pub trait Transport: Send + Sync + 'static {
    /// Which disk this node is on, told once before the first message: every message has to name it, and the receiver gives
    /// it to [`crate::Handle::step_from`].
    fn introduce(&self, _claim: DiskClaim) {}

    /// Sends an opaque message to a peer, without waiting. It may be lost, delayed, repeated and reordered; it should
    /// not be often. The receiver gives it to [`crate::Handle::step`].
    fn send(&self, to: u64, message: Vec<u8>);

    /// Copies the files that `manifest` names from peer `from` into the existing directory `into`, and returns the
    /// manifest with the hash of each file, as the peer says. A file that is there came with an earlier fetch, in part or
    /// whole: what the peer still has alike need not be copied. Waits until done; called on the snapshot thread. Adds to
    /// `progress` what was received or compared. Sizes and hashes of what is in `into` are checked by the caller. The peer
    /// finds the files with [`crate::Handle::snapshot_file`].
    ///
    /// # Errors
    /// When the peer can't be reached, no longer has the snapshot, or gives none of its state.
    fn fetch_snapshot(
        &self,
        from: u64,
        manifest: &Manifest,
        into: &Path,
        progress: &Progress,
    ) -> Result<Manifest, FetchError>;
}
