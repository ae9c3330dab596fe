//! The rows of one patient, newest first.

use std::collections::VecDeque;

use rocksdb::{Direction, IteratorMode, ReadOptions};

use sillage_proof::hash::LeafIndex;
use sillage_rules::entry::Flags;
use sillage_rules::kind::Kind;

use super::LedgerReader;
use crate::error::ReadError;
use crate::schema::{self, Family, TAG_LEN};

/// Rows read at once: between two reads nothing in the database is held.
const CHUNK_ROWS: usize = 256;

/// One entry that concerns a patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceRow {
    /// Index of the record entry.
    pub index: LeafIndex,
    /// Its kind.
    pub kind: Kind,
    /// Its flags.
    pub flags: Flags,
}

/// Iterates over the entries of one tag, newest first. Entries that come after the scan began aren't seen.
pub struct TraceScan {
    reader: LedgerReader,
    tag: [u8; TAG_LEN],
    /// Only entries below this index are still to come.
    before: u64,
    rows: VecDeque<TraceRow>,
    done: bool,
}

impl TraceScan {
    pub(crate) fn new(reader: LedgerReader, tag: [u8; TAG_LEN], before: u64) -> Self {
        Self { reader, tag, before, rows: VecDeque::new(), done: false }
    }

    fn fill(&mut self) -> Result<(), ReadError> {
        let view = self.reader.view();
        let mut options = ReadOptions::default();
        let lower = schema::patient_key(&self.tag, 0);
        let upper = schema::patient_key(&self.tag, self.before);
        options.set_iterate_lower_bound(lower);
        options.set_iterate_upper_bound(upper);
        let from = IteratorMode::From(&upper, Direction::Reverse);
        let rows = view.store.db().iterator_cf_opt(view.store.family(Family::Patient), options, from);
        for row in rows.take(CHUNK_ROWS) {
            let (key, value) = row?;
            let row = parse(&key, &value)?;
            self.before = row.index.get();
            self.rows.push_back(row);
        }
        self.done = self.rows.len() < CHUNK_ROWS;
        Ok(())
    }
}

fn parse(key: &[u8], value: &[u8]) -> Result<TraceRow, ReadError> {
    let index = key.get(TAG_LEN..).and_then(|index| index.try_into().ok());
    let (kind, flags) = match value {
        [k1, k0, f1, f0] => (u16::from_be_bytes([*k1, *k0]), u16::from_be_bytes([*f1, *f0])),
        _ => return Err(damaged()),
    };
    Ok(TraceRow {
        index: LeafIndex(u64::from_be_bytes(index.ok_or_else(damaged)?)),
        kind: Kind::from_code(u32::from(kind)).map_err(|_| damaged())?,
        flags: Flags::from_bits(flags).map_err(|_| damaged())?,
    })
}

fn damaged() -> ReadError {
    ReadError::Damaged("a row of the patients' index can't be read".into())
}

impl Iterator for TraceScan {
    type Item = Result<TraceRow, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rows.is_empty()
            && !self.done
            && let Err(error) = self.fill()
        {
            self.done = true;
            return Some(Err(error));
        }
        self.rows.pop_front().map(Ok)
    }
}
