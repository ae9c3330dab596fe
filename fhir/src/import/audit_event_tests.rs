//! Audit events become records. All of them are made here; the published ones are read in `published_tests`.

use proptest::prelude::*;
use serde_json::json;
use sillage_rules::record::ParsedRecord;

use super::*;
use crate::import::changes::{any_change, replace_at};
use crate::import::map;

fn demo() -> PatientMap {
    PatientMap::empty(true)
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
        let consent = json!({"what": {"reference": "Consent/c"}, "type": {"system": "http://hl7.org/fhir/resource-types", "code": "Consent"}});
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
        e["outcomeDesc"] = json!("a\tb c".repeat(2_000));
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

fn basis_of(record: &v1::Record) -> Option<(v1::BasisKind, &str)> {
    record.basis.as_ref().map(|basis| (basis.kind(), basis.r#ref.as_str()))
}

#[test]
fn a_consent_that_was_read_is_an_item_and_one_that_was_relied_on_a_basis() {
    let of_resources = json!({"system": "http://hl7.org/fhir/resource-types", "code": "Consent"});
    let object = json!({"system": "http://terminology.hl7.org/CodeSystem/audit-entity-type", "code": "2"});
    let data = json!({"system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "4"});
    let what = json!({"reference": "https://h.example/fhir/Consent/k1/_history/2"});
    let with = |consent: Value, alone: bool| {
        let records = mapped(|e| {
            if alone {
                drop(e["entity"].as_array_mut().expect("array").remove(1));
            }
            e["entity"].as_array_mut().expect("array").push(consent);
        });
        let record = records[0].record.clone();
        let items: Vec<String> = record.items.iter().map(|item| item.id.clone()).collect();
        (basis_of(&record).map(|(kind, r#ref)| (kind, r#ref.to_owned())), items.join(","))
    };
    let k1 = "https://h.example/fhir/Consent/k1";
    let relied_on = Some((v1::BasisKind::Consent, k1.to_owned()));
    // As BALP reads a resource; marked as a Consent, with the role of what is read; and by another mark.
    for read in [
        json!({"what": what, "type": object, "role": data}),
        json!({"what": what, "type": of_resources, "role": data}),
        json!({"what": what, "type": object}),
        json!({"what": what, "role": data}),
    ] {
        assert_eq!(with(read.clone(), true), (None, k1.to_owned()), "{read}");
        assert_eq!(with(read.clone(), false), (None, format!("DocumentReference/d1,{k1}")), "{read}");
    }
    // As BALP says what a decision rested on.
    for alone in [true, false] {
        let items = if alone { "" } else { "DocumentReference/d1" };
        assert_eq!(with(json!({"what": what, "type": of_resources}), alone), (relied_on.clone(), items.to_owned()));
    }
    // Nothing but a Consent beside what was read, or all that was read.
    assert_eq!(with(json!({"what": what}), false), (relied_on, "DocumentReference/d1".to_owned()));
    assert_eq!(with(json!({"what": what}), true), (None, k1.to_owned()));
}

#[test]
fn the_place_is_the_clients_whatever_comes_first() {
    let agent = |code: &str, name: &str, address: &str| {
        json!({"type": {"coding": [{"code": code}]}, "who": {"display": name}, "requestor": false,
               "network": {"address": address, "type": "2"}})
    };
    let place = |code: &str, agents: Vec<Value>| {
        let records = mapped(|e| {
            e["subtype"][0]["code"] = json!(code);
            let user = e["agent"][1].clone();
            e["agent"] = json!([agents, vec![user]].concat());
        });
        let place = records[0].record.place.clone().expect("where");
        (place.device, place.network_address)
    };
    let (source, destination) = (agent("110153", "S", "10.0.0.1"), agent("110152", "D", "10.0.0.2"));
    let (s, d) = (("S".to_owned(), "10.0.0.1".to_owned()), ("D".to_owned(), "10.0.0.2".to_owned()));
    for order in [[&source, &destination], [&destination, &source]] {
        let agents = || order.into_iter().cloned().collect();
        assert_eq!(place("read", agents()), d, "the client of a read is its destination");
        assert_eq!(place("vread", agents()), d);
        assert_eq!(place("search-type", agents()), s);
        assert_eq!(place("update", agents()), s);
    }
    let app = agent("110150", "A", "10.0.0.3");
    assert_eq!(place("delete", vec![agent("custodian", "C", "10.0.0.4"), app.clone()]).0, "A");
    // The server alone is no client.
    assert_eq!(place("read", vec![source]), (String::new(), String::new()));
    // Whoever acted with an address of their own.
    let records = mapped(|e| e["agent"][1]["network"] = json!({"address": "10.9.9.9"}));
    assert_eq!(records[0].record.place.as_ref().expect("where").network_address, "10.9.9.9");
}

#[test]
fn what_was_asked_for_by_a_query_keeps_its_item_and_its_labels() {
    let query = "UGF0aWVudD9fY291bnQ9MQ==";
    let entity = json!({"what": {"reference": "Bundle/b1"}, "role": {"code": "24"}, "query": query,
        "securityLabel": [{"code": "R"}]});
    let record = mapped(|e| e["entity"].as_array_mut().expect("array").push(entity.clone()))[0].record.clone();
    let item = record.items.iter().find(|item| item.id == "Bundle/b1").expect("the item");
    assert_eq!(item.labels, ["R"]);
    assert!(record.details.contains("Patient?_count=1"), "{}", record.details);
    // Of several patients nobody knows whose it is.
    let records = mapped(|e| {
        let other = json!({"what": {"reference": "Patient/2"}, "type": {"code": "1"}, "role": {"code": "1"}});
        e["entity"].as_array_mut().expect("array").extend([entity, other]);
    });
    assert!(records.iter().all(|mapped| mapped.record.items.len() == 1));
}

#[test]
fn rights_are_read_in_one_order() {
    let ins = "279035121518989";
    let of_ins = json!({"identifier": {"system": "urn:oid:1.2.250.1.213.1.4.10", "value": ins}});
    let read = |who: Option<Value>, policy: bool, purpose: &str| {
        let records = mapped(|e| {
            e["entity"][0]["what"] = of_ins.clone();
            if let Some(who) = who {
                e["agent"][1]["who"] = who;
            }
            if policy {
                e["agent"][1]["policy"] = json!(["urn:token:1"]);
            }
            e["agent"][1]["purposeOfUse"][0]["coding"][0]["code"] = json!(purpose);
        });
        basis_of(&records[0].record).map(|(kind, _)| kind)
    };
    use v1::BasisKind::{Breakglass, Decision, Self_};
    // The patient, however they are named.
    let uri = json!({"identifier": {"system": "1.2.250.1.213.1.4.10", "value": "2 79 03 51 215 189 89"}});
    for who in [of_ins.clone(), uri, json!({"reference": "Patient/x", "identifier": of_ins["identifier"]})] {
        for policy in [false, true] {
            assert_eq!(read(Some(who.clone()), policy, "PATRQT"), Some(Self_), "{who}");
        }
    }
    assert_eq!(read(None, true, "BTG"), Some(Decision));
    assert_eq!(read(None, false, "BTG"), Some(Breakglass));
    assert_eq!(read(None, false, "TREAT"), None);
}

#[test]
fn a_large_access_becomes_as_many_records_as_it_takes() {
    let documents = |count: usize, bytes: usize| {
        move |e: &mut Value| {
            let one = |i: usize| {
                let name = "n".repeat(bytes);
                json!({"what": {"reference": format!("https://h.example/fhir/DocumentReference/{i:032x}")}, "name": name})
            };
            e["entity"].as_array_mut().expect("array").extend((0..count).map(one));
        }
    };
    for (count, bytes) in [(700, 20), (1_500, 1), (3_000, 400)] {
        let original = event(documents(count, bytes));
        let records = mapped(documents(count, bytes));
        assert!(records.len() > 1, "{count}");
        let ids: Vec<&str> = records.iter().flat_map(|m| &m.record.items).map(|item| item.id.as_str()).collect();
        assert_eq!(ids.len(), count + 1, "every document is on record");
        assert!(ids.iter().skip(1).enumerate().all(|(i, id)| id.ends_with(&format!("{i:032x}"))), "in their order");
        let details: Vec<Value> =
            records.iter().map(|m| serde_json::from_str(&m.record.details).expect("JSON")).collect();
        let sha256 = sha256(&[&original]).to_string();
        for (n, (mapped, details)) in records.iter().zip(&details).enumerate() {
            assert_eq!((mapped.part.n, mapped.part.count), (n, records.len()));
            assert_eq!(details["part"]["of"], details["original"]["sha256"].as_str().expect("a hash")[..32]);
            assert_eq!((&details["part"]["n"], &details["part"]["parts"]), (&json!(n + 1), &json!(records.len())));
            assert_eq!(details["part"]["items"], json!(count + 1));
            assert_eq!(details["original"]["sha256"], sha256);
            assert_eq!(details["original"]["kept"], "in parts");
            assert_eq!(mapped.patient, records[0].patient);
            // Each part's original is the event with its own documents.
            let content = &mapped.record.original.as_ref().expect("kept").content;
            let part: Value = serde_json::from_slice(content).expect("JSON");
            let named = part["entity"].as_array().expect("entities").iter();
            let named: Vec<_> = named.filter_map(|e| e["what"]["reference"].as_str()).skip(1).collect();
            let items: Vec<_> = mapped.record.items.iter().map(|item| item.id.as_str()).collect();
            assert_eq!(named, items);
            assert_eq!(part["agent"].as_array().map(Vec::len), Some(2));
        }
    }
    // What isn't items: its hash, and plain words.
    let records = mapped(|e| e["text"] = json!({"status": "generated", "div": "x".repeat(200_000)}));
    assert_eq!((records.len(), &records[0].record.original), (1, &None));
    assert!(records[0].record.details.contains("its hash alone"), "{}", records[0].record.details);
    let crowd = |e: &mut Value| {
        let agent = e["agent"][0].clone();
        let who = |i: usize| {
            let mut agent = agent.clone();
            agent["who"]["display"] = json!(format!("{i} {}", "w".repeat(500)));
            agent
        };
        e["agent"].as_array_mut().expect("array").extend((0..60).map(who));
    };
    let records = mapped(crowd);
    assert_eq!(records.len(), 1, "participants alone are on record as far as they fit");
    // Two patients, one of them with many documents seen together: both have all of it, and nothing of each other.
    let records = mapped(|e| {
        documents(700, 20)(e);
        let other = json!({"what": {"reference": "Patient/2"}, "type": {"code": "1"}, "role": {"code": "1"}});
        e["entity"].as_array_mut().expect("array").push(other);
    });
    let of = |id: &str| {
        let ins = sillage_rules::ident::Ins::demo(id);
        let mine = records.iter().filter(|m| m.patient.as_ref().is_some_and(|p| p.ins == ins.value()));
        mine.collect::<Vec<_>>()
    };
    for (mine, other) in [("Patient/1", "Patient/2"), ("Patient/2", "Patient/1")] {
        assert_eq!(of(mine).iter().map(|m| m.record.items.len()).sum::<usize>(), 701);
        for mapped in of(mine) {
            let content = String::from_utf8_lossy(&mapped.record.original.as_ref().expect("kept").content).into_owned();
            assert!(content.contains(mine) && !content.contains(other));
        }
    }
}

#[test]
fn the_reading_of_the_version_before_is_known() {
    let before = |edit: &dyn Fn(&mut Value)| {
        let records = crate::import::map_as_before(&event(edit), &demo(), &Neighbours::default());
        records.into_iter().map(|mapped| mapped.record).next().expect("a record")
    };
    // What didn't change reads alike.
    let plain: [&dyn Fn(&mut Value); 3] =
        [&|_| {}, &|e| e["outcome"] = json!("8"), &|e| drop(e["agent"].as_array_mut().expect("array").remove(1))];
    for edit in plain {
        assert_eq!(before(edit), mapped(edit)[0].record);
    }
    let emergency = |e: &mut Value| {
        e["agent"][1]["policy"] = json!(["urn:token:1"]);
        e["agent"][1]["purposeOfUse"][0]["coding"][0]["code"] = json!("BTG");
    };
    assert_eq!(basis_of(&before(&emergency)), Some((v1::BasisKind::Breakglass, "")));
    assert_eq!(crate::import::map_as_before(b"{", &demo(), &Neighbours::default()), []);
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
