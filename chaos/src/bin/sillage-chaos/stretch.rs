//! Figures of the load in stretches of time, side by side.

use super::run::Bench;
use serde_json::{Value, json};
use sillage_chaos::load::stats::{longest_gap, percentile};
use std::time::{Duration, Instant};

/// The load in a stretch of time.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    name: &'static str,
    seconds: f64,
    records_per_s: f64,
    p50: Duration,
    p99: Duration,
    gap: Duration,
}

impl Stretch {
    /// Of what was acknowledged in `from..to`.
    pub fn of(name: &'static str, bench: &Bench, from: Instant, to: Instant) -> Self {
        let (mut latencies, mut records) = (Vec::new(), 0);
        for (at, latency, count) in bench.tally().answers() {
            if at >= from && at < to {
                latencies.push(latency);
                records += count;
            }
        }
        latencies.sort_unstable();
        let seconds = to.duration_since(from).as_secs_f64();
        let gap = longest_gap(&bench.tally().times(), from, to).unwrap_or_default();
        let [p50, p99] = [0.5, 0.99].map(|share| percentile(&latencies, share));
        Self { name, seconds, records_per_s: records as f64 / seconds, p50, p99, gap }
    }
}

/// As a table for people.
pub fn table(stretches: &[Stretch]) -> String {
    let mut out = format!(
        "{:<16} {:>9} {:>11} {:>9} {:>9} {:>14}\n",
        "load", "seconds", "records/s", "p50 ms", "p99 ms", "longest gap ms"
    );
    for Stretch { name, seconds, records_per_s, p50, p99, gap } in stretches {
        let [p50, p99, gap] = [p50, p99, gap].map(Duration::as_millis);
        out.push_str(&format!("{name:<16} {seconds:>9.1} {records_per_s:>11.0} {p50:>9} {p99:>9} {gap:>14}\n"));
    }
    out
}

/// The same for programs.
pub fn json(stretches: &[Stretch]) -> Value {
    let of = |s: &Stretch| {
        let [p50, p99, gap] = [s.p50, s.p99, s.gap].map(|time| time.as_secs_f64() * 1e3);
        json!({"load": s.name, "seconds": s.seconds, "records_per_s": s.records_per_s, "p50_ms": p50, "p99_ms": p99,
            "longest_gap_ms": gap})
    };
    stretches.iter().map(of).collect()
}
