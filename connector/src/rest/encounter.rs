//! `POST /Encounter`: a visit moves a care team, as a message of HL7 v2 does. The Encounter itself isn't kept: what goes on record is who
//! joins and who leaves, as `adt.toml` maps it.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::Value;
use sillage_client::clock::now_ms;

use super::request::Request;
use super::{Api, not_taken, of_type};
use crate::adt::encounter::{admitted, records};
use crate::arrival::{Arrival, Door, NotTaken, Refusal, Taken};
use crate::http::answer::Answer;
use crate::http::auth::Caller;
use crate::http::outcome::Issue;

/// Records what an Encounter says of care teams.
pub(super) async fn create(api: &Arc<Api>, caller: &Caller, request: Request) -> Answer {
    let Some(mapping) = &api.adt else {
        let why =
            "this connector maps no Encounters: its operator names the file of wards and professionals ([adt] mapping)";
        return Answer::issue(StatusCode::NOT_FOUND, Issue::error("not-supported", why));
    };
    let encounter = match of_type(&request, "Encounter") {
        Ok(encounter) => encounter,
        Err(answer) => return answer,
    };
    let lines = match records(encounter, mapping, now_ms()) {
        Ok(lines) => lines,
        Err(unread) => {
            let issue = Issue::error("invalid", unread.reason.clone()).at(unread.path.clone());
            let refusal = Refusal::coded(unread.path, "", unread.reason);
            let arrival = arrival(caller, request.raw.to_vec(), Value::Null);
            return match api.intake.refuse(arrival, refusal).await {
                NotTaken::Refused(_) => Answer::issue(StatusCode::UNPROCESSABLE_ENTITY, issue),
                other => not_taken(&other),
            };
        }
    };
    if let Some(patient) = admitted(encounter) {
        // If there is no room, the patient's rules are fetched when the patient comes again.
        let _full = api.emergency.admitted().try_send(patient);
    }
    if lines.is_empty() {
        let why = "it changes no care team: nothing goes on record";
        return Answer::issue(StatusCode::OK, Issue::information(why));
    }
    let (mut recorded, mut waiting, mut refused) = (Vec::new(), None, None);
    // In their order: who leaves and joins again joins last.
    for line in lines {
        let arrival = arrival(caller, line.to_string().into_bytes(), line);
        // If one line has waited in vain, the next needn't wait.
        let taken = match waiting {
            None => api.intake.take(arrival).await,
            Some(_) => api.intake.take_within(arrival, Duration::ZERO).await,
        };
        match taken {
            Ok(Taken::Recorded { first_index, .. }) => recorded.push(first_index.to_string()),
            Ok(Taken::Spooled { number, .. }) => waiting = waiting.or(Some(number)),
            // One that is refused holds up nobody who stands behind it: who leaves, leaves.
            Err(error @ NotTaken::Refused(_)) => refused = refused.or(Some(error)),
            // The lines before stay taken: the same Encounter again repeats none of them.
            Err(error) => return not_taken(&error),
        }
    }
    if let Some(error) = refused {
        return not_taken(&error);
    }
    match waiting {
        Some(number) => api.accepted(number),
        None => {
            let why = format!("the care team is on record at index {}", recorded.join(", "));
            Answer::issue(StatusCode::OK, Issue::information(why))
        }
    }
}

/// Through the door of admissions, so that it is handed in again from quarantine as what it is.
fn arrival(caller: &Caller, raw: Vec<u8>, resource: Value) -> Arrival {
    let (source, base) = (caller.client.name.clone(), String::new());
    Arrival { door: Door::Adt, source, received_ms: now_ms(), raw, resource, base, replaces: false }
}
