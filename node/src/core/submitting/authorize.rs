//! May these actors do this? From admitted requests to decisions on record, each with a receipt of the leader's node.
//!
//! Decisions are made when they are applied, in the order of the log: after a revocation was acknowledged, nothing is
//! permitted on the old consent, whichever node is asked. A round of 64 patients is one call and one part of one Raft entry.
//!
//! Invariant: an answer is given only for what the ledger of the leader returned from apply, after commit.

use std::sync::Arc;

use sillage_ledger::{CommandOutcome, Decided, MadeDecision, Party, Refusal};
use sillage_proof::keys::SigningKey;
use sillage_proto::internal::v1::{DecideRequest, SealedDecision};
use sillage_proto::v1::{AuthorizeRequest, AuthorizeResponse, Authorized, DecisionReceipt};
use sillage_rules::codes::Code;
use sillage_rules::decide::message::DecisionMessage;
use tonic::Status;

use super::lanes::Work;
use super::proposal::{Forwarded, Proposal, forwarded};
use super::requests::{AdmittedRequests, encoded_len};
use super::submit::SEAL_AGAIN_MAX;
use crate::core::Core;
use crate::peer::links::Client;
use crate::refusals::{refuse, to_info};

impl Proposal for AdmittedRequests {
    type Done = AuthorizeResponse;

    fn work(&self) -> (Work, bool) {
        // Its payloads are shared buffers: the copy is short.
        (Work::Decision(self.decision.clone()), self.urgent)
    }

    async fn done(&self, core: &Core, outcome: CommandOutcome) -> Result<AuthorizeResponse, Refusal> {
        core.answers(outcome).await
    }

    async fn forward(&self, mut client: Client) -> Result<Forwarded<AuthorizeResponse>, Status> {
        let request = DecideRequest { decision: Some(self.decision.clone()), urgent: self.urgent, events: self.events };
        forwarded(client.decide(request).await, |answer| (answer.done, answer.error))
    }
}

impl Core {
    /// Decides on what a party asks.
    ///
    /// # Errors
    /// Why nothing was decided; `OUTCOME_UNKNOWN` when that couldn't be found out in time: the same call gives the same
    /// decisions then.
    pub async fn authorize(&self, caller: &Party, asked: AuthorizeRequest) -> Result<AuthorizeResponse, Refusal> {
        let started = std::time::Instant::now();
        self.check_open()?;
        let room = self.submitting.inflight.take(asked.requests.iter().map(Vec::len).sum());
        let _room = room.ok_or_else(|| refuse(Code::Busy))?;
        let asked = Arc::new((caller.clone(), asked));
        let mut answer = self.propose(&self.admit_requests(&asked).await?).await;
        for _ in 0..SEAL_AGAIN_MAX {
            if !seal_again(&answer) {
                break;
            }
            // What was sealed can't be used any more, or an item came under the secret tag. What was decided already is
            // answered again as it was.
            self.up_to_date().await?;
            answer = self.propose(&self.admit_requests(&asked).await?).await;
        }
        self.metrics.authorize_seconds.observe(started.elapsed().as_secs_f64());
        answer
    }

    /// Decides on sealed requests of another node, which took this one for the leader.
    ///
    /// # Errors
    /// As the ledger says; `NOT_LEADER` when this node doesn't lead: nothing was proposed then.
    pub async fn authorize_forwarded(
        &self,
        decision: SealedDecision,
        urgent: bool,
        events: u32,
    ) -> Result<AuthorizeResponse, Refusal> {
        self.check_open()?;
        let room = self.submitting.inflight.take(encoded_len(&decision));
        let _room = room.ok_or_else(|| refuse(Code::Busy))?;
        let asked = Arc::new(decision);
        // A node may hand on requests, not make them up.
        let verify = || {
            let (reader, asked) = (self.reader.clone(), Arc::clone(&asked));
            self.submitting.writing.run(move || reader.verify_decision(&asked))
        };
        self.unless_outdated(verify).await?;
        let decision = Arc::unwrap_or_clone(asked);
        let events = events.max(u32::try_from(decision.requests.len()).unwrap_or(u32::MAX));
        self.count_forwarded(&decision.key_id, events)?;
        self.propose_forwarded(&AdmittedRequests { decision, urgent, events }).await
    }

    async fn admit_requests(&self, asked: &Arc<(Party, AuthorizeRequest)>) -> Result<AdmittedRequests, Refusal> {
        let admit = || {
            let (admission, asked) = (Arc::clone(&self.submitting.admission), Arc::clone(asked));
            self.submitting.writing.run(move || admission.admit_requests(&asked.0, &asked.1))
        };
        self.unless_outdated(admit).await
    }

    /// Signs what apply returned.
    async fn answers(&self, outcome: CommandOutcome) -> Result<AuthorizeResponse, Refusal> {
        let CommandOutcome::Decided(decided) = outcome else {
            tracing::error!("requests had another outcome than their own");
            return Err(refuse(Code::Internal));
        };
        let (key, origin) = (self.keys.receipts(), self.genesis.origin.clone());
        let sign = move || {
            let answer = |decided| match decided {
                Ok(decided) => authorized(decided, |decision| receipt(&key, &origin, decision)),
                Err(refusal) => Authorized { error: Some(to_info(&refusal)), ..Authorized::default() },
            };
            Ok(AuthorizeResponse { decisions: decided.into_iter().map(answer).collect() })
        };
        self.submitting.writing.run(sign).await
    }
}

/// Tells whether what was sealed, for any of the requests, has to be sealed again.
fn seal_again(answer: &Result<AuthorizeResponse, Refusal>) -> bool {
    let gone = |code: &str| code == Code::DataKeyGone.as_str();
    match answer {
        Err(refusal) => refusal.code == Code::DataKeyGone,
        Ok(answer) => answer.decisions.iter().any(|one| one.error.as_ref().is_some_and(|error| gone(&error.code))),
    }
}

/// The part that the requester learns: nothing of the secret tag, unless something under it was permitted.
fn authorized(decided: Decided, receipt: impl Fn(&MadeDecision) -> DecisionReceipt) -> Authorized {
    let mut answer = Authorized::default();
    for (decision, at) in decided.decisions.into_iter().zip(0..) {
        if at > 0 && decision.permitted.is_empty() {
            continue;
        }
        answer.receipts.push(receipt(&decision));
        answer.permitted.extend(decision.permitted);
        answer.told.extend(decision.told);
        for obligation in decision.obligations {
            if !answer.obligations.contains(&obligation) {
                answer.obligations.push(obligation);
            }
        }
    }
    answer
}

fn receipt(key: &SigningKey, origin: &sillage_proof::batch::Origin, decision: &MadeDecision) -> DecisionReceipt {
    let message = DecisionMessage {
        key_id: key.key_id(),
        origin: origin.clone(),
        index: decision.index,
        time: decision.time_ms,
        tag: decision.tag,
        record_hash: decision.record_hash,
    };
    DecisionReceipt {
        index: decision.index.get(),
        time_ms: decision.time_ms.get(),
        tag: decision.tag.to_vec(),
        salt: decision.salt.to_vec(),
        actor_part: decision.actor_part.clone(),
        private_hash: decision.private_hash.as_bytes().to_vec(),
        record_hash: decision.record_hash.as_bytes().to_vec(),
        key_id: key.key_id().as_bytes().to_vec(),
        signature: message.sign(key).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use sillage_proof::{Hash, LeafIndex, LedgerTimeMs};

    use super::*;

    fn made(index: u64, permitted: &[&str], told: &[&str]) -> MadeDecision {
        let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        MadeDecision {
            index: LeafIndex(index),
            time_ms: LedgerTimeMs(1),
            tag: [1; 32],
            salt: [2; 16],
            actor_part: Vec::new(),
            private_hash: Hash::default(),
            record_hash: Hash::default(),
            permitted: owned(permitted),
            told: owned(told),
            obligations: owned(&["JUSTIFY"]),
        }
    }

    fn answered(decisions: Vec<MadeDecision>) -> Authorized {
        authorized(Decided { decisions, repeated: false }, |decision| DecisionReceipt {
            index: decision.index.get(),
            ..DecisionReceipt::default()
        })
    }

    #[test]
    fn a_secret_part_that_permits_nothing_is_not_there() {
        let alone = answered(vec![made(5, &["doc1"], &["doc1"])]);
        let refused = answered(vec![made(5, &["doc1"], &["doc1"]), made(6, &[], &["kept"])]);
        assert_eq!(refused, alone);
        let both = answered(vec![made(5, &[], &[]), made(6, &["kept"], &["kept"])]);
        assert_eq!(both.receipts.iter().map(|receipt| receipt.index).collect::<Vec<_>>(), [5, 6]);
        assert_eq!((both.permitted, both.told), (vec!["kept".to_owned()], vec!["kept".to_owned()]));
        assert_eq!(both.obligations, ["JUSTIFY"], "said once");
    }
}
