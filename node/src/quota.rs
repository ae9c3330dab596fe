//! Token buckets: how much one party may ask for in a second.
//!
//! A bucket holds [`BURST_S`] seconds' worth, so that the burst goes with the rate. A caller with something left in it
//! gets the whole call; the excess is a debt, and nothing more is given until it is paid off. So the largest request
//! passes the smallest quota, and over time nobody gets more than the rate.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Above this many buckets, full ones are dropped: they say nothing that a new one would not.
const BUCKETS_SWEPT_ABOVE: usize = 4_096;
/// How many seconds' worth a bucket holds.
pub const BURST_S: u32 = 2;
/// A smaller rate would make waits that nobody sits out.
const RATE_MIN: f64 = 0.01;

/// One bucket per key, full at first.
#[derive(Debug)]
pub struct Quotas<K> {
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Below 0: a debt.
    tokens: f64,
    rate_per_s: f64,
    filled_at: Instant,
}

/// Too much was asked for; nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// When the same request would pass, if nothing else is asked for.
    pub retry_after: Duration,
}

impl<K> Default for Quotas<K> {
    fn default() -> Self {
        Self { buckets: Mutex::default() }
    }
}

impl<K: Eq + Hash> Quotas<K> {
    /// Takes `amount` from the bucket of `key`, which fills at `rate_per_s`.
    ///
    /// # Errors
    /// When nothing is left in it.
    pub fn take(&self, key: K, rate_per_s: f64, amount: u64) -> Result<(), Exceeded> {
        self.take_at(key, rate_per_s, amount, Instant::now())
    }

    /// Counts `amount` that was given already.
    pub fn charge(&self, key: K, rate_per_s: f64, amount: u64) {
        self.with(key, rate_per_s, Instant::now(), |bucket| bucket.tokens -= amount as f64);
    }

    fn take_at(&self, key: K, rate_per_s: f64, amount: u64, now: Instant) -> Result<(), Exceeded> {
        self.with(key, rate_per_s, now, |bucket| {
            // Of a rate below one in two seconds, a full bucket is less than one.
            let missing = (amount as f64).min(1.0).min(bucket.capacity()) - bucket.tokens;
            if missing > 0.0 {
                return Err(Exceeded { retry_after: Duration::from_secs_f64(missing / bucket.rate_per_s) });
            }
            bucket.tokens -= amount as f64;
            Ok(())
        })
    }

    fn with<T>(&self, key: K, rate_per_s: f64, now: Instant, use_it: impl FnOnce(&mut Bucket) -> T) -> T {
        let rate_per_s = rate_per_s.max(RATE_MIN);
        let mut buckets = self.buckets.lock();
        if buckets.len() > BUCKETS_SWEPT_ABOVE {
            buckets.retain(|_, bucket| bucket.filled(now) < bucket.capacity());
        }
        let full = rate_per_s * f64::from(BURST_S);
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: full, rate_per_s, filled_at: now });
        bucket.tokens = bucket.filled(now).min(full);
        // The rate on record may have changed since.
        (bucket.rate_per_s, bucket.filled_at) = (rate_per_s, now);
        use_it(bucket)
    }
}

impl Bucket {
    fn capacity(&self) -> f64 {
        self.rate_per_s * f64::from(BURST_S)
    }

    fn filled(&self, now: Instant) -> f64 {
        let passed_s = now.saturating_duration_since(self.filled_at).as_secs_f64();
        (self.tokens + passed_s * self.rate_per_s).min(self.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLACK: Duration = Duration::from_micros(10);

    #[test]
    fn a_bucket_empties_says_when_to_come_back_and_fills_again() {
        let quotas = Quotas::default();
        let start = Instant::now();
        assert_eq!(quotas.take_at("a", 100.0, 199, start), Ok(()));
        assert_eq!(quotas.take_at("a", 100.0, 51, start), Ok(()), "one is left: it gets all of it");
        let exceeded = quotas.take_at("a", 100.0, 50, start).unwrap_err();
        assert_eq!(exceeded.retry_after, Duration::from_millis(510), "the debt, and one");
        assert_eq!(quotas.take_at("b", 100.0, 50, start), Ok(()));
        let later = start + exceeded.retry_after;
        assert!(quotas.take_at("a", 100.0, 50, later - Duration::from_millis(1)).is_err());
        assert_eq!(quotas.take_at("a", 100.0, 50, later + SLACK), Ok(()));
        assert!(quotas.take_at("a", 100.0, 1, later + SLACK).is_err());
    }

    #[test]
    fn the_largest_request_passes_the_smallest_quota_and_is_paid_off() {
        let quotas = Quotas::default();
        let start = Instant::now();
        assert_eq!(quotas.take_at(1, 5.0, 4_096, start), Ok(()));
        let exceeded = quotas.take_at(1, 5.0, 1, start).unwrap_err();
        assert_eq!(exceeded.retry_after.as_secs(), (4_096 - 10 + 1) / 5);
        // A rate below one in the time of a burst, too.
        assert_eq!(quotas.take_at(2, 0.1, 1, start), Ok(()));
        let exceeded = quotas.take_at(2, 0.1, 1, start).unwrap_err();
        assert_eq!(quotas.take_at(2, 0.1, 1, start + exceeded.retry_after + SLACK), Ok(()));
    }

    #[test]
    fn over_time_nobody_gets_more_than_the_rate_and_a_burst() {
        let quotas = Quotas::default();
        let start = Instant::now();
        let mut given = 0;
        for ms in 0..60_000 {
            let now = start + Duration::from_millis(ms);
            given += 7 * u64::from(quotas.take_at(1, 10.0, 7, now).is_ok());
        }
        assert!((600..=600 + 20 + 7).contains(&given), "{given}");
    }

    #[test]
    fn what_was_given_already_is_paid_off_too() {
        let quotas = Quotas::default();
        quotas.charge(1, 10.0, 120);
        assert!(quotas.take(1, 10.0, 1).unwrap_err().retry_after > Duration::from_secs(9));
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let quotas = Quotas::default();
        let start = Instant::now();
        for key in 0..=BUCKETS_SWEPT_ABOVE {
            assert_eq!(quotas.take_at(key, 10.0, 1, start), Ok(()));
        }
        let later = start + Duration::from_secs(1);
        assert_eq!(quotas.take_at(usize::MAX, 10.0, 1, later), Ok(()));
        assert_eq!(quotas.buckets.lock().len(), 1);
    }
}
