//! The bytes that an author signs for a batch, and that a node signs as the receipt. Integers are big-endian.
//!
//! ```text
//! batch    "sillage/batch/v2\0"   ‖ u8 alg ‖ key_id[32] ‖ u8 len ‖ origin ‖ stream_id[32] ‖ u64 seq ‖ u32 count ‖ root[32]
//! receipt  "sillage/receipt/v1\0" ‖ the same fields ‖ u64 index of the first record entry ‖ u64 time_ms
//! ```

use std::fmt;

use super::BATCH_RECORDS_MAX;
use crate::hash::{Hash, LeafIndex, LedgerTimeMs};
use crate::keys::{ALG_ED25519, KeyId, PublicKey, SIGNATURE_LEN, SignatureError, SigningKey, StreamId};

const BATCH_MAGIC: &[u8] = b"sillage/batch/v2\0";
const RECEIPT_MAGIC: &[u8] = b"sillage/receipt/v1\0";

/// The text can't name a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an origin is 1 to 255 bytes of UTF-8 without spaces, control characters or '+'")]
pub struct OriginError;

/// Name of a log, the first line of its checkpoints: a URL without scheme, such as `ledger.example/log1`.
/// 1 to 255 bytes, no spaces, no control characters, no `+` (so that it is a signed-note key name too).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(String);

impl Origin {
    /// Checks and wraps a name.
    ///
    /// # Errors
    /// When it breaks the rules above.
    pub fn new(name: impl Into<String>) -> Result<Self, OriginError> {
        let name = name.into();
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        if name.is_empty() || name.len() > 255 || name.contains(bad) {
            return Err(OriginError);
        }
        Ok(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({})", self.0)
    }
}

impl AsRef<str> for Origin {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        Self::new(text)
    }
}

impl serde::Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Origin {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The bytes aren't a message of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Other first bytes: another kind or version.
    #[error("not a message of this kind and version")]
    Magic,
    /// An algorithm this version doesn't know.
    #[error("unknown signature algorithm {0}: upgrade to a version that knows it")]
    Algorithm(u8),
    /// Too short, or bytes left over.
    #[error("the message is cut short or has bytes left over")]
    Length,
    /// The origin isn't one.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// Sequence numbers start at 1.
    #[error("sequence number 0: numbering starts at 1")]
    Sequence,
    /// A batch has 1 to 4,096 records.
    #[error("a batch of {0} records: expected 1 to {BATCH_RECORDS_MAX}")]
    Count(u32),
}

/// The message that an author signs: this root, over this many records, is number `seq` of my stream in this log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchMessage {
    /// The author's key that signs.
    pub key_id: KeyId,
    /// The log it is for; a batch can't be replayed into another.
    pub origin: Origin,
    /// The author's stream.
    pub stream_id: StreamId,
    /// Position in the stream, from 1 without gaps.
    pub seq: u64,
    /// Number of records, 1 to 4,096.
    pub count: u32,
    /// Root of the batch tree.
    pub root: Hash,
}

impl BatchMessage {
    /// The bytes to sign.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(160 + self.origin.0.len());
        out.extend_from_slice(BATCH_MAGIC);
        self.encode_fields(&mut out);
        out
    }

    fn encode_fields(&self, out: &mut Vec<u8>) {
        let origin = self.origin.0.as_bytes();
        out.push(ALG_ED25519);
        out.extend_from_slice(self.key_id.as_bytes());
        out.push(u8::try_from(origin.len()).expect("an origin is at most 255 bytes"));
        out.extend_from_slice(origin);
        out.extend_from_slice(self.stream_id.as_bytes());
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(self.root.as_bytes());
    }

    /// Reads exactly what [`BatchMessage::encode`] writes.
    ///
    /// # Errors
    /// [`MessageError`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut rest = bytes.strip_prefix(BATCH_MAGIC).ok_or(MessageError::Magic)?;
        let message = Self::decode_fields(&mut rest)?;
        match rest.is_empty() {
            true => Ok(message),
            false => Err(MessageError::Length),
        }
    }

    fn decode_fields(rest: &mut &[u8]) -> Result<Self, MessageError> {
        let [alg] = take::<1>(rest)?;
        if alg != ALG_ED25519 {
            return Err(MessageError::Algorithm(alg));
        }
        let key_id = KeyId::from(take::<32>(rest)?);
        let [len] = take::<1>(rest)?;
        let (origin, tail) = rest.split_at_checked(usize::from(len)).ok_or(MessageError::Length)?;
        *rest = tail;
        let origin = Origin::new(std::str::from_utf8(origin).map_err(|_| OriginError)?)?;
        let message = Self {
            key_id,
            origin,
            stream_id: take::<32>(rest)?.into(),
            seq: u64::from_be_bytes(take(rest)?),
            count: u32::from_be_bytes(take(rest)?),
            root: take::<32>(rest)?.into(),
        };
        if message.seq == 0 {
            return Err(MessageError::Sequence);
        }
        if message.count == 0 || message.count > BATCH_RECORDS_MAX {
            return Err(MessageError::Count(message.count));
        }
        Ok(message)
    }

    /// Signs. The message must name `key`.
    ///
    /// # Panics
    /// When `key_id` is another key's: such a signature could never verify.
    pub fn sign(&self, key: &SigningKey) -> [u8; SIGNATURE_LEN] {
        assert_eq!(self.key_id, key.key_id(), "the message names its signer");
        key.sign(&self.encode())
    }

    /// Verifies an author's signature.
    ///
    /// # Errors
    /// When `key` isn't the one named, or the signature doesn't match.
    pub fn verify(&self, key: &PublicKey, signature: &[u8]) -> Result<(), SignatureError> {
        if self.key_id != key.key_id() {
            return Err(SignatureError);
        }
        key.verify(&self.encode(), signature)
    }
}

/// The message that a node signs in answer: the promise that the entries come under a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptMessage {
    /// The batch answered, except that `key_id` is the *node's* signing key.
    pub batch: BatchMessage,
    /// Index of the first record entry; the batch header's is one less.
    pub first_index: LeafIndex,
    /// Ledger time of the entries.
    pub time_ms: LedgerTimeMs,
}

impl ReceiptMessage {
    /// The bytes to sign.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(178 + self.batch.origin.0.len());
        out.extend_from_slice(RECEIPT_MAGIC);
        self.batch.encode_fields(&mut out);
        out.extend_from_slice(&self.first_index.0.to_be_bytes());
        out.extend_from_slice(&self.time_ms.0.to_be_bytes());
        out
    }

    /// Reads exactly what [`ReceiptMessage::encode`] writes.
    ///
    /// # Errors
    /// [`MessageError`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut rest = bytes.strip_prefix(RECEIPT_MAGIC).ok_or(MessageError::Magic)?;
        let message = Self {
            batch: BatchMessage::decode_fields(&mut rest)?,
            first_index: u64::from_be_bytes(take(&mut rest)?).into(),
            time_ms: u64::from_be_bytes(take(&mut rest)?).into(),
        };
        match rest.is_empty() {
            true => Ok(message),
            false => Err(MessageError::Length),
        }
    }

    /// Signs. The message must name `key`.
    ///
    /// # Panics
    /// When `key_id` is another key's: such a signature could never verify.
    pub fn sign(&self, key: &SigningKey) -> [u8; SIGNATURE_LEN] {
        let named = self.batch.key_id;
        assert_eq!(named, key.key_id(), "the message names its signer");
        key.sign(&self.encode())
    }

    /// Verifies a node's signature.
    ///
    /// # Errors
    /// When `key` isn't the one named, or the signature doesn't match.
    pub fn verify(&self, key: &PublicKey, signature: &[u8]) -> Result<(), SignatureError> {
        if self.batch.key_id != key.key_id() {
            return Err(SignatureError);
        }
        key.verify(&self.encode(), signature)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], MessageError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(MessageError::Length)?;
    *rest = tail;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn receipt(key: &SigningKey, seq: u64, count: u32, first: u64, time: u64) -> ReceiptMessage {
        let batch = BatchMessage {
            key_id: key.key_id(),
            origin: Origin::new("ledger.example/log1").expect("valid"),
            stream_id: [3; 32].into(),
            seq,
            count,
            root: [4; 32].into(),
        };
        ReceiptMessage { batch, first_index: first.into(), time_ms: time.into() }
    }

    #[test]
    fn a_signature_binds_key_kind_and_every_bit() {
        let key = SigningKey::from_seed(&[1; 32]);
        let other = SigningKey::from_seed(&[2; 32]);
        let receipt = receipt(&key, 1, 2, 3, 4);
        let signature = receipt.sign(&key);
        assert_eq!(receipt.verify(&key.public_key(), &signature), Ok(()));
        assert!(receipt.verify(&other.public_key(), &signature).is_err());
        assert!(receipt.batch.verify(&key.public_key(), &signature).is_err());
        let bytes = receipt.encode();
        for bit in 0..8 * bytes.len() {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let verdict = ReceiptMessage::decode(&bad).map(|message| message.verify(&key.public_key(), &signature));
            assert!(!matches!(verdict, Ok(Ok(()))), "bit {bit}");
        }
    }

    #[test]
    fn out_of_bounds_fields_are_refused() {
        let key = SigningKey::from_seed(&[1; 32]);
        let decode = |seq, count| BatchMessage::decode(&receipt(&key, seq, count, 0, 0).batch.encode());
        assert_eq!(decode(0, 1), Err(MessageError::Sequence));
        assert_eq!(decode(1, 0), Err(MessageError::Count(0)));
        assert_eq!(decode(1, 4097), Err(MessageError::Count(4097)));
        assert!(decode(1, 4096).is_ok());
        let long = "x".repeat(256);
        for name in ["", "a b", "a+b", "a\nb", "a\u{a0}b", &long] {
            assert_eq!(Origin::new(name), Err(OriginError), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn decode_reverses_encode(seq in 1_u64.., count in 1_u32..=4096, first: u64, time: u64) {
            let message = receipt(&SigningKey::from_seed(&[1; 32]), seq, count, first, time);
            let (bytes, batch) = (message.encode(), message.batch.encode());
            for end in 0..bytes.len() {
                prop_assert!(ReceiptMessage::decode(&bytes[..end]).is_err());
                prop_assert!(BatchMessage::decode(&bytes[..end]).is_err());
            }
            prop_assert_eq!(BatchMessage::decode(&batch), Ok(message.batch.clone()));
            prop_assert_eq!(ReceiptMessage::decode(&bytes), Ok(message));
        }
    }
}
