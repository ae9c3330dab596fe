//! Erased payloads, and the keys that are to go for them.

use std::sync::atomic::Ordering;

use sillage_proof::hash::LeafIndex;

use super::LedgerReader;
use crate::error::ReadError;
use crate::overlay::Overlay;
use crate::overlay::erasing::{Erasure, KEK, KekEpochs, OPEN, OpenErasure, damaged, patient_rows};
use crate::schema::{DATA_KEY_ID_LEN, DataKeyName, Family, TAG_LEN, TagPrefix};

impl LedgerReader {
    /// The erasure of the payload of an entry of this patient; `None` where nothing did.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn erasure_of(&self, tag: &[u8; TAG_LEN], index: LeafIndex) -> Result<Option<Erasure>, ReadError> {
        Overlay::new(&self.view().store).erasure_of(tag, index)
    }

    /// The last erasure of a patient as a whole; `None`: never. Later records are there.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn patient_erasure(&self, tag: &[u8; TAG_LEN]) -> Result<Option<Erasure>, ReadError> {
        Overlay::new(&self.view().store).patient_erasure(tag)
    }

    /// The last erasure of a patient as a whole in a log of `size` entries; `None`: none by then.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn patient_erasure_at(&self, tag: &[u8; TAG_LEN], size: u64) -> Result<Option<Erasure>, ReadError> {
        let view = self.view();
        let rows = Overlay::new(&view.store).erase_rows(&patient_rows(tag))?;
        let mut rows = rows.iter().rev().map(|(_, row)| Erasure::decode(row));
        rows.find(|row| !matches!(row, Ok(row) if row.index.get() >= size)).transpose()
    }

    /// Erasures of which the key-encryption key isn't given up yet, by prefix, at most `limit`.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn open_erasures(&self, limit: usize) -> Result<Vec<OpenErasure>, ReadError> {
        let rows = self.view().store.scan(Family::Erase, OPEN, None, limit)?;
        rows.iter().map(|(key, row)| OpenErasure::decode(key, row)).collect()
    }

    /// Data keys of a patient that are to be given up once nothing is sealed under them any more.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn due_keys(&self, tag: &[u8; TAG_LEN]) -> Result<Vec<[u8; DATA_KEY_ID_LEN]>, ReadError> {
        Overlay::new(&self.view().store).due_keys(tag)
    }

    /// Where the key-encryption keys of a prefix stand.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn kek_epochs(&self, prefix: TagPrefix) -> Result<KekEpochs, ReadError> {
        Overlay::new(&self.view().store).kek_epochs(prefix)
    }

    /// The prefixes whose epochs have ever changed.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn changed_keks(&self) -> Result<Vec<(TagPrefix, KekEpochs)>, ReadError> {
        let rows = self.view().store.scan(Family::Erase, KEK, None, usize::from(TagPrefix::COUNT))?;
        let rows = rows.iter().map(|(key, row)| {
            let number = key.get(1..).and_then(|number| number.try_into().ok()).map(u16::from_be_bytes);
            let prefix = number.and_then(TagPrefix::new).ok_or_else(damaged)?;
            Ok((prefix, KekEpochs::decode(row)?))
        });
        rows.collect()
    }

    /// Data keys of a prefix as they are wrapped, after the one named `after`, at most `limit`, in order.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn data_keys_of(
        &self,
        prefix: TagPrefix,
        after: Option<&DataKeyName>,
        limit: usize,
    ) -> Result<Vec<(DataKeyName, Vec<u8>)>, ReadError> {
        self.view().store.data_keys_of(prefix, after, limit)
    }

    /// Rises whenever data keys are given up, wrapped anew, or another database is in use: what is kept of keys in
    /// memory is outdated then.
    pub fn keys_version(&self) -> u64 {
        self.shared().keys_version.load(Ordering::Acquire)
    }
}
