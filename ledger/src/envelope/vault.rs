//! Opens and seals while a command is applied: only what decides (`rules::consent::opens_at_apply`), and decisions.
//!
//! A payload opens on every node, or on none. A node that lacks a key-encryption key which the group has,
//! or holds another one, can't know: it stops ([`VaultError::Kek`]). A key that no node can open is refused
//! ([`VaultError::Unreadable`]). Data keys stay unwrapped in memory, each beside the bytes that it was unwrapped from,
//! so that a hit and a miss come to the same.

use std::sync::Arc;

use sillage_proof::batch::Origin;
use zeroize::Zeroizing;

use super::cipher::{self, DataCipher};
use super::{KekError, KekProvider, Place, TagPrefix, layout};
use crate::cache::Cache;
use crate::overlay::erasing::KekEpochs;
use crate::schema::DataKeyName;

/// A payload can't be opened, or nothing sealed, while applying.
#[derive(Debug)]
pub(crate) enum VaultError {
    /// By no node.
    Unreadable,
    /// By this node.
    Kek(KekError),
}

/// A data key, and what it was wrapped as.
struct UnwrappedKey {
    wrapped: Box<[u8]>,
    cipher: DataCipher,
}

/// Data keys of one thread that applies or checks.
pub(crate) struct Vault {
    keks: Arc<dyn KekProvider>,
    origin: Origin,
    keys: Cache<DataKeyName, Arc<UnwrappedKey>>,
    /// True if what can't be unwrapped is reason to ask if this node's key is the group's.
    asks: bool,
}

impl Vault {
    pub(crate) fn new(keks: Arc<dyn KekProvider>, origin: Origin, keys_max: usize) -> Self {
        Self { keks, origin, keys: Cache::new(keys_max), asks: false }
    }

    /// From now on, what can't be unwrapped is refused only when this node's key is the group's: where commands are applied,
    /// a refusal that the other nodes don't make is another ledger.
    pub(crate) fn ask_group(&mut self) {
        self.asks = true;
    }

    /// Forgets every key: some were given up or wrapped anew.
    pub(crate) fn clear(&mut self) {
        self.keys.clear();
    }

    /// Opens what was sealed for `place` under the data key `wrapped`, of whose prefix the epochs are given.
    pub(crate) fn open(
        &mut self,
        place: &Place,
        payload: &[u8],
        wrapped: &[u8],
        epochs: KekEpochs,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let id = layout::data_key_id(payload).ok_or(VaultError::Unreadable)?;
        let key = self.key((place.tag, id), wrapped, epochs)?;
        key.cipher.open(&self.origin, place, payload).ok_or(VaultError::Unreadable)
    }

    /// Seals for `place` under the data key of this id.
    pub(crate) fn seal(
        &mut self,
        place: &Place,
        (id, wrapped, epochs): ([u8; 16], &[u8], KekEpochs),
        nonce: &[u8; 12],
        parts: &[&[u8]],
    ) -> Result<Vec<u8>, VaultError> {
        let key = self.key((place.tag, id), wrapped, epochs)?;
        Ok(key.cipher.seal(&self.origin, place, nonce, parts))
    }

    /// Tells whether both are the same data key, each wrapped under an epoch that every node holds.
    pub(crate) fn is_same_key(&self, name: &DataKeyName, one: &[u8], other: &[u8]) -> Result<bool, KekError> {
        let unwrap = |wrapped| match cipher::unwrap(&*self.keks, &self.origin, name, wrapped) {
            Ok(key) => Ok(Some(key)),
            Err(KekError::Refused) => self.no_node_can(name, wrapped).map(|()| None),
            Err(error) => Err(error),
        };
        Ok(unwrap(one)?.zip(unwrap(other)?).is_some_and(|(one, other)| *one == *other))
    }

    fn key(&mut self, name: DataKeyName, wrapped: &[u8], epochs: KekEpochs) -> Result<Arc<UnwrappedKey>, VaultError> {
        if let Some(known) = self.keys.get(name).filter(|known| *known.wrapped == *wrapped) {
            return Ok(known);
        }
        let cipher = self.unwrap(&name, wrapped, epochs)?;
        let key = Arc::new(UnwrappedKey { wrapped: wrapped.into(), cipher });
        self.keys.put(name, key.clone(), 1);
        Ok(key)
    }

    /// Tells whether a data key that comes on record can be unwrapped: or else a node could plant one under which nothing can be
    /// opened, and which can't be wrapped again when an epoch is to go.
    pub(crate) fn check_key(&self, name: &DataKeyName, wrapped: &[u8], epochs: KekEpochs) -> Result<(), VaultError> {
        self.unwrap(name, wrapped, epochs).map(drop)
    }

    fn unwrap(&self, name: &DataKeyName, wrapped: &[u8], epochs: KekEpochs) -> Result<DataCipher, VaultError> {
        // Every node holds the epochs after the retired one up to the present one. Of another one some node may hold a
        // key and some not, whoever wrapped under it.
        let held = layout::epoch_of(wrapped).is_some_and(|epoch| epochs.retired < epoch && epoch <= epochs.current);
        if !held {
            return Err(VaultError::Unreadable);
        }
        DataCipher::unwrap(&*self.keks, &self.origin, name, wrapped).map_err(|error| match error {
            KekError::Refused => match self.no_node_can(name, wrapped) {
                Ok(()) => VaultError::Unreadable,
                Err(error) => VaultError::Kek(error),
            },
            error => VaultError::Kek(error),
        })
    }

    /// Makes sure that what this node can't unwrap no other node can: the fault isn't this node's key.
    fn no_node_can(&self, name: &DataKeyName, wrapped: &[u8]) -> Result<(), KekError> {
        match layout::epoch_of(wrapped) {
            Some(epoch) if self.asks => self.keks.check_is_groups((TagPrefix::of(&name.0), epoch)),
            // What isn't laid out as a data key is that to every node.
            _ => Ok(()),
        }
    }
}
