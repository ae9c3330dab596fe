//! What a trace says in FHIR, and that what decides comes back as it was.

use proptest::prelude::*;
use serde_json::{Value, json};
use sillage_rules::consent::directive::{Collected, Directive, GranteeKeys};
use sillage_rules::consent::{Action, ActorName, Effect, Event, Grantee, Provision};
use sillage_rules::ident::Ins;
use sillage_rules::record::new_message;

use super::*;
use crate::fhir::consent::ACTIONS_ASSUMED;
use crate::fhir::{PatientMap, check, map};

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
    let Some(dir) = crate::fhir::fixtures() else { return };
    let demo = PatientMap::load(None, true).expect("no file to read");
    let mut kept = 0;
    for (path, _) in crate::fhir::source::files(&[dir]) {
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

proptest! {
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
