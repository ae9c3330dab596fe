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
        let command = Command { version: COMMAND_VERSION, batches, ..Command::default() };
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

#[cfg(test)]
mod tests {
    use super::*;
    use sillage_proof::{Hash, LeafIndex, LedgerTimeMs};

    /// Applies at once, or keeps what was proposed; panics on the batch number 666.
    #[derive(Default)]
    struct Fake {
        keep: bool,
        kept: Mutex<Vec<Proposed>>,
        proposed: Mutex<Vec<Vec<u64>>>,
    }

    impl Log for Fake {
        fn check(&self, batch: &SealedBatch, _now_ms: u64) -> Result<(), Refusal> {
            assert_ne!(batch.seq, 666, "poison");
            Ok(())
        }

        fn propose(&self, command: Vec<u8>, _time_ms: u64, done: Proposed) {
            let command = Command::decode(&command[..]).expect("a command");
            let seqs: Vec<u64> = command.batches.iter().map(|batch| batch.seq).collect();
            if self.keep {
                self.kept.lock().push(done);
            } else {
                done(Ok(seqs.iter().map(|seq| applied(*seq)).collect()));
            }
            self.proposed.lock().push(seqs);
        }
    }

    fn applied(seq: u64) -> BatchOutcome {
        BatchOutcome::Done {
            stream_id: [1; 32].into(),
            seq,
            count: 1,
            root: Hash::default(),
            first_index: LeafIndex(seq),
            time_ms: LedgerTimeMs(1),
            repeated: false,
        }
    }

    fn push(lanes: &Lanes, seq: u64, urgent: bool) -> oneshot::Receiver<Answer> {
        let (answer, receiver) = oneshot::channel();
        let batch = SealedBatch { seq, stream_label: seq.to_string(), ..SealedBatch::default() };
        lanes.push(Waiting { bytes: batch.encoded_len(), batch, urgent, answer });
        receiver
    }

    #[test]
    fn what_waits_goes_into_one_entry_without_poison_and_break_glass_first() {
        let (lanes, log) = (Lanes::default(), Fake::default());
        let answers = [push(&lanes, 1, false), push(&lanes, 666, false), push(&lanes, 2, false), push(&lanes, 3, true)];
        let gone = push(&lanes, 4, false);
        drop(gone);
        let answers = std::thread::scope(|scope| {
            scope.spawn(|| run(&lanes, &log));
            let answers = answers.map(|answer| answer.blocking_recv().expect("answered"));
            lanes.close();
            answers
        });
        assert_eq!(*log.proposed.lock(), [[3, 1, 2]]);
        for (answer, seq) in answers.iter().zip([1, 666, 2, 3]) {
            match answer {
                Answer::Applied(BatchOutcome::Done { seq: done, .. }) => assert_eq!(*done, seq),
                Answer::Applied(BatchOutcome::Refused(refusal)) => {
                    assert_eq!((seq, refusal.code), (666, Code::Internal));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn only_so_many_entries_are_under_way_and_the_rest_is_packed_together() {
        let lanes = Lanes::default();
        let log = Fake { keep: true, ..Fake::default() };
        std::thread::scope(|scope| {
            scope.spawn(|| run(&lanes, &log));
            let mut answers = Vec::new();
            for seq in 0..ENTRIES_UNDER_WAY_MAX {
                answers.push(push(&lanes, seq as u64, false));
                while log.proposed.lock().len() <= seq {
                    std::thread::yield_now();
                }
            }
            answers.extend((10..15).map(|seq| push(&lanes, seq, false)));
            assert_eq!(log.proposed.lock().len(), ENTRIES_UNDER_WAY_MAX);
            let lost = log.kept.lock().remove(0);
            lost(Err(ProposeError::Superseded));
            while log.proposed.lock().len() == ENTRIES_UNDER_WAY_MAX {
                std::thread::yield_now();
            }
            assert_eq!(log.proposed.lock()[ENTRIES_UNDER_WAY_MAX], [10, 11, 12, 13, 14]);
            let first = answers.remove(0).blocking_recv().expect("answered");
            assert!(matches!(first, Answer::Unknown));
            lanes.close();
            log.kept.lock().clear();
        });
    }
}
