//! The checks of a request before it is decoded: who calls, how many bytes, how many records.
//!
//! Two bytes of protobuf can become sixty-four of memory (a record that is empty), so a message is looked over before
//! it is decoded; and a body is read only for parties of the ledger, each of which has its share of the room.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures::StreamExt as _;
use sillage_ledger::Refusal;
use sillage_rules::codes::Code;
use sillage_rules::decide::message::AUTHORIZE_REQUESTS_MAX;
use sillage_rules::limits::BATCH_RECORDS_MAX;
use tonic::Status;

use super::caller;
use crate::core::Core;
use crate::core::bodies::Share;
use crate::core::submitting::requests::AUTHORIZE_BYTES_MAX;
use crate::core::turns::Sort;
use crate::refusals::{refuse, to_status};
use crate::tls::Caller;

/// Largest request that isn't a batch: 1,000 identities and their framing fit several times.
const SMALL_REQUEST_BYTES_MAX: usize = 256 << 10;
/// Before each message of gRPC: whether it is compressed, and its length.
const FRAME_BYTES: usize = 5;
/// Fields of a batch and of what is around it, its records aside. There are seven; the rest is for later versions.
const OTHER_FIELDS_MAX: usize = 64;

/// Reads the body of a request, within the bounds, for a caller that is known.
pub(super) async fn take_in(State(core): State<Arc<Core>>, request: Request, next: Next) -> Response {
    let refused = |refusal: Refusal| {
        core.metrics().refused(refusal.code.as_str());
        to_status(&refusal).into_http()
    };
    if let Err(refusal) = core.check_sound() {
        return refused(refusal);
    }
    let from = request.extensions().get::<Caller>().copied();
    let call = Call::of(request.uri().path());
    let party = match caller::known(&core, from.as_ref()).await {
        // It may ask once more for what it recorded while it could.
        Err(refusal) if call == Call::Submit && caller::is_ended(&refusal) => {
            caller::registered(&core, from.as_ref()).map_err(|_| refusal)
        }
        found => found,
    };
    let (party, from) = match party {
        Ok(party) => (party, from.expect("a party was found by its certificate")),
        Err(refusal) => return refused(refusal),
    };
    // Held until there is an answer. Before anything of the body is read: what waits takes no room.
    let _turn = match core.turns().take(party.author_id, Sort::of(request.uri().path())).await {
        Ok(turn) => turn,
        Err(refusal) => return refused(refusal),
    };
    let bytes_max = match call {
        Call::Submit => core.config().limits.request_bytes_max,
        Call::Authorize => AUTHORIZE_BYTES_MAX,
        Call::Other => SMALL_REQUEST_BYTES_MAX,
    };
    let (parts, body) = request.into_parts();
    let mut share = core.bodies().share(from.spki_sha256);
    let body = match read(body, bytes_max, &mut share).await {
        Ok(body) => body,
        Err(Unread::TooLarge) if call == Call::Submit => return refused(refuse(Code::BatchTooLarge)),
        Err(Unread::TooLarge) => return refused(refuse(Code::MalformedRequest)),
        Err(Unread::NoRoom) => return refused(refuse(Code::Busy)),
        Err(Unread::Broken) => return Status::cancelled("the request ended before its end").into_http(),
    };
    let crowded = match call {
        Call::Submit => oversized(&body),
        Call::Authorize => too_many_requests(&body),
        Call::Other => None,
    };
    if let Some(code) = crowded {
        return refused(refuse(code));
    }
    // The share is held until there is an answer: it bounds what one caller keeps in work.
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    drop(share);
    response
}

/// Calls by how much they may bring along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Submit,
    Authorize,
    Other,
}

impl Call {
    fn of(path: &str) -> Self {
        match path.rsplit('/').next() {
            Some("Submit") => Self::Submit,
            Some("Authorize") => Self::Authorize,
            _ => Self::Other,
        }
    }
}

/// Why a body wasn't read.
#[derive(Debug, PartialEq, Eq)]
enum Unread {
    TooLarge,
    NoRoom,
    Broken,
}

async fn read(body: Body, bytes_max: usize, share: &mut Share) -> Result<Bytes, Unread> {
    let mut read = Vec::new();
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|_| Unread::Broken)?;
        if !share.more(part.len()) {
            return Err(Unread::NoRoom);
        }
        read.extend_from_slice(&part);
        let promised = read.first_chunk::<FRAME_BYTES>().map_or(0, |[_, length @ ..]| u32::from_be_bytes(*length));
        let promised = usize::try_from(promised).unwrap_or(usize::MAX);
        if promised > bytes_max || read.len() > bytes_max + FRAME_BYTES {
            return Err(Unread::TooLarge);
        }
    }
    Ok(read.into())
}

/// The one message of a body. gRPC itself refuses a message that is compressed or ends early (`Ok(None)`); but of
/// several messages in one body it decodes all before it drops those after the first, so there must be no other.
fn only_message(body: &[u8]) -> Result<Option<&[u8]>, Code> {
    match body.split_first_chunk::<FRAME_BYTES>() {
        Some(([0, length @ ..], message)) => match message.len() as u64 > u64::from(u32::from_be_bytes(*length)) {
            true => Err(Code::MalformedRequest),
            false => Ok(Some(message)),
        },
        _ => Ok(None),
    }
}

/// Why an `AuthorizeRequest` must not be decoded.
pub(crate) fn too_many_requests(body: &[u8]) -> Option<Code> {
    let message = match only_message(body) {
        Ok(message) => message.unwrap_or_default(),
        Err(code) => return Some(code),
    };
    // Each may bring the proofs of its tags.
    let fields_max = 2 * AUTHORIZE_REQUESTS_MAX as usize + OTHER_FIELDS_MAX;
    match Fields(message).take(fields_max + 1).enumerate().all(|(at, field)| field.is_some() && at < fields_max) {
        true => None,
        false => Some(Code::MalformedRequest),
    }
}

/// Why a `SubmitRequest` must not be decoded.
pub(crate) fn oversized(body: &[u8]) -> Option<Code> {
    let message = match only_message(body) {
        Ok(message) => message.unwrap_or_default(),
        Err(code) => return Some(code),
    };
    let (mut records, mut others) = (0, 0);
    for field in Fields(message) {
        let Some((number, value)) = field else {
            return Some(Code::MalformedRequest);
        };
        others += 1;
        // The fields of a batch that stands there several times are merged.
        let batch = if number == BATCH { value } else { &[] };
        for field in Fields(batch) {
            match field {
                Some((RECORDS, _)) => records += 1,
                Some(_) => others += 1,
                None => return Some(Code::MalformedRequest),
            }
            if records > BATCH_RECORDS_MAX {
                return Some(Code::TooManyRecords);
            }
            if others > OTHER_FIELDS_MAX {
                return Some(Code::MalformedRequest);
            }
        }
        if others > OTHER_FIELDS_MAX {
            return Some(Code::MalformedRequest);
        }
    }
    None
}

/// Number of `SubmitRequest.batch`.
const BATCH: u64 = 1;
/// Number of `Batch.records`.
const RECORDS: u64 = 7;

/// The fields of a protobuf message: number and, where it is one, the bytes of the value. `None`, at most once and
/// last, where it isn't protobuf, or has groups, which no schema of today has.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, &'a [u8])> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => {
                self.varint()?;
                &[]
            }
            1 => self.take(8)?,
            2 => {
                let length = self.varint()?;
                self.take(usize::try_from(length).ok()?)?
            }
            5 => self.take(4)?,
            _ => return None,
        };
        Some((key >> 3, value))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (value, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(value)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            // The tenth byte has room for one bit; protobuf drops the others.
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::bodies::Bodies;
    use prost::Message as _;
    use sillage_proto::v1::{AuthorizeRequest, Batch, SaltedRecord, SubmitRequest, TagPairing};

    fn framed(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).expect("short").to_be_bytes();
        [&[0], &length[..], message].concat()
    }

    fn request(records: usize) -> SubmitRequest {
        let record = SaltedRecord { salt: vec![1; 16], record: vec![2; 40] };
        let batch = Batch {
            alg: 1,
            key_id: vec![3; 32],
            stream_label: "cli".to_owned(),
            seq: u64::MAX,
            root: vec![4; 32],
            signature: vec![5; 64],
            records: vec![record; records],
        };
        SubmitRequest { batch: Some(batch) }
    }

    #[test]
    fn a_batch_of_the_greatest_size_passes_and_one_more_record_does_not() {
        let verdict = |records| oversized(&framed(&request(records).encode_to_vec()));
        assert_eq!(verdict(0), None);
        assert_eq!(verdict(BATCH_RECORDS_MAX), None);
        assert_eq!(verdict(BATCH_RECORDS_MAX + 1), Some(Code::TooManyRecords));
    }

    #[test]
    fn empty_records_are_counted_wherever_they_stand() {
        let half = b"\x3a\x00".repeat(BATCH_RECORDS_MAX / 2 + 1);
        let mut batch = b"\x0a".to_vec();
        prost::encode_length_delimiter(half.len(), &mut batch).expect("room");
        batch.extend_from_slice(&half);
        assert_eq!(oversized(&framed(&batch)), None);
        assert_eq!(oversized(&framed(&batch.repeat(2))), Some(Code::TooManyRecords), "merged by protobuf");
        assert_eq!(oversized(&framed(&b"\x0a\x00".repeat(100))), Some(Code::MalformedRequest));
        let group = [b"\x0b\x0c".as_slice(), &batch].concat();
        assert_eq!(oversized(&framed(&group)), Some(Code::MalformedRequest));
        assert_eq!(oversized(&framed(b"\x0a\x05\x3a")), Some(Code::MalformedRequest));
    }

    #[test]
    fn a_second_message_is_not_decoded_behind_the_first() {
        let first = framed(&request(1).encode_to_vec());
        assert_eq!(oversized(&first), None);
        assert_eq!(oversized(&first.repeat(2)), Some(Code::MalformedRequest));
        // The second message is laid out so that, read on from the first, it is one unknown field.
        let records = 524_286;
        let mut second = vec![0x82, 0x80, 0x40, 1, 0, 0x0a];
        prost::encode_length_delimiter(2 * records, &mut second).expect("room");
        second.extend(b"\x3a\x00".repeat(records));
        second.extend(b"\x12\x0bELEVEN BYTE");
        let decoded = SubmitRequest::decode(&second[..]).expect("a request").batch.expect("a batch");
        assert_eq!(decoded.records.len(), records);
        let both = [first, framed(&second)].concat();
        assert_eq!(oversized(&framed(&both[FRAME_BYTES..])), None, "nothing to see");
        assert_eq!(oversized(&both), Some(Code::MalformedRequest));
    }

    #[test]
    fn a_round_of_the_greatest_size_is_decoded_and_a_crowd_of_empty_requests_is_not() {
        let asked = |requests| AuthorizeRequest {
            alg: 1,
            key_id: vec![1; 32],
            requests: vec![vec![2; 10]; requests],
            signature: vec![3; 64],
            urgent: true,
            pairings: vec![TagPairing::default(); requests],
        };
        let verdict = |requests| too_many_requests(&framed(&asked(requests).encode_to_vec()));
        assert_eq!(verdict(64), None);
        assert_eq!(verdict(200), Some(Code::MalformedRequest));
        assert_eq!(too_many_requests(&framed(&b"\x1a\x00".repeat(100_000))), Some(Code::MalformedRequest));
        let twice = framed(&asked(1).encode_to_vec()).repeat(2);
        assert_eq!(too_many_requests(&twice), Some(Code::MalformedRequest));
    }

    #[tokio::test]
    async fn a_body_is_read_within_its_bounds_and_its_share() {
        let bodies = Bodies::new(1_000, 600);
        let body = |bytes: usize| Body::from(framed(&vec![0; bytes]));
        let mut share = bodies.share([1; 32]);
        assert_eq!(read(body(95), 95, &mut share).await.expect("fits").len(), 100);
        assert_eq!(read(body(96), 95, &mut share).await, Err(Unread::TooLarge));
        let promise = Body::from(vec![0, 0xff, 0, 0, 0]);
        assert_eq!(read(promise, 95, &mut share).await, Err(Unread::TooLarge));
        assert_eq!(read(body(500), 500, &mut share).await, Err(Unread::NoRoom));
        let mut other = bodies.share([2; 32]);
        assert!(read(body(500), 500, &mut other).await.is_ok(), "one caller's share is not another's");
    }
}
