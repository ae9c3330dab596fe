//! Queries about the records that decide.

use sillage_proof::hash::{Hash, LeafIndex, LedgerTimeMs};
use sillage_rules::entry::Entry;
use sillage_rules::kind::Kind;

use super::LedgerReader;
use crate::consent::documents;
use crate::error::ReadError;
use crate::schema::consent_prefix::REVOKED_ACTOR;
use crate::schema::{Family, TAG_LEN};

/// A record that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleRow {
    /// Its entry.
    pub index: LeafIndex,
    /// Its kind.
    pub kind: Kind,
}

/// The records of the documents that were in force in a log of some size; `None`: none was published, the default holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DocumentsAt {
    /// `policy.published`
    pub policy: Option<LeafIndex>,
    /// `matrix.published`
    pub matrix: Option<LeafIndex>,
    /// `catalogue.published`
    pub catalogue: Option<LeafIndex>,
}

impl LedgerReader {
    /// Records of a patient that decide, after entry `after`, in a log of `size` entries, at most `limit`; oldest first.
    /// Deposits are among them. [`crate::EntryReader::open`] opens them; an erased one gives none.
    ///
    /// # Errors
    /// [`ReadError::Beyond`] when the log isn't that large.
    pub(crate) fn rule_rows(
        &self,
        tag: &[u8; TAG_LEN],
        after: LeafIndex,
        size: u64,
        limit: usize,
    ) -> Result<Vec<RuleRow>, ReadError> {
        let view = self.view();
        if size > view.head.size {
            return Err(ReadError::Beyond { size: view.head.size });
        }
        let rows = view.store.rule_rows_from(tag, after.get().saturating_add(1), size);
        rows.take(limit).map(|row| row.map(|(index, kind)| RuleRow { index, kind })).collect()
    }

    /// The records of the documents in force in a log of `size` entries.
    ///
    /// # Errors
    /// [`ReadError::Beyond`] when the log isn't that large.
    pub fn documents_at(&self, size: u64) -> Result<DocumentsAt, ReadError> {
        let view = self.view();
        if size > view.head.size {
            return Err(ReadError::Beyond { size: view.head.size });
        }
        let [policy, matrix, catalogue] = documents::in_force(&view.store, size)?;
        Ok(DocumentsAt { policy, matrix, catalogue })
    }

    /// The hashes of the actors that were revoked in a log of `size` entries (`rules::consent::ActorName::hash`), sorted.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn revoked_actors(&self, size: u64) -> Result<Vec<Hash>, ReadError> {
        let damaged = || ReadError::Damaged("the row of a revoked actor can't be read".into());
        let mut out = Vec::new();
        for (key, row) in self.view().store.scan(Family::Consent, REVOKED_ACTOR, None, usize::MAX)? {
            let actor = Hash::from_slice(key.get(1..).unwrap_or_default()).map_err(|_| damaged())?;
            let by = row[..].try_into().map(u64::from_be_bytes).map_err(|_| damaged())?;
            if by < size {
                out.push(actor);
            }
        }
        Ok(out)
    }

    /// How many entries the log had at this ledger time, those of that moment included; and the time of the last of them.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn size_at(&self, time: LedgerTimeMs) -> Result<(u64, LedgerTimeMs), ReadError> {
        let (mut low, mut high) = (0, self.tree_size().get());
        // Time never goes back, so that the entries after a moment are the last ones.
        while low < high {
            let middle = low + (high - low) / 2;
            match self.time_of(LeafIndex(middle))? <= time {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let last = low.checked_sub(1).map(|last| self.time_of(LeafIndex(last))).transpose()?;
        Ok((low, last.unwrap_or_default()))
    }

    /// The ledger time of an entry.
    fn time_of(&self, index: LeafIndex) -> Result<LedgerTimeMs, ReadError> {
        let entry = self.decoded_entry(index)?;
        let missing = || ReadError::Damaged(format!("entry {index} is missing"));
        entry.as_ref().map(Entry::time).ok_or_else(missing)
    }
}
