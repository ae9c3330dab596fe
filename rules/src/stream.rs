//! The label of an author's stream.

use std::fmt;

use sillage_proof::keys::{AuthorId, StreamId};

use crate::limits::STREAM_LABEL_BYTES_MAX;

/// Not the label of a stream (`INVALID_STREAM_LABEL`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stream label is 1 to 64 characters of a-z, 0-9, '.', '_' and '-'")]
pub struct InvalidStreamLabel;

/// A stream's label: 1 to 64 bytes of `a-z 0-9 . _ -`, unique for its author.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamLabel(String);

impl StreamLabel {
    /// Parses a label.
    ///
    /// # Errors
    /// When it is empty, too long, or has another character.
    pub fn parse(label: &str) -> Result<Self, InvalidStreamLabel> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let fits = (1..=STREAM_LABEL_BYTES_MAX).contains(&label.len());
        if !fits || !label.bytes().all(allowed) {
            return Err(InvalidStreamLabel);
        }
        Ok(Self(label.to_owned()))
    }

    /// The label.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of `author`'s stream with this label (`docs/formats.md` §1).
    pub fn stream_id(&self, author: &AuthorId) -> StreamId {
        StreamId::new(author, &self.0)
    }
}

impl fmt::Display for StreamLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_documented_characters_are_accepted() {
        let longest = "a".repeat(64);
        for good in ["cli", "a", "dmp-1.reads_2", longest.as_str()] {
            assert_eq!(StreamLabel::parse(good).expect(good).as_str(), good);
        }
        for bad in ["", "A", "é", "a b", "a/b", "a\0", "a".repeat(65).as_str()] {
            assert_eq!(StreamLabel::parse(bad), Err(InvalidStreamLabel), "{bad:?}");
        }
    }
}
