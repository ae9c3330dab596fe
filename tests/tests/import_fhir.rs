//! `sillage import --fhir`: FHIR R4 AuditEvents become records, with the original kept as it came.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sillage_client::author::{NewRecord, Recorder, TagRequest, open_stream, prepare, tags_of};
use sillage_client::channel::Timeouts;
use sillage_client::import::{Became, Import, OnRecord, Outcome};
use sillage_client::outbox::Source;
use sillage_client::outbox::source::DocumentKey;
use sillage_client::session::Session;
use sillage_fhir::import::PatientMap;
use sillage_fhir::import::source::Document;
use sillage_proto::v1::{GetEntryRequest, Record};
use sillage_rules::ident::Ins;
use sillage_rules::stream::StreamLabel;
use sillage_tests::lines::{OID, audit_event, ins};
use sillage_tests::story::tell;
use sillage_tests::world::{Run, World};
use sillage_tests::{fixtures, stories, wire};

fn main() -> ExitCode {
    tell(
        World::begin,
        stories![
            a_file_a_bundle_ndjson_and_a_folder_are_read,
            the_original_is_kept_byte_for_byte,
            patients_come_through_the_map_or_not_at_all,
            what_was_done_is_mapped,
            an_event_without_a_patient_is_an_event_of_the_system,
            what_is_not_an_event_is_refused_with_its_path,
            a_second_import_records_nothing_twice,
            what_a_folder_holds_is_read_or_named,
            an_event_is_one_access_however_often_it_comes,
            two_servers_relative_names_are_two_actors_and_two_items,
            what_was_imported_without_its_server_is_known_with_it,
            what_a_version_before_imported_is_known,
            a_large_access_is_recorded_whole_and_shown_as_one,
            a_consent_that_was_ended_says_so_when_it_is_imported_again,
            a_service_hands_in_documents_one_by_one,
            a_document_is_recorded_once_whatever_breaks_off_its_run,
            published_examples_import,
            a_published_counterexample_is_refused,
        ],
    )
}

fn import(world: &World, path: &Path, more: &[&str]) -> Run {
    world.sillage(&[&["import", "--fhir", &path.to_string_lossy()], more].concat())
}

/// The trace of the demonstration identity that a reference gets.
fn trace(world: &World, reference: &str) -> Vec<Value> {
    let ins = Ins::demo(reference);
    let args = ["trace", "--patient", ins.value(), "--oid", ins.oid().as_str(), "--limit", "500", "--json"];
    world.sillage(&args).ok().json_lines()
}

/// The accesses of that trace: who reads it is on record too.
fn accesses(world: &World, reference: &str) -> Vec<Value> {
    let is_access = |line: &Value| line["kind"].as_str().is_some_and(|kind| kind.starts_with("access."));
    trace(world, reference).into_iter().filter(is_access).collect()
}

/// The record at an index, opened.
fn opened(world: &World, index: &Value) -> Record {
    let profile = world.profile();
    let mut rpc = wire::rpc(&profile, 1, Some(&wire::pem_of(&profile)));
    let index = index.as_u64().expect("an index");
    let entry = world.wait(rpc.get_entry(GetEntryRequest { index })).expect("the entry").into_inner();
    <Record as prost::Message>::decode(&entry.record[..]).expect("a record")
}

fn a_file_a_bundle_ndjson_and_a_folder_are_read(world: &mut World) {
    let one = audit_event("many", "one").to_string();
    let bundled = |name: &str| json!({"resource": audit_event("many", name)});
    let bundle = json!({"resourceType": "Bundle", "type": "collection", "entry": [bundled("two"), bundled("three")]});
    let lines: String = ["four", "five"].iter().map(|name| format!("{}\n", audit_event("many", name))).collect();
    let folder = world.path("folder");
    world.write("folder/a.json", &one);
    world.write("folder/sub/b.json", bundle.to_string());
    world.write("folder/sub/c.ndjson", lines);

    let run = import(world, &folder, &["--demo-patients"]).ok();
    let printed = run.json_lines();
    assert_eq!(printed.len(), 5, "{run}");
    for (line, file) in printed.iter().zip(["a.json", "b.json", "b.json", "c.ndjson", "c.ndjson"]) {
        assert!(line["file"].as_str().is_some_and(|name| name.contains(file)) && line["index"].is_u64(), "{line}");
    }
    assert_eq!(trace(world, "Patient/many").len(), 5);
    // Nobody else knows under which identity they are on record.
    let made = Ins::demo("Patient/many");
    let named = json!({"ins": made.value(), "oid": made.oid().as_str()});
    assert!(printed.iter().all(|line| line["demo_patient"] == named), "{run}");
}

fn the_original_is_kept_byte_for_byte(world: &mut World) {
    // Spaces, the order of fields, escapes and numbers stay as they were written.
    let compact = audit_event("original", "é").to_string();
    let odd = compact.replacen("{\"action\"", "{\n\t \"action\"", 1).replacen('é', "\\u00e9", 1);
    assert_ne!(compact, odd);
    let file = world.write("odd.json", &odd);
    let run = import(world, &file, &["--demo-patients"]).ok();
    let record = opened(world, &run.json_lines()[0]["index"]);
    let original = record.original.expect("the original");
    assert_eq!(original.media_type, "application/fhir+json");
    assert_eq!(String::from_utf8(original.content).expect("UTF-8"), odd);
}

fn patients_come_through_the_map_or_not_at_all(world: &mut World) {
    let file = world.write("mapped.json", audit_event("mapped", "a").to_string());
    let refused = import(world, &file, &[]);
    assert_eq!(refused.code, Some(1), "{refused}");
    let line = &refused.json_lines()[0];
    assert!(line["error"].as_str().is_some_and(|why| why.contains("--patient-map")), "{line}");
    assert!(line["path"].as_str().is_some_and(|path| path.contains("entity[0]")), "{line}");

    let patient = ins(200);
    let csv = world.write("map.csv", format!("reference,ins,oid\nPatient/mapped,{patient},{OID}\n"));
    import(world, &file, &["--patient-map", &csv.to_string_lossy()]).ok();
    let trace = world.sillage(&["trace", "--patient", &patient, "--oid", OID, "--kind", "access", "--json"]).ok();
    assert_eq!(trace.lines().len(), 1, "{trace}");

    let other = world.write("other.json", audit_event("other", "b").to_string());
    let map = json!({"Patient/other": {"ins": patient, "oid": OID}}).to_string();
    let map = world.write("map.json", map);
    import(world, &other, &["--patient-map", &map.to_string_lossy()]).ok();
    let trace = world.sillage(&["trace", "--patient", &patient, "--oid", OID, "--kind", "access", "--json"]).ok();
    assert_eq!(trace.lines().len(), 2, "{trace}");
}

fn what_was_done_is_mapped(world: &mut World) {
    let mut broken = audit_event("done", "glass");
    broken["subtype"][0]["code"] = json!("update");
    broken["action"] = json!("U");
    broken["outcome"] = json!("8");
    broken["outcomeDesc"] = json!("timed out");
    broken["purposeOfEvent"][0]["coding"][0]["code"] = json!("BTG");
    let lines = format!("{}\n{broken}\n", audit_event("done", "plain"));
    let file = world.write("done.ndjson", lines);
    import(world, &file, &["--demo-patients"]).ok();
    let trace = trace(world, "Patient/done");
    let [failed, plain] = &trace[..] else { panic!("two events: {trace:?}") };
    assert_eq!(plain["kind"], "access.read");
    assert_eq!(plain["actor"]["id"], "10100534436", "normalised to 11 digits");
    assert_eq!(plain["actor"]["label"], "Dr Claire Dubois");
    assert_eq!(plain["occurred_at"], "2026-02-03T09:11:12.345Z");
    assert_eq!(plain["purpose"], "TREAT", "{plain}");
    assert_eq!(plain["outcome"], "success", "{plain}");
    assert!(plain["items"].to_string().contains("DocumentReference/plain"), "{plain}");
    assert_eq!(failed["kind"], "access.update", "{failed}");
    assert_eq!(failed["purpose"], "BTG", "{failed}");
    assert_eq!(failed["outcome"], "serious_failure", "{failed}");
    assert_eq!(failed["outcome_text"], "timed out", "{failed}");
}

fn an_event_without_a_patient_is_an_event_of_the_system(world: &mut World) {
    let mut started = audit_event("nobody", "x");
    started.as_object_mut().expect("an object").remove("entity");
    let file = world.write("started.json", started.to_string());
    let run = import(world, &file, &[]).ok();
    let index = run.json_lines()[0]["index"].clone();
    let entry = world.sillage(&["entry", &index.to_string(), "--json"]).ok().json();
    assert_eq!(entry["kind"], "system.event");
    let record = opened(world, &index);
    assert!(record.tag.is_empty());
    assert_eq!(record.original.expect("the original").content, started.to_string().into_bytes());
}

fn what_is_not_an_event_is_refused_with_its_path(world: &mut World) {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut event = audit_event("refused", "x");
        change(&mut event);
        event
    };
    let cases = [
        (with(&|e| e["resourceType"] = json!("Patient")), "resourceType"),
        (with(&|e| drop(e.as_object_mut().expect("an object").remove("agent"))), "agent"),
        (with(&|e| e["agent"][0]["userId"] = json!({"value": "Grahame"})), "agent[0]"),
        (with(&|e| e["recorded"] = json!("yesterday")), "recorded"),
        (with(&|e| e["recorded"] = json!("2999-01-01T00:00:00Z")), ""),
    ];
    for (i, (event, path)) in cases.iter().enumerate() {
        // One that is refused does not hold back its neighbours.
        let lines = format!("{}\n{event}\n", audit_event("neighbour", &i.to_string()));
        let file = world.write(&format!("refused-{i}.ndjson"), lines);
        let run = import(world, &file, &["--demo-patients"]);
        assert_eq!(run.code, Some(1), "{run}");
        let printed = run.json_lines();
        assert_eq!(printed.len(), 2, "{run}");
        let refused = printed.iter().find(|line| line.get("error").is_some()).expect("the refusal");
        assert!(refused["path"].as_str().is_some_and(|said| said.contains(path)), "{path}: {refused}");
        assert!(refused["error"].as_str().is_some_and(|why| !why.is_empty()), "{refused}");
    }
    assert_eq!(trace(world, "Patient/neighbour").len(), cases.len());
    assert!(trace(world, "Patient/refused").is_empty());

    let file = world.write("torn.json", "{\"resourceType\": \"AuditEvent\", ");
    assert_eq!(import(world, &file, &["--demo-patients"]).code, Some(1));
    assert_ne!(import(world, &world.path("no-such-folder"), &["--demo-patients"]).code, Some(0));
}

fn a_second_import_records_nothing_twice(world: &mut World) {
    let file = world.write("again.ndjson", format!("{}\n{}\n", audit_event("again", "1"), audit_event("again", "2")));
    let first = import(world, &file, &["--demo-patients"]).ok();
    let second = import(world, &file, &["--demo-patients"]).ok();
    assert_eq!(first.json_lines(), second.json_lines());
    assert_eq!(trace(world, "Patient/again").len(), 2);
}

fn what_a_folder_holds_is_read_or_named(world: &mut World) {
    let packed = |text: String| {
        let mut gzip = std::process::Command::new("gzip");
        gzip.arg("-c").stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = gzip.spawn().expect("gzip");
        std::io::Write::write_all(&mut child.stdin.take().expect("piped"), text.as_bytes()).expect("written");
        child.wait_with_output().expect("packed").stdout
    };
    let event = |name: &str| audit_event("named", name).to_string();
    let folder = world.path("mixed");
    world.write("mixed/a.ndjson.gz", packed(format!("{}\n{}\n", event("1"), event("2"))));
    world.write("mixed/b.ndjson", format!("\u{feff}{}\r\n\r\n{}\r\n", event("3"), event("4")));
    world.write("mixed/sub/c.json", format!("\u{feff}{}", event("5")));
    let all = import(world, &folder, &["--demo-patients"]).ok();
    assert_eq!(all.json_lines().len(), 5, "{all}");
    world.write("mixed/d.xml", "<AuditEvent xmlns='http://hl7.org/fhir'/>");
    world.write("mixed/sub/e.zip", "PK");
    world.write("mixed/readme", "not an event");
    let named = import(world, &folder, &["--demo-patients"]);
    assert_eq!(named.code, Some(1), "{named}");
    let lines = named.json_lines();
    let refused: Vec<&Value> = lines.iter().filter(|line| line.get("error").is_some()).collect();
    assert_eq!(lines.len(), 8, "a line for each event and each file that is refused: {named}");
    assert_eq!(refused.len(), 3, "{named}");
    for name in ["d.xml", "e.zip", "readme"] {
        assert!(refused.iter().any(|line| line["file"].as_str().is_some_and(|file| file.ends_with(name))), "{name}");
    }
    for (name, text, word) in
        [("array.ndjson", format!("[{}]", event("6")), "NDJSON"), ("x.json", "<AuditEvent/>".to_owned(), "namespace")]
    {
        let file = world.write(name, text);
        let run = import(world, &file, &["--demo-patients"]);
        assert!(run.code == Some(1) && run.json_lines()[0]["error"].to_string().contains(word), "{run}");
    }
    assert_eq!(accesses(world, "Patient/named").len(), 5);
}

/// An event of a server: id, version, what it says.
fn of_server(patient: &str, id: &str, document: &str) -> Value {
    let mut event = audit_event(patient, document);
    event["id"] = json!(id);
    event["meta"] = json!({"versionId": "1"});
    event
}

/// A page of a search, as servers answer it.
fn page(base: &str, events: &[Value]) -> Value {
    let entry = |event: &Value| {
        let id = event["id"].as_str().expect("an id");
        json!({"fullUrl": format!("{base}/AuditEvent/{id}"), "resource": event})
    };
    json!({"resourceType": "Bundle", "type": "searchset", "entry": events.iter().map(entry).collect::<Vec<_>>()})
}

fn an_event_is_one_access_however_often_it_comes(world: &mut World) {
    let (a, b) = ("https://a.example/fhir", "https://b.example/fhir");
    let event = |id: &str| of_server("once", id, id);
    let count = |world: &World| accesses(world, "Patient/once").len();
    // Pages that overlap, in one import; the second one laid out otherwise.
    let first = world.write("p1.json", page(a, &[event("1"), event("2")]).to_string());
    let second = world.write("p2.json", format!("{:#}", page(a, &[event("2"), event("3")])));
    let both = [&*first.to_string_lossy(), &*second.to_string_lossy()].map(str::to_owned);
    let run = world.sillage(&["import", "--fhir", &both[0], &both[1], "--demo-patients"]).ok();
    let indices = |run: &Run| run.json_lines().iter().map(|line| line["index"].clone()).collect::<Vec<_>>();
    let at = indices(&run);
    assert_eq!(at.len(), 4, "a line for each event: {run}");
    assert_eq!(at[1], at[2], "the second one is the same event: {run}");
    assert_eq!(count(world), 3, "nothing is recorded twice: {run}");
    // In another run, as a file of that server.
    let again = world.write("again-2.json", format!("{:#}", event("2")));
    let run = import(world, &again, &["--demo-patients", "--source", a]).ok();
    assert_eq!(indices(&run), [at[1].clone()], "it names the record of before: {run}");
    assert_eq!(count(world), 3, "nothing is recorded twice: {run}");
    // The same id at another hospital is another event.
    let other = world.write("other.json", page(b, &[event("1")]).to_string());
    import(world, &other, &["--demo-patients"]).ok();
    assert_eq!(count(world), 4);
    // The same id with other content is recorded, and reported.
    let changed = of_server("once", "1", "changed");
    let changed = world.write("changed.json", page(a, &[changed]).to_string());
    let run = import(world, &changed, &["--demo-patients"]).ok();
    assert_eq!(run.json_lines()[0]["differs_from"], at[0], "{run}");
    assert_eq!(count(world), 5, "other content is recorded: {run}");
    // Without an id, equal ones of one run are as many accesses.
    let plain = audit_event("once", "plain").to_string();
    let file = world.write("plain.ndjson", format!("{plain}\n{plain}\n"));
    for _ in 0..2 {
        import(world, &file, &["--demo-patients"]).ok();
        assert_eq!(count(world), 7);
    }
}

/// An event whose actor, structure and item have nothing but relative names.
fn relative(patient: &str) -> Value {
    let mut event = audit_event(patient, "relative");
    event["agent"] = json!([
        {"who": {"reference": "Practitioner/1"}, "requestor": true},
        {"who": {"reference": "Device/1"}, "requestor": false}
    ]);
    event
}

fn two_servers_relative_names_are_two_actors_and_two_items(world: &mut World) {
    let named = |world: &World, patient: &str| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let lines = accesses(world, patient);
        let mut out: Vec<_> =
            lines.iter().map(|line| (text(&line["actor"]["id"]), text(&line["items"][0]["id"]))).collect();
        out.sort();
        out
    };
    let file = world.write("relative.json", relative("relative").to_string());
    let (a, b) = ("https://a.example/fhir", "https://b.example/fhir");
    let at = |base: &str| (format!("{base}/Practitioner/1"), format!("{base}/DocumentReference/relative"));
    // The same bytes from two servers, without an id: two accesses, each once.
    for _ in 0..2 {
        for base in [a, b] {
            let run = import(world, &file, &["--demo-patients", "--source", base]).ok();
            assert!(!run.stderr.contains("--source"), "{run}");
        }
    }
    assert_eq!(named(world, "Patient/relative"), [at(a), at(b)]);
    // Without a server the name stays as it stands, and that is said.
    let run = import(world, &file, &["--demo-patients", "--lang", "fr"]).ok();
    assert!(run.stderr.contains("`Practitioner/1` ne nomme aucun serveur") && run.stderr.contains("--source"), "{run}");
    let plain = ("Practitioner/1".to_owned(), "DocumentReference/relative".to_owned());
    assert_eq!(named(world, "Patient/relative"), [plain, at(a), at(b)]);
}

fn what_was_imported_without_its_server_is_known_with_it(world: &mut World) {
    // As the version before recorded it, whatever --source said: known by its bytes and by the record made of them.
    let json = relative("known").to_string().into_bytes();
    let map = sillage_fhir::import::PatientMap::empty(true);
    let mapped = sillage_fhir::import::map(&json, &map).expect("imports").remove(0);
    let session = world.wait(Session::open(world.profile(), Timeouts::default())).expect("a session");
    let patient = mapped.patient.clone().expect("whose");
    let patient = Some(TagRequest { ins: patient.ins, oid: patient.oid, secret: false });
    let record = NewRecord { patient, record: mapped.record };
    let records = world.wait(prepare(&tags_of(&session), vec![record])).expect("a record");
    let keys = Source::Keys(vec![DocumentKey::new(&json, &records[0], 0)]);
    let sent = async {
        let signer = Arc::new(session.signer(session.profile.author_signing_key()?).await?);
        let label = StreamLabel::parse(&session.profile.stream).expect("a label");
        open_stream(&session, signer, label, true).await?.send(records.clone(), keys).await
    };
    let recorded = world.wait(sent).expect("on record").first_index;
    let file = world.write("known.json", json);
    for source in [&["--source", "https://a.example/fhir"][..], &[]] {
        let run = import(world, &file, &[&["--demo-patients"], source].concat()).ok();
        assert_eq!(run.json_lines()[0]["index"], recorded, "{run}");
    }
    assert_eq!(accesses(world, "Patient/known").len(), 1, "nothing was recorded again");
}

/// The server that the documents of a service are from.
const SERVER: &str = "https://a.example/fhir";

/// One run of an import, as a service makes it, on a stream of its own.
async fn handed_in(session: &Session, recorder: &mut Recorder, documents: &[Vec<u8>]) -> Vec<Outcome<usize>> {
    let patients = PatientMap::empty(true).of_server(SERVER);
    let mut import = Import::new(session, recorder, &patients, SERVER);
    for (at, json) in documents.iter().enumerate() {
        import.take(at, Document::of_server(json.clone(), SERVER)).await.expect("taken");
    }
    import.flush().await.expect("sent");
    import.outcomes()
}

fn on_record(outcome: &Outcome<usize>) -> &OnRecord {
    match &outcome.became {
        Became::OnRecord(on_record) => on_record,
        other => panic!("not on record: {other:?}"),
    }
}

fn a_service_hands_in_documents_one_by_one(world: &mut World) {
    let session = world.wait(Session::open(world.profile(), Timeouts::default())).expect("a session");
    let label = StreamLabel::parse("door.1").expect("a label");
    let mut recorder = world.wait(Recorder::open_stream(&session, label, None)).expect("a recorder");
    let event = |name: &str| audit_event("service", name).to_string().into_bytes();
    let documents = [event("one"), b"{}".to_vec(), event("two")];

    let first = world.wait(handed_in(&session, &mut recorder, &documents));
    assert_eq!(first.iter().map(|outcome| outcome.from).collect::<Vec<_>>(), [0, 1, 2]);
    let (one, two) = (on_record(&first[0]), on_record(&first[2]));
    assert_eq!((one.is_repeated, two.is_repeated, two.index), (false, false, one.index + 1));
    let places = [one, two].map(|on_record| on_record.place.expect("its batch"));
    assert_eq!(places.map(|place| (place.seq, place.position)), [(1, 0), (1, 1)]);
    assert!(matches!(&first[1].became, Became::Refused(refused) if refused.code.is_none()), "{first:?}");

    let again = world.wait(handed_in(&session, &mut recorder, &documents));
    for (again, first) in [(&again[0], one), (&again[2], two)] {
        assert_eq!(on_record(again), &OnRecord { is_repeated: true, ..first.clone() });
    }
}

fn a_document_is_recorded_once_whatever_breaks_off_its_run(world: &mut World) {
    let session = world.wait(Session::open(world.profile(), Timeouts::default())).expect("a session");
    let label = StreamLabel::parse("door.2").expect("a label");
    let mut recorder = world.wait(Recorder::open_stream(&session, label, None)).expect("a recorder");
    let patients = PatientMap::empty(true).of_server(SERVER);
    let cut_after_ms = [1, 5, 10, 20, 40, 80];
    let mut patient = None;
    for ms in cut_after_ms {
        let document = audit_event("broken", &ms.to_string()).to_string().into_bytes();
        world.wait(async {
            let mut import = Import::new(&session, &mut recorder, &patients, SERVER);
            import.take(0, Document::of_server(document.clone(), SERVER)).await.expect("taken");
            // The future is dropped wherever it is, as when a service gives up on its caller.
            let _ = tokio::time::timeout(Duration::from_millis(ms), import.flush()).await;
        });
        let outcomes = world.wait(handed_in(&session, &mut recorder, &[document]));
        patient = on_record(&outcomes[0]).patient.clone();
    }
    let patient = patient.expect("whose");
    let args = ["trace", "--patient", &patient.ins, "--oid", &patient.oid, "--kind", "access", "--json"];
    assert_eq!(world.sillage(&args).ok().lines().len(), cut_after_ms.len(), "each once");
}

fn what_a_version_before_imported_is_known(world: &mut World) {
    // Events with ids, which that version knew by their bytes and by the records that it made of them.
    let mut changed = of_server("before", "2", "read otherwise now");
    changed["agent"][1]["policy"] = json!(["urn:token:1"]);
    changed["purposeOfEvent"][0]["coding"][0]["code"] = json!("BTG");
    let events = [of_server("before", "1", "plain"), changed, of_server("before", "1", "plain")];
    let lines: Vec<Vec<u8>> = events.iter().map(|event| event.to_string().into_bytes()).collect();
    let map = sillage_fhir::import::PatientMap::empty(true);
    let around = sillage_fhir::import::Neighbours::default();
    let session = world.wait(Session::open(world.profile(), Timeouts::default())).expect("a session");
    let records = lines.iter().map(|json| {
        let [mapped] = &sillage_fhir::import::map_as_before(json, &map, &around)[..] else { panic!("one record") };
        let patient = mapped.patient.clone().expect("whose");
        let patient = Some(TagRequest { ins: patient.ins, oid: patient.oid, secret: false });
        NewRecord { patient, record: mapped.record.clone() }
    });
    let records = world.wait(prepare(&tags_of(&session), records.collect())).expect("records");
    let mut occurrences = [0, 0, 1].into_iter();
    let keys = lines.iter().zip(&records);
    let keys = keys.map(|(json, record)| DocumentKey::new(json, record, occurrences.next().expect("three")));
    let keys = Source::Keys(keys.collect());
    let sent = async {
        let signer = Arc::new(session.signer(session.profile.author_signing_key()?).await?);
        let label = StreamLabel::parse(&session.profile.stream).expect("a label");
        open_stream(&session, signer, label, true).await?.send(records.clone(), keys).await
    };
    let recorded = world.wait(sent).expect("on record").first_index;
    let folder = world.path("before");
    world.write("before/all.ndjson", lines.join(&b'\n'));
    let run = import(world, &folder, &["--demo-patients"]).ok();
    let indices: Vec<u64> = run.json_lines().iter().filter_map(|line| line["index"].as_u64()).collect();
    assert_eq!(indices, [recorded, recorded + 1, recorded], "{run}");
    assert_eq!(accesses(world, "Patient/before").len(), 3, "nothing was recorded again");
}

fn a_large_access_is_recorded_whole_and_shown_as_one(world: &mut World) {
    let mut event = of_server("large", "l1", "first");
    let document =
        |i: usize| json!({"what": {"reference": format!("https://h.example/fhir/DocumentReference/{i:032x}")}});
    event["entity"].as_array_mut().expect("entities").extend((0..700).map(document));
    let file = world.write("large.json", event.to_string());
    for _ in 0..2 {
        let run = import(world, &file, &["--demo-patients"]).ok();
        let printed = run.json_lines();
        assert!(printed.len() == 1 && printed[0]["parts"].as_u64().is_some_and(|parts| parts > 1), "{run}");
        let lines = accesses(world, "Patient/large");
        assert_eq!(lines.len(), 1, "one access");
        assert_eq!(lines[0]["items"].as_array().map(Vec::len), Some(701));
        assert_eq!(
            lines[0]["parts"].as_array().map(Vec::len),
            printed[0]["parts"].as_u64().map(|parts| parts as usize)
        );
    }
    let ins = Ins::demo("Patient/large");
    let args = ["trace", "--patient", ins.value(), "--oid", ins.oid().as_str(), "--lang", "en"];
    let text = world.sillage(&args).ok();
    assert!(text.stdout.contains("One access, on record in"), "{text}");
    // A proof and each export show one access, too.
    let [trace, fhir, csv] = ["large.sillage-trace", "large-out.json", "large-out.csv"].map(|name| world.path(name));
    let [proof, policy] = [&trace, &world.dir().join("policy.txt")].map(|path| path.to_string_lossy().into_owned());
    world.sillage(&["prove", "patient", ins.value(), "--oid", ins.oid().as_str(), "--out", &proof]).ok();
    let verified = world.sillage(&["verify", &proof, "--policy", &policy, "--lang", "en"]).ok();
    assert_eq!(verified.stdout.matches("One access, on record in").count(), 1, "{verified}");
    let lines = world.sillage(&["verify", &proof, "--policy", &policy, "--json"]).ok().json();
    let shown: Vec<&Value> =
        lines["lines"].as_array().expect("lines").iter().filter(|line| line["parts"].is_array()).collect();
    assert_eq!(shown.iter().map(|line| line["items"].as_array().map(Vec::len)).collect::<Vec<_>>(), [Some(701)]);
    for (format, out) in [("fhir", &fhir), ("csv", &csv)] {
        let args = ["export", "--patient", ins.value(), "--oid", ins.oid().as_str(), "--format", format, "--out"];
        world.sillage(&[&args[..], &[&*out.to_string_lossy()]].concat()).ok();
        let text = fs::read_to_string(out).expect("an export");
        assert_eq!(text.matches("access.read").count(), 1, "one event: {format}");
    }
}

fn a_consent_that_was_ended_says_so_when_it_is_imported_again(world: &mut World) {
    let coding = |system: &str, code: &str| json!({"system": format!("http://terminology.hl7.org/CodeSystem/{system}"), "code": code});
    let consent = json!({
        "resourceType": "Consent", "id": "ended", "status": "active",
        "scope": {"coding": [coding("consentscope", "patient-privacy")]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"identifier": {"system": format!("urn:oid:{OID}"), "value": ins(201)}},
        "dateTime": "2026-01-05T09:00:00Z",
        "organization": [{"identifier": {"system": "urn:oid:1.2.250.1.71.4.2.2", "value": "750712184"}}],
        "policy": [{"uri": "https://hospital.example/policy"}],
        "provision": {"type": "permit", "purpose": [coding("v3-ActReason", "TREAT")]}
    });
    let file = world.write("ended.json", consent.to_string());
    let first = import(world, &file, &[]).ok().json_lines().remove(0);
    assert_eq!(first.get("revoked"), None);
    assert_eq!(import(world, &file, &[]).ok().json_lines().remove(0), first);
    let mut withdrawn = consent;
    withdrawn["status"] = json!("inactive");
    withdrawn["dateTime"] = json!("2026-01-06T09:00:00Z");
    let withdrawal = world.write("withdrawn.json", withdrawn.to_string());
    import(world, &withdrawal, &[]).ok();
    let again = import(world, &file, &[]).ok().json_lines().remove(0);
    assert_eq!(again["index"], first["index"], "nothing is recorded twice: {again}");
    assert_eq!(again["revoked"], true, "{again}");
}

fn published_examples_import(world: &mut World) {
    let Some(folder) = fixtures::folder("fhir") else { return };
    let mut files: Vec<_> = fs::read_dir(&folder).expect("the folder").flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("AuditEvent")));
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    for file in &files {
        let run = import(world, file, &["--demo-patients"]).ok();
        let printed = run.json_lines();
        assert_eq!(printed.len(), 1, "{run}");
        let record = opened(world, &printed[0]["index"]);
        let document = fs::read(file).expect("the file");
        let kept = record.original.expect("the original").content;
        assert_eq!(kept.trim_ascii(), document.trim_ascii(), "{}", file.display());
    }
}

fn a_published_counterexample_is_refused(world: &mut World) {
    let Some(folder) = fixtures::folder("fhir") else { return };
    let run = import(world, &folder.join("negative-auditevent-old-version.json"), &["--demo-patients"]);
    assert_eq!(run.code, Some(1), "{run}");
    let line = &run.json_lines()[0];
    assert!(line["error"].as_str().is_some_and(|why| !why.is_empty()), "{line}");
    assert!(line["path"].as_str().is_some_and(|path| path.contains("agent[0]")), "{line}");
}
