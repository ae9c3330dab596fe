//! `sillage import --fhir`: FHIR R4 AuditEvents become records, with the original kept as it came.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};
use sillage_proto::v1::{GetEntryRequest, Record};
use sillage_rules::ident::Ins;
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
    world.write("folder/readme.txt", "not an event");

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
    assert_eq!((&plain["purpose"], &plain["outcome"]), (&json!("TREAT"), &json!("success")));
    assert!(plain["items"].to_string().contains("DocumentReference/plain"), "{plain}");
    assert_eq!((&failed["kind"], &failed["purpose"]), (&json!("access.update"), &json!("BTG")));
    assert_eq!((&failed["outcome"], &failed["outcome_text"]), (&json!("serious_failure"), &json!("timed out")));
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
