//! Records: what an author signs. From bytes to a typed value once, with every rule that needs nothing but the record.
//!
//! [`ParsedRecord::parse`] is where bytes from strangers become a record. An event that already happened is never
//! refused for missing context: only one that can't be understood is.

mod fields;
mod notice;
pub(crate) mod stated;

use prost::Message;
use sillage_proof::batch::BatchLeaf;
use sillage_proof::hash::{Hash, leaf_hash, leaf_hash2, sha256};
use sillage_proto::v1;

pub use crate::error::RecordError;

use crate::act::Act;
use crate::codes::Code;
use crate::entry::batch_leaf;
use crate::kind::Kind;
use crate::limits::*;
use crate::time::TimeMs;

use self::stated::{facts_of, stated};

/// The version of records.
pub const RECORD_VERSION: u32 = 1;

/// A record that was checked: canonical bytes, known kind, every field within its bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedRecord {
    message: v1::Record,
    bytes: Vec<u8>,
    kind: Kind,
    tag: Option<[u8; 32]>,
    act: Option<Act>,
}

impl ParsedRecord {
    /// Parses a record in canonical encoding (`docs/formats.md` §2). Kinds that the ledger makes itself are parsed too;
    /// [`ParsedRecord::check_from_author`] refuses them.
    ///
    /// # Errors
    /// Too long, not protobuf, not canonical, or a field that can't be understood.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        check_size(bytes.len())?;
        let message = v1::Record::decode(bytes).map_err(|error| decode_error(&error))?;
        let canonical = message.encode_to_vec();
        if canonical != bytes {
            let why = "not in canonical encoding: fields in order, defaults left out, none unknown";
            return Err(RecordError::malformed("", why));
        }
        Self::validate(message, canonical)
    }

    /// Encodes and checks a record that this program made.
    ///
    /// # Errors
    /// As for [`ParsedRecord::parse`].
    pub fn from_message(message: v1::Record) -> Result<Self, RecordError> {
        let bytes = message.encode_to_vec();
        check_size(bytes.len())?;
        Self::validate(message, bytes)
    }

    fn validate(message: v1::Record, bytes: Vec<u8>) -> Result<Self, RecordError> {
        if message.version != RECORD_VERSION {
            let why = format!("{} isn't a version that is known: it is 1", message.version);
            return Err(RecordError::malformed("version", why));
        }
        let kind = Kind::from_code(message.kind)
            .map_err(|error| RecordError::new(Code::UnknownKind, "kind", error.to_string()))?;
        let tag = parse_tag(kind, &message.tag)?;
        if !(1..=OCCURRED_AT_MS_MAX).contains(&message.occurred_at_ms) {
            let why = "not a time: milliseconds since 1970, at most the end of the year 9998";
            return Err(RecordError::malformed("occurred_at_ms", why));
        }
        let act = parse_act(kind, &message)?;
        fields::check(kind, &message)?;
        Ok(Self { message, bytes, kind, tag, act })
    }

    /// Checks that an author may submit it.
    ///
    /// # Errors
    /// `KIND_RESERVED` for what the ledger makes itself.
    pub fn check_from_author(&self) -> Result<(), RecordError> {
        if self.kind.made_by_ledger() {
            let why = format!("{} is made by the ledger alone", self.kind);
            return Err(RecordError::new(Code::KindReserved, "kind", why));
        }
        if self.kind.needs_patient() && self.tag.is_none() {
            let why = format!("an author's {} is of one patient's trace: give the patient", self.kind);
            return Err(RecordError::malformed("tag", why));
        }
        Ok(())
    }

    /// Its content.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The patient's tag; `None` where no patient is concerned.
    pub const fn tag(&self) -> Option<&[u8; 32]> {
        self.tag.as_ref()
    }

    /// The tag as it stands in an entry: 32 zero bytes where no patient is concerned.
    pub fn entry_tag(&self) -> [u8; 32] {
        self.tag.unwrap_or_default()
    }

    /// When it happened, by the author's clock, in milliseconds since 1970.
    pub const fn occurred_at_ms(&self) -> u64 {
        self.message.occurred_at_ms
    }

    /// The act of the authority that it carries.
    pub const fn act(&self) -> Option<&Act> {
        self.act.as_ref()
    }

    /// Everything it says.
    pub const fn message(&self) -> &v1::Record {
        &self.message
    }

    /// Everything it says, by value.
    pub fn into_message(self) -> v1::Record {
        self.message
    }

    /// Its canonical bytes: what was received, what is hashed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its canonical bytes, by value.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Its salted hash.
    pub fn record_hash(&self, salt: &[u8; SALT_BYTES]) -> Hash {
        record_hash(salt, &self.bytes)
    }

    /// The part that its author signs: the leaf of the batch tree, equal to that of its entry
    /// ([`crate::entry::RecordEntry::batch_leaf`]). `record_hash` is its salted hash.
    pub fn batch_leaf(&self, record_hash: Hash) -> BatchLeaf {
        batch_leaf(self.kind, stated(facts_of(self)), self.entry_tag(), record_hash)
    }
}

/// The beginning of a record: version, kind, tag and time. `occurred_at_ms` is in milliseconds since 1970.
pub fn new_message(kind: Kind, tag: Option<&[u8; 32]>, occurred_at_ms: u64) -> v1::Record {
    v1::Record {
        version: RECORD_VERSION,
        kind: kind.code().into(),
        tag: tag.map(|tag| tag.to_vec()).unwrap_or_default(),
        occurred_at_ms,
        ..v1::Record::default()
    }
}

/// The record of an act of the authority. `occurred_at_ms` is in milliseconds since 1970.
pub fn act_message(act: &Act, occurred_at_ms: u64) -> v1::Record {
    v1::Record { act: Some(act.to_message()), ..new_message(act.kind(), None, occurred_at_ms) }
}

/// The record of an erasure, under the tag of the patient whose payloads it takes. `occurred_at_ms` is in milliseconds
/// since 1970.
pub fn erasure_message(act: &Act, tag: &[u8; 32], occurred_at_ms: u64) -> v1::Record {
    v1::Record { act: Some(act.to_message()), ..new_message(act.kind(), Some(tag), occurred_at_ms) }
}

/// The salted hash of a record: `H(0x00 ‖ salt ‖ record)` (`docs/formats.md` §2).
pub fn record_hash(salt: &[u8; SALT_BYTES], record: &[u8]) -> Hash {
    leaf_hash2(salt, record)
}

/// One part of a record that the ledger makes: `H(0x00 ‖ salt ‖ part)`. A reader who may see only the other part gets
/// this.
pub fn part_hash(salt: &[u8; SALT_BYTES], part: &[u8]) -> Hash {
    leaf_hash2(salt, part)
}

/// The hash of a record in two parts: `H(0x05 ‖ actor part hash ‖ private part hash)` (`docs/formats.md` §2).
pub fn two_part_hash(actor: &Hash, private: &Hash) -> Hash {
    sha256(&[&[0x05], actor.as_ref(), private.as_ref()])
}

/// The hash that stands for an entry in the log tree: `H(0x00 ‖ entry)`.
pub fn entry_leaf_hash(entry: &[u8]) -> Hash {
    leaf_hash(entry)
}

/// Refuses what is said to happen more than five minutes from now. Both in milliseconds since 1970. The past is
/// accepted, and flagged.
///
/// # Errors
/// `TIME_AHEAD`.
pub fn check_time(occurred_at_ms: u64, now_ms: u64) -> Result<(), RecordError> {
    let ahead_ms = occurred_at_ms.saturating_sub(now_ms);
    if ahead_ms > FUTURE_MS_MAX {
        let (said, now) = (TimeMs(occurred_at_ms), TimeMs(now_ms));
        let why = format!(
            "{said} is {} ahead of the ledger's clock ({now}): correct it, or set the author's clock",
            how_long(ahead_ms)
        );
        return Err(RecordError::new(Code::TimeAhead, "occurred_at_ms", why));
    }
    Ok(())
}

/// A time as people say it, in the unit that fits.
fn how_long(ms: u64) -> String {
    let (count, unit) = match ms / 1_000 {
        s @ 0..120 => (s, "seconds"),
        s @ 120..7_200 => (s / 60, "minutes"),
        s @ 7_200..172_800 => (s / 3_600, "hours"),
        s => (s / 86_400, "days"),
    };
    format!("{count} {unit}")
}

fn check_size(len: usize) -> Result<(), RecordError> {
    if len > RECORD_BYTES_MAX {
        let why = format!("{len} bytes, and a record has at most {RECORD_BYTES_MAX}");
        return Err(RecordError::new(Code::RecordTooLarge, "", why));
    }
    Ok(())
}

/// prost tells its reasons as text only; the tests hold it to that.
fn decode_error(error: &prost::DecodeError) -> RecordError {
    let text = error.to_string();
    if text.contains("not UTF-8") {
        return RecordError::new(Code::InvalidUtf8, "", "a text isn't UTF-8");
    }
    RecordError::malformed("", format!("not a sillage.v1.Record: {text}"))
}

fn parse_tag(kind: Kind, tag: &[u8]) -> Result<Option<[u8; 32]>, RecordError> {
    let wrong = |why: &str| Err(RecordError::malformed("tag", why));
    if !kind.has_patient() {
        let why = "records of this kind concern no patient: leave the tag out";
        return if tag.is_empty() { Ok(None) } else { wrong(why) };
    }
    if kind.may_lack_patient() && tag.is_empty() {
        return Ok(None);
    }
    match <[u8; 32]>::try_from(tag) {
        Ok(tag) if tag != [0; 32] => Ok(Some(tag)),
        Ok(_) => wrong("the tag of zero bytes stands for no patient"),
        Err(_) => wrong("records of this kind carry the patient's tag, 32 bytes"),
    }
}

fn parse_act(kind: Kind, message: &v1::Record) -> Result<Option<Act>, RecordError> {
    match (&message.act, kind.is_act()) {
        (None, false) => Ok(None),
        // What the ledger tells a patient of it names the act by its entry.
        (None, true) if kind == Kind::RECORDS_VOIDED && !message.tag.is_empty() => Ok(None),
        (None, true) => Err(RecordError::malformed("act", "an act of the authority carries its act")),
        (Some(_), false) => Err(RecordError::malformed("act", "only acts of the authority carry an act")),
        (Some(act), true) => {
            let act = Act::parse(act).map_err(|error| error.within("act"))?;
            if act.kind() != kind {
                let why = format!("the kind is {kind}, and the act is {}", act.kind());
                return Err(RecordError::malformed("act", why));
            }
            Ok(Some(act))
        }
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
