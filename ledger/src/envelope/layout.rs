//! The byte layouts of `docs/formats.md` §8.
//!
//! ```text
//! payload v1 = u8 version = 1 ‖ u8 aead = 1 ‖ data_key_id[16] ‖ nonce[12] ‖ ciphertext and tag
//! AAD        = "sillage/payload/v1\0" ‖ u8 len ‖ origin ‖ tag[32] ‖ stream_id[32] ‖ u64 seq ‖ u32 position ‖ data_key_id[16]
//! wrapped v1 = u8 version = 1 ‖ u8 aead = 1 ‖ u32 epoch ‖ nonce[12] ‖ ciphertext and tag[48]
//! AAD        = "sillage/kek/v1\0" ‖ u8 len ‖ origin ‖ tag[32] ‖ data_key_id[16] ‖ u32 epoch
//! ```

use sillage_proof::batch::Origin;

use super::Place;

/// Version of both layouts.
const VERSION: u8 = 1;
/// AES-256-GCM.
const AEAD: u8 = 1;
/// Bytes before the ciphertext of a payload.
pub(crate) const PAYLOAD_HEADER_LEN: usize = 2 + 16 + 12;
/// Length of an AEAD tag.
pub(crate) const AEAD_TAG_LEN: usize = 16;
/// Length of a wrapped data key.
pub(crate) const WRAPPED_LEN: usize = 2 + 4 + 12 + 48;

/// By how many bytes a sealed payload is longer than the salt and record in it.
pub const OVERHEAD: usize = PAYLOAD_HEADER_LEN + AEAD_TAG_LEN;

/// The data key that a payload is sealed under; `None` when it isn't laid out as a payload of a salt and a record.
pub fn data_key_id(payload: &[u8]) -> Option<[u8; 16]> {
    split_payload(payload).map(|parts| parts.0)
}

/// The epoch of a wrapped data key; `None` when the bytes aren't laid out as one.
pub fn epoch_of(wrapped: &[u8]) -> Option<u32> {
    split_wrapped(wrapped).map(|parts| parts.0)
}

/// Tells whether the bytes are laid out as a wrapped data key.
pub fn is_wrapped(bytes: &[u8]) -> bool {
    split_wrapped(bytes).is_some()
}

/// A payload that holds nothing: for a batch that is on record, whose answer needs no payload.
pub fn nothing() -> Vec<u8> {
    let mut out = payload_header(&[0; 16], &[0; 12]).to_vec();
    out.resize(OVERHEAD + 16 + 1, 0);
    out
}

pub(crate) fn payload_header(id: &[u8; 16], nonce: &[u8; 12]) -> [u8; PAYLOAD_HEADER_LEN] {
    let mut out = [0; PAYLOAD_HEADER_LEN];
    (out[0], out[1]) = (VERSION, AEAD);
    out[2..18].copy_from_slice(id);
    out[18..].copy_from_slice(nonce);
    out
}

/// Data key id, nonce, ciphertext and tag.
pub(crate) fn split_payload(payload: &[u8]) -> Option<([u8; 16], [u8; 12], &[u8])> {
    let rest = payload.strip_prefix(&[VERSION, AEAD])?;
    let (id, rest) = rest.split_first_chunk::<16>()?;
    let (nonce, sealed) = rest.split_first_chunk::<12>()?;
    // At least a salt and one byte of record.
    (sealed.len() > 16 + AEAD_TAG_LEN).then_some((*id, *nonce, sealed))
}

pub(crate) fn wrapped(epoch: u32, nonce: &[u8; 12], sealed: &[u8; 48]) -> [u8; WRAPPED_LEN] {
    let mut out = [0; WRAPPED_LEN];
    (out[0], out[1]) = (VERSION, AEAD);
    out[2..6].copy_from_slice(&epoch.to_be_bytes());
    out[6..18].copy_from_slice(nonce);
    out[18..].copy_from_slice(sealed);
    out
}

/// Epoch, nonce, ciphertext and tag.
pub(crate) fn split_wrapped(bytes: &[u8]) -> Option<(u32, [u8; 12], [u8; 48])> {
    let rest = bytes.strip_prefix(&[VERSION, AEAD])?;
    let (epoch, rest) = rest.split_first_chunk::<4>()?;
    let (nonce, sealed) = rest.split_first_chunk::<12>()?;
    let sealed = <[u8; 48]>::try_from(sealed).ok()?;
    Some((u32::from_be_bytes(*epoch), *nonce, sealed))
}

fn put_origin(out: &mut Vec<u8>, origin: &Origin) {
    let origin = origin.as_str().as_bytes();
    out.push(u8::try_from(origin.len()).expect("an origin is at most 255 bytes"));
    out.extend_from_slice(origin);
}

/// The place to which a payload is bound: nobody can move it to another patient, batch, position or log.
pub fn payload_aad(origin: &Origin, place: &Place, id: &[u8; 16]) -> Vec<u8> {
    let mut out = Vec::with_capacity(384);
    out.extend_from_slice(b"sillage/payload/v1\0");
    put_origin(&mut out, origin);
    out.extend_from_slice(&place.tag);
    out.extend_from_slice(place.stream_id.as_bytes());
    out.extend_from_slice(&place.seq.to_be_bytes());
    out.extend_from_slice(&place.position.to_be_bytes());
    out.extend_from_slice(id);
    out
}

/// The place to which a wrapped data key is bound.
pub fn wrapped_aad(origin: &Origin, tag: &[u8; 32], id: &[u8; 16], epoch: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(324);
    out.extend_from_slice(b"sillage/kek/v1\0");
    put_origin(&mut out, origin);
    out.extend_from_slice(tag);
    out.extend_from_slice(id);
    out.extend_from_slice(&epoch.to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_read_as_written_and_only_whole() {
        let mut payload = payload_header(&[7; 16], &[8; 12]).to_vec();
        payload.extend([9; 33]);
        let parts = split_payload(&payload).expect("a payload");
        assert_eq!(parts, ([7; 16], [8; 12], &[9; 33][..]));
        assert_eq!(data_key_id(&payload[..payload.len() - 1]), None);
        for (at, value) in [(0, 2), (1, 2)] {
            let mut other = payload.clone();
            other[at] = value;
            assert_eq!(data_key_id(&other), None, "another version or algorithm");
        }
        let bytes = wrapped(5, &[1; 12], &[2; 48]);
        assert_eq!(split_wrapped(&bytes), Some((5, [1; 12], [2; 48])));
        assert!(!is_wrapped(&bytes[..WRAPPED_LEN - 1]));
        assert!(!is_wrapped(&[bytes.as_slice(), &[0]].concat()));
    }
}
