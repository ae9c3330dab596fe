//! The command line, word for word: scripts rely on it. Each command has its own file, with its arguments in front of its work; a folder
//! where it has several. [`Cli`] is the whole, [`run`] the way to each, [`help`] what people read of it.

mod audit;
mod authority;
mod authorize;
mod break_glass;
mod checkpoint;
mod cluster;
mod consent;
mod contest;
mod day;
mod emergency_mode;
mod entry;
mod erase;
mod export;
pub mod help;
mod identity;
mod import;
mod keys;
mod limits;
mod policy;
mod prove;
mod record;
mod represent;
mod schema;
mod shell;
mod sources;
mod stream;
mod trace;
mod verify;
mod witness;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use sillage_client::error::ClientError;
use sillage_rules::kind::Kind;
use sillage_words::Lang;

use self::audit::AuditArgs;
use self::authority::AuthorityCommand;
use self::authorize::AuthorizeArgs;
use self::break_glass::BreakGlassCommand;
use self::checkpoint::CheckpointArgs;
use self::cluster::ClusterCommand;
use self::consent::ConsentCommand;
use self::contest::ContestCommand;
use self::emergency_mode::EmergencyModeCommand;
use self::entry::EntryArgs;
use self::erase::EraseArgs;
use self::export::ExportArgs;
use self::identity::IdentityCommand;
use self::import::ImportArgs;
use self::keys::KeysCommand;
use self::limits::{EmbargoCommand, ItemsArgs, OpposeCommand, ProfessionalArgs, SecrecyCommand, SpaceCommand};
use self::policy::PolicyCommand;
use self::prove::ProveCommand;
use self::record::RecordArgs;
use self::represent::{ActorCommand, AttendingCommand, RepresentCommand, TeamCommand};
use self::schema::SchemaCommand;
use self::shell::{CompletionsArgs, ManArgs};
use self::sources::SourcesCommand;
use self::stream::StreamCommand;
use self::trace::TraceArgs;
use self::verify::VerifyArgs;
use self::witness::WitnessCommand;
use crate::lang::langs;
use crate::{Context, Ended};

/// Records what happens to health data, shows a patient its trace, and checks both against signed checkpoints.
#[derive(Debug, Parser)]
#[command(name = "sillage", version, arg_required_else_help = true, subcommand_required = true)]
pub struct Cli {
    /// Profile: endpoints, certificates, keys (`sillage-node dev` writes DIR/sillage.toml)
    #[arg(long, global = true, env = "SILLAGE_PROFILE", value_name = "FILE")]
    pub profile: Option<PathBuf>,
    /// Seconds to keep trying before giving up
    #[arg(long, global = true, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    pub timeout: u64,
    /// Write what an authority would sign into this new file, for other authorities to sign, instead of submitting it
    #[arg(long, global = true, value_name = "FILE")]
    pub propose: Option<PathBuf>,
    /// Language of errors, remarks and texts; without it, what LC_ALL, LC_MESSAGES or LANG say
    #[arg(long, global = true, value_parser = langs(), value_name = "LANG")]
    pub lang: Option<Lang>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Record events: NDJSON, one record a line
    Record(RecordArgs),
    /// Import audit events and consents of other systems
    Import(ImportArgs),
    /// Show who accessed a patient's data, newest first
    Trace(TraceArgs),
    /// Show one entry of the log
    Entry(EntryArgs),
    /// Show the newest checkpoint, after checking its signatures
    Checkpoint(CheckpointArgs),
    /// Replay the log and check everything that it says (role auditor)
    Audit(AuditArgs),
    /// Cosign checkpoints of any C2SP log, so that none of them can show two histories
    #[command(subcommand)]
    Witness(WitnessCommand),
    /// Write a patient's trace for other systems, or the log as static files
    Export(ExportArgs),
    /// Make proofs that anyone can check offline
    #[command(subcommand)]
    Prove(ProveCommand),
    /// Check proofs and checkpoints offline
    Verify(VerifyArgs),
    /// The nodes
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// The author's streams
    #[command(subcommand)]
    Stream(StreamCommand),
    /// Descriptions of formats
    #[command(subcommand)]
    Schema(SchemaCommand),
    /// The rules by which the ledger decides
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Erase the content of records; the entries and every proof stay (the profile needs `authority_key`)
    Erase(EraseArgs),
    /// Keys of parties, of the nodes and of the log: acts of the authority
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Acts that several authorities sign, and limits a day
    #[command(subcommand)]
    Authority(AuthorityCommand),
    /// Links and corrections of identities, which a second party confirms
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// Ask "may this actor do this with these documents?": the answer is on record, and signed
    Authorize(AuthorizeArgs),
    /// Permissions and denials of a patient, and who can open what because of them
    #[command(subcommand)]
    Consent(Box<ConsentCommand>),
    /// Hide documents from everybody but their depositor
    Mask(ItemsArgs),
    /// Show masked documents again
    Unmask(ItemsArgs),
    /// Block a professional by name
    Block(ProfessionalArgs),
    /// Unblock a professional
    Unblock(ProfessionalArgs),
    /// Oppose the health space, emergency access, or the deposits of a source
    #[command(subcommand)]
    Oppose(OpposeCommand),
    /// The health space itself
    #[command(subcommand)]
    Space(SpaceCommand),
    /// Documents that a person explains to the patient before they are shown
    #[command(subcommand)]
    Embargo(EmbargoCommand),
    /// A minor's secrets from representatives
    #[command(subcommand)]
    Secrecy(SecrecyCommand),
    /// Representatives
    #[command(subcommand)]
    Represent(RepresentCommand),
    /// The care team
    #[command(subcommand)]
    Team(TeamCommand),
    /// The attending doctor
    #[command(subcommand)]
    Attending(AttendingCommand),
    /// Emergency access: opened, justified, closed, reviewed
    #[command(subcommand)]
    BreakGlass(BreakGlassCommand),
    /// What patients ask of this party about a line of their trace, and its answers
    #[command(subcommand)]
    Contest(ContestCommand),
    /// The systems that should record, and which of them are silent
    #[command(subcommand)]
    Sources(SourcesCommand),
    /// Actors: acts of the authority
    #[command(subcommand)]
    Actor(ActorCommand),
    /// Go on while the ledger is out of reach, and hand everything in afterwards
    #[command(subcommand)]
    EmergencyMode(EmergencyModeCommand),
    /// Print what makes a shell complete these commands
    Completions(CompletionsArgs),
    /// Write the manual pages (`cargo xtask man` does)
    #[command(hide = true)]
    Man(ManArgs),
}

/// Runs one command.
///
/// # Errors
/// What broke it off.
pub async fn run(context: &Context, command: Command) -> Result<Ended, ClientError> {
    match command {
        Command::Record(args) => record::run(context, args).await,
        Command::Import(args) => import::run(context, args).await,
        Command::Trace(args) => trace::run(context, args).await,
        Command::Entry(args) => entry::run(context, args).await,
        Command::Checkpoint(args) => checkpoint::run(context, args).await,
        Command::Audit(args) => audit::run(context, args).await,
        Command::Witness(command) => witness::run(command).await,
        Command::Export(args) => export::run(context, args).await,
        Command::Prove(command) => prove::run(context, command).await,
        Command::Verify(args) => verify::run(context, &args).await,
        Command::Cluster(command) => cluster::run(context, command).await,
        Command::Stream(command) => stream::run(context, command).await,
        Command::Schema(command) => schema::run(&command),
        Command::Policy(command) => policy::run(context, command).await,
        Command::Erase(args) => erase::run(context, args).await,
        Command::Keys(command) => keys::run(context, command).await,
        Command::Authority(command) => authority::run(context, command).await,
        Command::Identity(command) => identity::run(context, command).await,
        Command::Authorize(args) => authorize::run(context, args).await,
        Command::Consent(command) => consent::run(context, *command).await,
        Command::BreakGlass(command) => break_glass::run(context, command).await,
        Command::Contest(command) => contest::run(context, command).await,
        Command::Sources(command) => sources::run(context, command).await,
        Command::Mask(args) => limits::of_items(context, args, Kind::ITEM_MASKED).await,
        Command::Unmask(args) => limits::of_items(context, args, Kind::ITEM_UNMASKED).await,
        Command::Block(args) => limits::of_professional(context, args, Kind::PROFESSIONAL_BLOCKED).await,
        Command::Unblock(args) => limits::of_professional(context, args, Kind::PROFESSIONAL_UNBLOCKED).await,
        Command::Oppose(command) => limits::oppose(context, command).await,
        Command::Space(command) => limits::space(context, command).await,
        Command::Embargo(command) => limits::embargo(context, command).await,
        Command::Secrecy(command) => limits::secrecy(context, command).await,
        Command::Represent(command) => represent::run(context, command).await,
        Command::Team(command) => represent::team(context, command).await,
        Command::Attending(command) => represent::attending(context, command).await,
        Command::Actor(command) => represent::actor(context, command).await,
        Command::EmergencyMode(command) => emergency_mode::run(context, command).await,
        Command::Completions(args) => shell::completions(&args),
        Command::Man(args) => shell::man(&args),
    }
}
