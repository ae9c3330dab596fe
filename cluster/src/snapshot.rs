//! Snapshots on disk: the manifest that travels in the Raft message, and the checks on the files it names.
//!
//! A snapshot made on this node is a directory `made-<index>-<term>` under [`crate::NodeConfig::snapshot_dir`]; one
//! received from a leader is `received-<index>-<term>`. The manifest is
//! `"SLGSNAP1" ‖ u64 index ‖ u64 term ‖ u32 files ‖ (u16 length ‖ name ‖ u64 size ‖ SHA-256[32])*`, big-endian, or the same
//! without hashes after `"SLGSNAP2"`. Then the sender hashes each file while it sends it, and says the hash at its end: the
//! first byte doesn't wait until the last one was hashed.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::log::sync_dir;

const MAGIC_HASHED: &[u8; 8] = b"SLGSNAP1";
const MAGIC_LISTED: &[u8; 8] = b"SLGSNAP2";
const MADE: &str = "made-";
const MAX_FILES: u32 = 1 << 20;

/// One file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Path under the snapshot's directory, with `/` between its parts.
    pub name: String,
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 of the content; `None` while it isn't known: in a manifest either all files have one or none.
    pub hash: Option<[u8; 32]>,
}

/// How far the fetch of a snapshot is, from thread to thread: bytes that were received or checked since the start.
#[derive(Debug, Default)]
pub struct Progress(AtomicU64);

impl Progress {
    /// So many bytes more.
    pub fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// All so far, of every fetch.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All files of a snapshot, sorted by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The state is as of this Raft index.
    pub index: u64,
    /// Term of the entry at `index`.
    pub term: u64,
    /// The files.
    pub files: Vec<SnapshotFile>,
}

/// A fault of a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The manifest's bytes are not a manifest.
    #[error("malformed snapshot manifest")]
    Malformed,
    /// A file is missing, too many, or not what the manifest says.
    #[error("snapshot file {0} is not what the manifest says; it will be fetched again")]
    Differs(String),
    /// Reading or writing failed.
    #[error("snapshot files: {0}")]
    Io(#[from] io::Error),
}

impl Manifest {
    /// Lists all files under `dir`, without hashes.
    ///
    /// # Errors
    /// I/O, or a file that is neither a file nor a directory.
    pub fn list_dir(dir: &Path, index: u64, term: u64) -> Result<Self, SnapshotError> {
        let mut names = Vec::new();
        collect(dir, "", &mut names)?;
        names.sort();
        let listed = names.into_iter().map(|name| {
            let size = dir.join(&name).metadata()?.len();
            Ok(SnapshotFile { name, size, hash: None })
        });
        Ok(Manifest { index, term, files: listed.collect::<io::Result<Vec<_>>>()? })
    }

    /// Reads and hashes all files under `dir`.
    ///
    /// # Errors
    /// As [`Manifest::list_dir`].
    pub fn of_dir(dir: &Path, index: u64, term: u64) -> Result<Self, SnapshotError> {
        let mut manifest = Self::list_dir(dir, index, term)?;
        for file in &mut manifest.files {
            let (size, hash) = hash_file(&dir.join(&file.name), &Progress::default())?;
            (file.size, file.hash) = (size, Some(hash));
        }
        Ok(manifest)
    }

    /// Tells whether every file has its hash.
    pub fn is_hashed(&self) -> bool {
        self.files.iter().all(|file| file.hash.is_some())
    }

    /// Tells whether `other` names the same files, and no hash that differs from one named here.
    pub fn agrees_with(&self, other: &Manifest) -> bool {
        let same = |(own, other): (&SnapshotFile, &SnapshotFile)| {
            own.name == other.name && own.size == other.size && own.hash.is_none_or(|hash| other.hash == Some(hash))
        };
        (self.index, self.term, self.files.len()) == (other.index, other.term, other.files.len())
            && self.files.iter().zip(&other.files).all(same)
    }

    /// The name of the directory that holds the snapshot on the node that made it.
    pub fn dir_name(&self) -> String {
        made_dir_name(self.index, self.term)
    }

    /// Bytes of all files.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// The bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        let hashed = self.is_hashed();
        let mut out = if hashed { MAGIC_HASHED.to_vec() } else { MAGIC_LISTED.to_vec() };
        out.extend_from_slice(&self.index.to_be_bytes());
        out.extend_from_slice(&self.term.to_be_bytes());
        let count = u32::try_from(self.files.len()).expect("a snapshot has less than 2^32 files");
        out.extend_from_slice(&count.to_be_bytes());
        for file in &self.files {
            let len = u16::try_from(file.name.len()).expect("file names are short");
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(file.name.as_bytes());
            out.extend_from_slice(&file.size.to_be_bytes());
            if let Some(hash) = file.hash.filter(|_| hashed) {
                out.extend_from_slice(&hash);
            }
        }
        out
    }

    /// Reads what came from a peer. Names that lead out of the directory are refused.
    ///
    /// # Errors
    /// [`SnapshotError::Malformed`].
    pub fn decode(mut bytes: &[u8]) -> Result<Self, SnapshotError> {
        let malformed = || SnapshotError::Malformed;
        let bytes = &mut bytes;
        let hashed = match take(bytes, 8).ok_or_else(malformed)? {
            magic if magic == MAGIC_HASHED => true,
            magic if magic == MAGIC_LISTED => false,
            _ => return Err(malformed()),
        };
        let index = take_u64(bytes).ok_or_else(malformed)?;
        let term = take_u64(bytes).ok_or_else(malformed)?;
        let count = take(bytes, 4).ok_or_else(malformed)?;
        let count = u32::from_be_bytes(count.try_into().map_err(|_| malformed())?);
        // Without files there is one way to write it.
        if count > MAX_FILES || (count == 0 && !hashed) {
            return Err(malformed());
        }
        let mut files: Vec<SnapshotFile> = Vec::new();
        for _ in 0..count {
            let file = take_file(bytes, hashed).ok_or_else(malformed)?;
            if files.last().is_some_and(|last| last.name >= file.name) {
                return Err(malformed());
            }
            files.push(file);
        }
        // A sum that overflows is of no disk.
        let total = files.iter().try_fold(0_u64, |total, file| total.checked_add(file.size));
        if bytes.is_empty() && total.is_some() { Ok(Manifest { index, term, files }) } else { Err(malformed()) }
    }

    /// Checks that `dir` holds exactly these files, and makes them durable.
    ///
    /// # Errors
    /// The first difference, a file whose hash isn't known, or I/O.
    pub fn verify_dir(&self, dir: &Path, progress: &Progress) -> Result<(), SnapshotError> {
        let mut names = Vec::new();
        collect(dir, "", &mut names)?;
        names.sort();
        for name in &names {
            if self.file(name).is_none() {
                return Err(SnapshotError::Differs(name.clone()));
            }
        }
        for file in &self.files {
            let differs = || SnapshotError::Differs(file.name.clone());
            if names.binary_search(&file.name).is_err() {
                return Err(differs());
            }
            let path = dir.join(&file.name);
            let (size, hash) = hash_file(&path, progress)?;
            if size != file.size || Some(hash) != file.hash {
                return Err(differs());
            }
            File::open(&path)?.sync_all()?;
        }
        sync_tree(dir)?;
        Ok(())
    }

    /// Removes from `dir` what can't be one of these files, or the beginning of one. The rest isn't checked.
    pub(crate) fn keep_only_own(&self, dir: &Path) -> io::Result<()> {
        let mut names = Vec::new();
        collect(dir, "", &mut names)?;
        for name in names {
            let path = dir.join(&name);
            let own = match self.file(&name) {
                Some(file) => path.metadata()?.len() <= file.size,
                None => false,
            };
            if !own {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn file(&self, name: &str) -> Option<&SnapshotFile> {
        let at = self.files.binary_search_by(|file| file.name.as_str().cmp(name));
        at.ok().map(|at| &self.files[at])
    }
}

pub(crate) fn made_dir_name(index: u64, term: u64) -> String {
    format!("{MADE}{index:016x}-{term:016x}")
}

/// The (index, term) of a snapshot that was made here, by the name of its directory.
pub(crate) fn made_in(dir_name: &str) -> Option<(u64, u64)> {
    let (index, term) = dir_name.strip_prefix(MADE)?.split_once('-')?;
    let (index, term) = (u64::from_str_radix(index, 16).ok()?, u64::from_str_radix(term, 16).ok()?);
    (made_dir_name(index, term) == dir_name).then_some((index, term))
}

/// Where the serving side finds a file that a peer asks for: `snapshot` is [`Manifest::dir_name`], `file` a name in
/// the manifest. `None` when either could lead elsewhere; the file may be gone.
pub fn served_file(snapshot_dir: &Path, snapshot: &str, file: &str) -> Option<PathBuf> {
    let made = snapshot.strip_prefix(MADE)?;
    let plain = made.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    (plain && is_inside(file)).then(|| snapshot_dir.join(snapshot).join(file))
}

/// Tells whether a name from a peer stays below the directory it is joined to.
fn is_inside(name: &str) -> bool {
    !name.is_empty()
        && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
        && !name.contains(['\\', '\0'])
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(head)
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(take(bytes, 8)?.try_into().ok()?))
}

fn take_file(bytes: &mut &[u8], hashed: bool) -> Option<SnapshotFile> {
    let len = u16::from_be_bytes(take(bytes, 2)?.try_into().ok()?);
    let name = std::str::from_utf8(take(bytes, usize::from(len))?).ok()?;
    let size = take_u64(bytes)?;
    let hash = if hashed { Some(take(bytes, 32)?.try_into().ok()?) } else { None };
    let file = SnapshotFile { name: name.to_string(), size, hash };
    is_inside(name).then_some(file)
}

fn collect(root: &Path, under: &str, names: &mut Vec<String>) -> io::Result<()> {
    for entry in std::fs::read_dir(root.join(under))? {
        let entry = entry?;
        let name =
            entry.file_name().into_string().map_err(|_| io::Error::other("a snapshot file name is not UTF-8"))?;
        let name = if under.is_empty() { name } else { format!("{under}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(root, &name, names)?;
        } else if kind.is_file() {
            names.push(name);
        } else {
            return Err(io::Error::other(format!("{name} is not a plain file")));
        }
    }
    Ok(())
}

fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        }
    }
    sync_dir(dir)
}

fn hash_file(path: &Path, progress: &Progress) -> io::Result<(u64, [u8; 32])> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((size, hasher.finalize().into()));
        }
        hasher.update(&buffer[..read]);
        size += read as u64;
        progress.add(read as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> (tempfile::TempDir, Manifest) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("b"), b"two").unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/x"), b"one").unwrap();
        let manifest = Manifest::of_dir(dir.path(), 7, 3).unwrap();
        (dir, manifest)
    }

    #[test]
    fn files_are_checked_against_the_manifest_that_travelled() {
        let (dir, manifest) = sample();
        let manifest = Manifest::decode(&manifest.encode()).unwrap();
        assert_eq!(manifest.total_bytes(), 6);
        manifest.verify_dir(dir.path(), &Progress::default()).unwrap();
        std::fs::write(dir.path().join("a/x"), b"One").unwrap();
        assert!(
            matches!(manifest.verify_dir(dir.path(), &Progress::default()), Err(SnapshotError::Differs(name)) if name == "a/x")
        );
        std::fs::write(dir.path().join("a/x"), b"one").unwrap();
        std::fs::write(dir.path().join("c"), b"").unwrap();
        assert!(
            matches!(manifest.verify_dir(dir.path(), &Progress::default()), Err(SnapshotError::Differs(name)) if name == "c")
        );
        std::fs::remove_file(dir.path().join("c")).unwrap();
        std::fs::remove_file(dir.path().join("b")).unwrap();
        assert!(
            matches!(manifest.verify_dir(dir.path(), &Progress::default()), Err(SnapshotError::Differs(name)) if name == "b")
        );
    }

    #[test]
    fn a_manifest_without_hashes_says_nothing_of_content() {
        let (dir, hashed) = sample();
        let listed = Manifest::list_dir(dir.path(), 7, 3).unwrap();
        assert!(hashed.is_hashed() && !listed.is_hashed());
        assert_eq!(Manifest::decode(&listed.encode()).unwrap(), listed);
        assert!(listed.encode().len() < hashed.encode().len());
        assert!(listed.agrees_with(&hashed) && !hashed.agrees_with(&listed));
        assert!(listed.verify_dir(dir.path(), &Progress::default()).is_err(), "nothing to check it with");
        let mut other = hashed.clone();
        other.files[0].hash = Some([0; 32]);
        assert!(!hashed.agrees_with(&other));
        assert_eq!(made_in(&listed.dir_name()), Some((7, 3)));
        for name in ["made-7-3", "received-0000000000000007-0000000000000003", "made-", "making"] {
            assert_eq!(made_in(name), None, "{name}");
        }
    }

    #[test]
    fn a_peer_cannot_name_a_file_outside() {
        let root = Path::new("/snapshots");
        assert!(served_file(root, "made-01-02", "a/x").is_some());
        for file in ["../x", "/x", "a/../../x", "", "."] {
            assert_eq!(served_file(root, "made-01-02", file), None, "{file}");
            let (_dir, mut manifest) = sample();
            manifest.files.truncate(1);
            manifest.files[0].name = file.to_string();
            assert!(Manifest::decode(&manifest.encode()).is_err(), "{file}");
        }
        assert_eq!(served_file(root, "made-../x", "a"), None);
        assert_eq!(served_file(root, "received-01-02", "a"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Manifest::decode(&bytes);
        }

        #[test]
        fn a_cut_manifest_is_refused(cut in 0usize..100, hashed in any::<bool>()) {
            let mut manifest = sample().1;
            if !hashed {
                manifest.files.iter_mut().for_each(|file| file.hash = None);
            }
            let bytes = manifest.encode();
            let cut = cut.min(bytes.len() - 1);
            prop_assert!(Manifest::decode(&bytes[..cut]).is_err());
        }
    }
}
