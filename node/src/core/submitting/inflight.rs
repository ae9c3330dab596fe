//! Bytes of batches being worked on: the bound that keeps a node's memory, whatever comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::metrics::Metrics;

/// See the module.
#[derive(Debug)]
pub struct Inflight {
    bytes: AtomicUsize,
    bytes_max: usize,
    metrics: Metrics,
}

/// Room taken; given back when dropped.
#[derive(Debug)]
pub struct RoomTaken {
    inflight: Arc<Inflight>,
    bytes: usize,
}

impl Inflight {
    /// At most `bytes_max` at once.
    pub fn new(bytes_max: usize, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self { bytes: AtomicUsize::new(0), bytes_max, metrics })
    }

    /// Takes room for `bytes`, if there is any.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Option<RoomTaken> {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let room = RoomTaken { inflight: Arc::clone(self), bytes };
        let fits = before.saturating_add(bytes) <= self.bytes_max;
        self.show();
        // Dropping the room gives it back.
        fits.then_some(room)
    }

    /// Bytes taken now.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn show(&self) {
        let bytes = i64::try_from(self.bytes()).unwrap_or(i64::MAX);
        self.metrics.inflight_bytes.set(bytes);
    }
}

impl Drop for RoomTaken {
    fn drop(&mut self) {
        self.inflight.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.inflight.show();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_waits_outside() {
        let inflight = Inflight::new(100, Metrics::new(1));
        let first = inflight.take(60).expect("fits");
        assert!(inflight.take(41).is_none());
        assert!(inflight.take(40).is_some());
        assert_eq!(inflight.bytes(), 60);
        drop(first);
        assert!(inflight.take(100).is_some());
    }
}
