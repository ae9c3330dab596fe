//! R4, and everything that isn't.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn good() -> Value {
    json!({
        "resourceType": "AuditEvent",
        "meta": {"security": [{"system": "http://x", "code": "HTEST"}]},
        "contained": [{"resourceType": "Patient", "id": "p"}],
        "type": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "110112"},
        "action": "E", "_action": {"id": "a1"},
        "period": {"start": "2020-04-29", "end": "2020-04-29T09:49:00+02:00"},
        "recorded": "2020-04-29T09:49:00.000Z",
        "agent": [{
            "extension": [{"url": "urn:x", "valueString": "y"}, {"url": "urn:z", "extension": [
                {"url": "a", "valueBoolean": false}]}],
            "policy": ["urn:token", null], "_policy": [null, {"extension": [{"url": "u", "valueCode": "unknown"}]}],
            "requestor": true
        }],
        "source": {"observer": {"display": "x"}},
        "entity": [{"query": "R0VU", "detail": [{"type": "t", "valueBase64Binary": "AA=="}]}]
    })
}

fn path_of(edit: impl FnOnce(&mut Value)) -> String {
    let mut document = good();
    edit(&mut document);
    check(&document).expect_err("refused").path
}

#[test]
fn everything_r4_allows_is_accepted() {
    assert_eq!(check(&good()), Ok(Resource::AuditEvent));
}

#[test]
fn what_is_wrong_is_named_by_its_path() {
    type Edit = fn(&mut Value);
    let cases: [(&str, Edit); 16] = [
        ("AuditEvent.agent[0].userId", |d| d["agent"][0]["userId"] = json!({"value": "x"})),
        ("AuditEvent.recorded", |d| d["recorded"] = json!("2020-04-29")),
        ("AuditEvent.recorded", |d| drop(d.as_object_mut().expect("object").remove("recorded"))),
        ("AuditEvent.agent", |d| d["agent"] = json!({"requestor": true})),
        ("AuditEvent.agent", |d| d["agent"] = json!([])),
        ("AuditEvent.agent[0].requestor", |d| d["agent"][0]["requestor"] = json!("true")),
        ("AuditEvent.source.observer", |d| d["source"] = json!({"site": "x"})),
        ("AuditEvent.outcome", |d| d["outcome"] = json!("1")),
        ("AuditEvent.action", |d| d["action"] = json!("X")),
        ("AuditEvent.severity", |d| d["severity"] = json!("info")),
        ("AuditEvent.entity[0].query", |d| d["entity"][0]["query"] = json!("%%%")),
        ("AuditEvent.entity[0]", |d| d["entity"][0]["name"] = json!("both")),
        ("AuditEvent.entity[0].detail[0].value[x]", |d| d["entity"][0]["detail"][0]["valueString"] = json!("x")),
        ("AuditEvent.agent[0].modifierExtension", |d| {
            d["agent"][0]["modifierExtension"] = json!([{"url": "u", "valueCode": "x"}]);
        }),
        ("AuditEvent.agent[0].extension[0]", |d| {
            drop(d["agent"][0]["extension"][0].as_object_mut().expect("object").remove("valueString"))
        }),
        ("resourceType", |d| d["resourceType"] = json!("Patient")),
    ];
    for (path, edit) in cases {
        assert_eq!(path_of(edit), path);
    }
}

/// Any JSON, with FHIR's own words often enough to get deep.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let words = [
        "resourceType",
        "AuditEvent",
        "agent",
        "type",
        "coding",
        "who",
        "extension",
        "url",
        "entity",
        "recorded",
        "2020-04-29T09:49:00.000Z",
        "_recorded",
        "valueString",
        "source",
        "observer",
        "requestor",
    ];
    let word = proptest::sample::select(words.to_vec()).prop_map(str::to_owned);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(word.clone(), inner, 0..6)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

#[test]
fn what_no_datatype_allows_is_refused_wherever_it_stands() {
    type Edit = fn(&mut Value);
    let cases: [(&str, Edit); 31] = [
        ("AuditEvent.source.site", |d| d["source"]["site"] = json!("a\u{0}b")),
        ("AuditEvent.outcomeDesc", |d| d["outcomeDesc"] = json!("bell \u{7}")),
        ("AuditEvent.type.code", |d| d["type"]["code"] = json!("two  spaces")),
        ("AuditEvent.type.code", |d| d["type"]["code"] = json!(" before")),
        ("AuditEvent.type.code", |d| d["type"]["code"] = json!("a\tb")),
        ("AuditEvent._recorded", |d| d["_recorded"] = json!({})),
        ("AuditEvent._outcome", |d| d["_outcome"] = json!({"id": "x"})),
        ("AuditEvent._action", |d| d["_action"] = json!([{"id": "x"}])),
        ("AuditEvent.agent[0]._policy", |d| d["agent"][0]["_policy"] = json!([null])),
        ("AuditEvent.agent[0].policy[1]", |d| {
            drop(d["agent"][0].as_object_mut().expect("object").remove("_policy"));
        }),
        ("AuditEvent.agent[0].extension[0].valueString", |d| d["agent"][0]["extension"][0]["valueString"] = json!(5)),
        ("AuditEvent.agent[0].extension[0].valueBoolean", |d| {
            d["agent"][0]["extension"][0] = json!({"url": "u", "valueBoolean": "true"});
        }),
        ("AuditEvent.agent[0].extension[0].valueCoding.code", |d| {
            d["agent"][0]["extension"][0] = json!({"url": "u", "valueCoding": {"code": 1}});
        }),
        ("AuditEvent.agent[0].extension[0].valueReference.ref", |d| {
            d["agent"][0]["extension"][0] = json!({"url": "u", "valueReference": {"ref": "x"}});
        }),
        ("AuditEvent.agent[0].extension[0].valuePeriod.start", |d| {
            d["agent"][0]["extension"][0] = json!({"url": "u", "valuePeriod": {"start": "yesterday"}});
        }),
        ("AuditEvent.agent[0].extension[0].valueInteger", |d| {
            d["agent"][0]["extension"][0] = json!({"url": "u", "valueInteger": 1.5});
        }),
        ("AuditEvent.agent[0].extension[0].valueFoo", |d| {
            d["agent"][0]["extension"][0] = json!({"url": "u", "valueFoo": "x"});
        }),
        ("AuditEvent.agent[0].extension[0].valueQuantity", |d| {
            d["agent"][0]["extension"][0] = json!({"url": "u", "valueQuantity": {}});
        }),
        ("AuditEvent.agent[0].extension[0].valueQuantity.value", |d| {
            d["agent"][0]["extension"][0] = json!({"url": "u", "valueQuantity": {"value": "12"}});
        }),
        ("AuditEvent.agent[0].extension[0].valueRange.low.unit", |d| {
            d["agent"][0]["extension"][0] = json!({"url": "u", "valueRange": {"low": {"unit": 1}}});
        }),
        ("AuditEvent.agent[0].extension[0].valueHumanName.given", |d| {
            d["agent"][0]["extension"][0] = json!({"url": "u", "valueHumanName": {"given": "Jeanne"}});
        }),
        ("AuditEvent.agent[0].extension[0].valueContactPoint.rank", |d| {
            d["agent"][0]["extension"][0] = json!({"url": "u", "valueContactPoint": {"rank": 0}});
        }),
        ("AuditEvent.agent[0].extension[0].valueTiming.repeat", |d| {
            d["agent"][0]["extension"][0] = json!({"url": "u", "valueTiming": {"repeat": {}}});
        }),
        ("AuditEvent.agent[0].extension[0].valueTiming.event[0]", |d| {
            d["agent"][0]["extension"][0] = json!({"url": "u", "valueTiming": {"event": ["a\u{0}"]}});
        }),
        ("AuditEvent.agent[0].extension[0].valueDate", |d| {
            d["agent"][0]["extension"][0] = json!({"url": "u", "valueDate": "2026-03-02T09:00:00Z"});
        }),
        ("AuditEvent.agent[0].extension[0].valueTime", |d| {
            d["agent"][0]["extension"][0] = json!({"url": "u", "valueTime": "9h"});
        }),
        ("AuditEvent.agent[0].extension[0].valueInteger", |d| {
            d["agent"][0]["extension"][0] = json!({"url": "u", "valueInteger": 4_294_967_296_i64});
        }),
        ("AuditEvent.agent[0].extension[0].valuePositiveInt", |d| {
            d["agent"][0]["extension"][0] = json!({"url": "u", "valuePositiveInt": 0});
        }),
        ("AuditEvent.agent[0].extension", |d| d["agent"][0]["extension"] = json!([])),
        ("AuditEvent.agent[0].extension[0]._valueString", |d| {
            d["agent"][0]["extension"][0] = json!({"url": "u", "_valueString": {}});
        }),
        ("AuditEvent.agent[0].extension[0]", |d| {
            d["agent"][0]["extension"][0] = json!({"url": "u", "valueString": "x", "valueCode": "y"});
        }),
    ];
    for (path, edit) in cases {
        assert_eq!(path_of(edit), path);
    }
    let fine: [Edit; 8] = [
        |d| d["type"]["code"] = json!("two words"),
        |d| d["outcomeDesc"] = json!("two\nlines\tand a tab"),
        |d| d["agent"][0]["extension"][0] = json!({"url": "u", "valueDecimal": 1.10}),
        |d| d["agent"][0]["extension"][0] = json!({"url": "u", "valueQuantity": {"value": 5}}),
        |d| d["agent"][0]["extension"][0] = json!({"url": "u", "valueTime": "09:00:00.25"}),
        |d| d["agent"][0]["extension"][0] = json!({"url": "u", "valueDate": "2026-03"}),
        |d| d["agent"][0]["extension"][0] = json!({"url": "u", "valueTiming": {"repeat": {"frequency": 1}}}),
        |d| {
            let absent = json!({"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
                "valueCode": "unknown"}]});
            d["agent"][0]["_name"] = absent;
        },
    ];
    for edit in fine {
        let mut document = good();
        edit(&mut document);
        assert_eq!(check(&document), Ok(Resource::AuditEvent), "{document}");
    }
}

#[test]
fn half_of_a_resource_is_none() {
    let tag = |system: &str| json!({"tag": [{"code": "other"}, {"system": system, "code": "SUBSETTED"}]});
    for system in
        ["http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "http://hl7.org/fhir/v3/ObservationValue"]
    {
        assert_eq!(path_of(|d| d["meta"] = tag(system)), "AuditEvent.meta.tag[1]");
    }
    let consent = || {
        json!({
            "resourceType": "Consent", "status": "active",
            "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
            "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
            "patient": {"reference": "Patient/1"},
            "policy": [{"uri": "https://h.example/policy"}],
            "provision": {"type": "deny", "actor": [{"role": {"text": "x"}, "reference": {"reference": "Practitioner/1"}}]}
        })
    };
    let refused = |edit: &dyn Fn(&mut Value)| {
        let mut document = consent();
        edit(&mut document);
        check(&document).expect_err("refused").path
    };
    assert_eq!(check(&consent()), Ok(Resource::Consent));
    assert_eq!(refused(&|d| d["meta"] = tag("http://x")), "Consent.meta.tag[1]");
    let absent = |url: &str| json!([{"url": url, "valueCode": "unknown"}]);
    let urls = [
        "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
        "http://hl7.org/fhir/StructureDefinition/iso21090-nullFlavor",
    ];
    for url in urls {
        let mut elsewhere = consent();
        elsewhere["category"][0] = json!({"extension": absent(url)});
        elsewhere["sourceReference"] = json!({"extension": absent(url)});
        assert_eq!(check(&elsewhere), Ok(Resource::Consent), "what decides is whole");
        let in_actor = |d: &mut Value| d["provision"]["actor"][0]["reference"]["extension"] = absent(url);
        assert_eq!(refused(&in_actor), "Consent.provision.actor[0].reference.extension[0]");
        let in_type = |d: &mut Value| d["provision"]["_type"] = json!({"extension": absent(url)});
        assert_eq!(refused(&in_type), "Consent.provision._type.extension[0]");
        let in_date = |d: &mut Value| d["_dateTime"] = json!({"extension": absent(url)});
        assert_eq!(refused(&in_date), "Consent._dateTime.extension[0]");
    }
}

proptest! {
    #[test]
    fn any_json_is_answered(mut document in any_json()) {
        let _ = check(&document);
        for name in ["AuditEvent", "Consent"] {
            if let Value::Object(object) = &mut document {
                object.insert("resourceType".into(), json!(name));
                let _ = check(&document);
            }
        }
    }
}
