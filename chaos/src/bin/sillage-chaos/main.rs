//! Faults of real nodes under load lose nothing that was acknowledged, and repeat nothing: shown on real processes.
//!
//! Five ways to use it, each on one cluster that lives through everything, so that each fault begins with what the ones
//! before left behind:
//!
//! - **Runs** (`--runs`): records with several streams while [`faults`] kills, stops and restarts nodes at random moments;
//!   then everything is healed, every stream gets its last answer, and the whole log is audited ([`run`]). Beside them,
//!   patients grant and revoke while doctors ask: nothing may be decided on revoked consent ([`consents`]). A second part
//!   kills the command line itself while it records a file, and starts it again ([`cli`]).
//! - **A hunt** (`--minutes`, `--once`, `--kinds`): the same load and audit, with faults of every kind ([`kinds`]), one after
//!   the other: disks wiped, put back and swapped, links cut, disks slow, broken or full, clocks wrong ([`strike`], [`hunt`]).
//! - **Leader kills** (`--leader-kills`): how long nothing is acknowledged when a leader dies ([`leader_kills`]).
//! - **A newcomer** (`--newcomer`): how long a new node takes until it votes, and what that costs the others ([`newcomer`]).
//! - **Slow connections** (`--slow-connections`): what those that never ask anything cost those who record ([`slow`]).

mod cli;
mod consents;
mod faults;
mod hunt;
mod kinds;
mod leader_kills;
mod newcomer;
mod report;
mod run;
mod slow;
mod stretch;
mod strike;
mod tools;

use clap::Parser;
use hunt::Plan;
use kinds::{Kind, Need};
use leader_kills::How;
use report::Report;
use sillage_chaos::process::{Cluster, Options, net, stop_asked};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Break real nodes under load; then check that nothing was lost and nothing repeated
#[derive(Debug, Parser)]
#[command(name = "sillage-chaos", version)]
pub struct Args {
    /// How many runs of kills and stops
    #[arg(long, default_value_t = 20)]
    pub runs: u64,
    /// Seed of the faults; absent: another one each time. It doesn't repeat the machine's own behaviour
    #[arg(long)]
    pub seed: Option<u64>,
    /// How long each run records, in seconds
    #[arg(long, default_value_t = 4)]
    pub seconds: u64,
    /// How often the command line is killed while it records a file
    #[arg(long, default_value_t = 5)]
    pub cli_kills: u64,
    /// Instead of runs: faults of all kinds, until so many minutes are over
    #[arg(long, conflicts_with_all = ["once", "leader_kills"], value_parser = minutes)]
    pub minutes: Option<f64>,
    /// Instead of runs: one fault of each kind
    #[arg(long, conflicts_with = "leader_kills")]
    pub once: bool,
    /// Only these kinds of faults; one of each where no --minutes are given
    #[arg(long, value_delimiter = ',', value_name = "KIND,...", conflicts_with = "leader_kills")]
    pub kinds: Vec<Kind>,
    /// With --kinds, --once or --minutes: hold each fault only as long as it takes to show, and record less
    #[arg(long)]
    pub brief: bool,
    /// Instead of runs: kill the leader so often, and say for how long nothing was acknowledged
    #[arg(long, value_name = "N")]
    pub leader_kills: Option<u64>,
    /// With --leader-kills: what happens to the leader
    #[arg(long, value_enum, default_value = "kill", requires = "leader_kills")]
    pub how: How,
    /// Instead of runs: record so many entries, then add a node under load, and say how long it takes and what it costs
    #[arg(long, value_name = "ENTRIES", conflicts_with_all = ["leader_kills", "minutes", "once", "kinds"])]
    pub newcomer: Option<u64>,
    /// Instead of runs: open so many connections that send a byte a second, and say what that costs those who record
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2_000),
        conflicts_with_all = ["leader_kills", "minutes", "once", "kinds", "newcomer"])]
    pub slow_connections: Option<u32>,
    /// Leave the folder even where all went well
    #[arg(long)]
    pub keep: bool,
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: Option<f64> = text.parse().ok().filter(|minutes: &f64| (0.0..=100_000.0).contains(minutes));
    minutes.ok_or_else(|| "expected a number of minutes".to_owned())
}

/// Why it stopped.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The work to be done, of that which this machine allows.
enum Task {
    Runs,
    Hunt(Plan),
    LeaderKills(How, u64),
    Newcomer(u64),
    SlowConnections(u32),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let task = match task(&args) {
        Ok(task) => task,
        Err(error) => {
            eprintln!("sillage-chaos: {error}");
            return ExitCode::FAILURE;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be started");
    let result = runtime.block_on(async {
        tokio::select! {
            result = all(&args, &task) => result,
            () = stop_asked() => Err("stopped; nothing is left running".into()),
        }
    });
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(violations) => {
            eprintln!("sillage-chaos: {violations} violations");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("sillage-chaos: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Finds out what can be done here, and moves this program into a network of its own where that is needed: nothing is
/// started yet.
fn task(args: &Args) -> Result<Task, Error> {
    if let Some(kills) = args.leader_kills {
        return Ok(Task::LeaderKills(args.how, kills));
    }
    if let Some(entries) = args.newcomer {
        return Ok(Task::Newcomer(entries));
    }
    if let Some(count) = args.slow_connections {
        return Ok(Task::SlowConnections(count));
    }
    let Some(plan) = Plan::asked(args) else { return Ok(Task::Runs) };
    let (kinds, skipped) = kinds::possible(&plan.kinds);
    if kinds.iter().any(|kind| kind.need() == Need::Network) {
        net::in_own_namespace()?;
    }
    for (kind, why) in skipped {
        println!("skipped: {kind}: {why}");
    }
    match kinds.is_empty() {
        true if args.kinds.is_empty() => Err("no fault can be made on this machine".into()),
        _ => Ok(Task::Hunt(Plan { kinds, ..plan })),
    }
}

/// All of the task; the number of violations.
async fn all(args: &Args, task: &Task) -> Result<usize, Error> {
    if matches!(task, Task::Hunt(plan) if plan.kinds.is_empty()) {
        return Ok(0);
    }
    let seed =
        args.seed.unwrap_or_else(|| u64::from(std::process::id()) << 20 ^ Instant::now().elapsed().as_nanos() as u64);
    println!("seed {seed}");
    let folder = tempfile::Builder::new().prefix("sillage-chaos-").tempdir()?;
    let mut cluster = Some(Cluster::start(folder.path(), Options::default()).await?);
    let mut findings = Vec::new();
    let outcome =
        perform(args, task, seed, folder.path(), cluster.as_mut().expect("just started"), &mut findings).await;
    if let Err(error) = outcome {
        findings.push(error.to_string());
    }
    let logs = cluster.as_ref().map(|c| c.last_lines(30)).unwrap_or_default();
    if let Some(cluster) = cluster.take() {
        tokio::task::spawn_blocking(move || cluster.stop()).await?;
    }
    if !findings.is_empty() {
        let evidence = format!("seed {seed}\n{}\n\n{logs}", findings.join("\n"));
        std::fs::write(folder.path().join("evidence.txt"), evidence)?;
        findings.iter().for_each(|finding| eprintln!("VIOLATION: {finding}"));
    }
    if args.keep || !findings.is_empty() {
        eprintln!("kept with all data and logs: {}", folder.keep().display());
    }
    Ok(findings.len())
}

async fn perform(
    args: &Args,
    task: &Task,
    seed: u64,
    folder: &Path,
    cluster: &mut Cluster,
    findings: &mut Vec<String>,
) -> Result<(), Error> {
    let report: Report = match task {
        Task::Runs => return runs(args, seed, cluster, findings).await,
        Task::Hunt(plan) => hunt::hunt(cluster, plan, seed, folder, findings).await?,
        Task::LeaderKills(how, kills) => leader_kills::kill_leaders(cluster, *how, *kills, seed, findings).await?,
        Task::Newcomer(entries) => return say(newcomer::join(cluster, *entries, seed).await?),
        Task::SlowConnections(count) => return say(slow::connections(cluster, *count as usize, seed).await?),
    };
    print!("{}", report.table());
    println!("{}", report.json(seed));
    Ok(())
}

fn say((table, json): (String, serde_json::Value)) -> Result<(), Error> {
    print!("{table}");
    println!("{json}");
    Ok(())
}

async fn runs(args: &Args, seed: u64, cluster: &mut Cluster, findings: &mut Vec<String>) -> Result<(), Error> {
    let began = Instant::now();
    let mut bench = run::Bench::open(cluster).await?;
    let mut total = run::Outcome::default();
    for number in 1..=args.runs {
        let outcome = bench.run(cluster, seed.wrapping_add(number), Duration::from_secs(args.seconds)).await?;
        println!("run {number:>3}/{}: {outcome}", args.runs);
        findings.extend(outcome.findings.iter().map(|finding| format!("run {number}: {finding}")));
        total.add(&outcome);
        if !findings.is_empty() {
            return Ok(());
        }
    }
    println!("{} runs in {:.0} s: {total}", args.runs, began.elapsed().as_secs_f64());
    if args.cli_kills > 0 {
        let outcome = cli::kill_and_rerun(cluster, &mut bench, seed, args.cli_kills).await?;
        println!("{outcome}");
    }
    Ok(())
}
