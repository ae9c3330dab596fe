//! Files of others. They lie beside the workspace; a checkout without them tests with what it makes itself.

use std::path::PathBuf;

/// The folder `name` of the fixtures: `SILLAGE_FIXTURES` (absolute, or relative to the workspace), else
/// `../shared/fixtures`. Where it is absent, says so and gives `None`.
///
/// # Panics
/// Where it is absent although `CI=true` says that it has to be there.
pub fn folder(name: &str) -> Option<PathBuf> {
    let workspace =
        PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is")).join("..");
    let root = std::env::var_os("SILLAGE_FIXTURES").map_or_else(|| PathBuf::from("../shared/fixtures"), PathBuf::from);
    let folder = workspace.join(root).join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    let must = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!must, "{} is not there: set SILLAGE_FIXTURES to the folder of fixtures", folder.display());
    println!("skipped: {} is not there (set SILLAGE_FIXTURES)", folder.display());
    None
}
