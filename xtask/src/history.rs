//! Subjects of commits: `crate: what the commit does`, so that the log reads as a list of changes by place.
//!
//! The rule holds for the commits since the tag `house`. A clone may lack the tag; then it holds since the commit that the file
//! `xtask/house` names. Start with [`check`].

use crate::build::output_of;
use std::path::Path;
use std::process::Command;

/// Beginnings of a subject, beside the names of crates.
const OTHER_PLACES: &[&str] = &["docs", "ci", "all"];
const SUBJECT_CHARS_MAX: usize = 72;

/// Adds one finding for each subject that breaks the rule. Where the history isn't at hand, it says so and finds nothing.
pub fn check(root: &Path, crates: &[&str], findings: &mut Vec<String>) {
    let git = |args: &[&str]| {
        let output = output_of(Command::new("git").arg("-C").arg(root).args(args)).ok()?;
        Some(String::from_utf8_lossy(&output).trim().to_owned())
    };
    let Some(start) = start(root, &git) else {
        eprintln!("skipped: subjects of commits: the history since `house` isn't at hand here");
        return;
    };
    // A merge's subject is Git's own.
    let Some(log) = git(&["log", "--no-merges", "--format=%h %s", &format!("{start}..HEAD")]) else {
        eprintln!("skipped: subjects of commits: git can't read them from {start} on");
        return;
    };
    for (commit, subject) in log.lines().filter_map(|line| line.split_once(' ')) {
        if let Some(fault) = fault(subject, crates) {
            findings.push(format!("commit {commit} `{subject}`: {fault}; reword it (`git rebase -i {commit}^`)"));
        }
    }
}

/// The last commit before the rule.
fn start(root: &Path, git: &impl Fn(&[&str]) -> Option<String>) -> Option<String> {
    if let Some(tagged) = git(&["rev-parse", "--verify", "--quiet", "refs/tags/house^{commit}"]) {
        return Some(tagged);
    }
    let file = std::fs::read_to_string(root.join("xtask/house")).ok()?;
    let named = file.lines().find(|line| !line.starts_with('#'))?.trim();
    git(&["merge-base", "HEAD", named])
}

/// The fault of a subject, if it has one. No program can tell whether it is imperative.
fn fault(subject: &str, crates: &[&str]) -> Option<String> {
    let length = subject.chars().count();
    if length > SUBJECT_CHARS_MAX {
        return Some(format!("{length} characters, of {SUBJECT_CHARS_MAX} at most"));
    }
    let Some((places, change)) = subject.split_once(": ") else {
        return Some("no crate in front, as in `ledger: split overlay from apply`".to_owned());
    };
    let is_known = |place: &&str| crates.contains(place) || OTHER_PLACES.contains(place);
    if let Some(place) = places.split(", ").find(|place| !is_known(place)) {
        return Some(format!("`{place}` is neither a crate nor one of {}", OTHER_PLACES.join(", ")));
    }
    if change.trim().is_empty() {
        return Some("it doesn't say what the commit does".to_owned());
    }
    change.ends_with('.').then(|| "a dot at its end".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRATES: &[&str] = &["ledger", "tests", "cli"];

    fn fault_of(subject: &str) -> String {
        fault(subject, CRATES).expect("a fault")
    }

    #[test]
    fn a_crate_and_a_change_are_enough() {
        for subject in
            ["ledger: split overlay from apply", "cli, docs: rename it", "all: move", "tests: wait: it is slow"]
        {
            assert_eq!(fault(subject, CRATES), None, "{subject}");
        }
    }

    #[test]
    fn a_place_must_be_known() {
        assert!(fault_of("import: read deletions").contains("`import` is neither"));
        assert!(fault_of("ledger, import: read deletions").contains("`import` is neither"));
        assert!(fault_of("Read deletions").contains("no crate in front"));
    }

    #[test]
    fn a_subject_has_at_most_72_characters() {
        let of_72 = format!("ledger: {}", "é".repeat(64));
        assert_eq!(fault(&of_72, CRATES), None);
        assert!(fault_of(&format!("{of_72}x")).contains("73 characters"));
    }

    #[test]
    fn a_subject_ends_without_a_dot() {
        assert!(fault_of("ledger: split overlay.").contains("a dot"));
    }

    #[test]
    fn commits_since_the_named_one_are_read() {
        let root = std::env::temp_dir().join(format!("sillage-history-test-{}", std::process::id()));
        std::fs::create_dir_all(root.join("xtask")).expect("a folder");
        let git = |args: &[&str]| {
            let mut command = Command::new("git");
            command.arg("-C").arg(&root).args(["-c", "user.name=t", "-c", "user.email=t@example.org"]);
            String::from_utf8_lossy(&output_of(command.args(args)).expect("git runs")).trim().to_owned()
        };
        git(&["init", "--quiet"]);
        git(&["commit", "--quiet", "--allow-empty", "--message", "Before the rule."]);
        let before = git(&["rev-parse", "HEAD"]);
        git(&["commit", "--quiet", "--allow-empty", "--message", "Without a crate"]);
        git(&["commit", "--quiet", "--allow-empty", "--message", "ledger: split"]);
        let found = |root: &Path| {
            let mut findings = Vec::new();
            check(root, CRATES, &mut findings);
            findings
        };
        let nothing_named = found(&root);
        std::fs::write(root.join("xtask/house"), format!("# a comment\n{before}\n")).expect("written");
        let by_file = found(&root);
        git(&["tag", "house"]);
        let by_tag = found(&root);
        std::fs::remove_dir_all(&root).expect("removed");
        assert_eq!(nothing_named, Vec::<String>::new());
        assert_eq!(by_file.len(), 1, "{by_file:?}");
        assert!(by_file[0].contains("`Without a crate`"), "{by_file:?}");
        assert_eq!(by_tag, Vec::<String>::new(), "the tag comes before the file");
    }
}
