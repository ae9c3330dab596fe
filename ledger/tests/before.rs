//! A log of before: commands that a program of feature level 2 applied, and the root that it had after each. It has records
//! of every sort by a party with the role author, decisions, acts, and what that program didn't know, which it refused. The
//! present program applies it to the same roots.
//!
//! `before/log.txt`: the genesis, then a line for each command: the leader's stamp in milliseconds, the root, the command.
//! `before/keyring`: what its data keys are wrapped with; it opens nothing else.

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use common::quiet;
use sillage_ledger::seal::Keyring;
use sillage_ledger::{BatchOutcome, Ledger, ROLES};

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(digits).collect()
}

#[test]
fn a_log_of_before_is_applied_to_the_same_roots() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/before");
    let log = std::fs::read_to_string(folder.join("log.txt")).expect("the log");
    let (genesis, commands) = log.split_once('\n').expect("lines");
    let dir = tempfile::tempdir().expect("a folder");
    // A checkout gives everybody the right to read it, which a keyring refuses.
    let keyring = dir.path().join("keyring");
    std::fs::copy(folder.join("keyring"), &keyring).expect("a keyring");
    std::fs::set_permissions(&keyring, std::fs::Permissions::from_mode(0o600)).expect("a file");
    let keys = Arc::new(Keyring::load(&keyring).expect("a keyring"));
    let mut ledger = Ledger::open(&dir.path().join("ledger"), &bytes(genesis), keys, quiet()).expect("a ledger");
    let (mut done, mut refused) = (0, 0);
    for (index, line) in (1..).zip(commands.lines()) {
        let mut parts = line.split(' ');
        let mut part = || parts.next().expect("three parts");
        let (stamp, root, command) = (part(), part(), part());
        let stamp_ms = stamp.parse().expect("a time");
        let outcomes = ledger.apply(index, 1, stamp_ms, &bytes(command)).expect("as it was");
        assert_eq!(ledger.reader().root().to_string(), root, "after command {index}: {outcomes:?}");
        let is_refused = |outcome: &&BatchOutcome| matches!(outcome, BatchOutcome::Refused(_));
        refused += outcomes.iter().filter(is_refused).count();
        done += outcomes.len();
    }
    assert!(ledger.reader().feature_level() < ROLES);
    assert_eq!((done, refused), (DONE, REFUSED), "what was refused is");
}

const DONE: usize = 39;
/// A closing and a policy that the signer had no right to, and four acts of after, twice.
const REFUSED: usize = 10;
