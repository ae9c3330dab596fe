//! A small log to test with: its genesis, its parties, and batches as an admitting node would hand them over.
#![allow(dead_code)] // each test file uses its own part

pub mod naive;
pub mod world;

use std::sync::{Arc, LazyLock};

use prost::Message;
use sillage_ledger::seal::{KekProvider, Keyring, TagPrefix, layout};
use sillage_ledger::{CommandOutcome, Ledger, Options};
use sillage_proof::batch::{BatchLeaf, BatchMessage, Origin, batch_root};
use sillage_proof::hash::{Hash, leaf_hash};
use sillage_proof::keys::{AuthorId, SigningKey, StreamId};
use sillage_proof::tag::{Identity, PatientTag, WhichTag};
use sillage_proof::vrf::VrfSecretKey;
use sillage_proto::internal::v1::{Command, LedgerRecord, SealedBatch, SealedRecord, WrappedKey};
use sillage_proto::v1::{self, Automated, Genesis, NodeIdentity, PublicKey};
use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::codes::Code;
use sillage_rules::decide::TagPairing;
use sillage_rules::facts;
use sillage_rules::kind::Kind;
use sillage_rules::record::{ParsedRecord, act_message, new_message};
use sillage_rules::roles::Roles;
use sillage_rules::vouching::Vouching;

pub const ORIGIN: &str = "test.example/log";
pub const START_MS: u64 = 1_700_000_000_000;
pub const DAY_MS: u64 = 86_400_000;

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

pub fn author_id(seed: u8) -> AuthorId {
    AuthorId::of_first_key(&key(seed).public_key())
}

/// A patient whose tag is in the range of the log.
pub fn tag(number: u8) -> [u8; 32] {
    let mut tag = [0x40; 32];
    tag[31] = number;
    tag
}

/// The key with which the tags of the log's patients are made.
pub fn vrf_key() -> VrfSecretKey {
    VrfSecretKey::from_seed([9; 32])
}

/// A patient of this log with a secret tag, and what proves that both are theirs.
pub struct TwoTags {
    pub open: [u8; 32],
    pub secret: [u8; 32],
    pub pairing: TagPairing,
    pub message: v1::TagPairing,
}

/// Patients whose tags are really made of an identity.
pub fn two_tags(number: u8) -> &'static TwoTags {
    static MADE: LazyLock<Vec<TwoTags>> = LazyLock::new(|| {
        let of_log = |tag: &[u8; 32]| (0x10..=0x7f).contains(&tag[0]);
        (100..).map(made).filter(|made| of_log(&made.open) && of_log(&made.secret)).take(8).collect()
    });
    &MADE[usize::from(number)]
}

/// The proof of the two tags of a patient, where it has them.
pub fn pairing_of(open: &[u8; 32]) -> Option<TagPairing> {
    (0..8).map(two_tags).find(|made| made.open == *open).map(|made| made.pairing.clone())
}

fn made(number: u32) -> TwoTags {
    let (ins, oid) = (format!("279035121518{number}"), "1.2.250.1.213.1.4.10");
    let identity = Identity::new(&ins, oid).expect("well formed");
    let (open, proof) = PatientTag::resolve(&vrf_key(), &identity, WhichTag::Open);
    let (secret, secret_proof) = PatientTag::resolve(&vrf_key(), &identity, WhichTag::Secret);
    let message = v1::TagPairing {
        patient: Some(v1::PatientIdentity { ins, oid: oid.into() }),
        proof: proof.to_bytes().to_vec(),
        secret_proof: secret_proof.to_bytes().to_vec(),
    };
    let pairing = TagPairing::from_message(&message).expect("well formed");
    TwoTags { open: open.to_bytes(), secret: secret.to_bytes(), pairing, message }
}

pub fn registration(seed: u8, roles: Roles) -> PartyRegistration {
    PartyRegistration {
        key: key(seed).public_key(),
        name: format!("service {seed}"),
        roles,
        tls_spki_sha256: vec![[seed; 32]],
        quota_events_per_s: 0,
        patient_tag: None,
        patient_secret_tag: None,
        patient_commitment: None,
        vouching: Vouching::default(),
    }
}

/// Party 1 is the authority, 2 and 3 are authors.
pub fn genesis() -> Vec<u8> {
    genesis_of(true)
}

/// The same, of a log for tests or of one of real persons.
pub fn genesis_of(test_log: bool) -> Vec<u8> {
    let node = |id: u8| NodeIdentity {
        id: u64::from(id),
        name: format!("node-{id}"),
        key: Some(PublicKey { alg: 1, key: key(100 + id).public_key().to_bytes().to_vec() }),
        tls_spki_sha256: vec![100 + id; 32],
    };
    let parties = [
        registration(1, Roles::AUTHORITY),
        registration(2, Roles::AUTHOR),
        registration(3, Roles::AUTHOR | Roles::READER),
    ];
    Genesis {
        version: 1,
        origin: ORIGIN.into(),
        created_ms: START_MS,
        log_public_key: key(99).public_key().to_bytes().to_vec(),
        vrf_public_key: vrf_key().public_key().as_bytes().to_vec(),
        tag_first: vec![0x10; 32],
        tag_last: vec![0x7f; 32],
        test_log,
        late_after_ms: DAY_MS,
        index_depth: 12,
        quota_events_per_s: 0,
        nodes: (1..=3).map(node).collect(),
        parties: parties.iter().map(PartyRegistration::to_message).collect(),
        nonce: vec![1; 32],
        feature_level: 0,
        issuers: vec![],
        rule: None,
    }
    .encode_to_vec()
}

/// Flushes only when told, so that a copy of the folder is what a power failure would leave.
pub fn quiet() -> Options {
    Options { background_flush: false, auto_compaction: false, ..Options::default() }
}

/// The keyring that all nodes of these tests share.
pub fn keks() -> Arc<dyn KekProvider> {
    keyring()
}

/// The same, to be saved.
pub fn keyring() -> Arc<Keyring> {
    static KEKS: LazyLock<Arc<Keyring>> = LazyLock::new(|| Arc::new(Keyring::generate().expect("randomness")));
    KEKS.clone()
}

pub fn open(dir: &std::path::Path) -> Ledger {
    open_with(dir, keks())
}

pub fn open_with(dir: &std::path::Path, keks: Arc<dyn KekProvider>) -> Ledger {
    Ledger::open(dir, &genesis(), keks, quiet()).expect("a ledger")
}

/// A record as it looks from outside: sealed under the data key `[key; 16]` of its patient.
pub fn record(number: u64, tag: [u8; 32], key: u8) -> SealedRecord {
    let mut payload = vec![1, 1];
    payload.extend([key; 16]);
    payload.extend([0x5a; 12 + 40]);
    payload.extend(number.to_be_bytes());
    SealedRecord {
        kind: u32::from(Kind::ACCESS_READ.code()),
        tag: tag.to_vec().into(),
        record_hash: leaf_hash(&number.to_be_bytes()).as_bytes().to_vec().into(),
        payload: payload.into(),
        occurred_at_ms: START_MS,
        facts: facts::HAS_BASIS,
    }
}

/// The data key `[key; 16]` of a patient, under the first epoch of [`keks`].
pub fn wrapped(tag: [u8; 32], key: u8) -> WrappedKey {
    let (id, nonce) = ([key; 16], [key; 12]);
    let aad = layout::wrapped_aad(&Origin::new(ORIGIN).expect("valid"), &tag, &id, 1);
    let sealed = keks().wrap((TagPrefix::of(&tag), 1), &nonce, &aad, &[key; 32]).expect("the key is there");
    let wrapped = [&[1, 1, 0, 0, 0, 1][..], &nonce, &sealed].concat();
    WrappedKey { tag: tag.to_vec(), data_key_id: id.to_vec(), wrapped }
}

/// An act, with its salt in clear.
pub fn act(act: &Act) -> SealedRecord {
    let record = ParsedRecord::from_message(act_message(act, START_MS)).expect("a valid act");
    let mut payload = vec![7; 16];
    payload.extend_from_slice(record.bytes());
    SealedRecord {
        kind: u32::from(record.kind().code()),
        tag: vec![0; 32].into(),
        record_hash: leaf_hash(&payload).as_bytes().to_vec().into(),
        payload: payload.into(),
        occurred_at_ms: START_MS,
        facts: facts::facts_of(&record),
    }
}

/// The leaf that an author signs of a record that is to be filed like this one.
pub fn leaf_of(record: &SealedRecord) -> BatchLeaf {
    let stated = [0, 0x10, 4, 0x14, 0x20, 0x30, 0x24, 0x34][record.facts as usize & 7];
    BatchLeaf {
        kind: record.kind as u16,
        stated,
        tag: record.tag[..].try_into().expect("32 bytes"),
        record_hash: Hash::from_slice(&record.record_hash).expect("32 bytes"),
    }
}

pub fn root_of(records: &[SealedRecord]) -> Hash {
    batch_root(&records.iter().map(leaf_of).collect::<Vec<_>>())
}

/// A batch of party `author`, signed with `signer`, carrying every data key that its records name.
pub fn batch_by(author: u8, signer: &SigningKey, label: &str, seq: u64, records: Vec<SealedRecord>) -> SealedBatch {
    let root = root_of(&records);
    let message = BatchMessage {
        key_id: signer.key_id(),
        origin: Origin::new(ORIGIN).expect("an origin"),
        stream_id: StreamId::new(&author_id(author), label),
        seq: seq.max(1),
        count: u32::try_from(records.len()).expect("few"),
        root,
    };
    let mut new_keys: Vec<WrappedKey> = Vec::new();
    for record in records.iter().filter(|record| record.payload.starts_with(&[1, 1])) {
        let tag = record.tag[..].try_into().expect("32 bytes");
        let key = wrapped(tag, record.payload[2]);
        if !new_keys.contains(&key) {
            new_keys.push(key);
        }
    }
    SealedBatch {
        alg: 1,
        key_id: signer.key_id().as_bytes().to_vec(),
        stream_label: label.into(),
        seq,
        root: root.as_bytes().to_vec(),
        signature: message.sign(signer).to_vec(),
        records,
        new_keys,
    }
}

pub fn batch(author: u8, label: &str, seq: u64, records: Vec<SealedRecord>) -> SealedBatch {
    batch_by(author, &key(author), label, seq, records)
}

pub fn command(batches: Vec<SealedBatch>) -> Vec<u8> {
    Command { version: 1, batches, ..Command::default() }.encode_to_vec()
}

/// A command of version 2.
pub fn command2(batches: Vec<SealedBatch>, ledger_records: Vec<LedgerRecord>, index_commit: bool) -> Vec<u8> {
    Command { version: 2, batches, ledger_records, index_commit, ..Command::default() }.encode_to_vec()
}

/// Applies an index commit right after the last command.
pub fn commit(ledger: &mut Ledger) -> CommandOutcome {
    let (index, _) = ledger.applied();
    let data = command2(Vec::new(), Vec::new(), true);
    let outcomes = ledger.apply(index + 1, 1, START_MS + 1_000 * (index + 1), &data);
    outcomes.expect("never by the fault of the input").remove(0)
}

/// A record of the ledger itself: someone read entries.
pub fn consulted(number: u64) -> LedgerRecord {
    let mut message = new_message(Kind::LOG_CONSULTED, None, START_MS + number);
    message.automated = Some(Automated { software: "sillage-node".into(), version: "test".into() });
    message.details = format!(r#"{{"first":{number}}}"#);
    let record = ParsedRecord::from_message(message).expect("a valid record");
    LedgerRecord { kind: u32::from(Kind::LOG_CONSULTED.code()), salt: vec![8; 16], record: record.into_bytes() }
}

/// Applies a command right after the last one.
pub fn apply(ledger: &mut Ledger, batches: Vec<SealedBatch>) -> Vec<CommandOutcome> {
    let (index, _) = ledger.applied();
    let time = START_MS + 1_000 * (index + 1);
    ledger.apply(index + 1, 1, time, &command(batches)).expect("never by the fault of the input")
}

/// Applies one batch and returns what became of it.
pub fn apply_one(ledger: &mut Ledger, batch: SealedBatch) -> CommandOutcome {
    let mut outcomes = apply(ledger, vec![batch]);
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

pub fn code(outcome: &CommandOutcome) -> Option<Code> {
    match outcome {
        CommandOutcome::Refused(refusal) => Some(refusal.code),
        _ => None,
    }
}

/// Copies what is on disk now: what a power failure would leave.
pub fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("writable");
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("readable").is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("writable");
        }
    }
}

/// Every leaf hash of the log, from its entries.
pub fn leaves(ledger: &Ledger) -> Vec<Hash> {
    let reader = ledger.entry_reader();
    (0..reader.tree_size().get())
        .map(|index| {
            let entry = reader.entry(index.into()).expect("readable");
            leaf_hash(&entry.expect("below the size"))
        })
        .collect()
}
