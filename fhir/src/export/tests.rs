//! A trace in FHIR, and that the records that decide come back as they were.

use proptest::prelude::*;
use serde_json::{Value, json};
use sillage_rules::consent::directive::{Collected, Directive, GranteeKeys};
use sillage_rules::consent::{Action, ActorName, Effect, Event, Grantee, Provision};
use sillage_rules::ident::Ins;
use sillage_rules::record::new_message;

use super::*;
use crate::import::consent::ACTIONS_ASSUMED;
use crate::import::{PatientMap, check, map};

const TAG: [u8; 32] = [7; 32];
/// 2 March 2026, 9 h.
const NOW_MS: u64 = 1_772_442_000_000;

fn subject() -> Subject {
    let ins = Ins::demo("Patient/claire");
    Subject { ins: ins.value().to_owned(), oid: ins.oid().as_str().to_owned() }
}

fn line(index: u64, message: v1::Record) -> Line {
    line_of(index, NOW_MS + index, ParsedRecord::from_message(message).expect("a record"))
}

/// The line of a record under the open tag.
pub(super) fn line_of(index: u64, recorded_at_ms: u64, record: ParsedRecord) -> Line {
    Line {
        index,
        recorded_at_ms,
        flags: Flags::default(),
        kind: record.kind(),
        record: Some(record),
        decision: None,
        erased: None,
        voided_by: None,
        author: "dmp".to_owned(),
        secret: false,
    }
}

fn trace(lines: Vec<Line>) -> Trace {
    Trace { subject: subject(), origin: "sillage.example/test".to_owned(), read_at_ms: NOW_MS + 1_000, lines }
}

/// The resources of a trace; each is valid R4 as far as an importer checks it.
fn resources(lines: Vec<Line>) -> Vec<Value> {
    let bundle = bundle(&trace(lines));
    assert_eq!((&bundle["resourceType"], &bundle["type"]), (&json!("Bundle"), &json!("collection")));
    let entries = bundle["entry"].as_array().expect("entries");
    let resource = |entry: &Value| {
        let resource = entry["resource"].clone();
        check(&resource).unwrap_or_else(|error| panic!("{error}: {resource:#}"));
        resource
    };
    entries.iter().map(resource).collect()
}

fn doctor() -> v1::Actor {
    v1::Actor {
        system: "urn:oid:1.2.250.1.71.4.2.1".into(),
        id: "10100534436".into(),
        role: "physician".into(),
        organisation: "750712184".into(),
        label: "Dr Dubois".into(),
    }
}

fn patient() -> v1::Actor {
    v1::Actor { system: "urn:sillage:patient".into(), id: "self".into(), ..v1::Actor::default() }
}

fn reading() -> v1::Record {
    v1::Record {
        actor: Some(doctor()),
        purpose: "TREAT".into(),
        outcome: v1::Outcome::Success.into(),
        basis: Some(v1::Basis { kind: v1::BasisKind::Decision.into(), r#ref: "41".into() }),
        place: Some(v1::Place {
            device: "poste 12".into(),
            network_address: "10.0.0.12".into(),
            observer: "dmp".into(),
            ..v1::Place::default()
        }),
        items: vec![v1::Item {
            id: "DocumentReference/1".into(),
            category: "REPORT".into(),
            labels: vec!["PSY".into(), "maison".into()],
            depositor: "urn:x|1".into(),
            label: "Compte rendu".into(),
        }],
        ..new_message(Kind::ACCESS_READ, Some(&TAG), NOW_MS)
    }
}

fn given(details: &str) -> v1::Record {
    let auth = v1::Authentication { issuer: "fc".into(), method: "fc+".into(), eidas_level: "substantial".into() };
    v1::Record {
        actor: Some(patient()),
        auth: Some(auth),
        details: details.to_owned(),
        ..new_message(Kind::CONSENT_DIRECTIVE, Some(&TAG), NOW_MS)
    }
}

fn parts<'a>(resource: &'a Value, name: &str) -> Vec<&'a Value> {
    let url = format!("{OURS}/StructureDefinition/{name}");
    let extensions = resource["extension"].as_array().map_or(&[][..], Vec::as_slice);
    extensions.iter().filter(|extension| extension["url"] == url.as_str()).collect()
}

#[test]
fn a_reading_says_who_what_why_and_by_what_right() {
    let event = &resources(vec![line(42, reading())])[0];
    assert_eq!((event["id"].as_str(), event["action"].as_str()), (Some("e42"), Some("R")));
    assert_eq!(event["period"]["start"], "2026-03-02T09:00:00Z");
    assert_eq!(event["recorded"], "2026-03-02T09:00:00.042Z");
    let acted = event["agent"].as_array().expect("agents").iter().find(|a| a["requestor"] == true).expect("who");
    assert_eq!(acted["who"]["identifier"]["value"], "10100534436");
    assert_eq!(acted["purposeOfUse"][0]["coding"][0]["code"], "TREAT");
    let item = &event["entity"][1];
    assert_eq!(item["what"]["reference"], "DocumentReference/1");
    assert_eq!(item["securityLabel"][0]["system"], "http://terminology.hl7.org/CodeSystem/v3-ActCode");
    let right = parts(event, "legal-basis")[0];
    assert_eq!(
        (&right["extension"][0]["valueCode"], &right["extension"][1]["valueString"]),
        (&json!("decision"), &json!("41"))
    );
    assert_eq!(event.get("meta"), None, "where the server is in the network isn't on record");
}

#[test]
fn a_profile_is_claimed_where_it_holds() {
    let with_server = |mut record: v1::Record| {
        let who = v1::Actor { label: "dmp.example".into(), ..v1::Actor::default() };
        record.agents.push(v1::Agent {
            r#type: "110153".into(),
            who: Some(who),
            network_address: "https://dmp.example/fhir".into(),
            requestor: false,
        });
        record
    };
    let claimed = |record: v1::Record| resources(vec![line(1, record)])[0]["meta"]["profile"].clone();
    let read = json!(["https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead"]);
    assert_eq!(claimed(with_server(reading())), read);
    let failed = v1::Record { outcome: v1::Outcome::SeriousFailure.into(), ..reading() };
    assert_eq!(claimed(with_server(failed)), Value::Null, "failures are recorded differently");
    let mut two = reading();
    two.items.push(two.items[0].clone());
    assert_eq!(claimed(with_server(two)), Value::Null, "one object at a time");
}

#[test]
fn an_emergency_says_where_and_a_directive_is_an_event_too() {
    let opened = |details: &str| v1::Record {
        actor: Some(doctor()),
        details: details.to_owned(),
        ..new_message(Kind::BREAKGLASS_OPENED, Some(&TAG), NOW_MS)
    };
    let at =
        r#"{"position": {"lat": 48.85, "lon": 2.35, "accuracy_m": 20, "source": "GPS", "at": "2026-03-02T09:00:00Z"}}"#;
    let events = resources(vec![line(1, opened(at)), line(2, opened(r#"{"no_position": "INDOORS"}"#))]);
    let position = parts(&events[0], "geolocation")[0];
    assert_eq!(position["extension"][0], json!({"url": "latitude", "valueDecimal": 48.85}));
    assert_eq!(parts(&events[1], "geolocation-absent")[0]["valueCode"], "INDOORS");
    assert_eq!(events[0]["subtype"][0]["code"], "110127");
}

#[test]
fn accesses_come_back_as_accesses_and_nothing_else_does() {
    let downloaded = v1::Record { kind: Kind::ACCESS_DOWNLOAD.code().into(), ..reading() };
    let consulted = v1::Record {
        actor: Some(v1::Actor { system: "urn:sillage:author".into(), id: "dmp".into(), ..v1::Actor::default() }),
        ..new_message(Kind::NOTIFICATION_QUEUED, Some(&TAG), NOW_MS)
    };
    let events = resources(vec![line(1, downloaded.clone()), line(2, consulted)]);
    let back = |event: &Value| map(event.to_string().as_bytes(), &PatientMap::default()).expect("imports");
    let [mapped] = &back(&events[0])[..] else { panic!("one record") };
    assert_eq!(mapped.record.kind, u32::from(Kind::ACCESS_DOWNLOAD.code()));
    assert_eq!(mapped.record.items, downloaded.items);
    assert_eq!((&mapped.record.actor, &mapped.record.purpose), (&downloaded.actor, &downloaded.purpose));
    assert_eq!(mapped.record.occurred_at_ms, NOW_MS);
    assert_eq!(back(&events[1]), []);
}

#[test]
fn published_events_keep_their_profile() {
    let Some(files) = crate::import::fixture_files() else { return };
    let demo = PatientMap::empty(true);
    let mut kept = 0;
    for path in files {
        let bytes = std::fs::read(&path).expect("readable");
        let original: Value = serde_json::from_slice(&bytes).expect("JSON");
        let Ok(records) = map(&bytes, &demo) else { continue };
        let patients = |record: &v1::Record| v1::Record { tag: TAG.to_vec(), ..record.clone() };
        let lines = records.iter().filter(|mapped| mapped.patient.is_some()).map(|m| line(1, patients(&m.record)));
        for event in resources(lines.collect()).iter().filter(|event| event["resourceType"] == "AuditEvent") {
            let profile = &original["meta"]["profile"];
            // A decision of another system is on record as somebody's attempt.
            let wanted = if profile.to_string().contains("AuthZ") { &Value::Null } else { profile };
            if original["resourceType"] == "AuditEvent" {
                assert_eq!(&event["meta"]["profile"], wanted, "{}: {event:#}", path.display());
                kept += 1;
            }
        }
    }
    assert!(kept >= 4, "{kept}");
}

#[test]
fn what_was_erased_stays_as_something_that_happened() {
    let erased = v1::Erasure { index: 9, time_ms: NOW_MS, ground: "RETENTION".into() };
    let gone = Line { record: None, erased: Some(erased), ..line(3, reading()) };
    let event = &resources(vec![gone])[0];
    assert_eq!(parts(event, "erased")[0]["extension"][2]["valueString"], "RETENTION");
    assert!(!event.to_string().contains("Dubois"));
}

#[test]
fn what_ended_is_exported_with_the_time_in_which_it_held() {
    let directive = r#"{"id": "c1", "effect": "permit", "grantee": {"organisation": "F100"}, "actions": ["read"]}"#;
    let revoked = v1::Record {
        details: r#"{"consent": "c1"}"#.into(),
        ..v1::Record { kind: Kind::CONSENT_REVOKED.code().into(), ..given("") }
    };
    let lines = vec![line(1, given(directive)), line(5, revoked)];
    let all = resources(lines);
    let consent = all.iter().find(|r| r["resourceType"] == "Consent").expect("a Consent");
    assert_eq!(consent["status"], "inactive");
    let period = json!({"start": "2026-03-02T09:00:00.001Z", "end": "2026-03-02T09:00:00.004Z"});
    assert_eq!(consent["provision"]["period"], period);
    let back = import(consent).expect("comes back as history");
    assert_eq!(back.provision.until.map(|until| until.0), Some(NOW_MS + 5));
}

#[test]
fn what_takes_access_away_denies_it_for_every_reader_and_what_gives_it_is_for_who_knows_it() {
    let said = |index: u64, kind: Kind, details: Value, items: &[&str]| {
        let items = items.iter().map(|id| v1::Item { id: (*id).to_owned(), ..v1::Item::default() }).collect();
        let details = if details.is_null() { String::new() } else { details.to_string() };
        line(index, v1::Record { kind: kind.code().into(), items, ..given(&details) })
    };
    let dubois = json!({"professional": "urn:oid:1.2.250.1.71.4.2.1|10100534436"});
    let until = json!({"until": "2026-04-01T00:00:00Z"});
    let all = resources(vec![
        said(1, Kind::ITEM_MASKED, Value::Null, &["doc 1", "DocumentReference/2"]),
        said(2, Kind::ITEM_UNMASKED, Value::Null, &["doc 1"]),
        said(3, Kind::PROFESSIONAL_BLOCKED, dubois.clone(), &[]),
        said(4, Kind::EMERGENCY_OPPOSITION, json!({"cases": ["SAMU"]}), &[]),
        said(5, Kind::FEED_OPPOSED, json!({"source": "professionals", "category": "LAB"}), &[]),
        said(6, Kind::SPACE_CLOSED, Value::Null, &[]),
        said(7, Kind::ITEM_EMBARGOED, until, &["doc 3"]),
        said(8, Kind::ATTENDING_DECLARED, dubois, &[]),
    ]);
    let consent = |id: &str| all.iter().find(|r| r["id"] == id).unwrap_or_else(|| panic!("{id}: {all:#?}"));
    let denied = |id: &str| {
        let (consent, provision) = (consent(id), &consent(id)["provision"]);
        assert_eq!((&provision["type"], parts(consent, "rule").len()), (&json!("deny"), 1), "{consent:#}");
        assert_eq!((consent.get("modifierExtension"), consent.get("meta")), (None, None), "{consent:#}");
        provision.clone()
    };
    assert_eq!(
        denied("l1")["data"],
        json!([{"meaning": "instance", "reference": {"reference": "DocumentReference/2"}}])
    );
    assert_eq!(denied("l3")["actor"][0]["reference"]["identifier"]["value"], "10100534436");
    assert_eq!(denied("l4")["purpose"][0]["code"], "BTG");
    assert_eq!(denied("l5")["class"][0]["code"], "LAB");
    assert_eq!(denied("l6"), json!({"type": "deny", "period": {"start": "2026-03-02T09:00:00.006Z"}}));
    assert_eq!(denied("l7")["period"]["end"], "2026-03-31T23:59:59.999Z");
    assert_eq!(denied("l7")["actor"].as_array().map(Vec::len), Some(2), "the patient and who represents them");
    let attending = consent("l8");
    assert_eq!((attending.get("provision"), parts(attending, "rule").len()), (None, 0), "{attending:#}");
    assert_eq!(attending["modifierExtension"][0]["url"], format!("{OURS}/StructureDefinition/rule"));
    assert!(!all.iter().any(|r| r["id"] == "l2"), "what ends something holds nothing");
}

#[test]
fn what_never_held_is_not_replaced_elsewhere() {
    let to_come = r#"{"id": "c1", "effect": "deny", "grantee": "anyone", "from": "2027-01-01T00:00:00Z"}"#;
    let instead = r#"{"id": "c2", "effect": "deny", "grantee": "anyone", "supersedes": "c1"}"#;
    let all = resources(vec![line(1, given(to_come)), line(2, given(instead))]);
    let consents: Vec<&Value> = all.iter().filter(|r| r["resourceType"] == "Consent").collect();
    assert_eq!(consents.len(), 1, "the first one ended before it began");
    assert_eq!(import(consents[0]).expect("the second").supersedes, None);
}

/// The directive of a Consent of our own.
fn import(consent: &Value) -> Option<Directive> {
    let records = map(consent.to_string().as_bytes(), &PatientMap::default()).expect("imports");
    assert_eq!(records.len(), 1, "{consent:#}");
    let patient = records[0].patient.as_ref().expect("whose");
    assert_eq!((&patient.ins, &patient.oid), (&subject().ins, &subject().oid));
    let record = v1::Record { tag: TAG.to_vec(), ..records[0].record.clone() };
    let record = ParsedRecord::from_message(record).expect("a record");
    match Event::of(&record).expect("understood") {
        Some(Event::Directive(directive)) => Some(*directive),
        _ => None,
    }
}

#[test]
fn profiles_of_consents_are_claimed_where_they_hold() {
    let claimed = |details: Value| {
        let all = resources(vec![line(1, given(&details.to_string()))]);
        let consent = all.into_iter().find(|r| r["resourceType"] == "Consent").expect("a Consent");
        consent["meta"]["profile"][0].as_str().and_then(|url| url.rsplit('.').next()).map(str::to_owned)
    };
    let basic =
        json!({"id": "c", "effect": "permit", "grantee": {"organisation": "F100"}, "actions": ["read", "search"]});
    let with = |name: &str, value: Value| {
        let mut details = basic.clone();
        details[name] = value;
        details
    };
    assert_eq!(claimed(basic.clone()).as_deref(), Some("consentBasic"));
    assert_eq!(claimed(with("items", json!(["Observation/1"]))).as_deref(), Some("consentIntermediate"));
    assert_eq!(claimed(with("labels", json!(["PSY"]))).as_deref(), Some("consentAdvanced"));
    assert_eq!(claimed(with("labels", json!(["VIP"]))), None, "not of its value set");
    assert_eq!(claimed(with("actions", json!(["read"]))), None, "PCF has no actions");
}

/// Every URL of our own extensions in a resource, with the name of each part.
fn extension_names(value: &Value, out: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for list in ["extension", "modifierExtension"] {
                for extension in members.get(list).and_then(Value::as_array).into_iter().flatten() {
                    let url = extension["url"].as_str().unwrap_or_default();
                    if let Some(name) = url.strip_prefix(&format!("{OURS}/StructureDefinition/")) {
                        out.insert(name.to_owned());
                    }
                }
            }
            members.values().for_each(|inner| extension_names(inner, out));
        }
        Value::Array(items) => items.iter().for_each(|item| extension_names(item, out)),
        _ => {}
    }
}

#[test]
fn an_exception_is_for_who_knows_that_it_counts_inside_only() {
    let details = json!({"id": "c", "effect": "deny", "grantee": "anyone", "except": [
        {"effect": "permit", "grantee": {"organisation": "F100"}, "actions": ["read"], "purposes": ["TREAT"]}]});
    let all = resources(vec![line(1, given(&details.to_string()))]);
    let consent = all.iter().find(|r| r["resourceType"] == "Consent").expect("a Consent");
    let inner = &consent["provision"]["provision"][0];
    let inside = json!([{"url": format!("{OURS}/StructureDefinition/counts-inside-only"), "valueBoolean": true}]);
    assert_eq!((&inner["modifierExtension"], inner.get("extension")), (&inside, None));
    // As exports of before wrote it.
    let mut before = consent.clone();
    let inner = before["provision"]["provision"][0].as_object_mut().expect("a provision");
    let inside = inner.remove("modifierExtension").expect("there");
    inner.insert("extension".into(), inside.clone());
    assert_eq!(import(&before), import(consent));
    // Nowhere else, and of nobody else.
    for place in ["/provision", ""] {
        let mut elsewhere = consent.clone();
        elsewhere.pointer_mut(place).expect("there")["modifierExtension"] = inside.clone();
        assert!(map(elsewhere.to_string().as_bytes(), &PatientMap::default()).is_err(), "{place}");
    }
    let mut of_others = consent.clone();
    of_others["identifier"] = json!([{"system": "urn:x", "value": "c"}]);
    of_others["extension"] = json!([]);
    drop(of_others.as_object_mut().expect("object").remove("extension"));
    drop(of_others["provision"].as_object_mut().expect("object").remove("extension"));
    drop(of_others["provision"]["provision"][0]["actor"][0].as_object_mut().expect("object").remove("extension"));
    let error = map(of_others.to_string().as_bytes(), &PatientMap::default()).expect_err("no export of ours");
    assert!(error.path.contains("provision[0].modifierExtension"), "{error}");
}

#[test]
fn a_request_that_was_granted_or_refused_does_not_return_as_a_reading() {
    for answer in ["permit", "deny"] {
        let details = json!({"authorisation": answer, "type": "110113"}).to_string();
        let asked = v1::Record { details, outcome: v1::Outcome::SeriousFailure.into(), ..reading() };
        let event = resources(vec![line(1, asked.clone())]).remove(0);
        assert_eq!(event["type"]["code"], "110113", "{event:#}");
        assert!(!event["subtype"].to_string().contains("restful"), "{event:#}");
        let back = map(event.to_string().as_bytes(), &PatientMap::default()).expect("imports");
        assert_eq!((&back[0].record.details, back[0].record.outcome), (&asked.details, asked.outcome));
        assert_eq!(back[0].record.kind, u32::from(Kind::ACCESS_READ.code()));
    }
}

fn line_text() -> BoxedStrategy<String> {
    prop_oneof![2 => Just(String::new()), 3 => "[A-Za-z0-9é/#|:._ -]{0,12}[a-z]"]
        .prop_map(|text| text.trim().to_owned())
        .boxed()
}

fn actor_of_anyone() -> BoxedStrategy<v1::Actor> {
    let named = prop_oneof![
        Just(("urn:oid:1.2.250.1.71.4.2.1".to_owned(), "10100534436".to_owned())),
        Just(("urn:sillage:patient".to_owned(), "self".to_owned())),
        "[a-z]{1,8}".prop_map(|id| ("urn:sillage:fhir:display".to_owned(), id)),
        "[a-z]{1,8}/[0-9]".prop_map(|id| ("urn:sillage:fhir:reference".to_owned(), id)),
        "[a-z]{1,8}".prop_map(|id| ("urn:example:people".to_owned(), id)),
        Just((String::new(), String::new())),
    ];
    let words = (line_text(), prop_oneof![Just(String::new()), Just("750712184".to_owned())], line_text());
    let actor = (named, words).prop_map(|((system, id), (role, organisation, label))| {
        let label = if id.is_empty() && label.is_empty() { "x".to_owned() } else { label };
        v1::Actor { system, id, role, organisation, label }
    });
    actor.boxed()
}

fn code_text() -> BoxedStrategy<String> {
    prop_oneof![Just(String::new()), Just("110153".to_owned()), Just("IRCP".to_owned()), "[A-Za-z0-9-]{1,8}"].boxed()
}

prop_compose! {
    fn item()(
        id in line_text(), category in line_text(), depositor in prop_oneof![Just(String::new()), Just("urn:x|1".to_owned())],
        labels in proptest::collection::vec(prop_oneof!["[A-Z]{1,4}", "[a-z]{1,3}( |  )[a-zé]{1,3}"], 0..3), label in line_text(),
    ) -> v1::Item {
        let label = if id.is_empty() && category.is_empty() && label.is_empty() { "x".to_owned() } else { label };
        v1::Item { id, category, labels, depositor, label }
    }
}

/// Any access or movement, in whatever of its fields.
fn any_access() -> BoxedStrategy<v1::Record> {
    let kinds: Vec<Kind> = Kind::ALL.iter().copied().filter(|kind| kind.is_access() || kind.is_movement()).collect();
    let basis = prop_oneof![
        Just(None),
        (2_i32..7, line_text()).prop_map(|(kind, r#ref)| Some(v1::Basis { kind, r#ref })),
        (1_u64..99)
            .prop_map(|index| Some(v1::Basis { kind: v1::BasisKind::Decision.into(), r#ref: index.to_string() })),
    ];
    let auth = (line_text(), line_text(), prop_oneof![Just(""), Just("high")]);
    let auth =
        auth.prop_map(|(issuer, method, level)| v1::Authentication { issuer, method, eidas_level: level.into() });
    let place = (line_text(), line_text(), line_text(), line_text());
    let place = place.prop_map(|(site, network_address, device, observer)| v1::Place {
        site,
        network_address,
        device,
        observer,
    });
    let agent = (code_text(), actor_of_anyone(), line_text(), any::<bool>());
    let agent = agent.prop_map(|(r#type, who, network_address, requestor)| v1::Agent {
        r#type,
        who: Some(who),
        network_address,
        requestor,
    });
    let correlation = (line_text(), proptest::collection::vec("[a-z0-9-]{1,9}", 0..3));
    let correlation = correlation.prop_map(|(launch_context, ids)| v1::Correlation { launch_context, ids });
    let details = prop_oneof![
        Just(String::new()),
        Just(r#"{"authorisation":"deny"}"#.to_owned()),
        Just(r#"{"b":1.10,"purposes":["HPAYMT","two  spaces"],"queries":["Patient?x=1"]}"#.to_owned()),
        Just(r#"{"part":{"of":"ab","n":1,"parts":2,"items":700}}"#.to_owned()),
    ];
    let what =
        (proptest::collection::vec(item(), 0..4), prop_oneof![Just(""), Just("TREAT"), Just("FooBar")], 0_i32..5);
    let how = (basis, proptest::option::of(auth), proptest::option::of(place), proptest::option::of(correlation));
    let who = (actor_of_anyone(), proptest::option::of(("[a-z]{1,6}", line_text())), any::<bool>());
    let rest = (proptest::collection::vec(agent, 0..3), details, line_text(), proptest::option::of("[a-z ]{0,9}[a-z]"));
    let all = (proptest::sample::select(kinds), what, how, who, rest);
    let record = all.prop_map(|(kind, (items, purpose, outcome), (basis, auth, place, correlation), who, rest)| {
        let ((actor, automated, has_actor), (agents, details, outcome_text, deferred)) = (who, rest);
        let automated = automated.map(|(software, version)| v1::Automated { software, version });
        v1::Record {
            actor: (has_actor || automated.is_none()).then_some(actor),
            automated,
            items,
            purpose: purpose.into(),
            outcome,
            outcome_text,
            basis,
            auth: auth.filter(|auth| *auth != v1::Authentication::default()),
            place: place.filter(|place| *place != v1::Place::default()),
            correlation: correlation.filter(|correlation| *correlation != v1::Correlation::default()),
            deferred: deferred.map(|reason| v1::Deferred { reason: reason.trim().to_owned() }),
            agents,
            details,
            ..new_message(kind, Some(&TAG), NOW_MS)
        }
    });
    record.boxed()
}

/// As it is elsewhere: a basis that points into this log says so.
fn elsewhere(mut record: v1::Record) -> v1::Record {
    if let Some(basis) = &mut record.basis
        && matches!(basis.kind(), v1::BasisKind::Decision | v1::BasisKind::Breakglass)
        && !basis.r#ref.is_empty()
        && !crate::import::audit_event::is_foreign(&basis.r#ref)
    {
        basis.r#ref = format!("sillage.example/test#{}", basis.r#ref);
    }
    record.original = None;
    record.tag = Vec::new();
    record
}

fn word() -> BoxedStrategy<String> {
    let known = ["TREAT", "HRESCH", "N", "R", "PSY", "DocumentReference", "REPORT", "read", "FooBar"];
    prop_oneof![
        proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        "[A-Za-z0-9éß#/|:._-]{1,12}( [a-z]{1,5})?",
    ]
    .boxed()
}

fn words() -> BoxedStrategy<Option<Vec<String>>> {
    proptest::option::of(proptest::collection::vec(word(), 1..4)).boxed()
}

fn name() -> BoxedStrategy<ActorName> {
    let named = prop_oneof![
        "[1-9][0-9]{10}".prop_map(|id| ("urn:oid:1.2.250.1.71.4.2.1".to_owned(), id)),
        "[A-Za-z0-9|/@ .-]{0,10}[a-z]".prop_map(|id| ("urn:sillage:fhir:reference".to_owned(), id.trim().to_owned())),
        "[a-z]{1,8}(@[0-9])?".prop_map(|id| ("urn:sillage:app".to_owned(), id)),
        Just(("urn:sillage:patient".to_owned(), "self".to_owned())),
    ];
    named.prop_map(|(system, id)| ActorName::new(&system, &id).expect("a name")).boxed()
}

fn grantee() -> BoxedStrategy<Grantee> {
    let keys = (
        proptest::option::of(name()),
        proptest::option::of(name()),
        proptest::option::of(word()),
        proptest::option::of(word()),
        proptest::option::of(word()),
        proptest::option::of(name()),
        proptest::option::of(name()),
    );
    let keys = keys.prop_map(|(professional, person, organisation, profession, team, app, project)| GranteeKeys {
        professional,
        person,
        organisation,
        profession,
        team,
        app,
        project,
    });
    let keys = keys.prop_filter("names someone", |keys| *keys != GranteeKeys::default());
    prop_oneof![1 => Just(Grantee::Anyone), 4 => keys.prop_map(|keys| Grantee::Keys(Box::new(keys)))].boxed()
}

fn actions() -> impl Strategy<Value = Option<Vec<Action>>> {
    let any = proptest::collection::vec(proptest::sample::select(Action::ALL), 1..5);
    prop_oneof![Just(None), Just(Some(ACTIONS_ASSUMED.to_vec())), any.prop_map(Some)]
}

fn period() -> impl Strategy<Value = (Option<TimeMs>, Option<TimeMs>)> {
    let time = || proptest::option::of((0..4_000_000_000_000_u64).prop_map(TimeMs));
    (time(), time()).prop_filter("not empty", |(from, until)| {
        // As it is admitted: an absent start is the moment of recording.
        until.is_none_or(|until| from.map_or(NOW_MS + 2, |from| from.0) < until.0)
    })
}

prop_compose! {
    fn provision()(
        effect in proptest::sample::select(Effect::ALL),
        grantee in proptest::option::of(grantee()),
        actions in actions(),
        categories in words(),
        labels in words(),
        items in words(),
        purposes in words(),
        (from, until) in period(),
    ) -> Provision {
        Provision { effect, grantee, actions, categories, labels, items, purposes, from, until }
    }
}

/// Whatever the ledger admits: a permit has a grantee and actions.
fn outer() -> impl Strategy<Value = Provision> {
    (provision().boxed(), grantee(), actions()).prop_filter_map("admitted", |(mut provision, grantee, actions)| {
        if provision.effect == Effect::Permit {
            provision.grantee = Some(grantee).filter(|grantee| *grantee != Grantee::Anyone);
            provision.actions = actions;
            provision.grantee.as_ref()?;
            provision.actions.as_ref()?;
        }
        Some(provision)
    })
}

prop_compose! {
    fn directive()(
        id in "[A-Za-z0-9/#é -]{0,20}[a-z]",
        provision in outer().boxed(),
        supersedes in proptest::option::of(word()),
        except in proptest::collection::vec(provision().boxed(), 0..4),
        collected in proptest::option::of((name(), word(), word())),
    ) -> Directive {
        let collected = collected.map(|(collector, capacity, method)| {
            Collected { collector, capacity, method, evidence_sha256: [3; 32].into() }
        });
        Directive { id: id.trim().to_owned(), provision, supersedes, except, collected }
    }
}

/// Extensions of events that come back, and who reads them: `client/src/fhir`.
const READ: [&str; 14] = [
    "entry",
    "legal-basis",
    "authentication",
    "automated",
    "deferred",
    "details",
    "place",
    "launch-context",
    "actor",
    "participant",
    "category",
    "depositor",
    "label",
    "voided",
];

proptest! {
    #[test]
    fn every_access_comes_back_as_it_was(record in any_access()) {
        let parsed = ParsedRecord::from_message(record.clone());
        prop_assume!(parsed.is_ok());
        let event = resources(vec![line(1, record.clone())]).remove(0);
        let mut names = std::collections::BTreeSet::new();
        extension_names(&event, &mut names);
        let unread: Vec<_> = names.iter().filter(|name| !READ.contains(&name.as_str())).collect();
        prop_assert!(unread.is_empty(), "written and not read: {:?}", unread);
        let back = map(event.to_string().as_bytes(), &PatientMap::default());
        let back = back.unwrap_or_else(|error| panic!("{error}: {event:#}"));
        prop_assert_eq!(back.len(), 1);
        prop_assert_eq!(elsewhere(back[0].record.clone()), elsewhere(record.clone()), "{:#}", event);
        // And again.
        let again = v1::Record { tag: TAG.to_vec(), ..elsewhere(record) };
        let event = resources(vec![line(1, again.clone())]).remove(0);
        let back = map(event.to_string().as_bytes(), &PatientMap::default()).expect("imports");
        prop_assert_eq!(elsewhere(back[0].record.clone()), elsewhere(again));
    }

    #[test]
    fn every_directive_comes_back_as_it_was(directive in directive().boxed()) {
        let message = given(&directive.to_details());
        let record = ParsedRecord::from_message(message.clone()).expect("a record");
        let before = Event::of(&record).expect("understood").expect("decides");
        prop_assert_eq!(&before, &Event::Directive(Box::new(directive.clone())));
        let replaced = directive.supersedes.as_ref().filter(|id| **id != directive.id).map(|id| {
            line(1, given(&json!({"id": id, "effect": "deny", "grantee": "anyone"}).to_string()))
        });
        let all = resources(replaced.into_iter().chain([line(2, message)]).collect());
        let consent = all.iter().find(|r| r["id"] == "d2").expect("a Consent");
        let mut expected = directive;
        // An end needs a beginning to come back: the moment at which it was recorded, which is what it meant.
        if expected.provision.until.is_some() {
            expected.provision.from.get_or_insert(TimeMs(NOW_MS + 2));
        }
        // What never held isn't exported, and nothing replaces it elsewhere.
        if !all.iter().any(|r| r["id"] == "d1") {
            expected.supersedes = None;
        }
        prop_assert_eq!(import(consent), Some(expected), "{:#}", consent);
    }
}
