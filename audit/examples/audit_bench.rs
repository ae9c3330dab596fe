//! How many entries a second an audit replays: on one core, and with all of them. The log is made up in memory.
//!
//! `cargo run --release -p sillage-audit --example audit_bench -- [ENTRIES] [RECORDS A BATCH] [PATIENTS]`

use std::time::Instant;

use sillage_audit::Replay;
use sillage_audit::made::{Made, author, stream};
use sillage_audit::pipeline::{CHUNK, Pipeline, replay_here};

/// Records between two index commits: a second's worth.
const COMMIT_EVERY: usize = 10_000;

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("a number"));
    let entries = numbers.next().unwrap_or(1_000_000);
    let batch = numbers.next().unwrap_or(100);
    let patients = numbers.next().unwrap_or(100_000);
    let made = make(entries, batch, patients);
    let count = made.entries.len();
    let root = made.checkpoint().root;

    let began = Instant::now();
    let mut replay = Replay::new(made.log());
    replay_here(&mut replay, &made.entries).expect("an honest log");
    assert_eq!(replay.root(), root);
    let seconds = began.elapsed().as_secs_f64();
    println!("one core:  {count} entries in {seconds:.2} s, {:.0} entries/s", count as f64 / seconds);

    let chunks: Vec<_> = made.entries.chunks(CHUNK).map(<[_]>::to_vec).collect();
    let began = Instant::now();
    let pipeline = Pipeline::start(Replay::new(made.log()), |_| {});
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut replay = runtime.block_on(async {
        for chunk in chunks {
            pipeline.feed.send(chunk).await.expect("an honest log");
        }
        let (replay, result) = pipeline.finish().await;
        result.expect("an honest log");
        replay
    });
    assert_eq!(replay.root(), root);
    let seconds = began.elapsed().as_secs_f64();
    println!("all cores: {count} entries in {seconds:.2} s, {:.0} entries/s", count as f64 / seconds);
}

fn make(entries: u64, batch: u64, patients: u64) -> Made {
    let (key, stream) = (author(), stream(&author()));
    let mut made = Made::new();
    let mut seq = 0;
    let mut committed = 0;
    while (made.entries.len() as u64) < entries {
        seq += 1;
        let tag = |at: u64| {
            // Spread over the patients, some more often than others.
            let patient = (seq * batch + at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
            let mut tag = [1; 32];
            tag[..8].copy_from_slice(&(patient % patients).to_be_bytes());
            tag
        };
        let tags: Vec<[u8; 32]> = (0..batch).map(tag).collect();
        made.batch(&key, stream, seq, &tags);
        made.now_ms += 1;
        if made.entries.len() - committed >= COMMIT_EVERY {
            made.commit();
            committed = made.entries.len();
        }
    }
    made.commit();
    made
}
