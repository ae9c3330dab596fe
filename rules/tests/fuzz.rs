//! Drives every fuzz target for a moment: arbitrary bytes, and mutations of well-formed seeds.

use proptest::prelude::*;
use serde_json::Value;
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

fn drive(data: &[u8]) {
    for (_, target) in TARGETS {
        target(data);
    }
}

/// One change: (what, where, value).
type Mutation = (u8, usize, u8);

fn mutate(data: &mut Vec<u8>, (what, at, value): Mutation) {
    if data.is_empty() {
        return;
    }
    let at = at % data.len();
    match what % 6 {
        0 => data[at] ^= 1 << (value % 8),
        1 => data[at] = value,
        2 => data.insert(at, value),
        3 => {
            data.remove(at);
        }
        4 => data.truncate(at),
        _ => {
            let end = data.len().min(at + usize::from(value));
            data.extend_from_within(at..end);
        }
    }
}

#[test]
fn the_seeds_are_well_formed() {
    seeds().iter().for_each(|seed| drive(seed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        drive(&data);
    }

    #[test]
    fn arbitrary_text(text in "[0-9AB{}\":,.a-z ]{0,40}") {
        drive(text.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn mutated_seeds(
        seed in proptest::sample::select(seeds()),
        mutations in proptest::collection::vec(any::<Mutation>(), 1..4),
    ) {
        let mut data = seed;
        mutations.into_iter().for_each(|mutation| mutate(&mut data, mutation));
        drive(&data);
    }
}
