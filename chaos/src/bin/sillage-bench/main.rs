//! Measures a ledger of three nodes on this machine, with everything on, beside the most that the machine could do.
//!
//! [`point`] measures one combination of batch size and number of clients; [`floor`] is a plain program that does the
//! least that anyone could do with the same events; [`report`] prints both as a table or as JSON. [`events`] makes the
//! records: a day at the health space under the tags of 100,000 patients, drawn by Zipf's law.

mod events;
mod floor;
mod point;
mod report;

use clap::Parser;
use sillage_chaos::load::Link;
use sillage_chaos::load::machine::machine;
use sillage_chaos::load::status::Watch;
use sillage_chaos::process::{Cluster, Options, stop_asked, usage};
use sillage_client::channel::Timeouts;
use std::process::ExitCode;
use std::time::Duration;

/// Measure a ledger of three nodes on this machine, beside the machine's own floor
#[derive(Debug, Parser)]
#[command(name = "sillage-bench", version)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// How long each point is measured
    #[arg(long, default_value_t = 4)]
    pub seconds: u64,
    /// Records of a batch
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 1_000])]
    pub batches: Vec<usize>,
    /// Clients, each with one batch on its way
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16, 64])]
    pub clients: Vec<usize>,
    /// Patients whose events they are
    #[arg(long, default_value_t = 100_000)]
    pub patients: usize,
    /// Leave the folder with the ledger and its logs
    #[arg(long)]
    pub keep: bool,
}

/// Why it stopped.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

const TIMEOUTS: Timeouts = Timeouts { attempt: Duration::from_secs(20), total: Duration::from_secs(40) };

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be started");
    let result = runtime.block_on(async {
        tokio::select! {
            result = measure(&args) => result,
            () = stop_asked() => Err("stopped; nothing is left running".into()),
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sillage-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(args: &Args) -> Result<(), Error> {
    let folder = tempfile::Builder::new().prefix("sillage-bench-").tempdir()?;
    let cluster =
        Cluster::start(folder.path(), Options { log_filter: "warn".to_owned(), ..Options::default() }).await?;
    let link = Link::open(&cluster.profile(), TIMEOUTS)?;
    let watch = Watch::new(&link)?;
    eprintln!("making events of {} patients", args.patients);
    let patients = args.patients;
    let pool = tokio::task::spawn_blocking(move || events::pool(patients)).await??;
    let mut report = report::Report { machine: machine(folder.path())?, ..report::Report::default() };
    for batch in &args.batches {
        for clients in &args.clients {
            eprintln!("batches of {batch}, {clients} clients");
            let plan = point::Plan { batch: *batch, clients: *clients, length: Duration::from_secs(args.seconds) };
            report.points.push(point::measure(&cluster, &link, &watch, &pool, plan).await?);
        }
        let best =
            report.points.iter().filter(|p| p.batch == *batch).max_by(|a, b| a.events_per_s.total_cmp(&b.events_per_s));
        let group = best.map_or(1, |p| p.clients);
        eprintln!("floor for batches of {batch}");
        let (dir, pool, batch, length) =
            (folder.path().to_owned(), pool.clone(), *batch, Duration::from_secs(args.seconds.min(3)));
        report
            .floors
            .push(tokio::task::spawn_blocking(move || floor::measure(&dir, &pool, batch, group, length)).await??);
    }
    let nodes = watch.settled(3, Duration::from_secs(60)).await?;
    let data: Vec<_> = cluster.ids().map(|id| cluster.node_dir(id).join("data")).collect();
    let entries = nodes.first().map_or(0, |node| node.tree_size);
    // Stopping flushes the databases, so that what is counted is on disk.
    tokio::task::spawn_blocking(move || cluster.stop()).await?;
    report.records = report.points.iter().map(|p| p.events).sum();
    report.entries = entries;
    report.disk = data.iter().map(|dir| report::disk(dir, usage::disk_bytes)).collect();
    if args.keep {
        eprintln!("kept: {}", folder.keep().display());
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?)
    } else {
        println!("{}", report.text())
    }
    Ok(())
}
