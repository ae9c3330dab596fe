//! One item of the quarantine on disk: `sillage/quarantine/1`, a salt of 32 bytes, then sealed: the length of its description
//! (4 bytes, big-endian), the description (JSON), and the bytes as they came. The key of an item is
//! `HKDF-SHA-256(key, salt, "sillage/quarantine/1 item")`; the id is bound to it as associated data.

use std::io;

use jiff::Timestamp;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use serde_json::Value;
use zeroize::Zeroizing;

use super::Listed;
use crate::arrival::Door;

const MAGIC: &[u8] = b"sillage/quarantine/1\n";
const SALT_BYTES: usize = 32;
/// Bytes of a reason and of a path, at most.
const TEXT_BYTES_MAX: usize = 1_024;

/// An item to be put into quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct New {
    /// The door.
    pub door: Door,
    /// Its sender.
    pub source: String,
    /// When it arrived, milliseconds since 1970.
    pub received_ms: u64,
    /// The element that the reason is about; may be empty.
    pub path: String,
    /// Why it can't be recorded, one sentence.
    pub reason: String,
    /// The bytes as they came.
    pub raw: Vec<u8>,
    /// The server's base that it is from; empty where none is known.
    pub base: String,
    /// The resource that the door made of the bytes, where that can't be made of them again.
    pub resource: Option<Value>,
}

/// An item that lies in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// The door.
    pub door: Door,
    /// Its sender.
    pub source: String,
    /// When it arrived, milliseconds since 1970.
    pub received_ms: u64,
    /// The element that the reason is about; may be empty.
    pub path: String,
    /// Why it can't be recorded.
    pub reason: String,
    /// The bytes as they came.
    pub raw: Vec<u8>,
    /// The server's base that it is from; empty where none is known.
    pub base: String,
    /// The resource that the door made of the bytes, where that can't be made of them again.
    pub resource: Option<Value>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Description {
    door: String,
    source: String,
    received_ms: u64,
    path: String,
    reason: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    base: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource: Option<Value>,
}

impl New {
    /// Bytes of a door that nothing was made of.
    pub fn bytes(door: Door, source: &str, received_ms: u64, path: &str, reason: &str, raw: Vec<u8>) -> Self {
        let (source, path, reason) = (source.to_owned(), path.to_owned(), reason.to_owned());
        Self { door, source, received_ms, path, reason, raw, base: String::new(), resource: None }
    }
}

impl Item {
    pub(super) fn listed(self, retry: bool) -> Listed {
        let time = i64::try_from(self.received_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        Listed {
            id: self.id,
            door: self.door.word().to_owned(),
            source: self.source,
            received: time.map(|time| time.to_string()).unwrap_or_default(),
            path: self.path,
            reason: self.reason,
            bytes: self.raw.len(),
            retry,
        }
    }
}

fn door(word: &str) -> Option<Door> {
    [Door::Rest, Door::Syslog, Door::Adt].into_iter().find(|door| door.word() == word)
}

/// Letters of an id: without those that are taken for one another.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// An id that no other item has.
pub(super) fn new_id(received_ms: u64) -> io::Result<String> {
    let mut bytes = [0; 6];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    let time = i64::try_from(received_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    let letters: String = bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    Ok(format!("{}-{letters}", time.strftime("%Y%m%dT%H%M%SZ")))
}

/// Whether a text is an id: it becomes the name of a file.
pub(super) fn is_id(id: &str) -> bool {
    let bytes = id.as_bytes();
    bytes.len() == 23
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 => *byte == b'T',
            15 => *byte == b'Z',
            16 => *byte == b'-',
            17.. => LETTERS.contains(byte),
            _ => byte.is_ascii_digit(),
        })
}

fn key_of(key: &[u8; 32], salt: &[u8]) -> LessSafeKey {
    let mut out = Zeroizing::new([0; 32]);
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(key);
    let okm = prk.expand(&[b"sillage/quarantine/1 item"], hkdf::HKDF_SHA256).expect("32 bytes can be had");
    okm.fill(out.as_mut_slice()).expect("32 bytes can be had");
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, out.as_slice()).expect("32 bytes are a key"))
}

/// Each key seals one thing.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

pub(super) fn seal(key: &[u8; 32], id: &str, new: &New) -> io::Result<Vec<u8>> {
    let description = Description {
        door: new.door.word().to_owned(),
        source: cut(&new.source),
        received_ms: new.received_ms,
        path: cut(&new.path),
        reason: cut(&new.reason),
        base: new.base.clone(),
        resource: new.resource.clone(),
    };
    let description = serde_json::to_vec(&description).expect("text and numbers are JSON");
    let length = u32::try_from(description.len()).expect("an arrival is far below 4 GiB");
    let mut sealed = [&length.to_be_bytes()[..], &description, &new.raw].concat();
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|error| io::Error::other(error.to_string()))?;
    key_of(key, &salt)
        .seal_in_place_append_tag(nonce(), Aad::from(id.as_bytes()), &mut sealed)
        .map_err(|_| io::Error::other("too large to be sealed"))?;
    Ok([MAGIC, &salt, &sealed].concat())
}

pub(super) fn open(key: &[u8; 32], id: &str, bytes: &[u8]) -> Option<Item> {
    let (salt, sealed) = bytes.strip_prefix(MAGIC)?.split_at_checked(SALT_BYTES)?;
    let mut sealed = sealed.to_vec();
    let plain = key_of(key, salt).open_in_place(nonce(), Aad::from(id.as_bytes()), &mut sealed).ok()?;
    let (length, rest) = plain.split_at_checked(4)?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    let (description, raw) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    let Description { door, source, received_ms, path, reason, base, resource } =
        serde_json::from_slice(description).ok()?;
    let (id, raw, door) = (id.to_owned(), raw.to_vec(), self::door(&door)?);
    Some(Item { id, door, source, received_ms, path, reason, raw, base, resource })
}

fn cut(text: &str) -> String {
    let end = (0..=text.len().min(TEXT_BYTES_MAX)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text[..end].to_owned()
}
