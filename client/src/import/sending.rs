//! Sends the gathered records, and finds the way out of each refusal: a Consent that replaces another, a record that alone is
//! refused.

use sillage_fhir::import::consent::revocation;
use sillage_fhir::import::{Ends, FhirError, MappedRecord};
use sillage_rules::codes::Code;
use sillage_rules::consent::directive::Directive;

use super::chunk::{Waiting, What, of_one_group, whole};
use super::consents::{self, Replacement};
use super::known::new_record;
use super::outcome::Refused;
use super::refusals::of_one_record;
use super::{BATCH_RECORDS, Import, rules};
use crate::author::{fitting, prepare};
use crate::error::{ClientError, ErrorCode, Rejection};
use crate::outbox::Source;
use crate::outbox::source::DocumentKey;

impl<F: Clone> Import<'_, F> {
    /// Sends one batch; gives back what isn't sent or refused yet.
    pub(super) async fn send(&mut self, mut todo: Vec<Waiting>) -> Result<Vec<Waiting>, ClientError> {
        let records: Vec<Vec<u8>> = todo.iter().take(BATCH_RECORDS).map(|waiting| waiting.record.clone()).collect();
        let count = whole(&todo, fitting(&records).min(self.at_most.take().unwrap_or(BATCH_RECORDS)));
        let keys = todo.iter().take(count).map(|waiting| waiting.key).collect();
        let sent = self.recorder.send(records.into_iter().take(count).collect(), Source::Keys(keys)).await;
        match sent {
            Ok(receipt) => {
                let rest = todo.split_off(count);
                for (waiting, index) in todo.iter().zip(receipt.first_index..) {
                    self.sent(waiting, index);
                }
                Ok(rest)
            }
            Err(ClientError::Rejected(rejection)) => {
                let code = &rejection.code;
                let Some(path) = of_one_record(code) else {
                    return Err(ClientError::Rejected(rejection));
                };
                let at = (rejection.position as usize).min(todo.len() - 1);
                let first = todo.iter().position(|other| of_one_group(other, &todo[at])).unwrap_or(at);
                let is_taken = *code == Code::IdTaken && todo[at].of_consent;
                if is_taken && first > 0 {
                    // It may be one before it in this batch that has the id.
                    self.at_most = Some(first);
                    return Ok(todo);
                }
                if let Some(group) = todo[at].group.filter(|_| is_taken)
                    && self.replaced.insert(group)
                {
                    let (group, rest) = todo.into_iter().partition(|other| other.group == Some(group));
                    let mut todo: Vec<Waiting> = self.replace(group).await?;
                    todo.extend::<Vec<Waiting>>(rest);
                    return Ok(todo);
                }
                let refused = todo.remove(at);
                let (mut group, rest): (Vec<_>, Vec<_>) =
                    todo.into_iter().partition(|other| of_one_group(other, &refused));
                // What would be refused for the same isn't sent once more for each.
                let (alike, rest): (Vec<_>, Vec<_>) =
                    rest.into_iter().partition(|other| self.is_refused_alike(code, &refused, other));
                let error = self.refusal(&refused, path, &rejection);
                group.insert(0, refused);
                self.refuse_all(&group, error);
                for other in alike {
                    let error = self.refusal(&other, "", &rejection);
                    self.refuse_all(&[other], error);
                }
                Ok(rest)
            }
            Err(error) => Err(error),
        }
    }

    /// Tells whether another record is refused with this code whatever is on record, as `refused` was.
    fn is_refused_alike(&self, code: &ErrorCode, refused: &Waiting, other: &Waiting) -> bool {
        let mapped = |waiting: &Waiting| match &self.chunk[waiting.line].what {
            What::Record(boxed) => Some(&boxed.0),
            _ => None,
        };
        match code.known() {
            // What happened is never refused for who did it: who imports may not record any of it.
            Some(Code::NotEntitled) if !refused.of_consent => !other.of_consent,
            Some(Code::AuthenticationMissing) => {
                mapped(refused).zip(mapped(other)).is_some_and(|(one, other)| rules::lack_the_same(one, other))
            }
            _ => false,
        }
    }

    /// The words about a record that the ledger refused; `path` is the element of a directive.
    fn refusal(&self, refused: &Waiting, path: &str, rejection: &Rejection) -> Refused {
        if let What::Record(boxed) = &self.chunk[refused.line].what
            && let Some(kind) = boxed.0.rule()
        {
            let error = rules::refusal(kind, &boxed.0.record, &boxed.1, rejection);
            return Refused::coded(error, rejection.code.clone());
        }
        let path = match (refused.of_consent, &self.chunk[refused.line].what) {
            (false, _) => "",
            // What it says to replace, or to end.
            (true, What::Record(boxed))
                if rejection.code == Code::UnknownReference && boxed.0.ends() != Some(Ends::Revoked) =>
            {
                "Consent.extension"
            }
            (true, _) => path,
        };
        let error = FhirError::new(path, format!("{}: {}", rejection.code, rejection.message));
        Refused::coded(error, rejection.code.clone())
    }

    /// Refuses a document: one line says why.
    pub(super) fn refuse_all(&mut self, group: &[Waiting], refused: impl Into<Refused>) {
        group.iter().for_each(|waiting| self.chunk[waiting.line].what = What::Nothing);
        if let Some(first) = group.first() {
            self.chunk[first.line].what = What::Refused(refused.into());
        }
    }

    /// A Consent whose ids are in force: gives what is to be sent instead of it.
    pub(super) async fn replace(&mut self, mut group: Vec<Waiting>) -> Result<Vec<Waiting>, ClientError> {
        let on_record = self.on_record_of(&mut group).await?;
        if let Some(by) = self.ended_since(&group).await? {
            return self.refused(&group, rules::ended_here(by));
        }
        let boxed = group.iter().filter_map(|waiting| match &self.chunk[waiting.line].what {
            What::Record(boxed) => Some(boxed.as_ref().clone()),
            _ => None,
        });
        let mapped: Vec<(MappedRecord, Vec<u8>)> = boxed.collect();
        let Some((first, json)) = mapped.first() else { return Ok(Vec::new()) };
        if on_record.is_empty() {
            return Ok(group);
        }
        let said = mapped.iter().filter_map(|(mapped, _)| Directive::parse(&mapped.record.details).ok());
        let document = serde_json::from_slice(json).unwrap_or_default();
        let new = consents::New::of(first, &document);
        match consents::replacement(&on_record, &said.collect::<Vec<_>>(), &new) {
            Replacement::OnRecord(indices) => {
                let recorded = group.iter().zip(indices);
                recorded.for_each(|(waiting, index)| self.recorded(waiting.line, &waiting.key, index, true, None));
                Ok(Vec::new())
            }
            Replacement::Older => self.refused(&group, consents::older()),
            Replacement::Undecided => self.refused(&group, consents::undecided()),
            Replacement::Anothers => self.refused(&group, consents::anothers()),
            Replacement::Ends(ids) => {
                let mut todo = self.endings(first, json, &ids, &group).await?;
                todo.extend(group);
                Ok(todo)
            }
        }
    }

    /// The record that ended, since it was given, what one of these gives.
    async fn ended_since(&mut self, group: &[Waiting]) -> Result<Option<u64>, ClientError> {
        for waiting in group {
            if let What::Record(boxed) = &self.chunk[waiting.line].what {
                let ended = self.in_force.ended_since(self.session, &self.recorder.tags, &boxed.0).await?;
                if ended.is_some() {
                    return Ok(ended);
                }
            }
        }
        Ok(None)
    }

    fn refused(&mut self, group: &[Waiting], error: FhirError) -> Result<Vec<Waiting>, ClientError> {
        self.refuse_all(group, error);
        Ok(Vec::new())
    }

    /// The records that end directives of an earlier version, each with a line of its own.
    async fn endings(
        &mut self,
        first: &MappedRecord,
        json: &[u8],
        ids: &[String],
        group: &[Waiting],
    ) -> Result<Vec<Waiting>, ClientError> {
        let Some(model) = group.first() else { return Ok(Vec::new()) };
        let mut revocations: Vec<MappedRecord> = ids.iter().map(|id| revocation(first, id)).collect();
        // The document stands in the new directives: with it, all of them might not fit one batch.
        revocations.iter_mut().for_each(|ending| ending.record.original = None);
        let records = revocations.iter().map(new_record).collect();
        let encoded = prepare(&self.recorder.tags, records).await?;
        let mut todo = Vec::with_capacity(encoded.len());
        for (mapped, record) in revocations.into_iter().zip(encoded) {
            let from = self.chunk[model.line].from.clone();
            let document = self.chunk[model.line].document;
            let key = DocumentKey::new(json, &record, 0);
            let what = What::Record(Box::new((mapped, json.to_vec())));
            todo.push(Waiting { line: self.chunk.len(), key, record, group: model.group, of_consent: true });
            self.push(from, what);
            let line = self.chunk.last_mut().expect("it was pushed");
            (line.document, line.group) = (document, model.group);
        }
        Ok(todo)
    }
}
