//! Hash tiles (c2sp.org/tlog-tiles): what a checkpoint that was given out covers, and nothing beyond.

use std::sync::atomic::Ordering;

use sillage_ledger::Refusal;
use sillage_proof::tile::TileCoord;
use sillage_rules::codes::Code;

use super::Core;
use super::refusals::{from_read, refuse};

/// Tree levels in one tile level, and hashes in a full tile.
const TILE_HEIGHT: u32 = 8;
const TILE_WIDTH: u64 = 256;

impl Core {
    /// The content of a hash tile, full or partial: its hashes one after the other.
    ///
    /// # Errors
    /// `SIZE_NOT_REACHED` where the newest checkpoint doesn't cover it.
    pub async fn tile(&self, coord: TileCoord) -> Result<Vec<u8>, Refusal> {
        // A size that was covered once stays covered: the leader is asked only for what is new.
        if !covers(self.covered.load(Ordering::Acquire), coord) && !covers(self.covered_size().await?, coord) {
            return Err(refuse(Code::SizeNotReached));
        }
        let reader = self.reader.clone();
        let hashes = self.read(move || reader.tile(coord).map_err(|error| from_read(&error))).await?;
        Ok(hashes.iter().flat_map(|hash| hash.to_bytes()).collect())
    }

    /// Size of the newest checkpoint. Afterwards this node has applied everything under it.
    ///
    /// # Errors
    /// As [`Core::newest_checkpoint`].
    pub async fn covered_size(&self) -> Result<u64, Refusal> {
        let size = self.newest_checkpoint().await?.size;
        self.covered.fetch_max(size, Ordering::AcqRel);
        Ok(size)
    }
}

/// Whether the tree of `size` entries has all hashes of a tile.
fn covers(size: u64, coord: TileCoord) -> bool {
    let hashes = size.checked_shr(TILE_HEIGHT * u32::from(coord.level)).unwrap_or(0);
    let first = coord.index.checked_mul(TILE_WIDTH);
    first.and_then(|first| first.checked_add(coord.width.into())).is_some_and(|end| end <= hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(level: u8, index: u64, width: u16) -> TileCoord {
        TileCoord { level, index, width }
    }

    #[test]
    fn a_tree_of_70_000_covers_the_tiles_of_the_specification_and_no_more() {
        for covered in [partial(0, 273, 112), partial(0, 273, 1), partial(1, 1, 17), partial(2, 0, 1)] {
            assert!(covers(70_000, covered), "{covered:?}");
        }
        assert!(covers(70_000, TileCoord::full(0, 272)) && covers(70_000, TileCoord::full(1, 0)));
        for beyond in [partial(0, 273, 113), partial(1, 1, 18), partial(2, 0, 2), partial(3, 0, 1), partial(63, 0, 1)] {
            assert!(!covers(70_000, beyond), "{beyond:?}");
        }
        assert!(!covers(70_000, TileCoord::full(0, 273)) && !covers(u64::MAX, TileCoord::full(0, u64::MAX)));
        assert!(!covers(0, partial(0, 0, 1)));
    }
}
