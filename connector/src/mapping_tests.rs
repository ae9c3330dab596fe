use super::*;
use crate::spool::seal::Key;
use serde_json::json;

pub(crate) fn event() -> Value {
    let dicom = |code: &str| json!([{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": code}]);
    json!({
        "resourceType": "AuditEvent",
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
        "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": "read"}],
        "action": "R",
        "recorded": "2026-02-03T10:11:12.345+01:00",
        "outcome": "0",
        "agent": [{
            "type": {"coding": dicom("110153")},
            "who": {"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "810100534436"}},
            "requestor": true
        }],
        "source": {"observer": {"reference": "Device/archive"}},
        "entity": [{
            "what": {"identifier": {"system": "urn:oid:1.2.250.1.213.1.4.10", "value": "279035121518989"}},
            "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-entity-type", "code": "1"},
            "role": {"system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "1"}
        }]
    })
}

pub(crate) fn arrival(resource: Value) -> Arrival {
    Arrival {
        door: Door::Rest,
        source: "radiology".to_owned(),
        received_ms: 1_800_000_000_000,
        raw: serde_json::to_vec_pretty(&resource).expect("JSON"),
        resource,
        base: String::new(),
        replaces: false,
    }
}

fn on_test_log() -> Terms {
    Terms { patients: PatientMap::empty(false), test_log: true }
}

#[test]
fn an_event_goes_on_record_as_it_came() {
    let arrival = arrival(event());
    let mapped = map(&arrival, &on_test_log()).expect("it can be recorded");
    assert_eq!((mapped.kind(), &mapped.original), ("AuditEvent", &arrival.raw));
    let records = mapped.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].patient.as_ref().expect("a patient").ins, "279035121518989");
}

#[test]
fn an_arrival_comes_back_from_the_spool_as_it_was() {
    for raw in [None, Some(b"<AuditEvent/>".to_vec()), Some(Vec::new())] {
        let mut arrival = arrival(event());
        arrival.raw = raw.unwrap_or(arrival.raw);
        let mapped = map(&arrival, &on_test_log()).expect("it can be recorded");
        let bytes = to_spool(&arrival, &mapped.original);
        assert_eq!(from_spool(&bytes), Some(arrival));
        for cut in 0..bytes.len().min(200) {
            assert_ne!(from_spool(&bytes[..cut]), from_spool(&bytes), "cut at {cut}");
        }
    }
}

#[test]
fn what_cannot_be_recorded_names_the_element_and_the_code() {
    let refused = |resource: Value| map(&arrival(resource), &on_test_log()).map(|_| ()).expect_err("refused");
    let mut future = event();
    future["recorded"] = json!("2199-01-01T00:00:00Z");
    assert_eq!(refused(future).code, "TIME_AHEAD");
    let mut nobody = event();
    nobody.as_object_mut().expect("an object").remove("agent");
    assert!(refused(nobody).to_string().contains("AuditEvent.agent"));
    assert!(refused(json!({"resourceType": "Patient"})).to_string().contains("Patient"));
    let real = map(&arrival(event()), &Terms { test_log: false, ..on_test_log() }).expect_err("a test identity");
    assert_eq!((real.code.as_str(), real.path.as_str()), ("TEST_INS_REFUSED", "AuditEvent.entity"));
    assert!(!real.to_string().contains("279035121518989"), "{real}");
}

#[test]
fn a_record_line_is_taken_as_the_command_line_takes_it() {
    let line = json!({
        "kind": "careteam.joined",
        "patient": {"ins": "279035121518989", "oid": "1.2.250.1.213.1.4.10"},
        "occurred_at": "2026-03-02T09:00:00Z", "details": {}
    });
    match map(&arrival(line), &on_test_log()) {
        Ok(mapped) => assert_eq!(mapped.kind(), "Record"),
        Err(refusal) => assert!(!refusal.code.is_empty(), "{refusal}"),
    }
    let refused = map(&arrival(json!({"kind": "nonsense"})), &on_test_log()).map(|_| ()).expect_err("no kind");
    assert!(!refused.code.is_empty(), "{refusal}", refusal = refused);
}

#[test]
fn a_retry_has_the_keys_of_the_first_time_and_nothing_else_has() {
    let names = Key::from_bytes([1; 32]).names();
    let first = arrival(event());
    let compact = Arrival { raw: serde_json::to_vec(&first.resource).expect("JSON"), ..first.clone() };
    assert_eq!(keys(&names, &first), keys(&names, &compact), "white space says nothing");
    let elsewhere = Arrival { source: "ward".to_owned(), ..first.clone() };
    assert_ne!(keys(&names, &first).body, keys(&names, &elsewhere).body);
    let named = |id: &str, version: &str, outcome: &str, base: &str| {
        let mut resource = event();
        resource["id"] = json!(id);
        resource["outcome"] = json!(outcome);
        if !version.is_empty() {
            resource["meta"] = json!({"versionId": version});
        }
        keys(&names, &Arrival { base: base.to_owned(), ..arrival(resource) })
    };
    let a = "https://a.example";
    assert_eq!(keys(&names, &first).version, None);
    assert_eq!(named("1", "1", "0", a), named("1", "1", "0", a));
    assert_ne!(named("1", "1", "0", a).version, named("1", "1", "4", a).version, "another content is another event");
    assert_eq!(named("1", "1", "0", a).named, named("1", "1", "4", a).named, "and it is noticed");
    assert_eq!(named("1", "", "0", a).named, None);
    assert_ne!(named("1", "1", "0", a).version, named("1", "2", "0", a).version);
    assert_ne!(named("1", "1", "0", a).version, named("1", "1", "0", "https://b.example").version);
    assert_ne!(named("1", "", "0", a).version, named("1", "", "4", a).version, "two things are never taken for one");
    assert_eq!(keys(&names, &Arrival { replaces: true, ..first }).body, None);
}

#[test]
fn the_time_of_a_resource_is_read_in_every_precision() {
    let at = |text: &str| date_ms(&json!({"resourceType": "Consent", "dateTime": text}));
    assert_eq!(at("2026-01-01T00:00:00Z"), Some(1_767_225_600_000));
    for text in ["2026", "2026-01", "2026-01-01", "2026-01-01T01:00:00+01:00"] {
        assert_eq!(at(text), Some(1_767_225_600_000), "{text}");
    }
    assert_eq!((at("soon"), at("")), (None, None));
}
