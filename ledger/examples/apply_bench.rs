//! Measures applying plain events: `cargo run -p sillage-ledger --example apply_bench [blocks [records a batch]]`, by default 5
//! and 100.
//!
//! The events are shaped as those of `cargo xtask bench`: four batches to a command; 100,000 patients by Zipf's law;
//! one event in four deposits an item, every third of them one of its own patient's, again, and the others under the id of
//! another patient's. A block is 60,000 events, the same every time, applied on this thread after it was sealed and what
//! came before was flushed; the first block, which brings the data keys, isn't counted. Prints the processor time of this thread, so that the
//! machine needn't be quiet, of applying (on a node that sees the signatures for the first time) and of what the leader
//! checks before; then where the time of applying goes.

#[path = "../tests/common/mod.rs"]
mod common;

use common::world::{World, access, doctor, item, report};
use common::{START_MS, keks};
use prost::Message;
use sillage_ledger::seal::Sealer;
use sillage_ledger::{CommandOutcome, Options};
use sillage_proof::hash::sha256;
use sillage_proto::internal::v1::{Command, SealedBatch};
use sillage_proto::v1::{BasisKind, Correlation, Item, Record};
use sillage_rules::kind::Kind;

const EVENTS: usize = 60_000;
const SHAPES: usize = 20_000;
const PATIENTS: f64 = 100_000.0;
const TOGETHER: usize = 4;

/// Choices from a seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A patient, the one of rank `k` with a weight of about `1 / k`.
    fn patient(&mut self) -> [u8; 32] {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let rank = (PATIENTS + 1.0).powf(unit) as u64;
        let mut tag = sha256(&[b"patient", &rank.to_be_bytes()]).to_bytes();
        tag[0] = 0x11 + tag[0] % 0x5e;
        tag
    }
}

fn document(number: u64) -> Item {
    let uuid = sha256(&[b"document", &number.to_be_bytes()]);
    let hex: String = uuid.as_bytes()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let id = format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    let depositor = common::world::name(&doctor((number % 90) as u8, "general-practitioner"));
    Item { depositor, label: "Compte rendu de consultation".into(), ..report(&id, &[]) }
}

/// Of a hundred events: 22 deposits, 4 changes, 46 accesses with one or two items, 12 searches, 16 others.
fn shape(number: usize, tag: [u8; 32]) -> Record {
    let place = number as u64;
    let who = doctor((place % 90) as u8, "general-practitioner");
    let (kind, items) = match place * 37 % 100 {
        0..22 => (Kind::ACCESS_WRITE, vec![document(place)]),
        22..26 => (Kind::ACCESS_UPDATE, vec![document(place)]),
        26..72 => (Kind::ACCESS_READ, (0..1 + place % 2).map(|more| document(place + more)).collect()),
        72..84 => (Kind::ACCESS_SEARCH, vec![]),
        _ => (Kind::MOVEMENT_THIRD_PARTY, vec![document(place), item("x")]),
    };
    let record = access(kind, tag, who, &items, (BasisKind::Legal, "CSP L1111-15"));
    let correlation = Correlation { launch_context: String::new(), ids: vec![document(place / 4).id] };
    Record { purpose: "TREAT".into(), correlation: Some(correlation), occurred_at_ms: START_MS, ..record }
}

fn pool() -> Vec<Record> {
    let mut dice = Dice(5);
    (0..EVENTS).map(|number| shape(number % SHAPES, dice.patient())).collect()
}

/// Nanoseconds that this thread has been running.
fn thread_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux with schedstats");
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).expect("numbers")
}

/// Seals a block, checks it as the leader does, and applies it: nanoseconds of both.
fn block(world: &mut World, pool: &[Record], batch: usize) -> [u64; 2] {
    let sealed = (2..=3).cycle().zip(pool.chunks(batch)).map(|(author, records)| world.sealed(author, records));
    let sealed: Vec<SealedBatch> = sealed.collect();
    let commands = sealed
        .chunks(TOGETHER)
        .map(|batches| Command { version: 1, batches: batches.to_vec(), ..Command::default() }.encode_to_vec());
    let commands: Vec<Vec<u8>> = commands.collect();
    world.ledger().flush().expect("writable");
    let (reader, now) = (world.reader(), world.now);
    let start = thread_ns();
    for batch in &sealed {
        reader.check(batch, now).expect("good");
    }
    let checked = thread_ns();
    let (applied, _) = world.ledger().applied();
    for (index, command) in (applied + 1..).zip(&commands) {
        let outcomes = world.ledger().apply(index, 1, now, command).expect("applied");
        let done = |outcome: &CommandOutcome| matches!(outcome, CommandOutcome::Done { repeated: false, .. });
        assert!(outcomes.iter().all(done), "{outcomes:?}");
    }
    [checked - start, thread_ns() - checked]
}

fn main() {
    let number = |at: usize| std::env::args().nth(at).map(|count| count.parse::<usize>().expect("a number"));
    let (blocks, batch) = (number(1).unwrap_or(5), number(2).unwrap_or(100));
    let mut world = World::with(Options { background_flush: false, ..Options::default() });
    world.sealer = Sealer::new(world.reader().into(), keks(), 200_000);
    let pool = pool();
    block(&mut world, &pool, batch);
    let before = world.reader().stats().times();
    for _ in 0..blocks {
        let [checking, applying] = block(&mut world, &pool, batch).map(|ns| ns as f64 / 1e3 / EVENTS as f64);
        println!("applying {applying:.2} us an event, checking before {checking:.2}");
    }
    let after = world.reader().stats().times();
    let events = (blocks * EVENTS) as f64;
    let each = |after: u64, before: u64| (after - before) as f64 / 1e3 / events;
    println!(
        "of which decoding {:.2}, checking {:.2}, encoding {:.2}, hashing {:.2}, indexing {:.2}, writing {:.2} (wall clock)",
        each(after.decode_ns, before.decode_ns),
        each(after.check_ns, before.check_ns),
        each(after.encode_ns, before.encode_ns),
        each(after.hash_ns, before.hash_ns),
        each(after.index_ns, before.index_ns),
        each(after.write_ns, before.write_ns),
    );
    println!("{:.0} bytes written an event", (after.bytes - before.bytes) as f64 / events);
}
