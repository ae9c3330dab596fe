//! Bytes of a segment: a header, then frames, then zeros up to the allocated size. Integers are big-endian.
//!
//! ```text
//! segment header, 64 bytes
//!   0  8  "SLGRAFT1"
//!   8  4  format version, 1
//!  12  4  zero
//!  16  8  segment number
//!  24  8  node id
//!  32  8  length used of the segment before, 0 if there is none
//!  40  8  number of the first frame
//!  48 12  zero
//!  60  4  CRC-32C of bytes 0..60
//! frame, at a multiple of 8
//!   0  4  "SLGF"
//!   4  4  kind: 1 data, 2 seal
//!   8  4  length of the payload
//!  12  4  CRC-32C of the payload
//!  16  8  frame number, rising by one over all segments
//!  24  4  low half of the segment number
//!  28  4  CRC-32C of bytes 0..28 followed by the frame's offset in the segment as u64
//!  32     payload, then zeros to a multiple of 8
//! ```
//!
//! One frame is one write followed by one fsync, so at a crash at most one frame, the last, can be incomplete. The
//! header has its own CRC, tied to segment and offset, so that a frame after a broken one can be found: then the
//! broken one was once complete, and has rotted. A *seal* is an empty frame, written without fsync when there is
//! nothing else to do, and overwritten by the next data frame: it shows that the frame before it was synced.

/// Length of a segment header in bytes.
pub(crate) const SEGMENT_HEADER: usize = 64;
/// Length of a frame header in bytes.
pub(crate) const FRAME_HEADER: usize = 32;
/// Largest segment, frame and entry number: no log gets there, and the numbers after it can be counted.
pub(crate) const NUMBER_MAX: u64 = u64::MAX / 2;

const SEGMENT_MAGIC: &[u8; 8] = b"SLGRAFT1";
const FRAME_MAGIC: &[u8; 4] = b"SLGF";
const VERSION: u32 = 1;

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub segment: u64,
    pub node: u64,
    pub previous_len: u64,
    pub first_frame: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Data = 1,
    Seal = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub kind: Kind,
    pub payload_len: usize,
    pub payload_crc: u32,
    pub number: u64,
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(word.try_into().ok()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_be_bytes(word.try_into().ok()?))
}

/// `len` rounded up to a multiple of 8.
pub(crate) fn aligned(len: usize) -> usize {
    len.div_ceil(8) * 8
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut out = [0; SEGMENT_HEADER];
        out[0..8].copy_from_slice(SEGMENT_MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_be_bytes());
        out[16..24].copy_from_slice(&self.segment.to_be_bytes());
        out[24..32].copy_from_slice(&self.node.to_be_bytes());
        out[32..40].copy_from_slice(&self.previous_len.to_be_bytes());
        out[40..48].copy_from_slice(&self.first_frame.to_be_bytes());
        let crc = crc32c::crc32c(&out[..60]);
        out[60..64].copy_from_slice(&crc.to_be_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let head = bytes.get(..SEGMENT_HEADER)?;
        let sound = head.starts_with(SEGMENT_MAGIC)
            && u32_at(head, 8)? == VERSION
            && u32_at(head, 60)? == crc32c::crc32c(&head[..60]);
        let header = SegmentHeader {
            segment: u64_at(head, 16)?,
            node: u64_at(head, 24)?,
            previous_len: u64_at(head, 32)?,
            first_frame: u64_at(head, 40)?,
        };
        (sound && header.segment <= NUMBER_MAX && header.first_frame <= NUMBER_MAX).then_some(header)
    }
}

fn header_crc(head: &[u8], offset: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&head[..28]), &offset.to_be_bytes())
}

/// Appends a whole frame to `out`. `offset` is where the frame will stand in the segment.
pub(crate) fn encode_frame(out: &mut Vec<u8>, kind: Kind, payload: &[u8], number: u64, segment: u64, offset: u64) {
    let start = out.len();
    let payload_len = u32::try_from(payload.len()).expect("a frame holds less than 4 GiB");
    out.extend_from_slice(FRAME_MAGIC);
    out.extend_from_slice(&(kind as u32).to_be_bytes());
    out.extend_from_slice(&payload_len.to_be_bytes());
    out.extend_from_slice(&crc32c::crc32c(payload).to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(&segment.to_be_bytes()[4..]);
    let crc = header_crc(&out[start..], offset);
    out.extend_from_slice(&crc.to_be_bytes());
    out.extend_from_slice(payload);
    out.resize(start + FRAME_HEADER + aligned(payload.len()), 0);
}

/// The frame header at `offset` of a segment, if there is a sound one.
pub(crate) fn frame_header(segment_bytes: &[u8], segment: u64, offset: usize) -> Option<FrameHeader> {
    let head = segment_bytes.get(offset..offset.checked_add(FRAME_HEADER)?)?;
    let sound = head.starts_with(FRAME_MAGIC)
        && head[24..28] == segment.to_be_bytes()[4..]
        && u32_at(head, 28)? == header_crc(head, offset as u64);
    if !sound {
        return None;
    }
    let kind = match u32_at(head, 4)? {
        1 => Kind::Data,
        2 => Kind::Seal,
        _ => return None,
    };
    Some(FrameHeader {
        kind,
        payload_len: u32_at(head, 8)? as usize,
        payload_crc: u32_at(head, 12)?,
        number: u64_at(head, 16)?,
    })
}

/// The payload of the frame at `offset`, if it is complete and sound.
pub(crate) fn payload<'a>(segment_bytes: &'a [u8], offset: usize, header: &FrameHeader) -> Option<&'a [u8]> {
    let start = offset + FRAME_HEADER;
    let payload = segment_bytes.get(start..start.checked_add(header.payload_len)?)?;
    (crc32c::crc32c(payload) == header.payload_crc).then_some(payload)
}
