//! Three replicas in one process, over channels, with a toy state machine on real files.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use parking_lot::{Mutex, RwLock};

use super::outbox::Outbox;
use super::*;
use crate::core::MemberChange;
use crate::machine::{Committed, Fatal, FetchError};
use crate::snapshot::{Manifest, Progress};

/// Remembers every proposal; durable only when flushed.
struct Toy {
    file: PathBuf,
    applied: (u64, u64),
    flushed: u64,
    lines: Vec<String>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Toy {
    fn open(file: PathBuf, seen: Arc<Mutex<Vec<String>>>) -> Self {
        let mut toy = Toy { file, applied: (0, 0), flushed: 0, lines: Vec::new(), seen };
        toy.load();
        toy
    }

    fn load(&mut self) {
        let text = fs::read_to_string(&self.file).unwrap_or_else(|_| "0 0\n".into());
        let mut lines = text.lines();
        let (index, term) = lines.next().unwrap().split_once(' ').unwrap();
        self.applied = (index.parse().unwrap(), term.parse().unwrap());
        self.flushed = self.applied.0;
        self.lines = lines.map(String::from).collect();
        *self.seen.lock() = self.lines.clone();
    }

    fn write(&self, path: &Path) {
        let text = format!("{} {}\n{}", self.applied.0, self.applied.1, self.lines.join("\n"));
        let next = path.with_extension("next");
        fs::write(&next, text).unwrap();
        fs::rename(next, path).unwrap();
    }
}

impl StateMachine for Toy {
    type Reply = usize;

    fn applied(&self) -> (u64, u64) {
        self.applied
    }

    fn apply(&mut self, entry: Committed<'_>) -> Result<usize, Fatal> {
        assert_eq!(entry.index, self.applied.0 + 1);
        self.applied = (entry.index, entry.term);
        if !entry.data.is_empty() {
            let line = String::from_utf8(entry.data.to_vec()).unwrap();
            self.seen.lock().push(line.clone());
            self.lines.push(line);
        }
        Ok(self.lines.len())
    }

    fn flushed(&self) -> Result<u64, Fatal> {
        Ok(self.flushed)
    }

    fn flush(&mut self) -> Result<u64, Fatal> {
        self.write(&self.file);
        self.flushed = self.applied.0;
        Ok(self.flushed)
    }

    fn checkpoint(&mut self, dir: &Path) -> Result<(u64, u64), Fatal> {
        fs::create_dir(dir).map_err(Fatal::new)?;
        self.write(&dir.join("state"));
        Ok(self.applied)
    }

    fn install(&mut self, dir: &Path) -> Result<(), Fatal> {
        fs::rename(dir.join("state"), &self.file).map_err(Fatal::new)?;
        self.load();
        Ok(())
    }
}

#[derive(Default)]
struct Hub {
    handles: RwLock<HashMap<u64, Handle<usize>>>,
}

struct Wire {
    hub: Arc<Hub>,
}

impl Transport for Wire {
    fn send(&self, to: u64, message: Vec<u8>) {
        if let Some(handle) = self.hub.handles.read().get(&to) {
            handle.step(message);
        }
    }

    fn fetch_snapshot(
        &self,
        from: u64,
        manifest: &Manifest,
        into: &Path,
        progress: &Progress,
    ) -> Result<Manifest, FetchError> {
        let gone = || FetchError("gone".into());
        let hub = self.hub.handles.read();
        let peer = hub.get(&from).ok_or_else(gone)?;
        for file in &manifest.files {
            let path = peer.snapshot_file(&manifest.dir_name(), &file.name).ok_or_else(gone)?;
            progress.add(fs::copy(path, into.join(&file.name)).map_err(|_| gone())?);
        }
        Manifest::of_dir(into, manifest.index, manifest.term).map_err(|_| gone())
    }
}

struct Group {
    dir: tempfile::TempDir,
    hub: Arc<Hub>,
    nodes: HashMap<u64, Runtime<usize>>,
    seen: HashMap<u64, Arc<Mutex<Vec<String>>>>,
    keep_bytes: u64,
}

impl Group {
    fn start(keep_bytes: u64) -> Self {
        let mut group = Group {
            dir: tempfile::tempdir().unwrap(),
            hub: Arc::default(),
            nodes: HashMap::new(),
            seen: HashMap::new(),
            keep_bytes,
        };
        for id in 1..=3 {
            group.start_node(id);
        }
        group
    }

    fn start_node(&mut self, id: u64) {
        let dir = self.dir.path().join(id.to_string());
        fs::create_dir_all(&dir).unwrap();
        let mut config = NodeConfig::new(id, vec![1, 2, 3], &dir);
        config.tick_ms = 10;
        config.log.segment_bytes = 1 << 16;
        config.core.log_keep_bytes = self.keep_bytes;
        config.core.log_max_bytes = self.keep_bytes;
        let seen = Arc::default();
        let toy = Toy::open(dir.join("state"), Arc::clone(&seen));
        let wire = Arc::new(Wire { hub: Arc::clone(&self.hub) });
        let node = start(config, toy, wire).unwrap();
        self.hub.handles.write().insert(id, node.handle());
        self.nodes.insert(id, node);
        self.seen.insert(id, seen);
    }

    fn stop_node(&mut self, id: u64) {
        self.hub.handles.write().remove(&id);
        self.nodes.remove(&id).unwrap().shutdown();
    }

    /// Proposes until it is applied, wherever the leader is.
    fn propose(&self, line: &str) {
        let tries = within(|| {
            let leader = self.nodes.values().find_map(|node| node.handle().status().core.leader)?;
            let node = self.nodes.get(&leader)?;
            let (sender, outcome) = bounded(1);
            let done = Box::new(move |result| sender.send(result).unwrap());
            node.handle().propose(line.into(), 1000, done);
            outcome.recv().unwrap().ok()
        });
        assert!(tries > 0);
    }

    fn read(&self, id: u64) -> Vec<String> {
        within(|| {
            let (sender, outcome) = bounded(1);
            self.nodes[&id].handle().read_index(Box::new(move |result| sender.send(result).unwrap()));
            outcome.recv().unwrap().ok()
        });
        self.seen[&id].lock().clone()
    }
}

fn within<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "no progress");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn distinct(lines: &[String]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for line in lines {
        if !out.contains(line) {
            out.push(line.clone());
        }
    }
    out
}

#[test]
fn what_is_acknowledged_is_read_on_any_node_and_survives_restarts() {
    let mut group = Group::start(1 << 20);
    let lines: Vec<String> = (0..20).map(|i| format!("line {i}")).collect();
    for line in &lines[..10] {
        group.propose(line);
    }
    for id in 1..=3 {
        assert_eq!(distinct(&group.read(id)), lines[..10], "node {id}");
    }
    let leader = group.nodes[&1].handle().status().core.leader.unwrap();
    group.stop_node(leader);
    for line in &lines[10..] {
        group.propose(line);
    }
    group.start_node(leader);
    assert_eq!(distinct(&group.read(leader)), lines);
    // Nothing was ever flushed: all of it comes back from the logs.
    for id in 1..=3 {
        group.stop_node(id);
    }
    for id in 1..=3 {
        group.start_node(id);
    }
    for id in 1..=3 {
        assert_eq!(distinct(&group.read(id)), lines, "node {id}");
    }
}

#[test]
fn a_node_that_was_away_too_long_gets_a_snapshot() {
    let mut group = Group::start(2000);
    group.propose("first");
    let away = (1..=3).find(|id| Some(*id) != group.nodes[&1].handle().status().core.leader).unwrap();
    group.stop_node(away);
    for i in 0..200 {
        group.propose(&format!("a line of some length, number {i}"));
    }
    let others = || group.nodes.values().map(|node| node.handle().status());
    within(|| others().all(|status| status.core.log_first > 50).then_some(()));
    group.start_node(away);
    assert_eq!(distinct(&group.read(away)).len(), 201);
    let status = group.nodes[&away].handle().status();
    assert!(status.core.log_first > 50, "the log began anew: {status:?}");
    group.propose("last");
    group.stop_node(away);
    group.start_node(away);
    assert_eq!(distinct(&group.read(away)).len(), 202);
}

#[test]
fn a_note_is_durable_when_it_says_so() {
    let mut group = Group::start(1 << 20);
    let (sender, done) = bounded(1);
    let handle = group.nodes[&2].handle();
    assert_eq!(handle.note(b"size"), None);
    handle.put_note(b"size".to_vec(), b"17".to_vec(), Box::new(move || sender.send(()).unwrap()));
    done.recv().unwrap();
    assert_eq!(handle.note(b"size").unwrap(), b"17");
    group.stop_node(2);
    group.start_node(2);
    assert_eq!(group.nodes[&2].handle().note(b"size").unwrap(), b"17");
}

#[test]
fn without_a_majority_nothing_is_acknowledged_and_every_caller_hears_so() {
    let mut group = Group::start(1 << 20);
    group.propose("first");
    let leader = group.nodes[&1].handle().status().core.leader.unwrap();
    for id in (1..=3).filter(|&id| id != leader) {
        group.stop_node(id);
    }
    let handle = group.nodes[&leader].handle();
    let (sender, outcome) = bounded(1);
    handle.propose(b"alone".to_vec(), 1000, Box::new(move |result| sender.send(result).unwrap()));
    let error = outcome.recv_timeout(Duration::from_secs(30)).unwrap().unwrap_err();
    assert!(matches!(error, ProposeError::Superseded | ProposeError::NotLeader { .. }), "{error}");
    let (sender, outcome) = bounded(1);
    handle.read_index(Box::new(move |result| sender.send(result).unwrap()));
    assert_eq!(outcome.recv_timeout(Duration::from_secs(30)).unwrap(), Err(ReadError::NoLeader));
    group.stop_node(leader);
    let (sender, outcome) = bounded(1);
    handle.propose(b"late".to_vec(), 1000, Box::new(move |result| sender.send(result).unwrap()));
    assert_eq!(outcome.recv().unwrap(), Err(ProposeError::ShuttingDown));
}

#[test]
fn leadership_moves_on_request() {
    let group = Group::start(1 << 20);
    group.propose("first");
    let leader = group.nodes[&1].handle().status().core.leader.unwrap();
    let next = leader % 3 + 1;
    within(|| {
        group.nodes[&leader].handle().transfer_leader(next);
        (group.nodes[&next].handle().status().core.leader == Some(next)).then_some(())
    });
}

#[test]
fn whoever_asks_while_a_replica_ends_hears_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = NodeConfig::new(1, vec![1], dir.path());
    let queues: Queues<usize> = Queues::new(&config);
    let shared = Arc::new(Shared {
        status: ArcSwap::default(),
        fsync: FsyncStats::default(),
        notes: Mutex::default(),
        stopping: AtomicBool::new(false),
        in_doubt: AtomicBool::new(false),
        snapshot_dir: dir.path().to_path_buf(),
        fetched: Arc::default(),
    });
    let handle = Handle::new(Arc::clone(&shared), &queues);
    let logger = crate::trace::logger();
    let core = Core::new(&config.core, 1, crate::core::Recovered::default(), (0, 0), &logger).unwrap();
    let (proposed, outcome) = bounded(1);
    handle.propose(b"x".to_vec(), 1, Box::new(move |result| proposed.send(result).unwrap()));
    let (read, index) = bounded(1);
    handle.read_index(Box::new(move |result| read.send(result).unwrap()));
    assert!(outcome.is_empty() && index.is_empty(), "both wait in a queue");
    // The Raft thread finds that it has to stop before it looks at its queues.
    handle.shutdown();
    let transport: Arc<dyn Transport> = Arc::new(Wire { hub: Arc::default() });
    raft_thread::RaftThread::new(core, config, shared, transport, &queues).run();
    assert_eq!(outcome.try_recv(), Ok(Err(ProposeError::ShuttingDown)));
    assert_eq!(index.try_recv(), Ok(Err(ReadError::ShuttingDown)));
}

#[test]
fn a_replica_that_ends_lets_go_of_what_did_not_fit_a_queue() {
    let (sender, queue) = bounded(1);
    let mut outbox = Outbox::new(sender);
    let (dropped, seen) = bounded::<()>(1);
    outbox.push(None);
    outbox.push(Some(dropped));
    let queue_end = outbox.close();
    assert_eq!(seen.try_recv(), Err(crossbeam_channel::TryRecvError::Disconnected), "nobody can wait for it");
    assert!(queue.try_recv().unwrap().is_none());
    drop(queue_end);
}

#[test]
fn a_fourth_replica_joins_catches_up_and_votes() {
    let mut group = Group::start(1 << 20);
    for i in 0..20 {
        group.propose(&format!("before {i}"));
    }
    group.start_node(4);
    let change = |group: &Group, change: &MemberChange| {
        within(|| {
            let leader = group.nodes[&1].handle().status().core.leader?;
            let (sender, outcome) = bounded(1);
            let done = Box::new(move |result| sender.send(result).unwrap());
            group.nodes[&leader].handle().propose_members(change.clone(), done);
            outcome.recv().unwrap().ok()
        })
    };
    assert_eq!(change(&group, &MemberChange::AddLearner(4)).learners, [4]);
    assert_eq!(change(&group, &MemberChange::Promote(vec![4])).voters, [1, 2, 3, 4]);
    assert_eq!(distinct(&group.read(4)).len(), 20);
    group.propose("after");
    let follower = (1..=3).find(|id| group.nodes[&1].handle().status().core.leader != Some(*id)).unwrap();
    group.stop_node(follower);
    group.propose("by three of four");
    assert_eq!(distinct(&group.read(4)).len(), 22);
    let status = group.nodes[&4].handle().status();
    assert_eq!((status.core.voters.clone(), status.core.highest_id), (vec![1, 2, 3, 4], 4));
}
