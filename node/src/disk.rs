//! Which disk this node is on, as it is kept outside the data folder.
//!
//! The *marker* is the file `disk` beside the keyring; what it holds and why is in [`sillage_cluster::identity`]. The data
//! folder says with a file of its own that something may begin in it: `FOUND` (written by `sillage-node init`, for the first
//! nodes of a log) or `JOIN` (for a node that is added later, see [`crate::join`]). `FOUND` is removed once the disk has its
//! identity: so a log is founded once, and an emptied folder begins nothing. Where all disks of a log are gone on purpose,
//! `sillage-node found --forget-disk` ([`forget`]) lets it be founded anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sillage_cluster::DiskRun;
use sillage_cluster::identity::{Mark, Marker};
use sillage_ledger::GenesisInfo;
use sillage_ledger::seal::{Keyring, KeyringError, TagPrefix};
use sillage_proof::hash::sha256;

use crate::config::NodeConfig;
use crate::pid;

/// In the data folder: the first start founds the log, together with the other nodes of the genesis entry.
pub const FOUND: &str = "FOUND";
/// In the data folder: the first start begins a member that is added to a log.
pub const JOIN: &str = "JOIN";
/// Beside the keyring.
pub const MARKER: &str = "disk";

const TITLE: &str = "sillage-disk 1";

/// The marker of one node's disk.
#[derive(Debug)]
pub struct FileMarker {
    path: PathBuf,
    origin: String,
    node: u64,
}

impl FileMarker {
    /// Beside `keyring`, of `node` of the log `origin`.
    pub fn beside(keyring: &Path, origin: &str, node: u64) -> Self {
        Self { path: keyring.with_file_name(MARKER), origin: origin.to_owned(), node }
    }

    fn text(&self, mark: &Mark) -> String {
        let Mark { run, applied } = mark;
        let (disk, start, run) = (hex::encode(run.disk), run.start, run.run);
        let (origin, node) = (&self.origin, self.node);
        format!(
            "{TITLE}\norigin {origin}\nnode {node}\ndisk {disk}\nstart {start}\nrun {run:016x}\napplied {applied}\n"
        )
    }

    fn parse(&self, text: &str) -> Option<Mark> {
        let body_len = text.trim_end_matches('\n').rfind('\n')? + 1;
        let (body, sum) = text.split_at(body_len);
        if sum.trim_end() != format!("sum {}", hex::encode(sha256(&[body.as_bytes()]).as_bytes())) {
            return None;
        }
        let mut lines = body.lines();
        if lines.next()? != TITLE {
            return None;
        }
        let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
        if value("origin")? != self.origin || value("node")?.parse() != Ok(self.node) {
            return None;
        }
        let mut disk = [0; 16];
        hex::decode_to_slice(value("disk")?, &mut disk).ok()?;
        let start = value("start")?.parse().ok()?;
        let run = u64::from_str_radix(&value("run")?, 16).ok()?;
        Some(Mark { run: DiskRun { disk, start, run }, applied: value("applied")?.parse().ok()? })
    }

    fn failed(&self, error: &io::Error) -> String {
        format!("{}: {error}", self.path.display())
    }
}

impl Marker for FileMarker {
    fn load(&self) -> Result<Option<Mark>, String> {
        let text = match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|error| self.failed(&error))?,
        };
        let wrong = || {
            let (path, node, origin) = (self.path.display(), self.node, &self.origin);
            format!(
                "{path} isn't the marker of node {node} of the log {origin}, or was altered: put the right one back, or \
                 replace this node (`sillage cluster member replace ID`)"
            )
        };
        self.parse(&text).map(Some).ok_or_else(wrong)
    }

    fn store(&self, mark: &Mark) -> Result<(), String> {
        let new = self.path.with_extension("new");
        let write = || {
            let body = self.text(mark);
            let sum = hex::encode(sha256(&[body.as_bytes()]).as_bytes());
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(format!("{body}sum {sum}\n").as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(|error| self.failed(&error))
    }
}

/// Tells whether something may begin in this data folder.
pub fn may_begin(data_dir: &Path) -> bool {
    [FOUND, JOIN].iter().any(|name| data_dir.join(name).exists())
}

/// The disk has its identity: no log is founded here a second time.
///
/// # Errors
/// I/O.
pub fn has_begun(data_dir: &Path) -> io::Result<()> {
    match fs::remove_file(data_dir.join(FOUND)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::open(data_dir)?.sync_all()
}

/// Why the disk of a node isn't forgotten. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// It isn't a first node.
    #[error(
        "node {id} isn't one of the first nodes of {origin}: a log is founded by those alone; a later node joins with a new folder (`sillage cluster member add`)"
    )]
    NoFounder {
        /// This node.
        id: u64,
        /// Of the log.
        origin: String,
    },
    /// It runs.
    #[error("node {id} runs (process {pid}): stop it first")]
    Running {
        /// This node.
        id: u64,
        /// Its process.
        pid: i32,
    },
    /// Its disk is there.
    #[error(
        "{path} is there, so this node has its data: start it (`sillage-node serve --config FILE`). To give up what it holds, move the data folder away first, and keep it until the new log is in use"
    )]
    Holds {
        /// A file or folder in the data folder.
        path: PathBuf,
    },
    /// Nobody said so.
    #[error(
        "node {id} ran on disk {disk}, and its data folder is empty. To found the log anew, it has to forget that disk: ALL THAT WAS RECORDED IS LOST THEN, \
         and the log contradicts every receipt and checkpoint that it ever gave. Do this only where the data folders of all nodes are gone: if one node \
         is left that has its own, replace the others (`sillage cluster member replace ID`). If anything was recorded, make a log of another name instead \
         (`sillage-node init --origin NAME`). If nothing was: run this again with --forget-disk, for each of the first nodes {founders:?}, then start them all"
    )]
    Unsaid {
        /// This node.
        id: u64,
        /// The disk that the marker names, or that there is no marker.
        disk: String,
        /// The first nodes of the log.
        founders: Vec<u64>,
    },
    /// The keys aren't those of the beginning any more.
    #[error(
        "{keyring} no longer has the first key of prefix {prefix:#05x}: records were erased, or nodes removed, so this log was in use and can't begin anew; make another one (`sillage-node init --origin NAME`)"
    )]
    Used {
        /// The file.
        keyring: PathBuf,
        /// A prefix that it lacks.
        prefix: u16,
    },
    /// The keyring.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// A file.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Lets the first start of this node found its log anew, after its data folder was emptied. Peers that know the disk that is
/// forgotten refuse this node for good: so the log is founded only where none of them is left.
///
/// # Errors
/// [`ForgetError`]; unless `is_said`, always.
pub fn forget(
    config: &NodeConfig,
    config_file: &Path,
    genesis: &GenesisInfo,
    is_said: bool,
) -> Result<(), ForgetError> {
    let (id, origin) = (config.id, genesis.origin.to_string());
    if genesis.node(id).is_none() {
        return Err(ForgetError::NoFounder { id, origin });
    }
    let running = config.pid_file.as_deref().and_then(pid::read).filter(|pid| pid::serves(*pid, config_file));
    if let Some(pid) = running {
        return Err(ForgetError::Running { id, pid });
    }
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ForgetError::Io { path, source }
    };
    fs::create_dir_all(&config.data_dir).map_err(io(&config.data_dir))?;
    for entry in fs::read_dir(&config.data_dir).map_err(io(&config.data_dir))? {
        let path = entry.map_err(io(&config.data_dir))?.path();
        if path.file_name().is_none_or(|name| name != FOUND) {
            return Err(ForgetError::Holds { path });
        }
    }
    let keyring = Keyring::load(&config.keyring)?;
    let mut prefixes = (0..TagPrefix::COUNT).filter_map(TagPrefix::new);
    if let Some(prefix) = prefixes.find(|prefix| !keyring.holds(*prefix, 1)) {
        return Err(ForgetError::Used { keyring: config.keyring.clone(), prefix: prefix.get() });
    }
    let marker = config.keyring.with_file_name(MARKER);
    if !is_said {
        let mark = FileMarker::beside(&config.keyring, &origin, id).load();
        let disk = match mark {
            Ok(Some(mark)) => mark.run.to_string(),
            Ok(None) | Err(_) => "of which no marker is left".to_owned(),
        };
        let founders = genesis.nodes.iter().map(|node| node.id).collect();
        return Err(ForgetError::Unsaid { id, disk, founders });
    }
    // First what permits to begin, then what forbids it: cut short in between, the node still refuses to start.
    let found = config.data_dir.join(FOUND);
    let write = || {
        fs::write(&found, founding_text(&origin, id))?;
        File::open(&found)?.sync_all()?;
        File::open(&config.data_dir)?.sync_all()?;
        match fs::remove_file(&marker) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => File::open(marker.parent().unwrap_or(Path::new(".")))?.sync_all(),
        }
    };
    write().map_err(io(&config.data_dir))
}

/// The text of [`FOUND`], for people.
pub fn founding_text(origin: &str, node: u64) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    format!("The first start of node {node} founds the log {origin} (made at {since} s since 1970).\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(start: u64) -> Mark {
        Mark { run: DiskRun { disk: [7; 16], start, run: 0xabc }, applied: 99 }
    }

    #[test]
    fn a_marker_is_read_back_and_no_other_nodes_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let keyring = dir.path().join("keyring");
        let marker = FileMarker::beside(&keyring, "ledger.example/test", 2);
        assert_eq!(marker.load(), Ok(None));
        for start in [1, 2] {
            marker.store(&mark(start)).unwrap();
            assert_eq!(marker.load(), Ok(Some(mark(start))));
        }
        for other in [
            FileMarker::beside(&keyring, "ledger.example/test", 3),
            FileMarker::beside(&keyring, "ledger.example/other", 2),
        ] {
            assert!(other.load().unwrap_err().contains("replace this node"));
        }
        let path = dir.path().join(MARKER);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("start 2", "start 3")).unwrap();
        assert!(marker.load().unwrap_err().contains("altered"));
    }

    #[test]
    fn a_data_folder_begins_once() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!may_begin(dir.path()));
        fs::write(dir.path().join(FOUND), founding_text("ledger.example/test", 1)).unwrap();
        assert!(may_begin(dir.path()));
        has_begun(dir.path()).unwrap();
        has_begun(dir.path()).unwrap();
        assert!(!may_begin(dir.path()));
    }
}
