//! Which input a batch came from, and what of an input is on record already.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use sillage_proof::hash::{Hash, sha256};

use super::DoneLine;

/// Where the records of one batch came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Input that is new each time (standard input, a program): nothing to resume.
    Fresh,
    /// Records of one file, in order, from `first` on.
    File {
        /// SHA-256 of the whole file.
        sha256: Hash,
        /// Ordinal of the batch's first record in the file, from 0.
        first: u64,
    },
    /// Documents that are each known by a key of their own.
    Keys(Vec<DocumentKey>),
}

impl Source {
    /// Records of a file with this SHA-256, from the ordinal `first` on.
    pub fn file(sha256: Hash, first: u64) -> Self {
        Self::File { sha256, first }
    }
}

/// Names one record made from one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct DocumentKey([u8; 16]);

impl DocumentKey {
    /// The key of the record bytes `record` made from `document`; `occurrence` counts equal ones within one run, so that
    /// two equal documents of one import are two records and the same import again is none.
    pub fn new(document: &[u8], record: &[u8], occurrence: u64) -> Self {
        let hash = sha256(&[
            b"sillage/outbox/document\0",
            sha256(&[document]).as_ref(),
            sha256(&[record]).as_ref(),
            &occurrence.to_be_bytes(),
        ]);
        let mut key = [0; 16];
        key.copy_from_slice(&hash.as_bytes()[..16]);
        Self(key)
    }
}

impl From<DocumentKey> for String {
    fn from(key: DocumentKey) -> Self {
        hex::encode(key.0)
    }
}

impl TryFrom<String> for DocumentKey {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut key = [0; 16];
        hex::decode_to_slice(text, &mut key)?;
        Ok(Self(key))
    }
}

/// Everything acknowledged, in memory: where each input record stands in the log.
#[derive(Debug, Default)]
pub struct Done {
    last_seq: u64,
    /// File → first ordinal → batch.
    files: HashMap<Hash, BTreeMap<u64, DoneLine>>,
    /// Document → index and time.
    keys: HashMap<DocumentKey, (u64, u64)>,
}

impl Done {
    pub(crate) fn new(lines: Vec<DoneLine>) -> Self {
        let mut done = Self::default();
        for line in lines {
            done.add(line);
        }
        done
    }

    pub(super) fn add(&mut self, line: DoneLine) {
        self.last_seq = self.last_seq.max(line.seq);
        match &line.source {
            Source::Fresh => {}
            Source::File { sha256, first } => {
                self.files.entry(*sha256).or_default().insert(*first, line);
            }
            Source::Keys(keys) => {
                let places = keys.iter().zip(line.first_index..);
                self.keys.extend(places.map(|(key, index)| (*key, (index, line.time_ms))));
            }
        }
    }

    /// Number of the last acknowledged batch; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The acknowledged batch of a file that holds the record with this ordinal.
    pub fn batch_of_file(&self, sha256: &Hash, ordinal: u64) -> Option<&DoneLine> {
        let (first, line) = self.files.get(sha256)?.range(..=ordinal).next_back()?;
        (ordinal - first < u64::from(line.count)).then_some(line)
    }

    /// Index and ledger time (ms) of a file's record, by its ordinal.
    pub fn of_file(&self, sha256: &Hash, ordinal: u64) -> Option<(u64, u64)> {
        let line = self.batch_of_file(sha256, ordinal)?;
        let Source::File { first, .. } = line.source else { return None };
        Some((line.first_index + (ordinal - first), line.time_ms))
    }

    /// Index and ledger time (ms) of a document's record.
    pub fn of_document(&self, key: &DocumentKey) -> Option<(u64, u64)> {
        self.keys.get(key).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(source: Source, seq: u64, count: u32, first_index: u64) -> DoneLine {
        let (receipt, signature) = (String::new(), String::new());
        DoneLine { seq, source, count, first_index, time_ms: 9, receipt, signature }
    }

    #[test]
    fn a_files_records_are_found_by_their_ordinal() {
        let file = Hash::from_bytes([1; 32]);
        let done = Done::new(vec![
            line(Source::file(file, 0), 1, 3, 10),
            line(Source::file(file, 5), 2, 2, 20),
            line(Source::Fresh, 3, 1, 30),
        ]);
        let found: Vec<_> = (0..8).map(|i| done.of_file(&file, i).map(|(index, _)| index)).collect();
        assert_eq!(found, [Some(10), Some(11), Some(12), None, None, Some(20), Some(21), None]);
        assert_eq!(done.of_file(&Hash::from_bytes([2; 32]), 0), None);
        assert_eq!(done.last_seq(), 3);
    }

    #[test]
    fn equal_documents_are_told_apart_by_their_occurrence() {
        let keys: Vec<_> = (0..2).map(|n| DocumentKey::new(b"same", b"record", n)).collect();
        assert_ne!(keys[0], keys[1]);
        let stored = serde_json::to_string(&Source::Keys(keys.clone())).expect("plain data");
        let source: Source = serde_json::from_str(&stored).expect("own JSON");
        let done = Done::new(vec![line(source, 1, 2, 50)]);
        assert_eq!(done.of_document(&keys[1]), Some((51, 9)));
        assert_eq!(done.of_document(&DocumentKey::new(b"other", b"record", 0)), None);
    }
}
