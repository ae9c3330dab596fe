//! The machine that figures are measured on.

use serde::Serialize;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// The machine.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Machine {
    /// As it calls itself.
    pub processor: String,
    /// Threads that run at a time.
    pub cores: usize,
    /// Median of an append of 4 KiB with fdatasync, microseconds.
    pub fdatasync_us: f64,
}

/// Asks the machine; the file for fdatasync goes where the ledger is.
///
/// # Errors
/// When that file can't be written.
pub fn machine(dir: &Path) -> std::io::Result<Machine> {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let path = dir.join("fdatasync");
    let mut file = File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..50 {
        file.write_all(&[1; 4_096])?;
        let began = Instant::now();
        file.sync_data()?;
        times.push(began.elapsed());
    }
    std::fs::remove_file(path)?;
    times.sort_unstable();
    Ok(Machine {
        processor: model.trim_start_matches(['\t', ' ', ':']).to_owned(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        fdatasync_us: times.get(25).map_or(0.0, Duration::as_secs_f64) * 1e6,
    })
}
