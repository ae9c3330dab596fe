//! Runs seeds of the simulator; exit code 1 at a failure.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use sillage_chaos::sim::{Failure, Options, Plant, run};

/// Deterministic simulation of a group of replicas: network, disks, clocks and crashes, all from one seed.
#[derive(Parser)]
#[command(name = "sillage-sim")]
struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How long faults happen, in simulated milliseconds: 10,000 by default, 4,000 with the real ledger
    #[arg(long)]
    faults_ms: Option<u64>,
    /// Apply with the real ledger, on RocksDB in memory, instead of the small model: fewer runs, and all of what decides
    #[arg(long)]
    ledger: bool,
    /// Plant a bug: it must be found.
    #[arg(long, value_parser = plant)]
    plant: Option<Plant>,
    /// Threads; the processors by default.
    #[arg(long)]
    jobs: Option<usize>,
}

fn plant(name: &str) -> Result<Plant, String> {
    let names = || Plant::ALL.map(|(name, _)| name).join(", ");
    Plant::ALL
        .into_iter()
        .find_map(|(known, plant)| (known == name).then_some(plant))
        .ok_or_else(|| format!("one of {}", names()))
}

/// How long faults happen with the real ledger, in simulated milliseconds.
const LEDGER_FAULTS_MS: u64 = 4_000;

#[derive(Default)]
struct Totals {
    done: AtomicU64,
    next: AtomicU64,
    stop: AtomicBool,
    crashes: AtomicU64,
    kills: AtomicU64,
    member_changes: AtomicU64,
    replaced: AtomicU64,
    cosigned: AtomicU64,
    limped: AtomicU64,
    retired: AtomicU64,
    suffered: AtomicU64,
    refused: AtomicU64,
    unseen: AtomicU64,
    bound_lost: AtomicU64,
    acknowledged: AtomicU64,
    installs: AtomicU64,
    failure: Mutex<Option<Box<Failure>>>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let options = options(&args);
    // A replica that panics is a failure of its seed and is reported with it.
    std::panic::set_hook(Box::new(|_| {}));
    let totals = Totals::default();
    let jobs = args.jobs.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| work(&args, &options, &totals));
        }
    });
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
    let failure = totals.failure.lock().unwrap_or_else(|held| held.into_inner()).take();
    if let Some(failure) = failure {
        println!("FAILED {failure}");
        println!("replay: sillage-sim --seeds 1 --from {}{}", failure.seed, replay_options(&args));
        return ExitCode::from(1);
    }
    println!(
        "{} seeds clean from {} in {:.1} s: {} records acknowledged, {} power failures, {} ends of a process alone, {} \
         snapshots installed, {} checkpoints cosigned, {} changes of members, {} lost nodes replaced, {} nodes stopped by rot, {} runs that went on limping, {} nodes with lost disks or other keys ({} refused at a \
         start), {} runs with a node put back unseen ({} lost records and said so)",
        args.seeds,
        args.from,
        began.elapsed().as_secs_f64(),
        totals.acknowledged.load(Ordering::Relaxed),
        totals.crashes.load(Ordering::Relaxed),
        totals.kills.load(Ordering::Relaxed),
        totals.installs.load(Ordering::Relaxed),
        totals.cosigned.load(Ordering::Relaxed),
        totals.member_changes.load(Ordering::Relaxed),
        totals.replaced.load(Ordering::Relaxed),
        totals.retired.load(Ordering::Relaxed),
        totals.limped.load(Ordering::Relaxed),
        totals.suffered.load(Ordering::Relaxed),
        totals.refused.load(Ordering::Relaxed),
        totals.unseen.load(Ordering::Relaxed),
        totals.bound_lost.load(Ordering::Relaxed),
    );
    ExitCode::SUCCESS
}

fn options(args: &Args) -> Options {
    let ledger = args.ledger || args.plant == Some(Plant::FlushedApart);
    let faults_ms = args.faults_ms.unwrap_or(if ledger { LEDGER_FAULTS_MS } else { Options::default().faults_ms });
    Options { faults_ms, plant: args.plant, ledger }
}

fn replay_options(args: &Args) -> String {
    let planted = Plant::ALL.into_iter().find(|&(_, plant)| Some(plant) == args.plant);
    let plant = planted.map_or(String::new(), |(name, _)| format!(" --plant {name}"));
    let ledger = if args.ledger { " --ledger" } else { "" };
    format!(" --faults-ms {}{ledger}{plant}", options(args).faults_ms)
}

fn work(args: &Args, options: &Options, totals: &Totals) {
    while !totals.stop.load(Ordering::Relaxed) {
        let at = totals.next.fetch_add(1, Ordering::Relaxed);
        if at >= args.seeds {
            return;
        }
        match run(args.from + at, options) {
            Ok(report) => {
                totals.crashes.fetch_add(report.crashes, Ordering::Relaxed);
                totals.kills.fetch_add(report.kills, Ordering::Relaxed);
                totals.member_changes.fetch_add(report.member_changes, Ordering::Relaxed);
                totals.replaced.fetch_add(report.replaced, Ordering::Relaxed);
                totals.cosigned.fetch_add(report.cosigned, Ordering::Relaxed);
                totals.limped.fetch_add(report.limped, Ordering::Relaxed);
                totals.retired.fetch_add(report.retired, Ordering::Relaxed);
                totals.suffered.fetch_add(report.suffered, Ordering::Relaxed);
                totals.refused.fetch_add(report.refused, Ordering::Relaxed);
                totals.unseen.fetch_add(report.unseen, Ordering::Relaxed);
                totals.bound_lost.fetch_add(report.bound_lost, Ordering::Relaxed);
                totals.acknowledged.fetch_add(report.acknowledged, Ordering::Relaxed);
                totals.installs.fetch_add(report.installs, Ordering::Relaxed);
            }
            Err(failure) => {
                totals.stop.store(true, Ordering::Relaxed);
                let mut first = totals.failure.lock().unwrap_or_else(|held| held.into_inner());
                if first.as_ref().is_none_or(|first| failure.seed < first.seed) {
                    *first = Some(failure);
                }
            }
        }
        let done = totals.done.fetch_add(1, Ordering::Relaxed) + 1;
        if std::io::stderr().is_terminal() {
            eprint!("\r{done}/{} seeds", args.seeds);
            let _ = std::io::stderr().flush();
        }
    }
}
