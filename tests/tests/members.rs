//! Nodes come and go, on running nodes and under load: a lost one is replaced, three become five and three again, and
//! every proof made before holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sillage_chaos::process::program;
use sillage_tests::folders::copy;
use sillage_tests::lines::{OID, access, ins};
use sillage_tests::members::{Grown, Load, address, ids, log_of, text};
use sillage_tests::second_verifier::proves;
use sillage_tests::stories;
use sillage_tests::story::tell;

const PATIENT: u64 = 910;
/// A log that doesn't open within this won't.
const OPENED_MAX: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    tell(
        Grown::begin,
        stories![
            what_cannot_be_is_refused_and_changes_nothing,
            a_lost_node_is_replaced_under_load,
            what_was_proven_before_still_is,
            a_learner_that_lags_or_comes_twice_is_refused,
            after_an_erasure_a_new_node_is_whole,
            three_become_five_and_three_again_under_load,
            two_voters_are_the_fewest,
            leadership_is_handed_over,
            a_folder_whose_nodes_were_replaced_opens_again,
        ],
    )
}

fn lines(members: &Value) -> String {
    format!("{:?}", ids(members))
}

fn follower(grown: &Grown) -> u64 {
    let leader = grown.world.leader();
    (1..=3).find(|id| *id != leader).expect("three nodes")
}

/// The folder of a node that joins, where `sillage-node dev` looks for it.
fn folder(grown: &Grown, id: u64) -> PathBuf {
    grown.world.dir().join(format!("node-{id}"))
}

/// Proves an entry and a patient's trace, into two files of this name.
fn prove(grown: &Grown, name: &str, index: u64, patient: u64) {
    let proof = text(&grown.out(&format!("{name}.tlog-proof")));
    grown.world.sillage(&["prove", "inclusion", &index.to_string(), "--out", &proof]).ok();
    let bundle = text(&grown.out(&format!("{name}.sillage-trace")));
    grown.world.sillage(&["prove", "patient", &ins(patient), "--oid", OID, "--out", &bundle]).ok();
}

/// Both files verify under the policy, in Rust and in JavaScript.
fn holds(grown: &Grown, name: &str, policy: &Path) {
    let files = ["tlog-proof", "sillage-trace"].map(|kind| grown.out(&format!("{name}.{kind}")));
    for file in &files {
        grown.world.sillage(&["verify", &text(file), "--policy", &text(policy)]).ok();
    }
    proves(policy, &[&files[0], &files[1]]);
}

/// The policy of today, proven from the first.
fn policy_now(grown: &Grown, name: &str) -> PathBuf {
    let new = grown.out(name);
    let first = text(&grown.world.dir().join("policy.txt"));
    grown.world.sillage(&["prove", "keys", "--policy", &first, "--out", &text(&new)]).ok();
    new
}

fn what_cannot_be_is_refused_and_changes_nothing(grown: &mut Grown) {
    grown.is_ready();
    let before = grown.members();
    let leader = grown.world.leader().to_string();
    let living = follower(grown).to_string();
    let (dir, at) = (text(&grown.out("refused")), address());
    let replace = grown.cluster(&["member", "replace", &living, "--address", &at, "--out", &dir]);
    replace.refused("ACT_REFUSED").naming("answers");
    grown.cluster(&["member", "remove", &leader]).refused("ACT_REFUSED").naming("move-leader");
    grown.cluster(&["member", "promote", &living]).refused("ACT_REFUSED").naming("votes already");
    grown.cluster(&["member", "promote", "4"]).refused("ACT_REFUSED").naming("no node 4");
    grown.cluster(&["member", "add", "--address", "nowhere", "--out", &dir]).usage();
    let full = text(&grown.world.dir());
    grown.cluster(&["member", "add", "--address", &at, "--out", &full]).fails(2).naming("isn't empty");
    assert!(!grown.out("refused").exists());
    assert_eq!(lines(&grown.members()), lines(&before));
}

fn a_lost_node_is_replaced_under_load(grown: &mut Grown) {
    let lines = [access(&ins(PATIENT), "before"), access(&ins(PATIENT + 1), "too")];
    let [index, _] = grown.world.record(&lines)[..] else { panic!("two lines") };
    prove(grown, "before", index, PATIENT);

    let load = Load::begin(&grown.world, PATIENT + 50, None);
    let lost = follower(grown);
    grown.world.kill(lost);
    fs::remove_dir_all(folder(grown, lost)).expect("its disk is gone");
    let dir = folder(grown, 4);
    let lost_id = lost.to_string();
    let replaced = grown.cluster(&["member", "replace", &lost_id, "--address", &address(), "--out", &text(&dir)]).ok();
    assert!(replaced.stderr.contains("destroy node") && replaced.stderr.contains("VRF"), "{replaced}");
    assert!(dir.join("data/JOIN").exists(), "the new node is to join");
    assert!(!dir.join("keys/keyring").exists(), "its folder has no key of the group");
    grown.cluster(&["member", "promote", "4"]).refused("ACT_REFUSED").naming("doesn't answer");
    grown.cluster(&["member", "remove", &lost_id]).refused("ACT_REFUSED").naming("removed before");

    grown.serve(&dir);
    grown.promote(4);
    let expected: Vec<u64> = (1..=4).filter(|id| *id != lost).collect();
    assert_eq!(ids(&grown.members()), (expected.clone(), expected.clone()));
    assert!(load.end() > 0);
    grown.level(&expected);
    assert!(!dir.join("data/JOIN").exists(), "from now on an empty disk is a lost disk");
}

fn what_was_proven_before_still_is(grown: &mut Grown) {
    holds(grown, "before", &grown.world.dir().join("policy.txt"));
    let new = policy_now(grown, "policy-of-four.txt");
    let policy = fs::read_to_string(&new).expect("written");
    assert!(policy.contains("node-4"), "{policy}");
    let [index] = grown.world.record(&[access(&ins(PATIENT), "after")])[..] else { panic!("one line") };
    prove(grown, "after", index, PATIENT);
    holds(grown, "after", &new);
    grown.world.sillage(&["trace", "--patient", &ins(PATIENT), "--oid", OID, "--json", "--verify"]).ok();
}

fn a_learner_that_lags_or_comes_twice_is_refused(grown: &mut Grown) {
    let (dir, twin) = (folder(grown, 5), grown.out("twin"));
    let added = grown.cluster(&["member", "add", "--address", &address(), "--out", &text(&dir)]).ok().json();
    assert_eq!(added["node"], 5);
    // Somebody carries the folder to two machines.
    copy(&dir, &twin);
    grown.serve(&dir);
    let applied = |grown: &Grown| {
        let members = grown.members();
        let node = members["members"].as_array()?.iter().find(|node| node["id"] == 5)?.clone();
        node["applied"].as_u64().filter(|applied| *applied > 0)
    };
    grown.until("the learner's ledger", || applied(grown));
    // A disk without room: it answers and applies nothing.
    let config = dir.join("node.toml");
    let whole = fs::read_to_string(&config).expect("a configuration");
    let free = u64::from(u32::MAX) << 24;
    let without_room = format!("{whole}\n[limits]\ndisk_reserve_bytes = {free}\n");
    assert!(!whole.contains("[limits]"), "{whole}");
    grown.kill(&dir);
    fs::write(&config, without_room).expect("ours");
    grown.serve(&dir);
    grown.world.record(&[access(&ins(PATIENT), "while it lags")]);
    let before = lines(&grown.members());
    let lags = grown.until("an answer of the learner", || {
        let run = grown.cluster(&["member", "promote", "5"]).refused("ACT_REFUSED");
        (!run.stderr.contains("doesn't answer")).then_some(run)
    });
    lags.naming("node 5 lags: it has applied").naming("let it catch up");
    assert_eq!(lines(&grown.members()), before);

    // Its twin, at other ports, has the same id and certificate. The group talks to the place on record alone.
    let other = address();
    let [host, port, peer_port] = other.split(':').collect::<Vec<_>>()[..] else { panic!("{other}") };
    let mut twins = String::new();
    for line in whole.lines() {
        twins += &match line.split_once(" = ") {
            Some(("listen_client", _)) => format!("listen_client = \"{host}:{port}\"\n"),
            Some(("listen_peer", _)) => format!("listen_peer = \"{host}:{peer_port}\"\n"),
            _ => format!("{line}\n"),
        };
    }
    fs::write(twin.join("node.toml"), twins).expect("ours");
    grown.serve(&twin);
    grown.until("a word of the twin", || log_of(&twin).contains("OUT_OF_TOUCH").then_some(()));
    assert!(twin.join("data/JOIN").exists(), "it has no ledger that names it");
    grown.kill(&twin);

    grown.kill(&dir);
    fs::write(&config, whole).expect("ours");
    grown.serve(&dir);
    grown.promote(5);
}

fn after_an_erasure_a_new_node_is_whole(grown: &mut Grown) {
    let [goes, _] = grown.world.record(&[access(&ins(PATIENT + 2), "goes"), access(&ins(PATIENT + 2), "stays")])[..]
    else {
        panic!("two lines")
    };
    let erase = ["--timeout", "80", "erase", "--record", &goes.to_string(), "--ground", "ORDER 1", "--now"];
    let said = grown.world.sillage_as(&grown.world.authority_file(), &erase).ok().json_lines();
    assert_eq!(said.last().map(|line| &line["waiting"]), Some(&Value::from(0)), "{said:?}");

    let dir = folder(grown, 6);
    assert_eq!(grown.add(&dir, &address()), 6);
    grown.promote(6);
    assert_eq!(ids(&grown.members()).1.len(), 5, "three have become five");
    let all = ids(&grown.members()).0;
    grown.level(&all);
    assert!(!log_of(&dir).contains("no key-encryption key"), "{}", log_of(&dir));
}

fn log_key(grown: &Grown) -> String {
    let lines = grown.world.sillage(&["keys", "list", "--json"]).ok().json_lines();
    let line = lines.iter().find(|line| line["holder"] == "the log").expect("the log's line");
    line["public_key"].as_str().expect("a key").to_owned()
}

fn three_become_five_and_three_again_under_load(grown: &mut Grown) {
    let receipts = grown.out("receipts.ndjson");
    let load = Load::begin(&grown.world, PATIENT + 60, Some(&receipts));
    let five = policy_now(grown, "policy-of-five.txt");
    let policy = fs::read_to_string(&five).expect("written");
    assert!((4..=6).all(|id| policy.contains(&format!("node-{id}"))), "{policy}");
    let [index] = grown.world.record(&[access(&ins(PATIENT), "with five")])[..] else { panic!("one line") };
    prove(grown, "five", index, PATIENT);
    holds(grown, "five", &five);

    let key = log_key(grown);
    let first: Vec<u64> = ids(&grown.members()).0.into_iter().filter(|id| *id <= 3).collect();
    assert_eq!(first.len(), 2, "of the first three one was replaced");
    for id in &first {
        grown.remove(*id);
    }
    assert_eq!(ids(&grown.members()), (vec![4, 5, 6], vec![4, 5, 6]));
    assert!(load.end() > 0);
    grown.level(&[4, 5, 6]);
    grown.until("the log's new key", || {
        grown.world.record(&[access(&ins(PATIENT), "on")]);
        (log_key(grown) != key).then_some(())
    });

    // None of the first nodes is left. What was proven and promised with each set of nodes holds, after an erasure too.
    let [goes] = grown.world.record(&[access(&ins(PATIENT + 3), "goes")])[..] else { panic!("one line") };
    let erase = ["--timeout", "80", "erase", "--record", &goes.to_string(), "--ground", "ORDER 2", "--now"];
    grown.until("an erasure", || {
        let run = grown.world.sillage_as(&grown.world.authority_file(), &erase);
        (run.code == Some(0)).then_some(())
    });
    holds(grown, "before", &grown.world.dir().join("policy.txt"));
    holds(grown, "after", &grown.out("policy-of-four.txt"));
    holds(grown, "five", &five);
    let now = policy_now(grown, "policy-of-three-others.txt");
    let [index] = grown.world.record(&[access(&ins(PATIENT), "with three others")])[..] else { panic!("one line") };
    prove(grown, "others", index, PATIENT);
    holds(grown, "others", &now);
    grown.world.sillage(&["audit", "--receipts", &text(&receipts)]).ok();
    grown.world.sillage(&["trace", "--patient", &ins(PATIENT + 60), "--oid", OID, "--json", "--verify"]).ok();
    grown.world.sillage(&["audit"]).ok();
}

fn two_voters_are_the_fewest(grown: &mut Grown) {
    grown.remove(6);
    let before = lines(&grown.members());
    for id in ["4", "5"] {
        let last = grown.cluster(&["member", "remove", id]).refused("ACT_REFUSED");
        assert!(last.stderr.contains("two are the fewest"), "{last}");
    }
    assert_eq!(lines(&grown.members()), before);
    let dir = folder(grown, 7);
    assert_eq!(grown.add(&dir, &address()), 7);
    grown.promote(7);
    grown.level(&[4, 5, 7]);
}

fn leadership_is_handed_over(grown: &mut Grown) {
    let leader = grown.world.leader();
    let next = ids(&grown.members()).1.into_iter().find(|id| *id != leader).expect("another one");
    let said = grown.cluster(&["move-leader", &next.to_string()]).ok().json();
    assert_eq!(said["leader"], next);
    grown.cluster(&["move-leader", "9"]).refused("ACT_REFUSED").naming("doesn't vote");
}

fn a_folder_whose_nodes_were_replaced_opens_again(grown: &mut Grown) {
    let size = grown.world.tree_size();
    for id in 4..=7 {
        let dir = folder(grown, id);
        grown.kill(&dir);
    }
    grown.world.close();
    let (out, err) = (grown.out("dev.out"), grown.out("dev.err"));
    let file = |path: &Path| fs::File::create(path).expect("a file");
    let mut dev = Command::new(program("sillage-node").unwrap_or_else(|error| panic!("{error}")))
        .args(["dev", "--dir", &text(&grown.world.dir())])
        .stdin(Stdio::null())
        .stdout(file(&out))
        .stderr(file(&err))
        .spawn()
        .expect("it starts");
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let deadline = Instant::now() + OPENED_MAX;
    while !read(&out).contains("ready") && dev.try_wait().expect("a child").is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    let is_ready = read(&out).contains("ready");
    let status = is_ready.then(|| grown.cluster(&["status", "--json"]).json());
    let pid = rustix::process::Pid::from_child(&dev);
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
    let _ = dev.wait();
    assert!(is_ready, "{}", read(&err));
    let nodes = status.expect("it was asked")["nodes"].as_array().expect("nodes").clone();
    let found: Vec<u64> = nodes.iter().map(|node| node["id"].as_u64().expect("an id")).collect();
    assert_eq!(found, [4, 5, 7]);
    assert!(nodes.iter().all(|node| node["tree_size"].as_u64() >= Some(size)), "{nodes:?}");
    assert!(read(&err).contains("node 6 was removed from this log"), "{}", read(&err));
}
