//! Records that the ledger makes itself: that someone read entries, or the trace of a patient, in which the record then
//! stands. Public by nature, so its payload isn't sealed: it names a service and numbers of entries, never a person.

use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs, leaf_hash};
use sillage_proto::internal::v1::LedgerRecord;
use sillage_proto::v1::Record;
use sillage_rules::codes::Code;
use sillage_rules::device::mark_of_reading;
use sillage_rules::entry::{Flags, RecordEntry};
use sillage_rules::kind::Kind;
use sillage_rules::limits::{FUTURE_MS_MAX, SALT_BYTES};
use sillage_rules::record::ParsedRecord;

use super::feature::CLAIMS;
use super::{Applier, CommandOutcome};
use crate::error::Refusal;
use crate::genesis::GenesisInfo;
use crate::schema::{self, Family, NO_PATIENT};

/// Records that the ledger makes itself in one command.
pub(crate) const LEDGER_RECORDS_MAX: usize = 1_024;
/// The identifier system of parties of the ledger: no person is in it.
const PARTIES: &str = "urn:sillage:author";

/// A record that the ledger is to make.
pub(crate) struct Own {
    /// The patient whose trace was read; zero where it wasn't one patient's.
    pub tag: [u8; 32],
    /// `salt ‖ record`.
    pub payload: Vec<u8>,
    /// It is the first reading of a patient's own device, which this stands for.
    pub device: Option<Hash>,
}

/// Checks a record that the ledger is to make at `time`.
pub(crate) fn check(record: &LedgerRecord, time: LedgerTimeMs) -> Result<Own, Refusal> {
    if record.kind != u32::from(Kind::LOG_CONSULTED.code()) {
        return Err(Refusal::new(Code::KindReserved, "the ledger itself records only that the log was read"));
    }
    if record.salt.len() != SALT_BYTES {
        return Err(Refusal::new(Code::MalformedRequest, format!("a salt is {SALT_BYTES} bytes")));
    }
    let parsed = ParsedRecord::parse(&record.record).map_err(|error| Refusal::new(error.code, error.to_string()))?;
    if parsed.kind() != Kind::LOG_CONSULTED || !is_public(parsed.message()) {
        let what =
            "a record of the ledger itself is of the kind that goes with it, and names a party and nothing of a person";
        return Err(Refusal::new(Code::MalformedRecord, what));
    }
    if parsed.message().occurred_at_ms > time.get().saturating_add(FUTURE_MS_MAX) {
        return Err(Refusal::new(Code::TimeAhead, Code::TimeAhead.way_out()));
    }
    let payload = [&record.salt[..], &record.record[..]].concat();
    Ok(Own { tag: parsed.entry_tag(), payload, device: mark_of_reading(&parsed.message().details) })
}

/// [`check`], and whether the patient is one of this log.
pub(crate) fn check_here(genesis: &GenesisInfo, record: &LedgerRecord, time: LedgerTimeMs) -> Result<Own, Refusal> {
    let own = check(record, time)?;
    match own.tag == NO_PATIENT || genesis.covers(&own.tag) {
        true => Ok(own),
        false => Err(Refusal::new(Code::TagOutOfRange, Code::TagOutOfRange.way_out())),
    }
}

/// Tells whether nothing stands in it but which party read what, when, and with which software.
fn is_public(record: &Record) -> bool {
    let public = Record {
        version: record.version,
        kind: record.kind,
        tag: record.tag.clone(),
        actor: record.actor.clone(),
        occurred_at_ms: record.occurred_at_ms,
        correlation: record.correlation.clone(),
        automated: record.automated.clone(),
        details: record.details.clone(),
        ..Record::default()
    };
    *record == public && record.actor.as_ref().is_none_or(|actor| actor.system == PARTIES)
}

impl Applier<'_> {
    /// Records what the ledger makes itself, the `at`th of the command.
    pub(super) fn own_record(&mut self, at: usize, record: &LedgerRecord) -> CommandOutcome {
        let checked = match at < LEDGER_RECORDS_MAX {
            true => check_here(self.genesis, record, self.time),
            false => Err(Refusal::new(
                Code::TooManyRecords,
                format!("a command holds at most {LEDGER_RECORDS_MAX} records of the ledger itself"),
            )),
        };
        let own = match checked {
            Ok(own) => own,
            Err(refusal) => {
                self.stats.refused();
                return CommandOutcome::Refused(refusal);
            }
        };
        let index = LeafIndex(self.next_index());
        if let Some(mark) = own.device.filter(|_| self.level.0 >= CLAIMS) {
            self.overlay.put_device_read(&own.tag, &mark);
        }
        self.put_entry(&RecordEntry {
            index,
            time: self.time,
            flags: Flags::LEDGER,
            kind: Kind::LOG_CONSULTED,
            tag: own.tag,
            record_hash: leaf_hash(&own.payload),
            position: 0,
        });
        let payloads = self.store.family(Family::Payload);
        self.writes.put_cf(payloads, schema::index_key(index.get()), own.payload);
        CommandOutcome::LedgerRecord { index }
    }
}

#[cfg(test)]
mod tests {
    use sillage_proto::v1::{Actor, Authentication, Item};
    use sillage_rules::record::new_message;

    use super::*;

    fn checked(change: impl FnOnce(&mut Record)) -> Result<[u8; 32], Code> {
        let mut message = new_message(Kind::LOG_CONSULTED, Some(&[7; 32]), 1_000);
        message.actor = Some(Actor { system: PARTIES.into(), id: "ab".repeat(32), ..Actor::default() });
        change(&mut message);
        let record = ParsedRecord::from_message(message).expect("a record").into_bytes();
        let record = LedgerRecord { kind: Kind::LOG_CONSULTED.code().into(), salt: vec![1; 16], record };
        check(&record, LedgerTimeMs(1_000)).map(|own| own.tag).map_err(|refusal| refusal.code)
    }

    #[test]
    fn it_names_a_party_and_no_person() {
        assert_eq!(checked(|_| ()), Ok([7; 32]));
        assert_eq!(checked(|record| record.tag.clear()), Ok(NO_PATIENT));
        let person = |record: &mut Record| {
            record.actor = Some(Actor { system: "urn:sillage:person".into(), id: "marie".into(), ..Actor::default() });
        };
        assert_eq!(checked(person), Err(Code::MalformedRecord));
        let item = Item { id: "hiv-test".into(), ..Item::default() };
        assert_eq!(checked(|record| record.items = vec![item]), Err(Code::MalformedRecord));
        let auth = Authentication { issuer: "franceconnect".into(), ..Authentication::default() };
        assert_eq!(checked(|record| record.auth = Some(auth)), Err(Code::MalformedRecord));
    }
}
