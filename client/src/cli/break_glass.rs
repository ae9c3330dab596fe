//! `break-glass`: opened in an emergency, justified afterwards, reviewed by somebody else, all on record.

use serde_json::{Value, json};
use sillage_proto::v1;
use sillage_rules::kind::Kind;

use super::break_glass_args::{BreakGlassCommand, MaybeWhose, OpenArgs};
use super::change::{self, Order, Signs, Target, ins};
use super::consent_args::{By, How};
use super::record::now_ms;
use super::{Context, Ended, output};
use crate::consent::change::{Change, Fields, new_id};
use crate::error::ClientError;
use crate::profile::Profile;
use crate::session::Session;
use crate::view::Lang;
use crate::view::decided::{case, verdict};
use crate::view::phrase::{actor, quoted};
use crate::view::sentence::clean;
use crate::view::time::{parse_bound, rfc3339, spoken};

/// Rows of one page: the ledger's own bound.
const PAGE: u32 = 500;

pub async fn run(context: &Context, command: BreakGlassCommand) -> Result<Ended, ClientError> {
    match command {
        BreakGlassCommand::Open(args) => open(context, args).await,
        BreakGlassCommand::Justify { id, text, of, by, how } => {
            let details = json!({"breakglass": id, "text": text});
            after(context, Kind::BREAKGLASS_JUSTIFIED, details, id, (&of, &by, &how)).await
        }
        BreakGlassCommand::Close { id, of, by, how } => {
            let details = json!({"breakglass": id});
            after(context, Kind::BREAKGLASS_CLOSED, details, id, (&of, &by, &how)).await
        }
        BreakGlassCommand::Review { id, verdict, text, change } => {
            let fields = Fields::default().with("breakglass", &id).with("verdict", verdict).maybe("text", text);
            let reviewed = Change::with(Kind::BREAKGLASS_REVIEWED, fields.into_value());
            let order = Order::of(&context.profile()?, &change)?;
            change::run(context, Order { id: Some(id), ..order }, reviewed).await
        }
        BreakGlassCommand::List { open, overdue, json, lang } => {
            let rows = rows(&context.session().await?, open, overdue).await?;
            match json {
                true => output::lines(&rows.iter().map(|row| row_json(row).to_string()).collect::<Vec<_>>())?,
                false if rows.is_empty() => output::line(match lang {
                    Lang::Fr => "Aucun accès d'urgence ne correspond à cette demande.",
                    Lang::En => "No emergency access matches this request.",
                })?,
                false => output::lines(&rows.iter().map(|row| row_line(row, lang)).collect::<Vec<_>>())?,
            }
            Ok(Ended::Done)
        }
    }
}

fn target(profile: &Profile, of: &MaybeWhose) -> Result<Target, ClientError> {
    let patient = of.patient.as_deref().map(|value| ins(profile, value, of.oid.as_deref())).transpose()?;
    Ok(Target { patient, secret: false })
}

async fn after(
    context: &Context,
    kind: Kind,
    details: Value,
    id: String,
    (of, by, how): (&MaybeWhose, &By, &How),
) -> Result<Ended, ClientError> {
    let target = target(&context.profile()?, of)?;
    change::run(context, Order { target, by, how, signs: Signs::Author, id: Some(id) }, Change::with(kind, details))
        .await
}

async fn open(context: &Context, args: OpenArgs) -> Result<Ended, ClientError> {
    let profile = context.profile()?;
    let id = match &args.id {
        Some(id) => id.clone(),
        None => new_id("bg")?,
    };
    let details = opened(&args, &id, now_ms())?;
    let order =
        Order { target: target(&profile, &args.of)?, by: &args.by, how: &args.how, signs: Signs::Author, id: Some(id) };
    change::run(context, order, Change::with(Kind::BREAKGLASS_OPENED, details)).await
}

fn opened(args: &OpenArgs, id: &str, now_ms: u64) -> Result<Value, ClientError> {
    let expires = match super::checkpoint::parse_age(&args.expires) {
        Ok(lasts) => now_ms.saturating_add(u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX)),
        Err(_) => parse_bound("--expires", &args.expires)?,
    };
    let measured = match &args.position_at {
        Some(text) => parse_bound("--position-at", text)?,
        None => now_ms,
    };
    let position = args.position.as_deref().map(|text| position(text, measured)).transpose()?;
    let fields = Fields::default()
        .with("id", id)
        .with("case", &args.case)
        .with("reason", &args.reason)
        .maybe("text", args.text.as_deref())
        .with("expires", rfc3339(expires))
        .with("search", &args.search)
        .maybe("position", position)
        .maybe("no_position", args.no_position.as_deref())
        .maybe("continues", args.continues.as_deref());
    Ok(fields.into_value())
}

fn position(text: &str, measured_ms: u64) -> Result<Value, ClientError> {
    let wrong =
        || ClientError::Usage("--position: write LAT,LON,METRES,SOURCE, such as 48.8986,2.3315,12,GPS".to_owned());
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let [lat, lon, accuracy, source] = parts.as_slice() else {
        return Err(wrong());
    };
    let number = |text: &str| text.parse::<f64>().ok().filter(|n| n.is_finite()).ok_or_else(wrong);
    Ok(json!({
        "lat": number(lat)?, "lon": number(lon)?, "accuracy_m": number(accuracy)?, "source": source,
        "at": rfc3339(measured_ms),
    }))
}

/// Every row, page by page.
async fn rows(session: &Session, open_only: bool, overdue_only: bool) -> Result<Vec<v1::BreakGlassRow>, ClientError> {
    let mut out: Vec<v1::BreakGlassRow> = Vec::new();
    loop {
        let after_index = out.last().map_or(0, |row| row.index);
        let request = v1::ListBreakGlassRequest { open_only, overdue_only, after_index, limit: PAGE };
        let page = session.client.call(|mut rpc| async move { rpc.list_break_glass(request).await }).await?;
        let goes_on = page.rows.first().is_some_and(|row| row.index > after_index);
        out.extend(page.rows);
        if !page.more {
            return Ok(out);
        }
        if !goes_on {
            return Err(crate::checks::failed("the ledger's pages do not go on: ask another node"));
        }
    }
}

fn row_json(row: &v1::BreakGlassRow) -> Value {
    let index = |index: u64| (index != 0).then_some(index);
    let text = |text: &String| (!text.is_empty()).then_some(text.clone());
    json!({
        "index": row.index, "opened_at": rfc3339(row.opened_ms), "recorded_at": rfc3339(row.recorded_ms),
        "erased": index(row.erased_index), "id": row.id, "case": row.case, "actor": row.actor,
        "organisation": text(&row.organisation), "expires_at": rfc3339(row.expires_ms),
        "justification_due_at": rfc3339(row.justification_due_ms), "justified": index(row.justified_index),
        "closed": index(row.closed_index), "reviewed": index(row.reviewed_index), "verdict": text(&row.verdict),
        "overdue": row.overdue, "patient_identified": row.patient_identified,
    })
}

fn row_line(row: &v1::BreakGlassRow, lang: Lang) -> String {
    let id = quoted(&clean(&row.id), lang);
    let who = actor(&clean(&row.actor), lang);
    let (opened, ends) = (spoken(row.opened_ms, lang), spoken(row.expires_ms, lang));
    let case = case(&clean(&row.case), lang);
    let mut parts = vec![match lang {
        Lang::Fr => format!(
            "n° {} : {who} a ouvert l'accès d'urgence {id} le {opened}, {case}, valable jusqu'au {ends}",
            row.index
        ),
        Lang::En => {
            format!("no. {}: {who} opened the emergency access {id} on {opened}, {case}, valid until {ends}", row.index)
        }
    }];
    let mut add = |yes: bool, fr: String, en: String| {
        if yes {
            parts.push(if lang == Lang::Fr { fr } else { en });
        }
    };
    add(!row.patient_identified, "patient non identifié".into(), "patient not identified".into());
    let (justified, closed, reviewed) = (row.justified_index, row.closed_index, row.reviewed_index);
    add(justified > 0, format!("justifié (n° {justified})"), format!("justified (no. {justified})"));
    let due = spoken(row.justification_due_ms, lang);
    let erased = row.erased_index;
    add(erased > 0, format!("effacé (n° {erased})"), format!("erased (no. {erased})"));
    let waits = justified == 0 && !row.overdue && erased == 0;
    add(waits, format!("à justifier avant le {due}"), format!("to be justified by {due}"));
    add(
        row.overdue,
        format!("JUSTIFICATION EN RETARD (attendue le {due})"),
        format!("JUSTIFICATION OVERDUE (due {due})"),
    );
    add(closed > 0, format!("clos (n° {closed})"), format!("closed (no. {closed})"));
    let found = verdict(&clean(&row.verdict), lang);
    add(reviewed > 0, format!("contrôlé : {found} (n° {reviewed})"), format!("reviewed: {found} (no. {reviewed})"));
    parts.join(" ; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(subcommand)]
        command: BreakGlassCommand,
    }

    fn args(more: &[&str]) -> Result<OpenArgs, clap::Error> {
        let base = ["sillage", "open", "--case", "SAMU", "--reason", "call 15", "--expires", "2h"];
        let by = ["--actor", "10100534436", "--actor-profession", "samu-regulator"];
        let cli = Cli::try_parse_from(base.iter().chain(&by).chain(more))?;
        match cli.command {
            BreakGlassCommand::Open(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_says_where_or_why_not_and_until_when() {
        let args = args(&["--position", "-48.9,2.3,12,GPS"]).expect("good");
        let details = opened(&args, "bg1", 1_772_442_000_000).expect("details");
        assert_eq!(details["expires"], "2026-03-02T11:00:00Z");
        assert_eq!(details["position"]["lat"], -48.9);
        assert_eq!(details["position"]["at"], "2026-03-02T09:00:00Z");
        assert!(details.get("no_position").is_none());
        assert!(
            position("1,2,3", 0).is_err() && position("1,x,3,GPS", 0).is_err() && position("1,inf,3,GPS", 0).is_err()
        );
    }

    #[test]
    fn the_place_is_asked_for_once() {
        assert!(args(&[]).is_err(), "neither");
        assert!(args(&["--position", "1,2,3,GPS", "--no-position", "INDOORS"]).is_err(), "both");
        assert!(args(&["--no-position", "INDOORS"]).is_ok());
    }

    #[test]
    fn only_a_professional_with_a_profession_breaks_the_glass() {
        let parse = |args: &str| Cli::try_parse_from(args.split_whitespace()).map_err(|error| error.to_string());
        let open = "sillage open --case SAMU --reason coma --expires 2h --no-position INDOORS";
        let nobody = parse(open).expect_err("nobody");
        assert!(nobody.contains("--actor <ID>") && nobody.contains("--actor-profession <TOKEN>"), "{nobody}");
        let any = parse(&format!("{open} --actor 10100534436")).expect_err("of no profession");
        assert!(any.contains("--actor-profession") && !any.contains("--actor <ID>\n"), "{any}");
        parse(&format!("{open} --actor 10100534436 --actor-profession samu-regulator")).expect("good");
        assert!(parse("sillage justify bg1 --text found").expect_err("nobody").contains("--actor <ID>"));
        parse("sillage close bg1 --actor 10100534436").expect("whoever opened it is known by name");
    }

    #[test]
    fn the_register_says_what_is_late() {
        let row = v1::BreakGlassRow {
            index: 9,
            id: "bg1".into(),
            case: "SAMU".into(),
            actor: "urn:oid:1.2.250.1.71.4.2.1|10100534436".into(),
            overdue: true,
            ..v1::BreakGlassRow::default()
        };
        let text = row_line(&row, Lang::Fr);
        for part in ["n° 9", "le professionnel 10100534436", "« bg1 »", "EN RETARD", "patient non identifié"] {
            assert!(text.contains(part), "{text}");
        }
        let done = v1::BreakGlassRow { overdue: false, justified_index: 12, patient_identified: true, ..row };
        let text = row_line(&done, Lang::En);
        assert!(text.contains("justified (no. 12)") && !text.contains("OVERDUE"), "{text}");
        assert_eq!(row_json(&done)["closed"], Value::Null);
    }
}
