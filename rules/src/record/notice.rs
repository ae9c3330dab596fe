//! The record of a notice, by which the ledger tells a patient what is voided.

use super::{ParsedRecord, new_message};
use crate::kind::Kind;
use crate::voiding::Notice;

impl Notice {
    /// The notice of a record; `None` where it is none.
    pub fn of(record: &ParsedRecord) -> Option<Self> {
        let is_notice = record.kind() == Kind::RECORDS_VOIDED && record.act().is_none();
        is_notice.then(|| serde_json::from_str(&record.message().details).ok()).flatten()
    }

    /// The record under the patient's tag. `time_ms` is ledger time.
    ///
    /// # Panics
    /// When it names no record, or more than [`crate::voiding::NOTICE_RECORDS_MAX`]: whoever makes one splits it.
    pub fn to_record(&self, tag: &[u8; 32], time_ms: u64) -> ParsedRecord {
        let mut message = new_message(Kind::RECORDS_VOIDED, Some(tag), time_ms.max(1));
        message.details = serde_json::to_string(self).expect("numbers alone");
        ParsedRecord::from_message(message).expect("a notice is a record by construction")
    }
}
