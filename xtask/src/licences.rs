//! The licences of what the programs contain, in one text: each library with its licence, then every licence text once.
//!
//! The texts are the crates' own files, from the folders where cargo keeps the sources. Start with [`contents`].

use crate::build::cargo_lines;
use crate::failed::Failed;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Beginnings of the names of files that hold a licence, in small letters.
const NAMES: &[&str] = &["license", "licence", "copying", "notice", "copyright", "unlicense"];
/// Folders whose licences are of something that isn't in the programs.
const FOLDERS_LEFT_OUT: &[&str] = &["tests", "test", "examples", "benches", "contrib", "programs", "docs", "sqlcipher"];
/// How many folders below a crate's own one are looked into. C libraries lie in folders of their own.
const DEPTH_MAX: usize = 3;
/// A licence is short. A longer file is an error, not a licence.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// One library that the programs contain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Library {
    pub name: String,
    pub version: String,
    /// As the crate says it, in SPDX's words: `MIT OR Apache-2.0`.
    pub licence: String,
    pub repository: String,
}

impl Library {
    /// The name of the folder in which cargo keeps its source.
    fn folder(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    fn offers_apache(&self) -> bool {
        let mut words = self.licence.split(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '.')));
        words.any(|word| word == "Apache-2.0") && !self.licence.contains("AND")
    }
}

/// The crates of the workspace and the libraries that the programs of these packages contain.
#[derive(Debug, Default)]
pub struct Contents {
    pub libraries: BTreeSet<Library>,
    /// Features of the workspace's own crates, as `crate/feature`.
    pub own_features: BTreeSet<String>,
}

/// Asks cargo for everything that is linked into the programs of `packages`. Macros and build scripts run while the programs
/// are built; they are not in them.
///
/// # Errors
/// When cargo can't say it.
pub fn contents(packages: &[String]) -> Result<Contents, Failed> {
    let mut args = vec!["tree", "--quiet", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none"];
    args.extend(["--format", "{p}|{l}|{r}|{f}"]);
    args.extend(packages.iter().flat_map(|package| ["--package", package.as_str()]));
    Ok(read_tree(&cargo_lines(&args)?))
}

fn read_tree(lines: &[String]) -> Contents {
    let mut contents = Contents::default();
    for line in lines {
        let mut columns = line.trim_end_matches(" (*)").split('|').map(str::trim);
        let mut next = || columns.next().unwrap_or_default();
        let (package, licence, repository, features) = (next(), next(), next(), next());
        let mut words = package.split(' ');
        let (Some(name), Some(version)) = (words.next(), words.next().and_then(|v| v.strip_prefix('v'))) else {
            continue;
        };
        // A package that stands with its path is of the workspace.
        if words.next().is_some_and(|rest| rest.starts_with("(/")) {
            let features = features.split(',').filter(|feature| !feature.is_empty());
            contents.own_features.extend(features.map(|feature| format!("{name}/{feature}")));
            continue;
        }
        contents.libraries.insert(Library {
            name: name.to_owned(),
            version: version.to_owned(),
            licence: licence.to_owned(),
            repository: repository.trim_end_matches(".git").trim_end_matches('/').to_owned(),
        });
    }
    contents
}

/// The text for `libraries`.
///
/// # Errors
/// When a library's source isn't at hand, or it comes with no licence text and none can be had for it.
pub fn text(libraries: &BTreeSet<Library>) -> Result<String, Failed> {
    let folders = source_folders(&cargo_lines(&["metadata", "--quiet", "--locked", "--format-version", "1"])?.concat());
    let mut found: BTreeMap<&Library, Vec<String>> = BTreeMap::new();
    for library in libraries {
        let folder = folders.get(&library.folder()).ok_or_else(|| {
            Failed::new(format!("the source of {} isn't where cargo keeps it: run `cargo fetch`", library.folder()))
        })?;
        found.insert(library, texts_below(folder)?);
    }
    complete(&mut found)?;
    Ok(written(&found))
}

/// The folders of all packages, by their names (`name-version` for those of a registry), out of what `cargo metadata` prints.
/// A quote inside of a JSON string has a backslash before it, so the searched words stand for the field alone.
fn source_folders(metadata: &str) -> BTreeMap<String, PathBuf> {
    let manifests = metadata.split("\"manifest_path\":\"").skip(1).filter_map(|rest| rest.split('"').next());
    let folders = manifests.filter_map(|manifest| Path::new(manifest).parent());
    folders.filter_map(|folder| Some((folder.file_name()?.to_str()?.to_owned(), folder.to_path_buf()))).collect()
}

/// The texts of all files below `folder` that hold a licence.
fn texts_below(folder: &Path) -> Result<Vec<String>, Failed> {
    let failed = |path: &Path, error: std::io::Error| Failed::new(format!("cannot read {}: {error}", path.display()));
    let mut texts = BTreeSet::new();
    let mut waiting = vec![(folder.to_path_buf(), 0)];
    while let Some((folder, depth)) = waiting.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| failed(&folder, error))?.flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().to_lowercase();
            if path.is_dir() {
                if depth < DEPTH_MAX && !FOLDERS_LEFT_OUT.contains(&name.as_str()) {
                    waiting.push((path, depth + 1));
                }
            } else if NAMES.iter().any(|start| name.starts_with(start)) && !name.ends_with(".rs") {
                let bytes = entry.metadata().map_err(|error| failed(&path, error))?.len();
                if bytes > TEXT_BYTES_MAX {
                    return Err(Failed::new(format!("{} is too long for a licence: {bytes} bytes", path.display())));
                }
                let text = fs::read(&path).map_err(|error| failed(&path, error))?;
                let lines: Vec<String> =
                    String::from_utf8_lossy(&text).lines().map(|line| line.trim_end().to_owned()).collect();
                texts.insert(lines.join("\n").trim_matches('\n').to_owned());
            }
        }
    }
    Ok(texts.into_iter().filter(|text| !text.is_empty()).collect())
}

/// Gives libraries without a text that of another library of the same repository. One that offers Apache-2.0 needs none: that text
/// is in the archive.
fn complete(found: &mut BTreeMap<&Library, Vec<String>>) -> Result<(), Failed> {
    let lacking: Vec<&Library> =
        found.iter().filter(|(_, texts)| texts.is_empty()).map(|(library, _)| *library).collect();
    for library in lacking {
        let sibling = found.iter().find(|(other, texts)| {
            !library.repository.is_empty() && other.repository == library.repository && !texts.is_empty()
        });
        if let Some(texts) = sibling.map(|(_, texts)| texts.clone()) {
            found.insert(library, texts);
        } else if !library.offers_apache() {
            return Err(Failed::new(format!(
                "{} ({}) comes without the text of its licence: find it in {}, or use another library",
                library.folder(),
                library.licence,
                library.repository
            )));
        }
    }
    Ok(())
}

fn written(found: &BTreeMap<&Library, Vec<String>>) -> String {
    let mut by_text: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut out = String::from(
        "Sillage is under the Apache License 2.0, in the file LICENSE. Its programs contain the libraries below.\n\
         Where a library offers several licences, Sillage uses it under Apache-2.0 if that is among them, otherwise under\n\
         the first one that is offered. RocksDB is used under Apache-2.0. The texts follow the table, each one once.\n\n",
    );
    for (library, texts) in found {
        let licence = if library.licence.is_empty() { "see its text" } else { &library.licence };
        out.push_str(&format!("{} {}: {licence}\n", library.name, library.version));
        for text in texts {
            by_text.entry(text).or_default().push(format!("{} {}", library.name, library.version));
        }
    }
    let mut texts: Vec<(Vec<String>, &str)> = by_text.into_iter().map(|(text, libraries)| (libraries, text)).collect();
    texts.sort();
    for (libraries, text) in texts {
        out.push_str(&format!("\n{}\n{}\n\n{text}\n", "=".repeat(100), libraries.join(", ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(name: &str, licence: &str, repository: &str) -> Library {
        Library {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: licence.to_owned(),
            repository: repository.to_owned(),
        }
    }

    #[test]
    fn libraries_and_own_features_are_told_apart() {
        let lines = [
            "sillage-ledger v0.1.0 (/src/ledger)|Apache-2.0||plants",
            "bytes v1.11.0|MIT|https://example.org/bytes.git|default,std (*)",
            "",
        ];
        let contents = read_tree(&lines.map(str::to_owned));
        assert_eq!(contents.own_features.into_iter().collect::<Vec<_>>(), ["sillage-ledger/plants"]);
        let names: Vec<String> = contents.libraries.iter().map(Library::folder).collect();
        assert_eq!(names, ["bytes-1.11.0"]);
        let repositories: Vec<&str> = contents.libraries.iter().map(|library| library.repository.as_str()).collect();
        assert_eq!(repositories, ["https://example.org/bytes"]);
    }

    #[test]
    fn a_description_that_quotes_the_field_is_no_folder() {
        let metadata = r#"{"description":"\"manifest_path\":\"/no/x-1.0.0/Cargo.toml\"","manifest_path":"/yes/y-2.0.0/Cargo.toml"}"#;
        let folders = source_folders(metadata);
        assert_eq!(folders.keys().collect::<Vec<_>>(), ["y-2.0.0"]);
    }

    #[test]
    fn a_text_is_taken_from_the_same_repository() {
        let (first, second) = (library("a", "MIT", "https://r"), library("b", "MIT", "https://r"));
        let mut found = BTreeMap::from([(&first, vec!["Copyright".to_owned()]), (&second, Vec::new())]);
        complete(&mut found).expect("both have a text");
        assert_eq!(found[&second], ["Copyright"]);
    }

    #[test]
    fn a_library_without_a_text_is_refused_unless_it_offers_apache() {
        let (mit, either) = (library("a", "MIT", "https://a"), library("b", "Apache-2.0/MIT", "https://b"));
        complete(&mut BTreeMap::from([(&either, Vec::new())])).expect("the text of Apache-2.0 is in the archive");
        let refused = complete(&mut BTreeMap::from([(&mit, Vec::new())])).expect_err("no text of MIT with its holder");
        assert!(refused.message.contains("a-1.0.0 (MIT)"), "{refused}");
    }

    #[test]
    fn a_text_of_two_libraries_stands_once() {
        let (first, second) = (library("a", "MIT", ""), library("b", "", ""));
        let same = vec!["Permission is granted".to_owned()];
        let text = written(&BTreeMap::from([(&first, same.clone()), (&second, same)]));
        assert_eq!(text.matches("Permission is granted").count(), 1, "{text}");
        assert!(text.contains("\na 1.0.0, b 1.0.0\n"), "{text}");
        assert!(text.contains("\nb 1.0.0: see its text\n"), "{text}");
    }
}
