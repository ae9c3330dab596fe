//! How many records that take access away, end spaces or give access on another's word a party signs in one day of ledger
//! time: a stolen key does so much harm and no more, until somebody looks.

use sillage_proof::hash::LedgerTimeMs;
use sillage_proof::keys::AuthorId;
use sillage_rules::authority::{DAY_MS, LIMIT_A_DAY, LIMIT_A_DAY_PATIENT, LIMIT_A_DAY_TEST, is_limited};
use sillage_rules::codes::Code;
use sillage_rules::consent::{Actor, Event};
use sillage_rules::kind::Kind;
use sillage_rules::roles::Roles;
use sillage_rules::time::TimeMs;

use super::check::Signer;
use super::feature::{ROLES, feature_level_reached};
use crate::error::{ReadError, Refusal, Stop};
use crate::genesis::GenesisInfo;
use crate::overlay::Overlay;
use crate::schema::Family;
// Of patients' own devices there are many: nobody goes through theirs.
use crate::schema::consent_prefix::{DAY as DAYS, OWN_DAY as OWN_DAYS};

/// Rows of days gone by that are removed when a row is added: more go than come.
const FORGOTTEN: usize = 2;

pub(crate) fn day_of(time: LedgerTimeMs) -> u64 {
    time.get() / DAY_MS
}

fn prefix(roles: Roles) -> &'static [u8] {
    if roles.contains(Roles::PATIENT) { OWN_DAYS } else { DAYS }
}

fn row_key(day: u64, author: &AuthorId, roles: Roles) -> Vec<u8> {
    [prefix(roles), &day.to_be_bytes(), author.as_bytes()].concat()
}

pub(crate) fn count_of(row: Option<Vec<u8>>) -> Result<u32, ReadError> {
    row.map_or(Ok(0), |row| row.try_into().map(u32::from_be_bytes).map_err(|_| damaged()))
}

pub(crate) fn damaged() -> ReadError {
    ReadError::Damaged("the row of a day's records can't be read".into())
}

/// Tells whether a record counts, and may still be signed today. `staged`: how many of its batch were counted before it.
pub(super) fn check(
    overlay: &Overlay<'_>,
    genesis: &GenesisInfo,
    signer: &Signer,
    (kind, event, by): (Kind, &Event, &Actor),
    staged: u32,
    time: LedgerTimeMs,
) -> Result<bool, Stop> {
    if !is_limited(kind, event, by) || !feature_level_reached(overlay, ROLES)? {
        return Ok(false);
    }
    let author = &signer.key.author_id;
    let day = day_of(time);
    let count = count_of(overlay.row(Family::Consent, &row_key(day, author, signer.roles))?)?;
    let limit = limit(overlay, genesis, author, signer.roles)?;
    if count.saturating_add(staged) < limit {
        return Ok(true);
    }
    let resets = TimeMs((day + 1).saturating_mul(DAY_MS));
    let what = format!(
        "the party has signed {limit} records today that take access away, end spaces or give access on another's word than the patient's, as many as it may: the next day begins at {resets}; the authority may set another limit"
    );
    Err(Refusal::new(Code::LimitReached, what).into())
}

pub(crate) fn limit(
    overlay: &Overlay<'_>,
    genesis: &GenesisInfo,
    author: &AuthorId,
    roles: Roles,
) -> Result<u32, ReadError> {
    let own = if roles.contains(Roles::PATIENT) {
        LIMIT_A_DAY_PATIENT
    } else if genesis.test_log {
        LIMIT_A_DAY_TEST
    } else {
        LIMIT_A_DAY
    };
    Ok(overlay.limit_of(author)?.unwrap_or(own))
}

impl Overlay<'_> {
    /// Counts records of a party that were accepted.
    pub(super) fn count_limited(&mut self, signer: &Signer, records: u32, time: LedgerTimeMs) -> Result<(), ReadError> {
        let day = day_of(time);
        let key = row_key(day, &signer.key.author_id, signer.roles);
        let known = self.row(Family::Consent, &key)?;
        if known.is_none() {
            let days = prefix(signer.roles);
            let gone = self.store().scan(Family::Consent, days, None, FORGOTTEN)?;
            // Yesterday's stay, for whoever asks after midnight.
            let before = [days, &day.saturating_sub(1).to_be_bytes()].concat();
            for (key, _) in gone.into_iter().filter(|(key, _)| key[..] < before[..]) {
                self.set_row(Family::Consent, key.into_vec(), None);
            }
        }
        let count = count_of(known)?.saturating_add(records);
        self.set_row(Family::Consent, key, Some(count.to_be_bytes().to_vec()));
        Ok(())
    }
}
