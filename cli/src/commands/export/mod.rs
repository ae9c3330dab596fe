//! `export`: a patient's trace for other systems, or the log as static files.

mod patient;
mod tiles;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sillage_client::error::ClientError;

use self::patient::ExportPatientArgs;
use crate::{Context, Ended};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct ExportArgs {
    #[command(subcommand)]
    pub command: Option<ExportCommand>,
    #[command(flatten)]
    pub patient: Option<ExportPatientArgs>,
}

#[derive(Debug, Subcommand)]
pub enum ExportCommand {
    /// Checkpoint and tiles as c2sp.org/tlog-tiles lays them out; files that are there and right are kept
    Tiles {
        /// Where to: made if it isn't there, brought up to date if it is
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Also the entries, in bundles (role auditor; each reading is on record): linkable health data
        #[arg(long)]
        entries: bool,
    },
}

pub async fn run(context: &Context, args: ExportArgs) -> Result<Ended, ClientError> {
    match (args.command, args.patient) {
        (Some(command), _) => tiles::run(context, command).await,
        (None, Some(args)) => patient::run(context, args).await,
        (None, None) => {
            let why = "export what? `tiles DIR`, or --patient INS --format fhir|json|csv --out F";
            Err(ClientError::Usage(why.to_owned()))
        }
    }
}
