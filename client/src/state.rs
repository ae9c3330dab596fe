//! The memory of this caller: the highest checkpoint that it verified, in `state.json` beside the profile.
//!
//! A log that shows one history today and another tomorrow has to contradict what someone saw. So every checkpoint is
//! held against the highest one: it may not be smaller, nor have another root at the same size, and the older tree must
//! be the beginning of the newer one. Where it isn't, both notes are kept in a file: signed evidence of a split view.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::hash::{Hash, TreeSize};
use sillage_proof::merkle::verify_consistency;
use sillage_proto::v1;

use crate::channel::hashes;
use crate::error::{ClientError, ErrorCode, failed};
use crate::session::Session;
use crate::trust::VerifiedCheckpoint;

/// The highest verified checkpoint of one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The log.
    pub origin: String,
    /// Its size.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The note, as signed; empty where an older version wrote the file.
    #[serde(default)]
    pub note: String,
}

/// The ledger's proof of the way from one size to another.
enum Consistency {
    Proof(Vec<Hash>),
    /// It refuses, with this code.
    Refused(ErrorCode),
}

/// The state file of a profile.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    seen: Option<Seen>,
}

impl State {
    /// Reads the state file; an absent one is empty.
    ///
    /// # Errors
    /// When it can't be read: it is never replaced in silence.
    pub fn load(session: &Session) -> Result<Self, ClientError> {
        Self::read(&session.profile.dir, &session.profile.origin)
    }

    fn read(dir: &Path, origin: &str) -> Result<Self, ClientError> {
        let path = dir.join("state.json");
        let seen = Self::read_file(&path, origin)?;
        Ok(Self { path, seen })
    }

    fn read_file(path: &Path, origin: &str) -> Result<Option<Seen>, ClientError> {
        match std::fs::read(path) {
            Ok(bytes) => {
                let seen: Seen = serde_json::from_slice(&bytes).map_err(|error| {
                    ClientError::reading(path, format!("damaged ({error}): it remembers what the log has shown; restore it, or move it away knowingly"))
                })?;
                Ok(Some(seen).filter(|seen| seen.origin == origin))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ClientError::reading(path, error)),
        }
    }

    /// The size of the highest checkpoint seen; 0 before the first.
    pub fn size(&self) -> u64 {
        self.seen.as_ref().map_or(0, |seen| seen.size)
    }

    /// Holds a verified checkpoint against the highest one, and remembers it.
    ///
    /// # Errors
    /// [`ClientError::Check`] when the log went back or shows another history; both notes are then kept beside the state.
    pub async fn advance(&mut self, session: &Session, new: &VerifiedCheckpoint) -> Result<(), ClientError> {
        let size = new.checkpoint.size.get();
        let consistency = match self.size() {
            // Nothing to prove, or nothing that could be.
            old if old == 0 || size <= old => Consistency::Proof(Vec::new()),
            old => ask(session, old, size).await?,
        };
        self.take(new, &consistency)
    }

    /// Holds a verified checkpoint of an older size against the highest one, which must extend it.
    ///
    /// # Errors
    /// As [`State::advance`].
    pub async fn holds(&self, session: &Session, older: &VerifiedCheckpoint) -> Result<(), ClientError> {
        let Checkpoint { origin, size, root } = &older.checkpoint;
        let older = Seen { origin: origin.to_string(), size: size.get(), root: *root, note: older.note.to_string() };
        let Some(seen) = &self.seen else {
            return Ok(());
        };
        let consistency = match older.size < seen.size {
            true => ask(session, older.size, seen.size).await?,
            false => Consistency::Proof(Vec::new()),
        };
        match contradiction(&older, seen, &consistency) {
            Some(why) => Err(self.evidence(&older, seen, &why)),
            None => Ok(()),
        }
    }

    fn take(&mut self, new: &VerifiedCheckpoint, consistency: &Consistency) -> Result<(), ClientError> {
        let (checkpoint, note) = (&new.checkpoint, new.note.to_string());
        let new =
            Seen { origin: checkpoint.origin.to_string(), size: checkpoint.size.get(), root: checkpoint.root, note };
        let Some(old) = &self.seen else {
            return self.store(new);
        };
        if let Some(why) = contradiction(old, &new, consistency) {
            return Err(self.evidence(old, &new, &why));
        }
        if new.size > old.size { self.store(new) } else { Ok(()) }
    }

    /// Remembers `seen`. Another command may have seen more meanwhile: under the lock the file only ever goes forward.
    fn store(&mut self, seen: Seen) -> Result<(), ClientError> {
        let _lock = lock(&self.path.with_extension("lock"))?;
        let kept = Self::read_file(&self.path, &seen.origin)?;
        if let Some(kept) = kept.filter(|kept| kept.size >= seen.size) {
            if kept.size == seen.size && kept.root != seen.root {
                let why = "two roots for one size: the log has shown two histories";
                return Err(self.evidence(&kept, &seen, why));
            }
            self.seen = Some(kept);
            return Ok(());
        }
        let part = self.path.with_extension("json.part");
        let text = serde_json::to_vec(&seen).map_err(|error| ClientError::writing(&self.path, error))?;
        let written = std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, &self.path));
        written.map_err(|error| ClientError::writing(&self.path, error))?;
        self.seen = Some(seen);
        Ok(())
    }

    /// Keeps both notes, and says what they contradict each other in.
    fn evidence(&self, old: &Seen, new: &Seen, why: &str) -> ClientError {
        let name = format!("evidence-{}-{}.txt", old.size, new.size);
        let path = self.path.with_file_name(name);
        let text = format!("{}\n{}", old.note, new.note);
        let kept = match std::fs::write(&path, text) {
            Ok(()) => format!("both checkpoints are kept in {}", path.display()),
            Err(error) => format!("{} could not be written ({error}), keep both", path.display()),
        };
        failed(&format!(
            "{why}: size {} with root {} was seen before, now size {} with root {}; {kept}: show them to an auditor",
            old.size, old.root, new.size, new.root
        ))
    }
}

/// Waits for other commands that are writing; each holds it for one small file.
fn lock(path: &Path) -> Result<File, ClientError> {
    use rustix::fs::{FlockOperation, flock};
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(|error| ClientError::writing(path, error))?;
    flock(&file, FlockOperation::LockExclusive).map_err(|error| ClientError::writing(path, error))?;
    Ok(file)
}

/// Why the two can't be of one history that goes forward, if so.
fn contradiction(old: &Seen, new: &Seen, consistency: &Consistency) -> Option<String> {
    if new.size < old.size {
        return Some("the log has gone back".to_owned());
    }
    if new.size == old.size {
        return (new.root != old.root).then(|| "two roots for one size: the log has shown two histories".to_owned());
    }
    if old.size == 0 {
        return None;
    }
    let path = match consistency {
        Consistency::Proof(path) => path,
        Consistency::Refused(code) => {
            return Some(format!("the log does not prove that it was only added to ({code})"));
        }
    };
    let verdict = verify_consistency(TreeSize(old.size), TreeSize(new.size), path, &old.root, &new.root);
    verdict.err().map(|error| format!("the log was not only added to: it has shown two histories ({error})"))
}

async fn ask(session: &Session, old_size: u64, new_size: u64) -> Result<Consistency, ClientError> {
    let request = v1::ProveConsistencyRequest { old_size, new_size };
    match session.client.call(|mut rpc| async move { rpc.prove_consistency(request).await }).await {
        Err(ClientError::Rejected(rejection)) => Ok(Consistency::Refused(rejection.code)),
        answer => Ok(Consistency::Proof(hashes(&answer?.path)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::hash::leaf_hash;
    use sillage_proof::keys::SigningKey;
    use sillage_proof::merkle::{consistency_proof, root_of};
    use sillage_proof::note::{KeyKind, SignerKey};

    fn leaves() -> Vec<Hash> {
        (0..9_u8).map(|at| leaf_hash(&[at])).collect()
    }

    fn checkpoint(size: usize, root: Hash) -> VerifiedCheckpoint {
        let key = SignerKey::new("test/log", KeyKind::Ed25519, SigningKey::from_seed(&[1; 32])).expect("a key");
        let checkpoint = Checkpoint { origin: "test/log".parse().expect("a name"), size: (size as u64).into(), root };
        VerifiedCheckpoint { note: checkpoint.sign(&[&key], 0).expect("signed"), checkpoint }
    }

    fn seen(dir: &Path, size: usize) -> State {
        let mut state = State::read(dir, "test/log").expect("no state yet");
        let first = checkpoint(size, root_of(&leaves()[..size]));
        state.take(&first, &Consistency::Proof(Vec::new())).expect("the first is remembered");
        State::read(dir, "test/log").expect("what was stored")
    }

    fn proof(old: u64, new: u64) -> Consistency {
        Consistency::Proof(consistency_proof(&leaves()[..], old.into(), new.into()).expect("a proof"))
    }

    #[test]
    fn a_log_that_only_grows_is_followed() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut state = seen(dir.path(), 5);
        assert_eq!(state.size(), 5);
        state.take(&checkpoint(5, root_of(&leaves()[..5])), &proof(5, 5)).expect("the same again");
        state.take(&checkpoint(8, root_of(&leaves()[..8])), &proof(5, 8)).expect("grown");
        assert_eq!(State::read(dir.path(), "test/log").expect("stored").size(), 8);
        assert_eq!(State::read(dir.path(), "other/log").expect("stored").size(), 0, "of another log nothing was seen");
    }

    #[test]
    fn going_back_or_aside_is_refused_with_both_checkpoints_kept() {
        let other = leaf_hash(b"another history");
        for (size, root, consistency) in [
            (4, root_of(&leaves()[..4]), proof(4, 4)),
            (5, other, proof(5, 5)),
            (8, other, proof(5, 8)),
            (8, root_of(&leaves()[..8]), Consistency::Proof(Vec::new())),
            (8, root_of(&leaves()[..8]), Consistency::Refused("SIZE_NOT_REACHED".into())),
        ] {
            let dir = tempfile::tempdir().expect("a folder");
            let mut state = seen(dir.path(), 5);
            let new = checkpoint(size, root);
            let error = state.take(&new, &consistency).expect_err("refused");
            assert_eq!(error.exit_code(), 1);
            assert!(error.to_string().contains(&root.to_string()), "{error}");
            let kept = std::fs::read_to_string(dir.path().join(format!("evidence-5-{size}.txt"))).expect("evidence");
            assert!(kept.contains(&new.note.to_string()) && kept.contains("test/log\n5\n"), "{kept}");
            assert_eq!(State::read(dir.path(), "test/log").expect("stored").size(), 5, "what was seen stays");
        }
    }

    #[test]
    fn two_commands_at_once_remember_the_higher_of_what_they_saw() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut slow = seen(dir.path(), 5);
        let mut quick = State::read(dir.path(), "test/log").expect("stored");
        quick.take(&checkpoint(9, root_of(&leaves())), &proof(5, 9)).expect("grown");
        slow.take(&checkpoint(7, root_of(&leaves()[..7])), &proof(5, 7)).expect("grown, but less");
        assert_eq!(slow.size(), 9);
        assert_eq!(State::read(dir.path(), "test/log").expect("stored").size(), 9);
        let mut other = State { path: dir.path().join("state.json"), seen: None };
        let error = other.take(&checkpoint(9, leaf_hash(b"another")), &proof(9, 9)).expect_err("two histories");
        assert!(error.to_string().contains("two roots for one size"), "{error}");
    }

    #[test]
    fn a_damaged_state_is_never_replaced_in_silence() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("state.json"), "{").expect("written");
        assert_eq!(State::read(dir.path(), "test/log").expect_err("refused").exit_code(), 2);
        let old = serde_json::json!({"origin": "test/log", "size": 3, "root": Hash::default()});
        std::fs::write(dir.path().join("state.json"), old.to_string()).expect("written");
        assert_eq!(State::read(dir.path(), "test/log").expect("of an older version").size(), 3);
    }
}
