//! The new rules that a group applies: nothing that an older program among its nodes doesn't know.

use super::check::{Content, Shape};
use crate::error::{ReadError, Stop};
pub(super) use crate::feature::{CLAIMS, DOORS, NODE_SETS, ROLES, check_given_out, check_tags_hidden, is_reached};
use crate::feature::{check_act, check_kind};
use crate::overlay::Overlay;
use crate::store::Store;

/// Tells whether the group has reached this feature level. A log of before has level 1.
pub(crate) fn feature_level_reached(overlay: &Overlay<'_>, level: u32) -> Result<bool, ReadError> {
    is_reached(overlay.store(), level)
}

/// Refuses what the program of before doesn't know, as it would, until the group has reached the level of it: kinds, roles,
/// and whom a party vouches for.
pub(super) fn check_known(store: &Store, shape: &Shape<'_>) -> Result<(), Stop> {
    let acts = (0_u32..).zip(&shape.records).filter_map(|(position, record)| match &record.content {
        Content::Act(act) => Some((position, &**act)),
        Content::Sealed(_) => None,
    });
    let mut new = acts.filter(|(_, act)| act.feature_level() > 1).peekable();
    let mut sealed = (0_u32..)
        .zip(&shape.records)
        .filter(|(_, record)| matches!(record.content, Content::Sealed(_)) && record.kind.feature_level() > 1);
    let newest = sealed.next();
    if new.peek().is_none() && newest.is_none() {
        return Ok(());
    }
    let level = store.feature_level()?;
    for (position, record) in newest.into_iter().chain(sealed) {
        check_kind(record.kind, level).map_err(|refusal| refusal.at(position))?;
    }
    Ok(new.try_for_each(|(position, act)| check_act(act, level).map_err(|refusal| refusal.at(position)))?)
}
