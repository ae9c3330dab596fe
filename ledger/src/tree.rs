//! The log tree over stored tiles.

use std::sync::Arc;

use sillage_proof::hash::{Hash, TreeSize, hash_leaves};
use sillage_proof::tile::{ResumeError, TILE_WIDTH, TileHashes, TileReader, TreeBuilder, ViewError};

use crate::error::ReadError;
use crate::schema::{self, Family, HeadRow};
use crate::store::Store;

impl TileReader for Store {
    type Error = ReadError;

    fn tile(&self, level: u8, index: u64) -> Result<Option<Arc<TileHashes>>, ReadError> {
        let Some(bytes) = self.get(Family::Tiles, &schema::tile_key(level, index))? else {
            return Ok(None);
        };
        let (chunks, rest) = bytes.as_chunks::<32>();
        let hashes: Vec<Hash> = chunks.iter().map(|bytes| Hash::from(*bytes)).collect();
        let hashes = TileHashes::try_from(hashes).ok().filter(|_| rest.is_empty());
        hashes
            .map(|hashes| Some(Arc::new(hashes)))
            .ok_or_else(|| ReadError::Damaged(format!("tile {index} of level {level} isn't 256 hashes")))
    }
}

/// A tile as stored.
pub(crate) fn tile_bytes(hashes: &TileHashes) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.to_bytes()).collect()
}

/// Makes the right edge of the tree again from the tail entries and the full tiles, and compares its root with the one
/// that was stored when the last command was applied.
pub(crate) fn resume(store: &Store, head: &HeadRow) -> Result<TreeBuilder, ReadError> {
    let tail_begin = head.size - head.size % TILE_WIDTH as u64;
    let mut entries = Vec::new();
    for index in tail_begin..head.size {
        let entry = store.get(Family::Entries, &schema::index_key(index))?;
        entries.push(entry.ok_or_else(|| ReadError::Damaged(format!("entry {index} is missing")))?);
    }
    if store.contains(Family::Entries, &schema::index_key(head.size))? {
        let what = format!("entry {} exists beyond the tree", head.size);
        return Err(ReadError::Damaged(what));
    }
    let mut tail = Vec::with_capacity(entries.len());
    let inputs: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    hash_leaves(&inputs, &mut tail);
    let tree = TreeBuilder::resume(TreeSize(head.size), store, &tail).map_err(|error| match error {
        ResumeError::Read(error) => error,
        other => ReadError::Damaged(other.to_string()),
    })?;
    if tree.root() != head.root {
        return Err(ReadError::Damaged(format!(
            "the root over the stored tiles and entries is {}, but {} was stored for {} entries",
            tree.root(),
            head.root,
            head.size
        )));
    }
    Ok(tree)
}

/// The meaning of a failed read of the tree for the caller.
pub(crate) fn read_error(error: ViewError<ReadError>) -> ReadError {
    match error {
        ViewError::Store(error) => error,
        ViewError::NotReached { size } => ReadError::Beyond { size: size.get() },
        missing @ ViewError::Missing(_) => ReadError::Damaged(missing.to_string()),
    }
}
