//! The leader killed, ended or stopped again and again under load: how long nothing is acknowledged.
//!
//! The next one comes when the node has caught up, so that each is a fault of its own. The load is light: a full one would keep
//! a node from catching up, and what is measured is time, not throughput.

use super::Error;
use super::kinds::Kind;
use super::report::{Report, Struck};
use super::run::{Bench, Outcome};
use rustix::process::Signal;
use sillage_chaos::ens::dice::Dice;
use sillage_chaos::load::stats::longest_gap;
use sillage_chaos::process::Cluster;
use std::time::{Duration, Instant};

/// Kills between two audits.
const A_ROUND: u64 = 50;
/// A node that is started again has caught up by then.
const CAUGHT_UP_MAX: Duration = Duration::from_secs(60);
/// Raft entries that a node may lag and count as caught up: those under way.
const LAG_MAX: u64 = 50;
const POLL: Duration = Duration::from_millis(20);

/// Pauses between two batches of a writer are below so many milliseconds.
const PAUSE_MAX_MS: u64 = 60;
/// A node that is stopped stands still for so long: far longer than an election takes.
const STOPPED: Duration = Duration::from_secs(10);

/// The fault that is made on the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum How {
    /// SIGKILL
    Kill,
    /// SIGTERM: it ends in good order
    Term,
    /// SIGSTOP for 10 s
    Stop,
}

impl How {
    /// Does it to node `id`; the node is down, or stands still, when this returns.
    async fn strike(self, cluster: &mut Cluster, id: u64) -> Result<(), Error> {
        match self {
            Self::Kill => cluster.kill(id).await?,
            Self::Term => {
                cluster.end_by(id, Signal::TERM).await?;
                // An end that was asked for.
                cluster.ended(id, CAUGHT_UP_MAX).await?;
            }
            Self::Stop => drop(cluster.signal(id, Signal::STOP)),
        }
        Ok(())
    }

    async fn heal(self, cluster: &mut Cluster, id: u64, since: Instant) -> Result<(), Error> {
        match self {
            Self::Kill | Self::Term => cluster.restart(id)?,
            Self::Stop => {
                tokio::time::sleep(STOPPED.saturating_sub(since.elapsed())).await;
                cluster.signal(id, Signal::CONT);
            }
        }
        Ok(())
    }
}

/// Does it to the leader `kills` times.
///
/// # Errors
/// When a node can't be killed or started, or nobody leads.
pub async fn kill_leaders(
    cluster: &mut Cluster,
    how: How,
    kills: u64,
    seed: u64,
    findings: &mut Vec<String>,
) -> Result<Report, Error> {
    // Each node is a child of this program then, which knows of each end that was asked for.
    cluster.move_into(None).await?;
    let mut bench = Bench::open(cluster).await?;
    bench.pause_max_ms = PAUSE_MAX_MS;
    let (began, mut dice, mut report, mut done) = (Instant::now(), Dice::new(seed), Report::default(), 0);
    while done < kills && findings.is_empty() {
        let (count, mut outcome, mut moments) = (A_ROUND.min(kills - done), Outcome::default(), Vec::new());
        let load = bench.begin(&mut dice).await?;
        for _ in 0..count {
            tokio::time::sleep(Duration::from_millis(dice.between(300, 900))).await;
            let leader = bench.watch.leader(CAUGHT_UP_MAX).await?;
            let at = Instant::now();
            how.strike(cluster, leader).await?;
            if !acknowledged_again(&bench).await {
                outcome.findings.push(format!("nothing is acknowledged since {how:?} of node {leader}, the leader"));
                break;
            }
            moments.push((at, Instant::now()));
            how.heal(cluster, leader, at).await?;
            caught_up(&bench, cluster.ids().count()).await?;
        }
        let times = bench.tally().times();
        let outages = moments.into_iter().map(|(from, to)| longest_gap(&times, from, to));
        let kind = if how == How::Stop { Kind::Stop } else { Kind::KillLeader };
        report.struck.extend(outages.map(|outage| Struck { kind, outage }));
        done += count;
        bench.end(load, cluster, &mut outcome).await?;
        if let Err(finding) = bench.audit(&mut outcome).await {
            outcome.findings.push(finding.to_string());
        }
        println!("{done:>4}/{kills}, {:>4.0} s: {outcome}", began.elapsed().as_secs_f64());
        report.add(&outcome);
        findings.append(&mut outcome.findings);
    }
    report.seconds = began.elapsed().as_secs();
    Ok(report)
}

/// Tells whether something new is acknowledged before everyone's patience is over.
async fn acknowledged_again(bench: &Bench) -> bool {
    let (began, before) = (Instant::now(), bench.tally().records());
    while began.elapsed() < CAUGHT_UP_MAX {
        // The first may have been on its way.
        if bench.tally().records() > before && began.elapsed() > Duration::from_millis(300) {
            return true;
        }
        tokio::time::sleep(POLL).await;
    }
    false
}

async fn caught_up(bench: &Bench, count: usize) -> Result<(), Error> {
    let began = Instant::now();
    loop {
        let known: Vec<_> = bench.watch.ask().await.into_iter().flatten().collect();
        let newest = known.iter().map(|node| node.commit).max().unwrap_or_default();
        if known.len() == count && known.iter().all(|node| node.applied + LAG_MAX >= newest && node.leader != 0) {
            return Ok(());
        }
        if began.elapsed() > CAUGHT_UP_MAX {
            return Err(format!("the nodes have not caught up after {} s", CAUGHT_UP_MAX.as_secs()).into());
        }
        tokio::time::sleep(POLL).await;
    }
}
