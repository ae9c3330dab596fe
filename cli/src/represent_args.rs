//! The command line of people: representatives, the care team, the attending doctor.

use clap::{Args, Subcommand};

use super::consent_args::{ChangeArgs, StateArgs};

#[derive(Debug, Subcommand)]
pub enum RepresentCommand {
    /// Register a representative; a parent or guardian with the authority's key
    Add(AddArgs),
    /// End a representation
    End {
        /// Who
        #[arg(long, value_name = "ID")]
        representative: String,
        /// Sign with the authority's key
        #[arg(long)]
        as_authority: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// The representatives, and what they may do
    List(StateArgs),
}

#[derive(Debug, Args)]
pub struct AddArgs {
    /// Who: a person's id, or `system|id`
    #[arg(long, value_name = "ID")]
    pub representative: String,
    /// PARENT, GUARDIAN, CAREGIVER or TRUSTED_PERSON
    #[arg(long, value_name = "RELATION")]
    pub relation: String,
    /// read, write, update, delete, export, consent; without it, read and consent of a parent or guardian
    #[arg(long, value_delimiter = ',', value_name = "P,...")]
    pub power: Vec<String>,
    /// From this time on; without it, from now on
    #[arg(long, value_name = "T")]
    pub from: Option<String>,
    /// Until this time, excluded; a parent or guardian represents for a time only
    #[arg(long, value_name = "T")]
    pub until: Option<String>,
    /// The powers of a trusted person hold already
    #[arg(long)]
    pub activated: bool,
    /// INS of the representative, if they are a patient: two patients never represent each other
    #[arg(long, value_name = "INS")]
    pub representative_ins: Option<String>,
    /// OID of that INS; without it 1.2.250.1.213.1.4.8 (NIR)
    #[arg(long, value_name = "OID", requires = "representative_ins")]
    pub representative_oid: Option<String>,
    #[command(flatten)]
    pub change: ChangeArgs,
}

#[derive(Debug, Subcommand)]
pub enum TeamCommand {
    /// Join the care team
    Join {
        /// Who joins: RPPS number, or `system|id`; without it, who acts
        #[arg(long, value_name = "ID")]
        professional: Option<String>,
        /// Until this time, excluded
        #[arg(long, value_name = "T")]
        until: String,
        /// The team's name, or how the membership came about
        #[arg(long, value_name = "TOKEN")]
        origin: Option<String>,
        /// Only while acting for this structure
        #[arg(long, value_name = "ID")]
        organisation: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Leave it
    Leave {
        /// Who leaves; without it, who acts
        #[arg(long, value_name = "ID")]
        professional: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum AttendingCommand {
    /// Declare the attending doctor
    Declare(super::limits_args::ProfessionalArgs),
    /// End the declaration
    End(super::limits_args::ProfessionalArgs),
}

#[derive(Debug, Subcommand)]
pub enum ActorCommand {
    /// Nobody decides in favour of this actor any more (the profile needs `authority_key`)
    Revoke {
        /// RPPS number, or `system|id`; only its hash goes on record
        #[arg(long, value_name = "ID")]
        actor: String,
        /// Why, for the record
        #[arg(long)]
        reason: String,
    },
}
