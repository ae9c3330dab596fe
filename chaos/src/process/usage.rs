//! The cost of processes: processor time and bytes on disk, as the system counts them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// `/proc` counts processor time in hundredths of a second on every architecture of Linux (USER_HZ).
const TICKS_PER_S: u64 = 100;

/// Processor time of a process so far, all threads, its own and the system's for it. `None` where it is gone.
pub fn cpu(pid: u32) -> Option<Duration> {
    parse_cpu(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields 14 (utime) and 15 (stime) of proc_pid_stat(5). The name in field 2 may hold spaces and parentheses.
fn parse_cpu(stat: &str) -> Option<Duration> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1_000 / TICKS_PER_S))
}

/// Processor time of a process by the names of its threads, numbers at their ends left out: `tokio-rt-worker` is one
/// line, however many workers there are. Threads that have ended are not in it.
pub fn cpu_by_thread(pid: u32) -> BTreeMap<String, Duration> {
    let mut by_name = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let read = |name: &str| std::fs::read_to_string(task.path().join(name)).ok();
        let (Some(name), Some(time)) = (read("comm"), read("stat").and_then(|stat| parse_cpu(&stat))) else { continue };
        let name = name.trim().trim_end_matches(|c: char| c.is_ascii_digit() || c == '-' || c == ':').to_owned();
        *by_name.entry(name).or_default() += time;
    }
    by_name
}

/// Memory of a process that is in use now, in bytes. `None` where it is gone.
pub fn memory_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1_024)
}

/// Bytes that the files under `dir` take on disk: preallocated space counts, holes do not.
pub fn disk_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => disk_bytes(&entry.path()),
            Ok(meta) => meta.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194304 10 0 0 0 250 50 0 0 20 0 1 0 100 0 0";
        assert_eq!(parse_cpu(stat), Some(Duration::from_millis(3_000)));
        assert!(cpu(std::process::id()).is_some());
        assert!(memory_bytes(std::process::id()).is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn a_written_file_is_counted() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("a"), vec![1; 100_000]).expect("written");
        assert!(disk_bytes(dir.path()) >= 100_000);
    }
}
