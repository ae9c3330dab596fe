//! Every kind of fault on real nodes, once and briefly: nothing acknowledged is lost, and a majority goes on.
//!
//! What these stories judge is what `sillage-chaos` found: it holds each fault against what must hold meanwhile, and reads the
//! whole log afterwards. Kills are told elsewhere (`replication`); a longer hunt is `cargo xtask chaos --minutes N`.

use std::process::{Command, ExitCode, Stdio};

use sillage_chaos::process::program;
use sillage_tests::stories;
use sillage_tests::story::tell;

/// Also what a failed run is repeated with.
const SEED: &str = "7";

fn main() -> ExitCode {
    tell(
        || (),
        stories![
            a_node_that_stands_still_or_is_cut_off_is_in_nobodys_way,
            a_disk_or_a_clock_that_is_wrong_costs_nothing_acknowledged,
            a_node_on_a_disk_that_is_empty_old_or_anothers_does_not_serve,
            a_node_with_another_keyring_does_not_serve,
        ],
    )
}

/// One fault of each kind; what can't be made on this machine is skipped, with the reason.
fn strike(kinds: &[&str]) {
    let chaos = program("sillage-chaos").expect("it is built with the workspace's programs");
    let mut command = Command::new(chaos);
    command.args(["--brief", "--seed", SEED, "--kinds", &kinds.join(",")]).stdin(Stdio::null());
    let run = command.output().expect("it can be started");
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    out.lines().filter(|line| line.starts_with("skipped: ")).for_each(|line| println!("{line}"));
    assert!(run.status.success(), "{out}\n{err}");
    for kind in kinds {
        let told = [format!("    {kind}: "), format!("skipped: {kind}: ")];
        let is_told = out.lines().any(|line| told.iter().any(|begin| line.starts_with(begin)));
        assert!(is_told, "nothing was said of {kind}:\n{out}");
    }
}

fn a_node_that_stands_still_or_is_cut_off_is_in_nobodys_way(_: &mut ()) {
    strike(&["stop", "partition", "one-way", "ring"]);
}

fn a_disk_or_a_clock_that_is_wrong_costs_nothing_acknowledged(_: &mut ()) {
    strike(&["slow-disk", "disk-error", "disk-full", "clock-jump", "clock-frozen"]);
}

fn a_node_on_a_disk_that_is_empty_old_or_anothers_does_not_serve(_: &mut ()) {
    strike(&["wipe", "put-back", "swap"]);
}

fn a_node_with_another_keyring_does_not_serve(_: &mut ()) {
    strike(&["keyring"]);
}
