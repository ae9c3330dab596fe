//! A server's configuration: one TOML file, whose paths are relative to the folder that it is in.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// A configuration that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read {path}: {source}; {way_out}")]
    Read {
        /// Its path.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
        /// Where a configuration comes from.
        way_out: &'static str,
    },
    /// It isn't TOML, or has a field that we don't know.
    #[error("{path}: {message}")]
    Parse {
        /// Its path.
        path: PathBuf,
        /// The place and the fault, as the TOML parser gives them.
        message: String,
    },
    /// It is understood, but can't be.
    #[error("{path}: {message}")]
    Invalid {
        /// Its path.
        path: PathBuf,
        /// The contradiction, and the way out.
        message: String,
    },
}

impl ConfigError {
    /// A configuration that contradicts itself. `message`: the contradiction, and the way out.
    pub fn invalid(path: &Path, message: String) -> Self {
        Self::Invalid { path: path.to_owned(), message }
    }
}

/// Reads a configuration. `way_out` says where such a file comes from, as the end of a sentence: it is told when the file can't be
/// read.
///
/// # Errors
/// When the file can't be read, or isn't understood.
pub fn read<T: DeserializeOwned>(path: &Path, way_out: &'static str) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| ConfigError::Read { path: path.to_owned(), source, way_out })?;
    toml::from_str(&text).map_err(|error| ConfigError::Parse { path: path.to_owned(), message: error.to_string() })
}

/// The folder of a configuration, as an absolute path.
pub fn folder_of(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.parent().unwrap_or(Path::new("")).to_owned()
}

/// Checks that none of these limits is 0: each is a name and its value.
///
/// # Errors
/// The first one that is.
pub fn check_positive<const N: usize>(limits: [(&str, u64); N]) -> Result<(), String> {
    match limits.into_iter().find(|(_, value)| *value == 0) {
        None => Ok(()),
        Some((name, _)) => Err(format!("limits.{name} is 0: nothing would be served; give a number, or leave it out")),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Example {
        number: u64,
    }

    #[test]
    fn errors_name_the_file_and_the_way_out() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("example.toml");
        std::fs::write(&path, "number = 0\n").expect("written");
        let example: Example = read(&path, "").expect("a configuration");
        assert_eq!(
            check_positive([("number", example.number)]).map_err(|why| why.contains("limits.number")),
            Err(true)
        );
        assert_eq!(folder_of(&path), dir.path());

        std::fs::write(&path, "number = \"one\"\n").expect("written");
        assert!(matches!(read::<Example>(&path, ""), Err(ConfigError::Parse { .. })));
        let missing = read::<Example>(Path::new("/nowhere/example.toml"), "`example init` writes one");
        let missing = missing.expect_err("it isn't there").to_string();
        assert!(missing.contains("/nowhere/example.toml") && missing.contains("`example init`"), "{missing}");
    }
}
