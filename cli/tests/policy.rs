//! `sillage policy test`: what it says of stories that come out as they say, that don't, and that are no stories.

use std::path::Path;
use std::process::{Command, Output};

const STORY: &str = include_str!("../../scenario/tests/one-of-everything.toml");

fn policy_test(files: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sillage")).args(["policy", "test"]).args(files).output().expect("it runs")
}

#[test]
fn the_command_says_what_came_out_and_fails_on_a_mismatch() {
    let folder = tempfile::tempdir().expect("a folder");
    let (good, bad) = (folder.path().join("good.toml"), folder.path().join("bad.toml"));
    std::fs::write(&good, STORY).expect("written");
    let changed = STORY
        .replace("deny MASKED", "permit CARE_TEAM")
        .replace("told = []", "told = [\"d1\"]")
        .replace("items = [\"d1\"]\npatient", "items = [\"d1\"]\nrefused = \"NOT_ENTITLED\"\npatient");
    std::fs::write(&bad, changed).expect("written");

    let output = policy_test(&[&good]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "a line for the request, and the summary: {text}");
    assert!(lines[0].starts_with("ok") && lines[0].ends_with("dr-x read TREAT of claire: d1 deny MASKED"), "{text}");
    assert_eq!(lines[1], "1 scenario, 1 request, 0 records refused as expected: everything as expected");

    let output = policy_test(&[&good, &bad]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(1), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    let record = "record item.masked by claire; expected to be refused NOT_ENTITLED, got accepted";
    assert!(lines[1].starts_with("FAIL") && lines[1].ends_with(record), "{text}");
    let request = "d1: expected permit CARE_TEAM, got deny MASKED; told: expected {\"d1\"}, got {}";
    assert!(lines[2].contains("bad.toml:") && lines[2].ends_with(request), "{text}");
    assert!(lines[3].ends_with("2 mismatches"), "{text}");
}

#[test]
fn a_file_that_is_no_scenario_is_named_with_every_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wrong.toml");
    std::fs::write(&path, STORY.replace("told = []", "tolld = []").replace("clock", "cloc")).expect("written");
    let output = policy_test(&[&path]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(text.contains("wrong.toml:2: unknown key \"cloc\""), "{text}");
    assert!(text.contains("wrong.toml:23: unknown key \"tolld\""), "{text}");
    assert!(output.stdout.is_empty());
}
