//! `sillage checkpoint`, `entry`, `prove`, `verify`: what anyone can check.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::keys::SigningKey;
use sillage_proof::note::{KeyKind, SignedNote, SignerKey, VerifierKey};
use sillage_proof::tlog_proof::TlogProof;
use sillage_rules::time::TimeMs;
use sillage_tests::lines::{OID, access, ins};
use sillage_tests::world::{Run, World};

/// A receipt promises a checkpoint within 10 s; a busy machine gets some more.
const PROMISE: Duration = Duration::from_secs(20);

fn checkpoint(world: &World) -> (String, Checkpoint) {
    let note = world.sillage(&["checkpoint"]).ok().stdout;
    let signed = SignedNote::parse(note.as_bytes()).expect("a signed note and nothing else");
    let checkpoint = Checkpoint::parse(signed.text()).expect("a checkpoint");
    (note, checkpoint)
}

/// A checkpoint over the entry at `index`: what was acknowledged comes under one within the receipt's promise.
fn checkpoint_over(world: &World, index: u64) -> (String, Checkpoint) {
    let began = Instant::now();
    loop {
        let found = checkpoint(world);
        if found.1.size.get() > index {
            return found;
        }
        assert!(began.elapsed() < PROMISE, "entry {index} is not under a checkpoint: {}", found.0);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn verify(world: &World, file: &Path, policy: &Path) -> Run {
    world.sillage(&["verify", &file.to_string_lossy(), "--policy", &policy.to_string_lossy()])
}

fn prove(world: &World, index: u64, name: &str, args: &[&str]) -> PathBuf {
    let file = world.path(name);
    let out = ["prove", "inclusion", &index.to_string(), "--out", &file.to_string_lossy()].map(str::to_owned);
    let out: Vec<&str> = out.iter().map(String::as_str).chain(args.iter().copied()).collect();
    world.sillage(&out).ok();
    file
}

fn policy(world: &World) -> PathBuf {
    world.dir().join("policy.txt")
}

pub fn a_checkpoint_is_a_note_signed_by_the_log(world: &mut World) {
    let (note, checkpoint) = self::checkpoint(world);
    let vkey = fs::read_to_string(world.dir().join("log.vkey")).expect("log.vkey");
    let key: VerifierKey = vkey.trim().parse().expect("a signed-note verifier key");
    let signed = SignedNote::parse(note.as_bytes()).expect("a note");
    assert!(signed.verify([&key]).is_ok(), "signed by the log's key:\n{note}");
    assert_eq!(signed.text().lines().count(), 3, "three lines, no extension:\n{note}");
    assert_eq!(signed.text().lines().next(), Some(world.profile().origin.as_str()));

    let index = world.record(&[access(&ins(40), "one more")])[0];
    let (_, later) = checkpoint_over(world, index);
    assert!(later.size > checkpoint.size);
}

pub fn an_entry_says_what_it_is(world: &mut World) {
    let index = world.record(&[access(&ins(41), "entry")])[0];
    let entry = world.sillage(&["entry", &index.to_string(), "--json"]).ok().json();
    assert_eq!(entry["index"], index);
    assert_eq!(entry["kind"], "access.read");
    assert_eq!(entry["flags"], serde_json::json!(["LATE", "CLAIMED"]));
    assert_eq!(entry["states_basis"], true);
    let leaf_hash = entry["leaf_hash"].as_str().expect("a text");
    assert_eq!(hex::decode(leaf_hash).expect("hex").len(), 32);
    entry["recorded_at"].as_str().expect("a text").parse::<TimeMs>().expect("a time");

    assert_eq!(world.sillage(&["entry", "0", "--json"]).ok().json()["kind"], "genesis");
    world.sillage(&["entry", &(index - 1).to_string(), "--json"]).ok();
    let text = world.sillage(&["entry", &index.to_string()]).ok();
    assert!(text.stdout.contains(leaf_hash), "{text}");
}

pub fn a_proof_is_verified_offline_and_not_without_a_policy(world: &mut World) {
    let index = world.record(&[access(&ins(42), "proven")])[0];
    let file = prove(world, index, "a.tlog-proof", &[]);
    let proof = TlogProof::parse(&fs::read(&file).expect("the file")).expect("a c2sp.org/tlog-proof@v1");
    assert_eq!(proof.index.get(), index);
    verify(world, &file, &policy(world)).ok();
    let printed = world.sillage(&["prove", "inclusion", &index.to_string()]).ok().stdout;
    assert!(printed.starts_with("c2sp.org/tlog-proof@v1\n"), "{printed}");

    let (note, _) = checkpoint(world);
    let note = world.write("a.checkpoint", note);
    verify(world, &note, &policy(world)).ok();
    let both = [&file, &note].map(|path| path.to_string_lossy().into_owned());
    world.sillage(&["verify", &both[0], &both[1], "--policy", &policy(world).to_string_lossy()]).ok();

    world.sillage(&["verify", &both[0]]).fails(2).naming("POLICY_REQUIRED");
    // Offline: neither the ledger nor its profile is needed.
    let mut alone = sillage_tests::world::sillage();
    alone.args(["verify", &both[0], "--policy"]).arg(policy(world));
    sillage_tests::world::run(&mut alone, b"").ok();
}

pub fn an_older_size_can_be_proven_too(world: &mut World) {
    let index = world.record(&[access(&ins(43), "older")])[0];
    let (_, old) = checkpoint_over(world, index);
    let newer = world.record(&[access(&ins(43), "newer")])[0];
    let (_, new) = checkpoint_over(world, newer);
    assert!(new.size > old.size);
    let file = prove(world, index, "old.tlog-proof", &["--size", &old.size.to_string()]);
    let proof = TlogProof::parse(&fs::read(&file).expect("the file")).expect("a proof file");
    let under = Checkpoint::parse(proof.checkpoint.text()).expect("a checkpoint");
    assert_eq!(under.size, old.size, "the proof is under the size that was asked for");
    assert_eq!(under.root, old.root, "the root at that size is the one of before");
    verify(world, &file, &policy(world)).ok();
}

pub fn the_log_only_grew(world: &mut World) {
    let (_, old) = checkpoint(world);
    let newer = world.record(&[access(&ins(44), "growth")])[0];
    let (_, new) = checkpoint_over(world, newer);
    let sizes = [old.size.to_string(), new.size.to_string()];
    world.sillage(&["prove", "consistency", &sizes[0], &sizes[1]]).ok();
    world.sillage(&["prove", "consistency", "1", &sizes[1]]).ok();
    let backwards = world.sillage(&["prove", "consistency", &sizes[1], &sizes[0]]);
    assert!(matches!(backwards.code, Some(2 | 4)), "{backwards}");
}

pub fn what_was_altered_is_not_verified(world: &mut World) {
    let indices = world.record(&[access(&ins(45), "first"), access(&ins(45), "second")]);
    let (first, second) =
        (prove(world, indices[0], "1.tlog-proof", &[]), prove(world, indices[1], "2.tlog-proof", &[]));
    let (first, second) = (fs::read_to_string(first).expect("a proof"), fs::read_to_string(second).expect("a proof"));

    // The second entry's path under the first one's name.
    let moved = second.replacen(&format!("index {}", indices[1]), &format!("index {}", indices[0]), 1);
    let path_of = |proof: &str| proof.lines().skip_while(|l| !l.starts_with("index ")).nth(1).map(str::to_owned);
    let (own, other) = (path_of(&first).expect("a path"), path_of(&second).expect("a path"));
    let crossed = first.replacen(&own, &other, 1);
    let size = first.lines().skip_while(|l| !l.is_empty()).nth(2).expect("the size of the checkpoint").to_owned();
    let forged_note = first.replacen(&format!("\n{size}\n"), "\n999999\n", 1);
    for (name, altered) in [("moved", moved), ("crossed", crossed), ("note", forged_note)] {
        assert!(altered != first && altered != second, "{name} is altered");
        let file = world.write(&format!("{name}.tlog-proof"), altered);
        verify(world, &file, &policy(world)).fails(1);
    }
    let half: String = first.chars().take(first.chars().count() / 2).collect();
    let cut = world.write("cut.tlog-proof", half);
    assert_ne!(verify(world, &cut, &policy(world)).code, Some(0));

    // A log of the same name with another key.
    let key =
        SignerKey::new(&world.profile().origin, KeyKind::Ed25519, SigningKey::from_seed(&[9; 32])).expect("a key");
    let other = world.write("other-policy.txt", format!("log {}\nquorum none\n", key.verifier()));
    let file = world.write("good.tlog-proof", &first);
    verify(world, &file, &policy(world)).ok();
    verify(world, &file, &other).fails(1);
}

pub fn bundles_of_one_minute_are_on_record_as_one_reading(world: &mut World) {
    let patient = ins(46);
    for round in 0..3 {
        // Young: the proof has to wait for an index commit.
        world.record(&[access(&patient, &format!("bundle {round}"))]);
        let out = world.path(&format!("{round}.sillage-trace"));
        world.sillage(&["prove", "patient", &patient, "--oid", OID, "--out", &out.to_string_lossy()]).ok();
        let whole = sillage_tests::world::run(
            sillage_tests::world::sillage().arg("verify").arg(&out).arg("--policy").arg(policy(world)).arg("--json"),
            b"",
        );
        let report = whole.ok().json();
        let entries = report["report"]["entries"].as_array().expect("entries").clone();
        assert_eq!(entries.iter().filter(|entry| entry["kind"] == "access.read").count(), round + 1, "{report}");
    }
    let kind = ["--kind", "log.consulted", "--json"];
    let read = world.sillage(&[&["trace", "--patient", &patient, "--oid", OID][..], &kind].concat()).ok().json_lines();
    // A minute may begin between two of them.
    assert!((1..=2).contains(&read.len()), "{read:?}");
    assert!(read.iter().all(|line| line["details"]["for_s"] == 60), "{read:?}");
}

pub fn sizes_and_indices_not_reached_are_refused(world: &mut World) {
    let far = "123456789";
    world.sillage(&["prove", "inclusion", "1", "--size", far]).fails(4).naming("SIZE_NOT_REACHED");
    world.sillage(&["prove", "consistency", "1", far]).fails(4).naming("SIZE_NOT_REACHED");
    world.sillage(&["prove", "inclusion", far]).fails(4).naming("UNKNOWN_INDEX");
    world.sillage(&["entry", far]).fails(4).naming("UNKNOWN_INDEX");
}
