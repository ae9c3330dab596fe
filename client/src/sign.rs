//! From records to a signed batch. Pure but for the salts.

use sillage_proof::batch::{BatchLeaf, BatchMessage, BatchTree, Origin, ReceiptMessage};
use sillage_proof::hash::{Hash, hash_leaves};
use sillage_proof::keys::{ALG_ED25519, AuthorId, PublicKey, SigningKey, StreamId};
use sillage_proto::v1;
use sillage_rules::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, SALT_BYTES};
use sillage_rules::record::ParsedRecord;
use sillage_rules::stream::StreamLabel;

use crate::error::ClientError;

/// The signer, and the log for which it signs.
#[derive(Debug, Clone)]
pub struct Signer {
    /// Name of the log.
    pub origin: Origin,
    /// The author; stays when its key is rotated.
    pub author_id: AuthorId,
    /// The key that signs now.
    pub key: SigningKey,
}

/// A batch ready to send: the same bytes however often it is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct SignedBatch {
    /// The message that was signed.
    pub message: BatchMessage,
    /// The message that is sent.
    pub batch: v1::Batch,
}

/// A receipt that was checked: these records are on record, from this index on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedReceipt {
    /// Index of the first record's entry; the others follow in order.
    pub first_index: u64,
    /// How many.
    pub count: u32,
    /// Ledger time of the batch, ms since 1970.
    pub time_ms: u64,
    /// Number of the batch in its stream.
    pub seq: u64,
    /// The signed bytes (docs/formats.md §4).
    pub message: Vec<u8>,
    /// The node's signature.
    pub signature: Vec<u8>,
}

impl Signer {
    /// The id of this author's stream `label`.
    pub fn stream_id(&self, label: &StreamLabel) -> StreamId {
        label.stream_id(&self.author_id)
    }

    /// Salts, hashes and signs `records` (canonical bytes) as batch `seq` of `stream`: each with its kind, its tag and what
    /// it states, so that no node can file it otherwise.
    ///
    /// # Errors
    /// When the batch is empty or over the limits, a record isn't one, or the machine has no randomness to give.
    pub fn sign_batch(
        &self,
        stream: &StreamLabel,
        seq: u64,
        records: Vec<Vec<u8>>,
    ) -> Result<SignedBatch, ClientError> {
        let bytes: usize = records.iter().map(|r| r.len() + SALT_BYTES).sum();
        if records.is_empty() || records.len() > BATCH_RECORDS_MAX || bytes > BATCH_BYTES_MAX {
            let why =
                format!("{} records of {bytes} bytes in one batch: send 1 to 4,096, at most 8 MiB", records.len());
            return Err(ClientError::Usage(why));
        }
        let mut salts = vec![0_u8; SALT_BYTES * records.len()];
        getrandom::fill(&mut salts)
            .map_err(|error| ClientError::Usage(format!("no randomness from the operating system: {error}")))?;
        let salted = salts.chunks_exact(SALT_BYTES).map(<[u8]>::to_vec).zip(records);
        let records: Vec<v1::SaltedRecord> = salted.map(|(salt, record)| v1::SaltedRecord { salt, record }).collect();
        let tree = batch_tree(&records)?;
        let message = BatchMessage {
            key_id: self.key.key_id(),
            origin: self.origin.clone(),
            stream_id: self.stream_id(stream),
            seq,
            count: tree.count(),
            root: tree.root(),
        };
        let batch = v1::Batch {
            alg: ALG_ED25519.into(),
            key_id: message.key_id.to_bytes().to_vec(),
            stream_label: stream.as_str().to_owned(),
            seq,
            root: message.root.to_bytes().to_vec(),
            signature: message.sign(&self.key).to_vec(),
            records,
        };
        Ok(SignedBatch { message, batch })
    }

    /// Takes up a batch that was signed before, from its stored bytes.
    ///
    /// # Errors
    /// When the batch isn't whole: its root must follow from its records.
    pub fn restore(&self, batch: v1::Batch) -> Result<SignedBatch, ClientError> {
        let broken = |what: &str| ClientError::Usage(format!("a batch in the outbox is damaged: {what}"));
        let label = StreamLabel::parse(&batch.stream_label).map_err(|_| broken("its stream's label"))?;
        let tree = batch_tree(&batch.records)?;
        if tree.root().as_ref() != batch.root.as_slice() {
            return Err(broken("its records do not lead to its root"));
        }
        let message = BatchMessage {
            key_id: batch.key_id.as_slice().try_into().map_err(|_| broken("its key id"))?,
            origin: self.origin.clone(),
            stream_id: self.stream_id(&label),
            seq: batch.seq,
            count: tree.count(),
            root: tree.root(),
        };
        Ok(SignedBatch { message, batch })
    }
}

fn batch_tree(records: &[v1::SaltedRecord]) -> Result<BatchTree, ClientError> {
    let salted: Vec<Vec<u8>> = records.iter().map(|r| [&r.salt[..], &r.record].concat()).collect();
    let inputs: Vec<&[u8]> = salted.iter().map(Vec::as_slice).collect();
    let mut hashes = Vec::with_capacity(inputs.len());
    hash_leaves(&inputs, &mut hashes);
    let leaves: Result<Vec<BatchLeaf>, _> = records.iter().zip(hashes).enumerate().map(leaf).collect();
    BatchTree::new(&leaves?).map_err(|error| ClientError::Usage(error.to_string()))
}

/// The part of a record that is signed.
fn leaf((position, (salted, hash)): (usize, (&v1::SaltedRecord, Hash))) -> Result<BatchLeaf, ClientError> {
    let record = ParsedRecord::parse(&salted.record);
    let record = record.map_err(|error| ClientError::Usage(format!("record {position}: {error}")))?;
    Ok(record.batch_leaf(hash))
}

/// Checks a receipt before it is believed: signed by a node of the genesis, over exactly the batch that was sent.
///
/// # Errors
/// [`ClientError::Check`]: whatever the node says, the batch counts as not acknowledged.
pub fn verify_receipt(
    sent: &SignedBatch,
    receipt: &v1::Receipt,
    nodes: &[v1::NodeIdentity],
) -> Result<VerifiedReceipt, ClientError> {
    let keys = nodes.iter().filter_map(|node| PublicKey::from_bytes(&node.key.as_ref()?.key).ok());
    verify_receipt_by(sent, receipt, &keys.collect::<Vec<_>>())
}

/// The same, signed with one of these keys: the nodes' of the genesis, and those that replaced them.
///
/// # Errors
/// As for [`verify_receipt`].
pub fn verify_receipt_by(
    sent: &SignedBatch,
    receipt: &v1::Receipt,
    keys: &[PublicKey],
) -> Result<VerifiedReceipt, ClientError> {
    let failed = |what: &str| {
        ClientError::Check(format!(
            "the receipt for batch {} {what}: ask another node and keep it as evidence",
            sent.message.seq
        ))
    };
    let said =
        ReceiptMessage::decode(&receipt.message).map_err(|error| failed(&format!("cannot be read ({error})")))?;
    let key = keys.iter().find(|key| key.key_id() == said.batch.key_id);
    let key = key.ok_or_else(|| failed("is signed by no node of this log"))?;
    said.verify(key, &receipt.signature).map_err(|_| failed("has a wrong signature"))?;
    let expected = BatchMessage { key_id: said.batch.key_id, ..sent.message.clone() };
    if said.batch != expected {
        return Err(failed("is for another batch"));
    }
    if said.first_index.get().checked_add(u64::from(said.batch.count)).is_none() {
        return Err(failed("names places that no log has"));
    }
    Ok(VerifiedReceipt {
        first_index: said.first_index.get(),
        count: said.batch.count,
        time_ms: said.time_ms.get(),
        seq: said.batch.seq,
        message: receipt.message.clone(),
        signature: receipt.signature.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::batch::batch_root;
    use sillage_rules::entry::{Flags, RecordEntry};
    use sillage_rules::kind::Kind;
    use sillage_rules::record::{new_message, record_hash};

    fn signer() -> Signer {
        let key = SigningKey::from_seed(&[3; 32]);
        let author_id = AuthorId::of_first_key(&key.public_key());
        Signer { origin: Origin::new("test/log").expect("a name"), author_id, key }
    }

    fn label() -> StreamLabel {
        StreamLabel::parse("cli").expect("a label")
    }

    fn batch() -> SignedBatch {
        signer().sign_batch(&label(), 7, vec![record(Kind::ACCESS_READ), record(Kind::ACCESS_PRINT)]).expect("signed")
    }

    fn record(kind: Kind) -> Vec<u8> {
        let message = new_message(kind, Some(&[5; 32]), 1_000);
        let basis = Some(v1::Basis { kind: v1::BasisKind::CareTeam.into(), ..v1::Basis::default() });
        let actor = Some(v1::Actor { id: "1".to_owned(), ..v1::Actor::default() });
        ParsedRecord::from_message(v1::Record { basis, actor, ..message }).expect("a record").into_bytes()
    }

    fn node() -> SigningKey {
        SigningKey::from_seed(&[9; 32])
    }

    fn identities() -> Vec<v1::NodeIdentity> {
        let key = v1::PublicKey { alg: 1, key: node().public_key().to_bytes().to_vec() };
        vec![v1::NodeIdentity { id: 1, key: Some(key), ..v1::NodeIdentity::default() }]
    }

    fn receipt(key: &SigningKey, batch: &SignedBatch, edit: impl FnOnce(&mut ReceiptMessage)) -> v1::Receipt {
        let mut message = ReceiptMessage {
            batch: BatchMessage { key_id: key.key_id(), ..batch.message.clone() },
            first_index: 41.into(),
            time_ms: 1_000.into(),
        };
        edit(&mut message);
        let signature = message.sign(key).to_vec();
        v1::Receipt { message: message.encode(), signature }
    }

    #[test]
    fn a_batch_carries_a_valid_signature_over_its_records() {
        let batch = batch();
        let key = signer().key.public_key();
        assert_eq!(batch.message.verify(&key, &batch.batch.signature), Ok(()));
        assert_eq!(batch.message.count, 2);
        assert_ne!(batch.batch.records[0].salt, batch.batch.records[1].salt);
        assert_eq!(signer().restore(batch.batch.clone()).expect("whole"), batch);
        let mut damaged = batch.batch;
        damaged.records[1].record = record(Kind::ACCESS_EXPORT);
        assert!(signer().restore(damaged.clone()).is_err());
        damaged.records[1].record = b"c".to_vec();
        assert!(signer().restore(damaged).is_err());
    }

    #[test]
    fn what_is_signed_is_what_an_entry_shows() {
        let batch = batch().batch;
        let entry = |(position, salted): (u32, &v1::SaltedRecord)| RecordEntry {
            index: u64::from(position).into(),
            time: 1_000.into(),
            flags: Flags::BASIS,
            kind: [Kind::ACCESS_READ, Kind::ACCESS_PRINT][position as usize],
            tag: [5; 32],
            record_hash: record_hash(salted.salt[..].try_into().expect("16 bytes"), &salted.record),
            position,
        };
        let mut entries: Vec<RecordEntry> = (0..).zip(&batch.records).map(entry).collect();
        let root =
            |entries: &[RecordEntry]| batch_root(&entries.iter().map(RecordEntry::batch_leaf).collect::<Vec<_>>());
        assert_eq!(root(&entries).as_ref(), batch.root);
        entries[1].tag = [6; 32];
        assert_ne!(root(&entries).as_ref(), batch.root);
    }

    #[test]
    fn a_batch_over_the_limits_is_not_signed() {
        let sign = |records| signer().sign_batch(&label(), 1, records);
        assert!(sign(Vec::new()).is_err());
        assert!(sign(vec![vec![0; 10]; 4_097]).is_err());
        assert!(sign(vec![vec![0; 61_440]; 140]).is_err());
    }

    #[test]
    fn a_receipt_is_believed_only_for_this_batch_from_a_node_of_this_log() {
        let batch = batch();
        let good = verify_receipt(&batch, &receipt(&node(), &batch, |_| {}), &identities()).expect("good");
        assert_eq!((good.first_index, good.count, good.seq), (41, 2, 7));
        let stranger = SigningKey::from_seed(&[10; 32]);
        let bad = [
            receipt(&stranger, &batch, |_| {}),
            receipt(&node(), &batch, |m| m.batch.seq = 8),
            receipt(&node(), &batch, |m| m.batch.count = 1),
            receipt(&node(), &batch, |m| m.first_index = u64::MAX.into()),
            receipt(&node(), &batch, |m| m.batch.root = Hash::default()),
            v1::Receipt { signature: vec![0; 64], ..receipt(&node(), &batch, |_| {}) },
            v1::Receipt::default(),
        ];
        for receipt in bad {
            let error = verify_receipt(&batch, &receipt, &identities()).expect_err("refused");
            assert_eq!(error.exit_code(), 1);
        }
    }
}
