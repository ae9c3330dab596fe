//! A patient's row as stored: its hash, and the frontier from which the patient's tree goes on.

use sillage_proof::hash::Hash;
use sillage_rules::index::Frontier;

use crate::error::ReadError;

/// Key and value of a row, read.
pub(crate) struct Row {
    pub ikey: Hash,
    pub hash: Hash,
    pub frontier: Frontier,
}

impl Row {
    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, ReadError> {
        let damaged = || ReadError::Damaged("a row of the patients' index can't be read".into());
        let ikey = Hash::from_slice(key).map_err(|_| damaged())?;
        let (hash, frontier) = value.split_first_chunk::<32>().ok_or_else(damaged)?;
        let frontier = Frontier::decode(frontier).filter(|frontier| frontier.count() > 0).ok_or_else(damaged)?;
        Ok(Self { ikey, hash: Hash::from_bytes(*hash), frontier })
    }
}

/// The value of a row.
pub(crate) fn value(hash: &Hash, frontier: &Frontier) -> Vec<u8> {
    let mut out = hash.as_bytes().to_vec();
    out.extend_from_slice(&frontier.encode());
    out
}
