//! A leader that puts a batch into the log that its author never signed: no node takes it, and none cosigns it.

mod common;

use std::sync::Arc;

use common::{Author, Deployment, key, now_ms};
use prost::Message as _;
use sillage_ledger::seal::KekFile;
use sillage_ledger::{BatchFault, CommandOutcome, Ledger, Options};
use sillage_node::core::checkpointing::cosign::{Unverified, verify_step};
use sillage_proof::LeafIndex;
use sillage_proof::batch::BatchMessage;
use sillage_proof::keys::SigningKey;
use sillage_proto::internal::v1::{Command, SealedBatch, SealedRecord};
use sillage_proto::v1::{Batch, LedgerAct, NodeKeyRotated, PublicKey, ledger_act};
use sillage_rules::codes::Code;
use sillage_rules::entry::Entry;
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
            tag: vec![0; 32].into(),
            record_hash: record_hash(&salt, &salted.record).as_bytes().to_vec().into(),
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

/// A ledger, a batch that the authority signed, and one that nobody did.
fn with_forged(deployment: &Deployment, verify_at_apply: bool) -> (Ledger, SealedBatch, SealedBatch) {
    let genesis = std::fs::read(deployment.path("genesis.bin")).expect("a genesis");
    let keks = Arc::new(KekFile::open(&deployment.path("node-1/keys/keyring")).expect("a keyring"));
    let options = Options { verify_at_apply, ..Options::default() };
    let ledger = Ledger::open(&deployment.path("ledger"), &genesis, keks, options).expect("a ledger");
    let mut author = Author::new(key(&deployment.path("keys/authority.key")));
    let signed = sealed(author.batch(&act(1)));
    let mut forged = sealed(author.batch(&act(2)));
    forged.signature[0] ^= 1;
    (ledger, signed, forged)
}

fn apply(ledger: &mut Ledger, index: u64, batch: &SealedBatch) -> CommandOutcome {
    let command = Command { version: 1, batches: vec![batch.clone()], ..Command::default() };
    ledger.apply(index, 1, now_ms(), &command.encode_to_vec()).expect("applied").remove(0)
}

#[test]
fn a_batch_that_nobody_signed_is_refused_by_every_node_whoever_leads() {
    let deployment = Deployment::new(1);
    let (mut ledger, signed, forged) = with_forged(&deployment, true);
    assert!(matches!(apply(&mut ledger, 1, &signed), CommandOutcome::Done { .. }));
    let (size, root) = (ledger.reader().tree_size(), ledger.reader().root());
    let outcome = apply(&mut ledger, 2, &forged);
    assert!(matches!(&outcome, CommandOutcome::Refused(refusal) if refusal.code == Code::BadSignature), "{outcome:?}");
    assert_eq!((ledger.reader().tree_size(), ledger.reader().root()), (size, root), "nothing of it is recorded");
}

#[test]
fn a_batch_that_nobody_signed_is_found_before_anything_is_cosigned() {
    let deployment = Deployment::new(1);
    // As in a snapshot of a group that took it.
    let (mut ledger, signed, forged) = with_forged(&deployment, false);
    for (index, batch) in (1..).zip([&signed, &forged]) {
        let outcome = apply(&mut ledger, index, batch);
        assert!(matches!(outcome, CommandOutcome::Done { .. }), "{outcome:?}");
    }
    let commit = Command { version: 2, index_commit: true, ..Command::default() };
    ledger.apply(3, 1, now_ms(), &commit.encode_to_vec()).expect("applied");
    let reader = ledger.entry_reader();
    // Genesis, header, record, header, record, index commit.
    let size = reader.tree_size().get();
    assert_eq!(size, 6);

    assert_eq!(verify_step(&reader, 0, 3).expect("the first batch is good"), 3);
    for from in [0, 3] {
        let fault = verify_step(&reader, from, size).expect_err("the second isn't");
        assert!(matches!(fault, Unverified::Batch(BatchFault::Signature(index)) if index.get() == 3), "{fault}");
    }
    for (from, to) in [(0, 2), (2, size)] {
        let fault = verify_step(&reader, from, to).expect_err("batches are whole");
        assert!(matches!(fault, Unverified::Layout(_)), "{fault}");
    }
    // What this process has verified isn't verified again.
    let Some(Entry::BatchHeader(header)) = reader.decoded_entry(LeafIndex(3)).expect("readable") else {
        panic!("a header");
    };
    let message = BatchMessage {
        key_id: header.key_id,
        origin: reader.genesis().origin.clone(),
        stream_id: header.stream_id,
        seq: header.seq,
        count: header.count,
        root: header.root,
    };
    reader.verified().add(&message.encode(), &header.signature);
    assert_eq!(verify_step(&reader, 0, size).expect("taken on trust in itself"), size);
}
