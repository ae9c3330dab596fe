//! The last known state of a patient: kept while the ledger can be reached, for when it can't.
//!
//! One file for each patient, mode 0600; its name is a hash of the patient's identity. It holds health data, as the
//! establishment's own records do.

use std::path::{Path, PathBuf};

use sillage_proof::hash::sha256;
use sillage_rules::line::PatientLine;

use super::log::make_private_dir;
use crate::consent::known::{Fetched, Known};
use crate::error::ClientError;
use crate::profile::read;

/// The patient's last known state.
#[derive(Debug, Clone)]
pub struct LastKnown {
    /// It.
    pub known: Known,
}

fn path(dir: &Path, patient: &PatientLine) -> PathBuf {
    let name = sha256(&[b"sillage/known/v1\0", patient.ins.as_bytes(), b"|", patient.oid.as_bytes()]);
    dir.join("state").join(name.to_string())
}

/// Keeps what is known of a patient, in the place of what was kept before.
///
/// # Errors
/// When the disk refuses.
pub fn keep(dir: &Path, patient: &PatientLine, fetched: &Fetched) -> Result<(), ClientError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = path(dir, patient);
    make_private_dir(&dir.join("state"))?;
    let part = path.with_extension("part");
    let mut options = std::fs::OpenOptions::new();
    let written = options.create(true).write(true).truncate(true).mode(0o600).open(&part).and_then(|mut file| {
        file.write_all(&fetched.to_bytes())?;
        file.sync_all()?;
        std::fs::rename(&part, &path)
    });
    written.map_err(|error| ClientError::writing(&path, error))
}

/// The rules that are kept of a patient; none where nothing was. `late_after_ms` is the genesis's.
///
/// # Errors
/// When the file is damaged: then it is not guessed.
pub fn kept(dir: &Path, patient: &PatientLine, late_after_ms: u64) -> Result<Option<LastKnown>, ClientError> {
    let path = path(dir, patient);
    if !path.exists() {
        return Ok(None);
    }
    let fetched = Fetched::from_bytes(&read(&path)?).map_err(|why| ClientError::reading(&path, why))?;
    Ok(Some(LastKnown { known: fetched.fold(late_after_ms)? }))
}
