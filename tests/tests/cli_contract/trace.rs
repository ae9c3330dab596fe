//! `sillage trace`: who accessed what, for the patient to read.

use serde_json::{Value, json};
use sillage_rules::time::TimeMs;
use sillage_tests::lines::{EXAMPLE, INS, OID, access, ins, note_of, with};
use sillage_tests::world::{Run, World};

fn trace(world: &World, ins: &str, args: &[&str]) -> Run {
    world.sillage(&[&["trace", "--patient", ins, "--oid", OID], args].concat())
}

/// The events of a page, and the cursor with which the next one is asked for.
fn page(world: &World, ins: &str, args: &[&str]) -> (Vec<Value>, Option<String>) {
    let mut lines = trace(world, ins, &[args, &["--json"]].concat()).ok().json_lines();
    let last = lines.last_mut().and_then(Value::as_object_mut);
    let cursor = last.and_then(|last| last.remove("next_cursor"));
    let cursor = cursor.map(|cursor| cursor.as_str().expect("a text").to_owned());
    // A page on which nothing matches may still have a next one.
    lines.retain(|line| line.get("index").is_some());
    (lines, cursor)
}

fn notes(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(note_of).collect()
}

pub fn a_trace_is_newest_first_with_the_fields_of_the_record_line(world: &mut World) {
    // Who read it is in the trace too: the other stories did.
    let (lines, cursor) = page(world, INS, &["--kind", "access"]);
    assert_eq!(lines.len(), 1, "the record is one line: {lines:?}");
    assert_eq!(cursor, None, "one page holds the whole trace");
    let example: Value = serde_json::from_str(EXAMPLE).expect("JSON");
    let line = lines[0].as_object().expect("an object");
    for (name, value) in example.as_object().expect("an object") {
        assert_eq!(line.get(name), Some(value), "{name}");
    }
    assert!(line["index"].is_u64());
    assert_eq!(line["flags"], json!(["LATE", "CLAIMED"]), "months before it was recorded, on its own word");
    line["recorded_at"].as_str().expect("a text").parse::<TimeMs>().expect("a time of RFC 3339");

    let patient = ins(20);
    for i in 0..3 {
        world.record(&[access(&patient, &i.to_string())]);
    }
    let (lines, _) = page(world, &patient, &[]);
    assert_eq!(notes(&lines), ["2", "1", "0"]);
    let (none, _) = page(world, &ins(21), &[]);
    assert!(none.is_empty(), "nothing of a patient of whom nothing is on record");
}

pub fn pages_stay_whole_while_entries_arrive(world: &mut World) {
    let patient = ins(22);
    let lines: Vec<Value> = (0..12).map(|i| access(&patient, &i.to_string())).collect();
    world.record(&lines);
    let (mut seen, mut cursor) = page(world, &patient, &["--limit", "5"]);
    assert_eq!(seen.len(), 5);
    let mut pages = 1;
    while let Some(at) = cursor {
        world.record(&[access(&patient, &format!("arrived-{pages}"))]);
        let (more, next) = page(world, &patient, &["--limit", "5", "--cursor", &at]);
        seen.extend(more);
        (cursor, pages) = (next, pages + 1);
    }
    let expected: Vec<String> = (0..12).rev().map(|i| i.to_string()).collect();
    assert_eq!(notes(&seen), expected, "each once, newest first, none of those that arrived meanwhile");
}

pub fn filters_choose(world: &mut World) {
    let patient = ins(23);
    let nurse = json!({"system": "urn:oid:1.2.250.1.71.4.2.1", "id": "10003456786", "role": "nurse",
        "organisation": "690781810", "label": "Inès Moreau"});
    let lines = [
        with(access(&patient, "early"), json!({"occurred_at": "2026-01-10T08:00:00Z"})),
        with(access(&patient, "nurse"), json!({"occurred_at": "2026-02-10T08:00:00Z", "actor": nurse})),
        with(access(&patient, "printed"), json!({"occurred_at": "2026-03-10T08:00:00Z", "kind": "access.print"})),
        with(
            access(&patient, "broken"),
            json!({"occurred_at": "2026-04-10T08:00:00Z", "purpose": "BTG",
            "basis": {"kind": "breakglass", "ref": "urn:example:bg"}}),
        ),
        with(access(&patient, "bare"), json!({"occurred_at": "2026-05-10T08:00:00Z", "basis": null})),
        with(access(&patient, "moved"), json!({"occurred_at": "2026-06-10T08:00:00Z", "kind": "movement.app_sync"})),
    ];
    world.record(&lines);
    let cases: [(&[&str], &[&str]); 11] = [
        (&["--from", "2026-05-01T00:00:00Z"], &["moved", "bare"]),
        (&["--to", "2026-02-10T08:00:00Z"], &["early"]),
        (&["--from", "2026-02-10T08:00:00Z", "--to", "2026-03-10T08:00:01Z"], &["printed", "nurse"]),
        (&["--actor", "10003456786"], &["nurse"]),
        (&["--organisation", "690781810"], &["nurse"]),
        (&["--kind", "access.print"], &["printed"]),
        (&["--kind", "movement"], &["moved"]),
        (&["--only", "break-glass"], &["broken"]),
        // The break-glass that "broken" names is on no record.
        (&["--only", "unjustified"], &["bare", "broken"]),
        (&["--kind", "access", "--limit", "2"], &["bare", "broken"]),
        (&["--actor", "nobody"], &[]),
    ];
    for (args, expected) in cases {
        let (lines, cursor) = page(world, &patient, args);
        assert_eq!(notes(&lines), expected, "{args:?}");
        assert_eq!(cursor.is_some(), args.contains(&"--limit"), "a cursor only where more matches: {args:?}");
    }
}

pub fn labels_are_those_of_then(world: &mut World) {
    let patient = ins(24);
    let named = |note: &str, label: &str| {
        let mut line = access(&patient, note);
        line["actor"]["label"] = json!(label);
        line
    };
    world.record(&[named("before", "Dr Claire Dubois")]);
    world.record(&[named("after", "Dr Claire Martin")]);
    let (lines, _) = page(world, &patient, &[]);
    let labels: Vec<&Value> = lines.iter().map(|line| &line["actor"]["label"]).collect();
    assert_eq!(labels, ["Dr Claire Martin", "Dr Claire Dubois"]);
}

pub fn people_read_french_and_english(world: &mut World) {
    let text = |args: &[&str]| trace(world, INS, &[args, &["--kind", "access"]].concat()).ok().stdout;
    let (french, english) = (text(&["--lang", "fr"]), text(&["--lang", "en"]));
    assert_eq!(text(&[]), french, "French is the default");
    for words in [&french, &english] {
        assert!(words.contains("Dr Claire Dubois, hôpital Bichat"), "{words}");
    }
    assert!(french.contains("a consulté") && !english.contains("a consulté"), "{french}\n{english}");
    assert!(english.contains("On 2 March 2026") || english.contains("2026"), "{english}");
    trace(world, INS, &["--lang", "de"]).usage();
}

pub fn every_line_can_be_verified(world: &mut World) {
    let (plain, _) = page(world, INS, &["--kind", "access"]);
    let (verified, _) = page(world, INS, &["--kind", "access", "--verify"]);
    assert_eq!(plain[0]["index"], verified[0]["index"]);
    trace(world, INS, &["--verify"]).ok();
}

pub fn a_patient_under_whom_nothing_is_on_record_is_named(world: &mut World) {
    let nobody = ins(9_871);
    let whose = ["--patient", &nobody, "--oid", OID];
    let proven = ["--issuer", "https://ens.example", "--method", "FranceConnect+", "--eidas-level", "substantial"];
    let block = [&["block", "--professional", "10100534436", "--dry-run"][..], &proven].concat();
    for command in [&["trace"][..], &["consent", "effective"], &block] {
        let french = world.sillage(&[command, &whose, &["--lang", "fr"]].concat()).ok();
        assert!(french.stderr.contains("rien n'est au registre sous ce numéro"), "{french}");
        let meant = world.sillage(&[command, &whose, &["--lang", "fr", "--force"]].concat()).ok();
        assert!(!meant.stderr.contains("rien n'est au registre"), "{meant}");
    }
    world.record(&[access(&nobody, "now there is something")]);
    let known = world.sillage(&[&["trace"][..], &whose].concat()).ok();
    assert!(!known.stderr.contains("--force"), "{known}");
}

pub fn a_change_reads_nothing_for_a_remark(world: &mut World) {
    let patient = ins(9_872);
    let first = world.record(&[access(&patient, "before")])[0];
    let proven = ["--issuer", "https://ens.example", "--method", "FranceConnect+", "--eidas-level", "substantial"];
    let whose = ["--patient", &patient, "--oid", OID, "--json"];
    let blocked =
        world.sillage(&[&["block", "--professional", "10100534436"][..], &whose, &proven].concat()).ok().json();
    let blocked = blocked["index"].as_u64().expect("where it is");
    for index in first + 1..blocked {
        let entry = world.sillage(&["entry", &index.to_string(), "--json"]).ok().json();
        assert_ne!(entry["kind"], "log.consulted", "{entry}");
    }
}

pub fn usage_errors_speak_the_language_that_was_chosen(world: &mut World) {
    for (args, said) in [
        (&["trace", "--patien", "1", "--lang", "fr"][..], "« --patien »"),
        (&["trace", "--lang", "fr"], "il manque « --patient"),
        (&["checkpoint", "--timeout", "0", "--lang", "fr"], "pas entre 1 et 3600"),
    ] {
        let run = world.sillage(args);
        assert_eq!(run.code, Some(2), "{run}");
        assert!(run.stderr.contains(said) && run.stderr.contains("« --help »"), "{run}");
        assert!(!run.stderr.contains("error:") && !run.stderr.contains("Usage:"), "{run}");
    }
    assert!(world.sillage(&["trace", "--lang", "en"]).stderr.contains("error:"));
}

pub fn the_language_is_said_anywhere(world: &mut World) {
    let file = world.write("array.ndjson", "[{}]");
    let file = file.to_string_lossy();
    for args in [["--lang", "fr", "record", "--file", &file], ["record", "--file", &file, "--lang", "fr"]] {
        let run = world.sillage(&args);
        assert!(run.code == Some(4) && run.stderr.contains("ceci commence un tableau JSON"), "{run}");
    }
    let english = world.sillage(&["record", "--file", &file, "--lang", "en"]);
    assert!(english.stderr.contains("this begins a JSON array"), "{english}");
    let text = trace(world, INS, &[]).ok().stdout;
    let before = world.sillage(&["--lang", "en", "trace", "--patient", INS, "--oid", OID]).ok().stdout;
    assert!(before != text && before.contains("On "), "an option of the whole command line: {before}");
}

pub fn questions_that_make_no_sense_are_refused(world: &mut World) {
    trace(world, INS, &["--cursor", "bm90IGEgY3Vyc29y", "--json"]).fails(4).naming("INVALID_CURSOR");
    world.sillage(&["trace", "--patient", "123", "--oid", OID, "--json"]).fails(4).naming("INVALID_INS");
    trace(world, INS, &["--kind", "access.peek"]).fails(2).naming("access.peek");
    trace(world, INS, &["--from", "yesterday"]).fails(2);
    trace(world, INS, &["--only", "weekends"]).usage();
    trace(world, INS, &["--limit", "501"]).usage();

    // A cursor is good for the question that it answers, and for no other.
    let (_, cursor) = page(world, &ins(22), &["--limit", "5"]);
    let cursor = cursor.expect("there is more");
    trace(world, INS, &["--limit", "5", "--cursor", &cursor, "--json"]).fails(4).naming("INVALID_CURSOR");
}
