//! The arrivals that wait for a stream, in the order of the spool.

use std::collections::VecDeque;

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::arrival::SpoolNumber;

/// An arrival that couldn't be dealt with waits for so long.
const LATER: Duration = Duration::from_secs(30);
/// So often is looked whether one has waited enough.
const LOOK: Duration = Duration::from_secs(5);

/// Which streams take an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Events: any stream, as no event depends on another.
    Events,
    /// Record lines: one stream, as they depend on each other's order.
    Ordered,
    /// Consents: one stream, and each is compared with what is on record.
    Consents,
}

impl Lane {
    /// The lane of a sort of arrival, by its word in the index.
    pub fn of(kind: &str) -> Self {
        match kind {
            "AuditEvent" => Self::Events,
            "Consent" => Self::Consents,
            _ => Self::Ordered,
        }
    }
}

/// What waits.
#[derive(Default)]
pub struct Queue {
    lanes: Mutex<Lanes>,
    events: Notify,
    ordered: Notify,
    consents: Notify,
}

#[derive(Default)]
struct Lanes {
    events: VecDeque<u64>,
    ordered: VecDeque<u64>,
    consents: VecDeque<u64>,
    /// Those that come back at a time, in its order.
    later: VecDeque<(Instant, u64, Lane)>,
    /// Whether it is known what waited before the start.
    is_open: bool,
}

impl Lanes {
    fn of(&mut self, lane: Lane) -> &mut VecDeque<u64> {
        match lane {
            Lane::Events => &mut self.events,
            Lane::Ordered => &mut self.ordered,
            Lane::Consents => &mut self.consents,
        }
    }

    /// Brings back those that have waited enough.
    fn bring_back(&mut self, now: Instant) {
        while let Some(&(at, number, lane)) = self.later.front() {
            if at > now {
                break;
            }
            self.later.pop_front();
            self.of(lane).push_back(number);
        }
    }
}

impl Queue {
    fn bell(&self, lane: Lane) -> &Notify {
        match lane {
            Lane::Events => &self.events,
            Lane::Ordered => &self.ordered,
            Lane::Consents => &self.consents,
        }
    }

    /// Adds arrivals at the end. Those that came together are seen together, so that one stream takes them into one batch.
    pub fn push(&self, arrivals: &[(SpoolNumber, Lane)]) {
        let mut lanes = self.lanes.lock();
        arrivals.iter().for_each(|(number, lane)| lanes.of(*lane).push_back(number.0));
        drop(lanes);
        for lane in [Lane::Events, Lane::Ordered, Lane::Consents] {
            if arrivals.iter().any(|(_, own)| *own == lane) {
                self.bell(lane).notify_one();
            }
        }
    }

    /// Adds an arrival at the end, after a while: nothing can be done with it now, and the others don't wait for it.
    pub(super) fn push_later(&self, number: SpoolNumber, lane: Lane) {
        self.lanes.lock().later.push_back((Instant::now() + LATER, number.0, lane));
    }

    /// Puts arrivals before all others, in their order.
    pub(super) fn put_first(&self, numbers: &[(SpoolNumber, Lane)]) {
        let mut lanes = self.lanes.lock();
        for (number, lane) in numbers.iter().rev() {
            lanes.of(*lane).push_front(number.0);
        }
        drop(lanes);
        [&self.events, &self.ordered, &self.consents].into_iter().for_each(Notify::notify_one);
    }

    /// Lets streams take what waits.
    pub(super) fn open(&self) {
        self.lanes.lock().is_open = true;
        [&self.events, &self.ordered, &self.consents].into_iter().for_each(Notify::notify_one);
    }

    /// Waits for arrivals, and takes at most `max` of them: all that wait together.
    pub(super) async fn take(&self, lane: Lane, max: usize) -> Vec<SpoolNumber> {
        loop {
            let notified = self.bell(lane).notified();
            let taken: Vec<SpoolNumber> = {
                let mut lanes = self.lanes.lock();
                lanes.bring_back(Instant::now());
                let is_open = lanes.is_open;
                let waiting = lanes.of(lane);
                let count = if is_open { max.min(waiting.len()) } else { 0 };
                let taken = waiting.drain(..count).map(SpoolNumber).collect();
                if !waiting.is_empty() && is_open {
                    // Another stream takes the rest.
                    self.bell(lane).notify_one();
                }
                taken
            };
            if !taken.is_empty() {
                return taken;
            }
            let _rung_or_time_to_look = timeout(LOOK, notified).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_put_off_comes_back_after_the_others() {
        let queue = Queue::default();
        queue.open();
        queue.push_later(SpoolNumber(1), Lane::Events);
        queue.push(&[(SpoolNumber(2), Lane::Events)]);
        assert_eq!(queue.take(Lane::Events, 10).await, [SpoolNumber(2)], "the others don't wait");
        queue.lanes.lock().bring_back(Instant::now() + LATER);
        assert_eq!(queue.take(Lane::Events, 10).await, [SpoolNumber(1)]);
    }

    #[tokio::test]
    async fn nothing_is_taken_before_it_is_known_what_waited_and_then_all_in_order() {
        let queue = Queue::default();
        queue.push(&[(SpoolNumber(5), Lane::Events)]);
        let early = tokio::time::timeout(std::time::Duration::from_millis(20), queue.take(Lane::Events, 10)).await;
        assert!(early.is_err());
        queue.put_first(&[
            (SpoolNumber(1), Lane::Events),
            (SpoolNumber(2), Lane::Ordered),
            (SpoolNumber(3), Lane::Events),
        ]);
        queue.open();
        assert_eq!(queue.take(Lane::Events, 2).await, [SpoolNumber(1), SpoolNumber(3)]);
        assert_eq!(queue.take(Lane::Events, 2).await, [SpoolNumber(5)]);
        assert_eq!(queue.take(Lane::Ordered, 2).await, [SpoolNumber(2)]);
    }
}
