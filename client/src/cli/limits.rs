//! Limits: `mask`, `unmask`, `block`, `unblock`, `oppose`, `space`, `embargo`, `secrecy`.

use serde_json::json;
use sillage_proto::v1;
use sillage_rules::kind::Kind;
use sillage_rules::line::ItemLine;

use super::change::{self, Order, somebody};
use super::consent_args::{ChangeArgs, Items};
use super::limits_args::{EmbargoCommand, ItemsArgs, OpposeCommand, ProfessionalArgs, SecrecyCommand, SpaceCommand};
use super::{Context, Ended};
use crate::consent::change::{Change, Fields};
use crate::consent::who::Short;
use crate::error::ClientError;
use crate::profile::{Profile, read};
use crate::view::time::{parse_bound, rfc3339};

/// The documents that `--items` names: ids, or a JSON file with what is known of each.
pub(super) fn items(text: &str) -> Result<Vec<v1::Item>, ClientError> {
    if text.ends_with(".json") {
        let path = std::path::Path::new(text);
        let lines: Vec<ItemLine> =
            serde_json::from_slice(&read(path)?).map_err(|error| ClientError::reading(path, error))?;
        return Ok(lines.into_iter().map(v1::Item::from).collect());
    }
    let ids = text.split(',').map(str::trim).filter(|id| !id.is_empty());
    let items: Vec<v1::Item> = ids.map(|id| v1::Item { id: id.to_owned(), ..v1::Item::default() }).collect();
    match items.is_empty() {
        true => Err(ClientError::Usage("--items: name at least one document".to_owned())),
        false => Ok(items),
    }
}

/// The ids alone: what a limit is about. Of a document that the ledger knows, nothing else is needed.
fn only_ids(items: &Items) -> Result<Vec<v1::Item>, ClientError> {
    let named = self::items(&items.items)?.into_iter();
    Ok(named.map(|item| v1::Item { id: item.id, label: item.label, ..v1::Item::default() }).collect())
}

async fn order(context: &Context, args: &ChangeArgs, change: Change) -> Result<Ended, ClientError> {
    change::run(context, Order::of(&context.profile()?, args)?, change).await
}

pub async fn of_items(context: &Context, args: ItemsArgs, kind: Kind) -> Result<Ended, ClientError> {
    order(context, &args.change, Change::of_items(kind, only_ids(&args.items)?)).await
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
            .map_err(|error| crate::error::ClientError::rejected(error.code().as_str(), format!("--source: {error}"))),
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
            let until = until.as_deref().map(|text| parse_bound("--until", text).map(rfc3339)).transpose()?;
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
    of_items(context, args, kind).await
}

#[cfg(test)]
mod tests {
    use super::*;

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
