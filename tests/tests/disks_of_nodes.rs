//! Stories of disks: emptied, put back, exchanged. Nothing that was acknowledged is lost, and no such disk takes part.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sillage_chaos::process::program;
use sillage_tests::folders::copy;
use sillage_tests::lines::{access, ins};
use sillage_tests::members::{Grown, address, text};
use sillage_tests::world::{Run, World, run};

/// A node that finds itself wrong says so within this.
const FOUND_MAX: Duration = Duration::from_secs(60);

/// One cluster at a time: ports are looked for before they are taken.
fn begin_alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn begin() -> (MutexGuard<'static, ()>, World) {
    let alone = begin_alone();
    (alone, World::begin())
}

/// Records so many accesses of one patient. Answers with their indices: the log has entries of its own between them.
fn some(world: &World, patient: u64, count: usize) -> Vec<u64> {
    let lines: Vec<_> = (0..count).map(|n| access(&ins(patient), &format!("{patient}-{n}"))).collect();
    world.record(&lines)
}

fn node(world: &World, id: u64) -> PathBuf {
    world.dir().join(format!("node-{id}"))
}

/// Waits until the processes' logs say these words.
fn is_said(world: &World, id: u64, words: &str) {
    let began = Instant::now();
    let log = node(world, id).join("log.txt");
    loop {
        if world.logs().contains(words) || fs::read_to_string(&log).unwrap_or_default().contains(words) {
            return;
        }
        assert!(began.elapsed() < FOUND_MAX, "node {id} doesn't say {words:?}\n{}", world.logs());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Nodes that lead, follow, follow.
fn roles(world: &World) -> [u64; 3] {
    let leader = world.leader();
    [leader, leader % 3 + 1, (leader + 1) % 3 + 1]
}

#[test]
fn an_emptied_data_folder_is_refused_and_the_others_lose_nothing() {
    let (_alone, mut world) = begin();
    some(&world, 10, 5);
    let [leader, second, third] = roles(&world);
    // The third is away while the other two acknowledge; then the leader is away, and the second comes back empty.
    world.kill(third);
    some(&world, 11, 5);
    let size = world.tree_size();
    world.kill(leader);
    world.kill(second);
    let (data, aside) = (node(&world, second).join("data"), world.path("aside"));
    fs::rename(&data, &aside).expect("it is ours");
    world.restart(second);
    world.restart(third);
    is_said(&world, second, "the data folder is empty, but this node ran on disk");
    assert!(!data.join("ledger").exists(), "nothing was made");
    world.restart(leader);
    some(&world, 12, 5);
    assert!(world.tree_size() > size);
    world.settled(2);
    // Its own folder put back in place, it takes part again.
    let _ = fs::remove_dir_all(&data);
    fs::rename(&aside, &data).expect("it is ours");
    world.restart(second);
    world.settled(3);
}

#[test]
fn a_disk_put_back_is_refused_and_300_acknowledged_records_stay() {
    let (_alone, mut world) = begin();
    some(&world, 20, 200);
    let [leader, back, lagging] = roles(&world);
    world.kill(back);
    let (data, old) = (node(&world, back).join("data"), world.path("old"));
    copy(&data, &old);
    world.restart(back);
    world.settled(3);
    world.kill(lagging);
    some(&world, 21, 300);
    let size = world.tree_size();
    world.kill(leader);
    world.kill(back);
    fs::remove_dir_all(&data).expect("it is ours");
    fs::rename(&old, &data).expect("it is ours");
    world.restart(lagging);
    world.restart(back);
    is_said(&world, back, "it was put back to an older state");
    world.restart(leader);
    some(&world, 22, 50);
    let nodes = world.settled(2);
    assert!(nodes.iter().filter(|node| node.reachable).all(|node| node.tree_size >= size + 50));
}

#[test]
fn a_node_made_anew_under_its_old_id_is_found_by_its_peers() {
    let (_alone, mut world) = begin();
    some(&world, 30, 5);
    world.settled(3);
    let [_, again, _] = roles(&world);
    world.kill(again);
    // As the folder of `init` was before its first start.
    fs::remove_dir_all(node(&world, again).join("data")).expect("it is ours");
    fs::remove_file(node(&world, again).join("keys/disk")).expect("it is ours");
    fs::create_dir(node(&world, again).join("data")).expect("a folder");
    fs::write(node(&world, again).join("data/FOUND"), "").expect("a file");
    world.restart(again);
    // They know its disk, and what it has cosigned.
    is_said(&world, again, "CORRUPT");
    some(&world, 31, 5);
    world.settled(2);
}

#[test]
fn exchanged_data_folders_are_refused() {
    let (_alone, mut world) = begin();
    some(&world, 40, 5);
    world.settled(3);
    let [_, one, other] = roles(&world);
    world.kill(one);
    world.kill(other);
    let (a, b, aside) = (node(&world, one).join("data"), node(&world, other).join("data"), world.path("aside"));
    let exchange = || {
        fs::rename(&a, &aside).and_then(|()| fs::rename(&b, &a)).and_then(|()| fs::rename(&aside, &b)).expect("ours");
    };
    exchange();
    world.restart(one);
    world.restart(other);
    is_said(&world, one, &format!("the Raft log belongs to node {other}, not {one}"));
    is_said(&world, other, &format!("the Raft log belongs to node {one}, not {other}"));
    exchange();
    world.restart(one);
    world.restart(other);
    some(&world, 41, 5);
    world.settled(3);
}

/// `sillage-node found --config NODE/node.toml ARGS`.
fn found(world: &World, id: u64, args: &[&str]) -> Run {
    let mut command = Command::new(program("sillage-node").unwrap_or_else(|error| panic!("{error}")));
    run(command.args(["found", "--config"]).arg(node(world, id).join("node.toml")).args(args), b"")
}

#[test]
fn a_log_whose_every_disk_was_emptied_is_founded_anew_only_when_somebody_says_so() {
    let (_alone, mut world) = begin();
    world.settled(3);
    found(&world, 1, &["--forget-disk"]).fails(1).naming("node 1 runs");
    (1..=3).for_each(|id| world.kill(id));
    found(&world, 1, &["--forget-disk"]).fails(1).naming("has its data");
    (1..=3).for_each(|id| fs::remove_dir_all(node(&world, id).join("data")).expect("it is ours"));
    (1..=3).for_each(|id| world.restart(id));
    for id in 1..=3 {
        is_said(&world, id, "if the disks of all nodes are gone, see what `sillage-node found --config FILE` says");
    }
    for id in 1..=3 {
        found(&world, id, &[]).fails(1).naming("ALL THAT WAS RECORDED IS LOST").naming("[1, 2, 3]");
        assert!(node(&world, id).join("keys/disk").exists(), "nothing is done before somebody says so");
    }
    // Two alone don't found it: the third might be there still.
    for id in 1..=2 {
        found(&world, id, &["--forget-disk"]).ok();
        world.restart(id);
    }
    is_said(&world, 1, "NOT_FOUNDED");
    is_said(&world, 1, "nodes [3] weren't met yet");
    found(&world, 3, &["--forget-disk"]).ok();
    world.restart(3);
    some(&world, 60, 5);
    world.settled(3);
}

#[test]
fn a_node_that_forgot_its_disk_alone_is_known_by_its_peers() {
    let (_alone, mut world) = begin();
    some(&world, 70, 5);
    world.settled(3);
    let [_, again, _] = roles(&world);
    world.kill(again);
    fs::remove_dir_all(node(&world, again).join("data")).expect("it is ours");
    found(&world, again, &["--forget-disk"]).ok();
    world.restart(again);
    is_said(&world, again, "CORRUPT");
    some(&world, 71, 5);
    world.settled(2);
}

/// Bytes of the Raft log that a node keeps in this story, so that its first entries are gone soon.
const SMALL_LOG: [(&str, &str); 3] =
    [("log_bytes_max", "2000000"), ("log_keep_bytes", "300000"), ("segment_bytes", "1000000")];

fn with_small_log(world: &World, id: u64) {
    let file = node(world, id).join("node.toml");
    let text = fs::read_to_string(&file).expect("a configuration");
    let small = |line: &str| {
        let name = line.split(" = ").next().unwrap_or_default();
        let known = SMALL_LOG.iter().find(|(known, _)| *known == name);
        known.map_or_else(|| line.to_owned(), |(_, bytes)| format!("{name} = {bytes}"))
    };
    let changed: Vec<String> = text.lines().map(small).collect();
    assert_ne!(changed.join("\n"), text.trim_end(), "the configuration names its bounds");
    fs::write(&file, changed.join("\n") + "\n").expect("ours");
}

#[test]
fn a_damaged_database_is_replaced_as_the_messages_say() {
    let _alone = begin_alone();
    let mut grown = Grown::begin();
    grown.is_ready();
    (1..=3).for_each(|id| grown.world.kill(id));
    (1..=3).for_each(|id| with_small_log(&grown.world, id));
    (1..=3).for_each(|id| grown.world.restart(id));
    let records: Vec<u64> = (0..6).flat_map(|patient| some(&grown.world, 800 + patient, 2_000)).collect();
    grown.world.settled(3);
    let [_, lost, _] = roles(&grown.world);
    grown.world.kill(lost);
    let (ledger, data) = (node(&grown.world, lost).join("data/ledger"), node(&grown.world, lost).join("data"));
    let database = fs::read_dir(&ledger).expect("a ledger").flatten().map(|entry| entry.path());
    let database = database.filter(|path| path.is_dir()).max().expect("a database");
    let manifest = fs::read_dir(&database).expect("a database").flatten().map(|entry| entry.path());
    let manifest = manifest.filter(|path| path.to_string_lossy().contains("MANIFEST")).max().expect("a manifest");
    let mut bytes = fs::read(&manifest).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&manifest, bytes).expect("ours");
    grown.world.restart(lost);
    is_said(&grown.world, lost, "don't repair it by hand, replace this node (`sillage cluster member replace ID");
    // Whoever moves it away all the same, and then empties the disk, is told the same again.
    grown.world.kill(lost);
    fs::rename(&ledger, grown.out("ledger-aside")).expect("ours");
    grown.world.restart(lost);
    is_said(
        &grown.world,
        lost,
        "the state machine lost entries; replace this node (`sillage cluster member replace ID`)",
    );
    grown.world.kill(lost);
    fs::remove_dir_all(&data).expect("ours");
    grown.world.restart(lost);
    is_said(&grown.world, lost, "this node ran on disk");

    // An erasure waits for the node, and says how it goes on.
    let [first, second] = [records[0].to_string(), records[1].to_string()];
    let erase = ["--timeout", "20", "erase", "--record", &first, "--ground", "ORDER 1", "--now"];
    let held = grown.world.sillage_as(&grown.world.authority_file(), &erase);
    let way_out = format!("sillage cluster member replace {lost}");
    assert!(held.code != Some(0) && held.to_string().contains(&way_out), "{held}");
    let dir = grown.out("node-4");
    let replaced = ["member", "replace", &lost.to_string(), "--address", &address(), "--out", &text(&dir)];
    grown.cluster(&replaced).ok();
    grown.serve(&dir);
    grown.promote(4);
    // With the new node, this one and the one that waited are over.
    let other = ["--timeout", "80", "erase", "--record", &second, "--ground", "ORDER 2", "--now"];
    let said = grown.world.sillage_as(&grown.world.authority_file(), &other).ok().json_lines();
    assert_eq!(said.last().map(|line| line["waiting"] == 0), Some(true), "{said:?}");
}
