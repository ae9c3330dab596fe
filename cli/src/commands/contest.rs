//! `contest`: what patients ask of the party of the profile, and its answers.

use clap::Subcommand;
use serde_json::json;
use sillage_client::author::encode;
use sillage_client::clock::now_ms;
use sillage_client::consent::change::Change;
use sillage_client::error::ClientError;
use sillage_proto::v1::{ContestRow, Record};
use sillage_rules::kind::Kind;
use sillage_words::Lang;
use sillage_words::phrase::{actor, quoted};
use sillage_words::sentence::clean;
use sillage_words::time::{rfc3339, spoken};
use sillage_words::words::noun;

use crate::acts::print;
use crate::arguments::By;
use crate::arguments::reading::acting;
use crate::lang::{langs, of_environment};
use crate::recorder::open_recorder;
use crate::{Context, Ended, output};

#[derive(Debug, Subcommand)]
pub enum ContestCommand {
    /// The questions that go to the party of the profile, oldest first
    List {
        /// Only those that were neither answered nor closed
        #[arg(long)]
        waiting: bool,
        /// As JSON, one object a line
        #[arg(long)]
        json: bool,
        /// Language of the text
        #[arg(long, value_parser = langs(), default_value_t = of_environment())]
        lang: Lang,
    },
    /// Answer one
    #[command(mut_arg("actor", |arg| arg.required(true).help("Who answers: an RPPS number, or `system|id`")))]
    Answer {
        /// The number of the contest, as `contest list` shows it
        #[arg(value_name = "INDEX")]
        index: u64,
        /// The answer, in words that the patient will read
        #[arg(long)]
        text: String,
        #[command(flatten)]
        by: By,
    },
}

pub async fn run(context: &Context, command: ContestCommand) -> Result<Ended, ClientError> {
    match command {
        ContestCommand::List { waiting, json, lang } => {
            let rows = context.session().await?.contests(waiting).await?;
            match json {
                true => output::lines(&rows.iter().map(|row| row_json(row).to_string()).collect::<Vec<_>>())?,
                false if rows.is_empty() => output::line(match lang {
                    Lang::Fr => "Aucune contestation ne vous est adressée.",
                    Lang::En => "No contest goes to you.",
                })?,
                false => output::lines(&rows.iter().map(|row| row_line(row, lang)).collect::<Vec<_>>())?,
            }
            Ok(Ended::Done)
        }
        ContestCommand::Answer { index, text, by } => answer(context, index, &text, &by).await,
    }
}

async fn answer(context: &Context, index: u64, text: &str, by: &By) -> Result<Ended, ClientError> {
    let acting = acting(&context.profile()?, by)?;
    let session = context.session().await?;
    let rows = session.contests(false).await?;
    let found = rows.into_iter().find(|row| row.index == index && row.erased_index == 0);
    let row = found.ok_or_else(|| {
        let what = format!(
            "no contest {index} goes to this party, or it was erased: `sillage contest list` shows those that do"
        );
        ClientError::rejected("UNKNOWN_REFERENCE", what)
    })?;
    let change = Change::with(Kind::CONTEST_ANSWERED, json!({"contest": row.id, "answer": text}));
    let message = Record { tag: row.tag.clone(), ..change.to_message(&acting, now_ms()) };
    let mut recorder = open_recorder(&session, None).await?;
    let receipt = recorder.send_attended(vec![encode(message, 0)?]).await?;
    let late = receipt.time_ms > row.due_ms && row.answered_index == 0;
    print(&receipt, json!({"contest": index, "late": late}))
}

fn row_json(row: &ContestRow) -> serde_json::Value {
    let index = |index: u64| (index != 0).then_some(index);
    let time = |ms: u64| (ms != 0).then(|| rfc3339(ms));
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "index": row.index, "id": text(&row.id), "question": text(&row.question), "opened_at": rfc3339(row.opened_ms),
        "due_at": rfc3339(row.due_ms), "late": row.late, "answered": index(row.answered_index),
        "answered_at": time(row.answered_ms), "answers": row.answers, "closed": index(row.closed_index),
        "closed_at": time(row.closed_ms), "erased": index(row.erased_index), "patient_tag": hex::encode(&row.tag),
        "about": {
            "index": row.about_index, "kind": text(&row.about_kind), "occurred_at": time(row.about_ms),
            "actor": text(&row.about_actor), "label": text(&row.about_label),
            "organisation": text(&row.about_organisation),
        },
    })
}

fn row_line(row: &ContestRow, lang: Lang) -> String {
    let asked = spoken(row.opened_ms, lang);
    let question = match (row.erased_index, lang) {
        (0, _) => quoted(&clean(&row.question), lang),
        (_, Lang::Fr) => "contenu effacé".to_owned(),
        (_, Lang::En) => "content erased".to_owned(),
    };
    let who = match (row.about_label.as_str(), row.about_actor.as_str()) {
        ("", "") => None,
        ("", name) => Some(actor(&clean(name), lang)),
        (label, _) => Some(clean(label)),
    };
    let kind = Kind::from_token(&row.about_kind).map_or_else(|_| clean(&row.about_kind), |kind| noun(kind, lang));
    let who = who.map(|who| format!(", {who}")).unwrap_or_default();
    let state = match (row.answered_index, row.closed_index, row.late, lang) {
        (0, 0, false, Lang::Fr) => format!("réponse attendue jusqu'au {}", spoken(row.due_ms, lang)),
        (0, 0, false, Lang::En) => format!("an answer is due until {}", spoken(row.due_ms, lang)),
        (0, 0, true, Lang::Fr) => format!("réponse EN RETARD depuis le {}", spoken(row.due_ms, lang)),
        (0, 0, true, Lang::En) => format!("the answer is OVERDUE since {}", spoken(row.due_ms, lang)),
        (0, _, _, Lang::Fr) => "close par le patient, sans réponse".to_owned(),
        (0, _, _, Lang::En) => "closed by the patient, without an answer".to_owned(),
        (_, _, late, Lang::Fr) => {
            format!("répondu le {}{}", spoken(row.answered_ms, lang), if late { ", en retard" } else { "" })
        }
        (_, _, late, Lang::En) => {
            format!("answered on {}{}", spoken(row.answered_ms, lang), if late { ", late" } else { "" })
        }
    };
    match lang {
        Lang::Fr => {
            format!(
                "n° {} : le {asked}, à propos de la ligne n° {} ({kind}{who}) : {question} ; {state}",
                row.index, row.about_index
            )
        }
        Lang::En => {
            format!(
                "no. {}: on {asked}, about line no. {} ({kind}{who}): {question}; {state}",
                row.index, row.about_index
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> ContestRow {
        ContestRow {
            index: 12,
            question: "Pourquoi ?".to_owned(),
            opened_ms: 1_772_442_000_000,
            due_ms: 1_775_034_000_000,
            about_index: 7,
            about_kind: "access.read".to_owned(),
            about_label: "Dr Martin".to_owned(),
            ..ContestRow::default()
        }
    }

    #[test]
    fn a_line_says_what_is_asked_and_whether_the_answer_is_late() {
        let line = row_line(&row(), Lang::Fr);
        for part in ["n° 12", "ligne n° 7", "Dr Martin", "Pourquoi ?", "réponse attendue"] {
            assert!(line.contains(part), "{line}");
        }
        assert!(row_line(&ContestRow { late: true, ..row() }, Lang::En).contains("OVERDUE"));
        let answered = ContestRow { answered_index: 20, answered_ms: 1_775_034_000_001, late: true, ..row() };
        assert!(row_line(&answered, Lang::En).ends_with(", late"));
        let erased = ContestRow { erased_index: 9, question: String::new(), ..row() };
        assert!(row_line(&erased, Lang::Fr).contains("contenu effacé"));
        assert_eq!(row_json(&erased)["question"], serde_json::Value::Null);
    }
}
