//! The actions that the core asks of its driver.

use raft::eraftpb::{ConfState, Entry, HardState};

use super::errors::CoreError;
use super::members::{Members, MembersAt};
use super::peers::{Disowned, PeerFault};
use super::standing::{Divergence, Split};
use crate::identity::{DiskClaim, DiskRun};

/// A proposal, named by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProposalId(pub u64);

/// A read, named by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReadId(pub u64);

/// A message to a peer, opaque.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The peer.
    pub to: u64,
    /// The message, as [`super::Core::step`] of the peer takes it.
    pub message: Vec<u8>,
}

/// The data that must be written before its messages may leave. Tasks are written in the order they come. The driver
/// calls [`super::Core::on_persisted`] before it sends the messages: a peer's answer must not come first, or a
/// candidate would win an election with a log that it does not know to be durable.
#[derive(Debug, Default)]
pub struct WriteTask {
    /// To be given to [`super::Core::on_persisted`] when all of this is durable.
    pub number: u64,
    /// Replace the state machine and the log by this snapshot, before the rest.
    pub install: Option<Install>,
    /// Entries to append; they replace what the log holds from the first one's index on.
    pub entries: Vec<Entry>,
    /// Term, vote and commit.
    pub hard_state: Option<HardState>,
    /// Members, when the log has none on record. Later ones are written when the entries of their changes are dropped.
    pub members: Option<MembersAt>,
    /// True if the write must be durable before the messages leave. If not, nothing needs to be written now: the next
    /// task that must be holds the same or newer.
    pub must_sync: bool,
    /// To send once it is durable.
    pub messages: Vec<Outgoing>,
}

/// A snapshot whose files this node has fetched and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Install {
    /// The state is as of this index.
    pub index: u64,
    /// Term of the entry at `index`.
    pub term: u64,
    /// Members as of `index`.
    pub conf_state: ConfState,
}

/// A committed entry to apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedEntry {
    /// Position in the log.
    pub index: u64,
    /// Term of the leader that proposed it.
    pub term: u64,
    /// The leader's stamp, as it said; 0 for entries of the algorithm itself.
    pub time_ms: u64,
    /// The proposal; empty for entries of the algorithm itself.
    pub data: Vec<u8>,
    /// The proposal of this node that it is, if it is one.
    pub proposal: Option<ProposalId>,
    /// The members from this entry on, if it changes them.
    pub members: Option<Members>,
}

/// How far the log may be dropped, from [`super::Core::compact`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// Up to and including this index.
    pub index: u64,
    /// Term of the entry at `index`.
    pub term: u64,
    /// The members as of an index up to `index`, with all changes up to it: written with the mark, because the
    /// entries of the changes go.
    pub members: MembersAt,
}

/// A snapshot to fetch from a peer; answer with [`super::Core::on_snapshot_fetched`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchSnapshot {
    /// The node that has it.
    pub from: u64,
    /// The state is as of this index.
    pub index: u64,
    /// Term of the entry at `index`.
    pub term: u64,
    /// The manifest that the leader's driver gave to [`super::Core::on_snapshot_made`].
    pub manifest: Vec<u8>,
}

/// A snapshot that the driver made; see [`super::Core::on_snapshot_made`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMade {
    /// The state is as of this index.
    pub index: u64,
    /// Term of the entry at `index`.
    pub term: u64,
    /// Travels in the message; the receiver's driver gets it in [`FetchSnapshot`].
    pub manifest: Vec<u8>,
}

/// How urgently the log wants to shrink; answer with [`super::Core::compact`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompactWish {
    /// Ask the state machine how far it is flushed.
    Ask,
    /// The log is above its cap: have the state machine flush first.
    Flush,
}

/// The work that the inputs so far ask for.
#[derive(Debug, Default)]
pub struct Actions {
    /// To send now.
    pub messages: Vec<Outgoing>,
    /// To write, then its messages to send, then to report as persisted.
    pub write: Option<WriteTask>,
    /// To apply, in order, after all given before.
    pub committed: Vec<CommittedEntry>,
    /// Proposals that lost their leader before they were committed: they may or may not be committed later.
    pub superseded: Vec<ProposalId>,
    /// Reads that may be served from the state now applied, with their read index.
    pub reads_ready: Vec<(ReadId, u64)>,
    /// Reads that got no answer in time.
    pub reads_failed: Vec<ReadId>,
    /// A follower needs a snapshot: make one, then [`super::Core::on_snapshot_made`].
    pub make_snapshot: bool,
    /// Nobody needs the snapshots made of these (index, term) any more: remove their files.
    pub release_snapshots: Vec<(u64, u64)>,
    /// A leader offers a snapshot: fetch its files.
    pub fetch_snapshot: Option<FetchSnapshot>,
    /// The log wants to be compacted.
    pub compact: Option<CompactWish>,
    /// Store the highest run seen of each of these peers durably (as the note [`crate::identity::peer_note`]), then
    /// [`super::Core::on_peer_stored`]: their messages wait for it.
    pub store_peers: Vec<(u64, DiskRun)>,
    /// The starts that this disk remembers are fewer now: to be stored, when there is time, and told to peers from now on.
    pub store_starts: Option<DiskClaim>,
    /// This node can't go on: stop the process.
    pub fatal: Option<CoreError>,
}

impl Actions {
    /// Tells whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
            && self.write.is_none()
            && self.committed.is_empty()
            && self.superseded.is_empty()
            && self.reads_ready.is_empty()
            && self.reads_failed.is_empty()
            && !self.make_snapshot
            && self.release_snapshots.is_empty()
            && self.fetch_snapshot.is_none()
            && self.compact.is_none()
            && self.store_peers.is_empty()
            && self.store_starts.is_none()
            && self.fatal.is_none()
    }
}

/// Leader, follower, or on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Follows a leader, or waits for one.
    #[default]
    Follower,
    /// Asks whether it could win an election.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

impl Role {
    /// The role in one lower-case word.
    pub fn name(self) -> &'static str {
        match self {
            Role::Follower => "follower",
            Role::PreCandidate => "pre-candidate",
            Role::Candidate => "candidate",
            Role::Leader => "leader",
        }
    }
}

/// How the algorithm stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreStatus {
    /// This node.
    pub id: u64,
    /// The leader it knows of.
    pub leader: Option<u64>,
    /// Its role.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// Highest index known to be committed.
    pub commit: u64,
    /// Highest index known to be applied here.
    pub applied: u64,
    /// First index that the log holds.
    pub log_first: u64,
    /// Last index that the log holds.
    pub log_last: u64,
    /// Bytes of the log in memory.
    pub log_bytes: u64,
    /// A leader was told by this node that it has more than it has now: its disk was put back to an older state. It
    /// must not vote again.
    pub forgot: bool,
    /// The voting members.
    pub voters: Vec<u64>,
    /// A peer has seen a later start of this node, or another disk: this node takes no part any more.
    pub disowned: Option<Disowned>,
    /// Peers that aren't on the disk that is known here: nothing that they say counts.
    pub strangers: Vec<(u64, PeerFault)>,
    /// Peers whose state differs from this node's after the same entries.
    pub divergence: Divergence,
    /// Committed entries that the group has lost: this node takes no part any more.
    pub split: Option<Split>,
    /// The log is empty, and these of its founders haven't been met yet: until they are, this node neither votes nor leads.
    pub unmet: Vec<u64>,
    /// In a joint step: the voters before it.
    pub voters_outgoing: Vec<u64>,
    /// Members that get the log and count for nothing.
    pub learners: Vec<u64>,
    /// In a joint step: voters that become learners at its end.
    pub learners_next: Vec<u64>,
    /// Index of the last change of the members known here.
    pub members_index: u64,
    /// The highest id that was ever a member's, as far as it is known here; a new member's is higher.
    pub highest_id: u64,
    /// How far each other member is; empty unless this node leads.
    pub peers: Vec<PeerProgress>,
}

/// How far a peer is, as its leader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerProgress {
    /// The peer.
    pub id: u64,
    /// The last entry that is known to be on its disk.
    pub matched: u64,
    /// Bytes of the log that it hasn't got; `u64::MAX` when it needs a snapshot first.
    pub behind_bytes: u64,
    /// True if it was heard of lately.
    pub lively: bool,
    /// Index of the snapshot that is on its way to it.
    pub snapshot: Option<u64>,
}
