//! Finds what of the gathered records is on record already, and answers it without sending anything.

use std::collections::{HashMap, HashSet};

use sillage_fhir::import::{Ends, FhirError, MappedRecord};

use super::Import;
use super::chunk::{Waiting, What};
use super::known::{self, bare_record, new_record};
use super::outcome::{Decided, OnRecord, Refused, Remark};
use super::refusals::of_one_record;
use crate::author::{NewRecord, prepare};
use crate::error::ClientError;
use crate::outbox::source::DocumentKey;

impl<F: Clone> Import<'_, F> {
    /// The records of the chunk that aren't on record; of the others the lines are answered.
    pub(super) async fn unknown(&mut self) -> Result<Vec<Waiting>, ClientError> {
        let lines: Vec<usize> =
            (0..self.chunk.len()).filter(|at| matches!(self.chunk[*at].what, What::Record(_))).collect();
        let mut first_of: HashMap<DocumentKey, usize> = HashMap::new();
        let mut todo: Vec<Waiting> = Vec::new();
        for (line, record) in self.prepared(&lines).await? {
            let What::Record(boxed) = &self.chunk[line].what else { continue };
            let mapped = &boxed.0;
            let Some(original) = self.chunk[line].original.clone() else { continue };
            let (key, key_before) = self.seen.key(&original, mapped, &record);
            if let Some(first) = first_of.get(&key).filter(|_| key.resource().is_some()) {
                self.chunk[line].what = What::Same(*first);
                continue;
            }
            first_of.insert(key, line);
            let done = self.recorder.stream.outbox().map(|outbox| outbox.done());
            let mut known = self.seen.place(&key, done);
            known = known.or_else(|| self.seen.place(&key_before?, done));
            if known.is_none() && mapped.rule().is_some() {
                known = self.in_force.already(self.session, &self.recorder.tags, mapped).await?;
            }
            let (group, of_consent) = (self.chunk[line].group, mapped.is_of_consent());
            match known {
                Some(index) => {
                    let found = self.in_force.standing(self.session, &self.recorder.tags, mapped, index).await?;
                    self.recorded(line, &key, index, true, found);
                }
                None => todo.push(Waiting { line, key, record, group, of_consent }),
            }
        }
        let todo = self.known_before(todo).await?;
        self.with_servers(todo).await
    }

    /// The bytes to sign. Only the records without a tag are refused.
    async fn prepared(&mut self, lines: &[usize]) -> Result<Vec<(usize, Vec<u8>)>, ClientError> {
        let new = |import: &Self, line: usize| match &import.chunk[line].what {
            What::Record(boxed) => Some(bare_record(&boxed.0)),
            _ => None,
        };
        let all = lines.iter().filter_map(|line| new(self, *line)).collect();
        match prepare(&self.recorder.tags, all).await {
            Ok(encoded) => return Ok(lines.iter().copied().zip(encoded).collect()),
            Err(ClientError::Rejected(rejection)) if of_one_record(&rejection.code).is_some() => {}
            Err(error) => return Err(error),
        }
        let mut out = Vec::new();
        for line in lines.iter().copied() {
            let Some(record) = new(self, line) else { continue };
            match prepare(&self.recorder.tags, vec![record]).await {
                Ok(encoded) => out.extend(encoded.into_iter().map(|record| (line, record))),
                Err(ClientError::Rejected(rejection)) if of_one_record(&rejection.code).is_some() => {
                    let error = FhirError::new("", format!("{}: {}", rejection.code, rejection.message));
                    self.chunk[line].what = What::Refused(Refused::coded(error, rejection.code));
                }
                Err(error) => return Err(error),
            }
        }
        // Nothing of a group goes without the rest of it.
        let refused = |import: &Self, group: Option<u64>| {
            let mut others = import.chunk.iter().filter(|other| other.group.is_some() && other.group == group);
            others.any(|other| matches!(other.what, What::Refused(_)))
        };
        let (out, without): (Vec<_>, Vec<_>) =
            out.into_iter().partition(|(line, _)| !refused(self, self.chunk[*line].group));
        without.iter().for_each(|(line, _)| self.chunk[*line].what = What::Nothing);
        Ok(out)
    }

    /// Answers what the version before recorded of the same documents; gives back the rest.
    async fn known_before(&mut self, todo: Vec<Waiting>) -> Result<Vec<Waiting>, ClientError> {
        let done = self.recorder.stream.outbox().map(|outbox| outbox.done());
        if !done.is_some_and(|done| done.has_unnamed()) {
            return Ok(todo);
        }
        // Records of each document, as they were.
        let (mut before, mut records): (Vec<(u64, MappedRecord)>, Vec<NewRecord>) = (Vec::new(), Vec::new());
        let mut documents = HashSet::new();
        let asked = |import: &Self, waiting: &Waiting| match &import.chunk[waiting.line].what {
            What::Record(boxed) => (import.chunk[waiting.line].document, known::whose(&boxed.0)),
            _ => (import.chunk[waiting.line].document, String::new()),
        };
        let wanted: HashSet<(u64, String)> = todo.iter().map(|waiting| asked(self, waiting)).collect();
        for waiting in todo.iter().filter(|waiting| !waiting.of_consent) {
            let line = &self.chunk[waiting.line];
            if let Some(original) = line.original.as_ref().filter(|_| documents.insert(line.document)) {
                let mut made = original.before(self.patients);
                made.retain(|mapped| wanted.contains(&(line.document, known::whose(mapped))));
                records.extend(made.iter().map(new_record));
                before.extend(made.into_iter().map(|mapped| (line.document, mapped)));
            }
        }
        let encoded = prepare(&self.recorder.tags, records).await?;
        let mut places: HashMap<(u64, String), u64> = HashMap::new();
        for ((document, mapped), record) in before.iter().zip(encoded) {
            let original = self.chunk.iter().find(|line| line.document == *document);
            let Some(original) = original.and_then(|line| line.original.clone()) else { continue };
            let key = self.seen.key_before(&original, &record);
            let done = self.recorder.stream.outbox().map(|outbox| outbox.done());
            if let Some(place) = done.and_then(|done| done.of_document(&key)) {
                places.insert((*document, known::whose(mapped)), place.index);
            }
        }
        let mut rest = Vec::new();
        for waiting in todo {
            match places.get(&asked(self, &waiting)).copied().filter(|_| !waiting.of_consent) {
                Some(index) => {
                    self.chunk[waiting.line].parts = 1;
                    self.recorded(waiting.line, &waiting.key, index, true, None);
                }
                None => rest.push(waiting),
            }
        }
        Ok(rest)
    }

    /// Answers lines that say what another one of the chunk says.
    pub(super) fn answer_the_same(&mut self) {
        for at in 0..self.chunk.len() {
            let What::Same(first) = self.chunk[at].what else { continue };
            self.chunk[at].what = match &self.chunk[first].what {
                What::OnRecord(first) => What::OnRecord(Box::new(OnRecord {
                    is_repeated: true,
                    differs_from: None,
                    decided: None,
                    ..OnRecord::clone(first)
                })),
                What::Refused(refused) => What::Refused(refused.clone()),
                _ => What::Nothing,
            };
        }
    }

    /// Answers a record that was just sent.
    pub(super) fn sent(&mut self, waiting: &Waiting, index: u64) {
        self.recorded(waiting.line, &waiting.key, index, false, None);
    }

    /// Answers a record that is on record. `standing`: of a directive that was on record, its id there, and whether it was ended.
    pub(super) fn recorded(
        &mut self,
        line: usize,
        key: &DocumentKey,
        index: u64,
        is_repeated: bool,
        standing: Option<(String, bool)>,
    ) {
        let done = self.recorder.stream.outbox().map(|outbox| outbox.done());
        let place = done.and_then(|done| done.of_document(key)).filter(|place| place.index == index);
        let other = self.seen.other(key, done).filter(|_| key.resource().is_some());
        self.seen.note(*key, index);
        let line = &mut self.chunk[line];
        if let What::Record(boxed) = &mut line.what {
            if boxed.0.part.n > 0 {
                line.what = What::Nothing;
                return;
            }
            let differs_from = other.filter(|other| *other != index);
            if let Some(index) = differs_from {
                self.remarks.push(Remark::OtherContent { from: line.from.clone(), index });
            }
            let rule = boxed.0.rule().map(Decided::Rule);
            if let Some((note, (id, is_over))) = boxed.0.directive.as_mut().zip(standing) {
                note.id = id;
                if is_over {
                    note.ends = Ends::Revoked;
                }
            }
            line.what = What::OnRecord(Box::new(OnRecord {
                index,
                is_repeated,
                place,
                parts: line.parts,
                differs_from,
                decided: boxed.0.directive.take().map(Decided::Directive).or(rule),
                patient: boxed.0.patient.take(),
                secret: boxed.0.secret,
            }));
        }
    }
}
