//! Proofs of any size, read from stored full tiles and the builder's partial ones.

use std::sync::Arc;

use super::{TILE_HEIGHT, TILE_WIDTH, TileCoord, TileHashes, TreeBuilder};
use crate::hash::{Hash, TreeSize};
use crate::merkle::{self, NodeId, NodeReader};

/// A store of full tiles.
pub trait TileReader {
    /// Why the store couldn't be read.
    type Error;

    /// The full tile at `level` and `index`, `None` when there is none.
    ///
    /// # Errors
    /// When the store can't be read.
    fn tile(&self, level: u8, index: u64) -> Result<Option<Arc<TileHashes>>, Self::Error>;
}

/// A tile or a node can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ViewError<E> {
    /// The tree isn't that large yet.
    #[error("the tree has {size} entries and does not reach that far yet")]
    NotReached { size: TreeSize },
    /// A full tile is missing.
    #[error("full tile {} is missing from the store: restore it or rebuild from the entries", .0.path())]
    Missing(TileCoord),
    /// The store can't be read.
    #[error(transparent)]
    Store(E),
}

/// The tree up to the builder's size: give it to [`merkle::root`], [`merkle::inclusion_proof`] and
/// [`merkle::consistency_proof`] for any size up to that one.
#[derive(Debug)]
pub struct TreeView<'a, R: ?Sized> {
    builder: &'a TreeBuilder,
    tiles: &'a R,
}

/// The hashes that a tile has so far.
enum Tile<'a> {
    Full(Arc<TileHashes>),
    Partial(&'a [Hash]),
}

impl Tile<'_> {
    fn hashes(&self) -> &[Hash] {
        match self {
            Self::Full(hashes) => &hashes[..],
            Self::Partial(hashes) => hashes,
        }
    }
}

impl<'a, R: TileReader + ?Sized> TreeView<'a, R> {
    /// Every tile that `builder` handed out must be readable from `tiles`.
    pub fn new(builder: &'a TreeBuilder, tiles: &'a R) -> Self {
        Self { builder, tiles }
    }

    /// Hashes of any full or partial tile that a tree of this size or any earlier one has.
    ///
    /// # Errors
    /// When the tree doesn't reach that far, or a full tile can't be read.
    pub fn hash_tile(&self, coord: TileCoord) -> Result<Vec<Hash>, ViewError<R::Error>> {
        let width = usize::from(coord.width);
        let size = self.builder.size();
        if width == 0 || width > TILE_WIDTH {
            return Err(ViewError::NotReached { size });
        }
        let tile = self.tile(coord.level, coord.index)?;
        match tile.hashes().get(..width) {
            Some(hashes) => Ok(hashes.to_vec()),
            None => Err(ViewError::NotReached { size }),
        }
    }

    fn tile(&self, level: u8, index: u64) -> Result<Tile<'a>, ViewError<R::Error>> {
        let full = self.builder.full_tiles(level);
        if index > full {
            let size = self.builder.size();
            return Err(ViewError::NotReached { size });
        }
        if index == full {
            return Ok(Tile::Partial(self.builder.partial(level)));
        }
        let missing = ViewError::Missing(TileCoord::full(level, index));
        let tile = self.tiles.tile(level, index).map_err(ViewError::Store)?;
        tile.map(Tile::Full).ok_or(missing)
    }
}

impl<R: TileReader + ?Sized> NodeReader for TreeView<'_, R> {
    type Error = ViewError<R::Error>;

    fn read_nodes(&self, ids: &[NodeId], out: &mut Vec<Hash>) -> Result<(), Self::Error> {
        // A proof reads several nodes of the same tile: at most eight tile levels, left and right of the path.
        let mut read: Vec<((u8, u64), Tile<'_>)> = Vec::new();
        for id in ids {
            let size = self.builder.size();
            let end = (u128::from(id.index) + 1).checked_shl(id.level.into());
            if id.level >= 64 || end.is_none_or(|end| end > u128::from(size.0)) {
                return Err(ViewError::NotReached { size });
            }
            let (level, height) = (id.level / TILE_HEIGHT, id.level % TILE_HEIGHT);
            let first = id.index << height;
            let at = (level, first >> TILE_HEIGHT);
            let known = read.iter().position(|(coord, _)| *coord == at);
            let tile = match known {
                Some(known) => &read[known].1,
                None => {
                    read.push((at, self.tile(at.0, at.1)?));
                    &read.last().expect("just pushed").1
                }
            };
            let begin = (first % TILE_WIDTH as u64) as usize;
            let hashes = tile.hashes().get(begin..begin + (1 << height));
            out.push(merkle::root_of(hashes.ok_or(ViewError::NotReached { size })?));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;
    use crate::tile::ResumeError;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    #[derive(Default)]
    struct Store(BTreeMap<(u8, u64), Arc<TileHashes>>);

    impl TileReader for Store {
        type Error = Infallible;

        fn tile(&self, level: u8, index: u64) -> Result<Option<Arc<TileHashes>>, Infallible> {
            Ok(self.0.get(&(level, index)).cloned())
        }
    }

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|i| leaf_hash(&(i as u64).to_be_bytes())).collect()
    }

    fn grow(builder: &mut TreeBuilder, store: &mut Store, leaves: &[Hash]) {
        for (coord, hashes) in builder.append(leaves) {
            assert_eq!(usize::from(coord.width), TILE_WIDTH);
            let twice = store.0.insert((coord.level, coord.index), hashes.into());
            assert!(twice.is_none(), "{} came full twice", coord.path());
        }
    }

    #[test]
    fn a_tree_of_70_000_has_the_tiles_of_the_specification() {
        let all = leaves(70_000);
        let (mut builder, mut store) = (TreeBuilder::new(), Store::default());
        for chunk in all.chunks(777) {
            grow(&mut builder, &mut store, chunk);
        }
        assert_eq!((builder.full_tiles(0), builder.partial(0).len()), (273, 112));
        assert_eq!((builder.full_tiles(1), builder.partial(1).len()), (1, 17));
        assert_eq!((builder.full_tiles(2), builder.partial(2).len()), (0, 1));
        assert_eq!(store.0.len(), 274);
        assert_eq!(builder.root(), merkle::root_of(&all));
        let resumed = TreeBuilder::resume(builder.size(), &store, &all[273 * 256..]);
        let resumed = resumed.expect("the store is complete");
        assert_eq!(resumed.root(), builder.root());
        let view = TreeView::new(&resumed, &store);
        for size in [1, 255, 256, 257, 65_535, 65_536, 65_537, 69_999, 70_000_u64] {
            let root = merkle::root(&view, size.into()).expect("reached");
            assert_eq!(root, merkle::root_of(&all[..size as usize]), "size {size}");
        }
        let beyond = merkle::root(&view, 70_001.into());
        assert!(matches!(beyond, Err(ViewError::NotReached { .. })));
        let tile = view.hash_tile(TileCoord { level: 1, index: 1, width: 17 });
        assert_eq!(tile.expect("reached").len(), 17);
        assert!(view.hash_tile(TileCoord { level: 1, index: 1, width: 18 }).is_err());
        assert!(view.hash_tile(TileCoord { level: 63, index: 0, width: 1 }).is_err());
        store.0.remove(&(0, 7));
        let lost = TreeBuilder::resume(65_535.into(), &store, &all[65_280..65_535]);
        assert!(matches!(lost, Err(ResumeError::Missing(coord)) if coord == TileCoord::full(0, 7)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_resumed_tree_goes_on_as_if_never_stopped(
            steps in proptest::collection::vec(0_usize..700, 1..8),
            index in any::<proptest::sample::Index>(),
            size in any::<proptest::sample::Index>(),
        ) {
            let all = leaves(steps.iter().sum::<usize>());
            let (mut builder, mut store, mut done) = (TreeBuilder::new(), Store::default(), 0);
            for step in steps {
                grow(&mut builder, &mut store, &all[done..done + step]);
                done += step;
                prop_assert_eq!(builder.root(), merkle::root_of(&all[..done]));
                let tail = &all[done / TILE_WIDTH * TILE_WIDTH..done];
                let resumed = TreeBuilder::resume(builder.size(), &store, tail);
                builder = resumed.expect("the store is complete");
                prop_assert_eq!(builder.root(), merkle::root_of(&all[..done]));
            }
            prop_assume!(done > 0);
            let view = TreeView::new(&builder, &store);
            let size = size.index(done) + 1;
            let index = index.index(size);
            let (tree, small) = (TreeSize(size as u64), TreeSize(index as u64));
            let (old, new) = (merkle::root_of(&all[..index]), merkle::root_of(&all[..size]));
            let proof = merkle::inclusion_proof(&view, small.0.into(), tree).expect("reached");
            prop_assert_eq!(
                merkle::verify_inclusion(&all[index], small.0.into(), tree, &proof, &new),
                Ok(())
            );
            let proof = merkle::consistency_proof(&view, small, tree).expect("reached");
            // From the empty tree the proof is empty, and nothing can be verified.
            let expected = if index == 0 { Err(merkle::ProofError::FromEmpty) } else { Ok(()) };
            prop_assert_eq!(merkle::verify_consistency(small, tree, &proof, &old, &new), expected);
        }
    }
}
