//! Measures a connector before three nodes: the same events through its doors, and over gRPC without it, in one run.
//!
//! [`events`] makes the events; [`door`] is the connector's process and the programs that send to it; [`point`] measures one way of
//! sending; [`spool`] has events wait while the nodes are away, and counts how they come in; [`report`] prints it all.

mod door;
mod events;
mod point;
mod report;
mod spool;

use clap::Parser;
use events::Events;
use point::{Plan, Way};
use sillage_chaos::load::Link;
use sillage_chaos::load::machine::machine;
use sillage_chaos::load::status::Watch;
use sillage_chaos::process::{Cluster, Options, stop_asked};
use sillage_client::channel::Timeouts;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Measure a connector before three nodes on this machine, beside the same events over gRPC
#[derive(Debug, Parser)]
#[command(name = "sillage-connector-bench", version)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// How long each way is measured
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,
    /// Clients of each way, each with one request on its way
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    pub clients: Vec<usize>,
    /// Events that wait while the nodes are away; 0: that isn't measured
    #[arg(long, default_value_t = 20_000)]
    pub spool: u64,
    /// Patients whose events they are
    #[arg(long, default_value_t = 1_000)]
    pub patients: usize,
    /// Leave the folder with the ledger, the connector and their logs
    #[arg(long)]
    pub keep: bool,
}

/// Why it stopped.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

const TIMEOUTS: Timeouts = Timeouts { attempt: Duration::from_secs(20), total: Duration::from_secs(40) };
/// Events of a Bundle, and of a batch over gRPC.
const BUNDLE: usize = 100;

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
            eprintln!("sillage-connector-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(args: &Args) -> Result<(), Error> {
    let folder = tempfile::Builder::new().prefix("sillage-connector-bench-").tempdir()?;
    let mut cluster =
        Cluster::start(folder.path(), Options { log_filter: "warn".to_owned(), ..Options::default() }).await?;
    let link = Link::open(&cluster.profile(), TIMEOUTS)?;
    let watch = Watch::new(&link)?;
    let events = Arc::new(Events::new(args.patients));
    eprintln!("mapping events of {} patients, and resolving their tags", args.patients);
    let records = events.records(&link).await?;
    let mut door = door::Door::start(&folder.path().join("connector"), &cluster.profile()).await?;
    let mut report = report::Report { machine: machine(folder.path())?, ..report::Report::default() };
    for way in [Way::Grpc(1), Way::Rest, Way::Grpc(BUNDLE), Way::Bundles(BUNDLE), Way::Syslog] {
        for clients in &args.clients {
            eprintln!("{way}, {clients} clients");
            let plan = Plan { way, clients: *clients, length: Duration::from_secs(args.seconds) };
            report.points.push(point::measure(&cluster, &link, &door, &events, &records, plan).await?);
            watch.settled(3, Duration::from_secs(60)).await?;
        }
    }
    if args.spool > 0 {
        report.spool = Some(spool::measure(&mut cluster, &watch, &mut door, &events, args.spool).await?);
    }
    report.day = door.report().await?;
    drop(door);
    tokio::task::spawn_blocking(move || cluster.stop()).await?;
    if args.keep {
        eprintln!("kept: {}", folder.keep().display());
    }
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => println!("{}", report.text()),
    }
    Ok(())
}
