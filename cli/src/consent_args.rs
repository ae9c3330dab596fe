//! What the commands on consent share on the command line, and `consent` itself.

use super::lang::{langs, of_environment};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use sillage_words::Lang;

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

/// Who acts, and how they proved who they are.
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
    /// Who established the actor's identity; without it, as the profile's [auth] says
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

#[derive(Debug, Subcommand)]
pub enum ConsentCommand {
    /// Permit somebody something
    Grant(DirectiveArgs),
    /// Deny somebody something: stands above every permission
    Deny(DirectiveArgs),
    /// Withdraw a directive
    Revoke {
        /// Id of the directive, as `list` shows it
        #[arg(value_name = "CONSENT")]
        id: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Show what is in force: directives, limits, people, emergency accesses
    List(StateArgs),
    /// Show everything that was ever decided, with ends and reasons
    History(StateArgs),
    /// Show who can open what, right now, and why
    Effective(StateArgs),
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

#[derive(Debug, Clone, Args)]
pub struct DirectiveArgs {
    #[command(flatten)]
    pub change: ChangeArgs,
    #[command(flatten)]
    pub grantee: GranteeArgs,
    /// The actions: read, search, write, update, download, print, export, delete; a permission names them
    #[arg(long, help_heading = "What", value_delimiter = ',', value_name = "A,...")]
    pub action: Vec<String>,
    /// Only documents of these categories
    #[arg(long, help_heading = "What", value_delimiter = ',', value_name = "C,...")]
    pub category: Vec<String>,
    /// Only documents with one of these labels
    #[arg(long, help_heading = "What", value_delimiter = ',', value_name = "L,...")]
    pub label: Vec<String>,
    /// Only these documents
    #[arg(long, help_heading = "What", value_delimiter = ',', value_name = "I,...")]
    pub item: Vec<String>,
    /// Only for these purposes; a permission that names none is for care (TREAT)
    #[arg(long, help_heading = "What", value_delimiter = ',', value_name = "P,...")]
    pub purpose: Vec<String>,
    /// From this time on (RFC 3339, or a date: its midnight in Paris); without it, from now on
    #[arg(long, help_heading = "What", value_name = "T")]
    pub from: Option<String>,
    /// Until this time, excluded, or until the end of this day in Paris; without it, until it is withdrawn
    #[arg(long, help_heading = "What", value_name = "T")]
    pub until: Option<String>,
    /// Id of the directive that this one replaces
    #[arg(long, help_heading = "What", value_name = "CONSENT")]
    pub supersedes: Option<String>,
    /// An exception, as JSON: `{"effect": "deny", "labels": ["PSY"]}`; repeatable
    #[arg(long, help_heading = "What", value_name = "JSON")]
    pub except: Vec<String>,
    /// Id of the directive; without it, one is made
    #[arg(long, help_heading = "What", value_name = "ID")]
    pub id: Option<String>,
    #[command(flatten)]
    pub collected: CollectedArgs,
}

/// To whom. Several of them: all must match.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "To whom")]
pub struct GranteeArgs {
    /// A professional: RPPS number, or `system|id`
    #[arg(long, value_name = "ID")]
    pub professional: Option<String>,
    /// A person
    #[arg(long, value_name = "ID")]
    pub person: Option<String>,
    /// Everybody who acts for this structure
    #[arg(long, value_name = "ID")]
    pub organisation: Option<String>,
    /// Everybody with this profession
    #[arg(long, value_name = "TOKEN")]
    pub profession: Option<String>,
    /// The care team with this origin
    #[arg(long, value_name = "TOKEN")]
    pub team: Option<String>,
    /// An application of the catalogue, `id` or `id@version`
    #[arg(long, value_name = "ID")]
    pub app: Option<String>,
    /// A research project
    #[arg(long, value_name = "ID")]
    pub project: Option<String>,
    /// Everybody; denials only
    #[arg(long, conflicts_with_all = ["professional", "person", "organisation", "profession", "team", "app", "project"])]
    pub anyone: bool,
}

/// How a consent was collected, where somebody else than the patient types it in.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Collected on the patient's behalf")]
pub struct CollectedArgs {
    /// Who collected it
    #[arg(long, value_name = "ID", requires_all = ["capacity", "collected_by", "evidence"])]
    pub collector: Option<String>,
    /// As what, a token such as RECEPTION
    #[arg(long, value_name = "TOKEN", requires = "collector")]
    pub capacity: Option<String>,
    /// How, such as a paper form
    #[arg(long = "collection-method", value_name = "TEXT", requires = "collector")]
    pub collected_by: Option<String>,
    /// The evidence, a file that the collector keeps: its SHA-256 goes on record
    #[arg(long, value_name = "FILE", requires = "collector")]
    pub evidence: Option<PathBuf>,
}
