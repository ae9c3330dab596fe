//! From something admitted to its outcome, on whatever node leads.
//!
//! Everything that is proposed may be proposed as often as it takes: a batch counts once by its number in its stream, a
//! request is decided once, and a record of a reading that stands there twice harms nobody. So whatever went wrong on the
//! way is simply tried again until the deadline, and only then told.

use std::time::Duration;

use sillage_ledger::{CommandOutcome, Refusal};
use sillage_proof::LeafIndex;
use sillage_proto::v1::ErrorInfo;
use sillage_rules::codes::Code;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Response, Status};

use super::lanes::{PackerAnswer, Waiting, Work};
use crate::core::Core;
use crate::peer::links::Client;
use crate::refusals::{depends_on_state, from_info, refuse, sealed_depends_on_state};

/// From arrival to the last attempt.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// For one call to the leader: a leader that is gone must not take the whole time.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(4);
/// For a leader whose disk is nearly full to let another one lead.
const HAND_OVER_WAIT: Duration = Duration::from_secs(2);
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_millis(300);
/// How often it is looked who leads, while something waits for that.
const LEADER_LOOK: Duration = Duration::from_millis(10);

/// The outcome of one attempt.
#[derive(Debug)]
pub(super) enum Attempt<T> {
    /// The ledger's answer.
    Done(T),
    /// The ledger refused it.
    Refused(Refusal),
    /// The leader would not propose it, by what is applied there: that may be less than what is committed.
    Doubted(Refusal),
    /// Nobody proposed it.
    NotTaken(Code),
    /// It may be committed, now or later.
    Unknown,
}

/// Something that a leader puts into the log.
pub(in crate::core) trait Proposal: Sync {
    /// Its outcome.
    type Done: Send;

    /// As the packer takes it, and whether it is about an emergency.
    fn work(&self) -> (Work, bool);

    /// The answer of the leader's ledger, here.
    fn done(&self, core: &Core, outcome: CommandOutcome) -> impl Future<Output = Result<Self::Done, Refusal>> + Send;

    /// Tells whether this node, which leads, may propose it.
    ///
    /// # Errors
    /// Why not: nothing was proposed then.
    fn check_leader(&self, _core: &Core) -> Result<(), Refusal> {
        Ok(())
    }

    /// Under what a line of the last minute stands for this one too (`super::lines`).
    fn once(&self) -> Option<[u8; 32]> {
        None
    }

    /// Its outcome where a line stands for it already.
    fn stood_for(&self, _line: LeafIndex) -> Option<Self::Done> {
        None
    }

    /// The line that it has become, where it may stand for others.
    fn line(&self, _done: &Self::Done) -> Option<LeafIndex> {
        None
    }

    /// Hands it to the leader; `None` when the call failed.
    fn forward(&self, client: Client) -> impl Future<Output = Result<Forwarded<Self::Done>, Status>> + Send;
}

/// The answer of a leader to what was handed to it.
#[derive(Debug)]
pub(in crate::core) struct Forwarded<T> {
    pub(in crate::core) done: Option<T>,
    pub(in crate::core) error: Option<ErrorInfo>,
}

/// The answer of a leader, taken apart.
pub(in crate::core) fn forwarded<R, T>(
    answer: Result<Response<R>, Status>,
    parts: impl FnOnce(R) -> (Option<T>, Option<ErrorInfo>),
) -> Result<Forwarded<T>, Status> {
    let (done, error) = parts(answer?.into_inner());
    Ok(Forwarded { done, error })
}

impl Core {
    /// Brings it to the leader until there is an answer or no time.
    ///
    /// # Errors
    /// Why it isn't recorded; `OUTCOME_UNKNOWN` when that couldn't be found out in time.
    pub(in crate::core) async fn propose<P: Proposal>(&self, proposal: &P) -> Result<P::Done, Refusal> {
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        let mut backoff = BACKOFF_MIN;
        let mut maybe_recorded = false;
        let mut up_to_date = false;
        let mut read_only_until = None;
        loop {
            let attempt = match self.leader() {
                Some(leader) if leader == self.config.id => self.propose_here(proposal, deadline).await,
                Some(leader) => self.forward(leader, proposal, deadline).await,
                None => Attempt::NotTaken(Code::NoLeader),
            };
            let code = match attempt {
                Attempt::Done(done) => return Ok(done),
                Attempt::Doubted(refusal) if !up_to_date && sealed_depends_on_state(refusal.code) => {
                    self.up_to_date().await?;
                    up_to_date = true;
                    continue;
                }
                Attempt::Refused(refusal) | Attempt::Doubted(refusal) => return Err(refusal),
                Attempt::NotTaken(code) => code,
                Attempt::Unknown => {
                    maybe_recorded = true;
                    Code::OutcomeUnknown
                }
            };
            if code == Code::ReadOnly
                && Instant::now() >= *read_only_until.get_or_insert(Instant::now() + HAND_OVER_WAIT)
            {
                return Err(refuse(Code::ReadOnly));
            }
            if Instant::now() + backoff >= deadline {
                let code = if maybe_recorded { Code::OutcomeUnknown } else { code };
                return Err(refuse(code));
            }
            match code {
                // An election is short beside the longest pause: the call goes on as soon as there is a leader.
                Code::NoLeader => {
                    let _ = timeout_at(Instant::now() + backoff, self.leader_other_than(None)).await;
                }
                _ => sleep(backoff).await,
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Waits until this node knows a leader, and another one than `before`.
    async fn leader_other_than(&self, before: Option<u64>) {
        while self.leader().is_none_or(|leader| before == Some(leader)) {
            sleep(LEADER_LOOK).await;
        }
    }

    /// Proposes what another node handed to this one, which it took for the leader.
    ///
    /// # Errors
    /// As the ledger says; `NOT_LEADER` when this node doesn't lead: nothing was proposed then.
    pub(in crate::core) async fn propose_forwarded<P: Proposal>(&self, proposal: &P) -> Result<P::Done, Refusal> {
        if !self.leads() {
            return Err(refuse(Code::NotLeader));
        }
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        let mut attempt = self.propose_here(proposal, deadline).await;
        if matches!(&attempt, Attempt::Doubted(refusal) if sealed_depends_on_state(refusal.code)) {
            self.up_to_date().await?;
            attempt = self.propose_here(proposal, deadline).await;
        }
        match attempt {
            Attempt::Done(done) => Ok(done),
            Attempt::Refused(refusal) | Attempt::Doubted(refusal) => Err(refusal),
            Attempt::NotTaken(code) => Err(refuse(code)),
            Attempt::Unknown => Err(refuse(Code::OutcomeUnknown)),
        }
    }

    /// Does something against what is applied here, and once more against what the group has committed when the first
    /// verdict may only mean that this node lags: a party that was just registered through another node.
    ///
    /// # Errors
    /// The errors of the work.
    pub(super) async fn unless_outdated<T, F>(&self, work: impl Fn() -> F) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, Refusal>>,
    {
        match work().await {
            Err(refusal) if depends_on_state(refusal.code) => {
                self.up_to_date().await?;
                work().await
            }
            done => done,
        }
    }

    async fn propose_here<P: Proposal>(&self, proposal: &P, deadline: Instant) -> Attempt<P::Done> {
        let Some(once) = proposal.once() else {
            return self.push(proposal, deadline).await;
        };
        let place = self.submitting.lines.place(once);
        // Whoever comes while the line is being made waits for it.
        let Ok(mut place) = timeout_at(deadline, place.lock()).await else {
            return Attempt::NotTaken(Code::Busy);
        };
        let now_ms = self.now_ms();
        if let Some(done) = place.covers(now_ms).and_then(|line| proposal.stood_for(line)) {
            return Attempt::Done(done);
        }
        let attempt = self.push(proposal, deadline).await;
        if let Attempt::Done(done) = &attempt {
            place.keep(proposal.line(done), now_ms);
        }
        attempt
    }

    async fn push<P: Proposal>(&self, proposal: &P, deadline: Instant) -> Attempt<P::Done> {
        if self.takes_nothing() {
            return Attempt::NotTaken(Code::ReadOnly);
        }
        if !self.checkpointing.asked().is_over() {
            return Attempt::NotTaken(Code::Busy);
        }
        if let Err(refusal) = proposal.check_leader(self) {
            return Attempt::Refused(refusal);
        }
        let (sender, answer) = oneshot::channel();
        let (work, urgent) = proposal.work();
        self.submitting.lanes.push(Waiting { work, urgent, answer: sender });
        self.metrics.queue("packer", self.submitting.lanes.len());
        match timeout_at(deadline, answer).await {
            Ok(Ok(PackerAnswer::Applied(CommandOutcome::Refused(refusal)))) => Attempt::Refused(refusal),
            Ok(Ok(PackerAnswer::Applied(outcome))) => match proposal.done(self, outcome).await {
                Ok(done) => Attempt::Done(done),
                Err(refusal) => Attempt::Refused(refusal),
            },
            Ok(Ok(PackerAnswer::Refused(refusal))) => Attempt::Doubted(refusal),
            Ok(Ok(PackerAnswer::NotLeader)) => Attempt::NotTaken(Code::NotLeader),
            Ok(Ok(PackerAnswer::Busy)) => Attempt::NotTaken(Code::Busy),
            Ok(Ok(PackerAnswer::Unknown) | Err(_)) | Err(_) => Attempt::Unknown,
        }
    }

    async fn forward<P: Proposal>(&self, leader: u64, proposal: &P, deadline: Instant) -> Attempt<P::Done> {
        let Some(link) = self.links.get(leader) else {
            return Attempt::NotTaken(Code::NoLeader);
        };
        let until = deadline.min(Instant::now() + FORWARD_TIMEOUT);
        // A leader that stands still says nothing for as long as it likes. Once another one leads, that one is asked.
        let answer = tokio::select! {
            answer = timeout_at(until, proposal.forward(link.calls.clone())) => answer,
            () = self.leader_other_than(Some(leader)) => return Attempt::Unknown,
        };
        match answer {
            Ok(Ok(answer)) => from_leader(answer),
            Ok(Err(status)) => {
                tracing::debug!(leader, %status, "forwarding failed");
                Attempt::Unknown
            }
            Err(_) => Attempt::Unknown,
        }
    }
}

fn from_leader<T>(answer: Forwarded<T>) -> Attempt<T> {
    if let Some(done) = answer.done {
        return Attempt::Done(done);
    }
    let Some(info) = answer.error else {
        return Attempt::Unknown;
    };
    let refusal = from_info(info);
    match refusal.code {
        Code::NotLeader | Code::NoLeader | Code::Busy | Code::ReadOnly => Attempt::NotTaken(refusal.code),
        Code::OutcomeUnknown | Code::Timeout => Attempt::Unknown,
        // The leader is stopping: another one will be elected.
        Code::Unavailable => Attempt::NotTaken(Code::Unavailable),
        _ => Attempt::Refused(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusals::to_info;

    #[test]
    fn a_leaders_refusal_is_final_and_its_troubles_are_not() {
        let answer = |code| from_leader::<()>(Forwarded { done: None, error: Some(to_info(&refuse(code))) });
        assert!(matches!(answer(Code::OutOfOrder), Attempt::Refused(_)));
        assert!(matches!(answer(Code::NotLeader), Attempt::NotTaken(_)));
        assert!(matches!(answer(Code::OutcomeUnknown), Attempt::Unknown));
        let nothing = from_leader::<()>(Forwarded { done: None, error: None });
        assert!(matches!(nothing, Attempt::Unknown));
    }
}
