//! The cipher under one data key: the layouts of `docs/formats.md` §8, sealed and opened. The same code before a batch is
//! proposed, when it is applied, and when it is read.

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit, Nonce, Tag};
use sillage_proof::batch::Origin;
use zeroize::Zeroizing;

use super::{DataKeyBytes, KekError, KekProvider, Place, TagPrefix, layout};
use crate::schema::DataKeyName;

/// A patient's data key, ready to use.
pub(crate) struct DataCipher {
    id: [u8; 16],
    cipher: Aes256Gcm,
}

/// The data key of this name, in clear.
pub(crate) fn unwrap(
    keks: &dyn KekProvider,
    origin: &Origin,
    (tag, id): &DataKeyName,
    wrapped: &[u8],
) -> Result<DataKeyBytes, KekError> {
    let (epoch, nonce, sealed) = layout::split_wrapped(wrapped).ok_or(KekError::Refused)?;
    let aad = layout::wrapped_aad(origin, tag, id, epoch);
    keks.unwrap((TagPrefix::of(tag), epoch), &nonce, &aad, &sealed)
}

impl DataCipher {
    pub(crate) fn new(id: [u8; 16], key: &DataKeyBytes) -> Self {
        Self { id, cipher: Aes256Gcm::new_from_slice(&key[..]).expect("a key of 32 bytes") }
    }

    /// Unwraps the data key of this name.
    pub(crate) fn unwrap(
        keks: &dyn KekProvider,
        origin: &Origin,
        name: &DataKeyName,
        wrapped: &[u8],
    ) -> Result<Self, KekError> {
        Ok(Self::new(name.1, &unwrap(keks, origin, name, wrapped)?))
    }

    pub(crate) fn id(&self) -> [u8; 16] {
        self.id
    }

    /// The text that was sealed for this place; `None` when it is something else, or was altered.
    pub(crate) fn open(&self, origin: &Origin, place: &Place, payload: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (id, nonce, sealed) = layout::split_payload(payload)?;
        let (sealed, tag) = sealed.split_last_chunk::<{ layout::AEAD_TAG_LEN }>()?;
        let aad = layout::payload_aad(origin, place, &id);
        let mut plain = Zeroizing::new(sealed.to_vec());
        let buffer = InOutBuf::from(&mut plain[..]);
        let opened = self.cipher.decrypt_inout_detached(&Nonce::from(nonce), &aad, buffer, &Tag::from(*tag));
        opened.ok().filter(|()| id == self.id)?;
        Some(plain)
    }

    /// Seals `parts`, one after the other, for this place. A nonce is used once.
    pub(crate) fn seal(&self, origin: &Origin, place: &Place, nonce: &[u8; 12], parts: &[&[u8]]) -> Vec<u8> {
        let aad = layout::payload_aad(origin, place, &self.id);
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let mut out = Vec::with_capacity(layout::OVERHEAD + len);
        out.extend_from_slice(&layout::payload_header(&self.id, nonce));
        parts.iter().for_each(|part| out.extend_from_slice(part));
        let buffer = InOutBuf::from(&mut out[layout::PAYLOAD_HEADER_LEN..]);
        let tag = self
            .cipher
            .encrypt_inout_detached(&Nonce::from(*nonce), &aad, buffer)
            .expect("what is sealed is far below the limits of AES-GCM");
        out.extend_from_slice(&tag);
        out
    }
}
