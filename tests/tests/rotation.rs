//! New keys of a node and of the log, on three nodes: who trusts the old ones follows to the new ones, and to nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use sillage_tests::lines::{OID, access, ins};
use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::world::{Run, World};

const PATIENT: u64 = 610;
/// A node that hasn't learnt by then what its peers know won't.
const LEARNT_MAX: Duration = Duration::from_secs(40);

fn main() -> ExitCode {
    tell(
        World::begin,
        stories![
            without_a_rotation_a_policy_stays_as_it_is,
            new_keys_of_a_node_and_the_log_are_proven_under_the_old_policy,
            what_was_signed_before_still_verifies_and_so_does_all_that_comes,
            a_restarted_group_still_proves_its_keys,
            a_node_that_was_away_learns_the_proof_from_its_peers,
        ],
    )
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The policy that dev wrote: the keys of the genesis.
fn old_policy(world: &World) -> PathBuf {
    world.dir().join("policy.txt")
}

fn prove_keys(world: &World, out: &str) -> Run {
    let (policy, out) = (text(&old_policy(world)), text(&world.path(out)));
    world.sillage(&["prove", "keys", "--policy", &policy, "--out", &out])
}

fn verify(world: &World, file: &Path, policy: &Path) -> Run {
    world.sillage(&["verify", &text(file), "--policy", &text(policy)])
}

/// The newest checkpoint, under the profile's keys as they have come to be.
fn checkpoint(world: &World, name: &str) -> PathBuf {
    let shown = world.sillage(&["checkpoint", "--json"]).ok().json();
    world.write(name, shown["note"].as_str().expect("a note"))
}

/// A record, and a checkpoint that covers it.
fn moved_on(world: &World, patient: u64, name: &str) -> PathBuf {
    let [index] = world.record(&[access(&ins(patient), name)])[..] else { panic!("one line") };
    world
        .sillage(&[
            "prove",
            "inclusion",
            &index.to_string(),
            "--out",
            &text(&world.path(&format!("moved-{index}.tlog-proof"))),
        ])
        .ok();
    checkpoint(world, name)
}

fn without_a_rotation_a_policy_stays_as_it_is(world: &mut World) {
    moved_on(world, PATIENT, "before");
    verify(world, &world.path("before"), &old_policy(world)).ok();
    let said = prove_keys(world, "same.txt").ok();
    assert!(said.stderr.contains("no key and no node of this log was ever replaced"), "{said}");
    let same = fs::read(world.path("same.txt")).expect("written");
    assert_eq!(same, fs::read(old_policy(world)).expect("the policy"));
    world.sillage(&["keys", "rotate", "--log", "--node", "2", "--public-key", &"00".repeat(32)]).usage();
    world.sillage(&["keys", "rotate", "--public-key", &"00".repeat(32)]).usage();
}

/// Makes a key, and names its file in the configuration of these nodes.
fn new_key(world: &World, name: &str, setting: &str, nodes: &[u64]) -> String {
    let file = world.path(name);
    let key = world.sillage(&["keys", "new", "--out", &text(&file)]).ok().stdout.trim().to_owned();
    for id in nodes {
        let config = world.dir().join(format!("node-{id}/node.toml"));
        let old = fs::read_to_string(&config).expect("a configuration");
        fs::write(&config, format!("{setting} = {:?}\n{old}", text(&file))).expect("written");
    }
    key
}

fn signing_keys(world: &World) -> Vec<Value> {
    let lines = world.sillage(&["keys", "list", "--json"]).ok().json_lines();
    lines.into_iter().filter(|line| line.get("holder").is_some()).collect()
}

fn new_keys_of_a_node_and_the_log_are_proven_under_the_old_policy(world: &mut World) {
    let node = new_key(world, "node-2-next.key", "node_key_next", &[2]);
    let log = new_key(world, "log-next.key", "log_key_next", &[1, 2, 3]);
    world.close();
    world.open();
    let before = signing_keys(world);
    assert_eq!(before.len(), 4);
    assert!(before.iter().all(|line| line["since"] == 0), "{before:?}");

    let rotate = |args: &[&str]| {
        let args = [&["keys", "rotate"], args].concat();
        world.sillage_as(&world.authority_file(), &args).ok().json()["index"].as_u64().expect("an index")
    };
    let node_index = rotate(&["--node", "2", "--public-key", &node]);
    moved_on(world, PATIENT, "between");
    let log_index = rotate(&["--log", "--public-key", &log]);
    for number in 0..3 {
        moved_on(world, PATIENT + number, "after");
    }

    let now = signing_keys(world);
    let shown = |holder: &str| {
        let line = now.iter().find(|line| line["holder"] == holder).expect("a line");
        (line["public_key"].as_str().expect("a key").to_owned(), line["since"].as_u64().expect("an index"))
    };
    assert_eq!(shown("node 2"), (node, node_index), "the key of node 2, and since which entry");
    assert_eq!(shown("the log"), (log, log_index), "the log's key, and since which entry");
    let listed = world.sillage(&["keys", "list"]).ok().stdout;
    assert!(listed.contains(&format!("since entry {log_index}")), "{listed}");

    let said = prove_keys(world, "new.txt").ok();
    assert_eq!(said.json()["proven"].as_array().map(Vec::len), Some(2), "{said}");
    assert!(said.stderr.contains("node 2 has a new key") && said.stderr.contains("the log has a new key"), "{said}");
    let (old, new) = (fs::read_to_string(old_policy(world)), fs::read_to_string(world.path("new.txt")));
    let (old, new) = (old.expect("a policy"), new.expect("a policy"));
    let differ = old.lines().zip(new.lines()).filter(|(old, new)| old != new).count();
    assert_eq!(differ, 2, "the log's line and node 2's: {new}");
    assert_eq!(old.lines().count(), new.lines().count(), "no line comes or goes: {new}");
}

fn what_was_signed_before_still_verifies_and_so_does_all_that_comes(world: &mut World) {
    let (old, new) = (old_policy(world), world.path("new.txt"));
    let [before, after] = ["before", "after"].map(|name| world.path(name));
    verify(world, &before, &old).ok();
    verify(world, &after, &new).ok();
    assert_eq!(verify(world, &after, &old).code, Some(1), "the old policy doesn't know the new keys");
    assert_eq!(verify(world, &before, &new).code, Some(1), "nor the new one the old keys");
    let refused = world.sillage(&["checkpoint", "--policy", &text(&old)]).fails(1);
    refused.naming("sillage prove keys");
    world.sillage(&["checkpoint", "--policy", &text(&new), "--max-age", "5m"]).ok();

    // The profile is as it was.
    let patient = ins(PATIENT);
    world.sillage(&["trace", "--patient", &patient, "--oid", OID, "--verify"]).ok();
    let bundle = world.path("mine.sillage-trace");
    world.sillage(&["prove", "patient", &patient, "--oid", OID, "--out", &text(&bundle)]).ok();
    verify(world, &bundle, &new).ok();
    let proof = world.path("genesis.tlog-proof");
    world.sillage(&["prove", "inclusion", "0", "--out", &text(&proof)]).ok();
    verify(world, &proof, &new).ok();
    world.sillage(&["audit"]).ok();
    world.sillage(&["audit", "compare", &text(&before), &text(&after)]).ok();
    let lines = world.write("more.ndjson", sillage_tests::lines::ndjson(&[access(&patient, "kept")]));
    let receipts = text(&world.path("receipts"));
    world.sillage(&["record", "--file", &text(&lines), "--receipts", &receipts]).ok();
    moved_on(world, PATIENT, "newest");
    let kept = world.sillage(&["audit", "--receipts", &receipts, "--json"]).ok().json();
    assert_eq!(kept["kept"], 1, "{kept}");
    assert_eq!(kept["broken"].as_array().map(Vec::len), Some(0), "{kept}");
}

fn a_restarted_group_still_proves_its_keys(world: &mut World) {
    world.close();
    world.open();
    moved_on(world, PATIENT + 1, "again");
    let again = prove_keys(world, "again.txt").ok();
    assert_eq!(again.json()["proven"].as_array().map(Vec::len), Some(2), "{again}");
    let written = ["new.txt", "again.txt"].map(|name| fs::read(world.path(name)).expect("a policy"));
    assert_eq!(written[0], written[1]);
    // Each node alone can prove them.
    for endpoint in &world.profile().endpoints {
        prove_keys_of(world, endpoint, "one.txt").ok();
        assert_eq!(fs::read(world.path("one.txt")).expect("a policy"), written[0], "{endpoint}");
    }
}

/// What this node alone proves.
fn prove_keys_of(world: &World, endpoint: &str, out: &str) -> Run {
    let profile = fs::read_to_string(world.profile_file()).expect("a profile");
    let (before, rest) = profile.split_once("endpoints = [").expect("a list");
    let (_, after) = rest.split_once(']').expect("its end");
    let one = world.dir().join("one.toml");
    fs::write(&one, format!("{before}endpoints = [{endpoint:?}]{after}")).expect("written");
    // Nothing is written over what is there.
    let _ = fs::remove_file(world.path(out));
    let (policy, out) = (text(&old_policy(world)), text(&world.path(out)));
    world.sillage_as(&one, &["prove", "keys", "--policy", &policy, "--out", &out])
}

fn a_node_that_was_away_learns_the_proof_from_its_peers(world: &mut World) {
    let endpoint = world.profile().endpoints.get(2).expect("of node 3").clone();
    world.kill(3);
    let key = new_key(world, "node-3-next.key", "node_key_next", &[3]);
    world.sillage_as(&world.authority_file(), &["keys", "rotate", "--node", "3", "--public-key", &key]).ok();
    for _ in 0..2 {
        moved_on(world, PATIENT + 2, "without node 3");
    }
    world.restart(3);
    world.settled(3);
    let began = Instant::now();
    loop {
        let said = prove_keys_of(world, &endpoint, "third.txt");
        if said.code == Some(0) && said.json()["proven"].as_array().map(Vec::len) == Some(3) {
            break;
        }
        assert!(began.elapsed() < LEARNT_MAX, "{said}\n{}", world.logs());
        thread::sleep(Duration::from_millis(300));
    }
    // It cosigns with its new key.
    let policy = text(&world.path("third.txt"));
    let third = format!("{}/node-3", world.profile().origin);
    loop {
        moved_on(world, PATIENT + 2, "with node 3");
        let shown = world.sillage(&["checkpoint", "--policy", &policy, "--json"]).ok().json();
        if shown["cosigners"].as_array().expect("a list").iter().any(|one| one["name"] == third.as_str()) {
            return;
        }
        assert!(began.elapsed() < LEARNT_MAX, "{shown}\n{}", world.logs());
    }
}
