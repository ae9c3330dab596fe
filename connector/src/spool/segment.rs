//! A segment's bytes.
//!
//! ```text
//! segment = header ‖ group*
//! header  = "sillage/spool/1\0" ‖ u64 first number ‖ salt[32] ‖ u32 CRC32C of all before
//! group   = u32 len ‖ u32 CRC32C of (len ‖ body) ‖ body[len]
//! body    = u16 count ‖ (u32 len ‖ sealed[len]) × count
//! ```
//!
//! All numbers are big-endian. Arrivals are numbered from `first` on, in their order.

use std::io;

const MAGIC: &[u8; 16] = b"sillage/spool/1\0";
/// Bytes of a header.
pub const HEADER_BYTES: usize = 16 + 8 + 32 + 4;
/// Most arrivals of a group.
pub const GROUP_MAX: usize = 1_024;
/// Most bytes of a group.
pub const FRAME_BYTES_MAX: usize = 64 << 20;
/// Before the body of a group.
const PREFIX_BYTES: usize = 8;
/// Least bytes of a body: a count, and one arrival of an empty text with its tag.
const BODY_BYTES_MIN: usize = 2 + 4 + 16;

/// The beginning of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Number of its first arrival.
    pub first: u64,
    /// What its key is derived with.
    pub salt: [u8; 32],
}

impl Header {
    /// A header with a salt of its own.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new(first: u64) -> io::Result<Self> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self { first, salt })
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(self.first.to_be_bytes());
        out.extend(self.salt);
        out.extend(crc32c::crc32c(&out).to_be_bytes());
        out
    }

    /// Reads the header of a segment.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (header, _) = bytes.split_at_checked(HEADER_BYTES)?;
        let (body, sum) = header.split_at(HEADER_BYTES - 4);
        if crc32c::crc32c(body).to_be_bytes() != sum || !body.starts_with(MAGIC) {
            return None;
        }
        Some(Self { first: u64::from_be_bytes(body[16..24].try_into().ok()?), salt: body[24..].try_into().ok()? })
    }
}

/// A group of sealed arrivals, and where each stands in it.
pub fn frame(sealed: &[Vec<u8>]) -> (Vec<u8>, Vec<(u64, u32)>) {
    let length = 2 + sealed.iter().map(|arrival| 4 + arrival.len()).sum::<usize>();
    let mut body = Vec::with_capacity(length);
    body.extend(u16::try_from(sealed.len()).expect("a group is bounded").to_be_bytes());
    let mut places = Vec::with_capacity(sealed.len());
    for arrival in sealed {
        let len = u32::try_from(arrival.len()).expect("an arrival is bounded");
        body.extend(len.to_be_bytes());
        places.push(((PREFIX_BYTES + body.len()) as u64, len));
        body.extend(arrival);
    }
    let len = u32::try_from(body.len()).expect("a group is bounded").to_be_bytes();
    let sum = crc32c::crc32c_append(crc32c::crc32c(&len), &body).to_be_bytes();
    ([&len[..], &sum, &body].concat(), places)
}

/// The body of the group that begins at `at`, where it is whole.
fn body(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?;
    let (prefix, rest) = rest.split_at_checked(PREFIX_BYTES)?;
    let (len, sum) = prefix.split_at(4);
    let size = u32::from_be_bytes(len.try_into().ok()?) as usize;
    if !(BODY_BYTES_MIN..=FRAME_BYTES_MAX).contains(&size) {
        return None;
    }
    let body = rest.get(..size)?;
    (crc32c::crc32c_append(crc32c::crc32c(len), body).to_be_bytes() == sum).then_some(body)
}

/// The places of a body's arrivals, from `start` on; `None` where they don't fill it.
fn places(body: &[u8], start: usize) -> Option<Vec<(u64, u32)>> {
    let (count, mut rest) = body.split_at_checked(2)?;
    let count = u16::from_be_bytes(count.try_into().ok()?);
    let mut at = start + 2;
    let mut out = Vec::with_capacity(count.into());
    for _ in 0..count {
        let (len, after) = rest.split_at_checked(4)?;
        let len = u32::from_be_bytes(len.try_into().ok()?);
        rest = after.get(len as usize..)?;
        out.push(((at + 4) as u64, len));
        at += 4 + len as usize;
    }
    (rest.is_empty() && count > 0).then_some(out)
}

/// The places of all arrivals of a segment, and how many of its bytes are whole groups.
pub fn read_frames(bytes: &[u8]) -> (Vec<(u64, u32)>, usize) {
    let (mut out, mut at) = (Vec::new(), HEADER_BYTES);
    while let Some(body) = body(bytes, at) {
        let Some(places) = places(body, at + PREFIX_BYTES) else { break };
        out.extend(places);
        at += PREFIX_BYTES + body.len();
    }
    (out, at)
}

/// Whether a whole group begins anywhere after `at`. A group is written only once the one before is durable: then that one was.
pub fn has_frame_after(bytes: &[u8], at: usize) -> bool {
    (at + 1..bytes.len()).any(|at| body(bytes, at).is_some_and(|body| places(body, 0).is_some()))
}
