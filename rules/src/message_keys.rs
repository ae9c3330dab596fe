//! Keys, certificates and ids as messages carry them.

use sillage_proof::keys::{ALG_ED25519, PublicKey};
use sillage_proto::v1;

use crate::error::RecordError;

/// SHA-256 of the SubjectPublicKeyInfo of a TLS certificate.
pub type TlsSpki = [u8; 32];

pub(crate) fn key_message(key: &PublicKey) -> v1::PublicKey {
    v1::PublicKey { alg: ALG_ED25519.into(), key: key.as_bytes().to_vec() }
}

pub(crate) fn parse_key(key: Option<&v1::PublicKey>) -> Result<PublicKey, RecordError> {
    let key = key.ok_or_else(|| RecordError::malformed("key", "missing"))?;
    if key.alg != u32::from(ALG_ED25519) {
        let why = format!("unknown algorithm {}: 1 is Ed25519", key.alg);
        return Err(RecordError::malformed("key.alg", why));
    }
    PublicKey::from_bytes(&key.key).map_err(|error| RecordError::malformed("key.key", error.to_string()))
}

pub(crate) fn bytes32(path: &str, bytes: &[u8]) -> Result<[u8; 32], RecordError> {
    bytes.try_into().map_err(|_| RecordError::malformed(path, "not 32 bytes"))
}
