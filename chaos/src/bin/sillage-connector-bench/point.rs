//! One way of sending, measured.

use super::door::Door;
use super::events::Events;
use super::{Error, TIMEOUTS};
use serde::Serialize;
use sillage_chaos::load::stats::percentile;
use sillage_chaos::load::{Link, Tally, Writer};
use sillage_chaos::process::{Cluster, usage};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;

/// Time at the beginning that isn't counted: connections open, caches fill.
const RAMP: Duration = Duration::from_millis(1_000);
const PATIENCE: Duration = Duration::from_secs(60);

/// A way of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Over gRPC, without the connector, so many records in a batch.
    Grpc(usize),
    /// `POST /AuditEvent`, one after the other.
    Rest,
    /// Bundles of so many.
    Bundles(usize),
    /// Over TCP, without an answer.
    Syslog,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grpc(1) => write!(f, "gRPC, one by one"),
            Self::Grpc(count) => write!(f, "gRPC, batches of {count}"),
            Self::Rest => write!(f, "REST, one by one"),
            Self::Bundles(count) => write!(f, "REST, bundles of {count}"),
            Self::Syslog => write!(f, "syslog"),
        }
    }
}

/// The point to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How the events travel.
    pub way: Way,
    /// Clients, each with one request on its way.
    pub clients: usize,
    /// How long.
    pub length: Duration,
}

/// The result.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// The way of sending.
    pub way: String,
    /// Clients.
    pub clients: usize,
    /// Events on record a second.
    pub events_per_s: f64,
    /// Half of the requests were answered within this, milliseconds; none where nothing is answered.
    pub p50_ms: Option<f64>,
    /// 99 of 100 were.
    pub p99_ms: Option<f64>,
    /// Processor time of the connector an event, microseconds.
    pub connector_cpu_us: f64,
    /// Processor time of the three nodes an event, microseconds.
    pub nodes_cpu_us: f64,
}

/// An answer: the moment, how long it took, how many events are on record by it.
type Answer = (Instant, Duration, usize);

fn cpu(cluster: &Cluster, door: &Door) -> (Duration, Duration) {
    let nodes = cluster.ids().filter_map(|id| cluster.pid(id)).filter_map(usage::cpu).sum();
    (door.pid().and_then(usage::cpu).unwrap_or_default(), nodes)
}

/// Measures one way.
///
/// # Errors
/// When an event isn't taken.
pub async fn measure(
    cluster: &Cluster,
    link: &Link,
    door: &Door,
    events: &Arc<Events>,
    records: &[Vec<u8>],
    plan: Plan,
) -> Result<Point, Error> {
    if plan.way == Way::Syslog {
        return syslog(cluster, door, events, plan).await;
    }
    let (stop, tally) = (Arc::new(AtomicBool::new(false)), Tally::new());
    let mut sending: JoinSet<Result<Vec<Answer>, Error>> = JoinSet::new();
    let records: Arc<[Vec<u8>]> = records.into();
    for client in 0..plan.clients {
        let stop = Arc::clone(&stop);
        match plan.way {
            Way::Grpc(count) => {
                let label = format!("bench.{count}.{client}");
                let mut writer = Writer::open(link.beginning_at(client % 3, TIMEOUTS)?, &label, tally.clone()).await?;
                let (records, mut place) = (Arc::clone(&records), client * 977);
                sending.spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let batch = (place..place + count).map(|at| records[at % records.len()].clone()).collect();
                        place += count;
                        writer.submit(batch, PATIENCE).await?;
                    }
                    Ok(Vec::new())
                });
            }
            Way::Rest | Way::Bundles(_) => {
                let (mut http, events) = (door.http().await?, Arc::clone(events));
                let count = if let Way::Bundles(count) = plan.way { count } else { 1 };
                sending.spawn(async move {
                    let mut answers = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let (path, body) = match count {
                            1 => ("/AuditEvent", events.json(events.take())),
                            _ => ("/", events.bundle((0..count).map(|_| events.take()))),
                        };
                        let began = Instant::now();
                        let (status, answer) = http.ask("POST", path, &body).await?;
                        let done = if count == 1 { usize::from(status == 201) } else { created(&answer) };
                        if done != count {
                            let answer = String::from_utf8_lossy(&answer).chars().take(2_000).collect::<String>();
                            return Err(format!("{done} of {count} events were answered 201: {status} {answer}").into());
                        }
                        answers.push((Instant::now(), began.elapsed(), count));
                    }
                    Ok(answers)
                });
            }
            Way::Syslog => unreachable!("it has no answers"),
        }
    }
    tokio::time::sleep(RAMP).await;
    let (from, before) = (Instant::now(), cpu(cluster, door));
    tokio::time::sleep(plan.length).await;
    let (until, after) = (Instant::now(), cpu(cluster, door));
    stop.store(true, Ordering::Relaxed);
    let mut answers = Vec::new();
    while let Some(ended) = sending.join_next().await {
        answers.extend(ended??);
    }
    answers.extend(tally.answers());
    answers.retain(|(at, ..)| *at >= from && *at <= until);
    let count: usize = answers.iter().map(|(_, _, count)| count).sum();
    let mut latencies: Vec<Duration> = answers.iter().map(|(_, latency, _)| *latency).collect();
    latencies.sort_unstable();
    let ms = |share| Some(percentile(&latencies, share).as_secs_f64() * 1e3);
    Ok(point(plan, count, until - from, (ms(0.5), ms(0.99)), before, after))
}

/// Entries of a Bundle's answer that are on record.
fn created(answer: &[u8]) -> usize {
    std::str::from_utf8(answer).map_or(0, |text| text.matches("\"status\":\"201").count())
}

/// Nothing is answered: what counts is when the last event is on record.
async fn syslog(cluster: &Cluster, door: &Door, events: &Arc<Events>, plan: Plan) -> Result<Point, Error> {
    let recorded = door.report().await?.recorded;
    let (from, before) = (Instant::now(), cpu(cluster, door));
    let mut sending: JoinSet<Result<usize, Error>> = JoinSet::new();
    for _ in 0..plan.clients {
        let (mut stream, events) = (door.syslog().await?, Arc::clone(events));
        sending.spawn(async move {
            let mut sent = 0;
            while from.elapsed() < plan.length {
                let messages: String = (0..20).map(|_| events.syslog(events.take())).collect();
                stream.write_all(messages.as_bytes()).await?;
                sent += 20;
            }
            stream.shutdown().await?;
            Ok(sent)
        });
    }
    let mut sent = 0;
    while let Some(ended) = sending.join_next().await {
        sent += ended??;
    }
    // The other side may not have read yet all that was written to the connection.
    let deadline = Instant::now() + PATIENCE;
    let (mut until, mut now) = (door.drained(PATIENCE).await?, door.report().await?.recorded - recorded);
    while now < sent as u64 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
        until = door.drained(PATIENCE).await?;
        now = door.report().await?.recorded - recorded;
    }
    if now != sent as u64 {
        return Err(format!("{sent} messages were sent over syslog, and {now} are on record").into());
    }
    Ok(point(plan, sent, until - from, (None, None), before, cpu(cluster, door)))
}

fn point(
    plan: Plan,
    count: usize,
    took: Duration,
    (p50_ms, p99_ms): (Option<f64>, Option<f64>),
    before: (Duration, Duration),
    after: (Duration, Duration),
) -> Point {
    let each = |time: Duration| if count == 0 { 0.0 } else { time.as_secs_f64() * 1e6 / count as f64 };
    Point {
        way: plan.way.to_string(),
        clients: plan.clients,
        events_per_s: count as f64 / took.as_secs_f64(),
        p50_ms,
        p99_ms,
        connector_cpu_us: each(after.0.saturating_sub(before.0)),
        nodes_cpu_us: each(after.1.saturating_sub(before.1)),
    }
}
