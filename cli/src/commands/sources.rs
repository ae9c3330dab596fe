//! `sources`: the authority's list of systems that should record, and when each was last heard.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use sillage_client::error::ClientError;
use sillage_client::profile::read;
use sillage_proto::v1::SourceRow;
use sillage_rules::act::Act;
use sillage_rules::line::SourcesLine;
use sillage_words::Lang;
use sillage_words::sentence::clean;

use crate::acts::proposal::submit_or_propose;
use crate::lang::{langs, of_environment};
use crate::{Context, Ended, output};

#[derive(Debug, Subcommand)]
pub enum SourcesCommand {
    /// Change the list of sources that should record, signed by the ledger's authority
    Publish {
        /// JSON: `listed`, a list of `{id, name_fr, name_en, structure, author_id, answers, since, silent_after_s}`, and
        /// `removed`, a list of ids. `-` reads standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Which sources record, on which day each was last heard, and which are silent
    List {
        /// Only those of the list that are silent; exit code 1 where there is one
        #[arg(long)]
        silent: bool,
        /// As JSON, one object a line
        #[arg(long)]
        json: bool,
        /// Language of the text
        #[arg(long, value_parser = langs(), default_value_t = of_environment())]
        lang: Lang,
    },
}

pub async fn run(context: &Context, command: SourcesCommand) -> Result<Ended, ClientError> {
    match command {
        SourcesCommand::Publish { file } => {
            let text = match file.as_os_str() == "-" {
                true => {
                    std::io::read_to_string(std::io::stdin()).map_err(|error| ClientError::reading(&file, error))?
                }
                false => String::from_utf8(read(&file)?).map_err(|error| ClientError::reading(&file, error))?,
            };
            let line: SourcesLine = serde_json::from_str(&text).map_err(|error| ClientError::reading(&file, error))?;
            let change = line.to_change().map_err(|error| ClientError::rejected(error.code, error.to_string()))?;
            let what = json!({"listed": change.listed.len(), "removed": change.removed.len()});
            let session = context.session().await?;
            submit_or_propose(&session, &Act::SourcesListed(change), None, what).await
        }
        SourcesCommand::List { silent, json, lang } => {
            let mut rows = context.session().await?.sources().await?;
            if silent {
                rows.retain(|row| row.silent);
            }
            match json {
                true => output::lines(&rows.iter().map(|row| row_json(row).to_string()).collect::<Vec<_>>())?,
                false if rows.is_empty() => output::line(match lang {
                    Lang::Fr => "Aucune source ne correspond à cette demande.",
                    Lang::En => "No source matches this request.",
                })?,
                false => output::lines(&rows.iter().map(|row| row_line(row, lang)).collect::<Vec<_>>())?,
            }
            Ok(if silent && !rows.is_empty() { Ended::CheckFailed } else { Ended::Done })
        }
    }
}

fn row_json(row: &SourceRow) -> serde_json::Value {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let id = |bytes: &[u8]| (!bytes.is_empty()).then(|| hex::encode(bytes));
    json!({
        "id": text(&row.id), "listed": row.listed, "name_fr": text(&row.name_fr), "name_en": text(&row.name_en),
        "structure": text(&row.structure), "author_id": id(&row.author_id), "party": text(&row.party),
        "answers": id(&row.answers), "since": text(&row.since_day),
        "silent_after_s": row.listed.then_some(row.silent_after_s), "recorded": text(&row.recorded_day),
        "heartbeat": text(&row.heartbeat_day), "silent": row.silent, "missing_batches": row.missing_batches,
    })
}

fn row_line(row: &SourceRow, lang: Lang) -> String {
    let party = clean(&row.party);
    let named = match (row.listed, lang) {
        (true, Lang::Fr) => format!("{} ({}, structure {})", clean(&row.name_fr), row.id, clean(&row.structure)),
        (true, Lang::En) => format!("{} ({}, organisation {})", clean(&row.name_en), row.id, clean(&row.structure)),
        (false, Lang::Fr) => format!("{party}, qui ne figure pas sur la liste"),
        (false, Lang::En) => format!("{party}, which isn't on the list"),
    };
    let day = |day: &str, fr: &str, en: &str, none: (&str, &str)| match (day.is_empty(), lang) {
        (true, Lang::Fr) => none.0.to_owned(),
        (true, Lang::En) => none.1.to_owned(),
        (false, Lang::Fr) => format!("{fr} {day}"),
        (false, Lang::En) => format!("{en} {day}"),
    };
    let never = ("aucun enregistrement", "nothing recorded");
    let unheard = ("aucun signe de vie", "no heartbeat");
    let mut parts = vec![
        day(&row.recorded_day, "dernier enregistrement le", "last recorded on", never),
        day(&row.heartbeat_day, "signe de vie le", "heartbeat on", unheard),
    ];
    if row.missing_batches > 0 {
        parts.push(match lang {
            Lang::Fr => format!("{} lot(s) signés ne sont pas arrivés", row.missing_batches),
            Lang::En => format!("{} signed batch(es) haven't arrived", row.missing_batches),
        });
    }
    if row.silent {
        parts.push(if lang == Lang::Fr { "MUETTE au-delà de son délai" } else { "SILENT beyond its time" }.to_owned());
    }
    let colon = if lang == Lang::Fr { " :" } else { ":" };
    format!("{named}{colon} {}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_source_is_told_from_one_that_is_not_listed() {
        let listed = SourceRow {
            listed: true,
            id: "pacs".to_owned(),
            name_fr: "Radiologie".to_owned(),
            name_en: "Radiology".to_owned(),
            structure: "750712184".to_owned(),
            recorded_day: "2026-03-01".to_owned(),
            silent: true,
            missing_batches: 2,
            ..SourceRow::default()
        };
        assert_eq!(
            row_line(&listed, Lang::Fr),
            "Radiologie (pacs, structure 750712184) : dernier enregistrement le 2026-03-01, aucun signe de vie, 2 lot(s) signés ne sont pas arrivés, MUETTE au-delà de son délai"
        );
        let other =
            SourceRow { party: "DMP".to_owned(), heartbeat_day: "2026-03-02".to_owned(), ..SourceRow::default() };
        assert_eq!(
            row_line(&other, Lang::En),
            "DMP, which isn't on the list: nothing recorded, heartbeat on 2026-03-02"
        );
        assert_eq!(row_json(&other)["silent_after_s"], serde_json::Value::Null);
    }
}
