//! The verifier a second time: its own tests in JavaScript run as a part of this workspace's, in Node and, where there is
//! a Chromium, in a browser. They hold it against the vectors in `docs/vectors/`, which the verifier in Rust has made.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the verifier and its tests are.
fn portal() -> PathBuf {
    Path::new(&std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is")).join("../gateway/portal")
}

/// The major version of Node, if it is there: 18 is the oldest with WebCrypto's Ed25519 and a test runner.
fn node() -> Option<u32> {
    let said = Command::new("node").arg("--version").output().ok()?;
    let version = String::from_utf8(said.stdout).ok()?;
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// Runs one file of tests, or says that it is skipped: only a developer's machine may be without Node.
fn run(file: &str) {
    match node() {
        Some(major) if major >= 18 => {}
        found => {
            let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!is_ci, "Node 18 or later has to be there (found {found:?}): `cargo xtask setup` installs it");
            eprintln!("skipped {file}: no Node 18 or later (found {found:?}); `cargo xtask setup` installs it");
            return;
        }
    }
    let ran = Command::new("node").arg("--test").arg(portal().join(file)).output().expect("it ran a moment ago");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
    // A runner that finds no test is content, too.
    assert!(count(&said, "pass") + count(&said, "skipped") > 0, "no test ran:\n{said}");
}

/// The number that the runner's summary gives for a word, in whichever of its notations.
fn count(said: &str, word: &str) -> u32 {
    let number = |line: &str| line.split_once(word)?.1.trim().parse().ok();
    said.lines().rev().find_map(number).unwrap_or(0)
}

#[test]
fn the_second_verifier_agrees_with_the_vectors_of_the_first_and_refuses_every_lie_in_its_tests() {
    run("verify.test.mjs");
}

#[test]
fn a_browser_agrees_and_the_page_says_so_to_patients() {
    run("browser.test.mjs");
}
