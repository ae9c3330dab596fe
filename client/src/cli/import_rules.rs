//! What decides beside directives, from a Consent of our own export: what of it holds already in this log, and what is said
//! of what the ledger refuses.

use std::collections::HashMap;

use sillage_proof::hash::{LeafIndex, LedgerTimeMs};
use sillage_proto::v1::{self, PatientIdentity};
use sillage_rules::consent::in_force::until;
use sillage_rules::consent::name::PATIENT_SYSTEM;
use sillage_rules::consent::{Event, Meta, PatientState, Relation, Representation, is_authenticated};
use sillage_rules::kind::Kind;
use sillage_rules::record::ParsedRecord;

use super::record::now_ms;
use crate::author::Tags;
use crate::consent::known::{AsOf, Known};
use crate::error::{ClientError, Rejection};
use crate::fhir::{FhirError, MappedRecord};
use crate::session::Session;

/// Where a record stands that isn't sent yet: after all that are.
const TO_COME: LeafIndex = LeafIndex(u64::MAX);

/// What holds for the patients of an import, as far as it was asked for: with what is to be sent, and anew after each batch.
#[derive(Default)]
pub(super) struct InForce {
    /// The open trace's, and the second one's; none where who imports may not know it.
    known: HashMap<(String, String), Option<[PatientState; 2]>>,
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
        let (Some(patient), Some((event, meta))) = (&mapped.patient, understood(&mapped.record)) else {
            return Ok(None);
        };
        let key = (patient.ins.clone(), patient.oid.clone());
        if !self.known.contains_key(&key) {
            self.known.insert(key.clone(), fetch(session, tags, patient).await?);
        }
        let Some(Some(states)) = self.known.get_mut(&key) else { return Ok(None) };
        let state = &mut states[usize::from(mapped.secret)];
        match state.holds_already(&event, &meta) {
            Some(index) if index != TO_COME => Ok(Some(index.get())),
            _ => {
                state.apply(&event, &meta);
                Ok(None)
            }
        }
    }

    /// Forgets it: something was sent, or refused.
    pub fn forget(&mut self) {
        self.known.clear();
    }
}

/// None where the ledger doesn't tell who imports: then everything is sent.
async fn fetch(
    session: &Session,
    tags: &Tags,
    patient: &PatientIdentity,
) -> Result<Option<[PatientState; 2]>, ClientError> {
    let both = tags.both(&patient.ins, &patient.oid).await?;
    match Known::fetch(session, both, AsOf::Now).await {
        Ok(known) => Ok(Some([known.open.state, known.secret.map(|side| side.state).unwrap_or_default()])),
        Err(ClientError::Rejected(rejection)) if rejection.code == "NOT_ENTITLED" => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a record means, as if it were recorded now. It was mapped, so it is understood.
fn understood(record: &v1::Record) -> Option<(Event, Meta)> {
    let record = ParsedRecord::from_message(v1::Record { tag: vec![0xff; 32], ..record.clone() }).ok()?;
    let event = Event::of(&record).ok().flatten()?;
    let meta = Meta::of(&record, TO_COME, LedgerTimeMs(now_ms()), false, false).ok()?;
    Some((event, meta))
}

/// Whether the time of what a rule says has passed since it was exported.
pub(super) fn is_over(mapped: &MappedRecord) -> bool {
    mapped.rule().is_some() && understood(&mapped.record).is_some_and(|(event, meta)| until(&event) <= meta.time)
}

/// What is said of a rule whose time has passed.
pub(super) const OVER: &str = "its time has passed since it was exported: it decides nothing any more";

/// What is said of a document that belongs to the second trace, which who imports may not know of.
pub(super) fn may_not_know(mapped: &MappedRecord) -> FhirError {
    let resource = if mapped.is_of_consent() { "Consent" } else { "AuditEvent" };
    let why = "NOT_ENTITLED: it is kept from representatives, and who imports may not write there: \
               import it as the patient or through a service";
    FhirError::new(format!("{resource}.extension"), why)
}

/// Whether two rules of one trace were signed by the patient, and neither says how they proved who they are.
pub(super) fn lack_the_same(one: &MappedRecord, other: &MappedRecord) -> bool {
    let lacks = |mapped: &MappedRecord| {
        let by_patient = mapped.record.actor.as_ref().is_some_and(|actor| actor.system == PATIENT_SYSTEM);
        mapped.rule().is_some() && by_patient && !is_authenticated(mapped.record.auth.as_ref())
    };
    lacks(one) && lacks(other) && one.patient == other.patient && one.secret == other.secret
}

/// What a refusal by the ledger says of a rule: the element, and what to do. `json` is its Consent.
pub(super) fn refusal(kind: Kind, record: &v1::Record, json: &[u8], rejection: &Rejection) -> FhirError {
    let Rejection { code, message, .. } = rejection;
    let said = |path: &str, way_out: &str| FhirError::new(path, format!("{code}: {message}{way_out}"));
    match code.as_str() {
        "NOT_ENTITLED" if is_of_law(kind, record) => said(
            "Consent.performer",
            ": a parent or guardian is registered by the authority (`sillage represent add` with its profile); \
             then import again, for what they signed",
        ),
        "NOT_ENTITLED" if kind == Kind::ITEM_EMBARGOED => {
            said("Consent.performer", ": the deposit of every item has to be on record here before its embargo")
        }
        "NOT_ENTITLED" => said(
            "Consent.performer",
            ": who signed it there may not sign it here, or not any more: let the patient say it again",
        ),
        "AUTHENTICATION_MISSING" => said(
            "Consent.performer",
            ": the patient's own key signed it there: import it with the patient's own profile, or let them say it again",
        ),
        "INVALID_INS" | "TEST_INS_REFUSED" | "TAG_OUT_OF_RANGE" => said("Consent.patient", ""),
        "TIME_AHEAD" => said("Consent.dateTime", ""),
        "TOO_MANY_RULES" => said("Consent", ""),
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
}
