//! The arguments of `authority`, and of `keys void` and what goes with it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("whose").required(true).args(["key", "party"])))]
pub struct VoidArgs {
    /// Void what this key signed: key id, hex
    #[arg(long, value_name = "HEX")]
    pub key: Option<String>,
    /// Void what any key of this party signed: author id, hex
    #[arg(long, value_name = "HEX")]
    pub party: Option<String>,
    /// From here on: an entry, or a time (RFC 3339)
    #[arg(long, value_name = "INDEX|TIME")]
    pub from: String,
    /// Up to here, excluded: an entry, or a time; without it, up to the act itself
    #[arg(long, value_name = "INDEX|TIME")]
    pub until: Option<String>,
    /// Why: it stands in the log, public
    #[arg(long)]
    pub reason: String,
    /// Say how many records, patients and decisions are concerned; sign nothing
    #[arg(long, conflicts_with = "propose")]
    pub dry_run: bool,
    /// Write the act into this file, for other authorities to sign, instead of submitting it
    #[arg(long, value_name = "FILE")]
    pub propose: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ReinstateArgs {
    /// The entry with the act that voided
    #[arg(long, value_name = "INDEX")]
    pub act: u64,
    /// Why: it stands in the log, public
    #[arg(long)]
    pub reason: String,
    /// Write the act into this file, for other authorities to sign, instead of submitting it
    #[arg(long, value_name = "FILE")]
    pub propose: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct VoidedArgs {
    /// The decisions to review of the act at this entry; without it, the acts
    #[arg(long, value_name = "INDEX")]
    pub act: Option<u64>,
    /// As JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum AuthorityCommand {
    /// Say how many authorities sign what touches many: voiding, parties and whom they vouch for, issuers, documents,
    /// erasing, nodes, the rule itself
    Rule {
        /// How many signatures such an act needs
        #[arg(long, value_name = "M")]
        needed: u32,
        /// Whose count: author ids, hex, comma-separated
        #[arg(long, value_delimiter = ',', required = true, value_name = "HEX")]
        authorities: Vec<String>,
        /// Guarded, unless --guard names what is
        #[arg(long, hide = true)]
        nodes: bool,
        /// The same
        #[arg(long, hide = true)]
        erasing: bool,
        /// Guard only this, and what is always guarded: the sum of 1 voiding, 2 authorities, 4 nodes, 8 erasing a patient, 16
        /// parties, 32 documents, 64 single patients. Below feature level 4 at most 15; from level 5 on a rule guards all.
        /// Without it: all that the log knows
        #[arg(long, value_name = "BITS")]
        guard: Option<u32>,
        /// Write the act into this file, for other authorities to sign, instead of submitting it
        #[arg(long, value_name = "FILE")]
        propose: Option<PathBuf>,
    },
    /// Set how many counted records a party may sign in one day: those that take access away, end spaces or
    /// memberships, or embargo, and permissions and memberships on another's word than the patient's
    Limit {
        /// Author id of the party, hex
        #[arg(long, value_name = "HEX")]
        party: String,
        /// How many, at least 1
        #[arg(long, value_name = "N")]
        records: u32,
        /// Write the act into this file, for other authorities to sign, instead of submitting it
        #[arg(long, value_name = "FILE")]
        propose: Option<PathBuf>,
    },
    /// Write any act into a file, for other authorities to sign
    Propose {
        /// The act as JSON (`act` of `sillage schema record`); `-` is standard input
        #[arg(long, value_name = "FILE")]
        act: PathBuf,
        /// New file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Show a proposed act, and sign it with the profile's `authority_key`
    Sign {
        /// The proposal; the signature is added to it
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Days for which the signature holds, at most 30
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=30), value_name = "N")]
        days: u64,
        /// Of a record about a patient: about whom, so that the tag is held against it
        #[arg(long, value_name = "INS")]
        patient: Option<String>,
        /// OID of the INS
        #[arg(long, value_name = "OID", requires = "patient")]
        oid: Option<String>,
    },
    /// Show a proposed act and who signed it
    Show {
        /// The proposal
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Submit a proposed act with the signatures that it carries; the submitter signs too
    Submit {
        /// The proposal
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}
