//! From an admitted batch to its receipt.
//!
//! Invariant: a receipt is signed only for what the ledger of this node returned from apply, after commit.

use std::sync::Arc;

use sillage_ledger::{CommandOutcome, Refusal};
use sillage_proof::batch::{BatchMessage, ReceiptMessage};
use sillage_proof::keys::{AuthorId, KeyId};
use sillage_proto::internal::v1::{ForwardRequest, SealedBatch};
use sillage_proto::v1::{Batch, Receipt, SubmitResponse};
use sillage_rules::act::Act;
use sillage_rules::codes::Code;
use sillage_rules::kind::{Group, Kind};
use sillage_rules::limits::SALT_BYTES;
use sillage_rules::record::ParsedRecord;
use tonic::Status;

use super::admission::{Admitted, encoded_len};
use super::lanes::Work;
use super::proposal::{Forwarded, Proposal, forwarded};
use crate::core::Core;
use crate::peer::links::Client;
use crate::refusals::{refuse, unavailable};

/// Times that what was admitted is sealed again because a data key was given up meanwhile.
pub(super) const SEAL_AGAIN_MAX: usize = 8;

impl Proposal for Admitted {
    type Done = SubmitResponse;

    fn work(&self) -> (Work, bool) {
        // Its payloads are shared buffers: the copy is short.
        (Work::Batch(self.batch.clone()), self.urgent)
    }

    async fn done(&self, core: &Core, outcome: CommandOutcome) -> Result<SubmitResponse, Refusal> {
        core.receipt(outcome)
    }

    fn check_leader(&self, core: &Core) -> Result<(), Refusal> {
        let changes =
            self.batch.records.iter().filter(|record| record.kind == u32::from(Kind::NODE_SET_CHANGED.code()));
        for record in changes {
            // An act stands in clear behind its salt; one that can't be read is the ledger's to refuse.
            let act = record.payload.get(SALT_BYTES..).and_then(|record| ParsedRecord::parse(record).ok());
            if let Some(Act::NodeSetChanged(change)) = act.as_ref().and_then(ParsedRecord::act) {
                core.check_removed(&change.removed)?;
            }
        }
        Ok(())
    }

    async fn forward(&self, mut client: Client) -> Result<Forwarded<SubmitResponse>, Status> {
        let request = ForwardRequest { batch: Some(self.batch.clone()), events: self.events };
        forwarded(client.forward(request).await, |answer| (answer.done, answer.error))
    }
}

impl Core {
    /// Takes a batch from an author.
    ///
    /// # Errors
    /// Why it isn't recorded; `OUTCOME_UNKNOWN` when that couldn't be found out in time.
    pub async fn submit(&self, batch: Batch) -> Result<SubmitResponse, Refusal> {
        self.submit_from(None, batch).await
    }

    /// The same, from a party that called with its certificate: a batch of another party is refused.
    ///
    /// # Errors
    /// As [`Core::submit`].
    pub async fn submit_from(&self, from: Option<AuthorId>, batch: Batch) -> Result<SubmitResponse, Refusal> {
        let started = std::time::Instant::now();
        self.check_open()?;
        let bytes = batch.records.iter().map(|record| record.salt.len() + record.record.len()).sum();
        let room = self.submitting.inflight.take(bytes);
        let _room = room.ok_or_else(|| refuse(Code::Busy))?;
        let batch = Arc::new(batch);
        let mut answer = self.propose(&self.admit(from, Arc::clone(&batch)).await?).await;
        for _ in 0..SEAL_AGAIN_MAX {
            match answer {
                // An erasure came in between: the author needn't know.
                Err(refusal) if refusal.code == Code::DataKeyGone => {
                    self.up_to_date().await?;
                    answer = self.propose(&self.admit(from, Arc::clone(&batch)).await?).await;
                }
                _ => break,
            }
        }
        self.metrics.submit_seconds.observe(started.elapsed().as_secs_f64());
        answer
    }

    /// Takes a sealed batch from another node, which took this one for the leader.
    ///
    /// # Errors
    /// As the ledger says; `NOT_LEADER` when this node doesn't lead: nothing was proposed then.
    pub async fn submit_forwarded(&self, batch: SealedBatch, events: u32) -> Result<SubmitResponse, Refusal> {
        self.check_open()?;
        let room = self.submitting.inflight.take(encoded_len(&batch));
        let _room = room.ok_or_else(|| refuse(Code::Busy))?;
        let emergency = u32::from(Group::Emergency.code());
        let urgent = batch.records.iter().any(|record| record.kind >> 8 == emergency);
        self.verify_forwarded(&batch).await?;
        let events = events.max(u32::try_from(batch.records.len()).unwrap_or(u32::MAX));
        self.count_forwarded(&batch.key_id, events)?;
        self.propose_forwarded(&Admitted { batch, urgent, events }).await
    }

    /// Counts what another node handed on, whose own count nobody else sees: all that a party sends meets here, at the leader.
    pub(super) fn count_forwarded(&self, key_id: &[u8], events: u32) -> Result<(), Refusal> {
        if !self.leads() {
            return Err(refuse(Code::NotLeader));
        }
        let key_id = KeyId::from_slice(key_id).map_err(|_| refuse(Code::UnknownKey))?;
        let (_, party) = self.submitting.admission.signer(&key_id)?;
        self.submitting.admission.take_quota(&party, events as usize)
    }

    /// Verifies the author's signature again: a node may hand on batches, not make them up.
    async fn verify_forwarded(&self, batch: &SealedBatch) -> Result<(), Refusal> {
        let batch = Arc::new(batch.clone());
        let verify = || {
            let (reader, batch) = (self.reader.clone(), Arc::clone(&batch));
            self.submitting.writing.run(move || reader.verify(&batch))
        };
        self.unless_outdated(verify).await
    }

    async fn admit(&self, from: Option<AuthorId>, batch: Arc<Batch>) -> Result<Admitted, Refusal> {
        let admit = || {
            let (admission, batch) = (Arc::clone(&self.submitting.admission), Arc::clone(&batch));
            let (now_ms, latest_ms) = (self.now_ms(), self.clocks.latest_ms());
            self.submitting.writing.run(move || admission.admit(&batch, (now_ms, latest_ms), from))
        };
        match self.unless_outdated(admit).await {
            // Without the others' clocks, this node's own may be the one that is wrong.
            Err(refusal) if is_of_clock(refusal.code) && !self.clocks.knows_group() => Err(self.clocks.cannot_tell()),
            done => done,
        }
    }

    pub(in crate::core) fn check_open(&self) -> Result<(), Refusal> {
        self.check_sound()?;
        self.keyrings.check()?;
        match self.is_stopping() {
            _ if self.is_halted() => Err(refuse(Code::Storage)),
            true => Err(unavailable("the node is stopping: send the same to another one")),
            false => Ok(()),
        }
    }

    /// Signs what apply returned, or what it returned when the batch was recorded.
    pub(super) fn receipt(&self, outcome: CommandOutcome) -> Result<SubmitResponse, Refusal> {
        let CommandOutcome::Done { stream_id, seq, count, root, first_index, time_ms, repeated } = outcome else {
            tracing::error!("a batch had another outcome than its own");
            return Err(refuse(Code::Internal));
        };
        let node_key = self.keys.receipts();
        let message = ReceiptMessage {
            batch: BatchMessage {
                key_id: node_key.key_id(),
                origin: self.genesis.origin.clone(),
                stream_id,
                seq,
                count,
                root,
            },
            first_index,
            time_ms,
        };
        let receipt = Receipt { signature: message.sign(&node_key).to_vec(), message: message.encode() };
        Ok(SubmitResponse { receipt: Some(receipt), repeated })
    }
}

/// Tells whether another clock may say something else.
fn is_of_clock(code: Code) -> bool {
    matches!(code, Code::TimeAhead | Code::LoginNotYet)
}
