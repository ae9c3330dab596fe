//! Completeness rests on an honest auditor: a policy that asks for one, on three nodes, with the auditor beside them.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sillage_tests::lines::{OID, access, ins};
use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::world::{World, sillage};

const PATIENT: u64 = 720;
/// The auditor replays a handful of entries; a busy machine gets some more.
const COSIGNED_MAX: Duration = Duration::from_secs(40);

fn main() -> ExitCode {
    tell(
        World::begin,
        stories![
            without_an_auditor_the_policy_is_not_satisfied_and_says_so,
            once_it_has_replayed_completeness_rests_on_the_auditor,
            an_auditor_that_follows_keeps_the_policy_satisfied,
            what_the_auditor_has_not_cosigned_is_refused_under_the_policy,
        ],
    )
}

/// A process of ours that ends with the story.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn text(path: &std::path::Path) -> String {
    path.display().to_string()
}

/// The policy that dev wrote, with the auditor that `audit --cosign` names, and asking for both.
fn policy_with_auditor(world: &World, lines: &[String]) -> PathBuf {
    let own = fs::read_to_string(world.dir().join("policy.txt")).expect("dev wrote it");
    let kept: Vec<&str> = own.lines().filter(|line| !line.starts_with("quorum ")).collect();
    let before = own.lines().find_map(|line| line.strip_prefix("quorum ")).expect("a quorum");
    let both = format!("group both all {before} auditors\nquorum both\n");
    world.write("audited.txt", format!("{}\n{}\n{both}", kept.join("\n"), lines.join("\n")))
}

/// What the audit says that a policy needs, from a replay that cosigns.
fn auditor_lines(world: &World) -> Vec<String> {
    let state = text(&world.path("audit.state"));
    let run = world.sillage(&["audit", "--state", &state, "--cosign", "--json"]).ok();
    let said = run.json();
    assert_eq!(said["clean"], true, "{run}");
    let lines = said["cosigned"]["policy"].as_array().expect("what a policy needs");
    lines.iter().map(|line| line.as_str().expect("a line").to_owned()).collect()
}

fn prove(world: &World, name: &str, policy: Option<&PathBuf>) -> sillage_tests::world::Run {
    let (out, ins) = (text(&world.path(name)), ins(PATIENT));
    let mut args = vec!["prove", "patient", &ins, "--oid", OID, "--out", &out, "--lang", "en"];
    let policy = policy.map(|policy| text(policy));
    if let Some(policy) = &policy {
        args.extend(["--policy", policy]);
    }
    let mut timed = vec!["--timeout", "6"];
    timed.extend(args);
    world.sillage(&timed)
}

fn verify(world: &World, name: &str, policy: &std::path::Path) -> sillage_tests::world::Run {
    let (file, policy) = (text(&world.path(name)), text(policy));
    world.sillage(&["verify", &file, "--policy", &policy, "--lang", "en"])
}

fn without_an_auditor_the_policy_is_not_satisfied_and_says_so(world: &mut World) {
    world.record(&[access(&ins(PATIENT), "before the auditor")]);
    prove(world, "plain.sillage-trace", None).ok();
    let own = world.dir().join("policy.txt");
    let plain = verify(world, "plain.sillage-trace", &own).ok();
    assert!(plain.stdout.contains("No auditor has cosigned"), "{plain}");

    // The auditor's key is known from its first replay; this bundle was made before it.
    let lines = auditor_lines(world);
    let audited = policy_with_auditor(world, &lines);
    let refused = verify(world, "plain.sillage-trace", &audited);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(format!("{}{}", refused.stdout, refused.stderr).contains("quorum"), "{refused}");
}

fn once_it_has_replayed_completeness_rests_on_the_auditor(world: &mut World) {
    let audited = world.path("audited.txt");
    auditor_lines(world);
    prove(world, "audited.sillage-trace", Some(&audited)).ok();
    let run = verify(world, "audited.sillage-trace", &audited).ok();
    assert!(run.stdout.contains("1 of 1 auditors"), "{run}");
    assert!(!run.stdout.contains("No auditor has cosigned"), "{run}");
}

fn an_auditor_that_follows_keeps_the_policy_satisfied(world: &mut World) {
    let audited = world.path("audited.txt");
    let mut command = sillage();
    command.arg("--profile").arg(world.profile_file()).args(["audit", "--state"]).arg(world.path("follow.state"));
    command.args(["--cosign", "--follow"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _following = Running(command.spawn().expect("the auditor starts"));
    for round in 0..3 {
        let index = world.record(&[access(&ins(PATIENT), &format!("round {round}"))])[0];
        let began = Instant::now();
        // A bundle under this policy covers what was on record when it was asked for, or is not made.
        let name = format!("round-{round}.sillage-trace");
        while prove(world, &name, Some(&audited)).code != Some(0) {
            assert!(began.elapsed() < COSIGNED_MAX, "the auditor does not follow");
            thread::sleep(Duration::from_millis(300));
        }
        let run = verify(world, &name, &audited).ok();
        assert!(run.stdout.contains("1 of 1 auditors"), "{run}");
        let size = world.tree_size();
        assert!(size > index, "the log goes on");
    }
}

fn what_the_auditor_has_not_cosigned_is_refused_under_the_policy(world: &mut World) {
    let audited = world.path("audited.txt");
    world.record(&[access(&ins(PATIENT), "the auditor is gone")]);
    let late = prove(world, "late.sillage-trace", Some(&audited));
    assert_ne!(late.code, Some(0), "nobody has cosigned what came since: {late}");
}
