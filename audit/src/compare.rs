//! Two checkpoints of one log: is there one history that both are of?

use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::note::{SignedNote, VerifierKey};

use sillage_client::checks::failed;
use sillage_client::error::ClientError;

/// A checkpoint whose log signature was checked.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The note.
    pub note: SignedNote,
    /// Its content.
    pub checkpoint: Checkpoint,
    /// Names of the keys that are known to have signed it, the log's first.
    pub signers: Vec<String>,
}

/// How two checkpoints stand to each other, as far as they themselves show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// They are of different logs: nothing follows.
    OtherLogs,
    /// They say the same.
    Same,
    /// Two roots for one size: the log has shown two histories, and this is the evidence.
    Split,
    /// The first is smaller: a proof has to show that it is the beginning of the second.
    Grows,
    /// The second is smaller.
    Shrinks,
}

impl Signed {
    /// Reads a note and checks that a log of `logs` signed it under its own name. Cosignatures of `cosigners` are noted.
    ///
    /// # Errors
    /// [`ClientError::Check`]: what isn't signed is no evidence.
    pub fn read(bytes: &[u8], logs: &[VerifierKey], cosigners: &[VerifierKey]) -> Result<Self, ClientError> {
        let wrong = |why: String| failed(&format!("a note that proves nothing: {why}"));
        let note = SignedNote::parse(bytes).map_err(|error| wrong(error.to_string()))?;
        let verified = note.verify(logs.iter().chain(cosigners)).map_err(|error| wrong(error.to_string()))?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(|error| wrong(error.to_string()))?;
        let origin = checkpoint.origin.as_str();
        let of_log = |key: &VerifierKey| key.name() == origin && logs.contains(key);
        if !verified.iter().any(|signature| of_log(&signature.key)) {
            return Err(wrong(format!("the log {origin} has not signed it, or its key isn't known")));
        }
        let signers = verified.iter().map(|signature| signature.key.name().to_owned()).collect();
        Ok(Self { note, checkpoint, signers })
    }
}

/// Compares two signed checkpoints.
pub fn compare(a: &Checkpoint, b: &Checkpoint) -> Relation {
    if a.origin != b.origin {
        return Relation::OtherLogs;
    }
    match a.size.cmp(&b.size) {
        std::cmp::Ordering::Less => Relation::Grows,
        std::cmp::Ordering::Greater => Relation::Shrinks,
        std::cmp::Ordering::Equal if a.root == b.root => Relation::Same,
        std::cmp::Ordering::Equal => Relation::Split,
    }
}

/// The evidence that shows anyone that a log has two histories: both notes, and who signed both.
pub fn evidence(a: &Signed, b: &Signed) -> String {
    let both: Vec<&str> = a.signers.iter().filter(|name| b.signers.contains(name)).map(String::as_str).collect();
    format!(
        "signed both: {}\n\n-----BEGIN CHECKPOINT A-----\n{}-----END CHECKPOINT A-----\n\n-----BEGIN CHECKPOINT B-----\n{}-----END CHECKPOINT B-----",
        both.join(", "),
        a.note,
        b.note
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::hash::Hash;
    use sillage_proof::keys::SigningKey;
    use sillage_proof::note::{KeyKind, SignerKey};

    fn key(seed: u8, name: &str, kind: KeyKind) -> SignerKey {
        SignerKey::new(name, kind, SigningKey::from_seed(&[seed; 32])).expect("a key")
    }

    fn checkpoint(origin: &str, size: u64, root: u8) -> Checkpoint {
        Checkpoint { origin: origin.parse().expect("a name"), size: size.into(), root: Hash::from_bytes([root; 32]) }
    }

    #[test]
    fn two_roots_for_one_size_are_evidence() {
        let one = checkpoint("a/log", 5, 1);
        let relations = [
            (checkpoint("a/log", 5, 1), Relation::Same),
            (checkpoint("a/log", 5, 2), Relation::Split),
            (checkpoint("b/log", 5, 2), Relation::OtherLogs),
            (checkpoint("a/log", 6, 2), Relation::Grows),
            (checkpoint("a/log", 4, 2), Relation::Shrinks),
        ];
        for (other, relation) in relations {
            assert_eq!(compare(&one, &other), relation);
        }
    }

    #[test]
    fn evidence_shows_both_notes_and_who_signed_both() {
        let log = key(1, "a/log", KeyKind::Ed25519);
        let (one, two) =
            (key(2, "a/log/node-1", KeyKind::CosignatureV1), key(3, "a/log/node-2", KeyKind::CosignatureV1));
        let logs = [log.verifier().clone()];
        let nodes = [one.verifier().clone(), two.verifier().clone()];
        let note = |root: u8, keys: &[&SignerKey]| {
            let note = checkpoint("a/log", 5, root).sign(keys, 7).expect("signed").to_string();
            Signed::read(note.as_bytes(), &logs, &nodes).expect("signed by the log")
        };
        let text = evidence(&note(1, &[&log, &one]), &note(2, &[&log, &one, &two]));
        assert!(text.starts_with("signed both: a/log, a/log/node-1\n"), "{text}");
        assert_eq!(text.matches("a/log\n5\n").count(), 2);
        let stranger = key(9, "a/log", KeyKind::Ed25519);
        let unsigned = checkpoint("a/log", 5, 2).sign(&[&stranger], 7).expect("signed").to_string();
        assert!(Signed::read(unsigned.as_bytes(), &logs, &nodes).is_err(), "no evidence against the log");
        let renamed = checkpoint("b/log", 5, 2).sign(&[&log], 7).expect("signed").to_string();
        assert!(Signed::read(renamed.as_bytes(), &logs, &nodes).is_err());
    }
}
