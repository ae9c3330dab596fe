//! The ways in which people change the keyring of a stopped node: give it another log's, one with a key missing, or
//! another node's.
//!
//! The keyring that is really the node's is kept beside, and comes back with [`Keyrings::restore`].

use super::ProcessError;
use sillage_ledger::seal::Keyring;
use sillage_proof::hash::sha256;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Before the entries of a keyring: its magic, then how many there are.
const HEAD_LEN: usize = 17 + 4;
const ENTRY_LEN: usize = 2 + 4 + 32;
const SUM_LEN: usize = 32;

/// The keyrings of a log's nodes.
#[derive(Debug)]
pub struct Keyrings {
    dir: PathBuf,
    /// Node → its own keyring, moved away while something else is in its place.
    own: BTreeMap<u64, PathBuf>,
}

impl Keyrings {
    /// Those of the log in `dir`, with nodes in `dir/node-<id>`.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), own: BTreeMap::new() }
    }

    fn path(&self, id: u64) -> PathBuf {
        self.dir.join(format!("node-{id}/keys/keyring"))
    }

    /// Gives a node the keyring of another log.
    ///
    /// # Errors
    /// When it can't be made or written.
    pub fn put_another_logs(&mut self, id: u64) -> Result<(), ProcessError> {
        self.take_away(id)?;
        let refused = |error: sillage_ledger::seal::KeyringError| ProcessError::Failed {
            what: format!("cannot make another keyring for node {id}"),
            log: error.to_string(),
        };
        Keyring::generate().and_then(|keyring| keyring.save(&self.path(id))).map_err(refused)
    }

    /// Takes one key out of a node's keyring; `choice` says which.
    ///
    /// # Errors
    /// When it can't be read or written, or isn't a keyring.
    pub fn take_one_out(&mut self, id: u64, choice: u64) -> Result<(), ProcessError> {
        let path = self.path(id);
        let bytes = fs::read(&path).map_err(ProcessError::io(format!("cannot read {}", path.display())))?;
        let less = without_one(&bytes, choice).ok_or_else(|| ProcessError::Failed {
            what: format!("{} is no keyring with keys", path.display()),
            log: String::new(),
        })?;
        self.take_away(id)?;
        write(&path, &less)
    }

    /// Gives each of two nodes the other's keyring.
    ///
    /// # Errors
    /// When they can't be read or written.
    pub fn swap(&mut self, a: u64, b: u64) -> Result<(), ProcessError> {
        let read = |path: PathBuf| fs::read(&path).map_err(ProcessError::io(format!("cannot read {}", path.display())));
        let (of_a, of_b) = (read(self.path(a))?, read(self.path(b))?);
        for (id, bytes) in [(a, of_b), (b, of_a)] {
            self.take_away(id)?;
            write(&self.path(id), &bytes)?;
        }
        Ok(())
    }

    /// Deletes what a node has on record of the keyring that it had: it has nothing to compare with but the others.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn forget(&self, id: u64) -> Result<(), ProcessError> {
        let record = self.dir.join(format!("node-{id}/data/KEYRING"));
        match fs::remove_file(&record) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(ProcessError::io(format!("cannot remove {}", record.display()))(error))
            }
            _ => Ok(()),
        }
    }

    /// Brings a node's own keyring back; what was in its place goes.
    ///
    /// # Errors
    /// When it can't be moved.
    pub fn restore(&mut self, id: u64) -> Result<(), ProcessError> {
        let Some(own) = self.own.remove(&id) else { return Ok(()) };
        rename(&own, &self.path(id))
    }

    fn take_away(&mut self, id: u64) -> Result<(), ProcessError> {
        assert!(!self.own.contains_key(&id), "node {id} has something else in the place of its keyring already");
        let own = self.dir.join(format!("node-{id}/keys/own-keyring"));
        rename(&self.path(id), &own)?;
        self.own.insert(id, own);
        Ok(())
    }
}

/// A keyring with one key less; `None`: it isn't one, or has none.
fn without_one(bytes: &[u8], choice: u64) -> Option<Vec<u8>> {
    let body = bytes.get(..bytes.len().checked_sub(SUM_LEN)?)?;
    let (head, entries) = body.split_at_checked(HEAD_LEN)?;
    let count = entries.len() / ENTRY_LEN;
    let at = usize::try_from(choice % u64::try_from(count).ok().filter(|count| *count > 0)?).ok()? * ENTRY_LEN;
    let mut less = head.to_vec();
    less[HEAD_LEN - 4..].copy_from_slice(&u32::try_from(count - 1).ok()?.to_be_bytes());
    less.extend_from_slice(&entries[..at]);
    less.extend_from_slice(&entries[at + ENTRY_LEN..]);
    let sum = sha256(&[&less]);
    less.extend_from_slice(sum.as_bytes());
    Some(less)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ProcessError> {
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(bytes));
    written.map_err(ProcessError::io(format!("cannot write {}", path.display())))
}

fn rename(from: &Path, to: &Path) -> Result<(), ProcessError> {
    fs::rename(from, to).map_err(ProcessError::io(format!("cannot move {} to {}", from.display(), to.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyring_with_a_key_missing_is_still_one_and_the_own_one_comes_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut keyrings = Keyrings::new(dir.path());
        let bytes = |keyrings: &Keyrings, id| fs::read(keyrings.path(id)).expect("a keyring");
        for id in [1, 2] {
            fs::create_dir_all(dir.path().join(format!("node-{id}/keys"))).expect("a folder");
            Keyring::generate().expect("randomness").save(&keyrings.path(id)).expect("writable");
        }
        let (one, two) = (bytes(&keyrings, 1), bytes(&keyrings, 2));
        keyrings.take_one_out(1, 4_095).expect("there are keys");
        let less = bytes(&keyrings, 1);
        assert!(Keyring::is_whole(&less) && less.len() + ENTRY_LEN == one.len());
        keyrings.restore(1).expect("restored");
        keyrings.put_another_logs(1).expect("another");
        assert!(Keyring::is_whole(&bytes(&keyrings, 1)) && bytes(&keyrings, 1) != one);
        keyrings.restore(1).expect("restored");
        keyrings.swap(1, 2).expect("swapped");
        assert_eq!((bytes(&keyrings, 1), bytes(&keyrings, 2)), (two.clone(), one.clone()));
        [1, 2].into_iter().for_each(|id| keyrings.restore(id).expect("restored"));
        assert_eq!((bytes(&keyrings, 1), bytes(&keyrings, 2)), (one, two));
        assert_eq!(without_one(b"nothing", 0), None);
    }
}
