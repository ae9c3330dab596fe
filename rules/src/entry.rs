//! Entries, the leaves of the log: the fixed layouts of `docs/formats.md` §5.
//!
//! [`Entry::encode`] and [`Entry::decode`] are inverse to each other: what decodes encodes to the same bytes, and every
//! byte sequence that isn't exactly one entry is refused.

use sillage_proof::batch::BatchLeaf;
use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs, leaf_hash};
use sillage_proof::keys::{ALG_ED25519, KeyId, SIGNATURE_LEN, StreamId};

use crate::flags::UnknownFlags;
pub use crate::flags::{Flags, UnjustifiedReason};
use crate::kind::Kind;
use crate::limits::{BATCH_RECORDS_MAX, EVENT_BODY_BYTES_MAX, INDEX_DEPTH_MAX};

/// The version of the layouts.
pub const ENTRY_VERSION: u8 = 1;

/// Length of what every entry begins with, in bytes.
const COMMON_LEN: usize = 20;
const TYPE_BATCH_HEADER: u8 = 1;
const TYPE_RECORD: u8 = 2;
const TYPE_INDEX_COMMIT: u8 = 3;
const TYPE_LEDGER_EVENT: u8 = 4;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The signer of the records that follow.
    BatchHeader(BatchHeader),
    /// One record.
    Record(RecordEntry),
    /// The patient index over every entry before it.
    IndexCommit(IndexCommit),
    /// A statement of the ledger about itself.
    LedgerEvent(LedgerEvent),
}

/// An author's signature over the records that follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchHeader {
    /// Its place in the log.
    pub index: LeafIndex,
    /// When it was taken.
    pub time: LedgerTimeMs,
    /// The key that signed.
    pub key_id: KeyId,
    /// The author's stream.
    pub stream_id: StreamId,
    /// The number of the batch in its stream, from 1.
    pub seq: u64,
    /// How many record entries follow, 1 to 4,096.
    pub count: u32,
    /// The root of the batch tree.
    pub root: Hash,
    /// Ed25519, over the batch message of `docs/formats.md` §3.
    pub signature: [u8; SIGNATURE_LEN],
}

/// One record: what the log shows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordEntry {
    /// Its place in the log.
    pub index: LeafIndex,
    /// When it was taken.
    pub time: LedgerTimeMs,
    /// Its flags: `UNJUSTIFIED` only of an access.
    pub flags: Flags,
    /// Its content.
    pub kind: Kind,
    /// The patient's tag; 32 zero bytes where no patient is concerned.
    pub tag: [u8; 32],
    /// The salted hash of the record.
    pub record_hash: Hash,
    /// Its place in the batch, from 0: the header is at `index − 1 − position`.
    pub position: u32,
}

/// The root of the patient index over every entry before it; flag `LEDGER`. Each checkpoint ends in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexCommit {
    /// Its place in the log: it covers the entries below.
    pub index: LeafIndex,
    /// When it was made.
    pub time: LedgerTimeMs,
    /// The index has 2^depth buckets; as in the genesis.
    pub depth: u8,
    /// How many patients have entries: the rows of the index.
    pub patients: u64,
    /// The root of [`crate::index`].
    pub root: Hash,
}

/// A statement of the ledger about itself; flag `LEDGER`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEvent {
    /// Its place in the log.
    pub index: LeafIndex,
    /// When it was made.
    pub time: LedgerTimeMs,
    /// Its content.
    pub kind: Kind,
    /// Protobuf; for `genesis`, `sillage.v1.Genesis` as it was given.
    pub body: Vec<u8>,
}

/// The bytes aren't one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Shorter or longer than its layout.
    #[error("the entry's length doesn't fit its layout")]
    Length,
    /// A version that this program doesn't know.
    #[error("unknown entry version {0}: use a newer program")]
    Version(u8),
    /// A type that doesn't exist in this version.
    #[error("unknown entry type {0}: use a newer program")]
    Type(u8),
    /// Flags that are unknown, or that entries of this type don't have.
    #[error("entries of this type don't have the flags {0:#06x}")]
    Flags(u16),
    /// A number that names no kind, or no kind for this type.
    #[error("entries of this type don't have the kind {0:#06x}")]
    Kind(u16),
    /// A signature algorithm that this program doesn't know.
    #[error("unknown signature algorithm {0}: use a newer program")]
    Algorithm(u8),
    /// A number outside its range.
    #[error("the entry's {0} is out of range")]
    Range(&'static str),
}

impl From<UnknownFlags> for EntryError {
    fn from(UnknownFlags(bits): UnknownFlags) -> Self {
        Self::Flags(bits)
    }
}

impl Entry {
    /// Its place in the log.
    pub const fn index(&self) -> LeafIndex {
        match self {
            Self::BatchHeader(entry) => entry.index,
            Self::Record(entry) => entry.index,
            Self::IndexCommit(entry) => entry.index,
            Self::LedgerEvent(entry) => entry.index,
        }
    }

    /// When the ledger took it.
    pub const fn time(&self) -> LedgerTimeMs {
        match self {
            Self::BatchHeader(entry) => entry.time,
            Self::Record(entry) => entry.time,
            Self::IndexCommit(entry) => entry.time,
            Self::LedgerEvent(entry) => entry.time,
        }
    }

    /// Its flags.
    pub const fn flags(&self) -> Flags {
        match self {
            Self::BatchHeader(_) => Flags::NONE,
            Self::Record(entry) => entry.flags,
            Self::IndexCommit(_) | Self::LedgerEvent(_) => Flags::LEDGER,
        }
    }

    /// Its kind; a batch header has none.
    pub const fn kind(&self) -> Option<Kind> {
        match self {
            Self::BatchHeader(_) => None,
            Self::Record(entry) => Some(entry.kind),
            Self::IndexCommit(_) => Some(Kind::INDEX_COMMIT),
            Self::LedgerEvent(entry) => Some(entry.kind),
        }
    }

    /// The bytes of the entry: the leaf of the log tree.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        self.encode_into(&mut out);
        out
    }

    /// Appends the bytes of the entry to `out`.
    ///
    /// # Panics
    /// When the entry breaks a rule that [`Entry::decode`] checks.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::BatchHeader(entry) => entry.encode_into(out),
            Self::Record(entry) => entry.encode_into(out),
            Self::IndexCommit(entry) => entry.encode_into(out),
            Self::LedgerEvent(entry) => entry.encode_into(out),
        }
    }

    /// Its leaf hash in the log tree (RFC 6962 §2.1).
    pub fn leaf_hash(&self) -> Hash {
        leaf_hash(&self.encode())
    }

    /// Reads the bytes of exactly one entry.
    ///
    /// # Errors
    /// When they are anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let mut input = Input(bytes);
        let version = input.u8()?;
        if version != ENTRY_VERSION {
            return Err(EntryError::Version(version));
        }
        let entry_type = input.u8()?;
        let flags = Flags::from_bits(input.u16()?)?;
        let index = LeafIndex(input.u64()?);
        let time = LedgerTimeMs(input.u64()?);
        let entry = match entry_type {
            TYPE_BATCH_HEADER => {
                require_flags(flags, Flags::NONE)?;
                Self::BatchHeader(BatchHeader::decode(index, time, &mut input)?)
            }
            TYPE_RECORD => Self::Record(RecordEntry::decode(index, time, flags, &mut input)?),
            TYPE_INDEX_COMMIT => {
                require_flags(flags, Flags::LEDGER)?;
                Self::IndexCommit(IndexCommit::decode(index, time, &mut input)?)
            }
            TYPE_LEDGER_EVENT => {
                require_flags(flags, Flags::LEDGER)?;
                Self::LedgerEvent(LedgerEvent::decode(index, time, &mut input)?)
            }
            other => return Err(EntryError::Type(other)),
        };
        if !input.0.is_empty() {
            return Err(EntryError::Length);
        }
        Ok(entry)
    }
}

impl BatchHeader {
    fn encode_into(&self, out: &mut Vec<u8>) {
        assert!(self.seq >= 1 && count_fits(self.count), "a header of an impossible batch");
        common(out, TYPE_BATCH_HEADER, Flags::NONE, self.index, self.time);
        out.push(ALG_ED25519);
        out.extend_from_slice(self.key_id.as_bytes());
        out.extend_from_slice(self.stream_id.as_bytes());
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(self.root.as_bytes());
        let len = u16::try_from(SIGNATURE_LEN).expect("64 fits");
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(&self.signature);
    }

    fn decode(index: LeafIndex, time: LedgerTimeMs, input: &mut Input) -> Result<Self, EntryError> {
        let alg = input.u8()?;
        if alg != ALG_ED25519 {
            return Err(EntryError::Algorithm(alg));
        }
        let header = Self {
            index,
            time,
            key_id: KeyId::from_bytes(input.array()?),
            stream_id: StreamId::from_bytes(input.array()?),
            seq: input.u64()?,
            count: input.u32()?,
            root: Hash::from_bytes(input.array()?),
            signature: {
                if usize::from(input.u16()?) != SIGNATURE_LEN {
                    return Err(EntryError::Length);
                }
                input.array()?
            },
        };
        if header.seq == 0 {
            return Err(EntryError::Range("seq"));
        }
        if !count_fits(header.count) {
            return Err(EntryError::Range("count"));
        }
        Ok(header)
    }
}

impl RecordEntry {
    fn encode_into(&self, out: &mut Vec<u8>) {
        assert!(position_fits(self.position), "a record beyond the end of its batch");
        assert!(may_have(self.kind, self.flags), "only an access is unjustified");
        common(out, TYPE_RECORD, self.flags, self.index, self.time);
        out.extend_from_slice(&self.kind.code().to_be_bytes());
        out.extend_from_slice(&self.tag);
        out.extend_from_slice(self.record_hash.as_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn decode(index: LeafIndex, time: LedgerTimeMs, flags: Flags, input: &mut Input) -> Result<Self, EntryError> {
        let code = input.u16()?;
        let entry = Self {
            index,
            time,
            flags,
            kind: Kind::from_code(code.into()).map_err(|_| EntryError::Kind(code))?,
            tag: input.array()?,
            record_hash: Hash::from_bytes(input.array()?),
            position: input.u32()?,
        };
        if !position_fits(entry.position) {
            return Err(EntryError::Range("position"));
        }
        if !may_have(entry.kind, flags) {
            return Err(EntryError::Flags(flags.bits()));
        }
        Ok(entry)
    }

    /// Its leaf in the batch tree: the author's signature covers the kind, the tag, what is stated and the record, so that
    /// none of them can be another's without the path to the batch's root breaking.
    pub fn batch_leaf(&self) -> BatchLeaf {
        batch_leaf(self.kind, self.flags, self.tag, self.record_hash)
    }

    /// Where the header of its batch stands; `None` for a record that the ledger made itself.
    pub fn header_index(&self) -> Option<LeafIndex> {
        if self.flags.contains(Flags::LEDGER) {
            return None;
        }
        let back = u64::from(self.position).checked_add(1)?;
        self.index.get().checked_sub(back).map(LeafIndex)
    }
}

impl IndexCommit {
    fn encode_into(&self, out: &mut Vec<u8>) {
        assert!(self.depth <= INDEX_DEPTH_MAX, "a depth that a genesis may name");
        common(out, TYPE_INDEX_COMMIT, Flags::LEDGER, self.index, self.time);
        out.push(self.depth);
        out.extend_from_slice(&self.patients.to_be_bytes());
        out.extend_from_slice(self.root.as_bytes());
    }

    fn decode(index: LeafIndex, time: LedgerTimeMs, input: &mut Input) -> Result<Self, EntryError> {
        let depth = input.u8()?;
        if depth > INDEX_DEPTH_MAX {
            return Err(EntryError::Range("depth"));
        }
        let (patients, root) = (input.u64()?, Hash::from_bytes(input.array()?));
        Ok(Self { index, time, depth, patients, root })
    }
}

impl LedgerEvent {
    fn encode_into(&self, out: &mut Vec<u8>) {
        assert!(self.kind.made_by_ledger(), "only the ledger's own kinds are events");
        assert!(self.body.len() <= EVENT_BODY_BYTES_MAX, "a body that fits an entry bundle");
        common(out, TYPE_LEDGER_EVENT, Flags::LEDGER, self.index, self.time);
        out.extend_from_slice(&self.kind.code().to_be_bytes());
        let len = u32::try_from(self.body.len()).expect("checked above");
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(&self.body);
    }

    fn decode(index: LeafIndex, time: LedgerTimeMs, input: &mut Input) -> Result<Self, EntryError> {
        let code = input.u16()?;
        let kind = Kind::from_code(code.into()).ok().filter(|kind| kind.made_by_ledger());
        let kind = kind.ok_or(EntryError::Kind(code))?;
        let len = usize::try_from(input.u32()?).map_err(|_| EntryError::Length)?;
        if len > EVENT_BODY_BYTES_MAX {
            return Err(EntryError::Range("body"));
        }
        let body = input.take(len)?.to_vec();
        Ok(Self { index, time, kind, body })
    }
}

/// The leaf of the batch tree for a record of this kind, tag and hash, whose entry has `flags` (`docs/formats.md` §3).
/// Everything that stands in an entry and that the author knows goes in here, and nothing else.
pub fn batch_leaf(kind: Kind, flags: Flags, tag: [u8; 32], record_hash: Hash) -> BatchLeaf {
    BatchLeaf { kind: kind.code(), stated: flags.stated().bits(), tag, record_hash }
}

fn may_have(kind: Kind, flags: Flags) -> bool {
    kind.is_access() || !flags.contains(Flags::UNJUSTIFIED)
}

fn require_flags(flags: Flags, expected: Flags) -> Result<(), EntryError> {
    if flags == expected { Ok(()) } else { Err(EntryError::Flags(flags.bits())) }
}

fn count_fits(count: u32) -> bool {
    count >= 1 && position_fits(count - 1)
}

fn position_fits(position: u32) -> bool {
    usize::try_from(position).is_ok_and(|position| position < BATCH_RECORDS_MAX)
}

fn common(out: &mut Vec<u8>, entry_type: u8, flags: Flags, index: LeafIndex, time: LedgerTimeMs) {
    let start = out.len();
    out.push(ENTRY_VERSION);
    out.push(entry_type);
    out.extend_from_slice(&flags.bits().to_be_bytes());
    out.extend_from_slice(&index.get().to_be_bytes());
    out.extend_from_slice(&time.get().to_be_bytes());
    assert_eq!(out.len() - start, COMMON_LEN, "what every entry begins with");
}

/// The rest of the bytes, read from the front.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], EntryError> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(EntryError::Length)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], EntryError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(EntryError::Length)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, EntryError> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, EntryError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, EntryError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, EntryError> {
        self.array().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
