//! Data keys and epochs that are on record, kept in memory: nearly every record that is applied asks for them.
//!
//! Only what the store holds is kept, never what a command brings along or what isn't there, and what the present
//! command changed is asked first. Every change that gives a data key up, wraps it anew or changes an epoch makes
//! [`crate::overlay::Overlay::keys_changed`] true, and all of it is forgotten: so a hit and a miss come to the same.

use std::collections::HashMap;
use std::sync::Arc;

use super::TagPrefix;
use crate::cache::Cache;
use crate::error::ReadError;
use crate::overlay::Overlay;
use crate::overlay::erasing::KekEpochs;
use crate::schema::DataKeyName;

/// Of one thread that applies or checks.
pub(crate) struct OnRecord {
    /// As they are wrapped.
    keys: Cache<DataKeyName, Arc<[u8]>>,
    epochs: HashMap<TagPrefix, KekEpochs>,
    epochs_max: usize,
}

impl OnRecord {
    /// Keeps at most `keys_max` data keys, and epochs of as many prefixes.
    pub(crate) fn new(keys_max: usize) -> Self {
        Self { keys: Cache::new(keys_max), epochs: HashMap::new(), epochs_max: keys_max }
    }

    /// Forgets everything: another database is in use, or some of it changed.
    pub(crate) fn clear(&mut self) {
        self.keys.clear();
        self.epochs.clear();
    }

    /// A data key as it is wrapped; `None` where it isn't on record.
    pub(crate) fn key(&mut self, overlay: &Overlay<'_>, name: &DataKeyName) -> Result<Option<Arc<[u8]>>, ReadError> {
        if let Some(changed) = overlay.changed_data_key(name) {
            return Ok(changed.map(Arc::from));
        }
        if let Some(known) = self.keys.get(*name) {
            return Ok(Some(known));
        }
        let Some(wrapped) = overlay.data_key(name)? else { return Ok(None) };
        let wrapped: Arc<[u8]> = wrapped.into();
        self.keys.put(*name, wrapped.clone(), 1);
        Ok(Some(wrapped))
    }

    /// Where the key-encryption keys of a prefix stand.
    pub(crate) fn epochs(&mut self, overlay: &Overlay<'_>, prefix: TagPrefix) -> Result<KekEpochs, ReadError> {
        if overlay.keys_changed {
            return overlay.kek_epochs(prefix);
        }
        if let Some(known) = self.epochs.get(&prefix) {
            return Ok(*known);
        }
        let epochs = overlay.kek_epochs(prefix)?;
        if self.epochs.len() < self.epochs_max {
            self.epochs.insert(prefix, epochs);
        }
        Ok(epochs)
    }
}
