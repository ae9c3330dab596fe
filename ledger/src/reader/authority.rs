//! The rule of the authorities, and the parties near their limits of a day.

use sillage_proof::hash::LedgerTimeMs;
use sillage_proof::keys::AuthorId;
use sillage_rules::authority::{DAY_MS, Rule};

use super::LedgerReader;
use crate::apply::daily::{count_of, damaged, day_of, limit};
use crate::error::ReadError;
use crate::overlay::Overlay;
use crate::schema::Family;
use crate::schema::consent_prefix::DAY as DAYS;

/// A party that has signed most of what it may in one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearLimit {
    /// The party's name: of a service, never of a patient's own device.
    pub name: String,
    /// How many it signed.
    pub records: u32,
    /// How many it may sign.
    pub limit: u32,
    /// When the next day begins, ms.
    pub resets_ms: u64,
}

impl NearLimit {
    /// Tells whether it may sign no more today.
    pub fn is_reached(&self) -> bool {
        self.records >= self.limit
    }
}

impl LedgerReader {
    /// The rule of the authorities; `None`: each acts alone.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn authority_rule(&self) -> Result<Option<Rule>, ReadError> {
        Overlay::new(&self.view().store).rule()
    }

    /// The parties that have signed at least 80 % of what they may today of records that take access away, as of `now_ms`;
    /// at most `limit` of them.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn near_limits(&self, now_ms: u64, limit_max: usize) -> Result<Vec<NearLimit>, ReadError> {
        let view = self.view();
        let overlay = Overlay::new(&view.store);
        // Ledger time stands still while nobody writes.
        let day = day_of(view.head.time.max(LedgerTimeMs(now_ms)));
        let prefix = [DAYS, &day.to_be_bytes()].concat();
        let mut out = Vec::new();
        for (key, row) in view.store.scan(Family::Consent, &prefix, None, usize::MAX)? {
            let author = key.get(prefix.len()..).and_then(|id| AuthorId::from_slice(id).ok()).ok_or_else(damaged)?;
            let Some(party) = overlay.party(&author)? else { return Err(damaged()) };
            let records = count_of(Some(row.into_vec()))?;
            let limit = limit(&overlay, self.genesis(), &author, party.roles())?;
            if u64::from(records) * 5 >= u64::from(limit) * 4 && out.len() < limit_max {
                out.push(NearLimit { name: party.name, records, limit, resets_ms: (day + 1).saturating_mul(DAY_MS) });
            }
        }
        Ok(out)
    }
}
