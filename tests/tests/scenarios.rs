//! Every decision scenario a second time: not through the code alone, but through three running nodes, one after the
//! other, with the leader killed halfway.

use std::path::Path;
use std::process::ExitCode;

use sillage_client::profile::Profile;
use sillage_rules::time::TimeMs;
use sillage_scenario::{Scenario, ScenarioPolicy};
use sillage_tests::lines::now_ms;
use sillage_tests::replay::{Clock, Replay, Told, TooSlow, merged, pace, sessions};
use sillage_tests::story::tell;
use sillage_tests::world::{World, runtime};
use sillage_tests::{fixtures, stories};

/// A machine that is too slow for this many tellings, each at half the pace of the one before, has another problem.
const TELLINGS: u32 = 4;
/// Steps that two nodes take before the third is back.
const STEPS_WITHOUT: usize = 8;

fn main() -> ExitCode {
    tell(
        World::begin,
        stories![
            every_scenario_of_this_repository_comes_out_on_three_nodes_as_it_does_offline,
            every_scenario_of_others_does,
        ],
    )
}

/// The scenarios of a folder, those of one policy together: a log has one policy at a time.
fn groups(folder: &Path) -> Vec<Vec<Told>> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    assert!(!paths.is_empty(), "there are scenarios in {}", folder.display());
    let mut groups: Vec<(ScenarioPolicy, Vec<Told>)> = Vec::new();
    for path in paths {
        let source = std::fs::read_to_string(&path).expect("readable");
        let scenario = Scenario::parse(&source).unwrap_or_else(|errors| panic!("{}: {errors:?}", path.display()));
        let file = path.file_name().expect("a file").to_string_lossy().into_owned();
        let policy = scenario.policy.clone();
        match groups.iter_mut().find(|(known, _)| *known == policy) {
            Some((_, group)) => group.push(Told { file, scenario }),
            None => groups.push((policy, vec![Told { file, scenario }])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

fn every_scenario_of_this_repository_comes_out_on_three_nodes_as_it_does_offline(world: &mut World) {
    replay(
        world,
        "own",
        &Path::new(&std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is")).join("scenarios"),
    );
}

fn every_scenario_of_others_does(world: &mut World) {
    if let Some(folder) = fixtures::folder("decisions") {
        replay(world, "others", &folder);
    }
}

fn replay(world: &mut World, name: &str, folder: &Path) {
    let mut mismatches = Vec::new();
    for (number, group) in groups(folder).iter().enumerate() {
        mismatches.extend(again_until_fast_enough(world, &format!("{name}{number}"), group));
    }
    assert!(mismatches.is_empty(), "{mismatches:#?}");
    world.settled(3);
    let audit = world.sillage(&["--timeout", "60", "audit", "--json"]).ok();
    assert_eq!(audit.json()["clean"], true, "{audit}");
}

fn again_until_fast_enough(world: &mut World, name: &str, group: &[Told]) -> Vec<String> {
    for telling in 0..TELLINGS {
        match once(world, &format!("{name}t{telling}"), group, telling) {
            Ok(mismatches) => return mismatches,
            Err(TooSlow) => println!("{name}: too slow for its clock; told again at half the pace"),
        }
    }
    panic!("this machine is too slow to tell the scenarios");
}

fn once(world: &mut World, namespace: &str, group: &[Told], telling: u32) -> Result<Vec<String>, TooSlow> {
    let steps = merged(group);
    let halfway = steps.len() / 2;
    let profile = world.profile();
    let authority = Profile::load(&world.authority_file()).expect("dev wrote it");
    let sessions = runtime().block_on(sessions(&profile, &authority));
    let deposits = pace(telling) * 8;
    let begins = TimeMs(now_ms() + u64::try_from(deposits.as_millis()).expect("short"));
    let clock = Clock::of(group, begins, pace(telling), halfway);
    let present: Vec<Scenario> = group.iter().map(|told| clock.put(&told.scenario)).collect();
    let mut replay = runtime().block_on(Replay::begin(group, &present, clock, namespace, &sessions));
    let mut killed = None;
    for (number, (story, step)) in steps.iter().enumerate() {
        if number == halfway {
            let leader = world.leader();
            world.kill(leader);
            killed = Some(leader);
        }
        if number == halfway + STEPS_WITHOUT {
            killed.take().into_iter().for_each(|node| world.restart(node));
        }
        let told = runtime().block_on(replay.tell(*story, step, number % sessions.len()));
        if told.is_err() {
            killed.into_iter().for_each(|node| world.restart(node));
            return Err(TooSlow);
        }
    }
    killed.into_iter().for_each(|node| world.restart(node));
    runtime().block_on(replay.compare());
    Ok(replay.mismatches)
}
