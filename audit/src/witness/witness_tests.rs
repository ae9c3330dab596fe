use sillage_proof::hash::{Hash, leaf_hash};
use sillage_proof::keys::SigningKey;
use sillage_proof::merkle::{consistency_proof, root_of};
use sillage_proof::note::KeyKind;

use super::*;

const ORIGIN: &str = "log.example/one";

fn log(seed: u8, origin: &str) -> SignerKey {
    SignerKey::new(origin, KeyKind::Ed25519, SigningKey::from_seed(&[seed; 32])).expect("a key")
}

/// Leaves of a log; `salt` makes another history.
fn tree(size: u8, salt: u8) -> Vec<Hash> {
    (0..size).map(|index| leaf_hash(&[index, salt])).collect()
}

fn checkpoint(tree: &[Hash], origin: &str) -> Checkpoint {
    let size = TreeSize(tree.len() as u64);
    Checkpoint { origin: origin.parse().expect("a name"), size, root: root_of(tree) }
}

fn body(old: u64, tree: &[Hash], key: &SignerKey) -> String {
    let new = TreeSize(tree.len() as u64);
    let proof = match old {
        0 => Vec::new(),
        old if old > new.get() => Vec::new(),
        old => consistency_proof(tree, TreeSize(old), new).expect("in range"),
    };
    let base64 = |hash: &Hash| {
        use base64::prelude::{BASE64_STANDARD, Engine};
        format!("{}\n", BASE64_STANDARD.encode(hash.as_bytes()))
    };
    let note = checkpoint(tree, key.verifier().name()).sign(&[key], 0).expect("signed");
    format!("old {old}\n{}\n{note}", proof.iter().map(base64).collect::<String>())
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let vkeys = [log(1, ORIGIN), log(2, "log.example/two")].map(|key| key.verifier().to_string());
    Config::init(&dir.path().join("w"), "witness.example/w1", &vkeys, &[]).expect("made");
    dir
}

fn open(dir: &tempfile::TempDir) -> Witness {
    Witness::open(&dir.path().join("w")).expect("a witness")
}

fn ask(witness: &Witness, body: &str) -> Answer {
    witness.add_checkpoint(body.as_bytes(), 1_700_000_000)
}

/// The cosigned note verifies under the witness's key.
fn cosigned(witness: &Witness, body: &str) -> bool {
    let Answer::Cosigned(line) = ask(witness, body) else {
        return false;
    };
    let (_, note) = body.split_once("\n\n").expect("a note");
    let note = SignedNote::parse(format!("{note}{line}").as_bytes()).expect("a note");
    let verified = note.verify([witness.key()]).expect("cosigned");
    verified[0].time_s == Some(1_700_000_000)
}

#[test]
fn a_log_that_grows_is_cosigned_at_each_step() {
    let dir = folder();
    let (witness, key) = (open(&dir), log(1, ORIGIN));
    for (old, size) in [(0, 0), (0, 3), (3, 3), (3, 8), (8, 21)] {
        assert!(cosigned(&witness, &body(old, &tree(size, 0), &key)), "{old} to {size}");
    }
    assert!(cosigned(&witness, &body(0, &tree(5, 9), &log(2, "log.example/two"))), "the other log has its own state");
}

#[test]
fn what_it_cosigned_outlives_the_process_and_is_shown_to_monitors() {
    let dir = folder();
    let key = log(1, ORIGIN);
    let witness = open(&dir);
    assert_eq!(witness.latest(&store::file_name(ORIGIN)), None);
    assert!(cosigned(&witness, &body(0, &tree(5, 0), &key)));
    assert!(Witness::open(&dir.path().join("w")).is_err(), "one process at a time");
    drop(witness);
    let witness = open(&dir);
    assert_eq!(ask(&witness, &body(0, &tree(9, 0), &key)), Answer::Conflict(TreeSize(5)));
    assert!(cosigned(&witness, &body(5, &tree(9, 0), &key)));
    let note = witness.latest(&store::file_name(ORIGIN)).expect("cosigned");
    let note = SignedNote::parse(note.as_bytes()).expect("a note");
    let verified = note.verify([witness.key(), key.verifier()]).expect("signed");
    assert_eq!(verified.len(), 2, "the log's signature and the witness's");
    assert_eq!(witness.latest(&"0".repeat(64)), None);
}

#[test]
fn each_refusal_is_the_one_of_the_specification() {
    let dir = folder();
    let (witness, key) = (open(&dir), log(1, ORIGIN));
    assert!(cosigned(&witness, &body(0, &tree(5, 0), &key)));
    let stranger = log(3, "log.example/three");
    assert_eq!(ask(&witness, &body(0, &tree(5, 0), &stranger)), Answer::UnknownLog);
    let impostor = log(9, ORIGIN);
    assert!(matches!(ask(&witness, &body(5, &tree(6, 0), &impostor)), Answer::NotSigned(_)));
    let altered = body(5, &tree(6, 0), &key).replace("\n6\n", "\n7\n");
    assert!(matches!(ask(&witness, &altered), Answer::NotSigned(_)));
    assert!(matches!(ask(&witness, &body(7, &tree(6, 0), &key)), Answer::Malformed(_)), "old above new");
    assert!(matches!(ask(&witness, "old 5\n"), Answer::Malformed(_)));
    assert_eq!(ask(&witness, &body(4, &tree(6, 0), &key)), Answer::Conflict(TreeSize(5)));
    assert_eq!(ask(&witness, &body(0, &tree(6, 0), &key)), Answer::Conflict(TreeSize(5)));
    assert_eq!(ask(&witness, &body(3, &tree(4, 0), &key)), Answer::Conflict(TreeSize(5)), "never a smaller size");
    assert_eq!(ask(&witness, &body(5, &tree(5, 1), &key)), Answer::Conflict(TreeSize(5)), "never a second root");
    assert!(matches!(ask(&witness, &body(5, &tree(8, 1), &key)), Answer::Inconsistent(_)), "another history");
    assert!(cosigned(&witness, &body(5, &tree(8, 0), &key)), "and the log itself goes on");
}

#[test]
fn a_first_checkpoint_has_no_proof_and_an_empty_log_the_empty_root() {
    let dir = folder();
    let (witness, key) = (open(&dir), log(1, ORIGIN));
    let extra =
        body(0, &tree(5, 0), &key).replacen("old 0\n", "old 0\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n", 1);
    assert!(matches!(ask(&witness, &extra), Answer::Inconsistent(_)));
    let mut empty = checkpoint(&tree(1, 0), ORIGIN);
    empty.size = TreeSize(0);
    let note = empty.sign(&[&key], 0).expect("signed");
    assert!(matches!(ask(&witness, &format!("old 0\n\n{note}")), Answer::Inconsistent(_)));
}

#[test]
fn two_histories_at_once_get_one_cosignature() {
    let dir = folder();
    let (witness, key) = (open(&dir), log(1, ORIGIN));
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let (witness, key) = (&witness, &key);
        let asks = (0..8).map(|salt| scope.spawn(move || ask(witness, &body(0, &tree(5, salt), key))));
        asks.collect::<Vec<_>>().into_iter().map(|thread| thread.join().expect("answered")).collect()
    });
    let done = answers.iter().filter(|answer| matches!(answer, Answer::Cosigned(_))).count();
    assert_eq!(done, 1, "{answers:?}");
    assert!(answers.iter().all(|a| matches!(a, Answer::Cosigned(_) | Answer::Conflict(TreeSize(5)))));
}

#[test]
fn nothing_is_answered_that_was_not_stored() {
    let dir = folder();
    let (witness, key) = (open(&dir), log(1, ORIGIN));
    std::fs::remove_dir(dir.path().join("w/logs")).expect("removed");
    assert!(matches!(ask(&witness, &body(0, &tree(5, 0), &key)), Answer::Broken(_)));
    std::fs::create_dir(dir.path().join("w/logs")).expect("made");
    assert!(cosigned(&witness, &body(0, &tree(6, 1), &key)), "nothing was cosigned before");
}

#[test]
fn a_policy_asks_for_more_than_the_logs_signature() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let node = SignerKey::new("log.example/one/node-1", KeyKind::CosignatureV1, SigningKey::from_seed(&[7; 32]));
    let (key, node) = (log(1, ORIGIN), node.expect("a key"));
    let text = format!("log {}\nwitness node-1 {}\nquorum node-1\n", key.verifier(), node.verifier());
    let policy = LoggedPolicy { path: "policy.txt".into(), text };
    Config::init(&dir.path().join("w"), "w", &[], &[policy]).expect("made");
    let witness = open(&dir);
    assert!(matches!(ask(&witness, &body(0, &tree(5, 0), &key)), Answer::NotSigned(_)), "the log alone");
    let note = checkpoint(&tree(5, 0), ORIGIN).sign(&[&key, &node], 9).expect("signed");
    assert!(cosigned(&witness, &format!("old 0\n\n{note}")));
    let shown = witness.latest(&store::file_name(ORIGIN)).expect("cosigned");
    let shown = SignedNote::parse(shown.as_bytes()).expect("a note");
    let verified = shown.verify([witness.key(), key.verifier(), node.verifier()]).expect("signed");
    assert_eq!(verified.len(), 3, "the node's too: a copy from before a new log key knows no other");
}

#[test]
fn a_folder_holds_one_witness_whose_key_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder();
    let path = dir.path().join("w");
    let vkey = [log(1, ORIGIN).verifier().to_string()];
    assert!(Config::init(&path, "other", &vkey, &[]).is_err(), "no key is overwritten");
    assert!(Config::init(&dir.path().join("x"), "a name", &vkey, &[]).is_err());
    assert!(Config::init(&dir.path().join("x"), "x", &["nonsense".to_owned()], &[]).is_err());
    let mode = |file: &str| std::fs::metadata(path.join(file)).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode("witness.key"), 0o600);
    std::fs::set_permissions(path.join("witness.key"), std::fs::Permissions::from_mode(0o640)).expect("chmod");
    assert!(Witness::open(&path).is_err(), "too open");
}

#[test]
fn another_history_is_said_aloud_and_kept_as_evidence() {
    // Same size and another root; a larger one whose proof leads elsewhere, whether the size before is a power of two or not.
    for (known, old, other) in [(8, 8, 8), (8, 0, 8), (8, 8, 13), (7, 7, 13)] {
        let dir = folder();
        let (witness, key) = (open(&dir), log(1, ORIGIN));
        assert!(cosigned(&witness, &body(0, &tree(known, 0), &key)));
        assert!(witness.metrics().contains("sillage_witness_two_histories{origin=\"log.example/one\"} 0"));
        assert!(!matches!(ask(&witness, &body(old, &tree(other, 1), &key)), Answer::Cosigned(_)));
        let text = witness.metrics();
        assert!(
            text.contains("sillage_witness_two_histories{origin=\"log.example/one\"} 1"),
            "{known} {other}: {text}"
        );
        assert!(text.contains("sillage_witness_two_histories{origin=\"log.example/two\"} 0"), "{text}");
        let first = store::evidence(&dir.path().join("w"), ORIGIN).expect("read");
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].note.text(), checkpoint(&tree(other, 1), ORIGIN).to_text());
        assert_eq!(first[0].is_proven, other == known);
        // The log itself goes on, and the first evidence stays.
        assert!(cosigned(&witness, &body(known.into(), &tree(20, 0), &key)));
        ask(&witness, &body(20, &tree(20, 2), &key));
        let again = store::evidence(&dir.path().join("w"), ORIGIN).expect("read");
        assert!(again.contains(&first[0]) && again.len() == 2 && again[0].is_proven, "{again:?}");
    }
}

#[test]
fn what_is_merely_older_or_foreign_is_no_other_history() {
    let dir = folder();
    let (witness, key) = (open(&dir), log(1, ORIGIN));
    assert!(cosigned(&witness, &body(0, &tree(8, 0), &key)));
    for harmless in [body(0, &tree(5, 0), &key), body(3, &tree(9, 0), &key), body(8, &tree(9, 1), &log(7, ORIGIN))] {
        ask(&witness, &harmless);
    }
    assert_eq!(store::evidence(&dir.path().join("w"), ORIGIN).expect("read"), []);
}

/// The checkpoints that are kept as evidence in a witness's folder, by the end of the file's name.
fn kept(dir: &tempfile::TempDir, ends: &[&str]) -> Vec<String> {
    let files = std::fs::read_dir(dir.path().join("w/logs")).expect("there");
    let files = files.map(|file| file.expect("there").path());
    let evidence = files.filter(|path| path.extension().is_some_and(|end| ends.iter().any(|known| end == *known)));
    let read = |path: std::path::PathBuf| SignedNote::parse(&std::fs::read(path).expect("read")).expect("a note");
    evidence.map(|path| read(path).text().to_owned()).collect()
}

/// The log's own public checkpoint, with a proof that leads nowhere: anybody can send it.
fn with_garbage(old: u64, tree: &[Hash], key: &SignerKey) -> String {
    let (_, note) = body(0, tree, key).split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())).expect("a note");
    format!("old {old}\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n{note}")
}

#[test]
fn a_stranger_cant_take_the_place_of_the_evidence_of_a_fork() {
    let dir = folder();
    let (witness, key) = (open(&dir), log(1, ORIGIN));
    assert!(cosigned(&witness, &body(0, &tree(8, 0), &key)));
    // More of the log's own checkpoints than are kept of what proves nothing.
    for size in 9..60 {
        ask(&witness, &with_garbage(8, &tree(size, 0), &key));
    }
    let all = kept(&dir, &["other", "fork"]);
    assert!(!all.is_empty() && all.len() <= 8, "bounded: {}", all.len());
    // Another root at the size that was cosigned proves two histories: it is kept, whatever came before, and so is the next.
    for salt in [1, 2] {
        ask(&witness, &body(8, &tree(8, salt), &key));
        let fork = checkpoint(&tree(8, salt), ORIGIN).to_text();
        assert!(kept(&dir, &["other", "fork"]).contains(&fork), "{salt}");
    }
    let before = kept(&dir, &["other", "fork", "kept"]).len();
    ask(&witness, &body(8, &tree(8, 1), &key));
    assert_eq!(kept(&dir, &["other", "fork", "kept"]).len(), before, "the same once");
    assert!(kept(&dir, &["kept"]).contains(&checkpoint(&tree(8, 0), ORIGIN).to_text()), "and what had been cosigned");
    let unfinished = kept(&dir, &["part"]);
    assert!(unfinished.is_empty(), "{unfinished:?}");
}

#[test]
fn a_checkpoint_that_is_cosigned_later_contradicts_nothing() {
    let dir = folder();
    let (witness, key) = (open(&dir), log(1, ORIGIN));
    assert!(cosigned(&witness, &body(0, &tree(8, 0), &key)));
    ask(&witness, &with_garbage(8, &tree(13, 0), &key));
    assert_eq!(kept(&dir, &["other", "kept"]).len(), 2);
    assert!(cosigned(&witness, &body(8, &tree(13, 0), &key)));
    assert!(kept(&dir, &["other", "kept"]).is_empty());
    assert!(witness.metrics().contains("sillage_witness_two_histories{origin=\"log.example/one\"} 0"));
}
