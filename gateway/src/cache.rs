//! Full hash tiles, which never change: the newest that were asked for.

use std::collections::{HashMap, VecDeque};

use axum::body::Bytes;
use parking_lot::Mutex;

/// Level and position.
type Place = (u8, u64);

/// A bounded map; the tile that came first goes first.
pub(crate) struct Tiles {
    max: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    tiles: HashMap<Place, Bytes>,
    order: VecDeque<Place>,
}

impl Tiles {
    /// Room for `max` tiles, at least one.
    pub(crate) fn new(max: usize) -> Self {
        Self { max: max.max(1), kept: Mutex::default() }
    }

    pub(crate) fn get(&self, place: Place) -> Option<Bytes> {
        self.kept.lock().tiles.get(&place).cloned()
    }

    pub(crate) fn put(&self, place: Place, tile: Bytes) {
        let mut kept = self.kept.lock();
        if kept.tiles.insert(place, tile).is_some() {
            return;
        }
        kept.order.push_back(place);
        if kept.order.len() > self.max
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.tiles.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_first_makes_room() {
        let tiles = Tiles::new(2);
        for index in [1, 2, 2, 3] {
            tiles.put((0, index), Bytes::from(vec![index as u8]));
        }
        assert_eq!(tiles.get((0, 1)), None);
        assert_eq!(tiles.get((0, 2)), Some(Bytes::from_static(&[2])));
        assert_eq!(tiles.get((0, 3)), Some(Bytes::from_static(&[3])));
        assert_eq!(tiles.kept.lock().order.len(), 2);
    }
}
