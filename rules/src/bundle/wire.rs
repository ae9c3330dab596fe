//! The frame of sections, and the fields inside of them, from bytes and to bytes. Integers are big-endian.

use sillage_proof::hash::{Hash, sha256};

use super::error::{BundleError, Problem, Section};

const CHECK_MAGIC: &[u8] = b"sillage/section/v1\0";

/// Longest body: a section has four length bytes.
const BODY_BYTES_MAX: usize = u32::MAX as usize;

fn check(id: u8, body: &[u8]) -> Hash {
    let len = u32::try_from(body.len()).expect("a body of at most 4 GiB");
    sha256(&[CHECK_MAGIC, &[id], &len.to_be_bytes(), body])
}

/// Appends one section.
///
/// # Panics
/// When the body is longer than four length bytes can say.
pub(super) fn put_section(out: &mut Vec<u8>, section: Section, body: &[u8]) {
    assert!(body.len() <= BODY_BYTES_MAX, "a body of at most 4 GiB");
    out.push(section.id());
    put_len(out, body.len());
    out.extend_from_slice(body);
    out.extend_from_slice(check(section.id(), body).as_bytes());
}

/// Takes the next section, which must be this one and whole, from the front of `rest`.
pub(super) fn take_section<'a>(rest: &mut &'a [u8], section: Section) -> Result<Input<'a>, BundleError> {
    let framed = || {
        let (id, rest) = rest.split_first().ok_or(Problem::Missing)?;
        if *id != section.id() {
            return Err(Problem::OtherId(*id));
        }
        let (len, rest) = rest.split_first_chunk().ok_or(Problem::CutShort)?;
        let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| Problem::CutShort)?;
        let (body, rest) = rest.split_at_checked(len).ok_or(Problem::CutShort)?;
        let (found, rest) = rest.split_first_chunk::<{ Hash::LEN }>().ok_or(Problem::CutShort)?;
        match check(*id, body).as_bytes() == found {
            true => Ok((body, rest)),
            false => Err(Problem::Damaged),
        }
    };
    let (body, tail) = framed().map_err(|problem| section.err(problem))?;
    *rest = tail;
    Ok(Input { section, rest: body })
}

/// The rest of a section's body.
pub(super) struct Input<'a> {
    section: Section,
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// An error of this section.
    pub(super) fn malformed(&self, what: &'static str) -> BundleError {
        self.section.err(Problem::Malformed(what))
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], BundleError> {
        let short = self.malformed("a field is longer than the section");
        let (head, rest) = self.rest.split_at_checked(len).ok_or(short)?;
        self.rest = rest;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], BundleError> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("as many bytes as were taken"))
    }

    pub(super) fn u8(&mut self) -> Result<u8, BundleError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, BundleError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, BundleError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn hash(&mut self) -> Result<Hash, BundleError> {
        self.array().map(Hash::from_bytes)
    }

    /// `u32 length ‖ bytes`.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], BundleError> {
        let len = self.u32()?;
        self.take(len as usize)
    }

    /// `u8 length ‖ text`.
    pub(super) fn text(&mut self) -> Result<String, BundleError> {
        let len = self.u8()?;
        let bytes = self.take(len.into())?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.malformed("a text that is not UTF-8"))?;
        Ok(text.to_owned())
    }

    /// `u32 count ‖ hash[32]*`.
    pub(super) fn hashes(&mut self) -> Result<Vec<Hash>, BundleError> {
        let count = self.u32()? as usize;
        let len = count.checked_mul(Hash::LEN).ok_or_else(|| self.malformed("a list longer than the section"))?;
        let (hashes, _) = self.take(len)?.as_chunks::<{ Hash::LEN }>();
        Ok(hashes.iter().copied().map(Hash::from_bytes).collect())
    }

    /// `u32 count ‖ items`. Memory grows with what is really there, not with the count.
    pub(super) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, BundleError>,
    ) -> Result<Vec<T>, BundleError> {
        let count = self.u32()?;
        let mut out = Vec::new();
        for _ in 0..count {
            out.push(item(self)?);
        }
        Ok(out)
    }

    /// The rest of the body.
    pub(super) fn remaining(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Nothing may be left.
    pub(super) fn end<T>(self, read: T) -> Result<T, BundleError> {
        match self.rest.is_empty() {
            true => Ok(read),
            false => Err(self.section.err(Problem::LeftOver)),
        }
    }
}

/// `u32`, of a length or count in memory.
pub(super) fn put_len(out: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).expect("fewer than 2^32 items or bytes");
    out.extend_from_slice(&len.to_be_bytes());
}

/// `u32 length ‖ bytes`.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// `u8 length ‖ text`.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).expect("a text of at most 255 bytes"));
    out.extend_from_slice(text.as_bytes());
}

/// `u32 count ‖ hash[32]*`.
pub(super) fn put_hashes(out: &mut Vec<u8>, hashes: &[Hash]) {
    put_len(out, hashes.len());
    for hash in hashes {
        out.extend_from_slice(hash.as_bytes());
    }
}
