//! Figures about latencies.

use serde::Serialize;
use std::time::{Duration, Instant};

/// The smallest duration that `share` (0 to 1) of all do not exceed; zero where there are none.
pub fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or_default()
}

/// The longest time between two neighbours of `times` (ascending) that has a part in `from..=to`; `None` where no two lie
/// around any of it.
pub fn longest_gap(times: &[Instant], from: Instant, to: Instant) -> Option<Duration> {
    let around = times.windows(2).filter(|pair| pair[0] <= to && pair[1] >= from);
    around.map(|pair| pair[1] - pair[0]).max()
}

/// Times without an acknowledgement, one for each fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outages {
    /// How many.
    pub count: usize,
    /// Median, milliseconds.
    pub p50_ms: u64,
    /// 99th percentile, milliseconds.
    pub p99_ms: u64,
    /// The longest, milliseconds.
    pub max_ms: u64,
}

impl Outages {
    /// Of these.
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let ms = |share| u64::try_from(percentile(&times, share).as_millis()).unwrap_or(u64::MAX);
        Self { count: times.len(), p50_ms: ms(0.5), p99_ms: ms(0.99), max_ms: ms(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_is_of_those_around_the_fault() {
        let zero = Instant::now();
        let at = |ms: u64| zero + Duration::from_millis(ms);
        let times = [at(0), at(900), at(1_000), at(1_600), at(1_700), at(9_000)];
        assert_eq!(longest_gap(&times, at(1_100), at(1_300)), Some(Duration::from_millis(600)));
        assert_eq!(longest_gap(&times, at(950), at(1_300)), Some(Duration::from_millis(600)));
        assert_eq!(longest_gap(&times, at(500), at(1_650)), Some(Duration::from_millis(900)));
        assert_eq!(longest_gap(&times, at(9_001), at(9_002)), None);
        assert_eq!(longest_gap(&[], at(0), at(1)), None);
        let outages = Outages::of(vec![Duration::from_millis(30), Duration::from_millis(10)]);
        assert_eq!(outages, Outages { count: 2, p50_ms: 10, p99_ms: 30, max_ms: 30 });
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let all: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&all, 0.5).as_millis(), 100);
        assert_eq!(percentile(&all, 0.99).as_millis(), 198);
        assert_eq!(percentile(&all, 0.0).as_millis(), 1);
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }
}
