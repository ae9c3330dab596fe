//! `sillage record`: events go on record, each exactly once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sillage_proof::batch::ReceiptMessage;
use sillage_proof::keys::PublicKey;
use sillage_rules::time::TimeMs;
use sillage_tests::lines::{EXAMPLE, INS, OID, access, ins, ndjson, note_of, now_ms, with};
use sillage_tests::world::{Run, World};

fn record(world: &World, file: &Path) -> Run {
    world.sillage(&["record", "--file", &file.to_string_lossy()])
}

fn index(line: &Value) -> u64 {
    line["index"].as_u64().unwrap_or_else(|| panic!("no index in {line}"))
}

/// How many events of a patient are on record.
pub fn count(world: &World, ins: &str) -> usize {
    let trace = world.sillage(&["trace", "--patient", ins, "--oid", OID, "--limit", "500", "--json"]).ok();
    trace.json_lines().iter().filter(|line| line.get("index").is_some()).count()
}

pub fn the_example_line_is_accepted_as_it_is_written(world: &mut World) {
    let file = world.write("example.ndjson", format!("{EXAMPLE}\n"));
    let run = record(world, &file).ok();
    let printed = run.json_lines();
    assert_eq!(printed.len(), 1, "{run}");
    let fields: Vec<&String> = printed[0].as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["index", "recorded_at"]);
    let recorded_at = printed[0]["recorded_at"].as_str().expect("a text");
    recorded_at.parse::<TimeMs>().expect("a time of RFC 3339");
}

pub fn answers_come_in_the_order_of_the_lines(world: &mut World) {
    let patient = ins(1);
    let lines: Vec<Value> = (0..25).map(|i| access(&patient, &format!("order-{i:02}"))).collect();
    let file = world.write("order.ndjson", ndjson(&lines));
    let run = world.sillage(&["record", "--file", &file.to_string_lossy(), "--batch", "10"]).ok();
    let indices: Vec<u64> = run.json_lines().iter().map(index).collect();
    assert_eq!(indices.len(), 25);
    assert!(indices.is_sorted_by(|a, b| a < b), "{indices:?}");
    let trace = world.sillage(&["trace", "--patient", &patient, "--oid", OID, "--json"]).ok().json_lines();
    let on_record: BTreeMap<u64, &str> = trace.iter().map(|line| (index(line), note_of(line))).collect();
    let expected = indices.iter().copied().zip(lines.iter().map(note_of)).collect();
    assert_eq!(on_record, expected);
}

pub fn a_rerun_of_the_same_file_records_nothing_twice(world: &mut World) {
    let patient = ins(2);
    let lines: Vec<Value> = (0..7).map(|i| access(&patient, &format!("rerun-{i}"))).collect();
    let file = world.write("rerun.ndjson", ndjson(&lines));
    let first = record(world, &file).ok();
    let again = record(world, &file).ok();
    assert_eq!(first.json_lines(), again.json_lines(), "the same answers");
    assert_eq!(count(world, &patient), 7);
}

pub fn standard_input_is_always_new(world: &mut World) {
    let patient = ins(3);
    let input = ndjson(&[access(&patient, "stdin")]);
    let first = world.sillage_fed(&["record", "--file", "-"], &input).ok();
    let second = world.sillage_fed(&["record", "--file", "-"], &input).ok();
    assert!(index(&second.json_lines()[0]) > index(&first.json_lines()[0]));
    assert_eq!(count(world, &patient), 2);
}

pub fn receipts_are_kept_and_signed_by_a_node(world: &mut World) {
    let lines: Vec<Value> = (0..5).map(|i| access(&ins(4), &format!("receipt-{i}"))).collect();
    let (file, receipts) = (world.write("receipts.ndjson", ndjson(&lines)), world.path("receipts.jsonl"));
    let args = ["record", "--file", &file.to_string_lossy(), "--batch", "2", "--receipts", &receipts.to_string_lossy()];
    let run = world.sillage(&args).ok();
    let kept: Vec<Value> = fs::read_to_string(&receipts)
        .expect("the receipts")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(kept.len(), 3, "one receipt a batch: {kept:?}");

    let (genesis, _) = world.profile().genesis().expect("the genesis");
    let mut first_indices = Vec::new();
    for receipt in &kept {
        let bytes = |field: &str| hex::decode(receipt[field].as_str().expect("hex")).expect("hex");
        let message = ReceiptMessage::decode(&bytes("message")).expect("docs/formats.md §4");
        let keys = genesis.nodes.iter().map(|node| PublicKey::from_bytes(&node.key.as_ref().expect("a key").key));
        let signed = keys.map(|key| message.verify(&key.expect("a key"), &bytes("signature")));
        assert_eq!(signed.filter(Result::is_ok).count(), 1, "one node signed it: {receipt}");
        first_indices.push(message.first_index.get());
    }
    let printed: Vec<u64> = run.json_lines().iter().map(index).collect();
    assert_eq!(first_indices, [printed[0], printed[2], printed[4]]);
}

pub fn what_is_flagged_is_recorded_all_the_same(world: &mut World) {
    let patient = ins(5);
    let recent = TimeMs(now_ms()).to_string();
    let lines = [
        with(access(&patient, "plain"), json!({"occurred_at": recent})),
        with(access(&patient, "unjustified"), json!({"occurred_at": recent, "basis": null})),
        access(&patient, "late"),
        with(access(&patient, "deferred"), json!({"occurred_at": recent, "deferred": {"reason": "panne du réseau"}})),
    ];
    let indices = world.record(&lines);
    let trace = world.sillage(&["trace", "--patient", &patient, "--oid", OID, "--json"]).ok().json_lines();
    let flags = |i: usize| trace.iter().find(|line| line["index"] == indices[i]).expect("it is there")["flags"].clone();
    assert_eq!(flags(0), json!(["CLAIMED"]), "nothing on record supports it");
    assert_eq!(flags(1), json!(["UNJUSTIFIED"]));
    let unjustified = trace.iter().find(|line| line["index"] == indices[1]).expect("it is there");
    assert_eq!(unjustified["unjustified_reason"], "NO_BASIS");
    assert_eq!(flags(2), json!(["LATE", "CLAIMED"]));
    assert_eq!(flags(3), json!(["DEFERRED", "CLAIMED"]));
}

pub fn a_line_that_is_refused_is_named_and_nothing_is_recorded(world: &mut World) {
    let patient = ins(6);
    let good = access(&patient, "good");
    let cases = [
        (with(good.clone(), json!({"kind": "access.peek"})), "UNKNOWN_KIND"),
        (with(good.clone(), json!({"kind": "genesis", "patient": null})), "KIND_RESERVED"),
        (with(good.clone(), json!({"patient": {"ins": "123", "oid": OID}})), "INVALID_INS"),
        (with(good.clone(), json!({"occurred_at": "2999-01-01T00:00:00Z"})), "TIME_AHEAD"),
        (with(good.clone(), json!({"colour": "red"})), "MALFORMED_RECORD"),
        (with(good.clone(), json!({"outcome_text": "x".repeat(70_000)})), "RECORD_TOO_LARGE"),
    ];
    for (i, (bad, code)) in cases.into_iter().enumerate() {
        let file = world.write(&format!("refused-{i}.ndjson"), ndjson(&[good.clone(), bad, good.clone()]));
        let refused = record(world, &file).fails(4).naming(code).naming("line 2");
        assert_eq!(refused.stdout, "", "{code}");
    }
    world.sillage_fed(&["record", "--file", "-"], "not json\n").fails(4).naming("MALFORMED_RECORD").naming("line 1");
    world.sillage(&["record", "--file", "/nowhere/at/all"]).fails(2);
    assert_eq!(count(world, &patient), 0, "nothing was recorded");
    assert_eq!(count(world, INS), 1, "of the example");
}
