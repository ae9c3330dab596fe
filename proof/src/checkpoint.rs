//! Checkpoints (c2sp.org/tlog-checkpoint): origin, size and root in three lines, signed as a note.
//!
//! Extension lines are refused: no monitor could audit what they say.

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::batch::Origin;
use crate::hash::{Hash, TreeSize};
use crate::note::{NoteError, SignedNote, SignerKey};

/// The text isn't a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not three lines.
    #[error("a checkpoint has three lines: origin, size, root")]
    Lines,
    /// More than three lines.
    #[error("extension lines are not accepted in a checkpoint")]
    Extension,
    /// The first line can't name a log.
    #[error("the origin line can't name a log")]
    Origin,
    /// The second line isn't a decimal number without leading zeros.
    #[error("the size line is not a decimal number below 2^64 without leading zeros")]
    Size,
    /// The third line isn't the base64 of 32 bytes.
    #[error("the root line is not the base64 of 32 bytes")]
    Root,
}

/// The state of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log.
    pub origin: Origin,
    /// Number of entries.
    pub size: TreeSize,
    /// Root of the tree of that size.
    pub root: Hash,
}

impl Checkpoint {
    /// The text to sign, final newline included.
    pub fn to_text(&self) -> String {
        let root = BASE64_STANDARD.encode(self.root.as_bytes());
        format!("{}\n{}\n{root}\n", self.origin, self.size)
    }

    /// Reads the text of a note.
    ///
    /// # Errors
    /// When it isn't exactly three lines of a checkpoint.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let text = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?;
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Lines);
        };
        if lines.next().is_some() {
            return Err(CheckpointError::Extension);
        }
        let root = BASE64_STANDARD.decode(root).ok();
        let root = root.and_then(|root| Hash::from_slice(&root).ok());
        Ok(Self {
            origin: Origin::new(origin).map_err(|_| CheckpointError::Origin)?,
            size: parse_decimal(size).ok_or(CheckpointError::Size)?.into(),
            root: root.ok_or(CheckpointError::Root)?,
        })
    }

    /// Signs the checkpoint with each of `keys`; `time_s` (seconds since 1970) goes into cosignatures.
    ///
    /// # Errors
    /// When there is no key, or a cosignature's time is out of range.
    pub fn sign(&self, keys: &[&SignerKey], time_s: u64) -> Result<SignedNote, NoteError> {
        let text = self.to_text();
        let lines: Result<Vec<_>, _> = keys.iter().map(|key| key.sign(&text, time_s)).collect();
        SignedNote::new(text, lines?)
    }
}

/// A decimal number in its one spelling: digits, no leading zero unless it is `0`.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match canonical && digits {
        true => text.parse().ok(),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let note = format!(
            "{text}\n\u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
        );
        let signed = SignedNote::parse(note.as_bytes()).expect("the published note");
        assert_eq!(signed.to_string(), note);
        let checkpoint = Checkpoint::parse(signed.text()).expect("the published checkpoint");
        assert_eq!(checkpoint.size, TreeSize(20_852_163));
        assert_eq!(checkpoint.to_text(), text);
        assert_eq!(signed.signatures()[1].signature[..8], 1_679_315_147_u64.to_be_bytes());
    }

    #[test]
    fn anything_else_is_refused() {
        let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
        assert!(Checkpoint::parse(&format!("a\n0\n{root}\n")).is_ok());
        for (text, error) in [
            (String::new(), CheckpointError::Lines),
            (format!("a\n0\n{root}"), CheckpointError::Lines),
            ("a\n0\n".to_owned(), CheckpointError::Lines),
            (format!("\n0\n{root}\n"), CheckpointError::Origin),
            (format!("a b\n0\n{root}\n"), CheckpointError::Origin),
            (format!("a\n00\n{root}\n"), CheckpointError::Size),
            (format!("a\n01\n{root}\n"), CheckpointError::Size),
            (format!("a\n+1\n{root}\n"), CheckpointError::Size),
            (format!("a\n-1\n{root}\n"), CheckpointError::Size),
            (format!("a\n\n{root}\n"), CheckpointError::Size),
            (format!("a\n18446744073709551616\n{root}\n"), CheckpointError::Size),
            (format!("a\n1\n{}\n", &root[4..]), CheckpointError::Root),
            (format!("a\n1\n{}\n", root.replace("I=", "J=")), CheckpointError::Root),
            (format!("a\n1\n{}\n", root.trim_end_matches('=')), CheckpointError::Root),
            (format!("a\n1\n{root}\nextension\n"), CheckpointError::Extension),
            (format!("a\n1\n{root}\n\n"), CheckpointError::Extension),
        ] {
            assert_eq!(Checkpoint::parse(&text), Err(error), "{text:?}");
        }
    }
}
