//! Files that are made once: never over another one, secrets for the owner alone.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sillage_proof::keys::SigningKey;
use zeroize::Zeroizing;

/// A file can't be made.
#[derive(Debug, thiserror::Error)]
#[error("can't write {path}: {source}")]
pub struct FileError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub source: std::io::Error,
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let wrong = |source| FileError { path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        folder(parent)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(wrong)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(wrong)
}

/// Makes a folder and those above it, for the owner and its group to enter.
///
/// # Errors
/// When the system refuses.
pub fn folder(path: &Path) -> Result<(), FileError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(path)
        .map_err(|source| FileError { path: path.to_owned(), source })
}

/// A new file that anyone may read.
///
/// # Errors
/// When it exists or can't be written.
pub fn public(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), FileError> {
    write(path, bytes.as_ref(), 0o644)
}

/// A new file that only its owner may read.
///
/// # Errors
/// When it exists or can't be written.
pub fn secret(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), FileError> {
    write(path, bytes.as_ref(), 0o600)
}

/// A new seed file: 64 hexadecimal characters and a newline.
///
/// # Errors
/// When it exists or can't be written.
pub fn seed(path: &Path, key: &SigningKey) -> Result<(), FileError> {
    secret_hex(path, key.to_seed().as_slice())
}

/// A new file of secret bytes in hexadecimal, with a newline.
///
/// # Errors
/// When it exists or can't be written.
pub fn secret_hex(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut text = Zeroizing::new(hex::encode(bytes));
    text.push('\n');
    secret(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secrets_are_their_owners_and_nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/a.key");
        seed(&path, &SigningKey::from_seed(&[7; 32])).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", "07".repeat(32)));
        let error = secret(&path, "other").unwrap_err();
        assert_eq!(error.source.kind(), std::io::ErrorKind::AlreadyExists);
    }
}
