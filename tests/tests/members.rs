//! Nodes come and go, on running nodes and under load: a lost one is replaced, a new one is added, and every proof made
//! before holds.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use sillage_chaos::process::program;
use sillage_tests::lines::{OID, access, ins, ndjson};
use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::world::{Run, World, run, sillage};

const PATIENT: u64 = 910;
/// What the group hasn't done by then it won't.
const DONE_MAX: Duration = Duration::from_secs(90);

/// The world, and the nodes that joined it.
struct Grown {
    world: World,
    joined: Vec<Child>,
}

impl Drop for Grown {
    fn drop(&mut self) {
        for child in &mut self.joined {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn main() -> ExitCode {
    let begin = || Grown { world: World::begin(), joined: Vec::new() };
    tell(
        begin,
        stories![
            what_cannot_be_is_refused_and_changes_nothing,
            a_lost_node_is_replaced_under_load,
            what_was_proven_before_still_is,
            after_an_erasure_a_new_node_is_whole,
            a_node_that_is_removed_counts_no_more_and_the_keys_change,
            leadership_is_handed_over,
        ],
    )
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// `sillage --profile authority.toml cluster ARGS`.
fn cluster(grown: &Grown, args: &[&str]) -> Run {
    let args = [&["--timeout", "60", "cluster"], args].concat();
    grown.world.sillage_as(&grown.world.authority_file(), &args)
}

fn members(grown: &Grown) -> Value {
    cluster(grown, &["member", "list", "--json"]).ok().json()
}

/// Ids of the nodes of the log, and of those that vote.
fn ids(members: &Value) -> (Vec<u64>, Vec<u64>) {
    let of = |keep: fn(&Value) -> bool| {
        let nodes = members["members"].as_array().expect("members").iter().filter(|node| keep(node));
        nodes.map(|node| node["id"].as_u64().expect("an id")).collect()
    };
    (of(|_| true), of(|node| node["votes"] == true && node["raft"]["voter"] == true))
}

fn until<T>(grown: &Grown, what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DONE_MAX;
    loop {
        if let Some(done) = done() {
            return done;
        }
        assert!(Instant::now() < deadline, "{what} doesn't come\n{}\n{}", members(grown), grown.world.logs());
        thread::sleep(Duration::from_millis(200));
    }
}

/// `HOST:PORT:PEERPORT` with ports that nobody has.
fn address() -> String {
    let free = || TcpListener::bind("127.0.0.1:0").expect("a port");
    let (one, two) = (free(), free());
    let port = |listener: &TcpListener| listener.local_addr().expect("bound").port();
    format!("127.0.0.1:{}:{}", port(&one), port(&two))
}

/// Starts the node of a folder as its operator would.
fn serve(grown: &mut Grown, dir: &Path) {
    let log = fs::File::create(dir.join("log.txt")).expect("a log");
    let node = program("sillage-node").unwrap_or_else(|error| panic!("{error}"));
    let child = Command::new(node)
        .args(["serve", "--config", &text(&dir.join("node.toml"))])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    grown.joined.push(child.expect("the node starts"));
}

fn log_of(dir: &Path) -> String {
    fs::read_to_string(dir.join("log.txt")).unwrap_or_default()
}

/// Waits until these nodes, and no others, have one log.
fn level(grown: &Grown, wanted: &[u64]) {
    until(grown, "one log on all nodes", || {
        let status = cluster(grown, &["status", "--json"]).ok().json();
        let nodes = status["nodes"].as_array().expect("nodes");
        let (first, ids) = (nodes.first()?, nodes.iter().map(|node| node["id"].as_u64().expect("an id")));
        let same = |node: &Value| node["tree_size"] == first["tree_size"] && node["root"] == first["root"];
        (ids.collect::<Vec<_>>() == wanted && nodes.iter().all(same)).then_some(())
    });
}

/// Promotes a learner as soon as it has caught up.
fn promote(grown: &Grown, id: u64, dir: &Path) {
    let deadline = Instant::now() + DONE_MAX;
    loop {
        let run = cluster(grown, &["member", "promote", &id.to_string()]);
        match run.code {
            Some(0) => return,
            Some(3 | 4) if Instant::now() < deadline => thread::sleep(Duration::from_millis(500)),
            _ => panic!("{run}\n{}\n{}", log_of(dir), grown.world.logs()),
        }
    }
}

fn lines(members: &Value) -> String {
    format!("{:?}", ids(members))
}

/// Records in the background, and counts what was acknowledged.
struct Load {
    stop: Arc<AtomicBool>,
    recorded: Arc<AtomicU64>,
    thread: JoinHandle<Vec<String>>,
}

impl Load {
    fn begin(world: &World) -> Self {
        let (stop, recorded) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let profile = world.profile_file();
        let (told, count) = (Arc::clone(&stop), Arc::clone(&recorded));
        let thread = thread::spawn(move || {
            let mut failed = Vec::new();
            for number in 0.. {
                if told.load(Ordering::Relaxed) {
                    break;
                }
                let input = ndjson(&[access(&ins(PATIENT + 50 + number % 5), "load")]);
                let mut command = sillage();
                command.arg("--profile").arg(&profile).args(["--timeout", "60", "record", "--file", "-"]);
                let run = run(&mut command, input.as_bytes());
                match run.code {
                    Some(0) => drop(count.fetch_add(1, Ordering::Relaxed)),
                    _ => failed.push(run.to_string()),
                }
            }
            failed
        });
        Self { stop, recorded, thread }
    }

    /// How many were acknowledged; none failed.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.thread.join().expect("the load ends");
        assert!(failed.is_empty(), "{failed:?}");
        self.recorded.load(Ordering::Relaxed)
    }
}

fn follower(grown: &Grown) -> u64 {
    let leader = grown.world.leader();
    (1..=3).find(|id| *id != leader).expect("three nodes")
}

fn out(grown: &Grown, name: &str) -> PathBuf {
    grown.world.path(name)
}

fn what_cannot_be_is_refused_and_changes_nothing(grown: &mut Grown) {
    // A new log takes such acts once every node has said that it knows them.
    until(grown, "the feature level", || {
        let run = cluster(grown, &["member", "remove", "9"]).refused("ACT_REFUSED");
        run.stderr.contains("no node 9").then_some(())
    });
    let before = members(grown);
    let leader = grown.world.leader().to_string();
    let living = follower(grown).to_string();
    let (dir, at) = (text(&out(grown, "refused")), address());
    let replace = cluster(grown, &["member", "replace", &living, "--address", &at, "--out", &dir]);
    replace.refused("ACT_REFUSED").naming("answers");
    cluster(grown, &["member", "remove", &leader]).refused("ACT_REFUSED").naming("move-leader");
    cluster(grown, &["member", "promote", &living]).refused("ACT_REFUSED").naming("votes already");
    cluster(grown, &["member", "add", "--address", "nowhere", "--out", &dir]).usage();
    let full = text(&grown.world.dir());
    cluster(grown, &["member", "add", "--address", &at, "--out", &full]).fails(2).naming("isn't empty");
    assert!(!out(grown, "refused").exists());
    assert_eq!(lines(&members(grown)), lines(&before));
}

fn a_lost_node_is_replaced_under_load(grown: &mut Grown) {
    let lines = [access(&ins(PATIENT), "before"), access(&ins(PATIENT + 1), "too")];
    let [index, _] = grown.world.record(&lines)[..] else { panic!("two lines") };
    let proof = text(&out(grown, "before.tlog-proof"));
    grown.world.sillage(&["prove", "inclusion", &index.to_string(), "--out", &proof]).ok();
    let bundle = text(&out(grown, "before.sillage-trace"));
    grown.world.sillage(&["prove", "patient", &ins(PATIENT), "--oid", OID, "--out", &bundle]).ok();

    let load = Load::begin(&grown.world);
    let lost = follower(grown);
    grown.world.kill(lost);
    fs::remove_dir_all(grown.world.dir().join(format!("node-{lost}"))).expect("its disk is gone");
    let dir = out(grown, "node-4");
    let replaced =
        cluster(grown, &["member", "replace", &lost.to_string(), "--address", &address(), "--out", &text(&dir)]);
    let replaced = replaced.ok();
    assert!(replaced.stderr.contains("destroy node") && replaced.stderr.contains("VRF"), "{replaced}");
    assert!(dir.join("data/JOIN").exists() && !dir.join("keys/keyring").exists());
    cluster(grown, &["member", "promote", "4"]).refused("ACT_REFUSED").naming("doesn't answer");
    let again = cluster(grown, &["member", "remove", &lost.to_string()]);
    again.refused("ACT_REFUSED").naming("removed before");

    serve(grown, &dir);
    promote(grown, 4, &dir);
    let expected: Vec<u64> = (1..=4).filter(|id| *id != lost).collect();
    until(grown, "the new node's vote", || {
        (ids(&members(grown)) == (expected.clone(), expected.clone())).then_some(())
    });
    assert!(load.end() > 0);
    level(grown, &expected);
    assert!(!dir.join("data/JOIN").exists(), "from now on an empty disk is a lost disk");
}

fn what_was_proven_before_still_is(grown: &mut Grown) {
    let old = text(&grown.world.dir().join("policy.txt"));
    for file in ["before.tlog-proof", "before.sillage-trace"] {
        grown.world.sillage(&["verify", &text(&out(grown, file)), "--policy", &old]).ok();
    }
    let new = text(&out(grown, "new-policy.txt"));
    grown.world.sillage(&["prove", "keys", "--policy", &old, "--out", &new]).ok();
    let policy = fs::read_to_string(&new).expect("written");
    assert!(policy.contains("node-4"), "{policy}");
    let [index] = grown.world.record(&[access(&ins(PATIENT), "after")])[..] else { panic!("one line") };
    let proof = text(&out(grown, "after.tlog-proof"));
    grown.world.sillage(&["prove", "inclusion", &index.to_string(), "--out", &proof]).ok();
    grown.world.sillage(&["verify", &proof, "--policy", &new]).ok();
    grown.world.sillage(&["trace", "--patient", &ins(PATIENT), "--oid", OID, "--json", "--verify"]).ok();
}

fn after_an_erasure_a_new_node_is_whole(grown: &mut Grown) {
    let [goes, _] = grown.world.record(&[access(&ins(PATIENT + 2), "goes"), access(&ins(PATIENT + 2), "stays")])[..]
    else {
        panic!("two lines")
    };
    let erase = ["--timeout", "80", "erase", "--record", &goes.to_string(), "--ground", "ORDER 1", "--now"];
    let said = grown.world.sillage_as(&grown.world.authority_file(), &erase).ok().json_lines();
    assert_eq!(said.last().map(|line| &line["waiting"]), Some(&Value::from(0)), "{said:?}");

    let dir = out(grown, "node-5");
    let added = cluster(grown, &["member", "add", "--address", &address(), "--out", &text(&dir)]).ok().json();
    let id = added["node"].as_u64().expect("an id");
    serve(grown, &dir);
    promote(grown, id, &dir);
    until(grown, "one more vote", || ids(&members(grown)).1.contains(&id).then_some(()));
    let all = ids(&members(grown)).0;
    level(grown, &all);
    assert!(!log_of(&dir).contains("no key-encryption key"), "{}", log_of(&dir));
}

fn a_node_that_is_removed_counts_no_more_and_the_keys_change(grown: &mut Grown) {
    let before = grown.world.sillage(&["keys", "list", "--json"]).ok().json_lines();
    let log_key = |lines: &[Value]| {
        let line = lines.iter().find(|line| line["holder"] == "the log").expect("the log's line");
        line["public_key"].as_str().expect("a key").to_owned()
    };
    if grown.world.leader() == 5 {
        cluster(grown, &["move-leader", "4"]).ok();
    }
    let removed = cluster(grown, &["member", "remove", "5"]).ok().json();
    let index = grown.world.record(&[access(&ins(PATIENT), "after the removal")])[0];
    assert_eq!(ids(&members(grown)).0.len(), 3);
    let key = removed["log_key"].as_str().expect("a key").to_owned();
    assert_ne!(key, log_key(&before));
    until(grown, "the log's new key", || {
        let index = grown.world.record(&[access(&ins(PATIENT), "on")])[0].to_string();
        let proof = text(&out(grown, &format!("{index}.tlog-proof")));
        grown.world.sillage(&["prove", "inclusion", &index, "--out", &proof]).ok();
        let now = grown.world.sillage(&["keys", "list", "--json"]).ok().json_lines();
        (log_key(&now) == key).then_some(())
    });
    let old = text(&grown.world.dir().join("policy.txt"));
    let new = text(&out(grown, "newer-policy.txt"));
    grown.world.sillage(&["prove", "keys", "--policy", &old, "--out", &new]).ok();
    let proof = text(&out(grown, "removed.tlog-proof"));
    grown.world.sillage(&["prove", "inclusion", &index.to_string(), "--out", &proof]).ok();
    grown.world.sillage(&["verify", &proof, "--policy", &new]).ok();
}

fn leadership_is_handed_over(grown: &mut Grown) {
    let leader = grown.world.leader();
    let next = ids(&members(grown)).1.into_iter().find(|id| *id != leader).expect("another one");
    let said = cluster(grown, &["move-leader", &next.to_string()]).ok().json();
    assert_eq!(said["leader"], next);
    cluster(grown, &["move-leader", "9"]).refused("ACT_REFUSED").naming("doesn't vote");
}
