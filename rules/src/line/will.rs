//! The proof of a will, and issuers of logins, as JSON: tokens as they come, bytes in hexadecimal.

use serde::{Deserialize, Serialize};
use sillage_proto::v1;

use super::is_default;
use crate::error::RecordError;
use crate::will::issuer::Issuer;

/// Bytes as hexadecimal text.
mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        hex::decode(text.as_bytes()).map_err(serde::de::Error::custom)
    }
}

/// How it is proven that the patient, or who represents them, decided this. The token names a person: never printed but as
/// JSON on purpose.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WillLine {
    /// The ID token of the login.
    pub token: String,
    /// The signed userinfo answer of the same login.
    #[serde(default, skip_serializing_if = "is_default")]
    pub userinfo: String,
    /// The VRF proof of the record's tag, where the patient decides.
    #[serde(default, skip_serializing_if = "is_default", with = "hexadecimal")]
    pub tag_proof: Vec<u8>,
    /// The key of the session (Ed25519).
    #[serde(default, skip_serializing_if = "is_default", with = "hexadecimal")]
    pub session_key: Vec<u8>,
    /// Its signature.
    #[serde(default, skip_serializing_if = "is_default", with = "hexadecimal")]
    pub signature: Vec<u8>,
    /// 16 random bytes, where there is no session.
    #[serde(default, skip_serializing_if = "is_default", with = "hexadecimal")]
    pub blind: Vec<u8>,
}

impl std::fmt::Debug for WillLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WillLine(..)")
    }
}

impl From<v1::Will> for WillLine {
    fn from(message: v1::Will) -> Self {
        let v1::Will { token, userinfo, tag_proof, session_key, signature, blind } = message;
        Self { token, userinfo, tag_proof, session_key, signature, blind }
    }
}

impl From<WillLine> for v1::Will {
    fn from(line: WillLine) -> Self {
        let WillLine { token, userinfo, tag_proof, session_key, signature, blind } = line;
        Self { token, userinfo, tag_proof, session_key, signature, blind }
    }
}

/// An issuer of logins: `docs/formats.md` §20 says what each field is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct IssuerLine {
    pub issuer: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub keys: Vec<IssuerKeyLine>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub audiences: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub ins_claim: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub oid_claim: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub person_claim: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub person_system: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub acr_substantial: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub acr_high: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub session_s: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub from_ms: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub until_ms: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pub test: bool,
}

/// A key of an issuer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerKeyLine {
    /// Its name.
    pub kid: String,
    /// `ES256`, `RS256` or `EdDSA`.
    pub alg: String,
    /// Its bytes.
    #[serde(with = "hexadecimal")]
    pub key: Vec<u8>,
    /// RS256 alone.
    #[serde(default, skip_serializing_if = "is_default")]
    pub exponent: u32,
}

impl IssuerLine {
    /// The issuer.
    ///
    /// # Errors
    /// As for [`Issuer::parse`].
    pub fn to_issuer(&self) -> Result<Issuer, RecordError> {
        let line = self.clone();
        let key =
            |key: IssuerKeyLine| v1::IssuerKey { kid: key.kid, alg: key.alg, key: key.key, exponent: key.exponent };
        Issuer::parse(&v1::IssuerPublished {
            issuer: line.issuer,
            name: line.name,
            keys: line.keys.into_iter().map(key).collect(),
            audiences: line.audiences,
            ins_claim: line.ins_claim,
            oid_claim: line.oid_claim,
            person_claim: line.person_claim,
            person_system: line.person_system,
            acr_substantial: line.acr_substantial,
            acr_high: line.acr_high,
            session_s: line.session_s,
            from_ms: line.from_ms,
            until_ms: line.until_ms,
            test: line.test,
        })
    }
}

impl From<&Issuer> for IssuerLine {
    fn from(issuer: &Issuer) -> Self {
        let message = issuer.to_message();
        let key =
            |key: v1::IssuerKey| IssuerKeyLine { kid: key.kid, alg: key.alg, key: key.key, exponent: key.exponent };
        Self {
            issuer: message.issuer,
            name: message.name,
            keys: message.keys.into_iter().map(key).collect(),
            audiences: message.audiences,
            ins_claim: message.ins_claim,
            oid_claim: message.oid_claim,
            person_claim: message.person_claim,
            person_system: message.person_system,
            acr_substantial: message.acr_substantial,
            acr_high: message.acr_high,
            session_s: message.session_s,
            from_ms: message.from_ms,
            until_ms: message.until_ms,
            test: message.test,
        }
    }
}
