//! Tokens: opened where they are encrypted, taken apart as strictly as the ledger does it, and held against what was asked for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use sillage_rules::will::claims::Claims;
use sillage_rules::will::jws::Token;
use sillage_rules::will::{Level, TOKEN_BYTES_MAX};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::error::LoginError;
use super::jwe;
use super::keys::{DecryptionKey, ProviderKeys};
use super::settings::Settings;

/// How far the clocks of the two machines may differ, in seconds. Tokens of FranceConnect live 60 seconds.
pub const LEEWAY_S: u64 = 30;
/// A token that was made earlier isn't of this login, in seconds.
const MADE_BEFORE_S_MAX: u64 = 300;
/// Characters of `sub` (OpenID Connect Core §2).
const SUB_BYTES_MAX: usize = 255;

/// A signed token, in the form in which the ledger takes it.
pub struct Signed {
    /// The token in compact form.
    pub text: Zeroizing<String>,
    /// Its claims.
    pub claims: Claims,
}

/// The claims of an ID token that were held against what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Established {
    /// The claim `acr`.
    pub acr: Option<String>,
    /// How sure that is.
    pub level: Level,
    /// The claim `amr`.
    pub amr: Vec<String>,
    /// When the person logged in, seconds since 1970, where the provider says it.
    pub auth_time_s: Option<u64>,
    /// When the token was made.
    pub issued_s: u64,
}

/// The claims that an ID token has to make.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The nonce that was sent.
    pub nonce: &'a str,
    /// The level that was asked for.
    pub level: Level,
    /// The person logged in at this time or later, seconds since 1970.
    pub not_before_s: Option<u64>,
    /// The access token beside it.
    pub access_token: Option<&'a str>,
    /// Now, seconds since 1970.
    pub now_s: u64,
}

/// Opens a token where the settings say that it is encrypted, and takes it only in that form. Gives the signed token.
///
/// # Errors
/// [`LoginError::NotEncrypted`], [`LoginError::Encryption`], and those of [`jwe::open`].
pub fn decrypted(text: &str, settings: &Settings, keys: &[DecryptionKey]) -> Result<Zeroizing<String>, LoginError> {
    match (settings.encrypted, jwe::is_encrypted(text)) {
        (true, true) => jwe::open(text, keys),
        (true, false) => Err(LoginError::NotEncrypted),
        (false, true) => Err(LoginError::Encryption),
        (false, false) if text.len() > TOKEN_BYTES_MAX => Err(LoginError::TooLong),
        (false, false) => Ok(Zeroizing::new(text.to_owned())),
    }
}

/// The key that a signed token names, to look whether it is known.
///
/// # Errors
/// [`LoginError::Malformed`] or [`LoginError::Algorithm`].
pub fn key_named(text: &str) -> Result<String, LoginError> {
    match take_apart(text)? {
        token if token.algorithm == "ES256" => Ok(token.kid),
        _ => Err(LoginError::Algorithm),
    }
}

fn take_apart(text: &str) -> Result<Token, LoginError> {
    Token::parse(text).map_err(|_| LoginError::Malformed)
}

/// Verifies the signature of a token, its issuer and its audience.
fn signed(text: Zeroizing<String>, keys: &ProviderKeys, settings: &Settings) -> Result<Signed, LoginError> {
    let token = take_apart(&text)?;
    if token.algorithm != "ES256" {
        return Err(LoginError::Algorithm);
    }
    keys.verify(&token.kid, &token.signed, &token.signature)?;
    let claims = Claims::parse(&token).map_err(malformed)?;
    if claims.optional_text("iss").map_err(malformed)? != Some(settings.issuer.as_str()) {
        return Err(LoginError::Issuer);
    }
    // One audience, this client. More of them would be services that can replay the token here (OpenID Connect Core §3.1.3.7, 3).
    if claims.list("aud").map_err(malformed)? != [settings.client_id.as_str()] {
        return Err(LoginError::Audience);
    }
    if claims.optional_text("azp").map_err(malformed)?.is_some_and(|azp| azp != settings.client_id) {
        return Err(LoginError::Audience);
    }
    Ok(Signed { text, claims })
}

/// Verifies an ID token (OpenID Connect Core §3.1.3.7).
///
/// # Errors
/// The first reason why it isn't taken.
pub fn id_token(
    text: Zeroizing<String>,
    keys: &ProviderKeys,
    settings: &Settings,
    expected: &Expected<'_>,
) -> Result<(Signed, Established), LoginError> {
    let token = signed(text, keys, settings)?;
    let claims = &token.claims;
    let now_s = expected.now_s;
    let expires = claims.seconds("exp").map_err(malformed)?.ok_or(LoginError::Malformed)?;
    let issued_s = claims.seconds("iat").map_err(malformed)?.ok_or(LoginError::Malformed)?;
    if expires.saturating_add(LEEWAY_S) <= now_s || issued_s.saturating_add(MADE_BEFORE_S_MAX) <= now_s {
        return Err(LoginError::Expired);
    }
    let begins = issued_s.max(claims.seconds("nbf").map_err(malformed)?.unwrap_or(0));
    if begins > now_s.saturating_add(LEEWAY_S) {
        return Err(LoginError::Early);
    }
    let nonce = claims.optional_text("nonce").map_err(malformed)?.unwrap_or_default();
    let is_same: bool = nonce.as_bytes().ct_eq(expected.nonce.as_bytes()).into();
    if !is_same {
        return Err(LoginError::Nonce);
    }
    let acr = claims.optional_text("acr").map_err(malformed)?;
    let level = settings.level(acr);
    if level < expected.level {
        return Err(LoginError::Level);
    }
    let auth_time_s = claims.seconds("auth_time").map_err(malformed)?;
    check_age(auth_time_s, expected)?;
    check_access_token(claims, expected.access_token)?;
    subject(claims)?;
    let amr = claims.list("amr").map_err(malformed)?.into_iter().map(str::to_owned).collect();
    let established = Established { acr: acr.map(str::to_owned), level, amr, auth_time_s, issued_s };
    Ok((token, established))
}

/// Verifies a userinfo answer (§5.3.2, signed): of the same person.
///
/// # Errors
/// The first reason why it isn't taken.
pub fn userinfo(
    text: Zeroizing<String>,
    keys: &ProviderKeys,
    settings: &Settings,
    (login, now_s): (&Claims, u64),
) -> Result<Signed, LoginError> {
    let answer = signed(text, keys, settings)?;
    if answer.claims.seconds("exp").map_err(malformed)?.is_some_and(|expires| expires.saturating_add(LEEWAY_S) <= now_s)
    {
        return Err(LoginError::Expired);
    }
    match subject(&answer.claims)? == subject(login)? {
        true => Ok(answer),
        false => Err(LoginError::Subject),
    }
}

/// The claim `sub`.
///
/// # Errors
/// [`LoginError::Malformed`]: missing, empty or too long.
pub fn subject(claims: &Claims) -> Result<&str, LoginError> {
    let sub = claims.text("sub").map_err(malformed)?;
    match sub.is_empty() || sub.len() > SUB_BYTES_MAX {
        true => Err(LoginError::Malformed),
        false => Ok(sub),
    }
}

fn check_age(auth_time_s: Option<u64>, expected: &Expected<'_>) -> Result<(), LoginError> {
    if auth_time_s.is_some_and(|auth_time_s| auth_time_s > expected.now_s.saturating_add(LEEWAY_S)) {
        return Err(LoginError::Early);
    }
    let Some(not_before_s) = expected.not_before_s else { return Ok(()) };
    match auth_time_s {
        Some(auth_time_s) if auth_time_s.saturating_add(LEEWAY_S) >= not_before_s => Ok(()),
        _ => Err(LoginError::TooOld),
    }
}

/// The claim `at_hash`, where it is there: the left half of the access token's hash (§3.1.3.6).
fn check_access_token(claims: &Claims, access_token: Option<&str>) -> Result<(), LoginError> {
    let Some(expected) = claims.optional_text("at_hash").map_err(malformed)? else { return Ok(()) };
    let hash = Sha256::digest(access_token.unwrap_or_default().as_bytes());
    match URL_SAFE_NO_PAD.encode(&hash[..16]) == expected {
        true => Ok(()),
        false => Err(LoginError::AccessToken),
    }
}

/// The words of the ledger's parser may name a claim: they are left out.
pub(super) fn malformed<E>(_: E) -> LoginError {
    LoginError::Malformed
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
