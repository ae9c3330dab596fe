//! Measures deciding at apply: `cargo run -p sillage-ledger --example decide_bench [decisions]`, by default 2,000 of each.
//! Prints decisions a second with 1, 20 and 1,000 directives on file, with the patient's state in memory and folded from
//! what is stored, where the requester's signature was verified before; what verifying it adds on a node that sees it for
//! the first time; and how long applying plain batches takes beside it.

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::world::{World, access, doctor, item, may_read, permit};
use common::{quiet, tag};
use prost::Message;
use sillage_ledger::{CommandOutcome, Options};
use sillage_proto::internal::v1::Command;
use sillage_proto::v1::BasisKind;
use sillage_rules::kind::Kind;

/// Requests of one command.
const TOGETHER: usize = 16;
const PATIENTS: u8 = 32;

fn world(cached: bool, directives: usize) -> World {
    let rule_records_cached = if cached { Options::default().rule_records_cached } else { 0 };
    let mut world = World::with(Options { rule_records_cached, ..quiet() });
    for patient in 0..PATIENTS {
        let one =
            |number: usize| permit(tag(patient), &format!("c{number}"), &doctor((number % 90) as u8, "cardiologist"));
        for from in (0..directives).step_by(500) {
            let batch: Vec<_> = (from..directives.min(from + 500)).map(one).collect();
            world.record(&batch);
        }
    }
    world
}

fn measure(cached: bool, verified: bool, directives: usize, decisions: usize) {
    let mut world = world(cached, directives);
    let mut command = |number: usize| {
        let asked = (0..TOGETHER).map(|at| {
            let patient = ((number * TOGETHER + at) % usize::from(PATIENTS)) as u8;
            let asked = world.asks(&[may_read(tag(patient), doctor(0, "cardiologist"), &[item("d1"), item("d2")])]);
            if verified {
                world.reader().verify_decision(&asked).expect("signed");
            }
            asked
        });
        Command { version: 3, decisions: asked.collect(), ..Command::default() }.encode_to_vec()
    };
    let commands: Vec<Vec<u8>> = (0..decisions.div_ceil(TOGETHER)).map(&mut command).collect();
    let mut took = Duration::ZERO;
    let before = world.reader().stats().times().decide_ns;
    for command in &commands {
        let (index, _) = world.ledger().applied();
        let now = world.now;
        let start = Instant::now();
        let outcomes = world.ledger().apply(index + 1, 1, now, command).expect("applied");
        took += start.elapsed();
        let permitted = |outcome: &CommandOutcome| match outcome {
            CommandOutcome::Decided(decided) => {
                decided.iter().all(|one| one.as_ref().is_ok_and(|one| one.decisions[0].permitted.len() == 2))
            }
            _ => false,
        };
        assert!(outcomes.iter().all(permitted), "{outcomes:?}");
    }
    let made = (commands.len() * TOGETHER) as f64;
    let deciding = (world.reader().stats().times().decide_ns - before) as f64 / made / 1_000.0;
    let kept = if cached { "in memory" } else { "cold" };
    let signed = if verified { "" } else { ", signature new" };
    println!(
        "{directives:>5} directives, {kept}{signed}: {:.0} decisions/s, {:.1} us each, of which deciding {deciding:.1}",
        made / took.as_secs_f64(),
        took.as_secs_f64() * 1e6 / made,
    );
}

/// Plain accesses, and accesses that cite a decision.
fn measure_accesses(records: usize) {
    let mut world = world(true, 1);
    let decided = world.ask(may_read(tag(0), doctor(0, "cardiologist"), &[item("d1")])).expect("decided");
    let cited = decided.decisions[0].index.to_string();
    for (what, basis) in
        [("plain", (BasisKind::CareTeam, "x")), ("citing a decision", (BasisKind::Decision, &cited[..]))]
    {
        let record = access(Kind::ACCESS_READ, tag(0), doctor(0, "cardiologist"), &[item("d1")], basis);
        let batches: Vec<_> = (0..records.div_ceil(500)).map(|_| world.sealed(2, &vec![record.clone(); 500])).collect();
        let mut took = Duration::ZERO;
        for batch in batches {
            let command = Command { version: 1, batches: vec![batch], ..Command::default() }.encode_to_vec();
            let (index, _) = world.ledger().applied();
            let now = world.now;
            let start = Instant::now();
            let outcomes = world.ledger().apply(index + 1, 1, now, &command).expect("applied");
            took += start.elapsed();
            assert!(matches!(outcomes[..], [CommandOutcome::Done { .. }]), "{outcomes:?}");
        }
        let made = (records.div_ceil(500) * 500) as f64;
        println!(
            "accesses, {what:<18}: {:>8.0} records/s, {:>5.1} us each",
            made / took.as_secs_f64(),
            took.as_secs_f64() * 1e6 / made
        );
    }
}

fn main() {
    let decisions = std::env::args().nth(1).map_or(2_000, |count| count.parse().expect("a number of decisions"));
    for directives in [1, 20, 1_000] {
        measure(true, true, directives, decisions);
        measure(false, true, directives, if directives > 100 { decisions.min(200) } else { decisions });
    }
    measure(true, false, 1, decisions);
    measure_accesses(10_000);
}
