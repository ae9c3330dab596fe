//! Stories of disks: emptied, put back, exchanged. Nothing that was acknowledged is lost, and no such disk takes part.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sillage_tests::lines::{access, ins};
use sillage_tests::world::World;

/// A node that finds itself wrong says so within this.
const FOUND_MAX: Duration = Duration::from_secs(60);

/// One cluster at a time: ports are looked for before they are taken.
fn begin() -> (MutexGuard<'static, ()>, World) {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    (alone, World::begin())
}

fn some(world: &World, patient: u64, count: usize) {
    let lines: Vec<_> = (0..count).map(|n| access(&ins(patient), &format!("{patient}-{n}"))).collect();
    world.record(&lines);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("a copy")),
        }
    }
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
