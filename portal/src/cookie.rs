//! What a browser holds: cookies and forms that the page process sealed, and nobody else can read, make or move.
//!
//! ```text
//! sealed = base64url(salt[16] ‖ nonce[12] ‖ AES-256-GCM(HKDF-SHA-256(key, salt, purpose), nonce, u64 until_ms ‖ content))
//! ```
//!
//! The key of each is its own, from its salt, so that one key never seals two things under one nonce. The purpose is part of the key
//! and of the associated data: a cookie of a login isn't one of a session. All instances of a portal have the same key
//! (`cookie_key`), and so any of them reads what another one sealed.
//!
//! A session doesn't fit into one cookie, as it holds the token of the login: it stands in up to [`PARTS_MAX`] of them.

use std::path::Path;

use axum::http::header;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::{hkdf, hmac};
use sillage_client::ClientError;
use sillage_client::profile::{load_seed, write_private};
use zeroize::Zeroizing;

use crate::web::Asked;
use crate::web::answer::{Answer, add};

const SALT: usize = 16;
const NONCE: usize = 12;
/// Cookies of one session.
pub const PARTS_MAX: usize = 4;
/// Of a cookie's value: browsers take 4,096 with name and attributes.
const PART_BYTES_MAX: usize = 3_800;

/// For what something is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An open session.
    Session,
    /// A login that has begun.
    Login,
    /// A record that waits to be confirmed.
    Form,
    /// Where a list goes on.
    Cursor,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Session => b"sillage/portal/1 session",
            Self::Login => b"sillage/portal/1 login",
            Self::Form => b"sillage/portal/1 form",
            Self::Cursor => b"sillage/portal/1 cursor",
        }
    }
}

/// Why something that was sealed isn't taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// It was sealed for something else, or by somebody else, or was changed.
    Forged,
    /// Its time is over.
    Expired,
}

/// The key of a portal.
pub struct Sealer(Zeroizing<[u8; 32]>);

impl Sealer {
    /// Reads the key's file: 64 hexadecimal characters, mode 0600.
    ///
    /// # Errors
    /// When it can't be read, isn't one, or others may read it.
    pub fn load(path: &Path) -> Result<Self, ClientError> {
        Ok(Self(load_seed(path)?.to_seed()))
    }

    /// Of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Makes a key's file.
    ///
    /// # Errors
    /// When it is there already, or can't be written.
    pub fn create(path: &Path) -> Result<(), ClientError> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|error| ClientError::writing(path, error))?;
        write_private(path, Zeroizing::new(format!("{}\n", hex::encode(bytes.as_slice()))).as_bytes())
    }

    fn derived(&self, salt: &[u8], label: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut out = Zeroizing::new([0; 32]);
        let label = [label];
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(self.0.as_slice());
        let okm = extracted.expand(&label, hkdf::HKDF_SHA256).expect("32 bytes can be had");
        okm.fill(out.as_mut_slice()).expect("32 bytes can be had");
        out
    }

    fn key(&self, salt: &[u8], purpose: Purpose) -> LessSafeKey {
        let key = self.derived(salt, purpose.label());
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_slice()).expect("32 bytes are a key"))
    }

    /// Seals `content` until `until_ms`, as text that fits into a cookie, a form and a URL.
    ///
    /// # Errors
    /// When the machine has no randomness to give.
    pub fn seal(&self, purpose: Purpose, until_ms: u64, content: &[u8]) -> Result<String, ClientError> {
        let mut head = [0; SALT + NONCE];
        getrandom::fill(&mut head).map_err(|error| ClientError::Usage(format!("no randomness: {error}")))?;
        Ok(self.seal_under(head, purpose, until_ms, content))
    }

    /// The same for what a page offers to be chosen: the same content gives the same text each time, so that a form that comes back shows
    /// what was chosen. Salt and nonce are a MAC of the content.
    pub fn name(&self, purpose: Purpose, until_ms: u64, content: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.derived(b"", b"sillage/portal/1 names").as_slice());
        let mut context = hmac::Context::with_key(&key);
        [purpose.label(), b"\0", &until_ms.to_be_bytes(), content].iter().for_each(|part| context.update(part));
        let tag = context.sign();
        let head = std::array::from_fn(|at| tag.as_ref()[at]);
        self.seal_under(head, purpose, until_ms, content)
    }

    fn seal_under(&self, head: [u8; SALT + NONCE], purpose: Purpose, until_ms: u64, content: &[u8]) -> String {
        let mut out = head.to_vec();
        let key = self.key(&out[..SALT], purpose);
        let nonce = Nonce::try_assume_unique_for_key(&out[SALT..]).expect("12 bytes");
        let mut sealed = [&until_ms.to_be_bytes()[..], content].concat();
        let aad = Aad::from(purpose.label());
        key.seal_in_place_append_tag(nonce, aad, &mut sealed).expect("far below 64 GiB");
        out.extend(sealed);
        URL_SAFE_NO_PAD.encode(out)
    }

    /// Opens what was sealed for the same purpose.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn open(&self, purpose: Purpose, text: &str, now_ms: u64) -> Result<Zeroizing<Vec<u8>>, Unusable> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Unusable::Forged)?;
        let (head, sealed) = bytes.split_at_checked(SALT + NONCE).ok_or(Unusable::Forged)?;
        let key = self.key(&head[..SALT], purpose);
        let nonce = Nonce::try_assume_unique_for_key(&head[SALT..]).expect("12 bytes");
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let opened = key.open_in_place(nonce, Aad::from(purpose.label()), &mut sealed);
        let opened = opened.map_err(|_| Unusable::Forged)?;
        let (until_ms, content) = opened.split_first_chunk::<8>().ok_or(Unusable::Forged)?;
        match now_ms < u64::from_be_bytes(*until_ms) {
            true => Ok(Zeroizing::new(content.to_vec())),
            false => Err(Unusable::Expired),
        }
    }

    fn token_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.derived(b"", b"sillage/portal/1 forms of a session").as_slice())
    }

    /// What every form of a session carries, so that no other site can send one: a MAC of the session's public key.
    pub fn token_of_forms(&self, session: &[u8; 32]) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.token_key(), session))
    }

    /// Whether a form carries it.
    pub fn is_token_of_forms(&self, session: &[u8; 32], text: &str) -> bool {
        let tag = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        hmac::verify(&self.token_key(), session, &tag).is_ok()
    }
}

/// How cookies are called and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookies {
    /// The browser comes over HTTPS: cookies have the prefix `__Host-`, and are sent over TLS alone.
    pub secure: bool,
}

impl Cookies {
    fn name(&self, name: &str, part: usize) -> String {
        let prefix = if self.secure { "__Host-" } else { "" };
        match part {
            0 => format!("{prefix}sillage-{name}"),
            part => format!("{prefix}sillage-{name}-{part}"),
        }
    }

    fn attributes(&self) -> &'static str {
        match self.secure {
            true => "; Path=/; HttpOnly; Secure; SameSite=Lax",
            false => "; Path=/; HttpOnly; SameSite=Lax",
        }
    }

    /// The value of a cookie, put together of its parts.
    pub fn read(&self, asked: &Asked, name: &str) -> Option<String> {
        let parts = (0..PARTS_MAX).map_while(|part| asked.cookie(&self.name(name, part)));
        let value: String = parts.collect();
        (!value.is_empty()).then_some(value)
    }

    /// Sets a cookie, in as many parts as it takes, and ends the parts that it no longer has. It ends with the browser: nothing stays
    /// on a shared computer.
    ///
    /// # Errors
    /// The number of bytes that don't fit.
    pub fn set(&self, answer: &mut Answer, name: &str, value: &str) -> Result<(), usize> {
        let mut parts: Vec<&str> = Vec::new();
        let mut rest = value;
        while !rest.is_empty() {
            // The value is base64url: each byte is a character.
            let (part, left) = rest.split_at(rest.len().min(PART_BYTES_MAX));
            parts.push(part);
            rest = left;
        }
        if parts.len() > PARTS_MAX {
            return Err(value.len() - PARTS_MAX * PART_BYTES_MAX);
        }
        for part in 0..PARTS_MAX {
            match parts.get(part) {
                Some(text) => {
                    let line = format!("{}={text}{}", self.name(name, part), self.attributes());
                    add(answer, header::SET_COOKIE, &line);
                }
                None if part > 0 && parts.len() < 2 => {}
                None => self.end_part(answer, name, part),
            }
        }
        Ok(())
    }

    /// Ends a cookie with all its parts.
    pub fn end(&self, answer: &mut Answer, name: &str) {
        (0..PARTS_MAX).for_each(|part| self.end_part(answer, name, part));
    }

    fn end_part(&self, answer: &mut Answer, name: &str, part: usize) {
        let line = format!("{}=; Max-Age=0{}", self.name(name, part), self.attributes());
        add(answer, header::SET_COOKIE, &line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::answer::text;
    use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};

    fn sealer() -> Sealer {
        Sealer::from_bytes([3; 32])
    }

    #[test]
    fn what_was_sealed_opens_for_its_purpose_in_its_time_and_nowhere_else() {
        let sealed = sealer().seal(Purpose::Session, 1_000, b"content").expect("sealed");
        let open = |sealer: &Sealer, purpose, now| sealer.open(purpose, &sealed, now).map(|bytes| bytes.to_vec());
        assert_eq!(open(&sealer(), Purpose::Session, 999), Ok(b"content".to_vec()));
        assert_eq!(open(&sealer(), Purpose::Session, 1_000), Err(Unusable::Expired));
        assert_eq!(open(&sealer(), Purpose::Form, 999), Err(Unusable::Forged));
        assert_eq!(open(&Sealer::from_bytes([4; 32]), Purpose::Session, 999), Err(Unusable::Forged));
        assert_ne!(sealer().seal(Purpose::Session, 1_000, b"content").expect("sealed"), sealed);
        let name = |content: &[u8]| sealer().name(Purpose::Session, 1_000, content);
        assert_eq!(name(b"content"), name(b"content"));
        assert_eq!(
            sealer().open(Purpose::Session, &name(b"other"), 0).map(|bytes| bytes.to_vec()),
            Ok(b"other".to_vec())
        );
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let sealed = sealer().seal(Purpose::Form, 1_000, b"content").expect("sealed");
        for at in 0..sealed.len() {
            let mut other = sealed.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).expect("ASCII");
            // The last character has bits that don't count: base64 without them is refused, too.
            assert_eq!(sealer().open(Purpose::Form, &other, 0).err(), Some(Unusable::Forged), "{at}");
        }
        for other in ["", "A", "é", &sealed[..30], &format!("{sealed}A")] {
            assert_eq!(sealer().open(Purpose::Form, other, 0).err(), Some(Unusable::Forged), "{other}");
        }
    }

    #[test]
    fn a_form_of_another_session_is_not_taken() {
        let token = sealer().token_of_forms(&[1; 32]);
        assert!(sealer().is_token_of_forms(&[1; 32], &token));
        for (session, token) in [([2; 32], token.as_str()), ([1; 32], ""), ([1; 32], &token[1..])] {
            assert!(!sealer().is_token_of_forms(&session, token));
        }
    }

    /// The request of a browser that took these answers.
    fn browser(answers: &[&Answer]) -> Asked {
        let mut jar: std::collections::BTreeMap<String, String> = std::collections::BTreeMap::new();
        for line in answers.iter().flat_map(|answer| answer.headers().get_all(header::SET_COOKIE)) {
            let line = line.to_str().expect("text");
            let (pair, attributes) = line.split_once(';').expect("attributes");
            assert!(attributes.contains("HttpOnly") && attributes.contains("SameSite=Lax"), "{line}");
            let (name, value) = pair.split_once('=').expect("a pair");
            match attributes.contains("Max-Age=0") {
                true => drop(jar.remove(name)),
                false => drop(jar.insert(name.to_owned(), value.to_owned())),
            }
        }
        let line: Vec<String> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_str(&line.join("; ")).expect("text"));
        let (query, body) = (Default::default(), Default::default());
        Asked { method: Method::GET, path: "/".to_owned(), query, headers, body }
    }

    #[test]
    fn a_large_session_stands_in_several_cookies_and_leaves_none_behind() {
        for secure in [true, false] {
            let cookies = Cookies { secure };
            let value: String = "ab".repeat(5_000);
            let mut set = text(StatusCode::OK, "");
            cookies.set(&mut set, "session", &value).expect("it fits");
            assert_eq!(cookies.read(&browser(&[&set]), "session"), Some(value));
            let mut smaller = text(StatusCode::OK, "");
            cookies.set(&mut smaller, "session", &"c".repeat(4_000)).expect("it fits");
            assert_eq!(cookies.read(&browser(&[&set, &smaller]), "session"), Some("c".repeat(4_000)));
            let mut ended = text(StatusCode::OK, "");
            cookies.end(&mut ended, "session");
            assert_eq!(cookies.read(&browser(&[&set, &ended]), "session"), None);
        }
        let mut answer = text(StatusCode::OK, "");
        assert_eq!(Cookies { secure: true }.set(&mut answer, "session", &"a".repeat(15_201)), Err(1));
    }
}
