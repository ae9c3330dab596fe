//! One open RocksDB database, and the folders on disk.
//!
//! ```text
//! DIR/CURRENT-DB   the name of the folder in use, one line
//! DIR/db-<n>/      a RocksDB database
//! ```
//!
//! A snapshot becomes `db-<n+1>`, is checked, and then `CURRENT-DB` is replaced by a rename: after a crash at any
//! moment the old database or the new one is in use, never a mixture. The old folder goes when its last reader is done.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rocksdb::{ColumnFamily, DB, DBPinnableSlice, FlushOptions, IteratorMode, ReadOptions, WriteBatch, WriteOptions};
use sillage_proof::keys::{AuthorId, KeyId, StreamId};

use crate::error::ReadError;
use crate::options::Options;
use crate::rows::{KeyInfo, KeyRow, NodeSetRow, PartyRow, StreamInfo, StreamRow};
use crate::schema::{self, BatchRow, Family, HeadRow, SigningName, SigningRow};

const POINTER: &str = "CURRENT-DB";
const PREFIX: &str = "db-";

/// A key and its value, as stored.
pub(crate) type Row = (Box<[u8]>, Box<[u8]>);

/// An open database. Dropped: closed, and its folder removed where that was asked.
pub(crate) struct Store {
    // Before `folder`: the database is closed before its folder goes.
    db: DB,
    /// Of every lookup by key.
    lookups: ReadOptions,
    folder: Folder,
}

/// The folder of a database.
struct Folder {
    path: PathBuf,
    remove: AtomicBool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.remove.load(Ordering::Acquire)
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the replaced database can't be removed; it will be at the next start");
        }
    }
}

impl Store {
    /// Opens a database, making it and its families where missing.
    pub(crate) fn open(path: &Path, options: &Options) -> Result<Self, rocksdb::Error> {
        let db = DB::open_cf_descriptors(&options.database()?, path, options.families())?;
        let folder = Folder { path: path.to_owned(), remove: AtomicBool::new(false) };
        Ok(Self { db, lookups: ReadOptions::default(), folder })
    }

    pub(crate) fn db(&self) -> &DB {
        &self.db
    }

    /// The folder is removed when the last user of this database is done.
    pub(crate) fn remove_when_done(&self) {
        self.folder.remove.store(true, Ordering::Release);
    }

    pub(crate) fn family(&self, family: Family) -> &ColumnFamily {
        self.db.cf_handle(family.name()).expect("every family is made when opening")
    }

    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, rocksdb::Error> {
        Ok(self.get_pinned(family, key)?.map(|row| row.to_vec()))
    }

    pub(crate) fn contains(&self, family: Family, key: &[u8]) -> Result<bool, rocksdb::Error> {
        Ok(self.get_pinned(family, key)?.is_some())
    }

    fn get_pinned(&self, family: Family, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>, rocksdb::Error> {
        self.db.get_pinned_cf_opt(self.family(family), key, &self.lookups)
    }

    /// Writes all or nothing into memory; durable after the next flush.
    pub(crate) fn write(&self, batch: WriteBatch) -> Result<(), rocksdb::Error> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.db.write_opt(batch, &options)
    }

    /// Makes everything written before the call durable, all families at one point.
    pub(crate) fn flush(&self) -> Result<(), rocksdb::Error> {
        let families: Vec<&ColumnFamily> = Family::ALL.iter().map(|f| self.family(*f)).collect();
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.db.flush_cfs_opt(&families.iter().collect::<Vec<_>>(), &options)
    }

    /// Rows of `family` whose keys begin with `prefix`, after `after`, at most `limit`, in order.
    pub(crate) fn scan(
        &self,
        family: Family,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, rocksdb::Error> {
        let mut options = ReadOptions::default();
        options.set_iterate_range(rocksdb::PrefixRange(prefix.to_vec()));
        if family == Family::DataKey {
            options.set_prefix_same_as_start(true);
        }
        let from = IteratorMode::From(after.unwrap_or(prefix), rocksdb::Direction::Forward);
        self.db
            .iterator_cf_opt(self.family(family), options, from)
            .filter(|row| !matches!((row, after), (Ok((key, _)), Some(after)) if **key == *after))
            .take(limit)
            .collect()
    }

    /// Entries `from` to `to` exclusive, which exist, with one iterator.
    pub(crate) fn entries(&self, from: u64, to: u64) -> impl Iterator<Item = Result<(u64, Box<[u8]>), ReadError>> + '_ {
        let mut options = ReadOptions::default();
        options.set_iterate_range(schema::index_key(from).to_vec()..schema::index_key(to).to_vec());
        let mut rows = self.db.iterator_cf_opt(self.family(Family::Entries), options, IteratorMode::Start);
        (from..to).map(move |index| match rows.next().transpose()? {
            Some((key, entry)) if *key == schema::index_key(index) => Ok((index, entry)),
            _ => Err(ReadError::Damaged(format!("entry {index} is missing"))),
        })
    }

    /// Reads the keys between the first and the last of the file `name`, past every cache.
    pub(crate) fn read_file_again(&self, name: &str) -> Result<(), ReadError> {
        let files = self.db.live_files()?;
        let Some(file) = files.into_iter().find(|file| file.name.trim_start_matches('/') == name) else {
            return Ok(());
        };
        let family = self.db.cf_handle(&file.column_family_name);
        let family = family.ok_or_else(|| ReadError::Damaged(format!("{name} is of no known family")))?;
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_total_order_seek(true);
        options.set_iterate_lower_bound(file.start_key.unwrap_or_default());
        if let Some(end) = file.end_key {
            // The bound is exclusive, and the last key is to be read.
            options.set_iterate_upper_bound([&end[..], &[0]].concat());
        }
        for row in self.db.iterator_cf_opt(family, options, IteratorMode::Start) {
            row?;
        }
        Ok(())
    }

    pub(crate) fn head(&self) -> Result<Option<HeadRow>, ReadError> {
        let Some(bytes) = self.get(Family::Meta, schema::META_HEAD)? else {
            return Ok(None);
        };
        let row = HeadRow::decode(&bytes);
        row.map(Some).ok_or_else(|| ReadError::Damaged("the row of the applied index can't be read".into()))
    }

    /// The feature level: 1 where none is stored.
    pub(crate) fn feature_level(&self) -> Result<u32, ReadError> {
        let Some(bytes) = self.get(Family::Meta, schema::META_LEVEL)? else {
            return Ok(1);
        };
        let level = <[u8; 4]>::try_from(&bytes[..]).map(u32::from_be_bytes);
        level.map_err(|_| ReadError::Damaged("the row of the feature level can't be read".into()))
    }

    /// The first entry that was recorded at the feature level of the doors; none where the log began with it, or hasn't
    /// reached it.
    pub(crate) fn doors_since(&self) -> Result<Option<u64>, ReadError> {
        let Some(bytes) = self.get(Family::Meta, schema::META_DOORS)? else { return Ok(None) };
        let since = <[u8; 8]>::try_from(&bytes[..]).map(u64::from_be_bytes);
        since.map(Some).map_err(|_| ReadError::Damaged("the row of where a feature level began can't be read".into()))
    }

    pub(crate) fn party(&self, author: &AuthorId) -> Result<Option<PartyRow>, ReadError> {
        let bytes = self.get(Family::Party, author.as_bytes())?;
        bytes.map(|bytes| PartyRow::parse(&bytes)).transpose()
    }

    pub(crate) fn key(&self, id: &KeyId) -> Result<Option<KeyInfo>, ReadError> {
        let bytes = self.get(Family::Key, id.as_bytes())?;
        bytes.map(|bytes| KeyRow::parse(&bytes)?.info(*id)).transpose()
    }

    pub(crate) fn tls(&self, spki: &[u8; 32]) -> Result<Option<AuthorId>, ReadError> {
        let Some(bytes) = self.get(Family::Tls, spki)? else {
            return Ok(None);
        };
        AuthorId::from_slice(&bytes)
            .map(Some)
            .map_err(|_| ReadError::Damaged("the row of a certificate can't be read".into()))
    }

    /// Every replacement of a signing key, in the order of nodes, then of the log.
    pub(crate) fn signing(&self) -> Result<Vec<(SigningName, SigningRow)>, ReadError> {
        let damaged = || ReadError::Damaged("the row of a signing key can't be read".into());
        let rows = self.scan(Family::Signing, &[], None, usize::MAX)?;
        let rows = rows.iter().map(|(key, row)| Some((SigningName::decode(key)?, SigningRow::decode(row)?)));
        rows.map(|row| row.ok_or_else(damaged)).collect()
    }

    /// Every set of nodes that an act made, in the order of the log.
    pub(crate) fn node_sets(&self) -> Result<Vec<NodeSetRow>, ReadError> {
        let rows = self.scan(Family::Meta, schema::META_NODE_SET, None, usize::MAX)?;
        rows.iter().map(|(_, row)| NodeSetRow::parse(row)).collect()
    }

    pub(crate) fn stream(&self, id: &StreamId) -> Result<Option<StreamInfo>, ReadError> {
        let bytes = self.get(Family::Stream, &schema::stream_key(id))?;
        bytes.map(|bytes| StreamRow::parse(&bytes)?.info(*id)).transpose()
    }

    pub(crate) fn batch(&self, stream: &StreamId, seq: u64) -> Result<Option<BatchRow>, ReadError> {
        let Some(bytes) = self.get(Family::Batch, &schema::batch_key(stream, seq))? else {
            return Ok(None);
        };
        let row = BatchRow::decode(&bytes);
        row.map(Some).ok_or_else(|| ReadError::Damaged("the row of a batch can't be read".into()))
    }
}

/// Name of the folder in use, `None` when nothing was ever made in `dir`.
pub(crate) fn current(dir: &Path) -> std::io::Result<Option<String>> {
    match fs::read_to_string(dir.join(POINTER)) {
        Ok(text) => Ok(Some(text.trim_end().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes `name` the folder in use, durably.
pub(crate) fn set_current(dir: &Path, name: &str) -> std::io::Result<()> {
    let new = dir.join(format!("{POINTER}.new"));
    let mut file = File::create(&new)?;
    file.write_all(format!("{name}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, dir.join(POINTER))?;
    sync_dir(dir)
}

/// Names of all database folders in `dir`, sorted by number.
pub(crate) fn folders(dir: &Path) -> std::io::Result<Vec<(u64, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(number) = name.strip_prefix(PREFIX).and_then(|n| n.parse().ok()) {
            found.push((number, name.to_owned()));
        }
    }
    found.sort();
    Ok(found)
}

/// Name of the folder with this number.
pub(crate) fn folder_name(number: u64) -> String {
    format!("{PREFIX}{number}")
}

/// Makes a rename within `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Makes every file of `dir` and the folder itself durable.
pub(crate) fn sync_tree(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            File::open(&path)?.sync_all()?;
        }
    }
    sync_dir(dir)
}

/// Moves the folder `from` to `to`, copying where they are on different file systems.
pub(crate) fn move_dir(from: &Path, to: &Path) -> std::io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
            fs::create_dir_all(to)?;
            for entry in fs::read_dir(from)? {
                let entry = entry?;
                fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
            fs::remove_dir_all(from)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pointer_is_replaced_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(current(dir.path()).expect("readable"), None);
        for name in ["db-1", "db-2"] {
            set_current(dir.path(), name).expect("writable");
            assert_eq!(current(dir.path()).expect("readable").as_deref(), Some(name));
        }
        assert!(!dir.path().join("CURRENT-DB.new").exists());
    }

    #[test]
    fn only_database_folders_are_counted() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["db-10", "db-9", "db-x", "other"] {
            fs::create_dir(dir.path().join(name)).expect("writable");
        }
        let found = folders(dir.path()).expect("readable");
        assert_eq!(found, [(9, "db-9".to_owned()), (10, "db-10".to_owned())]);
    }
}
