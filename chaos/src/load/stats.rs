//! Figures about latencies.

use std::time::Duration;

/// The smallest duration that `share` (0 to 1) of all do not exceed; zero where there are none.
pub fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let all: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&all, 0.5).as_millis(), 100);
        assert_eq!(percentile(&all, 0.99).as_millis(), 198);
        assert_eq!(percentile(&all, 0.0).as_millis(), 1);
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }
}
