//! Proof files (c2sp.org/tlog-proof): one entry, its inclusion proof and a signed checkpoint, checked offline.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::checkpoint::{Checkpoint, CheckpointError, parse_decimal};
use crate::hash::{Hash, LeafIndex, sha256};
use crate::merkle::{self, ProofError};
use crate::note::{NoteError, SignedNote};
use crate::policy::{Policy, PolicyError, Satisfied};

const HEADER: &str = "c2sp.org/tlog-proof@v1";
const CHECK_MAGIC: &[u8] = b"sillage/tlog-proof/v1\0";
/// An inclusion proof in a tree of up to 2^64 - 1 entries has at most 64 hashes.
const PATH_MAX: usize = 64;
/// Longest proof file read, in bytes: a note and as much again.
const FILE_BYTES_MAX: usize = 2_000_000;

/// The file isn't a proof, or proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum TlogProofError {
    /// Not the format.
    #[error("malformed proof file: {0}")]
    Malformed(&'static str),
    /// The checkpoint's note isn't one.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The note isn't a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The policy isn't satisfied.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The entry isn't in the tree of the checkpoint.
    #[error(transparent)]
    Inclusion(#[from] ProofError),
}

/// A proof that an entry is in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Opaque data that nothing authenticates; not empty when present.
    pub extra: Option<Vec<u8>>,
    /// Index of the entry.
    pub index: LeafIndex,
    /// Inclusion proof, from the leaf's sibling to the root's child.
    pub path: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: SignedNote,
}

impl TlogProof {
    /// Reads a proof file. Nothing in it may be trusted before [`TlogProof::verify`].
    ///
    /// # Errors
    /// When it isn't exactly the format.
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogProofError> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(TlogProofError::Malformed("too long"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| TlogProofError::Malformed("not UTF-8"))?;
        let mut rest = text;
        if next_line(&mut rest)? != HEADER {
            return Err(TlogProofError::Malformed("the first line is not c2sp.org/tlog-proof@v1"));
        }
        let mut line = next_line(&mut rest)?;
        let mut extra = None;
        if let Some(base64) = line.strip_prefix("extra ") {
            let bytes = BASE64_STANDARD.decode(base64).unwrap_or_default();
            if bytes.is_empty() {
                return Err(TlogProofError::Malformed("the extra line is not base64 of some data"));
            }
            extra = Some(bytes);
            line = next_line(&mut rest)?;
        }
        let index = line.strip_prefix("index ").and_then(parse_decimal);
        let index = index.ok_or(TlogProofError::Malformed("no line with the index"))?;
        let mut path = Vec::new();
        loop {
            let line = next_line(&mut rest)?;
            if line.is_empty() {
                break;
            }
            let hash = BASE64_STANDARD.decode(line).ok();
            let hash = hash.and_then(|hash| Hash::from_slice(&hash).ok());
            match hash {
                Some(hash) if path.len() < PATH_MAX => path.push(hash),
                Some(_) => return Err(TlogProofError::Malformed("more than 64 hashes")),
                None => return Err(TlogProofError::Malformed("a hash is not base64 of 32 bytes")),
            }
        }
        let checkpoint = SignedNote::parse(rest.as_bytes())?;
        Checkpoint::parse(checkpoint.text())?;
        Ok(Self { extra, index: index.into(), path, checkpoint })
    }

    /// A proof that carries its entry (empty: it doesn't) and a check of all else in the file: `entry ‖ check`
    /// (`docs/formats.md` §11).
    pub fn carrying(entry: &[u8], index: LeafIndex, path: Vec<Hash>, checkpoint: SignedNote) -> Self {
        let mut proof = Self { extra: None, index, path, checkpoint };
        proof.extra = Some([entry, proof.check().as_bytes()].concat());
        proof
    }

    /// The entry that the file carries, where its check holds; `None` without extra data.
    ///
    /// # Errors
    /// When anything in the file was changed, such as the name of a cosigner, which verifiers ignore when they don't know
    /// it.
    pub fn carried(&self) -> Result<Option<&[u8]>, TlogProofError> {
        let Some(extra) = &self.extra else {
            return Ok(None);
        };
        let carried = extra.split_last_chunk::<{ Hash::LEN }>().filter(|(_, check)| *check == self.check().as_bytes());
        let changed = "its check doesn't hold: the index, the path or a signature line was changed";
        carried.map(|(entry, _)| Some(entry)).ok_or(TlogProofError::Malformed(changed))
    }

    /// Over the file without its extra line.
    fn check(&self) -> Hash {
        let rest = Self { extra: None, ..self.clone() };
        sha256(&[CHECK_MAGIC, rest.to_string().as_bytes()])
    }

    /// Verifies that the entry hashed to `leaf` is in the log at `index`, under a checkpoint that satisfies `policy`.
    ///
    /// # Errors
    /// When the policy isn't satisfied or the entry isn't in the tree.
    pub fn verify(&self, leaf: &Hash, policy: &Policy) -> Result<Satisfied, TlogProofError> {
        let satisfied = policy.verify(&self.checkpoint)?;
        let checkpoint = &satisfied.checkpoint;
        merkle::verify_inclusion(leaf, self.index, checkpoint.size, &self.path, &checkpoint.root)?;
        Ok(satisfied)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = self.extra.as_ref().filter(|extra| !extra.is_empty()) {
            writeln!(f, "extra {}", BASE64_STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", BASE64_STANDARD.encode(hash))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

fn next_line<'a>(rest: &mut &'a str) -> Result<&'a str, TlogProofError> {
    let cut_short = TlogProofError::Malformed("cut short");
    let (line, tail) = rest.split_once('\n').ok_or(cut_short)?;
    *rest = tail;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;
    use crate::keys::SigningKey;
    use crate::note::{KeyKind, SignerKey};

    fn proof_and_policy() -> (TlogProof, Hash, Policy) {
        let leaves: Vec<Hash> = (0..11_u8).map(|i| leaf_hash(&[i])).collect();
        let key = SigningKey::from_seed(&[1; 32]);
        let log = SignerKey::new("example.com/log", KeyKind::Ed25519, key).expect("valid");
        let checkpoint = Checkpoint {
            origin: "example.com/log".parse().expect("valid"),
            size: 11.into(),
            root: merkle::root_of(&leaves),
        };
        let path = merkle::inclusion_proof(&leaves[..], 6.into(), 11.into());
        let proof = TlogProof {
            extra: None,
            index: 6.into(),
            path: path.expect("index below size"),
            checkpoint: checkpoint.sign(&[&log], 0).expect("one key"),
        };
        let policy = format!("log {}\nquorum none\n", log.verifier());
        let policy = Policy::parse(policy.as_bytes()).expect("valid");
        (proof, leaves[6], policy)
    }

    #[test]
    fn a_written_proof_is_read_again_and_verifies() {
        let (mut proof, leaf, policy) = proof_and_policy();
        for extra in [None, Some(vec![1, 2, 3])] {
            proof.extra = extra;
            let text = proof.to_string();
            let read = TlogProof::parse(text.as_bytes()).expect("own file");
            assert_eq!(read, proof);
            let satisfied = read.verify(&leaf, &policy).expect("a true proof");
            assert_eq!(satisfied.checkpoint.size, 11.into());
            let other = read.verify(&leaf_hash(b"other"), &policy);
            assert!(matches!(other, Err(TlogProofError::Inclusion(_))));
        }
    }

    #[test]
    fn no_changed_bit_gets_through() {
        let (proof, leaf, policy) = proof_and_policy();
        let text = proof.to_string().into_bytes();
        for bit in 0..8 * text.len() {
            let mut bad = text.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let verdict = TlogProof::parse(&bad).and_then(|bad| bad.verify(&leaf, &policy));
            assert!(verdict.is_err(), "bit {bit}");
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        let (proof, ..) = proof_and_policy();
        let text = proof.to_string();
        for (from, to) in [
            ("@v1", "@v2"),
            ("index 6", "index 06"),
            ("index 6", "index +6"),
            ("index 6", "index  6"),
            ("index 6", "extra \nindex 6"),
            ("index 6", "extra AA==\nextra AA==\nindex 6"),
            ("index 6", "Index 6"),
            ("index 6\n", "index 6\nAA==\n"),
            ("index 6\n", "index 6\n\n"),
            ("\n", "\r\n"),
        ] {
            let bad = text.replacen(from, to, 1);
            assert_ne!(bad, text);
            assert!(TlogProof::parse(bad.as_bytes()).is_err(), "{to:?}");
        }
    }
}
