//! The register of broken glass: who answers for it, by when, and what became of it (CSP L1111-17, R1111-48).
//!
//! A row holds times and numbers of entries. Who opened it, in which case and why stands in the sealed record alone:
//! the reader of the register opens the entry. Whether it is overdue follows from ledger time when it is read.

use sillage_proof::hash::{LeafIndex, LedgerTimeMs, sha256};
use sillage_proof::keys::AuthorId;
use sillage_rules::consent::people::Verdict;
use sillage_rules::entry::{Entry, RecordEntry};

use crate::error::ReadError;
use crate::overlay::Overlay;
use crate::schema::{Family, NO_PATIENT, TAG_LEN, index_key};

pub(crate) const ROWS: u8 = b'n';
pub(crate) const UNJUSTIFIED: u8 = b'j';
const OPENER: u8 = b'p';
pub(crate) const UNCLOSED: u8 = b'x';
/// The fate of a break-glass, entry by entry: while anything was ever voided, a row is folded from these.
const HISTORY: u8 = b'h';
/// How much of one break-glass's history is looked at.
const HISTORY_MAX: usize = 4_096;

/// A break-glass as the register knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakGlass {
    /// The entry that opened it: its record says who, in which case and why.
    pub index: LeafIndex,
    /// On whom; `None`: the patient wasn't identified yet.
    pub tag: Option<[u8; TAG_LEN]>,
    /// When it was opened: before it was recorded, where it was handed in after an emergency mode.
    pub opened_ms: LedgerTimeMs,
    /// When it was recorded.
    pub recorded_ms: LedgerTimeMs,
    /// When it ends, unless it is closed before: what was asked for, or the policy's longest time.
    pub expires_ms: LedgerTimeMs,
    /// By when it has to be justified.
    pub justification_due_ms: LedgerTimeMs,
    /// The entry that justified it.
    pub justified: Option<LeafIndex>,
    /// The entry that closed it.
    pub closed: Option<LeafIndex>,
    /// The entry that reviewed it last, and what it found.
    pub reviewed: Option<(LeafIndex, Verdict)>,
    /// The break-glass that continued it once the patient was identified: that one is to be justified.
    pub continued_by: Option<LeafIndex>,
    /// The entry that erased its record, or its patient: nothing is owed for it any more. Told to readers; no part of the row.
    pub erased_by: Option<LeafIndex>,
    /// The act that voided its record: it opens nothing. Told to readers; no part of the row.
    pub voided_by: Option<LeafIndex>,
}

impl BreakGlass {
    /// Tells whether it gives access at `now`.
    pub fn is_open(&self, now: LedgerTimeMs) -> bool {
        self.closed.is_none() && !self.is_done_with() && now < self.expires_ms
    }

    /// Tells whether its justification is due at `now`, and isn't there.
    pub fn is_overdue(&self, now: LedgerTimeMs) -> bool {
        self.justified.is_none() && !self.is_done_with() && self.justification_due_ms <= now
    }

    /// Another one stands for it, or it was erased or voided.
    fn is_done_with(&self) -> bool {
        self.continued_by.is_some() || self.erased_by.is_some() || self.voided_by.is_some()
    }

    /// Tells whether it is known whose record was opened.
    pub fn is_identified(&self) -> bool {
        self.tag.is_some() || self.continued_by.is_some()
    }

    fn encode(&self) -> Vec<u8> {
        let number = |index: Option<LeafIndex>| index.map_or(0, LeafIndex::get);
        let (reviewed, verdict) = match self.reviewed {
            None => (None, 0),
            Some((index, Verdict::Justified)) => (Some(index), 1),
            Some((index, Verdict::NotJustified)) => (Some(index), 2),
        };
        let numbers = [
            self.opened_ms.get(),
            self.expires_ms.get(),
            self.justification_due_ms.get(),
            number(self.justified),
            number(self.closed),
            number(self.continued_by),
            number(reviewed),
            self.recorded_ms.get(),
        ];
        let mut out = self.tag.unwrap_or(NO_PATIENT).to_vec();
        numbers.iter().for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
        out.push(verdict);
        out
    }

    pub(crate) fn decode(index: LeafIndex, bytes: &[u8]) -> Result<Self, ReadError> {
        let parts = || {
            let (tag, rest) = bytes.split_first_chunk::<TAG_LEN>()?;
            let (numbers, verdict) = rest.as_chunks::<8>();
            let numbers: [u64; 8] =
                numbers.iter().map(|n| u64::from_be_bytes(*n)).collect::<Vec<_>>().try_into().ok()?;
            let [opened, expires, due, justified, closed, continued, reviewed, recorded] = numbers;
            // Entry 0 is the genesis.
            let entry = |number: u64| (number != 0).then_some(LeafIndex(number));
            let reviewed = match (entry(reviewed), verdict) {
                (None, [0]) => None,
                (Some(index), [1]) => Some((index, Verdict::Justified)),
                (Some(index), [2]) => Some((index, Verdict::NotJustified)),
                _ => return None,
            };
            Some(Self {
                index,
                tag: (*tag != NO_PATIENT).then_some(*tag),
                opened_ms: LedgerTimeMs(opened),
                recorded_ms: LedgerTimeMs(recorded),
                expires_ms: LedgerTimeMs(expires),
                justification_due_ms: LedgerTimeMs(due),
                justified: entry(justified),
                closed: entry(closed),
                reviewed,
                continued_by: entry(continued),
                erased_by: None,
                voided_by: None,
            })
        };
        parts().ok_or_else(damaged)
    }
}

pub(crate) fn damaged() -> ReadError {
    ReadError::Damaged("a row of the register of broken glass can't be read".into())
}

pub(crate) fn row_key(index: LeafIndex) -> Vec<u8> {
    [&[ROWS][..], &index.get().to_be_bytes()].concat()
}

fn unjustified_key(index: LeafIndex) -> Vec<u8> {
    [&[UNJUSTIFIED][..], &index.get().to_be_bytes()].concat()
}

fn opener_key(index: LeafIndex) -> Vec<u8> {
    [&[OPENER][..], &index.get().to_be_bytes()].concat()
}

fn unclosed_key(glass: &BreakGlass) -> Vec<u8> {
    [&[UNCLOSED][..], &glass.expires_ms.get().to_be_bytes(), &glass.index.get().to_be_bytes()].concat()
}

fn history_key(glass: LeafIndex, by: LeafIndex) -> Vec<u8> {
    [&[HISTORY][..], &glass.get().to_be_bytes(), &by.get().to_be_bytes()].concat()
}

/// The effect of an entry on a break-glass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GlassEvent {
    Justified,
    Closed,
    Reviewed(Verdict),
}

impl GlassEvent {
    const fn code(self) -> u8 {
        match self {
            Self::Justified => 1,
            Self::Closed => 2,
            Self::Reviewed(Verdict::Justified) => 3,
            Self::Reviewed(Verdict::NotJustified) => 4,
        }
    }

    fn of(code: &[u8]) -> Option<Self> {
        let all =
            [Self::Justified, Self::Closed, Self::Reviewed(Verdict::Justified), Self::Reviewed(Verdict::NotJustified)];
        all.into_iter().find(|became| code == [became.code()])
    }
}

/// Key under which a break-glass is found by its id.
fn id_key(tag: &[u8; TAG_LEN], id: &str) -> Vec<u8> {
    let hash = sha256(&[b"sillage/glass/v1\0", tag, id.as_bytes()]);
    [&b"i"[..], hash.as_bytes()].concat()
}

impl Overlay<'_> {
    /// The last break-glass of this id on this patient, or, under the tag of zero bytes, on one who isn't identified.
    pub(crate) fn break_glass(&self, tag: &[u8; TAG_LEN], id: &str) -> Result<Option<BreakGlass>, ReadError> {
        let Some(index) = self.row(Family::Glass, &id_key(tag, id))? else { return Ok(None) };
        let index = index.try_into().map_err(|_| damaged())?;
        let index = LeafIndex(u64::from_be_bytes(index));
        let row = self.row(Family::Glass, &row_key(index))?.ok_or_else(damaged)?;
        let glass = self.without_voided(BreakGlass::decode(index, &row)?)?;
        Ok(Some(glass).filter(|glass| glass.voided_by.is_none()))
    }

    /// A break-glass as if what became of it by voided records hadn't.
    pub(crate) fn without_voided(&self, mut glass: BreakGlass) -> Result<BreakGlass, ReadError> {
        if self.voids()?.is_empty() {
            return Ok(glass);
        }
        glass.voided_by = self.voided_by(glass.index)?;
        let counts = |index: &Option<LeafIndex>| index.map_or(Ok(true), |index| self.still_counts(index));
        for index in [&mut glass.justified, &mut glass.closed, &mut glass.continued_by] {
            if !counts(index)? {
                *index = None;
            }
        }
        if !counts(&glass.reviewed.map(|(index, _)| index))? {
            glass.reviewed = None;
        }
        self.fold_history(&mut glass)?;
        Ok(glass)
    }

    /// The fate of a break-glass by the stored records that count: the first that justifies and closes it, the last
    /// that reviews it. A break-glass from before there was a history is in its row alone.
    fn fold_history(&self, glass: &mut BreakGlass) -> Result<(), ReadError> {
        let prefix = [&[HISTORY][..], &glass.index.get().to_be_bytes()].concat();
        for (key, row) in self.store().scan(Family::Glass, &prefix, None, HISTORY_MAX)? {
            let (by, became) = (index_of(&key)?, GlassEvent::of(&row).ok_or_else(damaged)?);
            if !self.still_counts(by)? {
                continue;
            }
            match became {
                GlassEvent::Justified => glass.justified = Some(glass.justified.map_or(by, |first| first.min(by))),
                GlassEvent::Closed => glass.closed = Some(glass.closed.map_or(by, |first| first.min(by))),
                GlassEvent::Reviewed(verdict) if glass.reviewed.is_none_or(|(last, _)| last <= by) => {
                    glass.reviewed = Some((by, verdict));
                }
                GlassEvent::Reviewed(_) => {}
            }
        }
        Ok(())
    }

    /// Keeps what the record of this entry did to a break-glass.
    pub(crate) fn keep_history(&mut self, glass: LeafIndex, by: LeafIndex, became: GlassEvent) {
        self.set_row(Family::Glass, history_key(glass, by), Some(vec![became.code()]));
    }

    /// Takes note of the party that opened the break-glass of this entry.
    pub(crate) fn opened_by(&mut self, index: LeafIndex, party: AuthorId) {
        self.set_row(Family::Glass, opener_key(index), Some(party.as_bytes().to_vec()));
    }

    /// The party that opened the last break-glass of this id on this patient.
    pub(crate) fn opener_of(&self, tag: &[u8; TAG_LEN], id: &str) -> Result<Option<AuthorId>, ReadError> {
        let Some(glass) = self.break_glass(tag, id)? else { return Ok(None) };
        if let Some(party) = self.row(Family::Glass, &opener_key(glass.index))? {
            return AuthorId::from_slice(&party).map(Some).map_err(|_| damaged());
        }
        // Of before feature level 3, and so stored.
        let Entry::Record(record) = self.stored_entry(glass.index)? else { return Err(damaged()) };
        self.signed_by(&record).map(Some)
    }

    /// The party that signed a stored record: the header of its batch names the key.
    pub(crate) fn signed_by(&self, record: &RecordEntry) -> Result<AuthorId, ReadError> {
        let Entry::BatchHeader(header) = self.stored_entry(record.header_index().ok_or_else(damaged)?)? else {
            return Err(damaged());
        };
        let key = self.key(&header.key_id)?.ok_or_else(damaged)?;
        Ok(key.author_id)
    }

    fn stored_entry(&self, index: LeafIndex) -> Result<Entry, ReadError> {
        let bytes = self.store().get(Family::Entries, &index_key(index.get()))?;
        let entry = bytes.as_deref().map(Entry::decode).transpose();
        entry.ok().flatten().ok_or_else(damaged)
    }

    /// The break-glass that the record of this entry opened.
    pub(crate) fn glass_at(&self, index: LeafIndex) -> Result<Option<BreakGlass>, ReadError> {
        let row = self.row(Family::Glass, &row_key(index))?;
        row.map(|row| BreakGlass::decode(index, &row)).transpose()
    }

    /// The erasure of the record of a break-glass, or its patient.
    pub(crate) fn erasure_of_glass(&self, glass: &BreakGlass) -> Result<Option<LeafIndex>, ReadError> {
        let by = self.erasure_of(&glass.tag.unwrap_or(NO_PATIENT), glass.index)?;
        Ok(by.map(|by| by.index))
    }

    /// Takes a break-glass into the register; it is found by its id from here on.
    pub(crate) fn open_glass(&mut self, id: &str, glass: &BreakGlass) {
        let tag = glass.tag.unwrap_or(NO_PATIENT);
        self.set_row(Family::Glass, id_key(&tag, id), Some(glass.index.get().to_be_bytes().to_vec()));
        self.put_glass(glass);
    }

    /// Writes a row, and notes what is still to be done.
    pub(crate) fn put_glass(&mut self, glass: &BreakGlass) {
        let mark = |open: bool| (open && glass.continued_by.is_none()).then(Vec::new);
        self.set_row(Family::Glass, row_key(glass.index), Some(glass.encode()));
        self.set_row(Family::Glass, unjustified_key(glass.index), mark(glass.justified.is_none()));
        self.set_row(Family::Glass, unclosed_key(glass), mark(glass.closed.is_none()));
    }
}

pub(crate) fn index_of(key: &[u8]) -> Result<LeafIndex, ReadError> {
    let index = key.last_chunk::<8>().ok_or_else(damaged)?;
    Ok(LeafIndex(u64::from_be_bytes(*index)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glass() -> BreakGlass {
        BreakGlass {
            index: LeafIndex(7),
            tag: Some([5; TAG_LEN]),
            opened_ms: LedgerTimeMs(100),
            recorded_ms: LedgerTimeMs(110),
            expires_ms: LedgerTimeMs(200),
            justification_due_ms: LedgerTimeMs(300),
            justified: None,
            closed: None,
            reviewed: None,
            continued_by: None,
            erased_by: None,
            voided_by: None,
        }
    }

    #[test]
    fn rows_are_read_as_written_and_only_whole() {
        let other = BreakGlass {
            tag: None,
            justified: Some(LeafIndex(8)),
            closed: Some(LeafIndex(9)),
            reviewed: Some((LeafIndex(10), Verdict::NotJustified)),
            continued_by: Some(LeafIndex(11)),
            ..glass()
        };
        for glass in [glass(), other] {
            assert_eq!(BreakGlass::decode(glass.index, &glass.encode()), Ok(glass.clone()));
            assert!(BreakGlass::decode(glass.index, &glass.encode()[1..]).is_err());
        }
    }

    #[test]
    fn it_is_open_before_it_expires_and_overdue_from_the_moment_it_is_due() {
        let glass = glass();
        assert!(glass.is_open(LedgerTimeMs(199)) && !glass.is_open(LedgerTimeMs(200)));
        assert!(!glass.is_overdue(LedgerTimeMs(299)) && glass.is_overdue(LedgerTimeMs(300)));
        let justified = BreakGlass { justified: Some(LeafIndex(8)), ..glass.clone() };
        assert!(!justified.is_overdue(LedgerTimeMs(300)));
        let continued = BreakGlass { continued_by: Some(LeafIndex(8)), ..glass.clone() };
        let erased = BreakGlass { erased_by: Some(LeafIndex(8)), ..glass };
        for done_with in [continued, erased] {
            assert!(!done_with.is_open(LedgerTimeMs(150)) && !done_with.is_overdue(LedgerTimeMs(300)));
        }
    }
}
