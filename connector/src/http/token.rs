//! Bearer tokens: JWTs of the establishment's own server, verified here, without asking it.
//!
//! `sillage_rules` takes a token apart as strictly as it does with the logins of patients: a key or an address of one in the
//! token, a name that stands twice or a compression is refused. The algorithms differ: servers of tokens sign with RS256,
//! RS384, ES256 or ES384. `none` and shared secrets are no algorithms here, so no token can choose them.

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use sillage_rules::will::claims::Claims;
use sillage_rules::will::jws::Token;

use super::keys::{Key, KeySet, Material};
use super::scopes::Scopes;

/// How far the clocks of the two machines may differ, in seconds.
pub const LEEWAY_S: u64 = 60;

/// The longest that a token may count, in seconds, whatever it says of itself.
const LIFE_S_MAX: u64 = 86_400;

/// Why a token isn't taken. Holds nothing of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It isn't a signed JWT, or not one that can be read in one way.
    #[error("the token isn't a signed JWT in compact form with `alg` and `kid` in its header")]
    Malformed,
    /// `none`, a shared secret, or an algorithm that isn't known.
    #[error("the token's algorithm isn't RS256, RS384, ES256 or ES384")]
    Algorithm,
    /// No key of this name.
    #[error("the server of tokens has no key of the token's `kid`")]
    Key,
    /// The signature is another one.
    #[error("the server of tokens didn't sign this token")]
    Signature,
    /// Of another server.
    #[error("the token is of another issuer than [oauth] issuer")]
    Issuer,
    /// For another service.
    #[error("the token is for another audience than [oauth] audience")]
    Audience,
    /// Over, or without an end.
    #[error("the token has expired: get another one")]
    Expired,
    /// Not yet.
    #[error("the token doesn't count yet: compare the clocks")]
    Early,
    /// It doesn't say whose it is.
    #[error("the token names no client: `client_id`, `azp` or `sub`")]
    Client,
}

/// What a token gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The id of the client at its server.
    pub client_id: String,
    /// The subject, where the token names one.
    pub subject: Option<String>,
    /// What the token allows.
    pub scopes: Scopes,
}

/// An algorithm that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Rs256,
    Rs384,
    Es256,
    Es384,
}

impl Algorithm {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "RS384" => Some(Self::Rs384),
            "ES256" => Some(Self::Es256),
            "ES384" => Some(Self::Es384),
            _ => None,
        }
    }

    /// Whether `key` is for this algorithm and signed the message.
    fn verify(self, key: &Key, message: &[u8], signature: &[u8]) -> bool {
        if key.algorithm.as_deref().is_some_and(|named| Self::from_name(named) != Some(self)) {
            return false;
        }
        match (self, &key.material) {
            (Self::Rs256, Material::Rsa { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
            (Self::Rs384, Material::Rsa { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA384, message, signature).is_ok()
            }
            (Self::Es256, Material::P256(point)) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            (Self::Es384, Material::P384(point)) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature).is_ok()
            }
            _ => false,
        }
    }
}

/// The id of the key that a token names, to look whether it is known.
///
/// # Errors
/// [`TokenError::Malformed`] or [`TokenError::Algorithm`].
pub fn key_id(text: &str) -> Result<String, TokenError> {
    let token = Token::parse(text).map_err(|_| TokenError::Malformed)?;
    match Algorithm::from_name(&token.algorithm) {
        Some(_) => Ok(token.kid),
        None => Err(TokenError::Algorithm),
    }
}

/// Verifies a token at `now_s`, seconds since 1970.
///
/// # Errors
/// The first reason why it isn't taken.
pub fn verify(text: &str, keys: &KeySet, issuer: &str, audience: &str, now_s: u64) -> Result<Granted, TokenError> {
    let token = Token::parse(text).map_err(|_| TokenError::Malformed)?;
    let algorithm = Algorithm::from_name(&token.algorithm).ok_or(TokenError::Algorithm)?;
    let key = keys.get(&token.kid).ok_or(TokenError::Key)?;
    if !algorithm.verify(key, &token.signed, &token.signature) {
        return Err(TokenError::Signature);
    }
    let malformed = |_| TokenError::Malformed;
    let claims = Claims::parse(&token).map_err(malformed)?;
    if claims.optional_text("iss").map_err(malformed)? != Some(issuer) {
        return Err(TokenError::Issuer);
    }
    if !claims.list("aud").map_err(malformed)?.contains(&audience) {
        return Err(TokenError::Audience);
    }
    let expires = claims.seconds("exp").map_err(malformed)?.ok_or(TokenError::Expired)?;
    if expires.saturating_add(LEEWAY_S) <= now_s {
        return Err(TokenError::Expired);
    }
    let issued = claims.seconds("iat").map_err(malformed)?;
    if issued.is_some_and(|issued| issued.saturating_add(LIFE_S_MAX) <= now_s) {
        return Err(TokenError::Expired);
    }
    let begins = claims.seconds("nbf").map_err(malformed)?.max(issued).unwrap_or(0);
    if begins > now_s.saturating_add(LEEWAY_S) {
        return Err(TokenError::Early);
    }
    let mut client = None;
    for name in ["client_id", "azp", "sub"] {
        client = client.or(claims.optional_text(name).map_err(malformed)?);
    }
    let client_id = client.filter(|id| !id.is_empty()).ok_or(TokenError::Client)?.to_owned();
    // RFC 8693 §4.2 and RFC 9068: one text. Some servers write `scp`, or a list.
    let mut words = Vec::new();
    for name in ["scope", "scp"] {
        words.extend(claims.list(name).map_err(malformed)?.into_iter().flat_map(|text| text.split(' ')));
    }
    let subject = claims.optional_text("sub").map_err(malformed)?.map(str::to_owned);
    Ok(Granted { client_id, subject, scopes: Scopes::of_token(words) })
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
