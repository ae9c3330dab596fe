//! From an admitted batch to its receipt, on whatever node leads.
//!
//! A batch may be sent to leaders as often as it takes: a stream and its numbers make it count once. So whatever went
//! wrong on the way is simply tried again until the deadline, and only then told.
//!
//! Invariant: a receipt is signed only for what the ledger of this node returned from apply, after commit.

use std::sync::Arc;
use std::time::Duration;

use sillage_ledger::{BatchOutcome, Refusal};
use sillage_proof::batch::{BatchMessage, ReceiptMessage};
use sillage_proto::internal::v1::{ForwardRequest, ForwardResponse, SealedBatch};
use sillage_proto::v1::{Batch, Receipt, SubmitResponse};
use sillage_rules::codes::Code;
use sillage_rules::kind::Group;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use super::admission::{Admitted, encoded_len};
use super::lanes::{Answer, Waiting};
use super::refusals::{from_info, refuse, unavailable};
use super::{Core, now_ms};

/// From arrival to the last attempt.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// For one call to the leader: a leader that is gone must not take the whole time.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(4);
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_millis(300);

/// Times that a batch is sealed again because a data key was given up meanwhile.
const SEAL_AGAIN_MAX: usize = 8;

/// What one attempt came to.
enum Attempt {
    /// The ledger's answer.
    Done(Box<SubmitResponse>),
    /// The ledger refused it.
    Refused(Refusal),
    /// Nobody proposed it.
    NotTaken(Code),
    /// It may be committed, now or later.
    Unknown,
}

impl Core {
    /// Takes a batch from an author.
    ///
    /// # Errors
    /// Why it isn't recorded; `OUTCOME_UNKNOWN` when that couldn't be found out in time.
    pub async fn submit(&self, batch: Batch) -> Result<SubmitResponse, Refusal> {
        let started = std::time::Instant::now();
        self.check_open()?;
        let bytes = batch.records.iter().map(|record| record.salt.len() + record.record.len()).sum();
        let room = self.inflight.take(bytes);
        let _room = room.ok_or_else(|| refuse(Code::Busy))?;
        let batch = Arc::new(batch);
        let mut answer = self.commit(self.admit(Arc::clone(&batch)).await?).await;
        for _ in 0..SEAL_AGAIN_MAX {
            match answer {
                // An erasure came in between: the author needn't know.
                Err(refusal) if refusal.code == Code::DataKeyGone => {
                    self.up_to_date().await?;
                    answer = self.commit(self.admit(Arc::clone(&batch)).await?).await;
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
    pub async fn submit_forwarded(&self, batch: SealedBatch) -> Result<SubmitResponse, Refusal> {
        self.check_open()?;
        let room = self.inflight.take(encoded_len(&batch));
        let _room = room.ok_or_else(|| refuse(Code::Busy))?;
        let emergency = u32::from(Group::Emergency.code());
        let urgent = batch.records.iter().any(|record| record.kind >> 8 == emergency);
        self.verify_forwarded(&batch).await?;
        let admitted = Admitted { batch, urgent };
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        let mut attempt = self.propose_here(&admitted, deadline).await;
        if matches!(&attempt, Attempt::Refused(refusal) if may_be_outdated(refusal.code)) {
            self.up_to_date().await?;
            attempt = self.propose_here(&admitted, deadline).await;
        }
        match attempt {
            Attempt::Done(done) => Ok(*done),
            Attempt::Refused(refusal) => Err(refusal),
            Attempt::NotTaken(code) => Err(refuse(code)),
            Attempt::Unknown => Err(refuse(Code::OutcomeUnknown)),
        }
    }

    /// Verifies the author's signature again: a node may hand on batches, not make them up.
    async fn verify_forwarded(&self, batch: &SealedBatch) -> Result<(), Refusal> {
        // Its payloads are shared buffers: the copy is short.
        let batch = Arc::new(batch.clone());
        let verify = || {
            let (reader, batch, seen) = (self.reader.clone(), Arc::clone(&batch), Arc::clone(&self.seen));
            self.writing.run(move || {
                reader.verify(&batch)?;
                seen.add_sealed(&reader, &batch);
                Ok(())
            })
        };
        match verify().await {
            Err(refusal) if may_be_outdated(refusal.code) => {
                self.up_to_date().await?;
                verify().await
            }
            verdict => verdict,
        }
    }

    /// Admits against what is applied here, and once more against what the group has committed when the first verdict
    /// may only mean that this node lags: a party that was just registered through another node.
    async fn admit(&self, batch: Arc<Batch>) -> Result<Admitted, Refusal> {
        let admit = || {
            let (admission, batch) = (Arc::clone(&self.admission), Arc::clone(&batch));
            self.writing.run(move || admission.admit(&batch, now_ms()))
        };
        match admit().await {
            Err(refusal) if may_be_outdated(refusal.code) => {
                self.up_to_date().await?;
                admit().await
            }
            admitted => admitted,
        }
    }

    fn check_open(&self) -> Result<(), Refusal> {
        self.corruption.check()?;
        match self.is_stopping() {
            true => Err(unavailable("the node is stopping: send the same batch to another one")),
            false => Ok(()),
        }
    }

    /// Brings it to the leader until there is an answer or no time.
    async fn commit(&self, admitted: Admitted) -> Result<SubmitResponse, Refusal> {
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        let mut backoff = BACKOFF_MIN;
        let mut maybe_recorded = false;
        let mut up_to_date = false;
        loop {
            let attempt = match self.leader() {
                Some(leader) if leader == self.config.id => self.propose_here(&admitted, deadline).await,
                Some(leader) => self.forward(leader, &admitted.batch, deadline).await,
                None => Attempt::NotTaken(Code::NoLeader),
            };
            let code = match attempt {
                Attempt::Done(done) => return Ok(*done),
                Attempt::Refused(refusal) if !up_to_date && may_be_outdated(refusal.code) => {
                    self.up_to_date().await?;
                    up_to_date = true;
                    continue;
                }
                Attempt::Refused(refusal) => return Err(refusal),
                Attempt::NotTaken(code) => code,
                Attempt::Unknown => {
                    maybe_recorded = true;
                    Code::OutcomeUnknown
                }
            };
            if Instant::now() + backoff >= deadline {
                let code = if maybe_recorded { Code::OutcomeUnknown } else { code };
                return Err(refuse(code));
            }
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    async fn propose_here(&self, admitted: &Admitted, deadline: Instant) -> Attempt {
        let (sender, answer) = oneshot::channel();
        self.lanes.push(Waiting {
            bytes: encoded_len(&admitted.batch),
            batch: admitted.batch.clone(),
            urgent: admitted.urgent,
            answer: sender,
        });
        self.metrics.queue("packer", self.lanes.len());
        match timeout_at(deadline, answer).await {
            Ok(Ok(Answer::Applied(outcome))) => self.answer(outcome),
            Ok(Ok(Answer::NotLeader)) => Attempt::NotTaken(Code::NotLeader),
            Ok(Ok(Answer::Busy)) => Attempt::NotTaken(Code::Busy),
            Ok(Ok(Answer::Unknown) | Err(_)) | Err(_) => Attempt::Unknown,
        }
    }

    fn answer(&self, outcome: BatchOutcome) -> Attempt {
        match outcome {
            BatchOutcome::Refused(refusal) => Attempt::Refused(refusal),
            done => Attempt::Done(Box::new(self.receipt(done))),
        }
    }

    /// Signs what apply returned.
    fn receipt(&self, outcome: BatchOutcome) -> SubmitResponse {
        let BatchOutcome::Done { stream_id, seq, count, root, first_index, time_ms, repeated } = outcome else {
            unreachable!("only what is on record has a receipt");
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
        SubmitResponse { receipt: Some(receipt), repeated }
    }

    async fn forward(&self, leader: u64, batch: &SealedBatch, deadline: Instant) -> Attempt {
        let Some(link) = self.links.get(leader) else {
            return Attempt::NotTaken(Code::NoLeader);
        };
        let mut client = link.calls.clone();
        let request = ForwardRequest { batch: Some(batch.clone()) };
        let until = deadline.min(Instant::now() + FORWARD_TIMEOUT);
        match timeout_at(until, client.forward(request)).await {
            Ok(Ok(response)) => from_leader(response.into_inner()),
            Ok(Err(status)) => {
                tracing::debug!(leader, %status, "forwarding failed");
                Attempt::Unknown
            }
            Err(_) => Attempt::Unknown,
        }
    }
}

/// Verdicts about parties, keys and what is on record, which change: a node that lags may be wrong about them.
fn may_be_outdated(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownKey
            | Code::RevokedKey
            | Code::NotEntitled
            | Code::ActRefused
            | Code::NotErasable
            | Code::UnknownIndex
    )
}

fn from_leader(response: ForwardResponse) -> Attempt {
    if let Some(done) = response.done {
        return Attempt::Done(Box::new(done));
    }
    let Some(info) = response.error else {
        return Attempt::Unknown;
    };
    let refusal = from_info(info);
    match refusal.code {
        Code::NotLeader | Code::NoLeader | Code::Busy => Attempt::NotTaken(refusal.code),
        Code::OutcomeUnknown | Code::Timeout => Attempt::Unknown,
        // The leader is stopping: another one will be elected.
        Code::Unavailable => Attempt::NotTaken(Code::Unavailable),
        _ => Attempt::Refused(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::refusals::to_info;

    #[test]
    fn a_leaders_refusal_is_final_and_its_troubles_are_not() {
        let answer = |code| from_leader(ForwardResponse { done: None, error: Some(to_info(&refuse(code))) });
        assert!(matches!(answer(Code::OutOfOrder), Attempt::Refused(_)));
        assert!(matches!(answer(Code::NotLeader), Attempt::NotTaken(_)));
        assert!(matches!(answer(Code::OutcomeUnknown), Attempt::Unknown));
        let nothing = from_leader(ForwardResponse::default());
        assert!(matches!(nothing, Attempt::Unknown));
    }
}
