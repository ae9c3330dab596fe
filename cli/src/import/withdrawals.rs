//! Withdrawn Consents: what ends with them, and what they keep from being recorded.

use super::super::import_consents::{self, Withdrawn};
use super::super::import_known;
use super::{Import, Noted, SKIPPED, What};
use sillage_client::error::ClientError;
use sillage_fhir::import::consent::revocation;
use sillage_fhir::import::{DirectiveNote, Ends, FhirError, MappedRecord};

impl Import<'_> {
    /// Why a Consent isn't recorded that a newer version of it, met before it, has withdrawn.
    pub(super) fn withdrawn_since(&self, records: &[MappedRecord], json: &[u8]) -> Option<FhirError> {
        let first = records.first().filter(|first| first.ends() != Some(Ends::Revoked))?;
        let name = (import_known::whose(first), first.directive.as_ref()?.id.clone());
        let withdrawn = self.withdrawn.get(&name)?;
        let document = serde_json::from_slice(json).unwrap_or_default();
        withdrawn.refuses(&import_consents::New::of(first, &document))
    }

    /// What ends with a withdrawn Consent: its directives on record.
    pub(super) async fn withdraw(&mut self, records: &[MappedRecord], json: &[u8]) -> Result<Vec<What>, ClientError> {
        let [record] = records else { return Ok(vec![What::Skipped(SKIPPED)]) };
        let Some(note) = &record.directive else { return Ok(vec![What::Skipped(SKIPPED)]) };
        // The Consent itself may stand before it in this very import.
        self.flush().await?;
        let on_record = import_consents::of_consent(self.session, &self.recorder.tags, record, &note.id).await?;
        let document = serde_json::from_slice(json).unwrap_or_default();
        let new = import_consents::New::of(record, &document);
        self.withdrawn.insert((import_known::whose(record), note.id.clone()), Withdrawn::of(&new));
        if on_record.is_empty() {
            return Ok(vec![What::Refused(import_consents::never_recorded())]);
        }
        let ended = |id: &str| DirectiveNote { id: id.to_owned(), ends: Ends::Revoked, collector: None };
        if on_record.iter().all(|recorded| !recorded.is_alive) {
            let place = |recorded: &import_consents::Recorded| {
                let index = recorded.ended_by.unwrap_or(recorded.index);
                What::Recorded(
                    index,
                    Some(Noted::Directive(ended(&recorded.id))),
                    record.patient.clone(),
                    record.secret,
                )
            };
            return Ok(on_record.iter().map(place).collect());
        }
        if let Some(error) = import_consents::withdraws_nothing(&on_record, &new) {
            return Ok(vec![What::Refused(error)]);
        }
        let alive = on_record.iter().filter(|recorded| recorded.is_alive);
        Ok(alive.map(|recorded| What::Record(Box::new((revocation(record, &recorded.id), json.to_vec())))).collect())
    }
}
