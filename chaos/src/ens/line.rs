//! An event as a line of a record file: what a service gives to `sillage record`.

use super::{Event, World};
use prost::Message;
use sillage_rules::line::{PatientLine, RecordLine};
use sillage_rules::record::{ParsedRecord, RecordError};

/// The line, without its end.
///
/// # Errors
/// When the event is no good record.
pub fn of(event: &Event, world: &World) -> Result<String, RecordError> {
    let patient = &world.patients[event.patient];
    let patient = PatientLine { ins: patient.ins.clone(), oid: patient.oid.to_owned() };
    // The tag stands for the patient in the record, and the patient for the tag in the line: any tag will do here.
    let mut record = event.record.clone();
    record.tag = vec![1; 32];
    let parsed = ParsedRecord::parse(&record.encode_to_vec())?;
    Ok(RecordLine::from_record(&parsed, Some(patient), false).to_json())
}

#[cfg(test)]
mod tests {
    use super::super::{Day, Plan};
    use super::*;
    use sillage_rules::ident::{Checks, Source};

    #[test]
    fn every_event_is_a_good_record_with_checked_identifiers() {
        let day = Day::new(Plan { seed: 3, patients: 800, events: 4_000, end_ms: 1_772_470_800_000 });
        for event in &day.events {
            let text = of(event, &day.world).expect("a good record");
            let mut line = RecordLine::parse(text.as_bytes()).expect("a good line");
            let warnings =
                line.check_identifiers(Checks { test_log: true, source: Source::Direct }).expect("good identifiers");
            assert!(warnings.is_empty(), "{warnings:?} in {text}");
            let back = line.to_record(Some(&[1; 32])).expect("the same record");
            let mut record = event.record.clone();
            record.tag = vec![1; 32];
            assert_eq!(back.message(), &record, "{text}");
        }
    }
}
