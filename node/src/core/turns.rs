//! How many calls of one party are worked on at once. More calls wait for their turn behind that party's own calls, and
//! behind nobody else's: a party that asks for much at once holds up only itself.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sillage_ledger::Refusal;
use sillage_proof::keys::AuthorId;
use sillage_rules::codes::Code;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The purpose of a call. Each sort has turns of its own, so that a party's readings don't keep it from recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sort {
    /// `Submit`, `Authorize`.
    Write,
    /// `GetLog`, `ClusterStatus`: how the log and its nodes are.
    Status,
    /// All else.
    Read,
}

impl Sort {
    /// Of a call, by the path of its request.
    pub fn of(path: &str) -> Self {
        match path.rsplit('/').next() {
            Some("Submit" | "Authorize") => Self::Write,
            Some("GetLog" | "ClusterStatus") => Self::Status,
            _ => Self::Read,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Turns {
    reads_max: usize,
    writes_max: usize,
    waiting_max: usize,
    callers: Mutex<HashMap<(AuthorId, Sort), Calls>>,
}

#[derive(Debug)]
struct Calls {
    present: usize,
    running: Arc<Semaphore>,
}

/// Calls of one party that ask how the log is, at once.
const STATUS_MAX: usize = 4;

/// A call's turn; given back when dropped.
#[derive(Debug)]
pub struct Turn {
    turns: Arc<Turns>,
    key: (AuthorId, Sort),
    running: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// Of each party at most `reads_max` readings and `writes_max` writings at once, and `waiting_max` more that wait.
    pub fn new(reads_max: usize, writes_max: usize, waiting_max: usize) -> Arc<Self> {
        Arc::new(Self { reads_max, writes_max, waiting_max, callers: Mutex::default() })
    }

    /// Waits for the caller's turn.
    ///
    /// # Errors
    /// `BUSY` when too many of its calls wait already.
    pub async fn take(self: &Arc<Self>, caller: AuthorId, sort: Sort) -> Result<Turn, Refusal> {
        let key = (caller, sort);
        let running_max = match sort {
            Sort::Read => self.reads_max,
            Sort::Write => self.writes_max,
            Sort::Status => STATUS_MAX,
        };
        let running = {
            let mut callers = self.callers.lock();
            let running = || Calls { present: 0, running: Arc::new(Semaphore::new(running_max)) };
            let own = callers.entry(key).or_insert_with(running);
            if own.present >= running_max + self.waiting_max {
                let message = "this caller has as many calls under way as it may: wait for some to end";
                return Err(Refusal::new(Code::Busy, message));
            }
            own.present += 1;
            Arc::clone(&own.running)
        };
        // From here on it is counted down on drop, also of a caller that goes away while it waits.
        let mut turn = Turn { turns: Arc::clone(self), key, running: None };
        turn.running = running.acquire_owned().await.ok();
        Ok(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.running = None;
        let mut callers = self.turns.callers.lock();
        if let Some(own) = callers.get_mut(&self.key) {
            own.present -= 1;
            if own.present == 0 {
                callers.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_caller_waits_for_its_own_calls_and_for_nobody_elses() {
        let turns = Turns::new(2, 1, 1);
        let [a, b] = [[1; 32], [2; 32]].map(AuthorId::from);
        let first = turns.take(a, Sort::Read).await.expect("a turn");
        let _second = turns.take(a, Sort::Read).await.expect("a turn");
        let third = turns.take(a, Sort::Read);
        let mut third = std::pin::pin!(third);
        assert!(third.as_mut().now_or_never().is_none(), "it waits");
        let refused = turns.take(a, Sort::Read).await.expect_err("too many wait");
        assert_eq!(refused.code, Code::Busy);
        let other = turns.take(b, Sort::Read).now_or_never().expect("at once").expect("a turn");
        let own = turns.take(a, Sort::Write).now_or_never().expect("at once").expect("a turn");
        drop(first);
        let third = third.await.expect("its turn");
        drop((third, other, own, _second));
        assert!(turns.callers.lock().is_empty());
    }

    #[tokio::test]
    async fn who_goes_away_while_waiting_leaves_nothing_behind() {
        let turns = Turns::new(1, 1, 5);
        let a = AuthorId::from([1; 32]);
        let first = turns.take(a, Sort::Read).await.expect("a turn");
        {
            let waiting = turns.take(a, Sort::Read);
            let mut waiting = std::pin::pin!(waiting);
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        drop(first);
        assert!(turns.callers.lock().is_empty());
    }

    #[test]
    fn each_call_has_its_sort() {
        let of = |call: &str| Sort::of(&format!("/sillage.v1.Ledger/{call}"));
        assert_eq!(["Submit", "Authorize"].map(of), [Sort::Write; 2]);
        assert_eq!(["GetLog", "ClusterStatus"].map(of), [Sort::Status; 2]);
        assert_eq!(["GetCheckpoint", "ProveInclusion", "Trace", "RuleRecords"].map(of), [Sort::Read; 4]);
    }
}
