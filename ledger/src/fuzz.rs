//! Fuzz targets: what a node reads from disk, from its operator and from the order of commands. None may panic, and
//! what is accepted is spelled in its one form. The behaviour of a whole ledger under arbitrary commands is tested on a
//! ledger.

use prost::Message as _;
use sillage_proof::hash::{LedgerTimeMs, sha256};
use sillage_proto::internal::v1::Command;

use crate::apply::check::Shape;
use crate::apply::own;
use crate::envelope::{Keyring, layout};
use crate::genesis::GenesisInfo;
use crate::index::row::{self, Row};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target with its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("genesis", fuzz_genesis),
    ("keyring", fuzz_keyring),
    ("sealed_payload", fuzz_sealed_payload),
    ("wrapped_key", fuzz_wrapped_key),
    ("command", fuzz_command),
    ("index_row", fuzz_index_row),
];

/// Genesis entries.
pub fn fuzz_genesis(data: &[u8]) {
    if let Ok(genesis) = GenesisInfo::parse(data) {
        assert_eq!(genesis.bytes, data);
        assert!(!genesis.parties.is_empty() && !genesis.nodes.is_empty());
        assert!(genesis.nodes.iter().all(|node| genesis.node(node.id).is_some_and(|found| found.key == node.key)));
        assert!(genesis.covers(&genesis.tag_first) && genesis.covers(&genesis.tag_last));
    }
}

/// Keyring files, as they stand and behind a checksum that fits.
pub fn fuzz_keyring(data: &[u8]) {
    let summed = [data, sha256(&[data]).as_ref()].concat();
    for bytes in [data, &summed] {
        if let Some(keyring) = Keyring::decode(bytes) {
            assert_eq!(*keyring.encode(), bytes);
        }
    }
}

/// Sealed payloads.
pub fn fuzz_sealed_payload(data: &[u8]) {
    let parts = layout::split_payload(data);
    assert_eq!(layout::data_key_id(data), parts.map(|(id, ..)| id));
    if let Some((id, nonce, sealed)) = parts {
        assert_eq!([&layout::payload_header(&id, &nonce)[..], sealed].concat(), data);
        assert!(data.len() > layout::OVERHEAD);
    }
}

/// Wrapped data keys.
pub fn fuzz_wrapped_key(data: &[u8]) {
    let parts = layout::split_wrapped(data);
    assert_eq!(layout::is_wrapped(data), parts.is_some());
    if let Some((epoch, nonce, sealed)) = parts {
        assert_eq!(layout::wrapped(epoch, &nonce, &sealed), data);
    }
}

/// Rows of the patients' index, under the key that they begin with.
pub fn fuzz_index_row(data: &[u8]) {
    let (key, value) = data.split_at(data.len().min(32));
    if let Ok(row) = Row::decode(key, value) {
        assert_eq!(row.ikey.as_bytes(), key);
        assert_eq!(row::value(&row.hash, &row.frontier), value);
    }
}

/// Commands: what can be checked of their parts without a ledger.
pub fn fuzz_command(data: &[u8]) {
    let Ok(command) = Command::decode(data) else {
        return;
    };
    for record in &command.ledger_records {
        if let Ok(own) = own::check(record, LedgerTimeMs(u64::MAX)) {
            assert_eq!(own.payload, [&record.salt[..], &record.record].concat());
        }
    }
    for batch in command.batches {
        if let Ok(shape) = Shape::of(&batch) {
            assert_eq!(shape.records.len(), batch.records.len());
            assert_eq!(shape.root.as_bytes(), &batch.root[..]);
        }
    }
}
