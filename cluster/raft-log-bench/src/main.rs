//! The Raft log of `sillage-cluster` beside TiKV's `raft-engine` and a bare write + fdatasync of the same bytes, in one
//! run on one disk: appends per second and latency of durable appends, bytes on disk. A benchmark asserts nothing.

use protobuf::well_known_types::BytesValue;
use raft::eraftpb::Entry;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize, RecoveryMode};
use sillage_cluster::LogConfig;
use sillage_cluster::log::{Batch, LogStore, RealDisk, SegmentedLog};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// An entry for `raft-engine`, whose interface wants a protobuf 2 message: the index in front of the payload.
struct Wrapped;

impl MessageExt for Wrapped {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        u64::from_be_bytes(entry.value[..8].try_into().expect("made with an index in front"))
    }
}

struct Figures {
    appends_per_s: f64,
    p50_us: u128,
    p99_us: u128,
    disk_bytes: u64,
}

fn measure(dir: &Path, appends: u64, mut append: impl FnMut(u64)) -> Figures {
    let mut latencies: Vec<Duration> = Vec::with_capacity(usize::try_from(appends).expect("few appends"));
    let begun = Instant::now();
    for index in 1..=appends {
        let one = Instant::now();
        append(index);
        latencies.push(one.elapsed());
    }
    let seconds = begun.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |percent: usize| latencies[(latencies.len() * percent / 100).min(latencies.len() - 1)].as_micros();
    Figures { appends_per_s: appends as f64 / seconds, p50_us: at(50), p99_us: at(99), disk_bytes: bytes_under(dir) }
}

fn bytes_under(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let files = std::fs::read_dir(dir).expect("the folder was just made").flatten();
    files.filter_map(|f| f.metadata().ok()).filter(|m| m.is_file()).map(|m| m.blocks() * 512).sum()
}

fn ours(dir: &Path, payload: &[u8], appends: u64) -> Figures {
    let disk = RealDisk::open(dir).expect("a fresh folder opens");
    let (mut log, _) = SegmentedLog::open(disk, 1, LogConfig::default(), (0, 0)).expect("a fresh log opens");
    measure(dir, appends, |index| {
        let entry = Entry { index, term: 1, data: payload.to_vec(), ..Entry::default() };
        let mut batch = Batch::default();
        batch.entries(&[entry]);
        log.append(&batch).expect("the disk works");
    })
}

fn theirs(dir: &Path, payload: &[u8], appends: u64) -> Figures {
    let config = Config {
        dir: dir.display().to_string(),
        recovery_mode: RecoveryMode::AbsoluteConsistency,
        batch_compression_threshold: ReadableSize(0), // sealed payloads do not compress
        target_file_size: ReadableSize::mb(64),
        ..Config::default()
    };
    let engine = Engine::open(config).expect("a fresh log opens");
    measure(dir, appends, |index| {
        let mut entry = BytesValue::new();
        entry.value = [&index.to_be_bytes()[..], payload].concat();
        let mut batch = LogBatch::default();
        batch.add_entries::<Wrapped>(1, &[entry]).expect("within its bounds");
        engine.write(&mut batch, true).expect("the disk works");
    })
}

fn floor(dir: &Path, payload: &[u8], appends: u64) -> Figures {
    let path = dir.join("floor");
    let file: File = OpenOptions::new().create(true).append(true).open(path).expect("a fresh file opens");
    measure(dir, appends, |_| {
        (&file).write_all(payload).expect("the disk works");
        file.sync_data().expect("the disk works");
    })
}

/// One way of appending: folder, payload, number of appends.
type Store = fn(&Path, &[u8], u64) -> Figures;

fn main() {
    let base: PathBuf = std::env::temp_dir().join(format!("raft-log-bench-{}", std::process::id()));
    let sizes: [(usize, u64); 4] = [(512, 4000), (16 << 10, 3000), (128 << 10, 1500), (1 << 20, 300)];
    let stores: [(&str, Store); 3] = [("sillage-cluster", ours), ("raft-engine 0.4", theirs), ("write + fdatasync", floor)];
    println!("| bytes an append | store | appends/s | MB/s | p50 µs | p99 µs | disk / payload |");
    println!("| ---: | --- | ---: | ---: | ---: | ---: | ---: |");
    for (bytes, appends) in sizes {
        // Bytes that do not compress, as sealed payloads are.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let payload: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[0]
        })
        .take(bytes)
        .collect();
        for (name, store) in stores {
            let dir = base.join(format!("{}-{bytes}", name.replace(' ', "-")));
            std::fs::create_dir_all(&dir).expect("the temporary folder can be written");
            let f = store(&dir, &payload, appends);
            let written = bytes as f64 * appends as f64;
            println!(
                "| {bytes} | {name} | {:.0} | {:.1} | {} | {} | {:.2} |",
                f.appends_per_s,
                f.appends_per_s * bytes as f64 / 1e6,
                f.p50_us,
                f.p99_us,
                f.disk_bytes as f64 / written
            );
        }
    }
    std::fs::remove_dir_all(&base).expect("the temporary folder can be removed");
}
