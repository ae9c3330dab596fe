//! What this caller has seen: the newest checkpoint that it verified, in `state.json` beside the profile.
//!
//! A log that shows one history today and another tomorrow has to contradict what someone saw. So every checkpoint is
//! held against the last one: the smaller tree must be the beginning of the larger one.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::hash::{Hash, TreeSize};
use sillage_proof::merkle::verify_consistency;
use sillage_proto::v1;

use crate::checks::{failed, hashes};
use crate::error::ClientError;
use crate::session::Session;

/// The newest verified checkpoint of one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The log.
    pub origin: String,
    /// Its size.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

/// The state file of a profile.
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
        let path = session.profile.dir.join("state.json");
        let seen = match std::fs::read(&path) {
            Ok(bytes) => {
                let seen: Seen = serde_json::from_slice(&bytes).map_err(|error| {
                    ClientError::reading(&path, format!("damaged ({error}): it remembers what the log has shown; restore it, or move it away knowingly"))
                })?;
                Some(seen).filter(|seen| seen.origin == session.profile.origin)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(ClientError::reading(&path, error)),
        };
        Ok(Self { path, seen })
    }

    /// Holds a verified checkpoint against the last one, and remembers the larger.
    ///
    /// # Errors
    /// [`ClientError::Check`] when the two can't be of one log.
    pub async fn advance(&mut self, session: &Session, checkpoint: &Checkpoint) -> Result<(), ClientError> {
        let new = Seen { origin: checkpoint.origin.to_string(), size: checkpoint.size.get(), root: checkpoint.root };
        let Some(old) = self.seen.clone() else {
            return self.store(new);
        };
        let (small, large) = if old.size <= new.size { (&old, &new) } else { (&new, &old) };
        check(session, small, large).await?;
        if new.size > old.size { self.store(new) } else { Ok(()) }
    }

    fn store(&mut self, seen: Seen) -> Result<(), ClientError> {
        let part = self.path.with_extension("json.part");
        let text = serde_json::to_vec(&seen).map_err(|error| ClientError::writing(&self.path, error))?;
        let written = std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, &self.path));
        written.map_err(|error| ClientError::writing(&self.path, error))?;
        self.seen = Some(seen);
        Ok(())
    }
}

async fn check(session: &Session, small: &Seen, large: &Seen) -> Result<(), ClientError> {
    if small.size == large.size {
        return match small.root == large.root {
            true => Ok(()),
            false => Err(failed(&format!(
                "two roots for size {}: the log has shown two histories, keep both as evidence",
                small.size
            ))),
        };
    }
    if small.size == 0 {
        return Ok(());
    }
    let request = v1::ProveConsistencyRequest { old_size: small.size, new_size: large.size };
    let answer = session.client.call(|mut rpc| async move { rpc.prove_consistency(request).await }).await;
    let answer = match answer {
        Err(ClientError::Rejected(rejection)) => {
            let (from, to) = (small.size, large.size);
            return Err(failed(&format!(
                "the log does not prove that {from} and {to} entries are of one history ({})",
                rejection.code
            )));
        }
        answer => answer?,
    };
    let path = hashes(&answer.path)?;
    verify_consistency(TreeSize(small.size), TreeSize(large.size), &path, &small.root, &large.root).map_err(|_| {
        failed(&format!(
            "size {} is not the beginning of size {}: the log has shown two histories, keep both as evidence",
            small.size, large.size
        ))
    })
}
