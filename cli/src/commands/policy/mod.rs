//! `sillage policy test`: decision scenarios, offline.

mod publish;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use sillage_client::error::ClientError;
use sillage_scenario::Scenario;
use sillage_scenario::run::{Run, run as run_stories};

use self::publish::PolicyPublishArgs;
use crate::{Context, Ended, output};

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Run decision scenarios offline, through the code that decides in the ledger (docs/scenarios.md); exit code 1 if
    /// an outcome differs from the file
    Test(PolicyTestArgs),
    /// Publish the policy, the matrix or the catalogue: it replaces the one before (the profile needs `authority_key`)
    Publish(PolicyPublishArgs),
}

pub async fn run(context: &Context, command: PolicyCommand) -> Result<Ended, ClientError> {
    match command {
        PolicyCommand::Test(args) => test(&args),
        PolicyCommand::Publish(args) => publish::run(context, &args).await,
    }
}

/// The largest scenario file: 4 MiB.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

#[derive(Debug, Args)]
pub struct PolicyTestArgs {
    /// Scenario files, TOML
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Runs every file and says of each request what came out.
fn test(args: &PolicyTestArgs) -> Result<Ended, ClientError> {
    // All files are read before the first is run: a typing error isn't found after a page of results.
    let scenarios = read(args)?;
    let (mut runs, mut mismatches) = (Vec::new(), 0);
    for (path, scenario) in &scenarios {
        let run = run_stories(scenario).map_err(|why| ClientError::Usage(format!("{}: {why}", path.display())))?;
        print(path, &run)?;
        mismatches += run.mismatches();
        runs.push(run);
    }
    output::line(&summary(&runs, mismatches))?;
    Ok(if mismatches == 0 { Ended::Done } else { Ended::CheckFailed })
}

fn read(args: &PolicyTestArgs) -> Result<Vec<(&Path, Scenario)>, ClientError> {
    let (mut scenarios, mut errors) = (Vec::new(), Vec::new());
    for path in &args.files {
        let size = std::fs::metadata(path).map_err(|error| ClientError::reading(path, error))?.len();
        if size > FILE_BYTES_MAX {
            return Err(ClientError::reading(path, format!("{size} bytes, and at most {FILE_BYTES_MAX}")));
        }
        let source = std::fs::read_to_string(path).map_err(|error| ClientError::reading(path, error))?;
        match Scenario::parse(&source) {
            Ok(scenario) => scenarios.push((path.as_path(), scenario)),
            Err(wrong) => {
                errors.extend(
                    wrong.into_iter().map(|error| format!("{}:{}: {}", path.display(), error.line, error.message)),
                );
            }
        }
    }
    match errors.is_empty() {
        true => Ok(scenarios),
        false => Err(ClientError::Usage(format!("not a scenario:\n{}", errors.join("\n")))),
    }
}

/// One line for each request, and for each record that came out otherwise than the file says.
fn print(path: &Path, run: &Run) -> Result<(), ClientError> {
    for line in &run.lines {
        let verdict = if line.mismatches.is_empty() { "ok  " } else { "FAIL" };
        let why: String = line.mismatches.iter().map(|mismatch| format!("; {mismatch}")).collect();
        output::line(&format!("{verdict} {}:{} {} {}{why}", path.display(), line.line, line.at, line.text))?;
    }
    Ok(())
}

fn summary(runs: &[Run], mismatches: usize) -> String {
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let requests = runs.iter().map(|run| run.requests).sum();
    let refused = runs.iter().map(|run| run.refused).sum();
    let done = [
        count(runs.len(), "scenario"),
        count(requests, "request"),
        format!("{} refused as expected", count(refused, "record")),
    ];
    let verdict = match mismatches {
        0 => "everything as expected".to_owned(),
        number => count(number, "mismatch").replace("mismatchs", "mismatches"),
    };
    format!("{}: {verdict}", done.join(", "))
}
