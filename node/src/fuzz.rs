//! Fuzz targets: what parties and other nodes send. None may panic, and what is let through keeps to the bounds.

use prost::Message as _;
use sillage_proof::keys::SigningKey;
use sillage_proof::note::{KeyKind, VerifierKey};
use sillage_proto::internal::v1::{FetchFileRequest, ForwardRequest, ForwardResponse, RaftMessage};
use sillage_proto::v1::{Batch, SubmitRequest, TraceRequest};
use sillage_rules::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};
use zeroize::Zeroizing;

use crate::config::NodeConfig;
use crate::core::checkpointing::witness::{WitnessAnswer, read_answer};
use crate::core::disclose::cursor::Cursors;
use crate::core::submitting::admission::{Plain, check_bounds};
use crate::service::intake::oversized;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target with its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("trace_cursor", fuzz_trace_cursor),
    ("trace_request", fuzz_trace_request),
    ("request_body", fuzz_request_body),
    ("submit_request", fuzz_submit_request),
    ("peer_messages", fuzz_peer_messages),
    ("config", fuzz_config),
    ("witness_answer", fuzz_witness_answer),
];

fn cursors() -> Cursors {
    Cursors::new(Zeroizing::new([7; 32]))
}

/// Cursors: the only one that is taken is the one that was made.
pub fn fuzz_trace_cursor(data: &[u8]) {
    check_cursor(&TraceRequest { tag: vec![9; 32], cursor: data.to_vec(), ..TraceRequest::default() });
}

/// A question, with its cursor.
pub fn fuzz_trace_request(data: &[u8]) {
    if let Ok(mut request) = TraceRequest::decode(data) {
        check_cursor(&request);
        request.cursor = cursors().make(&request, 41);
        assert_eq!(cursors().open(&request), Ok(Some(41)));
    }
}

fn check_cursor(request: &TraceRequest) {
    match cursors().open(request) {
        Ok(Some(before)) => assert_eq!(cursors().make(request, before), request.cursor),
        Ok(None) => assert!(request.cursor.is_empty()),
        Err(_) => {}
    }
}

/// Bodies of a submission, as they come and behind a frame's head that fits: every message that gRPC would decode of
/// one that passes is within the bounds.
pub fn fuzz_request_body(data: &[u8]) {
    let length = u32::try_from(data.len()).expect("a short input");
    let framed = [&[0][..], &length.to_be_bytes(), data].concat();
    for body in [data, &framed] {
        if oversized(body).is_some() {
            continue;
        }
        let mut rest = body;
        while let Some(([0, length @ ..], after)) = rest.split_first_chunk::<5>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).expect("32 bits");
            let Some((message, after)) = after.split_at_checked(length) else {
                break;
            };
            let Ok(request) = SubmitRequest::decode(message) else {
                break;
            };
            assert!(request.batch.is_none_or(|batch| batch.records.len() <= BATCH_RECORDS_MAX));
            rest = after;
        }
    }
}

/// Batches: what passes all checks that need no ledger is within the bounds.
pub fn fuzz_submit_request(data: &[u8]) {
    let request = SubmitRequest::decode(data).ok().and_then(|request| request.batch);
    for batch in request.into_iter().chain(Batch::decode(data).ok()) {
        if check_bounds(&batch).is_ok() {
            let _ = batch.records.iter().map(Plain::parse).collect::<Result<Vec<_>, _>>();
            assert!((1..=BATCH_RECORDS_MAX).contains(&batch.records.len()) && batch.seq > 0);
            assert!(batch.records.iter().map(|record| record.record.len()).sum::<usize>() <= BATCH_BYTES_MAX);
        }
    }
}

/// Messages of other nodes.
pub fn fuzz_peer_messages(data: &[u8]) {
    let _ = sillage_cluster::sender_of(data);
    if let Ok(message) = RaftMessage::decode(data) {
        let _ = sillage_cluster::sender_of(&message.message);
    }
    if let Ok(request) = ForwardRequest::decode(data) {
        assert_eq!(ForwardRequest::decode(&request.encode_to_vec()[..]), Ok(request));
    }
    if let Ok(response) = ForwardResponse::decode(data) {
        assert_eq!(ForwardResponse::decode(&response.encode_to_vec()[..]), Ok(response));
    }
    let _ = FetchFileRequest::decode(data);
}

/// Answers of witnesses: nothing counts as a cosignature that this witness's key hasn't made.
pub fn fuzz_witness_answer(data: &[u8]) {
    let text = "ledger.example/test\n5\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    let key = SigningKey::from_seed(&[9; 32]).public_key();
    let key = VerifierKey::new("w", KeyKind::CosignatureV1, key).expect("a name");
    let answer = read_answer(200, "text/plain", data, text, &key, 1_000);
    assert!(!matches!(answer, WitnessAnswer::Cosigned { .. }), "a signature out of thin air");
    if let WitnessAnswer::Knows(size) = read_answer(409, "text/x.tlog.size", data, text, &key, 1_000) {
        assert_eq!(format!("{size}\n").as_bytes(), data, "one spelling");
    }
}

/// Configurations: what is accepted is written and read back.
pub fn fuzz_config(data: &[u8]) {
    if let Ok(config) = toml::from_str::<NodeConfig>(std::str::from_utf8(data).unwrap_or_default()) {
        assert_eq!(toml::from_str(&config.to_toml()), Ok(config));
    }
}
