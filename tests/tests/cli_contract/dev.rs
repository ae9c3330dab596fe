//! `sillage-node dev`: one command, no configuration, a ledger to develop against.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use sillage_chaos::process::{Options, program};
use sillage_tests::lines::{INS, OID, access};
use sillage_tests::world::{World, run};

pub fn the_files_are_where_the_contract_says(world: &mut World) {
    let dir = world.dir();
    let vkey = fs::read_to_string(dir.join("log.vkey")).expect("log.vkey");
    assert_eq!(vkey.lines().count(), 1, "one line: {vkey:?}");
    let policy = fs::read_to_string(dir.join("policy.txt")).expect("policy.txt");
    assert!(policy.contains(&format!("log {}", vkey.trim())), "{policy}");
    for id in 1..=3 {
        let node = dir.join(format!("node-{id}"));
        assert!(node.join("node.toml").is_file() && node.join("pid").is_file(), "node {id}");
        assert!(node.join("data").is_dir(), "node {id}");
    }
    let profile = world.profile();
    assert_eq!(profile.endpoints.len(), 3);
    assert!(profile.author_signing_key().is_ok());
    let logs = world.cluster().logs().to_owned();
    let printed = fs::read_to_string(logs.join("dev.out")).expect("what dev printed");
    assert_eq!(printed, "ready\n");
}

pub fn every_node_is_a_process_of_its_own(world: &mut World) {
    let pids: BTreeSet<u32> = (1..=3).filter_map(|id| world.cluster().pid(id)).collect();
    assert_eq!(pids.len(), 3, "{pids:?}");
    for id in 1..=3 {
        let pid = world.cluster().pid(id).expect("it runs");
        let file = fs::read_to_string(world.dir().join(format!("node-{id}/pid"))).expect("its pid file");
        assert_eq!(file.trim(), pid.to_string());
    }
}

pub fn a_second_start_in_the_same_folder_is_refused(world: &mut World) {
    let mut again = Command::new(program("sillage-node").expect("the node's program"));
    let refused = run(again.arg("dev").arg("--dir").arg(world.dir()), b"").fails(1);
    assert!(refused.error().contains("runs on") || refused.error().contains("port"), "{refused}");
    assert_eq!(world.settled(3).len(), 3, "and the first one goes on");
}

pub fn one_node_creates_stops_and_reopens(_: &mut World) {
    let mut world = World::with(Options { nodes: 1, ..Options::default() });
    let first = world.record(&[access(INS, "before")]);
    let pid = world.cluster().pid(1).expect("it runs");

    world.close();
    assert!(!fs::exists(format!("/proc/{pid}")).expect("/proc"), "Ctrl-C stops all");
    world.sillage(&["--timeout", "1", "checkpoint"]).fails(3);

    world.open();
    let second = world.record(&[access(INS, "after")]);
    assert!(second > first, "{second:?} after {first:?}");
    let trace = world.sillage(&["trace", "--patient", INS, "--oid", OID, "--json"]).ok();
    assert_eq!(trace.lines().len(), 2, "{trace}");
}
