//! The command line of limits: masks, blocks, oppositions, embargoes, secrecy, and the space itself.

use clap::{Args, Subcommand};

use super::consent_args::{ChangeArgs, Items};

#[derive(Debug, Args)]
pub struct ItemsArgs {
    #[command(flatten)]
    pub items: Items,
    #[command(flatten)]
    pub change: ChangeArgs,
}

#[derive(Debug, Args)]
pub struct ProfessionalArgs {
    /// RPPS number, or `system|id`
    #[arg(long, value_name = "ID")]
    pub professional: String,
    #[command(flatten)]
    pub change: ChangeArgs,
}

#[derive(Debug, Subcommand)]
pub enum OpposeCommand {
    /// The health space itself: nobody reads or writes any more
    Space {
        /// Take the opposition back
        #[arg(long)]
        lift: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Emergency access
    Emergency {
        /// In which cases: INCAPACITY, SAMU, FIRE
        #[arg(long, value_delimiter = ',', required = true, value_name = "CASE,...")]
        case: Vec<String>,
        /// Take the opposition back
        #[arg(long)]
        lift: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// The deposits of a source
    Feed {
        /// An actor, a structure, a profession, or `professionals`: all of them
        #[arg(long, value_name = "ID")]
        source: String,
        /// Of which category; without it, of any
        #[arg(long, value_name = "C")]
        category: Option<String>,
        /// On what ground
        #[arg(long, value_name = "TEXT")]
        ground: Option<String>,
        /// Take the opposition back: same source and category
        #[arg(long)]
        lift: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum SpaceCommand {
    /// Open it (again)
    Open(ChangeArgs),
    /// Close it
    Close(ChangeArgs),
}

#[derive(Debug, Subcommand)]
pub enum EmbargoCommand {
    /// Hold documents back from the patient until a person has explained them (for their depositor)
    Set {
        #[command(flatten)]
        items: Items,
        /// At the latest until this time, or the end of this day in Paris; without it, until they are released
        #[arg(long, value_name = "T")]
        until: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Show them to the patient
    Release(ItemsArgs),
}

#[derive(Debug, Subcommand)]
pub enum SecrecyCommand {
    /// Keep documents from a minor's representatives: for what comes later
    Set(ItemsArgs),
    /// Show them to representatives again
    Lift(ItemsArgs),
}
