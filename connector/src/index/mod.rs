//! The index: which arrival stands where in the log, and by what it is found. A SQLite file beside the spool.
//!
//! It holds no name and no identifier in clear: what an arrival is found by stands in it as a [`Name`], a MAC under the connector's
//! key. The content of an event is in the log and nowhere else; for one that became several records, which the log has in parts,
//! it is kept here too, sealed.
//!
//! **Order.** An arrival is in the spool before it is in the index ([`Index::add`]), and in the index before it is taken up. A crash
//! between the two is made good at the next start: what the spool has above [`Index::last`] is added again. A receipt is in the
//! outbox before it is in the index ([`Index::recorded`]), and again what is missing is added at the next start. The spool and the
//! outbox forget only after [`Index::sync`].
//!
//! **Retries.** An arrival has keys ([`Keys`]). While the index knows one of them, the same thing again is answered as the first
//! time was. An arrival that was refused gives its keys up.
//!
//! **Old events** are found by no search any more ([`forget`]); by their id they are read back for ever.

pub mod forget;
pub mod search;
mod store;
pub mod terms;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sillage_client::clock::now_ms;

use crate::arrival::{Door, Place, Refusal, SpoolNumber};
use crate::spool::seal::{Key, Name, NameKey};
use terms::Term;

/// An equal body of one source is a retry for so long.
pub const RETRY_MS: u64 = 24 * 3_600_000;
/// Versions that a Consent may have. One more may follow: its revocation.
pub const VERSIONS_MAX: usize = 1_000;
/// A sender's clock that differs by more from the arrival is flagged.
pub const SKEW_MS_MAX: u64 = 5 * 60_000;

/// Why the index can't be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// SQLite, or the disk below it.
    #[error("the index {}: {source}", path.display())]
    Sqlite {
        /// Which file.
        path: PathBuf,
        /// Its answer.
        source: rusqlite::Error,
    },
    /// It is of another version, or of another key.
    #[error("the index {}: {why}", path.display())]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// Why, and the way out.
        why: &'static str,
    },
}

/// The names by which an arrival is known again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Of the source and the body: valid for [`RETRY_MS`]. None for what replaces something.
    pub body: Option<Name>,
    /// Of the server's base, type, id, version and content: valid for ever.
    pub version: Option<Name>,
    /// The same without the content, where the sender names a version: another content under it is recorded, and reported.
    pub named: Option<Name>,
}

/// An arrival as the index has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRow {
    /// Its place in the spool.
    pub number: SpoolNumber,
    /// Who sent it.
    pub source: String,
    /// Through which door.
    pub door: Door,
    /// When, ms since 1970.
    pub received_ms: u64,
    /// `AuditEvent`, `Consent`, or `Record` for a record line.
    pub kind: &'static str,
    /// Of a Consent: the name of the id under which it stands here.
    pub logical: Option<Name>,
    /// When its sender says that it happened or was written, ms since 1970.
    pub date_ms: Option<u64>,
    /// By what it is known again.
    pub keys: Keys,
    /// By what it is found.
    pub terms: Vec<(Term, Name)>,
}

impl NewRow {
    /// Whether the clock of its sender differs from ours.
    pub fn is_skewed(&self) -> bool {
        self.date_ms.is_some_and(|date_ms| date_ms.abs_diff(self.received_ms) > SKEW_MS_MAX)
    }
}

/// How far an arrival is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It waits for the ledger.
    Waiting,
    /// It is on record.
    Recorded(Recorded),
    /// It was refused, and lies in quarantine.
    Refused(Refusal),
}

/// Where an arrival stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Its first record in its batch.
    pub place: Place,
    /// Index of its first entry.
    pub first_index: u64,
    /// Its records: they follow each other.
    pub count: u32,
    /// Ledger time, ms since 1970.
    pub time_ms: u64,
}

/// A row that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its place in the spool.
    pub number: SpoolNumber,
    /// Who sent it.
    pub source: String,
    /// When, ms since 1970.
    pub received_ms: u64,
    /// `AuditEvent`, `Consent` or `Record`.
    pub kind: String,
    /// When its sender says that it happened, ms since 1970.
    pub date_ms: Option<u64>,
    /// How far it is.
    pub state: State,
}

/// A batch that is on record, with what proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The first bytes of the stream's id.
    pub stream: [u8; 8],
    /// Its number.
    pub seq: u64,
    /// Index of its first record.
    pub first_index: u64,
    /// How many records.
    pub count: u32,
    /// Ledger time, ms since 1970.
    pub time_ms: u64,
    /// The receipt's signed bytes.
    pub receipt: Vec<u8>,
    /// Its signature.
    pub signature: Vec<u8>,
    /// The arrival that each record is of, in their order.
    pub numbers: Vec<u64>,
}

/// What happened to arrivals that have no row, or to a row more than once: counted by source and day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tally {
    /// Refused at the door, and in quarantine.
    Refused,
    /// The same as before.
    Repeated,
    /// The id and version of an earlier one, and another content: it has a row of its own, too.
    OtherContent,
}

/// The index. Shared; each call takes its lock.
pub struct Index {
    path: PathBuf,
    names: NameKey,
    whole: Key,
    is_new: bool,
    write: Mutex<Connection>,
    read: Mutex<Connection>,
    /// Events up to this number are found by no search any more.
    forgotten: AtomicU64,
    /// Whether none of their names is left.
    is_swept: AtomicBool,
}

impl Index {
    /// Opens the index file, or makes it.
    ///
    /// # Errors
    /// When it can't be used: of another version, or of another key.
    pub fn open(path: &Path, key: &Key) -> Result<Self, IndexError> {
        let fail = |source| IndexError::Sqlite { path: path.to_owned(), source };
        let mark = key.names().name(&[b"index"]);
        let write = store::open(path).map_err(fail)?;
        let is_new = match store::prepare(&write, &mark).map_err(fail)? {
            store::Prepared::Made => true,
            store::Prepared::Ready => false,
            store::Prepared::OtherVersion => {
                let why = "it is of another version: use the program that wrote it, or move the file away: the connector \
                           makes a new one, and knows no earlier events by it";
                return Err(IndexError::Unusable { path: path.to_owned(), why });
            }
            store::Prepared::OtherKey => {
                let why = "it was made under another key: restore the file that `key` names";
                return Err(IndexError::Unusable { path: path.to_owned(), why });
            }
        };
        let read = store::open(path).map_err(fail)?;
        let sql = "SELECT value FROM note WHERE name = ?1";
        let forgotten: Option<String> =
            read.query_row(sql, [forget::FORGOTTEN], |row| row.get(0)).optional().map_err(fail)?;
        let forgotten = AtomicU64::new(forgotten.and_then(|number| number.parse().ok()).unwrap_or(0));
        let (write, read) = (Mutex::new(write), Mutex::new(read));
        let (names, whole, is_swept) = (key.names(), key.beside("whole"), AtomicBool::new(false));
        Ok(Self { path: path.to_owned(), names, whole, is_new, write, read, forgotten, is_swept })
    }

    fn fail(&self) -> impl Fn(rusqlite::Error) -> IndexError + '_ {
        |source| IndexError::Sqlite { path: self.path.clone(), source }
    }

    /// Notes something of the connector itself, such as its author id.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn set_note(&self, name: &str, value: &str) -> Result<(), IndexError> {
        let write = self.write.lock();
        let sql = "INSERT OR REPLACE INTO note (name, value) VALUES (?1, ?2)";
        write.execute(sql, params![name, value]).map_err(self.fail())?;
        Ok(())
    }

    /// What was noted.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn note(&self, name: &str) -> Result<Option<String>, IndexError> {
        let read = self.read.lock();
        let value = read.query_row("SELECT value FROM note WHERE name = ?1", [name], |row| row.get(0));
        value.optional().map_err(self.fail())
    }

    /// Whether it was made now: it knows nothing of what was before.
    pub const fn is_new(&self) -> bool {
        self.is_new
    }

    /// The key of names.
    pub fn names(&self) -> &NameKey {
        &self.names
    }

    /// The highest number that the index knows; 0 for none.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn last(&self) -> Result<u64, IndexError> {
        let write = self.write.lock();
        write.query_row("SELECT coalesce(max(number), 0) FROM event", [], |row| row.get(0)).map_err(self.fail())
    }

    /// The arrivals that wait, in order, each with the word of its sort.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn waiting(&self) -> Result<Vec<(SpoolNumber, String)>, IndexError> {
        self.reading(|connection| {
            let sql = "SELECT number, kind FROM event WHERE state = 0 ORDER BY number";
            let mut select = connection.prepare(sql)?;
            let rows = select.query_map([], |row| Ok((SpoolNumber(row.get(0)?), row.get(1)?)))?;
            rows.collect()
        })
    }

    /// The arrivals from this number on that have a row, each with whether it still waits.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn states(&self, from: SpoolNumber) -> Result<HashMap<u64, bool>, IndexError> {
        self.reading(|connection| {
            let mut select = connection.prepare("SELECT number, state = 0 FROM event WHERE number >= ?1")?;
            let rows = select.query_map([from.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })
    }

    /// The arrival that is known by one of these keys.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn known(&self, keys: &Keys, now_ms: u64) -> Result<Option<SpoolNumber>, IndexError> {
        let write = self.write.lock();
        let mut find = write
            .prepare_cached("SELECT number FROM known WHERE key = ?1 AND (until_ms IS NULL OR until_ms > ?2)")
            .map_err(self.fail())?;
        for key in [keys.version, keys.body].into_iter().flatten() {
            let found = find.query_row(params![key, now_ms], |row| row.get(0)).optional().map_err(self.fail())?;
            if let Some(number) = found {
                return Ok(Some(SpoolNumber(number)));
            }
        }
        Ok(None)
    }

    /// The arrival that had this id and version.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn named(&self, named: &Name) -> Result<Option<SpoolNumber>, IndexError> {
        let write = self.write.lock();
        let sql = "SELECT number FROM known WHERE key = ?1";
        let found = write.query_row(sql, [named], |row| row.get(0)).optional().map_err(self.fail())?;
        Ok(found.map(SpoolNumber))
    }

    /// Adds arrivals, all or none. Those that are there stay as they are.
    ///
    /// # Errors
    /// When it can't be written: the arrivals are in the spool, and are to be added again.
    pub fn add(&self, rows: &[NewRow]) -> Result<(), IndexError> {
        let mut write = self.write.lock();
        let transaction = write.transaction().map_err(self.fail())?;
        let now_ms = now_ms();
        for row in rows {
            store::insert(&transaction, row, now_ms).map_err(self.fail())?;
        }
        transaction.commit().map_err(self.fail())
    }

    /// Notes a batch that is on record. What is noted already stays.
    ///
    /// # Errors
    /// When it can't be written: the outbox has it, and it is to be noted again.
    pub fn recorded(&self, batch: &Batch) -> Result<Vec<(SpoolNumber, Recorded)>, IndexError> {
        let mut write = self.write.lock();
        let transaction = write.transaction().map_err(self.fail())?;
        let noted = store::recorded(&transaction, batch).map_err(self.fail())?;
        transaction.commit().map_err(self.fail())?;
        Ok(noted)
    }

    /// Notes that an arrival is on record at this place.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn recorded_one(&self, number: SpoolNumber, recorded: &Recorded) -> Result<(), IndexError> {
        store::set_recorded(&self.write.lock(), number.0, recorded).map_err(self.fail())
    }

    /// Notes that an arrival was refused: its keys are free again.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn refused(&self, number: SpoolNumber, refusal: &Refusal) -> Result<(), IndexError> {
        let mut write = self.write.lock();
        let transaction = write.transaction().map_err(self.fail())?;
        transaction
            .execute(
                "UPDATE event SET state = 2, code = ?2, path = ?3 WHERE number = ?1 AND state = 0",
                params![number.0, refusal.code, refusal.path],
            )
            .map_err(self.fail())?;
        transaction.execute("DELETE FROM known WHERE number = ?1", [number.0]).map_err(self.fail())?;
        transaction.commit().map_err(self.fail())
    }

    /// Counts what has no row of its own.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn count(&self, source: &str, now_ms: u64, tally: Tally) -> Result<(), IndexError> {
        let what = match tally {
            Tally::Refused => "refused",
            Tally::Repeated => "repeated",
            Tally::OtherContent => OTHER_CONTENT,
        };
        let write = self.write.lock();
        let mut add = write
            .prepare_cached(
                "INSERT INTO tally (day, source, what, count) VALUES (?1, ?2, ?3, 1) \
                 ON CONFLICT DO UPDATE SET count = count + 1",
            )
            .map_err(self.fail())?;
        add.execute(params![now_ms / 86_400_000, source, what]).map_err(self.fail())?;
        Ok(())
    }

    /// The row of an arrival.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn get(&self, number: SpoolNumber) -> Result<Option<Found>, IndexError> {
        let sql = format!("{FOUND} WHERE number = ?1");
        let read = self.read.lock();
        let mut get = read.prepare_cached(&sql).map_err(self.fail())?;
        get.query_row([number.0], found).optional().map_err(self.fail())
    }

    /// The row of the arrival whose first record stands at this place.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn at(&self, place: &Place) -> Result<Option<Found>, IndexError> {
        let sql = format!("{FOUND} WHERE stream = ?1 AND seq = ?2 AND position = ?3 ORDER BY number LIMIT 1");
        let read = self.read.lock();
        let mut get = read.prepare_cached(&sql).map_err(self.fail())?;
        get.query_row(params![place.stream, place.seq, place.position], found).optional().map_err(self.fail())
    }

    /// What stands here under this id of a Consent: its versions, oldest first; those that were refused are none. At most
    /// [`VERSIONS_MAX`] and one.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn versions(&self, kind: &str, id: &str) -> Result<Vec<Found>, IndexError> {
        let sql = format!("{FOUND} WHERE logical = ?1 AND state != 2 ORDER BY number LIMIT {}", VERSIONS_MAX + 1);
        let read = self.read.lock();
        let mut get = read.prepare_cached(&sql).map_err(self.fail())?;
        let rows = get.query_map([self.logical(kind, id)], found).map_err(self.fail())?;
        rows.collect::<Result<_, _>>().map_err(self.fail())
    }

    /// The name of an id of a Consent.
    pub fn logical(&self, kind: &str, id: &str) -> Name {
        self.names.name(&[b"logical", kind.as_bytes(), id.as_bytes()])
    }

    /// The number of the last batch of a stream that is noted; 0 before the first.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn last_seq(&self, stream: &[u8; 8]) -> Result<u64, IndexError> {
        let write = self.write.lock();
        let sql = "SELECT coalesce(max(seq), 0) FROM batch WHERE stream = ?1";
        write.query_row(sql, [stream], |row| row.get(0)).map_err(self.fail())
    }

    /// Keeps the bytes of an arrival that became several records, sealed.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn keep_whole(&self, number: SpoolNumber, bytes: &[u8]) -> Result<(), IndexError> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(|_| self.fail()(rusqlite::Error::InvalidQuery))?;
        let sealed = self.whole.segment(&salt).seal(number.0, bytes);
        let write = self.write.lock();
        let sql = "INSERT OR IGNORE INTO whole (number, salt, sealed) VALUES (?1, ?2, ?3)";
        write.execute(sql, params![number.0, salt, sealed]).map_err(self.fail())?;
        Ok(())
    }

    /// The bytes of an arrival that became several records; `None` where they aren't kept.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn whole(&self, number: SpoolNumber) -> Result<Option<Vec<u8>>, IndexError> {
        let read = self.read.lock();
        let sql = "SELECT salt, sealed FROM whole WHERE number = ?1";
        let kept = read.query_row(sql, [number.0], |row| Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, Vec<u8>>(1)?)));
        let kept = kept.optional().map_err(self.fail())?;
        Ok(kept.and_then(|(salt, sealed)| self.whole.segment(&salt).open(number.0, sealed)))
    }

    /// Forgets the bytes of an arrival that became several records: one of them was erased, and they hold its content too.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn forget_whole(&self, number: SpoolNumber) -> Result<(), IndexError> {
        self.write.lock().execute("DELETE FROM whole WHERE number = ?1", [number.0]).map_err(self.fail())?;
        Ok(())
    }

    /// Makes durable all that was noted. Only then may the spool and the outbox forget it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<(), IndexError> {
        let write = self.write.lock();
        store::sync(&write).map_err(self.fail())
    }

    /// Forgets keys that are of no use any more.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn forget_old_keys(&self, now_ms: u64) -> Result<(), IndexError> {
        let write = self.write.lock();
        write.execute("DELETE FROM known WHERE until_ms <= ?1", [now_ms]).map_err(self.fail())?;
        Ok(())
    }

    /// Asks the connection that reads.
    pub(crate) fn reading<T>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, IndexError> {
        ask(&self.read.lock()).map_err(self.fail())
    }
}

/// The word of [`Tally::OtherContent`]: such arrivals are among the rows already.
pub(crate) const OTHER_CONTENT: &str = "other content";

/// The columns of a [`Found`].
pub(crate) const FOUND: &str = "SELECT number, source, received_ms, kind, date_ms, state, stream, seq, position, \
     first_index, count, time_ms, code, path FROM event";

/// What is said of a refusal when it is asked for again: the whole reason is in quarantine, sealed.
const SEE_QUARANTINE: &str = "refused; the reason lies in quarantine: `sillage-connector quarantine list`";

pub(crate) fn found(row: &Row<'_>) -> rusqlite::Result<Found> {
    let state = match row.get::<_, u8>(5)? {
        0 => State::Waiting,
        1 => State::Recorded(Recorded {
            place: Place { stream: row.get(6)?, seq: row.get(7)?, position: row.get(8)? },
            first_index: row.get(9)?,
            count: row.get(10)?,
            time_ms: row.get(11)?,
        }),
        _ => State::Refused(Refusal { path: row.get(13)?, code: row.get(12)?, reason: SEE_QUARANTINE.to_owned() }),
    };
    Ok(Found {
        number: SpoolNumber(row.get(0)?),
        source: row.get(1)?,
        received_ms: row.get(2)?,
        kind: row.get(3)?,
        date_ms: row.get(4)?,
        state,
    })
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
