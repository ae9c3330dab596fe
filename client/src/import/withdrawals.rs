//! Withdrawn Consents: what ends with them, and what they keep from being recorded.

use super::Import;
use super::chunk::What;
use super::consents::{self, Withdrawn};
use super::known;
use super::outcome::{Decided, OnRecord, Skipped};
use crate::error::ClientError;
use sillage_fhir::import::consent::revocation;
use sillage_fhir::import::{DirectiveNote, Ends, FhirError, MappedRecord};

impl<F: Clone> Import<'_, F> {
    /// Why a Consent isn't recorded that a newer version of it, met before it, has withdrawn.
    pub(super) fn withdrawn_since(&self, records: &[MappedRecord], json: &[u8]) -> Option<FhirError> {
        let first = records.first().filter(|first| first.ends() != Some(Ends::Revoked))?;
        let name = named(first)?;
        let withdrawn = self.withdrawn.get(&name)?;
        let document = serde_json::from_slice(json).unwrap_or_default();
        withdrawn.refuses(&consents::New::of(first, &document))
    }

    /// The rules that end with a withdrawn Consent: its directives on record.
    pub(super) async fn withdraw(&mut self, records: &[MappedRecord], json: &[u8]) -> Result<Vec<What>, ClientError> {
        let [record] = records else { return Ok(vec![What::Skipped(Skipped::OwnTrace)]) };
        let Some(note) = &record.directive else { return Ok(vec![What::Skipped(Skipped::OwnTrace)]) };
        // The Consent itself may stand before it in this very import.
        self.send_gathered().await?;
        let document = serde_json::from_slice(json).unwrap_or_default();
        let new = consents::New::of(record, &document);
        let found = self.recorded_under(record, &note.id).await?;
        // Where it has a name of its own, its plain id may be that of another Consent.
        let has_own = !found.named.is_empty();
        let is_its = |recorded: &consents::Recorded| match has_own {
            true => !recorded.is_anothers(&new),
            false => !recorded.is_of_another_server(&new),
        };
        let on_record: Vec<_> = found.plain.into_iter().filter(is_its).chain(found.named).collect();
        self.withdrawn.extend(named(record).map(|name| (name, Withdrawn::of(&new))));
        if on_record.is_empty() {
            return Ok(vec![What::Refused(consents::never_recorded().into())]);
        }
        let ended = |id: &str| DirectiveNote { id: id.to_owned(), ends: Ends::Revoked, collector: None };
        if on_record.iter().all(|recorded| !recorded.is_alive) {
            let place = |recorded: &consents::Recorded| {
                let index = recorded.ended_by.unwrap_or(recorded.index);
                What::OnRecord(Box::new(OnRecord {
                    index,
                    is_repeated: true,
                    place: None,
                    parts: 1,
                    differs_from: None,
                    decided: Some(Decided::Directive(ended(&recorded.id))),
                    patient: record.patient.clone(),
                    secret: record.secret,
                }))
            };
            // Of a directive that came several times, the last one: that is what the withdrawal ended.
            let is_last = |recorded: &&consents::Recorded| {
                !on_record.iter().any(|other| other.id == recorded.id && other.index > recorded.index)
            };
            return Ok(on_record.iter().filter(is_last).map(place).collect());
        }
        if let Some(error) = consents::withdraws_nothing(&on_record, &new) {
            return Ok(vec![What::Refused(error.into())]);
        }
        let alive = on_record.iter().filter(|recorded| recorded.is_alive);
        Ok(alive.map(|recorded| What::Record(Box::new((revocation(record, &recorded.id), json.to_vec())))).collect())
    }
}

/// Which Consent a record is of: whose, from which server, under which id.
fn named(record: &MappedRecord) -> Option<(String, String)> {
    Some((known::whose(record), format!("{}/{}", record.server, record.directive.as_ref()?.id)))
}
