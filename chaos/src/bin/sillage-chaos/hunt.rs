//! Rounds of faults of all kinds, until the time is over: record, strike, heal, audit, and again.
//!
//! The kinds come in turns, each as often as the others, in an order from the seed; so do all choices within a fault. A
//! fault is undone before the next one begins. The first finding ends the hunt.

use super::kinds::Kind;
use super::report::{Report, Struck};
use super::run::{Bench, Outcome};
use super::strike::Scene;
use super::tools::Tools;
use super::{Args, Error};
use sillage_chaos::ens::dice::Dice;
use sillage_chaos::load::stats::longest_gap;
use sillage_chaos::process::Cluster;
use std::path::Path;
use std::time::{Duration, Instant};

/// Faults between two audits.
const STRIKES: usize = 4;

/// How long, and how often.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// Each kind once.
    Once,
    /// As long as this.
    Over(Duration),
}

/// The means of a hunt.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Kinds of faults.
    pub kinds: Vec<Kind>,
    /// When it ends.
    pub until: Until,
    /// Each fault is held only as long as it takes to show.
    pub is_brief: bool,
}

impl Plan {
    /// The hunt that the arguments ask for. `None`: no hunt, but the runs of kills and stops.
    pub fn asked(args: &Args) -> Option<Self> {
        let until = match args.minutes {
            Some(minutes) => Until::Over(Duration::from_secs_f64(minutes * 60.0)),
            None if args.once || !args.kinds.is_empty() => Until::Once,
            None => return None,
        };
        let kinds = if args.kinds.is_empty() { Kind::ALL.to_vec() } else { args.kinds.clone() };
        Some(Self { kinds, until, is_brief: args.brief })
    }
}

/// Hunts as planned on a group that is just started.
///
/// # Errors
/// When a fault can't be made.
pub async fn hunt(
    cluster: &mut Cluster,
    plan: &Plan,
    seed: u64,
    folder: &Path,
    findings: &mut Vec<String>,
) -> Result<Report, Error> {
    let mut tools = Tools::lay_out(cluster, &plan.kinds, folder).await?;
    let mut bench = Bench::open(cluster).await?;
    if plan.is_brief {
        bench.pause_max_ms *= 8;
    }
    bench.watch.settled(cluster.ids().count(), Duration::from_secs(60)).await?;
    let (began, mut dice, mut report) = (Instant::now(), Dice::new(seed), Report::default());
    let (mut bag, mut round) = (Vec::new(), 0);
    loop {
        if bag.is_empty() {
            if let (Until::Once, 1..) = (plan.until, round) {
                break;
            }
            bag = shuffled(&plan.kinds, &mut dice);
        }
        if matches!(plan.until, Until::Over(length) if began.elapsed() >= length) {
            break;
        }
        round += 1;
        let chosen: Vec<Kind> = bag.drain(bag.len().saturating_sub(STRIKES)..).rev().collect();
        let outcome =
            one_round(cluster, &mut tools, &mut bench, &mut dice, &chosen, plan.is_brief, &mut report).await?;
        println!("round {round:>3}, {:>5.0} s: {outcome}", began.elapsed().as_secs_f64());
        report.add(&outcome);
        if !outcome.findings.is_empty() {
            findings.extend(outcome.findings.iter().map(|finding| format!("round {round}: {finding}")));
            break;
        }
    }
    report.seconds = began.elapsed().as_secs();
    Ok(report)
}

/// The last one comes first.
fn shuffled(kinds: &[Kind], dice: &mut Dice) -> Vec<Kind> {
    let (mut from, mut bag) = (kinds.to_vec(), Vec::new());
    while !from.is_empty() {
        bag.push(from.swap_remove(dice.place(from.len())));
    }
    bag
}

async fn one_round(
    cluster: &mut Cluster,
    tools: &mut Tools,
    bench: &mut Bench,
    dice: &mut Dice,
    kinds: &[Kind],
    is_brief: bool,
    report: &mut Report,
) -> Result<Outcome, Error> {
    let (mut outcome, mut struck) = (Outcome::default(), Vec::new());
    let load = bench.begin(dice).await?;
    for kind in kinds {
        let began = Instant::now();
        let mut scene = Scene {
            cluster,
            tools,
            watch: &bench.watch,
            tally: bench.tally(),
            dice,
            strangers: &bench.strangers,
            is_brief,
            story: Vec::new(),
            findings: Vec::new(),
        };
        let result = scene.strike(*kind).await;
        let (story, findings) = (scene.story.join("; "), scene.findings);
        struck.push((*kind, began, Instant::now()));
        println!("    {kind}: {story}");
        outcome.findings.extend(findings.into_iter().map(|finding| format!("{kind} ({story}): {finding}")));
        outcome.findings.extend(result.err().map(|error| format!("{kind} ({story}): {error}")));
        if !outcome.findings.is_empty() {
            break;
        }
    }
    let times = bench.tally().times();
    report
        .struck
        .extend(struck.into_iter().map(|(kind, from, to)| Struck { kind, outage: longest_gap(&times, from, to) }));
    bench.end(load, cluster, &mut outcome).await?;
    // Also after a finding: what it led to is read from the log.
    if let Err(finding) = bench.audit(&mut outcome).await {
        outcome.findings.push(finding.to_string());
    }
    Ok(outcome)
}
