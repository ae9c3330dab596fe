//! One command each: `cargo xtask demo | test | tidy | sim | chaos | bench | man | dist`.
//!
//! This crate has no dependencies, so that it starts on a bare machine and can install what the others need
//! ([`setup`]). It builds and runs the real programs; it holds no logic of theirs. Start with [`run`].

mod build;
mod circles;
mod dist;
mod failed;
mod history;
mod licences;
mod pages;
mod protos;
mod setup;
mod tidy;
mod tokens;

use failed::Failed;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask <command>
  demo [--lang fr|en] [--events N]  build, start three nodes, feed them a day at the ENS, show and verify a patient's trace
  test [ARGS...]                    every check and every test; ARGS go to `cargo test`
  tidy                              only the checks of structure and style
  sim --seeds N --from S            the deterministic simulation of a cluster
  chaos [--runs N]                  kill, stop and restart real nodes under load
  chaos --minutes N [--kinds a,b]   faults of all kinds on real nodes: processes, data folders, links, disks, clocks
  chaos --leader-kills N            how long nothing is acknowledged when the leader is killed
  chaos --newcomer ENTRIES          how long a new node takes until it votes, and what that costs the others
  bench raft-log                    the Raft log beside TiKV's raft-engine and a bare fdatasync
  bench [...] --dist                any of the next four, with the programs of `dist`
  bench proofs [--events N]         sizes and times of proofs in a log of N events
  bench decisions [--json]          decisions per second and their latency, beside a plain record
  bench connector [--spool N]       events per second through a connector's doors, beside the same events over gRPC
  bench [--json]                    events per second, latency, bytes and CPU per event, beside the machine's floor
  man [--out DIR]                   write the manual pages of `sillage`; without --out into target/man
  dist                              build what a deployment installs, and pack it into target/dist
  setup                             install the system packages that the build needs, or name them";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::from(error.exit_code)
        }
    }
}

fn run(args: &[String]) -> Result<(), Failed> {
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => return Err(Failed { message: USAGE.to_owned(), exit_code: 2 }),
    };
    match command {
        "setup" => {
            setup::packages()?;
            setup::for_tests(true);
            Ok(())
        }
        "tidy" => tidy::check(),
        "man" => man(rest),
        "test" => test(rest),
        "demo" => program_beside(&["sillage-demo", "sillage-node", "sillage"], rest),
        "sim" => program_beside(&["sillage-sim"], rest),
        "chaos" => {
            setup::for_faults();
            program("sillage-chaos", rest)
        }
        "bench" => bench(rest),
        "dist" => {
            setup::packages()?;
            dist::build_and_pack(rest)
        }
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(Failed { message: format!("unknown command `{command}`\n{USAGE}"), exit_code: 2 }),
    }
}

/// Builds every program, then runs one of them with what is left of the command line.
fn program(name: &str, args: &[String]) -> Result<(), Failed> {
    setup::packages()?;
    build::programs()?;
    build::run(build::target_dir()?.join("debug").join(name), args)
}

/// Builds these programs, then runs the first one with what is left of the command line.
fn program_beside(names: &[&str], args: &[String]) -> Result<(), Failed> {
    setup::packages()?;
    build::programs_named(names)?;
    build::run(build::target_dir()?.join("debug").join(names[0]), args)
}

/// A measuring program, beside programs of the profile `dev`, or beside those of a deployment.
fn bench(args: &[String]) -> Result<(), Failed> {
    let of_deployment = args.iter().any(|argument| argument == "--dist");
    let args: Vec<String> = args.iter().filter(|argument| *argument != "--dist").cloned().collect();
    let (name, args) = match args.split_first() {
        Some((first, _)) if first == "raft-log" => return raft_log_bench(),
        Some((first, rest)) if first == "proofs" => ("sillage-proofs", rest),
        Some((first, rest)) if first == "decisions" => ("sillage-decisions", rest),
        Some((first, rest)) if first == "connector" => ("sillage-connector-bench", rest),
        _ => ("sillage-bench", &args[..]),
    };
    if !of_deployment {
        return program(name, args);
    }
    setup::packages()?;
    dist::build_programs(build::Profile::Release)?;
    // By itself: in a build of both, the measured programs would get the features of the simulator.
    build::programs_of_packages(&["sillage-chaos".to_owned()], &[name])?;
    build::run(build::target_dir()?.join(build::Profile::Release.folder()).join(name), args)
}

/// The manual pages, written by the program that they are about.
fn man(args: &[String]) -> Result<(), Failed> {
    build::cargo(&["build", "--package", "sillage-cli"])?;
    let target = build::target_dir()?;
    let out = match args {
        [] => target.join("man").display().to_string(),
        [option, dir] if option == "--out" => dir.clone(),
        _ => return Err(Failed { message: USAGE.to_owned(), exit_code: 2 }),
    };
    build::run(target.join("debug/sillage"), &["man".to_owned(), "--out".to_owned(), out.clone()])?;
    println!("manual pages are in {out}");
    Ok(())
}

/// The Raft log beside its peer. It builds by itself, outside the workspace, because the peer brings old dependencies.
fn raft_log_bench() -> Result<(), Failed> {
    setup::packages()?;
    build::cargo(&["run", "--release", "--manifest-path", "cluster/raft-log-bench/Cargo.toml"])
}

/// Checks first, tests last, so that the output ends with the test runner's summary.
fn test(args: &[String]) -> Result<(), Failed> {
    setup::packages()?;
    setup::for_tests(false);
    tidy::check()?;
    build::cargo(&["fmt", "--all", "--check"])?;
    build::programs()?;
    build::cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])?;
    build::deny()?;
    let mut command = vec!["test", "--workspace", "--no-fail-fast"];
    command.extend(args.iter().map(String::as_str));
    build::cargo(&command)
}
