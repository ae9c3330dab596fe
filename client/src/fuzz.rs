//! Fuzz targets: files of others, this machine's own after a crash or rot, and the answers of a node that lies. None may
//! panic, and what is believed is what was promised.

use std::path::PathBuf;

use prost::Message as _;
use sillage_proof::batch::{Origin, ReceiptMessage, batch_root};
use sillage_proof::hash::{LeafIndex, LedgerTimeMs, sha256};
use sillage_proof::keys::{AuthorId, SigningKey};
use sillage_proto::v1;
use sillage_rules::entry::{Entry, Flags, RecordEntry};
use sillage_rules::kind::Kind;
use sillage_rules::record::{ParsedRecord, new_message};

use crate::author::{SignedBatch, Signer, verify_receipt};
use crate::authorize::receipt::ReceiptFile;
use crate::checks::{check_line, hashes, verify_checkpoint};
use crate::error::verdict;
use crate::outbox::{Done, Source};
use crate::outbox::{decode_pending, encode_pending, parse_done};
use crate::profile::Profile;
use crate::state::Seen;
use crate::trust::Trust;
use sillage_words::sentence::sentence;
use sillage_words::{Decision, Event, Lang};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target with its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("profile", fuzz_profile),
    ("outbox_batch", fuzz_outbox_batch),
    ("outbox_done", fuzz_outbox_done),
    ("state", fuzz_state),
    ("receipt", fuzz_receipt),
    ("trace_line", fuzz_trace_line),
    ("receipt_file", fuzz_receipt_file),
    ("checkpoint", fuzz_checkpoint),
    ("refusal", fuzz_refusal),
];

fn text(data: &[u8]) -> &str {
    std::str::from_utf8(data).unwrap_or_default()
}

/// Profiles.
pub fn fuzz_profile(data: &[u8]) {
    if let Ok(profile) = Profile::parse(text(data), PathBuf::from("/dir")) {
        assert!(profile.endpoints.iter().all(|url| url.starts_with("https://")) && !profile.endpoints.is_empty());
        assert!((1..=64).contains(&profile.stream.len()));
    }
}

/// The batch on its way, as it stands and behind a checksum that fits.
pub fn fuzz_outbox_batch(data: &[u8]) {
    let summed = [data, sha256(&[data]).as_ref()].concat();
    for bytes in [data, &summed] {
        if let Some(pending) = decode_pending(bytes) {
            assert_eq!(decode_pending(&encode_pending(&pending)), Some(pending.clone()));
            let _ = signer().restore(pending.batch);
        }
    }
}

/// Acknowledged batches.
pub fn fuzz_outbox_done(data: &[u8]) {
    let Ok(lines) = parse_done(data) else {
        return;
    };
    let done = Done::new(lines.clone());
    for line in lines {
        assert!(line.seq <= done.last_seq());
        if let Source::File { sha256, first } = line.source {
            let _ = done.of_file(&sha256, first);
            let _ = done.of_file(&sha256, first.saturating_add(u64::from(line.count)).saturating_sub(1));
        }
    }
}

/// Checkpoints that the log has shown.
pub fn fuzz_state(data: &[u8]) {
    if let Ok(seen) = serde_json::from_slice::<Seen>(data) {
        let written = serde_json::to_vec(&seen).expect("plain data");
        assert_eq!(serde_json::from_slice::<Seen>(&written).expect("own JSON"), seen);
    }
}

fn node() -> SigningKey {
    SigningKey::from_seed(&[9; 32])
}

fn origin() -> Origin {
    Origin::new("test/log").expect("a name")
}

fn signer() -> Signer {
    let key = SigningKey::from_seed(&[3; 32]);
    Signer { origin: origin(), author_id: AuthorId::of_first_key(&key.public_key()), key }
}

/// The batch that [`fuzz_receipt`] has sent.
fn sent() -> SignedBatch {
    let message = new_message(Kind::SYSTEM_EVENT, None, 1_000);
    let record = ParsedRecord::from_message(message).expect("a record");
    let root = batch_root(&[record.batch_leaf(record.record_hash(&[1; 16]))]);
    let record = v1::SaltedRecord { salt: vec![1; 16], record: record.into_bytes() };
    let batch = v1::Batch {
        alg: 1,
        key_id: signer().key.key_id().to_bytes().to_vec(),
        stream_label: "cli".to_owned(),
        seq: 7,
        root: root.to_bytes().to_vec(),
        signature: vec![0; 64],
        records: vec![record],
    };
    signer().restore(batch).expect("a whole batch")
}

/// Well-formed input for [`fuzz_receipt`].
pub fn receipt_seed() -> Vec<u8> {
    let mut batch = sent().message;
    batch.key_id = node().key_id();
    ReceiptMessage { batch, first_index: 41.into(), time_ms: 1_000.into() }.encode()
}

/// Receipts: as they come, and signed by a node of the log that says whatever it likes.
pub fn fuzz_receipt(data: &[u8]) {
    let key = v1::PublicKey { alg: 1, key: node().public_key().to_bytes().to_vec() };
    let nodes = [v1::NodeIdentity { id: 1, key: Some(key), ..v1::NodeIdentity::default() }];
    let sent = sent();
    if let Ok(receipt) = v1::Receipt::decode(data) {
        let _ = verify_receipt(&sent, &receipt, &nodes);
    }
    let Ok(said) = ReceiptMessage::decode(data) else {
        return;
    };
    if said.batch.key_id != node().key_id() {
        return;
    }
    let receipt = v1::Receipt { message: data.to_vec(), signature: said.sign(&node()).to_vec() };
    if let Ok(verified) = verify_receipt(&sent, &receipt, &nodes) {
        assert_eq!((verified.seq, verified.count), (sent.message.seq, sent.message.count));
        assert!(verified.first_index.checked_add(u64::from(verified.count)).is_some());
    }
}

/// Well-formed input for [`fuzz_trace_line`].
pub fn trace_line_seed() -> v1::TraceLine {
    let (tag, salt) = ([5; 32], [9; 16]);
    let mut message = new_message(Kind::ACCESS_READ, Some(&tag), 1_000);
    message.actor = Some(v1::Actor { id: "1".into(), ..v1::Actor::default() });
    let record = ParsedRecord::from_message(message).expect("a record");
    let entry = RecordEntry {
        index: LeafIndex(41),
        time: LedgerTimeMs(2_000),
        flags: Flags::UNJUSTIFIED,
        kind: Kind::ACCESS_READ,
        tag,
        record_hash: record.record_hash(&salt),
        position: 0,
    };
    v1::TraceLine {
        index: 41,
        entry: Entry::Record(entry).encode(),
        salt: salt.to_vec(),
        record: record.into_bytes(),
        author: "dmp".into(),
        author_id: vec![4; 32],
        erased: None,
        voided: None,
    }
}

/// Lines of a trace: what is believed can be said.
pub fn fuzz_trace_line(data: &[u8]) {
    for event in events(data) {
        for lang in [Lang::Fr, Lang::En] {
            assert!(!sentence(&event, lang).contains('\n'));
        }
    }
}

/// The events of a record, or of a line of a trace as far as it is believed, for whoever shows them.
pub fn events(data: &[u8]) -> Vec<Event> {
    let mut out: Vec<Event> = ParsedRecord::parse(data).iter().map(|record| of_record(u64::MAX, record)).collect();
    let Ok(line) = v1::TraceLine::decode(data) else {
        return out;
    };
    let _ = hashes(&[line.salt.clone(), line.entry.clone()]);
    let Ok(Entry::Record(entry)) = Entry::decode(&line.entry) else {
        return out;
    };
    let index = line.index;
    if let Ok(checked) = check_line(line, &entry.tag, 86_400_000) {
        assert_eq!(checked.entry.index.get(), index);
        out.extend(checked.record.iter().map(|record| of_record(checked.entry.time.get(), record)));
        let decision = checked.decision.as_ref();
        out.extend(decision.map(|decision| Event { kind: entry.kind, ..shown(Some(decision.into()), None, 0) }));
    }
    out
}

fn of_record(recorded_at_ms: u64, record: &ParsedRecord) -> Event {
    let event = shown(None, Some(record.message().clone()), recorded_at_ms);
    Event { kind: record.kind(), ..event }
}

fn shown(decision: Option<Decision>, record: Option<v1::Record>, recorded_at_ms: u64) -> Event {
    Event {
        index: 1,
        flags: Flags::UNJUSTIFIED,
        kind: Kind::DECISION_MADE,
        recorded_at_ms,
        record,
        decision,
        erased: None,
        voided: None,
        author: String::new(),
        secret: false,
    }
}

/// Receipts of decisions, and logs of emergencies.
pub fn fuzz_receipt_file(data: &[u8]) {
    if let Ok(file) = ReceiptFile::parse(data) {
        assert_eq!(file.encode(), data);
        assert!(file.verify(&[]).is_err(), "nobody is trusted");
    }
    let origin = Origin::new("test/log").expect("a name");
    if let Ok(lines) = crate::emergency_mode::chain::verify(text(data), &origin, &node().public_key()) {
        assert!(lines.windows(2).all(|pair| pair[0].time <= pair[1].time));
    }
}

/// Checkpoints of a node.
pub fn fuzz_checkpoint(data: &[u8]) {
    let log_public_key = node().public_key().to_bytes().to_vec();
    let genesis = v1::Genesis { log_public_key, ..v1::Genesis::default() };
    let trust = Trust::first(&Origin::new("test/log").expect("a name"), &genesis).expect("a key");
    if let Ok(verified) = verify_checkpoint(text(data), &trust) {
        assert_eq!(verified.note.to_string(), text(data));
    }
}

/// Details of a refusal.
pub fn fuzz_refusal(data: &[u8]) {
    let status = tonic::Status::with_details(tonic::Code::FailedPrecondition, text(data), data.to_vec().into());
    let _ = verdict(&status);
}
