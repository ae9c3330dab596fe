//! Nodes that come and go, as operators and the authority make them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use sillage_chaos::process::{free_ports, program};

use crate::lines::{access, ins, ndjson};
use crate::world::{Run, World, run, sillage};

/// What the group hasn't done by then it won't.
const DONE_MAX: Duration = Duration::from_secs(90);

/// A world, and the nodes that joined it.
pub struct Grown {
    /// The first nodes.
    pub world: World,
    joined: Vec<(PathBuf, Child)>,
}

impl Drop for Grown {
    fn drop(&mut self) {
        for (_, child) in &mut self.joined {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A path as an argument.
pub fn text(path: &Path) -> String {
    path.display().to_string()
}

/// `HOST:PORT:PEERPORT` with ports that nobody has.
///
/// # Panics
/// When there are none.
pub fn address() -> String {
    let first = free_ports(2).unwrap_or_else(|error| panic!("{error}"));
    format!("127.0.0.1:{first}:{}", first + 1)
}

/// The log of a node that joined.
pub fn log_of(dir: &Path) -> String {
    fs::read_to_string(dir.join("log.txt")).unwrap_or_default()
}

/// Ids of the nodes in what `member list` says, and of those that vote.
///
/// # Panics
/// When it says no such thing.
pub fn ids(members: &Value) -> (Vec<u64>, Vec<u64>) {
    let of = |keep: fn(&Value) -> bool| {
        let nodes = members["members"].as_array().expect("members").iter().filter(|node| keep(node));
        nodes.map(|node| node["id"].as_u64().expect("an id")).collect()
    };
    (of(|_| true), of(|node| node["votes"] == true && node["raft"]["voter"] == true))
}

impl Grown {
    /// Three nodes of a new log.
    ///
    /// # Panics
    /// When they don't start.
    pub fn begin() -> Self {
        Self { world: World::begin(), joined: Vec::new() }
    }

    /// A file or folder of the stories' own.
    pub fn out(&self, name: &str) -> PathBuf {
        self.world.path(name)
    }

    /// `sillage --profile authority.toml cluster ARGS`.
    pub fn cluster(&self, args: &[&str]) -> Run {
        let args = [&["--timeout", "60", "cluster"], args].concat();
        self.world.sillage_as(&self.world.authority_file(), &args)
    }

    /// The answer of `member list`.
    pub fn members(&self) -> Value {
        self.cluster(&["member", "list", "--json"]).ok().json()
    }

    /// Asks until there is an answer.
    ///
    /// # Panics
    /// When there is none in time.
    pub fn until<T>(&self, what: &str, mut done: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + DONE_MAX;
        loop {
            if let Some(done) = done() {
                return done;
            }
            assert!(
                Instant::now() < deadline,
                "{what} doesn't come\n{}\n{}\n{}",
                self.cluster(&["member", "list", "--json"]),
                self.world.logs(),
                self.joined.iter().map(|(dir, _)| tail(&log_of(dir))).collect::<String>()
            );
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until acts may change the nodes: a new log takes them once every node has said that it knows them.
    ///
    /// # Panics
    /// When they may not in time.
    pub fn is_ready(&self) {
        self.until("the feature level", || {
            let run = self.cluster(&["member", "remove", "99"]).refused("ACT_REFUSED");
            run.stderr.contains("no node 99").then_some(())
        });
    }

    /// Starts the node of a folder as its operator would.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn serve(&mut self, dir: &Path) {
        let log = fs::OpenOptions::new().create(true).append(true).open(dir.join("log.txt")).expect("a log");
        let node = program("sillage-node").unwrap_or_else(|error| panic!("{error}"));
        let child = Command::new(node)
            .args(["serve", "--config", &text(&dir.join("node.toml"))])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.joined.push((dir.to_owned(), child.expect("the node starts")));
    }

    /// Kills the node of a folder, if it runs.
    pub fn kill(&mut self, dir: &Path) {
        self.joined.retain_mut(|(of, child)| {
            if of == dir {
                let _ = child.kill();
                let _ = child.wait();
            }
            of != dir
        });
    }

    /// Makes the folder of a new node at `address`, and starts it as a learner; gives its id.
    ///
    /// # Panics
    /// When the authority may not.
    pub fn add(&mut self, dir: &Path, address: &str) -> u64 {
        let added = self.until("a moment to add a node", || {
            let run = self.cluster(&["member", "add", "--address", address, "--out", &text(dir)]);
            (run.code != Some(3)).then_some(run)
        });
        let id = added.ok().json()["node"].as_u64().expect("an id");
        self.serve(dir);
        id
    }

    /// Promotes a learner as soon as it has caught up, and waits until it votes.
    ///
    /// # Panics
    /// When it doesn't get there.
    pub fn promote(&self, id: u64) {
        self.until("a promotion", || {
            let run = self.cluster(&["member", "promote", &id.to_string()]);
            assert!(matches!(run.code, Some(0 | 3 | 4)), "{run}");
            (run.code == Some(0)).then_some(())
        });
        self.until("one more vote", || ids(&self.members()).1.contains(&id).then_some(()));
        self.name_endpoints();
    }

    /// The profiles name the nodes of now, as operators write them when nodes have come and gone.
    fn name_endpoints(&self) {
        let members = self.members();
        let nodes = members["members"].as_array().expect("members").iter();
        let addresses: Vec<String> =
            nodes.map(|node| format!("\"https://{}\"", node["address"].as_str().expect("an address"))).collect();
        let files = fs::read_dir(self.world.dir()).expect("a folder").flatten().map(|entry| entry.path());
        for file in files.filter(|file| file.extension().is_some_and(|end| end == "toml")) {
            let text = fs::read_to_string(&file).expect("a profile");
            let line = |line: &str| match line.starts_with("endpoints = ") {
                true => format!("endpoints = [{}]\n", addresses.join(", ")),
                false => format!("{line}\n"),
            };
            // Whoever reads it meanwhile reads all of it.
            let new = file.with_extension("new");
            fs::write(&new, text.lines().map(line).collect::<String>()).expect("a profile");
            fs::rename(&new, &file).expect("a profile");
        }
    }

    /// Takes a node out for good, and stops it; where it leads, another one takes over first.
    ///
    /// # Panics
    /// When the authority may not.
    pub fn remove(&mut self, id: u64) {
        self.until("a removal", || {
            let run = self.cluster(&["member", "remove", &id.to_string()]);
            if run.stderr.contains("move-leader") {
                let members = self.members();
                let voters = members["members"].as_array().expect("members").iter();
                let mut others =
                    voters.filter(|node| node["id"] != id && node["votes"] == true && node["reachable"] == true);
                let other = others.next().expect("another voter")["id"].to_string();
                self.cluster(&["move-leader", &other]);
                return None;
            }
            (run.code != Some(3)).then(|| run.ok())
        });
        // It would go on telling what it knew last.
        let name = format!("node-{id}");
        let dir = self.joined.iter().map(|(dir, _)| dir.clone()).find(|dir| dir.ends_with(&name));
        match dir {
            Some(dir) => self.kill(&dir),
            None => self.world.kill(id),
        }
        self.until("its end", || (!ids(&self.members()).0.contains(&id)).then_some(()));
    }

    /// Waits until these nodes, and no others, have one log.
    ///
    /// # Panics
    /// When they don't in time.
    pub fn level(&self, wanted: &[u64]) {
        self.until("one log on all nodes", || {
            let status = self.cluster(&["status", "--json"]);
            let status: Value = serde_json::from_str(&status.stdout).ok()?;
            let nodes = status["nodes"].as_array()?;
            let (first, ids) = (nodes.first()?, nodes.iter().map(|node| node["id"].as_u64().expect("an id")));
            let same = |node: &Value| node["tree_size"] == first["tree_size"] && node["root"] == first["root"];
            (ids.collect::<Vec<_>>() == wanted && nodes.iter().all(same)).then_some(())
        });
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n") + "\n"
}

/// Records in the background, and counts what was acknowledged.
pub struct Load {
    stop: Arc<AtomicBool>,
    recorded: Arc<AtomicU64>,
    thread: JoinHandle<Vec<String>>,
}

impl Load {
    /// Records accesses to five patients from this number on; with the receipts in a file, where one is named. It has a
    /// stream of its own, so that the stories can record beside it.
    ///
    /// # Panics
    /// When the profile isn't as `dev` wrote it.
    pub fn begin(world: &World, patient: u64, receipts: Option<&Path>) -> Self {
        let (stop, recorded) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let whole = fs::read_to_string(world.profile_file()).expect("a profile");
        let own = whole.replace("stream = \"cli\"", &format!("stream = \"load-{patient}\""));
        assert_ne!(own, whole, "the profile names its stream");
        let profile = world.dir().join(format!("load-{patient}.toml"));
        fs::write(&profile, own).expect("a profile");
        let receipts = receipts.map(text);
        let (told, count) = (Arc::clone(&stop), Arc::clone(&recorded));
        let thread = thread::spawn(move || {
            let mut failed = Vec::new();
            for number in 0.. {
                if told.load(Ordering::Relaxed) {
                    break;
                }
                let input = ndjson(&[access(&ins(patient + number % 5), "load")]);
                let mut command = sillage();
                command.arg("--profile").arg(&profile).args(["--timeout", "60", "record", "--file", "-"]);
                command.args(receipts.iter().flat_map(|file| ["--receipts", file]));
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
    ///
    /// # Panics
    /// When one failed.
    pub fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.thread.join().expect("the load ends");
        assert!(failed.is_empty(), "{failed:?}");
        self.recorded.load(Ordering::Relaxed)
    }
}
