//! Fuzz targets: each reads arbitrary bytes with one parser and asserts that what is accepted survives the way there
//! and back. None may panic.

use crate::entry::Entry;
use crate::fuzz_decisions::{fuzz_decision, fuzz_event, fuzz_messages, fuzz_request};
use crate::ident::{self, Checks, Finess, Ins, InsOid, Rpps, Source};
use crate::line::{PatientLine, RecordLine};
use crate::record::ParsedRecord;
use crate::stream::StreamLabel;
use crate::time::TimeMs;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target with its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("record", fuzz_record),
    ("entry", fuzz_entry),
    ("record_line", fuzz_record_line),
    ("identifiers", fuzz_identifiers),
    ("small_texts", fuzz_small_texts),
    ("event", fuzz_event),
    ("request", fuzz_request),
    ("decision", fuzz_decision),
    ("decision_messages", fuzz_messages),
];

/// Records: the bytes are canonical, and the record line says all of it.
pub fn fuzz_record(data: &[u8]) {
    let Ok(record) = ParsedRecord::parse(data) else {
        return;
    };
    assert_eq!(record.bytes(), data);
    assert_eq!(ParsedRecord::from_message(record.message().clone()), Ok(record.clone()));
    let patient = PatientLine { ins: String::new(), oid: String::new() };
    let patient = record.tag().is_some().then_some(patient);
    let line = RecordLine::from_record(&record, patient, false);
    assert_eq!(RecordLine::parse(line.to_json().as_bytes()), Ok(line.clone()));
    let mut again = line.to_record(record.tag()).expect("the line of a record").into_message();
    // The line takes the spaces out of the details.
    if let Some(details) = &line.details {
        assert_eq!(again.details, details.as_str());
        again.details.clone_from(&record.message().details);
    }
    // Signatures of further authorities travel in a file of their own, which `sillage authority` makes.
    again.signatures.clone_from(&record.message().signatures);
    assert_eq!(&again, record.message());
}

/// Entries: what decodes encodes to the same bytes.
pub fn fuzz_entry(data: &[u8]) {
    if let Ok(entry) = Entry::decode(data) {
        assert_eq!(entry.encode(), data);
        if let Entry::Record(record) = &entry {
            assert!(record.header_index().is_none_or(|index| index < record.index));
        }
    }
}

/// Record lines: the record that a line makes gives a line that makes the same record.
pub fn fuzz_record_line(data: &[u8]) {
    let Ok(mut line) = RecordLine::parse(data) else {
        return;
    };
    let _ = line.check_identifiers(Checks { test_log: true, source: Source::Import });
    let tag = line.patient.is_some().then_some([1; 32]);
    let Ok(record) = line.to_record(tag.as_ref()) else {
        return;
    };
    assert_eq!(ParsedRecord::parse(record.bytes()), Ok(record.clone()));
    let back = RecordLine::from_record(&record, line.patient.clone(), line.secret);
    let again = RecordLine::parse(back.to_json().as_bytes()).expect("a line that was printed");
    assert_eq!(again.to_record(tag.as_ref()), Ok(record));
}

/// Identifiers of patients, professionals and structures.
pub fn fuzz_identifiers(data: &[u8]) {
    let text = std::str::from_utf8(data).unwrap_or_default();
    for oid in [InsOid::Nir, InsOid::Demo] {
        if let Ok(ins) = Ins::parse(text, oid.as_str()) {
            assert_eq!(ins.value(), text);
            assert_eq!(ins.oid(), oid);
            // One key fits each number, and no other.
            let keys = (1..=97).map(|key| format!("{}{key:02}", &text[..13]));
            let fitting = keys.filter(|ins| Ins::parse(ins, oid.as_str()).is_ok_and(|ins| ins.key_fits()));
            assert_eq!(fitting.count(), 1);
        }
    }
    assert!(Ins::demo(text).key_fits());
    if let Ok(rpps) = Rpps::parse(text) {
        assert_eq!(Rpps::parse(rpps.as_str()).as_ref(), Ok(&rpps));
        let _ = rpps.key_fits();
    }
    if let Ok(id) = ident::normalise_actor(ident::PROFESSIONAL_OID, text) {
        assert_eq!(ident::normalise_actor(ident::PROFESSIONAL_OID, &id).as_ref(), Ok(&id));
    }
    if let Ok(finess) = Finess::parse(text) {
        assert_eq!(finess.as_str(), text);
    }
}

/// Stream labels and times.
pub fn fuzz_small_texts(data: &[u8]) {
    let text = std::str::from_utf8(data).unwrap_or_default();
    if let Ok(label) = StreamLabel::parse(text) {
        assert_eq!(label.as_str(), text);
    }
    if let Ok(time) = text.parse::<TimeMs>() {
        assert_eq!(time.to_string().parse(), Ok(time));
    }
}
