//! The settings of a ledger, and those of RocksDB.

use std::time::Duration;

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ChecksumType, ColumnFamilyDescriptor, DBCompressionType,
    SliceTransform,
};

use sillage_rules::consent::caps::RecordCaps;

use crate::schema::{Family, TAG_LEN};

/// How a ledger runs. None of it changes what is stored, where nothing else is said.
#[derive(Debug, Clone)]
pub struct Options {
    /// Memory for blocks read from disk, in bytes.
    pub block_cache_bytes: usize,
    /// Memory for rows of the patients' index that changed lately, in bytes.
    pub index_cache_bytes: usize,
    /// A flush starts when this many bytes were written since the last one.
    pub flush_bytes: u64,
    /// A flush starts when something is unflushed for this long.
    pub flush_interval: Duration,
    /// Flush on a thread of its own; off, only [`crate::Ledger::flush`] flushes (a simulator wants that).
    pub background_flush: bool,
    /// Write what is in memory to disk when the ledger is closed in good order. Off, closing leaves what the last flush
    /// left, as the end of a process does (a simulator wants that).
    pub flush_on_close: bool,
    /// Hash the patients' index on a thread of its own; off, within applying (a simulator wants that).
    pub index_thread: bool,
    /// Let RocksDB merge files on its own.
    pub auto_compaction: bool,
    /// Threads of RocksDB for flushing and merging.
    pub background_jobs: u16,
    /// Verify each author's signature when applying, unless this process has verified it before. On: what its author
    /// didn't sign is refused like any other bad input, whoever leads, and decides nothing. Every node of a group must have
    /// the same setting; off is for measuring what it costs.
    pub verify_at_apply: bool,
    /// Records whose effect is kept folded in memory, over all patients. 0: the state of a patient is folded anew whenever
    /// it is needed.
    pub rule_records_cached: usize,
    /// Unwrapped data keys kept for applying.
    pub data_keys_cached: usize,
    /// Wrapped data keys kept for applying, and as many again for checking: each takes about 200 bytes.
    pub wrapped_keys_cached: usize,
    /// Opened deposits and decisions kept for applying; what is longer than 1 KiB counts once for each.
    pub opened_cached: usize,
    /// How many records that decide one tag may have. Every node of a group must have the same: only tests change it.
    pub record_caps: RecordCaps,
    /// Bugs that a simulation must find.
    #[cfg(feature = "plants")]
    pub plants: Plants,
}

/// Bugs that the simulator must find; none by default.
#[cfg(feature = "plants")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Plants {
    /// The families of the database are flushed each for itself: after a crash one is older than the other.
    pub flushed_apart: bool,
    /// A batch whose number is used is recorded again.
    pub no_dedupe: bool,
}

impl Default for Options {
    /// For three nodes on one machine of two cores.
    fn default() -> Self {
        Self {
            block_cache_bytes: 64 << 20,
            index_cache_bytes: 64 << 20,
            flush_bytes: 64 << 20,
            flush_interval: Duration::from_secs(10),
            background_flush: true,
            flush_on_close: true,
            index_thread: true,
            auto_compaction: true,
            background_jobs: 2,
            verify_at_apply: true,
            rule_records_cached: 200_000,
            data_keys_cached: 16_384,
            wrapped_keys_cached: 65_536,
            opened_cached: 16_384,
            record_caps: RecordCaps::default(),
            #[cfg(feature = "plants")]
            plants: Plants::default(),
        }
    }
}

impl Options {
    /// Settings of the database as a whole.
    ///
    /// # Errors
    /// When RocksDB doesn't know a name of an option that has no call of its own.
    pub(crate) fn database(&self) -> Result<rocksdb::Options, rocksdb::Error> {
        let mut db = rocksdb::Options::default();
        db.create_if_missing(true);
        db.create_missing_column_families(true);
        // Without RocksDB's own log, families that were flushed at different moments would contradict each other.
        db.set_atomic_flush(true);
        db.set_paranoid_checks(true);
        db.set_max_background_jobs(i32::from(self.background_jobs));
        // Our own flush comes first; this bound holds when writing outruns it.
        db.set_db_write_buffer_size(usize::try_from(self.flush_bytes.saturating_mul(4)).unwrap_or(usize::MAX));
        db.set_bytes_per_sync(1 << 20);
        db.set_max_open_files(1_024);
        db.set_keep_log_file_num(4);
        db.set_max_log_file_size(4 << 20);
        db.set_stats_dump_period_sec(0);
        #[cfg(feature = "plants")]
        db.set_atomic_flush(!self.plants.flushed_apart);
        match self.flush_on_close {
            true => Ok(db),
            false => db.get_options_from_string("avoid_flush_during_shutdown=true"),
        }
    }

    /// Settings of every family.
    pub(crate) fn families(&self) -> Vec<ColumnFamilyDescriptor> {
        let cache = Cache::new_lru_cache(self.block_cache_bytes);
        Family::ALL
            .iter()
            .map(|family| ColumnFamilyDescriptor::new(family.name(), self.family(*family, &cache)))
            .collect()
    }

    fn family(&self, family: Family, cache: &Cache) -> rocksdb::Options {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(cache);
        table.set_format_version(5);
        table.set_checksum_type(ChecksumType::XXH3);
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        // In small pieces: a filter over a million keys is larger than one shard of the cache, and would be read and
        // checked anew for every key that is looked up.
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_partition_filters(true);
        table.set_metadata_block_size(16 << 10);
        table.set_pin_top_level_index_and_filter(true);
        let mut options = rocksdb::Options::default();
        options.set_paranoid_checks(true);
        options.set_disable_auto_compactions(!self.auto_compaction);
        // One family never starts a flush of all alone: our own count does.
        options.set_write_buffer_size(usize::try_from(self.flush_bytes.saturating_mul(2)).unwrap_or(usize::MAX));
        options.set_max_write_buffer_number(4);
        match family {
            // Hashes and ciphertext don't compress.
            Family::Payload => {
                options.set_compression_type(DBCompressionType::None);
                table.set_block_size(16 << 10);
            }
            Family::Entries | Family::Tiles => {
                options.set_compression_type(DBCompressionType::None);
            }
            // Keys of one patient share 32 bytes.
            Family::Patient | Family::Rule => {
                options.set_compression_type(DBCompressionType::Lz4);
                table.set_block_size(8 << 10);
            }
            // Looked up by key, often for what isn't there.
            Family::DataKey => {
                options.set_compression_type(DBCompressionType::None);
                options.set_prefix_extractor(SliceTransform::create_fixed_prefix(TAG_LEN));
                options.set_memtable_prefix_bloom_ratio(0.05);
                table.set_bloom_filter(10.0, false);
            }
            Family::Batch | Family::Stream => {
                options.set_compression_type(DBCompressionType::Lz4);
                table.set_bloom_filter(10.0, false);
            }
            // Hashes. Whole buckets are read; most patients that are looked up are there.
            Family::Index => {
                options.set_compression_type(DBCompressionType::None);
                table.set_bloom_filter(10.0, false);
            }
            Family::Item | Family::Glass | Family::Consent => {
                options.set_compression_type(DBCompressionType::None);
                table.set_bloom_filter(10.0, false);
            }
            Family::Meta | Family::Erase | Family::Signing | Family::Party | Family::Key | Family::Tls => {
                options.set_compression_type(DBCompressionType::Lz4);
                table.set_bloom_filter(10.0, false);
            }
        }
        options.set_block_based_table_factory(&table);
        options
    }
}
