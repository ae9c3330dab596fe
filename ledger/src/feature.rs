//! The rules that may be applied: a new one counts once every node of the group has said that it knows it.

use sillage_rules::act::{Act, PartyRegistration};
use sillage_rules::codes::Code;
use sillage_rules::kind::Kind;
use sillage_rules::roles::{GIVEN_OUT, Roles};

use crate::error::{ReadError, Refusal};
use crate::store::Store;

/// Newest feature level that this program knows. 1: before there were levels; 2: time by clocks, sets of nodes; 3: roles as
/// small as the job; 4: claims of persons are proven; 5: every rule of several
/// authorities guards all that gives power; sources, sessions of patients and contests.
pub const FEATURE_LEVEL: u32 = 5;
/// From this level on, ledger time is what a majority of clocks attests.
pub const CLOCKS: u32 = 2;
/// From this level on, acts may change the set of nodes.
pub(crate) const NODE_SETS: u32 = 2;
/// From this level on, names are compared in their one spelling and no other is taken, and roles are as small as the job:
/// parties vouch for their own alone, wills are proven, records are voided.
pub const ROLES: u32 = 3;
/// From this level on, what a party claims of a person in a request, a basis or an act is proven or counts for nothing.
pub const CLAIMS: u32 = 4;
/// From this level on, every rule of several authorities guards all that can be guarded, a party's quota too; and sources are
/// listed, patients' sessions opened, and contests answered (`docs/formats-doors.md`). A limit holds under every name of a FHIR
/// resource, and a Consent is cited by its server.
pub const DOORS: u32 = 5;

/// Tells whether the group has reached this feature level. A log of before has level 1.
pub(crate) fn is_reached(store: &Store, level: u32) -> Result<bool, ReadError> {
    Ok(store.feature_level()? >= level)
}

/// Tells whether a group of this feature level knows an act of this form.
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

/// Tells whether a group of this feature level knows a kind.
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

/// Tells whether a registration names no patient, as it mustn't from feature level 4 on: acts are public.
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

/// Tells whether a group of this feature level gives out these roles.
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
