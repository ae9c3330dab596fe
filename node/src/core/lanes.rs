//! The bounded queue in front of the leader's packer: break-glass goes first.
//!
//! What waits is bounded by bytes where it enters the node ([`super::Inflight`]), not here.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};
use sillage_ledger::BatchOutcome;
use sillage_proto::internal::v1::SealedBatch;
use tokio::sync::oneshot;

/// What became of a batch that was handed to the packer.
#[derive(Debug)]
pub enum Answer {
    /// It was applied after commit, or refused; this is what the ledger said.
    Applied(BatchOutcome),
    /// It was not proposed: this node doesn't lead. Ask the leader.
    NotLeader,
    /// It was not proposed: too much is under way.
    Busy,
    /// It was proposed, then the leadership was lost: it may or may not be committed. The same batch may be sent again.
    Unknown,
}

/// A batch that waits to be packed.
#[derive(Debug)]
pub struct Waiting {
    /// As it will stand in the Raft log.
    pub batch: SealedBatch,
    /// Its encoded length in bytes.
    pub bytes: usize,
    /// Whether it holds a break-glass record.
    pub urgent: bool,
    /// Who waits for the outcome.
    pub answer: oneshot::Sender<Answer>,
}

impl Waiting {
    fn same_stream(&self, other: &SealedBatch) -> bool {
        self.batch.key_id == other.key_id && self.batch.stream_label == other.stream_label
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Lanes {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    urgent: VecDeque<Waiting>,
    normal: VecDeque<Waiting>,
    closed: bool,
}

impl Lanes {
    /// Adds a batch; after [`Lanes::close`] it is answered at once.
    pub fn push(&self, waiting: Waiting) {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            // The asker may be gone, which is its right.
            let _ = waiting.answer.send(Answer::NotLeader);
            return;
        }
        if waiting.urgent {
            state.hurry_stream_of(&waiting.batch);
            state.urgent.push_back(waiting);
        } else {
            state.normal.push_back(waiting);
        }
        drop(state);
        self.arrived.notify_one();
    }

    /// Waits for a batch, then takes all that waits, break-glass first, up to `bytes_max` but at least one. `None`
    /// after [`Lanes::close`].
    pub fn take(&self, bytes_max: usize) -> Option<Vec<Waiting>> {
        let mut state = self.state.lock();
        while state.urgent.is_empty() && state.normal.is_empty() && !state.closed {
            self.arrived.wait(&mut state);
        }
        if state.closed {
            return None;
        }
        let mut taken = Vec::new();
        let mut bytes = 0_usize;
        while let Some(next) = state.urgent.front().or(state.normal.front()) {
            bytes = bytes.saturating_add(next.bytes);
            if bytes > bytes_max && !taken.is_empty() {
                break;
            }
            taken.extend(state.pop());
        }
        Some(taken)
    }

    /// Answers all that waits and all that still comes with [`Answer::NotLeader`]; the packer stops.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let waiting: Vec<Waiting> = std::iter::from_fn(|| state.pop()).collect();
        drop(state);
        self.arrived.notify_all();
        for waiting in waiting {
            let _ = waiting.answer.send(Answer::NotLeader);
        }
    }

    /// How many batches wait.
    pub fn len(&self) -> usize {
        let state = self.state.lock();
        state.urgent.len() + state.normal.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl State {
    fn pop(&mut self) -> Option<Waiting> {
        self.urgent.pop_front().or_else(|| self.normal.pop_front())
    }

    /// A break-glass batch must not overtake its own stream, or it would be out of order: what waits of the stream
    /// goes along.
    fn hurry_stream_of(&mut self, batch: &SealedBatch) {
        if !self.normal.iter().any(|waiting| waiting.same_stream(batch)) {
            return;
        }
        let (along, rest): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.normal).into_iter().partition(|waiting| waiting.same_stream(batch));
        self.normal = rest;
        self.urgent.extend(along);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(label: &str, seq: u64, bytes: usize, urgent: bool) -> Waiting {
        Waiting {
            batch: SealedBatch { stream_label: label.to_owned(), seq, ..SealedBatch::default() },
            bytes,
            urgent,
            answer: oneshot::channel().0,
        }
    }

    fn taken(lanes: &Lanes, bytes_max: usize) -> Vec<(String, u64)> {
        let taken = lanes.take(bytes_max).expect("not closed");
        let name = |waiting: Waiting| (waiting.batch.stream_label, waiting.batch.seq);
        taken.into_iter().map(name).collect()
    }

    #[test]
    fn break_glass_goes_first_and_takes_its_own_stream_along() {
        let lanes = Lanes::default();
        lanes.push(waiting("a", 1, 10, false));
        lanes.push(waiting("b", 1, 10, false));
        lanes.push(waiting("c", 1, 10, false));
        lanes.push(waiting("b", 2, 10, true));
        let order = taken(&lanes, 1_000);
        let expected = [("b", 1), ("b", 2), ("a", 1), ("c", 1)];
        assert_eq!(order, expected.map(|(label, seq)| (label.to_owned(), seq)));
    }

    #[test]
    fn what_fits_is_taken_and_at_least_one() {
        let lanes = Lanes::default();
        lanes.push(waiting("big", 1, 5_000, false));
        lanes.push(waiting("a", 1, 600, false));
        lanes.push(waiting("a", 2, 400, false));
        lanes.push(waiting("a", 3, 1, false));
        assert_eq!(taken(&lanes, 1_000).len(), 1);
        assert_eq!(taken(&lanes, 1_000).len(), 2);
        assert_eq!(taken(&lanes, 1_000).len(), 1);
        assert!(lanes.is_empty());
    }

    #[test]
    fn closing_answers_what_waits_and_what_comes() {
        let lanes = Lanes::default();
        let (sender, mut before) = oneshot::channel();
        lanes.push(Waiting { answer: sender, ..waiting("a", 1, 1, false) });
        lanes.close();
        assert!(matches!(before.try_recv(), Ok(Answer::NotLeader)));
        let (sender, mut after) = oneshot::channel();
        lanes.push(Waiting { answer: sender, ..waiting("a", 2, 1, true) });
        assert!(matches!(after.try_recv(), Ok(Answer::NotLeader)));
        assert!(lanes.take(1).is_none());
    }
}
