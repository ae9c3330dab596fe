//! Limits: `mask`, `unmask`, `block`, `unblock`, `oppose`, `space`, `embargo`, `secrecy`.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use serde_json::json;
use sillage_client::author::tags_of;
use sillage_client::consent::change::{Change, Fields};
use sillage_client::consent::who::Short;
use sillage_client::error::ClientError;
use sillage_client::profile::Profile;
use sillage_client::trace::read_page;
use sillage_proto::v1;
use sillage_rules::kind::Kind;
use sillage_words::Lang;

use crate::arguments::reading::{end, identity, items as read_items, somebody};
use crate::arguments::{ChangeArgs, Items};
use crate::change::{self, Order};
use crate::lang::of_remarks;
use crate::{Context, Ended};

#[derive(Debug, Args)]
pub struct ItemsArgs {
    #[command(flatten)]
    pub items: Items,
    #[command(flatten)]
    pub change: ChangeArgs,
}

#[derive(Debug, Args)]
pub struct ProfessionalArgs {
    /// RPPS number, or `system|id`
    #[arg(long, value_name = "ID")]
    pub professional: String,
    #[command(flatten)]
    pub change: ChangeArgs,
}

#[derive(Debug, Subcommand)]
pub enum OpposeCommand {
    /// The health space itself: nobody reads or writes any more
    Space {
        /// Take the opposition back
        #[arg(long)]
        lift: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Emergency access
    Emergency {
        /// In which cases: INCAPACITY, SAMU, FIRE
        #[arg(long, value_delimiter = ',', required = true, value_name = "CASE,...")]
        case: Vec<String>,
        /// Take the opposition back
        #[arg(long)]
        lift: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// The deposits of a source
    Feed {
        /// An actor, a structure, a profession, or `professionals`: all of them
        #[arg(long, value_name = "ID")]
        source: String,
        /// Of which category; without it, of any
        #[arg(long, value_name = "C")]
        category: Option<String>,
        /// On what ground
        #[arg(long, value_name = "TEXT")]
        ground: Option<String>,
        /// Take the opposition back: same source and category
        #[arg(long)]
        lift: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum SpaceCommand {
    /// Open it (again)
    Open(ChangeArgs),
    /// Close it
    Close(ChangeArgs),
}

#[derive(Debug, Subcommand)]
pub enum EmbargoCommand {
    /// Hold documents back from the patient until a person has explained them (for their depositor)
    Set {
        #[command(flatten)]
        items: Items,
        /// At the latest until this time, or the end of this day in Paris; without it, until they are released
        #[arg(long, value_name = "T")]
        until: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Show them to the patient
    Release(ItemsArgs),
}

#[derive(Debug, Subcommand)]
pub enum SecrecyCommand {
    /// Keep documents from a minor's representatives: for what comes later
    Set(ItemsArgs),
    /// Show them to representatives again
    Lift(ItemsArgs),
}

/// The ids alone: what a limit is about. Of a document that the ledger knows, nothing else is needed.
fn only_ids(items: &Items) -> Result<Vec<v1::Item>, ClientError> {
    let named = read_items(&items.items)?.into_iter();
    Ok(named.map(|item| v1::Item { id: item.id, label: item.label, ..v1::Item::default() }).collect())
}

/// Lines of the trace that are looked through for a document.
const LOOKED_THROUGH: usize = 10_000;

/// Refuses documents under which nothing is on record for this patient: a mistyped id would be masked, and nothing else. Where
/// the caller may not read the trace, nobody can tell.
async fn are_on_record(context: &Context, args: &ChangeArgs, items: &[v1::Item]) -> Result<(), ClientError> {
    let profile = context.profile()?;
    let patient = identity(&profile, "--patient", &args.whose.patient, args.whose.oid.as_deref())?;
    let session = context.session().await?;
    let mut unknown: BTreeSet<&str> = items.iter().map(|item| item.id.as_str()).filter(|id| !id.is_empty()).collect();
    let (open, secret) = match tags_of(&session).both(patient.value(), patient.oid().as_str()).await {
        Err(ClientError::Rejected(_)) => return Ok(()),
        tags => tags?,
    };
    let request = v1::TraceRequest::default();
    let (mut cursor, mut seen) = (None::<String>, 0);
    while !unknown.is_empty() && seen < LOOKED_THROUGH {
        let page = match read_page(&session, &request, &open, secret.as_ref(), cursor.as_deref(), 500).await {
            Err(ClientError::Rejected(_)) => return Ok(()),
            page => page?,
        };
        seen += page.lines.len();
        for line in &page.lines {
            let record = line.line.record.as_ref().map(|record| record.message().items.clone());
            let decided = line.line.decision.as_ref().map(sillage_rules::line::decided_items);
            for item in record.into_iter().chain(decided).flatten() {
                unknown.remove(item.id.as_str());
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    // Of a trace that is longer, not all was seen.
    if unknown.is_empty() || seen >= LOOKED_THROUGH {
        return Ok(());
    }
    Err(ClientError::Usage(nothing_under(&unknown, of_remarks())))
}

fn nothing_under(unknown: &BTreeSet<&str>, lang: Lang) -> String {
    let named: Vec<&str> = unknown.iter().copied().take(6).collect();
    let named = named.join(", ");
    match lang {
        Lang::Fr => format!(
            "--items : rien n'est au registre pour ce patient sous {named} : vérifiez l'identifiant (`sillage trace --details`), ou \
             ajoutez --force si c'est voulu ; rien n'a été inscrit"
        ),
        Lang::En => format!(
            "--items: nothing is on record for this patient under {named}: check the id (`sillage trace --details`), or add --force \
             where it is meant; nothing was recorded"
        ),
    }
}

async fn order(context: &Context, args: &ChangeArgs, change: Change) -> Result<Ended, ClientError> {
    change::run(context, Order::of(&context.profile()?, args)?, change).await
}

pub async fn of_items(context: &Context, mut args: ItemsArgs, kind: Kind) -> Result<Ended, ClientError> {
    let items = only_ids(&args.items)?;
    if !args.change.whose.force {
        are_on_record(context, &args.change, &items).await?;
        // Then the patient is known, too.
        args.change.whose.force = true;
    }
    order(context, &args.change, Change::of_items(kind, items)).await
}

pub async fn of_professional(context: &Context, args: ProfessionalArgs, kind: Kind) -> Result<Ended, ClientError> {
    let professional = somebody(&context.profile()?, "--professional", &args.professional, Short::Any)?;
    order(context, &args.change, Change::of_professional(kind, &professional)).await
}

pub async fn oppose(context: &Context, command: OpposeCommand) -> Result<Ended, ClientError> {
    match command {
        OpposeCommand::Space { lift, change } => {
            let kind = if lift { Kind::SPACE_OPENED } else { Kind::SPACE_OPPOSED };
            order(context, &change, Change::bare(kind)).await
        }
        OpposeCommand::Emergency { case, lift, change } => {
            let kind = if lift { Kind::EMERGENCY_OPPOSITION_LIFTED } else { Kind::EMERGENCY_OPPOSITION };
            order(context, &change, Change::with(kind, json!({"cases": case}))).await
        }
        OpposeCommand::Feed { source, category, ground, lift, change } => {
            let kind = if lift { Kind::FEED_OPPOSITION_LIFTED } else { Kind::FEED_OPPOSED };
            let fields = Fields::default()
                .with("source", feed_source(&context.profile()?, &source)?)
                .maybe("category", category)
                .maybe("ground", ground);
            order(context, &change, Change::with(kind, fields.into_value())).await
        }
    }
}

/// A professional's number stands for the whole name; structures and professions stay as they are.
fn feed_source(profile: &Profile, text: &str) -> Result<String, ClientError> {
    let is_number = sillage_rules::ident::Rpps::parse(text).is_ok();
    match is_number || text.contains('|') {
        true => Ok(somebody(profile, "--source", text, Short::Any)?.to_string()),
        false => sillage_rules::ident::spelling::organisation(text)
            .map_err(|error| sillage_client::error::ClientError::rejected(error.code(), format!("--source: {error}"))),
    }
}

pub async fn space(context: &Context, command: SpaceCommand) -> Result<Ended, ClientError> {
    let (args, kind) = match command {
        SpaceCommand::Open(args) => (args, Kind::SPACE_OPENED),
        SpaceCommand::Close(args) => (args, Kind::SPACE_CLOSED),
    };
    order(context, &args, Change::bare(kind)).await
}

pub async fn embargo(context: &Context, command: EmbargoCommand) -> Result<Ended, ClientError> {
    match command {
        EmbargoCommand::Set { items, until, change } => {
            let until = end("--until", until.as_deref())?;
            let details = Fields::default().maybe("until", until).into_value();
            let held = Change { kind: Kind::ITEM_EMBARGOED, details, items: only_ids(&items)? };
            order(context, &change, held).await
        }
        EmbargoCommand::Release(args) => of_items(context, args, Kind::ITEM_RELEASED).await,
    }
}

/// A minor's secrecy stands in the second trace: in the open one a representative would read it.
pub async fn secrecy(context: &Context, command: SecrecyCommand) -> Result<Ended, ClientError> {
    let (mut args, kind) = match command {
        SecrecyCommand::Set(args) => (args, Kind::MINOR_SECRECY_SET),
        SecrecyCommand::Lift(args) => (args, Kind::MINOR_SECRECY_LIFTED),
    };
    args.change.secret = true;
    // It covers what comes later: nothing need be on record yet.
    order(context, &args.change, Change::of_items(kind, only_ids(&args.items)?)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::reading::items;

    #[test]
    fn a_mistyped_document_is_named_with_the_way_out() {
        for (ids, lang) in [(&["d99"][..], Lang::Fr), (&["d98", "d99"][..], Lang::En)] {
            let said = nothing_under(&ids.iter().copied().collect(), lang);
            assert!(
                ids.iter().all(|id| said.contains(id)) && said.contains("--force") && said.contains("--items"),
                "{said}"
            );
        }
    }

    #[test]
    fn items_are_ids_or_a_file_that_says_more() {
        let ids: Vec<String> = items("d1, d2,").expect("ids").into_iter().map(|item| item.id).collect();
        assert_eq!(ids, ["d1", "d2"]);
        assert_eq!(items(" , ").expect_err("none").exit_code(), 2);
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("items.json");
        std::fs::write(&path, r#"[{"id":"d1","category":"LAB","labels":["PSY"]}]"#).expect("written");
        let text = path.to_str().expect("UTF-8");
        assert_eq!(items(text).expect("read")[0].labels, ["PSY"]);
        std::fs::write(&path, r#"[{"id":"d1","colour":"red"}]"#).expect("written");
        assert!(items(text).expect_err("unknown field").to_string().contains("colour"));
    }
}
