//! The messages between peers: one byte of kind, then the body.
//!
//! Kind 0 is a raft-rs message in protobuf; kind 1 tells a leader how a snapshot transfer went (raft-rs has that only
//! as a local message); kind 2 tells a peer that it isn't on the disk that is known here; kind 3 says how far a node is and
//! with what state; kind 4 says that entries which were committed are lost; kind 5 tells a peer which run of its disk is stored
//! here. To the transport all are opaque bytes but for the sender. Every kind from 2 on begins with the sender's id in eight
//! bytes, so that a later kind passes the transport ([`sender_of`]), and the core drops it. A program from before kind 5 cuts the
//! stream on a kind that it doesn't know: so kind 5 goes only to peers that say which starts they remember.

use prost_011::Message as _;
use prost_011::encoding::{DecodeContext, decode_key, skip_field, uint64};
use raft::eraftpb::{EntryType, Message, MessageType};

use super::StepError;
use super::memlog::entry_time_ms;
use super::standing::{Split, Standing, State};
use crate::identity::{DiskRun, RUN_BYTES};

const RAFT: u8 = 0;
const SNAPSHOT_STATUS: u8 = 1;
const DISOWNED: u8 = 2;
const STANDING: u8 = 3;
const SPLIT: u8 = 4;
const STORED: u8 = 5;

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
    /// The receiver isn't on the disk, or in the start, that the sender has seen of it.
    Disowned { from: u64, known: DiskRun },
    /// The sender has stored this run of the receiver.
    Stored { from: u64, run: DiskRun },
    /// How far the sender is.
    Standing(Standing),
    /// The sender has seen that committed entries are lost.
    Split { from: u64, split: Split },
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

pub(crate) fn encode_disowned(from: u64, known: &DiskRun) -> Vec<u8> {
    let mut out = vec![DISOWNED];
    out.extend_from_slice(&from.to_be_bytes());
    out.extend_from_slice(&known.encode());
    out
}

pub(crate) fn encode_stored(from: u64, run: &DiskRun) -> Vec<u8> {
    let mut out = vec![STORED];
    out.extend_from_slice(&from.to_be_bytes());
    out.extend_from_slice(&run.encode());
    out
}

pub(crate) fn encode_standing(standing: &Standing) -> Vec<u8> {
    let Standing { from, term, commit, state } = standing;
    let mut out = vec![STANDING];
    for word in [*from, *term, *commit, state.index, state.term] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.extend_from_slice(&state.digest);
    out
}

pub(crate) fn encode_split(from: u64, split: &Split) -> Vec<u8> {
    let mut out = vec![SPLIT];
    for word in [from, split.peer, split.from, split.to] {
        out.extend_from_slice(&word.to_be_bytes());
    }
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
        Some((&kind @ (DISOWNED | STANDING | SPLIT | STORED), body)) => {
            decode_own(kind, body).ok_or(StepError::Malformed)
        }
        _ => Err(StepError::Malformed),
    }
}

/// The claimed sender of a message; `None` when it isn't one. The transport compares it with who it came from. Reads no
/// further than it must: the entries of an append aren't decoded.
pub fn sender_of(bytes: &[u8]) -> Option<u64> {
    match bytes.split_first()? {
        (&RAFT, body) => raft_sender(body).ok(),
        (&SNAPSHOT_STATUS, body) => match decode_status(body).ok()? {
            Wire::SnapshotStatus { from, .. } => Some(from),
            _ => None,
        },
        (&kind @ (DISOWNED | STANDING | SPLIT | STORED), body) => match decode_own(kind, body)? {
            Wire::Disowned { from, .. }
            | Wire::Standing(Standing { from, .. })
            | Wire::Split { from, .. }
            | Wire::Stored { from, .. } => Some(from),
            Wire::Raft(_) | Wire::SnapshotStatus { .. } => None,
        },
        // Of a later program.
        (_, mut body) => word(&mut body),
    }
}

/// Takes a big-endian word off the front.
fn word(bytes: &mut &[u8]) -> Option<u64> {
    let (word, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(u64::from_be_bytes(*word))
}

/// The kinds of fixed length that are our own.
fn decode_own(kind: u8, mut body: &[u8]) -> Option<Wire> {
    let from = word(&mut body)?;
    let wire = match kind {
        DISOWNED => {
            let (known, rest) = body.split_first_chunk::<RUN_BYTES>()?;
            body = rest;
            Wire::Disowned { from, known: DiskRun::decode(known)? }
        }
        STORED => {
            let (run, rest) = body.split_first_chunk::<RUN_BYTES>()?;
            body = rest;
            Wire::Stored { from, run: DiskRun::decode(run)? }
        }
        STANDING => {
            let (term, commit) = (word(&mut body)?, word(&mut body)?);
            let (index, state_term) = (word(&mut body)?, word(&mut body)?);
            let (digest, rest) = body.split_first_chunk::<32>()?;
            body = rest;
            Wire::Standing(Standing { from, term, commit, state: State { index, term: state_term, digest: *digest } })
        }
        SPLIT => {
            let split = Split { peer: word(&mut body)?, from: word(&mut body)?, to: word(&mut body)? };
            Wire::Split { from, split }
        }
        _ => return None,
    };
    body.is_empty().then_some(wire)
}

/// The latest stamp among the entries of an append that were not committed when it was sent; `None` for every other
/// message. For harnesses that plant a fault: the core doesn't look at stamps.
pub fn open_stamp_of(bytes: &[u8]) -> Option<u64> {
    let (&RAFT, body) = bytes.split_first()? else {
        return None;
    };
    let message = Message::decode(body).ok()?;
    if message.get_msg_type() != MessageType::MsgAppend {
        return None;
    }
    message.entries.iter().filter(|entry| entry.index > message.commit).map(entry_time_ms).max()
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
                _ => {}
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
        // A kind of a later program: the transport lets it pass, the core drops it.
        let later = [&[STORED + 1][..], &2u64.to_be_bytes(), b"rest"].concat();
        assert_eq!(sender_of(&later), Some(2));
        assert!(matches!(decode(&later, 1024), Err(StepError::Malformed)));
        for not_one in [&[][..], &[2, 0x18, 1], &[9, 0x18, 1], &[RAFT, 0x18], &[SNAPSHOT_STATUS, 0]] {
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

    #[test]
    fn our_own_kinds_come_back_as_they_were_sent() {
        let known = DiskRun { disk: [3; 16], start: 2, run: 9 };
        let standing = Standing { from: 2, term: 4, commit: 9, state: State { index: 8, term: 3, digest: [7; 32] } };
        let split = Split { peer: 3, from: 5, to: 9 };
        let all =
            [encode_disowned(2, &known), encode_standing(&standing), encode_split(2, &split), encode_stored(2, &known)];
        for bytes in &all {
            assert_eq!(sender_of(bytes), Some(2));
            assert!(decode(&bytes[..bytes.len() - 1], 256).is_err());
            assert!(decode(&[&bytes[..], &[0]].concat(), 256).is_err());
        }
        assert!(matches!(decode(&all[0], 256), Ok(Wire::Disowned { from: 2, known: found }) if found == known));
        assert!(matches!(decode(&all[1], 256), Ok(Wire::Standing(found)) if found == standing));
        assert!(matches!(decode(&all[2], 256), Ok(Wire::Split { from: 2, split: found }) if found == split));
        assert!(matches!(decode(&all[3], 256), Ok(Wire::Stored { from: 2, run: found }) if found == known));
    }
}
