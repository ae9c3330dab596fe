//! The patient of an event, in every form in which real senders name one, and whose event it must not be.

use std::path::Path;

use serde_json::{Value, json};
use sillage_rules::ident::Ins;

use super::super::patients::PatientMap;
use super::super::source::documents;
use super::super::{FhirError, MappedRecord, map, map_among};

const INS: &str = "279035121518989";
const SYSTEM: &str = "urn:oid:1.2.250.1.213.1.4.10";

fn demo() -> PatientMap {
    PatientMap::empty(true)
}

fn event(more: &Value) -> Value {
    let mut event = json!({
        "resourceType": "AuditEvent", "id": "e1",
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
        "action": "R", "recorded": "2026-03-02T09:00:00Z",
        "agent": [{"who": {"identifier": {"system": "https://rpps.esante.gouv.fr", "value": "810100534436"}}, "requestor": true}],
        "source": {"observer": {"display": "dmp"}},
    });
    for (name, value) in more.as_object().expect("an object") {
        event[name] = value.clone();
    }
    event
}

fn mapped(more: &Value) -> Result<Vec<MappedRecord>, FhirError> {
    map(event(more).to_string().as_bytes(), &demo())
}

fn whose(more: &Value) -> Vec<String> {
    let records = mapped(more).unwrap_or_else(|error| panic!("{more}: {error}"));
    records.into_iter().filter_map(|record| record.patient).map(|patient| patient.ins).collect()
}

fn identifier() -> Value {
    json!({"system": SYSTEM, "value": INS})
}

#[test]
fn a_patient_is_recognised_in_every_form_of_a_reference() {
    let one = Ins::demo("Patient/p1");
    for what in [
        json!({"reference": "Patient/p1"}),
        json!({"reference": "Patient/p1/_history/3"}),
        json!({"reference": "Patient/p1/"}),
        json!({"reference": "/Patient/p1"}),
        json!({"reference": "./Patient/p1"}),
        json!({"reference": " Patient/p1"}),
        json!({"reference": "Patient/p1#name"}),
        json!({"reference": "Patient%2Fp1"}),
        json!({"reference": "patient/p1"}),
    ] {
        for more in [
            json!({"entity": [{"what": what}]}),
            json!({"entity": [{"what": what, "type": {"code": "2"}, "role": {"code": "4"}}]}),
            json!({"agent": [{"who": what, "requestor": false}, {"who": {"display": "x"}, "requestor": true}]}),
            json!({"extension": [{"url": "https://h.example/about", "valueReference": what}]}),
            json!({"entity": [{"what": {"reference": "DocumentReference/d"},
                "extension": [{"url": "https://h.example/about", "valueReference": what}]}]}),
            json!({"contained": [{"resourceType": "DocumentReference", "id": "d", "subject": what}],
                "entity": [{"what": {"reference": "#d"}}]}),
            json!({"source": {"observer": what}}),
        ] {
            assert_eq!(whose(&more), [one.value()], "{more}");
        }
    }
}

#[test]
fn a_patient_is_recognised_by_identifier_type_and_what_came_along() {
    let contained = json!([{"resourceType": "Patient", "id": "pat", "identifier": [
        {"system": "urn:oid:1.2.3", "value": "IPP7"}, identifier()]}]);
    let by = "http://hl7.org/fhir/StructureDefinition/Patient";
    let resources = json!({"system": "http://hl7.org/fhir/resource-types", "code": "Patient"});
    for more in [
        json!({"entity": [{"what": {"identifier": identifier()}}]}),
        json!({"entity": [{"what": {"identifier": {"system": "URN:OID:1.2.250.1.213.1.4.10", "value": "2 79 03 51 215 189 89"}}}]}),
        json!({"entity": [{"what": {"identifier": identifier(), "type": by}}]}),
        json!({"entity": [{"what": {"identifier": identifier()}, "type": resources}]}),
        json!({"entity": [{"what": {"reference": format!("Patient?identifier={SYSTEM}|{INS}")}}]}),
        json!({"entity": [{"what": {"reference": format!("https://h.example/Patient?identifier={SYSTEM}%7C{INS}")}}]}),
        json!({"entity": [{"what": {"reference": "#pat"}}], "contained": contained}),
        json!({"contained": contained}),
        json!({"agent": [{"who": {"reference": "#pat"}, "requestor": true}], "contained": contained}),
        json!({"extension": [{"url": "https://h.example/ins", "valueIdentifier": identifier()}]}),
    ] {
        assert_eq!(whose(&more), [INS], "{more}");
    }
    let local = json!({"entity": [{"what": {"identifier": {"system": "urn:oid:1.2.3", "value": "7"}, "type": by}}]});
    assert_eq!(whose(&local), [Ins::demo("urn:oid:1.2.3|7").value()]);
}

#[test]
fn what_came_in_the_same_bundle_says_who_is_meant() {
    let url = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0";
    let bundle = json!({"resourceType": "Bundle", "type": "collection", "entry": [
        {"fullUrl": url, "resource": {"resourceType": "Patient", "id": "p", "identifier": [identifier()]}},
        {"resource": event(&json!({"entity": [{"what": {"reference": url.to_uppercase().replace("URN:UUID", "urn:uuid")}}]}))},
        {"resource": event(&json!({"entity": [{"what": {"reference": "Patient/p/_history/2"}}]}))},
    ]});
    let found = documents(Path::new("a.json"), bundle.to_string().as_bytes());
    for document in &found[1..] {
        let json = document.json.as_ref().expect("an event");
        let records = map_among(json, &PatientMap::default(), &document.around).expect("whose is said");
        assert_eq!(records[0].patient.as_ref().map(|patient| patient.ins.as_str()), Some(INS));
    }
}

/// The records of the entries of a Bundle, or why there are none.
fn of_bundle(entries: &[(&str, Value)]) -> Vec<Result<Vec<MappedRecord>, FhirError>> {
    let entry = |(url, resource): &(&str, Value)| match url.is_empty() {
        true => json!({"resource": resource}),
        false => json!({"fullUrl": url, "resource": resource}),
    };
    let bundle =
        json!({"resourceType": "Bundle", "type": "collection", "entry": entries.iter().map(entry).collect::<Vec<_>>()});
    let found = documents(Path::new("a.json"), bundle.to_string().as_bytes());
    let read = |document: &super::super::source::Document| {
        map_among(document.json.as_ref().expect("a resource"), &PatientMap::default(), &document.around)
    };
    found.iter().map(read).collect()
}

const OTHER: &str = "180035121518990";

fn patient(id: &str, ins: &str) -> Value {
    json!({"resourceType": "Patient", "id": id, "identifier": [{"system": SYSTEM, "value": ins}]})
}

#[test]
fn a_relative_reference_means_the_patient_of_its_own_server() {
    let (a, b) = ("https://a.example/fhir/Patient/1", "https://b.example/fhir/Patient/1");
    let (one, other) = (patient("1", INS), patient("1", OTHER));
    let about = |reference: &str| event(&json!({"entity": [{"what": {"reference": reference}}]}));
    let whose = |url: &str, reference: &str, patients: [(&str, &Value); 2]| {
        let mut entries: Vec<(&str, Value)> =
            patients.iter().map(|(url, patient)| (*url, (*patient).clone())).collect();
        entries.push((url, about(reference)));
        let last = of_bundle(&entries).pop().expect("an event");
        last.map(|records| records[0].patient.clone().expect("whose").ins).map_err(|error| error.path)
    };
    for patients in [[(a, &one), (b, &other)], [(b, &other), (a, &one)]] {
        assert_eq!(whose("https://a.example/fhir/AuditEvent/e1", "Patient/1", patients), Ok(INS.to_owned()));
        assert_eq!(whose("https://b.example/fhir/AuditEvent/e1", "Patient/1", patients), Ok(OTHER.to_owned()));
        assert_eq!(
            whose("https://B.example/fhir/AuditEvent/e1/_history/2", "Patient/1/_history/4", patients),
            Ok(OTHER.to_owned())
        );
        assert_eq!(whose("urn:uuid:1", b, patients), Ok(OTHER.to_owned()));
        // Nothing says which server.
        assert_eq!(whose("", "Patient/1", patients), Err("AuditEvent.entity[0].what.reference".to_owned()));
        // A third one, of which no patient came along.
        assert_eq!(
            whose("https://c.example/fhir/AuditEvent/e1", "Patient/1", patients),
            Err("AuditEvent.entity[0].what".to_owned())
        );
    }
    // Two of one name.
    let uuid = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0";
    for (url, reference) in [(uuid, uuid), (a, a), (a, "Patient/1")] {
        let of_a = "https://a.example/fhir/AuditEvent/e1";
        let refused = Err("AuditEvent.entity[0].what.reference".to_owned());
        assert_eq!(whose(of_a, reference, [(url, &one), (url, &other)]), refused, "{url}");
        assert_eq!(whose(of_a, reference, [(url, &one), (url, &one)]), Ok(INS.to_owned()), "versions of one patient");
    }
    // As before: one server, and entries without URLs.
    assert_eq!(whose("", "Patient/1", [("", &one), ("", &patient("2", OTHER))]), Ok(INS.to_owned()));
    assert_eq!(
        whose("urn:uuid:9", "Patient/1", [("urn:uuid:1", &one), ("urn:uuid:2", &patient("2", OTHER))]),
        Ok(INS.to_owned())
    );
}

#[test]
fn a_url_that_goes_on_after_the_id_is_of_that_patient() {
    let one = Ins::demo("Patient/p1");
    for reference in [
        "Patient/p1/$everything",
        "Patient/p1/$everything?_count=5",
        "Patient/p1/Observation?code=x",
        "Patient/p1?_format=json",
        "Patient/p1%3F_format=json",
        "patient/p1/$everything",
        "Patient/p1/_history",
        "Patient/p1/*",
    ] {
        assert_eq!(whose(&json!({"entity": [{"what": {"reference": reference}}]})), [one.value()], "{reference}");
    }
    let at_h = Ins::demo("https://h.example/fhir/Patient/p1");
    let reference = "https://h.example/fhir/Patient/p1/Observation?code=x";
    assert_eq!(whose(&json!({"entity": [{"what": {"reference": reference}}]})), [at_h.value()]);
    let search = format!("https://h.example/fhir/Patient/_search?identifier={SYSTEM}%7C{INS}");
    assert_eq!(whose(&json!({"entity": [{"what": {"reference": search}}]})), [INS]);
    // Nobody known.
    for reference in [
        "Patient/_search?identifier=http://ipp|1",
        "Patient/$match",
        "Patient/_search",
        "Patient?identifier=http://ipp|123456",
    ] {
        let event = event(&json!({"entity": [{"what": {"reference": reference}}]}));
        let error = map(event.to_string().as_bytes(), &PatientMap::default()).expect_err(reference);
        assert_eq!(error.path, "AuditEvent.entity[0].what", "{reference}");
        assert!(!error.reason.contains('|'), "an identifier is nobody's to read: {error}");
    }
}

#[test]
fn a_stranger_is_not_a_line_in_somebodys_trace() {
    let query = |query: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, query);
    let asked = |said: &str| json!({"query": query(said), "role": {"code": "24"}});
    let detail = |said: &str| json!({"what": {"reference": "DocumentReference/d"}, "detail": [{"type": "x", "valueString": said}]});
    let binary = json!({"what": {"reference": "DocumentReference/d"}, "detail": [{"type": "x", "valueBase64Binary": query(INS)}]});
    let role = json!({"system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "1"});
    for (entity, path) in [
        (json!({"type": {"code": "1"}, "role": role, "name": "DURAND Marie"}), "AuditEvent.entity[1]"),
        (asked("Observation?subject=Patient/b"), "AuditEvent.entity[1].query"),
        (asked("Observation?patient=b"), "AuditEvent.entity[1].query"),
        (asked("GET /Patient/b/Observation"), "AuditEvent.entity[1].query"),
        (asked(&format!("Patient?identifier={SYSTEM}%7C{INS}")), "AuditEvent.entity[1].query"),
        (detail(INS), "AuditEvent.entity[1].detail[0].valueString"),
        (detail("279035121518989^^^&1.2.250.1.213.1.4.8&ISO^INS-NIR"), "AuditEvent.entity[1].detail[0].valueString"),
        (detail("Patient/b"), "AuditEvent.entity[1].detail[0].valueString"),
        (binary, "AuditEvent.entity[1].detail[0].valueBase64Binary"),
    ] {
        let error = mapped(&json!({"entity": [{"what": {"reference": "Patient/a"}, "role": role}, entity]}));
        let error = error.map(|records| records.len()).expect_err(&entity.to_string());
        assert_eq!(error.path, path, "{entity}: {error}");
        assert!(!error.to_string().contains(INS), "{error}");
    }
    // The same patient, and what may be theirs.
    let of_a = json!({"what": {"reference": "Patient/a"}, "role": role});
    let of_ins = json!({"what": {"identifier": identifier()}, "role": role});
    let at_h = json!({"what": {"reference": "https://h.example/fhir/Patient/a"}, "role": role});
    for (patient, entity) in [
        (&of_a, asked("GET https://h.example/fhir/Observation?patient=a&_count=10")),
        (&of_a, asked("Observation?subject=Patient/a/_history/2")),
        (&of_a, asked("Patient?identifier=urn:oid:1.2.3|IPP7")),
        (&of_a, asked("Patient?name=DURAND")),
        (&at_h, asked("Observation?patient=a")),
        (&of_ins, asked("Observation?patient=p1")),
        (&of_ins, asked("DocumentReference?patient.identifier=urn:oid:1.2.3|IPP7")),
        (&of_ins, asked(&format!("Patient?identifier={SYSTEM}|{INS}"))),
        (&of_ins, detail("2 79 03 51 215 189 89")),
    ] {
        assert_eq!(whose(&json!({"entity": [patient, entity]})).len(), 1, "{entity}");
    }
    // A parent who looks is named as who acts.
    let parent = json!({"entity": [of_a], "agent": [{"who": {"reference": "Patient/parent"}, "requestor": true}]});
    assert_eq!(whose(&parent), [Ins::demo("Patient/a").value()]);
    // Also one whose INS nobody knows; who acts is nobody whom the query may be about.
    let of_both = json!({"what": {"reference": "Patient/a", "identifier": identifier()}, "role": role});
    let acts = json!([{"who": {"reference": "Patient/parent"}, "requestor": true}]);
    let read = |entities: Value| {
        let event = event(&json!({"entity": entities, "agent": acts}));
        map(event.to_string().as_bytes(), &PatientMap::default())
            .map(|records| records.len())
            .map_err(|error| error.path)
    };
    assert_eq!(read(json!([of_both])), Ok(1));
    assert_eq!(read(json!([of_both, asked("Observation?patient=a")])), Ok(1));
    assert_eq!(read(json!([of_both, asked("Observation?patient=c")])), Err("AuditEvent.entity[1].query".to_owned()));
    let two =
        json!({"entity": [of_a, {"what": {"reference": "Patient/b"}, "role": role}, asked("Observation?patient=b")]});
    assert_eq!(whose(&two).len(), 2);
}

#[test]
fn two_contained_resources_of_one_id_are_refused() {
    for (one, other) in [(INS, OTHER), (INS, INS)] {
        let error = mapped(
            &json!({"contained": [patient("p", one), patient("p", other)], "entity": [{"what": {"reference": "#p"}}]}),
        );
        assert_eq!(error.expect_err("which?").path, "AuditEvent.contained[1].id");
    }
}

#[test]
fn an_event_that_speaks_of_a_patient_is_never_nobodys() {
    let query = |query: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, query);
    for (more, path) in [
        (
            json!({"entity": [{"what": {"reference": "#gone"}, "type": {"code": "1"}, "role": {"code": "1"}}]}),
            "AuditEvent.entity[0].what",
        ),
        (json!({"entity": [{"type": {"code": "1"}, "role": {"code": "1"}, "name": "x"}]}), "AuditEvent.entity[0]"),
        (json!({"entity": [{"what": {"identifier": {"value": "7"}}, "type": {"code": "1"}}]}), "AuditEvent.entity[0]"),
        (json!({"entity": [{"what": {"reference": "Person/7"}}]}), "AuditEvent.entity[0]"),
        (json!({"entity": [{"what": {"reference": "Person/7"}, "type": {"code": "2"}}]}), "AuditEvent.entity[0]"),
        (
            json!({"entity": [{"query": query("GET /Observation?patient=p1"), "role": {"code": "24"}}]}),
            "AuditEvent.entity[0].query",
        ),
        (
            json!({"entity": [{"query": query("Observation?subject=Patient/p1"), "role": {"code": "24"}}]}),
            "AuditEvent.entity[0].query",
        ),
        (
            json!({"entity": [{"query": query(&format!("Patient?identifier={SYSTEM}|{INS}")), "role": {"code": "24"}}]}),
            "AuditEvent.entity[0].query",
        ),
        (
            json!({"entity": [{"what": {"display": "d"}, "detail": [{"type": "ins", "valueString": INS}]}]}),
            "AuditEvent.entity[0].detail[0].valueString",
        ),
        (
            json!({"extension": [{"url": "https://h.example/p", "valueUri": "https://h.example/fhir/Patient/p1/_history/2"}]}),
            "AuditEvent.extension[0].valueUri",
        ),
        (json!({"outcomeDesc": "lecture de Patient/p1."}), "AuditEvent.outcomeDesc"),
        (
            json!({"entity": [{"query": query(&format!("Patient?identifier={SYSTEM}%7C{INS}"))}]}),
            "AuditEvent.entity[0].query",
        ),
        (
            json!({"entity": [{"query": query("DocumentReference?patient.identifier=urn:oid:1.2.3|IPP7")}]}),
            "AuditEvent.entity[0].query",
        ),
        (json!({"entity": [{"query": query("Patient?identifier=http://chu/ipp|123")}]}), "AuditEvent.entity[0].query"),
        (json!({"entity": [{"query": query("GET /Patient/p1/Observation")}]}), "AuditEvent.entity[0].query"),
        (
            json!({"entity": [{"what": {"display": "d"}, "detail": [{"type": "cx",
                "valueString": "279035121518989^^^&1.2.250.1.213.1.4.8&ISO^INS-NIR"}]}]}),
            "AuditEvent.entity[0].detail[0].valueString",
        ),
        (
            json!({"entity": [{"what": {"display": "d"}, "detail": [{"type": "ins", "valueString": "2 79 03 51 215 189 89"}]}]}),
            "AuditEvent.entity[0].detail[0].valueString",
        ),
        (
            json!({"entity": [{"what": {"display": "d"}, "detail": [{"type": "ins", "valueBase64Binary": query(INS)}]}]}),
            "AuditEvent.entity[0].detail[0].valueBase64Binary",
        ),
        (
            json!({"entity": [{"what": {"identifier": {"system": "urn:oid:1.2.250.1.213.1.4.2", "value": "0123456789012345678912"}}}]}),
            "AuditEvent.entity[0].what",
        ),
    ] {
        let error = map(event(&more).to_string().as_bytes(), &PatientMap::default());
        let error = error.map(|records| records.len()).expect_err(&more.to_string());
        assert_eq!(error.path, path, "{more}: {error}");
        assert!(!error.to_string().contains(INS), "{error}");
    }
}

#[test]
fn who_is_no_patient_is_nobodys_trace() {
    for more in [
        json!({}),
        json!({"entity": [{"what": {"reference": "Practitioner/p1"}, "type": {"code": "1"}}]}),
        json!({"entity": [{"what": {"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "10100534436"}}, "type": {"code": "1"}}]}),
        json!({"entity": [{"what": {"reference": "StructureDefinition/Patient"}}]}),
        json!({"meta": {"profile": ["http://hl7.org/fhir/StructureDefinition/Patient"]}}),
        json!({"entity": [{"what": {"display": "sauvegarde"}, "type": {"code": "2"}}]}),
    ] {
        assert_eq!(whose(&more), [""; 0], "{more}");
    }
}

#[test]
fn of_several_patients_each_is_an_entity_and_none_is_an_item() {
    let two = |other: Value| json!({"entity": [{"what": {"reference": "Patient/a"}, "role": {"code": "1"}}, other]});
    for other in [
        json!({"what": {"reference": "Patient/b/_history/2"}}),
        json!({"what": {"reference": "Patient/b", "type": "Patient"}, "type": {"code": "2"}}),
    ] {
        let records = mapped(&two(other)).expect("both");
        assert_eq!(records.len(), 2);
        for (record, other) in records.iter().zip(["Patient/b", "Patient/a"]) {
            assert!(record.record.items.is_empty());
            let original =
                String::from_utf8_lossy(&record.record.original.as_ref().expect("kept").content).into_owned();
            assert!(!original.contains(other), "{original}");
        }
    }
    let elsewhere = two(json!({"what": {"reference": "DocumentReference/d"},
        "extension": [{"url": "https://h.example/about", "valueReference": {"reference": "Patient/b"}}]}));
    let error = mapped(&elsewhere).expect_err("the one's trace would name the other");
    assert_eq!(error.path, "AuditEvent.entity[1].extension[0].valueReference");
    let same =
        json!({"entity": [{"what": {"reference": "Patient/a"}}, {"what": {"reference": "Patient/a/_history/9"}}]});
    assert_eq!(whose(&same).len(), 1, "two versions of one patient");
}

#[test]
fn actors_items_and_bases_are_one_whatever_version_names_them() {
    let patient = json!({"what": {"identifier": identifier()}});
    let actor = |who: Value, more: Value| {
        let mut event = json!({"entity": [patient], "agent": [{"who": who, "requestor": true}]});
        event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let record = mapped(&event).expect("mapped").remove(0).record;
        let actor = record.actor.expect("who");
        (actor.system, actor.id)
    };
    let none = json!({});
    let rpps = ("urn:oid:1.2.250.1.71.4.2.1".to_owned(), "10100534436".to_owned());
    let identifiers = json!([{"system": "urn:oid:1.2.3", "value": "local"}, {"system": "https://rpps.esante.gouv.fr", "value": "10100534436"}]);
    let contained = json!({"contained": [{"resourceType": "Practitioner", "id": "pr", "identifier": identifiers}]});
    assert_eq!(actor(json!({"reference": "#pr"}), contained), rpps, "that of the nation counts");
    let role = json!({"contained": [{"resourceType": "PractitionerRole", "id": "pr", "practitioner": {"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "810100534436"}}}]});
    assert_eq!(actor(json!({"reference": "#pr"}), role), rpps);
    assert_eq!(
        actor(json!({"reference": "Practitioner/p/_history/2"}), none.clone()),
        actor(json!({"reference": "Practitioner/p"}), none)
    );
    let nameless =
        |city: &str| json!({"contained": [{"resourceType": "Practitioner", "id": "pr", "address": [{"city": city}]}]});
    let (one, other) =
        (actor(json!({"reference": "#pr"}), nameless("Lyon")), actor(json!({"reference": "#pr"}), nameless("Brest")));
    assert_ne!(one, other, "`#pr` of two documents is two people");
    let record = mapped(&json!({"entity": [patient, {"what": {"reference": "Consent/k1/_history/2"}},
        {"what": {"reference": "https://h.example/DocumentReference/d1/_history/2"}}]}));
    let record = record.expect("mapped").remove(0).record;
    assert_eq!(record.basis.expect("a basis").r#ref, "Consent/k1");
    assert_eq!(record.items.len(), 1);
    assert_eq!(
        (record.items[0].id.as_str(), record.items[0].category.as_str()),
        ("https://h.example/DocumentReference/d1", "DocumentReference")
    );
}

#[test]
fn numbers_stay_as_they_were_written_where_others_are_left_out() {
    let two = event(&json!({"entity": [{"what": {"reference": "Patient/a"}}, {"what": {"reference": "Patient/b"}}],
        "extension": [{"url": "https://h.example/n", "valueDecimal": "@"}]}));
    let records = map(two.to_string().replace("\"@\"", "1.10").as_bytes(), &demo()).expect("both");
    for record in records {
        let original = String::from_utf8(record.record.original.expect("kept").content).expect("UTF-8");
        assert!(original.contains("\"valueDecimal\":1.10"), "{original}");
    }
}

#[test]
fn the_map_of_one_hospital_names_no_patient_of_another() {
    let map = PatientMap::read(&format!("Patient/1,{INS}"), false).expect("a map").of_server("https://a.example/fhir");
    let coding = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
    let consent = json!({
        "resourceType": "Consent", "id": "c", "status": "active", "dateTime": "2026-01-05",
        "scope": coding("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [coding("http://loinc.org", "59284-0")],
        "patient": {"reference": "Patient/1"},
        "policy": [{"uri": "https://hospital.example/policy"}],
        "provision": {"type": "deny"}
    });
    let event = event(&json!({"entity": [{"what": {"reference": "Patient/1"}}]}));
    for (kind, resource, id) in [("AuditEvent", event, "e1"), ("Consent", consent, "c")] {
        for (server, is_known) in [("https://a.example/fhir", true), ("https://b.example/fhir", false)] {
            let bundle = json!({"resourceType": "Bundle", "type": "collection", "entry": [
                {"fullUrl": format!("{server}/{kind}/{id}"), "resource": resource}]});
            let found = documents(Path::new("a.json"), bundle.to_string().as_bytes());
            let read = map_among(found[0].json.as_ref().expect("a resource"), &map, &found[0].around);
            let whose = read.as_ref().map(|records| records[0].patient.as_ref().map(|patient| patient.ins.as_str()));
            assert_eq!(whose.ok(), is_known.then_some(Some(INS)), "{server} {kind}: {read:?}");
        }
    }
}
