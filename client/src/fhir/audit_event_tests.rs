//! What becomes of audit events. All of them are made here; the published ones are read in `published_tests`.

use proptest::prelude::*;
use serde_json::json;
use sillage_rules::record::ParsedRecord;

use super::*;
use crate::fhir::changes::{any_change, replace_at};
use crate::fhir::map;

fn demo() -> PatientMap {
    PatientMap::load(None, true).expect("no file to read")
}

fn event(edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut event = json!({
        "resourceType": "AuditEvent",
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
        "subtype": [{"system": SYSTEM_REST, "code": "read"}],
        "action": "R",
        "recorded": "2026-03-02T09:00:00.500Z",
        "outcome": "0",
        "agent": [
            {"type": {"coding": [{"code": "110152"}]}, "who": {"display": "poste 12"}, "requestor": false,
             "network": {"address": "10.0.0.12", "type": "2"}},
            {"type": {"coding": [{"code": "IRCP"}]}, "requestor": true, "name": "Dr Claire Dubois",
             "role": [{"coding": [{"code": "physician"}]}],
             "who": {"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "810100534436",
                     "assigner": {"identifier": {"value": "750712184"}}}},
             "purposeOfUse": [{"coding": [{"code": "TREAT"}]}]}
        ],
        "source": {"site": "bichat", "observer": {"reference": "Device/dmp"}},
        "entity": [
            {"what": {"reference": "Patient/1"}, "type": {"code": "1"}, "role": {"code": "1"}},
            {"what": {"reference": "DocumentReference/d1"}, "name": "Compte rendu", "securityLabel": [{"code": "R"}]},
            {"what": {"identifier": {"value": "req-1"}}, "type": {"code": "XrequestId"}}
        ]
    });
    edit(&mut event);
    event.to_string().into_bytes()
}

fn mapped(edit: impl FnOnce(&mut Value)) -> Vec<MappedRecord> {
    let records = map(&event(edit), &demo()).expect("imports");
    for mapped in &records {
        let mut record = mapped.record.clone();
        record.tag = mapped.patient.iter().flat_map(|_| [7; 32]).collect();
        let parsed = ParsedRecord::from_message(record).expect("follows the rules of records");
        parsed.check_from_author().expect("an author may submit it");
    }
    records
}

fn kind(edit: impl FnOnce(&mut Value)) -> Kind {
    Kind::from_code(mapped(edit)[0].record.kind).expect("a kind")
}

#[test]
fn who_whose_what_when_where_why() {
    let original = event(|_| {});
    let records = mapped(|_| {});
    assert_eq!(records.len(), 1);
    let record = &records[0].record;
    let actor = record.actor.as_ref().expect("who");
    assert_eq!((actor.system.as_str(), actor.id.as_str()), ("urn:oid:1.2.250.1.71.4.2.1", "10100534436"));
    assert_eq!((actor.label.as_str(), actor.role.as_str()), ("Dr Claire Dubois", "physician"));
    assert_eq!(actor.organisation, "750712184");
    let ins = sillage_rules::ident::Ins::demo("Patient/1");
    assert_eq!(records[0].patient.as_ref().expect("whose").ins, ins.value());
    assert_eq!(record.items.len(), 1);
    let item = &record.items[0];
    assert_eq!((item.id.as_str(), item.category.as_str()), ("DocumentReference/d1", "DocumentReference"));
    assert_eq!((item.label.as_str(), item.labels.as_slice()), ("Compte rendu", &["R".to_owned()][..]));
    assert_eq!(record.occurred_at_ms, 1_772_442_000_500);
    let place = record.place.as_ref().expect("where");
    assert_eq!((place.site.as_str(), place.observer.as_str()), ("bichat", "Device/dmp"));
    assert_eq!(place.network_address, "10.0.0.12");
    assert_eq!(record.purpose, "TREAT");
    assert_eq!(record.outcome(), v1::Outcome::Success);
    assert_eq!(record.basis, None);
    assert_eq!(record.correlation.as_ref().expect("ids").ids, ["req-1"]);
    assert_eq!(record.original.as_ref().expect("kept").content, original);
    assert_eq!(record.agents.len(), 1);
}

#[test]
fn kinds_follow_subtype_type_and_action() {
    let rest = |code: &'static str| move |e: &mut Value| e["subtype"][0]["code"] = json!(code);
    assert_eq!(kind(rest("vread")), Kind::ACCESS_READ);
    assert_eq!(kind(rest("search-type")), Kind::ACCESS_SEARCH);
    assert_eq!(kind(rest("create")), Kind::ACCESS_WRITE);
    assert_eq!(kind(rest("patch")), Kind::ACCESS_UPDATE);
    assert_eq!(kind(rest("delete")), Kind::ACCESS_DELETE);
    let of_type = |code: &'static str, action: &'static str| {
        move |e: &mut Value| {
            e["type"] = json!({"system": "http://dicom.nema.org/resources/ontology/DCM", "code": code});
            e["action"] = json!(action);
            e.as_object_mut().expect("object").remove("subtype");
        }
    };
    assert_eq!(kind(of_type("110112", "E")), Kind::ACCESS_SEARCH);
    assert_eq!(kind(of_type("110106", "R")), Kind::ACCESS_EXPORT);
    assert_eq!(kind(of_type("110107", "C")), Kind::ACCESS_WRITE);
    assert_eq!(kind(of_type("110110", "U")), Kind::ACCESS_UPDATE);
    let disclosed = |e: &mut Value| {
        e["type"]["code"] = json!("110106");
        e["subtype"] =
            json!([{"system": SYSTEM_REST, "code": "read"}, {"system": SYSTEM_LIFECYCLE, "code": "disclose"}]);
    };
    assert_eq!(kind(disclosed), Kind::MOVEMENT_THIRD_PARTY);
}

#[test]
fn an_event_without_a_patient_is_the_services_own() {
    let records = mapped(|e| drop(e.as_object_mut().expect("object").remove("entity")));
    assert_eq!(records[0].patient, None);
    assert_eq!(records[0].record.kind, u32::from(Kind::SYSTEM_EVENT.code()));
    let by_patient = mapped(|e| {
        e.as_object_mut().expect("object").remove("entity");
        e["agent"][1]["who"] = json!({"reference": "Patient/9"});
    });
    assert!(by_patient[0].patient.is_some(), "a patient who acts is the one it concerns");
    let basis = by_patient[0].record.basis.as_ref().expect("a basis");
    assert_eq!(basis.kind(), v1::BasisKind::Self_);
}

#[test]
fn several_patients_are_several_records_and_none_reads_of_another() {
    let records = mapped(|e| {
        let more = json!({"what": {"reference": "Patient/2"}, "type": {"code": "1"}, "role": {"code": "1"}});
        e["entity"].as_array_mut().expect("array").push(more);
    });
    assert_eq!(records.len(), 2);
    assert_ne!(records[0].patient, records[1].patient);
    let text =
        |i: usize| String::from_utf8_lossy(&records[i].record.original.as_ref().expect("kept").content).into_owned();
    assert!(text(0).contains("Patient/1") && !text(0).contains("Patient/2"));
    assert!(text(1).contains("Patient/2") && !text(1).contains("Patient/1"));
}

#[test]
fn rights_and_refusals_are_kept() {
    let with_consent = mapped(|e| {
        let consent = json!({"what": {"reference": "Consent/c"}, "type": {"code": "Consent"}});
        e["entity"].as_array_mut().expect("array").push(consent);
        e["subtype"] =
            json!([{"system": "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType", "code": "AuthZ-Consent"}]);
        e["outcome"] = json!("8");
    });
    let record = &with_consent[0].record;
    let basis = record.basis.as_ref().expect("a basis");
    assert_eq!((basis.kind(), basis.r#ref.as_str()), (v1::BasisKind::Consent, "Consent/c"));
    assert_eq!(record.outcome(), v1::Outcome::SeriousFailure);
    assert_eq!(record.kind, u32::from(Kind::ACCESS_READ.code()));
    assert!(record.details.contains(r#""authorisation":"deny""#), "{}", record.details);
    let emergency = mapped(|e| e["agent"][1]["purposeOfUse"][0]["coding"][0]["code"] = json!("BTG"));
    assert_eq!(emergency[0].record.basis.as_ref().expect("a basis").kind(), v1::BasisKind::Breakglass);
    let token = mapped(|e| e["agent"][1]["policy"] = json!(["urn:token:1"]));
    assert_eq!(token[0].record.basis.as_ref().expect("a basis").kind(), v1::BasisKind::Decision);
}

#[test]
fn a_job_without_a_user_is_automated() {
    let records = mapped(|e| drop(e["agent"].as_array_mut().expect("array").remove(1)));
    let record = &records[0].record;
    assert_eq!(record.automated.as_ref().expect("a software").software, "poste 12");
}

#[test]
fn long_and_odd_texts_do_not_stop_an_import() {
    mapped(|e| {
        e["agent"][1]["name"] = json!("é".repeat(2_000));
        e["agent"][1]["type"] = json!({"coding": [{"code": "code with spaces é"}]});
        e["agent"][1]["purposeOfUse"] = json!([{"text": "pour voir"}]);
        e["outcomeDesc"] = json!("a\tb\u{7}c".repeat(2_000));
        e["entity"][1]["query"] = json!("AAECAw==");
        e["entity"][1].as_object_mut().expect("object").remove("name");
    });
}

#[test]
fn a_patient_without_ins_is_refused_with_the_way_out() {
    let error = map(&event(|_| {}), &PatientMap::default()).expect_err("no INS");
    assert_eq!(error.path, "AuditEvent.entity[0].what");
    assert!(error.reason.contains("--demo-patients"), "{error}");
    let early = map(&event(|e| e["recorded"] = json!("1969-12-31T23:59:59Z")), &demo()).expect_err("too early");
    assert_eq!(early.path, "AuditEvent.recorded");
}

proptest! {
    #[test]
    fn any_change_of_a_good_event_is_answered((path, value) in any_change()) {
        let bytes = event(|event| replace_at(event, &path, value));
        let _ = map(&bytes, &demo());
    }

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(map(&bytes, &demo()).is_err());
    }
}
