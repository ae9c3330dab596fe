//! Consents: created, updated, revoked. A Consent that changed replaces its directives in one batch, which the recorder makes.

use std::sync::Arc;

use axum::http::{StatusCode, header};
use serde_json::{Value, json};

use super::{is_ended, opened_version, versions};
use crate::arrival::{Place, ResourceId, Taken};
use crate::http::answer::Answer;
use crate::http::auth::Caller;
use crate::http::outcome::Issue;
use crate::http::scopes::Kind;
use crate::index::{Found, State, VERSIONS_MAX};
use crate::rest::audit_event::etag;
use crate::rest::opened;
use crate::rest::request::{Request, Return};
use crate::rest::{Api, of_client, of_index, of_type};

/// `POST /Consent`.
pub(in crate::rest) async fn create(api: &Arc<Api>, caller: &Caller, request: Request) -> Answer {
    let consent = match of_type(&request, "Consent") {
        Ok(consent) => consent.clone(),
        Err(answer) => return answer,
    };
    if request.if_none_exist.is_some() {
        let why = "If-None-Exist isn't supported for Consents: a repetition of the same request is known as one";
        return Answer::bad("not-supported", why);
    }
    let id = match new_id() {
        Ok(id) => id,
        Err(answer) => return answer,
    };
    let consent = opened::served(consent, &id, "1", sillage_client::clock::now_ms());
    record(api, caller, &request, consent, (&id, 1)).await
}

/// An id that nobody guesses.
fn new_id() -> Result<String, Answer> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| {
        let why = "the system gives no randomness: ask its operator";
        Answer::issue(StatusCode::INTERNAL_SERVER_ERROR, Issue::error("exception", why))
    })?;
    Ok(hex::encode(bytes))
}

/// `PUT /Consent/ID`.
pub(in crate::rest) async fn update(api: &Arc<Api>, caller: &Caller, id: &str, request: Request) -> Answer {
    let consent = match of_type(&request, "Consent") {
        Ok(consent) => consent.clone(),
        Err(answer) => return answer,
    };
    if consent["id"].as_str() != Some(id) {
        let why = "the id in the Consent is another one than in the URL";
        return Answer::issue(StatusCode::BAD_REQUEST, Issue::error("value", why).at("Consent.id"));
    }
    let _one = api.consents.lock().await;
    let before = match newest(api, caller, id, &request) {
        Ok(before) => before,
        Err(answer) => return answer,
    };
    let old = match document(api, &before, id).await {
        Ok(old) => old,
        Err(answer) => return answer,
    };
    if !is_of_same_patient(&old, &consent) {
        let why = "a Consent stays with its patient: create another one for another patient";
        return Answer::issue(
            StatusCode::UNPROCESSABLE_ENTITY,
            Issue::error("business-rule", why).at("Consent.patient"),
        );
    }
    if before.version >= VERSIONS_MAX {
        let why =
            format!("the Consent has {VERSIONS_MAX} versions, and takes no other: revoke it, and create another one");
        return Answer::issue(StatusCode::CONFLICT, Issue::error("too-costly", why).at("Consent.meta.versionId"));
    }
    let version = before.version + 1;
    let consent = opened::served(consent, id, &version.to_string(), sillage_client::clock::now_ms());
    record(api, caller, &request, consent, (id, version)).await
}

/// `DELETE /Consent/ID`: its directives end. Nothing is deleted: it is read as `inactive` from then on.
pub(in crate::rest) async fn revoke(api: &Arc<Api>, caller: &Caller, id: &str, request: &Request) -> Answer {
    let _one = api.consents.lock().await;
    let before = match newest(api, caller, id, request) {
        Ok(before) => before,
        Err(answer) => return answer,
    };
    let mut consent = match document(api, &before, id).await {
        Ok(consent) => consent,
        Err(answer) => return answer,
    };
    if consent["status"] == "inactive" {
        return Answer::empty(StatusCode::NO_CONTENT);
    }
    if before.version > VERSIONS_MAX {
        let why = format!("the Consent has over {VERSIONS_MAX} versions: its directives are ended with `sillage`");
        return Answer::issue(StatusCode::CONFLICT, Issue::error("too-costly", why).at("Consent.meta.versionId"));
    }
    consent["status"] = json!("inactive");
    let now_ms = sillage_client::clock::now_ms();
    let version = before.version + 1;
    let consent = opened::served(consent, id, &version.to_string(), now_ms);
    let asked = Request { raw: consent.to_string().into(), wanted: Return::Minimal, ..request.clone() };
    let answer = record(api, caller, &asked, consent, (id, version)).await;
    match answer.status {
        StatusCode::OK | StatusCode::CREATED => {
            Answer::empty(StatusCode::NO_CONTENT).with(header::ETAG, etag(&version.to_string()))
        }
        _ => answer,
    }
}

/// The version before a change.
struct Before {
    found: Found,
    version: usize,
}

/// The newest version of a Consent, where `If-Match` names it or nothing.
fn newest(api: &Api, caller: &Caller, id: &str, request: &Request) -> Result<Before, Answer> {
    let versions = versions(api, caller, id)?;
    let version = versions.len();
    if let Some(asked) = &request.if_match {
        let own = etag(&version.to_string());
        let named = asked.split(',').map(str::trim).any(|one| one == own || one == "*" || format!("W/{one}") == own);
        if !named {
            let why =
                format!("the Consent is at version {version}: read it, and send the change again with If-Match: {own}");
            return Err(Answer::issue(StatusCode::PRECONDITION_FAILED, Issue::error("conflict", why)));
        }
    }
    let found = versions.into_iter().next_back().expect("there is one");
    Ok(Before { found, version })
}

/// The document of the newest version.
async fn document(api: &Api, before: &Before, id: &str) -> Result<Value, Answer> {
    let State::Recorded(recorded) = &before.found.state else {
        let why = "the version before isn't on record yet, the nodes are out of reach: send the change again later";
        let answer = Answer::issue(StatusCode::SERVICE_UNAVAILABLE, Issue::error("transient", why));
        return Err(answer.with(header::RETRY_AFTER, "5"));
    };
    match opened_version(api, recorded, id, before.version, true).await {
        Ok(Some(version)) => Ok(version.resource),
        Ok(None) => Err(Answer::issue(StatusCode::GONE, Issue::error("deleted", "its content was erased"))),
        Err(error) => Err(of_client(&error)),
    }
}

/// Whether both name one patient: by an identifier that both have, or by the same reference.
fn is_of_same_patient(old: &Value, new: &Value) -> bool {
    let of = |consent: &Value| {
        let patient = &consent["patient"];
        let identifier = (patient["identifier"]["system"].clone(), patient["identifier"]["value"].clone());
        (identifier, patient["reference"].clone())
    };
    let ((old_id, old_reference), (new_id, new_reference)) = (of(old), of(new));
    match old_id.1.is_null() && new_id.1.is_null() {
        true => !old_reference.is_null() && old_reference == new_reference,
        false => old_id == new_id,
    }
}

/// Hands a version in, and answers.
async fn record(
    api: &Arc<Api>,
    caller: &Caller,
    request: &Request,
    consent: Value,
    (id, version): (&str, usize),
) -> Answer {
    let mut taken = match api.take(caller, request, consent.clone(), version > 1).await {
        Ok(taken) => taken,
        Err(answer) => return answer,
    };
    if let Taken::Recorded { id: place, repeated: true, .. } = &taken
        && consent["status"] == "active"
    {
        // The same was said before, and ended elsewhere since: it is no retry, it is said anew.
        match is_ended_since(api, place).await {
            Ok(false) => {}
            Ok(true) => match api.take(caller, request, consent.clone(), true).await {
                Ok(anew) => taken = anew,
                Err(answer) => return answer,
            },
            Err(answer) => return answer,
        }
    }
    match taken {
        Taken::Spooled { number, .. } => api.accepted(number),
        Taken::Recorded { id: place, first_index, repeated } => {
            let found = match Place::parse(&place.0).map(|place| api.index.at(&place)) {
                Some(Ok(found)) => found,
                Some(Err(error)) => return of_index(&error),
                None => None,
            };
            let mut served = consent;
            if let Some(Found { state: State::Recorded(recorded), .. }) = &found {
                if repeated {
                    // The first time it had another id: that one counts.
                    match first(api, recorded).await {
                        Ok(Some(first)) => served = first,
                        Ok(None) => {}
                        Err(answer) => return answer,
                    }
                }
                let (id, version) = (text(&served["id"]), text(&served["meta"]["versionId"]));
                served = opened::served(served, &id, &version, recorded.time_ms);
            }
            let (id, version) = match repeated {
                true => (text(&served["id"]), text(&served["meta"]["versionId"])),
                false => (id.to_owned(), version.to_string()),
            };
            let status = if version == "1" && !repeated { StatusCode::CREATED } else { StatusCode::OK };
            let answer = match request.wanted {
                Return::Minimal => Answer::empty(status),
                Return::Outcome => {
                    Answer::issue(status, Issue::information(format!("on record at index {first_index}")))
                }
                Return::Representation => Answer::resource(status, served),
            };
            answer
                .with(header::LOCATION, api.url(&format!("{}/{id}/_history/{version}", Kind::Consent.name())))
                .with(header::ETAG, etag(&version))
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Whether what stands at this place was ended since.
async fn is_ended_since(api: &Api, place: &ResourceId) -> Result<bool, Answer> {
    let Some(place) = Place::parse(&place.0) else { return Ok(false) };
    let found = api.index.at(&place).map_err(|error| of_index(&error))?;
    let Some(Found { state: State::Recorded(recorded), .. }) = found else { return Ok(false) };
    let session = api.ledger.session().await.map_err(|error| of_client(&error))?;
    let parts = opened::parts(&session, &recorded).await.map_err(|error| of_client(&error))?;
    is_ended(&session, &recorded, &parts).await.map_err(|error| of_client(&error))
}

/// The document that was recorded the first time.
async fn first(api: &Api, recorded: &crate::index::Recorded) -> Result<Option<Value>, Answer> {
    let session = api.ledger.session().await.map_err(|error| of_client(&error))?;
    let parts = opened::parts(&session, recorded).await.map_err(|error| of_client(&error))?;
    Ok(parts.open.iter().find_map(opened::Part::document))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consent_stays_with_its_patient() {
        let by = |system: &str, value: &str| json!({"patient": {"identifier": {"system": system, "value": value}}});
        let reference = |reference: &str| json!({"patient": {"reference": reference}});
        assert!(is_of_same_patient(&by("s", "1"), &by("s", "1")));
        assert!(!is_of_same_patient(&by("s", "1"), &by("s", "2")));
        assert!(!is_of_same_patient(&by("s", "1"), &reference("Patient/1")));
        assert!(is_of_same_patient(&reference("Patient/1"), &reference("Patient/1")));
        assert!(!is_of_same_patient(&reference("Patient/1"), &reference("Patient/2")));
        assert!(!is_of_same_patient(&json!({}), &json!({})));
    }
}
