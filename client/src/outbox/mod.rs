//! The outbox: what was signed and what was answered, on disk, so that a crash loses and repeats nothing.
//!
//! ```text
//! outbox/<stream id, 32 hex>/
//!   lock             held while a process works on the stream
//!   batch            the batch on its way: written, fsynced and renamed into place before it is first sent
//!   done.log         one JSON line for each acknowledged batch, fsynced before `batch` is removed
//!   refused-<seq>    batches that the ledger refused for good, kept for whoever looks into it; not those of somebody who
//!                    waits at a terminal for the answer
//! ```
//!
//! A batch is in exactly one of three states, whenever the power goes:
//! no `batch` file: nothing was sent; a `batch` file without its line in `done.log`: it is sent again, byte for byte, and the
//! ledger records it once; a line in `done.log`: it is on record, and a `batch` file with its number is a leftover.
//!
//! [`source`] says which input lines a batch came from, so that a rerun of the same file goes on where it stopped.

pub mod source;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use prost::Message;
use serde::{Deserialize, Serialize};
use sillage_proof::keys::StreamId;
use sillage_proto::v1;

pub use source::{Done, Source};

use crate::error::ClientError;
use crate::sign::VerifiedReceipt;

/// The content of `batch`: the input it came from, and the batch as it is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// Where its records came from.
    pub source: Source,
    /// The batch.
    pub batch: v1::Batch,
}

/// A line of `done.log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoneLine {
    /// Number of the batch in its stream.
    pub seq: u64,
    /// Where its records came from.
    pub source: Source,
    /// How many records.
    pub count: u32,
    /// Index of the first record.
    pub first_index: u64,
    /// Ledger time, ms.
    pub time_ms: u64,
    /// The receipt's signed bytes, hex.
    pub receipt: String,
    /// The receipt's signature, hex.
    pub signature: String,
}

/// One stream's outbox, locked by this process.
#[derive(Debug)]
pub struct Outbox {
    dir: PathBuf,
    done_log: File,
    done: Done,
    _lock: File,
}

impl Outbox {
    /// Opens (or makes) the outbox of a stream below `root`.
    ///
    /// # Errors
    /// When another process holds it, or the files can't be used.
    pub fn open(root: &Path, stream: &StreamId) -> Result<Self, ClientError> {
        let name: String = stream.to_string().chars().take(32).collect();
        let dir = root.join(name);
        make_private_dir(root)?;
        make_private_dir(&dir)?;
        let lock = lock(&dir.join("lock"))?;
        let path = dir.join("done.log");
        let lines = read_done(&path)?;
        let done_log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|error| ClientError::writing(&path, error))?;
        sync_dir(&dir)?;
        let done = Done::new(lines);
        Ok(Self { dir, done_log, done, _lock: lock })
    }

    /// The batches that have been acknowledged.
    pub fn done(&self) -> &Done {
        &self.done
    }

    /// The batch that may have been sent and isn't acknowledged.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn pending(&self) -> Result<Option<Pending>, ClientError> {
        let path = self.dir.join("batch");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ClientError::reading(&path, error)),
        };
        let pending = decode_pending(&bytes).ok_or_else(|| {
            ClientError::reading(&path, "damaged: restore the folder, or move it away and ask `stream status`")
        })?;
        // A crash between the two steps of `acknowledge` leaves the file behind.
        if pending.batch.seq <= self.done.last_seq() {
            self.remove_batch()?;
            return Ok(None);
        }
        Ok(Some(pending))
    }

    /// Makes a batch durable. Only then may it be sent.
    ///
    /// # Errors
    /// When the disk refuses; then the batch must not be sent.
    pub fn put(&self, pending: &Pending) -> Result<(), ClientError> {
        let path = self.dir.join("batch");
        let part = self.dir.join("batch.part");
        assert!(!path.exists(), "one batch at a time is on its way");
        let bytes = encode_pending(pending);
        let written = (|| {
            let mut file = private_file(&part)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&part, &path)
        })();
        written.map_err(|error: std::io::Error| ClientError::writing(&path, error))?;
        sync_dir(&self.dir)
    }

    /// Notes that the pending batch is on record, then forgets its plaintext.
    ///
    /// # Errors
    /// When the disk refuses; the batch stays pending and is sent again later, which is safe.
    pub fn acknowledge(&mut self, source: Source, receipt: &VerifiedReceipt) -> Result<(), ClientError> {
        let line = DoneLine {
            seq: receipt.seq,
            source,
            count: receipt.count,
            first_index: receipt.first_index,
            time_ms: receipt.time_ms,
            receipt: hex::encode(&receipt.message),
            signature: hex::encode(&receipt.signature),
        };
        let path = self.dir.join("done.log");
        let mut text = serde_json::to_vec(&line).map_err(|error| ClientError::writing(&path, error))?;
        text.push(b'\n');
        self.done_log
            .write_all(&text)
            .and_then(|()| self.done_log.sync_data())
            .map_err(|error| ClientError::writing(&path, error))?;
        self.done.add(line);
        self.remove_batch()
    }

    /// Forgets which batches of a spool are on record, but for the number of the last one: the caller has made durable what
    /// [`Done::spooled`] says of them. Of a stream that had batches of other sources, nothing is forgotten.
    ///
    /// # Errors
    /// When the disk refuses; then everything is still there.
    pub fn forget_done(&mut self) -> Result<(), ClientError> {
        let path = self.dir.join("done.log");
        let lines = read_done(&path)?;
        let is_spooled = |line: &DoneLine| matches!(line.source, Source::Spool(_));
        let Some(last) = lines.last().filter(|_| lines.len() > 1 && lines.iter().all(is_spooled)) else {
            return Ok(());
        };
        let part = self.dir.join("done.part");
        let mut text = serde_json::to_vec(last).map_err(|error| ClientError::writing(&path, error))?;
        text.push(b'\n');
        let written = (|| {
            let mut file = private_file(&part)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&part, &path)?;
            OpenOptions::new().append(true).open(&path)
        })();
        self.done_log = written.map_err(|error: std::io::Error| ClientError::writing(&path, error))?;
        sync_dir(&self.dir)?;
        self.done.forget_spooled();
        Ok(())
    }

    /// Sets a batch aside that the ledger refused for good: its number is free again.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn refuse(&self, seq: u64) -> Result<PathBuf, ClientError> {
        let mut to = self.dir.join(format!("refused-{seq}"));
        for n in 2_u32.. {
            if !to.exists() {
                break;
            }
            to = self.dir.join(format!("refused-{seq}.{n}"));
        }
        let from = self.dir.join("batch");
        std::fs::rename(&from, &to).map_err(|error| ClientError::writing(&to, error))?;
        sync_dir(&self.dir)?;
        Ok(to)
    }

    /// Forgets the pending batch, which the ledger refused for good and nobody needs: its number is free again.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn forget(&self) -> Result<(), ClientError> {
        self.remove_batch()
    }

    fn remove_batch(&self) -> Result<(), ClientError> {
        let path = self.dir.join("batch");
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(ClientError::writing(&path, error)),
            _ => sync_dir(&self.dir),
        }
    }
}

/// `u32 length ‖ source as JSON ‖ batch ‖ SHA-256 of all before`; the outbox isn't a promise to anyone but itself.
pub(crate) fn encode_pending(pending: &Pending) -> Vec<u8> {
    let source = serde_json::to_vec(&pending.source).expect("a source is plain data");
    let mut out = u32::try_from(source.len()).expect("a source is small").to_be_bytes().to_vec();
    out.extend(source);
    out.extend(pending.batch.encode_to_vec());
    let sum = sillage_proof::hash::sha256(&[&out]);
    out.extend(sum.to_bytes());
    out
}

pub(crate) fn decode_pending(bytes: &[u8]) -> Option<Pending> {
    let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    if sillage_proof::hash::sha256(&[body]).as_ref() != sum {
        return None;
    }
    let (len, rest) = body.split_at_checked(4)?;
    let len = u32::from_be_bytes(len.try_into().ok()?);
    let (source, batch) = rest.split_at_checked(len as usize)?;
    Some(Pending { source: serde_json::from_slice(source).ok()?, batch: v1::Batch::decode(batch).ok()? })
}

/// Reads `done.log` and cuts a last line that a crash left unfinished: its batch is still pending.
fn read_done(path: &Path) -> Result<Vec<DoneLine>, ClientError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ClientError::reading(path, error)),
    };
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    if whole < bytes.len() {
        let cut = OpenOptions::new().write(true).open(path).and_then(|file| {
            file.set_len(whole as u64)?;
            file.sync_all()
        });
        cut.map_err(|error| ClientError::writing(path, error))?;
    }
    parse_done(&bytes[..whole]).map_err(|why| ClientError::reading(path, format!("damaged: {why}")))
}

pub(crate) fn parse_done(bytes: &[u8]) -> Result<Vec<DoneLine>, String> {
    let lines = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let parse = |line| {
        let line: DoneLine = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let fits = match &line.source {
            Source::Keys(keys) => u32::try_from(keys.len()) == Ok(line.count),
            Source::Spool(numbers) => u32::try_from(numbers.len()) == Ok(line.count),
            Source::File { .. } | Source::Fresh => true,
        };
        match fits && line.first_index.checked_add(u64::from(line.count)).is_some() {
            true => Ok(line),
            false => Err(format!("the line of batch {} contradicts itself", line.seq)),
        }
    };
    lines.map(parse).collect()
}

fn make_private_dir(dir: &Path) -> Result<(), ClientError> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(dir).map_err(|error| ClientError::writing(dir, error))?;
    match dir.parent() {
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}

fn private_file(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)
}

fn sync_dir(dir: &Path) -> Result<(), ClientError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|error| ClientError::writing(dir, error))
}

fn lock(path: &Path) -> Result<File, ClientError> {
    use rustix::fs::{FlockOperation, flock};
    let file = private_file(path).map_err(|error| ClientError::writing(path, error))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        ClientError::Usage(format!(
            "another process is recording on this stream ({}): wait for it, or use a profile with another `stream`",
            path.display()
        ))
    })?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> StreamId {
        StreamId::from_bytes([4; 32])
    }

    fn pending(seq: u64) -> Pending {
        let batch = v1::Batch { seq, stream_label: "cli".into(), ..v1::Batch::default() };
        Pending { source: Source::file([1; 32].into(), 10), batch }
    }

    fn receipt(seq: u64) -> VerifiedReceipt {
        VerifiedReceipt { first_index: 100, count: 5, time_ms: 7, seq, message: vec![1], signature: vec![2] }
    }

    fn open(dir: &tempfile::TempDir) -> Outbox {
        Outbox::open(&dir.path().join("outbox"), &stream()).expect("opened")
    }

    #[test]
    fn a_batch_stays_pending_until_it_is_acknowledged() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut outbox = open(&dir);
        assert_eq!(outbox.pending().expect("readable"), None);
        outbox.put(&pending(1)).expect("durable");
        drop(outbox);
        outbox = open(&dir);
        assert_eq!(outbox.pending().expect("readable"), Some(pending(1)));
        outbox.acknowledge(pending(1).source, &receipt(1)).expect("noted");
        assert_eq!(outbox.pending().expect("readable"), None);
        drop(outbox);
        let outbox = open(&dir);
        assert_eq!(outbox.done().last_seq(), 1);
        assert_eq!(outbox.done().of_file(&[1; 32].into(), 12), Some((102, 7)));
    }

    #[test]
    fn a_crash_between_noting_and_removing_repeats_nothing() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut outbox = open(&dir);
        outbox.put(&pending(1)).expect("durable");
        let file = outbox.dir.join("batch");
        let bytes = std::fs::read(&file).expect("there");
        outbox.acknowledge(pending(1).source, &receipt(1)).expect("noted");
        std::fs::write(&file, bytes).expect("as if it had not been removed");
        drop(outbox);
        assert_eq!(open(&dir).pending().expect("readable"), None);
    }

    #[test]
    fn a_torn_last_line_is_cut_and_its_batch_sent_again() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut outbox = open(&dir);
        outbox.put(&pending(1)).expect("durable");
        outbox.acknowledge(pending(1).source, &receipt(1)).expect("noted");
        outbox.put(&pending(2)).expect("durable");
        let log = outbox.dir.join("done.log");
        let mut bytes = std::fs::read(&log).expect("there");
        bytes.extend(b"{\"seq\":2,\"sou");
        std::fs::write(&log, bytes).expect("torn");
        drop(outbox);
        let mut outbox = open(&dir);
        assert_eq!(outbox.done().last_seq(), 1);
        assert_eq!(outbox.pending().expect("readable").map(|p| p.batch.seq), Some(2));
        outbox.acknowledge(pending(2).source, &receipt(2)).expect("noted");
        drop(outbox);
        assert_eq!(open(&dir).done().last_seq(), 2);
    }

    #[test]
    fn what_a_spool_has_taken_note_of_is_forgotten_but_for_the_number() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut outbox = open(&dir);
        for seq in 1..=3 {
            let source = Source::Spool(vec![seq * 10; 5]);
            outbox.put(&Pending { source: source.clone(), batch: pending(seq).batch }).expect("durable");
            outbox.acknowledge(source, &receipt(seq)).expect("noted");
        }
        drop(outbox);
        let mut outbox = open(&dir);
        let seqs = |outbox: &Outbox| outbox.done().spooled().iter().map(|line| line.seq).collect::<Vec<_>>();
        assert_eq!(seqs(&outbox), [1, 2, 3]);
        outbox.forget_done().expect("forgotten");
        assert_eq!((seqs(&outbox), outbox.done().last_seq()), (vec![], 3));
        outbox.put(&Pending { source: Source::Spool(vec![40; 5]), batch: pending(4).batch }).expect("durable");
        outbox.acknowledge(Source::Spool(vec![40; 5]), &receipt(4)).expect("noted");
        drop(outbox);
        let outbox = open(&dir);
        assert_eq!((seqs(&outbox), outbox.done().last_seq()), (vec![3, 4], 4));
    }

    #[test]
    fn other_sources_are_never_forgotten() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut outbox = open(&dir);
        for seq in 1..=2 {
            outbox.put(&pending(seq)).expect("durable");
            outbox.acknowledge(pending(seq).source, &receipt(seq)).expect("noted");
        }
        outbox.forget_done().expect("nothing to forget");
        drop(outbox);
        assert!(open(&dir).done().of_file(&[1; 32].into(), 12).is_some());
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let first = open(&dir);
        let error = Outbox::open(&dir.path().join("outbox"), &stream()).expect_err("locked");
        assert!(error.to_string().contains("another process"), "{error}");
        drop(first);
        open(&dir);
    }

    #[test]
    fn a_damaged_batch_is_never_sent() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let outbox = open(&dir);
        outbox.put(&pending(1)).expect("durable");
        let file = outbox.dir.join("batch");
        let mut bytes = std::fs::read(&file).expect("there");
        bytes[9] ^= 1;
        std::fs::write(&file, bytes).expect("damaged");
        assert!(outbox.pending().is_err());
    }

    #[test]
    fn a_refused_batch_that_nobody_needs_leaves_nothing_behind() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let outbox = open(&dir);
        outbox.put(&pending(1)).expect("durable");
        outbox.forget().expect("forgotten");
        assert_eq!(outbox.pending().expect("readable"), None);
        let left: Vec<_> = std::fs::read_dir(&outbox.dir).expect("there").flatten().map(|f| f.file_name()).collect();
        assert!(left.iter().all(|name| name == "lock" || name == "done.log"), "{left:?}");
    }

    #[test]
    fn a_refused_batch_is_kept_aside() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let outbox = open(&dir);
        for expected in ["refused-1", "refused-1.2"] {
            outbox.put(&pending(1)).expect("durable");
            let kept = outbox.refuse(1).expect("set aside");
            assert!(kept.ends_with(expected), "{kept:?}");
            assert_eq!(outbox.pending().expect("readable"), None);
        }
    }
}
