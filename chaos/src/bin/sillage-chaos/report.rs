//! The result of a hunt: faults by kind, what was acknowledged, and how long nothing was.

use super::kinds::Kind;
use super::run::Outcome;
use serde_json::{Value, json};
use sillage_chaos::load::stats::Outages;
use std::collections::BTreeMap;
use std::time::Duration;

/// A fault that was made.
#[derive(Clone, Copy, Debug)]
pub struct Struck {
    /// Which.
    pub kind: Kind,
    /// The longest time without an acknowledgement that has a part in it.
    pub outage: Option<Duration>,
}

/// The result of a hunt.
#[derive(Debug, Default)]
pub struct Report {
    /// The faults.
    pub struck: Vec<Struck>,
    /// Records acknowledged.
    pub records: usize,
    /// Decisions acknowledged.
    pub decisions: usize,
    /// How long it took.
    pub seconds: u64,
}

impl Report {
    /// Adds what a round acknowledged.
    pub fn add(&mut self, outcome: &Outcome) {
        self.records += outcome.records;
        self.decisions += outcome.decided;
    }

    fn outages(&self) -> BTreeMap<Kind, Outages> {
        let mut by_kind: BTreeMap<Kind, Vec<Duration>> = BTreeMap::new();
        for struck in &self.struck {
            by_kind.entry(struck.kind).or_default().extend(struck.outage);
        }
        by_kind.into_iter().map(|(kind, times)| (kind, Outages::of(times))).collect()
    }

    fn of_all(&self) -> Outages {
        Outages::of(self.struck.iter().filter_map(|struck| struck.outage).collect())
    }

    /// As a table for people.
    pub fn table(&self) -> String {
        let mut out = format!(
            "{} faults in {} s, {} records and {} decisions acknowledged\n{:<14} {:>6} {:>9} {:>9} {:>9}  ms without an \
             acknowledgement\n",
            self.struck.len(),
            self.seconds,
            self.records,
            self.decisions,
            "fault",
            "count",
            "p50",
            "p99",
            "max"
        );
        let rows = self.outages().into_iter().map(|(kind, outages)| (kind.to_string(), outages));
        for (name, outages) in rows.chain([("all".to_owned(), self.of_all())]) {
            let Outages { count, p50_ms, p99_ms, max_ms } = outages;
            out.push_str(&format!("{name:<14} {count:>6} {p50_ms:>9} {p99_ms:>9} {max_ms:>9}\n"));
        }
        out
    }

    /// The same for programs, on one line.
    pub fn json(&self, seed: u64) -> Value {
        let by_kind: BTreeMap<String, Outages> = self.outages().into_iter().map(|(k, o)| (k.to_string(), o)).collect();
        json!({
            "seed": seed,
            "seconds": self.seconds,
            "records": self.records,
            "decisions": self.decisions,
            "without_acknowledgement": self.of_all(),
            "by_kind": by_kind,
        })
    }
}
