//! The arguments that several commands share, and how each is read ([`reading`]).

pub(crate) mod reading;

use clap::Args;
use sillage_client::error::ClientError;
use sillage_words::Lang;

use crate::lang::{langs, of_environment};

/// The patient.
#[derive(Debug, Clone, Args)]
pub struct Whose {
    /// INS of the patient, 15 characters
    #[arg(long, value_name = "INS")]
    pub patient: String,
    /// OID of the INS; without it 1.2.250.1.213.1.4.8 (NIR)
    #[arg(long, value_name = "OID")]
    pub oid: Option<String>,
    /// The patient and the documents are meant, also where nothing is on record under them
    #[arg(long)]
    pub force: bool,
}

/// The actor, and how they proved who they are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Who acts")]
pub struct By {
    /// `self` (the patient; also without it), an RPPS number, or `system|id`
    #[arg(long, value_name = "ID")]
    pub actor: Option<String>,
    /// Profession of the actor, a token such as physician
    #[arg(long, value_name = "TOKEN")]
    pub actor_profession: Option<String>,
    /// Structure for which the actor acts: FINESS or another id
    #[arg(long, value_name = "ID")]
    pub actor_organisation: Option<String>,
    /// The actor as a person reads it
    #[arg(long, value_name = "TEXT")]
    pub actor_label: Option<String>,
    /// Issuer that established the actor's identity; without it, as the profile's [auth] says
    #[arg(long, value_name = "TEXT")]
    pub issuer: Option<String>,
    /// By what means; without it, as the profile's [auth] says
    #[arg(long, value_name = "TEXT")]
    pub method: Option<String>,
    /// eIDAS level: low, substantial or high; without it, as the profile's [auth] says
    #[arg(long, value_name = "LEVEL", value_parser = ["low", "substantial", "high"])]
    pub eidas_level: Option<String>,
}

/// How a change is made and shown.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = None)]
pub struct How {
    /// Show who gains and who loses what, and record nothing
    #[arg(long)]
    pub dry_run: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Language of the text
    #[arg(long, value_parser = langs(), default_value_t = of_environment())]
    pub lang: Lang,
}

/// A change to what holds for one patient.
#[derive(Debug, Clone, Args)]
pub struct ChangeArgs {
    #[command(flatten)]
    pub whose: Whose,
    /// Record it under the secret tag, which representatives don't see
    #[arg(long)]
    pub secret: bool,
    #[command(flatten)]
    pub by: By,
    #[command(flatten)]
    pub how: How,
}

/// Which documents.
#[derive(Debug, Clone, Args)]
pub struct Items {
    /// Ids, comma-separated, or a JSON file with `[{"id", "category", "labels", "depositor"}]`
    #[arg(long, required = true, value_name = "F|I,...")]
    pub items: String,
}

/// As of when.
#[derive(Debug, Clone, Args)]
pub struct AsOf {
    /// As the log was when it had this many entries, or at this time (RFC 3339, or a date: its midnight in Paris)
    #[arg(long, value_name = "INDEX|TIME")]
    pub as_of: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct StateArgs {
    #[command(flatten)]
    pub whose: Whose,
    #[command(flatten)]
    pub as_of: AsOf,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Language of the text
    #[arg(long, value_parser = langs(), default_value_t = of_environment())]
    pub lang: Lang,
}

/// A value of an option.
///
/// # Errors
/// When the text isn't one; the error names the option.
pub(crate) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(option: &str, text: &str) -> Result<T, ClientError> {
    text.parse().map_err(|error| ClientError::Usage(format!("{option}: {error}")))
}
