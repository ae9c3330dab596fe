//! Decision scenarios: every story of `tests/scenarios` and of the fixtures comes out as it says, and a story that says
//! otherwise is caught.

use std::path::{Path, PathBuf};

use sillage_scenario::Scenario;
use sillage_scenario::run::run;

fn workspace() -> PathBuf {
    Path::new(&std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is")).join("..")
}

/// The stories of this repository, and those that lie beside it where they do.
fn stories() -> Vec<PathBuf> {
    let fixtures = std::env::var_os("SILLAGE_FIXTURES").map_or_else(|| "../shared/fixtures".into(), PathBuf::from);
    let folders = [workspace().join("tests/scenarios"), workspace().join(fixtures).join("decisions")];
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

#[test]
fn every_story_comes_out_as_it_says() {
    let stories = stories();
    assert!(stories.len() >= 10, "the stories of this repository are there");
    for path in stories {
        let source = std::fs::read_to_string(&path).expect("a file");
        let scenario = Scenario::parse(&source).unwrap_or_else(|errors| panic!("{}: {errors:?}", path.display()));
        let run = run(&scenario).expect("it begins");
        let wrong: Vec<_> = run.lines.iter().filter(|line| !line.mismatches.is_empty()).collect();
        assert!(wrong.is_empty(), "{}: {wrong:#?}", path.display());
    }
}

/// Every expectation of every story, turned into its contrary one at a time, is caught: nothing is passed over.
#[test]
fn every_expectation_is_looked_at() {
    for path in stories() {
        let source = std::fs::read_to_string(&path).expect("a file");
        let lines: Vec<&str> = source.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let changed = match line {
                line if line.starts_with("expect") && line.contains("permit ") => line
                    .replacen("permit SELF", "permit CARE_TEAM", 1)
                    .replacen("permit CONSENT_GRANT", "permit SELF", 1),
                line if line.starts_with("expect") => line.replacen("deny NO_CONSENT", "deny BLOCKED", 1),
                line if line.starts_with("refused") => "refused = \"TOO_MANY_DIRECTIVES\"".to_owned(),
                _ => continue,
            };
            if changed == *line {
                continue;
            }
            let mut story: Vec<&str> = lines.clone();
            story[at] = &changed;
            let scenario = Scenario::parse(&story.join("\n")).expect("still a scenario");
            let run = run(&scenario).expect("it begins");
            assert_eq!(run.mismatches(), 1, "{}:{}", path.display(), at + 1);
        }
    }
}

const STORY: &str = include_str!("one-of-everything.toml");

#[test]
fn a_typing_error_has_its_line() {
    let errors = |from: &str, to: &str| {
        assert!(STORY.contains(from), "{from}");
        let story = STORY.replacen(from, to, 1);
        let errors = Scenario::parse(&story).expect_err(to);
        let line = errors.first().expect("an error").line;
        let shown = story.lines().nth(line - 1).expect("a line of the file").to_owned();
        (shown, errors.first().expect("an error").message.clone())
    };
    for (from, to, at) in [
        ("told = []", "tolld = []", "tolld = []"),
        ("kind = \"professional\"", "kind = \"doctor\"", "kind = \"doctor\""),
        ("kind = \"professional\"", "kind = \"professional\"\nroom = \"1\"", "room = \"1\""),
        ("kind = \"item.masked\"", "kind = \"item.hidden\"", "kind = \"item.hidden\""),
        ("kind = \"item.masked\"", "kind = \"access.read\"", "kind = \"access.read\""),
        ("actor = \"dr-x\"", "actor = \"dr-y\"", "actor = \"dr-y\""),
        ("action = \"read\"", "action = \"see\"", "action = \"see\""),
        ("{ d1 = \"deny MASKED\" }", "{ d1 = \"deny SELF\" }", "expect = { d1 = \"deny SELF\" }"),
        ("{ d1 = \"deny MASKED\" }", "{ d1 = \"refuse MASKED\" }", "expect = { d1 = \"refuse MASKED\" }"),
        ("{ d1 = \"deny MASKED\" }", "{ d2 = \"deny MASKED\" }", "expect = { d2 = \"deny MASKED\" }"),
        ("obligations = []", "obligations = [\"PAY\"]", "obligations = [\"PAY\"]"),
        ("at = \"2026-03-02T09:00:00Z\"", "at = \"today\"", "at = \"today\""),
        ("items = [\"d1\"]\nexpect", "items = [\"d7\"]\nexpect", "items = [\"d7\"]"),
        ("items = [\"d1\"]\npatient", "items = [\"d1\"]\nrefused = \"NO\"\npatient", "refused = \"NO\""),
        ("items = [\"d1\"]\npatient", "items = [\"d1\"]\nuntil = \"x\"\npatient", "until = \"x\""),
        ("patient = \"claire\"\ncategory", "patient = \"dr-x\"\ncategory", "patient = \"dr-x\""),
        ("told = []", "told = [}", "told = [}"),
    ] {
        let (shown, message) = errors(from, to);
        assert_eq!(shown, at, "{message}");
    }
}

#[test]
fn records_come_before_requests_of_the_same_moment() {
    let later = STORY.replace("kind = \"item.masked\"", "at = \"2026-03-02T09:00:00Z\"\nkind = \"item.masked\"");
    let (before, records) = later.split_once("[[records]]").expect("records");
    let (records, requests) = records.split_once("[[requests]]").expect("requests");
    let story = format!("{before}[[requests]]{requests}[[records]]{records}");
    let run = run(&Scenario::parse(&story).expect("a scenario")).expect("it begins");
    assert_eq!(run.mismatches(), 0, "{run:?}");
}

/// Told offline alone: on running nodes a story's clock is another one, and hours aren't as long.
#[test]
fn a_break_glass_ends_when_the_policy_says() {
    let source = include_str!("longest-break-glass.toml");
    let ran = run(&Scenario::parse(source).expect("a scenario")).expect("it begins");
    assert_eq!(ran.mismatches(), 0, "{:#?}", ran.lines);
    let longer = run(&Scenario::parse(&source.replace("7200", "7201")).expect("a scenario")).expect("it begins");
    assert_eq!(longer.mismatches(), 1, "a second more");
    for wrong in ["-1", "1.5", "\"7200\""] {
        let errors = Scenario::parse(&source.replace("7200", wrong)).expect_err(wrong);
        assert!(errors[0].to_string().contains("breakglass_max_s"), "{errors:?}");
    }
}
