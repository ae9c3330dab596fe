//! Measures the patients' index: `cargo run -p sillage-ledger --example index_rebuild [patients] [depth]`, by default a
//! million patients over 2^16 buckets. Prints how fast records are applied, how long index commits take, how long it
//! takes to open the ledger again, and memory.

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{START_MS, batch, command, command2, genesis, keks, record};
use prost::Message;
use sillage_ledger::{CommandOutcome, Ledger, Options, StageTimes};
use sillage_proof::hash::sha256;
use sillage_proto::v1::Genesis;

/// Records of one batch, and of one command.
const BATCH: u64 = 1_000;
/// An index commit comes after this many records.
const COMMIT_EVERY: u64 = 20_000;

struct Bench {
    ledger: Ledger,
    records: u64,
    seq: u64,
    patients: u64,
}

/// The `number`th patient's tag, spread over the range of the log.
fn tag(number: u64) -> [u8; 32] {
    let mut tag = sha256(&[b"a patient to measure with", &number.to_be_bytes()]).to_bytes();
    tag[0] = 0x11 + tag[0] % 0x6e;
    tag
}

fn open(dir: &Path, depth: u32) -> Ledger {
    let mut genesis = Genesis::decode(&genesis()[..]).expect("own genesis");
    genesis.index_depth = depth;
    Ledger::open(dir, &genesis.encode_to_vec(), keks(), Options::default()).expect("a ledger")
}

impl Bench {
    /// Makes a batch first: what it takes isn't the ledger's time.
    fn batch(&mut self, patient: impl Fn(u64) -> u64, count: u64) -> Vec<u8> {
        let begin = self.records;
        self.records += count;
        self.seq += 1;
        let records = (begin..begin + count).map(|n| record(n, tag(patient(n) % self.patients), 1));
        command(vec![batch(2, "s", self.seq, records.collect())])
    }

    fn apply(&mut self, data: &[u8]) -> Duration {
        let (index, _) = self.ledger.applied();
        let start = Instant::now();
        let outcomes = self.ledger.apply(index + 1, 1, START_MS + index, data).expect("applied");
        let took = start.elapsed();
        assert!(outcomes.iter().all(|outcome| !matches!(outcome, CommandOutcome::Refused(_))), "{outcomes:?}");
        took
    }

    fn commit(&mut self) -> Duration {
        let data = command2(Vec::new(), Vec::new(), true);
        self.apply(&data)
    }

    /// Applies `records` records; returns the time of applying alone, and of the index commits among them.
    fn run(&mut self, records: u64, commits: bool, patient: impl Fn(u64) -> u64 + Copy) -> (Duration, Duration) {
        let (mut applying, mut committing) = (Duration::ZERO, Duration::ZERO);
        for done in (0..records).step_by(BATCH as usize) {
            let data = self.batch(patient, BATCH);
            applying += self.apply(&data);
            if commits && (done + BATCH).is_multiple_of(COMMIT_EVERY) {
                committing += self.commit();
            }
        }
        (applying, committing)
    }
}

fn memory_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kb.unwrap_or(0) / 1_024
}

/// Processor time of the thread beside applying, in µs.
fn worker_us() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let worker = tasks
        .map(|task| task.path())
        .find(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == "ledger-index"));
    let times = worker.and_then(|task| std::fs::read_to_string(task.join("schedstat")).ok());
    let ns = times.and_then(|times| times.split_whitespace().next()?.parse::<u64>().ok());
    ns.unwrap_or(0) / 1_000
}

fn stages(before: StageTimes, after: StageTimes) -> String {
    let records = (after.records - before.records).max(1) as f64 * 1_000.0;
    let part = |before: u64, after: u64| (after - before) as f64 / records;
    format!(
        "decode {:.2}, check {:.2}, encode {:.2}, hash {:.2}, index {:.2}, write {:.2}",
        part(before.decode_ns, after.decode_ns),
        part(before.check_ns, after.check_ns),
        part(before.encode_ns, after.encode_ns),
        part(before.hash_ns, after.hash_ns),
        part(before.index_ns, after.index_ns),
        part(before.write_ns, after.write_ns),
    )
}

fn median(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() - 1])
}

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>().expect("a number"));
    let patients = args.next().unwrap_or(1_000_000);
    let depth = args.next().and_then(|depth| u32::try_from(depth).ok()).unwrap_or(16);
    let dir = tempfile::tempdir().expect("a folder");
    let mut bench = Bench { ledger: open(dir.path(), depth), records: 0, seq: 0, patients };
    println!("{patients} patients, 2^{depth} buckets; {BATCH} records a batch and a command; {} MB", memory_mb());

    let (applying, committing) = bench.run(patients, true, |n| n);
    let rate = patients as f64 / applying.as_secs_f64();
    println!(
        "every patient once: {rate:.0} records/s; index commits every {COMMIT_EVERY}: {:.1} s in all",
        committing.as_secs_f64()
    );

    for (what, commits) in [("no index commit", false), ("an index commit every 20,000", true)] {
        let (before, worker) = (bench.ledger.entry_reader().stats().times(), worker_us());
        let records = 400_000;
        let spread = |n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % 100_000;
        let (applying, committing) = bench.run(records, commits, spread);
        let rate = records as f64 / (applying + committing).as_secs_f64();
        println!("{records} records of 100,000 patients, {what}: {rate:.0} records/s");
        println!(
            "  µs a record of the applying thread: {}",
            stages(before, bench.ledger.entry_reader().stats().times())
        );
        println!("  µs a record of the thread beside it: {:.2}", (worker_us() - worker) as f64 / records as f64);
        if !commits {
            println!("  the index commit after them: {:.1} ms", bench.commit().as_secs_f64() * 1_000.0);
        }
    }

    for changed in [1_000, 10_000] {
        let mut times = Vec::new();
        for round in 0..20_u64 {
            for part in 0..changed / BATCH {
                let salt = round * 64 + part;
                let data = bench.batch(|n| n.wrapping_add(salt << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16, BATCH);
                bench.apply(&data);
            }
            // As when the leader waits its second: the worker has caught up.
            while bench.ledger.entry_reader().changed_patients() * 100 < changed * 95 {
                std::thread::yield_now();
            }
            times.push(bench.commit());
        }
        let (median, worst) = median(times);
        println!("index commit, {changed} changed of {patients}: median {median:.1?}, worst of 20 {worst:.1?}");
    }

    bench.ledger.flush().expect("writable");
    println!("memory before closing: {} MB", memory_mb());
    let head = bench.ledger.entry_reader().head();
    drop(bench);
    for _ in 0..3 {
        let start = Instant::now();
        let ledger = open(dir.path(), depth);
        println!("opened again with {} patients in {:.2?}, {} MB", patients, start.elapsed(), memory_mb());
        assert_eq!(ledger.entry_reader().head(), head);
    }
}
