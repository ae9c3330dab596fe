//! What is verified before it is believed: checkpoints, entries, inclusion.

use std::time::{Duration, Instant};

use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::hash::{Hash, LeafIndex, leaf_hash};
use sillage_proof::merkle::verify_inclusion;
use sillage_proof::note::{SignedNote, VerifierKey};
use sillage_proto::v1;
use sillage_rules::entry::{Entry, Flags, RecordEntry};
use sillage_rules::limits::SALT_BYTES;
use sillage_rules::record::ParsedRecord;

use crate::error::ClientError;
use crate::session::Session;

/// A receipt promises that its entries are under a checkpoint within 10 s.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(12);
const CHECKPOINT_POLL: Duration = Duration::from_millis(250);

/// A failed check, as an error.
pub(crate) fn failed(what: &str) -> ClientError {
    ClientError::Check(what.to_owned())
}

/// Hashes as they travel.
pub(crate) fn hashes(path: &[Vec<u8>]) -> Result<Vec<Hash>, ClientError> {
    let parsed: Result<Vec<Hash>, _> = path.iter().map(|hash| Hash::from_slice(hash)).collect();
    parsed.map_err(|_| failed("a proof holds something that is not a hash: ask another node"))
}

/// A checkpoint whose signature was checked.
#[derive(Debug, Clone)]
pub struct VerifiedCheckpoint {
    /// The note, as signed.
    pub note: SignedNote,
    /// What it says.
    pub checkpoint: Checkpoint,
}

/// Reads a checkpoint and checks that the log itself signed it.
///
/// # Errors
/// [`ClientError::Check`].
pub fn verify_checkpoint(note: &str, key: &VerifierKey) -> Result<VerifiedCheckpoint, ClientError> {
    let wrong = |why: String| {
        failed(&format!("the checkpoint is not what the log signed ({why}): ask another node and keep it as evidence"))
    };
    let note = SignedNote::parse(note.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    note.verify(std::slice::from_ref(key)).map_err(|error| wrong(error.to_string()))?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| wrong(error.to_string()))?;
    if checkpoint.origin.as_str() != key.name() {
        return Err(wrong("another log's name".to_owned()));
    }
    Ok(VerifiedCheckpoint { note, checkpoint })
}

/// Fetches and verifies the newest checkpoint.
///
/// # Errors
/// When the ledger can't be reached or the signature doesn't match.
pub async fn checkpoint(session: &Session) -> Result<VerifiedCheckpoint, ClientError> {
    let answer = session
        .client
        .call(|mut rpc| async move { rpc.get_checkpoint(v1::GetCheckpointRequest::default()).await })
        .await?;
    verify_checkpoint(&answer.note, &session.log_key)
}

/// Fetches and verifies a checkpoint over more than `index` entries: waits for one while the entry is young.
///
/// # Errors
/// As for [`checkpoint`]; [`ClientError::Check`] when none came in the time that receipts promise.
pub async fn checkpoint_over(session: &Session, index: u64) -> Result<VerifiedCheckpoint, ClientError> {
    let start = Instant::now();
    loop {
        let found = checkpoint(session).await?;
        if found.checkpoint.size.get() > index {
            return Ok(found);
        }
        if start.elapsed() > CHECKPOINT_WAIT {
            let size = found.checkpoint.size;
            return Err(failed(&format!(
                "entry {index} is under no checkpoint yet, the newest has size {size}: ask again later"
            )));
        }
        tokio::time::sleep(CHECKPOINT_POLL).await;
    }
}

/// A line of a trace whose parts fit each other: the entry commits to the record, and both name the same patient.
#[derive(Debug, Clone)]
pub struct CheckedLine {
    /// The entry, read strictly.
    pub entry: RecordEntry,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The record; none where the content was erased.
    pub record: Option<ParsedRecord>,
    /// Name of the service that signed it.
    pub author: String,
}

/// Reads a line of the trace of `tag`. Needs no key: what the ledger says must fit itself before it is shown.
///
/// # Errors
/// [`ClientError::Check`] naming the line.
pub fn check_line(line: v1::TraceLine, tag: &[u8; 32]) -> Result<CheckedLine, ClientError> {
    let index = line.index;
    let wrong =
        |why: &str| failed(&format!("line {index} of the trace {why}: ask another node and keep it as evidence"));
    let entry = Entry::decode(&line.entry).map_err(|error| wrong(&format!("cannot be read ({error})")))?;
    let Entry::Record(entry) = entry else {
        return Err(wrong("is not a record"));
    };
    if entry.index.get() != index {
        return Err(wrong("has another place in the log than it says"));
    }
    if entry.tag != *tag {
        return Err(wrong("is another patient's"));
    }
    let record = match line.record.is_empty() {
        true => None,
        false => Some(check_record(&line, &entry).map_err(wrong)?),
    };
    Ok(CheckedLine { entry, bytes: line.entry, record, author: line.author })
}

fn check_record(line: &v1::TraceLine, entry: &RecordEntry) -> Result<ParsedRecord, &'static str> {
    if entry.flags.contains(Flags::LEDGER) {
        return Err("was made by the ledger itself, in a form that this version does not know");
    }
    let salt: &[u8; SALT_BYTES] = line.salt.as_slice().try_into().map_err(|_| "has no salt")?;
    let record = ParsedRecord::parse(&line.record).map_err(|_| "holds a record that breaks the rules")?;
    if record.record_hash(salt) != entry.record_hash {
        return Err("shows another record than the one that was signed");
    }
    if record.kind() != entry.kind || record.entry_tag() != entry.tag {
        return Err("says something else than its entry");
    }
    Ok(record)
}

/// Verifies that an entry stands in the log under `checkpoint`.
///
/// # Errors
/// [`ClientError::Check`] when the proof doesn't lead to the checkpoint's root.
pub async fn check_inclusion(
    session: &Session,
    checkpoint: &Checkpoint,
    index: u64,
    entry: &[u8],
) -> Result<Vec<Hash>, ClientError> {
    let request = v1::ProveInclusionRequest { index, size: checkpoint.size.get() };
    let answer = session.client.call(|mut rpc| async move { rpc.prove_inclusion(request).await }).await?;
    let path = hashes(&answer.path)?;
    let leaf = leaf_hash(entry);
    verify_inclusion(&leaf, LeafIndex(index), checkpoint.size, &path, &checkpoint.root).map_err(|error| {
        failed(&format!("entry {index} is not in the log of size {} ({error}): keep it as evidence", checkpoint.size))
    })?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::hash::{LedgerTimeMs, TreeSize};
    use sillage_proof::keys::SigningKey;
    use sillage_proof::note::{KeyKind, SignerKey};
    use sillage_rules::kind::Kind;
    use sillage_rules::record::new_message;

    const TAG: [u8; 32] = [5; 32];

    fn line() -> v1::TraceLine {
        let mut message = new_message(Kind::ACCESS_READ, Some(&TAG), 1_000);
        message.actor = Some(v1::Actor { id: "1".into(), ..v1::Actor::default() });
        let record = ParsedRecord::from_message(message).expect("a record");
        let salt = [9; SALT_BYTES];
        let entry = RecordEntry {
            index: LeafIndex(41),
            time: LedgerTimeMs(2_000),
            flags: Flags::UNJUSTIFIED,
            kind: Kind::ACCESS_READ,
            tag: TAG,
            record_hash: record.record_hash(&salt),
            position: 0,
        };
        v1::TraceLine {
            index: 41,
            entry: Entry::Record(entry).encode(),
            salt: salt.to_vec(),
            record: record.into_bytes(),
            author: "dmp".into(),
            erased: None,
        }
    }

    #[test]
    fn a_line_that_fits_itself_is_shown() {
        let checked = check_line(line(), &TAG).expect("good");
        assert_eq!(checked.entry.index.get(), 41);
        assert!(checked.record.is_some());
        let erased = v1::TraceLine { record: Vec::new(), ..line() };
        assert!(check_line(erased, &TAG).expect("erased").record.is_none());
    }

    #[test]
    fn a_line_that_contradicts_itself_fails_the_check() {
        let edits: [fn(&mut v1::TraceLine); 5] =
            [|l| l.index = 42, |l| l.salt[0] ^= 1, |l| l.salt.clear(), |l| l.entry[30] ^= 1, |l| l.record.truncate(3)];
        for edit in edits {
            let mut bad = line();
            edit(&mut bad);
            assert_eq!(check_line(bad, &TAG).expect_err("refused").exit_code(), 1);
        }
        assert!(check_line(line(), &[6; 32]).is_err(), "another patient's");
    }

    #[test]
    fn a_checkpoint_counts_only_with_the_logs_own_signature() {
        let signer = |seed, name: &str| {
            SignerKey::new(name, KeyKind::Ed25519, SigningKey::from_seed(&[seed; 32])).expect("a key")
        };
        let log = signer(1, "test/log");
        let origin = sillage_proof::batch::Origin::new("test/log").expect("a name");
        let checkpoint = Checkpoint { origin, size: TreeSize(3), root: Hash::default() };
        let note = |key: &SignerKey| checkpoint.sign(&[key], 0).expect("signed").to_string();
        let good = verify_checkpoint(&note(&log), log.verifier()).expect("good");
        assert_eq!(good.checkpoint, checkpoint);
        for bad in [note(&signer(2, "test/log")), note(&log).replace("\n3\n", "\n4\n"), String::new()] {
            assert_eq!(verify_checkpoint(&bad, log.verifier()).expect_err("refused").exit_code(), 1);
        }
        let other = signer(1, "other/log");
        let renamed = checkpoint.sign(&[&other], 0).expect("signed").to_string();
        assert!(verify_checkpoint(&renamed, other.verifier()).is_err(), "another log's name");
    }
}
