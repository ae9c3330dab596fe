//! One measured point: so many clients, each with one call on its way.

use super::{Error, TIMEOUTS};
use prost::Message as _;
use serde::Serialize;
use sillage_chaos::consent::acts::{doctor, grant_on_paper, request};
use sillage_chaos::ens::dice::Dice;
use sillage_chaos::load::asker::{Asker, TwoTags};
use sillage_chaos::load::stats::percentile;
use sillage_chaos::load::status::Watch;
use sillage_chaos::load::{Link, LoadError, Tally, Writer};
use sillage_chaos::process::{Cluster, usage};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Time at the beginning that isn't counted: connections open, caches fill.
const RAMP: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(60);

/// The work that a client does over and over.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// As the table says it.
    pub what: String,
    /// The patients who are asked for; nobody: one record is appended instead.
    pub patients: Arc<[TwoTags]>,
    /// Directives on file of each.
    pub directives: usize,
    /// Requests of one call.
    pub each: usize,
}

/// How it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Clients.
    pub clients: usize,
    /// How long.
    pub length: Duration,
}

/// The result.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Point {
    /// The work that was done.
    pub what: String,
    /// Directives on file of the patient, or of each.
    pub directives: usize,
    /// Requests of one call; 0 for an append.
    pub requests_per_call: usize,
    /// Clients, each with one call on its way.
    pub clients: usize,
    /// Decisions (or records) acknowledged a second, the ramp excluded.
    pub per_s: f64,
    /// Half of the calls were answered within this, milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 were.
    pub p99_ms: f64,
    /// Processor time a decision (or record), microseconds: the three nodes together.
    pub nodes_cpu_us: f64,
}

/// A call that was answered: how long it took, and when the answer came.
type Call = (Duration, Instant);

/// Measures one point. Every answer's receipts are verified, and everything that is asked for is permitted.
pub async fn measure(cluster: &Cluster, link: &Link, watch: &Watch, work: &Work, plan: Plan) -> Result<Point, Error> {
    /// Streams and random numbers of no two clients are the same.
    static CLIENTS: AtomicU64 = AtomicU64::new(0);
    let stop = Arc::new(AtomicBool::new(false));
    let ways: Result<Vec<Link>, LoadError> = (0..3).map(|first| link.beginning_at(first, TIMEOUTS)).collect();
    let ways = ways?;
    let mut calling = JoinSet::new();
    for client in 0..plan.clients {
        let (way, number) = (ways[client % ways.len()].clone(), CLIENTS.fetch_add(1, Ordering::Relaxed));
        let (work, stop) = (work.clone(), Arc::clone(&stop));
        calling.spawn(async move {
            match work.each {
                0 => append(way, number, &stop).await,
                _ => ask(way, number, &work, &stop).await,
            }
        });
    }
    tokio::time::sleep(RAMP).await;
    let (from, before) = (Instant::now(), nodes_cpu(cluster));
    tokio::time::sleep(plan.length).await;
    let (until, after) = (Instant::now(), nodes_cpu(cluster));
    stop.store(true, Ordering::Relaxed);
    let mut calls = Vec::new();
    while let Some(ended) = calling.join_next().await {
        calls.extend(ended??);
    }
    watch.settled(3, Duration::from_secs(60)).await?;
    let mut times: Vec<Duration> = calls.iter().filter(|(_, at)| *at >= from && *at <= until).map(|c| c.0).collect();
    times.sort_unstable();
    let done = (times.len() * work.each.max(1)) as f64;
    let ms = |share| percentile(&times, share).as_secs_f64() * 1e3;
    let cpu = after.saturating_sub(before).as_secs_f64() * 1e6;
    Ok(Point {
        what: work.what.clone(),
        directives: work.directives,
        requests_per_call: work.each,
        clients: plan.clients,
        per_s: done / (until - from).as_secs_f64(),
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
        nodes_cpu_us: if done > 0.0 { cpu / done } else { 0.0 },
    })
}

fn nodes_cpu(cluster: &Cluster) -> Duration {
    cluster.ids().filter_map(|id| cluster.pid(id)).filter_map(usage::cpu).sum()
}

/// Records a directive of another patient each time: what it takes to put one thing on record.
async fn append(way: Link, number: u64, stop: &AtomicBool) -> Result<Vec<Call>, LoadError> {
    let tally = Tally::new();
    let mut writer = Writer::open(way, &format!("append.{number}"), tally.clone()).await?;
    let mut dice = Dice::new(number);
    while !stop.load(Ordering::Relaxed) {
        let tag = dice.bytes::<32>();
        writer.submit(vec![grant_on_paper(&tag, "c0", &doctor(0)).encode_to_vec()], PATIENCE).await?;
    }
    Ok(tally.take().into_iter().map(|acked| (acked.latency, acked.at)).collect())
}

async fn ask(way: Link, number: u64, work: &Work, stop: &AtomicBool) -> Result<Vec<Call>, LoadError> {
    let (asker, mut dice, mut calls) = (Asker::new(way), Dice::new(number), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let asked = (0..work.each).map(|_| {
            let patient = dice.pick(&work.patients);
            request(patient, &doctor(0), &["report-1"], dice.bytes())
        });
        let asked = asked.collect();
        let began = Instant::now();
        let answers = asker.ask(asked, PATIENCE).await?;
        let at = Instant::now();
        calls.push((at - began, at));
        for answer in answers {
            let receipts = answer.map_err(|error| LoadError::Wrong(format!("{}: {}", error.code, error.message)))?;
            if receipts.iter().all(|receipt| receipt.view.actor.permitted.is_empty()) {
                return Err(LoadError::Wrong("a document was refused to who was let read it".to_owned()));
            }
        }
    }
    Ok(calls)
}
