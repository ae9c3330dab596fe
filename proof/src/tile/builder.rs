//! The growing right edge of the log tree, in memory.

use super::{TILE_HEIGHT, TILE_LEVELS, TILE_WIDTH, TileCoord, TileHashes, TileReader};
use crate::hash::{Hash, TreeSize, hash_nodes, node_hash};
use crate::merkle;

/// Levels of a tree of up to 2^64 - 1 entries.
const TREE_LEVELS: usize = 64;

/// Appends leaves and hands out every tile that becomes full. It keeps the partial tiles (at most 255 hashes a tile
/// level) and one hash a tree level: about 64 KB at most, so a clone is a cheap snapshot.
#[derive(Debug, Clone)]
pub struct TreeBuilder {
    size: u64,
    /// `carry[l]`: the complete subtree of `2^l` leaves at the right edge that waits for a sibling. Present exactly
    /// where `size` has bit `l`.
    carry: [Option<Hash>; TREE_LEVELS],
    /// `edge[t]`: hashes of the partial tile at tile level `t`.
    edge: [Vec<Hash>; TILE_LEVELS as usize],
}

/// A tree can't be rebuilt from what is stored.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError<E> {
    /// The tail isn't the leaves after the last full tile.
    #[error("{got} leaf hashes after the last full tile, expected {want}: the store is incomplete")]
    Tail { got: usize, want: usize },
    /// A full tile is missing.
    #[error("full tile {} is missing from the store: restore it or rebuild from the entries", .0.path())]
    Missing(TileCoord),
    /// A tile couldn't be read.
    #[error(transparent)]
    Read(E),
}

impl Default for TreeBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl TreeBuilder {
    /// The empty tree.
    pub fn new() -> Self {
        Self { size: 0, carry: [None; TREE_LEVELS], edge: Default::default() }
    }

    /// The tree of `size` entries, from the stored full tiles and `tail`, the leaf hashes after the last full level-0
    /// tile (`size mod 256` of them). Reads at most 255 tiles a level.
    ///
    /// # Errors
    /// When a tile is missing or unreadable, or `tail` has another length.
    pub fn resume<R: TileReader + ?Sized>(
        size: TreeSize,
        tiles: &R,
        tail: &[Hash],
    ) -> Result<Self, ResumeError<R::Error>> {
        let mut tree = Self::new();
        tree.size = size.0;
        let want = tree.edge_width(0);
        if tail.len() != want {
            let got = tail.len();
            return Err(ResumeError::Tail { got, want });
        }
        tree.edge[0] = tail.to_vec();
        for level in 1..TILE_LEVELS {
            let end = tree.hashes_at(level);
            let begin = end - tree.edge_width(level) as u64;
            for index in begin..end {
                let below = level - 1;
                let tile = tiles.tile(below, index).map_err(ResumeError::Read)?;
                let missing = ResumeError::Missing(TileCoord::full(below, index));
                let root = merkle::root_of(&tile.ok_or(missing)?[..]);
                tree.edge[usize::from(level)].push(root);
            }
        }
        for level in (0..TREE_LEVELS).filter(|level| (size.0 >> level) & 1 == 1) {
            // Bit `level` of the size is set, so this subtree lies whole in the partial tile: the lower bits come
            // after it, the higher bits of the same tile level before it.
            let (tile_level, height) = (level / 8, level % 8);
            let width = 1_usize << height;
            let edge = &tree.edge[tile_level];
            let begin = edge.len() >> (height + 1) << (height + 1);
            tree.carry[level] = Some(merkle::root_of(&edge[begin..begin + width]));
        }
        Ok(tree)
    }

    /// Number of entries.
    pub fn size(&self) -> TreeSize {
        TreeSize(self.size)
    }

    /// Appends leaf hashes; returns the tiles that became full, of every level, lower levels first.
    ///
    /// # Panics
    /// When the tree would exceed 2^64 - 1 entries.
    pub fn append(&mut self, leaves: &[Hash]) -> Vec<(TileCoord, Box<TileHashes>)> {
        let mut full = Vec::new();
        let old_size = self.size;
        self.size = (old_size.checked_add(leaves.len() as u64)).expect("fewer than 2^64 entries");
        let mut row = leaves.to_vec();
        for level in 0..TREE_LEVELS {
            if row.is_empty() {
                break;
            }
            if level % usize::from(TILE_HEIGHT) == 0 {
                let first = old_size >> level >> TILE_HEIGHT;
                self.extend_edge(level / usize::from(TILE_HEIGHT), first, &row, &mut full);
            }
            if let Some(waiting) = self.carry[level].take() {
                row.insert(0, waiting);
            }
            let (pairs, odd) = row.as_chunks::<2>();
            self.carry[level] = odd.first().copied();
            let mut parents = Vec::with_capacity(pairs.len());
            hash_nodes(pairs, &mut parents);
            row = parents;
        }
        full
    }

    /// Adds hashes to the partial tile of one level, whose index is `tile`, and splits off what is full.
    fn extend_edge(
        &mut self,
        level: usize,
        mut tile: u64,
        hashes: &[Hash],
        full: &mut Vec<(TileCoord, Box<TileHashes>)>,
    ) {
        let edge = &mut self.edge[level];
        edge.extend_from_slice(hashes);
        let (tiles, rest) = edge.as_chunks::<TILE_WIDTH>();
        for hashes in tiles {
            let level = u8::try_from(level).expect("eight tile levels");
            full.push((TileCoord::full(level, tile), Box::new(*hashes)));
            tile += 1;
        }
        *edge = rest.to_vec();
    }

    /// Root of the whole tree, in at most 63 hashes.
    pub fn root(&self) -> Hash {
        let mut waiting = self.carry.iter().flatten();
        match waiting.next() {
            None => merkle::empty_root(),
            Some(lowest) => waiting.fold(*lowest, |acc, left| node_hash(left, &acc)),
        }
    }

    /// Hashes of the partial tile at `level` (fewer than 256, perhaps none). Its index is
    /// [`TreeBuilder::full_tiles`].
    pub fn partial(&self, level: u8) -> &[Hash] {
        self.edge.get(usize::from(level)).map_or(&[], Vec::as_slice)
    }

    /// Number of full tiles at `level`.
    pub fn full_tiles(&self, level: u8) -> u64 {
        self.hashes_at(level) >> TILE_HEIGHT
    }

    /// Number of complete subtrees of `256^level` leaves: hashes in all tiles of the level.
    pub fn hashes_at(&self, level: u8) -> u64 {
        let shift = u32::from(level) * u32::from(TILE_HEIGHT);
        self.size.checked_shr(shift).unwrap_or(0)
    }

    fn edge_width(&self, level: u8) -> usize {
        (self.hashes_at(level) % TILE_WIDTH as u64) as usize
    }
}
