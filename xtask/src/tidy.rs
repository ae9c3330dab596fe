//! Structure and style that the compiler does not check: which crate may know which, what a pure crate may pull in,
//! how long a file is, what is left behind. Every finding is one line `path:line: what, and what to do`.

use crate::build::{cargo_lines, root};
use crate::circles;
use crate::failed::Failed;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The crates, each with the crates of ours that it may depend on. Arrows point one way.
const ARROWS: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("proof", &[]),
    ("rules", &["proto", "proof"]),
    ("ledger", &["proto", "proof", "rules"]),
    ("cluster", &[]),
    ("node", &["proto", "proof", "rules", "ledger", "cluster"]),
    ("words", &["proto", "rules"]),
    ("fhir", &["proto", "proof", "rules"]),
    ("scenario", &["proto", "proof", "rules"]),
    ("client", &["proto", "proof", "rules", "words", "fhir"]),
    ("audit", &["proto", "proof", "rules", "client"]),
    ("cli", &["proto", "proof", "rules", "words", "fhir", "scenario", "client", "audit"]),
    ("web", &["proof", "client"]),
    ("gateway", &["proto", "proof", "rules", "client", "web"]),
    ("connector", &["proto", "proof", "rules", "words", "fhir", "client", "web"]),
    ("portal", &["proto", "proof", "rules", "words", "fhir", "client", "web"]),
    ("chaos", &["proto", "proof", "rules", "ledger", "cluster", "fhir", "client"]),
    ("tests", &["proto", "proof", "rules", "ledger", "cluster", "fhir", "scenario", "client", "chaos"]),
    ("xtask", &[]),
];

/// Crates that must never be among what these need, however far down.
const ABSENT: &[(&str, &[&str])] = &[
    ("proof", &["tokio", "rocksdb", "tonic", "librocksdb-sys"]),
    ("rules", &["tokio", "rocksdb", "tonic", "librocksdb-sys"]),
    ("words", &["tokio", "rocksdb", "tonic", "librocksdb-sys", "clap"]),
    ("fhir", &["tokio", "rocksdb", "tonic", "librocksdb-sys", "clap"]),
    ("scenario", &["tokio", "rocksdb", "tonic", "librocksdb-sys", "clap"]),
    ("client", &["rocksdb", "librocksdb-sys", "raft", "clap", "comfy-table", "indicatif", "rcgen", "flate2"]),
    ("audit", &["rocksdb", "librocksdb-sys", "raft", "clap", "comfy-table", "indicatif", "rcgen"]),
    ("cli", &["rocksdb", "librocksdb-sys", "raft"]),
    ("web", &["rocksdb", "librocksdb-sys", "raft", "clap", "comfy-table", "indicatif", "rcgen"]),
    ("gateway", &["rocksdb", "librocksdb-sys", "raft", "clap", "comfy-table", "indicatif", "rcgen"]),
    ("connector", &["rocksdb", "librocksdb-sys", "raft", "comfy-table", "indicatif"]),
    ("portal", &["rocksdb", "librocksdb-sys", "raft", "comfy-table", "indicatif"]),
    ("ledger", &["raft", "tokio", "tonic"]),
    ("cluster", &["rocksdb", "librocksdb-sys", "tokio", "tonic"]),
];

const FILE_LINES_MAX: usize = 700;

pub fn check() -> Result<(), Failed> {
    let mut findings = Vec::new();
    arrows(&mut findings)?;
    absent(&mut findings)?;
    for (name, _) in ARROWS {
        circles::check(&root(), name, &mut findings)?;
    }
    let crates: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    crate::pages::check(&root(), &crates, &mut findings);
    crate::protos::check(&root(), &mut findings);
    crate::history::check(&root(), &crates, &mut findings);
    for file in sources()? {
        let text =
            std::fs::read_to_string(&file).map_err(|e| Failed::new(format!("cannot read {}: {e}", file.display())))?;
        source(&file, &text, &mut findings);
        door(&file, &text, &mut findings);
        question(&file.strip_prefix(root()).unwrap_or(&file).to_string_lossy(), &text, &mut findings);
    }
    if findings.is_empty() {
        eprintln!("tidy: nothing to say");
        return Ok(());
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    Err(Failed::new(format!("tidy: {} findings", findings.len())))
}

fn arrows(findings: &mut Vec<String>) -> Result<(), Failed> {
    for (name, allowed) in ARROWS {
        let path = root().join(name).join("Cargo.toml");
        let text =
            std::fs::read_to_string(&path).map_err(|e| Failed::new(format!("cannot read {}: {e}", path.display())))?;
        let mut dev = false;
        for (number, line) in text.lines().enumerate() {
            if line.starts_with('[') {
                dev = line.contains("dev-dependencies");
            }
            let Some(dependency) = line.strip_prefix("sillage-") else { continue };
            let dependency: String = dependency.chars().take_while(char::is_ascii_alphanumeric).collect();
            if !dev && !allowed.contains(&dependency.as_str()) {
                findings.push(format!("{name}/Cargo.toml:{}: `{name}` may not know `{dependency}`", number + 1));
            }
        }
    }
    let members: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for entry in std::fs::read_dir(root()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().join("Cargo.toml").is_file() && !members.contains(name.as_str()) {
            findings.push(format!("{name}/Cargo.toml:1: say in xtask/src/tidy.rs what `{name}` may know"));
        }
    }
    Ok(())
}

fn absent(findings: &mut Vec<String>) -> Result<(), Failed> {
    for (name, forbidden) in ABSENT {
        let package = format!("sillage-{name}");
        let tree = cargo_lines(&[
            "tree",
            "--quiet",
            "--package",
            &package,
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])?;
        let needed: BTreeSet<&str> = tree.iter().filter_map(|line| line.split_whitespace().next()).collect();
        for crate_name in forbidden.iter().filter(|c| needed.contains(**c)) {
            findings.push(format!(
                "{name}/Cargo.toml:1: `{name}` pulls in `{crate_name}`; see `cargo tree -p {package} -i {crate_name}`"
            ));
        }
    }
    Ok(())
}

/// Where a node may name what reads entries and payloads: the door through which they leave it, and the start, which hands the
/// reader over. Everything else the compiler keeps away from them.
const DOOR: &[&str] = &["node/src/core/disclose/", "node/src/core/mod.rs"];

fn door(path: &Path, text: &str, findings: &mut Vec<String>) {
    let shown = path.strip_prefix(root()).unwrap_or(path).to_string_lossy();
    if !shown.starts_with("node/src/") || DOOR.iter().any(|place| shown.starts_with(place)) {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        for word in ["EntryReader", "entry_reader"].iter().filter(|word| line.contains(**word)) {
            findings.push(format!("{shown}:{}: `{word}` stands outside of {}", number + 1, DOOR[0]));
        }
    }
}

/// Crates in which no doc comment opens with a question's word. A noun says sooner what a thing is: "The signer of a batch" instead
/// of "Who signed a batch". Add a crate once its comments are rewritten.
const PLAIN_DOCS: &[&str] = &[
    "proto", "proof", "rules", "words", "audit", "scenario", "web", "gateway", "xtask", "fhir", "cluster", "cli",
    "ledger", "node", "client", "chaos",
];
const QUESTION_WORDS: &[&str] = &["What", "Who", "Whose", "Whom", "Whether"];

fn question(shown: &str, text: &str, findings: &mut Vec<String>) {
    if !shown.split('/').next().is_some_and(|folder| PLAIN_DOCS.contains(&folder)) {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let doc = ["/// ", "//! "].iter().find_map(|mark| line.strip_prefix(mark));
        let first = doc.and_then(|doc| doc.split(|c: char| !c.is_alphabetic()).next());
        if let Some(word) = first.filter(|word| QUESTION_WORDS.contains(word)) {
            findings.push(format!("{shown}:{}: open with a noun or a verb instead of `{word}`", number + 1));
        }
    }
}

/// Every Rust source of the workspace.
fn sources() -> Result<Vec<PathBuf>, Failed> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = ARROWS.iter().map(|(name, _)| root().join(name)).collect();
    while let Some(folder) = folders.pop() {
        let entries =
            std::fs::read_dir(&folder).map_err(|e| Failed::new(format!("cannot read {}: {e}", folder.display())))?;
        for path in entries.flatten().map(|e| e.path()) {
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn source(path: &Path, text: &str, findings: &mut Vec<String>) {
    let shown = path.strip_prefix(root()).unwrap_or(path).display();
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        findings.push(format!("{shown}:{lines}: longer than {FILE_LINES_MAX} lines; look for its second idea"));
    }
    let opens_a_folder = path.ends_with("lib.rs") || path.ends_with("mod.rs");
    if opens_a_folder && !text.starts_with("//!") {
        findings.push(format!("{shown}:1: begin with `//!`: what this is for and where to start reading"));
    }
    // Written in two halves, so that this list does not find itself.
    let left = [["todo", "!("], ["unimpl", "emented!("], ["#[ign", "ore"], ["FIX", "ME"], ["TO", "DO"], ["dbg", "!("]]
        .map(|h| h.concat());
    for (number, line) in text.lines().enumerate() {
        for word in left.iter().filter(|w| line.contains(w.as_str())) {
            findings.push(format!("{shown}:{}: `{word}` is left in the code", number + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn questions_of(path: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        question(path, text, &mut findings);
        findings
    }

    #[test]
    fn a_doc_comment_that_opens_with_a_question_is_found() {
        let found = questions_of("rules/src/act.rs", "/// The key.\n    /// Whose key it is.\n");
        assert_eq!(found, ["rules/src/act.rs:2: open with a noun or a verb instead of `Whose`"]);
    }

    #[test]
    fn other_comments_and_other_crates_may() {
        assert_eq!(questions_of("rules/src/act.rs", "// What for?\n/// Whole numbers.\n"), Vec::<String>::new());
        assert_eq!(questions_of("nowhere/src/act.rs", "/// What it is.\n"), Vec::<String>::new());
    }
}
