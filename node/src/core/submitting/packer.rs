//! The leader's packer: one thread that turns what waits into Raft entries.
//!
//! It takes what is there and never waits for more. While a few entries are under way it holds back, and that is what
//! makes batches: the busier the group, the more waits when the next entry is made.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use sillage_cluster::ProposeError;
use sillage_ledger::{CommandOutcome, Refusal};
use sillage_proto::internal::v1::Command;
use sillage_rules::codes::Code;
use tokio::sync::oneshot;

use super::lanes::{Lanes, PackerAnswer, Waiting, Work};
use crate::core::clock::{NoStamp, Stamp};
use crate::refusals::sealed_depends_on_state;

/// Most bytes of one Raft entry, unless one batch alone is larger.
pub const COMMAND_BYTES_MAX: usize = 1 << 20;
/// Raft entries under way at once: enough to keep the disks of leader and followers busy, few enough that what comes
/// meanwhile is packed together.
pub const ENTRIES_UNDER_WAY_MAX: usize = 4;

/// Version of a command with decisions: every program of a group of feature level 1 knows it.
const VERSION_DECISIONS: u32 = 5;

/// Called with what the entry did, on the thread that applied it.
pub type Proposed = Box<dyn FnOnce(Result<Vec<CommandOutcome>, ProposeError>) + Send>;

/// The side to which the packer hands its work.
pub trait Log: Send + Sync + 'static {
    /// The time, and the clocks that say so.
    ///
    /// # Errors
    /// When this node can't lead yet, or doesn't.
    fn stamp(&self) -> Result<Stamp, NoStamp>;

    /// The answer that apply would give, as far as that can be said before. May panic on input that apply would panic on.
    ///
    /// # Errors
    /// When it would be refused.
    fn check(&self, work: &Work, stamp: &Stamp) -> Result<(), Refusal>;

    /// Proposes a command, stamped with a time.
    fn propose(&self, command: Vec<u8>, time_ms: u64, done: Proposed);
}

/// Packs until the lanes are closed. Run it on a thread of its own.
pub fn run(lanes: &Lanes, log: &impl Log) {
    let slots = Arc::new(Slots::new());
    loop {
        let slot = Slots::take(&slots);
        let Some(waiting) = lanes.take(COMMAND_BYTES_MAX) else {
            return;
        };
        let stamp = match log.stamp() {
            Ok(stamp) => stamp,
            Err(why) => {
                turn_away(waiting, why);
                continue;
            }
        };
        let (command, answers) = checked(log, waiting, &stamp, Slots::taken(&slots) > 1);
        if answers.is_empty() {
            continue;
        }
        let done = move |result| {
            // First the slot, so that the next entry is made while the answers go out.
            drop(slot);
            answer_all(answers, result);
        };
        log.propose(stamp.encode(command), stamp.ms, Box::new(done));
    }
}

/// Nothing of it was proposed: whoever waits tries again.
fn turn_away(waiting: Vec<Waiting>, why: NoStamp) {
    for waiting in waiting {
        let answer = match why {
            NoStamp::NotLeader => PackerAnswer::NotLeader,
            NoStamp::TooEarly => PackerAnswer::Busy,
        };
        let _ = waiting.answer.send(answer);
    }
}

type Answers = Vec<oneshot::Sender<PackerAnswer>>;

/// Answers what the ledger would refuse, and makes a command of the rest; with who waits for each of its outcomes, in
/// their order. `under_way`: other entries are.
fn checked(log: &impl Log, waiting: Vec<Waiting>, stamp: &Stamp, mut under_way: bool) -> (Command, Answers) {
    let mut command = Command::default();
    let [mut batches, mut decisions, mut records]: [Answers; 3] = Default::default();
    for Waiting { work, answer, .. } in waiting {
        if answer.is_closed() {
            // Nobody waits any more, and nothing was promised.
            continue;
        }
        match check_one(log, &work, stamp) {
            Ok(()) => {}
            // What comes before it may change that: an author needn't wait for its directive before it revokes it.
            Err(refusal) if under_way && sealed_depends_on_state(refusal.code) => {}
            Err(refusal) => {
                let _ = answer.send(PackerAnswer::Refused(refusal));
                continue;
            }
        }
        under_way = true;
        match work {
            Work::Batch(batch) => {
                command.batches.push(batch);
                batches.push(answer);
            }
            Work::Decision(decision) => {
                command.decisions.push(decision);
                decisions.push(answer);
            }
            Work::Record(record) => {
                command.ledger_records.push(record);
                records.push(answer);
            }
        }
    }
    // As old as it may be: during an upgrade, older programs apply it too. What needs a feature level has its version by it.
    command.version = match (decisions.is_empty(), records.is_empty()) {
        (true, true) => 1,
        (true, false) => 2,
        (false, _) => VERSION_DECISIONS,
    };
    batches.extend(decisions.into_iter().chain(records));
    (command, batches)
}

/// Input that makes the check panic would stop every node at once if it reached apply.
fn check_one(log: &impl Log, work: &Work, stamp: &Stamp) -> Result<(), Refusal> {
    let checked = catch_unwind(AssertUnwindSafe(|| log.check(work, stamp)));
    checked.unwrap_or_else(|_| {
        let bytes = work.encoded_len();
        tracing::error!(bytes, "the check of something to record panicked: refused, it never reaches the log");
        Err(Refusal::new(Code::Internal, "this can't be checked, nothing was recorded: report it with the node's log"))
    })
}

fn answer_all(answers: Answers, result: Result<Vec<CommandOutcome>, ProposeError>) {
    let outcomes = match result {
        Ok(outcomes) => outcomes,
        Err(error) => {
            for answer in answers {
                let _ = answer.send(not_proposed(&error));
            }
            return;
        }
    };
    assert_eq!(outcomes.len(), answers.len(), "apply answers every part of a command");
    for (answer, outcome) in answers.into_iter().zip(outcomes) {
        let _ = answer.send(PackerAnswer::Applied(outcome));
    }
}

fn not_proposed(error: &ProposeError) -> PackerAnswer {
    match error {
        ProposeError::NotLeader { .. } => PackerAnswer::NotLeader,
        ProposeError::Busy => PackerAnswer::Busy,
        ProposeError::Superseded | ProposeError::ShuttingDown => PackerAnswer::Unknown,
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
    fn new() -> Self {
        Self { free: Mutex::new(ENTRIES_UNDER_WAY_MAX), freed: Condvar::new() }
    }

    fn taken(this: &Arc<Self>) -> usize {
        ENTRIES_UNDER_WAY_MAX - *this.free.lock()
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
    use prost::Message as _;
    use sillage_proof::{Hash, LeafIndex, LedgerTimeMs};
    use sillage_proto::internal::v1::{ClockEvidence, LedgerRecord, SealedBatch, SealedDecision};

    /// Applies at once, or keeps what was proposed; panics on the batch number 666.
    #[derive(Default)]
    struct Fake {
        keep: bool,
        kept: Mutex<Vec<Proposed>>,
        proposed: Mutex<Vec<Vec<u64>>>,
        versions: Mutex<Vec<u32>>,
        times: Mutex<Vec<Option<ClockEvidence>>>,
        stamp: Stamp,
        no_stamp: Mutex<Option<NoStamp>>,
    }

    impl Log for Fake {
        fn stamp(&self) -> Result<Stamp, NoStamp> {
            self.no_stamp.lock().map_or_else(|| Ok(self.stamp.clone()), Err)
        }

        fn check(&self, work: &Work, _stamp: &Stamp) -> Result<(), Refusal> {
            let seq = if let Work::Batch(batch) = work { batch.seq } else { 0 };
            assert_ne!(seq, 666, "poison");
            match seq {
                404 => Err(Refusal::new(Code::UnknownReference, "not yet")),
                400 => Err(Refusal::new(Code::EmptyPeriod, "never")),
                _ => Ok(()),
            }
        }

        fn propose(&self, command: Vec<u8>, _time_ms: u64, done: Proposed) {
            let command = Command::decode(&command[..]).expect("a command");
            self.versions.lock().push(command.version);
            self.times.lock().push(command.time.clone());
            let seqs: Vec<u64> = command.batches.iter().map(|batch| batch.seq).collect();
            if self.keep {
                self.kept.lock().push(done);
            } else {
                let batches = seqs.iter().map(|seq| applied(*seq));
                let decisions = command.decisions.iter().map(|_| CommandOutcome::Decided(Vec::new()));
                let records = command.ledger_records.iter();
                let records =
                    records.map(|record| CommandOutcome::LedgerRecord { index: LeafIndex(record.kind.into()) });
                done(Ok(batches.chain(decisions).chain(records).collect()));
            }
            self.proposed.lock().push(seqs);
        }
    }

    fn applied(seq: u64) -> CommandOutcome {
        CommandOutcome::Done {
            stream_id: [1; 32].into(),
            seq,
            count: 1,
            root: Hash::default(),
            first_index: LeafIndex(seq),
            time_ms: LedgerTimeMs(1),
            repeated: false,
        }
    }

    fn push_work(lanes: &Lanes, work: Work, urgent: bool) -> oneshot::Receiver<PackerAnswer> {
        let (answer, receiver) = oneshot::channel();
        lanes.push(Waiting { work, urgent, answer });
        receiver
    }

    fn push(lanes: &Lanes, seq: u64, urgent: bool) -> oneshot::Receiver<PackerAnswer> {
        let batch = SealedBatch { seq, stream_label: seq.to_string(), ..SealedBatch::default() };
        push_work(lanes, Work::Batch(batch), urgent)
    }

    #[test]
    fn batches_questions_and_readings_share_an_entry_and_each_gets_its_own_answer() {
        let (lanes, log) = (Lanes::default(), Fake::default());
        let record = push_work(&lanes, Work::Record(LedgerRecord { kind: 7, ..LedgerRecord::default() }), false);
        let batch = push(&lanes, 5, false);
        let decision = push_work(&lanes, Work::Decision(SealedDecision::default()), false);
        std::thread::scope(|scope| {
            scope.spawn(|| run(&lanes, &log));
            let outcome = |answer: oneshot::Receiver<PackerAnswer>| match answer.blocking_recv().expect("answered") {
                PackerAnswer::Applied(outcome) => outcome,
                other => panic!("{other:?}"),
            };
            assert!(matches!(outcome(batch), CommandOutcome::Done { seq: 5, .. }));
            assert!(matches!(outcome(decision), CommandOutcome::Decided(_)));
            assert_eq!(outcome(record), CommandOutcome::LedgerRecord { index: LeafIndex(7) });
            let alone = push_work(&lanes, Work::Record(LedgerRecord::default()), false);
            outcome(alone);
            outcome(push(&lanes, 6, false));
            lanes.close();
        });
        assert_eq!(*log.versions.lock(), [5, 2, 1], "no newer than what it holds");
        assert_eq!(*log.times.lock(), [None, None, None]);
    }

    #[test]
    fn what_says_the_time_goes_along_once_every_node_knows_it_and_nothing_goes_without() {
        let evidence = ClockEvidence { stamp_ms: 7, attestations: Vec::new() };
        let stamp = Stamp { level: 2, ms: 7, evidence: Some(evidence.clone()), ..Stamp::default() };
        let (lanes, log) = (Lanes::default(), Fake { stamp, ..Fake::default() });
        std::thread::scope(|scope| {
            scope.spawn(|| run(&lanes, &log));
            let done = push(&lanes, 1, false).blocking_recv().expect("answered");
            assert!(matches!(done, PackerAnswer::Applied(_)));
            for (why, expected) in [(NoStamp::TooEarly, "Busy"), (NoStamp::NotLeader, "NotLeader")] {
                *log.no_stamp.lock() = Some(why);
                let answer = push(&lanes, 2, false).blocking_recv().expect("answered");
                assert_eq!(format!("{answer:?}"), expected);
            }
            lanes.close();
        });
        assert_eq!((&*log.versions.lock(), &*log.times.lock()), (&vec![6], &vec![Some(evidence)]));
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
                PackerAnswer::Applied(CommandOutcome::Done { seq: done, .. }) => assert_eq!(*done, seq),
                PackerAnswer::Refused(refusal) => assert_eq!((seq, refusal.code), (666, Code::Internal)),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn what_an_entry_under_way_may_change_is_left_to_the_ledger() {
        let (lanes, log) = (Lanes::default(), Fake::default());
        let first = push(&lanes, 404, false);
        std::thread::scope(|scope| {
            scope.spawn(|| run(&lanes, &log));
            let refused = first.blocking_recv().expect("answered");
            assert!(matches!(refused, PackerAnswer::Refused(refusal) if refusal.code == Code::UnknownReference));
            lanes.close();
        });
        let (lanes, log) = (Lanes::default(), Fake::default());
        let answers = [1, 404, 400].map(|seq| push(&lanes, seq, false));
        std::thread::scope(|scope| {
            scope.spawn(|| run(&lanes, &log));
            let [_, later, never] = answers.map(|answer| answer.blocking_recv().expect("answered"));
            assert!(matches!(later, PackerAnswer::Applied(CommandOutcome::Done { seq: 404, .. })));
            assert!(matches!(never, PackerAnswer::Refused(refusal) if refusal.code == Code::EmptyPeriod));
            lanes.close();
        });
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
            assert!(matches!(first, PackerAnswer::Unknown));
            lanes.close();
            log.kept.lock().clear();
        });
    }
}
