//! Rules that decide beside directives (masks, blocks, oppositions, embargoes, the space, representatives, a minor's secrecy, the
//! care team, the attending doctor) as a Consent.
//!
//! FHIR has no word for most of it. The extension `rule` says exactly what is on record, and `sillage import --fhir`
//! reads that ([`crate::import::consent`]). Beside it stands what another reader needs so as not to do what is
//! forbidden: whatever takes access away is a provision that denies at least as much. A rule that gives access, or that
//! no denial can express, stands in `modifierExtension`: a reader who doesn't know it may not act on the Consent at
//! all. No profile of IHE PCF is claimed.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sillage_proof::hash::LeafIndex;
use sillage_proto::v1;
use sillage_rules::consent::in_force::Holding;
use sillage_rules::consent::name::PATIENT_SYSTEM;
use sillage_rules::consent::state::FOR_EVER;
use sillage_rules::consent::{Action, ActorName, Event, PatientState, Representation};
use sillage_rules::kind::Kind;
use sillage_rules::record::ParsedRecord;
use sillage_rules::time::TimeMs;

use super::audit_event::authentication;
use super::consent::{Frame, action, actor_entry, entry_extension, frame, last_ms_before, signer};
use super::history::Directives;
use super::{Trace, coding, extension_of, names, object, part};
use crate::import::consent::codes;
use crate::import::consent::{EXTENSION_RULE_NAME, SYSTEM_RULE};

/// A record of which something still holds.
#[derive(Debug, Clone)]
pub struct Held<'a> {
    /// The part of it that holds.
    pub holding: Holding,
    /// The record.
    pub record: &'a ParsedRecord,
    /// Kept from representatives.
    pub secret: bool,
}

impl Held<'_> {
    /// Its place in the log.
    fn index(&self) -> LeafIndex {
        self.holding.stamp.index
    }

    /// Representatives come first: others of these records may be signed by them. One that a representative registered comes
    /// after those that anybody else did.
    pub fn order(&self) -> (u8, LeafIndex) {
        let message = self.record.message();
        let by_patient = message.actor.as_ref().is_some_and(|actor| actor.system == PATIENT_SYSTEM);
        let of_law = representation(message).is_some_and(|representation| representation.relation.is_of_law());
        match self.record.kind() {
            Kind::REPRESENTATION_REGISTERED if by_patient || of_law => (0, self.index()),
            Kind::REPRESENTATION_REGISTERED => (1, self.index()),
            _ => (2, self.index()),
        }
    }
}

/// Every record of a trace of which something holds when it is read, in the order of the log.
pub fn held<'a>(directives: &Directives<'a>, trace: &Trace) -> Vec<Held<'a>> {
    let of = |state: &PatientState| state.holdings(trace.read_at_ms.into());
    let all: BTreeMap<LeafIndex, Holding> = directives.states().iter().flat_map(of).collect();
    let one = |(index, holding)| {
        let (record, secret) = directives.record(index)?;
        Some(Held { holding, record, secret })
    };
    all.into_iter().filter_map(one).collect()
}

fn representation(message: &v1::Record) -> Option<Representation> {
    serde_json::from_str(&message.details).ok()
}

/// The Consent of a record of which something holds.
pub fn consent(held: &Held<'_>, trace: &Trace) -> Value {
    let message = held.record.message();
    let signer = signer(message);
    let rule = extension_of(EXTENSION_RULE_NAME, rule_parts(held, &signer));
    let provision = provision(held, trace);
    let mut extensions = vec![entry_extension(held.index(), held.holding.stamp.time.get(), held.secret)];
    extensions.extend(message.auth.as_ref().and_then(authentication));
    let mut modifiers = Vec::new();
    if provision.is_null() { &mut modifiers } else { &mut extensions }.push(rule);
    frame(Frame {
        id: format!("l{}", held.index()),
        extensions,
        modifiers,
        identifier: (SYSTEM_RULE, format!("{}#{}", trace.origin, held.index())),
        is_active: true,
        given_ms: message.occurred_at_ms,
        signer: &signer,
        index: held.index(),
        provision,
        trace,
    })
}

/// The record as it is to be made again.
fn rule_parts(held: &Held<'_>, signer: &v1::Actor) -> Vec<Value> {
    let mut parts = vec![part("kind", "Code", held.record.kind().token())];
    let details = details(held);
    if !matches!(details.trim(), "" | "{}") {
        parts.push(part("details", "String", details));
    }
    parts.extend(held.holding.items.iter().map(|item| part("item", "String", item.clone())));
    for (name, text) in [("role", &signer.role), ("organisation", &signer.organisation)] {
        if !text.trim().is_empty() {
            parts.push(part(name, "String", text.clone()));
        }
    }
    parts
}

/// The details, without what doesn't hold any more. A representation says when it began: elsewhere it is recorded later.
fn details(held: &Held<'_>) -> String {
    let message = held.record.message();
    match held.record.kind() {
        Kind::EMERGENCY_OPPOSITION => json!({"cases": held.holding.cases}).to_string(),
        Kind::REPRESENTATION_REGISTERED => match representation(message) {
            Some(said) => {
                let from = Some(TimeMs(held.holding.period.from.get()));
                // Every log has tags of its own.
                let said = Representation { from, representative_tag: None, ..said };
                serde_json::to_string(&said).unwrap_or_else(|_| message.details.clone())
            }
            None => message.details.clone(),
        },
        _ => message.details.clone(),
    }
}

/// A provision that denies at least what the record does; null where that can't be said, or the record gives access.
fn provision(held: &Held<'_>, trace: &Trace) -> Value {
    let event = Event::of(held.record).ok().flatten();
    let data: Value =
        held.holding.items.iter().map(|item| json!({"meaning": "instance", "reference": names::item(item)})).collect();
    let mut said = vec![("type", json!("deny")), ("period", period(held))];
    match event {
        Some(Event::SpaceOpposed | Event::SpaceClosed) => {}
        Some(Event::Masked { .. }) => said.push(("data", data)),
        Some(Event::Blocked { professional }) => said.push(("actor", json!([named(&professional, trace)]))),
        Some(Event::EmergencyOpposed { .. }) => said.push(("purpose", json!([codes::purpose_coding("BTG")]))),
        Some(Event::FeedOpposed(feed)) => {
            // A source that is no actor's name is a structure or a profession: which one, the text doesn't say.
            if let Ok(source) = feed.source.parse::<ActorName>() {
                said.push(("actor", json!([named(&source, trace)])));
            }
            said.push(("action", json!([action(Action::Write)])));
            let class = feed.category.map(|category| coding(codes::category_system(&category), &category, ""));
            said.push(("class", class.into_iter().collect()));
        }
        Some(Event::Embargoed { .. }) => {
            let in_their_place = json!({"type": "RelatedPerson", "display": "whoever represents the patient"});
            let hidden_from = [trace.subject.reference(), in_their_place].map(actor_entry);
            said.extend([("actor", json!(hidden_from)), ("data", data)]);
        }
        _ => return Value::Null,
    }
    object(said)
}

fn period(held: &Held<'_>) -> Value {
    let period = held.holding.period;
    let end = (period.until != FOR_EVER).then(|| last_ms_before(TimeMs(period.until.get())));
    object(vec![("start", json!(TimeMs(period.from.get()).to_string())), ("end", json!(end))])
}

/// Someone who is denied.
fn named(name: &ActorName, trace: &Trace) -> Value {
    let mut reference = names::reference(name.system(), name.id(), "", &trace.subject);
    if reference.get("type").is_none() && reference.get("reference").is_none() {
        reference["type"] = json!("Practitioner");
    }
    actor_entry(reference)
}
