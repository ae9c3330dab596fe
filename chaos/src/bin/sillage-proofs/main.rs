//! The cost of proofs in a large log: bytes and milliseconds, to make and to verify.
//!
//! [`feed`] fills a log of real nodes with the wanted number of events of so many patients; [`measure`] asks it for proofs
//! as any client would and verifies them with the code that any verifier runs. With `--keep DIR` the bundles are left as
//! files, for other verifiers.

mod feed;
mod measure;

use clap::Parser;
use serde::Serialize;
use sillage_chaos::load::Link;
use sillage_chaos::process::{Cluster, Options, stop_asked, usage};
use sillage_client::channel::Timeouts;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Measure proofs in a log of real nodes
#[derive(Debug, Parser)]
#[command(name = "sillage-proofs", version)]
struct Args {
    /// Events of the log
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Patients whose events they are
    #[arg(long, default_value_t = 1_000_000)]
    patients: u64,
    /// 1 or 3
    #[arg(long, default_value_t = 3)]
    nodes: u64,
    /// Leave bundles and policy in this folder
    #[arg(long)]
    keep: Option<PathBuf>,
}

type Error = Box<dyn std::error::Error + Send + Sync>;

const TIMEOUTS: Timeouts = Timeouts { attempt: Duration::from_secs(30), total: Duration::from_secs(90) };
/// Entries of the patients whose bundles are measured.
const BUNDLES: [u64; 4] = [10, 50, 1_000, 10_000];

#[derive(Debug, Serialize)]
struct Report {
    events: u64,
    patients: u64,
    nodes: u64,
    /// Events a second while the log was filled, index commits and checkpoints included.
    fed_events_per_s: f64,
    /// Memory of each node's process at the end, in bytes.
    node_memory_bytes: Vec<u64>,
    #[serde(flatten)]
    measured: measure::Measured,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be started");
    let result = runtime.block_on(async {
        tokio::select! {
            result = run(&args) => result,
            () = stop_asked() => Err("stopped; nothing is left running".into()),
        }
    });
    match result {
        Ok(report) => {
            println!("{}", serde_json::to_string_pretty(&report).expect("numbers and texts"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("sillage-proofs: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<Report, Error> {
    let folder = tempfile::Builder::new().prefix("sillage-proofs-").tempdir()?;
    let options = Options { nodes: args.nodes, log_filter: "warn".to_owned(), ..Options::default() };
    let cluster = Cluster::start(folder.path(), options).await?;
    let link = Link::open(&cluster.profile(), TIMEOUTS)?;
    let heavy = feed::heavy(&BUNDLES);
    eprintln!("recording {} events of {} patients", args.events, args.patients);
    let fed_events_per_s = feed::feed(&link, &heavy, args.events, args.patients).await?;
    eprintln!("{fed_events_per_s:.0} events/s; measuring");
    let measured = measure::measure(&cluster, &heavy, args).await?;
    let pids = cluster.ids().filter_map(|id| cluster.pid(id));
    let node_memory_bytes = pids.filter_map(usage::memory_bytes).collect();
    Ok(Report {
        events: args.events,
        patients: args.patients,
        nodes: args.nodes,
        fed_events_per_s,
        node_memory_bytes,
        measured,
    })
}
