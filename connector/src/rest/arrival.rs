//! `$arrival/N`: how far an event is that was answered `202`.

use axum::http::{StatusCode, header};

use super::{Api, of_index};
use crate::arrival::SpoolNumber;
use crate::http::answer::Answer;
use crate::http::auth::Caller;
use crate::http::outcome::Issue;
use crate::index::State;

/// `202` while it waits, `303` to the resource when it is on record, `422` where the ledger refused it.
pub(super) fn answer(api: &Api, caller: &Caller, number: &str) -> Answer {
    let Some(number) = SpoolNumber::parse(number) else { return Answer::not_found() };
    let found = match api.index.get(number) {
        Ok(found) => found,
        Err(error) => return of_index(&error),
    };
    // Another client's arrivals look as if they weren't there.
    let seen = |source: &str| Api::seen_by(caller).is_none_or(|own| own == source);
    let Some(found) = found.filter(|found| seen(&found.source)) else { return Answer::not_found() };
    match found.state {
        State::Waiting => api.accepted(number).with(header::RETRY_AFTER, "5"),
        State::Recorded(recorded) if found.kind == "AuditEvent" => {
            let url = api.url(&format!("AuditEvent/{}", recorded.place.id()));
            let why = format!("on record at index {}", recorded.first_index);
            Answer::issue(StatusCode::SEE_OTHER, Issue::information(why)).with(header::LOCATION, url)
        }
        State::Recorded(recorded) => {
            let why = format!("on record at index {}", recorded.first_index);
            Answer::issue(StatusCode::OK, Issue::information(why))
        }
        State::Refused(refusal) => {
            let why = format!("refused, and in quarantine: {}", refusal.reason);
            let code = Some(refusal.code).filter(|code| !code.is_empty());
            let issue = Issue { ledger_code: code, ..Issue::error("invalid", why) };
            Answer::issue(StatusCode::UNPROCESSABLE_ENTITY, issue.at(refusal.path))
        }
    }
}
