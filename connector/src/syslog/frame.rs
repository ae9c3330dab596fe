//! Where a message begins and ends: RFC 5425 writes its length before it, `MSG-LEN SP SYSLOG-MSG`, in octets.
//!
//! Senders write wrong lengths: one that counts characters is short by one for each accent, and all that follows would be read
//! from the wrong place. So a message is given out only once it is plain that its length was right: what follows begins with a
//! length and `<PRI>1 `, or nothing follows and it ends as a message ends. By default a wrong length ends the connection; with
//! *resync* reading goes on at the next length that stands before a `<PRI>1 `.

/// Bytes of a message, at most.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Digits of a length, at most.
const DIGITS_MAX: usize = 7;

/// The next part of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A message. `repaired`: its length was wrong, and resync found its end.
    Message {
        /// Its bytes, without the length.
        bytes: Vec<u8>,
        /// Whether its end was looked for.
        repaired: bool,
    },
    /// Bytes that are no message; reading goes on after them (resync).
    Skipped(Vec<u8>),
    /// From here on the stream can't be read: its bytes as far as they came, the message with the wrong length among them.
    Wrong {
        /// The bytes.
        bytes: Vec<u8>,
        /// Why.
        why: Wrong,
    },
    /// More bytes are needed.
    More,
}

/// Why a stream can't be read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// No length where one has to be.
    #[error(
        "the length of a message is wrong, or there is none: count octets of UTF-8, not characters (RFC 5425, section 4.3)"
    )]
    Length,
    /// A length above the bound.
    #[error("a message of over {MESSAGE_BYTES_MAX} octets")]
    TooLong,
    /// The stream ended before the message did.
    #[error(
        "the connection ended inside of a message, or its length is too large: count octets of UTF-8 (RFC 5425, section 4.3)"
    )]
    Ended,
}

/// Cuts a stream into messages.
#[derive(Debug)]
pub struct Frames {
    buffer: Vec<u8>,
    resync: bool,
}

impl Frames {
    /// A stream of which nothing came yet.
    pub fn new(resync: bool) -> Self {
        Self { buffer: Vec::new(), resync }
    }

    /// More of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.buffer.iter().all(u8::is_ascii_whitespace)
    }

    /// The next part. `settled`: nothing followed for a while, or the stream has ended; a message that doesn't end as one does
    /// is given out then.
    pub fn next(&mut self, settled: bool) -> Next {
        let blank = self.buffer.iter().take_while(|b| matches!(b, b'\n' | b'\r' | b'\0')).count();
        self.buffer.drain(..blank);
        if self.buffer.is_empty() {
            return Next::More;
        }
        let (head, count) = match length(&self.buffer) {
            Length::Of { head, count } => (head, count),
            Length::Unfinished => return Next::More,
            Length::TooLong if !self.resync => return self.wrong(Wrong::TooLong),
            Length::TooLong | Length::None => return self.lost(settled, 0),
        };
        if self.buffer.len() < head + count && !settled {
            return Next::More;
        }
        // A length that is too large reaches into the next message.
        let reach = self.buffer.len().min(head + count);
        if let Some(next) = header_after(&self.buffer[..reach], head) {
            return match self.resync {
                true => self.repaired(head, next),
                false => self.wrong(Wrong::Length),
            };
        }
        if self.buffer.len() < head + count {
            let is_whole = self.buffer.trim_ascii_end().ends_with(b"</AuditMessage>");
            return match self.resync && is_whole {
                true => self.repaired(head, self.buffer.len()),
                false => Next::More,
            };
        }
        let end = head + count;
        match follows(&self.buffer[end..]) {
            Follows::Header => self.whole(head, end),
            Follows::Nothing if settled || ends_as_message(&self.buffer[head..end]) => self.whole(head, end),
            Follows::Nothing | Follows::Unfinished if !settled => Next::More,
            _ => self.lost(settled, head),
        }
    }

    /// The rest of a stream that has ended.
    pub fn rest(&mut self) -> Next {
        match self.is_empty() {
            true => Next::More,
            false => self.wrong(Wrong::Ended),
        }
    }

    fn whole(&mut self, head: usize, end: usize) -> Next {
        let bytes = self.buffer[head..end].to_vec();
        self.buffer.drain(..end);
        Next::Message { bytes, repaired: false }
    }

    fn repaired(&mut self, head: usize, next: usize) -> Next {
        let bytes = self.buffer[head..next].trim_ascii_end().to_vec();
        self.buffer.drain(..next);
        Next::Message { bytes, repaired: true }
    }

    fn wrong(&mut self, why: Wrong) -> Next {
        Next::Wrong { bytes: std::mem::take(&mut self.buffer), why }
    }

    /// The length of the message after `head` is wrong; of 0, there is none.
    fn lost(&mut self, settled: bool, head: usize) -> Next {
        if !self.resync {
            return self.wrong(Wrong::Length);
        }
        let found = header_after(&self.buffer, head.max(1));
        let is_message = head > 0;
        match found {
            Some(next) if is_message => self.repaired(head, next),
            Some(next) => Next::Skipped(self.buffer.drain(..next).collect()),
            None if self.buffer.len() > 2 * MESSAGE_BYTES_MAX => self.wrong(Wrong::TooLong),
            None if !settled => Next::More,
            None if is_message => {
                let end = self.buffer.len();
                self.repaired(head, end)
            }
            None => Next::Skipped(std::mem::take(&mut self.buffer)),
        }
    }
}

enum Length {
    Of { head: usize, count: usize },
    Unfinished,
    TooLong,
    None,
}

fn length(bytes: &[u8]) -> Length {
    let digits = bytes.iter().take(DIGITS_MAX + 1).take_while(|b| b.is_ascii_digit()).count();
    match bytes.get(digits) {
        _ if digits > DIGITS_MAX => Length::TooLong,
        _ if bytes[0] == b'0' => Length::None,
        None => Length::Unfinished,
        Some(b' ') if digits > 0 => {
            let said = std::str::from_utf8(&bytes[..digits]).expect("digits");
            match said.parse::<usize>().expect("at most seven digits") {
                count if count > MESSAGE_BYTES_MAX => Length::TooLong,
                count => Length::Of { head: digits + 1, count },
            }
        }
        Some(_) => Length::None,
    }
}

enum Follows {
    Nothing,
    /// The beginning of a header, perhaps.
    Unfinished,
    Header,
    Else,
}

fn follows(bytes: &[u8]) -> Follows {
    let bytes = &bytes[bytes.iter().take_while(|b| matches!(b, b'\n' | b'\r' | b'\0')).count()..];
    match bytes.is_empty() {
        true => Follows::Nothing,
        false => header_at(bytes),
    }
}

/// Whether bytes begin with `MSG-LEN SP <PRI>1 SP`.
fn header_at(bytes: &[u8]) -> Follows {
    let run = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let digits = run(0);
    if !(1..=DIGITS_MAX).contains(&digits) || bytes[0] == b'0' {
        return Follows::Else;
    }
    let mut at = digits;
    for part in [&b" <"[..], b"", b">1 "] {
        if part.is_empty() {
            let digits = run(at);
            if digits > 3 || digits == 0 && at < bytes.len() {
                return Follows::Else;
            }
            at += digits;
            continue;
        }
        let there = &bytes[at..bytes.len().min(at + part.len())];
        if there != &part[..there.len()] {
            return Follows::Else;
        }
        if there.len() < part.len() {
            return Follows::Unfinished;
        }
        at += part.len();
    }
    Follows::Header
}

/// The first place from `from` on where a length stands before a `<PRI>1 `, after what isn't a digit.
fn header_after(bytes: &[u8], from: usize) -> Option<usize> {
    // A search for the rare part first: `>1 ` ends every header.
    let mut at = from;
    while let Some(found) = bytes.get(at..)?.windows(3).position(|three| three == b">1 ") {
        let end = at + found;
        let back =
            |from: usize, max: usize| bytes[..from].iter().rev().take(max).take_while(|b| b.is_ascii_digit()).count();
        let pri = back(end, 4);
        let open = end - pri;
        if (1..=3).contains(&pri) && bytes[..open].ends_with(b" <") {
            let digits = back(open - 2, DIGITS_MAX + 1);
            let start = open - 2 - digits;
            if (1..=DIGITS_MAX).contains(&digits) && bytes[start] != b'0' && start >= from && start > 0 {
                return Some(start);
            }
        }
        at = end + 3;
    }
    None
}

/// Whether a message ends as one does: an audit message with the end of its XML, any other in any way.
fn ends_as_message(bytes: &[u8]) -> bool {
    let is_audit =
        bytes.windows(12).any(|window| window == b"AuditMessage") || bytes.windows(5).any(|five| five == b"<?xml");
    !is_audit || bytes.trim_ascii_end().ends_with(b">")
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
