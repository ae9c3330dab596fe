//! What is wrong with a node is said by that node, and the others go on: another log's keyring, a disk that can't be written
//! or read, a disk that is nearly full, a caller that leaves its connections open. Each story has nodes of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rocksdb::{ColumnFamilyDescriptor, DB, Options as Database};
use serde_json::Value;
use sillage_ledger::seal::Keyring;
use sillage_proto::v1::{ClusterStatusRequest, StreamStatusRequest};
use sillage_tests::lines::{access, ins};
use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::wire::{info, pem_of, rpc};
use sillage_tests::world::World;

/// What is wrong is said within this.
const SAID_MAX: Duration = Duration::from_secs(40);

fn main() -> ExitCode {
    tell(
        || (),
        stories![
            another_keyring_than_before_is_refused_at_the_start_with_the_way_out,
            a_node_with_another_logs_keyring_takes_no_part_and_says_so,
            a_disk_that_cannot_be_written_is_said_and_another_node_records,
            a_rotten_block_is_said_and_the_reader_is_answered_by_another_node,
            nodes_whose_disks_are_nearly_full_let_another_one_lead_and_refuse_when_all_are,
            a_caller_that_used_up_its_connections_still_sees_how_the_nodes_are,
        ],
    )
}

fn some(world: &World, patient: u64, count: usize) {
    let lines: Vec<_> = (0..count).map(|n| access(&ins(patient), &format!("{patient}-{n}"))).collect();
    world.record(&lines);
}

/// `sillage cluster status --json`, with its exit code.
fn status(world: &World) -> (Option<i32>, Value) {
    let run = world.sillage(&["cluster", "status", "--json"]);
    (run.code, serde_json::from_str(&run.stdout).unwrap_or(Value::Null))
}

/// The words of a node's alarms.
fn alarms(status: &Value, node: u64) -> Vec<String> {
    let nodes = status["nodes"].as_array().into_iter().flatten();
    let alarms = nodes.filter(|of| of["id"] == node).flat_map(|of| of["alarms"].as_array().into_iter().flatten());
    alarms.map(|alarm| alarm["word"].as_str().expect("a word").to_owned()).collect()
}

/// Waits until the status is as wanted, and gives it.
fn until(world: &World, what: &str, mut holds: impl FnMut(Option<i32>, &Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let (code, status) = status(world);
        if holds(code, &status) {
            return status;
        }
        assert!(began.elapsed() < SAID_MAX, "{what}: exit {code:?}, {status:#}\n{}", world.logs());
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn until_well(world: &World) {
    until(world, "every node is ok", |code, _| code == Some(0));
}

/// Puts another log's keyring in the place of a node's; gives the path of its own, which is kept.
fn swap_keyring(world: &World, node: u64) -> (PathBuf, PathBuf) {
    let path = world.dir().join(format!("node-{node}/keys/keyring"));
    let own = world.path("own-keyring");
    fs::rename(&path, &own).expect("it is ours");
    Keyring::generate().expect("randomness").save(&path).expect("writable");
    (path, own)
}

fn another_keyring_than_before_is_refused_at_the_start_with_the_way_out(_: &mut ()) {
    let mut world = World::begin();
    some(&world, 1, 3);
    until_well(&world);
    let victim = (1..=3).find(|id| *id != world.leader()).expect("a follower");
    world.kill(victim);
    let (path, own) = swap_keyring(&world, victim);
    world.restart(victim);
    let began = Instant::now();
    let words = "give the node the newest keyring of its own log";
    while !world.logs().contains(words) {
        assert!(began.elapsed() < SAID_MAX, "{}", world.logs());
        std::thread::sleep(Duration::from_millis(50));
    }
    some(&world, 2, 3);
    let (code, status) = status(&world);
    assert_eq!(code, Some(1), "one node is away: {status:#}");
    assert_eq!(status["ok"], false, "one node is away: {status:#}");
    world.kill(victim);
    fs::rename(own, path).expect("it is ours");
    world.restart(victim);
    world.settled(3);
    until_well(&world);
}

fn a_node_with_another_logs_keyring_takes_no_part_and_says_so(_: &mut ()) {
    let mut world = World::begin();
    until_well(&world);
    let victim = (1..=3).find(|id| *id != world.leader()).expect("a follower");
    world.kill(victim);
    let (path, own) = swap_keyring(&world, victim);
    // As if it had never started: there is nothing to compare with but the others.
    fs::remove_file(world.dir().join(format!("node-{victim}/data/KEYRING"))).expect("on record");
    world.restart(victim);
    let says_so = |code, status: &Value| code == Some(1) && alarms(status, victim) == ["KEYRING_DIFFERS"];
    let before = until(&world, "the node says so", says_so);
    let of = |status: &Value| status["nodes"][usize::try_from(victim).expect("small") - 1].clone();
    assert_eq!(of(&before)["status"], "stopped", "{before:#}");
    let what = of(&before)["alarms"][0]["what"].to_string();
    assert!(what.contains("4096 prefixes (0x000, 0x001,") && what.contains("differ from those of node"), "{what}");
    some(&world, 1, 20);
    let after = until(&world, "it still says so", says_so);
    let applied = |node: &Value| node["applied"].as_u64().expect("an index");
    let others = after["nodes"].as_array().expect("nodes").iter().map(applied).max().expect("nodes");
    assert!(applied(&of(&after)) < others, "it has taken nothing: {after:#}");
    // The right keyring is taken, though this node had another one for a while.
    world.kill(victim);
    fs::remove_file(&path).expect("it is ours");
    fs::rename(own, path).expect("it is ours");
    world.restart(victim);
    world.settled(3);
    until_well(&world);
}

/// The database of a node.
fn database(node: &Path) -> PathBuf {
    let ledger = node.join("data/ledger");
    let name = fs::read_to_string(ledger.join("CURRENT-DB")).expect("the pointer");
    ledger.join(name.trim())
}

fn a_disk_that_cannot_be_written_is_said_and_another_node_records(_: &mut ()) {
    let mut world = World::begin();
    some(&world, 1, 3);
    until_well(&world);
    let victim = world.leader();
    let (here, away) = (database(&world.dir().join(format!("node-{victim}"))), world.path("away"));
    fs::rename(&here, &away).expect("it is ours");
    some(&world, 2, 3);
    let said = |_: Option<i32>, status: &Value| alarms(status, victim).contains(&"FLUSH_FAILED".to_owned());
    until(&world, "the node says so", said);
    assert_ne!(world.leader(), victim, "another node leads");
    some(&world, 3, 3);
    world.kill(victim);
    fs::rename(&away, &here).expect("it is ours");
    world.restart(victim);
    world.settled(3);
    until_well(&world);
}

/// Flips a bit in the middle of every file with payloads; gives the files.
fn rot(path: &Path) -> Vec<PathBuf> {
    let names = DB::list_cf(&Database::default(), path).expect("families");
    let families = names.into_iter().map(|name| ColumnFamilyDescriptor::new(name, Database::default()));
    let db = DB::open_cf_descriptors(&Database::default(), path, families).expect("a database that nobody uses");
    let files = db.live_files().expect("its files");
    drop(db);
    let payloads: Vec<_> = files.into_iter().filter(|file| file.column_family_name == "payload").collect();
    assert!(!payloads.is_empty(), "payloads are on disk");
    let payloads: Vec<_> = payloads.iter().map(|file| path.join(file.name.trim_start_matches('/'))).collect();
    payloads.iter().for_each(|file| flip(file));
    payloads
}

fn flip(file: &Path) {
    let mut bytes = fs::read(file).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).expect("writable");
}

fn a_rotten_block_is_said_and_the_reader_is_answered_by_another_node(_: &mut ()) {
    let mut world = World::begin();
    some(&world, 1, 200);
    world.settled(3);
    let victim = (1..=3).find(|id| *id != world.leader()).expect("a follower");
    world.close();
    let rotten = rot(&database(&world.dir().join(format!("node-{victim}"))));
    world.open();
    // The reader asks the rotten node first.
    let text = fs::read_to_string(world.profile_file()).expect("the profile");
    let mut endpoints = world.profile().endpoints;
    endpoints.rotate_left(usize::try_from(victim).expect("small") - 1);
    let lines = text.lines().map(|line| match line.starts_with("endpoints") {
        true => format!("endpoints = {endpoints:?}\n"),
        false => format!("{line}\n"),
    });
    let profile = world.dir().join("first.toml");
    fs::write(&profile, lines.collect::<String>()).expect("writable");
    let patient = ins(1);
    let trace = ["trace", "--patient", &patient, "--oid", sillage_tests::lines::OID, "--limit", "300", "--json"];
    let answered = world.sillage_as(&profile, &trace).ok();
    assert!(answered.stdout.lines().count() >= 200, "{answered}");
    let says_so = |code, status: &Value| code == Some(1) && alarms(status, victim).contains(&"ROTTEN".to_owned());
    until(&world, "the node says so", says_so);
    // A restart doesn't forget it, though nobody reads the block again.
    world.kill(victim);
    world.restart(victim);
    until(&world, "the node still says so", says_so);
    // Once the file can be read again, it is over.
    world.kill(victim);
    rotten.iter().for_each(|file| flip(file));
    world.restart(victim);
    world.settled(3);
    until_well(&world);
}

/// Sets how much a node keeps free, and starts it again.
fn reserve(world: &mut World, node: u64, bytes: u64) {
    world.kill(node);
    let file = world.dir().join(format!("node-{node}/node.toml"));
    let text = fs::read_to_string(&file).expect("a configuration");
    let lines = text.lines().map(|line| match line.starts_with("disk_reserve_bytes") {
        true => format!("disk_reserve_bytes = {bytes}\n"),
        false => format!("{line}\n"),
    });
    let text: String = lines.collect();
    assert!(text.contains(&bytes.to_string()), "the file says how much: {text}");
    fs::write(&file, text).expect("writable");
    world.restart(node);
}

fn nodes_whose_disks_are_nearly_full_let_another_one_lead_and_refuse_when_all_are(_: &mut ()) {
    let mut world = World::begin();
    some(&world, 1, 3);
    let stat = rustix::fs::statvfs(world.dir().as_path()).expect("a disk");
    let free = stat.f_bavail * stat.f_frsize;
    // More than there is, and less than what would make it take nothing at all.
    let too_much = free + free / 2;
    for node in [1, 2] {
        reserve(&mut world, node, too_much);
        world.settled(3);
    }
    until(&world, "the third leads, the others say why not", |code, status| {
        let low = |node| alarms(status, node) == ["READ_ONLY"];
        code == Some(1) && status["leader"] == 3 && low(1) && low(2)
    });
    some(&world, 2, 3);
    world.settled(3);
    reserve(&mut world, 3, too_much);
    until(&world, "all say so", |_, status| (1..=3).all(|node| alarms(status, node) == ["READ_ONLY"]));
    let line = world.write("line.ndjson", sillage_tests::lines::ndjson(&[access(&ins(3), "later")]));
    let refused = world.sillage(&["--timeout", "10", "record", "--file", &line.to_string_lossy()]);
    // The last attempt may have had no time left for an answer.
    assert!(refused.code == Some(3) && refused.stdout.is_empty(), "{refused}");
    // With room again, the same batch goes in.
    for node in 1..=3 {
        reserve(&mut world, node, 1);
    }
    world.sillage(&["record", "--file", &line.to_string_lossy()]).ok();
    world.settled(3);
    until_well(&world);
}

fn a_caller_that_used_up_its_connections_still_sees_how_the_nodes_are(_: &mut ()) {
    let world = World::begin();
    until_well(&world);
    let profile = world.profile();
    let pem = pem_of(&profile);
    let local = ClusterStatusRequest { local_only: true };
    // As many as a caller may have, each open; and as many again, which a reserve of sixteen can't hold.
    let mut held = Vec::new();
    for _ in 0..256 {
        let mut one = rpc(&profile, 1, Some(&pem));
        world.wait(one.cluster_status(local)).expect("it tells how it is");
        held.push(one);
    }
    let mut another = rpc(&profile, 1, Some(&pem));
    let told = world.wait(another.cluster_status(local)).expect("it still does").into_inner().nodes.remove(0);
    let words: Vec<_> = told.alarms.iter().map(|alarm| alarm.word.as_str()).collect();
    assert_eq!(told.status, "warning");
    assert_eq!(words, ["CONNECTIONS_USED_UP"], "this alarm and no other");
    let busy = world.wait(another.stream_status(StreamStatusRequest::default())).expect_err("and nothing else");
    assert_eq!(info(&busy).code, "BUSY");
    let (code, _) = status(&world);
    assert_eq!(code, Some(1), "the command line with the same certificate sees it");
    drop((held, another));
    until_well(&world);
}
