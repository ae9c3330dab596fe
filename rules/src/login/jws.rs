//! Signed tokens: JWS in compact form (RFC 7515 §7.1), read strictly, with the three algorithms that are taken.
//!
//! The parser is ours because most of what goes wrong with tokens goes wrong in what a general library allows: a key or
//! its address that comes with the token, an algorithm that the token chooses, names that stand there twice. ring, which the
//! TLS below has already, verifies ES256 and RS256.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use sillage_proof::keys::PublicKey;

use super::TOKEN_BYTES_MAX;
use crate::codes::Code;
use crate::error::RecordError;
use crate::json;

/// Objects and arrays inside each other in a token.
const DEPTH_MAX: usize = 8;

/// A signature algorithm that is taken (RFC 7518 §3.1, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// As the header of a token names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The one with this name. `none` and those with a shared secret are none.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Es256, Self::Rs256, Self::EdDsa].into_iter().find(|known| known.name() == name)
    }

    /// Tells whether `signature` is that of `key` over `message`; `exponent` is RSA's.
    pub(crate) fn verify(self, key: &[u8], exponent: u32, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Es256 => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(message, signature).is_ok(),
            Self::Rs256 => {
                let e = exponent.to_be_bytes();
                let e = &e[(exponent.leading_zeros() / 8) as usize..];
                RsaPublicKeyComponents { n: key, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
            Self::EdDsa => PublicKey::from_bytes(key).is_ok_and(|key| key.verify(message, signature).is_ok()),
        }
    }
}

/// The header. Other members of a header are ignored, unless they would change which key or rules count.
#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
    jwk: Option<serde_json::Value>,
    jku: Option<serde_json::Value>,
    x5c: Option<serde_json::Value>,
    x5u: Option<serde_json::Value>,
    b64: Option<serde_json::Value>,
    zip: Option<serde_json::Value>,
}

/// A token that was taken apart, and not verified.
#[derive(Debug)]
pub struct Token {
    /// The algorithm that its header names.
    pub algorithm: String,
    /// The key that its header names.
    pub kid: String,
    /// The claims: a JSON object without repeated names.
    pub payload: String,
    /// The bytes that are signed.
    pub signed: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
}

impl Token {
    /// Takes a token apart.
    ///
    /// # Errors
    /// `LOGIN_MALFORMED`.
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(malformed("a token that is too long"));
        }
        let parts: Vec<&str> = text.split('.').collect();
        let [header, payload, signature] = parts[..] else {
            return Err(malformed(match parts.len() {
                5 => "an encrypted token: decrypt it, what was signed is inside",
                _ => "not a signed token in compact form",
            }));
        };
        let header = object(header, "its header")?;
        let header: Header = serde_json::from_str(&header).map_err(|_| malformed("its header lacks `alg`"))?;
        let Header { alg, kid, crit, jwk, jku, x5c, x5u, b64, zip } = header;
        if [crit, jwk, jku, x5c, x5u, b64, zip].iter().any(Option::is_some) {
            return Err(malformed("its header brings a key or rules of its own"));
        }
        Ok(Self {
            algorithm: alg,
            kid: kid.ok_or_else(|| malformed("its header names no key: `kid` is missing"))?,
            payload: object(payload, "its claims")?,
            signed: text.as_bytes()[..text.rfind('.').expect("three parts")].to_vec(),
            signature: URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed("its signature isn't base64url"))?,
        })
    }
}

fn object(part: &str, what: &str) -> Result<String, RecordError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed(&format!("{what}: not base64url")))?;
    let text = String::from_utf8(bytes).map_err(|_| malformed(&format!("{what}: not UTF-8")))?;
    // No content of it in the error: it may name a person.
    json::check_object(&text, DEPTH_MAX)
        .map_err(|_| malformed(&format!("{what}: not a JSON object in which each name stands once")))?;
    Ok(text)
}

pub(crate) fn malformed(why: &str) -> RecordError {
    RecordError::new(Code::LoginMalformed, "", why)
}
