//! The body of an `add-checkpoint` request: an old size, a consistency proof, a checkpoint.

use base64::prelude::{BASE64_STANDARD, Engine};
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::hash::{Hash, TreeSize};
use sillage_proof::note::SignedNote;

/// Largest body read, in bytes.
pub const BODY_BYTES_MAX: usize = 64 << 10;
/// Most lines of a proof.
pub const PROOF_LINES_MAX: usize = 63;

/// A request, as far as it can be read without knowing the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the log believes was cosigned last; 0 where none was.
    pub old_size: TreeSize,
    /// Consistency proof from there.
    pub proof: Vec<Hash>,
    /// The note, not verified yet.
    pub note: SignedNote,
    /// The content of its first three lines. Lines after them are the log's affair: they are cosigned, and say nothing
    /// here.
    pub checkpoint: Checkpoint,
}

impl AddCheckpoint {
    /// Reads a body.
    ///
    /// # Errors
    /// One sentence that says what it lacks.
    pub fn parse(body: &[u8]) -> Result<Self, &'static str> {
        if body.len() > BODY_BYTES_MAX {
            return Err("the body is too long");
        }
        let body = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8")?;
        let head_and_note = body.split_once("\n\n");
        let (head, note) = head_and_note.ok_or("no empty line before the checkpoint")?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old "));
        let old_size = old.and_then(decimal).ok_or("the first line is `old <size>`")?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == PROOF_LINES_MAX {
                return Err("the proof has more than 63 lines");
            }
            proof.push(hash(line).ok_or("a proof line is the base64 of 32 bytes")?);
        }
        let note = SignedNote::parse(note.as_bytes()).map_err(|_| "the checkpoint is not a signed note")?;
        let checkpoint = first_three_lines(note.text()).ok_or("the note is not a checkpoint")?;
        Ok(Self { old_size: TreeSize(old_size), proof, note, checkpoint })
    }
}

/// Reads a checkpoint with whatever extension lines.
pub(super) fn first_three_lines(text: &str) -> Option<Checkpoint> {
    let end = text.match_indices('\n').nth(2)?.0;
    let (head, rest) = text.split_at_checked(end + 1)?;
    // An extension line isn't empty.
    let blank = rest.split_terminator('\n').any(str::is_empty);
    if blank { None } else { Checkpoint::parse(head).ok() }
}

fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if canonical && digits { text.parse().ok() } else { None }
}

fn hash(line: &str) -> Option<Hash> {
    let bytes = BASE64_STANDARD.decode(line).ok()?;
    Hash::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    const EXAMPLE: &str = "old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
\u{2014} example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
";

    #[test]
    fn the_example_of_the_specification_is_read() {
        let request = AddCheckpoint::parse(EXAMPLE.as_bytes()).expect("good");
        assert_eq!(request.old_size, TreeSize(20_852_014));
        assert_eq!(request.proof.len(), 4);
        assert_eq!(request.checkpoint.size, TreeSize(20_852_163));
        assert_eq!(request.note.signatures().len(), 2);
    }

    #[test]
    fn extension_lines_are_part_of_the_text() {
        let extended = EXAMPLE.replace("xq2I=\n\n", "xq2I=\nmore\nand more\n\n");
        let request = AddCheckpoint::parse(extended.as_bytes()).expect("good");
        assert!(request.note.text().ends_with("more\nand more\n"));
        assert_eq!(request.checkpoint.size, TreeSize(20_852_163));
    }

    #[test]
    fn what_breaks_the_specification_is_malformed() {
        let many = format!("old 1\n{}{}", "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n".repeat(64), &EXAMPLE[192..]);
        let edits = [
            EXAMPLE.replace("old 20852014", "old 020852014"),
            EXAMPLE.replace("old 20852014", "old -1"),
            EXAMPLE.replace("old 20852014", "old  1"),
            EXAMPLE.replace("old 20852014\n", ""),
            EXAMPLE.replace("Dpkaw=\n", "Dpka\n"),
            EXAMPLE.replace("\n\nexample", "\nexample"),
            EXAMPLE.replace("20852163", "x"),
            EXAMPLE[..EXAMPLE.len() - 1].to_owned(),
            many,
            String::new(),
            "x".repeat(BODY_BYTES_MAX + 1),
        ];
        for bad in edits {
            assert!(AddCheckpoint::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(AddCheckpoint::parse(&[0xff]).is_err());
    }
}
