//! Which keys sign checkpoints: those of the genesis, until acts of the authority replace them.
//!
//! The first index commit after an act is still signed with the old key (`docs/formats.md` §12): whoever trusts that one
//! verifies the act, and with it the new key, which signs from the commit after on.

use sillage_proof::hash::LeafIndex;
use sillage_proof::keys::PublicKey;

use super::Stop;
use super::acts::refused;
use super::overlay::Overlay;
use crate::error::ReadError;
use crate::genesis::GenesisInfo;
use crate::node_sets::present;
use crate::schema::{SigningName, SigningRow};
use crate::store::Store;

/// Number of the log itself among the nodes, which begin at 1.
pub(crate) const LOG: u64 = 0;
/// Replacements of signing keys in the life of a log, of all nodes and the log together, and changes of the set of nodes.
pub(crate) const ROTATIONS_MAX: usize = 4_096;

/// Gives a node, or the log itself, a new key.
pub(super) fn rotate(
    overlay: &mut Overlay<'_>,
    genesis: &GenesisInfo,
    node: Option<u64>,
    key: &PublicKey,
    index: LeafIndex,
) -> Result<(), Stop> {
    if let Some(id) = node
        && present(overlay.node_sets()?, genesis)?.node(id).is_none()
    {
        return Err(refused(format!("the log has no node {id}")));
    }
    check_room(overlay)?;
    check_signing_key(overlay, genesis, key)?;
    let name = SigningName { node: node.unwrap_or(LOG), index };
    overlay.put_signing(name, SigningRow { public_key: key.to_bytes(), covered_by: None });
    Ok(())
}

/// Whether another change of who signs may follow.
pub(super) fn check_room(overlay: &Overlay<'_>) -> Result<(), Stop> {
    match overlay.signing()?.len() + overlay.node_sets()?.len() < ROTATIONS_MAX {
        true => Ok(()),
        false => {
            let what = "signing keys and the set of nodes are changed at most";
            Err(refused(format!("{what} {ROTATIONS_MAX} times in the life of a log")))
        }
    }
}

/// A key that signs checkpoints was never used before, whoever had it.
pub(super) fn check_signing_key(overlay: &Overlay<'_>, genesis: &GenesisInfo, key: &PublicKey) -> Result<(), Stop> {
    let registered = overlay.key(&key.key_id())?.is_some();
    match registered || is_signing_key(overlay, genesis, key)? {
        true => Err(refused("this key was used before: make a new one")),
        false => Ok(()),
    }
}

/// Whether the log or a node has this key, or ever had it.
pub(super) fn is_signing_key(overlay: &Overlay<'_>, genesis: &GenesisInfo, key: &PublicKey) -> Result<bool, ReadError> {
    let bytes = key.to_bytes();
    let in_genesis = genesis.log_public_key == *key || genesis.nodes.iter().any(|node| node.key == *key);
    let rotated = overlay.signing()?.iter().any(|(_, row)| row.public_key == bytes);
    let sets = overlay.node_sets()?;
    let in_set = sets.iter().flat_map(|row| &row.nodes).any(|node| node.public_key[..] == bytes[..]);
    Ok(in_genesis || rotated || in_set)
}

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
