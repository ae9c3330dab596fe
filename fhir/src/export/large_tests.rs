//! A large access, which is on record in parts, goes out as one event and comes back as one access.

use serde_json::{Value, json};
use sillage_rules::ident::Ins;
use sillage_rules::parts::{self, Part};

use super::tests::line_of;
use super::*;
use crate::csv::csv;
use crate::import::{MappedRecord, PatientMap, map};

fn event(items: usize) -> Vec<u8> {
    let ins = Ins::demo("Patient/claire");
    let identifier = json!({"system": format!("urn:oid:{}", ins.oid().as_str()), "value": ins.value()});
    let person = json!({"system": "http://terminology.hl7.org/CodeSystem/audit-entity-type", "code": "1"});
    let role = json!({"system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "1"});
    let patient = json!({"what": {"type": "Patient", "identifier": identifier}, "type": person, "role": role});
    let item = |i: usize| json!({"what": {"reference": format!("DocumentReference/{i:08}")}});
    let entities: Vec<Value> = std::iter::once(patient).chain((0..items).map(item)).collect();
    let event = json!({
        "resourceType": "AuditEvent",
        "id": "big",
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
        "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": "read"}],
        "action": "R",
        "recorded": "2026-03-02T09:00:00Z",
        "outcome": "0",
        "agent": [{"who": {"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "10100534436"}}, "requestor": true}],
        "source": {"observer": {"display": "dmp"}},
        "entity": entities,
    });
    event.to_string().into_bytes()
}

fn mapped(json: &[u8]) -> Vec<MappedRecord> {
    map(json, &PatientMap::default()).expect("an event")
}

/// Lines of the records, from no. 10 on.
fn lines(records: &[MappedRecord]) -> Vec<Line> {
    let one = |(at, mapped): (u64, &MappedRecord)| {
        let message = v1::Record { tag: vec![7; 32], ..mapped.record.clone() };
        line_of(10 + at, 1_772_442_100_000, ParsedRecord::from_message(message).expect("a record"))
    };
    (0..).zip(records).map(one).collect()
}

fn trace(lines: Vec<Line>) -> Trace {
    let ins = Ins::demo("Patient/claire");
    let subject = Subject { ins: ins.value().to_owned(), oid: ins.oid().as_str().to_owned() };
    Trace { subject, origin: "sillage.example/test".to_owned(), read_at_ms: 1_772_443_000_000, lines }
}

/// The content of all parts, without how they are cut and what is kept of the document.
fn said(records: &[MappedRecord]) -> (v1::Record, Value) {
    let whole = parts::whole(records.iter().map(|mapped| &mapped.record)).expect("records");
    let mut details: Value = serde_json::from_str(&whole.details).expect("JSON");
    for name in ["part", "original"] {
        details.as_object_mut().expect("an object").remove(name);
    }
    (v1::Record { original: None, details: String::new(), ..whole }, details)
}

#[test]
fn a_large_access_goes_out_as_one_event_and_comes_back_as_one() {
    for items in [700, 3_000] {
        let first = mapped(&event(items));
        assert!(first.len() > 1, "{items} items are too many for one record");
        let trace = trace(lines(&first));
        let bundle = bundle(&trace);
        let entries = bundle["entry"].as_array().expect("entries");
        assert_eq!(entries.len(), 1, "one event");
        let event = &entries[0]["resource"];
        let places: Vec<&str> = event["extension"][0]["extension"]
            .as_array()
            .expect("parts of `entry`")
            .iter()
            .filter(|part| part["url"] == "part")
            .filter_map(|part| part["valueString"].as_str())
            .collect();
        let expected: Vec<String> = (10..10 + first.len()).map(|at| at.to_string()).collect();
        assert_eq!(places, expected, "every place is named");

        let again = mapped(event.to_string().as_bytes());
        assert_eq!(said(&again), said(&first), "{items}");
        let part = |mapped: &MappedRecord| Part::of(&mapped.record.details);
        match items {
            700 => assert_eq!((again.len(), part(&again[0])), (1, None), "without its document it fits one record"),
            _ => {
                let all: Vec<Part> = again.iter().filter_map(part).collect();
                assert!(all.len() > 1 && all.len() == again.len());
                assert_eq!(Some(&all[0].of), part(&first[0]).as_ref().map(|part| &part.of), "the same access");
                assert_eq!(accesses(&lines(&again)).len(), 1);
            }
        }
        let details: Value = serde_json::from_str(&again[0].record.details).expect("JSON");
        assert_eq!(
            details["original"]["kept"], "its hash alone",
            "the document is in the log that it was imported into"
        );

        let rows = csv(&trace);
        assert_eq!(rows.matches("\r\n").count(), 2, "one row under the head");
        let indices = format!("\"\"indices\"\":[{}]", expected.join(","));
        assert!(rows.contains("DocumentReference/00000699") && rows.contains(&indices), "{indices}");
        let range = format!("\r\n\"10..{}\",", 9 + first.len());
        assert!(rows.contains(&range), "{range}");
    }
}

#[test]
fn a_part_without_the_others_goes_out_alone_and_stays_a_part() {
    let all = lines(&mapped(&event(3_000)));
    let some = [all[0].clone(), all[2].clone()];
    assert_eq!(accesses(&some).len(), 2);
    let trace = trace(some.to_vec());
    let bundle = bundle(&trace);
    let entries = bundle["entry"].as_array().expect("entries");
    assert_eq!(entries.len(), 2);
    let again = mapped(entries[1]["resource"].to_string().as_bytes());
    let part = Part::of(&again[0].record.details).expect("a part");
    assert_eq!((part.n, part.items), (3, 3_000));
}
