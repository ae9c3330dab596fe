//! Frames of HL7 v2 (MLLP): `<VT> message <FS> <CR>`.

/// Bytes of a message, at most.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
const VT: u8 = 0x0b;
const FS: u8 = 0x1c;
const CR: u8 = 0x0d;

/// A stream that can't be read any further: its bytes as far as they came, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Wrong {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Why.
    pub why: &'static str,
}

/// Cuts a stream into messages.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
    /// How far no end was found.
    searched: usize,
}

impl Frames {
    /// More of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.buffer.iter().all(u8::is_ascii_whitespace)
    }

    /// The next message; none where more bytes are needed.
    ///
    /// # Errors
    /// When the stream doesn't begin a message where one has to begin, or a message is too long.
    #[expect(clippy::should_implement_trait, reason = "it isn't an end when there is none yet")]
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, Wrong> {
        if self.searched == 0 {
            let blank = self.buffer.iter().take_while(|byte| byte.is_ascii_whitespace() && **byte != VT).count();
            self.buffer.drain(..blank);
        }
        match self.buffer.first() {
            None => return Ok(None),
            Some(&VT) => {}
            Some(_) => {
                return Err(
                    self.wrong("expected MLLP: a message begins with the character 0x0B and ends with 0x1C 0x0D")
                );
            }
        }
        let end = self.buffer[self.searched.max(1)..].iter().position(|byte| matches!(*byte, FS | VT));
        let Some(end) = end.map(|end| end + self.searched.max(1)) else {
            if self.buffer.len() > MESSAGE_BYTES_MAX {
                return Err(self.wrong("a message of over 1 MiB"));
            }
            self.searched = self.buffer.len();
            return Ok(None);
        };
        if self.buffer[end] == VT {
            return Err(self.wrong("a message begins inside of another: the one before has no end (0x1C 0x0D)"));
        }
        match self.buffer.get(end + 1) {
            None => {
                self.searched = end;
                return Ok(None);
            }
            Some(&CR) => {}
            Some(_) => return Err(self.wrong("expected 0x0D after 0x1C at the end of a message")),
        }
        let message = self.buffer[1..end].to_vec();
        self.buffer.drain(..end + 2);
        self.searched = 0;
        Ok(Some(message))
    }

    /// The rest of a stream that has ended.
    pub fn rest(&mut self) -> Option<Wrong> {
        (!self.is_empty()).then(|| self.wrong("the connection ended, or was too slow, inside of a message"))
    }

    fn wrong(&mut self, why: &'static str) -> Wrong {
        self.searched = 0;
        Wrong { bytes: std::mem::take(&mut self.buffer), why }
    }
}

/// A message in its frame.
pub fn framed(message: &str) -> Vec<u8> {
    [&[VT], message.as_bytes(), &[FS, CR]].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_frame_is_given_back_with_the_reason() {
        for stream in [&b"MSH|^~\\&|"[..], b"\x0bMSH|\x0bMSH|", b"\x0bMSH|\x1cX", b"GET / HTTP/1.1\r\n"] {
            let mut frames = Frames::default();
            frames.push(stream);
            assert_eq!(frames.next().expect_err("wrong").bytes, stream);
        }
        let mut frames = Frames::default();
        frames.push(b"\x0bMSH|half");
        assert_eq!((frames.next(), frames.rest().map(|wrong| wrong.bytes)), (Ok(None), Some(b"\x0bMSH|half".to_vec())));
        frames.push(&[&[VT][..], &vec![b'x'; MESSAGE_BYTES_MAX]].concat());
        assert!(frames.next().is_err());
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_were_put_in(messages in prop::collection::vec("[^\u{b}\u{1c}]{0,40}", 1..5), size in 1_usize..30) {
            let stream: Vec<u8> = messages.iter().flat_map(|message| framed(message)).collect();
            let mut frames = Frames::default();
            let mut out = Vec::new();
            for piece in stream.chunks(size) {
                frames.push(piece);
                while let Some(message) = frames.next().expect("frames") {
                    out.push(String::from_utf8(message).expect("text"));
                }
            }
            prop_assert_eq!(out, messages);
            prop_assert!(frames.rest().is_none());
        }
    }
}
