//! A bounded queue whose sender never waits: what doesn't fit is kept on the sender's side.

use std::collections::VecDeque;

use crossbeam_channel::{Sender, TrySendError};

/// The Raft thread's end of a queue to another thread.
pub(crate) struct Outbox<T> {
    kept: VecDeque<T>,
    queue: Sender<T>,
}

impl<T> Outbox<T> {
    pub(crate) fn new(queue: Sender<T>) -> Self {
        Outbox { kept: VecDeque::new(), queue }
    }

    pub(crate) fn push(&mut self, item: T) {
        self.kept.push_back(item);
        self.flush();
    }

    /// Hands over what fits.
    pub(crate) fn flush(&mut self) {
        while let Some(item) = self.kept.pop_front() {
            match self.queue.try_send(item) {
                Ok(()) => {}
                Err(TrySendError::Full(item)) => {
                    self.kept.push_front(item);
                    return;
                }
                // The other thread has ended: the process is stopping.
                Err(TrySendError::Disconnected(_)) => self.kept.clear(),
            }
        }
    }

    /// Tells whether the other side is behind.
    pub(crate) fn is_behind(&self) -> bool {
        !self.kept.is_empty()
    }

    pub(crate) fn queue(&self) -> &Sender<T> {
        &self.queue
    }

    /// Lets go of what is kept.
    pub(crate) fn close(self) -> Sender<T> {
        self.queue
    }
}
