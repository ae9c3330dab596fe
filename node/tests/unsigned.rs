//! A leader that puts a batch into the log that its author never signed gets no cosignature for it.

mod common;

use std::sync::Arc;

use common::{Author, Deployment, key, now_ms};
use prost::Message as _;
use sillage_ledger::seal::Keyring;
use sillage_ledger::{BatchFault, BatchOutcome, Ledger, Options};
use sillage_node::core::cosign::{Seen, Unverified, verify_step};
use sillage_proof::keys::SigningKey;
use sillage_proto::internal::v1::{Command, SealedBatch, SealedRecord};
use sillage_proto::v1::{Batch, LedgerAct, NodeKeyRotated, PublicKey, ledger_act};
use sillage_rules::facts::facts_of;
use sillage_rules::kind::Kind;
use sillage_rules::record::{ParsedRecord, new_message, record_hash};

/// An act of the authority: it needs no sealing.
fn act(seed: u8) -> sillage_proto::v1::Record {
    let key = SigningKey::from_seed(&[seed; 32]).public_key();
    let key = Some(PublicKey { alg: 1, key: key.as_bytes().to_vec() });
    let mut record = new_message(Kind::KEY_ROTATED, None, now_ms());
    record.act = Some(LedgerAct { act: Some(ledger_act::Act::NodeKey(NodeKeyRotated { node_id: 1, key })) });
    record
}

fn sealed(batch: Batch) -> SealedBatch {
    let records = batch.records.iter().map(|salted| {
        let record = ParsedRecord::parse(&salted.record).expect("a record");
        let salt = salted.salt[..].try_into().expect("16 bytes");
        SealedRecord {
            kind: record.kind().code().into(),
            tag: vec![0; 32],
            record_hash: record_hash(&salt, &salted.record).as_bytes().to_vec(),
            payload: [&salted.salt[..], &salted.record[..]].concat().into(),
            occurred_at_ms: record.occurred_at_ms(),
            facts: facts_of(&record),
        }
    });
    SealedBatch {
        alg: batch.alg,
        records: records.collect(),
        key_id: batch.key_id,
        stream_label: batch.stream_label,
        seq: batch.seq,
        root: batch.root,
        signature: batch.signature,
        new_keys: Vec::new(),
    }
}

#[test]
fn a_batch_that_nobody_signed_is_found_before_anything_is_cosigned() {
    let deployment = Deployment::new(1);
    let genesis = std::fs::read(deployment.path("genesis.bin")).expect("a genesis");
    let keks = Arc::new(Keyring::generate().expect("randomness"));
    let mut ledger = Ledger::open(&deployment.path("ledger"), &genesis, keks, Options::default()).expect("a ledger");
    let mut author = Author::new(key(&deployment.path("keys/authority.key")));
    let signed = sealed(author.batch(&act(1)));
    let mut forged = sealed(author.batch(&act(2)));
    forged.signature[0] ^= 1;
    let mut apply = |index, command: Command| {
        ledger.apply(index, 1, now_ms(), &command.encode_to_vec()).expect("applied").remove(0)
    };
    for (index, batch) in (1..).zip([&signed, &forged]) {
        let command = Command { version: 1, batches: vec![batch.clone()], ..Command::default() };
        let outcome = apply(index, command);
        assert!(matches!(outcome, BatchOutcome::Done { .. }), "apply leaves signatures to admission: {outcome:?}");
    }
    apply(3, Command { version: 2, index_commit: true, ..Command::default() });
    let reader = ledger.reader();
    // Genesis, header, record, header, record, index commit.
    let size = reader.tree_size().get();
    assert_eq!(size, 6);

    let seen = Seen::default();
    assert_eq!(verify_step(&reader, &seen, 0, 3).expect("the first batch is good"), 3);
    for from in [0, 3] {
        let fault = verify_step(&reader, &seen, from, size).expect_err("the second isn't");
        assert!(matches!(fault, Unverified::Batch(BatchFault::Signature(index)) if index.get() == 3), "{fault}");
    }
    for (from, to) in [(0, 2), (2, size)] {
        let fault = verify_step(&reader, &seen, from, to).expect_err("batches are whole");
        assert!(matches!(fault, Unverified::Layout(_)), "{fault}");
    }
    // What this process verified when it came in isn't verified again: these are the very bytes that it saw.
    seen.add_sealed(&reader, &signed);
    assert!(verify_step(&reader, &seen, 0, size).is_err());
    seen.add_sealed(&reader, &forged);
    assert_eq!(verify_step(&reader, &seen, 0, size).expect("taken on trust in itself"), size);
}
