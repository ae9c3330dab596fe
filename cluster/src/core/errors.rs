//! Why the core refuses: a start, a message, a proposal.

use raft::eraftpb::HardState;

use super::memlog::MemLog;
use super::peers::PeerFault;

/// Why a node may not start on what it found.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// The state machine holds entries that the log lost, so votes may be lost too.
    #[error(
        "the state machine has applied index {applied} but the Raft log ends at {last}: the log lost entries; \
         replace this node (`sillage cluster member replace ID`)"
    )]
    LogBehind {
        /// Applied index of the state machine.
        applied: u64,
        /// Last index of the log.
        last: u64,
    },
    /// The log no longer holds the entries after the state machine's.
    #[error(
        "the state machine has applied index {applied} but the Raft log begins at {first}: the state machine lost \
         entries; replace this node (`sillage cluster member replace ID`)"
    )]
    StateBehind {
        /// Applied index of the state machine.
        applied: u64,
        /// First index of the log.
        first: u64,
    },
    /// Both hold the entry, under different terms.
    #[error(
        "the state machine and the Raft log differ at index {index} (terms {applied_term} and {log_term}): one of them \
         is from another group or time; replace this node (`sillage cluster member replace ID`)"
    )]
    Diverged {
        /// The index.
        index: u64,
        /// Term that the state machine has on record.
        applied_term: u64,
        /// Term in the log.
        log_term: u64,
    },
    /// A change of the members can't be read, or doesn't fit the members that it changes.
    #[error(
        "the change of the group's members at index {index} can't be carried out: {reason}; going on without it would \
         split the group. Upgrade this node if the others are newer; else replace it (`sillage cluster member replace ID`)"
    )]
    Members {
        /// Index of the change.
        index: u64,
        /// The fault.
        reason: String,
    },
    /// raft-rs refused the settings.
    #[error("the Raft settings are wrong: {0}")]
    Config(String),
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum StepError {
    /// Not a message of this protocol.
    #[error("malformed message")]
    Malformed,
    /// Over [`crate::CoreConfig::max_message_bytes`].
    #[error("message of {0} bytes is too large")]
    TooLarge(usize),
    /// A kind that peers don't send.
    #[error("a message of this kind is not for peers to send")]
    NotForPeers,
    /// To another node, or from none of the group.
    #[error("message from {from} to {to} is not for this node")]
    WrongPeer {
        /// Sender.
        from: u64,
        /// Receiver.
        to: u64,
    },
    /// The sender isn't on the disk that is known here.
    #[error("message of node {from} refused: {fault}")]
    Stranger {
        /// Sender.
        from: u64,
        /// Why.
        fault: PeerFault,
    },
    /// This node takes no part any more.
    #[error("this node takes no part any more: its disk or its log can't be trusted")]
    Out,
    /// This node has to apply what it has first.
    #[error("append dropped: {0} committed bytes wait to be applied here")]
    Behind(u64),
    /// raft-rs did not take it.
    #[error("message refused: {0}")]
    Refused(String),
}

/// Why a proposal was not taken; nothing was proposed.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotProposed {
    /// Ask the leader.
    #[error("this node does not lead")]
    NotLeader {
        /// The leader, if known.
        leader: Option<u64>,
    },
    /// Too much is uncommitted, or leadership is being handed over: try again.
    #[error("too busy to take proposals")]
    Busy,
}

/// The hard state to start with: what is applied was committed, even if the commit index was not written since.
pub(super) fn checked_hard_state(
    log: &MemLog,
    mut hard_state: HardState,
    (applied, applied_term): (u64, u64),
) -> Result<HardState, CoreError> {
    if applied > log.last() {
        let last = log.last();
        return Err(CoreError::LogBehind { applied, last });
    }
    if applied + 1 < log.first() {
        let first = log.first();
        return Err(CoreError::StateBehind { applied, first });
    }
    let log_term = log.term_at(applied).unwrap_or(0);
    if log_term != applied_term {
        return Err(CoreError::Diverged { index: applied, applied_term, log_term });
    }
    if hard_state.commit > log.last() {
        return Err(CoreError::LogBehind { applied: hard_state.commit, last: log.last() });
    }
    hard_state.commit = hard_state.commit.max(applied).max(log.first() - 1);
    // Only after a crash between a snapshot's installation and the note of it is the vote older than the log.
    let last_term = log.term_at(log.last()).unwrap_or(0);
    if last_term > hard_state.term {
        hard_state.term = last_term;
        hard_state.vote = raft::INVALID_ID;
    }
    Ok(hard_state)
}
