//! Checks of entries that need nothing that came before: done beside the replay, on as many cores as there are.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use sillage_proof::batch::{BatchLeaf, BatchMessage, Origin, hash_batch_leaves};
use sillage_proof::hash::{Hash, hash_leaves};
use sillage_proof::keys::{KeyId, PublicKey};
use sillage_proto::v1::LogEntry;
use sillage_rules::act::Act;
use sillage_rules::entry::{BatchHeader, Entry, RecordEntry};
use sillage_rules::index::{ikey, patient_leaves};
use sillage_rules::limits::SALT_BYTES;
use sillage_rules::record::ParsedRecord;

use super::registry::NO_PATIENT;

/// Public keys by their ids. An id is the hash of its key, so that a key may be kept here before anyone has said that
/// it may sign: whether it may is the replay's affair.
#[derive(Debug, Default)]
pub struct KeyBook(RwLock<HashMap<KeyId, PublicKey>>);

impl KeyBook {
    pub(super) fn add(&self, key: &PublicKey) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key.key_id(), *key);
    }

    fn get(&self, id: &KeyId) -> Option<PublicKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).copied()
    }
}

/// The state of a batch's signature: checked, or still to be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signature {
    /// It matches, under the key that the header names.
    Good,
    /// It doesn't.
    Bad,
    /// The key wasn't known yet: the replay verifies it.
    Unverified,
}

/// One entry, as far as it can be judged by itself.
#[derive(Debug)]
pub struct Prepared {
    /// The entry; or why it isn't one.
    pub(super) entry: Result<Entry, String>,
    /// Its leaf in the log tree.
    pub(super) leaf: Hash,
    /// Of a record, its leaf in the batch tree.
    pub(super) batch_leaf: Option<Hash>,
    /// Its patient's key in the index, and its leaf in that patient's tree.
    pub(super) patient: Option<(Hash, Hash)>,
    /// The record, where it is public by nature and was shown; or why it isn't the one of this entry.
    pub(super) opened: Option<Result<ParsedRecord, String>>,
    /// Of a batch header.
    pub(super) signature: Signature,
}

/// Decodes, hashes and verifies entries that follow each other.
pub fn prepare(entries: &[LogEntry], origin: &Origin, book: &KeyBook) -> Vec<Prepared> {
    let bytes: Vec<&[u8]> = entries.iter().map(|entry| entry.entry.as_slice()).collect();
    let mut leaves = Vec::with_capacity(entries.len());
    hash_leaves(&bytes, &mut leaves);
    let mut prepared: Vec<Prepared> = entries.iter().zip(leaves).map(|(entry, leaf)| decoded(entry, leaf)).collect();
    // Keys first: a batch may follow close on the act that registers its key.
    prepared.iter().filter_map(|one| one.opened.as_ref()?.as_ref().ok()?.act()).for_each(|act| keep_key(act, book));
    add_batch_leaves(&mut prepared);
    add_patients(&mut prepared);
    for one in &mut prepared {
        if let Ok(Entry::BatchHeader(header)) = &one.entry
            && let Some(key) = book.get(&header.key_id)
        {
            one.signature = verify(header, origin, &key);
        }
    }
    prepared
}

fn decoded(raw: &LogEntry, leaf: Hash) -> Prepared {
    let entry = Entry::decode(&raw.entry).map_err(|error| error.to_string());
    let opened = match &entry {
        Ok(Entry::Record(entry)) if !raw.record.is_empty() => Some(open(raw, entry)),
        _ => None,
    };
    Prepared { entry, leaf, batch_leaf: None, patient: None, opened, signature: Signature::Unverified }
}

fn open(raw: &LogEntry, entry: &RecordEntry) -> Result<ParsedRecord, String> {
    let salt: &[u8; SALT_BYTES] = raw.salt.as_slice().try_into().map_err(|_| "no salt of 16 bytes".to_owned())?;
    let record = ParsedRecord::parse(&raw.record).map_err(|error| error.to_string())?;
    if record.record_hash(salt) != entry.record_hash {
        return Err(format!("a record that hashes to {}", record.record_hash(salt)));
    }
    if record.kind() != entry.kind || record.entry_tag() != entry.tag {
        return Err("a record of another kind or patient than its entry".to_owned());
    }
    Ok(record)
}

fn keep_key(act: &Act, book: &KeyBook) {
    match act {
        Act::Registered(party) => book.add(&party.key),
        Act::Rotated { key, .. } => book.add(key),
        _ => {}
    }
}

/// Hashes what authors signed of their records in one batch.
fn add_batch_leaves(prepared: &mut [Prepared]) {
    let of_record = |one: &Prepared| match &one.entry {
        Ok(Entry::Record(entry)) => Some(entry.batch_leaf()),
        _ => None,
    };
    let stated: Vec<BatchLeaf> = prepared.iter().filter_map(of_record).collect();
    let mut leaves = Vec::with_capacity(stated.len());
    hash_batch_leaves(&stated, &mut leaves);
    let records = prepared.iter_mut().filter(|one| matches!(one.entry, Ok(Entry::Record(_))));
    for (one, leaf) in records.zip(leaves) {
        one.batch_leaf = Some(leaf);
    }
}

/// Hashes the patients' leaves in one batch.
fn add_patients(prepared: &mut [Prepared]) {
    let of_patient = |one: &Prepared| match &one.entry {
        Ok(Entry::Record(entry)) if entry.tag != NO_PATIENT => Some((entry.tag, (one.leaf, entry.record_hash))),
        _ => None,
    };
    let pairs: Vec<(Hash, Hash)> = prepared.iter().filter_map(of_patient).map(|(_, pair)| pair).collect();
    let mut leaves = Vec::with_capacity(pairs.len());
    patient_leaves(&pairs, &mut leaves);
    let mut leaves = leaves.into_iter();
    for one in prepared {
        if let Some((tag, _)) = of_patient(one) {
            let leaf = leaves.next().expect("a leaf for each pair");
            one.patient = Some((ikey(&tag), leaf));
        }
    }
}

pub(super) fn verify(header: &BatchHeader, origin: &Origin, key: &PublicKey) -> Signature {
    let message = BatchMessage {
        key_id: header.key_id,
        origin: origin.clone(),
        stream_id: header.stream_id,
        seq: header.seq,
        count: header.count,
        root: header.root,
    };
    if message.verify(key, &header.signature).is_ok() { Signature::Good } else { Signature::Bad }
}
