//! A record now and then that says: this source is alive, and so much came of it today. Without one, nobody could tell a silent source
//! from a dead one (`docs/formats-doors.md` §24).
//!
//! Heartbeats don't go through the spool: one that couldn't be recorded says nothing later on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::params;
use serde_json::{Value, json};
use sillage_client::ClientError;
use sillage_client::author::{NewRecord, Stream, prepare, tags_of};
use sillage_client::clock::now_ms;
use sillage_rules::kind::Kind;
use sillage_rules::line::RecordLine;
use sillage_rules::record::ParsedRecord;
use sillage_rules::stream::StreamLabel;
use sillage_rules::time::TimeMs;

use crate::config::Config;
use crate::index::{Index, IndexError};
use crate::ledger::Ledger;

/// The kind of a heartbeat.
const KIND: &str = "source.heartbeat";
/// Streams that a heartbeat names, at most.
const STREAMS_MAX: usize = 16;

/// The numbers of one source on one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    received: u64,
    recorded: u64,
    waiting: u64,
    refused: u64,
}

/// Records heartbeats for ever, where the configuration names a structure and this program knows the kind.
pub async fn run(config: Arc<Config>, index: Arc<Index>, ledger: Arc<Ledger>) {
    let Some(structure) = config.structure.clone() else { return };
    if config.heartbeat_s == 0 || Kind::from_token(KIND).is_err() {
        return;
    }
    let mut ticks = tokio::time::interval(Duration::from_secs(config.heartbeat_s));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match beat(&config, &structure, &index, &ledger).await {
            Ok(sources) => tracing::debug!(sources, "heartbeats are on record"),
            Err(error) => tracing::warn!(%error, "no heartbeat"),
        }
    }
}

async fn beat(config: &Config, structure: &str, index: &Arc<Index>, ledger: &Ledger) -> Result<usize, ClientError> {
    let now_ms = now_ms();
    let (day, from_ms) = paris_day(now_ms);
    let (reading, names) = (Arc::clone(index), sources(config));
    let counted = tokio::task::spawn_blocking(move || counts(&reading, names, from_ms)).await;
    let counted = counted.map_err(|error| ClientError::Usage(error.to_string()))?;
    let counted = counted.map_err(|error| ClientError::Usage(error.to_string()))?;
    let session = ledger.session().await?;
    let signer = Arc::new(session.signer(session.profile.author_signing_key()?).await?);
    let mut streams = Vec::new();
    for at in 0..=config.streams.min(STREAMS_MAX - 1) {
        let Ok(label) = StreamLabel::parse(&format!("{}.{at}", config.stream)) else { continue };
        let id = signer.stream_id(&label);
        let id: &[u8] = id.as_ref();
        let seq = index.last_seq(&std::array::from_fn(|at| id[at])).unwrap_or(0);
        streams.push((label.as_str().to_owned(), seq));
    }
    // As texts, so that `c.10` stands before `c.2`.
    streams.sort();
    let records: Result<Vec<NewRecord>, ClientError> =
        counted.iter().map(|(source, counts)| record(source, structure, &day, *counts, &streams, now_ms)).collect();
    let records = prepare(&tags_of(&session), records?).await?;
    let count = records.len();
    if count > 0 {
        let label = StreamLabel::parse(&format!("{}.heartbeat", config.stream));
        let label = label.map_err(|error| ClientError::Usage(error.to_string()))?;
        let mut stream = Stream::open(session.client.clone(), signer, Arc::clone(&session.keys), label, None).await?;
        stream.send_attended(records).await?;
    }
    Ok(count)
}

/// The day in Paris, and when it began, ms since 1970.
fn paris_day(now_ms: u64) -> (String, u64) {
    let zone = jiff::tz::TimeZone::get("Europe/Paris").expect("the zone rules are part of the program");
    let now = jiff::Timestamp::from_millisecond(i64::try_from(now_ms).unwrap_or(0)).unwrap_or_default();
    let day = now.to_zoned(zone.clone()).date();
    let began = day.to_zoned(zone).map_or(0, |began| began.timestamp().as_millisecond());
    (day.to_string(), u64::try_from(began).unwrap_or(0))
}

/// The sources that the configuration names: they are alive as long as the connector is.
fn sources(config: &Config) -> Vec<String> {
    let mut out: Vec<String> = config.clients.iter().map(|client| client.name.clone()).collect();
    out.extend(config.syslog.iter().flat_map(|syslog| syslog.senders.keys().cloned()));
    out.extend(config.adt.iter().flat_map(|adt| adt.senders.keys().cloned()));
    out
}

/// What came since this time, by the label of its source. A name that differs from another in capitals alone is the same source.
fn counts(index: &Index, names: Vec<String>, from_ms: u64) -> Result<BTreeMap<String, Counts>, IndexError> {
    let label = |name: &str| {
        let label = name.to_lowercase();
        StreamLabel::parse(&label).is_ok().then_some(label)
    };
    let mut out: BTreeMap<String, Counts> =
        names.iter().filter_map(|name| Some((label(name)?, Counts::default()))).collect();
    index.reading(|connection| {
        let sql = "SELECT source, count(*), sum(state = 1), sum(state = 0), sum(state = 2) \
                   FROM event WHERE received_ms >= ?1 GROUP BY source";
        let mut select = connection.prepare_cached(sql)?;
        let mut rows = select.query(params![from_ms])?;
        while let Some(row) = rows.next()? {
            let source: String = row.get(0)?;
            let Some(label) = label(&source) else { continue };
            let counts = out.entry(label).or_default();
            counts.received += row.get::<_, u64>(1)?;
            counts.recorded += row.get::<_, u64>(2)?;
            counts.waiting += row.get::<_, u64>(3)?;
            counts.refused += row.get::<_, u64>(4)?;
        }
        Ok(())
    })?;
    Ok(out)
}

fn record(
    source: &str,
    structure: &str,
    day: &str,
    counts: Counts,
    streams: &[(String, u64)],
    now_ms: u64,
) -> Result<NewRecord, ClientError> {
    let streams: Vec<Value> = streams.iter().map(|(stream, seq)| json!({"stream": stream, "seq": seq})).collect();
    let line = json!({
        "kind": KIND,
        "occurred_at": TimeMs(now_ms).to_string(),
        "automated": {"software": "sillage-connector", "version": env!("CARGO_PKG_VERSION")},
        "details": {
            "source": source, "structure": structure, "day": day, "received": counts.received,
            "recorded": counts.recorded, "waiting": counts.waiting, "refused": counts.refused, "streams": streams,
        },
    });
    let refused =
        |error: sillage_rules::record::RecordError| ClientError::rejected(error.code, format!("a heartbeat: {error}"));
    let line = RecordLine::parse(line.to_string().as_bytes()).map_err(refused)?;
    let record = line.to_record(None).map_err(refused)?;
    Ok(NewRecord { patient: None, record: ParsedRecord::into_message(record) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_of_a_heartbeat_is_the_day_in_paris() {
        // 23:30 UTC on the last of June is half past one in Paris, on the first of July.
        let (day, began) = paris_day(1_782_862_200_000);
        assert_eq!((day.as_str(), began), ("2026-07-01", 1_782_856_800_000));
    }

    #[test]
    fn a_heartbeat_is_a_record_once_its_kind_is_known() {
        let counts = Counts { received: 3, recorded: 2, waiting: 1, refused: 0 };
        let made = record("radiology", "750712184", "2026-11-30", counts, &[("c.0".to_owned(), 7)], 1_796_030_000_000);
        assert_eq!(made.is_ok(), Kind::from_token(KIND).is_ok(), "{made:?}");
    }
}
