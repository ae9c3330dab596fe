//! The parts of a patient bundle: the patient's place in the index, and its entries, opened and led back to the
//! signatures of their authors (`docs/formats.md` §10).

use std::collections::HashMap;

use sillage_ledger::{BatchPath, Party, Refusal};
use sillage_proof::keys::KeyId;
use sillage_proof::{Hash, LeafIndex};
use sillage_proto::v1::{
    PatientEntriesRequest, PatientEntriesResponse, PatientEntry, ProvePatientRequest, ProvePatientResponse,
    SigningAuthor, SigningBatch,
};
use sillage_rules::codes::Code;
use sillage_rules::entry::Entry;

use super::account::PASSED_OVER;
use super::devices::is_patient_itself;
use super::on_record::{Subject, TracePart};
use super::{Access, Question, Withheld, tag_of};
use crate::refusals::{from_read, refuse, unavailable};

/// Looked at for a proof, whatever it holds, in entries opened.
const PROOF_ROWS: u64 = 20;
/// Entries of one answer.
const PATIENT_ENTRIES_MAX: u64 = 500;
/// An answer ends before it takes more bytes than this, but holds at least one entry: gRPC clients take messages of
/// 4 MiB unless told otherwise.
const ANSWER_BYTES_MAX: usize = 3 << 20;
/// `batch` of an entry that the ledger made.
const NO_BATCH: u32 = u32::MAX;

impl Question for ProvePatientRequest {
    type Answer = ProvePatientResponse;

    fn rows(&self) -> Result<u64, Refusal> {
        Ok(PROOF_ROWS)
    }

    fn leaves_a_line(&self, caller: &Party) -> bool {
        !is_patient_itself(caller, &self.tag)
    }

    fn tell(&self, caller: &Party) {
        tracing::info!(target: "audit", caller = %caller.author_id, "a patient's place in the index was proven");
    }

    fn bounded_by(&self) -> Option<Subject> {
        let tag = tag_of(&self.tag).ok()?;
        Some(Subject::Patient(tag, TracePart::Proof))
    }

    fn find(self, access: &Access, caller: &Party) -> Result<Withheld<ProvePatientResponse>, Refusal> {
        let tag = tag_of(&self.tag)?;
        let (proof, rows) = prove(access, &tag)?;
        Ok(Withheld::new(proof, caller, PROOF_ROWS + rows, Subject::Patient(tag, TracePart::Proof)))
    }
}

impl Question for PatientEntriesRequest {
    type Answer = PatientEntriesResponse;

    fn rows(&self) -> Result<u64, Refusal> {
        Ok(PROOF_ROWS + self.to.saturating_sub(self.from).min(PATIENT_ENTRIES_MAX))
    }

    fn leaves_a_line(&self, caller: &Party) -> bool {
        !is_patient_itself(caller, &self.tag)
    }

    fn tell(&self, caller: &Party) {
        tracing::info!(target: "audit", caller = %caller.author_id, "entries of a patient were read");
    }

    fn bounded_by(&self) -> Option<Subject> {
        let tag = tag_of(&self.tag).ok()?;
        Some(Subject::Patient(tag, TracePart::Entries))
    }

    fn find(self, access: &Access, caller: &Party) -> Result<Withheld<PatientEntriesResponse>, Refusal> {
        let tag = tag_of(&self.tag)?;
        let (page, rows) = entries(access, &tag, &self)?;
        Ok(Withheld::new(page, caller, PROOF_ROWS + rows, Subject::Patient(tag, TracePart::Entries)))
    }
}

/// The patient's bucket under the newest index commit; and how much was looked at for it, in entries opened.
///
/// # Errors
/// `UNAVAILABLE` before the first index commit.
fn prove(access: &Access, tag: &[u8; 32]) -> Result<(ProvePatientResponse, u64), Refusal> {
    let proof = access.entries().prove_patient(tag).map_err(|error| from_read(&error))?;
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
fn entries(
    access: &Access,
    tag: &[u8; 32],
    request: &PatientEntriesRequest,
) -> Result<(PatientEntriesResponse, u64), Refusal> {
    let PatientEntriesRequest { from, to, count, .. } = *request;
    if from > to || to > count || to - from > PATIENT_ENTRIES_MAX {
        let message = format!("a range is `from` to `to`, at most {PATIENT_ENTRIES_MAX} further, within `count`");
        return Err(Refusal::new(Code::MalformedRequest, message));
    }
    let reader = access.entries();
    // The range proof is over all of them.
    let hashed = if reader.keeps_entries(tag, count) { 0 } else { count };
    let indices = reader.patient_entries(tag, from, to, count).map_err(|error| from_read(&error))?;
    let paths = reader.batch_paths(&indices).map_err(|error| from_read(&error))?;
    let mut page = Page::new(access, *tag);
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
    access: &'a Access,
    tag: [u8; 32],
    answer: PatientEntriesResponse,
    bytes: usize,
    /// Places in the answer, of batches by their headers and of authors by their keys.
    batches: HashMap<LeafIndex, u32>,
    authors: HashMap<KeyId, u32>,
}

impl<'a> Page<'a> {
    fn new(access: &'a Access, tag: [u8; 32]) -> Self {
        let answer = PatientEntriesResponse::default();
        Self { access, tag, answer, bytes: 0, batches: HashMap::new(), authors: HashMap::new() }
    }

    /// Adds an entry, unless the answer would become too large: then `false`.
    fn add(&mut self, index: LeafIndex, path: &BatchPath) -> Result<bool, Refusal> {
        let opened = self.access.opener.open_index(index)?;
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
        let bytes = self.access.entries().entry(index).map_err(|error| from_read(&error))?;
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
        let Some(key) = self.access.entries().key(key_id).map_err(|error| from_read(&error))? else {
            return Ok(None);
        };
        let party = self.access.entries().party(&key.author_id).map_err(|error| from_read(&error))?;
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
