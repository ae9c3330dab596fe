//! One measured point: so many clients, each with one batch of so many records on its way.

use super::{Error, TIMEOUTS};
use crate::events::Pool;
use serde::Serialize;
use sillage_chaos::load::stats::percentile;
use sillage_chaos::load::status::Watch;
use sillage_chaos::load::{Acked, Link, LoadError, Tally, Writer};
use sillage_chaos::process::{Cluster, usage};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Time at the beginning that isn't counted: connections open, caches fill.
const RAMP: Duration = Duration::from_millis(700);
const PATIENCE: Duration = Duration::from_secs(60);

/// The point to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Records of a batch.
    pub batch: usize,
    /// Clients.
    pub clients: usize,
    /// How long.
    pub length: Duration,
}

/// The result.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Point {
    /// Records of a batch.
    pub batch: usize,
    /// Clients, each with one batch on its way.
    pub clients: usize,
    /// Records acknowledged, the ramp included.
    pub events: u64,
    /// Records acknowledged a second, the ramp excluded.
    pub events_per_s: f64,
    /// Half of the batches were answered within this, milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 were.
    pub p99_ms: f64,
    /// Processor time an event, microseconds: the three nodes together.
    pub nodes_cpu_us: f64,
    /// Processor time an event, microseconds: this program, as the services (hashing, signing, TLS).
    pub clients_cpu_us: f64,
    /// Processor time an event by thread of the nodes, microseconds, three nodes together.
    pub by_stage_us: BTreeMap<String, f64>,
}

/// Processor time at one moment.
struct Meter {
    own: Duration,
    nodes: Duration,
    stages: BTreeMap<String, Duration>,
}

impl Meter {
    fn read(cluster: &Cluster) -> Self {
        let pids: Vec<u32> = cluster.ids().filter_map(|id| cluster.pid(id)).collect();
        let mut stages: BTreeMap<String, Duration> = BTreeMap::new();
        for (name, time) in pids.iter().flat_map(|pid| usage::cpu_by_thread(*pid)) {
            *stages.entry(name).or_default() += time;
        }
        let nodes = pids.iter().filter_map(|pid| usage::cpu(*pid)).sum();
        Self { own: usage::cpu(std::process::id()).unwrap_or_default(), nodes, stages }
    }
}

/// Measures one point.
pub async fn measure(cluster: &Cluster, link: &Link, watch: &Watch, pool: &Pool, plan: Plan) -> Result<Point, Error> {
    let (tally, stop) = (Tally::new(), Arc::new(AtomicBool::new(false)));
    let mut sending = JoinSet::new();
    // One set of connections a node: what arrives at a follower is forwarded to the leader.
    let ways: Result<Vec<Link>, LoadError> = (0..3).map(|first| link.beginning_at(first, TIMEOUTS)).collect();
    let ways = ways?;
    for client in 0..plan.clients {
        let label = format!("bench.{client}");
        let writer = Writer::open(ways[client % ways.len()].clone(), &label, tally.clone()).await?;
        sending.spawn(send(writer, Arc::clone(pool), client * 977, plan.batch, Arc::clone(&stop)));
    }
    tokio::time::sleep(RAMP).await;
    let (from, before) = (Instant::now(), Meter::read(cluster));
    tokio::time::sleep(plan.length).await;
    let (until, after) = (Instant::now(), Meter::read(cluster));
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = sending.join_next().await {
        ended??;
    }
    watch.settled(3, Duration::from_secs(60)).await?;
    let acked = tally.take();
    Ok(point(plan, &acked, (from, until), &before, &after))
}

async fn send(
    mut writer: Writer,
    pool: Pool,
    mut place: usize,
    batch: usize,
    stop: Arc<AtomicBool>,
) -> Result<(), LoadError> {
    while !stop.load(Ordering::Relaxed) {
        let records = (place..place + batch).map(|i| pool[i % pool.len()].clone()).collect();
        place += batch;
        writer.submit(records, PATIENCE).await?;
    }
    Ok(())
}

fn point(plan: Plan, acked: &[Acked], (from, until): (Instant, Instant), before: &Meter, after: &Meter) -> Point {
    let counted: Vec<&Acked> = acked.iter().filter(|a| a.at >= from && a.at <= until).collect();
    let events: usize = counted.iter().map(|a| a.records.len()).sum();
    let mut latencies: Vec<Duration> = counted.iter().map(|a| a.latency).collect();
    latencies.sort_unstable();
    let per_event = |time: Duration| if events == 0 { 0.0 } else { time.as_secs_f64() * 1e6 / events as f64 };
    let stage = |(name, time): (&String, &Duration)| {
        let earlier = before.stages.get(name).copied().unwrap_or_default();
        (name.clone(), per_event(time.saturating_sub(earlier)))
    };
    Point {
        batch: plan.batch,
        clients: plan.clients,
        events: acked.iter().map(|a| a.records.len() as u64).sum(),
        events_per_s: events as f64 / (until - from).as_secs_f64(),
        p50_ms: percentile(&latencies, 0.5).as_secs_f64() * 1e3,
        p99_ms: percentile(&latencies, 0.99).as_secs_f64() * 1e3,
        nodes_cpu_us: per_event(after.nodes.saturating_sub(before.nodes)),
        clients_cpu_us: per_event(after.own.saturating_sub(before.own)),
        by_stage_us: after.stages.iter().map(stage).filter(|(_, us)| *us >= 0.05).collect(),
    }
}
