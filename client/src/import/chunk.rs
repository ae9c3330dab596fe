//! The records and refusals that are gathered until the next batch goes out.

use std::sync::Arc;

use sillage_fhir::import::MappedRecord;

use super::known::Original;
use super::outcome::{Became, OnRecord, Outcome, Refused, Skipped};
use crate::outbox::source::DocumentKey;

/// One outcome to be.
pub(super) struct Line<F> {
    pub from: F,
    /// Which document of this run it is of.
    pub document: u64,
    /// Which records of this run go on record together, where it is one of those.
    pub group: Option<u64>,
    /// The document, while it isn't on record.
    pub original: Option<Arc<Original>>,
    /// How many records are the access that it is the first of.
    pub parts: usize,
    pub what: What,
}

pub(super) enum What {
    /// To be sent, with the document it was made from.
    Record(Box<(MappedRecord, Vec<u8>)>),
    /// The same as another line of the chunk.
    Same(usize),
    OnRecord(Box<OnRecord>),
    Refused(Refused),
    Skipped(Skipped),
    /// Of a document that another line answers.
    Nothing,
}

impl<F> Line<F> {
    pub fn into_outcome(self) -> Option<Outcome<F>> {
        let became = match self.what {
            What::OnRecord(on_record) => Became::OnRecord(on_record),
            What::Refused(refused) => Became::Refused(refused),
            What::Skipped(why) => Became::Skipped(why),
            What::Nothing => return None,
            What::Record(_) | What::Same(_) => {
                unreachable!("every record of a chunk was sent or refused before it is answered")
            }
        };
        Some(Outcome { from: self.from, document: self.document, became })
    }
}

/// A record that is to be sent.
pub(super) struct Waiting {
    /// Its line in the chunk.
    pub line: usize,
    pub key: DocumentKey,
    pub record: Vec<u8>,
    /// One Consent, or the parts of one access, are on record as a whole or not at all.
    pub group: Option<u64>,
    /// Of a Consent.
    pub of_consent: bool,
}

pub(super) fn of_one_group(one: &Waiting, other: &Waiting) -> bool {
    one.group.is_some() && one.group == other.group
}

/// At most `count` records, no Consent cut in two: they have at most `DIRECTIVES_MAX` records, which fit one batch.
pub(super) fn whole(todo: &[Waiting], count: usize) -> usize {
    let cuts = |at: usize| todo.get(at).zip(todo.get(at - 1)).is_some_and(|(next, last)| of_one_group(next, last));
    (1..=count).rev().find(|at| !cuts(*at)).unwrap_or(count)
}
