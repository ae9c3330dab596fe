//! What nodes keep shows nothing: no text of a record and no identity stands in clear anywhere in their folders, in
//! what they log, or in what they count.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};
use sillage_tests::lines::{OID, access, ins, with};
use sillage_tests::story::tell;
use sillage_tests::world::World;
use sillage_tests::{stories, wire};

/// Stands in every field of the record that takes a text. No part of it occurs by chance.
const MARKER: &str = "Zq7-planted-Kx3";

fn main() -> ExitCode {
    tell(
        World::begin,
        stories![
            the_search_itself_finds_what_is_there,
            what_was_planted_is_recorded,
            nothing_is_in_clear_while_the_nodes_run,
            nothing_is_in_clear_in_what_is_logged_and_counted,
            nothing_is_in_clear_after_a_restart_and_a_flush,
        ],
    )
}

fn patient() -> String {
    ins(77_777)
}

fn planted(i: usize) -> Value {
    let text = |field: &str| format!("{MARKER}-{field}-{i}");
    with(
        access(&patient(), &text("item")),
        json!({
            "actor": {"system": format!("urn:example:{MARKER}"), "id": text("id"), "role": text("role"),
                "organisation": text("organisation"), "label": text("label")},
            "auth": {"issuer": text("issuer"), "method": text("method"), "eidas_level": "high"},
            "items": [{"id": text("item"), "category": text("category"), "labels": [text("labels")],
                "depositor": text("depositor"), "label": text("item-label")}],
            "purpose": text("purpose"),
            "basis": {"kind": "legal", "ref": text("basis")},
            "outcome_text": text("outcome"),
            "place": {"site": text("site"), "network_address": text("address"), "device": text("device")},
            "deferred": {"reason": text("reason")},
            "correlation": {"launch_context": text("context"), "ids": [text("correlation")]},
            "automated": {"software": text("software"), "version": "1"},
            "agents": [{"type": "IRCP", "who": {"system": "urn:example:x", "id": text("agent"), "label": text("agent-label")}}],
            "details": {"a": text("details")},
        }),
    )
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    // A database at work removes files while we look.
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        match path.is_dir() {
            true => files(&path, out),
            false => out.push(path),
        }
    }
}

/// Where any of the texts stands, as it is or as UTF-16 or hexadecimal. Gives the bytes looked at, too.
fn found(folder: &Path, texts: &[String]) -> (Vec<String>, u64) {
    let wide = |text: &String| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let needles: Vec<(&String, Vec<u8>)> = texts
        .iter()
        .flat_map(|text| {
            [text.clone().into_bytes(), wide(text), hex::encode(text).into_bytes()].map(|bytes| (text, bytes))
        })
        .collect();
    let (mut all, mut hits, mut bytes) = (Vec::new(), Vec::new(), 0);
    files(folder, &mut all);
    for path in all {
        let Ok(content) = fs::read(&path) else { continue };
        bytes += content.len() as u64;
        for (text, needle) in &needles {
            if holds(&content, needle) {
                hits.push(format!("{text} in {}", path.display()));
            }
        }
    }
    (hits, bytes)
}

/// Whether `needle` is in `content`. Looks for its first byte before it compares: a database is megabytes of zeros.
fn holds(content: &[u8], needle: &[u8]) -> bool {
    let mut from = 0;
    while let Some(at) = content[from..].iter().position(|byte| *byte == needle[0]) {
        if content[from + at..].starts_with(needle) {
            return true;
        }
        from += at + 1;
    }
    false
}

fn secrets() -> Vec<String> {
    vec![MARKER.to_owned(), patient(), patient()[..13].to_owned()]
}

fn assert_nothing_found(world: &World) {
    for id in 1..=3 {
        let (hits, bytes) = found(&world.dir().join(format!("node-{id}")), &secrets());
        assert!(hits.is_empty(), "in clear: {hits:#?}");
        assert!(bytes > 100_000, "the data of node {id} were looked at: {bytes} bytes");
    }
    let (hits, _) = found(&world.path("logs"), &secrets());
    assert!(hits.is_empty(), "in clear: {hits:#?}");
}

fn the_search_itself_finds_what_is_there(world: &mut World) {
    let folder = world.path("hidden");
    let wide: Vec<u8> = MARKER.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let content = [&[0, 1, 2][..], b"ZqZq7", MARKER.as_bytes(), b"tail"].concat();
    for (name, content) in [("plain", content), ("wide", wide), ("hex", hex::encode(MARKER).into_bytes())] {
        world.write(&format!("hidden/below/{name}"), content);
    }
    let (hits, _) = found(&folder, &secrets());
    assert_eq!(hits.len(), 3, "{hits:?}");
    world.write("hidden/below/plain", b"nothing here, Zq7-planted-Kx");
    assert_eq!(found(&folder, &secrets()).0.len(), 2);
}

fn what_was_planted_is_recorded(world: &mut World) {
    let lines: Vec<Value> = (0..200).map(planted).collect();
    world.record(&lines);
    let original = json!({
        "resourceType": "AuditEvent", "id": MARKER,
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
        "action": "R", "recorded": "2026-02-03T10:11:12Z", "outcome": "0",
        "agent": [{"who": {"display": MARKER}, "requestor": true}],
        "source": {"observer": {"display": MARKER}},
        "entity": [{"what": {"reference": format!("Patient/{MARKER}")}}],
    });
    let (file, map) =
        (world.write("planted.json", original.to_string()), format!("Patient/{MARKER},{},{OID}\n", patient()));
    let map = world.write("map.csv", map);
    world.sillage(&["import", "--fhir", &file.to_string_lossy(), "--patient-map", &map.to_string_lossy()]).ok();

    let trace = world.sillage(&["trace", "--patient", &patient(), "--oid", OID, "--limit", "500", "--json"]).ok();
    assert_eq!(trace.lines().len(), 201);
    assert!(trace.lines().iter().all(|line| line.contains(MARKER)), "who may read it finds it");
    // And what must not succeed leaves no trace of what it said either.
    let refused = with(planted(999), json!({"occurred_at": "2999-01-01T00:00:00Z"}));
    world.sillage_fed(&["record", "--file", "-"], &sillage_tests::lines::ndjson(&[refused])).fails(4);
    world.sillage(&["trace", "--patient", &patient(), "--oid", "1.2.250.1.213.1.4.8", "--json"]);
}

fn nothing_is_in_clear_while_the_nodes_run(world: &mut World) {
    world.settled(3);
    assert_nothing_found(world);
}

fn nothing_is_in_clear_in_what_is_logged_and_counted(world: &mut World) {
    let profile = world.profile();
    for node in 1..=3 {
        let page = world.wait(wire::get(&profile, node, Some(&wire::pem_of(&profile)), "/metrics")).expect("metrics");
        let page = String::from_utf8(page).expect("text");
        assert!(page.contains("tree_size"), "{page}");
        for secret in secrets() {
            assert!(!page.contains(&secret), "{page}");
        }
        let log = fs::read_to_string(world.dir().join(format!("node-{node}/log.txt"))).expect("its log");
        assert!(!log.is_empty(), "node {node} logs something");
        for secret in secrets() {
            assert!(!log.contains(&secret), "{log}");
        }
    }
}

fn nothing_is_in_clear_after_a_restart_and_a_flush(world: &mut World) {
    // Covers all that came: nothing is left to be committed to the index after the restart.
    world.sillage(&["checkpoint"]).ok();
    let before = world.settled(3)[0].clone();
    world.close();
    assert_nothing_found(world);
    world.open();
    let after = world.settled(3)[0].clone();
    assert_eq!(after.tree_size, before.tree_size, "no entry is lost or added");
    assert_eq!(after.root, before.root, "the entries are the same");
    assert_nothing_found(world);
}
