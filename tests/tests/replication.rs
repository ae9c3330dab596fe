//! Three replicas: what was acknowledged is there once, on all of them, whatever happens to any one.

use std::collections::BTreeMap;
use std::fs;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use sillage_chaos::audit::{Book, read};
use sillage_chaos::load::{Tally, Writer};
use sillage_client::channel::Timeouts;
use sillage_proto::v1::{ClusterStatusRequest, GetEntryRequest, NodeStatus, SubmitRequest, TraceRequest};
use sillage_tests::lines::{OID, access, ins, ndjson, note_of};
use sillage_tests::story::tell;
use sillage_tests::world::{World, runtime, sillage};
use sillage_tests::{stories, wire};

const PATIENCE: Duration = Duration::from_secs(60);
const TAG: [u8; 32] = [7; 32];

fn main() -> ExitCode {
    tell(
        World::begin,
        stories![
            what_was_acknowledged_is_read_on_every_node_at_once,
            a_leader_killed_while_recording_loses_and_repeats_nothing,
            a_command_goes_on_while_its_leader_is_killed,
            a_client_killed_while_recording_resumes,
            a_leader_that_stands_still_is_replaced_and_comes_back,
            a_node_that_stands_still_holds_up_no_command,
            a_minority_acknowledges_nothing,
            a_restart_of_all_keeps_all,
            a_node_left_behind_catches_up_by_a_snapshot,
            a_kill_while_a_snapshot_travels_costs_a_new_try_and_nothing_else,
        ],
    )
}

fn record(note: &str) -> Vec<u8> {
    let line = access(&ins(300), note).to_string();
    let line = sillage_rules::line::RecordLine::parse(line.as_bytes()).expect("a record line");
    line.to_record(Some(&TAG)).expect("a record").into_bytes()
}

fn records(note: &str, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|i| record(&format!("{note}-{i}"))).collect()
}

/// Asserts that the log holds what was acknowledged, once, and that its roots follow from its entries.
fn audit(world: &World, tally: &Tally) {
    let level = world.settled(3);
    let link = world.link();
    let book = world.wait(async {
        let timeouts = Timeouts { attempt: Duration::from_secs(5), total: PATIENCE };
        let nodes = link.to_each(timeouts).expect("ways to the nodes");
        let mut book = Book::new();
        read::read_to(&mut book, &nodes, level[0].tree_size, |_| {}).await.expect("the whole log");
        book
    });
    for acked in tally.take() {
        book.holds(&acked).unwrap_or_else(|finding| panic!("{finding}"));
    }
    for node in level {
        let root = node.root.as_slice().try_into().expect("a root");
        book.has_root(node.tree_size, &root).unwrap_or_else(|finding| panic!("node {}: {finding}", node.id));
    }
}

/// What one node says of itself.
fn status(world: &World, id: u64) -> NodeStatus {
    let profile = world.profile();
    let mut rpc = wire::rpc(&profile, usize::try_from(id).expect("small"), Some(&wire::pem_of(&profile)));
    let answer = world.wait(rpc.cluster_status(ClusterStatusRequest { local_only: true }));
    answer.expect("its state").into_inner().nodes.pop().expect("itself")
}

/// The notes of a patient's events, and how often each is on record.
fn notes(world: &World, ins: &str) -> BTreeMap<String, usize> {
    let mut notes = BTreeMap::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut args = vec!["trace", "--patient", ins, "--oid", OID, "--kind", "access", "--limit", "500", "--json"];
        args.extend(cursor.iter().flat_map(|cursor| ["--cursor", cursor]));
        let page = world.sillage(&args).ok().json_lines();
        for line in page.iter().filter(|line| line.get("index").is_some()) {
            *notes.entry(note_of(line).to_owned()).or_default() += 1;
        }
        cursor = page.last().and_then(|last| last["next_cursor"].as_str().map(str::to_owned));
        if cursor.is_none() {
            return notes;
        }
    }
}

fn assert_each_once(world: &World, ins: &str, lines: &[Value]) {
    let expected: BTreeMap<String, usize> = lines.iter().map(|line| (note_of(line).to_owned(), 1)).collect();
    let found = notes(world, ins);
    let missing: Vec<_> = expected.keys().filter(|note| !found.contains_key(*note)).collect();
    let repeated: Vec<_> = found.iter().filter(|(_, times)| **times != 1).collect();
    assert!(missing.is_empty(), "missing {missing:?}");
    assert!(repeated.is_empty(), "repeated {repeated:?}");
    assert_eq!(found, expected);
}

fn what_was_acknowledged_is_read_on_every_node_at_once(world: &mut World) {
    let profile = world.profile();
    let pem = wire::pem_of(&profile);
    let signer = wire::signer(&profile);
    world.wait(async {
        let mut nodes: Vec<_> = (1..=3).map(|node| wire::rpc(&profile, node, Some(&pem))).collect();
        for seq in 1..=30 {
            let batch = wire::sign(&signer, "read-your-write", seq, records(&format!("ryw-{seq}"), 3));
            let to = usize::try_from(seq).expect("small") % 3;
            let answer = nodes[to].submit(SubmitRequest { batch: Some(batch) }).await.expect("recorded").into_inner();
            let receipt = answer.receipt.expect("a receipt").message;
            let first = sillage_proof::batch::ReceiptMessage::decode(&receipt).expect("a receipt").first_index.get();
            for node in &mut nodes {
                let entry = node.get_entry(GetEntryRequest { index: first + 2 }).await;
                assert!(entry.is_ok(), "batch {seq} is not on a node: {entry:?}");
                let trace = TraceRequest { tag: TAG.to_vec(), limit: 1, kind: 0x0600, ..TraceRequest::default() };
                let newest = node.trace(trace).await.expect("a trace").into_inner();
                assert_eq!(newest.lines[0].index, first + 2, "the newest is the one just acknowledged");
            }
        }
    });
}

fn a_leader_killed_while_recording_loses_and_repeats_nothing(world: &mut World) {
    let (tally, link, leader) = (Tally::new(), world.link(), world.leader());
    let writers = (0..3).map(|w| {
        let (link, tally) = (link.clone(), tally.clone());
        async move {
            let link =
                link.beginning_at(w, Timeouts { attempt: Duration::from_secs(3), total: PATIENCE }).expect("a link");
            let mut writer = Writer::open(link, &format!("killed-{w}"), tally).await.expect("a stream");
            for batch in 0..80 {
                writer
                    .submit(records(&format!("killed-{w}-{batch}"), 5), PATIENCE)
                    .await
                    .expect("acknowledged in the end");
            }
        }
    });
    let writing: Vec<_> = writers.map(|writer| runtime().spawn(writer)).collect();
    wait_for(|| tally.records() > 300, "the writers begin");
    world.kill(leader);
    for writer in writing {
        world.wait(writer).expect("a writer");
    }
    assert_eq!(tally.records(), 3 * 80 * 5);
    assert_ne!(world.leader(), leader, "another one leads");
    world.restart(leader);
    audit(world, &tally);
}

fn a_command_goes_on_while_its_leader_is_killed(world: &mut World) {
    let patient = ins(301);
    let lines: Vec<Value> = (0..2_000).map(|i| access(&patient, &format!("goes-on-{i}"))).collect();
    let file = world.write("goes-on.ndjson", ndjson(&lines));
    let leader = world.leader();
    let profile = world.profile_file();
    let file = file.to_string_lossy().into_owned();
    let mut command = sillage();
    command.arg("--profile").arg(profile).args(["record", "--file", &file, "--batch", "20"]);
    let (before, recording) =
        (world.tree_size(), std::thread::spawn(move || sillage_tests::world::run(&mut command, b"")));
    wait_for(|| world.tree_size() > before + 200, "the command begins");
    world.kill(leader);
    let run = recording.join().expect("the command").ok();
    assert_eq!(run.lines().len(), lines.len());
    world.restart(leader);
    world.settled(3);
    assert_each_once(world, &patient, &lines);
}

fn a_client_killed_while_recording_resumes(world: &mut World) {
    let patient = ins(302);
    let lines: Vec<Value> = (0..1_500).map(|i| access(&patient, &format!("resumes-{i}"))).collect();
    let file = world.write("resumes.ndjson", ndjson(&lines));
    let file = file.to_string_lossy();
    let args = ["record", "--file", &file, "--batch", "10"];
    // Killed three times, somewhere.
    for part in 1..=3 {
        let mut command = sillage();
        command.arg("--profile").arg(world.profile_file()).args(args);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the command");
        let before = world.tree_size();
        wait_for(|| world.tree_size() > before + 100 * part, "the command records something");
        child.kill().expect("SIGKILL");
        child.wait().expect("it is gone");
    }
    let run = world.sillage(&args).ok();
    assert_eq!(run.lines().len(), lines.len());
    assert_each_once(world, &patient, &lines);
}

fn a_leader_that_stands_still_is_replaced_and_comes_back(world: &mut World) {
    let (tally, link, leader) = (Tally::new(), world.link(), world.leader());
    assert!(world.cluster().signal(leader, Signal::STOP));
    world.wait(async {
        let mut writer = Writer::open(link, "still", tally.clone()).await.expect("a stream");
        for batch in 0..20 {
            writer.submit(records(&format!("still-{batch}"), 5), PATIENCE).await.expect("acknowledged without it");
        }
    });
    assert!(world.cluster().signal(leader, Signal::CONT));
    audit(world, &tally);
}

/// One call to a node that stands still may take longer than this command has: it is made to a second node meanwhile.
fn a_node_that_stands_still_holds_up_no_command(world: &mut World) {
    for id in 1..=3 {
        assert!(world.cluster().signal(id, Signal::STOP), "node {id} runs");
        let patient = ins(330 + id);
        let line = access(&patient, "while a node stands still");
        let run = world.sillage_fed(&["--timeout", "7", "record", "--file", "-"], &ndjson(std::slice::from_ref(&line)));
        assert!(world.cluster().signal(id, Signal::CONT), "node {id} is there");
        run.ok();
        assert_each_once(world, &patient, &[line]);
        world.settled(3);
    }
}

fn a_minority_acknowledges_nothing(world: &mut World) {
    let leader = world.leader();
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    for id in &others {
        world.kill(*id);
    }
    let patient = ins(303);
    let lines = [access(&patient, "kept")];
    let file = world.write("kept.ndjson", ndjson(&lines));
    let file = file.to_string_lossy();
    world.sillage(&["--timeout", "3", "record", "--file", &file]).fails(3);
    world.sillage(&["--timeout", "1", "trace", "--patient", &patient, "--oid", OID, "--json"]).fails(3);
    for id in others {
        world.restart(id);
    }
    world.settled(3);
    world.sillage(&["record", "--file", &file]).ok();
    assert_each_once(world, &patient, &lines);
}

fn a_restart_of_all_keeps_all(world: &mut World) {
    let trace = |world: &World| {
        let args = ["trace", "--patient", &ins(301), "--oid", OID, "--kind", "access", "--json"];
        world.sillage(&args).ok().stdout
    };
    // Reading is on record. A checkpoint covers all that came: nothing is left to be committed to the index after the restart.
    let level = |world: &World| {
        world.sillage(&["checkpoint"]).ok();
        world.settled(3)[0].clone()
    };
    let shown = trace(world);
    let before = level(world);
    world.close();
    world.open();
    let after = world.settled(3)[0].clone();
    assert_eq!(after.tree_size, before.tree_size, "no entry is lost or added");
    assert_eq!(after.root, before.root, "the entries are the same");
    assert!(after.term > before.term, "a new leader: {} after {}", after.term, before.term);
    // A page of the same entries; its cursor is as good as before.
    assert_eq!(trace(world), shown);
    let before = level(world);

    // Without a chance to say good-bye, too.
    for id in 1..=3 {
        world.kill(id);
    }
    world.close();
    world.open();
    let after = world.settled(3)[0].clone();
    assert_eq!(after.tree_size, before.tree_size, "no entry is lost or added");
    assert_eq!(after.root, before.root, "the entries are the same");
    audit(world, &Tally::new());
}

fn a_node_left_behind_catches_up_by_a_snapshot(world: &mut World) {
    // A Raft log so short that it is cut while the node is away.
    world.close();
    for id in 1..=3 {
        let path = world.dir().join(format!("node-{id}/node.toml"));
        let text = fs::read_to_string(&path).expect("node.toml");
        let short = |line: &str| match line.split(" = ").next() {
            Some("log_bytes_max") => "log_bytes_max = 1048576\n".to_owned(),
            Some("log_keep_bytes") => "log_keep_bytes = 32768\n".to_owned(),
            Some("segment_bytes") => "segment_bytes = 65536\n".to_owned(),
            _ => format!("{line}\n"),
        };
        let text: String = text.lines().map(short).collect();
        assert!(text.contains("1048576") && text.contains("65536"), "{text}");
        fs::write(&path, text).expect("node.toml");
    }
    world.open();
    let leader = world.leader();
    let behind = (1..=3).find(|id| *id != leader).expect("a follower");
    world.settled(3);
    let last = status(world, behind).raft_log_last;
    world.kill(behind);

    let (tally, link) = (Tally::new(), world.link());
    let cut = |world: &World| status(world, leader).raft_log_first > last + 1;
    let began = Instant::now();
    let mut writer = world.wait(Writer::open(link, "behind", tally.clone())).expect("a stream");
    for batch in 0.. {
        let records = records(&format!("behind-{batch}"), 100);
        world.wait(writer.submit(records, PATIENCE)).expect("acknowledged by two");
        if batch >= 10 && cut(world) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "the leader's log is never cut: {:?}", status(world, leader));
    }
    let fetched = |world: &World| world.logs().matches("fetched a snapshot").count();
    let before = fetched(world);
    world.restart(behind);
    // Records come all the while: one snapshot is enough, for the log after it is kept.
    let mut batch = 0;
    let mut more = |world: &World| {
        batch += 1;
        let records = records(&format!("meanwhile-{batch}"), 100);
        world.wait(writer.submit(records, PATIENCE)).expect("acknowledged by two");
    };
    wait_for(
        || {
            more(world);
            fetched(world) > before
        },
        "a snapshot is fetched",
    );
    for _ in 0..5 {
        more(world);
    }
    let level = world.settled(3);
    assert_eq!(fetched(world), before + 1, "one snapshot is enough");
    let caught_up = level.iter().find(|node| node.id == behind).expect("it is back");
    assert!(
        caught_up.raft_log_first > last + 1,
        "it has what was cut from a snapshot, not from the log: {caught_up:?}"
    );
    // What it was made of takes up no room any more, on either side.
    let left = |world: &World| {
        let folders = (1..=3).map(|id| world.dir().join(format!("node-{id}/data/snapshots")));
        folders.flat_map(|folder| fs::read_dir(folder).expect("a folder")).count()
    };
    wait_for(|| left(world) == 0, "snapshots are released");
    audit(world, &tally);
    // And from here on it takes part again.
    let index = world.record(&[access(&ins(304), "after the snapshot")])[0];
    assert!(world.settled(3).iter().all(|node| node.tree_size > index));
}

/// The log is as short as the story before left it.
fn a_kill_while_a_snapshot_travels_costs_a_new_try_and_nothing_else(world: &mut World) {
    let leader = world.leader();
    let behind = (1..=3).find(|id| *id != leader).expect("a follower");
    world.settled(3);
    let last = status(world, behind).raft_log_last;
    world.kill(behind);
    // So much that the files are on their way for longer than it takes to see them.
    let (tally, link) = (Tally::new(), world.link());
    let mut writer = world.wait(Writer::open(link, "travels", tally.clone())).expect("a stream");
    for batch in 0..30 {
        let records = records(&format!("travels-{batch}"), 1_000);
        world.wait(writer.submit(records, PATIENCE)).expect("acknowledged by two");
    }
    wait_for(|| status(world, leader).raft_log_first > last + 1, "the leader's log is cut");

    let fetched = |world: &World| world.logs().matches("fetched a snapshot").count();
    let before = fetched(world);
    let folder = world.dir().join(format!("node-{behind}/data/snapshots"));
    let travels = || {
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("received-"))
    };
    // Who receives is killed, again and again, and then who sends.
    for _ in 0..3 {
        world.restart(behind);
        wait_for(travels, "a snapshot is on its way");
        world.kill(behind);
        assert_eq!(fetched(world), before, "the kill came before the last byte");
    }
    world.restart(behind);
    wait_for(travels, "a snapshot is on its way");
    world.kill(leader);
    let records_of_then = records("travels-on", 10);
    world.restart(leader);
    world.wait(writer.submit(records_of_then, PATIENCE)).expect("acknowledged");

    let level = world.settled(3);
    assert!(fetched(world) > before, "it has what was cut from a snapshot");
    let caught_up = level.iter().find(|node| node.id == behind).expect("it is back");
    assert!(caught_up.raft_log_first > last + 1, "from a snapshot, not from the log: {caught_up:?}");
    audit(world, &tally);
}

/// Waits for something that has to come.
fn wait_for(mut come: impl FnMut() -> bool, what: &str) {
    let began = Instant::now();
    while !come() {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(5));
    }
}
