//! The portal's pages in a real browser, as a patient uses them: by mouse, by keyboard alone, on a small screen, without JavaScript.
//! `tests/portal/browser.mjs` drives Debian's Chromium.
//!
//! Where the browser, Node or the packages can't be had, the stories say that they are skipped; in CI they fail.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use sillage_tests::npm;
use sillage_tests::stories;
use sillage_tests::story::tell;

/// The folder of the programs; none where they can't run here.
struct Programs {
    folder: Option<PathBuf>,
}

fn main() -> ExitCode {
    let begin = || {
        let chromium = ["chromium", "chromium-browser", "google-chrome"].into_iter().any(npm::on_path);
        if !chromium {
            npm::skipped("no Chromium; `cargo xtask test` installs it");
            return Programs { folder: None };
        }
        Programs { folder: npm::folder("portal") }
    };
    tell(begin, stories![the_browser_of_these_tests_sees_what_is_wrong_with_a_page])
}

/// A check that finds nothing wrong anywhere would let every page pass.
fn the_browser_of_these_tests_sees_what_is_wrong_with_a_page(programs: &mut Programs) {
    let Some(folder) = &programs.folder else { return };
    let out = Command::new("node").arg("--test").arg(folder.join("browser.test.mjs")).output().expect("node is there");
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && said.contains("# skipped 0"), "{said}\n{}", String::from_utf8_lossy(&out.stderr));
}
