//! What a patient bundle is made of: the patient's place in the index, and its entries, opened and led back to the
//! signatures of their authors (`docs/formats.md` §10).

use std::collections::HashMap;

use sillage_ledger::{BatchPath, LedgerReader, Refusal};
use sillage_proof::keys::KeyId;
use sillage_proof::{Hash, LeafIndex};
use sillage_proto::v1::{
    PatientEntriesRequest, PatientEntriesResponse, PatientEntry, ProvePatientResponse, SigningAuthor, SigningBatch,
};
use sillage_rules::codes::Code;
use sillage_rules::entry::Entry;

use super::account::PASSED_OVER;
use super::open::Opener;
use super::refusals::{from_read, refuse, unavailable};

/// Entries of one answer.
pub const PATIENT_ENTRIES_MAX: u64 = 500;
/// An answer ends before it takes more bytes than this, but holds at least one entry: gRPC clients take messages of
/// 4 MiB unless told otherwise.
const ANSWER_BYTES_MAX: usize = 3 << 20;
/// `batch` of an entry that the ledger made.
const NO_BATCH: u32 = u32::MAX;

/// The patient's bucket under the newest index commit; and how much was looked at for it, in entries opened.
///
/// # Errors
/// `UNAVAILABLE` before the first index commit.
pub fn prove(reader: &LedgerReader, tag: &[u8; 32]) -> Result<(ProvePatientResponse, u64), Refusal> {
    let proof = reader.prove_patient(tag).map_err(|error| from_read(&error))?;
    let proof = proof.ok_or_else(|| unavailable("the log has no index commit yet: ask again in a second"))?;
    let row = |(ikey, row): &(Hash, Hash)| [ikey.to_bytes(), row.to_bytes()].concat();
    let cost = proof.rows.len() as u64 / PASSED_OVER;
    let answer = ProvePatientResponse {
        index_commit: proof.commit_entry,
        bucket: proof.rows.iter().flat_map(row).collect(),
        path: hashes(&proof.path),
        count: proof.count,
    };
    Ok((answer, cost))
}

/// Entries of a patient with all that leads to their authors, and the range proof for as many as there are; and how much was
/// looked at for it, in entries opened.
///
/// # Errors
/// A range that can't be, or that reaches beyond the patient's entries; a store that can't be read.
pub fn entries(
    reader: &LedgerReader,
    opener: &Opener,
    tag: &[u8; 32],
    request: &PatientEntriesRequest,
) -> Result<(PatientEntriesResponse, u64), Refusal> {
    let PatientEntriesRequest { from, to, count, .. } = *request;
    if from > to || to > count || to - from > PATIENT_ENTRIES_MAX {
        let message = format!("a range is `from` to `to`, at most {PATIENT_ENTRIES_MAX} further, within `count`");
        return Err(Refusal::new(Code::MalformedRequest, message));
    }
    // The range proof is over all of them.
    let hashed = if reader.keeps_entries(tag, count) { 0 } else { count };
    let indices = reader.patient_entries(tag, from, to, count).map_err(|error| from_read(&error))?;
    let paths = reader.batch_paths(&indices).map_err(|error| from_read(&error))?;
    let mut page = Page::new(reader, opener, *tag);
    for (index, path) in indices.into_iter().zip(paths) {
        if !page.add(index, &path)? {
            break;
        }
    }
    let to = from + page.answer.entries.len() as u64;
    let (before, after) = reader.patient_range(tag, from, to, count).map_err(|error| from_read(&error))?;
    let cost = page.answer.entries.len() as u64 + hashed / PASSED_OVER;
    Ok((PatientEntriesResponse { before: hashes(&before), after: hashes(&after), ..page.answer }, cost))
}

fn hashes(hashes: &[Hash]) -> Vec<Vec<u8>> {
    hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect()
}

/// An answer in the making.
struct Page<'a> {
    reader: &'a LedgerReader,
    opener: &'a Opener,
    tag: [u8; 32],
    answer: PatientEntriesResponse,
    bytes: usize,
    /// Places in the answer, of batches by their headers and of authors by their keys.
    batches: HashMap<LeafIndex, u32>,
    authors: HashMap<KeyId, u32>,
}

impl<'a> Page<'a> {
    fn new(reader: &'a LedgerReader, opener: &'a Opener, tag: [u8; 32]) -> Self {
        let answer = PatientEntriesResponse::default();
        Self { reader, opener, tag, answer, bytes: 0, batches: HashMap::new(), authors: HashMap::new() }
    }

    /// Adds an entry, unless the answer would become too large: then `false`.
    fn add(&mut self, index: LeafIndex, path: &BatchPath) -> Result<bool, Refusal> {
        let opened = self.opener.open_index(index)?;
        if opened.tag != Some(self.tag) {
            tracing::error!(%index, "the index of patients names another's entry");
            return Err(refuse(Code::Corrupt));
        }
        let bytes = opened.entry.len() + opened.salt.len() + opened.bytes.len() + path.path.len() * Hash::LEN;
        // What an entry brings along at most: a header, an author, and the framing of all.
        let bytes = bytes + 1_024;
        if !self.answer.entries.is_empty() && self.bytes + bytes > ANSWER_BYTES_MAX {
            return Ok(false);
        }
        self.bytes += bytes;
        let batch = match path.header {
            Some(header) => self.batch(header)?,
            None => NO_BATCH,
        };
        let (salt, record) = (opened.salt, opened.bytes);
        let batch_path = hashes(&path.path);
        self.answer.entries.push(PatientEntry { entry: opened.entry, salt, record, batch, batch_path });
        Ok(true)
    }

    fn batch(&mut self, index: LeafIndex) -> Result<u32, Refusal> {
        if let Some(place) = self.batches.get(&index) {
            return Ok(*place);
        }
        let corrupt = || {
            tracing::error!(%index, "a batch header is damaged: not served");
            refuse(Code::Corrupt)
        };
        let bytes = self.reader.entry(index).map_err(|error| from_read(&error))?;
        let bytes = bytes.ok_or_else(corrupt)?;
        let Ok(Entry::BatchHeader(header)) = Entry::decode(&bytes) else {
            return Err(corrupt());
        };
        let author = self.author(&header.key_id)?.ok_or_else(corrupt)?;
        let place = next_place(self.answer.batches.len());
        self.answer.batches.push(SigningBatch { header: bytes, author });
        self.batches.insert(index, place);
        Ok(place)
    }

    /// `None` when the key was never registered.
    fn author(&mut self, key_id: &KeyId) -> Result<Option<u32>, Refusal> {
        if let Some(place) = self.authors.get(key_id) {
            return Ok(Some(*place));
        }
        let Some(key) = self.reader.key(key_id).map_err(|error| from_read(&error))? else {
            return Ok(None);
        };
        let party = self.reader.party(&key.author_id).map_err(|error| from_read(&error))?;
        let name = party.map(|party| party.name).unwrap_or_default();
        let place = next_place(self.answer.authors.len());
        self.answer.authors.push(SigningAuthor { public_key: key.public_key.to_vec(), name });
        self.authors.insert(*key_id, place);
        Ok(Some(place))
    }
}

fn next_place(len: usize) -> u32 {
    u32::try_from(len).expect("an answer has at most 500 entries")
}
