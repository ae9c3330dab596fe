//! The command line `sillage`. Each module is one command; [`args`] is the contract, [`run`] the way in.
//!
//! Results go to standard output; errors go to standard error as one sentence with the way out. Exit codes: 0 done,
//! 1 a check failed, 2 usage, 3 unavailable, 4 rejected.

pub mod args;
mod audit;
mod authority;
pub mod authority_args;
mod authorize;
pub mod authorize_args;
mod break_glass;
pub mod break_glass_args;
mod certificate;
mod change;
mod check_words;
mod checkpoint;
mod consent;
pub mod consent_args;
mod contest;
mod device;
pub mod device_args;
pub mod doors_args;
mod emergency_mode;
pub mod emergency_mode_args;
mod entry;
mod erase;
pub mod errors;
mod export;
mod export_patient;
#[doc(hidden)]
pub mod fuzz;
pub mod help;
mod identity;
mod import;
mod keys;
pub mod keys_args;
pub mod lang;
mod limits;
pub mod limits_args;
mod member;
pub mod member_args;
mod node_folder;
mod output;
pub mod policy;
pub mod policy_publish;
mod policy_text;
mod proposed;
mod prove;
mod prove_keys;
mod record;
mod represent;
pub mod represent_args;
pub mod retention;
pub mod shell;
mod sources;
mod status;
pub mod table;
mod trace;
mod trace_parts;
mod unknown;
pub mod usage_errors;
mod verify;
mod void;
mod vouching;
mod witness;

pub use output::harmless;

use std::path::PathBuf;
use std::time::Duration;

use args::{Cli, ClusterCommand, Command, ExportArgs, PolicyCommand, ProveCommand, SchemaCommand, StreamCommand};

use sillage_rules::kind::Kind;

use sillage_client::channel::Timeouts;
use sillage_client::error::ClientError;
use sillage_client::profile::Profile;
use sillage_client::session::Session;

/// How a command that didn't break off ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// 0.
    Done,
    /// 1: what failed was said already.
    CheckFailed,
}

/// What every command needs to reach the ledger.
pub struct Context {
    profile: Option<PathBuf>,
    timeouts: Timeouts,
    /// Where what an authority would sign is written, instead of being submitted.
    propose: Option<PathBuf>,
}

impl Context {
    fn profile(&self) -> Result<Profile, ClientError> {
        let path = self.profile.as_deref().ok_or_else(|| {
            ClientError::Usage(
                "no profile: name one with --profile FILE or SILLAGE_PROFILE (`sillage-node dev --dir DIR` writes DIR/sillage.toml)".to_owned(),
            )
        })?;
        Profile::load(path)
    }

    async fn session(&self) -> Result<Session, ClientError> {
        let session = Session::open(self.profile()?, self.timeouts).await?;
        Ok(Session { propose: self.propose.clone(), ..session })
    }
}

/// Runs one command.
///
/// # Errors
/// What broke it off; its [`ClientError::exit_code`] is the process's.
pub async fn run(cli: Cli) -> Result<Ended, ClientError> {
    let timeouts = Timeouts { total: Duration::from_secs(cli.timeout), ..Timeouts::default() };
    let context = Context { profile: cli.profile, timeouts, propose: cli.propose };
    match commanded(&context, cli.command).await {
        Err(ClientError::Proposed(path)) => {
            output::note(
                "have other authorities sign it (`sillage authority sign FILE`), then submit it (`sillage authority submit FILE`)",
            );
            output::line(&serde_json::json!({"proposed": path}).to_string())?;
            Ok(Ended::Done)
        }
        ended => ended,
    }
}

async fn commanded(context: &Context, command: Command) -> Result<Ended, ClientError> {
    match command {
        Command::Record(args) => record::run(context, args).await,
        Command::Import(args) => import::run(context, args).await,
        Command::Trace(args) => trace::run(context, args).await,
        Command::Entry(args) => entry::run(context, args).await,
        Command::Checkpoint(args) => checkpoint::run(context, args).await,
        Command::Audit(args) => audit::run(context, args).await,
        Command::Witness(command) => witness::run(command).await,
        Command::Export(ExportArgs { command: Some(command), .. }) => export::run(context, command).await,
        Command::Export(ExportArgs { patient: Some(args), .. }) => export_patient::run(context, args).await,
        Command::Export(_) => {
            let why = "export what? `tiles DIR`, or --patient INS --format fhir|json|csv --out F";
            Err(ClientError::Usage(why.to_owned()))
        }
        Command::Prove(ProveCommand::Inclusion { index, size, out }) => {
            prove::inclusion(context, index, size, out.as_deref()).await
        }
        Command::Prove(ProveCommand::Patient(args)) => prove::patient(context, &args).await,
        Command::Prove(ProveCommand::Keys { policy, out }) => prove_keys::run(context, &policy, &out).await,
        Command::Prove(ProveCommand::Consistency { old, new }) => prove::consistency(context, old, new).await,
        Command::Verify(args) => verify::run(&args),
        Command::Cluster(ClusterCommand::Status { json }) => status::cluster(context, json).await,
        Command::Cluster(ClusterCommand::Member(command)) => member::run(context, command).await,
        Command::Cluster(ClusterCommand::MoveLeader { id }) => member::move_leader(context, id).await,
        Command::Stream(StreamCommand::Status { json }) => status::stream(context, json).await,
        Command::Schema(SchemaCommand::Record) => {
            output::line(&format!("{:#}", sillage_rules::line::schema()))?;
            Ok(Ended::Done)
        }
        Command::Policy(PolicyCommand::Test(args)) => policy::test(&args),
        Command::Policy(PolicyCommand::Publish(args)) => policy_publish::run(context, &args).await,
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
