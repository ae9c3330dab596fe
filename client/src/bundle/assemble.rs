//! The ledger's answers, put into the one order of a bundle. Nothing is believed here: the bundle is verified as a whole.

use std::collections::HashMap;

use sillage_proof::hash::{Hash, leaf_hash};
use sillage_proof::keys::PublicKey;
use sillage_proof::range::root_from_range;
use sillage_proto::v1;
use sillage_rules::bundle::{BundleAuthor, BundleBatch, BundleEntry, Payload, Range};
use sillage_rules::entry::Entry;
use sillage_rules::index::{BucketProof, patient_leaves};
use sillage_rules::limits::BUCKET_ROWS_MAX;

use crate::checks::{failed, hashes};
use crate::error::ClientError;

/// `batch` of an entry that the ledger made.
const NO_BATCH: u32 = u32::MAX;

fn wrong(what: &str) -> ClientError {
    failed(&format!("the ledger's answer {what}: ask another node"))
}

/// The bucket as it travels: `(ikey[32] ‖ row[32])*`.
pub(super) fn bucket(answer: &v1::ProvePatientResponse) -> Result<BucketProof, ClientError> {
    let (rows, odd) = answer.bucket.as_chunks::<{ 2 * Hash::LEN }>();
    if !odd.is_empty() || rows.len() > BUCKET_ROWS_MAX {
        return Err(wrong("holds a bucket that is not one"));
    }
    let row = |bytes: &[u8; 2 * Hash::LEN]| {
        let (ikey, row) = bytes.split_first_chunk::<{ Hash::LEN }>().expect("64 bytes");
        (Hash::from_bytes(*ikey), Hash::from_slice(row).expect("32 bytes"))
    };
    Ok(BucketProof { rows: rows.iter().map(row).collect(), path: hashes(&answer.path)? })
}

/// Sections 6 to 9, page by page.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) authors: Vec<BundleAuthor>,
    pub(super) batches: Vec<BundleBatch>,
    pub(super) entries: Vec<BundleEntry>,
    before: Vec<Hash>,
    after: Vec<Hash>,
    /// Places by public key, and by the bytes of the batch header.
    author_places: HashMap<Vec<u8>, u32>,
    batch_places: HashMap<Vec<u8>, u32>,
}

impl Entries {
    /// Adds the next page. The hashes before the range are the first page's, those after it the last one's.
    pub(super) fn add(&mut self, page: v1::PatientEntriesResponse) -> Result<(), ClientError> {
        if self.entries.is_empty() {
            self.before = hashes(&page.before)?;
        }
        self.after = hashes(&page.after)?;
        for item in &page.entries {
            let batch = match item.batch {
                NO_BATCH => None,
                place => Some(self.batch(&page, place)?),
            };
            let payload = match item.record.is_empty() && item.salt.is_empty() {
                true => None,
                false => Some(payload(item)?),
            };
            let path = hashes(&item.batch_path)?;
            self.entries.push(BundleEntry { entry: item.entry.clone(), payload, batch, path });
        }
        Ok(())
    }

    /// The place of a batch in the order of first use.
    fn batch(&mut self, page: &v1::PatientEntriesResponse, place: u32) -> Result<u32, ClientError> {
        let named = page.batches.get(place as usize).ok_or_else(|| wrong("names a batch that it does not hold"))?;
        if let Some(known) = self.batch_places.get(&named.header) {
            return Ok(*known);
        }
        let Ok(Entry::BatchHeader(header)) = Entry::decode(&named.header) else {
            return Err(wrong("holds something else than a batch header"));
        };
        let author = page.authors.get(named.author as usize);
        let author = self.author(author.ok_or_else(|| wrong("names an author that it does not hold"))?)?;
        let place = next_place(self.batches.len())?;
        self.batches.push(BundleBatch {
            author,
            stream_id: header.stream_id,
            seq: header.seq,
            count: header.count,
            root: header.root,
            signature: header.signature,
        });
        self.batch_places.insert(named.header.clone(), place);
        Ok(place)
    }

    fn author(&mut self, author: &v1::SigningAuthor) -> Result<u32, ClientError> {
        if let Some(known) = self.author_places.get(&author.public_key) {
            return Ok(*known);
        }
        let key = PublicKey::from_bytes(&author.public_key).map_err(|_| wrong("holds a key that cannot be used"))?;
        let place = next_place(self.authors.len())?;
        self.authors.push(BundleAuthor { key, name: author.name.clone() });
        self.author_places.insert(author.public_key.clone(), place);
        Ok(place)
    }

    /// Section 6: which of the patient's `n` entries these are, beginning at `a`.
    pub(super) fn range(&self, n: u64, a: u64) -> Result<Range, ClientError> {
        let mut pairs = Vec::with_capacity(self.entries.len());
        for item in &self.entries {
            let Ok(Entry::Record(entry)) = Entry::decode(&item.entry) else {
                return Err(wrong("holds something else than a record entry"));
            };
            pairs.push((leaf_hash(&item.entry), entry.record_hash));
        }
        let mut leaves = Vec::with_capacity(pairs.len());
        patient_leaves(&pairs, &mut leaves);
        let mth = root_from_range(n, a, &leaves, &self.before, &self.after);
        let mth = mth.map_err(|error| wrong(&format!("holds a range proof that cannot be ({error})")))?;
        let b = a.saturating_add(leaves.len() as u64);
        Ok(Range { n, a, b, mth, before: self.before.clone(), after: self.after.clone() })
    }
}

/// The opening of an entry: a record with its salt, or both salts and, behind the length of the first, both parts of a decision.
fn payload(item: &v1::PatientEntry) -> Result<Payload, ClientError> {
    if let Ok(salt) = item.salt.as_slice().try_into() {
        return Ok(Payload::Record { salt, record: item.record.clone() });
    }
    let salts = || {
        let (salt_a, salt_p) = item.salt.split_first_chunk()?;
        Some([*salt_a, salt_p.try_into().ok()?])
    };
    let salts = salts().ok_or_else(|| wrong("holds a record without salt"))?;
    let parts = || {
        let (length, parts) = item.record.split_first_chunk()?;
        parts.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
    };
    let (actor, private) = parts().ok_or_else(|| wrong("holds a decision that is cut short"))?;
    Ok(Payload::Decision { salts, actor: actor.to_vec(), private: private.to_vec() })
}

fn next_place(len: usize) -> Result<u32, ClientError> {
    u32::try_from(len).ok().filter(|place| *place != NO_BATCH).ok_or_else(|| wrong("has no end"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::{BASE64_STANDARD, Engine};
    use sillage_proof::keys::KeyId;
    use sillage_proof::range::range_proof;
    use sillage_rules::bundle::Bundle;
    use sillage_rules::entry::BatchHeader;

    fn whole() -> Bundle {
        let text = include_str!("../../../docs/vectors/bundle.json");
        let vectors: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let bundles = vectors["bundles"].as_array().expect("bundles");
        let whole = bundles.iter().find(|bundle| bundle["name"] == "whole").expect("a whole bundle");
        let bytes = BASE64_STANDARD.decode(whole["bytes"].as_str().expect("a text")).expect("base64");
        Bundle::parse(&bytes).expect("a bundle")
    }

    fn leaves(bundle: &Bundle) -> Vec<Hash> {
        let pair = |item: &BundleEntry| match Entry::decode(&item.entry) {
            Ok(Entry::Record(entry)) => (leaf_hash(&item.entry), entry.record_hash),
            other => panic!("{other:?}"),
        };
        let mut out = Vec::new();
        patient_leaves(&bundle.entries.iter().map(pair).collect::<Vec<_>>(), &mut out);
        out
    }

    /// Salt and record as a node sends them.
    fn travelling(payload: &Payload) -> (Vec<u8>, Vec<u8>) {
        match payload {
            Payload::Record { salt, record } => (salt.to_vec(), record.clone()),
            Payload::Decision { salts, actor, private } => {
                let length = u32::try_from(actor.len()).expect("short").to_be_bytes();
                (salts.concat(), [&length[..], actor, private].concat())
            }
        }
    }

    /// The answer of a node for entries `from` to `to`: authors and batches in the reverse order, all of them each time.
    fn page(bundle: &Bundle, from: usize, to: usize) -> v1::PatientEntriesResponse {
        let travel = |hashes: &[Hash]| hashes.iter().map(|hash| hash.to_bytes().to_vec()).collect::<Vec<_>>();
        let last_batch = bundle.batches.len() as u32 - 1;
        let last_author = bundle.authors.len() as u32 - 1;
        let entry = |item: &BundleEntry| v1::PatientEntry {
            entry: item.entry.clone(),
            salt: item.payload.as_ref().map(|payload| travelling(payload).0).unwrap_or_default(),
            record: item.payload.as_ref().map(|payload| travelling(payload).1).unwrap_or_default(),
            batch: item.batch.map_or(NO_BATCH, |place| last_batch - place),
            batch_path: travel(&item.path),
        };
        let batch = |(at, batch): (u64, &BundleBatch)| {
            let header = BatchHeader {
                index: at.into(),
                time: 1.into(),
                key_id: KeyId::default(),
                stream_id: batch.stream_id,
                seq: batch.seq,
                count: batch.count,
                root: batch.root,
                signature: batch.signature,
            };
            v1::SigningBatch { header: Entry::BatchHeader(header).encode(), author: last_author - batch.author }
        };
        let author = |author: &BundleAuthor| v1::SigningAuthor {
            public_key: author.key.as_bytes().to_vec(),
            name: author.name.clone(),
        };
        let (before, after) = range_proof(&leaves(bundle), from, to);
        v1::PatientEntriesResponse {
            entries: bundle.entries[from..to].iter().map(entry).collect(),
            before: travel(&before),
            after: travel(&after),
            batches: {
                let mut all: Vec<_> = (0..).zip(&bundle.batches).map(batch).collect();
                all.reverse();
                all
            },
            authors: bundle.authors.iter().map(author).rev().collect(),
        }
    }

    #[test]
    fn pages_of_any_size_make_the_same_bundle() {
        let bundle = whole();
        for step in 1..=bundle.entries.len() {
            let mut entries = Entries::default();
            for from in (0..bundle.entries.len()).step_by(step) {
                entries.add(page(&bundle, from, (from + step).min(bundle.entries.len()))).expect("a page");
            }
            assert_eq!(entries.range(bundle.range.n, 0).expect("a range"), bundle.range);
            let made = (entries.authors, entries.batches, entries.entries);
            assert!(made == (bundle.authors.clone(), bundle.batches.clone(), bundle.entries.clone()), "step {step}");
        }
    }

    #[test]
    fn answers_that_contradict_themselves_are_refused() {
        let bundle = whole();
        let edits: [fn(&mut v1::PatientEntriesResponse); 6] = [
            |page| page.batches.truncate(1),
            |page| page.authors.truncate(1),
            |page| page.batches[0].header.truncate(9),
            |page| page.authors[0].public_key.truncate(9),
            |page| page.entries[0].salt.truncate(9),
            |page| page.before.push(vec![1]),
        ];
        for edit in edits {
            let mut bad = page(&bundle, 0, bundle.entries.len());
            edit(&mut bad);
            assert_eq!(Entries::default().add(bad).expect_err("refused").exit_code(), 1);
        }
        let mut entries = Entries::default();
        entries.add(page(&bundle, 0, bundle.entries.len())).expect("a page");
        assert!(entries.range(9, 0).is_err());
    }

    #[test]
    fn a_bucket_is_pairs_of_hashes() {
        let answer = |bucket: Vec<u8>| v1::ProvePatientResponse { bucket, ..v1::ProvePatientResponse::default() };
        assert_eq!(bucket(&answer(vec![7; 128])).expect("two rows").rows.len(), 2);
        assert!(bucket(&answer(vec![7; 127])).is_err());
    }
}
