//! The memory of a witness: it must never forget what it cosigned, or it would cosign a second history.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::hash::sha256;
use sillage_proof::note::SignedNote;

use super::request::first_three_lines;
use sillage_client::error::ClientError;

/// The last checkpoint that was cosigned of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latest {
    /// Its content.
    pub checkpoint: Checkpoint,
    /// The note, with the log's signatures and the witness's own.
    pub note: SignedNote,
}

/// The folder, locked by this process.
pub struct Store {
    dir: PathBuf,
    _lock: File,
}

/// Name of a log's file: SHA-256 of its origin, lower-case hex.
pub fn file_name(origin: &str) -> String {
    hex::encode(sha256(&[origin.as_bytes()]).as_bytes())
}

/// Reads what was cosigned last of a log, also while another process serves.
///
/// # Errors
/// When the file is there and isn't a checkpoint of that log: it is never replaced in silence.
pub fn load(dir: &Path, origin: &str) -> Result<Option<Latest>, ClientError> {
    let path = dir.join("logs").join(file_name(origin));
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ClientError::reading(&path, error)),
    };
    let damaged = "damaged: it remembers what this witness has cosigned. An older copy would let it cosign a second history: \
                   put back only one that is surely the last, or retire this key and make a new witness";
    let note = SignedNote::parse(&bytes).map_err(|_| ClientError::reading(&path, damaged))?;
    let checkpoint = first_three_lines(note.text()).filter(|checkpoint| checkpoint.origin.as_str() == origin);
    let checkpoint = checkpoint.ok_or_else(|| ClientError::reading(&path, damaged))?;
    Ok(Some(Latest { checkpoint, note }))
}

/// A checkpoint that the log's key signed and that doesn't continue what was cosigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The checkpoint.
    pub note: SignedNote,
    /// Its file. The checkpoint that had been cosigned then stands beside it, and ends in `.kept`.
    pub path: PathBuf,
    /// True if it proves two histories: another root at the size that was cosigned. Else it came with a proof that leads
    /// elsewhere, which anybody can send with the log's own checkpoint.
    pub is_proven: bool,
}

/// All that is kept against a log, what proves two histories first; empty where nothing was shown.
///
/// # Errors
/// When a file can't be read.
pub fn evidence(dir: &Path, origin: &str) -> Result<Vec<Evidence>, ClientError> {
    let mut out = Vec::new();
    for path in evidence_paths(dir, origin)? {
        let bytes = std::fs::read(&path).map_err(|error| ClientError::reading(&path, error))?;
        let note = SignedNote::parse(&bytes).map_err(|error| ClientError::reading(&path, error))?;
        let is_proven = has_extension(&path, FORK);
        out.push(Evidence { note, path, is_proven });
    }
    out.sort_by(|a, b| (!a.is_proven, &a.path).cmp(&(!b.is_proven, &b.path)));
    Ok(out)
}

fn evidence_paths(dir: &Path, origin: &str) -> Result<Vec<PathBuf>, ClientError> {
    let logs = dir.join("logs");
    let failed = |error| ClientError::reading(&logs, error);
    let start = format!("{}.", file_name(origin));
    let mut out = Vec::new();
    let files = match std::fs::read_dir(&logs) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(out),
        files => files.map_err(failed)?,
    };
    for file in files {
        let path = file.map_err(failed)?.path();
        let is_of_log = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&start));
        if is_of_log && (has_extension(&path, FORK) || has_extension(&path, OTHER)) {
            out.push(path);
        }
    }
    Ok(out)
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// Replaces a file, whole or not at all; durable when it returns.
fn write_synced(path: &Path, note: &SignedNote) -> Result<(), ClientError> {
    let part = path.with_extension("part");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&part)?;
        file.write_all(note.to_string().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&part, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|error| ClientError::writing(path, error))
}

/// Another root at the size that was cosigned: two histories, proven.
const FORK: &str = "fork";
/// Came with a proof that leads elsewhere: two histories, or a garbled proof.
const OTHER: &str = "other";
const KEPT: &str = "kept";
/// Kept of each sort, for each log. Only who has the log's key can make a fork; anybody can fill the other sort.
const EVIDENCE_MAX: usize = 8;

impl Store {
    /// Opens the folder for one process.
    ///
    /// # Errors
    /// When another process has it.
    pub fn open(dir: &Path) -> Result<Self, ClientError> {
        use rustix::fs::{FlockOperation, flock};
        let logs = dir.join("logs");
        std::fs::create_dir_all(&logs).map_err(|error| ClientError::writing(&logs, error))?;
        let path = dir.join("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(|error| ClientError::writing(&path, error))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            ClientError::Usage(format!("another process serves the witness in {}: stop it first", dir.display()))
        })?;
        Ok(Self { dir: dir.to_owned(), _lock: lock })
    }

    /// Tells whether another history of this log was shown.
    pub fn has_evidence(&self, origin: &str) -> bool {
        // What can't be read isn't nothing.
        evidence_paths(&self.dir, origin).map_or(true, |paths| !paths.is_empty())
    }

    /// Keeps a checkpoint that contradicts what was cosigned, beside that one: each size and root once, and what proves two
    /// histories whatever else was sent before. `false` where it is kept already, or as many are.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep_evidence(&self, known: &Latest, other: (&Checkpoint, &SignedNote)) -> Result<bool, ClientError> {
        let (checkpoint, note) = other;
        let is_proven = checkpoint.size == known.checkpoint.size && checkpoint.root != known.checkpoint.root;
        let extension = if is_proven { FORK } else { OTHER };
        let path = self.evidence_path(checkpoint);
        let (kept, path) = (path.with_extension(KEPT), path.with_extension(extension));
        let same = evidence_paths(&self.dir, known.checkpoint.origin.as_str())?;
        let same: Vec<&PathBuf> = same.iter().filter(|path| has_extension(path, extension)).collect();
        if same.contains(&&path) || same.len() >= EVIDENCE_MAX {
            return Ok(false);
        }
        // The checkpoint comes last: where it is, the other one is too.
        write_synced(&kept, &known.note)?;
        write_synced(&path, note)?;
        Ok(true)
    }

    /// Lets go of a checkpoint that came with a garbled proof before, now that it is cosigned itself: it contradicts nothing.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn forget_unproven(&self, cosigned: &Checkpoint) -> Result<(), ClientError> {
        let path = self.evidence_path(cosigned);
        // In this order: where the checkpoint is, the other one is too.
        for path in [path.with_extension(OTHER), path.with_extension(KEPT)] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                removed => removed.map_err(|error| ClientError::writing(&path, error))?,
            }
        }
        Ok(())
    }

    /// Where what is kept of a checkpoint stands, but for the end of the name.
    fn evidence_path(&self, checkpoint: &Checkpoint) -> PathBuf {
        let root = hex::encode(&checkpoint.root.as_bytes()[..8]);
        let name = format!("{}.{}-{root}.x", file_name(checkpoint.origin.as_str()), checkpoint.size);
        self.dir.join("logs").join(name)
    }

    /// As [`load`].
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(&self, origin: &str) -> Result<Option<Latest>, ClientError> {
        load(&self.dir, origin)
    }

    /// Replaces what was cosigned last of a log, whole or not at all; durable when it returns.
    ///
    /// # Errors
    /// When the disk refuses. Then the old or the new one is there, and nothing may be answered.
    pub fn save(&self, latest: &Latest) -> Result<(), ClientError> {
        let path = self.dir.join("logs").join(file_name(latest.checkpoint.origin.as_str()));
        write_synced(&path, &latest.note)
    }
}
