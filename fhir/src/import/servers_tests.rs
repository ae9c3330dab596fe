//! Relative references of two servers: two names each, of actors, structures, machines and items.

use serde_json::{Value, json};
use sillage_rules::consent::directive::Directive;

use super::{MappedRecord, Neighbours, PatientMap, map, map_among};

const A: &str = "https://A.example/FHIR";

fn event() -> Value {
    json!({
        "resourceType": "AuditEvent", "id": "1",
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
        "action": "R", "recorded": "2026-03-02T09:00:00Z",
        "agent": [
            {"who": {"reference": "Practitioner/1/_history/2"}, "requestor": true},
            {"who": {"reference": "Device/2"}, "requestor": false},
            {"who": {"reference": "Organization/3"}, "requestor": false},
            {"who": {"reference": "https://b.example/fhir/Device/2"}, "requestor": false}
        ],
        "source": {"observer": {"reference": "Device/dmp"}},
        "entity": [
            {"what": {"reference": "Patient/p"}, "role": {"code": "1"}, "type": {"code": "1"}},
            {"what": {"reference": "DocumentReference/d1"}},
            {"what": {"reference": "urn:uuid:0f0e0d0c-0b0a-4908-8706-050403020100"}}
        ]
    })
}

fn read(document: &Value, base: &str) -> Vec<MappedRecord> {
    let around = Neighbours::default().at(base);
    let bytes = document.to_string().into_bytes();
    map_among(&bytes, &PatientMap::empty(true), &around).unwrap_or_else(|error| panic!("{error}"))
}

fn names(mapped: &MappedRecord) -> Vec<String> {
    let record = &mapped.record;
    let actor = record.actor.clone().expect("who");
    let agents = record.agents.iter().filter_map(|agent| agent.who.as_ref()).map(|who| who.id.clone());
    let items = record.items.iter().map(|item| item.id.clone());
    [actor.id, actor.organisation].into_iter().chain(agents).chain(items).collect()
}

#[test]
fn a_relative_reference_is_named_with_its_server() {
    let here = |name: &str| format!("https://a.example/FHIR/{name}");
    let uuid = "urn:uuid:0f0e0d0c-0b0a-4908-8706-050403020100".to_owned();
    let whole = vec![
        here("Practitioner/1"),
        here("Organization/3"),
        here("Device/2"),
        here("Organization/3"),
        "https://b.example/fhir/Device/2".to_owned(),
        here("DocumentReference/d1"),
        uuid,
    ];
    let [of_a] = &read(&event(), A)[..] else { panic!("one record") };
    assert_eq!(names(of_a), whole);
    // The whole URL is the same name, and an empty source gives none.
    let mut absolute = event();
    absolute["agent"][0]["who"]["reference"] = json!(format!("{A}/Practitioner/1"));
    assert_eq!(names(&read(&absolute, A)[0])[0], whole[0]);
    let [plain] = &read(&event(), "")[..] else { panic!("one record") };
    assert_eq!((names(plain)[0].as_str(), names(plain)[5].as_str()), ("Practitioner/1", "DocumentReference/d1"));
    // Earlier imports are known by what they recorded.
    assert_eq!((of_a.bare(), plain.as_written.as_ref()), (&plain.record, None));
    assert_ne!(names(of_a), names(&read(&event(), "https://b.example/fhir")[0]));
    // The patient stays who they were.
    assert_eq!(of_a.patient, plain.patient);
}

#[test]
fn a_consent_that_was_relied_on_is_cited_with_its_server() {
    let mut event = event();
    let relied_on = |reference: &str| json!({"what": {"reference": reference}, "type": {"system": "http://hl7.org/fhir/resource-types", "code": "Consent"}});
    event["entity"].as_array_mut().expect("entities").push(relied_on("Consent/1/_history/2"));
    let cited = |record: &sillage_proto::v1::Record| record.basis.clone().expect("a basis").r#ref;
    let [of_a] = &read(&event, A)[..] else { panic!("one record") };
    assert_eq!(cited(&of_a.record), "https://a.example/FHIR/Consent/1");
    assert_eq!(cited(of_a.bare()), "Consent/1", "earlier imports are known by what they recorded");
    let [plain] = &read(&event, "")[..] else { panic!("one record") };
    assert_eq!(cited(&plain.record), "Consent/1");
    let at = event["entity"].as_array().expect("entities").len() - 1;
    event["entity"][at] = relied_on("https://b.example/fhir/Consent/1");
    assert_eq!(cited(&read(&event, A)[0].record), "https://b.example/fhir/Consent/1");
}

#[test]
fn an_identifier_counts_before_a_reference_and_its_server() {
    let mut event = event();
    event["agent"][0]["who"]["identifier"] = json!({"system": "https://rpps.esante.gouv.fr", "value": "10100534436"});
    let [of_a] = &read(&event, A)[..] else { panic!("one record") };
    assert_eq!(names(of_a)[0], "10100534436");
}

#[test]
fn a_national_number_is_the_same_however_people_write_it() {
    for (system, value) in [
        ("1.2.250.1.71.4.2.1", "810100534436"),
        ("1.2.250.1.71.4.2.1", "8 10100534436"),
        ("https://rpps.esante.gouv.fr", "1010 0534 436"),
        ("urn:oid:1.2.250.1.71.4.2.1", "10100\u{a0}534\u{a0}436"),
    ] {
        let mut event = event();
        event["agent"][0]["who"]["identifier"] = json!({"system": system, "value": value});
        for base in [A, ""] {
            let [mapped] = &read(&event, base)[..] else { panic!("one record") };
            let actor = mapped.record.actor.clone().expect("who");
            let named = (actor.system.as_str(), actor.id.as_str());
            assert_eq!(named, ("urn:oid:1.2.250.1.71.4.2.1", "10100534436"), "{system} {value}");
        }
    }
}

#[test]
fn a_server_with_a_long_name_cuts_no_reference() {
    let long = format!("https://a.example/{}", "x".repeat(2_000));
    let mut other = event();
    other["agent"][0]["who"]["reference"] = json!("Practitioner/2");
    let [one, two] = [event(), other].map(|event| names(&read(&event, &long)[0])[0].clone());
    assert!(one != two && one.ends_with("/Practitioner/1"), "{one} {two}");
}

#[test]
fn a_resource_that_says_no_id_has_the_server_of_its_url() {
    let mut event = event();
    event.as_object_mut().expect("an object").remove("id");
    let entry = json!({"fullUrl": "https://a.example/FHIR/AuditEvent/7", "resource": event});
    let bundle = json!({"resourceType": "Bundle", "type": "collection", "entry": [entry]}).to_string();
    let found = super::source::documents(std::path::Path::new("b.json"), bundle.as_bytes());
    assert_eq!(found[0].around.base(), "https://a.example/fhir");
    assert_eq!(super::source::without_server(&found), None);
}

#[test]
fn a_resource_of_the_bundle_has_the_server_of_its_own_url() {
    let practitioner = json!({"resourceType": "Practitioner", "id": "1", "active": true});
    let around = Neighbours::of([("https://c.example/fhir/Practitioner/1".to_owned(), practitioner)]);
    let bytes = event().to_string().into_bytes();
    let records = map_among(&bytes, &PatientMap::empty(true), &around).expect("imports");
    assert_eq!(names(&records[0])[0], "https://c.example/fhir/Practitioner/1");
    assert_eq!(names(&records[0])[5], "DocumentReference/d1", "nothing says its server");
}

fn consent() -> Value {
    let coding = |system: &str, code: &str| json!({"system": format!("http://terminology.hl7.org/CodeSystem/{system}"), "code": code});
    let who = json!({"role": {"coding": [coding("v3-ParticipationType", "IRCP")]}, "reference": {"reference": "Practitioner/1"}});
    let items = |ids: &[&str]| -> Vec<Value> {
        ids.iter().map(|id| json!({"meaning": "instance", "reference": {"reference": id}})).collect()
    };
    json!({
        "resourceType": "Consent", "id": "c1", "status": "active",
        "scope": {"coding": [coding("consentscope", "patient-privacy")]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": "Patient/p"}, "dateTime": "2026-01-05",
        "performer": [{"reference": format!("{A}/Patient/p")}],
        "organization": [{"reference": "Organization/3"}],
        "policy": [{"uri": "https://hospital.example/policy"}],
        "provision": {
            "type": "permit", "purpose": [coding("v3-ActReason", "TREAT")], "actor": [who],
            "data": items(&["DocumentReference/d1", "DocumentReference/d2"]),
            "provision": [{"type": "deny", "data": items(&["DocumentReference/d2"])}]
        }
    })
}

fn directive(mapped: &MappedRecord) -> Directive {
    Directive::parse(&mapped.record.details).expect("a directive")
}

#[test]
fn a_permit_is_for_those_of_its_server_and_a_denial_holds_under_both_names() {
    let here = |name: &str| format!("https://a.example/FHIR/{name}");
    let details = |consent: &Value, base: &str| -> Value {
        let [one] = &read(consent, base)[..] else { panic!("one directive") };
        serde_json::from_str(&one.record.details).expect("JSON")
    };
    let mut permit = consent();
    permit["provision"].as_object_mut().expect("an object").remove("provision");
    for (base, name) in [(A, here("Practitioner/1")), ("", "Practitioner/1".to_owned())] {
        let practitioner = format!("urn:sillage:fhir:reference|{name}");
        assert_eq!(details(&permit, base)["grantee"], json!({"professional": practitioner}));
    }
    // A denial inherits whom it is for, and needs an identifier.
    let mut both = consent();
    let rpps = json!({"identifier": {"system": "https://rpps.esante.gouv.fr", "value": "10100534436"}});
    both["provision"]["actor"][0]["reference"] = rpps;
    let items = |base: &str| -> Vec<Value> {
        let all = read(&both, base);
        all.iter()
            .map(|one| serde_json::from_str::<Value>(&one.record.details).expect("JSON")["items"].clone())
            .collect()
    };
    let (d1, d2) = (here("DocumentReference/d1"), here("DocumentReference/d2"));
    assert_eq!(items(A), [json!([d1, d2]), json!([d2, "DocumentReference/d2"])], "the permit, then the denial inside");
    assert_eq!(items("")[1], json!(["DocumentReference/d2"]));
    let of_a = &read(&both, A)[0];
    let collector = directive(of_a).collected.expect("collected").collector;
    assert_eq!(collector.id(), here("Organization/3"));
    // The patient signed it, by whatever form of their reference.
    assert_eq!(of_a.record.actor.as_ref().expect("who").id, "self");
}

#[test]
fn a_denial_of_a_structure_is_read_however_its_number_is_written_and_mended_by_importing_it_again() {
    let mut denial = consent();
    let structure =
        json!({"type": "Organization", "identifier": {"system": "1.2.250.1.71.4.2.2", "value": "1 750712184"}});
    denial["provision"] = json!({"type": "deny", "actor": denial["provision"]["actor"].clone()});
    denial["provision"]["actor"][0]["reference"] = structure;
    for base in [A, ""] {
        let [mapped] = &read(&denial, base)[..] else { panic!("one directive") };
        for record in [&mapped.record, mapped.bare()] {
            let said: Value = serde_json::from_str(&record.details).expect("JSON");
            assert_eq!(said["grantee"], json!({"organisation": "750712184"}), "{base}");
        }
    }
}

#[test]
fn a_withdrawn_consent_is_known_as_before_too() {
    let mut withdrawn = consent();
    withdrawn["status"] = json!("inactive");
    withdrawn["performer"] = json!([{"reference": "RelatedPerson/m"}]);
    let [of_a] = &read(&withdrawn, A)[..] else { panic!("one end") };
    let signer = |record: &sillage_proto::v1::Record| record.actor.clone().expect("who").id;
    assert_eq!(signer(&of_a.record), "https://a.example/FHIR/RelatedPerson/m");
    let plain = map(&withdrawn.to_string().into_bytes(), &PatientMap::empty(true)).expect("imports");
    assert_eq!(of_a.bare(), &plain[0].record);
}
