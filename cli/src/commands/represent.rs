//! People: `represent`, `team`, `attending`, `actor`.

use clap::{Args, Subcommand};
use serde_json::json;
use sillage_client::author::tags_of;
use sillage_client::consent::change::{Change, Fields};
use sillage_client::consent::history;
use sillage_client::consent::who::Short;
use sillage_client::error::ClientError;
use sillage_rules::act::Act;
use sillage_rules::consent::Relation;
use sillage_rules::kind::Kind;
use sillage_words::time::{parse_end, rfc3339};

use crate::arguments::reading::{acting, begin, end, identity, somebody};
use crate::arguments::{ChangeArgs, StateArgs};
use crate::change::{self, Order, Signs};
use crate::commands::{consent, limits};
use crate::{Context, Ended, acts, output};

#[derive(Debug, Subcommand)]
pub enum RepresentCommand {
    /// Register a representative; a parent or guardian with the authority's key
    Add(AddArgs),
    /// End a representation
    End {
        /// The representative
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
    /// The representative: a person's id, or `system|id`
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
        /// The professional who joins: RPPS number, or `system|id`; without it, who acts
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
        /// The professional who leaves; without it, who acts
        #[arg(long, value_name = "ID")]
        professional: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum AttendingCommand {
    /// Declare the attending doctor
    Declare(limits::ProfessionalArgs),
    /// End the declaration
    End(limits::ProfessionalArgs),
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

pub async fn run(context: &Context, command: RepresentCommand) -> Result<Ended, ClientError> {
    match command {
        RepresentCommand::Add(args) => add(context, args).await,
        RepresentCommand::End { representative, as_authority, change } => {
            let profile = context.profile()?;
            let name = somebody(&profile, "--representative", &representative, Short::Person)?;
            let ended = Change::with(Kind::REPRESENTATION_ENDED, json!({"representative": name}));
            let signs = if as_authority { Signs::Authority } else { Signs::Author };
            change::run(context, Order { signs, ..Order::of(&profile, &change)? }, ended).await
        }
        RepresentCommand::List(args) => {
            let known = consent::known(context, &args).await?;
            match args.json {
                true => {
                    let lines = history::representatives_json(&known);
                    output::lines(&lines.iter().map(serde_json::Value::to_string).collect::<Vec<_>>())?;
                }
                false => output::lines(&history::representatives(&known, args.lang))?,
            }
            Ok(Ended::Done)
        }
    }
}

async fn add(context: &Context, args: AddArgs) -> Result<Ended, ClientError> {
    let profile = context.profile()?;
    let name = somebody(&profile, "--representative", &args.representative, Short::Person)?;
    let mut tag = None;
    if let Some(own) = &args.representative_ins {
        let own = identity(&profile, "--representative-ins", own, args.representative_oid.as_deref())?;
        let session = context.session().await?;
        let (open, _) = tags_of(&session).both(own.value(), own.oid().as_str()).await?;
        tag = Some(hex::encode(open.to_bytes()));
    }
    let fields = Fields::default()
        .with("representative", name)
        .with("relation", &args.relation)
        .list("powers", &args.power)
        .maybe("from", begin("--from", args.from.as_deref())?)
        .maybe("until", end("--until", args.until.as_deref())?)
        .maybe("activated", args.activated.then_some(true))
        .maybe("representative_tag", tag);
    let of_law = Relation::from_token(&args.relation).is_some_and(Relation::is_of_law);
    let signs = if of_law { Signs::Authority } else { Signs::Author };
    let change = Change::with(Kind::REPRESENTATION_REGISTERED, fields.into_value());
    change::run(context, Order { signs, ..Order::of(&profile, &args.change)? }, change).await
}

pub async fn team(context: &Context, command: TeamCommand) -> Result<Ended, ClientError> {
    let profile = context.profile()?;
    let who = |professional: &Option<String>, by| match professional {
        Some(text) => somebody(&profile, "--professional", text, Short::Any),
        None => {
            let actor = acting(&profile, by)?.actor;
            somebody(&profile, "--actor", &format!("{}|{}", actor.system, actor.id), Short::Any)
        }
    };
    match command {
        TeamCommand::Join { professional, until, origin, organisation, change } => {
            let fields = Fields::default()
                .with("professional", who(&professional, &change.by)?)
                .with("until", rfc3339(parse_end("--until", &until)?))
                .maybe("origin", origin)
                .maybe("organisation", organisation);
            let joined = Change::with(Kind::CARETEAM_JOINED, fields.into_value());
            change::run(context, Order::of(&profile, &change)?, joined).await
        }
        TeamCommand::Leave { professional, change } => {
            let left = Change::of_professional(Kind::CARETEAM_LEFT, &who(&professional, &change.by)?);
            change::run(context, Order::of(&profile, &change)?, left).await
        }
    }
}

pub async fn attending(context: &Context, command: AttendingCommand) -> Result<Ended, ClientError> {
    match command {
        AttendingCommand::Declare(args) => limits::of_professional(context, args, Kind::ATTENDING_DECLARED).await,
        AttendingCommand::End(args) => limits::of_professional(context, args, Kind::ATTENDING_ENDED).await,
    }
}

pub async fn actor(context: &Context, command: ActorCommand) -> Result<Ended, ClientError> {
    let ActorCommand::Revoke { actor, reason } = command;
    let name = somebody(&context.profile()?, "--actor", &actor, Short::Any)?;
    let session = context.session().await?;
    let receipt = acts::submit(&session, &Act::ActorRevoked { actor_hash: name.hash(), reason }).await?;
    acts::print(&receipt, json!({"actor_hash": name.hash()}))
}
