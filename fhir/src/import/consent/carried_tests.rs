//! Rules that a Consent of our own export carries, and refusals of them.

use serde_json::{Value, json};

use super::super::{MappedRecord, map};
use super::*;

/// The patient's mask, as it is exported.
fn masked() -> Value {
    json!({
        "resourceType": "Consent",
        "id": "l7",
        "extension": [
            {"url": "https://sillage.example/fhir/StructureDefinition/entry", "extension": [
                {"url": "index", "valueString": "7"}, {"url": "recorded", "valueDateTime": "2026-03-02T09:00:00Z"}
            ]},
            {"url": EXTENSION_AUTHENTICATION, "extension": [
                {"url": "issuer", "valueString": "fc"}, {"url": "method", "valueString": "fc+"},
                {"url": "eidas-level", "valueString": "high"}
            ]},
            {"url": EXTENSION_RULE, "extension": [
                {"url": "kind", "valueCode": "item.masked"}, {"url": "item", "valueString": "doc 1"},
                {"url": "item", "valueString": "DocumentReference/2"}
            ]}
        ],
        "identifier": [{"system": SYSTEM_RULE, "value": "a.example#7"}],
        "status": "active",
        "scope": {"coding": [{"system": codes::SCOPES, "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": "Patient/claire"},
        "dateTime": "2026-03-02T09:00:00Z",
        "performer": [{"reference": "Patient/claire"}],
        "policy": [{"uri": "https://sillage.example/fhir/policy/decision-procedure"}],
        "provision": {"type": "deny"}
    })
}

/// Another kind, with these parts.
fn rule(kind: &str, parts: &[(&str, &str)]) -> Value {
    let parts = parts.iter().map(|(name, text)| json!({"url": name, "valueString": text}));
    let parts: Vec<Value> = std::iter::once(json!({"url": "kind", "valueCode": kind})).chain(parts).collect();
    json!({"url": EXTENSION_RULE, "extension": parts})
}

fn mapped(edit: impl FnOnce(&mut Value)) -> Result<MappedRecord, FhirError> {
    let mut consent = masked();
    edit(&mut consent);
    let demo = PatientMap::empty(true);
    let mut records = map(consent.to_string().as_bytes(), &demo)?;
    assert_eq!(records.len(), 1, "a rule is one record");
    Ok(records.remove(0))
}

#[test]
fn a_rule_becomes_the_record_that_it_was() {
    let mapped = mapped(|_| ()).expect("imports");
    assert_eq!((mapped.rule(), mapped.secret, &mapped.directive), (Some(Kind::ITEM_MASKED), false, &None));
    let ids: Vec<&str> = mapped.record.items.iter().map(|item| item.id.as_str()).collect();
    assert_eq!((ids, mapped.record.details.as_str()), (vec!["doc 1", "DocumentReference/2"], ""));
    let actor = mapped.record.actor.as_ref().expect("who");
    assert_eq!((actor.system.as_str(), actor.id.as_str()), ("urn:sillage:patient", "self"));
    assert!(is_authenticated(mapped.record.auth.as_ref()));
}

#[test]
fn who_signed_keeps_role_and_structure_and_the_second_trace_its_own() {
    let joined = mapped(|consent| {
        let details = r#"{"professional": "urn:example:staff|7", "until": "2036-03-02T09:00:00Z"}"#;
        consent["performer"] = json!([{"identifier": {"system": "urn:example:staff", "value": "7"}, "display": "Eve"}]);
        let parts = [("details", details), ("role", "nurse"), ("organisation", "F100")];
        consent["modifierExtension"] = json!([rule("careteam.joined", &parts)]);
        consent["extension"][2] = json!({"url": "urn:other", "valueString": "x"});
        let entry = consent["extension"][0]["extension"].as_array_mut().expect("parts");
        entry.push(json!({"url": "kept-from-representatives", "valueBoolean": true}));
        consent.as_object_mut().expect("an object").remove("provision");
    });
    let joined = joined.expect("imports");
    let actor = joined.record.actor.expect("who");
    assert_eq!((actor.role.as_str(), actor.organisation.as_str(), actor.label.as_str()), ("nurse", "F100", "Eve"));
    assert!(joined.secret);
}

#[test]
fn what_cannot_be_understood_is_refused_with_its_path() {
    type Edit = fn(&mut Value);
    let cases: [(&str, Edit); 24] = [
        ("Consent.extension[2]", |c| drop(c.as_object_mut().map(|c| c.remove("identifier")))),
        ("Consent.extension", |c| drop(c["extension"].as_array_mut().map(|all| all.remove(2)))),
        ("Consent.modifierExtension[0]", |c| {
            c["modifierExtension"] = json!([rule("item.masked", &[("item", "x")])]);
        }),
        ("Consent.extension[2]", |c| drop(c["extension"][2]["extension"].as_array_mut().map(|all| all.remove(0)))),
        ("Consent.extension[2].extension[0]", |c| c["extension"][2] = rule("item.licked", &[("item", "x")])),
        ("Consent.extension[2].extension[0]", |c| c["extension"][2] = rule("item.unmasked", &[("item", "x")])),
        ("Consent.extension[2].extension[0]", |c| c["extension"][2] = rule("space.opened", &[])),
        ("Consent.extension[2].extension[0]", |c| c["extension"][2] = rule("consent.directive", &[])),
        ("Consent.extension[2].extension[0]", |c| c["extension"][2] = rule("breakglass.opened", &[])),
        ("Consent.extension[2].extension[0]", |c| c["extension"][2] = rule("policy.published", &[])),
        ("Consent.extension[2]", |c| c["extension"][2] = rule("item.masked", &[])),
        ("Consent.extension[2].extension[1]", |c| c["extension"][2] = rule("space.closed", &[("details", "[")])),
        ("Consent.extension[2].extension[1]", |c| {
            c["extension"][2] = rule("professional.blocked", &[("details", r#"{"professional": "x"}"#)]);
        }),
        ("Consent.extension[2]", |c| c["extension"][2] = rule("professional.blocked", &[])),
        ("Consent.extension[2].extension[2]", |c| {
            c["extension"][2] = rule("item.masked", &[("item", "x"), ("weight", "1")]);
        }),
        ("Consent.extension[2].extension[2]", |c| {
            c["extension"][2] = rule("item.masked", &[("role", "a"), ("role", "b"), ("item", "x")]);
        }),
        ("Consent.extension[2].extension[2]", |c| {
            c["extension"][2]["extension"][2] = json!({"url": "item", "valueCode": "x"});
        }),
        ("Consent.extension[2].extension[2].valueString", |c| {
            c["extension"][2] = rule("item.masked", &[("item", "x"), ("item", "a\u{7}b")]);
        }),
        ("Consent.status", |c| c["status"] = json!("inactive")),
        ("Consent.performer", |c| drop(c.as_object_mut().map(|c| c.remove("performer")))),
        ("Consent.performer[0]", |c| c["performer"] = json!([{"display": "somebody"}])),
        ("Consent.modifierExtension", |c| {
            c["modifierExtension"] = json!([{"url": "urn:other", "valueCode": "x"}]);
        }),
        ("Consent.modifierExtension", |c| {
            let other = json!({"url": "urn:other", "valueCode": "x"});
            c["modifierExtension"] = json!([rule("item.masked", &[("item", "x")]), other]);
        }),
        ("Consent.provision.modifierExtension", |c| {
            c["provision"]["modifierExtension"] = json!([rule("item.masked", &[("item", "x")])]);
        }),
    ];
    for (path, edit) in cases {
        let mut shown = masked();
        edit(&mut shown);
        let error = mapped(edit).expect_err("refused");
        assert_eq!(error.path, path, "{error}: {shown:#}");
        assert!(!error.reason.is_empty());
    }
    // In a Consent of somebody else it is as unknown as any other.
    let elses = mapped(|c| {
        c["identifier"] = json!([{"system": "urn:other", "value": "7"}]);
        c["modifierExtension"] = json!([rule("item.masked", &[("item", "x")])]);
        drop(c["extension"].as_array_mut().map(|all| all.remove(2)));
    });
    assert_eq!(elses.expect_err("refused").path, "Consent.modifierExtension");
}

#[test]
fn a_document_that_fits_no_record_stays_outside_and_what_it_says_does_not() {
    let many = |c: &mut Value| {
        let ids: Vec<String> = (0..600).map(|i| format!("DocumentReference/a-document-of-the-hospital-{i}")).collect();
        let parts: Vec<(&str, &str)> = ids.iter().map(|id| ("item", id.as_str())).collect();
        c["extension"][2] = rule("item.masked", &parts);
    };
    let mapped = mapped(many).expect("imports");
    assert_eq!((mapped.record.items.len(), &mapped.record.original), (600, &None));
}
