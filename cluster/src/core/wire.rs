//! The messages between peers: one byte of kind, then the body.
//!
//! Kind 0 is a raft-rs message in protobuf; kind 1 tells a leader how a snapshot transfer went (raft-rs has that only
//! as a local message). To the transport both are opaque bytes.

use prost_011::Message as _;
use raft::eraftpb::{EntryType, Message, MessageType};

use super::StepError;

const RAFT: u8 = 0;
const SNAPSHOT_STATUS: u8 = 1;

/// A decoded message from a peer.
#[derive(Debug)]
pub(crate) enum Wire {
    /// For raft-rs.
    Raft(Box<Message>),
    /// From a follower to the leader.
    SnapshotStatus {
        from: u64,
        /// The index of the snapshot it is about.
        index: u64,
        state: Transfer,
    },
}

/// How a snapshot transfer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    Failed = 0,
    Running = 1,
}

pub(crate) fn encode_raft(message: &Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + message.encoded_len());
    out.push(RAFT);
    message.encode(&mut out).expect("a Vec takes any number of bytes");
    out
}

pub(crate) fn encode_status(from: u64, index: u64, state: Transfer) -> Vec<u8> {
    let mut out = vec![SNAPSHOT_STATUS];
    out.extend_from_slice(&from.to_be_bytes());
    out.extend_from_slice(&index.to_be_bytes());
    out.push(state as u8);
    out
}

/// Decodes and checks what a peer sent; a peer may send only what peers have a reason to.
pub(crate) fn decode(bytes: &[u8], max_bytes: usize) -> Result<Wire, StepError> {
    if bytes.len() > max_bytes {
        return Err(StepError::TooLarge(bytes.len()));
    }
    match bytes.split_first() {
        Some((&RAFT, body)) => {
            let message = Message::decode(body).map_err(|_| StepError::Malformed)?;
            check(&message)?;
            Ok(Wire::Raft(Box::new(message)))
        }
        Some((&SNAPSHOT_STATUS, body)) => decode_status(body),
        _ => Err(StepError::Malformed),
    }
}

fn decode_status(body: &[u8]) -> Result<Wire, StepError> {
    let body = <[u8; 17]>::try_from(body).map_err(|_| StepError::Malformed)?;
    let u64_at = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&body[at..at + 8]);
        u64::from_be_bytes(word)
    };
    let state = match body[16] {
        0 => Transfer::Failed,
        1 => Transfer::Running,
        _ => return Err(StepError::Malformed),
    };
    Ok(Wire::SnapshotStatus { from: u64_at(0), index: u64_at(8), state })
}

fn check(message: &Message) -> Result<(), StepError> {
    use MessageType as M;
    let kind = M::from_i32(message.msg_type).ok_or(StepError::Malformed)?;
    match kind {
        // Local to a node, or (the last two) only ever asked of the leader itself.
        M::MsgHup
        | M::MsgBeat
        | M::MsgUnreachable
        | M::MsgSnapStatus
        | M::MsgCheckQuorum
        | M::MsgPropose
        | M::MsgTransferLeader => return Err(StepError::NotForPeers),
        M::MsgReadIndex | M::MsgReadIndexResp if message.entries.len() != 1 => {
            return Err(StepError::Malformed);
        }
        M::MsgSnapshot if message.get_snapshot().get_metadata().index == 0 => {
            return Err(StepError::Malformed);
        }
        _ => {}
    }
    let mut previous = message.index;
    for entry in &message.entries {
        EntryType::from_i32(entry.entry_type).ok_or(StepError::Malformed)?;
        if kind == M::MsgAppend && previous.checked_add(1) != Some(entry.index) {
            return Err(StepError::Malformed);
        }
        previous = entry.index;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes, 256);
        }
    }

    #[test]
    fn a_peer_cannot_send_local_messages() {
        for kind in [MessageType::MsgHup, MessageType::MsgPropose, MessageType::MsgSnapStatus] {
            let mut message = Message::default();
            message.set_msg_type(kind);
            let bytes = encode_raft(&message);
            assert!(matches!(decode(&bytes, 1024), Err(StepError::NotForPeers)));
        }
    }

    #[test]
    fn a_status_comes_back_as_it_was_sent() {
        let bytes = encode_status(2, 77, Transfer::Running);
        let Ok(Wire::SnapshotStatus { from: 2, index: 77, state: Transfer::Running }) = decode(&bytes, 64) else {
            panic!("decoded to something else");
        };
    }
}
