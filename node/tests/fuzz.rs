//! Drives every fuzz target for a moment.

use prost::Message as _;
use sillage_node::core::disclose::cursor::Cursors;
use sillage_node::fuzz::TARGETS;
use sillage_proof::fuzz::drive;
use sillage_proto::internal::v1::{ForwardRequest, RaftMessage, SealedBatch, SealedRecord, WrappedKey};
use sillage_proto::v1::{Actor, Batch, SaltedRecord, SubmitRequest, TraceRequest};
use sillage_rules::kind::Kind;
use sillage_rules::limits::BATCH_RECORDS_MAX;
use sillage_rules::record::{ParsedRecord, new_message};
use zeroize::Zeroizing;

const CONFIG: &str = r#"
id = 2
name = "two"
listen_client = "127.0.0.1:7402"
listen_peer = "127.0.0.1:7403"
data_dir = "data"
genesis = "genesis.bin"
node_key = "keys/node.key"
keyring = "keys/keyring"
[tls]
ca = "tls/ca.pem"
cert = "tls/node.pem"
key = "tls/node.key"
[[peers]]
id = 1
address = "127.0.0.1:7401"
"#;

fn batch() -> Batch {
    let mut message = new_message(Kind::ACCESS_READ, Some(&[9; 32]), 1_000);
    message.actor = Some(Actor { id: "1".into(), ..Actor::default() });
    let record = ParsedRecord::from_message(message).expect("a record").into_bytes();
    Batch {
        alg: 1,
        key_id: vec![3; 32],
        stream_label: "cli".to_owned(),
        seq: 1,
        root: vec![4; 32],
        signature: vec![5; 64],
        records: vec![SaltedRecord { salt: vec![1; 16], record }; 3],
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    [&[0], &length[..], message].concat()
}

fn seeds() -> Vec<Vec<u8>> {
    let asked = TraceRequest { tag: vec![9; 32], ..TraceRequest::default() };
    let cursor = Cursors::new(Zeroizing::new([7; 32])).make(&asked, 41);
    let submit = SubmitRequest { batch: Some(batch()) }.encode_to_vec();
    let payload = vec![1; 60];
    let record =
        SealedRecord { kind: 0x0101, tag: vec![9; 32].into(), payload: payload.into(), ..SealedRecord::default() };
    let new_keys = vec![WrappedKey { tag: vec![9; 32], data_key_id: vec![2; 16], wrapped: vec![3; 66] }];
    let sealed = SealedBatch { alg: 1, seq: 1, records: vec![record], new_keys, ..SealedBatch::default() };
    let heartbeat = vec![0, 0x08, 0x08, 0x10, 0x02, 0x18, 0x01, 0x20, 0x05];
    // One empty record more than a batch may have, behind the batch's own head.
    let empty = b"\x3a\x00".repeat(BATCH_RECORDS_MAX + 1);
    let mut many = b"\x0a".to_vec();
    prost::encode_length_delimiter(empty.len(), &mut many).expect("room");
    many.extend(empty);
    vec![
        CONFIG.as_bytes().to_vec(),
        cursor.clone(),
        TraceRequest { cursor, ..asked }.encode_to_vec(),
        framed(&submit),
        framed(&submit).repeat(2),
        submit,
        batch().encode_to_vec(),
        [framed(&[]), framed(&many)].concat(),
        many,
        ForwardRequest { batch: Some(sealed), events: 1 }.encode_to_vec(),
        RaftMessage { to: 2, message: heartbeat.clone(), disk_run: vec![7; 32], disk_starts: vec![] }.encode_to_vec(),
        heartbeat,
        b"42\n".to_vec(),
        "\u{2014} w jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcr\n".as_bytes().to_vec(),
    ]
}

#[test]
fn no_target_falls_over() {
    drive(TARGETS, &seeds(), 8_000);
}
