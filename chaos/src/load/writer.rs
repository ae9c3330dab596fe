//! One stream of batches, and the account of what was acknowledged.

use super::{Link, LoadError};
use parking_lot::Mutex;
use sillage_client::author::{SignedBatch, verify_receipt};
use sillage_client::error::ClientError;
use sillage_proof::hash::{Hash, leaf_hash2};
use sillage_proof::keys::StreamId;
use sillage_proto::v1::{StreamStatusRequest, SubmitRequest};
use sillage_rules::stream::StreamLabel;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A batch that the ledger acknowledged with a receipt that was checked.
#[derive(Clone, Debug)]
pub struct Acked {
    /// The author's stream.
    pub stream_id: StreamId,
    /// Number in the stream.
    pub seq: u64,
    /// Index of the first record's entry.
    pub first_index: u64,
    /// The records' hashes, in order: the one at position `p` is at `first_index + p`.
    pub records: Vec<Hash>,
    /// From the first attempt to the answer.
    pub latency: Duration,
    /// When the answer came.
    pub at: Instant,
    /// The ledger had it on record before this attempt.
    pub repeated: bool,
}

/// Acknowledged records, of any number of writers.
#[derive(Clone, Default)]
pub struct Tally(Arc<Inner>);

#[derive(Default)]
struct Inner {
    acked: Mutex<Vec<Acked>>,
    records: AtomicU64,
}

impl Tally {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records acknowledged so far.
    pub fn records(&self) -> u64 {
        self.0.records.load(Ordering::Relaxed)
    }

    /// Takes out what is there.
    pub fn take(&self) -> Vec<Acked> {
        std::mem::take(&mut self.0.acked.lock())
    }

    /// When what is there was acknowledged, in order.
    pub fn times(&self) -> Vec<Instant> {
        let mut times: Vec<Instant> = self.0.acked.lock().iter().map(|acked| acked.at).collect();
        times.sort_unstable();
        times
    }

    /// When each batch was acknowledged, how long it had taken, and how many records it has.
    pub fn answers(&self) -> Vec<(Instant, Duration, usize)> {
        self.0.acked.lock().iter().map(|acked| (acked.at, acked.latency, acked.records.len())).collect()
    }

    /// The longest time without any acknowledgement between two of them that lie around `moment`.
    pub fn gap_around(&self, moment: Instant) -> Option<Duration> {
        let acked = self.0.acked.lock();
        let before = acked.iter().map(|a| a.at).filter(|at| *at <= moment).max()?;
        let after = acked.iter().map(|a| a.at).filter(|at| *at > moment).min()?;
        Some(after - before)
    }

    fn add(&self, acked: Acked) {
        self.0.records.fetch_add(acked.records.len() as u64, Ordering::Relaxed);
        self.0.acked.lock().push(acked);
    }
}

/// Sends the batches of one stream, one after the other.
#[derive(Clone)]
pub struct Writer {
    link: Link,
    stream: StreamLabel,
    next_seq: u64,
    last_index: u64,
    tally: Tally,
}

impl Writer {
    /// Asks the ledger where the stream stands, and goes on from there.
    ///
    /// # Errors
    /// When the label isn't one, or the ledger can't be asked.
    pub async fn open(link: Link, label: &str, tally: Tally) -> Result<Self, LoadError> {
        let stream = StreamLabel::parse(label).map_err(|e| LoadError::Wrong(format!("{label}: {e}")))?;
        let request = StreamStatusRequest { stream_label: label.to_owned() };
        let status = link
            .client
            .call(|mut rpc| {
                let request = request.clone();
                async move { rpc.stream_status(request).await }
            })
            .await?;
        let state = status.streams.into_iter().find(|s| s.label == label);
        Ok(Self { link, stream, next_seq: state.map_or(0, |s| s.last_seq) + 1, last_index: 0, tally })
    }

    /// Where the first record of the batch acknowledged last is in the log; 0 before the first batch.
    pub fn last_index(&self) -> u64 {
        self.last_index
    }

    /// Signs `records` (canonical bytes) as the stream's next batch, and sends it until it is acknowledged.
    ///
    /// # Errors
    /// When the ledger refuses, its receipt is not right, or it stays out of reach for `patience`.
    pub async fn submit(&mut self, records: Vec<Vec<u8>>, patience: Duration) -> Result<(), LoadError> {
        let signed = self.link.signer.sign_batch(&self.stream, self.next_seq, records)?;
        let (began, mut last) = (Instant::now(), None);
        while began.elapsed() < patience {
            match self.attempt(&signed).await {
                Ok((first_index, repeated)) => {
                    self.acknowledged(&signed, first_index, repeated, began);
                    return Ok(());
                }
                Err(LoadError::Client(ClientError::Unavailable(why) | ClientError::Quota(why))) => last = Some(why),
                Err(error) => return Err(error),
            }
        }
        let why = format!(
            "batch {} not acknowledged for {} s: {}",
            self.next_seq,
            patience.as_secs(),
            last.unwrap_or_default()
        );
        Err(LoadError::Wrong(why))
    }

    async fn attempt(&self, signed: &SignedBatch) -> Result<(u64, bool), LoadError> {
        let answer = self
            .link
            .client
            .call_soon(|mut rpc| {
                let request = SubmitRequest { batch: Some(signed.batch.clone()) };
                async move { rpc.submit(request).await }
            })
            .await?;
        let receipt = answer.receipt.ok_or_else(|| LoadError::Wrong("an answer without a receipt".to_owned()))?;
        let receipt = verify_receipt(signed, &receipt, self.link.nodes())?;
        Ok((receipt.first_index, answer.repeated))
    }

    fn acknowledged(&mut self, signed: &SignedBatch, first_index: u64, repeated: bool, began: Instant) {
        let at = Instant::now();
        self.tally.add(Acked {
            stream_id: signed.message.stream_id,
            seq: self.next_seq,
            first_index,
            records: signed.batch.records.iter().map(|r| leaf_hash2(&r.salt, &r.record)).collect(),
            latency: at - began,
            at,
            repeated,
        });
        self.last_index = first_index;
        self.next_seq += 1;
    }
}
