//! A new node joins a large log under load: how long until it votes, and what that costs the others.

use super::Error;
use super::run::{Bench, Outcome};
use super::stretch::{self, Stretch};
use serde_json::{Value, json};
use sillage_chaos::ens::dice::Dice;
use sillage_chaos::process::{Cluster, free_ports, program, usage};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Before it joins and after it votes, the load is watched for so long.
const WATCHED: Duration = Duration::from_secs(20);
/// A node that doesn't vote by then never does.
const VOTES_MAX: Duration = Duration::from_secs(1_800);
/// Records of a batch while the log is filled.
const FILL_BATCH: u64 = 1_000;
const POLL: Duration = Duration::from_millis(200);

/// Records until the log has `entries`, then adds a node while it goes on recording. Gives a table and the same as JSON.
///
/// # Errors
/// When the node doesn't come to vote, or anything acknowledged is missing afterwards.
pub async fn join(cluster: &mut Cluster, entries: u64, seed: u64) -> Result<(String, Value), Error> {
    let (mut bench, mut dice) = (Bench::open(cluster).await?, Dice::new(seed));
    let load_pause = std::mem::replace(&mut bench.pause_max_ms, 1);
    bench.batch_of = Some(FILL_BATCH);
    let (began, load) = (Instant::now(), bench.begin(&mut dice).await?);
    while bench.tally().records() < entries {
        tokio::time::sleep(POLL).await;
    }
    let filled = began.elapsed();
    let mut outcome = Outcome::default();
    bench.end(load, cluster, &mut outcome).await?;
    bench.audit(&mut outcome).await?;
    (bench.pause_max_ms, bench.batch_of) = (load_pause, None);

    let load = bench.begin(&mut dice).await?;
    let before = Instant::now();
    tokio::time::sleep(WATCHED).await;
    let (dir, first) = (cluster.node_dir(4), free_ports(2)?);
    let address = format!("127.0.0.1:{first}:{}", first + 1);
    let added = Instant::now();
    let folder = dir.display().to_string();
    member(cluster, &["add", "--address", &address, "--out", &folder]).await?;
    cluster.start_newcomer(4, &dir)?;
    let started = Instant::now();
    let mut applies = None;
    while !member(cluster, &["promote", "4"]).await? {
        if started.elapsed() > VOTES_MAX {
            return Err(format!("node 4 doesn't vote after {} s", VOTES_MAX.as_secs()).into());
        }
        if applies.is_none() && applied_by(cluster, 4).await? > 0 {
            applies = Some(Instant::now());
        }
        tokio::time::sleep(POLL).await;
    }
    let votes = Instant::now();
    tokio::time::sleep(WATCHED).await;
    let end = Instant::now();
    let stretches = [("before", before, added), ("while it joins", added, votes), ("after", votes, end)];
    let stretches = stretches.map(|(name, from, to)| Stretch::of(name, &bench, from, to));
    bench.end(load, cluster, &mut outcome).await?;
    bench.audit(&mut outcome).await?;
    if let Some(finding) = outcome.findings.first() {
        return Err(finding.clone().into());
    }
    let disk = usage::disk_bytes(&dir.join("data"));
    let seconds = |from: Instant, to: Instant| to.duration_since(from).as_secs_f64();
    let (has_state, voting) = (seconds(started, applies.unwrap_or(votes)), seconds(started, votes));
    let table = format!(
        "{entries} entries recorded in {:.0} s; a new node has the state after {has_state:.1} s and votes after \
         {voting:.1} s, with {:.0} MB on its disk\n{}",
        filled.as_secs_f64(),
        disk as f64 / 1e6,
        stretch::table(&stretches)
    );
    let json = json!({"seed": seed, "entries": entries, "filled_s": filled.as_secs_f64(), "has_state_s": has_state,
        "votes_s": voting, "disk_bytes": disk, "load": stretch::json(&stretches)});
    Ok((table, json))
}

/// `sillage cluster member ...`: whether it was done; `false` where it is to be tried again.
async fn member(cluster: &Cluster, args: &[&str]) -> Result<bool, Error> {
    let output = sillage(&cluster.profile(), args).await?;
    match output.status.code() {
        Some(0) => Ok(true),
        // Refused as it lags, or nobody answers.
        Some(3 | 4) if args[0] == "promote" => Ok(false),
        _ => Err(format!("member {}: {}", args[0], String::from_utf8_lossy(&output.stderr).trim()).into()),
    }
}

/// Up to where node `id` has applied, as the nodes say.
async fn applied_by(cluster: &Cluster, id: u64) -> Result<u64, Error> {
    let output = sillage(&cluster.profile(), &["list", "--json"]).await?;
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let mut nodes = said["members"].as_array().into_iter().flatten();
    Ok(nodes.find(|node| node["id"] == id).and_then(|node| node["applied"].as_u64()).unwrap_or_default())
}

async fn sillage(profile: &Path, args: &[&str]) -> Result<std::process::Output, Error> {
    let mut command = Command::new(program("sillage")?);
    command.arg("--profile").arg(profile).args(["cluster", "member"]).args(args).kill_on_drop(true);
    Ok(command.output().await?)
}
