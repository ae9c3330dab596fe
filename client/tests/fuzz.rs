//! Drives every fuzz target for a moment.

use prost::Message as _;
use sillage_client::fuzz::{TARGETS, receipt_seed, trace_line_seed};
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::fuzz::drive;
use sillage_proof::hash::Hash;
use sillage_proof::keys::SigningKey;
use sillage_proof::note::{KeyKind, SignerKey};
use sillage_proto::v1;

const PROFILE: &str = r#"
origin = "test/log"
endpoints = ["https://127.0.0.1:7400"]
ca = "tls/ca.pem"
cert = "tls/profile.pem"
key = "tls/profile.key"
log_vkey = "test/log+00000000+AAAA"
vrf_public_key = "0101010101010101010101010101010101010101010101010101010101010101"
genesis = "genesis.bin"
stream = "cli"
"#;

const DONE: &str = concat!(
    r#"{"seq":1,"source":{"file":{"sha256":"0101010101010101010101010101010101010101010101010101010101010101","#,
    r#""first":0}},"count":3,"first_index":10,"time_ms":9,"receipt":"00","signature":"00"}"#,
    "\n",
    r#"{"seq":2,"source":{"keys":["02020202020202020202020202020202"]},"count":1,"first_index":18446744073709551614,"#,
    r#""time_ms":9,"receipt":"","signature":""}"#,
    "\n",
    r#"{"seq":3,"source":"fresh","count":1,"first_index":20,"time_ms":9,"receipt":"","signature":""}"#,
    "\n",
);

fn seeds() -> Vec<Vec<u8>> {
    let source = br#""fresh""#;
    let batch = v1::Batch { seq: 1, stream_label: "cli".into(), ..v1::Batch::default() };
    let pending = [&7_u32.to_be_bytes()[..], source, &batch.encode_to_vec()].concat();
    let log = SignerKey::new("test/log", KeyKind::Ed25519, SigningKey::from_seed(&[9; 32])).expect("a key");
    let checkpoint = Checkpoint { origin: "test/log".parse().expect("a name"), size: 3.into(), root: Hash::default() };
    let refusal = v1::ErrorInfo { code: "OUT_OF_ORDER".into(), expected_seq: 7, ..v1::ErrorInfo::default() };
    let line = trace_line_seed();
    let texts = [
        PROFILE,
        DONE,
        r#"{"origin":"test/log","size":3,"root":"0000000000000000000000000000000000000000000000000000000000000000"}"#,
    ];
    let mut seeds: Vec<Vec<u8>> = texts.map(|text| text.as_bytes().to_vec()).into();
    seeds.extend([
        pending,
        receipt_seed(),
        v1::Receipt { message: receipt_seed(), signature: vec![7; 64] }.encode_to_vec(),
        line.record.clone(),
        line.encode_to_vec(),
        checkpoint.sign(&[&log], 0).expect("signed").to_string().into_bytes(),
        refusal.encode_to_vec(),
    ]);
    seeds
}

#[test]
fn no_target_falls_over() {
    drive(TARGETS, &seeds(), 10_000);
}
