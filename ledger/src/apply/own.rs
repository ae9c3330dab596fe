//! What the ledger records itself: that someone read entries. Public by nature, so its payload isn't sealed.

use sillage_proof::hash::{LeafIndex, LedgerTimeMs, leaf_hash};
use sillage_proto::internal::v1::LedgerRecord;
use sillage_rules::codes::Code;
use sillage_rules::entry::{Entry, Flags, RecordEntry};
use sillage_rules::kind::Kind;
use sillage_rules::limits::{FUTURE_MS_MAX, SALT_BYTES};
use sillage_rules::record::ParsedRecord;

use super::check::NO_PATIENT;
use super::{Applier, BatchOutcome};
use crate::error::Refusal;
use crate::schema::{self, Family};

/// Records that the ledger makes itself in one command.
pub(crate) const LEDGER_RECORDS_MAX: usize = 1_024;

/// Checks a record that the ledger is to make at `time`; returns its payload, `salt ‖ record`.
pub(crate) fn check(record: &LedgerRecord, time: LedgerTimeMs) -> Result<Vec<u8>, Refusal> {
    if record.kind != u32::from(Kind::LOG_CONSULTED.code()) {
        return Err(Refusal::new(Code::KindReserved, "the ledger itself records only that entries were read"));
    }
    if record.salt.len() != SALT_BYTES {
        return Err(Refusal::new(Code::MalformedRequest, format!("a salt is {SALT_BYTES} bytes")));
    }
    let parsed = ParsedRecord::parse(&record.record).map_err(|error| Refusal::new(error.code, error.to_string()))?;
    if parsed.kind() != Kind::LOG_CONSULTED || parsed.entry_tag() != NO_PATIENT {
        let what = "a record of the ledger itself is of the kind that goes with it and concerns no patient";
        return Err(Refusal::new(Code::MalformedRecord, what));
    }
    if parsed.message().occurred_at_ms > time.get().saturating_add(FUTURE_MS_MAX) {
        return Err(Refusal::new(Code::TimeAhead, Code::TimeAhead.way_out()));
    }
    Ok([&record.salt[..], &record.record[..]].concat())
}

impl Applier<'_> {
    /// Records what the ledger makes itself, the `at`th of the command.
    pub(super) fn own_record(&mut self, at: usize, record: &LedgerRecord) -> BatchOutcome {
        let checked = match at < LEDGER_RECORDS_MAX {
            true => check(record, self.time),
            false => Err(Refusal::new(
                Code::TooManyRecords,
                format!("a command holds at most {LEDGER_RECORDS_MAX} records of the ledger itself"),
            )),
        };
        let payload = match checked {
            Ok(payload) => payload,
            Err(refusal) => {
                self.stats.refused();
                return BatchOutcome::Refused(refusal);
            }
        };
        let index = LeafIndex(self.next_index());
        self.push(&Entry::Record(RecordEntry {
            index,
            time: self.time,
            flags: Flags::LEDGER,
            kind: Kind::LOG_CONSULTED,
            tag: NO_PATIENT,
            record_hash: leaf_hash(&payload),
            position: 0,
        }));
        let payloads = self.store.family(Family::Payload);
        self.writes.put_cf(payloads, schema::index_key(index.get()), payload);
        BatchOutcome::LedgerRecord { index }
    }
}
