//! Voided records: the acts, what came of them, and what another act would void.

use std::collections::BTreeSet;

use sillage_proof::hash::LeafIndex;
use sillage_rules::entry::{Entry, Flags};
use sillage_rules::kind::{Group, Kind};
use sillage_rules::voiding::Whose;

use super::LedgerReader;
use crate::error::ReadError;
use crate::overlay::Overlay;
use crate::overlay::voids::{Job, ReviewGround, VoidedDecision, VoidedRange, Voids, count_of, damaged, numbered};
use crate::schema::consent_prefix::{CONCERNED as COUNTS, REVIEW as REVIEWS, VOIDING as JOBS};
use crate::schema::{Family, TAG_LEN};

impl LedgerReader {
    /// Every act that voided records, in log order: at most [`sillage_rules::limits::VOIDINGS_MAX`].
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn voidings(&self) -> Result<Vec<VoidedRange>, ReadError> {
        Ok(Voids::read(&self.view().store)?.ranges)
    }

    /// The act by which an entry is voided in a log of `size` entries.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn voided_at(&self, index: LeafIndex, size: u64) -> Result<Option<VoidedRange>, ReadError> {
        let view = self.view();
        let overlay = Overlay::new(&view.store);
        let Some(act) = overlay.voided_at(index, size)? else { return Ok(None) };
        Ok(overlay.voids()?.ranges.iter().find(|range| range.act == act).copied())
    }

    /// Tells whether patients are still to be told of voided records: each command tells some more.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn is_telling_of_voided(&self) -> Result<bool, ReadError> {
        Ok(Job::first(&self.view().store)?.is_some())
    }

    /// Decisions that were made while what this act voids counted, after the entry `after`, at most `limit`; and whether
    /// there are more.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn decisions_to_review(
        &self,
        act: LeafIndex,
        after: LeafIndex,
        limit: usize,
    ) -> Result<(Vec<VoidedDecision>, bool), ReadError> {
        let prefix = numbered(REVIEWS, act, &[]);
        let start = numbered(REVIEWS, act, &after.get().to_be_bytes());
        let rows = self.view().store.scan(Family::Consent, &prefix, Some(&start), limit + 1)?;
        let more = rows.len() > limit;
        let parse = |key: &[u8], row: &[u8]| {
            let index = key.strip_prefix(&prefix[..])?.try_into().ok().map(u64::from_be_bytes)?;
            let ground = match row {
                [1] => ReviewGround::Consulted,
                [2] => ReviewGround::Concerned,
                _ => return None,
            };
            Some(VoidedDecision { index: LeafIndex(index), ground })
        };
        let found = rows.iter().take(limit).map(|(key, row)| parse(key, row).ok_or_else(damaged));
        Ok((found.collect::<Result<_, _>>()?, more))
    }

    /// How many patients have records that this act voids, as far as they were told, and whether all were.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn patients_concerned(&self, act: LeafIndex) -> Result<(u64, bool), ReadError> {
        let view = self.view();
        // A count of its own: an act may concern millions, and the page asks for many acts.
        let count = count_of(view.store.get(Family::Consent, &numbered(COUNTS, act, &[]))?)?;
        let jobs = view.store.scan(Family::Consent, JOBS, None, usize::MAX)?;
        let open = jobs.iter().any(|(key, _)| key.ends_with(&act.get().to_be_bytes()));
        Ok((count, !open))
    }
}

/// The records that an act would void, in one part of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VoidingPart {
    /// Records.
    pub records: u64,
    /// Of them, those that decide.
    pub deciding: u64,
    /// Patients.
    pub tags: BTreeSet<[u8; TAG_LEN]>,
    /// Decisions that the ledger made meanwhile, for anybody.
    pub decisions: u64,
    /// Where to go on; 0: this was the last part.
    pub next: u64,
}

/// Entries looked at for one part.
const PREVIEW_STEPS: usize = 20_000;

impl LedgerReader {
    /// The records that an act would void that names `whose` entries from `from` to `until`: the part that begins at `next`, 0 for the
    /// first one.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) fn preview_voiding(
        &self,
        whose: &Whose,
        (from, until): (LeafIndex, Option<LeafIndex>),
        next: u64,
    ) -> Result<VoidingPart, ReadError> {
        let view = self.view();
        let overlay = Overlay::new(&view.store);
        let size = view.head.size;
        let until = until.map_or(size, |until| until.get().min(size));
        let range = VoidedRange {
            act: LeafIndex(size),
            time_ms: view.head.time,
            whose: *whose,
            from,
            until: LeafIndex(until),
            reinstated: None,
        };
        let mut part = VoidingPart { next: next.max(from.get()), ..VoidingPart::default() };
        for _ in 0..PREVIEW_STEPS {
            if part.next >= size {
                part.next = 0;
                return Ok(part);
            }
            let index = LeafIndex(part.next);
            part.next += 1;
            match overlay.stored(index)? {
                Some(Entry::BatchHeader(header)) => {
                    let key = overlay.key(&header.key_id)?.ok_or_else(damaged)?;
                    let own = match whose {
                        Whose::Key(own) => *own == header.key_id,
                        Whose::Party(own) => *own == key.author_id,
                    };
                    if !own || index >= range.until {
                        part.next += u64::from(header.count);
                    }
                }
                Some(Entry::Record(entry)) if entry.flags.contains(Flags::LEDGER) => {
                    part.decisions += u64::from(entry.kind == Kind::DECISION_MADE);
                }
                Some(Entry::Record(entry)) => {
                    let signer = overlay.signer_of(index)?;
                    if signer.is_some_and(|(key, author)| range.means(index, (&key, &author))) {
                        part.records += 1;
                        let access = matches!(entry.kind.group(), Group::Access | Group::Movement | Group::FollowUp);
                        part.deciding += u64::from(!access);
                        if entry.tag != [0; TAG_LEN] {
                            part.tags.insert(entry.tag);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(part)
    }
}
