//! Logs of before: commands that a program of an older feature level applied, and the root that it had after each. They have
//! records of every sort by every kind of party, decisions, acts, and what that program refused. The present program applies
//! them to the same roots.
//!
//! `before/level-2`: parties with the role author; what it didn't know, it refused. `before/level-3`: small roles, vouching,
//! proven wills, voided records, several authorities; accesses with every basis, whatever it rests on. `before/level-4`: the same,
//! with proven claims, patients' devices behind a commitment, and rules of authorities that guard little and all.
//!
//! `log.txt`: the genesis, then a line for each command: the leader's stamp in milliseconds, the root, from level 3 on what became of
//! each part (`ok`, `decided`, `own` or the code of its refusal), the command. `keyring`: what its data keys are wrapped with; it
//! opens nothing else.

#[path = "before/claims.rs"]
mod claims;
mod common;
#[path = "before/make.rs"]
mod make;
#[path = "before/said.rs"]
mod said;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::quiet;
use sillage_ledger::seal::Keyring;
use sillage_ledger::{CommandOutcome, Ledger};

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/before").join(name)
}

/// The outcome of each part of a command.
fn told(outcomes: &[CommandOutcome]) -> String {
    let one = |outcome: &CommandOutcome| match outcome {
        CommandOutcome::Refused(refusal) => refusal.code.to_string(),
        CommandOutcome::Decided(decided) => {
            let each = decided.iter().map(|one| match one {
                Ok(_) => "decided".to_owned(),
                Err(refusal) => refusal.code.to_string(),
            });
            each.collect::<Vec<_>>().join("+")
        }
        CommandOutcome::LedgerRecord { .. } => "own".to_owned(),
        _ => "ok".to_owned(),
    };
    let all: Vec<String> = outcomes.iter().map(one).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(",") }
}

/// Applies a log of before; its ledger, and how many parts were done and refused.
fn replay(name: &str, dir: &Path) -> (Ledger, usize, usize) {
    let log = std::fs::read_to_string(folder(name).join("log.txt")).expect("the log");
    let (genesis, commands) = log.split_once('\n').expect("lines");
    // A checkout gives everybody the right to read it, which a keyring refuses.
    let keyring = dir.join("keyring");
    std::fs::copy(folder(name).join("keyring"), &keyring).expect("a keyring");
    std::fs::set_permissions(&keyring, std::fs::Permissions::from_mode(0o600)).expect("a file");
    let keys = Arc::new(Keyring::load(&keyring).expect("a keyring"));
    let mut ledger = Ledger::open(&dir.join("ledger"), &bytes(genesis), keys, quiet()).expect("a ledger");
    let (mut done, mut refused) = (0, 0);
    for (index, line) in (1..).zip(commands.lines()) {
        let parts: Vec<&str> = line.split(' ').collect();
        let (stamp, root, command) = (parts[0], parts[1], parts[parts.len() - 1]);
        let stamp_ms = stamp.parse().expect("a time");
        let outcomes = ledger.apply(index, 1, stamp_ms, &bytes(command)).expect("as it was");
        if parts.len() == 4 {
            assert_eq!(told(&outcomes), parts[2], "command {index}: {outcomes:?}");
        }
        assert_eq!(ledger.reader().root().to_string(), root, "after command {index}: {outcomes:?}");
        let is_refused = |outcome: &&CommandOutcome| matches!(outcome, CommandOutcome::Refused(_));
        refused += outcomes.iter().filter(is_refused).count();
        done += outcomes.len();
    }
    (ledger, done, refused)
}

#[test]
fn a_log_of_level_2_is_applied_to_the_same_roots() {
    let dir = tempfile::tempdir().expect("a folder");
    let (ledger, done, refused) = replay("level-2", dir.path());
    assert_eq!(ledger.reader().feature_level(), 2);
    // A closing and a policy that the signer had no right to, and four acts of after, twice.
    assert_eq!((done, refused), (39, 10), "what was refused is");
}

#[test]
fn a_log_of_level_3_is_applied_to_the_same_roots() {
    let dir = tempfile::tempdir().expect("a folder");
    let (ledger, done, refused) = replay("level-3", dir.path());
    assert_eq!(ledger.reader().feature_level(), 3);
    assert_eq!((done, refused), (864, 276), "what was refused is");
}

#[test]
fn a_log_of_level_4_is_applied_to_the_same_roots() {
    let dir = tempfile::tempdir().expect("a folder");
    let (ledger, done, refused) = replay("level-4", dir.path());
    assert_eq!(ledger.reader().feature_level(), 4);
    assert_eq!((done, refused), (1085, 397), "what was refused is");
}

/// With `INTO` it writes a log as the present program applies it: only the last program of a level makes that level's.
#[test]
fn a_log_is_made_where_a_folder_is_named() {
    if let Ok(into) = std::env::var("INTO") {
        make::make(Path::new(&into));
    }
}
