//! The test vectors of `docs/formats.md`, computed anew: `docs/vectors/proof.json`.
//!
//! Another implementation takes the inputs from the file and must get the same outputs. With `SILLAGE_BLESS=1` the
//! file is written instead of compared; a changed value is a changed promise to outsiders.

use std::path::Path;

use serde_json::{Value, json};
use sillage_proof::batch::{BatchLeaf, BatchMessage, BatchTree, ReceiptMessage};
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::hash::{Hash, leaf_hash2};
use sillage_proof::keys::{AuthorId, SigningKey, StreamId};
use sillage_proof::note::{KeyKind, SignedNote, SignerKey};
use sillage_proof::policy::Policy;
use sillage_proof::tag::{Identity, PatientTag, WhichTag};
use sillage_proof::tlog_proof::TlogProof;
use sillage_proof::vrf::VrfSecretKey;
use sillage_proof::{merkle, tile};

const ORIGIN: &str = "ledger.example/vectors";
const STREAM_LABEL: &str = "dmp.readmissions-1";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// Five records: salt is 16 bytes of the record's number, content is ASCII. What is stated of them stands for itself here:
/// kinds and flags are the affair of `rules`.
fn records() -> (Vec<Value>, Vec<BatchLeaf>) {
    let record = |number: u8| {
        let (salt, content) = ([number; 16], format!("record {number}"));
        let record_hash = leaf_hash2(&salt, content.as_bytes());
        let (kind, stated) = (0x0601 + u16::from(number), [0x10, 0x14, 0, 4, 0x10][usize::from(number)]);
        let leaf = BatchLeaf { kind, stated, tag: [0x70 + number; 32], record_hash };
        let shown = json!({
            "salt": hex::encode(salt), "record": content, "record_hash": record_hash,
            "kind": kind, "stated": stated, "tag": hex::encode(leaf.tag), "batch_leaf": leaf.hash(),
        });
        (shown, leaf)
    };
    (0..5).map(record).unzip()
}

/// Five leaves of a log: any hashes will do.
fn log_leaves() -> Vec<Hash> {
    (0..5_u8).map(|number| leaf_hash2(&[number; 16], format!("record {number}").as_bytes())).collect()
}

fn batch_vectors() -> Value {
    let (shown, leaves) = records();
    let tree = BatchTree::new(&leaves).expect("five records");
    let (author, node) = (key(1), key(2));
    let author_id = AuthorId::of_first_key(&author.public_key());
    let batch = BatchMessage {
        key_id: author.key_id(),
        origin: ORIGIN.parse().expect("valid"),
        stream_id: StreamId::new(&author_id, STREAM_LABEL),
        seq: 42,
        count: tree.count(),
        root: tree.root(),
    };
    let receipt = ReceiptMessage {
        batch: BatchMessage { key_id: node.key_id(), ..batch.clone() },
        first_index: 1_001.into(),
        time_ms: 1_767_225_600_000.into(),
    };
    let (signature, receipt_signature) = (batch.sign(&author), receipt.sign(&node));
    let verdict = batch.verify(&author.public_key(), &signature);
    assert_eq!(verdict, Ok(()));
    let verdict = receipt.verify(&node.public_key(), &receipt_signature);
    assert_eq!(verdict, Ok(()));
    json!({
        "author": {
            "seed": hex::encode([1; 32]), "public_key": author.public_key(), "key_id": author.key_id(),
            "author_id": author_id,
        },
        "stream": {"label": STREAM_LABEL, "stream_id": batch.stream_id},
        "batch_tree": {
            "records": shown, "root": tree.root(),
            "audit_path_of_3": tree.audit_path(3).expect("in the batch"),
            "multi_proof_of_1_and_4": hex::encode(tree.prove(&[1, 4]).expect("in the batch")),
        },
        "batch_message": {
            "origin": ORIGIN, "seq": batch.seq, "count": batch.count,
            "bytes": hex::encode(batch.encode()), "signature": hex::encode(signature),
        },
        "receipt_message": {
            "node_seed": hex::encode([2; 32]), "node_public_key": node.public_key(), "node_key_id": node.key_id(),
            "first_index": receipt.first_index, "time_ms": receipt.time_ms,
            "bytes": hex::encode(receipt.encode()), "signature": hex::encode(receipt_signature),
        },
    })
}

fn tag_vectors() -> Value {
    let key = VrfSecretKey::from_seed([3; 32]);
    let (ins, oid) = ("255069910100157", "1.2.250.1.213.1.4.11");
    let identity = Identity::new(ins, oid).expect("well formed");
    let which_tag = |which| {
        let (tag, proof) = PatientTag::resolve(&key, &identity, which);
        let verdict = tag.verify(key.public_key(), &identity, which, &proof);
        assert_eq!(verdict, Ok(()));
        let alpha = String::from_utf8(identity.alpha(which).to_vec()).expect("ASCII");
        json!({"alpha": alpha, "vrf_proof": hex::encode(proof.to_bytes()), "tag": tag})
    };
    json!({
        "suite": "ECVRF-EDWARDS25519-SHA512-ELL2",
        "vrf_seed": hex::encode([3; 32]), "vrf_public_key": key.public_key().to_string(),
        "ins": ins, "oid": oid,
        "open": which_tag(WhichTag::Open), "secret": which_tag(WhichTag::Secret),
    })
}

fn log_vectors() -> Value {
    let leaves = log_leaves();
    let signer = |name, kind, seed| SignerKey::new(name, kind, key(seed)).expect("a valid name");
    let log = signer(ORIGIN, KeyKind::Ed25519, 4);
    let witness = signer("witness.example/w1", KeyKind::CosignatureV1, 5);
    let checkpoint =
        Checkpoint { origin: ORIGIN.parse().expect("valid"), size: 5.into(), root: merkle::root_of(&leaves) };
    let note = checkpoint.sign(&[&log, &witness], 1_767_225_600).expect("two keys");
    assert_eq!(SignedNote::parse(note.to_string().as_bytes()), Ok(note.clone()));
    let (log_vkey, witness_vkey) = (log.verifier().to_string(), witness.verifier().to_string());
    let policy = format!("log {log_vkey}\nwitness w1 {witness_vkey}\nquorum w1\n");
    let proof = TlogProof {
        extra: None,
        index: 3.into(),
        path: merkle::inclusion_proof(&leaves[..], 3.into(), 5.into()).expect("in the log"),
        checkpoint: note.clone(),
    };
    let parsed = Policy::parse(policy.as_bytes()).expect("valid");
    let satisfied = proof.verify(&leaves[3], &parsed).expect("a true proof");
    assert_eq!(satisfied.checkpoint, checkpoint);
    let consistency = merkle::consistency_proof(&leaves[..], 3.into(), 5.into());
    json!({
        "leaf_hashes": leaves, "old_root_of_3": merkle::root_of(&leaves[..3]), "root": checkpoint.root,
        "log_seed": hex::encode([4; 32]), "log_skey": *log.to_skey(), "log_vkey": log_vkey,
        "witness_seed": hex::encode([5; 32]), "witness_vkey": witness_vkey, "witness_time_s": 1_767_225_600,
        "checkpoint": note.to_string(), "policy": policy, "tlog_proof_of_3": proof.to_string(),
        "consistency_proof_3_to_5": consistency.expect("3 below 5"),
        "hash_tile": hex::encode(tile::encode_hash_tile(&leaves).expect("five hashes")),
        "hash_tile_path": tile::TileCoord { level: 0, index: 0, width: 5 }.path(),
    })
}

#[test]
fn the_documented_vectors_are_what_the_code_computes() {
    let path = Path::new(&std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is"))
        .join("../docs/vectors/proof.json");
    let computed = json!({
        "about": "Test vectors of docs/formats.md. Bytes are hexadecimal; seeds are Ed25519 and VRF private keys.",
        "batch": batch_vectors(), "tag": tag_vectors(), "log": log_vectors(),
    });
    if std::env::var_os("SILLAGE_BLESS").is_some() {
        let text = serde_json::to_string_pretty(&computed).expect("JSON");
        std::fs::write(&path, text + "\n").expect("a writable file");
    }
    let text = std::fs::read_to_string(&path).expect("docs/vectors/proof.json");
    let documented: Value = serde_json::from_str(&text).expect("JSON");
    for part in ["batch", "tag", "log"] {
        let fields = computed[part].as_object().expect("an object");
        for (field, value) in fields {
            assert_eq!(&documented[part][field], value, "{part}.{field}");
        }
    }
    assert_eq!(documented, computed);
}
