//! Running cargo and the programs it makes.

use crate::failed::Failed;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Cargo as it was called for this program.
fn cargo_command() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // This program runs under cargo, which told it what package it is. Build scripts (that of `ring`) look at these names: with them, each
    // `cargo xtask` would compile nearly everything anew after a plain `cargo`, and the other way round.
    for (name, _) in std::env::vars_os() {
        let of_this_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(of_this_package) {
            command.env_remove(name);
        }
    }
    command
}

/// The workspace's folder: as cargo says it of the run. The path at the time of compilation may be another checkout's,
/// where two share a target folder.
pub fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(own).parent().expect("xtask is a folder of the workspace").to_path_buf()
}

/// Where cargo puts what it builds: this very program lies in `<target>/debug/xtask`.
pub fn target_dir() -> Result<PathBuf, Failed> {
    let program =
        std::env::current_exe().map_err(|e| Failed::new(format!("cannot find this program's own path: {e}")))?;
    let target = program.parent().and_then(|debug| debug.parent());
    target
        .map(PathBuf::from)
        .ok_or_else(|| Failed::new("this program does not lie in a target folder; run it as `cargo xtask`"))
}

/// How programs are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Demo and tests.
    Dev,
    /// The programs that a deployment installs.
    Release,
}

impl Profile {
    /// As cargo calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
        }
    }

    /// Where cargo puts programs, in the target folder.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// Files that RocksDB consists of, as its crate compiles them: one object each.
const ROCKSDB_FILES: usize = 343;
/// How often it is said how far RocksDB is.
const TELL_EVERY: Duration = Duration::from_secs(20);

/// Builds every program of the workspace. RocksDB, the longest part, starts first by itself: nothing it needs is ours.
pub fn programs() -> Result<(), Failed> {
    with_progress(Profile::Dev, || cargo(&["build", "--workspace", "--bins"]))
}

/// Builds these programs alone. They are chosen out of the whole workspace, so that every crate has the features that it has
/// in other builds, and is compiled once.
pub fn programs_named(names: &[&str]) -> Result<(), Failed> {
    let mut args = vec!["build", "--workspace"];
    args.extend(names.iter().flat_map(|name| ["--bin", name]));
    with_progress(Profile::Dev, || cargo(&args))
}

/// Builds programs for a deployment, out of these packages alone: no other package of the workspace turns a feature on in them.
pub fn programs_of_packages(packages: &[String], names: &[&str]) -> Result<(), Failed> {
    let mut args = vec!["build", "--release", "--locked"];
    args.extend(packages.iter().flat_map(|package| ["--package", package.as_str()]));
    args.extend(names.iter().flat_map(|name| ["--bin", name]));
    with_progress(Profile::Release, || cargo(&args))
}

/// Runs a build, and says meanwhile how far RocksDB is: cargo shows one line for it, for many minutes.
fn with_progress(profile: Profile, build: impl FnOnce() -> Result<(), Failed>) -> Result<(), Failed> {
    let Ok(folders) = target_dir().map(|dir| dir.join(profile.folder()).join("build")) else { return build() };
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let teller = scope.spawn(|| {
            let mut told = rocksdb_done(&folders);
            while !is_over.load(Ordering::Acquire) {
                std::thread::park_timeout(TELL_EVERY);
                let done = rocksdb_done(&folders);
                if done != told {
                    eprintln!("   RocksDB: {done} of {ROCKSDB_FILES} files are compiled");
                    told = done;
                }
            }
        });
        let result = build();
        is_over.store(true, Ordering::Release);
        teller.thread().unpark();
        result
    })
}

/// Objects of RocksDB in the build folder that has the most of them: a profile has one.
fn rocksdb_done(folders: &Path) -> usize {
    let inside = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
    let of_rocksdb = inside(folders).filter(|entry| entry.file_name().to_string_lossy().starts_with("librocksdb-sys-"));
    let objects = of_rocksdb.map(|entry| {
        let files = inside(&entry.path().join("out"));
        files.filter(|file| Path::new(&file.file_name()).extension() == Some(OsStr::new("o"))).count()
    });
    objects.max().unwrap_or(0)
}

/// Runs cargo in the workspace and fails where it fails.
pub fn cargo(args: &[&str]) -> Result<(), Failed> {
    eprintln!("$ cargo {}", args.join(" "));
    finish(cargo_command().args(args).current_dir(root()), &format!("cargo {}", args.join(" ")))
}

/// Runs a built program and fails where it fails.
pub fn run(program: PathBuf, args: &[String]) -> Result<(), Failed> {
    let name = program.display().to_string();
    finish(Command::new(&program).args(args).current_dir(root()), &name)
}

/// Checks the libraries: licences, sources and bans need no network; advisories are checked where the database is at hand.
pub fn deny() -> Result<(), Failed> {
    let present = cargo_command().args(["deny", "--version"]).output().is_ok_and(|o| o.status.success());
    if !present {
        eprintln!("skipped: cargo deny is not installed (`cargo install cargo-deny`)");
        return Ok(());
    }
    cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"])
}

/// The lines that a cargo command prints.
pub fn cargo_lines(args: &[&str]) -> Result<Vec<String>, Failed> {
    let output = output_of(cargo_command().args(args).current_dir(root()))
        .map_err(|e| Failed::new(format!("cargo {}: {}", args.join(" "), e.message)))?;
    Ok(String::from_utf8_lossy(&output).lines().map(str::to_owned).collect())
}

/// The standard output of a program. A failure carries its standard error.
///
/// # Errors
/// When it can't be run, or ends without success.
pub fn output_of(command: &mut Command) -> Result<Vec<u8>, Failed> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| Failed::new(format!("cannot run {name}: {e}")))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failed::new(format!("{name} ended with {}: {}", output.status, said.trim())))
}

fn finish(command: &mut Command, name: &str) -> Result<(), Failed> {
    let status = command.status().map_err(|e| Failed::new(format!("cannot run {name}: {e}")))?;
    if status.success() {
        return Ok(());
    }
    let exit_code = status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1);
    Err(Failed { message: format!("{name} ended with {status}"), exit_code })
}

/// Tells whether a program is on the PATH.
pub fn on_path(name: impl AsRef<OsStr>) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(name.as_ref()).is_file())
}
