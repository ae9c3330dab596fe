//! With the keys of the log and of one node, and no majority.

use std::fs;
use std::path::Path;
use std::time::Duration;

use sillage_client::profile::load_seed;
use sillage_proof::batch::{Origin, ReceiptMessage};
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::hash::Hash;
use sillage_proof::note::{KeyKind, SignedNote, SignerKey};
use sillage_rules::cosigner::node_name;
use sillage_tests::lines::{access, ins};
use sillage_tests::world::{Run, World};

fn verify(world: &World, file: &Path) -> Run {
    let policy = world.dir().join("policy.txt");
    world.sillage(&["verify", &file.to_string_lossy(), "--policy", &policy.to_string_lossy()])
}

fn note(world: &World) -> SignedNote {
    let note = world.sillage(&["checkpoint"]).ok().stdout;
    SignedNote::parse(note.as_bytes()).expect("a signed note")
}

fn signer(world: &World, file: &str, name: &str, kind: KeyKind) -> SignerKey {
    let seed = load_seed(&world.dir().join("node-1/keys").join(file)).expect("the node's key");
    SignerKey::new(name, kind, seed).expect("a name")
}

fn now_s() -> u64 {
    std::time::UNIX_EPOCH.elapsed().expect("a clock").as_secs()
}

/// The log key and one node's: a checkpoint that no majority has seen.
pub fn a_log_key_alone_convinces_nobody(world: &mut World) {
    world.record(&[access(&ins(1), "one")]);
    let real = Checkpoint::parse(note(world).text()).expect("a checkpoint");
    let origin = real.origin.clone();
    let invented = Checkpoint { size: (real.size.get() + 10).into(), root: Hash::from([7; 32]), ..real };
    let log = signer(world, "log.key", origin.as_str(), KeyKind::Ed25519);
    let node = signer(world, "node.key", &node_name(&origin, 1), KeyKind::CosignatureV1);
    for (name, keys) in [("log-alone", vec![&log]), ("log-and-one-node", vec![&log, &node])] {
        let forged = invented.sign(&keys, now_s()).expect("signed").to_string();
        let file = world.write(name, forged);
        verify(world, &file).fails(1);
        let genuine = world.write("beside", note(world).to_string());
        let compared = world.sillage(&["audit", "compare", &genuine.to_string_lossy(), &file.to_string_lossy()]);
        assert_eq!(compared.code, Some(1), "{compared}");
    }
    let genuine = world.write("genuine", note(world).to_string());
    verify(world, &genuine).ok();
}

/// Signed by everybody needed, but of another log, under its name or ours.
pub fn another_logs_checkpoint_is_not_ours(world: &mut World) {
    let ours = Checkpoint::parse(note(world).text()).expect("a checkpoint");
    let other = Checkpoint { origin: Origin::new("elsewhere.example/log").expect("a name"), ..ours };
    let log = signer(world, "log.key", "elsewhere.example/log", KeyKind::Ed25519);
    let nodes: Vec<SignerKey> = (1..=3)
        .map(|id| {
            let seed = load_seed(&world.dir().join(format!("node-{id}/keys/node.key"))).expect("a node's key");
            let name = node_name(&world_origin(world), id);
            SignerKey::new(&name, KeyKind::CosignatureV1, seed).expect("a name")
        })
        .collect();
    let keys: Vec<&SignerKey> = std::iter::once(&log).chain(&nodes).collect();
    let file = world.write("elsewhere", other.sign(&keys, now_s()).expect("signed").to_string());
    verify(world, &file).fails(1);
}

fn world_origin(world: &World) -> Origin {
    Origin::new(world.profile().origin).expect("the profile's name")
}

/// True, and signed by all: but of then.
pub fn an_old_checkpoint_is_not_a_fresh_one(world: &mut World) {
    let old = world.write("old.checkpoint", note(world).to_string());
    std::thread::sleep(Duration::from_millis(2_200));
    let policy = world.dir().join("policy.txt");
    let (old, policy) = (old.to_string_lossy().into_owned(), policy.to_string_lossy().into_owned());
    world.sillage(&["verify", &old, "--policy", &policy, "--max-age", "1s"]).fails(1);
    world.sillage(&["verify", &old, "--policy", &policy, "--max-age", "10m"]).ok();
    // The log itself is asked for one that is younger.
    world.sillage(&["checkpoint", "--policy", &policy, "--max-age", "5m"]).ok();
}

/// A node promised, and never committed.
pub fn a_receipt_without_its_entries_is_evidence(world: &mut World) {
    let lines = world.write("kept.ndjson", sillage_tests::lines::ndjson(&[access(&ins(2), "kept")]));
    let kept = world.path("kept.receipts");
    let (lines, kept) = (lines.to_string_lossy().into_owned(), kept.to_string_lossy().into_owned());
    world.sillage(&["record", "--file", &lines, "--receipts", &kept]).ok();
    world.sillage(&["audit", "--receipts", &kept]).ok();

    let line = fs::read_to_string(&kept).expect("the receipts");
    let mut line: serde_json::Value = serde_json::from_str(line.lines().next().expect("one")).expect("JSON");
    let message = hex::decode(line["message"].as_str().expect("the message")).expect("hex");
    let mut promise = ReceiptMessage::decode(&message).expect("a receipt message");
    let key = load_seed(&world.dir().join("node-1/keys/node.key")).expect("the node's key");
    promise.batch.key_id = key.key_id();
    promise.batch.seq += 1;
    promise.batch.root = Hash::from([9; 32]);
    // Long ago enough for the ten seconds to be over.
    promise.time_ms = (promise.time_ms.get() - 60_000).into();
    line["seq"] = promise.batch.seq.into();
    line["message"] = hex::encode(promise.encode()).into();
    line["signature"] = hex::encode(promise.sign(&key)).into();
    let broken = world.write("broken.receipts", format!("{line}\n"));
    let found = world.sillage(&["audit", "--receipts", &broken.to_string_lossy()]);
    assert_eq!(found.code, Some(1), "{found}");
}

/// Hashes taken from the end of a proof, or put there.
pub fn a_proof_that_is_cut_or_longer_proves_nothing(world: &mut World) {
    let index = world.record(&[access(&ins(3), "proven")])[0];
    let file = world.path("p.tlog-proof");
    world.sillage(&["prove", "inclusion", &index.to_string(), "--out", &file.to_string_lossy()]).ok();
    verify(world, &file).ok();
    let text = fs::read_to_string(&file).expect("the proof");
    let (head, note) = text.split_once("\n\n").expect("a proof and its checkpoint");
    let last = head.lines().last().expect("a hash").to_owned();
    let cut = format!("{}\n\n{note}", head.strip_suffix(&last).expect("it ends so").trim_end());
    let longer = format!("{head}\n{last}\n\n{note}");
    for (name, altered) in [("cut", cut), ("longer", longer)] {
        let file = world.write(&format!("{name}.tlog-proof"), altered);
        verify(world, &file).fails(1);
    }
}
