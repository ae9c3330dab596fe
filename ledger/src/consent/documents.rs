//! The documents that hold for all patients: policy, habilitation matrix, catalogue. Each is the last one published.

use sillage_proof::hash::LeafIndex;
use sillage_rules::consent::{Catalogue, Event, Matrix, Policy};
use sillage_rules::kind::Kind;

use crate::error::ReadError;
use crate::schema::{self, Family, NO_PATIENT};
use crate::store::Store;

/// The documents in force. Nothing published: the defaults.
#[derive(Debug, Clone, Default)]
pub(crate) struct Documents {
    pub policy: Policy,
    pub matrix: Matrix,
    pub catalogue: Catalogue,
}

impl Documents {
    /// Puts what a record publishes in the place of the one before.
    pub(crate) fn publish(&mut self, event: &Event) {
        match event {
            Event::Policy(policy) => self.policy = (**policy).clone(),
            Event::Matrix(matrix) => self.matrix = matrix.clone(),
            Event::Catalogue(catalogue) => self.catalogue = catalogue.clone(),
            _ => {}
        }
    }
}

/// Kinds of documents, in the order in which they are looked for.
pub(crate) const KINDS: [Kind; 3] = [Kind::POLICY_PUBLISHED, Kind::MATRIX_PUBLISHED, Kind::CATALOGUE_PUBLISHED];

/// The records that were in force when the log had `size` entries: policy, matrix, catalogue.
pub(crate) fn in_force(store: &Store, size: u64) -> Result<[Option<LeafIndex>; 3], ReadError> {
    let mut found = [None; 3];
    // Newest first; published a few times a year, so few are looked at.
    for row in store.rule_rows(&NO_PATIENT, size) {
        let (index, kind) = row?;
        let place = KINDS.iter().position(|known| *known == kind);
        if let Some(place) = place {
            found[place].get_or_insert(index);
        }
        if found.iter().all(Option::is_some) {
            break;
        }
    }
    Ok(found)
}

impl Store {
    /// Records that decide under a tag in a log of `size` entries, newest first.
    pub(crate) fn rule_rows(
        &self,
        tag: &[u8; schema::TAG_LEN],
        size: u64,
    ) -> impl Iterator<Item = Result<(LeafIndex, Kind), ReadError>> + '_ {
        let (first, end) = (schema::patient_key(tag, 0), schema::patient_key(tag, size));
        let mut options = rocksdb::ReadOptions::default();
        options.set_iterate_range(first.to_vec()..end.to_vec());
        let rows = self.db().iterator_cf_opt(self.family(Family::Rule), options, rocksdb::IteratorMode::End);
        rows.map(|row| {
            let (key, value) = row?;
            parse_rule_row(&key, &value)
        })
    }

    /// Records that decide under a tag, from entry `from` on, in a log of `size` entries, oldest first.
    pub(crate) fn rule_rows_from(
        &self,
        tag: &[u8; schema::TAG_LEN],
        from: u64,
        size: u64,
    ) -> impl Iterator<Item = Result<(LeafIndex, Kind), ReadError>> + '_ {
        let (first, end) = (schema::patient_key(tag, from.min(size)), schema::patient_key(tag, size));
        let mut options = rocksdb::ReadOptions::default();
        options.set_iterate_range(first.to_vec()..end.to_vec());
        let rows = self.db().iterator_cf_opt(self.family(Family::Rule), options, rocksdb::IteratorMode::Start);
        rows.map(|row| {
            let (key, value) = row?;
            parse_rule_row(&key, &value)
        })
    }
}

/// A row of what decides.
pub(crate) fn rule_row(kind: Kind) -> Vec<u8> {
    kind.code().to_be_bytes().to_vec()
}

fn parse_rule_row(key: &[u8], value: &[u8]) -> Result<(LeafIndex, Kind), ReadError> {
    let parts = || {
        let index = key.get(schema::TAG_LEN..)?.try_into().ok().map(u64::from_be_bytes)?;
        let kind = value.try_into().ok().map(u16::from_be_bytes)?;
        Some((LeafIndex(index), Kind::from_code(u32::from(kind)).ok()?))
    };
    parts().ok_or_else(|| ReadError::Damaged("a row of what decides can't be read".into()))
}
