//! `break-glass`: opened in an emergency, justified afterwards, reviewed by somebody else, all on record.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sillage_client::clock::now_ms;
use sillage_client::consent::change::{Change, Fields, new_id};
use sillage_client::error::ClientError;
use sillage_client::profile::Profile;
use sillage_client::session::Session;
use sillage_proto::v1;
use sillage_rules::kind::Kind;
use sillage_words::Lang;
use sillage_words::decided::{case, verdict};
use sillage_words::phrase::{actor, quoted};
use sillage_words::sentence::clean;
use sillage_words::time::{parse_bound, parse_end, rfc3339, spoken};

use crate::arguments::reading::ins;
use crate::arguments::{By, ChangeArgs, How};
use crate::change::{self, Order, Signs, Target};
use crate::lang::{langs, of_environment};
use crate::{Context, Ended, output};

/// Only health professionals break the glass, and they answer for it by name.
const ACTOR_HELP: &str = "The health professional: an RPPS number, or `system|id`";
const PROFESSION_HELP: &str = "Profession, a token such as physician: it says whether this case is theirs to open";

#[derive(Debug, Subcommand)]
pub enum BreakGlassCommand {
    /// Open one: a health professional, for a time, with a reason
    Open(OpenArgs),
    /// Say afterwards why it was needed
    #[command(mut_arg("actor", |arg| arg.required(true).help(ACTOR_HELP)))]
    Justify {
        /// Its id
        #[arg(value_name = "BREAKGLASS")]
        id: String,
        /// Why, in words that the patient will read
        #[arg(long)]
        text: String,
        #[command(flatten)]
        of: MaybeWhose,
        #[command(flatten)]
        by: By,
        #[command(flatten)]
        how: How,
    },
    /// Close it before it expires
    #[command(mut_arg("actor", |arg| arg.required(true).help(ACTOR_HELP)))]
    Close {
        /// Its id
        #[arg(value_name = "BREAKGLASS")]
        id: String,
        #[command(flatten)]
        of: MaybeWhose,
        #[command(flatten)]
        by: By,
        #[command(flatten)]
        how: How,
    },
    /// Say whether it was right; the party that opened it can't
    Review {
        /// Its id
        #[arg(value_name = "BREAKGLASS")]
        id: String,
        /// JUSTIFIED or NOT_JUSTIFIED
        #[arg(long, value_name = "VERDICT", value_parser = ["JUSTIFIED", "NOT_JUSTIFIED"])]
        verdict: String,
        /// Why, in words that the patient will read
        #[arg(long)]
        text: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// The register of emergency accesses (roles auditor and reader)
    List {
        /// Only those that are open
        #[arg(long)]
        open: bool,
        /// Only those whose justification is overdue
        #[arg(long)]
        overdue: bool,
        #[command(flatten)]
        only: ListFilter,
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Language of the text
        #[arg(long, value_parser = langs(), default_value_t = of_environment())]
        lang: Lang,
    },
}

/// Which rows of the register.
#[derive(Debug, Clone, Default, Args)]
#[command(group(clap::ArgGroup::new("reviewed_or_not").args(["reviewed", "not_reviewed"])))]
pub struct ListFilter {
    /// Only those that were open at this time or later (RFC 3339, or a date: from its midnight in Paris)
    #[arg(long, value_name = "T")]
    pub from: Option<String>,
    /// Only those that were opened before this time (RFC 3339, or a date, which is included)
    #[arg(long, value_name = "T")]
    pub to: Option<String>,
    /// Only those that nobody has justified, whether that is due yet or not
    #[arg(long)]
    pub not_justified: bool,
    /// Only those that were reviewed
    #[arg(long)]
    pub reviewed: bool,
    /// Only those that nobody has reviewed
    #[arg(long)]
    pub not_reviewed: bool,
    /// Only those that a review found so: JUSTIFIED or NOT_JUSTIFIED
    #[arg(long, value_name = "VERDICT", value_parser = ["JUSTIFIED", "NOT_JUSTIFIED"])]
    pub verdict: Option<String>,
    #[command(flatten)]
    pub of: MaybeWhose,
}

/// The patient; none where the patient isn't identified yet.
#[derive(Debug, Clone, Default, Args)]
pub struct MaybeWhose {
    /// INS of the patient, 15 characters; without it, the patient isn't identified yet
    #[arg(long, value_name = "INS")]
    pub patient: Option<String>,
    /// OID of the INS; without it 1.2.250.1.213.1.4.8 (NIR)
    #[arg(long, value_name = "OID", requires = "patient")]
    pub oid: Option<String>,
    /// The patient is meant, also where nothing is on record under them
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
#[command(
    group(clap::ArgGroup::new("place").required(true).args(["position", "no_position"])),
    mut_arg("actor", |arg| arg.required(true).help(ACTOR_HELP)),
    mut_arg("actor_profession", |arg| arg.required(true).help(PROFESSION_HELP))
)]
pub struct OpenArgs {
    #[command(flatten)]
    pub of: MaybeWhose,
    /// INCAPACITY (the patient can't express a will), SAMU (a call is regulated), FIRE (the fire brigade)
    #[arg(long, value_name = "CASE")]
    pub case: String,
    /// Why, in a word or two
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Why, in more words
    #[arg(long)]
    pub text: Option<String>,
    /// Until this time, or for this long: `30m`, `4h`
    #[arg(long, value_name = "T|D")]
    pub expires: String,
    /// How the patient was found: INS, TRAITS, NONE, or another token
    #[arg(long, default_value = "INS", value_name = "TOKEN")]
    pub search: String,
    /// Where: latitude, longitude, radius in metres, source (GPS, NETWORK, SITE)
    #[arg(long, value_name = "LAT,LON,M,SOURCE", allow_hyphen_values = true)]
    pub position: Option<String>,
    /// When the position was measured; without it, now
    #[arg(long, value_name = "T", requires = "position")]
    pub position_at: Option<String>,
    /// Why the place is unknown: REFUSED, UNAVAILABLE, INDOORS, or another token
    #[arg(long, value_name = "TOKEN")]
    pub no_position: Option<String>,
    /// Id of the break-glass that was opened before the patient was identified
    #[arg(long, value_name = "BREAKGLASS")]
    pub continues: Option<String>,
    /// Id; without it, one is made
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    #[command(flatten)]
    pub by: By,
    #[command(flatten)]
    pub how: How,
}

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
        BreakGlassCommand::List { open, overdue, only, json, lang } => {
            let rows = listed(context, open, overdue, &only).await?;
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
    change::run(
        context,
        Order { target, by, how, signs: Signs::Author, id: Some(id), is_meant: of.force },
        Change::with(kind, details),
    )
    .await
}

async fn open(context: &Context, args: OpenArgs) -> Result<Ended, ClientError> {
    let profile = context.profile()?;
    let id = match &args.id {
        Some(id) => id.clone(),
        None => new_id("bg")?,
    };
    let details = opened(&args, &id, now_ms())?;
    let (target, is_meant) = (target(&profile, &args.of)?, args.of.force);
    let order = Order { target, by: &args.by, how: &args.how, signs: Signs::Author, id: Some(id), is_meant };
    change::run(context, order, Change::with(Kind::BREAKGLASS_OPENED, details)).await
}

fn opened(args: &OpenArgs, id: &str, now_ms: u64) -> Result<Value, ClientError> {
    let expires = match crate::commands::checkpoint::parse_age(&args.expires) {
        Ok(lasts) => now_ms.saturating_add(u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX)),
        Err(_) => parse_end("--expires", &args.expires)?,
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

/// The rows that are asked for.
async fn listed(
    context: &Context,
    open: bool,
    overdue: bool,
    only: &ListFilter,
) -> Result<Vec<v1::BreakGlassRow>, ClientError> {
    let from_ms = only.from.as_deref().map_or(Ok(0), |text| parse_bound("--from", text))?;
    let to_ms = only.to.as_deref().map_or(Ok(u64::MAX), |text| parse_end("--to", text))?;
    let patient = target(&context.profile()?, &only.of)?.patient;
    let session = context.session().await?;
    let tag = match &patient {
        Some(patient) => {
            let (open, _) =
                sillage_client::author::tags_of(&session).both(patient.value(), patient.oid().as_str()).await?;
            Some(open.to_bytes().to_vec())
        }
        None => None,
    };
    let mut rows = rows(&session, open, overdue).await?;
    rows.retain(|row| is_asked_for(row, only, (from_ms, to_ms), tag.as_deref()));
    Ok(rows)
}

/// When it stopped being open: closed, or at its own end.
fn ended_ms(row: &v1::BreakGlassRow) -> u64 {
    if row.closed_ms > 0 { row.closed_ms.min(row.expires_ms) } else { row.expires_ms }
}

fn is_asked_for(row: &v1::BreakGlassRow, only: &ListFilter, period: (u64, u64), tag: Option<&[u8]>) -> bool {
    let (from_ms, to_ms) = period;
    let is_reviewed = row.reviewed_index > 0;
    row.opened_ms < to_ms
        && ended_ms(row) > from_ms
        && !(only.not_justified && (row.justified_index > 0 || row.erased_index > 0))
        && (is_reviewed || !only.reviewed)
        && !(only.not_reviewed && is_reviewed)
        && only.verdict.as_ref().is_none_or(|verdict| *verdict == row.verdict)
        && tag.is_none_or(|tag| row.tag == tag)
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
            return Err(sillage_client::checks::failed("the ledger's pages do not go on: ask another node"));
        }
    }
}

fn row_json(row: &v1::BreakGlassRow) -> Value {
    let index = |index: u64| (index != 0).then_some(index);
    let text = |text: &String| (!text.is_empty()).then_some(text.clone());
    let time = |ms: u64| (ms != 0).then(|| rfc3339(ms));
    json!({
        "index": row.index, "opened_at": rfc3339(row.opened_ms), "recorded_at": rfc3339(row.recorded_ms),
        "erased": index(row.erased_index), "id": row.id, "case": row.case, "actor": row.actor,
        "organisation": text(&row.organisation), "expires_at": rfc3339(row.expires_ms),
        "justification_due_at": rfc3339(row.justification_due_ms), "justified": index(row.justified_index),
        "closed": index(row.closed_index), "reviewed": index(row.reviewed_index), "verdict": text(&row.verdict),
        "overdue": row.overdue, "patient_identified": row.patient_identified, "patient_tag": text(&hex::encode(&row.tag)),
        "reason": text(&row.reason), "text": text(&row.text), "justified_at": time(row.justified_ms),
        "closed_at": time(row.closed_ms), "reviewed_at": time(row.reviewed_ms), "ended_at": rfc3339(ended_ms(row)),
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
    let on = |ms: u64| match (ms, lang) {
        (0, _) => String::new(),
        (ms, Lang::Fr) => format!(" le {}", spoken(ms, lang)),
        (ms, Lang::En) => format!(" on {}", spoken(ms, lang)),
    };
    // Whoever may not read the trace that this stands in isn't told these.
    let (reason, text) = (clean(&row.reason), clean(&row.text));
    add(!reason.is_empty(), format!("motif : {reason}"), format!("reason: {reason}"));
    add(!text.is_empty(), quoted(&text, lang), quoted(&text, lang));
    let tag = hex::encode(row.tag.get(..4).unwrap_or_default());
    add(row.patient_identified && !tag.is_empty(), format!("patient {tag}…"), format!("patient {tag}…"));
    let when = on(row.justified_ms);
    add(justified > 0, format!("justifié{when} (n° {justified})"), format!("justified{when} (no. {justified})"));
    let due = spoken(row.justification_due_ms, lang);
    let erased = row.erased_index;
    add(erased > 0, format!("effacé (n° {erased})"), format!("erased (no. {erased})"));
    let waits = justified == 0 && !row.overdue && erased == 0;
    add(waits, format!("non justifié, attendu avant le {due}"), format!("not justified, due by {due}"));
    add(
        row.overdue,
        format!("JUSTIFICATION EN RETARD (attendue le {due})"),
        format!("JUSTIFICATION OVERDUE (due {due})"),
    );
    let when = on(row.closed_ms);
    add(closed > 0, format!("clos{when} (n° {closed})"), format!("closed{when} (no. {closed})"));
    let found = verdict(&clean(&row.verdict), lang);
    let when = on(row.reviewed_ms);
    add(
        reviewed > 0,
        format!("contrôlé{when} : {found} (n° {reviewed})"),
        format!("reviewed{when}: {found} (no. {reviewed})"),
    );
    add(reviewed == 0 && erased == 0, "non contrôlé".into(), "not reviewed".into());
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

    #[test]
    fn the_register_says_when_why_and_whether_it_was_reviewed_and_can_be_narrowed() {
        let at = 1_772_442_000_000; // 2026-03-02T09:00:00Z
        let row = v1::BreakGlassRow {
            index: 9,
            id: "bg1".into(),
            case: "SAMU".into(),
            actor: "urn:oid:1.2.250.1.71.4.2.1|10100534436".into(),
            opened_ms: at,
            expires_ms: at + 7_200_000,
            tag: vec![0xab; 32],
            patient_identified: true,
            reason: "coma".into(),
            text: "found alone".into(),
            ..v1::BreakGlassRow::default()
        };
        let done = v1::BreakGlassRow {
            closed_index: 11,
            closed_ms: at + 600_000,
            justified_index: 12,
            justified_ms: at + 900_000,
            reviewed_index: 14,
            reviewed_ms: at + 86_400_000,
            verdict: "NOT_JUSTIFIED".into(),
            ..row.clone()
        };
        let text = row_line(&row, Lang::Fr);
        for part in ["motif : coma", "« found alone »", "patient abababab", "non justifié", "non contrôlé"] {
            assert!(text.contains(part), "{text}");
        }
        let text = row_line(&done, Lang::En);
        for part in
            ["closed on 2 March 2026 at 10:10:00", "justified on 2 March", "reviewed on 3 March", "reason: coma"]
        {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(row_json(&done)["closed_at"], "2026-03-02T09:10:00Z");
        assert_eq!(row_json(&done)["ended_at"], "2026-03-02T09:10:00Z");
        assert_eq!(row_json(&row)["reviewed_at"], Value::Null);
        let any = (0, u64::MAX);
        let asked = |row: &v1::BreakGlassRow, only: ListFilter, period| is_asked_for(row, &only, period, None);
        let only = ListFilter::default;
        assert!(asked(&row, only(), any) && asked(&done, only(), any));
        assert!(asked(&row, ListFilter { not_justified: true, ..only() }, any));
        assert!(!asked(&done, ListFilter { not_justified: true, ..only() }, any));
        assert!(!asked(&row, ListFilter { reviewed: true, ..only() }, any));
        assert!(asked(&row, ListFilter { not_reviewed: true, ..only() }, any));
        assert!(asked(&done, ListFilter { verdict: Some("NOT_JUSTIFIED".into()), ..only() }, any));
        assert!(!asked(&done, ListFilter { verdict: Some("JUSTIFIED".into()), ..only() }, any));
        // A period that it was open in, if only for a moment.
        for (period, found) in [
            ((at, at + 1), true),
            ((0, at), false),
            ((at + 599_999, u64::MAX), true),
            ((at + 600_000, u64::MAX), false),
        ] {
            assert_eq!(asked(&done, only(), period), found, "{period:?}");
        }
        assert!(
            is_asked_for(&row, &only(), any, Some(&[0xab; 32])) && !is_asked_for(&row, &only(), any, Some(&[1; 32]))
        );
    }
}
