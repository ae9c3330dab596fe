//! Voided records, as the ledger keeps them: one row for each act, and how far its patients were told.
//!
//! A state isn't stored: it is folded from records, and whoever folds it leaves out what is voided. So an act takes
//! effect at once for every patient, with nothing to do for any of them but to forget what is kept in memory. Telling
//! is done in slices, a bounded one with each command: a record under the tag of each patient concerned, and the list
//! of decisions that were made while the voided records counted ([`crate::apply::voiding`]).

use std::sync::Arc;

use sillage_proof::hash::{LeafIndex, LedgerTimeMs};
use sillage_proof::keys::{AuthorId, KeyId};
use sillage_rules::entry::{Entry, Flags};
use sillage_rules::voiding::{Voiding, Whose, can_be_voided};

use super::Overlay;
use crate::error::ReadError;
use crate::schema::consent_prefix::{
    CONCERNED as COUNTS, REVIEW as REVIEWS, VOID as ROWS, VOIDED as CONCERNED, VOIDING as JOBS,
};
use crate::schema::{self, Family, TAG_LEN};
use crate::store::Store;

/// An act that voided records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoidedRange {
    /// The entry of the act.
    pub act: LeafIndex,
    /// Its ledger time.
    pub time_ms: LedgerTimeMs,
    /// The key or party whose records they are.
    pub whose: Whose,
    /// The first entry that is meant.
    pub from: LeafIndex,
    /// The first that isn't meant any more.
    pub until: LeafIndex,
    /// The act that reinstated them.
    pub reinstated: Option<LeafIndex>,
}

impl VoidedRange {
    fn key(act: LeafIndex) -> Vec<u8> {
        [ROWS, &act.get().to_be_bytes()].concat()
    }

    fn encode(&self) -> Vec<u8> {
        let (kind, id) = match &self.whose {
            Whose::Key(key) => (1, key.as_bytes()),
            Whose::Party(author) => (2, author.as_bytes()),
        };
        let reinstated = self.reinstated.map_or(0, LeafIndex::get);
        let mut out = vec![kind];
        out.extend_from_slice(id);
        for number in [self.time_ms.get(), self.from.get(), self.until.get(), reinstated] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out
    }

    fn decode(key: &[u8], bytes: &[u8]) -> Option<Self> {
        let act = key.strip_prefix(ROWS)?.try_into().ok().map(u64::from_be_bytes)?;
        let (kind, rest) = bytes.split_first()?;
        let (id, rest) = rest.split_first_chunk::<32>()?;
        let whose = match kind {
            1 => Whose::Key(KeyId::from_bytes(*id)),
            2 => Whose::Party(AuthorId::from_bytes(*id)),
            _ => return None,
        };
        let (numbers, rest) = rest.as_chunks::<8>();
        let numbers = numbers.iter().map(|number| u64::from_be_bytes(*number)).collect::<Vec<_>>();
        let [time, from, until, reinstated] = numbers.try_into().ok()?;
        rest.is_empty().then_some(Self {
            act: LeafIndex(act),
            time_ms: LedgerTimeMs(time),
            whose,
            from: LeafIndex(from),
            until: LeafIndex(until),
            reinstated: (reinstated != 0).then_some(LeafIndex(reinstated)),
        })
    }

    /// Tells whether an entry that this key of this party signed is meant.
    pub(crate) fn means(&self, index: LeafIndex, (key, author): (&KeyId, &AuthorId)) -> bool {
        let whose = match &self.whose {
            Whose::Key(own) => own == key,
            Whose::Party(own) => own == author,
        };
        whose && self.covers(index)
    }

    fn covers(&self, index: LeafIndex) -> bool {
        (self.from..self.until).contains(&index)
    }

    /// Tells whether it counted in a log of `size` entries.
    fn counts_at(&self, size: u64) -> bool {
        self.act.get() < size && self.reinstated.is_none_or(|by| by.get() >= size)
    }
}

/// Every act that voided records, in log order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Voids {
    pub ranges: Vec<VoidedRange>,
}

impl Voids {
    pub(crate) fn read(store: &Store) -> Result<Self, ReadError> {
        let rows = store.scan(Family::Consent, ROWS, None, usize::MAX)?;
        let ranges = rows.iter().map(|(key, row)| VoidedRange::decode(key, row).ok_or_else(damaged));
        Ok(Self { ranges: ranges.collect::<Result<_, _>>()? })
    }

    /// The newest act that changed what is voided, also one that reinstated.
    pub(crate) fn last_act(&self) -> Option<LeafIndex> {
        self.ranges.iter().flat_map(|range| [Some(range.act), range.reinstated]).flatten().max()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

pub(crate) fn damaged() -> ReadError {
    ReadError::Damaged("a row of voided records can't be read".into())
}

/// How far the patients of an act were told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Job {
    /// The act that is told of.
    pub by: LeafIndex,
    /// The act that voided: the same, or the one that it reinstates.
    pub voided: LeafIndex,
    /// The next entry to look at.
    pub next: u64,
}

impl Job {
    fn key(&self) -> Vec<u8> {
        [JOBS, &self.by.get().to_be_bytes()].concat()
    }

    /// The oldest that is stored.
    pub(crate) fn first(store: &Store) -> Result<Option<Self>, ReadError> {
        let rows = store.scan(Family::Consent, JOBS, None, 1)?;
        let parse = |key: &[u8], row: &[u8]| {
            let by = key.strip_prefix(JOBS)?.try_into().ok().map(u64::from_be_bytes)?;
            let ([voided, next], []) = row.as_chunks::<8>() else { return None };
            let [voided, next] = [voided, next].map(|number| u64::from_be_bytes(*number));
            Some(Self { by: LeafIndex(by), voided: LeafIndex(voided), next })
        };
        rows.first().map(|(key, row)| parse(key, row).ok_or_else(damaged)).transpose()
    }
}

/// Why a decision is to be reviewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewGround {
    /// It rests on a voided record.
    Consulted,
    /// It was made for a patient of whom a voided record counted then.
    Concerned,
}

/// A decision that was made while voided records counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoidedDecision {
    /// The entry of the decision.
    pub index: LeafIndex,
    /// Why it is to be reviewed.
    pub ground: ReviewGround,
}

pub(crate) fn count_of(row: Option<Vec<u8>>) -> Result<u64, ReadError> {
    row.map_or(Ok(0), |row| row.try_into().map(u64::from_be_bytes).map_err(|_| damaged()))
}

pub(crate) fn numbered(prefix: &[u8], act: LeafIndex, rest: &[u8]) -> Vec<u8> {
    [prefix, &act.get().to_be_bytes(), rest].concat()
}

impl Overlay<'_> {
    /// Every act that voided records, those of the present command too.
    pub(crate) fn voids(&self) -> Result<Arc<Voids>, ReadError> {
        if let Some(known) = self.voids.get() {
            return Ok(Arc::clone(known));
        }
        let read = Arc::new(Voids::read(self.store())?);
        Ok(Arc::clone(self.voids.get_or_init(|| read)))
    }

    /// The signer of an entry's record; `None` where nobody signed it, or where it can't be voided.
    pub(crate) fn signer_of(&self, index: LeafIndex) -> Result<Option<(KeyId, AuthorId)>, ReadError> {
        let pending = self.signed.iter().find(|(range, _)| range.contains(&index.get()));
        if let Some((_, signer)) = pending {
            return Ok(Some(*signer));
        }
        let Some(Entry::Record(entry)) = self.stored(index)? else { return Ok(None) };
        if entry.flags.contains(Flags::LEDGER) || !can_be_voided(entry.kind) {
            return Ok(None);
        }
        let header = entry.header_index().ok_or_else(damaged)?;
        let Some(Entry::BatchHeader(header)) = self.stored(header)? else { return Err(damaged()) };
        let key = self.key(&header.key_id)?.ok_or_else(damaged)?;
        Ok(Some((header.key_id, key.author_id)))
    }

    pub(crate) fn stored(&self, index: LeafIndex) -> Result<Option<Entry>, ReadError> {
        let bytes = self.store().get(Family::Entries, &schema::index_key(index.get()))?;
        bytes.map(|bytes| Entry::decode(&bytes).map_err(|_| damaged())).transpose()
    }

    /// The first act by which an entry is voided.
    pub(crate) fn voided_by(&self, index: LeafIndex) -> Result<Option<LeafIndex>, ReadError> {
        self.voided_at(index, u64::MAX)
    }

    /// The same in a log of `size` entries.
    pub(crate) fn voided_at(&self, index: LeafIndex, size: u64) -> Result<Option<LeafIndex>, ReadError> {
        let voids = self.voids()?;
        let counts = |range: &&VoidedRange| range.covers(index) && range.counts_at(size);
        if !voids.ranges.iter().any(|range| counts(&range)) {
            return Ok(None);
        }
        let Some((key, author)) = self.signer_of(index)? else { return Ok(None) };
        let mut meant = voids.ranges.iter().filter(counts).filter(|range| range.means(index, (&key, &author)));
        Ok(meant.next().map(|range| range.act))
    }

    /// Tells whether an entry counts, as far as it isn't voided.
    pub(crate) fn still_counts(&self, index: LeafIndex) -> Result<bool, ReadError> {
        self.voided_by(index).map(|by| by.is_none())
    }

    /// Writes the row of an act, and what is known of all of them.
    pub(crate) fn put_void(&mut self, range: VoidedRange) -> Result<(), ReadError> {
        let mut voids = (*self.voids()?).clone();
        match voids.ranges.iter_mut().find(|known| known.act == range.act) {
            Some(known) => *known = range,
            None => voids.ranges.push(range),
        }
        self.voids = Arc::new(voids).into();
        self.set_row(Family::Consent, VoidedRange::key(range.act), Some(range.encode()));
        Ok(())
    }

    /// Writes how far a job is; `done`: removes it.
    pub(crate) fn put_job(&mut self, job: &Job, done: bool) {
        let row = (!done).then(|| [job.voided.get().to_be_bytes(), job.next.to_be_bytes()].concat());
        self.set_row(Family::Consent, job.key(), row);
    }

    /// Notes that a patient has a record that this act voids.
    pub(crate) fn set_concerned(&mut self, act: LeafIndex, tag: &[u8; TAG_LEN]) -> Result<(), ReadError> {
        if !self.is_concerned(act, tag)? {
            let counts = numbered(COUNTS, act, &[]);
            let count = count_of(self.row(Family::Consent, &counts)?)?.saturating_add(1);
            self.set_row(Family::Consent, counts, Some(count.to_be_bytes().to_vec()));
            self.set_row(Family::Consent, numbered(CONCERNED, act, tag), Some(Vec::new()));
        }
        Ok(())
    }

    /// Tells whether a patient has one, as far as was looked.
    pub(crate) fn is_concerned(&self, act: LeafIndex, tag: &[u8; TAG_LEN]) -> Result<bool, ReadError> {
        Ok(self.row(Family::Consent, &numbered(CONCERNED, act, tag))?.is_some())
    }

    /// Lists a decision for review.
    pub(crate) fn put_review(&mut self, act: LeafIndex, decision: &VoidedDecision) {
        let ground = match decision.ground {
            ReviewGround::Consulted => 1,
            ReviewGround::Concerned => 2,
        };
        let key = numbered(REVIEWS, act, &decision.index.get().to_be_bytes());
        self.set_row(Family::Consent, key, Some(vec![ground]));
    }
}

/// The range that an act voids. `act`: its entry.
pub(crate) fn range_of(voiding: &Voiding, act: LeafIndex, time_ms: LedgerTimeMs) -> Option<VoidedRange> {
    let Voiding::Void { whose, from, until, .. } = voiding else { return None };
    let until = until.map_or(act, |until| until.min(act));
    Some(VoidedRange { act, time_ms, whose: *whose, from: *from, until, reinstated: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_written_and_only_whole() {
        let range = VoidedRange {
            act: LeafIndex(9),
            time_ms: LedgerTimeMs(5),
            whose: Whose::Key(KeyId::from_bytes([3; 32])),
            from: LeafIndex(2),
            until: LeafIndex(9),
            reinstated: None,
        };
        let party = Whose::Party(AuthorId::from_bytes([4; 32]));
        for range in [range, VoidedRange { whose: party, reinstated: Some(LeafIndex(11)), ..range }] {
            let key = VoidedRange::key(range.act);
            assert_eq!(VoidedRange::decode(&key, &range.encode()), Some(range));
            assert_eq!(VoidedRange::decode(&key, &range.encode()[1..]), None);
        }
        assert!(range.counts_at(10) && !range.counts_at(9));
        let back = VoidedRange { reinstated: Some(LeafIndex(11)), ..range };
        assert!(back.counts_at(11) && !back.counts_at(12));
    }
}
