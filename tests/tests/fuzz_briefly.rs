//! Every fuzz target of the workspace, for a moment: the published vectors of all formats, mutated and spliced across
//! formats, go to the parsers of all others. The crates drive their own targets with what is well formed for them; here
//! each meets what was meant for another.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use sillage_tests::lines::{EXAMPLE, INS};

/// Inputs for each target.
const INPUTS: usize = 4_000;

/// Every target, as `crate/target`.
fn targets() -> Vec<(String, fn(&[u8]))> {
    let of = |owner: &'static str, list: &'static [(&'static str, fn(&[u8]))]| {
        list.iter().map(move |(name, target)| (format!("{owner}/{name}"), *target))
    };
    of("proof", sillage_proof::fuzz::TARGETS).chain(of("rules", sillage_rules::fuzz::TARGETS)).collect()
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
