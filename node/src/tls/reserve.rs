//! Connections beyond the limits, for monitoring: a few, and never full.
//!
//! A caller that uses up its connections leaves them open, and would leave those of a reserve open too. So nobody keeps
//! one: the oldest goes when the next one comes. A question of how the node is takes milliseconds.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::accept::Full;

/// The alarm that says that connections are used up.
pub trait UsedUp: Send + Sync {
    /// Raises it, with what was found.
    fn raise(&self, found: String);

    /// Tells whether it is raised.
    fn is_raised(&self) -> bool;

    /// Says that it is over.
    fn clear(&self);
}

/// See the module.
pub struct Reserve {
    max: usize,
    /// From the oldest on; to drop one closes its connection.
    open: Arc<Mutex<VecDeque<oneshot::Sender<()>>>>,
    alarm: Box<dyn UsedUp>,
}

/// Held by a connection of the reserve; ready when it has to go.
pub struct Evicted {
    evicted: oneshot::Receiver<()>,
    open: Arc<Mutex<VecDeque<oneshot::Sender<()>>>>,
}

impl Reserve {
    /// Of at most `max` connections.
    pub fn new(max: usize, alarm: impl UsedUp + 'static) -> Self {
        Self { max, open: Arc::default(), alarm: Box::new(alarm) }
    }

    /// Takes a place; the oldest connection goes where there is none.
    pub fn take(&self) -> Evicted {
        let (keep, evicted) = oneshot::channel();
        let mut open = self.open.lock();
        while open.len() >= self.max.max(1) {
            open.pop_front();
        }
        open.push_back(keep);
        Evicted { evicted, open: Arc::clone(&self.open) }
    }

    /// Says that connections are used up; `true` for who says it first.
    pub fn is_used_up(&self, full: &Full) -> bool {
        let first = !self.alarm.is_raised();
        let found = match full {
            Full::Port(max) => format!("all {max} connections of the client port are open"),
            Full::Caller(max) => format!("one caller has {max} connections open; the log names its certificate's hash"),
        };
        self.alarm.raise(found);
        first
    }

    /// Tells whether connections are used up.
    pub fn is_raised(&self) -> bool {
        self.alarm.is_raised()
    }

    /// Says that there is room again.
    pub fn relax(&self) {
        self.alarm.clear();
    }
}

impl Evicted {
    /// Ready when the connection has to go.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.evicted).poll(cx).map(drop)
    }
}

impl Drop for Evicted {
    fn drop(&mut self) {
        self.evicted.close();
        self.open.lock().retain(|keep| !keep.is_closed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::condition::alarms::{Alarm, Alarms};
    use crate::metrics::Metrics;

    fn has_to_go(evicted: &mut Evicted) -> bool {
        evicted.poll(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
    }

    #[test]
    fn the_oldest_goes_when_the_next_one_comes_and_a_place_is_given_back() {
        let reserve = Reserve::new(2, Alarms::new(Metrics::new(1)));
        let (mut first, second, mut third) = (reserve.take(), reserve.take(), reserve.take());
        assert!(has_to_go(&mut first) && !has_to_go(&mut third));
        drop(second);
        let mut fourth = reserve.take();
        assert!(!has_to_go(&mut third) && !has_to_go(&mut fourth), "the second one's place was free");
        assert_eq!(reserve.open.lock().len(), 2);
    }

    #[test]
    fn what_is_used_up_is_said_once_until_there_is_room_again() {
        let alarms = Alarms::new(Metrics::new(1));
        let reserve = Reserve::new(2, alarms.clone());
        assert!(reserve.is_used_up(&Full::Caller(128)) && !reserve.is_used_up(&Full::Port(1_024)));
        assert!(alarms.is_raised(Alarm::ConnectionsUsedUp));
        reserve.relax();
        assert!(!alarms.is_raised(Alarm::ConnectionsUsedUp) && reserve.is_used_up(&Full::Caller(128)));
    }
}
