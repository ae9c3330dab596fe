//! One stream: batches in order, each recorded exactly once.
//!
//! At most one batch is on its way. It is made durable (where the stream has an outbox) before it is first sent, sent
//! byte-identical until the ledger answers for good, and only then is the next one signed.

use std::sync::Arc;

use sillage_proof::batch::BatchMessage;
use sillage_proof::keys::StreamId;
use sillage_proto::v1;
use sillage_rules::codes::Code;
use sillage_rules::stream::StreamLabel;

use crate::channel::Client;
use crate::error::{ClientError, ErrorCode};
use crate::outbox::{Outbox, Pending, Source};
use crate::sign::{SignedBatch, Signer, VerifiedReceipt, verify_receipt_by};
use crate::trust::in_force::InForce;

/// The treatment of a batch that the ledger refuses for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// It is kept aside in the outbox: nothing that was to be recorded is lost.
    Kept,
    /// The caller waits for the answer, and gives it again when it is right.
    Forgotten,
}

impl Refused {
    /// A number that is used twice is evidence, whoever waits.
    fn on(self, code: &ErrorCode) -> Self {
        if *code == Code::SequenceReused { Self::Kept } else { self }
    }
}

/// A stream of one author, used by one task at a time.
pub struct Stream {
    client: Client,
    signer: Arc<Signer>,
    keys: Arc<InForce>,
    label: StreamLabel,
    next_seq: u64,
    outbox: Option<Outbox>,
    in_flight: Option<(Source, SignedBatch)>,
    /// The treatment of refused batches of [`Stream::send`] and [`Stream::settle`].
    refused: Refused,
}

impl Stream {
    /// Opens a stream: takes up the batch that its outbox holds, and asks the ledger where the stream stands.
    ///
    /// # Errors
    /// [`ClientError::Check`] when the ledger has forgotten batches that it acknowledged.
    pub async fn open(
        client: Client,
        signer: Arc<Signer>,
        keys: Arc<InForce>,
        label: StreamLabel,
        outbox: Option<Outbox>,
    ) -> Result<Self, ClientError> {
        let pending = match &outbox {
            Some(outbox) => outbox.pending()?,
            None => None,
        };
        let in_flight = match pending {
            Some(pending) => Some((pending.source, signer.restore(pending.batch)?)),
            None => None,
        };
        let mut stream = Self { client, signer, keys, label, next_seq: 1, outbox, in_flight, refused: Refused::Kept };
        let last_seq = stream.last_seq().await?;
        let acknowledged = stream.outbox.as_ref().map_or(0, |outbox| outbox.done().last_seq());
        if last_seq < acknowledged {
            return Err(ClientError::Check(format!(
                "the ledger says that stream `{}` ends at batch {last_seq}, but it acknowledged batch {acknowledged}: keep the outbox, its receipts are evidence",
                stream.label.as_str()
            )));
        }
        stream.next_seq = last_seq + 1;
        Ok(stream)
    }

    /// The same for a caller that has the records of each batch in a spool of its own: what the ledger refuses isn't kept here too.
    #[must_use]
    pub fn of_spool(self) -> Self {
        Self { refused: Refused::Forgotten, ..self }
    }

    /// The outbox, where there is one.
    pub fn outbox(&self) -> Option<&Outbox> {
        self.outbox.as_ref()
    }

    /// The same, to be tidied ([`Outbox::forget_done`]).
    pub fn outbox_mut(&mut self) -> Option<&mut Outbox> {
        self.outbox.as_mut()
    }

    /// The id of the stream.
    pub fn id(&self) -> StreamId {
        self.signer.stream_id(&self.label)
    }

    /// Where the batch on its way is from: it may be on record. None where no batch is.
    pub fn in_flight(&self) -> Option<&Source> {
        self.in_flight.as_ref().map(|(source, _)| source)
    }

    /// Tells whether the ledger has batches of this stream that its outbox doesn't know: the outbox is an older copy, or another process
    /// works on the stream.
    pub fn is_behind(&self) -> bool {
        let known = self.outbox.as_ref().map_or(0, |outbox| outbox.done().last_seq());
        let on_its_way = self.in_flight.as_ref().map_or(0, |(_, batch)| batch.message.seq);
        self.next_seq > known.max(on_its_way) + 1
    }

    /// A stream that no batch was ever sent on, for a signer whose streams the caller may not ask for: `label` is new.
    pub fn fresh(client: Client, signer: Arc<Signer>, keys: Arc<InForce>, label: StreamLabel) -> Self {
        Self { client, signer, keys, label, next_seq: 1, outbox: None, in_flight: None, refused: Refused::Kept }
    }

    /// Number of the last batch of this stream on record; 0 before the first.
    async fn last_seq(&self) -> Result<u64, ClientError> {
        Ok(self.status().await?.map_or(0, |state| state.last_seq))
    }

    /// How far this stream is on record; `None` before the first batch.
    async fn status(&self) -> Result<Option<v1::StreamState>, ClientError> {
        let request = v1::StreamStatusRequest { stream_label: self.label.as_str().to_owned() };
        let answer = self
            .client
            .call_soon(|mut rpc| {
                let request = request.clone();
                async move { rpc.stream_status(request).await }
            })
            .await?;
        let id = self.signer.stream_id(&self.label);
        Ok(answer.streams.into_iter().find(|s| s.stream_id.as_slice() == id.as_ref()))
    }

    /// Tells whether this very batch is the last one on record. One node may have recorded what another one, asked beside it, refused.
    async fn is_on_record(&self, batch: &BatchMessage) -> bool {
        self.status().await.ok().flatten().is_some_and(|state| is_last(&state, batch))
    }

    /// Sends the batch that may have been sent before, if there is one.
    ///
    /// # Errors
    /// As for [`Stream::send`].
    pub async fn settle(&mut self) -> Result<Option<(Source, VerifiedReceipt)>, ClientError> {
        let Some((source, batch)) = self.in_flight.clone() else {
            return Ok(None);
        };
        let receipt = self.deliver(source.clone(), batch, self.refused).await?;
        Ok(Some((source, receipt)))
    }

    /// Signs `records` (canonical bytes) as the next batch, and returns when they are on record.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`]: the batch stays in the outbox, and goes first next time. [`ClientError::Rejected`]:
    /// nothing of it was recorded, its number is free. [`ClientError::Check`]: the receipt can't be believed.
    pub async fn send(&mut self, records: Vec<Vec<u8>>, source: Source) -> Result<VerifiedReceipt, ClientError> {
        self.send_as(records, source, self.refused).await
    }

    /// The same for somebody who waits for the answer: what the ledger refuses is told, and not kept.
    ///
    /// # Errors
    /// As for [`Stream::send`].
    pub async fn send_attended(&mut self, records: Vec<Vec<u8>>) -> Result<VerifiedReceipt, ClientError> {
        self.send_as(records, Source::Fresh, Refused::Forgotten).await
    }

    async fn send_as(
        &mut self,
        records: Vec<Vec<u8>>,
        source: Source,
        refused: Refused,
    ) -> Result<VerifiedReceipt, ClientError> {
        self.settle().await?;
        let batch = self.signer.sign_batch(&self.label, self.next_seq, records)?;
        if let Some(outbox) = &self.outbox {
            outbox.put(&Pending { source: source.clone(), batch: batch.batch.clone() })?;
        }
        self.in_flight = Some((source.clone(), batch.clone()));
        self.deliver(source, batch, refused).await
    }

    async fn deliver(
        &mut self,
        source: Source,
        batch: SignedBatch,
        refused: Refused,
    ) -> Result<VerifiedReceipt, ClientError> {
        let seq = batch.message.seq;
        let request = v1::SubmitRequest { batch: Some(batch.batch.clone()) };
        let answer = self
            .client
            .call_soon(|mut rpc| {
                let request = request.clone();
                async move { rpc.submit(request).await }
            })
            .await;
        match answer {
            Ok(response) => {
                let receipt = self.believe(&batch, &response.receipt.unwrap_or_default()).await?;
                if let Some(outbox) = &mut self.outbox {
                    outbox.acknowledge(source, &receipt)?;
                }
                self.in_flight = None;
                self.next_seq = self.next_seq.max(seq + 1);
                Ok(receipt)
            }
            // It stays in the outbox, goes first next time, and gets its receipt.
            Err(ClientError::Rejected(rejection)) if self.is_on_record(&batch.message).await => {
                let why = format!("one node refused the batch ({}), and another has it on record", rejection.code);
                Err(ClientError::Unavailable(why))
            }
            Err(ClientError::Rejected(rejection)) => {
                self.set_aside(seq, refused.on(&rejection.code)).await?;
                Err(ClientError::Rejected(rejection))
            }
            Err(error) => Err(error),
        }
    }

    /// Verifies a receipt, under a key that came meanwhile too.
    async fn believe(&self, batch: &SignedBatch, receipt: &v1::Receipt) -> Result<VerifiedReceipt, ClientError> {
        if let Ok(receipt) = verify_receipt_by(batch, receipt, &self.keys.node_keys()) {
            return Ok(receipt);
        }
        self.keys.refresh(&self.client).await?;
        verify_receipt_by(batch, receipt, &self.keys.node_keys())
    }

    /// After a final refusal: the batch isn't on record, and its number is free, or another batch has it. Where the
    /// ledger doesn't say now which, the batch stays in the outbox, and the next run learns it.
    async fn set_aside(&mut self, seq: u64, refused: Refused) -> Result<(), ClientError> {
        let Some(outbox) = &self.outbox else {
            self.in_flight = None;
            return Ok(());
        };
        let Ok(last_seq) = self.last_seq().await else {
            return Ok(());
        };
        match refused {
            Refused::Kept => {
                let kept = outbox.refuse(seq)?;
                tracing::warn!(seq, kept = %kept.display(), "the ledger refused a batch; it is kept aside");
            }
            Refused::Forgotten => outbox.forget()?,
        }
        self.in_flight = None;
        self.next_seq = last_seq + 1;
        Ok(())
    }
}

/// Tells whether a stream ends with this batch: its number alone may be another batch's.
fn is_last(state: &v1::StreamState, batch: &BatchMessage) -> bool {
    state.last_seq == batch.seq && state.last_root == batch.root.as_bytes()
}

#[cfg(test)]
mod tests {
    use sillage_proof::batch::Origin;
    use sillage_proof::hash::Hash;
    use sillage_proof::keys::{AuthorId, KeyId, StreamId};

    use super::*;

    #[test]
    fn a_refused_batch_is_on_record_only_where_the_stream_ends_with_its_number_and_its_root() {
        let batch = BatchMessage {
            key_id: KeyId::from_bytes([1; 32]),
            origin: Origin::new("test/log").expect("a name"),
            stream_id: StreamId::new(&AuthorId::from_bytes([1; 32]), "s"),
            seq: 7,
            count: 1,
            root: Hash::from_bytes([7; 32]),
        };
        let state =
            |last_seq, root: [u8; 32]| v1::StreamState { last_seq, last_root: root.to_vec(), ..Default::default() };
        assert!(is_last(&state(7, [7; 32]), &batch));
        assert!(!is_last(&state(7, [8; 32]), &batch), "another batch has its number");
        assert!(!is_last(&state(6, [7; 32]), &batch), "the same records before");
        assert!(!is_last(&state(8, [7; 32]), &batch), "and after");
        assert!(!is_last(&v1::StreamState::default(), &batch), "nothing yet");
    }

    #[test]
    fn a_number_that_is_used_twice_is_kept_as_evidence() {
        assert_eq!(Refused::Forgotten.on(&Code::NotEntitled.into()), Refused::Forgotten);
        assert_eq!(Refused::Forgotten.on(&Code::SequenceReused.into()), Refused::Kept);
        assert_eq!(Refused::Kept.on(&Code::NotEntitled.into()), Refused::Kept);
    }
}
