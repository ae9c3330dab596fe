//! The leader's work after an erasure: payloads under a new data key, data keys under a newer epoch.
//!
//! Everything is worked out from what is stored, and applying checks it again: prepared twice, or by two leaders, it
//! does no harm, and after a restart the rest is prepared.

use sillage_proof::hash::LeafIndex;
use sillage_proto::internal::v1::{Reseal, Resealed, WrappedKey};
use zeroize::Zeroizing;

use super::sealer::{SealError, Sealer};
use crate::envelope::{Place, is_sealed, layout};
use crate::error::KekError;
use crate::schema::{DataKeyName, TagPrefix};

impl Sealer {
    /// The next payloads of a patient to seal anew, at most about `bytes_max` of them; `None` when no data key of the
    /// patient is due. The last one gives up the due keys: apply them one after the other until there is none.
    ///
    /// # Errors
    /// When a payload can't be opened, or a key can't be had.
    pub fn reseal(&self, tag: &[u8; 32], bytes_max: usize) -> Result<Option<Reseal>, SealError> {
        let due = self.reader.due_keys(tag)?;
        if due.is_empty() {
            return Ok(None);
        }
        let mut indices = Vec::new();
        for row in self.reader.trace_scan(tag, None) {
            let row = row?;
            if is_sealed(row.kind, row.flags) {
                indices.push(row.index);
            }
        }
        let mut reseal = Reseal { tag: tag.to_vec(), ..Reseal::default() };
        let mut bytes = 0;
        for index in indices.into_iter().rev() {
            let Some(payload) = self.reader.payload(index)? else { continue };
            if !layout::data_key_id(&payload).is_some_and(|id| due.contains(&id)) {
                continue;
            }
            if bytes >= bytes_max {
                return Ok(Some(reseal));
            }
            bytes += payload.len();
            let payload = self.sealed_anew(tag, index, &payload, &mut reseal.new_keys)?;
            reseal.payloads.push(Resealed { index: index.get(), payload });
        }
        reseal.gone_data_key_ids = due.iter().map(|id| id.to_vec()).collect();
        Ok(Some(reseal))
    }

    fn sealed_anew(
        &self,
        tag: &[u8; 32],
        index: LeafIndex,
        payload: &[u8],
        new_keys: &mut Vec<WrappedKey>,
    ) -> Result<Vec<u8>, SealError> {
        let (entry, header) = self.reader.record_of(index)?.ok_or(SealError::NoRecord(index))?;
        let place = Place::of(&entry, header.as_ref()).ok_or(SealError::NoRecord(index))?;
        let plain = self.open_payload(&place, payload, index)?;
        let key = self.sealing_key(tag)?;
        let sealed = self.seal_under(&key, &place, &[&plain])?;
        let new = !self.is_recorded(tag, &key)? && !new_keys.iter().any(|known| known.data_key_id == key.id);
        if new {
            let wrapped = key.wrapped.clone();
            new_keys.push(WrappedKey { tag: tag.to_vec(), data_key_id: key.id.to_vec(), wrapped });
        }
        Ok(sealed)
    }

    /// Tells whether a data key can be unwrapped here.
    ///
    /// # Errors
    /// Why it can't: altered, or wrapped under a key-encryption key that isn't here.
    pub fn check_wrapped(&self, (tag, id): &DataKeyName, wrapped: &[u8]) -> Result<(), KekError> {
        let (epoch, nonce, sealed) = layout::split_wrapped(wrapped).ok_or(KekError::Refused)?;
        let aad = layout::wrapped_aad(self.origin(), tag, id, epoch);
        self.keks.unwrap((TagPrefix::of(tag), epoch), &nonce, &aad, &sealed).map(drop)
    }

    /// A data key wrapped under another epoch of its prefix; compared by unwrapping it again.
    ///
    /// # Errors
    /// When it can't be unwrapped, or there is no such key-encryption key.
    pub fn rewrap(&self, (tag, id): &DataKeyName, wrapped: &[u8], epoch: u32) -> Result<WrappedKey, SealError> {
        let prefix = TagPrefix::of(tag);
        let (old_epoch, old_nonce, sealed) = layout::split_wrapped(wrapped).ok_or(KekError::Refused)?;
        let old_aad = layout::wrapped_aad(self.origin(), tag, id, old_epoch);
        let key = self.keks.unwrap((prefix, old_epoch), &old_nonce, &old_aad, &sealed)?;
        let nonce = self.random::<12>()?;
        let aad = layout::wrapped_aad(self.origin(), tag, id, epoch);
        let sealed = self.keks.wrap((prefix, epoch), &nonce, &aad, &key)?;
        let again: Zeroizing<[u8; 32]> = self.keks.unwrap((prefix, epoch), &nonce, &aad, &sealed)?;
        assert!(*again == *key, "a data key is wrapped as it was");
        let wrapped = layout::wrapped(epoch, &nonce, &sealed).to_vec();
        Ok(WrappedKey { tag: tag.to_vec(), data_key_id: id.to_vec(), wrapped })
    }
}
