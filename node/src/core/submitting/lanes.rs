//! The bounded queues in front of the leader's packer: break-glass goes first, then who waits for an answer, then what is
//! recorded of what happened.
//!
//! A lane that is ahead of others can't starve them: of a command, break-glass takes at most half while anything else
//! waits, and what is recorded keeps a quarter. A lane of which nothing fitted goes first in the next command. Waiting
//! work is bounded by bytes where it enters the node ([`super::inflight`]), not here.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};
use prost::Message as _;
use sillage_ledger::{CommandOutcome, Refusal};
use sillage_proto::internal::v1::{LedgerRecord, SealedBatch, SealedDecision};
use tokio::sync::oneshot;

/// Requests that one command decides on, of however many requesters: each opens what it rests on when it is applied.
pub const REQUESTS_MAX: usize = 256;
/// Records of the ledger itself in one command; applying refuses more.
pub const RECORDS_MAX: usize = 1_024;

/// The outcome of what was handed to the packer.
#[derive(Debug)]
pub enum PackerAnswer {
    /// It was applied after commit, or refused; this is what the ledger said.
    Applied(CommandOutcome),
    /// It was not proposed: by what is applied here, the ledger would refuse it.
    Refused(Refusal),
    /// It was not proposed: this node doesn't lead. Ask the leader.
    NotLeader,
    /// It was not proposed: too much is under way.
    Busy,
    /// It was proposed, then the leadership was lost: it may or may not be committed. The same may be sent again.
    Unknown,
}

/// The work that a leader puts into the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Records of an author.
    Batch(SealedBatch),
    /// Requests that are to be decided.
    Decision(SealedDecision),
    /// A record that the ledger makes itself.
    Record(LedgerRecord),
}

impl Work {
    /// Its length in the Raft log, in bytes.
    pub fn encoded_len(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.encoded_len(),
            Self::Decision(decision) => decision.encoded_len(),
            Self::Record(record) => record.encoded_len(),
        }
    }

    fn size(&self) -> Size {
        let bytes = self.encoded_len();
        match self {
            Self::Batch(_) => Size { bytes, ..Size::default() },
            Self::Decision(decision) => Size { bytes, requests: decision.requests.len(), records: 0 },
            Self::Record(_) => Size { bytes, requests: 0, records: 1 },
        }
    }
}

/// Something that waits to be packed.
#[derive(Debug)]
pub struct Waiting {
    /// As it will stand in the Raft log.
    pub work: Work,
    /// True if it is about an emergency.
    pub urgent: bool,
    /// The caller that waits for the outcome.
    pub answer: oneshot::Sender<PackerAnswer>,
}

impl Waiting {
    fn same_stream(&self, other: &SealedBatch) -> bool {
        match &self.work {
            Work::Batch(batch) => batch.key_id == other.key_id && batch.stream_label == other.stream_label,
            Work::Decision(_) | Work::Record(_) => false,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Lanes {
    state: Mutex<State>,
    arrived: Condvar,
}

/// The lanes, the first one first.
const URGENT: usize = 0;
const ASKED: usize = 1;
const RECORDED: usize = 2;
const LANES: usize = 3;
/// How far each may fill a command while the ones behind it wait, in quarters: what it leaves is theirs.
const FILLS_QUARTERS: [usize; LANES] = [2, 3, 4];

#[derive(Debug, Default)]
struct State {
    lanes: [VecDeque<(Size, Waiting)>; LANES],
    /// Nothing of it was taken the last time: its first one goes ahead of all, whatever its size.
    owed: [bool; LANES],
    closed: bool,
}

/// The bounds of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    bytes: usize,
    requests: usize,
    records: usize,
}

impl Size {
    fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            requests: self.requests + other.requests,
            records: self.records + other.records,
        }
    }

    fn quarters(self, quarters: usize) -> Self {
        let part = |whole: usize| whole / 4 * quarters;
        Self { bytes: part(self.bytes), requests: part(self.requests), records: part(self.records) }
    }

    fn fits(self, into: Self) -> bool {
        self.bytes <= into.bytes && self.requests <= into.requests && self.records <= into.records
    }
}

impl Lanes {
    /// Adds something; after [`Lanes::close`] it is answered at once.
    pub fn push(&self, waiting: Waiting) {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            // The asker may be gone, which is its right.
            let _ = waiting.answer.send(PackerAnswer::NotLeader);
            return;
        }
        let lane = state.lane_of(&waiting);
        state.lanes[lane].push_back((waiting.work.size(), waiting));
        drop(state);
        self.arrived.notify_one();
    }

    /// Waits until something is there, then takes what fits into a command of `bytes_max`, but at least one. `None` after
    /// [`Lanes::close`].
    pub fn take(&self, bytes_max: usize) -> Option<Vec<Waiting>> {
        let mut state = self.state.lock();
        while state.is_empty() && !state.closed {
            self.arrived.wait(&mut state);
        }
        match state.closed {
            true => None,
            false => Some(state.take(Size { bytes: bytes_max, requests: REQUESTS_MAX, records: RECORDS_MAX })),
        }
    }

    /// Answers all that waits and all that still comes with [`PackerAnswer::NotLeader`]; the packer stops.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.lanes);
        drop(state);
        self.arrived.notify_all();
        for (_, waiting) in waiting.into_iter().flatten() {
            let _ = waiting.answer.send(PackerAnswer::NotLeader);
        }
    }

    /// How much waits.
    pub fn len(&self) -> usize {
        self.state.lock().lanes.iter().map(VecDeque::len).sum()
    }

    /// Tells whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.lanes.iter().all(VecDeque::is_empty)
    }

    fn take(&mut self, room: Size) -> Vec<Waiting> {
        let before = self.lanes.each_ref().map(VecDeque::len);
        let mut taken = (Size::default(), Vec::new());
        for lane in 0..LANES {
            if self.owed[lane] && (taken.1.is_empty() || self.next_fits(lane, taken.0, room)) {
                self.move_next(lane, &mut taken);
            }
        }
        let shares = FILLS_QUARTERS.map(|quarters| room.quarters(quarters));
        // First its share for each, then what is left, to the first ones first.
        for (lane, share) in (0..LANES).zip(shares).chain((0..LANES).map(|lane| (lane, room))) {
            while self.next_fits(lane, taken.0, share) {
                self.move_next(lane, &mut taken);
            }
        }
        if taken.1.is_empty() {
            // The first one is larger than a command: it goes alone.
            let first = (0..LANES).find(|lane| !self.lanes[*lane].is_empty());
            self.move_next(first.expect("something waits"), &mut taken);
        }
        let left = self.lanes.iter().map(VecDeque::len);
        for ((owed, left), before) in self.owed.iter_mut().zip(left).zip(before) {
            *owed = before > 0 && left == before;
        }
        taken.1
    }

    fn next_fits(&self, lane: usize, taken: Size, room: Size) -> bool {
        self.lanes[lane].front().is_some_and(|(size, _)| taken.plus(*size).fits(room))
    }

    fn move_next(&mut self, lane: usize, (size, taken): &mut (Size, Vec<Waiting>)) {
        if let Some((next, waiting)) = self.lanes[lane].pop_front() {
            *size = size.plus(next);
            taken.push(waiting);
        }
    }

    fn lane_of(&mut self, waiting: &Waiting) -> usize {
        match &waiting.work {
            Work::Batch(batch) if waiting.urgent => {
                self.hurry_stream_of(batch);
                URGENT
            }
            // It comes after a break-glass batch of its stream, which it must not overtake.
            Work::Batch(batch) if self.lanes[URGENT].iter().any(|(_, before)| before.same_stream(batch)) => URGENT,
            Work::Batch(_) => RECORDED,
            Work::Decision(_) if waiting.urgent => URGENT,
            Work::Decision(_) | Work::Record(_) => ASKED,
        }
    }

    /// A break-glass batch must not overtake its own stream, or it would be out of order: what waits of the stream
    /// goes along.
    fn hurry_stream_of(&mut self, batch: &SealedBatch) {
        if !self.lanes[RECORDED].iter().any(|(_, waiting)| waiting.same_stream(batch)) {
            return;
        }
        let (along, rest): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.lanes[RECORDED]).into_iter().partition(|(_, waiting)| waiting.same_stream(batch));
        self.lanes[RECORDED] = rest;
        self.lanes[URGENT].extend(along);
    }
}

#[cfg(test)]
mod tests {
    use sillage_proto::internal::v1::{SealedRecord, SealedRequest};

    use super::*;

    fn waiting(work: Work, urgent: bool) -> Waiting {
        Waiting { work, urgent, answer: oneshot::channel().0 }
    }

    /// A batch of about so many bytes.
    fn batch(label: &str, seq: u64, bytes: usize, urgent: bool) -> Waiting {
        let record = SealedRecord { payload: vec![0; bytes].into(), ..SealedRecord::default() };
        let batch =
            SealedBatch { stream_label: label.to_owned(), seq, records: vec![record], ..SealedBatch::default() };
        waiting(Work::Batch(batch), urgent)
    }

    fn decision(label: &str, requests: usize, urgent: bool) -> Waiting {
        let requests = vec![SealedRequest::default(); requests];
        let decision = SealedDecision { key_id: label.as_bytes().to_vec(), requests, ..SealedDecision::default() };
        waiting(Work::Decision(decision), urgent)
    }

    fn name(waiting: &Waiting) -> String {
        match &waiting.work {
            Work::Batch(batch) => format!("{}{}", batch.stream_label, batch.seq),
            Work::Decision(decision) => String::from_utf8_lossy(&decision.key_id).into_owned(),
            Work::Record(_) => "record".to_owned(),
        }
    }

    fn taken(lanes: &Lanes, bytes_max: usize) -> Vec<String> {
        lanes.take(bytes_max).expect("not closed").iter().map(name).collect()
    }

    #[test]
    fn break_glass_goes_first_then_who_waits_for_an_answer_then_what_happened() {
        let lanes = Lanes::default();
        lanes.push(batch("a", 1, 10, false));
        lanes.push(decision("ask", 1, false));
        lanes.push(waiting(Work::Record(LedgerRecord::default()), false));
        lanes.push(batch("b", 1, 10, false));
        lanes.push(decision("help", 1, true));
        lanes.push(batch("b", 2, 10, true));
        lanes.push(batch("b", 3, 10, false));
        assert_eq!(taken(&lanes, 1_000), ["help", "b1", "b2", "b3", "ask", "record", "a1"]);
    }

    #[test]
    fn a_flood_of_break_glass_takes_half_and_what_others_leave() {
        let lanes = Lanes::default();
        for seq in 0..40 {
            lanes.push(batch("glass", seq, 80, true));
            lanes.push(batch("bulk", seq, 80, false));
        }
        let names = taken(&lanes, 1_000);
        let glass = names.iter().filter(|name| name.starts_with("glass")).count();
        assert!(glass <= 5 && names.len() - glass >= 5, "{names:?}");
        let alone = Lanes::default();
        (0..40).for_each(|seq| alone.push(batch("glass", seq, 80, true)));
        assert!(taken(&alone, 1_000).len() > 9, "nobody else waits");
    }

    #[test]
    fn questions_are_bounded_in_number_and_leave_a_quarter_to_what_happened() {
        let lanes = Lanes::default();
        (0..10).for_each(|_| lanes.push(decision("round", 64, false)));
        lanes.push(batch("a", 1, 10, false));
        assert_eq!(taken(&lanes, 1 << 20), ["round", "round", "round", "a1", "round"]);
        assert_eq!(taken(&lanes, 1 << 20).len(), 4);
        (0..RECORDS_MAX + 1).for_each(|_| lanes.push(waiting(Work::Record(LedgerRecord::default()), false)));
        while taken(&lanes, 1 << 20).contains(&"round".to_owned()) {}
        assert!(lanes.len() <= 1);
    }

    #[test]
    fn what_is_larger_than_what_others_leave_has_its_turn() {
        let lanes = Lanes::default();
        lanes.push(batch("big", 1, 5_000, false));
        (0..40).for_each(|seq| lanes.push(batch("glass", seq, 300, true)));
        assert!(!taken(&lanes, 1_000).contains(&"big1".to_owned()));
        assert_eq!(taken(&lanes, 1_000), ["big1"], "the next time it goes alone");
        assert_eq!(taken(&lanes, 1_000)[0], "glass3");
    }

    #[test]
    fn what_fits_is_taken_and_at_least_one() {
        let lanes = Lanes::default();
        lanes.push(batch("big", 1, 5_000, false));
        lanes.push(batch("a", 1, 500, false));
        lanes.push(batch("a", 2, 400, false));
        lanes.push(batch("a", 3, 100, false));
        assert_eq!(taken(&lanes, 1_000), ["big1"]);
        assert_eq!(taken(&lanes, 1_000), ["a1", "a2"]);
        assert_eq!(taken(&lanes, 1_000), ["a3"]);
        assert!(lanes.is_empty());
    }

    #[test]
    fn closing_answers_what_waits_and_what_comes() {
        let lanes = Lanes::default();
        let (sender, mut before) = oneshot::channel();
        lanes.push(Waiting { answer: sender, ..batch("a", 1, 1, false) });
        lanes.close();
        assert!(matches!(before.try_recv(), Ok(PackerAnswer::NotLeader)));
        let (sender, mut after) = oneshot::channel();
        lanes.push(Waiting { answer: sender, ..batch("a", 2, 1, true) });
        assert!(matches!(after.try_recv(), Ok(PackerAnswer::NotLeader)));
        assert!(lanes.take(1).is_none());
    }
}
