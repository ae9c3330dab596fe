//! The output.

use super::point::Point;
use serde::Serialize;
use sillage_chaos::load::machine::Machine;
use std::fmt::Write as _;

/// Everything that was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// The ledger.
    pub points: Vec<Point>,
}

impl Report {
    /// As a table on a terminal.
    pub fn text(&self) -> String {
        let mut out = self.head();
        let _ = writeln!(
            out,
            "{:<34} {:>8} {:>10} {:>9} {:>9} {:>9}",
            "what", "clients", "a second", "p50 ms", "p99 ms", "nodes µs"
        );
        for p in &self.points {
            let _ = writeln!(
                out,
                "{:<34} {:>8} {:>10.0} {:>9.1} {:>9.1} {:>9.0}",
                p.what, p.clients, p.per_s, p.p50_ms, p.p99_ms, p.nodes_cpu_us
            );
        }
        let _ = write!(out, "\n{}", self.beside());
        out
    }

    /// As a table for `docs/performance.md`.
    pub fn markdown(&self) -> String {
        let mut out = self.head();
        out.push_str("| what | clients | a second | p50 ms | p99 ms | nodes µs each |\n");
        out.push_str("| --- | ---: | ---: | ---: | ---: | ---: |\n");
        for p in &self.points {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {:.1} | {:.1} | {:.0} |",
                p.what,
                p.clients,
                thousands(p.per_s),
                p.p50_ms,
                p.p99_ms,
                p.nodes_cpu_us
            );
        }
        let _ = write!(out, "\n{}", self.beside());
        out
    }

    fn head(&self) -> String {
        let m = &self.machine;
        let (processor, cores, fdatasync) = (&m.processor, m.cores, m.fdatasync_us);
        format!(
            "{processor} ({cores} cores), fdatasync {fdatasync:.0} µs; three nodes, their clients and this program share it.\n\n"
        )
    }

    /// A decision's latency against that of a plain record.
    fn beside(&self) -> String {
        let mut out = String::new();
        for append in self.points.iter().filter(|p| p.requests_per_call == 0) {
            let same = self.points.iter().filter(|p| p.requests_per_call == 1 && p.clients == append.clients);
            let times = same.map(|p| format!("{:.2} ({})", p.p50_ms / append.p50_ms, p.what));
            let _ = writeln!(
                out,
                "{} clients, p50 of a decision over that of an append: {}.",
                append.clients,
                times.collect::<Vec<_>>().join(", ")
            );
        }
        out
    }
}

/// A whole number with its thousands apart.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_was_measured() {
        let point = |what: &str, each, p50_ms| Point {
            what: what.to_owned(),
            requests_per_call: each,
            clients: 4,
            per_s: 1_234.4,
            p50_ms,
            ..Point::default()
        };
        let report = Report {
            points: vec![point("append", 0, 2.0), point("decision", 1, 3.0), point("round", 40, 9.0)],
            ..Report::default()
        };
        let text = report.markdown();
        assert!(text.contains("| decision | 4 | 1,234 | 3.0 | 0.0 | 0 |"), "{text}");
        assert!(text.contains("over that of an append: 1.50 (decision)."), "{text}");
        assert_eq!((thousands(999.0), thousands(1_000_000.0)), ("999".to_owned(), "1,000,000".to_owned()));
    }
}
