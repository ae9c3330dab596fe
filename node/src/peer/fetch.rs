//! The files of a snapshot, fetched from the peer that made it, and read for one that fetches.
//!
//! The fetching side says how much of a file it has, with the hash of that; where the other side's file begins the
//! same, it goes on from there, else it begins anew. At the end of a file comes its hash, made while the file was read:
//! so nothing has to be hashed before the first byte, and a fetch that broke off goes on where it was.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};
use sillage_cluster::FetchError;
use sillage_cluster::snapshot::{Manifest, Progress, SnapshotFile};
use sillage_proto::internal::v1::{FetchFileRequest, FileChunk};
use tokio::time::timeout;

use super::links::Client;

/// Silence of a peer in the middle of a file, after which the snapshot is asked for again.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(10);
/// For a peer to compare what is here already with what it has.
const COMPARE_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a file in one message.
const CHUNK_BYTES: usize = 256 << 10;

/// Fetches what is missing of the files that `manifest` names into `into`, and gives their hashes.
///
/// # Errors
/// When the peer fails, or what it sends isn't what it promised.
pub async fn snapshot(
    client: Client,
    manifest: &Manifest,
    into: &Path,
    progress: &Progress,
) -> Result<Manifest, FetchError> {
    let snapshot = manifest.dir_name();
    let here = |file: &SnapshotFile| into.join(&file.name).metadata().map_or(0, |metadata| metadata.len());
    tracing::info!(
        snapshot,
        files = manifest.files.len(),
        bytes = manifest.total_bytes(),
        bytes_here = manifest.files.iter().map(here).sum::<u64>(),
        "fetching a snapshot"
    );
    let mut fetched = manifest.clone();
    for wanted in &mut fetched.files {
        let hash = file(client.clone(), &snapshot, wanted, into, progress).await;
        let hash = hash.map_err(|reason| FetchError(format!("{}: {reason}", wanted.name)))?;
        wanted.hash = Some(hash);
    }
    Ok(fetched)
}

async fn file(
    mut client: Client,
    snapshot: &str,
    wanted: &SnapshotFile,
    into: &Path,
    progress: &Progress,
) -> Result<[u8; 32], String> {
    // The manifest refuses names that lead out of the directory.
    let mut part = Part::open(&into.join(&wanted.name), wanted, progress).map_err(|error| error.to_string())?;
    if let Some(hash) = part.whole() {
        return Ok(hash);
    }
    let (offset, prefix_sha256) = part.here();
    let request = FetchFileRequest { snapshot: snapshot.to_owned(), file: wanted.name.clone(), offset, prefix_sha256 };
    let patience = if offset > 0 { COMPARE_TIMEOUT } else { CHUNK_TIMEOUT };
    let call = timeout(patience, client.fetch_file(request)).await;
    let answer = call.map_err(|_| "no answer".to_owned())?;
    let mut chunks = answer.map_err(|status| status.to_string())?.into_inner();
    let mut patience = patience;
    loop {
        let chunk = timeout(patience, chunks.message()).await;
        let chunk = chunk.map_err(|_| "the peer fell silent".to_owned())?;
        let Some(chunk) = chunk.map_err(|status| status.to_string())? else {
            return part.end();
        };
        patience = CHUNK_TIMEOUT;
        progress.add(chunk.data.len() as u64);
        part.take(&chunk)?;
    }
}

/// A file that arrives, on top of what was there before.
struct Part<'w> {
    file: File,
    wanted: &'w SnapshotFile,
    size: u64,
    hasher: Sha256,
    /// True if nothing of this fetch has come yet.
    is_first: bool,
    /// The peer's hash of the whole file.
    told: Option<[u8; 32]>,
}

impl<'w> Part<'w> {
    fn open(path: &Path, wanted: &'w SnapshotFile, progress: &Progress) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut hasher = Sha256::new();
        let size = hash_from(&mut file, wanted.size, &mut hasher, |read| progress.add(read))?;
        let mut part = Part { file, wanted, size, hasher, is_first: true, told: None };
        let is_other = wanted.hash.is_some_and(|hash| size == wanted.size && part.hash() != hash);
        if is_other || part.file.metadata()?.len() > size {
            part.begin_anew()?;
        }
        Ok(part)
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        (self.size, self.hasher) = (0, Sha256::new());
        Ok(())
    }

    fn hash(&self) -> [u8; 32] {
        self.hasher.clone().finalize().into()
    }

    /// The hash of a file that needn't be asked for.
    fn whole(&self) -> Option<[u8; 32]> {
        self.wanted.hash.filter(|hash| self.size == self.wanted.size && self.hash() == *hash)
    }

    /// Bytes that are here, with their hash where there are any.
    fn here(&self) -> (u64, Vec<u8>) {
        (self.size, if self.size > 0 { self.hash().to_vec() } else { Vec::new() })
    }

    fn take(&mut self, chunk: &FileChunk) -> Result<(), String> {
        let failed = |error: io::Error| error.to_string();
        if std::mem::take(&mut self.is_first) && chunk.offset != self.size {
            if chunk.offset != 0 {
                return Err(format!("it goes on at byte {}, and {} are here", chunk.offset, self.size));
            }
            self.begin_anew().map_err(failed)?;
        }
        if !chunk.sha256.is_empty() {
            let hash = chunk.sha256[..].try_into().map_err(|_| "a hash that isn't one".to_owned())?;
            self.told = Some(hash);
        }
        if self.size + chunk.data.len() as u64 > self.wanted.size {
            return Err("longer than the manifest says".to_owned());
        }
        self.file.write_all(&chunk.data).map_err(failed)?;
        self.hasher.update(&chunk.data);
        self.size += chunk.data.len() as u64;
        Ok(())
    }

    /// The stream ended: the file is whole and the one that was promised, or is dropped.
    fn end(mut self) -> Result<[u8; 32], String> {
        if self.size < self.wanted.size {
            return Err(format!("it ended after {} of {} bytes", self.size, self.wanted.size));
        }
        let hash = self.hash();
        let promised = self.wanted.hash.or(self.told).ok_or("it ended without its hash")?;
        if hash != promised || self.told.is_some_and(|told| told != hash) {
            self.begin_anew().map_err(|error| error.to_string())?;
            return Err("it isn't what its hash says; it is fetched anew".to_owned());
        }
        Ok(hash)
    }
}

/// Reads up to `most` bytes from where the file stands, and hashes them.
fn hash_from(file: &mut File, most: u64, hasher: &mut Sha256, mut tell: impl FnMut(u64)) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut size = 0;
    while size < most {
        let room = usize::try_from(most - size).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        let read = file.read(&mut buffer[..room])?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        size += read as u64;
        tell(read as u64);
    }
    Ok(size)
}

/// Reads a file for a peer that has the first `offset` bytes, of the hash `prefix`, and hands on what it lacks, then the
/// hash of all. Ends when `hand` says that nobody listens any more.
///
/// # Errors
/// When the file can't be read.
pub(crate) fn read_out(
    mut file: File,
    offset: u64,
    prefix: &[u8],
    mut hand: impl FnMut(FileChunk) -> bool,
) -> io::Result<()> {
    let mut hasher = Sha256::new();
    let mut at = hash_from(&mut file, offset, &mut hasher, |_| ())?;
    if at > 0 && (at < offset || hasher.clone().finalize()[..] != *prefix) {
        file.seek(SeekFrom::Start(0))?;
        (at, hasher) = (0, Sha256::new());
    }
    loop {
        let mut data = Vec::with_capacity(CHUNK_BYTES);
        let read = (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut data)? as u64;
        hasher.update(&data);
        let sha256 = if read == 0 { hasher.clone().finalize().to_vec() } else { Vec::new() };
        if !hand(FileChunk { data, offset: at, sha256 }) || read == 0 {
            return Ok(());
        }
        at += read;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 3 * CHUNK_BYTES + 77;

    fn content() -> Vec<u8> {
        (0..SIZE).map(|at| (at / 251) as u8).collect()
    }

    fn wanted() -> SnapshotFile {
        SnapshotFile { name: "1.sst".to_owned(), size: SIZE as u64, hash: None }
    }

    /// One fetch that breaks off after `chunks`; gives its outcome, and how many bytes were sent.
    fn fetch(from: &Path, to: &Path, wanted: &SnapshotFile, chunks: usize) -> (Result<[u8; 32], String>, usize) {
        let progress = Progress::default();
        let mut part = Part::open(to, wanted, &progress).unwrap();
        let (offset, prefix) = part.here();
        let (mut sent, mut left, mut refused) = (0, chunks, None);
        read_out(File::open(from).unwrap(), offset, &prefix, |chunk| {
            if left == 0 {
                return false;
            }
            left -= 1;
            sent += chunk.data.len();
            refused = part.take(&chunk).err();
            refused.is_none()
        })
        .unwrap();
        (refused.map_or_else(|| part.end(), Err), sent)
    }

    #[test]
    fn a_fetch_that_broke_off_goes_on_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::write(&from, content()).unwrap();
        let hash: [u8; 32] = Sha256::digest(content()).into();
        let (broken, sent) = fetch(&from, &to, &wanted(), 2);
        assert!(broken.unwrap_err().contains("ended after"));
        assert_eq!(sent, 2 * CHUNK_BYTES);
        // Also where a process ended in the middle of a write.
        File::options().write(true).open(&to).unwrap().set_len(CHUNK_BYTES as u64 + 5).unwrap();
        let (whole, sent) = fetch(&from, &to, &wanted(), usize::MAX);
        assert_eq!((whole, sent), (Ok(hash), SIZE - CHUNK_BYTES - 5));
        assert_eq!(std::fs::read(&to).unwrap(), content());
        let (again, sent) = fetch(&from, &to, &wanted(), usize::MAX);
        assert_eq!((again, sent), (Ok(hash), 0), "the hash alone is compared");
        let known = SnapshotFile { hash: Some(hash), ..wanted() };
        assert_eq!(Part::open(&to, &known, &Progress::default()).unwrap().whole(), Some(hash));
    }

    #[test]
    fn what_was_of_another_file_is_fetched_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::write(&from, content()).unwrap();
        let mut other = content();
        other[5] ^= 1;
        for len in [10, CHUNK_BYTES, SIZE, SIZE + 10] {
            let mut rest = other.clone();
            rest.resize(len, 0);
            std::fs::write(&to, &rest).unwrap();
            let (whole, sent) = fetch(&from, &to, &wanted(), usize::MAX);
            assert_eq!((whole.is_ok(), sent), (true, SIZE), "{len}");
            assert_eq!(std::fs::read(&to).unwrap(), content());
        }
    }

    #[test]
    fn what_is_not_as_promised_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::write(&from, content()).unwrap();
        let other = SnapshotFile { hash: Some([7; 32]), ..wanted() };
        assert!(fetch(&from, &to, &other, usize::MAX).0.unwrap_err().contains("isn't what its hash says"));
        assert_eq!(to.metadata().unwrap().len(), 0, "it is fetched anew");
        let shorter = SnapshotFile { size: 100, ..wanted() };
        assert!(fetch(&from, &to, &shorter, usize::MAX).0.unwrap_err().contains("longer"));
        // Whoever says no hash at all, and was to say one.
        let empty = wanted();
        let mut part = Part::open(&to, &empty, &Progress::default()).unwrap();
        part.take(&FileChunk { data: content(), ..FileChunk::default() }).unwrap();
        assert!(part.end().unwrap_err().contains("without its hash"));
    }
}
