//! What may be applied at all: what is new counts once every node of the group has said that it knows it.

use super::overlay::Overlay;
use crate::error::ReadError;
use crate::store::Store;

/// From this level on, acts may change the set of nodes.
pub(crate) const NODE_SETS: u32 = 2;
/// From this level on, roles are as small as the job: parties vouch for their own alone, wills are proven, records are voided.
pub(crate) const ROLES: u32 = 3;

/// Whether the group has reached this feature level. A log of before has level 1.
pub(crate) fn feature_level_reached(overlay: &Overlay<'_>, level: u32) -> Result<bool, ReadError> {
    is_reached(overlay.store(), level)
}

/// The same, of what is stored.
pub(crate) fn is_reached(store: &Store, level: u32) -> Result<bool, ReadError> {
    Ok(store.feature_level()? >= level)
}
