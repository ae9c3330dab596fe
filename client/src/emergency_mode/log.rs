//! The folder of one emergency: its log, its rules, and what was known of patients before.
//!
//! ```text
//! DIR/
//!   lock         held while a process works on it
//!   log          the lines of `chain`, each fsynced before anything is answered; mode 0600: it holds health data
//!   rules.toml   the rules in force, as they were when the emergency began
//!   state/       what was last known of patients, one file each, where it was kept before
//! ```

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sillage_proof::batch::Origin;
use sillage_proof::hash::{Hash, sha256};
use sillage_proof::keys::SigningKey;
use sillage_rules::line::{ActorLine, ItemLine, PatientLine, RecordLine};
use sillage_rules::time::TimeMs;

use super::chain::{Line, verify};
use crate::error::ClientError;
use crate::profile::{read, write_private};

/// The event of a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LocalEvent {
    /// The ledger is out of reach from here on.
    Started {
        /// Why, for the record: it stands in everything that is handed in.
        reason: String,
        /// SHA-256 of the rules in force.
        rules_sha256: Hash,
    },
    /// A request was decided by the local rules.
    Decided(Box<Decided>),
    /// Something was done.
    Recorded(Box<RecordLine>),
    /// Everything before was handed in to the ledger.
    HandedIn {
        /// Records of it that are on record.
        records: u64,
        /// Lines that the ledger refused, and why.
        refused: Vec<RefusedLine>,
        /// Entry of the ledger that sums it up.
        index: u64,
    },
}

/// A request, and what the local rules made of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// The patient.
    pub patient: PatientLine,
    /// The asker.
    pub actor: ActorLine,
    /// The action: `read`, `search`, …
    pub action: String,
    /// Why.
    pub purpose: String,
    /// The items, with the outcome for each.
    pub items: Vec<DecidedItem>,
    /// Size of the log up to which the patient's last known state went; absent where nothing was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_to: Option<u64>,
}

/// The decision on one item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecidedItem {
    /// The item.
    pub item: ItemLine,
    /// True if it was given.
    pub permit: bool,
    /// The reason of the decision procedure, or `LEDGER_UNREACHABLE` where the local rules don't reach that far.
    pub reason: String,
    /// Kept from representatives: what was decided on it goes on record under the patient's secret tag.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// A line that the ledger refused when it was handed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusedLine {
    /// The line.
    pub seq: u64,
    /// Stable code.
    pub code: String,
}

/// A line, read.
#[derive(Debug, Clone)]
pub struct Event {
    /// Number of the line.
    pub seq: u64,
    /// When.
    pub time: TimeMs,
    /// The event.
    pub event: LocalEvent,
    /// The line as its bytes stand, without its break.
    pub text: String,
}

/// The log of one emergency, held by this process.
#[derive(Debug)]
pub struct EmergencyLog {
    dir: PathBuf,
    origin: Origin,
    key: SigningKey,
    file: File,
    last: Option<Line>,
    events: Vec<Event>,
    _lock: File,
}

impl EmergencyLog {
    /// Begins an emergency in a new folder.
    ///
    /// # Errors
    /// When the folder holds one already, or can't be written.
    pub fn start(
        dir: &Path,
        origin: Origin,
        key: SigningKey,
        reason: &str,
        rules: &str,
        now: TimeMs,
    ) -> Result<Self, ClientError> {
        if reason.trim().is_empty() {
            return Err(ClientError::Usage("say why the ledger can't be reached: --reason".to_owned()));
        }
        if is_begun(dir) {
            return Err(ClientError::Usage(format!(
                "{} holds an emergency already: go on with it, or name a new folder",
                dir.display()
            )));
        }
        make_private_dir(dir)?;
        // What a start that a crash cut short has left.
        let _ = std::fs::remove_file(dir.join("rules.toml"));
        write_private(&dir.join("rules.toml"), rules.as_bytes())?;
        let mut log = Self::open_files(dir, origin, key)?;
        let rules_sha256 = sha256(&[rules.as_bytes()]);
        log.append(&LocalEvent::Started { reason: reason.to_owned(), rules_sha256 }, now)?;
        Ok(log)
    }

    /// Goes on with an emergency that was begun.
    ///
    /// # Errors
    /// When there is none, another process holds it, or the log was changed ([`ClientError::Check`]).
    pub fn open(dir: &Path, origin: Origin, key: SigningKey) -> Result<Self, ClientError> {
        if !is_begun(dir) {
            return Err(ClientError::Usage(format!(
                "{} holds no emergency: begin one with `sillage emergency-mode start`",
                dir.display()
            )));
        }
        let log = Self::open_files(dir, origin, key)?;
        match log.events.first().map(|first| &first.event) {
            Some(LocalEvent::Started { rules_sha256, .. }) if *rules_sha256 == sha256(&[&log.rules()?]) => Ok(log),
            Some(LocalEvent::Started { .. }) => {
                let why = "the rules of this emergency (rules.toml) are not those that it began with: restore them";
                Err(ClientError::Check(why.to_owned()))
            }
            _ => Err(ClientError::Check("the log does not begin with the start of an emergency".to_owned())),
        }
    }

    fn open_files(dir: &Path, origin: Origin, key: SigningKey) -> Result<Self, ClientError> {
        let lock = lock(&dir.join("lock"))?;
        let path = dir.join("log");
        let mut file = private_file(&path).map_err(|error| ClientError::writing(&path, error))?;
        let text = String::from_utf8(read(&path)?).map_err(|error| ClientError::reading(&path, error))?;
        let lines = verify(&text, &origin, &key.public_key())
            .map_err(|error| ClientError::Check(format!("{}: {error}", path.display())))?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            // A crash while a line was written: nothing was answered on it.
            let cut = file.set_len(whole as u64).and_then(|()| file.sync_all());
            cut.map_err(|error| ClientError::writing(&path, error))?;
        }
        use std::io::{Seek, SeekFrom};
        file.seek(SeekFrom::End(0)).map_err(|error| ClientError::reading(&path, error))?;
        sync_dir(dir)?;
        let mut events = Vec::with_capacity(lines.len());
        for (line, text) in lines.iter().zip(text.lines()) {
            let event = serde_json::from_str(line.event.get())
                .map_err(|error| ClientError::reading(&path, format!("line {}: {error}", line.seq)))?;
            events.push(Event { seq: line.seq, time: line.time, event, text: text.to_owned() });
        }
        Ok(Self { dir: dir.to_owned(), origin, key, file, last: lines.into_iter().next_back(), events, _lock: lock })
    }

    /// Adds a line. When it returns, the line is on disk.
    ///
    /// # Errors
    /// When the disk refuses: then nothing may be given out on it.
    pub fn append(&mut self, event: &LocalEvent, now: TimeMs) -> Result<u64, ClientError> {
        if self.is_handed_in() {
            let why = "this emergency was handed in: begin a new one in another folder";
            return Err(ClientError::Usage(why.to_owned()));
        }
        let path = self.dir.join("log");
        let text = serde_json::to_string(event).map_err(|error| ClientError::writing(&path, error))?;
        let raw = RawValue::from_string(text).map_err(|error| ClientError::writing(&path, error))?;
        let last = self.last.as_ref().map(|line| (line, line.head(&self.origin)));
        let line = Line::sign(&self.origin, &self.key, last, now, raw);
        let text = line.to_text();
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|error| ClientError::writing(&path, error))?;
        let (seq, time) = (line.seq, line.time);
        self.last = Some(line);
        self.events.push(Event { seq, time, event: event.clone(), text: text.trim_end().to_owned() });
        Ok(seq)
    }

    /// Every line, oldest first.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The hash of the last line, which covers all lines.
    pub fn head(&self) -> Hash {
        self.last.as_ref().map_or_else(Hash::default, |line| line.head(&self.origin))
    }

    /// Name of this emergency: of its first line.
    pub fn id(&self) -> String {
        let first = self.events.first().map_or("", |event| event.text.as_str());
        sha256(&[first.as_bytes()]).to_string().chars().take(16).collect()
    }

    /// Why the ledger was out of reach.
    pub fn reason(&self) -> &str {
        match self.events.first().map(|event| &event.event) {
            Some(LocalEvent::Started { reason, .. }) => reason,
            _ => "",
        }
    }

    /// Tells whether all of it was handed in.
    pub fn is_handed_in(&self) -> bool {
        matches!(self.events.last().map(|event| &event.event), Some(LocalEvent::HandedIn { .. }))
    }

    /// The rules in force, as text.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn rules(&self) -> Result<Vec<u8>, ClientError> {
        read(&self.dir.join("rules.toml"))
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Tells whether the log has a first line.
fn is_begun(dir: &Path) -> bool {
    std::fs::read(dir.join("log")).is_ok_and(|bytes| bytes.contains(&b'\n'))
}

pub(super) fn make_private_dir(dir: &Path) -> Result<(), ClientError> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(dir).map_err(|error| ClientError::writing(dir, error))
}

fn private_file(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().create(true).read(true).write(true).truncate(false).mode(0o600).open(path)
}

fn sync_dir(dir: &Path) -> Result<(), ClientError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|error| ClientError::writing(dir, error))
}

fn lock(path: &Path) -> Result<File, ClientError> {
    use rustix::fs::{FlockOperation, flock};
    let file = private_file(path).map_err(|error| ClientError::writing(path, error))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        ClientError::Usage(format!("another process works on this emergency ({}): wait for it", path.display()))
    })?;
    Ok(file)
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
