//! SIGKILL of any node at any moment of a recording run loses and repeats nothing: shown on real processes.
//!
//! Each run records with several streams while [`faults`] kills, stops and restarts nodes; then everything is healed,
//! every stream gets its last answer, and the whole log is audited ([`run`]). Beside them, patients grant and
//! revoke while doctors ask: nothing may be decided on revoked consent ([`consents`]). A second part kills the command line
//! itself while it records a file, and starts it again ([`cli`]). One cluster lives through all runs, so that each
//! begins with what the ones before left behind.

mod cli;
mod consents;
mod faults;
mod run;

use clap::Parser;
use sillage_chaos::process::{Cluster, Options, stop_asked};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Kill, stop and restart real nodes under load; then check that nothing was lost and nothing repeated
#[derive(Debug, Parser)]
#[command(name = "sillage-chaos", version)]
pub struct Args {
    /// How many runs
    #[arg(long, default_value_t = 20)]
    pub runs: u64,
    /// Seed of the faults; absent: another one each time. What the machine does meanwhile is not repeated by it
    #[arg(long)]
    pub seed: Option<u64>,
    /// How long each run records, in seconds
    #[arg(long, default_value_t = 4)]
    pub seconds: u64,
    /// How often the command line is killed while it records a file
    #[arg(long, default_value_t = 5)]
    pub cli_kills: u64,
    /// Leave the folder even where all went well
    #[arg(long)]
    pub keep: bool,
}

/// Why it stopped.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be started");
    let result = runtime.block_on(async {
        tokio::select! {
            result = all(&args) => result,
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

/// All runs; the number of violations.
async fn all(args: &Args) -> Result<usize, Error> {
    let seed =
        args.seed.unwrap_or_else(|| u64::from(std::process::id()) << 20 ^ Instant::now().elapsed().as_nanos() as u64);
    println!("seed {seed}");
    let folder = tempfile::Builder::new().prefix("sillage-chaos-").tempdir()?;
    let mut cluster = Some(Cluster::start(folder.path(), Options::default()).await?);
    let mut findings = Vec::new();
    let outcome = runs(args, seed, cluster.as_mut().expect("just started"), &mut findings).await;
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
