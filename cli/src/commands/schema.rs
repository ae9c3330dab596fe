//! `schema`: descriptions of formats.

use clap::Subcommand;
use sillage_client::error::ClientError;

use crate::{Ended, output};

#[derive(Debug, Subcommand)]
pub enum SchemaCommand {
    /// JSON Schema of a record line
    Record,
}

pub fn run(command: &SchemaCommand) -> Result<Ended, ClientError> {
    let SchemaCommand::Record = command;
    output::line(&format!("{:#}", sillage_rules::line::schema()))?;
    Ok(Ended::Done)
}
