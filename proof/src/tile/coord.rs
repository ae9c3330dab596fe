//! Names and contents of tiles, byte for byte as c2sp.org/tlog-tiles has them.

use std::fmt;
use std::str::FromStr;

use super::{TILE_HEIGHT, TILE_WIDTH};
use crate::hash::{Hash, TreeSize};

/// Largest level in a tile path (c2sp.org/tlog-tiles).
const LEVEL_MAX: u8 = 63;

/// A tile path or a tile's content is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Not a path of c2sp.org/tlog-tiles, or not the canonical spelling.
    #[error("not a tile path: expected tile/<L>/<N>[.p/<W>] or tile/entries/<N>[.p/<W>]")]
    Path,
    /// Not 1 to 256 whole hashes.
    #[error("a hash tile of {0} bytes: expected 1 to 256 hashes of 32 bytes")]
    HashTileLength(usize),
    /// Not 1 to 256 entries.
    #[error("an entry bundle has 1 to 256 entries")]
    BundleCount,
    /// An entry is longer than its 16-bit length prefix can say.
    #[error("an entry of {0} bytes: the longest is 65,535")]
    EntryLength(usize),
    /// The last entry is cut short.
    #[error("the entry bundle is cut short")]
    BundleCutShort,
}

/// Names a hash tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileCoord {
    /// Tile level: its hashes are at tree level `8 · level`.
    pub level: u8,
    /// Position in the level, from 0.
    pub index: u64,
    /// Number of hashes, 1 to 256; 256 is a full tile.
    pub width: u16,
}

impl TileCoord {
    /// A full tile.
    pub const fn full(level: u8, index: u64) -> Self {
        let width = TILE_WIDTH as u16;
        Self { level, index, width }
    }

    /// Tells whether a tree of `size` entries has all hashes of this tile.
    pub fn is_covered_by(&self, size: TreeSize) -> bool {
        let hashes = size.get().checked_shr(u32::from(TILE_HEIGHT) * u32::from(self.level)).unwrap_or(0);
        let first = self.index.checked_mul(TILE_WIDTH as u64);
        first.and_then(|first| first.checked_add(self.width.into())).is_some_and(|end| end <= hashes)
    }

    /// The path below the log's prefix, such as `tile/0/x001/x234/067.p/5`.
    pub fn path(&self) -> String {
        TilePath::Hashes(*self).to_string()
    }
}

/// A path under `tile/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TilePath {
    /// `tile/<L>/<N>[.p/<W>]`
    Hashes(TileCoord),
    /// `tile/entries/<N>[.p/<W>]`: entries `256 · index` to `256 · index + width` exclusive.
    Entries {
        /// Position of the bundle, from 0.
        index: u64,
        /// Number of entries, 1 to 256.
        width: u16,
    },
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, width) = match self {
            Self::Hashes(coord) => {
                write!(f, "tile/{}/", coord.level)?;
                (coord.index, coord.width)
            }
            Self::Entries { index, width } => {
                f.write_str("tile/entries/")?;
                (*index, *width)
            }
        };
        // 2^64 has 20 digits: at most six groups before the last.
        for power in (1..=6_u32).rev() {
            let higher = index / 1000_u64.pow(power);
            if higher > 0 {
                write!(f, "x{:03}/", higher % 1000)?;
            }
        }
        write!(f, "{:03}", index % 1000)?;
        match usize::from(width) == TILE_WIDTH {
            true => Ok(()),
            false => write!(f, ".p/{width}"),
        }
    }
}

impl FromStr for TilePath {
    type Err = TileError;

    fn from_str(path: &str) -> Result<Self, TileError> {
        let rest = path.strip_prefix("tile/").ok_or(TileError::Path)?;
        let (level, rest) = rest.split_once('/').ok_or(TileError::Path)?;
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, width.parse().map_err(|_| TileError::Path)?),
            None => (rest, TILE_WIDTH as u16),
        };
        let mut index = 0_u64;
        for group in number.split('/') {
            let digits = group.strip_prefix('x').unwrap_or(group);
            let group: u64 = digits.parse().map_err(|_| TileError::Path)?;
            index = index.checked_mul(1000).and_then(|index| index.checked_add(group)).ok_or(TileError::Path)?;
        }
        let parsed = match level {
            "entries" => Self::Entries { index, width },
            level => Self::Hashes(TileCoord { level: level.parse().map_err(|_| TileError::Path)?, index, width }),
        };
        let level_fits = !matches!(parsed, Self::Hashes(coord) if coord.level > LEVEL_MAX);
        let width_fits = (1..=TILE_WIDTH).contains(&usize::from(width));
        // One tile has one path: signs, missing or extra zeros and misplaced `x` don't survive writing it again.
        match level_fits && width_fits && parsed.to_string() == path {
            true => Ok(parsed),
            false => Err(TileError::Path),
        }
    }
}

/// Content of a hash tile: its hashes, concatenated.
///
/// # Errors
/// For no hash, or more than 256.
pub fn encode_hash_tile(hashes: &[Hash]) -> Result<Vec<u8>, TileError> {
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.to_bytes()).collect();
    match (1..=TILE_WIDTH).contains(&hashes.len()) {
        true => Ok(bytes),
        false => Err(TileError::HashTileLength(bytes.len())),
    }
}

/// Hashes of a hash tile; its width is how many there are.
///
/// # Errors
/// When the content isn't 1 to 256 whole hashes.
pub fn decode_hash_tile(bytes: &[u8]) -> Result<Vec<Hash>, TileError> {
    let (hashes, rest) = bytes.as_chunks::<{ Hash::LEN }>();
    match rest.is_empty() && (1..=TILE_WIDTH).contains(&hashes.len()) {
        true => Ok(hashes.iter().map(|hash| Hash::from(*hash)).collect()),
        false => Err(TileError::HashTileLength(bytes.len())),
    }
}

/// Content of an entry bundle: each entry after its length (uint16, big-endian).
///
/// # Errors
/// For no entry, more than 256, or an entry longer than 65,535 bytes.
pub fn encode_entry_bundle<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, TileError> {
    if !(1..=TILE_WIDTH).contains(&entries.len()) {
        return Err(TileError::BundleCount);
    }
    let mut out = Vec::new();
    for entry in entries.iter().map(AsRef::as_ref) {
        let too_long = |_| TileError::EntryLength(entry.len());
        let len = u16::try_from(entry.len()).map_err(too_long)?;
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(entry);
    }
    Ok(out)
}

/// Entries of an entry bundle; its width is how many there are.
///
/// # Errors
/// When the content isn't 1 to 256 whole entries.
pub fn decode_entry_bundle(bytes: &[u8]) -> Result<Vec<&[u8]>, TileError> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (len, tail) = rest.split_first_chunk::<2>().ok_or(TileError::BundleCutShort)?;
        let len = usize::from(u16::from_be_bytes(*len));
        let (entry, tail) = tail.split_at_checked(len).ok_or(TileError::BundleCutShort)?;
        if entries.len() == TILE_WIDTH {
            return Err(TileError::BundleCount);
        }
        entries.push(entry);
        rest = tail;
    }
    match entries.is_empty() {
        true => Err(TileError::BundleCount),
        false => Ok(entries),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_spelled_as_the_specification_does() {
        let coord = TileCoord::full(0, 1_234_067);
        assert_eq!(coord.path(), "tile/0/x001/x234/067");
        let coord = TileCoord { level: 2, index: 0, width: 17 };
        assert_eq!(coord.path(), "tile/2/000.p/17");
        let entries = TilePath::Entries { index: 273, width: 112 };
        assert_eq!(entries.to_string(), "tile/entries/273.p/112");
        let most = TileCoord::full(63, u64::MAX);
        assert_eq!(most.path(), "tile/63/x018/x446/x744/x073/x709/x551/615");
        for path in ["tile/0/x001/x234/067", "tile/63/x018/x446/x744/x073/x709/x551/615"] {
            assert_eq!(path.parse::<TilePath>().expect("valid").to_string(), path);
        }
    }

    #[test]
    fn a_tree_of_70_000_covers_the_tiles_of_the_specification_and_no_more() {
        let tree = TreeSize(70_000);
        let partial = |level, index, width| TileCoord { level, index, width };
        for covered in [partial(0, 273, 112), partial(0, 273, 1), partial(1, 1, 17), partial(2, 0, 1)] {
            assert!(covered.is_covered_by(tree), "{covered:?}");
        }
        assert!(TileCoord::full(0, 272).is_covered_by(tree) && TileCoord::full(1, 0).is_covered_by(tree));
        for beyond in [partial(0, 273, 113), partial(1, 1, 18), partial(2, 0, 2), partial(3, 0, 1), partial(63, 0, 1)] {
            assert!(!beyond.is_covered_by(tree), "{beyond:?}");
        }
        assert!(!TileCoord::full(0, 273).is_covered_by(tree));
        assert!(!TileCoord::full(0, u64::MAX).is_covered_by(TreeSize(u64::MAX)));
        assert!(!partial(0, 0, 1).is_covered_by(TreeSize(0)));
    }

    #[test]
    fn every_other_spelling_is_refused() {
        for path in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "/tile/0/000",
            "tile/0/000/",
            "tile/00/000",
            "tile/+0/000",
            "tile/64/000",
            "tile/-1/000",
            "tile/0/0",
            "tile/0/0000",
            "tile/0/1000",
            "tile/0/x000/000",
            "tile/0/x000",
            "tile/0/001/000",
            "tile/0/x1/000",
            "tile/0/xx01/000",
            "tile/0/+01",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/+1",
            "tile/0/000.p/",
            "tile/0/000.p",
            "tile/0/000.p/1/",
            "tile/0/000.p/1.p/1",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/entries",
            "tile/entries/",
            "tile/entries/x000/000",
            "tile/data/000",
            "tile/0/0a0",
            "tile/0/٠٠٠",
        ] {
            assert_eq!(path.parse::<TilePath>(), Err(TileError::Path), "{path}");
        }
    }

    #[test]
    fn contents_out_of_bounds_are_refused() {
        assert!(decode_hash_tile(&[]).is_err());
        assert!(decode_hash_tile(&[0; 33]).is_err());
        assert!(decode_hash_tile(&vec![0; 257 * 32]).is_err());
        assert!(encode_hash_tile(&[]).is_err());
        assert_eq!(decode_entry_bundle(&[]), Err(TileError::BundleCount));
        assert_eq!(decode_entry_bundle(&[0]), Err(TileError::BundleCutShort));
        assert_eq!(decode_entry_bundle(&[0, 2, 1]), Err(TileError::BundleCutShort));
        assert_eq!(decode_entry_bundle(&[0; 514]), Err(TileError::BundleCount));
        assert_eq!(decode_entry_bundle(&[0; 512]).map(|e| e.len()), Ok(256));
        let long = encode_entry_bundle(&[vec![0; 65_536]]);
        assert_eq!(long, Err(TileError::EntryLength(65_536)));
        assert_eq!(encode_entry_bundle::<&[u8]>(&[]), Err(TileError::BundleCount));
    }

    proptest! {
        #[test]
        fn parsing_reverses_writing(level in 0_u8..=63, index: u64, width in 1_u16..=256) {
            let coord = TilePath::Hashes(TileCoord { level, index, width });
            prop_assert_eq!(coord.to_string().parse(), Ok(coord));
            let entries = TilePath::Entries { index, width };
            prop_assert_eq!(entries.to_string().parse(), Ok(entries));
        }

        #[test]
        fn bundles_survive_encoding(entries in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..257)) {
            let bytes = encode_entry_bundle(&entries).expect("within bounds");
            let decoded = decode_entry_bundle(&bytes).expect("own encoding");
            prop_assert_eq!(decoded, entries.iter().map(|e| &e[..]).collect::<Vec<_>>());
        }
    }
}
