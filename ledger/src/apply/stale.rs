//! Names of requests are kept for as long as the same request may come again.

use rocksdb::{Direction, IteratorMode, ReadOptions};
use sillage_rules::decide::request::REQUEST_AGE_MS_MAX;

use super::Applier;
use crate::error::Fatal;
use crate::schema::Family;
use crate::schema::consent_prefix::ASKED;

/// Stale rows looked at for each request that a command decides: more go than come.
const STALE_PER_REQUEST: usize = 4;

impl Applier<'_> {
    /// Removes names of requests that are stale by now: handed in again, they are refused before they are looked up.
    pub(super) fn forget_stale(&mut self, decided: usize) -> Result<(), Fatal> {
        let before = self.time.get().saturating_sub(REQUEST_AGE_MS_MAX);
        if decided == 0 || before == 0 {
            return Ok(());
        }
        let end = [ASKED, &before.to_be_bytes()].concat();
        // What was removed leaves its mark on disk for a while: it isn't gone through again. Nothing is put before it any
        // more, as it would be stale, so that a node that has forgotten where to begin removes the same.
        let first = std::mem::take(&mut self.rules.caches.asked_from).max(ASKED.to_vec());
        if first >= end {
            self.rules.caches.asked_from = first;
            return Ok(());
        }
        let mut options = ReadOptions::default();
        options.set_iterate_range(first.clone()..end);
        let start = IteratorMode::From(&first, Direction::Forward);
        let rows = self.store.db().iterator_cf_opt(self.store.family(Family::Consent), options, start);
        let mut last = first.clone();
        for row in rows.take(decided * STALE_PER_REQUEST) {
            last = row?.0.into_vec();
            self.overlay.set_row(Family::Consent, last.clone(), None);
        }
        self.rules.caches.asked_from = last;
        Ok(())
    }
}
