//! The rows of erasures (family `erase`, see [`crate::schema`]), and how they are read.
//!
//! An erasure takes effect for every reader when it is applied. The rest of the work concerns copies: old Raft
//! segments, snapshots and copies of a data folder hold the payload under keys that were wrapped under a key-encryption
//! key. *Open* rows say which erasures still wait for that key to be given up, *due* rows which data keys of a patient
//! are to go first. The leader works from these rows, so that a new leader goes on where the old one stopped.

use rocksdb::{Direction, IteratorMode, ReadOptions};
use sillage_proof::hash::{LeafIndex, LedgerTimeMs};

use super::Overlay;
use crate::error::ReadError;
use crate::schema::{DATA_KEY_ID_LEN, DataKeyName, Family, TAG_LEN, TagPrefix};
use crate::store::Store;

/// The epoch that a new keyring begins with.
pub(crate) const FIRST_EPOCH: u32 = 1;

/// Which record erased a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Index of the entry that says so.
    pub index: LeafIndex,
    /// Its ledger time.
    pub time_ms: LedgerTimeMs,
    /// Why.
    pub ground: String,
}

/// An erasure whose key-encryption key isn't given up yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenErasure {
    /// Index of the entry that says so.
    pub index: LeafIndex,
    /// The patient whose payloads they are.
    pub tag: [u8; TAG_LEN],
    /// Ledger time of the erasure.
    pub time_ms: LedgerTimeMs,
    /// True if the data keys are given up: then the key-encryption key is all that is left.
    pub keys_gone: bool,
    /// The newest epoch under which these data keys may have been wrapped.
    pub epoch: u32,
}

/// The key-encryption keys of one prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KekEpochs {
    /// New data keys are wrapped under this one: every node holds it.
    pub current: u32,
    /// This one and all before are given up: every node destroys its copy. 0: none.
    pub retired: u32,
    /// Erasures that the last retirement was for.
    pub erasures: u32,
}

impl Default for KekEpochs {
    fn default() -> Self {
        Self { current: FIRST_EPOCH, retired: 0, erasures: 0 }
    }
}

/// Key of the row that says what erased the payload of one entry.
pub(crate) fn index_row(index: LeafIndex) -> Vec<u8> {
    [&b"i"[..], &index.get().to_be_bytes()].concat()
}

/// Key of the row that says that all of a patient's payloads before entry `by` were erased.
pub(crate) fn patient_row(tag: &[u8; TAG_LEN], by: LeafIndex) -> Vec<u8> {
    [&patient_rows(tag)[..], &by.get().to_be_bytes()].concat()
}

/// The beginning of the keys of a patient's [`patient_row`]s.
pub(crate) fn patient_rows(tag: &[u8; TAG_LEN]) -> Vec<u8> {
    [&b"t"[..], tag].concat()
}

/// Key of the row that says that a data key was given up, and may not come back.
pub(crate) fn gone_row((tag, id): &DataKeyName) -> Vec<u8> {
    [&b"d"[..], tag, id].concat()
}

/// Key of the row with the data keys of a patient that are to be given up.
pub(crate) fn due_row(tag: &[u8; TAG_LEN]) -> Vec<u8> {
    [&DUE[..], tag].concat()
}
/// How far ahead of the present epoch of a prefix a new one may be: one lying node must not use them all up.
pub const EPOCHS_AHEAD_MAX: u32 = 1_000;
const DUE: &[u8; 1] = b"w";

/// Key of an open erasure.
pub(crate) fn open_row(prefix: TagPrefix, index: LeafIndex) -> Vec<u8> {
    [&open_rows(prefix)[..], &index.get().to_be_bytes()].concat()
}

/// The beginning of the keys of the open erasures of a prefix.
pub(crate) fn open_rows(prefix: TagPrefix) -> Vec<u8> {
    [&OPEN[..], &prefix.get().to_be_bytes()].concat()
}
pub(crate) const OPEN: &[u8; 1] = b"o";

/// Key of the row with the epochs of a prefix.
fn kek_row(prefix: TagPrefix) -> Vec<u8> {
    [&KEK[..], &prefix.get().to_be_bytes()].concat()
}
pub(crate) const KEK: &[u8; 1] = b"k";

pub(crate) fn damaged() -> ReadError {
    ReadError::Damaged("the row of an erasure can't be read".into())
}

fn u64_of(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

fn u32_of(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}

impl Erasure {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let ground = self.ground.as_bytes();
        [&self.index.get().to_be_bytes()[..], &self.time_ms.get().to_be_bytes(), ground].concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ReadError> {
        let parts = || {
            let (index, rest) = bytes.split_at_checked(8)?;
            let (time, ground) = rest.split_at_checked(8)?;
            let ground = std::str::from_utf8(ground).ok()?.to_owned();
            Some(Self { index: LeafIndex(u64_of(index)?), time_ms: LedgerTimeMs(u64_of(time)?), ground })
        };
        parts().ok_or_else(damaged)
    }
}

impl OpenErasure {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let time = self.time_ms.get().to_be_bytes();
        [&self.tag[..], &time, &[u8::from(self.keys_gone)], &self.epoch.to_be_bytes()].concat()
    }

    pub(crate) fn decode(key: &[u8], bytes: &[u8]) -> Result<Self, ReadError> {
        let parts = || {
            let index = LeafIndex(u64_of(key.get(3..)?)?);
            let tag = bytes.get(..TAG_LEN)?.try_into().ok()?;
            let time_ms = LedgerTimeMs(u64_of(bytes.get(TAG_LEN..TAG_LEN + 8)?)?);
            let keys_gone = *bytes.get(TAG_LEN + 8)? == 1;
            Some(Self { index, tag, time_ms, keys_gone, epoch: u32_of(bytes.get(TAG_LEN + 9..)?)? })
        };
        parts().ok_or_else(damaged)
    }
}

impl OpenErasure {
    /// Work that waits for a new epoch of a prefix because a node was removed that holds the present one.
    pub(crate) fn renewal(prefix: TagPrefix, epoch: u32, index: LeafIndex, time_ms: LedgerTimeMs) -> Self {
        let mut tag = [0; TAG_LEN];
        tag[..2].copy_from_slice(&(prefix.get() << 4).to_be_bytes());
        Self { index, tag, time_ms, keys_gone: true, epoch }
    }

    /// Tells whether it stands for no payload, but for a prefix whose key-encryption key a removed node holds.
    pub fn is_renewal(&self) -> bool {
        let prefix = TagPrefix::of(&self.tag);
        Self::renewal(prefix, self.epoch, self.index, self.time_ms) == *self
    }
}

impl KekEpochs {
    pub(crate) fn encode(&self) -> Vec<u8> {
        [self.current, self.retired, self.erasures].iter().flat_map(|part| part.to_be_bytes()).collect()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ReadError> {
        let (parts, rest) = bytes.as_chunks::<4>();
        match (parts, rest) {
            ([current, retired, erasures], []) => Ok(Self {
                current: u32::from_be_bytes(*current),
                retired: u32::from_be_bytes(*retired),
                erasures: u32::from_be_bytes(*erasures),
            }),
            _ => Err(damaged()),
        }
    }
}

impl Overlay<'_> {
    /// The erasure of the payload of an entry of this patient.
    pub(crate) fn erasure_of(&self, tag: &[u8; TAG_LEN], index: LeafIndex) -> Result<Option<Erasure>, ReadError> {
        if let Some(row) = self.erase_row(&index_row(index))? {
            return Erasure::decode(&row).map(Some);
        }
        let rows = self.erase_rows(&patient_rows(tag))?;
        let mut rows = rows.iter().map(|(_, row)| Erasure::decode(row));
        rows.find(|row| !matches!(row, Ok(row) if row.index < index)).transpose()
    }

    /// The last erasure of the patient as a whole.
    pub(crate) fn patient_erasure(&self, tag: &[u8; TAG_LEN]) -> Result<Option<Erasure>, ReadError> {
        let rows = self.erase_rows(&patient_rows(tag))?;
        rows.last().map(|(_, row)| Erasure::decode(row)).transpose()
    }

    /// The data keys of a patient that are to be given up.
    pub(crate) fn due_keys(&self, tag: &[u8; TAG_LEN]) -> Result<Vec<[u8; DATA_KEY_ID_LEN]>, ReadError> {
        let row = self.erase_row(&due_row(tag))?.unwrap_or_default();
        ids(&row)
    }

    pub(crate) fn set_due_keys(&mut self, tag: &[u8; TAG_LEN], ids: &[[u8; DATA_KEY_ID_LEN]]) {
        let row = (!ids.is_empty()).then(|| ids.concat());
        self.set_erase_row(due_row(tag), row);
    }

    /// The erasure for which this data key was given up; `None`: it wasn't.
    pub(crate) fn gone_by(&self, name: &DataKeyName) -> Result<Option<LeafIndex>, ReadError> {
        let row = self.erase_row(&gone_row(name))?;
        row.map(|row| u64_of(&row).map(LeafIndex).ok_or_else(damaged)).transpose()
    }

    /// Tells whether this data key was given up.
    pub(crate) fn is_gone(&self, name: &DataKeyName) -> Result<bool, ReadError> {
        Ok(self.gone_by(name)?.is_some())
    }

    pub(crate) fn kek_epochs(&self, prefix: TagPrefix) -> Result<KekEpochs, ReadError> {
        let row = self.erase_row(&kek_row(prefix))?;
        row.map_or(Ok(KekEpochs::default()), |row| KekEpochs::decode(&row))
    }

    pub(crate) fn set_kek_epochs(&mut self, prefix: TagPrefix, epochs: &KekEpochs) {
        self.set_erase_row(kek_row(prefix), Some(epochs.encode()));
        self.keys_changed = true;
    }

    /// The open erasures of a prefix, oldest first.
    pub(crate) fn open_erasures(&self, prefix: TagPrefix) -> Result<Vec<OpenErasure>, ReadError> {
        let rows = self.erase_rows(&open_rows(prefix))?;
        rows.iter().map(|(key, row)| OpenErasure::decode(key, row)).collect()
    }

    pub(crate) fn put_open(&mut self, open: &OpenErasure) {
        let key = open_row(TagPrefix::of(&open.tag), open.index);
        self.set_erase_row(key, Some(open.encode()));
    }
}

fn ids(row: &[u8]) -> Result<Vec<[u8; DATA_KEY_ID_LEN]>, ReadError> {
    let (ids, rest) = row.as_chunks::<DATA_KEY_ID_LEN>();
    if rest.is_empty() { Ok(ids.to_vec()) } else { Err(damaged()) }
}

impl Store {
    /// Data keys of a prefix as they are wrapped, after the one named `after`, at most `limit`, in order.
    pub(crate) fn data_keys_of(
        &self,
        prefix: TagPrefix,
        after: Option<&DataKeyName>,
        limit: usize,
    ) -> Result<Vec<(DataKeyName, Vec<u8>)>, ReadError> {
        let bound = |prefix: u32| [&(prefix << 4).to_be_bytes()[2..], &[0; 30]].concat();
        let number = u32::from(prefix.get());
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        let from = match after {
            // The next key that there can be.
            Some((tag, id)) => [&tag[..], id, &[0]].concat(),
            None => bound(number),
        };
        options.set_iterate_lower_bound(from.clone());
        if prefix.get() + 1 < TagPrefix::COUNT {
            options.set_iterate_upper_bound(bound(number + 1));
        }
        let start = IteratorMode::From(&from, Direction::Forward);
        let rows = self.db().iterator_cf_opt(self.family(Family::DataKey), options, start);
        let rows = rows.take(limit).map(|row| {
            let (key, wrapped) = row?;
            let name = || Some((key.get(..TAG_LEN)?.try_into().ok()?, key.get(TAG_LEN..)?.try_into().ok()?));
            Ok((name().ok_or_else(damaged)?, wrapped.into_vec()))
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_written_and_only_whole() {
        let erasure =
            Erasure { index: LeafIndex(7), time_ms: LedgerTimeMs(8), ground: "RETENTION: dix ans passés".into() };
        assert_eq!(Erasure::decode(&erasure.encode()), Ok(erasure.clone()));
        assert!(Erasure::decode(&erasure.encode()[..15]).is_err());
        let tag = [0xab; TAG_LEN];
        let open = OpenErasure { index: LeafIndex(9), tag, time_ms: LedgerTimeMs(3), keys_gone: true, epoch: 4 };
        let key = open_row(TagPrefix::of(&tag), open.index);
        assert_eq!(OpenErasure::decode(&key, &open.encode()), Ok(open.clone()));
        assert!(OpenErasure::decode(&key, &open.encode()[1..]).is_err());
        let epochs = KekEpochs { current: 3, retired: 2, erasures: 1 };
        assert_eq!(KekEpochs::decode(&epochs.encode()), Ok(epochs));
        assert!(KekEpochs::decode(&epochs.encode()[1..]).is_err());
        assert!(ids(&[0; 17]).is_err());
    }
}
