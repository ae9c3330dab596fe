//! Proofs of a new key of the log or of a node, or another set of nodes: the first checkpoint that covers the act, signed
//! with the keys and by the nodes before it (`docs/formats.md` §12).
//!
//! Such a checkpoint can't be made later, for nobody cosigns a smaller size again. So the leader makes it before any
//! larger one, and no node cosigns a larger one before it has the note on disk: whatever majority goes on has it.

use std::collections::BTreeSet;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sillage_ledger::{LedgerReader, ReadError, Refusal};
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::note::SignedNote;
use sillage_proof::{LeafIndex, TreeSize};
use sillage_proto::internal::v1::LearnCheckpointRequest;
use sillage_proto::v1::KeyRotation;
use sillage_rules::codes::Code;
use sillage_rules::entry::Entry;
use tokio::time::{Instant, sleep, timeout};

use super::checkpoints::Signed;
use super::cosign::{CHECKPOINT_NOTE, Notes, Unreadable};
use super::cosigners::Who;
use crate::core::disclose::entries::with_record;
use crate::core::{Core, CoreError};
use crate::refusals::{from_read, refuse, unavailable};

/// Rotations of one answer.
const PAGE: usize = 64;
/// Notes that a peer is asked for at once, each of a few KiB.
const ASKED_MAX: usize = 16;
/// Largest note that is kept for its proof, in bytes: what is larger loses the lines of witnesses and auditors.
const NOTE_BYTES_MAX: usize = 16 << 10;
/// Between two looks for what is missing.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between two looks for a note that is on its way.
const WAIT: Duration = Duration::from_millis(10);
/// For one call to a peer.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the Raft store keeps the note of this size.
fn note_name(size: u64) -> Vec<u8> {
    [b"rotation/".as_slice(), &size.to_be_bytes()].concat()
}

fn stored(notes: &dyn Notes, size: u64) -> Option<String> {
    // Checked at the start.
    String::from_utf8(notes.get(&note_name(size))?).ok()
}

/// Checks what is kept of checkpoints: what can't be read is never taken for nothing.
///
/// # Errors
/// When a note can't be read, or the ledger.
pub(in crate::core) fn check_stored(notes: &dyn Notes, reader: &LedgerReader) -> Result<(), CoreError> {
    let names = proving(reader)?.into_iter().map(note_name).chain([CHECKPOINT_NOTE.to_vec()]);
    for note in names.filter_map(|name| notes.get(&name)) {
        SignedNote::parse(&note).map_err(|_| Unreadable)?;
    }
    Ok(())
}

/// The note with the lines of the log and of the nodes alone.
fn of_nodes(signed: &Signed) -> String {
    let lines = signed.verified().cosignatures.values().filter(|one| matches!(one.who, Who::Node(_)));
    let lines = std::iter::once(&signed.verified().log).chain(lines.map(|one| &one.line)).cloned().collect();
    let note = SignedNote::new(signed.verified().checkpoint.to_text(), lines);
    note.expect("fewer lines than a note that was kept").to_string()
}

/// An act that changes who signs checkpoints.
struct Change {
    /// Its entry.
    index: LeafIndex,
    /// Size of the checkpoint that proves it: the first that covers it. `None`: not there yet.
    proven_by: Option<u64>,
}

/// Every one of them, in the order of the log: new keys of the log and of nodes, and other sets of nodes.
fn changes(reader: &LedgerReader) -> Result<Vec<Change>, ReadError> {
    let size = |commit: LeafIndex| commit.get().saturating_add(1);
    let change = |index, covered_by: Option<LeafIndex>| Change { index, proven_by: covered_by.map(size) };
    let keys = reader.rotations()?.into_iter().map(|one| change(one.index, one.covered_by));
    let sets = reader.node_sets()?.into_iter().map(|one| change(one.index, one.covered_by));
    let mut changes: Vec<Change> = keys.chain(sets).collect();
    changes.sort_by_key(|change| change.index);
    Ok(changes)
}

/// Their entries.
pub(in crate::core) fn indices(reader: &LedgerReader) -> Result<Vec<u64>, ReadError> {
    Ok(changes(reader)?.iter().map(|change| change.index.get()).collect())
}

/// Sizes of the checkpoints that prove them.
fn proving(reader: &LedgerReader) -> Result<BTreeSet<u64>, ReadError> {
    Ok(changes(reader)?.iter().filter_map(|change| change.proven_by).collect())
}

impl Core {
    /// The next checkpoint that has to be made before that of `newest`, because it proves a rotation.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub(super) fn to_prove_before(&self, newest: u64) -> Result<Option<u64>, Refusal> {
        if self.checkpointing.proved.load(Ordering::Acquire) >= newest {
            return Ok(None);
        }
        let cosigned = self.checkpointing.cosigned_last.lock().size;
        let sizes = proving(&self.reader).map_err(|error| from_read(&error))?;
        // Below what was cosigned here nothing can be made up for: it is asked for from the peers.
        let mut sizes = sizes.iter().filter(|size| (cosigned..=newest).contains(*size));
        let first = sizes.find(|size| stored(&*self.checkpointing.notes, **size).is_none()).copied();
        if first.is_none() {
            self.checkpointing.proved.fetch_max(newest, Ordering::AcqRel);
        }
        Ok(first)
    }

    /// Waits until what proves the rotations before `size` is on disk here: only then a larger size may be cosigned.
    pub(super) async fn proofs_kept(&self, size: u64, until: Instant) -> Result<(), Refusal> {
        while let Some(missing) = self.to_prove_before(size)?.filter(|missing| *missing < size) {
            if Instant::now() + WAIT > until {
                let why =
                    format!("this node lacks the checkpoint of size {missing}, which proves a new key: ask again");
                return Err(unavailable(&why));
            }
            sleep(WAIT).await;
        }
        Ok(())
    }

    /// Writes a checkpoint to disk for good, if it proves a rotation.
    pub(super) fn keep_proof(&self, signed: &Signed) {
        let size = signed.size;
        let proves = match proving(&self.reader) {
            Ok(sizes) => sizes.contains(&size),
            Err(error) => {
                tracing::error!(%error, "whether a checkpoint proves a new key can't be said");
                false
            }
        };
        // Witnesses and auditors sign later: a policy may ask for them, so what has more lines takes its place.
        let more = |kept: String| kept.lines().count() < signed.note.lines().count();
        if proves && stored(&*self.checkpointing.notes, size).is_none_or(more) {
            match signed.note.len() <= NOTE_BYTES_MAX {
                true => self.store_proof(size, signed.note.clone()),
                false => self.store_proof(size, of_nodes(signed)),
            }
        }
    }

    fn store_proof(&self, size: u64, note: String) {
        let notes = std::sync::Arc::clone(&self.checkpointing.notes);
        tokio::task::spawn_blocking(move || notes.put(&note_name(size), note.into_bytes(), Box::new(|| ())));
    }

    /// Those of these notes that are here.
    pub fn proving_notes(&self, sizes: &[u64]) -> Vec<String> {
        sizes.iter().take(ASKED_MAX).filter_map(|size| stored(&*self.checkpointing.notes, *size)).collect()
    }

    /// Takes a note from a peer that proves a rotation.
    async fn learn_proof(&self, note: String) -> Result<(), Refusal> {
        let malformed = |error: String| Refusal::new(Code::MalformedRequest, error);
        if note.len() > NOTE_BYTES_MAX {
            return Err(malformed(format!("a note of more than {NOTE_BYTES_MAX} bytes")));
        }
        let (reader, cosigners, text) = (self.reader.clone(), self.checkpointing.cosigners.clone(), note.clone());
        let verify = move || {
            let parsed = SignedNote::parse(text.as_bytes()).map_err(|error| malformed(error.to_string()))?;
            let claimed = Checkpoint::parse(parsed.text()).map_err(|error| malformed(error.to_string()))?;
            let sizes = proving(&reader).map_err(|error| from_read(&error))?;
            if !sizes.contains(&claimed.size.get()) {
                return Err(malformed("it proves no change of keys or nodes".to_owned()));
            }
            let verified = cosigners.verify(&text).map_err(|error| malformed(error.to_string()))?;
            let root = reader.root_at(verified.checkpoint.size).map_err(|error| from_read(&error))?;
            Ok((verified.checkpoint, root))
        };
        let (checkpoint, root) = self.read(verify).await?;
        let size = checkpoint.size.get();
        if checkpoint.root != root {
            return Err(self.corrupt(format!("a majority of nodes has another root at size {size}")));
        }
        self.store_proof(size, note);
        Ok(())
    }

    /// Tells whether the checkpoint that proves the set of nodes of this epoch is on this disk. That of the genesis needs none.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn proof_of_node_set(&self, epoch: u64) -> Result<bool, ReadError> {
        let sets = self.reader.node_sets()?;
        let commit = sets.iter().find(|one| one.set.epoch == epoch).and_then(|one| one.covered_by);
        let kept =
            commit.is_some_and(|commit| stored(&*self.checkpointing.notes, commit.get().saturating_add(1)).is_some());
        Ok(epoch == 0 || kept)
    }

    /// Every rotation and change of the set of nodes that can be proven, from the `from`-th on, in the order of the log; and whether there are more.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub async fn key_rotations(&self, from: u32) -> Result<(Vec<KeyRotation>, bool), Refusal> {
        let (reader, notes) = (self.reader.clone(), std::sync::Arc::clone(&self.checkpointing.notes));
        let from = usize::try_from(from).map_err(|_| refuse(Code::MalformedRequest))?;
        self.read(move || {
            let mut out = Vec::new();
            for change in changes(&reader).map_err(|error| from_read(&error))?.iter().skip(from) {
                // A chain ends where a link isn't there.
                let proven = change.proven_by.and_then(|size| Some((size, stored(&*notes, size)?)));
                let Some((size, note)) = proven else {
                    break;
                };
                if out.len() >= PAGE {
                    return Ok((out, true));
                }
                out.push(key_rotation(&reader, change.index, size, note)?);
            }
            Ok((out, false))
        })
        .await
    }
}

fn key_rotation(reader: &LedgerReader, index: LeafIndex, size: u64, note: String) -> Result<KeyRotation, Refusal> {
    let found = reader.public_entry(index).map_err(|error| from_read(&error))?;
    let found = found.ok_or_else(|| {
        tracing::error!(%index, "what changes keys or nodes is no act");
        refuse(Code::Corrupt)
    })?;
    let payload = match (&found.entry, &found.payload) {
        (Entry::Record(entry), Some(payload)) => Some((entry, &payload[..])),
        _ => None,
    };
    let given = with_record(found.bytes, payload)?;
    let path = reader.inclusion_proof(index, TreeSize(size)).map_err(|error| from_read(&error))?;
    let path = path.iter().map(|hash| hash.as_bytes().to_vec()).collect();
    Ok(KeyRotation { entry: given.entry, salt: given.salt, record: given.record, path, note })
}

/// Asks the peers for notes that are missing here: this node was down when they were made, or lost its disk.
pub(in crate::core) async fn look_for_proofs(core: Weak<Core>) {
    loop {
        let Some(core) = core.upgrade() else {
            return;
        };
        let sizes = proving(&core.reader).unwrap_or_else(|error| {
            tracing::error!(%error, "which checkpoints prove new keys can't be read");
            BTreeSet::new()
        });
        let missing = sizes.into_iter().filter(|size| stored(&*core.checkpointing.notes, *size).is_none());
        let missing: Vec<u64> = missing.take(ASKED_MAX).collect();
        if !missing.is_empty() && core.check_sound().is_ok() {
            for size in &missing {
                if let Some(kept) = core.checkpointing.kept.of_size(*size) {
                    core.keep_proof(&kept);
                }
            }
            core.ask_for_proofs(missing).await;
        }
        drop(core);
        sleep(LOOK_EVERY).await;
    }
}

impl Core {
    async fn ask_for_proofs(&self, sizes: Vec<u64>) {
        for link in self.links.iter() {
            let mut client = link.calls.clone();
            let request = LearnCheckpointRequest { note: String::new(), proving: sizes.clone() };
            let Ok(Ok(answer)) = timeout(CALL_TIMEOUT, client.learn_checkpoint(request)).await else {
                continue;
            };
            for note in answer.into_inner().proving.into_iter().take(ASKED_MAX) {
                if let Err(refusal) = self.learn_proof(note).await {
                    tracing::warn!(code = refusal.code.as_str(), message = refusal.message, "a proof of a new key");
                }
            }
        }
    }
}
