//! RocksDB as a scratch store of blocks.
//!
//! Blocks are large and written once, so their bytes go to blob files, which compactions leave alone, and only the keys are
//! sorted: every byte is written about once. Runs that die soon and runs that stay have a column family each, hence blob files
//! each; a file goes when the last run in it is deleted. There is no write-ahead log and no sync: nothing has to survive.
//!
//! Bound: `memory` bytes for memtables, tables and the cache of keys. A key is run and block, big-endian: runs are ranges.

use crate::lock::Lock;
use hitters_dataflow::spill::{Life, RunId, StateStore, StoreError};
use rocksdb::{
    BlockBasedOptions, BoundColumnFamily, Cache, ColumnFamilyDescriptor, DBCompressionType, DBWithThreadMode, LogLevel,
    MultiThreaded, Options, WriteBatch, WriteOptions,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Database = DBWithThreadMode<MultiThreaded>;

/// Column families, by the life of their runs.
const BRIEF: &str = "brief";
const LONG: &str = "long";
/// Files that are open at a time. There are thousands; a limit of 1,024 is common.
const OPEN_FILES: i32 = 256;
/// A run with more blocks is deleted as a range. Ranges are cheap to delete and make reads dearer until a compaction.
const FEW: u32 = 64;
const SETTING: &str = "path in [state]";

/// RocksDB in a folder that this process holds.
pub struct Rocks {
    /// `None` while it is dropped.
    database: Option<Database>,
    cache: Cache,
    write: WriteOptions,
    folder: PathBuf,
    _lock: Lock,
}

impl Rocks {
    pub fn open(folder: &Path, memory: usize) -> Result<Self, StoreError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            StoreError::new(format!(
                "cannot {what} {} for state that outgrows memory: {error}. Name another folder ({SETTING} of the pipeline \
                 file, or --state-path)",
                folder.display()
            ))
        };
        let folder = std::path::absolute(folder).map_err(|error| failed("use", &error))?;
        fs::create_dir_all(&folder).map_err(|error| failed("make", &error))?;
        let lock = Lock::take(&folder, SETTING).map_err(|error| StoreError::new(error.message))?;
        let place = place(&folder);
        if place.exists() {
            fs::remove_dir_all(&place).map_err(|error| failed("empty", &error))?;
        }
        let cache = Cache::new_lru_cache(memory / 8);
        let families = [(BRIEF, memory / 8), (LONG, memory / 4)];
        let families = families.map(|(name, buffer)| ColumnFamilyDescriptor::new(name, family(&cache, buffer)));
        let database = Database::open_cf_descriptors(&whole(), &place, families);
        let database = database.map_err(|error| failed("open RocksDB in", &error))?;
        let mut write = WriteOptions::default();
        write.disable_wal(true);
        Ok(Self {
            database: Some(database),
            cache,
            write,
            folder,
            _lock: lock,
        })
    }

    fn failed(&self, what: &str, error: &dyn std::fmt::Display) -> StoreError {
        let size = self.disk() >> 20;
        StoreError::new(format!(
            "cannot {what} state on disk, RocksDB in {}, which holds {size} MiB: {error}. If the disk is full, make room or name \
             another folder ({SETTING} of the pipeline file, or --state-path), and start again: the last checkpoint stands",
            self.folder.display()
        ))
    }

    /// The database with the family of a run.
    fn family(&self, life: Life) -> Result<(&Database, Arc<BoundColumnFamily<'_>>), StoreError> {
        let name = match life {
            Life::Brief => BRIEF,
            Life::Long => LONG,
        };
        let found = self
            .database
            .as_ref()
            .and_then(|database| Some((database, database.cf_handle(name)?)));
        found.ok_or_else(|| self.failed("find", &"it is closed"))
    }

    /// The sum of a property over the families.
    fn sum(&self, property: &str) -> u64 {
        let of = |life: Life| {
            let (database, family) = self.family(life).ok()?;
            database.property_int_value_cf(&family, property).ok()?
        };
        [Life::Brief, Life::Long].into_iter().filter_map(of).sum()
    }
}

/// Where the files are.
fn place(folder: &Path) -> PathBuf {
    folder.join("rocksdb")
}

fn whole() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_max_open_files(OPEN_FILES);
    options.set_max_background_jobs(2);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(1);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

/// A column family with two memtables of `buffer` bytes, one being filled and one being written.
fn family(cache: &Cache, buffer: usize) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(buffer);
    options.set_max_write_buffer_number(2);
    options.set_compression_type(DBCompressionType::None);
    options.set_enable_blob_files(true);
    options.set_min_blob_size(1 << 10);
    options.set_blob_compression_type(DBCompressionType::Lz4);
    options
}

fn key(run: RunId, block: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&run.number.to_be_bytes());
    key[8..].copy_from_slice(&block.to_be_bytes());
    key
}

impl StateStore for Rocks {
    fn put(&self, run: RunId, block: u32, bytes: &[u8]) -> Result<(), StoreError> {
        let (database, family) = self.family(run.life)?;
        let put = database.put_cf_opt(&family, key(run, block), bytes, &self.write);
        put.map_err(|error| self.failed("write", &error))
    }

    fn get(&self, run: RunId, block: u32) -> Result<Vec<u8>, StoreError> {
        let (database, family) = self.family(run.life)?;
        match database.get_cf(&family, key(run, block)) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(self.failed("read", &format!("block {block} of run {} is not there", run.number))),
            Err(error) => Err(self.failed("read", &error)),
        }
    }

    fn delete(&self, run: RunId, blocks: u32) -> Result<(), StoreError> {
        if blocks == 0 {
            return Ok(());
        }
        let (database, family) = self.family(run.life)?;
        let mut batch = WriteBatch::default();
        if blocks <= FEW {
            (0..blocks).for_each(|block| batch.delete_cf(&family, key(run, block)));
        } else {
            batch.delete_range_cf(&family, key(run, 0), key(run, blocks));
        }
        let written = database.write_opt(batch, &self.write);
        written.map_err(|error| self.failed("delete", &error))
    }

    fn memory(&self) -> usize {
        let tables = self.sum("rocksdb.size-all-mem-tables") + self.sum("rocksdb.estimate-table-readers-mem");
        usize::try_from(tables).unwrap_or(usize::MAX) + self.cache.get_usage()
    }

    fn disk(&self) -> u64 {
        self.sum("rocksdb.total-sst-files-size") + self.sum("rocksdb.total-blob-file-size")
    }

    fn describe(&self) -> String {
        format!("RocksDB in {}", self.folder.display())
    }
}

impl Drop for Rocks {
    fn drop(&mut self) {
        if let Some(database) = self.database.take() {
            database.cancel_all_background_work(true);
        }
        // What is left is emptied by the next run.
        let _ = fs::remove_dir_all(place(&self.folder));
    }
}
