//! The cost of decisions: a second and in waiting, beside a plain record, on a ledger of three nodes with everything on.
//!
//! [`ward`] puts directives on file; [`point`] asks, or records, for some seconds with so many clients; [`report`] prints
//! a table, Markdown or JSON. Under three minutes in all.

mod point;
mod report;
mod ward;

use clap::Parser;
use point::{Plan, Work};
use sillage_chaos::load::Link;
use sillage_chaos::load::machine::machine;
use sillage_chaos::load::status::Watch;
use sillage_chaos::process::{Cluster, Options, stop_asked};
use sillage_client::channel::Timeouts;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Measure decisions on a ledger of three nodes
#[derive(Debug, Parser)]
#[command(name = "sillage-decisions", version)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Print a Markdown table
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// How long each point is measured
    #[arg(long, default_value_t = 3)]
    pub seconds: u64,
    /// Clients, each with one request on its way
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16])]
    pub clients: Vec<usize>,
    /// Directives on file of the patient who is asked for
    #[arg(long, value_delimiter = ',', default_values_t = [1, 20, 1_000])]
    pub directives: Vec<usize>,
    /// Patients over whom requests are spread, and directives of each
    #[arg(long, default_value_t = 500)]
    pub patients: usize,
    /// Patients of a ward round: one request for each, under one signature
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub round: u64,
}

/// Why it stopped.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

const TIMEOUTS: Timeouts = Timeouts { attempt: Duration::from_secs(20), total: Duration::from_secs(40) };
/// Directives on file of each patient, where requests are spread over many.
const DIRECTIVES_EACH: usize = 20;

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
            eprintln!("sillage-decisions: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(args: &Args) -> Result<(), Error> {
    let folder = tempfile::Builder::new().prefix("sillage-decisions-").tempdir()?;
    let cluster =
        Cluster::start(folder.path(), Options { log_filter: "warn".to_owned(), ..Options::default() }).await?;
    let link = Link::open(&cluster.profile(), TIMEOUTS)?;
    let watch = Watch::new(&link)?;
    let mut report = report::Report { machine: machine(folder.path())?, ..report::Report::default() };
    let mut works = vec![Work { what: "append of one record".to_owned(), ..Work::default() }];
    for (number, directives) in args.directives.iter().enumerate() {
        eprintln!("one patient with {directives} directives");
        let patients = ward::patients(&link, 1 + number as u64, 1).await?;
        ward::fill(&link, &patients, *directives, &format!("ward.{number}")).await?;
        let what = format!("decision, {directives} on file");
        works.push(Work { what, patients: patients.into(), directives: *directives, each: 1 });
    }
    eprintln!("{} patients with {DIRECTIVES_EACH} directives each", args.patients);
    let patients: Arc<[_]> = ward::patients(&link, 0, args.patients).await?.into();
    ward::fill(&link, &patients, DIRECTIVES_EACH, "ward.many").await?;
    let spread = |what: String, each| Work { what, patients: Arc::clone(&patients), directives: DIRECTIVES_EACH, each };
    works.push(spread(format!("decision, {DIRECTIVES_EACH} on file, {} patients", args.patients), 1));
    works.push(spread(format!("round of {} patients", args.round), usize::try_from(args.round)?));
    for work in &works {
        for clients in &args.clients {
            eprintln!("{}, {clients} clients", work.what);
            let plan = Plan { clients: *clients, length: Duration::from_secs(args.seconds) };
            report.points.push(point::measure(&cluster, &link, &watch, work, plan).await?);
        }
    }
    tokio::task::spawn_blocking(move || cluster.stop()).await?;
    match (args.json, args.markdown) {
        (true, _) => println!("{}", serde_json::to_string_pretty(&report)?),
        (_, true) => println!("{}", report.markdown()),
        _ => println!("{}", report.text()),
    }
    Ok(())
}
