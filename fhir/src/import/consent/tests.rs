//! Consents become directives. The published IHE examples are read where they are found; everything else is made here.

use proptest::prelude::*;
use serde_json::{Value, json};
use sillage_rules::consent::name::{PATIENT_ID, PATIENT_SYSTEM};
use sillage_rules::ident::Ins;
use sillage_rules::record::ParsedRecord;
use sillage_rules::time::TimeMs;

use super::super::changes::{any_change, replace_at};
use super::super::{MappedRecord, map};
use super::*;

fn demo() -> PatientMap {
    PatientMap::empty(true)
}

/// The Consent that the patient Claire signed at the hospital F100: treatment, payment, operations.
fn consent() -> Value {
    json!({
        "resourceType": "Consent",
        "id": "c1",
        "status": "active",
        "scope": {"coding": [{"system": codes::SCOPES, "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": "Patient/claire"},
        "dateTime": "2026-01-05",
        "performer": [{"reference": "Patient/claire"}],
        "organization": [{"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.2", "value": "750712184"}}],
        "sourceReference": {"reference": "DocumentReference/signed"},
        "policy": [{"uri": "https://hospital.example/policy"}],
        "provision": {
            "type": "permit",
            "purpose": [{"system": codes::PURPOSES, "code": "TREAT"}, {"system": codes::PURPOSES, "code": "HPAYMT"}]
        }
    })
}

pub(super) fn actor(reference: Value) -> Value {
    json!({"role": {"coding": [{"system": codes::PARTS, "code": "IRCP"}]}, "reference": reference})
}

pub(super) fn structure() -> Value {
    json!({"type": "Organization", "identifier": {"system": "urn:oid:1.2.250.1.71.4.2.2", "value": "750712184"}})
}

pub(super) fn doctor() -> Value {
    json!({"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "810100534436"}})
}

pub(super) fn label(code: &str) -> Value {
    json!({"system": codes::label_system(code), "code": code})
}

fn purpose(code: &str) -> Value {
    json!({"system": codes::PURPOSES, "code": code})
}

pub(super) fn mapped(edit: impl FnOnce(&mut Value)) -> Result<Vec<MappedRecord>, FhirError> {
    let mut consent = consent();
    edit(&mut consent);
    let records = map(consent.to_string().as_bytes(), &demo())?;
    for mapped in &records {
        let record = v1::Record { tag: vec![7; 32], ..mapped.record.clone() };
        let parsed = ParsedRecord::from_message(record).expect("follows the rules of records");
        parsed.check_from_author().expect("an author may submit it");
    }
    Ok(records)
}

/// The details of the directives, without what is the same in all.
fn directives(edit: impl FnOnce(&mut Value)) -> Vec<Value> {
    let records = mapped(edit).expect("imports");
    let details = records.iter().map(|mapped| {
        assert_eq!(mapped.record.kind, u32::from(Kind::CONSENT_DIRECTIVE.code()));
        let mut details: Value = serde_json::from_str(&mapped.record.details).expect("JSON");
        let object = details.as_object_mut().expect("an object");
        object.remove("collected");
        details
    });
    details.collect()
}

pub(super) fn refused_at(edit: impl FnOnce(&mut Value)) -> String {
    mapped(edit).expect_err("refused").path
}

/// As our own export marks what it writes.
fn ours(consent: &mut Value, kept: Value) {
    let part = json!({"url": "kept-from-representatives", "valueBoolean": kept});
    consent["identifier"] = json!([{"system": SYSTEM_DIRECTIVE, "value": "d"}]);
    consent["extension"] =
        json!([{"url": format!("{}/StructureDefinition/entry", super::super::OURS), "extension": [part]}]);
}

#[test]
fn a_withdrawal_of_what_we_exported_is_one() {
    let ends = |edit: fn(&mut Value)| {
        let records = mapped(|consent| {
            ours(consent, json!(false));
            consent["status"] = json!("inactive");
            edit(consent);
        });
        records.expect("imports")[0].record.kind
    };
    let (revoked, given): (u32, u32) = (Kind::CONSENT_REVOKED.code().into(), Kind::CONSENT_DIRECTIVE.code().into());
    assert_eq!(ends(|_| {}), revoked);
    assert_eq!(ends(|consent| consent["provision"]["period"] = json!({"end": "2031-01-01"})), revoked);
    let history = |consent: &mut Value| {
        consent["provision"]["period"] = json!({"end": "2026-02-01T00:00:00.000Z"});
        let ended = json!({"url": EXTENSION_ENDED, "extension": [{"url": "index", "valueString": "9"}]});
        consent["extension"].as_array_mut().expect("extensions").push(ended);
    };
    assert_eq!(ends(history), given, "it says itself what became of it");
}

#[test]
fn whether_something_is_kept_from_representatives_is_known_or_it_is_refused() {
    let kept = |value: Value| mapped(|consent| ours(consent, value)).map(|records| records[0].secret);
    assert_eq!((kept(json!(true)), kept(json!(false))), (Ok(true), Ok(false)));
    for bad in [json!("true"), json!(1), Value::Null] {
        assert!(kept(bad).expect_err("refused").path.starts_with("Consent.extension[0]"));
    }
    let twice = |consent: &mut Value| {
        ours(consent, json!(true));
        let again = consent["extension"][0].clone();
        consent["extension"].as_array_mut().expect("extensions").push(again);
    };
    assert_eq!(refused_at(twice), "Consent.extension[1]");
    let stripped = |consent: &mut Value| {
        ours(consent, json!(true));
        consent["extension"] = json!([]);
    };
    assert_eq!(refused_at(stripped), "Consent.extension");
}

#[test]
fn nobody_vouches_for_a_consent_in_it() {
    let with = |url: &str| refused_at(|consent| consent["extension"] = json!([{"url": url, "valueString": "d"}]));
    for url in [EXTENSION_AUTHENTICATION, EXTENSION_SUPERSEDES, EXTENSION_COLLECTED] {
        assert_eq!(with(url), "Consent.extension[0]");
    }
    let deep = |consent: &mut Value| {
        let grantee = json!({"url": EXTENSION_GRANTEE, "extension": [{"url": "profession", "valueString": "nurse"}]});
        consent["provision"]["actor"] = json!([actor(json!({"reference": "Practitioner/1"}))]);
        consent["provision"]["actor"][0]["extension"] = json!([grantee]);
    };
    assert_eq!(refused_at(deep), "Consent.provision.actor[0].extension[0]");
}

#[test]
fn a_base_that_denies_everything_is_not_lost_beside_what_denies_less() {
    let opt_out =
        |code: &str| json!({"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code}]});
    let said = directives(|consent| {
        consent["policyRule"] = opt_out("OPTOUT");
        consent["provision"] = json!({"type": "deny", "securityLabel": [label("PSY")]});
    });
    let labels: Vec<&Value> = said.iter().map(|directive| &directive["labels"]).collect();
    assert_eq!(labels, [&Value::Null, &json!(["PSY"])]);
    let inner = |consent: &mut Value| {
        consent["policyRule"] = opt_out("OPTOUT");
        consent["provision"] = json!({"type": "deny", "securityLabel": [label("PSY")],
            "provision": [{"type": "permit", "purpose": [purpose("TREAT")]}]});
    };
    assert_eq!(refused_at(inner), "Consent.policyRule");
    // What is excepted from a denial of everything names its purpose, as every permit does.
    let any_purpose = |consent: &mut Value| {
        consent["policyRule"] = opt_out("OPTOUTE");
        consent["provision"] = json!({"type": "permit", "actor": [actor(json!({"reference": "Practitioner/1"}))]});
    };
    assert_eq!(refused_at(any_purpose), "Consent.provision.purpose");
}

#[test]
fn what_denies_looking_denies_it_however_it_is_done() {
    let said = |effect: &str| {
        let one = directives(|consent| {
            let access = json!({"coding": [{"system": codes::ACTIONS, "code": "access"}]});
            consent["provision"]["type"] = json!(effect);
            consent["provision"]["action"] = json!([access]);
        });
        one[0]["actions"].clone()
    };
    let all = json!(["read", "search", "download", "print"]);
    assert_eq!((said("permit"), said("deny")), (all.clone(), all));
}

#[test]
fn the_log_that_an_export_is_from_is_nobody() {
    let of_log = |consent: &mut Value| {
        ours(consent, json!(false));
        consent["organization"] = json!([{"identifier": {"system": SYSTEM_LOG, "value": "sillage.example/log"}}]);
    };
    assert_eq!(refused_at(of_log), "Consent.provision.actor");
    let denied = directives(|consent| {
        of_log(consent);
        consent["provision"]["type"] = json!("deny");
    });
    assert_eq!(denied[0]["grantee"], "anyone");
}

#[test]
fn who_collected_what_we_exported_is_known() {
    let collector = |edit: fn(&mut Value)| {
        let records = mapped(|consent| {
            ours(consent, json!(false));
            edit(consent);
        });
        let note = records.expect("imports")[0].directive.clone().expect("a directive");
        note.collector.map(|collector| collector.to_string())
    };
    let collected = |consent: &mut Value| {
        let part = |name: &str, value: &str| json!({"url": name, "valueString": value});
        let parts = [
            part("collector", "urn:oid:1.2.250.1.71.4.2.2|690781810"),
            part("capacity", "organisation"),
            part("method", "fhir-consent"),
            part("evidence-sha256", &"0a".repeat(32)),
        ];
        let extension = json!({"url": EXTENSION_COLLECTED, "extension": parts});
        consent["extension"].as_array_mut().expect("extensions").push(extension);
    };
    assert_eq!(collector(collected).as_deref(), Some("urn:oid:1.2.250.1.71.4.2.2|690781810"));
    let withdrawn = |consent: &mut Value| {
        consent["status"] = json!("inactive");
        consent["organization"] = json!([{"identifier": {"system": SYSTEM_LOG, "value": "sillage.example/log"}}]);
    };
    assert_eq!(collector(withdrawn).as_deref(), Some("urn:sillage:log|sillage.example/log"));
    let proven = |consent: &mut Value| {
        let part = |name: &str, value: &str| json!({"url": name, "valueString": value});
        let parts = [part("issuer", "https://idp.example"), part("method", "oidc"), part("eidas-level", "substantial")];
        let extension = json!({"url": EXTENSION_AUTHENTICATION, "extension": parts});
        consent["extension"].as_array_mut().expect("extensions").push(extension);
    };
    assert_eq!(collector(proven), None);
}

#[test]
fn a_name_that_stands_there_twice_is_refused() {
    let text = consent().to_string().replacen('{', r#"{"status": "draft", "#, 1);
    let error = map(text.as_bytes(), &demo()).expect_err("two statuses");
    assert!(error.reason.contains("twice"), "{error}");
}

fn at(text: &str) -> u64 {
    text.parse::<TimeMs>().expect("a time").0
}

#[test]
fn a_permit_says_who_what_why_and_when() {
    let records = mapped(|_| {}).expect("imports");
    assert_eq!(records.len(), 1);
    let record = &records[0].record;
    assert_eq!(records[0].patient.as_ref().expect("whose").ins, Ins::demo("Patient/claire").value());
    assert_eq!(record.occurred_at_ms, at("2026-01-04T23:00:00Z"), "the day begins in Paris");
    let signer = record.actor.as_ref().expect("who gave it");
    assert_eq!((signer.system.as_str(), signer.id.as_str()), (PATIENT_SYSTEM, PATIENT_ID));
    assert_eq!(record.original.as_ref().expect("kept").content, consent().to_string().into_bytes());
    let expected = json!({
        "id": "Consent/c1", "effect": "permit", "grantee": {"organisation": "750712184"},
        "actions": ["read", "search"], "purposes": ["TREAT", "HPAYMT"],
    });
    assert_eq!(directives(|_| {}), [expected]);
}

#[test]
fn a_deny_without_actions_or_purposes_is_about_all_of_them() {
    let got = directives(|c| c["provision"] = json!({"type": "deny"}));
    let expected = json!({"id": "Consent/c1", "effect": "deny", "grantee": "anyone"});
    assert_eq!(got, [expected]);
}

#[test]
fn a_denial_that_names_nobody_is_for_anyone_and_a_permit_is_for_who_presented_it() {
    let opt_out = |c: &mut Value| {
        c["policyRule"] = json!({"coding": [{"system": codes::ACT_CODES, "code": "OPTOUT"}]});
        drop(c.as_object_mut().expect("object").remove("provision"));
    };
    let without_organisation = |c: &mut Value| drop(c.as_object_mut().expect("object").remove("organization"));
    type Edit<'a> = &'a dyn Fn(&mut Value);
    let denials: [Edit<'_>; 5] = [
        &|c| c["provision"] = json!({"type": "deny"}),
        &|c| c["provision"] = json!({"type": "deny", "securityLabel": [label("PSY")]}),
        &|c| c["provision"] = json!({"type": "deny", "purpose": [purpose("HRESCH")]}),
        &opt_out,
        &|c| {
            opt_out(c);
            without_organisation(c);
        },
    ];
    for denial in denials {
        let said = directives(denial);
        assert_eq!((said.len(), &said[0]["grantee"]), (1, &json!("anyone")), "{said:?}");
    }
    assert_eq!(directives(|_| {})[0]["grantee"], json!({"organisation": "750712184"}));
    // Inside of a permit to the hospital it is for anyone too: nobody was named.
    let inner =
        directives(|c| c["provision"]["provision"] = json!([{"type": "deny", "securityLabel": [label("PSY")]}]));
    assert_eq!((inner.len(), &inner[1]["grantee"]), (2, &json!("anyone")));
    // A permit inside of a denial is read narrowly.
    let lifted = directives(|c| {
        c["provision"] = json!({"type": "deny", "provision": [{"type": "permit", "purpose": [purpose("TREAT")]}]});
    });
    let narrow = json!({"effect": "permit", "grantee": {"organisation": "750712184"}, "actions": ["read", "search"],
        "purposes": ["TREAT"]});
    assert_eq!((lifted.len(), &lifted[0]["except"]), (1, &json!([narrow])));
}

#[test]
fn a_denial_inside_a_permit_takes_every_action_that_the_consent_means() {
    let action = |code: &str| json!([{"coding": [{"system": codes::ACTIONS, "code": code}]}]);
    let said = |outer: Option<&str>, inner: Option<&str>| {
        directives(|c| {
            c["provision"]["actor"] = json!([actor(structure())]);
            if let Some(code) = outer {
                c["provision"]["action"] = action(code);
            }
            let mut denied = json!({"type": "deny", "securityLabel": [label("PSY")]});
            if let Some(code) = inner {
                denied["action"] = action(code);
            }
            c["provision"]["provision"] = json!([denied]);
        })
    };
    let looks = json!(["read", "search", "download", "print"]);
    // Nobody named an action: FHIR means all of them, also those that the permit is assumed not to give.
    let all = said(None, None);
    assert_eq!((all.len(), &all[0]["actions"], all[0].get("except")), (2, &json!(["read", "search"]), None));
    let denied = json!({"id": "Consent/c1#2", "effect": "deny", "grantee": {"organisation": "750712184"},
        "labels": ["PSY"], "purposes": ["TREAT", "HPAYMT"]});
    assert_eq!(all[1], denied);
    // What it names itself, or what the permit names.
    assert_eq!(said(None, Some("access"))[1]["actions"], looks);
    for (outer, inner) in [("access", None), ("access", Some("access"))] {
        let one = said(Some(outer), inner);
        assert_eq!((one.len(), &one[0]["actions"], one[0]["except"].as_array().map(Vec::len)), (1, &looks, Some(1)));
    }
    let beyond = said(Some("disclose"), Some("access"));
    assert_eq!((&beyond[0]["actions"], &beyond[1]["actions"]), (&json!(["export"]), &looks));
}

#[test]
fn a_period_includes_its_last_day() {
    let records = mapped(|c| c["provision"]["period"] = json!({"start": "2026-02", "end": "2026-06-30"}));
    let records = records.expect("imports");
    assert_eq!(records[0].directive.as_ref().expect("noted").ends, Ends::At(at("2026-06-30T22:00:00Z")));
    let got = directives(|c| c["provision"]["period"] = json!({"start": "2026-02", "end": "2026-06-30"}));
    assert_eq!(
        (got[0]["from"].as_str(), got[0]["until"].as_str()),
        (Some("2026-01-31T23:00:00Z"), Some("2026-06-30T22:00:00Z"))
    );
    // An open start of a period with an end: since it was given, so that one that ended had a life.
    let got = directives(|c| c["provision"]["period"] = json!({"end": "2026-01-31"}));
    assert_eq!(
        (got[0]["from"].as_str(), got[0]["until"].as_str()),
        (Some("2026-01-04T23:00:00Z"), Some("2026-01-31T23:00:00Z"))
    );
    // Written down when it was over already.
    let got = directives(|c| c["provision"]["period"] = json!({"end": "2025-12-31"}));
    assert_eq!(got[0]["from"], "2025-12-31T22:59:59.999Z");
    // What was there before 1970 and what never ends are periods too.
    let period = |start: &str, end: &str| {
        let got = directives(|c| c["provision"]["period"] = json!({"start": start, "end": end}));
        (got[0]["from"].as_str().map(str::to_owned), got[0]["until"].as_str().map(str::to_owned))
    };
    let from_1970 = Some("1970-01-01T00:00:00Z".to_owned());
    for end in ["9999-12-31", "9999", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999+01:00"] {
        assert_eq!(period("1955-03-02", end), (from_1970.clone(), None), "{end}");
    }
    assert_eq!(period("1955", "1960-01-01"), (from_1970, Some("1970-01-01T00:00:00.001Z".to_owned())), "over");
    assert_eq!(
        refused_at(|c| c["provision"]["period"] = json!({"start": "2026-02-02", "end": "2026-02-01"})),
        "Consent.provision.period"
    );
}

#[test]
fn actors_are_named_as_audit_events_name_them() {
    let cases = [
        (
            json!({"reference": "Practitioner/dr"}),
            json!({"professional": "urn:sillage:fhir:reference|Practitioner/dr"}),
        ),
        (
            json!({"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "810100534436"}}),
            json!({"professional": "urn:oid:1.2.250.1.71.4.2.1|10100534436"}),
        ),
        (json!({"reference": "Organization/o"}), json!({"organisation": "Organization/o"})),
        (json!({"reference": "RelatedPerson/m"}), json!({"person": "urn:sillage:fhir:reference|RelatedPerson/m"})),
        (
            json!({"type": "Device", "identifier": {"system": "urn:sillage:app", "value": "poids@2"}}),
            json!({"app": "urn:sillage:app|poids@2"}),
        ),
        (json!({"reference": "CareTeam/t"}), json!({"team": "CareTeam/t"})),
    ];
    for (reference, expected) in cases {
        let got = directives(|c| c["provision"]["actor"] = json!([actor(reference.clone())]));
        assert_eq!(got[0]["grantee"], expected, "{reference}");
    }
    for reference in ["Group/g", "HealthcareService/h", "urn:uuid:0"] {
        let path = refused_at(|c| c["provision"]["actor"] = json!([actor(json!({"reference": reference}))]));
        assert_eq!(path, "Consent.provision.actor[0].reference", "{reference}");
    }
    let custodian = |c: &mut Value| {
        let mut actor = actor(json!({"reference": "Organization/o"}));
        actor["role"]["coding"][0]["code"] = json!("CST");
        c["provision"]["actor"] = json!([actor]);
    };
    assert_eq!(refused_at(custodian), "Consent.provision.actor[0].role");
}

#[test]
fn several_actors_are_several_directives() {
    let got = directives(|c| {
        let practitioner = actor(doctor());
        c["provision"]["actor"] = json!([practitioner, actor(structure()), practitioner]);
        c["provision"]["provision"] = json!([{"type": "deny", "securityLabel": [label("PSY")]}]);
    });
    let ids: Vec<_> = got.iter().map(|d| d["id"].as_str().expect("an id")).collect();
    assert_eq!(ids, ["Consent/c1", "Consent/c1#2", "Consent/c1#3", "Consent/c1#4"]);
    for (at, effect) in [(0, "permit"), (2, "deny")] {
        assert_eq!(got[at]["grantee"], json!({"professional": "urn:oid:1.2.250.1.71.4.2.1|10100534436"}));
        assert_eq!(got[at + 1]["grantee"], json!({"organisation": "750712184"}));
        assert!(got[at..at + 2].iter().all(|d| d["effect"] == effect), "{got:?}");
    }
}

#[test]
fn contained_actors_are_who_they_contain() {
    let got = directives(|c| {
        let rpps = |value: &str| json!([{"system": "urn:oid:1.2.250.1.71.4.2.1", "value": value}]);
        c["contained"] = json!([
            {"resourceType": "Practitioner", "id": "p", "identifier": rpps("10100534436")},
            {"resourceType": "PractitionerRole", "id": "r", "practitioner": {"reference": "#p"},
             "organization": {"reference": "Organization/o"}},
            {"resourceType": "Group", "id": "g", "type": "practitioner", "actual": true,
             "member": [{"entity": {"reference": "#p"}}, {"entity": {"reference": "Practitioner/2"}}]}
        ]);
        c["provision"]["actor"] = json!([actor(json!({"reference": "#r"})), actor(json!({"reference": "#g"}))]);
    });
    let rpps = "urn:oid:1.2.250.1.71.4.2.1|10100534436";
    assert_eq!(got[0]["grantee"], json!({"professional": rpps, "organisation": "Organization/o"}));
    assert_eq!(got[1]["grantee"], json!({"professional": rpps}));
    assert_eq!(got[2]["grantee"], json!({"professional": "urn:sillage:fhir:reference|Practitioner/2"}));
}

#[test]
fn data_are_named_by_class_label_and_instance() {
    let got = directives(|c| {
        c["provision"]["class"] =
            json!([{"system": "http://hl7.org/fhir/resource-types", "code": "DocumentReference"}]);
        c["provision"]["securityLabel"] = json!([label("R"), label("HIV")]);
        c["provision"]["data"] = json!([{"meaning": "instance", "reference": {"reference": "DocumentReference/1"}}]);
        c["provision"]["action"] = json!([{"coding": [{"system": codes::ACTIONS, "code": "disclose"}]}]);
    });
    assert_eq!(got[0]["categories"], json!(["DocumentReference"]));
    assert_eq!(got[0]["labels"], json!(["R", "HIV"]));
    assert_eq!(got[0]["items"], json!(["DocumentReference/1"]));
    assert_eq!(got[0]["actions"], json!(["export"]));
}

#[test]
fn exceptions_inside_stay_and_beyond_are_directives_of_their_own() {
    let normal = |c: &mut Value| c["provision"]["securityLabel"] = json!([label("N")]);
    let got = directives(|c| {
        c["provision"]["actor"] = json!([actor(json!({"reference": "Organization/o"}))]);
        c["provision"]["action"] = json!([{"coding": [{"system": codes::ACTIONS, "code": "access"}]}]);
        c["provision"]["provision"] =
            json!([{"type": "deny", "data": [{"meaning": "instance", "reference": {"reference": "Observation/1"}}]}]);
    });
    assert_eq!(got[0]["except"], json!([{"effect": "deny", "items": ["Observation/1"]}]));
    // Normal data to the hospital, psychiatric data to one doctor: no request fits both.
    let got = directives(|c| {
        normal(c);
        let doctor = actor(json!({"reference": "Practitioner/dr"}));
        c["provision"]["provision"] =
            json!([{"type": "permit", "actor": [doctor], "securityLabel": [label("PSY"), label("SDV")]}]);
    });
    assert_eq!(got.len(), 2);
    assert_eq!(got[0].get("except"), None);
    let expected = json!({
        "id": "Consent/c1#2", "effect": "permit", "labels": ["PSY", "SDV"], "actions": ["read", "search"],
        "grantee": {"professional": "urn:sillage:fhir:reference|Practitioner/dr"}, "purposes": ["TREAT", "HPAYMT"],
    });
    assert_eq!(got[1], expected);
    // Normal data to the hospital, not restricted ones: said, so it holds against other permits too.
    let got = directives(|c| {
        normal(c);
        c["provision"]["provision"] = json!([{"type": "deny", "securityLabel": [label("R")]}]);
    });
    assert_eq!((got[1]["effect"].as_str(), &got[1]["labels"]), (Some("deny"), &json!(["R"])));
    assert_eq!(got[1]["grantee"], json!("anyone"));
}

#[test]
fn nothing_but_in_an_emergency() {
    let got = directives(|c| {
        let doctor = actor(json!({"reference": "Practitioner/dr"}));
        c["provision"] = json!({"type": "deny", "provision": [
            {"type": "permit", "actor": [doctor], "purpose": [purpose("BTG")]}]});
    });
    let doctor = json!({"professional": "urn:sillage:fhir:reference|Practitioner/dr"});
    assert_eq!(got.len(), 1, "to everybody but the doctor");
    let lifted = json!([{"effect": "permit", "grantee": doctor, "actions": ["read", "search"], "purposes": ["BTG"]}]);
    assert_eq!(got[0]["except"], lifted);
    assert_eq!((got[0]["effect"].as_str(), &got[0]["grantee"]), (Some("deny"), &json!("anyone")));
    let got = directives(|c| {
        let doctor = actor(json!({"reference": "Practitioner/dr"}));
        c["provision"] = json!({"type": "deny", "actor": [actor(structure())], "provision": [
            {"type": "permit", "actor": [doctor], "purpose": [purpose("BTG")]}]});
    });
    assert_eq!(got.len(), 2, "the doctor may be of another organisation");
    assert_eq!((got[1]["effect"].as_str(), &got[1]["purposes"]), (Some("permit"), &json!(["BTG"])));
}

#[test]
fn base_policies_keep_their_meaning() {
    let rule = |code: &str| json!({"coding": [{"system": codes::ACT_CODES, "code": code}]});
    let effect = |code: &str, provision: Value| {
        directives(|c| {
            c["policyRule"] = rule(code);
            c["provision"] = provision;
        })
    };
    let treat = json!({"purpose": [purpose("TREAT")]});
    assert_eq!(effect("OPTIN", treat.clone())[0]["effect"], json!("permit"));
    assert_eq!(effect("OPTOUT", treat.clone())[0]["effect"], json!("deny"));
    // Opted out, with an exception.
    let got = effect("OPTOUTE", json!({"type": "permit", "purpose": [purpose("TREAT")]}));
    assert_eq!((got.len(), got[0]["effect"].as_str()), (1, Some("deny")));
    let presented = json!({"organisation": "750712184"});
    let lifted =
        json!([{"effect": "permit", "grantee": presented, "actions": ["read", "search"], "purposes": ["TREAT"]}]);
    assert_eq!(got[0]["except"], lifted);
    let refused = [
        ("Consent.policyRule", "OPTIN", json!({"type": "deny", "purpose": [purpose("TREAT")]})),
        ("Consent.policyRule", "EMRGONLY", treat),
        ("Consent.provision.purpose", "OPTIN", json!({"type": "permit"})),
        (
            "Consent.provision.provision[0]",
            "OPTOUT",
            json!({"type": "permit", "purpose": [purpose("TREAT")], "provision": [{"type": "deny"}]}),
        ),
    ];
    for (path, code, provision) in refused {
        let got = refused_at(|c| {
            c["policyRule"] = rule(code);
            c["provision"] = provision;
        });
        assert_eq!(got, path, "{code}");
    }
    let agreed_to_nothing =
        |c: &mut Value| c["policy"] = json!([{"uri": "https://profiles.ihe.net/ITI/PCF/Policy-deny"}]);
    assert_eq!(refused_at(agreed_to_nothing), "Consent.policy[0].uri");
}

#[test]
fn what_a_directive_cannot_say_is_refused_with_its_path() {
    type Edit = fn(&mut Value);
    let cases: [(&str, Edit); 19] = [
        ("Consent.status", |c| c["status"] = json!("draft")),
        ("Consent.status", |c| c["status"] = json!("rejected")),
        ("Consent.status", |c| c["status"] = json!("entered-in-error")),
        ("Consent.scope", |c| c["scope"]["coding"][0]["code"] = json!("treatment")),
        ("Consent.implicitRules", |c| c["implicitRules"] = json!("https://rules.example")),
        ("Consent.patient", |c| drop(c.as_object_mut().expect("object").remove("patient"))),
        ("Consent.dateTime", |c| drop(c.as_object_mut().expect("object").remove("dateTime"))),
        ("Consent.policy", |c| drop(c.as_object_mut().expect("object").remove("policy"))),
        ("Consent.provision", |c| drop(c.as_object_mut().expect("object").remove("provision"))),
        ("Consent.provision.type", |c| drop(c["provision"].as_object_mut().expect("object").remove("type"))),
        ("Consent.provision.purpose", |c| drop(c["provision"].as_object_mut().expect("object").remove("purpose"))),
        ("Consent.provision.purpose[1]", |c| {
            c["provision"]["purpose"][1] = json!({"system": "https://hospital.example/purposes", "code": "FooBar"});
        }),
        ("Consent.provision.action[0]", |c| {
            c["provision"]["action"] = json!([{"coding": [{"system": codes::ACTIONS, "code": "sell"}]}]);
        }),
        ("Consent.provision.securityLabel[0]", |c| {
            c["provision"]["securityLabel"] = json!([{"system": codes::CONFIDENTIALITY, "code": "XYZ"}]);
        }),
        ("Consent.provision.class[0]", |c| {
            c["provision"]["class"] = json!([{"system": "urn:ietf:bcp:13", "code": "application/hl7-cda+xml"}]);
        }),
        ("Consent.provision.code", |c| c["provision"]["code"] = json!([{"coding": [{"code": "1"}]}])),
        ("Consent.provision.dataPeriod", |c| c["provision"]["dataPeriod"] = json!({"start": "2022-01"})),
        ("Consent.provision.data[0].meaning", |c| {
            let author = json!({"reference": "Practitioner/1"});
            c["provision"]["data"] = json!([{"meaning": "authoredby", "reference": author}]);
        }),
        ("Consent.provision.provision[0].provision", |c| {
            c["provision"]["provision"] = json!([{"type": "deny", "provision": [{"type": "permit"}]}]);
        }),
    ];
    for (path, edit) in cases {
        assert_eq!(refused_at(edit), path);
    }
    let nested = |c: &mut Value| {
        c["provision"]["provision"] = json!([{"type": "deny", "dataPeriod": {"start": "2022-01", "end": "2022-12"}}]);
    };
    assert_eq!(refused_at(nested), "Consent.provision.provision[0].dataPeriod");
    let nobody = |c: &mut Value| drop(c.as_object_mut().expect("object").remove("organization"));
    assert_eq!(refused_at(nobody), "Consent.provision.actor");
}

#[test]
fn one_that_was_withdrawn_ends_its_directive_whatever_else_it_says() {
    let records = mapped(|c| {
        c["status"] = json!("inactive");
        c["provision"]["dataPeriod"] = json!({"start": "2022"});
    });
    let records = records.expect("imports");
    let details: Vec<_> = records.iter().map(|r| r.record.details.as_str()).collect();
    assert_eq!(details, [r#"{"consent":"Consent/c1"}"#]);
    assert_eq!(records[0].record.kind, u32::from(Kind::CONSENT_REVOKED.code()));
    let second = revocation(&records[0], "Consent/c1#2");
    assert_eq!(second.record.details, r#"{"consent":"Consent/c1#2"}"#);
    assert_eq!(second.ends(), Some(Ends::Revoked));
}

#[test]
fn someone_else_may_have_given_it() {
    let signer = |performer: Value| {
        let records = mapped(|c| c["performer"] = json!([performer])).expect("imports");
        let actor = records[0].record.actor.clone().expect("a signer");
        format!("{}|{}", actor.system, actor.id)
    };
    assert_eq!(signer(json!({"reference": "RelatedPerson/m"})), "urn:sillage:fhir:reference|RelatedPerson/m");
    assert_eq!(signer(json!({"reference": "Patient/mother"})), "urn:sillage:fhir:reference|Patient/mother");
}

/// A Consent with everything that a provision can have.
fn full() -> Value {
    let mut full = consent();
    full["contained"] =
        json!([{"resourceType": "Practitioner", "id": "p", "identifier": [{"system": "urn:x", "value": "1"}]}]);
    full["provision"]["actor"] =
        json!([actor(json!({"reference": "#p"})), actor(json!({"reference": "Organization/o"}))]);
    full["provision"]["period"] = json!({"start": "2026-02", "end": "2026-06-30T10:00:00Z"});
    full["provision"]["class"] = json!([{"system": "http://loinc.org", "code": "11506-3"}]);
    full["provision"]["action"] = json!([{"coding": [{"system": codes::ACTIONS, "code": "access"}]}]);
    full["provision"]["provision"] = json!([
        {"type": "deny", "securityLabel": [label("R")],
         "data": [{"meaning": "instance", "reference": {"reference": "Observation/1"}}]},
        {"type": "permit", "actor": [actor(json!({"reference": "Practitioner/2"}))], "purpose": [purpose("BTG")]}
    ]);
    full
}

proptest! {
    #[test]
    fn any_change_of_a_good_consent_is_answered((path, value) in any_change()) {
        let mut changed = full();
        replace_at(&mut changed, &path, value);
        for mapped in map(changed.to_string().as_bytes(), &demo()).iter().flatten() {
            let record = v1::Record { tag: vec![7; 32], ..mapped.record.clone() };
            prop_assert!(ParsedRecord::from_message(record).is_ok(), "{changed}");
        }
    }
}
