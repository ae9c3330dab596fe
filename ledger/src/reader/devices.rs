//! Patients' own devices: where the records stand that say whose they are, and which devices have read a trace.

use sillage_proof::hash::{Hash, LeafIndex};

use super::LedgerReader;
use crate::apply::devices::read_key;
use crate::error::ReadError;
use crate::schema::consent_prefix::DEVICE;
use crate::schema::{Family, TAG_LEN};

impl LedgerReader {
    /// The records that say under this tag which devices act for its patient, in log order. [`crate::EntryReader::open`]
    /// opens them; an erased one gives none.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) fn device_records(&self, tag: &[u8; TAG_LEN]) -> Result<Vec<LeafIndex>, ReadError> {
        let prefix = [DEVICE, tag].concat();
        let rows = self.view().store.scan(Family::Consent, &prefix, None, sillage_rules::device::DEVICES_MAX)?;
        let index = |key: &[u8]| key.get(prefix.len()..)?.try_into().ok().map(u64::from_be_bytes).map(LeafIndex);
        let damaged = || ReadError::Damaged("the row of a device can't be read".into());
        rows.iter().map(|(key, _)| index(key).ok_or_else(damaged)).collect()
    }

    /// Tells whether the first reading of the device with this mark is on record, in the trace of this tag.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn has_device_read(&self, tag: &[u8; TAG_LEN], mark: &Hash) -> Result<bool, ReadError> {
        Ok(self.view().store.get(Family::Consent, &read_key(tag, mark))?.is_some())
    }
}
