//! The register of broken glass, as readers ask for it.

use rocksdb::{Direction, IteratorMode, ReadOptions};
use sillage_proof::hash::{LeafIndex, LedgerTimeMs};

use super::LedgerReader;
use crate::consent::BreakGlass;
use crate::consent::register::{ROWS, UNCLOSED, UNJUSTIFIED, damaged, index_of, row_key};
use crate::error::ReadError;
use crate::overlay::Overlay;
use crate::schema::Family;
use crate::shared::View;
use crate::store::Store;

/// Which rows of the register are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GlassFilter {
    /// Only those that give access now.
    pub open_only: bool,
    /// Only those whose justification is overdue.
    pub overdue_only: bool,
}

impl LedgerReader {
    /// Break-glasses in the order in which they were opened, after the entry `after`, at most `limit`; and whether there
    /// are more. The time that they are held against is ledger time, [`crate::Head::time_ms`].
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) fn break_glasses(
        &self,
        filter: GlassFilter,
        after: LeafIndex,
        limit: usize,
    ) -> Result<(Vec<BreakGlass>, bool), ReadError> {
        self.break_glasses_counted(filter, after, limit).map(|(found, more, _)| (found, more))
    }

    /// The same, and how many rows of the register were looked at for it.
    ///
    /// # Errors
    /// As [`LedgerReader::break_glasses`].
    pub(crate) fn break_glasses_counted(
        &self,
        filter: GlassFilter,
        after: LeafIndex,
        limit: usize,
    ) -> Result<(Vec<BreakGlass>, bool, u64), ReadError> {
        let view = self.view();
        let now = view.head.time;
        let wanted = |glass: &BreakGlass| {
            (!filter.open_only || glass.is_open(now)) && (!filter.overdue_only || glass.is_overdue(now))
        };
        let overlay = Overlay::new(&view.store);
        // What was closed or justified by a voided record has no mark any more.
        let marked = overlay.voids()?.is_empty();
        let candidates: Box<dyn Iterator<Item = Result<LeafIndex, ReadError>> + '_> = if filter.open_only && marked {
            // Few are open at a time; those that ended long ago aren't looked at.
            let mut open = unexpired(&view.store, now)?;
            open.sort_unstable();
            Box::new(open.into_iter().filter(|index| *index > after).map(Ok))
        } else {
            Box::new(indices(&view, if filter.overdue_only && marked { UNJUSTIFIED } else { ROWS }, after))
        };
        let (mut out, mut looked_at) = (Vec::new(), 0);
        for index in candidates {
            let index = index?;
            looked_at += 1;
            let row = view.store.get(Family::Glass, &row_key(index))?.ok_or_else(damaged)?;
            let mut glass = overlay.without_voided(BreakGlass::decode(index, &row)?)?;
            if !wanted(&glass) {
                continue;
            }
            glass.erased_by = overlay.erasure_of_glass(&glass)?;
            if !wanted(&glass) {
                continue;
            }
            if out.len() == limit {
                return Ok((out, true, looked_at));
            }
            out.push(glass);
        }
        Ok((out, false, looked_at))
    }

    /// When the break-glass of this entry ends at the latest; `None` where the entry opened none.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn break_glass_end(&self, index: LeafIndex) -> Result<Option<LedgerTimeMs>, ReadError> {
        let glass = Overlay::new(&self.view().store).glass_at(index)?;
        Ok(glass.map(|glass| glass.expires_ms))
    }
}

/// The indices of rows or marks that begin with `prefix`, after `after`.
fn indices(view: &View, prefix: u8, after: LeafIndex) -> impl Iterator<Item = Result<LeafIndex, ReadError>> + '_ {
    let mut options = ReadOptions::default();
    let first = [&[prefix][..], &after.get().saturating_add(1).to_be_bytes()].concat();
    options.set_iterate_range(first.clone()..vec![prefix + 1]);
    let start = IteratorMode::From(&first, Direction::Forward);
    let rows = view.store.db().iterator_cf_opt(view.store.family(Family::Glass), options, start);
    rows.map(|row| index_of(&row?.0))
}

fn unexpired(store: &Store, now: LedgerTimeMs) -> Result<Vec<LeafIndex>, ReadError> {
    let mut options = ReadOptions::default();
    let first = [&[UNCLOSED][..], &now.get().saturating_add(1).to_be_bytes()].concat();
    options.set_iterate_range(first.clone()..vec![UNCLOSED + 1]);
    let start = IteratorMode::From(&first, Direction::Forward);
    let rows = store.db().iterator_cf_opt(store.family(Family::Glass), options, start);
    rows.map(|row| index_of(&row?.0)).collect()
}
