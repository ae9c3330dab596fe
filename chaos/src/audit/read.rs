//! Reading the log as an auditor does.

use super::{Book, Finding};
use crate::load::{Link, LoadError};
use futures::stream::{self, StreamExt};
use sillage_client::channel::Client;
use sillage_proof::checkpoint::Checkpoint;
use sillage_proof::note::{SignedNote, VerifierKey};
use sillage_proto::v1::{GetCheckpointRequest, GetEntryRequest};

/// Calls on their way at a time.
const IN_FLIGHT: usize = 64;

/// The failure of an audit: a finding, or no answer.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Something that must not be.
    #[error(transparent)]
    Finding(#[from] Finding),
    /// The ledger could not be read.
    #[error("the log cannot be read: {0}")]
    Load(#[from] LoadError),
}

/// Fetches the entries from the book's end to `size` (excluded) and adds them. The calls go to `nodes` in turn.
///
/// # Errors
/// When an entry can't be fetched, or does not fit.
pub async fn read_to(
    book: &mut Book,
    nodes: &[Client],
    size: u64,
    mut progress: impl FnMut(u64),
) -> Result<(), AuditError> {
    let count = nodes.len() as u64;
    let calls = (book.size()..size).map(|index| {
        let node = &nodes[usize::try_from(index % count).expect("a few nodes")];
        async move {
            let entry = node.call(|mut rpc| async move { rpc.get_entry(GetEntryRequest { index }).await }).await;
            entry.map(|answer| answer.entry)
        }
    });
    let mut entries = stream::iter(calls).buffered(IN_FLIGHT);
    while let Some(entry) = entries.next().await {
        book.add(&entry.map_err(LoadError::from)?)?;
        progress(book.size());
    }
    Ok(())
}

/// The newest checkpoint, its signature verified with the log's key.
///
/// # Errors
/// When there is none, or it isn't signed by the log.
pub async fn checkpoint(link: &Link) -> Result<Checkpoint, AuditError> {
    let answer =
        link.client.call(|mut rpc| async move { rpc.get_checkpoint(GetCheckpointRequest::default()).await }).await;
    let note = answer.map_err(LoadError::from)?.note;
    let bad = |what: String| Finding(format!("the checkpoint {what}:\n{note}"));
    let key: VerifierKey = link.profile.log_vkey.parse().map_err(|e| bad(format!("'s key can't be read ({e})")))?;
    let signed = SignedNote::parse(note.as_bytes()).map_err(|e| bad(format!("is not a signed note ({e})")))?;
    signed.verify([&key]).map_err(|e| bad(format!("is not signed by the log ({e})")))?;
    Ok(Checkpoint::parse(signed.text()).map_err(|e| bad(format!("can't be read ({e})")))?)
}
