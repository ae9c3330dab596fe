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
    /// Arrivals in a spool of the caller: the number of each record's, in the order of the records. The caller remembers them, and
    /// says what may be forgotten ([`super::Outbox::forget_done`]).
    Spool(Vec<u64>),
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
pub struct DocumentKey {
    key: [u8; 16],
    /// Of a resource with an id.
    resource: Option<ResourceMark>,
}

/// Tells whether two keys are of one resource, and of one content. To report it by, and for nothing else: they are short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ResourceMark {
    /// Source, type and id.
    id: [u8; 8],
    content: [u8; 8],
}

/// A resource of a server: where it is from, its id and version, and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceName {
    whole: Hash,
    mark: ResourceMark,
}

impl ResourceName {
    /// `names`: the server's base, the resource's type, its id and its version, each as far as it is known. `content`: the
    /// parsed resource in one spelling.
    pub fn new(names: [&str; 4], content: &str) -> Self {
        let hash = |label: &[u8], parts: &[&str]| {
            let hashes: Vec<Hash> = parts.iter().map(|part| sha256(&[part.as_bytes()])).collect();
            let parts: Vec<&[u8]> = std::iter::once(label).chain(hashes.iter().map(|hash| hash.as_ref())).collect();
            sha256(&parts)
        };
        let [base, kind, id, version] = names;
        let short = |hash: Hash| std::array::from_fn(|at| hash.as_bytes()[at]);
        let mark = ResourceMark {
            id: short(hash(b"sillage/outbox/resource-id\0", &[base, kind, id])),
            content: short(hash(b"sillage/outbox/resource-content\0", &[content])),
        };
        Self { whole: hash(b"sillage/outbox/resource\0", &[base, kind, id, version, content]), mark }
    }

    /// The key of one of its records: whose it is, and which part of an access that one record couldn't hold.
    pub fn key(&self, patient: &str, part: usize) -> DocumentKey {
        let part = u64::try_from(part).unwrap_or(u64::MAX).to_be_bytes();
        let label = b"sillage/outbox/resource-record\0";
        let hash = sha256(&[label, self.whole.as_ref(), sha256(&[patient.as_bytes()]).as_ref(), &part]);
        DocumentKey { key: std::array::from_fn(|at| hash.as_bytes()[at]), resource: Some(self.mark) }
    }
}

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
        Self { key: std::array::from_fn(|at| hash.as_bytes()[at]), resource: None }
    }

    /// Of a resource with an id: what stands for its source, type and id.
    pub fn resource(&self) -> Option<[u8; 8]> {
        self.resource.map(|of| of.id)
    }

    /// Tells whether both are of one resource that says two things.
    pub fn is_another_of(&self, other: &Self) -> bool {
        let both = self.resource.zip(other.resource);
        both.is_some_and(|(one, other)| one.id == other.id && one.content != other.content)
    }
}

impl From<DocumentKey> for String {
    fn from(key: DocumentKey) -> Self {
        match key.resource {
            None => hex::encode(key.key),
            Some(of) => format!("{}-{}-{}", hex::encode(key.key), hex::encode(of.id), hex::encode(of.content)),
        }
    }
}

impl TryFrom<String> for DocumentKey {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut out = Self { key: [0; 16], resource: None };
        let mut parts = text.splitn(3, '-');
        hex::decode_to_slice(parts.next().unwrap_or_default(), &mut out.key)?;
        if let Some(id) = parts.next() {
            let mut of = ResourceMark { id: [0; 8], content: [0; 8] };
            hex::decode_to_slice(id, &mut of.id)?;
            hex::decode_to_slice(parts.next().unwrap_or_default(), &mut of.content)?;
            out.resource = Some(of);
        }
        Ok(out)
    }
}

/// Where the record of a document stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentPlace {
    /// Index of its entry in the log.
    pub index: u64,
    /// Ledger time, ms since 1970.
    pub time_ms: u64,
    /// Number of its batch in the stream.
    pub seq: u64,
    /// Position in that batch, from 0.
    pub position: u32,
}

/// Everything acknowledged, in memory: where each input record stands in the log.
#[derive(Debug, Default)]
pub struct Done {
    last_seq: u64,
    /// File → first ordinal → batch.
    files: HashMap<Hash, BTreeMap<u64, DoneLine>>,
    keys: HashMap<[u8; 16], DocumentPlace>,
    /// Resource → the content that came first, and its index.
    resources: HashMap<[u8; 8], (DocumentKey, u64)>,
    /// Some keys aren't of resources: those of the version before, among others.
    has_unnamed: bool,
    /// Batches of a spool, until the caller has taken note of them.
    spooled: Vec<DoneLine>,
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
            Source::Spool(_) => self.spooled.push(line),
            Source::File { sha256, first } => {
                self.files.entry(*sha256).or_default().insert(*first, line);
            }
            Source::Keys(keys) => {
                let (seq, time_ms) = (line.seq, line.time_ms);
                for ((key, index), position) in keys.iter().zip(line.first_index..).zip(0..) {
                    self.keys.insert(key.key, DocumentPlace { index, time_ms, seq, position });
                    match key.resource {
                        Some(of) => drop(self.resources.entry(of.id).or_insert((*key, index))),
                        None => self.has_unnamed = true,
                    }
                }
            }
        }
    }

    /// Number of the last acknowledged batch; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The acknowledged batches of a spool, in their order: those that weren't forgotten.
    pub fn spooled(&self) -> &[DoneLine] {
        &self.spooled
    }

    pub(super) fn forget_spooled(&mut self) {
        self.spooled = Vec::new();
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

    /// Where a document's record stands.
    pub fn of_document(&self, key: &DocumentKey) -> Option<DocumentPlace> {
        self.keys.get(&key.key).copied()
    }

    /// Where the first record of the same resource stands, if that said something else.
    pub fn other_content(&self, key: &DocumentKey) -> Option<u64> {
        let (first, index) = self.resources.get(&key.resource?.id)?;
        first.is_another_of(key).then_some(*index)
    }

    /// Tells whether some documents are known by their bytes alone.
    pub fn has_unnamed(&self) -> bool {
        self.has_unnamed
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
    fn a_resource_that_says_something_else_is_found_by_what_it_said_first() {
        let name = |content: &str| ResourceName::new(["https://a.example", "AuditEvent", "1", ""], content);
        let (first, second) = (name("x").key("p", 0), name("y").key("p", 0));
        let stored = serde_json::to_string(&Source::Keys(vec![first])).expect("plain data");
        let source: Source = serde_json::from_str(&stored).expect("own JSON");
        let done = Done::new(vec![line(source, 1, 1, 50)]);
        let of = |key| done.of_document(key).map(|place| (place.index, place.time_ms));
        assert_eq!((of(&first), of(&second)), (Some((50, 9)), None));
        assert_eq!((done.other_content(&first), done.other_content(&second)), (None, Some(50)));
        assert!(!done.has_unnamed());
        for bad in ["", "00-11", "zz", &format!("{}-{}", "00".repeat(16), "00".repeat(8))] {
            assert!(DocumentKey::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn equal_documents_are_told_apart_by_their_occurrence() {
        let keys: Vec<_> = (0..2).map(|n| DocumentKey::new(b"same", b"record", n)).collect();
        assert_ne!(keys[0], keys[1]);
        let stored = serde_json::to_string(&Source::Keys(keys.clone())).expect("plain data");
        let source: Source = serde_json::from_str(&stored).expect("own JSON");
        let done = Done::new(vec![line(source, 1, 2, 50)]);
        let place = DocumentPlace { index: 51, time_ms: 9, seq: 1, position: 1 };
        assert_eq!(done.of_document(&keys[1]), Some(place));
        assert_eq!(done.of_document(&DocumentKey::new(b"other", b"record", 0)), None);
    }
}
