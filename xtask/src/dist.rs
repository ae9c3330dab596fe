//! The archive that a deployment installs: the programs, built with the profile `release` and stripped, with their manual pages,
//! completions and licences.
//!
//! Start with [`build_and_pack`]. [`build_programs`] is also what benchmarks measure with `--dist`.

use crate::build::{self, Profile, cargo_lines, output_of, root, target_dir};
use crate::failed::Failed;
use crate::licences;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// The programs that a deployment installs: the crate's folder, and the program.
const PROGRAMS: &[(&str, &str)] = &[
    ("cli", "sillage"),
    ("node", "sillage-node"),
    ("gateway", "sillage-gateway"),
    ("connector", "sillage-connector"),
    ("portal", "sillage-portal"),
];
/// Each shell, with the place in the archive from which it reads completions.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "share/bash-completion/completions/sillage"),
    ("zsh", "share/zsh/site-functions/_sillage"),
    ("fish", "share/fish/vendor_completions.d/sillage.fish"),
];
/// Files of the workspace's root that go along.
const PAGES: &[&str] = &["LICENSE", "README.md", "CHANGELOG.md"];
/// The name of the text with the licences of the libraries.
const LICENCES: &str = "LICENCES-OF-LIBRARIES.txt";
/// The licences of the standard library, below the folder of rustc.
const LICENCES_OF_STD: &str = "share/doc/rust/COPYRIGHT-library.html";

/// Builds the programs, packs them, and says where the archive is and how long it took.
///
/// # Errors
/// When a build fails, a program doesn't start, a licence is missing, or a file can't be written.
pub fn build_and_pack(args: &[String]) -> Result<(), Failed> {
    let profile = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Profile::Release,
        // Not in the usage: it tries the packing with what is built already. Such programs aren't for a deployment.
        ["--profile", "dev"] => Profile::Dev,
        _ => return Err(Failed { message: "usage: cargo xtask dist".to_owned(), exit_code: 2 }),
    };
    let began = Instant::now();
    if profile == Profile::Release && !target_dir()?.join("release").join("sillage-node").is_file() {
        eprintln!(
            "dist: the first time RocksDB is compiled once more, for this profile: 40 minutes on two cores, or more"
        );
    }
    let build = BuildFacts::now(profile)?;
    build_programs(profile)?;
    let built_s = began.elapsed().as_secs();
    if BuildFacts::now(profile)? != build {
        return Err(Failed::new("the working copy or the compiler changed during the build: run this again"));
    }
    let archive = pack(&build)?;
    let bytes = fs::metadata(&archive).map_err(|e| failed("read", &archive, &e))?.len();
    println!("{} ({:.1} MB)", archive.display(), bytes as f64 / 1e6);
    println!("built in {}, packed in {}", minutes(built_s), minutes(began.elapsed().as_secs() - built_s));
    if profile == Profile::Dev {
        println!("not for a deployment: programs of the profile dev may hold the bugs that the simulator plants");
    }
    Ok(())
}

/// Builds the programs that a deployment installs.
///
/// # Errors
/// When cargo fails, or the programs would hold planted bugs.
pub fn build_programs(profile: Profile) -> Result<(), Failed> {
    let programs: Vec<&str> = programs().map(|(_, program)| program).collect();
    match profile {
        Profile::Dev => build::programs_named(&programs),
        Profile::Release => {
            refuse_plants(&licences::contents(&packages())?)?;
            build::programs_of_packages(&packages(), &programs)
        }
    }
}

/// The simulator's crate turns on features that plant bugs, and cargo gives one build the features that any of its packages asks
/// for. So these programs are built by themselves, and this holds that none of the features is on.
fn refuse_plants(contents: &licences::Contents) -> Result<(), Failed> {
    match contents.own_features.iter().find(|feature| feature.ends_with("/plants")) {
        Some(feature) => Err(Failed::new(format!(
            "the programs would be built with `{feature}`, which plants bugs; see `cargo tree --edges features --invert {}`",
            feature.trim_end_matches("/plants")
        ))),
        None => Ok(()),
    }
}

/// The programs whose crates have one.
fn programs() -> impl Iterator<Item = (&'static str, &'static str)> {
    PROGRAMS.iter().copied().filter(|(folder, _)| root().join(folder).join("src/main.rs").is_file())
}

fn packages() -> Vec<String> {
    programs().map(|(folder, _)| format!("sillage-{folder}")).collect()
}

/// Packs the built programs. The same files and the same commit give the same archive, byte for byte.
fn pack(build: &BuildFacts) -> Result<PathBuf, Failed> {
    let target = target_dir()?;
    let dist = target.join("dist");
    let name = build.name();
    let folder = dist.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|e| failed("empty", &folder, &e))?;
    }
    for (_, program) in programs() {
        copy(&target.join(build.profile.folder()).join(program), &folder.join("bin").join(program))?;
    }
    let sillage = folder.join("bin/sillage");
    let man = folder.join("share/man/man1");
    output_of(Command::new(&sillage).arg("man").arg("--out").arg(&man))?;
    for (shell, place) in COMPLETIONS {
        write(&folder.join(place), &output_of(Command::new(&sillage).args(["completions", shell]))?)?;
    }
    for page in PAGES {
        copy(&root().join(page), &folder.join(page))?;
    }
    write(&folder.join(LICENCES), licences::text(&licences::contents(&packages())?.libraries)?.as_bytes())?;
    let sysroot = PathBuf::from(text_of(Command::new("rustc").args(["--print", "sysroot"]))?);
    let of_std = sysroot.join(LICENCES_OF_STD);
    if of_std.is_file() {
        copy(&of_std, &folder.join("LICENCES-OF-RUST.html"))?;
    } else {
        eprintln!("going on without the licences of Rust's standard library: {} isn't there", of_std.display());
    }
    write(&folder.join("BUILD"), build.text().as_bytes())?;
    let archive = archive(&dist, &name, build.commit_time_s)?;
    fs::remove_dir_all(&folder).map_err(|e| failed("remove", &folder, &e))?;
    Ok(archive)
}

/// Makes `NAME.tar.gz` of the folder, and the file with its SHA-256 for `sha256sum --check`. An archive gets its name once it is whole.
fn archive(dist: &Path, name: &str, time_s: u64) -> Result<PathBuf, Failed> {
    let file = format!("{name}.tar.gz");
    let partial = format!("{file}.partial");
    let mut tar = Command::new("tar");
    tar.current_dir(dist).args([
        "--create",
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mode=u=rwX,go=rX",
    ]);
    tar.arg(format!("--mtime=@{time_s}")).arg("--use-compress-program=gzip -n").args(["--file", &partial, name]);
    output_of(&mut tar)?;
    fs::rename(dist.join(&partial), dist.join(&file)).map_err(|e| failed("rename", &dist.join(&partial), &e))?;
    let sum = output_of(Command::new("sha256sum").current_dir(dist).arg(&file))?;
    write(&dist.join(format!("{file}.sha256")), &sum)?;
    Ok(dist.join(file))
}

/// From which sources and with which compiler the programs were made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct BuildFacts {
    version: String,
    target: String,
    compiler: String,
    profile: Profile,
    /// None outside of a Git working copy.
    commit: Option<String>,
    is_modified: bool,
    /// When the commit was made, in seconds since 1970; 0 without a commit.
    commit_time_s: u64,
}

impl BuildFacts {
    fn now(profile: Profile) -> Result<Self, Failed> {
        let id = cargo_lines(&["pkgid", "--quiet", "--package", "sillage-cli"])?.concat();
        let version = id.rsplit(['@', '#']).next().unwrap_or_default().to_owned();
        let said = text_of(Command::new("rustc").arg("-vV"))?;
        let target = said.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
        if version.is_empty() || target.is_empty() {
            return Err(Failed::new(format!("cannot tell version and target: cargo says `{id}`, rustc says `{said}`")));
        }
        let git = |args: &[&str]| text_of(Command::new("git").current_dir(root()).args(args)).ok();
        Ok(Self {
            version,
            target,
            compiler: said.lines().next().unwrap_or_default().to_owned(),
            profile,
            commit: git(&["rev-parse", "HEAD"]),
            is_modified: git(&["status", "--porcelain", "--untracked-files=no"])
                .is_some_and(|changes| !changes.is_empty()),
            commit_time_s: git(&["log", "-1", "--format=%ct"]).and_then(|time| time.parse().ok()).unwrap_or(0),
        })
    }

    /// The archive's name, without its end.
    fn name(&self) -> String {
        let suffix = if self.profile == Profile::Dev { "-dev" } else { "" };
        format!("sillage-{}-{}{suffix}", self.version, self.target)
    }

    fn text(&self) -> String {
        let commit = self.commit.as_deref().unwrap_or("unknown");
        let changes = if self.is_modified { ", with changes that are not committed" } else { "" };
        format!(
            "version {}\ncommit {commit}{changes}\ntarget {}\ncompiler {}\nprofile {}\n",
            self.version,
            self.target,
            self.compiler,
            self.profile.name()
        )
    }
}

fn text_of(command: &mut Command) -> Result<String, Failed> {
    Ok(String::from_utf8_lossy(&output_of(command)?).trim().to_owned())
}

fn copy(from: &Path, to: &Path) -> Result<(), Failed> {
    make_folder_of(to)?;
    fs::copy(from, to).map(|_| ()).map_err(|e| failed("copy", from, &e))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failed> {
    make_folder_of(path)?;
    fs::write(path, bytes).map_err(|e| failed("write", path, &e))
}

fn make_folder_of(path: &Path) -> Result<(), Failed> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(|e| failed("make", folder, &e))
}

fn failed(verb: &str, path: &Path, error: &std::io::Error) -> Failed {
    Failed::new(format!("cannot {verb} {}: {error}", path.display()))
}

fn minutes(seconds: u64) -> String {
    format!("{} min {} s", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> BuildFacts {
        BuildFacts {
            version: "0.1.0".to_owned(),
            target: "x86_64-unknown-linux-gnu".to_owned(),
            compiler: "rustc 1.95.0".to_owned(),
            profile: Profile::Release,
            commit: Some("ab12".to_owned()),
            is_modified: false,
            commit_time_s: 1,
        }
    }

    #[test]
    fn an_archive_is_named_by_version_and_target() {
        assert_eq!(facts().name(), "sillage-0.1.0-x86_64-unknown-linux-gnu");
    }

    #[test]
    fn an_archive_of_another_profile_says_so_in_its_name() {
        let facts = BuildFacts { profile: Profile::Dev, ..facts() };
        assert_eq!(facts.name(), "sillage-0.1.0-x86_64-unknown-linux-gnu-dev");
    }

    #[test]
    fn changes_that_are_not_committed_are_said() {
        assert!(facts().text().contains("\ncommit ab12\n"));
        let changed = BuildFacts { is_modified: true, ..facts() };
        assert!(changed.text().contains("commit ab12, with changes that are not committed\n"));
    }

    #[test]
    fn planted_bugs_are_refused() {
        let own_features = ["sillage-ledger/plants".to_owned()].into();
        let refused = refuse_plants(&licences::Contents { own_features, ..Default::default() }).expect_err("refused");
        assert!(refused.message.contains("`sillage-ledger/plants`"), "{refused}");
        refuse_plants(&licences::Contents::default()).expect("nothing is planted");
    }

    #[test]
    fn the_same_files_give_the_same_archive() {
        let folder = std::env::temp_dir().join(format!("sillage-dist-test-{}", std::process::id()));
        write(&folder.join("name/bin/b"), b"b").expect("written");
        write(&folder.join("name/a"), b"a").expect("written");
        let first = fs::read(archive(&folder, "name", 1).expect("packed")).expect("read");
        write(&folder.join("name/a"), b"a").expect("written again, later");
        let second = fs::read(archive(&folder, "name", 1).expect("packed")).expect("read");
        let checked = Command::new("sha256sum").current_dir(&folder).args(["--check", "name.tar.gz.sha256"]).output();
        fs::remove_dir_all(&folder).expect("removed");
        assert!(first == second, "two archives of the same files differ");
        assert!(checked.expect("sha256sum runs").status.success(), "the file with the SHA-256 doesn't fit the archive");
    }
}
