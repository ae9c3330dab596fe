//! Batches as they stand in the log: headers in a row, paths from records to what the author signed, and the check of
//! an author's signature against the entries, which every node makes before it cosigns.

use std::collections::HashMap;

use sillage_proof::batch::{BatchMessage, hash_batch_leaves};
use sillage_proof::hash::{Hash, LeafIndex};
use sillage_proof::keys::{AuthorId, KeyId, PublicKey, StreamId};
use sillage_proof::merkle;
use sillage_rules::entry::{BatchHeader, Entry, Flags};

use super::LedgerReader;
use crate::error::ReadError;
use crate::levels::Levels;

/// Keys kept ready to verify with.
const KEYS_KEPT: usize = 4_096;

/// Where a record stands in what its author signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchPath {
    /// The header of its batch; none for a record that the ledger made itself.
    pub header: Option<LeafIndex>,
    /// Audit path in the batch tree (RFC 6962 §2.1.1); empty for a record that the ledger made itself.
    pub path: Vec<Hash>,
}

/// A batch in the log isn't what its author signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchFault {
    /// The store can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No batch header stands there.
    #[error("entry {0} isn't a batch header")]
    NoHeader(LeafIndex),
    /// Its key was never registered, or belongs to another author than the stream.
    #[error("the batch at {0} is signed with a key that isn't its author's")]
    Key(LeafIndex),
    /// The author's signature doesn't hold.
    #[error("the signature of the batch at {0} doesn't hold")]
    Signature(LeafIndex),
    /// The records that follow aren't those that were signed, or are filed under another tag, kind or flag.
    #[error("the records of the batch at {0} aren't those that were signed, or are filed otherwise")]
    Records(LeafIndex),
}

impl LedgerReader {
    /// The header of the batch with this number in a stream, if it is on record: with it stand the root and the signature.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn batch_on_record(&self, stream: &StreamId, seq: u64) -> Result<Option<BatchHeader>, ReadError> {
        let Some(row) = self.store().batch(stream, seq)? else { return Ok(None) };
        let damaged = || ReadError::Damaged(format!("batch {seq} of a stream has no header"));
        let index = row.first_index.get().checked_sub(1).map(LeafIndex).ok_or_else(damaged)?;
        match self.decoded_entry(index)? {
            Some(Entry::BatchHeader(header)) => Ok(Some(header)),
            _ => Err(damaged()),
        }
    }

    /// Entries from `first` on, at most `count`, ending at the end of the log.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(crate) fn entries(&self, first: LeafIndex, count: u64) -> Result<Vec<Vec<u8>>, ReadError> {
        let view = self.view();
        let end = first.get().saturating_add(count).min(view.head.size);
        let entries = view.store.entries(first.get().min(end), end);
        entries.map(|entry| Ok(entry?.1.into_vec())).collect()
    }

    /// For each of the record entries at `indices`, its path in its batch tree. Each batch is read once when its entries
    /// stand next to each other.
    ///
    /// # Errors
    /// [`ReadError::Beyond`] for what isn't a record entry, and when the store can't be read.
    pub(crate) fn batch_paths(&self, indices: &[LeafIndex]) -> Result<Vec<BatchPath>, ReadError> {
        let mut last: Option<(LeafIndex, Levels)> = None;
        let mut paths = Vec::with_capacity(indices.len());
        for index in indices {
            let found = self.record_of(*index)?;
            let (entry, header) = found.ok_or_else(|| ReadError::Beyond { size: self.tree_size().get() })?;
            let Some(header) = header else {
                paths.push(BatchPath { header: None, path: Vec::new() });
                continue;
            };
            if last.as_ref().is_none_or(|(known, _)| *known != header.index) {
                last = Some((header.index, Levels::over(self.batch_leaves(&header)?)));
            }
            let levels = last.as_ref().map(|(_, levels)| levels).expect("put there above");
            paths.push(BatchPath { header: Some(header.index), path: levels.path(entry.position) });
        }
        Ok(paths)
    }

    /// Leaf hashes of a batch, in order: what its author signed of the records as they are filed.
    fn batch_leaves(&self, header: &BatchHeader) -> Result<Vec<Hash>, ReadError> {
        let view = self.view();
        let first = header.index.get().saturating_add(1);
        let end = first.saturating_add(u64::from(header.count));
        if end > view.head.size {
            return Err(ReadError::Damaged(format!("the batch at {} ends beyond the log", header.index)));
        }
        let entries = view.store.entries(first, end).enumerate();
        let stated = entries.map(|(position, entry)| {
            let (index, bytes) = entry?;
            match Entry::decode(&bytes) {
                Ok(Entry::Record(entry))
                    if entry.position as usize == position && !entry.flags.contains(Flags::LEDGER) =>
                {
                    Ok(entry.batch_leaf())
                }
                _ => Err(ReadError::Damaged(format!("entry {index} isn't a record of the batch before it"))),
            }
        });
        let stated = stated.collect::<Result<Vec<_>, ReadError>>()?;
        let mut leaves = Vec::with_capacity(stated.len());
        hash_batch_leaves(&stated, &mut leaves);
        Ok(leaves)
    }

    /// The batch headers from entry `from` on and below `to`. Records are skipped: each header costs one read.
    pub(crate) fn headers(&self, from: LeafIndex, to: LeafIndex) -> Headers {
        let end = to.get().min(self.tree_size().get());
        Headers { reader: self.clone(), next: from.get(), end }
    }

    /// Verifies batches in the log, and keeps authors' keys ready between them.
    pub fn batch_verifier(&self) -> BatchVerifier {
        BatchVerifier { reader: self.clone(), keys: HashMap::new() }
    }
}

/// Iterates over batch headers.
pub struct Headers {
    reader: LedgerReader,
    next: u64,
    end: u64,
}

impl Iterator for Headers {
    type Item = Result<BatchHeader, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.next < self.end {
            let entry = self.reader.decoded_entry(LeafIndex(self.next));
            self.next += 1;
            match entry {
                Ok(Some(Entry::BatchHeader(header))) => {
                    self.next = self.next.saturating_add(u64::from(header.count));
                    return Some(Ok(header));
                }
                Ok(Some(_)) => {}
                Ok(None) => self.next = self.end,
                Err(error) => {
                    self.next = self.end;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// Verifies batches as they stand in the log.
pub struct BatchVerifier {
    reader: LedgerReader,
    keys: HashMap<KeyId, (AuthorId, PublicKey)>,
}

impl BatchVerifier {
    /// Verifies the batch whose header is the entry `index`: signed with a key of its author that is or was registered,
    /// over the root of the records that follow, as they are filed.
    ///
    /// # Errors
    /// [`BatchFault`] says what doesn't hold.
    pub fn verify_batch_at(&mut self, index: LeafIndex) -> Result<(), BatchFault> {
        match self.reader.decoded_entry(index)? {
            Some(Entry::BatchHeader(header)) => self.verify(&header),
            _ => Err(BatchFault::NoHeader(index)),
        }
    }

    /// Verifies the batch that begins at the entry `index`, unless this process has verified it before. What the ledger made
    /// itself has no author and is stepped over. Gives where the next one begins.
    ///
    /// # Errors
    /// As [`BatchVerifier::verify_batch_at`]; [`BatchFault::NoHeader`] in the middle of a batch and beyond the log.
    pub fn verify_next(&mut self, index: LeafIndex) -> Result<LeafIndex, BatchFault> {
        match self.reader.decoded_entry(index)? {
            Some(Entry::BatchHeader(header)) => {
                if !self.reader.verified().has(&self.message(&header).encode(), &header.signature) {
                    self.verify(&header)?;
                }
                Ok(LeafIndex(index.get().saturating_add(1 + u64::from(header.count))))
            }
            // Records follow their header, which was stepped over together with them.
            Some(Entry::Record(record)) if !record.flags.contains(Flags::LEDGER) => Err(BatchFault::NoHeader(index)),
            Some(_) => Ok(LeafIndex(index.get().saturating_add(1))),
            None => Err(BatchFault::NoHeader(index)),
        }
    }

    /// The message that was signed with the batch of a header.
    fn message(&self, header: &BatchHeader) -> BatchMessage {
        BatchMessage {
            key_id: header.key_id,
            origin: self.reader.genesis().origin.clone(),
            stream_id: header.stream_id,
            seq: header.seq,
            count: header.count,
            root: header.root,
        }
    }

    /// The same for a header that was read already.
    ///
    /// # Errors
    /// As [`BatchVerifier::verify_batch_at`].
    pub fn verify(&mut self, header: &BatchHeader) -> Result<(), BatchFault> {
        let (author, key) = self.key(header)?;
        let stream = self.reader.stream(&header.stream_id)?;
        if stream.is_none_or(|stream| stream.author_id != author) {
            return Err(BatchFault::Key(header.index));
        }
        let signed = self.message(header).verify(&key, &header.signature);
        signed.map_err(|_| BatchFault::Signature(header.index))?;
        let leaves = self.reader.batch_leaves(header)?;
        match merkle::root_of(&leaves) == header.root {
            true => Ok(()),
            false => Err(BatchFault::Records(header.index)),
        }
    }

    fn key(&mut self, header: &BatchHeader) -> Result<(AuthorId, PublicKey), BatchFault> {
        if let Some(known) = self.keys.get(&header.key_id) {
            return Ok(*known);
        }
        let fault = BatchFault::Key(header.index);
        let key = self.reader.key(&header.key_id)?.ok_or_else(|| fault.clone())?;
        let found = (key.author_id, key.verifier().map_err(|_| fault)?);
        if self.keys.len() >= KEYS_KEPT {
            self.keys.clear();
        }
        self.keys.insert(header.key_id, found);
        Ok(found)
    }
}
