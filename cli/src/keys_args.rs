//! Arguments of `keys` that say what a party may do, and for whom.

use std::path::PathBuf;

use clap::Args;

pub const ROLES_HELP: &str = "\
Roles, each as small as a job; a service takes those that its job needs:

  recorder      records accesses, deposits and movements of its own structures
  decider       asks for decisions, for actors of its own structures
  emergency     opens, justifies and closes break-glasses of its own structures
  reviewer      reviews break-glasses that other parties opened
  consent-desk  signs what patients decide: space, consents, limits, people
  identity      links and corrects identities
  login         opens sessions of patients, each with the login that proves it
  portal        reads one patient and signs what they decide, under an open session
  tag           resolves identities to tags
  reader        reads traces on behalf of patients
  patient       reads its own trace and decides for itself (--patient)
  auditor       reads entries
  operator      sees status and metrics
  authority     registers parties, and all else that holds for everybody";

/// Whom a party vouches for.
#[derive(Debug, Default, Args)]
pub struct VouchedArgs {
    /// A structure for which its actors act: FINESS or another id, as records name it
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    pub structure: Vec<String>,
    /// Structures, one a line, `#` begins a remark
    #[arg(long, value_name = "FILE")]
    pub structures_file: Option<PathBuf>,
    /// The URI of a system that names its actors, such as urn:oid:1.2.250.1.71.4.2.1 (RPPS)
    #[arg(long, value_delimiter = ',', value_name = "URI")]
    pub actor_system: Vec<String>,
    /// An issuer of logins that it relays, as authentications name it
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub issuer: Vec<String>,
    /// Everybody: in a test log only
    #[arg(long)]
    pub vouch_for_all: bool,
}

#[derive(Debug, Args)]
pub struct RolesArgs {
    /// Author id of the party, hex
    #[arg(long, value_name = "HEX")]
    pub author: String,
    /// All roles that it has from now on; comma-separated, or named again
    #[arg(long = "role", alias = "roles", value_delimiter = ',', value_name = "ROLE")]
    pub roles: Vec<String>,
    /// End the party: it has no role from now on, and its key signs nothing
    #[arg(long, conflicts_with = "roles")]
    pub none: bool,
    /// Records a second; 0 = the log's default
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub quota: u32,
}

#[derive(Debug, Args)]
pub struct VouchingArgs {
    /// Author id of the party, hex
    #[arg(long, value_name = "HEX")]
    pub author: String,
    #[command(flatten)]
    pub names: VouchedArgs,
    /// It vouches for these no more, instead of from now on
    #[arg(long)]
    pub remove: bool,
}
