//! The questions that an audit asks of a ledger. No answer is believed before the replay or a proof has shown it.

use std::time::{Duration, Instant};

use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::hash::{Hash, LeafIndex, TreeSize};
use sillage_proof::merkle::verify_consistency;
use sillage_proof::note::SignedNote;
use sillage_proto::v1::{self, LogEntry};
use tonic::Streaming;

use super::pipeline::CHUNK;
use sillage_client::checks::{failed, hashes};
use sillage_client::error::{ClientError, Verdict, verdict};
use sillage_client::session::Session;
use sillage_rules::codes::Code;

/// Entries of one call: the ledger puts each call on record.
const CALL: u64 = 65_536;
/// A stream that says nothing for this long is begun anew.
const SILENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(300);

/// A checkpoint as it was given: its signatures aren't checked.
#[derive(Debug, Clone)]
pub struct Given {
    /// The note.
    pub text: String,
    /// Its content.
    pub checkpoint: Checkpoint,
}

/// Reads a note.
///
/// # Errors
/// [`ClientError::Check`] when it isn't a checkpoint of the session's log.
pub fn given(session: &Session, text: String) -> Result<Given, ClientError> {
    let note = SignedNote::parse(text.as_bytes()).map_err(|error| failed(&format!("not a checkpoint: {error}")))?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| failed(&format!("not a checkpoint: {error}")))?;
    if checkpoint.origin != session.origin {
        return Err(failed(&format!("a checkpoint of {}, not of {}", checkpoint.origin, session.origin)));
    }
    Ok(Given { text, checkpoint })
}

/// The newest checkpoint, over at least `size_min` entries.
///
/// # Errors
/// When none can be had, or it isn't one of this log.
pub async fn newest(session: &Session, size_min: u64) -> Result<Given, ClientError> {
    let request = v1::GetCheckpointRequest { size_min, cosigners: Vec::new() };
    let answer = session
        .client
        .call(|mut rpc| {
            let request = request.clone();
            async move { rpc.get_checkpoint(request).await }
        })
        .await?;
    given(session, answer.note)
}

/// Gives the entries from `first` to `end` (exclusive), in order, at most [`CHUNK`] at a time, until `take` wants no
/// more. A stream that breaks off is begun anew where it stopped, as long as it goes on within `patience`.
///
/// # Errors
/// When the ledger refuses, or doesn't go on.
pub async fn entries(
    session: &Session,
    (first, end): (u64, u64),
    patience: Duration,
    mut take: impl AsyncFnMut(Vec<LogEntry>) -> bool,
) -> Result<(), ClientError> {
    let mut next = first;
    let mut moved = Instant::now();
    while next < end {
        let request = v1::GetEntriesRequest { first: next, count: (end - next).min(CALL), ..Default::default() };
        let stream = session
            .client
            .call(|mut rpc| {
                let request = request.clone();
                async move { rpc.get_entries(request).await }
            })
            .await;
        let before = next;
        let stopped = match stream {
            Ok(stream) => one_stream(stream, &mut next, end, &mut take).await?,
            // Another node than the one that showed the checkpoint may learn of it a moment later.
            Err(ClientError::Rejected(rejection)) if rejection.code == Code::SizeNotReached => {
                Stopped::Broken(rejection.message)
            }
            Err(error) => return Err(error),
        };
        if stopped == Stopped::Unwanted {
            return Ok(());
        }
        if next > before {
            moved = Instant::now();
        } else if moved.elapsed() > patience {
            let why = match stopped {
                Stopped::Broken(why) => why,
                _ => "the ledger gives no more entries".to_owned(),
            };
            return Err(ClientError::Unavailable(format!("{why} (at entry {next})")));
        } else {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Stopped {
    /// The stream ended.
    Ended,
    /// No more is wanted.
    Unwanted,
    /// It broke off.
    Broken(String),
}

async fn one_stream(
    mut stream: Streaming<v1::GetEntriesResponse>,
    next: &mut u64,
    end: u64,
    take: &mut impl AsyncFnMut(Vec<LogEntry>) -> bool,
) -> Result<Stopped, ClientError> {
    loop {
        let message = match tokio::time::timeout(SILENCE, stream.message()).await {
            Err(_) => return Ok(Stopped::Broken("no entries in time".to_owned())),
            Ok(Ok(None)) => return Ok(Stopped::Ended),
            Ok(Ok(Some(message))) => message,
            Ok(Err(status)) => match verdict(&status) {
                Verdict::Retry(why) | Verdict::Wait(why, _) => return Ok(Stopped::Broken(why)),
                Verdict::Final(error) => return Err(error),
            },
        };
        let mut entries = message.entries;
        // Never more than was asked for, whatever the node thinks.
        entries.truncate(usize::try_from(end - *next).unwrap_or(usize::MAX));
        while !entries.is_empty() {
            let rest = entries.split_off(entries.len().min(CHUNK));
            *next += entries.len() as u64;
            if !take(entries).await {
                return Ok(Stopped::Unwanted);
            }
            entries = rest;
        }
        if *next >= end {
            return Ok(Stopped::Ended);
        }
    }
}

/// Asks for a proof that `small` is the beginning of `large`, and checks it.
///
/// # Errors
/// [`ClientError::Check`] when the ledger has none, or it leads elsewhere.
pub async fn consistent(
    session: &Session,
    (small, small_root): (u64, &Hash),
    (large, large_root): (u64, &Hash),
) -> Result<(), ClientError> {
    if small == 0 || (small == large && small_root == large_root) {
        return Ok(());
    }
    let request = v1::ProveConsistencyRequest { old_size: small, new_size: large };
    let answer = session.client.call(|mut rpc| async move { rpc.prove_consistency(request).await }).await;
    let path = match answer {
        Ok(answer) => hashes(&answer.path)?,
        Err(ClientError::Rejected(rejection)) => {
            let code = rejection.code;
            return Err(failed(&format!(
                "the log does not prove that size {small} and size {large} are of one history ({code})"
            )));
        }
        Err(error) => return Err(error),
    };
    verify_consistency(TreeSize(small), TreeSize(large), &path, small_root, large_root)
        .map_err(|error| failed(&format!("size {small} is not the beginning of size {large} ({error})")))
}

/// The path of one entry in the tree of `size` entries.
///
/// # Errors
/// When the ledger gives none.
pub async fn path(session: &Session, index: u64, size: u64) -> Result<Vec<Hash>, ClientError> {
    let request = v1::ProveInclusionRequest { index, size };
    let answer = session.client.call(|mut rpc| async move { rpc.prove_inclusion(request).await }).await?;
    hashes(&answer.path)
}

/// One entry's bytes, and whether it stands in the tree of this size and root.
///
/// # Errors
/// When the ledger doesn't give it, or it isn't in the tree.
pub async fn entry_in(session: &Session, index: u64, size: u64, root: &Hash) -> Result<Vec<u8>, ClientError> {
    let request = v1::GetEntryRequest { index };
    let answer = session.client.call(|mut rpc| async move { rpc.get_entry(request).await }).await?;
    let path = path(session, index, size).await?;
    let leaf = sillage_proof::hash::leaf_hash(&answer.entry);
    sillage_proof::merkle::verify_inclusion(&leaf, LeafIndex(index), TreeSize(size), &path, root)
        .map_err(|error| failed(&format!("entry {index} is not in the log of size {size} ({error})")))?;
    Ok(answer.entry)
}
