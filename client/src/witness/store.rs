//! What a witness has cosigned: it must never forget, or it would cosign a second history.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::hash::sha256;
use sillage_proof::note::SignedNote;

use super::request::first_three_lines;
use crate::error::ClientError;

/// The last checkpoint that was cosigned of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latest {
    /// What it says.
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

/// The checkpoint that contradicts what was cosigned of a log, and what had been cosigned then; none where none was shown.
pub fn evidence(dir: &Path, origin: &str) -> Result<Option<(SignedNote, PathBuf)>, ClientError> {
    let path = dir.join("logs").join(file_name(origin)).with_extension(OTHER);
    match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ClientError::reading(&path, error)),
        Ok(bytes) => {
            let note = SignedNote::parse(&bytes).map_err(|error| ClientError::reading(&path, error))?;
            Ok(Some((note, path)))
        }
    }
}

const OTHER: &str = "other";
const KEPT: &str = "kept";

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

    /// Whether another history of this log was shown.
    pub fn has_evidence(&self, origin: &str) -> bool {
        self.dir.join("logs").join(file_name(origin)).with_extension(OTHER).exists()
    }

    /// Keeps the first checkpoint that contradicts what was cosigned, beside that one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep_evidence(&self, known: &Latest, other: &SignedNote) -> Result<(), ClientError> {
        let origin = known.checkpoint.origin.as_str();
        if self.has_evidence(origin) {
            return Ok(());
        }
        let path = self.dir.join("logs").join(file_name(origin));
        for (extension, note) in [(KEPT, &known.note), (OTHER, other)] {
            let path = path.with_extension(extension);
            std::fs::write(&path, note.to_string()).map_err(|error| ClientError::writing(&path, error))?;
        }
        Ok(())
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
        let logs = self.dir.join("logs");
        let path = logs.join(file_name(latest.checkpoint.origin.as_str()));
        let part = path.with_extension("part");
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&part)?;
            file.write_all(latest.note.to_string().as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&part, &path)?;
            File::open(&logs)?.sync_all()
        };
        write().map_err(|error| ClientError::writing(&path, error))
    }
}
