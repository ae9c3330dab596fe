//! The keyring of a running node: epochs come and go, and the file follows.
//!
//! The file is replaced whole. The bytes of the old one are overwritten before it is unlinked, so that on a disk that
//! writes in place no key remains in free blocks; `docs/durability.md` says what that means elsewhere.
//!
//! ```text
//! keyring.new   written and synced      left by a crash: overwritten and removed when opened
//! keyring.old   another name of the file that is replaced, until it is overwritten      likewise
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use zeroize::Zeroizing;

use super::fingerprint::Record;
use super::{DataKeyBytes, Fingerprints, KekError, KekProvider, Keyring, KeyringError, TagPrefix};

/// Which epochs of a prefix are held; 0: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeldEpochs {
    /// The oldest one.
    pub oldest: u32,
    /// The newest one.
    pub newest: u32,
}

/// Key-encryption keys in a file that follows every change. Shared by all threads of a node.
pub struct KekFile {
    path: PathBuf,
    keys: RwLock<Keyring>,
    fingerprints: RwLock<Arc<Fingerprints>>,
    /// One change at a time; what readers see is on disk already. With what is on record of the keys, where it is kept.
    changing: Mutex<Option<Record>>,
    /// Says whether a key is the group's; until it is set, this one's keys are taken for the group's.
    judge: OnceLock<Judge>,
}

/// Judges whether the key of this prefix and epoch is the group's, as [`KekProvider::check_is_groups`] asks.
pub type Judge = Box<dyn Fn((TagPrefix, u32)) -> Result<(), KekError> + Send + Sync>;

impl KekFile {
    /// Opens the keyring in `path`, and finishes a change that was cut short.
    ///
    /// # Errors
    /// As for [`Keyring::load`]; or when what is left of a change can't be removed.
    pub fn open(path: &Path) -> Result<Self, KeyringError> {
        let keyring = Keyring::load(path)?;
        let fingerprints = RwLock::new(Arc::new(Fingerprints::of_keys(&keyring.keys)));
        let (path, keys) = (path.to_owned(), RwLock::new(keyring));
        let file = Self { path, keys, fingerprints, changing: Mutex::default(), judge: OnceLock::new() };
        file.shred(&file.beside("new"))?;
        file.shred(&file.beside("old"))?;
        Ok(file)
    }

    /// Asks `judge` from now on whether a key is the group's.
    ///
    /// # Panics
    /// When it is set a second time: a keyring is of one node.
    pub fn judged_by(&self, judge: Judge) {
        let twice = self.judge.set(judge).is_err();
        assert!(!twice, "a keyring is of one node");
    }

    /// Compares the keys with those on record in `path`, and keeps the record from now on. Where there is none, these go on
    /// record.
    ///
    /// # Errors
    /// [`KeyringError::Other`] when a key that is on record is missing or another one: nothing was changed.
    pub fn keep_record(&self, path: &Path) -> Result<(), KeyringError> {
        let mut record = self.changing.lock();
        *record = Some(Record::open(path, &self.fingerprints())?);
        Ok(())
    }

    /// Of all keys that are held.
    pub fn fingerprints(&self) -> Arc<Fingerprints> {
        self.fingerprints.read().clone()
    }

    /// Which epochs are held of each of the 4,096 prefixes.
    pub fn held(&self) -> Vec<HeldEpochs> {
        let mut held = vec![HeldEpochs::default(); usize::from(TagPrefix::COUNT)];
        for (prefix, epoch) in self.keys.read().keys.keys() {
            let held = &mut held[usize::from(*prefix)];
            if held.oldest == 0 {
                held.oldest = *epoch;
            }
            held.newest = *epoch;
        }
        held
    }

    /// Which epochs are held of one prefix.
    pub fn held_of(&self, prefix: TagPrefix) -> HeldEpochs {
        let keys = self.keys.read();
        let mut epochs = keys.keys.range((prefix.get(), 0)..=(prefix.get(), u32::MAX)).map(|((_, epoch), _)| *epoch);
        let oldest = epochs.next().unwrap_or(0);
        HeldEpochs { oldest, newest: epochs.next_back().unwrap_or(oldest) }
    }

    /// A key, to hand it to another node of the group.
    pub fn key(&self, prefix: TagPrefix, epoch: u32) -> Option<DataKeyBytes> {
        self.keys.read().keys.get(&(prefix.get(), epoch)).cloned()
    }

    /// All of it, as the file holds it, to hand it to a new node of the group.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.keys.read().encode()
    }

    /// Makes the keys of new epochs, where they aren't there yet. All are durable when this returns.
    ///
    /// # Errors
    /// When there is no randomness, or the file can't be written.
    pub fn make_all(&self, wanted: &[(TagPrefix, u32)]) -> Result<(), KeyringError> {
        let mut made = Vec::new();
        for (prefix, epoch) in wanted.iter().filter(|(prefix, epoch)| self.key(*prefix, *epoch).is_none()) {
            let mut key = Zeroizing::new([0; 32]);
            getrandom::fill(&mut key[..]).map_err(|error| KeyringError::Randomness(error.to_string()))?;
            made.push((*prefix, *epoch, key));
        }
        self.put_all(&made)
    }

    /// Keeps keys, all or none. They are durable when this returns. The same keys again are no error.
    ///
    /// # Errors
    /// [`KeyringError::Conflict`] when another one is there for one of them; or when the file can't be written.
    pub fn put_all(&self, wanted: &[(TagPrefix, u32, DataKeyBytes)]) -> Result<(), KeyringError> {
        let mut record = self.changing.lock();
        let mut keys = self.keys.read().keys.clone();
        let before = keys.len();
        for (prefix, epoch, key) in wanted {
            let name = (prefix.get(), *epoch);
            match keys.get(&name) {
                Some(known) if **known == **key => {}
                Some(_) => return Err(KeyringError::Conflict { prefix: name.0, epoch: *epoch }),
                None => drop(keys.insert(name, key.clone())),
            }
        }
        if keys.len() > before { self.replace(Keyring { keys }, record.as_mut()) } else { Ok(()) }
    }

    /// Makes the key of a new epoch. It is durable when this returns.
    ///
    /// # Errors
    /// When there is one, no randomness, or the file can't be written.
    pub fn make(&self, prefix: TagPrefix, epoch: u32) -> Result<(), KeyringError> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut key[..]).map_err(|error| KeyringError::Randomness(error.to_string()))?;
        self.put(prefix, epoch, &key)
    }

    /// Keeps a key. It is durable when this returns. The same key again is no error.
    ///
    /// # Errors
    /// [`KeyringError::Conflict`] when there is another one; or when the file can't be written.
    pub fn put(&self, prefix: TagPrefix, epoch: u32, key: &[u8; 32]) -> Result<(), KeyringError> {
        let name = (prefix.get(), epoch);
        let mut record = self.changing.lock();
        let mut keys = self.keys.read().keys.clone();
        match keys.get(&name) {
            Some(known) if **known == *key => return Ok(()),
            Some(_) => return Err(KeyringError::Conflict { prefix: name.0, epoch }),
            None => keys.insert(name, Zeroizing::new(*key)),
        };
        self.replace(Keyring { keys }, record.as_mut())
    }

    /// Destroys the keys of these prefixes up to and including an epoch. They are gone from the file and from memory
    /// when this returns. Returns how many there were.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn destroy(&self, retired: &[(TagPrefix, u32)]) -> Result<usize, KeyringError> {
        let mut record = self.changing.lock();
        let mut keys = self.keys.read().keys.clone();
        let before = keys.len();
        for (prefix, epoch) in retired {
            keys.retain(|(of, held), _| *of != prefix.get() || held > epoch);
        }
        let destroyed = before - keys.len();
        if destroyed > 0 {
            self.replace(Keyring { keys }, record.as_mut())?;
        }
        Ok(destroyed)
    }

    /// Makes `keyring` the one in use, on disk first.
    fn replace(&self, keyring: Keyring, mut record: Option<&mut Record>) -> Result<(), KeyringError> {
        let fingerprints = Fingerprints::of_keys(&keyring.keys);
        if let Some(record) = &mut record {
            record.goes(&fingerprints)?;
        }
        let (new, old) = (self.beside("new"), self.beside("old"));
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| KeyringError::Io { path, source }
        };
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(&keyring.encode())?;
            file.sync_all()
        };
        self.shred(&new)?;
        self.shred(&old)?;
        write().map_err(io(&new))?;
        fs::hard_link(&self.path, &old).map_err(io(&old))?;
        fs::rename(&new, &self.path).map_err(io(&self.path))?;
        self.sync_folder()?;
        *self.keys.write() = keyring;
        *self.fingerprints.write() = Arc::new(fingerprints.clone());
        self.shred(&old)?;
        record.map_or(Ok(()), |record| record.came(&fingerprints))
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(suffix);
        name.into()
    }

    /// Overwrites a file that holds keys, and removes it. None there: nothing to do. One that is another name of the
    /// keyring itself only loses that name.
    fn shred(&self, path: &Path) -> Result<(), KeyringError> {
        use std::os::unix::fs::MetadataExt;
        let shred = || {
            let metadata = match fs::symlink_metadata(path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                metadata => metadata?,
            };
            if fs::metadata(&self.path)?.ino() != metadata.ino() {
                let mut file = OpenOptions::new().write(true).open(path)?;
                file.write_all(&vec![0; usize::try_from(metadata.len()).unwrap_or(usize::MAX)])?;
                file.sync_all()?;
            }
            fs::remove_file(path)
        };
        shred().map_err(|source| KeyringError::Io { path: path.to_owned(), source })?;
        self.sync_folder()
    }

    fn sync_folder(&self) -> Result<(), KeyringError> {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = parent.unwrap_or(Path::new("."));
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| KeyringError::Io { path: folder.to_owned(), source })
    }
}

impl KekProvider for KekFile {
    fn wrap(
        &self,
        kek: (TagPrefix, u32),
        nonce: &[u8; 12],
        aad: &[u8],
        data_key: &[u8; 32],
    ) -> Result<[u8; 48], KekError> {
        self.keys.read().wrap(kek, nonce, aad, data_key)
    }

    fn unwrap(
        &self,
        kek: (TagPrefix, u32),
        nonce: &[u8; 12],
        aad: &[u8],
        wrapped: &[u8; 48],
    ) -> Result<DataKeyBytes, KekError> {
        self.keys.read().unwrap(kek, nonce, aad, wrapped)
    }

    fn check_is_groups(&self, kek: (TagPrefix, u32)) -> Result<(), KekError> {
        self.judge.get().map_or(Ok(()), |judge| judge(kek))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> (tempfile::TempDir, KekFile) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("keyring");
        Keyring::generate().expect("randomness").save(&path).expect("writable");
        let file = KekFile::open(&path).expect("just made");
        (dir, file)
    }

    fn prefix(number: u16) -> TagPrefix {
        TagPrefix::new(number).expect("below 4,096")
    }

    #[test]
    fn epochs_come_and_go_and_the_file_follows() {
        let (dir, file) = new();
        let first = file.key(prefix(7), 1).expect("made");
        file.make(prefix(7), 2).expect("writable");
        let second = file.key(prefix(7), 2).expect("made");
        file.put(prefix(7), 2, &second).expect("the same again");
        assert!(matches!(file.put(prefix(7), 2, &first), Err(KeyringError::Conflict { prefix: 7, epoch: 2 })));
        assert_eq!(file.held_of(prefix(7)), HeldEpochs { oldest: 1, newest: 2 });
        assert_eq!(file.destroy(&[(prefix(7), 1)]).expect("writable"), 1);
        assert_eq!(file.destroy(&[(prefix(7), 1)]).expect("writable"), 0, "nothing is left to do");
        let path = dir.path().join("keyring");
        let again = KekFile::open(&path).expect("as written");
        assert_eq!(again.key(prefix(7), 1), None);
        assert_eq!(again.key(prefix(7), 2), Some(second));
        assert_eq!(again.held()[6], HeldEpochs { oldest: 1, newest: 1 });
        let bytes = fs::read(&path).expect("mine");
        assert!(!bytes.windows(32).any(|part| part == &first[..]));
        assert_eq!(fs::read_dir(dir.path()).expect("mine").count(), 1, "nothing else is left");
    }

    #[test]
    fn the_record_follows_every_change_and_refuses_an_older_keyring() {
        let (dir, file) = new();
        let (path, record) = (dir.path().join("keyring"), dir.path().join("KEYRING"));
        file.keep_record(&record).expect("the first time");
        let before = fs::read(&path).expect("mine");
        file.make(prefix(7), 2).expect("writable");
        file.destroy(&[(prefix(7), 1)]).expect("writable");
        let reopen = || KekFile::open(&path).expect("a keyring").keep_record(&record);
        reopen().expect("the same keys");
        fs::write(&path, before).expect("mine");
        let refused = reopen().expect_err("it lacks a key that this node had");
        assert!(matches!(refused, KeyringError::Other { prefix: 7, epoch: 2, .. }), "{refused}");
        assert!(refused.to_string().contains("from another node or from the backup"), "{refused}");
    }

    #[test]
    fn what_a_crash_left_behind_is_overwritten_when_opened() {
        let (dir, file) = new();
        let path = dir.path().join("keyring");
        // Cut short before the rename: `old` is another name of the keyring in use.
        fs::hard_link(&path, dir.path().join("keyring.old")).expect("mine");
        fs::write(dir.path().join("keyring.new"), b"half a key").expect("mine");
        // An open handle shows what becomes of the bytes.
        let new = File::open(dir.path().join("keyring.new")).expect("mine");
        let again = KekFile::open(&path).expect("whole");
        assert_eq!(again.key(prefix(1), 1), file.key(prefix(1), 1));
        assert_eq!(fs::read_dir(dir.path()).expect("mine").count(), 1);
        let mut bytes = [1; 10];
        std::os::unix::fs::FileExt::read_exact_at(&new, &mut bytes, 0).expect("still open");
        assert_eq!(bytes, [0; 10]);
        // Cut short after it: `old` is the file that was replaced.
        fs::copy(&path, dir.path().join("keyring.old")).expect("mine");
        KekFile::open(&path).expect("whole");
        assert_eq!(fs::read_dir(dir.path()).expect("mine").count(), 1);
    }

    #[test]
    fn keys_that_come_together_are_kept_together_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("keyring");
        Keyring::generate().expect("randomness").save(&path).expect("new");
        let file = KekFile::open(&path).expect("whole");
        file.make_all(&[(prefix(1), 2), (prefix(2), 2)]).expect("writable");
        let made = file.key(prefix(1), 2).expect("made");
        file.make_all(&[(prefix(1), 2), (prefix(3), 2)]).expect("what is there stays");
        assert_eq!(file.key(prefix(1), 2), Some(made));
        let other = Zeroizing::new([9; 32]);
        let conflict = file.put_all(&[(prefix(4), 2, other.clone()), (prefix(1), 2, other)]);
        assert!(matches!(conflict, Err(KeyringError::Conflict { prefix: 1, epoch: 2 })));
        assert_eq!(file.key(prefix(4), 2), None);
        assert!(Keyring::is_whole(&file.to_bytes()));
        assert_eq!(KekFile::open(&path).expect("whole").held_of(prefix(3)).newest, 2);
    }
}
