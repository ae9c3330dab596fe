//! From the spool to the log: what waits together goes into one batch, over several streams, and no answer is ever guessed.
//!
//! ```text
//! queue ─▶ stream 0 ─▶ read from the spool, map, resolve tags ─▶ SDK: sign, outbox (fsync), send ─▶ receipt
//!       ─▶ stream 1 …                                                          │                     ├─▶ index
//!                                                                              │                     └─▶ spool: released
//!                                                                              └─ refused for good ─▶ quarantine; the others go on
//! ```
//!
//! - **Once.** A batch is in the outbox before it is sent, with the numbers that its records are of. Until its receipt comes, no other
//!   batch holds these numbers: an arrival stays on its stream. After a crash, the outbox tells which batches are on record, and
//!   which one may be ([`start`]).
//! - **For ever.** While no node answers, a stream tries again, more and more slowly. Nothing is dropped.
//! - **Refused for good** is what the ledger says of one record: that arrival goes into quarantine. Where that has no room, it
//!   waits in the spool, and an alarm says so. What it says of the connector's party, such as a missing role, stops the stream and
//!   raises an alarm: the events aren't to blame, and wait. `NOT_ENTITLED` may be either: a batch with record lines is then sent one
//!   by one, and a line that is refused alone goes into quarantine.
//! - **One place.** If the ledger has batches of a stream that its outbox doesn't know, another copy of this folder went on: the
//!   recorder stops, as nobody could tell what is on record already.

mod batch;
mod consents;
mod queue;
mod start;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::arrival::{Refusal, RefusedArrivals, SpoolNumber, Taken};
use crate::index::Index;
use crate::ledger::Ledger;
use crate::mapping::Terms;
use crate::spool::SpoolReader;
pub use queue::{Lane, Queue};
pub use start::{AUTHOR_NOTE, run};

/// The first pause of a stream that gets no answer.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// The longest one.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What the streams of a recorder share.
pub struct Work {
    /// The way to the nodes.
    pub ledger: Arc<Ledger>,
    /// What waits.
    pub spool: SpoolReader,
    /// What is known of it.
    pub index: Arc<Index>,
    /// How it is mapped.
    pub terms: Terms,
    /// In which order it goes.
    pub queue: Queue,
    /// Who waits for it.
    pub outcomes: Outcomes,
    /// Where refused arrivals go.
    pub quarantine: Arc<dyn RefusedArrivals>,
    /// How the recorder is.
    pub condition: Condition,
    /// Label of the streams.
    pub stream: String,
    /// How many of them take events; one more keeps the order of the rest.
    pub streams: usize,
    /// The last arrival of before the start: those after it come by the queue.
    pub last_before: SpoolNumber,
}

/// What became of an arrival.
pub type Outcome = Result<Taken, Refusal>;

/// Those who wait for what becomes of an arrival.
#[derive(Default)]
pub struct Outcomes(Mutex<HashMap<u64, Vec<oneshot::Sender<Outcome>>>>);

impl Outcomes {
    /// Waits for an arrival's outcome. Who waits registers before the arrival can be taken up.
    pub fn wait(&self, number: SpoolNumber) -> oneshot::Receiver<Outcome> {
        let (tell, told) = oneshot::channel();
        let mut waiting = self.0.lock();
        let those = waiting.entry(number.0).or_default();
        those.retain(|one| !one.is_closed());
        those.push(tell);
        told
    }

    /// Forgets who doesn't wait any more.
    pub fn tidy(&self) {
        self.0.lock().retain(|_, those| {
            those.retain(|one| !one.is_closed());
            !those.is_empty()
        });
    }

    fn tell(&self, number: SpoolNumber, outcome: &Outcome) {
        for one in self.0.lock().remove(&number.0).unwrap_or_default() {
            let _gone_meanwhile = one.send(outcome.clone());
        }
    }
}

/// How the recorder is, for whoever asks.
#[derive(Default)]
pub struct Condition {
    is_reached: AtomicBool,
    alarm: Mutex<Option<String>>,
    /// Why refused arrivals wait in the spool while the others go on.
    no_room: Mutex<Option<String>>,
}

impl Condition {
    /// Whether a node answered last time.
    pub fn is_reached(&self) -> bool {
        self.is_reached.load(Ordering::Acquire)
    }

    /// Why recording stands still although nodes answer, or arrivals that the ledger refused wait; none while neither is so.
    pub fn alarm(&self) -> Option<String> {
        let alarm = self.alarm.lock().clone();
        alarm.or_else(|| self.no_room.lock().clone())
    }

    /// Notes whether refused arrivals can be kept in quarantine; with why not.
    fn set_room(&self, why_not: Option<String>) {
        let mut no_room = self.no_room.lock();
        if let Some(why) = why_not.as_ref().filter(|_| no_room.is_none()) {
            tracing::error!(why, "arrivals that the ledger refused wait in the spool");
        }
        *no_room = why_not;
    }

    fn reached(&self) {
        if !self.is_reached.swap(true, Ordering::AcqRel) {
            tracing::info!("the ledger answers");
        }
    }

    /// Notes that no node answered.
    fn away(&self, why: &dyn std::fmt::Display) {
        if self.is_reached.swap(false, Ordering::AcqRel) {
            tracing::warn!(%why, "the ledger is out of reach: events wait in the spool");
        } else {
            tracing::debug!(%why, "the ledger is out of reach");
        }
    }

    fn raise(&self, why: String) {
        let mut alarm = self.alarm.lock();
        if alarm.as_ref() != Some(&why) {
            tracing::error!(why, "nothing is recorded until this is mended; events wait in the spool");
            *alarm = Some(why);
        }
    }

    fn clear(&self) {
        *self.alarm.lock() = None;
    }
}

/// Pauses that grow.
struct Pause(Duration);

impl Pause {
    fn new() -> Self {
        Self(PAUSE_FIRST)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(PAUSE_MAX);
    }
}
