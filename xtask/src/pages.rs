//! The pages for people: links lead somewhere, paths that ARCHITECTURE.md and the decisions name are there, and the code map has
//! every crate. Every finding is one line `path:line: what, and what to do`.

use std::path::{Path, PathBuf};

/// Folders whose pages are checked, beside those at the root.
const FOLDERS: &[&str] = &["docs", "docs/decisions", "docs/reference", "chaos"];

/// Looks at every page under `root`; `crates` are those of the workspace.
pub fn check(root: &Path, crates: &[&str], findings: &mut Vec<String>) {
    for folder in std::iter::once("").chain(FOLDERS.iter().copied()) {
        for page in pages(&root.join(folder)) {
            let name = page.strip_prefix(root).unwrap_or(&page).display().to_string();
            let Ok(text) = std::fs::read_to_string(&page) else {
                findings.push(format!("{name}:1: can't be read as text"));
                continue;
            };
            links(&page, &name, &text, findings);
            if name == "ARCHITECTURE.md" || name.starts_with("docs/decisions/") {
                paths(root, &name, &text, findings);
            }
            if name == "ARCHITECTURE.md" {
                let absent = crates.iter().filter(|name| !text.contains(&format!("\n| `{name}` |")));
                findings.extend(absent.map(|name| format!("ARCHITECTURE.md:1: give `{name}` a row of the code map")));
            }
        }
    }
}

fn pages(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut pages: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    pages.sort();
    pages
}

/// Lines outside of blocks of code, from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_block = false;
    text.lines().enumerate().filter_map(move |(line, text)| {
        let is_fence = text.trim_start().starts_with("```");
        in_block ^= is_fence;
        (!in_block && !is_fence).then_some((line + 1, text))
    })
}

/// Relative links: their file is there, and has the heading that they name.
fn links(page: &Path, name: &str, text: &str, findings: &mut Vec<String>) {
    for (line, text) in prose(text) {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.contains("://") || link.contains(' ') {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.to_owned(),
                file => page.parent().unwrap_or(Path::new("")).join(file),
            };
            if !target.exists() {
                findings.push(format!("{name}:{line}: the link to `{link}` leads nowhere"));
            } else if !anchor.is_empty() && !has_heading(&target, anchor) {
                findings.push(format!("{name}:{line}: `{file}` has no heading `#{anchor}`"));
            }
        }
    }
}

fn has_heading(page: &Path, anchor: &str) -> bool {
    let text = std::fs::read_to_string(page).unwrap_or_default();
    prose(&text).any(|(_, line)| line.starts_with('#') && slug(line.trim_start_matches('#').trim()) == anchor)
}

/// The anchor that GitHub gives a heading.
fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Paths in backquotes that begin at a folder of the workspace.
fn paths(root: &Path, name: &str, text: &str, findings: &mut Vec<String>) {
    for (line, text) in prose(text) {
        for path in text.split('`').skip(1).step_by(2) {
            let is_path = path.contains('/')
                && path.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_'));
            let in_workspace = || path.split('/').next().is_some_and(|first| root.join(first).is_dir());
            if is_path && in_workspace() && !root.join(path).exists() {
                findings.push(format!("{name}:{line}: `{path}` isn't there: name what took its place"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_gets_the_anchor_that_github_gives_it() {
        assert_eq!(slug("Don't believe the operator"), "dont-believe-the-operator");
        assert_eq!(slug("9. The patient index"), "9-the-patient-index");
    }

    #[test]
    fn code_is_no_prose() {
        let lines: Vec<_> = prose("a\n```\n[x](y)\n```\nb").map(|(line, text)| (line, text.to_owned())).collect();
        assert_eq!(lines, [(1, "a".to_owned()), (5, "b".to_owned())]);
    }
}
