//! The output.

use super::floor::Floor;
use super::point::Point;
use serde::Serialize;
use sillage_chaos::load::machine::Machine;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// Everything that was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// The ledger.
    pub points: Vec<Point>,
    /// The plain program.
    pub floors: Vec<Floor>,
    /// Records acknowledged in all.
    pub records: u64,
    /// Entries of the log at the end.
    pub entries: u64,
    /// Bytes on disk of each node after it was stopped, by folder of its data.
    pub disk: Vec<BTreeMap<String, u64>>,
}

/// Bytes on disk of each folder in a node's data folder.
pub fn disk(data: &Path, bytes: impl Fn(&Path) -> u64) -> BTreeMap<String, u64> {
    let folders = std::fs::read_dir(data).into_iter().flatten().flatten();
    folders.map(|entry| (entry.file_name().to_string_lossy().into_owned(), bytes(&entry.path()))).collect()
}

impl Report {
    /// As a table.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let m = &self.machine;
        let _ = writeln!(
            out,
            "{} ({} cores), fdatasync {:.0} µs; three nodes, their clients and this program share it.\n",
            m.processor, m.cores, m.fdatasync_us
        );
        let _ = writeln!(
            out,
            "{:>6} {:>8} {:>10} {:>9} {:>9} {:>13} {:>15}",
            "batch", "clients", "events/s", "p50 ms", "p99 ms", "nodes µs/ev", "clients µs/ev"
        );
        for p in &self.points {
            let _ = writeln!(
                out,
                "{:>6} {:>8} {:>10.0} {:>9.1} {:>9.1} {:>13.1} {:>15.1}",
                p.batch, p.clients, p.events_per_s, p.p50_ms, p.p99_ms, p.nodes_cpu_us, p.clients_cpu_us
            );
        }
        let _ = writeln!(
            out,
            "\nThe floor: one thread, 1 signature a batch, 9 hashes an event (record, batch leaf and batch tree once, leaf and log tree for"
        );
        let _ = writeln!(out, "each of 3 replicas), append + fdatasync of the same bytes to 3 files.");
        let _ = writeln!(
            out,
            "{:>6} {:>14} {:>10} {:>13} {:>15} {:>13}",
            "batch", "batches/fsync", "events/s", "compute µs", "bytes/event", "× the ledger"
        );
        for f in &self.floors {
            let best = self.points.iter().filter(|p| p.batch == f.batch).map(|p| p.events_per_s).fold(0.0, f64::max);
            let times = if best > 0.0 { f.events_per_s / best } else { 0.0 };
            let _ = writeln!(
                out,
                "{:>6} {:>14} {:>10.0} {:>13.1} {:>15.0} {:>13.1}",
                f.batch, f.batches_per_fsync, f.events_per_s, f.compute_us, f.bytes_per_event, times
            );
        }
        self.stages(&mut out);
        self.bytes(&mut out);
        out
    }

    fn stages(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "\nProcessor time of the nodes by thread, µs an event, three nodes together (best point of each batch size):"
        );
        for f in &self.floors {
            let of = self.points.iter().filter(|p| p.batch == f.batch);
            let Some(best) = of.max_by(|a, b| a.events_per_s.total_cmp(&b.events_per_s)) else { continue };
            let mut stages: Vec<(&String, &f64)> = best.by_stage_us.iter().collect();
            stages.sort_by(|a, b| b.1.total_cmp(a.1));
            let line: Vec<String> = stages.iter().map(|(name, us)| format!("{name} {us:.1}")).collect();
            let _ = writeln!(out, "{:>6}  {}", f.batch, line.join(", "));
        }
    }

    fn bytes(&self, out: &mut String) {
        let _ = writeln!(out, "\nBytes on disk after {} records ({} entries), by node:", self.records, self.entries);
        for (node, folders) in (1..).zip(&self.disk) {
            let each = |(name, bytes): (&String, &u64)| {
                format!(
                    "{name} {:.1} MB ({:.0} B an event)",
                    *bytes as f64 / 1e6,
                    *bytes as f64 / self.records.max(1) as f64
                )
            };
            let _ = writeln!(out, "{node:>6}  {}", folders.iter().map(each).collect::<Vec<_>>().join(", "));
        }
    }
}
