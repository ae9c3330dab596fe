//! The leader's packer: one thread that turns what waits into Raft entries.
//!
//! It takes what is there and never waits for more. While a few entries are under way it holds back, and that is what
//! makes batches: the busier the group, the more waits when the next entry is made.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use prost::Message as _;
use sillage_cluster::ProposeError;
use sillage_ledger::{BatchOutcome, Refusal};
use sillage_proto::internal::v1::{Command, SealedBatch};
use sillage_rules::codes::Code;
use tokio::sync::oneshot;

use super::lanes::{Answer, Lanes, Waiting};
use super::now_ms;

/// Version of [`Command`].
const COMMAND_VERSION: u32 = 1;
/// Most bytes of batches in one Raft entry, unless one batch alone is larger.
pub const COMMAND_BYTES_MAX: usize = 1 << 20;
/// Raft entries under way at once: enough to keep the disks of leader and followers busy, few enough that what comes
/// meanwhile is packed together.
pub const ENTRIES_UNDER_WAY_MAX: usize = 4;

/// Called with what the entry did, on the thread that applied it.
pub type Proposed = Box<dyn FnOnce(Result<Vec<BatchOutcome>, ProposeError>) + Send>;

/// What the packer hands its work to.
pub trait Log: Send + Sync + 'static {
    /// What apply would say, as far as that can be said before. May panic on input that apply would panic on.
    ///
    /// # Errors
    /// When the batch would be refused.
    fn check(&self, batch: &SealedBatch, now_ms: u64) -> Result<(), Refusal>;

    /// Proposes a command, stamped with a time.
    fn propose(&self, command: Vec<u8>, time_ms: u64, done: Proposed);
}

/// Packs until the lanes are closed. Run it on a thread of its own.
pub fn run(lanes: &Lanes, log: &impl Log) {
    let slots = Arc::new(Slots::new(ENTRIES_UNDER_WAY_MAX));
    let mut last_ms = 0;
    loop {
        let slot = Slots::take(&slots);
        let Some(waiting) = lanes.take(COMMAND_BYTES_MAX) else {
            return;
        };
        // Ledger time never goes back, whatever the wall clock does.
        last_ms = now_ms().max(last_ms);
        let (batches, answers) = checked(log, waiting, last_ms);
        if batches.is_empty() {
            continue;
        }
        let command = Command { version: COMMAND_VERSION, batches };
        let done = move |result| {
            // First the slot, so that the next entry is made while the answers go out.
            drop(slot);
            answer_all(answers, result);
        };
        log.propose(command.encode_to_vec(), last_ms, Box::new(done));
    }
}

type Answers = Vec<oneshot::Sender<Answer>>;

/// Answers what the ledger would refuse, and keeps the rest.
fn checked(log: &impl Log, waiting: Vec<Waiting>, now_ms: u64) -> (Vec<SealedBatch>, Answers) {
    let mut batches = Vec::with_capacity(waiting.len());
    let mut answers = Vec::with_capacity(waiting.len());
    for Waiting { batch, answer, .. } in waiting {
        if answer.is_closed() {
            // Nobody waits any more, and nothing was promised.
            continue;
        }
        match check_one(log, &batch, now_ms) {
            Ok(()) => {
                batches.push(batch);
                answers.push(answer);
            }
            Err(refusal) => {
                let _ = answer.send(Answer::Applied(BatchOutcome::Refused(refusal)));
            }
        }
    }
    (batches, answers)
}

/// A batch on which the check panics would stop every node at once if it reached apply.
fn check_one(log: &impl Log, batch: &SealedBatch, now_ms: u64) -> Result<(), Refusal> {
    let checked = catch_unwind(AssertUnwindSafe(|| log.check(batch, now_ms)));
    checked.unwrap_or_else(|_| {
        tracing::error!(
            seq = batch.seq,
            records = batch.records.len(),
            "the check of a batch panicked: refused, it never reaches the log"
        );
        Err(Refusal::new(
            Code::Internal,
            "this batch can't be checked, nothing was recorded: report it with the node's log",
        ))
    })
}

fn answer_all(answers: Answers, result: Result<Vec<BatchOutcome>, ProposeError>) {
    let outcomes = match result {
        Ok(outcomes) => outcomes,
        Err(error) => {
            for answer in answers {
                let _ = answer.send(not_proposed(&error));
            }
            return;
        }
    };
    assert_eq!(outcomes.len(), answers.len(), "apply answers every batch of a command");
    for (answer, outcome) in answers.into_iter().zip(outcomes) {
        let _ = answer.send(Answer::Applied(outcome));
    }
}

fn not_proposed(error: &ProposeError) -> Answer {
    match error {
        ProposeError::NotLeader { .. } => Answer::NotLeader,
        ProposeError::Busy => Answer::Busy,
        ProposeError::Superseded | ProposeError::ShuttingDown => Answer::Unknown,
    }
}

/// Counts entries under way.
struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

/// One entry under way; free again when dropped.
struct Slot(Arc<Slots>);

impl Slots {
    fn new(count: usize) -> Self {
        Self { free: Mutex::new(count), freed: Condvar::new() }
    }

    fn take(this: &Arc<Self>) -> Slot {
        let mut free = this.free.lock();
        while *free == 0 {
            this.freed.wait(&mut free);
        }
        *free -= 1;
        Slot(Arc::clone(this))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}
