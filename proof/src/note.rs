//! Signed notes (c2sp.org/signed-note): a text, and signature lines by named keys.
//!
//! Two signature types are spoken: plain Ed25519 (0x01) and timestamped witness cosignatures (0x04,
//! c2sp.org/tlog-cosignature, `cosignature/v1`). Keys are written as `vkey` and `skey` lines, as Go's
//! `golang.org/x/mod/sumdb/note` does.

use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine};
use zeroize::Zeroizing;

use crate::hash::sha256;
use crate::keys::{PublicKey, SIGNATURE_LEN, SigningKey};

/// Largest note read, in bytes.
pub const NOTE_BYTES_MAX: usize = 1_000_000;
/// Most signature lines read (the specification asks for at least 16).
pub const SIGNATURES_MAX: usize = 100;

const SIGNATURE_PREFIX: &str = "\u{2014} ";
const SKEY_PREFIX: &str = "PRIVATE+KEY+";

/// A key line or a note can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not `<name>+<8 hex digits>+<base64>`, or the digits aren't the id of the key.
    #[error("not a key line: expected <name>+<key id>+<base64>, with the id that the key hashes to")]
    KeyLine,
    /// A signature type that isn't spoken here.
    #[error("signature type {0:#04x} is not supported: use Ed25519 (0x01) or cosignature/v1 (0x04)")]
    KeyType(u8),
    /// A name that can't stand in a signature line.
    #[error("a key name has no spaces, no control characters and no '+', and is not empty")]
    KeyName,
    /// Too long.
    #[error("the note is longer than {NOTE_BYTES_MAX} bytes or has more than {SIGNATURES_MAX} signatures")]
    TooLarge,
    /// Not a text, a blank line and signature lines.
    #[error("malformed note: {0}")]
    Malformed(&'static str),
    /// Two different trusted keys share name and id.
    #[error("two trusted keys share the name {0} and the key id: make one of them anew")]
    AmbiguousKey(String),
    /// A trusted key's signature doesn't match the text.
    #[error("the signature by {0} does not match: the note was altered, or signed by another key")]
    BadSignature(String),
    /// No trusted key has signed.
    #[error("no trusted key has signed this note")]
    NoTrustedSignature,
    /// A cosignature's time is beyond 2^63 - 1.
    #[error("the time of a cosignature is out of range")]
    Time,
}

/// The kind of a key: which message it signs, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// The text itself (signature type 0x01).
    Ed25519,
    /// `cosignature/v1`, a time in seconds, and the text (signature type 0x04).
    CosignatureV1,
}

impl KeyKind {
    const fn type_byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::CosignatureV1 => 0x04,
        }
    }

    const fn from_type_byte(byte: u8) -> Result<Self, NoteError> {
        match byte {
            0x01 => Ok(Self::Ed25519),
            0x04 => Ok(Self::CosignatureV1),
            other => Err(NoteError::KeyType(other)),
        }
    }
}

/// A named public key: what a `vkey` line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    key: PublicKey,
    id: u32,
}

impl VerifierKey {
    /// Names a key.
    ///
    /// # Errors
    /// When the name can't stand in a signature line.
    pub fn new(name: &str, kind: KeyKind, key: PublicKey) -> Result<Self, NoteError> {
        check_name(name)?;
        let typed = [kind.type_byte()];
        let hash = sha256(&[name.as_bytes(), b"\n", &typed, key.as_bytes()]);
        let (id, _) = hash.as_bytes().split_first_chunk().expect("32 bytes");
        let (name, id) = (name.to_owned(), u32::from_be_bytes(*id));
        Ok(Self { name, kind, key, id })
    }

    /// The key's name; for a log's key, its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of `SHA-256(name ‖ "\n" ‖ type ‖ public key)`, big-endian.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The kind of message that it signs.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key itself.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// Verifies one signature over `text`; gives the time of a cosignature, in seconds.
    fn verify(&self, text: &str, signature: &[u8]) -> Result<Option<u64>, NoteError> {
        let bad = || NoteError::BadSignature(self.name.clone());
        match self.kind {
            KeyKind::Ed25519 => {
                let verdict = self.key.verify(text.as_bytes(), signature);
                verdict.map(|()| None).map_err(|_| bad())
            }
            KeyKind::CosignatureV1 => {
                let (time, signature) = signature.split_first_chunk::<8>().ok_or_else(bad)?;
                let time_s = u64::from_be_bytes(*time);
                let message = cosigned_message(text, time_s)?;
                let verdict = self.key.verify(message.as_bytes(), signature);
                verdict.map(|()| Some(time_s)).map_err(|_| bad())
            }
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [&[self.kind.type_byte()], &self.key.as_bytes()[..]].concat();
        let base64 = BASE64_STANDARD.encode(typed);
        write!(f, "{}+{:08x}+{base64}", self.name, self.id)
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(line: &str) -> Result<Self, NoteError> {
        let (name, id, kind, key) = parse_key_line(line)?;
        let key = PublicKey::from_bytes(&key[..]).map_err(|_| NoteError::KeyLine)?;
        let parsed = Self::new(name, kind, key)?;
        match format!("{:08x}", parsed.id) == id {
            true => Ok(parsed),
            false => Err(NoteError::KeyLine),
        }
    }
}

/// A named private key: what an `skey` line says. Wiped on drop, never printed.
#[derive(Clone)]
pub struct SignerKey {
    verifier: VerifierKey,
    key: SigningKey,
}

impl SignerKey {
    /// Names a key.
    ///
    /// # Errors
    /// When the name can't stand in a signature line.
    pub fn new(name: &str, kind: KeyKind, key: SigningKey) -> Result<Self, NoteError> {
        let verifier = VerifierKey::new(name, kind, key.public_key())?;
        Ok(Self { verifier, key })
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The `skey` line, to store in a key file: `PRIVATE+KEY+<name>+<key id>+<base64>`; wiped when dropped.
    pub fn to_skey(&self) -> Zeroizing<String> {
        let VerifierKey { name, kind, id, .. } = &self.verifier;
        let seed = self.key.to_seed();
        let typed = Zeroizing::new([&[kind.type_byte()], &seed[..]].concat());
        let base64 = Zeroizing::new(BASE64_STANDARD.encode(&typed[..]));
        Zeroizing::new(format!("{SKEY_PREFIX}{name}+{id:08x}+{}", *base64))
    }

    /// Reads an `skey` line.
    ///
    /// # Errors
    /// When it isn't one, or its id isn't the one that the key hashes to.
    pub fn from_skey(line: &str) -> Result<Self, NoteError> {
        let line = line.strip_prefix(SKEY_PREFIX).ok_or(NoteError::KeyLine)?;
        let (name, id, kind, seed) = parse_key_line(line)?;
        let parsed = Self::new(name, kind, SigningKey::from_seed(&seed))?;
        match format!("{:08x}", parsed.verifier.id) == id {
            true => Ok(parsed),
            false => Err(NoteError::KeyLine),
        }
    }

    /// Signs `text`. `time_s` (seconds since 1970) goes into a cosignature; a plain signature has none.
    ///
    /// # Errors
    /// When a cosignature's time is beyond 2^63 - 1.
    pub fn sign(&self, text: &str, time_s: u64) -> Result<NoteSignature, NoteError> {
        let signature = match self.verifier.kind {
            KeyKind::Ed25519 => self.key.sign(text.as_bytes()).to_vec(),
            KeyKind::CosignatureV1 => {
                let signature = self.key.sign(cosigned_message(text, time_s)?.as_bytes());
                let mut out = Vec::with_capacity(8 + SIGNATURE_LEN);
                out.extend_from_slice(&time_s.to_be_bytes());
                out.extend_from_slice(&signature);
                out
            }
        };
        let (name, key_id) = (self.verifier.name.clone(), self.verifier.id);
        Ok(NoteSignature { name, key_id, signature })
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerKey(of {})", self.verifier)
    }
}

/// The text that a cosignature signs (c2sp.org/tlog-cosignature).
fn cosigned_message(text: &str, time_s: u64) -> Result<String, NoteError> {
    if time_s > i64::MAX as u64 {
        return Err(NoteError::Time);
    }
    Ok(format!("cosignature/v1\ntime {time_s}\n{text}"))
}

fn check_name(name: &str) -> Result<(), NoteError> {
    let bad = |c: char| c.is_whitespace() || c < ' ' || c == '+';
    match name.is_empty() || name.contains(bad) {
        true => Err(NoteError::KeyName),
        false => Ok(()),
    }
}

type KeyLine<'a> = (&'a str, &'a str, KeyKind, Zeroizing<[u8; 32]>);

/// `<name>+<id>+<base64 of a type byte and 32 bytes>`; the base64 may have a `+` of its own.
fn parse_key_line(line: &str) -> Result<KeyLine<'_>, NoteError> {
    let mut parts = line.splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NoteError::KeyLine);
    };
    let key = BASE64_STANDARD.decode(key).map(Zeroizing::new);
    let key = key.map_err(|_| NoteError::KeyLine)?;
    let (kind, key) = key.split_first().ok_or(NoteError::KeyLine)?;
    let kind = KeyKind::from_type_byte(*kind)?;
    let key: [u8; 32] = key.try_into().map_err(|_| NoteError::KeyLine)?;
    Ok((name, id, kind, Zeroizing::new(key)))
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// Name of the key.
    pub name: String,
    /// Id of the key.
    pub key_id: u32,
    /// Bytes as the key's type has them: 64 bytes, or a time and 64 bytes.
    pub signature: Vec<u8>,
}

impl fmt::Display for NoteSignature {
    /// The line, newline included.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.key_id.to_be_bytes()[..], &self.signature].concat();
        let base64 = BASE64_STANDARD.encode(bytes);
        writeln!(f, "{SIGNATURE_PREFIX}{} {base64}", self.name)
    }
}

impl FromStr for NoteSignature {
    type Err = NoteError;

    /// Reads a line, without its newline.
    fn from_str(line: &str) -> Result<Self, NoteError> {
        let malformed = NoteError::Malformed("a signature line is not: em dash, name, base64");
        let rest = line.strip_prefix(SIGNATURE_PREFIX);
        let Some((name, base64)) = rest.and_then(|rest| rest.split_once(' ')) else {
            return Err(malformed);
        };
        check_name(name)?;
        let Ok(bytes) = BASE64_STANDARD.decode(base64) else {
            return Err(malformed);
        };
        match bytes.split_first_chunk::<4>() {
            Some((key_id, signature)) if !signature.is_empty() => {
                Ok(Self { name: name.to_owned(), key_id: u32::from_be_bytes(*key_id), signature: signature.to_vec() })
            }
            _ => Err(malformed),
        }
    }
}

/// A trusted key's signature that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSignature {
    /// The key.
    pub key: VerifierKey,
    /// When a cosigner signed, in seconds since 1970; `None` for a plain signature.
    pub time_s: Option<u64>,
}

/// A text and its signatures, not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl SignedNote {
    /// A note of `text` with `signatures`.
    ///
    /// # Errors
    /// When the text doesn't end in a newline or has control characters, or there is no signature.
    pub fn new(text: String, signatures: Vec<NoteSignature>) -> Result<Self, NoteError> {
        if !text.ends_with('\n') {
            return Err(NoteError::Malformed("the text does not end in a newline"));
        }
        if text.contains(|c: char| c < ' ' && c != '\n') {
            return Err(NoteError::Malformed("a control character"));
        }
        if signatures.is_empty() {
            return Err(NoteError::Malformed("no signature"));
        }
        if signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::TooLarge);
        }
        Ok(Self { text, signatures })
    }

    /// Reads a note. Nothing in it may be trusted before [`SignedNote::verify`].
    ///
    /// # Errors
    /// When it isn't exactly a note, or is too large.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLarge);
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Malformed("not UTF-8"))?;
        let split = note.rfind("\n\n");
        let split = split.ok_or(NoteError::Malformed("no blank line before the signatures"))?;
        let (text, lines) = (&note[..=split], &note[split + 2..]);
        let lines = lines.strip_suffix('\n');
        let lines = lines.ok_or(NoteError::Malformed("the last line is cut short"))?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == SIGNATURES_MAX {
                return Err(NoteError::TooLarge);
            }
            signatures.push(line.parse()?);
        }
        Self::new(text.to_owned(), signatures)
    }

    /// The signed text, final newline included.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a signature line.
    ///
    /// # Errors
    /// When there are too many.
    pub fn push(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        if self.signatures.len() >= SIGNATURES_MAX {
            return Err(NoteError::TooLarge);
        }
        self.signatures.push(signature);
        Ok(())
    }

    /// Verifies the signatures of trusted keys; those of others are ignored. Gives one item for each trusted key that
    /// signed (of several cosignatures by one key, the latest).
    ///
    /// # Errors
    /// When any signature by a trusted key doesn't match, or no trusted key has signed.
    pub fn verify<'k>(
        &self,
        trusted: impl IntoIterator<Item = &'k VerifierKey>,
    ) -> Result<Vec<VerifiedSignature>, NoteError> {
        let mut keys: Vec<&VerifierKey> = Vec::new();
        for key in trusted {
            let known = keys.iter().find(|k| k.name == key.name && k.id == key.id);
            match known {
                None => keys.push(key),
                Some(known) if *known == key => {}
                Some(_) => return Err(NoteError::AmbiguousKey(key.name.clone())),
            }
        }
        let mut verified: Vec<VerifiedSignature> = Vec::new();
        for line in &self.signatures {
            let by = |key: &&&VerifierKey| key.name == line.name && key.id == line.key_id;
            let Some(key) = keys.iter().find(by).copied() else {
                continue;
            };
            let time_s = key.verify(&self.text, &line.signature)?;
            match verified.iter_mut().find(|seen| seen.key == *key) {
                Some(seen) => seen.time_s = seen.time_s.max(time_s),
                None => verified.push(VerifiedSignature { key: key.clone(), time_s }),
            }
        }
        match verified.is_empty() {
            true => Err(NoteError::NoTrustedSignature),
            false => Ok(verified),
        }
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| line.fmt(f))
    }
}

#[cfg(test)]
mod tests;
