//! The log tree as C2SP tiles (c2sp.org/tlog-tiles): rows of 256 hashes, eight tree levels apart.
//!
//! [`coord`] names tiles and encodes what is in them, [`builder`] grows the tree at its right edge, and [`view`] reads
//! any proof from stored full tiles and the builder's partial ones.

pub mod builder;
pub mod coord;
pub mod view;

pub use builder::{ResumeError, TreeBuilder};
pub use coord::{
    TileCoord, TileError, TilePath, decode_entry_bundle, decode_hash_tile, encode_entry_bundle, encode_hash_tile,
};
pub use view::{TileReader, TreeView, ViewError};

use crate::hash::Hash;

/// Hashes in a full tile.
pub const TILE_WIDTH: usize = 256;
/// Tree levels from one tile level to the next.
pub const TILE_HEIGHT: u8 = 8;
/// Tile levels that a tree of 2^64 entries can have.
pub const TILE_LEVELS: u8 = 8;

/// The hashes of a full tile.
pub type TileHashes = [Hash; TILE_WIDTH];
