//! The tie between a login and a record (`docs/formats.md` §20): hashed and signed layouts.

use prost::Message as _;
use sillage_proof::batch::Origin;
use sillage_proof::hash::{Hash, sha256};
use sillage_proof::keys::{ALG_ED25519, KeyId, SigningKey};
use sillage_proto::v1;

/// The digest of the decided record: `H("sillage/will/record/v1\0" ‖ the record without its field `will`)`.
pub fn record_digest(record: &v1::Record) -> Hash {
    let without = v1::Record { will: None, ..record.clone() };
    sha256(&[b"sillage/will/record/v1\0", &without.encode_to_vec()])
}

/// The digest of the request and of the party that asks: `H("sillage/will/request/v1\0" ‖ key_id[32] ‖ the request without
/// its field `will`)`. `key_id` is of the key that signs the request: nobody else can hand it in as their own.
pub fn request_digest(request: &v1::DecisionRequest, key_id: &KeyId) -> Hash {
    let without = v1::DecisionRequest { will: None, ..request.clone() };
    sha256(&[b"sillage/will/request/v1\0", key_id.as_bytes(), &without.encode_to_vec()])
}

/// The nonce of a login for one record or one request, in hexadecimal. `blind` keeps the issuer from guessing it.
pub fn record_nonce(origin: &Origin, blind: &[u8; 16], digest: &Hash) -> String {
    let name = named(origin);
    hex::encode(sha256(&[b"sillage/will/nonce/v1\0", &name, blind, digest.as_bytes()]).as_bytes())
}

/// The nonce of a login for a session, in hexadecimal. `key` is the session's public key (Ed25519).
pub fn session_nonce(origin: &Origin, key: &[u8; 32]) -> String {
    let name = named(origin);
    hex::encode(sha256(&[b"sillage/will/session/v1\0", &[ALG_ED25519], key, &name]).as_bytes())
}

/// The message that the key of a session signs for each record that is decided, and each request that is asked, in it.
pub fn session_message(origin: &Origin, key: &[u8; 32], tag: &[u8; 32], digest: &Hash) -> Vec<u8> {
    let name = named(origin);
    [b"sillage/will/decision/v1\0", &[ALG_ED25519][..], key, &name, tag, digest.as_bytes()].concat()
}

/// The will of a record that was decided in a session: its key signs what the record says, which has its tag already.
pub fn sign_in_session(
    origin: &Origin,
    record: &v1::Record,
    session: &SigningKey,
    token: String,
    tag_proof: Vec<u8>,
) -> v1::Will {
    sign(origin, (&record.tag, &record_digest(record)), session, token, tag_proof)
}

/// The will of a request that is asked in a session. `key_id` is of the key that will sign the request.
pub fn sign_request_in_session(
    origin: &Origin,
    (request, key_id): (&v1::DecisionRequest, &KeyId),
    session: &SigningKey,
    token: String,
    tag_proof: Vec<u8>,
) -> v1::Will {
    sign(origin, (&request.tag, &request_digest(request, key_id)), session, token, tag_proof)
}

fn sign(
    origin: &Origin,
    (tag, digest): (&[u8], &Hash),
    session: &SigningKey,
    token: String,
    tag_proof: Vec<u8>,
) -> v1::Will {
    let key = session.public_key().to_bytes();
    let tag = <[u8; 32]>::try_from(tag).unwrap_or_default();
    let message = session_message(origin, &key, &tag, digest);
    v1::Will {
        token,
        tag_proof,
        session_key: key.to_vec(),
        signature: session.sign(&message).to_vec(),
        ..v1::Will::default()
    }
}

/// The log's name, behind its length.
fn named(origin: &Origin) -> Vec<u8> {
    let name = origin.as_str().as_bytes();
    let len = u8::try_from(name.len()).expect("the name of a log has at most 255 bytes");
    [&[len], name].concat()
}
