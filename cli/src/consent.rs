//! `consent`: what a patient permits and denies, and what follows from it.

use serde_json::{Value, json};
use sillage_proof::hash::sha256;
use sillage_rules::consent::Provision;
use sillage_rules::kind::Kind;

use super::change::{self, Order, begin, end, ins, somebody};
use super::consent_args::{CollectedArgs, ConsentCommand, DirectiveArgs, GranteeArgs, StateArgs};
use super::{Context, Ended, output, unknown};
use sillage_client::author::tags_of;
use sillage_client::consent::change::{Change, Fields, new_id};
use sillage_client::consent::known::{AsOf, Known};
use sillage_client::consent::who::Short;
use sillage_client::consent::{effective, history};
use sillage_client::error::ClientError;
use sillage_client::profile::{Profile, read};
use sillage_words::time::rfc3339;

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

/// What holds for the patient, as of when it was asked.
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
