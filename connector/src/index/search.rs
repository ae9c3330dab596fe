//! Searches in the index: pages of rows, newest first, pinned to what was there when the first page was asked for.

use rusqlite::types::Value as Sql;

use super::terms::{self, Term};
use super::{FOUND, Found, Index, IndexError, found};

/// Rows of one page, at most.
pub const PAGE_MAX: usize = 1_000;
/// Values of one search, over all parameters.
pub const VALUES_MAX: usize = 256;

/// A time from `from_ms` on, before `to_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Included.
    pub from_ms: u64,
    /// Excluded.
    pub to_ms: u64,
}

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// `AuditEvent` or `Consent`.
    pub kind: &'static str,
    /// Each must hold: one of its values, as in a URL (`system|code`, `Patient/1`). An empty list of values holds for nothing.
    pub terms: Vec<(Term, Vec<String>)>,
    /// When the event was written by its sender: each span must hold.
    pub date: Vec<Span>,
    /// When it came on record (`_lastUpdated`).
    pub recorded: Vec<Span>,
    /// Only what this source sent.
    pub source: Option<String>,
    /// Of a Consent that has several versions, the newest alone.
    pub newest_only: bool,
    /// Where the page begins; none for the first page.
    pub after: Option<Cursor>,
    /// Rows of the page, 1 to [`PAGE_MAX`].
    pub count: usize,
}

impl Search {
    /// Everything of a kind, newest first.
    pub fn all(kind: &'static str, count: usize) -> Self {
        Self {
            kind,
            terms: Vec::new(),
            date: Vec::new(),
            recorded: Vec::new(),
            source: None,
            newest_only: kind == "Consent",
            after: None,
            count,
        }
    }
}

/// The place of a page. It names no patient and no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Rows above this number came after the first page.
    pub up_to: u64,
    /// The last row of the page before.
    pub last: u64,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}.{:x}", self.up_to, self.last)
    }
}

impl std::str::FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (up_to, last) = text.split_once('.').ok_or(())?;
        let number = |text: &str| u64::from_str_radix(text, 16).ok().filter(|n| i64::try_from(*n).is_ok()).ok_or(());
        let cursor = Self { up_to: number(up_to)?, last: number(last)? };
        if cursor.to_string() == text { Ok(cursor) } else { Err(()) }
    }
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its rows, newest first: those that are on record.
    pub rows: Vec<Found>,
    /// Where the next one begins; none after the last.
    pub next: Option<Cursor>,
}

impl Index {
    /// A page of what is on record and fits.
    ///
    /// # Errors
    /// When the index can't be read.
    pub fn search(&self, search: &Search) -> Result<Page, IndexError> {
        assert!((1..=PAGE_MAX).contains(&search.count), "a page has a bounded size");
        let up_to = match search.after {
            Some(cursor) => cursor.up_to,
            None => self.last()?,
        };
        let below = search.after.map_or(i64::MAX as u64, |cursor| cursor.last);
        let (mut sql, mut values) = (
            format!("{FOUND} WHERE kind = ? AND state = 1 AND number <= ? AND number < ?"),
            vec![Sql::from(search.kind.to_owned()), number(up_to), number(below)],
        );
        if search.kind != "Consent" {
            sql += " AND number > ?";
            values.push(number(self.forgotten()));
        }
        for (term, any) in &search.terms {
            let names: Vec<Sql> =
                any.iter().map(|value| Sql::from(terms::name(self.names(), *term, value).to_vec())).collect();
            let places = vec!["?"; names.len()].join(", ");
            sql += &format!(" AND number IN (SELECT number FROM term WHERE term = ? AND name IN ({places}))");
            values.push(number(*term as u64));
            values.extend(names);
        }
        for (column, spans) in [("date_ms", &search.date), ("time_ms", &search.recorded)] {
            for span in spans {
                sql += &format!(" AND {column} >= ? AND {column} < ?");
                values.extend([number(span.from_ms), number(span.to_ms)]);
            }
        }
        if let Some(source) = &search.source {
            sql += " AND source = ?";
            values.push(Sql::from(source.clone()));
        }
        if search.newest_only {
            sql += " AND NOT EXISTS (SELECT 1 FROM event later WHERE later.logical = event.logical \
                    AND later.number > event.number AND later.number <= ? AND later.state = 1)";
            values.push(number(up_to));
        }
        sql += " ORDER BY number DESC LIMIT ?";
        values.push(number(search.count as u64 + 1));
        let mut rows = self.reading(|connection| {
            let mut select = connection.prepare_cached(&sql)?;
            let rows = select.query_map(rusqlite::params_from_iter(values), found)?;
            rows.collect::<rusqlite::Result<Vec<Found>>>()
        })?;
        let has_more = rows.len() > search.count;
        rows.truncate(search.count);
        let next = rows.last().filter(|_| has_more).map(|last| Cursor { up_to, last: last.number.0 });
        Ok(Page { rows, next })
    }
}

/// SQLite's numbers are signed.
fn number(value: u64) -> Sql {
    Sql::from(i64::try_from(value).unwrap_or(i64::MAX))
}
