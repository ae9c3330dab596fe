//! `sillage-connector report`: the account of one day, from the index. [`sillage_client::day_report`] has what it says and how it is
//! signed.

use std::collections::BTreeMap;

use rusqlite::params;
use sillage_client::ClientError;
use sillage_client::clock::now_ms;
use sillage_client::day_report::{DayReport, FORMAT, Marked, SourceDay};
use sillage_proof::keys::AuthorId;
use sillage_rules::stream::StreamLabel;
use sillage_words::time::rfc3339;

use crate::config::Config;
use crate::index::{Index, IndexError};

const DAY_MS: u64 = 86_400_000;

/// The number of a day (UTC) since 1970, of its date.
///
/// # Errors
/// When it isn't a date from 1970 on.
pub fn day_of(text: &str) -> Result<u64, ClientError> {
    let day: Option<jiff::civil::Date> = text.parse().ok();
    let start = day.and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok());
    let start = start.and_then(|start| u64::try_from(start.timestamp().as_millisecond()).ok());
    start
        .map(|start| start / DAY_MS)
        .ok_or_else(|| ClientError::Usage(format!("--day {text}: write a date (UTC) such as 2026-11-30")))
}

fn date_of(day: u64) -> String {
    rfc3339(day.saturating_mul(DAY_MS)).chars().take(10).collect()
}

/// Today, UTC.
pub fn today() -> u64 {
    now_ms() / DAY_MS
}

/// The report of a day of the connector whose party has this author id.
///
/// # Errors
/// When the index can't be read.
pub fn make(config: &Config, index: &Index, origin: &str, author: AuthorId, day: u64) -> Result<DayReport, IndexError> {
    let labels = labels(config, &author);
    let (from, to) = (day.saturating_mul(DAY_MS), (day + 1).saturating_mul(DAY_MS));
    let mut sources: BTreeMap<String, SourceDay> = BTreeMap::new();
    let gaps = index.reading(|connection| {
        let sql = "SELECT source, count(*), sum(state = 0), sum(state = 1), sum(state = 2), sum(is_skewed) \
                   FROM event WHERE received_ms >= ?1 AND received_ms < ?2 GROUP BY source";
        let mut select = connection.prepare(sql)?;
        let mut rows = select.query(params![from, to])?;
        while let Some(row) = rows.next()? {
            let source: String = row.get(0)?;
            let day = SourceDay {
                source: source.clone(),
                received: row.get(1)?,
                waiting: row.get(2)?,
                recorded: row.get(3)?,
                quarantined: row.get(4)?,
                skewed: row.get(5)?,
                ..SourceDay::default()
            };
            sources.insert(source, day);
        }
        let mut select = connection.prepare("SELECT source, what, count FROM tally WHERE day = ?1 AND what != ?2")?;
        let mut rows = select.query(rusqlite::params![day, crate::index::OTHER_CONTENT])?;
        while let Some(row) = rows.next()? {
            let (source, what, count): (String, String, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let day = sources.entry(source.clone()).or_insert(SourceDay { source, ..SourceDay::default() });
            day.received += count;
            match what.as_str() {
                "repeated" => day.repeated += count,
                _ => day.refused += count,
            }
        }
        for (source, day) in &mut sources {
            day.first = marked(connection, source, (from, to), "ASC", &labels)?;
            day.last = marked(connection, source, (from, to), "DESC", &labels)?;
        }
        gaps(connection, (from, to))
    })?;
    Ok(DayReport {
        format: FORMAT.to_owned(),
        origin: origin.to_owned(),
        author: hex::encode(author.as_bytes()),
        stream: config.stream.clone(),
        day: date_of(day),
        made_at: rfc3339(now_ms()),
        is_over: today() > day,
        sources: sources.into_values().collect(),
        gaps: u64::try_from(gaps).unwrap_or(0),
    })
}

/// Numbers between the day's first and last one that no arrival has. Those of other days count as there: an item that is handed in
/// again keeps its time and gets a new number, and numbers are given out in another order than times around midnight.
fn gaps(connection: &rusqlite::Connection, (from, to): (u64, u64)) -> rusqlite::Result<i64> {
    let sql = "WITH day AS (SELECT min(number) AS first, max(number) AS last FROM event \
               WHERE received_ms >= ?1 AND received_ms < ?2) \
               SELECT coalesce(last - first + 1, 0) \
               - (SELECT count(*) FROM event WHERE number BETWEEN first AND last) FROM day";
    connection.query_row(sql, params![from, to], |row| row.get(0))
}

/// The labels of the connector's streams, by the first bytes of their ids.
fn labels(config: &Config, author: &AuthorId) -> BTreeMap<[u8; 8], String> {
    let label = |at: usize| {
        let label = StreamLabel::parse(&format!("{}.{at}", config.stream)).ok()?;
        let id = label.stream_id(author);
        let bytes: &[u8] = id.as_ref();
        Some((std::array::from_fn(|at| bytes[at]), label.as_str().to_owned()))
    };
    (0..=config.streams).filter_map(label).collect()
}

/// The source's first or last entry of the day, with the receipt of its batch.
fn marked(
    connection: &rusqlite::Connection,
    source: &str,
    (from, to): (u64, u64),
    order: &str,
    labels: &BTreeMap<[u8; 8], String>,
) -> rusqlite::Result<Option<Marked>> {
    let sql = format!(
        "SELECT event.first_index, event.count, batch.stream, batch.receipt, batch.signature FROM event \
         JOIN batch ON batch.stream = event.stream AND batch.seq = event.seq \
         WHERE event.source = ?1 AND event.received_ms >= ?2 AND event.received_ms < ?3 AND event.state = 1 \
         ORDER BY event.first_index {order} LIMIT 1"
    );
    let mut select = connection.prepare(&sql)?;
    let mut rows = select.query(params![source, from, to])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (first, count): (u64, u64) = (row.get(0)?, row.get(1)?);
    let (stream, receipt, signature): ([u8; 8], Vec<u8>, Vec<u8>) = (row.get(2)?, row.get(3)?, row.get(4)?);
    let Some(label) = labels.get(&stream) else { return Ok(None) };
    Ok(Some(Marked {
        index: if order == "ASC" { first } else { first + count.saturating_sub(1) },
        stream: label.clone(),
        receipt: hex::encode(receipt),
        signature: hex::encode(signature),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_a_number_that_no_arrival_has_on_any_day() {
        use crate::arrival::{Door, SpoolNumber};
        use crate::index::{Keys, NewRow};
        use crate::spool::seal::Key;
        let dir = tempfile::tempdir().expect("a folder");
        let index = Index::open(&dir.path().join("index.sqlite"), &Key::from_bytes([1; 32])).expect("opened");
        let row = |number: u64, received_ms: u64| NewRow {
            number: SpoolNumber(number),
            source: "ward".to_owned(),
            door: Door::Rest,
            received_ms,
            kind: "AuditEvent",
            logical: None,
            date_ms: None,
            keys: Keys { body: None, version: None, named: None },
            terms: Vec::new(),
        };
        let gaps = |day: u64| {
            index.reading(|connection| gaps(connection, (day * DAY_MS, (day + 1) * DAY_MS))).expect("readable")
        };
        assert_eq!(gaps(1), 0, "nothing came");
        // Two arrivals at midnight got their numbers the other way round; on day 3, an item of day 1 was handed in again.
        let (noon, midnight) = (DAY_MS / 2, 2 * DAY_MS);
        index.add(&[row(1, DAY_MS + noon), row(2, midnight), row(3, midnight - 1)]).expect("added");
        index.add(&[row(4, midnight + noon), row(5, 3 * DAY_MS), row(6, DAY_MS + noon)]).expect("added");
        assert_eq!([gaps(1), gaps(2), gaps(3)], [0, 0, 0]);
        index.add(&[row(9, 3 * DAY_MS + noon)]).expect("added");
        assert_eq!([gaps(1), gaps(2), gaps(3)], [0, 0, 2], "7 and 8 are missing");
    }

    #[test]
    fn a_day_is_a_date() {
        assert_eq!(day_of("1970-01-02").expect("a date"), 1);
        assert_eq!(date_of(day_of("2026-11-30").expect("a date")), "2026-11-30");
        for wrong in ["", "yesterday", "2026-13-01", "1969-12-31"] {
            assert!(day_of(wrong).expect_err(wrong).to_string().contains("--day"), "{wrong}");
        }
    }
}
