//! A delta against the bundle that it continues, both verified before.

use super::report::Report;

/// The newer bundle doesn't continue the older one: keep both as evidence where both were verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// It isn't a delta.
    #[error("it is no delta: it has no section 10 (since)")]
    NoDelta,
    /// Of another patient or log.
    #[error("section 4 (identity): the two are of different traces")]
    OtherTrace,
    /// The older bundle doesn't go to the end.
    #[error("section 6 (range): the older bundle is a page that ends before the trace does")]
    OlderIsPage,
    /// The delta continues another checkpoint.
    #[error("section 10 (since): it continues another checkpoint than the older bundle's")]
    OtherCheckpoint,
    /// The delta continues after another number of entries.
    #[error("section 10 (since): it continues after {delta} entries, the older bundle has {older}")]
    OtherCount {
        /// Where the delta begins.
        delta: u64,
        /// Where the older bundle ends.
        older: u64,
    },
    /// The patient's older entries are others than were shown before.
    #[error("section 6 (range): the entries before it are not those that the older bundle showed")]
    OtherEntries,
    /// A new entry stands where the older bundle had looked.
    #[error("section 9 (entries): entry {0} stands below the older bundle's index commit, which did not have it")]
    Backdated(u64),
    /// The newer index commit is the older one.
    #[error("section 3 (index commit): it is older than the older bundle's")]
    CommitBack,
}

/// Checks that the delta of `newer` continues the bundle of `older`: same trace, same checkpoint, and the patient's
/// tree extends the one that was shown.
///
/// # Errors
/// [`ChainError`] says what doesn't fit.
pub fn continues(older: &Report, newer: &Report) -> Result<(), ChainError> {
    let since = newer.since.as_ref().ok_or(ChainError::NoDelta)?;
    if (&older.origin, older.tag) != (&newer.origin, newer.tag) {
        return Err(ChainError::OtherTrace);
    }
    if older.b != older.n {
        return Err(ChainError::OlderIsPage);
    }
    if (older.size, older.root) != (since.size, since.root) {
        return Err(ChainError::OtherCheckpoint);
    }
    if since.a != older.n {
        return Err(ChainError::OtherCount { delta: since.a, older: older.n });
    }
    if newer.mth_before != older.mth {
        return Err(ChainError::OtherEntries);
    }
    if newer.commit_index < older.commit_index {
        return Err(ChainError::CommitBack);
    }
    match newer.entries.iter().find(|entry| entry.index < older.commit_index) {
        Some(entry) => Err(ChainError::Backdated(entry.index.get())),
        None => Ok(()),
    }
}
