//! Events that wait while the nodes are away, and come in afterwards.

use super::Error;
use super::door::Door;
use super::events::Events;
use serde::Serialize;
use sillage_chaos::load::status::Watch;
use sillage_chaos::process::Cluster;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Events of one Bundle, and Bundles on their way at once.
const BUNDLE: u64 = 500;
const SENDERS: usize = 4;
/// Fewer events wait within this, or none come in any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// The result.
#[derive(Clone, Debug, Serialize)]
pub struct Spooled {
    /// Events that waited.
    pub events: u64,
    /// How long it took until all of them were on disk, seconds.
    pub taken_s: f64,
    /// How long it took from the first node's return until all of them were on record, seconds.
    pub drained_s: f64,
}

/// Takes a majority away, has `count` events wait, and brings it back.
///
/// # Errors
/// When an event isn't taken, or isn't on record at the end.
pub async fn measure(
    cluster: &mut Cluster,
    watch: &Watch,
    door: &mut Door,
    events: &Arc<Events>,
    count: u64,
) -> Result<Spooled, Error> {
    let recorded = door.report().await?.recorded;
    eprintln!("{count} events while the nodes are away");
    for id in [2, 3] {
        cluster.kill(id).await?;
    }
    door.answer_within(1).await?;
    let left = Arc::new(AtomicU64::new(count));
    let began = Instant::now();
    let mut sending: JoinSet<Result<(), Error>> = JoinSet::new();
    for _ in 0..SENDERS {
        let (mut http, events, left) = (door.http().await?, Arc::clone(events), Arc::clone(&left));
        sending.spawn(async move {
            loop {
                let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    (left > 0).then(|| left.saturating_sub(BUNDLE))
                });
                let Ok(before) = taken else { return Ok(()) };
                let size = before.min(BUNDLE);
                let body = events.bundle((0..size).map(|_| events.take()));
                let (status, answer) = http.ask("POST", "/", &body).await?;
                let text = String::from_utf8_lossy(&answer);
                let accepted = text.matches("\"status\":\"202").count() as u64;
                if accepted != size {
                    let text = text.chars().take(2_000).collect::<String>();
                    return Err(format!("{accepted} of {size} events were answered 202: {status} {text}").into());
                }
            }
        });
    }
    while let Some(ended) = sending.join_next().await {
        ended??;
    }
    let taken_s = began.elapsed().as_secs_f64();
    let waiting = door.waiting().await?;
    if waiting != count {
        return Err(format!("{count} events were answered, and {waiting} wait").into());
    }
    eprintln!("the nodes come back");
    let began = Instant::now();
    for id in [2, 3] {
        cluster.restart(id)?;
    }
    let drained_s = (door.drained(PATIENCE).await? - began).as_secs_f64();
    watch.settled(3, PATIENCE).await?;
    let now = door.report().await?.recorded - recorded;
    match now == count {
        true => Ok(Spooled { events: count, taken_s, drained_s }),
        false => Err(format!("{count} events waited, and {now} went on record").into()),
    }
}
