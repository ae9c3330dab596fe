//! The commands of README and tour do what these pages say.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use sillage_chaos::process::free_ports;
use sillage_tests::page::{Shell, Step, steps};

/// Ports of three nodes and a gateway, and one of a witness.
const PORTS: u16 = 9;

fn page(name: &str) -> Vec<Step> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let steps = steps(&text);
    assert!(!steps.is_empty(), "{name} has no commands");
    steps
}

/// Both pages start a log, each on the first ports that are free.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs a page in a folder of its own, on ports that nobody uses.
fn run(name: &str) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::Builder::new().prefix("sillage-pages-").tempdir().expect("a folder to work in");
    let first = free_ports(PORTS).expect("free ports");
    let moved = [
        ("sillage-node dev --dir led".to_owned(), format!("sillage-node dev --dir led --base-port {first}")),
        ("127.0.0.1:7500".to_owned(), format!("127.0.0.1:{}", first + PORTS - 1)),
    ];
    let elsewhere = |text: &str| moved.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    let has_node = Command::new("node").arg("--version").output().is_ok_and(|said| said.status.success());
    assert!(has_node || std::env::var("CI").is_err(), "Node has to be there: `cargo xtask setup` installs it");
    let mut shell = Shell::begin(folder.path());
    for step in page(name) {
        if step.command.starts_with("node ") && !has_node {
            eprintln!("skipped line {} of {name}: no Node; `cargo xtask setup` installs it", step.line);
            continue;
        }
        let output = step.output.iter().map(|line| elsewhere(line)).collect();
        shell.run(&Step { command: elsewhere(&step.command), output, ..step });
    }
}

#[test]
fn the_first_record_and_proof_of_the_readme_come_out_as_shown() {
    run("README.md");
}

#[test]
fn the_tour_comes_out_as_shown() {
    run("docs/tour.md");
}
