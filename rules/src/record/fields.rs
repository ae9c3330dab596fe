//! The bounds of every field of a record.

use sillage_proto::v1;

use crate::check::{
    Checked, at_most, authentication, check_actor, check_correlation, check_item, code, line, required, text, too_long,
};
use crate::error::RecordError;
use crate::kind::Kind;
use crate::limits::*;
use crate::{guard, json, login, voiding};

/// Checks every field but version, kind, tag, time and act.
pub(super) fn check(kind: Kind, record: &v1::Record) -> Checked {
    if kind == Kind::RECORDS_VOIDED && record.act.is_none() {
        return voiding::check_notice(record);
    }
    if kind.is_act() {
        return act_alone(kind, record);
    }
    if !record.signatures.is_empty() && !guard::may_be_cosigned(kind) {
        return Err(RecordError::malformed("signatures", "records of this kind carry no further signatures"));
    }
    guard::check_signatures(&record.signatures)?;
    who(kind, record)?;
    at_most("items", record.items.len(), ITEMS_MAX)?;
    for (position, item) in record.items.iter().enumerate() {
        check_item(item).map_err(|error| error.within(&format!("items[{position}]")))?;
    }
    code("purpose", &record.purpose)?;
    by_what_right(record)?;
    if v1::Outcome::try_from(record.outcome).is_err() {
        return Err(RecordError::malformed("outcome", format!("unknown outcome {}", record.outcome)));
    }
    text("outcome_text", &record.outcome_text, TEXT_BYTES_MAX)?;
    if let Some(place) = &record.place {
        check_place(place).map_err(|error| error.within("place"))?;
    }
    if let Some(deferred) = &record.deferred {
        required("deferred.reason", &deferred.reason)?;
        text("deferred.reason", &deferred.reason, TEXT_BYTES_MAX)?;
    }
    if let Some(correlation) = &record.correlation {
        check_correlation(correlation).map_err(|error| error.within("correlation"))?;
    }
    details(&record.details)?;
    if let Some(will) = &record.will {
        login::check(kind, will).map_err(|error| error.within("will"))?;
    }
    if let Some(original) = &record.original {
        required("original.media_type", &original.media_type)?;
        code("original.media_type", &original.media_type)?;
    }
    Ok(())
}

/// Acts aren't sealed: nothing may stand in them that names a person.
fn act_alone(kind: Kind, record: &v1::Record) -> Checked {
    let alone = v1::Record {
        version: record.version,
        kind: record.kind,
        // Of the patient whose payloads are erased; the tag was checked against the kind.
        tag: record.tag.clone(),
        occurred_at_ms: record.occurred_at_ms,
        act: record.act.clone(),
        signatures: record.signatures.clone(),
        ..v1::Record::default()
    };
    if kind == Kind::RECORDS_VOIDED && !record.tag.is_empty() {
        return Err(RecordError::malformed("tag", "the act itself concerns no patient: the ledger tells each of it"));
    }
    if *record != alone {
        let why =
            "an act of the authority is public: it has kind, time and act, its tag where it erases, and nothing else";
        return Err(RecordError::malformed("", why));
    }
    guard::check_signatures(&record.signatures)
}

fn who(kind: Kind, record: &v1::Record) -> Checked {
    match &record.actor {
        Some(actor) => check_actor(actor).map_err(|error| error.within("actor"))?,
        None if record.automated.is_some() || !kind.has_patient() => {}
        None => {
            let why = "missing: who did it, or `automated` where a software acted on its own";
            return Err(RecordError::malformed("actor", why));
        }
    }
    if let Some(automated) = &record.automated {
        required("automated.software", &automated.software)?;
        line("automated.software", &automated.software, LABEL_BYTES_MAX)?;
        line("automated.version", &automated.version, TOKEN_BYTES_MAX)?;
    }
    authentication(record.auth.as_ref())?;
    at_most("agents", record.agents.len(), AGENTS_MAX)?;
    for (position, agent) in record.agents.iter().enumerate() {
        check_agent(agent).map_err(|error| error.within(&format!("agents[{position}]")))?;
    }
    Ok(())
}

fn check_agent(agent: &v1::Agent) -> Checked {
    code("type", &agent.r#type)?;
    line("network_address", &agent.network_address, ID_BYTES_MAX)?;
    match &agent.who {
        Some(who) => check_actor(who).map_err(|error| error.within("who")),
        None if agent.network_address.is_empty() => {
            Err(RecordError::malformed("who", "an agent has a name or a network address"))
        }
        None => Ok(()),
    }
}

fn by_what_right(record: &v1::Record) -> Checked {
    let Some(basis) = &record.basis else {
        return Ok(());
    };
    match v1::BasisKind::try_from(basis.kind) {
        Err(_) => {
            let why = format!("unknown basis {}", basis.kind);
            return Err(RecordError::malformed("basis.kind", why));
        }
        Ok(v1::BasisKind::None) => {
            let why = "missing: leave the basis out where there is none";
            return Err(RecordError::malformed("basis.kind", why));
        }
        Ok(_) => {}
    }
    line("basis.ref", &basis.r#ref, ID_BYTES_MAX)
}

fn check_place(place: &v1::Place) -> Checked {
    line("site", &place.site, ID_BYTES_MAX)?;
    line("network_address", &place.network_address, ID_BYTES_MAX)?;
    line("device", &place.device, ID_BYTES_MAX)?;
    line("observer", &place.observer, ID_BYTES_MAX)
}

fn details(details: &str) -> Checked {
    if details.is_empty() {
        return Ok(());
    }
    if details.len() > DETAILS_BYTES_MAX {
        return Err(too_long("details", details.len(), DETAILS_BYTES_MAX));
    }
    json::check_object(details, DETAILS_DEPTH_MAX).map_err(|error| RecordError::malformed("details", error.to_string()))
}
