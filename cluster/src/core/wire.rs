//! The messages between peers: one byte of kind, then the body.
//!
//! Kind 0 is a raft-rs message in protobuf; kind 1 tells a leader how a snapshot transfer went (raft-rs has that only
//! as a local message). To the transport both are opaque bytes.

use prost_011::Message as _;
use prost_011::encoding::{DecodeContext, decode_key, skip_field, uint64};
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
        /// The index of the snapshot it is about; 0 with `Failed`: the follower knows of no transfer.
        index: u64,
        state: Transfer,
    },
}

/// How a snapshot transfer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    Failed = 0,
    Running = 1,
    /// The sender has no log and begins with a snapshot; the index is 0.
    Wanted = 2,
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

/// Who says to have sent a message; `None` when it isn't one. The transport compares it with who it came from. Reads
/// no further than it must: the entries of an append aren't decoded.
pub fn sender_of(bytes: &[u8]) -> Option<u64> {
    match bytes.split_first()? {
        (&RAFT, body) => raft_sender(body).ok(),
        (&SNAPSHOT_STATUS, body) => match decode_status(body).ok()? {
            Wire::SnapshotStatus { from, .. } => Some(from),
            Wire::Raft(_) => None,
        },
        _ => None,
    }
}

/// Number of `eraftpb.Message.from`.
const FROM: u32 = 3;

fn raft_sender(mut body: &[u8]) -> Result<u64, prost_011::DecodeError> {
    let mut from = 0;
    while !body.is_empty() {
        let (number, wire_type) = decode_key(&mut body)?;
        // As in decoding the whole: the last one counts.
        match number {
            FROM => uint64::merge(wire_type, &mut from, &mut body, DecodeContext::default())?,
            _ => skip_field(wire_type, number, &mut body, DecodeContext::default())?,
        }
    }
    Ok(from)
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
        2 => Transfer::Wanted,
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

        #[test]
        fn who_a_message_is_from_is_who_the_core_takes_it_from(
            head in prop_oneof![Just([RAFT, 0x08, 4]), Just([SNAPSHOT_STATUS, 0, 0])],
            tail in proptest::collection::vec(prop_oneof![Just(0x18u8), Just(0x1a), Just(3), any::<u8>()], 0..40),
        ) {
            let bytes = [&head[..], &tail].concat();
            match decode(&bytes, 256) {
                Ok(Wire::Raft(message)) => prop_assert_eq!(sender_of(&bytes), Some(message.from)),
                Ok(Wire::SnapshotStatus { from, .. }) => prop_assert_eq!(sender_of(&bytes), Some(from)),
                Err(_) => {}
            }
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
    fn the_sender_is_read_without_the_rest() {
        let mut message = Message { from: 3, to: 1, ..Message::default() };
        message.set_msg_type(MessageType::MsgAppend);
        message.entries.push(raft::eraftpb::Entry { index: 1, data: vec![7; 500], ..Default::default() });
        let mut bytes = encode_raft(&message);
        assert_eq!(sender_of(&bytes), Some(3));
        // Said twice: the second counts, here as there.
        bytes.extend_from_slice(&[0x18, 2]);
        assert_eq!(sender_of(&bytes), Some(2));
        assert!(matches!(decode(&bytes, 1024), Ok(Wire::Raft(message)) if message.from == 2));
        assert_eq!(sender_of(&encode_status(2, 77, Transfer::Failed)), Some(2));
        for not_one in [&[][..], &[2, 0x18, 1], &[RAFT, 0x18], &[SNAPSHOT_STATUS, 0]] {
            assert_eq!(sender_of(not_one), None);
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
