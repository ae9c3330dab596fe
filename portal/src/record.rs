//! How a process of the portal puts something on record: streams of its party, each with the SDK's outbox.
//!
//! Whoever waits at a browser is told what became of their record. Where no node answered, the batch stays in the outbox and goes first
//! on that stream; what the ledger then refuses, for the session is over, is forgotten: it says nothing to whoever comes next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sillage_client::ClientError;
use sillage_client::author::{Stream, VerifiedReceipt, open_stream};
use sillage_client::session::Session;
use sillage_rules::stream::StreamLabel;
use tokio::sync::{Mutex, MutexGuard};

/// Streams of one party.
pub struct Recorders {
    streams: Vec<Mutex<Stream>>,
    turn: AtomicUsize,
}

impl Recorders {
    /// Opens the streams `<label>.0`, `<label>.1`, and so on, where `<label>` is the profile's.
    ///
    /// # Errors
    /// When the profile has no author key, another process has the outbox, or the ledger can't be reached.
    pub async fn open(ledger: &Session, count: usize) -> Result<Self, ClientError> {
        let signer = Arc::new(ledger.signer(ledger.profile.author_signing_key()?).await?);
        let mut streams = Vec::with_capacity(count);
        for at in 0..count {
            let name = format!("{}.{at}", ledger.profile.stream);
            let label = StreamLabel::parse(&name).map_err(|error| ClientError::Usage(error.to_string()))?;
            // Nothing that the ledger refuses is kept: it is a patient's, in clear.
            let mut stream = open_stream(ledger, Arc::clone(&signer), label, true).await?.of_spool();
            settle(&mut stream).await?;
            streams.push(Mutex::new(stream));
        }
        Ok(Self { streams, turn: AtomicUsize::new(0) })
    }

    /// Puts records on record as one batch, and says where.
    ///
    /// # Errors
    /// [`ClientError::Rejected`]: nothing was recorded. [`ClientError::Unavailable`]: it may or may not be; it is sent again, once.
    pub async fn send(&self, records: Vec<Vec<u8>>) -> Result<VerifiedReceipt, ClientError> {
        let mut stream = self.free().await;
        settle(&mut stream).await?;
        stream.send_attended(records).await
    }

    async fn free(&self) -> MutexGuard<'_, Stream> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.streams.len();
        for at in (turn..self.streams.len()).chain(0..turn) {
            if let Ok(stream) = self.streams[at].try_lock() {
                return stream;
            }
        }
        self.streams[turn].lock().await
    }
}

/// Sends what may have been sent before.
async fn settle(stream: &mut Stream) -> Result<(), ClientError> {
    match stream.settle().await {
        Ok(_) => Ok(()),
        Err(ClientError::Rejected(rejection)) => {
            tracing::info!(code = %rejection.code, "a batch that had been on its way was refused");
            Ok(())
        }
        Err(error) => Err(error),
    }
}
