//! The command line of `sillage-portal`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::{init, serve};

/// The patient's door to a Sillage log: pages that show who accessed, who may, and let the patient decide.
#[derive(Debug, Parser)]
#[command(name = "sillage-portal", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the folder of a portal for development: two configurations and a key. Test logs and loopback only.
    Init(InitArgs),
    /// Serve the pages, until SIGTERM or Ctrl-C.
    Serve(ConfigArgs),
    /// Log people in, until SIGTERM or Ctrl-C.
    Login(ConfigArgs),
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration of this process.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct InitArgs {
    /// Folder for the files; what is there is never overwritten.
    #[arg(long)]
    dir: PathBuf,
    /// The profile of the party of the role `portal`.
    #[arg(long, value_name = "FILE")]
    profile: PathBuf,
    /// The profile of the party of the role `login`.
    #[arg(long, value_name = "FILE")]
    login_profile: PathBuf,
    /// The seed of the test log's issuer of logins.
    #[arg(long, value_name = "FILE")]
    test_issuer: PathBuf,
    /// Where the pages are served; the login has the next two ports.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8450")]
    listen: SocketAddr,
    /// A patient to choose from, as `NAME=INS,OID` or `NAME=INS,OID,REPRESENTATIVE`; repeatable.
    #[arg(long = "patient", value_name = "NAME=INS,OID")]
    patients: Vec<String>,
}

/// Reads the arguments and does what they say. An error is one sentence on the standard error, and exit code 1; arguments that can't be
/// understood are exit code 2.
pub fn run() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Init(args) => init(args).map_err(|error| error.to_string()),
        Command::Serve(args) => serve::pages(&args.config).map_err(|error| error.to_string()),
        Command::Login(args) => serve::logins(&args.config).map_err(|error| error.to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("sillage-portal: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn init(args: InitArgs) -> Result<(), sillage_client::ClientError> {
    let InitArgs { dir, profile, login_profile, test_issuer, listen, patients } = args;
    let made = init::create(&init::Plan { dir, profile, login_profile, test_issuer, listen, patients })?;
    // Where standard output is closed, no one reads it: that is no failure.
    let _ = writeln!(
        std::io::stdout(),
        "{}\nstart it with: sillage-portal login --config {} & sillage-portal serve --config {}",
        made.base,
        made.login.display(),
        made.portal.display()
    );
    Ok(())
}
