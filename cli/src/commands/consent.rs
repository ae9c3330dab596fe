//! `consent`: what a patient permits and denies, and what follows from it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sillage_client::author::tags_of;
use sillage_client::consent::change::{Change, Fields, new_id};
use sillage_client::consent::known::{AsOf, Known};
use sillage_client::consent::who::Short;
use sillage_client::consent::{effective, history};
use sillage_client::error::ClientError;
use sillage_client::profile::{Profile, read};
use sillage_proof::hash::sha256;
use sillage_rules::consent::Provision;
use sillage_rules::kind::Kind;
use sillage_words::time::rfc3339;

use crate::arguments::reading::{begin, end, ins, somebody};
use crate::arguments::{ChangeArgs, StateArgs};
use crate::change::{self, Order};
use crate::{Context, Ended, output, unknown};

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
    /// The collector
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

pub async fn run(context: &Context, command: ConsentCommand) -> Result<Ended, ClientError> {
    match command {
        ConsentCommand::Grant(args) => directive(context, args, "permit").await,
        ConsentCommand::Deny(args) => directive(context, args, "deny").await,
        ConsentCommand::Revoke { id, change } => {
            let order = Order::of(&context.profile()?, &change)?;
            let revoked = Change::with(Kind::CONSENT_REVOKED, json!({"consent": id}));
            change::run(context, Order { id: Some(id), ..order }, revoked).await
        }
        ConsentCommand::List(args) => {
            let known = known(context, &args).await?;
            print(&args, || history::list(&known, args.lang), || history::list_json(&known))
        }
        ConsentCommand::History(args) => {
            let known = known(context, &args).await?;
            print(&args, || history::history(&known, args.lang), || history::history_json(&known))
        }
        ConsentCommand::Effective(args) => {
            let known = known(context, &args).await?;
            let rights = effective::rights(&known);
            print(&args, || rights.lines(args.lang), || rights.to_json())
        }
    }
}

fn print(
    args: &StateArgs,
    text: impl FnOnce() -> Vec<String>,
    json: impl FnOnce() -> Vec<Value>,
) -> Result<Ended, ClientError> {
    match args.json {
        true => output::lines(&json().iter().map(Value::to_string).collect::<Vec<_>>())?,
        false => output::lines(&text())?,
    }
    Ok(Ended::Done)
}

/// The rules that hold for the patient, as of when it was asked.
pub(super) async fn known(context: &Context, args: &StateArgs) -> Result<Known, ClientError> {
    let as_of = AsOf::parse(args.as_of.as_of.as_deref())?;
    let profile = context.profile()?;
    began_before(as_of, profile.genesis()?.0.created_ms)?;
    let patient = ins(&profile, &args.whose.patient, args.whose.oid.as_deref())?;
    let session = context.session().await?;
    let tags = tags_of(&session).both(patient.value(), patient.oid().as_str()).await?;
    let known = Known::fetch(&session, tags, as_of).await?;
    if known.sides().all(|(side, _)| side.records.is_empty()) {
        unknown::warn(&session, patient.value(), &tags, args.whose.force).await;
    }
    Ok(known)
}

/// Before its first entry there is no log to be asked.
fn began_before(as_of: AsOf, created_ms: u64) -> Result<(), ClientError> {
    match as_of {
        AsOf::Time(ms) if ms < created_ms => {
            let (asked, began) = (rfc3339(ms), rfc3339(created_ms));
            Err(ClientError::Usage(format!(
                "--as-of: {asked} is before the log's first entry, of {began}: name that moment or a later one"
            )))
        }
        AsOf::Now | AsOf::Size(_) | AsOf::Time(_) => Ok(()),
    }
}

async fn directive(context: &Context, args: DirectiveArgs, effect: &str) -> Result<Ended, ClientError> {
    let profile = context.profile()?;
    let id = match &args.id {
        Some(id) => id.clone(),
        None => new_id("c")?,
    };
    let details = directive_details(&profile, &args, &id, effect)?;
    let change = Change::with(Kind::CONSENT_DIRECTIVE, details);
    let order = Order { id: Some(id), ..Order::of(&profile, &args.change)? };
    change::run(context, order, change).await
}

fn directive_details(profile: &Profile, args: &DirectiveArgs, id: &str, effect: &str) -> Result<Value, ClientError> {
    let exceptions: Vec<Provision> = args.except.iter().map(|text| exception(text)).collect::<Result<_, _>>()?;
    let fields = Fields::default()
        .with("id", id)
        .with("effect", effect)
        .maybe("grantee", grantee(profile, &args.grantee)?)
        .list("actions", &args.action)
        .list("categories", &args.category)
        .list("labels", &args.label)
        .list("items", &args.item)
        .list("purposes", &args.purpose)
        .maybe("from", begin("--from", args.from.as_deref())?)
        .maybe("until", end("--until", args.until.as_deref())?)
        .maybe("supersedes", args.supersedes.as_deref())
        .list("except", &exceptions)
        .maybe("collected", collected(profile, &args.collected)?);
    Ok(fields.into_value())
}

fn exception(text: &str) -> Result<Provision, ClientError> {
    serde_json::from_str(text).map_err(|error| {
        ClientError::Usage(format!("--except: {error}; write it as {{\"effect\": \"deny\", \"labels\": [\"PSY\"]}}"))
    })
}

fn grantee(profile: &Profile, args: &GranteeArgs) -> Result<Option<Value>, ClientError> {
    if args.anyone {
        return Ok(Some(json!("anyone")));
    }
    let name = |option: &str, text: &Option<String>, short| {
        text.as_deref().map(|text| somebody(profile, option, text, short)).transpose()
    };
    let fields = Fields::default()
        .maybe("professional", name("--professional", &args.professional, Short::Any)?)
        .maybe("person", name("--person", &args.person, Short::Person)?)
        .maybe("organisation", args.organisation.as_deref())
        .maybe("profession", args.profession.as_deref())
        .maybe("team", args.team.as_deref())
        .maybe("app", name("--app", &args.app, Short::App)?)
        .maybe("project", name("--project", &args.project, Short::Project)?)
        .into_value();
    // A denial without a grantee is for everybody; a permission without one is refused with a code of its own.
    Ok((fields != json!({})).then_some(fields))
}

fn collected(profile: &Profile, args: &CollectedArgs) -> Result<Option<Value>, ClientError> {
    let (Some(collector), Some(evidence)) = (&args.collector, &args.evidence) else {
        return Ok(None);
    };
    let fields = Fields::default()
        .with("collector", somebody(profile, "--collector", collector, Short::Any)?)
        .maybe("capacity", args.capacity.as_deref())
        .maybe("method", args.collected_by.as_deref())
        .with("evidence_sha256", sha256(&[&read(evidence)?]));
    Ok(Some(fields.into_value()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_its_first_entry_a_log_knows_nothing() {
        let began = 1_772_442_000_000;
        for as_of in [AsOf::Now, AsOf::Size(1), AsOf::Time(began)] {
            assert!(began_before(as_of, began).is_ok(), "{as_of:?}");
        }
        let error = began_before(AsOf::Time(began - 1), began).expect_err("before it");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("before the log's first entry, of 2026-03-02T09:00:00"), "{error}");
    }
}
