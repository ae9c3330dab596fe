//! Which keys sign checkpoints: those of the genesis, until acts of the authority replace them.
//!
//! The first index commit after an act is still signed with the old key (`docs/formats.md` §12): whoever trusts that one
//! verifies the act, and with it the new key, which signs from the commit after on.

use sillage_proof::hash::LeafIndex;
use sillage_proof::keys::PublicKey;

use super::acts::refused;
use crate::error::{ReadError, Stop};
use crate::genesis::GenesisInfo;
use crate::nodes::present;
use crate::nodes::signing::LOG;
use crate::overlay::Overlay;
use crate::schema::{SigningName, SigningRow};

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

/// Tells whether another change of who signs may follow.
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

/// Tells whether the log or a node has this key, or ever had it.
pub(super) fn is_signing_key(overlay: &Overlay<'_>, genesis: &GenesisInfo, key: &PublicKey) -> Result<bool, ReadError> {
    let bytes = key.to_bytes();
    let in_genesis = genesis.log_public_key == *key || genesis.nodes.iter().any(|node| node.key == *key);
    let rotated = overlay.signing()?.iter().any(|(_, row)| row.public_key == bytes);
    let sets = overlay.node_sets()?;
    let in_set = sets.iter().flat_map(|row| &row.nodes).any(|node| node.public_key[..] == bytes[..]);
    Ok(in_genesis || rotated || in_set)
}
