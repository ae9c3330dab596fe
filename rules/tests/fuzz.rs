//! Drives every fuzz target for a moment: arbitrary bytes, and mutations of well-formed seeds.

use serde_json::Value;
use sillage_proof::fuzz::drive;
use sillage_rules::fuzz::TARGETS;

/// Well-formed inputs: the test vectors, and identifiers.
fn seeds() -> Vec<Vec<u8>> {
    let vectors: Value = serde_json::from_str(include_str!("../../docs/vectors/rules.json")).expect("JSON");
    let mut seeds = Vec::new();
    for record in vectors["records"].as_array().expect("records") {
        seeds.push(hex::decode(record["bytes"].as_str().expect("hex")).expect("hex"));
        seeds.push(record["line"].to_string().into_bytes());
    }
    for entry in vectors["entries"].as_array().expect("entries") {
        seeds.push(hex::decode(entry["bytes"].as_str().expect("hex")).expect("hex"));
    }
    let texts =
        ["279035121518989", "180122A12345678", "810100534436", "2A0000154", "cli", "2026-03-02T09:00:00.5+01:00"];
    seeds.extend(texts.map(|text| text.as_bytes().to_vec()));
    seeds
}

#[test]
fn no_target_falls_over() {
    drive(TARGETS, &seeds(), 80_000);
}
