//! Fuzz targets: bytes of strangers. None may panic.

use crate::lines::StrictLines;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target with its name.
pub const TARGETS: &[(&str, Target)] = &[("lines", fuzz_lines)];

/// Requests of HTTP/1.1: they come out the same in whatever pieces they come, and nothing but NUL takes a byte's place.
pub fn fuzz_lines(data: &[u8]) {
    let read = |size: usize| {
        let (mut strict, mut bytes) = (StrictLines::new(()), data.to_vec());
        bytes.chunks_mut(size).for_each(|piece| strict.read(piece));
        bytes
    };
    let whole = read(data.len().max(1));
    assert_eq!(whole, read(7));
    assert!(whole.iter().zip(data).all(|(out, own)| out == own || *out == 0));
}
