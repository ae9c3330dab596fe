//! `POST [base]`: a Bundle of the type `batch`, each entry by itself, as FHIR says.

use std::sync::Arc;

use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::request::Request;
use super::{Api, of_type};
use crate::http::answer::Answer;
use crate::http::auth::Caller;
use crate::http::outcome::{Issue, outcome};

/// Entries of one Bundle.
pub const ENTRIES_MAX: usize = 1_000;

/// Answers the entries, in their order.
pub(super) async fn answer(api: &Arc<Api>, caller: &Caller, request: Request) -> Answer {
    let bundle = match of_type(&request, "Bundle") {
        Ok(bundle) => bundle,
        Err(answer) => return answer,
    };
    let refused = |status, code, why: &str, at: &str| Answer::issue(status, Issue::error(code, why).at(at));
    match bundle["type"].as_str() {
        Some("batch") => {}
        Some("transaction") => {
            let why = "a transaction would have to be undone where one entry fails, and the ledger undoes nothing: send a batch";
            return refused(StatusCode::UNPROCESSABLE_ENTITY, "not-supported", why, "Bundle.type");
        }
        _ => {
            let why = "POST to the base takes a Bundle of the type batch";
            return refused(StatusCode::BAD_REQUEST, "value", why, "Bundle.type");
        }
    }
    let entries = match &bundle["entry"] {
        Value::Null => &[][..],
        Value::Array(entries) => entries,
        _ => return refused(StatusCode::BAD_REQUEST, "structure", "entry is an array", "Bundle.entry"),
    };
    if entries.len() > ENTRIES_MAX {
        let why = format!("{} entries: a Bundle has at most {ENTRIES_MAX}, send several", entries.len());
        return refused(StatusCode::PAYLOAD_TOO_LARGE, "too-costly", &why, "Bundle.entry");
    }
    if let Err(answer) = caller.count(entries.len().saturating_sub(1)) {
        return answer;
    }
    let mut work = JoinSet::new();
    let mut answers: Vec<Option<Answer>> = vec![None; entries.len()];
    for (at, entry) in entries.iter().enumerate() {
        let asked = match Request::of_entry(entry, &api.base) {
            Ok(asked) => asked,
            Err(answer) => {
                answers[at] = Some(answer);
                continue;
            }
        };
        if asked.raw.len() > api.limits.resource_bytes_max {
            let why = format!("the resource is over {} bytes", api.limits.resource_bytes_max);
            answers[at] = Some(refused(StatusCode::PAYLOAD_TOO_LARGE, "too-long", &why, "Bundle.entry.resource"));
            continue;
        }
        if asked.path.is_empty() {
            let why = "a batch in a batch isn't taken: send its entries in the outer one";
            answers[at] = Some(refused(StatusCode::BAD_REQUEST, "not-supported", why, "Bundle.entry.request.url"));
            continue;
        }
        if let Some(answer) = api.open_to_all(&asked) {
            answers[at] = Some(answer);
            continue;
        }
        let answering = Arc::clone(api).answer_entry(caller.clone(), asked);
        // Together, so that what waits is recorded together.
        work.spawn(async move { (at, answering.await) });
    }
    while let Some(done) = work.join_next().await {
        if let Ok((at, answer)) = done {
            answers[at] = Some(answer);
        }
    }
    let entries: Vec<Value> = answers.into_iter().map(|answer| entry(answer.unwrap_or_else(broken))).collect();
    Answer::resource(StatusCode::OK, json!({"resourceType": "Bundle", "type": "batch-response", "entry": entries}))
}

/// A handler that ended without an answer: whether its entry is on record isn't known.
fn broken() -> Answer {
    let why = "this entry wasn't answered: send it again, a repetition is recorded once";
    Answer::issue(StatusCode::INTERNAL_SERVER_ERROR, Issue::error("exception", why))
}

fn entry(answer: Answer) -> Value {
    let reason = answer.status.canonical_reason().unwrap_or_default();
    let mut response = json!({"status": format!("{} {reason}", answer.status.as_u16()).trim_end()});
    if let Some(location) = answer.header(&header::LOCATION) {
        response["location"] = json!(location);
    }
    if let Some(etag) = answer.header(&header::ETAG) {
        response["etag"] = json!(etag);
    }
    let mut out = json!({});
    match answer.resource {
        Some(resource) if resource["resourceType"] == "OperationOutcome" => response["outcome"] = resource,
        Some(resource) if !answer.is_plain => {
            if let Some(time) = resource["meta"]["lastUpdated"].as_str() {
                response["lastModified"] = json!(time);
            }
            out["resource"] = resource;
        }
        Some(_) => {
            response["outcome"] = outcome(&[Issue::information("this path gives no resource: ask for it alone")])
        }
        None => {}
    }
    out["response"] = response;
    out
}
