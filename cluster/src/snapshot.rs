//! Snapshots on disk: the manifest that travels in the Raft message, and the checks on the files it names.
//!
//! A snapshot made on this node is a directory `made-<index>-<term>` under [`crate::NodeConfig::snapshot_dir`]; one
//! received from a leader is `received-<index>-<term>`. The manifest is
//! `"SLGSNAP1" ‖ u64 index ‖ u64 term ‖ u32 files ‖ (u16 length ‖ name ‖ u64 size ‖ SHA-256[32])*`, big-endian.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::log::sync_dir;

const MAGIC: &[u8; 8] = b"SLGSNAP1";
const MAX_FILES: u32 = 1 << 20;

/// One file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Path under the snapshot's directory, with `/` between its parts.
    pub name: String,
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub hash: [u8; 32],
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

/// What is wrong with a snapshot.
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
    /// Reads and hashes all files under `dir`.
    ///
    /// # Errors
    /// I/O, or a file that is neither a file nor a directory.
    pub fn of_dir(dir: &Path, index: u64, term: u64) -> Result<Self, SnapshotError> {
        let mut names = Vec::new();
        collect(dir, "", &mut names)?;
        names.sort();
        let files = names
            .into_iter()
            .map(|name| {
                let (size, hash) = hash_file(&dir.join(&name))?;
                Ok(SnapshotFile { name, size, hash })
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Manifest { index, term, files })
    }

    /// The name of the directory that holds the snapshot on the node that made it.
    pub fn dir_name(&self) -> String {
        format!("made-{:016x}-{:016x}", self.index, self.term)
    }

    /// Bytes of all files.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// The bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&self.index.to_be_bytes());
        out.extend_from_slice(&self.term.to_be_bytes());
        let count = u32::try_from(self.files.len()).expect("a snapshot has less than 2^32 files");
        out.extend_from_slice(&count.to_be_bytes());
        for file in &self.files {
            let len = u16::try_from(file.name.len()).expect("file names are short");
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(file.name.as_bytes());
            out.extend_from_slice(&file.size.to_be_bytes());
            out.extend_from_slice(&file.hash);
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
        if take(bytes, 8).ok_or_else(malformed)? != MAGIC {
            return Err(malformed());
        }
        let index = take_u64(bytes).ok_or_else(malformed)?;
        let term = take_u64(bytes).ok_or_else(malformed)?;
        let count = take(bytes, 4).ok_or_else(malformed)?;
        let count = u32::from_be_bytes(count.try_into().map_err(|_| malformed())?);
        if count > MAX_FILES {
            return Err(malformed());
        }
        let mut files: Vec<SnapshotFile> = Vec::new();
        for _ in 0..count {
            let file = take_file(bytes).ok_or_else(malformed)?;
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
    /// The first difference, or I/O.
    pub fn verify_dir(&self, dir: &Path) -> Result<(), SnapshotError> {
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
            if hash_file(&path)? != (file.size, file.hash) {
                return Err(differs());
            }
            File::open(&path)?.sync_all()?;
        }
        sync_tree(dir)?;
        Ok(())
    }

    /// Removes from `dir` what isn't one of these files, whole and sound.
    pub(crate) fn keep_only_own(&self, dir: &Path) -> io::Result<()> {
        let mut names = Vec::new();
        collect(dir, "", &mut names)?;
        for name in names {
            let path = dir.join(&name);
            let own = match self.file(&name) {
                Some(file) => path.metadata()?.len() == file.size && hash_file(&path)? == (file.size, file.hash),
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

/// Where the serving side finds a file that a peer asks for: `snapshot` is [`Manifest::dir_name`], `file` a name in
/// the manifest. `None` when either could lead elsewhere; the file may be gone.
pub fn served_file(snapshot_dir: &Path, snapshot: &str, file: &str) -> Option<PathBuf> {
    let made = snapshot.strip_prefix("made-")?;
    let plain = made.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    (plain && is_inside(file)).then(|| snapshot_dir.join(snapshot).join(file))
}

/// Whether a name from a peer stays below the directory it is joined to.
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

fn take_file(bytes: &mut &[u8]) -> Option<SnapshotFile> {
    let len = u16::from_be_bytes(take(bytes, 2)?.try_into().ok()?);
    let name = std::str::from_utf8(take(bytes, usize::from(len))?).ok()?;
    let file = SnapshotFile { name: name.to_string(), size: take_u64(bytes)?, hash: take(bytes, 32)?.try_into().ok()? };
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

fn hash_file(path: &Path) -> io::Result<(u64, [u8; 32])> {
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
        manifest.verify_dir(dir.path()).unwrap();
        std::fs::write(dir.path().join("a/x"), b"One").unwrap();
        assert!(matches!(manifest.verify_dir(dir.path()), Err(SnapshotError::Differs(name)) if name == "a/x"));
        std::fs::write(dir.path().join("a/x"), b"one").unwrap();
        std::fs::write(dir.path().join("c"), b"").unwrap();
        assert!(matches!(manifest.verify_dir(dir.path()), Err(SnapshotError::Differs(name)) if name == "c"));
        std::fs::remove_file(dir.path().join("c")).unwrap();
        std::fs::remove_file(dir.path().join("b")).unwrap();
        assert!(matches!(manifest.verify_dir(dir.path()), Err(SnapshotError::Differs(name)) if name == "b"));
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
        fn a_cut_manifest_is_refused(cut in 0usize..100) {
            let bytes = sample().1.encode();
            let cut = cut.min(bytes.len() - 1);
            prop_assert!(Manifest::decode(&bytes[..cut]).is_err());
        }
    }
}
