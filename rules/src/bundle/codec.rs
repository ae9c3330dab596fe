//! A bundle from bytes and to bytes: what parses encodes to the same bytes, and nothing else parses.

use sillage_proof::keys::{ALG_ED25519, PublicKey, StreamId};
use sillage_proof::note::SignedNote;
use sillage_proof::tag::{PatientTag, WhichTag};

use super::error::{BundleError, Problem, Section};
use super::wire::{Input, put_bytes, put_hashes, put_len, put_section, put_text, take_section};
use super::*;
use crate::decide::record::DECISION_BYTES_MAX;
use crate::limits::{BUCKET_ROWS_MAX, PARTY_NAME_BYTES_MAX, RECORD_BYTES_MAX};

/// The first line of the file.
const HEADER: &[u8] = b"sillage-trace/v1\n";
/// The batch of what the ledger made itself.
const NO_BATCH: u32 = u32::MAX;

/// Tells whether a file begins as a patient bundle does, of whatever version.
pub fn is_bundle(bytes: &[u8]) -> bool {
    bytes.starts_with(b"sillage-trace/")
}

impl Bundle {
    /// Reads a file. Nothing in it may be believed before [`Bundle::verify`].
    ///
    /// # Errors
    /// [`BundleError`] names the part that isn't exactly as `docs/formats.md` §10 has it.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let mut rest = bytes.strip_prefix(HEADER).ok_or(BundleError::Header)?;
        // The checks first: damage is found and named before anything is read.
        let mut inputs = Vec::with_capacity(Section::ALL.len());
        for section in Section::ALL {
            if section == Section::Since && rest.is_empty() {
                break;
            }
            inputs.push(take_section(&mut rest, section)?);
        }
        if !rest.is_empty() {
            return Err(Section::Since.err(Problem::LeftOver));
        }
        let mut inputs = inputs.into_iter();
        let mut next = || inputs.next().expect("nine sections were taken");
        Ok(Self {
            note: note(next())?,
            genesis: included(next())?,
            index_commit: included(next())?,
            identity: identity(next())?,
            bucket: bucket(next())?,
            range: range(next())?,
            authors: authors(next())?,
            batches: batches(next())?,
            entries: entries(next())?,
            since: inputs.next().map(since).transpose()?,
        })
    }

    /// The bytes of the file.
    ///
    /// # Panics
    /// When a list or text is longer than its length bytes can say: [`Bundle::parse`] gives none such.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = HEADER.to_vec();
        let mut put = |section: Section, write: &dyn Fn(&mut Vec<u8>)| {
            let mut body = Vec::new();
            write(&mut body);
            put_section(&mut out, section, &body);
        };
        put(Section::Checkpoint, &|out| out.extend_from_slice(self.note.to_string().as_bytes()));
        put(Section::Genesis, &|out| put_included(out, &self.genesis));
        put(Section::IndexCommit, &|out| put_included(out, &self.index_commit));
        put(Section::Identity, &|out| put_identity(out, &self.identity));
        put(Section::Bucket, &|out| put_bucket(out, &self.bucket));
        put(Section::Range, &|out| put_range(out, &self.range));
        put(Section::Authors, &|out| put_list(out, &self.authors, put_author));
        put(Section::Batches, &|out| put_list(out, &self.batches, put_batch));
        put(Section::Entries, &|out| put_list(out, &self.entries, put_entry));
        if let Some(since) = &self.since {
            put(Section::Since, &|out| put_since(out, since));
        }
        out
    }
}

fn put_list<T>(out: &mut Vec<u8>, items: &[T], put: fn(&mut Vec<u8>, &T)) {
    put_len(out, items.len());
    items.iter().for_each(|item| put(out, item));
}

fn note(mut input: Input<'_>) -> Result<SignedNote, BundleError> {
    let bytes = input.remaining();
    let note = SignedNote::parse(bytes).map_err(|error| Section::Checkpoint.err(error))?;
    match note.to_string().as_bytes() == bytes {
        true => input.end(note),
        false => Err(input.malformed("the note has a second spelling")),
    }
}

fn included(mut input: Input<'_>) -> Result<IncludedEntry, BundleError> {
    let read = IncludedEntry { entry: input.bytes()?.to_vec(), path: input.hashes()? };
    input.end(read)
}

fn put_included(out: &mut Vec<u8>, included: &IncludedEntry) {
    put_bytes(out, &included.entry);
    put_hashes(out, &included.path);
}

fn identity(mut input: Input<'_>) -> Result<BundleIdentity, BundleError> {
    let (ins, oid) = (input.text()?, input.text()?);
    let which_tag = match input.u8()? {
        0 => WhichTag::Open,
        1 => WhichTag::Secret,
        _ => return Err(input.malformed("a tag is 0 (open) or 1 (secret)")),
    };
    let (proof, tag) = (input.array()?, PatientTag::from_bytes(input.array()?));
    input.end(BundleIdentity { ins, oid, which_tag, proof, tag })
}

fn put_identity(out: &mut Vec<u8>, identity: &BundleIdentity) {
    put_text(out, &identity.ins);
    put_text(out, &identity.oid);
    out.push(match identity.which_tag {
        WhichTag::Open => 0,
        WhichTag::Secret => 1,
    });
    out.extend_from_slice(&identity.proof);
    out.extend_from_slice(identity.tag.as_bytes());
}

fn bucket(mut input: Input<'_>) -> Result<BucketProof, BundleError> {
    let rows = input.list(|input| Ok((input.hash()?, input.hash()?)))?;
    if rows.len() > BUCKET_ROWS_MAX {
        return Err(input.malformed("a bucket of more rows than a proof shows"));
    }
    let path = input.hashes()?;
    input.end(BucketProof { rows, path })
}

fn put_bucket(out: &mut Vec<u8>, bucket: &BucketProof) {
    put_list(out, &bucket.rows, |out, (ikey, row)| {
        out.extend_from_slice(ikey.as_bytes());
        out.extend_from_slice(row.as_bytes());
    });
    put_hashes(out, &bucket.path);
}

fn range(mut input: Input<'_>) -> Result<Range, BundleError> {
    let (n, a, b, mth) = (input.u64()?, input.u64()?, input.u64()?, input.hash()?);
    let (before, after) = (input.hashes()?, input.hashes()?);
    if a > b || b > n {
        return Err(input.malformed("the range is not within the patient's entries"));
    }
    input.end(Range { n, a, b, mth, before, after })
}

fn put_range(out: &mut Vec<u8>, range: &Range) {
    for number in [range.n, range.a, range.b] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(range.mth.as_bytes());
    put_hashes(out, &range.before);
    put_hashes(out, &range.after);
}

fn authors(mut input: Input<'_>) -> Result<Vec<BundleAuthor>, BundleError> {
    let mut at = 0;
    let authors = input.list(|input| {
        if input.u8()? != ALG_ED25519 {
            return Err(input.malformed("a signature algorithm that this version does not know"));
        }
        let key = PublicKey::from_bytes(&input.array::<32>()?);
        let key = key.map_err(|error| Section::Authors.err(Problem::Key { at, error }))?;
        let name = input.text()?;
        if name.len() > PARTY_NAME_BYTES_MAX {
            return Err(input.malformed("a name that is too long"));
        }
        at += 1;
        Ok(BundleAuthor { key, name })
    })?;
    input.end(authors)
}

fn put_author(out: &mut Vec<u8>, author: &BundleAuthor) {
    out.push(ALG_ED25519);
    out.extend_from_slice(author.key.as_bytes());
    put_text(out, &author.name);
}

fn batches(mut input: Input<'_>) -> Result<Vec<BundleBatch>, BundleError> {
    let batches = input.list(|input| {
        Ok(BundleBatch {
            author: input.u32()?,
            stream_id: StreamId::from_bytes(input.array()?),
            seq: input.u64()?,
            count: input.u32()?,
            root: input.hash()?,
            signature: input.array()?,
        })
    })?;
    input.end(batches)
}

fn put_batch(out: &mut Vec<u8>, batch: &BundleBatch) {
    out.extend_from_slice(&batch.author.to_be_bytes());
    out.extend_from_slice(batch.stream_id.as_bytes());
    out.extend_from_slice(&batch.seq.to_be_bytes());
    out.extend_from_slice(&batch.count.to_be_bytes());
    out.extend_from_slice(batch.root.as_bytes());
    out.extend_from_slice(&batch.signature);
}

fn entries(mut input: Input<'_>) -> Result<Vec<BundleEntry>, BundleError> {
    let entries = input.list(|input| {
        let entry = input.bytes()?.to_vec();
        let payload = match input.u8()? {
            0 => None,
            1 => {
                let (salt, record) = (input.array()?, input.bytes()?.to_vec());
                if record.len() > RECORD_BYTES_MAX {
                    return Err(input.malformed("a record that is too long"));
                }
                Some(Payload::Record { salt, record })
            }
            2 => {
                let salts = [input.array()?, input.array()?];
                let (actor, private) = (input.bytes()?.to_vec(), input.bytes()?.to_vec());
                if actor.len().saturating_add(private.len()) > DECISION_BYTES_MAX {
                    return Err(input.malformed("a decision that is too long"));
                }
                Some(Payload::Decision { salts, actor, private })
            }
            _ => return Err(input.malformed("a state is 0 (erased), 1 (a record) or 2 (a decision)")),
        };
        let batch = Some(input.u32()?).filter(|batch| *batch != NO_BATCH);
        Ok(BundleEntry { entry, payload, batch, path: input.hashes()? })
    })?;
    input.end(entries)
}

fn put_entry(out: &mut Vec<u8>, entry: &BundleEntry) {
    put_bytes(out, &entry.entry);
    match &entry.payload {
        None => out.push(0),
        Some(Payload::Record { salt, record }) => {
            out.push(1);
            out.extend_from_slice(salt);
            put_bytes(out, record);
        }
        Some(Payload::Decision { salts, actor, private }) => {
            out.push(2);
            salts.iter().for_each(|salt| out.extend_from_slice(salt));
            put_bytes(out, actor);
            put_bytes(out, private);
        }
    }
    out.extend_from_slice(&entry.batch.unwrap_or(NO_BATCH).to_be_bytes());
    put_hashes(out, &entry.path);
}

fn since(mut input: Input<'_>) -> Result<Since, BundleError> {
    let read = Since { size: input.u64()?, root: input.hash()?, a: input.u64()?, path: input.hashes()? };
    input.end(read)
}

fn put_since(out: &mut Vec<u8>, since: &Since) {
    out.extend_from_slice(&since.size.to_be_bytes());
    out.extend_from_slice(since.root.as_bytes());
    out.extend_from_slice(&since.a.to_be_bytes());
    put_hashes(out, &since.path);
}
