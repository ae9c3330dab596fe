//! Requests of HTTP/1.1 that can be read in one way only.
//!
//! A parser that takes a bare LF for the end of a line sees another request than one that doesn't. Two that differ on a body's length see
//! other requests after it. Whoever stands between the two can be made to pass on what it would refuse (request smuggling). So a
//! request's lines end in CR LF here, no line goes on in the next one, and a body has one length (RFC 9112 §2.2, §5.2, §6.3).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Longer lines aren't looked at: the server behind has a smaller bound on a request's head.
const LINE_BYTES_MAX: usize = 256 << 10;

/// A connection on which the byte that breaks one of the rules comes out as a NUL, and all that follow it too. No head of a request and no
/// size of a chunk may hold a NUL, so the server answers 400 by itself. Bodies pass as they are.
pub struct StrictLines<S> {
    stream: S,
    place: Place,
    /// The line that is being read, without its LF.
    line: Vec<u8>,
    head: Head,
}

/// The part of a request that the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A line of the head; or, before the first one, an empty line that is skipped.
    Head,
    /// A body of known length: bytes to come, at least one.
    Body(u64),
    /// The line with the size of a chunk.
    ChunkSize,
    /// The bytes of a chunk: those to come, at least one.
    Chunk(u64),
    /// The empty line after a chunk.
    ChunkEnd,
    /// A line after the last chunk.
    Trailer,
    /// A rule was broken.
    Broken,
}

/// The lines of a head so far.
#[derive(Debug, Default)]
struct Head {
    has_request_line: bool,
    length: Option<u64>,
    is_chunked: bool,
}

/// A rule was broken.
struct Ambiguous;

impl<S> StrictLines<S> {
    /// On a new connection.
    pub fn new(stream: S) -> Self {
        Self { stream, place: Place::Head, line: Vec::new(), head: Head::default() }
    }

    /// Reads bytes in their order, and wipes what can be understood in two ways.
    pub(crate) fn read(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let rest = (bytes.len() - at) as u64;
            match self.place {
                Place::Broken => {
                    bytes[at..].fill(0);
                    return;
                }
                Place::Body(left) | Place::Chunk(left) if left > rest => {
                    let is_body = matches!(self.place, Place::Body(_));
                    self.place = if is_body { Place::Body(left - rest) } else { Place::Chunk(left - rest) };
                    return;
                }
                Place::Body(left) => {
                    at += usize::try_from(left).expect("no more than what is there");
                    self.place = Place::Head;
                }
                Place::Chunk(left) => {
                    at += usize::try_from(left).expect("no more than what is there");
                    self.place = Place::ChunkEnd;
                }
                Place::Head | Place::ChunkSize | Place::ChunkEnd | Place::Trailer => {
                    match self.read_line_byte(bytes[at]) {
                        Ok(()) => at += 1,
                        Err(Ambiguous) => self.place = Place::Broken,
                    }
                }
            }
        }
    }

    fn read_line_byte(&mut self, byte: u8) -> Result<(), Ambiguous> {
        if byte != b'\n' {
            // A CR is the end of a line, or nothing.
            if self.line.last() == Some(&b'\r') || self.line.len() >= LINE_BYTES_MAX {
                return Err(Ambiguous);
            }
            self.line.push(byte);
            return Ok(());
        }
        let mut line = std::mem::take(&mut self.line);
        if line.pop() != Some(b'\r') {
            return Err(Ambiguous);
        }
        self.place = self.after(&line)?;
        // Its memory is used again.
        line.clear();
        self.line = line;
        Ok(())
    }

    /// The place after a whole line.
    fn after(&mut self, line: &[u8]) -> Result<Place, Ambiguous> {
        match self.place {
            Place::Head if !self.head.has_request_line => {
                self.head.has_request_line = !line.is_empty();
                Ok(Place::Head)
            }
            Place::Head if line.is_empty() => {
                let head = std::mem::take(&mut self.head);
                match (head.length, head.is_chunked) {
                    (Some(_), true) => Err(Ambiguous),
                    (None, true) => Ok(Place::ChunkSize),
                    (None | Some(0), false) => Ok(Place::Head),
                    (Some(length), false) => Ok(Place::Body(length)),
                }
            }
            Place::Head => self.head.read(line).map(|()| Place::Head),
            Place::ChunkSize => match chunk_size(line)? {
                0 => Ok(Place::Trailer),
                size => Ok(Place::Chunk(size)),
            },
            Place::ChunkEnd if line.is_empty() => Ok(Place::ChunkSize),
            Place::Trailer if line.is_empty() => Ok(Place::Head),
            Place::Trailer => field(line).map(|_| Place::Trailer),
            Place::ChunkEnd | Place::Body(_) | Place::Chunk(_) | Place::Broken => Err(Ambiguous),
        }
    }
}

impl Head {
    fn read(&mut self, line: &[u8]) -> Result<(), Ambiguous> {
        let (name, value) = field(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = number(value, 10)?;
            return self.length.replace(length).map_or(Ok(()), |_| Err(Ambiguous));
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let is_again = std::mem::replace(&mut self.is_chunked, true);
            return if is_again || !value.eq_ignore_ascii_case(b"chunked") { Err(Ambiguous) } else { Ok(()) };
        }
        Ok(())
    }
}

/// The name and the value of a header line.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Ambiguous> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Ambiguous)?;
    let name = &line[..colon];
    // A line that begins with a space goes on with the one before it, for some.
    match name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
        true => Err(Ambiguous),
        false => Ok((name, line[colon + 1..].trim_ascii())),
    }
}

/// The size of a chunk; what stands behind a semicolon says nothing here.
fn chunk_size(line: &[u8]) -> Result<u64, Ambiguous> {
    let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
    number(size.trim_ascii(), 16)
}

/// A number of digits alone: no sign, no list, and small enough that no computer understands it otherwise.
fn number(text: &[u8], radix: u32) -> Result<u64, Ambiguous> {
    let is_digits = text.iter().all(|byte| char::from(*byte).is_digit(radix)) && (1..=15).contains(&text.len());
    let text = std::str::from_utf8(text).ok().filter(|_| is_digits).ok_or(Ambiguous)?;
    u64::from_str_radix(text, radix).map_err(|_| Ambiguous)
}

impl<S: AsyncRead + Unpin> AsyncRead for StrictLines<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, out))?;
        self.read(&mut out.filled_mut()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StrictLines<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bytes as they come out, read in pieces of `size`.
    fn read(bytes: &[u8], size: usize) -> Vec<u8> {
        let mut strict = StrictLines::new(());
        let mut bytes = bytes.to_vec();
        bytes.chunks_mut(size).for_each(|piece| strict.read(piece));
        bytes
    }

    const GOOD: [&str; 4] = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nPOST / HTTP/1.1\r\nContent-Length: 8\r\n\r\n{\n \"a\":\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n3;x=y\r\n\n\r\n\r\n0A\r\n0123456\n\n\n\r\n0\r\nX: y\r\n\r\n",
        "DELETE / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    ];

    #[test]
    fn requests_pass_one_after_the_other_with_line_feeds_in_their_bodies() {
        let all: String = GOOD.iter().chain(GOOD.iter().rev()).copied().collect();
        for size in 1..all.len() {
            assert_eq!(read(all.as_bytes(), size), all.as_bytes(), "in pieces of {size}");
        }
    }

    #[test]
    fn requests_that_can_be_read_in_two_ways_end_in_nul() {
        let head = |lines: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let chunks = |text: &str| head("Transfer-Encoding: chunked\r\n") + text;
        for request in [
            head("Content-Length: 1\r\nContent-Length: 1\r\n"),
            head("Content-Length: 1\r\ntransfer-encoding: chunked\r\n"),
            head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            head("Transfer-Encoding: gzip, chunked\r\n"),
            head("Transfer-Encoding: identity\r\n"),
            head("Content-Length: +1\r\n"),
            head("Content-Length: 1, 1\r\n"),
            head("Content-Length:\r\n"),
            head("Content-Length : 1\r\n"),
            head("Content-Length: 9999999999999999\r\n"),
            head("X: a\r\n Content-Length: 1\r\n"),
            head("X: a\rY: b\r\n"),
            head("X: a\nY: b\r\n"),
            head("no colon\r\n"),
            chunks("1\n\na\r\n0\r\n\r\n"),
            chunks("1\r\nab\r\n0\r\n\r\n"),
            chunks("1\r\na\n0\r\n\r\n"),
            chunks("-1\r\n"),
            chunks("\r\n"),
            chunks("0\r\nX: y\n\r\n"),
        ] {
            for size in [1, 7, 1_000] {
                let out = read(request.as_bytes(), size);
                assert_eq!(out.last(), Some(&0), "{request:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn any_line_that_ends_in_lf_alone_is_refused() {
        for request in GOOD.iter().take(1).chain(&GOOD[3..]) {
            for (at, _) in request.match_indices("\r\n") {
                let bare = format!("{}{}", &request[..at], &request[at + 1..]);
                let out = read(bare.as_bytes(), 5);
                assert_eq!(out.iter().position(|byte| *byte == 0), Some(at), "{bare:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn bodies_of_any_bytes_pass(body in proptest::collection::vec(any::<u8>(), 0..200), size in 1_usize..50) {
            let mut bytes = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
            bytes.extend(&body);
            bytes.extend(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            prop_assert_eq!(read(&bytes, size), bytes);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), size in 1_usize..50) {
            let out = read(&bytes, size);
            prop_assert!(out.iter().zip(&bytes).all(|(out, own)| out == own || *out == 0));
        }
    }
}
