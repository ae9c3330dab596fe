//! Issuers: identity providers whose logins prove a will, as the authority publishes them.

use sillage_proof::hash::LedgerTimeMs;
use sillage_proto::v1;

use super::claims::Claims;
use super::jws::{Algorithm, Token};
use super::{KnownSignatures, LEEWAY_S, Level, SESSION_S_MAX};
use crate::check::{at_most, line, required};
use crate::codes::Code;
use crate::error::RecordError;
use crate::limits::{
    ID_BYTES_MAX, ISSUER_AUDIENCES_MAX, ISSUER_KEYS_MAX, ISSUER_LIST_MAX, PARTY_NAME_BYTES_MAX, TOKEN_BYTES_MAX,
};

/// The OID of an INS that is a NIR: of the claims of an issuer that doesn't say.
const OID_NIR: &str = "1.2.250.1.213.1.4.8";

/// A key of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerKey {
    /// Its name among the issuer's keys.
    pub kid: String,
    /// The algorithm that it is for, and no other.
    pub algorithm: Algorithm,
    /// ES256: 65 bytes; EdDSA: 32; RS256: the modulus.
    pub key: Vec<u8>,
    /// RS256 alone, otherwise 0.
    pub exponent: u32,
}

impl IssuerKey {
    /// The bytes that this key is said to have signed, so that no two keys, algorithms or tokens have them in common.
    fn names(&self, token: &Token) -> Vec<u8> {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).expect("bounds were checked").to_be_bytes();
        let (key, signed) = (&self.key[..], token.signed.as_ref());
        let (key_len, signed_len, exponent) = (len(key), len(signed), self.exponent.to_be_bytes());
        let name = self.algorithm.name().as_bytes();
        [b"sillage/login-token\0", name, b"\0", &key_len, key, &exponent, &signed_len, signed].concat()
    }
}

/// An issuer, as the authority published it (`sillage.v1.IssuerPublished`, the fields in the order of the message).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Issuer {
    pub url: String,
    pub name: String,
    /// None: it is withdrawn.
    pub keys: Vec<IssuerKey>,
    pub audiences: Vec<String>,
    pub ins_claim: String,
    pub oid_claim: String,
    pub person_claim: String,
    pub person_system: String,
    pub acr_substantial: Vec<String>,
    pub acr_high: Vec<String>,
    pub session_s: u32,
    /// Ledger time, in milliseconds since 1970.
    pub from_ms: u64,
    /// Excluded; 0: no end.
    pub until_ms: u64,
    pub test: bool,
}

impl Issuer {
    /// Parses what an act or a genesis says.
    ///
    /// # Errors
    /// A field out of bounds, a key that can't be used, an issuer that could prove nothing.
    pub fn parse(message: &v1::IssuerPublished) -> Result<Self, RecordError> {
        required("issuer", &message.issuer)?;
        line("issuer", &message.issuer, ID_BYTES_MAX)?;
        required("name", &message.name)?;
        line("name", &message.name, PARTY_NAME_BYTES_MAX)?;
        at_most("keys", message.keys.len(), ISSUER_KEYS_MAX)?;
        let mut keys: Vec<IssuerKey> = Vec::with_capacity(message.keys.len());
        for (at, key) in message.keys.iter().enumerate() {
            let key = parse_key(key).map_err(|error| error.within(&format!("keys[{at}]")))?;
            if keys.iter().any(|known| known.kid == key.kid) {
                return Err(RecordError::malformed(format!("keys[{at}].kid"), "two keys have this name"));
            }
            keys.push(key);
        }
        list("audiences", &message.audiences, ISSUER_AUDIENCES_MAX)?;
        list("acr_substantial", &message.acr_substantial, ISSUER_LIST_MAX)?;
        list("acr_high", &message.acr_high, ISSUER_LIST_MAX)?;
        if message.acr_high.iter().any(|acr| message.acr_substantial.contains(acr)) {
            return Err(RecordError::malformed("acr_high", "a value is of one level"));
        }
        for (path, claim) in [
            ("ins_claim", &message.ins_claim),
            ("oid_claim", &message.oid_claim),
            ("person_claim", &message.person_claim),
        ] {
            line(path, claim, TOKEN_BYTES_MAX)?;
        }
        line("person_system", &message.person_system, ID_BYTES_MAX)?;
        if u64::from(message.session_s) > SESSION_S_MAX {
            let why = format!("a login counts for at most {SESSION_S_MAX} seconds");
            return Err(RecordError::malformed("session_s", why));
        }
        if message.until_ms != 0 && message.until_ms <= message.from_ms {
            return Err(RecordError::malformed("until_ms", "it ends when it begins, or before"));
        }
        let issuer = Self {
            url: message.issuer.clone(),
            name: message.name.clone(),
            keys,
            audiences: message.audiences.clone(),
            ins_claim: message.ins_claim.clone(),
            oid_claim: message.oid_claim.clone(),
            person_claim: message.person_claim.clone(),
            person_system: message.person_system.clone(),
            acr_substantial: message.acr_substantial.clone(),
            acr_high: message.acr_high.clone(),
            session_s: message.session_s,
            from_ms: message.from_ms,
            until_ms: message.until_ms,
            test: message.test,
        };
        issuer.check_useful()?;
        Ok(issuer)
    }

    /// An issuer with keys can prove something.
    fn check_useful(&self) -> Result<(), RecordError> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let missing = |path: &str, why: &str| Err(RecordError::malformed(path, why));
        if self.audiences.is_empty() {
            return missing("audiences", "missing: a token made for another service would be taken");
        }
        if self.ins_claim.is_empty() && self.person_claim.is_empty() {
            return missing("ins_claim", "missing, and so is `person_claim`: its logins would prove nobody's will");
        }
        match self.acr_substantial.is_empty() && self.acr_high.is_empty() {
            true => missing("acr_substantial", "missing, and so is `acr_high`: its logins would never be enough"),
            false => Ok(()),
        }
    }

    /// As it stands in a record or in the genesis entry.
    pub fn to_message(&self) -> v1::IssuerPublished {
        let key = |key: &IssuerKey| v1::IssuerKey {
            kid: key.kid.clone(),
            alg: key.algorithm.name().to_owned(),
            key: key.key.clone(),
            exponent: key.exponent,
        };
        v1::IssuerPublished {
            issuer: self.url.clone(),
            name: self.name.clone(),
            keys: self.keys.iter().map(key).collect(),
            audiences: self.audiences.clone(),
            ins_claim: self.ins_claim.clone(),
            oid_claim: self.oid_claim.clone(),
            person_claim: self.person_claim.clone(),
            person_system: self.person_system.clone(),
            acr_substantial: self.acr_substantial.clone(),
            acr_high: self.acr_high.clone(),
            session_s: self.session_s,
            from_ms: self.from_ms,
            until_ms: self.until_ms,
            test: self.test,
        }
    }

    /// Tells whether its logins count at this time: it isn't withdrawn, and its time has come and isn't over.
    pub fn counts_at(&self, at: LedgerTimeMs) -> bool {
        let at = at.get();
        !self.keys.is_empty() && self.from_ms <= at && (self.until_ms == 0 || at < self.until_ms)
    }

    /// Verifies that a key of the issuer signed the token, with the algorithm that the key is for.
    pub(crate) fn verify(&self, token: &Token, known: Option<&dyn KnownSignatures>) -> Result<(), RecordError> {
        let algorithm = Algorithm::from_name(&token.algorithm)
            .ok_or_else(|| RecordError::new(Code::LoginAlgorithm, "", "its algorithm isn't ES256, RS256 or EdDSA"))?;
        let key = self.keys.iter().find(|key| key.kid == token.kid);
        let key = key.ok_or_else(|| RecordError::new(Code::LoginKey, "", "its issuer has no key of this `kid`"))?;
        if key.algorithm != algorithm {
            return Err(RecordError::new(Code::LoginAlgorithm, "", "its key is for another algorithm"));
        }
        let verify = || algorithm.verify(&key.key, key.exponent, &token.signed, &token.signature);
        let good = match known {
            Some(known) => known.or_verify(&key.names(token), &token.signature, &verify),
            None => verify(),
        };
        match good {
            true => Ok(()),
            false => Err(RecordError::new(Code::LoginSignature, "", "its issuer didn't sign it")),
        }
    }

    /// The token was made for a service that is on record (OpenID Connect Core §3.1.3.7, 3 to 5).
    pub(crate) fn check_audience(&self, claims: &Claims) -> Result<(), RecordError> {
        let other = || RecordError::new(Code::LoginAudience, "", "it was made for another service");
        let known = |audience: &str| self.audiences.iter().any(|known| known == audience);
        let audiences = claims.list("aud")?;
        let party = claims.optional_text("azp")?;
        if !audiences.iter().any(|audience| known(audience)) || party.is_some_and(|party| !known(party)) {
            return Err(other());
        }
        match audiences.len() == 1 || party.is_some() {
            true => Ok(()),
            false => Err(other()),
        }
    }

    /// The login was made, and isn't over, at this ledger time. Gives the time from which it is over, in milliseconds.
    pub(crate) fn check_time(&self, claims: &Claims, at: LedgerTimeMs) -> Result<u64, RecordError> {
        let missing = |name: &str| RecordError::new(Code::LoginMalformed, "", format!("the claim `{name}` is missing"));
        let made = claims.seconds("iat")?.ok_or_else(|| missing("iat"))?;
        let expires = claims.seconds("exp")?.ok_or_else(|| missing("exp"))?;
        let begins = made.max(claims.seconds("nbf")?.unwrap_or(0));
        let end = match self.session_s {
            0 => expires.min(made.saturating_add(SESSION_S_MAX)),
            session_s => made.saturating_add(session_s.into()),
        };
        let now = at.get() / 1_000;
        if now.saturating_add(LEEWAY_S) < begins {
            return Err(RecordError::new(Code::LoginNotYet, "", "it isn't valid yet"));
        }
        let until = end.saturating_add(LEEWAY_S);
        match now < until && made <= expires {
            true => Ok(until.saturating_mul(1_000)),
            false => Err(RecordError::new(Code::LoginExpired, "", "the login is over")),
        }
    }

    /// The INS and its OID, where the issuer says something of patients.
    pub(crate) fn patient<'c>(&self, claims: &'c Claims) -> Result<(&'c str, &'c str), RecordError> {
        if self.ins_claim.is_empty() {
            return Err(RecordError::new(Code::LoginIssuer, "token", "its issuer says nothing of patients"));
        }
        let oid = if self.oid_claim.is_empty() { OID_NIR } else { claims.text(&self.oid_claim)? };
        Ok((claims.text(&self.ins_claim)?, oid))
    }

    /// `system|id` of who logged in, where the issuer says something of representatives.
    pub(crate) fn person(&self, claims: &Claims) -> Result<String, RecordError> {
        if self.person_claim.is_empty() {
            return Err(RecordError::new(Code::LoginIssuer, "token", "its issuer says nothing of representatives"));
        }
        let id = claims.text(&self.person_claim)?;
        match self.person_system.is_empty() {
            true => Ok(id.to_owned()),
            false => Ok(format!("{}|{id}", self.person_system)),
        }
    }

    /// How sure the issuer is. A claim that it doesn't make counts for nothing.
    pub(crate) fn level(&self, claims: &Claims) -> Level {
        let acr = claims.optional_text("acr").ok().flatten();
        let is = |values: &[String]| acr.is_some_and(|acr| values.iter().any(|value| value == acr));
        match (is(&self.acr_high), is(&self.acr_substantial)) {
            (true, _) => Level::High,
            (false, true) => Level::Substantial,
            (false, false) => Level::Low,
        }
    }
}

fn parse_key(key: &v1::IssuerKey) -> Result<IssuerKey, RecordError> {
    required("kid", &key.kid)?;
    line("kid", &key.kid, TOKEN_BYTES_MAX)?;
    let algorithm = Algorithm::from_name(&key.alg)
        .ok_or_else(|| RecordError::malformed("alg", "an issuer's key is for ES256, RS256 or EdDSA"))?;
    let fits = match algorithm {
        Algorithm::Es256 => key.key.len() == 65 && key.key[0] == 4,
        Algorithm::EdDsa => key.key.len() == 32,
        Algorithm::Rs256 => (256..=512).contains(&key.key.len()) && key.key[0] & 0x80 != 0,
    };
    if !fits {
        let why = "ES256: 65 bytes, 04 and both coordinates; EdDSA: 32 bytes; RS256: a modulus of 2,048 to 4,096 bits";
        return Err(RecordError::malformed("key", why));
    }
    let exponent_fits = match algorithm {
        Algorithm::Rs256 => key.exponent >= 3 && key.exponent % 2 == 1,
        _ => key.exponent == 0,
    };
    match exponent_fits {
        true => Ok(IssuerKey { kid: key.kid.clone(), algorithm, key: key.key.clone(), exponent: key.exponent }),
        false => Err(RecordError::malformed("exponent", "RS256 alone has one, and it is odd, from 3 on")),
    }
}

fn list(path: &str, values: &[String], max: usize) -> Result<(), RecordError> {
    at_most(path, values.len(), max)?;
    values.iter().enumerate().try_for_each(|(at, value)| {
        let path = format!("{path}[{at}]");
        required(&path, value)?;
        line(&path, value, ID_BYTES_MAX)
    })
}
