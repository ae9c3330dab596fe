//! `trace`: who did what with a patient's data, newest first.

use std::collections::HashMap;

use clap::{Args, ValueEnum};
use serde_json::json;
use sillage_client::author::tags_of;
use sillage_client::checks::{check_inclusion, checkpoint_over};
use sillage_client::error::ClientError;
use sillage_client::parts::{Access, accesses};
use sillage_client::session::Session;
use sillage_client::trace::{Page, TracedLine, read_page};
use sillage_proof::hash::Hash;
use sillage_proof::tag::PatientTag;
use sillage_proto::v1;
use sillage_rules::entry::Entry;
use sillage_rules::ident::{IdentError, Rpps, spelling};
use sillage_rules::kind::{Group, Kind};
use sillage_rules::line::{ErasedLine, OpenedContent, PatientLine, TraceLineJson, VoidedLine};
use sillage_rules::time::TimeMs;
use sillage_words::fold::{Folded, details, fold, said};
use sillage_words::sentence::sentence;
use sillage_words::time::{parse_bound, parse_end};
use sillage_words::{Event, Lang};

use crate::arguments::reading::ins;
use crate::lang::{langs, of_environment};
use crate::table::table;
use crate::{Context, Ended, output, unknown};

#[derive(Debug, Args)]
pub struct TraceArgs {
    /// INS of the patient, 15 characters
    #[arg(long, value_name = "INS")]
    pub patient: String,
    /// OID of the INS; without it 1.2.250.1.213.1.4.8 (NIR)
    #[arg(long, value_name = "OID")]
    pub oid: Option<String>,
    /// The patient is meant, also where nothing is on record under them
    #[arg(long)]
    pub force: bool,
    /// Only events at or after this time (RFC 3339, or a date in Paris time)
    #[arg(long, value_name = "T")]
    pub from: Option<String>,
    /// Only events before this time, or until the end of this day in Paris
    #[arg(long, value_name = "T")]
    pub to: Option<String>,
    /// Only this actor
    #[arg(long, value_name = "ID")]
    pub actor: Option<String>,
    /// Only this organisation
    #[arg(long, value_name = "ID")]
    pub organisation: Option<String>,
    /// Only this kind, such as `access.read`, or a whole group, such as `access`
    #[arg(long, value_name = "K")]
    pub kind: Option<String>,
    /// Only events on documents of this category, such as LAB
    #[arg(long, value_name = "TOKEN")]
    pub category: Option<String>,
    /// Only events on this document
    #[arg(long, value_name = "ID")]
    pub document: Option<String>,
    /// Only break-glass, or only accesses without justification
    #[arg(long, value_name = "WHAT")]
    pub only: Option<Only>,
    /// At most this many lines, 1 to 500
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    pub limit: Option<u32>,
    /// Go on after a page, with the same filters
    #[arg(long, value_name = "C")]
    pub cursor: Option<String>,
    /// One JSON object a line; if there is more, the last line has the field `next_cursor`
    #[arg(long)]
    pub json: bool,
    /// Under each sentence, the identifiers of actor, structure and documents, and the service that recorded it
    #[arg(long)]
    pub details: bool,
    /// Each reading of the trace on a line of its own, instead of one line for each reader with a count
    #[arg(long)]
    pub each_reading: bool,
    /// Check that every line is in the log, under a signed checkpoint
    #[arg(long)]
    pub verify: bool,
    /// Language of the text
    #[arg(long, value_parser = langs(), default_value_t = of_environment())]
    pub lang: Lang,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Only {
    BreakGlass,
    Unjustified,
}

/// Lines of the trace that are looked through at a time.
const SEARCHED: u32 = 200;

/// Lines of a page where `--limit` says nothing.
const LIMIT: u32 = 50;

pub async fn run(context: &Context, args: TraceArgs) -> Result<Ended, ClientError> {
    let request = filters(&args)?;
    let ins = ins(&context.profile()?, &args.patient, args.oid.as_deref())?;
    let oid = ins.oid().as_str().to_owned();
    let session = context.session().await?;
    let (open, secret) = tags_of(&session).both(ins.value(), &oid).await?;
    let cursor = args.cursor.as_deref();
    let limit = args.limit.unwrap_or(LIMIT);
    let page = filtered(&session, &request, (&open, secret.as_ref()), cursor, limit, &args).await?;
    if page.lines.is_empty() && cursor.is_none() {
        unknown::warn(&session, ins.value(), &(open, secret), args.force).await;
    }
    let verified = if args.verify { verify(&session, &page, args.lang).await? } else { None };
    if args.json {
        let patient = PatientLine { ins: ins.value().to_owned(), oid };
        print_json(&page, &patient)?;
        verified.iter().for_each(|text| output::note(text));
    } else {
        print_text(&page, &args)?;
        if let Some(text) = verified {
            output::line(&text)?;
        }
    }
    Ok(Ended::Done)
}

/// Tells whether a line concerns what is asked for. The ledger doesn't filter by these: it would have to open every record.
fn concerns(line: &TracedLine, category: Option<&str>, document: Option<&str>) -> bool {
    let items: Vec<v1::Item> = match (&line.line.record, &line.line.decision) {
        (Some(record), _) => record.message().items.clone(),
        (None, Some(decision)) => sillage_rules::line::decided_items(decision),
        (None, None) => Vec::new(),
    };
    let of = |item: &v1::Item| {
        category.is_none_or(|category| item.category == category) && document.is_none_or(|document| item.id == document)
    };
    (category.is_none() && document.is_none()) || items.iter().any(of)
}

/// One page of what concerns the category and the document that are asked for: as many pages of the trace as it takes.
async fn filtered(
    session: &Session,
    request: &v1::TraceRequest,
    (open, secret): (&PatientTag, Option<&PatientTag>),
    cursor: Option<&str>,
    limit: u32,
    args: &TraceArgs,
) -> Result<Page, ClientError> {
    let (category, document) = (args.category.as_deref(), args.document.as_deref());
    if category.is_none() && document.is_none() {
        return read_page(session, request, open, secret, cursor, limit).await;
    }
    let mut lines = Vec::new();
    let mut cursor = cursor.map(str::to_owned);
    loop {
        let page = read_page(session, request, open, secret, cursor.as_deref(), SEARCHED).await?;
        let found: Vec<usize> = page
            .lines
            .iter()
            .enumerate()
            .filter(|(_, line)| concerns(line, category, document))
            .map(|(at, _)| at)
            .collect();
        let room = limit as usize - lines.len();
        if found.len() > room {
            // The page is asked for again up to the last line that has room, so that the cursor says where to go on.
            let upto = u32::try_from(found[room - 1] + 1).unwrap_or(SEARCHED);
            let page = read_page(session, request, open, secret, cursor.as_deref(), upto).await?;
            lines.extend(page.lines.into_iter().filter(|line| concerns(line, category, document)));
            return Ok(Page { lines, next_cursor: page.next_cursor });
        }
        lines.extend(page.lines.into_iter().filter(|line| concerns(line, category, document)));
        cursor = page.next_cursor;
        if cursor.is_none() || lines.len() == limit as usize {
            return Ok(Page { lines, next_cursor: cursor });
        }
    }
}

fn filters(args: &TraceArgs) -> Result<v1::TraceRequest, ClientError> {
    let bound = |option: &str, text: &Option<String>| text.as_deref().map_or(Ok(0), |t| parse_bound(option, t));
    let kind = match args.kind.as_deref() {
        None => 0,
        Some(token) => kind_code(token)?,
    };
    Ok(v1::TraceRequest {
        tag: Vec::new(),
        from_ms: bound("--from", &args.from)?,
        to_ms: args.to.as_deref().map_or(Ok(0), |text| parse_end("--to", text))?,
        actor: args.actor.as_deref().map(actor).transpose()?.unwrap_or_default(),
        organisation: args.organisation.as_deref().map(organisation).transpose()?.unwrap_or_default(),
        kind,
        only_break_glass: args.only == Some(Only::BreakGlass),
        only_unjustified: args.only == Some(Only::Unjustified),
        limit: 0,
        cursor: Vec::new(),
    })
}

/// The id of an actor as it is recorded: of `system|id` the id, of a professional's number the number.
fn actor(text: &str) -> Result<String, ClientError> {
    let refused = |error: IdentError| ClientError::rejected(error.code(), format!("--actor: {error}"));
    if let Ok(number) = Rpps::parse(text.trim()) {
        return Ok(number.as_str().to_owned());
    }
    match text.split_once('|') {
        Some((system, id)) => spelling::actor(system, id).map(|(_, id)| id).map_err(refused),
        None => spelling::word(text).map_err(refused),
    }
}

fn organisation(text: &str) -> Result<String, ClientError> {
    let refused = |error: IdentError| ClientError::rejected(error.code(), format!("--organisation: {error}"));
    spelling::organisation(text).map_err(refused)
}

/// The number of a kind, or of a whole group: `0xNN00`.
fn kind_code(token: &str) -> Result<u32, ClientError> {
    if let Some(group) = Group::from_token(token) {
        return Ok(u32::from(group.code()) << 8);
    }
    let kind = Kind::from_token(token).map_err(|_| {
        ClientError::Usage(format!(
            "--kind `{token}` is no kind: write one such as access.read, or a group such as access"
        ))
    })?;
    Ok(kind.code().into())
}

fn print_json(page: &Page, patient: &PatientLine) -> Result<(), ClientError> {
    let to_json = |line: &TracedLine| {
        let entry = Entry::Record(line.line.entry.clone());
        let opened = match (&line.line.record, &line.line.decision) {
            (Some(record), _) => OpenedContent::Record(record),
            (None, Some(decision)) => OpenedContent::Decision(decision),
            (None, None) => OpenedContent::Nothing,
        };
        let erased = line.line.erased.as_ref().map(erased_line);
        let voided = line.line.voided.as_ref().map(voided_line);
        let shown = TraceLineJson::new(&entry, &line.line.author, opened, erased, Some(patient.clone()), line.secret);
        TraceLineJson { voided, author_id: line.line.author_id, ..shown }.to_json()
    };
    let all = accesses(&page.lines);
    let mut lines: Vec<String> = all.iter().map(|access| access.put_into(to_json(access.first()))).collect();
    if let Some(cursor) = &page.next_cursor {
        let last = lines.pop();
        lines.push(with_cursor(last, cursor));
    }
    output::lines(&lines)
}

/// The last line of a page that has a successor: the same object with `next_cursor`, so that every line is an event.
fn with_cursor(last: Option<String>, cursor: &str) -> String {
    let more = json!({"next_cursor": cursor}).to_string();
    match last.as_deref().and_then(|line| line.strip_suffix('}')) {
        Some(fields) => format!("{fields},{}", more.trim_start_matches('{')),
        None => more,
    }
}

fn erased_line(by: &v1::Erasure) -> ErasedLine {
    ErasedLine { index: by.index, time: TimeMs(by.time_ms), ground: by.ground.clone() }
}

pub(super) fn voided_line(by: &v1::Voiding) -> VoidedLine {
    VoidedLine { index: by.index, time: TimeMs(by.time_ms), reason: by.reason.clone() }
}

fn print_text(page: &Page, args: &TraceArgs) -> Result<(), ClientError> {
    let lang = args.lang;
    if page.lines.is_empty() {
        return output::line(match lang {
            Lang::Fr => "Aucun événement ne correspond à cette demande.",
            Lang::En => "No event matches this request.",
        });
    }
    let all = accesses(&page.lines);
    let events: Vec<Event> = all.iter().map(Access::event).collect();
    let of: HashMap<u64, &Access<'_>> = events.iter().zip(&all).map(|(event, access)| (event.index, access)).collect();
    let folded = match args.each_reading {
        true => events.iter().map(Folded::One).collect(),
        false => fold(&events),
    };
    let mut out = Vec::new();
    for one in &folded {
        match one {
            Folded::One(event) => {
                out.push(format!("• {}{}", sentence(event, lang), of[&event.index].note(lang)));
                if args.details {
                    out.push(format!("    {}", details(event, of[&event.index].places(), lang)));
                }
            }
            Folded::Readings(readings) => out.push(format!("• {}", said(readings, lang))),
        }
    }
    out.push(String::new());
    let rows: Vec<(&Event, (u64, u64))> = folded
        .iter()
        .map(|one| match one {
            Folded::One(event) => *event,
            Folded::Readings(readings) => readings[0],
        })
        .map(|event| (event, of[&event.index].places()))
        .collect();
    out.push(table(&rows, lang).to_string());
    if let Some(cursor) = &page.next_cursor {
        out.push(match lang {
            Lang::Fr => format!("Il y a d'autres événements : ajoutez --cursor {cursor}"),
            Lang::En => format!("There are more events: add --cursor {cursor}"),
        });
    }
    output::lines(&out)
}

/// Verifies that every line is in the log, under a checkpoint that fits what was seen before.
async fn verify(session: &Session, page: &Page, lang: Lang) -> Result<Option<String>, ClientError> {
    let newest = page.lines.iter().map(|line| line.line.entry.index.get()).max();
    let checkpoint = checkpoint_over(session, newest.unwrap_or(0)).await?.checkpoint;
    for line in &page.lines {
        let index = line.line.entry.index.get();
        let _: Vec<Hash> = check_inclusion(session, &checkpoint, index, &line.line.bytes).await?;
    }
    let (count, size, origin) = (page.lines.len(), checkpoint.size, &checkpoint.origin);
    Ok(Some(match lang {
        Lang::Fr => format!(
            "Vérifié : {count} ligne(s) figurent dans le registre {origin}, sous le point de contrôle signé de taille {size}. \
             L'inclusion est vérifiée ; la complétude (que rien ne manque), avec `sillage prove patient`."
        ),
        Lang::En => format!(
            "Verified: {count} line(s) are in the log {origin}, under the signed checkpoint of size {size}. \
             Inclusion is verified; completeness (that nothing is missing) is proven by `sillage prove patient`."
        ),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_a_token_or_a_group() {
        assert_eq!(kind_code("access.read").expect("a kind"), 0x0601);
        assert_eq!(kind_code("access").expect("a group"), 0x0600);
        assert_eq!(kind_code("acces").expect_err("neither").exit_code(), 2);
    }
}
