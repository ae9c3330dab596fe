//! The price of reading: an event of its quota for each call, and of what a node opens in a second, every row that was
//! looked at, whether it was given or not.
//!
//! Over the group there is one quota. Readings that leave a line are counted by the leader, which every line passes. All
//! else (identities, rows, a patient's readings of its own trace) no node tells the others: each grants an equal share of the
//! rate, and a caller that finds one node's share used up goes to the next.

use sillage_ledger::{Party, Refusal};
use sillage_proof::keys::AuthorId;
use sillage_rules::codes::Code;

use crate::core::Core;
use crate::refusals::over_quota;

/// Rows of an index that are passed over for what one opened entry costs.
pub const PASSED_OVER: u64 = 16;

impl Core {
    /// Counts one reading, and `rows` of those it will look at. Rows that it looks at beyond are for
    /// [`Core::charge_rows`].
    ///
    /// # Errors
    /// `QUOTA_EXCEEDED` when the caller has read more than it may.
    pub fn take_reading(&self, caller: &Party, leaves_a_line: bool, rows: u64) -> Result<(), Refusal> {
        // Of the readings that no line tells to the leader, this node grants its share.
        let events = if leaves_a_line { 1 } else { self.nodes() };
        self.submitting.take_quota(caller, events)?;
        let rate = self.config.limits.opened_per_s;
        self.disclosing.opened.take(caller.author_id, self.own_part(rate), rows).map_err(|exceeded| {
            let what = format!("the caller is over its quota of {rate} entries opened in a second");
            over_quota(Code::QuotaExceeded, &what, exceeded)
        })
    }

    /// Counts rows that a reading looked at beyond those that it was let in with: the caller pays them off before it reads on.
    pub fn charge_rows(&self, caller: AuthorId, looked_at: u64, taken: u64) {
        let rate = self.config.limits.opened_per_s;
        self.disclosing.opened.charge(caller, self.own_part(rate), looked_at.saturating_sub(taken));
    }

    /// Counts identities against what one caller may resolve in a second.
    ///
    /// # Errors
    /// `LOOKUP_LIMIT` when it is more.
    pub fn take_lookups(&self, caller: AuthorId, count: usize) -> Result<(), Refusal> {
        let rate = self.config.limits.resolve_per_s;
        self.disclosing.lookups.take(caller, self.own_part(rate), count as u64).map_err(|exceeded| {
            let what = format!("the caller is over its quota of {rate} identities resolved in a second");
            over_quota(Code::LookupLimit, &what, exceeded)
        })
    }

    fn nodes(&self) -> usize {
        self.links.len() + 1
    }

    /// Of a rate of the whole group, what this node grants.
    fn own_part(&self, rate_per_s: u32) -> f64 {
        f64::from(rate_per_s) / self.nodes() as f64
    }
}
