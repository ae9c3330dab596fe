//! System packages that the build and the tests need: installed where that takes no question, named where it does.

use crate::build::on_path;
use crate::failed::Failed;
use std::path::Path;
use std::process::Command;

/// A Debian package and how to see that what it gives is there.
struct Package {
    name: &'static str,
    why: &'static str,
    present: fn() -> bool,
}

const PACKAGES: &[Package] = &[
    Package { name: "g++", why: "RocksDB is C++", present: || on_path("g++") || on_path("c++") },
    Package { name: "libclang-dev", why: "bindings to RocksDB are made from its header", present: libclang },
    Package { name: "protobuf-compiler", why: "the schema of Raft's messages", present: || on_path("protoc") },
];

/// The verifier in JavaScript runs in it. Only its tests need it: nothing that is built does.
const NODE: &[Package] =
    &[Package { name: "nodejs", why: "the verifier in JavaScript is tested in it", present: || on_path("node") }];

/// Packages that some faults on real processes need; those that can't be made are left out, and said to be.
const FAULTS: &[Package] = &[
    Package { name: "faketime", why: "clocks that jump or stand still", present: || on_path("faketime") },
    Package { name: "iproute2", why: "networks whose links can be cut", present: || on_path("ip") },
];

/// Programs of others that call a connector, or log patients in, in tests.
const CALLERS: &[Package] = &[
    Package {
        name: "npm",
        why: "FHIR clients and a provider of logins, both in JavaScript",
        present: || on_path("npm"),
    },
    Package { name: "python3-venv", why: "FHIR clients in Python call the connector", present: venv },
    Package {
        name: "default-jdk-headless",
        why: "an example in Java calls the connector",
        present: || on_path("javac"),
    },
    Package { name: "curl", why: "an example of the shell calls the connector", present: || on_path("curl") },
];

/// A hundred megabytes for the tests of pages, which are skipped without it.
const BROWSER: &[Package] = &[Package {
    name: "chromium",
    why: "the verifier in JavaScript and the portal's pages are tested in a browser",
    present: || on_path("chromium") || on_path("chromium-browser") || on_path("google-chrome"),
}];

fn venv() -> bool {
    quiet(&["python3", "-c", "import venv, ensurepip"])
}

/// Any libclang that bindgen would find, with the compiler's own headers beside it.
fn libclang() -> bool {
    if std::env::var_os("LIBCLANG_PATH").is_some() {
        return true;
    }
    let versions = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    versions
        .filter(|e| e.file_name().to_string_lossy().starts_with("llvm-"))
        .any(|e| holds_libclang(&e.path().join("lib")))
}

fn holds_libclang(lib: &Path) -> bool {
    let files = std::fs::read_dir(lib).into_iter().flatten().flatten();
    let shared = files
        .filter(|e| e.file_name().to_string_lossy().starts_with("libclang"))
        .any(|e| e.file_name().to_string_lossy().contains(".so"));
    shared && lib.join("clang").is_dir()
}

/// Installs what is missing as root or through a `sudo` that asks nothing; otherwise says what to install.
pub fn packages() -> Result<(), Failed> {
    install(PACKAGES)
}

/// Installs the packages that only tests need. A package that can't be installed is named and is no failure: its tests skip themselves, or
/// fail where no one would see that (`CI=true`).
pub fn for_tests(with_browser: bool) {
    for packages in [NODE, FAULTS, CALLERS, BROWSER].iter().take(3 + usize::from(with_browser)) {
        or_without(packages);
    }
}

/// Installs the packages that only the faults of `chaos` need, in the same way.
pub fn for_faults() {
    or_without(FAULTS);
}

fn or_without(packages: &[Package]) {
    if let Err(why) = install(packages) {
        let names: Vec<&str> = packages.iter().filter(|p| !(p.present)()).map(|p| p.name).collect();
        eprintln!("going on without {}: {}", names.join(", "), why.message);
    }
}

fn install(packages: &[Package]) -> Result<(), Failed> {
    let missing: Vec<&Package> = packages.iter().filter(|p| !(p.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|p| p.name).collect();
    for package in &missing {
        eprintln!("missing: {} ({})", package.name, package.why);
    }
    let by_hand = format!("apt-get install --no-install-recommends {}", names.join(" "));
    if !on_path("apt-get") {
        return Err(Failed::new(format!(
            "this is not Debian: install the counterparts of {} and run this again",
            names.join(", ")
        )));
    }
    let prefix: &[&str] = if is_root() {
        &[]
    } else if quiet(&["sudo", "-n", "true"]) {
        &["sudo", "-n"]
    } else {
        return Err(Failed::new(format!("as root, run `{by_hand}`, then this again")));
    };
    let install = [&["apt-get", "install", "-y", "--no-install-recommends"][..], &names].concat();
    let done = apt(prefix, &["apt-get", "update", "-q"]) && apt(prefix, &install);
    if done && packages.iter().all(|p| (p.present)()) {
        return Ok(());
    }
    Err(Failed::new(format!("could not install them; as root, run `{by_hand}`, then this again")))
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.trim_ascii() == b"0")
}

fn quiet(command: &[&str]) -> bool {
    on_path(command[0]) && Command::new(command[0]).args(&command[1..]).output().is_ok_and(|o| o.status.success())
}

fn apt(prefix: &[&str], command: &[&str]) -> bool {
    let words = [prefix, command].concat();
    eprintln!("$ {}", words.join(" "));
    Command::new(words[0])
        .args(&words[1..])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()
        .is_ok_and(|s| s.success())
}
