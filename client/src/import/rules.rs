//! Rules beside directives, from a Consent of our own export: which of them hold already in this log, and how a refusal
//! by the ledger is told.

use std::collections::HashMap;

use sillage_proof::hash::{LeafIndex, LedgerTimeMs};
use sillage_proto::v1::{self, PatientIdentity};
use sillage_rules::codes::Code;
use sillage_rules::consent::in_force::until;
use sillage_rules::consent::name::PATIENT_SYSTEM;
use sillage_rules::consent::state::DirectiveEntry;
use sillage_rules::consent::{Effect, Event, Meta, PatientState, Relation, Representation, is_authenticated};
use sillage_rules::kind::Kind;
use sillage_rules::record::ParsedRecord;

use super::outcome::Refused;
use crate::author::Tags;
use crate::clock::now_ms;
use crate::consent::known::{AsOf, Known, Side};
use crate::error::{ClientError, Rejection};
use crate::session::Session;
use sillage_fhir::import::{Ends, FhirError, MappedRecord};

/// Where a record stands that isn't sent yet: after all that are.
const TO_COME: LeafIndex = LeafIndex(u64::MAX);

/// The rules of a log under one tag of a patient.
struct Here {
    state: PatientState,
    /// The record that ended something here or took its place: when it was said, ms, and the entry.
    endings: Vec<(Event, u64, u64)>,
}

/// The rules that hold for the patients of an import, as far as it was asked for: with what is to be sent, and anew after each batch.
#[derive(Default)]
pub(super) struct InForce {
    /// The open trace's, and the second one's; none where who imports may not know it.
    known: HashMap<(String, String), Option<[Here; 2]>>,
}

impl InForce {
    /// The record by which what a rule says holds already. Where it doesn't, it will, once the rule is sent.
    ///
    /// # Errors
    /// As for [`Known::fetch`].
    pub async fn already(
        &mut self,
        session: &Session,
        tags: &Tags,
        mapped: &MappedRecord,
    ) -> Result<Option<u64>, ClientError> {
        let Some((event, meta)) = understood(&mapped.record) else { return Ok(None) };
        let Some(here) = self.here(session, tags, mapped).await? else { return Ok(None) };
        match here.state.holds_already(&event, &meta) {
            Some(index) if index != TO_COME => Ok(Some(index.get())),
            _ => {
                here.state.apply(&event, &meta);
                Ok(None)
            }
        }
    }

    /// The record of this log that ended, after it was given there, what a document gives: that isn't brought back.
    ///
    /// # Errors
    /// As for [`Known::fetch`].
    pub async fn ended_since(
        &mut self,
        session: &Session,
        tags: &Tags,
        mapped: &MappedRecord,
    ) -> Result<Option<u64>, ClientError> {
        let Some((event, meta)) = understood(&mapped.record) else { return Ok(None) };
        let gives = match &event {
            Event::Directive(directive) => directive.provision.effect == Effect::Permit,
            Event::Represented(_) | Event::Joined(_) | Event::AttendingDeclared { .. } => true,
            _ => false,
        };
        let is_over = matches!(mapped.ends(), Some(Ends::At(until)) if until <= meta.time.get());
        if !gives || is_over {
            return Ok(None);
        }
        let Some(here) = self.here(session, tags, mapped).await? else { return Ok(None) };
        Ok(here.ended(&event, mapped.record.occurred_at_ms))
    }

    /// The directive that stands at `index`: its id, and whether it was ended. Where who imports may not read that, it isn't said.
    ///
    /// # Errors
    /// As for [`Known::fetch`].
    pub async fn standing(
        &mut self,
        session: &Session,
        tags: &Tags,
        mapped: &MappedRecord,
        index: u64,
    ) -> Result<Option<(String, bool)>, ClientError> {
        if mapped.directive.is_none() {
            return Ok(None);
        }
        let Some(here) = self.here(session, tags, mapped).await? else { return Ok(None) };
        let mut entries = here.state.directives().iter();
        let entry = entries.find(|entry| entry.stamp.index.get() == index);
        Ok(entry.map(|entry| {
            let is_over = entry.ended_by.is_some() && entry.period.until.get() <= now_ms();
            (entry.directive.id.clone(), is_over)
        }))
    }

    /// Tells whether a directive of this id is in force, or will be. Where who imports may not read that, it isn't said.
    ///
    /// # Errors
    /// As for [`Known::fetch`].
    pub async fn has_directive(
        &mut self,
        session: &Session,
        tags: &Tags,
        mapped: &MappedRecord,
        id: &str,
    ) -> Result<bool, ClientError> {
        let Some(here) = self.here(session, tags, mapped).await? else { return Ok(false) };
        let mut entries = here.state.directives().iter().filter(|entry| entry.directive.id == id);
        Ok(entries.any(|entry| entry.period.is_alive(now_ms().into())))
    }

    async fn here(
        &mut self,
        session: &Session,
        tags: &Tags,
        mapped: &MappedRecord,
    ) -> Result<Option<&mut Here>, ClientError> {
        let Some(patient) = &mapped.patient else { return Ok(None) };
        let key = (patient.ins.clone(), patient.oid.clone());
        if !self.known.contains_key(&key) {
            self.known.insert(key.clone(), fetch(session, tags, patient).await?);
        }
        let both = self.known.get_mut(&key).and_then(Option::as_mut);
        Ok(both.map(|both| &mut both[usize::from(mapped.secret)]))
    }

    /// Forgets it: something was sent, or refused.
    pub fn forget(&mut self) {
        self.known.clear();
    }
}

impl Here {
    fn of(side: Side) -> Self {
        let endings = side.records.into_iter().filter_map(|decided| {
            let (event, meta) = decided.event?;
            let said_ms = decided.line.record.as_ref()?.occurred_at_ms();
            let ends = matches!(
                event,
                Event::Revoked { .. }
                    | Event::Directive(_)
                    | Event::RepresentationEnded { .. }
                    | Event::Left { .. }
                    | Event::AttendingEnded { .. }
                    | Event::AttendingDeclared { .. }
                    | Event::Blocked { .. }
            );
            ends.then(|| (event, said_ms, meta.index.get()))
        });
        Self { endings: endings.collect(), state: side.state }
    }

    /// The last record said after `given_ms` that ended what `event` gives.
    fn ended(&self, event: &Event, given_ms: u64) -> Option<u64> {
        let by = |index: u64| {
            let ended = |entry: &&DirectiveEntry| entry.ended_by.is_some_and(|by| by.get() == index);
            self.state.directives().iter().find(ended).map(|entry| entry.directive.id.as_str())
        };
        let ends = |(ending, said_ms, index): &&(Event, u64, u64)| {
            let same = match (event, ending) {
                (Event::Directive(given), Event::Revoked { consent }) => *consent == given.id,
                // By one that replaces it.
                (Event::Directive(given), Event::Directive(_)) => by(*index) == Some(given.id.as_str()),
                (Event::Represented(given), Event::RepresentationEnded { representative }) => {
                    *representative == given.representative
                }
                (Event::Joined(given), Event::Left { professional }) => *professional == given.professional,
                (Event::AttendingDeclared { professional }, Event::AttendingEnded { professional: ended }) => {
                    professional == ended
                }
                (Event::AttendingDeclared { professional }, Event::AttendingDeclared { professional: other }) => {
                    professional != other
                }
                (Event::AttendingDeclared { professional }, Event::Blocked { professional: blocked }) => {
                    professional == blocked && self.state.blocks(blocked).is_some()
                }
                _ => false,
            };
            same && *said_ms > given_ms
        };
        self.endings.iter().rev().find(ends).map(|(_, _, index)| *index)
    }
}

/// The refusal of a document that gives what was ended here after it was given there.
pub(super) fn ended_here(by: u64) -> FhirError {
    let why = format!(
        "ended in this log since, by no. {by}: an import doesn't bring it back; who wants it again says so anew"
    );
    FhirError::new("Consent.dateTime", why)
}

/// None where the ledger doesn't tell who imports: then everything is sent.
async fn fetch(session: &Session, tags: &Tags, patient: &PatientIdentity) -> Result<Option<[Here; 2]>, ClientError> {
    let both = tags.both(&patient.ins, &patient.oid).await?;
    match Known::fetch(session, both, AsOf::Now).await {
        Ok(known) => {
            let nothing = || Here { state: PatientState::default(), endings: Vec::new() };
            Ok(Some([Here::of(known.open), known.secret.map_or_else(nothing, Here::of)]))
        }
        Err(ClientError::Rejected(rejection)) if rejection.code == Code::NotEntitled => Ok(None),
        Err(error) => Err(error),
    }
}

/// The meaning of a record, as if it were recorded now. It was mapped, so it is understood.
fn understood(record: &v1::Record) -> Option<(Event, Meta)> {
    let record = ParsedRecord::from_message(v1::Record { tag: vec![0xff; 32], ..record.clone() }).ok()?;
    let event = Event::of(&record).ok().flatten()?;
    let meta = Meta::of(&record, TO_COME, LedgerTimeMs(now_ms()), false, false).ok()?;
    Some((event, meta))
}

/// Tells whether the time of what a rule says has passed since it was exported.
pub(super) fn is_over(mapped: &MappedRecord) -> bool {
    mapped.rule().is_some() && understood(&mapped.record).is_some_and(|(event, meta)| until(&event) <= meta.time)
}

/// The refusal of a rule whose time has passed.
pub(super) const OVER: &str = "its time has passed since it was exported: it decides nothing any more";

/// The refusal of a document that belongs to the secret trace, which who imports may not know of.
pub(super) fn may_not_know(mapped: &MappedRecord) -> Refused {
    let resource = if mapped.is_of_consent() { "Consent" } else { "AuditEvent" };
    let why = "NOT_ENTITLED: it is kept from representatives, and who imports may not write there: \
               import it as the patient or through a service";
    Refused::coded(FhirError::new(format!("{resource}.extension"), why), Code::NotEntitled)
}

/// Tells whether two rules of one trace were signed by the patient, and neither says how they proved who they are.
pub(super) fn lack_the_same(one: &MappedRecord, other: &MappedRecord) -> bool {
    let lacks = |mapped: &MappedRecord| {
        let by_patient = mapped.record.actor.as_ref().is_some_and(|actor| actor.system == PATIENT_SYSTEM);
        mapped.rule().is_some() && by_patient && !is_authenticated(mapped.record.auth.as_ref())
    };
    lacks(one) && lacks(other) && one.patient == other.patient && one.secret == other.secret
}

/// The words for a refusal of a rule by the ledger: the element, and what to do. `json` is its Consent.
pub(super) fn refusal(kind: Kind, record: &v1::Record, json: &[u8], rejection: &Rejection) -> FhirError {
    let Rejection { code, message, .. } = rejection;
    let said = |path: &str, way_out: &str| FhirError::new(path, format!("{code}: {message}{way_out}"));
    match code.known() {
        Some(Code::NotEntitled) if is_of_law(kind, record) => said(
            "Consent.performer",
            ": a parent or guardian is registered by the authority (`sillage represent add` with its profile); \
             then import again, for what they signed",
        ),
        Some(Code::NotEntitled) if kind == Kind::ITEM_EMBARGOED => {
            said("Consent.performer", ": the deposit of every item has to be on record here before its embargo")
        }
        Some(Code::NotEntitled) => said(
            "Consent.performer",
            ": who signed it there may not sign it here, or not any more: let the patient say it again",
        ),
        Some(Code::AuthenticationMissing) => said(
            "Consent.performer",
            ": the patient's own key signed it there: import it with the patient's own profile, or let them say it again",
        ),
        Some(Code::InvalidIns | Code::TestInsRefused | Code::TagOutOfRange) => said("Consent.patient", ""),
        Some(Code::TimeAhead) => said("Consent.dateTime", ""),
        Some(Code::TooManyRules) => said("Consent", ""),
        _ => said(rule_path(json), ""),
    }
}

/// Where a Consent that was imported carries its rule.
fn rule_path(json: &[u8]) -> &'static str {
    let consent: Option<serde_json::Value> = serde_json::from_slice(json).ok();
    match consent.is_some_and(|consent| consent.get("modifierExtension").is_some()) {
        true => "Consent.modifierExtension[0]",
        false => "Consent.extension",
    }
}

/// A representation that the authority alone registers.
fn is_of_law(kind: Kind, record: &v1::Record) -> bool {
    let said = || serde_json::from_str::<Representation>(&record.details).ok();
    kind == Kind::REPRESENTATION_REGISTERED
        && said().is_some_and(|said| matches!(said.relation, Relation::Parent | Relation::Guardian))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: Kind, details: &str, code: &str) -> FhirError {
        let record = v1::Record { kind: kind.code().into(), details: details.to_owned(), ..v1::Record::default() };
        let ClientError::Rejected(rejection) = ClientError::rejected(code, "why") else { panic!("a rejection") };
        refusal(kind, &record, br#"{"modifierExtension": []}"#, &rejection)
    }

    #[test]
    fn a_refusal_names_the_element_and_what_to_do() {
        let mother =
            r#"{"representative": "urn:sillage:person|m", "relation": "PARENT", "until": "2030-01-01T00:00:00Z"}"#;
        let helper = r#"{"representative": "urn:sillage:person|h", "relation": "CAREGIVER", "powers": ["read"]}"#;
        for (kind, details, code, path, word) in [
            (Kind::REPRESENTATION_REGISTERED, mother, "NOT_ENTITLED", "Consent.performer", "represent add"),
            (Kind::REPRESENTATION_REGISTERED, helper, "NOT_ENTITLED", "Consent.performer", "say it again"),
            (Kind::ITEM_EMBARGOED, "", "NOT_ENTITLED", "Consent.performer", "deposit"),
            (Kind::ITEM_MASKED, "", "AUTHENTICATION_MISSING", "Consent.performer", "patient's own profile"),
            (Kind::PROFESSIONAL_BLOCKED, "", "ATTENDING", "Consent.modifierExtension[0]", "ATTENDING"),
            (Kind::ITEM_MASKED, "", "TOO_MANY_RULES", "Consent", "TOO_MANY_RULES"),
            (Kind::ITEM_MASKED, "", "TAG_OUT_OF_RANGE", "Consent.patient", "TAG_OUT_OF_RANGE"),
        ] {
            let error = refused(kind, details, code);
            assert_eq!(error.path, path, "{error}");
            assert!(error.reason.contains(word), "{error}");
        }
    }

    #[test]
    fn what_was_ended_here_since_is_found_and_nothing_else() {
        let name = |id: &str| format!("urn:example:doctors|{id}").parse().expect("a name");
        let declared = |id: &str| Event::AttendingDeclared { professional: name(id) };
        let joined = Event::Joined(serde_json::from_str(r#"{"professional": "urn:example:doctors|x"}"#).expect("one"));
        let given = |id: &str| {
            let text = format!(
                r#"{{"id": "{id}", "effect": "permit", "grantee": {{"organisation": "F1"}}, "actions": ["read"]}}"#
            );
            Event::Directive(Box::new(sillage_rules::consent::Directive::parse(&text).expect("a directive")))
        };
        let endings = vec![
            (Event::Revoked { consent: "c1".into() }, 500, 3),
            (Event::Left { professional: name("x") }, 600, 4),
            (declared("y"), 700, 5),
        ];
        let here = Here { state: PatientState::default(), endings };
        for (event, given_ms, by) in [
            (given("c1"), 499, Some(3)),
            (given("c1"), 500, None),
            (given("c2"), 1, None),
            (joined, 599, Some(4)),
            (declared("x"), 699, Some(5)),
            (declared("x"), 700, None),
            (declared("y"), 1, None),
        ] {
            assert_eq!(here.ended(&event, given_ms), by, "{event:?} given at {given_ms}");
        }
    }
}
