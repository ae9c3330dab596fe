//! Linearizable reads on any node: what is read afterwards holds everything that was acknowledged before.
//!
//! Readers that come while a read index is being asked for share the next one: one under way, one that gathers.

use std::sync::Arc;

use parking_lot::Mutex;
use sillage_ledger::Refusal;
use tokio::sync::oneshot;

use crate::refusals::unavailable;

/// Called with whether the state applied here may now be read.
pub type ReadDone = Box<dyn FnOnce(Result<(), Refusal>) + Send>;

/// Asks the group for a read index, waits until it is applied here, then calls back.
pub type Ask = Box<dyn Fn(ReadDone) + Send + Sync>;

/// See the module.
pub struct Reads {
    ask: Ask,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    under_way: bool,
    gathering: Vec<oneshot::Sender<Result<(), Refusal>>>,
}

impl Reads {
    /// Reads through `ask`.
    pub fn new(ask: Ask) -> Arc<Self> {
        Arc::new(Self { ask, state: Mutex::default() })
    }

    /// Waits until the state applied here is at least what the group had committed when this was called.
    ///
    /// # Errors
    /// `UNAVAILABLE` without a leader.
    pub async fn wait(self: &Arc<Self>) -> Result<(), Refusal> {
        let (sender, answer) = oneshot::channel();
        let start = {
            let mut state = self.state.lock();
            state.gathering.push(sender);
            !std::mem::replace(&mut state.under_way, true)
        };
        if start {
            self.start();
        }
        let lost = unavailable("the node is stopping; ask another one");
        answer.await.unwrap_or(Err(lost))
    }

    /// Asks for all that gathered. Only whoever set `under_way` may call it.
    fn start(self: &Arc<Self>) {
        let readers = std::mem::take(&mut self.state.lock().gathering);
        let mut asked = SharedRead { reads: Arc::clone(self), readers };
        (self.ask)(Box::new(move |answer| {
            for reader in asked.readers.drain(..) {
                // A reader that went away needs no answer.
                let _ = reader.send(answer.clone());
            }
        }));
    }
}

/// Readers that share a read index. Whether it is answered or forgotten (a replica that stops), the next may start.
struct SharedRead {
    reads: Arc<Reads>,
    readers: Vec<oneshot::Sender<Result<(), Refusal>>>,
}

impl Drop for SharedRead {
    fn drop(&mut self) {
        let again = {
            let mut state = self.reads.state.lock();
            state.under_way = !state.gathering.is_empty();
            state.under_way
        };
        if again {
            self.reads.start();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readers_share_the_next_read_index() {
        let asked: Arc<Mutex<Vec<ReadDone>>> = Arc::default();
        let ask = Arc::clone(&asked);
        let reads = Reads::new(Box::new(move |done| ask.lock().push(done)));
        let reader = |reads: &Arc<Reads>| {
            let reads = Arc::clone(reads);
            tokio::spawn(async move { reads.wait().await })
        };
        let first = reader(&reads);
        tokio::task::yield_now().await;
        let others: Vec<_> = (0..10).map(|_| reader(&reads)).collect();
        tokio::task::yield_now().await;
        assert_eq!(asked.lock().len(), 1, "one under way");
        let done = asked.lock().remove(0);
        done(Ok(()));
        assert!(first.await.expect("no panic").is_ok());
        assert_eq!(asked.lock().len(), 1, "one for all that gathered");
        let done = asked.lock().remove(0);
        done(Err(unavailable("no leader")));
        for other in others {
            assert!(other.await.expect("no panic").is_err());
        }
        assert!(asked.lock().is_empty());
    }

    #[tokio::test]
    async fn a_question_that_is_forgotten_holds_nobody_up() {
        let reads = Reads::new(Box::new(drop));
        assert!(reads.wait().await.is_err());
        assert!(reads.wait().await.is_err());
    }
}
