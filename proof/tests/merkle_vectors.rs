//! The public Merkle proof vectors of transparency-dev/merkle, accepted and rejected as each of them says.
//!
//! They are read from `$SILLAGE_FIXTURES/merkle` (by default `../shared/fixtures` beside the workspace).

use std::fs;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::Value;
use sillage_proof::merkle::{verify_consistency_bytes, verify_inclusion_bytes};

/// The folder of vectors of one kind; `None` where they aren't on this machine, which CI doesn't tolerate.
fn folder(kind: &str) -> Option<PathBuf> {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
    let beside = Path::new(&package).join("../../shared/fixtures");
    let fixtures = std::env::var_os("SILLAGE_FIXTURES").map_or(beside, PathBuf::from);
    // Cargo runs tests in the crate's folder: a relative path is meant from the workspace root.
    let root = Path::new(&package).join("..");
    let folder = root.join(fixtures).join("merkle").join(kind);
    if folder.is_dir() {
        return Some(folder);
    }
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!in_ci, "{} is missing: set SILLAGE_FIXTURES", folder.display());
    println!("skipped: {} is missing", folder.display());
    None
}

fn json_files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            json_files(&path, out);
        } else if path.extension().is_some_and(|ext| ext == "json") {
            out.push(path);
        }
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_default();
    BASE64_STANDARD.decode(text).expect("base64")
}

fn proof(case: &Value) -> Vec<Vec<u8>> {
    let hashes = case["proof"].as_array();
    hashes.map_or(Vec::new(), |hashes| hashes.iter().map(bytes).collect())
}

fn number(case: &Value, field: &str) -> u64 {
    case[field].as_u64().expect("an unsigned number")
}

fn check(kind: &str, verify: impl Fn(&Value) -> bool) {
    let Some(folder) = folder(kind) else { return };
    let mut files = Vec::new();
    json_files(&folder, &mut files);
    files.sort();
    assert!(!files.is_empty(), "no vectors in {}", folder.display());
    let mut wrong = Vec::new();
    for file in &files {
        let text = fs::read(file).expect("a readable file");
        let case: Value = serde_json::from_slice(&text).expect("JSON");
        let must_fail = case["wantErr"].as_bool().expect("wantErr");
        if verify(&case) == must_fail {
            wrong.push(file);
        }
    }
    assert!(wrong.is_empty(), "other verdicts on {wrong:#?}");
    println!("{} vectors in {}", files.len(), folder.display());
}

#[test]
fn inclusion_vectors() {
    check("inclusion", |case| {
        let (index, size) = (number(case, "leafIdx"), number(case, "treeSize"));
        let (leaf, root) = (bytes(&case["leafHash"]), bytes(&case["root"]));
        verify_inclusion_bytes(&leaf, index, size, &proof(case), &root).is_ok()
    });
}

#[test]
fn consistency_vectors() {
    check("consistency", |case| {
        let (old, new) = (number(case, "size1"), number(case, "size2"));
        let (old_root, new_root) = (bytes(&case["root1"]), bytes(&case["root2"]));
        verify_consistency_bytes(old, new, &proof(case), &old_root, &new_root).is_ok()
    });
}

/// The edge cases of transparency-dev/merkle (`size1-is-zero-*`, `sizes-are-equal-zero-*`, `sizes-are-equal-*`), with roots that
/// aren't even hashes: nothing is proven from the empty tree.
#[test]
fn sizes_that_need_no_hashing() {
    let (a, b, empty): (&[u8], &[u8], &[u8]) = (b"don't care 1", b"don't care 2", b"");
    let none: [&[u8]; 0] = [];
    let some = [&[0_u8; 32][..]];
    for (old, new, old_root, new_root, accepted) in [
        (0, 0, a, a, false),
        (0, 0, a, b, false),
        (0, 0, empty, empty, false),
        (0, 1, a, b, false),
        (0, 1, empty, b, false),
        (0, u64::MAX, empty, empty, false),
        (1, 1, b, b, true),
        (1, 1, a, b, false),
        (1, 0, a, a, false),
        (2, 1, a, b, false),
        (1, 2, a, b, false),
        (u64::MAX, u64::MAX, a, a, true),
        (u64::MAX - 1, u64::MAX, a, a, false),
    ] {
        let verdict = verify_consistency_bytes(old, new, &none, old_root, new_root);
        assert_eq!(verdict.is_ok(), accepted, "{old} {new}");
        let verdict = verify_consistency_bytes(old, new, &some, old_root, new_root);
        assert!(verdict.is_err(), "{old} {new} with a proof");
    }
    let zero = [0_u8; 32];
    for (index, size) in [(0, 0), (1, 1), (2, 1), (u64::MAX, 0), (u64::MAX, u64::MAX)] {
        let verdict = verify_inclusion_bytes(&zero, index, size, &none, &zero);
        assert!(verdict.is_err(), "{index} {size}");
    }
    assert!(verify_inclusion_bytes(&zero, 0, 1, &none, &zero).is_ok());
    assert!(verify_inclusion_bytes(&zero[1..], 0, 1, &none, &zero[1..]).is_err());
    assert!(verify_inclusion_bytes(empty, 0, 1, &none, empty).is_err());
}
