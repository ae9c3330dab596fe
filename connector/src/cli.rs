//! The command line of `sillage-connector`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use sillage_client::ClientError;
use sillage_client::day_report::{SignedReport, said};
use sillage_proof::keys::AuthorId;

use sillage_words::Lang;

use crate::config::Config;
use crate::connector::{Base, open_index};
use crate::index::Index;
use crate::quarantine::command::{self as quarantine, QuarantineCommand};
use crate::recorder::AUTHOR_NOTE;
use crate::{doors, init, report, serve};

/// The establishment's door to a Sillage log: FHIR, syslog and HL7 v2 in, signed batches out.
#[derive(Debug, Parser)]
#[command(name = "sillage-connector", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the folder of a connector: its configuration and its key.
    Init(InitArgs),
    /// Serve until SIGTERM or Ctrl-C.
    Serve(ConfigArgs),
    /// Say what came on one day, and what became of it, for each source.
    Report(ReportArgs),
    /// See to what was refused.
    Quarantine(QuarantineArgs),
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The connector's configuration, as `init` wrote it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct InitArgs {
    /// Folder for the files; what is there is never overwritten.
    #[arg(long)]
    dir: PathBuf,
    /// The profile of the connector's party: it signs what is recorded.
    #[arg(long, value_name = "FILE")]
    profile: PathBuf,
    /// Where the FHIR server listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// The address by which clients know it, such as https://connector.example/fhir.
    #[arg(long, value_name = "URL")]
    base: Option<String>,
    /// For development: make a bearer token. Test logs and loopback only.
    #[arg(long)]
    dev: bool,
}

#[derive(Debug, Args)]
struct ReportArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The day (UTC), such as 2026-11-30; without it, today so far.
    #[arg(long, value_name = "DATE")]
    day: Option<String>,
    /// Print the signed report, which `sillage verify FILE` checks.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct QuarantineArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: QuarantineCommand,
}

/// Reads the arguments and does what they say. An error is one sentence on the standard error, and exit code 1;
/// arguments that can't be understood are exit code 2.
pub fn run() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Init(args) => init(args).map_err(|error| error.to_string()),
        Command::Serve(args) => serve::run(&args.config).map_err(|error| error.to_string()),
        Command::Report(args) => report(&args),
        Command::Quarantine(args) => in_quarantine(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("sillage-connector: {sentence}");
            ExitCode::FAILURE
        }
    }
}

/// French where the environment asks for it, as POSIX orders the variables; else English.
fn of_environment() -> Lang {
    let mut said = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok());
    let said = said.find(|value| !value.is_empty()).unwrap_or_default();
    if said.starts_with("fr") { Lang::Fr } else { Lang::En }
}

/// Prints a result. Where standard output is closed, no one reads it: that is no failure.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn init(args: InitArgs) -> Result<(), ClientError> {
    let InitArgs { dir, profile, listen, base, dev } = args;
    let made = init::create(&init::Plan { dir, profile, listen, base, dev })?;
    say(&format!("{}: FHIR at {}", made.config.display(), made.base));
    if let Some(token) = made.token {
        say(&format!("token for development: {token}"));
    }
    say(&format!("start it with: sillage-connector serve --config {}", made.config.display()));
    Ok(())
}

fn load(path: &Path) -> Result<(Config, Base), String> {
    let config = Config::load(path).map_err(|error| error.to_string())?;
    let base = Base::load(&config).map_err(|error| error.to_string())?;
    Ok((config, base))
}

fn report(args: &ReportArgs) -> Result<(), String> {
    let (config, base) = load(&args.config.config)?;
    let day = match &args.day {
        Some(day) => report::day_of(day).map_err(|error| error.to_string())?,
        None => report::today(),
    };
    let index = open_index(&config, &base.key).map_err(|error| error.to_string())?;
    let key = base.profile.author_signing_key().map_err(|error| error.to_string())?;
    let author = author(&index)?;
    let report = report::make(&config, &index, &base.profile.origin, author, day).map_err(|error| error.to_string())?;
    match args.json {
        false => said(&report, of_environment()).iter().for_each(|line| say(line)),
        true => say(SignedReport::sign(&report, &key).map_err(|error| error.to_string())?.to_text().trim_end()),
    }
    Ok(())
}

/// The author id of the connector's party, as the ledger said it when the connector last reached it.
fn author(index: &Index) -> Result<AuthorId, String> {
    let noted = index.note(AUTHOR_NOTE).map_err(|error| error.to_string())?;
    let author = noted.and_then(|hex| AuthorId::from_slice(&hex::decode(hex).ok()?).ok());
    author.ok_or_else(|| {
        "this connector has never reached its ledger: start it first (`sillage-connector serve`)".to_owned()
    })
}

fn in_quarantine(args: &QuarantineArgs) -> Result<(), String> {
    let (config, base) = load(&args.config.config)?;
    let quarantine = doors::quarantine(&config, &base.key).map_err(|error| error.to_string())?;
    let mut out = std::io::stdout().lock();
    quarantine::run(&args.command, &quarantine, &mut out).map_err(|error| error.to_string())
}
