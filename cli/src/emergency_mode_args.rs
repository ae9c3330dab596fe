//! The command line of `emergency-mode`.

use super::lang::{langs, of_environment};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::consent_args::Whose;
use sillage_words::Lang;

/// The folder of an emergency.
#[derive(Debug, Clone, Args)]
pub struct Dir {
    /// Folder of the emergency: its log holds health data, only its owner may read it
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
}

#[derive(Debug, Subcommand)]
pub enum EmergencyModeCommand {
    /// While the ledger can be reached: keep what it knows of a patient, for when it can't
    Keep {
        #[command(flatten)]
        dir: Dir,
        #[command(flatten)]
        whose: Whose,
    },
    /// Begin: the ledger is out of reach. Needs no network, as all of these but `keep` and `hand-in`
    Start {
        #[command(flatten)]
        dir: Dir,
        /// Why, for the record: patients will read it
        #[arg(long)]
        reason: String,
        /// Local rules (TOML); without them, break-glass alone
        #[arg(long, value_name = "F")]
        rules: Option<PathBuf>,
    },
    /// Decide by the local rules; on disk before it is answered
    Decide(DecideArgs),
    /// Note what was done: accesses, movements, break-glass, one record a line as for `record`
    Record {
        #[command(flatten)]
        dir: Dir,
        /// The events; `-` is standard input
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Show what was done so far, and whether the log is whole
    Status {
        #[command(flatten)]
        dir: Dir,
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Language of the text
        #[arg(long, value_parser = langs(), default_value_t = of_environment())]
        lang: Lang,
    },
    /// The ledger is there again: put everything on record, each line once, and raise the alarm
    HandIn {
        #[command(flatten)]
        dir: Dir,
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Language of the text
        #[arg(long, value_parser = langs(), default_value_t = of_environment())]
        lang: Lang,
    },
}

#[derive(Debug, Args)]
pub struct DecideArgs {
    #[command(flatten)]
    pub dir: Dir,
    /// Who would do it: an RPPS number, or `system|id`
    #[arg(long, value_name = "ID")]
    pub actor: String,
    /// Profession of the actor
    #[arg(long, value_name = "TOKEN")]
    pub actor_profession: Option<String>,
    /// Structure for which the actor acts
    #[arg(long, value_name = "ID")]
    pub actor_organisation: Option<String>,
    /// The actor as a person reads it
    #[arg(long, value_name = "TEXT")]
    pub actor_label: Option<String>,
    #[command(flatten)]
    pub whose: Whose,
    /// read, search, download, …
    #[arg(long, value_name = "A")]
    pub action: String,
    /// Why; BTG for a break-glass, which must have been recorded
    #[arg(long, value_name = "P")]
    pub purpose: String,
    /// Ids, comma-separated, or a JSON file
    #[arg(long, value_name = "F|I,...")]
    pub items: String,
    /// These documents are secret from representatives; needed only where the establishment doesn't know it
    #[arg(long)]
    pub secret: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Language of the text
    #[arg(long, value_parser = langs(), default_value_t = of_environment())]
    pub lang: Lang,
}
