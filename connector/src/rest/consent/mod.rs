//! Consents (IHE PCF, ITI-108): read, found, and whether they still hold.
//!
//! A Consent has the id that it was given here, and a version for each change. Its directives are on record; whether one of them
//! was ended elsewhere, by the patient in another service for example, is asked of the log at each reading: then the Consent is
//! served as `inactive`.

pub mod write;

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use sillage_client::consent::known::{AsOf, Known};
use sillage_client::error::ClientError;
use sillage_client::session::Session;
use sillage_proof::tag::PatientTag;

use super::audit_event::{etag, self_url};
use super::opened::{self, Parts};
use super::request::Request;
use super::search::cursor::Cursor;
use super::search::matching;
use super::search::params::{PatientWanted, Query};
use super::{Api, of_client, of_index};
use crate::http::answer::Answer;
use crate::http::auth::Caller;
use crate::http::outcome::{Issue, outcome};
use crate::http::scopes::Kind;
use crate::index::search::{Cursor as Row, PAGE_MAX, Search};
use crate::index::terms::Term;
use crate::index::{Found, Recorded, State};

/// Rows that one page looks at.
const LOOKED_AT_MAX: usize = 1_000;

/// A version of a Consent that is on record.
struct Version {
    /// The resource as it is served.
    resource: Value,
    /// Its version, from 1.
    version: String,
}

/// `GET /Consent/ID` and `GET /Consent/ID/_history/VERSION`.
pub(super) async fn read(
    api: &Arc<Api>,
    caller: &Caller,
    id: &str,
    version: Option<&str>,
    request: &Request,
) -> Answer {
    let versions = match versions(api, caller, id) {
        Ok(versions) => versions,
        Err(answer) => return answer,
    };
    let at = match version {
        Some(text) => match text.parse::<usize>() {
            Ok(number) if number >= 1 && number <= versions.len() && number.to_string() == text => number - 1,
            _ => return Answer::not_found(),
        },
        None => match versions.iter().rposition(|found| matches!(found.state, State::Recorded(_))) {
            Some(at) => at,
            None => {
                let number = versions.last().expect("there is one").number;
                return api.accepted(number).with(header::RETRY_AFTER, "5");
            }
        },
    };
    let found = &versions[at];
    let State::Recorded(recorded) = &found.state else {
        return api.accepted(found.number).with(header::RETRY_AFTER, "5");
    };
    let is_newest = at + 1 == versions.len();
    match opened_version(api, recorded, id, at + 1, is_newest).await {
        Ok(Some(found)) => {
            let tag = etag(&found.version);
            // A Consent that was ended elsewhere has the version that it had: only the whole of it says so.
            if request.if_none_match.as_deref() == Some(&tag) && found.resource["status"] != "inactive" {
                return Answer::empty(StatusCode::NOT_MODIFIED).with(header::ETAG, tag);
            }
            let modified = found.resource["meta"]["lastUpdated"].as_str().unwrap_or_default().to_owned();
            let answer = Answer::resource(StatusCode::OK, found.resource).with(header::ETAG, tag);
            match http_date(&modified) {
                Some(date) => answer.with(header::LAST_MODIFIED, date),
                None => answer,
            }
        }
        Ok(None) => {
            let why = "its content was erased: that it was recorded stays on record";
            Answer::issue(StatusCode::GONE, Issue::error("deleted", why))
        }
        Err(error) => of_client(&error),
    }
}

/// A time as HTTP writes it.
fn http_date(instant: &str) -> Option<String> {
    let at: jiff::Timestamp = instant.parse().ok()?;
    Some(at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

/// The versions of a Consent that the caller may know of, oldest first: one at least.
fn versions(api: &Api, caller: &Caller, id: &str) -> Result<Vec<Found>, Answer> {
    let versions = api.index.versions(Kind::Consent.name(), id).map_err(|error| of_index(&error))?;
    let own = |found: &Found| Api::seen_by(caller).is_none_or(|own| own == found.source);
    match versions.first().is_some_and(own) {
        true => Ok(versions),
        false => Err(Answer::not_found()),
    }
}

/// A version, opened from the log; none where it was erased.
async fn opened_version(
    api: &Api,
    recorded: &Recorded,
    id: &str,
    version: usize,
    is_newest: bool,
) -> Result<Option<Version>, ClientError> {
    let session = api.ledger.session().await?;
    let parts = opened::parts(&session, recorded).await?;
    let Some(document) = parts.open.iter().find_map(super::opened::Part::document) else { return Ok(None) };
    let version = version.to_string();
    let mut resource = opened::served(document, id, &version, recorded.time_ms);
    if is_newest && resource["status"] == "active" && is_ended(&session, recorded, &parts).await? {
        resource["status"] = json!("inactive");
    }
    Ok(Some(Version { resource, version }))
}

/// Whether every directive of a Consent was ended since.
async fn is_ended(session: &Session, recorded: &Recorded, parts: &Parts) -> Result<bool, ClientError> {
    let Some(first) = parts.open.first() else { return Ok(false) };
    let Ok(tag) = PatientTag::from_slice(&first.tag) else { return Ok(false) };
    let known = match Known::fetch(session, (tag, None), AsOf::Now).await {
        Ok(known) => known,
        // The party may not read the rules of patients: then the Consent is served as it was given.
        Err(ClientError::Rejected(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    let places = recorded.first_index..recorded.first_index + u64::from(recorded.count);
    let mut own =
        known.open.state.directives().iter().filter(|entry| places.contains(&entry.stamp.index.get())).peekable();
    Ok(own.peek().is_some() && own.all(|entry| entry.ended_by.is_some()))
}

/// `GET /Consent` and `POST /Consent/_search`.
pub(super) async fn search(api: &Arc<Api>, caller: &Caller, request: &Request) -> Answer {
    let cursor = match request.parameter("_cursor") {
        None => None,
        Some(text) => match api.cursors.open(text, &caller.client.name) {
            Some(cursor) if cursor.kind == Kind::Consent.name() => Some(cursor),
            _ => return Answer::bad("value", "this cursor isn't one of this client's: begin the search again"),
        },
    };
    let mut parameters = cursor.as_ref().map_or_else(|| request.parameters.clone(), |cursor| cursor.parameters.clone());
    if let Some(cursor) = &cursor {
        let count = ("_count".to_owned(), cursor.count.to_string());
        parameters.push(request.parameters.iter().find(|(name, _)| name == "_count").cloned().unwrap_or(count));
    }
    let query = match Query::parse(Kind::Consent, &parameters, request.is_strict) {
        Ok(query) => query,
        Err(error) => return Answer::bad("not-supported", error.to_string()),
    };
    if query.patients.is_empty() && query.ids.is_none() {
        let why = "say whose Consents: patient, patient.identifier or _id";
        return Answer::bad("required", why);
    }
    match page(api, caller, &query, cursor.map(|cursor| Row { up_to: cursor.pin, last: cursor.after })).await {
        Err(answer) => answer,
        Ok((found, next)) => bundle(api, caller, request, &query, found, next),
    }
}

fn bundle(
    api: &Api,
    caller: &Caller,
    request: &Request,
    query: &Query,
    found: Vec<Value>,
    next: Option<Row>,
) -> Answer {
    let mut links = vec![json!({"relation": "self", "url": self_url(api, request, query)})];
    if let Some(next) = next.filter(|_| query.count > 0) {
        let (parameters, kind) = (query.used.clone(), Kind::Consent.name().to_owned());
        let cursor = Cursor { parameters, kind, pin: next.up_to, after: next.last, count: query.count };
        match api.cursors.seal(&cursor, &caller.client.name) {
            Ok(cursor) => links.push(json!({"relation": "next", "url": api.url(&format!("Consent?_cursor={cursor}"))})),
            Err(why) => {
                tracing::error!(%why, "a cursor can't be made");
                let issue = Issue::error("exception", "the next page can't be named: ask again");
                return Answer::issue(StatusCode::INTERNAL_SERVER_ERROR, issue);
            }
        }
    }
    let entry = |consent: Value| {
        let url = api.url(&format!("Consent/{}", consent["id"].as_str().unwrap_or_default()));
        json!({"fullUrl": url, "resource": consent, "search": {"mode": "match"}})
    };
    let mut entries: Vec<Value> = found.into_iter().map(entry).collect();
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

/// The spellings under which the index has a patient.
fn spelled(wanted: &PatientWanted) -> Vec<String> {
    match wanted {
        PatientWanted::Reference(text) if text.contains('/') => vec![text.clone()],
        PatientWanted::Reference(id) => vec![id.clone(), format!("Patient/{id}")],
        PatientWanted::Identifier(system, value) if system.is_empty() => vec![value.clone()],
        PatientWanted::Identifier(system, value) => vec![format!("{system}|{value}")],
    }
}

async fn page(
    api: &Arc<Api>,
    caller: &Caller,
    query: &Query,
    after: Option<Row>,
) -> Result<(Vec<Value>, Option<Row>), Answer> {
    let up_to = match after {
        Some(row) => row.up_to,
        None => api.index.last().map_err(|error| of_index(&error))?,
    };
    let mut at = after.unwrap_or(Row { up_to, last: i64::MAX as u64 });
    let terms: Vec<(Term, Vec<String>)> =
        query.patients.iter().map(|any| (Term::Patient, any.iter().flat_map(spelled).collect())).collect();
    let mut out = Vec::new();
    if query.count == 0 {
        return Ok((out, None));
    }
    // Ids alone: they are looked up.
    let mut named: HashMap<u64, (String, usize, Found)> = HashMap::new();
    for id in query.ids.iter().flatten() {
        let Ok(versions) = versions(api, caller, id) else { continue };
        let newest = versions.iter().rposition(|found| matches!(found.state, State::Recorded(_)));
        if let Some(newest) = newest {
            let found = versions[newest].clone();
            named.insert(found.number.0, (id.clone(), newest + 1, found));
        }
    }
    let mut looked_at = 0;
    loop {
        let (rows, more) = match query.ids.is_some() {
            true => {
                let mut rows: Vec<Found> = named.values().map(|(_, _, found)| found.clone()).collect();
                rows.retain(|found| found.number.0 <= at.up_to && found.number.0 < at.last);
                rows.sort_by_key(|found| std::cmp::Reverse(found.number));
                (rows, None)
            }
            false => {
                let search = Search {
                    terms: terms.clone(),
                    source: Api::seen_by(caller),
                    after: Some(at),
                    ..Search::all("Consent", (query.count + 1).min(PAGE_MAX))
                };
                let page = api.index.search(&search).map_err(|error| of_index(&error))?;
                (page.rows, page.next)
            }
        };
        for found in &rows {
            if out.len() >= query.count || looked_at >= LOOKED_AT_MAX {
                return Ok((out, Some(at)));
            }
            looked_at += 1;
            if let State::Recorded(recorded) = &found.state
                && let Some(consent) = fitting(api, recorded, query).await?
            {
                out.push(consent);
            }
            at.last = found.number.0;
        }
        match more {
            Some(next) => at = next,
            None => return Ok((out, None)),
        }
    }
}

/// The Consent of a row, where it fits. Its id stands in the document that was recorded.
async fn fitting(api: &Api, recorded: &Recorded, query: &Query) -> Result<Option<Value>, Answer> {
    let session = api.ledger.session().await.map_err(|error| of_client(&error))?;
    let parts = opened::parts(&session, recorded).await.map_err(|error| of_client(&error))?;
    let Some(document) = parts.open.iter().find_map(super::opened::Part::document) else { return Ok(None) };
    let id = document["id"].as_str().unwrap_or_default().to_owned();
    let version = document["meta"]["versionId"].as_str().unwrap_or("1").to_owned();
    let mut consent = opened::served(document, &id, &version, recorded.time_ms);
    let ended = is_ended(&session, recorded, &parts).await.map_err(|error| of_client(&error))?;
    if consent["status"] == "active" && ended {
        consent["status"] = json!("inactive");
    }
    if !query.patients.is_empty()
        && query.ids.is_some()
        && !query.patients.iter().all(|any| any.iter().any(|one| names(&consent, one)))
    {
        return Ok(None);
    }
    Ok(matching::fits(&consent, query).then_some(consent))
}

/// Whether a Consent names this patient.
fn names(consent: &Value, wanted: &PatientWanted) -> bool {
    let patient = &consent["patient"];
    match wanted {
        PatientWanted::Identifier(system, value) => {
            let bare = |system: &str| system.strip_prefix("urn:oid:").unwrap_or(system).to_owned();
            let own = &patient["identifier"];
            own["value"] == value.as_str()
                && (system.is_empty() || bare(own["system"].as_str().unwrap_or_default()) == bare(system))
        }
        PatientWanted::Reference(text) => {
            let own = patient["reference"].as_str().unwrap_or_default();
            own == text || own.ends_with(&format!("/{text}"))
        }
    }
}
