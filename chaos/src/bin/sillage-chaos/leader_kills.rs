//! The leader killed again and again under load: how long nothing is acknowledged.
//!
//! The next kill comes when the node that was killed has caught up, so that each is a fault of its own.

use super::Error;
use super::kinds::Kind;
use super::report::{Report, Struck};
use super::run::{Bench, Outcome};
use sillage_chaos::ens::dice::Dice;
use sillage_chaos::load::stats::longest_gap;
use sillage_chaos::process::Cluster;
use std::time::{Duration, Instant};

/// Kills between two audits.
const A_ROUND: u64 = 20;
/// A node that is started again has caught up by then.
const CAUGHT_UP_MAX: Duration = Duration::from_secs(60);
/// Raft entries that a node may lag and count as caught up: those under way.
const LAG_MAX: u64 = 50;
const POLL: Duration = Duration::from_millis(20);

/// Kills the leader `kills` times.
///
/// # Errors
/// When a node can't be killed or started, or nobody leads.
pub async fn kill_leaders(
    cluster: &mut Cluster,
    kills: u64,
    seed: u64,
    findings: &mut Vec<String>,
) -> Result<Report, Error> {
    let mut bench = Bench::open(cluster).await?;
    let (began, mut dice, mut report, mut done) = (Instant::now(), Dice::new(seed), Report::default(), 0);
    while done < kills && findings.is_empty() {
        let (count, mut outcome, mut moments) = (A_ROUND.min(kills - done), Outcome::default(), Vec::new());
        let load = bench.begin(&mut dice).await?;
        for _ in 0..count {
            tokio::time::sleep(Duration::from_millis(dice.between(300, 900))).await;
            let leader = bench.watch.leader(CAUGHT_UP_MAX).await?;
            let at = Instant::now();
            cluster.kill(leader).await?;
            if !acknowledged_again(&bench).await {
                outcome.findings.push(format!("nothing is acknowledged since node {leader}, the leader, was killed"));
                break;
            }
            moments.push((at, Instant::now()));
            cluster.restart(leader)?;
            caught_up(&bench, cluster.ids().count()).await?;
        }
        let times = bench.tally().times();
        let outages = moments.into_iter().map(|(from, to)| longest_gap(&times, from, to));
        report.struck.extend(outages.map(|outage| Struck { kind: Kind::KillLeader, outage }));
        done += count;
        bench.end(load, cluster, &mut outcome).await?;
        if let Err(finding) = bench.audit(&mut outcome).await {
            outcome.findings.push(finding.to_string());
        }
        println!("{done:>4}/{kills} kills, {:>4.0} s: {outcome}", began.elapsed().as_secs_f64());
        report.add(&outcome);
        findings.append(&mut outcome.findings);
    }
    report.seconds = began.elapsed().as_secs();
    Ok(report)
}

/// Whether something new is acknowledged before everyone's patience is over.
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
