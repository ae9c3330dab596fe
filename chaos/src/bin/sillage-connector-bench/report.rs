//! The output.

use super::point::Point;
use super::spool::Spooled;
use serde::Serialize;
use sillage_chaos::load::machine::Machine;
use std::fmt::Write as _;

/// The connector's own account of the run.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Day {
    /// Events on record.
    pub recorded: u64,
    /// Events that wait.
    pub waiting: u64,
    /// Events that were refused.
    pub refused: u64,
    /// Retries.
    pub repeated: u64,
    /// Arrivals that are missing.
    pub gaps: u64,
}

/// Everything that was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// The ways of sending.
    pub points: Vec<Point>,
    /// Events that waited.
    pub spool: Option<Spooled>,
    /// The connector's own word on the run.
    pub day: Day,
}

impl Report {
    /// As a table for a terminal and for `docs/performance.md`.
    pub fn text(&self) -> String {
        let m = &self.machine;
        let mut out = format!(
            "{} ({} cores), fdatasync {:.0} µs; three nodes, the connector and this program share it.\n\n\
             | way | clients | events/s | p50 ms | p99 ms | connector µs/event | nodes µs/event |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
            m.processor, m.cores, m.fdatasync_us
        );
        let ms = |ms: Option<f64>| ms.map_or("–".to_owned(), |ms| format!("{ms:.1}"));
        for p in &self.points {
            let _ = writeln!(
                out,
                "| {} | {} | {:.0} | {} | {} | {:.0} | {:.0} |",
                p.way,
                p.clients,
                p.events_per_s,
                ms(p.p50_ms),
                ms(p.p99_ms),
                p.connector_cpu_us,
                p.nodes_cpu_us
            );
        }
        out.push('\n');
        for (rest, grpc) in [("REST, one by one", "gRPC, one by one"), ("REST, bundles of 100", "gRPC, batches of 100")]
        {
            let best = |way: &str| {
                let of = self.points.iter().filter(|p| p.way == way).map(|p| p.events_per_s);
                of.fold(0.0, f64::max)
            };
            let _ = writeln!(out, "{rest}: {:.2} of {grpc}, the best of each.", best(rest) / best(grpc).max(1.0));
        }
        if let Some(Spooled { events, taken_s, drained_s }) = &self.spool {
            let _ = writeln!(
                out,
                "{events} events while the nodes were away: taken in {taken_s:.1} s, on record {drained_s:.1} s after their return."
            );
        }
        let Day { recorded, waiting, refused, repeated, gaps } = self.day;
        let _ = write!(
            out,
            "The connector's account: {recorded} recorded, {waiting} waiting, {refused} refused, {repeated} repeated, {gaps} missing."
        );
        out
    }
}
