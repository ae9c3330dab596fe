//! The local log: lines that are each signed and bound to the one before, so that none can be changed, taken out or put
//! in later.
//!
//! ```text
//! {"seq":0,"time":"…","prev":"00…","key_id":"…","event":{…},"signature":"…"}
//!
//! message = "sillage/emergency/v1\0" ‖ u8 alg ‖ key_id[32] ‖ u8 len ‖ origin ‖ u64 seq ‖ u64 time_ms ‖ prev[32] ‖ H(event)
//! head    = H(0x00 ‖ message ‖ signature)        of a line; it is the next one's `prev`
//! ```
//!
//! `event` is hashed as its bytes stand in the line. One thing can't be seen: that lines were cut off at the end before
//! the hand-in. From the hand-in on, the count and the head bind everything.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sillage_proof::batch::Origin;
use sillage_proof::hash::{Hash, leaf_hash2, sha256};
use sillage_proof::keys::{ALG_ED25519, KeyId, PublicKey, SigningKey};
use sillage_rules::time::TimeMs;

const MAGIC: &[u8] = b"sillage/emergency/v1\0";

/// One line, as it stands in the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Number of the line, from 0.
    pub seq: u64,
    /// By the establishment's clock; never goes back.
    pub time: TimeMs,
    /// Head of the line before; zero for the first.
    pub prev: Hash,
    /// The key that signs.
    pub key_id: KeyId,
    /// The bytes of what happened, as they stand.
    pub event: Box<RawValue>,
    /// Ed25519 over the message, hex.
    #[serde(with = "hex::serde")]
    pub signature: Vec<u8>,
}

/// Why a log can't be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Not a line of this version.
    #[error("line {0} is not a line of an emergency log: {1}")]
    Line(u64, String),
    /// A line was taken out, put in or moved.
    #[error("line {0} does not follow from the one before: the log was changed")]
    Broken(u64),
    /// The signature doesn't match.
    #[error("line {0} is not signed by this establishment's key: the log was changed, or is another's")]
    Signature(u64),
}

fn message(origin: &Origin, key_id: &KeyId, seq: u64, time: TimeMs, prev: &Hash, event: &str) -> Vec<u8> {
    let origin = origin.as_str().as_bytes();
    let mut out = MAGIC.to_vec();
    out.push(ALG_ED25519);
    out.extend(key_id.as_bytes());
    out.push(u8::try_from(origin.len()).expect("an origin is at most 255 bytes"));
    out.extend(origin);
    out.extend(seq.to_be_bytes());
    out.extend(time.0.to_be_bytes());
    out.extend(prev.as_ref());
    out.extend(sha256(&[event.as_bytes()]).as_ref());
    out
}

impl Line {
    /// Signs the next line. `last` is the line before.
    pub fn sign(
        origin: &Origin,
        key: &SigningKey,
        last: Option<(&Self, Hash)>,
        time: TimeMs,
        event: Box<RawValue>,
    ) -> Self {
        let (seq, prev) = last.map_or((0, Hash::default()), |(line, head)| (line.seq + 1, head));
        let time = last.map_or(time, |(line, _)| time.max(line.time));
        let key_id = key.key_id();
        let signature = key.sign(&message(origin, &key_id, seq, time, &prev, event.get())).to_vec();
        Self { seq, time, prev, key_id, event, signature }
    }

    /// The hash to which the next line is bound.
    pub fn head(&self, origin: &Origin) -> Hash {
        let signed = message(origin, &self.key_id, self.seq, self.time, &self.prev, self.event.get());
        leaf_hash2(&signed, &self.signature)
    }

    /// The line with its line break.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a line has string keys only") + "\n"
    }
}

/// Reads a whole log and checks every line: it follows from the one before and is signed with `key`. A last line without
/// its line break is no line: nothing was answered on it.
///
/// # Errors
/// Names the first line that is wrong.
pub fn verify(text: &str, origin: &Origin, key: &PublicKey) -> Result<Vec<Line>, ChainError> {
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let mut lines: Vec<Line> = Vec::new();
    let mut head = Hash::default();
    for (seq, text) in (0..).zip(whole.lines()) {
        let line: Line = serde_json::from_str(text).map_err(|error| ChainError::Line(seq, error.to_string()))?;
        let not_back = lines.last().is_none_or(|last| last.time <= line.time);
        if line.seq != seq || line.prev != head || !not_back {
            return Err(ChainError::Broken(seq));
        }
        let signed = message(origin, &line.key_id, seq, line.time, &line.prev, line.event.get());
        if line.key_id != key.key_id() || key.verify(&signed, &line.signature).is_err() {
            return Err(ChainError::Signature(seq));
        }
        head = line.head(origin);
        lines.push(line);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin::new("test/log").expect("a name")
    }

    fn key() -> SigningKey {
        SigningKey::from_seed(&[7; 32])
    }

    fn log(events: &[&str]) -> String {
        let mut text = String::new();
        let mut last: Option<Line> = None;
        for (at, event) in (1_000..).step_by(10).zip(events) {
            let event = RawValue::from_string((*event).to_owned()).expect("JSON");
            let before = last.as_ref().map(|line| (line, line.head(&origin())));
            let line = Line::sign(&origin(), &key(), before, TimeMs(at), event);
            text += &line.to_text();
            last = Some(line);
        }
        text
    }

    fn check(text: &str) -> Result<usize, ChainError> {
        verify(text, &origin(), &key().public_key()).map(|lines| lines.len())
    }

    #[test]
    fn a_log_is_read_back_line_by_line() {
        let text = log(&[r#"{"a": 1}"#, r#"{"b":"é"}"#, "{}"]);
        let lines = verify(&text, &origin(), &key().public_key()).expect("good");
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0].event.get(), r#"{"a": 1}"#, "as its bytes stand");
        assert_eq!(check(""), Ok(0));
        assert_eq!(check(&text[..text.len() - 1]), Ok(2), "a torn line is no line");
    }

    #[test]
    fn no_line_can_be_changed_taken_out_put_in_or_moved() {
        let text = log(&[r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#]);
        let lines: Vec<&str> = text.lines().collect();
        let joined = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        assert_eq!(check(&joined(&[lines[0], lines[2]])), Err(ChainError::Broken(1)));
        assert_eq!(check(&joined(&[lines[1], lines[2]])), Err(ChainError::Broken(0)));
        assert_eq!(check(&joined(&[lines[0], lines[1], lines[1]])), Err(ChainError::Broken(2)));
        assert_eq!(check(&joined(&[lines[0], lines[2], lines[1]])), Err(ChainError::Broken(1)));
        assert_eq!(check(&text.replace(r#"{"b":2}"#, r#"{"b":3}"#)), Err(ChainError::Signature(1)));
        assert!(check(&text.replace("\"seq\":1", "\"sequence\":1")).is_err());
        let other = SigningKey::from_seed(&[8; 32]).public_key();
        assert_eq!(verify(&text, &origin(), &other).expect_err("another's"), ChainError::Signature(0));
        let elsewhere = Origin::new("other/log").expect("a name");
        assert_eq!(verify(&text, &elsewhere, &key().public_key()).expect_err("another log"), ChainError::Signature(0));
    }

    #[test]
    fn every_changed_byte_is_found() {
        let good = log(&[r#"{"a":1}"#, r#"{"b":2}"#]);
        for at in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            let found = check(&text);
            assert!(found.is_err() || found == Ok(1) && at + 1 == good.len(), "byte {at}: {found:?}");
        }
    }

    #[test]
    fn the_clock_never_goes_back() {
        let event = || RawValue::from_string("{}".to_owned()).expect("JSON");
        let first = Line::sign(&origin(), &key(), None, TimeMs(50), event());
        let head = first.head(&origin());
        let second = Line::sign(&origin(), &key(), Some((&first, head)), TimeMs(20), event());
        assert_eq!(second.time, TimeMs(50));
        assert_eq!(check(&(first.to_text() + &second.to_text())), Ok(2));
    }
}
