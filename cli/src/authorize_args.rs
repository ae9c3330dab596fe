//! The command line of `authorize`.

use super::lang::{langs, of_environment};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::consent_args::By;
use sillage_words::Lang;

/// The actor. Unlike where something is changed, nobody is assumed.
const ACTOR_HELP: &str = "`self` (the patient), an RPPS number, or `system|id`";

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    mut_arg("actor", |arg| arg.required_unless_present("bulk").help(ACTOR_HELP))
)]
pub struct AuthorizeArgs {
    #[command(subcommand)]
    pub command: Option<AuthorizeCommand>,
    /// INS of the patient, 15 characters
    #[arg(long, value_name = "INS", required_unless_present = "bulk")]
    pub patient: Option<String>,
    /// OID of the INS; without it 1.2.250.1.213.1.4.8 (NIR)
    #[arg(long, value_name = "OID", requires = "patient")]
    pub oid: Option<String>,
    /// read, search, write, update, download, print, export or delete
    #[arg(long, value_name = "A", required_unless_present = "bulk")]
    pub action: Option<String>,
    /// Why: TREAT, BTG, PATRQT, HRESCH, …
    #[arg(long, value_name = "P", required_unless_present = "bulk")]
    pub purpose: Option<String>,
    /// Ids, comma-separated, or a JSON file with `[{"id", "category", "labels", "depositor"}]`
    #[arg(long, value_name = "F|I,...", required_unless_present = "bulk")]
    pub items: Option<String>,
    /// Instead of one request, up to 64 of them under one signature: one JSON object a line, `{"actor": {"system", "id",
    /// "role", …}, "patient": {"ins", "oid"}, "action", "purpose", "items": [{"id", …}]}`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["actor", "patient", "action", "purpose", "items", "out"])]
    pub bulk: Option<PathBuf>,
    /// Write the signed receipt here: whoever holds it can be given the documents until it expires
    #[arg(long, value_name = "F.sillage-receipt")]
    pub out: Option<PathBuf>,
    /// As JSON, one object for each request; `receipt_file` is what --out writes, in hex
    #[arg(long)]
    pub json: bool,
    /// Language of the text
    #[arg(long, value_parser = langs(), default_value_t = of_environment())]
    pub lang: Lang,
    #[command(flatten)]
    pub by: By,
}

#[derive(Debug, Subcommand)]
pub enum AuthorizeCommand {
    /// No receipt, no data: check whether a record store may give these documents to this actor. Exit 1: it may not
    Check(CheckArgs),
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("whose").required(true).args(["patient", "tag"])))]
pub struct CheckArgs {
    /// The receipt that the actor shows
    #[arg(long, value_name = "F.sillage-receipt")]
    pub receipt: PathBuf,
    /// The actor who asks for the data
    #[arg(long, value_name = "ID")]
    pub actor: String,
    /// INS of the patient: resolved by the ledger
    #[arg(long, value_name = "INS")]
    pub patient: Option<String>,
    /// OID of the INS; without it 1.2.250.1.213.1.4.8 (NIR)
    #[arg(long, value_name = "OID", requires = "patient")]
    pub oid: Option<String>,
    /// The patient's tag, hex, where the store knows it: then nothing is asked of the ledger; repeatable
    #[arg(long, value_name = "HEX")]
    pub tag: Vec<String>,
    /// The action; without it, the one in the receipt
    #[arg(long, value_name = "A")]
    pub action: Option<String>,
    /// With which documents: all of them must be permitted
    #[arg(long, value_delimiter = ',', required = true, value_name = "I,...")]
    pub items: Vec<String>,
    /// Whose signatures count (c2sp.org/tlog-policy); without it, the nodes of the profile's log
    #[arg(long, value_name = "F")]
    pub policy: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}
