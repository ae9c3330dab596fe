//! The profile's stream, opened for a command.

use std::path::PathBuf;

use sillage_client::author::Recorder;
use sillage_client::error::ClientError;
use sillage_client::outbox::Source;
use sillage_client::session::Session;

use crate::output;

/// Opens the profile's stream, and says so where a batch of an earlier run was sent first.
pub(crate) async fn open_recorder(session: &Session, receipts: Option<PathBuf>) -> Result<Recorder, ClientError> {
    let recorder = Recorder::open(session, receipts).await?;
    if let Some((Source::Fresh, receipt)) = &recorder.settled {
        let (first, count) = (receipt.first_index, receipt.count);
        output::note(&format!("a batch of an earlier run was sent: {count} records from index {first} on"));
    }
    Ok(recorder)
}
