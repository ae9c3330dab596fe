//! Which keys sign checkpoints: those of the genesis, until acts of the authority replace them.
//!
//! The first index commit after an act is still signed with the old key (`docs/formats.md` §12): whoever trusts that one
//! verifies the act, and with it the new key, which signs from the commit after on.

use sillage_proof::hash::LeafIndex;
use sillage_proof::keys::PublicKey;

use crate::error::ReadError;
use crate::schema::{SigningName, SigningRow};
use crate::store::Store;

/// Number of the log itself among the nodes, which begin at 1.
pub(crate) const LOG: u64 = 0;

/// A replacement of a key that signs checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// The act's entry.
    pub index: LeafIndex,
    /// The node; `None`: the log itself.
    pub node: Option<u64>,
    /// The new key.
    pub key: PublicKey,
    /// The first index commit after the act, which ends the last checkpoint under the key before; `None`: not there yet.
    pub covered_by: Option<LeafIndex>,
}

/// All replacements, in the order of the log.
pub(crate) fn rotations(store: &Store) -> Result<Vec<Rotation>, ReadError> {
    let rotation = |(name, row): &(SigningName, SigningRow)| {
        let key = PublicKey::from_bytes(&row.public_key);
        let key = key.map_err(|_| ReadError::Damaged("a signing key".into()))?;
        let node = (name.node != LOG).then_some(name.node);
        Ok(Rotation { index: name.index, node, key, covered_by: row.covered_by })
    };
    let mut out = store.signing()?.iter().map(rotation).collect::<Result<Vec<Rotation>, ReadError>>()?;
    out.sort_by_key(|rotation| rotation.index);
    Ok(out)
}

/// The key of a node (or [`LOG`]) that signs the checkpoint whose last entry is the index commit `commit`; `None`:
/// the one that it came with.
pub(crate) fn key_at(store: &Store, node: u64, commit: LeafIndex) -> Result<Option<PublicKey>, ReadError> {
    let rows = store.signing()?;
    let of_node = rows.iter().rev().filter(|(name, _)| name.node == node);
    let row = of_node.map(|(_, row)| row).find(|row| row.covered_by.is_some_and(|covered| covered < commit));
    let Some(row) = row else {
        return Ok(None);
    };
    let key = PublicKey::from_bytes(&row.public_key);
    key.map(Some).map_err(|_| ReadError::Damaged("a signing key".into()))
}
