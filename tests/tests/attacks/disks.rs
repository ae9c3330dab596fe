//! With the disks of one node, or of all of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rocksdb::{ColumnFamilyDescriptor, DB, Options as Database};
use sillage_chaos::process::Options;
use sillage_rules::entry::Entry;
use sillage_tests::folders::copy;
use sillage_tests::lines::{access, ins};
use sillage_tests::world::World;

/// A node that finds itself wrong says so within this.
const FOUND_MAX: Duration = Duration::from_secs(60);

fn put_back(copy_of: &Path, data: &Path) {
    fs::remove_dir_all(data).expect("it is ours");
    copy(copy_of, data);
}

/// Data folder and marker, as if the whole machine was copied.
fn copy_machine(node: &Path, to: &Path) {
    copy(&node.join("data"), &to.join("data"));
    fs::copy(node.join("keys/disk"), to.join("disk")).expect("a marker");
}

fn put_machine_back(copy_of: &Path, node: &Path) {
    put_back(&copy_of.join("data"), &node.join("data"));
    fs::copy(copy_of.join("disk"), node.join("keys/disk")).expect("a marker");
}

fn checkpoint(world: &World) -> String {
    world.sillage(&["checkpoint"]).ok().stdout
}

fn some(world: &World, patient: u64, count: usize) {
    let lines: Vec<_> = (0..count).map(|n| access(&ins(patient), &format!("{patient}-{n}"))).collect();
    world.record(&lines);
}

/// What a node logs of itself, or what `dev` says of its end.
fn said(world: &World, node: u64, words: &str) -> bool {
    let log = world.dir().join(format!("node-{node}/log.txt"));
    fs::read_to_string(log).unwrap_or_default().contains(words) || world.logs().contains(words)
}

/// Data folder and marker are put back together: the node itself can't tell, and its peers know better.
pub fn one_node_back_on_an_old_disk_stops_and_the_log_goes_on(_: &mut World) {
    let mut world = World::begin();
    some(&world, 10, 5);
    let _ = checkpoint(&world);
    world.settled(3);
    let leader = world.leader();
    let victim = (1..=3).find(|id| *id != leader).expect("a follower");
    world.kill(victim);
    let node = world.dir().join(format!("node-{victim}"));
    let old = world.path("old-disk");
    copy_machine(&node, &old);
    world.restart(victim);
    some(&world, 11, 5);
    world.settled(3);
    let before = checkpoint(&world);

    world.kill(victim);
    put_machine_back(&old, &node);
    world.restart(victim);
    let began = Instant::now();
    while !said(&world, victim, "CORRUPT") {
        assert!(began.elapsed() < FOUND_MAX, "node {victim} goes on with an old disk\n{}", world.logs());
        some(&world, 12, 1);
        std::thread::sleep(Duration::from_millis(200));
    }
    some(&world, 13, 3);
    let after = checkpoint(&world);
    assert_ne!(before, after, "the others go on");
}

fn database(node: &Path) -> DB {
    let ledger = node.join("data/ledger");
    let name = fs::read_to_string(ledger.join("CURRENT-DB")).expect("the pointer");
    let path = ledger.join(name.trim());
    let names = DB::list_cf(&Database::default(), &path).expect("families");
    let families = names.into_iter().map(|name| ColumnFamilyDescriptor::new(name, Database::default()));
    DB::open_cf_descriptors(&Database::default(), path, families).expect("a database that nobody uses")
}

fn entry(db: &DB, index: u64) -> Vec<u8> {
    let entries = db.cf_handle("entries").expect("the family");
    db.get_cf(entries, index.to_be_bytes()).expect("readable").expect("there")
}

fn put(db: &DB, index: u64, bytes: &[u8]) {
    let entries = db.cf_handle("entries").expect("the family");
    db.put_cf(entries, index.to_be_bytes(), bytes).expect("writable");
}

/// Changes the database; gives the entry that it is about.
type Lie = fn(&DB) -> u64;

/// The header of the batch that a record is in.
fn header_of(db: &DB, index: u64) -> u64 {
    match Entry::decode(&entry(db, index)) {
        Ok(Entry::Record(record)) => record.header_index().expect("an author's record").get(),
        other => panic!("entry {index} is no record: {other:?}"),
    }
}

fn is_record(bytes: &[u8]) -> bool {
    matches!(Entry::decode(bytes), Ok(Entry::Record(_)))
}

/// One node that is the whole group: nobody inside contradicts it.
pub fn what_is_altered_swapped_or_dropped_on_disk_is_found_by_replaying(_: &mut World) {
    let mut world = World::with(Options { nodes: 1, ..Options::default() });
    some(&world, 20, 700);
    let _ = checkpoint(&world);
    world.sillage(&["audit"]).ok();
    world.close();
    let clean = world.path("clean");
    let node = world.dir().join("node-1");
    copy_machine(&node, &clean);
    let lies: [(&str, Lie); 4] = [
        ("altered", |db| {
            let index = (100..200).find(|index| is_record(&entry(db, *index))).expect("a record");
            let mut bytes = entry(db, index);
            // A byte of the record hash.
            bytes[60] ^= 1;
            put(db, index, &bytes);
            index
        }),
        ("refiled", |db| {
            let index = (100..200).find(|index| is_record(&entry(db, *index))).expect("a record");
            let mut bytes = entry(db, index);
            // A byte of the tag: an access to this patient stands in another one's trace.
            bytes[30] ^= 1;
            put(db, index, &bytes);
            index
        }),
        ("swapped", |db| {
            let pair = (100..200).find(|i| is_record(&entry(db, *i)) && is_record(&entry(db, i + 1)));
            let index = pair.expect("two records");
            let (a, b) = (entry(db, index), entry(db, index + 1));
            put(db, index, &b);
            put(db, index + 1, &a);
            index
        }),
        ("dropped", |db| {
            let index = (100..200).find(|index| is_record(&entry(db, *index))).expect("a record");
            let entries = db.cf_handle("entries").expect("the family");
            db.delete_cf(entries, index.to_be_bytes()).expect("writable");
            index
        }),
    ];
    for (name, lie) in lies {
        put_machine_back(&clean, &node);
        let (index, batch) = {
            let db = database(&world.dir().join("node-1"));
            let batch = header_of(&db, (100..200).find(|index| is_record(&entry(&db, *index))).expect("a record"));
            (lie(&db), batch)
        };
        world.open();
        let run = world.sillage(&["audit"]);
        let told = format!("{}{}", run.stdout, run.stderr);
        if run.code == Some(3) && told.contains("CORRUPT") {
            // What isn't there can't be served: the node finds that itself.
            world.close();
            continue;
        }
        assert_eq!(run.code, Some(1), "{name}: {run}");
        let named = [index, batch].iter().any(|index| told.contains(&index.to_string()));
        assert!(named, "{name}: names entry {index}, or the header {batch} of its batch: {run}");
        world.close();
    }
}

/// All nodes go back to what they were, and tell another story from there.
pub fn two_histories_are_found_by_comparing_and_by_remembering(_: &mut World) {
    let mut world = World::begin();
    some(&world, 30, 5);
    let _ = checkpoint(&world);
    world.close();
    let copies: Vec<(PathBuf, PathBuf)> =
        (1..=3).map(|id| (world.dir().join(format!("node-{id}")), world.path(&format!("before-{id}")))).collect();
    copies.iter().for_each(|(node, before)| copy_machine(node, before));

    world.open();
    some(&world, 31, 20);
    let seen = world.write("a.checkpoint", checkpoint(&world));
    world.close();
    copies.iter().for_each(|(node, before)| put_machine_back(before, node));

    world.open();
    // Whoever was here before remembers: the author its batches, everyone the newest checkpoint.
    let line = world.write("late.ndjson", sillage_tests::lines::ndjson(&[access(&ins(32), "late")]));
    let run = world.sillage(&["record", "--file", &line.to_string_lossy()]);
    assert_eq!(run.code, Some(1), "{run}");
    let stranger = world.dir().join("stranger.toml");
    let profile = fs::read_to_string(world.profile_file()).expect("the profile");
    fs::write(&stranger, profile.replace("stream = \"cli\"", "stream = \"other\"")).expect("another stream");
    world.sillage_as(&stranger, &["record", "--file", &line.to_string_lossy()]).ok();
    let run = world.sillage(&["checkpoint"]);
    assert_eq!(run.code, Some(1), "{run}");
    // A newcomer doesn't, and is shown the other story.
    fs::remove_file(world.dir().join("state.json")).expect("the state");
    let other = world.write("b.checkpoint", checkpoint(&world));
    let run = world.sillage(&["audit", "compare", &seen.to_string_lossy(), &other.to_string_lossy()]);
    assert_eq!(run.code, Some(1), "{run}");
}
