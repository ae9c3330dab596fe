//! Token buckets: how much one party may ask for in a second.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Above this many buckets, full ones are dropped: they say nothing that a new one would not.
const BUCKETS_SWEPT_ABOVE: usize = 4_096;

/// One bucket per key. A bucket holds one second's worth, but never less than `burst_min`, and is full at first.
#[derive(Debug)]
pub struct Quotas<K> {
    burst_min: u64,
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    capacity: f64,
    rate_per_s: f64,
    filled_at: Instant,
}

/// Too much was asked for; nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// When the same request would pass, if nothing else is asked for.
    pub retry_after: Duration,
}

impl<K: Eq + Hash> Quotas<K> {
    /// `burst_min` must be at least the largest single request, or that one would never pass.
    pub fn new(burst_min: u64) -> Self {
        Self { burst_min, buckets: Mutex::new(HashMap::new()) }
    }

    /// Takes `amount` from the bucket of `key`, which fills at `rate_per_s`.
    ///
    /// # Errors
    /// When the bucket doesn't hold that much now.
    pub fn take(&self, key: K, rate_per_s: u32, amount: u64) -> Result<(), Exceeded> {
        self.take_at(key, rate_per_s, amount, Instant::now())
    }

    /// Takes `amount` more for a request of which `taken` was taken before; what was is not given back. All of it is never more
    /// than a full bucket.
    ///
    /// # Errors
    /// When the bucket doesn't hold that much now.
    pub fn take_more(&self, key: K, rate_per_s: u32, amount: u64, taken: u64) -> Result<(), Exceeded> {
        self.take_more_at(key, rate_per_s, (amount, taken), Instant::now())
    }

    fn take_more_at(&self, key: K, rate_per_s: u32, (amount, taken): (u64, u64), now: Instant) -> Result<(), Exceeded> {
        let full = u64::from(rate_per_s.max(1)).max(self.burst_min);
        let amount = amount.min(full.saturating_sub(taken));
        self.take_at(key, rate_per_s, amount, now).map_err(|Exceeded { retry_after }| {
            // The same request takes all of it again.
            let again = Duration::from_secs_f64(taken as f64 / f64::from(rate_per_s.max(1)));
            Exceeded { retry_after: retry_after + again }
        })
    }

    fn take_at(&self, key: K, rate_per_s: u32, amount: u64, now: Instant) -> Result<(), Exceeded> {
        let rate_per_s = f64::from(rate_per_s.max(1));
        let capacity = rate_per_s.max(self.burst_min as f64);
        let mut buckets = self.buckets.lock();
        if buckets.len() > BUCKETS_SWEPT_ABOVE {
            buckets.retain(|_, bucket| bucket.filled(now) < bucket.capacity);
        }
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: capacity, capacity, rate_per_s, filled_at: now });
        // The rate on record may have changed since.
        (bucket.capacity, bucket.rate_per_s) = (capacity, rate_per_s);
        bucket.tokens = bucket.filled(now);
        bucket.filled_at = now;
        let missing = amount as f64 - bucket.tokens;
        if missing > 0.0 {
            let retry_after = Duration::from_secs_f64(missing / rate_per_s);
            return Err(Exceeded { retry_after });
        }
        bucket.tokens -= amount as f64;
        Ok(())
    }
}

impl Bucket {
    fn filled(&self, now: Instant) -> f64 {
        let passed_s = now.saturating_duration_since(self.filled_at).as_secs_f64();
        (self.tokens + passed_s * self.rate_per_s).min(self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_says_when_to_come_back_and_fills_again() {
        let quotas = Quotas::new(10);
        let start = Instant::now();
        assert_eq!(quotas.take_at("a", 100, 100, start), Ok(()));
        let exceeded = quotas.take_at("a", 100, 50, start).unwrap_err();
        assert_eq!(exceeded.retry_after, Duration::from_millis(500));
        assert_eq!(quotas.take_at("b", 100, 50, start), Ok(()));
        let later = start + exceeded.retry_after;
        assert_eq!(quotas.take_at("a", 100, 50, later), Ok(()));
        assert!(quotas.take_at("a", 100, 1, later).is_err());
    }

    #[test]
    fn what_is_taken_in_two_parts_passes_after_the_time_that_was_said() {
        let quotas = Quotas::new(100);
        let start = Instant::now();
        assert_eq!(quotas.take_at(1, 10, 30, start), Ok(()));
        let ask = |now| quotas.take_at(1, 10, 20, now).and_then(|()| quotas.take_more_at(1, 10, (80, 20), now));
        let exceeded = ask(start).unwrap_err();
        assert_eq!(exceeded.retry_after, Duration::from_secs(5));
        assert!(ask(start + exceeded.retry_after - Duration::from_millis(200)).is_err());
        let quotas = Quotas::new(100);
        assert_eq!(quotas.take_at(1, 10, 30, start), Ok(()));
        // More than a full bucket is never asked for.
        let ask = |now| quotas.take_at(1, 10, 20, now).and_then(|()| quotas.take_more_at(1, 10, (8_000, 20), now));
        let exceeded = ask(start).unwrap_err();
        assert_eq!(ask(start + exceeded.retry_after), Ok(()));
    }

    #[test]
    fn the_largest_single_request_passes_a_small_quota() {
        let quotas = Quotas::new(4_096);
        let start = Instant::now();
        assert_eq!(quotas.take_at(1, 5, 4_096, start), Ok(()));
        assert!(quotas.take_at(1, 5, 4_096, start).is_err());
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let quotas = Quotas::new(1);
        let start = Instant::now();
        for key in 0..=BUCKETS_SWEPT_ABOVE {
            assert_eq!(quotas.take_at(key, 10, 1, start), Ok(()));
        }
        let later = start + Duration::from_secs(1);
        assert_eq!(quotas.take_at(usize::MAX, 10, 1, later), Ok(()));
        assert_eq!(quotas.buckets.lock().len(), 1);
    }
}
