//! Reading whole buckets: the rows whose keys begin with the same bits stand side by side.

use rocksdb::{DBAccess, DBRawIteratorWithThreadMode, ReadOptions};
use sillage_proof::hash::Hash;
use sillage_rules::index::{Frontier, bucket_of};

use super::row::Row;
use crate::error::ReadError;
use crate::schema::Family;
use crate::store::Store;

/// The rows of one bucket, in memory.
#[derive(Default)]
pub(crate) struct Bucket {
    /// Sorted by ikey.
    pub rows: Vec<(Hash, Hash)>,
    /// One for each row, in the same order.
    pub frontiers: Vec<Frontier>,
}

impl Bucket {
    /// Where the row of `ikey` is; one without entries is added where there is none.
    pub(crate) fn place_of(&mut self, ikey: &Hash) -> usize {
        match self.rows.binary_search_by(|(other, _)| other.cmp(ikey)) {
            Ok(place) => place,
            Err(place) => {
                self.rows.insert(place, (*ikey, Hash::default()));
                self.frontiers.insert(place, Frontier::default());
                place
            }
        }
    }

    /// The tree of a patient; an empty one is added where there is none.
    pub(crate) fn frontier_of(&mut self, ikey: &Hash) -> &mut Frontier {
        let place = self.place_of(ikey);
        &mut self.frontiers[place]
    }
}

/// The first key that can be in a bucket; `None` beyond the last one.
pub(crate) fn first_key(bucket: u64, depth: u8) -> Option<[u8; 32]> {
    let bits = u32::from(depth);
    if u128::from(bucket) >= 1 << bits {
        return None;
    }
    let mut key = [0; 32];
    // A tree of depth 0 has one bucket, which begins at zero.
    let head = bucket.checked_shl(64 - bits).unwrap_or(0);
    key[..8].copy_from_slice(&head.to_be_bytes());
    Some(key)
}

/// Bounds of the rows in buckets `from` to `to` exclusive.
pub(crate) fn range(from: u64, to: u64, depth: u8) -> ReadOptions {
    let mut options = ReadOptions::default();
    if let Some(lower) = first_key(from, depth) {
        options.set_iterate_lower_bound(lower);
    }
    if let Some(upper) = first_key(to, depth) {
        options.set_iterate_upper_bound(upper);
    }
    options
}

/// Reads the rows of one bucket with an iterator over the family.
pub(crate) fn read<D: DBAccess>(
    rows: &mut DBRawIteratorWithThreadMode<'_, D>,
    bucket: u64,
    depth: u8,
) -> Result<Bucket, ReadError> {
    let mut out = Bucket::default();
    let Some(first) = first_key(bucket, depth) else {
        return Ok(out);
    };
    rows.seek(first);
    while let Some((key, value)) = rows.item() {
        let row = Row::decode(key, value)?;
        if bucket_of(&row.ikey, depth) != bucket {
            break;
        }
        out.rows.push((row.ikey, row.hash));
        out.frontiers.push(row.frontier);
        rows.next();
    }
    rows.status()?;
    Ok(out)
}

/// Reads many buckets of the database as it is now.
pub(crate) fn read_all(store: &Store, buckets: &[u64], depth: u8) -> Result<Vec<Bucket>, ReadError> {
    let mut rows = store.db().raw_iterator_cf(store.family(Family::Index));
    buckets.iter().map(|bucket| read(&mut rows, *bucket, depth)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_begin_where_their_number_says() {
        assert_eq!(first_key(0, 0), Some([0; 32]));
        assert_eq!(first_key(1, 0), None);
        for (bucket, depth) in [(0, 1), (1, 1), (5, 3), (4_095, 12), (1 << 22, 23), ((1 << 26) - 1, 26)] {
            let key = Hash::from_bytes(first_key(bucket, depth).expect("a bucket"));
            assert_eq!(bucket_of(&key, depth), bucket);
            if bucket > 0 {
                // The key just before belongs to the bucket before.
                let mut before = key.to_bytes();
                let head = u64::from_be_bytes(before[..8].try_into().expect("8")) - 1;
                before[..8].copy_from_slice(&head.to_be_bytes());
                before[8..].fill(0xff);
                assert_eq!(bucket_of(&Hash::from_bytes(before), depth), bucket - 1);
            }
        }
        assert_eq!(first_key(1 << 26, 26), None);
    }
}
