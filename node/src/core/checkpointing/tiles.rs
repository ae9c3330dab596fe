//! Hash tiles (c2sp.org/tlog-tiles): what a checkpoint that was given out covers, and nothing beyond.

use std::sync::atomic::Ordering;

use sillage_ledger::Refusal;
use sillage_proof::TreeSize;
use sillage_proof::tile::TileCoord;
use sillage_rules::codes::Code;

use crate::core::Core;
use crate::refusals::{from_read, refuse};

impl Core {
    /// The content of a hash tile, full or partial: its hashes one after the other.
    ///
    /// # Errors
    /// `SIZE_NOT_REACHED` where the newest checkpoint doesn't cover it.
    pub async fn tile(&self, coord: TileCoord) -> Result<Vec<u8>, Refusal> {
        // A size that was covered once stays covered: the leader is asked only for what is new.
        let known = TreeSize(self.checkpointing.covered.load(Ordering::Acquire));
        if !coord.is_covered_by(known) && !coord.is_covered_by(TreeSize(self.covered_size().await?)) {
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
        self.checkpointing.covered.fetch_max(size, Ordering::AcqRel);
        Ok(size)
    }
}
