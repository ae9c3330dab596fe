//! Programs of others from npm, in a folder beside the build, so that they are fetched once.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Says that a test is skipped, where it may be.
///
/// # Panics
/// Where `CI=true` says that it may not.
pub fn skipped(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs it: {why}");
    println!("skipped: {why}");
}

/// True if a program is on the PATH.
pub fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// The folder in which the files of `tests/NAME` stand with the packages that they need; none where Node isn't there or the packages
/// can't be fetched, which is said.
///
/// # Panics
/// When the disk refuses, and where `CI=true` says that the packages have to be there.
pub fn folder(name: &str) -> Option<PathBuf> {
    if let Some(missing) = ["node", "npm"].into_iter().find(|program| !on_path(program)) {
        skipped(&format!("{missing} isn't there"));
        return None;
    }
    let here = std::env::current_exe().expect("this program's path");
    let dir = here.ancestors().nth(2).expect("target/debug").join("examples-packages").join(name);
    std::fs::create_dir_all(&dir).expect("a folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let lock = std::fs::read(source.join("package-lock.json")).expect("a lock");
    let is_there = std::fs::read(dir.join("installed-lock.json")).is_ok_and(|installed| installed == lock);
    for entry in std::fs::read_dir(&source).expect("the programs").flatten() {
        std::fs::copy(entry.path(), dir.join(entry.file_name())).expect("a copy");
    }
    if is_there {
        return Some(dir);
    }
    let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    let why = match Command::new("npm").args(install).current_dir(&dir).output() {
        Ok(out) if out.status.success() => {
            std::fs::write(dir.join("installed-lock.json"), lock).expect("a file");
            return Some(dir);
        }
        Ok(out) => String::from_utf8_lossy(&out.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    skipped(&format!("the packages can't be fetched: {why}"));
    None
}
