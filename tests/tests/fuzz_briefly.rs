//! Every fuzz target of the workspace, for a moment: the published vectors of all formats, mutated and spliced across
//! formats, go to the parsers of all others. The crates drive their own targets with what is well formed for them; here
//! each meets what was meant for another.

use std::path::Path;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use sillage_client::fhir::source::documents;
use sillage_client::fhir::{PatientMap, map};
use sillage_tests::lines::{EXAMPLE, INS, audit_event};

/// Inputs for each target.
const INPUTS: usize = 4_000;

type Target = fn(&[u8]);

/// Every target, as `crate/target`.
fn targets() -> Vec<(String, Target)> {
    let of = |owner: &'static str, list: &'static [(&'static str, Target)]| {
        list.iter().map(move |(name, target)| (format!("{owner}/{name}"), *target))
    };
    let client: &[(&str, Target)] = &[("fhir", fhir)];
    of("proof", sillage_proof::fuzz::TARGETS)
        .chain(of("rules", sillage_rules::fuzz::TARGETS))
        .chain(of("client", client))
        .collect()
}

/// FHIR documents: what is mapped has its original and a time, and says who the patient is where it has one.
fn fhir(data: &[u8]) {
    let patients = PatientMap::load(None, true).expect("no file to read");
    for name in ["a.json", "a.ndjson"] {
        let found = documents(Path::new(name), data);
        for mapped in found.iter().flat_map(|d| d.json.as_ref()).flat_map(|json| map(json, &patients)).flatten() {
            assert!(mapped.record.original.is_some() && mapped.record.occurred_at_ms > 0, "{mapped:?}");
            assert!(mapped.patient.is_none_or(|patient| patient.ins.len() == 15));
        }
    }
}

/// Every text in the published vectors, as it is and, where it is hexadecimal, as the bytes that it stands for.
fn seeds() -> Vec<Vec<u8>> {
    let vectors = [include_str!("../../docs/vectors/proof.json"), include_str!("../../docs/vectors/rules.json")];
    let mut seeds = vec![EXAMPLE.as_bytes().to_vec(), INS.as_bytes().to_vec(), Vec::new()];
    for text in vectors {
        texts(&serde_json::from_str(text).expect("JSON"), &mut seeds);
    }
    seeds
}

fn texts(value: &Value, out: &mut Vec<Vec<u8>>) {
    match value {
        Value::String(text) => {
            out.extend(hex::decode(text).ok());
            out.push(text.as_bytes().to_vec());
        }
        Value::Array(values) => values.iter().for_each(|value| texts(value, out)),
        Value::Object(fields) => {
            out.push(value.to_string().into_bytes());
            fields.values().for_each(|value| texts(value, out));
        }
        _ => {}
    }
}

/// The document with one to three of its values replaced by others, of whatever type, or taken away: unlike flipped
/// bits, this leaves it JSON.
fn rearrange(document: &Value, dice: &mut ChaCha8Rng) -> Vec<u8> {
    let mut document = document.clone();
    for _ in 0..dice.random_range(1..=3) {
        let pointers = pointers(&document, String::new());
        let pick = |dice: &mut ChaCha8Rng| &pointers[dice.random_range(0..pointers.len())];
        let other = match dice.random_range(0..6) {
            0 => Value::Null,
            1 => json!([]),
            2 => json!({}),
            3 => json!(-1.5e300),
            4 => json!("é".repeat(dice.random_range(0..300))),
            _ => document.pointer(pick(dice)).expect("it is there").clone(),
        };
        *document.pointer_mut(pick(dice)).expect("it is there") = other;
    }
    document.to_string().into_bytes()
}

/// Where each value of a document is (RFC 6901). No name in it needs an escape.
fn pointers(value: &Value, at: String) -> Vec<String> {
    let below: Vec<String> = match value {
        Value::Array(values) => values.iter().enumerate().flat_map(|(i, v)| pointers(v, format!("{at}/{i}"))).collect(),
        Value::Object(fields) => fields.iter().flat_map(|(name, v)| pointers(v, format!("{at}/{name}"))).collect(),
        _ => Vec::new(),
    };
    [vec![at], below].concat()
}

#[test]
fn no_audit_event_makes_the_import_fall_over() {
    let event = audit_event("a", "b");
    let bundle = json!({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": event.clone()}]});
    let mut dice = ChaCha8Rng::seed_from_u64(7);
    fhir(event.to_string().as_bytes());
    let mut mapped = 0;
    for i in 0..INPUTS {
        let input = rearrange(if i % 4 == 0 { &bundle } else { &event }, &mut dice);
        let told = std::panic::catch_unwind(|| fhir(&input));
        assert!(told.is_ok(), "the import falls over {}", String::from_utf8_lossy(&input));
        mapped += usize::from(map(&input, &PatientMap::load(None, true).expect("no file")).is_ok());
    }
    assert!((INPUTS / 50..INPUTS).contains(&mapped), "some are accepted, some are not: {mapped}");
}

/// One to four changes: a bit, a byte, a piece cut out, a piece repeated, the end of another seed.
fn mutate(mut data: Vec<u8>, other: &[u8], dice: &mut ChaCha8Rng) -> Vec<u8> {
    for _ in 0..dice.random_range(1..=4) {
        if data.is_empty() {
            return other.to_vec();
        }
        let at = dice.random_range(0..data.len());
        let end = (at + dice.random_range(1..=32)).min(data.len());
        match dice.random_range(0..6) {
            0 => data[at] ^= 1 << dice.random_range(0..8),
            1 => data[at] = dice.random(),
            2 => drop(data.drain(at..end)),
            3 => data.extend_from_within(at..end),
            4 => data.truncate(at),
            _ => {
                data.truncate(at);
                data.extend_from_slice(&other[other.len().min(at)..]);
            }
        }
    }
    data
}

#[test]
fn no_parser_falls_over_what_was_meant_for_another() {
    let (targets, seeds) = (targets(), seeds());
    assert!(targets.len() > 15 && seeds.len() > 50, "{} targets, {} seeds", targets.len(), seeds.len());
    let mut dice = ChaCha8Rng::seed_from_u64(0x5111a6e);
    let mut inputs = seeds.clone();
    while inputs.len() < INPUTS {
        let mut pick = || &seeds[dice.random_range(0..seeds.len())];
        let (seed, other) = (pick().clone(), pick().clone());
        inputs.push(mutate(seed, &other, &mut dice));
    }
    for (name, target) in targets {
        for input in &inputs {
            let told = std::panic::catch_unwind(|| target(input));
            assert!(told.is_ok(), "{name} falls over {}", hex::encode(input));
        }
    }
}
