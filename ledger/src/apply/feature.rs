//! What may be applied at all: what is new counts once every node of the group has said that it knows it.

use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::codes::Code;
use sillage_rules::kind::Kind;
use sillage_rules::roles::{GIVEN_OUT, Roles};

use super::Stop;
use super::check::{Content, Shape};
use super::overlay::Overlay;
use crate::error::{ReadError, Refusal};
use crate::store::Store;

/// From this level on, acts may change the set of nodes.
pub(crate) const NODE_SETS: u32 = 2;
/// From this level on, names are compared in their one spelling and no other is taken, and roles are as small as the job:
/// parties vouch for their own alone, wills are proven, records are voided.
pub const ROLES: u32 = 3;
/// From this level on, what a party claims of a person in a request, a basis or an act is proven or counts for nothing.
pub const CLAIMS: u32 = 4;

/// Whether the group has reached this feature level. A log of before has level 1.
pub(crate) fn feature_level_reached(overlay: &Overlay<'_>, level: u32) -> Result<bool, ReadError> {
    is_reached(overlay.store(), level)
}

/// The same, of what is stored.
pub(crate) fn is_reached(store: &Store, level: u32) -> Result<bool, ReadError> {
    Ok(store.feature_level()? >= level)
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

/// Whether a group of this feature level knows an act of this form.
///
/// # Errors
/// As a program that doesn't know it refuses it.
pub fn check_act(act: &Act, level: u32) -> Result<(), Refusal> {
    check_kind(act.kind(), level)?;
    if act.feature_level() > level {
        let what = "unknown role bits, or fields: the nodes don't all know them yet";
        return Err(Refusal::new(Code::MalformedRecord, what));
    }
    Ok(())
}

/// Whether a group of this feature level knows a kind.
///
/// # Errors
/// `UNKNOWN_KIND`, as of a number that no kind has.
pub fn check_kind(kind: Kind, level: u32) -> Result<(), Refusal> {
    match kind.feature_level() > level {
        false => Ok(()),
        true => {
            let what = format!("unknown kind {:#06x}: the nodes don't all know it yet", kind.code());
            Err(Refusal::new(Code::UnknownKind, what))
        }
    }
}

/// Whether a registration names no patient, as it mustn't from feature level 4 on: acts are public.
///
/// # Errors
/// `ACT_REFUSED`.
pub fn check_tags_hidden(party: &PartyRegistration, level: u32) -> Result<(), Refusal> {
    let named = party.patient_tag.is_some() || party.patient_secret_tag.is_some();
    match level >= CLAIMS && named {
        false => Ok(()),
        true => {
            let what = "acts are public, and name no patient's tags any more: give their commitment, and a device.registered under each tag (sillage keys register does)";
            Err(Refusal::new(Code::ActRefused, what))
        }
    }
}

/// Whether a group of this feature level gives out these roles.
///
/// # Errors
/// `ACT_REFUSED` for the role author from level 3 on.
pub fn check_given_out(roles: Roles, level: u32) -> Result<(), Refusal> {
    match level >= ROLES && roles.contains(Roles::AUTHOR) {
        false => Ok(()),
        true => {
            let what =
                format!("the role author isn't given out any more: take those that the job needs of {GIVEN_OUT}");
            Err(Refusal::new(Code::ActRefused, what))
        }
    }
}
