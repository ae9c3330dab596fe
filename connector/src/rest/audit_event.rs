//! AuditEvents: recorded, read back, and found.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use sillage_client::author::tags_of;
use sillage_client::error::ClientError;
use sillage_client::session::Session;
use sillage_fhir::import::patients::DEFAULT_OID;
use sillage_rules::ident::{Checks, Ins, Source as IdentSource};

use super::opened::{self, Part, Parts};
use super::request::{Request, Return, encoded, form};
use super::search::cursor::Cursor;
use super::search::matching;
use super::search::params::{Filter, PatientWanted, Query, Refused, TokenWanted};
use super::{Api, of_client, of_index, of_type};
use crate::arrival::{Place, Refusal, Taken};
use crate::http::answer::Answer;
use crate::http::auth::Caller;
use crate::http::outcome::{Issue, outcome};
use crate::http::scopes::{Interaction, Kind, Right};
use crate::index::search::{Cursor as Row, PAGE_MAX, Search, Span};
use crate::index::terms::Term;
use crate::index::{Found, Recorded, State};

/// Rows that one page looks at: a search that finds little ends with a link to go on.
const LOOKED_AT_MAX: usize = 1_000;
/// The version of an event: it never changes.
const VERSION: &str = "1";

/// `POST /AuditEvent`.
pub(super) async fn create(api: &Arc<Api>, caller: &Caller, request: Request) -> Answer {
    let event = match of_type(&request, "AuditEvent") {
        Ok(event) => event.clone(),
        Err(answer) => {
            let refusal = Refusal::coded("resourceType", "", "not an AuditEvent of FHIR R4");
            return api.kept_aside(caller, &request, refusal, answer).await;
        }
    };
    if let Some(condition) = &request.if_none_exist {
        match exists(api, caller, condition).await {
            Ok(None) => {}
            Ok(Some(answer)) | Err(answer) => return answer,
        }
    }
    let taken = match api.take(caller, &request, event.clone(), false).await {
        Ok(taken) => taken,
        Err(answer) => return answer,
    };
    match taken {
        Taken::Spooled { number, .. } => api.accepted(number),
        Taken::Recorded { id, first_index, repeated } => {
            // A retry gets the answer of the first time, and is told so by its status.
            let status = if repeated { StatusCode::OK } else { StatusCode::CREATED };
            let time_ms = Place::parse(&id.0).and_then(|place| recorded_at(api, &place)).unwrap_or_default();
            let answer = match request.wanted {
                Return::Minimal => Answer::empty(status),
                Return::Outcome => {
                    Answer::issue(status, Issue::information(format!("on record at index {first_index}")))
                }
                Return::Representation => Answer::resource(status, opened::served(event, &id.0, VERSION, time_ms)),
            };
            answer
                .with(header::LOCATION, api.url(&format!("AuditEvent/{id}/_history/{VERSION}")))
                .with(header::ETAG, etag(VERSION))
        }
    }
}

fn recorded_at(api: &Api, place: &Place) -> Option<u64> {
    match api.index.at(place).ok()??.state {
        State::Recorded(recorded) => Some(recorded.time_ms),
        _ => None,
    }
}

/// An ETag of a version.
pub(super) fn etag(version: &str) -> String {
    format!("W/\"{version}\"")
}

/// `If-None-Exist`: the answer where something exists already.
async fn exists(api: &Arc<Api>, caller: &Caller, condition: &str) -> Result<Option<Answer>, Answer> {
    caller.may(Right::On(Kind::AuditEvent, Interaction::Search))?;
    let condition = condition.split_once('?').map_or(condition, |(_, query)| query);
    let parameters = form(condition).filter(|parameters| !parameters.is_empty());
    let parameters =
        parameters.ok_or_else(|| Answer::bad("value", "If-None-Exist holds the parameters of a search"))?;
    let mut query = Query::parse(Kind::AuditEvent, &parameters, true).map_err(|error| refused(&error))?;
    query.count = 2;
    let page = page(api, caller, &query, None).await?;
    match (&page.found[..], page.next) {
        ([], None) => Ok(None),
        ([], Some(_)) => Err(Answer::bad("too-costly", "If-None-Exist would look at too many events: name a date")),
        ([one], _) => {
            let id = one["id"].as_str().unwrap_or_default();
            let answer = Answer::resource(StatusCode::OK, one.clone());
            let location = api.url(&format!("AuditEvent/{id}/_history/{VERSION}"));
            Ok(Some(answer.with(header::LOCATION, location).with(header::ETAG, etag(VERSION))))
        }
        _ => {
            let why = "several events fit If-None-Exist: nothing was recorded";
            Ok(Some(Answer::issue(StatusCode::PRECONDITION_FAILED, Issue::error("multiple-matches", why))))
        }
    }
}

/// `GET /AuditEvent/ID`.
pub(super) async fn read(api: &Arc<Api>, caller: &Caller, id: &str, request: &Request) -> Answer {
    let Some(place) = Place::parse(id) else { return Answer::not_found() };
    let found = match api.index.at(&place) {
        Ok(found) => found,
        Err(error) => return of_index(&error),
    };
    let seen = |source: &str| Api::seen_by(caller).is_none_or(|own| own == source);
    let Some(found) = found.filter(|found| found.kind == "AuditEvent" && seen(&found.source)) else {
        return Answer::not_found();
    };
    let State::Recorded(recorded) = found.state else { return Answer::not_found() };
    if request.if_none_match.as_deref().is_some_and(|tag| tag == etag(VERSION) || tag == "*") {
        return Answer::empty(StatusCode::NOT_MODIFIED).with(header::ETAG, etag(VERSION));
    }
    let session = match api.ledger.session().await {
        Ok(session) => session,
        Err(error) => return of_client(&error),
    };
    let parts = match opened::parts(&session, &recorded).await {
        Ok(parts) => parts,
        Err(error) => return of_client(&error),
    };
    forget_erased(api, &found, &parts);
    match whole(api, &found, &parts) {
        Some(document) => {
            let event = opened::served(document, id, VERSION, recorded.time_ms);
            Answer::resource(StatusCode::OK, event).with(header::ETAG, etag(VERSION))
        }
        None if parts.open.is_empty() => {
            let why = "its content was erased: that it was recorded stays on record";
            Answer::issue(StatusCode::GONE, Issue::error("deleted", why))
        }
        None => {
            let why = format!(
                "its document was too large to be kept: the record stands at index {}, `sillage entry` shows it",
                recorded.first_index
            );
            Answer::issue(StatusCode::NOT_FOUND, Issue::error("not-found", why))
        }
    }
}

/// Forgets the document that is kept as a whole, as soon as a part of it is seen to be erased.
fn forget_erased(api: &Api, found: &Found, parts: &Parts) {
    if parts.erased > 0
        && let Err(error) = api.index.forget_whole(found.number)
    {
        tracing::error!(%error, "a document of which a part was erased can't be removed from the index");
    }
}

/// The document of an event as it was sent; without the parts that were erased.
fn whole(api: &Api, found: &Found, parts: &Parts) -> Option<Value> {
    if parts.erased == 0 && parts.open.len() > 1 {
        let kept = api.index.whole(found.number).unwrap_or_else(|error| {
            tracing::error!(%error, "a document can't be read from the index: it is put together from the log");
            None
        });
        if let Some(document) = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            return Some(document);
        }
    }
    opened::joined(&parts.open.iter().collect::<Vec<_>>())
}

fn refused(error: &Refused) -> Answer {
    Answer::bad("not-supported", error.to_string())
}

/// `GET /AuditEvent` and `POST /AuditEvent/_search`.
pub(super) async fn search(api: &Arc<Api>, caller: &Caller, request: &Request) -> Answer {
    let cursor = match request.parameter("_cursor") {
        None => None,
        Some(text) => match api.cursors.open(text, &caller.client.name) {
            Some(cursor) if cursor.kind == Kind::AuditEvent.name() => Some(cursor),
            _ => {
                let why = "this cursor isn't one of this client's: begin the search again";
                return Answer::bad("value", why);
            }
        },
    };
    // A client may ask for another number of resources; everything else stands in the cursor.
    let parameters = match &cursor {
        None => request.parameters.clone(),
        Some(cursor) => {
            let count = ("_count".to_owned(), cursor.count.to_string());
            let mut all = cursor.parameters.clone();
            all.push(request.parameters.iter().find(|(name, _)| name == "_count").cloned().unwrap_or(count));
            all
        }
    };
    let query = match Query::parse(Kind::AuditEvent, &parameters, request.is_strict) {
        Ok(query) => query,
        Err(error) => return refused(&error),
    };
    let after = cursor.as_ref().map(|cursor| Row { up_to: cursor.pin, last: cursor.after });
    let page = match page(api, caller, &query, after).await {
        Ok(page) => page,
        Err(answer) => return answer,
    };
    let seal = |row: Row| {
        let parameters = query.used.clone();
        let kind = Kind::AuditEvent.name().to_owned();
        let cursor = Cursor { parameters, kind, pin: row.up_to, after: row.last, count: query.count };
        api.cursors.seal(&cursor, &caller.client.name)
    };
    let mut links = vec![json!({"relation": "self", "url": self_url(api, request, &query)})];
    if let Some(next) = page.next.filter(|_| query.count > 0) {
        match seal(next) {
            Ok(cursor) => {
                links.push(json!({"relation": "next", "url": api.url(&format!("AuditEvent?_cursor={cursor}"))}))
            }
            Err(why) => {
                tracing::error!(%why, "a cursor can't be made");
                return Answer::issue(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    Issue::error("exception", "the next page can't be named: ask again"),
                );
            }
        }
    }
    let mut entries: Vec<Value> = page
        .found
        .into_iter()
        .map(|event| {
            let url = api.url(&format!("AuditEvent/{}", event["id"].as_str().unwrap_or_default()));
            json!({"fullUrl": url, "resource": event, "search": {"mode": "match"}})
        })
        .collect();
    if !query.notes.is_empty() {
        let issues: Vec<Issue> = query.notes.iter().map(Issue::information).collect();
        entries.push(json!({"resource": outcome(&issues), "search": {"mode": "outcome"}}));
    }
    let mut bundle = json!({"resourceType": "Bundle", "type": "searchset", "link": links});
    if !entries.is_empty() {
        bundle["entry"] = json!(entries);
    }
    Answer::resource(StatusCode::OK, bundle)
}

/// The link `self`: the parameters that were used, where they came in the URL. Those of a form stay out of URLs.
pub(super) fn self_url(api: &Api, request: &Request, query: &Query) -> String {
    let kind = query.kind.name();
    if request.path.last().is_some_and(|part| part == "_search") || query.used.is_empty() {
        return api.url(kind);
    }
    let used = query.used.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    api.url(&format!("{kind}?{}", used.collect::<Vec<_>>().join("&")))
}

/// A page of a search.
struct Page {
    found: Vec<Value>,
    next: Option<Row>,
}

/// The parameters that the index finds exactly as FHIR means them, so that it may leave rows out.
fn terms(query: &Query) -> Vec<(Term, Vec<String>)> {
    let mut out = Vec::new();
    for filter in &query.filters {
        let Filter::Token(extract, wanted) = filter else { continue };
        let term = match extract[..] {
            ["type"] => Term::Type,
            ["subtype"] => Term::Subtype,
            ["action"] => Term::Action,
            ["outcome"] => Term::Outcome,
            _ => continue,
        };
        out.push((term, wanted.iter().map(written).collect()));
    }
    out
}

fn written(token: &TokenWanted) -> String {
    let code = token.code.as_deref().unwrap_or_default();
    match &token.system {
        None => code.to_owned(),
        Some(system) => format!("{system}|{code}"),
    }
}

/// The spellings under which the index has a patient.
fn spelled(wanted: &PatientWanted) -> Vec<String> {
    match wanted {
        PatientWanted::Reference(text) if text.contains('/') => vec![text.clone()],
        PatientWanted::Reference(id) => vec![id.clone(), format!("Patient/{id}")],
        PatientWanted::Identifier(system, value) if system.is_empty() => vec![value.clone()],
        PatientWanted::Identifier(system, value) => vec![format!("{system}|{value}")],
    }
}

async fn page(api: &Arc<Api>, caller: &Caller, query: &Query, after: Option<Row>) -> Result<Page, Answer> {
    let index_error = |error| of_index(&error);
    let up_to = match after {
        Some(row) => row.up_to,
        None => api.index.last().map_err(index_error)?,
    };
    let mut at = after.unwrap_or(Row { up_to, last: i64::MAX as u64 });
    let mut page = Page { found: Vec::new(), next: None };
    if query.count == 0 {
        return Ok(page);
    }
    let mut terms = terms(query);
    terms.extend(query.patients.iter().map(|any| (Term::Patient, any.iter().flat_map(spelled).collect())));
    let (from, until) = query.recorded_ms;
    let whole_time = (from, until) == (i64::MIN, i64::MAX);
    let ms = |ms: i64| u64::try_from(ms).unwrap_or(0);
    let date = if whole_time { Vec::new() } else { vec![Span { from_ms: ms(from), to_ms: ms(until) }] };
    let places: Option<Vec<Place>> =
        query.ids.as_ref().map(|ids| ids.iter().filter_map(|id| Place::parse(id)).collect());
    let session = api.ledger.session().await.map_err(|error| of_client(&error))?;
    let tags = tags(&session, query, api.test_log).await.map_err(|error| of_client(&error))?;
    let mut looked_at = 0;
    loop {
        let (rows, more) = match &places {
            // Few are named: they are looked up, and not searched for.
            Some(places) => {
                let mut rows = Vec::new();
                for place in places {
                    rows.extend(api.index.at(place).map_err(index_error)?);
                }
                let seen = |found: &Found| {
                    let own = Api::seen_by(caller).is_none_or(|own| own == found.source);
                    own && found.kind == "AuditEvent" && found.number.0 <= at.up_to && found.number.0 < at.last
                };
                rows.retain(seen);
                rows.sort_by_key(|found| std::cmp::Reverse(found.number));
                rows.dedup_by_key(|found| found.number);
                (rows, None)
            }
            None => {
                let search = Search {
                    terms: terms.clone(),
                    date: date.clone(),
                    source: Api::seen_by(caller),
                    after: Some(at),
                    ..Search::all("AuditEvent", (query.count + 1).min(PAGE_MAX))
                };
                let found = api.index.search(&search).map_err(index_error)?;
                (found.rows, found.next)
            }
        };
        for found in &rows {
            if page.found.len() >= query.count || looked_at >= LOOKED_AT_MAX {
                page.next = Some(at);
                return Ok(page);
            }
            looked_at += 1;
            let State::Recorded(recorded) = &found.state else { continue };
            if let Some(event) = fitting(api, &session, (found, recorded), query, &tags).await? {
                page.found.push(event);
            }
            at.last = found.number.0;
        }
        match more {
            Some(next) => at = next,
            None => return Ok(page),
        }
    }
}

/// The tags of the patients that are looked for by an INS.
async fn tags(session: &Session, query: &Query, test_log: bool) -> Result<HashMap<String, [u8; 32]>, ClientError> {
    let mut out = HashMap::new();
    let checks = Checks { test_log, source: IdentSource::Direct };
    for wanted in query.patients.iter().flatten() {
        let PatientWanted::Identifier(system, value) = wanted else { continue };
        let oid = system.strip_prefix("urn:oid:").unwrap_or(system);
        let oids = [if oid.is_empty() { DEFAULT_OID } else { oid }];
        for oid in oids {
            let Ok((ins, _)) = Ins::check(value, oid, checks) else { continue };
            let (open, _) = tags_of(session).both(ins.value(), ins.oid().as_str()).await?;
            out.insert(format!("{system}|{value}"), open.to_bytes());
        }
    }
    Ok(out)
}

/// The event of a row, where it fits; of an event with several patients, the part of the one who is looked for.
async fn fitting(
    api: &Api,
    session: &Arc<Session>,
    (found, recorded): (&Found, &Recorded),
    query: &Query,
    tags: &HashMap<String, [u8; 32]>,
) -> Result<Option<Value>, Answer> {
    let mut parts = opened::parts(session, recorded).await.map_err(|error| of_client(&error))?;
    forget_erased(api, found, &parts);
    if !query.patients.is_empty() && to_be_compared(&parts, query.ids.is_some()) {
        parts.open.retain(|part| query.patients.iter().all(|any| any.iter().any(|wanted| is_of(part, wanted, tags))));
        // What was kept as a whole holds the others.
        parts.erased += 1;
    }
    let Some(document) = whole(api, found, &parts) else { return Ok(None) };
    let event = opened::served(document, &recorded.place.id().0, VERSION, recorded.time_ms);
    Ok(matching::fits(&event, query).then_some(event))
}

/// Whether the parts of an event that the index found for a patient are to be compared with that patient. The index finds an event by
/// all its patients: what is open of it may be another one's, also where it is the only part that wasn't erased. What was looked up by
/// its id wasn't compared yet.
fn to_be_compared(parts: &Parts, is_by_id: bool) -> bool {
    is_by_id || parts.erased > 0 || parts.open.windows(2).any(|pair| pair[0].tag != pair[1].tag)
}

/// Whether a part of an event with several patients is that of the patient who is looked for.
fn is_of(part: &Part, wanted: &PatientWanted, tags: &HashMap<String, [u8; 32]>) -> bool {
    match wanted {
        PatientWanted::Identifier(system, value) => match tags.get(&format!("{system}|{value}")) {
            Some(tag) => part.tag == *tag,
            // Not an INS: the part names it, or it isn't shown.
            None => part.document().is_some_and(|document| names(&document["entity"], value)),
        },
        PatientWanted::Reference(text) => part.document().is_some_and(|document| {
            let with_type = if text.contains('/') { text.clone() } else { format!("Patient/{text}") };
            names(&document["entity"], &with_type)
        }),
    }
}

/// Whether a value says exactly this, or a URL that ends so.
fn names(value: &Value, text: &str) -> bool {
    match value {
        Value::String(own) => own == text || own.ends_with(&format!("/{text}")),
        Value::Array(values) => values.iter().any(|value| names(value, text)),
        Value::Object(members) => members.values().any(|value| names(value, text)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proto::v1;

    #[test]
    fn what_is_left_of_an_event_after_an_erasure_is_compared_with_the_patient() {
        let part = |tag: u8| Part { index: 0, tag: [tag; 32], record: v1::Record::default() };
        let parts = |open: Vec<Part>, erased| Parts { open, erased };
        assert!(to_be_compared(&parts(vec![part(1)], 1), false), "the other one was erased");
        assert!(to_be_compared(&parts(vec![part(1), part(2)], 0), false));
        assert!(to_be_compared(&parts(vec![part(1)], 0), true));
        assert!(!to_be_compared(&parts(vec![part(1), part(1)], 0), false), "one patient, whom the index found");
        let wanted = PatientWanted::Identifier("urn:oid:1".to_owned(), "P2".to_owned());
        let tags = HashMap::from([("urn:oid:1|P2".to_owned(), [2; 32])]);
        assert!(!is_of(&part(1), &wanted, &tags) && is_of(&part(2), &wanted, &tags));
    }
}
