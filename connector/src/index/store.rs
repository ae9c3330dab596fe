//! The tables of the index, and the writes.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use super::{Batch, NewRow, RETRY_MS, Recorded};
use crate::arrival::{Place, SpoolNumber};
use crate::spool::seal::Name;

const VERSION: u32 = 1;

const SCHEMA: &str = "
CREATE TABLE note (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE meta (version INTEGER NOT NULL, mark BLOB NOT NULL);
CREATE TABLE event (
    number INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    door INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    logical BLOB,
    date_ms INTEGER,
    is_skewed INTEGER NOT NULL,
    -- 0 waiting, 1 recorded, 2 refused
    state INTEGER NOT NULL DEFAULT 0,
    stream BLOB, seq INTEGER, position INTEGER, first_index INTEGER, count INTEGER, time_ms INTEGER,
    code TEXT, path TEXT
);
-- Not unique: a Consent that says the same as before stands where that one stands.
CREATE INDEX event_place ON event (stream, seq, position) WHERE stream IS NOT NULL;
CREATE INDEX event_logical ON event (logical, number) WHERE logical IS NOT NULL;
CREATE INDEX event_waiting ON event (number) WHERE state = 0;
CREATE INDEX event_received ON event (received_ms);
CREATE INDEX event_date ON event (kind, date_ms);
-- By what an arrival is known again.
CREATE TABLE known (key BLOB PRIMARY KEY, number INTEGER NOT NULL, until_ms INTEGER) WITHOUT ROWID;
CREATE INDEX known_number ON known (number);
CREATE INDEX known_until ON known (until_ms) WHERE until_ms IS NOT NULL;
-- By what it is found.
CREATE TABLE term (term INTEGER NOT NULL, name BLOB NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (term, name, number)) WITHOUT ROWID;
CREATE TABLE batch (stream BLOB NOT NULL, seq INTEGER NOT NULL, first_index INTEGER NOT NULL, count INTEGER NOT NULL,
    time_ms INTEGER NOT NULL, receipt BLOB NOT NULL, signature BLOB NOT NULL, PRIMARY KEY (stream, seq)) WITHOUT ROWID;
CREATE TABLE whole (number INTEGER PRIMARY KEY, salt BLOB NOT NULL, sealed BLOB NOT NULL);
CREATE TABLE tally (day INTEGER NOT NULL, source TEXT NOT NULL, what TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (day, source, what)) WITHOUT ROWID;
";

/// Opens a connection. Commits survive the end of the process at once, and a power cut after [`sync`].
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // Nobody else reads it: SQLite gives its other files the mode of this one.
    let made = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    drop(made.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?);
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", "OFF")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

pub(super) enum Prepared {
    /// The tables were made now.
    Made,
    Ready,
    OtherVersion,
    OtherKey,
}

/// Makes the tables where there are none, and checks whose they are.
pub(super) fn prepare(connection: &Connection, mark: &Name) -> rusqlite::Result<Prepared> {
    let is_made: bool =
        connection.query_row("SELECT count(*) > 0 FROM sqlite_master WHERE name = 'meta'", [], |row| row.get(0))?;
    if !is_made {
        connection.execute_batch(&format!("BEGIN; {SCHEMA} COMMIT;"))?;
        connection.execute("INSERT INTO meta (version, mark) VALUES (?1, ?2)", params![VERSION, mark])?;
    }
    let kept = connection.query_row("SELECT version, mark FROM meta", [], |row| Ok((row.get(0)?, row.get(1)?)));
    let kept: Option<(u32, Name)> = kept.optional()?;
    Ok(match kept {
        // A crash came between the tables and the mark.
        None => {
            connection.execute("INSERT INTO meta (version, mark) VALUES (?1, ?2)", params![VERSION, mark])?;
            Prepared::Made
        }
        Some((version, _)) if version != VERSION => Prepared::OtherVersion,
        Some((_, kept)) if kept != *mark => Prepared::OtherKey,
        Some(_) if is_made => Prepared::Ready,
        Some(_) => Prepared::Made,
    })
}

pub(super) fn insert(connection: &Connection, row: &NewRow, now_ms: u64) -> rusqlite::Result<()> {
    let mut event = connection.prepare_cached(
        "INSERT OR IGNORE INTO event (number, source, door, received_ms, kind, logical, date_ms, is_skewed) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let number = row.number.0;
    let added = event.execute(params![
        number,
        row.source,
        row.door.code(),
        row.received_ms,
        row.kind,
        row.logical,
        row.date_ms,
        row.is_skewed()
    ])?;
    if added == 0 {
        return Ok(());
    }
    // A version of a Consent replaces those before it: to send the first one again is to say it anew.
    if let Some(logical) = row.logical {
        let mut forget = connection.prepare_cached(
            "DELETE FROM known WHERE number IN (SELECT number FROM event WHERE logical = ?1 AND number < ?2)",
        )?;
        forget.execute(params![logical, number])?;
    }
    // A key that ran out may still be there.
    let mut known =
        connection.prepare_cached("INSERT OR REPLACE INTO known (key, number, until_ms) VALUES (?1, ?2, ?3)")?;
    if let Some(body) = row.keys.body {
        // What comes out of quarantine may have arrived long ago.
        known.execute(params![body, number, row.received_ms.max(now_ms).saturating_add(RETRY_MS)])?;
    }
    if let Some(version) = row.keys.version {
        known.execute(params![version, number, None::<u64>])?;
    }
    if let Some(named) = row.keys.named {
        known.execute(params![named, number, None::<u64>])?;
    }
    let mut term = connection.prepare_cached("INSERT OR IGNORE INTO term (term, name, number) VALUES (?1, ?2, ?3)")?;
    for (kind, name) in &row.terms {
        term.execute(params![*kind as u8, name, number])?;
    }
    Ok(())
}

pub(super) fn set_recorded(connection: &Connection, number: u64, recorded: &Recorded) -> rusqlite::Result<()> {
    let Recorded { place, first_index, count, time_ms } = recorded;
    let mut update = connection.prepare_cached(
        "UPDATE event SET state = 1, stream = ?2, seq = ?3, position = ?4, first_index = ?5, count = ?6, time_ms = ?7 \
         WHERE number = ?1",
    )?;
    let Place { stream, seq, position } = place;
    match update.execute(params![number, stream, seq, position, first_index, count, time_ms])? {
        // Its row comes first: else it would wait once more when it comes.
        0 => Err(rusqlite::Error::StatementChangedRows(0)),
        _ => Ok(()),
    }
}

/// Notes a batch, and where each of its arrivals stands.
pub(super) fn recorded(connection: &Connection, batch: &Batch) -> rusqlite::Result<Vec<(SpoolNumber, Recorded)>> {
    let Batch { stream, seq, first_index, count, time_ms, .. } = batch;
    let mut add = connection.prepare_cached(
        "INSERT OR IGNORE INTO batch (stream, seq, first_index, count, time_ms, receipt, signature) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    add.execute(params![stream, seq, first_index, count, time_ms, batch.receipt, batch.signature])?;
    let mut noted: Vec<(SpoolNumber, Recorded)> = Vec::new();
    for (position, number) in (0..).zip(&batch.numbers) {
        match noted.last_mut().filter(|(last, _)| last.0 == *number) {
            Some((_, recorded)) => recorded.count += 1,
            None => {
                let place = Place { stream: *stream, seq: *seq, position };
                let first_index = first_index + u64::from(position);
                noted.push((SpoolNumber(*number), Recorded { place, first_index, count: 1, time_ms: *time_ms }));
            }
        }
    }
    // Number 0 stands for a record that is of no arrival: a heartbeat.
    noted.retain(|(number, _)| number.0 > 0);
    for (number, recorded) in &noted {
        set_recorded(connection, number.0, recorded)?;
    }
    Ok(noted)
}

/// Writes everything into the file, and waits for the disk.
pub(super) fn sync(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    // busy, pages in the log, pages moved: a reader may keep some of them in the log, which is synced all the same.
    let moved = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    let is_busy = moved? != 0;
    if is_busy {
        // A commit under FULL syncs the log with everything before it.
        connection.execute("UPDATE meta SET version = version", [])?;
    }
    connection.pragma_update(None, "synchronous", "NORMAL")
}
