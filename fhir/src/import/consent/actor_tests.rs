//! The grantees of a Consent: nothing that a directive can't say, and nobody whom no request names.

use serde_json::{Value, json};

use super::super::MappedRecord;
use super::codes;
use super::tests::{actor, doctor, label, mapped, refused_at, structure};

#[test]
fn a_denial_is_never_of_somebody_whom_no_request_names() {
    let local = json!([{"system": "urn:oid:1.2.3", "value": "post-7"}]);
    let rpps = json!([{"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "10100534436"}]);
    let contained = json!([
        {"resourceType": "Practitioner", "id": "nameless"},
        {"resourceType": "Practitioner", "id": "named", "identifier": rpps},
        {"resourceType": "PractitionerRole", "id": "post", "identifier": local},
        {"resourceType": "PractitionerRole", "id": "of-rpps", "identifier": rpps},
        {"resourceType": "PractitionerRole", "id": "of-reference", "practitioner": {"reference": "Practitioner/17"}},
        {"resourceType": "PractitionerRole", "id": "somewhere", "practitioner": {"reference": "#named"},
         "organization": {"reference": "Organization/o"}},
        {"resourceType": "PractitionerRole", "id": "whole", "practitioner": {"reference": "#named"}, "organization": structure()},
        {"resourceType": "Group", "id": "g", "type": "practitioner", "actual": true,
         "member": [{"entity": {"reference": "#named"}}, {"entity": {"reference": "Practitioner/17"}}]}
    ]);
    let denied = |reference: &Value| {
        let denial = json!({"type": "deny", "actor": [actor(reference.clone())]});
        let alone = mapped(|c| {
            c["contained"] = contained.clone();
            c["provision"] = denial.clone();
        });
        let inside = mapped(|c| {
            c["contained"] = contained.clone();
            c["provision"]["provision"] = json!([denial]);
        });
        (alone.map(|_| ()).map_err(|e| e.path), inside.map(|_| ()).map_err(|e| e.path))
    };
    let refused = |path: &str| Err::<(), String>(format!("{path}.actor[0].reference"));
    for reference in [
        json!({"reference": "Practitioner/17"}),
        json!({"reference": "https://h.example/fhir/Practitioner/17"}),
        json!({"reference": "Organization/o"}),
        json!({"reference": "RelatedPerson/m"}),
        json!({"reference": "PractitionerRole/17"}),
        json!({"reference": "Device/d"}),
        json!({"reference": "#nameless"}),
        json!({"reference": "#post"}),
        json!({"reference": "#of-reference"}),
        json!({"reference": "#somewhere"}),
        json!({"reference": "#g"}),
        json!({"type": "Practitioner", "identifier": {"value": "17"}}),
    ] {
        let paths = (refused("Consent.provision"), refused("Consent.provision.provision[0]"));
        assert_eq!(denied(&reference), paths, "{reference}");
    }
    for reference in [
        doctor(),
        structure(),
        json!({"reference": "Practitioner/17", "identifier": doctor()["identifier"]}),
        json!({"reference": "#named"}),
        json!({"reference": "#of-rpps"}),
        json!({"reference": "#whole"}),
        json!({"reference": "Patient/claire"}),
        json!({"reference": "CareTeam/t"}),
    ] {
        assert_eq!(denied(&reference), (Ok(()), Ok(())), "{reference}");
    }
    // What it inherits from a permit, beyond of it.
    let beyond = |c: &mut Value| {
        c["provision"]["actor"] = json!([actor(json!({"reference": "Organization/o"}))]);
        c["provision"]["provision"] = json!([{"type": "deny", "securityLabel": [label("PSY")]}]);
    };
    assert_eq!(refused_at(beyond), "Consent.provision.provision[0].actor");
}

#[test]
fn what_a_reference_means_is_whole_and_says_no_more_than_a_directive() {
    let rpps = json!([{"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "10100534436"}]);
    let with = |effect: &str, group: Value, role: Value, practitioner: Value| {
        let mut contained = [
            json!({"resourceType": "Group", "id": "g", "type": "practitioner", "actual": true, "member": [{"entity": {"reference": "#r"}}]}),
            json!({"resourceType": "PractitionerRole", "id": "r", "practitioner": {"reference": "#p"}}),
            json!({"resourceType": "Practitioner", "id": "p", "identifier": rpps}),
        ];
        for (resource, more) in contained.iter_mut().zip([group, role, practitioner]) {
            resource.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        }
        let records = mapped(|c| {
            c["contained"] = json!(contained);
            c["provision"]["type"] = json!(effect);
            c["provision"]["actor"] = json!([actor(json!({"reference": "#g"}))]);
        });
        records.map(|_| ()).map_err(|error| error.path)
    };
    let none = || json!({});
    for effect in ["permit", "deny"] {
        assert_eq!(with(effect, none(), none(), none()), Ok(()));
        let modifier = json!({"modifierExtension": [{"url": "https://h.example/not", "valueBoolean": true}]});
        let subsetted = json!({"meta": {"tag": [{"code": "SUBSETTED"}]}});
        let rules = json!({"implicitRules": "https://h.example/rules"});
        let inactive = json!({"active": false});
        for more in [
            &modifier,
            &subsetted,
            &rules,
            &inactive,
            &json!({"active": "false"}),
            &json!({"identifier": {"value": "1"}}),
        ] {
            let refused = Err("Consent.provision.actor[0].reference".to_owned());
            assert_eq!(with(effect, more.clone(), none(), none()), refused, "{more}");
            assert_eq!(with(effect, none(), more.clone(), none()), refused, "{more}");
            assert_eq!(with(effect, none(), none(), more.clone()), refused, "{more}");
        }
        for group in [
            json!({"member": [{"entity": {"reference": "#r"}, "inactive": "true"}]}),
            json!({"member": {"entity": {"reference": "#r"}}}),
            json!({"actual": false}),
        ] {
            assert!(with(effect, group.clone(), none(), none()).is_err(), "{group}");
        }
        for name in ["period", "code", "location", "specialty"] {
            assert_eq!(with(effect, none(), json!({name: [{}]}), none()).is_ok(), effect == "deny", "{name}");
        }
    }
}

#[test]
fn codes_of_one_action_that_say_different_things_are_all_denied_or_none_permitted() {
    let coding = |code: &str| json!({"system": codes::ACTIONS, "code": code});
    let said = |effect: &str, listed: &[&str]| {
        mapped(|c| {
            c["provision"]["type"] = json!(effect);
            c["provision"]["action"] = json!([{"coding": listed.iter().map(|code| coding(code)).collect::<Vec<_>>()}]);
        })
    };
    let actions = |records: Vec<MappedRecord>| {
        let details: Value = serde_json::from_str(&records[0].record.details).expect("JSON");
        let mut all: Vec<String> = serde_json::from_value(details["actions"].clone()).expect("actions");
        all.sort();
        all.join(" ")
    };
    for listed in [["collect", "access"], ["access", "collect"]] {
        assert_eq!(actions(said("deny", &listed).expect("imports")), "download print read search");
        assert_eq!(said("permit", &listed).expect_err("which?").path, "Consent.provision.action[0]");
    }
    assert_eq!(actions(said("deny", &["disclose", "use"]).expect("imports")), "download export print read search");
    assert_eq!(actions(said("permit", &["access", "access"]).expect("imports")), "download print read search");
    let rule = |listed: &[&str]| {
        let coding = |code: &&str| json!({"system": codes::ACT_CODES, "code": code});
        let coded = json!({"coding": listed.iter().map(coding).collect::<Vec<_>>()});
        mapped(|c| c["policyRule"] = coded).map(|_| ()).map_err(|error| error.path)
    };
    for listed in [["OPTIN", "OPTOUT"], ["OPTOUT", "OPTIN"], ["OPTINR", "OPTOUTE"]] {
        assert_eq!(rule(&listed), Err("Consent.policyRule".to_owned()));
    }
    assert_eq!((rule(&["OPTIN", "OPTINR"]), rule(&["OPTIN"])), (Ok(()), Ok(())));
}
