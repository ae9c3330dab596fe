//! Answers that were found and aren't given yet, and those that may be given. In a file of their own, so that no question can open them.

use sillage_ledger::{Party, Refusal};
use sillage_proof::keys::AuthorId;
use sillage_rules::codes::Code;
use tonic::Response;

use super::on_record::{OnRecord, Subject};
use crate::refusals::refuse;

/// An answer that is held back until its reading is on record.
#[must_use = "what was found is given only once it is on record"]
pub struct Withheld<T> {
    answer: T,
    /// For whom it was found.
    reader: AuthorId,
    /// Looked at for it, in entries opened.
    rows: u64,
    subject: Subject,
}

impl<T> Withheld<T> {
    /// Found for `reader`. `subject` is what the answer shows, of which the reading has to be on record; `rows` is what it cost
    /// to find, in entries opened.
    pub(super) fn new(answer: T, reader: &Party, rows: u64, subject: Subject) -> Self {
        Self { answer, reader: reader.author_id, rows, subject }
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Gives the answer to the reader whose reading is on record.
    ///
    /// # Errors
    /// `INTERNAL` when what is on record is another reading: nothing is given then.
    pub(super) fn release(self, on_record: &OnRecord) -> Result<Disclosed<T>, Refusal> {
        if !on_record.covers(self.reader, &self.subject) {
            tracing::error!(target: "audit", "what was found isn't what is on record: it isn't given");
            return Err(refuse(Code::Internal));
        }
        Ok(Disclosed(self.answer))
    }
}

/// An answer whose reading is on record.
#[must_use = "what is on record as read should be given"]
pub struct Disclosed<T>(T);

impl<T> Disclosed<T> {
    /// The answer, on its way to the reader.
    pub fn into_response(self) -> Response<T> {
        Response::new(self.0)
    }
}
